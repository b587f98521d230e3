//! Where slices lie and where they should: plans that even the data of a fleet (paper 2.2), and first placements.
//!
//! ```text
//!   hosts, slices ──> forced ──> shed ──> take ──> search (small fleets) ──> primaries ──> Plan
//!                     leaving,   who has  who has   exact, within a           switch-overs
//!                     missing,   too much too little budget of steps
//!                     too close
//! ```
//! *Even*: a host's share of the data follows its weight, as far as one copy a host and locality allow (`shares`);
//! it is held evenly when it lies within one largest slice of the share, or within the tolerance where that is more.
//!
//! Promises: a leaving host ends empty; copies of a slice are on different hosts, in as many regions and racks as there
//! are; of the plans that hold this and are even, the one given moves the fewest bytes for small fleets, and for all
//! fleets says how few it could have been at the least (`Plan::bytes_least`); switch-overs move no bytes.
//! The same question gives the same plan. It may not know how a move is carried out, nor who asks.

mod fewest;
mod initial;
mod layout;
mod primaries;
mod search;
mod shares;
mod shift;

pub use initial::{by_even_data, by_hand, by_modulus};

use layout::Layout;
use std::collections::BTreeSet;
use thiserror::Error;
use types::{NodeId, SliceId};

/// How often it is tried to give and take what is too much and too little.
const ROUNDS_MAX: usize = 3;

/// A node that can hold slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The node.
    pub id: NodeId,
    /// Its capacity beside others', at least 1.
    pub weight: u32,
    /// Its region; nodes without one have the same.
    pub region: String,
    /// Its rack, or zone, within the region; nodes without one have the same.
    pub rack: String,
    /// Whether it must end empty: it is drained, or gone for good.
    pub leaves: bool,
}

/// A slice as it lies now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The slice.
    pub slice: SliceId,
    /// What a copy of it takes. Empty slices count as one byte, so that they are spread too.
    pub bytes: u64,
    /// Who has it, the primary first. Nodes that are not among the hosts count as gone.
    pub holders: Vec<NodeId>,
}

/// What is asked of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Copies of each slice, the primary included, at least 1; as many as there are hosts where those are fewer.
    pub copies: u32,
    /// How far a host may be from its share, in thousandths of it, where that is more than one largest slice.
    pub tolerance_permille: u32,
}

impl Default for Wish {
    fn default() -> Self {
        Wish { copies: 2, tolerance_permille: 20 }
    }
}

/// What changes for one slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The slice.
    pub slice: SliceId,
    /// What a copy of it takes.
    pub bytes: u64,
    /// Who has it, the primary first.
    pub before: Vec<NodeId>,
    /// Who is to have it, the primary first.
    pub after: Vec<NodeId>,
}

impl Change {
    /// Nodes that get a copy: each costs `bytes`.
    pub fn added(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.after.iter().copied().filter(|id| !self.before.contains(id))
    }

    /// Nodes that lose theirs.
    pub fn removed(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.before.iter().copied().filter(|id| !self.after.contains(id))
    }

    /// Whether another node is to be primary.
    #[must_use]
    pub fn switches(&self) -> bool {
        self.before.first() != self.after.first()
    }
}

/// One host under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The node.
    pub id: NodeId,
    /// What it holds.
    pub bytes_before: u64,
    /// What it is to hold.
    pub bytes_after: u64,
    /// Its share.
    pub bytes_share: u64,
    /// Slices that it is to be primary of.
    pub primaries: u64,
    /// Whether `bytes_after` is within the tolerance of the share.
    pub even: bool,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What changes, by slice.
    pub changes: Vec<Change>,
    /// What is moved; an empty slice counts as one byte.
    pub bytes: u64,
    /// No plan that keeps the promises and is even moves less.
    pub bytes_least: u64,
    /// Every host, in the order asked.
    pub loads: Vec<Load>,
}

