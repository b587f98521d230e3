//! Intervals made, counted in years and months, and brought into their usual form: `age`, `make_interval`, `justify_days`,
//! `justify_hours`, `justify_interval`; times made of numbers, and which of them are finite. As PostgreSQL computes them.

use super::typed::Typed;
use super::zones::is_moment;
use crate::error::{Error, raise};
use crate::schema::{local_type, span_type, time_type};
use crate::time::{Zone, civil, days_of};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
const DAY_NS: i64 = DAY_US * 1000;

fn too_far() -> Error {
    raise(Error::TimeOverflow, "interval out of range")
}

fn length_of_month(year: i64, month: i64) -> i64 {
    days_of(year + month / 12, month % 12 + 1, 1) - days_of(year, month, 1)
}

/// Years, months, days and time from one clock's time to another's, borrowing from the earlier one's month.
fn age(later_us: i64, earlier_us: i64) -> Option<IntervalMonthDayNano> {
    let back = later_us < earlier_us;
    let parts = |us: i64| {
        let (year, month, day) = civil(us.div_euclid(DAY_US));
        (year, i64::from(month), i64::from(day), us.rem_euclid(DAY_US))
    };
    let (from, to) = if back { (later_us, earlier_us) } else { (earlier_us, later_us) };
    let ((year, month, day, time), (to_year, to_month, to_day, to_time)) = (parts(from), parts(to));
    let (mut months, mut days, mut us) = ((to_year - year) * 12 + to_month - month, to_day - day, to_time - time);
    if us < 0 {
        us += DAY_US;
        days -= 1;
    }
    while days < 0 {
        days += length_of_month(year, month);
        months -= 1;
    }
    let sign = if back { -1 } else { 1 };
    let (months, days) = (i32::try_from(months * sign).ok()?, i32::try_from(days * sign).ok()?);
    Some(IntervalMonthDayNano::new(months, days, us * 1000 * sign))
}

fn age_all(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let (later, earlier) =
        (args[0].as_primitive::<TimestampMicrosecondType>(), args[1].as_primitive::<TimestampMicrosecondType>());
    let local = |us: i64| if is_moment(args[0].data_type()) { zone.local(us) } else { us };
    let one = |pair: (Option<i64>, Option<i64>)| match pair {
        (Some(later), Some(earlier)) => age(local(later), local(earlier)).map(Some).ok_or_else(too_far),
        _ => Ok(None),
    };
    let out: IntervalMonthDayNanoArray = later.iter().zip(earlier.iter()).map(one).collect::<std::result::Result<_, Error>>()?;
    Ok(Arc::new(out))
}

type Justified = fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>;

fn carried(large: i64, small: i64, unit: i64) -> (i64, i64) {
    let (large, small) = (large + small / unit, small % unit);
    match (large.signum(), small.signum()) {
        (1, -1) => (large - 1, small + unit),
        (-1, 1) => (large + 1, small - unit),
        _ => (large, small),
    }
}

fn interval(months: i64, days: i64, nanoseconds: i64) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(i32::try_from(months).ok()?, i32::try_from(days).ok()?, nanoseconds))
}

fn justify_hours(span: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (days, nanoseconds) = carried(span.days.into(), span.nanoseconds, DAY_NS);
    interval(span.months.into(), days, nanoseconds)
}

fn justify_days(span: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (months, days) = carried(span.months.into(), span.days.into(), 30);
    interval(months, days, span.nanoseconds)
}

