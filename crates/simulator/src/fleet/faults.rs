//! Faults, as the plan has them, and their ends.

use super::Fleet;
use super::happening::Happening;
use crate::network::Weather;
use crate::plan::{Fault, Who};
use protocol::{Event, Policy, ReplicaId};
use types::{SliceId, StoreId};

impl Fleet {
    pub(super) fn fault(&mut self, index: usize, ends: bool) {
        let fault = self.plan.faults[index].fault.clone();
        self.note(|| format!("fault {index} {}: {fault:?}", if ends { "ends" } else { "begins" }));
        if ends {
            if !self.calm {
                self.end_fault(index, &fault);
            }
            return;
        }
        if self.calm || !self.is_there(&fault) {
            return;
        }
        if let Some(lasts) = self.begin_fault(index, &fault) {
            self.queue.put(self.now + lasts, Happening::Fault { index, ends: true });
        }
    }

    /// Whether the fleet has what the fault is about: a plan that was made smaller may name more.
    fn is_there(&self, fault: &Fault) -> bool {
        match *fault {
            Fault::SwitchOver { slice, .. }
            | Fault::Policy { slice, .. }
            | Fault::Add { slice, .. }
            | Fault::Remove { slice, .. }
            | Fault::Readd { slice, .. }
            // Who administers does it through meta.
            | Fault::Force { slice, .. } => slice < self.plan.slices.len() && self.meta.away.answers(),
            Fault::Even => self.meta.away.answers(),
            _ => true,
        }
    }

    /// Where somebody is now.
    fn place_of(&self, who: Who) -> Option<usize> {
        let slice = |slice: usize| (slice < self.plan.slices.len()).then(|| &self.meta.get(slice).value);
        match who {
            Who::Node(node) => (node < self.nodes.len()).then_some(node),
            Who::Primary(of) => slice(of).map(|entry| entry.primary.node.0 as usize),
            Who::Backup(of, nth) => slice(of)?.backups.get(nth).map(|id| id.node.0 as usize),
            Who::Client(client) => (client < self.doors.len()).then_some(self.nodes.len() + client),
            Who::Manager(n) => self.managers.get(n).map(|_| self.nodes.len() + self.doors.len() + n),
            Who::Meta => Some(self.meta_place()),
        }
    }

    /// The node that a fault hits, as it was when the fault began.
    pub(super) fn target(&mut self, index: usize, who: Who) -> Option<usize> {
        let node = self.place_of(who).filter(|place| *place < self.nodes.len())?;
        self.targets.insert(index, (node, node));
        Some(node)
    }

