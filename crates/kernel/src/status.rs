//! What a kernel says of itself: the rows of the tables in schema `meridian`.
use types::{CommitNumber, Period, SliceId, TimeRange, Version};

/// A slice.
#[derive(Clone, Debug)]
pub struct SliceStatus {
    /// Which.
    pub slice: SliceId,
    /// Its version.
    pub version: Version,
    /// File groups that it has.
    pub file_groups: u64,
    /// Files that it has.
    pub files: u64,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Rows in its write buffer.
    pub buffered_rows: u64,
    /// Bytes of its write buffer.
    pub buffered_bytes: u64,
    /// Deletions not yet merged into all older files.
    pub tombstones: u64,
}

/// A file group: the files of one table in one slice for one period (paper, figure 7).
#[derive(Clone, Debug)]
pub struct FileGroupStatus {
    /// In which slice.
    pub slice: SliceId,
    /// Of which period.
    pub period: Period,
    /// Its version.
    pub version: Version,
    /// Its files (a file that holds several periods counts for each).
    pub files: u64,
    /// Rows in its files, as far as known by file.
    pub rows: u64,
    /// Bytes of its own files.
    pub bytes: u64,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// In which slice.
    pub slice: SliceId,
    /// Its path below the store's directory.
    pub path: String,
    /// What is in it: "series".
    pub table: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its tags.
    pub tags: u64,
    /// From the oldest to the newest sample.
    pub range: TimeRange,
    /// First and last version that it covers.
    pub versions: (Version, Version),
    /// How often it was merged; 0 = as flushed.
    pub level: u32,
}

/// The node as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeStatus {
    /// The newest commit that reads see.
    pub visible: CommitNumber,
    /// Commits since opening.
    pub commits: u64,
    /// Rows written since opening.
    pub rows_written: u64,
    /// Log syncs since opening.
    pub log_syncs: u64,
    /// Bytes of log segments.
    pub log_bytes: u64,
    /// Bytes of write buffers.
    pub buffered_bytes: u64,
    /// Bytes of cached blocks.
    pub cached_bytes: u64,
    /// Flushes since opening.
    pub flushes: u64,
    /// Merges since opening.
    pub merges: u64,
    /// Bytes that flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes that merges wrote.
    pub merged_bytes: u64,
    /// Jobs of flush and merge that wait or run now.
    pub jobs: u64,
}
