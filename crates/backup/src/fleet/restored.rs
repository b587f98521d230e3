//! What a restored directory says of itself: that it is not whole yet; and, of a fleet's process, which backup it is of.
//!
//! ```text
//!   restoring    there until all is laid: such a directory is not to be opened
//!   restored     sealed JSON: for the managers of the fleet that begins with it
//! ```
//! Promises: a directory in which laying was cut short is told from a whole one. May not know who asks.

use super::Rule;
use crate::Error;
use crate::sealed::{sealed, unsealed};
use serde::{Deserialize, Serialize};
use std::path::Path;
use world::{Access, Disk, DiskError};

const CUT: &str = "restoring";
const NAME: &str = "restored";
const FORMAT: u32 = 1;

/// What a process of a fleet that begins with a backup was laid of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The format's number.
    pub format: u32,
    /// The backup.
    pub backup: String,
    /// The fleet's rule.
    pub rule: Rule,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// All slices of the backup in which something was written: the fleet is whole once its nodes have all of them.
    pub slices: Vec<u32>,
}

impl Restored {
    /// Of the parts of a head.
    #[must_use]
    pub fn new(backup: String, rule: Rule, period_us: i64, slices: Vec<u32>) -> Restored {
        Restored { format: FORMAT, backup, rule, period_us, slices }
    }
}

/// Whether a directory is one in which laying was cut short.
///
/// # Errors
/// `DiskError`.
pub fn is_cut_short(disk: &dyn Disk, dir: &Path) -> Result<bool, DiskError> {
    match disk.open(&dir.join(CUT), Access::Read) {
        Ok(_) => Ok(true),
        Err(fault) if fault.is_missing() => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// From now on the directory is not whole.
pub(super) fn begin(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    disk.create(&dir.join(CUT))?.sync()?;
    disk.sync_dir(dir)
}

/// It is whole now.
pub(super) fn end(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    disk.sync_dir(dir)?;
    disk.remove(&dir.join(CUT))?;
    disk.sync_dir(dir)
}

/// Writes what it was laid of.
pub(super) fn write(disk: &dyn Disk, dir: &Path, restored: &Restored) -> Result<(), Error> {
    let file = disk.create(&dir.join(NAME))?;
    file.write_at(0, &[&sealed(restored)?])?;
    file.sync()?;
    Ok(())
}

/// What a process's directory was laid of, where it was.
///
/// # Errors
/// `Error::Damaged`, `Error::Format`, `Error::Disk`.
pub fn restored(disk: &dyn Disk, dir: &Path) -> Result<Option<Restored>, Error> {
    let path = dir.join(NAME);
    let file = match disk.open(&path, Access::Read) {
        Err(fault) if fault.is_missing() => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    file.read_at(0, &mut bytes)?;
    unsealed(&path.display().to_string(), &bytes).map(Some)
}
