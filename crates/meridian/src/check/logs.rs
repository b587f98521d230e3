//! The logs of a store at rest: what is damaged in them, whether the kernel's is the one that the store wrote to, and
//! how they are mended.
//!
//! Promises: looking changes nothing; before a log is mended, every file of it lies as it was in DIR/damaged; whole
//! records stay at their positions. A log that was lost, or is another store's, is given up: the store begins a new
//! one at its next start, behind what its files hold.

use super::repair::{failed, set_aside};
use super::{Findings, LOG};
use crate::Error;
use log::{Known, LogCheck, Position};
use std::path::Path;
use std::sync::Arc;
use storage::{Manifest, SliceDirectory};
use world::Disk;

/// Looks at a log; `known` is what the store says of it, `id` its id where that is kept beside it. None where there is
/// none and need not be one.
pub fn check(disk: &dyn Disk, dir: &Path, name: &str, known: Option<Known>, id: Option<u64>) -> Option<Findings> {
    let mut part = Findings { name: name.to_owned(), log_id: id, ..Findings::default() };
    let check = match log::check(disk, dir, id) {
        Ok(check) => check,
        // A store whose catalog or log was never made: opening makes it.
        Err(_) if disk.list(dir).is_err_and(|error| error.is_missing()) => {
            known?;
            LogCheck::default()
        }
        Err(error) => {
            part.damages.push(error.to_string());
            return Some(part);
        }
    };
    part.files = check.segments.len() as u64;
    part.rows = check.segments.iter().map(|segment| segment.records).sum();
    part.bytes = check.segments.iter().map(|segment| segment.end.0.saturating_sub(segment.base.0)).sum();
    part.leftovers = u64::from(check.torn_bytes > 0);
    let told = |damage: &log::Damage| format!("{} at byte {}: {}", damage.file.display(), damage.offset, damage.what);
    part.damages = check.damages.iter().map(told).collect();
    part.log_span = check.first().map(|first| (first, check.reached));
    part.strange_log = known.and_then(|known| check.is_known(dir, known).err());
    part.damages.extend(part.strange_log.iter().map(ToString::to_string));
    Some(part)
}

/// Mends a log; gives a line for each thing done and what was lost.
///
/// # Errors
/// `Error::Input`: what can't be read or written.
pub fn repair(disk: &Arc<dyn Disk>, dir: &Path, part: &Findings, done: &mut Vec<String>) -> Result<(), Error> {
    let name = &part.name;
    let place = dir.join(name);
    let failed = failed(&place);
    disk.make_dir(&place).map_err(|error| failed(error.to_string()))?;
    let names = disk.list(&place).map_err(|error| failed(error.to_string()))?;
    for entry in &names {
        set_aside(dir, &place.join(&entry.name), &format!("{}-{}", name.replace('/', "-"), entry.name))?;
    }
    if let Some(log::Error::Lost { .. } | log::Error::Foreign { .. }) = &part.strange_log {
        for entry in &names {
            disk.remove(&place.join(&entry.name)).map_err(|error| failed(error.to_string()))?;
        }
        disk.sync_dir(&place).map_err(|error| failed(error.to_string()))?;
        done.push(format!("{name}: it is given up; writes that were not in files yet are lost, and a new log begins"));
        return Ok(());
    }
    let check = log::repair(&**disk, &place, part.log_id).map_err(|error| failed(error.to_string()))?;
    if !check.damages.is_empty() {
        let bytes: u64 = check.damages.iter().map(|damage| damage.bytes).sum();
        let count = check.damages.len();
        done.push(format!("{name}: {count} damages; {bytes} bytes that are no records are passed over from now on"));
    }
    Ok(())
}

/// Has the store open with the log that is left, once that and the slices are mended. The node file comes last: until
/// then the store is refused, and a repair that was cut short is begun again.
///
/// # Errors
/// `Error::Input`: what can't be read or written.
pub fn settle(disk: &Arc<dyn Disk>, dir: &Path, part: &Findings, done: &mut Vec<String>) -> Result<(), Error> {
    let place = dir.join(&part.name);
    let failed = failed(&place);
    let check = log::check(&**disk, &place, part.log_id).map_err(|error| failed(error.to_string()))?;
    lower_positions(disk, dir, check.reached, done)?;
    let known = match &part.strange_log {
        None => return Ok(()),
        Some(log::Error::Headless { first, found, .. }) => {
            done.push(format!("{}: writes from position {first} to {found} that were not in files yet are lost", part.name));
            check.id.map(|id| Known { id, first: *found })
        }
        Some(_) => None,
    };
    kernel::accept_log(&**disk, dir, known).map_err(|error| failed(error.to_string()))
}

/// Whether the log holds the last record that each slice's files hold; where it does not, it was cut short or is an
/// older copy of itself, which opening refuses.
pub fn check_end(dir: &Path, found: &mut [Findings]) {
    let seen = |part: &Findings| Some((part.name.clone(), Position(part.manifest.as_ref()?.log_position)));
    let slices: Vec<(String, Position)> = found.iter().filter_map(seen).collect();
    let Some(part) = found.iter_mut().find(|part| part.name == LOG && part.damages.is_empty()) else { return };
    let Some((first, reached)) = part.log_span else { return };
    // One below the log's beginning was cut off with its segment.
    if let Some((name, at)) = slices.iter().filter(|(_, at)| *at >= first && *at >= reached).max_by_key(|(_, at)| *at) {
        let log = dir.join(LOG);
        part.damages
            .push(format!("{} ends before position {at}, but slice {name} has the record there in its files", log.display()));
    }
}

/// What manifests have seen of the log beyond its end lies in files, so nothing of the log is needed for it; but the
/// store would not open.
fn lower_positions(disk: &Arc<dyn Disk>, dir: &Path, reached: Position, done: &mut Vec<String>) -> Result<(), Error> {
    let slices = dir.join("slices");
    for entry in disk.list(&slices).unwrap_or_default().iter().filter(|entry| entry.directory) {
        let place = slices.join(&entry.name);
        let failed = failed(&place);
        let check = storage::check_directory(&**disk, &place).map_err(|error| failed(error.to_string()))?;
        let beyond = |manifest: &Manifest| manifest.log_position > 0 && manifest.log_position >= reached.0;
        let Some((_, manifest)) = check.manifest.filter(|(_, manifest)| beyond(manifest)) else { continue };
        let (store, slice) = (manifest.store, manifest.slice);
        let directory = SliceDirectory::open(disk, &place, store, slice).map_err(|error| failed(error.to_string()))?;
        let next = Manifest { log_position: 0, ..Manifest::clone(&directory.manifest()) };
        directory.publish(next).map_err(|error| failed(error.to_string()))?;
        done.push(format!("{}: its files hold writes that the log has lost", place.display()));
    }
    Ok(())
}
