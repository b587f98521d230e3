//! Cursors of a session: DECLARE, FETCH, MOVE, CLOSE, and what `pg_cursors` shows.
//!
//! A cursor is a query that waits: it is started by DECLARE, sees what was committed then, and runs on only as far as it
//! is fetched. WITH HOLD changes only when it is closed: it stays a query that waits, and is not run to its end at COMMIT as
//! PostgreSQL does, so that its memory stays that of a query however much it gives. Portals of the wire share the names.
//!
//! Shared state: one mutex around a map by name, never held across an await. Each cursor's query is under a lock of its own,
//! which a FETCH holds for as long as its rows stream; nobody waits for it (55000).

mod reading;

pub(crate) use reading::{Reading, Step};

use crate::error::{Error, raise};
use crate::outcome::{Completion, Outcome, Rows};
use crate::prepared::{Planned, Prepared};
use crate::session::Session;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `pg_cursors` shows of a cursor.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub name: String,
    pub statement: Arc<str>,
    pub holdable: bool,
    pub binary: bool,
    pub scrollable: bool,
    pub created_us: i64,
}

/// What is open under a name.
struct Entry {
    shown: Shown,
    kind: Kind,
}

enum Kind {
    /// DECLAREd: its query, and how many cursors of the session were opened before it.
    Cursor { reading: Arc<tokio::sync::Mutex<Reading>>, schema: SchemaRef, number: u64, of_block: bool },
    /// A named portal of the wire; false once it is closed by its name.
    Portal(Arc<AtomicBool>),
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    opened: u64,
}

/// The cursors and named portals of one session.
#[derive(Default)]
pub(crate) struct Cursors {
    state: Mutex<State>,
}

/// A named portal of the wire, in the list as long as it lives.
pub struct PortalName {
    cursors: Arc<Cursors>,
    name: String,
    open: Arc<AtomicBool>,
}

impl PortalName {
    /// Whether CLOSE has not closed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for PortalName {
    fn drop(&mut self) {
        let mut state = self.cursors.state.lock();
        let mine = |entry: &Entry| matches!(&entry.kind, Kind::Portal(open) if Arc::ptr_eq(open, &self.open));
        if state.entries.get(&self.name).is_some_and(mine) {
            state.entries.remove(&self.name);
        }
    }
}

fn unknown(name: &str) -> Error {
    raise(Error::UnknownCursor, format!("cursor \"{name}\" does not exist"))
}

impl Cursors {
    fn enter(&self, entry: Entry, limit: usize) -> Result<(), Error> {
        let mut state = self.state.lock();
        let name = entry.shown.name.clone();
        if state.entries.contains_key(&name) {
            return Err(raise(Error::DuplicateCursor, format!("cursor \"{name}\" already exists")));
        }
        if state.entries.len() >= limit {
            return Err(raise(Error::Limit, format!("{limit} cursors and portals are open already"))
                .with_hint("close those no longer needed, or raise the setting statements_max"));
        }
        state.opened += 1;
        state.entries.insert(name, entry);
        Ok(())
    }

    /// Lists a portal of the wire.
    pub(crate) fn portal(self: &Arc<Self>, shown: Shown, limit: usize) -> Result<PortalName, Error> {
        let (open, name) = (Arc::new(AtomicBool::new(true)), shown.name.clone());
        self.enter(Entry { shown, kind: Kind::Portal(Arc::clone(&open)) }, limit)?;
        Ok(PortalName { cursors: Arc::clone(self), name, open })
    }

    /// All that is open, by name.
    pub(crate) fn list(&self) -> Vec<Shown> {
        self.state.lock().entries.values().map(|entry| entry.shown.clone()).collect()
    }

    /// How many were opened so far: what a savepoint notes.
    pub(crate) fn opened(&self) -> u64 {
        self.state.lock().opened
    }

    /// The columns of a cursor, and whether it is BINARY.
    pub(crate) fn describe(&self, name: &str) -> Option<(SchemaRef, bool)> {
        let state = self.state.lock();
        let entry = state.entries.get(name)?;
        match &entry.kind {
            Kind::Cursor { schema, .. } => Some((Arc::clone(schema), entry.shown.binary)),
            Kind::Portal(_) => None,
        }
    }

    fn find(&self, name: &str) -> Result<(Arc<tokio::sync::Mutex<Reading>>, SchemaRef), Error> {
        match self.state.lock().entries.get(name).map(|entry| &entry.kind) {
            None => Err(unknown(name)),
            Some(Kind::Cursor { reading, schema, .. }) => Ok((Arc::clone(reading), Arc::clone(schema))),
            Some(Kind::Portal(_)) => Err(raise(Error::Unsupported, format!("\"{name}\" is a portal of the wire protocol"))
                .with_hint("fetch from it with Execute messages")),
        }
    }

