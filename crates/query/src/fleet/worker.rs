//! What a data node runs for statements of other nodes: datafusion-distributed's worker over the node's slices.
//!
//! Promises: what it reads is what its `SliceReader` allows; its queries live within the memory that it was given,
//! and spill as a lone node's do; a statement that is given up ends here too, at its next batch; what was opened is read to its
//! end, wherever its slices lie by then (`opening`).

use super::channels::{Channels, TRACEPARENT, Watched};
use super::codec::Codec;
use super::opening::Opening;
use super::part::{Opened, SliceReader};
use super::travels::with_functions;
use crate::context::PlanOptions;
use crate::engine::{EngineSettings, runtime_of};
use crate::error::Error;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder};
use std::sync::Arc;
use tonic::service::Routes;
use traces::Context;

/// The trace of the statement that a node runs a part of.
struct PartOf(Context);

/// The trace that a task's headers named.
pub(crate) fn trace(context: &TaskContext) -> Option<Context> {
    context.session_config().get_extension::<PartOf>().map(|part| part.0)
}

struct Builder {
    opened: Arc<Opened>,
    channels: Arc<dyn Channels>,
    batch_rows: usize,
    target_partitions: usize,
}

#[async_trait::async_trait]
impl WorkerSessionBuilder for Builder {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let WorkerQueryContext { mut builder, headers } = context;
        let mut config: SessionConfig = builder.config().take().unwrap_or_default();
        config = config.with_target_partitions(self.target_partitions.max(1)).with_batch_size(self.batch_rows.max(1));
        config.options_mut().execution.time_zone = Some("UTC".to_owned());
        let named = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(trace) = named {
            config.set_extension(Arc::new(PartOf(trace)));
        }
        *builder.config() = Some(config);
        let builder = builder
            .with_distributed_option_extension_from_headers::<PlanOptions>(&headers)?
            .with_distributed_user_codec(Codec(Some(Arc::clone(&self.opened))))
            .with_distributed_channel_resolver(Watched::new(&self.channels));
        Ok(with_functions(builder))
    }
}

/// The service of a data node, to be added to a gRPC server that only nodes of the fleet reach. `settings` are those
/// of an engine: memory, spilling, batches.
///
/// # Errors
/// `Error::Io` where the spill directory can't be used.
pub fn worker(reader: Arc<dyn SliceReader>, channels: Arc<dyn Channels>, settings: &EngineSettings) -> Result<Routes, Error> {
    let mut settings = settings.clone();
    let runtime = runtime_of(&mut settings)?;
    let builder = Builder {
        opened: Opened::new(reader),
        channels,
        batch_rows: settings.batch_rows,
        target_partitions: settings.target_partitions,
    };
    let worker = Worker::from_session_builder(builder).with_runtime_env(runtime).with_version(settings.release.clone());
    Ok(Routes::new(Opening(worker.into_worker_server())))
}
