//! What can go wrong in storage: a variant a failed step, each naming the file.

use std::path::PathBuf;
use thiserror::Error;
use types::SliceId;
use world::DiskError;

/// A failure of the storage layer.
#[derive(Debug, Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is not what was written: nothing of it is used.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage was seen.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A file of a layout that this release does not read.
    #[error("{path} has format {found}, this release reads format {known}: open the store with the release that wrote it")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: u32,
        /// The format number that is read.
        known: u32,
    },
    /// A file that the manifest names is not there, or not as long as the manifest says.
    #[error("slice {slice}: file {path} named by the manifest is {what}")]
    FileMissing {
        /// Of which slice.
        slice: SliceId,
        /// The file.
        path: PathBuf,
        /// "missing", or how its length differs.
        what: String,
    },
    /// The directory belongs to another store or another slice.
    #[error("{path} belongs to {found}, not to {expected}")]
    Foreign {
        /// The manifest.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A sync or removal failed before: what is on disk is not known, so nothing more is published
    /// until the store is opened again.
    #[error("slice {0} refuses new manifests since a disk error; open the store again")]
    Poisoned(SliceId),
}

impl Error {
    /// Whether the disk is full: nothing was changed, and it may be tried again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Disk(cause) if cause.is_full())
    }

    /// Whether a file is damaged (rather than unreadable).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Damaged { .. } | Error::Format { .. } | Error::FileMissing { .. } | Error::Foreign { .. })
    }
}
