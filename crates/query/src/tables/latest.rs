//! `latest`: the snapshot value of every tag that has one, from memory.

use super::source::{SourceScan, chosen};
use super::statement;
use crate::access::Privileges;
use crate::context::StatementContext;
use crate::engine::Engine;
use crate::error::Error;
use crate::point::{as_text, span};
use crate::scan::condition::{Condition, asked};
use crate::scan::selection::{evaluate, select};
use crate::schema;
use crate::value;
use arrow::array::{
    ArrayRef, Float64Builder, Int16Array, IntervalMonthDayNanoArray, RecordBatch, RecordBatchOptions, StringViewArray,
    StringViewBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use kernel::TagSelection;
use std::fmt;
use std::sync::Arc;
use types::{Kind, Kinds, TagId};

/// Tags asked for at once.
const TAGS_AT_ONCE: usize = 4096;

/// The table.
pub(crate) struct LatestTable {
    engine: Arc<Engine>,
}

impl fmt::Debug for LatestTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("LatestTable")
    }
}

impl LatestTable {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        LatestTable { engine: Arc::clone(engine) }
    }
}

fn on_tag(filter: &Expr) -> bool {
    asked(filter).is_some_and(|asked| matches!(asked.condition, Condition::Tag(_) | Condition::Never(_)))
}

#[async_trait]
impl TableProvider for LatestTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&schema::LATEST)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| {
            if on_tag(filter) { TableProviderFilterPushDown::Exact } else { TableProviderFilterPushDown::Unsupported }
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
        let columns = chosen(projection, &schema::LATEST);
        let schema = Arc::new(schema::LATEST.project(&columns)?);
        let mut computed = |expr: &Expr, candidates: &[TagId]| evaluate(state, &self.engine.catalog, expr, candidates);
        let statement = statement(state)?;
        let reach = statement.rights.reach(&self.engine.catalog, "public.latest", Privileges::SELECT)?;
        let tags = select(&self.engine, &|_| true, filters, None, &reach, &mut computed)?.tags;
        let shown = if let TagSelection::List(list) = &tags { list.len().to_string() } else { "all".to_owned() };
        let of = reach.tags().map_or_else(|| self.engine.catalog.len(), |tags| tags.len() as u64);
        let title = format!("LatestScan: tags={shown} of {of}");
        let engine = Arc::clone(&self.engine);
        let of_batch = Arc::clone(&schema);
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| {
            let mut left = limit.unwrap_or(usize::MAX);
            let mut one = |ids: &[TagId]| -> std::result::Result<bool, Error> {
                let batch = batch(&engine, &of_batch, &columns, ids, &statement)?;
                let batch = batch.slice(0, batch.num_rows().min(left));
                left -= batch.num_rows();
                Ok((batch.num_rows() == 0 || taker(batch)) && left > 0)
            };
            each_chunk(&engine, &tags, &mut one)
        };
        Ok(Arc::new(SourceScan::new(title, schema, Arc::new(make))))
    }
}

fn each_chunk(
    engine: &Engine,
    tags: &TagSelection,
    one: &mut dyn FnMut(&[TagId]) -> std::result::Result<bool, Error>,
) -> std::result::Result<(), Error> {
    if let TagSelection::List(list) = tags {
        for chunk in list.chunks(TAGS_AT_ONCE) {
            if !one(chunk)? {
                break;
            }
        }
        return Ok(());
    }
    let end = engine.catalog.ordinals();
    let mut from = 0;
    while from < end {
        let ids: Vec<TagId> = (from..end.min(from + TAGS_AT_ONCE as u64)).map(TagId).collect();
        from += ids.len() as u64;
        if !one(&ids)? {
            break;
        }
    }
    Ok(())
}

/// The snapshot values of these tags; tags without one, and dropped ones, are left out.
fn batch(
    engine: &Engine,
    schema: &SchemaRef,
    columns: &[usize],
    ids: &[TagId],
    statement: &StatementContext,
) -> std::result::Result<RecordBatch, Error> {
    let (now_us, asker) = (statement.now_us, &statement.asker);
    let found = match &engine.local {
        Some(kernel) => kernel.latest_many(ids)?,
        // On the blocking pool, as all of this.
        None => tokio::runtime::Handle::current().block_on(engine.store.latest_many(ids.to_vec(), asker))?,
    };
    let mut names: Vec<Option<String>> = Vec::with_capacity(ids.len());
    engine.catalog.names(ids, |name| names.push(name.map(str::to_owned)));
    let rows: Vec<usize> = (0..ids.len()).filter(|row| found.found[*row] && names[*row].is_some()).collect();
    let texts: std::collections::HashMap<u32, &Arc<[u8]>> = found.texts.iter().map(|(row, text)| (*row, text)).collect();
    let array = |column: &usize| -> std::result::Result<ArrayRef, Error> {
        Ok(match column {
            0 => Arc::new(StringViewArray::from_iter(rows.iter().map(|row| names[*row].as_deref()))),
            1 => {
                let times = rows.iter().map(|row| found.times[*row].0);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            2 => {
                let mut out = Float64Builder::with_capacity(rows.len());
                for row in &rows {
                    let kind = engine.catalog.kind(ids[*row]).unwrap_or(Kind::F64);
                    out.append_option((!kind.is_text()).then(|| value::double(kind, found.bits[*row])).transpose()?);
                }
                Arc::new(out.finish())
            }
            3 => {
                let mut out = StringViewBuilder::with_capacity(rows.len());
                for row in &rows {
                    out.append_option(texts.get(&(*row as u32)).map(|text| as_text(text)).transpose()?);
                }
                Arc::new(out.finish())
            }
            4 => Arc::new(Int16Array::from_iter_values(rows.iter().map(|row| i16::from(found.qualities[*row])))),
            _ => {
                let ages = rows.iter().map(|row| span(now_us.saturating_sub(found.times[*row].0)));
                Arc::new(IntervalMonthDayNanoArray::from_iter_values(ages))
            }
        })
    };
    let arrays = columns.iter().map(array).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}
