//! Latencies: every single one is kept, so that percentiles are exact.

use std::time::Duration;

/// Latencies of one sort of operation, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    micros: Vec<u32>,
}

/// The percentiles that are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half were at or below this.
    pub p50: Duration,
    /// 99 % were.
    pub p99: Duration,
    /// 99.9 % were.
    pub p999: Duration,
    /// How many were measured.
    pub count: u64,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another measurement.
    pub fn join(&mut self, other: Latencies) {
        self.micros.extend(other.micros);
    }

    /// The percentiles, by nearest rank.
    pub fn percentiles(&mut self) -> Percentiles {
        self.micros.sort_unstable();
        let count = self.micros.len();
        let at = |part: f64| {
            let rank = (part * count as f64).ceil().max(1.0) as usize;
            Duration::from_micros(self.micros.get(rank.min(count).wrapping_sub(1)).copied().unwrap_or(0).into())
        };
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), count: count as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        (1..=1000).rev().for_each(|us| latencies.add(Duration::from_micros(us)));
        let found = latencies.percentiles();
        assert_eq!((found.p50.as_micros(), found.p99.as_micros(), found.p999.as_micros(), found.count), (500, 990, 999, 1000));
    }
}
