//! What the simulated fleet stores: small samples, and the state that writes of them lead to.
//!
//! ```text
//!   Op::Put {tag, time, value}    Op::Delete {tag or all, times}    Op::Retain {before}
//!   State: groups (by period) of rows (by tag and time), with their versions; snapshot values; producers
//! ```
//! Promises: a state follows from its records alone (unless the bug `RetentionLocal` is planted); digests
//! of equal groups are equal. It is the model too: what the checker compares with is made by this code from
//! records in their order, while stores make theirs by flushes, merges, copies and replays.

use bytes::Bytes;
use protocol::{ProducerRow, Producers, Record};
use std::collections::BTreeMap;
use types::{Period, Version};

/// Times of one file group.
pub const PERIOD_TIMES: u8 = 4;

/// Most producers that a slice remembers in the simulation.
pub const PRODUCERS_MAX: usize = 64;

/// A row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The tag.
    pub tag: u8,
    /// The time.
    pub time: u8,
}

impl Key {
    /// The file group that it lies in.
    #[must_use]
    pub fn period(self) -> Period {
        Period(i64::from(self.time / PERIOD_TIMES))
    }
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A sample. Values are never used twice in a run.
    Put(Key, u64),
    /// Deletes a tag's samples (all tags' where none is named) from a time to another, both included.
    Delete(Option<u8>, u8, u8),
    /// Retention: all samples before a time go.
    Retain(u8),
}

impl Op {
    /// Whether it takes a row away.
    #[must_use]
    pub fn deletes(&self, key: Key) -> bool {
        match *self {
            Op::Put(..) => false,
            Op::Delete(tag, from, to) => tag.is_none_or(|tag| tag == key.tag) && (from..=to).contains(&key.time),
            Op::Retain(before) => key.time < before,
        }
    }

    /// Whether it may concern a file group.
    #[must_use]
    pub fn concerns(&self, period: Period) -> bool {
        let first = (period.0 as u8) * PERIOD_TIMES;
        let last = first + PERIOD_TIMES - 1;
        match *self {
            Op::Put(key, _) => key.period() == period,
            Op::Delete(_, from, to) => from <= last && to >= first,
            Op::Retain(before) => first < before,
        }
    }
}

/// What a retention drops, decided by a clock of the wall in microseconds: a bound that moves each second.
#[must_use]
pub fn retention_bound(wall: i64) -> u8 {
    (wall.div_euclid(1_000_000).rem_euclid(i64::from(PERIOD_TIMES) * 2)) as u8
}

/// A batch as a section's bytes: twelve a change.
#[must_use]
pub fn encode(ops: &[Op]) -> Bytes {
    let mut out = Vec::with_capacity(ops.len() * 12);
    for op in ops {
        let (kind, a, b, c, value) = match *op {
            Op::Put(key, value) => (0, key.tag, key.time, 0, value),
            Op::Delete(tag, from, to) => (1, tag.unwrap_or(u8::MAX), from, to, 0),
            Op::Retain(before) => (2, before, 0, 0, 0),
        };
        out.extend_from_slice(&[kind, a, b, c]);
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.into()
}

/// The changes of a section.
pub fn decode(body: &[u8]) -> impl Iterator<Item = Op> + '_ {
    body.chunks_exact(12).map(|chunk| {
        let value = u64::from_le_bytes(chunk[4..].try_into().expect("eight of twelve bytes"));
        match chunk[0] {
            0 => Op::Put(Key { tag: chunk[1], time: chunk[2] }, value),
            1 => Op::Delete(Some(chunk[1]).filter(|tag| *tag != u8::MAX), chunk[2], chunk[3]),
            _ => Op::Retain(chunk[1]),
        }
    })
}

/// A digest of numbers.
#[must_use]
pub fn digest(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0xCBF2_9CE4_8422_2325, |sum, number| {
        let mixed = (sum ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 29)
    })
}

/// A digest of bytes.
#[must_use]
pub fn digest_bytes(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| chunk.iter().fold(chunk.len() as u64, |sum, byte| (sum << 8) | u64::from(*byte));
    digest(bytes.chunks(7).map(word))
}

