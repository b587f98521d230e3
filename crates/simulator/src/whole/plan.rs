//! What a run of a whole fleet does: the plans of its two parts, which fit together.

use super::Fleet;
use crate::check::Counts;
use crate::managers::MemberCounts;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::tags::{TagCounts, TagPlan};
use protocol::Planted;
use std::fmt;
use std::ops::Range;

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholePlan {
    /// Data nodes, managers, and clients that write and read.
    pub data: Plan,
    /// Schedulers, and clients that make and drop tags.
    pub tags: TagPlan,
}

/// What happened in all parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholeCounts {
    /// Of slices.
    pub slices: Counts,
    /// Of nodes and moves.
    pub members: MemberCounts,
    /// Of tags.
    pub tags: TagCounts,
}

impl WholePlan {
    fn of(data: Plan) -> WholePlan {
        let tags = TagPlan::of_whole(data.seed, data.schedulers, data.clients, data.busy_us, !data.meta_alone);
        WholePlan { data, tags }
    }

    /// The plan of a seed, with kernels.
    #[must_use]
    pub fn of_kernels(seed: u64) -> WholePlan {
        WholePlan::of(Plan { kernels: true, ..Plan::of_whole(seed) })
    }

    fn shorten(&mut self, busy_us: u64) {
        (self.data.busy_us, self.tags.busy_us) = (busy_us, busy_us);
    }
}

impl fmt::Display for WholePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.data, self.tags)
    }
}

impl Scenario for WholePlan {
    type Counts = WholeCounts;
    type Play = Fleet;

    const CHANGES: &'static [fn(&mut WholePlan)] = &[
        |plan| {
            plan.data.clients = plan.data.clients.saturating_sub(1).max(1);
            plan.tags.statements = plan.data.clients;
        },
        |plan| plan.tags.clients = plan.tags.clients.saturating_sub(1).max(1),
        |plan| plan.data.slices.truncate(1),
        |plan| plan.data.managers = plan.data.managers.saturating_sub(1).max(1),
        |plan| plan.data.think_us = (plan.data.think_us * 3).min(200_000),
        |plan| plan.shorten((plan.data.busy_us * 3 / 4).max(400_000)),
        |plan| plan.shorten(plan.data.busy_us.saturating_sub(100_000).max(400_000)),
    ];

    fn of_seed(seed: u64) -> WholePlan {
        WholePlan::of(Plan::of_whole(seed))
    }

    fn faults(&self) -> usize {
        self.data.faults.len() + self.tags.faults.len()
    }

    fn leave_out(&mut self, faults: Range<usize>) {
        let of_data = self.data.faults.len();
        let within = |at: usize| at.saturating_sub(of_data);
        self.tags.faults.drain(within(faults.start)..within(faults.end));
        self.data.faults.drain(faults.start.min(of_data)..faults.end.min(of_data));
    }

    fn add(sum: &mut WholeCounts, counts: &WholeCounts) {
        sum.slices.add(&counts.slices);
        sum.members.add(&counts.members);
        sum.tags.add(&counts.tags);
    }

    fn begin(&self, planted: Planted, trace: bool) -> Fleet {
        Fleet::new(self, planted, trace)
    }
}
