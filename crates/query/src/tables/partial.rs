//! The partial aggregates of the kernel, as a table that only plans name: a row a tag, bin and part; where nobody
//! asks for the tag, a row of all tags of a kind.

use super::series::SeriesTable;
use super::source::chosen;
use crate::error::Error;
use crate::fleet::Names;
use crate::functions::one_nan_of;
use crate::scan::leaf::{Outlet, leaf, properties_of, reading_of};
use crate::scan::parts::Deal;
use crate::scan::{RunTags, Sort, Target};
use crate::schema::time_type;
use crate::value;
use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream};
use kernel::{AggregateBatch, AggregatePart, AggregateRequest, Bins, ScanStatistics, Snapshot};
use std::fmt;
use std::sync::Arc;
use types::Timestamp;

/// The place of the column of names.
const TAG: usize = 0;
/// The type of exact sums: of any integers, as many as there can be.
const INTEGER_SUM: DataType = DataType::Decimal128(28, 0);

/// The table.
#[derive(Debug)]
pub(crate) struct PartialTable {
    series: SeriesTable,
    filters: Vec<Expr>,
    bins: Option<Bins>,
    schema: SchemaRef,
}

impl PartialTable {
    /// The partial aggregates of what `filters` leave of a table of samples.
    pub(crate) fn new(series: SeriesTable, filters: Vec<Expr>, bins: Option<Bins>) -> Self {
        let schema = Arc::new(Schema::new(fields_of(series.sort)));
        PartialTable { series, filters, bins, schema }
    }
}

#[async_trait]
impl TableProvider for PartialTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let columns = chosen(projection, &self.schema);
        let schema = Arc::new(self.schema.project(&columns)?);
        let partitions = state.config().target_partitions().max(1);
        let target = self.series.target(state, &self.filters)?;
        let read = target.schema_read(&schema);
        let scan = Arc::new(PartialScan::new(Arc::new(target), self.bins, columns.into(), read, partitions));
        Ok(Names::over_scan(scan, &schema, &self.series.engine))
    }
}

/// The columns that partial aggregates of a sort have.
fn fields_of(sort: Sort) -> Vec<Field> {
    let value = if sort == Sort::Integers { DataType::Int64 } else { DataType::Float64 };
    vec![
        Field::new("tag", DataType::Utf8View, false),
        Field::new("bin", time_type(), false),
        Field::new("count", DataType::Int64, false),
        Field::new("sum", DataType::Float64, false),
        Field::new("integer_sum", INTEGER_SUM, false),
        Field::new("min", value.clone(), false),
        Field::new("max", value.clone(), false),
        Field::new("first_time", time_type(), false),
        Field::new("first", value.clone(), false),
        Field::new("last_time", time_type(), false),
        Field::new("last", value, false),
    ]
}

pub(crate) struct PartialScan {
    target: Arc<Target>,
    bins: Option<Bins>,
    columns: Arc<[usize]>,
    schema: SchemaRef,
    partitions: usize,
    deal: Arc<Deal<AggregatePart>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PartialScan {
    fn new(target: Arc<Target>, bins: Option<Bins>, columns: Arc<[usize]>, schema: SchemaRef, partitions: usize) -> Self {
        let properties = properties_of(&schema, partitions);
        let metrics = ExecutionPlanMetricsSet::new();
        PartialScan { target, bins, columns, schema, partitions, deal: Arc::default(), properties, metrics }
    }

    /// The same scan of another target: what one node of a fleet reads of it.
    pub(crate) fn of_part(&self, target: Arc<Target>) -> Self {
        Self::new(target, self.bins, Arc::clone(&self.columns), Arc::clone(&self.schema), self.partitions)
    }

    /// What is read.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What says how it is read: bins, columns, partitions.
    pub(crate) fn how(&self) -> (Option<Bins>, &Arc<[usize]>, usize) {
        (self.bins, &self.columns, self.partitions)
    }

    /// The scan that `how` told of; None where there is no such column.
    pub(crate) fn again(target: Arc<Target>, bins: Option<Bins>, columns: Arc<[usize]>, partitions: usize) -> Option<Self> {
        let whole = target.schema_read(&Schema::new(fields_of(target.sort)));
        let schema = Arc::new(whole.project(&columns).ok()?);
        Some(Self::new(target, bins, columns, schema, partitions.max(1)))
    }
}

impl fmt::Debug for PartialScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PartialScan")
    }
}