/// A file group's rows and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The last write that concerned it.
    pub version: Version,
    /// Its rows, with the writes that brought them.
    pub rows: BTreeMap<Key, (Version, u64)>,
}

impl Group {
    /// A digest of its rows.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let row = |(key, (version, value)): (&Key, &(Version, u64))| {
            [u64::from(key.tag) << 8 | u64::from(key.time), version.epoch.0, version.sequence.0, *value]
        };
        digest(self.rows.iter().flat_map(row))
    }

    /// Applies a change to its rows.
    pub fn apply(&mut self, period: Period, version: Version, op: Op) {
        match op {
            Op::Put(key, value) if key.period() == period => {
                self.rows.insert(key, (version, value));
            }
            Op::Put(..) => {}
            _ => self.rows.retain(|key, _| !op.deletes(*key)),
        }
    }
}

/// What a slice holds as of a write.
#[derive(Clone, Debug)]
pub struct State {
    /// The last write applied.
    pub at: Version,
    /// Its file groups.
    pub groups: BTreeMap<Period, Group>,
    /// The snapshot value of each tag: (time, value).
    pub latest: BTreeMap<u8, (u8, u64)>,
    /// The producers' numbers.
    pub producers: Producers,
}

impl State {
    /// A state of groups, as files gave them.
    #[must_use]
    pub fn new(at: Version, groups: BTreeMap<Period, Group>, producers: &[ProducerRow]) -> State {
        let mut state = State { at, groups, latest: BTreeMap::new(), producers: Producers::new(producers, PRODUCERS_MAX) };
        state.latest = state.scan_latest();
        state
    }

    /// Applies a record; `local` takes the place of what a retention says, where that bug is planted.
    pub fn apply(&mut self, record: &Record, local: Option<u8>) {
        self.at = record.version;
        self.producers.note_record(record);
        for op in decode(&record.body) {
            match op {
                Op::Put(key, value) => {
                    let group = self.groups.entry(key.period()).or_default();
                    group.version = record.version;
                    group.rows.insert(key, (record.version, value));
                    if self.latest.get(&key.tag).is_none_or(|(time, _)| *time <= key.time) {
                        self.latest.insert(key.tag, (key.time, value));
                    }
                }
                _ => {
                    let op = if let (Op::Retain(_), Some(local)) = (op, local) { Op::Retain(local) } else { op };
                    for (period, group) in self.groups.iter_mut().filter(|(period, _)| op.concerns(**period)) {
                        group.version = record.version;
                        group.apply(*period, record.version, op);
                    }
                    let fallen: Vec<u8> = self
                        .latest
                        .iter()
                        .filter(|(tag, (time, _))| op.deletes(Key { tag: **tag, time: *time }))
                        .map(|(tag, _)| *tag)
                        .collect();
                    for tag in fallen {
                        match self.newest_of(tag) {
                            Some(newest) => self.latest.insert(tag, newest),
                            None => self.latest.remove(&tag),
                        };
                    }
                }
            }
        }
    }

    /// A row's value.
    #[must_use]
    pub fn value(&self, key: Key) -> Option<u64> {
        self.groups.get(&key.period()).and_then(|group| group.rows.get(&key)).map(|(_, value)| *value)
    }

    /// The newest sample of a tag, by looking at all rows.
    #[must_use]
    pub fn newest_of(&self, tag: u8) -> Option<(u8, u64)> {
        let rows = self.groups.values().flat_map(|group| group.rows.iter());
        rows.filter(|(key, _)| key.tag == tag).map(|(key, (_, value))| (key.time, *value)).max_by_key(|(time, _)| *time)
    }

    /// All snapshot values, by looking at all rows.
    #[must_use]
    pub fn scan_latest(&self) -> BTreeMap<u8, (u8, u64)> {
        let mut latest = BTreeMap::new();
        for (key, (_, value)) in self.groups.values().flat_map(|group| group.rows.iter()) {
            let newest = latest.entry(key.tag).or_insert((key.time, *value));
            if newest.0 <= key.time {
                *newest = (key.time, *value);
            }
        }
        latest
    }

    /// The versions of its file groups.
    #[must_use]
    pub fn group_versions(&self) -> Vec<(Period, Version)> {
        self.groups.iter().map(|(period, group)| (*period, group.version)).collect()
    }
}
