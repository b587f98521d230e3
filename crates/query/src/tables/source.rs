//! A plan node whose batches are made by a function on the blocking pool: tags, snapshot values and
//! what the node says of itself.

use crate::error::Error;
use crate::scan::node::properties_of;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, SendableRecordBatchStream,
};
use std::fmt;
use std::sync::Arc;

/// Makes batches and hands each on; false from the taker means that no more are wanted.
pub(crate) type Make = Arc<dyn Fn(&mut dyn FnMut(RecordBatch) -> bool) -> std::result::Result<(), Error> + Send + Sync>;

/// The node.
pub(crate) struct SourceScan {
    title: String,
    schema: SchemaRef,
    make: Make,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SourceScan {
    /// A node shown as `title`; every batch that `make` makes has `schema`.
    pub(crate) fn new(title: String, schema: SchemaRef, make: Make) -> Self {
        let properties = properties_of(&schema, 1);
        SourceScan { title, schema, make, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl fmt::Debug for SourceScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.title)
    }
}

impl DisplayAs for SourceScan {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.title)
    }
}

impl ExecutionPlan for SourceScan {
    fn name(&self) -> &'static str {
        "SourceScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let out = builder.tx();
        let make = Arc::clone(&self.make);
        let rows = BaselineMetrics::new(&self.metrics, partition);
        builder.spawn_blocking(move || {
            let mut taker = |batch: RecordBatch| {
                rows.record_output(batch.num_rows());
                out.blocking_send(Ok(batch)).is_ok()
            };
            make(&mut taker).map_err(DataFusionError::from)
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
