//! A slice's write buffer: what is committed and not yet in files.
//!
//! What it is: sections as they were logged, and sorted runs that a background job made of them.
//! States of a part: section -> (sorted) run -> (merged) larger run -> released, once its rows are
//! in files. Parts are in order of version; of two rows with one (tag, time) that of the later
//! part stands, within a section the later row. Tombstones stand beside the parts (`tombstone.rs`).
//! Beside them stand the held samples (`held`), one a tag at most, which no flush takes along.
//! What it promises: `push` and `delete` are cheap and never sort; a view never changes; sorting
//! changes how rows lie, never which rows there are.
//! What it may not know: threads, files. Whoever owns it (one at a time) runs `SortWork` where it
//! likes, and installs the result.

mod held;
mod run;
mod sort;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use held::Held;
pub use run::SortedRun;
pub use view::BufferView;

use crate::{Section, Tombstone};
use std::cmp::Ordering;
use std::sync::Arc;
use types::{CommitNumber, Sequence, Timestamp, Version};

/// Rows that a sort takes at a time are worth a job from here on.
const SORT_ROWS_MIN: usize = if cfg!(test) { 40 } else { 16 << 10 };
/// So many sections are worth a job, however few rows they have: each costs a reader a search.
const SECTIONS_MAX: usize = if cfg!(test) { 8 } else { 128 };
/// So many neighbouring runs of like size are merged into one.
const RUNS_PER_TIER: usize = if cfg!(test) { 3 } else { 16 };
/// Runs are merged up to this size; a buffer is flushed long before it has many such.
const RUN_ROWS_MAX: usize = 16 << 20;
/// Bytes of a row in a run at most: time, value, quality; tag and place in the directory.
const RUN_ROW_BYTES: usize = 8 + 8 + 1 + 12;
/// Bytes of a row on its way into a run: tag, time, value, quality.
const SORT_ROW_BYTES: usize = 8 + 8 + 8 + 1;
/// A run's texts stay below what 32-bit offsets can tell.
const RUN_TEXT_BYTES_MAX: usize = 1 << 30;

/// A part of a buffer: rows of a stretch of versions.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub body: Body,
    pub first: Version,
    pub last: Version,
}

/// How a part's rows lie.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// As they were logged.
    Section(Section),
    /// In order.
    Run(Arc<SortedRun>),
}

impl Part {
    pub fn rows(&self) -> usize {
        match &self.body {
            Body::Section(section) => section.rows(),
            Body::Run(run) => run.rows(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.body {
            Body::Section(section) => section.memory_bytes(),
            Body::Run(run) => run.memory_bytes(),
        }
    }

    fn text_bytes(&self) -> usize {
        match &self.body {
            Body::Section(section) if section.is_text() => section.memory_bytes(),
            Body::Section(_) => 0,
            Body::Run(run) => run.columns.texts.bytes.len(),
        }
    }
}

/// A slice's write buffer.
#[derive(Debug, Default)]
pub struct Buffer {
    numeric: Vec<Part>,
    texts: Vec<Part>,
    tombstones: Vec<Tombstone>,
    held: Held,
    first: Option<Version>,
    /// The first version since it was sealed.
    first_unsealed: Option<Version>,
    last: Version,
    commit: CommitNumber,
    sealed: Option<Sequence>,
    rows: usize,
    bytes: usize,
    view: Option<Arc<BufferView>>,
}

/// Sections to be sorted or runs to be merged: plain data, worked on anywhere.
#[derive(Debug)]
pub struct SortWork {
    text: bool,
    parts: Vec<Part>,
    tombstones: Vec<Tombstone>,
}

/// The run that was made of some parts.
#[derive(Debug)]
pub struct SortDone {
    text: bool,
    parts: usize,
    first: Version,
    last: Version,
    run: SortedRun,
}

impl Buffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Buffer::default()
    }

    /// Adds the section of a commit. Versions only grow; a numeric and a text section of one write
    /// have the same version.
    pub fn push(&mut self, version: Version, commit: CommitNumber, section: Section) {
        self.advance(version, commit);
        if !self.held.is_empty() {
            self.held.give_way(&section);
        }
        self.rows += section.rows();
        self.bytes += section.memory_bytes();
        let parts = if section.is_text() { &mut self.texts } else { &mut self.numeric };
        parts.push(Part { body: Body::Section(section), first: version, last: version });
    }

