//! Tables of `pg_catalog` that show what runs, and what a session has: its settings, named statements and cursors.

use super::node::{Column, Columns, Named, numbers, tables, texts, times};
use crate::access::Access;
use crate::catalogue::type_name_of;
use crate::cursors::Cursors;
use crate::engine::Engine;
use crate::named::Names;
use crate::session::State;
use crate::store::NodeReport;
use arrow::array::{ArrayRef, BooleanArray, Int32Array, ListBuilder, StringArray, StringBuilder};
use parking_lot::Mutex;
use std::sync::Arc;

/// What a session has that its tables show.
pub(crate) struct Own<'a> {
    pub state: &'a Arc<Mutex<State>>,
    pub access: &'a Arc<Access>,
    pub names: &'a Arc<Names>,
    pub cursors: &'a Arc<Cursors>,
}

/// `pg_settings`: the session's settings.
fn pg_settings(state: &Mutex<State>) -> Vec<Column> {
    let state = state.lock();
    let all: Vec<(&str, &str)> = state.variables.all().collect();
    let same = |value: &'static str| texts(all.iter().map(move |_| value.to_owned()));
    vec![
        ("name", texts(all.iter().map(|(name, _)| (*name).to_owned()))),
        ("setting", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("unit", Arc::new(StringArray::new_null(all.len()))),
        ("category", same("")),
        ("short_desc", same("")),
        ("context", same("user")),
        ("vartype", same("string")),
        ("source", same("session")),
        ("boot_val", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("reset_val", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("pending_restart", Arc::new(BooleanArray::from(vec![false; all.len()]))),
    ]
}

/// `pg_stat_activity`: the statements that run, as PostgreSQL's tools ask for them. What others run is told to those who may know.
fn pg_stat_activity(engine: &Engine, access: &Access) -> Vec<Column> {
    let all = engine.running.list();
    let (rights, own) = (access.rights(), access.session_user());
    let told = |query: &crate::running::RunningStatement| {
        let may = rights.is_unbound() || rights.monitors || *query.user == *own;
        if may { query.sql.to_string() } else { "<insufficient privilege>".to_owned() }
    };
    let same = |value: &'static str| texts(all.iter().map(move |_| value.to_owned()));
    let none = || Arc::new(StringArray::new_null(all.len())) as ArrayRef;
    let started = || times(all.iter().map(|query| query.started_us));
    vec![
        ("datid", numbers(all.iter().map(|_| 1))),
        ("datname", same(crate::context::DATABASE)),
        ("pid", Arc::new(all.iter().map(|query| Some(query.session)).collect::<Int32Array>())),
        ("usesysid", numbers(all.iter().map(|_| 10))),
        ("usename", texts(all.iter().map(|query| query.user.clone()))),
        ("application_name", same("")),
        ("client_addr", none()),
        ("client_hostname", none()),
        ("client_port", Arc::new(Int32Array::new_null(all.len()))),
        ("backend_start", started()),
        ("xact_start", started()),
        ("query_start", started()),
        ("state_change", started()),
        ("wait_event_type", none()),
        ("wait_event", none()),
        ("state", same("active")),
        ("backend_xid", none()),
        ("backend_xmin", none()),
        ("query", texts(all.iter().map(told))),
        ("backend_type", same("client backend")),
    ]
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

/// `pg_prepared_statements`: those that have names.
fn pg_prepared_statements(names: Option<Arc<Names>>) -> Vec<Column> {
    let all = names.map(|names| names.list()).unwrap_or_default();
    let mut parameters = ListBuilder::new(StringBuilder::new());
    let mut results = ListBuilder::new(StringBuilder::new());
    for (_, named) in &all {
        named.planned.parameters.iter().for_each(|kind| parameters.values().append_value(type_name_of(kind)));
        parameters.append(true);
        let columns = named.planned.columns();
        columns.iter().flat_map(|schema| schema.fields()).for_each(|field| {
            results.values().append_value(type_name_of(field.data_type()));
        });
        results.append(columns.is_some());
    }
    vec![
        ("name", texts(all.iter().map(|(name, _)| name.clone()))),
        ("statement", texts(all.iter().map(|(_, named)| named.text.to_string()))),
        ("prepare_time", times(all.iter().map(|(_, named)| named.prepared_us))),
        ("parameter_types", Arc::new(parameters.finish())),
        ("result_types", Arc::new(results.finish())),
        ("from_sql", flags(all.iter().map(|(_, named)| named.by_sql))),
        ("generic_plans", numbers(all.iter().map(|_| 0))),
        ("custom_plans", numbers(all.iter().map(|_| 0))),
    ]
}

/// `pg_cursors`: cursors, and named portals of the wire.
fn pg_cursors(cursors: Option<Arc<Cursors>>) -> Vec<Column> {
    let all = cursors.map(|cursors| cursors.list()).unwrap_or_default();
    vec![
        ("name", texts(all.iter().map(|cursor| cursor.name.clone()))),
        ("statement", texts(all.iter().map(|cursor| cursor.statement.to_string()))),
        ("is_holdable", flags(all.iter().map(|cursor| cursor.holdable))),
        ("is_binary", flags(all.iter().map(|cursor| cursor.binary))),
        ("is_scrollable", flags(all.iter().map(|cursor| cursor.scrollable))),
        ("creation_time", times(all.iter().map(|cursor| cursor.created_us))),
    ]
}

/// The tables, each made anew for each query. Named statements and cursors hold plans, and those hold these tables: hence weak.
pub(crate) fn all(engine: &Arc<Engine>, own: &Own<'_>) -> Vec<Named> {
    let (state, access) = (Arc::clone(own.state), Arc::clone(own.access));
    let (names, cursors) = (Arc::downgrade(own.names), Arc::downgrade(own.cursors));
    let made: Vec<(&'static str, Columns)> = vec![
        ("pg_settings", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_settings(&state))),
        ("pg_stat_activity", Arc::new(move |engine: &Engine, _: &[NodeReport]| pg_stat_activity(engine, &access))),
        ("pg_prepared_statements", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_prepared_statements(names.upgrade()))),
        ("pg_cursors", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_cursors(cursors.upgrade()))),
    ];
    tables(engine, made)
}
