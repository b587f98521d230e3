//! What a run does: its fleet, its clients, its faults; all from a seed, and small enough to be shrunk.
//!
//! Promises: the same plan gives the same run, event by event; a plan prints as what it is. Every seed
//! draws which kinds of faults it may have at all, so that rare mixtures come up.

use crate::check::Counts;
use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::scenario::Scenario;
use crate::store::Store;
use crate::store::kernel::KernelStore;
use crate::store::small::SmallStore;
use protocol::{Mode, Planted};
use std::fmt;
use std::ops::Range;
use types::StoreId;

/// Whom a fault hits; found out when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A node.
    Node(usize),
    /// Whoever is primary of a slice.
    Primary(usize),
    /// The nth other replica of a slice.
    Backup(usize, usize),
    /// A client; where there are schedulers, one of those.
    Client(usize),
    /// A manager.
    Manager(usize),
    /// Meta.
    Meta,
}

/// Something that goes wrong, or is asked of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a variant's fields are said on the variant; `for_us` and `down_us` are how long")]
pub enum Fault {
    /// A process dies; with `power`, what was not synced may go. It starts again after so long.
    Crash { who: Who, power: bool, down_us: u64 },
    /// A disk is lost with all on it; the node starts again with an empty one.
    Wipe { who: Who, down_us: u64 },
    /// A process stands still.
    Pause { who: Who, for_us: u64 },
    /// Messages between two are lost, one way or both.
    Cut { from: Who, to: Who, both: bool, for_us: u64 },
    /// One is cut off from all nodes, and from meta and clients too where `all`.
    Isolate { who: Who, all: bool, for_us: u64 },
    /// Everywhere, so many messages of a thousand are lost, doubled, or late.
    Weather { lost: u64, doubled: u64, late: u64, for_us: u64 },
    /// A disk is so many times slower.
    SlowDisk { who: Who, times: u64, for_us: u64 },
    /// A disk takes nothing more.
    FullDisk { who: Who, for_us: u64 },
    /// A clock of the wall jumps.
    WallJump { who: Who, by_us: i64 },
    /// Meta answers nobody; with `applies`, it still does what it is asked.
    MetaAway { applies: bool, for_us: u64 },
    /// A planned switch-over of a slice to its nth member.
    SwitchOver { slice: usize, nth: usize },
    /// A slice is replicated in another way from now on.
    Policy { slice: usize, mode: Mode, min_in_sync: u32 },
    /// A replica is added on the nth node that has none.
    Add { slice: usize, nth: usize },
    /// The nth backup is removed.
    Remove { slice: usize, nth: usize },
    /// The nth backup is removed and, after so long, added again.
    Readd { slice: usize, nth: usize, after_us: u64 },
    /// Pins are let go, as by their limit in bytes.
    DropPins { who: Who },
    /// An operator, impatient, forces the nth replica.
    Force { slice: usize, nth: usize },
    /// A node is gone for good with its disk, where that loses no slice.
    Gone { who: Who },
    /// A manager dies; another process begins in its place after so long, and knows nothing.
    Manager { manager: usize, down_us: u64 },
    /// An operator drains a node; where it ends, the drain is cancelled.
    Drain { who: Who, for_us: Option<u64> },
    /// An operator has the data evened.
    Even,
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Microseconds since the start.
    pub at_us: u64,
    /// What.
    pub fault: Fault,
}

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of everything that is not written here.
    pub seed: u64,
    /// Data nodes.
    pub nodes: usize,
    /// Copies of each slice at the start.
    pub copies: usize,
    /// How each slice is replicated.
    pub slices: Vec<(Mode, u32)>,
    /// Clients.
    pub clients: usize,
    /// How long a client thinks between two requests, on average.
    pub think_us: u64,
    /// How long faults and clients go on.
    pub busy_us: u64,
    /// How many records of a log stay behind a flush.
    pub log_keeps: usize,
    /// How many records a flush waits for.
    pub flush_records: u64,
    /// The faults, in order.
    pub faults: Vec<Timed>,
    /// Meta alone fails: then nothing that is served may fail.
    pub meta_alone: bool,
    /// Nodes keep their slices in kernels, not in small stores.
    pub kernels: bool,
    /// Nodes that hold nothing at first.
    pub spare: usize,
    /// Managers. Without any, what they do is done by the operator.
    pub managers: usize,
    /// Schedulers by which clients come in. Without any, each client finds its own way.
    pub schedulers: usize,
}

