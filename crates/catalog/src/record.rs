//! The catalog's log records.
//!
//! ```text
//!   kind   1 create, 2 change, 3 delete; in a fleet's catalog 4 batch, 5 epoch, 6 end, 7 applied (`led`)
//!   head   sequence u64 LE | mark u64 LE | part u32 LE | parts u32 LE | time u64 LE
//!   body   a part of the write's bytes; a write is all its parts, in order
//!
//!   create   first ordinal varint | calls varint, then for each call:
//!            rows varint | length varint | run of rows
//!   change   count varint | (ordinal varint | row)..       created times are not taken
//!   delete   count varint | ordinal varint ..
//! ```
//! A write was made only where all its parts are there, one after the other, with one mark (random);
//! else it was refused or torn, and its sequence number is used again. The time is in microseconds since 1970 and rises from
//! write to write; it is left out in a fleet's catalog, and was before there were moments to go back to.
//!
//! Promises: anything at all decodes to a write, to "not complete", or to an error; never to a panic.

use crate::kind_table::KindTable;
use crate::profile::{profile_compression, profile_kind};
use crate::row::{Entry, RowReader};
use crate::table::{Refusal, Table};
use bytes::{BufMut, Bytes, BytesMut};
use storage::wire::{Reader, put_varint};

/// Log record kind of creations.
pub const KIND_CREATE: u8 = 1;
/// Log record kind of changes.
pub const KIND_CHANGE: u8 = 2;
/// Log record kind of deletions.
pub const KIND_DELETE: u8 = 3;

/// Log record kind of a fleet's batch of changes; of an epoch that was seen; of an end of the log at a batch; of a batch
/// up to which all were applied. `led` has them.
pub const KIND_BATCH: u8 = 4;
pub const KIND_EPOCH: u8 = 5;
pub const KIND_END: u8 = 6;
pub const KIND_APPLIED: u8 = 7;

/// Length of a record's head.
const HEAD_BYTES: usize = 32;

/// The head of a part; without a time where that is 0.
pub fn head(sequence: u64, mark: u64, part: u32, parts: u32, time: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES);
    out.put_u64_le(sequence);
    out.put_u64_le(mark);
    out.put_u32_le(part);
    out.put_u32_le(parts);
    if time > 0 {
        out.put_u64_le(time);
    }
    out.freeze()
}

/// Cuts pieces into parts of at most that many bytes each, without copying.
pub fn parts(pieces: Vec<Bytes>, bytes_max: usize) -> Vec<Vec<Bytes>> {
    let mut out = vec![Vec::new()];
    let mut room = bytes_max;
    for mut piece in pieces {
        while !piece.is_empty() {
            if room == 0 {
                out.push(Vec::new());
                room = bytes_max;
            }
            let taken = piece.split_to(piece.len().min(room));
            room -= taken.len();
            if let Some(last) = out.last_mut() {
                last.push(taken);
            }
        }
    }
    out
}

/// A write read back whole.
#[derive(Debug)]
pub struct Write {
    pub kind: u8,
    pub sequence: u64,
    /// When it was made; 0 where that is not told.
    pub time: u64,
    pub bytes: Vec<u8>,
}

/// Joins parts to writes.
#[derive(Default)]
pub struct Joiner {
    open: Option<(Write, u64, u32, u32)>,
}

impl Joiner {
    /// Whether parts of a write wait for others.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether what waits is a write's first part.
    pub fn begins(&self) -> bool {
        matches!(self.open, Some((_, _, 1, _)))
    }

    /// Takes the next record of the log; a write where it completes one.
    pub fn take(&mut self, kind: u8, head: &[u8], body: &[u8]) -> Result<Option<Write>, &'static str> {
        let mut reader = Reader::new(head);
        let fields = (|| Some((reader.u64()?, reader.u64()?, reader.u32()?, reader.u32()?)))();
        let fields = fields.filter(|(.., part, parts)| part < parts && (KIND_CREATE..=KIND_APPLIED).contains(&kind));
        let time = if reader.is_empty() { Some(0) } else { reader.u64() };
        let fields = fields.zip(time).filter(|_| reader.is_empty());
        let Some(((sequence, mark, part, parts), time)) = fields else {
            self.open = None;
            return Err("a record's head is malformed");
        };
        let follows = match &self.open {
            Some((write, open_mark, next, open_parts)) => {
                (write.kind, write.sequence, *open_mark, *next, *open_parts) == (kind, sequence, mark, part, parts)
            }
            None => false,
        };
        if !follows {
            self.open = (part == 0).then(|| (Write { kind, sequence, time, bytes: Vec::new() }, mark, 0, parts));
        }
        if let Some((write, _, next, _)) = &mut self.open {
            write.bytes.extend_from_slice(body);
            *next += 1;
            if *next == parts {
                return Ok(self.open.take().map(|(write, ..)| write));
            }
        }
        Ok(None)
    }
}

