//! Rows of the point path as a batch, for whoever asks through `Prepared::execute`.

use super::{Cell, RowSink};
use crate::error::{Error, raise};
use crate::schema::time_type;
use arrow::array::{
    ArrayBuilder, Float64Builder, Int16Builder, Int64Builder, IntervalMonthDayNanoBuilder, RecordBatch, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, SchemaRef};

/// A column as it grows.
enum Column {
    Text(StringViewBuilder),
    Time(TimestampMicrosecondBuilder),
    Double(Float64Builder),
    Integer(Int64Builder),
    Small(Int16Builder),
    Span(IntervalMonthDayNanoBuilder),
}

impl Column {
    fn of(kind: &DataType) -> Result<Column, Error> {
        Ok(match kind {
            DataType::Utf8View => Column::Text(StringViewBuilder::new()),
            kind if *kind == time_type() => Column::Time(TimestampMicrosecondBuilder::new().with_data_type(time_type())),
            DataType::Float64 => Column::Double(Float64Builder::new()),
            DataType::Int64 => Column::Integer(Int64Builder::new()),
            DataType::Int16 => Column::Small(Int16Builder::new()),
            DataType::Interval(IntervalUnit::MonthDayNano) => Column::Span(IntervalMonthDayNanoBuilder::new()),
            kind => return Err(raise(Error::Internal, format!("internal error: no cell of the point path is of type {kind}"))),
        })
    }

    fn add(&mut self, cell: &Cell<'_>) -> Result<(), Error> {
        match (self, cell) {
            (Column::Text(column), Cell::Text(text)) => column.append_value(text),
            (Column::Time(column), Cell::Time(us)) => column.append_value(*us),
            (Column::Double(column), Cell::Double(value)) => column.append_value(*value),
            (Column::Integer(column), Cell::Integer(value)) => column.append_value(*value),
            (Column::Small(column), Cell::Small(value)) => column.append_value(*value),
            (Column::Span(column), Cell::Span(us)) => column.append_value(span(*us)),
            (Column::Text(column), Cell::Null) => column.append_null(),
            (Column::Time(column), Cell::Null) => column.append_null(),
            (Column::Double(column), Cell::Null) => column.append_null(),
            (Column::Integer(column), Cell::Null) => column.append_null(),
            (Column::Small(column), Cell::Null) => column.append_null(),
            (Column::Span(column), Cell::Null) => column.append_null(),
            _ => return Err(raise(Error::Internal, format!("internal error: {cell:?} is of another type than its column"))),
        }
        Ok(())
    }

    fn builder(&mut self) -> &mut dyn ArrayBuilder {
        match self {
            Column::Text(column) => column,
            Column::Time(column) => column,
            Column::Double(column) => column,
            Column::Integer(column) => column,
            Column::Small(column) => column,
            Column::Span(column) => column,
        }
    }
}

/// A sink that makes a batch.
pub(super) struct Gathered {
    columns: Vec<Column>,
}

impl Gathered {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, Error> {
        let columns = schema.fields().iter().map(|field| Column::of(field.data_type())).collect::<Result<_, _>>()?;
        Ok(Gathered { columns })
    }

    pub(super) fn finish(mut self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let arrays = self.columns.iter_mut().map(|column| column.builder().finish()).collect();
        Ok(RecordBatch::try_new(SchemaRef::clone(schema), arrays)?)
    }
}

impl RowSink for Gathered {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Error> {
        self.columns.iter_mut().zip(cells).try_for_each(|(column, cell)| column.add(cell))
    }
}

/// A length of time as an interval: days first, then the rest of a day.
pub(crate) fn span(us: i64) -> IntervalMonthDayNano {
    const DAY_US: i64 = 86_400_000_000;
    // i64 microseconds are at most 106,751,991 days, which an i32 holds.
    IntervalMonthDayNano::new(0, (us / DAY_US) as i32, us % DAY_US * 1000)
}
