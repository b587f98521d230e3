//! What clients ask a server about itself, and cancelling.

use super::simple::Simple;
use crate::context::DATABASE;
use crate::engine::Engine;
use crate::session::SessionSettings;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::sync::Arc;

fn text(name: &'static str, value: String) -> ScalarUDF {
    Simple::make(name, Vec::new(), DataType::Utf8, Volatility::Stable, move |_, rows| {
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&value, rows))))
    })
}

fn yes(name: &'static str, takes: Vec<DataType>) -> ScalarUDF {
    Simple::make(name, takes, DataType::Boolean, Volatility::Stable, |_, rows| Ok(Arc::new(BooleanArray::from(vec![true; rows]))))
}

fn nothing(name: &'static str, takes: Vec<DataType>) -> ScalarUDF {
    Simple::make(name, takes, DataType::Utf8, Volatility::Stable, |_, rows| Ok(Arc::new(StringArray::new_null(rows))))
}

pub(super) fn all(engine: &Arc<Engine>, id: i32, settings: &SessionSettings) -> Vec<ScalarUDF> {
    let release = format!("PostgreSQL 16.0 (Meridian {})", engine.settings.release);
    let cancel = {
        let engine = Arc::clone(engine);
        move |args: &[ArrayRef], _: usize| -> datafusion::error::Result<ArrayRef> {
            let ids = args[0].as_primitive::<Int32Type>().iter();
            Ok(Arc::new(ids.map(|id| id.map(|id| engine.cancel(id))).collect::<BooleanArray>()))
        }
    };
    let mut out = vec![
        text("version", release),
        text("current_database", DATABASE.to_owned()),
        text("current_catalog", DATABASE.to_owned()),
        text("current_schema", "public".to_owned()),
        text("current_user", settings.user.clone()),
        text("session_user", settings.user.clone()),
        text("user", settings.user.clone()),
        text("inet_server_addr", String::new()),
        Simple::make("pg_backend_pid", Vec::new(), DataType::Int32, Volatility::Stable, move |_, rows| {
            Ok(Arc::new(Int32Array::from_value(id, rows)))
        }),
        Simple::make("pg_cancel_backend", vec![DataType::Int32], DataType::Boolean, Volatility::Volatile, cancel),
    ];
    out.extend(catalogue(settings.user.clone()));
    out
}

/// What is asked beside the tables of `pg_catalog`.
fn catalogue(user: String) -> Vec<ScalarUDF> {
    vec![
        Simple::make("pg_get_userbyid", vec![DataType::Int64], DataType::Utf8, Volatility::Stable, move |args, _| {
            let ids = args[0].as_primitive::<Int64Type>().iter();
            Ok(Arc::new(ids.map(|id| id.map(|_| user.as_str())).collect::<StringArray>()))
        }),
        Simple::make("pg_encoding_to_char", vec![DataType::Int64], DataType::Utf8, Volatility::Immutable, |args, _| {
            let ids = args[0].as_primitive::<Int64Type>().iter();
            Ok(Arc::new(ids.map(|id| id.map(|id| if id == 6 { "UTF8" } else { "" })).collect::<StringArray>()))
        }),
        yes("has_database_privilege", vec![DataType::Utf8, DataType::Utf8]),
        yes("pg_has_role", vec![DataType::Utf8, DataType::Utf8]),
        yes("has_schema_privilege", vec![DataType::Utf8, DataType::Utf8]),
        yes("has_table_privilege", vec![DataType::Int64, DataType::Utf8]),
        yes("pg_table_is_visible", vec![DataType::Int64]),
        yes("pg_type_is_visible", vec![DataType::Int64]),
        yes("pg_function_is_visible", vec![DataType::Int64]),
        nothing("obj_description", vec![DataType::Int64, DataType::Utf8]),
        nothing("col_description", vec![DataType::Int64, DataType::Int64]),
        nothing("shobj_description", vec![DataType::Int64, DataType::Utf8]),
        nothing("pg_get_expr", vec![DataType::Utf8, DataType::Int64]),
        nothing("pg_get_viewdef", vec![DataType::Int64, DataType::Boolean]),
        // What a table takes on disk is not known by table: slices hold them all.
        nothing("pg_table_size", vec![DataType::Int64]),
        nothing("pg_total_relation_size", vec![DataType::Int64]),
        nothing("pg_database_size", vec![DataType::Utf8]),
        nothing("pg_tablespace_size", vec![DataType::Int64]),
        nothing("pg_tablespace_location", vec![DataType::Int64]),
        nothing("pg_size_pretty", vec![DataType::Utf8]),
        Simple::make("format_type", vec![DataType::Int64, DataType::Int64], DataType::Utf8, Volatility::Stable, |args, rows| {
            let oids = args[0].as_primitive::<Int64Type>();
            let name = |row: usize| oids.is_valid(row).then(|| crate::tables::pg_catalog::type_name(oids.value(row)));
            Ok(Arc::new((0..rows).map(name).collect::<StringArray>()))
        }),
    ]
}
