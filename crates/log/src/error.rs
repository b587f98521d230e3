//! What can go wrong in a log: a variant a failed step. Cheap to clone: one failure answers many.

use crate::Position;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use world::DiskError;

/// A failure of the log.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The directory or a file of the log can't be opened, made or mended.
    #[error("the log in {} can't be opened: {cause}", dir.display())]
    Open {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        cause: Arc<DiskError>,
    },
    /// Bytes that were synced are not what was written, or a segment is missing.
    #[error("the log is damaged: {} at byte {offset}: {what}", file.display())]
    Damaged {
        /// The segment's file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// There is no log where one was made.
    #[error("the log is missing: {} holds no log, though log {id:016x} was made there", dir.display())]
    Lost {
        /// The log's directory.
        dir: PathBuf,
        /// The id of the log that was made there.
        id: u64,
    },
    /// Another log lies where one was made.
    #[error("the log in {} is another one: its id is {found:016x}, that of the log made there was {id:016x}", dir.display())]
    Foreign {
        /// The log's directory.
        dir: PathBuf,
        /// The id of the log that was made there.
        id: u64,
        /// The id of the log that lies there.
        found: u64,
    },
    /// The log's oldest segments are missing: they were never cut off.
    #[error("the log in {} begins at position {found}, but was cut only up to {first}: files of it are missing", dir.display())]
    Headless {
        /// The log's directory.
        dir: PathBuf,
        /// Where it begins at the latest.
        first: Position,
        /// Where what lies there begins.
        found: Position,
    },
    /// A segment of a layout that this release does not know.
    #[error("{} has log format {format}, but this release knows only {}", file.display(), crate::FORMAT)]
    UnknownFormat {
        /// The segment's file.
        file: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A record is larger than the log takes. Nothing of it was kept.
    #[error("a log record of {bytes} bytes is more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// `Options::record_bytes_max`.
        limit: u64,
    },
    /// There is no room for a further segment. Nothing of the record was kept, the log goes on:
    /// later appends are tried again.
    #[error("the disk is full, the log could not grow: {0}")]
    Full(#[source] Arc<DiskError>),
    /// A write or sync failed, now or before: what became of unanswered records is not known, and
    /// nothing is written any more until the log is opened again.
    #[error("the log refuses records since a disk error: {0}")]
    Poisoned(#[source] Arc<DiskError>),
    /// Reading back failed.
    #[error("the log could not be read: {0}")]
    Read(#[source] Arc<DiskError>),
    /// An old segment could not be removed. It is tried again by the next cut.
    #[error("the log could not be cut: {0}")]
    Cut(#[source] Arc<DiskError>),
    /// The log was closed before.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    pub(crate) fn read(cause: DiskError) -> Error {
        Error::Read(Arc::new(cause))
    }
}
