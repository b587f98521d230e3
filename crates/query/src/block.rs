//! A transaction block: what it has written and not yet committed, its savepoints, its settings.
//!
//! A block's writes wait here and are done at COMMIT, so that ROLLBACK has nothing to take back. Rows of samples, integers and events
//! gather, of any number of statements; so do new tags, rows of those, and changes of tags. A DELETE, of samples or of tags, is the only
//! write of its block. What waits is seen by the block's own queries and nobody else's (`own`); the few that can't see it are refused
//! (`0A000`).
//!
//! Shared state: all of it lies in the session's `State`, under its mutex.

mod changed;
mod held;
mod hidden;
mod made;
mod own;
mod rows;

pub(crate) use changed::Change;
pub(crate) use held::{Alone, Held, Writing, do_alone};
pub(crate) use own::with_own;

use crate::access::Standing;
use crate::error::{Error, raise};
use crate::outcome::Notice;
use crate::session::{Block, Session, State};
use crate::settings::Variables;
use std::collections::BTreeMap;

/// What a savepoint goes back to.
struct Savepoint {
    name: String,
    mark: held::Mark,
    settings: Settings,
    cursors: u64,
}

/// Settings and the role as the block found them, where it changed them; settings that hold within it only, with what they are
/// outside.
#[derive(Clone, Default)]
struct Settings {
    now: Option<Variables>,
    standing: Option<Standing>,
    local: BTreeMap<String, String>,
}

impl Settings {
    /// Goes back.
    fn undo(self, session: &Session) {
        if let Some(before) = self.now {
            session.state.lock().put_back(before);
        }
        if let Some(before) = self.standing {
            session.access.stand(before);
            session.tell_role();
        }
    }

    /// What was for the block only ends with it.
    fn keep(&self, session: &Session) {
        let mut state = session.state.lock();
        for (name, value) in &self.local {
            // It was so before, so it is allowed.
            if let Ok(told) = state.variables.set(name, Some(value)) {
                state.changes.extend(told);
            }
        }
    }
}

/// What a block has beside its state.
#[derive(Default)]
pub(crate) struct Open {
    pub held: Held,
    savepoints: Vec<Savepoint>,
    /// Before the first SET of the block; then what its end may go back to.
    settings: Settings,
    /// When it began, by the wall clock in microseconds.
    pub began_us: Option<i64>,
}

const fn warning(sqlstate: &'static str, message: String) -> Notice {
    Notice { severity: "WARNING", sqlstate, message, hint: None }
}

impl State {
    /// BEGIN.
    pub(crate) fn begin(&mut self, read_only: Option<bool>, isolation: Option<&'static str>, now_us: i64) {
        if self.block != Block::Idle {
            self.notices.push(warning("25001", "there is already a transaction in progress".to_owned()));
            return;
        }
        self.block = Block::Open;
        self.open.began_us = Some(now_us);
        self.read_only = read_only.unwrap_or_else(|| self.variables.is_on("default_transaction_read_only"));
        self.note_isolation(isolation);
    }

    /// Refuses what changes something where only reading is allowed.
    pub(crate) fn admit_acting(&self, what: &str) -> Result<(), Error> {
        let of_now =
            if self.block == Block::Idle { self.variables.is_on("default_transaction_read_only") } else { self.read_only };
        if of_now || self.only_reads {
            return Err(raise(Error::ReadOnly, format!("cannot execute {what} in a read-only transaction")));
        }
        Ok(())
    }

    /// Levels beyond what is kept are told of, not refused: clients ask for them out of habit.
    pub(crate) fn note_isolation(&mut self, isolation: Option<&'static str>) {
        if let Some(level) = isolation.filter(|level| !level.starts_with("READ")) {
            let message = format!("isolation level {level} is not kept: each statement reads the newest commit");
            self.notices.push(Notice {
                hint: Some("what a block writes is one commit; one query or one cursor sees one commit".to_owned()),
                ..warning("01000", message)
            });
        }
    }

