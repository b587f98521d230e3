//! The writes of a transaction block that wait for its COMMIT.
//!
//! Promises: they are bounded by `copy_bytes_max` (54000); what belongs into different commits is refused when it is
//! written, not at COMMIT.

use super::changed::{Change, Changed};
use super::made::{self, Made, NewTag};
use crate::access::{self, Asked, When};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::ingest::{Gathered, send, wait};
use crate::query::Tables;
use crate::scan::Sort;
use crate::session::{Block, Session, State};
use crate::store::Asker;
use kernel::{Deletion, TagSelection};
use std::sync::Arc;
use types::{Kinds, TagDefinition, TagId, TimeRange};

/// What a block holds: new tags, changes of tags and rows, or something that goes with nothing else.
#[derive(Default)]
pub(crate) struct Held {
    pub(super) made: Made,
    pub(super) changed: Changed,
    /// Rows of numeric tags, and of text tags.
    pub(super) rows: Box<(Gathered, Gathered)>,
    pub(super) other: Other,
}

/// What goes with nothing of another sort.
#[derive(Default)]
pub(super) enum Other {
    #[default]
    Nothing,
    /// Statements about roles, in order.
    Roles(Vec<Arc<Asked>>),
    /// A write that goes with no other one.
    Alone(Alone),
}

/// A write that is the only one of its block.
pub(crate) enum Alone {
    Deletion(Deletion),
    /// Outside of blocks alone.
    Changes(Vec<Change>),
    Drops(Vec<TagId>),
}

/// What sort of write it is, before it is known what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Rows,
    NewTags,
    Changes,
    Roles,
    Alone,
}

/// How much a block held at some time.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    made: usize,
    changed: usize,
    rows: (usize, usize),
    roles: usize,
    alone: bool,
}

impl Held {
    pub(crate) fn is_nothing(&self) -> bool {
        self.made.is_empty() && self.changed.is_empty() && self.has_no_rows() && matches!(self.other, Other::Nothing)
    }

    fn has_no_rows(&self) -> bool {
        self.rows.0.rows() + self.rows.1.rows() == 0
    }

    /// Whether queries of these tables would have to see what they can't.
    pub(crate) fn hides(&self, read: Tables) -> bool {
        match &self.other {
            // Who may read what is about to change.
            Other::Roles(_) => read.any,
            // Samples are found by names and labels.
            Other::Nothing => {
                let found_by = |tag: &TagDefinition| (tag.name.clone(), tag.labels.clone(), tag.kind);
                let same = |(tag, was, is): &Change| made::index(*tag).is_some() || found_by(was) == found_by(is);
                let same = self.changed.all().all(same);
                let found_anew = !same && (read.series() || read.latest || read.values_at);
                found_anew || (read.values_at && !(self.made.is_empty() && self.has_no_rows()))
            }
            // What was before what goes is not known.
            Other::Alone(Alone::Deletion(_)) => read.latest || read.values_at,
            Other::Alone(Alone::Drops(_) | Alone::Changes(_)) => read.values_at,
        }
    }

    /// Whether a write of this sort may join it.
    ///
    /// # Errors
    /// `Error::Unsupported`, which says what to do.
    pub(crate) fn admit(&self, command: &str, writing: Writing) -> Result<(), Error> {
        let before = match (&self.other, writing) {
            _ if self.is_nothing() => return Ok(()),
            (Other::Nothing, Writing::Rows | Writing::NewTags) if self.changed.renames() => "a new name of a tag",
            (Other::Nothing, Writing::Rows | Writing::NewTags | Writing::Changes) => return Ok(()),
            (Other::Roles(_), Writing::Roles) => return Ok(()),
            (Other::Nothing, _) if !self.changed.is_empty() => "a change of tags",
            (Other::Nothing, _) if self.made.is_empty() => "rows of samples, integers or events",
            (Other::Nothing, _) => "new tags",
            (Other::Roles(_), _) => "a change of roles",
            (Other::Alone(Alone::Deletion(_)), _) => "a DELETE",
            (Other::Alone(_), _) => "a DELETE of tags",
        };
        Err(raise(Error::Unsupported, format!("{command} can't follow {before} in one transaction block"))
            .with_detail("what a block writes is one commit, and this would be two")
            .with_hint("COMMIT before it, or write in autocommit mode"))
    }

