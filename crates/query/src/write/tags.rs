//! INSERT, UPDATE and DELETE of tags: one call of the catalog each, so all or nothing.

use super::rows::at_row;
use super::tag_rows::TagColumn;
use super::{Draft, WritePlan, check_column};
use crate::access::Privileges;
use crate::block::{Alone, Change, do_alone};
use crate::error::{Error, raise};
use crate::ingest::wait;
use crate::query::{planned, stream};
use crate::rewrite;
use crate::session::Session;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, Ident, Insert, OnConflictAction, OnInsert, SelectItem, SetExpr, Statement as Tree,
};
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use types::{TagDefinition, TagId};

/// A planned INSERT INTO tags.
pub(crate) struct InsertPlan {
    columns: Vec<String>,
    source: LogicalPlan,
    skip_existing: bool,
}

/// A planned UPDATE tags: a query for ordinals and new values.
pub(crate) struct UpdatePlan {
    columns: Vec<String>,
    rows: LogicalPlan,
}

/// A planned DELETE FROM tags: a query for ordinals.
pub(crate) struct DeletePlan {
    rows: LogicalPlan,
}

/// The columns of tags that can be written; those of an INSERT without a list, in order.
pub const TAG_COLUMNS: [&str; 14] = [
    "name",
    "description",
    "unit",
    "kind",
    "states",
    "labels",
    "low_low",
    "low",
    "high",
    "high_high",
    "cadence",
    "compression",
    "deviation",
    "span",
];

/// The columns that can be written, in order.
pub(crate) fn tag_columns() -> Vec<String> {
    TAG_COLUMNS.iter().map(|name| (*name).to_owned()).collect()
}

/// A query with a WHERE of the user's.
pub(super) fn with_selection(query: &str, selection: Option<Expr>) -> Result<Tree, Error> {
    let mut tree = crate::statements::parse(query)?;
    if let Some(Tree::Query(query)) = &mut tree
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        select.selection = selection;
    }
    tree.ok_or_else(|| raise(Error::Internal, "a query of our own is empty"))
}

fn lower(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Plans INSERT INTO tags.
pub(super) async fn plan_insert(
    session: &Arc<Session>,
    insert: Insert,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    let skip_existing = match &insert.on {
        None => false,
        Some(OnInsert::OnConflict(conflict)) if conflict.action == OnConflictAction::DoNothing => true,
        Some(_) => {
            return Err(raise(Error::Unsupported, "ON CONFLICT DO UPDATE is not supported")
                .with_hint("ON CONFLICT DO NOTHING is; or use UPDATE"));
        }
    };
    let Some(source) = insert.source else { return Err(raise(Error::Unsupported, "INSERT needs VALUES or a query")) };
    let mut columns: Vec<String> =
        insert.columns.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident()).map(lower)).collect();
    for column in &columns {
        check_column(column, sql)?;
    }
    let mut tree = Tree::Query(source);
    rewrite::tree(&mut tree)?;
    let (source, parameters) = planned(session, tree, types, sql).await?;
    let width = source.schema().fields().len();
    if columns.is_empty() {
        columns = TAG_COLUMNS.iter().take(width).map(|name| (*name).to_owned()).collect();
    }
    if width != columns.len() {
        let more = if width > columns.len() { "expressions than target columns" } else { "target columns than expressions" };
        return Err(raise(Error::Syntax, format!("INSERT has more {more}")));
    }
    Ok((WritePlan::TagInsert(InsertPlan { columns, source, skip_existing }), parameters))
}

/// Runs INSERT INTO tags; how many were made.
pub(super) async fn run_insert(
    session: &Arc<Session>,
    plan: &InsertPlan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<u64, Error> {
    session.access.rights().admit_making()?;
    let mut definitions: Vec<TagDefinition> = Vec::new();
    let mut batches = stream(session, &plan.source, params, types, sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let columns = batch.columns().iter().map(TagColumn::of).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let number = definitions.len() as u64 + 1;
            let mut draft = Draft::new();
            let one = || {
                for (column, name) in columns.iter().zip(&plan.columns) {
                    draft.set(name, column.get(row)?)?;
                }
                draft.finish()
            };
            definitions.push(one().map_err(|error: Error| at_row(error, number))?);
        }
    }
    session.pace_written(definitions.len() as u64).await;
    create(session, definitions, plan.skip_existing).await
}

