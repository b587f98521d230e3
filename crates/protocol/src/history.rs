//! Which writes a log holds, without listing them: where epochs began, and where it ends.
//!
//! Promises: two histories are compared by (epoch, sequence), never by sequence alone; the point
//! where they part is the last write that both have. Why so little is enough: one primary gives all
//! numbers of an epoch, and begins after a prefix that is fixed by then; so two logs that hold the
//! same version hold the same writes up to it.
//! It may not know where the writes are kept.

use types::{Epoch, EpochStart, Sequence, Version};

/// The versions of a log, from the slice's first write to its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Epochs that wrote something, in order.
    starts: Vec<EpochStart>,
    last: Version,
}

impl History {
    /// A history as a store kept it.
    ///
    /// # Panics
    /// Where the starts are not in order, or do not lead to `last`: our own state is broken.
    #[must_use]
    pub fn new(starts: Vec<EpochStart>, last: Version) -> History {
        assert!(
            starts.is_sorted_by(|a, b| a.epoch < b.epoch && a.after < b.after),
            "epochs rise, and each wrote something: {starts:?}"
        );
        let end = starts.last().map_or(Version::default(), |start| Version { epoch: start.epoch, sequence: last.sequence });
        assert!(end == last && starts.last().is_none_or(|start| start.after < last.sequence), "{starts:?} lead to {last}");
        History { starts, last }
    }

    /// The last write.
    #[must_use]
    pub fn last(&self) -> Version {
        self.last
    }

    /// Where epochs began, oldest first.
    #[must_use]
    pub fn starts(&self) -> &[EpochStart] {
        &self.starts
    }

    /// Adds a write.
    ///
    /// # Panics
    /// Where it is not the next one: a gap, or an epoch that went back.
    pub fn push(&mut self, version: Version) {
        let next = version.sequence.0 == self.last.sequence.0 + 1 && version.epoch >= self.last.epoch;
        assert!(next, "version {version} does not follow {}", self.last);
        if version.epoch > self.last.epoch {
            self.starts.push(EpochStart { epoch: version.epoch, after: self.last.sequence });
        }
        self.last = version;
    }

    /// The version of a write by its number: none beyond the end; number 0 is "nothing written".
    #[must_use]
    pub fn version_at(&self, sequence: Sequence) -> Option<Version> {
        if sequence > self.last.sequence {
            return None;
        }
        let begun = self.starts.partition_point(|start| start.after < sequence);
        let epoch = if begun == 0 { Epoch(0) } else { self.starts[begun - 1].epoch };
        Some(Version { epoch, sequence })
    }

    /// Whether it holds this very write, and so all before it.
    #[must_use]
    pub fn contains(&self, version: Version) -> bool {
        self.version_at(version.sequence) == Some(version)
    }

    /// Forgets what comes after a write of it.
    ///
    /// # Panics
    /// Where it does not hold that write.
    pub fn cut(&mut self, to: Version) {
        assert!(self.contains(to), "a history that ends with {} is cut at {to}", self.last);
        self.starts.retain(|start| start.after < to.sequence);
        self.last = to;
    }

    /// The last write that both hold; (0, 0) where they have none in common.
    ///
    /// # Panics
    /// Where an epoch began at two places: two primaries ran in it.
    #[must_use]
    pub fn parting(&self, other: &History) -> Version {
        let (mut ours, mut theirs) = (self.starts.len(), other.starts.len());
        while ours > 0 && theirs > 0 {
            let (a, b) = (self.starts[ours - 1], other.starts[theirs - 1]);
            if a.epoch == b.epoch {
                assert_eq!(a.after, b.after, "epoch {} began at two places", a.epoch);
                let sequence = self.end_of(ours - 1).min(other.end_of(theirs - 1));
                return Version { epoch: a.epoch, sequence };
            }
            if a.epoch > b.epoch { ours -= 1 } else { theirs -= 1 }
        }
        Version::default()
    }

    /// The last write of the nth epoch.
    fn end_of(&self, n: usize) -> Sequence {
        self.starts.get(n + 1).map_or(self.last.sequence, |next| next.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history by its versions: "1 1 1 3 3" has five writes, of epochs 1 and 3.
    fn history(epochs: &[u64]) -> History {
        let mut history = History::default();
        for (i, epoch) in epochs.iter().enumerate() {
            history.push(Version { epoch: Epoch(*epoch), sequence: Sequence(i as u64 + 1) });
        }
        history
    }

    #[test]
    fn the_parting_point_is_the_last_common_write() {
        let check = |a: &[u64], b: &[u64], expect: usize| {
            let (left, right) = (history(a), history(b));
            let version = left.parting(&right);
            assert_eq!(version.sequence.0 as usize, expect, "{a:?} and {b:?}");
            assert_eq!(version, right.parting(&left));
            assert!(left.contains(version) && right.contains(version));
        };
        check(&[], &[], 0);
        check(&[], &[1], 0);
        check(&[1, 1, 1], &[1, 1, 1], 3);
        check(&[1, 1, 1], &[1, 1], 2);
        check(&[1, 1, 1, 1, 1], &[1, 1, 2, 2], 2);
        check(&[1, 1, 3, 3], &[1, 1, 2, 2, 2], 2);
        check(&[1, 3, 3, 4], &[1, 3, 3, 3, 5], 3);
        check(&[2, 2], &[3, 3], 0);
    }

    #[test]
    fn it_agrees_with_a_list_of_versions() {
        // All histories of up to five writes in epochs 1 to 3, against their plain lists.
        let mut lists: Vec<Vec<u64>> = vec![vec![]];
        for length in 0..5 {
            let longer: Vec<Vec<u64>> = lists
                .iter()
                .filter(|list| list.len() == length)
                .flat_map(|list| {
                    let least = list.last().copied().unwrap_or(1);
                    (least..=3).map(move |epoch| list.iter().copied().chain([epoch]).collect())
                })
                .collect();
            lists.extend(longer);
        }
        for list in &lists {
            let versions = |n: usize| Version { epoch: Epoch(list[n - 1]), sequence: Sequence(n as u64) };
            let whole = history(list);
            assert_eq!(whole, History::new(whole.starts().to_vec(), whole.last()));
            for n in 1..=list.len() {
                assert_eq!(whole.version_at(Sequence(n as u64)), Some(versions(n)), "{list:?}");
                let mut cut = whole.clone();
                cut.cut(versions(n));
                assert_eq!(cut, history(&list[..n]));
            }
            assert_eq!(whole.version_at(Sequence(list.len() as u64 + 1)), None);
        }
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn a_gap_is_refused() {
        history(&[1]).push(Version { epoch: Epoch(1), sequence: Sequence(3) });
    }
}
