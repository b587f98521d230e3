//! A node: a process with its replicas, a store, clocks; it dies, stands still, and starts again.
//!
//! Promises: what a process knew is gone with it; a process that stands still hears later what it would
//! have heard; its monotonic clock drifts, its wall clock jumps.

use super::Fleet;
use super::happening::Happening;
use super::packet::{Ask, Packet};
use crate::check::{Known, ReadResult};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::plan::Plan;
use crate::store::Store;
use protocol::{
    Action, Event, Moment, Mutation, Offer, Planted, Replica, ReplicaId, RequestId, Run, Settings, SliceEntry, Swapped,
};
use std::collections::BTreeMap;
use types::{Epoch, NodeId, Period, Revision, SliceId, StoreId, Version};

/// A client's request in a process.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) place: usize,
    pub(super) token: u64,
    pub(super) ask: Ask,
    pub(super) floor: Known,
    pub(super) result: Option<ReadResult>,
}

/// Files being taken.
#[derive(Clone, Debug)]
pub(super) struct Taking {
    pub(super) from: ReplicaId,
    pub(super) offer: Offer,
    pub(super) token: u64,
    pub(super) missing: Vec<Period>,
    pub(super) copied: BTreeMap<Period, crate::store::CopiedGroup>,
    pub(super) tries: u32,
}

/// A replica in a process.
pub(super) struct Local {
    pub(super) machine: Replica,
    /// The true time of the next tick that is already in the queue.
    tick_at: u64,
    pub(super) requests: BTreeMap<RequestId, InFlight>,
    pub(super) taking: Option<Taking>,
    pub(super) flushed: Version,
    pub(super) flushing: bool,
    /// What it last showed to readers.
    pub(super) shown: Version,
}

/// A node.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) store: Box<dyn Store>,
    pub(super) locals: BTreeMap<SliceId, Local>,
    /// Slices whose data are being deleted.
    pub(super) deleting: Vec<SliceId>,
    pub(super) alive: bool,
    /// It never comes back.
    pub(super) gone: bool,
    pub(super) run: u64,
    pub(super) paused: u32,
    deferred: Vec<Happening>,
    pub(super) clock: Clock,
    pub(super) working: bool,
    pub(super) slow: u64,
    pub(super) full: u32,
    wall_leases: bool,
}

impl Node {
    pub(super) fn new(n: usize, dice: &mut Dice, plan: &Plan, planted: Planted) -> Node {
        let store = plan.store(StoreId(u128::from(dice.below(1_000)) * 100 + n as u128), planted);
        let clock = Clock::new(dice);
        Node {
            id: NodeId(n as u64),
            store,
            locals: BTreeMap::new(),
            deleting: Vec::new(),
            alive: false,
            gone: false,
            run: 0,
            paused: 0,
            deferred: Vec::new(),
            clock,
            working: false,
            slow: 1,
            full: 0,
            wall_leases: planted.has(Mutation::LeaseOnWallClock),
        }
    }

    pub(super) fn me(&self) -> ReplicaId {
        ReplicaId { node: self.id, store: self.store.id() }
    }

    /// Whether something can happen in its process now: not in a dead or another one; later, where it stands still.
    pub(super) fn takes(&mut self, happening: Happening) -> Option<Happening> {
        let run = match &happening {
            Happening::Tick { run, .. }
            | Happening::Work { run, .. }
            | Happening::AskGroups { run, .. }
            | Happening::Snapshot { run, .. }
            | Happening::Inner { run, .. } => *run,
            _ => self.run,
        };
        if !self.alive || run != self.run {
            return None;
        }
        if self.paused > 0 {
            self.deferred.push(happening);
            return None;
        }
        Some(happening)
    }

    fn moment(&self, now: u64) -> Moment {
        Moment(if self.wall_leases { self.clock.wall(now) as u64 } else { self.clock.monotonic(now) })
    }

    fn true_time(&self, now: u64, moment: Moment) -> u64 {
        if self.wall_leases {
            return (moment.0 as i64 - self.clock.wall_offset).max(now as i64) as u64;
        }
        self.clock.true_time(moment.0)
    }
}

impl Fleet {
    /// Hands an event to a replica's machine and carries out what it wants.
    pub(super) fn feed(&mut self, node: usize, slice: SliceId, event: Event) {
        let now = self.nodes[node].moment(self.now);
        if self.trace.is_some() {
            let line = format!("node {node} slice {slice}: {event:?}");
            self.note(|| line);
        }
        let Some(local) = self.nodes[node].locals.get_mut(&slice) else { return };
        let mut actions = std::mem::take(&mut self.actions);
        local.machine.step(now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(node, slice, action);
        }
        self.actions = actions;
        self.schedule_tick(node, slice);
    }

    fn schedule_tick(&mut self, n: usize, slice: SliceId) {
        let (now, node) = (self.now, &mut self.nodes[n]);
        let moment = node.moment(now);
        let (run, true_time) = (node.run, |node: &Node, moment| node.true_time(now, moment));
        let Some(local) = node.locals.get(&slice) else { return };
        let wakes = local.machine.wakes_at(moment);
        if wakes == Moment::NEVER {
            return;
        }
        let at = true_time(node, wakes).max(now + 5);
        let Some(local) = node.locals.get_mut(&slice) else { return };
        if at < local.tick_at {
            local.tick_at = at;
            self.queue.put(at, Happening::Tick { node: n, run, slice });
        }
    }

    pub(super) fn tick(&mut self, node: usize, slice: SliceId) {
        if let Some(local) = self.nodes[node].locals.get_mut(&slice) {
            local.tick_at = u64::MAX;
            self.feed(node, slice, Event::Tick);
        }
    }

