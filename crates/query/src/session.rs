//! A session: its settings, its transaction block, its notices; what a connection talks to.
//!
//! Writes are durable statement by statement: a transaction block does not hold them back. The
//! first write in a block says so in a warning, and ROLLBACK after a write is refused with an error
//! instead of pretending. Reads see the newest commit at the start of each statement.
//!
//! Shared state, all under one mutex that is never held across an await: the block (`Idle` -> `Open`
//! by BEGIN; `Open` -> `Failed` by any error; both -> `Idle` by COMMIT or ROLLBACK), how many writes
//! the block has made, the settings, and the notices and changed settings not yet fetched.

use crate::access::Access;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::outcome::Notice;
use crate::planning::Size;
use crate::prepared::{Prepared, of_roles, prepare};
use crate::running::{Ongoing, timed_out, unless_cancelled};
use crate::settings::Variables;
use crate::store::{Asker, Seen};
use crate::time::Zone;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;

/// Who opens a session, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The role.
    pub user: String,
    /// The database named at connecting; there is one, whatever its name.
    pub database: String,
    /// What the client calls itself.
    pub application_name: String,
    /// The client's address, for `meridian.queries`.
    pub client: String,
    /// The zone of times written without an offset.
    pub time_zone: String,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings {
            user: "meridian".to_owned(),
            database: "meridian".to_owned(),
            application_name: String::new(),
            client: String::new(),
            time_zone: "UTC".to_owned(),
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
    pub writes: u64,
    pub variables: Variables,
    pub notices: Vec<Notice>,
    pub changes: Vec<(String, String)>,
}

/// A session.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: i32,
    pub(crate) settings: SessionSettings,
    pub(crate) context: SessionContext,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) access: Arc<Access>,
    seen: Arc<Seen>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, id: i32, settings: SessionSettings) -> Arc<Session> {
        let access = Access::of(&engine.roles(), &settings.user);
        let mut variables = Variables::of(&settings);
        if let Some(role) = access.session().id().and_then(|id| engine.roles().roster().role(id).cloned()) {
            variables.begin_with(&role.settings);
        }
        let state = State { variables, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        // Only constants of ours go into it, so it fails in every session or in none.
        let context =
            crate::context::build(&engine, id, &state, &access).expect("the tables of clients' catalogues are constants");
        let session = Session { engine, id, settings, context, state, access, seen: Arc::default() };
        session.tell_role();
        // What it begins with is told with everything else, not as a change.
        drop(session.take_changes());
        Arc::new(session)
    }

    /// Who it is, and whose rights it has.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Puts into its settings who it is now.
    pub(crate) fn tell_role(&self) {
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
        let work = async move { prepare(&session, &text, &types).await };
        let (prepared, ongoing, _) = self.supervised(&sql, self.engine.planners.run(Size::of(&sql), work.boxed())).await?;
        ongoing.only_prepared();
        Ok(prepared)
    }

    /// Does a part of a statement: in the register, open to cancelling, within `statement_timeout` (ms; 0: none).
    pub(crate) async fn supervised<T>(
        &self,
        sql: &Arc<str>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<(T, Ongoing, u64), Error> {
        let (ongoing, registration) = self.engine.running.begin(self.id, &self.settings.user, sql);
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
                Err(error)
            }
        }
    }

    /// Where it stands in a transaction block.
    #[must_use]
    pub fn block(&self) -> Block {
        self.state.lock().block
    }

    /// Says that a statement failed outside the engine (its parameters could not be read, say).
    pub fn fail(&self) {
        let mut state = self.state.lock();
        if state.block == Block::Open {
            state.block = Block::Failed;
        }
    }

    /// Cancels whatever the session runs now.
    pub fn cancel(&self) -> bool {
        self.engine.cancel(self.id)
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

    /// Refuses writes in a read-only transaction; warns at the first write of a block.
    pub(crate) fn admit_write(&self, command: &str) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.read_only || state.variables.is_on("default_transaction_read_only") {
            return Err(raise(Error::ReadOnly, format!("cannot execute {command} in a read-only transaction")));
        }
        if state.block == Block::Open {
            if state.writes == 0 {
                state.notices.push(Notice {
                    severity: "WARNING",
                    sqlstate: "01000",
                    message: "each write in a transaction block is committed by itself".to_owned(),
                    hint: Some("ROLLBACK can't undo it".to_owned()),
                });
            }
            state.writes += 1;
        }
        Ok(())
    }
}
