//! Suggestions for names that were not found.

use crate::error::{Error, nearest};
use crate::session::Session;

/// The error, with the table that was probably meant as its hint.
pub(crate) fn improved(error: Error, session: &Session, sql: &str) -> Error {
    let _ = sql;
    if !matches!(error, Error::UnknownTable(_)) || error.hint().is_some() {
        return error;
    }
    let Some(name) = error.message().split('"').nth(1) else { return error };
    let Some(catalog) = session.planning().catalog_list().catalog("meridian") else { return error };
    let bare = name.rsplit('.').next().unwrap_or(name).to_owned();
    for schema in ["public", "meridian"] {
        let tables = catalog.schema(schema).map(|schema| schema.table_names()).unwrap_or_default();
        let known: Vec<&str> = tables.iter().map(String::as_str).collect();
        if let Some(near) = nearest(&bare, &known) {
            let full = if schema == "public" { near.to_owned() } else { format!("{schema}.{near}") };
            return error.with_hint(format!("perhaps you meant the table \"{full}\""));
        }
    }
    error.with_hint("tables are samples, integers, events, latest and tags; and those of schema meridian")
}
