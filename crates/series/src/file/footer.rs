//! The end of a series file: the top of its index, and the footer.
//!
//! ```text
//!   .. index blocks | top block | footer block | tail
//!   top      blocks n varint | packed signed first tags (n) | packed last - first (n) | packed lengths (n)
//!   footer   index offset varint | top length varint | rows, tags varint | lowest, highest tag varint
//!            first, last time zigzag | first, last version (epoch, sequence varints) | level varint
//!   tail     length of the footer block u32 LE | "SEND"
//! ```
//! Promises: what is read fits into the file that it was read from.

use super::packed::{self, Packed};
use storage::block::BLOCK_OVERHEAD;
use storage::wire::{Reader, put_signed, put_varint};
use storage::{FileMeta, FileNumber, FilePlace};
use types::{Epoch, Period, Sequence, TagId, TimeRange, Timestamp, Version};

/// How long the tail is.
pub const TAIL_BYTES: usize = 8;
/// How the tail ends.
pub const TAIL_LETTERS: &[u8; 4] = b"SEND";
/// A footer block is never longer.
pub const FOOTER_BYTES_MAX: usize = 1024;

/// What a file is as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// Its rows.
    pub rows: u64,
    /// Its tags.
    pub tags: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Lowest and highest tag (0 and 0 where it has no rows).
    pub tag_range: (TagId, TagId),
    /// From its oldest to its newest row (empty where it has none).
    pub range: TimeRange,
    /// First and last version that it covers.
    pub versions: (Version, Version),
    /// How often its rows were merged.
    pub level: u32,
    /// The checksum of its footer.
    pub checksum: u32,
}

impl FileSummary {
    /// What the manifest says of it. `periods` are those that it has rows of.
    #[must_use]
    pub fn meta(&self, number: FileNumber, place: FilePlace, periods: Vec<(Period, Period)>) -> FileMeta {
        FileMeta {
            number,
            place,
            periods,
            level: self.level,
            bytes: self.bytes,
            rows: self.rows,
            tags: self.tags,
            tag_range: self.tag_range,
            range: self.range,
            versions: self.versions,
            checksum: self.checksum,
        }
    }
}

/// Where the index of a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPlace {
    /// Where its blocks begin: the chunks end there.
    pub offset: u64,
    /// How long the top block is, which ends where the footer block begins.
    pub top_bytes: u64,
}

/// The payload of a footer block.
#[must_use]
pub fn encode(summary: &FileSummary, index: IndexPlace) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [index.offset, index.top_bytes, summary.rows, summary.tags, summary.tag_range.0.0, summary.tag_range.1.0] {
        put_varint(&mut out, number);
    }
    put_signed(&mut out, summary.range.first.0);
    put_signed(&mut out, summary.range.last.0);
    for version in [summary.versions.0, summary.versions.1] {
        put_varint(&mut out, version.epoch.0);
        put_varint(&mut out, version.sequence.0);
    }
    put_varint(&mut out, u64::from(summary.level));
    out
}

/// Reads a footer's payload; `file_bytes` is the length of the file, `footer_offset` where the
/// footer block begins, `checksum` its checksum.
///
/// # Errors
/// What is wrong with it.
pub fn decode(
    payload: &[u8],
    file_bytes: u64,
    footer_offset: u64,
    checksum: u32,
) -> Result<(FileSummary, IndexPlace), &'static str> {
    let mut reader = Reader::new(payload);
    let version =
        |reader: &mut Reader<'_>| Some(Version { epoch: Epoch(reader.varint()?), sequence: Sequence(reader.varint()?) });
    let parsed = (|| {
        let index = IndexPlace { offset: reader.varint()?, top_bytes: reader.varint()? };
        let summary = FileSummary {
            rows: reader.varint()?,
            tags: reader.varint()?,
            bytes: file_bytes,
            tag_range: (TagId(reader.varint()?), TagId(reader.varint()?)),
            range: TimeRange { first: Timestamp(reader.signed()?), last: Timestamp(reader.signed()?) },
            versions: (version(&mut reader)?, version(&mut reader)?),
            level: u32::try_from(reader.varint()?).ok()?,
            checksum,
        };
        Some((summary, index))
    })();
    let (summary, index) = parsed.filter(|_| reader.is_empty()).ok_or("fields of the footer")?;
    let fits = index.top_bytes >= BLOCK_OVERHEAD as u64
        && index.offset.checked_add(index.top_bytes).is_some_and(|end| end <= footer_offset);
    if fits { Ok((summary, index)) } else { Err("the index does not fit before the footer") }
}

/// An index block as the top names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopEntry {
    /// Its lowest tag.
    pub first: TagId,
    /// Its highest tag.
    pub last: TagId,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// The payload of the top. Blocks lie one after the other.
#[must_use]
pub fn encode_top(blocks: &[TopEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, blocks.len() as u64);
    packed::put_signed(&mut out, &blocks.iter().map(|block| block.first.0 as i64).collect::<Vec<_>>());
    packed::put(&mut out, &blocks.iter().map(|block| block.last.0 - block.first.0).collect::<Vec<_>>());
    packed::put(&mut out, &blocks.iter().map(|block| block.bytes).collect::<Vec<_>>());
    out
}

/// Reads a top; its blocks lie between `start` and `end`, and fill that.
///
/// # Errors
/// What is wrong with it.
pub fn decode_top(payload: &[u8], start: u64, end: u64) -> Result<Vec<TopEntry>, &'static str> {
    let mut reader = Reader::new(payload);
    // Each block has a checksum and at least a byte, so the room bounds their number.
    let most = usize::try_from((end - start) / (BLOCK_OVERHEAD as u64 + 1)).unwrap_or(usize::MAX);
    let count = reader.count(most).ok_or("number of index blocks")?;
    let columns = (|| {
        let first = Packed::read_signed(&mut reader, count)?;
        Some((first, Packed::read(&mut reader, count)?, Packed::read(&mut reader, count)?))
    })();
    let (firsts, spans, lengths) = columns.filter(|_| reader.is_empty()).ok_or("fields of the top")?;
    let mut offset = start;
    let mut blocks = Vec::new();
    for index in 0..count {
        let first = firsts.get(index);
        let bytes = lengths.get(index);
        let last = first.checked_add(spans.get(index)).ok_or("tags of the top")?;
        blocks.push(TopEntry { first: TagId(first), last: TagId(last), offset, bytes });
        offset = offset.checked_add(bytes).filter(|offset| *offset <= end).ok_or("index blocks don't fit")?;
    }
    if offset == end { Ok(blocks) } else { Err("index blocks don't fill their room") }
}
