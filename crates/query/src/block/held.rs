//! The writes of a transaction block that wait for its COMMIT.
//!
//! Promises: they are bounded by `copy_bytes_max` (54000); what belongs into different commits is refused when it is
//! written, not at COMMIT.

use crate::access::{self, Asked, When};
use crate::error::{Error, raise};
use crate::ingest::{Gathered, send, wait};
use crate::query::Tables;
use crate::scan::Sort;
use crate::session::{Block, Session, State};
use crate::write::create_now;
use kernel::{Deletion, TagSelection};
use std::collections::HashSet;
use std::sync::Arc;
use types::{TagDefinition, TagId, TimeRange};

/// What a block holds.
#[derive(Default)]
pub(crate) enum Held {
    #[default]
    Nothing,
    /// Rows of numeric tags, and of text tags.
    Rows(Box<(Gathered, Gathered)>),
    /// New tags, each with whether one that is there by then is left.
    Tags(Vec<(TagDefinition, bool)>, u64),
    /// Statements about roles, in order.
    Roles(Vec<Arc<Asked>>),
    /// A write that goes with no other one.
    Alone(Alone),
}

/// A write that is the only one of its block.
pub(crate) enum Alone {
    Deletion(Deletion),
    /// Tags as they were read, and as they are to be.
    Changes(Vec<(TagId, TagDefinition, TagDefinition)>),
    Drops(Vec<TagId>),
}

/// What sort of write it is, before it is known what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Rows,
    NewTags,
    Roles,
    Alone,
}

/// How much a block held at some time.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Nothing,
    Rows(usize, usize),
    Tags(usize),
    Roles(usize),
    Alone,
}

impl Held {
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Held::Nothing)
    }

    /// Whether queries of these tables would have to see it.
    pub(crate) fn hides(&self, read: Tables) -> bool {
        match self {
            Held::Nothing => false,
            Held::Rows(_) | Held::Alone(Alone::Deletion(_)) => read.series,
            // Who may read what is about to change.
            Held::Roles(_) => read.any,
            Held::Tags(..) | Held::Alone(_) => read.series || read.tags,
        }
    }

    /// Whether a write of this sort may join it.
    ///
    /// # Errors
    /// `Error::Unsupported`, which says what to do.
    pub(crate) fn admit(&self, command: &str, writing: Writing) -> Result<(), Error> {
        let before = match (self, writing) {
            (Held::Nothing, _) | (Held::Rows(_), Writing::Rows) | (Held::Tags(..), Writing::NewTags) => return Ok(()),
            (Held::Roles(_), Writing::Roles) => return Ok(()),
            (Held::Rows(_), _) => "rows of samples, integers or events",
            (Held::Tags(..), _) => "new tags",
            (Held::Roles(_), _) => "a change of roles",
            (Held::Alone(Alone::Deletion(_)), _) => "a DELETE",
            (Held::Alone(_), _) => "a change of tags",
        };
        Err(raise(Error::Unsupported, format!("{command} can't follow {before} in one transaction block"))
            .with_detail("what a block writes is one commit, and this would be two")
            .with_hint("COMMIT before it, or write in autocommit mode"))
    }

    pub(super) fn mark(&self) -> Mark {
        match self {
            Held::Nothing => Mark::Nothing,
            Held::Rows(rows) => Mark::Rows(rows.0.rows(), rows.1.rows()),
            Held::Tags(tags, _) => Mark::Tags(tags.len()),
            Held::Roles(asked) => Mark::Roles(asked.len()),
            Held::Alone(_) => Mark::Alone,
        }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        match (&mut *self, mark) {
            (Held::Rows(rows), Mark::Rows(numbers, texts)) => {
                rows.0.truncate(numbers);
                rows.1.truncate(texts);
            }
            (Held::Tags(tags, bytes), Mark::Tags(count)) => {
                tags.truncate(count);
                *bytes = tags.iter().map(|(definition, _)| bytes_of(definition)).sum();
            }
            (Held::Roles(asked), Mark::Roles(count)) => asked.truncate(count),
            (Held::Alone(_), Mark::Alone) => {}
            _ => *self = Held::Nothing,
        }
    }

    /// Does it all, as one commit.
    pub(super) async fn commit(self, session: &Session) -> Result<(), Error> {
        match self {
            Held::Nothing => Ok(()),
            Held::Rows(rows) => {
                all_there(session, &rows)?;
                let answer = send(&session.engine, &session.asker(), &rows.0, &rows.1)?;
                drop(rows);
                answer.wait().await.map(|_| ())
            }
            Held::Tags(tags, _) => {
                let catalog = &session.engine.catalog;
                let there = |(definition, skip): &(TagDefinition, bool)| *skip && catalog.find(&definition.name).is_some();
                let wanted = tags.into_iter().filter(|tag| !there(tag)).map(|(definition, _)| definition).collect();
                create_now(session, wanted).await.map(|_| ())
            }
            Held::Roles(asked) => access::change(session, asked, When::AtCommit).await.map(|_| ()),
            Held::Alone(alone) => alone.done(session).await,
        }
    }
}

