//! Writing a series file: rows by tag in, chunks, index and footer out.
//!
//! Rows of a tag with many go into chunks of their own, of 4,000 to 8,000 rows; the others share the
//! open chunk of their class. Entries wait in memory until their chunk has a place; when too many
//! wait, open chunks are closed as they are, so that memory is bounded whatever the data.
//!
//! Promises: memory is bounded by a few chunks, the entries waiting and the encoded index; the file is
//! synced when `finish` returns; an unfinished file is for the caller to remove.

use super::chunk::ChunkBuild;
use super::columns::SeriesRows;
use super::error::Error;
use super::footer::{self, FileSummary, IndexPlace, TopEntry};
use super::pending::Pending;
use super::prepare::{self, Prepared};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::block::{self, Seal};
use storage::{FileHead, FileNumber, FileType, StoreId};
use types::{Kind, SliceId, TagId, TimeRange, Timestamp, Version};
use world::{Disk, File};

/// The layout's number.
pub const FORMAT: u32 = 1;

/// Tags with at least so many rows get chunks of their own.
const ROWS_OWN_CHUNK: usize = 2_048;
/// A chunk of many tags is closed at about so many rows.
const ROWS_SHARED_CHUNK: usize = 8_192;
/// A chunk of one tag has at most so many rows.
const ROWS_CHUNK_MAX: usize = 8_000;
/// Bytes of texts of a chunk, at most about.
const TEXT_BYTES_CHUNK: usize = 1 << 20;
/// Tags of an index block.
const BLOCK_TAGS: usize = 128;
/// Blocks that may wait for their chunks to be closed.
const BLOCKS_WAITING_MAX: usize = 64;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Whose a file is and what it covers.
#[derive(Clone, Copy, Debug)]
pub struct FileOrigin {
    /// Of which store.
    pub store: StoreId,
    /// Of which slice.
    pub slice: SliceId,
    /// Its number.
    pub number: FileNumber,
    /// First and last version that it covers.
    pub versions: (Version, Version),
    /// How often its rows were merged; 0 = a flush.
    pub level: u32,
}

/// A series file that is being written.
pub struct SeriesFileWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    origin: FileOrigin,
    identity: u64,
    /// Bytes before those in `out`.
    written: u64,
    out: Vec<u8>,
    open: BTreeMap<super::chunk::Class, ChunkBuild>,
    chunks: usize,
    entries: Pending,
    pending: crate::SeriesColumns,
    current: Option<(TagId, Kind)>,
    last_tag: Option<TagId>,
    last_time: Option<Timestamp>,
    hint: u8,
    rows: u64,
    tags: u64,
    first_tag: TagId,
    range: TimeRange,
}

impl SeriesFileWriter {
    /// Begins a file at `path`, which must not exist.
    ///
    /// # Errors
    /// `Error::Disk`.
    pub fn create(disk: &Arc<dyn Disk>, path: &Path, origin: FileOrigin) -> Result<SeriesFileWriter, Error> {
        let file = disk.create(path)?;
        let head = FileHead {
            file_type: FileType::Series,
            format: FORMAT,
            store: origin.store,
            slice: origin.slice,
            number: origin.number.0,
        };
        Ok(SeriesFileWriter {
            file,
            path: path.to_path_buf(),
            origin,
            identity: head.identity(),
            written: 0,
            out: head.encode().to_vec(),
            open: BTreeMap::new(),
            chunks: 0,
            entries: Pending::new(BLOCK_TAGS),
            pending: crate::SeriesColumns::default(),
            current: None,
            last_tag: None,
            last_time: None,
            hint: 2,
            rows: 0,
            tags: 0,
            first_tag: TagId(0),
            range: TimeRange { first: Timestamp::MAX, last: Timestamp::MIN },
        })
    }

