//! A small tag table: names by ordinal, the next ordinal, and what was answered to whom.
//!
//! Promises: it follows from its changes alone; a change whose origin was applied before is applied as nothing. It is the
//! model too: what the checker compares with is made by this code from committed batches in their order, while schedulers
//! make theirs by logs, restarts and parts.

use bytes::Bytes;
use protocol::tags::{Change, Part};
use std::collections::BTreeMap;
use types::{Origin, ProducerId};

/// Ordinals of one part.
const PART_ORDINALS: u64 = 4;

/// What a change asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create(u8),
    Drop(u8),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Created(u64),
    Exists(u64),
    Dropped(u64),
    Missing,
}

impl Op {
    pub(super) fn encode(self) -> Bytes {
        match self {
            Op::Create(name) => Bytes::copy_from_slice(&[0, name]),
            Op::Drop(name) => Bytes::copy_from_slice(&[1, name]),
        }
    }

    fn decode(body: &[u8]) -> Op {
        if body[0] == 0 { Op::Create(body[1]) } else { Op::Drop(body[1]) }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    tags: BTreeMap<u64, u8>,
    next: u64,
    answers: BTreeMap<ProducerId, (u64, Result)>,
}

impl Table {
    pub(super) fn apply(&mut self, change: &Change) {
        let Origin { producer, number } = change.origin;
        if self.answers.get(&producer).is_some_and(|(last, _)| *last >= number) {
            return;
        }
        let find = |name| self.tags.iter().find(|(_, other)| **other == name).map(|(ordinal, _)| *ordinal);
        let result = match Op::decode(&change.body) {
            Op::Create(name) => match find(name) {
                Some(ordinal) => Result::Exists(ordinal),
                None => {
                    self.tags.insert(self.next, name);
                    self.next += 1;
                    Result::Created(self.next - 1)
                }
            },
            Op::Drop(name) => match find(name) {
                Some(ordinal) => {
                    self.tags.remove(&ordinal);
                    Result::Dropped(ordinal)
                }
                None => Result::Missing,
            },
        };
        self.answers.insert(producer, (number, result));
    }

    /// What came of a change, as long as its producer asked for no later one.
    pub(super) fn result(&self, origin: Origin) -> Option<Result> {
        self.answers.get(&origin.producer).filter(|(number, _)| *number == origin.number).map(|(_, result)| *result)
    }

    /// Ordinals and names of the tags that there are.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        self.tags.iter().map(|(ordinal, name)| (*ordinal, *name))
    }

    /// Ordinals below were given.
    pub(crate) fn ordinals_end(&self) -> u64 {
        self.next
    }

    /// The planted bug `OrdinalReused`: the counter is not kept.
    pub(super) fn forget_next(&mut self) {
        self.next = self.tags.last_key_value().map_or(0, |(ordinal, _)| ordinal + 1);
    }

    /// How many parts there are.
    pub(super) fn parts(&self) -> u64 {
        1 + self.next.div_ceil(PART_ORDINALS)
    }

    /// A part; an empty one where it has none of that number.
    pub(super) fn part(&self, number: u64) -> Part {
        let mut body = Vec::new();
        if let Some(block) = number.checked_sub(1) {
            for (ordinal, name) in self.tags.range(block * PART_ORDINALS..(block + 1) * PART_ORDINALS) {
                body.extend_from_slice(&ordinal.to_le_bytes());
                body.push(*name);
            }
        } else {
            body.extend_from_slice(&self.next.to_le_bytes());
            for (producer, (number, result)) in &self.answers {
                let (kind, ordinal) = match *result {
                    Result::Created(ordinal) => (0, ordinal),
                    Result::Exists(ordinal) => (1, ordinal),
                    Result::Dropped(ordinal) => (2, ordinal),
                    Result::Missing => (3, 0),
                };
                [producer.0 as u64, *number, kind, ordinal].iter().for_each(|word| body.extend_from_slice(&word.to_le_bytes()));
            }
        }
        Part { number, body: body.into() }
    }

    /// Replaces a part.
    pub(super) fn put(&mut self, part: &Part) {
        let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        if let Some(block) = part.number.checked_sub(1) {
            self.tags.retain(|ordinal, _| ordinal / PART_ORDINALS != block);
            self.tags.extend(part.body.chunks_exact(9).map(|row| (word(&row[..8]), row[8])));
            return;
        }
        self.next = word(&part.body[..8]);
        let rows = part.body[8..].chunks_exact(32).map(|row| {
            let words: Vec<u64> = row.chunks_exact(8).map(word).collect();
            let result = match words[2] {
                0 => Result::Created(words[3]),
                1 => Result::Exists(words[3]),
                2 => Result::Dropped(words[3]),
                _ => Result::Missing,
            };
            (ProducerId(u128::from(words[0])), (words[1], result))
        });
        self.answers = rows.collect();
    }

    /// The hash of each part.
    pub(super) fn hashes(&self) -> Vec<u128> {
        (0..self.parts()).map(|number| hash(&self.part(number))).collect()
    }

    /// Parts that differ from what another table has, at most so many, and whether these are all.
    pub(super) fn differing(&self, theirs: &[u128], most: usize) -> (Vec<Part>, bool) {
        let empty = |number| hash(&Part { number, body: Bytes::new() });
        let mut parts = (0..self.parts().max(theirs.len() as u64)).map(|number| self.part(number)).filter(|part| {
            let known = theirs.get(part.number as usize).copied();
            known.unwrap_or_else(|| empty(part.number)) != hash(part)
        });
        let some: Vec<Part> = parts.by_ref().take(most).collect();
        (some, parts.next().is_none())
    }
}

fn hash(part: &Part) -> u128 {
    part.body.iter().fold(u128::from(part.number) ^ 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_table_again() {
        let mut table = Table::default();
        for number in 1..40_u64 {
            let op = if number % 3 == 0 { Op::Drop((number % 7) as u8) } else { Op::Create((number % 11) as u8) };
            let origin = Origin { producer: ProducerId(u128::from(number % 4)), number };
            table.apply(&Change { origin, body: op.encode() });
            table.apply(&Change { origin, body: Op::Create(99).encode() });
        }
        let mut other = Table::default();
        let mut rounds = 0;
        loop {
            let (parts, complete) = table.differing(&other.hashes(), 2);
            parts.iter().for_each(|part| other.put(part));
            rounds += 1;
            if complete {
                break;
            }
        }
        assert_eq!((other.clone(), rounds > 1), (table.clone(), true));
        assert!(table.differing(&other.hashes(), 2).0.is_empty());
        assert!(!table.tags.values().any(|name| *name == 99), "a repetition is applied as nothing");
    }
}
