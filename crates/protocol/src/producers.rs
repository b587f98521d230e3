//! Exactly once: each producer's highest number in a slice, as replicated state.
//!
//! A producer numbers its batches upwards and has one at a time under way to a slice: it sends the next
//! one only when the one before was answered, or given up for good. So a number at or below the highest
//! one in the log is a repetition, and is answered like the write that brought the highest.
//! Promises: the table follows from the log alone (which producer is forgotten too: the one whose last
//! write is oldest), so every replica that holds the same log has the same table.
//! It may not know what a batch is.

use crate::{ProducerRow, Record};
use std::collections::{BTreeMap, BTreeSet};
use types::{Origin, ProducerId, Sequence};

/// The producers of a slice.
#[derive(Clone, Debug)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, (u64, Sequence)>,
    by_use: BTreeSet<(Sequence, ProducerId)>,
    producers_max: usize,
}

impl Producers {
    /// The table as a store kept it; at most `producers_max` (1 at least) are remembered.
    #[must_use]
    pub fn new(rows: &[ProducerRow], producers_max: usize) -> Producers {
        let mut producers = Producers { by_id: BTreeMap::new(), by_use: BTreeSet::new(), producers_max: producers_max.max(1) };
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_unstable_by_key(|row| (row.sequence, row.producer));
        for row in rows {
            producers.note(Origin { producer: row.producer, number: row.number }, row.sequence);
        }
        producers
    }

    /// Notes a write of the log, in the log's order.
    pub fn note(&mut self, origin: Origin, sequence: Sequence) {
        if let Some((number, before)) = self.by_id.insert(origin.producer, (origin.number, sequence)) {
            self.by_use.remove(&(before, origin.producer));
            self.by_id.insert(origin.producer, (origin.number.max(number), sequence));
        }
        self.by_use.insert((sequence, origin.producer));
        while self.by_use.len() > self.producers_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            self.by_id.remove(&oldest);
        }
    }

    /// Notes a record, where it has an origin.
    pub fn note_record(&mut self, record: &Record) {
        if let Some(origin) = record.origin {
            self.note(origin, record.version.sequence);
        }
    }

    /// For a repetition: the write that it repeats, or a later one of the same producer.
    #[must_use]
    pub fn seen(&self, origin: Origin) -> Option<Sequence> {
        self.by_id.get(&origin.producer).filter(|(number, _)| origin.number <= *number).map(|(_, sequence)| *sequence)
    }

    /// The table, in order of producer.
    #[must_use]
    pub fn rows(&self) -> Vec<ProducerRow> {
        self.by_id
            .iter()
            .map(|(producer, (number, sequence))| ProducerRow { producer: *producer, number: *number, sequence: *sequence })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(producer: u128, number: u64) -> Origin {
        Origin { producer: ProducerId(producer), number }
    }

    #[test]
    fn repetitions_are_known_and_the_oldest_producer_is_forgotten() {
        let mut producers = Producers::new(&[], 2);
        producers.note(origin(1, 5), Sequence(1));
        producers.note(origin(2, 1), Sequence(2));
        assert_eq!(producers.seen(origin(1, 5)), Some(Sequence(1)));
        assert_eq!(producers.seen(origin(1, 4)), Some(Sequence(1)));
        assert_eq!(producers.seen(origin(1, 6)), None);
        producers.note(origin(1, 6), Sequence(3));
        producers.note(origin(3, 1), Sequence(4));
        assert_eq!(producers.seen(origin(2, 1)), None, "forgotten: its last write is the oldest");
        assert_eq!(producers.seen(origin(1, 6)), Some(Sequence(3)));
        assert_eq!(Producers::new(&producers.rows(), 2).rows(), producers.rows());
    }
}
