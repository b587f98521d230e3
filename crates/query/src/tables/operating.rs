//! The tables of whoever operates a fleet: made anew for each query.

use super::source::SourceScan;
use crate::engine::Engine;
use crate::error::Error;
use crate::operator::{Operator, OperatorTable};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;

struct Operating {
    table: OperatorTable,
    operator: Arc<dyn Operator>,
}

impl fmt::Debug for Operating {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.table.name)
    }
}

#[async_trait]
impl TableProvider for Operating {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = &self.table.schema;
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let shown = Arc::new(schema.project(&columns)?);
        let (operator, name) = (Arc::clone(&self.operator), self.table.name);
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| -> std::result::Result<(), Error> {
            // On the blocking pool.
            taker(Handle::current().block_on(operator.rows(name))?.project(&columns)?);
            Ok(())
        };
        Ok(Arc::new(SourceScan::new(format!("NodeScan: table={name}"), shown, Arc::new(make))))
    }
}

pub(super) fn all(engine: &Arc<Engine>) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |table: OperatorTable| {
        let name = table.name;
        (name, Arc::new(Operating { table, operator: Arc::clone(operator) }) as Arc<dyn TableProvider>)
    };
    operator.tables().into_iter().map(made).collect()
}
