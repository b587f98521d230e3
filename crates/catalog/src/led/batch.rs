//! A fleet's batch of changes as it lies in the log, and what a change says.
//!
//! ```text
//!   batch   epoch varint | hash before u128 LE | hash u128 LE | count varint, then for each change:
//!           producer u128 LE | number varint | length varint | body
//!   body    1 | rows varint | run of rows                      created and changed are in the rows
//!           2 | count varint | (ordinal varint | row)..        as a change's record
//!           3 | count varint | ordinal varint ..               rising, as a deletion's record
//! ```
//! The batch's number is the record's sequence. Promises: what was encoded comes back; anything else is an error, never
//! a panic. What it may not know: the table.

use crate::row::RowWriter;
use crate::{Error, record, rules};
use bytes::Bytes;
use protocol::tags::{Batch, ChainHash, Change, Point};
use storage::wire::{Reader, put_varint};
use types::{Epoch, Origin, ProducerId, Sequence, TagDefinition, TagId, Timestamp};

pub const CREATE: u8 = 1;
pub const CHANGE: u8 = 2;
pub const DELETE: u8 = 3;

/// The body of a change that makes tags.
///
/// # Errors
/// `Error::Invalid`.
pub fn creation(definitions: &[TagDefinition], now: Timestamp) -> Result<Bytes, Error> {
    let mut run = RowWriter::with_capacity(definitions.len() * 48 + 16);
    run.out.push(CREATE);
    put_varint(&mut run.out, definitions.len() as u64);
    for definition in definitions {
        rules::check(definition)?;
        run.put_definition(definition, now.0, now.0);
    }
    Ok(run.out.into())
}

/// The body of a change of tags.
///
/// # Errors
/// `Error::Invalid`.
pub fn change(changes: &[(TagId, TagDefinition)], now: Timestamp) -> Result<Bytes, Error> {
    let mut run = RowWriter::with_capacity(changes.len() * 64 + 16);
    run.out.push(CHANGE);
    put_varint(&mut run.out, changes.len() as u64);
    for (id, definition) in changes {
        rules::check(definition)?;
        put_varint(&mut run.out, id.0);
        run.put_definition(definition, now.0, now.0);
    }
    Ok(run.out.into())
}

/// The body of a change that deletes tags.
#[must_use]
pub fn deletion(tags: &[TagId]) -> Bytes {
    let mut ordinals: Vec<u64> = tags.iter().map(|tag| tag.0).collect();
    ordinals.sort_unstable();
    let mut out = vec![DELETE];
    out.extend(record::put_delete(ordinals.into_iter()));
    out.into()
}

/// A batch's bytes, the changes' bodies uncopied.
pub fn put(batch: &Batch) -> Vec<Bytes> {
    let mut head = Vec::with_capacity(64);
    put_varint(&mut head, batch.epoch.0);
    head.extend_from_slice(&batch.prev.hash.0.to_le_bytes());
    head.extend_from_slice(&batch.point.hash.0.to_le_bytes());
    put_varint(&mut head, batch.changes.len() as u64);
    let mut pieces = Vec::with_capacity(batch.changes.len() * 2 + 1);
    for change in &batch.changes {
        head.extend_from_slice(&change.origin.producer.0.to_le_bytes());
        put_varint(&mut head, change.origin.number);
        put_varint(&mut head, change.body.len() as u64);
        pieces.push(Bytes::from(std::mem::take(&mut head)));
        pieces.push(change.body.clone());
    }
    if !head.is_empty() {
        pieces.push(head.into());
    }
    pieces
}

/// Reads a batch.
pub fn read(sequence: u64, bytes: &Bytes) -> Option<Batch> {
    let mut reader = Reader::new(bytes);
    let epoch = Epoch(reader.varint()?);
    let (before, hash) = (ChainHash(reader.u128()?), ChainHash(reader.u128()?));
    // A change takes 18 bytes at least.
    let count = reader.count(bytes.len() / 18)?;
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        let origin = Origin { producer: ProducerId(reader.u128()?), number: reader.varint()? };
        let len = reader.count(bytes.len())?;
        changes.push(Change { origin, body: bytes.slice_ref(reader.bytes(len)?) });
    }
    let prev = Point { sequence: Sequence(sequence.checked_sub(1)?), hash: before };
    let point = Point { sequence: Sequence(sequence), hash };
    reader.is_empty().then_some(Batch { epoch, prev, point, changes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use world::SeededRandom;

    #[test]
    fn batches_come_back_and_anything_else_is_refused() {
        let bodies = [creation(&[], Timestamp(1)).expect("nothing to refuse"), deletion(&[TagId(9), TagId(300)])];
        let origin = |number| Origin { producer: ProducerId(1 << 90), number };
        let changes = bodies.into_iter().zip(1..).map(|(body, number)| Change { origin: origin(number), body });
        let first = Batch::after(Point::default(), Epoch(3), changes.collect());
        let random = SeededRandom::new(5);
        for batch in [Batch::after(first.point, Epoch(4), Vec::new()), first] {
            let bytes = put(&batch).concat();
            assert_eq!(read(batch.point.sequence.0, &bytes.clone().into()), Some(batch.clone()));
            for _ in 0..2_000 {
                let mut spoilt = bytes.clone();
                let at = random.between(0, spoilt.len() as u64 - 1) as usize;
                if random.between(0, 1) == 0 {
                    spoilt.truncate(at)
                } else {
                    spoilt[at] ^= 1 << random.between(0, 7)
                }
                assert_ne!(read(batch.point.sequence.0, &spoilt.into()), Some(batch.clone()));
            }
        }
    }
}
