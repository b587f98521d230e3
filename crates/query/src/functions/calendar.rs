//! `date_trunc(field, time [, zone])` and `date_part(field, time)` (which EXTRACT means), by the session's
//! clocks, as PostgreSQL computes them, exactly for all of i64 microseconds.

use super::spans::parts_of_span;
use super::typed::Typed;
use super::zones::is_moment;
use crate::error::{Error, raise};
use crate::schema::{local_type, span_type, time_type};
use crate::time::{Zone, civil, days_of};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// A field of a date or a time of day, by any of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    IsoYear,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Epoch,
    Julian,
    Zone,
    ZoneHour,
    ZoneMinute,
}

impl Field {
    pub(super) fn named(name: &str) -> std::result::Result<Field, Error> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Field::Microsecond,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Field::Millisecond,
            "second" | "seconds" | "s" | "sec" | "secs" => Field::Second,
            "minute" | "minutes" | "m" | "min" | "mins" => Field::Minute,
            "hour" | "hours" | "h" | "hr" | "hrs" => Field::Hour,
            "day" | "days" | "d" => Field::Day,
            "week" | "weeks" | "w" => Field::Week,
            "month" | "months" | "mon" | "mons" => Field::Month,
            "quarter" | "qtr" => Field::Quarter,
            "year" | "years" | "y" | "yr" | "yrs" => Field::Year,
            "decade" | "decades" | "dec" | "decs" => Field::Decade,
            "century" | "centuries" | "c" | "cent" => Field::Century,
            "millennium" | "millennia" | "mil" | "mils" => Field::Millennium,
            "isoyear" => Field::IsoYear,
            "dow" => Field::DayOfWeek,
            "isodow" => Field::IsoDayOfWeek,
            "doy" => Field::DayOfYear,
            "epoch" => Field::Epoch,
            "julian" => Field::Julian,
            "timezone" => Field::Zone,
            "timezone_hour" | "timezone_h" => Field::ZoneHour,
            "timezone_minute" | "timezone_m" => Field::ZoneMinute,
            _ => {
                let shown: String = name.chars().take(64).collect();
                return Err(raise(Error::InvalidParameter, format!("unit \"{shown}\" not recognized")));
            }
        })
    }
}

fn not_supported(field: Field, of: &str) -> Error {
    raise(Error::Unsupported, format!("unit \"{field:?}\" is not supported for {of}").to_lowercase())
}

/// The first day of the ISO year in which a day lies, and the ISO year.
fn iso_year(day: i64) -> (i64, i64) {
    // The week that holds a Thursday of a year is of that year; 1970-01-01 was one.
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, ..) = civil(thursday);
    let fourth = days_of(year, 1, 4);
    (fourth - (fourth + 3).rem_euclid(7), year)
}

/// ISO week and ISO year of a day.
pub(super) fn iso_week(day: i64) -> (i64, i64) {
    let (first, year) = iso_year(day);
    ((day - first) / 7 + 1, year)
}

/// The first year of the decade, century or millennium of a year (0 = 1 BC), as PostgreSQL counts them.
fn first_year(field: Field, year: i64) -> i64 {
    match field {
        Field::Decade => year.div_euclid(10) * 10,
        Field::Century => (year - 1).div_euclid(100) * 100 + 1,
        Field::Millennium => (year - 1).div_euclid(1000) * 1000 + 1,
        _ => year,
    }
}

