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

/// Looks at a log; `known` is what the store says of it. None where there is none and need not be one.
pub fn check(disk: &dyn Disk, dir: &Path, name: &str, known: Option<Known>) -> Option<Findings> {
    let mut part = Findings { name: name.to_owned(), ..Findings::default() };
    let check = match log::check(disk, dir) {
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
    match &part.strange_log {
        Some(log::Error::Lost { .. } | log::Error::Foreign { .. }) => {
            for entry in &names {
                disk.remove(&place.join(&entry.name)).map_err(|error| failed(error.to_string()))?;
            }
            disk.sync_dir(&place).map_err(|error| failed(error.to_string()))?;
            // Only now: a store without a log of its own takes whatever lies there.
            kernel::accept_log(&**disk, dir, None).map_err(|error| failed(error.to_string()))?;
            done.push(format!("{name}: it is given up; writes that were not in files yet are lost, and a new log begins"));
        }
        strange => {
            let check = log::repair(&**disk, &place).map_err(|error| failed(error.to_string()))?;
            if !check.damages.is_empty() {
                let bytes: u64 = check.damages.iter().map(|damage| damage.bytes).sum();
                let count = check.damages.len();
                done.push(format!("{name}: {count} damages; {bytes} bytes that are no records are passed over from now on"));
            }
            if let (Some(log::Error::Headless { first, found, .. }), Some(id)) = (strange, check.id) {
                let known = Known { id, first: *found };
                kernel::accept_log(&**disk, dir, Some(known)).map_err(|error| failed(error.to_string()))?;
                done.push(format!("{name}: writes from position {first} to {found} that were not in files yet are lost"));
            }
        }
    }
    Ok(())
}

/// A log that lost its end ends before what manifests have seen of it, and the store would not open: what they have
/// seen lies in files, so nothing of the log is needed for it. To be done when log and slices are mended.
///
/// # Errors
/// `Error::Input`: what can't be read or written.
pub fn lower_positions(disk: &Arc<dyn Disk>, dir: &Path, done: &mut Vec<String>) -> Result<(), Error> {
    let log = dir.join(LOG);
    let failed_log = failed(&log);
    let mut last = Position(0);
    for record in log::read(disk, &log).map_err(|error| failed_log(error.to_string()))? {
        last = record.map_err(|error| failed_log(error.to_string()))?.position;
    }
    let slices = dir.join("slices");
    for entry in disk.list(&slices).unwrap_or_default().iter().filter(|entry| entry.directory) {
        let place = slices.join(&entry.name);
        let failed = failed(&place);
        let check = storage::check_directory(&**disk, &place).map_err(|error| failed(error.to_string()))?;
        let Some((_, manifest)) = check.manifest.filter(|(_, manifest)| manifest.log_position > last.0) else { continue };
        let (store, slice) = (manifest.store, manifest.slice);
        let directory = SliceDirectory::open(disk, &place, store, slice).map_err(|error| failed(error.to_string()))?;
        let next = Manifest { log_position: 0, ..Manifest::clone(&directory.manifest()) };
        directory.publish(next).map_err(|error| failed(error.to_string()))?;
        done.push(format!("{}: its files hold writes that the log has lost", place.display()));
    }
    Ok(())
}
