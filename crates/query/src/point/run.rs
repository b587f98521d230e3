//! Runs point questions: straight to the kernel, rows straight to the sink.

use super::gathered::Gathered;
use super::operands::{array, names, range, text};
use super::question::{Bound, Column, Operand, Plan, Question, Table};
use super::resolved::{Many, Pairs, moments};
use super::{Cell, PointPlan, RowSink};
use crate::access::{Access, Privileges, Rights};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::outcome::Rows;
use crate::schema;
use crate::time::Zone;
use crate::value;
use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use futures::StreamExt;
use kernel::{Datum, Reading, Snapshot};
use std::sync::Arc;
use types::{Kind, Kinds, TagId, TimeRange};

/// How many rows a point question may have; one with more goes through a plan, which streams.
pub(super) const ROWS_MAX: u64 = 10_000;

/// How a point question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointAnswer {
    /// So many rows went to the sink.
    Done(u64),
    /// Nothing went to the sink, since there are more rows than should be had at one go: run
    /// `Prepared::execute`, which streams them.
    TooLong,
}

/// A row as it was found.
pub(super) struct Found<'a> {
    pub tag: &'a str,
    pub at: i64,
    pub time: Option<i64>,
    pub kind: Kind,
    pub bits: u64,
    pub text: Option<&'a str>,
    pub quality: u8,
}

/// More columns than this in one SELECT list are gathered on the heap.
const CELLS_MAX: usize = 8;

impl PointPlan {
    /// Answers the question with these parameters. Never waits but for the kernel's own reading.
    ///
    /// # Errors
    /// `Error::OutOfRange` for an integer beyond 2^53 read as a double; whatever reading or the sink says.
    pub fn execute(&self, params: &[ScalarValue], sink: &mut impl RowSink) -> Result<PointAnswer, Error> {
        self.inner.execute(params, sink)
    }

    /// The rows as a batch; None where there are too many.
    pub(crate) fn collect(&self, params: &[ScalarValue]) -> Result<Option<Rows>, Error> {
        let mut gathered = Gathered::new(&self.schema)?;
        if self.execute(params, &mut gathered)? == PointAnswer::TooLong {
            return Ok(None);
        }
        self.rows(gathered).map(Some)
    }

    pub(super) fn rows(&self, gathered: Gathered) -> Result<Rows, Error> {
        let batch = gathered.finish(&self.schema)?;
        // As from a plan: where there are no rows, no batch comes.
        let batches = futures::stream::iter((batch.num_rows() > 0).then_some(Ok(batch))).boxed();
        Ok(Rows { schema: Arc::clone(&self.schema), batches, command: "SELECT" })
    }
}

impl Plan {
    fn execute(&self, params: &[ScalarValue], sink: &mut impl RowSink) -> Result<PointAnswer, Error> {
        let Some(kernel) = &self.engine.local else { return Ok(PointAnswer::TooLong) };
        let bound = self.bound()?;
        let rights = bound.as_deref();
        match &self.question {
            Question::Latest(tag) => {
                let Some((name, tag, kind)) = self.tag(tag, params, rights)? else { return Ok(PointAnswer::Done(0)) };
                let Some(reading) = kernel.latest(tag)? else { return Ok(PointAnswer::Done(0)) };
                self.reading(name, kind, &reading, sink)
            }
            Question::LatestMany(tags) => {
                let Some(names) = names(tags, params)? else { return Ok(PointAnswer::Done(0)) };
                let many = Many::of(&self.engine, rights, self.table, names);
                self.many(&kernel.latest_many(&many.tags)?, &many, sink)
            }
            Question::ValuesAt { tags, times } => {
                let pairs = Pairs::of(&self.engine, rights, array(tags, params)?, array(times, params)?)?;
                let Some(pairs) = pairs else { return Ok(PointAnswer::Done(0)) };
                self.answers(&kernel.snapshot().values_at(&pairs.questions)?, &pairs, sink)
            }
            Question::Range(range) => self.range(kernel, range, params, rights, sink),
            // These may look at any number of samples: that is done aside.
            Question::Totals(_) => Ok(PointAnswer::TooLong),
        }
    }