/// The bytes of deletions.
pub fn put_delete(ordinals: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(ordinals.len() * 4 + 10);
    put_varint(&mut out, ordinals.len() as u64);
    ordinals.for_each(|ordinal| put_varint(&mut out, ordinal));
    out
}

/// Applies a write that was read back.
pub fn apply(write: &Write, table: &mut Table, kinds: &KindTable) -> Result<(), &'static str> {
    match write.kind {
        KIND_CREATE => apply_create(&write.bytes, table, kinds, write.sequence),
        KIND_CHANGE => apply_change(&write.bytes, table, kinds, write.sequence),
        _ => apply_delete(&write.bytes, table, write.sequence),
    }
}

fn apply_create(bytes: &[u8], table: &mut Table, kinds: &KindTable, sequence: u64) -> Result<(), &'static str> {
    const MALFORMED: &str = "a creation is malformed";
    let mut reader = Reader::new(bytes);
    let first = reader.varint().ok_or(MALFORMED)?;
    if first != table.rows() {
        return Err("a creation does not follow the tags before");
    }
    let calls = reader.varint().ok_or(MALFORMED)?;
    for _ in 0..calls {
        let rows = reader.varint().ok_or(MALFORMED)?;
        let len = reader.count(bytes.len()).ok_or(MALFORMED)?;
        let mut run = RowReader::new(reader.bytes(len).ok_or(MALFORMED)?);
        table.begin_run();
        for _ in 0..rows {
            push_next(&mut run, table, kinds, sequence).map_err(|_| "a created tag does not fit the tags before")?;
        }
        if !run.is_empty() {
            return Err(MALFORMED);
        }
    }
    if reader.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

/// Adds the next row of a run.
pub fn push_next(run: &mut RowReader<'_>, table: &mut Table, kinds: &KindTable, sequence: u64) -> Result<(), Refusal> {
    match run.next() {
        Some(Entry::Live(row)) => table.push(&row, kinds, sequence),
        Some(Entry::Dead(_)) | None => Err(Refusal::Malformed),
    }
}

/// Applies changes: first all names that change go, then all rows are replaced, so that names can be swapped.
pub fn apply_change(bytes: &[u8], table: &mut Table, kinds: &KindTable, sequence: u64) -> Result<(), &'static str> {
    const MALFORMED: &str = "a change is malformed";
    let mut renamed = Vec::new();
    let mut compressions = false;
    for second in [false, true] {
        let mut run = RowReader::new(bytes);
        let count = run.number().ok_or(MALFORMED)?;
        let mut renames = std::mem::take(&mut renamed).into_iter();
        table.begin_run();
        for _ in 0..count {
            let ordinal = run.number().ok_or(MALFORMED)?;
            let Some(Entry::Live(row)) = run.next() else { return Err(MALFORMED) };
            if second {
                let renamed = renames.next().unwrap_or(false);
                if renamed && table.find(row.name).is_some() {
                    return Err("a changed tag takes a name that is taken");
                }
                let (kind, compression) = profile_compression(row.profile).ok_or(MALFORMED)?;
                compressions |= table.compression(ordinal) != Some(compression);
                table.replace(ordinal, &row, renamed, sequence).map_err(|_| MALFORMED)?;
                kinds.set(ordinal, kind, compression.thins(kind));
                continue;
            }
            let (block, at) = table.place(ordinal).ok_or("a change is of a tag that is not there")?;
            if profile_kind(row.profile) != kinds.staged(ordinal) {
                return Err("a change is of a tag's kind");
            }
            let rename = block.name(at) != row.name.as_bytes();
            // A tag renamed twice would be taken out twice.
            let twice = rename && table.find(block.name_text(at)) != Some(ordinal);
            renamed.push(rename);
            if twice {
                return Err("a tag is renamed twice");
            }
            if rename {
                table.unname(ordinal);
            }
        }
        if !run.is_empty() {
            return Err(MALFORMED);
        }
    }
    if compressions {
        kinds.compressions_changed();
    }
    Ok(())
}

/// Applies deletions.
pub fn apply_delete(bytes: &[u8], table: &mut Table, sequence: u64) -> Result<(), &'static str> {
    const MALFORMED: &str = "a deletion is malformed";
    let mut reader = Reader::new(bytes);
    for _ in 0..reader.varint().ok_or(MALFORMED)? {
        let ordinal = reader.varint().ok_or(MALFORMED)?;
        table.place(ordinal).ok_or("a deletion is of a tag that is not there")?;
        table.kill(ordinal, sequence);
    }
    if reader.is_empty() { Ok(()) } else { Err(MALFORMED) }
}
