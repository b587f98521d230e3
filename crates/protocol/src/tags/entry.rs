//! What the fleet agrees on for the tag table: one key of meta; and which next entry may follow which.
//!
//! ```text
//!   within an epoch    the leader's own swaps: more batches committed, the Normal set changed
//!   the next epoch     its leader was in the Normal set; nothing else changes
//!   by an operator     who is registered
//! ```
//! Promises: `check_next` is the law that whoever swaps holds every entry against. It may not know how entries are stored.

use super::Point;
use crate::ReplicaId;
use thiserror::Error;
use types::Epoch;

/// The agreed state of the tag table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagEntry {
    /// One run of one leader. Only grows.
    pub epoch: Epoch,
    /// Who runs it.
    pub leader: ReplicaId,
    /// What is committed: no other history can be true.
    pub committed: Point,
    /// The schedulers that hold what is committed: who may lead, and who must have applied a batch before it is answered.
    pub normal: Vec<ReplicaId>,
    /// All schedulers of the fleet, well or not: more than half of them hold what is committed.
    pub registered: Vec<ReplicaId>,
}

/// Why an entry may not follow another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TagEntryError {
    /// Only who holds what is committed may lead.
    #[error("the scheduler {0} leads, but is not Normal: it may lack what is committed")]
    LeaderOutside(ReplicaId),
    /// An epoch has one leader.
    #[error("epoch {epoch} already has the leader {leader}")]
    SecondLeader {
        /// The epoch.
        epoch: Epoch,
        /// Its leader.
        leader: ReplicaId,
    },
    /// Epochs follow one another.
    #[error("epoch {next} can't follow epoch {epoch}")]
    EpochJumps {
        /// The epoch now.
        epoch: Epoch,
        /// The one asked for.
        next: Epoch,
    },
    /// What is committed stays.
    #[error("batch {next:?} can't follow batch {now:?}")]
    HistoryChanges {
        /// What is committed.
        now: Point,
        /// What was asked for.
        next: Point,
    },
    /// A new epoch commits nothing, and changes nobody's state.
    #[error("a new leader changed more than the epoch")]
    TooMuchAtOnce,
    /// More than half hold what is committed.
    #[error("{normal} of {registered} schedulers are not more than half")]
    TooFew {
        /// The Normal set's size.
        normal: usize,
        /// All.
        registered: usize,
    },
    /// A name stands twice, or a Normal scheduler is not registered.
    #[error("{0} is named twice, or is Normal without being registered")]
    Stranger(ReplicaId),
}

impl TagEntry {
    /// Whether a scheduler holds what is committed.
    #[must_use]
    pub fn is_normal(&self, id: ReplicaId) -> bool {
        self.normal.contains(&id)
    }

    /// Whether a scheduler belongs to the fleet.
    #[must_use]
    pub fn is_registered(&self, id: ReplicaId) -> bool {
        self.registered.contains(&id)
    }

    /// Whether so many are more than half of the registered ones.
    #[must_use]
    pub fn is_majority(&self, count: usize) -> bool {
        count * 2 > self.registered.len()
    }

    /// The next epoch, under a leader of the Normal set.
    #[must_use]
    pub fn under(&self, leader: ReplicaId) -> TagEntry {
        TagEntry { epoch: Epoch(self.epoch.0 + 1), leader, ..self.clone() }
    }

