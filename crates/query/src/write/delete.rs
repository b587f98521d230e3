//! DELETE from samples, integers and events.
//!
//! Where WHERE names tags and a range of time and nothing else, that range goes down as it is; else
//! a query of ours finds the keys and they go down as points. Either is one commit: a statement that names more
//! samples than one commit or queries' memory can hold is refused whole. DataFusion's own DELETE is not
//! asked: it hands no filter down where WHERE has a subquery.

use super::WritePlan;
use crate::access::{Privileges, admit_plan, refused};
use crate::block::{Alone, do_alone};
use crate::engine::Engine;
use crate::error::Error;
use crate::planning::{Planning, Size};
use crate::query::{bound, converted, planned, statement_state, stream};
use crate::rewrite;
use crate::scan::{Place, Sort, Target};
use crate::session::Session;
use crate::tables::KEYED_SCHEMA;
use crate::tables::series::{ORDINAL, SeriesTable};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt64Type};
use catalog::TagFilter;
use datafusion::common::ScalarValue;
use datafusion::datasource::source_as_provider;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::{Expr as Expression, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::Expr;
use futures::StreamExt;
use kernel::{AggregateRequest, Deletion, Direction, Projection, ScanRequest, Snapshot, TagSelection};
use std::sync::Arc;
use types::{Kinds, TagId, Timestamp};

/// A planned DELETE: a query for keys.
pub(crate) struct Plan {
    sort: Sort,
    keys: LogicalPlan,
}

/// Plans it.
pub(crate) async fn plan(
    session: &Arc<Session>,
    sort: Sort,
    alias: &str,
    selection: Option<Expr>,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    let query = format!("SELECT \"{ORDINAL}\", time FROM {KEYED_SCHEMA}.{} AS \"{}\"", sort.name(), alias.replace('"', "\"\""));
    let mut tree = super::tags::with_selection(&query, selection)?;
    rewrite::tree(&mut tree)?;
    let (keys, parameters) = planned(session, tree, types, sql).await?;
    Ok((WritePlan::Delete(Plan { sort, keys }), parameters))
}

/// Runs it; how many samples went.
pub(crate) async fn run(
    session: &Arc<Session>,
    plan: &Plan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<u64, Error> {
    let rights = session.access.rights();
    admit_plan(&rights, &plan.keys)?;
    rights.admit(plan.sort.full_name(), Privileges::DELETE)?;
    let reach = rights.reach(&session.engine.catalog, plan.sort.full_name(), Privileges::DELETE)?;
    let values = converted(params.clone(), types)?;
    let state = statement_state(session, values.clone());
    let planning = Planning { planners: Arc::clone(&session.engine.planners), size: Size::optimised(sql) };
    let bound = bound(&planning, &plan.keys, &values).await?;
    let logical = bound.clone();
    let (state, optimized) = planning.run(async move { state.optimize(&logical).map(|plan| (state, plan)) }).await?;
    if matches!(optimized, LogicalPlan::EmptyRelation(_)) {
        return Ok(0);
    }
    if let Some((table, filters)) = whole_range(&optimized) {
        let target = table.target(&state, &filters)?;
        let whole = match &target.tags {
            TagSelection::All => reach.tags().is_none(),
            TagSelection::List(tags) => tags.iter().all(|tag| reach.has(*tag)),
        };
        // Where not all may be deleted it depends on which have samples.
        if !target.good_only && whole {
            return delete_range(session, target, &bound, sql).await;
        }
    }
    let keys = keys(session, plan, params, types, sql).await?;
    if let Some((tag, _)) = keys.iter().find(|(tag, _)| !reach.has(*tag)) {
        // It was read, so its name may be told.
        let name = session.engine.catalog.get(*tag).map(|tag| tag.definition.name).unwrap_or_default();
        return Err(refused(&name).with_detail("nothing was deleted"));
    }
    let rows = keys.len() as u64;
    if rows > 0 {
        do_alone(session, Alone::Deletion(Deletion::Points(keys))).await?;
    }
    Ok(rows)
}

/// The keys of what is to go, within queries' memory.
async fn keys(
    session: &Arc<Session>,
    plan: &Plan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<Vec<(TagId, Timestamp)>, Error> {
    let mut keys: Vec<(TagId, Timestamp)> = Vec::new();
    let room = MemoryConsumer::new("keys of a DELETE").register(&session.memory());
    let mut batches = stream(session, &plan.keys, params, types, sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let ordinals = batch.column(0).as_primitive::<UInt64Type>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        // Twice: the vector grows by copying itself, and the kernel sorts the keys into slices.
        room.try_grow(2 * batch.num_rows() * size_of::<(TagId, Timestamp)>())?;
        keys.extend((0..batch.num_rows()).map(|row| (TagId(ordinals.value(row)), Timestamp(times.value(row)))));
    }
    Ok(keys)
}

/// The table and filters of a plan that is nothing but a scan whose filters are all exact.
fn whole_range(plan: &LogicalPlan) -> Option<(SeriesTable, Vec<datafusion::logical_expr::Expr>)> {
    match plan {
        LogicalPlan::Projection(projection) => whole_range(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => whole_range(&alias.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<SeriesTable>()?.clone();
            let exact = scan.filters.iter().all(|filter| crate::scan::condition::asked(filter).is_some_and(|asked| asked.exact));
            exact.then(|| (table, scan.filters.clone()))
        }
        _ => None,
    }
}

async fn delete_range(session: &Arc<Session>, target: Target, keys: &LogicalPlan, sql: &str) -> Result<u64, Error> {
    let engine = &session.engine;
    let listed = listed(engine, target.sort, &target.tags);
    let tags = TagSelection::List(Arc::clone(&listed));
    if target.range.is_empty() || listed.is_empty() {
        return Ok(0);
    }
    let range = target.range;
    let rows = match target.place.clone() {
        Place::Here(_, snapshot) => {
            let counted = tags.clone();
            let rows = tokio::task::spawn_blocking(move || count(&target, &snapshot, counted)).await;
            rows.map_err(|error| crate::error::raise(Error::Internal, error.to_string()))??
        }
        Place::Fleet(_) | Place::Node(_) => counted_by_plan(session, keys, sql).await?,
    };
    do_alone(session, Alone::Deletion(Deletion::Range { tags, range })).await?;
    Ok(rows)
}

/// How many keys a query finds.
async fn counted_by_plan(session: &Arc<Session>, keys: &LogicalPlan, sql: &str) -> Result<u64, Error> {
    let all = datafusion::functions_aggregate::expr_fn::count(datafusion::logical_expr::lit(1_i64));
    let counted = LogicalPlanBuilder::from(keys.clone()).aggregate(Vec::<Expression>::new(), vec![all])?.build()?;
    let mut rows = 0;
    let mut batches = stream(session, &counted, Vec::new(), &[], sql).await?;
    while let Some(batch) = batches.next().await {
        rows += batch?.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    Ok(rows.unsigned_abs())
}

/// The tags of a table among those selected: a range over "all" must not reach another table's.
fn listed(engine: &Engine, sort: Sort, tags: &TagSelection) -> Arc<[TagId]> {
    match tags {
        TagSelection::List(tags) => Arc::clone(tags),
        TagSelection::All => {
            let mut all = engine.catalog.select(&TagFilter::default());
            all.retain(|tag| engine.catalog.kind(*tag).is_some_and(|kind| sort.holds(kind)));
            all.into()
        }
    }
}

fn count(target: &Target, snapshot: &Snapshot, tags: TagSelection) -> Result<u64, Error> {
    let mut rows = 0;
    if target.sort == Sort::Texts {
        let request = ScanRequest {
            tags,
            texts: true,
            range: target.range,
            projection: Projection { values: false, qualities: false },
            direction: Direction::Ascending,
            rows_per_tag_max: None,
            batch_rows: 65_536,
        };
        for mut part in snapshot.scan(&request, 1) {
            while let Some(batch) = part.next_batch()? {
                rows += batch.rows() as u64;
            }
        }
        return Ok(rows);
    }
    let request = AggregateRequest { tags, range: target.range, bins: None, good_only: false };
    for mut part in snapshot.aggregate(&request, 1) {
        while let Some(batch) = part.next_batch()? {
            rows += batch.counts.iter().sum::<u64>();
        }
    }
    Ok(rows)
}
