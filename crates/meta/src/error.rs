//! What can go wrong with meta: a variant a consequence, since callers act on it.

use crate::{LeaseId, MetaId, Revision};
use thiserror::Error;

/// A failure of meta. Only `InDoubt` leaves it open whether a change was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The call breaks a limit; it was not made.
    #[error("meta: {0}")]
    Invalid(String),
    /// There is no such lease: it ended, or was revoked. Nothing was changed.
    #[error("meta: lease {0} has ended")]
    LeaseGone(LeaseId),
    /// Meta is away, or too busy. Nothing was changed, and asking again can help.
    #[error("meta is away: {0}")]
    Unavailable(String),
    /// No answer came. The change was made, or not, or still will be: see `Swap`.
    #[error("meta did not answer, the change is in doubt: {0}")]
    InDoubt(String),
    /// Meta refuses this process: its name, password, certificate or rights. Nothing was changed.
    #[error("meta refuses this process: {0}")]
    Denied(String),
    /// Meta has no room. Nothing was changed.
    #[error("meta has no room: {0}")]
    Full(String),
    /// This is another meta than the one this process belongs to: wiped, or the wrong address.
    #[error(
        "this is not the meta that this process belongs to: expected {expected}, found {}; \
         start with the right address, or bring the old meta back",
        found.map_or("an empty one".to_owned(), |id| id.to_string())
    )]
    Foreign {
        /// Whose this process is.
        expected: MetaId,
        /// Who answered; none where meta is empty.
        found: Option<MetaId>,
    },
    /// Meta went back in time: it was brought back from an old copy.
    #[error("meta stands at revision {found}, but was at {seen} before: it was brought back from an old copy")]
    Older {
        /// The highest revision known.
        seen: Revision,
        /// What it says now.
        found: Revision,
    },
    /// The embedded meta's file is damaged.
    #[error("meta is damaged: {0}")]
    Damaged(String),
    /// The embedded meta could not be opened.
    #[error("meta can't be opened: {0}")]
    Open(String),
    /// A write or sync failed before; the embedded meta answers nothing until it is opened again.
    #[error("meta answers nothing since a disk error, restart this process once it is mended: {0}")]
    Poisoned(String),
}

impl Error {
    /// Whether asking the same again can help. After `InDoubt` only a repeatable swap may be sent
    /// again (`Swap::is_repeatable`).
    #[must_use]
    pub fn can_retry(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::InDoubt(_))
    }

    /// Its SQLSTATE, where a statement ran into it.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Error::Invalid(_) | Error::LeaseGone(_) => "XX000",
            Error::Unavailable(_) | Error::Poisoned(_) | Error::Open(_) => "57P03",
            Error::InDoubt(_) => "08007",
            Error::Denied(_) => "28000",
            Error::Full(_) => "53100",
            Error::Foreign { .. } | Error::Older { .. } => "55000",
            Error::Damaged(_) => "XX001",
        }
    }
}
