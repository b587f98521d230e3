//! Snapshots: a view of one commit across all slices, and scans and aggregates of it.
//!
//! A scan is cut by blocks of tags that lie in one slice (the rule's `b1`), and a part walks its blocks
//! in rising order of tag: so tags rise within a part, whatever the number of slices. Where the rule
//! looks at time a tag may lie in several slices; then each slice is a part.
//! Promises: a snapshot holds its files and buffers until it is dropped; nothing that happens later
//! changes what it shows.

use crate::core::{Core, Ground};
use crate::{AggregateBatch, AggregateRequest, Error, Reading, ScanBatch, ScanRequest, ScanStatistics, TagSelection};
use series::{SliceView, Totals};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, SliceId, TagId, TimeRange, Timestamp};

/// Rows of merged aggregates (of some 150 bytes) that are held at once.
const MERGED_ROWS_MAX: usize = 16_384;

/// A view of one commit.
#[derive(Clone)]
pub struct Snapshot {
    ground: Arc<Ground>,
    views: Arc<[Arc<SliceView>]>,
    commit: CommitNumber,
    /// The slices that are shown, rising; None = all.
    only: Option<Arc<[SliceId]>>,
}

/// Tags of one slice that a part reads.
#[derive(Clone, Debug)]
struct Unit {
    slice: SliceId,
    tags: UnitTags,
}

#[derive(Clone, Debug)]
enum UnitTags {
    /// All of the slice's tags from the first to the last.
    Span(TagId, TagId),
    /// These, rising.
    List(Arc<[TagId]>),
}

impl Core {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let ground = self.ground();
        let _still = self.visibility.read();
        let views = ground.slices.iter().map(|slice| slice.view()).collect();
        let led = CommitNumber(self.visible_led.load(Ordering::Acquire));
        Snapshot { views, commit: self.visible().max(led), ground, only: None }
    }
}

impl Snapshot {
    /// The newest commit that it sees.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    /// One snapshot of several of the same kernel: of each slice named what its own shows, of all other slices nothing. None
    /// where none is named.
    #[must_use]
    pub fn joined(parts: &[(SliceId, Snapshot)]) -> Option<Snapshot> {
        let (_, first) = parts.first()?;
        let empty = Arc::new(first.view(SliceId(0)).emptied());
        let mut views = vec![empty; first.views.len()];
        for (slice, part) in parts {
            views[slice.0 as usize] = Arc::clone(part.view(*slice));
        }
        let commit = parts.iter().map(|(_, part)| part.commit).fold(first.commit, CommitNumber::max);
        Some(Snapshot { ground: Arc::clone(&first.ground), views: views.into(), commit, only: None })
    }

    /// The same commit, of these slices alone: what a node of a fleet reads for a statement, whatever else it holds.
    #[must_use]
    pub fn only(&self, mut slices: Vec<SliceId>) -> Snapshot {
        slices.retain(|slice| self.shows(*slice));
        slices.sort_unstable();
        slices.dedup();
        Snapshot { only: Some(slices.into()), ..self.clone() }
    }

    /// Whether a slice's samples are shown.
    fn shows(&self, slice: SliceId) -> bool {
        self.only.as_ref().is_none_or(|only| only.binary_search(&slice).is_ok())
    }

    fn view(&self, slice: SliceId) -> &Arc<SliceView> {
        &self.views[slice.0 as usize]
    }

    /// The slices that are shown, each with its view.
    fn shown(&self) -> impl Iterator<Item = (SliceId, &Arc<SliceView>)> {
        (0..).map(SliceId).zip(self.views.iter()).filter(|(slice, _)| self.shows(*slice))
    }

    /// The newest sample of a tag at or before a time. `text` says of which sort the tag is.
    pub(crate) fn newest_until(&self, tag: TagId, time: Timestamp, text: bool) -> Result<Option<Reading>, Error> {
        if self.ground.rule.ignores_time() {
            let slice = self.ground.rule.slice(tag, Timestamp(0));
            return if self.shows(slice) { Ok(self.view(slice).newest_until(tag, time, text)?) } else { Ok(None) };
        }
        let mut best: Option<Reading> = None;
        for (_, view) in self.shown() {
            let found = view.newest_until(tag, time, text)?;
            if found.as_ref().is_some_and(|found| best.as_ref().is_none_or(|best| found.time > best.time)) {
                best = found;
            }
        }
        Ok(best)
    }

    /// Whether a tag holds text.
    pub(crate) fn is_text(&self, tag: TagId) -> bool {
        self.ground.slices.first().is_some_and(|slice| slice.kinds.kind(tag).is_some_and(types::Kind::is_text))
    }

    pub(crate) fn ignores_time(&self) -> bool {
        self.ground.rule.ignores_time()
    }

