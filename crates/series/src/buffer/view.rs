//! A view of a write buffer: what readers and flushes see. Immutable, shared.
//!
//! Readers of many tags want sorted runs only: the first of them sorts what is still sections, once
//! a view. Readers of one tag search the sections as they are. A tag's held sample stands among its rows.

use super::sort::{merge_runs, sort_sections};
use super::{Body, Held, Part, SortedRun};
use crate::rows::{Order, extend_qualities, remove_hidden};
use crate::section::Column;
use crate::tombstone::Hidden;
use crate::{Datum, Reading, Section, SeriesColumns, Tombstone};
use std::sync::{Arc, OnceLock};
use types::{CommitNumber, Quality, TagId, TimeRange, Timestamp, Version};

type Runs = Vec<(Arc<SortedRun>, Version)>;

/// What a write buffer held at a moment.
#[derive(Debug, Default)]
pub struct BufferView {
    numeric: Vec<Part>,
    texts: Vec<Part>,
    tombstones: Vec<Tombstone>,
    held: Held,
    versions: (Option<Version>, Version),
    commit: CommitNumber,
    numeric_runs: OnceLock<Runs>,
    text_runs: OnceLock<Runs>,
    numeric_tags: OnceLock<Arc<[TagId]>>,
    text_tags: OnceLock<Arc<[TagId]>>,
}

/// One run of these parts, less what later tombstones hide.
pub(super) fn run_of(parts: &[Part], tombstones: &[Tombstone]) -> SortedRun {
    let mut runs = runs_of(parts, tombstones);
    // A lone run was sorted just now, with these tombstones.
    if runs.len() == 1
        && let Some((run, version)) = runs.pop()
    {
        return Arc::try_unwrap(run).unwrap_or_else(|shared| merge_runs(&[(shared, version)], tombstones));
    }
    merge_runs(&runs, tombstones)
}

/// The runs of these parts; neighbouring sections become one run.
fn runs_of(parts: &[Part], tombstones: &[Tombstone]) -> Runs {
    let mut runs = Runs::new();
    let mut sections: Vec<(Section, Version)> = Vec::new();
    let flush = |sections: &mut Vec<(Section, Version)>, runs: &mut Runs| {
        if let Some((_, version)) = sections.last() {
            let version = *version;
            runs.push((Arc::new(sort_sections(sections, tombstones)), version));
            sections.clear();
        }
    };
    for part in parts {
        match &part.body {
            Body::Section(section) => sections.push((section.clone(), part.last)),
            Body::Run(run) => {
                flush(&mut sections, &mut runs);
                runs.push((Arc::clone(run), part.last));
            }
        }
    }
    flush(&mut sections, &mut runs);
    runs
}

impl BufferView {
    pub(super) fn new(
        numeric: Vec<Part>,
        texts: Vec<Part>,
        tombstones: Vec<Tombstone>,
        held: Held,
        versions: (Option<Version>, Version),
        commit: CommitNumber,
    ) -> Self {
        let (numeric_runs, text_runs, numeric_tags, text_tags) = Default::default();
        BufferView { numeric, texts, tombstones, held, versions, commit, numeric_runs, text_runs, numeric_tags, text_tags }
    }

    /// The same without held samples: what a flush writes into files.
    #[must_use]
    pub fn without_held(&self) -> BufferView {
        let (numeric, texts, tombstones) = (self.numeric.clone(), self.texts.clone(), self.tombstones.clone());
        BufferView::new(numeric, texts, tombstones, Held::default(), self.versions, self.commit)
    }

    /// The held samples.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The first version in it; None where it is empty.
    #[must_use]
    pub fn first(&self) -> Option<Version> {
        self.versions.0
    }

    /// The last version that its buffer had taken.
    #[must_use]
    pub fn last(&self) -> Version {
        self.versions.1
    }

    /// The highest commit number in it.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    /// Rows in it (overwritten ones included).
    #[must_use]
    pub fn rows(&self) -> usize {
        self.numeric.iter().chain(&self.texts).map(Part::rows).sum()
    }

