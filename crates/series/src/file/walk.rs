//! A file's chunks, found without trusting its index: from one to the next, since each header tells
//! where its chunk ends.
//!
//! Promises: finds every chunk whose header is whole and whose beginning is known: it follows one
//! that is known, or an index block that is whole names it; what lies between is reported.

use super::cache::NoCache;
use super::chunk_read::ChunkHeader;
use super::error::Error;
use super::index::RawEntry;
use super::reader::{SeriesFile, damage, read_head};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::FileHead;
use storage::block::{self, BLOCK_OVERHEAD, Seal};
use world::{Access, Disk, File};

/// No header of ours is longer.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// No chunk of ours is longer.
const CHUNK_BYTES_MAX: usize = 1 << 28;

/// A chunk's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// How long its header block is.
    pub header_bytes: u64,
}

/// What was found in a file.
pub struct Walk {
    /// The file, open.
    pub file: Arc<dyn File>,
    /// Its head.
    pub head: FileHead,
    /// Its chunks, in order of place.
    pub chunks: Vec<ChunkPlace>,
    /// What could not be read: footer, top, index blocks, headers.
    pub damages: Vec<Error>,
    /// Entries of index blocks that are whole.
    pub entries: Vec<RawEntry>,
    /// Where the chunks end, as far as that is known.
    pub end: u64,
}

/// Walks a file. Its head must be whole.
///
/// # Errors
/// `Error::Disk`, `Error::Damaged` where the head is, `Error::Format`.
pub fn walk(disk: &dyn Disk, path: &Path) -> Result<Walk, Error> {
    let file = disk.open(path, Access::Read)?;
    let length = file.len()?;
    let head = read_head(file.as_ref(), length, path)?;
    let mut walk = Walk { file, head, chunks: Vec::new(), damages: Vec::new(), entries: Vec::new(), end: length };
    walk.read_index(disk, path)?;
    let known: BTreeMap<u64, ChunkPlace> = walk
        .entries
        .iter()
        .map(|entry| {
            let (bytes, header_bytes) = (u64::from(entry.bytes), u64::from(entry.header_bytes));
            (entry.offset, ChunkPlace { offset: entry.offset, bytes, header_bytes })
        })
        .collect();
    let mut at = FileHead::BYTES as u64;
    while at < walk.end {
        let found = match walk.header_at(at)? {
            Some(place) => place,
            None => match known.get(&at) {
                // Its header is damaged, but where it ends is known: whoever reads it reports it.
                Some(place) if place.bytes > 0 => *place,
                _ => {
                    let next = known.range(at + 1..).next().map_or(walk.end, |(offset, _)| *offset);
                    if !walk.is_tail(at, next) {
                        let what = format!("no chunk is found in the next {} bytes", next - at);
                        walk.damages.push(damage(path, at, "chunk header", &what));
                    }
                    at = next;
                    continue;
                }
            },
        };
        walk.chunks.push(found);
        at = found.offset + found.bytes;
    }
    Ok(walk)
}

impl Walk {
    fn read_index(&mut self, disk: &dyn Disk, path: &Path) -> Result<(), Error> {
        let open = match SeriesFile::open(disk, path, Arc::new(NoCache)) {
            Ok(open) => open,
            Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
            Err(cause) => {
                self.damages.push(cause);
                return Ok(());
            }
        };
        self.end = open.index.offset;
        let top = match open.top() {
            Ok(top) => top,
            Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
            Err(cause) => {
                self.damages.push(cause);
                return Ok(());
            }
        };
        for place in top.top() {
            match open.block(place) {
                Ok(block) => self.entries.extend_from_slice(block.index()),
                Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
                Err(cause) => self.damages.push(cause),
            }
        }
        Ok(())
    }

    /// Without a footer the end of the chunks is not known: what is no chunk there is the index.
    fn is_tail(&self, at: u64, next: u64) -> bool {
        self.entries.is_empty() && next == self.end && !self.damages.is_empty() && at > FileHead::BYTES as u64
    }

    /// The chunk that begins at a place, if a whole header does.
    fn header_at(&self, at: u64) -> Result<Option<ChunkPlace>, Error> {
        let mut length = 4_096;
        loop {
            let room = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(length);
            let mut bytes = vec![0; room];
            self.file.read_at(at, &mut bytes)?;
            if let Some(payload) = bytes.get(BLOCK_OVERHEAD..)
                && let Ok((header, taken)) = ChunkHeader::parse_front(payload, CHUNK_BYTES_MAX)
            {
                let framed = &bytes[..BLOCK_OVERHEAD + taken];
                let last = header.pages[header.pages.len() - 1];
                let end = (last.offset + last.bytes) as u64;
                let whole = block::open(framed, Seal { file: self.head.identity(), offset: at }).is_some();
                if whole && end <= self.end - at {
                    return Ok(Some(ChunkPlace { offset: at, bytes: end, header_bytes: framed.len() as u64 }));
                }
            }
            if room < length || length >= HEADER_BYTES_MAX {
                return Ok(None);
            }
            length *= 16;
        }
    }
}