    /// Begins a fault; says when it ends, where it does by itself.
    fn begin_fault(&mut self, index: usize, fault: &Fault) -> Option<u64> {
        match *fault {
            Fault::Crash { who, power, down_us } => {
                let node = self.target(index, who)?;
                self.kill(node, power);
                self.queue.put(self.now + down_us, Happening::Start { node });
                None
            }
            Fault::Wipe { who, down_us } => {
                let node = self.target(index, who)?;
                if self.may_wipe(node) {
                    self.wipe(node);
                    self.queue.put(self.now + down_us, Happening::Start { node });
                }
                None
            }
            Fault::Pause { who, for_us } => {
                let node = self.target(index, who)?;
                self.pause(node);
                self.queue.put(self.now + for_us, Happening::Resume { node });
                None
            }
            Fault::Cut { from, to, both, for_us } => {
                let (from, to) = (self.place_of(from)?, self.place_of(to)?);
                self.targets.insert(index, (from, to));
                self.each_cut(from, to, both, super::Network::cut);
                Some(for_us)
            }
            Fault::Isolate { who, all, for_us } => {
                let place = self.place_of(who)?;
                self.targets.insert(index, (place, place));
                self.each_isolated(place, all, super::Network::cut);
                Some(for_us)
            }
            Fault::Weather { lost, doubled, late, for_us } => {
                self.network.set_weather(Weather { lost, doubled, late });
                Some(for_us)
            }
            Fault::SlowDisk { who, times, for_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].slow = times;
                Some(for_us)
            }
            Fault::FullDisk { who, for_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].full += 1;
                Some(for_us)
            }
            Fault::WallJump { who, by_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].clock.wall_offset += by_us;
                self.tick_all(node);
                None
            }
            Fault::MetaAway { applies, for_us } => {
                self.meta.away.begin(applies);
                Some(for_us)
            }
            _ if !self.managers.is_empty() => self.begin_managed(index, fault),
            _ => self.begin_operation(index, fault),
        }
    }

    pub(super) fn begin_operation(&mut self, index: usize, fault: &Fault) -> Option<u64> {
        match *fault {
            Fault::SwitchOver { slice, nth } => self.switch_over(slice, nth),
            Fault::Policy { slice, mode, min_in_sync } => self.set_policy(slice, Policy { mode, min_in_sync }),
            Fault::Add { slice, nth } => self.add_replica(slice, nth),
            Fault::Remove { slice, nth } => drop(self.remove_replica(slice, nth)),
            Fault::Readd { slice, nth, after_us } => {
                let removed = self.remove_replica(slice, nth)?;
                self.removed.insert(index, removed);
                return Some(after_us);
            }
            Fault::DropPins { who } => {
                let node = self.target(index, who)?;
                let slices: Vec<SliceId> = self.nodes[node].locals.keys().copied().collect();
                for slice in slices {
                    for peer in self.nodes.iter().map(super::node::Node::me).collect::<Vec<_>>() {
                        self.nodes[node].store.submit(slice, crate::store::Task::Unpin(peer));
                        self.feed(node, slice, Event::PinLost { peer });
                    }
                }
                self.kick(node);
            }
            Fault::Force { slice, nth } => {
                let to: Option<ReplicaId> = self.meta.get(slice).value.everyone().nth(nth);
                if let Some(to) = to.filter(|to| self.nodes[to.node.0 as usize].me() == *to) {
                    self.force(slice, to);
                }
            }
            _ => {}
        }
        None
    }

    fn end_fault(&mut self, index: usize, fault: &Fault) {
        let (from, to) = self.targets.get(&index).copied().unwrap_or_default();
        match *fault {
            Fault::Cut { both, .. } => self.each_cut(from, to, both, super::Network::mend),
            Fault::Isolate { all, .. } => self.each_isolated(from, all, super::Network::mend),
            Fault::Weather { .. } => self.network.set_weather(Weather::default()),
            Fault::SlowDisk { .. } => self.nodes[from].slow = 1,
            Fault::FullDisk { .. } => self.nodes[from].full = self.nodes[from].full.saturating_sub(1),
            Fault::MetaAway { .. } => self.meta.away.end(),
            Fault::Drain { .. } => self.drain(from, false),
            Fault::Readd { slice, .. } => {
                let mut next = self.meta.get(slice).value.clone();
                let removed: Vec<ReplicaId> = std::mem::take(&mut self.removed).into_values().collect();
                for id in removed.into_iter().map(|id| self.nodes[id.node.0 as usize].me()) {
                    if !next.keeps(id) && !next.everyone().any(|other| other.node == id.node && other != id) {
                        next.backups.push(id);
                    }
                }
                self.change(slice, next);
            }
            _ => {}
        }
    }

    fn each_cut(&mut self, from: usize, to: usize, both: bool, change: fn(&mut super::Network, usize, usize)) {
        if from != to {
            change(&mut self.network, from, to);
            if both {
                change(&mut self.network, to, from);
            }
        }
    }

    fn each_isolated(&mut self, place: usize, all: bool, change: fn(&mut super::Network, usize, usize)) {
        let others = if all { 0..self.meta_place() + 1 } else { 0..self.nodes.len() };
        for other in others.filter(|other| *other != place) {
            change(&mut self.network, place, other);
            change(&mut self.network, other, place);
        }
    }

    /// A disk may be lost where each of its slices has another member whose disk is there: the loss of the
    /// last one is an operator's matter.
    pub(super) fn may_wipe(&self, node: usize) -> bool {
        let me = self.nodes[node].me();
        (0..self.plan.slices.len()).all(|slice| {
            let entry = &self.meta.get(slice).value;
            let there = |id: &ReplicaId| *id != me && self.nodes[id.node.0 as usize].me() == *id;
            !entry.is_member(me) || entry.members.iter().any(there)
        })
    }

    pub(super) fn wipe(&mut self, n: usize) {
        self.kill(n, true);
        for slice in 0..self.plan.slices.len() {
            let slice = SliceId(slice as u32);
            let versions = self.nodes[n].store.versions(slice);
            self.checker.destroy(slice, versions);
        }
        let number = self.number();
        let store = StoreId(1_000_000 + u128::from(number));
        self.nodes[n].store = self.plan.store(store, self.planted);
    }

    /// All is mended, all processes run.
    pub(super) fn mend_everything(&mut self) {
        self.network.mend_all();
        self.meta.away.clear();
        for node in 0..self.nodes.len() {
            (self.nodes[node].slow, self.nodes[node].full) = (1, 0);
            if self.nodes[node].paused > 0 {
                self.nodes[node].paused = 1;
                self.resume(node);
            }
            self.queue.put(self.now, Happening::Start { node });
        }
        for manager in 0..self.managers.len() {
            self.queue.put(self.now, Happening::StartManager { manager });
        }
        for client in 0..self.clients.len() {
            self.wake_client(client, 1);
        }
    }
}
