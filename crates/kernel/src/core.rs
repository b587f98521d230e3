//! The heart of a kernel: what commits, reads and jobs share.
//!
//! Shared state and who touches it:
//! - `order` (mutex): commit number, next versions, producers; callers' threads and Lane::Log, briefly.
//! - `thinning` (mutex): see `thinning`; callers' threads, and Lane::Log where a commit is refused.
//! - `visibility` (read-write): written on Lane::Log and by jobs that swap a slice's view, read by
//!   snapshots: so a snapshot sees a commit in all its slices or in none.
//! - `visible`: the newest commit of slices that are numbered here that reads see; moved last, under `visibility`.
//!   `visible_led`: the newest one of led slices. They move apart, since a led slice's commit was numbered elsewhere
//!   and may stand above commits that are still on their way here.
//! - a slice's own locks: see `slice`.
//!
//! Order of locks: `node` (set the rule, note a cut of the log), then `order`, then `ground` (only to set the rule); `thinning`,
//! then `order`, or a slice's `values` or `view`; a slice's `filing`, then `visibility`, then a slice's `state`,
//! then its `view`. `order`
//! is else taken alone.

use crate::commit::WithRoom;
use crate::histogram::Histogram;
use crate::jobs::Jobs;
use crate::led::LedListener;
use crate::node::{Neighbour, Node};
use crate::origins::Origins;
use crate::recovery::record_bytes_max;
use crate::shares::Shares;
use crate::slice::Slice;
use crate::thinning::Doors;
use crate::{Deletion, Error, Settings, TagSelection};
use log::{Hold, Log};
use parking_lot::{Mutex, RwLock};
use series::Placement;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use storage::StoreId;
use types::{CommitNumber, DistributionRule, Epoch, Kinds, SliceId, TagId, Timestamp};
use world::{Promise, Ticket, World};

/// What the distribution rule decides: the rule and its slices. Replaced as a whole by `set_rule`.
pub(crate) struct Ground {
    pub(crate) rule: DistributionRule,
    pub(crate) period_us: i64,
    pub(crate) placement: Placement,
    pub(crate) slices: Vec<Arc<Slice>>,
    /// Held by each write that was cut by this rule and is not ordered yet: until then it has no number to be seen by.
    pub(crate) underway: Arc<()>,
}

/// A write that was cut by the rule in force: as long as it lives, no other rule is set.
pub(crate) struct Underway(#[expect(dead_code, reason = "it is held, and counted")] Arc<()>);

/// What gives writes their numbers.
pub(crate) struct Order {
    pub(crate) commit: CommitNumber,
    /// A moment that is over (`moments`): later commits have higher numbers.
    pub(crate) over: CommitNumber,
    /// The last sequence given in each slice.
    pub(crate) sequences: Vec<u64>,
    pub(crate) origins: Origins<WithRoom>,
    /// Writes ordered and not answered yet.
    pub(crate) in_flight: u64,
    pub(crate) waiting_idle: Vec<Promise<()>>,
    pub(crate) closed: bool,
    /// Whether a tag was ever thinned since opening: then deletions must be told to `thinning`.
    pub(crate) thins: bool,
    /// Whether a slice is led: then writes must be looked at.
    pub(crate) leads: bool,
}

/// Counts since opening.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) rows_written: AtomicU64,
    pub(crate) rows_thinned: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) flushed_bytes: AtomicU64,
    pub(crate) merged_bytes: AtomicU64,
    /// From the call to the answer.
    pub(crate) commit_times: Histogram,
    pub(crate) flush_times: Histogram,
    pub(crate) merge_times: Histogram,
}

/// What commits, reads and jobs share.
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) settings: Settings,
    pub(crate) kinds: Arc<dyn Kinds>,
    pub(crate) node: Mutex<Node>,
    pub(crate) epoch: Epoch,
    pub(crate) log: Arc<Log>,
    pub(crate) thinning: Mutex<Doors>,
    pub(crate) order: Mutex<Order>,
    pub(crate) ground: RwLock<Arc<Ground>>,
    pub(crate) visibility: RwLock<()>,
    pub(crate) visible: AtomicU64,
    pub(crate) visible_led: AtomicU64,
    /// Where the newest record lies in the log that was applied, or that a led slice has at hand.
    pub(crate) applied: AtomicU64,
    pub(crate) shares: Shares,
    /// Room of what is being flushed now.
    pub(crate) flushing_bytes: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) jobs: Jobs,
    pub(crate) poison: OnceLock<String>,
    pub(crate) listener: OnceLock<LedListener>,
    /// What whoever opened it is to have of the log.
    pub(crate) held: Mutex<Option<Hold>>,
}

impl Core {
    pub(crate) fn ground(&self) -> Arc<Ground> {
        Arc::clone(&self.ground.read())
    }

    /// The ground that a write is cut by, which stays until that is ordered or refused.
    pub(crate) fn ground_of_write(&self) -> (Arc<Ground>, Underway) {
        // Under the lock, so that whoever sets a rule sees it.
        let ground = self.ground.read();
        (Arc::clone(&ground), Underway(Arc::clone(&ground.underway)))
    }

    pub(crate) fn visible(&self) -> CommitNumber {
        CommitNumber(self.visible.load(Ordering::Acquire))
    }

