//! Checking a series file offline, and rewriting one without what is damaged.
//!
//! Promises: a check reads every byte that means something and names every block that is not whole,
//! with tag and range of time where they are known; a repair keeps every row whose page is whole,
//! never makes one up, and leaves the old file as it is.

use super::chunk_read::{ChunkHeader, Page};
use super::error::Error;
use super::footer::FileSummary;
use super::qualities::USUAL;
use super::times::TimeMethod;
use super::walk::{ChunkPlace, Walk, walk};
use super::writer::{FileOrigin, SeriesFileWriter};
use super::{NoCache, SeriesFile};
use crate::{Projection, SeriesColumns};
use std::path::Path;
use std::sync::Arc;
use storage::block::{self, Seal};
use types::{Kind, TagId, TimeRange, Timestamp};
use world::Disk;

/// What a check found.
#[derive(Debug)]
pub struct FileCheck {
    /// Rows that can be read.
    pub rows: u64,
    /// Rows that are lost, as far as they can be counted.
    pub rows_lost: u64,
    /// What is damaged.
    pub damages: Vec<Error>,
}

impl FileCheck {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }
}

/// Reads all of a file and names what is damaged.
///
/// # Errors
/// `Error::Disk` where it can't be read; `Error::Format`.
pub fn check(disk: &dyn Disk, path: &Path) -> Result<FileCheck, Error> {
    let walk = match walk(disk, path) {
        Ok(walk) => walk,
        Err(cause @ (Error::Disk(_) | Error::Format { .. })) => return Err(cause),
        Err(cause) => return Ok(FileCheck { rows: 0, rows_lost: 0, damages: vec![cause] }),
    };
    let mut check = FileCheck { rows: 0, rows_lost: 0, damages: Vec::new() };
    let mut parts = Vec::new();
    for chunk in &walk.chunks {
        salvage(&walk, path, chunk, &mut check, &mut parts)?;
        parts.clear();
    }
    check.damages.extend(walk.damages);
    if check.damages.is_empty() {
        check_index(disk, path, &mut check)?;
    }
    Ok(check)
}

/// Every block is whole: do the entries lead to the rows that there are, and are their statistics right?
fn check_index(disk: &dyn Disk, path: &Path, check: &mut FileCheck) -> Result<(), Error> {
    let file = SeriesFile::open(disk, path, Arc::new(NoCache))?;
    let mut wrong = |tag: Option<TagId>, range: Option<TimeRange>, what: String| {
        check.damages.push(Error::Damaged { path: path.to_path_buf(), offset: 0, block: "index", what, tag, range });
    };
    let mut entries = file.entries(TagId(0))?;
    let (mut rows, mut out) = (0, SeriesColumns::default());
    while let Some(entry) = entries.next()? {
        out.clear();
        file.read(&entry, TimeRange::ALL, Projection::ALL, &mut out)?;
        rows += u64::from(entry.rows);
        if out.times.len() != entry.rows as usize {
            wrong(Some(entry.tag), Some(entry.range()), format!("{} of {} rows lie where it says", out.times.len(), entry.rows));
        }
        if let Some(all) = entry.statistics.map(|statistics| statistics.all) {
            let (first, last) = (out.bits.first().copied(), out.bits.last().copied());
            if (Some(all.first), Some(all.last), all.count) != (first, last, out.bits.len() as u64) {
                wrong(Some(entry.tag), Some(entry.range()), "its statistics are those of other rows".to_owned());
            }
        }
    }
    if rows != check.rows || rows != file.summary().rows {
        wrong(None, None, format!("its entries have {rows} rows, its chunks {}, its footer {}", check.rows, file.summary().rows));
    }
    Ok(())
}

/// Rows of one tag that lie together and are whole.
struct Part {
    tag: TagId,
    kind: Kind,
    rows: SeriesColumns,
}

