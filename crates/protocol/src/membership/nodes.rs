//! A node's state, from its silence.
//!
//! ```text
//!   Joining ── heard ──> Normal / Draining ── silent ──> Suspect ── for long ──> Down
//!                            ▲      ▲                      │ heard                 │ heard
//!                            │      └──────────────────────┴──> Recovering <───────┘
//!                            └── all of its replicas are members ──┘
//! ```
//! Promises: one step at a time, as `NodeState::may_become` allows; a state says nothing that safety rests on. It may not
//! know what follows for slices.

use super::{Manager, NodeEntry, NodeState, View, Wanted};
use crate::{Moment, ReplicaId};
use std::collections::BTreeSet;
use types::NodeId;

impl Manager {
    pub(super) fn tend_nodes(&self, now: Moment, view: &View, out: &mut Vec<Wanted>) {
        let unwhole = unwhole(view);
        for (node, seen) in &view.nodes {
            let mut next = seen.value.clone();
            next.state = self.state(now, *node, &seen.value, !unwhole.contains(node));
            if next != seen.value {
                out.push(Wanted::Node { node: *node, expect: seen.revision, next });
            }
        }
    }

    fn state(&self, now: Moment, node: NodeId, entry: &NodeEntry, whole: bool) -> NodeState {
        let silence = self.silence(now, node, entry.store);
        let settled = if entry.drains { NodeState::Draining } else { NodeState::Normal };
        let was_heard = self.heard_of(node, entry.store).is_some();
        match entry.state {
            NodeState::Joining if was_heard => settled,
            NodeState::Joining => NodeState::Joining,
            NodeState::Down if was_heard && silence < self.settings.suspect_us => NodeState::Recovering,
            NodeState::Down => NodeState::Down,
            NodeState::Suspect if silence >= self.settings.down_us => NodeState::Down,
            NodeState::Suspect if !was_heard || silence >= self.settings.suspect_us => NodeState::Suspect,
            _ if silence >= self.settings.suspect_us => NodeState::Suspect,
            NodeState::Suspect | NodeState::Recovering if !whole => NodeState::Recovering,
            _ => settled,
        }
    }
}

/// Nodes with a replica that is not a member.
fn unwhole(view: &View) -> BTreeSet<NodeId> {
    let outside = view.slices.values().flat_map(|seen| {
        let entry = &seen.value;
        entry.backups.iter().filter(|id| !entry.is_member(**id)).map(|id: &ReplicaId| id.node)
    });
    outside.collect()
}
