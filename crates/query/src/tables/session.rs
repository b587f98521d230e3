//! Tables of `pg_catalog` that show what runs, and what a session has: its settings, named statements and cursors.

use super::node::{Column, Columns, Named, numbers, tables, texts, times};
use crate::access::Access;
use crate::catalogue::{activity, type_name_of};
use crate::cursors::Cursors;
use crate::engine::Engine;
use crate::named::Names;
use crate::session::State;
use crate::settings::{Rule, rule_of};
use crate::store::NodeReport;
use arrow::array::{ArrayRef, BooleanArray, ListBuilder, StringArray, StringBuilder};
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
    type Kept = (Option<&'static str>, &'static str);
    let kept = |of: &dyn Fn(Kept) -> Option<&'static str>| -> StringArray {
        all.iter().map(|(name, _)| rule_of(name).map_or((None, "string"), Rule::kept)).map(of).collect()
    };
    vec![
        ("name", texts(all.iter().map(|(name, _)| (*name).to_owned()))),
        ("setting", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("unit", Arc::new(kept(&|(unit, _)| unit))),
        ("category", same("")),
        ("short_desc", same("")),
        ("context", same("user")),
        ("vartype", Arc::new(kept(&|(_, kind)| Some(kind)))),
        ("source", same("session")),
        ("boot_val", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("reset_val", texts(all.iter().map(|(_, value)| (*value).to_owned()))),
        ("pending_restart", Arc::new(BooleanArray::from(vec![false; all.len()]))),
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
    let state = Arc::clone(own.state);
    let (names, cursors) = (Arc::downgrade(own.names), Arc::downgrade(own.cursors));
    let made: Vec<(&'static str, Columns)> = vec![
        ("pg_settings", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_settings(&state))),
        ("pg_prepared_statements", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_prepared_statements(names.upgrade()))),
        ("pg_cursors", Arc::new(move |_: &Engine, _: &[NodeReport]| pg_cursors(cursors.upgrade()))),
    ];
    let activity = activity::table(engine, own.access).map(|table| (activity::ACTIVITY, table));
    tables(engine, made).into_iter().chain(activity).collect()
}
