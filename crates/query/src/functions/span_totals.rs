//! `sum` and `avg` of intervals: months, days and time are added up each by itself, as PostgreSQL does it.

use super::scaled::scaled;
use crate::error::{Error, raise};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use std::sync::Arc;

/// Totals of months, days, nanoseconds, and how many there were.
#[derive(Debug, Default)]
pub(super) struct SpanTotal {
    pub mean: bool,
    totals: [i64; 4],
}

fn too_far() -> Error {
    raise(Error::TimeOverflow, "interval out of range")
}

/// What lies between stages.
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    ["months", "days", "nanoseconds", "count"]
        .map(|part| Arc::new(Field::new(format!("{name}[{part}]"), DataType::Int64, true)))
        .into()
}

impl SpanTotal {
    pub(super) fn of(mean: bool) -> SpanTotal {
        SpanTotal { mean, ..SpanTotal::default() }
    }

    fn add(&mut self, parts: [i64; 4]) -> std::result::Result<(), Error> {
        for (total, part) in self.totals.iter_mut().zip(parts) {
            *total = total.checked_add(part).ok_or_else(too_far)?;
        }
        Ok(())
    }

    fn take(&mut self, values: &ArrayRef, sign: i64) -> Result<()> {
        for span in values.as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            let nanoseconds = span.nanoseconds.checked_mul(sign).ok_or_else(too_far)?;
            self.add([i64::from(span.months) * sign, i64::from(span.days) * sign, nanoseconds, sign])?;
        }
        Ok(())
    }
}

impl Accumulator for SpanTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let part = |at: usize, row: usize| states[at].as_primitive::<Int64Type>().value(row);
        for row in 0..states[0].len() {
            self.add([0, 1, 2, 3].map(|at| part(at, row)))?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [months, days, nanoseconds, count] = self.totals;
        if count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let fits = |total: i64| i32::try_from(total).map_err(|_| too_far());
        let sum = IntervalMonthDayNano::new(fits(months)?, fits(days)?, nanoseconds);
        let out = if self.mean { scaled(sum, |value| value / count as f64).ok_or_else(too_far)? } else { sum };
        Ok(ScalarValue::IntervalMonthDayNano(Some(out)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.totals.iter().map(|total| ScalarValue::Int64(Some(*total))).collect())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}