    /// Answers questions of any tags, slice by slice, so that an index block serves its neighbours.
    /// Only where the rule ignores time.
    pub(crate) fn newest_until_many(
        &self,
        questions: &[(TagId, Timestamp)],
        out: &mut crate::ReadingColumns,
    ) -> Result<(), Error> {
        let mut by_slice: Vec<Vec<(u32, TagId, Timestamp)>> = vec![Vec::new(); self.views.len()];
        for (row, (tag, time)) in (0_u32..).zip(questions) {
            by_slice[self.ground.rule.slice(*tag, Timestamp(0)).0 as usize].push((row, *tag, *time));
        }
        for (slice, view) in self.shown() {
            let asked = &by_slice[slice.0 as usize];
            if !asked.is_empty() {
                view.newest_until_many(asked, out)?;
            }
        }
        Ok(())
    }

    /// Cuts a scan into at most about `parts` parts that can run side by side (one a slice where the rule
    /// looks at time). Each tag's rows come
    /// whole and in order from one part where the rule ignores time.
    #[must_use]
    pub fn scan(&self, request: &ScanRequest, parts: usize) -> Vec<ScanPart> {
        let cut = self.cut(&request.tags, parts);
        let part = |units: Vec<Unit>| ScanPart {
            snapshot: self.clone(),
            request: request.clone(),
            units: units.into(),
            open: None,
            statistics: ScanStatistics::default(),
        };
        cut.into_iter().map(part).collect()
    }

    /// Cuts an aggregate into at most about `parts` parts that can run side by side.
    #[must_use]
    pub fn aggregate(&self, request: &AggregateRequest, parts: usize) -> Vec<AggregatePart> {
        let cut = self.cut(&request.tags, parts);
        let part = |units: Vec<Unit>| AggregatePart {
            snapshot: self.clone(),
            request: request.clone(),
            units: units.into(),
            open: None,
            statistics: ScanStatistics::default(),
        };
        cut.into_iter().map(part).collect()
    }

    /// What a scan of these tags in this range would look at: chunks, and those of them left out, by their index
    /// alone. Stops after `chunks_max`; whether that was all.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn count_chunks(
        &self,
        tags: &TagSelection,
        range: TimeRange,
        texts: bool,
        chunks_max: u64,
    ) -> Result<(ScanStatistics, bool), Error> {
        let mut counts = ScanStatistics::default();
        for unit in self.cut(tags, 1).into_iter().flatten() {
            let view = self.view(unit.slice);
            if !view.count_chunks(&unit.selection(), unit.span(), range, texts, chunks_max, &mut counts)? {
                return Ok((counts, false));
            }
        }
        Ok((counts, true))
    }

    /// The smallest ranges of time, newest first and apart from each other, that together hold every
    /// sample of these tags in the range: what a reader walks who wants the newest first.
    #[must_use]
    pub fn time_ranges(&self, tags: &TagSelection, range: TimeRange) -> Vec<TimeRange> {
        let mut all: Vec<TimeRange> = self.shown().flat_map(|(_, view)| view.time_ranges(tags, range)).collect();
        all.retain(|range| !range.is_empty());
        all.sort_unstable_by_key(|range| (range.first, range.last));
        let mut apart: Vec<TimeRange> = Vec::new();
        for next in all {
            match apart.last_mut() {
                Some(last) if next.first <= last.last => last.last = last.last.max(next.last),
                _ => apart.push(next),
            }
        }
        apart.reverse();
        apart
    }

    /// The units of each part.
    fn cut(&self, tags: &TagSelection, parts: usize) -> Vec<Vec<Unit>> {
        let parts = parts.max(1);
        if !self.ground.rule.ignores_time() {
            let tags = match tags {
                TagSelection::All => UnitTags::Span(TagId(0), TagId(u64::MAX)),
                TagSelection::List(list) => UnitTags::List(Arc::clone(list)),
            };
            let unit = |slice| vec![Unit { slice: SliceId(slice), tags: tags.clone() }];
            return (0..self.ground.rule.buckets).filter(|slice| self.shows(SliceId(*slice))).map(unit).collect();
        }
        match tags {
            TagSelection::All => {
                let last = self.shown().filter_map(|(_, view)| view.last_tag()).max();
                last.map_or_else(Vec::new, |last| deal(self.spans(last, parts), parts))
            }
            TagSelection::List(list) if self.only.is_some() => {
                let shown = |tag: &TagId| self.shows(self.ground.rule.slice(*tag, Timestamp(0)));
                let list: Vec<TagId> = list.iter().copied().filter(shown).collect();
                let share = list.len().div_ceil(parts).max(1);
                list.chunks(share).map(|tags| self.lists(tags)).collect()
            }
            TagSelection::List(list) => {
                let share = list.len().div_ceil(parts).max(1);
                list.chunks(share).map(|tags| self.lists(tags)).collect()
            }
        }
    }

    /// All tags up to the last, as units of neighbours that lie in one slice.
    fn spans(&self, last: TagId, parts: usize) -> Vec<Unit> {
        let rule = &self.ground.rule;
        let mut units: Vec<Unit> = Vec::new();
        // A lone slice is cut all the same, so that several can work on it.
        let length = if rule.buckets == 1 { rule.b1.min(last.0 / parts as u64 + 1) } else { rule.b1 };
        let mut first = 0_u64;
        loop {
            let end = first.saturating_add(length - 1).min(last.0);
            let slice = rule.slice(TagId(first), Timestamp(0));
            if self.shows(slice) {
                units.push(Unit { slice, tags: UnitTags::Span(TagId(first), TagId(end)) });
            }
            if end >= last.0 {
                return units;
            }
            first = end + 1;
        }
    }

    /// These tags, as units of neighbours that lie in one slice.
    fn lists(&self, tags: &[TagId]) -> Vec<Unit> {
        let slice = |tag: &TagId| self.ground.rule.slice(*tag, Timestamp(0));
        let same = tags.chunk_by(|a, b| slice(a) == slice(b));
        same.map(|tags| Unit { slice: slice(&tags[0]), tags: UnitTags::List(tags.into()) }).collect()
    }
}

