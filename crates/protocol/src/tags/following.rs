//! A scheduler that follows a leader: it logs batches in their order, unseen, applies what is committed, promises not to
//! lead, and leads when the promise has lapsed.
//!
//! Promises: batches behind the point where an epoch began, chained by an earlier leader, are dropped when a leader of
//! that epoch speaks, not before: its swap in meta showed them lost. A batch is logged only after its predecessor, by
//! hash. Who is not Normal, or lacks what the entry says is committed, does not seek to lead.

use super::event::Action;
use super::message::{Head, Report};
use super::parts::Table;
use super::{Batch, Message, Point, Scheduler, Step};
use crate::{Moment, Mutation, ReplicaId};
use types::{Epoch, Sequence};

/// Until when no other leader may count on this scheduler's silence.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) epoch: Epoch,
    pub(crate) until: Moment,
}

/// Whom it follows.
#[derive(Debug, Default)]
pub(crate) struct Following {
    pub(crate) leader: Option<ReplicaId>,
    /// The leader's stamp that the next report answers.
    stamp: Moment,
    /// Whether the chain holds nothing that the leader's does not.
    pub(crate) aligned: bool,
    /// Whoever the entry names as leader has until then to be heard.
    successor_until: Moment,
}

impl Following {
    pub(crate) fn forget_leader(&mut self) {
        self.leader = None;
        self.aligned = false;
        // Stamps of two leaders are of two clocks: an old one echoed would be a promise from the future.
        self.stamp = Moment::default();
    }

    pub(crate) fn wait_for_successor(&mut self, until: Moment) {
        self.successor_until = until;
    }
}

impl Scheduler {
    /// A leader's message in this scheduler's epoch.
    pub(crate) fn leader_says(&mut self, step: &mut Step<'_>, from: ReplicaId, message: Message) {
        assert!(self.leading.is_none(), "{from} and {} both lead epoch {}", self.me, self.epoch);
        match message {
            Message::Append { head, prev, batches } => {
                self.follow(step, from, &head);
                let gap = self.append(step, prev, batches);
                self.learn_committed(head.committed);
                self.answer_leader(step, gap);
            }
            Message::Behind { head } => {
                self.follow(step, from, &head);
                self.fall_behind(step, head.committed);
                self.answer_leader(step, false);
            }
            Message::Parts { head, asked, at, parts, complete } => {
                self.follow(step, from, &head);
                self.take_parts(step, asked, at, parts, complete);
                self.answer_leader(step, false);
            }
            _ => {}
        }
    }

    fn follow(&mut self, step: &mut Step<'_>, from: ReplicaId, head: &Head) {
        self.promise = Promise { epoch: head.epoch, until: step.now.after(self.settings.promise_us) };
        self.following.leader = Some(from);
        self.following.stamp = self.following.stamp.max(head.stamp);
        if let Some(lease) = head.lease.filter(|lease| lease.run == self.run) {
            self.reads.note(lease);
            // A table that rests is read under the leases that beats bring: nothing is applied that would settle them.
            self.reads.settle(self.chain.applied, self.settings.lease_us);
        }
        self.align(step, head.begin);
    }

    /// Gives up what an earlier leader prepared behind the point where this epoch began.
    fn align(&mut self, step: &mut Step<'_>, begin: Point) {
        if self.following.aligned || self.cutting || self.table != Table::Whole {
            return;
        }
        // A table beyond the begin was committed in this epoch: only what lies behind it is in question.
        let sure = self.chain.base();
        let from = if sure.sequence > begin.sequence { sure } else { begin };
        let keep = if self.chain.contains(from) {
            // Of this epoch itself there is one leader, which chains once.
            let of_epoch = self.chain.after(from.sequence).take_while(|batch| batch.epoch == self.epoch);
            of_epoch.last().map_or(from, |batch| batch.point)
        } else {
            // It was not Normal when the epoch began: only what it applied is sure.
            self.chain.at(self.chain.told).expect("what was applied last is at or behind the base")
        };
        self.following.aligned = true;
        self.cut(step, keep);
    }

    /// Ends the log at a point, where it goes on.
    pub(crate) fn cut(&mut self, step: &mut Step<'_>, keep: Point) {
        if keep.sequence < self.chain.tail().sequence {
            self.chain.cut(keep.sequence);
            self.cutting = true;
            step.act(Action::Cut { to: keep });
        }
    }

    pub(crate) fn cut_done(&mut self, step: &mut Step<'_>, _at: Point) {
        self.cutting = false;
        self.answer_leader(step, false);
    }

