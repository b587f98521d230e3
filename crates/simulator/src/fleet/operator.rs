//! The operator: where no member is left, one is forced. In fleets without managers also a manager's chores: replicas on
//! wiped disks are replaced, added and removed. Watches are hinted.

use super::Fleet;
use super::happening::Happening;
use super::packet::Packet;
use protocol::{Policy, ReplicaId, SliceEntry};
use types::SliceId;

/// How often the operator looks.
const LOOK_US: u64 = 300_000;

impl Fleet {
    pub(super) fn operate(&mut self) {
        let slices = if self.meta.away.answers() { self.plan.slices.len() } else { 0 };
        for slice in 0..slices {
            if self.managers.is_empty() {
                self.replace_wiped(slice);
            }
            if self.calm {
                self.force_where_nobody_is_left(slice);
            }
            self.hint(SliceId(slice as u32));
        }
        self.queue.put(self.now + LOOK_US, Happening::Operator);
    }

    /// The store that a node has now, where it is not the one named.
    fn successor(&self, id: ReplicaId) -> Option<ReplicaId> {
        let now = self.nodes[id.node.0 as usize].me();
        (now != id).then_some(now)
    }

    fn replace_wiped(&mut self, slice: usize) {
        let entry = &self.meta.get(slice).value;
        let mut next = entry.clone();
        next.backups.clear();
        for id in &entry.backups {
            let now = self.successor(*id).unwrap_or(*id);
            if now == *id || !(entry.has(now) || next.backups.contains(&now)) {
                next.backups.push(now);
            }
        }
        if next != *entry {
            self.change(slice, next);
        }
    }

    fn force_where_nobody_is_left(&mut self, slice: usize) {
        let entry = self.meta.get(slice).value.clone();
        if entry.members.iter().any(|id| self.successor(*id).is_none()) {
            return;
        }
        let candidates = entry.everyone().filter(|id| self.successor(*id).is_none());
        let best = candidates.max_by_key(|id| self.replica(SliceId(slice as u32), *id).map(|replica| replica.history().last()));
        // Not even a backup is left: begin with nothing, on the primary's node.
        let best = best.or_else(|| self.successor(entry.primary).filter(|id| !self.nodes[id.node.0 as usize].gone));
        let best = best.or_else(|| self.nodes.iter().find(|node| !node.gone).map(super::node::Node::me));
        if let Some(best) = best {
            self.force(slice, best);
        }
    }

    pub(super) fn force(&mut self, slice: usize, to: ReplicaId) {
        self.checker.force(SliceId(slice as u32));
        let next = self.meta.get(slice).value.forced_under(to);
        self.change(slice, next);
    }

    /// Changes an entry as a manager does: what stands there now is what it compares with.
    pub(super) fn change(&mut self, slice: usize, next: SliceEntry) {
        let revision = self.meta.get(slice).revision;
        self.note(|| format!("manager: slice {slice} becomes {next:?}"));
        match self.meta.swap(SliceId(slice as u32), revision, next) {
            Ok(_) => self.hint(SliceId(slice as u32)),
            Err(error) => self.checker.complain(format!("slice {slice}: the manager broke the law: {error}")),
        }
    }

    pub(super) fn add_replica(&mut self, slice: usize, nth: usize) {
        let entry = &self.meta.get(slice).value;
        let free: Vec<ReplicaId> = self.nodes.iter().map(super::node::Node::me).filter(|id| !entry.has(*id)).collect();
        let taken = |id: &ReplicaId| entry.everyone().any(|other| other.node == id.node);
        if let Some(id) = free.into_iter().filter(|id| !taken(id)).nth(nth) {
            let mut next = entry.clone();
            next.backups.push(id);
            self.change(slice, next);
        }
    }

    /// Removes the nth backup, where enough remain; says which it was.
    pub(super) fn remove_replica(&mut self, slice: usize, nth: usize) -> Option<ReplicaId> {
        let mut next = self.meta.get(slice).value.clone();
        let id = *next.backups.get(nth)?;
        if next.backups.len() < next.policy.min_in_sync as usize {
            return None;
        }
        next.backups.retain(|other| *other != id);
        self.change(slice, next);
        Some(id)
    }

    pub(super) fn set_policy(&mut self, slice: usize, policy: Policy) {
        let entry = &self.meta.get(slice).value;
        let next = entry.with_policy(policy);
        if next.epoch > entry.epoch {
            self.checker.change_mode(SliceId(slice as u32), next.epoch, policy.mode);
        }
        self.change(slice, next);
    }

    pub(super) fn switch_over(&mut self, slice: usize, nth: usize) {
        let entry = &self.meta.get(slice).value;
        let others: Vec<ReplicaId> = entry.members.iter().copied().filter(|id| *id != entry.primary).collect();
        let (to, primary) = (others.get(nth).copied(), entry.primary.node.0 as usize);
        if let Some(to) = to {
            let meta = self.meta_place();
            self.send(meta, primary, Packet::HandOver { slice: SliceId(slice as u32), to });
        }
    }
}
