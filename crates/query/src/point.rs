//! The point path: questions about one tag, or about an array of them, that are recognised when
//! prepared and answered without a plan, without async and without a copy.
//!
//! Recognised (columns in any order, `*` too, aliases too, literals and parameters alike):
//! `SELECT .. FROM latest WHERE tag = T`, `.. WHERE tag = ANY(TT)`;
//! `SELECT .. FROM samples WHERE tag = T AND time <= M ORDER BY time DESC LIMIT n`;
//! `SELECT .. FROM samples WHERE tag = T AND time >= A AND time < B [ORDER BY time [DESC]] [LIMIT n]`
//! with any mix of `=`, `<`, `<=`, `>`, `>=` and BETWEEN; `SELECT .. FROM values_at(TT, MM)`.
//! `integers` and `events` stand where `samples` stands. Everything else goes through a plan, and
//! gives the same rows.

mod far;
mod gathered;
mod operands;
mod recognise;
mod resolved;
mod run;

pub(crate) use far::far_value_rows;
pub(crate) use gathered::span;
pub(crate) use recognise::recognise;
pub use run::PointAnswer;
pub(crate) use run::{as_text, value_rows};

use crate::error::Error;
use arrow::datatypes::SchemaRef;
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
    pub(crate) inner: Arc<run::Plan>,
    pub(crate) schema: SchemaRef,
}

impl PointPlan {
    /// Names and types of the columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}
