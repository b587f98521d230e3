//! `date_bin(width, time [, origin])`: the beginning of the bin in which a time lies.
//!
//! Widths are whole microseconds or whole months; the origin is 1970-01-01 UTC unless given. Exact
//! for all of i64; a bin that would begin before the first moment begins there. Of a `timestamp` (what a
//! clock shows) it gives one.

use super::zones::is_moment;
use crate::error::{Error, raise};
use crate::schema::{local_type, span_type, time_type};
use crate::time::{day_of, month_of};
use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateBin {
    signature: Signature,
    aliases: Vec<String>,
}

impl DateBin {
    pub(super) fn new() -> Self {
        DateBin { signature: Signature::user_defined(Volatility::Immutable), aliases: vec!["time_bucket".to_owned()] }
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// How wide bins are.
enum Width {
    Us(i64),
    Months(i32),
}

fn width_of(interval: IntervalMonthDayNano) -> std::result::Result<Width, Error> {
    let invalid = |why: &str| Err(raise(Error::InvalidParameter, format!("date_bin: {why}")));
    if interval.months != 0 {
        return match interval {
            IntervalMonthDayNano { months, days: 0, nanoseconds: 0 } if months > 0 => Ok(Width::Months(months)),
            _ => invalid("a width is either months or a length of time, and more than nothing"),
        };
    }
    if interval.nanoseconds % 1000 != 0 {
        return invalid("a width is whole microseconds");
    }
    match i64::from(interval.days).checked_mul(86_400_000_000).and_then(|us| us.checked_add(interval.nanoseconds / 1000)) {
        Some(us) if us > 0 => Ok(Width::Us(us)),
        _ => Err(raise(Error::TimeOverflow, "stride must be greater than zero")),
    }
}

fn bin(width: &Width, us: i64, origin: i64) -> i64 {
    let (us, origin) = (i128::from(us), i128::from(origin));
    let start = match width {
        Width::Us(width) => origin + (us - origin).div_euclid((*width).into()) * i128::from(*width),
        Width::Months(months) => {
            let (month, rest) = month_of(origin);
            let step = i128::from(*months);
            let begins = |index: i128| day_of(month + index * step) + rest;
            let mut index = (month_of(us).0 - month).div_euclid(step);
            // The origin may lie later in its month than the time does.
            if begins(index) > us {
                index -= 1;
            }
            begins(index)
        }
    };
    start.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &'static str {
        "date_bin"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        // A time without a zone is what a clock shows only where no other one is a moment.
        let local = matches!(given.get(1), Some(DataType::Timestamp(_, None)))
            && !given.get(2..).unwrap_or_default().iter().any(is_moment);
        let times = given.get(1..).unwrap_or_default();
        let like = |kind: &DataType| matches!(kind, DataType::Timestamp(..) | DataType::Date32) || is_text(kind);
        let span =
            matches!(given.first(), Some(DataType::Interval(_) | DataType::Duration(_))) || given.first().is_some_and(is_text);
        if !span || !(1..=2).contains(&times.len()) || !times.iter().all(like) {
            let types: Vec<String> = given.iter().map(ToString::to_string).collect();
            return Err(DataFusionError::Plan(format!("No function matches date_bin({})", types.join(", "))));
        }
        let time = if local { local_type() } else { time_type() };
        Ok(std::iter::once(span_type()).chain(times.iter().map(|_| time.clone())).collect())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given.get(1).cloned().unwrap_or_else(time_type))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let widths = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let times = arrays[1].as_primitive::<TimestampMicrosecondType>();
        let origins = arrays.get(2).map(|origins| origins.as_primitive::<TimestampMicrosecondType>());
        let mut out = TimestampMicrosecondArray::builder(rows);
        let mut known: Option<(IntervalMonthDayNano, Width)> = None;
        for row in 0..rows {
            let null = widths.is_null(row) || times.is_null(row) || origins.is_some_and(|origins| origins.is_null(row));
            if null {
                out.append_null();
                continue;
            }
            let interval = widths.value(row);
            if known.as_ref().is_none_or(|(last, _)| *last != interval) {
                known = Some((interval, width_of(interval)?));
            }
            let origin = origins.map_or(0, |origins| origins.value(row));
            out.append_option(known.as_ref().map(|(_, width)| bin(width, times.value(row), origin)));
        }
        let out = out.finish();
        Ok(ColumnarValue::Array(if is_moment(arrays[1].data_type()) {
            Arc::new(out.with_timezone("UTC"))
        } else {
            Arc::new(out)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Zone, parse};

    #[test]
    fn bins_begin_where_they_should() {
        let at = |text: &str| parse(text, Zone::Utc).unwrap();
        let rows = [
            (Width::Us(3_600_000_000), "2026-01-01 05:59:59.999999", "1970-01-01", "2026-01-01 05:00:00"),
            (Width::Us(3_600_000_000), "1969-12-31 23:59:59", "1970-01-01", "1969-12-31 23:00:00"),
            (Width::Us(7_000_000), "2026-01-01 00:00:05", "2026-01-01 00:00:01", "2026-01-01 00:00:01"),
            (Width::Months(1), "2024-02-29 12:00:00", "1970-01-01", "2024-02-01"),
            (Width::Months(3), "1969-12-31", "1970-01-01", "1969-10-01"),
            (Width::Months(1), "2024-03-05", "1970-01-10", "2024-02-10"),
        ];
        for (width, time, origin, expect) in rows {
            assert_eq!(bin(&width, at(time), at(origin)), at(expect), "{time}");
        }
        assert_eq!(bin(&Width::Us(1 << 40), i64::MIN, 0), i64::MIN);
    }
}
