//! Managers of a fleet of data nodes: reports, a view of meta, swaps wanted and orders to primaries; and what operators ask
//! of a fleet that has managers: drains, and targets of slices.
//!
//! Promises: what managers know comes over the network, and so does what they want; a node registers an empty disk itself
//! before it takes part. It may not know what a manager decides.

use super::Fleet;
use super::happening::Happening;
use super::packet::Packet;
use crate::managers::{bytes_of, carry_out, even, staying};
use crate::plan::Fault;
use protocol::ReplicaId;
use protocol::membership::{Busyness, NodeEntry, NodeReport, Order, Wanted};
use types::{NodeId, SliceId};

impl Fleet {
    fn manager_place(&self, manager: usize) -> usize {
        self.nodes.len() + self.doors.len() + manager
    }

    pub(super) fn is_up(&self, id: ReplicaId) -> bool {
        self.nodes.get(id.node.0 as usize).is_some_and(|node| node.alive && node.me() == id)
    }

    pub(super) fn report_of(&mut self, n: usize) {
        self.queue.put(self.now + self.dice.between(80_000, 120_000), Happening::Report { node: n });
        let node = &self.nodes[n];
        if !node.alive || node.paused > 0 {
            return;
        }
        let seen = &self.meta.view.nodes[&node.id];
        let store = node.me().store;
        if seen.value.store != store {
            let next = NodeEntry { store, ..seen.value.clone() };
            let wanted = Wanted::Node { node: node.id, expect: seen.revision, next };
            return self.send(n, self.meta_place(), Packet::Wanted(wanted));
        }
        let sizes = node.locals.iter().filter(|(_, local)| local.machine.is_primary());
        let sizes = sizes.map(|(slice, _)| (*slice, bytes_of(*slice))).collect();
        let report = NodeReport { node: node.id, store, busyness: Busyness::default(), sizes };
        for manager in 0..self.managers.len() {
            self.send(n, self.manager_place(manager), Packet::Report(report.clone()));
        }
    }

    pub(super) fn start_manager(&mut self, m: usize) {
        if self.managers[m].start(self.now, &mut self.dice, self.planted) {
            let run = self.managers[m].run;
            self.queue.put(self.now + 1, Happening::Tend { manager: m, run });
        }
    }

    pub(super) fn tend(&mut self, m: usize, run: u64) {
        if run != self.managers[m].run {
            return;
        }
        let (place, meta) = (self.manager_place(m), self.meta_place());
        self.send(place, meta, Packet::ViewRead);
        for wanted in self.managers[m].tend(self.now) {
            self.note(|| format!("manager {m}: {wanted:?}"));
            match wanted {
                Wanted::Order { order: Order::HandOver { slice, primary, to }, .. } => {
                    self.send(place, primary.node.0 as usize, Packet::HandOver { slice, to });
                }
                wanted => self.send(place, meta, Packet::Wanted(wanted)),
            }
        }
        self.queue.put(self.now + self.dice.between(40_000, 120_000), Happening::Tend { manager: m, run });
    }

    pub(super) fn manager_hears(&mut self, m: usize, packet: Packet) {
        match packet {
            Packet::Report(report) => self.managers[m].hears(self.now, &report),
            Packet::ViewIs(view) => self.managers[m].sees(view),
            _ => {}
        }
    }

    /// Meta carries out what a manager wants.
    pub(super) fn swap(&mut self, wanted: Wanted) {
        let nodes = &self.nodes;
        let intact = |id: ReplicaId| nodes.get(id.node.0 as usize).is_some_and(|node| node.me() == id);
        match carry_out(&mut self.meta, wanted, intact, &mut self.members) {
            Ok(Some(slice)) => self.hint(slice),
            Ok(None) => {}
            Err(what) => self.checker.complain(what),
        }
    }

    /// Whether so many nodes stay when one more leaves that every slice may keep the members that it must.
    fn may_leave(&self, n: usize) -> bool {
        let staying = staying(&self.meta.view, |node| self.nodes[node.0 as usize].gone);
        let leaves = self.nodes[n].gone || self.meta.view.nodes[&NodeId(n as u64)].value.drains;
        let least = self.plan.slices.iter().map(|(_, min_in_sync)| *min_in_sync as usize).max().unwrap_or(1);
        leaves || staying > least
    }

    pub(super) fn drain(&mut self, n: usize, drains: bool) {
        let node = NodeId(n as u64);
        let mut next = self.meta.view.nodes[&node].value.clone();
        if self.meta.away.answers() && next.drains != drains && (!drains || self.may_leave(n)) {
            next.drains = drains;
            self.members.states += 1;
            if let Err(what) = self.meta.change_node(node, next) {
                self.checker.complain(what);
            }
        }
    }

    /// Begins what only fleets with managers know, and operations as those carry them out.
    pub(super) fn begin_managed(&mut self, index: usize, fault: &Fault) -> Option<u64> {
        match *fault {
            Fault::SwitchOver { .. } | Fault::Add { .. } | Fault::Remove { .. } | Fault::Readd { .. } | Fault::Even => {
                self.aim(fault);
                None
            }
            Fault::Gone { who } => {
                let node = self.target(index, who)?;
                if self.may_wipe(node) && self.may_leave(node) && !self.nodes[node].gone {
                    self.wipe(node);
                    self.nodes[node].gone = true;
                }
                None
            }
            Fault::Manager { manager, down_us } => {
                let manager = manager % self.managers.len();
                self.managers[manager].kill();
                self.queue.put(self.now + down_us, Happening::StartManager { manager });
                None
            }
            Fault::Drain { who, for_us } => {
                let node = self.target(index, who)?;
                self.drain(node, true);
                for_us
            }
            _ => self.begin_operation(index, fault),
        }
    }

    /// What an operator wants of a slice, or of all, becomes targets.
    fn aim(&mut self, fault: &Fault) {
        let (Fault::SwitchOver { slice, nth }
        | Fault::Add { slice, nth }
        | Fault::Remove { slice, nth }
        | Fault::Readd { slice, nth, .. }) = *fault
        else {
            return even(&mut self.meta);
        };
        let on_its_way = self.meta.view.targets.get(&SliceId(slice as u32)).map(|seen| seen.revision);
        if let (Some(revision), Fault::Remove { .. }) = (on_its_way, fault) {
            // Cancels the move instead.
            self.meta.aim(SliceId(slice as u32), Some(revision), None);
            return;
        }
        let entry = &self.meta.get(slice).value;
        let mut nodes = entry.nodes();
        let free: Vec<NodeId> = self.meta.view.nodes.keys().copied().filter(|node| !nodes.contains(node)).collect();
        let other = 1 + nth;
        match fault {
            Fault::SwitchOver { .. } if other < nodes.len() => nodes.swap(0, other),
            Fault::Add { .. } => nodes.extend(free.get(nth)),
            Fault::Remove { .. } if nodes.len() > entry.policy.min_in_sync as usize => {
                nodes.retain(|node| entry.backups.get(nth).is_none_or(|id| id.node != *node))
            }
            // Away from the primary, or from a backup.
            Fault::Readd { .. } if nth < nodes.len() && !free.is_empty() => nodes[nth] = free[nth % free.len()],
            _ => return,
        }
        let slice = SliceId(slice as u32);
        self.note(|| format!("operator: slice {slice} is to lie on {nodes:?}"));
        self.meta.aim(slice, on_its_way, Some(nodes));
    }
}
