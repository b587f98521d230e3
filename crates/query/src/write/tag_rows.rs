//! A tag's columns as SQL writes them, and the definition that they make.

use crate::array_text::{Item, items};
use crate::error::{Error, find_word, raise};
use crate::rewrite::clocks_in_words;
use crate::schema;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use types::{Compression, Kind, TagDefinition};

/// Columns that follow from what is done, and are not written.
const READ_ONLY: [&str; 3] = ["created", "changed", "ordinal"];

/// Refuses columns that are not there or can't be written.
pub(crate) fn check_column(name: &str, sql: &str) -> Result<(), Error> {
    if READ_ONLY.contains(&name) {
        return Err(raise(Error::Unsupported, format!("column \"{name}\" of tags can't be written")).at(find_word(sql, name)));
    }
    if schema::TAGS.index_of(name).is_ok() {
        return Ok(());
    }
    let known: Vec<&str> = schema::TAGS.fields().iter().map(|field| field.name().as_str()).collect();
    Err(raise(Error::UnknownColumn, format!("column \"{name}\" of relation \"tags\" does not exist"))
        .with_hint(format!("columns are {}", known.join(", ")))
        .at(find_word(sql, name)))
}

/// One written value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TagValue {
    Null,
    Text(String),
    Number(f64),
    SpanUs(i64),
    Texts(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// A column of written values, in one of few types.
pub(crate) struct TagColumn(ArrayRef);

impl TagColumn {
    /// A column of any type that a value can be written as.
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, Error> {
        let wanted = match array.data_type() {
            DataType::Null | DataType::Map(..) | DataType::Interval(IntervalUnit::MonthDayNano) => {
                return Ok(TagColumn(array.clone()));
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => schema::texts_type(),
            DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
            kind if kind.is_numeric() => DataType::Float64,
            _ => DataType::Utf8,
        };
        // What does not fit is an error, not a null: that would be a property that nobody said.
        Ok(TagColumn(cast_with_options(array, &wanted, &CastOptions { safe: false, ..CastOptions::default() })?))
    }

    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> Result<TagValue, Error> {
        let array = &self.0;
        if array.is_null(row) || array.data_type() == &DataType::Null {
            return Ok(TagValue::Null);
        }
        let texts = |items: &ArrayRef| -> Vec<String> {
            items.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect()
        };
        Ok(match array.data_type() {
            DataType::List(_) => TagValue::Texts(texts(&array.as_list::<i32>().value(row))),
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let column = |at: usize| cast(entries.column(at), &DataType::Utf8).map(|column| texts(&column));
                TagValue::Pairs(column(0)?.into_iter().zip(column(1)?).collect())
            }
            DataType::Interval(_) => TagValue::SpanUs(span_us(array.as_primitive::<IntervalMonthDayNanoType>().value(row))?),
            DataType::Duration(_) => TagValue::SpanUs(array.as_primitive::<DurationMicrosecondType>().value(row)),
            DataType::Float64 => TagValue::Number(array.as_primitive::<Float64Type>().value(row)),
            _ => TagValue::Text(array.as_string::<i32>().value(row).to_owned()),
        })
    }
}

/// The tags that a batch defines, row by row. Its columns are those of `tags` that can be written, each of
/// a type that INSERT takes: text, or a list of texts (states), a map (labels), a number (limits, deviation), an
/// interval or a duration (cadence, span). Null = not said.
///
/// # Errors
/// The first row that defines none, and why; no row where a column is not one of `tags`.
pub fn tag_definitions(batch: &RecordBatch) -> Result<Vec<TagDefinition>, (Option<usize>, Error)> {
    let whole = |error: Error| (None, error);
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        check_column(field.name(), "").map_err(whole)?;
        columns.push((field.name().as_str(), TagColumn::of(array).map_err(whole)?));
    }
    // Neighbours mostly have the same labels: they are read once.
    let mut last = (String::new(), Vec::new());
    let mut definition = |row: usize| {
        let mut draft = Draft::new();
        for (name, column) in &columns {
            let value = match column.get(row)? {
                TagValue::Text(text) if *name == "labels" => {
                    if text != last.0 {
                        last = (text.clone(), labels(name, TagValue::Text(text))?);
                    }
                    TagValue::Pairs(last.1.clone())
                }
                value => value,
            };
            draft.set(name, value)?;
        }
        draft.finish()
    };
    (0..batch.num_rows()).map(|row| definition(row).map_err(|error| (Some(row), error))).collect()
}

