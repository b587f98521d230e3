//! A fleet of schedulers in one thread: nodes, network, meta, disks, clients, faults, stepped in the order of one queue.
//!
//! Promises: a plan gives one run; nothing of the machine it runs on is asked; the first broken promise ends the run. It
//! may not know what the machines decide.

use super::check::{Checker, TagCounts};
use super::clients::{Ask, Client, Told};
use super::node::Node;
use super::plan::TagPlan;
use super::table::Table;
use crate::dice::Dice;
use crate::meta::Away;
use crate::network::Network;
use crate::queue::Queue;
use crate::scenario::{Outcome, Play};
use protocol::tags::{Action, Event, Message, Point, TagEntry};
use protocol::{Mutation, Planted, ReplicaId, RequestId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use types::{Epoch, Revision};

/// After so long without faults the fleet must have come to rest.
const REST_US: u64 = 30_000_000;

/// How often it is looked whether it has.
const LOOK_US: u64 = 100_000;

/// The most that a run may do.
const EVENTS_MAX: u64 = 3_000_000;

/// How many lines of a trace are kept.
const TRACE_LINES: usize = 4_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Deliver { from: usize, to: usize, packet: Packet },
    Tick { node: usize, run: u64 },
    Work { node: usize, run: u64 },
    Inner { node: usize, run: u64, event: Event },
    Snapshot { node: usize, run: u64, request: RequestId },
    Start { node: usize },
    Resume { node: usize },
    Client { client: usize, token: u64 },
    Fault { index: usize, ends: bool },
    Operator,
    Calm,
}

impl Happening {
    /// The node whose process must run for it, and which run of it where that matters.
    pub(super) fn process(&self) -> Option<(usize, Option<u64>)> {
        match self {
            Happening::Deliver { to, .. } => Some((*to, None)),
            Happening::Tick { node, run }
            | Happening::Work { node, run }
            | Happening::Snapshot { node, run, .. }
            | Happening::Inner { node, run, .. } => Some((*node, Some(*run))),
            _ => None,
        }
    }
}

/// What goes over the network.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Scheduler { from: ReplicaId, to: ReplicaId, message: Message },
    Ask { token: u64, ask: Ask },
    Told { token: u64, told: Told },
    MetaRead,
    MetaSwap { run: u64, expect: Revision, next: TagEntry },
    MetaIs { entry: TagEntry, revision: Revision },
    MetaSwapped { run: u64, expect: Revision, done: Option<Revision>, entry: TagEntry, revision: Revision },
}

/// What a scheduler's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Runs,
    Still,
    Gone,
}

/// The simulated meta: one entry.
pub(super) struct Meta {
    pub(super) entry: TagEntry,
    pub(super) revision: u64,
    pub(super) away: Away,
}

/// A fleet.
pub struct Fleet {
    pub(super) plan: TagPlan,
    pub(super) planted: Planted,
    pub(crate) now: u64,
    pub(super) queue: Queue<Happening>,
    pub(super) network: Network,
    pub(super) meta: Meta,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(crate) checker: Checker,
    pub(super) dice: Dice,
    pub(super) numbers: u64,
    /// Faults are over, clients stop.
    pub(super) calm: bool,
    pub(crate) over: bool,
    /// Tables that statements were shown; none where a scheduler refused.
    pub(crate) looked_up: Vec<(usize, Option<Rc<Table>>)>,
    /// The places that faults hit, by the fault's index.
    pub(super) targets: BTreeMap<usize, (usize, usize)>,
    /// Nodes that are out of the fleet for a while.
    pub(super) left: BTreeSet<usize>,
    pub(super) actions: Vec<Action>,
    trace: Option<VecDeque<String>>,
}

impl Fleet {
    /// The fleet of a plan, before anything happens.
    pub(super) fn new(plan: &TagPlan, planted: Planted, trace: bool) -> Fleet {
        let network = Network::new(plan.places(), Dice::new(plan.seed, 13));
        Fleet::part(plan, planted, trace, network, Away::default())
    }

