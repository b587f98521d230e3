//! Numbers from a seed (splitmix64 by Steele, Lea and Flood: one word of state, any seed is good).

use crate::Random;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stream of numbers that a seed determines.
#[derive(Debug)]
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom { state: AtomicU64::new(seed) }
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// True once in `n` on average; never where `n` is 0.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// A number of the range `from..=to`.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below((to - from).saturating_add(1))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        let random = SeededRandom::new(0);
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
        assert!((0..100).all(|_| (3..=5).contains(&random.between(3, 5))));
        assert!(!random.one_in(0) && random.one_in(1));
    }
}
