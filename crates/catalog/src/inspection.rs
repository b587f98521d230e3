//! What a file of a catalog says, for a person to read.
//!
//! Promises: reads only; every block is read and its checksum held against it, and what is damaged is named. A
//! file of tags tells its blocks itself, without the manifest: a block is as long as its compressed frame says.

use crate::Error;
use crate::files::{HEAD_BYTES, Head, What};
use crate::manifest::Manifest;
use crate::packed::{length, unpack};
use crate::row::{Entry, RowReader};
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Inspection, Table, block};
use world::{Access, Disk, DiskError};

/// A file of a catalog as facts and tables of at most `rows_max` rows each, and what is damaged in it. None
/// where it is no such file.
///
/// # Errors
/// `Error::Open` where the file can't be read.
pub fn inspect(disk: &dyn Disk, path: &Path, rows_max: usize) -> Result<Option<(Inspection, Vec<String>)>, Error> {
    let failed = |error: DiskError| Error::Open(error.to_string());
    let file = disk.open(path, Access::Read).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    let mut head = vec![0; len.min(HEAD_BYTES as u64) as usize];
    file.read_at(0, &mut head).map_err(failed)?;
    if !Head::is_ours(&head) {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(0, &mut bytes).map_err(failed)?;
    let shown = Head::read(&bytes, path).and_then(|head| match head.what {
        What::Manifest => manifest(&head, &bytes, path, rows_max),
        What::Tags => Ok(tags(&head, &bytes, path, rows_max)),
    });
    match shown {
        Ok(shown) => Ok(Some(shown)),
        Err(Error::Damaged(what)) => Ok(Some((Inspection::default(), vec![what]))),
        Err(error) => Err(error),
    }
}

fn facts(head: &Head, what: &str) -> Vec<(&'static str, String)> {
    vec![
        ("type", what.to_owned()),
        ("format", head.format.to_string()),
        ("number", head.number.to_string()),
        ("log", format!("{:016x}", head.log)),
    ]
}

fn manifest(head: &Head, bytes: &[u8], path: &Path, rows_max: usize) -> Result<(Inspection, Vec<String>), Error> {
    let (manifest, _) = Manifest::decode(bytes, head.number, path)?;
    let mut facts = facts(head, "catalog's manifest");
    facts.extend([
        ("last write", manifest.sequence.to_string()),
        ("log position", manifest.position.to_string()),
        ("ordinals", manifest.rows.to_string()),
        ("next file", manifest.next_file.to_string()),
    ]);
    if let Some(kept) = &manifest.led {
        let at = kept.point.map_or("none: parts of it were replaced".to_owned(), |point| point.sequence.to_string());
        facts.extend([("fleet's epoch", kept.epoch.to_string()), ("fleet's batch", at)]);
    }
    let mut by_file: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut blocks = Table::new("blocks", &["first ordinal", "file", "offset", "bytes"]);
    for (index, place) in manifest.blocks.iter().enumerate() {
        let of = by_file.entry(place.file).or_default();
        *of = (of.0 + 1, of.1 + place.bytes);
        let first = index * crate::block::BLOCK_ROWS;
        blocks.push(rows_max, vec![first.to_string(), place.file.to_string(), place.offset.to_string(), place.bytes.to_string()]);
    }
    let mut files = Table::new("files", &["number", "blocks", "bytes"]);
    for (number, (blocks, bytes)) in by_file {
        files.push(rows_max, vec![number.to_string(), blocks.to_string(), bytes.to_string()]);
    }
    Ok((Inspection { facts, tables: vec![files, blocks] }, Vec::new()))
}

fn tags(head: &Head, bytes: &[u8], path: &Path, rows_max: usize) -> (Inspection, Vec<String>) {
    let mut table = Table::new("blocks", &["offset", "bytes", "rows", "deleted", "first name", "last name"]);
    let (mut damages, mut at) = (Vec::new(), HEAD_BYTES);
    let (mut blocks, mut rows, mut deleted) = (0_u64, 0, 0);
    while at < bytes.len() {
        let damage = |what: &str| format!("{} at byte {at}: {what}", path.display());
        let Some(end) = length(&bytes[at..]).map(|length| at + length).filter(|end| *end <= bytes.len()) else {
            damages.push(damage("no block begins here that is whole; what follows can't be told apart"));
            break;
        };
        let payload = block::open(&bytes[at..end], head.seal(at as u64));
        match payload.ok_or("the checksum of a block does not fit").and_then(unpack).and_then(|(rows, run)| names(rows, &run)) {
            Ok(block) => {
                let [first, last] = block.names;
                (rows, deleted) = (rows + block.rows, deleted + block.deleted);
                let numbers = [at, end - at, block.rows, block.deleted].map(|number| number.to_string());
                table.push(rows_max, numbers.into_iter().chain([first, last]).collect());
            }
            Err(what) => damages.push(damage(what)),
        }
        (blocks, at) = (blocks + 1, end);
    }
    let mut facts = facts(head, "catalog's tags");
    facts.extend([
        ("bytes", bytes.len().to_string()),
        ("blocks", blocks.to_string()),
        ("rows", rows.to_string()),
        ("deleted", deleted.to_string()),
    ]);
    (Inspection { facts, tables: vec![table] }, damages)
}

struct BlockRows {
    rows: usize,
    deleted: usize,
    /// Of the first and the last live row.
    names: [String; 2],
}

fn names(rows: usize, run: &[u8]) -> Result<BlockRows, &'static str> {
    let mut out = BlockRows { rows, deleted: 0, names: Default::default() };
    let mut entries = RowReader::new(run);
    for _ in 0..rows {
        match entries.next().ok_or("a row is malformed")? {
            Entry::Dead(_) => out.deleted += 1,
            Entry::Live(row) => {
                row.name.clone_into(&mut out.names[1]);
                if out.names[0].is_empty() {
                    row.name.clone_into(&mut out.names[0]);
                }
            }
        }
    }
    if entries.is_empty() { Ok(out) } else { Err("a block has more bytes than rows") }
}
