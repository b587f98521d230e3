//! The plan node that reads samples or events.
//!
//! Reading blocks, so it runs on the blocking pool and hands batches over a channel of two; a
//! dropped stream ends it at its next batch.

use super::Target;
use super::batches;
use super::parts::Deal;
use crate::error::Error;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, SendableRecordBatchStream,
};
use kernel::{Direction, Projection, ScanPart, ScanRequest, ScanStatistics};
use std::fmt;
use std::sync::Arc;
use types::TimeRange;

/// How many batches wait between reader and plan.
const BATCHES_WAITING: usize = 2;

/// The newest or oldest rows only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub rows: usize,
    pub newest: bool,
}

/// Reads samples or events.
pub(crate) struct SeriesScan {
    target: Arc<Target>,
    /// Columns of the table, by number; one past the table's own is the ordinal.
    columns: Arc<[usize]>,
    schema: SchemaRef,
    partitions: usize,
    batch_rows: usize,
    limit: Option<usize>,
    edge: Option<Edge>,
    deal: Arc<Deal<ScanPart>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for SeriesScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SeriesScan({})", self.target.sort.name())
    }
}

impl SeriesScan {
    pub(crate) fn new(
        target: Arc<Target>,
        columns: Arc<[usize]>,
        schema: SchemaRef,
        partitions: usize,
        limit: Option<usize>,
    ) -> Self {
        let batch_rows = target.engine.settings.batch_rows.max(1);
        let partitions = partitions.max(1);
        let properties = properties_of(&schema, partitions);
        let metrics = ExecutionPlanMetricsSet::new();
        SeriesScan {
            target,
            columns,
            schema,
            partitions,
            batch_rows,
            limit,
            edge: None,
            deal: Arc::default(),
            properties,
            metrics,
        }
    }

    fn again(&self) -> Self {
        let (target, columns) = (Arc::clone(&self.target), Arc::clone(&self.columns));
        let mut scan = SeriesScan::new(target, columns, Arc::clone(&self.schema), self.partitions, self.limit);
        scan.edge = self.edge;
        scan
    }

    /// The same scan that reads no more than it must for the newest (or oldest) rows of all.
    pub(crate) fn at_edge(&self, edge: Edge) -> Self {
        let mut scan = self.again();
        scan.partitions = 1;
        scan.edge = Some(edge);
        scan.properties = properties_of(&scan.schema, 1);
        scan
    }

    /// The number of the table's column that is shown at `index`.
    pub(crate) fn column(&self, index: usize) -> Option<usize> {
        self.columns.get(index).copied()
    }

    fn request(&self, range: TimeRange) -> ScanRequest {
        // Rows of bad quality are left out after reading, so a limit can't count before.
        let most = self.edge.map(|edge| edge.rows).or(self.limit).filter(|_| !self.target.good_only);
        let newest = self.edge.is_some_and(|edge| edge.newest);
        ScanRequest {
            tags: self.target.tags.clone(),
            texts: self.target.sort == super::Sort::Texts,
            range,
            projection: Projection {
                values: self.columns.contains(&2),
                qualities: self.columns.contains(&3) || self.target.good_only,
            },
            direction: if newest { Direction::Descending } else { Direction::Ascending },
            rows_per_tag_max: most.map(|rows| rows as u64),
            batch_rows: self.batch_rows,
        }
    }

    fn ranges(&self) -> Vec<TimeRange> {
        let mut ranges = self.target.snapshot.time_ranges(&self.target.tags, self.target.range);
        if self.edge.is_some_and(|edge| !edge.newest) {
            ranges.reverse();
        }
        ranges
    }
}

/// A leaf's properties: nothing known of the order of its rows.
pub(crate) fn properties_of(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Writes a scan's counts into the node's metrics, for EXPLAIN ANALYZE.
pub(crate) fn record(metrics: &ExecutionPlanMetricsSet, partition: usize, counts: &ScanStatistics) {
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
        MetricBuilder::new(metrics).counter(name, partition).add(usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// What one partition reads with.
struct Reader {
    target: Arc<Target>,
    columns: Arc<[usize]>,
    schema: SchemaRef,
    left: Option<usize>,
    out: tokio::sync::mpsc::Sender<Result<arrow::array::RecordBatch>>,
    rows: BaselineMetrics,
    counts: ScanStatistics,
}

impl Reader {
    /// Reads parts to their end, or to the limit, or until nobody listens. Whether to go on.
    fn read(&mut self, parts: Vec<ScanPart>) -> Result<bool, Error> {
        for mut part in parts {
            let more = self.part(&mut part);
            self.counts.add(&part.statistics());
            if !more? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn part(&mut self, part: &mut ScanPart) -> Result<bool, Error> {
        while let Some(batch) = part.next_batch()? {
            batches::check(&batch)?;
            let mut batch = batches::convert(&self.target, &self.schema, &self.columns, batch)?;
            if let Some(left) = &mut self.left {
                batch = batch.slice(0, batch.num_rows().min(*left));
                *left -= batch.num_rows();
            }
            self.rows.record_output(batch.num_rows());
            if batch.num_rows() > 0 && self.out.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
            if self.left == Some(0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl DisplayAs for SeriesScan {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(out, "SeriesScan: table={}, columns=[{}], ", self.target.sort.name(), names.join(", "))?;
        super::super::explain::describe(&self.target, out)?;
        if let Some(edge) = self.edge {
            write!(out, ", {}={}", if edge.newest { "newest" } else { "oldest" }, edge.rows)?;
        }
        if let Some(limit) = self.limit {
            write!(out, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SeriesScan {
    fn name(&self) -> &'static str {
        "SeriesScan"
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

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.again()))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_WAITING);
        let mut reader = Reader {
            target: Arc::clone(&self.target),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&self.schema),
            left: self.limit,
            out: builder.tx(),
            rows: BaselineMetrics::new(&self.metrics, partition),
            counts: ScanStatistics::default(),
        };
        let metrics = self.metrics.clone();
        let scan = self.again();
        let (deal, partitions) = (Arc::clone(&self.deal), self.partitions);
        builder.spawn_blocking(move || {
            let target = Arc::clone(&scan.target);
            let outcome = if target.is_empty() {
                Ok(true)
            } else if let Some(edge) = scan.edge {
                read_edge(&mut reader, &scan, edge)
            } else {
                let cut = || target.snapshot.scan(&scan.request(target.range), partitions);
                reader.read(deal.take(partition, partitions, cut))
            };
            record(&metrics, partition, &reader.counts);
            outcome.map(|_| ()).map_err(DataFusionError::from)
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut scan = self.again();
        scan.limit = limit;
        Some(Arc::new(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}

/// Walks ranges of time from the wanted edge on until enough rows were read; whoever sorts above
/// finds the wanted ones among them, since every later range lies further away.
fn read_edge(reader: &mut Reader, scan: &SeriesScan, edge: Edge) -> Result<bool, Error> {
    for range in scan.ranges() {
        let request = scan.request(range);
        if !reader.read(scan.target.snapshot.scan(&request, 1))? {
            return Ok(false);
        }
        if reader.rows.output_rows().value() >= edge.rows {
            break;
        }
    }
    Ok(true)
}
