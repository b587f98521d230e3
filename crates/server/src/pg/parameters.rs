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
use query::array_text::Item;
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
        DataType::Float32 => ScalarValue::Float32(Some(query::parse_real(number).map_err(|error| super::report_of(&error))?)),
        DataType::Float64 => ScalarValue::Float64(Some(query::parse_double(number).map_err(|error| super::report_of(&error))?)),
        DataType::Boolean => ScalarValue::Boolean(Some(boolean(number).ok_or_else(|| wrong("boolean"))?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone_name @ Some(_)) => {
            let us = parse_time(text, zone).map_err(|error| super::report_of(&error))?;
            ScalarValue::TimestampMicrosecond(Some(us), zone_name.clone())
        }
        DataType::Binary => ScalarValue::Binary(Some(bytea(text).ok_or_else(|| wrong("bytea"))?)),
        DataType::List(_) => {
            let items = query::array_text::items(text).map_err(|error| super::report_of(&error))?;
            list_of(&items, wanted, zone)?
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
        DataType::List(_) => {
            let array = value::read_array(bytes)?;
            let mut element = wanted;
            let mut depth = 0;
            while let DataType::List(item) = element {
                (element, depth) = (item.data_type(), depth + 1);
            }
            if !array.shape.is_empty() && array.shape.len() != depth {
                return Some(Err(other_dimensions()));
            }
            let mut values = Vec::with_capacity(array.values.len());
            for value in array.values {
                match value {
                    None => values.push(ScalarValue::try_from(element).unwrap_or(ScalarValue::Null)),
                    Some(bytes) => match binary(element, bytes)? {
                        Ok(value) => values.push(value),
                        Err(report) => return Some(Err(report)),
                    },
                }
            }
            return Some(lists(wanted, &array.shape, values));
        }
        _ => return None,
    }))
}

fn other_dimensions() -> Report {
    Report::error("0A000", "an array of other dimensions than its type").hinted("say its dimensions where it stands: $1::int[][]")
}

/// The items of a text as a list of this type.
fn list_of(items: &[Item], wanted: &DataType, zone: Zone) -> Result<ScalarValue, Report> {
    let DataType::List(item) = wanted else { return Err(other_dimensions()) };
    let element = item.data_type();
    let nested = matches!(element, DataType::List(_));
    let one = |item: &Item| match item {
        Item::Array(items) if nested => list_of(items, element, zone),
        Item::Null if !nested => Ok(ScalarValue::try_from(element).unwrap_or(ScalarValue::Null)),
        Item::Text(value) if !nested => text(element, value.as_bytes(), zone),
        _ => Err(other_dimensions()),
    };
    list(item, items.iter().map(one).collect::<Result<_, _>>()?)
}

/// Values as a list of this type, whose dimensions have these lengths.
fn lists(wanted: &DataType, shape: &[usize], values: Vec<ScalarValue>) -> Result<ScalarValue, Report> {
    let DataType::List(item) = wanted else { return Err(other_dimensions()) };
    let [length, inner @ ..] = shape else { return list(item, Vec::new()) };
    if inner.is_empty() {
        return list(item, values);
    }
    let each = values.len() / length.max(&1);
    let parts = values.chunks(each.max(1)).map(|part| lists(item.data_type(), inner, part.to_vec()));
    list(item, parts.collect::<Result<_, _>>()?)
}

fn list(item: &Arc<Field>, values: Vec<ScalarValue>) -> Result<ScalarValue, Report> {
    // Texts that are left for the engine to read are read here: a list has one type.
    let of_type = |value: ScalarValue| {
        let settled = value.data_type() == *item.data_type();
        if settled {
            Ok(value)
        } else {
            value.cast_to(item.data_type()).map_err(|cause| Report::error("22P02", cause.to_string()))
        }
    };
    let values = values.into_iter().map(of_type).collect::<Result<Vec<_>, Report>>()?;
    let items: ArrayRef = if values.is_empty() {
        arrow::array::new_empty_array(item.data_type())
    } else {
        ScalarValue::iter_to_array(values).map_err(|cause| Report::error("22P02", cause.to_string()))?
    };
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let list = ListArray::try_new(Arc::clone(item), offsets, items, None);
    list.map(|list| ScalarValue::List(Arc::new(list))).map_err(|cause| Report::error("22P02", cause.to_string()))
}
