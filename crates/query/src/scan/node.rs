//! The plan node that reads samples or events.

use super::batches;
use super::leaf::{Outlet, leaf, properties_of, reading_of};
use super::newest::Newest;
use super::parts::Deal;
use super::{Sort, Target};
use crate::error::Error;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream};
use kernel::{Direction, Projection, ScanPart, ScanRequest, ScanStatistics, Snapshot};
use std::fmt;
use std::sync::Arc;
use types::TimeRange;

/// The number of the column `time` in every table of samples.
pub(crate) const TIME: usize = 1;

/// The newest or oldest rows only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub rows: usize,
    pub newest: bool,
    /// Whether rows of the last time that counts are all wanted, since something else orders them too.
    pub ties: bool,
}

/// What is read, and which of its columns: everything that a reader needs of the node.
#[derive(Clone)]
struct Reading {
    target: Arc<Target>,
    /// Columns of the table, by number; one past the table's own is the ordinal.
    columns: Arc<[usize]>,
    schema: SchemaRef,
    limit: Option<usize>,
    edge: Option<Edge>,
}

/// Reads samples or events.
pub(crate) struct SeriesScan {
    reading: Reading,
    partitions: usize,
    deal: Arc<Deal<ScanPart>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for SeriesScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SeriesScan({})", self.reading.target.sort.name())
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
        Self::of(Reading { target, columns, schema, limit, edge: None }, partitions.max(1))
    }

    fn of(reading: Reading, partitions: usize) -> Self {
        let properties = properties_of(&reading.schema, partitions);
        SeriesScan { reading, partitions, deal: Arc::default(), properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same scan that reads no more than it must for the newest (or oldest) rows of all.
    pub(crate) fn at_edge(&self, edge: Edge) -> Self {
        Self::of(Reading { edge: Some(edge), ..self.reading.clone() }, 1)
    }

    /// The same scan of another target: what one node of a fleet reads of it.
    pub(crate) fn of_part(&self, target: Arc<Target>) -> Self {
        Self::of(Reading { target, ..self.reading.clone() }, self.partitions)
    }

    /// What is read.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.reading.target
    }

    /// What says how it is read: columns, partitions, limit, edge.
    pub(crate) fn how(&self) -> (&Arc<[usize]>, usize, Option<usize>, Option<Edge>) {
        (&self.reading.columns, self.partitions, self.reading.limit, self.reading.edge)
    }

    /// The scan that `how` told of, over another target.
    pub(crate) fn again(
        target: Arc<Target>,
        columns: Arc<[usize]>,
        schema: SchemaRef,
        partitions: usize,
        limit: Option<usize>,
        edge: Option<Edge>,
    ) -> Self {
        Self::of(Reading { target, columns, schema, limit, edge }, partitions.max(1))
    }

    /// The number of the table's column that is shown at `index`.
    pub(crate) fn column(&self, index: usize) -> Option<usize> {
        self.reading.columns.get(index).copied()
    }
}

impl Reading {
    fn request(&self, range: TimeRange) -> ScanRequest {
        // Rows of bad quality are left out after reading, so a limit can't count before.
        let most = self.edge.map(|edge| edge.rows).or(self.limit).filter(|_| !self.target.good_only);
        let newest = self.edge.is_some_and(|edge| edge.newest);
        let batch_rows = self.target.batch_rows.max(1);
        ScanRequest {
            tags: self.target.tags.clone(),
            texts: self.target.sort == Sort::Texts,
            range,
            projection: Projection {
                values: self.columns.contains(&2),
                qualities: self.columns.contains(&3) || self.target.good_only,
            },
            direction: if newest { Direction::Descending } else { Direction::Ascending },
            rows_per_tag_max: most.map(|rows| rows as u64),
            // At an edge every batch tells how little of the rest can count; under a limit the first may be enough.
            batch_rows: self.edge.map(|edge| edge.rows).or(most).map_or(batch_rows, |rows| rows.clamp(1, batch_rows)),
        }
    }

    fn convert(&self, batch: kernel::ScanBatch) -> Result<RecordBatch, Error> {
        batches::check(&batch)?;
        batches::convert(&self.target, &self.schema, &self.columns, batch)
    }

    /// Reads parts to their end, or to the limit, or until nobody listens.
    fn read(&self, parts: Vec<ScanPart>, out: &mut Outlet, counts: &mut ScanStatistics) -> Result<(), Error> {
        let mut left = self.limit;
        for mut part in parts {
            while left != Some(0)
                && let Some(batch) = part.next_batch()?
            {
                let mut batch = self.convert(batch)?;
                if let Some(left) = &mut left {
                    batch = batch.slice(0, batch.num_rows().min(*left));
                    *left -= batch.num_rows();
                }
                if !out.give(batch) {
                    return Ok(());
                }
            }
            counts.add(&part.statistics());
        }
        Ok(())
    }

    /// Walks ranges of time from the wanted edge on until enough rows were read; whoever sorts above finds the
    /// wanted ones among them, since every later range lies further away.
    fn read_edge(&self, snapshot: &Snapshot, edge: Edge, out: &mut Outlet, counts: &mut ScanStatistics) -> Result<(), Error> {
        let mut ranges = snapshot.time_ranges(&self.target.tags, self.target.range);
        if !edge.newest {
            ranges.reverse();
        }
        let mut newest = Newest::new(edge);
        let time = self.columns.iter().position(|column| *column == TIME);
        for range in ranges {
            for mut part in snapshot.scan(&self.request(range), 1) {
                part.narrow(newest.range());
                while let Some(batch) = part.next_batch()? {
                    let batch = self.convert(batch)?;
                    // What is ordered by time shows it.
                    if let Some(times) = time.map(|at| batch.column(at).as_primitive::<TimestampMicrosecondType>()) {
                        newest.add(times.values());
                        part.narrow(newest.range());
                    }
                    if !out.give(batch) {
                        return Ok(());
                    }
                }
                counts.add(&part.statistics());
            }
            if out.rows() >= edge.rows {
                break;
            }
        }
        Ok(())
    }
}

impl DisplayAs for SeriesScan {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { target, schema, limit, edge, .. } = &self.reading;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(out, "SeriesScan: table={}, columns=[{}], ", target.sort.name(), names.join(", "))?;
        crate::explain::describe(target, out)?;
        if let Some(edge) = edge {
            write!(out, ", {}={}", if edge.newest { "newest" } else { "oldest" }, edge.rows)?;
        }
        if let Some(limit) = limit {
            write!(out, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SeriesScan {
    leaf!("SeriesScan");

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::of(self.reading.clone(), self.partitions)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reading = self.reading.clone();
        let (deal, partitions) = (Arc::clone(&self.deal), self.partitions);
        let read = move |snapshot: &Snapshot, out: &mut Outlet| {
            let target = &reading.target;
            let mut counts = ScanStatistics::default();
            if target.is_empty() {
                return Ok(());
            }
            if let Some(edge) = reading.edge {
                reading.read_edge(snapshot, edge, out, &mut counts)?;
            } else {
                let cut = || snapshot.scan(&reading.request(target.range), partitions);
                reading.read(deal.take(partition, partitions, cut), out, &mut counts)?;
            }
            out.record(&counts);
            Ok(())
        };
        reading_of(&self.reading.target.place, &self.reading.schema, &self.metrics, (partition, partitions), context, read)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self::of(Reading { limit, ..self.reading.clone() }, self.partitions)))
    }

    fn fetch(&self) -> Option<usize> {
        self.reading.limit
    }
}
