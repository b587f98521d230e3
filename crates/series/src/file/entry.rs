//! Index entries: where rows of a tag lie, and what is known of them without reading them.
//!
//! Promises: statistics are exact for what they say (sums of floats are rounded once where the
//! values are decimals, else added in order); where they can't be, they are absent.

use types::{Kind, TagId, TimeRange, Timestamp};

/// What is known of some samples of a tag of numeric kind. Bits are of the tag's kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many samples.
    pub count: u64,
    /// The smallest value. Floats: -0.0 below 0.0; there is no NaN.
    pub min: u64,
    /// The largest value.
    pub max: u64,
    /// The sum as a double.
    pub sum: f64,
    /// The exact sum of integer kinds; 0 for floats.
    pub integer_sum: i128,
    /// Time of the first sample.
    pub first_time: Timestamp,
    /// Its value.
    pub first: u64,
    /// Time of the last sample.
    pub last_time: Timestamp,
    /// Its value.
    pub last: u64,
}

/// What is known of an entry's samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Of all of them.
    pub all: Summary,
    /// Of those whose quality is good (`Quality::is_good`); None where there is none.
    pub good: Option<Summary>,
}

/// Where an entry's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the chunk begins in the file.
    pub offset: u64,
    /// How long the chunk is, with its pages.
    pub bytes: u32,
    /// How long its header is.
    pub header_bytes: u32,
    /// The first of the entry's rows in the chunk.
    pub first_row: u32,
    /// Which of the chunk's tags it is.
    pub ordinal: u32,
}

/// Rows of a tag that lie together in a file: a chunk, or a part of a chunk of many tags.
/// Entries of one tag are in order of time and don't overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The tag.
    pub tag: TagId,
    /// Its kind.
    pub kind: Kind,
    /// How many rows.
    pub rows: u32,
    /// No row is older.
    pub first_time: Timestamp,
    /// No row is newer.
    pub last_time: Timestamp,
    /// Whether `first_time` and `last_time` are the times of the first and last row; else they are
    /// bounds (very few rows don't pay for their own times in the index).
    pub times_exact: bool,
    /// None for text, where a NaN is among the values, and for very few rows.
    pub statistics: Option<Statistics>,
    /// Where they lie.
    pub place: Place,
}

impl Entry {
    /// The range of time in which its rows lie.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange { first: self.first_time, last: self.last_time }
    }
}

/// What reading cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Bytes read from the file.
    pub bytes: u64,
    /// Rows decoded, wanted or not.
    pub rows: u64,
}
