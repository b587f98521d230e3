//! A series file as facts and tables for a person to read.

use super::chunk_read::ChunkHeader;
use super::error::Error;
use super::walk::walk;
use super::writer::FORMAT;
use super::{NoCache, SeriesFile};
use std::path::Path;
use std::sync::Arc;
use storage::block::{self, Seal};
use storage::{Inspection, Table};
use world::Disk;

/// What a series file says of itself: facts of the whole, and a table of its chunks (at most
/// `rows_max`). Damage is among the facts; `check` says more of it.
///
/// # Errors
/// `Error::Disk`, `Error::Format`, `Error::Damaged` where not even its head is whole.
pub fn inspect(disk: &dyn Disk, path: &Path, rows_max: usize) -> Result<Inspection, Error> {
    let walk = walk(disk, path)?;
    let mut facts = vec![
        ("type", "series file".to_owned()),
        ("format", FORMAT.to_string()),
        ("store", walk.head.store.to_string()),
        ("slice", walk.head.slice.to_string()),
        ("number", walk.head.number.to_string()),
        ("chunks", walk.chunks.len().to_string()),
    ];
    if let Ok(file) = SeriesFile::open(disk, path, Arc::new(NoCache)) {
        let summary = file.summary();
        let per_row = |bytes: u64| format!("{:.3}", bytes as f64 / summary.rows.max(1) as f64);
        facts.extend([
            ("rows", summary.rows.to_string()),
            ("tags", format!("{} ({} to {})", summary.tags, summary.tag_range.0, summary.tag_range.1)),
            ("times", format!("{} to {} us", summary.range.first, summary.range.last)),
            ("versions", format!("{} to {}", summary.versions.0, summary.versions.1)),
            ("level", summary.level.to_string()),
            ("bytes", format!("{} ({} a row)", summary.bytes, per_row(summary.bytes))),
            ("index bytes", format!("{} ({} a row)", summary.bytes - walk.end, per_row(summary.bytes - walk.end))),
            ("footer checksum", format!("{:08x}", summary.checksum)),
        ]);
    }
    facts.extend(walk.damages.iter().map(|damage| ("damage", damage.to_string())));
    let columns =
        ["offset", "bytes", "header", "kind", "tags", "first tag", "rows", "pages", "times", "values", "scale", "bytes a row"];
    let mut chunks = Table::new("chunks", &columns);
    for place in &walk.chunks {
        if chunks.rows.len() == rows_max {
            chunks.rows_omitted += 1;
            continue;
        }
        let mut framed = vec![0; place.header_bytes as usize];
        walk.file.read_at(place.offset, &mut framed)?;
        let seal = Seal { file: walk.head.identity(), offset: place.offset };
        let header =
            block::open(&framed, seal).and_then(|payload| ChunkHeader::parse(payload, framed.len(), place.bytes as usize).ok());
        let mut row = vec![place.offset.to_string(), place.bytes.to_string(), place.header_bytes.to_string()];
        match &header {
            Some(header) => row.extend(describe(header, place.bytes)),
            None => {
                row.extend(std::iter::once("damaged".to_owned()).chain(std::iter::repeat_n(String::new(), columns.len() - 4)))
            }
        }
        chunks.push(rows_max, row);
    }
    Ok(Inspection { facts, tables: vec![chunks] })
}

fn describe(header: &ChunkHeader<'_>, bytes: u64) -> [String; 9] {
    [
        header.kind.name().to_owned(),
        header.tags().to_string(),
        header.sections().next().map_or_else(String::new, |section| section.tag.to_string()),
        header.rows.to_string(),
        header.pages.len().to_string(),
        format!("{:?}", header.time).to_lowercase(),
        format!("{:?}", header.value).to_lowercase(),
        header.scale.to_string(),
        format!("{:.3}", bytes as f64 / header.rows as f64),
    ]
}
