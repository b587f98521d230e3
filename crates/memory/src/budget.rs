//! The budget: how many bytes there are, who holds them, who waits.
//!
//! Shared state: all counters and the queue under one mutex, held briefly, never while a promise is
//! kept, a grant is dropped or a reclaimer runs (each of which may come back here). Lock order:
//! a cache's shard, then this mutex.
//!
//! Order: waiters are served as they came, with one exception: a waiter that its own share's bound
//! holds back does not hold back other shares. One that only the budget holds back does, or large
//! requests would starve.

use crate::{Grant, Share};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use world::Promise;

/// Something that holds room which it can give back at once, as a cache does.
pub trait Reclaim: Send + Sync {
    /// Gives back about `bytes`, or all it can. Called with no lock held. Returns what it gave back.
    fn reclaim(&self, bytes: u64) -> u64;
}

/// What a share holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareStatus {
    /// Its name.
    pub name: &'static str,
    /// Its bound in bytes.
    pub bytes_max: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// The most it ever held.
    pub bytes_peak: u64,
    /// Bytes that wait for room.
    pub bytes_waiting: u64,
}

pub(crate) struct Waiter {
    pub share: Arc<Share>,
    pub bytes: u64,
    pub promise: Promise<Grant>,
}

struct State {
    bytes: u64,
    /// Shares that take nothing any more.
    closed: Vec<usize>,
    shares: Vec<ShareStatus>,
    queue: VecDeque<Waiter>,
}

/// Bytes with a ceiling.
pub struct Budget {
    bytes_max: u64,
    state: Mutex<State>,
    reclaimers: Mutex<Vec<Weak<dyn Reclaim>>>,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Budget> {
        let state = State { bytes: 0, closed: Vec::new(), shares: Vec::new(), queue: VecDeque::new() };
        Arc::new(Budget { bytes_max, state: Mutex::new(state), reclaimers: Mutex::default() })
    }

    /// A share that holds at most `bytes_max`, or the budget where that is less. The bounds of the
    /// shares may add up to more than the budget: it is the budget that is kept.
    #[must_use]
    pub fn share(self: &Arc<Self>, name: &'static str, bytes_max: u64) -> Arc<Share> {
        let bytes_max = bytes_max.min(self.bytes_max);
        let mut state = self.state.lock();
        state.shares.push(ShareStatus { name, bytes_max, bytes: 0, bytes_peak: 0, bytes_waiting: 0 });
        Share::new(Arc::clone(self), state.shares.len() - 1, bytes_max)
    }

    /// Its size.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes held by all shares.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// What each share holds, in the order in which they were made.
    #[must_use]
    pub fn shares(&self) -> Vec<ShareStatus> {
        self.state.lock().shares.clone()
    }

    /// Asks `reclaimer` for room whenever the budget is short, for as long as it lives.
    pub fn add_reclaimer(&self, reclaimer: Weak<dyn Reclaim>) {
        let mut reclaimers = self.reclaimers.lock();
        reclaimers.retain(|old| old.strong_count() > 0);
        reclaimers.push(reclaimer);
    }

    pub(crate) fn status(&self, share: usize) -> ShareStatus {
        self.state.lock().shares[share]
    }

    /// Takes room now, where there is some and nobody waits who comes first. No cache has to give way.
    pub(crate) fn try_take(&self, share: usize, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let open = state.is_open(self.bytes_max, share, bytes);
        if open {
            state.add(share, bytes);
        }
        open
    }

    /// As `try_take`, but asks the reclaimers first where only the budget is short.
    pub(crate) fn try_take_reclaiming(&self, share: usize, bytes: u64) -> bool {
        self.try_take(share, bytes) || (self.reclaim_for(share, bytes) && self.try_take(share, bytes))
    }

    /// Joins the queue, and is served where its turn has come already.
    pub(crate) fn enqueue(&self, waiter: Waiter) {
        let (share, bytes) = (waiter.share.index(), waiter.bytes);
        let mut state = self.state.lock();
        if state.closed.contains(&share) {
            drop(state);
            drop(waiter);
            return;
        }
        state.shares[share].bytes_waiting += bytes;
        state.queue.push_back(waiter);
        let served = state.serve(self.bytes_max);
        drop(state);
        deliver(served);
        self.reclaim_for(share, 0);
    }

    /// Abandons whoever waits for this share, now and, if it is closed, later.
    pub(crate) fn turn_away(&self, share: usize, closed: bool) {
        let mut state = self.state.lock();
        if closed {
            state.closed.push(share);
        }
        state.shares[share].bytes_waiting = 0;
        let (abandoned, others) = state.queue.drain(..).partition(|waiter| waiter.share.index() == share);
        state.queue = others;
        let served = state.serve(self.bytes_max);
        drop(state);
        drop::<VecDeque<Waiter>>(abandoned);
        deliver(served);
    }

