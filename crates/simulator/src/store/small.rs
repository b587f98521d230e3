//! A small store: a log, immutable files in groups, and a manifest that is swapped as a whole, a slice.
//!
//! ```text
//!   log    after ─────────── flushed ─────────── synced ······ last      a crash keeps some of the dots
//!   files  group (period) -> files -> (version, change)                  never changed, only replaced
//!   aside  what a deposed primary had alone
//! ```
//! Promises: those of `Store`. State is rebuilt from files and log, never carried over a crash.

mod kept;
mod manifest;

pub use kept::FileGone;
pub use manifest::File;

use super::{CopiedGroup, Done, Store, Task};
use crate::data::{Op, State, encode};
use bytes::Bytes;
use kept::Kept;
use protocol::{Planted, Record, Recovered, ReplicaId};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use types::{Period, SliceId, StoreId, Version};

/// The store.
pub struct SmallStore {
    id: StoreId,
    slices: BTreeMap<SliceId, Kept>,
    queue: VecDeque<(SliceId, Task)>,
    planted: Planted,
    /// How many records of the log stay behind a flush.
    log_keeps: usize,
}

impl SmallStore {
    /// An empty store.
    #[must_use]
    pub fn new(id: StoreId, log_keeps: usize, planted: Planted) -> SmallStore {
        SmallStore { id, slices: BTreeMap::new(), queue: VecDeque::new(), planted, log_keeps }
    }

    /// One sync for all records at the front of the queue.
    fn sync(&mut self, full: bool, done: &mut Vec<(SliceId, Done)>) {
        let mut synced: BTreeMap<SliceId, usize> = BTreeMap::new();
        while matches!(self.queue.front(), Some((_, Task::Log(_)))) {
            let Some((slice, Task::Log(records))) = self.queue.pop_front() else { return };
            *synced.entry(slice).or_default() += records.len();
        }
        for (slice, count) in synced {
            if full {
                done.push((slice, Done::Full));
            } else if let Some(version) = self.slices.get_mut(&slice).and_then(|kept| kept.synced(count)) {
                done.push((slice, Done::Logged(version)));
            }
        }
    }

    fn other(&mut self, slice: SliceId, task: Task, wall: i64) -> Option<Done> {
        let (planted, log_keeps) = (self.planted, self.log_keeps);
        let kept = self.slices.get_mut(&slice)?;
        match task {
            Task::PersistEpoch(epoch) => {
                kept.epoch = kept.epoch.max(epoch);
                Some(Done::Epoch(epoch))
            }
            Task::Log(_) => None,
            Task::SetAside(beyond) => {
                kept.set_aside(beyond, wall, planted);
                Some(Done::SetAside(beyond, kept.producers_at_end().rows()))
            }
            Task::Flush => match kept.flush(kept.flushable(), log_keeps) {
                Some((flushed, after)) => Some(Done::Flushed(flushed, after)),
                None => Some(Done::Nothing),
            },
            Task::Merge => {
                kept.merge(planted);
                None
            }
            Task::Pin(peer) => Some(Done::Pinned(peer, kept.pin(peer))),
            Task::Unpin(peer) => {
                kept.unpin(peer);
                None
            }
            Task::Prepare { departs } => {
                if !departs {
                    // It is a beginning of what is offered, so it is stable.
                    kept.publish(kept.last(), wall, planted);
                    kept.flush(kept.last(), log_keeps);
                }
                Some(Done::Prepared(kept.group_versions()))
            }
            Task::Install { offer, copied } => {
                let history = offer.history.clone();
                kept.install(offer, copied, wall, planted);
                Some(Done::Installed(history, kept.producers_at_end().rows()))
            }
            Task::Delete { forced } => {
                kept.delete(forced);
                Some(Done::Deleted)
            }
        }
    }
}

impl Store for SmallStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn open(&mut self, wall: i64) -> Vec<(SliceId, Recovered)> {
        let planted = self.planted;
        let there = self.slices.iter_mut().filter(|(_, kept)| kept.exists);
        there.map(|(slice, kept)| (*slice, kept.open(wall, planted))).collect()
    }

    fn create(&mut self, slice: SliceId) -> Recovered {
        let kept = self.slices.entry(slice).or_default();
        kept.exists = true;
        Recovered { epoch: kept.epoch, ..Recovered::default() }
    }

    fn compose(&self, _: SliceId, ops: &[Op]) -> Bytes {
        encode(ops)
    }

    fn submit(&mut self, slice: SliceId, task: Task) {
        if let (Task::Log(records), Some(kept)) = (&task, self.slices.get_mut(&slice)) {
            kept.append(records);
        }
        self.queue.push_back((slice, task));
    }

    fn publish(&mut self, slice: SliceId, up_to: Version, wall: i64) {
        let planted = self.planted;
        if let Some(kept) = self.slices.get_mut(&slice) {
            kept.publish(up_to, wall, planted);
        }
    }

    fn set_stable(&mut self, slice: SliceId, up_to: Version) {
        if let Some(kept) = self.slices.get_mut(&slice) {
            kept.stable = up_to;
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    fn work(&mut self, wall: i64, full: bool, done: &mut Vec<(SliceId, Done)>) {
        if matches!(self.queue.front(), Some((_, Task::Log(_)))) {
            return self.sync(full, done);
        }
        let Some((slice, task)) = self.queue.pop_front() else { return };
        if full && !matches!(task, Task::Unpin(_) | Task::Delete { .. }) {
            return done.push((slice, Done::Full));
        }
        if let Some(outcome) = self.other(slice, task, wall) {
            done.push((slice, outcome));
        }
    }

    fn read_log(&self, slice: SliceId, after: Version, records_max: usize) -> Option<Vec<Record>> {
        self.slices.get(&slice)?.read_log(after, records_max)
    }

    fn shown(&self, slice: SliceId) -> Option<Version> {
        self.state(slice).map(|state| state.at)
    }

    fn state(&self, slice: SliceId) -> Option<Cow<'_, State>> {
        self.slices.get(&slice).filter(|kept| kept.exists).map(|kept| Cow::Borrowed(&kept.state))
    }

    fn pinned_group(&self, slice: SliceId, pin: ReplicaId, period: Period) -> Option<Result<CopiedGroup, FileGone>> {
        self.slices.get(&slice)?.pinned_group(pin, period)
    }

    fn crash(&mut self, _power: bool, keep: &mut dyn FnMut(usize) -> usize) {
        self.queue.clear();
        for kept in self.slices.values_mut() {
            kept.crash(keep);
        }
    }

    fn keeps(&self, slice: SliceId, version: Version) -> bool {
        self.slices.get(&slice).is_some_and(|kept| kept.keeps(version))
    }

    fn versions(&self, slice: SliceId) -> Vec<Version> {
        self.slices.get(&slice).map(Kept::versions).unwrap_or_default()
    }
}
