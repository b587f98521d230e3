//! The engine: what all sessions share. Where samples lie, catalog, memory pool, spill directory, the register
//! of running statements, and the tables, functions and rules that SQL sees.
//!
//! Shared state: `running` (a mutex around the register of statements) is touched when a statement
//! begins and ends, when one is cancelled and when `meridian.queries` is read; `clients` is made by the first session;
//! nothing else changes after `Engine::new`.

use crate::access::Roles;
use crate::catalogue;
use crate::error::Error;
use crate::fleet::{Channels, DroppedTags};
use crate::ingest::Answer;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::operator::Operator;
use crate::planning::Planners;
use crate::pool::QueryPool;
use crate::quotas::Quotas;
use crate::retention;
use crate::running::Running;
use crate::session::{Session, SessionSettings};
use crate::sessions::Sessions;
use crate::store::{Asker, Lone, Store, Tags};
use catalog::Catalog;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use kernel::{Committed, Deletion, HistogramCounts, Kernel, Write};
use parking_lot::RwLock;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;
use world::Clock;

/// How many spilled files are merged at once: each holds some batches meanwhile.
const SPILL_FILES_MERGED: usize = 8;
/// Queries' memory for each row of a batch: what spills holds dozens of batches at once.
const MEMORY_OF_BATCH_ROW: u64 = 16 << 10;
/// A batch has as many rows at least.
const BATCH_ROWS_MIN: usize = 256;

/// A row of `meridian.settings`, and of `SHOW ALL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its one name.
    pub name: String,
    /// Its value in force, as text.
    pub value: String,
    /// Its unit, or nothing.
    pub unit: String,
    /// Where the value came from: default, file, environment, flag.
    pub source: String,
    /// What it does.
    pub description: String,
}

/// What can be set of an engine.
#[derive(Clone)]
pub struct EngineSettings {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Queries' share of the memory budget, in bytes. Sorting, grouping and joining beyond it spill.
    pub memory_bytes: u64,
    /// Where queries spill to; None = they don't, and end with 53200.
    pub spill_dir: Option<PathBuf>,
    /// How much all queries together may spill, in bytes.
    pub spill_bytes_max: u64,
    /// How many parts of a query run side by side; usually the number of cores.
    pub target_partitions: usize,
    /// About how many rows a batch has; with little memory it has fewer.
    pub batch_rows: usize,
    /// How much parsed data one COPY FROM STDIN may hold before it commits, in bytes.
    pub copy_bytes_max: u64,
    /// The name of this node.
    pub node: String,
    /// The program's release, for `version()`.
    pub release: String,
    /// Statements that take longer are told with their plans (`Prepared::slow_plan`); None: none are.
    pub slow_statement: Option<Duration>,
    /// The configuration in force, shown as `meridian.settings`.
    pub settings: Vec<Setting>,
    /// Whom operators ask, in a fleet.
    pub operator: Option<Arc<dyn Operator>>,
    /// How the nodes of a fleet are reached; None on a lone node.
    pub channels: Option<Arc<dyn Channels>>,
    /// Who says what this server may use of limits that it shares with others; None on a lone node.
    pub quotas: Option<Arc<dyn Quotas>>,
}

impl EngineSettings {
    /// The defaults.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        EngineSettings {
            clock,
            memory_bytes: 1 << 30,
            spill_dir: None,
            spill_bytes_max: 16 << 30,
            target_partitions: 2,
            batch_rows: 8192,
            copy_bytes_max: 256 << 20,
            node: "meridian".to_owned(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            slow_statement: None,
            settings: Vec::new(),
            operator: None,
            channels: None,
            quotas: None,
        }
    }
}

/// Of so many bytes of memory, what a sort that spills keeps back for merging; with little memory, little.
pub(crate) fn sort_reserve(memory_bytes: u64) -> usize {
    usize::try_from(memory_bytes / 32).unwrap_or(usize::MAX).clamp(64 << 10, 10 << 20)
}

/// How many rows a batch may have where there is so much memory.
pub(crate) fn batch_rows(wanted: usize, memory_bytes: u64) -> usize {
    let rows = usize::try_from(memory_bytes / MEMORY_OF_BATCH_ROW).unwrap_or(usize::MAX);
    wanted.min(rows.max(BATCH_ROWS_MIN))
}

/// Memory and spilling as settings say; batches are made smaller where memory is short.
pub(crate) fn runtime_of(settings: &mut EngineSettings) -> Result<Arc<RuntimeEnv>, Error> {
    settings.batch_rows = batch_rows(settings.batch_rows, settings.memory_bytes);
    let bytes = usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX);
    let tracked = NonZeroUsize::MIN.saturating_add(4);
    let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(QueryPool::new(bytes), tracked));
    let mode = match &settings.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(settings.spill_bytes_max)
        .with_max_spill_merge_fan_in(SPILL_FILES_MERGED);
    Ok(RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()?)
}

/// SQL over one store and one catalog.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    /// The store's own kernel, where all samples lie in it.
    pub(crate) local: Option<Arc<Kernel>>,
    pub(crate) tags: Arc<dyn Tags>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) dropped: DroppedTags,
    pub(crate) settings: EngineSettings,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) running: Arc<Running>,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    pub(crate) planners: Arc<Planners>,
    pub(crate) retention: retention::Runner,
    pub(crate) started_us: i64,
    /// PostgreSQL's catalogue, as all sessions share it.
    pub(crate) clients: catalogue::Once,
    next_session: AtomicI32,
    next_statement: AtomicU64,
    /// Who there is; replaced once, by whoever opens doors.
    roles: RwLock<Arc<Roles>>,
    /// What the process counts; told once, by the same.
    metrics: RwLock<Option<Arc<dyn Metrics>>>,
}

