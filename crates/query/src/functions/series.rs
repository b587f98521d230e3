//! `generate_series(start, stop[, step])` as a table: of integers, of doubles, of times.
//!
//! Its arguments may be anything but columns of the tables beside it (`rewrite.rs` makes subqueries of them). They are
//! computed when the statement runs; steps of times go along the session's clocks, one from another, as PostgreSQL's do.

use super::spans::{key, shift_one};
use super::typed::zone_of;
use crate::context::task_context;
use crate::error::{Error, raise};
use crate::schema::{local_type, span_type, time_type};
use crate::tables::source::SourceScan;
use crate::tables::statement;
use crate::time::Zone;
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Schema};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionImpl, TableProvider};
use datafusion::common::{DFSchema, internal_datafusion_err};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlanBuilder, cast, lit};
use datafusion::physical_plan::{ExecutionPlan, collect};
use std::sync::Arc;

/// Its name, and its column's.
pub(crate) const SERIES: &str = "generate_series";
/// How many rows a batch has.
const BATCH_ROWS: usize = 8192;

#[derive(Debug)]
pub(super) struct Series;

impl TableFunctionImpl for Series {
    fn call(&self, args: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        if !(2..=3).contains(&args.len()) {
            return Err(raise(Error::UnknownFunction, "generate_series takes a start, a stop and perhaps a step").into());
        }
        let is_correlated = |arg: &Expr| match arg {
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            arg => !arg.column_refs().is_empty() || arg.contains_outer(),
        };
        if args.iter().any(is_correlated) {
            return Err(raise(Error::Unsupported, "generate_series of columns is not supported").into());
        }
        let kind = kind_of(&args[..2])?;
        let timed = matches!(kind, DataType::Timestamp(..));
        let step = match args.get(2) {
            Some(step) => cast(step.clone(), if timed { span_type() } else { kind.clone() }),
            None if timed => return Err(raise(Error::UnknownFunction, "generate_series of times needs a step").into()),
            None => cast(lit(1_i64), kind.clone()),
        };
        let args = vec![cast(args[0].clone(), kind.clone()), cast(args[1].clone(), kind.clone()), step];
        let schema = Arc::new(Schema::new(vec![Field::new(SERIES, kind, true)]));
        Ok(Arc::new(SeriesTable { schema, args }))
    }
}

/// What the series is of.
fn kind_of(ends: &[Expr]) -> Result<DataType> {
    let types = ends.iter().map(|end| end.get_type(&DFSchema::empty())).collect::<Result<Vec<_>>>()?;
    let any = |test: fn(&DataType) -> bool| types.iter().any(test);
    if any(|kind| matches!(kind, DataType::Timestamp(_, Some(_)) | DataType::Date32)) {
        Ok(time_type())
    } else if any(|kind| matches!(kind, DataType::Timestamp(_, None))) {
        Ok(local_type())
    } else if any(|kind| kind.is_floating() || kind.is_decimal()) {
        Ok(DataType::Float64)
    } else if types.iter().all(|kind| kind.is_integer() || kind.is_null()) {
        Ok(DataType::Int64)
    } else {
        Err(raise(Error::UnknownFunction, format!("No function matches generate_series({}, {})", types[0], types[1])).into())
    }
}

#[derive(Debug)]
struct SeriesTable {
    schema: SchemaRef,
    args: Vec<Expr>,
}

/// Arguments as arrays of one value.
async fn computed(state: &dyn Session, args: &[Expr]) -> Result<Vec<ArrayRef>> {
    let params = statement(state)?.params.clone();
    let named = args.iter().enumerate().map(|(number, arg)| arg.clone().alias(format!("a{number}")));
    let plan = LogicalPlanBuilder::empty(true).project(named)?.build()?;
    let plan = if params.is_empty() { plan } else { plan.with_param_values(params)? };
    let batches = collect(state.create_physical_plan(&plan).await?, task_context(state)).await?;
    let row = batches.into_iter().find(|batch| batch.num_rows() == 1);
    row.map(|row| row.columns().to_vec()).ok_or_else(|| internal_datafusion_err!("a row of arguments is none"))
}

#[async_trait]
impl TableProvider for SeriesTable {
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
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let steps = Steps::of(&computed(state, &self.args).await?, zone_of(state.config_options()))?;
        let wanted = projection.is_none_or(|columns| !columns.is_empty());
        let schema = if wanted { Arc::clone(&self.schema) } else { Arc::new(Schema::empty()) };
        let shown = Arc::clone(&schema);
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| -> std::result::Result<(), Error> {
            let (mut steps, mut left) = (steps, limit.unwrap_or(usize::MAX));
            while left > 0 {
                let column = steps.next(left.min(BATCH_ROWS));
                left -= column.len();
                let options = RecordBatchOptions::new().with_row_count(Some(column.len()));
                let columns = if wanted { vec![Arc::clone(&column)] } else { Vec::new() };
                if column.is_empty() || !taker(RecordBatch::try_new_with_options(Arc::clone(&shown), columns, &options)?) {
                    break;
                }
            }
            Ok(())
        };
        Ok(Arc::new(SourceScan::new(SERIES.to_owned(), schema, Arc::new(make))))
    }
}

