//! What can be asked of samples, and the shapes of the answers: columnar, one run of rows a tag.
//!
//! Promises: an answer's columns have equal lengths; rows of a tag come in the order of time that
//! was asked for, each (tag, time) once.

use std::sync::Arc;
use types::{Kind, Quality, TagId, TextColumn, TimeRange, Timestamp};

/// Which tags are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSelection {
    /// All of them.
    All,
    /// These, in rising order, each once.
    List(Arc<[TagId]>),
}

impl TagSelection {
    /// The selection of these tags, in whatever order they come.
    #[must_use]
    pub fn of(mut tags: Vec<TagId>) -> Self {
        tags.sort_unstable();
        tags.dedup();
        TagSelection::List(tags.into())
    }

    /// Whether a tag is meant.
    #[must_use]
    pub fn contains(&self, tag: TagId) -> bool {
        match self {
            TagSelection::All => true,
            TagSelection::List(tags) => tags.binary_search(&tag).is_ok(),
        }
    }
}

/// The order of a tag's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// Which columns are wanted; what is not wanted is not decoded and comes back empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Values (bits, or texts).
    pub values: bool,
    /// Qualities.
    pub qualities: bool,
}

impl Projection {
    /// Everything.
    pub const ALL: Projection = Projection { values: true, qualities: true };
}

/// Samples of some tags in a range of time.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// Of which tags.
    pub tags: TagSelection,
    /// Text tags (true) or tags of numeric kinds (false): an answer holds only one sort.
    pub texts: bool,
    /// In which range of time.
    pub range: TimeRange,
    /// Which columns.
    pub projection: Projection,
    /// The order of a tag's rows. Tags always come in rising order within a part.
    pub direction: Direction,
    /// At most so many rows of each tag, counted in `direction`.
    pub rows_per_tag_max: Option<u64>,
    /// About how many rows a batch has at most; at least 1.
    pub batch_rows: usize,
}

/// Rows of one tag that stand together in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The tag.
    pub tag: TagId,
    /// Its kind.
    pub kind: Kind,
    /// How many rows.
    pub rows: u32,
}

/// A batch of samples, grouped by tag. A tag may go on in the next batch.
#[derive(Clone, Debug, Default)]
pub struct ScanBatch {
    /// Whose rows they are, in order; `rows` sums to the length of the columns.
    pub runs: Vec<Run>,
    /// Times.
    pub times: Vec<Timestamp>,
    /// Values in the 64-bit form of their run's kind; empty for texts, or where not wanted.
    pub bits: Vec<u64>,
    /// Texts, where texts were asked for; else empty.
    pub texts: TextColumn,
    /// Quality bytes; None = all good, or not wanted.
    pub qualities: Option<Vec<u8>>,
}

impl ScanBatch {
    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }
}

/// What a scan or an aggregate looked at; grows as it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStatistics {
    /// File groups of the slices in question, and how many of them were left out by time.
    pub file_groups: u64,
    /// File groups left out.
    pub file_groups_pruned: u64,
    /// Files that were looked into.
    pub files: u64,
    /// Files left out by tag or time.
    pub files_pruned: u64,
    /// Chunks (index entries) of wanted tags that were looked at.
    pub chunks: u64,
    /// Chunks left out by time or statistics.
    pub chunks_pruned: u64,
    /// Chunks answered from statistics alone.
    pub chunks_from_statistics: u64,
    /// Bytes of files that were read (from the disk or the system's cache).
    pub bytes_read: u64,
    /// Rows decoded.
    pub rows_decoded: u64,
}

impl ScanStatistics {
    /// Adds another's counts.
    pub fn add(&mut self, other: &ScanStatistics) {
        self.file_groups += other.file_groups;
        self.file_groups_pruned += other.file_groups_pruned;
        self.files += other.files;
        self.files_pruned += other.files_pruned;
        self.chunks += other.chunks;
        self.chunks_pruned += other.chunks_pruned;
        self.chunks_from_statistics += other.chunks_from_statistics;
        self.bytes_read += other.bytes_read;
        self.rows_decoded += other.rows_decoded;
    }
}

/// How time is cut into bins: bin(t) = origin + floor((t - origin) / width) * width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bins {
    /// Where a bin begins.
    pub origin: Timestamp,
    /// How long a bin is, in microseconds, at least 1.
    pub width_us: i64,
}

/// Aggregates of samples of numeric kinds by tag and bin.
#[derive(Clone, Debug)]
pub struct AggregateRequest {
    /// Of which tags.
    pub tags: TagSelection,
    /// In which range of time.
    pub range: TimeRange,
    /// By which bins; None = one a tag.
    pub bins: Option<Bins>,
    /// Whether only samples whose quality is good count.
    pub good_only: bool,
}

/// Partial aggregates, one row a (tag, bin) that has samples. A (tag, bin) may come again from
/// another part (another slice); the caller adds up.
#[derive(Clone, Debug, Default)]
pub struct AggregateBatch {
    /// The tag of each row.
    pub tags: Vec<TagId>,
    /// Its kind (never text).
    pub kinds: Vec<Kind>,
    /// Where the bin begins (clipped to `Timestamp::MIN`); `Timestamp::MIN` where no bins were asked for.
    pub bins: Vec<Timestamp>,
    /// How many samples.
    pub counts: Vec<u64>,
    /// Sum as a double (float kinds), NaN where a NaN was among them.
    pub sums: Vec<f64>,
    /// Exact sum (integer kinds; 0 for floats).
    pub integer_sums: Vec<i128>,
    /// Smallest value, as bits of the kind. Floats: DataFusion's order, NaN above all.
    pub mins: Vec<u64>,
    /// Largest value, as bits of the kind.
    pub maxs: Vec<u64>,
    /// Time of the first sample.
    pub first_times: Vec<Timestamp>,
    /// Its value.
    pub firsts: Vec<u64>,
    /// Time of the last sample.
    pub last_times: Vec<Timestamp>,
    /// Its value.
    pub lasts: Vec<u64>,
}

/// A value of any kind as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// The 64-bit form of the tag's kind.
    Bits(u64),
    /// UTF-8 text.
    Text(Arc<[u8]>),
}

/// One sample as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its time.
    pub time: Timestamp,
    /// Its value.
    pub value: Datum,
    /// Its quality.
    pub quality: Quality,
}

/// Answers to many point reads, one row a question, in the order of the questions.
#[derive(Clone, Debug, Default)]
pub struct ReadingColumns {
    /// Whether there was a sample.
    pub found: Vec<bool>,
    /// Its time (0 where none).
    pub times: Vec<Timestamp>,
    /// Its bits (0 where none, or where it is text).
    pub bits: Vec<u64>,
    /// Its quality byte.
    pub qualities: Vec<u8>,
    /// Texts by row, for the rows whose tag holds text.
    pub texts: Vec<(u32, Arc<[u8]>)>,
}

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// All samples of these tags in this range.
    Range {
        /// Of which tags.
        tags: TagSelection,
        /// In which range.
        range: TimeRange,
    },
    /// These samples: (tag, time), in any order.
    Points(Vec<(TagId, Timestamp)>),
}
