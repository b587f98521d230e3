//! Targets of slices that must move: away from nodes that are drained, or gone for long; and where copies are missing or
//! too many.
//!
//! Promises: only such slices get one here (evening the data is an operator's wish); at most so many are on their way at
//! once. Two managers may find different targets: the first one that stands is carried out. May not know how.

use super::{Manager, NodeState, View, Wanted};
use crate::Moment;
use crate::moves::{Host, Placed, Wish, plan};
use std::collections::BTreeSet;
use types::NodeId;

impl Manager {
    pub(super) fn tend_targets(&mut self, now: Moment, view: &View, out: &mut Vec<Wanted>) {
        let room = self.settings.targets_max.saturating_sub(view.targets.len());
        if now < self.plans_at || room == 0 {
            return;
        }
        let leaving: BTreeSet<NodeId> = view.nodes.keys().copied().filter(|node| self.leaves(now, view, *node)).collect();
        let is_silent = |node: &NodeId| !view.nodes[node].value.state.is_there() && !leaving.contains(node);
        let silent: BTreeSet<NodeId> = view.nodes.keys().copied().filter(is_silent).collect();
        let stay = view.nodes.len() - leaving.len();
        let copies = (view.copies as usize).min(stay);
        let must = |slice: &types::SliceId, entry: &crate::SliceEntry| {
            let held = entry.nodes().len();
            let on = |nodes: &BTreeSet<NodeId>| entry.everyone().any(|id| entry.keeps(id) && nodes.contains(&id.node));
            // Where a holder is silent it is not known yet what must be done: it may be back, or gone, soon.
            !view.targets.contains_key(slice) && !on(&silent) && (on(&leaving) || held != copies)
        };
        let moving: BTreeSet<_> =
            view.slices.iter().filter(|(slice, seen)| must(slice, &seen.value)).map(|(slice, _)| *slice).collect();
        if moving.is_empty() {
            return;
        }
        self.plans_at = now.after(self.settings.plan_us);
        let hosts: Vec<Host> = view
            .nodes
            .iter()
            .map(|(node, seen)| Host {
                id: *node,
                weight: seen.value.weight.max(1),
                region: seen.value.region.clone(),
                rack: seen.value.rack.clone(),
                leaves: leaving.contains(node) || silent.contains(node),
            })
            .collect();
        let slices: Vec<Placed> = view
            .slices
            .iter()
            .map(|(slice, seen)| {
                let entry = &seen.value;
                let bytes = self.sizes.get(slice).copied().unwrap_or(0);
                // What is on its way counts as there already.
                let holders = view.targets.get(slice).map_or_else(|| entry.nodes(), |target| target.value.clone());
                Placed { slice: *slice, bytes, holders }
            })
            .collect();
        let wish = Wish { copies: view.copies.max(1), tolerance_permille: self.settings.tolerance_permille };
        let Ok(plan) = plan(&hosts, &slices, wish) else { return };
        let whole = |change: &crate::moves::Change| moving.contains(&change.slice) && change.after.len() >= copies;
        let changes = plan.changes.into_iter().filter(whole);
        for change in changes.take(room) {
            out.push(Wanted::Target { slice: change.slice, expect: None, next: Some(change.after) });
        }
    }

    /// Whether a node is to end empty.
    fn leaves(&self, now: Moment, view: &View, node: NodeId) -> bool {
        let entry = view.nodes.get(&node).map(|seen| &seen.value);
        entry.is_none_or(|entry| {
            let gone = entry.state == NodeState::Down && self.silence(now, node, entry.store) >= self.settings.gone_us;
            entry.drains || gone || entry.state == NodeState::Joining
        })
    }
}
