//! Rows of record batches as DataRow messages, text or binary, column by column as the client asked.
//!
//! Promises: values come back exactly. What PostgreSQL's form can't hold is an error with SQLSTATE
//! (a u64 beyond int8: 22003; in binary, a moment outside what 64 bits from 2000-01-01 can hold:
//! 22008), never another value.

use super::error::Report;
use super::output::{begin, end};
use super::types::PgType;
use super::value::{self, EPOCH_US};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use query::Zone;
use query::text;
use std::sync::Arc;

/// A column ready to be written row by row.
pub(crate) struct Column {
    pub(crate) values: Values,
    binary: bool,
    pub(crate) zone: Zone,
    nulls: Option<arrow::buffer::NullBuffer>,
}

/// A column's values, by how they are written.
pub(crate) enum Values {
    Bool(BooleanArray),
    I16(arrow::array::Int16Array),
    I32(arrow::array::Int32Array),
    I64(arrow::array::Int64Array),
    U64(arrow::array::UInt64Array),
    F32(arrow::array::Float32Array),
    F64(arrow::array::Float64Array),
    Text(StringArray),
    TextView(arrow::array::StringViewArray),
    /// Text of a dictionary: keys into the values.
    Dictionary(Vec<u32>, StringArray),
    Bytes(arrow::array::BinaryArray),
    Timestamp(arrow::array::TimestampMicrosecondArray, bool),
    Date(arrow::array::Date32Array),
    Time(arrow::array::Time64MicrosecondArray),
    Interval(arrow::array::IntervalMonthDayNanoArray),
    /// Already written as decimal text.
    Numeric(StringArray),
    List(Box<Nested>),
}

/// An array of one dimension or several.
pub(crate) struct Nested {
    /// The lists of each dimension, the outermost first.
    pub(crate) levels: Vec<Level>,
    pub(crate) items: Column,
    element: PgType,
}

/// Where the parts of each list of a dimension lie in the next, and which lists are NULL.
pub(crate) struct Level {
    pub(crate) offsets: Vec<i32>,
    pub(crate) nulls: Option<arrow::buffer::NullBuffer>,
}

/// As in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

impl Nested {
    /// The lengths of all dimensions of a row's array and its items; an array without items has no dimensions.
    fn shape(&self, row: usize) -> Result<(Vec<usize>, std::ops::Range<usize>), Report> {
        let ragged = || super::report_of(&query::Error::ragged());
        let (mut shape, mut lists) = (Vec::with_capacity(self.levels.len()), row..row + 1);
        for (depth, level) in self.levels.iter().enumerate() {
            if depth > 0 && level.nulls.as_ref().is_some_and(|nulls| lists.clone().any(|list| nulls.is_null(list))) {
                return Err(ragged());
            }
            let length = |list: usize| (level.offsets[list + 1] - level.offsets[list]) as usize;
            let first = lists.clone().next().map_or(0, length);
            if lists.clone().any(|list| length(list) != first) {
                return Err(ragged());
            }
            shape.push(first);
            lists = level.offsets[lists.start] as usize..level.offsets[lists.end] as usize;
            if first == 0 {
                return Ok((Vec::new(), 0..0));
            }
        }
        Ok((shape, lists))
    }

    fn is_null(&self, item: usize) -> bool {
        self.items.nulls.as_ref().is_some_and(|nulls| nulls.is_null(item))
    }

    fn write_text(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
        let (shape, items) = self.shape(row)?;
        if shape.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        for (index, item) in items.clone().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // A brace for each dimension that begins, or ends, with this item.
            let mut block = 1;
            let at_edge = |block: &mut usize, length: &usize, at: usize| {
                *block *= length;
                (at.is_multiple_of(*block)).then_some(())
            };
            let opens = shape.iter().rev().map_while(|length| at_edge(&mut block, length, index)).count();
            out.extend(std::iter::repeat_n(b'{', opens));
            if self.is_null(item) {
                out.extend_from_slice(b"NULL");
            } else {
                let start = out.len();
                self.items.write_text(item, out)?;
                text::quote_element(out, start);
            }
            let mut block = 1;
            let closes = shape.iter().rev().map_while(|length| at_edge(&mut block, length, index + 1)).count();
            out.extend(std::iter::repeat_n(b'}', closes));
        }
        Ok(())
    }

    fn write_binary(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
        let (shape, items) = self.shape(row)?;
        let nulls = items.clone().any(|item| self.is_null(item));
        out.extend_from_slice(&(shape.len() as i32).to_be_bytes());
        out.extend_from_slice(&i32::from(nulls).to_be_bytes());
        out.extend_from_slice(&self.element.oid.to_be_bytes());
        for length in shape {
            out.extend_from_slice(&(length as i32).to_be_bytes());
            out.extend_from_slice(&1_i32.to_be_bytes());
        }
        items.clone().try_for_each(|item| self.items.write(item, out))
    }
}