    pub(super) fn mark(&self) -> Mark {
        let (roles, alone) = match &self.other {
            Other::Nothing => (0, false),
            Other::Roles(asked) => (asked.len(), false),
            Other::Alone(_) => (0, true),
        };
        let changed = self.changed.len();
        Mark { made: self.made.len(), changed, rows: (self.rows.0.rows(), self.rows.1.rows()), roles, alone }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.made.truncate(mark.made);
        self.changed.truncate(mark.changed);
        self.rows.0.truncate(mark.rows.0);
        self.rows.1.truncate(mark.rows.1);
        match &mut self.other {
            Other::Roles(asked) if mark.roles > 0 => asked.truncate(mark.roles),
            Other::Alone(_) if mark.alone => {}
            other => *other = Other::Nothing,
        }
    }

    /// What a tag is to be, where the block made or changed it.
    pub(super) fn definition(&self, tag: TagId) -> Option<&TagDefinition> {
        self.changed.now(tag).or_else(|| self.made.get(tag))
    }

    /// How many bytes it holds.
    fn bytes(&self) -> u64 {
        self.made.bytes() + self.changed.bytes() + self.rows.0.bytes() + self.rows.1.bytes()
    }

    /// Does it all, as one commit; new tags, changes of tags and rows as one each, in this order.
    pub(super) async fn commit(self, session: &Session) -> Result<(), Error> {
        match self.other {
            Other::Roles(asked) => return access::change(session, asked, When::AtCommit).await.map(|_| ()),
            Other::Alone(alone) => return alone.done(session).await,
            Other::Nothing => {}
        }
        let (engine, asker) = (Arc::clone(&session.engine), session.asker());
        let changes = self.changed.of_stored();
        let mut made = self.made;
        made.become_what(|tag| self.changed.now(tag));
        let work = Works { engine, asker, made, changes, rows: self.rows };
        let commits = [!work.made.is_empty(), !work.changes.is_empty(), work.rows.0.rows() + work.rows.1.rows() > 0];
        if commits.iter().filter(|there| **there).count() < 2 {
            return work.done().await;
        }
        // Once begun it goes on to its end, whoever goes away meanwhile.
        let done = tokio::spawn(traces::within(traces::current(), work.done())).await;
        done.unwrap_or_else(|fault| Err(raise(Error::Internal, format!("internal error: the commit's task ended: {fault}"))))
    }
}

/// New tags, changes of others, and rows of these and others.
struct Works {
    engine: Arc<Engine>,
    asker: Asker,
    made: Made,
    changes: Vec<Change>,
    rows: Box<(Gathered, Gathered)>,
}

impl Works {
    async fn done(mut self) -> Result<(), Error> {
        let created = self.create().await?;
        let changed = self.change().await;
        let (was_changed, error) = match changed {
            Ok(()) => match self.write().await {
                Ok(()) => return Ok(()),
                Err(error) => (!self.changes.is_empty(), error),
            },
            Err(error) => (false, error),
        };
        // What was done before goes again.
        let mut undone = Ok(());
        if was_changed {
            let back = std::mem::take(&mut self.changes).into_iter().map(|(tag, was, is)| (tag, is, was)).collect();
            undone = Alone::Changes(back).done_of(&self.engine, &self.asker).await;
        }
        if !created.is_empty() {
            // As a DELETE of tags does: some of the rows may be there.
            undone = undone.and(Alone::Drops(created).done_of(&self.engine, &self.asker).await);
        }
        Err(match undone {
            Ok(()) => error,
            Err(fault) => error.with_detail(format!("what the block did to tags is done, without its samples: {fault}")),
        })
    }

    async fn change(&self) -> Result<(), Error> {
        if self.changes.is_empty() {
            return Ok(());
        }
        Alone::Changes(self.changes.clone()).done_of(&self.engine, &self.asker).await
    }

