//! The functions of whoever operates a fleet: each waits without keeping a thread.

use super::waiting::{self, Takes};
use crate::engine::Engine;
use crate::operator::OperatorFunction;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use futures::FutureExt;
use std::sync::Arc;

pub(super) fn all(engine: &Arc<Engine>) -> Vec<ScalarUDF> {
    let Some(operator) = &engine.settings.operator else { return Vec::new() };
    let made = |function: OperatorFunction| {
        let OperatorFunction { name, arguments, optional, strict } = function;
        let operator = Arc::clone(operator);
        waiting::make(name, Takes::with_optional(&arguments, optional, strict), DataType::Utf8, move |arguments| {
            let called = operator.call(name, arguments);
            async move { called.await.map(|said| ScalarValue::Utf8(Some(said))) }.boxed()
        })
    };
    operator.functions().into_iter().map(made).collect()
}
