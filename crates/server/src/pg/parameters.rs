//! Parameters as clients send them, text or binary, into typed values.
//!
//! Promises: malformed bytes are an error with PostgreSQL's SQLSTATE (22P02 for text, 22P03 for
//! binary), never a panic and never another value. Texts of times and the like are left as text:
//! the engine reads those, in the session's time zone.

use super::error::Report;
use super::frame::{self, Fields};
use super::value;
use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use query::{Zone, parse_time};
use std::sync::Arc;

/// Decodes the values of a Bind message, in order of $1.
pub(crate) fn decode(
    types: &[DataType],
    formats: &[u8],
    values: &[u8],
    zone: Zone,
    into: &mut Vec<ScalarValue>,
) -> Result<(), Report> {
    let mut fields = Fields::new(values);
    for (index, wanted) in types.iter().enumerate() {
        let value = match fields.value()? {
            None => ScalarValue::try_from(wanted).unwrap_or(ScalarValue::Null),
            Some(bytes) if frame::is_binary(formats, index) => {
                binary(wanted, bytes).ok_or_else(|| malformed(index, wanted))??
            }
            Some(bytes) => text(wanted, bytes, zone)?,
        };
        into.push(value);
    }
    Ok(())
}

fn malformed(index: usize, wanted: &DataType) -> Report {
    Report::error("22P03", format!("incorrect binary data format in bind parameter {} of type {wanted}", index + 1))
}

fn utf8(bytes: &[u8]) -> Result<&str, Report> {
    let text = std::str::from_utf8(bytes).map_err(|_| Report::error("22021", "invalid byte sequence for encoding \"UTF8\""))?;
    if text.contains('\0') { Err(Report::error("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")) } else { Ok(text) }
}

fn text(wanted: &DataType, bytes: &[u8], zone: Zone) -> Result<ScalarValue, Report> {
    let text = utf8(bytes)?;
    let wrong = |name: &str| {
        let shown: String = text.chars().take(64).collect();
        Report::error("22P02", format!("invalid input syntax for type {name}: \"{shown}\""))
    };
    let number = text.trim();
    Ok(match wanted {
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Int16 => {
            ScalarValue::Int16(Some(number.parse().map_err(|cause| integer(cause, &wrong("smallint"), "smallint"))?))
        }
        DataType::Int32 => {
            ScalarValue::Int32(Some(number.parse().map_err(|cause| integer(cause, &wrong("integer"), "integer"))?))
        }
        DataType::Int64 => ScalarValue::Int64(Some(number.parse().map_err(|cause| integer(cause, &wrong("bigint"), "bigint"))?)),
        DataType::Float32 => ScalarValue::Float32(Some(number.parse().map_err(|_| wrong("real"))?)),
        DataType::Float64 => ScalarValue::Float64(Some(number.parse().map_err(|_| wrong("double precision"))?)),
        DataType::Boolean => ScalarValue::Boolean(Some(boolean(number).ok_or_else(|| wrong("boolean"))?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone_name @ Some(_)) => {
            let us = parse_time(text, zone).map_err(|error| super::report_of(&error))?;
            ScalarValue::TimestampMicrosecond(Some(us), zone_name.clone())
        }
        DataType::Binary => ScalarValue::Binary(Some(bytea(text).ok_or_else(|| wrong("bytea"))?)),
        DataType::List(item) => {
            let elements = value::parse_array(text).ok_or_else(|| Report::error("22P02", "malformed array literal"))?;
            let values: Result<Vec<ScalarValue>, Report> = elements
                .into_iter()
                .map(|element| match element {
                    None => Ok(ScalarValue::try_from(item.data_type()).unwrap_or(ScalarValue::Null)),
                    Some(element) => self::text(item.data_type(), element.as_bytes(), zone),
                })
                .collect();
            list(item, values?)?
        }
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

fn integer(cause: std::num::ParseIntError, wrong: &Report, name: &str) -> Report {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match cause.kind() {
        PosOverflow | NegOverflow => Report::error("22003", format!("value is out of range for type {name}")),
        _ => wrong.clone(),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("\\x") else { return Some(text.as_bytes().to_vec()) };
    let nibble = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}

/// The outer None is bytes that are not of the type, the inner error one that says more.
fn binary(wanted: &DataType, bytes: &[u8]) -> Option<Result<ScalarValue, Report>> {
    let eight = || <[u8; 8]>::try_from(bytes).ok();
    let four = || <[u8; 4]>::try_from(bytes).ok();
    Some(Ok(match wanted {
        DataType::Utf8 => return Some(utf8(bytes).map(|text| ScalarValue::Utf8(Some(text.to_owned())))),
        DataType::Binary => ScalarValue::Binary(Some(bytes.to_vec())),
        DataType::Boolean => ScalarValue::Boolean(Some(*bytes.first().filter(|_| bytes.len() == 1)? != 0)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::from_be_bytes(bytes.try_into().ok()?))),
        DataType::Int32 => ScalarValue::Int32(Some(i32::from_be_bytes(four()?))),
        // Four bytes are an oid's.
        DataType::Int64 if bytes.len() == 4 => ScalarValue::Int64(Some(u32::from_be_bytes(four()?).into())),
        DataType::Int64 => ScalarValue::Int64(Some(i64::from_be_bytes(eight()?))),
        DataType::Float32 => ScalarValue::Float32(Some(f32::from_be_bytes(four()?))),
        DataType::Float64 => ScalarValue::Float64(Some(f64::from_be_bytes(eight()?))),
        DataType::Date32 => {
            let day = i32::from_be_bytes(four()?).checked_add((value::EPOCH_US / 86_400_000_000) as i32)?;
            ScalarValue::Date32(Some(day))
        }
        DataType::Time64(TimeUnit::Microsecond) => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(eight()?))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let us = value::timestamp_from_pg(i64::from_be_bytes(eight()?));
            return Some(us.map(|us| ScalarValue::TimestampMicrosecond(Some(us), zone.clone())));
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let mut fields = Fields::new(bytes);
            let us = i64::from_be_bytes(fields.bytes(8).ok()?.try_into().ok()?);
            let (days, months) = (fields.i32().ok()?, fields.i32().ok()?);
            fields.end().ok()?;
            let Some(nanoseconds) = us.checked_mul(1000) else {
                return Some(Err(Report::error("22008", "interval out of range")));
            };
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
        }
        DataType::Decimal128(..) => ScalarValue::Utf8(Some(value::read_numeric(bytes)?)),
        DataType::List(item) => {
            let (_, elements) = value::read_array(bytes)?;
            let mut values = Vec::with_capacity(elements.len());
            for element in elements {
                match element {
                    None => values.push(ScalarValue::try_from(item.data_type()).unwrap_or(ScalarValue::Null)),
                    Some(bytes) => match binary(item.data_type(), bytes)? {
                        Ok(value) => values.push(value),
                        Err(report) => return Some(Err(report)),
                    },
                }
            }
            return Some(list(item, values));
        }
        _ => return None,
    }))
}

fn list(item: &Arc<Field>, values: Vec<ScalarValue>) -> Result<ScalarValue, Report> {
    let items: ArrayRef = if values.is_empty() {
        arrow::array::new_empty_array(item.data_type())
    } else {
        ScalarValue::iter_to_array(values).map_err(|cause| Report::error("22P02", cause.to_string()))?
    };
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let list = ListArray::try_new(Arc::clone(item), offsets, items, None);
    list.map(|list| ScalarValue::List(Arc::new(list))).map_err(|cause| Report::error("22P02", cause.to_string()))
}
