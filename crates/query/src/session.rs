//! A session: its settings, its transaction block, its notices; what a connection talks to.
//!
//! Outside a transaction block each write is durable when it is answered; inside one it waits for COMMIT (`block`). Reads see
//! the newest commit at the start of each statement.
//!
//! Shared state, all under one mutex that is never held across an await: the block (`Idle` -> `Open`
//! by BEGIN; `Open` -> `Failed` by any error, and back by ROLLBACK TO; both -> `Idle` by COMMIT or ROLLBACK), what it holds,
//! the settings, and the notices and changed settings not yet fetched. Named statements and cursors have locks of their own.

use crate::access::Access;
use crate::activity::Activity;
use crate::block::{Open, Writing};
use crate::cursors::{Cursors, PortalName, Shown};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::limits;
use crate::named::{NamedStatement, Names};
use crate::outcome::Notice;
use crate::planning::Size;
use crate::prepared::{Prepared, of_roles, plan, point_at_once};
use crate::query::Tables;
use crate::running::{Ongoing, timed_out, unless_cancelled};
use crate::settings::Variables;
use crate::store::{Asker, Seen};
use crate::time::Zone;
use crate::traced;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use futures::FutureExt;
use futures::future::AbortRegistration;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Who opens a session, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The role.
    pub user: String,
    /// The database named at connecting; there is one, whatever its name.
    pub database: String,
    /// What the client calls itself.
    pub application_name: String,
    /// The client's address and port, for `pg_stat_activity`.
    pub client: String,
    /// The zone of times written without an offset.
    pub time_zone: String,
    /// Named prepared statements at most; and cursors and named portals.
    pub statements_max: usize,
    /// Whether it has transaction blocks: not where several statements may run in it at one time.
    pub blocks: bool,
    /// Whether it is of one client's connection or request: else it is listed only while something of it runs.
    pub connected: bool,
    /// Whether nothing may be changed in it, whatever it sets.
    pub read_only: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings {
            user: "meridian".to_owned(),
            database: "meridian".to_owned(),
            application_name: String::new(),
            client: String::new(),
            time_zone: "UTC".to_owned(),
            statements_max: 10_000,
            blocks: true,
            connected: true,
            read_only: false,
        }
    }
}

/// Where a session stands in a transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Block {
    /// In none ('I' on the wire).
    #[default]
    Idle,
    /// In one ('T').
    Open,
    /// In one that has failed ('E').
    Failed,
}

#[derive(Default)]
pub(crate) struct State {
    pub block: Block,
    pub read_only: bool,
    /// Whether that is so for good.
    pub only_reads: bool,
    pub open: Open,
    pub variables: Variables,
    pub notices: Vec<Notice>,
    pub changes: Vec<(String, String)>,
}