    /// Takes batches that follow the log; true where some are missing before them.
    fn append(&mut self, step: &mut Step<'_>, prev: Point, batches: Vec<Batch>) -> bool {
        if self.cutting || self.table != Table::Whole || !self.following.aligned {
            return false;
        }
        if !self.chain.contains(prev) {
            return true;
        }
        let tail = self.chain.tail().sequence;
        let fresh: Vec<Batch> = batches.into_iter().filter(|batch| batch.point.sequence > tail).collect();
        fresh.iter().for_each(|batch| self.chain.push(batch.clone()));
        if !fresh.is_empty() {
            step.act(Action::Log(fresh));
        }
        false
    }

    pub(crate) fn logged(&mut self, step: &mut Step<'_>, point: Point) {
        // What was cut meanwhile is not here any more.
        if self.chain.contains(point) {
            self.chain.durable = self.chain.durable.max(point.sequence);
        }
        self.answer_leader(step, false);
    }

    /// Somebody says what is committed: it counts here as far as the chain holds it.
    pub(crate) fn learn_committed(&mut self, committed: Point) {
        if committed.sequence > self.committed.sequence && self.table == Table::Whole && self.chain.contains(committed) {
            self.committed = self.chain.at(committed.sequence).unwrap_or(committed);
        }
    }

    /// Has applied what is committed and durable here.
    pub(crate) fn settle_committed(&mut self, step: &mut Step<'_>) {
        if let Some(point) = self.known().map(|entry| entry.committed) {
            self.learn_committed(point);
        }
        let up_to = self.committed.sequence.min(self.chain.durable);
        if self.table == Table::Whole && up_to > self.chain.told {
            self.chain.told = up_to;
            step.act(Action::Apply(up_to));
        }
    }

    pub(crate) fn applied(&mut self, step: &mut Step<'_>, sequence: Sequence) {
        self.chain.applied = self.chain.applied.max(sequence);
        self.chain.prune(self.settings.batches_kept_max, self.settings.batches_kept_bytes_max);
        self.reads.settle(self.chain.applied, self.settings.lease_us);
        self.answer_leader(step, false);
    }

    /// Tells the leader where this scheduler stands, and promises.
    pub(crate) fn answer_leader(&mut self, step: &mut Step<'_>, gap: bool) {
        let Some(leader) = self.following.leader.filter(|_| self.held.is_none()) else { return };
        let aligned = self.following.aligned && !self.cutting && self.table == Table::Whole;
        let tail = self.chain.at(self.chain.durable).unwrap_or_default();
        let report = Report {
            epoch: self.epoch,
            stamp: self.following.stamp,
            run: self.run,
            own: step.now,
            aligned,
            gap,
            tail,
            applied: self.chain.applied,
        };
        step.send(leader, Message::Report(report));
    }

    pub(crate) fn released(&mut self, step: &mut Step<'_>, epoch: Epoch) {
        if self.promise.epoch == epoch {
            self.promise.until = self.promise.until.min(step.now);
        }
    }

    /// When this scheduler may seek to lead: never, where it is not Normal or lacks what is committed.
    pub(crate) fn succeeds_at(&self) -> Moment {
        let Some(entry) = self.known() else { return Moment::NEVER };
        let outside = self.settings.has(Mutation::LeaderFromOutside);
        let holds = entry.is_normal(self.me) && self.table == Table::Whole && self.chain.contains(entry.committed);
        let may = entry.is_registered(self.me) && (holds || outside);
        if !may || entry.epoch != self.epoch {
            return Moment::NEVER;
        }
        if entry.leader == self.me {
            // An earlier process led this epoch; nobody else needs to be waited for to ask for the next.
            return Moment::default();
        }
        let place = entry.normal.iter().filter(|id| **id != entry.leader).position(|id| *id == self.me);
        let stagger = self.settings.stagger_us * place.unwrap_or(0) as u64;
        self.promise.until.max(self.following.successor_until).after(stagger)
    }

    /// When a tick may let this scheduler seek to lead.
    pub(crate) fn seeks_at(&self) -> Moment {
        let occupied = self.held.is_some() || self.adopt.is_some() || self.cutting || self.table == Table::Taking;
        if occupied || self.meta.is_asking() { Moment::NEVER } else { self.succeeds_at() }
    }

    pub(crate) fn settle_following(&mut self, step: &mut Step<'_>) {
        if self.leading.is_some() {
            return;
        }
        if self.settings.has(Mutation::UndoOnTimeout) && step.now >= self.promise.until && !self.cutting {
            // The leader is silent: what it prepared is undone here, whatever becomes of it.
            let keep = self.committed.sequence.max(self.chain.told);
            if let Some(point) = self.chain.at(keep) {
                self.cut(step, point);
            }
        }
        if self.meta.pending.is_none() && step.now >= self.seeks_at() {
            let next = self.known().expect("only who knows the entry leads at some time").under(self.me);
            self.propose(step, next);
        }
    }
}
