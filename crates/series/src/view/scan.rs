//! Scans: the samples of many tags, tag by tag, in batches.

use super::{SliceView, Sources, Step, TagWalk, TagWindows, Wanted, walk::Item};
use crate::rows::Order;
use crate::tombstone::Hidden;
use crate::{Error, Run, ScanBatch, ScanRequest, ScanStatistics, SeriesColumns, TagSelection};
use std::collections::VecDeque;
use types::{Kind, TagId};

/// So many tags of a list are looked up in the buffer as it lies; for more it is sorted first.
const TAGS_UNSORTED_MAX: usize = 8;

/// A scan. Holds its view; reads files on the thread that asks for batches.
pub struct Scan {
    view: SliceView,
    request: ScanRequest,
    walk: TagWalk,
    windows: TagWindows,
    order: Order,
    items: Vec<Item>,
    /// The tag at hand, and how many of its rows went out.
    tag: Option<(TagId, Kind, u64)>,
    runs: Vec<Run>,
    rows: SeriesColumns,
    ready: VecDeque<ScanBatch>,
    statistics: ScanStatistics,
}

impl SliceView {
    /// The samples of the tags of the request within `tags` (both ends included).
    #[must_use]
    pub fn scan(&self, request: &ScanRequest, tags: (TagId, TagId)) -> Scan {
        let mut statistics = ScanStatistics::default();
        let mut request = request.clone();
        request.batch_rows = request.batch_rows.max(1);
        let walk = self.walk(&request.tags, tags, request.range, request.texts, &mut statistics);
        Scan {
            view: self.clone(),
            request,
            walk,
            windows: TagWindows::default(),
            order: Order::default(),
            items: Vec::new(),
            tag: None,
            runs: Vec::new(),
            rows: SeriesColumns::default(),
            ready: VecDeque::new(),
            statistics,
        }
    }

    /// A walk over tags, with the buffer made ready for it.
    pub(super) fn walk(
        &self,
        selection: &TagSelection,
        tags: (TagId, TagId),
        range: types::TimeRange,
        text: bool,
        statistics: &mut ScanStatistics,
    ) -> TagWalk {
        let buffered = match selection {
            TagSelection::All => self.buffer.tags(text),
            TagSelection::List(list) => {
                if list.len() > TAGS_UNSORTED_MAX {
                    let _ = self.buffer.runs(text);
                }
                [].into()
            }
        };
        TagWalk::new(&self.files.files, buffered, selection, tags, range, Some(text), statistics)
    }

    /// What is hidden of a tag in each file; empty where there are no tombstones at all.
    pub(super) fn all_hidden(&self, tag: TagId) -> Vec<Vec<Hidden<'_>>> {
        if self.files.tombstones.is_empty() && self.buffer.tombstones().is_empty() {
            return Vec::new();
        }
        (0..self.files.files.len() as u32).map(|place| self.hidden(place, tag)).collect()
    }
}

