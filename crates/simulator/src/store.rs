//! What a simulated node keeps its slices in, behind a small trait.
//!
//! Two stores stand behind it: a small one, which does all of it and is quick (`small`), and the kernel on a simulated
//! disk (`kernel`). The trait is what docs/decisions/0008-replication.md asks of the kernel.
//! Promises of a store: tasks of all slices are carried out in the order in which they were handed in, one
//! `work` at a time; what was reported as done survives a crash, and of the rest a beginning may survive.
//! It may not know the protocol, only what is to be logged and kept.

pub mod kernel;
pub mod small;

use crate::data::{Op, State};
use bytes::Bytes;
use protocol::{History, Offer, ProducerRow, Record, Recovered, ReplicaId};
use small::FileGone;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{Epoch, Period, SliceId, StoreId, Version};

/// Something to be kept.
#[derive(Clone, Debug)]
pub enum Task {
    /// The highest epoch seen. It outlives the slice's deletion.
    PersistEpoch(Epoch),
    /// Records, in the log's order.
    Log(Vec<Record>),
    /// Keep the records beyond this one in a named place, and end the log there.
    SetAside(Version),
    /// Write what is stable and published to files; cut the log.
    Flush,
    /// Join the files of each group.
    Merge,
    /// Hold the manifest and the log behind it.
    Pin(ReplicaId),
    /// Let them go.
    Unpin(ReplicaId),
    /// Before files are taken: flush all, unless the files depart from the primary's history.
    Prepare {
        /// Whether they do.
        departs: bool,
    },
    /// Take over an offer: these groups were copied, those are dropped.
    Install {
        /// What was offered.
        offer: Offer,
        /// Copied groups.
        copied: BTreeMap<Period, CopiedGroup>,
    },
    /// Delete the slice's data; what only this replica may have is set aside.
    Delete {
        /// The newest epoch that an operator forced, as the entry says that no longer names this replica.
        forced: Epoch,
    },
}

/// A file group on its way to another store of the same sort.
#[derive(Clone, Debug)]
pub enum CopiedGroup {
    /// Between small stores.
    Small(Vec<Rc<small::File>>),
    /// Between kernels: the pieces that it takes.
    Kernel(Vec<(::kernel::Piece, Bytes)>),
}

/// Something that was kept.
#[derive(Clone, Debug)]
pub enum Done {
    /// The epoch is durable.
    Epoch(Epoch),
    /// All records up to this one are synced.
    Logged(Version),
    /// The log ends here.
    SetAside(Version, Vec<ProducerRow>),
    /// Files hold all up to the first; the log holds what comes after the second.
    Flushed(Version, Version),
    /// The manifest is held.
    Pinned(ReplicaId, Offer),
    /// The groups' versions, ready to be compared.
    Prepared(Vec<(Period, Version)>),
    /// A pin was let go of, by the limit of what may be held.
    PinLost(ReplicaId),
    /// What came was not what was offered: all is as it was.
    Refused,
    /// The offer was taken over.
    Installed(History, Vec<ProducerRow>),
    /// The data are gone.
    Deleted,
    /// There was nothing to flush.
    Nothing,
    /// The disk is full: nothing is known of what was to be written, and the store must be opened again.
    Full,
}

/// What a node keeps.
pub trait Store {
    /// Which store it is.
    fn id(&self) -> StoreId;
    /// Opens what was kept: each slice's replica.
    fn open(&mut self, wall: i64) -> Vec<(SliceId, Recovered)>;
    /// Makes room for a slice; what is recovered is its epoch alone, where it was here before.
    fn create(&mut self, slice: SliceId) -> Recovered;
    /// The body of a record of these changes, in the store's form.
    fn compose(&self, slice: SliceId, ops: &[Op]) -> Bytes;
    /// Hands a task in.
    fn submit(&mut self, slice: SliceId, task: Task);
    /// Shows records up to this one to readers.
    fn publish(&mut self, slice: SliceId, up_to: Version, wall: i64);
    /// Allows flushes up to this one.
    fn set_stable(&mut self, slice: SliceId, up_to: Version);
    /// Whether there is work.
    fn has_work(&self) -> bool;
    /// Carries the next work out: one sync for all records that wait, or one other task.
    fn work(&mut self, wall: i64, full: bool, done: &mut Vec<(SliceId, Done)>);
    /// Records that follow this one; none where the log was cut beyond it.
    fn read_log(&self, slice: SliceId, after: Version, records_max: usize) -> Option<Vec<Record>>;
    /// The newest record that readers see.
    fn shown(&self, slice: SliceId) -> Option<Version>;
    /// What readers see.
    fn state(&self, slice: SliceId) -> Option<Cow<'_, State>>;
    /// A pinned group's files; none where the pin is gone.
    fn pinned_group(&self, slice: SliceId, pin: ReplicaId, period: Period) -> Option<Result<CopiedGroup, FileGone>>;
    /// The process ends; where the power went, what is not durable may go. Who keeps no disk asks `keep` how many of so many
    /// records that were not synced stay.
    fn crash(&mut self, power: bool, keep: &mut dyn FnMut(usize) -> usize);
    /// Whether a record is in the log, in files, or was set aside.
    fn keeps(&self, slice: SliceId, version: Version) -> bool;
    /// Every version that is here in some form: what a disk that is lost takes with it.
    fn versions(&self, slice: SliceId) -> Vec<Version>;
}
