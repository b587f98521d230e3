//! Faults and what operators ask for, as the plan has them, and their ends.

use super::fleet::{Fleet, Happening};
use super::plan::MemberFault;
use crate::managers::{even, staying};
use crate::network::{Network, Weather};
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
                self.managers[manager % managers].kill();
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
                self.network.set_weather(if ends { Weather::default() } else { Weather { lost, doubled, late } });
                Some(for_us)
            }
            MemberFault::MetaAway { for_us } => {
                if ends {
                    self.meta.away.end()
                } else {
                    self.meta.away.begin(false)
                }
                Some(for_us)
            }
            MemberFault::Drain { node, for_us } => {
                self.drain(node % nodes, !ends);
                for_us
            }
            MemberFault::Even => {
                if self.meta.away.answers() {
                    even(&mut self.meta);
                }
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

    fn staying(&self) -> usize {
        staying(&self.meta.view, |node| self.nodes[node.0 as usize].gone)
    }

    /// Whether each slice has another member whose store is there.
    fn may_lose(&self, n: usize) -> bool {
        self.meta.view.slices.values().all(|seen| {
            let entry = &seen.value;
            let others = entry.members.iter().any(|id| id.node.0 as usize != n && self.is_intact(*id));
            others || !entry.members.iter().any(|id| id.node.0 as usize == n)
        })
    }

    fn drain(&mut self, n: usize, drains: bool) {
        let node = NodeId(n as u64);
        let mut next = self.meta.view.nodes[&node].value.clone();
        let last = !next.drains && !self.nodes[n].gone && self.staying() < 2;
        if self.meta.away.answers() && next.drains != drains && !(drains && last) {
            next.drains = drains;
            self.change_node(node, next);
        }
    }

    /// All is mended, all processes run but those of nodes that are gone.
    pub(super) fn mend_everything(&mut self) {
        self.network.mend_all();
        self.meta.away.clear();
        (0..self.nodes.len()).for_each(|node| self.queue.put(self.now, Happening::StartNode { node }));
        (0..self.managers.len()).for_each(|manager| self.queue.put(self.now, Happening::StartManager { manager }));
    }
}
