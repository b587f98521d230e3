//! Rows as COPY text or CSV.

use super::options::Options;
use crate::copy_out::CopyLines;
use crate::error::Error;
use crate::text;
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Writes a header line.
pub(crate) fn header(options: &Options, names: &[String], out: &mut Vec<u8>) {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(options.delimiter);
        }
        field(options, name.as_bytes(), out);
    }
    out.push(b'\n');
}

/// Writes the rows of a batch, and where each ends.
pub(crate) fn rows(options: &Options, batch: &RecordBatch, zone: Zone, lines: &mut CopyLines) -> Result<(), Error> {
    let CopyLines { bytes: out, ends } = lines;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                out.push(options.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(options.null.as_bytes());
                continue;
            }
            text.clear();
            write_value(column, row, zone, &mut text)?;
            field(options, &text, out);
        }
        out.push(b'\n');
        ends.push(out.len());
    }
    Ok(())
}

/// Writes a value that is not NULL as PostgreSQL shows it; of types that it has not, as Arrow does.
pub(crate) fn write_value(column: &ArrayRef, row: usize, zone: Zone, out: &mut Vec<u8>) -> Result<(), Error> {
    match column.data_type() {
        DataType::Utf8View => out.extend_from_slice(column.as_string_view().value(row).as_bytes()),
        DataType::Utf8 => out.extend_from_slice(column.as_string::<i32>().value(row).as_bytes()),
        DataType::Boolean => out.push(if column.as_boolean().value(row) { b't' } else { b'f' }),
        DataType::Float64 => text::write_f64(out, column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => text::write_f32(out, column.as_primitive::<Float32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            text::write_moment(out, column.as_primitive::<TimestampMicrosecondType>().value(row), zone);
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            text::write_timestamp(out, column.as_primitive::<TimestampMicrosecondType>().value(row), false);
        }
        DataType::Date32 => text::write_date(out, column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            text::write_interval(out, interval.months, interval.days, interval.nanoseconds / 1000);
        }
        DataType::Binary => text::write_bytes(out, column.as_binary::<i32>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            text::write_time(out, column.as_primitive::<Time64MicrosecondType>().value(row).unsigned_abs());
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            write_list(&items, zone, out)?;
        }
        _ => {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default())?;
            out.extend_from_slice(formatter.value(row).try_to_string()?.as_bytes());
        }
    }
    Ok(())
}

/// The lengths of all dimensions that an array's items have beneath it; an array without items has none.
///
/// # Errors
/// `Error::Ragged` where parts have different lengths.
fn shape(items: &ArrayRef) -> Result<Vec<usize>, Error> {
    if !matches!(items.data_type(), DataType::List(_)) || items.is_empty() {
        return Ok(if items.is_empty() { Vec::new() } else { vec![items.len()] });
    }
    let lists = items.as_list::<i32>();
    let mut inner: Option<Vec<usize>> = None;
    for row in 0..lists.len() {
        let here = if lists.is_null(row) { return Err(Error::ragged()) } else { shape(&lists.value(row))? };
        if inner.get_or_insert_with(|| here.clone()) != &here {
            return Err(Error::ragged());
        }
    }
    let inner = inner.unwrap_or_default();
    Ok(if inner.is_empty() { inner } else { [vec![items.len()], inner].concat() })
}

fn write_list(items: &ArrayRef, zone: Zone, out: &mut Vec<u8>) -> Result<(), Error> {
    out.push(b'{');
    // Parts without items make an array without dimensions.
    let count = if shape(items)?.is_empty() { 0 } else { items.len() };
    for item in 0..count {
        if item > 0 {
            out.push(b',');
        }
        if items.is_null(item) {
            out.extend_from_slice(b"NULL");
        } else if matches!(items.data_type(), DataType::List(_)) {
            write_list(&items.as_list::<i32>().value(item), zone, out)?;
        } else {
            let start = out.len();
            write_value(items, item, zone, out)?;
            text::quote_element(out, start);
        }
    }
    out.push(b'}');
    Ok(())
}

fn field(options: &Options, text: &[u8], out: &mut Vec<u8>) {
    if options.csv {
        let special = |byte: u8| byte == options.delimiter || byte == options.quote || byte == b'\n' || byte == b'\r';
        if text != options.null.as_bytes() && text != b"\\." && !text.iter().copied().any(special) {
            out.extend_from_slice(text);
            return;
        }
        out.push(options.quote);
        for byte in text.iter().copied() {
            if byte == options.quote || byte == options.escape {
                out.push(options.escape);
            }
            out.push(byte);
        }
        out.push(options.quote);
        return;
    }
    for byte in text.iter().copied() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte if byte == options.delimiter => out.extend_from_slice(&[b'\\', byte]),
            byte => out.push(byte),
        }
    }
}
