//! A view of a slice: its write buffer, its files and the tombstones between them, at one moment.
//!
//! What it is: point reads (`point`), scans (`scan`), aggregates (`aggregate`) and counts (`count`) over all of a
//! slice's parts. `walk` says which tag comes next and where its rows lie, `windows` puts the rows
//! of one tag together in order of time.
//! What it promises: of two rows with one (tag, time) the later written is seen, whatever lies
//! where; rows that a tombstone hides are not seen; memory is bounded by what overlaps at one
//! moment of one tag, not by how much a tag has.
//! What it may not know: commits, other slices, how views are kept consistent with each other.

mod aggregate;
mod bins;
mod count;
mod merged;
mod point;
mod scan;
#[cfg(test)]
pub(crate) mod tests;
mod totals;
mod walk;
mod windows;

pub use aggregate::Aggregation;
pub(crate) use merged::Merged;
pub use scan::Scan;
pub use totals::Totals;
pub(crate) use walk::TagWalk;
pub(crate) use windows::{Sources, Step, TagWindows, Wanted};

use crate::file::SeriesFile;
use crate::{Buffer, BufferView, TagSelection, Tombstone};
use std::sync::Arc;
use storage::FileMeta;
use types::{Kind, Kinds, TagId, TimeRange};

/// A file and what the manifest says of it.
pub struct ViewFile {
    /// What the manifest says.
    pub meta: FileMeta,
    /// The file, open.
    pub file: Arc<SeriesFile>,
}

impl ViewFile {
    /// An open file with what the manifest says of it.
    #[must_use]
    pub fn new(meta: FileMeta, file: Arc<SeriesFile>) -> Self {
        ViewFile { meta, file }
    }
}

/// The files of a slice and the tombstones held against them; made once an edit of the manifest.
#[derive(Default)]
pub struct SliceFiles {
    /// In order of version: of two with one (tag, time), the one that stands lies behind.
    pub(crate) files: Vec<Arc<ViewFile>>,
    pub(crate) tombstones: Vec<Tombstone>,
    /// Places in `files`, the file that ends last first: point reads end soon.
    by_end: Vec<u32>,
}

impl SliceFiles {
    /// Files in any order, tombstones in any order.
    #[must_use]
    pub fn new(mut files: Vec<Arc<ViewFile>>, tombstones: Vec<Tombstone>) -> Arc<Self> {
        files.sort_by_key(|file| (file.meta.versions.1, file.meta.versions.0, file.meta.number));
        let mut by_end: Vec<u32> = (0..files.len() as u32).collect();
        by_end.sort_by_key(|place| std::cmp::Reverse((files[*place as usize].meta.range.last, *place)));
        Arc::new(SliceFiles { files, tombstones, by_end })
    }

    /// The files, in order of version.
    #[must_use]
    pub fn files(&self) -> &[Arc<ViewFile>] {
        &self.files
    }

    /// The tombstones.
    #[must_use]
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }
}

/// A slice at one moment. Cheap to make and to clone.
#[derive(Clone)]
pub struct SliceView {
    buffer: Arc<BufferView>,
    files: Arc<SliceFiles>,
    kinds: Arc<dyn Kinds>,
}

impl SliceView {
    /// The view of a buffer over files. All of the buffer is newer than all of the files.
    #[must_use]
    pub fn new(buffer: Arc<BufferView>, files: Arc<SliceFiles>, kinds: Arc<dyn Kinds>) -> Self {
        SliceView { buffer, files, kinds }
    }

    /// A view of nothing, with the same kinds.
    #[must_use]
    pub fn emptied(&self) -> SliceView {
        SliceView::new(Buffer::new().view(), SliceFiles::new(Vec::new(), Vec::new()), Arc::clone(&self.kinds))
    }

    /// The buffer.
    #[must_use]
    pub fn buffer(&self) -> &Arc<BufferView> {
        &self.buffer
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &Arc<SliceFiles> {
        &self.files
    }

    /// The highest tag that may have rows here; None where there are no rows.
    #[must_use]
    pub fn last_tag(&self) -> Option<TagId> {
        let files = self.files.files.iter().filter(|file| file.meta.rows > 0).map(|file| file.meta.tag_range.1).max();
        files.max(self.buffer.last_tag())
    }

    fn kind(&self, tag: TagId) -> Kind {
        self.kinds.kind(tag).unwrap_or(Kind::F64)
    }

    /// The kind of a tag that has rows of that sort.
    fn kind_of(&self, tag: TagId, text: bool) -> Kind {
        if text { Kind::Text } else { self.kind(tag) }
    }

    /// The smallest ranges of time known without reading, newest first and apart from each other,
    /// that together hold every sample of these tags in the range.
    #[must_use]
    pub fn time_ranges(&self, tags: &TagSelection, range: TimeRange) -> Vec<TimeRange> {
        let may_hold = |(low, high): (TagId, TagId)| match tags {
            TagSelection::All => true,
            TagSelection::List(tags) => tags.get(tags.partition_point(|tag| *tag < low)).is_some_and(|tag| *tag <= high),
        };
        let files = self.files.files.iter().filter(|file| file.meta.rows > 0 && may_hold(file.meta.tag_range));
        let mut ranges: Vec<TimeRange> = files
            .map(|file| file.meta.range)
            .chain(self.buffer.range(false))
            .chain(self.buffer.range(true))
            .map(|held| held.intersect(&range))
            .filter(|held| !held.is_empty())
            .collect();
        ranges.sort_unstable_by_key(|held| std::cmp::Reverse((held.last, held.first)));
        let mut apart: Vec<TimeRange> = Vec::new();
        for held in ranges {
            match apart.last_mut() {
                Some(newer) if held.last >= newer.first => newer.first = newer.first.min(held.first),
                _ => apart.push(held),
            }
        }
        apart
    }
}
