//! A fleet of nodes, managers and a meta in one thread, stepped in the order of one queue; and the checks.
//!
//! Checked: every entry follows the law of entries, every state the order of states; what `managers` checks of swaps and of
//! fleets at rest.

use super::plan::MemberPlan;
use crate::dice::Dice;
use crate::managers::{self, MemberCounts, Tender, bytes_of};
use crate::meta::{Away, Meta};
use crate::network::Network;
use crate::queue::Queue;
use crate::scenario::{Outcome, Play};
use protocol::membership::{Busyness, NodeEntry, NodeReport, NodeState, Order, View, Wanted};
use protocol::{Mode, Planted, Policy, ReplicaId, SliceEntry};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use types::{Epoch, NodeId, SliceId, StoreId};

/// After so long without faults the fleet must have come to rest.
const REST_US: u64 = 60_000_000;

/// The most that a run may do.
const EVENTS_MAX: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Deliver { from: usize, to: usize, packet: Packet },
    Report { node: usize },
    Tend { manager: usize, run: u64 },
    Replicas,
    StartNode { node: usize },
    StartManager { manager: usize },
    Fault { index: usize, ends: bool },
    Calm,
}

#[derive(Clone, Debug)]
pub(super) enum Packet {
    Report(NodeReport),
    MetaRead,
    MetaIs(Rc<View>),
    Swap(Wanted),
    Order(Order),
}

pub(super) struct Node {
    pub(super) store: StoreId,
    pub(super) alive: bool,
    /// It never comes back.
    pub(super) gone: bool,
    /// When it last died or started.
    pub(super) since: u64,
}

impl Node {
    /// Whether a replica's store is here, as it was.
    pub(super) fn is(&self, id: ReplicaId) -> bool {
        self.store == id.store && !self.gone
    }
}

/// A fleet.
pub struct Fleet {
    pub(super) plan: MemberPlan,
    planted: Planted,
    pub(super) now: u64,
    pub(super) queue: Queue<Happening>,
    pub(super) network: Network,
    pub(super) meta: Meta,
    pub(super) nodes: Vec<Node>,
    pub(super) managers: Vec<Tender>,
    pub(super) dice: Dice,
    /// How long each replica that is no member has been copying.
    pub(super) copying: BTreeMap<(SliceId, ReplicaId), u64>,
    pub(super) orders: BTreeMap<SliceId, ReplicaId>,
    pub(super) numbers: u64,
    pub(super) calm: bool,
    over: bool,
    complaint: Option<String>,
    pub(super) counts: MemberCounts,
    trace: Option<VecDeque<String>>,
}

