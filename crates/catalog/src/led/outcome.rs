//! What came of the fleet's changes, by who asked.
//!
//! ```text
//!   next ordinal varint | count varint, then for each producer, rising:
//!   producer u128 LE | number varint | sequence varint | outcome
//!   outcome  0 first varint, count varint      ordinals (none of a change or a deletion)
//!            1 exists text   2 unknown varint   3 invalid text, text   4 unreadable text
//! ```
//! This is part 0 of the table, and stands in the manifest. Promises: it follows from the changes alone; of more than
//! `Producers::MAX` the one whose last change is oldest is forgotten. What it may not know: what changes say.

use crate::Error;
use crate::profile::{put_text, read_text};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use storage::wire::{Reader, put_varint};
use types::{Origin, ProducerId, Sequence, TagDefinition, TagId};

/// The ordinals that a creation was given (none for other changes), or why nothing was changed.
pub type Outcome = Result<Range<u64>, Error>;

/// Longest text of an outcome, in bytes.
const TEXT_BYTES_MAX: usize = TagDefinition::NAME_BYTES_MAX;

/// A producer's last change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    number: u64,
    /// The batch that brought it.
    sequence: Sequence,
    outcome: Outcome,
}

/// All producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_name: BTreeMap<ProducerId, Last>,
    by_age: BTreeSet<(Sequence, ProducerId)>,
}

impl Producers {
    /// How many are remembered.
    pub const MAX: usize = 4096;

    /// Whether a change was applied before.
    pub fn has(&self, origin: Origin) -> bool {
        self.by_name.get(&origin.producer).is_some_and(|last| last.number >= origin.number)
    }

    /// What came of a change, as long as its producer asked for no later one.
    pub fn outcome(&self, origin: Origin) -> Option<Outcome> {
        self.by_name.get(&origin.producer).filter(|last| last.number == origin.number).map(|last| last.outcome.clone())
    }

    /// Remembers what came of a change.
    pub fn note(&mut self, origin: Origin, sequence: Sequence, outcome: Outcome) {
        self.put_last(origin.producer, Last { number: origin.number, sequence, outcome });
        while self.by_name.len() > Producers::MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_name.remove(&oldest);
        }
    }

    fn put_last(&mut self, producer: ProducerId, last: Last) {
        self.by_age.insert((last.sequence, producer));
        let sequence = last.sequence;
        if let Some(before) = self.by_name.insert(producer, last).filter(|before| before.sequence != sequence) {
            self.by_age.remove(&(before.sequence, producer));
        }
    }

    /// Appends them, with the next ordinal.
    pub fn put(&self, next: u64, out: &mut Vec<u8>) {
        put_varint(out, next);
        put_varint(out, self.by_name.len() as u64);
        for (producer, last) in &self.by_name {
            out.extend_from_slice(&producer.0.to_le_bytes());
            put_varint(out, last.number);
            put_varint(out, last.sequence.0);
            put_outcome(&last.outcome, out);
        }
    }

    /// Reads them, and the next ordinal.
    pub fn read(reader: &mut Reader<'_>) -> Option<(u64, Producers)> {
        let (next, count) = (reader.varint()?, reader.count(Producers::MAX)?);
        let mut all = Producers::default();
        for _ in 0..count {
            let producer = ProducerId(reader.u128()?);
            let (number, sequence) = (reader.varint()?, Sequence(reader.varint()?));
            let rises = all.by_name.last_key_value().is_none_or(|(before, _)| *before < producer);
            rises.then_some(())?;
            all.put_last(producer, Last { number, sequence, outcome: read_outcome(reader)? });
        }
        Some((next, all))
    }
}

/// An outcome as bytes, for whoever asked elsewhere.
#[must_use]
pub fn outcome_bytes(outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::new();
    put_outcome(outcome, &mut out);
    out
}

/// The outcome of these bytes; None where they are of another release.
#[must_use]
pub fn outcome_of(bytes: &[u8]) -> Option<Outcome> {
    let mut reader = Reader::new(bytes);
    read_outcome(&mut reader).filter(|_| reader.is_empty())
}

fn put_outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    let mut text = |kind: u8, texts: &[&str]| {
        out.push(kind);
        texts.iter().for_each(|text| put_text(out, &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]));
    };
    match outcome {
        Ok(range) => {
            out.push(0);
            put_varint(out, range.start);
            put_varint(out, range.end - range.start);
        }
        Err(Error::Exists(name)) => text(1, &[name]),
        Err(Error::Unknown(tag)) => {
            out.push(2);
            put_varint(out, tag.0);
        }
        Err(Error::Invalid { name, problem }) => text(3, &[name, problem]),
        Err(Error::Unreadable(what)) => text(4, &[what]),
        Err(other) => unreachable!("{other} is no outcome of a change"),
    }
}

fn read_outcome(reader: &mut Reader<'_>) -> Option<Outcome> {
    let text = |reader: &mut Reader<'_>| read_text(reader, TEXT_BYTES_MAX).map(str::to_owned);
    Some(match reader.u8()? {
        0 => {
            let (first, count) = (reader.varint()?, reader.varint()?);
            Ok(first..first.checked_add(count)?)
        }
        1 => Err(Error::Exists(text(reader)?)),
        2 => Err(Error::Unknown(TagId(reader.varint()?))),
        3 => Err(Error::Invalid { name: text(reader)?, problem: text(reader)? }),
        4 => Err(Error::Unreadable(text(reader)?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_all_come_back() {
        let mut all = Producers::default();
        let outcomes: [Outcome; 5] = [
            Ok(7..9),
            Err(Error::Exists("电压".to_owned())),
            Err(Error::Unknown(TagId(1 << 40))),
            Err(Error::Invalid { name: "n".to_owned(), problem: "p".to_owned() }),
            Err(Error::Unreadable("u".to_owned())),
        ];
        let origin = |producer: u64, number| Origin { producer: ProducerId(u128::from(producer)), number };
        for producer in 0..Producers::MAX as u64 + 10 {
            // The first one asks again and again, so it stays.
            all.note(origin(0, producer + 1), Sequence(producer + 1), outcomes[4].clone());
            all.note(origin(producer + 1, 5), Sequence(producer + 1), outcomes[producer as usize % 5].clone());
        }
        assert_eq!((all.by_name.len(), all.by_age.len()), (Producers::MAX, Producers::MAX));
        assert!(all.has(origin(0, 9)) && !all.has(origin(1, 5)) && all.has(origin(40, 5)) && !all.has(origin(40, 6)));
        assert_eq!((all.outcome(origin(41, 5)), all.outcome(origin(41, 4))), (Some(outcomes[0].clone()), None));
        let mut bytes = Vec::new();
        all.put(77, &mut bytes);
        assert_eq!(Producers::read(&mut Reader::new(&bytes)), Some((77, all)));
        assert_eq!(Producers::read(&mut Reader::new(&bytes[..bytes.len() - 1])), None);
        for outcome in outcomes {
            assert_eq!(outcome_of(&outcome_bytes(&outcome)), Some(outcome));
        }
    }
}
