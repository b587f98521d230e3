//! Rows of the catalogue's tables: values by the names of their columns, and what stands where none is given.

use super::declared::Declared;
use super::types;
use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Number(i64),
    Flag(bool),
    /// Microseconds since 1970.
    Moment(i64),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Cell {
        Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Cell {
        Cell::Flag(flag)
    }
}

impl From<Vec<i64>> for Cell {
    fn from(numbers: Vec<i64>) -> Cell {
        Cell::Numbers(numbers)
    }
}

impl From<Vec<String>> for Cell {
    fn from(texts: Vec<String>) -> Cell {
        Cell::Texts(texts)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Values by column; those left out are blank.
pub(super) type Row = Vec<(&'static str, Cell)>;

/// `row! { oid = 1, relname = "a" }`.
macro_rules! row {
    ($($name:ident = $value:expr),* $(,)?) => { vec![$((stringify!($name), $crate::catalogue::cells::Cell::from($value))),*] };
}
pub(super) use row;

/// The columns of a relation.
pub(super) fn schema_of(relation: &Declared) -> SchemaRef {
    Arc::new(Schema::new(relation.columns.iter().map(|(name, kind)| types::field(name, kind)).collect::<Vec<_>>()))
}

/// What stands where a row says nothing: in PostgreSQL's tables numbers and flags are never NULL, in views anything may be.
fn blank(relation: &Declared, kind: &DataType) -> Cell {
    match kind {
        _ if relation.kind != "r" => Cell::Null,
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 => Cell::Number(0),
        DataType::Boolean => Cell::Flag(false),
        _ => Cell::Null,
    }
}

/// The rows as one batch.
pub(super) fn batch(relation: &Declared, rows: &[Row]) -> Result<RecordBatch> {
    let schema = schema_of(relation);
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let blank = blank(relation, field.data_type());
        // Rows of a table mostly name their columns alike.
        let mut at = 0;
        let own = |row: &Row| {
            let is = |(name, _): &(&'static str, Cell)| name == field.name();
            if !row.get(at).is_some_and(is) {
                at = row.iter().position(is).unwrap_or(usize::MAX);
            }
            row.get(at).map_or_else(|| blank.clone(), |(_, cell)| cell.clone())
        };
        array(field.data_type(), rows.iter().map(own).collect())
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new_with_options(
        schema,
        columns,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len())),
    )?)
}

fn number(cell: &Cell) -> Option<i64> {
    if let Cell::Number(number) = cell { Some(*number) } else { None }
}

macro_rules! numbers {
    ($builder:ident, $cells:ident) => {{
        let mut builder = $builder::new();
        // Every number in the catalogue fits its column; one that would not is NULL.
        $cells.iter().for_each(|cell| builder.append_option(number(cell).and_then(|number| number.try_into().ok())));
        Arc::new(builder.finish())
    }};
}

fn array(kind: &DataType, cells: Vec<Cell>) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::Int16 => numbers!(Int16Builder, cells),
        DataType::Int32 => numbers!(Int32Builder, cells),
        DataType::Int64 => numbers!(Int64Builder, cells),
        DataType::Float32 => {
            let mut builder = Float32Builder::new();
            cells.iter().for_each(|cell| builder.append_option(number(cell).map(|number| number as f32)));
            Arc::new(builder.finish())
        }
        DataType::Float64 => {
            let mut builder = Float64Builder::new();
            cells.iter().for_each(|cell| builder.append_option(number(cell).map(|number| number as f64)));
            Arc::new(builder.finish())
        }
        DataType::Boolean => {
            let mut builder = BooleanBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(if let Cell::Flag(flag) = cell { Some(*flag) } else { None }));
            Arc::new(builder.finish())
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(if let Cell::Text(text) = cell { Some(text) } else { None }));
            Arc::new(builder.finish())
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let moment = |cell: &Cell| if let Cell::Moment(us) = cell { Some(*us) } else { None };
            let moments: TimestampMicrosecondArray = cells.iter().map(moment).collect();
            Arc::new(moments.with_timezone(Arc::clone(zone)))
        }
        DataType::List(item) => list(item, &cells)?,
        other => new_null_array(other, cells.len()),
    })
}

fn list(item: &arrow::datatypes::FieldRef, cells: &[Cell]) -> Result<ArrayRef> {
    let wanted = DataType::List(Arc::clone(item));
    let made: ArrayRef = if item.data_type() == &DataType::Utf8 {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for cell in cells {
            let texts = if let Cell::Texts(texts) = cell { Some(texts.iter().map(Some)) } else { None };
            builder.append_option(texts);
        }
        Arc::new(builder.finish())
    } else {
        let mut builder = ListBuilder::new(Int64Builder::new());
        for cell in cells {
            let numbers = if let Cell::Numbers(numbers) = cell { Some(numbers.iter().map(|number| Some(*number))) } else { None };
            builder.append_option(numbers);
        }
        Arc::new(builder.finish())
    };
    Ok(arrow::compute::cast(&made, &wanted)?)
}