impl Engine {
    /// An engine over samples, changes of the tag table, and the tag table as this process has it.
    ///
    /// # Errors
    /// `Error::Io` where the spill directory can't be used.
    pub fn new(
        store: Arc<dyn Store>,
        tags: Arc<dyn Tags>,
        catalog: Arc<Catalog>,
        mut settings: EngineSettings,
    ) -> Result<Arc<Engine>, Error> {
        let runtime = runtime_of(&mut settings)?;
        let started_us = settings.clock.wall_us();
        let running = Arc::new(Running::new(Arc::clone(&settings.clock)));
        let local = store.local().cloned();
        let next_session = AtomicI32::new(1);
        Ok(Arc::new(Engine {
            store,
            local,
            tags,
            catalog,
            dropped: DroppedTags::default(),
            settings,
            runtime,
            running,
            sessions: Sessions::default(),
            limits: Limits::default(),
            planners: Arc::default(),
            retention: retention::Runner::default(),
            started_us,
            clients: catalogue::Once::new(),
            next_session,
            next_statement: AtomicU64::new(1),
            roles: RwLock::new(Roles::in_memory()),
            metrics: RwLock::new(None),
        }))
    }

    /// An engine over a kernel and a catalog of this process.
    ///
    /// # Errors
    /// As `new`.
    pub fn alone(kernel: Arc<Kernel>, catalog: Arc<Catalog>, settings: EngineSettings) -> Result<Arc<Engine>, Error> {
        Engine::new(Arc::new(Lone(kernel)), Arc::clone(&catalog) as Arc<dyn Tags>, catalog, settings)
    }

    /// Who there is.
    #[must_use]
    pub fn roles(&self) -> Arc<Roles> {
        Arc::clone(&self.roles.read())
    }

    /// Says who there is: before the first session that others open. Until then there is the bootstrap user alone.
    pub fn set_roles(&self, roles: Arc<Roles>) {
        *self.roles.write() = roles;
    }

    /// Whoever knows what the process counts.
    pub(crate) fn metrics(&self) -> Option<Arc<dyn Metrics>> {
        self.metrics.read().clone()
    }

    /// Says who knows what the process counts.
    pub fn set_metrics(&self, metrics: Arc<dyn Metrics>) {
        *self.metrics.write() = Some(metrics);
    }

    /// A session: one a connection.
    #[must_use]
    pub fn session(self: &Arc<Self>, settings: SessionSettings) -> Arc<Session> {
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(Arc::clone(self), id, settings);
        self.sessions.enter(&session);
        session
    }

    /// A number for a try of a statement: no other of this engine has it, nor of another node or start.
    pub(crate) fn number_statement(&self) -> u128 {
        let mut hasher = rustc_hash::FxHasher::default();
        (self.settings.node.as_str(), self.started_us).hash(&mut hasher);
        (u128::from(hasher.finish()) << 64) | u128::from(self.next_statement.fetch_add(1, Ordering::Relaxed))
    }

    /// Whose session that is; None where it is not open.
    pub(crate) fn owner(&self, session: i32) -> Option<Arc<str>> {
        self.sessions.find(session).map(|session| session.access.session_user())
    }

    /// Ends a session: what it runs is cancelled, and whoever serves it hears of it (`Session::ended`). False where it is not open.
    pub(crate) fn terminate(&self, session: i32) -> bool {
        let found = self.sessions.find(session);
        if let Some(session) = &found {
            session.terminate();
        }
        found.is_some()
    }

    /// Cancels whatever a session runs now; false where there is no such session, or it runs nothing.
    pub fn cancel(&self, session: i32) -> bool {
        self.running.cancel_session(session)
    }

    /// How long statements took, from the beginning of their execution to their last row; those of a lone node's point path
    /// are not among them.
    #[must_use]
    pub fn statement_times(&self) -> HistogramCounts {
        self.running.times.counts()
    }

    /// How many statements run now.
    #[must_use]
    pub fn statements_running(&self) -> usize {
        self.running.len()
    }

    /// Bytes that queries hold of their share.
    #[must_use]
    pub fn query_bytes(&self) -> u64 {
        self.runtime.memory_pool.reserved() as u64
    }

    /// The wall clock when the engine was made, in microseconds.
    #[must_use]
    pub fn started_us(&self) -> i64 {
        self.started_us
    }

    /// Where samples lie.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The kernel beneath, where all samples lie in it.
    #[must_use]
    pub fn local(&self) -> Option<&Arc<Kernel>> {
        self.local.as_ref()
    }

    /// Changes of the tag table.
    #[must_use]
    pub fn tags(&self) -> &Arc<dyn Tags> {
        &self.tags
    }

    /// Resolves when names may be resolved here. On a lone node that is always.
    ///
    /// # Errors
    /// `Error::Unavailable` where this scheduler can't tell whether its tag table is the newest.
    pub async fn readable(&self) -> Result<(), Error> {
        if self.local.is_some() { Ok(()) } else { self.tags.readable().await }
    }

    /// Commits samples; the rows are copied before the answer is waited for.
    pub(crate) fn write(&self, write: Write<'_>, asker: &Asker) -> Answer<Committed> {
        match &self.local {
            Some(kernel) => Answer::Here(kernel.write(write)),
            None => Answer::Away(self.store.write(write, asker)),
        }
    }

    /// Deletes samples.
    pub(crate) fn delete(&self, deletion: Deletion, asker: &Asker) -> Answer<Committed> {
        match &self.local {
            Some(kernel) => Answer::Here(kernel.delete(deletion)),
            None => Answer::Away(self.store.delete(deletion, asker)),
        }
    }

    /// The catalog beneath.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What it was set to.
    #[must_use]
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }
}
