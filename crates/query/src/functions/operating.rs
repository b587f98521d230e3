//! The functions of whoever operates a fleet: each waits without keeping a thread.

use super::waiting::{self, Takes};
use crate::access::Access;
use crate::audit::operated;
use crate::engine::Engine;
use crate::operator::OperatorFunction;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use futures::FutureExt;
use std::sync::Arc;

pub(super) fn all(engine: &Arc<Engine>, session: i32, access: &Arc<Access>) -> Vec<ScalarUDF> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |function: OperatorFunction| {
        let OperatorFunction { name, arguments, optional, strict } = function;
        let (operator, access) = (Arc::clone(operator), Arc::clone(access));
        waiting::make(name, Takes::with_optional(&arguments, optional, strict), DataType::Utf8, move |arguments| {
            let shown = arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (called, access) = (operator.call(name, arguments), Arc::clone(&access));
            async move {
                let done = called.await;
                operated(session, &access, &format!("{name}({shown})"), &done);
                done.map(|said| ScalarValue::Utf8(Some(said)))
            }
            .boxed()
        })
    };
    operator.functions().into_iter().map(made).collect()
}
