//! What a run of managers does: its nodes, its slices, its faults; all from a seed, and small enough to be shrunk.

use super::fleet::Fleet;
use crate::dice::Dice;
use crate::managers::MemberCounts;
use crate::scenario::Scenario;
use protocol::Planted;
use std::fmt;
use std::ops::Range;

/// Something that goes wrong, or is asked of the fleet. `node` and `manager` are taken modulo how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a variant's fields are said on the variant; `for_us` and `down_us` are how long")]
pub enum MemberFault {
    /// A node dies and starts again after so long.
    Crash { node: usize, down_us: u64 },
    /// A disk is lost with all on it; the node starts again with an empty one.
    Wipe { node: usize, down_us: u64 },
    /// A node is gone for good, where that loses no slice.
    Gone { node: usize },
    /// A manager dies; another process begins in its place after so long, and knows nothing.
    Manager { manager: usize, down_us: u64 },
    /// A manager and a node do not hear each other.
    Cut { manager: usize, node: usize, for_us: u64 },
    /// Everywhere, so many messages of a thousand are lost, doubled, or late.
    Weather { lost: u64, doubled: u64, late: u64, for_us: u64 },
    /// Meta answers nobody.
    MetaAway { for_us: u64 },
    /// An operator drains a node; where it ends, the drain is cancelled.
    Drain { node: usize, for_us: Option<u64> },
    /// An operator has the data evened: targets for all slices that the plan moves.
    Even,
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedMemberFault {
    /// Microseconds since the start.
    pub at_us: u64,
    /// What.
    pub fault: MemberFault,
}

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPlan {
    /// The seed of everything that is not written here.
    pub seed: u64,
    /// Data nodes; the last of them holds nothing at first.
    pub nodes: usize,
    /// Managers, all of which tend the fleet.
    pub managers: usize,
    /// Slices.
    pub slices: u32,
    /// Copies of each.
    pub copies: u32,
    /// How long faults go on.
    pub busy_us: u64,
    /// The faults, in order.
    pub faults: Vec<TimedMemberFault>,
}

impl fmt::Display for MemberPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemberPlan { seed, nodes, managers, slices, copies, busy_us, faults } = self;
        writeln!(out, "seed {seed}: {nodes} nodes, {managers} managers, {slices} slices, {copies} copies, {busy_us} us long")?;
        for timed in faults {
            writeln!(out, "  at {:>9} us  {:?}", timed.at_us, timed.fault)?;
        }
        Ok(())
    }
}

fn draw(dice: &mut Dice) -> MemberFault {
    let (node, manager) = (dice.below(12) as usize, dice.below(4) as usize);
    let for_us = *dice.pick(&[100_000, 500_000, 1_000_000, 2_500_000]) + dice.below(400_000);
    match dice.below(9) {
        0 => MemberFault::Crash { node, down_us: for_us },
        1 => MemberFault::Wipe { node, down_us: for_us },
        2 => MemberFault::Gone { node },
        3 => MemberFault::Manager { manager, down_us: for_us / 2 },
        4 => MemberFault::Cut { manager, node, for_us },
        5 => {
            let rate = |dice: &mut Dice| *dice.pick(&[0, 20, 100, 300]);
            MemberFault::Weather { lost: rate(dice), doubled: rate(dice), late: rate(dice), for_us: for_us * 2 }
        }
        6 => MemberFault::MetaAway { for_us },
        7 => MemberFault::Drain { node, for_us: dice.one_in(3).then_some(for_us) },
        _ => MemberFault::Even,
    }
}

impl Scenario for MemberPlan {
    type Counts = MemberCounts;
    type Play = Fleet;

    const CHANGES: &'static [fn(&mut MemberPlan)] = &[
        |plan| plan.managers = plan.managers.saturating_sub(1).max(1),
        |plan| plan.slices = (plan.slices / 2).max(1),
        |plan| plan.busy_us = (plan.busy_us * 3 / 4).max(400_000),
    ];

    fn of_seed(seed: u64) -> MemberPlan {
        let mut dice = Dice::new(seed, 21);
        let nodes = dice.between(2, 7) as usize;
        let mut plan = MemberPlan {
            seed,
            nodes,
            managers: dice.between(1, 3) as usize,
            slices: dice.between(1, 12) as u32,
            copies: dice.between(1, 3) as u32,
            busy_us: dice.between(2_000_000, 6_000_000),
            faults: Vec::new(),
        };
        for _ in 0..dice.below(9) {
            let (at_us, fault) = (dice.below(plan.busy_us), draw(&mut dice));
            plan.faults.push(TimedMemberFault { at_us, fault });
        }
        plan.faults.sort_by_key(|timed| timed.at_us);
        plan
    }

    fn faults(&self) -> usize {
        self.faults.len()
    }

    fn leave_out(&mut self, faults: Range<usize>) {
        self.faults.drain(faults);
    }

    fn add(sum: &mut MemberCounts, counts: &MemberCounts) {
        sum.add(counts);
    }

    fn begin(&self, planted: Planted, trace: bool) -> Fleet {
        Fleet::new(self, planted, trace)
    }
}