    /// SET within a block is undone by ROLLBACK; SET LOCAL by COMMIT too.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Error> {
        if self.block == Block::Idle {
            if local {
                self.notices.push(warning("25P01", "SET LOCAL can only be used in transaction blocks".to_owned()));
                return Ok(());
            }
            let told = self.variables.set(name, value)?;
            self.changes.extend(told);
            return Ok(());
        }
        let before = self.variables.clone();
        let told = self.variables.set(name, value)?;
        self.changes.extend(told);
        let key = name.to_ascii_lowercase();
        if local {
            let outside = before.get(&key).unwrap_or_default().to_owned();
            self.open.settings.local.entry(key).or_insert(outside);
        } else {
            self.open.settings.local.remove(&key);
        }
        self.open.settings.now.get_or_insert(before);
        Ok(())
    }

    fn put_back(&mut self, mut variables: Variables) {
        // Roles may have changed meanwhile.
        variables.bound_as(&self.variables);
        let old = std::mem::replace(&mut self.variables, variables).reported();
        let changed = self.variables.reported().into_iter().zip(old).filter(|(now, old)| now != old);
        self.changes.extend(changed.map(|(now, _)| now));
    }

    /// The block is over. What it had is handed out.
    fn end(&mut self) -> (Block, Open) {
        self.read_only = false;
        (std::mem::take(&mut self.block), std::mem::take(&mut self.open))
    }

    fn needs_block(&self, what: &str) -> Result<(), Error> {
        if self.block != Block::Idle {
            return Ok(());
        }
        Err(raise(Error::NoTransaction, format!("{what} can only be used in transaction blocks")))
    }

    fn savepoint_at(&self, name: &str) -> Result<usize, Error> {
        let found = self.open.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| raise(Error::UnknownSavepoint, format!("savepoint \"{name}\" does not exist")))
    }

    /// Whether a point question may be asked, whose answer shows samples and names of tags.
    pub(crate) fn reads_freely(&self) -> bool {
        self.open.held.is_nothing()
    }

    /// An error ends a block, and what it held too, unless a savepoint can be gone back to.
    pub(crate) fn fail(&mut self) {
        if self.block == Block::Open {
            self.block = Block::Failed;
            if self.open.savepoints.is_empty() {
                self.open.held = Held::default();
            }
        }
    }
}

/// SET ROLE and its like come: ROLLBACK goes back to who it was.
pub(crate) fn note_standing(session: &Session) {
    let mut state = session.state.lock();
    if state.block == Block::Open {
        state.open.settings.standing.get_or_insert_with(|| session.access.standing());
    }
}

/// Savepoints in one block at most.
const SAVEPOINTS_MAX: usize = 10_000;

/// SAVEPOINT.
pub(crate) fn savepoint(session: &Session, name: &str) -> Result<(), Error> {
    let cursors = session.cursors.opened();
    let mut state = session.state.lock();
    state.needs_block("SAVEPOINT")?;
    if state.open.savepoints.len() >= SAVEPOINTS_MAX {
        return Err(raise(Error::Limit, format!("a block has at most {SAVEPOINTS_MAX} savepoints"))
            .with_hint("RELEASE those no longer needed"));
    }
    let settings = Settings {
        now: Some(state.variables.clone()),
        standing: Some(session.access.standing()),
        local: state.open.settings.local.clone(),
    };
    let savepoint = Savepoint { name: name.to_owned(), mark: state.open.held.mark(), settings, cursors };
    state.open.savepoints.push(savepoint);
    Ok(())
}

/// RELEASE SAVEPOINT: it is forgotten, with those after it.
pub(crate) fn release(session: &Session, name: &str) -> Result<(), Error> {
    let mut state = session.state.lock();
    state.needs_block("RELEASE SAVEPOINT")?;
    let at = state.savepoint_at(name)?;
    state.open.savepoints.truncate(at);
    Ok(())
}

/// ROLLBACK TO SAVEPOINT: the block is as it was then, and usable again where it had failed.
pub(crate) fn roll_back_to(session: &Session, name: &str) -> Result<(), Error> {
    let mut state = session.state.lock();
    state.needs_block("ROLLBACK TO SAVEPOINT")?;
    let at = state.savepoint_at(name)?;
    state.open.savepoints.truncate(at + 1);
    let savepoint = &state.open.savepoints[at];
    let (mark, settings, cursors) = (savepoint.mark, savepoint.settings.clone(), savepoint.cursors);
    state.open.held.back_to(mark);
    state.open.settings.local = settings.local.clone();
    state.block = Block::Open;
    drop(state);
    settings.undo(session);
    session.cursors.roll_back(cursors);
    Ok(())
}

/// The end of a block, cursors included, also where nobody waits for it any longer.
struct Ending<'a> {
    session: &'a Session,
    /// None: it was committed.
    undo: Option<Settings>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.session.cursors.end_block(self.undo.is_none());
        if let Some(settings) = self.undo.take() {
            settings.undo(self.session);
        }
    }
}

/// COMMIT: what the block wrote is one commit. Where that fails the block has ended all the same, and nothing of it is there.
pub(crate) async fn commit(session: &Session) -> Result<&'static str, Error> {
    let (block, open) = session.state.lock().end();
    let mut ending = Ending { session, undo: Some(open.settings) };
    match block {
        Block::Idle => session.notice("WARNING", "25P01", "there is no transaction in progress", None),
        Block::Open => {
            open.held.commit(session).await?;
            ending.undo.take().into_iter().for_each(|settings| settings.keep(session));
        }
        Block::Failed => return Ok("ROLLBACK"),
    }
    Ok("COMMIT")
}

/// ROLLBACK: what the block wrote is dropped.
pub(crate) fn roll_back(session: &Session) {
    let (block, open) = session.state.lock().end();
    drop(open.held);
    open.settings.undo(session);
    if block == Block::Idle {
        session.notice("WARNING", "25P01", "there is no transaction in progress", None);
    }
    session.cursors.end_block(false);
}
