//! The section: a slice's part of a commit as it lies in the log, and at first in the write buffer.
//!
//! What it is: immutable bytes (`layout`) with columns that are used in place; gathered from the
//! caller's batches in one go (`gather`), or parsed back from a log record with every byte checked.
//! What it promises: what was gathered comes back bit for bit, in the order it was given; no bytes
//! whatsoever make a reader of a parsed section panic or read beyond it.
//! What it may not know: its version (the log record has that), buffers, files.

mod gather;
mod layout;
#[cfg(test)]
mod tests;

pub use gather::gather;

use crate::Error;
use bytes::Bytes;
use layout::{Head, Places, QualityForm};
use types::{Period, Quality, TagId, TimeRange, Timestamp};

#[cfg(target_endian = "big")]
compile_error!("sections are used in place and are little-endian");

/// A slice's part of a commit. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Section {
    /// Begins at a multiple of 8 in memory.
    bytes: Bytes,
    head: Head,
    places: Places,
}

/// Owned words as bytes, so that columns begin at multiples of 8.
struct Words(Vec<u64>);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// A column of narrow or wide numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column<'a> {
    /// Differences from a base, in units.
    Narrow(&'a [u32]),
    /// The numbers themselves.
    Wide(&'a [u64]),
}

/// The least and the most of a column.
fn ends<T: Copy + Ord>(column: &[T]) -> Option<(T, T)> {
    let (first, rest) = column.split_first()?;
    Some(rest.iter().fold((*first, *first), |(least, most), one| (least.min(*one), most.max(*one))))
}

/// Whether rows rise by (tag, time), each once.
fn are_ordered<T: Ord, U: Ord>(tags: &[T], times: &[U]) -> bool {
    let mut pairs = tags.windows(2).zip(times.windows(2));
    pairs.all(|(tags, times)| (&tags[0], &times[0]) < (&tags[1], &times[1]))
}

impl Section {
    /// The section of words that `gather` made.
    fn of_words(words: Vec<u64>, head: Head) -> Section {
        let places = head.places();
        assert_eq!(words.len() * 8, places.end, "a gathered section is as long as its head says");
        Section { bytes: Bytes::from_owner(Words(words)), head, places }
    }

    /// Reads a section back and checks all of it. Copies only where the bytes don't begin at a
    /// multiple of 8 in memory.
    ///
    /// # Errors
    /// `Error::SectionDamaged`.
    pub fn parse(bytes: Bytes) -> Result<Section, Error> {
        let head = Head::parse(&bytes)?;
        let bytes = if bytes.as_ptr().addr().is_multiple_of(8) {
            bytes
        } else {
            let mut words = vec![0_u64; bytes.len() / 8];
            bytemuck::cast_slice_mut(&mut words).copy_from_slice(&bytes);
            Bytes::from_owner(Words(words))
        };
        let section = Section { bytes, head, places: head.places() };
        section.check()?;
        Ok(section)
    }

    fn check(&self) -> Result<(), Error> {
        let damaged = |what| Err(Error::SectionDamaged { what });
        let span = |last: u64, first: u64| last.wrapping_sub(first);
        let (tags, times) = ((self.head.tag_first, self.head.tag_last), (self.head.time_first, self.head.time_last));
        // Column by column, in loops that the compiler turns into wide ones: this is on the way of every write to a copy.
        let tags_fit = match self.ordinal_column() {
            Column::Narrow(column) => {
                ends(column).is_some_and(|(least, most)| least == 0 && u64::from(most) == span(tags.1, tags.0))
            }
            Column::Wide(column) => ends(column) == Some(tags),
        };
        let times_fit = match self.time_column() {
            Column::Narrow(column) => {
                let unit = u64::from(self.head.unit_us);
                let last = |most: u32| u64::from(most) * unit == span(times.1 as u64, times.0 as u64);
                ends(column).is_some_and(|(least, most)| least == 0 && last(most))
            }
            Column::Wide(column) => ends(bytemuck::cast_slice::<u64, i64>(column)) == Some(times),
        };
        if !tags_fit || !times_fit || tags.0 > tags.1 || times.0 > times.1 {
            return damaged("its range is not that of its rows");
        }
        let ordered = match (self.ordinal_column(), self.time_column()) {
            (Column::Narrow(tags), Column::Narrow(times)) => are_ordered(tags, times),
            (Column::Narrow(tags), Column::Wide(times)) => are_ordered(tags, bytemuck::cast_slice::<u64, i64>(times)),
            (Column::Wide(tags), Column::Narrow(times)) => are_ordered(tags, times),
            (Column::Wide(tags), Column::Wide(times)) => are_ordered(tags, bytemuck::cast_slice::<u64, i64>(times)),
        };
        if ordered != self.head.is_ordered() {
            return damaged("its flag of order is wrong");
        }
        if self.head.quality == QualityForm::List {
            let rows = self.exception_rows();
            if !rows.is_sorted_by(|a, b| a < b) || rows.last().is_some_and(|row| *row >= self.head.rows) {
                return damaged("quality exceptions are not in order");
            }
        }
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), Error> {
        if !self.head.text {
            return Ok(());
        }
        let damaged = |what| Err(Error::SectionDamaged { what });
        let offsets = self.text_offsets();
        let ends = offsets.first() == Some(&0) && offsets.last().map(|end| u64::from(*end)) == Some(self.head.text_bytes);
        if !ends || !offsets.is_sorted() {
            return damaged("text offsets are not in order");
        }
        let Ok(all) = std::str::from_utf8(self.text_column()) else {
            return damaged("its text is not UTF-8");
        };
        if !offsets.iter().all(|offset| all.is_char_boundary(*offset as usize)) {
            return damaged("a text begins within a character");
        }
        Ok(())
    }

    /// Its bytes, as they go into the log.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// How many rows it has, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.head.rows as usize
    }

    /// Whether its rows are texts.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.head.text
    }

    /// Whether its rows lie in order of (tag, time), each (tag, time) once.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.head.is_ordered()
    }

    /// Bytes of memory that it holds on to.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + std::mem::size_of::<Section>()
    }

    /// From its earliest to its latest time.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.head.range()
    }

    /// Its lowest and its highest tag.
    #[must_use]
    pub fn tags(&self) -> (TagId, TagId) {
        self.head.tags()
    }

    /// The periods that it touches, rising, each once.
    #[must_use]
    pub fn periods(&self, period_us: i64) -> Vec<Period> {
        let range = self.range();
        let (first, last) = (Period::of(range.first, period_us), Period::of(range.last, period_us));
        if first == last {
            return vec![first];
        }
        let mut periods = Vec::new();
        // Times come in runs of one period; a hash set would cost more than this for all but wild batches.
        let mut held = first.range(period_us);
        let mut seen = rustc_hash::FxHashSet::default();
        seen.insert(first);
        for row in 0..self.rows() {
            let time = self.time(row);
            if !held.contains(time) {
                let period = Period::of(time, period_us);
                held = period.range(period_us);
                seen.insert(period);
            }
        }
        // The first period was put in because some row (the earliest) lies in it.
        periods.extend(seen);
        periods.sort_unstable();
        periods
    }

    /// The tag of a row. Panics beyond the last row, as every reader of a row here.
    #[must_use]
    #[inline]
    pub fn tag(&self, row: usize) -> TagId {
        match self.ordinal_column() {
            Column::Narrow(column) => TagId(self.head.tag_first.wrapping_add(u64::from(column[row]))),
            Column::Wide(column) => TagId(column[row]),
        }
    }

    /// The time of a row.
    #[must_use]
    #[inline]
    pub fn time(&self, row: usize) -> Timestamp {
        match self.time_column() {
            Column::Narrow(column) => {
                Timestamp(self.head.time_first.wrapping_add((u64::from(column[row]) * u64::from(self.head.unit_us)) as i64))
            }
            Column::Wide(column) => Timestamp(column[row] as i64),
        }
    }

    /// The quality of a row.
    #[must_use]
    pub fn quality(&self, row: usize) -> Quality {
        match self.head.quality {
            QualityForm::Good => Quality::GOOD,
            QualityForm::Column => Quality(self.quality_column()[row]),
            QualityForm::List => match self.exception_rows().binary_search(&(row as u32)) {
                Ok(found) => Quality(self.exception_bytes()[found]),
                Err(_) => Quality::GOOD,
            },
        }
    }

    /// The values of a numeric section, as bits; empty for texts.
    #[must_use]
    #[inline]
    pub fn bits(&self) -> &[u64] {
        if self.head.text { &[] } else { bytemuck::cast_slice(&self.bytes[self.places.values..self.places.times]) }
    }

    /// The text of a row of a text section.
    #[must_use]
    pub fn text(&self, row: usize) -> &[u8] {
        let offsets = self.text_offsets();
        &self.text_column()[offsets[row] as usize..offsets[row + 1] as usize]
    }

    /// Writes every row's tag to the end of `into`.
    pub(crate) fn copy_tags(&self, into: &mut Vec<u64>) {
        let base = self.head.tag_first;
        match self.ordinal_column() {
            Column::Narrow(column) => into.extend(column.iter().map(|offset| base.wrapping_add(u64::from(*offset)))),
            Column::Wide(column) => into.extend_from_slice(column),
        }
    }

    /// Writes every row's time to the end of `into`.
    pub(crate) fn copy_times(&self, into: &mut Vec<Timestamp>) {
        let (base, unit) = (self.head.time_first, u64::from(self.head.unit_us));
        match self.time_column() {
            Column::Narrow(column) => {
                into.extend(column.iter().map(|offset| Timestamp(base.wrapping_add((u64::from(*offset) * unit) as i64))));
            }
            Column::Wide(column) => into.extend(column.iter().map(|time| Timestamp(*time as i64))),
        }
    }

    /// Whether every quality is 192.
    pub(crate) fn all_good(&self) -> bool {
        self.head.quality == QualityForm::Good
    }

    /// Writes every row's quality to the end of `into`.
    pub(crate) fn copy_qualities(&self, into: &mut Vec<u8>) {
        if self.head.quality == QualityForm::Column {
            into.extend_from_slice(self.quality_column());
            return;
        }
        let from = into.len();
        into.resize(from + self.rows(), Quality::GOOD.0);
        if self.head.quality == QualityForm::List {
            for (row, quality) in self.exception_rows().iter().zip(self.exception_bytes()) {
                into[from + *row as usize] = *quality;
            }
        }
    }

    #[inline]
    pub(crate) fn ordinal_column(&self) -> Column<'_> {
        self.column(self.places.ordinals, self.head.is_wide_ordinals())
    }

    #[inline]
    pub(crate) fn time_column(&self) -> Column<'_> {
        self.column(self.places.times, self.head.is_wide_times())
    }

    #[inline]
    fn column(&self, place: usize, wide: bool) -> Column<'_> {
        let rows = self.rows();
        if wide {
            Column::Wide(bytemuck::cast_slice(&self.bytes[place..place + 8 * rows]))
        } else {
            Column::Narrow(bytemuck::cast_slice(&self.bytes[place..place + 4 * rows]))
        }
    }

    fn exception_rows(&self) -> &[u32] {
        bytemuck::cast_slice(&self.bytes[self.places.qualities..self.places.qualities + 4 * self.head.exceptions as usize])
    }

    fn exception_bytes(&self) -> &[u8] {
        let count = self.head.exceptions as usize;
        &self.bytes[self.places.qualities + 4 * count..self.places.qualities + 5 * count]
    }

    fn quality_column(&self) -> &[u8] {
        &self.bytes[self.places.qualities..self.places.qualities + self.rows()]
    }

    fn text_offsets(&self) -> &[u32] {
        bytemuck::cast_slice(&self.bytes[self.places.values..self.places.values + 4 * (self.rows() + 1)])
    }

    fn text_column(&self) -> &[u8] {
        &self.bytes[self.places.texts..self.places.texts + self.head.text_bytes as usize]
    }
}
