//! A slice that is led again by force, and what that loses.
//!
//! Promises: what would be lost is told as far as it is known, before and after: what the node has is asked of it, what others had is
//! what managers last heard of them, and may be less than they had. Asking twice forces once. May not know in which words
//! operators ask.

use super::admin::{Admin, entry, slice_of};
use super::standing::Standing;
use super::words::AdminError;
use crate::data::looking;
use crate::fleet::entries::{slice_key, slice_value};
use meta::{Is, Swap};
use protocol::ReplicaId;
use types::{Epoch, NodeId, SliceId, Version};

/// What a forced epoch loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForceLoss {
    /// The newest write that the node has.
    pub has: Version,
    /// Other copies: how far each was last heard to be, how many milliseconds ago, and whether it was in sync.
    pub heard: Vec<(NodeId, Version, u64, bool)>,
    /// Writes that others are known to have had beyond it; none where nothing was heard of a copy that was in sync.
    pub lacks: Option<u64>,
}

impl Admin {
    /// What forcing a slice to a node would lose, as far as that is known. Changes nothing.
    ///
    /// # Errors
    /// As `force`; `AdminError::State` also where the node does not answer, or has no copy.
    pub async fn force_loss(&self, slice: SliceId, node: NodeId) -> Result<ForceLoss, AdminError> {
        let standing = self.standing().await?;
        forced(&standing, slice, node)?;
        let entry = entry(&standing, slice)?;
        let seen = looking::ask(&self.lines, node, &[slice], false).await;
        let seen =
            seen.map_err(|status| AdminError::State(format!("node {node} does not say what it has: {}", status.message())))?;
        // Without a copy it begins with nothing.
        let has = seen.replicas.first().map_or_else(Version::default, |replica| replica.history.last());
        let looked = self.versions(slice).await;
        let is_member = |node: NodeId| entry.members.iter().any(|id| id.node == node);
        let of = looked.versions().filter(|(other, ..)| *other != node && entry.everyone().any(|id| id.node == *other));
        let heard: Vec<_> = of.map(|(other, version, ms)| (other, version, ms, is_member(other))).collect();
        let most = heard.iter().filter(|(.., member)| *member).map(|(_, version, ..)| version.sequence.0).max();
        Ok(ForceLoss { has, lacks: most.map(|most| most.saturating_sub(has.sequence.0)), heard })
    }

    /// Has a node lead a slice whose in-sync copies are all lost or silent, alone, with what it has: what it lacks is lost for
    /// good. Answers the epoch in which it leads.
    ///
    /// # Errors
    /// `AdminError::State` where a copy that is in sync is there, or the node is not.
    pub async fn force(&self, slice: SliceId, node: NodeId) -> Result<Epoch, AdminError> {
        self.change(|standing| {
            let Some(replica) = forced(standing, slice, node)? else { return Ok(None) };
            let seen = slice_of(standing, slice)?;
            let next = seen.value.forced_under(replica);
            seen.value.check_next(&next).map_err(|error| AdminError::Entry { slice, error })?;
            let key = slice_key(slice);
            Ok(Some(Swap::new().when(&key, Is::Modified(seen.revision)).put(&key, slice_value(&next))))
        })
        .await?;
        Ok(entry(&self.standing().await?, slice)?.forced)
    }
}

/// The replica that would lead, where it may be forced to; none where it does so already.
fn forced(standing: &Standing, slice: SliceId, node: NodeId) -> Result<Option<ReplicaId>, AdminError> {
    let (entry, view) = (entry(standing, slice)?, &standing.view);
    let is_there = |id: &ReplicaId| {
        view.replica(id.node) == Some(*id) && view.nodes.get(&id.node).is_some_and(|node| node.value.state.is_there())
    };
    let state = |text: String| Err(AdminError::State(text));
    let Some(replica) = view.replica(node).filter(is_there) else {
        return state(format!("node {node} is no data node, or not there"));
    };
    if entry.forced == entry.epoch && entry.primary == replica {
        return Ok(None);
    }
    if let Some(well) = entry.members.iter().find(|id| is_there(id)) {
        return state(format!("slice {slice} has a copy in sync at node {}: it needs no force, nothing is lost", well.node));
    }
    Ok(Some(replica))
}
