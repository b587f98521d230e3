//! Laying a backup: a store's directory, made of what a head names; and checking one where it lies.
//!
//! Promises: everything is compared with its digest as it passes; the node file comes last, so that a directory in which laying was
//! cut short does not open.

use crate::copying::{Meter, get, get_piece, lay_file, lay_log};
use crate::head::{FileEntry, Head};
use crate::place::Place;
use crate::{Error, Report};
use std::path::{Component, Path};
use std::sync::Arc;
use world::Disk;

/// Bytes that pass when a backup is read: logs are counted unpacked only as they come.
fn bytes(head: &Head) -> u64 {
    head.bytes
}

/// Makes the store of a backup in a new or empty directory.
///
/// # Errors
/// `Error::NotEmpty`, `Error::Damaged`, `Error::Place`, `Error::Disk`, `Error::Cancelled`: remove what is there then.
pub fn lay(place: &dyn Place, head: &Head, disk: &Arc<dyn Disk>, dir: &Path, report: Report<'_>) -> Result<(), Error> {
    disk.make_dir(dir)?;
    if disk.list(dir)?.iter().any(|entry| entry.name != "lost+found") {
        return Err(Error::NotEmpty(dir.display().to_string()));
    }
    let meter = Meter::new(bytes(head), report);
    let (node, others): (Vec<&FileEntry>, Vec<&FileEntry>) = head.files.iter().partition(|file| file.path == "node");
    for file in &others {
        check_path(head, &file.path)?;
        lay_file(place, file, &**disk, dir, &meter)?;
    }
    for log in &head.logs {
        check_path(head, &log.path)?;
        lay_log(place, log, disk, dir, &meter)?;
    }
    for file in node {
        lay_file(place, file, &**disk, dir, &meter)?;
    }
    disk.sync_dir(dir)?;
    Ok(())
}

/// A path that leads out of the directory is none of ours.
fn check_path(head: &Head, path: &str) -> Result<(), Error> {
    if !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    Err(Error::Damaged { key: crate::head::key(&head.id), what: format!("it names a file outside the store: {path}") })
}

/// Reads all that a backup names, and compares it with its digests. Gives everything that is wrong.
///
/// # Errors
/// `Error::Place`, `Error::Cancelled`.
pub fn verify(place: &dyn Place, head: &Head, report: Report<'_>) -> Result<Vec<Error>, Error> {
    let (meter, mut wrong) = (Meter::new(bytes(head), report), Vec::new());
    let mut note = |outcome: Result<(), Error>| match outcome {
        Err(fault @ Error::Damaged { .. }) => {
            wrong.push(fault);
            Ok(())
        }
        other => other,
    };
    for file in &head.files {
        note(get(place, file, &mut std::io::sink(), &meter))?;
    }
    for log in &head.logs {
        for piece in &log.pieces {
            note(get_piece(place, log, piece, &meter).map(drop))?;
        }
    }
    Ok(wrong)
}
