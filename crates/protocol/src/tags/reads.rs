//! Reads of the table: the snapshot is taken first, then it is asked whether it may be served.
//!
//! Promises: who answers a reader has a lease from the leader, or leads and has everybody's promise not to; its snapshot
//! holds all that was answered before the lease was given, and nothing is answered afterwards without it. Without a lease
//! the leader is to be asked.

use super::event::{Action, Answer, Refusal};
use super::message::Lease;
use super::parts::Table;
use super::{Scheduler, Step};
use crate::{Moment, RequestId};
use std::collections::{BTreeSet, VecDeque};
use types::Sequence;

/// How many leases wait for their batch to be applied.
const PENDING_MAX: usize = 16;

/// Reads, and the lease that they need.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    asked: BTreeSet<RequestId>,
    /// Leases whose batches are not applied here yet, in order.
    pending: VecDeque<(Moment, Sequence)>,
    /// Until when tables that show this batch may be read.
    until: Moment,
    least: Sequence,
}

impl Reads {
    pub(crate) fn note(&mut self, lease: Lease) {
        if self.pending.back().is_none_or(|(last, _)| *last < lease.echo) && self.pending.len() < PENDING_MAX {
            self.pending.push_back((lease.echo, lease.sequence));
        }
    }

    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    pub(crate) fn settle(&mut self, applied: Sequence, lease_us: u64) {
        while let Some((echo, sequence)) = self.pending.pop_front_if(|(_, sequence)| *sequence <= applied) {
            self.until = self.until.max(echo.after(lease_us));
            self.least = self.least.max(sequence);
        }
    }
}

impl Scheduler {
    pub(crate) fn read(&mut self, step: &mut Step<'_>, request: RequestId) {
        if self.reads.asked.len() >= self.settings.waiting_max {
            return step.refuse(request, Refusal::Busy);
        }
        self.reads.asked.insert(request);
        step.act(Action::Snapshot { request });
    }

    /// Until when tables as applied now may be read without asking anybody: whatever was answered before is in them.
    #[must_use]
    pub fn readable_until(&self) -> Moment {
        if self.closed || self.table != Table::Whole {
            return Moment::default();
        }
        let leads = self.leading.as_ref().filter(|leading| self.chain.applied >= leading.begin.sequence);
        self.reads.until.max(leads.map_or(Moment::default(), |_| self.lease_until()))
    }

    pub(crate) fn snapshotted(&mut self, step: &mut Step<'_>, request: RequestId, at: Sequence) {
        if !self.reads.asked.remove(&request) {
            return;
        }
        self.reads.settle(self.chain.applied, self.settings.lease_us);
        let leased = step.now < self.reads.until && at >= self.reads.least;
        let leads = self.leading.as_ref().is_some_and(|leading| at >= leading.begin.sequence) && self.has_lease(step.now);
        if self.table == Table::Whole && (leased || leads) {
            return step.act(Action::Answer { request, answer: Answer::Readable { at } });
        }
        let leader = self.known().map(|entry| entry.leader).filter(|id| *id != self.me);
        let refusal = if self.leads() { Refusal::Busy } else { Refusal::NotLeader { leader } };
        step.refuse(request, refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Head, Message, Point, Recovered};
    use super::*;
    use crate::{ReplicaId, Run, Settings};
    use types::{Epoch, NodeId, StoreId};

    #[test]
    fn a_table_that_rests_is_read_under_the_leases_of_beats() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(1) };
        let (run, settings, at) = (Run(7), Settings::default(), Point::default());
        let recovered = Recovered { epoch: Epoch(1), table: Some(at), batches: Vec::new() };
        let mut follower = Scheduler::open(id(2), run, settings.clone(), recovered, Moment(0));
        assert_eq!(follower.readable_until(), Moment(0));
        for echo in [1_000, 76_000] {
            let lease = Some(Lease { run, echo: Moment(echo), sequence: at.sequence });
            let head = Head { epoch: Epoch(1), stamp: Moment(echo), begin: at, committed: at, lease };
            let message = Message::Append { head, prev: at, batches: Vec::new() };
            follower.step(Moment(echo + 10), Event::Message { from: id(1), message }, &mut Vec::new());
            assert_eq!(follower.readable_until(), Moment(echo).after(settings.lease_us));
        }
    }
}
