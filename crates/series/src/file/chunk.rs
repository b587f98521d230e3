//! A chunk: rows of one tag, or of many tags of one class, in columns cut into pages. Writing.
//!
//! ```text
//!   chunk    header block | page block | page block ..
//!   header   kind u8 | flags u8: bits 0-1 time method, 2-3 value method, 4-7 zero | scale u8
//!            tags n varint | first tag varint | packed gaps to the next tag (n - 1) | packed rows (n)
//!            not Plain:  packed signed first times (n) | packed signed steps (n)
//!            pages p varint | packed rows of pages (p) | packed lengths of page blocks (p)
//!            not Regular, one tag: packed signed time of the first row of each page (p)
//!            not Regular: length varint | time column meta
//!            length varint | value column meta (texts: none)
//!   page     time length varint | value length varint | time part | value part | quality part
//!   value part of decimals: exceptions n varint | (gap varint, bits u64)* | page of the column
//! ```
//! Promises: a page needs nothing but its header to be read; columns of a chunk are of one method.

use super::decimals::Exceptions;
use super::integers::{self, EncodedColumn};
use super::packed;
use super::qualities::{self, Unusual};
use super::times::{TimeMethod, at};
use super::{floats, texts};
use storage::block::{self, Seal};
use storage::wire::put_varint;
use types::{Kind, TagId};

/// Rows of a page, at most. A question for one value decodes a page: with 512 it took a quarter longer, for 2.6 % fewer bytes
/// (docs/PERFORMANCE.md, "Rows of a page").
pub const PAGE_ROWS: usize = 256;
/// Rows of a chunk, at most.
pub const CHUNK_ROWS_MAX: usize = 16_384;

/// How values are stored. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ValueMethod {
    /// Integers.
    Integers = 0,
    /// Floats as decimals.
    Decimals = 1,
    /// Floats as they are.
    Floats = 2,
    /// Texts.
    Texts = 3,
}

impl ValueMethod {
    /// The method with that number, if it fits the kind.
    #[must_use]
    pub fn from_u8(number: u8, kind: Kind) -> Option<ValueMethod> {
        let float = matches!(kind, Kind::F32 | Kind::F64);
        match number {
            0 if kind.is_integer() => Some(ValueMethod::Integers),
            1 if float => Some(ValueMethod::Decimals),
            2 if float => Some(ValueMethod::Floats),
            3 if kind.is_text() => Some(ValueMethod::Texts),
            _ => None,
        }
    }
}

/// What the tags of a chunk have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Kind of the tags.
    pub kind: Kind,
    /// How times are stored.
    pub time: TimeMethod,
    /// How values are stored.
    pub value: ValueMethod,
    /// Scale of decimals; else 0.
    pub scale: u8,
    /// How fine times are that are stored: 2 = whole seconds, 1 = whole milliseconds, 0 = microseconds.
    pub unit: u8,
    /// About how much values change from row to row, in powers of two: like goes with like.
    pub spread: u8,
}

/// The rows of one tag in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// The tag.
    pub tag: TagId,
    /// How many rows.
    pub rows: u32,
    /// First time.
    pub first: i64,
    /// Microseconds from row to row.
    pub step: i64,
}

/// A chunk that is being filled.
#[derive(Debug)]
pub struct ChunkBuild {
    /// What its tags have in common.
    pub class: Class,
    /// Its number, by which entries name it until it has a place.
    pub number: usize,
    /// Its tags.
    pub sections: Vec<Section>,
    /// Its rows.
    pub rows: usize,
    /// Deviations (`Line`), times (`Plain`), nothing (`Regular`).
    pub times: Vec<i64>,
    /// Integers, or integers of decimals.
    pub integers: Vec<i64>,
    /// Bits of floats.
    pub bits: Vec<u64>,
    /// Rows of decimals that are none.
    pub exceptions: Exceptions,
    /// Rows with unusual qualities.
    pub unusual: Vec<Unusual>,
    /// Lengths of texts.
    pub text_lengths: Vec<u32>,
    /// Texts, end to end.
    pub text_bytes: Vec<u8>,
}

impl ChunkBuild {
    /// An empty chunk.
    #[must_use]
    pub fn new(class: Class, number: usize) -> Self {
        ChunkBuild {
            class,
            number,
            sections: Vec::new(),
            rows: 0,
            times: Vec::new(),
            integers: Vec::new(),
            bits: Vec::new(),
            exceptions: Vec::new(),
            unusual: Vec::new(),
            text_lengths: Vec::new(),
            text_bytes: Vec::new(),
        }
    }

    /// How many rows each page has: tags that fit are kept in one page.
    fn page_rows(&self) -> Vec<usize> {
        if self.class.value == ValueMethod::Texts {
            return texts::page_rows(&self.text_lengths);
        }
        let mut pages = Vec::with_capacity(self.rows / PAGE_ROWS + 1);
        let mut open = 0;
        for section in &self.sections {
            let rows = section.rows as usize;
            if open > 0 && open + rows > PAGE_ROWS {
                pages.push(open);
                open = 0;
            }
            open += rows;
            while open > PAGE_ROWS {
                pages.push(PAGE_ROWS);
                open -= PAGE_ROWS;
            }
        }
        if open > 0 {
            pages.push(open);
        }
        pages
    }

