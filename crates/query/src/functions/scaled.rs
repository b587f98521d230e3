//! Intervals multiplied and divided by numbers, as PostgreSQL does it: what is left of a month becomes days of
//! it (30), what is left of a day becomes time.

use super::typed::{Typed, call};
use crate::error::{Error, raise};
use crate::schema::span_type;
use crate::time::Zone;
use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

const DAY_SECONDS: f64 = 86_400.0;
const MONTH_DAYS: f64 = 30.0;

static TIMES: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("interval_times", |args, _| scaled_all(args, |value, factor| value * factor)));
static OVER: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    function("interval_over", |args, _| {
        let divisors = args[1].as_primitive::<Float64Type>();
        if divisors
            .iter()
            .zip(args[0].as_primitive::<IntervalMonthDayNanoType>())
            .any(|pair| matches!(pair, (Some(0.0), Some(_))))
        {
            return Err(raise(Error::DivisionByZero, "division by zero").into());
        }
        scaled_all(args, |value, divisor| value / divisor)
    })
});

fn function(name: &'static str, body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>) -> Arc<ScalarUDF> {
    let takes = |given: &[DataType]| (given.len() == 2).then(|| vec![span_type(), DataType::Float64]);
    Typed { name, aliases: &[], takes, gives: |_| span_type(), body }.udf()
}

/// `span * factor`.
pub(super) fn times(span: Expr, factor: Expr) -> Expr {
    call(&TIMES, vec![span, factor])
}

/// `span / divisor`; by zero it is an error.
pub(super) fn over(span: Expr, divisor: Expr) -> Expr {
    call(&OVER, vec![span, divisor])
}

fn scaled_all(args: &[ArrayRef], scale: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (spans, factors) = (args[0].as_primitive::<IntervalMonthDayNanoType>(), args[1].as_primitive::<Float64Type>());
    let one = |(span, factor): (Option<IntervalMonthDayNano>, Option<f64>)| {
        let (Some(span), Some(factor)) = (span, factor) else { return Ok(None) };
        scaled(span, |value| scale(value, factor)).map(Some).ok_or_else(|| raise(Error::TimeOverflow, "interval out of range"))
    };
    let out: IntervalMonthDayNanoArray = spans.iter().zip(factors).map(one).collect::<std::result::Result<_, Error>>()?;
    Ok(Arc::new(out))
}

/// What rounding left of whole microseconds.
fn to_micros(seconds: f64) -> f64 {
    (seconds * 1e6).round_ties_even() / 1e6
}

/// The interval whose parts are all scaled; None where they don't fit.
pub(super) fn scaled(span: IntervalMonthDayNano, scale: impl Fn(f64) -> f64) -> Option<IntervalMonthDayNano> {
    let whole = |value: f64| (value.abs() < f64::from(i32::MAX)).then_some(value as i32);
    let (months, days) = (scale(span.months.into()), scale(span.days.into()));
    let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
    let month_days = to_micros((months - f64::from(whole_months)) * MONTH_DAYS);
    let mut seconds = to_micros((days - f64::from(whole_days) + month_days - month_days.trunc()) * DAY_SECONDS);
    if seconds.abs() >= DAY_SECONDS {
        let carried = (seconds / DAY_SECONDS).trunc();
        whole_days = whole_days.checked_add(carried as i32)?;
        seconds -= carried * DAY_SECONDS;
    }
    whole_days = whole_days.checked_add(month_days as i32)?;
    let micros = (scale((span.nanoseconds / 1000) as f64) + seconds * 1e6).round_ties_even();
    // An interval here holds nanoseconds: 292 years of time beside its months and days.
    let fits = micros.abs() < i64::MAX as f64 / 1000.0;
    fits.then(|| IntervalMonthDayNano::new(whole_months, whole_days, micros as i64 * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of PostgreSQL 15.
    #[test]
    fn parts_that_are_left_become_smaller_ones() {
        let span = |months, days, seconds: f64| IntervalMonthDayNano::new(months, days, (seconds * 1e9) as i64);
        let rows = [
            (span(0, 0, 1.0), 90.0, span(0, 0, 90.0)),
            (span(1, 0, 0.0), 0.5, span(0, 15, 0.0)),
            (span(1, 1, 0.0), 1.5, span(1, 16, 43_200.0)),
            (span(0, 1, 0.0), 1.0 / 3.0, span(0, 0, 28_800.0)),
            (span(13, -7, 3600.0), -2.25, span(-29, 8, 13_500.0)),
            (span(0, 0, 1.0), 0.000_000_4, span(0, 0, 0.0)),
        ];
        for (given, factor, expect) in rows {
            assert_eq!(scaled(given, |value| value * factor), Some(expect), "{given:?} * {factor}");
        }
        assert_eq!(scaled(span(1, 0, 0.0), |value| value * 1e10), None);
        assert_eq!(scaled(span(0, 0, 1.0), |value| value * f64::NAN), None);
    }
}
