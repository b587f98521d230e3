//! A plan node whose batches are made by a function on the blocking pool: tags, snapshot values and
//! what the node says of itself.

use crate::error::Error;
use crate::scan::leaf::{blocking, leaf, properties_of};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream};
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

/// The places of the columns that a scan is asked for: all of them where it is not asked for some.
pub(crate) fn chosen(projection: Option<&Vec<usize>>, schema: &Schema) -> Vec<usize> {
    projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect())
}

/// A scan of a table that is made whole, as one batch of `whole`, when a query reads it.
pub(crate) fn made_anew(
    name: &str,
    whole: &SchemaRef,
    projection: Option<&Vec<usize>>,
    make: impl Fn() -> std::result::Result<RecordBatch, Error> + Send + Sync + 'static,
) -> Result<Arc<dyn ExecutionPlan>> {
    let columns = chosen(projection, whole);
    let shown = Arc::new(whole.project(&columns)?);
    let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| -> std::result::Result<(), Error> {
        taker(make()?.project(&columns)?);
        Ok(())
    };
    Ok(Arc::new(SourceScan::new(format!("NodeScan: table={name}"), shown, Arc::new(make))))
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
    leaf!("SourceScan");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let make = Arc::clone(&self.make);
        let read = move |out: &mut crate::scan::leaf::Outlet| make(&mut |batch| out.give(batch));
        blocking(&self.schema, &self.metrics, (partition, 1), &context, read)
    }
}
