//! Aggregates: partial sums by tag and bin, from statistics where they will do.
//!
//! An entry is answered from its statistics where it lies inside the range and one bin, nothing
//! else has rows between its first and last, and no tombstone touches it; else it is decoded.

use super::bins::{Sum, bin, is_nan};
use super::{SliceView, Sources, Step, TagWalk, TagWindows, Wanted, walk::Item};
use crate::file::Entry;
use crate::rows::Order;
use crate::{AggregateBatch, AggregateRequest, Direction, Error, Projection, ScanStatistics, SeriesColumns};
use types::TagId;

/// A batch has about so many rows.
const BATCH_ROWS: usize = 8_192;

/// An aggregate. Holds its view; reads files on the thread that asks for batches.
pub struct Aggregation {
    view: SliceView,
    request: AggregateRequest,
    walk: TagWalk,
    windows: TagWindows,
    order: Order,
    items: Vec<Item>,
    rows: SeriesColumns,
    /// The bin at hand of the tag at hand.
    sum: Option<Sum>,
    tag: Option<TagId>,
    batch: AggregateBatch,
    statistics: ScanStatistics,
}

impl SliceView {
    /// Aggregates of the tags of the request within `tags` (both ends included). Text tags have none.
    #[must_use]
    pub fn aggregate(&self, request: &AggregateRequest, tags: (TagId, TagId)) -> Aggregation {
        let mut statistics = ScanStatistics::default();
        let walk = self.walk(&request.tags, tags, request.range, false, &mut statistics).with_summaries();
        Aggregation {
            view: self.clone(),
            request: request.clone(),
            walk,
            windows: TagWindows::default(),
            order: Order::default(),
            items: Vec::new(),
            rows: SeriesColumns::default(),
            sum: None,
            tag: None,
            batch: AggregateBatch::default(),
            statistics,
        }
    }
}

impl Aggregation {
    /// The next batch; None at the end.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn next_batch(&mut self) -> Result<Option<AggregateBatch>, Error> {
        while self.batch.tags.len() < BATCH_ROWS {
            if self.tag.is_none() && !self.begin_tag()? {
                break;
            }
            self.fill()?;
        }
        let batch = std::mem::take(&mut self.batch);
        Ok((!batch.tags.is_empty()).then_some(batch))
    }

    fn wanted(&self) -> Wanted {
        let projection = Projection { values: true, qualities: self.request.good_only };
        Wanted { text: false, projection, direction: Direction::Ascending, rows_max: None }
    }

    fn begin_tag(&mut self) -> Result<bool, Error> {
        let next = self.walk.next(&self.view.files.files, &mut self.statistics, &mut self.items)?;
        let Some(tag) = next else { return Ok(false) };
        let mut rows = self.windows.room();
        self.view.buffer.tag_rows(tag, &self.request.range, false, &mut self.order, &mut rows);
        let kind = self.items.first().map_or_else(|| self.view.kind_of(tag, false), |item| item.entry.kind);
        let wanted = self.wanted();
        self.windows.begin(&mut self.items, Some(rows), &wanted);
        self.tag = Some(tag);
        self.sum = Some(Sum::new(tag, kind, types::TimeRange { first: types::Timestamp::MAX, last: types::Timestamp::MIN }));
        Ok(true)
    }

    /// Adds up rows of the tag at hand until a batch is full or the tag has no more.
    fn fill(&mut self) -> Result<(), Error> {
        let Some(tag) = self.tag else { return Ok(()) };
        let view = self.view.clone();
        let hidden = view.all_hidden(tag);
        let sources = Sources { files: &view.files.files, hidden: &hidden };
        let (bins, good_only, wanted) = (self.request.bins, self.request.good_only, self.wanted());
        // A smallest value that is NaN may hide others: NaNs with a sign stand below everything in a file's order.
        let known = |entry: &Entry| {
            entry.statistics.as_ref().is_some_and(|known| {
                !is_nan(entry.kind, known.all.min) && known.good.is_none_or(|good| !is_nan(entry.kind, good.min))
            })
        };
        let will_do = |entry: &Entry| known(entry) && bin(bins, entry.first_time).contains(entry.last_time);
        while self.batch.tags.len() < BATCH_ROWS {
            self.rows.clear();
            match self.windows.next(&sources, &wanted, &will_do, &mut self.statistics, &mut self.rows)? {
                Step::Rows => self.add_rows(good_only),
                Step::Alone(entry) => {
                    self.enter(entry.first_time);
                    let known = entry.statistics.and_then(|known| if good_only { known.good } else { Some(known.all) });
                    if let (Some(sum), Some(known)) = (&mut self.sum, known) {
                        sum.add(&known);
                    }
                }
                Step::Done => {
                    if let Some(sum) = self.sum.take() {
                        sum.write(bins.is_some(), &mut self.batch);
                    }
                    self.tag = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Goes on to the bin of a moment.
    fn enter(&mut self, time: types::Timestamp) {
        let bins = self.request.bins;
        if let Some(sum) = &mut self.sum
            && !sum.range.contains(time)
        {
            sum.write(bins.is_some(), &mut self.batch);
            *sum = Sum::new(sum.tag, sum.kind, bin(bins, time));
        }
    }

    fn add_rows(&mut self, good_only: bool) {
        let rows = std::mem::take(&mut self.rows);
        let mut from = 0;
        while from < rows.len() {
            self.enter(rows.times[from]);
            let Some(sum) = &mut self.sum else { break };
            let last = sum.range.last;
            let to = from + rows.times[from..].partition_point(|time| *time <= last);
            let qualities = rows.qualities.as_ref().map(|column| &column[from..to]);
            sum.add_rows(&rows.times[from..to], &rows.bits[from..to], qualities, good_only);
            from = to;
        }
        self.rows = rows;
    }

    /// What was looked at so far.
    #[must_use]
    pub fn statistics(&self) -> ScanStatistics {
        self.statistics
    }
}
