//! The manifest's bytes, as `docs/formats/manifest.md` draws them. Format 1.
//!
//! ```text
//!    0  head (48 bytes, type "MANI")
//!   48  length   u64 LE    of the block that follows; the file ends behind it
//!   56  block    crc | payload
//! ```
//! Promises: `decode` reads only what `encode` can have written, allocates no more than a small
//! multiple of what it was given, and names what does not fit.

use crate::Error;
use crate::block::{self, BLOCK_OVERHEAD, Seal};
use crate::head::{FileHead, FileType};
use crate::manifest::{EpochStart, FileMeta, FileNumber, FilePlace, Manifest, Opaque, Producer};
use crate::wire::{Reader, put_signed, put_varint};
use std::collections::BTreeMap;
use std::path::Path;
use types::{CommitNumber, Epoch, Period, ProducerId, Sequence, TagId, TimeRange, Timestamp, Version};

/// The layout's number.
pub const FORMAT: u32 = 1;

const BLOCK_OFFSET: usize = FileHead::BYTES + 8;

/// The bytes of manifest number `number`.
#[must_use]
pub fn encode(manifest: &Manifest, number: u64) -> Vec<u8> {
    let head = FileHead { file_type: FileType::Manifest, format: FORMAT, store: manifest.store, slice: manifest.slice, number };
    let mut out = head.encode().to_vec();
    out.extend_from_slice(&[0; 8]);
    let start = block::begin(&mut out);
    put_manifest(&mut out, manifest);
    block::end(&mut out, start, Seal { file: head.identity(), offset: BLOCK_OFFSET as u64 });
    let length = (out.len() - BLOCK_OFFSET) as u64;
    out[FileHead::BYTES..BLOCK_OFFSET].copy_from_slice(&length.to_le_bytes());
    out
}

/// The manifest in a file's bytes, and its number.
///
/// # Errors
/// `Error::Damaged`, `Error::Format`.
pub fn decode(bytes: &[u8], path: &Path) -> Result<(Manifest, u64), Error> {
    let damaged = |offset: usize, what: String| Error::Damaged { path: path.to_path_buf(), offset: offset as u64, what };
    let head = FileHead::decode(bytes, path)?;
    if head.file_type != FileType::Manifest {
        return Err(damaged(8, "it is not a manifest".to_owned()));
    }
    if head.format != FORMAT {
        return Err(Error::Format { path: path.to_path_buf(), found: head.format, known: FORMAT });
    }
    let rest = &bytes[FileHead::BYTES..];
    let length = Reader::new(rest).u64().ok_or_else(|| damaged(FileHead::BYTES, "it ends within its length".to_owned()))?;
    let framed = &rest[8..];
    if length != framed.len() as u64 || framed.len() < BLOCK_OVERHEAD {
        let what = format!("its block should be {length} bytes long, and {} are there", framed.len());
        return Err(damaged(FileHead::BYTES, what));
    }
    let place = Seal { file: head.identity(), offset: BLOCK_OFFSET as u64 };
    let payload = block::open(framed, place).ok_or_else(|| damaged(BLOCK_OFFSET, "the checksum does not fit".to_owned()))?;
    let mut reader = Reader::new(payload);
    let manifest = read_manifest(&mut reader, &head).filter(|_| reader.is_empty());
    let at = BLOCK_OFFSET + framed.len() - reader.rest().len();
    manifest.map(|manifest| (manifest, head.number)).ok_or_else(|| damaged(at, "its fields make no manifest".to_owned()))
}

fn put_manifest(out: &mut Vec<u8>, manifest: &Manifest) {
    put_version(out, manifest.flushed);
    put_varint(out, manifest.commit.0);
    put_varint(out, manifest.log_position);
    put_varint(out, manifest.next_file.0);
    put_varint(out, manifest.latest.map_or(0, |number| number.0));
    put_varint(out, manifest.epochs.len() as u64);
    for start in &manifest.epochs {
        put_varint(out, start.epoch.0);
        put_varint(out, start.after.0);
    }
    put_varint(out, manifest.files.len() as u64);
    manifest.files.iter().for_each(|file| put_file(out, file));
    put_varint(out, manifest.groups.len() as u64);
    for (period, version) in &manifest.groups {
        put_signed(out, period.0);
        put_version(out, *version);
    }
    put_varint(out, manifest.producers.len() as u64);
    for producer in &manifest.producers {
        out.extend_from_slice(&producer.id.0.to_le_bytes());
        put_varint(out, producer.number);
        put_varint(out, producer.last_used.0);
    }
    put_varint(out, manifest.opaque.len() as u64);
    for entry in &manifest.opaque {
        out.push(entry.kind);
        put_varint(out, entry.bytes.len() as u64);
        out.extend_from_slice(&entry.bytes);
    }
}

