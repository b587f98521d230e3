//! What can go wrong in the layout for samples: a variant a failed step.

use thiserror::Error;
use types::{Kind, TagId};

/// A failure in the layout for samples.
#[derive(Debug, Error)]
pub enum Error {
    /// A sample names a tag that was never created.
    #[error("there is no tag with ordinal {0}")]
    UnknownTag(TagId),
    /// A sample's value does not fit its tag's kind.
    #[error("a value for tag {tag} does not fit its kind {}", kind.name())]
    WrongKind {
        /// The tag.
        tag: TagId,
        /// Its kind.
        kind: Kind,
    },
    /// A text is longer than a text may be.
    #[error("a text for tag {tag} has {bytes} bytes; at most {} are allowed", Kind::TEXT_BYTES_MAX)]
    TextTooLong {
        /// The tag.
        tag: TagId,
        /// The text's length in bytes.
        bytes: usize,
    },
    /// A text is not UTF-8.
    #[error("a text for tag {tag} is not UTF-8")]
    TextNotUtf8 {
        /// The tag.
        tag: TagId,
    },
    /// A commit is larger than a section can be.
    #[error(
        "a commit has {rows} rows and {bytes} bytes of text for one slice; split it (at most {rows_max} rows and {bytes_max} bytes)"
    )]
    CommitTooLarge {
        /// Its rows in that slice.
        rows: u64,
        /// Its text bytes in that slice.
        bytes: u64,
        /// The most rows.
        rows_max: u64,
        /// The most bytes of text.
        bytes_max: u64,
    },
    /// Bytes that should be a section are not one.
    #[error("damaged section: {what}")]
    SectionDamaged {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The caller wanted the work to end early.
    #[error("the work was stopped")]
    Stopped,
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] crate::file::Error),
}