fn justify_interval(span: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (mut days, mut nanoseconds) = (i64::from(span.days) + span.nanoseconds / DAY_NS, span.nanoseconds % DAY_NS);
    let mut months = i64::from(span.months) + days / 30;
    days %= 30;
    if months > 0 && (days < 0 || (days == 0 && nanoseconds < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && nanoseconds > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if days > 0 && nanoseconds < 0 {
        (days, nanoseconds) = (days - 1, nanoseconds + DAY_NS);
    } else if days < 0 && nanoseconds > 0 {
        (days, nanoseconds) = (days + 1, nanoseconds - DAY_NS);
    }
    interval(months, days, nanoseconds)
}

fn justified(args: &[ArrayRef], justify: Justified) -> Result<ArrayRef> {
    let spans = args[0].as_primitive::<IntervalMonthDayNanoType>();
    let one = |span: Option<IntervalMonthDayNano>| span.map(|span| justify(span).ok_or_else(too_far)).transpose();
    let out: IntervalMonthDayNanoArray = spans.iter().map(one).collect::<std::result::Result<_, Error>>()?;
    Ok(Arc::new(out))
}

fn is_null(args: &[ArrayRef], row: usize) -> bool {
    args.iter().any(|arg| arg.is_null(row))
}

/// Years, months, weeks, days, hours, minutes, seconds; those that are not given are 0.
fn make_interval(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let one = |row: usize| -> std::result::Result<Option<IntervalMonthDayNano>, Error> {
        if is_null(args, row) {
            return Ok(None);
        }
        let whole = |at: usize| args.get(at).map_or(0, |arg| arg.as_primitive::<Int64Type>().value(row));
        let seconds = args.get(6).map_or(0.0, |arg| arg.as_primitive::<Float64Type>().value(row));
        let fits = [0, 1, 2, 3, 4, 5].iter().all(|at| i32::try_from(whole(*at)).is_ok()) && seconds.abs() < 9e9;
        if !fits {
            return Err(too_far());
        }
        let us = (whole(4) * 3600 + whole(5) * 60) * SECOND_US + (seconds * 1e6).round_ties_even() as i64;
        let nanoseconds = us.checked_mul(1000).ok_or_else(too_far)?;
        interval(whole(0) * 12 + whole(1), whole(2) * 7 + whole(3), nanoseconds).map(Some).ok_or_else(too_far)
    };
    let rows = args.first().map_or(1, |arg| arg.len());
    let out: IntervalMonthDayNanoArray = (0..rows).map(one).collect::<std::result::Result<_, Error>>()?;
    Ok(Arc::new(out))
}

/// What a clock shows at year, month, day, hour, minute and second.
fn made(args: &[ArrayRef], row: usize) -> std::result::Result<i64, Error> {
    let whole = |at: usize| args[at].as_primitive::<Int64Type>().value(row);
    let (year, month, day, hour, minute) = (whole(0), whole(1), whole(2), whole(3), whole(4));
    let seconds = args[5].as_primitive::<Float64Type>().value(row);
    let wrong = || {
        let shown = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{seconds}");
        raise(Error::TimeOverflow, format!("date/time field value out of range: {shown}"))
    };
    // There is no year 0: -1 is 1 BC.
    let counted = if year < 0 { year + 1 } else { year };
    let date =
        year != 0 && year.abs() < 300_000 && (1..=12).contains(&month) && (1..=length_of_month(counted, month)).contains(&day);
    let clock = (0..=23).contains(&hour) && (0..=59).contains(&minute) && (0.0..=60.0).contains(&seconds);
    if !date || !(clock || (hour == 24 && minute == 0 && seconds == 0.0)) {
        return Err(wrong());
    }
    let of_day = (hour * 3600 + minute * 60) * SECOND_US + (seconds * 1e6).round_ties_even() as i64;
    days_of(counted, month, day).checked_mul(DAY_US).and_then(|us| us.checked_add(of_day)).ok_or_else(wrong)
}

fn make_all(
    args: &[ArrayRef],
    moment: impl Fn(i64, usize) -> std::result::Result<i64, Error>,
) -> Result<TimestampMicrosecondArray> {
    let one = |row: usize| if is_null(args, row) { Ok(None) } else { moment(made(args, row)?, row).map(Some) };
    Ok((0..args[0].len()).map(one).collect::<std::result::Result<_, Error>>()?)
}

fn make_timestamp(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    Ok(Arc::new(make_all(args, |local, _| Ok(local))?))
}

fn make_timestamptz(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let named = args.get(6).map(|zones| zones.as_string::<i32>());
    let moment = |local: i64, row: usize| {
        let zone = named.map_or(Ok(zone), |zones| Zone::parse(zones.value(row)))?;
        Ok(zone.moment(local))
    };
    Ok(Arc::new(make_all(args, moment)?.with_timezone("UTC")))
}

fn is_finite(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let of = &args[0];
    let one = |row: usize| {
        let infinite = matches!(of.data_type(), DataType::Timestamp(..))
            && [i64::MIN, i64::MAX].contains(&of.as_primitive::<TimestampMicrosecondType>().value(row));
        of.is_valid(row).then_some(!infinite)
    };
    Ok(Arc::new((0..of.len()).map(one).collect::<BooleanArray>()))
}

/// Two times of one kind.
fn two_times(given: &[DataType]) -> Option<Vec<DataType>> {
    let kind = if given.iter().any(|kind| is_moment(kind) || *kind == DataType::Utf8) { time_type() } else { local_type() };
    (given.len() == 2).then(|| vec![kind.clone(), kind])
}

fn numbers(given: usize, whole: usize) -> Vec<DataType> {
    (0..given).map(|at| if at < whole { DataType::Int64 } else { DataType::Float64 }).collect()
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let one_span = |given: &[DataType]| (given.len() == 1).then(|| vec![span_type()]);
    let justify = |name, body| Typed { name, aliases: &[], takes: one_span, gives: |_| span_type(), body };
    let six = |given: &[DataType]| match given.len() {
        6 => Some(numbers(6, 5)),
        _ => None,
    };
    let six_and_zone = |given: &[DataType]| match given.len() {
        6 => Some(numbers(6, 5)),
        7 => Some([numbers(6, 5), vec![DataType::Utf8]].concat()),
        _ => None,
    };
    let up_to_seven = |given: &[DataType]| (1..=7).contains(&given.len()).then(|| numbers(given.len(), 6));
    let finite = |given: &[DataType]| match given {
        [DataType::Timestamp(_, Some(_)) | DataType::Utf8] => Some(vec![time_type()]),
        [DataType::Timestamp(_, None)] => Some(vec![local_type()]),
        [kind @ (DataType::Date32 | DataType::Interval(_))] => Some(vec![kind.clone()]),
        _ => None,
    };
    let all = [
        Typed { name: "age", aliases: &[], takes: two_times, gives: |_| span_type(), body: age_all },
        justify("justify_hours", |args, _| justified(args, justify_hours)),
        justify("justify_days", |args, _| justified(args, justify_days)),
        justify("justify_interval", |args, _| justified(args, justify_interval)),
        Typed { name: "make_interval", aliases: &[], takes: up_to_seven, gives: |_| span_type(), body: make_interval },
        Typed { name: "make_timestamp", aliases: &[], takes: six, gives: |_| local_type(), body: make_timestamp },
        Typed { name: "make_timestamptz", aliases: &[], takes: six_and_zone, gives: |_| time_type(), body: make_timestamptz },
        Typed { name: "isfinite", aliases: &[], takes: finite, gives: |_| DataType::Boolean, body: is_finite },
    ];
    all.into_iter().map(|function| function.udf().as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse;

    fn span(months: i32, days: i32, seconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, seconds * 1_000_000_000)
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn ages() {
        let at = |text: &str| parse(text, Zone::Utc).unwrap();
        let rows = [
            ("2024-03-01", "2023-01-31", span(13, 1, 0)),
            ("2023-01-31", "2024-03-01", span(-13, -1, 0)),
            ("2024-03-01 10:00", "2025-01-31", span(-10, -29, -50_400)),
            ("2001-04-10", "1957-06-13", span(43 * 12 + 9, 27, 0)),
            ("2024-02-29", "2023-02-28", span(12, 1, 0)),
        ];
        for (later, earlier, expect) in rows {
            assert_eq!(age(at(later), at(earlier)), Some(expect), "{later} {earlier}");
        }
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn usual_forms() {
        assert_eq!(justify_days(span(0, 35, 0)), Some(span(1, 5, 0)));
        assert_eq!(justify_days(span(1, -1, 0)), Some(span(0, 29, 0)));
        assert_eq!(justify_hours(span(0, 0, 27 * 3600)), Some(span(0, 1, 3 * 3600)));
        assert_eq!(justify_hours(span(0, 1, -3600)), Some(span(0, 0, 23 * 3600)));
        assert_eq!(justify_interval(span(1, 0, -3600)), Some(span(0, 29, 23 * 3600)));
        assert_eq!(justify_interval(span(-1, 61, 3600)), Some(span(1, 1, 3600)));
    }
}