fn put_version(out: &mut Vec<u8>, version: Version) {
    put_varint(out, version.epoch.0);
    put_varint(out, version.sequence.0);
}

fn put_file(out: &mut Vec<u8>, file: &FileMeta) {
    put_varint(out, file.number.0);
    match file.place {
        FilePlace::Mixed => out.push(0),
        FilePlace::Period(period) => {
            out.push(1);
            put_signed(out, period.0);
        }
    }
    put_varint(out, file.periods.len() as u64);
    for (first, last) in &file.periods {
        put_signed(out, first.0);
        put_varint(out, last.0.wrapping_sub(first.0) as u64);
    }
    put_varint(out, u64::from(file.level));
    for number in [file.bytes, file.rows, file.tags, file.tag_range.0.0, file.tag_range.1.0] {
        put_varint(out, number);
    }
    put_signed(out, file.range.first.0);
    put_signed(out, file.range.last.0);
    put_version(out, file.versions.0);
    put_version(out, file.versions.1);
    out.extend_from_slice(&file.checksum.to_le_bytes());
}

/// Reads a list whose entries take at least one byte each, so that a count can't exceed what is there.
fn list<T>(reader: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = reader.count(reader.rest().len())?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(read(reader)?);
    }
    Some(all)
}

fn read_manifest(reader: &mut Reader<'_>, head: &FileHead) -> Option<Manifest> {
    let flushed = read_version(reader)?;
    let commit = CommitNumber(reader.varint()?);
    let log_position = reader.varint()?;
    let next_file = FileNumber(reader.varint()?);
    let latest = Some(reader.varint()?).filter(|number| *number != 0).map(FileNumber);
    let epochs = list(reader, |reader| Some(EpochStart { epoch: Epoch(reader.varint()?), after: Sequence(reader.varint()?) }))?;
    let files = list(reader, read_file)?;
    let groups = list(reader, |reader| Some((Period(reader.signed()?), read_version(reader)?)))?;
    let producers = list(reader, |reader| {
        let id = ProducerId(reader.u128()?);
        Some(Producer { id, number: reader.varint()?, last_used: CommitNumber(reader.varint()?) })
    })?;
    let opaque = list(reader, |reader| {
        let kind = reader.u8()?;
        let len = reader.count(reader.rest().len())?;
        Some(Opaque { kind, bytes: reader.bytes(len)?.to_vec() })
    })?;
    let in_order = files.is_sorted_by(|a, b| a.number < b.number) && groups.is_sorted_by(|a, b| a.0 < b.0);
    let below_next = files.iter().all(|file| file.number < next_file) && latest.is_none_or(|number| number < next_file);
    (in_order && below_next).then(|| Manifest {
        store: head.store,
        slice: head.slice,
        epochs,
        flushed,
        commit,
        log_position,
        next_file,
        files,
        groups: groups.into_iter().collect::<BTreeMap<_, _>>(),
        producers,
        latest,
        opaque,
    })
}

fn read_version(reader: &mut Reader<'_>) -> Option<Version> {
    Some(Version { epoch: Epoch(reader.varint()?), sequence: Sequence(reader.varint()?) })
}

fn read_file(reader: &mut Reader<'_>) -> Option<FileMeta> {
    let number = FileNumber(reader.varint()?);
    let place = match reader.u8()? {
        0 => FilePlace::Mixed,
        1 => FilePlace::Period(Period(reader.signed()?)),
        _ => return None,
    };
    Some(FileMeta {
        number,
        place,
        periods: list(reader, |reader| {
            let first = reader.signed()?;
            Some((Period(first), Period(first.checked_add_unsigned(reader.varint()?)?)))
        })?,
        level: u32::try_from(reader.varint()?).ok()?,
        bytes: reader.varint()?,
        rows: reader.varint()?,
        tags: reader.varint()?,
        tag_range: (TagId(reader.varint()?), TagId(reader.varint()?)),
        range: TimeRange { first: Timestamp(reader.signed()?), last: Timestamp(reader.signed()?) },
        versions: (read_version(reader)?, read_version(reader)?),
        checksum: reader.u32()?,
    })
}
