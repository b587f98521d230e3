//! Faults, as the plan has them, and their ends; and the operator, who registers what comes back with an empty disk.

use super::fleet::{Fleet, Happening};
use super::plan::{TagFault, Whom};
use super::store::Store;
use crate::network::{Network, Weather};
use protocol::ReplicaId;
use protocol::tags::TagEntry;
use types::StoreId;

/// How often the operator looks.
const LOOK_US: u64 = 300_000;

impl Fleet {
    pub(super) fn fault(&mut self, index: usize, ends: bool) {
        let fault = self.plan.faults[index].fault.clone();
        self.note(|| format!("fault {index} {}: {fault:?}", if ends { "ends" } else { "begins" }));
        if self.calm {
            return;
        }
        if ends {
            return self.end_fault(index, &fault);
        }
        if let Some(lasts) = self.begin_fault(index, &fault) {
            self.queue.put(self.now + lasts, Happening::Fault { index, ends: true });
        }
    }

    /// Where somebody is now.
    fn place_of(&self, who: Whom) -> Option<usize> {
        match who {
            Whom::Node(node) => (node < self.nodes.len()).then_some(node),
            Whom::Leader => Some(self.meta.entry.leader.node.0 as usize),
            Whom::Client(client) => (client < self.clients.len()).then_some(self.nodes.len() + client),
            Whom::Meta => Some(self.meta_place()),
        }
    }

    /// The node that a fault hits, as it was when the fault began.
    fn target(&mut self, index: usize, who: Whom) -> Option<usize> {
        let node = self.place_of(who).filter(|place| *place < self.nodes.len())?;
        self.targets.insert(index, (node, node));
        Some(node)
    }

    /// Begins a fault; says when it ends, where it does by itself.
    fn begin_fault(&mut self, index: usize, fault: &TagFault) -> Option<u64> {
        match *fault {
            TagFault::Crash { who, down_us } => {
                let node = self.target(index, who)?;
                self.kill(node);
                self.queue.put(self.now + down_us, Happening::Start { node });
                None
            }
            TagFault::Wipe { who, down_us } => {
                let node = self.target(index, who)?;
                if self.may_lose(node) {
                    self.kill(node);
                    let number = self.number();
                    self.nodes[node].store = Store::new(StoreId(1_000_000 + u128::from(number)), self.planted);
                    self.queue.put(self.now + down_us, Happening::Start { node });
                }
                None
            }
            TagFault::Pause { who, for_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].paused += 1;
                self.queue.put(self.now + for_us, Happening::Resume { node });
                None
            }
            TagFault::Cut { from, to, both, for_us } => {
                let (from, to) = (self.place_of(from)?, self.place_of(to)?);
                self.targets.insert(index, (from, to));
                self.each_cut(from, to, both, Network::cut);
                Some(for_us)
            }
            TagFault::Isolate { who, all, for_us } => {
                let place = self.place_of(who)?;
                self.targets.insert(index, (place, place));
                self.each_isolated(place, all, Network::cut);
                Some(for_us)
            }
            TagFault::Weather { lost, doubled, late, for_us } => {
                self.network.set_weather(Weather { lost, doubled, late });
                Some(for_us)
            }
            TagFault::SlowDisk { who, times, for_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].slow = times;
                Some(for_us)
            }
            TagFault::FullDisk { who, for_us } => {
                let node = self.target(index, who)?;
                self.nodes[node].full += 1;
                Some(for_us)
            }
            TagFault::MetaAway { applies, for_us } => {
                self.meta.away.begin(applies);
                Some(for_us)
            }
            TagFault::Leave { who, for_us } => {
                let node = self.target(index, who)?;
                let me = self.nodes[node].me();
                if self.meta.away.answers() && self.meta.entry.is_registered(me) && self.may_lose(node) {
                    self.left.insert(node);
                    self.register(|entry| entry.registered.retain(|id| *id != me));
                }
                Some(for_us)
            }
        }
    }

    fn end_fault(&mut self, index: usize, fault: &TagFault) {
        let (from, to) = self.targets.get(&index).copied().unwrap_or_default();
        match *fault {
            TagFault::Cut { both, .. } => self.each_cut(from, to, both, Network::mend),
            TagFault::Isolate { all, .. } => self.each_isolated(from, all, Network::mend),
            TagFault::Weather { .. } => self.network.set_weather(Weather::default()),
            TagFault::SlowDisk { .. } => self.nodes[from].slow = 1,
            TagFault::FullDisk { .. } => self.nodes[from].full = self.nodes[from].full.saturating_sub(1),
            TagFault::MetaAway { .. } => self.meta.away.end(),
            TagFault::Leave { .. } => drop(self.left.remove(&from)),
            _ => {}
        }
    }

    fn each_cut(&mut self, from: usize, to: usize, both: bool, change: fn(&mut Network, usize, usize)) {
        if from != to {
            change(&mut self.network, from, to);
            if both {
                change(&mut self.network, to, from);
            }
        }
    }

    fn each_isolated(&mut self, place: usize, all: bool, change: fn(&mut Network, usize, usize)) {
        let others = if all { 0..self.meta_place() + 1 } else { 0..self.nodes.len() };
        for other in others.filter(|other| *other != place) {
            change(&mut self.network, place, other);
            change(&mut self.network, other, place);
        }
    }

    /// A scheduler may be lost, or taken out, where all that are Normal are there, and others are: the loss of the last
    /// one that holds the table is beyond what is promised.
    fn may_lose(&self, node: usize) -> bool {
        let entry = &self.meta.entry;
        let there = |id: &ReplicaId| self.nodes[id.node.0 as usize].me() == *id && entry.is_registered(*id);
        let me = self.nodes[node].me();
        entry.normal.iter().all(there) && entry.normal.iter().any(|id| *id != me)
    }

    pub(super) fn operate(&mut self) {
        if self.meta.away.answers() {
            let there: Vec<ReplicaId> =
                (0..self.nodes.len()).filter(|n| !self.left.contains(n)).map(|n| self.nodes[n].me()).collect();
            self.register(|entry| {
                entry.registered.retain(|id| there.contains(id));
                let new: Vec<ReplicaId> = there.into_iter().filter(|id| !entry.is_registered(*id)).collect();
                entry.registered.extend(new);
            });
            self.hint();
        }
        self.queue.put(self.now + LOOK_US, Happening::Operator);
    }

    /// Changes who is registered, as an operator does: what stands there now is what is compared with.
    fn register(&mut self, change: impl FnOnce(&mut TagEntry)) {
        let mut next = self.meta.entry.clone();
        change(&mut next);
        if next != self.meta.entry {
            self.change_entry(next);
        }
    }

    /// All is mended, all processes run, all belong to the fleet.
    pub(super) fn mend_everything(&mut self) {
        self.network.mend_all();
        self.meta.away.clear();
        self.left.clear();
        for node in 0..self.nodes.len() {
            (self.nodes[node].slow, self.nodes[node].full) = (1, 0);
            if self.nodes[node].paused > 0 {
                self.nodes[node].paused = 1;
                self.resume(node);
            }
            self.queue.put(self.now, Happening::Start { node });
        }
        for client in 0..self.clients.len() {
            self.wake_client(client, 1);
        }
    }
}