    /// Makes the tags, and puts their ordinals into the rows.
    async fn create(&mut self) -> Result<Vec<TagId>, Error> {
        if self.made.is_empty() {
            return Ok(Vec::new());
        }
        let (catalog, tags) = (&self.engine.catalog, std::mem::take(&mut self.made).into_tags());
        let mut ordinals: Vec<Option<TagId>> = Vec::with_capacity(tags.len());
        let mut wanted = Vec::new();
        for NewTag { definition, skip_existing, changed } in tags {
            let there = catalog.find(&definition.name).filter(|_| skip_existing);
            let differs = |tag| match catalog.kind(tag) == Some(definition.kind) {
                true => changed.then_some(", and the block changes it"),
                false => Some(", of another kind"),
            };
            if let Some(how) = there.and_then(differs) {
                let message = format!("could not serialize access: tag \"{}\" was made meanwhile{how}", definition.name);
                return Err(raise(Error::Stale, message).with_hint("run the transaction again"));
            }
            ordinals.push(there);
            if there.is_none() {
                wanted.push(definition);
            }
        }
        let made = if wanted.is_empty() { 0..0 } else { wait(self.engine.tags.create(wanted)).await? };
        let mut next = made.clone().map(TagId);
        let ordinals: Vec<Option<TagId>> = ordinals.into_iter().map(|there| there.or_else(|| next.next())).collect();
        let real = |tag: TagId| made::index(tag).and_then(|index| *ordinals.get(index)?).unwrap_or(tag);
        self.rows.0.retag(real);
        self.rows.1.retag(real);
        Ok(made.map(TagId).collect())
    }

    async fn write(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.rows);
        if rows.0.rows() + rows.1.rows() == 0 {
            return Ok(());
        }
        all_there(&self.engine, &rows)?;
        let answer = send(&self.engine, &self.asker, &rows.0, &rows.1)?;
        drop(rows);
        answer.wait().await.map(|_| ())
    }
}

/// Refuses rows of a tag that went since they were written: its number lives on in the kernel, and nobody would see them.
fn all_there(engine: &Engine, rows: &(Gathered, Gathered)) -> Result<(), Error> {
    let mut tags: Vec<TagId> = rows.0.tags().iter().chain(rows.1.tags()).copied().collect();
    tags.sort_unstable();
    tags.dedup();
    let mut gone = false;
    engine.catalog.names(&tags, |name| gone |= name.is_none());
    if gone { Err(raise(Error::UnknownTag, "a tag that this transaction block wrote to was dropped meanwhile")) } else { Ok(()) }
}

/// Statements about roles in one block at most.
const ROLES_MAX: usize = 1_000;

pub(super) fn too_large(limit: u64) -> Error {
    raise(Error::TooLarge, format!("one transaction block may hold {limit} bytes of writes before it commits"))
        .with_hint("COMMIT more often, or raise copy_bytes_max")
}

impl State {
    /// Takes rows into the block; gives them back where there is none.
    pub(crate) fn hold_rows(&mut self, rows: Gathered, sort: Sort, limit: u64) -> Result<Option<Gathered>, Error> {
        if self.block != Block::Open {
            return Ok(Some(rows));
        }
        let held = &mut self.open.held;
        if !matches!(held.other, Other::Nothing) {
            return Err(raise(Error::Internal, "internal error: rows came into a block of other writes"));
        }
        if held.bytes() + rows.bytes() > limit {
            return Err(too_large(limit));
        }
        let held = &mut held.rows;
        if sort == Sort::Texts {
            held.1.append(rows)?
        } else {
            held.0.append(rows)?
        }
        Ok(None)
    }

    /// The statements about roles of the block; None where there is none.
    pub(crate) fn held_roles(&self) -> Result<Option<Vec<Arc<Asked>>>, Error> {
        match &self.open.held.other {
            _ if self.block != Block::Open => Ok(None),
            Other::Roles(asked) if asked.len() >= ROLES_MAX => {
                Err(raise(Error::TooLarge, format!("one transaction block may hold {ROLES_MAX} statements about roles")))
            }
            Other::Roles(asked) => Ok(Some(asked.clone())),
            _ => Ok(Some(Vec::new())),
        }
    }

