//! Removing old backups and parcels, and what no backup that stays needs.
//!
//! Promises: a head goes first, so that a removal that is cut short leaves backups that count whole; what is left without a head
//! is removed by the next one. What a backup that is being taken has written is not touched: it has a number, and its own objects
//! are younger than any head that is there. Nor is a parcel that is being written: its number is higher than all that are there.
//! Nor what a mark of a fleet that is being taken may name: a fleet that has marks keeps, once more, the objects of the newest backup
//! that goes, and the marks from there on.

use crate::Error;
use crate::fleet::mark;
use crate::head::{Head, key, list, own, shared};
use crate::parcel::{ARCHIVE, ParcelName};
use crate::place::Place;
use std::collections::{BTreeMap, BTreeSet};

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The backups.
    pub backups: Vec<String>,
    /// How many parcels of archived log.
    pub parcels: u64,
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
    let mut needed: BTreeSet<String> = kept.iter().flat_map(|head| head.keys()).map(str::to_owned).collect();
    match kept.iter().any(|head| head.fleet.is_some()) {
        true => prune_marks(place, (kept, old.first()), &mut needed, &mut pruned)?,
        false => prune_parcels(place, kept, &mut pruned)?,
    }
    let heads: BTreeSet<String> = kept.iter().map(|head| key(&head.id)).collect();
    for name in place.list("backups/")?.into_iter().chain(place.list("files/")?) {
        if !needed.contains(&name) && !heads.contains(&name) {
            place.remove(&name)?;
            pruned.objects += 1;
        }
    }
    place.clear()?;
    Ok(pruned)
}

/// Removes the marks of a fleet from which no backup that stays goes on. What those that stay need is needed then.
fn prune_marks(
    place: &dyn Place,
    (kept, spare): (&[Head], Option<&Head>),
    needed: &mut BTreeSet<String>,
    pruned: &mut Pruned,
) -> Result<(), Error> {
    let mut objects: BTreeMap<ParcelName, Vec<String>> = BTreeMap::new();
    for key in place.list(ARCHIVE)? {
        if let Some((name, _)) = ParcelName::of(&key) {
            objects.entry(name).or_default().push(key);
        }
    }
    if objects.is_empty() {
        return Ok(());
    }
    needed.extend(spare.into_iter().flat_map(|head| head.keys()).map(str::to_owned));
    let moments = kept.iter().chain(spare).map(|head| u64::try_from(head.moment_us).unwrap_or(0));
    let oldest = moments.min().unwrap_or(0);
    for (name, keys) in objects.iter().filter(|(name, _)| name.to_us > oldest) {
        // Only one that has files of a slice names what lies elsewhere; and one that was cut short does not count.
        let has_files = keys.iter().any(|key| key.ends_with("/manifest"));
        if let Some(mark) = has_files.then(|| mark::read(place, &name.key())).transpose()?.flatten() {
            needed.extend(mark.files.into_iter().map(|file| file.key));
        }
    }
    for (name, keys) in objects.iter().filter(|(name, _)| name.to_us <= oldest) {
        pruned.parcels += u64::from(keys.contains(&name.key()));
        // The head first: what is left without one does not count.
        place.remove(&name.key())?;
        for key in keys.iter().filter(|key| !needed.contains(*key)) {
            place.remove(key)?;
            pruned.objects += 1;
        }
    }
    Ok(())
}

/// Removes the parcels from which no backup that stays goes on.
fn prune_parcels(place: &dyn Place, kept: &[Head], pruned: &mut Pruned) -> Result<(), Error> {
    // Those that were closed before the oldest backup was begun lie in it; two of each line stay, for a backup and a parcel that were
    // begun at the same time.
    let oldest = kept.iter().map(|head| head.closed).min().unwrap_or(0);
    let mut objects: BTreeMap<ParcelName, Vec<String>> = BTreeMap::new();
    for key in place.list(ARCHIVE)? {
        if let Some((name, _)) = ParcelName::of(&key) {
            objects.entry(name).or_default().push(key);
        }
    }
    let is_whole = |name: &ParcelName| objects[name].contains(&name.key());
    let whole: Vec<&ParcelName> = objects.keys().filter(|name| is_whole(name)).collect();
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut old: BTreeMap<&str, Vec<&ParcelName>> = BTreeMap::new();
    for name in &whole {
        newest.insert(&name.line, name.number);
        if name.to_us <= oldest {
            old.entry(&name.line).or_default().push(name);
        }
    }
    let stay: BTreeSet<&ParcelName> = old.values().flat_map(|names| names.iter().rev().take(2).copied()).collect();
    let unneeded = |name: &ParcelName| match is_whole(name) {
        true => name.to_us <= oldest && !stay.contains(name),
        false => name.to_us <= oldest || newest.get(name.line.as_str()).is_some_and(|newest| name.number <= *newest),
    };
    for (name, keys) in objects.iter().filter(|(name, _)| unneeded(name)) {
        pruned.parcels += u64::from(is_whole(name));
        // The head first: what is left without one does not count.
        place.remove(&name.key())?;
        keys.iter().filter(|key| **key != name.key()).try_for_each(|key| place.remove(key))?;
        pruned.objects += keys.len() as u64;
    }
    Ok(())
}

/// Takes away what a parcel that failed has written, its head first.
pub(crate) fn forget_parcel(place: &dyn Place, name: &ParcelName) {
    // What stays behind is removed by the next pruning.
    let _ = place.remove(&name.key());
    for key in place.list(&name.own()).unwrap_or_default() {
        let _ = place.remove(&key);
    }
}

/// Takes away what a backup that failed has written. The head first: a place may have kept one whose writing failed.
pub(crate) fn forget(place: &dyn Place, id: &str) {
    // What stays behind is removed by the next pruning.
    let _ = place.remove(&key(id));
    for name in [own(id), shared(id)].iter().flat_map(|prefix| place.list(prefix).unwrap_or_default()) {
        let _ = place.remove(&name);
    }
}