    /// Whether an entry may follow this one.
    ///
    /// # Errors
    /// `TagEntryError` names what breaks the law.
    pub fn check_next(&self, next: &TagEntry) -> Result<(), TagEntryError> {
        for list in [&next.normal, &next.registered] {
            if let Some((_, twice)) = list.iter().enumerate().find(|(i, id)| list[..*i].contains(id)) {
                return Err(TagEntryError::Stranger(*twice));
            }
        }
        if next.epoch != self.epoch {
            let jumps = next.epoch.0 != self.epoch.0 + 1;
            let same = TagEntry { epoch: self.epoch, leader: self.leader, ..next.clone() } == *self;
            return match (jumps, same, self.is_normal(next.leader) && self.is_registered(next.leader)) {
                (true, ..) => Err(TagEntryError::EpochJumps { epoch: self.epoch, next: next.epoch }),
                (_, false, _) => Err(TagEntryError::TooMuchAtOnce),
                (.., false) => Err(TagEntryError::LeaderOutside(next.leader)),
                _ => Ok(()),
            };
        }
        if next.leader != self.leader {
            return Err(TagEntryError::SecondLeader { epoch: self.epoch, leader: self.leader });
        }
        let same = next.committed.sequence == self.committed.sequence;
        if next.committed.sequence < self.committed.sequence || (same && next.committed != self.committed) {
            return Err(TagEntryError::HistoryChanges { now: self.committed, next: next.committed });
        }
        if next.registered != self.registered {
            // An operator's change, and nothing else at once.
            let same = TagEntry { registered: self.registered.clone(), ..next.clone() } == *self;
            return if same { Ok(()) } else { Err(TagEntryError::TooMuchAtOnce) };
        }
        if let Some(stranger) = next.normal.iter().find(|id| !next.is_registered(**id)) {
            return Err(TagEntryError::Stranger(*stranger));
        }
        if !next.is_normal(next.leader) {
            return Err(TagEntryError::LeaderOutside(next.leader));
        }
        let (normal, registered) = (next.normal.len(), next.registered.len());
        if next.is_majority(normal) { Ok(()) } else { Err(TagEntryError::TooFew { normal, registered }) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ChainHash;
    use super::*;
    use types::{NodeId, Sequence, StoreId};

    fn id(node: u64) -> ReplicaId {
        ReplicaId { node: NodeId(node), store: StoreId(1) }
    }

    #[test]
    fn the_law_names_what_is_wrong() {
        let point = |sequence, hash| Point { sequence: Sequence(sequence), hash: ChainHash(hash) };
        let (normal, registered) = (vec![id(1), id(2)], vec![id(1), id(2), id(3)]);
        let now = TagEntry { epoch: Epoch(4), leader: id(1), committed: point(9, 99), normal, registered };
        let check = |change: &dyn Fn(&mut TagEntry)| {
            let mut next = now.clone();
            change(&mut next);
            now.check_next(&next)
        };
        assert_eq!(now.check_next(&now.under(id(2))), Ok(()));
        assert_eq!(now.check_next(&now.under(id(3))), Err(TagEntryError::LeaderOutside(id(3))));
        assert_eq!(check(&|next| next.committed = point(11, 5)), Ok(()));
        assert_eq!(check(&|next| next.normal = vec![id(1), id(3)]), Ok(()));
        assert_eq!(check(&|next| next.registered = vec![id(1), id(4)]), Ok(()));
        assert!(matches!(check(&|next| next.committed = point(8, 5)), Err(TagEntryError::HistoryChanges { .. })));
        assert!(matches!(check(&|next| next.committed = point(9, 98)), Err(TagEntryError::HistoryChanges { .. })));
        assert!(matches!(check(&|next| next.leader = id(2)), Err(TagEntryError::SecondLeader { .. })));
        assert!(matches!(check(&|next| next.epoch = Epoch(6)), Err(TagEntryError::EpochJumps { .. })));
        let both = |next: &mut TagEntry| (next.epoch, next.committed) = (Epoch(5), point(10, 1));
        assert_eq!(check(&both), Err(TagEntryError::TooMuchAtOnce));
        let both = |next: &mut TagEntry| (next.registered, next.committed) = (vec![id(1), id(2)], point(10, 1));
        assert_eq!(check(&both), Err(TagEntryError::TooMuchAtOnce));
        assert!(matches!(check(&|next| next.normal = vec![id(1)]), Err(TagEntryError::TooFew { .. })));
        assert_eq!(check(&|next| next.normal = vec![id(2), id(3)]), Err(TagEntryError::LeaderOutside(id(1))));
        assert_eq!(check(&|next| next.normal = vec![id(1), id(4)]), Err(TagEntryError::Stranger(id(4))));
        assert_eq!(check(&|next| next.normal = vec![id(1), id(1)]), Err(TagEntryError::Stranger(id(1))));
    }
}
