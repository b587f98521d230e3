//! A series file, open: its summary, its entries.
//!
//! Promises: opening reads head, footer and nothing else; tops and index blocks are read when they
//! are asked for and kept in the cache that was handed in. Reading rows is in `rows.rs`.

use super::cache::{Block, BlockCache};
use super::entry::{Entry, Place};
use super::error::Error;
use super::footer::{self, FileSummary, IndexPlace, TAIL_BYTES, TAIL_LETTERS, TopEntry};
use super::index::RawEntry;
use super::writer::FORMAT;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::block::{self, BLOCK_OVERHEAD, Seal};
use storage::{FileHead, FileMeta, FileType, StoreId};
use types::{SliceId, TagId, TimeRange, Timestamp};
use world::{Access, Disk, File};

static OPENINGS: AtomicU64 = AtomicU64::new(1);

/// An open series file.
pub struct SeriesFile {
    pub(super) file: Arc<dyn File>,
    path: PathBuf,
    head: FileHead,
    pub(super) identity: u64,
    /// A number that no other opening of a file in this process has.
    pub(super) opening: u64,
    summary: FileSummary,
    pub(super) index: IndexPlace,
    top_offset: u64,
    cache: Arc<dyn BlockCache>,
}

impl SeriesFile {
    /// Opens a file: reads its head and its footer.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`, `Error::Format`.
    pub fn open(disk: &dyn Disk, path: &Path, cache: Arc<dyn BlockCache>) -> Result<Arc<SeriesFile>, Error> {
        let file = disk.open(path, Access::Read)?;
        let bytes = file.len()?;
        let head = read_head(file.as_ref(), bytes, path)?;
        let identity = head.identity();
        let damaged = |offset: u64, what: &str| damage(path, offset, "footer", what);
        let least = (FileHead::BYTES + TAIL_BYTES + 2 * BLOCK_OVERHEAD) as u64;
        if bytes < least {
            return Err(damaged(bytes, "the file ends before it"));
        }
        let mut tail = [0; TAIL_BYTES];
        file.read_at(bytes - TAIL_BYTES as u64, &mut tail)?;
        let [a, b, c, d, letters @ ..] = tail;
        let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
        let room = bytes - (FileHead::BYTES + TAIL_BYTES) as u64;
        if letters != *TAIL_LETTERS || footer_bytes > room.min(footer::FOOTER_BYTES_MAX as u64) {
            return Err(damaged(bytes - TAIL_BYTES as u64, "the file does not end as a finished one"));
        }
        let offset = bytes - TAIL_BYTES as u64 - footer_bytes;
        let mut framed = vec![0; footer_bytes as usize];
        file.read_at(offset, &mut framed)?;
        let payload =
            block::open(&framed, Seal { file: identity, offset }).ok_or_else(|| damaged(offset, "the checksum does not fit"))?;
        let checksum = framed.first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
        let (summary, index) = footer::decode(payload, bytes, offset, checksum).map_err(|what| damaged(offset, what))?;
        Ok(Arc::new(SeriesFile {
            file,
            path: path.to_path_buf(),
            head,
            identity,
            opening: OPENINGS.fetch_add(1, Ordering::Relaxed),
            summary,
            index,
            top_offset: offset - index.top_bytes,
            cache,
        }))
    }

    /// Whether it is the file that a manifest names, and not another one in its place.
    ///
    /// # Errors
    /// `Error::Damaged`.
    pub fn check_named(&self, store: StoreId, slice: SliceId, meta: &FileMeta) -> Result<(), Error> {
        let (head, summary) = (&self.head, &self.summary);
        let same = (head.store, head.slice, head.number) == (store, slice, meta.number.0)
            && (summary.checksum, summary.rows, summary.versions) == (meta.checksum, meta.rows, meta.versions);
        if same { Ok(()) } else { Err(damage(&self.path, 0, "head", "it is another file than the manifest names")) }
    }

