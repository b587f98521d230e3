//! The records of a led slice that are at hand: all that no file holds, and a tail of those before.
//!
//! ```text
//!   after | tail ........ | flushed .... published .... logged .... last
//!         | for backups   | for files    applied        synced
//! ```
//! Promises: records follow one another without holes; what files lack is never let go. May not know locks, the log's
//! bytes, buffers.

use crate::commit::Body;
use log::Position;
use memory::Grant;
use protocol::Record;
use std::collections::VecDeque;
use types::{CommitNumber, Sequence, Version};

/// A record at hand.
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) commit: CommitNumber,
    /// What it brings. Empty once files hold it.
    pub(crate) bodies: Vec<Body>,
    /// Where it lies in the log; none while it is on its way there.
    pub(crate) position: Option<Position>,
    /// Its room, until it is applied.
    pub(crate) grant: Option<Grant>,
}

impl Kept {
    pub(crate) fn version(&self) -> Version {
        self.record.version
    }
}

/// Records in order.
#[derive(Default)]
pub(crate) struct Records {
    after: Version,
    list: VecDeque<Kept>,
    /// Files hold those up to this number, as far as `trim` was told, and they take so many bytes here.
    filed: Sequence,
    tail: u64,
}

impl Records {
    /// None; the next one follows this version.
    pub(crate) fn after(version: Version) -> Records {
        Records { after: version, ..Records::default() }
    }

    /// The version before the first.
    pub(crate) fn begin(&self) -> Version {
        self.after
    }

    /// The version of the last.
    pub(crate) fn last(&self) -> Version {
        self.list.back().map_or(self.after, Kept::version)
    }

    /// Whether a record is the next one.
    pub(crate) fn is_followed_by(&self, record: &Record) -> bool {
        let last = self.last();
        record.prev == last && record.version.sequence.0 == last.sequence.0 + 1 && record.version.epoch >= last.epoch
    }

    /// Adds one.
    ///
    /// # Panics
    /// Where it is not the next one.
    pub(crate) fn push(&mut self, kept: Kept) {
        assert!(self.is_followed_by(&kept.record), "{} follows {}", kept.version(), self.last());
        self.list.push_back(kept);
    }

    fn index(&self, after: Sequence) -> usize {
        self.list.partition_point(|kept| kept.version().sequence <= after)
    }

    /// Whether this very version is one of them, or the one before.
    pub(crate) fn holds(&self, version: Version) -> bool {
        let before = self.index(version.sequence).checked_sub(1);
        before.map_or(self.after, |at| self.list[at].version()) == version
    }

    /// Those behind a number.
    pub(crate) fn beyond(&self, after: Sequence) -> impl Iterator<Item = &Kept> {
        self.list.range(self.index(after)..)
    }

    /// Those behind a number and up to another.
    pub(crate) fn between(&mut self, after: Sequence, up_to: Sequence) -> impl Iterator<Item = &mut Kept> {
        let (from, to) = (self.index(after), self.index(up_to));
        self.list.range_mut(from..to.max(from))
    }

    pub(crate) fn get(&self, version: Version) -> Option<&Kept> {
        let at = self.index(version.sequence).checked_sub(1)?;
        Some(&self.list[at]).filter(|kept| kept.version() == version)
    }

    pub(crate) fn get_mut(&mut self, version: Version) -> Option<&mut Kept> {
        let at = self.index(version.sequence).checked_sub(1)?;
        Some(&mut self.list[at]).filter(|kept| kept.version() == version)
    }

    /// Takes those behind a version away; it is the last from now on, whether it was there or not.
    pub(crate) fn end_at(&mut self, version: Version) -> Vec<Kept> {
        let stay = self.index(version.sequence);
        let gone: Vec<Kept> = self.list.drain(stay..).collect();
        if version.sequence < self.filed {
            let filed = gone.iter().take_while(|kept| kept.version().sequence <= self.filed);
            self.tail -= filed.map(|kept| kept.record.bytes()).sum::<u64>();
            self.filed = version.sequence;
        }
        if self.list.is_empty() {
            self.after = version;
        }
        gone
    }

    /// Lets go of what files hold, but for a tail of at most so many bytes, and what stands behind a number that somebody
    /// holds.
    pub(crate) fn trim(&mut self, flushed: Sequence, held: Sequence, tail_bytes_max: u64) {
        let mut bytes = 0;
        for kept in self.between(self.filed, flushed) {
            kept.bodies = Vec::new();
            bytes += kept.record.bytes();
        }
        // What came since stands behind it: the next call looks at that alone.
        self.filed = self.filed.max(flushed.min(self.last().sequence));
        self.tail += bytes;
        while self.tail > tail_bytes_max
            && let Some(front) = self.list.front()
            && front.version().sequence <= held.min(flushed)
        {
            self.after = front.version();
            self.tail -= front.record.bytes();
            self.list.pop_front();
        }
    }