pub(crate) fn span_us(interval: IntervalMonthDayNano) -> Result<i64, Error> {
    if interval.months != 0 {
        return Err(raise(Error::InvalidParameter, "months have no fixed length: give days, hours or seconds"));
    }
    let us = i128::from(interval.days) * 86_400_000_000 + i128::from(interval.nanoseconds) / 1000;
    i64::try_from(us).map_err(|_| raise(Error::OutOfRange, "the interval is too long"))
}

/// A definition that is being written. Its compression is made in the end, of what was given and what held before.
pub(crate) struct Draft {
    definition: TagDefinition,
    compression: Option<String>,
    deviation: Option<f64>,
    span_us: Option<i64>,
    named: bool,
}

impl Draft {
    /// A new tag: kind f64 unless said otherwise.
    pub(crate) fn new() -> Self {
        let definition = TagDefinition::new("", Kind::F64);
        Draft { definition, compression: None, deviation: None, span_us: None, named: false }
    }

    /// A tag that is there.
    pub(crate) fn of(definition: TagDefinition) -> Self {
        Draft { definition, compression: None, deviation: None, span_us: None, named: true }
    }

    /// Writes a column.
    pub(crate) fn set(&mut self, column: &str, value: TagValue) -> Result<(), Error> {
        let definition = &mut self.definition;
        let limits = &mut definition.limits;
        match column {
            "name" => {
                definition.name = text(column, value)?.ok_or_else(|| null(column))?;
                self.named = true;
            }
            "description" => definition.description = text(column, value)?.unwrap_or_default(),
            "unit" => definition.unit = text(column, value)?.unwrap_or_default(),
            "kind" => {
                let name = text(column, value)?.ok_or_else(|| null(column))?;
                definition.kind = Kind::parse(&name).map_err(|error| raise(Error::InvalidText, error.to_string()))?;
            }
            "states" => definition.states = texts(value)?,
            "labels" => definition.labels = labels(column, value)?,
            "low_low" => limits.low_low = number(column, value)?,
            "low" => limits.low = number(column, value)?,
            "high" => limits.high = number(column, value)?,
            "high_high" => limits.high_high = number(column, value)?,
            "cadence" => definition.cadence_us = span(column, value)?,
            "compression" => self.compression = Some(text(column, value)?.unwrap_or_else(|| "lossless".to_owned())),
            "deviation" => self.deviation = Some(number(column, value)?.unwrap_or(0.0)),
            "span" => self.span_us = Some(span(column, value)?),
            other => return Err(raise(Error::UnknownColumn, format!("column \"{other}\" of tags can't be written"))),
        }
        Ok(())
    }

    /// The definition.
    pub(crate) fn finish(mut self) -> Result<TagDefinition, Error> {
        if !self.named {
            return Err(null("name"));
        }
        self.definition.compression = self.compression()?;
        Ok(self.definition)
    }

    fn compression(&self) -> Result<Compression, Error> {
        let (before, old) = match self.definition.compression {
            Compression::Lossless => ("lossless", None),
            Compression::Deadband { deviation, span_us } => ("deadband", Some((deviation, span_us))),
            Compression::SwingingDoor { deviation, span_us } => ("swinging_door", Some((deviation, span_us))),
        };
        let deviation = self.deviation.or(old.map(|old| old.0)).unwrap_or(0.0);
        let span_us = self.span_us.or(old.map(|old| old.1)).unwrap_or(Compression::SPAN_US);
        let name = self.compression.as_deref().unwrap_or(before).to_ascii_lowercase();
        match name.as_str() {
            "lossless" | "none" => {
                if self.deviation.unwrap_or(0.0) != 0.0 || self.span_us.unwrap_or(0) != 0 {
                    let text = "deviation and span say how a tag is thinned, and a lossless tag is not";
                    return Err(raise(Error::InvalidParameter, text).with_hint("set compression to deadband or swinging_door"));
                }
                Ok(Compression::Lossless)
            }
            "deadband" => Ok(Compression::Deadband { deviation, span_us }),
            "swinging_door" | "swinging door" => Ok(Compression::SwingingDoor { deviation, span_us }),
            other => Err(raise(Error::InvalidText, format!("unknown compression \"{other}\""))
                .with_hint("lossless, deadband or swinging_door")),
        }
    }
}

