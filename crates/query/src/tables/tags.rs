//! `tags`: the tag table, read page by page.

use super::source::{SourceScan, chosen};
use super::statement;
use crate::access::{Privileges, Reach};
use crate::engine::Engine;
use crate::error::Error;
use crate::point::span;
use crate::scan::condition::{names_of, pattern_of, prefix_of};
use crate::scan::labelled::label_condition;
use crate::schema::{self, time_type};
use arrow::array::{
    ArrayRef, Float64Builder, Int64Array, IntervalMonthDayNanoBuilder, ListBuilder, RecordBatch, RecordBatchOptions,
    StringBuilder, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::TagFilter;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;
use types::{Compression, Tag, TagId};

/// Tags read at once.
const PAGE_ROWS: usize = 4096;

/// The table.
pub(crate) struct TagTable {
    engine: Arc<Engine>,
}

impl fmt::Debug for TagTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TagTable")
    }
}

impl TagTable {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        TagTable { engine: Arc::clone(engine) }
    }
}

/// The filter as one over a column `tag`, which the lookups know.
fn over_tag(filter: &Expr) -> Option<Expr> {
    let renamed = filter.clone().transform(|node| {
        Ok(match node {
            Expr::Column(column) if column.name() == "name" => Transformed::yes(Expr::Column(Column::from_name("tag"))),
            Expr::Column(column) => Transformed::no(Expr::Column(Column::from_name(format!("not {}", column.name())))),
            node => Transformed::no(node),
        })
    });
    renamed.ok().map(|renamed| renamed.data)
}

/// The tags within reach that filters may leave; None = all of them. The filters are applied again.
pub(crate) fn candidates(engine: &Engine, filters: &[Expr], reach: &Reach) -> Option<Vec<TagId>> {
    match (filtered(engine, filters), reach.tags()) {
        (Some(mut found), Some(_)) => {
            found.retain(|tag| reach.has(*tag));
            Some(found)
        }
        (None, Some(tags)) => Some(tags.to_vec()),
        (found, None) => found,
    }
}

fn filtered(engine: &Engine, filters: &[Expr]) -> Option<Vec<TagId>> {
    let mut filter = TagFilter::default();
    let mut narrowed = false;
    for expr in filters {
        if let Some(condition) = label_condition(expr) {
            filter.conditions.push(condition);
            narrowed = true;
            continue;
        }
        let Some(expr) = over_tag(expr) else { continue };
        if filter.names.is_none()
            && let Some(names) = names_of(&expr)
        {
            filter.names = Some(names);
            narrowed = true;
        } else if filter.prefix.is_none()
            && let Some(prefix) = prefix_of(&expr)
        {
            filter.prefix = Some(prefix);
            narrowed = true;
        } else if filter.pattern.is_none()
            && let Some(pattern) = pattern_of(&expr)
        {
            filter.pattern = Some(pattern);
            narrowed = true;
        }
    }
    if let Some(names) = &filter.names
        && filter.prefix.is_none()
        && filter.pattern.is_none()
        && filter.conditions.is_empty()
    {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut found: Vec<TagId> = engine.catalog.find_many(&names).into_iter().flatten().collect();
        found.sort_unstable();
        found.dedup();
        return Some(found);
    }
    narrowed.then(|| engine.catalog.select(&filter))
}

#[async_trait]
impl TableProvider for TagTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&schema::TAGS)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = chosen(projection, &schema::TAGS);
        let schema = Arc::new(schema::TAGS.project(&columns)?);
        let reach = statement(state)?.rights.reach(&self.engine.catalog, "public.tags", Privileges::SELECT)?;
        let wanted: Option<Arc<[TagId]>> = candidates(&self.engine, filters, &reach).map(Into::into);
        let shown = wanted.as_ref().map_or_else(|| "all".to_owned(), |tags| tags.len().to_string());
        let of = reach.tags().map_or_else(|| self.engine.catalog.len(), |tags| tags.len() as u64);
        let title = format!("TagScan: tags={shown} of {of}");
        let engine = Arc::clone(&self.engine);
        let of_batch = Arc::clone(&schema);
        let most = limit.unwrap_or(usize::MAX);
        let make = move |taker: &mut dyn FnMut(RecordBatch) -> bool| {
            let mut left = most;
            pages(&engine, wanted.as_deref(), &mut |mut tags| {
                tags.truncate(left);
                left -= tags.len();
                Ok(taker(batch(&of_batch, &columns, &tags)?) && left > 0)
            })
        };
        Ok(Arc::new(SourceScan::new(title, schema, Arc::new(make))))
    }
}

