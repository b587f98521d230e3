//! The first placement of all slices, once the fleet has its rule and enough nodes (paper 2.2).
//!
//! Promises: a slice that is placed stays as it is, so that asking twice, or after who was asked died halfway, completes what is
//! missing. It may not know how slices move later.

use super::admin::Admin;
use super::standing::Standing;
use super::words::AdminError;
use crate::fleet::entries::{FleetRecord, slice_key, slice_value};
use meta::{Is, SWAP_KEYS_MAX, Swap, Swapped};
use protocol::moves::{Host, Wish, by_even_data, by_hand, by_modulus};
use protocol::{ReplicaId, SliceEntry};
use types::{Epoch, NodeId, SliceId};

/// How slices are placed at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Slice after slice to node after node.
    Modulus,
    /// So that data known beforehand, the bytes of each slice in order, lie evenly by weight.
    EvenData(Vec<u64>),
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
            let placement = placement(&standing, &fleet, how)?;
            let mut swapped = true;
            for slices in missing.chunks(SWAP_KEYS_MAX) {
                let put = |swap: Swap, slice: &SliceId| {
                    let (key, nodes) = (slice_key(*slice), &placement[slice.0 as usize]);
                    swap.when(&key, Is::Absent).put(&key, slice_value(&first(&standing, &fleet, nodes)))
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
        Placement::Modulus => by_modulus(&hosts, slices, copies)?,
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

/// The first entry of a slice on these nodes.
fn first(standing: &Standing, fleet: &FleetRecord, nodes: &[NodeId]) -> SliceEntry {
    let members: Vec<ReplicaId> = nodes.iter().filter_map(|node| standing.view.replica(*node)).collect();
    let (primary, backups) = (members[0], members[1..].to_vec());
    SliceEntry { epoch: Epoch(1), primary, backups, members, policy: fleet.policy, forced: Epoch(0) }
}
