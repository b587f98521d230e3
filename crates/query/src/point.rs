//! The point path: questions about one tag, or about some of them, that are recognised when
//! prepared and answered without a plan; few rows without async and without a copy.
//!
//! Recognised (columns in any order, `*` too, aliases too, literals and parameters alike; TAGS is `tag = T`,
//! `tag IN (T, ..)`, `tag = ANY(TT)` or `tag = ANY(ARRAY[T, ..])`):
//! `SELECT .. FROM latest WHERE TAGS`;
//! `SELECT .. FROM samples WHERE TAGS [AND time >= A] [AND time < B] [ORDER BY time [DESC] | tag [, time [DESC]]] [LIMIT n]`
//! with any mix of `=`, `<`, `<=`, `>`, `>=` and BETWEEN, moments written out, `to_timestamp(seconds)` or `now() - INTERVAL ..`;
//! `SELECT .. FROM values_at(TT, MM)`. `integers` and `events` stand where `samples` stands.
//! `SELECT date_bin(W, time), tag, count(*), avg(value), .. FROM samples WHERE .. [GROUP BY ..] [ORDER BY ..] [LIMIT n]` with
//! groups by bin, tag, both or none, and count, sum, avg, min, max, first and last.
//! Everything else goes through a plan, and gives the same rows; so do, when they are run, long answers that need sorting. In a
//! fleet only snapshot values, values at times and the newest sample up to a time are found here.

mod aggregated;
mod far;
mod gathered;
mod operands;
mod question;
mod range;
mod recognise;
mod resolved;
mod run;
mod totals;

pub(crate) use far::far_value_rows;
pub(crate) use gathered::span;
pub(crate) use recognise::recognise;
pub use run::PointAnswer;
pub(crate) use run::{as_text, value_rows};

use crate::error::Error;
use crate::outcome::Rows;
use crate::session::Session;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// SQL's NULL.
    Null,
    /// UTF-8 text (column type Utf8View).
    Text(&'a str),
    /// Microseconds since 1970-01-01 UTC (Timestamp(Microsecond, "UTC")).
    Time(i64),
    /// Float64.
    Double(f64),
    /// Int64.
    Integer(i64),
    /// Int16.
    Small(i16),
    /// A length of time in microseconds (Interval(MonthDayNano)): days first, then the rest of a day.
    Span(i64),
}

/// Takes rows as they are found.
pub trait RowSink {
    /// A row: one cell a column of the plan's schema.
    ///
    /// # Errors
    /// Whatever the taker says; it ends the execution and is handed on.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Error>;
}

/// A statement of the point path, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct PointPlan {
    pub(crate) inner: Arc<question::Plan>,
    pub(crate) schema: SchemaRef,
}

impl PointPlan {
    /// An answer of a lone node's as a stream, where it is too long for `collect`; None where a plan must find it.
    ///
    /// # Errors
    /// As `execute`; where queries' memory has no room for one more reader.
    pub(crate) fn stream(&self, session: &Session, params: &[ScalarValue], sql: &Arc<str>) -> Result<Option<Rows>, Error> {
        match self.inner.question {
            question::Question::Totals(_) => self.stream_totals(session, params, sql),
            question::Question::Range(_) => self.stream_range(session, params, sql),
            _ => Ok(None),
        }
    }

    /// Whether few rows are all that it may look at, so that it may be answered where it is asked.
    pub(crate) fn is_at_once(&self) -> bool {
        !matches!(self.inner.question, question::Question::Totals(_))
    }

    /// Names and types of the columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}