    /// Its deletions; they concern files too.
    #[must_use]
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }

    fn parts(&self, text: bool) -> &[Part] {
        if text { &self.texts } else { &self.numeric }
    }

    /// All of one sort as runs, oldest first, with the last version of each. Sorts what is not
    /// sorted yet, once.
    pub(crate) fn runs(&self, text: bool) -> &[(Arc<SortedRun>, Version)] {
        let cell = if text { &self.text_runs } else { &self.numeric_runs };
        cell.get_or_init(|| runs_of(self.parts(text), &self.tombstones))
    }

    /// The runs, if readers of many tags had them made, or if there is nothing to be made.
    fn runs_made(&self, text: bool) -> Option<&[(Arc<SortedRun>, Version)]> {
        let cell = if text { &self.text_runs } else { &self.numeric_runs };
        cell.get().map(Vec::as_slice)
    }

    /// The tags that have rows, rising.
    pub(crate) fn tags(&self, text: bool) -> Arc<[TagId]> {
        let cell = if text { &self.text_tags } else { &self.numeric_tags };
        let tags = cell.get_or_init(|| {
            let mut tags: Vec<TagId> = self.runs(text).iter().flat_map(|(run, _)| run.tags.iter().copied()).collect();
            tags.extend(self.held_of(text).into_iter().flat_map(Held::tags));
            tags.sort_unstable();
            tags.dedup();
            tags.into()
        });
        Arc::clone(tags)
    }

    /// The highest tag that has rows.
    pub(crate) fn last_tag(&self) -> Option<TagId> {
        let parts = self.numeric.iter().chain(&self.texts);
        let lasts = parts.filter_map(|part| match &part.body {
            Body::Section(section) => Some(section.tags().1),
            Body::Run(run) => run.tags.last().copied(),
        });
        lasts.max().max(self.held.last_tag())
    }

    /// What is held of a sort: texts never are.
    fn held_of(&self, text: bool) -> Option<&Held> {
        (!text && !self.held.is_empty()).then_some(&self.held)
    }

    /// From the earliest to the latest time at which it may have a row of that sort; None where it has none.
    #[must_use]
    pub fn range(&self, text: bool) -> Option<TimeRange> {
        let ranges = self.parts(text).iter().filter_map(|part| match &part.body {
            Body::Section(section) => Some(section.range()),
            Body::Run(run) => run.range(),
        });
        let held = self.held_of(text).and_then(Held::range);
        ranges.chain(held).reduce(|a, b| TimeRange { first: a.first.min(b.first), last: a.last.max(b.last) })
    }

    fn hidden(&self, tag: TagId, after: Version) -> impl Iterator<Item = Hidden<'_>> {
        self.tombstones.iter().filter(move |t| t.version() > after).filter_map(move |t| t.of_tag(tag))
    }

    /// Writes a tag's rows of a range of time into `out` (emptied first): rising, each time once.
    pub(crate) fn tag_rows(&self, tag: TagId, range: &TimeRange, text: bool, order: &mut Order, out: &mut SeriesColumns) {
        out.clear();
        let parts = self.parts(text);
        if let Some(runs) = self.runs_made(text) {
            for (number, (run, version)) in runs.iter().enumerate() {
                self.take_run(run, number, *version, tag, range, out);
            }
        } else {
            for (number, part) in parts.iter().enumerate() {
                match &part.body {
                    Body::Run(run) => self.take_run(run, number, part.last, tag, range, out),
                    Body::Section(section) => self.take_section(section, number, part.last, tag, range, out),
                }
            }
        }
        order.settle(out, 0);
        if !text {
            return self.take_held(tag, range, out);
        }
        for place in std::mem::take(&mut out.bits) {
            let (number, row) = ((place >> 32) as usize, (place & 0xFFFF_FFFF) as usize);
            match self.runs_made(text) {
                Some(runs) => out.texts.push(runs[number].0.columns.texts.get(row)),
                None => match &parts[number].body {
                    Body::Run(run) => out.texts.push(run.columns.texts.get(row)),
                    Body::Section(section) => out.texts.push(section.text(row)),
                },
            }
        }
    }

    /// Puts the held sample in its place: at the end as a rule, for it is the newest.
    fn take_held(&self, tag: TagId, range: &TimeRange, out: &mut SeriesColumns) {
        let Some(Reading { time, value: Datum::Bits(bits), quality }) = self.held_of(false).and_then(|held| held.get(tag)) else {
            return;
        };
        if !range.contains(time) {
            return;
        }
        let place = out.times.partition_point(|other| *other < time);
        let stands = out.times.get(place) == Some(&time);
        if quality != Quality::GOOD {
            out.qualities.get_or_insert_with(|| vec![Quality::GOOD.0; out.times.len()]);
        }
        if stands {
            out.bits[place] = bits;
        } else {
            out.times.insert(place, time);
            out.bits.insert(place, bits);
        }
        if let Some(qualities) = &mut out.qualities {
            if stands { qualities[place] = quality.0 } else { qualities.insert(place, quality.0) }
        }
    }

    fn take_run(&self, run: &SortedRun, number: usize, version: Version, tag: TagId, range: &TimeRange, out: &mut SeriesColumns) {
        let Some(rows) = run.rows_of(tag) else { return };
        let (rows, from) = (run.rows_within(rows, range), out.len());
        out.times.extend_from_slice(&run.columns.times[rows.clone()]);
        if run.text {
            out.bits.extend(rows.clone().map(|row| (number as u64) << 32 | row as u64));
        } else {
            out.bits.extend_from_slice(&run.columns.bits[rows.clone()]);
        }
        extend_qualities(out, run.columns.qualities.as_ref().map(|column| &column[rows]));
        self.remove_hidden(tag, version, from, out);
    }

    fn take_section(
        &self,
        section: &Section,
        number: usize,
        version: Version,
        tag: TagId,
        range: &TimeRange,
        out: &mut SeriesColumns,
    ) {
        if !section.range().overlaps(range) {
            return;
        }
        let from = out.len();
        each_row(section, tag, |row| {
            let time = section.time(row);
            if range.contains(time) {
                out.times.push(time);
                out.bits.push(if section.is_text() { (number as u64) << 32 | row as u64 } else { section.bits()[row] });
                let quality = section.quality(row);
                let column = if quality == Quality::GOOD { None } else { Some([quality.0]) };
                extend_qualities(out, column.as_ref().map(<[u8; 1]>::as_slice));
            }
        });
        self.remove_hidden(tag, version, from, out);
    }

    fn remove_hidden(&self, tag: TagId, version: Version, from: usize, out: &mut SeriesColumns) {
        if self.tombstones.is_empty() || out.len() == from {
            return;
        }
        let hidden: Vec<_> = self.hidden(tag, version).collect();
        remove_hidden(out, from, &hidden);
    }

    /// A tag's newest sample at or before a time.
    pub(crate) fn newest_until(&self, tag: TagId, time: Timestamp, text: bool) -> Option<Reading> {
        let held = self.held_of(text).and_then(|held| held.get(tag));
        let mut best = held.filter(|held| held.time <= time);
        if let Some(runs) = self.runs_made(text) {
            for (run, version) in runs.iter().rev() {
                self.newest_in_run(run, *version, tag, time, &mut best);
            }
            return best;
        }
        for part in self.parts(text).iter().rev() {
            match &part.body {
                Body::Run(run) => self.newest_in_run(run, part.last, tag, time, &mut best),
                Body::Section(section) => self.newest_in_section(section, part.last, tag, time, &mut best),
            }
        }
        best
    }

    fn newest_in_run(&self, run: &SortedRun, version: Version, tag: TagId, time: Timestamp, best: &mut Option<Reading>) {
        let Some(range) = run.range() else { return };
        // Parts come newest first: an equal time in an older part is overwritten.
        if range.first > time || best.as_ref().is_some_and(|best| range.last <= best.time) {
            return;
        }
        let Some(row) = self.newest_shown(run, version, tag, time) else { return };
        let found = run.columns.times[row];
        if best.as_ref().is_none_or(|best| found > best.time) {
            let value =
                if run.text { Datum::Text(run.columns.texts.get(row).into()) } else { Datum::Bits(run.columns.bits[row]) };
            *best = Some(Reading { time: found, value, quality: Quality(run.quality(row)) });
        }
    }

    /// The newest row of a run at or before a time that no tombstone hides.
    fn newest_shown(&self, run: &SortedRun, version: Version, tag: TagId, mut time: Timestamp) -> Option<usize> {
        loop {
            let row = run.newest_until(tag, time)?;
            let found = run.columns.times[row];
            let before = match self.hidden(tag, version).find(|part| part.contains(found)) {
                None => return Some(row),
                Some(Hidden::Range(range)) => range.first,
                Some(Hidden::Points(_)) => found,
            };
            time = Timestamp(before.0.checked_sub(1)?);
        }
    }

    fn newest_in_section(&self, section: &Section, version: Version, tag: TagId, time: Timestamp, best: &mut Option<Reading>) {
        let range = section.range();
        if range.first > time || best.as_ref().is_some_and(|best| range.last <= best.time) {
            return;
        }
        let mut found: Option<(Timestamp, usize)> = None;
        each_row(section, tag, |row| {
            let at = section.time(row);
            // Within a section the later row stands.
            if at <= time
                && found.is_none_or(|(other, _)| at >= other)
                && !self.hidden(tag, version).any(|part| part.contains(at))
            {
                found = Some((at, row));
            }
        });
        if let Some((at, row)) = found
            && best.as_ref().is_none_or(|best| at > best.time)
        {
            let value = if section.is_text() { Datum::Text(section.text(row).into()) } else { Datum::Bits(section.bits()[row]) };
            *best = Some(Reading { time: at, value, quality: section.quality(row) });
        }
    }
}

