//! Rows as COPY text or CSV.

use super::options::Options;
use crate::copy_out::CopyLines;
use crate::error::Error;
use crate::time::{Zone, format};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::Write;

/// Writes a header line.
pub(crate) fn header(options: &Options, names: &[String], out: &mut Vec<u8>) {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(options.delimiter);
        }
        field(options, name, out);
    }
    out.push(b'\n');
}

/// Writes the rows of a batch, and where each ends.
pub(crate) fn rows(options: &Options, batch: &RecordBatch, zone: Zone, lines: &mut CopyLines) -> Result<(), Error> {
    let CopyLines { bytes: out, ends } = lines;
    let others = FormatOptions::default();
    let formatters =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &others)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
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
            if !write_value(column, row, zone, &mut text) {
                // Writing to a String fails only where the value itself can't be shown.
                let _ = write!(text, "{}", formatters[index].value(row));
            }
            field(options, &text, out);
        }
        out.push(b'\n');
        ends.push(out.len());
    }
    Ok(())
}

/// Writes a value where its text is ours to say; false where Arrow's own will do.
fn write_value(column: &ArrayRef, row: usize, zone: Zone, out: &mut String) -> bool {
    match column.data_type() {
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::Boolean => out.push(if column.as_boolean().value(row) { 't' } else { 'f' }),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Float32 => single(column.as_primitive::<Float32Type>().value(row), out),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            format(column.as_primitive::<TimestampMicrosecondType>().value(row), zone, out);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let us = interval.nanoseconds / 1000;
            let _ = write!(out, "{} mons {} days {} microseconds", interval.months, interval.days, us);
        }
        DataType::List(_) => list(&column.as_list::<i32>().value(row), zone, out),
        _ => return false,
    }
    true
}

fn list(items: &ArrayRef, zone: Zone, out: &mut String) {
    out.push('{');
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        if items.is_null(item) {
            out.push_str("NULL");
            continue;
        }
        let mut text = String::new();
        if !write_value(items, item, zone, &mut text)
            && let Ok(formatter) = ArrayFormatter::try_new(items.as_ref(), &FormatOptions::default())
        {
            let _ = write!(text, "{}", formatter.value(item));
        }
        out.push('"');
        for c in text.chars() {
            if c == '"' || c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
}

/// The shortest text that reads back as the same double, as PostgreSQL writes it.
fn double(value: f64, out: &mut String) {
    let plain = value == 0.0 || (1e-5..1e15).contains(&value.abs());
    let _ = match value {
        value if value.is_nan() => write!(out, "NaN"),
        value if value.is_infinite() => write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" }),
        value if plain => write!(out, "{value}"),
        value => write!(out, "{value:e}"),
    };
}

fn single(value: f32, out: &mut String) {
    let plain = value == 0.0 || (1e-5..1e6).contains(&value.abs());
    let _ = match value {
        value if value.is_nan() => write!(out, "NaN"),
        value if value.is_infinite() => write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" }),
        value if plain => write!(out, "{value}"),
        value => write!(out, "{value:e}"),
    };
}

fn field(options: &Options, text: &str, out: &mut Vec<u8>) {
    if options.csv {
        let special = |byte: u8| byte == options.delimiter || byte == options.quote || byte == b'\n' || byte == b'\r';
        if text != options.null && text != "\\." && !text.bytes().any(special) {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(options.quote);
        for byte in text.bytes() {
            if byte == options.quote || byte == options.escape {
                out.push(options.escape);
            }
            out.push(byte);
        }
        out.push(options.quote);
        return;
    }
    for byte in text.bytes() {
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
