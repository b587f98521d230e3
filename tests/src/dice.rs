//! Numbers from a seed, of streams that a test's clients and faults have each for itself.
//!
//! It promises the same numbers for the same seed.

use world::{Random, SeededRandom};

/// A stream of numbers.
#[derive(Debug)]
pub struct Dice(SeededRandom);

impl Dice {
    /// The stream of a seed with a number.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Dice {
        Dice(SeededRandom::new(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93)))
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }
}
