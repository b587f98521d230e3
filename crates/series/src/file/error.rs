//! What can go wrong with a series file: a variant a failed step, each naming file and place.

use std::path::PathBuf;
use thiserror::Error;
use types::{TagId, TimeRange};
use world::DiskError;

/// A failure of writing or reading a series file.
#[derive(Debug, Error)]
pub enum Error {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A block is not what was written. Nothing of it was served.
    #[error("{path} is damaged at byte {offset} ({block}): {what}{}", rows(tag, range))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
        /// What the block is: "page", "chunk header", "index block", "top", "footer", "head".
        block: &'static str,
        /// What is wrong.
        what: String,
        /// Whose rows are lost, where that is known.
        tag: Option<TagId>,
        /// In which range of time they lie, where that is known.
        range: Option<TimeRange>,
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
}

fn rows(tag: &Option<TagId>, range: &Option<TimeRange>) -> String {
    let mut text = String::new();
    if let Some(tag) = tag {
        text += &format!("; rows of tag {tag}");
    }
    if let Some(range) = range {
        text += &format!("; between {} and {} µs", range.first, range.last);
    }
    text
}

impl Error {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Disk(cause) if cause.is_full())
    }

    /// Whether a file is damaged (rather than unreadable).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(self, Error::Disk(_))
    }
}

impl From<storage::Error> for Error {
    fn from(cause: storage::Error) -> Self {
        match cause {
            storage::Error::Disk(cause) => Error::Disk(cause),
            storage::Error::Format { path, found, known } => Error::Format { path, found, known },
            storage::Error::Damaged { path, offset, what } => {
                Error::Damaged { path, offset, block: "head", what, tag: None, range: None }
            }
            other @ (storage::Error::FileMissing { .. } | storage::Error::Foreign { .. } | storage::Error::Poisoned(_)) => {
                let what = other.to_string();
                Error::Damaged { path: PathBuf::new(), offset: 0, block: "head", what, tag: None, range: None }
            }
        }
    }
}
