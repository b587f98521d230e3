//! A data node, as statements of schedulers read it.
//!
//! Promises: those of `query::SliceReader`: a slice that is known here by another epoch, or is not here, is stale; what can't be
//! vouched for now is unavailable, and another copy is asked; a session's write that was lost is said so at once.

use cluster::data::{Asked, DataNode, Refused};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use kernel::Snapshot;
use query::{Consistency, Error, SliceReader, Wanted};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use types::{Epoch, SliceId};

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
                (Some((slice, Refused::NotPrimary { .. })), _) => {
                    Err(Error::stale(format!("slice {slice} is led elsewhere by now")))
                }
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
