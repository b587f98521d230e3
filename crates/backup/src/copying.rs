//! Copying one thing into a place, and out of it: files as they are, logs in packed stretches.
//!
//! Promises: what is told of an object (bytes, digest) is of the bytes that went there.

use crate::head::{FileEntry, LogEntry, LogPiece};
use crate::place::{FileWriter, Hashed, Place, sha256, unread, whole};
use crate::{Error, Progress, Report};
use bytes::Bytes;
use log::{Hold, Position, Stretch};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Disk, File};

/// Bytes of log that are packed into one object.
const PIECE_BYTES: usize = 32 << 20;
const PACKED_LEVEL: i32 = 1;

/// Tells of bytes as they pass, and ends where it is told to.
pub(crate) struct Meter<'a> {
    done: AtomicU64,
    pub(crate) of: u64,
    report: Report<'a>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(of: u64, report: Report<'a>) -> Meter<'a> {
        Meter { done: AtomicU64::new(0), of, report }
    }

    /// So many bytes more were dealt with.
    pub(crate) fn pass(&self, bytes: u64) -> Result<(), Error> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match (self.report)(Progress { done, of: self.of.max(done) }) {
            std::ops::ControlFlow::Continue(()) => Ok(()),
            std::ops::ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

/// Passes bytes on and tells of them.
struct Metered<'a, 'b> {
    from: &'a mut dyn Read,
    meter: &'a Meter<'b>,
}

impl Read for Metered<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(into)?;
        self.meter.pass(count as u64).map_err(std::io::Error::other)?;
        Ok(count)
    }
}

/// Whether a failure is one of whoever gave up.
fn cancelled(fault: Error, meter: &Meter<'_>) -> Error {
    // A reader can tell only an error of its own kind.
    match meter.pass(0) {
        Err(Error::Cancelled) => Error::Cancelled,
        _ => fault,
    }
}

/// Puts bytes under a key, as the file at a path.
pub(crate) fn put(
    place: &dyn Place,
    (path, key): (String, String),
    bytes: u64,
    from: &mut dyn Read,
    meter: &Meter<'_>,
) -> Result<FileEntry, Error> {
    let mut metered = Metered { from, meter };
    let mut hashed = Hashed::new(&mut metered);
    place.put(&key, bytes, &mut hashed).map_err(|fault| cancelled(fault, meter))?;
    Ok(FileEntry { path, key, bytes, sha256: hashed.digest() })
}

/// The same of bytes at hand, under a key that ends with the path.
pub(crate) fn put_own(place: &dyn Place, own: &str, path: &str, bytes: &[u8], meter: &Meter<'_>) -> Result<FileEntry, Error> {
    put(place, (path.to_owned(), format!("{own}{path}")), bytes.len() as u64, &mut &bytes[..], meter)
}

/// Puts a log from a position where a segment or a record begins, up to another one.
pub(crate) fn put_log(
    place: &dyn Place,
    hold: &Hold,
    (from, to): (Position, Position),
    (path, key): (&str, &str),
    meter: &Meter<'_>,
) -> Result<LogEntry, Error> {
    let mut entry =
        LogEntry { path: path.to_owned(), id: format!("{:016x}", hold.known_from(from).id), to: to.0, pieces: Vec::new() };
    let mut at = from;
    while at < to {
        let stretch = hold.read(at, PIECE_BYTES).map_err(|fault| Error::Store(fault.to_string()))?;
        let Some(stretch) = stretch else { return Err(Error::Store(format!("the log ends before position {to}"))) };
        let Some(stretch) = stretch.within(at, to) else { break };
        at = stretch.next;
        let packed = zstd::bulk::compress(&stretch.bytes, PACKED_LEVEL).map_err(|fault| Error::Store(fault.to_string()))?;
        let key = format!("{key}-{:06}", entry.pieces.len());
        place.put(&key, packed.len() as u64, &mut &packed[..])?;
        meter.pass(stretch.bytes.len() as u64)?;
        let Stretch { base, capacity, offset, next, .. } = stretch;
        let (bytes, sha256) = (packed.len() as u64, sha256(&packed));
        entry.pieces.push(LogPiece { key, bytes, sha256, base, capacity, offset, next: next.0 });
    }
    Ok(entry)
}

/// Reads an object into something, and compares it with what is told of it.
pub(crate) fn get(place: &dyn Place, entry: &FileEntry, into: &mut dyn std::io::Write, meter: &Meter<'_>) -> Result<(), Error> {
    let damaged = |what: String| Error::Damaged { key: entry.key.clone(), what };
    let Some(mut reader) = place.get(&entry.key)? else { return Err(damaged("it is missing".to_owned())) };
    let mut metered = Metered { from: &mut *reader, meter };
    let mut hashed = Hashed::new(&mut metered);
    let mut chunk = vec![0; crate::place::CHUNK_BYTES];
    loop {
        let count = crate::place::read_full(&mut hashed, &mut chunk)
            .map_err(|fault| cancelled(unread(place, &entry.key, fault), meter))?;
        if count == 0 {
            break;
        }
        into.write_all(&chunk[..count]).map_err(|fault| Error::Store(format!("{}: {fault}", entry.path)))?;
    }
    if hashed.bytes != entry.bytes {
        return Err(damaged(format!("it has {} bytes, not {}", hashed.bytes, entry.bytes)));
    }
    if hashed.digest() != entry.sha256 {
        return Err(damaged("its digest is another one: it was changed".to_owned()));
    }
    Ok(())
}

/// A stretch of a log, as it was.
pub(crate) fn get_piece(place: &dyn Place, log: &LogEntry, piece: &LogPiece, meter: &Meter<'_>) -> Result<Stretch, Error> {
    let damaged = |what: String| Error::Damaged { key: piece.key.clone(), what };
    let packed = whole(place, &piece.key)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
    if packed.len() as u64 != piece.bytes || sha256(&packed) != piece.sha256 {
        return Err(damaged("its digest is another one: it was changed".to_owned()));
    }
    let unpacked = zstd::bulk::decompress(&packed, PIECE_BYTES).map_err(|fault| damaged(fault.to_string()))?;
    meter.pass(unpacked.len() as u64)?;
    let id = u64::from_str_radix(&log.id, 16).map_err(|_| damaged("the log's id is none".to_owned()))?;
    let LogPiece { base, capacity, offset, next, .. } = *piece;
    Ok(Stretch { log: id, base, capacity, offset, bytes: Bytes::from(unpacked), next: Position(next) })
}

/// Makes the file at a path of an object.
pub(crate) fn lay_file(
    place: &dyn Place,
    entry: &FileEntry,
    disk: &dyn Disk,
    dir: &Path,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    let path = dir.join(&entry.path);
    disk.make_dir(path.parent().unwrap_or(dir))?;
    let file: Arc<dyn File> = disk.create(&path)?;
    get(place, entry, &mut FileWriter::new(Arc::clone(&file)), meter)?;
    file.sync()?;
    disk.sync_dir(path.parent().unwrap_or(dir))?;
    Ok(())
}

/// The digest of what is read.
pub(crate) fn digest(bytes: &mut dyn Read) -> Result<String, Error> {
    let mut hashed = Hashed::new(bytes);
    std::io::copy(&mut hashed, &mut std::io::sink()).map_err(|fault| Error::Store(fault.to_string()))?;
    Ok(hashed.digest())
}
