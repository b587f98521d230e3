//! What a run of schedulers does: its fleet, its clients, its faults; all from a seed, and small enough to be shrunk.
//!
//! Promises: the same plan gives the same run; a plan prints as what it is. Every seed draws which kinds of faults it may
//! have at all, so that rare mixtures come up.

use super::check::TagCounts;
use super::fleet::Fleet;
use crate::dice::Dice;
use crate::scenario::Scenario;
use protocol::Planted;
use std::fmt;
use std::ops::Range;

/// Whom a fault hits; found out when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A scheduler.
    Node(usize),
    /// Whoever leads.
    Leader,
    /// A client.
    Client(usize),
    /// Meta.
    Meta,
}

/// Something that goes wrong, or is asked of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a variant's fields are said on the variant; `for_us` and `down_us` are how long")]
pub enum TagFault {
    /// A process dies; of what was being written a beginning may be there. It starts again after so long.
    Crash { who: Whom, down_us: u64 },
    /// A disk is lost with all on it; the scheduler starts again with an empty one.
    Wipe { who: Whom, down_us: u64 },
    /// A process stands still.
    Pause { who: Whom, for_us: u64 },
    /// Messages between two are lost, one way or both.
    Cut { from: Whom, to: Whom, both: bool, for_us: u64 },
    /// One is cut off from all schedulers, and from meta and clients too where `all`.
    Isolate { who: Whom, all: bool, for_us: u64 },
    /// Everywhere, so many messages of a thousand are lost, doubled, or late.
    Weather { lost: u64, doubled: u64, late: u64, for_us: u64 },
    /// A disk is so many times slower.
    SlowDisk { who: Whom, times: u64, for_us: u64 },
    /// A disk takes nothing more.
    FullDisk { who: Whom, for_us: u64 },
    /// Meta answers nobody; with `applies`, it still does what it is asked, so that swaps are in doubt.
    MetaAway { applies: bool, for_us: u64 },
    /// A scheduler is taken out of the fleet and, after so long, comes back.
    Leave { who: Whom, for_us: u64 },
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedTagFault {
    /// Microseconds since the start.
    pub at_us: u64,
    /// What.
    pub fault: TagFault,
}

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPlan {
    /// The seed of everything that is not written here.
    pub seed: u64,
    /// Schedulers.
    pub nodes: usize,
    /// Clients.
    pub clients: usize,
    /// Statements of a whole fleet, which read the table.
    pub statements: usize,
    /// How long a client thinks between two requests, on average.
    pub think_us: u64,
    /// How long faults and clients go on.
    pub busy_us: u64,
    /// The faults, in order.
    pub faults: Vec<TimedTagFault>,
}

/// Kinds of faults that a seed may have.
const KINDS: u64 = 11;

impl TagPlan {
    /// The schedulers of a whole fleet, for so many statements under way at once.
    #[must_use]
    pub fn of_whole(seed: u64, nodes: usize, statements: usize, busy_us: u64, faulty: bool) -> TagPlan {
        let mut dice = Dice::new(seed, 32);
        let (clients, think_us) = (dice.between(1, 2) as usize, *dice.pick(&[20_000, 60_000]));
        let mut plan = TagPlan { seed, nodes, clients, statements, think_us, busy_us, faults: Vec::new() };
        if faulty {
            plan.draw_faults(&mut dice);
        }
        plan
    }

    /// How many places of a network it takes, meta's included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.nodes + self.clients + self.statements + 1
    }

    fn draw_faults(&mut self, dice: &mut Dice) {
        let kinds: Vec<u64> = (0..KINDS).filter(|_| dice.one_in(3)).collect();
        if kinds.is_empty() {
            return;
        }
        for _ in 0..dice.between(1, 5) {
            let around = dice.between(300_000, self.busy_us);
            for _ in 0..dice.between(1, 4) {
                let at_us = (around + dice.below(600_000)).min(self.busy_us);
                self.faults.push(self.draw(dice, &kinds, at_us));
            }
        }
        self.faults.sort_by_key(|timed| timed.at_us);
    }