/// The beginning of the field in which a clock's time lies.
fn truncated(field: Field, local_us: i64) -> std::result::Result<i128, Error> {
    let (day, of_day) = (local_us.div_euclid(DAY_US), local_us.rem_euclid(DAY_US));
    let (year, month, _) = civil(day);
    let month = i64::from(month);
    let first = match field {
        Field::Microsecond => return Ok(local_us.into()),
        Field::Millisecond => return Ok(i128::from(local_us - of_day.rem_euclid(1000))),
        Field::Second => return Ok(i128::from(local_us) - i128::from(of_day.rem_euclid(SECOND_US))),
        Field::Minute => return Ok(i128::from(local_us) - i128::from(of_day.rem_euclid(60 * SECOND_US))),
        Field::Hour => return Ok(i128::from(local_us) - i128::from(of_day.rem_euclid(3600 * SECOND_US))),
        Field::Day => day,
        Field::Week => day - (day + 3).rem_euclid(7),
        Field::Month => days_of(year, month, 1),
        Field::Quarter => days_of(year, (month - 1) / 3 * 3 + 1, 1),
        Field::Year | Field::Decade | Field::Century | Field::Millennium => days_of(first_year(field, year), 1, 1),
        other => return Err(not_supported(other, "date_trunc")),
    };
    Ok(i128::from(first) * i128::from(DAY_US))
}

/// `date_trunc` of one time; what a moment has of a zone counts for days and longer.
fn trunc(field: Field, us: i64, zone: Option<Zone>) -> std::result::Result<i64, Error> {
    if us == i64::MIN || us == i64::MAX {
        return Ok(us);
    }
    let local = zone.map_or(us, |zone| zone.local(us));
    let begin = truncated(field, local)?;
    let clipped = begin.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let short = matches!(field, Field::Microsecond | Field::Millisecond | Field::Second | Field::Minute | Field::Hour);
    // Within an hour the clock is not set, so that what is cut off is the same by any clock.
    Ok(match zone {
        Some(_) if short => us - (local - clipped),
        Some(zone) => zone.moment(clipped),
        None => clipped,
    })
}

/// `date_trunc` of an interval: what is smaller than the field is 0.
fn trunc_span(field: Field, span: IntervalMonthDayNano) -> std::result::Result<IntervalMonthDayNano, Error> {
    let months = |unit: i32| Ok(IntervalMonthDayNano::new(span.months / unit * unit, 0, 0));
    let time = |unit_us: i64| {
        let unit = unit_us * 1000;
        Ok(IntervalMonthDayNano::new(span.months, span.days, span.nanoseconds / unit * unit))
    };
    match field {
        Field::Millennium => months(12_000),
        Field::Century => months(1200),
        Field::Decade => months(120),
        Field::Year => months(12),
        Field::Quarter => months(3),
        Field::Month => months(1),
        Field::Day => Ok(IntervalMonthDayNano::new(span.months, span.days, 0)),
        Field::Hour => time(3600 * SECOND_US),
        Field::Minute => time(60 * SECOND_US),
        Field::Second => time(SECOND_US),
        Field::Millisecond => time(1000),
        Field::Microsecond => time(1),
        other => Err(not_supported(other, "type interval")),
    }
}

fn trunc_spans(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (fields, spans) = (args[0].as_string::<i32>(), args[1].as_primitive::<IntervalMonthDayNanoType>());
    let one = |(field, span): (Option<&str>, Option<IntervalMonthDayNano>)| match (field, span) {
        (Some(field), Some(span)) => trunc_span(Field::named(field)?, span).map(Some),
        _ => Ok(None),
    };
    let out: IntervalMonthDayNanoArray = fields.iter().zip(spans.iter()).map(one).collect::<std::result::Result<_, Error>>()?;
    Ok(Arc::new(out))
}

fn trunc_all(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    if matches!(args[1].data_type(), DataType::Interval(_)) {
        return trunc_spans(args);
    }
    let (fields, times) = (args[0].as_string::<i32>(), args[1].as_primitive::<TimestampMicrosecondType>());
    let moments = is_moment(args[1].data_type());
    let named = args.get(2).map(|zones| zones.as_string::<i32>());
    let mut known: Option<(&str, Field)> = None;
    let mut out = TimestampMicrosecondArray::builder(times.len());
    for row in 0..times.len() {
        if fields.is_null(row) || times.is_null(row) || named.is_some_and(|zones| zones.is_null(row)) {
            out.append_null();
            continue;
        }
        let field = match known {
            Some((last, field)) if last == fields.value(row) => field,
            _ => Field::named(fields.value(row))?,
        };
        known = Some((fields.value(row), field));
        let zone = match named {
            Some(zones) => Zone::parse(zones.value(row))?,
            None => zone,
        };
        out.append_value(trunc(field, times.value(row), moments.then_some(zone))?);
    }
    let out = out.finish();
    Ok(if moments { Arc::new(out.with_timezone("UTC")) } else { Arc::new(out) })
}

