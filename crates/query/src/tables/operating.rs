//! The tables of whoever operates a fleet: made anew for each query.

use super::source::made_anew;
use crate::engine::Engine;
use crate::operator::{Operator, OperatorTable};
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
        let (operator, name) = (Arc::clone(&self.operator), self.table.name);
        // On the blocking pool.
        made_anew(name, &self.table.schema, projection, move || Handle::current().block_on(operator.rows(name)))
    }
}

/// Their names.
pub(super) fn names(engine: &Engine) -> Vec<&'static str> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    operator.tables().into_iter().map(|table| table.name).collect()
}

pub(super) fn all(engine: &Arc<Engine>) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |table: OperatorTable| {
        let name = table.name;
        (name, Arc::new(Operating { table, operator: Arc::clone(operator) }) as Arc<dyn TableProvider>)
    };
    operator.tables().into_iter().map(made).collect()
}
