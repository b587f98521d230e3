//! How long things took: counts in fixed buckets, for whoever shows them.
//!
//! Promises: noting a time is three relaxed additions, from any thread, and takes no lock; counts only grow. A reader may see
//! one time in the sum and not yet in its bucket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper ends of the buckets in microseconds; a last one takes all that is longer.
pub const BOUNDS_US: [u64; 15] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000, 120_000_000];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// Times by how long they were.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramCounts {
    /// How many lie in each bucket, and above the bucket before; the last has no upper end.
    pub buckets: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Notes that something took so long.
    pub fn note_us(&self, took_us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// What was noted so far.
    #[must_use]
    pub fn counts(&self) -> HistogramCounts {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        HistogramCounts { buckets, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

impl HistogramCounts {
    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_that_ends_at_or_above_it() {
        let times = Histogram::default();
        for us in [0, 100, 101, 120_000_000, 120_000_001, u64::from(u32::MAX)] {
            times.note_us(us);
        }
        let counts = times.counts();
        let mut expected = [0; BUCKETS];
        (expected[0], expected[1], expected[BUCKETS - 2], expected[BUCKETS - 1]) = (2, 1, 1, 2);
        assert_eq!((counts.buckets, counts.count()), (expected, 6));
        assert_eq!(counts.sum_us, 240_000_202 + u64::from(u32::MAX));
    }
}
