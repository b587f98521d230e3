//! A table that the leader's chain no longer reaches is compared with the leader's, part by part, by hashes; only what
//! differs is fetched (paper 4.2).
//!
//! ```text
//!   whole ── Behind ──> torn: hash the parts ── Compare ──> leader reads what differs ── Parts ──> taking
//!     ▲                   ▲ not all of them fitted into a message ◄─────────────────────────────────┘
//!     └── these were all: the table is the leader's at that point ◄─────────────────────────────────┘
//! ```
//! Promises: a torn table is never read, applied to, or led from, also after a restart; the last message brings all that
//! differs at one point, so a table that is whole again is that point's. It may not know what a part holds.

use super::event::{Action, Part};
use super::{Message, Point, Scheduler, Step};
use crate::{Moment, ReplicaId};

/// The table's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// It is of one point.
    Whole,
    /// It is to be compared; when to ask (again).
    Torn { again_at: Moment },
    /// The store replaces parts.
    Taking,
}

/// Parts that were read for another scheduler.
pub(crate) struct PartsRead {
    pub(crate) asked: Moment,
    pub(crate) at: Point,
    pub(crate) parts: Vec<Part>,
    pub(crate) complete: bool,
}

impl Scheduler {
    /// The leader's chain does not reach this table. Who has what is committed, as each Normal one does, hears it too late.
    pub(crate) fn fall_behind(&mut self, step: &mut Step<'_>, committed: Point) {
        if committed.sequence <= self.chain.told || self.chain.contains(committed) {
            return;
        }
        let idle = self.chain.applied == self.chain.told && !self.cutting;
        if self.table == Table::Whole && self.following.aligned && idle {
            self.table = Table::Torn { again_at: step.now };
        }
    }

    pub(crate) fn asks_for_parts_at(&self) -> Moment {
        match self.table {
            Table::Torn { again_at } if self.following.leader.is_some() && self.held.is_none() => again_at,
            _ => Moment::NEVER,
        }
    }

    pub(crate) fn settle_parts(&mut self, step: &mut Step<'_>) {
        if self.leading.is_none() && self.asks_for_parts_at() <= step.now {
            self.table = Table::Torn { again_at: step.now.after(self.settings.inquiry_us) };
            step.act(Action::HashParts);
        }
    }

    pub(crate) fn parts_hashed(&mut self, step: &mut Step<'_>, hashes: Vec<u128>) {
        let Some(leader) = self.following.leader.filter(|_| self.held.is_none()) else { return };
        if matches!(self.table, Table::Torn { .. }) {
            self.asked = Some(step.now);
            step.send(leader, Message::Compare { epoch: self.epoch, asked: step.now, hashes });
        }
    }

    /// Parts came; those that answer an older comparison say nothing about the table as it is now.
    pub(crate) fn take_parts(&mut self, step: &mut Step<'_>, asked: Moment, at: Point, parts: Vec<Part>, complete: bool) {
        let wanted = self.asked.take_if(|last| *last == asked).is_some();
        if wanted && matches!(self.table, Table::Torn { .. }) && !self.cutting {
            self.table = Table::Taking;
            step.act(Action::TakeParts { at, parts, complete });
        }
    }

    pub(crate) fn parts_taken(&mut self, step: &mut Step<'_>, at: Option<Point>) {
        match at {
            Some(point) => {
                self.table = Table::Whole;
                self.chain.replace(point);
                self.committed = point;
                self.following.aligned = self.following.leader.is_some();
                self.reads.settle(point.sequence, self.settings.lease_us);
            }
            None => self.table = Table::Torn { again_at: step.now },
        }
        self.answer_leader(step, false);
    }

    /// A scheduler asks what differs.
    pub(crate) fn compare(&mut self, step: &mut Step<'_>, from: ReplicaId, asked: Moment, hashes: Vec<u128>) {
        if self.leading.is_some() {
            step.act(Action::ReadParts { to: from, asked, hashes });
        }
    }

    pub(crate) fn parts_read(&mut self, step: &mut Step<'_>, to: ReplicaId, read: PartsRead) {
        let Some(head) = self.head_for(step.now, to) else { return };
        let PartsRead { asked, at, parts, complete } = read;
        step.send(to, Message::Parts { head, asked, at, parts, complete });
    }
}
