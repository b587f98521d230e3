//! What the replicas of one slice say to each other.
//!
//! ```text
//!   new primary -> all      Inquire            what do you have?
//!                <-         Tail               this history
//!   new primary -> longest  Fetch / Fetched    what it lacks of it
//!   primary -> replica      Align              my history: set aside what departs from it
//!                           Append             records behind `prev`; with none, a sign of life
//!                           Offer              the log does not reach you: take these files
//!                <-         Report             what I have, and my promise
//!   any -> any              Stale              I have seen a higher epoch
//!   deposed -> successor    Release            I serve no more, do not wait for my lease
//! ```
//! Promises: every message names its epoch; losing, doubling, delaying or reordering any of them costs
//! time only. They may not know the network.

use crate::{History, Moment, Offer, Record, Run};
use types::{Epoch, Sequence, Version};

/// What every message of a primary begins with. It asks for the promise not to succeed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The primary's epoch.
    pub epoch: Epoch,
    /// When it was sent, by the primary's clock. The promise that answers it counts from then.
    pub stamp: Moment,
    /// What every member has in its log.
    pub stable: Sequence,
    /// How fresh a reader of this replica may call itself.
    pub fresh: Option<Fresh>,
}

/// "I was the primary, and this was the newest write that readers saw, after you sent that stamp."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The run of the replica's process.
    pub run: Run,
    /// The replica's own stamp, echoed.
    pub echo: Moment,
    /// The newest write that the primary had published.
    pub at: Version,
}

/// A replica's answer to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The epoch that it answers in.
    pub epoch: Epoch,
    /// The primary's stamp, echoed: the promise, counted from then.
    pub stamp: Moment,
    /// The run of the replica's process.
    pub run: Run,
    /// When it was sent, by the replica's clock.
    pub own: Moment,
    /// Whether its log is a beginning of the primary's.
    pub aligned: bool,
    /// Whether records came that do not follow its last one.
    pub gap: bool,
    /// Whether its files hold what departs from the primary's history: the log can't mend that.
    pub needs_files: bool,
    /// The last record of its log.
    pub last: Version,
    /// The last one that is synced.
    pub durable: Version,
}

/// A message between two replicas of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A new primary asks what a replica has.
    Inquire {
        /// The new epoch.
        epoch: Epoch,
    },
    /// What a replica has.
    Tail {
        /// The asking primary's epoch.
        epoch: Epoch,
        /// Its log.
        history: History,
    },
    /// A new primary asks for records that it lacks.
    Fetch {
        /// The new epoch.
        epoch: Epoch,
        /// The record that it has.
        after: Version,
    },
    /// Records for a new primary.
    Fetched {
        /// The asking primary's epoch.
        epoch: Epoch,
        /// The record that they follow.
        after: Version,
        /// The records; none where the replica can't give them.
        records: Vec<Record>,
    },
    /// What the primary's log is: the replica sets aside what departs from it.
    Align {
        /// As always.
        head: Head,
        /// The primary's log.
        history: History,
        /// The newest epoch that an operator forced: only since then may stable records be set aside.
        forced: Epoch,
    },
    /// Records.
    Append {
        /// As always.
        head: Head,
        /// The record that they follow.
        prev: Version,
        /// The records, in order; none in a mere sign of life.
        records: Vec<Record>,
    },
    /// Files for a replica that the log no longer reaches.
    Offer {
        /// As always.
        head: Head,
        /// What is offered.
        offer: Offer,
    },
    /// A replica's answer.
    Report(Report),
    /// Refused: the sender of this has seen a higher epoch.
    Stale {
        /// The higher one.
        epoch: Epoch,
    },
    /// Whoever ran this epoch serves no more.
    Release {
        /// The epoch that is over.
        epoch: Epoch,
    },
}

impl Message {
    /// The epoch that it speaks in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        match self {
            Message::Inquire { epoch }
            | Message::Tail { epoch, .. }
            | Message::Fetch { epoch, .. }
            | Message::Fetched { epoch, .. }
            | Message::Stale { epoch }
            | Message::Release { epoch } => *epoch,
            Message::Align { head, .. } | Message::Append { head, .. } | Message::Offer { head, .. } => head.epoch,
            Message::Report(report) => report.epoch,
        }
    }

    /// Whether only the primary of its epoch says this.
    #[must_use]
    pub fn is_primarys(&self) -> bool {
        matches!(
            self,
            Message::Inquire { .. }
                | Message::Fetch { .. }
                | Message::Align { .. }
                | Message::Append { .. }
                | Message::Offer { .. }
        )
    }
}