impl Fleet {
    pub(super) fn new(plan: &MemberPlan, planted: Planted, trace: bool) -> Fleet {
        let mut dice = Dice::new(plan.seed, 22);
        let store = |n: usize| StoreId(n as u128 + 1);
        let node = |n: usize| NodeEntry {
            store: store(n),
            state: NodeState::Joining,
            drains: false,
            weight: 1 + (n % 2) as u32,
            region: format!("region {}", n % 2),
            rack: String::new(),
        };
        let holders = plan.nodes.saturating_sub(1).max(1);
        let slice = |slice: u32| {
            let id = |copy: usize| (slice as usize + copy) % holders;
            let replicas: Vec<ReplicaId> = (0..(plan.copies as usize).min(holders))
                .map(|copy| ReplicaId { node: NodeId(id(copy) as u64), store: store(id(copy)) })
                .collect();
            let policy = Policy { mode: Mode::Sync, min_in_sync: 1 };
            let (primary, backups, forced) = (replicas[0], replicas[1..].to_vec(), Epoch(0));
            SliceEntry { epoch: Epoch(1), primary, backups, members: replicas, policy, forced }
        };
        let (nodes, slices) = ((0..plan.nodes).map(node).collect(), (0..plan.slices).map(slice).collect());
        let meta = Meta::new(nodes, slices, plan.copies, Away::default());
        let managers = (0..plan.managers).map(|_| Tender::new(&mut dice)).collect();
        let mut fleet = Fleet {
            now: 0,
            queue: Queue::default(),
            network: Network::new(plan.nodes + plan.managers + 1, Dice::new(plan.seed, 23)),
            meta,
            nodes: (0..plan.nodes).map(|n| Node { store: store(n), alive: true, gone: false, since: 0 }).collect(),
            managers,
            copying: BTreeMap::new(),
            orders: BTreeMap::new(),
            numbers: 1_000,
            calm: false,
            over: false,
            complaint: None,
            counts: MemberCounts::default(),
            trace: trace.then(VecDeque::new),
            plan: plan.clone(),
            planted,
            dice,
        };
        (0..plan.nodes).for_each(|node| fleet.queue.put(1 + node as u64, Happening::Report { node }));
        (0..plan.managers).for_each(|manager| fleet.queue.put(0, Happening::StartManager { manager }));
        for (index, timed) in plan.faults.iter().enumerate() {
            fleet.queue.put(timed.at_us, Happening::Fault { index, ends: false });
        }
        fleet.queue.put(20_000, Happening::Replicas);
        fleet.queue.put(plan.busy_us, Happening::Calm);
        fleet
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Happening::Report { node } => self.report(node),
            Happening::Tend { manager, run } if run == self.managers[manager].run => self.tend(manager),
            Happening::Tend { .. } => {}
            Happening::Replicas => {
                self.step_replicas();
                self.queue.put(self.now + 20_000, Happening::Replicas);
            }
            Happening::StartNode { node } => {
                let node = &mut self.nodes[node];
                if !node.gone && !node.alive {
                    (node.alive, node.since) = (true, self.now);
                }
            }
            Happening::StartManager { manager } => self.start_manager(manager),
            Happening::Fault { index, ends } => self.fault(index, ends),
            Happening::Calm => self.settle_down(),
        }
    }

    fn meta_place(&self) -> usize {
        self.nodes.len() + self.managers.len()
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        for at in self.network.arrivals(self.now, from, to) {
            self.queue.put(at, Happening::Deliver { from, to, packet: packet.clone() });
        }
    }

    fn report(&mut self, n: usize) {
        let node = &self.nodes[n];
        let registered = self.meta.view.nodes[&NodeId(n as u64)].value.clone();
        if node.alive && registered.store != node.store && self.meta.away.answers() {
            // A node with an empty disk registers it before it takes part.
            self.change_node(NodeId(n as u64), NodeEntry { store: node.store, ..registered });
        } else if node.alive {
            let sizes = self.meta.view.slices.keys().map(|slice| (*slice, bytes_of(*slice))).collect();
            let report = NodeReport { node: NodeId(n as u64), store: node.store, busyness: Busyness::default(), sizes };
            for manager in 0..self.managers.len() {
                self.send(n, self.nodes.len() + manager, Packet::Report(report.clone()));
            }
        }
        self.queue.put(self.now + self.dice.between(80_000, 120_000), Happening::Report { node: n });
    }

    fn start_manager(&mut self, m: usize) {
        if self.managers[m].start(self.now, &mut self.dice, self.planted) {
            let run = self.managers[m].run;
            self.queue.put(self.now + 1, Happening::Tend { manager: m, run });
        }
    }

    fn tend(&mut self, m: usize) {
        let (place, meta) = (self.nodes.len() + m, self.meta_place());
        self.send(place, meta, Packet::MetaRead);
        for wanted in self.managers[m].tend(self.now) {
            self.note(|| format!("manager {m}: {wanted:?}"));
            match wanted {
                Wanted::Order { order: Order::HandOver { slice, primary, to }, .. } => {
                    let order = Packet::Order(Order::HandOver { slice, primary, to });
                    self.send(place, primary.node.0 as usize, order);
                }
                wanted => self.send(place, meta, Packet::Swap(wanted)),
            }
        }
        let run = self.managers[m].run;
        self.queue.put(self.now + self.dice.between(40_000, 120_000), Happening::Tend { manager: m, run });
    }

    fn deliver(&mut self, from: usize, to: usize, packet: Packet) {
        let (nodes, meta) = (self.nodes.len(), self.meta_place());
        match packet {
            Packet::Report(report) => self.managers[to - nodes].hears(self.now, &report),
            Packet::MetaRead if self.meta.away.answers() => {
                self.send(meta, from, Packet::MetaIs(Rc::new(self.meta.view.clone())));
            }
            Packet::MetaIs(view) => self.managers[to - nodes].sees(view),
            Packet::Swap(wanted) if self.meta.away.answers() => self.swap(wanted),
            Packet::Order(Order::HandOver { slice, primary, to }) if self.is_up(primary) => {
                self.orders.insert(slice, to);
            }
            _ => {}
        }
    }

    fn swap(&mut self, wanted: Wanted) {
        let nodes = &self.nodes;
        let intact = |id: ReplicaId| nodes.get(id.node.0 as usize).is_some_and(|node| node.is(id));
        if let Err(what) = managers::carry_out(&mut self.meta, wanted, intact, &mut self.counts) {
            self.complain(what);
        }
    }

    pub(super) fn change_node(&mut self, node: NodeId, next: NodeEntry) {
        self.counts.states += 1;
        if let Err(what) = self.meta.change_node(node, next) {
            self.complain(what);
        }
    }

    pub(super) fn change_slice(&mut self, slice: SliceId, next: SliceEntry) {
        self.note(|| format!("slice {slice} becomes {next:?}"));
        let revision = self.meta.get(slice.0 as usize).revision;
        if let Err(error) = self.meta.swap(slice, revision, next) {
            self.complain(format!("slice {slice}: {error}"));
        }
    }

    fn settle_down(&mut self) {
        if !self.calm {
            self.calm = true;
            self.mend_everything();
        }
        let unrest = managers::unrest(&self.meta.view, |node| self.nodes[node.0 as usize].gone, |id| self.is_up(id));
        if unrest.is_empty() {
            self.over = true;
        } else if self.now > self.plan.busy_us + REST_US {
            self.complain(format!("the fleet does not come to rest: {unrest}"));
        } else {
            self.queue.put(self.now + 100_000, Happening::Calm);
        }
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == 4_000 {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10} {}", self.now, line()));
        }
    }
}

impl Play<MemberCounts> for Fleet {
    fn run(&mut self) {
        while let Some((at, happening)) = self.queue.take() {
            self.now = at;
            self.counts.events += 1;
            if self.counts.events > EVENTS_MAX {
                self.complain("the run does not end".to_owned());
            }
            self.happen(happening);
            if self.over || self.complaint.is_some() {
                return;
            }
        }
    }

    fn complain(&mut self, text: String) {
        self.complaint.get_or_insert(text);
    }

    fn end(&mut self) -> Outcome<MemberCounts> {
        Outcome {
            complaint: self.complaint.clone(),
            counts: self.counts,
            trace: self.trace.take().map(Vec::from).unwrap_or_default(),
        }
    }
}
