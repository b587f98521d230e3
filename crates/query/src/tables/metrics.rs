//! `meridian.metrics`: what the process counts, made anew for each query.

use super::node::{Named, texts};
use super::source::made_anew;
use crate::engine::Engine;
use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Its name.
pub(super) const NAME: &str = "metrics";

struct Table {
    engine: Arc<Engine>,
    schema: SchemaRef,
}

impl fmt::Debug for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(NAME)
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let (engine, schema) = (Arc::clone(&self.engine), Arc::clone(&self.schema));
        // On the blocking pool: data nodes of a fleet are asked.
        made_anew(NAME, &self.schema, projection, move || {
            let read = engine.metrics().map(|metrics| Handle::current().block_on(metrics.read()));
            let all = read.unwrap_or_default();
            let labels = |labels: &[(String, String)]| {
                let pairs = labels.iter().map(|(name, value)| (name.clone(), serde_json::Value::String(value.clone())));
                serde_json::Value::Object(pairs.collect()).to_string()
            };
            let columns = vec![
                texts(all.iter().map(|metric| metric.name.clone())),
                texts(all.iter().map(|metric| labels(&metric.labels))),
                Arc::new(all.iter().map(|metric| Some(metric.value)).collect::<Float64Array>()),
            ];
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        })
    }
}

/// The table.
pub(super) fn table(engine: &Arc<Engine>) -> Named {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let schema =
        Schema::new(vec![field("name", DataType::Utf8), field("labels", DataType::Utf8), field("value", DataType::Float64)]);
    (NAME, Arc::new(Table { engine: Arc::clone(engine), schema: Arc::new(schema) }))
}
