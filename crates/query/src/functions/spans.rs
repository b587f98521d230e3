//! Lengths of time: the interval between two moments, adding intervals by the session's clocks, and the
//! order of intervals, as PostgreSQL has them (a day = 24 hours, a month = 30 days, where they are compared).

use super::calendar::Field;
use super::typed::{Typed, call};
use super::zones::is_moment;
use crate::error::{Error, raise};
use crate::point::span;
use crate::schema::{local_type, span_type, time_type};
use crate::time::{Zone, civil, days_of};
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
/// Enough for the nanoseconds of any interval.
const KEY_TYPE: DataType = DataType::Decimal128(38, 0);

static BETWEEN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Typed { name: "time_between", aliases: &[], takes: two_times, gives: |_| span_type(), body: between_all }.udf()
});

static PLUS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| shift("time_plus", |args, zone| shift_all(args, zone, 1)));
static MINUS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| shift("time_minus", |args, zone| shift_all(args, zone, -1)));

static KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let body = |args: &[ArrayRef], _: Zone| -> Result<ArrayRef> {
        let spans = args[0].as_primitive::<IntervalMonthDayNanoType>();
        let keys: Decimal128Array = spans.iter().map(|span| span.map(key)).collect();
        Ok(Arc::new(keys.with_data_type(KEY_TYPE)))
    };
    Typed { name: "interval_key", aliases: &[], takes: |_| Some(vec![span_type()]), gives: |_| KEY_TYPE, body }.udf()
});

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 4] {
    [&BETWEEN, &PLUS, &MINUS, &KEY].map(|function| Arc::clone(function))
}

/// `a - b` of two times.
pub(crate) fn between(a: Expr, b: Expr) -> Expr {
    call(&BETWEEN, vec![a, b])
}

/// `time + span`, or `time - span`, by the session's clocks.
pub(crate) fn moved(time: Expr, span: Expr, back: bool) -> Expr {
    call(if back { &MINUS } else { &PLUS }, vec![time, span])
}

/// What intervals are compared by.
pub(crate) fn interval_key(span: Expr) -> Expr {
    call(&KEY, vec![span])
}

fn two_times(given: &[DataType]) -> Option<Vec<DataType>> {
    let kind = if given.iter().any(is_moment) { time_type() } else { local_type() };
    (given.len() == 2).then(|| vec![kind.clone(), kind])
}

fn shift(name: &'static str, body: fn(&[ArrayRef], Zone) -> Result<ArrayRef>) -> Arc<ScalarUDF> {
    let takes = |given: &[DataType]| {
        let kind = if is_moment(given.first()?) { time_type() } else { local_type() };
        Some(vec![kind, span_type()])
    };
    Typed { name, aliases: &[], takes, gives: |given| given[0].clone(), body }.udf()
}

fn between_all(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let (a, b) = (args[0].as_primitive::<TimestampMicrosecondType>(), args[1].as_primitive::<TimestampMicrosecondType>());
    let mut out = IntervalMonthDayNanoArray::builder(a.len());
    for row in 0..a.len() {
        if a.is_null(row) || b.is_null(row) {
            out.append_null();
            continue;
        }
        let us = a.value(row).checked_sub(b.value(row)).ok_or_else(|| raise(Error::TimeOverflow, "interval out of range"))?;
        out.append_value(span(us));
    }
    Ok(Arc::new(out.finish()))
}

/// A clock's time some months and days later; a day that the month has not is its last.
fn local_plus(local_us: i64, months: i64, days: i64) -> i128 {
    let (day, of_day) = (local_us.div_euclid(DAY_US), local_us.rem_euclid(DAY_US));
    let (year, month, of_month) = civil(day);
    let index = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
    let length = days_of(year + month / 12, month % 12 + 1, 1) - days_of(year, month, 1);
    let day = if months == 0 { day } else { days_of(year, month, i64::from(of_month).min(length)) };
    (i128::from(day) + i128::from(days)) * i128::from(DAY_US) + i128::from(of_day)
}

/// A time moved by an interval (`sign` 1 or -1), along the clocks of a zone; None beyond the ends of time.
pub(crate) fn shift_one(us: i64, span: IntervalMonthDayNano, sign: i64, zone: Option<Zone>) -> Option<i64> {
    if us == i64::MIN || us == i64::MAX {
        return Some(us);
    }
    let (months, days) = (i64::from(span.months) * sign, i64::from(span.days) * sign);
    let moved = if months == 0 && days == 0 {
        us
    } else {
        let local = zone.map_or(us, |zone| zone.local(us));
        let local = i64::try_from(local_plus(local, months, days)).ok()?;
        zone.map_or(local, |zone| zone.moment(local))
    };
    moved.checked_add((span.nanoseconds / 1000).checked_mul(sign)?)
}