/// Makes tags, all or none; with `skip_existing` those whose names are not there yet.
pub(crate) async fn create(session: &Session, mut definitions: Vec<TagDefinition>, skip_existing: bool) -> Result<u64, Error> {
    let rights = session.access.rights();
    if !rights.is_unbound() {
        let refused = |(row, definition): (usize, &TagDefinition)| {
            rights.may_create(definition).map_err(|error| at_row(error, row as u64 + 1))
        };
        definitions.iter().enumerate().try_for_each(refused)?;
    }
    if skip_existing {
        let mut seen = HashSet::new();
        definitions
            .retain(|definition| session.engine.catalog.find(&definition.name).is_none() && seen.insert(definition.name.clone()));
    }
    let exists = |name: &str| session.engine.catalog.find(name).is_some();
    let limit = session.engine.settings.copy_bytes_max;
    if let Some(made) = session.state.lock().hold_tags(&mut definitions, skip_existing, exists, limit)? {
        return Ok(made);
    }
    if definitions.is_empty() {
        return Ok(0);
    }
    let made = wait(session.engine.tags.create(definitions)).await?;
    Ok(made.end - made.start)
}

/// Plans UPDATE tags.
pub(super) async fn plan_update(
    session: &Arc<Session>,
    alias: &str,
    assignments: Vec<Assignment>,
    selection: Option<Expr>,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    let mut columns = Vec::new();
    let mut items = Vec::new();
    for (index, assignment) in assignments.into_iter().enumerate() {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(raise(Error::Unsupported, "SET (a, b) = .. is not supported"));
        };
        let name = name.0.last().and_then(|part| part.as_ident()).map(lower).unwrap_or_default();
        check_column(&name, sql)?;
        columns.push(name);
        items.push(SelectItem::ExprWithAlias { expr: assignment.value, alias: Ident::with_quote('"', format!("c{index}")) });
    }
    let mut tree = with_selection(&ordinals_of(alias), selection)?;
    if let Tree::Query(query) = &mut tree
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        select.projection.extend(items);
    }
    rewrite::tree(&mut tree)?;
    let (rows, parameters) = planned(session, tree, types, sql).await?;
    Ok((WritePlan::TagUpdate(UpdatePlan { columns, rows }), parameters))
}

fn ordinals_of(alias: &str) -> String {
    let quoted = alias.replace('"', "\"\"");
    format!("SELECT \"{quoted}\".ordinal FROM public.tags AS \"{quoted}\"")
}

/// Runs UPDATE tags; how many were changed.
pub(super) async fn run_update(
    session: &Arc<Session>,
    plan: &UpdatePlan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<u64, Error> {
    let rights = session.access.rights();
    rights.alive()?;
    rights.admit("public.tags", Privileges::UPDATE)?;
    let mut changes: Vec<Change> = Vec::new();
    let mut batches = stream(session, &plan.rows, params, types, sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let ordinals = batch.column(0).as_primitive::<Int64Type>();
        let columns = batch.columns()[1..].iter().map(TagColumn::of).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let id = TagId(ordinals.value(row) as u64);
            // Dropped since the query saw it: nothing to change.
            let held = session.state.lock().definition(id).cloned();
            let Some(before) = held.or_else(|| Some(session.engine.catalog.get(id)?.definition)) else { continue };
            let mut draft = Draft::of(before.clone());
            for (column, name) in columns.iter().zip(&plan.columns) {
                draft.set(name, column.get(row)?)?;
            }
            let after = draft.finish()?;
            if !rights.is_unbound() {
                rights.may_change(&before, &after)?;
            }
            changes.push((id, before, after));
        }
    }
    let rows = changes.len() as u64;
    let limit = session.engine.settings.copy_bytes_max;
    if rows > 0 && !session.state.lock().hold_changes(&mut changes, limit)? {
        do_alone(session, Alone::Changes(changes)).await?;
    }
    Ok(rows)
}

/// Plans DELETE FROM tags.
pub(super) async fn plan_delete(
    session: &Arc<Session>,
    alias: &str,
    selection: Option<Expr>,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    let mut tree = with_selection(&ordinals_of(alias), selection)?;
    rewrite::tree(&mut tree)?;
    let (rows, parameters) = planned(session, tree, types, sql).await?;
    Ok((WritePlan::TagDelete(DeletePlan { rows }), parameters))
}

/// Runs DELETE FROM tags.
pub(super) async fn run_delete(
    session: &Arc<Session>,
    plan: &DeletePlan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<u64, Error> {
    let rights = session.access.rights();
    rights.alive()?;
    // Whole tags go only with the table: who may delete a group's samples may not take the group away.
    rights.admit("public.tags", Privileges::DELETE)?;
    let mut tags: Vec<TagId> = Vec::new();
    let mut batches = stream(session, &plan.rows, params, types, sql).await?;
    while let Some(batch) = batches.next().await {
        tags.extend(batch?.column(0).as_primitive::<Int64Type>().values().iter().map(|ordinal| TagId(*ordinal as u64)));
    }
    let rows = tags.len() as u64;
    if rows > 0 {
        do_alone(session, Alone::Drops(tags)).await?;
    }
    Ok(rows)
}
