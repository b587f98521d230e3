//! The bytes of a section: drawn here, specified in `docs/formats/section.md`; change both together.
//!
//! Little-endian, every column padded with zeros to 8 bytes, so that columns can be used in place
//! when the section itself begins at a multiple of 8.
//!
//! ```text
//!  0  u8   format, 1
//!  1  u8   sort: 0 numeric, 1 text
//!  2  u8   flags: 1 wide ordinals, 2 wide times, 4 ordered by (tag, time), each once
//!  3  u8   quality form: 0 all 192, 1 list of exceptions, 2 column
//!  4  u32  rows, at least 1
//!  8  u64  lowest ordinal
//! 16  u64  highest ordinal
//! 24  i64  earliest time
//! 32  i64  latest time
//! 40  u32  unit of narrow times in microseconds: 1, 1000 or 1000000; 1 where times are wide
//! 44  u32  exceptions in the quality list; 0 in the other forms
//! 48  u64  bytes of text, below 2^32; 0 where numeric
//! 56  values:     u64 x rows                                  (numeric)
//!     offsets:    u32 x (rows + 1), from 0 to bytes of text   (text)
//!     times:      u32 x rows, (time - earliest) / unit        (narrow), or i64 x rows, the time itself
//!     ordinals:   u32 x rows, ordinal - lowest                (narrow), or u64 x rows, the ordinal itself
//!     qualities:  list: u32 x exceptions, rows rising, then u8 x exceptions; or column: u8 x rows
//!     text bytes                                              (text)
//! ```
//!
//! It knows columns and their places, not where rows come from nor who asks.

use crate::Error;
use types::{TagId, TimeRange, Timestamp};

/// The layout's number.
pub(super) const FORMAT: u8 = 1;
/// Bytes before the first column.
pub(super) const HEAD_BYTES: usize = 56;
pub(super) const FLAG_WIDE_ORDINALS: u8 = 1;
pub(super) const FLAG_WIDE_TIMES: u8 = 2;
pub(super) const FLAG_ORDERED: u8 = 4;
/// The most rows of a section.
pub(super) const ROWS_MAX: u64 = 1 << 30;
/// The most bytes of text of a section.
pub(super) const TEXT_BYTES_MAX: u64 = u32::MAX as u64;

/// How qualities are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QualityForm {
    Good = 0,
    List = 1,
    Column = 2,
}

/// The head's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub text: bool,
    pub flags: u8,
    pub quality: QualityForm,
    pub rows: u32,
    pub tag_first: u64,
    pub tag_last: u64,
    pub time_first: i64,
    pub time_last: i64,
    pub unit_us: u32,
    pub exceptions: u32,
    pub text_bytes: u64,
}

/// Where the columns begin, in bytes from the section's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub values: usize,
    pub times: usize,
    pub ordinals: usize,
    pub qualities: usize,
    pub texts: usize,
    pub end: usize,
}

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

impl Head {
    pub fn is_wide_ordinals(&self) -> bool {
        self.flags & FLAG_WIDE_ORDINALS != 0
    }

    pub fn is_wide_times(&self) -> bool {
        self.flags & FLAG_WIDE_TIMES != 0
    }

    pub fn is_ordered(&self) -> bool {
        self.flags & FLAG_ORDERED != 0
    }

    pub fn range(&self) -> TimeRange {
        TimeRange { first: Timestamp(self.time_first), last: Timestamp(self.time_last) }
    }

    pub fn tags(&self) -> (TagId, TagId) {
        (TagId(self.tag_first), TagId(self.tag_last))
    }

    /// Rows and text bytes are bounded (`ROWS_MAX`, `TEXT_BYTES_MAX`), so this can't overflow.
    pub fn places(&self) -> Places {
        let rows = self.rows as usize;
        let values = HEAD_BYTES;
        let times = values + if self.text { padded(4 * (rows + 1)) } else { 8 * rows };
        let ordinals = times + if self.is_wide_times() { 8 * rows } else { padded(4 * rows) };
        let qualities = ordinals + if self.is_wide_ordinals() { 8 * rows } else { padded(4 * rows) };
        let texts = qualities
            + match self.quality {
                QualityForm::Good => 0,
                QualityForm::List => padded(5 * self.exceptions as usize),
                QualityForm::Column => padded(rows),
            };
        Places { values, times, ordinals, qualities, texts, end: texts + padded(self.text_bytes as usize) }
    }

    pub fn words(&self) -> [u64; HEAD_BYTES / 8] {
        let bytes = [FORMAT, u8::from(self.text), self.flags, self.quality as u8];
        [
            u64::from(u32::from_le_bytes(bytes)) | u64::from(self.rows) << 32,
            self.tag_first,
            self.tag_last,
            self.time_first as u64,
            self.time_last as u64,
            u64::from(self.unit_us) | u64::from(self.exceptions) << 32,
            self.text_bytes,
        ]
    }

    /// Reads the head and checks each field by itself, and the length of the whole.
    pub fn parse(bytes: &[u8]) -> Result<Head, Error> {
        let damaged = |what| Err(Error::SectionDamaged { what });
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
            return damaged("shorter than its head");
        };
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if head[0] != FORMAT {
            return damaged("unknown format");
        }
        if head[1] > 1 || head[2] > 7 {
            return damaged("unknown sort or flags");
        }
        let quality = match head[3] {
            0 => QualityForm::Good,
            1 => QualityForm::List,
            2 => QualityForm::Column,
            _ => return damaged("unknown quality form"),
        };
        let parsed = Head {
            text: head[1] == 1,
            flags: head[2],
            quality,
            rows: u32_at(4),
            tag_first: u64_at(8),
            tag_last: u64_at(16),
            time_first: u64_at(24) as i64,
            time_last: u64_at(32) as i64,
            unit_us: u32_at(40),
            exceptions: u32_at(44),
            text_bytes: u64_at(48),
        };
        parsed.check(bytes.len())?;
        Ok(parsed)
    }

    fn check(&self, len: usize) -> Result<(), Error> {
        let damaged = |what| Err(Error::SectionDamaged { what });
        if self.rows == 0 || u64::from(self.rows) > ROWS_MAX {
            return damaged("number of rows out of range");
        }
        if self.text_bytes > TEXT_BYTES_MAX || (self.text_bytes > 0 && !self.text) {
            return damaged("bytes of text out of range");
        }
        let is_list = self.quality == QualityForm::List;
        if self.exceptions > self.rows || (self.exceptions > 0) != is_list {
            return damaged("number of quality exceptions out of range");
        }
        let units: &[u32] = if self.is_wide_times() { &[1] } else { &[1, 1_000, 1_000_000] };
        if !units.contains(&self.unit_us) {
            return damaged("unknown unit of time");
        }
        if self.tag_first > self.tag_last || self.time_first > self.time_last {
            return damaged("its range ends before it begins");
        }
        if self.places().end != len {
            return damaged("its length is not what its head says");
        }
        Ok(())
    }
}
