//! Recovery by files: which file groups differ (paper 4.4).
//!
//! Promises: versions are compared for equality, never for order. What differs is the primary's word:
//! a higher version on the other side only says that something was written there alone.
//! It may not know what files are or how they travel.

use crate::{History, Mutation, Planted, ProducerRow};
use types::{Period, Version};

/// What a primary offers to a replica that the log no longer reaches: a pinned manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The writes that the files cover, up to the flushed one.
    pub history: History,
    /// The version of each file group.
    pub groups: Vec<(Period, Version)>,
    /// The producers' numbers as of the flushed write.
    pub producers: Vec<ProducerRow>,
}

/// What a replica does with its file groups to equal an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Groups to copy whole from the offer's side.
    pub copy: Vec<Period>,
    /// Groups that the offer's side does not have: set aside.
    pub drop: Vec<Period>,
}

impl Offer {
    /// Compares a replica's own groups, in order of period, with the offered ones.
    #[must_use]
    pub fn compare(&self, own: &[(Period, Version)], planted: Planted) -> Difference {
        let mut difference = Difference::default();
        for (period, version) in &self.groups {
            let have = own.iter().find(|(of, _)| of == period).map(|(_, version)| *version);
            let same = match have {
                Some(have) if planted.has(Mutation::NewerVersionWins) => have >= *version,
                have => have == Some(*version),
            };
            if !same {
                difference.copy.push(*period);
            }
        }
        let offered = |period: &Period| self.groups.iter().any(|(of, _)| of == period);
        difference.drop.extend(own.iter().map(|(period, _)| *period).filter(|period| !offered(period)));
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Epoch, Sequence};

    #[test]
    fn a_higher_version_differs_like_a_lower_one() {
        let version = |epoch, sequence| Version { epoch: Epoch(epoch), sequence: Sequence(sequence) };
        let groups = vec![(Period(1), version(2, 7)), (Period(2), version(2, 5)), (Period(4), version(3, 9))];
        let offer = Offer { history: History::default(), groups, producers: Vec::new() };
        let own = [(Period(1), version(2, 7)), (Period(2), version(2, 6)), (Period(3), version(2, 4))];
        let difference = offer.compare(&own, Planted::default());
        assert_eq!(difference, Difference { copy: vec![Period(2), Period(4)], drop: vec![Period(3)] });
    }
}
