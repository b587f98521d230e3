//! INSERT, UPDATE and DELETE: each one commit, durable when answered; in a transaction block held until COMMIT.
//!
//! DataFusion's own writing is never used: rows and keys are found by queries of ours, and written
//! by us.

mod delete;
mod insert;
mod literals;
mod rows;
mod tag_rows;
mod tags;

pub(crate) use insert::unknown_column;
pub(crate) use literals::{Literal, literal};
pub(crate) use rows::{Given, Row, push};
pub(crate) use tag_rows::{Draft, TagValue, check_column, span_us};
pub use tag_rows::{array_items, tag_definitions};
pub use tags::TAG_COLUMNS;
pub(crate) use tags::{create as create_tags, tag_columns};

use crate::block::Writing;
use crate::error::{Error, find_word, raise};
use crate::outcome::Completion;
use crate::scan::Sort;
use crate::session::Session;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{FromTable, ObjectName, Statement as Tree, TableFactor, TableObject, TableWithJoins};
use std::sync::Arc;

/// A planned write.
pub(crate) enum WritePlan {
    Insert(insert::Plan),
    Delete(delete::Plan),
    TagInsert(tags::InsertPlan),
    TagUpdate(tags::UpdatePlan),
    TagDelete(tags::DeletePlan),
}

/// A table that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Series(Sort),
    Tags,
}

/// The table of that name, if it can be written.
pub(crate) fn written(name: &ObjectName, command: &str, sql: &str) -> Result<Written, Error> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.to_lowercase()).collect();
    let bare = match parts.as_slice() {
        [table] => table.as_str(),
        [schema, table] if schema == "public" => table.as_str(),
        [database, schema, table] if database == crate::context::DATABASE && schema == "public" => table.as_str(),
        _ => "",
    };
    if let Some(sort) = Sort::named(bare) {
        return Ok(Written::Series(sort));
    }
    match bare {
        "tags" => Ok(Written::Tags),
        "latest" => Err(raise(Error::Unsupported, format!("{command} on latest is not supported"))
            .with_hint("snapshot values follow from what is written to samples and events")),
        _ if parts.first().is_some_and(|schema| ["meridian", "pg_catalog", "information_schema"].contains(&schema.as_str())) => {
            Err(raise(Error::Forbidden, format!("table {name} can only be read")))
        }
        _ => Err(raise(Error::UnknownTable, format!("relation \"{name}\" does not exist"))
            .with_hint("tables are samples, integers, events and tags")
            .at(parts.last().and_then(|table| find_word(sql, table)))),
    }
}

/// The one table of UPDATE or DELETE, and what its rows are called.
fn one_table(table: &TableWithJoins, command: &str) -> Result<(ObjectName, String), Error> {
    let TableFactor::Table { name, alias, .. } = &table.relation else {
        return Err(raise(Error::Unsupported, format!("{command} needs a table")));
    };
    if !table.joins.is_empty() {
        return Err(
            raise(Error::Unsupported, format!("{command} with a join is not supported")).with_hint("use a subquery in WHERE")
        );
    }
    let bare = name.0.last().and_then(|part| part.as_ident()).map(|part| part.value.to_lowercase()).unwrap_or_default();
    Ok((name.clone(), alias.as_ref().map_or(bare, |alias| alias.name.value.clone())))
}

/// Plans a write; the second part of the answer is its parameters' types.
pub(crate) async fn plan(
    session: &Arc<Session>,
    tree: Tree,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    let refused = |what: &str| Err(raise(Error::Unsupported, format!("{what} is not supported")));
    match tree {
        Tree::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else { return refused("INSERT into anything but a table") };
            if insert.returning.is_some() {
                return refused("RETURNING");
            }
            match written(name, "INSERT", sql)? {
                Written::Series(sort) => insert::plan(session, sort, insert, types, sql).await,
                Written::Tags => tags::plan_insert(session, insert, types, sql).await,
            }
        }
        Tree::Delete(delete) => {
            if delete.returning.is_some() || delete.using.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
                return refused("DELETE with USING, RETURNING, ORDER BY or LIMIT");
            }
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let [table] = from.as_slice() else { return refused("DELETE from several tables") };
            let (name, alias) = one_table(table, "DELETE")?;
            match written(&name, "DELETE", sql)? {
                Written::Series(sort) => delete::plan(session, sort, &alias, delete.selection, types, sql).await,
                Written::Tags => tags::plan_delete(session, &alias, delete.selection, types, sql).await,
            }
        }
        Tree::Update(update) => {
            if update.returning.is_some() || update.from.is_some() || update.limit.is_some() || !update.order_by.is_empty() {
                return refused("UPDATE with FROM, RETURNING, ORDER BY or LIMIT");
            }
            let (name, alias) = one_table(&update.table, "UPDATE")?;
            match written(&name, "UPDATE", sql)? {
                Written::Tags => tags::plan_update(session, &alias, update.assignments, update.selection, types, sql).await,
                Written::Series(sort) => Err(raise(Error::Unsupported, format!("UPDATE of {} is not supported", sort.name()))
                    .with_hint("INSERT the sample again: a second write of the same (tag, time) replaces the first")),
            }
        }
        _ => refused("this way of writing"),
    }
}

/// Runs a write.
pub(crate) async fn run(
    session: &Arc<Session>,
    plan: &WritePlan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<Completion, Error> {
    let command = match plan {
        WritePlan::Insert(_) | WritePlan::TagInsert(_) => "INSERT",
        WritePlan::TagUpdate(_) => "UPDATE",
        WritePlan::Delete(_) | WritePlan::TagDelete(_) => "DELETE",
    };
    let writing = match plan {
        WritePlan::Insert(_) => Writing::Rows,
        WritePlan::TagInsert(_) => Writing::NewTags,
        WritePlan::TagUpdate(_) => Writing::Changes,
        WritePlan::Delete(_) | WritePlan::TagDelete(_) => Writing::Alone,
    };
    session.admit_write(command, writing)?;
    let rows = match plan {
        WritePlan::Insert(plan) => insert::run(session, plan, params, types, sql).await?,
        WritePlan::Delete(plan) => delete::run(session, plan, params, types, sql).await?,
        WritePlan::TagInsert(plan) => tags::run_insert(session, plan, params, types, sql).await?,
        WritePlan::TagUpdate(plan) => tags::run_update(session, plan, params, types, sql).await?,
        WritePlan::TagDelete(plan) => tags::run_delete(session, plan, params, types, sql).await?,
    };
    Ok(Completion::counted(command, rows))
}
