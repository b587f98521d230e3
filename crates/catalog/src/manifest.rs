//! The manifest: which file holds which block of the tag table, and up to where the log is contained.
//!
//! ```text
//!   head | length u64 LE of what follows | crc u32 LE | payload
//!   payload  format of rows varint | sequence varint | log position varint | rows varint | next file varint
//!            count varint, then for each block of 4,096 ordinals, in order:
//!            file varint | offset varint | length varint; then, in a fleet's catalog, what `led::Kept` says
//! ```
//! Promises: what decodes is consistent in itself: as many blocks as rows need, files below `next_file`.
//! What it may not know: what is in the blocks.

use crate::Error;
use crate::block::BLOCK_ROWS;
use crate::files::{FORMAT, FORMAT_TIMES, HEAD_BYTES, Head, What, damaged};
use crate::kind_table::KindTable;
use crate::led::Kept;
use std::path::Path;
use storage::block::{self, BLOCK_OVERHEAD};
use storage::wire::{Reader, put_varint};

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The number of its file.
    pub file: u64,
    /// Where in the file.
    pub offset: u64,
    /// Its length, checksum included.
    pub bytes: u64,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The last write contained.
    pub sequence: u64,
    /// Records of the log that begin below are contained.
    pub position: u64,
    /// How many ordinals.
    pub rows: u64,
    /// The number of the next file.
    pub next_file: u64,
    /// A place for each block.
    pub blocks: Vec<BlockPlace>,
    /// Of a fleet's catalog: what it keeps beside the table.
    pub led: Option<Kept>,
}

/// The payload's layout where the catalog is a fleet's.
const FORMAT_LED: u32 = 2;

impl Manifest {
    /// The bytes of manifest `number`.
    pub fn encode(&self, log: u64, number: u64) -> Vec<u8> {
        let head = Head { what: What::Manifest, format: self.head_format(), log, number };
        let mut out = head.encode().to_vec();
        out.extend_from_slice(&[0; 8]);
        let start = block::begin(&mut out);
        let format = if self.led.is_some() { FORMAT_LED } else { FORMAT };
        for number in [u64::from(format), self.sequence, self.position, self.rows, self.next_file, self.blocks.len() as u64] {
            put_varint(&mut out, number);
        }
        for place in &self.blocks {
            put_varint(&mut out, place.file);
            put_varint(&mut out, place.offset);
            put_varint(&mut out, place.bytes);
        }
        if let Some(kept) = &self.led {
            kept.put(&mut out);
        }
        block::end(&mut out, start, head.seal(start as u64));
        let length = (out.len() - start) as u64;
        out[HEAD_BYTES..HEAD_BYTES + 8].copy_from_slice(&length.to_le_bytes());
        out
    }

    /// The number that its head is written with: only a catalog that is no fleet's tells its writes' times.
    pub fn head_format(&self) -> u32 {
        if self.led.is_some() { FORMAT } else { FORMAT_TIMES }
    }

    /// The manifest in the bytes of file `path`, which should be number `number`, and its head.
    pub fn decode(bytes: &[u8], number: u64, path: &Path) -> Result<(Manifest, Head), Error> {
        let head = Head::decode(bytes, What::Manifest, number, path)?;
        let mut reader = Reader::new(&bytes[HEAD_BYTES..]);
        let length = reader.u64().ok_or_else(|| damaged(path, HEAD_BYTES as u64, "it ends within its length"))?;
        let framed = reader.rest();
        let start = (HEAD_BYTES + 8) as u64;
        if length != framed.len() as u64 || framed.len() < BLOCK_OVERHEAD {
            return Err(damaged(path, HEAD_BYTES as u64, "it is not as long as it says"));
        }
        let payload = block::open(framed, head.seal(start)).ok_or_else(|| damaged(path, start, "the checksum does not fit"))?;
        let manifest = Manifest::parse(payload).ok_or_else(|| damaged(path, start, "its fields make no manifest"))?;
        Ok((manifest, head))
    }

    /// Whether the table is of no one point.
    pub fn is_torn(&self) -> bool {
        self.led.as_ref().is_some_and(|kept| kept.point.is_none())
    }

    /// A manifest from its payload.
    pub fn parse(payload: &[u8]) -> Option<Manifest> {
        let mut reader = Reader::new(payload);
        let format = reader.varint()?;
        [FORMAT, FORMAT_LED].contains(&u32::try_from(format).ok()?).then_some(())?;
        let (sequence, position, rows, next_file) = (reader.varint()?, reader.varint()?, reader.varint()?, reader.varint()?);
        let count = reader.count(reader.rest().len() / 3)?;
        (rows <= KindTable::TAGS_MAX && count as u64 == rows.div_ceil(BLOCK_ROWS as u64)).then_some(())?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let place = BlockPlace { file: reader.varint()?, offset: reader.varint()?, bytes: reader.varint()? };
            let end = place.offset.checked_add(place.bytes)?;
            (place.file < next_file && place.offset >= HEAD_BYTES as u64 && end < 1 << 60).then_some(())?;
            blocks.push(place);
        }
        let led = if format == u64::from(FORMAT_LED) { Some(Kept::read(&mut reader)?) } else { None };
        reader.is_empty().then_some(Manifest { sequence, position, rows, next_file, blocks, led })
    }
}
