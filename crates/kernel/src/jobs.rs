//! Jobs: who flushes, sorts and merges what, and when.
//!
//! A slice does one thing at a time: `SliceQueue` holds what waits. States of a slice: idle -> busy
//! (its job is with the runner) -> the next in its queue, or idle. A job that goes on later (after a
//! log sync) stays the slice's job until it calls `finished`.
//! Promises: at most `FLUSHES_MAX` flushes for room run side by side, one job a slice; every queued
//! job runs, or is dropped at shutdown; who asked is told in either case.
//! Locks: each mutex here is taken alone.

use crate::Error;
use crate::core::Core;
use crate::slice::Slice;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use world::{Lane, Promise, Ticket};

/// How many flushes for want of room may wait or run.
const FLUSHES_MAX: u32 = 2;

/// Something that a slice does alone. It must end with `Core::finished`.
pub(crate) type SliceJob = Box<dyn FnOnce(Arc<Core>, Arc<Slice>) + Send>;

/// What waits for a slice.
#[derive(Default)]
pub(crate) struct SliceQueue {
    inner: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    busy: bool,
    waiting: VecDeque<(Lane, SliceJob)>,
}

/// The node's jobs.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Jobs of slices that wait or run.
    pub(crate) count: AtomicU64,
    /// Flushes for room among them.
    flushes: AtomicU32,
    pub(crate) stopping: AtomicBool,
    quiet_timer: AtomicBool,
    pub(crate) retention_timer: AtomicBool,
    pub(crate) grave_timer: AtomicBool,
    /// The last bound that was logged in this run.
    pub(crate) retention_bound: AtomicI64,
    /// Set while a full disk is left alone.
    pub(crate) disk_pause: AtomicBool,
    /// Why the last flush failed, where that was for want of disk.
    pub(crate) disk_full: Mutex<Option<String>>,
    /// Set from a record that the log refused for want of disk to the next that it took.
    pub(crate) log_full: AtomicBool,
    idle: Mutex<Vec<Promise<()>>>,
}

impl SliceQueue {
    /// Whether nothing runs or waits.
    fn is_idle(&self) -> bool {
        !self.inner.lock().busy
    }
}

impl Core {
    /// Gives a slice something to do, after what it does now.
    pub(crate) fn enqueue(self: &Arc<Core>, slice: &Arc<Slice>, lane: Lane, job: SliceJob) {
        self.jobs.count.fetch_add(1, Ordering::AcqRel);
        let mut queue = slice.queue.inner.lock();
        if queue.busy {
            queue.waiting.push_back((lane, job));
            return;
        }
        queue.busy = true;
        drop(queue);
        self.start(slice, lane, job);
    }

    fn start(self: &Arc<Core>, slice: &Arc<Slice>, lane: Lane, job: SliceJob) {
        let (core, slice) = (Arc::clone(self), Arc::clone(slice));
        self.world.runner.submit(lane, Box::new(move || job(core, slice)));
    }

