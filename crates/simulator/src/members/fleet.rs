//! A fleet of nodes, managers and a meta in one thread, stepped in the order of one queue; and the checks.
//!
//! Checked: every entry follows the law of entries, every state the order of states; a manager changes no epoch and no
//! members, and removes a copy only where all that stay are members; in the end every node has its state, nothing lies on
//! drained or gone ones, and every slice has its copies, all of them members.

use super::plan::{MemberCounts, MemberPlan};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::network::Network;
use crate::queue::Queue;
use crate::scenario::{Outcome, Play};
use protocol::membership::{Busyness, Manager, ManagerSettings, NodeEntry, NodeReport, NodeState, Order, Seen, View, Wanted};
use protocol::{Mode, Moment, Planted, Policy, ReplicaId, SliceEntry};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use types::{Epoch, NodeId, Revision, SliceId, StoreId};

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

pub(super) struct Tender {
    pub(super) machine: Option<Manager>,
    pub(super) run: u64,
    view: Option<Rc<View>>,
    clock: Clock,
}

/// A fleet.
pub struct Fleet {
    pub(super) plan: MemberPlan,
    planted: Planted,
    pub(super) now: u64,
    pub(super) queue: Queue<Happening>,
    pub(super) network: Network,
    pub(super) meta: View,
    revision: u64,
    pub(super) away: u32,
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
        let seen = |value| Seen { value, revision: Revision(1) };
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
        let meta = View {
            nodes: (0..plan.nodes).map(|n| (NodeId(n as u64), seen(node(n)))).collect(),
            slices: (0..plan.slices).map(|s| (SliceId(s), Seen { value: slice(s), revision: Revision(1) })).collect(),
            targets: BTreeMap::new(),
            copies: plan.copies,
        };
        let clocks: Vec<Clock> = (0..plan.managers).map(|_| Clock::new(&mut dice)).collect();
        let mut fleet = Fleet {
            now: 0,
            queue: Queue::default(),
            network: Network::new(plan.nodes + plan.managers + 1, Dice::new(plan.seed, 23)),
            meta,
            revision: 1,
            away: 0,
            nodes: (0..plan.nodes).map(|n| Node { store: store(n), alive: true, gone: false, since: 0 }).collect(),
            managers: clocks.into_iter().map(|clock| Tender { machine: None, run: 0, view: None, clock }).collect(),
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
        let registered = self.meta.nodes[&NodeId(n as u64)].value.clone();
        if node.alive && registered.store != node.store && self.away == 0 {
            // A node with an empty disk registers it before it takes part.
            self.change_node(NodeId(n as u64), NodeEntry { store: node.store, ..registered });
        } else if node.alive {
            let sizes = self.meta.slices.keys().map(|slice| (*slice, 100 + u64::from(slice.0) * 7)).collect();
            let report = NodeReport { node: NodeId(n as u64), store: node.store, busyness: Busyness::default(), sizes };
            for manager in 0..self.managers.len() {
                self.send(n, self.nodes.len() + manager, Packet::Report(report.clone()));
            }
        }
        self.queue.put(self.now + self.dice.between(80_000, 120_000), Happening::Report { node: n });
    }

    fn start_manager(&mut self, m: usize) {
        let settings = ManagerSettings {
            suspect_us: 500_000,
            down_us: 1_000_000,
            gone_us: 2_000_000,
            retry_us: 300_000,
            plan_us: 200_000,
            targets_max: 3,
            planted: self.planted,
            ..ManagerSettings::default()
        };
        let tender = &mut self.managers[m];
        if tender.machine.is_none() {
            tender.run += 1;
            tender.view = None;
            tender.clock.start(self.now, &mut self.dice);
            tender.machine = Some(Manager::new(settings, Moment(tender.clock.monotonic(self.now))));
            let run = tender.run;
            self.queue.put(self.now + 1, Happening::Tend { manager: m, run });
        }
    }

    fn tend(&mut self, m: usize) {
        let (place, meta) = (self.nodes.len() + m, self.meta_place());
        self.send(place, meta, Packet::MetaRead);
        let tender = &mut self.managers[m];
        let now = Moment(tender.clock.monotonic(self.now));
        let mut wanted = Vec::new();
        if let (Some(machine), Some(view)) = (&mut tender.machine, &tender.view) {
            machine.tend(now, view, &mut wanted);
        }
        for wanted in wanted {
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
            Packet::Report(report) => {
                let tender = &mut self.managers[to - nodes];
                let now = Moment(tender.clock.monotonic(self.now));
                if let Some(machine) = &mut tender.machine {
                    machine.report(now, &report);
                }
            }
            Packet::MetaRead if self.away == 0 => self.send(meta, from, Packet::MetaIs(Rc::new(self.meta.clone()))),
            Packet::MetaIs(view) if self.managers[to - nodes].machine.is_some() => self.managers[to - nodes].view = Some(view),
            Packet::Swap(wanted) if self.away == 0 => self.swap(wanted),
            Packet::Order(Order::HandOver { slice, primary, to }) if self.is_up(primary) => {
                self.orders.insert(slice, to);
            }
            _ => {}
        }
    }

