//! What schedulers say to each other about tag changes.
//!
//! ```text
//!   leader -> scheduler    Append    batches to prepare; with none, a sign of life; what is committed; a lease
//!                          Behind    your table is older than my chain reaches: compare it with mine
//!                          Parts     the parts of my table that differ from yours
//!                <-        Report    what I have, what I have applied, and my promise not to lead
//!                          Compare   the hashes of my table's parts
//!   any -> any             Stale     I have seen a higher epoch
//!   deposed -> any         Release   I lead no more, do not wait for my lease
//! ```
//! Promises: every message names its epoch; losing, doubling, delaying or reordering any of them costs time only.
//! They may not know the network.

use super::{Batch, Part, Point};
use crate::{Moment, Run};
use types::{Epoch, Sequence};

/// What every message of a leader begins with. It asks for the promise not to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// When it was sent, by the leader's clock. The promise that answers it counts from then.
    pub stamp: Moment,
    /// What was committed when the epoch began: whatever others prepared behind it is lost.
    pub begin: Point,
    /// What is committed now.
    pub committed: Point,
    /// The lease of a reader.
    pub lease: Option<Lease>,
}

/// "After you sent that stamp I led, and no more than this was answered; nothing more will be without you, as long as
/// leases last."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run of the scheduler's process.
    pub run: Run,
    /// Its own stamp, echoed: the lease counts from then.
    pub echo: Moment,
    /// What it must have applied.
    pub sequence: Sequence,
}

/// A scheduler's answer to its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The epoch that it answers in.
    pub epoch: Epoch,
    /// The leader's stamp, echoed: the promise, counted from then.
    pub stamp: Moment,
    /// The run of the scheduler's process.
    pub run: Run,
    /// When it was sent, by the scheduler's clock.
    pub own: Moment,
    /// Whether its chain holds nothing that the leader's does not; else `tail` says nothing.
    pub aligned: bool,
    /// Whether batches came that do not follow its last one.
    pub gap: bool,
    /// The last batch that it has durably.
    pub tail: Point,
    /// The last one that it has applied.
    pub applied: Sequence,
}

/// A message between two schedulers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Batches.
    Append {
        /// As always.
        head: Head,
        /// The point that they follow.
        prev: Point,
        /// In order; none in a mere sign of life.
        batches: Vec<Batch>,
    },
    /// The chain does not reach the receiver's table.
    Behind {
        /// As always.
        head: Head,
    },
    /// Parts of the leader's table.
    Parts {
        /// As always.
        head: Head,
        /// The comparison that they answer: the receiver's own stamp.
        asked: Moment,
        /// The point that the leader's table was at.
        at: Point,
        /// Those that differ from what the receiver said it has.
        parts: Vec<Part>,
        /// Whether these are all: with them the receiver's table is the leader's at that point.
        complete: bool,
    },
    /// A scheduler's answer.
    Report(Report),
    /// A scheduler's table, by parts.
    Compare {
        /// The leader's epoch.
        epoch: Epoch,
        /// When it was asked, by the sender's clock.
        asked: Moment,
        /// The hash of each part, in order of their numbers.
        hashes: Vec<u128>,
    },
    /// Refused: the sender of this has seen a higher epoch.
    Stale {
        /// The higher one.
        epoch: Epoch,
    },
    /// Whoever led this epoch leads no more.
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
            Message::Append { head, .. } | Message::Behind { head } | Message::Parts { head, .. } => head.epoch,
            Message::Report(report) => report.epoch,
            Message::Compare { epoch, .. } | Message::Stale { epoch } | Message::Release { epoch } => *epoch,
        }
    }
}