/// Deals neighbouring units to parts of like size, in order.
fn deal(units: Vec<Unit>, parts: usize) -> Vec<Vec<Unit>> {
    let share = units.len().div_ceil(parts).max(1);
    units.chunks(share).map(<[Unit]>::to_vec).collect()
}

impl Unit {
    /// The selection within the slice.
    fn selection(&self) -> TagSelection {
        match &self.tags {
            UnitTags::Span(..) => TagSelection::All,
            UnitTags::List(list) => TagSelection::List(Arc::clone(list)),
        }
    }

    fn span(&self) -> (TagId, TagId) {
        match &self.tags {
            UnitTags::Span(first, last) => (*first, *last),
            UnitTags::List(list) => (list[0], list[list.len() - 1]),
        }
    }
}

/// A part of a scan.
pub struct ScanPart {
    snapshot: Snapshot,
    request: ScanRequest,
    units: VecDeque<Unit>,
    open: Option<series::Scan>,
    statistics: ScanStatistics,
}

impl ScanPart {
    /// The next batch; None at the end. Reads files on the calling thread.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn next_batch(&mut self) -> Result<Option<ScanBatch>, Error> {
        loop {
            if let Some(scan) = &mut self.open {
                if let Some(batch) = scan.next_batch()? {
                    return Ok(Some(batch));
                }
                self.statistics.add(&scan.statistics());
                self.open = None;
            }
            let Some(unit) = self.units.pop_front() else { return Ok(None) };
            let request = ScanRequest { tags: unit.selection(), ..self.request.clone() };
            self.open = Some(self.snapshot.view(unit.slice).scan(&request, unit.span()));
        }
    }

    /// From now on only rows in this range are wanted of what is left. Rows outside of it may still come, of the
    /// tag at hand.
    pub fn narrow(&mut self, range: TimeRange) {
        self.request.range = self.request.range.intersect(&range);
        if let Some(scan) = &mut self.open {
            scan.narrow(range);
        }
    }

    /// What it looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        let mut all = self.statistics;
        if let Some(scan) = &self.open {
            all.add(&scan.statistics());
        }
        all
    }
}

/// A part of an aggregate.
pub struct AggregatePart {
    snapshot: Snapshot,
    request: AggregateRequest,
    units: VecDeque<Unit>,
    open: Option<series::Aggregation>,
    statistics: ScanStatistics,
}

impl AggregatePart {
    /// The next batch; None at the end. Reads files on the calling thread.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn next_batch(&mut self) -> Result<Option<AggregateBatch>, Error> {
        loop {
            if let Some(aggregation) = &mut self.open {
                if let Some(batch) = aggregation.next_batch()? {
                    return Ok(Some(batch));
                }
                self.statistics.add(&aggregation.statistics());
                self.open = None;
            }
            let Some(unit) = self.units.pop_front() else { return Ok(None) };
            let request = AggregateRequest { tags: unit.selection(), ..self.request.clone() };
            self.open = Some(self.snapshot.view(unit.slice).aggregate(&request, unit.span()));
        }
    }

    /// As `next_batch`, but with one row of all tags of a kind for each bin; a (kind, bin) may come again. The tag of
    /// a row then says nothing. `keeps` is given a batch by tag, and puts in for each row whether it counts.
    ///
    /// # Errors
    /// `Error::Damaged`, `Error::Read`.
    pub fn next_merged(
        &mut self,
        mut keeps: impl FnMut(&AggregateBatch, &mut Vec<bool>),
    ) -> Result<Option<AggregateBatch>, Error> {
        let (mut totals, mut kept) = (Totals::default(), Vec::new());
        while totals.len() < MERGED_ROWS_MAX
            && let Some(batch) = self.next_batch()?
        {
            kept.clear();
            keeps(&batch, &mut kept);
            (0..batch.tags.len()).zip(&kept).filter(|(_, kept)| **kept).for_each(|(row, _)| totals.add(&batch, row));
        }
        Ok((!totals.is_empty()).then(|| totals.take()))
    }

    /// What it looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        let mut all = self.statistics;
        if let Some(aggregation) = &self.open {
            all.add(&aggregation.statistics());
        }
        all
    }
}
