//! What can go wrong with a backup: a variant a failed step.

use thiserror::Error;
use world::DiskError;

/// A failure.
#[derive(Debug, Error)]
pub enum Error {
    /// The repository can't be read or written.
    #[error("the repository {place}: {what}")]
    Place {
        /// Where it is.
        place: String,
        /// What failed.
        what: String,
    },
    /// The disk of the repository is full.
    #[error("the repository {place}: the disk is full: {what}")]
    Full {
        /// Where it is.
        place: String,
        /// What failed.
        what: String,
    },
    /// There is no way to that moment.
    #[error("{place} can't be restored to {moment}: {why}; {ranges}")]
    Unreachable {
        /// Where.
        place: String,
        /// The moment that was asked for.
        moment: String,
        /// Why not.
        why: String,
        /// From when to when it can be restored.
        ranges: String,
    },
    /// Something in the repository is not what was written there.
    #[error("the backup is damaged: {key}: {what}")]
    Damaged {
        /// What it is called in the repository.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// There is no such backup.
    #[error("there is no backup {id} in {place}; there are: {there}")]
    Unknown {
        /// What was asked for.
        id: String,
        /// Where.
        place: String,
        /// Those that there are.
        there: String,
    },
    /// The repository has another store's backups.
    #[error("{place} holds backups of another store ({found}); give each store a repository of its own")]
    Foreign {
        /// Where.
        place: String,
        /// The store whose backups are there.
        found: String,
    },
    /// The repository is of a newer release.
    #[error("{key} has format {format}, but this release knows only {known}: use a newer release")]
    Format {
        /// What it is called in the repository.
        key: String,
        /// Its format.
        format: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The store can't be copied now.
    #[error("the store can't be backed up: {0}")]
    Store(String),
    /// The directory to restore into is not empty.
    #[error("{0} is not empty: a store is restored into a new or empty directory")]
    NotEmpty(String),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Whoever was told of progress gave up.
    #[error("cancelled; the repository is as it was")]
    Cancelled,
}