/// Refuses rows of a tag that went since they were written: its number lives on in the kernel, and nobody would see them.
fn all_there(session: &Session, rows: &(Gathered, Gathered)) -> Result<(), Error> {
    let mut tags: Vec<TagId> = rows.0.tags().iter().chain(rows.1.tags()).copied().collect();
    tags.sort_unstable();
    tags.dedup();
    let mut gone = false;
    session.engine.catalog.names(&tags, |name| gone |= name.is_none());
    if gone { Err(raise(Error::UnknownTag, "a tag that this transaction block wrote to was dropped meanwhile")) } else { Ok(()) }
}

/// Statements about roles in one block at most.
const ROLES_MAX: usize = 1_000;

fn bytes_of(definition: &TagDefinition) -> u64 {
    let texts = definition.name.len() + definition.description.len() + definition.unit.len();
    let labels: usize = definition.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
    let states: usize = definition.states.iter().map(|state| state.len() + 24).sum();
    (texts + labels + states + 256) as u64
}

fn too_large(limit: u64) -> Error {
    raise(Error::TooLarge, format!("one transaction block may hold {limit} bytes of writes before it commits"))
        .with_hint("COMMIT more often, or raise copy_bytes_max")
}

impl State {
    /// Takes rows into the block; gives them back where there is none.
    pub(crate) fn hold_rows(&mut self, rows: Gathered, sort: Sort, limit: u64) -> Result<Option<Gathered>, Error> {
        if self.block != Block::Open {
            return Ok(Some(rows));
        }
        if self.open.held.is_nothing() {
            self.open.held = Held::Rows(Box::default());
        }
        let Held::Rows(held) = &mut self.open.held else {
            return Err(raise(Error::Internal, "internal error: rows came into a block of other writes"));
        };
        if held.0.bytes() + held.1.bytes() + rows.bytes() > limit {
            return Err(too_large(limit));
        }
        if sort == Sort::Texts {
            held.1.append(rows)?
        } else {
            held.0.append(rows)?
        }
        Ok(None)
    }

    /// The statements about roles of the block; None where there is none.
    pub(crate) fn held_roles(&self) -> Result<Option<Vec<Arc<Asked>>>, Error> {
        match &self.open.held {
            _ if self.block != Block::Open => Ok(None),
            Held::Roles(asked) if asked.len() >= ROLES_MAX => {
                Err(raise(Error::TooLarge, format!("one transaction block may hold {ROLES_MAX} statements about roles")))
            }
            Held::Roles(asked) => Ok(Some(asked.clone())),
            _ => Ok(Some(Vec::new())),
        }
    }

    /// Takes one more into the block.
    pub(crate) fn hold_roles(&mut self, asked: Vec<Arc<Asked>>) {
        self.open.held = Held::Roles(asked);
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
        let (mut made, mut bytes) = match std::mem::take(&mut self.open.held) {
            Held::Tags(made, bytes) => (made, bytes),
            _ => (Vec::new(), 0),
        };
        let before = made.len();
        let mut names: HashSet<String> = made.iter().map(|(definition, _)| definition.name.clone()).collect();
        let mut failure = None;
        for definition in definitions.drain(..) {
            if exists(&definition.name) || names.contains(&definition.name) {
                if skip_existing {
                    continue;
                }
                failure = Some(raise(Error::DuplicateTag, format!("tag \"{}\" exists already", definition.name)));
                break;
            }
            bytes += bytes_of(&definition);
            names.insert(definition.name.clone());
            made.push((definition, skip_existing));
        }
        if bytes > limit {
            failure.get_or_insert_with(|| too_large(limit));
        }
        if failure.is_some() {
            made.truncate(before);
        }
        let count = (made.len() - before) as u64;
        self.open.held = if made.is_empty() { Held::Nothing } else { Held::Tags(made, bytes) };
        failure.map_or(Ok(Some(count)), Err)
    }
}

/// Does a write, at once or at the end of its block.
pub(crate) async fn do_alone(session: &Session, alone: Alone) -> Result<(), Error> {
    {
        let mut state = session.state.lock();
        if state.block == Block::Open {
            state.open.held = Held::Alone(alone);
            return Ok(());
        }
    }
    alone.done(session).await
}

impl Alone {
    async fn done(self, session: &Session) -> Result<(), Error> {
        let engine = &session.engine;
        match self {
            Alone::Deletion(deletion) => engine.delete(deletion, &session.asker()).wait().await.map(|_| ()),
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
                engine.delete(deletion, &session.asker()).wait().await.map(|_| ())
            }
        }
    }
}
