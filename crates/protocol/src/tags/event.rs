//! What goes into a scheduler's machine, and what comes out of it.
//!
//! Promises: events may come late or never; an action is a wish that the shell carries out in order, and all store
//! actions take effect in the order in which they were asked for. They may not know how it is carried out.

use super::{Batch, Change, Message, Point, TagEntry};
use crate::{Moment, ReplicaId, RequestId};
use bytes::Bytes;
use types::{Epoch, Revision, Sequence};

/// A part of the tag table: a range of ordinals; part 0 holds what is no tag's: the next ordinal, and what was answered
/// to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: u64,
    /// What it holds; the catalog's matter.
    pub body: Bytes,
}

/// Why a request was not carried out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This scheduler does not lead, or has no lease. A change may or may not have happened: repeat it with the same
    /// number at the leader.
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<ReplicaId>,
    },
    /// Too much waits, or a leader's lease is not there yet: repeat it soon.
    Busy,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The change is in the table of every Normal scheduler, for ever; what came of it the table says.
    Done {
        /// The batch.
        sequence: Sequence,
    },
    /// The snapshot that was taken may be read: it shows all changes that were answered before it was asked for.
    Readable {
        /// The last batch in it.
        at: Sequence,
    },
    /// It was not carried out, or it is not known whether it was.
    Refused(Refusal),
}

/// How a swap of the entry ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It happened; the entry now has this revision.
    Done(Revision),
    /// It did not, or an earlier sending of it did: this stands there now.
    Conflict {
        /// The entry.
        entry: TagEntry,
        /// Its revision.
        revision: Revision,
    },
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The moment of `Scheduler::wakes_at` has come, or any other.
    Tick,
    /// The entry, from a read of `meta` or a watch; old news are ignored.
    Entry {
        /// The entry.
        entry: TagEntry,
        /// Its revision.
        revision: Revision,
    },
    /// The end of a swap that this very process sent. One that is not answered is sent again.
    Swapped {
        /// The revision that it compared with.
        expect: Revision,
        /// How it ended.
        outcome: Swapped,
    },
    /// A message for this very scheduler.
    Message {
        /// The sender.
        from: ReplicaId,
        /// The message.
        message: Message,
    },
    /// A client wants a change.
    Change {
        /// The request.
        request: RequestId,
        /// The change.
        change: Change,
    },
    /// A client reads the table.
    Read {
        /// The request.
        request: RequestId,
    },
    /// The end of `Action::Snapshot`.
    Snapshotted {
        /// The request.
        request: RequestId,
        /// The last batch in the snapshot.
        at: Sequence,
    },
    /// The end of `Action::PersistEpoch`.
    EpochPersisted(Epoch),
    /// Everything logged up to this batch is synced.
    Logged(Point),
    /// The end of `Action::Cut`; it is durable.
    Cut {
        /// Where the log ends now.
        at: Point,
    },
    /// The end of `Action::Apply`.
    Applied(Sequence),
    /// The end of `Action::HashParts`.
    PartsHashed(Vec<u128>),
    /// The end of `Action::ReadParts`.
    PartsRead {
        /// Whom they are for.
        to: ReplicaId,
        /// As it came with `ReadParts`.
        asked: Moment,
        /// The point of the table.
        at: Point,
        /// Parts that differ.
        parts: Vec<Part>,
        /// Whether these are all that differ.
        complete: bool,
    },
    /// The end of `Action::TakeParts`; it is durable.
    PartsTaken {
        /// Where the table is now; none as long as it is of no one point.
        at: Option<Point>,
    },
    /// The store failed, or the process ends: this scheduler does nothing any more until it is opened anew.
    Closed,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the highest epoch seen durable; then `EpochPersisted`.
    PersistEpoch(Epoch),
    /// Append batches to the log, unseen by readers, and sync them soon; then `Logged`.
    Log(Vec<Batch>),
    /// End the log here: what lies behind it is lost, as meta showed; then `Cut`.
    Cut {
        /// The last batch that stays.
        to: Point,
    },
    /// Apply the batches up to this one, in order, and show them to readers; then `Applied`. A change whose origin was
    /// applied before is applied as nothing, and has the outcome that it had.
    Apply(Sequence),
    /// Hash the table's parts; then `PartsHashed`.
    HashParts,
    /// Read the parts that differ from these hashes, as many as a message holds, all at one point; then `PartsRead`.
    ReadParts {
        /// Whom they are for.
        to: ReplicaId,
        /// Which comparison of its.
        asked: Moment,
        /// Its hashes.
        hashes: Vec<u128>,
    },
    /// Replace these parts; where they are not all, the table is of no one point until they are, also after a restart. The
    /// log is empty behind it; then `PartsTaken`.
    TakeParts {
        /// The point of the table that they are from.
        at: Point,
        /// The parts.
        parts: Vec<Part>,
        /// Whether these were all that differed.
        complete: bool,
    },
    /// Send a message.
    Send {
        /// To whom.
        to: ReplicaId,
        /// The message.
        message: Message,
    },
    /// End a request.
    Answer {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answer,
    },
    /// Take a snapshot of the table as applied; then `Snapshotted`.
    Snapshot {
        /// For which read.
        request: RequestId,
    },
    /// Compare and swap the entry; then `Swapped`.
    Swap {
        /// The revision that must stand there.
        expect: Revision,
        /// The next entry.
        next: TagEntry,
    },
    /// Read the entry; then `Entry`. The shell may join many of these.
    ReadMeta,
    /// This scheduler begins to lead an epoch: for the record, and for metrics.
    Began {
        /// The epoch.
        epoch: Epoch,
    },
}

/// What a store kept of a scheduler.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The highest epoch that was persisted.
    pub epoch: Epoch,
    /// The point of the table; none where it was being replaced, part by part, and is of no one point.
    pub table: Option<Point>,
    /// The batches of the log behind it; whether they are committed is not known.
    pub batches: Vec<Batch>,
}
