//! Running a statement of a fleet: again, where it failed for a reason that another plan mends, as long as no row of
//! it was handed on.
//!
//! Promises: rows of only one try are handed on, and none before a part of the answer is there (`HELD_BYTES`) and every node has
//! opened what it is to read, unless the answer ends before; a slice that moved
//! is looked up again, until it is led or patience ends (then `57P03`, with what is wrong); a node that was lost, or can't promise
//! the freshness asked for, is avoided as long as another one has its slices, and the session is told once.

use super::channels::Watched;
use super::codec::Codec;
use super::openings::Openings;
use super::planner::{FleetPlanner, NoOthers, to_owners};
use crate::context::PlanOptions;
use crate::engine::Engine;
use crate::error::{Error, from_datafusion};
use crate::frugal;
use crate::planning::Planning;
use crate::query::fleet_state;
use crate::session::Session;
use crate::tables::statement;
use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedConfig, DistributedExt, SessionStateBuilderExt};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long is waited before slices that are changing hands are looked up again: doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// How much of an answer is held until it ends or has more: what fails till then is run again.
const HELD_BYTES: usize = 1 << 20;
/// What whoever asked is to do where an answer broke off.
const SOME_SENT: &str = "some of its rows were sent: run the statement again, which reads from whoever has the slices by then";
/// Of queries' memory, what one connection may hold of batches that nobody has taken yet.
const BUFFERED_PART: u64 = 64;

/// Makes a state plan for a fleet: the boundary is the planner's, the rest the engine's beneath.
pub(crate) fn install(builder: SessionStateBuilder, engine: &Arc<Engine>) -> SessionStateBuilder {
    let planner = Arc::new(FleetPlanner { engine: Arc::clone(engine) });
    let mut builder = builder.with_query_planner(planner).with_distributed_planner();
    if let Some(config) = builder.config() {
        configure(config, engine);
    }
    builder = builder
        .with_distributed_user_codec(Codec(None))
        .with_distributed_worker_resolver(NoOthers)
        .with_distributed_route_tasks_handler(to_owners);
    match &engine.settings.channels {
        Some(channels) => builder.with_distributed_channel_resolver(Watched::new(channels)),
        None => builder,
    }
}

fn configure(config: &mut SessionConfig, engine: &Engine) {
    let options = config.options_mut();
    // Subqueries are run here, and more than one row is an error as ever.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = true;
    if let Some(distributed) = options.extensions.get_mut::<DistributedConfig>() {
        let bytes = (engine.settings.memory_bytes / BUFFERED_PART).clamp(256 << 10, 16 << 20);
        distributed.worker_connection_buffer_budget_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        distributed.collect_metrics = false;
    }
}

/// What a statement's state carries to the nodes.
pub(crate) fn carry(state: &mut SessionState, options: PlanOptions, metrics: bool) {
    state.config_mut().set_distributed_option_extension(options);
    if let Some(distributed) = state.config_mut().options_mut().extensions.get_mut::<DistributedConfig>() {
        distributed.collect_metrics = metrics;
    }
}

/// Runs a plan of a fleet.
pub(crate) async fn run(
    planning: &Planning,
    session: &Session,
    values: Vec<ScalarValue>,
    plan: &LogicalPlan,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let (mut avoided, mut named): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut deadline = None;
    let mut pause = Duration::ZERO;
    loop {
        let state = fleet_state(session, values.clone(), avoided.clone(), plan);
        let openings = statement(&state)?;
        let openings = &openings.openings;
        let fault = match frugal::run(planning.clone(), state, plan).await {
            Err(fault) => fault,
            Ok(rows) => match begun(rows, openings).await {
                Ok(rows) => return Ok(rows),
                Err(fault) => fault,
            },
        };
        let last: DataFusionError = match from_datafusion(&fault, "") {
            // Once it was waited for in vain, what remains is that nobody may serve it.
            Error::Stale(report) => Error::Unavailable(report).into(),
            error @ (Error::Unreachable(_) | Error::Unavailable(_)) => match error.report().node.clone() {
                Some(node) if !avoided.contains(&node) => {
                    if !named.contains(&node) {
                        let message = format!("the statement was run again without the node at {node}");
                        session.notice("NOTICE", "01000", message, Some(error.message()));
                        named.push(node.clone());
                    }
                    avoided.push(node);
                    continue;
                }
                // Nobody else has what it wants: whoever was avoided may be back, or lead by now.
                _ => {
                    avoided.clear();
                    fault
                }
            },
            _ => return Err(fault),
        };
        // From the first refusal on: that of a statement that had run for long is looked into as well.
        let ends = *deadline.get_or_insert_with(|| Instant::now() + session.engine.store.patience());
        if Instant::now() + pause >= ends {
            return Err(last);
        }
        // The first time the map here may be all that was old.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        // Where the map can't be read now the next try tells of it.
        drop(session.engine.store.refresh().await);
    }
}

/// An answer that has begun: as much of it as is held came, and all nodes hold what they are to read.
async fn begun(
    mut rows: BoxStream<'static, Result<RecordBatch>>,
    openings: &Openings,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    let (mut opened, mut all) = (std::pin::pin!(openings.all()), false);
    while bytes <= HELD_BYTES {
        // A refusal is heard before the rows of whoever refused are wanted: a join may not come to them for long.
        let batch = tokio::select! {
            biased;
            said = &mut opened, if !all => {
                said?;
                all = true;
                continue;
            }
            batch = rows.next() => batch,
        };
        match batch {
            None => return Ok(stream::iter(held.into_iter().map(Ok)).boxed()),
            Some(batch) => {
                let batch = batch?;
                bytes += batch.get_array_memory_size();
                held.push(batch);
            }
        }
    }
    // Of the plan that gives rows: where memory was short it is the second one.
    openings.all().await?;
    // Rows have left: whoever asks has to ask again.
    let late = |fault: DataFusionError| match from_datafusion(&fault, "") {
        Error::Stale(report) => DataFusionError::from(Error::unavailable(report.message).with_hint(SOME_SENT)),
        error @ (Error::Unreachable(_) | Error::Unavailable(_)) if error.hint().is_none() => error.with_hint(SOME_SENT).into(),
        _ => fault,
    };
    Ok(stream::iter(held.into_iter().map(Ok)).chain(rows.map(move |batch| batch.map_err(late))).boxed())
}