/// A field of a clock's time; `offset` are the clock's seconds east of UTC, where it has a zone.
pub(super) fn part(field: Field, local_us: i64, offset: Option<i64>) -> std::result::Result<f64, Error> {
    let (day, of_day) = (local_us.div_euclid(DAY_US), local_us.rem_euclid(DAY_US));
    let (year, month, day_of_month) = civil(day);
    let month = i64::from(month);
    let of_minute = of_day % (60 * SECOND_US);
    let whole = match field {
        Field::Microsecond => of_minute,
        Field::Millisecond => return Ok(of_minute as f64 / 1000.0),
        Field::Second => return Ok(of_minute as f64 / SECOND_US as f64),
        Field::Minute => of_day / (60 * SECOND_US) % 60,
        Field::Hour => of_day / (3600 * SECOND_US),
        Field::Day => day_of_month.into(),
        Field::Week => iso_week(day).0,
        Field::Month => month,
        Field::Quarter => (month - 1) / 3 + 1,
        Field::Year => before_christ(year),
        Field::Decade => year.div_euclid(10),
        Field::Century => numbered(year, 100),
        Field::Millennium => numbered(year, 1000),
        Field::IsoYear => before_christ(iso_week(day).1),
        Field::DayOfWeek => (day + 4).rem_euclid(7),
        Field::IsoDayOfWeek => (day + 3).rem_euclid(7) + 1,
        Field::DayOfYear => day - days_of(year, 1, 1) + 1,
        Field::Epoch => return Ok((local_us - offset.unwrap_or(0) * SECOND_US) as f64 / SECOND_US as f64),
        Field::Julian => return Ok((day + 2_440_588) as f64 + of_day as f64 / DAY_US as f64),
        Field::Zone | Field::ZoneHour | Field::ZoneMinute => {
            let offset = offset.ok_or_else(|| not_supported(field, "type timestamp without time zone"))?;
            match field {
                Field::Zone => offset,
                Field::ZoneHour => offset / 3600,
                _ => offset / 60 % 60,
            }
        }
    };
    Ok(whole as f64)
}

/// There is no year 0.
fn before_christ(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// The number of the century or millennium of a year; there is none of number 0.
fn numbered(year: i64, length: i64) -> i64 {
    let number = (year - 1).div_euclid(length) + 1;
    if number > 0 { number } else { number - 1 }
}

fn part_all(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let (fields, of) = (args[0].as_string::<i32>(), &args[1]);
    let mut out = Float64Array::builder(of.len());
    for row in 0..of.len() {
        if fields.is_null(row) || of.is_null(row) {
            out.append_null();
            continue;
        }
        let field = Field::named(fields.value(row))?;
        out.append_value(match of.data_type() {
            DataType::Interval(_) => parts_of_span(field, of.as_primitive::<IntervalMonthDayNanoType>().value(row))
                .ok_or_else(|| not_supported(field, "type interval"))?,
            kind => {
                let us = of.as_primitive::<TimestampMicrosecondType>().value(row);
                let local = if is_moment(kind) { zone.local(us) } else { us };
                part(field, local, is_moment(kind).then(|| local.saturating_sub(us) / SECOND_US))?
            }
        });
    }
    Ok(Arc::new(out.finish()))
}

/// What a time is taken as: `timestamptz` unless it is `timestamp`.
fn time_like(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Timestamp(_, None) => Some(local_type()),
        DataType::Timestamp(_, Some(_)) | DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
            Some(time_type())
        }
        _ => None,
    }
}

