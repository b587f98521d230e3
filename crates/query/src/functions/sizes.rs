//! How long what functions make would be, told before it is made.
//!
//! What a function makes lies outside the queries' memory until somebody holds it, and DataFusion's text columns end at
//! 2 GiB with a panic. So a call that would make more than `BYTES_MAX` for one batch of rows is refused with 54000.

use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, LargeStringArray, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use regex::Regex;

/// The most that one call may make for one batch of rows, and so for one value.
pub(super) const BYTES_MAX: u64 = 64 << 20;
/// What a number or a time takes as text, at most about.
const SHOWN_BYTES: u64 = 48;
/// What an item of an array takes beside its text.
const ITEM_BYTES: u64 = 16;

/// An argument, not spread over all rows where it is one value.
pub(super) enum Arg<'a> {
    One(&'a ScalarValue, Option<i64>),
    Texts(&'a StringArray),
    LargeTexts(&'a LargeStringArray),
    Views(&'a StringViewArray),
    Integers(Int64Array),
    /// Anything else, with the bytes that it takes.
    Other(&'a ArrayRef, u64),
}

/// What counts: integers, and times and intervals as nanoseconds.
fn integers(array: &ArrayRef) -> Option<Int64Array> {
    let whole = |kind: DataType| cast(array, &kind).and_then(|array| cast(&array, &DataType::Int64)).ok();
    let out = match array.data_type() {
        kind if kind.is_integer() => cast(array, &DataType::Int64).ok()?,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            whole(DataType::Timestamp(TimeUnit::Microsecond, None))?
        }
        DataType::Interval(_) => {
            let spans = cast(array, &crate::schema::span_type()).ok()?;
            let micros = spans.as_primitive::<IntervalMonthDayNanoType>().iter().map(|span| {
                span.map(|span| {
                    let days = i64::from(span.months).saturating_mul(28).saturating_add(i64::from(span.days));
                    days.saturating_mul(86_400_000_000).saturating_add(span.nanoseconds / 1000)
                })
            });
            return Some(micros.collect());
        }
        _ => return None,
    };
    Some(out.as_primitive::<arrow::datatypes::Int64Type>().clone())
}

impl<'a> Arg<'a> {
    pub(super) fn of(value: &'a ColumnarValue) -> Result<Arg<'a>> {
        Ok(match value {
            ColumnarValue::Scalar(value) => {
                let plain = value.data_type().is_integer() || value.data_type().is_temporal();
                let number =
                    if plain { integers(&value.to_array()?).and_then(|array| array.iter().next().flatten()) } else { None };
                Arg::One(value, number)
            }
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8 => Arg::Texts(array.as_string()),
                DataType::LargeUtf8 => Arg::LargeTexts(array.as_string()),
                DataType::Utf8View => Arg::Views(array.as_string_view()),
                _ => match integers(array) {
                    Some(numbers) => Arg::Integers(numbers),
                    None => Arg::Other(array, array.to_data().get_slice_memory_size().unwrap_or(0) as u64),
                },
            },
        })
    }

    pub(super) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Arg::One(value, _) => value.try_as_str().flatten(),
            Arg::Texts(array) => array.is_valid(row).then(|| array.value(row)),
            Arg::LargeTexts(array) => array.is_valid(row).then(|| array.value(row)),
            Arg::Views(array) => array.is_valid(row).then(|| array.value(row)),
            Arg::Integers(_) | Arg::Other(..) => None,
        }
    }

    pub(super) fn number(&self, row: usize) -> Option<i64> {
        match self {
            Arg::One(_, number) => *number,
            Arg::Integers(array) => array.is_valid(row).then(|| array.value(row)),
            _ => None,
        }
    }

    /// The bytes of a row's text, or about those of another value's.
    fn bytes(&self, row: usize) -> u64 {
        match self {
            Arg::One(value, None) if value.try_as_str().is_none() => value.size() as u64,
            Arg::Other(array, bytes) => (bytes / array.len().max(1) as u64).max(SHOWN_BYTES),
            Arg::Integers(_) | Arg::One(_, Some(_)) => SHOWN_BYTES,
            _ => self.text(row).map_or(0, |text| text.len() as u64),
        }
    }

    /// The bytes of all rows.
    fn all_bytes(&self, rows: usize) -> u64 {
        match self {
            Arg::One(..) => self.bytes(0).saturating_mul(rows as u64),
            Arg::Other(_, bytes) => (*bytes).max(SHOWN_BYTES * rows as u64),
            Arg::Integers(_) => SHOWN_BYTES * rows as u64,
            _ => (0..rows).map(|row| self.bytes(row)).sum(),
        }
    }

    /// How many items a row's array has.
    fn items(&self, row: usize) -> u64 {
        let length = |array: &ArrayRef, row: usize| match array.data_type() {
            DataType::List(_) => array.as_list::<i32>().value_length(row) as u64,
            DataType::LargeList(_) => array.as_list::<i64>().value_length(row) as u64,
            DataType::FixedSizeList(_, length) => *length as u64,
            _ => 1,
        };
        match self {
            Arg::Other(array, _) => length(array, row),
            Arg::One(value, _) => value.to_array().map_or(1, |array| length(&array, 0)),
            _ => 1,
        }
    }
}

fn too_much(name: &str, bytes: u64) -> Error {
    raise(
        Error::TooLarge,
        format!("{name} would make {bytes} bytes for one value or one batch of rows; the limit is {BYTES_MAX}"),
    )
    .with_hint("make shorter values, or make them of fewer rows at a time")
}

/// Refuses what is as long as all arguments together, where that is too much.
///
/// # Errors
/// `Error::TooLarge`.
pub(super) fn bounded_total(name: &str, args: &[Arg<'_>], rows: usize) -> Result<()> {
    let total = args.iter().fold(0_u64, |sum, arg| sum.saturating_add(arg.all_bytes(rows)));
    if total > BYTES_MAX { Err(too_much(name, total).into()) } else { Ok(()) }
}

/// Refuses what is too long in all rows together.
///
/// # Errors
/// `Error::TooLarge`.
pub(super) fn bounded(name: &str, rows: usize, size: impl Fn(usize) -> u64) -> Result<()> {
    let mut total = 0_u64;
    for row in 0..rows {
        total = total.saturating_add(size(row));
        if total > BYTES_MAX {
            return Err(too_much(name, total).into());
        }
    }
    Ok(())
}

fn count(number: Option<i64>) -> u64 {
    number.map_or(0, |number| u64::try_from(number).unwrap_or(0))
}

/// What `repeat`, `array_repeat` and the like make of a row.
pub(super) fn repeated(args: &[Arg<'_>], row: usize) -> u64 {
    args[0].bytes(row).saturating_mul(count(args[1].number(row)))
}

/// The items of an array that `array_repeat` and `array_resize` make.
pub(super) fn items_repeated(args: &[Arg<'_>], row: usize) -> u64 {
    let item = args.get(2).map_or_else(|| args[0].bytes(row), |fill| fill.bytes(row));
    item.saturating_add(ITEM_BYTES).saturating_mul(count(args[1].number(row)))
}

/// What `lpad` and `rpad` make: so many characters.
pub(super) fn padded(args: &[Arg<'_>], row: usize) -> u64 {
    if args[0].text(row).is_none() {
        return 0;
    }
    let wide = |arg: &Arg<'_>| arg.text(row).is_some_and(|text| !text.is_ascii());
    let width = if args.iter().any(wide) { 4 } else { 1 };
    count(args[1].number(row)).saturating_mul(width)
}

/// What `replace` makes.
pub(super) fn replaced(args: &[Arg<'_>], row: usize) -> u64 {
    let (Some(text), Some(from), Some(to)) = (args[0].text(row), args[1].text(row), args[2].text(row)) else { return 0 };
    let length = text.len() as u64;
    let most = length.saturating_add((length / from.len().max(1) as u64 + 1).saturating_mul(to.len() as u64));
    if most <= BYTES_MAX || from.is_empty() {
        return most;
    }
    length.saturating_add((text.matches(from).count() as u64).saturating_mul(to.len() as u64))
}

/// What `regexp_replace` makes: matches don't overlap, so each reference to a group adds the text once at most.
pub(super) fn replaced_by_pattern(args: &[Arg<'_>], row: usize) -> u64 {
    let (Some(text), Some(pattern), Some(to)) = (args[0].text(row), args[1].text(row), args[2].text(row)) else { return 0 };
    let all = args.get(3).and_then(|flags| flags.text(row)).is_some_and(|flags| flags.contains('g'));
    let (length, references) = (text.len() as u64, to.matches(['\\', '$']).count() as u64);
    let of = |matches: u64| {
        let written = matches.saturating_mul(to.len() as u64);
        length.saturating_mul(references.saturating_add(1)).saturating_add(written)
    };
    let most = of(if all { length.saturating_add(1) } else { 1 });
    if most <= BYTES_MAX || !all {
        return most;
    }
    // A pattern that is none is refused by the function itself.
    Regex::new(pattern).map_or(0, |regex| of(regex.find_iter(text).count() as u64))
}

/// What `array_to_string` makes.
pub(super) fn strung(args: &[Arg<'_>], row: usize) -> u64 {
    let between = args[1].text(row).map_or(0, str::len) as u64;
    let null = args.get(2).and_then(|null| null.text(row)).map_or(0, str::len) as u64;
    let items = args[0].items(row);
    args[0].bytes(row).saturating_add(items.saturating_mul(between.saturating_add(null).saturating_add(SHOWN_BYTES)))
}

/// What `concat_ws` puts between.
pub(super) fn separated(args: &[Arg<'_>], row: usize) -> u64 {
    args[0].bytes(row).saturating_mul(args.len() as u64)
}

/// The items of a range as an array: its end alone, or start, end and step.
pub(super) fn ranged(args: &[Arg<'_>], row: usize) -> u64 {
    let number = |at: usize| args.get(at).and_then(|arg| arg.number(row));
    let (start, end) = if args.len() == 1 { (Some(0), number(0)) } else { (number(0), number(1)) };
    let step = if args.len() == 3 { number(2) } else { Some(1) };
    let (Some(start), Some(end), Some(step)) = (start, end, step) else { return 0 };
    if step == 0 || (step > 0) != (end >= start) {
        return 0;
    }
    (end.abs_diff(start) / step.unsigned_abs()).saturating_add(1).saturating_mul(ITEM_BYTES)
}
