//! The distribution rule (paper 2.1): slice = (w1·⌊point/b1⌋ + w2·⌊day/b2⌋) mod buckets.
//!
//! Promises: computed in i128 with Euclidean remainder, so exact for every ordinal and all of
//! `i64` time; equal inputs always give the same slice; a slice is always below `buckets`.

use crate::{SliceId, TagId, Timestamp};
use thiserror::Error;

/// The rule's numbers. Set before the first tag, never changed afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DistributionRule {
    /// Weight of the point term.
    pub w1: u32,
    /// How many consecutive ordinals lie together, at least 1.
    pub b1: u64,
    /// Weight of the day term; 0 = time does not matter.
    pub w2: u32,
    /// How many consecutive days lie together, at least 1.
    pub b2: u64,
    /// How many slices there are, at least 1.
    pub buckets: u32,
    /// Length of a "day" in microseconds, at least 1.
    pub day_us: i64,
}

impl Default for DistributionRule {
    fn default() -> Self {
        DistributionRule { w1: 1, b1: 1024, w2: 0, b2: 1, buckets: 64, day_us: 86_400_000_000 }
    }
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// A number is out of its range.
    #[error("distribution rule: {name} is {value}, but must be {range}")]
    OutOfRange {
        /// The number's name.
        name: &'static str,
        /// What it is.
        value: i128,
        /// What it may be.
        range: &'static str,
    },
}

impl DistributionRule {
    /// Whether its numbers are in range.
    ///
    /// # Errors
    /// `RuleError::OutOfRange` names the first that is not.
    pub fn check(&self) -> Result<(), RuleError> {
        let at_least_one = |name, value: i128| {
            if value < 1 { Err(RuleError::OutOfRange { name, value, range: "at least 1" }) } else { Ok(()) }
        };
        at_least_one("b1", self.b1.into())?;
        at_least_one("b2", self.b2.into())?;
        at_least_one("buckets", self.buckets.into())?;
        at_least_one("day_us", self.day_us.into())?;
        if self.buckets > 65_536 {
            return Err(RuleError::OutOfRange { name: "buckets", value: self.buckets.into(), range: "1 to 65536" });
        }
        if self.w1 == 0 && self.w2 == 0 && self.buckets > 1 {
            return Err(RuleError::OutOfRange {
                name: "w1 and w2",
                value: 0,
                range: "not both 0, or everything lies in slice 0",
            });
        }
        Ok(())
    }

    /// The slice of a tag's sample at a time.
    #[must_use]
    pub fn slice(&self, tag: TagId, time: Timestamp) -> SliceId {
        let point = i128::from(self.w1) * i128::from(tag.0 / self.b1);
        let day = i128::from(self.w2) * i128::from(time.0.div_euclid(self.day_us)).div_euclid(i128::from(self.b2));
        SliceId((point + day).rem_euclid(i128::from(self.buckets)) as u32)
    }

    /// Whether a tag's samples lie in one slice whatever their time.
    #[must_use]
    pub fn ignores_time(&self) -> bool {
        self.w2.is_multiple_of(self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_stay_below_buckets() {
        let rule = DistributionRule { w1: u32::MAX, b1: 1, w2: u32::MAX, b2: 1, buckets: 7, day_us: 1 };
        for tag in [0, 1, u64::MAX] {
            for time in [i64::MIN, -1, 0, 1, i64::MAX] {
                assert!(rule.slice(TagId(tag), Timestamp(time)).0 < 7);
            }
        }
    }

    #[test]
    fn consecutive_tags_lie_together_and_time_only_counts_with_w2() {
        let rule = DistributionRule::default();
        assert_eq!(rule.slice(TagId(0), Timestamp(0)), rule.slice(TagId(1023), Timestamp::MAX));
        assert_eq!(rule.slice(TagId(1024), Timestamp(0)), SliceId(1));
        let by_time = DistributionRule { w1: 0, w2: 1, ..rule };
        assert_eq!(by_time.slice(TagId(9), Timestamp(-1)), SliceId(63));
        assert_eq!(by_time.slice(TagId(9), Timestamp(0)), SliceId(0));
    }
}
