//! The words of the manager's machine: nodes as agreed and as heard, what meta says, what is wanted.
//!
//! Promises: a node's state changes as `NodeState::may_become` allows. They may not know who asks.

use crate::{Planted, Policy, ReplicaId, SliceEntry};
use std::collections::BTreeMap;
use types::{NodeId, Revision, SliceId, StoreId};

/// A node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Registered; it was not heard yet.
    Joining,
    /// It reports, and is to stay.
    Normal,
    /// It is silent. Nothing is done about it yet.
    Suspect,
    /// It is silent for long.
    Down,
    /// It is back, and not all of its replicas are members again.
    Recovering,
    /// It reports, and is to end empty.
    Draining,
}

impl NodeState {
    /// Whether a state may follow this one.
    #[must_use]
    pub fn may_become(self, next: NodeState) -> bool {
        use NodeState::{Down, Draining, Joining, Normal, Recovering, Suspect};
        match self {
            Joining => matches!(next, Normal | Draining),
            Normal => matches!(next, Suspect | Draining),
            Draining => matches!(next, Suspect | Normal),
            Suspect => matches!(next, Down | Normal | Draining | Recovering),
            Down => next == Recovering,
            Recovering => matches!(next, Normal | Draining | Suspect),
        }
    }

    /// Whether it reports.
    #[must_use]
    pub fn is_there(self) -> bool {
        matches!(self, NodeState::Normal | NodeState::Recovering | NodeState::Draining)
    }
}

/// What the fleet agrees on for one node: one key of meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// Its store. A wiped disk is another one, and its node itself registers it here before it takes part.
    pub store: StoreId,
    /// Its state.
    pub state: NodeState,
    /// Whether an operator wants it empty.
    pub drains: bool,
    /// Its capacity beside others'.
    pub weight: u32,
    /// Its region.
    pub region: String,
    /// Its rack, or zone.
    pub rack: String,
}

/// How busy the parts of a node are, each in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busyness {
    /// Processor time.
    pub cpu: u32,
    /// The network.
    pub network: u32,
    /// The disk's time.
    pub disk: u32,
    /// Memory in use.
    pub memory: u32,
}

/// What each part counts in a node's busyness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Of processor time.
    pub cpu: u32,
    /// Of the network.
    pub network: u32,
    /// Of the disk.
    pub disk: u32,
    /// Of memory.
    pub memory: u32,
}

impl Busyness {
    /// One number, in thousandths: the weighed mean; 0 where nothing counts.
    #[must_use]
    pub fn weighed(&self, weights: &Weights) -> u32 {
        let parts =
            [(self.cpu, weights.cpu), (self.network, weights.network), (self.disk, weights.disk), (self.memory, weights.memory)];
        let all: u64 = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let sum: u64 = parts.iter().map(|(part, weight)| u64::from(*part) * u64::from(*weight)).sum();
        sum.checked_div(all).and_then(|mean| u32::try_from(mean).ok()).unwrap_or(0)
    }
}

/// What a node tells managers; its coming is what counts most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node.
    pub node: NodeId,
    /// Its store now.
    pub store: StoreId,
    /// How busy it is.
    pub busyness: Busyness,
    /// What slices take whose primary it is: those that changed since it last said so.
    pub sizes: Vec<(SliceId, u64)>,
}

/// Something in meta, and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// What it says.
    pub value: T,
    /// When it was written.
    pub revision: Revision,
}

/// What meta said when it was last looked at. It may be old: swaps compare.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Data nodes.
    pub nodes: BTreeMap<NodeId, Seen<NodeEntry>>,
    /// The slice map.
    pub slices: BTreeMap<SliceId, Seen<SliceEntry>>,
    /// Where slices are on their way to: their nodes, the primary first.
    pub targets: BTreeMap<SliceId, Seen<Vec<NodeId>>>,
    /// Copies that each slice is to have.
    pub copies: u32,
    /// How each slice is to be replicated; none where that is not known, and entries stay as they are.
    pub policy: Option<Policy>,
}

impl View {
    /// A node's replica, as its store is now.
    #[must_use]
    pub fn replica(&self, node: NodeId) -> Option<ReplicaId> {
        self.nodes.get(&node).map(|seen| ReplicaId { node, store: seen.value.store })
    }

    /// Slices that wait for an operator: of no member the store is there, on a node that may yet answer. One that is silent for
    /// less than `down_us` may: an ordinary failover takes less. Who looks is told; nothing is done because of it.
    pub fn stuck(&self) -> impl Iterator<Item = SliceId> + '_ {
        let there = |id: &ReplicaId| {
            self.nodes.get(&id.node).is_some_and(|seen| seen.value.store == id.store && seen.value.state != NodeState::Down)
        };
        self.slices.iter().filter(move |(_, seen)| !seen.value.members.iter().any(there)).map(|(slice, _)| *slice)
    }
}

/// Something for a primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hand the slice over to another member, as `Event::HandOver` does.
    HandOver {
        /// The slice.
        slice: SliceId,
        /// Who is told.
        primary: ReplicaId,
        /// The next primary.
        to: ReplicaId,
    },
}

/// Something that should be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Swap a node's entry.
    Node {
        /// The node.
        node: NodeId,
        /// What must stand there.
        expect: Revision,
        /// The next entry.
        next: NodeEntry,
    },
    /// Swap a slice's entry, within its epoch.
    Slice {
        /// The slice.
        slice: SliceId,
        /// What must stand there.
        expect: Revision,
        /// The next entry.
        next: SliceEntry,
    },
    /// Swap a slice's target.
    Target {
        /// The slice.
        slice: SliceId,
        /// What must stand there; none where nothing may.
        expect: Option<Revision>,
        /// The next target; none where it is reached, or can't be.
        next: Option<Vec<NodeId>>,
    },
    /// Send an order.
    Order {
        /// The order.
        order: Order,
        /// The slice's revision that it was decided on.
        decided_on: Revision,
    },
}

/// Numbers of the manager's machine. Times in microseconds of a monotonic clock.
#[derive(Clone, Debug)]
pub struct ManagerSettings {
    /// After so long a silent node is suspect.
    pub suspect_us: u64,
    /// After so long it is down.
    pub down_us: u64,
    /// After so long it is taken for gone: its copies are made elsewhere.
    pub gone_us: u64,
    /// After so long the same is asked for again.
    pub retry_us: u64,
    /// How often the planner is asked, while there is something to plan.
    pub plan_us: u64,
    /// The most slices that are on their way at once, and that change their policy at once.
    pub targets_max: usize,
    /// How far a host may be from its share, as `moves::Wish` says.
    pub tolerance_permille: u32,
    /// The formula of busyness.
    pub weights: Weights,
    /// The bug that is planted, in tests.
    pub planted: Planted,
}

impl Default for ManagerSettings {
    fn default() -> Self {
        ManagerSettings {
            suspect_us: 1_000_000,
            down_us: 5_000_000,
            gone_us: 600_000_000,
            retry_us: 500_000,
            plan_us: 1_000_000,
            targets_max: 64,
            tolerance_permille: 20,
            weights: Weights { cpu: 4, network: 2, disk: 3, memory: 1 },
            planted: Planted::default(),
        }
    }
}
