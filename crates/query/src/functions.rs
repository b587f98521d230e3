//! Functions beside DataFusion's own: quality, labels, time and the session's own facts.

mod bins;
mod labels;
mod maintenance;
mod node;
mod quality;
mod simple;
mod time;
mod values_at;

use crate::engine::Engine;
use crate::session::SessionSettings;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

pub(crate) use labels::{JSON_TEXT, LabelOperators};

/// Registers them in a session's context.
pub(crate) fn register(context: &SessionContext, engine: &Arc<Engine>, id: i32, settings: &SessionSettings) {
    for function in quality::all() {
        context.register_udf(function);
    }
    for function in labels::all(engine) {
        context.register_udf(function);
    }
    for function in time::all() {
        context.register_udf(function);
    }
    for function in node::all(engine, id, settings) {
        context.register_udf(function);
    }
    for function in maintenance::all(engine) {
        context.register_udf(function);
    }
    context.register_udtf("values_at", Arc::new(values_at::ValuesAt::new(engine)));
}
