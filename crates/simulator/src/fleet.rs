//! A fleet in one thread: nodes, network, meta, disks, clients, faults, all stepped in the order of one queue.
//!
//! ```text
//!   queue ──> happening ──> node: machine.step ──> actions ──> store, network, clients (`shell`)
//!                     ├───> meta                                   └──> checker
//!                     └───> client, operator, fault
//! ```
//! Promises: a plan gives one run; nothing of the machine it runs on is asked. The checker hears of
//! everything that matters, and the first broken promise ends the run.

mod clients;
mod copying;
mod faults;
mod happening;
mod managing;
mod node;
mod operator;
mod packet;
mod shell;
mod work;

use crate::check::{Checker, Counts, Ending};
use crate::dice::Dice;
use crate::managers::{self, MemberCounts, Tender};
use crate::meta::{Away, Meta};
use crate::network::Network;
use crate::plan::Plan;
use crate::queue::Queue;
use crate::scenario::{Outcome, Play};
pub(crate) use clients::Tag;
use clients::{Client, Door};
use happening::Happening;
use node::Node;
use packet::Packet;
use protocol::membership::{NodeEntry, NodeState};
use protocol::{Action, Planted, Policy, Record, ReplicaId, SliceEntry};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use types::{Epoch, SliceId};

/// After so long without faults the fleet must have come to rest.
const REST_US: u64 = 60_000_000;

/// How often it is looked whether it has.
const LOOK_US: u64 = 100_000;

/// The most that a run may do.
const EVENTS_MAX: u64 = 3_000_000;

/// How many lines of a trace are kept.
const TRACE_LINES: usize = 4_000;

/// A fleet.
pub struct Fleet {
    plan: Plan,
    planted: Planted,
    pub(crate) now: u64,
    queue: Queue<Happening>,
    network: Network,
    meta: Meta,
    nodes: Vec<Node>,
    doors: Vec<Door>,
    managers: Vec<Tender>,
    clients: Vec<Client>,
    /// Clients that want to know of the tags, and at which doors.
    pub(crate) look_ups: Vec<(usize, usize)>,
    pub(crate) checker: Checker,
    pub(crate) members: MemberCounts,
    dice: Dice,
    numbers: u64,
    /// Faults are over, clients stop.
    calm: bool,
    pub(crate) over: bool,
    /// Replicas that will be added again, by the fault that removed them.
    removed: BTreeMap<usize, ReplicaId>,
    /// The places that faults hit, by the fault's index.
    targets: BTreeMap<usize, (usize, usize)>,
    actions: Vec<Action>,
    pub(crate) trace: Option<VecDeque<String>>,
}

impl Fleet {
    /// The fleet of a plan, before anything happens.
    pub(crate) fn new(plan: &Plan, planted: Planted, trace: bool) -> Fleet {
        let network = Network::new(plan.places(), Dice::new(plan.seed, 3));
        Fleet::part(plan, planted, trace, network, Away::default())
    }

    /// The same, over the network and the meta of a larger one.
    pub(crate) fn part(plan: &Plan, planted: Planted, trace: bool, network: Network, away: Away) -> Fleet {
        let mut dice = Dice::new(plan.seed, 2);
        let nodes: Vec<Node> = (0..plan.nodes).map(|n| Node::new(n, &mut dice, plan, planted)).collect();
        let holders = plan.nodes - plan.spare;
        let entries = plan.slices.iter().enumerate().map(|(slice, (mode, min_in_sync))| {
            let replicas: Vec<ReplicaId> = (0..plan.copies).map(|copy| nodes[(slice + copy) % holders].me()).collect();
            SliceEntry {
                epoch: Epoch(1),
                primary: replicas[0],
                backups: replicas[1..].to_vec(),
                members: replicas,
                policy: Policy { mode: *mode, min_in_sync: *min_in_sync },
                forced: Epoch(0),
            }
        });
        let registered = |node: &Node| NodeEntry {
            store: node.me().store,
            state: NodeState::Joining,
            drains: false,
            weight: 1 + (node.id.0 % 2) as u32,
            region: format!("region {}", node.id.0 % 2),
            rack: String::new(),
        };
        let mut fleet = Fleet {
            now: 0,
            queue: Queue::default(),
            network,
            meta: Meta::new(nodes.iter().map(registered).collect(), entries.collect(), plan.copies as u32, away),
            doors: (0..plan.doors()).map(|_| Door::new(plan)).collect(),
            managers: (0..plan.managers).map(|_| Tender::new(&mut dice)).collect(),
            clients: (0..plan.clients).map(|c| Client::new(c, plan)).collect(),
            look_ups: Vec::new(),
            nodes,
            checker: Checker::new(plan.slices.iter().map(|(mode, _)| *mode)),
            members: MemberCounts::default(),
            numbers: 0,
            calm: false,
            over: false,
            removed: BTreeMap::new(),
            targets: BTreeMap::new(),
            actions: Vec::new(),
            trace: trace.then(VecDeque::new),
            plan: plan.clone(),
            planted,
            dice,
        };
        fleet.meta.lawless = planted.has(protocol::Mutation::PromoteNonMember);
        fleet.schedule();
        fleet
    }

