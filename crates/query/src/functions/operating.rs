//! The functions of whoever operates a fleet: each waits without keeping a thread.

use super::waiting::{self, Takes};
use crate::access::Access;
use crate::audit::operated;
use crate::engine::Engine;
use crate::operator::OperatorFunction;
use crate::session::State;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) fn all(engine: &Arc<Engine>, session: i32, access: &Arc<Access>, state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |function: OperatorFunction| {
        let OperatorFunction { name, arguments, optional, strict } = function;
        let (operator, access, state) = (Arc::clone(operator), Arc::clone(access), Arc::clone(state));
        waiting::make(name, Takes::with_optional(&arguments, optional, strict), DataType::Utf8, move |arguments| {
            let shown = arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let admitted = state.lock().admit_acting(name);
            let (called, access) = (admitted.map(|()| operator.call(name, arguments)), Arc::clone(&access));
            async move {
                let done = called?.await;
                operated(session, &access, &format!("{name}({shown})"), &done);
                done.map(|said| ScalarValue::Utf8(Some(said)))
            }
            .boxed()
        })
    };
    operator.functions().into_iter().map(made).collect()
}
