//! The distribution rule made fast: the slice of a block of ordinals, and a tag's dense place within
//! its slice.
//!
//! Promises: agrees with `DistributionRule::slice` for every tag and time; where the rule ignores
//! time, the tags of one slice get different dense places, and consecutive ordinals of a block
//! consecutive ones.

use types::{DistributionRule, SliceId, TagId, Timestamp};

/// A rule's numbers, reduced to what u64 arithmetic needs.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    rule: DistributionRule,
    block_shift: Option<u32>,
    bucket_mask: Option<u64>,
    w1: u64,
    w2: u64,
    buckets: u64,
    /// Blocks k and k + round lie in the same slice, blocks between them in others.
    round: u64,
}

impl Placement {
    /// The placement of a rule that passed its check.
    #[must_use]
    pub fn new(rule: &DistributionRule) -> Self {
        let buckets = u64::from(rule.buckets);
        let w1 = u64::from(rule.w1) % buckets;
        Placement {
            rule: *rule,
            block_shift: rule.b1.is_power_of_two().then(|| rule.b1.trailing_zeros()),
            bucket_mask: buckets.is_power_of_two().then(|| buckets - 1),
            w1,
            w2: u64::from(rule.w2) % buckets,
            buckets,
            round: buckets / greatest_divisor(w1, buckets),
        }
    }

    /// How many slices there are.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets as usize
    }

    /// Whether a tag's samples lie in one slice whatever their time.
    #[must_use]
    pub fn ignores_time(&self) -> bool {
        self.w2 == 0
    }

    /// The block of a tag: consecutive ordinals that lie together.
    #[inline]
    fn block(&self, tag: u64) -> u64 {
        match self.block_shift {
            Some(shift) => tag >> shift,
            None => tag / self.rule.b1,
        }
    }

    /// The point term of the rule (below `buckets`), and the first ordinal of the tag's block.
    #[inline]
    pub(crate) fn point(&self, tag: TagId) -> (u64, u64) {
        let block = self.block(tag.0);
        let term = match self.bucket_mask {
            Some(mask) => (self.w1 * (block & mask)) & mask,
            None => (self.w1 * (block % self.buckets)) % self.buckets,
        };
        (term, block * self.rule.b1)
    }

    /// How many ordinals a block has.
    #[inline]
    pub(crate) fn block_len(&self) -> u64 {
        self.rule.b1
    }

    /// The time term of the rule (below `buckets`), and the first moment of the day it holds for.
    pub(crate) fn day(&self, time: Timestamp) -> (u64, i128) {
        let day = time.0.div_euclid(self.rule.day_us);
        let group = i128::from(day).div_euclid(i128::from(self.rule.b2));
        let term = (self.w2 * group.rem_euclid(i128::from(self.buckets)) as u64) % self.buckets;
        (term, i128::from(day) * i128::from(self.rule.day_us))
    }

    /// Length of the rule's day in microseconds.
    pub(crate) fn day_len(&self) -> i64 {
        self.rule.day_us
    }

    /// Adds the two terms.
    #[inline]
    pub(crate) fn slice(&self, point: u64, day: u64) -> u32 {
        let sum = point + day;
        (if sum >= self.buckets { sum - self.buckets } else { sum }) as u32
    }

    /// A tag's place among the tags of its slice. Where the rule looks at time a slice may hold
    /// every tag, and the place is the ordinal.
    #[inline]
    #[must_use]
    pub fn dense(&self, tag: TagId) -> u64 {
        if !self.ignores_time() {
            return tag.0;
        }
        let block = self.block(tag.0);
        (block / self.round) * self.rule.b1 + (tag.0 - block * self.rule.b1)
    }

    /// The tag at a place, given any tag's block within the round (what `round_part` says of it).
    #[inline]
    #[must_use]
    pub fn tag_at(&self, dense: u64, round_part: u64) -> TagId {
        if !self.ignores_time() {
            return TagId(dense);
        }
        let (turn, within) = (dense / self.rule.b1, dense % self.rule.b1);
        TagId((turn * self.round + round_part) * self.rule.b1 + within)
    }

    /// Which block of each round a slice holds; 0 where it holds none.
    #[must_use]
    pub fn round_part_of(&self, slice: SliceId) -> u64 {
        let holds = |part: &u64| (self.w1 * (part % self.buckets)) % self.buckets == u64::from(slice.0);
        (0..self.round).find(holds).unwrap_or(0)
    }

    /// Which block of each round the tag's slice holds.
    #[inline]
    #[must_use]
    pub fn round_part(&self, tag: TagId) -> u64 {
        self.block(tag.0) % self.round
    }
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_rule_and_places_are_dense() {
        for (w1, b1, w2, b2, buckets) in
            [(1, 1024, 0, 1, 64), (6, 10, 0, 1, 64), (5, 1, 3, 2, 7), (0, 3, 1, 9, 10), (7, 4, 7, 1, 7), (9, 100, 0, 1, 60)]
        {
            let rule = DistributionRule { w1, b1, w2, b2, buckets, day_us: 1_000 };
            let placement = Placement::new(&rule);
            let mut seen = std::collections::HashMap::new();
            for tag in (0..3_000).chain([u64::MAX, u64::MAX - 1]) {
                for time in [i64::MIN, i64::MIN + 999, -1, 0, 1, 5_555, i64::MAX] {
                    let (tag, time) = (TagId(tag), Timestamp(time));
                    let slice = placement.slice(placement.point(tag).0, placement.day(time).0);
                    assert_eq!(slice, rule.slice(tag, time).0, "{rule:?} {tag} {time}");
                    if placement.ignores_time() && tag.0 < 3_000 {
                        assert_eq!(*seen.entry((slice, placement.dense(tag))).or_insert(tag), tag);
                        assert_eq!(placement.tag_at(placement.dense(tag), placement.round_part(tag)), tag);
                    }
                }
            }
        }
    }
}
