//! Epochs: the highest one seen is durable before anything is answered in it, and lower ones are refused.
//!
//! Promises: this process leads an epoch only if no process of this store has seen it before: so an epoch is one run.
//! Messages of a higher epoch wait until it is persisted; at most `HELD_MAX` do, the rest is sent again by whoever wants
//! an answer.

use super::event::{Action, Refusal};
use super::{Message, Scheduler, Step};
use crate::ReplicaId;
use types::Epoch;

/// How many messages wait for an epoch to be persisted.
const HELD_MAX: usize = 16;

/// An epoch that is being persisted.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    messages: Vec<(ReplicaId, Message)>,
}

impl Scheduler {
    /// The highest epoch seen, persisted or not yet.
    pub(crate) fn seen(&self) -> Epoch {
        self.held.as_ref().map_or(self.epoch, |held| held.epoch)
    }

    pub(crate) fn message(&mut self, step: &mut Step<'_>, from: ReplicaId, message: Message) {
        let epoch = message.epoch();
        match message {
            Message::Stale { epoch } if epoch > self.epoch => {
                self.step_down(step);
                self.meta.ask_soon(step.now);
            }
            Message::Stale { .. } => {}
            Message::Release { epoch } => self.released(step, epoch),
            // Answers: they matter only to whoever asked in this epoch, and still leads it.
            Message::Report(report) if epoch == self.epoch => self.report(step, from, &report),
            Message::Compare { asked, hashes, .. } if epoch == self.epoch => self.compare(step, from, asked, hashes),
            Message::Report(_) | Message::Compare { .. } => {}
            _ if epoch < self.seen() => step.send(from, Message::Stale { epoch: self.seen() }),
            message if epoch > self.epoch => self.hold(step, epoch, Some((from, message))),
            message => self.leader_says(step, from, message),
        }
    }

    /// Sees a higher epoch: whatever ran before is over, and nothing is answered until it is durable.
    pub(crate) fn hold(&mut self, step: &mut Step<'_>, epoch: Epoch, message: Option<(ReplicaId, Message)>) {
        self.abdicate(step);
        if self.held.as_ref().is_none_or(|held| held.epoch < epoch) {
            self.held = Some(Held { epoch, messages: Vec::new() });
            self.adopt = None;
            step.act(Action::PersistEpoch(epoch));
        }
        if let (Some(held), Some(message)) = (&mut self.held, message)
            && held.epoch == epoch
            && held.messages.len() < HELD_MAX
        {
            held.messages.push(message);
        }
    }

    pub(crate) fn epoch_persisted(&mut self, step: &mut Step<'_>, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
        self.following.forget_leader();
        self.reads.forget_pending();
        if self.held.as_ref().is_some_and(|held| held.epoch == epoch) {
            let messages = self.held.take().map(|held| held.messages).unwrap_or_default();
            for (from, message) in messages {
                self.message(step, from, message);
            }
        }
    }

    /// Leads no more, and says so, so that nobody waits for its lease.
    pub(crate) fn abdicate(&mut self, step: &mut Step<'_>) {
        let Some(leading) = &self.leading else { return };
        let others: Vec<ReplicaId> = leading.peers.iter().map(|peer| peer.id).collect();
        let epoch = self.epoch;
        self.step_down(step);
        others.into_iter().for_each(|to| step.send(to, Message::Release { epoch }));
    }

    /// Leads no more. What waits is answered as unknown.
    pub(crate) fn step_down(&mut self, step: &mut Step<'_>) {
        self.adopt = None;
        let Some(leading) = self.leading.take() else { return };
        let leader = self.known().map(|entry| entry.leader).filter(|id| *id != self.me);
        for request in leading.requests() {
            step.refuse(request, Refusal::NotLeader { leader });
        }
        self.following.forget_leader();
    }
}
