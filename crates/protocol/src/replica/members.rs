//! Who counts: members that fail are swapped out, replicas that caught up are swapped in, and a planned
//! switch-over hands the epoch on.
//!
//! Promises: no fewer than `min_in_sync` members remain; a joiner has all that is stable, and its promise
//! counts, before its swap is sent; a switch-over sends its swap only when the successor has every record,
//! and serves nothing from then on until the swap is settled.

use super::peer::{Peer, Phase};
use super::primary::Handing;
use super::{Replica, Step};
use crate::ReplicaId;
use crate::event::Action;

/// A pin is let go when its replica was silent for so many times `silence_us`.
const PIN_PATIENCE: u64 = 10;

impl Replica {
    /// Replicas that nearly caught up begin to count; those that fell silent before they were sent, cease to.
    pub(crate) fn settle_joining(&mut self, step: &mut Step<'_>) {
        let (now, last) = (step.now, self.log.last().sequence);
        let (Some(primary), Some(known)) = (&mut self.primary, &self.meta.known) else { return };
        for peer in primary.peers.iter_mut().filter(|peer| !known.entry.is_member(peer.id)) {
            let silent = peer.is_silent(now, &self.settings);
            let near = last.0 - peer.acked.0.min(last.0) <= self.settings.join_records_max;
            let well = peer.is_streaming() && !silent && known.entry.keeps(peer.id);
            // One that a swap in doubt may have made a member is required by the swap itself.
            peer.joining = well && (near || peer.joining);
            if peer.pinned && now.since(peer.heard) > PIN_PATIENCE * self.settings.silence_us {
                peer.pinned = false;
                peer.phase = Phase::Unaligned;
                step.act(Action::Unpin { peer: peer.id });
            }
        }
    }

    pub(crate) fn settle_members(&mut self, step: &mut Step<'_>) {
        let (Some(primary), Some(known)) = (&self.primary, &self.meta.known) else { return };
        if self.meta.pending.is_some() || primary.handing.as_ref().is_some_and(|handing| handing.released) {
            return;
        }
        let (now, entry) = (step.now, &known.entry);
        let promises = |peer: &Peer| peer.promised.is_some_and(|stamp| now < stamp.after(self.settings.lease_us));
        let joins =
            |peer: &&Peer| peer.joining && peer.acked >= self.log.stable.sequence && promises(peer) && !entry.is_member(peer.id);
        let mut members = entry.members.clone();
        members.extend(primary.peers.iter().filter(joins).map(|peer| peer.id));
        let least = entry.policy.min_in_sync.max(1) as usize;
        let fails = |id: ReplicaId| {
            let peer = primary.peers.iter().find(|peer| peer.id == id);
            id != self.me && (!entry.keeps(id) || peer.is_none_or(|peer| peer.is_silent(now, &self.settings)))
        };
        for id in &entry.members {
            if fails(*id) && members.len() > least {
                members.retain(|other| other != id);
            }
        }
        if members != entry.members {
            let mut next = entry.clone();
            next.members = members;
            self.propose(step, next);
        }
    }

    pub(crate) fn hand_over(&mut self, step: &mut Step<'_>, to: ReplicaId) {
        let until = step.now.after(self.settings.hand_over_us);
        if let Some(primary) = self.primary.as_mut().filter(|primary| primary.handing.is_none() && to != self.me) {
            primary.handing = Some(Handing { to, until, released: false });
        }
    }

    pub(crate) fn settle_handing(&mut self, step: &mut Step<'_>) {
        let (Some(primary), Some(known)) = (&mut self.primary, &self.meta.known) else { return };
        let Some(handing) = primary.handing.as_mut().filter(|handing| !handing.released) else { return };
        let (last, to) = (self.log.last().sequence, handing.to);
        let there = |peer: &Peer| peer.id == to && !peer.is_silent(step.now, &self.settings);
        let has_all = primary.peers.iter().any(|peer| there(peer) && peer.acked == last);
        let all_answered = self.log.stable.sequence == last && primary.waiting.is_empty();
        let well = known.entry.is_member(to) && known.entry.keeps(to);
        if !well || step.now >= handing.until {
            primary.handing = None;
        } else if has_all && all_answered && self.meta.pending.is_none() {
            handing.released = true;
            let next = known.entry.under(to);
            self.propose(step, next);
        }
    }
}
