//! A sketch of slices' replicas: what the real ones do to their entries, without records.
//!
//! A primary drops members that are dead for a while or not to stay, and takes in replicas that have copied long enough; a
//! member succeeds a primary that is dead for a while; an order is carried out where its successor is a member.

use super::fleet::Fleet;
use protocol::{ReplicaId, SliceEntry};
use types::SliceId;

/// A dead member is dropped after so long, a dead primary succeeded after more.
const SILENCE_US: u64 = 250_000;
const PROMISE_US: u64 = 400_000;

/// How often replicas are looked at.
const STEP_US: u64 = 20_000;

impl Fleet {
    /// Whether a replica's store is where it was.
    pub(super) fn is_intact(&self, id: ReplicaId) -> bool {
        self.nodes.get(id.node.0 as usize).is_some_and(|node| node.is(id))
    }

    pub(super) fn is_up(&self, id: ReplicaId) -> bool {
        self.is_intact(id) && self.nodes[id.node.0 as usize].alive
    }

    fn is_silent(&self, id: ReplicaId, for_us: u64) -> bool {
        !self.is_up(id) && self.nodes.get(id.node.0 as usize).is_none_or(|node| self.now - node.since > for_us)
    }

    pub(super) fn step_replicas(&mut self) {
        if !self.meta.away.answers() {
            return;
        }
        let slices: Vec<(SliceId, SliceEntry)> = self.meta.view.slices.iter().map(|(s, seen)| (*s, seen.value.clone())).collect();
        for (slice, entry) in slices {
            let next = if self.is_up(entry.primary) { self.led(slice, &entry) } else { self.succeeded(&entry) };
            if let Some(next) = next.filter(|next| *next != entry) {
                self.change_slice(slice, next);
            }
        }
    }

    fn succeeded(&self, entry: &SliceEntry) -> Option<SliceEntry> {
        let next = entry.members.iter().find(|id| **id != entry.primary && self.is_up(**id))?;
        self.is_silent(entry.primary, PROMISE_US).then(|| entry.succeeded_by(*next))
    }

    fn led(&mut self, slice: SliceId, entry: &SliceEntry) -> Option<SliceEntry> {
        if let Some(to) = self.orders.remove(&slice)
            && entry.is_member(to)
            && entry.keeps(to)
            && self.is_up(to)
            && to != entry.primary
        {
            self.counts.handed_over += 1;
            return Some(entry.under(to));
        }
        let mut next = entry.clone();
        next.members.retain(|id| *id == entry.primary || (entry.keeps(*id) && !self.is_silent(*id, SILENCE_US)));
        for id in entry.backups.iter().copied().filter(|id| !entry.is_member(*id)) {
            if !self.is_up(id) {
                self.copying.remove(&(slice, id));
                continue;
            }
            let takes = 100_000 + u64::from(slice.0) * 30_000;
            let copied = self.copying.entry((slice, id)).or_default();
            *copied += STEP_US;
            if *copied > takes {
                self.copying.remove(&(slice, id));
                next.members.push(id);
            }
        }
        Some(next)
    }
}