    /// The slice's job is over: the next begins.
    pub(crate) fn finished(self: &Arc<Core>, slice: &Arc<Slice>) {
        let mut queue = slice.queue.inner.lock();
        let next = if self.stopping() {
            let dropped = std::mem::take(&mut queue.waiting);
            self.jobs.count.fetch_sub(dropped.len() as u64, Ordering::AcqRel);
            queue.busy = false;
            drop(queue);
            drop(dropped);
            None
        } else {
            let next = queue.waiting.pop_front();
            queue.busy = next.is_some();
            drop(queue);
            next
        };
        if let Some((lane, job)) = next {
            self.start(slice, lane, job);
        }
        if self.jobs.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell_idle();
        }
        // Room may have been short while every slice was busy with a merge: nobody else looks again.
        self.relieve();
    }

    pub(crate) fn stopping(&self) -> bool {
        self.jobs.stopping.load(Ordering::Acquire)
    }

    /// A ticket for the moment when no job waits or runs.
    pub(crate) fn jobs_idle(&self) -> Ticket<()> {
        let (promise, ticket) = Ticket::pair();
        self.jobs.idle.lock().push(promise);
        if self.jobs.count.load(Ordering::Acquire) == 0 {
            self.tell_idle();
        }
        ticket
    }

    fn tell_idle(&self) {
        let waiting = std::mem::take(&mut *self.jobs.idle.lock());
        waiting.into_iter().for_each(|promise| promise.keep(()));
    }

    /// Begins flushes while room in memory or in the log is short.
    pub(crate) fn relieve(self: &Arc<Core>) {
        if self.stopping() || self.jobs.disk_pause.load(Ordering::Acquire) || self.poison().is_some() {
            return;
        }
        while self.is_short() {
            let begun =
                self.jobs.flushes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < FLUSHES_MAX).then_some(n + 1));
            if begun.is_err() {
                return;
            }
            let Some(slice) = self.choose() else {
                self.jobs.flushes.fetch_sub(1, Ordering::AcqRel);
                return;
            };
            let job: SliceJob = Box::new(|core, slice| {
                core.flush_slice(&slice, |core, _outcome| {
                    // A failure is kept in the slice's state; for want of disk it is tried when the next write comes.
                    core.jobs.flushes.fetch_sub(1, Ordering::AcqRel);
                });
            });
            self.enqueue(&slice, Lane::Flush, job);
        }
    }

    pub(crate) fn is_short(&self) -> bool {
        let flushing = self.flushing_bytes.load(Ordering::Relaxed);
        let buffered = self.shares.buffers.status().bytes.saturating_sub(flushing);
        buffered > self.settings.buffer_bytes_max / 2 || self.is_log_long()
    }

    /// Whether the log takes more of the disk than it should: flushed, its segments can go.
    fn is_log_long(&self) -> bool {
        self.log.bytes_needed() > self.settings.log_bytes_max / 2 || self.jobs.log_full.load(Ordering::Acquire)
    }

    /// The slice whose flush helps most: with the oldest record where the log is long, else the largest.
    fn choose(&self) -> Option<Arc<Slice>> {
        let ground = self.ground();
        let by_log = self.is_log_long();
        let idle = ground.slices.iter().filter(|slice| slice.queue.is_idle());
        let ranked = idle.filter_map(|slice| {
            let oldest = slice.oldest_flushable(by_log)?;
            let rank = if by_log { u64::MAX - oldest.0 } else { slice.state.lock().buffer.bytes() as u64 };
            Some((rank, slice))
        });
        ranked.max_by_key(|(rank, slice)| (*rank, slice.id)).map(|(_, slice)| Arc::clone(slice))
    }

    /// Flushes every slice; answers when what was applied before lies in files.
    pub(crate) fn flush_all(self: &Arc<Core>) -> Ticket<Result<(), Error>> {
        self.on_all_slices(Lane::Flush, |core, slice, done| {
            core.flush_slice(&slice, move |_, outcome| done.give(outcome));
        })
    }

    /// Runs a job on each slice, after what it does now; answers the first failure, or success.
    pub(crate) fn on_all_slices(
        self: &Arc<Core>,
        lane: Lane,
        job: impl Fn(Arc<Core>, Arc<Slice>, Answer) + Clone + Send + 'static,
    ) -> Ticket<Result<(), Error>> {
        let ground = self.ground();
        let (promise, ticket) = Ticket::pair();
        let gathered = Arc::new(Gathered {
            state: Mutex::new(Gathering { due: ground.slices.len() + 1, fault: None, asked: Some(promise) }),
        });
        for slice in &ground.slices {
            let (job, answer) = (job.clone(), Answer { gathered: Some(Arc::clone(&gathered)) });
            self.enqueue(slice, lane, Box::new(move |core, slice| job(core, slice, answer)));
        }
        Answer { gathered: Some(gathered) }.give(Ok(()));
        ticket
    }

    /// Looks again, after a while, for slices that hold records and get no more of them.
    pub(crate) fn watch_quiet(self: &Arc<Core>) {
        if self.stopping() || self.jobs.quiet_timer.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::downgrade(self);
        let look = Box::new(move || {
            let Some(core) = core.upgrade() else { return };
            core.jobs.quiet_timer.store(false, Ordering::Release);
            core.flush_quiet();
        });
        self.world.runner.submit_after(self.settings.flush_quiet.max(Duration::from_millis(10)) / 2, Lane::Flush, look);
    }

    fn flush_quiet(self: &Arc<Core>) {
        if self.stopping() {
            return;
        }
        let limit = u64::try_from(self.settings.flush_quiet.as_micros()).unwrap_or(u64::MAX);
        let now = self.world.clock.monotonic_us();
        let mut held = false;
        for slice in &self.ground().slices {
            let Some(since) = slice.flushable_since() else { continue };
            held = true;
            if now.saturating_sub(since) >= limit && slice.queue.is_idle() {
                self.enqueue(slice, Lane::Flush, Box::new(|core, slice| core.flush_slice(&slice, |_, _| {})));
            }
        }
        if held {
            self.watch_quiet();
        }
    }
}

/// Collects the answers of many jobs into one.
struct Gathered {
    state: Mutex<Gathering>,
}

struct Gathering {
    due: usize,
    fault: Option<Error>,
    asked: Option<Promise<Result<(), Error>>>,
}

/// One answer that is due. Dropped unused, it says that the store is shutting down.
pub(crate) struct Answer {
    gathered: Option<Arc<Gathered>>,
}

impl Answer {
    pub(crate) fn give(mut self, outcome: Result<(), Error>) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Result<(), Error>) {
        let Some(gathered) = self.gathered.take() else { return };
        let mut state = gathered.state.lock();
        state.due -= 1;
        if let Err(fault) = outcome {
            state.fault.get_or_insert(fault);
        }
        if state.due > 0 {
            return;
        }
        let (fault, asked) = (state.fault.take(), state.asked.take());
        drop(state);
        if let Some(promise) = asked {
            promise.keep(fault.map_or(Ok(()), Err));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(Err(Error::Closed));
    }
}