    fn schedule(&mut self) {
        for node in 0..self.nodes.len() {
            self.queue.put(0, Happening::Start { node });
        }
        for client in 0..self.clients.len() {
            self.wake_client(client, 1_000 + client as u64);
        }
        for door in 0..self.plan.schedulers {
            self.open_door(door);
        }
        for manager in 0..self.managers.len() {
            self.queue.put(0, Happening::StartManager { manager });
        }
        for node in 0..if self.managers.is_empty() { 0 } else { self.nodes.len() } {
            self.queue.put(1 + node as u64, Happening::Report { node });
        }
        for (index, timed) in self.plan.faults.iter().enumerate() {
            self.queue.put(timed.at_us, Happening::Fault { index, ends: false });
        }
        self.queue.put(50_000, Happening::Operator);
        self.queue.put(self.plan.busy_us, Happening::Calm);
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> u64 {
        self.queue.next_at()
    }

    /// What is next happens.
    pub(crate) fn step(&mut self) {
        let Some((at, happening)) = self.queue.take() else { return };
        self.now = at;
        self.checker.counts.events += 1;
        if self.checker.counts.events > EVENTS_MAX {
            self.checker.complain("the run does not end".to_owned());
        }
        self.happen(happening);
    }

    fn happen(&mut self, happening: Happening) {
        let happening = match happening.process().filter(|place| *place < self.nodes.len()) {
            Some(node) => match self.nodes[node].takes(happening) {
                Some(happening) => happening,
                None => return,
            },
            None => happening,
        };
        match happening {
            Happening::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Happening::Tick { node, slice, .. } => self.tick(node, slice),
            Happening::Work { node, .. } => self.work(node),
            Happening::Inner { node, slice, event, .. } => self.feed(node, slice, event),
            Happening::Snapshot { node, slice, request, .. } => self.snapshot(node, slice, request),
            Happening::AskGroups { node, slice, token, .. } => self.ask_groups(node, slice, token),
            Happening::Start { node } => self.start(node),
            Happening::Resume { node } => self.resume(node),
            Happening::Client { client, token } => self.client_wakes(client, token),
            Happening::Fault { index, ends } => self.fault(index, ends),
            Happening::Operator => self.operate(),
            Happening::Report { node } => self.report_of(node),
            Happening::Tend { manager, run } => self.tend(manager, run),
            Happening::StartManager { manager } => self.start_manager(manager),
            Happening::Calm => self.settle_down(),
        }
    }

    fn deliver(&mut self, from: usize, to: usize, packet: Packet) {
        let (doors, managers) = (self.nodes.len(), self.nodes.len() + self.doors.len());
        if to < doors {
            self.node_hears(to, from, packet);
        } else if to < managers {
            self.door_hears(to - doors, packet);
        } else if to < self.meta_place() {
            self.manager_hears(to - managers, packet);
        } else {
            self.meta_hears(from, packet);
        }
    }

    fn meta_place(&self) -> usize {
        self.nodes.len() + self.doors.len() + self.managers.len()
    }

    /// Sends a packet.
    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        let mut arrivals = self.network.arrivals(self.now, from, to);
        let Some(first) = arrivals.next() else { return };
        if let Some(second) = arrivals.next() {
            self.queue.put(second, Happening::Deliver { from, to, packet: packet.clone() });
        }
        self.queue.put(first, Happening::Deliver { from, to, packet });
    }

    fn meta_hears(&mut self, from: usize, packet: Packet) {
        if !self.meta.away.acts() {
            return;
        }
        let answer = match packet {
            Packet::MetaRead { slice, seen } => {
                let kept = self.meta.get(slice.0 as usize).clone();
                Packet::MetaIs { slice, entry: kept.value, revision: kept.revision, seen }
            }
            Packet::MetaSwap { slice, run, expect, next } => {
                let before = self.meta.get(slice.0 as usize).value.primary;
                let outcome = self.meta.swap(slice, expect, next.clone());
                let kept = self.meta.get(slice.0 as usize).clone();
                self.note(|| format!("meta: swap of slice {slice} at {expect}: {outcome:?} {next:?}"));
                let done = match outcome {
                    Ok(done) => done.then_some(kept.revision),
                    Err(error) => {
                        return self.checker.complain(format!("slice {slice}: an illegal entry was asked for: {error}"));
                    }
                };
                if done.is_some() {
                    let handed_over = before.node.0 as usize == from && before != kept.value.primary;
                    self.checker.counts.handed_over += u64::from(handed_over);
                    self.hint(slice);
                }
                Packet::MetaSwapped { slice, run, expect, done, entry: kept.value, revision: kept.revision }
            }
            Packet::ViewRead => Packet::ViewIs(Rc::new(self.meta.view.clone())),
            Packet::Wanted(wanted) => return self.swap(wanted),
            _ => return,
        };
        if self.meta.away.answers() {
            let place = self.meta_place();
            self.send(place, from, answer);
        }
    }

