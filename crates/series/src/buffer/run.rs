//! A sorted run: rows of the write buffer in order of (tag, time), each (tag, time) once, with a
//! directory of its tags. Immutable.

use crate::{Section, SeriesColumns};
use std::ops::Range;
use types::{TagId, TimeRange, Timestamp};

/// Rows in order of (tag, time).
#[derive(Debug, Default)]
pub struct SortedRun {
    pub(crate) text: bool,
    /// Its tags, rising.
    pub(crate) tags: Vec<TagId>,
    /// Where the rows of each tag begin, and where the last one's end.
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: SeriesColumns,
    range: Option<TimeRange>,
}

impl SortedRun {
    pub(crate) fn new(text: bool, mut tags: Vec<TagId>, mut starts: Vec<u32>, columns: SeriesColumns) -> Self {
        tags.shrink_to_fit();
        starts.shrink_to_fit();
        assert_eq!(starts.len(), tags.len() + 1, "a place for each tag and the end");
        assert_eq!(starts.last().map(|end| *end as usize), Some(columns.len()), "the last tag ends where the rows end");
        let mut range: Option<TimeRange> = None;
        for part in starts.windows(2) {
            let (first, last) = (columns.times[part[0] as usize], columns.times[part[1] as usize - 1]);
            let held = range.get_or_insert(TimeRange { first, last });
            *held = TimeRange { first: held.first.min(first), last: held.last.max(last) };
        }
        SortedRun { text, tags, starts, columns, range }
    }

    /// The run of a section that is in order.
    pub(crate) fn of_ordered(section: &Section) -> Self {
        assert!(section.is_ordered(), "only an ordered section is a run already");
        let mut columns = SeriesColumns::default();
        let (mut keys, mut tags, mut starts): (Vec<u64>, Vec<TagId>, Vec<u32>) = Default::default();
        section.copy_tags(&mut keys);
        section.copy_times(&mut columns.times);
        columns.bits.extend_from_slice(section.bits());
        if section.is_text() {
            (0..section.rows()).for_each(|row| columns.texts.push(section.text(row)));
        }
        if !section.all_good() {
            section.copy_qualities(columns.qualities.insert(Vec::new()));
        }
        for (row, tag) in keys.iter().enumerate() {
            if row == 0 || keys[row - 1] != *tag {
                tags.push(TagId(*tag));
                starts.push(row as u32);
            }
        }
        starts.push(keys.len() as u32);
        SortedRun::new(section.is_text(), tags, starts, columns)
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.len()
    }

    /// Bytes of memory that it holds on to.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let columns = &self.columns;
        std::mem::size_of::<SortedRun>()
            + self.tags.capacity() * 8
            + self.starts.capacity() * 4
            + columns.times.capacity() * 8
            + columns.bits.capacity() * 8
            + columns.texts.offsets.capacity() * 4
            + columns.texts.bytes.capacity()
            + columns.qualities.as_ref().map_or(0, Vec::capacity)
    }

    /// From its earliest to its latest time; None where it has no rows.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// The rows of the tag at a place of the directory.
    pub(crate) fn rows_at(&self, place: usize) -> Range<usize> {
        self.starts[place] as usize..self.starts[place + 1] as usize
    }

    /// The rows of a tag.
    pub(crate) fn rows_of(&self, tag: TagId) -> Option<Range<usize>> {
        self.tags.binary_search(&tag).ok().map(|place| self.rows_at(place))
    }

    /// Those of a tag's rows that lie in a range of time.
    pub(crate) fn rows_within(&self, rows: Range<usize>, range: &TimeRange) -> Range<usize> {
        let times = &self.columns.times[rows.clone()];
        if range.is_empty() {
            return rows.start..rows.start;
        }
        let from = times.partition_point(|time| *time < range.first);
        let to = times.partition_point(|time| *time <= range.last);
        rows.start + from..rows.start + to
    }

    /// A tag's newest row at or before a time.
    pub(crate) fn newest_until(&self, tag: TagId, time: Timestamp) -> Option<usize> {
        let rows = self.rows_of(tag)?;
        let count = self.columns.times[rows.clone()].partition_point(|other| *other <= time);
        (count > 0).then(|| rows.start + count - 1)
    }

    /// The quality of a row.
    pub(crate) fn quality(&self, row: usize) -> u8 {
        self.columns.qualities.as_ref().map_or(192, |column| column[row])
    }
}
