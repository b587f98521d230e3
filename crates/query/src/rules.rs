//! Our planning rules.

use crate::engine::Engine;
use datafusion::execution::SessionStateBuilder;
use std::sync::Arc;

/// Adds them to a state that is being built.
pub(crate) fn install(builder: SessionStateBuilder, _engine: &Arc<Engine>) -> SessionStateBuilder {
    builder
}
