//! `values_at(tags, times)` as a table, where a plan needs it; the point path answers it alone.
//!
//! Its arguments may be anything that no row has to be read for: literals, parameters, `now()`, casts and
//! arrays of such. They are computed when the statement runs.

use crate::access::Access;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::point::{far_value_rows, value_rows};
use crate::schema::{self, texts_type};
use crate::tables::source::{SourceScan, chosen};
use crate::tables::statement;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionImpl, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::{ColumnarValue, ExecutionPlan};
use std::fmt;
use std::sync::Arc;

pub(super) struct ValuesAt {
    engine: Arc<Engine>,
    access: Arc<Access>,
}

impl ValuesAt {
    pub(super) fn new(engine: &Arc<Engine>, access: &Arc<Access>) -> Self {
        ValuesAt { engine: Arc::clone(engine), access: Arc::clone(access) }
    }
}

impl fmt::Debug for ValuesAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("values_at")
    }
}

impl TableFunctionImpl for ValuesAt {
    fn call(&self, args: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let [tags, times] = args else {
            return Err(raise(Error::UnknownFunction, "values_at takes two arrays: values_at(tags, times)").into());
        };
        if args.iter().any(|arg| !arg.column_refs().is_empty() || arg.contains_outer()) {
            return Err(raise(Error::Unsupported, "values_at of columns is not supported")
                .with_hint("its arrays are literals, parameters or computed from them; join its rows with what they are for")
                .into());
        }
        Ok(Arc::new(ValuesAtTable {
            engine: Arc::clone(&self.engine),
            access: Arc::clone(&self.access),
            tags: tags.clone(),
            times: times.clone(),
        }))
    }
}

/// Whether a table is this function's.
pub(crate) fn is_values_at(table: &dyn TableProvider) -> bool {
    table.downcast_ref::<ValuesAtTable>().is_some()
}

struct ValuesAtTable {
    engine: Arc<Engine>,
    access: Arc<Access>,
    tags: Expr,
    times: Expr,
}

impl fmt::Debug for ValuesAtTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ValuesAtTable")
    }
}

/// An array that needs no row, computed now; empty for NULL.
fn computed(state: &dyn Session, expr: &Expr, wanted: &DataType) -> Result<ArrayRef> {
    let statement = statement(state)?;
    let bound = expr.clone().transform(|node| {
        let Expr::Placeholder(placeholder) = &node else { return Ok(Transformed::no(node)) };
        let number = placeholder.id.trim_start_matches('$').parse::<usize>().ok();
        let value = number.and_then(|number| statement.params.get(number.checked_sub(1)?));
        let missing = || DataFusionError::from(raise(Error::ParameterCount, format!("there is no parameter {}", placeholder.id)));
        Ok(Transformed::yes(Expr::Literal(value.ok_or_else(missing)?.clone(), None)))
    })?;
    let physical = state.create_physical_expr(bound.data, &DFSchema::empty())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    let value = match physical.evaluate(&one_row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    };
    match value {
        ScalarValue::List(list) if list.is_valid(0) => Ok(list.value(0)),
        value if value.is_null() => Ok(arrow::array::new_empty_array(wanted)),
        other => Err(raise(Error::Type, format!("values_at takes two arrays, but one is {}", other.data_type())).into()),
    }
}

#[async_trait]
impl TableProvider for ValuesAtTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&schema::VALUES_AT)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let DataType::List(text) = texts_type() else { return Err(DataFusionError::Internal("texts are a list".to_owned())) };
        let tags = computed(state, &self.tags, text.data_type())?;
        let times = computed(state, &self.times, &schema::time_type())?;
        let columns = chosen(projection, &schema::VALUES_AT);
        let shown = Arc::new(schema::VALUES_AT.project(&columns)?);
        let (engine, access, statement) = (Arc::clone(&self.engine), Arc::clone(&self.access), statement(state)?);
        let snapshot = statement.snapshot();
        let zone = super::typed::zone_of(state.config_options());
        let title = format!("ValuesAt: pairs={}", tags.len());
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| -> std::result::Result<(), Error> {
            let rows = match &snapshot {
                Some(snapshot) => value_rows(&engine, &access, snapshot, Arc::clone(&tags), &times, zone)?,
                None => {
                    let asked = far_value_rows(&engine, &access, Arc::clone(&tags), &times, zone, &statement.asker);
                    tokio::runtime::Handle::current().block_on(asked)?
                }
            };
            taker(rows.project(&columns)?);
            Ok(())
        };
        Ok(Arc::new(SourceScan::new(title, shown, Arc::new(make))))
    }
}