/// Calls `each` with the rows of a tag, in the order of writing: by binary search where the section
/// is in order, else by looking at every ordinal, many at a time.
fn each_row(section: &Section, tag: TagId, mut each: impl FnMut(usize)) {
    let (first, last) = section.tags();
    if tag < first || tag > last {
        return;
    }
    if section.is_ordered() {
        let (mut low, mut high) = (0, section.rows());
        while low < high {
            let middle = low.midpoint(high);
            if section.tag(middle) < tag { low = middle + 1 } else { high = middle }
        }
        while low < section.rows() && section.tag(low) == tag {
            each(low);
            low += 1;
        }
        return;
    }
    match section.ordinal_column() {
        Column::Narrow(column) => each_equal(column, (tag.0 - first.0) as u32, each),
        Column::Wide(column) => each_equal(column, tag.0, each),
    }
}

fn each_equal<T: Copy + PartialEq>(column: &[T], wanted: T, mut each: impl FnMut(usize)) {
    const STRIDE: usize = 64;
    for (stride, part) in column.chunks(STRIDE).enumerate() {
        // Without a branch a row, so that the compiler compares many at once.
        if part.iter().fold(false, |any, other| any | (*other == wanted)) {
            part.iter().enumerate().filter(|(_, other)| **other == wanted).for_each(|(row, _)| each(stride * STRIDE + row));
        }
    }
}