/// A session.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: i32,
    pub(crate) settings: SessionSettings,
    /// Built when something is planned first: many sessions of one request never need it.
    planning: OnceLock<SessionState>,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) access: Arc<Access>,
    pub(crate) names: Arc<Names>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) limits: limits::Seen,
    seen: Arc<Seen>,
    ended: watch::Sender<bool>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.sessions.leave(self.id);
    }
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, id: i32, settings: SessionSettings) -> Arc<Session> {
        let access = Access::of(&engine.roles(), &settings.user);
        let mut variables = Variables::of(&settings);
        if let Some(role) = access.session().id().and_then(|id| engine.roles().roster().role(id).cloned()) {
            variables.begin_with(&role.settings);
        }
        let state = State { variables, only_reads: settings.read_only, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let (names, cursors) = <(Arc<Names>, Arc<Cursors>)>::default();
        let (seen, ended) = (Arc::default(), watch::Sender::new(false));
        let activity = Activity::new(engine.settings.clock.wall_us());
        let session = Session {
            engine,
            id,
            settings,
            planning: OnceLock::new(),
            state,
            access,
            names,
            cursors,
            activity,
            limits: limits::Seen::new(),
            seen,
            ended,
        };
        session.tell_role();
        // What it begins with is told with everything else, not as a change.
        drop(session.take_changes());
        Arc::new(session)
    }

    /// What every statement is planned with; each is run with a copy of its own.
    pub(crate) fn planning(&self) -> &SessionState {
        self.planning.get_or_init(|| {
            let Session { state, access, names, cursors, .. } = self;
            let own = crate::tables::Own { state, access, names, cursors };
            // Only constants of ours go into it, so it fails in every session or in none.
            crate::context::build(&self.engine, self.id, &own).expect("the tables of clients' catalogues are constants")
        })
    }

    /// Who it is, and whose rights it has.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Puts into its settings who it is now.
    pub(crate) fn tell_role(&self) {
        self.look_up_limits();
        let (session, current) = (self.access.session_user(), self.access.current_user());
        let superuser = if self.access.is_unbound() { "on" } else { "off" };
        let role = if session == current { "none" } else { &*current };
        let mut state = self.state.lock();
        for (name, value) in [("is_superuser", superuser), ("session_authorization", &*session), ("role", role)] {
            let told = state.variables.tell(name, value);
            state.changes.extend(told);
        }
    }

    /// Its number: what `pg_backend_pid()` gives and a cancel request names.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Prepares one statement. `types` are those the client gave for its parameters, from $1 on;
    /// None or missing ones are inferred, and are text where nothing says otherwise.
    ///
    /// # Errors
    /// Whatever is wrong with the statement; the transaction block, if any, has then failed.
    pub async fn prepare(self: &Arc<Self>, sql: &str, types: &[Option<DataType>]) -> Result<Prepared, Error> {
        match of_roles(self, sql) {
            Ok(None) => {}
            Ok(Some(prepared)) => return Ok(prepared),
            Err(error) => {
                self.fail();
                return Err(error);
            }
        }
        let sql: Arc<str> = sql.into();
        let (session, text, types) = (Arc::clone(self), Arc::clone(&sql), types.to_vec());
        let parent = traces::Context::in_comment(&sql).or_else(|| self.trace());
        let mut span = traced::begin(self, parent, &sql);
        let trace = span.as_ref().map(traces::Span::context).or(parent);
        let work = async move { plan(&session, &text, &types).await };
        let work = traces::within(trace, self.engine.planners.run(Size::of(&sql), work.boxed()));
        match self.supervised(&sql, trace, work).await {
            Ok((planned, ongoing, _)) => {
                drop(ongoing.uncounted());
                span.iter_mut().for_each(traces::Span::rest);
                Ok(Prepared::of(self, &Arc::new(planned), span))
            }
            Err(error) => {
                span.iter_mut().for_each(|span| span.fail(traced::failure(&error)));
                Err(error)
            }
        }
    }

    /// Prepares a point statement without parameters at once; None where it is anything else, which `prepare` is for.
    #[must_use]
    pub fn prepare_point(self: &Arc<Self>, sql: &str) -> Option<Prepared> {
        point_at_once(self, sql)
    }

    /// Enters what begins into the register.
    pub(crate) fn begin(&self, sql: &Arc<str>, trace: Option<traces::Context>) -> (Ongoing, AbortRegistration) {
        self.engine.running.begin(self.id, &self.settings.user, sql, &self.activity, trace)
    }

    /// Does a part of a statement: in the register, open to cancelling, within `statement_timeout` (ms; 0: none).
    pub(crate) async fn supervised<T>(
        &self,
        sql: &Arc<str>,
        trace: Option<traces::Context>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<(T, Ongoing, u64), Error> {
        self.heed_limits();
        let (ongoing, registration) = self.begin(sql, trace);
        let limit_ms = self.state.lock().variables.number("statement_timeout");
        let started = unless_cancelled(work, registration);
        let done = if limit_ms == 0 {
            started.await
        } else {
            let limit = std::time::Duration::from_millis(limit_ms);
            tokio::time::timeout(limit, started).await.unwrap_or_else(|_| Err(timed_out()))
        };
        match done {
            Ok(done) => Ok((done, ongoing, limit_ms)),
            Err(error) => {
                self.fail();
                let error = error.traced(trace);
                self.audit_refusal(sql, &error);
                Err(error)
            }
        }
    }

    /// Gives a prepared statement a name.
    ///
    /// # Errors
    /// `Error::DuplicateStatement`, `Error::Limit`.
    pub fn name_statement(&self, name: &str, prepared: &Prepared) -> Result<Arc<NamedStatement>, Error> {
        self.names.add(name, prepared.planned(), &prepared.planned().sql, false, self)
    }

    /// The prepared statement of a name, however it was made.
    #[must_use]
    pub fn named_statement(self: &Arc<Self>, name: &str) -> Option<(Arc<NamedStatement>, Prepared)> {
        let named = self.names.find(name)?;
        let prepared = Prepared::of(self, &named.planned, None);
        Some((named, prepared))
    }

    /// How many statements have names.
    #[must_use]
    pub fn named_statements(&self) -> usize {
        self.names.len()
    }

    /// Forgets a named statement, if there is one.
    pub fn forget_statement(&self, name: &str) {
        // Close of what is not there is no error.
        drop(self.names.forget(Some(name)));
    }

    /// Lists a named portal of the wire among the cursors, as long as the answer lives.
    ///
    /// # Errors
    /// `Error::DuplicateCursor`, `Error::Limit`.
    pub fn name_portal(&self, name: &str, prepared: &Prepared) -> Result<PortalName, Error> {
        let shown = Shown {
            name: name.to_owned(),
            statement: Arc::clone(&prepared.planned().sql),
            holdable: false,
            binary: false,
            scrollable: false,
            created_us: self.engine.settings.clock.wall_us(),
        };
        self.cursors.portal(shown, self.settings.statements_max)
    }

    /// The columns of an open cursor, and whether it was declared BINARY.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<(SchemaRef, bool)> {
        self.cursors.describe(name)
    }

    /// Closes a cursor, if there is one.
    pub fn close_cursor(&self, name: &str) {
        // Close of what is not there is no error.
        drop(self.cursors.close(Some(name)));
    }

    /// The connection has gone: what the session holds goes too.
    pub fn end(&self) {
        crate::block::roll_back(self);
        drop(self.cursors.close(None));
        drop(self.names.forget(None));
    }

    /// Where it stands in a transaction block.
    #[must_use]
    pub fn block(&self) -> Block {
        self.state.lock().block
    }

    /// Says that a statement failed outside the engine (its parameters could not be read, say).
    pub fn fail(&self) {
        self.state.lock().fail();
    }

    /// Whether it is inside a transaction block that has not failed.
    pub(crate) fn in_block(&self) -> bool {
        self.block() == Block::Open
    }

    /// Whether a point statement may be run here and now (no failed block, none that holds writes, and no limit to wait for); then its
    /// zone, and the trace that the session's settings name.
    #[must_use]
    pub fn reads_freely(&self) -> Option<(Zone, Option<traces::Context>)> {
        self.heed_limits();
        let state = self.state.lock();
        let free = state.block != Block::Failed && state.reads_freely() && !state.variables.reads_are_limited;
        free.then(|| (state.variables.zone(), state.variables.trace()))
    }

    /// The trace that what it does now is for: its call's, or what its settings name.
    pub(crate) fn trace(&self) -> Option<traces::Context> {
        traces::current().or_else(|| self.state.lock().variables.trace())
    }

    /// Cancels whatever the session runs now.
    pub fn cancel(&self) -> bool {
        self.engine.cancel(self.id)
    }

    /// Changes each time that what it runs is cancelled, from now on: for whoever waits for a client in the middle of a statement.
    #[must_use]
    pub fn cancels(&self) -> watch::Receiver<u64> {
        self.activity.cancels()
    }

    /// Ends it: what it runs is cancelled, and whoever serves it lets it go.
    pub(crate) fn terminate(&self) {
        self.ended.send_replace(true);
        self.cancel();
    }

    /// Becomes true once somebody has ended it (`pg_terminate_backend`): for whoever serves it.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Whether somebody has ended it.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// The zone in which times without an offset are read, and all are written.
    #[must_use]
    pub fn time_zone(&self) -> Zone {
        self.state.lock().variables.zone()
    }

    /// A setting of the session by name, as SHOW gives it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.state.lock().variables.get(name).map(str::to_owned)
    }

    /// Who asks, and how fresh the answer must be, for the store.
    pub(crate) fn asker(&self) -> Asker {
        let consistency = self.state.lock().variables.consistency();
        Asker { principal: self.access.current_user(), consistency, seen: Arc::clone(&self.seen) }
    }

    /// Settings that clients are told of (ParameterStatus) and their values.
    #[must_use]
    pub fn reported(&self) -> Vec<(String, String)> {
        self.state.lock().variables.reported()
    }

    /// Reported settings that changed since this was last asked.
    #[must_use]
    pub fn take_changes(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().changes)
    }

    /// Notices since this was last asked.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state.lock().notices)
    }

    /// A parameter's value from its text, as PostgreSQL's clients write it.
    ///
    /// # Errors
    /// `Error::InvalidText`, `Error::InvalidTime`, `Error::OutOfRange` and their like.
    pub fn parse_text(&self, wanted: &DataType, text: &str) -> Result<ScalarValue, Error> {
        crate::parameter::parse(wanted, text, self.time_zone())
    }

    pub(crate) fn notice(&self, severity: &'static str, sqlstate: &'static str, message: impl Into<String>, hint: Option<&str>) {
        let notice = Notice { severity, sqlstate, message: message.into(), hint: hint.map(str::to_owned) };
        self.state.lock().notices.push(notice);
    }

    /// Refuses work in a failed block.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if self.state.lock().block == Block::Failed {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(raise(Error::TransactionFailed, message).with_hint("send ROLLBACK"));
        }
        Ok(())
    }

    /// Refuses writes in a read-only transaction, and those that can't join what the block holds.
    pub(crate) fn admit_write(&self, command: &str, writing: Writing) -> Result<(), Error> {
        let state = self.state.lock();
        state.admit_acting(command)?;
        state.open.held.admit(command, writing)
    }

    /// Refuses, within a transaction block, what does not wait for its COMMIT.
    pub(crate) fn admit_outside(&self, what: &str) -> Result<(), Error> {
        if self.block() == Block::Idle {
            return Ok(());
        }
        Err(raise(Error::ActiveTransaction, format!("{what} cannot run inside a transaction block")))
    }

    /// Refuses a query that would have to see what the block holds.
    pub(crate) fn admit_read(&self, plan: &LogicalPlan) -> Result<(), Error> {
        if self.holds_nothing() {
            return Ok(());
        }
        let read = Tables::of(plan)?;
        if self.state.lock().open.held.hides(read) { Err(unseen()) } else { Ok(()) }
    }

    /// Whether what its block holds can be left out of sight.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.state.lock().reads_freely()
    }
}

fn unseen() -> Error {
    raise(Error::Unsupported, "this transaction block has written what its queries can't see before COMMIT")
        .with_hint("COMMIT first, or read before the write")
}