    /// Somebody who waited gave up: whoever it held back may have its turn.
    pub(crate) fn pass_over(&self) {
        let served = self.state.lock().serve(self.bytes_max);
        deliver(served);
    }

    /// Takes room back and serves who waits, with what caches then have to give up.
    pub(crate) fn give_back(&self, share: usize, bytes: u64) {
        self.give_back_quietly(share, bytes);
        self.reclaim_for(share, 0);
    }

    /// Takes room back and serves who waits. For reclaimers: nobody is asked to give up more.
    pub(crate) fn give_back_quietly(&self, share: usize, bytes: u64) {
        let mut state = self.state.lock();
        assert!(state.shares[share].bytes >= bytes, "a share gives back what it holds");
        state.shares[share].bytes -= bytes;
        state.bytes -= bytes;
        let served = state.serve(self.bytes_max);
        drop(state);
        deliver(served);
    }

    /// Asks the reclaimers for what the budget is short of, for all that wait and `bytes` more of
    /// this share. Whether they gave anything.
    fn reclaim_for(&self, share: usize, bytes: u64) -> bool {
        let state = self.state.lock();
        if !state.fits_share(share, bytes) || (bytes == 0 && state.queue.is_empty()) {
            return false;
        }
        let wanted = state.wanted() + bytes;
        let missing = (state.bytes + wanted).saturating_sub(self.bytes_max);
        drop(state);
        if missing == 0 {
            return false;
        }
        let reclaimers: Vec<Arc<dyn Reclaim>> = self.reclaimers.lock().iter().filter_map(Weak::upgrade).collect();
        let mut given = 0;
        for reclaimer in reclaimers {
            given += reclaimer.reclaim(missing.saturating_sub(given));
            if given >= missing {
                break;
            }
        }
        given > 0
    }
}

impl State {
    fn add(&mut self, share: usize, bytes: u64) {
        let status = &mut self.shares[share];
        status.bytes += bytes;
        status.bytes_peak = status.bytes_peak.max(status.bytes);
        self.bytes += bytes;
    }

    fn fits_share(&self, share: usize, bytes: u64) -> bool {
        self.shares[share].bytes + bytes <= self.shares[share].bytes_max
    }

    /// Whether a newcomer may be served at once: it fits, and no waiter comes first.
    fn is_open(&self, bytes_max: u64, share: usize, bytes: u64) -> bool {
        let behind = |waiter: &Waiter| waiter.share.index() == share || self.fits_share(waiter.share.index(), waiter.bytes);
        self.fits_share(share, bytes)
            && !self.closed.contains(&share)
            && self.bytes + bytes <= bytes_max
            && !self.queue.iter().any(|waiter| waiter.promise.is_awaited() && behind(waiter))
    }

    /// What the waiters lack that only the budget holds back.
    fn wanted(&self) -> u64 {
        let mut room: Vec<u64> = self.shares.iter().map(|share| share.bytes_max - share.bytes).collect();
        let mut wanted = 0;
        for waiter in self.queue.iter().filter(|waiter| waiter.promise.is_awaited()) {
            let room = &mut room[waiter.share.index()];
            match room.checked_sub(waiter.bytes) {
                Some(left) => {
                    *room = left;
                    wanted += waiter.bytes;
                }
                // Whoever comes behind in this share waits for this one.
                None => *room = 0,
            }
        }
        wanted
    }

    /// Takes out of the queue those whose turn has come, their bytes added; and those who gave up.
    fn serve(&mut self, bytes_max: u64) -> Vec<Waiter> {
        let mut served = Vec::new();
        let mut held_back: Vec<usize> = Vec::new();
        let mut i = 0;
        while let Some(waiter) = self.queue.get(i) {
            let (share, bytes, awaited) = (waiter.share.index(), waiter.bytes, waiter.promise.is_awaited());
            if awaited && held_back.contains(&share) {
                i += 1;
            } else if awaited && !self.fits_share(share, bytes) {
                held_back.push(share);
                i += 1;
            } else if awaited && self.bytes + bytes > bytes_max {
                break;
            } else {
                self.shares[share].bytes_waiting -= bytes;
                self.add(share, if awaited { bytes } else { 0 });
                served.extend(self.queue.remove(i).filter(|_| awaited));
            }
        }
        served
    }
}

/// Hands out what was taken. A ticket that was dropped meanwhile drops its grant, which gives back.
fn deliver(served: Vec<Waiter>) {
    for Waiter { share, bytes, promise } in served {
        promise.keep(Grant::new(share, bytes));
    }
}
