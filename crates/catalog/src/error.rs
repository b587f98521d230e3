//! What can go wrong in the catalog: a variant a failed step.
use thiserror::Error;
use types::TagId;

/// A failure of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A name is taken (by an older tag, or twice in one call).
    #[error("tag \"{0}\" exists already")]
    Exists(String),
    /// There is no such tag.
    #[error("there is no tag with ordinal {0}")]
    Unknown(TagId),
    /// A definition breaks a rule.
    #[error("tag \"{name}\": {problem}")]
    Invalid {
        /// The tag's name, shortened where long.
        name: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A file is damaged: it is named.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The disk is full; nothing was kept.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// A write or sync failed; the catalog refuses changes until it is opened again.
    #[error("the catalog refuses changes since a disk error, restart the server once it is mended: {0}")]
    Poisoned(String),
    /// Its changes come from the fleet.
    #[error("tags are changed by all schedulers of the fleet together: ask one of them")]
    Led,
    /// It was filled by a process alone, so that its table is of no point of a fleet's history.
    #[error("the catalog was filled by a process alone and can't become a fleet's: begin with an empty one")]
    Own,
    /// Parts of another scheduler's table are being taken: until all are here it is of no one point.
    #[error("the tag table is being brought in step with the other schedulers'; ask again soon, or ask another one")]
    Torn,
    /// A change, or a part of the table, that was made elsewhere.
    #[error("it can't be read, maybe another release made it: {0}")]
    Unreadable(String),
    /// The catalog was closed before.
    #[error("the catalog is closed")]
    Closed,
    /// Opening failed.
    #[error("the catalog can't be opened: {0}")]
    Open(String),
}
