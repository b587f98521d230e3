//! `label(tag, key)`, and `labels ->> key`.

use super::simple::Simple;
use crate::access::{Access, Privileges, Rights};
use crate::context::StatementRights;
use crate::engine::Engine;
use crate::session::State;
use arrow::array::{Array, AsArray, NullBufferBuilder, StringArray, StringViewArray, make_view, new_null_array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
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

pub(super) fn all(engine: &Arc<Engine>, access: &Arc<Access>, state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    // A tag's labels may be changed between statements, never within one as far as it is concerned.
    let signature = Signature::exact(vec![DataType::Utf8View, DataType::Utf8], Volatility::Stable);
    vec![ScalarUDF::new_from_impl(Label {
        engine: Arc::clone(engine),
        access: Arc::clone(access),
        state: Arc::clone(state),
        signature,
    })]
}

/// `label(tag, key)`. A tag is looked up once a batch, however many rows it has there; its rows share the text.
struct Label {
    engine: Arc<Engine>,
    access: Arc<Access>,
    /// What the session's block has made and changed.
    state: Arc<Mutex<State>>,
    signature: Signature,
}

impl Label {
    /// The label of a tag, or none; of a tag that may not be seen there are none.
    fn of(&self, rights: &Rights, name: &str, key: &str) -> Option<String> {
        let (catalog, table, select) = (&self.engine.catalog, "public.tags", Privileges::SELECT);
        let seen = |id: &TagId| rights.is_unbound() || rights.has_tag(catalog, table, select, *id, name);
        let definition = match catalog.find(name) {
            Some(id) => {
                let id = Some(id).filter(seen)?;
                let changed = self.state.lock().definition(id).cloned();
                changed.or_else(|| catalog.get(id).map(|tag| tag.definition))?
            }
            None => self.state.lock().made(name).filter(|(_, tag)| rights.has_definition(table, select, tag))?.1.clone(),
        };
        definition.labels.into_iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// One key for all rows, as it nearly always is.
    fn column(&self, rights: &Rights, names: &StringViewArray, key: &str) -> StringViewArray {
        let (mut texts, mut views, mut present) =
            (Vec::new(), Vec::with_capacity(names.len()), NullBufferBuilder::new(names.len()));
        // Views of one array that are equal are of one text.
        let mut known: HashMap<u128, Option<u128>> = HashMap::new();
        let mut last: Option<(u128, Option<u128>)> = None;
        for (row, view) in names.views().iter().enumerate() {
            if names.is_null(row) {
                views.push(0);
                present.append_null();
                continue;
            }
            let found = match last {
                Some((same, found)) if same == *view => found,
                _ => *known.entry(*view).or_insert_with(|| {
                    let text = self.of(rights, names.value(row), key)?;
                    let at = u32::try_from(texts.len()).ok()?;
                    texts.extend_from_slice(text.as_bytes());
                    Some(make_view(text.as_bytes(), 0, at))
                }),
            };
            last = Some((*view, found));
            views.push(found.unwrap_or(0));
            present.append(found.is_some());
        }
        // SAFETY: every view was made from the text that lies at its offset of the one buffer, a `String`, so UTF-8; that of a
        // NULL is of an empty text.
        unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), [Buffer::from_vec(texts)], present.finish()) }
    }
}

impl ScalarUDFImpl for Label {
    fn name(&self) -> &str {
        "label"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rights = StatementRights::of(&args.config_options, &self.access);
        let [names, key] = args.args.as_slice() else { return exec_err!("label takes a tag and a key") };
        let text = |key: &ScalarValue| key.try_as_str().flatten().map(str::to_owned);
        if let (ColumnarValue::Array(names), ColumnarValue::Scalar(key)) = (names, key) {
            let names = names.as_string_view();
            return Ok(ColumnarValue::Array(match text(key) {
                Some(key) => Arc::new(self.column(&rights, names, &key)),
                None => new_null_array(&DataType::Utf8View, names.len()),
            }));
        }
        let constant = matches!((names, key), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (names, keys) = (names.to_array(rows)?, key.to_array(rows)?);
        let (names, keys) = (names.as_string_view(), keys.as_string::<i32>());
        let one = |(name, key): (Option<&str>, Option<&str>)| self.of(&rights, name?, key?);
        let out: StringViewArray = names.iter().zip(keys.iter()).map(one).collect();
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(out))
        })
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("label")
    }
}

// It is registered once a session.
impl PartialEq for Label {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Label {}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        "label".hash(state);
    }
}
