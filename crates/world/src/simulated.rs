//! The simulated world: a disk in memory, a clock that is stepped, numbers from a seed, and a queue
//! of jobs that the seed orders.
//!
//! What it promises: from one seed and the same calls, everything comes out the same; nothing of the
//! machine is asked. The disk keeps to the promises of `Disk` and to nothing more: what was not
//! synced may go, and it fails where its plan of faults says so.
//! What it may not know: who asks, or why.

mod clock;
mod disk;
mod fault;
mod inode;
mod names;
mod random;
mod runner;
mod state;

pub use clock::SimulatedClock;
pub use disk::SimulatedDisk;
pub use fault::{DiskCounters, Faults};
pub use random::SeededRandom;
pub use runner::StepRunner;

use crate::World;
use std::sync::Arc;

/// A whole world from one seed, and the handles by which a test moves it.
///
/// ```
/// use std::path::Path;
/// use world::{Access, Simulation};
/// let simulation = Simulation::new(7);
/// let world = simulation.world();
/// world.disk.make_dir(Path::new("/store")).unwrap();
/// let file = world.disk.create(Path::new("/store/a")).unwrap();
/// file.write_at(0, &[b"synced"]).unwrap();
/// file.sync().unwrap();
/// world.disk.sync_dir(Path::new("/store")).unwrap();
/// file.write_at(0, &[b"risked"]).unwrap();
/// simulation.crash();
/// let mut bytes = [0; 6];
/// world.disk.open(Path::new("/store/a"), Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
/// // Kept, lost or torn: as the seed will.
/// assert!((0..6).all(|i| bytes[i] == b"synced"[i] || bytes[i] == b"risked"[i]));
/// ```
pub struct Simulation {
    /// The disk.
    pub disk: Arc<SimulatedDisk>,
    /// The clock.
    pub clock: Arc<SimulatedClock>,
    /// The numbers that the code under test draws.
    pub random: Arc<SeededRandom>,
    /// The jobs.
    pub runner: Arc<StepRunner>,
}

impl Simulation {
    /// A fresh world: an empty disk without faults, the wall clock in November 2026.
    #[must_use]
    pub fn new(seed: u64) -> Simulation {
        // Each part draws from its own stream, so that one more draw here changes nothing there.
        let streams = SeededRandom::new(seed);
        let clock = Arc::new(SimulatedClock::new(1_795_000_000_000_000));
        Simulation {
            disk: Arc::new(SimulatedDisk::new(streams.next())),
            random: Arc::new(SeededRandom::new(streams.next())),
            runner: Arc::new(StepRunner::new(streams.next(), Arc::clone(&clock))),
            clock,
        }
    }

    /// What is handed to the code under test.
    #[must_use]
    pub fn world(&self) -> World {
        World {
            disk: Arc::<SimulatedDisk>::clone(&self.disk),
            clock: Arc::<SimulatedClock>::clone(&self.clock),
            random: Arc::<SeededRandom>::clone(&self.random),
            runner: Arc::<StepRunner>::clone(&self.runner),
        }
    }

    /// kill -9: the jobs are gone, open files and locks too; what was written stays, synced or not.
    pub fn kill(&self) {
        self.disk.kill();
        self.runner.clear();
    }

    /// A power cut: as `kill`, and what was not synced is kept, lost or torn.
    pub fn crash(&self) {
        self.disk.crash();
        self.runner.clear();
    }
}
