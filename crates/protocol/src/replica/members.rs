//! Who counts: members that fail are swapped out, replicas that caught up are swapped in, and a planned
//! switch-over hands the epoch on.
//!
//! Promises: no fewer than `min_in_sync` members remain; a joiner has all that is stable, and its promise
//! counts, before its swap is sent; a switch-over sends its swap only when the successor has every record,
//! and serves nothing from then on until the swap is settled.

use super::peer::{Peer, Phase};
use super::primary::Handing;
use super::{Replica, Step};
use crate::event::Action;
use crate::{Moment, ReplicaId};

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

    /// How few members must remain, where a primary hears fewer: it can go on without none of those that it does not hear, and so
    /// vouches for nothing. None where that is not what is wrong.
    #[must_use]
    pub fn lacks_members(&self, now: Moment) -> Option<u32> {
        let (primary, known) = (self.primary.as_ref()?, self.meta.known.as_ref()?);
        let is_heard = |id: ReplicaId| {
            id == self.me || primary.peers.iter().any(|peer| peer.id == id && !peer.is_silent(now, &self.settings))
        };
        let (heard, least) = (known.entry.members.iter().filter(|id| is_heard(**id)).count(), known.entry.policy.min_in_sync);
        ((heard as u32) < least).then_some(least)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, History, Message, Mode, Policy, Recovered, Run, Settings, SliceEntry};
    use types::{Epoch, NodeId, Revision, StoreId};

    #[test]
    fn a_primary_tells_that_fewer_members_are_heard_than_must_remain() {
        let id = |node: u64| ReplicaId { node: NodeId(node), store: StoreId(1) };
        for (min_in_sync, lacks) in [(1, None), (2, Some(2))] {
            let settings = Settings::default();
            let silent = Moment(3).after(settings.silence_us + 1);
            let mut replica = Replica::open(id(1), Run(1), settings, Recovered::default(), Moment(0));
            let (primary, backups, members) = (id(1), vec![id(2)], vec![id(1), id(2)]);
            let policy = Policy { mode: Mode::Sync, min_in_sync };
            let entry = SliceEntry { epoch: Epoch(4), primary, backups, members, policy, forced: Epoch(0) };
            let mut out = Vec::new();
            replica.step(Moment(1), Event::Entry { entry, revision: Revision(1), seen: None }, &mut out);
            assert_eq!(replica.lacks_members(silent), None, "it does not lead yet");
            replica.step(Moment(2), Event::EpochPersisted(Epoch(4)), &mut out);
            let message = Message::Tail { epoch: Epoch(4), history: History::default() };
            replica.step(Moment(3), Event::Message { from: id(2), message }, &mut out);
            assert!(replica.is_primary(), "{out:?}");
            assert_eq!(replica.lacks_members(Moment(4)), None, "the other one may yet answer");
            assert_eq!(replica.lacks_members(silent), lacks, "min_in_sync = {min_in_sync}");
        }
    }
}
