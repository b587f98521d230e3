//! The runner: who executes jobs (log writes, flushes, merges, cuts). The kernel starts no threads.
//!
//! Promises of every runner: a job runs exactly once, or never if the process ends; jobs of
//! `Lane::Log` run one at a time in the order of submission; jobs of other lanes may run side by
//! side and in any order. A job may submit jobs. A job must not wait for another job.

use std::time::Duration;

/// A piece of work.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// What a job is for. A runner gives lanes threads, or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Writing and syncing the log, and applying what became durable: strictly in order.
    Log,
    /// Work that writers wait for when it falls behind: sorting, flushing.
    Flush,
    /// Work that only tidies: merging, cutting the log, retention, deleting files.
    Merge,
    /// Reading on behalf of a query.
    Read,
}

/// Runs jobs.
pub trait Runner: Send + Sync {
    /// Runs the job as soon as its lane has room.
    fn submit(&self, lane: Lane, job: Job);

    /// Runs the job once `delay` of monotonic time has passed.
    fn submit_after(&self, delay: Duration, lane: Lane, job: Job);
}
