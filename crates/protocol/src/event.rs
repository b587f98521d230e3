//! What goes into a replica's machine, and what comes out of it.
//!
//! Promises: events may come late or never; an action is a wish that the shell carries out in order.
//! What the shell owes each action stands on the action. They may not know how it is carried out.

use crate::{History, Message, Offer, ProducerRow, Record, ReplicaId, RequestId, SliceEntry};
use bytes::Bytes;
use types::{Epoch, Origin, Revision, Sequence, Version};

/// What a reader asks of the copy that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// All that was acknowledged before the read began: from the primary, under its lease.
    Primary,
    /// At least this write, which the session wrote or saw.
    Session(Version),
    /// All that was acknowledged so many microseconds before the answer.
    Bounded {
        /// How stale it may be.
        us: u64,
    },
    /// Any state that was once the newest.
    Any,
}

/// Why a request was not carried out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This is not the primary (any more). A write may or may not have been logged: repeat it with the same
    /// number at the primary.
    NotPrimary {
        /// Who is, as far as is known here.
        primary: Option<ReplicaId>,
    },
    /// A switch-over is under way, or too much waits: repeat it soon.
    Busy,
    /// The copy here is not fresh enough: repeat it at the primary.
    Behind,
    /// The session's write is not in the history any more: it was lost with an `async` primary.
    Lost,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The write is in the log as its mode promises.
    Written {
        /// Its version, or, of a repetition, that of a later write.
        version: Version,
    },
    /// The snapshot that was taken may be read.
    Readable {
        /// The newest write in it.
        at: Version,
    },
    /// It was not carried out, or it is not known whether it was.
    Refused(Refusal),
}

/// How a swap of the slice's entry ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It happened; the entry now has this revision.
    Done(Revision),
    /// It did not, or an earlier sending of it did: this stands there now.
    Conflict {
        /// The entry.
        entry: SliceEntry,
        /// Its revision.
        revision: Revision,
    },
    /// No answer came: it may have happened, or may still happen.
    InDoubt,
}

