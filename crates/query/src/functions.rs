//! Functions beside DataFusion's own.

use crate::engine::Engine;
use crate::session::SessionSettings;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// Registers them in a session's context.
pub(crate) fn register(_context: &SessionContext, _engine: &Arc<Engine>, _id: i32, _settings: &SessionSettings) {}
