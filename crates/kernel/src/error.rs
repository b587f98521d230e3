//! What can go wrong in a kernel: a variant a failed step.
use thiserror::Error;
use types::{Kind, SliceId, TagId};

/// A failure of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A write or query names a tag that was never created.
    #[error("there is no tag with ordinal {0}")]
    UnknownTag(TagId),
    /// A sample's value is not of its tag's kind (texts for a numeric tag, or the other way round, or bits out of range).
    #[error("a value for tag {tag} is not of its kind {kind:?}")]
    WrongKind {
        /// The tag.
        tag: TagId,
        /// Its kind.
        kind: Kind,
    },
    /// A write is larger than the buffers can ever hold.
    #[error("a write of {bytes} bytes is more than the {limit} that one write may have; send smaller batches")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A producer's lower number was refused and not sent again yet: taken now, this one would make it a duplicate.
    #[error(
        "batch {number} can't be taken before batch {refused} of the same producer, which was refused: send that one again first"
    )]
    Behind {
        /// The number of this write.
        number: u64,
        /// The lowest number that was refused.
        refused: u64,
    },
    /// The distribution rule can't be set any more.
    #[error("the distribution rule is set before the first tag and can't be changed afterwards")]
    RuleIsSet,
    /// A rule whose numbers make no sense.
    #[error(transparent)]
    Rule(#[from] types::RuleError),
    /// The disk is full: nothing of the write was kept; it may be sent again once there is room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// A file is damaged: it is named, nothing of it was served.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A write or sync failed; the store refuses writes until it is opened again.
    #[error("the store refuses writes since a disk error, restart the server once it is mended: {0}")]
    Poisoned(String),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Read(String),
    /// Opening failed.
    #[error("the store can't be opened: {0}")]
    Open(String),
    /// Something was asked of a slice that does not fit how it is numbered (here, or from outside), or what it holds.
    #[error("slice {slice} is one of a fleet's or is to be one: {what}")]
    Led {
        /// The slice.
        slice: SliceId,
        /// What does not fit.
        what: String,
    },
    /// The kernel is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

impl Error {
    /// The failure to read a tag's snapshot value.
    pub(crate) fn of_latest(self, tag: TagId) -> Error {
        let named = |what: String| format!("the snapshot value of the tag with ordinal {tag}: {what}");
        match self {
            Error::Damaged(what) => Error::Damaged(named(what)),
            Error::Read(what) => Error::Read(named(what)),
            other => other,
        }
    }

    /// The failure of a slice's directory at opening.
    pub(crate) fn opening(fault: storage::Error) -> Error {
        let other_release = matches!(fault, storage::Error::Format { .. });
        if fault.is_damage() && !other_release { Error::Damaged(fault.to_string()) } else { Error::Open(fault.to_string()) }
    }

    /// The failure of a file of samples at opening.
    pub(crate) fn opening_file(fault: series::file::Error) -> Error {
        let other_release = matches!(fault, series::file::Error::Format { .. });
        if fault.is_damage() && !other_release { Error::Damaged(fault.to_string()) } else { Error::Open(fault.to_string()) }
    }
}

/// In the course of a flush or merge.
impl From<storage::Error> for Error {
    fn from(fault: storage::Error) -> Error {
        if fault.is_full() {
            Error::DiskFull(fault.to_string())
        } else if fault.is_damage() {
            Error::Damaged(fault.to_string())
        } else {
            Error::Read(fault.to_string())
        }
    }
}

impl From<series::Error> for Error {
    fn from(fault: series::Error) -> Error {
        match fault {
            series::Error::UnknownTag(tag) => Error::UnknownTag(tag),
            series::Error::WrongKind { tag, kind } => Error::WrongKind { tag, kind },
            series::Error::Stopped => Error::Closed,
            series::Error::File(fault) => fault.into(),
            other => Error::Damaged(other.to_string()),
        }
    }
}

impl From<series::file::Error> for Error {
    fn from(fault: series::file::Error) -> Error {
        if fault.is_full() {
            Error::DiskFull(fault.to_string())
        } else if fault.is_damage() {
            Error::Damaged(fault.to_string())
        } else {
            Error::Read(fault.to_string())
        }
    }
}
