//! What one session's plans see (tables, functions, rules), and what one statement's plan sees (its
//! snapshot).

use crate::access::{Access, Rights};
use crate::engine::{Engine, sort_reserve};
use crate::error::{Error, raise};
use crate::session::Session;
use crate::store::Asker;
use crate::tables::Own;
use crate::{catalogue, fleet, functions, rules, tables};
use datafusion::catalog::Session as Planning;
use datafusion::common::ScalarValue;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::extensions_options;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::prelude::{SessionConfig, SessionContext};
use kernel::Snapshot;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use traces::Context;

/// The name of the one database.
pub(crate) const DATABASE: &str = "meridian";

/// What all parts of one statement share: one commit, seen from its first scan on; in a fleet, who asks.
pub(crate) struct StatementContext {
    local: Option<Arc<kernel::Kernel>>,
    snapshot: OnceLock<Snapshot>,
    /// Who asks, and how fresh the answer must be.
    pub asker: Asker,
    /// Nodes of a fleet that failed in an earlier try of it.
    pub avoided: Vec<String>,
    /// The wall clock when it began, in microseconds.
    pub now_us: i64,
    /// Its parameters, from $1 on.
    pub params: Vec<ScalarValue>,
    /// What it may do.
    pub rights: Arc<Rights>,
    /// What its tasks run in where limits bound its memory. A state's own runtime can't be exchanged without building all
    /// functions anew, where one may lose its name to another's alias.
    bounded: Option<Arc<RuntimeEnv>>,
    /// The trace that it is a part of.
    pub trace: Option<Context>,
    /// In a fleet, which nodes have opened what they are to read for it.
    pub openings: Arc<fleet::Openings>,
}

impl StatementContext {
    pub(crate) fn of(session: &Session, params: Vec<ScalarValue>, avoided: Vec<String>) -> Self {
        let engine = &session.engine;
        StatementContext {
            local: engine.local.clone(),
            snapshot: OnceLock::new(),
            asker: session.asker(),
            avoided,
            now_us: engine.settings.clock.wall_us(),
            params,
            rights: session.access.rights(),
            bounded: None,
            trace: traces::current(),
            openings: Arc::default(),
        }
    }

    /// The same, in memory that limits bound.
    pub(crate) fn bounded_by(self, runtime: Arc<RuntimeEnv>) -> Self {
        StatementContext { bounded: Some(runtime), ..self }
    }

    /// The statement's snapshot, taken when it is first asked for. None where samples lie on a fleet's nodes.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let kernel = self.local.as_ref()?;
        Some(self.snapshot.get_or_init(|| kernel.snapshot()).clone())
    }
}

/// What the tasks of a statement's plan run in.
pub(crate) fn task_context(state: &dyn Planning) -> Arc<TaskContext> {
    let statement = state.config().get_extension::<StatementContext>();
    match statement.and_then(|statement| statement.bounded.clone()) {
        Some(runtime) => Arc::new(TaskContext::from(state).with_runtime(runtime)),
        None => state.task_ctx(),
    }
}

extensions_options! {
    /// What our planning rules must know of a session.
    pub(crate) struct PlanOptions {
        /// The zone in which times without an offset are read.
        pub zone: String, default = "UTC".to_owned()
    }
}

impl ConfigExtension for PlanOptions {
    const PREFIX: &'static str = "meridian";
}

/// The rights of the statement that is planned, for what asks much later: of a cursor's rows, or in a second try.
#[derive(Clone, Debug)]
pub(crate) struct StatementRights(pub Arc<Rights>);

impl StatementRights {
    /// Those of the statement; of whoever asks now where nothing runs yet.
    pub(crate) fn of(options: &ConfigOptions, access: &Access) -> Arc<Rights> {
        let held = options.extensions.get::<StatementRights>();
        held.map_or_else(|| access.rights(), |held| Arc::clone(&held.0))
    }
}

impl ConfigExtension for StatementRights {
    const PREFIX: &'static str = "meridian_rights";
}

impl ExtensionOptions for StatementRights {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, _: &str, _: &str) -> Result<(), DataFusionError> {
        Err(raise(Error::CantChange, "the rights of a statement are no setting").into())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// What sessions of an engine plan and run with, before one changes a setting.
pub(crate) fn config(engine: &Engine) -> SessionConfig {
    let mut config = SessionConfig::new()
        // In a fleet, aggregates are made in two steps: on nodes, and here.
        .with_target_partitions(engine.settings.target_partitions.max(if engine.local.is_some() { 1 } else { 2 }))
        .with_batch_size(engine.settings.batch_rows.max(1))
        .with_default_catalog_and_schema(DATABASE, "public")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    options.explain.show_schema = false;
    options.execution.sort_spill_reservation_bytes = sort_reserve(engine.settings.memory_bytes);
    options.extensions.insert(PlanOptions::default());
    config
}

/// The state in which a session plans.
///
/// # Errors
/// A table of clients' catalogues that can't be made, which is a fault of ours.
pub(crate) fn build(engine: &Arc<Engine>, id: i32, own: &Own<'_>) -> Result<SessionState, Error> {
    let builder = SessionStateBuilder::new().with_config(config(engine));
    let builder = builder.with_runtime_env(Arc::clone(&engine.runtime)).with_default_features();
    let mut builder = rules::install(builder, engine, own.access);
    if engine.local.is_none() {
        builder = fleet::install(builder, engine);
    }
    let context = SessionContext::new_with_state(builder.build());
    let access = own.access;
    tables::register(&context, engine, access)?;
    functions::register(&context, engine, id, own.state, access);
    let clients = catalogue::catalogue(engine, access, || functions::names(&context, access))?;
    functions::register_clients(&context, &clients, access);
    catalogue::register(&context, &clients, access, tables::session::all(engine, own))?;
    // Not built once more: a function of ours that took another's name might lose it to one of that one's other names.
    Ok(context.state())
}
