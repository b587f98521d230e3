//! A tag table at rest: whether its checkpoint is whole, told without changing anything.
//!
//! Promises: every block that the manifest names is read, its checksum and rows held against what opening
//! asks of them, and each damage is named with its place and the tags that are lost by it; what a crash left
//! behind is counted, and is no damage. Of the log beside it only whether it is the one that belongs here, and how many
//! tags it made: whether its records are whole is `log::check`'s to say.

use crate::block::BLOCK_BITS;
use crate::checkpoint::{Checkpoints, LastFile, push_run};
use crate::kind_table::KindTable;
use crate::manifest::Manifest;
use crate::mending::push_lost;
use crate::record::{Joiner, KIND_CHANGE, KIND_CREATE, KIND_DELETE};
use crate::row::Row;
use crate::table::Table;
use crate::{Error, opening};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::wire::Reader;
use world::Disk;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The manifest's file, and the files that it names.
    pub files: Vec<PathBuf>,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Ordinals that the checkpoint holds; what came later is in the log.
    pub tags: u64,
    /// Ordinals whose definitions can't be read.
    pub tags_lost: u64,
    /// Ordinals below this were given, by the checkpoint and the log behind it; None where that can't be told, since the
    /// log is not whole or the table is a fleet's.
    pub ordinals: Option<u64>,
    /// The id of the log, which the manifest keeps; None where there is no manifest.
    pub log: Option<u64>,
    /// Files that a crash left behind: the next opening removes them.
    pub leftovers: u64,
    /// What is damaged, in words that name file and place.
    pub damages: Vec<String>,
}

/// Reads the checkpoint of a catalog's directory.
///
/// # Errors
/// `Error::Open` where the disk fails.
pub fn check(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Check, Error> {
    let mut found = Check::default();
    let checkpoints = match Checkpoints::open(disk, dir) {
        Ok(checkpoints) => checkpoints,
        Err(Error::Damaged(what)) => {
            found.damages.push(what);
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    match opening::check_log(&**disk, dir, &checkpoints) {
        Err(Error::Damaged(what)) => found.damages.push(what),
        other => other?,
    }
    let manifest = checkpoints.manifest();
    found.log = checkpoints.log();
    found.ordinals = ordinals(disk, dir, manifest);
    found.files = checkpoints.paths();
    found.leftovers = checkpoints.leftovers().len() as u64;
    found.tags = manifest.rows;
    found.bytes = manifest.blocks.iter().map(|place| place.bytes).sum();
    let (mut table, kinds) = (Table::new(0, manifest.rows as usize), KindTable::new());
    let mut last = LastFile::default();
    for index in 0..manifest.blocks.len() {
        let first = (index as u64) << BLOCK_BITS;
        let read = checkpoints.read(index, &mut last).and_then(|(run, rows)| {
            let torn = manifest.is_torn();
            let push = |table: &mut Table, row: &Row<'_>| {
                if torn { table.push_again(row, &kinds, 0) } else { table.push(row, &kinds, 0) }
            };
            push_run(&run, rows, &mut table, &kinds, push).map_err(|what| checkpoints.damaged_block(index, what))
        });
        match read {
            Ok(()) => {}
            Err(Error::Damaged(what)) => {
                let rows = checkpoints.rows(index) as u64;
                found.damages.push(format!("{what} (the tags with ordinals {first} to {})", first + rows - 1));
                found.tags_lost += rows;
                table.take_back(first);
                push_lost(&mut table, &kinds, first + rows);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// How many ordinals the checkpoint and the log behind it gave, as opening would find it.
fn ordinals(disk: &Arc<dyn Disk>, dir: &Path, manifest: &Manifest) -> Option<u64> {
    // A fleet's table is numbered by all schedulers together.
    if manifest.led.is_some() {
        return None;
    }
    let dir = dir.join("log");
    if disk.list(&dir).is_err_and(|error| error.is_missing()) {
        return Some(manifest.rows);
    }
    let (mut end, mut joiner) = (manifest.rows, Joiner::default());
    for record in log::read(disk, &dir).ok()? {
        let record = record.ok()?;
        let Some(write) = joiner.take(record.kind, &record.head, &record.body).ok()? else { continue };
        match write.kind {
            KIND_CREATE => end = end.max(created_end(&write.bytes)?),
            KIND_CHANGE | KIND_DELETE => {}
            _ => return None,
        }
    }
    Some(end)
}

/// Behind the last ordinal that a creation gave.
pub fn created_end(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    let mut end = reader.varint()?;
    for _ in 0..reader.varint()? {
        end = end.checked_add(reader.varint()?)?;
        let len = reader.count(bytes.len())?;
        reader.bytes(len)?;
    }
    Some(end)
}