    pub(super) fn swap(&mut self, wanted: Wanted) {
        let revision = match &wanted {
            Wanted::Node { node, .. } => self.meta.nodes.get(node).map(|seen| seen.revision),
            Wanted::Slice { slice, .. } => self.meta.slices.get(slice).map(|seen| seen.revision),
            Wanted::Target { slice, .. } => self.meta.targets.get(slice).map(|seen| seen.revision),
            Wanted::Order { .. } => return,
        };
        let expect = match &wanted {
            Wanted::Node { expect, .. } | Wanted::Slice { expect, .. } => Some(*expect),
            Wanted::Target { expect, .. } => *expect,
            Wanted::Order { .. } => None,
        };
        if revision != expect {
            self.counts.conflicts += 1;
            return;
        }
        match wanted {
            Wanted::Node { node, next, .. } => self.change_node(node, next),
            Wanted::Slice { slice, next, .. } => {
                self.check_managers_swap(slice, &next);
                self.change_slice(slice, next);
            }
            Wanted::Target { slice, next: Some(next), .. } => {
                let seen = Seen { value: next, revision: self.next_revision() };
                self.meta.targets.insert(slice, seen);
            }
            Wanted::Target { slice, .. } => {
                let target = self.meta.targets.remove(&slice);
                let entry = &self.meta.slices[&slice].value;
                let reached =
                    target.is_some_and(|target| target.value.iter().all(|node| entry.everyone().any(|id| id.node == *node)));
                self.counts.given_up += u64::from(!reached);
            }
            Wanted::Order { .. } => {}
        }
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }

    pub(super) fn change_node(&mut self, node: NodeId, next: NodeEntry) {
        let revision = self.next_revision();
        let Some(seen) = self.meta.nodes.get_mut(&node) else { return };
        let before = seen.value.state;
        *seen = Seen { value: next, revision };
        let after = seen.value.state;
        self.counts.states += 1;
        if before != after && !before.may_become(after) {
            self.complain(format!("node {node} was {before:?} and became {after:?}"));
        }
    }

    fn check_managers_swap(&mut self, slice: SliceId, next: &SliceEntry) {
        let entry = self.meta.slices[&slice].value.clone();
        let same = (next.epoch, next.primary, &next.members) == (entry.epoch, entry.primary, &entry.members);
        let given_up = entry.backups.iter().any(|id| self.is_intact(*id) && !next.keeps(*id));
        let well = next.everyone().filter(|id| next.keeps(*id)).all(|id| entry.is_member(id));
        if !same || (given_up && !well) {
            self.complain(format!("slice {slice}: a manager turned {entry:?} into {next:?}"));
        }
        self.counts.added += next.backups.iter().filter(|id| !entry.keeps(**id)).count() as u64;
        self.counts.removed += entry.backups.iter().filter(|id| !next.keeps(**id)).count() as u64;
    }

    pub(super) fn change_slice(&mut self, slice: SliceId, next: SliceEntry) {
        let revision = self.next_revision();
        self.note(|| format!("slice {slice} becomes {next:?}"));
        let Some(seen) = self.meta.slices.get_mut(&slice) else { return };
        let law = seen.value.check_next(&next);
        *seen = Seen { value: next, revision };
        if let Err(error) = law {
            self.complain(format!("slice {slice}: {error}"));
        }
    }

    fn settle_down(&mut self) {
        if !self.calm {
            self.calm = true;
            self.mend_everything();
        }
        let unrest = self.unrest();
        if unrest.is_empty() {
            self.over = true;
        } else if self.now > self.plan.busy_us + REST_US {
            self.complain(format!("the fleet does not come to rest: {unrest}"));
        } else {
            self.queue.put(self.now + 100_000, Happening::Calm);
        }
    }

    /// What is not yet as it must be in the end.
    fn unrest(&self) -> String {
        for (node, seen) in &self.meta.nodes {
            let (gone, drains) = (self.nodes[node.0 as usize].gone, seen.value.drains);
            let settled = if drains { NodeState::Draining } else { NodeState::Normal };
            let expect = if gone { NodeState::Down } else { settled };
            let never_heard = gone && seen.value.state == NodeState::Joining;
            if seen.value.state != expect && !never_heard {
                return format!("node {node} is {:?}, not {expect:?}", seen.value.state);
            }
        }
        let stays = |node: NodeId| !self.nodes[node.0 as usize].gone && !self.meta.nodes[&node].value.drains;
        let copies = self.meta.nodes.keys().filter(|node| stays(**node)).count().min(self.plan.copies as usize);
        for (slice, seen) in &self.meta.slices {
            let entry = &seen.value;
            let kept: Vec<ReplicaId> = entry.everyone().filter(|id| entry.keeps(*id)).collect();
            let well = kept.iter().all(|id| entry.is_member(*id) && self.is_up(*id) && stays(id.node));
            if !well || kept.len() != copies || entry.members.len() != copies || self.meta.targets.contains_key(slice) {
                return format!("slice {slice} is {entry:?}, {copies} copies, target {:?}", self.meta.targets.get(slice));
            }
        }
        String::new()
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
