//! Floor 1: everything of the outside world that Meridian touches, handed in.
//!
//! What it is: traits for disk, clock, randomness and the running of jobs, and the tickets that
//! stand for answers that come later; the real ones, and the seeded, faulty ones.
//! What it promises: nothing above asks the standard library for any of these, so a whole
//! database can run in one thread from one seed, and any failure can be replayed.
//! What it may not know: what is stored, who asks, or any other crate of ours.
//!
//! ```text
//!   World { disk, clock, random, runner }
//!     real       files,  system,  getrandom, threads
//!     simulated  memory, stepped, seeded,    a queue that the seed orders
//! ```

mod clock;
mod disk;
mod random;
mod real;
mod runner;
mod simulated;
mod ticket;

pub use clock::Clock;
pub use disk::{Access, Disk, DiskError, Entry, File, Operation, ReadRange};
pub use random::Random;
pub use real::{RealClock, RealDisk, RealRandom, ThreadCounts, Threads};
pub use runner::{Job, Lane, Runner};
pub use simulated::{DiskCounters, Faults, SeededRandom, SimulatedClock, SimulatedDisk, Simulation, StepRunner};
pub use ticket::{Abandoned, Promise, Ticket};

use std::sync::Arc;

/// The four things of the world, handed to whoever needs them. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Where files lie.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// Who runs jobs.
    pub runner: Arc<dyn Runner>,
}