impl DisplayAs for PartialScan {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PartialScan: table={}, ", self.target.sort.name())?;
        crate::explain::describe(&self.target, out)?;
        if let Some(bins) = self.bins {
            write!(out, ", bins of {} us", bins.width_us)?;
        }
        if !self.columns.contains(&TAG) {
            out.write_str(", all tags as one")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for PartialScan {
    leaf!("PartialScan");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (target, columns, schema) = (Arc::clone(&self.target), Arc::clone(&self.columns), Arc::clone(&self.schema));
        let (deal, partitions, bins) = (Arc::clone(&self.deal), self.partitions, self.bins);
        let place = self.target.place.clone();
        let read = move |snapshot: &Snapshot, out: &mut Outlet| {
            if target.is_empty() {
                return Ok(());
            }
            let request = AggregateRequest { tags: target.tags.clone(), range: target.range, bins, good_only: target.good_only };
            let parts = deal.take(partition, partitions, || snapshot.aggregate(&request, partitions));
            let mut counts = ScanStatistics::default();
            let by_tag = columns.contains(&TAG);
            for mut part in parts {
                let mut next =
                    || if by_tag { part.next_batch() } else { part.next_merged(|batch, kept| shown(&target, batch, kept)) };
                while let Some(batch) = next()? {
                    if !out.give(convert(&target, &schema, &columns, &batch)?) {
                        return Ok(());
                    }
                }
                counts.add(&part.statistics());
            }
            out.record(&counts);
            Ok(())
        };
        reading_of(&place, &self.schema, &self.metrics, (partition, partitions), context, read)
    }
}

fn times(column: &[Timestamp], rows: &[usize]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| column[*row].0)).with_timezone("UTC"))
}

fn values(sort: Sort, batch: &AggregateBatch, bits: &[u64], rows: &[usize]) -> std::result::Result<ArrayRef, Error> {
    if sort == Sort::Integers {
        return Ok(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| bits[*row] as i64))));
    }
    let doubles =
        rows.iter().map(|row| value::double(batch.kinds[*row], bits[*row])).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(one_nan_of(&(Arc::new(Float64Array::from(doubles)) as ArrayRef)))
}

/// Which rows of a batch count: those of tags that are there, and of kinds that the table shows.
fn shown(target: &Target, batch: &AggregateBatch, kept: &mut Vec<bool>) {
    target.shown_runs(&batch.tags, &batch.kinds, kept);
}

fn convert(
    target: &Target,
    schema: &SchemaRef,
    columns: &[usize],
    batch: &AggregateBatch,
) -> std::result::Result<RecordBatch, Error> {
    let (names, rows): (_, Vec<usize>) = if columns.contains(&TAG) {
        let RunTags { names, shown } = target.run_tags(batch.tags.iter().copied().zip(batch.kinds.iter().copied()));
        (names, (0..batch.tags.len()).filter(|row| shown[*row]).collect())
    } else {
        (None, (0..batch.tags.len()).collect())
    };
    if target.sort == Sort::Doubles && columns.iter().any(|column| [3, 5, 6, 8, 10].contains(column)) {
        // What plain reading would refuse to show as a double is refused here too.
        values(target.sort, batch, &batch.mins, &rows)?;
        values(target.sort, batch, &batch.maxs, &rows)?;
    }
    let array =
        |column: &usize| -> std::result::Result<ArrayRef, Error> {
            Ok(match *column {
                TAG => match &names {
                    Some(names) => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| names[*row].as_str()))),
                    None => Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| batch.tags[*row].0))),
                },
                1 => times(&batch.bins, &rows),
                2 => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| batch.counts[*row] as i64))),
                3 => {
                    Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| {
                        if batch.kinds[*row].is_integer() { batch.integer_sums[*row] as f64 } else { batch.sums[*row] }
                    })))
                }
                4 => {
                    let sums = Decimal128Array::from_iter_values(rows.iter().map(|row| batch.integer_sums[*row]));
                    Arc::new(sums.with_data_type(INTEGER_SUM))
                }
                5 => values(target.sort, batch, &batch.mins, &rows)?,
                6 => values(target.sort, batch, &batch.maxs, &rows)?,
                7 => times(&batch.first_times, &rows),
                8 => values(target.sort, batch, &batch.firsts, &rows)?,
                9 => times(&batch.last_times, &rows),
                _ => values(target.sort, batch, &batch.lasts, &rows)?,
            })
        };
    let arrays = columns.iter().map(array).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}
