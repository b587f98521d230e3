//! A scheduler's process: a machine, a disk, clocks; it dies, stands still, starts again; and its shell: what each action
//! of the machine means.
//!
//! Promises: what a process knew is gone with it; a process that stands still hears later what it would have heard.

use super::clients::{Ask, Told};
use super::fleet::{Fleet, Happening, Packet};
use super::store::{Store, Task};
use super::table::Table;
use crate::clock::Clock;
use crate::dice::Dice;
use protocol::tags::{Action, Answer, Change, Event, Point, Scheduler, Swapped};
use protocol::{Moment, Planted, ReplicaId, RequestId, Run, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{NodeId, Sequence, StoreId};

/// A process whose disk is full starts again after so long.
const FULL_PAUSE_US: u64 = 300_000;

/// A client's request in a process.
#[derive(Clone, Debug)]
struct InFlight {
    place: usize,
    token: u64,
    ask: Ask,
    /// What had been answered when it was asked.
    floor: Sequence,
    /// The snapshot of a read.
    snapshot: Option<(Point, Table)>,
}

/// A node.
pub(super) struct Node {
    id: NodeId,
    pub(super) store: Store,
    pub(super) machine: Option<Scheduler>,
    pub(super) run: u64,
    pub(super) paused: u32,
    deferred: Vec<Happening>,
    clock: Clock,
    tick_at: u64,
    working: bool,
    pub(super) slow: u64,
    pub(super) full: u32,
    requests: BTreeMap<RequestId, InFlight>,
}

impl Node {
    pub(super) fn new(n: usize, dice: &mut Dice, planted: Planted) -> Node {
        Node {
            id: NodeId(n as u64),
            store: Store::new(StoreId(u128::from(dice.below(1_000)) * 100 + n as u128), planted),
            machine: None,
            run: 0,
            paused: 0,
            deferred: Vec::new(),
            clock: Clock::new(dice),
            tick_at: u64::MAX,
            working: false,
            slow: 1,
            full: 0,
            requests: BTreeMap::new(),
        }
    }

    pub(super) fn me(&self) -> ReplicaId {
        ReplicaId { node: self.id, store: self.store.id }
    }

    /// Whether something can happen in its process now: not in a dead or another one; later, where it stands still.
    pub(super) fn takes(&mut self, happening: Happening, run: Option<u64>) -> Option<Happening> {
        if self.machine.is_none() || run.is_some_and(|run| run != self.run) {
            return None;
        }
        if self.paused > 0 {
            self.deferred.push(happening);
            return None;
        }
        Some(happening)
    }
}

impl Fleet {
    pub(super) fn start(&mut self, n: usize) {
        let (now, planted) = (self.now, self.planted);
        let node = &mut self.nodes[n];
        if node.machine.is_some() {
            return;
        }
        node.run += 1;
        (node.working, node.tick_at) = (false, u64::MAX);
        node.clock.start(now, &mut self.dice);
        let settings = Settings {
            window_records_max: 20,
            message_records_max: 3,
            batch_changes_max: 3,
            batches_under_way_max: 3,
            batches_kept_max: 4,
            planted,
            ..Settings::default()
        };
        let (recovered, run) = (node.store.open(), Run(node.run << 8 | n as u64));
        node.machine = Some(Scheduler::open(node.me(), run, settings, recovered, Moment(node.clock.monotonic(now))));
        self.feed(n, Event::Tick);
    }

    /// A process dies; of what its disk was doing a beginning is there.
    pub(super) fn kill(&mut self, n: usize) {
        let (node, dice) = (&mut self.nodes[n], &mut self.dice);
        node.machine = None;
        node.deferred.clear();
        node.requests.clear();
        node.store.crash(&mut |tasks| dice.below(tasks as u64 + 1) as usize);
    }

    pub(super) fn resume(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.paused = node.paused.saturating_sub(1);
        if node.paused == 0 {
            for happening in std::mem::take(&mut node.deferred) {
                self.queue.put(self.now, happening);
            }
        }
    }

    /// Hands an event to the machine and carries out what it wants.
    pub(super) fn feed(&mut self, n: usize, event: Event) {
        if self.is_traced() {
            let line = format!("node {n}: {event:?}");
            self.note(|| line);
        }
        let node = &mut self.nodes[n];
        let now = Moment(node.clock.monotonic(self.now));
        let Some(machine) = &mut node.machine else { return };
        let mut actions = std::mem::take(&mut self.actions);
        machine.step(now, event, &mut actions);
        for action in actions.drain(..) {
            if self.is_traced() {
                let line = format!("node {n}:     {action:?}");
                self.note(|| line);
            }
            self.carry_out(n, action);
        }
        self.actions = actions;
        self.check_readable(n);
        self.schedule_tick(n);
    }

    /// Whoever may read without asking shows all that was answered.
    fn check_readable(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(machine) = node.machine.as_ref().filter(|_| node.paused == 0) else { return };
        let leased = Moment(node.clock.monotonic(self.now)) < machine.readable_until();
        let (me, shown, floor) = (node.me(), machine.shown(), self.checker.floor());
        if leased && shown < floor {
            self.checker.complain(format!("{me} may be read at batch {shown}, but batch {floor} was answered"));
        }
    }

    fn schedule_tick(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let now = Moment(node.clock.monotonic(self.now));
        let Some(wakes) = node.machine.as_ref().map(|machine| machine.wakes_at(now)) else { return };
        if wakes == Moment::NEVER {
            return;
        }
        let at = node.clock.true_time(wakes.0).max(self.now + 5);
        if at < node.tick_at {
            node.tick_at = at;
            self.queue.put(at, Happening::Tick { node: n, run: node.run });
        }
    }

    pub(super) fn tick(&mut self, n: usize) {
        self.nodes[n].tick_at = u64::MAX;
        self.feed(n, Event::Tick);
    }

    pub(super) fn node_hears(&mut self, n: usize, from: usize, packet: Packet) {
        match packet {
            Packet::Scheduler { from, to, message } if to == self.nodes[n].me() => self.feed(n, Event::Message { from, message }),
            Packet::MetaIs { entry, revision } => self.feed(n, Event::Entry { entry, revision }),
            Packet::MetaSwapped { run, expect, done, entry, revision } if run == self.nodes[n].run => {
                let outcome = done.map_or(Swapped::Conflict { entry, revision }, Swapped::Done);
                self.feed(n, Event::Swapped { expect, outcome });
            }
            Packet::Ask { token, ask } => {
                let request = RequestId(self.number());
                let floor = self.clients[from - self.nodes.len()].floor();
                let event = match &ask {
                    Ask::Change { origin, op } => {
                        Event::Change { request, change: Change { origin: *origin, body: op.encode() } }
                    }
                    Ask::Read => Event::Read { request },
                };
                self.nodes[n].requests.insert(request, InFlight { place: from, token, ask, floor, snapshot: None });
                self.feed(n, event);
            }
            _ => {}
        }
    }

    /// Lets the disk begin with the next work, where there is some.
    fn kick(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.working || !node.store.has_work() {
            return;
        }
        node.working = true;
        let at = self.now + self.dice.between(60, 900) * node.slow;
        self.queue.put(at, Happening::Work { node: n, run: node.run });
    }

    pub(super) fn work(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.working = false;
        if node.full > 0 {
            // Nothing is known of what was to be written: the process ends, and opens its store anew.
            self.note(|| format!("node {n}: disk full"));
            self.kill(n);
            return self.queue.put(self.now + FULL_PAUSE_US, Happening::Start { node: n });
        }
        let event = node.store.work();
        match &event {
            Some(Event::Cut { .. }) => self.checker.counts.cut += 1,
            Some(Event::PartsTaken { at: Some(_) }) => self.checker.counts.parts_taken += 1,
            _ => {}
        }
        if let Some(event) = event {
            self.feed(n, event);
        }
        self.kick(n);
    }

    fn submit(&mut self, n: usize, task: Task) {
        self.nodes[n].store.submit(task);
        self.kick(n);
    }

    fn inner(&mut self, n: usize, event: Event) {
        let at = self.now + self.dice.between(5, 300);
        self.queue.put(at, Happening::Inner { node: n, run: self.nodes[n].run, event });
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let (me, run) = (self.nodes[n].me(), self.nodes[n].run);
        match action {
            Action::PersistEpoch(epoch) => self.submit(n, Task::Epoch(epoch)),
            Action::Log(batches) => {
                self.checker.logged(&batches);
                self.submit(n, Task::Log(batches));
            }
            Action::Cut { to } => self.submit(n, Task::Cut(to)),
            Action::Apply(up_to) => self.apply(n, up_to),
            Action::HashParts => self.submit(n, Task::Hash),
            Action::ReadParts { to, asked, hashes } => self.submit(n, Task::Read { to, asked, hashes }),
            Action::TakeParts { at, parts, complete } => self.submit(n, Task::Take { at, parts, complete }),
            Action::Send { to, message } => self.send(n, to.node.0 as usize, Packet::Scheduler { from: me, to, message }),
            Action::Answer { request, answer } => self.answer(n, request, answer),
            Action::Snapshot { request } => {
                let at = self.now + self.dice.between(5, 2_000);
                self.queue.put(at, Happening::Snapshot { node: n, run, request });
            }
            Action::Swap { expect, next } => self.send(n, self.meta_place(), Packet::MetaSwap { run, expect, next }),
            Action::ReadMeta => self.send(n, self.meta_place(), Packet::MetaRead),
            Action::Began { epoch } => self.checker.began(epoch.0, me, run),
        }
    }

    fn apply(&mut self, n: usize, up_to: Sequence) {
        let node = &mut self.nodes[n];
        node.store.apply(up_to);
        let (me, at) = (node.me(), node.store.shown);
        if at.sequence != up_to {
            self.checker.complain(format!("{me} is to apply up to {up_to}, but has {at:?}"));
        }
        self.checker.shows(me, at, &self.nodes[n].store.live);
        if self.dice.one_in(4) {
            let table = self.nodes[n].store.live.clone();
            self.submit(n, Task::Checkpoint { at, table });
        }
        self.inner(n, Event::Applied(up_to));
    }

    pub(super) fn snapshot(&mut self, n: usize, request: RequestId) {
        let node = &mut self.nodes[n];
        let Some(in_flight) = node.requests.get_mut(&request) else { return };
        let at = node.store.shown;
        in_flight.snapshot = Some((at, node.store.live.clone()));
        self.inner(n, Event::Snapshotted { request, at: at.sequence });
    }

    fn answer(&mut self, n: usize, request: RequestId, answer: Answer) {
        let node = &mut self.nodes[n];
        let me = node.me();
        let Some(in_flight) = node.requests.remove(&request) else {
            return self.checker.complain(format!("{me} answers {request:?} twice, now with {answer:?}"));
        };
        let InFlight { place, token, ask, floor, snapshot } = in_flight;
        // Who gave a request up does not take its answer for one.
        let wanted = self.clients[place - self.nodes.len()].waits_for(token);
        let told = match (answer, ask) {
            (Answer::Done { sequence }, Ask::Change { origin, .. }) => {
                if wanted {
                    let result = self.nodes[n].store.live.result(origin);
                    self.checker.answered(origin, sequence, result);
                    (0..self.nodes.len()).for_each(|n| self.check_readable(n));
                }
                Told::Done
            }
            (Answer::Readable { .. }, Ask::Read) => {
                let Some((at, table)) = snapshot else { return };
                if wanted {
                    self.checker.read(me, at, floor, &table);
                }
                Told::Read(Rc::new(table))
            }
            (Answer::Refused(refusal), _) => Told::Refused(refusal),
            (answer, ask) => return self.checker.complain(format!("{ask:?} was answered with {answer:?}")),
        };
        self.send(n, place, Packet::Told { token, told });
    }
}