    /// Takes one more into the block.
    pub(crate) fn hold_roles(&mut self, asked: Vec<Arc<Asked>>) {
        self.open.held.other = Other::Roles(asked);
    }

    /// Takes new tags into the block: how many. None where there is no block; then `definitions` are still there.
    pub(crate) fn hold_tags(
        &mut self,
        definitions: &mut Vec<TagDefinition>,
        skip_existing: bool,
        exists: impl Fn(&str) -> bool,
        limit: u64,
    ) -> Result<Option<u64>, Error> {
        if self.block != Block::Open {
            return Ok(None);
        }
        let held = &mut self.open.held;
        let others = held.bytes() - held.made.bytes();
        held.made.add(definitions, skip_existing, exists, (others, limit)).map(Some)
    }

    /// Takes changes of tags into the block. False where there is no block; then `changes` are still there.
    pub(crate) fn hold_changes(&mut self, changes: &mut Vec<Change>, limit: u64) -> Result<bool, Error> {
        if self.block != Block::Open {
            return Ok(false);
        }
        let held = &mut self.open.held;
        let renamed = changes.iter().find(|(_, was, is)| was.name != is.name);
        if let Some((_, was, _)) = renamed.filter(|_| !held.made.is_empty() || !held.has_no_rows()) {
            let message = format!("tag \"{}\" can't be renamed in a transaction block that holds new tags or rows", was.name);
            return Err(
                raise(Error::Unsupported, message).with_hint("COMMIT before it, or rename it first in a block of its own")
            );
        }
        let before = held.changed.len();
        changes.drain(..).for_each(|change| held.changed.add(change));
        if held.bytes() > limit {
            held.changed.truncate(before);
            return Err(too_large(limit));
        }
        Ok(true)
    }

    /// A new tag of the block.
    pub(crate) fn made(&self, name: &str) -> Option<(TagId, &TagDefinition)> {
        let held = &self.open.held;
        held.made.find(name).map(|(tag, made)| (tag, held.changed.now(tag).unwrap_or(made)))
    }

    /// What a tag is to be, where the block made or changed it.
    pub(crate) fn definition(&self, tag: TagId) -> Option<&TagDefinition> {
        self.open.held.definition(tag)
    }
}

/// Does a write, at once or at the end of its block.
pub(crate) async fn do_alone(session: &Session, alone: Alone) -> Result<(), Error> {
    {
        let mut state = session.state.lock();
        if state.block == Block::Open {
            state.open.held.other = Other::Alone(alone);
            return Ok(());
        }
    }
    alone.done(session).await
}

impl Alone {
    async fn done(self, session: &Session) -> Result<(), Error> {
        self.done_of(&session.engine, &session.asker()).await
    }

    async fn done_of(self, engine: &Engine, asker: &Asker) -> Result<(), Error> {
        match self {
            Alone::Deletion(deletion) => engine.delete(deletion, asker).wait().await.map(|_| ()),
            Alone::Changes(changes) => {
                let stale = |(id, was, _): &&(TagId, TagDefinition, TagDefinition)| {
                    engine.catalog.get(*id).is_none_or(|tag| tag.definition != *was)
                };
                if let Some((_, was, _)) = changes.iter().find(stale) {
                    let message = format!("could not serialize access: tag \"{}\" was changed meanwhile", was.name);
                    return Err(raise(Error::Stale, message).with_hint("run the transaction again"));
                }
                let changes = changes.into_iter().map(|(id, _, is)| (id, is)).collect();
                wait(engine.tags.change(changes)).await
            }
            // The tags go first and hide their samples at once, then the samples go.
            Alone::Drops(tags) => {
                wait(engine.tags.delete(tags.clone())).await?;
                let deletion = Deletion::Range { tags: TagSelection::of(tags), range: TimeRange::ALL };
                // The tags are gone: their samples go too, whoever still waits for that.
                let gone = tokio::spawn(engine.delete(deletion, asker).wait());
                gone.await.unwrap_or_else(|_| Err(world::Abandoned.into())).map(|_| ())
            }
        }
    }
}
