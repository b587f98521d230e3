//! `samples`, `integers` and `events`.

use super::source::chosen;
use super::statement;
use crate::access::Privileges;
use crate::engine::Engine;
use crate::fleet::{Away, Names};
use crate::scan::condition::asked;
use crate::scan::node::SeriesScan;
use crate::scan::selection::{evaluate, select};
use crate::scan::{Place, Sort, Target};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;
use types::TagId;

/// A table of samples or events.
#[derive(Clone)]
pub(crate) struct SeriesTable {
    pub engine: Arc<Engine>,
    pub sort: Sort,
    /// Only these tags: what a join with `tags` was found to leave.
    pub within: Option<Arc<[TagId]>>,
    pub schema: SchemaRef,
}

impl fmt::Debug for SeriesTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SeriesTable({})", self.sort.name())
    }
}

/// The column of ordinals, in tables that show it.
pub(crate) const ORDINAL: &str = "__ordinal";

/// The columns of a table, and the ordinal as the last.
pub(crate) fn with_ordinal(sort: Sort) -> SchemaRef {
    let mut fields: Vec<_> = sort.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ORDINAL, DataType::UInt64, false)));
    Arc::new(Schema::new(fields))
}

impl SeriesTable {
    pub(crate) fn new(engine: &Arc<Engine>, sort: Sort) -> Self {
        SeriesTable { engine: Arc::clone(engine), sort, within: None, schema: Arc::clone(sort.schema()) }
    }

    /// The table with a last column that holds the tag's ordinal.
    pub(crate) fn with_ordinal(engine: &Arc<Engine>, sort: Sort) -> Self {
        SeriesTable { engine: Arc::clone(engine), sort, within: None, schema: with_ordinal(sort) }
    }

    /// What filters ask for, over the statement's snapshot.
    pub(crate) fn target(&self, state: &dyn Session, filters: &[Expr]) -> Result<Target> {
        let mut computed = |expr: &Expr, candidates: &[TagId]| evaluate(state, &self.engine.catalog, expr, candidates);
        let statement = statement(state)?;
        let reach = statement.rights.reach(&self.engine.catalog, self.sort.full_name(), Privileges::SELECT)?;
        let holds = |kind| self.sort.holds(kind);
        let selected = select(&self.engine, &holds, filters, self.within.as_ref(), &reach, &mut computed)?;
        let place = match statement.snapshot() {
            Some(snapshot) => Place::Here(Arc::clone(&self.engine), snapshot),
            None => Place::Fleet(Arc::new(Away::new(&self.engine, &selected))),
        };
        Ok(Target {
            place,
            sort: self.sort,
            tags: selected.tags,
            range: selected.range,
            good_only: selected.good_only,
            batch_rows: self.engine.settings.batch_rows,
            bound: reach.tags().is_some(),
        })
    }
}

#[async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match asked(filter) {
            None => TableProviderFilterPushDown::Unsupported,
            Some(asked) if asked.exact => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let target = Arc::new(self.target(state, filters)?);
        let columns = chosen(projection, &self.schema);
        let schema = Arc::new(self.schema.project(&columns)?);
        let partitions = state.config().target_partitions();
        let read = target.schema_read(&schema);
        let scan = Arc::new(SeriesScan::new(target, columns.into(), read, partitions, limit));
        Ok(Names::over_scan(scan, &schema, &self.engine))
    }
}