    /// The same, over the network and the meta of a larger one.
    pub(crate) fn part(plan: &TagPlan, planted: Planted, trace: bool, network: Network, away: Away) -> Fleet {
        let mut dice = Dice::new(plan.seed, 12);
        let nodes: Vec<Node> = (0..plan.nodes).map(|n| Node::new(n, &mut dice, planted)).collect();
        let all: Vec<ReplicaId> = nodes.iter().map(Node::me).collect();
        let entry =
            TagEntry { epoch: Epoch(1), leader: all[0], committed: Point::default(), normal: all.clone(), registered: all };
        let mut fleet = Fleet {
            now: 0,
            queue: Queue::default(),
            network,
            meta: Meta { entry, revision: 1, away },
            clients: (0..plan.clients + plan.statements).map(|c| Client::new(c, plan)).collect(),
            nodes,
            checker: Checker::new(),
            numbers: 0,
            calm: false,
            over: false,
            looked_up: Vec::new(),
            targets: BTreeMap::new(),
            left: BTreeSet::new(),
            actions: Vec::new(),
            trace: trace.then(VecDeque::new),
            plan: plan.clone(),
            planted,
            dice,
        };
        (0..plan.nodes).for_each(|node| fleet.queue.put(0, Happening::Start { node }));
        (0..plan.clients).for_each(|client| fleet.wake_client(client, 1_000 + client as u64));
        for (index, timed) in plan.faults.iter().enumerate() {
            fleet.queue.put(timed.at_us, Happening::Fault { index, ends: false });
        }
        fleet.queue.put(50_000, Happening::Operator);
        fleet.queue.put(plan.busy_us, Happening::Calm);
        fleet
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

    /// Whether a scheduler's process is there, and whether it stands still.
    pub(crate) fn stands(&self, scheduler: usize) -> Standing {
        let node = &self.nodes[scheduler];
        match (&node.machine, node.paused) {
            (None, _) => Standing::Gone,
            (Some(_), 0) => Standing::Runs,
            (Some(_), _) => Standing::Still,
        }
    }

    /// The table of whoever leads with all that it has prepared, for the planted bug `SampleBeforeCommit`.
    pub(crate) fn prepared(&self) -> Table {
        self.nodes[self.meta.entry.leader.node.0 as usize].store.prepared()
    }

    fn happen(&mut self, happening: Happening) {
        let happening = match happening.process().filter(|(place, _)| *place < self.nodes.len()) {
            Some((node, run)) => match self.nodes[node].takes(happening, run) {
                Some(happening) => happening,
                None => return,
            },
            None => happening,
        };
        match happening {
            Happening::Deliver { from, to, packet } if to < self.nodes.len() => self.node_hears(to, from, packet),
            Happening::Deliver { from, to, packet } if to == self.meta_place() => self.meta_hears(from, packet),
            Happening::Deliver { to, packet, .. } => self.client_hears(to - self.nodes.len(), packet),
            Happening::Tick { node, .. } => self.tick(node),
            Happening::Work { node, .. } => self.work(node),
            Happening::Inner { node, event, .. } => self.feed(node, event),
            Happening::Snapshot { node, request, .. } => self.snapshot(node, request),
            Happening::Start { node } => self.start(node),
            Happening::Resume { node } => self.resume(node),
            Happening::Client { client, token } => self.client_wakes(client, token),
            Happening::Fault { index, ends } => self.fault(index, ends),
            Happening::Operator => self.operate(),
            Happening::Calm => self.settle_down(),
        }
    }

    pub(super) fn meta_place(&self) -> usize {
        self.nodes.len() + self.clients.len()
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, from: usize, to: usize, packet: Packet) {
        for at in self.network.arrivals(self.now, from, to) {
            self.queue.put(at, Happening::Deliver { from, to, packet: packet.clone() });
        }
    }

    fn meta_hears(&mut self, from: usize, packet: Packet) {
        if !self.meta.away.acts() {
            return;
        }
        let answer = match packet {
            Packet::MetaRead => Packet::MetaIs { entry: self.meta.entry.clone(), revision: Revision(self.meta.revision) },
            Packet::MetaSwap { run, expect, next } => {
                let done = expect == Revision(self.meta.revision);
                if done {
                    self.change_entry(next);
                }
                let (entry, revision) = (self.meta.entry.clone(), Revision(self.meta.revision));
                Packet::MetaSwapped { run, expect, done: done.then_some(revision), entry, revision }
            }
            _ => return,
        };
        if self.meta.away.answers() {
            self.send(self.meta_place(), from, answer);
        }
    }

    /// The entry changes, by a swap that found what it compared with.
    pub(super) fn change_entry(&mut self, next: TagEntry) {
        self.note(|| format!("meta: {next:?}"));
        if let Err(error) = self.meta.entry.check_next(&next)
            && !self.planted.has(Mutation::LeaderFromOutside)
        {
            return self.checker.complain(format!("an illegal entry was asked for: {error}"));
        }
        self.checker.counts.removed += self.meta.entry.normal.iter().filter(|id| !next.is_normal(**id)).count() as u64;
        self.checker.committed(next.committed);
        for id in &next.normal {
            let node = self.nodes.iter().find(|node| node.me() == *id);
            if node.is_some_and(|node| !node.store.holds(next.committed)) {
                self.checker.complain(format!("{id} is Normal, but does not hold {:?}", next.committed));
            }
        }
        (self.meta.entry, self.meta.revision) = (next, self.meta.revision + 1);
        self.hint();
    }

    /// Tells the schedulers that the entry changed, some time.
    pub(super) fn hint(&mut self) {
        if !self.meta.away.answers() {
            return;
        }
        let place = self.meta_place();
        let packet = Packet::MetaIs { entry: self.meta.entry.clone(), revision: Revision(self.meta.revision) };
        for to in 0..self.nodes.len() {
            let late = if self.dice.one_in(10) { self.dice.below(1_500_000) } else { self.dice.below(30_000) };
            for at in self.network.arrivals(self.now + late, place, to) {
                self.queue.put(at, Happening::Deliver { from: place, to, packet: packet.clone() });
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
        let unrest = self.unrest();
        if unrest.is_empty() {
            self.over = true;
        } else if self.now > self.plan.busy_us + REST_US {
            self.checker.complain(format!("the fleet does not come to rest: {unrest}"));
        } else {
            self.queue.put(self.now + LOOK_US, Happening::Calm);
        }
    }

    /// What is still under way. At rest every scheduler is Normal, and shows what is committed.
    fn unrest(&mut self) -> String {
        let entry = self.meta.entry.clone();
        if let Some(client) = self.clients[..self.plan.clients].iter().find(|client| !client.is_idle()) {
            return format!("{client:?}, {entry:?}");
        }
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let (me, shown) = (node.me(), node.store.shown);
            let leads = node.machine.as_ref().is_some_and(|machine| machine.leads());
            let well = entry.is_normal(me) && shown == entry.committed && leads == (entry.leader == me);
            if !well {
                return format!("{me} shows {shown:?}, leads: {leads}, {entry:?}");
            }
            self.checker.shows(me, shown, &node.store.live);
        }
        String::new()
    }

    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// A line of the trace.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10} {}", self.now, line()));
        }
    }
}

impl Play<TagCounts> for Fleet {
    fn run(&mut self) {
        while !self.over && self.checker.complaint.is_none() {
            self.step();
        }
    }

    fn complain(&mut self, text: String) {
        self.checker.complain(text);
    }

    fn end(&mut self) -> Outcome<TagCounts> {
        Outcome {
            complaint: self.checker.complaint.clone(),
            counts: self.checker.counts,
            trace: self.trace.take().map(Vec::from).unwrap_or_default(),
        }
    }
}
