//! A replica that follows a primary: it logs what comes in order, promises not to succeed it, and
//! succeeds it when the promise has lapsed.
//!
//! Promises: a record is logged only after its predecessor, equal by version; what departs from the
//! primary's history is set aside before anything else is taken; only stable records are published.
//! A promise lasts from its receipt by this process's monotonic clock; one that an earlier process of this
//! store gave is kept from this process's start.

use super::{Replica, Step};
use crate::event::Action;
use crate::message::{Head, Report};
use crate::{History, Message, Moment, Mutation, Offer, ProducerRow, Producers, Record, ReplicaId};
use types::{Epoch, Version};

/// Until when no other primary may count on this member's silence.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) epoch: Epoch,
    pub(crate) until: Moment,
}

/// What the store does that keeps records from being taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    No,
    SettingAside,
    TakingFiles,
}

/// Whom it follows.
#[derive(Debug, Default)]
pub(crate) struct Following {
    pub(crate) leader: Option<ReplicaId>,
    /// The leader's stamp that the next report answers.
    stamp: Moment,
    /// Whether the log is a beginning of the leader's.
    aligned: bool,
    /// Whether files hold what departs from the leader's history.
    pub(crate) needs_files: bool,
    /// Whoever the entry names as primary has until then to be heard.
    successor_until: Moment,
}

impl Following {
    pub(crate) fn forget_leader(&mut self) {
        self.leader = None;
        self.aligned = false;
        // Stamps of two primaries are of two clocks: an old one echoed would be a promise from the future.
        self.stamp = Moment::default();
    }

    pub(crate) fn wait_for_successor(&mut self, until: Moment) {
        self.successor_until = until;
    }
}

impl Replica {
    /// A primary's message in this replica's epoch.
    pub(crate) fn primary_says(&mut self, step: &mut Step<'_>, from: ReplicaId, message: Message) {
        assert!(self.primary.is_none() && self.starting.is_none(), "{from} and {} both run epoch {}", self.me, self.epoch);
        match message {
            Message::Inquire { epoch } => step.send(from, Message::Tail { epoch, history: self.log.history.clone() }),
            Message::Fetch { epoch, after } => self.read_for(step, from, epoch, after, true),
            Message::Align { head, history, forced } => {
                self.follow(step, from, &head);
                self.align(step, &history, forced);
                self.answer_leader(step, false);
            }
            Message::Append { head, prev, records } => {
                self.follow(step, from, &head);
                let gap = self.append(step, prev, records);
                self.learn_stable(&head);
                self.answer_leader(step, gap);
            }
            Message::Offer { head, offer } => {
                self.follow(step, from, &head);
                self.take_files(step, from, offer);
                self.answer_leader(step, false);
            }
            _ => {}
        }
    }

    fn follow(&mut self, step: &mut Step<'_>, from: ReplicaId, head: &Head) {
        self.promise = Promise { epoch: head.epoch, until: step.now.after(self.settings.promise_us) };
        self.following.leader = Some(from);
        self.following.stamp = self.following.stamp.max(head.stamp);
        if let Some(fresh) = head.fresh.filter(|fresh| fresh.run == self.run) {
            self.freshness.note(fresh.echo, fresh.at);
        }
    }

    /// Finds where the histories part, and gives up what departs from the primary's.
    fn align(&mut self, step: &mut Step<'_>, history: &History, forced: Epoch) {
        if self.busy != Busy::No || self.following.needs_files || self.following.aligned {
            return;
        }
        if self.log.last().epoch == self.epoch {
            // Only the leader writes in its epoch, so this log is a beginning of the leader's, whatever an
            // Align that was long under way says.
            self.following.aligned = true;
            return;
        }
        let point = self.log.history.parting(history);
        let loses_stable = point.sequence < self.log.stable.sequence;
        assert!(
            !loses_stable || forced > self.log.stable.epoch,
            "{}: the primary's history parts at {point}, but {} was stable",
            self.me,
            self.log.stable
        );
        if point.sequence < self.log.flushed.sequence {
            self.following.needs_files = true;
        } else if point.sequence < self.log.last().sequence {
            self.set_aside(step, point);
        } else {
            self.following.aligned = true;
        }
    }

    pub(crate) fn set_aside(&mut self, step: &mut Step<'_>, point: Version) {
        self.busy = Busy::SettingAside;
        self.following.aligned = false;
        step.act(Action::SetAside { beyond: point });
    }

    pub(crate) fn set_aside_done(&mut self, step: &mut Step<'_>, at: Version, producers: &[ProducerRow]) {
        self.busy = Busy::No;
        self.log.cut(at);
        self.producers = Producers::new(producers, self.settings.producers_max);
        self.answer_leader(step, false);
    }

    /// Takes records that follow the log; true where some are missing before them.
    fn append(&mut self, step: &mut Step<'_>, prev: Version, records: Vec<Record>) -> bool {
        if self.busy != Busy::No || self.following.needs_files {
            return false;
        }
        let last = self.log.last();
        if prev == last {
            // The same version is the same beginning: nothing to compare.
            self.following.aligned = true;
        }
        if !self.following.aligned {
            return false;
        }
        if !self.log.history.contains(prev) && !self.settings.has(Mutation::AcceptGap) {
            return true;
        }
        let fresh: Vec<Record> = records.into_iter().filter(|record| record.version.sequence > last.sequence).collect();
        for record in &fresh {
            if self.settings.has(Mutation::AcceptGap) {
                self.log.pretend_before(record.version);
            } else {
                assert_eq!(record.prev, self.log.last(), "a message's records follow one another");
            }
            self.log.history.push(record.version);
            self.producers.note_record(record);
        }
        if !fresh.is_empty() {
            step.act(Action::Log(fresh));
        }
        false
    }

