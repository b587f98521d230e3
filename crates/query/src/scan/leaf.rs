//! What the leaves of a plan share: their properties, and streams whose batches are made by reading.
//!
//! Reading blocks, so it runs on the blocking pool and hands batches over a channel of two; a dropped
//! stream ends it at its next batch. What a reader holds is reserved of queries' memory meanwhile.

use super::Place;
use crate::error::{Error, raise};
use crate::fleet::task_trace;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{EmptyRecordBatchStream, Partitioning, PlanProperties, SendableRecordBatchStream};
use futures::TryStreamExt;
use kernel::{ScanStatistics, Snapshot};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// How many batches wait between reader and plan.
const BATCHES_WAITING: usize = 2;
/// What a reader holds: decoded pages and merged rows of a tag, and the batches that wait.
const READER_BYTES: usize = 4 << 20;
/// All readers of a query together reserve no more than this part of queries' memory: with a small share, pages
/// and batches are few, and the rest of the plan needs room as well.
const READERS_PART: usize = 4;

/// A leaf's properties: nothing known of the order of its rows.
pub(crate) fn properties_of(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Where a reader puts its batches.
pub(crate) struct Outlet {
    out: Sender<Result<RecordBatch>>,
    rows: BaselineMetrics,
    metrics: ExecutionPlanMetricsSet,
    partition: usize,
}

impl Outlet {
    /// Hands a batch on; false where no more are wanted.
    pub(crate) fn give(&mut self, batch: RecordBatch) -> bool {
        self.rows.record_output(batch.num_rows());
        batch.num_rows() == 0 || self.out.blocking_send(Ok(batch)).is_ok()
    }

    /// Whether anybody still waits for what is read.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.out.is_closed()
    }

    /// How many rows were handed on.
    pub(crate) fn rows(&self) -> usize {
        self.rows.output_rows().value()
    }

    /// Writes a scan's counts into the node's metrics, for EXPLAIN ANALYZE.
    pub(crate) fn record(&self, counts: &ScanStatistics) {
        let all = [
            ("file_groups", counts.file_groups),
            ("file_groups_pruned", counts.file_groups_pruned),
            ("files", counts.files),
            ("files_pruned", counts.files_pruned),
            ("chunks", counts.chunks),
            ("chunks_pruned", counts.chunks_pruned),
            ("chunks_from_statistics", counts.chunks_from_statistics),
            ("bytes_read", counts.bytes_read),
            ("rows_decoded", counts.rows_decoded),
        ];
        for (name, count) in all {
            let counter = MetricBuilder::new(&self.metrics).counter(name, self.partition);
            counter.add(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}

/// The batches that `read` makes, of `schema`, in a stream.
///
/// # Errors
/// Where queries' memory has no room for one more reader.
pub(crate) fn blocking(
    schema: &SchemaRef,
    metrics: &ExecutionPlanMetricsSet,
    (partition, partitions): (usize, usize),
    context: &TaskContext,
    read: impl FnOnce(&mut Outlet) -> std::result::Result<(), Error> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let pool = context.memory_pool();
    let most = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / READERS_PART / partitions.max(1),
        _ => READER_BYTES,
    };
    let room = MemoryConsumer::new(format!("reader[{partition}]")).register(pool);
    room.try_grow(READER_BYTES.min(most))?;
    let mut builder = RecordBatchReceiverStream::builder(Arc::clone(schema), BATCHES_WAITING);
    let rows = BaselineMetrics::new(metrics, partition);
    let mut outlet = Outlet { out: builder.tx(), rows, metrics: metrics.clone(), partition };
    builder.spawn_blocking(move || {
        let _room = room;
        read(&mut outlet).map_err(DataFusionError::from)
    });
    Ok(builder.build())
}

/// The batches that `read` makes of a snapshot: the statement's here, or the one that this node has for the part.
///
/// # Errors
/// As `blocking`; a leaf of a fleet that was not cut into parts is a fault of ours.
pub(crate) fn reading_of(
    place: &Place,
    schema: &SchemaRef,
    metrics: &ExecutionPlanMetricsSet,
    places: (usize, usize),
    context: Arc<TaskContext>,
    read: impl FnOnce(&Snapshot, &mut Outlet) -> std::result::Result<(), Error> + Send + 'static,
) -> Result<SendableRecordBatchStream> {
    let part = match place {
        Place::Here(_, snapshot) => {
            let snapshot = snapshot.clone();
            return blocking(schema, metrics, places, &context, move |out| read(&snapshot, out));
        }
        Place::Fleet(_) => return Err(raise(Error::Internal, "internal error: a scan of a fleet was not cut into parts").into()),
        Place::Node(part) if part.slices.is_empty() => {
            return Ok(Box::pin(EmptyRecordBatchStream::new(Arc::clone(schema))));
        }
        Place::Node(part) => Arc::clone(part),
    };
    let (of_stream, metrics) = (Arc::clone(schema), metrics.clone());
    let opened = async move {
        // The scheduler's statement runs here for its part.
        let span = task_trace(&context).and_then(|trace| traces::under(Some(trace), "scan slices", traces::Kind::Server));
        let snapshot = part.snapshot().await?;
        blocking(&of_stream, &metrics, places, &context, move |out| {
            let mut span = span;
            span.iter_mut().for_each(|span| span.set("meridian.slices", part.slices.len() as i64));
            let done = read(&snapshot, out);
            if let (Some(span), Err(error)) = (&mut span, &done) {
                span.fail(error.to_string());
            }
            done
        })
    };
    let batches = futures::stream::once(opened).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches)))
}

/// The part of `ExecutionPlan` that is the same for every leaf; `properties` and `metrics` are its fields.
macro_rules! leaf {
    ($name:literal) => {
        fn name(&self) -> &'static str {
            $name
        }

        fn properties(&self) -> &Arc<datafusion::physical_plan::PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            Vec::new()
        }

        fn replace_children(
            self: Arc<Self>,
            _: Vec<Arc<dyn ExecutionPlan>>,
            _: datafusion::physical_plan::execution_plan::ReplaceChildrenOptions,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &Arc<dyn datafusion::physical_plan::PhysicalExpr>,
            ) -> Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn metrics(&self) -> Option<datafusion::physical_plan::metrics::MetricsSet> {
            Some(self.metrics.clone_inner())
        }
    };
}

pub(crate) use leaf;
