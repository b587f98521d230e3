//! Samples of some tags in a range of time: few at one go, many as a stream.

use super::operands::{names, rows_limit};
use super::question::{Column, Order, Plan, Question, Range, Tags};
use super::resolved::Many;
use super::run::{Found, PointAnswer, ROWS_MAX, as_text};
use super::{PointPlan, RowSink};
use crate::access::Rights;
use crate::error::{Error, from_datafusion};
use crate::outcome::Rows;
use crate::scan::node::SeriesScan;
use crate::scan::{Place, Sort, Target};
use crate::session::Session;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use kernel::{Direction, Kernel, Projection, ScanBatch, ScanRequest, TagSelection};
use std::cmp::Reverse;
use std::sync::Arc;
use types::{Kind, TagId, TimeRange, Timestamp};

/// Bytes of texts that are held at one go; with more, rows are many.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Rows of a batch where few are wanted.
const BATCH_ROWS: usize = 1024;

/// A row that was read: of which tag, and where it lies.
struct Row {
    /// Its tag's place among the names.
    tag: usize,
    kind: Kind,
    batch: usize,
    row: usize,
    time: Timestamp,
}

/// Tags by their ordinals, each with its place among the names.
struct Ordinals(Vec<(TagId, usize)>);

impl Ordinals {
    fn of(many: &Many) -> Ordinals {
        let mut all: Vec<(TagId, usize)> = many.tags.iter().copied().zip(0..).collect();
        all.sort_unstable();
        Ordinals(all)
    }

    fn list(&self) -> TagSelection {
        TagSelection::List(self.0.iter().map(|(tag, _)| *tag).collect())
    }

    fn place(&self, tag: TagId) -> Option<usize> {
        self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok().map(|at| self.0[at].1)
    }

    /// Whether names and ordinals have one order.
    fn are_in_order(&self) -> bool {
        self.0.is_sorted_by_key(|(_, place)| *place)
    }
}

impl Plan {
    /// The rows, where they are few.
    pub(super) fn range(
        &self,
        kernel: &Kernel,
        asked: &Range,
        params: &[ScalarValue],
        rights: Option<&Rights>,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        const NOTHING: Result<PointAnswer, Error> = Ok(PointAnswer::Done(0));
        let limit = rows_limit(asked.limit.as_ref(), params)?;
        let Some(range) = self.within(&asked.lows, &asked.highs, params)? else { return NOTHING };
        let many = match &asked.tags {
            Tags::One(tag) => {
                let Some((name, tag, kind)) = self.tag(tag, params, rights)? else { return NOTHING };
                if limit == Some(1) && asked.order.is_newest_first() && range.first == Timestamp::MIN {
                    let Some(reading) = kernel.value_at(tag, range.last)? else { return NOTHING };
                    return self.reading(name, kind, &reading, sink);
                }
                Many::one(name, tag)
            }
            tags => {
                let Some(names) = names(tags, params)? else { return NOTHING };
                Many::of(&self.engine, rights, self.table, names)
            }
        };
        if many.tags.is_empty() || limit == Some(0) {
            return NOTHING;
        }
        let ordinals = Ordinals::of(&many);
        let Some(batches) = self.few(kernel, ordinals.list(), range, asked.order, limit)? else {
            return Ok(PointAnswer::TooLong);
        };
        self.ordered(kernel, &batches, (&many, &ordinals), asked.order, limit.unwrap_or(u64::MAX), sink)
    }

