//! Functions beside DataFusion's own.

use crate::engine::Engine;
use crate::session::SessionSettings;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// What `labels ->> 'key'` is called in a plan.
pub(crate) const JSON_TEXT: &str = "json_text";

/// Registers them in a session's context.
pub(crate) fn register(_context: &SessionContext, _engine: &Arc<Engine>, _id: i32, _settings: &SessionSettings) {}