/// Kinds of faults that a seed may have; with managers there are some more.
const KINDS: u64 = 16;
const MANAGED_KINDS: u64 = KINDS + 4;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Plan {
        let mut dice = Dice::new(seed, 1);
        let nodes = dice.between(2, 4) as usize;
        let copies = (dice.between(1, 3) as usize).min(nodes);
        let slices = (0..dice.between(1, 2)).map(|_| Plan::policy(&mut dice, copies)).collect();
        let mut plan = Plan {
            seed,
            nodes,
            copies,
            slices,
            clients: dice.between(1, 5) as usize,
            think_us: *dice.pick(&[1_000, 5_000, 20_000, 20_000]),
            busy_us: dice.between(1_000_000, 3_000_000),
            log_keeps: *dice.pick(&[0, 4, 50]),
            flush_records: *dice.pick(&[3, 10, 40]),
            faults: Vec::new(),
            meta_alone: dice.one_in(20),
            kernels: false,
            spare: 0,
            managers: 0,
            schedulers: 0,
        };
        plan.draw_faults(&mut dice, KINDS);
        if !plan.meta_alone {
            plan.draw_policies(&mut Dice::new(seed, 5));
        }
        plan
    }

    /// The part of data nodes and managers of a whole fleet.
    #[must_use]
    pub fn of_whole(seed: u64) -> Plan {
        let mut dice = Dice::new(seed, 31);
        let spare = dice.below(2) as usize;
        let holders = dice.between(2, 4) as usize;
        let copies = (dice.between(1, 3) as usize).min(holders);
        let slices = (0..dice.between(1, 3)).map(|_| Plan::policy(&mut dice, copies)).collect();
        let mut plan = Plan {
            seed,
            nodes: holders + spare,
            copies,
            slices,
            clients: dice.between(1, 4) as usize,
            think_us: *dice.pick(&[2_000, 5_000, 20_000]),
            busy_us: dice.between(1_500_000, 4_000_000),
            log_keeps: *dice.pick(&[0, 4, 50]),
            flush_records: *dice.pick(&[3, 10, 40]),
            faults: Vec::new(),
            meta_alone: dice.one_in(20),
            kernels: false,
            spare,
            managers: dice.between(1, 3) as usize,
            schedulers: dice.between(1, 3) as usize,
        };
        plan.draw_faults(&mut dice, MANAGED_KINDS);
        plan
    }

    fn draw_faults(&mut self, dice: &mut Dice, kinds: u64) {
        if self.meta_alone {
            let fault = Fault::MetaAway { applies: dice.one_in(2), for_us: dice.between(100_000, self.busy_us / 2) };
            self.faults.push(Timed { at_us: dice.between(1_500_000, self.busy_us / 2 + 1_500_000), fault });
            self.busy_us += 1_500_000;
            return;
        }
        let kinds: Vec<u64> = (0..kinds).filter(|_| dice.one_in(3)).collect();
        if !kinds.is_empty() {
            self.faults = self.draw_all(dice, &kinds);
        }
    }

    /// How many doors clients come in by.
    #[must_use]
    pub fn doors(&self) -> usize {
        if self.schedulers > 0 { self.schedulers } else { self.clients }
    }

    /// How many places of a network it takes, meta's included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.nodes + self.doors() + self.managers + 1
    }

    /// The plan of a seed, with kernels.
    #[must_use]
    pub fn of_kernels(seed: u64) -> Plan {
        Plan { kernels: true, ..Plan::of(seed) }
    }

    /// An empty store of a node.
    #[must_use]
    pub fn store(&self, id: StoreId, planted: Planted) -> Box<dyn Store> {
        if self.kernels {
            return Box::new(KernelStore::new(id, self.slices.len(), self.tags(), self.log_keeps));
        }
        Box::new(SmallStore::new(id, self.log_keeps, planted))
    }

    /// How many tags of a slice are used at most.
    #[must_use]
    pub fn tags(&self) -> u8 {
        if self.schedulers > 0 { 60 } else { 3 }
    }

    fn policy(dice: &mut Dice, copies: usize) -> (Mode, u32) {
        let mode = if dice.one_in(2) { Mode::Sync } else { Mode::Async { lag_records_max: dice.between(1, 8) } };
        (mode, if copies > 1 && dice.one_in(4) { 2 } else { 1 })
    }

    /// A node: mostly one that matters to some slice.
    fn whom(&self, dice: &mut Dice) -> Who {
        let slice = dice.below(self.slices.len() as u64) as usize;
        match dice.below(5) {
            0 => Who::Node(dice.below(self.nodes as u64) as usize),
            1 => Who::Backup(slice, dice.below(2) as usize),
            2 => Who::Backup(slice, 0),
            _ => Who::Primary(slice),
        }
    }

    fn anybody(&self, dice: &mut Dice) -> Who {
        match dice.below(8) {
            0 => Who::Client(dice.below(self.doors() as u64) as usize),
            1 if self.managers > 0 && dice.one_in(2) => Who::Manager(dice.below(self.managers as u64) as usize),
            1 => Who::Meta,
            _ => self.whom(dice),
        }
    }

    fn draw(&self, dice: &mut Dice, kinds: &[u64], at_us: u64) -> Timed {
        let who = self.whom(dice);
        let slice = dice.below(self.slices.len() as u64) as usize;
        let nth = dice.below(3) as usize;
        let for_us = *dice.pick(&[50_000, 200_000, 350_000, 500_000, 1_000_000]) + dice.below(200_000);
        let fault = match *dice.pick(kinds) {
            0 => Fault::Crash { who, power: dice.one_in(2), down_us: dice.between(20_000, 900_000) },
            1 => Fault::Crash { who, power: true, down_us: dice.between(1_000, 100_000) },
            2 => Fault::Wipe { who, down_us: for_us },
            3 => Fault::Pause { who, for_us },
            4 => Fault::Cut { from: self.anybody(dice), to: self.anybody(dice), both: dice.one_in(2), for_us },
            5 => Fault::Isolate { who: self.anybody(dice), all: dice.one_in(2), for_us },
            6 => {
                let rate = |dice: &mut Dice| *dice.pick(&[0, 20, 100, 300]);
                Fault::Weather { lost: rate(dice), doubled: rate(dice), late: rate(dice), for_us: for_us * 2 }
            }
            7 => Fault::SlowDisk { who, times: dice.between(5, 200), for_us },
            8 => Fault::FullDisk { who, for_us },
            9 => Fault::WallJump { who, by_us: dice.between(0, 8_000_000) as i64 - 4_000_000 },
            10 => Fault::MetaAway { applies: dice.one_in(2), for_us },
            11 => Fault::SwitchOver { slice, nth },
            12 => Fault::Add { slice, nth },
            13 => Fault::Remove { slice, nth },
            14 => Fault::Readd { slice, nth, after_us: for_us },
            16 => Fault::Gone { who },
            17 => Fault::Manager { manager: nth, down_us: for_us / 2 },
            18 => Fault::Drain { who, for_us: dice.one_in(3).then_some(for_us) },
            19 => Fault::Even,
            _ if dice.one_in(4) => Fault::Force { slice, nth },
            _ => Fault::DropPins { who },
        };
        Timed { at_us, fault }
    }

    /// Changes of policies, in a quarter of all plans; by dice of their own, so that other plans stay as they are.
    fn draw_policies(&mut self, dice: &mut Dice) {
        for _ in 0..if dice.one_in(4) { dice.between(1, 4) } else { 0 } {
            let slice = dice.below(self.slices.len() as u64) as usize;
            let (mode, min_in_sync) = Plan::policy(dice, self.copies);
            let at_us = dice.between(300_000, self.busy_us);
            self.faults.push(Timed { at_us, fault: Fault::Policy { slice, mode, min_in_sync } });
        }
        self.faults.sort_by_key(|timed| timed.at_us);
    }

    /// Faults, some alone, some in bursts.
    fn draw_all(&self, dice: &mut Dice, kinds: &[u64]) -> Vec<Timed> {
        let mut faults = Vec::new();
        for _ in 0..dice.between(1, 5) {
            let around = dice.between(300_000, self.busy_us);
            for _ in 0..dice.between(1, 4) {
                let at_us = (around + dice.below(600_000)).min(self.busy_us);
                faults.push(self.draw(dice, kinds, at_us));
            }
        }
        faults.sort_by_key(|timed| timed.at_us);
        faults
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "seed {}{}: {} nodes ({} spare), {} managers, {} schedulers, {} copies, slices {:?}, {} clients thinking {} us, {} us long, log keeps {}, flush after {}",
            self.seed,
            if self.kernels { " with kernels" } else { "" },
            self.nodes,
            self.spare,
            self.managers,
            self.schedulers,
            self.copies,
            self.slices,
            self.clients,
            self.think_us,
            self.busy_us,
            self.log_keeps,
            self.flush_records
        )?;
        for timed in &self.faults {
            writeln!(out, "  at {:>9} us  {:?}", timed.at_us, timed.fault)?;
        }
        Ok(())
    }
}

impl Scenario for Plan {
    type Counts = Counts;
    type Play = Fleet;

    const CHANGES: &'static [fn(&mut Plan)] = &[
        |plan| plan.clients = plan.clients.saturating_sub(1).max(1),
        |plan| plan.slices.truncate(1),
        |plan| plan.think_us = (plan.think_us * 3).min(200_000),
        |plan| plan.busy_us = (plan.busy_us * 3 / 4).max(400_000),
        |plan| plan.busy_us = plan.busy_us.saturating_sub(100_000).max(400_000),
    ];

    fn of_seed(seed: u64) -> Plan {
        Plan::of(seed)
    }

    fn faults(&self) -> usize {
        self.faults.len()
    }

    fn leave_out(&mut self, faults: Range<usize>) {
        self.faults.drain(faults);
    }

    fn add(sum: &mut Counts, counts: &Counts) {
        sum.add(counts);
    }

    fn begin(&self, planted: Planted, trace: bool) -> Fleet {
        Fleet::new(self, planted, trace)
    }
}