fn shift_all(args: &[ArrayRef], zone: Zone, sign: i64) -> Result<ArrayRef> {
    let (times, spans) = (args[0].as_primitive::<TimestampMicrosecondType>(), args[1].as_primitive::<IntervalMonthDayNanoType>());
    let moments = is_moment(args[0].data_type());
    let mut out = TimestampMicrosecondArray::builder(times.len());
    for row in 0..times.len() {
        if times.is_null(row) || spans.is_null(row) {
            out.append_null();
            continue;
        }
        let moved = shift_one(times.value(row), spans.value(row), sign, moments.then_some(zone));
        out.append_value(moved.ok_or_else(|| raise(Error::TimeOverflow, "timestamp out of range"))?);
    }
    let out = out.finish();
    Ok(if moments { Arc::new(out.with_timezone("UTC")) } else { Arc::new(out) })
}

/// Nanoseconds, with days of 24 hours and months of 30 days.
pub(super) fn key(span: IntervalMonthDayNano) -> i128 {
    let days = i128::from(span.months) * 30 + i128::from(span.days);
    days * i128::from(DAY_US) * 1000 + i128::from(span.nanoseconds)
}

/// A field of an interval; None where it has none such.
pub(super) fn parts_of_span(field: Field, span: IntervalMonthDayNano) -> Option<f64> {
    let us = span.nanoseconds / 1000;
    let (years, months) = (i64::from(span.months / 12), i64::from(span.months % 12));
    let of_minute = us % (60 * SECOND_US);
    Some(match field {
        Field::Microsecond => of_minute as f64,
        Field::Millisecond => of_minute as f64 / 1000.0,
        Field::Second => of_minute as f64 / SECOND_US as f64,
        Field::Minute => (us / (60 * SECOND_US) % 60) as f64,
        Field::Hour => (us / (3600 * SECOND_US)) as f64,
        Field::Day => span.days.into(),
        Field::Month => months as f64,
        Field::Quarter => (months / 3 + 1) as f64,
        Field::Year => years as f64,
        Field::Decade => (years / 10) as f64,
        Field::Century => (years / 100) as f64,
        Field::Millennium => (years / 1000) as f64,
        Field::Epoch => {
            let days = years as f64 * 365.25 + (months * 30) as f64 + f64::from(span.days);
            days * 86_400.0 + us as f64 / SECOND_US as f64
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse;

    fn interval(months: i32, days: i32, seconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, seconds * 1_000_000_000)
    }

    /// Answers of PostgreSQL 15 in America/New_York.
    #[test]
    fn intervals_move_along_clocks() {
        let york = Zone::parse("America/New_York").unwrap();
        let rows = [
            ("2024-03-09 12:00", interval(0, 1, 0), 1, "2024-03-10 12:00"),
            ("2024-03-09 12:00", interval(0, 0, 86_400), 1, "2024-03-10 13:00"),
            ("2024-01-31 00:00", interval(1, 0, 0), 1, "2024-02-29 00:00"),
            ("2024-03-31 08:00", interval(1, 0, 3600), -1, "2024-02-29 07:00"),
            ("2024-12-15 08:00", interval(1, 20, 0), 1, "2025-02-04 08:00"),
        ];
        for (time, span, sign, expect) in rows {
            let (time, expect) = (parse(time, york).unwrap(), parse(expect, york).unwrap());
            assert_eq!(shift_one(time, span, sign, Some(york)), Some(expect), "{time} {span:?}");
        }
        assert_eq!(shift_one(i64::MAX - 1, interval(0, 1, 0), 1, None), None);
        assert_eq!(shift_one(i64::MAX, interval(0, 1, 0), -1, None), Some(i64::MAX));
    }

    #[test]
    fn intervals_have_an_order_and_fields() {
        assert!(key(interval(0, 0, 26 * 3600)) > key(interval(0, 1, 0)));
        assert_eq!(key(interval(1, 0, 0)), key(interval(0, 30, 0)));
        let span = interval(14, 3, 4 * 3600 + 5 * 60 + 6);
        assert_eq!(parts_of_span(Field::Epoch, span), Some(37_015_506.0));
        assert_eq!(parts_of_span(Field::Month, span), Some(2.0));
        assert_eq!(parts_of_span(Field::DayOfWeek, span), None);
    }
}