    /// Appends the chunk to `out`, whose first byte lies at `base` of the file. Returns the length
    /// of its header block.
    pub fn encode(&self, out: &mut Vec<u8>, base: u64, identity: u64) -> u32 {
        assert!(self.rows > 0 && self.rows <= CHUNK_ROWS_MAX, "a chunk has rows, and not too many");
        let page_rows = self.page_rows();
        let times = match self.class.time {
            TimeMethod::Regular => None,
            TimeMethod::Line | TimeMethod::Plain => Some(integers::encode(&self.times, &page_rows)),
        };
        let values = match self.class.value {
            ValueMethod::Integers | ValueMethod::Decimals => integers::encode(&self.integers, &page_rows),
            ValueMethod::Floats => floats::encode(self.class.kind, &self.bits, &page_rows),
            ValueMethod::Texts => texts::encode(&self.text_lengths, &self.text_bytes, &page_rows),
        };
        let mut pages = Vec::with_capacity(values.bytes.len() + times.as_ref().map_or(0, |times| times.bytes.len()) + 1024);
        let mut ends = Vec::with_capacity(page_rows.len());
        let mut first_row = 0;
        for (index, rows) in page_rows.iter().enumerate() {
            block::begin(&mut pages);
            self.put_page(&mut pages, index, first_row..first_row + rows, times.as_ref(), &values);
            ends.push(pages.len());
            first_row += rows;
        }
        let start = out.len();
        block::begin(out);
        self.put_header(out, &page_rows, &ends, times.as_ref(), &values);
        block::end(out, start, Seal { file: identity, offset: base + start as u64 });
        let header_bytes = out.len() - start;
        let pages_at = base + out.len() as u64;
        let mut page_start = 0;
        for end in ends {
            block::end(&mut pages[..end], page_start, Seal { file: identity, offset: pages_at + page_start as u64 });
            page_start = end;
        }
        out.extend_from_slice(&pages);
        header_bytes as u32
    }

    fn put_header(
        &self,
        out: &mut Vec<u8>,
        page_rows: &[usize],
        ends: &[usize],
        times: Option<&EncodedColumn>,
        values: &EncodedColumn,
    ) {
        let class = &self.class;
        out.push(class.kind as u8);
        out.push(class.time as u8 | (class.value as u8) << 2);
        out.push(class.scale);
        let column = |of: &dyn Fn(&Section) -> u64| self.sections.iter().map(of).collect::<Vec<u64>>();
        put_varint(out, self.sections.len() as u64);
        put_varint(out, self.sections[0].tag.0);
        let gaps: Vec<u64> = self.sections.windows(2).map(|pair| pair[1].tag.0 - pair[0].tag.0).collect();
        packed::put(out, &gaps);
        packed::put(out, &column(&|section| u64::from(section.rows)));
        if class.time != TimeMethod::Plain {
            packed::put_signed(out, &self.sections.iter().map(|section| section.first).collect::<Vec<_>>());
            packed::put_signed(out, &self.sections.iter().map(|section| section.step).collect::<Vec<_>>());
        }
        put_varint(out, page_rows.len() as u64);
        packed::put(out, &page_rows.iter().map(|rows| *rows as u64).collect::<Vec<_>>());
        let lengths = ends.iter().scan(0, |start, end| Some((end - std::mem::replace(start, *end)) as u64));
        packed::put(out, &lengths.collect::<Vec<_>>());
        if let Some(times) = times {
            if let [section] = self.sections.as_slice() {
                packed::put_signed(out, &self.page_first_times(section, page_rows));
            }
            put_varint(out, times.meta.len() as u64);
            out.extend_from_slice(&times.meta);
        }
        put_varint(out, values.meta.len() as u64);
        out.extend_from_slice(&values.meta);
    }

    fn page_first_times(&self, section: &Section, page_rows: &[usize]) -> Vec<i64> {
        let first_rows = page_rows.iter().scan(0, |row, rows| Some(std::mem::replace(row, *row + rows)));
        let time = |row: usize| match self.class.time {
            TimeMethod::Plain => self.times[row],
            _ => at(section.first, section.step, row).wrapping_add(self.times[row]),
        };
        first_rows.map(time).collect()
    }

    fn put_page(
        &self,
        out: &mut Vec<u8>,
        index: usize,
        rows: std::ops::Range<usize>,
        times: Option<&EncodedColumn>,
        values: &EncodedColumn,
    ) {
        let time_part = times.map_or(&[][..], |times| times.page(index));
        let mut odd = Vec::new();
        if self.class.value == ValueMethod::Decimals {
            let first = self.exceptions.partition_point(|(row, _)| (*row as usize) < rows.start);
            let end = self.exceptions.partition_point(|(row, _)| (*row as usize) < rows.end);
            put_varint(&mut odd, (end - first) as u64);
            let mut next = rows.start as u32;
            for (row, bits) in &self.exceptions[first..end] {
                put_varint(&mut odd, u64::from(row - next));
                odd.extend_from_slice(&bits.to_le_bytes());
                next = row + 1;
            }
        }
        let value_part = values.page(index);
        put_varint(out, time_part.len() as u64);
        put_varint(out, (odd.len() + value_part.len()) as u64);
        out.extend_from_slice(time_part);
        out.extend_from_slice(&odd);
        out.extend_from_slice(value_part);
        let first = self.unusual.partition_point(|(row, _)| (*row as usize) < rows.start);
        let end = self.unusual.partition_point(|(row, _)| (*row as usize) < rows.end);
        qualities::put(out, rows.start as u32, &self.unusual[first..end]);
    }
}