    /// Batches of all rows that may count; None where they are many.
    fn few(
        &self,
        kernel: &Kernel,
        tags: TagSelection,
        range: TimeRange,
        order: Order,
        limit: Option<u64>,
    ) -> Result<Option<Vec<ScanBatch>>, Error> {
        let most = limit.unwrap_or(ROWS_MAX + 1);
        let of_tags = if let TagSelection::List(tags) = &tags { tags.len() as u64 } else { u64::MAX };
        let request = ScanRequest {
            tags,
            texts: self.table.sort() == Some(Sort::Texts),
            range,
            projection: Projection {
                values: self.wants(Column::Value) || self.wants(Column::Text),
                qualities: self.wants(Column::Quality),
            },
            direction: if order.is_newest_first() { Direction::Descending } else { Direction::Ascending },
            rows_per_tag_max: Some(most),
            batch_rows: BATCH_ROWS,
        };
        let (mut batches, mut rows, mut runs, mut text_bytes) = (Vec::new(), 0, 0, 0);
        for mut part in kernel.snapshot().scan(&request, 1) {
            while let Some(batch) = part.next_batch()? {
                rows += batch.rows() as u64;
                text_bytes += batch.texts.bytes.len();
                runs += batch.runs.len() as u64;
                batches.push(batch);
                if order == Order::Free && limit.is_some_and(|limit| rows >= limit) {
                    return Ok(Some(batches));
                }
                // What is read here of many is read once more: of several tags it shows early, where one is like another.
                let free = order == Order::Free && limit.is_none();
                let all = if free { (rows / runs.max(1)).saturating_mul(of_tags) } else { rows };
                if rows > ROWS_MAX || all > ROWS_MAX || text_bytes > TEXT_BYTES_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(Some(batches))
    }

    /// Hands rows on in the order that was asked for, up to so many.
    fn ordered(
        &self,
        kernel: &Kernel,
        batches: &[ScanBatch],
        (many, ordinals): (&Many, &Ordinals),
        order: Order,
        most: u64,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        let mut rows = Vec::with_capacity(batches.iter().map(ScanBatch::rows).sum());
        for (batch, columns) in batches.iter().enumerate() {
            let mut row = 0;
            for run in &columns.runs {
                let end = row + run.rows as usize;
                if let Some(tag) = ordinals.place(run.tag) {
                    rows.extend((row..end).map(|row| Row { tag, kind: run.kind, batch, row, time: columns.times[row] }));
                }
                row = end;
            }
        }
        // A tag's rows come in the order of time, and tags in that of their ordinals, unless slices cut time.
        let whole = kernel.rule().ignores_time();
        let as_it_is = match order {
            Order::Free => true,
            Order::Time { .. } => whole && many.tags.len() == 1,
            Order::Tag { .. } => whole && ordinals.are_in_order(),
        };
        if !as_it_is {
            match order {
                Order::Free => {}
                Order::Time { descending: false } => rows.sort_by_key(|row| row.time),
                Order::Time { descending: true } => rows.sort_by_key(|row| Reverse(row.time)),
                Order::Tag { descending: false } => rows.sort_by_key(|row| (row.tag, row.time)),
                Order::Tag { descending: true } => rows.sort_by_key(|row| (row.tag, Reverse(row.time))),
            }
        }
        rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        for row in &rows {
            self.emit(&found(many.name(row.tag), row, &batches[row.batch])?, 0, sink)?;
        }
        Ok(PointAnswer::Done(rows.len() as u64))
    }

    /// A scan of the rows, where it gives them in the order that was asked for.
    fn scan(&self, shown: &PointPlan, params: &[ScalarValue]) -> Result<Option<SeriesScan>, Error> {
        let (Some(kernel), Some(sort), Question::Range(asked)) = (&self.engine.local, self.table.sort(), &self.question) else {
            return Ok(None);
        };
        let bound = self.bound()?;
        let many = match names(&asked.tags, params)? {
            Some(names) => Many::of(&self.engine, bound.as_deref(), self.table, names),
            None => return Ok(None),
        };
        let one = many.tags.len() <= 1 && kernel.rule().ignores_time();
        let fits = match asked.order {
            Order::Free => true,
            Order::Time { descending } | Order::Tag { descending } => one && !descending,
        };
        let Some(range) = self.within(&asked.lows, &asked.highs, params)?.filter(|_| fits) else { return Ok(None) };
        let limit = rows_limit(asked.limit.as_ref(), params)?.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let target = Target {
            place: Place::Here(Arc::clone(&self.engine), kernel.snapshot()),
            sort,
            tags: Ordinals::of(&many).list(),
            range,
            good_only: false,
            batch_rows: self.engine.settings.batch_rows,
            bound: bound.is_some(),
        };
        let columns: Option<Vec<usize>> = self.columns.iter().map(|column| place(sort, *column)).collect();
        let Some(columns) = columns.filter(|columns| (1..columns.len()).all(|at| !columns[..at].contains(&columns[at]))) else {
            return Ok(None);
        };
        Ok(Some(SeriesScan::new(Arc::new(target), columns.into(), Arc::clone(&shown.schema), 1, limit)))
    }
}

impl PointPlan {
    /// Many rows as they come; None where a plan must find them.
    pub(super) fn stream_range(&self, session: &Session, params: &[ScalarValue], sql: &Arc<str>) -> Result<Option<Rows>, Error> {
        let Some(scan) = self.inner.scan(self, params)? else { return Ok(None) };
        let shown = |error, sql: &str| from_datafusion(&error, sql);
        let batches = scan.execute(0, session.task_context()).map_err(|error| shown(error, sql))?;
        let text = Arc::clone(sql);
        let batches = batches.map(move |batch| batch.map_err(|error| shown(error, &text))).boxed();
        Ok(Some(Rows { schema: Arc::clone(&self.schema), batches, command: "SELECT" }))
    }
}

/// The number of a column of a table of samples.
fn place(sort: Sort, column: Column) -> Option<usize> {
    let fields = sort.schema().fields();
    fields.iter().position(|field| Column::of(field.name()) == Some(column))
}

fn found<'a>(tag: &'a str, row: &Row, batch: &'a ScanBatch) -> Result<Found<'a>, Error> {
    let text = if row.row < batch.texts.len() { Some(as_text(batch.texts.get(row.row))?) } else { None };
    Ok(Found {
        tag,
        at: 0,
        time: Some(row.time.0),
        kind: row.kind,
        bits: batch.bits.get(row.row).copied().unwrap_or(0),
        text,
        quality: batch.qualities.as_ref().map_or(types::Quality::GOOD.0, |qualities| qualities[row.row]),
    })
}
