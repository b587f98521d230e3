//! Columnar batches of samples as callers hand them to the kernel: borrowed, one row an index.
//!
//! Rows may be in any order of tag and time. Of two rows with the same (tag, time) the later
//! stands. Promises: a batch that was made has columns of equal length.

use crate::{TagId, Timestamp};
use thiserror::Error;

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Columns differ in length.
    #[error("a batch of {tags} tags has {other} entries in column {column}")]
    Lengths {
        /// Length of the tag column.
        tags: usize,
        /// The other column's name.
        column: &'static str,
        /// The other column's length.
        other: usize,
    },
    /// Text offsets don't grow from 0 to the length of the text.
    #[error("text offsets are not in order, or do not end where the text ends")]
    Offsets,
}

/// Samples of numeric kinds. `bits[i]` is the value in the 64-bit form of its tag's kind.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    tags: &'a [TagId],
    times: &'a [Timestamp],
    bits: &'a [u64],
    qualities: Option<&'a [u8]>,
}

impl<'a> Samples<'a> {
    /// A batch of these columns; no qualities means that all are good.
    ///
    /// # Errors
    /// `BatchError::Lengths`.
    pub fn new(
        tags: &'a [TagId],
        times: &'a [Timestamp],
        bits: &'a [u64],
        qualities: Option<&'a [u8]>,
    ) -> Result<Self, BatchError> {
        check(tags.len(), "time", times.len())?;
        check(tags.len(), "value", bits.len())?;
        if let Some(qualities) = qualities {
            check(tags.len(), "quality", qualities.len())?;
        }
        Ok(Samples { tags, times, bits, qualities })
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// The tag of each row.
    #[must_use]
    pub fn tags(&self) -> &'a [TagId] {
        self.tags
    }

    /// The time of each row.
    #[must_use]
    pub fn times(&self) -> &'a [Timestamp] {
        self.times
    }

    /// The value of each row, as bits.
    #[must_use]
    pub fn bits(&self) -> &'a [u64] {
        self.bits
    }

    /// The quality byte of each row; None = all good.
    #[must_use]
    pub fn qualities(&self) -> Option<&'a [u8]> {
        self.qualities
    }
}

/// A column of texts: text i is `bytes[offsets[i]..offsets[i + 1]]`, UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumn {
    /// One more than there are texts, growing from 0.
    pub offsets: Vec<u32>,
    /// All texts, end to end.
    pub bytes: Vec<u8>,
}

impl TextColumn {
    /// An empty column.
    #[must_use]
    pub fn new() -> Self {
        TextColumn { offsets: vec![0], bytes: Vec::new() }
    }

    /// How many texts it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a text at the end.
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(u32::try_from(self.bytes.len()).expect("a column of texts stays below 4 GiB: batches are bounded"));
    }

    /// Text number `index`. Panics beyond the end, like indexing a slice.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// Samples of text tags.
#[derive(Clone, Copy, Debug)]
pub struct TextSamples<'a> {
    tags: &'a [TagId],
    times: &'a [Timestamp],
    texts: &'a TextColumn,
    qualities: Option<&'a [u8]>,
}

impl<'a> TextSamples<'a> {
    /// A batch of these columns; no qualities means that all are good.
    ///
    /// # Errors
    /// `BatchError::Lengths`, `BatchError::Offsets`.
    pub fn new(
        tags: &'a [TagId],
        times: &'a [Timestamp],
        texts: &'a TextColumn,
        qualities: Option<&'a [u8]>,
    ) -> Result<Self, BatchError> {
        check(tags.len(), "time", times.len())?;
        check(tags.len(), "text", texts.len())?;
        if let Some(qualities) = qualities {
            check(tags.len(), "quality", qualities.len())?;
        }
        let ends = texts.offsets.first() == Some(&0) && texts.offsets.last().map(|end| *end as usize) == Some(texts.bytes.len());
        if !ends || !texts.offsets.is_sorted() {
            return Err(BatchError::Offsets);
        }
        Ok(TextSamples { tags, times, texts, qualities })
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// The tag of each row.
    #[must_use]
    pub fn tags(&self) -> &'a [TagId] {
        self.tags
    }

    /// The time of each row.
    #[must_use]
    pub fn times(&self) -> &'a [Timestamp] {
        self.times
    }

    /// The text of each row.
    #[must_use]
    pub fn texts(&self) -> &'a TextColumn {
        self.texts
    }

    /// The quality byte of each row; None = all good.
    #[must_use]
    pub fn qualities(&self) -> Option<&'a [u8]> {
        self.qualities
    }
}

fn check(tags: usize, column: &'static str, other: usize) -> Result<(), BatchError> {
    if tags == other { Ok(()) } else { Err(BatchError::Lengths { tags, column, other }) }
}
