//! Batches of samples or events as the kernel takes them: tags by ordinal, times in microseconds,
//! values in the 64-bit form of their tag's kind.
//!
//! Promises: a value goes in exactly or the batch is refused with its row; where tags are u64
//! ordinals, times microseconds and values doubles for tags that hold doubles, no column is copied.

use super::kinds::KindPages;
use super::message::malformed;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt32Type, UInt64Type,
};
use catalog::Catalog;
use std::collections::HashMap;
use tonic::Status;
use types::{Kind, TagId, TextColumn, Timestamp};

/// Which column is what.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    tag: usize,
    time: usize,
    value: usize,
    quality: Option<usize>,
    /// Whether the values are texts.
    pub(crate) texts: bool,
}

impl Shape {
    /// Finds the columns in a schema.
    pub(crate) fn of(schema: &Schema) -> Result<Shape, Status> {
        let find = |names: &[&str]| schema.fields().iter().position(|field| names.contains(&field.name().as_str()));
        let need = |names: &[&str]| {
            find(names).ok_or_else(|| Status::invalid_argument(format!("the schema has no column \"{}\"", names[0])))
        };
        let shape = Shape {
            tag: need(&["tag"])?,
            time: need(&["time"])?,
            value: need(&["value", "text"])?,
            quality: find(&["quality"]),
            texts: false,
        };
        let type_of = |index: usize| schema.field(index).data_type();
        let wrong = |index: usize, allowed: &str| {
            let (name, found) = (schema.field(index).name(), type_of(index));
            Err(Status::invalid_argument(format!("column \"{name}\" has type {found}; it may be {allowed}")))
        };
        match type_of(shape.tag) {
            DataType::UInt64 | DataType::UInt32 => {}
            DataType::Dictionary(key, _) if matches!(**key, DataType::UInt32 | DataType::Int32) => {}
            _ => return wrong(shape.tag, "UInt64, UInt32, Dictionary(UInt32, Utf8) or Dictionary(Int32, Utf8)"),
        }
        match type_of(shape.time) {
            DataType::Int64 | DataType::Timestamp(..) => {}
            _ => return wrong(shape.time, "Int64 (microseconds) or Timestamp"),
        }
        if let Some(quality) = shape.quality
            && *type_of(quality) != DataType::UInt8
        {
            return wrong(quality, "UInt8");
        }
        if let Some(other) = (0..schema.fields().len())
            .find(|index| ![Some(shape.tag), Some(shape.time), Some(shape.value), shape.quality].contains(&Some(*index)))
        {
            return Err(Status::invalid_argument(format!("there is no place for column \"{}\"", schema.field(other).name())));
        }
        match type_of(shape.value) {
            DataType::Float64 | DataType::Float32 | DataType::Int64 | DataType::Int32 | DataType::UInt32 | DataType::Boolean => {
                Ok(shape)
            }
            DataType::Utf8 => Ok(Shape { texts: true, ..shape }),
            _ => wrong(shape.value, "Float64, Float32, Int64, Int32, UInt32, Boolean or Utf8"),
        }
    }
}

/// A batch's columns, borrowed from it where they need no change.
pub(crate) struct Columns {
    tags: Tags,
    times: ScalarBuffer<i64>,
    /// Values as bits; empty for texts.
    pub(crate) bits: ScalarBuffer<u64>,
    /// Texts; empty for numbers.
    pub(crate) texts: TextColumn,
    qualities: Option<ScalarBuffer<u8>>,
}

enum Tags {
    Lent(ScalarBuffer<u64>),
    Made(Vec<TagId>),
}

impl Tags {
    fn as_slice(&self) -> &[TagId] {
        match self {
            Tags::Made(tags) => tags,
            Tags::Lent(ordinals) => {
                let ordinals: &[u64] = ordinals;
                // SAFETY: TagId is repr(transparent) over u64: same size, alignment and validity;
                // the slice lives as long as `self`, which holds the buffer.
                unsafe { std::slice::from_raw_parts(ordinals.as_ptr().cast::<TagId>(), ordinals.len()) }
            }
        }
    }
}

