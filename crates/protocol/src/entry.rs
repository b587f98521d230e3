//! What the fleet agrees on for one slice, and which next entry may follow which.
//!
//! ```text
//!   within an epoch    members change, by the primary's own swaps only; backups and `min_in_sync`, by managers
//!   the next epoch     its primary was a member, its members are among the old ones; the mode may change
//!   by force           an operator's word: any replica, alone; what it lacks is lost
//! ```
//! Promises: `check_next` is the law that whoever swaps holds every entry against; `everyone` names
//! each replica once. An epoch has one mode, so that a record's version tells what its acknowledgement meant. It may not know
//! how entries are stored or swapped.

use crate::ReplicaId;
use thiserror::Error;
use types::{Epoch, NodeId};

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By the primary once its own log has it; it waits while its members lack more than so many
    /// acknowledged writes, which is what a failover can lose (paper 4.3).
    Async {
        /// The most acknowledged writes that only the primary has, at least 1.
        lag_records_max: u64,
    },
    /// Once every member has it in its log.
    Sync,
}

/// How a slice is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// When a write is answered.
    pub mode: Mode,
    /// How few members may remain when others fail, at least 1.
    pub min_in_sync: u32,
}

/// The agreed state of one slice: one key of `meta`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SliceEntry {
    /// One run of one primary process. Only grows.
    pub epoch: Epoch,
    /// Who runs it.
    pub primary: ReplicaId,
    /// The other replicas that the slice has or is to have.
    pub backups: Vec<ReplicaId>,
    /// The in-sync set: who must log a record before it is stable, and who may be the next primary.
    /// One that is neither primary nor backup is about to leave.
    pub members: Vec<ReplicaId>,
    /// How it is replicated.
    pub policy: Policy,
    /// The newest epoch that an operator forced; 0 = none.
    pub forced: Epoch,
}

/// Why an entry may not follow another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The primary must be a member.
    #[error("the primary {0} is not among the members")]
    PrimaryOutside(ReplicaId),
    /// An epoch has one primary.
    #[error("epoch {epoch} already has the primary {primary}")]
    SecondPrimary {
        /// The epoch.
        epoch: Epoch,
        /// Its primary.
        primary: ReplicaId,
    },
    /// An epoch has one mode.
    #[error("epoch {epoch} has another mode: it changes with the epoch")]
    ModeChanges {
        /// The epoch.
        epoch: Epoch,
    },
    /// Epochs follow one another.
    #[error("epoch {next} can't follow epoch {epoch}")]
    EpochJumps {
        /// The epoch now.
        epoch: Epoch,
        /// The one asked for.
        next: Epoch,
    },
    /// Only a member may begin the next epoch, and only members remain in it.
    #[error("{0} is not a member, so it lacks writes that were acknowledged")]
    NotAMember(ReplicaId),
    /// A name stands twice.
    #[error("{0} is named twice")]
    Twice(ReplicaId),
}

impl SliceEntry {
    /// Every replica that has or is to have the slice, and every member, once each; the primary first.
    pub fn everyone(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        let leaving = self.members.iter().filter(|id| **id != self.primary && !self.backups.contains(id));
        [self.primary].into_iter().chain(self.backups.iter().copied()).chain(leaving.copied())
    }

    /// Whether a replica belongs to the slice.
    #[must_use]
    pub fn has(&self, id: ReplicaId) -> bool {
        self.everyone().any(|other| other == id)
    }

    /// Whether a replica is in the in-sync set.
    #[must_use]
    pub fn is_member(&self, id: ReplicaId) -> bool {
        self.members.contains(&id)
    }

    /// Whether a replica is to stay: the primary or a backup.
    #[must_use]
    pub fn keeps(&self, id: ReplicaId) -> bool {
        self.primary == id || self.backups.contains(&id)
    }