/// Reads a chunk page by page: gives the rows of whole pages by tag, notes the others.
fn salvage(walk: &Walk, path: &Path, place: &ChunkPlace, check: &mut FileCheck, parts: &mut Vec<Part>) -> Result<(), Error> {
    let mut bytes = vec![0; place.bytes as usize];
    walk.file.read_at(place.offset, &mut bytes)?;
    let identity = walk.head.identity();
    let framed = &bytes[..place.header_bytes as usize];
    let header = block::open(framed, Seal { file: identity, offset: place.offset })
        .ok_or("the checksum does not fit")
        .and_then(|payload| ChunkHeader::parse(payload, framed.len(), bytes.len()));
    let header = match header {
        Ok(header) => header,
        Err(what) => {
            lost_chunk(walk, path, place, what, check);
            return Ok(());
        }
    };
    let sections: Vec<_> = header.sections().collect();
    let mut first_row = 0;
    let mut starts = Vec::with_capacity(sections.len());
    for section in &sections {
        starts.push(first_row);
        first_row += section.rows as usize;
    }
    if first_row != header.rows {
        lost_chunk(walk, path, place, "rows of tags don't sum to its rows", check);
        return Ok(());
    }
    for page_place in &header.pages {
        let range = page_place.offset..page_place.offset + page_place.bytes;
        let offset = place.offset + page_place.offset as u64;
        let page = block::open(&bytes[range], Seal { file: identity, offset })
            .ok_or("the checksum does not fit")
            .and_then(|payload| Page::parse(payload, page_place));
        let end = page_place.first_row + page_place.rows;
        let first = starts.partition_point(|start| *start <= page_place.first_row) - 1;
        for (ordinal, section) in sections.iter().enumerate().skip(first).take_while(|(ordinal, _)| starts[*ordinal] < end) {
            let start = starts[ordinal];
            let rows = start.max(page_place.first_row)..end.min(start + section.rows as usize);
            let read = page.as_ref().map_err(|what| *what).and_then(|page| part_of(&header, page, ordinal, start, rows.clone()));
            match read {
                Ok(part) => {
                    check.rows += rows.len() as u64;
                    parts.push(Part { tag: section.tag, kind: header.kind, rows: part });
                }
                Err(what) => {
                    check.rows_lost += rows.len() as u64;
                    let range = (header.time == TimeMethod::Regular).then(|| {
                        let line = header.line_of(ordinal, start);
                        TimeRange { first: Timestamp(line(rows.start)), last: Timestamp(line(rows.end - 1)) }
                    });
                    let range = range.or_else(|| range_of(walk, section.tag, place.offset));
                    let (path, what) = (path.to_path_buf(), what.to_owned());
                    check.damages.push(Error::Damaged { path, offset, block: "page", what, tag: Some(section.tag), range });
                }
            }
        }
    }
    Ok(())
}

/// Notes a chunk of which nothing can be read; whose it was, an index block may tell.
fn lost_chunk(walk: &Walk, path: &Path, place: &ChunkPlace, what: &str, check: &mut FileCheck) {
    let mut named = false;
    for entry in walk.entries.iter().filter(|entry| entry.offset == place.offset) {
        named = true;
        check.rows_lost += u64::from(entry.rows);
        check.damages.push(Error::Damaged {
            path: path.to_path_buf(),
            offset: place.offset,
            block: "chunk header",
            what: what.to_owned(),
            tag: Some(entry.tag),
            range: Some(TimeRange { first: Timestamp(entry.first_time), last: Timestamp(entry.last_time) }),
        });
    }
    if !named {
        check.damages.push(super::reader::damage(path, place.offset, "chunk header", what));
    }
}

fn range_of(walk: &Walk, tag: TagId, offset: u64) -> Option<TimeRange> {
    let entry = walk.entries.iter().find(|entry| entry.tag == tag && entry.offset == offset)?;
    Some(TimeRange { first: Timestamp(entry.first_time), last: Timestamp(entry.last_time) })
}