    /// What it is as a whole.
    #[must_use]
    pub fn summary(&self) -> &FileSummary {
        &self.summary
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &FileHead {
        &self.head
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the entries of a tag, in order of time, without their statistics.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`.
    pub fn find(&self, tag: TagId, found: &mut Vec<Entry>) -> Result<(), Error> {
        if self.summary.rows == 0 || tag < self.summary.tag_range.0 || tag > self.summary.tag_range.1 {
            return Ok(());
        }
        let top = self.top()?;
        let top = top.top();
        let first = top.partition_point(|block| block.last < tag);
        let mut raw = Vec::new();
        for place in top[first..].iter().take_while(|block| block.first <= tag) {
            self.block(place)?.find(tag, false, &mut raw);
        }
        found.extend(raw.iter().map(expand));
        Ok(())
    }

    /// A cursor over the entries of all tags from `from` on, in order of (tag, time).
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`.
    pub fn entries(self: &Arc<Self>, from: TagId) -> Result<Entries, Error> {
        let top = self.top()?;
        let next_block = top.top().partition_point(|block| block.last < from);
        Ok(Entries { file: Arc::clone(self), top, next_block, block: Vec::new(), next: 0, from, looked_up: (0, 0) })
    }

    pub(super) fn top(&self) -> Result<Arc<Block>, Error> {
        if let Some(block) = self.cache.get(self.identity, self.top_offset) {
            return Ok(block);
        }
        let framed = self.read_block(self.top_offset, self.index.top_bytes)?;
        let damaged = |what: &str| damage(&self.path, self.top_offset, "top", what);
        let place = Seal { file: self.identity, offset: self.top_offset };
        let payload = block::open(&framed, place).ok_or_else(|| damaged("the checksum does not fit"))?;
        let top = footer::decode_top(payload, self.index.offset, self.top_offset).map_err(damaged)?;
        let block = Arc::new(Block::of_top(top));
        self.cache.insert(self.identity, self.top_offset, Arc::clone(&block));
        Ok(block)
    }

    fn block(&self, place: &TopEntry) -> Result<Arc<Block>, Error> {
        if let Some(block) = self.cache.get(self.identity, place.offset) {
            return Ok(block);
        }
        let framed = self.read_block(place.offset, place.bytes)?;
        let damaged = |what: &str| {
            let what = format!("{what}; tags {} to {}", place.first, place.last);
            damage(&self.path, place.offset, "index block", &what)
        };
        let seal = Seal { file: self.identity, offset: place.offset };
        let payload = block::open(&framed, seal).ok_or_else(|| damaged("the checksum does not fit"))?;
        let block = Arc::new(Block::of_index(payload).map_err(damaged)?);
        self.cache.insert(self.identity, place.offset, Arc::clone(&block));
        Ok(block)
    }

    /// The entries of an index block, in order of (tag, time), with their statistics.
    pub(super) fn block_entries(&self, place: &TopEntry) -> Result<Vec<RawEntry>, Error> {
        self.block(place)?.entries().map_err(|what| damage(&self.path, place.offset, "index block", what))
    }

    fn read_block(&self, offset: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        let mut framed = vec![0; bytes as usize];
        self.file.read_at(offset, &mut framed)?;
        Ok(framed)
    }
}

pub(super) fn damage(path: &Path, offset: u64, block: &'static str, what: &str) -> Error {
    Error::Damaged { path: path.to_path_buf(), offset, block, what: what.to_owned(), tag: None, range: None }
}

/// Reads and checks the head of a series file of `bytes` bytes.
pub(super) fn read_head(file: &dyn File, bytes: u64, path: &Path) -> Result<FileHead, Error> {
    let mut first = vec![0; FileHead::BYTES.min(usize::try_from(bytes).unwrap_or(FileHead::BYTES))];
    file.read_at(0, &mut first)?;
    let head = FileHead::decode(&first, path)?;
    if head.file_type != FileType::Series {
        return Err(damage(path, 8, "head", "it is not a series file"));
    }
    if head.format != FORMAT {
        return Err(Error::Format { path: path.to_path_buf(), found: head.format, known: FORMAT });
    }
    Ok(head)
}

/// An entry as readers see it.
pub(super) fn expand(raw: &RawEntry) -> Entry {
    Entry {
        tag: raw.tag,
        kind: raw.kind,
        rows: raw.rows,
        first_time: Timestamp(raw.first_time),
        last_time: Timestamp(raw.last_time),
        times_exact: raw.exact,
        statistics: raw.statistics.map(|statistics| statistics.statistics(raw.kind)),
        place: Place {
            offset: raw.offset,
            bytes: raw.bytes,
            header_bytes: raw.header_bytes,
            first_row: raw.first_row,
            ordinal: raw.ordinal,
        },
    }
}

/// A cursor over a file's entries; holds the file.
pub struct Entries {
    file: Arc<SeriesFile>,
    top: Arc<Block>,
    next_block: usize,
    block: Vec<RawEntry>,
    next: usize,
    from: TagId,
    /// A block that is not decoded, and how many tags were looked up in it.
    looked_up: (usize, u32),
}

/// A block in which more tags are looked up than this is decoded as a whole: that costs about so many.
const LOOK_UPS_MAX: u32 = 8;

impl Entries {
    /// The next entry; None at the end.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`: the next call goes on behind the damaged block.
    #[expect(clippy::should_implement_trait, reason = "an iterator's item can't tell an error from the end as simply")]
    pub fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(raw) = self.block.get(self.next) {
                self.next += 1;
                if raw.tag >= self.from {
                    return Ok(Some(expand(raw)));
                }
                continue;
            }
            let Some(place) = self.top.top().get(self.next_block).copied() else { return Ok(None) };
            self.next_block += 1;
            self.block = self.file.block_entries(&place)?;
            self.next = self.block.partition_point(|entry| entry.tag < self.from);
        }
    }

