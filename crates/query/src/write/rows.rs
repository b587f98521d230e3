//! Values of any SQL type into rows of samples or events.

use crate::error::{Error, raise};
use crate::ingest::Ingest;
use crate::rewrite::quality_of;
use crate::scan::Sort;
use crate::time::{Zone, parse};
use crate::value::{bits_of_double, bits_of_integer, bits_of_text};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use types::Quality;

/// What a written value is before its tag's kind is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Given<'a> {
    Null,
    Integer(i64),
    Double(f64),
    Text(&'a str),
}

/// What a written row is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub tag: Option<&'a str>,
    pub time: Option<i64>,
    pub value: Given<'a>,
    /// None = not said, so good.
    pub quality: Option<Given<'a>>,
}

fn null(column: &str) -> Error {
    raise(Error::NullValue, format!("null value in column \"{column}\" violates not-null constraint"))
}

/// The quality byte of what was written.
pub(crate) fn quality(given: Given<'_>) -> Result<u8, Error> {
    match given {
        Given::Null => Err(null("quality")),
        Given::Text(text) => match text.trim().parse::<i64>() {
            Ok(number) => quality(Given::Integer(number)),
            Err(_) => quality_of(text).map(|quality| quality.0),
        },
        Given::Integer(number) => u8::try_from(number).map_err(|_| quality_range(&number.to_string())),
        Given::Double(number) if number.fract() == 0.0 && (0.0..=255.0).contains(&number) => Ok(number as u8),
        Given::Double(number) => Err(quality_range(&number.to_string())),
    }
}

fn quality_range(number: &str) -> Error {
    raise(Error::OutOfRange, format!("quality {number} is out of range: it is a byte, 0 to 255"))
}

/// Adds a row.
pub(crate) fn push(ingest: &mut Ingest, row: &Row<'_>) -> Result<(), Error> {
    let name = row.tag.ok_or_else(|| null("tag"))?;
    let time = row.time.ok_or_else(|| null("time"))?;
    let quality = row.quality.map_or(Ok(Quality::GOOD.0), quality)?;
    let target = ingest.tag(name)?;
    if ingest.sort == Sort::Texts {
        let mut written = String::new();
        let text = match row.value {
            Given::Null => return Err(null("text")),
            Given::Text(text) => text,
            Given::Integer(number) => {
                written.push_str(&number.to_string());
                &written
            }
            Given::Double(number) => {
                written.push_str(&number.to_string());
                &written
            }
        };
        return ingest.push_text(target, time, text, quality);
    }
    let bits = match row.value {
        Given::Null => return Err(null("value")),
        Given::Integer(number) => bits_of_integer(target.kind, number)?,
        Given::Double(number) => bits_of_double(target.kind, number)?,
        Given::Text(text) => bits_of_text(&|| ingest.states(target.tag), target.kind, text)?,
    };
    ingest.push_bits(target, time, bits, quality);
    Ok(())
}

/// Columns of a batch, by what they are written as.
pub(crate) struct Columns {
    tag: ArrayRef,
    time: Times,
    value: Values,
    quality: Option<Values>,
}

enum Times {
    Moments(ArrayRef),
    Texts(ArrayRef, Zone),
}

pub(crate) enum Values {
    Integers(ArrayRef),
    Doubles(ArrayRef),
    Texts(ArrayRef),
}

impl Values {
    /// A column of any type that a value can be written as.
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, Error> {
        Ok(match array.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Boolean => {
                Values::Integers(cast(array, &DataType::Int64)?)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Values::Integers(cast(array, &DataType::Int64)?),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Values::Doubles(cast(array, &DataType::Float64)?),
            _ => Values::Texts(cast(array, &DataType::Utf8)?),
        })
    }

    pub(crate) fn get(&self, row: usize) -> Given<'_> {
        match self {
            Values::Integers(array) if array.is_valid(row) => Given::Integer(array.as_primitive::<Int64Type>().value(row)),
            Values::Doubles(array) if array.is_valid(row) => Given::Double(array.as_primitive::<Float64Type>().value(row)),
            Values::Texts(array) if array.is_valid(row) => Given::Text(array.as_string::<i32>().value(row)),
            _ => Given::Null,
        }
    }
}

impl Times {
    fn of(array: &ArrayRef, zone: Zone) -> Result<Self, Error> {
        Ok(match array.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                Times::Moments(cast(array, &crate::schema::time_type())?)
            }
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null | DataType::Dictionary(..) => {
                Times::Texts(cast(array, &DataType::Utf8)?, zone)
            }
            other => {
                let message = format!("column \"time\" is of type timestamp with time zone but expression is of type {other}");
                return Err(raise(Error::Type, message));
            }
        })
    }

    fn get(&self, row: usize) -> Result<Option<i64>, Error> {
        match self {
            Times::Moments(array) => Ok(array.is_valid(row).then(|| array.as_primitive::<TimestampMicrosecondType>().value(row))),
            Times::Texts(array, zone) => {
                array.is_valid(row).then(|| parse(array.as_string::<i32>().value(row), *zone)).transpose()
            }
        }
    }
}

impl Columns {
    /// The columns of a batch in the table's order: tag, time, value, quality.
    pub(crate) fn of(batch: &RecordBatch, places: &[Option<usize>; 4], zone: Zone, now_us: i64) -> Result<Self, Error> {
        let column = |place: Option<usize>, name: &str| place.map(|at| batch.column(at)).ok_or_else(|| null(name));
        let time = match places[1] {
            Some(at) => Times::of(batch.column(at), zone)?,
            None => {
                let now = arrow::array::TimestampMicrosecondArray::from_value(now_us, batch.num_rows());
                Times::Moments(std::sync::Arc::new(now))
            }
        };
        Ok(Columns {
            tag: cast(column(places[0], "tag")?, &DataType::Utf8)?,
            time,
            value: Values::of(column(places[2], "value")?)?,
            quality: places[3].map(|at| Values::of(batch.column(at))).transpose()?,
        })
    }

    /// Adds all rows; `before` rows of the statement came before these.
    pub(crate) fn push_all(&self, ingest: &mut Ingest, before: u64) -> Result<(), Error> {
        let tags = self.tag.as_string::<i32>();
        for row in 0..tags.len() {
            let one = || {
                Ok(Row {
                    tag: tags.is_valid(row).then(|| tags.value(row)),
                    time: self.time.get(row)?,
                    value: self.value.get(row),
                    quality: self.quality.as_ref().map(|quality| quality.get(row)),
                })
            };
            one().and_then(|one| push(ingest, &one)).map_err(|error| at_row(error, before + row as u64 + 1))?;
        }
        Ok(())
    }
}

/// The error with the number of its row, from 1.
pub(crate) fn at_row(mut error: Error, row: u64) -> Error {
    let detail = match error.detail() {
        Some(detail) => format!("row {row}: {detail}"),
        None => format!("row {row}"),
    };
    error = error.with_detail(detail);
    error
}