/// A question that has no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Nobody is left to hold a slice.
    #[error("no node can hold a slice: there is none, or all of them leave")]
    NoHost,
    /// A copy at least.
    #[error("a slice needs one copy at least")]
    NoCopies,
    /// Capacity is a share.
    #[error("node {0} has the weight 0; a weight is 1 at least (a node that must be empty is drained)")]
    NoWeight(NodeId),
    /// A node stands twice.
    #[error("node {0} is named twice")]
    HostTwice(NodeId),
    /// A slice stands twice.
    #[error("slice {0} is named twice")]
    SliceTwice(SliceId),
    /// A slice has no node (of a placement by hand).
    #[error("slice {0} has no node")]
    SliceMissing(SliceId),
    /// There is no such slice (of a placement by hand).
    #[error("there is no slice {0}")]
    NoSuchSlice(SliceId),
    /// A node that nobody knows, or that leaves.
    #[error("slice {slice} can't lie on node {node}, which is not known or leaves")]
    UnknownHost {
        /// The slice.
        slice: SliceId,
        /// The node.
        node: NodeId,
    },
}

/// Plans.
///
/// # Errors
/// `PlanError` where the question makes no sense. A fleet that can't be made even has a plan all the same: its best
/// effort; `Load::even` says where it falls short.
pub fn plan(hosts: &[Host], slices: &[Placed], wish: Wish) -> Result<Plan, PlanError> {
    check(hosts, slices, wish)?;
    let mut layout = Layout::new(hosts, slices, wish);
    let bytes_before = layout.held.clone();
    let bytes_least = fewest::of(&layout);
    shift::force(&mut layout);
    // What one host takes makes room for what another could not give: a few rounds.
    for _ in 0..ROUNDS_MAX {
        shift::shed(&mut layout);
        shift::take(&mut layout);
        if layout.unevenness() == 0 {
            break;
        }
    }
    search::improve(&mut layout, bytes_least);
    let primaries = primaries::choose(&layout);
    Ok(describe(hosts, slices, &layout, &bytes_before, &primaries, bytes_least))
}

fn check(hosts: &[Host], slices: &[Placed], wish: Wish) -> Result<(), PlanError> {
    let mut nodes = BTreeSet::new();
    for host in hosts {
        if host.weight == 0 {
            return Err(PlanError::NoWeight(host.id));
        }
        if !nodes.insert(host.id) {
            return Err(PlanError::HostTwice(host.id));
        }
    }
    if hosts.iter().all(|host| host.leaves) {
        return Err(PlanError::NoHost);
    }
    if wish.copies == 0 {
        return Err(PlanError::NoCopies);
    }
    let mut seen = BTreeSet::new();
    match slices.iter().find(|placed| !seen.insert(placed.slice)) {
        Some(twice) => Err(PlanError::SliceTwice(twice.slice)),
        None => Ok(()),
    }
}

fn describe(
    hosts: &[Host],
    slices: &[Placed],
    layout: &Layout,
    bytes_before: &[u64],
    primaries: &[u32],
    bytes_least: u64,
) -> Plan {
    let mut changes = Vec::new();
    let mut counts = vec![0; hosts.len()];
    for (s, placed) in slices.iter().enumerate() {
        let primary = primaries[s];
        counts[primary as usize] += 1;
        // Those that stay keep their order, so that nothing changes where nothing must.
        let mut others: Vec<NodeId> = layout.now[s].iter().filter(|n| **n != primary).map(|n| hosts[*n as usize].id).collect();
        let place = |id: &NodeId| placed.holders.iter().position(|other| other == id).unwrap_or(usize::MAX);
        others.sort_by_key(|id| (place(id), *id));
        let after: Vec<NodeId> = [hosts[primary as usize].id].into_iter().chain(others).collect();
        if after != placed.holders {
            changes.push(Change { slice: placed.slice, bytes: placed.bytes, before: placed.holders.clone(), after });
        }
    }
    let load = |n: usize| Load {
        id: hosts[n].id,
        bytes_before: bytes_before[n],
        bytes_after: layout.held[n],
        bytes_share: layout.share[n],
        primaries: counts[n],
        even: layout.is_even(n),
    };
    Plan { changes, bytes: layout.moved(), bytes_least, loads: (0..hosts.len()).map(load).collect() }
}