    /// What the session may do, where that is not everything: looked up anew for each execution.
    ///
    /// # Errors
    /// `Error::Forbidden` where nothing of the table may be read, `Error::InvalidRole`.
    pub(super) fn bound(&self) -> Result<Option<Arc<Rights>>, Error> {
        if self.access.is_unbound() {
            return Ok(None);
        }
        let rights = self.access.rights();
        rights.alive()?;
        let admit = |table: &str| rights.admit(table, Privileges::SELECT);
        match admit(self.table.full_name()) {
            Err(error) if self.table == Table::ValuesAt => admit("public.events").map_err(|_| error),
            admitted => admitted,
        }?;
        Ok(Some(rights))
    }

    /// The tag that an operand names, where it is there, of the table's kinds, and may be read.
    pub(super) fn tag<'a>(
        &'a self,
        operand: &'a Operand<String>,
        params: &'a [ScalarValue],
        rights: Option<&Rights>,
    ) -> Result<Option<(&'a str, TagId, Kind)>, Error> {
        let Some(name) = text(operand, params)? else { return Ok(None) };
        let Some(tag) = self.engine.catalog.find(name) else { return Ok(None) };
        if let Some(rights) = rights
            && !rights.has_tag(&self.engine.catalog, self.table.full_name(), Privileges::SELECT, tag, name)
        {
            return Ok(None);
        }
        let kind = self.engine.catalog.kind(tag).filter(|kind| self.table.holds(*kind));
        Ok(kind.map(|kind| (name, tag, kind)))
    }

    /// The range that a question's bounds leave.
    pub(super) fn within(&self, lows: &[Bound], highs: &[Bound], params: &[ScalarValue]) -> Result<Option<TimeRange>, Error> {
        range(lows, highs, params, || self.engine.settings.clock.wall_us())
    }

    pub(super) fn reading(
        &self,
        tag: &str,
        kind: Kind,
        reading: &Reading,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        let (bits, text) = match &reading.value {
            Datum::Bits(bits) => (*bits, None),
            Datum::Text(text) => (0, Some(as_text(text)?)),
        };
        let found = Found { tag, at: 0, time: Some(reading.time.0), kind, bits, text, quality: reading.quality.0 };
        self.emit(&found, self.now_us(), sink)?;
        Ok(PointAnswer::Done(1))
    }

    fn now_us(&self) -> i64 {
        if self.columns.contains(&Column::Age) { self.engine.settings.clock.wall_us() } else { 0 }
    }

    pub(super) fn emit(&self, found: &Found<'_>, now_us: i64, sink: &mut impl RowSink) -> Result<(), Error> {
        let cell = |column: &Column| -> Result<Cell<'_>, Error> {
            let Some(time) = found.time else {
                return Ok(match column {
                    Column::Tag => Cell::Text(found.tag),
                    Column::At => Cell::Time(found.at),
                    _ => Cell::Null,
                });
            };
            Ok(match column {
                Column::Tag => Cell::Text(found.tag),
                Column::At => Cell::Time(found.at),
                Column::Time => Cell::Time(time),
                Column::Value if found.kind.is_text() => Cell::Null,
                Column::Value if self.table == Table::Integers => Cell::Integer(found.bits as i64),
                Column::Value => Cell::Double(one_nan(value::double(found.kind, found.bits)?)),
                Column::Text => found.text.map_or(Cell::Null, Cell::Text),
                Column::Quality => Cell::Small(i16::from(found.quality)),
                Column::Age => Cell::Span(now_us.saturating_sub(time)),
            })
        };
        if self.columns.len() <= CELLS_MAX {
            let mut cells = [Cell::Null; CELLS_MAX];
            for (slot, column) in cells.iter_mut().zip(&self.columns) {
                *slot = cell(column)?;
            }
            return sink.row(&cells[..self.columns.len()]);
        }
        let cells = self.columns.iter().map(cell).collect::<Result<Vec<_>, _>>()?;
        sink.row(&cells)
    }

    /// The rows of `latest`.
    pub(super) fn many(
        &self,
        columns: &kernel::ReadingColumns,
        many: &Many,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        let now_us = self.now_us();
        let mut rows = 0;
        let mut texts = columns.texts.iter().peekable();
        for (row, tag) in many.tags.iter().enumerate() {
            let text = texts.next_if(|(at, _)| *at as usize == row).map(|(_, text)| as_text(text)).transpose()?;
            if !columns.found[row] {
                continue;
            }
            let kind = self.engine.catalog.kind(*tag).unwrap_or(Kind::F64);
            let time = Some(columns.times[row].0);
            let (tag, quality) = (many.name(row), columns.qualities[row]);
            let found = Found { tag, at: 0, time, kind, bits: columns.bits[row], text, quality };
            self.emit(&found, now_us, sink)?;
            rows += 1;
        }
        Ok(PointAnswer::Done(rows))
    }

    /// The rows of `values_at`.
    pub(super) fn answers(
        &self,
        columns: &kernel::ReadingColumns,
        pairs: &Pairs,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        let mut texts = columns.texts.iter().peekable();
        for row in 0..pairs.rows() {
            let (name, at) = pairs.shown(row);
            let mut answer = Found { tag: name, at, time: None, kind: Kind::F64, bits: 0, text: None, quality: 0 };
            if let Some(index) = pairs.places[row].filter(|index| columns.found[*index]) {
                answer.time = Some(columns.times[index].0);
                answer.kind = self.engine.catalog.kind(pairs.questions[index].0).unwrap_or(Kind::F64);
                answer.bits = columns.bits[index];
                answer.quality = columns.qualities[index];
                while texts.peek().is_some_and(|(at, _)| (*at as usize) < index) {
                    texts.next();
                }
                if let Some((_, text)) = texts.peek().filter(|(at, _)| *at as usize == index) {
                    answer.text = Some(as_text(text)?);
                }
            }
            self.emit(&answer, 0, sink)?;
        }
        Ok(PointAnswer::Done(pairs.rows() as u64))
    }

    pub(super) fn wants(&self, column: Column) -> bool {
        self.columns.contains(&column)
    }
}