    /// Closes one, or all.
    pub(crate) fn close(&self, name: Option<&str>) -> Result<(), Error> {
        let mut state = self.state.lock();
        let gone = match name {
            Some(name) => vec![state.entries.remove(name).ok_or_else(|| unknown(name))?],
            None => std::mem::take(&mut state.entries).into_values().collect(),
        };
        drop(state);
        // Their queries end outside the lock.
        for entry in gone {
            if let Kind::Portal(open) = entry.kind {
                open.store(false, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn close_where(&self, ends: impl Fn(&Shown, u64, bool) -> bool) {
        let mut state = self.state.lock();
        let gone = state.entries.extract_if(.., |_, entry| match &entry.kind {
            Kind::Cursor { number, of_block, .. } => ends(&entry.shown, *number, *of_block),
            Kind::Portal(_) => false,
        });
        let gone: Vec<_> = gone.collect();
        drop(state);
        drop(gone);
    }

    /// A transaction block ends: its cursors go, but those WITH HOLD of a block that was committed.
    pub(crate) fn end_block(&self, committed: bool) {
        self.close_where(|shown, _, of_block| if committed { !shown.holdable } else { of_block || !shown.holdable });
        for entry in self.state.lock().entries.values_mut() {
            if let Kind::Cursor { of_block, .. } = &mut entry.kind {
                *of_block = false;
            }
        }
    }

    /// The block goes back to where so many had been opened.
    pub(crate) fn roll_back(&self, opened: u64) {
        self.close_where(|_, number, of_block| of_block && number >= opened);
    }
}

/// A planned DECLARE.
pub(crate) struct Declare {
    pub name: String,
    pub binary: bool,
    pub scroll: bool,
    pub hold: bool,
    pub query: Arc<Planned>,
}

impl Declare {
    /// Opens it: its query starts.
    pub(crate) async fn run(
        &self,
        session: &Arc<Session>,
        params: Vec<ScalarValue>,
        statement: &Arc<str>,
    ) -> Result<Outcome, Error> {
        let in_block = session.in_block();
        if !in_block && !self.hold {
            return Err(raise(Error::NoTransaction, "DECLARE CURSOR can only be used in transaction blocks")
                .with_hint("send BEGIN first, or declare it WITH HOLD"));
        }
        let query = Prepared::of(session, &self.query, None);
        let Outcome::Rows(rows) = Box::pin(query.run(params)).await? else {
            return Err(raise(Error::Internal, "internal error: a cursor's query gives no rows"));
        };
        let schema = Arc::clone(&rows.schema);
        let reading = Reading::new(rows.batches, self.scroll, &session.memory());
        let shown = Shown {
            name: self.name.clone(),
            statement: Arc::clone(statement),
            holdable: self.hold,
            binary: self.binary,
            scrollable: self.scroll,
            created_us: session.engine.settings.clock.wall_us(),
        };
        let number = session.cursors.opened();
        let kind = Kind::Cursor { reading: Arc::new(reading.into()), schema, number, of_block: in_block };
        session.cursors.enter(Entry { shown, kind }, session.settings.statements_max)?;
        Ok(Outcome::Command(Completion::plain("DECLARE CURSOR")))
    }
}

/// FETCH or MOVE.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub name: String,
    pub step: Step,
    pub moves: bool,
}

impl Fetch {
    /// The columns, as the cursor that is open now has them.
    pub(crate) fn schema(&self, session: &Session) -> Option<SchemaRef> {
        if self.moves { None } else { session.cursors.describe(&self.name).map(|(schema, _)| schema) }
    }

    /// The name and how many rows, where it is a MOVE that goes on.
    pub(crate) fn moves_on(&self) -> Option<(&str, u64)> {
        match self.step {
            Step::Forward(rows) if self.moves => Some((&self.name, rows)),
            _ => None,
        }
    }

    /// Whether the cursor was declared BINARY.
    pub(crate) fn is_binary(&self, session: &Session) -> bool {
        session.cursors.describe(&self.name).is_some_and(|(_, binary)| binary)
    }

    /// Goes on with the cursor.
    pub(crate) async fn run(&self, session: &Session) -> Result<Outcome, Error> {
        let (reading, schema) = session.cursors.find(&self.name)?;
        let busy = |_| raise(Error::NotInState, format!("cursor \"{}\" is being read by another FETCH", self.name));
        let mut reading = reading.try_lock_owned().map_err(busy)?;
        let mut walk = reading.walk(self.step, &self.name)?;
        if self.moves {
            let mut rows = 0;
            while let Some(batch) = reading.piece(&mut walk).await? {
                rows += batch.num_rows() as u64;
            }
            return Ok(Outcome::Command(Completion::counted("MOVE", rows)));
        }
        let pieces = futures::stream::unfold(Some((reading, walk)), |state| async move {
            let (mut reading, mut walk) = state?;
            match reading.piece(&mut walk).await {
                Ok(None) => None,
                Ok(Some(batch)) => Some((Ok(batch), Some((reading, walk)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Outcome::Rows(Rows { schema, batches: pieces.boxed(), command: "FETCH" }))
    }
}
