//! Watches: hints that something may have changed.
//!
//! A hint is merged into the ones that wait, so a watch that nobody asks holds at most
//! `HINT_KEYS_MAX` keys; beyond, it says "anything".
//!
//! Shared state, under one mutex: `waiting` (what was hinted and not taken) or `asked` (who waits);
//! never both. `Hints` adds, `Watch` takes; either may go first, and the other learns it.

use crate::{Key, Range, Revision};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use world::{Promise, Ticket};

/// Most keys that one hint names.
pub const HINT_KEYS_MAX: usize = 1_000;

/// What may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These keys of the range.
    Keys(BTreeSet<Key>),
    /// Anything of the range: read it again.
    Anything,
}

/// A hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The latest revision that it speaks of.
    pub revision: Revision,
    /// What may have changed up to it.
    pub changed: Changed,
}

#[derive(Default)]
struct Shared {
    waiting: Option<Hint>,
    asked: Option<Promise<Hint>>,
    /// The last giver has gone.
    ended: bool,
}

/// Where hints are taken from. Dropping it ends the watch.
pub struct Watch {
    shared: Arc<Mutex<Shared>>,
    /// Kept while hints can come; dropping it tells the giver.
    _kept: Option<Box<dyn Send + Sync>>,
}

/// Where hints are given. When the last clone is dropped, whoever asks is told that none will come.
#[derive(Clone)]
pub struct Hints {
    range: Range,
    shared: Weak<Mutex<Shared>>,
    /// Dropped with the last clone: it abandons who waits.
    _end: Arc<End>,
}

struct End(Weak<Mutex<Shared>>);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            let mut shared = shared.lock();
            shared.ended = true;
            let asked = shared.asked.take();
            drop(shared);
            drop(asked);
        }
    }
}

impl Watch {
    /// Both ends of a watch over a range. `kept` is dropped with the watch.
    #[must_use]
    pub fn pair(range: &Range, kept: Option<Box<dyn Send + Sync>>) -> (Hints, Watch) {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let end = Arc::new(End(Arc::downgrade(&shared)));
        let hints = Hints { range: range.clone(), shared: Arc::downgrade(&shared), _end: end };
        (hints, Watch { shared, _kept: kept })
    }

    /// The next hint. One can be asked for at a time: asking again gives the earlier question up.
    /// Abandoned once the giver has gone. Keep the ticket until it is answered: one that is dropped
    /// just then takes its hint with it.
    pub fn hint(&mut self) -> Ticket<Hint> {
        let mut shared = self.shared.lock();
        if let Some(hint) = shared.waiting.take() {
            return Ticket::ready(hint);
        }
        let (promise, ticket) = Ticket::pair();
        // An earlier question, and this one where nobody is left to answer, are dropped outside the mutex.
        let unanswered = if shared.ended { Some(promise) } else { shared.asked.replace(promise) };
        drop(shared);
        drop(unanswered);
        ticket
    }
}

impl Hints {
    /// Whether anybody still watches.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.shared.strong_count() > 0
    }

    /// The range that is watched.
    #[must_use]
    pub fn range(&self) -> &Range {
        &self.range
    }

    /// Hints at those of the keys that lie in the range, if any.
    pub fn keys<'a>(&self, revision: Revision, keys: impl IntoIterator<Item = &'a Key>) {
        let keys: BTreeSet<Key> = keys.into_iter().filter(|key| self.range.contains(key)).cloned().collect();
        if !keys.is_empty() {
            self.give(Hint { revision, changed: Changed::Keys(keys) });
        }
    }

    /// Hints at anything.
    pub fn anything(&self, revision: Revision) {
        self.give(Hint { revision, changed: Changed::Anything });
    }

    fn give(&self, hint: Hint) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut shared = shared.lock();
        let hint = match shared.waiting.take() {
            Some(waiting) => waiting.joined(hint),
            None => hint.joined(Hint { revision: Revision(0), changed: Changed::Keys(BTreeSet::new()) }),
        };
        match shared.asked.take().filter(Promise::is_awaited) {
            Some(promise) => {
                drop(shared);
                promise.keep(hint);
            }
            None => shared.waiting = Some(hint),
        }
    }
}

impl Hint {
    /// Both hints in one.
    #[must_use]
    fn joined(self, other: Hint) -> Hint {
        let changed = match (self.changed, other.changed) {
            (Changed::Keys(mut keys), Changed::Keys(more)) => {
                keys.extend(more);
                if keys.len() > HINT_KEYS_MAX { Changed::Anything } else { Changed::Keys(keys) }
            }
            _ => Changed::Anything,
        };
        Hint { revision: self.revision.max(other.revision), changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use world::Abandoned;

    fn key(i: usize) -> Key {
        Key::new(&format!("a/{i:05}")).unwrap()
    }

    fn keys(hint: Option<Result<Hint, Abandoned>>) -> (u64, Option<usize>) {
        let hint = hint.unwrap().unwrap();
        let count = if let Changed::Keys(keys) = &hint.changed { Some(keys.len()) } else { None };
        (hint.revision.0, count)
    }

    #[test]
    fn hints_merge_while_nobody_asks_and_stay_bounded() {
        let (hints, mut watch) = Watch::pair(&Range::prefix("a/").unwrap(), None);
        hints.keys(Revision(4), &[key(1), Key::new("b").unwrap()]);
        hints.keys(Revision(3), &[key(2)]);
        hints.keys(Revision(9), &[Key::new("b").unwrap()]);
        assert_eq!(keys(watch.hint().try_take()), (4, Some(2)));
        let mut asked = watch.hint();
        assert!(asked.try_take().is_none());
        hints.keys(Revision(5), &[key(3)]);
        assert_eq!(keys(asked.try_take()), (5, Some(1)));
        (0..=HINT_KEYS_MAX).for_each(|i| hints.keys(Revision(6), &[key(i)]));
        assert_eq!(keys(watch.hint().try_take()), (6, None));
    }

    #[test]
    fn a_question_that_was_given_up_loses_no_hint() {
        let (hints, mut watch) = Watch::pair(&Range::prefix("a/").unwrap(), None);
        drop(watch.hint());
        hints.keys(Revision(2), &[key(1)]);
        assert_eq!(keys(watch.hint().try_take()), (2, Some(1)));
        let mut first = watch.hint();
        let mut second = watch.hint();
        assert!(matches!(first.try_take(), Some(Err(Abandoned))));
        hints.anything(Revision(3));
        assert_eq!(keys(second.try_take()), (3, None));
    }

    #[test]
    fn each_end_learns_that_the_other_went() {
        let kept = Arc::new(());
        let (hints, mut watch) = Watch::pair(&Range::prefix("a/").unwrap(), Some(Box::new(Arc::clone(&kept))));
        let mut asked = watch.hint();
        assert!(hints.are_wanted());
        drop(hints);
        assert!(matches!(asked.try_take(), Some(Err(Abandoned))));
        assert!(matches!(watch.hint().try_take(), Some(Err(Abandoned))));
        let (hints, watch) = (Watch::pair(&Range::prefix("a/").unwrap(), None).0, watch);
        assert!(!hints.are_wanted());
        drop(watch);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
