//! Time: signed microseconds since 1970-01-01 UTC, all of `i64`, and ranges of it.
//!
//! It promises exact arithmetic without overflow. It may not know a clock: `world` has that.

use std::fmt;

/// A moment: microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The first moment that can be written.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The last moment that can be written.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A range of time, both ends included (so that all of `i64` can be named).
/// Empty when `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first moment of the range.
    pub first: Timestamp,
    /// The last moment of the range.
    pub last: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { first: Timestamp::MIN, last: Timestamp::MAX };

    /// The range of one moment.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        TimeRange { first: time, last: time }
    }

    /// Whether no moment lies in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Whether `time` lies in it.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.first <= time && time <= self.last
    }

    /// Whether all of `other` lies in it. An empty range lies in every range.
    #[must_use]
    pub fn covers(&self, other: &TimeRange) -> bool {
        other.is_empty() || (self.first <= other.first && other.last <= self.last)
    }

    /// The moments in both ranges.
    #[must_use]
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// Whether some moment lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        !self.intersect(other).is_empty()
    }
}

/// The number of a period: floor(time / length). File groups are one a table and period
/// (paper, figure 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Period(pub i64);

impl Period {
    /// The period of `time` when a period is `length_us` microseconds long (at least 1).
    #[must_use]
    pub fn of(time: Timestamp, length_us: i64) -> Period {
        Period(time.0.div_euclid(length_us.max(1)))
    }

    /// The moments of this period, clipped to what `i64` can hold.
    #[must_use]
    pub fn range(self, length_us: i64) -> TimeRange {
        let clip = |value: i128| Timestamp(value.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
        let first = i128::from(self.0) * i128::from(length_us.max(1));
        TimeRange { first: clip(first), last: clip(first + i128::from(length_us.max(1)) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_cover_all_of_time_without_gaps() {
        for length in [1, 7, 86_400_000_000, i64::MAX] {
            for time in [i64::MIN, i64::MIN + 1, -1, 0, 1, 86_399_999_999, 86_400_000_000, i64::MAX] {
                let time = Timestamp(time);
                assert!(Period::of(time, length).range(length).contains(time), "{time} in periods of {length}");
            }
        }
    }
}
