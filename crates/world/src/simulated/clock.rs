//! A clock that stands still until it is moved.

use crate::Clock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that a test moves.
#[derive(Debug)]
pub struct SimulatedClock {
    monotonic_us: AtomicU64,
    /// Wall time minus monotonic time.
    wall_offset_us: AtomicI64,
}

impl SimulatedClock {
    /// A clock whose monotonic time is 0 and whose wall time is `wall_us`.
    #[must_use]
    pub fn new(wall_us: i64) -> SimulatedClock {
        SimulatedClock { monotonic_us: AtomicU64::new(0), wall_offset_us: AtomicI64::new(wall_us) }
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        self.monotonic_us.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }

    /// Moves monotonic time forward to a moment; never back.
    pub fn advance_to(&self, monotonic_us: u64) {
        self.monotonic_us.fetch_max(monotonic_us, Ordering::SeqCst);
    }

    /// Lets the wall clock jump, forward or back.
    pub fn jump_wall(&self, by_us: i64) {
        self.wall_offset_us.fetch_add(by_us, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn wall_us(&self) -> i64 {
        self.wall_offset_us.load(Ordering::SeqCst).saturating_add_unsigned(self.monotonic_us())
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }
}
