//! `meridian_retention(policy [, dry_run])`: runs a retention policy now, or says what it would remove; `meridian_retention_preview(tags,
//! keep)`: what a policy would that is not made yet.
//!
//! Promises: an answer comes when what it tells of is done. Each run is told to the audit log.

use super::waiting::{self, Takes};
use crate::access::Access;
use crate::audit::operated;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::retention::{Keep, preview, run_one};
use crate::session::State;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;

fn text(value: &ScalarValue) -> Result<&str, Error> {
    value.try_as_str().flatten().ok_or_else(|| raise(Error::InvalidParameter, "a text is wanted"))
}

pub(super) fn all(engine: &Arc<Engine>, session: i32, access: &Arc<Access>, state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    let takes = Takes::with_optional(&[DataType::Utf8, DataType::Boolean], 1, true);
    let (of_run, access, state) = (Arc::clone(engine), Arc::clone(access), Arc::clone(state));
    let run = waiting::make("meridian_retention", takes, DataType::Utf8, move |arguments| {
        let (engine, access) = (Arc::clone(&of_run), Arc::clone(&access));
        let admitted = state.lock().admit_acting("meridian_retention");
        async move {
            let name = text(&arguments[0])?;
            let dry = matches!(arguments.get(1), Some(ScalarValue::Boolean(Some(true))));
            if !dry {
                admitted?;
            }
            let done = run_one(&engine, name, dry).await;
            let done = done.map(|removed| removed.told(if dry { "would go" } else { "are removed" }));
            if !dry {
                operated(session, &access, &format!("meridian_retention({name})"), &done);
            }
            done.map(|said| ScalarValue::Utf8(Some(said)))
        }
        .boxed()
    });
    let of_preview = Arc::clone(engine);
    let takes = Takes::with_optional(&[DataType::Utf8, DataType::Utf8], 0, true);
    let tried = waiting::make("meridian_retention_preview", takes, DataType::Utf8, move |arguments| {
        let engine = Arc::clone(&of_preview);
        async move {
            let (tags, keep) = (text(&arguments[0])?, Keep::parse(text(&arguments[1])?)?);
            let would = preview(&engine, tags, keep).await?;
            Ok(ScalarValue::Utf8(Some(would.told("would go"))))
        }
        .boxed()
    });
    vec![run, tried]
}