    fn whom(&self, dice: &mut Dice) -> Whom {
        if dice.one_in(2) { Whom::Leader } else { Whom::Node(dice.below(self.nodes as u64) as usize) }
    }

    fn anybody(&self, dice: &mut Dice) -> Whom {
        match dice.below(8) {
            0 => Whom::Client(dice.below(self.clients as u64) as usize),
            1 => Whom::Meta,
            _ => self.whom(dice),
        }
    }

    fn draw(&self, dice: &mut Dice, kinds: &[u64], at_us: u64) -> TimedTagFault {
        let who = self.whom(dice);
        let for_us = *dice.pick(&[50_000, 200_000, 350_000, 500_000, 1_000_000]) + dice.below(200_000);
        let fault = match *dice.pick(kinds) {
            0 => TagFault::Crash { who, down_us: dice.between(20_000, 900_000) },
            1 => TagFault::Crash { who, down_us: dice.between(1_000, 100_000) },
            2 => TagFault::Wipe { who, down_us: for_us },
            3 => TagFault::Pause { who, for_us },
            4 => TagFault::Cut { from: self.anybody(dice), to: self.anybody(dice), both: dice.one_in(2), for_us },
            5 => TagFault::Isolate { who: self.anybody(dice), all: dice.one_in(2), for_us },
            6 => {
                let rate = |dice: &mut Dice| *dice.pick(&[0, 20, 100, 300]);
                TagFault::Weather { lost: rate(dice), doubled: rate(dice), late: rate(dice), for_us: for_us * 2 }
            }
            7 => TagFault::SlowDisk { who, times: dice.between(5, 200), for_us },
            8 => TagFault::MetaAway { applies: dice.one_in(2), for_us },
            9 => TagFault::Leave { who, for_us },
            _ => TagFault::FullDisk { who, for_us },
        };
        TimedTagFault { at_us, fault }
    }
}

impl fmt::Display for TagPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TagPlan { seed, nodes, clients, think_us, busy_us, faults, .. } = self;
        writeln!(out, "seed {seed}: {nodes} schedulers, {clients} clients thinking {think_us} us, {busy_us} us long")?;
        for timed in faults {
            writeln!(out, "  at {:>9} us  {:?}", timed.at_us, timed.fault)?;
        }
        Ok(())
    }
}

impl Scenario for TagPlan {
    type Counts = TagCounts;
    type Play = Fleet;

    const CHANGES: &'static [fn(&mut TagPlan)] = &[
        |plan| plan.clients = plan.clients.saturating_sub(1).max(1),
        |plan| plan.think_us = (plan.think_us * 3).min(200_000),
        |plan| plan.busy_us = (plan.busy_us * 3 / 4).max(400_000),
        |plan| plan.busy_us = plan.busy_us.saturating_sub(100_000).max(400_000),
    ];

    fn of_seed(seed: u64) -> TagPlan {
        let mut dice = Dice::new(seed, 11);
        let mut plan = TagPlan {
            seed,
            nodes: dice.between(1, 5) as usize,
            clients: dice.between(1, 4) as usize,
            statements: 0,
            think_us: *dice.pick(&[1_000, 5_000, 20_000]),
            busy_us: dice.between(1_000_000, 3_000_000),
            faults: Vec::new(),
        };
        plan.draw_faults(&mut dice);
        plan
    }

    fn faults(&self) -> usize {
        self.faults.len()
    }

    fn leave_out(&mut self, faults: Range<usize>) {
        self.faults.drain(faults);
    }

    fn add(sum: &mut TagCounts, counts: &TagCounts) {
        sum.add(counts);
    }

    fn begin(&self, planted: Planted, trace: bool) -> Fleet {
        Fleet::new(self, planted, trace)
    }
}