impl Columns {
    pub(crate) fn tags(&self) -> &[TagId] {
        self.tags.as_slice()
    }

    pub(crate) fn times(&self) -> &[Timestamp] {
        let times: &[i64] = &self.times;
        // SAFETY: Timestamp is repr(transparent) over i64: same size, alignment and validity; the
        // slice lives as long as `self`, which holds the buffer.
        unsafe { std::slice::from_raw_parts(times.as_ptr().cast::<Timestamp>(), times.len()) }
    }

    pub(crate) fn qualities(&self) -> Option<&[u8]> {
        self.qualities.as_deref()
    }
}

/// Makes columns of batches; remembers kinds and names.
#[derive(Default)]
pub(crate) struct Converter {
    kinds: KindPages,
    names: Names,
}

/// The ordinals of the names of the dictionary at hand.
#[derive(Default)]
struct Names {
    /// The dictionary that `ordinals` belongs to, by where its bytes lie; kept alive by `held`.
    held: Option<ArrayRef>,
    ordinals: Vec<Option<TagId>>,
}

/// Asked of a row, its tag and that one's kind.
pub(crate) type Check<'a> = &'a dyn Fn(usize, TagId, Kind) -> Result<(), Status>;

impl Converter {
    /// The columns of a batch, whose tags are admitted before anything is told of them; then `check` is asked of each row's.
    pub(crate) fn columns(
        &mut self,
        catalog: &Catalog,
        shape: &Shape,
        batch: &RecordBatch,
        admit: impl Fn(&[TagId]) -> Result<(), Status>,
        check: Option<Check<'_>>,
    ) -> Result<Columns, Status> {
        for index in [Some(shape.tag), Some(shape.time), Some(shape.value), shape.quality].into_iter().flatten() {
            refuse_nulls(batch, index)?;
        }
        let tags = self.tags(catalog, batch.column(shape.tag))?;
        admit(tags.as_slice())?;
        if let Some(check) = check {
            for (row, tag) in tags.as_slice().iter().enumerate() {
                let kind = self.kinds.get(catalog, *tag).ok_or_else(|| unknown(row, *tag))?;
                check(row, *tag, kind)?;
            }
        }
        let times = times(batch.column(shape.time))?;
        let qualities = shape.quality.map(|index| batch.column(index).as_primitive::<UInt8Type>().values().clone());
        let empty = ScalarBuffer::from(Vec::new());
        let mut columns = Columns { tags, times, bits: empty, texts: TextColumn::new(), qualities };
        let values = batch.column(shape.value);
        if shape.texts {
            columns.texts = texts(values)?;
            self.check_texts(catalog, columns.tags())?;
        } else {
            columns.bits = self.bits(catalog, columns.tags(), values)?;
        }
        Ok(columns)
    }

    fn tags(&mut self, catalog: &Catalog, column: &ArrayRef) -> Result<Tags, Status> {
        match column.data_type() {
            DataType::UInt64 => Ok(Tags::Lent(column.as_primitive::<UInt64Type>().values().clone())),
            DataType::UInt32 => {
                Ok(Tags::Made(column.as_primitive::<UInt32Type>().values().iter().map(|tag| TagId(u64::from(*tag))).collect()))
            }
            DataType::Dictionary(key, _) if **key == DataType::UInt32 => {
                let dictionary = column.as_dictionary::<UInt32Type>();
                self.names.take(catalog, dictionary.values())?;
                self.named(catalog, dictionary.keys().values().iter().map(|key| *key as usize))
            }
            _ => {
                let dictionary = column.as_dictionary::<Int32Type>();
                self.names.take(catalog, dictionary.values())?;
                self.named(catalog, dictionary.keys().values().iter().map(|key| *key as usize))
            }
        }
    }

