//! Chunks of many tags that were just read again and again: decoded whole, once, by each thread.
//!
//! A scan reads the tags of such a chunk one after the other; decoding its pages for each of them
//! would cost a hundred times what one decoding costs. Whoever reads single points comes to ever
//! other chunks and pays nothing but a look at a short table.
//!
//! State, a thread: the last `SLOTS` chunks of few-row entries that were read, how often, and from the
//! `HITS`th time on their rows. Keyed by the opening of the file, so that nothing outlives its file
//! under another's name. Promises: rows are those that reading page by page gives.

use super::chunk_read::ChunkHeader;
use super::entry::Entry;
use super::qualities::USUAL;
use crate::{Projection, SeriesColumns};
use types::{TextColumn, TimeRange};

/// Chunks remembered: a scan goes through as many classes of tags side by side.
const SLOTS: usize = 24;
/// A chunk is decoded whole when it is read so often in a row.
const HITS: u32 = 3;

#[derive(Default)]
struct Slot {
    file: u64,
    offset: u64,
    hits: u32,
    used: u64,
    rows: Option<SeriesColumns>,
}

/// The table.
#[derive(Default)]
pub struct Recent {
    slots: Vec<Slot>,
    clock: u64,
}

/// What the table says of a chunk.
pub enum Seen<'a> {
    /// Its rows.
    Rows(&'a SeriesColumns),
    /// It is read often enough to be decoded whole.
    Often,
    /// It is read as others are.
    Seldom,
}

impl Recent {
    /// Notes that an entry of a chunk is read.
    pub fn look(&mut self, file: u64, offset: u64) -> Seen<'_> {
        self.clock += 1;
        let clock = self.clock;
        let at = self.slots.iter().position(|slot| slot.file == file && slot.offset == offset);
        let Some(at) = at else {
            let fresh = Slot { file, offset, hits: 1, used: clock, rows: None };
            if self.slots.len() < SLOTS {
                self.slots.push(fresh);
            } else if let Some(oldest) = self.slots.iter_mut().min_by_key(|slot| slot.used) {
                *oldest = fresh;
            }
            return Seen::Seldom;
        };
        let slot = &mut self.slots[at];
        slot.hits += 1;
        slot.used = clock;
        match &slot.rows {
            Some(rows) => Seen::Rows(rows),
            None if slot.hits >= HITS => Seen::Often,
            None => Seen::Seldom,
        }
    }

    /// Keeps the rows of a chunk that `look` found to be read often.
    pub fn keep(&mut self, file: u64, offset: u64, rows: SeriesColumns) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.file == file && slot.offset == offset) {
            slot.rows = Some(rows);
        }
    }
}

/// The times of a chunk's rows as far as its header tells them: points of their tags' lines.
/// None where its tags don't sum to its rows.
pub fn lines(header: &ChunkHeader<'_>) -> Option<Vec<i64>> {
    let mut lines = Vec::with_capacity(header.rows);
    for section in header.sections() {
        let rows = section.rows as usize;
        if rows > header.rows - lines.len() {
            return None;
        }
        lines.extend((0..rows).map(|row| super::times::at(section.first, section.step, row)));
    }
    (lines.len() == header.rows).then_some(lines)
}

/// Appends an entry's rows in a range from those of its chunk. False where the chunk has not as many.
pub fn copy(all: &SeriesColumns, entry: &Entry, range: TimeRange, projection: Projection, out: &mut SeriesColumns) -> bool {
    let first = entry.place.first_row as usize;
    let Some(times) = all.times.get(first..first + entry.rows as usize) else { return false };
    let from = times.partition_point(|time| *time < range.first);
    let to = times.partition_point(|time| *time <= range.last).max(from);
    let before = out.times.len();
    out.times.extend_from_slice(&times[from..to]);
    let rows = first + from..first + to;
    if projection.values {
        if entry.kind.is_text() {
            copy_texts(&all.texts, rows.clone(), &mut out.texts);
        } else {
            out.bits.extend_from_slice(&all.bits[rows.clone()]);
        }
    }
    let unusual = all.qualities.as_ref().map(|all| &all[rows]).filter(|part| part.iter().any(|byte| *byte != USUAL));
    if projection.qualities && (out.qualities.is_some() || unusual.is_some()) {
        let qualities = out.qualities.get_or_insert_default();
        qualities.resize(before, USUAL);
        match unusual {
            Some(unusual) => qualities.extend_from_slice(unusual),
            None => qualities.resize(before + to - from, USUAL),
        }
    }
    true
}

fn copy_texts(all: &TextColumn, rows: std::ops::Range<usize>, out: &mut TextColumn) {
    rows.for_each(|row| out.push(all.get(row)));
}
