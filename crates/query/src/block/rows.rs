//! Rows that a block holds, as a table: of samples, of snapshot values or of tags.
//!
//! Promises: a value becomes a double only where it is asked for, of the rows that conditions on tag, time and quality leave: an
//! integer that no double holds is an error of those who read it, as it is of stored rows.

use crate::error::{Error, raise};
use crate::functions::one_nan_of;
use crate::scan::condition::asked;
use crate::tables::source::{SourceScan, chosen};
use crate::value::double;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{and, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type, UInt64Type};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use std::fmt;
use std::sync::Arc;
use types::Kind;

/// The column of values, and the one of their kinds, whose numbers are `Kind`'s.
const VALUE: &str = "value";
const KIND: &str = "__kind";

/// The table.
pub(super) struct OwnRows {
    shown: SchemaRef,
    /// Columns of the same names; where doubles are shown, bits instead of them, and kinds as the last.
    rows: RecordBatch,
}

impl fmt::Debug for OwnRows {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "OwnRows({})", self.rows.num_rows())
    }
}

impl OwnRows {
    /// Of columns as they are shown.
    pub(super) fn new(rows: RecordBatch) -> OwnRows {
        OwnRows { shown: rows.schema(), rows }
    }

    /// Of columns of a table, with bits (of `UInt64`) in the place of values, and the kinds' numbers (of `UInt8`) behind them.
    pub(super) fn of_bits(shown: SchemaRef, columns: Vec<ArrayRef>) -> Result<OwnRows, Error> {
        let of_bits = |field: &Arc<Field>| {
            let bits = field.name() == VALUE;
            if bits { Arc::new(Field::new(VALUE, DataType::UInt64, field.is_nullable())) } else { Arc::clone(field) }
        };
        let mut fields: Vec<_> = shown.fields().iter().map(of_bits).collect();
        fields.push(Arc::new(Field::new(KIND, DataType::UInt8, false)));
        Ok(OwnRows { rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, shown })
    }
}

/// The rows that conditions leave, as `schema` wants them.
fn asked_for(rows: &RecordBatch, conditions: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let mut rows = rows.clone();
    let mut kept: Option<BooleanArray> = None;
    for condition in conditions {
        let holds = condition.evaluate(&rows)?.into_array(rows.num_rows())?;
        let holds = holds.as_boolean().clone();
        kept = Some(kept.map_or(Ok(holds.clone()), |kept| and(&kept, &holds))?);
    }
    if let Some(kept) = kept {
        rows = filter_record_batch(&rows, &kept)?;
    }
    let column = |field: &Arc<Field>| -> Result<ArrayRef, Error> {
        let missing = || raise(Error::Internal, format!("internal error: a block's rows have no column {}", field.name()));
        let column = rows.column_by_name(field.name()).ok_or_else(missing)?;
        match rows.column_by_name(KIND) {
            Some(kinds) if field.name() == VALUE => doubles(column, kinds),
            _ => Ok(Arc::clone(column)),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn doubles(bits: &ArrayRef, kinds: &ArrayRef) -> Result<ArrayRef, Error> {
    let (bits, kinds) = (bits.as_primitive::<UInt64Type>(), kinds.as_primitive::<UInt8Type>());
    let one = |row: usize| {
        let kind = Kind::from_u8(kinds.value(row)).unwrap_or(Kind::F64);
        bits.is_valid(row).then(|| double(kind, bits.value(row))).transpose()
    };
    let out = (0..bits.len()).map(one).collect::<Result<Float64Array, Error>>()?;
    Ok(one_nan_of(&(Arc::new(out) as ArrayRef)))
}

#[async_trait]
impl TableProvider for OwnRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shown)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // All that none of them asks for is the value.
        let of = |filter: &&Expr| match asked(filter) {
            None => TableProviderFilterPushDown::Unsupported,
            Some(_) => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let frame = DFSchema::try_from(self.rows.schema())?;
        let condition = |filter: &Expr| {
            let bare = filter.clone().transform(|node| {
                Ok(match node {
                    Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
                    node => Transformed::no(node),
                })
            })?;
            state.create_physical_expr(bare.data, &frame)
        };
        let conditions = filters.iter().map(condition).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(self.shown.project(&chosen(projection, &self.shown))?);
        let (rows, wanted) = (self.rows.clone(), Arc::clone(&schema));
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| {
            taker(asked_for(&rows, &conditions, &wanted)?);
            Ok(())
        };
        let title = format!("OwnRows: rows={} of this transaction block", self.rows.num_rows());
        Ok(Arc::new(SourceScan::new(title, schema, Arc::new(make))))
    }
}