    /// Tells the nodes that an entry changed, some time.
    fn hint(&mut self, slice: SliceId) {
        if !self.meta.away.answers() {
            return;
        }
        let (place, kept) = (self.meta_place(), self.meta.get(slice.0 as usize).clone());
        for node in 0..self.nodes.len() {
            let packet = Packet::Hint { slice, entry: kept.value.clone(), revision: kept.revision };
            let late = self.now + if self.dice.one_in(10) { self.dice.below(1_500_000) } else { self.dice.below(30_000) };
            for at in self.network.arrivals(late, place, node) {
                self.queue.put(at, Happening::Deliver { from: place, to: node, packet: packet.clone() });
            }
        }
    }

    /// Faults end; from now on the fleet has to come to rest.
    fn settle_down(&mut self) {
        if !self.calm {
            self.calm = true;
            self.note(|| "calm".to_owned());
            self.mend_everything();
        }
        if self.is_at_rest() {
            self.over = true;
            return self.check_ending();
        }
        if self.now > self.plan.busy_us + REST_US {
            let why = self.unrest();
            return self.checker.complain(format!("the fleet does not come to rest: {why}"));
        }
        self.queue.put(self.now + LOOK_US, Happening::Calm);
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(Client::is_idle) && self.unrest().is_empty()
    }

    /// What is still under way.
    fn unrest(&self) -> String {
        if let Some(client) = self.clients.iter().find(|client| !client.is_idle()) {
            return format!("{client:?}");
        }
        if !self.managers.is_empty() {
            let unrest = managers::unrest(&self.meta.view, |node| self.nodes[node.0 as usize].gone, |id| self.is_up(id));
            if !unrest.is_empty() {
                return unrest;
            }
        }
        for slice in 0..self.plan.slices.len() {
            let entry = &self.meta.get(slice).value;
            let slice = SliceId(slice as u32);
            let primary = self.replica(slice, entry.primary).filter(|replica| replica.is_primary());
            let Some(primary) = primary else { return format!("slice {slice} has no primary, {entry:?}") };
            for id in entry.everyone() {
                let well = entry.is_member(id)
                    && self.replica(slice, id).is_some_and(|replica| {
                        replica.published() == primary.history().last() && replica.history() == primary.history()
                    });
                if !well {
                    let state = self.replica(slice, id).map(|replica| (replica.epoch(), replica.history(), replica.published()));
                    return format!("slice {slice}: {id} is behind: {state:?}, {entry:?}");
                }
            }
            if let Some(left) = self.nodes.iter().find(|node| node.locals.contains_key(&slice) && !entry.has(node.me())) {
                return format!("slice {slice}: {} was removed and is still there, {entry:?}", left.me());
            }
        }
        String::new()
    }

    fn replica(&self, slice: SliceId, id: ReplicaId) -> Option<&protocol::Replica> {
        let node = self.nodes.get(id.node.0 as usize).filter(|node| node.me() == id)?;
        node.locals.get(&slice).map(|local| &local.machine)
    }

    fn check_ending(&mut self) {
        for slice in 0..self.plan.slices.len() {
            let entry = self.meta.get(slice).value.clone();
            let slice = SliceId(slice as u32);
            let replicas = entry.everyone().filter_map(|id| {
                let node = self.nodes.get(id.node.0 as usize)?;
                Some((id, &node.locals.get(&slice)?.machine, node.store.state(slice)?))
            });
            let kept = |version| self.nodes.iter().any(|node| node.store.keeps(slice, version));
            let replicas: Vec<_> = replicas.collect();
            let replicas = replicas.iter().map(|(id, machine, state)| (*id, *machine, &**state)).collect();
            let ending = Ending { slice, primary: entry.primary, replicas, kept: &kept };
            self.checker.end(&ending);
        }
    }

    /// A number that was not given before.
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A line of the trace.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10} {}", self.now, line()));
        }
    }

    fn note_records(&mut self, slice: SliceId, records: &[Record]) {
        for record in records {
            self.checker.logged(slice, record);
        }
    }
}

impl Play<Counts> for Fleet {
    fn run(&mut self) {
        while !self.over && self.checker.complaint.is_none() {
            self.step();
        }
    }

    fn complain(&mut self, text: String) {
        self.checker.complain(text);
    }

    fn end(&mut self) -> Outcome<Counts> {
        Outcome {
            complaint: self.checker.complaint.clone(),
            counts: self.checker.counts,
            trace: self.trace.take().map(Vec::from).unwrap_or_default(),
        }
    }
}