    /// What those behind a number and up to another take.
    pub(crate) fn bytes_between(&self, after: Sequence, up_to: Sequence) -> u64 {
        let records = self.beyond(after).take_while(|kept| kept.version().sequence <= up_to);
        records.map(|kept| kept.record.bytes()).sum()
    }

    /// Where the oldest record lies that files lack, among those that are in the log.
    pub(crate) fn oldest_needed(&self, flushed: Sequence) -> Option<Position> {
        self.beyond(flushed).next().and_then(|kept| kept.position)
    }

    /// Copies of those behind a version: at most so many, and at most so many bytes, but one at least. None where it is
    /// not at hand any more.
    pub(crate) fn read(&self, after: Version, records_max: usize, bytes_max: u64) -> Option<Vec<Record>> {
        if !self.holds(after) {
            return None;
        }
        let mut out: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for kept in self.beyond(after.sequence).take(records_max.max(1)) {
            bytes += kept.record.bytes();
            if !out.is_empty() && bytes > bytes_max {
                break;
            }
            out.push(kept.record.clone());
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use types::Epoch;
    use world::{Random, SeededRandom};

    fn at(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    fn push(records: &mut Records, epoch: u64) {
        let prev = records.last();
        let version = at(epoch, prev.sequence.0 + 1);
        let record = Record { version, prev, origin: None, digest: 0, body: Bytes::from_static(&[0; 20]) };
        let position = Some(Position(version.sequence.0 * 8));
        records.push(Kept { record, commit: CommitNumber(1), bodies: Vec::new(), position, grant: None });
    }

    fn read(records: &Records, after: Version, max: usize, bytes: u64) -> Option<Vec<u64>> {
        let read = records.read(after, max, bytes)?;
        Some(read.iter().map(|record| record.version.sequence.0).collect())
    }

    #[test]
    fn a_tail_stays_and_what_files_lack_always_does() {
        let mut records = Records::after(at(1, 3));
        (0..5).for_each(|_| push(&mut records, 2));
        assert_eq!(read(&records, at(1, 3), 9, 10_000), Some(vec![4, 5, 6, 7, 8]));
        assert_eq!(read(&records, at(2, 6), 9, 1), Some(vec![7]), "one at least");
        assert_eq!(read(&records, at(2, 8), 9, 1), Some(vec![]));
        assert_eq!(read(&records, at(1, 6), 9, 1), None, "that is another record 6");
        records.trim(Sequence(6), Sequence(5), 0);
        assert_eq!(records.begin(), at(2, 5), "somebody holds what stands behind 5");
        records.trim(Sequence(6), Sequence(6), 100);
        assert_eq!(records.begin(), at(2, 5));
        assert_eq!(read(&records, at(1, 3), 9, 1), None, "cut");
        assert_eq!(records.oldest_needed(Sequence(6)), Some(Position(56)));
        records.trim(Sequence(8), Sequence(8), 0);
        assert_eq!((records.begin(), records.last(), records.tail), (at(2, 8), at(2, 8), 0));
        push(&mut records, 2);
        assert_eq!(records.tail, 0, "files lack it");
    }

    #[test]
    fn the_tail_is_what_files_hold() {
        let (mut records, random) = (Records::after(at(1, 0)), SeededRandom::new(1));
        let mut flushed = Sequence(0);
        for _ in 0..10_000 {
            let dice = random.next_u64();
            let (what, some) = (dice >> 60, Sequence(records.begin().sequence.0 + (dice >> 33) % 40));
            match what {
                0 if some < records.last().sequence => {
                    let end = records.beyond(Sequence(0)).take_while(|kept| kept.version().sequence <= some).last();
                    let end = end.map_or(records.begin(), Kept::version);
                    records.end_at(end);
                    flushed = flushed.min(end.sequence);
                }
                1 | 2 => {
                    flushed = flushed.max(some.min(records.last().sequence));
                    records.trim(flushed, Sequence(flushed.0.saturating_sub(dice % 3)), 500);
                    let held = records.list.iter().take_while(|kept| kept.version().sequence <= flushed);
                    assert_eq!(records.tail, held.map(|kept| kept.record.bytes()).sum::<u64>());
                }
                _ => push(&mut records, 1),
            }
        }
        assert!(records.begin().sequence.0 > 1_000);
    }

    #[test]
    fn the_end_may_lie_before_the_first() {
        let mut records = Records::after(at(1, 3));
        (0..5).for_each(|_| push(&mut records, 1));
        assert_eq!(records.end_at(at(1, 6)).len(), 2);
        push(&mut records, 4);
        assert!(records.holds(at(4, 7)) && records.holds(at(1, 3)) && !records.holds(at(1, 7)));
        assert_eq!(records.end_at(at(1, 2)).len(), 4);
        push(&mut records, 5);
        assert_eq!((records.begin(), records.last()), (at(1, 2), at(5, 3)));
    }
}