/// Reads tags page by page.
pub(crate) fn pages(
    engine: &Engine,
    wanted: Option<&[TagId]>,
    each: &mut dyn FnMut(Vec<Tag>) -> std::result::Result<bool, Error>,
) -> std::result::Result<(), Error> {
    if let Some(wanted) = wanted {
        for chunk in wanted.chunks(PAGE_ROWS) {
            if !each(chunk.iter().filter_map(|id| engine.catalog.get(*id)).collect())? {
                break;
            }
        }
        return Ok(());
    }
    let mut from = TagId(0);
    loop {
        let page = engine.catalog.page(from, PAGE_ROWS);
        let Some(last) = page.last() else { return Ok(()) };
        from = TagId(last.id.0 + 1);
        if !each(page)? {
            return Ok(());
        }
    }
}

/// Tags as the table shows them: only `columns`, in that order.
pub(crate) fn batch(schema: &SchemaRef, columns: &[usize], tags: &[Tag]) -> std::result::Result<RecordBatch, Error> {
    let arrays = columns.iter().map(|column| array(*column, tags)).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(tags.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

fn array(column: usize, tags: &[Tag]) -> std::result::Result<ArrayRef, Error> {
    let texts = |of: &dyn Fn(&Tag) -> String| Arc::new(StringViewArray::from_iter_values(tags.iter().map(of))) as ArrayRef;
    let numbers = |of: &dyn Fn(&Tag) -> Option<f64>| {
        let mut out = Float64Builder::with_capacity(tags.len());
        tags.iter().for_each(|tag| out.append_option(of(tag)));
        Arc::new(out.finish()) as ArrayRef
    };
    let spans = |of: &dyn Fn(&Tag) -> i64| {
        let mut out = IntervalMonthDayNanoBuilder::with_capacity(tags.len());
        tags.iter().for_each(|tag| out.append_option(Some(of(tag)).filter(|us| *us != 0).map(span)));
        Arc::new(out.finish()) as ArrayRef
    };
    let times = |of: &dyn Fn(&Tag) -> i64| -> std::result::Result<ArrayRef, Error> {
        Ok(cast(&TimestampMicrosecondArray::from_iter_values(tags.iter().map(of)), &time_type())?)
    };
    Ok(match schema::TAGS.field(column).name().as_str() {
        "name" => texts(&|tag| tag.definition.name.clone()),
        "description" => texts(&|tag| tag.definition.description.clone()),
        "unit" => texts(&|tag| tag.definition.unit.clone()),
        "kind" => texts(&|tag| tag.definition.kind.name().to_owned()),
        "labels" => texts(&|tag| labels_json(tag)),
        "states" => states(tags),
        "low_low" => numbers(&|tag| tag.definition.limits.low_low),
        "low" => numbers(&|tag| tag.definition.limits.low),
        "high" => numbers(&|tag| tag.definition.limits.high),
        "high_high" => numbers(&|tag| tag.definition.limits.high_high),
        "cadence" => spans(&|tag| tag.definition.cadence_us),
        "compression" => texts(&|tag| thinning(tag).0.to_owned()),
        "deviation" => numbers(&|tag| thinning(tag).1),
        "span" => spans(&|tag| thinning(tag).2),
        "created" => times(&|tag| tag.created.0)?,
        "changed" => times(&|tag| tag.changed.0)?,
        _ => Arc::new(Int64Array::from_iter_values(tags.iter().map(|tag| tag.id.0 as i64))),
    })
}

fn thinning(tag: &Tag) -> (&'static str, Option<f64>, i64) {
    match tag.definition.compression {
        Compression::Lossless => ("lossless", None, 0),
        Compression::Deadband { deviation, span_us } => ("deadband", Some(deviation), span_us),
        Compression::SwingingDoor { deviation, span_us } => ("swinging_door", Some(deviation), span_us),
    }
}

fn labels_json(tag: &Tag) -> String {
    let pairs = tag.definition.labels.iter().map(|(key, value)| (key.clone(), serde_json::Value::String(value.clone())));
    serde_json::Value::Object(pairs.collect()).to_string()
}

fn states(tags: &[Tag]) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    for tag in tags {
        for state in &tag.definition.states {
            out.values().append_value(state);
        }
        out.append(!tag.definition.states.is_empty());
    }
    Arc::new(out.finish())
}