impl Scan {
    /// The next batch; None at the end.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn next_batch(&mut self) -> Result<Option<ScanBatch>, Error> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if self.rows.len() >= self.request.batch_rows {
                self.finish_batch();
                continue;
            }
            if self.tag.is_none() && !self.begin_tag()? {
                if self.rows.is_empty() {
                    return Ok(None);
                }
                self.finish_batch();
                continue;
            }
            self.fill()?;
        }
    }

    /// From the next tag on only rows in this range are wanted.
    pub fn narrow(&mut self, range: types::TimeRange) {
        self.request.range = self.request.range.intersect(&range);
        self.walk.narrow(range);
    }

    fn begin_tag(&mut self) -> Result<bool, Error> {
        let next = self.walk.next(&self.view.files.files, &mut self.statistics, &mut self.items)?;
        let Some(tag) = next else { return Ok(false) };
        let text = self.request.texts;
        let kind = self.items.first().map_or_else(|| self.view.kind_of(tag, text), |item| item.entry.kind);
        let mut rows = self.windows.room();
        self.view.buffer.tag_rows(tag, &self.request.range, text, &mut self.order, &mut rows);
        let wanted = self.wanted(0);
        self.windows.begin(&mut self.items, Some(rows), &wanted);
        self.tag = Some((tag, kind, 0));
        Ok(true)
    }

    fn wanted(&self, given: u64) -> Wanted {
        Wanted {
            text: self.request.texts,
            projection: self.request.projection,
            direction: self.request.direction,
            rows_max: self.request.rows_per_tag_max.map(|most| most.saturating_sub(given)),
        }
    }

    /// Adds rows of the tag at hand until a batch is full or the tag has no more.
    fn fill(&mut self) -> Result<(), Error> {
        let Some((tag, kind, mut given)) = self.tag.take() else { return Ok(()) };
        let view = self.view.clone();
        let hidden = view.all_hidden(tag);
        let sources = Sources { files: &view.files.files, hidden: &hidden };
        while self.rows.len() < self.request.batch_rows {
            let wanted = self.wanted(given);
            if wanted.rows_max == Some(0) {
                return Ok(());
            }
            let from = self.rows.len();
            let step = self.windows.next(&sources, &wanted, &|_| false, &mut self.statistics, &mut self.rows)?;
            if matches!(step, Step::Done) {
                return Ok(());
            }
            let most = wanted.rows_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
            if self.rows.len() - from > most {
                truncate(&mut self.rows, from + most);
            }
            let added = self.rows.len() - from;
            given += added as u64;
            match self.runs.last_mut() {
                Some(run) if run.tag == tag => run.rows += added as u32,
                _ => self.runs.push(Run { tag, kind, rows: added as u32 }),
            }
        }
        self.tag = Some((tag, kind, given));
        Ok(())
    }

    /// Makes batches of what was gathered: one, or several where a step gave much more than a batch.
    fn finish_batch(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let runs = std::mem::take(&mut self.runs);
        let batch_rows = self.request.batch_rows;
        if rows.len() <= batch_rows {
            let SeriesColumns { times, bits, texts, qualities } = rows;
            self.ready.push_back(ScanBatch { runs, times, bits, texts, qualities });
            return;
        }
        let mut runs = VecDeque::from(runs);
        for from in (0..rows.len()).step_by(batch_rows) {
            let to = (from + batch_rows).min(rows.len());
            self.ready.push_back(part(&rows, from..to, &mut runs));
        }
    }

    /// What was looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        self.statistics
    }
}

fn part(rows: &SeriesColumns, range: std::ops::Range<usize>, runs: &mut VecDeque<Run>) -> ScanBatch {
    let mut batch = ScanBatch {
        times: rows.times[range.clone()].to_vec(),
        bits: rows.bits.get(range.clone()).map_or_else(Vec::new, <[u64]>::to_vec),
        texts: types::TextColumn::new(),
        qualities: rows.qualities.as_ref().map(|column| column[range.clone()].to_vec()),
        runs: Vec::new(),
    };
    if rows.texts.len() >= range.end {
        range.clone().for_each(|row| batch.texts.push(rows.texts.get(row)));
    }
    let mut left = range.len() as u32;
    while left > 0 {
        let Some(mut run) = runs.pop_front() else { break };
        if run.rows > left {
            runs.push_front(Run { rows: run.rows - left, ..run });
            run.rows = left;
        }
        left -= run.rows;
        batch.runs.push(run);
    }
    batch
}

fn truncate(rows: &mut SeriesColumns, len: usize) {
    rows.times.truncate(len);
    rows.bits.truncate(len);
    if rows.texts.len() > len {
        rows.texts.offsets.truncate(len + 1);
        rows.texts.bytes.truncate(rows.texts.offsets[len] as usize);
    }
    if let Some(qualities) = &mut rows.qualities {
        qualities.truncate(len);
    }
}
