//! Rows of one tag, borrowed by column: what goes into a file.
//!
//! Promises nothing that its caller did not put in: lengths are checked where rows are taken.

use crate::SeriesColumns;
use types::{Kind, Timestamp};

impl SeriesColumns {
    /// All of its rows, borrowed.
    #[must_use]
    pub fn rows(&self, kind: Kind) -> SeriesRows<'_> {
        let values = if kind.is_text() {
            Values::Texts { offsets: &self.texts.offsets, bytes: &self.texts.bytes }
        } else {
            Values::Bits(&self.bits)
        };
        SeriesRows { times: &self.times, values, qualities: self.qualities.as_deref() }
    }
}

/// Values of some rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// In the 64-bit form of the kind.
    Bits(&'a [u64]),
    /// Text i is `bytes[offsets[i]..offsets[i + 1]]`; the first offset need not be 0.
    Texts {
        /// One more than there are texts, not falling.
        offsets: &'a [u32],
        /// Where they lie.
        bytes: &'a [u8],
    },
}

/// Rows of one tag, borrowed, in order of time, each time once.
#[derive(Clone, Copy, Debug)]
pub struct SeriesRows<'a> {
    /// Times.
    pub times: &'a [Timestamp],
    /// Values, as many.
    pub values: Values<'a>,
    /// Quality bytes, as many; None = all good (192).
    pub qualities: Option<&'a [u8]>,
}

impl<'a> SeriesRows<'a> {
    /// How many rows these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether these are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The rows from `first` up to, not including, `end`. Panics beyond the end, as indexing does.
    #[must_use]
    pub fn part(&self, first: usize, end: usize) -> SeriesRows<'a> {
        let values = match self.values {
            Values::Bits(bits) => Values::Bits(&bits[first..end]),
            Values::Texts { offsets, bytes } => Values::Texts { offsets: &offsets[first..=end], bytes },
        };
        SeriesRows { times: &self.times[first..end], values, qualities: self.qualities.map(|q| &q[first..end]) }
    }
}
