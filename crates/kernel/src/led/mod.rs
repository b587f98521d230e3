//! Led slices: numbered from outside, by the replication of a fleet (docs/decisions/0010-led-slices.md).
//!
//! ```text
//!   compose  a batch, cut by slice, and read back as drafts by whoever leads                 `composing`
//!   decide   what a record brings, by whoever leads, before it is logged                    `deciding`
//!   log      record (version, predecessor from outside) -> the log -> `Logged`, in order        `work`
//!   publish  up to a version: from the records at hand into the same buffers as ever            `work`
//!   stable   up to a version: what a flush may take                                             `flushing`
//!   files    pinned here, read piece by piece; taken there, group by group            `pins`, `taking`
//!   delete   what only this replica may have is set aside; the epoch stays                      `deleting`
//!   set aside  beyond a version: into set-aside/, then a note in the log, then out of the buffers  `aside`
//! ```
//! A slice is its own (the kernel numbers its writes, applies them once durable) or led, from its first write on. Log,
//! buffers, files, jobs and recovery are the same. What a led slice has besides is `Led`: its records (`records`), where
//! they are published, stable and flushed, its history, its promises.
//!
//! Order: what is asked of a slice takes effect in the order of asking. Appends go to the log's queue at once, in that
//! order. Whatever changes the log's end for good waits until all before it is synced (`work::Core::led_barrier`), and
//! what is asked meanwhile waits behind it (`waiting`).
//! After a failure of the disk in one of these steps the slice refuses everything (`broken`) until the store is opened again.
//!
//! Locks: the kernel's `order` (only to begin with a led slice) or a slice's `filing`, then its `led`, then the kernel's `visibility` or the slice's `values`, then its `state`. `led` is
//! held while records are appended and applied, so that versions reach the log and the buffers in order; promises are
//! kept, and room is given back, once it is free.
//! May not know: who leads, other replicas, networks.

mod aside;
mod composing;
pub(crate) mod deciding;
mod deleting;
mod face;
mod flushing;
pub(crate) mod format;
pub(crate) mod note;
mod opening;
mod pins;
mod records;
mod taking;
mod work;

pub(crate) use opening::slice_of;

pub use aside::{SetAside, read_set_aside};
pub use composing::compose;
pub use deciding::Draft;
pub use face::{LedListener, LedNews, LedSlice};
pub use format::commit_of;
pub use pins::{Piece, Pinned, offer_of};

use crate::Error;
use crate::commit::Body;
use log::{Position, Refusals};
use note::LedNote;
use protocol::{History, ProducerRow, Producers, Recovered, ReplicaId};
use records::Records;
use std::collections::{BTreeMap, VecDeque};
use storage::Manifest;
use types::{Epoch, Sequence, SliceId, Version};

/// What a led slice keeps besides what every slice has.
pub(crate) struct Led {
    /// Whether its data are wanted here. A deleted slice keeps its epoch only.
    exists: bool,
    /// The highest epoch that was asked to be kept, and the highest that is durable.
    epoch: Epoch,
    epoch_kept: Epoch,
    /// Where the note of it lies in the log, where the manifest lacks it.
    epoch_note: Option<Position>,
    /// Below this position nothing of the slice in the log counts.
    anew: Position,
    records: Records,
    /// Whether a record or an end was met at opening.
    begun: bool,
    /// What the log holds, from the slice's first write on.
    history: History,
    logged: Version,
    published: Version,
    stable: Version,
    flushed: Version,
    /// The producers' numbers as of `flushed`.
    producers: Vec<ProducerRow>,
    /// Who copies files, and what is held for it.
    pins: BTreeMap<ReplicaId, pins::Pin>,
    /// Whose pins were let go of, and who has not been told.
    pins_lost: Vec<ReplicaId>,
    /// What was handed to the log and not answered, and what the log told of the first of it.
    in_flight: u64,
    told: Option<Refusals>,
    /// Whether something is under way that changes where the log ends.
    blocked: bool,
    waiting: VecDeque<work::Op>,
    broken: Option<Error>,
}

