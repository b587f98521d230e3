//! Threads: the real runner.
//!
//! What it is: one queue a lane, a fixed number of threads a lane (exactly one for `Lane::Log`,
//! so that order of submission is order of running), and one timer thread for delayed jobs.
//! What it promises: a job that panics aborts the process, once it said so on stderr: a broken
//! invariant of ours must not live on. `stop` lets running jobs end and drops those that wait.
//!
//! Shared state: `Lane::queue` and `Timer::due` each under their own mutex, never held together,
//! and never while a job runs or is dropped (a dropped job may abandon tickets, whose callbacks may
//! submit again). `stopping` only turns true; it is read under the mutex whose condition a thread
//! waits on, and set before each of them is taken and notified, so no thread sleeps through it.

use crate::{Job, Lane, Runner};
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// How many threads each lane has, each at least 1. `Lane::Log` always has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCounts {
    /// Threads of `Lane::Flush`.
    pub flush: usize,
    /// Threads of `Lane::Merge`.
    pub merge: usize,
    /// Threads of `Lane::Read`.
    pub read: usize,
}

impl Default for ThreadCounts {
    /// One flush, one merge, two read threads.
    fn default() -> Self {
        ThreadCounts { flush: 1, merge: 1, read: 2 }
    }
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    arrived: Condvar,
}

struct Delayed {
    due: Instant,
    /// Jobs due at the same moment run in order of submission.
    number: u64,
    lane: Lane,
    job: Job,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[derive(Default)]
struct Timer {
    due: Mutex<(BinaryHeap<Reverse<Delayed>>, u64)>,
    changed: Condvar,
}

#[derive(Default)]
struct Shared {
    queues: [Queue; 4],
    timer: Timer,
    stopping: AtomicBool,
}

/// The real runner. Stops when `stop` is called or the value is dropped.
pub struct Threads {
    shared: Arc<Shared>,
    ours: Vec<ThreadId>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

fn place(lane: Lane) -> usize {
    match lane {
        Lane::Log => 0,
        Lane::Flush => 1,
        Lane::Merge => 2,
        Lane::Read => 3,
    }
}

impl Threads {
    /// Starts the threads.
    ///
    /// # Panics
    /// Where the system refuses a thread.
    #[must_use]
    pub fn start(counts: ThreadCounts) -> Arc<Threads> {
        let shared = Arc::new(Shared::default());
        let mut handles = Vec::new();
        let lanes = [(Lane::Log, "log", 1), (Lane::Flush, "flush", counts.flush), (Lane::Merge, "merge", counts.merge)];
        for (lane, name, count) in lanes.into_iter().chain([(Lane::Read, "read", counts.read)]) {
            for i in 0..count.max(1) {
                let shared = Arc::clone(&shared);
                handles.push(spawn(format!("{name}-{i}"), move || shared.work(place(lane))));
            }
        }
        let timer = Arc::clone(&shared);
        handles.push(spawn("timer".to_owned(), move || timer.keep_time()));
        let ours = handles.iter().map(|handle| handle.thread().id()).collect();
        Arc::new(Threads { shared, ours, handles: Mutex::new(handles) })
    }

    /// Drops the jobs that wait and, later, those submitted from now on, and returns when the
    /// running ones have ended. May be called more than once; from a job it returns at once.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for queue in &self.shared.queues {
            let dropped = std::mem::take(&mut *queue.jobs.lock());
            queue.arrived.notify_all();
            drop(dropped);
        }
        let dropped = std::mem::take(&mut self.shared.timer.due.lock().0);
        self.shared.timer.changed.notify_all();
        drop(dropped);
        if self.ours.contains(&std::thread::current().id()) {
            return;
        }
        for handle in self.handles.lock().drain(..) {
            handle.join().expect("a thread of ours aborts the process rather than panic");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let body = move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            eprintln!("meridian: a job panicked (above): the process stops, so that nothing half-done lives on");
            std::process::abort();
        }
    };
    std::thread::Builder::new().name(name).spawn(body).expect("the system gives threads when the program starts")
}

impl Shared {
    fn work(&self, place: usize) {
        let queue = &self.queues[place];
        let mut jobs = queue.jobs.lock();
        while !self.stopping.load(Ordering::SeqCst) {
            match jobs.pop_front() {
                None => queue.arrived.wait(&mut jobs),
                Some(job) => {
                    drop(jobs);
                    job();
                    jobs = queue.jobs.lock();
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the substitute")]
    fn keep_time(&self) {
        let mut due = self.timer.due.lock();
        while !self.stopping.load(Ordering::SeqCst) {
            match due.0.peek().map(|Reverse(first)| first.due) {
                None => self.timer.changed.wait(&mut due),
                Some(moment) if moment > Instant::now() => {
                    self.timer.changed.wait_until(&mut due, moment);
                }
                Some(_) => {
                    let first = due.0.pop();
                    drop(due);
                    if let Some(Reverse(first)) = first {
                        self.submit(first.lane, first.job);
                    }
                    due = self.timer.due.lock();
                }
            }
        }
    }

    fn submit(&self, lane: Lane, job: Job) {
        let queue = &self.queues[place(lane)];
        let mut jobs = queue.jobs.lock();
        if self.stopping.load(Ordering::SeqCst) {
            drop(jobs);
            drop(job);
            return;
        }
        jobs.push_back(job);
        drop(jobs);
        queue.arrived.notify_one();
    }
}

impl Runner for Threads {
    fn submit(&self, lane: Lane, job: Job) {
        self.shared.submit(lane, job);
    }

    #[expect(clippy::disallowed_methods, reason = "this is the substitute")]
    fn submit_after(&self, delay: Duration, lane: Lane, job: Job) {
        // A delay beyond what the clock can say never comes to pass.
        let Some(moment) = Instant::now().checked_add(delay) else { return };
        let mut due = self.shared.timer.due.lock();
        if self.shared.stopping.load(Ordering::SeqCst) {
            drop(due);
            drop(job);
            return;
        }
        due.1 += 1;
        let number = due.1;
        due.0.push(Reverse(Delayed { due: moment, number, lane, job }));
        drop(due);
        self.shared.timer.changed.notify_one();
    }
}
