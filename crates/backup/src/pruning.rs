//! Removing old backups, and what no backup that stays needs.
//!
//! Promises: a head goes first, so that a removal that is cut short leaves backups that count whole; what is left without a head
//! is removed by the next one. What a backup that is being taken has written is not touched: it has a number, and its own objects
//! are younger than any head that is there.

use crate::Error;
use crate::head::{key, list, own, shared};
use crate::place::Place;
use std::collections::BTreeSet;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The backups.
    pub backups: Vec<String>,
    /// How many objects, heads included.
    pub objects: u64,
}

/// Keeps so many of the newest backups; at least one. Not to be called while a backup is taken to the same place.
///
/// # Errors
/// `Error::Place`: what was removed before stays so.
pub fn keep_newest(place: &dyn Place, count: usize) -> Result<Pruned, Error> {
    let heads = list(place)?;
    let mut pruned = Pruned::default();
    let (kept, old) = heads.split_at(count.max(1).min(heads.len()));
    for head in old {
        place.remove(&key(&head.id))?;
        pruned.backups.push(head.id.clone());
        pruned.objects += 1;
    }
    let needed: BTreeSet<&str> = kept.iter().flat_map(|head| head.keys()).collect();
    let heads: BTreeSet<String> = kept.iter().map(|head| key(&head.id)).collect();
    for name in place.list("backups/")?.into_iter().chain(place.list("files/")?) {
        if !needed.contains(name.as_str()) && !heads.contains(&name) {
            place.remove(&name)?;
            pruned.objects += 1;
        }
    }
    place.clear()?;
    Ok(pruned)
}

/// Takes away what a backup that failed has written. The head first: a place may have kept one whose writing failed.
pub(crate) fn forget(place: &dyn Place, id: &str) {
    // What stays behind is removed by the next pruning.
    let _ = place.remove(&key(id));
    for name in [own(id), shared(id)].iter().flat_map(|prefix| place.list(prefix).unwrap_or_default()) {
        let _ = place.remove(&name);
    }
}