    fn learn_stable(&mut self, head: &Head) {
        if self.following.aligned && self.busy == Busy::No && head.stable > self.log.stable.sequence {
            let known = head.stable.min(self.log.last().sequence);
            self.log.stable = self.log.version(known.max(self.log.stable.sequence));
        }
    }

    fn take_files(&mut self, step: &mut Step<'_>, from: ReplicaId, offer: Offer) {
        let reached = self.following.aligned && self.log.last().sequence >= offer.history.last().sequence;
        if self.busy == Busy::No && (self.following.needs_files || !reached) {
            self.busy = Busy::TakingFiles;
            step.act(Action::TakeFiles { from, offer, departs: self.following.needs_files });
        }
    }

    pub(crate) fn files_taken(&mut self, step: &mut Step<'_>, history: History, producers: &[ProducerRow]) {
        self.busy = Busy::No;
        self.following.needs_files = false;
        self.following.aligned = false;
        self.log.replace(history);
        self.producers = Producers::new(producers, self.settings.producers_max);
        self.answer_leader(step, false);
    }

    pub(crate) fn files_refused(&mut self, step: &mut Step<'_>) {
        self.busy = Busy::No;
        self.answer_leader(step, false);
    }

    /// Tells the leader where this replica stands, and promises.
    pub(crate) fn answer_leader(&mut self, step: &mut Step<'_>, gap: bool) {
        let Some(leader) = self.following.leader.filter(|_| self.held.is_none()) else { return };
        let report = Report {
            epoch: self.epoch,
            stamp: self.following.stamp,
            run: self.run,
            own: step.now,
            aligned: self.following.aligned && self.busy == Busy::No,
            gap,
            needs_files: self.following.needs_files,
            last: self.log.last(),
            durable: self.log.durable,
        };
        step.send(leader, Message::Report(report));
    }

    pub(crate) fn released(&mut self, step: &mut Step<'_>, epoch: Epoch) {
        if self.promise.epoch == epoch {
            self.promise.until = self.promise.until.min(step.now);
        }
    }

    /// When this replica may seek to run the next epoch: never, where it is not a member.
    pub(crate) fn succeeds_at(&self) -> Moment {
        let Some(known) = &self.meta.known else { return Moment::NEVER };
        let entry = &known.entry;
        if entry.primary == self.me {
            // An earlier process ran this epoch; nobody else needs to be waited for to ask for the next.
            return Moment::default();
        }
        let member = if self.settings.has(Mutation::PromoteNonMember) { entry.has(self.me) } else { entry.is_member(self.me) };
        if !member || entry.epoch != self.epoch {
            return Moment::NEVER;
        }
        let place = entry.everyone().filter(|id| *id != entry.primary && entry.is_member(*id)).position(|id| id == self.me);
        let stagger = self.settings.stagger_us * place.unwrap_or(0) as u64;
        self.promise.until.max(self.following.successor_until).after(stagger)
    }

    /// When a tick may let this replica seek to run the next epoch.
    pub(crate) fn seeks_at(&self) -> Moment {
        let occupied = self.held.is_some() || self.adopt.is_some() || self.busy != Busy::No;
        if occupied || self.meta.is_asking() { Moment::NEVER } else { self.succeeds_at() }
    }

    pub(crate) fn settle_following(&mut self, step: &mut Step<'_>) {
        if self.primary.is_some() || self.starting.is_some() {
            return;
        }
        let bound = self.log.earlier(self.log.stable, self.log.durable);
        let flushable = if self.settings.has(Mutation::FlushUnstable) { self.log.durable } else { bound };
        if flushable.sequence > self.log.announced.sequence && self.busy == Busy::No {
            self.log.announced = flushable;
            step.act(Action::Stable(flushable));
        }
        if self.busy == Busy::No
            && let Some(shown) =
                self.log.publish(bound, step.now, self.settings.publish_step_records, self.settings.publish_pace_us)
        {
            step.act(Action::Publish(shown));
        }
        self.freshness.settle(self.log.published);
        if self.meta.pending.is_none() && step.now >= self.seeks_at() {
            let known = self.meta.known.as_ref().expect("only who knows the entry succeeds at some time");
            let mut next = known.entry.succeeded_by(self.me);
            if self.settings.has(Mutation::PromoteNonMember) && !next.is_member(self.me) {
                next.members.push(self.me);
            }
            self.propose(step, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Recovered, Run, Settings};
    use types::{NodeId, Sequence, StoreId};

    #[test]
    fn a_new_primarys_promise_counts_from_its_own_stamp() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(1) };
        let mut replica = Replica::open(id(3), Run(1), Settings::default(), Recovered::default(), Moment(0));
        // The second primary's clock is far behind the first one's.
        for (epoch, primary, stamp) in [(Epoch(1), id(1), Moment(9_000_000)), (Epoch(2), id(2), Moment(1_000))] {
            let head = Head { epoch, stamp, stable: Sequence(0), fresh: None };
            let message = Message::Append { head, prev: Version::default(), records: Vec::new() };
            let mut out = Vec::new();
            replica.step(Moment(10), Event::Message { from: primary, message }, &mut out);
            replica.step(Moment(20), Event::EpochPersisted(epoch), &mut out);
            let promised = out.iter().find_map(|action| match action {
                Action::Send { to, message: Message::Report(report) } if *to == primary => Some(report.stamp),
                _ => None,
            });
            assert_eq!(promised, Some(stamp), "epoch {epoch}");
        }
    }
}
