//! The embedded meta: a file of this process's own, for a process alone, or behind a lone manager.
//!
//! ```text
//! DIR/lock        held while it is open
//! DIR/meta.redb   the store: a redb file over `world::Disk`, tables in `tables.rs`
//! DIR/made        the meta's id; written last when a meta is made
//! ```
//! Promises: what was answered survives kill -9 and power loss. A swap is a redb transaction synced
//! once, shared by all that wait with it; revisions are etcd's. After a failed write or sync it
//! answers nothing, reads included (they might show what the disk does not hold), until it is opened
//! again; calls that were under way are in doubt.
//!
//! Crash reasoning. redb makes its file in many writes; one that is not whole is no redb file. `made`
//! is written once the store was made and synced: without it, the making was cut off, nothing was
//! ever answered, and it begins anew; with it, a store that is missing or unreadable is damage and
//! is never replaced by an empty one.
//!
//! Shared state: `Shared::state` under one mutex, never held while the disk works or a promise is
//! kept. redb's transactions are begun by one job at a time (`State::running`).
//!
//! May not know what keys mean.

mod backend;
mod deadlines;
mod opening;
mod queue;
mod tables;

use crate::{Answer, Entry, Error, Found, Key, LEASE_MS_MAX, Lease, LeaseId, Meta, MetaId, PAGE_ENTRIES_MAX, Page, Range};
use crate::{Hints, Revision, SWAP_KEYS_MAX, Swap, Swapped, Watch, Witness};
use deadlines::Deadlines;
use parking_lot::Mutex;
use queue::Call;
use redb::{Database, ReadableDatabase};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use world::{Promise, Ticket, World};

/// Most changes that may wait for the disk; one more is refused as `Error::Unavailable`.
pub const QUEUE_CALLS_MAX: usize = 4_096;

/// Most watches at a time.
pub const WATCHES_MAX: usize = 1_024;

/// Most leases at a time.
pub const LEASES_MAX: usize = 16_384;

/// The embedded meta. Dropping it closes it, once the job under way has ended.
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    id: MetaId,
    database: Database,
    state: Mutex<State>,
    /// Released when all is dropped.
    _lock: Box<dyn Send + Sync>,
}

struct State {
    /// Changes that wait, in order.
    queue: VecDeque<Call>,
    /// Whether a job takes from the queue, or will.
    running: bool,
    /// What is committed.
    revision: Revision,
    deadlines: Deadlines,
    watches: Vec<Hints>,
    /// Why nothing is answered any more.
    poisoned: Option<String>,
}

impl Embedded {
    /// Opens the meta in a directory; makes one where there is none and `known` is none.
    /// All leases begin anew.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`; `Error::Foreign` and `Error::Older` where it is not the
    /// known one.
    pub fn open(world: &World, dir: &Path, known: Option<Witness>) -> Result<Embedded, Error> {
        let opened = opening::open(world, dir, known)?;
        let now = world.clock.monotonic_us();
        let state = State {
            queue: VecDeque::new(),
            running: false,
            revision: opened.revision,
            deadlines: Deadlines::new(opened.leases, now),
            watches: Vec::new(),
            poisoned: None,
        };
        let shared = Arc::new(Shared {
            world: world.clone(),
            id: opened.id,
            database: opened.database,
            state: Mutex::new(state),
            _lock: opened.lock,
        });
        shared.wake_at_next_deadline();
        Ok(Embedded { shared })
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, Error> {
        if let Some(why) = &self.shared.state.lock().poisoned {
            return Err(Error::Poisoned(why.clone()));
        }
        let result = self.shared.database.begin_read().map_err(redb::Error::from).and_then(|transaction| read(&transaction));
        result.map_err(|error| self.shared.poison(&error))
    }

    fn queue<T: Send + 'static>(&self, call: impl FnOnce(Promise<Result<T, Error>>) -> Call) -> Answer<T> {
        let (promise, ticket) = Ticket::pair();
        self.shared.queue(call(promise));
        ticket
    }
}

fn refused<T: Send + 'static>(text: String) -> Answer<T> {
    Ticket::ready(Err(Error::Invalid(text)))
}

impl Meta for Embedded {
    fn witness(&self) -> Witness {
        Witness { id: self.shared.id, revision: self.shared.state.lock().revision }
    }

    fn get(&self, keys: &[Key]) -> Answer<Found> {
        if keys.len() > SWAP_KEYS_MAX {
            return refused(format!("{} keys were asked for, at most {SWAP_KEYS_MAX} are allowed", keys.len()));
        }
        Ticket::ready(self.read(|transaction| {
            let revision = tables::revision(transaction)?;
            let entries = keys.iter().map(|key| tables::entry(transaction, key)).collect::<Result<_, _>>()?;
            Ok(Found { revision, entries })
        }))
    }

    fn range(&self, range: &Range, limit: usize) -> Answer<Page> {
        if limit == 0 || limit > PAGE_ENTRIES_MAX {
            return refused(format!("a page of {limit} entries was asked for, 1 to {PAGE_ENTRIES_MAX} are allowed"));
        }
        Ticket::ready(self.read(|transaction| {
            let revision = tables::revision(transaction)?;
            let mut entries: Vec<Entry> = tables::entries(transaction, range, limit + 1)?;
            let more = entries.len() > limit;
            entries.truncate(limit);
            Ok(Page { revision, entries, more })
        }))
    }

    fn swap(&self, swap: Swap) -> Answer<Swapped> {
        match swap.check() {
            Ok(()) => self.queue(|promise| Call::Swap(swap, promise)),
            Err(error) => Ticket::ready(Err(error)),
        }
    }

    fn watch(&self, range: &Range, after: Revision) -> Result<Watch, Error> {
        let (hints, watch) = Watch::pair(range, None);
        let mut state = self.shared.state.lock();
        state.watches.retain(Hints::are_wanted);
        if state.watches.len() >= WATCHES_MAX {
            return Err(Error::Unavailable(format!("{WATCHES_MAX} watches are open already")));
        }
        // What changed since then is not kept: it may be anything.
        if after < state.revision {
            hints.anything(state.revision);
        }
        state.watches.push(hints);
        Ok(watch)
    }

    fn grant(&self, lasts: Duration) -> Answer<Lease> {
        let ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 || ms > LEASE_MS_MAX {
            return refused(format!("a lease of {ms} ms was asked for, 1 to {LEASE_MS_MAX} are allowed"));
        }
        // 63 bits, as etcd has them.
        let lease = LeaseId((self.shared.world.random.next_u64() >> 1).max(1));
        self.queue(|promise| Call::Grant(lease, ms, promise))
    }

    fn keep_alive(&self, lease: LeaseId) -> Answer<Duration> {
        let now = self.shared.world.clock.monotonic_us();
        let mut state = self.shared.state.lock();
        if let Some(why) = &state.poisoned {
            return Ticket::ready(Err(Error::Poisoned(why.clone())));
        }
        Ticket::ready(state.deadlines.renew(lease, now).ok_or(Error::LeaseGone(lease)))
    }

    fn revoke(&self, lease: LeaseId) -> Answer<()> {
        self.queue(|promise| Call::Revoke(lease, Some(promise)))
    }
}
