//! A file's chunks, found without trusting its index: from one to the next, since each header tells
//! where its chunk ends.
//!
//! Promises: finds every chunk whose header is whole: it follows one that was found, or an index
//! block that is whole names it, or, where neither helps, a header opens at some later byte; what
//! lies between is reported.

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
/// How much is read at once while looking for headers.
const WINDOW_BYTES: usize = 1 << 20;
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
    /// Whether `end` is known from the footer.
    has_footer: bool,
    window: (u64, Vec<u8>),
}

/// Walks a file. Its head must be whole.
///
/// # Errors
/// `Error::Disk`, `Error::Damaged` where the head is, `Error::Format`.
pub fn walk(disk: &dyn Disk, path: &Path) -> Result<Walk, Error> {
    let file = disk.open(path, Access::Read)?;
    let length = file.len()?;
    let head = read_head(file.as_ref(), length, path)?;
    let mut walk = Walk {
        file,
        head,
        chunks: Vec::new(),
        damages: Vec::new(),
        entries: Vec::new(),
        end: length,
        has_footer: false,
        window: (0, Vec::new()),
    };
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
                    let next = match known.range(at + 1..).next() {
                        Some((offset, _)) => *offset,
                        None => walk.next_header(at + 1)?,
                    };
                    if next < walk.end || walk.has_footer {
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
        self.has_footer = true;
        let top = match open.top() {
            Ok(top) => top,
            Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
            Err(cause) => {
                self.damages.push(cause);
                return Ok(());
            }
        };
        for place in top.top() {
            match open.block_entries(place) {
                Ok(entries) => self.entries.extend(entries),
                Err(Error::Disk(cause)) => return Err(Error::Disk(cause)),
                Err(cause) => self.damages.push(cause),
            }
        }
        Ok(())
    }

    /// The first byte from `at` on at which a whole header begins; the end where there is none.
    fn next_header(&mut self, at: u64) -> Result<u64, Error> {
        let mut next = at;
        while next < self.end && self.header_at(next)?.is_none() {
            next += 1;
        }
        Ok(next)
    }

    /// The chunk that begins at a place, if a whole header does.
    fn header_at(&mut self, at: u64) -> Result<Option<ChunkPlace>, Error> {
        let identity = self.head.identity();
        for length in [4_096, HEADER_BYTES_MAX] {
            let room = self.end - at;
            let bytes = self.window(at, length)?;
            if let Some(payload) = bytes.get(BLOCK_OVERHEAD..)
                && let Ok((header, taken)) = ChunkHeader::parse_front(payload, CHUNK_BYTES_MAX)
            {
                let framed = &bytes[..BLOCK_OVERHEAD + taken];
                let last = header.pages[header.pages.len() - 1];
                let end = (last.offset + last.bytes) as u64;
                let whole = block::open(framed, Seal { file: identity, offset: at }).is_some();
                if whole && end <= room {
                    return Ok(Some(ChunkPlace { offset: at, bytes: end, header_bytes: framed.len() as u64 }));
                }
            }
            // Few headers are long; a short look at each byte tells most of those that are none.
            if bytes.len() < length || !maybe_header(bytes) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Up to `length` bytes from a place on, from a window that moves along the file.
    fn window(&mut self, at: u64, length: usize) -> Result<&[u8], Error> {
        let wanted = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(length);
        let (start, bytes) = &mut self.window;
        let inside = at >= *start && at + wanted as u64 <= *start + bytes.len() as u64;
        if !inside {
            let room = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(wanted.max(WINDOW_BYTES));
            bytes.resize(room, 0);
            *start = at;
            self.file.read_at(at, bytes)?;
        }
        let from = (at - *start) as usize;
        Ok(&bytes[from..from + wanted])
    }
}

/// Whether the bytes behind the checksum begin as a header does.
fn maybe_header(bytes: &[u8]) -> bool {
    bytes.get(BLOCK_OVERHEAD..BLOCK_OVERHEAD + 3).is_some_and(|three| three[0] < 7 && three[1] < 16 && three[2] <= 18)
}