impl Led {
    /// A slice in which nothing was written.
    fn new() -> Led {
        Led {
            exists: true,
            epoch: Epoch(0),
            epoch_kept: Epoch(0),
            epoch_note: None,
            anew: Position(0),
            records: Records::default(),
            begun: false,
            history: History::default(),
            logged: Version::default(),
            published: Version::default(),
            stable: Version::default(),
            flushed: Version::default(),
            producers: Vec::new(),
            pins: BTreeMap::new(),
            pins_lost: Vec::new(),
            in_flight: 0,
            told: None,
            blocked: false,
            waiting: VecDeque::new(),
            broken: None,
        }
    }

    /// As a manifest has it.
    pub(crate) fn of(manifest: &Manifest, note: LedNote) -> Led {
        let at = manifest.flushed;
        Led {
            exists: note.exists,
            epoch: note.epoch,
            epoch_kept: note.epoch,
            anew: note.anew,
            records: Records::after(at),
            history: History::new(manifest.epochs.clone(), at),
            logged: at,
            published: at,
            stable: at,
            flushed: at,
            producers: producer_rows(manifest),
            ..Led::new()
        }
    }

    fn note(&self) -> LedNote {
        LedNote { exists: self.exists, epoch: self.epoch, anew: self.anew }
    }

    /// What a flush may take: what is published and stable.
    fn bound(&self) -> Version {
        if self.stable.sequence <= self.published.sequence { self.stable } else { self.published }
    }

    /// What was logged and readers do not see yet.
    pub(crate) fn unpublished(&self) -> impl Iterator<Item = &Body> {
        self.records.beyond(self.published.sequence).flat_map(|kept| &kept.bodies)
    }

    /// The producers' numbers as of a version that is at hand.
    fn producers_at(&self, version: Version, producers_max: usize) -> Vec<ProducerRow> {
        let mut producers = Producers::new(&self.producers, producers_max);
        let records = self.records.beyond(self.flushed.sequence);
        records
            .take_while(|kept| kept.version().sequence <= version.sequence)
            .for_each(|kept| producers.note_record(&kept.record));
        producers.rows()
    }

    fn recovered(&self, producers_max: usize) -> Recovered {
        Recovered {
            epoch: self.epoch_kept,
            history: self.history.clone(),
            log_after: self.records.begin().sequence,
            flushed: self.flushed,
            producers: self.producers_at(self.records.last(), producers_max),
        }
    }

    /// Where the oldest thing lies in the log that no manifest holds, among what is in the log.
    pub(crate) fn oldest_needed(&self) -> Option<Position> {
        self.records.oldest_needed(self.flushed.sequence).into_iter().chain(self.epoch_note).min()
    }

    /// Where the oldest thing lies that a flush would take; none where it would take nothing.
    pub(crate) fn oldest_flushable(&self) -> Option<Position> {
        let records = (self.bound().sequence > self.flushed.sequence).then(|| self.records.oldest_needed(self.flushed.sequence));
        records.flatten().into_iter().chain(self.epoch_note).min()
    }

    /// Whether a flush would take records.
    pub(crate) fn has_flushable(&self) -> bool {
        self.bound().sequence > self.flushed.sequence
    }

    fn refusal(&self, slice: SliceId) -> Option<Error> {
        self.broken.clone().or_else(|| (!self.exists).then(|| refused(slice, "its data were deleted here".to_owned())))
    }
}

/// The producers' numbers as a led slice's manifest has them.
fn producer_rows(manifest: &Manifest) -> Vec<ProducerRow> {
    let row = |row: &storage::Producer| ProducerRow { producer: row.id, number: row.number, sequence: Sequence(row.last_used.0) };
    manifest.producers.iter().map(row).collect()
}

/// Something was asked of a slice that does not fit how it is numbered, or what it holds.
pub(crate) fn refused(slice: SliceId, what: String) -> Error {
    Error::Led { slice, what }
}
