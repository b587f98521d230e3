//! Arrays as clients take them apart: `array_upper`, `generate_subscripts`, `_pg_expandarray`; the schemas that names are
//! looked for in; patterns of LIKE with an escape of their own.

use super::simple::Simple;
use super::typed::Typed;
use crate::error::{Error, raise};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, ListBuilder, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::sync::Arc;

/// The places of an array's items, from 1.
pub(crate) const SUBSCRIPTS: &str = "__subscripts";
/// An array's items with their places: rows of `x` and `n`.
pub(crate) const EXPANDED: &str = "__expanded";
/// `x IN (SELECT ..)` over the array of what is selected.
pub(crate) const AMONG: &str = "__among";
/// A pattern of LIKE whose escape is another character than the backslash.
pub(crate) const ESCAPED: &str = "__escaped";

fn is_list(kind: &DataType) -> bool {
    matches!(kind, DataType::List(_))
}

fn with_dimension(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [array, _] if is_list(array) => Some(vec![array.clone(), DataType::Int64]),
        [DataType::Null, _] => Some(vec![DataType::new_list(DataType::Utf8, true), DataType::Int64]),
        _ => None,
    }
}

fn alone(given: &[DataType]) -> Option<Vec<DataType>> {
    matches!(given, [array] if is_list(array)).then(|| given.to_vec())
}

/// Of the one dimension that arrays have here; NULL for an empty array, and for any other dimension.
fn bound(args: &[ArrayRef], bound: fn(i32) -> i32) -> Result<ArrayRef> {
    let (arrays, dimensions) = (args[0].as_list::<i32>(), args[1].as_primitive::<Int64Type>());
    let one = |row: usize| {
        let there = arrays.is_valid(row) && dimensions.is_valid(row) && dimensions.value(row) == 1;
        (there && arrays.value_length(row) > 0).then(|| bound(arrays.value_length(row)))
    };
    Ok(Arc::new((0..arrays.len()).map(one).collect::<Int32Array>()))
}

fn places(array: &ListArray) -> Int32Array {
    let offsets = array.value_offsets();
    let first = offsets.first().copied().unwrap_or(0);
    let mut places = Vec::with_capacity(array.values().len());
    for pair in offsets.windows(2) {
        places.extend(1..=pair[1] - pair[0]);
    }
    debug_assert_eq!(first + places.len() as i32, offsets.last().copied().unwrap_or(0));
    Int32Array::from(places)
}

/// The items of an array that stand in it, without what lies before or behind them in its buffer.
fn items(array: &ListArray) -> ArrayRef {
    let offsets = array.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    array.values().slice(first as usize, (last - first) as usize)
}

fn lengths(array: &ListArray) -> arrow::buffer::OffsetBuffer<i32> {
    arrow::buffer::OffsetBuffer::from_lengths(array.value_offsets().windows(2).map(|pair| (pair[1] - pair[0]) as usize))
}

/// The places of an array's items; none for another dimension than the one that arrays have here.
fn subscripts(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let (array, dimensions) = (args[0].as_list::<i32>(), args[1].as_primitive::<Int64Type>());
    let length = |row: usize| {
        let there = array.is_valid(row) && dimensions.is_valid(row) && dimensions.value(row) == 1;
        if there { array.value_length(row) } else { 0 }
    };
    let lengths: Vec<i32> = (0..array.len()).map(length).collect();
    let places: Int32Array = lengths.iter().flat_map(|length| 1..=*length).map(Some).collect();
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths.iter().map(|length| *length as usize));
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(places), array.nulls().cloned())?))
}

fn pair_of(kind: &DataType) -> Fields {
    let item = match kind {
        DataType::List(item) => item.data_type().clone(),
        other => other.clone(),
    };
    Fields::from(vec![Field::new("x", item, true), Field::new("n", DataType::Int32, true)])
}

fn expanded(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let array = args[0].as_list::<i32>();
    let fields = pair_of(array.data_type());
    let pairs = StructArray::try_new(fields.clone(), vec![items(array), Arc::new(places(array))], None)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
    Ok(Arc::new(ListArray::try_new(item, lengths(array), Arc::new(pairs), array.nulls().cloned())?))
}

/// `100!%` with the escape `!` as `100\%`, backslashes of its own doubled.
fn escaped(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            let Some(next) = letters.next() else {
                let message = "LIKE pattern must not end with escape character";
                return Err(raise(Error::InvalidEscape, message).into());
            };
            if matches!(next, '%' | '_' | '\\') {
                out.push('\\');
            }
            out.push(next);
        } else {
            if letter == '\\' {
                out.push('\\');
            }
            out.push(letter);
        }
    }
    Ok(out)
}

