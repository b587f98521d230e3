//! Columns of one tag's samples, or of many tags' end to end: the form in which rows travel between
//! buffer, files, merging and scanning.
//!
//! It promises nothing of order; the columns that are wanted have equal lengths. It knows no tag,
//! no file and no buffer.

use types::{TextColumn, Timestamp};

/// Rows as columns. Numeric rows have `bits` and no `texts`, text rows the other way round; a
/// column that was not wanted is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesColumns {
    /// Times.
    pub times: Vec<Timestamp>,
    /// Values in the 64-bit form of their kind.
    pub bits: Vec<u64>,
    /// Texts.
    pub texts: TextColumn,
    /// Quality bytes; None = all 192.
    pub qualities: Option<Vec<u8>>,
}

impl Default for SeriesColumns {
    fn default() -> Self {
        SeriesColumns { times: Vec::new(), bits: Vec::new(), texts: TextColumn::new(), qualities: None }
    }
}

impl SeriesColumns {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Forgets all rows, keeps the room.
    pub fn clear(&mut self) {
        self.times.clear();
        self.bits.clear();
        self.texts.offsets.clear();
        self.texts.offsets.push(0);
        self.texts.bytes.clear();
        self.qualities = None;
    }
}
