//! Rows of the point path as a batch, for whoever asks through `Prepared::execute`.

use super::{Cell, RowSink};
use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// A sink that makes a batch.
pub(super) struct Gathered {
    columns: Vec<Vec<ScalarValue>>,
    types: Vec<DataType>,
}

impl Gathered {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        Gathered { columns: vec![Vec::new(); types.len()], types }
    }

    pub(super) fn finish(self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let rows = self.columns.first().map_or(0, Vec::len);
        let array = |(values, kind): (Vec<ScalarValue>, &DataType)| {
            if rows == 0 { Ok(arrow::array::new_empty_array(kind)) } else { ScalarValue::iter_to_array(values) }
        };
        let arrays = self.columns.into_iter().zip(&self.types).map(array).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
    }
}

impl RowSink for Gathered {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Error> {
        for ((column, kind), cell) in self.columns.iter_mut().zip(&self.types).zip(cells) {
            column.push(match cell {
                Cell::Null => ScalarValue::try_from(kind)?,
                Cell::Text(text) => ScalarValue::Utf8View(Some((*text).to_owned())),
                Cell::Time(us) => ScalarValue::TimestampMicrosecond(Some(*us), Some("UTC".into())),
                Cell::Double(value) => ScalarValue::Float64(Some(*value)),
                Cell::Integer(value) => ScalarValue::Int64(Some(*value)),
                Cell::Small(value) => ScalarValue::Int16(Some(*value)),
                Cell::Span(us) => ScalarValue::IntervalMonthDayNano(Some(span(*us))),
            });
        }
        Ok(())
    }
}

/// A length of time as an interval: days first, then the rest of a day.
pub(crate) fn span(us: i64) -> arrow::datatypes::IntervalMonthDayNano {
    const DAY_US: i64 = 86_400_000_000;
    // i64 microseconds are at most 106,751,991 days, which an i32 holds.
    arrow::datatypes::IntervalMonthDayNano::new(0, (us / DAY_US) as i32, us % DAY_US * 1000)
}
