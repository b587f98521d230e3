//! Epochs: the highest one seen is durable before anything is answered in it, and lower ones are refused.
//!
//! Promises: this process runs an epoch only if no process of this store has seen it before: so an epoch
//! is one run. Messages of a higher epoch wait until it is persisted; at most `HELD_MAX` do, the rest is
//! sent again by whoever wants an answer.

use super::{Replica, Step};
use crate::event::{Action, Refusal};
use crate::{Answer, Message, Mutation, ReplicaId};
use types::Epoch;

/// How many messages wait for an epoch to be persisted.
const HELD_MAX: usize = 16;

/// An epoch that is being persisted.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    messages: Vec<(ReplicaId, Message)>,
}

impl Replica {
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
            message if message.is_primarys() => {
                if epoch < self.seen() {
                    step.send(from, Message::Stale { epoch: self.seen() });
                } else if epoch > self.epoch {
                    self.hold(step, epoch, Some((from, message)));
                } else {
                    self.primary_says(step, from, message);
                }
            }
            // Answers: they matter only to whoever asked in this epoch, and still runs it.
            message if epoch == self.epoch && self.held.is_none() => match message {
                Message::Report(report) => self.report(step, from, report),
                Message::Tail { history, .. } => self.tail(from, history),
                Message::Fetched { after, records, .. } => self.fetched(step, from, after, records),
                _ => {}
            },
            _ => {}
        }
    }

    /// Sees a higher epoch: whatever ran before is over, and nothing is answered until it is durable.
    pub(crate) fn hold(&mut self, step: &mut Step<'_>, epoch: Epoch, message: Option<(ReplicaId, Message)>) {
        let over = self.epoch;
        let ran = self.primary.is_some();
        self.step_down(step);
        if let (true, Some((from, _))) = (ran, &message) {
            step.send(*from, Message::Release { epoch: over });
        }
        let already = self.held.as_ref().is_some_and(|held| held.epoch >= epoch);
        if !already {
            self.held = Some(Held { epoch, messages: Vec::new() });
            self.adopt = None;
            if self.settings.has(Mutation::EpochNotPersisted) {
                self.held.as_mut().expect("set just above").messages.extend(message);
                return self.epoch_persisted(step, epoch);
            }
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
        self.freshness.forget_pending();
        if self.held.as_ref().is_some_and(|held| held.epoch == epoch) {
            let messages = self.held.take().map(|held| held.messages).unwrap_or_default();
            for (from, message) in messages {
                self.message(step, from, message);
            }
        }
    }

    /// Ends the primary's run, or its start. What waits is answered as unknown.
    pub(crate) fn step_down(&mut self, step: &mut Step<'_>) {
        self.starting = None;
        self.adopt = None;
        let Some(primary) = self.primary.take() else { return };
        let known = self.meta.known.as_ref().map(|known| known.entry.primary).filter(|id| *id != self.me);
        for (_, request) in primary.waiting {
            step.act(Action::Answer { request, answer: Answer::Refused(Refusal::NotPrimary { primary: known }) });
        }
        for peer in primary.peers.iter().filter(|peer| peer.pinned) {
            step.act(Action::Unpin { peer: peer.id });
        }
        self.following.forget_leader();
    }
}
