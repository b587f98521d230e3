//! A leaf of a fleet's plan as the coordinator has it: which slices can hold what is read, and which tags are
//! dropped, so that nodes, which know no names, leave their rows out.
//!
//! Shared state: the ranges of dropped ordinals as of the newest version of the tag table that was asked for, in one
//! mutex of the engine that is held while they are gathered.

use crate::engine::Engine;
use crate::explain::slices_of;
use crate::scan::selection::Selected;
use crate::store::Route;
use kernel::TagSelection;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use types::{SliceId, TagId};

/// Ordinals looked at at once.
const TAGS_AT_ONCE: u64 = 8192;

/// Ordinals that no live tag has, as ranges from the first to the last, rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped(pub Arc<[(u64, u64)]>);

impl Dropped {
    fn has(&self, tag: TagId) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= tag.0);
        after > 0 && tag.0 <= self.0[after - 1].1
    }

    /// Which rows are shown, of those that may be.
    pub(crate) fn shown(&self, tags: &[TagId], may: impl Iterator<Item = bool>) -> Vec<bool> {
        if self.0.is_empty() {
            return may.collect();
        }
        tags.iter().zip(may).map(|(tag, may)| may && !self.has(*tag)).collect()
    }
}

/// The dropped tags of an engine's catalog.
#[derive(Default)]
pub(crate) struct DroppedTags(Mutex<(u64, Dropped)>);

impl DroppedTags {
    /// As of now.
    pub(crate) fn now(&self, engine: &Engine) -> Dropped {
        let catalog = &engine.catalog;
        if catalog.len() == catalog.ordinals() {
            return Dropped::default();
        }
        let mut known = self.0.lock();
        // Read before the names: what is dropped meanwhile is looked for again.
        let version = catalog.version();
        if known.0 != version {
            let mut ranges: Vec<(u64, u64)> = Vec::new();
            let end = catalog.ordinals();
            for first in (0..end).step_by(TAGS_AT_ONCE as usize) {
                let ids: Vec<TagId> = (first..end.min(first + TAGS_AT_ONCE)).map(TagId).collect();
                let mut next = first;
                catalog.names(&ids, |name| {
                    if name.is_none() {
                        match ranges.last_mut() {
                            Some(last) if last.1 + 1 == next => last.1 = next,
                            _ => ranges.push((next, next)),
                        }
                    }
                    next += 1;
                });
            }
            *known = (version, Dropped(ranges.into()));
        }
        known.1.clone()
    }
}

/// What the coordinator knows of a leaf.
pub(crate) struct Away {
    pub engine: Arc<Engine>,
    pub dropped: Dropped,
    /// Slices that can hold what is read, rising.
    pub slices: Vec<SliceId>,
    /// Who reads them: known once the plan was cut.
    pub route: OnceLock<Arc<Route>>,
}

impl Away {
    pub(crate) fn new(engine: &Arc<Engine>, selected: &Selected) -> Away {
        let rule = engine.store.rule();
        let nothing = selected.range.is_empty() || matches!(&selected.tags, TagSelection::List(list) if list.is_empty());
        let slices = match slices_of(&rule, &selected.tags, selected.range) {
            _ if nothing => Vec::new(),
            Some(slices) => slices.into_iter().collect(),
            None => (0..rule.buckets).map(SliceId).collect(),
        };
        let dropped = match &selected.tags {
            TagSelection::All => engine.dropped.now(engine),
            // Only live tags were listed.
            TagSelection::List(_) => Dropped::default(),
        };
        Away { engine: Arc::clone(engine), dropped, slices, route: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_tags_are_found_in_their_ranges() {
        let dropped = Dropped([(2, 4), (9, 9)].into());
        let tags: Vec<TagId> = (0..11).map(TagId).collect();
        let shown = dropped.shown(&tags, std::iter::repeat(true));
        let kept: Vec<u64> = tags.iter().zip(&shown).filter(|(_, shown)| **shown).map(|(tag, _)| tag.0).collect();
        assert_eq!(kept, [0, 1, 5, 6, 7, 8, 10]);
        assert_eq!(Dropped::default().shown(&tags[..2], [true, false].into_iter()), [true, false]);
    }
}
