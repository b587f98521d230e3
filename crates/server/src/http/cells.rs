//! Values of rows as JSON and as CSV.
//!
//! Promises: numbers keep all their digits (int8 beyond 2^53 and numeric are written as they are); NaN and the infinities,
//! which JSON has no numbers for, are strings, as PostgreSQL's `to_json` has them; moments are RFC 3339 with microseconds in
//! the session's zone; everything else is PostgreSQL's text.

use crate::pg::encode::{Column, Nested, Values};
use crate::pg::error::Report;
use query::text;

/// Writes a value as JSON.
pub(crate) fn write_json(column: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match &column.values {
        Values::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
        Values::I16(_) | Values::I32(_) | Values::I64(_) | Values::U64(_) | Values::Numeric(_) => plain(column, row, out)?,
        Values::F32(values) if values.value(row).is_finite() => text::write_f32(out, values.value(row)),
        Values::F64(values) if values.value(row).is_finite() => text::write_f64(out, values.value(row)),
        Values::List(nested) => write_level(nested, 0, row, out)?,
        _ => {
            out.push(b'"');
            let start = out.len();
            plain(column, row, out)?;
            escape_from(out, start);
            out.push(b'"');
        }
    }
    Ok(())
}

/// Writes a list of one level of lists within lists.
fn write_level(nested: &Nested, level: usize, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
    let Some(here) = nested.levels.get(level) else { return write_json(&nested.items, row, out) };
    if here.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    out.push(b'[');
    for item in here.offsets[row]..here.offsets[row + 1] {
        if item > here.offsets[row] {
            out.push(b',');
        }
        write_level(nested, level + 1, item as usize, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Writes a value as a field of CSV: NULL is nothing, an empty text is `""`.
pub(crate) fn write_csv(column: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
    if column.is_null(row) {
        return Ok(());
    }
    let start = out.len();
    plain(column, row, out)?;
    quote_csv_from(out, start);
    Ok(())
}

/// The value's text.
fn plain(column: &Column, row: usize, out: &mut Vec<u8>) -> Result<(), Report> {
    match &column.values {
        Values::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
        // The PostgreSQL door has to refuse what int8 does not hold.
        Values::U64(values) => text::write_u64(out, values.value(row)),
        Values::Timestamp(values, has_zone) => {
            text::write_iso_timestamp(out, values.value(row), has_zone.then_some(column.zone));
        }
        Values::Date(values) => text::write_iso_date(out, values.value(row).into()),
        _ => column.write_text(row, out)?,
    }
    Ok(())
}

/// Writes a text as a JSON string.
pub(crate) fn write_json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    escape_from(out, start);
    out.push(b'"');
}

/// Escapes what `out` holds from `start` on as the inside of a JSON string.
fn escape_from(out: &mut Vec<u8>, start: usize) {
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    let Some(first) = out[start..].iter().position(special) else { return };
    let rest = out.split_off(start + first);
    for byte in rest {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// Quotes what `out` holds from `start` on as a field of CSV, where it needs quotes.
pub(crate) fn quote_csv_from(out: &mut Vec<u8>, start: usize) {
    let field = &out[start..];
    let special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
    // A field in quotes is never taken for NULL, nor one with blanks at its ends for one without.
    let edges = [field.first(), field.last()].iter().flatten().any(|byte| byte.is_ascii_whitespace());
    if !field.is_empty() && !edges && !field.iter().any(special) {
        return;
    }
    let field = out.split_off(start);
    out.push(b'"');
    for byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray, UInt64Array};
    use query::Zone;
    use std::sync::Arc;

    fn shown(array: ArrayRef) -> (String, String) {
        let zone = Zone::parse("+05:30").unwrap();
        let column = Column::new(&array, false, zone).unwrap();
        let (mut json, mut csv) = (Vec::new(), Vec::new());
        for row in 0..array.len() {
            if row > 0 {
                json.push(b' ');
                csv.push(b' ');
            }
            write_json(&column, row, &mut json).unwrap();
            write_csv(&column, row, &mut csv).unwrap();
        }
        (String::from_utf8(json).unwrap(), String::from_utf8(csv).unwrap())
    }

    #[test]
    fn values_are_exact_in_both_forms() {
        let check = |array: ArrayRef, json: &str, csv: &str| {
            let (found_json, found_csv) = shown(array);
            assert_eq!((found_json.as_str(), found_csv.as_str()), (json, csv));
        };
        check(Arc::new(Int64Array::from(vec![Some(i64::MAX), None])), "9223372036854775807 null", "9223372036854775807 ");
        check(Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615", "18446744073709551615");
        check(
            Arc::new(Float64Array::from(vec![0.1, f64::NAN, f64::NEG_INFINITY, 1e300])),
            "0.1 \"NaN\" \"-Infinity\" 1e+300",
            "0.1 NaN -Infinity 1e+300",
        );
        check(
            Arc::new(StringArray::from(vec!["", "a\"b", "x,y\n", "\u{1}é\\", " p"])),
            "\"\" \"a\\\"b\" \"x,y\\n\" \"\\u0001é\\\\\" \" p\"",
            "\"\" \"a\"\"b\" \"x,y\n\" \u{1}é\\ \" p\"",
        );
        check(
            Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
            "\"1970-01-01T05:30:00.000001+05:30\"",
            "1970-01-01T05:30:00.000001+05:30",
        );
        check(
            Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![Some(vec![Some(1), None])])),
            "[1,null]",
            "\"{1,NULL}\"",
        );
    }
}
