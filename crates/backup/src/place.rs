//! Where a repository lies: named objects, written once, read and removed. A directory, or a bucket of an object store.
//!
//! Promises: what `put` answered is durable under its key, whole. What a failed `put` left behind may be anything; nothing counts
//! that no whole head names. May not know what objects are.

mod directory;
mod s3;

pub use directory::Directory;
pub(crate) use directory::{FileReader, FileWriter};
pub use s3::{Credentials, S3, S3Settings, Stop};

use crate::Error;
use std::io::Read;

/// A place for objects. Keys are relative, with `/` between their parts.
pub trait Place: Send + Sync {
    /// How people call it.
    fn name(&self) -> String;

    /// Writes an object of so many bytes, in the place of what may be there under that key.
    ///
    /// # Errors
    /// `Error::Place`; where the reader fails, with its words.
    fn put(&self, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error>;

    /// Reads an object; None where there is none.
    ///
    /// # Errors
    /// `Error::Place`.
    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, Error>;

    /// The keys that begin so, in order.
    ///
    /// # Errors
    /// `Error::Place`.
    fn list(&self, prefix: &str) -> Result<Vec<String>, Error>;

    /// Removes an object; well where there is none.
    ///
    /// # Errors
    /// `Error::Place`.
    fn remove(&self, key: &str) -> Result<(), Error>;

    /// Removes what puts that were cut short left behind and `list` does not show. Not to be called while something is put.
    ///
    /// # Errors
    /// `Error::Place`.
    fn clear(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// How much is read or written at a time.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// Reads until the buffer is full or nothing is left.
pub(crate) fn read_full(from: &mut dyn Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(filled)
}

/// Counts and hashes what is read through it.
pub(crate) struct Hashed<'a> {
    from: &'a mut dyn Read,
    context: ring::digest::Context,
    pub(crate) bytes: u64,
}

impl<'a> Hashed<'a> {
    pub(crate) fn new(from: &'a mut dyn Read) -> Hashed<'a> {
        Hashed { from, context: ring::digest::Context::new(&ring::digest::SHA256), bytes: 0 }
    }

    /// The digest of all that was read, in hexadecimal digits.
    pub(crate) fn digest(self) -> String {
        hex(self.context.finish().as_ref())
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(into)?;
        self.context.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// All bytes of an object that is not expected to be large.
pub(crate) fn whole(place: &dyn Place, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(mut reader) = place.get(key)? else { return Ok(None) };
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|fault| unread(place, key, fault))?;
    Ok(Some(bytes))
}

/// Why an object could not be read to its end: the place's own words where it has any.
pub(crate) fn unread(place: &dyn Place, key: &str, fault: std::io::Error) -> Error {
    let told = |fault: &dyn std::fmt::Display| Error::Place { place: place.name(), what: format!("{key}: {fault}") };
    fault.downcast::<Error>().unwrap_or_else(|fault| told(&fault))
}
