//! A slice's replicas: a primary that no manager hears any more is succeeded, those of wiped stores are replaced, and a target is
//! approached by one swap at a time.
//!
//! ```text
//!   add backups of the target ──> they are members ──> hand over to its first ──> remove who is not of it ──> target gone
//! ```
//! Promises: within an epoch, never the members: the primary changes those; the next epoch is begun only under a member,
//! or under the same primary in another mode. A
//! replica is removed only when all of the target are members. A target that names a node twice, or one which can't be had any
//! more, is given up. May not know who set it.

use super::{Manager, NodeState, Order, Seen, View, Wanted};
use crate::{Mutation, ReplicaId, SliceEntry};
use std::collections::BTreeSet;
use types::{NodeId, SliceId};

impl Manager {
    pub(super) fn tend_slices(&self, view: &View, out: &mut Vec<Wanted>) {
        for (slice, seen) in &view.slices {
            if let Some(next) = succeeded(view, &seen.value).or_else(|| replaced(view, &seen.value)) {
                out.push(Wanted::Slice { slice: *slice, expect: seen.revision, next });
            } else if let Some(target) = view.targets.get(slice) {
                self.approach(view, *slice, seen, target, out);
            }
        }
        self.follow_policy(view, out);
    }

    /// Slices whose primaries are there, and that rest, are brought in step with the fleet's policy, so many at a time: another
    /// mode is another epoch.
    fn follow_policy(&self, view: &View, out: &mut Vec<Wanted>) {
        let Some(policy) = view.policy else { return };
        let is_there = |id: ReplicaId| {
            view.replica(id.node) == Some(id) && view.nodes.get(&id.node).is_some_and(|node| node.value.state.is_there())
        };
        let rests = |slice: &SliceId, entry: &SliceEntry| {
            !view.targets.contains_key(slice) && replaced(view, entry).is_none() && is_there(entry.primary)
        };
        let lags = view.slices.iter().filter(|(slice, seen)| seen.value.policy != policy && rests(slice, &seen.value));
        out.extend(lags.take(self.settings.targets_max).map(|(slice, seen)| Wanted::Slice {
            slice: *slice,
            expect: seen.revision,
            next: seen.value.with_policy(policy),
        }));
    }

    fn approach(&self, view: &View, slice: SliceId, seen: &Seen<SliceEntry>, target: &Seen<Vec<NodeId>>, out: &mut Vec<Wanted>) {
        let entry = &seen.value;
        let distinct: BTreeSet<NodeId> = target.value.iter().copied().collect();
        let wanted: Vec<ReplicaId> = target.value.iter().filter_map(|node| view.replica(*node)).collect();
        let can_be_had = |id: &ReplicaId| {
            let node = view.nodes.get(&id.node).map(|seen| &seen.value);
            node.is_some_and(|node| !node.drains && (node.state.is_there() || entry.keeps(*id) && node.state != NodeState::Down))
        };
        let Some(first) = wanted.first().copied() else {
            return out.push(Wanted::Target { slice, expect: Some(target.revision), next: None });
        };
        if wanted.len() < target.value.len() || distinct.len() < wanted.len() || !wanted.iter().all(can_be_had) {
            return out.push(Wanted::Target { slice, expect: Some(target.revision), next: None });
        }
        let swap = |backups: Vec<ReplicaId>| {
            let next = SliceEntry { backups, ..entry.clone() };
            Wanted::Slice { slice, expect: seen.revision, next }
        };
        let missing: Vec<ReplicaId> = wanted.iter().copied().filter(|id| !entry.keeps(*id)).collect();
        if !missing.is_empty() {
            return out.push(swap(entry.backups.iter().copied().chain(missing).collect()));
        }
        if !wanted.iter().all(|id| entry.is_member(*id)) && !self.settings.planted.has(Mutation::SourceDeletedEarly) {
            return;
        }
        if entry.primary != first {
            let order = Order::HandOver { slice, primary: entry.primary, to: first };
            return out.push(Wanted::Order { order, decided_on: seen.revision });
        }
        if entry.backups.iter().all(|id| wanted.contains(id)) {
            return out.push(Wanted::Target { slice, expect: Some(target.revision), next: None });
        }
        out.push(swap(entry.backups.iter().copied().filter(|id| wanted.contains(id)).collect()));
    }
}

/// The entry under a member that is there, where the primary's node is down: its members may still hear it, and then succeed it
/// never, while schedulers reach it as little as managers do. That it still runs is no danger: a successor waits until its own
/// promise to it is over. It stays a member: whether it can't be heard is for its successor to say, and it may outlive that one.
fn succeeded(view: &View, entry: &SliceEntry) -> Option<SliceEntry> {
    let state =
        |id: &ReplicaId| view.nodes.get(&id.node).filter(|seen| seen.value.store == id.store).map(|seen| seen.value.state);
    let can = |id: &&ReplicaId| entry.is_member(**id) && state(id).is_some_and(NodeState::is_there);
    let down = state(&entry.primary) == Some(NodeState::Down);
    entry.backups.iter().filter(|_| down).find(can).map(|id| entry.under(*id))
}

/// The entry with the stores that nodes have now, where it names older ones among the backups.
fn replaced(view: &View, entry: &SliceEntry) -> Option<SliceEntry> {
    let mut backups: Vec<ReplicaId> = Vec::with_capacity(entry.backups.len());
    for id in &entry.backups {
        let now = view.replica(id.node).unwrap_or(*id);
        let known = now != *id && (entry.has(now) || backups.contains(&now));
        if !known {
            backups.push(now);
        }
    }
    (backups != entry.backups).then(|| SliceEntry { backups, ..entry.clone() })
}