    /// A clock jumped: where leases are measured by it, deadlines are not where they were.
    pub(super) fn tick_all(&mut self, n: usize) {
        let node = &self.nodes[n];
        if node.alive && node.paused == 0 && node.wall_leases {
            let slices: Vec<SliceId> = node.locals.keys().copied().collect();
            slices.into_iter().for_each(|slice| self.tick(n, slice));
        }
    }

    pub(super) fn start(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.alive || node.gone {
            return;
        }
        node.alive = true;
        node.run += 1;
        node.working = false;
        node.deleting.clear();
        node.clock.start(self.now, &mut self.dice);
        let opened = node.store.open(node.clock.wall(self.now));
        let slices: Vec<SliceId> = opened.iter().map(|(slice, _)| *slice).collect();
        for (slice, recovered) in opened {
            self.open_replica(n, slice, recovered);
        }
        for slice in slices {
            self.feed(n, slice, Event::Tick);
        }
        // What a node holds nothing of it learns from the first look at the map.
        for slice in 0..self.plan.slices.len() {
            let (meta, slice) = (self.meta_place(), SliceId(slice as u32));
            self.send(n, meta, Packet::MetaRead { slice, seen: None });
        }
    }

    fn open_replica(&mut self, n: usize, slice: SliceId, recovered: protocol::Recovered) {
        let planted = self.planted;
        let (node, now) = (&mut self.nodes[n], self.now);
        let (flushed, run) = (recovered.flushed, Run(node.run << 8 | n as u64));
        let settings = Settings {
            window_records_max: 20,
            window_bytes_max: 1_500,
            publish_step_records: 3,
            message_records_max: 5,
            join_records_max: 8,
            producers_max: crate::data::PRODUCERS_MAX,
            planted,
            ..Settings::default()
        };
        let machine = Replica::open(node.me(), run, settings, recovered, node.moment(now));
        let (tick_at, requests, taking) = (u64::MAX, BTreeMap::new(), None);
        node.locals.insert(slice, Local { machine, tick_at, requests, taking, flushed, flushing: false, shown: flushed });
    }

    /// A process dies. With `power`, what was not synced may go.
    pub(super) fn kill(&mut self, n: usize, power: bool) {
        let (node, dice) = (&mut self.nodes[n], &mut self.dice);
        if !node.alive {
            return;
        }
        node.alive = false;
        node.locals.clear();
        node.deferred.clear();
        node.store.crash(power, &mut |unsynced| if power { dice.below(unsynced as u64 + 1) as usize } else { unsynced });
    }

    pub(super) fn pause(&mut self, node: usize) {
        self.nodes[node].paused += 1;
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

    pub(super) fn node_hears(&mut self, n: usize, from: usize, packet: Packet) {
        let me = self.nodes[n].me();
        match packet {
            Packet::Replica { slice, from, to, message } if to == me => {
                self.feed(n, slice, Event::Message { from, message });
            }
            Packet::Ask { slice, token, ask } => self.asked(n, slice, from, token, ask),
            Packet::MetaIs { slice, entry, revision, seen } => {
                self.learns(n, slice, &entry, revision, seen);
                let known = self.nodes[n].locals.get(&slice).and_then(|local| local.machine.known());
                if known.is_some_and(|known| *known == entry && !known.has(me)) {
                    // A linearizable read says that this replica is no part of the slice.
                    self.delete(n, slice, entry.forced);
                }
            }
            Packet::Hint { slice, entry, revision } => {
                self.learns(n, slice, &entry, revision, None);
                if self.planted.has(Mutation::SourceDeletedEarly) && !entry.has(me) {
                    self.delete(n, slice, entry.forced);
                }
            }
            Packet::MetaSwapped { slice, run, expect, done, entry, revision } if run == self.nodes[n].run => {
                let outcome = match done {
                    Some(revision) => Swapped::Done(revision),
                    None => Swapped::Conflict { entry, revision },
                };
                self.feed(n, slice, Event::Swapped { expect, outcome });
            }
            Packet::HandOver { slice, to } => self.feed(n, slice, Event::HandOver { to }),
            Packet::GroupsAsked { slice, by, token, periods } => self.groups_asked(n, from, slice, by, token, &periods),
            Packet::GroupsAre { slice, token, groups } => self.groups_are(n, slice, token, groups),
            _ => {}
        }
    }

    fn learns(&mut self, n: usize, slice: SliceId, entry: &SliceEntry, revision: Revision, seen: Option<Epoch>) {
        let node = &mut self.nodes[n];
        if !node.locals.contains_key(&slice) && !node.deleting.contains(&slice) && entry.has(node.me()) {
            let recovered = node.store.create(slice);
            self.open_replica(n, slice, recovered);
        }
        self.feed(n, slice, Event::Entry { entry: entry.clone(), revision, seen });
    }

    fn delete(&mut self, n: usize, slice: SliceId, forced: Epoch) {
        let node = &mut self.nodes[n];
        if node.locals.remove(&slice).is_some() {
            if self.meta.get(slice.0 as usize).value.is_member(node.me()) {
                self.checker.complain(format!("slice {slice}: node {n} deletes its data, but it is a member"));
            }
            node.deleting.push(slice);
            node.store.submit(slice, crate::store::Task::Delete { forced });
            self.note(|| format!("node {n} deletes slice {slice}"));
            self.kick(n);
        }
    }

    /// What an action means is in `shell`.
    pub(super) fn act(&mut self, node: usize, slice: SliceId, action: Action) {
        if self.trace.is_some() {
            let line = format!("node {node} slice {slice}:     {action:?}");
            self.note(|| line);
        }
        self.carry_out(node, slice, action);
    }
}