fn null(column: &str) -> Error {
    raise(Error::NullValue, format!("null value in column \"{column}\" of relation \"tags\" violates not-null constraint"))
}

fn wrong(column: &str, wanted: &str) -> Error {
    raise(Error::Type, format!("column \"{column}\" of tags is {wanted}"))
}

fn text(column: &str, value: TagValue) -> Result<Option<String>, Error> {
    match value {
        TagValue::Null => Ok(None),
        TagValue::Text(text) => Ok(Some(text)),
        TagValue::Number(number) => Ok(Some(number.to_string())),
        TagValue::SpanUs(_) | TagValue::Texts(_) | TagValue::Pairs(_) => Err(wrong(column, "text")),
    }
}

fn number(column: &str, value: TagValue) -> Result<Option<f64>, Error> {
    match value {
        TagValue::Null => Ok(None),
        TagValue::Number(number) => Ok(Some(number)),
        TagValue::Text(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| raise(Error::InvalidText, format!("invalid input syntax for type double precision: \"{text}\""))),
        TagValue::SpanUs(_) | TagValue::Texts(_) | TagValue::Pairs(_) => Err(wrong(column, "a number")),
    }
}

fn span(column: &str, value: TagValue) -> Result<i64, Error> {
    match value {
        TagValue::Null => Ok(0),
        TagValue::SpanUs(us) => Ok(us),
        TagValue::Text(text) => {
            let invalid = |_| {
                raise(Error::InvalidTime, format!("invalid input syntax for type interval: \"{text}\""))
                    .with_hint("as in 1 second, 100 ms, 5 min")
            };
            span_us(parse_interval_month_day_nano(&clocks_in_words(&text)).map_err(invalid)?)
        }
        TagValue::Number(_) | TagValue::Texts(_) | TagValue::Pairs(_) => Err(wrong(column, "an interval")),
    }
}

/// Labels: pairs, or a JSON object of texts.
fn labels(column: &str, value: TagValue) -> Result<Vec<(String, String)>, Error> {
    let text = match value {
        TagValue::Pairs(mut pairs) => {
            pairs.sort();
            return Ok(pairs);
        }
        other => text(column, other)?.filter(|text| !text.is_empty()).unwrap_or_else(|| "{}".to_owned()),
    };
    let invalid = |why: String| {
        raise(Error::InvalidText, format!("labels must be a JSON object of texts: {why}"))
            .with_hint("as in {\"site\": \"north\"}")
    };
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    let mut out = Vec::new();
    for (key, value) in object {
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(value) => value.to_string(),
            _ => return Err(invalid(format!("the value of \"{key}\" is not a text"))),
        };
        out.push((key, value));
    }
    out.sort();
    Ok(out)
}

/// Names of states: an array, its text form {a,b}, or JSON.
fn texts(value: TagValue) -> Result<Vec<String>, Error> {
    match value {
        TagValue::Null => Ok(Vec::new()),
        TagValue::Texts(texts) => Ok(texts),
        TagValue::Text(text) if text.trim_start().starts_with('[') => serde_json::from_str(&text)
            .map_err(|error| raise(Error::InvalidText, format!("states must be an array of texts: {error}"))),
        TagValue::Text(text) => array_items(&text).ok_or_else(|| {
            raise(Error::InvalidText, format!("malformed array literal: \"{text}\""))
                .with_hint("as in {off,on}, or ARRAY['off', 'on']")
        }),
        TagValue::Number(_) | TagValue::SpanUs(_) | TagValue::Pairs(_) => Err(wrong("states", "an array of texts")),
    }
}

/// The items of PostgreSQL's text form of an array, as in `{off,"on \\"1\\""}`; None where it is not one of one dimension.
#[must_use]
pub fn array_items(text: &str) -> Option<Vec<String>> {
    let text_of = |item| match item {
        Item::Null => Some("NULL".to_owned()),
        Item::Text(text) => Some(text),
        Item::Array(_) => None,
    };
    items(text).ok()?.into_iter().map(text_of).collect()
}
