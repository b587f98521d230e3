//! First placements: by hand, by modulus, by even data (paper 2.2).
//!
//! Promises: every slice gets its copies on different hosts that stay, the primary first. It may not know how full they are.

use super::{Host, Layout, Placed, PlanError, Wish, check, plan};
use std::collections::BTreeMap;
use types::{NodeId, SliceId};

/// As someone wrote it down: each slice with its nodes, the primary first. Locality is the writer's matter.
///
/// # Errors
/// `PlanError` names the slice that has no node, stands twice, or lies on a node that can't hold it.
pub fn by_hand(hosts: &[Host], slices: u32, named: &[(SliceId, Vec<NodeId>)]) -> Result<Vec<Vec<NodeId>>, PlanError> {
    let placed = |(slice, holders): &(SliceId, Vec<NodeId>)| Placed { slice: *slice, bytes: 0, holders: holders.clone() };
    check(hosts, &named.iter().map(placed).collect::<Vec<_>>(), Wish::default())?;
    let mut by_slice: BTreeMap<SliceId, &Vec<NodeId>> = named.iter().map(|(slice, nodes)| (*slice, nodes)).collect();
    let mut placement = Vec::new();
    for slice in (0..slices).map(SliceId) {
        let nodes = by_slice.remove(&slice).filter(|nodes| !nodes.is_empty()).ok_or(PlanError::SliceMissing(slice))?;
        for (i, node) in nodes.iter().enumerate() {
            if nodes[..i].contains(node) {
                return Err(PlanError::HostTwice(*node));
            }
            if !hosts.iter().any(|host| host.id == *node && !host.leaves) {
                return Err(PlanError::UnknownHost { slice, node: *node });
            }
        }
        placement.push(nodes.clone());
    }
    match by_slice.into_iter().next() {
        Some((slice, _)) => Err(PlanError::NoSuchSlice(slice)),
        None => Ok(placement),
    }
}

/// Slice after slice to host after host, weights aside; further copies on the hosts that follow, as far apart as can be.
///
/// # Errors
/// `PlanError` where no host stays, or no copies are asked for.
pub fn by_modulus(hosts: &[Host], slices: u32, copies: u32) -> Result<Vec<Vec<NodeId>>, PlanError> {
    let wish = Wish { copies, ..Wish::default() };
    check(hosts, &[], wish)?;
    let layout = Layout::new(hosts, &[], wish);
    let ring: Vec<u32> = layout.stay().collect();
    let holders = |slice: usize| {
        let mut set: Vec<u32> = Vec::new();
        while set.len() < layout.copies {
            let from = (0..ring.len()).map(|step| ring[(slice + step) % ring.len()]);
            let next = { from }.find(|n| {
                let longer: Vec<u32> = set.iter().copied().chain([*n]).collect();
                !set.contains(n) && layout.may(&longer)
            });
            set.push(next.expect("what was begun so may be completed"));
        }
        set.into_iter().map(|n| hosts[n as usize].id).collect()
    };
    Ok((0..slices as usize).map(holders).collect())
}

/// So that data known beforehand (bytes of each slice) lie evenly by weight.
///
/// # Errors
/// As `plan`.
pub fn by_even_data(hosts: &[Host], bytes: &[u64], wish: Wish) -> Result<Vec<Vec<NodeId>>, PlanError> {
    let placed = |(slice, bytes): (u32, &u64)| Placed { slice: SliceId(slice), bytes: *bytes, holders: Vec::new() };
    let slices: Vec<Placed> = (0..).zip(bytes).map(placed).collect();
    Ok(plan(hosts, &slices, wish)?.changes.into_iter().map(|change| change.after).collect())
}
