//! Looking at a tag's rows before they go into a chunk: how times and values are best stored, what
//! class of chunk that makes, and their statistics.

use super::chunk::{ChunkBuild, Class, Section, ValueMethod};
use super::columns::{SeriesRows, Values};
use super::decimals::{self, Exceptions};
use super::index::RawEntry;
use super::qualities;
use super::summary::{self, Form, RawStatistics, Wanted};
use super::times::{self, TimeMethod, TimeShape};
use crate::SeriesColumns;
use types::{Kind, TagId};

/// Fewer rows have no statistics of their own.
pub const ROWS_FOR_STATISTICS: usize = 16;

impl SeriesRows<'_> {
    /// Bytes of their texts.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self.values {
            Values::Bits(_) => 0,
            Values::Texts { offsets, .. } => (offsets[offsets.len() - 1] - offsets[0]) as usize,
        }
    }
}

/// Appends rows to columns.
pub fn gather(columns: &mut SeriesColumns, rows: &SeriesRows<'_>) {
    if rows.qualities.is_some() && columns.qualities.is_none() {
        columns.qualities = Some(vec![qualities::USUAL; columns.times.len()]);
    }
    columns.times.extend_from_slice(rows.times);
    match rows.values {
        Values::Bits(bits) => columns.bits.extend_from_slice(bits),
        Values::Texts { offsets, bytes } => {
            offsets.windows(2).for_each(|ends| columns.texts.push(&bytes[ends[0] as usize..ends[1] as usize]));
        }
    }
    if let Some(all) = &mut columns.qualities {
        match rows.qualities {
            Some(qualities) => all.extend_from_slice(qualities),
            None => all.resize(columns.times.len(), qualities::USUAL),
        }
    }
}

/// How many of the first rows make a chunk of at most so many rows and about so many bytes of text.
#[must_use]
pub fn chunk_rows(rows: &SeriesRows<'_>, rows_max: usize, text_bytes: usize) -> usize {
    let most = rows.len().min(rows_max);
    match rows.values {
        Values::Bits(_) => most,
        Values::Texts { offsets, .. } => {
            let fitting = offsets[1..=most].partition_point(|end| (*end - offsets[0]) as usize <= text_bytes);
            fitting.max(1)
        }
    }
}

/// With fewer rows, being regular means nothing.
const ROWS_FOR_CADENCE: usize = 4;

/// Rows of a tag, looked at.
pub struct Prepared {
    /// What class of chunk they belong to.
    pub class: Class,
    shape: TimeShape,
    integers: Vec<i64>,
    exceptions: Exceptions,
}

impl Prepared {
    /// Looks at rows, at least one. `hint` is a scale that is likely, and becomes the one found.
    #[must_use]
    pub fn new(kind: Kind, rows: &SeriesRows<'_>, hint: &mut u8) -> Prepared {
        let shape = times::shape(rows.times);
        let mut class = Class { kind, time: shape.method, value: ValueMethod::Texts, scale: 0, unit: 0, spread: 0 };
        if class.time != TimeMethod::Regular {
            class.unit = times::fineness(rows.times);
        }
        let (mut integers, mut exceptions) = (Vec::new(), Exceptions::new());
        if let Values::Bits(bits) = rows.values {
            if kind.is_integer() {
                class.value = ValueMethod::Integers;
                integers = bits.iter().map(|bits| *bits as i64).collect();
            } else if let Some((scale, split, odd)) = decimals::split(kind, bits, *hint) {
                (class.value, class.scale, integers, exceptions) = (ValueMethod::Decimals, scale, split, odd);
                *hint = scale;
            } else {
                class.value = ValueMethod::Floats;
            }
            class.spread = spread(&integers);
        }
        Prepared { class, shape, integers, exceptions }
    }

    /// Adds the rows to a chunk of their class; gives the entry, which lacks the chunk's place.
    pub fn add_to(mut self, chunk: &mut ChunkBuild, tag: TagId, rows: &SeriesRows<'_>) -> RawEntry {
        let first_row = chunk.rows as u32;
        let unusual_before = chunk.unusual.len();
        qualities::unusual(rows.qualities, first_row, &mut chunk.unusual);
        let statistics = self.statistics(rows, &chunk.unusual[unusual_before..], first_row);
        match self.class.time {
            TimeMethod::Regular => {}
            TimeMethod::Line => times::deviations(rows.times, &self.shape, &mut chunk.times),
            TimeMethod::Plain => chunk.times.extend(rows.times.iter().map(|time| time.0)),
        }
        match rows.values {
            Values::Bits(bits) if self.class.value == ValueMethod::Floats => chunk.bits.extend_from_slice(bits),
            Values::Bits(_) if chunk.integers.is_empty() => chunk.integers = std::mem::take(&mut self.integers),
            Values::Bits(_) => chunk.integers.extend_from_slice(&self.integers),
            Values::Texts { offsets, bytes } => {
                chunk.text_lengths.extend(offsets.windows(2).map(|ends| ends[1] - ends[0]));
                chunk.text_bytes.extend_from_slice(&bytes[offsets[0] as usize..offsets[rows.len()] as usize]);
            }
        }
        chunk.exceptions.extend(self.exceptions.iter().map(|(row, bits)| (row + first_row, *bits)));
        let ordinal = chunk.sections.len() as u32;
        chunk.sections.push(Section { tag, rows: rows.len() as u32, first: self.shape.first, step: self.shape.step });
        chunk.rows += rows.len();
        RawEntry {
            tag,
            kind: self.class.kind,
            rows: rows.len() as u32,
            first_time: rows.times[0].0,
            last_time: rows.times[rows.len() - 1].0,
            exact: rows.len() >= ROWS_FOR_STATISTICS
                || (self.class.time == TimeMethod::Regular && rows.len() >= ROWS_FOR_CADENCE),
            statistics,
            offset: 0,
            bytes: 0,
            header_bytes: 0,
            first_row,
            ordinal,
        }
    }

    fn statistics(&self, rows: &SeriesRows<'_>, unusual: &[(u32, u8)], first_row: u32) -> Option<RawStatistics> {
        let Values::Bits(bits) = rows.values else { return None };
        if rows.len() < ROWS_FOR_STATISTICS {
            return None;
        }
        let kind = self.class.kind;
        let wanted = match self.class.value {
            ValueMethod::Integers => Wanted::Integers(Form::Integer, &self.integers),
            ValueMethod::Decimals => summary::decimal_values(kind, self.class.scale, &self.integers, &self.exceptions, bits),
            ValueMethod::Floats | ValueMethod::Texts => Wanted::Floats(kind, bits),
        };
        summary::summarise(wanted, &|row| rows.times[row].0, &summary::not_good(unusual, first_row))
    }
}

/// About the logarithm of how much values change from row to row, in steps of two: tags whose
/// values move alike share the code of a chunk well.
fn spread(integers: &[i64]) -> u8 {
    let sample = &integers[..integers.len().min(128)];
    let moved: u128 = sample.windows(2).map(|pair| u128::from(pair[1].abs_diff(pair[0]))).sum();
    let mean = moved / sample.len().max(1) as u128;
    ((128 - mean.leading_zeros()) / 2 * 2) as u8
}
