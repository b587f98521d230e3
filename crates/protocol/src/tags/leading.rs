//! A scheduler that leads: changes become batches, batches go out, what is committed is answered.
//!
//! Promises: it leads only what it begins at the point that meta says is committed; a batch is chained once and never
//! changed in an epoch; when too much waits, more is refused. Nothing is answered before the leases that an earlier leader
//! gave have ended.

use super::event::{Action, Refusal};
use super::message::{Head, Lease};
use super::parts::Table;
use super::peer::{Peer, Phase};
use super::{Batch, Change, Message, Point, Scheduler, Step};
use crate::{Moment, Mutation, ReplicaId, RequestId};
use std::collections::VecDeque;
use types::Sequence;

/// A leader's state.
#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) begin: Point,
    pub(crate) peers: Vec<Peer>,
    /// Leases that others gave, or that removed schedulers have, end by then.
    pub(crate) answers_after: Moment,
    pub(crate) beat_at: Moment,
    gathering: VecDeque<(RequestId, Change)>,
    /// Requests by their batches.
    pub(crate) waiting: VecDeque<(Sequence, RequestId)>,
}

impl Leading {
    /// All that wait.
    pub(crate) fn requests(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.waiting.iter().map(|(_, request)| *request).chain(self.gathering.iter().map(|(request, _)| *request))
    }
}

impl Scheduler {
    /// Begins the epoch that the entry gave to this process, once it is persisted and the store is free.
    pub(crate) fn settle_adoption(&mut self, step: &mut Step<'_>) {
        if self.adopt != Some(self.epoch) || self.held.is_some() || self.cutting || self.table != Table::Whole {
            return;
        }
        let Some(entry) = self.known().filter(|entry| entry.epoch == self.epoch) else { return };
        if !entry.is_registered(self.me) {
            self.adopt = None;
            return;
        }
        let held = self.chain.at(entry.committed.sequence).filter(|_| self.chain.contains(entry.committed));
        let planted = self.settings.has(Mutation::LeaderFromOutside);
        assert!(held.is_some() || planted, "{} leads, but lacks what is committed", self.me);
        let begin = held.unwrap_or_else(|| self.chain.tail());
        // What was prepared behind it is lost: the swap that made this epoch showed it.
        self.cut(step, begin);
        if self.cutting {
            return;
        }
        self.adopt = None;
        self.following.forget_leader();
        self.leading = Some(Leading {
            begin,
            peers: Vec::new(),
            answers_after: step.now.after(self.settings.promise_us),
            beat_at: step.now,
            gathering: VecDeque::new(),
            waiting: VecDeque::new(),
        });
        self.refresh_peers(step);
        step.act(Action::Began { epoch: self.epoch });
    }

    /// The entry changed: whom the leader speaks to follows it.
    pub(crate) fn refresh_peers(&mut self, step: &mut Step<'_>) {
        let (Some(leading), Some(known)) = (&mut self.leading, &self.meta.known) else { return };
        let entry = &known.entry;
        let others = |id: ReplicaId| id != self.me && (entry.is_registered(id) || entry.is_normal(id));
        leading.peers.retain(|peer| others(peer.id));
        for id in entry.registered.iter().chain(&entry.normal).copied().filter(|id| others(*id)) {
            if leading.peers.iter().all(|peer| peer.id != id) {
                leading.peers.push(Peer::new(id, step.now));
            }
        }
        // What is committed is told at once: everybody applies it.
        leading.beat_at = step.now;
    }

    pub(crate) fn change(&mut self, step: &mut Step<'_>, request: RequestId, change: Change) {
        let leader = self.known().map(|entry| entry.leader).filter(|id| *id != self.me);
        let Some(leading) = &mut self.leading else { return step.refuse(request, Refusal::NotLeader { leader }) };
        if leading.gathering.len() + leading.waiting.len() >= self.settings.waiting_max {
            return step.refuse(request, Refusal::Busy);
        }
        leading.gathering.push_back((request, change));
    }

    pub(crate) fn settle_leading(&mut self, step: &mut Step<'_>) {
        self.settle_batches(step);
        self.settle_commit(step);
        self.settle_answers(step);
        self.beat(step);
    }