    /// Adds the entries of `tag`, with their statistics where `statistics` says so, and goes on behind them; `tag` is higher than all
    /// that were asked for before. Where few tags of a block are asked for, nothing else of it is decoded.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Damaged`.
    pub fn of(&mut self, tag: TagId, statistics: bool, found: &mut Vec<Entry>) -> Result<(), Error> {
        self.seek(tag);
        loop {
            while let Some(raw) = self.block.get(self.next).filter(|raw| raw.tag <= tag) {
                self.next += 1;
                found.extend((raw.tag == tag).then(|| expand(raw)));
            }
            let place = self.top.top().get(self.next_block).copied().filter(|place| place.first <= tag);
            let Some(place) = place.filter(|_| self.next >= self.block.len()) else { return Ok(()) };
            let count = if self.looked_up.0 == self.next_block { self.looked_up.1 } else { 0 };
            self.looked_up = (self.next_block, count + 1);
            if count == LOOK_UPS_MAX {
                self.next_block += 1;
                self.block = self.file.block_entries(&place)?;
                self.next = 0;
                continue;
            }
            let mut raw = Vec::new();
            self.file.block(&place)?.find(tag, statistics, &mut raw);
            found.extend(raw.iter().map(expand));
            if place.last > tag {
                return Ok(());
            }
            self.next_block += 1;
        }
    }

    /// Goes on with the first entry of `tag` or higher. Never goes back.
    ///
    /// # Errors
    /// None yet; reading happens in `next`.
    pub fn seek(&mut self, tag: TagId) {
        if tag <= self.from {
            return;
        }
        self.from = tag;
        let entries = &self.block;
        if entries.last().is_some_and(|last| last.tag >= tag) {
            self.next = self.next.max(entries.partition_point(|entry| entry.tag < tag));
            return;
        }
        self.next = entries.len();
        let top = self.top.top();
        let ahead = top[self.next_block..].partition_point(|block| block.last < tag);
        self.next_block += ahead;
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Arc<SeriesFile> {
        &self.file
    }

    /// The range of time that no entry of the file leaves.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.file.summary().range
    }
}
