//! What a replica's machine does about its entry, and its one swap that is under way.
//!
//! Promises: those of `meta_view`; a higher epoch is held until it is persisted. May not know how meta is reached.

use super::{Replica, Step};
use crate::event::{Action, Swapped};
use crate::meta_view::{Known, Pending};
use crate::{Message, SliceEntry};
use types::{Epoch, Revision};

impl Replica {
    /// Sends a swap; none may be under way.
    pub(crate) fn propose(&mut self, step: &mut Step<'_>, next: SliceEntry) {
        let known = self.meta.known.as_ref().expect("who proposes knows what it changes");
        assert!(self.meta.pending.is_none(), "one swap at a time");
        let expect = known.revision;
        step.act(Action::Swap { expect, next: next.clone() });
        self.meta.paused = false;
        self.meta.pending = Some(Pending { expect, next, again_at: step.now.after(self.settings.meta_retry_us) });
    }

    pub(crate) fn swapped(&mut self, step: &mut Step<'_>, expect: Revision, outcome: Swapped) {
        match outcome {
            Swapped::Done(revision) => {
                if let Some(pending) = self.meta.pending.take_if(|pending| pending.expect == expect) {
                    self.entry(step, pending.next, revision, None);
                } else {
                    self.meta.ask_soon(step.now);
                }
            }
            Swapped::Conflict { entry, revision } => self.entry(step, entry, revision, None),
            Swapped::InDoubt => {}
        }
    }

    /// News of the entry.
    pub(crate) fn entry(&mut self, step: &mut Step<'_>, entry: SliceEntry, revision: Revision, seen: Option<Epoch>) {
        if let Some(seen) = seen.filter(|seen| entry.epoch < *seen) {
            return step.act(Action::MetaIsOld { entry: entry.epoch, seen });
        }
        if self.meta.known.as_ref().is_some_and(|known| known.revision >= revision) {
            return;
        }
        self.meta.pending.take_if(|pending| pending.expect < revision);
        let (epoch, primary) = (entry.epoch, entry.primary);
        let outside = !entry.has(self.me);
        self.meta.known = Some(Known { entry, revision });
        if epoch > self.seen() {
            let (over, ran) = (self.epoch, self.primary.is_some());
            self.hold(step, epoch, None);
            if ran && primary != self.me {
                step.send(primary, Message::Release { epoch: over });
            }
            self.following.wait_for_successor(step.now.after(self.settings.promise_us));
            // No process of this store has seen the epoch, so this one may run it.
            self.adopt = (primary == self.me).then_some(epoch);
        } else if outside {
            self.step_down(step);
        } else if epoch == self.epoch {
            self.refresh_peers(step);
        }
    }

    pub(crate) fn settle_meta(&mut self, step: &mut Step<'_>) {
        // A backup whose primary is heard again lets its own swap lie; it is settled when it is next needed.
        self.meta.paused = self.primary.is_none() && step.now < self.succeeds_at();
        let pause = self.settings.meta_retry_us;
        if let Some(pending) = self.meta.pending.as_mut().filter(|pending| pending.again_at <= step.now)
            && !self.meta.paused
        {
            pending.again_at = step.now.after(pause);
            step.out.push(Action::Swap { expect: pending.expect, next: pending.next.clone() });
        }
        if self.meta.read_at <= step.now {
            self.meta.read_at = step.now.after(self.settings.meta_poll_us);
            self.meta.pause_until = step.now.after(pause);
            step.act(Action::ReadMeta { seen: self.epoch });
        }
    }
}
