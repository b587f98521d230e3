//! New tags of a transaction block.
//!
//! Promises: each has an ordinal of its own before it has a real one, so that the block's rows can be of it; no real tag's ordinal is
//! ever one of these.

use super::held::too_large;
use crate::error::{Error, raise};
use std::collections::HashMap;
use types::{TagDefinition, TagId};

/// From here on, downwards from the highest number, ordinals are those of tags that are not there yet.
const FIRST: u64 = 1 << 63;

/// The tags, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Made {
    tags: Vec<NewTag>,
    by_name: HashMap<String, usize>,
    bytes: u64,
}

/// A tag to be.
pub(crate) struct NewTag {
    pub definition: TagDefinition,
    /// Whether one of that name that is there by then is left.
    pub skip_existing: bool,
    /// Whether the block changed it since.
    pub changed: bool,
}

/// About how much memory a definition takes.
pub(super) fn bytes_of(definition: &TagDefinition) -> u64 {
    let texts = definition.name.len() + definition.description.len() + definition.unit.len();
    let labels: usize = definition.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
    let states: usize = definition.states.iter().map(|state| state.len() + 24).sum();
    (texts + labels + states + 256) as u64
}

const fn ordinal(index: usize) -> TagId {
    TagId(u64::MAX - index as u64)
}

/// Which of a block's new tags it is, where it is one.
pub(super) fn index(tag: TagId) -> Option<usize> {
    (tag.0 >= FIRST).then(|| usize::try_from(u64::MAX - tag.0).unwrap_or(usize::MAX))
}

impl Made {
    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each with its ordinal.
    pub(super) fn all(&self) -> impl Iterator<Item = (TagId, &TagDefinition)> {
        self.tags.iter().enumerate().map(|(index, tag)| (ordinal(index), &tag.definition))
    }

    pub(super) fn find(&self, name: &str) -> Option<(TagId, &TagDefinition)> {
        self.by_name.get(name).map(|index| (ordinal(*index), &self.tags[*index].definition))
    }

    pub(super) fn get(&self, tag: TagId) -> Option<&TagDefinition> {
        self.tags.get(index(tag)?).map(|tag| &tag.definition)
    }

    /// Keeps the first ones.
    pub(super) fn truncate(&mut self, count: usize) {
        for tag in self.tags.drain(count.min(self.tags.len())..) {
            self.by_name.remove(&tag.definition.name);
            self.bytes -= bytes_of(&tag.definition);
        }
    }

    /// Adds some, all or none, where all that is held is at most so long: how many.
    pub(super) fn add(
        &mut self,
        definitions: &mut Vec<TagDefinition>,
        skip_existing: bool,
        exists: impl Fn(&str) -> bool,
        (others, limit): (u64, u64),
    ) -> Result<u64, Error> {
        let before = self.tags.len();
        for definition in definitions.drain(..) {
            if exists(&definition.name) || self.by_name.contains_key(&definition.name) {
                if skip_existing {
                    continue;
                }
                self.truncate(before);
                return Err(raise(Error::DuplicateTag, format!("tag \"{}\" exists already", definition.name)));
            }
            self.bytes += bytes_of(&definition);
            self.by_name.insert(definition.name.clone(), self.tags.len());
            self.tags.push(NewTag { definition, skip_existing, changed: false });
        }
        if self.bytes + others > limit {
            self.truncate(before);
            return Err(too_large(limit));
        }
        Ok((self.tags.len() - before) as u64)
    }

    /// Makes each what it was changed to.
    pub(super) fn become_what<'a>(&mut self, changed: impl Fn(TagId) -> Option<&'a TagDefinition>) {
        for (index, tag) in self.tags.iter_mut().enumerate() {
            if let Some(is) = changed(ordinal(index)) {
                (tag.definition, tag.changed) = (is.clone(), true);
            }
        }
    }

    pub(super) fn into_tags(self) -> Vec<NewTag> {
        self.tags
    }
}