/// Rows of one tag in a page.
fn part_of(
    header: &ChunkHeader<'_>,
    page: &Page<'_>,
    ordinal: usize,
    start: usize,
    rows: std::ops::Range<usize>,
) -> Result<SeriesColumns, &'static str> {
    let mut part = SeriesColumns::default();
    page.times(header, rows.clone(), header.line_of(ordinal, start), &mut part.times)?;
    if !part.times.is_sorted_by(|a, b| a < b) {
        return Err("times do not rise");
    }
    page.values(header, rows.clone(), &mut part)?;
    if !page.is_usual() {
        let mut qualities = vec![USUAL; rows.len()];
        page.qualities(rows, &mut qualities)?;
        part.qualities = Some(qualities);
    }
    Ok(part)
}

/// Writes a new file with all rows of `path` whose pages are whole. `origin.versions` and `level`
/// should be those of the old file. The old file stays as it is; the manifest decides which counts.
///
/// # Errors
/// `Error::Disk`, `Error::Format`.
pub fn repair(disk: &Arc<dyn Disk>, path: &Path, into: &Path, origin: FileOrigin) -> Result<(FileSummary, FileCheck), Error> {
    let walk = walk(disk.as_ref(), path)?;
    let mut check = FileCheck { rows: 0, rows_lost: 0, damages: Vec::new() };
    // Which tags lie in which chunks: small. Rows are read chunk by chunk, in order of tag.
    let mut places: Vec<(TagId, ChunkPlace)> = Vec::new();
    let mut parts = Vec::new();
    for chunk in &walk.chunks {
        parts.clear();
        salvage(&walk, path, chunk, &mut check, &mut parts)?;
        let mut tags: Vec<TagId> = parts.iter().map(|part| part.tag).collect();
        tags.dedup();
        places.extend(tags.into_iter().map(|tag| (tag, *chunk)));
    }
    places.sort_by_key(|(tag, place)| (*tag, place.offset));
    let mut writer = SeriesFileWriter::create(disk, into, origin)?;
    let mut last: Option<(TagId, Timestamp)> = None;
    let mut recent = RecentParts::default();
    for (tag, place) in places {
        for part in recent.of(&walk, path, &place)?.iter().filter(|part| part.tag == tag) {
            let (first, end) = (part.rows.times[0], part.rows.times[part.rows.times.len() - 1]);
            if last.is_some_and(|(before, time)| before == tag && first <= time) {
                let what = "rows of a tag are not in order of time".to_owned();
                let range = Some(TimeRange { first, last: end });
                check.rows -= part.rows.times.len() as u64;
                check.rows_lost += part.rows.times.len() as u64;
                let (path, offset) = (path.to_path_buf(), place.offset);
                check.damages.push(Error::Damaged { path, offset, block: "page", what, tag: Some(tag), range });
                continue;
            }
            writer.append(tag, part.kind, part.rows.rows(part.kind))?;
            last = Some((tag, end));
        }
    }
    check.damages.extend(walk.damages);
    Ok((writer.finish()?, check))
}

/// The last chunks that were read, since tags of shared chunks come in turns.
#[derive(Default)]
struct RecentParts {
    chunks: std::collections::VecDeque<(u64, Vec<Part>)>,
}

impl RecentParts {
    fn of(&mut self, walk: &Walk, path: &Path, place: &ChunkPlace) -> Result<&[Part], Error> {
        const CHUNKS: usize = 32;
        let at = self.chunks.iter().position(|(offset, _)| *offset == place.offset);
        let at = match at {
            Some(at) => at,
            None => {
                let mut parts = Vec::new();
                let mut again = FileCheck { rows: 0, rows_lost: 0, damages: Vec::new() };
                salvage(walk, path, place, &mut again, &mut parts)?;
                if self.chunks.len() == CHUNKS {
                    self.chunks.pop_front();
                }
                self.chunks.push_back((place.offset, parts));
                self.chunks.len() - 1
            }
        };
        Ok(&self.chunks[at].1)
    }
}