    /// Chains what has gathered, as long as not too much is under way.
    fn settle_batches(&mut self, step: &mut Step<'_>) {
        loop {
            let Some(leading) = &mut self.leading else { return };
            let under_way = self.chain.tail().sequence.0 - self.committed.sequence.0;
            if leading.gathering.is_empty() || under_way >= self.settings.batches_under_way_max {
                return;
            }
            let sequence = Sequence(self.chain.tail().sequence.0 + 1);
            let (mut changes, mut bytes) = (Vec::new(), 0);
            while changes.len() < self.settings.batch_changes_max
                && bytes < self.settings.message_bytes_max
                && let Some((request, change)) = leading.gathering.pop_front()
            {
                bytes += change.body.len() as u64 + 32;
                changes.push(change);
                leading.waiting.push_back((sequence, request));
            }
            let batch = Batch::after(self.chain.tail(), self.epoch, changes);
            self.chain.push(batch.clone());
            step.act(Action::Log(vec![batch]));
            self.pump_all(step);
        }
    }

    /// Answers what may be answered now: committed, and applied by whoever may answer readers.
    fn settle_answers(&mut self, step: &mut Step<'_>) {
        let bound = self.applied_by_all();
        let Some(leading) = self.leading.as_mut().filter(|leading| step.now >= leading.answers_after) else { return };
        while let Some((sequence, request)) = leading.waiting.pop_front_if(|(sequence, _)| *sequence <= bound) {
            step.act(Action::Answer { request, answer: super::Answer::Done { sequence } });
        }
    }

    /// The last batch that this scheduler and all others that are, or may be, Normal have applied.
    fn applied_by_all(&self) -> Sequence {
        let (Some(leading), Some(known)) = (&self.leading, &self.meta.known) else { return Sequence(0) };
        let next = self.meta.pending.iter().flat_map(|pending| &pending.next.normal);
        let required: Vec<ReplicaId> = known.entry.normal.iter().chain(next).copied().collect();
        let applied = |peer: &Peer| if required.contains(&peer.id) { peer.applied } else { Sequence(u64::MAX) };
        leading.peers.iter().map(applied).fold(self.chain.applied.min(self.committed.sequence), Sequence::min)
    }

    /// Until when nobody else can lead: everybody who is, or may be, Normal has promised not to.
    pub(crate) fn lease_until(&self) -> Moment {
        let (Some(leading), Some(known)) = (&self.leading, &self.meta.known) else { return Moment::default() };
        let next = self.meta.pending.iter().flat_map(|pending| &pending.next.normal);
        let others = known.entry.normal.iter().chain(next).filter(|id| **id != self.me);
        let until = others.map(|id| {
            let peer = leading.peers.iter().find(|peer| peer.id == *id);
            peer.and_then(|peer| peer.promises_until(&self.settings)).unwrap_or_default()
        });
        until.min().unwrap_or(Moment::NEVER)
    }

    pub(crate) fn has_lease(&self, now: Moment) -> bool {
        now < self.lease_until()
    }

    /// What a message to a scheduler begins with, as long as this one leads.
    pub(crate) fn head_for(&mut self, now: Moment, to: ReplicaId) -> Option<Head> {
        let lease = self.has_lease(now);
        let normal = self.known().is_some_and(|entry| entry.is_normal(to));
        // One that a swap in doubt may have removed gets no lease any more.
        let stays = self.meta.pending.as_ref().is_none_or(|pending| pending.next.is_normal(to));
        let (epoch, committed) = (self.epoch, self.committed);
        let leading = self.leading.as_mut()?;
        let peer = leading.peers.iter_mut().find(|peer| peer.id == to)?;
        let theirs = peer.theirs.filter(|_| lease && normal && stays);
        if theirs.is_some() {
            peer.granted = Some(now);
        }
        let lease = theirs.map(|(run, echo)| Lease { run, echo, sequence: committed.sequence });
        Some(Head { epoch, stamp: now, begin: leading.begin, committed, lease })
    }

    fn beat(&mut self, step: &mut Step<'_>) {
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.beat_at <= step.now) else { return };
        leading.beat_at = step.now.after(self.settings.beat_us);
        let peers: Vec<(ReplicaId, Phase)> = leading.peers.iter().map(|peer| (peer.id, peer.phase)).collect();
        for (to, phase) in peers {
            let Some(head) = self.head_for(step.now, to) else { continue };
            let prev = match phase {
                Phase::Unknown => Some(self.chain.tail()),
                Phase::Streaming { sent } => self.chain.at(sent),
                Phase::Behind => None,
            };
            step.send(
                to,
                match prev {
                    Some(prev) => Message::Append { head, prev, batches: Vec::new() },
                    None => Message::Behind { head },
                },
            );
        }
    }
}
