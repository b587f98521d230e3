//! The catalog's face. THIS BODY IS THE MODEL: maps in memory with the final signatures, so that
//! higher floors can be built while the real one is.

use crate::{Error, TagFilter};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, Kinds, Tag, TagDefinition, TagId, Timestamp};
use world::{Ticket, World};

/// What can be set of a catalog.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Length at which a segment of the catalog's log is ended.
    pub segment_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { segment_bytes: 64 << 20 }
    }
}

#[derive(Default)]
struct State {
    tags: Vec<(Tag, bool)>,
    names: BTreeMap<String, TagId>,
    version: u64,
}

/// The tag table.
pub struct Catalog {
    state: RwLock<State>,
    world: World,
}

impl Catalog {
    /// Opens the catalog in a directory, making it where there is none.
    ///
    /// # Errors
    /// `Error::Open`, `Error::Damaged`.
    pub fn open(world: World, _dir: &Path, _settings: Settings) -> Result<Arc<Catalog>, Error> {
        Ok(Arc::new(Catalog { state: RwLock::default(), world }))
    }

    /// Makes tags; all or none. The answer is the range of their ordinals, in order.
    pub fn create(&self, definitions: Vec<TagDefinition>) -> Ticket<Result<Range<u64>, Error>> {
        let mut state = self.state.write();
        for (i, definition) in definitions.iter().enumerate() {
            if state.names.contains_key(&definition.name) || definitions[..i].iter().any(|other| other.name == definition.name) {
                return Ticket::ready(Err(Error::Exists(definition.name.clone())));
            }
        }
        let now = Timestamp(self.world.clock.wall_us());
        let first = state.tags.len() as u64;
        for definition in definitions {
            let id = TagId(state.tags.len() as u64);
            state.names.insert(definition.name.clone(), id);
            state.tags.push((Tag { id, definition, created: now, changed: now }, true));
        }
        state.version += 1;
        Ticket::ready(Ok(first..state.tags.len() as u64))
    }

    /// Changes tags (renaming among them); all or none. The kind can't be changed.
    pub fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Ticket<Result<(), Error>> {
        let mut state = self.state.write();
        let now = Timestamp(self.world.clock.wall_us());
        for (id, definition) in changes {
            let Some((tag, true)) = state.tags.get(id.0 as usize).cloned() else { return Ticket::ready(Err(Error::Unknown(id))) };
            state.names.remove(&tag.definition.name);
            state.names.insert(definition.name.clone(), id);
            state.tags[id.0 as usize].0 = Tag { definition, changed: now, ..tag };
        }
        state.version += 1;
        Ticket::ready(Ok(()))
    }

    /// Deletes tags; all or none. Their ordinals are never given again; their kinds stay known.
    pub fn delete(&self, tags: Vec<TagId>) -> Ticket<Result<(), Error>> {
        let mut state = self.state.write();
        for id in tags {
            let Some((tag, true)) = state.tags.get(id.0 as usize).cloned() else { return Ticket::ready(Err(Error::Unknown(id))) };
            state.names.remove(&tag.definition.name);
            state.tags[id.0 as usize].1 = false;
        }
        state.version += 1;
        Ticket::ready(Ok(()))
    }

    /// The tag of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TagId> {
        self.state.read().names.get(name).copied()
    }

    /// The tags of these names, row by row.
    #[must_use]
    pub fn find_many(&self, names: &[&str]) -> Vec<Option<TagId>> {
        let state = self.state.read();
        names.iter().map(|name| state.names.get(*name).copied()).collect()
    }

    /// A tag as it stands.
    #[must_use]
    pub fn get(&self, id: TagId) -> Option<Tag> {
        self.state.read().tags.get(id.0 as usize).filter(|(_, alive)| *alive).map(|(tag, _)| tag.clone())
    }

    /// Calls `each` with the name of every tag asked for, in the order asked; None where it is deleted or unknown.
    pub fn names(&self, ids: &[TagId], mut each: impl FnMut(Option<&str>)) {
        let state = self.state.read();
        ids.iter().for_each(|id| {
            each(state.tags.get(id.0 as usize).filter(|(_, alive)| *alive).map(|(tag, _)| tag.definition.name.as_str()))
        });
    }

    /// The tags that a filter names, in rising order of ordinal.
    #[must_use]
    pub fn select(&self, filter: &TagFilter) -> Vec<TagId> {
        let state = self.state.read();
        let fits = |tag: &Tag| {
            let definition = &tag.definition;
            filter.names.as_ref().is_none_or(|names| names.contains(&definition.name))
                && filter.prefix.as_ref().is_none_or(|prefix| definition.name.starts_with(prefix.as_str()))
                && filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&definition.name))
                && filter.labels.iter().all(|label| definition.labels.contains(label))
        };
        state.tags.iter().filter(|(tag, alive)| *alive && fits(tag)).map(|(tag, _)| tag.id).collect()
    }

    /// Live tags from an ordinal on, at most `rows_max`, in rising order: for reading the table piece by piece.
    #[must_use]
    pub fn page(&self, from: TagId, rows_max: usize) -> Vec<Tag> {
        let state = self.state.read();
        state.tags.iter().skip(from.0 as usize).filter(|(_, alive)| *alive).take(rows_max).map(|(tag, _)| tag.clone()).collect()
    }

    /// How many live tags there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state.read().names.len() as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next ordinal to be given; every ordinal below was given once.
    #[must_use]
    pub fn ordinals(&self) -> u64 {
        self.state.read().tags.len() as u64
    }

    /// Grows with every change: what was resolved at an older version must be resolved again.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state.read().version
    }

    /// Bytes of memory that the tag table takes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        0
    }

    /// Stops taking changes; answers when what was taken is durable.
    pub fn close(&self) -> Ticket<Result<(), Error>> {
        Ticket::ready(Ok(()))
    }
}

impl Kinds for Catalog {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        self.state.read().tags.get(tag.0 as usize).map(|(tag, _)| tag.definition.kind)
    }
}
