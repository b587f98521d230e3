//! The moment of commitment: one swap says what is committed and which schedulers hold it.
//!
//! Promises: whoever is Normal after the swap has everything that it commits, durably; they are more than half of the
//! registered ones; one that joins has promised not to lead before the swap is sent; who is removed has no lease when the
//! next answer is given.

use super::{Scheduler, Step, TagEntry};
use crate::ReplicaId;
use types::Sequence;

impl Scheduler {
    pub(crate) fn settle_commit(&mut self, step: &mut Step<'_>) {
        let (Some(_), Some(known)) = (&self.leading, &self.meta.known) else { return };
        if self.meta.pending.is_some() || known.entry.epoch != self.epoch {
            return;
        }
        let Some(next) = self.next_entry(step, &known.entry) else { return };
        let promise_us = self.settings.promise_us;
        if let Some(leading) = &mut self.leading {
            let removed = leading.peers.iter().filter(|peer| !next.is_normal(peer.id));
            let lapse = removed.filter_map(|peer| peer.granted).max().map(|granted| granted.after(promise_us));
            leading.answers_after = leading.answers_after.max(lapse.unwrap_or_default());
        }
        self.propose(step, next);
    }

    /// What may be committed now, and by whom it is held; none where nothing changes.
    fn next_entry(&self, step: &Step<'_>, entry: &TagEntry) -> Option<TagEntry> {
        let (leading, now) = (self.leading.as_ref()?, step.now);
        let mut normal: Vec<(ReplicaId, Sequence)> = Vec::new();
        for id in entry.normal.iter().copied().filter(|id| entry.is_registered(*id)) {
            let peer = leading.peers.iter().find(|peer| peer.id == id);
            let durable = if id == self.me { Some(self.chain.durable) } else { None };
            // A Normal scheduler holds what is committed, also before it was heard in this epoch.
            let held = |persisted: Option<Sequence>| persisted.unwrap_or_default().max(entry.committed.sequence);
            match (durable, peer) {
                (Some(durable), _) => normal.push((id, durable)),
                (None, Some(peer)) if !peer.is_silent(now, &self.settings) => normal.push((id, held(peer.persisted))),
                _ => {}
            }
        }
        let reach = normal.iter().map(|(_, persisted)| *persisted).min()?;
        for peer in leading.peers.iter().filter(|peer| entry.is_registered(peer.id) && !entry.is_normal(peer.id)) {
            let well = !peer.is_silent(now, &self.settings) && peer.promises(now, &self.settings);
            if let Some(persisted) = peer.persisted.filter(|persisted| well && *persisted >= reach) {
                normal.push((peer.id, persisted));
            }
        }
        if !entry.is_majority(normal.len()) {
            // Nothing is committed, and nobody is removed, until more than half are there again.
            return None;
        }
        let sequence = normal.iter().map(|(_, persisted)| *persisted).min()?;
        let committed = if sequence > entry.committed.sequence { self.chain.at(sequence)? } else { entry.committed };
        let normal: Vec<ReplicaId> = normal.into_iter().map(|(id, _)| id).collect();
        let next = TagEntry { committed, normal, ..entry.clone() };
        (next != *entry).then_some(next)
    }
}