    fn named(&mut self, catalog: &Catalog, keys: impl ExactSizeIterator<Item = usize>) -> Result<Tags, Status> {
        let mut tags = Vec::with_capacity(keys.len());
        for (row, key) in keys.enumerate() {
            match self.names.ordinals.get(key) {
                Some(Some(tag)) => tags.push(*tag),
                _ => tags.push(self.names.look_again(catalog, row, key)?),
            }
        }
        Ok(Tags::Made(tags))
    }

    fn check_texts(&mut self, catalog: &Catalog, tags: &[TagId]) -> Result<(), Status> {
        for (row, tag) in tags.iter().enumerate() {
            let kind = self.kinds.get(catalog, *tag).ok_or_else(|| unknown(row, *tag))?;
            if !kind.is_text() {
                return Err(Status::invalid_argument(format!(
                    "row {row}: tag {tag} holds values of kind {}, not text",
                    kind.name()
                )));
            }
        }
        Ok(())
    }

    fn bits(&mut self, catalog: &Catalog, tags: &[TagId], values: &ArrayRef) -> Result<ScalarBuffer<u64>, Status> {
        let doubles = matches!(values.data_type(), DataType::Float64 | DataType::Float32) && self.kinds.all_f64(catalog, tags);
        match values.data_type() {
            DataType::Float64 => {
                let values = values.as_primitive::<Float64Type>().values();
                if doubles {
                    // The same bytes, seen as bits.
                    return Ok(ScalarBuffer::new(values.inner().clone(), 0, values.len()));
                }
                self.each(catalog, tags, values, Kind::bits_from_f64)
            }
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>().values();
                if doubles {
                    return Ok(values.iter().map(|value| f64::from(*value).to_bits()).collect());
                }
                self.each(catalog, tags, values, |kind, value| match kind {
                    // Through a double a signalling NaN would come back quiet.
                    Kind::F32 => Some(u64::from(f32::to_bits(value))),
                    _ => kind.bits_from_f64(f64::from(value)),
                })
            }
            DataType::Int64 => self.each(catalog, tags, values.as_primitive::<Int64Type>().values(), Kind::bits_from_i64),
            DataType::Int32 => {
                let values = values.as_primitive::<Int32Type>().values();
                self.each(catalog, tags, values, |kind, value| kind.bits_from_i64(i64::from(value)))
            }
            DataType::UInt32 => {
                let values = values.as_primitive::<UInt32Type>().values();
                self.each(catalog, tags, values, |kind, value| kind.bits_from_i64(i64::from(value)))
            }
            _ => {
                let values: Vec<i64> = values.as_boolean().values().iter().map(i64::from).collect();
                self.each(catalog, tags, &values, Kind::bits_from_i64)
            }
        }
    }

    fn each<T: Copy + std::fmt::Debug>(
        &mut self,
        catalog: &Catalog,
        tags: &[TagId],
        values: &[T],
        convert: impl Fn(Kind, T) -> Option<u64>,
    ) -> Result<ScalarBuffer<u64>, Status> {
        let mut bits = Vec::with_capacity(values.len());
        for (row, (tag, value)) in tags.iter().zip(values).enumerate() {
            let kind = self.kinds.get(catalog, *tag).ok_or_else(|| unknown(row, *tag))?;
            let converted = convert(kind, *value).ok_or_else(|| {
                Status::invalid_argument(format!("row {row}: value {value:?} does not fit kind {} of tag {tag}", kind.name()))
            })?;
            bits.push(converted);
        }
        Ok(bits.into())
    }
}