/// How far a series is: where it is next (None = at its end), where it ends, how it goes on.
#[derive(Clone, Copy, Debug)]
enum Steps {
    Integers(Option<i64>, i64, i64),
    Doubles { start: f64, stop: f64, step: f64, made: u64 },
    Times { next: Option<i64>, stop: i64, step: IntervalMonthDayNano, zone: Option<Zone> },
}

impl Steps {
    fn of(args: &[ArrayRef], zone: Zone) -> Result<Steps> {
        let missing = args.iter().any(|arg| arg.is_null(0));
        let zero = || DataFusionError::from(raise(Error::InvalidParameter, "step size cannot equal zero"));
        Ok(match args[0].data_type() {
            _ if missing => Steps::Integers(None, 0, 1),
            DataType::Int64 => {
                let [start, stop, step] = [0, 1, 2].map(|index| args[index].as_primitive::<Int64Type>().value(0));
                (step != 0).then_some(Steps::Integers(Some(start), stop, step)).ok_or_else(zero)?
            }
            DataType::Float64 => {
                let [start, stop, step] = [0, 1, 2].map(|index| args[index].as_primitive::<Float64Type>().value(0));
                (step != 0.0).then_some(Steps::Doubles { start, stop, step, made: 0 }).ok_or_else(zero)?
            }
            kind => {
                let [next, stop] = [0, 1].map(|index| args[index].as_primitive::<TimestampMicrosecondType>().value(0));
                let step = args[2].as_primitive::<IntervalMonthDayNanoType>().value(0);
                let zone = super::zones::is_moment(kind).then_some(zone);
                (key(step) != 0).then_some(Steps::Times { next: Some(next), stop, step, zone }).ok_or_else(zero)?
            }
        })
    }

    /// The next rows, up to so many; none at the end.
    fn next(&mut self, rows: usize) -> ArrayRef {
        match self {
            Steps::Integers(next, stop, step) => {
                let values = std::iter::from_fn(|| {
                    let value = next.filter(|value| if *step > 0 { value <= stop } else { value >= stop })?;
                    *next = value.checked_add(*step);
                    Some(value)
                });
                Arc::new(Int64Array::from_iter_values(values.take(rows)))
            }
            Steps::Doubles { start, stop, step, made } => {
                let values = std::iter::from_fn(|| {
                    let value = *start + *made as f64 * *step;
                    *made += 1;
                    (if *step > 0.0 { value <= *stop } else { value >= *stop }).then_some(value)
                });
                Arc::new(Float64Array::from_iter_values(values.take(rows)))
            }
            Steps::Times { next, stop, step, zone } => {
                let forth = key(*step) > 0;
                let values = std::iter::from_fn(|| {
                    let value = next.filter(|value| if forth { value <= stop } else { value >= stop })?;
                    *next = shift_one(value, *step, 1, *zone).filter(|later| *later != value);
                    Some(value)
                });
                let values = TimestampMicrosecondArray::from_iter_values(values.take(rows));
                Arc::new(if zone.is_some() { values.with_timezone("UTC") } else { values })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut steps: Steps) -> Vec<i64> {
        let rows = steps.next(9);
        match rows.data_type() {
            DataType::Int64 => rows.as_primitive::<Int64Type>().values().to_vec(),
            _ => rows.as_primitive::<TimestampMicrosecondType>().values().to_vec(),
        }
    }

    #[test]
    fn series_end() {
        assert_eq!(all(Steps::Integers(Some(1), 10, 4)), [1, 5, 9]);
        assert_eq!(all(Steps::Integers(Some(3), 1, -1)), [3, 2, 1]);
        assert_eq!(all(Steps::Integers(Some(3), 1, 1)), [0; 0]);
        assert_eq!(all(Steps::Integers(Some(i64::MAX - 1), i64::MAX, 1)), [i64::MAX - 1, i64::MAX]);
    }

    /// As PostgreSQL 15: a month after the last of January is the last of February, and from there on the 29th.
    #[test]
    fn months_go_one_from_another() {
        let at = |text: &str| crate::time::parse(text, Zone::Utc).unwrap();
        let step = IntervalMonthDayNano::new(1, 0, 0);
        let steps = Steps::Times { next: Some(at("2024-01-31")), stop: at("2024-04-30"), step, zone: Some(Zone::Utc) };
        assert_eq!(all(steps), ["2024-01-31", "2024-02-29", "2024-03-29", "2024-04-29"].map(at));
    }
}
