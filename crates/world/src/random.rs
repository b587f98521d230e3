//! Randomness, handed in so that a seed can stand for it.

/// A source of random numbers.
pub trait Random: Send + Sync {
    /// Sixty-four random bits.
    fn next_u64(&self) -> u64;

    /// A number below `bound` (0 when `bound` is 0), close to uniform.
    fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}
