//! What the machine knows of its entry, and its one swap that is under way.
//!
//! Promises: an entry never gives way to an older revision. A swap that was not answered is sent again,
//! unchanged, until it is answered or the entry has moved past the revision that it compares with: only
//! then is it out of doubt. At most one is under way. May not know how meta is reached.

use super::{Replica, Step};
use crate::event::{Action, Swapped};
use crate::{Message, Moment, ReplicaId, SliceEntry};
use types::{Epoch, Revision};

/// The entry as last known.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) entry: SliceEntry,
    pub(crate) revision: Revision,
}

/// A swap in doubt.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) expect: Revision,
    pub(crate) next: SliceEntry,
    again_at: Moment,
}

/// Meta, from here.
#[derive(Debug, Default)]
pub(crate) struct MetaView {
    pub(crate) known: Option<Known>,
    pub(crate) pending: Option<Pending>,
    /// When to read the entry next.
    read_at: Moment,
    /// Before which not even an urgent read is made.
    pause_until: Moment,
    /// Whether the wish of a swap still stands (a backup that hears its primary again lets it lie).
    paused: bool,
}

impl MetaView {
    /// The members as last known.
    pub(crate) fn members(&self) -> &[ReplicaId] {
        self.known.as_ref().map_or(&[], |known| &known.entry.members)
    }

    /// Wants news of the entry.
    pub(crate) fn ask_soon(&mut self, now: Moment) {
        self.read_at = self.read_at.min(now.max(self.pause_until));
    }

    /// Whether a swap is under way and still wanted.
    pub(crate) fn is_asking(&self) -> bool {
        self.pending.is_some() && !self.paused
    }

    pub(crate) fn wakes_at(&self) -> Moment {
        let again = self.pending.as_ref().filter(|_| !self.paused).map_or(Moment::NEVER, |pending| pending.again_at);
        self.read_at.min(again)
    }
}

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