impl Names {
    /// Makes this the dictionary at hand, unless it is already.
    fn take(&mut self, catalog: &Catalog, values: &ArrayRef) -> Result<(), Status> {
        let same = |held: &ArrayRef| held.to_data().ptr_eq(&values.to_data());
        if self.held.as_ref().is_some_and(same) {
            return Ok(());
        }
        let values_utf8 = arrow::compute::cast(values, &DataType::Utf8).map_err(malformed)?;
        let names: Vec<Option<&str>> = values_utf8.as_string::<i32>().iter().collect();
        let known: Vec<&str> = names.iter().map(|name| name.unwrap_or_default()).collect();
        self.ordinals = catalog.find_many(&known);
        self.held = Some(values.clone());
        Ok(())
    }

    /// A name that was not there when its dictionary came may have been created since.
    #[cold]
    fn look_again(&mut self, catalog: &Catalog, row: usize, key: usize) -> Result<TagId, Status> {
        let values = self.held.as_ref().ok_or_else(|| malformed("no dictionary came before the batch"))?;
        if key >= values.len() || values.is_null(key) {
            return Err(Status::invalid_argument(format!("row {row}: key {key} is not in the dictionary of tag names")));
        }
        let values = arrow::compute::cast(&values.slice(key, 1), &DataType::Utf8).map_err(malformed)?;
        let name = values.as_string::<i32>().value(0);
        let tag = catalog.find(name).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            Status::not_found(format!("row {row}: there is no tag \"{shown}\""))
        })?;
        self.ordinals[key] = Some(tag);
        Ok(tag)
    }
}

fn unknown(row: usize, tag: TagId) -> Status {
    Status::not_found(format!("row {row}: there is no tag with ordinal {tag}"))
}

fn refuse_nulls(batch: &RecordBatch, index: usize) -> Result<(), Status> {
    let Some(nulls) = batch.column(index).logical_nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
    let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or(0);
    let schema = batch.schema();
    Err(Status::invalid_argument(format!("row {row}: column \"{}\" is null", schema.field(index).name())))
}

fn times(column: &ArrayRef) -> Result<ScalarBuffer<i64>, Status> {
    let scaled = |values: &[i64], unit: &str, convert: fn(i64) -> Option<i64>| {
        let mut times = Vec::with_capacity(values.len());
        for (row, value) in values.iter().enumerate() {
            let time = convert(*value);
            times.push(time.ok_or_else(|| {
                Status::invalid_argument(format!("row {row}: time {value} {unit} is not a whole number of microseconds in range"))
            })?);
        }
        Ok(ScalarBuffer::from(times))
    };
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(column.as_primitive::<TimestampSecondType>().values(), "s", |time| time.checked_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(column.as_primitive::<TimestampMillisecondType>().values(), "ms", |time| time.checked_mul(1000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(column.as_primitive::<TimestampMicrosecondType>().values().clone()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let whole = |time: i64| (time % 1000 == 0).then_some(time / 1000);
            scaled(column.as_primitive::<TimestampNanosecondType>().values(), "ns", whole)
        }
        _ => Ok(column.as_primitive::<Int64Type>().values().clone()),
    }
}

fn texts(column: &ArrayRef) -> Result<TextColumn, Status> {
    let array = column.as_string::<i32>();
    let mut texts = TextColumn { offsets: Vec::with_capacity(array.len() + 1), bytes: Vec::new() };
    texts.offsets.push(0);
    for (row, text) in array.iter().enumerate() {
        let text = text.unwrap_or_default();
        if text.len() > Kind::TEXT_BYTES_MAX {
            let message =
                format!("row {row}: a text of {} bytes is longer than the {} allowed", text.len(), Kind::TEXT_BYTES_MAX);
            return Err(Status::invalid_argument(message));
        }
        if text.contains('\0') {
            return Err(Status::invalid_argument(format!("row {row}: a text can't hold a zero byte")));
        }
        texts.push(text.as_bytes());
    }
    Ok(texts)
}

/// Names of all tags of a batch, for messages of the kernel that name only ordinals.
pub(crate) fn row_of(tags: &[TagId]) -> HashMap<TagId, usize> {
    tags.iter().enumerate().map(|(row, tag)| (*tag, row)).rev().collect()
}
