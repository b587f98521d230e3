//! Who belongs to the schedulers: each registers itself; one whose node is removed, or takes on other roles, is taken out.
//!
//! Promises: every swap keeps the law of `TagEntry::check_next`; who asks twice does no harm; a store that is new takes the
//! place of its node's old one, unless that one alone had the tags; a meta that knows less than the store is refused. Somebody with
//! all tags stays.
//! May not know what tags are.

use super::entry::{entry_key, entry_value, tag_entry};
use super::refused::Error;
use crate::tickets::answered;
use meta::{Is, Meta, Swap, Swapped};
use protocol::ReplicaId;
use protocol::tags::{Point, TagEntry};
use types::{Epoch, NodeId};
use world::Abandoned;

pub(super) fn gone(_: Abandoned) -> meta::Error {
    meta::Error::Unavailable("meta was closed".to_owned())
}

/// The entry as it stands, with what a swap of it must find; None where it was never written.
async fn read(meta: &dyn Meta) -> Result<(Option<TagEntry>, Is), Error> {
    let found = answered(meta.get(&[entry_key()])).await.map_err(gone)??;
    let Some(found) = found.entries.into_iter().next().flatten() else { return Ok((None, Is::Absent)) };
    match tag_entry(&found.value) {
        Some(entry) => Ok((Some(entry), Is::Modified(found.modified))),
        None => Err(Error::Outside("what meta says of tags can't be read: is it of another release?".to_owned())),
    }
}

/// Swaps until `next` finds nothing to change.
async fn change(meta: &dyn Meta, next: impl Fn(Option<&TagEntry>) -> Result<Option<TagEntry>, Error>) -> Result<(), Error> {
    loop {
        let (entry, is) = read(meta).await?;
        let Some(next) = next(entry.as_ref())? else { return Ok(()) };
        if let Some(Err(fault)) = entry.map(|entry| entry.check_next(&next)) {
            return Err(Error::Outside(format!("the schedulers can't be changed so: {fault}")));
        }
        let key = entry_key();
        match answered(meta.swap(Swap::new().when(&key, is).put(&key, entry_value(&next)))).await.map_err(gone)? {
            // Read again: it tells.
            Ok(Swapped::Done { .. } | Swapped::Conflict { .. }) => {}
            Err(meta::Error::InDoubt(_)) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// Makes a store one of the schedulers; the first one makes the entry.
/// `table` is where its own table stands: of one that was laid from a backup the fleet's history goes on from there.
pub(super) async fn register(meta: &dyn Meta, me: ReplicaId, (seen, table): (Epoch, Option<Point>)) -> Result<(), Error> {
    let laid = table.filter(|table| seen == Epoch(0) && *table != Point::default());
    change(meta, |entry| {
        let Some(entry) = entry else {
            if seen > Epoch(0) {
                let text = "this scheduler has tags of a fleet, but meta knows of none: is it the right meta, and not a new one?";
                return Err(Error::Outside(text.to_owned()));
            }
            let all = vec![me];
            let committed = laid.unwrap_or_default();
            let first = TagEntry { epoch: Epoch(1), leader: me, committed, normal: all.clone(), registered: all };
            return Ok(Some(first));
        };
        if entry.epoch < seen {
            let text = format!(
                "meta is at epoch {} of the tags, this scheduler has seen {seen}: meta was brought back from an old copy",
                entry.epoch
            );
            return Err(Error::Outside(text));
        }
        if entry.is_registered(me) {
            return Ok(None);
        }
        if let Some(laid) = laid.filter(|laid| laid.sequence > entry.committed.sequence) {
            let (here, there) = (laid.sequence, entry.committed.sequence);
            let text = format!(
                "this scheduler's tag table is a backup's, of batch {here}, but the fleet has tags of its own, up to batch {there}: \
                 begin with a new meta, or with an empty directory"
            );
            return Err(Error::Outside(text));
        }
        let mut registered: Vec<ReplicaId> = entry.registered.iter().copied().filter(|id| id.node != me.node).collect();
        if !registered.iter().any(|id| entry.is_normal(*id)) {
            let text =
                format!("node {} was the only scheduler with all tags, and this is another store: put that one back", me.node);
            return Err(Error::Outside(text));
        }
        registered.push(me);
        Ok(Some(TagEntry { registered, ..entry.clone() }))
    })
    .await
}

/// The entry without those schedulers that leave; none where they are no schedulers.
fn without(entry: Option<&TagEntry>, leaves: impl Fn(&ReplicaId) -> bool) -> Result<Option<TagEntry>, Error> {
    let leaving = |entry: &TagEntry| entry.registered.iter().copied().find(|id| leaves(id));
    let Some((entry, leaver)) = entry.and_then(|entry| Some((entry, leaving(entry)?))) else { return Ok(None) };
    let registered: Vec<ReplicaId> = entry.registered.iter().copied().filter(|id| !leaves(id)).collect();
    if !registered.iter().any(|id| entry.is_normal(*id)) {
        let node = leaver.node;
        let text = format!("node {node} is the only scheduler with all tags: let another one become Normal first");
        return Err(Error::Outside(text));
    }
    Ok(Some(TagEntry { registered, ..entry.clone() }))
}

/// Takes a node out of the schedulers, for good; one that is no scheduler is no matter.
///
/// # Errors
/// `Error::Outside` where no scheduler with all tags would be left, `Error::Meta`.
pub async fn deregister(meta: &dyn Meta, node: NodeId) -> Result<(), Error> {
    change(meta, |entry| without(entry, |id| id.node == node)).await
}

/// The stores that count as schedulers under a number, to be taken out by `deregister_stores`: whoever takes the number and
/// registers meanwhile is none of them.
///
/// # Errors
/// As `deregister`.
pub(crate) async fn registered_of(meta: &dyn Meta, node: NodeId) -> Result<Vec<ReplicaId>, Error> {
    let (entry, _) = read(meta).await?;
    without(entry.as_ref(), |id| id.node == node)?;
    Ok(entry.into_iter().flat_map(|entry| entry.registered).filter(|id| id.node == node).collect())
}

/// Takes stores out of the schedulers, for good.
///
/// # Errors
/// As `deregister`.
pub(crate) async fn deregister_stores(meta: &dyn Meta, stores: &[ReplicaId]) -> Result<(), Error> {
    change(meta, |entry| without(entry, |id| stores.contains(id))).await
}
