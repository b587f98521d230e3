//! Faults and what operators ask for, as the plan has them, and their ends.

use super::fleet::{Fleet, Happening};
use super::plan::MemberFault;
use crate::network::{Network, Weather};
use protocol::membership::NodeState;
use protocol::membership::Wanted;
use protocol::moves::{Host, Placed, Wish, plan};
use types::{NodeId, StoreId};

impl Fleet {
    pub(super) fn fault(&mut self, index: usize, ends: bool) {
        let fault = self.plan.faults[index].fault.clone();
        if self.calm {
            return;
        }
        self.note(|| format!("fault {index} {}: {fault:?}", if ends { "ends" } else { "begins" }));
        let (nodes, managers) = (self.nodes.len(), self.managers.len());
        let lasts = match fault {
            MemberFault::Crash { node, down_us } => {
                self.kill(node % nodes, down_us);
                None
            }
            MemberFault::Wipe { node, down_us } => {
                if self.may_lose(node % nodes) {
                    self.kill(node % nodes, down_us);
                    self.numbers += 1;
                    self.nodes[node % nodes].store = StoreId(u128::from(self.numbers));
                }
                None
            }
            MemberFault::Gone { node } => {
                if self.may_lose(node % nodes) && self.staying() > 1 {
                    self.kill(node % nodes, 0);
                    self.nodes[node % nodes].gone = true;
                }
                None
            }
            MemberFault::Manager { manager, down_us } => {
                self.managers[manager % managers].machine = None;
                self.managers[manager % managers].run += 1;
                self.queue.put(self.now + down_us, Happening::StartManager { manager: manager % managers });
                None
            }
            MemberFault::Cut { manager, node, for_us } => {
                let (a, b) = (nodes + manager % managers, node % nodes);
                let change = if ends { Network::mend } else { Network::cut };
                change(&mut self.network, a, b);
                change(&mut self.network, b, a);
                Some(for_us)
            }
            MemberFault::Weather { lost, doubled, late, for_us } => {
                self.network.weather = if ends { Weather::default() } else { Weather { lost, doubled, late } };
                Some(for_us)
            }
            MemberFault::MetaAway { for_us } => {
                self.away = if ends { self.away.saturating_sub(1) } else { self.away + 1 };
                Some(for_us)
            }
            MemberFault::Drain { node, for_us } => {
                self.drain(node % nodes, !ends);
                for_us
            }
            MemberFault::Even => {
                self.even();
                None
            }
        };
        if let Some(lasts) = lasts.filter(|_| !ends) {
            self.queue.put(self.now + lasts, Happening::Fault { index, ends: true });
        }
    }

    fn kill(&mut self, n: usize, down_us: u64) {
        let node = &mut self.nodes[n];
        (node.alive, node.since) = (false, self.now);
        self.queue.put(self.now + down_us, Happening::StartNode { node: n });
    }

    /// How many nodes are to stay.
    fn staying(&self) -> usize {
        let drains = |n: usize| self.meta.nodes[&NodeId(n as u64)].value.drains;
        (0..self.nodes.len()).filter(|n| !self.nodes[*n].gone && !drains(*n)).count()
    }

    /// Whether each slice has another member whose store is there.
    fn may_lose(&self, n: usize) -> bool {
        self.meta.slices.values().all(|seen| {
            let entry = &seen.value;
            let others = entry.members.iter().any(|id| id.node.0 as usize != n && self.is_intact(*id));
            others || !entry.members.iter().any(|id| id.node.0 as usize == n)
        })
    }

    fn drain(&mut self, n: usize, drains: bool) {
        let node = NodeId(n as u64);
        let mut next = self.meta.nodes[&node].value.clone();
        let last = !next.drains && !self.nodes[n].gone && self.staying() < 2;
        if self.away == 0 && next.drains != drains && !(drains && last) {
            next.drains = drains;
            self.change_node(node, next);
        }
    }

    /// An operator evens the data: what the plan says becomes targets.
    fn even(&mut self) {
        let host = |(node, seen): (&NodeId, &protocol::membership::Seen<protocol::membership::NodeEntry>)| Host {
            id: *node,
            weight: seen.value.weight,
            region: seen.value.region.clone(),
            rack: seen.value.rack.clone(),
            leaves: seen.value.drains || matches!(seen.value.state, NodeState::Down | NodeState::Suspect | NodeState::Joining),
        };
        let hosts: Vec<Host> = self.meta.nodes.iter().map(host).collect();
        let slices: Vec<Placed> = self
            .meta
            .slices
            .iter()
            .map(|(slice, seen)| {
                let holders = seen.value.everyone().filter(|id| seen.value.keeps(*id)).map(|id| id.node).collect();
                Placed { slice: *slice, bytes: 100 + u64::from(slice.0) * 7, holders }
            })
            .collect();
        let wish = Wish { copies: self.plan.copies, tolerance_permille: 0 };
        let Ok(plan) = plan(&hosts, &slices, wish) else { return };
        if self.away == 0 {
            for change in
                plan.changes.into_iter().filter(|change| !self.meta.targets.contains_key(&change.slice)).collect::<Vec<_>>()
            {
                self.swap(Wanted::Target { slice: change.slice, expect: None, next: Some(change.after) });
            }
        }
    }

    /// All is mended, all processes run but those of nodes that are gone.
    pub(super) fn mend_everything(&mut self) {
        self.network.mend_all();
        self.away = 0;
        (0..self.nodes.len()).for_each(|node| self.queue.put(self.now, Happening::StartNode { node }));
        (0..self.managers.len()).for_each(|manager| self.queue.put(self.now, Happening::StartManager { manager }));
    }
}
