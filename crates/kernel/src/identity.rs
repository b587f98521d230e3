//! What a store at rest must be, as its node file says: for whoever checks or repairs it.
//!
//! Promises: `identify` reads only. Neither may run while the store is open, and neither locks it.

use crate::Error;
use crate::node::{self, Neighbour, NodeFile};
use crate::recovery::slice_dir;
use log::Known;
use std::path::{Path, PathBuf};
use storage::StoreId;
use world::Disk;

/// What a node file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which store it is.
    pub store: StoreId,
    /// The directories of the slices that must be there.
    pub slices: Vec<PathBuf>,
    /// The log that must be there; None until the store has one.
    pub log: Option<Known>,
    /// Whether the tag table must be there.
    pub has_catalog: bool,
    /// Whether users' passwords must be there.
    pub has_passwords: bool,
}

fn read(disk: &dyn Disk, dir: &Path) -> Result<NodeFile, Error> {
    let node = node::read(disk, dir)?;
    node.ok_or_else(|| Error::Damaged(format!("{}: no copy of what the store is can be read", dir.join("node").display())))
}

/// Reads what the store in a directory must be.
///
/// # Errors
/// `Error::Open` where its node file can't be read, `Error::Damaged` where it is not whole.
pub fn identify(disk: &dyn Disk, dir: &Path) -> Result<Identity, Error> {
    let node = read(disk, dir)?;
    let roster = node::read_roster(disk, dir, node.store)?;
    let slices = roster.slices().iter().filter(|slice| slice.0 < node.rule.buckets).map(|slice| slice_dir(dir, *slice)).collect();
    let (has_catalog, has_passwords) = (node.has(Neighbour::Catalog), node.has(Neighbour::Passwords));
    Ok(Identity { store: node.store, slices, log: node.log, has_catalog, has_passwords })
}

/// Has the store take another log for its own from the next opening on; None = whatever log lies there then, or a
/// new one. For repairs: whatever the log that it had still holds must be lost.
///
/// # Errors
/// As `identify`; `Error::Open` where the node file can't be written: which log counts is known after reading it again.
pub fn accept_log(disk: &dyn Disk, dir: &Path, log: Option<Known>) -> Result<(), Error> {
    let node = read(disk, dir)?;
    node::renote_log(disk, dir, &node, log).map_err(|fault| Error::Open(fault.to_string()))
}

/// Has the store open without what floors above kept beside it. For repairs: it is given up.
///
/// # Errors
/// As `accept_log`.
pub fn forget_neighbour(disk: &dyn Disk, dir: &Path, neighbour: Neighbour) -> Result<(), Error> {
    let node = read(disk, dir)?;
    node::forget(disk, dir, &node, neighbour).map_err(|fault| Error::Open(fault.to_string()))
}
