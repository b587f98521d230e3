//! `label(tag, key)`, and `labels ->> key`.

use super::simple::Simple;
use crate::access::{Access, Privileges};
use crate::engine::Engine;
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::sync::{Arc, LazyLock};
use types::TagId;

/// What `labels ->> 'key'` is called in a plan.
pub(crate) const JSON_TEXT: &str = "json_text";

/// `labels ->> 'key'`.
pub(super) static JSON_TEXT_FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(json_text()));

fn json_text() -> ScalarUDF {
    Simple::make(JSON_TEXT, vec![DataType::Utf8, DataType::Utf8], DataType::Utf8, Volatility::Immutable, |args, rows| {
        let (objects, keys) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
        let one = |row: usize| {
            if objects.is_null(row) || keys.is_null(row) {
                return None;
            }
            let object: serde_json::Value = serde_json::from_str(objects.value(row)).ok()?;
            match object.get(keys.value(row))? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }
        };
        Ok(Arc::new((0..rows).map(one).collect::<StringArray>()))
    })
}

/// Those that need no tag table.
pub(super) fn everywhere() -> Vec<ScalarUDF> {
    vec![JSON_TEXT_FUNCTION.as_ref().clone()]
}

pub(super) fn all(engine: &Arc<Engine>, access: &Arc<Access>) -> Vec<ScalarUDF> {
    let (engine, access) = (Arc::clone(engine), Arc::clone(access));
    // A tag's labels may be changed between statements, never within one as far as it is concerned.
    let label =
        Simple::make("label", vec![DataType::Utf8, DataType::Utf8], DataType::Utf8, Volatility::Stable, move |args, rows| {
            let (names, keys) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
            // Of a tag that may not be seen there are no labels.
            let rights = access.rights();
            let seen = |name: &str, id: &TagId| {
                rights.is_unbound() || rights.has_tag(&engine.catalog, "public.tags", Privileges::SELECT, *id, name)
            };
            let mut known: Option<(String, Vec<(String, String)>)> = None;
            let mut out = Vec::with_capacity(rows);
            for row in 0..rows {
                if names.is_null(row) || keys.is_null(row) {
                    out.push(None);
                    continue;
                }
                let name = names.value(row);
                if known.as_ref().is_none_or(|(last, _)| last != name) {
                    let tag = engine.catalog.find(name).filter(|id| seen(name, id)).and_then(|id| engine.catalog.get(id));
                    known = Some((name.to_owned(), tag.map(|tag| tag.definition.labels).unwrap_or_default()));
                }
                let labels = known.as_ref().map(|(_, labels)| labels.as_slice()).unwrap_or_default();
                out.push(labels.iter().find(|(key, _)| key == keys.value(row)).map(|(_, value)| value.clone()));
            }
            Ok(Arc::new(StringArray::from(out)))
        });
    vec![label]
}