impl Column {
    /// Prepares a column. Types without a like in PostgreSQL become text here.
    pub(crate) fn new(array: &ArrayRef, binary: bool, zone: Zone) -> Result<Column, Report> {
        let nulls = array.logical_nulls();
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Int16 => Values::I16(array.as_primitive::<Int16Type>().clone()),
            DataType::Int32 => Values::I32(array.as_primitive::<Int32Type>().clone()),
            DataType::Int64 => Values::I64(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Values::U64(array.as_primitive::<UInt64Type>().clone()),
            DataType::Float32 => Values::F32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Values::F64(array.as_primitive::<Float64Type>().clone()),
            DataType::Utf8 => Values::Text(array.as_string::<i32>().clone()),
            DataType::Utf8View => Values::TextView(array.as_string_view().clone()),
            DataType::Binary => Values::Bytes(array.as_binary::<i32>().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone(), zone.is_some())
            }
            DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive::<Time64MicrosecondType>().clone()),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Values::Interval(array.as_primitive::<IntervalMonthDayNanoType>().clone())
            }
            DataType::List(_) => list(array.as_list::<i32>(), binary, zone)?,
            DataType::Dictionary(_, values) if is_text(values) => dictionary(array)?,
            _ => return Column::converted(array, binary, zone),
        };
        Ok(Column { values, binary, zone, nulls })
    }

    /// A column of a type that another one stands for on the wire.
    fn converted(array: &ArrayRef, binary: bool, zone: Zone) -> Result<Column, Report> {
        let target = match array.data_type() {
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 => DataType::Int64,
            DataType::Float16 => DataType::Float32,
            DataType::LargeUtf8 => DataType::Utf8,
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            DataType::Date64 => DataType::Date32,
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Duration(_) => return durations(array, binary, zone),
            DataType::Dictionary(_, values) => (**values).clone(),
            DataType::RunEndEncoded(_, values) => values.data_type().clone(),
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => DataType::List(item.clone()),
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                let values = Values::Numeric(formatted(array)?);
                return Ok(Column { values, binary, zone, nulls: array.logical_nulls() });
            }
            _ => return Ok(Column { values: Values::Text(formatted(array)?), binary, zone, nulls: array.logical_nulls() }),
        };
        let cast = cast(array, &target).map_err(|cause| Report::error("22003", cause.to_string()))?;
        Column::new(&cast, binary, zone)
    }

    /// Writes length and value of a row; -1 for NULL.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        if self.binary {
            self.write_binary(row, out)?
        } else {
            self.write_text(row, out)?
        }
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Whether a row is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes a row's value, which is not NULL, as PostgreSQL's text.
    pub(crate) fn write_text(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
        match &self.values {
            Values::Bool(values) => out.push(if values.value(row) { b't' } else { b'f' }),
            Values::I16(values) => text::write_i64(out, values.value(row).into()),
            Values::I32(values) => text::write_i64(out, values.value(row).into()),
            Values::I64(values) => text::write_i64(out, values.value(row)),
            Values::U64(values) => text::write_i64(out, int8(values.value(row))?),
            Values::F32(values) => text::write_f32(out, values.value(row)),
            Values::F64(values) => text::write_f64(out, values.value(row)),
            Values::Text(values) | Values::Numeric(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::TextView(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::Dictionary(keys, values) => out.extend_from_slice(values.value(keys[row] as usize).as_bytes()),
            Values::Bytes(values) => text::write_bytes(out, values.value(row)),
            Values::Timestamp(values, true) => text::write_moment(out, values.value(row), self.zone),
            Values::Timestamp(values, false) => text::write_timestamp(out, values.value(row), false),
            Values::Date(values) => text::write_date(out, values.value(row).into()),
            Values::Time(values) => text::write_time(out, values.value(row).unsigned_abs()),
            Values::Interval(values) => {
                let value = values.value(row);
                text::write_interval(out, value.months, value.days, value.nanoseconds / 1000);
            }
            Values::List(nested) => nested.write_text(row, out)?,
        }
        Ok(())
    }

    fn write_binary(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
        match &self.values {
            Values::Bool(values) => out.push(u8::from(values.value(row))),
            Values::I16(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::I32(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::I64(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::U64(values) => out.extend_from_slice(&int8(values.value(row))?.to_be_bytes()),
            Values::F32(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::F64(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::Text(_) | Values::TextView(_) | Values::Dictionary(..) => self.write_text(row, out)?,
            Values::Bytes(values) => out.extend_from_slice(values.value(row)),
            Values::Timestamp(values, _) => out.extend_from_slice(&value::timestamp_to_pg(values.value(row))?.to_be_bytes()),
            Values::Date(values) => {
                let day = i64::from(values.value(row)) - EPOCH_US / 86_400_000_000;
                let day = i32::try_from(day).map_err(|_| Report::error("22008", "date out of range for the binary format"))?;
                out.extend_from_slice(&day.to_be_bytes());
            }
            Values::Time(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Values::Interval(values) => {
                let value = values.value(row);
                out.extend_from_slice(&(value.nanoseconds / 1000).to_be_bytes());
                out.extend_from_slice(&value.days.to_be_bytes());
                out.extend_from_slice(&value.months.to_be_bytes());
            }
            Values::Numeric(values) => value::write_numeric(out, values.value(row)),
            Values::List(nested) => nested.write_binary(row, out)?,
        }
        Ok(())
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn int8(value: u64) -> Result<i64, Report> {
    i64::try_from(value).map_err(|_| Report::error("22003", format!("value {value} is out of range for type bigint")))
}

fn list(array: &ListArray, binary: bool, zone: Zone) -> Result<Values, Report> {
    let level = |array: &ListArray| Level { offsets: array.value_offsets().to_vec(), nulls: array.logical_nulls() };
    let mut levels = vec![level(array)];
    let mut items = array.values().clone();
    loop {
        items = match items.data_type() {
            DataType::List(_) => items,
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let target = DataType::List(item.clone());
                cast(&items, &target).map_err(|cause| Report::error("22003", cause.to_string()))?
            }
            _ => break,
        };
        if levels.len() == DIMENSIONS_MAX {
            return Err(Report::error("54000", format!("an array has more than {DIMENSIONS_MAX} dimensions")));
        }
        let inner = items.as_list::<i32>();
        levels.push(level(inner));
        items = inner.values().clone();
    }
    let element = PgType::of(items.data_type());
    Ok(Values::List(Box::new(Nested { levels, items: Column::new(&items, binary, zone)?, element })))
}

fn dictionary(array: &ArrayRef) -> Result<Values, Report> {
    let wrong = |cause: arrow::error::ArrowError| Report::error("XX000", cause.to_string());
    let dictionary = array.as_any_dictionary();
    let values = cast(dictionary.values(), &DataType::Utf8).map_err(wrong)?;
    let keys = dictionary.normalized_keys().into_iter().map(|key| key as u32).collect();
    Ok(Values::Dictionary(keys, values.as_string::<i32>().clone()))
}

fn durations(array: &ArrayRef, binary: bool, zone: Zone) -> Result<Column, Report> {
    let wrong = |cause: arrow::error::ArrowError| Report::error("22003", cause.to_string());
    let us = cast(array, &DataType::Duration(TimeUnit::Microsecond)).and_then(|us| cast(&us, &DataType::Int64)).map_err(wrong)?;
    let us = us.as_primitive::<Int64Type>();
    let intervals: arrow::array::IntervalMonthDayNanoArray = us
        .iter()
        .map(|us| {
            us.map(|us| match us.checked_mul(1000) {
                Some(ns) => IntervalMonthDayNanoType::make_value(0, 0, ns),
                // Beyond 292 years nanoseconds overflow; whole days carry the rest exactly.
                None => IntervalMonthDayNanoType::make_value(0, (us / 86_400_000_000) as i32, us % 86_400_000_000 * 1000),
            })
        })
        .collect();
    Ok(Column { values: Values::Interval(intervals), binary, zone, nulls: array.logical_nulls() })
}

/// What Arrow shows of any type, as text.
fn formatted(array: &ArrayRef) -> Result<StringArray, Report> {
    let wrong = |cause: arrow::error::ArrowError| Report::error("XX000", cause.to_string());
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(array, &options).map_err(wrong)?;
    let texts = (0..array.len()).map(|row| {
        let null = array.is_null(row);
        (!null).then(|| formatter.value(row).try_to_string().map_err(wrong)).transpose()
    });
    texts.collect()
}

/// The values of a column whose metadata names another type of PostgreSQL's: numbers of objects have four bytes, vectors are
/// their items with blanks between, and in binary a character that is none is a zero.
fn shaped(field: &Field, array: &ArrayRef, binary: bool) -> Result<ArrayRef, Report> {
    let Some(kind) = field.metadata().get(query::PG_TYPE) else { return Ok(Arc::clone(array)) };
    let wrong = |cause: arrow::error::ArrowError| Report::error("22003", cause.to_string());
    match kind.as_str() {
        "oid" | "regproc" | "xid" => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, &DataType::Int32, &options).map_err(wrong)
        }
        "char" if binary => {
            let Some(texts) = array.as_string_opt::<i32>() else { return Ok(Arc::clone(array)) };
            let shown = |text: &str| if text.is_empty() { "\0".to_owned() } else { text.to_owned() };
            Ok(Arc::new(texts.iter().map(|text| text.map(shown)).collect::<StringArray>()))
        }
        "int2vector" | "oidvector" => {
            let lists = array.as_list::<i32>();
            let items = cast(lists.values(), &DataType::Utf8).map_err(wrong)?;
            let items = items.as_string::<i32>();
            let offsets = lists.value_offsets();
            let one = |row: usize| {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                lists.is_valid(row).then(|| range.map(|at| items.value(at)).collect::<Vec<_>>().join(" "))
            };
            Ok(Arc::new((0..lists.len()).map(one).collect::<StringArray>()))
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// Writes all rows of a batch as DataRow messages; `ends` gets where each ends in `out`.
pub(crate) fn write_rows(
    batch: &RecordBatch,
    formats: &[u8],
    zone: Zone,
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Result<(), Report> {
    let columns: Result<Vec<Column>, Report> = batch
        .columns()
        .iter()
        .enumerate()
        .map(|(index, array)| {
            let binary = super::frame::is_binary(formats, index);
            Column::new(&shaped(batch.schema_ref().field(index), array, binary)?, binary, zone)
        })
        .collect();
    let columns = columns?;
    let count = (columns.len() as u16).to_be_bytes();
    for row in 0..batch.num_rows() {
        let at = begin(out, b'D');
        out.extend_from_slice(&count);
        for column in &columns {
            column.write(row, out)?;
        }
        end(out, at);
        ends.push(out.len());
    }
    Ok(())
}

/// What COPY's binary format begins with: its signature, no flags, nothing more of the head.
pub(crate) const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(crate) const COPY_END: &[u8] = b"\xff\xff";

/// Writes all rows of a batch as COPY's binary format has them.
pub(crate) fn write_copy_rows(batch: &RecordBatch, zone: Zone, lines: &mut query::CopyLines) -> Result<(), Report> {
    let columns: Result<Vec<Column>, Report> = batch.columns().iter().map(|array| Column::new(array, true, zone)).collect();
    let columns = columns?;
    let count = (columns.len() as u16).to_be_bytes();
    for row in 0..batch.num_rows() {
        lines.bytes.extend_from_slice(&count);
        for column in &columns {
            column.write(row, &mut lines.bytes)?;
        }
        lines.ends.push(lines.bytes.len());
    }
    Ok(())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
