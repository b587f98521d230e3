//! What a led slice writes into the log, and what a record's body is.
//!
//! A write (kind 2), its head drawn (little endian); its body is the record's body:
//! ```text
//!   0  format u8 (1)   1  flags u8 (bit 0: has an origin)   2  zero u16   4  slice u32
//!   8  epoch u64   16  sequence u64   24  epoch of the write before u64   32  its sequence u64   40  digest u64
//!  48  [producer u128   number u64]           only with bit 0
//! ```
//! A note (kind 3), head only:
//! ```text
//!   0  format u8 (1)   1  what u8   2  zero u16   4  slice u32   8  epoch u64   16  sequence u64
//! ```
//! What: 1 the slice refuses whatever is of a lower epoch (sequence 0); 2 the slice's log ends with this version: whatever
//! of it stands behind that version before this note was set aside; 3 the slice begins anew: counts where the slice's
//! manifest names this note's position (`note`).
//!
//! A body: what all replicas of the slice agree on, so it is the same on every node.
//! ```text
//!   0  format u8 (1)   1  zero u8 x 3   4  parts u32   8  commit number u64
//!  16  parts x { kind u8   zero u8 x 3   bytes u32 }
//!   .  the parts' bytes, each followed by zeros up to a multiple of 8
//! ```
//! Kinds of part as in `record`; deletions come first, since they hide what earlier writes brought only.
//! Promises: what decodes is what was encoded; anything else is an error that says what is wrong.

use crate::commit::Body;
use crate::record::{PartKind, Reader, decode_deletion};
use bytes::Bytes;
use protocol::Record;
use series::Section;
use std::sync::Arc;
use types::{CommitNumber, Epoch, Origin, ProducerId, Sequence, SliceId, Version};

const FORMAT: u8 = 1;
const BODY_HEAD_BYTES: usize = 16;
const PART_HEAD_BYTES: usize = 8;

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Whatever is of a lower epoch is refused.
    Epoch(Epoch),
    /// The slice's log ends here.
    End(Version),
    /// The slice begins anew, where the manifest says so.
    Anew,
}

/// The head of a write.
pub(crate) fn encode_write(slice: SliceId, record: &Record) -> Bytes {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(&[FORMAT, u8::from(record.origin.is_some()), 0, 0]);
    out.extend_from_slice(&slice.0.to_le_bytes());
    let (version, prev) = (record.version, record.prev);
    for word in [version.epoch.0, version.sequence.0, prev.epoch.0, prev.sequence.0, record.digest] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    if let Some(origin) = record.origin {
        out.extend_from_slice(&origin.producer.0.to_le_bytes());
        out.extend_from_slice(&origin.number.to_le_bytes());
    }
    out.into()
}

fn begin<'a>(head: &'a [u8], what: &str) -> Result<(Reader<'a>, u8, SliceId), String> {
    let mut reader = Reader::new(head);
    let [format, second, ..] = reader.array::<4>()?;
    if format != FORMAT {
        return Err(format!("{what} of format {format}; this release reads {FORMAT}"));
    }
    let slice = SliceId(u32::from_le_bytes(reader.array()?));
    Ok((reader, second, slice))
}

fn version(reader: &mut Reader<'_>) -> Result<Version, String> {
    Ok(Version { epoch: Epoch(reader.u64()?), sequence: Sequence(reader.u64()?) })
}

/// A write, read back.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn decode_write(head: &[u8], body: &Bytes) -> Result<(SliceId, Record), String> {
    let (mut reader, flags, slice) = begin(head, "a led slice's write")?;
    let (version, prev) = (version(&mut reader)?, version(&mut reader)?);
    let digest = reader.u64()?;
    let origin = if flags & 1 == 1 {
        Some(Origin { producer: ProducerId(u128::from_le_bytes(reader.array()?)), number: reader.u64()? })
    } else {
        None
    };
    reader.end()?;
    Ok((slice, Record { version, prev, origin, digest, body: Bytes::copy_from_slice(body) }))
}

/// The head of a note.
pub(crate) fn encode_note(slice: SliceId, note: Note) -> Bytes {
    let (what, at) = match note {
        Note::Epoch(epoch) => (1, Version { epoch, sequence: Sequence(0) }),
        Note::End(version) => (2, version),
        Note::Anew => (3, Version::default()),
    };
    let mut out = Vec::with_capacity(24);
    out.extend_from_slice(&[FORMAT, what, 0, 0]);
    out.extend_from_slice(&slice.0.to_le_bytes());
    out.extend_from_slice(&at.epoch.0.to_le_bytes());
    out.extend_from_slice(&at.sequence.0.to_le_bytes());
    out.into()
}

/// A note, read back.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn decode_note(head: &[u8]) -> Result<(SliceId, Note), String> {
    let (mut reader, what, slice) = begin(head, "a led slice's note")?;
    let at = version(&mut reader)?;
    reader.end()?;
    let note = match what {
        1 => Note::Epoch(at.epoch),
        2 => Note::End(at),
        3 => Note::Anew,
        other => return Err(format!("a led slice's note says {other}, which this release does not know")),
    };
    Ok((slice, note))
}

/// How many bytes a body has with parts of so many.
pub(crate) fn body_bytes(parts: impl Iterator<Item = u64>) -> u64 {
    BODY_HEAD_BYTES as u64 + parts.map(|bytes| PART_HEAD_BYTES as u64 + bytes.next_multiple_of(8)).sum::<u64>()
}

