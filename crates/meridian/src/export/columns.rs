//! Rows in PostgreSQL's binary form, gathered into Arrow batches.
//!
//! Promises: every value exactly; one that Arrow's type can't hold is an error, never another value. A type that has no like in
//! Arrow (numeric without a scale, interval, uuid) is text, as SQL shows it.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | bool, int2, int4, int8, float4, float8, bytea | Boolean, Int16, Int32, Int64, Float32, Float64, Binary |
//! | text, varchar, name, json and the like; numeric, interval, uuid | Utf8 |
//! | timestamptz, timestamp, date, time | Timestamp(µs, UTC), Timestamp(µs), Date32, Time64(µs) |
//! | an array of one dimension | List |

use super::numeric;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, ListArray, RecordBatch, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use query::text as shown;
use std::sync::Arc;
use tokio_postgres::types::{FromSql, Kind, Type};
use tokio_postgres::{Column, Row};

/// Rows of a batch at most.
const BATCH_ROWS_MAX: usize = 1 << 16;
/// Bytes of values in a batch at most (and what one row may bring over it).
const BATCH_BYTES_MAX: usize = 8 << 20;
/// PostgreSQL counts time from 2000-01-01: so many days, and microseconds, after 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The columns of an answer, and the rows that were not taken yet.
pub struct Columns {
    schema: SchemaRef,
    types: Vec<Type>,
    values: Vec<Values>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    /// Columns for an answer.
    ///
    /// # Errors
    /// Why it can't be written, for a person.
    pub fn of(columns: &[Column]) -> Result<Columns, String> {
        if columns.is_empty() {
            return Err("the statement answers no columns; --query takes one that reads".to_owned());
        }
        let values: Result<Vec<Values>, String> = columns
            .iter()
            .map(|column| {
                Values::of(column.type_()).ok_or_else(|| {
                    let (name, of) = (column.name(), column.type_().name());
                    format!("column \"{name}\" is of type {of}, which Arrow has no like of; cast it to text, or export CSV")
                })
            })
            .collect();
        let values = values?;
        let fields = columns.iter().zip(&values).map(|(column, values)| Field::new(column.name(), values.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let types = columns.iter().map(|column| column.type_().clone()).collect();
        Ok(Columns { schema, types, values, rows: 0, bytes: 0 })
    }

    /// The columns' names and Arrow types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What a reader of the file has to know.
    pub fn notes(&self) -> Vec<String> {
        let numeric = |of: &Type| match of.kind() {
            Kind::Array(item) => *item == Type::NUMERIC,
            _ => *of == Type::NUMERIC,
        };
        let columns = self.schema.fields().iter().zip(&self.types).filter(|(_, of)| numeric(of));
        let note = |(field, _): (&FieldRef, &Type)| {
            format!("column \"{}\" is numeric without a scale: it is written as text; cast it to float8 or bigint", field.name())
        };
        columns.map(note).collect()
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn push(&mut self, row: &Row) -> Result<(), String> {
        for (index, values) in self.values.iter_mut().enumerate() {
            let raw = row.try_get::<_, Option<Raw>>(index).map_err(|error| error.to_string())?.map(|raw| raw.0);
            self.bytes += raw.map_or(0, <[u8]>::len) + size_of::<usize>();
            if values.push(raw).is_none() {
                let (name, of) = (self.schema.field(index).name(), self.types[index].name());
                return Err(format!("column \"{name}\" has a value that Arrow's like of {of} can't hold; cast it to text"));
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Whether there are enough for a batch.
    pub fn are_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Whether there is no row.
    pub fn are_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows so far.
    ///
    /// # Errors
    /// Those of Arrow.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new(self.schema.clone(), self.values.iter_mut().map(Values::finish).collect())
    }
}

/// The values of one column.
enum Values {
    Bool(BooleanBuilder),
    I16(Int16Builder),
    I32(Int32Builder),
    I64(Int64Builder),
    F32(Float32Builder),
    F64(Float64Builder),
    Bytes(BinaryBuilder),
    Text(StringBuilder),
    /// Text that is made of another form.
    Shown(StringBuilder, fn(&[u8]) -> Option<String>),
    Moment(TimestampMicrosecondBuilder),
    Local(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Clock(Time64MicrosecondBuilder),
    List(Box<List>),
}

/// Arrays of one dimension.
struct List {
    item: FieldRef,
    items: Values,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

/// What a value says; the outer None where it says nothing.
fn said<T>(raw: Option<&[u8]>, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    match raw {
        None => Some(None),
        Some(raw) => read(raw).map(Some),
    }
}

fn i64_of(raw: &[u8]) -> Option<i64> {
    raw.try_into().ok().map(i64::from_be_bytes)
}

fn i32_of(raw: &[u8]) -> Option<i32> {
    raw.try_into().ok().map(i32::from_be_bytes)
}

fn text_of(raw: &[u8]) -> Option<&str> {
    std::str::from_utf8(raw).ok()
}

/// A moment or a clock's time; the infinities are none that Arrow has.
fn moment_of(raw: &[u8]) -> Option<i64> {
    i64_of(raw).filter(|us| *us != i64::MIN && *us != i64::MAX)?.checked_add(EPOCH_US)
}

fn interval(raw: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    let (us, days, months) = (i64_of(raw.get(..8)?)?, i32_of(raw.get(8..12)?)?, i32_of(raw.get(12..)?)?);
    shown::write_interval(&mut out, months, days, us);
    String::from_utf8(out).ok()
}

fn uuid(raw: &[u8]) -> Option<String> {
    let whole = u128::from_be_bytes(raw.try_into().ok()?);
    let part = |shift: u32, digits: u32| (whole >> shift) & ((1_u128 << (4 * digits)) - 1);
    Some(format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12)))
}

/// Its first byte is the form's version.
fn jsonb(raw: &[u8]) -> Option<String> {
    raw.strip_prefix(&[1]).and_then(text_of).map(str::to_owned)
}

impl Values {
    /// For values of a type; None where Arrow has no like of it.
    fn of(of: &Type) -> Option<Values> {
        Some(match *of {
            Type::BOOL => Values::Bool(BooleanBuilder::new()),
            Type::INT2 => Values::I16(Int16Builder::new()),
            Type::INT4 => Values::I32(Int32Builder::new()),
            Type::INT8 => Values::I64(Int64Builder::new()),
            Type::FLOAT4 => Values::F32(Float32Builder::new()),
            Type::FLOAT8 => Values::F64(Float64Builder::new()),
            Type::BYTEA => Values::Bytes(BinaryBuilder::new()),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::XML | Type::UNKNOWN => {
                Values::Text(StringBuilder::new())
            }
            Type::NUMERIC => Values::Shown(StringBuilder::new(), numeric::text),
            Type::INTERVAL => Values::Shown(StringBuilder::new(), interval),
            Type::UUID => Values::Shown(StringBuilder::new(), uuid),
            Type::JSONB => Values::Shown(StringBuilder::new(), jsonb),
            Type::TIMESTAMPTZ => Values::Moment(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Type::TIMESTAMP => Values::Local(TimestampMicrosecondBuilder::new()),
            Type::DATE => Values::Date(Date32Builder::new()),
            Type::TIME => Values::Clock(Time64MicrosecondBuilder::new()),
            _ => match of.kind() {
                Kind::Array(item) => {
                    let items = Values::of(item)?;
                    let item = Arc::new(Field::new_list_field(items.data_type(), true));
                    Values::List(Box::new(List { item, items, ends: vec![0], valid: Vec::new() }))
                }
                _ => return None,
            },
        })
    }

    fn data_type(&self) -> DataType {
        match self {
            Values::Bool(_) => DataType::Boolean,
            Values::I16(_) => DataType::Int16,
            Values::I32(_) => DataType::Int32,
            Values::I64(_) => DataType::Int64,
            Values::F32(_) => DataType::Float32,
            Values::F64(_) => DataType::Float64,
            Values::Bytes(_) => DataType::Binary,
            Values::Text(_) | Values::Shown(..) => DataType::Utf8,
            Values::Moment(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Values::Local(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Values::Date(_) => DataType::Date32,
            Values::Clock(_) => DataType::Time64(TimeUnit::Microsecond),
            Values::List(list) => DataType::List(list.item.clone()),
        }
    }

    /// Adds a value, or NULL. None where it is none of the type.
    fn push(&mut self, raw: Option<&[u8]>) -> Option<()> {
        match self {
            Values::Bool(to) => to.append_option(said(raw, |raw| raw.first().map(|byte| *byte != 0))?),
            Values::I16(to) => to.append_option(said(raw, |raw| raw.try_into().ok().map(i16::from_be_bytes))?),
            Values::I32(to) => to.append_option(said(raw, i32_of)?),
            Values::I64(to) => to.append_option(said(raw, i64_of)?),
            Values::F32(to) => to.append_option(said(raw, |raw| raw.try_into().ok().map(f32::from_be_bytes))?),
            Values::F64(to) => to.append_option(said(raw, |raw| raw.try_into().ok().map(f64::from_be_bytes))?),
            Values::Bytes(to) => to.append_option(raw),
            Values::Text(to) => match raw {
                None => to.append_null(),
                Some(raw) => to.append_value(text_of(raw)?),
            },
            Values::Shown(to, show) => to.append_option(said(raw, *show)?),
            Values::Moment(to) | Values::Local(to) => to.append_option(said(raw, moment_of)?),
            Values::Date(to) => {
                let day = |raw: &[u8]| i32_of(raw).filter(|day| *day != i32::MIN && *day != i32::MAX)?.checked_add(EPOCH_DAYS);
                to.append_option(said(raw, day)?);
            }
            Values::Clock(to) => to.append_option(said(raw, i64_of)?),
            Values::List(list) => list.push(raw)?,
        }
        Some(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Bool(from) => Arc::new(from.finish()),
            Values::I16(from) => Arc::new(from.finish()),
            Values::I32(from) => Arc::new(from.finish()),
            Values::I64(from) => Arc::new(from.finish()),
            Values::F32(from) => Arc::new(from.finish()),
            Values::F64(from) => Arc::new(from.finish()),
            Values::Bytes(from) => Arc::new(from.finish()),
            Values::Text(from) | Values::Shown(from, _) => Arc::new(from.finish()),
            Values::Moment(from) | Values::Local(from) => Arc::new(from.finish()),
            Values::Date(from) => Arc::new(from.finish()),
            Values::Clock(from) => Arc::new(from.finish()),
            Values::List(list) => Arc::new(list.finish()),
        }
    }
}

impl List {
    /// Adds an array: its dimensions, whether NULLs are in it, the type; length and lower bound of each dimension; the items.
    fn push(&mut self, raw: Option<&[u8]>) -> Option<()> {
        self.valid.push(raw.is_some());
        let mut end = *self.ends.last()?;
        if let Some(raw) = raw {
            let number = |at: usize| raw.get(at..at + 4).and_then(i32_of);
            let (count, mut at) = match number(0)? {
                0 => (0, 12),
                1 => (number(12)?, 20),
                // Arrow's lists of lists are of one type only where the dimensions are known before the first row.
                _ => return None,
            };
            for _ in 0..count {
                let length = number(at)?;
                at += 4;
                let value = match usize::try_from(length) {
                    Err(_) => None,
                    Ok(length) => Some(raw.get(at..at.checked_add(length)?)?),
                };
                at += value.map_or(0, <[u8]>::len);
                self.items.push(value)?;
            }
            end = end.checked_add(count)?;
        }
        self.ends.push(end);
        Some(())
    }

    fn finish(&mut self) -> ListArray {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        ListArray::new(self.item.clone(), OffsetBuffer::new(ends.into()), self.items.finish(), Some(valid))
    }
}
