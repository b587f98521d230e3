//! A queue of jobs that runs on the caller's thread, in an order that the seed chooses.
//!
//! Jobs of `Lane::Log` keep their order among each other; everything else may come in any order.
//! The lock is never held while a job runs or is dropped, so jobs may submit jobs.

use super::{SeededRandom, SimulatedClock};
use crate::{Clock, Job, Lane, Random, Runner};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
struct State {
    log: VecDeque<Job>,
    others: Vec<Job>,
    /// By due time in monotonic microseconds, then by number of submission.
    delayed: BTreeMap<(u64, u64), (Lane, Job)>,
    submitted: u64,
}

/// A runner that a test steps.
pub struct StepRunner {
    state: Mutex<State>,
    random: SeededRandom,
    clock: Arc<SimulatedClock>,
}

impl StepRunner {
    /// A runner whose order the seed chooses and whose delays the clock measures.
    #[must_use]
    pub fn new(seed: u64, clock: Arc<SimulatedClock>) -> StepRunner {
        StepRunner { state: Mutex::default(), random: SeededRandom::new(seed), clock }
    }

    /// Runs one job that is due. Whether there was one. Time stands still.
    pub fn step(&self) -> bool {
        let job = {
            let mut state = self.state.lock();
            let now = self.clock.monotonic_us();
            while let Some(first) = state.delayed.first_entry().filter(|first| first.key().0 <= now) {
                let (lane, job) = first.remove();
                state.add(lane, job);
            }
            let ready = state.others.len() as u64 + u64::from(!state.log.is_empty());
            match self.random.below(ready) as usize {
                _ if ready == 0 => None,
                chosen if chosen < state.others.len() => Some(state.others.swap_remove(chosen)),
                _ => state.log.pop_front(),
            }
        };
        job.map(|job| job()).is_some()
    }

    /// Runs jobs until none is due. Returns how many ran.
    ///
    /// # Panics
    /// After ten million jobs: then they breed each other.
    pub fn run_until_idle(&self) -> usize {
        let mut ran = 0;
        while self.step() {
            ran += 1;
            assert!(ran < 10_000_000, "the jobs submit each other without end");
        }
        ran
    }

    /// Lets time pass: each delayed job becomes due in its turn, and all that is due runs.
    pub fn pass(&self, time: Duration) {
        let end = self.clock.monotonic_us() + time.as_micros() as u64;
        loop {
            self.run_until_idle();
            let next = self.state.lock().delayed.first_key_value().map(|(key, _)| key.0);
            match next.filter(|due| *due <= end) {
                Some(due) => self.clock.advance_to(due),
                None => break,
            }
        }
        self.clock.advance_to(end);
    }

    /// How many jobs wait, the delayed ones included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.log.len() + state.others.len() + state.delayed.len()
    }

    /// Drops all jobs, and those that their dropping submits: the process has ended.
    pub fn clear(&self) {
        loop {
            let state = std::mem::take(&mut *self.state.lock());
            if state.log.is_empty() && state.others.is_empty() && state.delayed.is_empty() {
                return;
            }
        }
    }
}

impl State {
    fn add(&mut self, lane: Lane, job: Job) {
        match lane {
            Lane::Log => self.log.push_back(job),
            Lane::Flush | Lane::Merge | Lane::Read => self.others.push(job),
        }
    }
}

impl Runner for StepRunner {
    fn submit(&self, lane: Lane, job: Job) {
        self.state.lock().add(lane, job);
    }

    fn submit_after(&self, delay: Duration, lane: Lane, job: Job) {
        let due = self.clock.monotonic_us().saturating_add(delay.as_micros() as u64);
        let mut state = self.state.lock();
        state.submitted += 1;
        let key = (due, state.submitted);
        state.delayed.insert(key, (lane, job));
    }
}
