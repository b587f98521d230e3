//! The disk: files, directories, and their errors, with the promises that storage leans on.
//!
//! What every disk promises (and the simulated one breaks only where it says so):
//! - bytes are durable once `sync` of the file returned, names once `sync_dir` of the directory did;
//! - unsynced bytes may be lost or torn by a power cut, at any 512-byte boundary, in any order;
//! - after a failed `write_at` or `sync` nothing is known of what was not synced before:
//!   the caller must stop writing to that store (a later sync that succeeds proves nothing).
//!
//! Paths are relative to nothing: the caller hands whole paths, UTF-8.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What was being done when the disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Create,
    Open,
    Read,
    Write,
    Truncate,
    Reserve,
    Sync,
    SyncDirectory,
    Remove,
    List,
    MakeDirectory,
    Lock,
    Measure,
}

impl Operation {
    /// As it is said to whoever reads an error.
    fn words(self) -> &'static str {
        match self {
            Operation::Create => "creating",
            Operation::Open => "opening",
            Operation::Read => "reading",
            Operation::Write => "writing",
            Operation::Truncate => "setting the length of",
            Operation::Reserve => "reserving room for",
            Operation::Sync => "syncing",
            Operation::SyncDirectory => "syncing the directory",
            Operation::Remove => "removing",
            Operation::List => "listing",
            Operation::MakeDirectory => "making the directory",
            Operation::Lock => "locking",
            Operation::Measure => "measuring",
        }
    }
}

/// A failure of the disk: what was being done, to which file, and why it failed.
#[derive(Debug, Error)]
#[error("{} {path}: {cause}", operation.words())]
pub struct DiskError {
    /// What was being done.
    pub operation: Operation,
    /// To which file or directory.
    pub path: PathBuf,
    /// What the system said. `UnexpectedEof` where a read went beyond the end.
    #[source]
    pub cause: std::io::Error,
}

impl DiskError {
    /// Whether the disk is full (ENOSPC, EDQUOT).
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }

    /// Whether the file or directory is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == std::io::ErrorKind::NotFound
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reads.
    Read,
    /// Reads and writes.
    Write,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
}

/// A range to be read into memory of the caller's.
pub struct ReadRange<'a> {
    /// Where in the file it begins.
    pub offset: u64,
    /// Where it goes; all of it is filled.
    pub into: &'a mut [u8],
}

/// A place where files lie.
pub trait Disk: Send + Sync {
    /// Makes a new, empty file for writing; an error where the name exists.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Create`.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, DiskError>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Open`.
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn File>, DiskError>;

    /// Removes a file. Files already open stay readable. Durable after `sync_dir`.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Remove`.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Remove`.
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// The names in a directory, in order of name.
    ///
    /// # Errors
    /// `DiskError` of `Operation::List`.
    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError>;

    /// Makes a directory and those above it; well where it exists. Durable when it returns
    /// (it syncs the parent of each directory that it made).
    ///
    /// # Errors
    /// `DiskError` of `Operation::MakeDirectory`.
    fn make_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `DiskError` of `Operation::SyncDirectory`.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Locks a file (made if absent) against other processes until the value is dropped or the
    /// process ends.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Lock`, of kind `WouldBlock` where another process holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, DiskError>;

    /// How many bytes the disk has on which this directory lies.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Measure`.
    fn size_bytes(&self, path: &Path) -> Result<u64, DiskError>;
}

/// An open file. Reads and writes at offsets may run side by side.
pub trait File: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Measure`.
    fn len(&self) -> Result<u64, DiskError>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As `len`.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Read`; `UnexpectedEof` where the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError>;

    /// Fills many ranges; a disk may fetch them together.
    ///
    /// # Errors
    /// As `read_at`, for the first range that failed.
    fn read_ranges(&self, ranges: &mut [ReadRange<'_>]) -> Result<(), DiskError> {
        ranges.iter_mut().try_for_each(|range| self.read_at(range.offset, range.into))
    }

    /// Writes the parts one after the other from `offset` on, all or an error.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Write`. Any prefix may have been written.
    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError>;

    /// Cuts or extends (with zeros) the file to a length.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Truncate`.
    fn truncate(&self, len: u64) -> Result<(), DiskError>;

    /// Reserves room for a file of `len` bytes, extending it with zeros where it is shorter, so
    /// that later writes below `len` do not fail for want of room (as far as the file system keeps
    /// such promises). Bytes already there stay.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Reserve`; of kind `StorageFull` where there is no room, and
    /// then the file may have grown by any part of it.
    fn reserve(&self, len: u64) -> Result<(), DiskError>;

    /// Makes all written bytes and the length durable.
    ///
    /// # Errors
    /// `DiskError` of `Operation::Sync`. Never sync again and believe it.
    fn sync(&self) -> Result<(), DiskError>;
}