/// `date_part`, for EXTRACT too.
pub(super) static DATE_PART: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Typed {
        name: "date_part",
        aliases: &["datepart"],
        takes: |given| {
            let [_, of] = given else { return None };
            let of = match of {
                DataType::Date32 | DataType::Date64 => local_type(),
                DataType::Interval(_) | DataType::Duration(_) => span_type(),
                other => time_like(other)?,
            };
            Some(vec![DataType::Utf8, of])
        },
        gives: |_| DataType::Float64,
        body: part_all,
    }
    .udf()
});

pub(super) fn all() -> Vec<ScalarUDF> {
    let date_trunc = Typed {
        name: "date_trunc",
        aliases: &["datetrunc"],
        takes: |given| {
            let of = match given.get(1)? {
                DataType::Date32 | DataType::Date64 => time_type(),
                DataType::Interval(_) => span_type(),
                other => time_like(other)?,
            };
            match given.len() {
                2 => Some(vec![DataType::Utf8, of]),
                3 if is_moment(&of) => Some(vec![DataType::Utf8, of, DataType::Utf8]),
                _ => None,
            }
        },
        gives: |given| given[1].clone(),
        body: trunc_all,
    };
    vec![date_trunc.udf().as_ref().clone(), DATE_PART.as_ref().clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse;

    fn at(text: &str) -> i64 {
        parse(text, Zone::Utc).unwrap()
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn times_are_truncated_as_postgresql_does() {
        let rows = [
            ("century", "2000-05-05", "1901-01-01"),
            ("decade", "0044-03-15 BC", "0051-01-01 BC"),
            ("millennium", "2001-05-05", "2001-01-01"),
            ("century", "0044-03-15 BC", "0100-01-01 BC"),
            ("week", "2024-03-10 23:59:59", "2024-03-04"),
            ("quarter", "1969-12-31 23:59:59.999999", "1969-10-01"),
            ("hour", "1969-12-31 23:59:59.999999", "1969-12-31 23:00:00"),
            ("milliseconds", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999"),
        ];
        for (field, time, expect) in rows {
            assert_eq!(trunc(Field::named(field).unwrap(), at(time), None).unwrap(), at(expect), "{field} {time}");
        }
        let york = Zone::parse("America/New_York").unwrap();
        let day = Field::named("day").unwrap();
        assert_eq!(trunc(day, at("2024-03-10 16:00:00"), Some(york)).unwrap(), at("2024-03-10 05:00:00"));
        assert_eq!(trunc(day, at("2024-03-11 16:00:00"), Some(york)).unwrap(), at("2024-03-11 04:00:00"));
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn parts_are_what_postgresql_says() {
        let rows = [
            ("second", "2024-01-01 00:00:01.5", 1.5),
            ("century", "2000-01-01", 20.0),
            ("year", "0044-03-15 BC", -44.0),
            ("decade", "0044-03-15 BC", -5.0),
            ("century", "0044-03-15 BC", -1.0),
            ("millennium", "0044-03-15 BC", -1.0),
            ("isoyear", "2024-12-30", 2025.0),
            ("week", "2024-12-30", 1.0),
            ("julian", "2024-01-01 12:00:00", 2_460_311.5),
            ("dow", "2024-03-10", 0.0),
            ("isodow", "2024-03-10", 7.0),
            ("doy", "2024-12-31", 366.0),
            ("epoch", "1970-01-02 00:00:00.25", 86_400.25),
            ("milliseconds", "2024-01-02 03:04:05.5", 5500.0),
        ];
        for (field, time, expect) in rows {
            assert_eq!(part(Field::named(field).unwrap(), at(time), None).unwrap(), expect, "{field} {time}");
        }
        assert!(Field::named("fortnight").is_err());
    }
}
