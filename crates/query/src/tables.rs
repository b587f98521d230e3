//! The tables that SQL sees.

use crate::engine::Engine;
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// Registers them in a session's context.
pub(crate) fn register(_context: &SessionContext, _engine: &Arc<Engine>) {}
