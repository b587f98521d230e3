//! The file `kinds` of a data node's directory (docs/formats/kinds.md).
//!
//! Drawn (little endian), two slots of 512 bytes, then the kinds, a byte an ordinal:
//! ```text
//!   0  magic "MERKINDS"   8  format u32   12  zero u32   16  generation u64   24  end u64   32  CRC-64/NVME of the kinds u64
//!  40  zeros   504  crc-32c of bytes 0..504   508  zeros
//! ```
//! Kinds are written behind the end and synced, then the other slot is written and synced: only then they count. So a torn
//! slot leaves the one before it whole (a sector is the least that a power cut tears).
//! Promises: what is not whole is left out; whether something is, and how far the book had come then, is said. It may not
//! know what kinds mean.

use super::BookError;
use crc_fast::{CrcAlgorithm, Digest};
use std::path::Path;
use std::sync::Arc;
use world::{Access, Disk, DiskError, File};

/// The layout that this release writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"MERKINDS";
const NAME: &str = "kinds";
/// Whose file it is: a store that has it has a book.
const STORE: &str = "node";
const SLOT_BYTES: usize = 512;
const CHECKED_BYTES: usize = 504;
const KINDS_AT: u64 = 2 * SLOT_BYTES as u64;

/// An open book.
pub(super) struct BookFile {
    file: Arc<dyn File>,
    generation: u64,
    sum: Digest,
}

/// What was found.
pub(super) struct Opened {
    pub(super) file: BookFile,
    pub(super) kinds: Vec<u8>,
    pub(super) lost: bool,
    pub(super) owed: u64,
}

struct Slot {
    generation: u64,
    end: u64,
    sum: u64,
}

enum Found {
    /// Never written.
    Blank,
    Whole(Slot),
    Damaged,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0_u8; SLOT_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.end.to_le_bytes());
        out[32..40].copy_from_slice(&self.sum.to_le_bytes());
        let sum = checksum(&out[..CHECKED_BYTES]);
        out[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// # Errors
    /// The format's number, where a newer release wrote it.
    fn decode(bytes: &[u8]) -> Result<Found, u32> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Found::Blank);
        }
        if short(bytes, CHECKED_BYTES) != checksum(&bytes[..CHECKED_BYTES]) || &bytes[..8] != MAGIC {
            return Ok(Found::Damaged);
        }
        match short(bytes, 8) {
            format if format > FORMAT => Err(format),
            _ => Ok(Found::Whole(Slot { generation: number(bytes, 16), end: number(bytes, 24), sum: number(bytes, 32) })),
        }
    }
}

/// Opens the book of a directory, or makes an empty one.
pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Opened, BookError> {
    disk.make_dir(dir)?;
    let (path, names) = (dir.join(NAME), disk.list(dir)?);
    let has = |name: &str| names.iter().any(|entry| entry.name == name);
    let file = if has(NAME) { disk.open(&path, Access::Write)? } else { disk.create(&path)? };
    let bytes = file.len()?;
    let mut best: Option<Slot> = None;
    let mut damaged = false;
    for slot in 0..2_u64 {
        let mut read = [0_u8; SLOT_BYTES];
        if bytes >= (slot + 1) * SLOT_BYTES as u64 {
            file.read_at(slot * SLOT_BYTES as u64, &mut read)?;
        }
        match Slot::decode(&read).map_err(|format| BookError::Format { path: path.display().to_string(), format })? {
            Found::Whole(slot) if best.as_ref().is_none_or(|best| best.generation < slot.generation) => best = Some(slot),
            Found::Whole(_) | Found::Blank => {}
            Found::Damaged => damaged = true,
        }
    }
    // Without a slot nothing counts yet; but a store beside it had a book.
    let blank = best.is_none() && !damaged;
    let best = best.unwrap_or(Slot { generation: 0, end: 0, sum: sum_of(&[]) });
    let mut kinds = Vec::new();
    if bytes >= KINDS_AT.saturating_add(best.end) {
        kinds.resize(best.end as usize, 0);
        file.read_at(KINDS_AT, &mut kinds)?;
    }
    if kinds.len() as u64 != best.end || sum_of(&kinds) != best.sum {
        (damaged, kinds) = (true, Vec::new());
    }
    // Whatever was added was written there before it counted.
    let owed = if damaged { bytes.saturating_sub(KINDS_AT).max(best.end) } else { 0 };
    let lost = damaged && owed > kinds.len() as u64 || blank && has(STORE);
    let mut sum = digest();
    sum.update(&kinds);
    let mut file = BookFile { file, generation: best.generation, sum };
    file.settle(&kinds, bytes, !lost)?;
    disk.sync_dir(dir)?;
    Ok(Opened { file, kinds, lost, owed })
}

fn digest() -> Digest {
    Digest::new(CrcAlgorithm::Crc64Nvme)
}

fn sum_of(kinds: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, kinds)
}

impl BookFile {
    /// Makes sure that what was read is on disk: what is in the system's cache may not be. A book that was lost is left as
    /// it is, so that it is known for lost until it was filled.
    fn settle(&mut self, kinds: &[u8], bytes: u64, whole: bool) -> Result<(), DiskError> {
        if bytes < KINDS_AT {
            self.file.truncate(KINDS_AT)?;
        }
        if whole {
            self.file.write_at(KINDS_AT, &[kinds])?;
            self.write_slot(kinds.len() as u64)?;
        }
        self.file.sync()
    }

    fn write_slot(&self, end: u64) -> Result<(), DiskError> {
        let slot = Slot { generation: self.generation, end, sum: self.sum.finalize() };
        self.file.write_at(self.generation % 2 * SLOT_BYTES as u64, &[&slot.encode()])
    }

    /// Adds kinds behind the end; they count, durably, when this returns.
    pub(super) fn append(&mut self, end: u64, kinds: &[u8]) -> Result<(), DiskError> {
        self.file.write_at(KINDS_AT + end, &[kinds])?;
        self.file.sync()?;
        self.sum.update(kinds);
        self.generation += 1;
        self.write_slot(end + kinds.len() as u64)?;
        self.file.sync()
    }
}
