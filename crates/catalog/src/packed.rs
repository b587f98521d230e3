//! A block of tags as it lies in a tags file.
//!
//! ```text
//!   crc u32 LE | rows u16 LE - 1 | length u64 LE | zstd frame of a run of rows, `length` bytes unpacked
//! ```
//! Promises: what was packed comes back; of anything else it says what is wrong, takes no more memory than the bytes
//! that are there unpack to, and never panics. What it may not know: where a block lies, what is in a row.

use crate::block::BLOCK_ROWS;
use std::io::Read;
use storage::block::{self, BLOCK_OVERHEAD, Seal};
use storage::wire::Reader;

const ZSTD_LEVEL: i32 = 1;
/// Length of what stands before the frame.
const HEAD_BYTES: usize = BLOCK_OVERHEAD + 2 + 8;

/// The bytes of a block of that many rows, sealed to its place.
pub fn pack(run: &[u8], rows: usize, seal: Seal) -> Vec<u8> {
    let mut out = Vec::with_capacity(run.len() / 3 + 64);
    let start = block::begin(&mut out);
    put(run, rows, &mut out);
    block::end(&mut out, start, seal);
    out
}

/// Appends the block without its checksum: what `unpack` takes.
pub fn put(run: &[u8], rows: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(rows as u16 - 1).to_le_bytes());
    out.extend_from_slice(&(run.len() as u64).to_le_bytes());
    zstd::stream::copy_encode(run, out, ZSTD_LEVEL).expect("memory takes what is written");
}

/// The rows and the run of a block whose checksum fits: what stands behind it.
pub fn unpack(payload: &[u8]) -> Result<(usize, Vec<u8>), &'static str> {
    let mut reader = Reader::new(payload);
    let rows = reader.array::<2>().map(|bytes| usize::from(u16::from_le_bytes(bytes)) + 1);
    let rows = rows.filter(|rows| *rows <= BLOCK_ROWS).ok_or("a block has more rows than a block can have")?;
    let len = reader.u64().ok_or("a block is too short")?;
    // Grows as bytes come, not as the length says: it may be made up.
    let mut run = Vec::with_capacity(reader.rest().len().saturating_mul(4).min(len as usize));
    let failed = |error| -> &'static str {
        let _: std::io::Error = error;
        "a block can't be unpacked"
    };
    let mut decoder = zstd::stream::Decoder::with_buffer(reader.rest()).map_err(failed)?;
    decoder.by_ref().take(len.saturating_add(1)).read_to_end(&mut run).map_err(failed)?;
    if run.len() as u64 == len { Ok((rows, run)) } else { Err("a block is not as long as it says") }
}

/// How long the block is that these bytes begin with; None where that can't be told.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let frame = zstd::zstd_safe::find_frame_compressed_size(bytes.get(HEAD_BYTES..)?).ok()?;
    Some(HEAD_BYTES + frame)
}