    /// Where it is being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Appends rows of a tag. The same tag may go on in the next call with later times; a new tag
    /// must be higher. Panics where tags or times fall: the caller sorts.
    ///
    /// # Errors
    /// `Error::Disk`; the file is then of no use.
    pub fn append(&mut self, tag: TagId, kind: Kind, rows: SeriesRows<'_>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.current != Some((tag, kind)) {
            self.end_tag()?;
            self.begin_tag(tag, kind);
            self.current = Some((tag, kind));
        }
        self.check_times(&rows);
        prepare::gather(&mut self.pending, &rows);
        while self.pending.len() >= 2 * ROWS_CHUNK_MAX || self.pending.texts.bytes.len() >= 2 * TEXT_BYTES_CHUNK {
            self.cut_pending(tag, kind)?;
        }
        Ok(())
    }

    /// Appends all rows of a tag, higher than those before: as `append`, without a copy.
    ///
    /// # Errors
    /// As `append`.
    pub fn append_whole(&mut self, tag: TagId, kind: Kind, rows: SeriesRows<'_>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        self.end_tag()?;
        self.begin_tag(tag, kind);
        self.check_times(&rows);
        self.last_time = None;
        self.put_tag(tag, kind, rows, false)
    }

    fn begin_tag(&mut self, tag: TagId, _kind: Kind) {
        assert!(self.last_tag.is_none_or(|last| last < tag), "tags are appended in rising order");
        if self.last_tag.is_none() {
            self.first_tag = tag;
        }
        self.last_tag = Some(tag);
        self.last_time = None;
        self.tags += 1;
    }

    fn check_times(&mut self, rows: &SeriesRows<'_>) {
        let (first, last) = (rows.times[0], rows.times[rows.len() - 1]);
        assert!(self.last_time.is_none_or(|before| before < first), "rows of a tag are appended in order of time");
        self.last_time = Some(last);
        self.range = TimeRange { first: self.range.first.min(first), last: self.range.last.max(last) };
        self.rows += rows.len() as u64;
    }

    fn end_tag(&mut self) -> Result<(), Error> {
        let Some((tag, kind)) = self.current.take() else { return Ok(()) };
        let columns = std::mem::take(&mut self.pending);
        let own = self.entries.last_tag() == Some(tag);
        self.put_tag(tag, kind, columns.rows(kind), own)?;
        self.pending = columns;
        self.pending.clear();
        Ok(())
    }

    /// Writes the first rows of a tag that has too many to hold.
    fn cut_pending(&mut self, tag: TagId, kind: Kind) -> Result<(), Error> {
        let columns = std::mem::take(&mut self.pending);
        let rows = columns.rows(kind);
        let cut = prepare::chunk_rows(&rows, ROWS_CHUNK_MAX, TEXT_BYTES_CHUNK).min(rows.len());
        self.put_chunk(tag, kind, rows.part(0, cut))?;
        prepare::gather(&mut self.pending, &rows.part(cut, rows.len()));
        Ok(())
    }

    /// Writes rows of a tag; `own` where earlier rows of it have chunks of their own.
    fn put_tag(&mut self, tag: TagId, kind: Kind, rows: SeriesRows<'_>, own: bool) -> Result<(), Error> {
        if !own && rows.len() < ROWS_OWN_CHUNK && rows.text_bytes() < TEXT_BYTES_CHUNK {
            return self.share_chunk(tag, kind, rows);
        }
        let mut first = 0;
        while first < rows.len() {
            let rest = rows.part(first, rows.len());
            // What is left is cut evenly, so that no small chunk ends a tag.
            let even = rest.len().div_ceil(rest.len().div_ceil(ROWS_CHUNK_MAX));
            let cut = prepare::chunk_rows(&rest, even, TEXT_BYTES_CHUNK);
            self.put_chunk(tag, kind, rest.part(0, cut))?;
            first += cut;
        }
        Ok(())
    }

    fn put_chunk(&mut self, tag: TagId, kind: Kind, rows: SeriesRows<'_>) -> Result<(), Error> {
        let prepared = Prepared::new(kind, &rows, &mut self.hint);
        let mut chunk = ChunkBuild::new(prepared.class, self.next_chunk());
        let entry = prepared.add_to(&mut chunk, tag, &rows);
        self.entries.push(entry, chunk.number);
        self.close(&chunk);
        self.write_if_full()
    }

    fn share_chunk(&mut self, tag: TagId, kind: Kind, rows: SeriesRows<'_>) -> Result<(), Error> {
        let prepared = Prepared::new(kind, &rows, &mut self.hint);
        let class = prepared.class;
        let full = self.open.get(&class).is_some_and(|chunk| {
            chunk.rows + rows.len() > ROWS_SHARED_CHUNK || chunk.text_bytes.len() + rows.text_bytes() > TEXT_BYTES_CHUNK
        });
        if full {
            let chunk = self.open.remove(&class).expect("it was just looked at");
            self.close(&chunk);
        }
        if !self.open.contains_key(&class) {
            let number = self.next_chunk();
            self.open.insert(class, ChunkBuild::new(class, number));
        }
        let chunk = self.open.get_mut(&class).expect("it was just put there");
        let number = chunk.number;
        let entry = prepared.add_to(chunk, tag, &rows);
        self.entries.push(entry, number);
        if self.entries.blocks_waiting() > BLOCKS_WAITING_MAX {
            self.close_all();
        }
        self.write_if_full()
    }

    fn next_chunk(&mut self) -> usize {
        self.chunks += 1;
        self.chunks - 1
    }

    fn close(&mut self, chunk: &ChunkBuild) {
        let offset = self.written + self.out.len() as u64;
        let start = self.out.len();
        let header_bytes = chunk.encode(&mut self.out, self.written, self.identity);
        self.entries.place(chunk.number, offset, (self.out.len() - start) as u32, header_bytes);
    }

    fn close_all(&mut self) {
        for chunk in std::mem::take(&mut self.open).into_values() {
            self.close(&chunk);
        }
    }

    fn write_if_full(&mut self) -> Result<(), Error> {
        if self.out.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), Error> {
        self.file.write_at(self.written, &[&self.out])?;
        self.written += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn put_block(&mut self, payload: &[u8]) -> (u64, u64) {
        let offset = self.written + self.out.len() as u64;
        let start = block::begin(&mut self.out);
        self.out.extend_from_slice(payload);
        block::end(&mut self.out, start, Seal { file: self.identity, offset });
        (offset, (self.out.len() - start) as u64)
    }

    /// Writes what is left, the index and the footer, and syncs the file. Its name becomes durable
    /// with the manifest that names it.
    ///
    /// # Errors
    /// `Error::Disk`; the file is then of no use.
    pub fn finish(mut self) -> Result<FileSummary, Error> {
        self.end_tag()?;
        self.close_all();
        let index_offset = self.written + self.out.len() as u64;
        let mut top = Vec::new();
        for block in self.entries.finish() {
            let (offset, bytes) = self.put_block(&block.payload);
            top.push(TopEntry { first: block.first, last: block.last, offset, bytes });
            self.write_if_full()?;
        }
        let (_, top_bytes) = self.put_block(&footer::encode_top(&top));
        let range = if self.rows == 0 { TimeRange { first: Timestamp(0), last: Timestamp(-1) } } else { self.range };
        let mut summary = FileSummary {
            rows: self.rows,
            tags: self.tags,
            bytes: 0,
            tag_range: (self.first_tag, self.last_tag.unwrap_or_default()),
            range,
            versions: self.origin.versions,
            level: self.origin.level,
            checksum: 0,
        };
        let payload = footer::encode(&summary, IndexPlace { offset: index_offset, top_bytes });
        let start = self.out.len();
        let (_, footer_bytes) = self.put_block(&payload);
        let checksum = self.out[start..].first_chunk().expect("a block begins with its checksum");
        summary.checksum = u32::from_le_bytes(*checksum);
        self.out.extend_from_slice(&(footer_bytes as u32).to_le_bytes());
        self.out.extend_from_slice(footer::TAIL_LETTERS);
        self.write_out()?;
        self.file.sync()?;
        summary.bytes = self.written;
        Ok(summary)
    }
}
