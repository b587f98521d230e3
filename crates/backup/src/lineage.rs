//! Which backups a store goes on from: those that were taken of it, and the one that it was laid from. An empty file for each, named as
//! the backup, in the store's own directory.
//!
//! Two stores of one identity may go on from one backup: one that was restored beside or in the place of the other, a copy of the
//! directory, a disk that was set back. Each gives numbers and versions that the other has given to other rows. So a backup may
//! share files only with backups in this list: wherever the list was copied to, what they hold is this store's past.
//! Promises: a backup is noted once its head is whole, hence never one that the store has not been.

use crate::head::BackupId;
use std::path::{Path, PathBuf};
use world::{Disk, DiskError};

const DIRECTORY: &str = "backed-up";

/// How many are known at most: a store may be backed up to several repositories, to some of them seldom.
const KNOWN_MAX: usize = 1_000;

fn directory(dir: &Path) -> PathBuf {
    dir.join(DIRECTORY)
}

/// The backups that the store in a directory goes on from, oldest first.
pub(crate) fn known(disk: &dyn Disk, dir: &Path) -> Result<Vec<BackupId>, DiskError> {
    let entries = match disk.list(&directory(dir)) {
        Err(fault) if fault.is_missing() => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<BackupId> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    Ok(names)
}

/// From now on the store goes on from that backup too.
pub(crate) fn note(disk: &dyn Disk, dir: &Path, id: &str) -> Result<(), DiskError> {
    let directory = directory(dir);
    disk.make_dir(&directory)?;
    disk.create(&directory.join(id))?.sync()?;
    let known = known(disk, dir)?;
    for old in &known[..known.len().saturating_sub(KNOWN_MAX)] {
        disk.remove(&directory.join(old))?;
    }
    disk.sync_dir(&directory)?;
    disk.sync_dir(dir)
}