fn escape_all(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let (patterns, escapes) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let one = |(pattern, escape): (Option<&str>, Option<&str>)| -> Result<Option<String>> {
        let (Some(pattern), Some(escape)) = (pattern, escape) else { return Ok(None) };
        let mut letters = escape.chars();
        let letter = letters.next();
        if letters.next().is_some() {
            return Err(raise(Error::InvalidEscape, "invalid escape string")
                .with_hint("an escape is one character, or none")
                .into());
        }
        escaped(pattern, letter).map(Some)
    };
    Ok(Arc::new(patterns.iter().zip(escapes).map(one).collect::<Result<StringArray>>()?))
}

fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::Dictionary(_, values) => plain(values),
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_floating() || kind.is_decimal() => DataType::Float64,
        kind => kind.clone(),
    }
}

/// A value and an array of its type.
fn with_array(given: &[DataType]) -> Option<Vec<DataType>> {
    let [value, DataType::List(item)] = given else { return None };
    let (value, item) = (plain(value), plain(item.data_type()));
    let both = if value == item {
        value
    } else if value.is_numeric() && item.is_numeric() {
        DataType::Float64
    } else {
        DataType::Utf8
    };
    Some(vec![both.clone(), DataType::new_list(both, true)])
}

/// As IN: NULL where nothing is equal but something is NULL.
fn among(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let lists = args[1].as_list::<i32>();
    let one = |row: usize| -> Result<Option<bool>> {
        let items = if lists.is_valid(row) { lists.value(row) } else { return Ok(None) };
        if items.is_empty() {
            return Ok(Some(false));
        }
        if args[0].is_null(row) {
            return Ok(None);
        }
        let value = arrow::array::Scalar::new(args[0].slice(row, 1));
        let equal = arrow::compute::kernels::cmp::eq(&items, &value)?;
        Ok(if equal.true_count() > 0 { Some(true) } else { (equal.null_count() == 0).then_some(false) })
    };
    Ok(Arc::new((0..lists.len()).map(one).collect::<Result<arrow::array::BooleanArray>>()?))
}

/// `public."Samples"` as its parts.
fn parse_ident(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    for text in args[0].as_string::<i32>() {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let parts = crate::catalogue::parts(text);
        if parts.iter().any(String::is_empty) {
            return Err(raise(Error::InvalidParameter, format!("string is not a valid identifier: \"{text}\"")).into());
        }
        parts.iter().for_each(|part| out.values().append_value(part));
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn schemas() -> ScalarUDF {
    let gives = DataType::new_list(DataType::Utf8, true);
    Simple::make("current_schemas", vec![DataType::Boolean], gives, Volatility::Stable, |args, rows| {
        let implicit = args[0].as_boolean();
        let mut out = ListBuilder::new(StringBuilder::new());
        for row in 0..rows {
            if implicit.is_valid(row) && implicit.value(row) {
                out.values().append_value("pg_catalog");
            }
            out.values().append_value("public");
            out.append(implicit.is_valid(row));
        }
        Ok(Arc::new(out.finish()))
    })
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let typed = [
        Typed {
            name: "array_upper",
            aliases: &[],
            takes: with_dimension,
            gives: |_| DataType::Int32,
            body: |args, _| bound(args, |n| n),
        },
        Typed {
            name: "array_lower",
            aliases: &[],
            takes: with_dimension,
            gives: |_| DataType::Int32,
            body: |args, _| bound(args, |_| 1),
        },
        Typed {
            name: SUBSCRIPTS,
            aliases: &[],
            takes: with_dimension,
            gives: |_| DataType::new_list(DataType::Int32, true),
            body: subscripts,
        },
        Typed {
            name: EXPANDED,
            aliases: &[],
            takes: alone,
            gives: |given| DataType::new_list(DataType::Struct(pair_of(&given[0])), true),
            body: expanded,
        },
        Typed { name: AMONG, aliases: &[], takes: with_array, gives: |_| DataType::Boolean, body: among },
        Typed {
            name: "parse_ident",
            aliases: &[],
            takes: |given| (given.len() == 1).then(|| vec![DataType::Utf8]),
            gives: |_| DataType::new_list(DataType::Utf8, true),
            body: parse_ident,
        },
        Typed {
            name: ESCAPED,
            aliases: &[],
            takes: |_| Some(vec![DataType::Utf8, DataType::Utf8]),
            gives: |_| DataType::Utf8,
            body: escape_all,
        },
    ];
    let mut all: Vec<ScalarUDF> = typed.into_iter().map(|function| function.udf().as_ref().clone()).collect();
    all.push(schemas());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_with_another_escape() {
        let rows =
            [("pg/_", Some('/'), "pg\\_"), ("a\\b%", Some('!'), "a\\\\b%"), ("a!!b", Some('!'), "a!b"), ("a\\_", None, "a\\\\_")];
        for (pattern, escape, expect) in rows {
            assert_eq!(escaped(pattern, escape).unwrap(), expect, "{pattern}");
        }
        assert!(escaped("a!", Some('!')).is_err());
    }
}
