//! A data node, as statements of schedulers read it.
//!
//! Promises: those of `query::SliceReader`: a slice that is known here by another epoch, is not here, or is not led here, is stale;
//! what can't be vouched for now is unavailable, and another copy is asked; a session's write that was lost is said so at once.

use cluster::data::{Asked, DataNode, Refused};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use kernel::Snapshot;
use query::{Consistency, Error, SliceReader, Wanted};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use types::{Epoch, NodeId, SliceId};

/// Reads a data node's slices.
pub struct Reader(pub Arc<DataNode>);

impl SliceReader for Reader {
    fn readable(&self, wanted: &Wanted) -> BoxFuture<'static, Result<Snapshot, Error>> {
        let (node, wanted) = (Arc::clone(&self.0), wanted.clone());
        async move {
            let looks = wanted.slices.iter().map(|(slice, epoch)| known_as(&node, *slice, *epoch));
            join_all(looks).await.into_iter().collect::<Result<Vec<()>, Error>>()?;
            let seen: BTreeMap<_, _> = wanted.seen.iter().copied().collect();
            let how = |slice: &SliceId| match wanted.consistency {
                Consistency::Primary => protocol::Consistency::Primary,
                Consistency::Session => {
                    seen.get(slice).map_or(protocol::Consistency::Any, |version| protocol::Consistency::Session(*version))
                }
                Consistency::Bounded(ms) => protocol::Consistency::Bounded { us: ms.saturating_mul(1_000) },
                Consistency::Any => protocol::Consistency::Any,
            };
            let slices: Vec<_> = wanted.slices.iter().map(|(slice, _)| (*slice, how(slice))).collect();
            let readable = node.readable_each(&slices).await;
            match (readable.refused.into_iter().next(), readable.snapshot) {
                (Some((slice, Refused::NotPrimary { leader })), _) => Err(not_led(&node, slice, leader).await),
                // No other try can have it.
                (Some((slice, refused @ Refused::Lost)), _) => Err(Error::lost_write(format!("slice {slice}: {refused}"))),
                (Some((slice, refused)), _) => {
                    Err(Error::unavailable(format!("slice {slice} on node {}: {refused}", node.me().node)))
                }
                (None, Some(snapshot)) => Ok(snapshot),
                (None, None) => Err(Error::unavailable("a part of a statement names no slice".to_owned())),
            }
        }
        .boxed()
    }
}

/// Whether a slice is here, in that epoch or a later one.
async fn known_as(node: &DataNode, slice: SliceId, epoch: Epoch) -> Result<(), Error> {
    let stale = || Error::stale(format!("slice {slice} is not on node {} as the statement was planned for", node.me().node));
    let (answer, told) = oneshot::channel();
    node.ask(slice, Asked::Look { answer }).map_err(|_| stale())?;
    match told.await.map_err(|_| stale())?.entry {
        Some(entry) if entry.epoch >= epoch => Ok(()),
        _ => Err(stale()),
    }
}

/// Why a slice can't be read under its leader here. It is looked up again: who leads it, or hears enough copies, may soon be known.
async fn not_led(node: &DataNode, slice: SliceId, leader: Option<NodeId>) -> Error {
    if leader.is_some_and(|leader| leader != node.me().node) {
        return Error::stale(format!("slice {slice} is led elsewhere by now"));
    }
    let (answer, told) = oneshot::channel();
    let asked = node.ask(slice, Asked::Look { answer });
    let looked = if asked.is_ok() { told.await.ok() } else { None };
    match looked.and_then(|looked| looked.lacks_members) {
        Some(least) => {
            let message = format!(
                "slice {slice} has fewer copies in sync than min_in_sync, which is {least}: it is neither read nor written"
            );
            Error::stale(message)
                .with_hint("bring a node back that has a copy, or let fewer do: SELECT meridian_set_replication(..)")
        }
        None => Error::stale(format!("nobody leads slice {slice} now")).with_hint(
            "the same statement may succeed soon; meridian.slice_map shows who holds the slice, meridian.nodes who is there",
        ),
    }
}
