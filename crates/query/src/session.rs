//! A session: its settings, its transaction block, its notices; what a connection talks to.
//!
//! Outside a transaction block each write is durable when it is answered; inside one it waits for COMMIT (`block`). Reads see
//! the newest commit at the start of each statement.
//!
//! Shared state, all under one mutex that is never held across an await: the block (`Idle` -> `Open`
//! by BEGIN; `Open` -> `Failed` by any error, and back by ROLLBACK TO; both -> `Idle` by COMMIT or ROLLBACK), what it holds,
//! the settings, and the notices and changed settings not yet fetched. Named statements and cursors have locks of their own.

use crate::block::{Open, Writing};
use crate::cursors::{Cursors, PortalName, Shown};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::named::{NamedStatement, Names};
use crate::outcome::Notice;
use crate::prepared::{Prepared, plan};
use crate::query::Tables;
use crate::settings::Variables;
use crate::store::{Asker, Seen};
use crate::time::Zone;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
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
    /// Named prepared statements at most; and cursors and named portals.
    pub statements_max: usize,
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
    pub(crate) context: SessionContext,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) names: Arc<Names>,
    pub(crate) cursors: Arc<Cursors>,
    seen: Arc<Seen>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, id: i32, settings: SessionSettings) -> Arc<Session> {
        let state = State { variables: Variables::of(&settings), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let (names, cursors) = <(Arc<Names>, Arc<Cursors>)>::default();
        let own = crate::tables::Own { state: &state, names: &names, cursors: &cursors };
        // Only constants of ours go into it, so it fails in every session or in none.
        let context =
            crate::context::build(&engine, id, &settings, &own).expect("the tables of clients' catalogues are constants");
        Arc::new(Session { engine, id, settings, context, state, names, cursors, seen: Arc::default() })
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
        match plan(self, sql, types).await {
            Ok(planned) => Ok(Prepared::of(self, &Arc::new(planned))),
            Err(error) => {
                self.fail();
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
        let prepared = Prepared::of(self, &named.planned);
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

    /// Whether a point statement may be run here and now: no failed block, and none that holds writes.
    #[must_use]
    pub fn reads_freely(&self) -> bool {
        let state = self.state.lock();
        state.block != Block::Failed && state.reads_freely()
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
        Asker { principal: self.settings.user.as_str().into(), consistency, seen: Arc::clone(&self.seen) }
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
        let read_only =
            if state.block == Block::Idle { state.variables.is_on("default_transaction_read_only") } else { state.read_only };
        if read_only {
            return Err(raise(Error::ReadOnly, format!("cannot execute {command} in a read-only transaction")));
        }
        state.open.held.admit(command, writing)
    }

    /// Refuses a query that would have to see what the block holds.
    pub(crate) fn admit_read(&self, plan: &LogicalPlan) -> Result<(), Error> {
        if self.state.lock().reads_freely() {
            return Ok(());
        }
        let read = Tables::of(plan)?;
        if self.state.lock().open.held.hides(read) { Err(unseen()) } else { Ok(()) }
    }

    /// The same for a point question.
    pub(crate) fn admit_point(&self) -> Result<(), Error> {
        if self.state.lock().reads_freely() { Ok(()) } else { Err(unseen()) }
    }
}

fn unseen() -> Error {
    raise(Error::Unsupported, "this transaction block has written what its queries can't see before COMMIT")
        .with_hint("COMMIT first, or read before the first write of the block")
}