    /// The nodes of all that are to stay, each once, the primary's first. Two stores of one node stand in an entry while a
    /// wiped disk is replaced.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = Vec::with_capacity(1 + self.backups.len());
        for id in [self.primary].iter().chain(&self.backups) {
            if !nodes.contains(&id.node) {
                nodes.push(id.node);
            }
        }
        nodes
    }

    /// The next epoch under another primary (or the same one after a restart). The old primary
    /// stays as a backup.
    #[must_use]
    pub fn under(&self, primary: ReplicaId) -> SliceEntry {
        let backups = self.everyone().filter(|id| *id != primary && self.keeps(*id)).collect();
        SliceEntry { epoch: Epoch(self.epoch.0 + 1), primary, backups, ..self.clone() }
    }

    /// The entry under another policy: another mode begins the next epoch, under the same primary.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> SliceEntry {
        let next = if policy.mode == self.policy.mode { self.clone() } else { self.under(self.primary) };
        SliceEntry { policy, ..next }
    }

    /// The next epoch after the primary failed: without it among the members, where enough remain.
    #[must_use]
    pub fn succeeded_by(&self, primary: ReplicaId) -> SliceEntry {
        let mut next = self.under(primary);
        if self.primary != primary && self.members.len() as u32 > self.policy.min_in_sync {
            next.members.retain(|id| *id != self.primary);
        }
        next
    }

    /// The next epoch by an operator's force, under a replica that may lack acknowledged writes.
    #[must_use]
    pub fn forced_under(&self, primary: ReplicaId) -> SliceEntry {
        let next = self.under(primary);
        SliceEntry { members: vec![primary], forced: next.epoch, ..next }
    }

    /// Whether an entry may follow this one.
    ///
    /// # Errors
    /// `EntryError` names what breaks the law.
    pub fn check_next(&self, next: &SliceEntry) -> Result<(), EntryError> {
        if !next.is_member(next.primary) {
            return Err(EntryError::PrimaryOutside(next.primary));
        }
        for list in [&next.backups, &next.members] {
            if let Some(twice) = list.iter().enumerate().find(|(i, id)| list[..*i].contains(id)) {
                return Err(EntryError::Twice(*twice.1));
            }
        }
        if next.backups.contains(&next.primary) {
            return Err(EntryError::Twice(next.primary));
        }
        if next.epoch == self.epoch {
            if next.primary != self.primary || next.forced != self.forced {
                return Err(EntryError::SecondPrimary { epoch: self.epoch, primary: self.primary });
            }
            let same = next.policy.mode == self.policy.mode;
            return if same { Ok(()) } else { Err(EntryError::ModeChanges { epoch: self.epoch }) };
        }
        if next.epoch.0 != self.epoch.0 + 1 {
            return Err(EntryError::EpochJumps { epoch: self.epoch, next: next.epoch });
        }
        let by_force = next.forced == next.epoch && next.members == [next.primary];
        match next.members.iter().find(|id| !self.is_member(**id)) {
            Some(stranger) if !by_force => Err(EntryError::NotAMember(*stranger)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::StoreId;

    fn id(node: u64) -> ReplicaId {
        ReplicaId { node: NodeId(node), store: StoreId(1) }
    }

    fn entry(min_in_sync: u32) -> SliceEntry {
        SliceEntry {
            epoch: Epoch(4),
            primary: id(1),
            backups: vec![id(2), id(3)],
            members: vec![id(1), id(2)],
            policy: Policy { mode: Mode::Sync, min_in_sync },
            forced: Epoch(0),
        }
    }

    #[test]
    fn a_failed_primary_stays_a_backup_and_a_member_only_where_too_few_would_remain() {
        let next = entry(1).succeeded_by(id(2));
        assert_eq!((next.epoch, next.primary, &next.members[..]), (Epoch(5), id(2), &[id(2)][..]));
        assert_eq!(next.backups, [id(1), id(3)]);
        assert_eq!(entry(1).check_next(&next), Ok(()));
        assert_eq!(entry(2).succeeded_by(id(2)).members, [id(1), id(2)]);
    }

    #[test]
    fn the_law_names_what_is_wrong() {
        let now = entry(1);
        let refused = |change: &dyn Fn(&mut SliceEntry)| {
            let mut next = now.clone();
            change(&mut next);
            now.check_next(&next).unwrap_err()
        };
        assert_eq!(refused(&|next| next.members = vec![id(2)]), EntryError::PrimaryOutside(id(1)));
        assert_eq!(refused(&|next| next.backups.push(id(1))), EntryError::Twice(id(1)));
        assert_eq!(refused(&|next| next.members.push(id(2))), EntryError::Twice(id(2)));
        assert_eq!(refused(&|next| next.primary = id(2)), EntryError::Twice(id(2)));
        let second = |next: &mut SliceEntry| (next.primary, next.backups) = (id(2), vec![id(1), id(3)]);
        assert!(matches!(refused(&second), EntryError::SecondPrimary { .. }));
        assert!(matches!(refused(&|next| next.epoch = Epoch(6)), EntryError::EpochJumps { .. }));
        assert_eq!(now.check_next(&now.under(id(3))), Err(EntryError::PrimaryOutside(id(3))));
        let mut stranger = now.under(id(2));
        stranger.members.push(id(3));
        assert_eq!(now.check_next(&stranger), Err(EntryError::NotAMember(id(3))));
        assert_eq!(now.check_next(&now.forced_under(id(3))), Ok(()));
    }

    #[test]
    fn a_wiped_disk_and_its_successor_are_one_node() {
        let mut wiped = entry(1);
        wiped.backups.push(ReplicaId { node: NodeId(1), store: StoreId(2) });
        assert_eq!(wiped.nodes(), [NodeId(1), NodeId(2), NodeId(3)]);
    }

    #[test]
    fn another_mode_is_another_epoch_of_the_same_primary() {
        let (now, mode) = (entry(1), Mode::Async { lag_records_max: 5 });
        let policy = Policy { mode, min_in_sync: 2 };
        let next = now.with_policy(policy);
        assert_eq!((now.check_next(&next), next.epoch, next.primary, next.policy), (Ok(()), Epoch(5), id(1), policy));
        assert_eq!((&next.backups, &next.members), (&now.backups, &now.members));
        let sneaked = SliceEntry { policy, ..now.clone() };
        assert_eq!(now.check_next(&sneaked), Err(EntryError::ModeChanges { epoch: Epoch(4) }));
        let fewer = now.with_policy(Policy { min_in_sync: 2, ..now.policy });
        assert_eq!((now.check_next(&fewer), fewer.epoch), (Ok(()), Epoch(4)));
    }

    #[test]
    fn one_that_leaves_is_still_named() {
        let mut leaving = entry(1);
        leaving.backups = vec![id(3)];
        assert_eq!(leaving.everyone().collect::<Vec<_>>(), [id(1), id(3), id(2)]);
        assert!(leaving.has(id(2)) && !leaving.keeps(id(2)));
        assert_eq!(leaving.under(id(3)).backups, [id(1)]);
    }
}
