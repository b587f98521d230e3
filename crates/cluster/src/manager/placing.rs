//! The first placement of all slices, once the fleet has its rule and enough nodes (paper 2.2).
//!
//! A fleet that begins with a backup has slices on its nodes already: each is led where it lies, in the epoch after its last, and
//! copied from there.
//! Promises: a slice that is placed stays as it is, so that asking twice, or after who was asked died halfway, completes what is
//! missing; of a backup none is placed before all of it is there. It may not know how slices move later.

use super::admin::Admin;
use super::standing::Standing;
use super::words::AdminError;
use crate::fleet::entries::{FleetRecord, slice_key, slice_value};
use meta::{Is, SWAP_KEYS_MAX, Swap, Swapped};
use protocol::moves::{Host, Wish, by_even_data, by_hand, by_modulus};
use protocol::{ReplicaId, SliceEntry};
use std::collections::BTreeMap;
use types::{Epoch, NodeId, SliceId};

/// How slices are placed at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Slice after slice to node after node.
    Modulus,
    /// So that data known beforehand, the bytes of each slice in order, lie evenly by weight.
    EvenData(Vec<u64>),
    /// Where a backup was laid, once all of it is there; other slices as by `Modulus`. So it is also by `Modulus` where any node has a
    /// part of a backup.
    Laid,
    /// As written: each slice's nodes, the primary first.
    ByHand(Vec<(SliceId, Vec<NodeId>)>),
}

/// How often it is tried where another places at the same time.
const TRIES: usize = 16;

/// The data nodes, as the planner sees them.
pub(super) fn hosts(standing: &Standing) -> Vec<Host> {
    let host = |(node, seen): (&NodeId, &protocol::membership::Seen<protocol::membership::NodeEntry>)| {
        let entry = &seen.value;
        let leaves = entry.drains || !entry.state.is_there();
        let (region, rack) = (entry.region.clone(), entry.rack.clone());
        Host { id: *node, weight: entry.weight.max(1), region, rack, leaves }
    };
    standing.view.nodes.iter().map(host).collect()
}

impl Admin {
    /// Places all slices that are not placed yet; answers how many that were.
    ///
    /// # Errors
    /// `AdminError::NotSet` before `init`; `State` where there are fewer nodes than copies; `Plan` where a placement by hand
    /// names what there is not, or leaves out a slice.
    pub async fn place(&self, how: &Placement) -> Result<u64, AdminError> {
        let mut placed = 0;
        for _ in 0..TRIES {
            let standing = self.standing().await?;
            let fleet = standing.fleet.as_ref().ok_or(AdminError::NotSet)?.value;
            let missing = |slice: &SliceId| !standing.view.slices.contains_key(slice);
            let missing: Vec<SliceId> = (0..fleet.rule.buckets).map(SliceId).filter(missing).collect();
            if missing.is_empty() {
                return Ok(placed);
            }
            let (placement, lies) = (placement(&standing, &fleet, how)?, lies(&standing, how)?);
            let mut swapped = true;
            for slices in missing.chunks(SWAP_KEYS_MAX) {
                let put = |swap: Swap, slice: &SliceId| {
                    let (key, nodes) = (slice_key(*slice), &placement[slice.0 as usize]);
                    let first = match lies.get(slice) {
                        Some((node, epoch)) => goes_on(&standing, &fleet, nodes, (*node, *epoch)),
                        None => first(&standing, &fleet, nodes),
                    };
                    swap.when(&key, Is::Absent).put(&key, slice_value(&first))
                };
                match self.swap(slices.iter().fold(Swap::new(), put)).await? {
                    Swapped::Done { .. } => placed += slices.len() as u64,
                    // Another placed some of them meanwhile: what is missing is seen anew.
                    Swapped::Conflict { .. } => swapped = false,
                }
            }
            if swapped {
                return Ok(placed);
            }
        }
        Err(AdminError::Unsettled("others place slices all the time".to_owned()))
    }
}