    /// The wall clock in microseconds, never negative.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.world.clock.wall_us()).unwrap_or(0)
    }

    /// The most bytes that one write may have: two of them must fit the write buffers' share.
    pub(crate) fn write_bytes_max(&self) -> u64 {
        (self.settings.buffer_bytes_max / 2).min(record_bytes_max(&self.settings))
    }

    /// Why the store refuses writes, if it does.
    pub(crate) fn poison(&self) -> Option<Error> {
        self.poison.get().map(|why| Error::Poisoned(why.clone()))
    }

    /// Refuses writes from now on; the first reason stands. Writers who wait for room are told.
    pub(crate) fn poison_with(&self, why: String) -> Error {
        let fault = Error::Poisoned(self.poison.get_or_init(|| why).clone());
        self.shares.buffers.close();
        fault
    }

    /// Why a write that waited for room was given up.
    pub(crate) fn refusal(&self) -> Error {
        self.poison().or_else(|| self.disk_full()).unwrap_or(Error::Closed)
    }

    /// Why buffers can't be flushed, where that is for want of disk: then writes that find no room don't wait for it.
    pub(crate) fn disk_full(&self) -> Option<Error> {
        self.jobs.disk_full.lock().clone().map(Error::DiskFull)
    }

    pub(crate) fn note_neighbour(&self, neighbour: Neighbour) -> Result<(), Error> {
        let noted = self.node.lock().note_neighbour(&*self.world.disk, neighbour);
        noted.map_err(|fault| self.poison_with(fault.to_string()))
    }

    pub(crate) fn set_rule(&self, rule: DistributionRule) -> Result<(), Error> {
        rule.check()?;
        // Poisoning tells writers who wait, and they take `order`: so it is done once that is free.
        self.try_set_rule(rule)?.map_err(|fault| self.poison_with(fault.to_string()))
    }

    /// Within: the failure after which it is not known which rule lies on disk.
    fn try_set_rule(&self, rule: DistributionRule) -> Result<Result<(), Error>, Error> {
        let mut node = self.node.lock();
        let mut order = self.order.lock();
        let mut ground = self.ground.write();
        if ground.rule == rule {
            return Ok(Ok(()));
        }
        // What was ever written, also to a slice that is led, has a commit number.
        if order.commit.0 > 0 || order.in_flight > 0 {
            return Err(Error::RuleIsSet);
        }
        // The log may name a led slice though nothing was written to it: it must be there when the log is read again.
        let mut beyond = ground.slices.iter().skip(rule.buckets as usize);
        if beyond.any(|slice| slice.is_led.load(Ordering::Acquire)) {
            return Err(Error::RuleIsSet);
        }
        if let Some(poison) = self.poison() {
            return Err(poison);
        }
        // Writes that wait for room were cut by the rule in force; later ones wait here for the new one.
        if Arc::strong_count(&ground.underway) > 1 {
            return Err(Error::RuleIsSet);
        }
        // Nothing may be written under the old rule once another may be on disk: known before `order` is free.
        let set = node.set_rule(&*self.world.disk, rule).inspect_err(|fault| {
            self.poison.get_or_init(|| fault.to_string());
        });
        Ok(set.map(|()| {
            order.sequences = vec![0; rule.buckets as usize];
            *ground = Arc::new(ground.relaid(rule, &self.kinds));
        }))
    }

    /// Stops taking writes; what was taken goes on.
    pub(crate) fn stop(&self) {
        self.order.lock().closed = true;
        self.jobs.stopping.store(true, Ordering::Release);
        self.shares.buffers.close();
    }

    pub(crate) fn close(self: &Arc<Core>) -> Ticket<Result<(), Error>> {
        self.stop();
        let (promise, ticket) = Ticket::pair();
        let idle = {
            let mut order = self.order.lock();
            let (idle, ticket) = Ticket::pair();
            if order.in_flight == 0 {
                idle.keep(())
            } else {
                order.waiting_idle.push(idle)
            }
            ticket
        };
        let core = Arc::clone(self);
        idle.on_done(move |_| {
            let log = Arc::clone(&core.log);
            log.close(move |closed| {
                let outcome = match closed {
                    Ok(_) | Err(log::Error::Closed) => Ok(()),
                    Err(fault) => Err(core.poison_with(fault.to_string())),
                };
                core.jobs_idle().on_done(move |_| promise.keep(outcome));
            });
        });
        ticket
    }
}

impl Ground {
    pub(crate) fn slice(&self, slice: SliceId) -> &Arc<Slice> {
        &self.slices[slice.0 as usize]
    }
}

/// What each slice gets of a deletion. A slice that can't hold any of it gets nothing.
pub(crate) fn split_deletion(rule: &DistributionRule, deletion: Deletion) -> Vec<(SliceId, Deletion)> {
    let everywhere = (0..rule.buckets).map(SliceId);
    match deletion {
        Deletion::Range { range, .. } if range.is_empty() => Vec::new(),
        Deletion::Range { tags: TagSelection::List(tags), range } if rule.ignores_time() => {
            let mut by_slice: BTreeMap<SliceId, Vec<TagId>> = BTreeMap::new();
            for tag in tags.iter() {
                by_slice.entry(rule.slice(*tag, Timestamp(0))).or_default().push(*tag);
            }
            by_slice.into_iter().map(|(slice, tags)| (slice, Deletion::Range { tags: TagSelection::of(tags), range })).collect()
        }
        Deletion::Range { tags, range } => {
            everywhere.map(|slice| (slice, Deletion::Range { tags: tags.clone(), range })).collect()
        }
        Deletion::Points(points) => {
            let mut by_slice: BTreeMap<SliceId, Vec<(TagId, Timestamp)>> = BTreeMap::new();
            for (tag, time) in points {
                by_slice.entry(rule.slice(tag, time)).or_default().push((tag, time));
            }
            by_slice.into_iter().map(|(slice, points)| (slice, Deletion::Points(points))).collect()
        }
    }
}