/// Who wants records of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The replica that they are for.
    pub peer: ReplicaId,
    /// The epoch in which it wants them.
    pub epoch: Epoch,
    /// Whether it is a new primary that fetches what it lacks.
    pub fetches: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The moment of `Replica::wakes_at` has come, or any other.
    Tick,
    /// The slice's entry, from a read of `meta` or a watch; old news are ignored.
    Entry {
        /// The entry.
        entry: SliceEntry,
        /// Its revision.
        revision: Revision,
        /// Of a linearizable read: the epoch that came with `Action::ReadMeta`.
        seen: Option<Epoch>,
    },
    /// The end of a swap that this very process sent: the shell drops answers to an earlier one.
    Swapped {
        /// The revision that it compared with.
        expect: Revision,
        /// How it ended.
        outcome: Swapped,
    },
    /// A message for this very replica (the shell refuses what is meant for another store).
    Message {
        /// The sender.
        from: ReplicaId,
        /// The message.
        message: Message,
    },
    /// A client writes.
    Write {
        /// The request.
        request: RequestId,
        /// Whose batch it is.
        origin: Option<Origin>,
        /// A digest of the body.
        digest: u64,
        /// The section.
        body: Bytes,
    },
    /// A client reads.
    Read {
        /// The request.
        request: RequestId,
        /// What it asks of the copy.
        consistency: Consistency,
    },
    /// The end of `Action::Snapshot`.
    Snapshotted {
        /// The request.
        request: RequestId,
        /// The newest write in the snapshot.
        at: Version,
    },
    /// The end of `Action::PersistEpoch`.
    EpochPersisted(Epoch),
    /// Everything logged up to this record is synced.
    Logged(Version),
    /// The end of `Action::ReadLog`.
    LogRead {
        /// Who asked.
        reader: Reader,
        /// The record that they follow.
        after: Version,
        /// The records; none where the log was cut beyond.
        records: Option<Vec<Record>>,
    },
    /// The end of `Action::SetAside`; all of it is durable.
    SetAside {
        /// Where the log ends now.
        at: Version,
        /// The producers' numbers as of then.
        producers: Vec<ProducerRow>,
    },
    /// A flush is durable; the log was perhaps cut.
    Flushed {
        /// The last write that files hold.
        flushed: Version,
        /// The log holds what comes after this.
        log_after: Sequence,
    },
    /// The end of `Action::Pin`.
    Pinned {
        /// For whom.
        peer: ReplicaId,
        /// The manifest.
        offer: Offer,
    },
    /// The store had to let a pin go (its limit in bytes).
    PinLost {
        /// Whose.
        peer: ReplicaId,
    },
    /// The end of `Action::TakeFiles`: the replica now equals the offer, durably, and its log is empty.
    FilesTaken {
        /// What the files hold.
        history: History,
        /// The producers' numbers.
        producers: Vec<ProducerRow>,
    },
    /// Files could not be taken; the replica is as it was before.
    FilesRefused,
    /// An operator or manager wants another member to be the primary.
    HandOver {
        /// Who.
        to: ReplicaId,
    },
    /// The store failed, or the process ends: this replica does nothing any more until it is opened anew.
    Closed,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the highest epoch seen durable; then `EpochPersisted`.
    PersistEpoch(Epoch),
    /// Append records to the log, and sync them soon; then `Logged`. In order with all other store actions.
    Log(Vec<Record>),
    /// Read records that follow this one, up to a number and a size (one at least); then `LogRead`.
    ReadLog {
        /// For whom.
        reader: Reader,
        /// The record before.
        after: Version,
        /// The most records.
        records_max: usize,
        /// The most bytes.
        bytes_max: u64,
    },
    /// Keep the records beyond this one in a named place, then end the log there; rebuild what was applied of
    /// them; then `SetAside`.
    SetAside {
        /// The last one that stays.
        beyond: Version,
    },
    /// Apply records up to this one and show them to readers.
    Publish(Version),
    /// Records up to this one may be flushed.
    Stable(Version),
    /// Hold the manifest's files and the log behind it until `Unpin`; then `Pinned`.
    Pin {
        /// For whom.
        peer: ReplicaId,
    },
    /// Let them go.
    Unpin {
        /// Whose.
        peer: ReplicaId,
    },
    /// Apply and flush what the log has (unless it departs: it is a beginning of the offer), compare the groups (`Offer::compare`), copy what differs, set aside what is
    /// dropped or replaced and was the replica's own, and swap manifests once; then `FilesTaken` or `FilesRefused`.
    TakeFiles {
        /// Who offers.
        from: ReplicaId,
        /// What.
        offer: Offer,
        /// Whether the replica's own files depart from the primary's history (after an operator's force):
        /// then nothing of its own is flushed, and what is replaced is set aside.
        departs: bool,
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
    /// Take a snapshot of what is published; then `Snapshotted`.
    Snapshot {
        /// For which read.
        request: RequestId,
    },
    /// Compare and swap the slice's entry; then `Swapped`.
    Swap {
        /// The revision that must stand there.
        expect: Revision,
        /// The next entry.
        next: SliceEntry,
    },
    /// Read the slice's entry, linearizably; then `Entry`. The shell may join many of these.
    ReadMeta {
        /// The highest epoch persisted: a read that begins now can't show a lower one.
        seen: Epoch,
    },
    /// This replica begins to serve as primary of an epoch: for the record, and for metrics.
    Began {
        /// The epoch.
        epoch: Epoch,
        /// The last write before it.
        after: Version,
    },
    /// Meta is older than what this replica has seen: it was brought back from a copy. The replica ignores
    /// it until an operator has raised its entries above what was seen.
    MetaIsOld {
        /// What meta says.
        entry: Epoch,
        /// What was seen.
        seen: Epoch,
    },
}

/// What a store kept of a replica.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The highest epoch that was persisted.
    pub epoch: Epoch,
    /// The log and the files before it.
    pub history: History,
    /// The log holds what comes after this.
    pub log_after: Sequence,
    /// The last write that files hold.
    pub flushed: Version,
    /// The producers' numbers as of the log's end.
    pub producers: Vec<ProducerRow>,
}