fn placement(standing: &Standing, fleet: &FleetRecord, how: &Placement) -> Result<Vec<Vec<NodeId>>, AdminError> {
    let hosts = hosts(standing);
    let (slices, copies) = (fleet.rule.buckets, fleet.copies);
    let there = hosts.iter().filter(|host| !host.leaves).count();
    if there < copies as usize {
        return Err(AdminError::State(format!(
            "each slice is to have {copies} copies, but {there} data nodes are there; start more of them first"
        )));
    }
    Ok(match how {
        Placement::Modulus | Placement::Laid => by_modulus(&hosts, slices, copies)?,
        Placement::EvenData(bytes) if bytes.len() != slices as usize => {
            return Err(AdminError::Invalid(format!("bytes are given for {} slices, but there are {slices}", bytes.len())));
        }
        Placement::EvenData(bytes) => by_even_data(&hosts, bytes, Wish { copies, ..Wish::default() })?,
        Placement::ByHand(named) => {
            if let Some((slice, nodes)) = named.iter().find(|(_, nodes)| nodes.len() != copies as usize) {
                let count = nodes.len();
                return Err(AdminError::Invalid(format!("slice {slice} is given {count} nodes, but is to have {copies} copies")));
            }
            by_hand(&hosts, slices, named)?
        }
    })
}

/// Where the slices of a backup lie, each with its last epoch; nothing where no node has a part of one.
fn lies(standing: &Standing, how: &Placement) -> Result<BTreeMap<SliceId, (NodeId, Epoch)>, AdminError> {
    let laid = standing.records.iter().filter_map(|(node, seen)| Some((*node, seen.value.laid.as_ref()?)));
    let laid: Vec<_> = laid.filter(|(node, _)| standing.view.replica(*node).is_some()).collect();
    let Some((_, any)) = laid.first() else {
        return match how {
            Placement::Laid => Err(AdminError::State("no data node has a part of the backup yet".to_owned())),
            _ => Ok(BTreeMap::new()),
        };
    };
    if let Some((node, other)) = laid.iter().find(|(_, other)| other.backup != any.backup) {
        let (backup, other) = (&any.backup, &other.backup);
        return Err(AdminError::State(format!("node {node} begins with backup {other}, another one with {backup}")));
    }
    let mut lies = BTreeMap::new();
    for (node, part) in &laid {
        for (slice, epoch) in &part.here {
            if let Some((other, _)) = lies.insert(*slice, (*node, *epoch)) {
                let text = format!("slice {slice} of backup {} lies on node {other} and on node {node}", part.backup);
                return Err(AdminError::State(format!("{text}: lay each on one node, with --part")));
            }
        }
    }
    let missing: Vec<String> =
        any.written.iter().filter(|slice| !lies.contains_key(slice)).map(|slice| slice.0.to_string()).collect();
    if missing.is_empty() {
        return Ok(lies);
    }
    let (backup, missing) = (&any.backup, missing.join(", "));
    Err(AdminError::State(format!("slices {missing} of backup {backup} are on no node yet: start the data nodes that have them")))
}

/// The entry of a slice that lies on a node: it leads, and others copy it.
fn goes_on(standing: &Standing, fleet: &FleetRecord, nodes: &[NodeId], (holder, last): (NodeId, Epoch)) -> SliceEntry {
    let mut entry = first(standing, fleet, nodes);
    if let Some(primary) = standing.view.replica(holder) {
        let others = nodes.iter().filter(|node| **node != holder).filter_map(|node| standing.view.replica(*node));
        entry.backups = others.take(fleet.copies.saturating_sub(1) as usize).collect();
        (entry.primary, entry.members) = (primary, vec![primary]);
    }
    SliceEntry { epoch: Epoch(last.0 + 1), ..entry }
}

/// The first entry of a slice on these nodes.
fn first(standing: &Standing, fleet: &FleetRecord, nodes: &[NodeId]) -> SliceEntry {
    let members: Vec<ReplicaId> = nodes.iter().filter_map(|node| standing.view.replica(*node)).collect();
    let (primary, backups) = (members[0], members[1..].to_vec());
    SliceEntry { epoch: Epoch(1), primary, backups, members, policy: fleet.policy, forced: Epoch(0) }
}
