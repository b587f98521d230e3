//! Rows of sections, one by one: taken apart for thinning, put together again.
//!
//! Promises: of two rows with one (tag, time) the later given stands. May not know what is decided.

use super::door::Sample;
use series::Section;
use types::{Samples, TagId};

/// A row of a numeric section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tag: TagId,
    pub(crate) sample: Sample,
}

/// A section's rows.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Those of thinned tags, rising by (tag, time), each once.
    pub(crate) thinned: Vec<Row>,
    /// The others, as they came.
    pub(crate) others: Vec<Row>,
}

/// The rows of a section; None where none of its tags is thinned.
pub(crate) fn sort(section: &Section, is_thinned: impl Fn(TagId) -> bool) -> Option<Sorted> {
    if section.is_text() {
        return None;
    }
    let mut sorted = Sorted::default();
    let mut last: Option<(TagId, bool)> = None;
    for (row, bits) in section.bits().iter().enumerate() {
        let tag = section.tag(row);
        let thinned = last.filter(|last| last.0 == tag).map_or_else(|| is_thinned(tag), |last| last.1);
        last = Some((tag, thinned));
        let sample = Sample { time: section.time(row), bits: *bits, quality: section.quality(row) };
        if thinned { &mut sorted.thinned } else { &mut sorted.others }.push(Row { tag, sample });
    }
    if sorted.thinned.is_empty() {
        return None;
    }
    if !section.is_ordered() {
        sorted.thinned.sort_by_key(|row| (row.tag, row.sample.time));
        // Of equal ones the later stays.
        sorted.thinned.reverse();
        sorted.thinned.dedup_by_key(|row| (row.tag, row.sample.time));
        sorted.thinned.reverse();
    }
    Some(sorted)
}

/// The section of these rows; None where there are none.
pub(crate) fn section_of(rows: &[Row]) -> Option<Section> {
    let tags: Vec<_> = rows.iter().map(|row| row.tag).collect();
    let times: Vec<_> = rows.iter().map(|row| row.sample.time).collect();
    let bits: Vec<_> = rows.iter().map(|row| row.sample.bits).collect();
    let qualities: Vec<_> = rows.iter().map(|row| row.sample.quality.0).collect();
    let samples = Samples::new(&tags, &times, &bits, Some(&qualities)).expect("a place in each column for each row");
    Section::of_samples(&samples)
}