/// A double with the one NaN that all have in the end.
pub(super) fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

pub(crate) fn as_text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| raise(Error::Damaged, format!("a stored text is not UTF-8: {error}")))
}

/// The rows of `values_at`, for a plan: as a snapshot has them.
pub(crate) fn value_rows(
    engine: &Arc<Engine>,
    (access, rights): (&Arc<Access>, &Rights),
    snapshot: &Snapshot,
    tags: ArrayRef,
    times: &ArrayRef,
    zone: Zone,
) -> Result<RecordBatch, Error> {
    let pairs = Pairs::of(engine, Some(rights), Some(tags), Some(moments(times, zone)?))?.unwrap_or_default();
    shown_pairs(engine, access, &snapshot.values_at(&pairs.questions)?, &pairs)
}

/// The rows of `values_at` with all its columns.
pub(super) fn shown_pairs(
    engine: &Arc<Engine>,
    access: &Arc<Access>,
    columns: &kernel::ReadingColumns,
    pairs: &Pairs,
) -> Result<RecordBatch, Error> {
    let schema = Arc::clone(&schema::VALUES_AT);
    let shown = schema.fields().iter().filter_map(|field| Column::of(field.name())).collect();
    let nothing = || Operand::Value(ScalarValue::Null);
    let question = Question::ValuesAt { tags: nothing(), times: nothing() };
    let plan = Plan { engine: Arc::clone(engine), access: Arc::clone(access), table: Table::ValuesAt, columns: shown, question };
    let mut gathered = Gathered::new(&schema)?;
    plan.answers(columns, pairs, &mut gathered)?;
    gathered.finish(&schema)
}