    /// Adds a deletion: rows of lower versions that it names are hidden from now on.
    pub fn delete(&mut self, commit: CommitNumber, tombstone: Tombstone) {
        self.advance(tombstone.version(), commit);
        self.held.delete(tombstone.deletion());
        self.bytes += tombstone.memory_bytes();
        self.tombstones.push(tombstone);
    }

    /// Holds the samples of a numeric section, one a tag, in the place of those held of these tags; calls
    /// `replaced` with the times of the latter.
    pub fn hold(&mut self, version: Version, commit: CommitNumber, section: &Section, replaced: impl FnMut(Timestamp)) {
        self.advance(version, commit);
        self.held.put(section, replaced);
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Takes over what was held when the slice was flushed last. Only for an empty buffer.
    pub fn restore(&mut self, held: Held) {
        assert!(self.is_empty(), "what was held is older than all that is written");
        self.held = held;
        self.view = None;
    }

    fn advance(&mut self, version: Version, commit: CommitNumber) {
        assert!(version >= self.last, "versions of a slice only grow: {version} after {}", self.last);
        self.first.get_or_insert(version);
        if self.sealed.is_some() {
            self.first_unsealed.get_or_insert(version);
        }
        self.last = version;
        self.commit = self.commit.max(commit);
        self.view = None;
    }

    /// An immutable view of what it holds now. Costs nothing while nothing is added.
    #[must_use]
    pub fn view(&mut self) -> Arc<BufferView> {
        let view = self.view.get_or_insert_with(|| {
            Arc::new(BufferView::new(
                self.numeric.clone(),
                self.texts.clone(),
                self.tombstones.clone(),
                self.held.clone(),
                (self.first, self.last),
                self.commit,
            ))
        });
        Arc::clone(view)
    }

    /// A view of all that is to be flushed now: what it holds stays apart from what comes later
    /// until `release` or `unseal`. None where there is nothing.
    #[must_use]
    pub fn seal(&mut self) -> Option<Arc<BufferView>> {
        self.first?;
        self.sealed = Some(self.last.sequence);
        self.first_unsealed = None;
        Some(self.view())
    }

    /// Takes back `seal`: the flush failed.
    pub fn unseal(&mut self) {
        (self.sealed, self.first_unsealed) = (None, None);
    }

    /// Forgets what was written up to this sequence number: it lies in files now. What is held stays.
    pub fn release(&mut self, until: Sequence) {
        for parts in [&mut self.numeric, &mut self.texts] {
            assert!(
                parts.iter().all(|part| part.last.sequence <= until || part.first.sequence > until),
                "parts are released whole: they were sealed at {until}"
            );
            parts.retain(|part| part.last.sequence > until);
        }
        self.tombstones.retain(|tombstone| tombstone.version().sequence > until);
        let firsts = [&self.numeric, &self.texts].into_iter().filter_map(|parts| parts.first()).map(|part| part.first);
        let firsts = firsts.chain(self.tombstones.first().map(Tombstone::version));
        // Versions that only hold samples leave no rows.
        self.first = firsts.chain(self.first_unsealed.filter(|version| version.sequence > until)).min();
        if self.sealed.is_some_and(|sealed| sealed <= until) {
            (self.sealed, self.first_unsealed) = (None, None);
        }
        self.view = None;
        self.count();
    }

    fn count(&mut self) {
        let parts = || self.numeric.iter().chain(&self.texts);
        self.rows = parts().map(Part::rows).sum();
        self.bytes =
            parts().map(Part::memory_bytes).sum::<usize>() + self.tombstones.iter().map(Tombstone::memory_bytes).sum::<usize>();
    }

    /// How many rows it has (overwritten and deleted ones that still lie there included).
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that it holds on to, but for held samples. Views that are older may hold on to more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was written to it that a flush has yet to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The first version that no flush has taken; None where it is empty.
    #[must_use]
    pub fn first(&self) -> Option<Version> {
        self.first
    }

    /// The last version that was ever added.
    #[must_use]
    pub fn last(&self) -> Version {
        self.last
    }

    /// Sorting that is worth a job now, if any. Ask again after `install`; run at most one at a
    /// time a buffer (a second one would be done for nothing).
    #[must_use]
    pub fn sort_work(&self) -> Option<SortWork> {
        [false, true].into_iter().find_map(|text| {
            let all = if text { &self.texts } else { &self.numeric };
            // What is sealed is being flushed: the flush sorts it by itself.
            let open = all.partition_point(|part| self.sealed.is_some_and(|sealed| part.last.sequence <= sealed));
            let parts = tail_to_sort(&all[open..]).or_else(|| runs_to_merge(&all[open..]))?;
            Some(SortWork { text, parts: parts.to_vec(), tombstones: self.tombstones.clone() })
        })
    }

    /// Puts a finished run in the place of its parts. Does nothing where they are gone.
    pub fn install(&mut self, done: SortDone) {
        let parts = if done.text { &mut self.texts } else { &mut self.numeric };
        let Some(from) = parts.iter().position(|part| part.first == done.first) else { return };
        let to = from + done.parts;
        if parts.get(to - 1).is_none_or(|part| part.last != done.last) {
            return;
        }
        let body = (done.run.rows() > 0).then(|| Body::Run(Arc::new(done.run)));
        parts.splice(from..to, body.map(|body| Part { body, first: done.first, last: done.last }));
        self.view = None;
        self.count();
    }
}

/// The newest sections, where they have become many.
fn tail_to_sort(parts: &[Part]) -> Option<&[Part]> {
    let from = parts.iter().rposition(|part| matches!(part.body, Body::Run(_))).map_or(0, |last| last + 1);
    let (mut end, mut rows, mut text_bytes) = (from, 0, 0);
    while let Some(part) = parts.get(end)
        && (end == from || (rows + part.rows() <= RUN_ROWS_MAX && text_bytes + part.text_bytes() <= RUN_TEXT_BYTES_MAX))
    {
        rows += part.rows();
        text_bytes += part.text_bytes();
        end += 1;
    }
    let unordered: usize = parts[from..end]
        .iter()
        .map(|part| match &part.body {
            Body::Section(section) if !section.is_ordered() => section.rows(),
            Body::Section(_) | Body::Run(_) => 0,
        })
        .sum();
    (unordered >= SORT_ROWS_MIN || end - from >= SECTIONS_MAX).then(|| &parts[from..end])
}

/// The newest runs, where those of one tier have become many; smaller ones behind them come along.
fn runs_to_merge(parts: &[Part]) -> Option<&[Part]> {
    let end = parts.iter().rposition(|part| matches!(part.body, Body::Run(_))).map_or(0, |last| last + 1);
    let tier = |part: &Part| part.rows().max(1).ilog(RUNS_PER_TIER);
    let (mut from, mut rows, mut text_bytes) = (end, 0, 0);
    let (mut highest, mut alike) = (0, 0);
    while from > 0 {
        let part = &parts[from - 1];
        if matches!(part.body, Body::Section(_)) || (tier(part) > highest && alike >= RUNS_PER_TIER) {
            break;
        }
        rows += part.rows();
        text_bytes += part.text_bytes();
        if rows > RUN_ROWS_MAX || text_bytes > RUN_TEXT_BYTES_MAX {
            break;
        }
        match tier(part).cmp(&highest) {
            Ordering::Greater => (highest, alike) = (tier(part), 1),
            Ordering::Equal => alike += 1,
            Ordering::Less => {}
        }
        from -= 1;
    }
    (alike >= RUNS_PER_TIER).then(|| &parts[from..end])
}

impl SortWork {
    /// How many rows are to be sorted or merged.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.parts.iter().map(Part::rows).sum()
    }

    /// Bytes of memory that the run takes at most, and its rows on their way into it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.parts.iter().map(Part::text_bytes).sum();
        size_of::<SortedRun>() + texts + self.rows() * (RUN_ROW_BYTES + SORT_ROW_BYTES)
    }

    /// Does it.
    #[must_use]
    pub fn run(self) -> SortDone {
        let (first, last) = (self.parts[0].first, self.parts[self.parts.len() - 1].last);
        let count = self.parts.len();
        // Later tombstones than `last` may come after this; those at hand may as well be applied.
        let run = view::run_of(&self.parts, &self.tombstones);
        SortDone { text: self.text, parts: count, first, last, run }
    }
}
