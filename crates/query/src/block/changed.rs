//! Changes of tags in a transaction block: of tags that are there, and of those that it made.
//!
//! Promises: the last change of a tag stands; a savepoint is gone back to by forgetting the later ones.

use super::made::{bytes_of, index};
use std::collections::HashMap;
use types::{TagDefinition, TagId};

/// A tag as the block found it, and as it is to be.
pub(crate) type Change = (TagId, TagDefinition, TagDefinition);

/// The changes, in order.
#[derive(Default)]
pub(crate) struct Changed {
    /// Each with the number of the same tag's change before it.
    all: Vec<(Change, Option<usize>)>,
    /// The number of each tag's last one.
    last: HashMap<TagId, usize>,
    bytes: u64,
}

impl Changed {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a tag is to be, where it was changed.
    pub(super) fn now(&self, tag: TagId) -> Option<&TagDefinition> {
        self.last.get(&tag).map(|number| &self.all[*number].0.2)
    }

    /// All that were made, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Change> {
        self.all.iter().map(|(change, _)| change)
    }

    pub(super) fn renames(&self) -> bool {
        self.all().any(|(_, was, is)| was.name != is.name)
    }

    pub(super) fn add(&mut self, change: Change) {
        self.bytes += bytes_of(&change.1) + bytes_of(&change.2);
        let before = self.last.insert(change.0, self.all.len());
        self.all.push((change, before));
    }

    /// Keeps the first ones.
    pub(super) fn truncate(&mut self, count: usize) {
        while self.all.len() > count
            && let Some(((tag, was, is), before)) = self.all.pop()
        {
            self.bytes -= bytes_of(&was) + bytes_of(&is);
            match before {
                Some(before) => self.last.insert(tag, before),
                None => self.last.remove(&tag),
            };
        }
    }

    /// Of each tag that is there one change: as it was found first, and as it is to be in the end.
    pub(super) fn of_stored(&self) -> Vec<Change> {
        let firsts = self.all.iter().filter(|((tag, ..), before)| before.is_none() && index(*tag).is_none());
        firsts.filter_map(|((tag, was, _), _)| Some((*tag, was.clone(), self.now(*tag)?.clone()))).collect()
    }
}
