//! The real world: the system's files, clocks and random numbers, and threads.
//!
//! What it promises: what the traits promise, by the system's own means (named at each item).
//! What it may not know: who asks, or why. The only place below the server that may ask the
//! standard library for any of this.

mod clock;
mod disk;
mod file;
mod threads;

pub use clock::{RealClock, RealRandom};
pub use disk::RealDisk;
pub use threads::{ThreadCounts, Threads};

use crate::World;
use std::sync::Arc;

impl World {
    /// The real world, with its jobs run by these threads.
    ///
    /// ```
    /// use world::{ThreadCounts, Threads, World};
    /// let threads = Threads::start(ThreadCounts::default());
    /// let world = World::real(&threads);
    /// assert!(world.clock.wall_us() > 0);
    /// threads.stop();
    /// ```
    #[must_use]
    pub fn real(threads: &Arc<Threads>) -> World {
        World {
            disk: Arc::new(RealDisk),
            clock: Arc::new(RealClock::start()),
            random: Arc::new(RealRandom),
            runner: Arc::<Threads>::clone(threads),
        }
    }
}