/// A record's body of a slice's part of a batch.
pub(crate) fn encode_body(commit: CommitNumber, parts: &[(PartKind, Bytes)]) -> Bytes {
    let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len() + PART_HEAD_BYTES + 7).sum();
    let mut out = Vec::with_capacity(BODY_HEAD_BYTES + bytes);
    out.extend_from_slice(&[FORMAT, 0, 0, 0]);
    out.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    out.extend_from_slice(&commit.0.to_le_bytes());
    for (kind, bytes) in parts {
        out.extend_from_slice(&[*kind as u8, 0, 0, 0]);
        let bytes = u32::try_from(bytes.len()).expect("a write is below write_bytes_max, which is below 4 GiB");
        out.extend_from_slice(&bytes.to_le_bytes());
    }
    for (_, bytes) in parts {
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    out.into()
}

/// A copy of a body with another commit number. It holds on to nothing that the body was cut from, and begins where an
/// allocation does, so that its parts can be used in place.
///
/// # Errors
/// Where it is too short to be one.
pub(crate) fn numbered_body(body: &[u8], commit: CommitNumber) -> Result<Bytes, String> {
    let mut bytes = body.to_vec();
    let number = bytes.get_mut(8..BODY_HEAD_BYTES).ok_or("a body is shorter than its head")?;
    number.copy_from_slice(&commit.0.to_le_bytes());
    Ok(bytes.into())
}

/// The commit number of a record's body, which the clock of whoever led gave: microseconds since 1970, or one more than the last.
/// None where it is too short to be a body.
#[must_use]
pub fn commit_of(body: &[u8]) -> Option<CommitNumber> {
    body.get(8..BODY_HEAD_BYTES)?.try_into().ok().map(|number| CommitNumber(u64::from_le_bytes(number)))
}

/// A body, read back: its commit number and its parts, which share its memory where they can.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn decode_body(body: &Bytes, period_us: i64) -> Result<(CommitNumber, Vec<Body>), String> {
    let mut reader = Reader::new(body);
    let [format, ..] = reader.array::<4>()?;
    if format != FORMAT {
        return Err(format!("a body of format {format}; this release reads {FORMAT}"));
    }
    let count = u32::from_le_bytes(reader.array()?) as usize;
    let commit = CommitNumber(reader.u64()?);
    if count == 0 {
        return Err("a body without a part: a deletion of nothing is the least".to_owned());
    }
    if body.len() / PART_HEAD_BYTES < count {
        return Err(format!("a body names {count} parts, more than its {} bytes can hold", body.len()));
    }
    let mut at = BODY_HEAD_BYTES + count * PART_HEAD_BYTES;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let [kind, ..] = reader.array::<4>()?;
        let bytes = u32::from_le_bytes(reader.array()?) as usize;
        let end = at + bytes;
        if end.next_multiple_of(8) > body.len() {
            return Err("a part ends beyond its body".to_owned());
        }
        let kind = PartKind::of(kind).ok_or_else(|| format!("a body has a part of unknown kind {kind}"))?;
        parts.push(decode_part(kind, body.slice(at..end), period_us)?);
        at = end.next_multiple_of(8);
    }
    if at != body.len() {
        return Err(format!("{} bytes of a body belong to no part", body.len() - at));
    }
    Ok((commit, parts))
}

fn decode_part(kind: PartKind, bytes: Bytes, period_us: i64) -> Result<Body, String> {
    if kind == PartKind::Deletion {
        return Ok(Body::Deletion { deletion: Arc::new(decode_deletion(&bytes)?), bytes });
    }
    let section = Section::parse(bytes).map_err(|fault| fault.to_string())?;
    let periods = section.periods(period_us);
    match kind {
        PartKind::Held if section.is_text() => Err("it holds texts back".to_owned()),
        PartKind::Held => Ok(Body::Held { section, periods }),
        PartKind::Samples | PartKind::Deletion => Ok(Body::Samples { section, periods }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::encode_deletion;
    use series::Deletion;
    use types::{TagId, Timestamp};

    fn at(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    #[test]
    fn writes_and_notes_come_back_and_every_cut_of_them_is_refused() {
        for origin in [None, Some(Origin { producer: ProducerId(u128::MAX - 1), number: 8 })] {
            let record = Record { version: at(4, 9), prev: at(3, 8), origin, digest: 77, body: Bytes::from_static(b"body") };
            let head = encode_write(SliceId(3), &record);
            assert_eq!(decode_write(&head, &record.body), Ok((SliceId(3), record.clone())));
            for cut in 0..head.len() {
                assert!(decode_write(&head[..cut], &record.body).is_err(), "cut at {cut}");
            }
        }
        for note in [Note::Epoch(Epoch(7)), Note::End(at(2, 5)), Note::Anew] {
            let head = encode_note(SliceId(4), note);
            assert_eq!(decode_note(&head), Ok((SliceId(4), note)));
            for cut in 0..head.len() {
                assert!(decode_note(&head[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_body_comes_back_and_every_cut_of_it_is_refused() {
        let deletion = Deletion::Points(vec![(TagId(4), Timestamp(-1)), (TagId(9), Timestamp(3))]);
        let bytes = Bytes::from(encode_deletion(&deletion));
        let body = encode_body(CommitNumber(5), &[(PartKind::Deletion, bytes.clone()), (PartKind::Deletion, bytes)]);
        let (commit, parts) = decode_body(&body, 10).unwrap();
        assert_eq!((commit, parts.len()), (CommitNumber(5), 2));
        assert!(parts.iter().all(|part| matches!(part, Body::Deletion { deletion: read, .. } if **read == deletion)));
        for cut in 0..body.len() {
            assert!(decode_body(&body.slice(..cut), 10).is_err(), "cut at {cut}");
        }
    }
}
