//! The record of a commit in the log: one record, with a part for each slice that it touches.
//!
//! Its head, drawn (little endian); its body is the parts' bytes, end to end:
//! ```text
//!   0  format u8 (1)   1  flags u8 (bit 0: has an origin)   2  zero u16   4  parts u32
//!   8  commit number u64   16  epoch u64
//!  24  [producer u128   number u64]           only with bit 0
//!   .  parts x { slice u32   kind u8   zero u8 x 3   sequence u64   bytes u32 }
//! ```
//! Kinds of part: 1 a section of samples (as `series` lays it out), 2 a deletion, 3 a section of held
//! samples, one a tag: each takes the place of the one held before of its tag.
//! A deletion: `form u8, first i64, last i64, count u64, count x tag u64` (form 0: all tags, count 0;
//! form 1: these tags) or `form u8 (2), count u64, count x (tag u64, time i64)`.
//! Promises: what decodes is what was encoded; anything else is an error that says what is wrong.
//! It may not know what is done with a commit.

use bytes::Bytes;
use series::{Deletion, TagSelection};
use types::{CommitNumber, Epoch, Origin, ProducerId, Sequence, SliceId, TagId, TimeRange, Timestamp};

/// Kinds of records in the log: a commit of slices that the kernel numbers itself; a write and a note of a led slice
/// (`led::format`). Those of transactions over nodes are the log's `KIND_PREPARE` and `KIND_DECIDE`.
pub(crate) const RECORD_COMMIT: u8 = 1;
pub(crate) const RECORD_LED: u8 = 2;
pub(crate) const RECORD_LED_NOTE: u8 = 3;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 24;
const ORIGIN_BYTES: usize = 24;
const PART_BYTES: usize = 20;

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PartKind {
    Samples = 1,
    Deletion = 2,
    Held = 3,
}

impl PartKind {
    pub(crate) fn of(kind: u8) -> Option<PartKind> {
        [PartKind::Samples, PartKind::Deletion, PartKind::Held].into_iter().find(|known| *known as u8 == kind)
    }
}

/// A slice's part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartHead {
    pub(crate) slice: SliceId,
    pub(crate) kind: PartKind,
    pub(crate) sequence: Sequence,
    pub(crate) bytes: u32,
}

/// What stands before the parts' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitHead {
    pub(crate) commit: CommitNumber,
    pub(crate) epoch: Epoch,
    pub(crate) origin: Option<Origin>,
    pub(crate) parts: Vec<PartHead>,
}

/// The head's bytes.
pub(crate) fn encode_head(head: &CommitHead) -> Bytes {
    let mut out = Vec::with_capacity(HEAD_BYTES + ORIGIN_BYTES + head.parts.len() * PART_BYTES);
    out.extend_from_slice(&[FORMAT, u8::from(head.origin.is_some()), 0, 0]);
    out.extend_from_slice(
        &u32::try_from(head.parts.len()).expect("a commit has at most one part a kind and slice").to_le_bytes(),
    );
    out.extend_from_slice(&head.commit.0.to_le_bytes());
    out.extend_from_slice(&head.epoch.0.to_le_bytes());
    if let Some(origin) = head.origin {
        out.extend_from_slice(&origin.producer.0.to_le_bytes());
        out.extend_from_slice(&origin.number.to_le_bytes());
    }
    for part in &head.parts {
        out.extend_from_slice(&part.slice.0.to_le_bytes());
        out.extend_from_slice(&[part.kind as u8, 0, 0, 0]);
        out.extend_from_slice(&part.sequence.0.to_le_bytes());
        out.extend_from_slice(&part.bytes.to_le_bytes());
    }
    out.into()
}

/// A record's head and the parts of its body, which are not copied.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn decode(head: &[u8], body: &Bytes) -> Result<(CommitHead, Vec<Bytes>), String> {
    let mut reader = Reader::new(head);
    let [format, flags, ..] = reader.array::<4>()?;
    if format != FORMAT {
        return Err(format!("a commit of format {format}; this release reads {FORMAT}"));
    }
    let count = u32::from_le_bytes(reader.array()?) as usize;
    let commit = CommitNumber(reader.u64()?);
    let epoch = Epoch(reader.u64()?);
    let origin = if flags & 1 == 1 {
        Some(Origin { producer: ProducerId(u128::from_le_bytes(reader.array()?)), number: reader.u64()? })
    } else {
        None
    };
    if (head.len() - reader.at) / PART_BYTES < count {
        return Err(format!("a commit names {count} parts, more than its head of {} bytes can hold", head.len()));
    }
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let slice = SliceId(u32::from_le_bytes(reader.array()?));
        let [kind, ..] = reader.array::<4>()?;
        let kind = PartKind::of(kind).ok_or_else(|| format!("a commit has a part of unknown kind {kind}"))?;
        let sequence = Sequence(reader.u64()?);
        parts.push(PartHead { slice, kind, sequence, bytes: u32::from_le_bytes(reader.array()?) });
    }
    reader.end()?;
    let mut bodies = Vec::with_capacity(count);
    let mut at = 0;
    for part in &parts {
        let end = at + part.bytes as usize;
        if end > body.len() {
            return Err(format!("the part of slice {} ends beyond the record", part.slice));
        }
        bodies.push(body.slice(at..end));
        at = end;
    }
    if at != body.len() {
        return Err(format!("{} bytes of a commit belong to no part", body.len() - at));
    }
    Ok((CommitHead { commit, epoch, origin, parts }, bodies))
}

/// A deletion's bytes.
pub(crate) fn encode_deletion(deletion: &Deletion) -> Vec<u8> {
    let mut out = Vec::new();
    match deletion {
        Deletion::Range { tags, range } => {
            let list: &[TagId] = match tags {
                TagSelection::All => &[],
                TagSelection::List(list) => list,
            };
            out.push(u8::from(*tags != TagSelection::All));
            out.extend_from_slice(&range.first.0.to_le_bytes());
            out.extend_from_slice(&range.last.0.to_le_bytes());
            out.extend_from_slice(&(list.len() as u64).to_le_bytes());
            list.iter().for_each(|tag| out.extend_from_slice(&tag.0.to_le_bytes()));
        }
        Deletion::Points(points) => {
            out.push(2);
            out.extend_from_slice(&(points.len() as u64).to_le_bytes());
            for (tag, time) in points {
                out.extend_from_slice(&tag.0.to_le_bytes());
                out.extend_from_slice(&time.0.to_le_bytes());
            }
        }
    }
    out
}

/// A deletion, read back.
///
/// # Errors
/// What is wrong, as text.
pub(crate) fn decode_deletion(bytes: &[u8]) -> Result<Deletion, String> {
    let mut reader = Reader { bytes, at: 0 };
    let [form] = reader.array::<1>()?;
    let deletion = match form {
        0 | 1 => {
            let range = TimeRange { first: reader.time()?, last: reader.time()? };
            let count = reader.count(8)?;
            let tags = (0..count).map(|_| reader.u64().map(TagId)).collect::<Result<Vec<_>, _>>()?;
            if !tags.is_sorted_by(|a, b| a < b) || (form == 0 && count > 0) {
                return Err("a deletion's tags are not in order".to_owned());
            }
            let tags = if form == 0 { TagSelection::All } else { TagSelection::List(tags.into()) };
            Deletion::Range { tags, range }
        }
        2 => {
            let count = reader.count(16)?;
            Deletion::Points((0..count).map(|_| Ok((TagId(reader.u64()?), reader.time()?))).collect::<Result<_, String>>()?)
        }
        other => return Err(format!("a deletion of unknown form {other}")),
    };
    reader.end()?;
    Ok(deletion)
}

/// Reads little endian numbers from the front.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let part = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let part = part.ok_or_else(|| format!("it ends at byte {}, where {N} more were due", self.bytes.len()))?;
        self.at += N;
        Ok(*part)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, String> {
        self.array().map(|bytes| Timestamp(i64::from_le_bytes(bytes)))
    }

    /// A count of things of `each` bytes that must all still be there.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let left = (self.bytes.len() - self.at) / each;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left)
            .ok_or_else(|| format!("it names {count} entries and has room for {left}"))
    }

    /// What was not read yet.
    pub(crate) fn rest(self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn end(&self) -> Result<(), String> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(format!("{} bytes too many", self.bytes.len() - self.at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(origin: Option<Origin>) -> CommitHead {
        let part = |slice, kind, sequence, bytes| PartHead { slice: SliceId(slice), kind, sequence: Sequence(sequence), bytes };
        let parts = vec![part(3, PartKind::Samples, 9, 2), part(4, PartKind::Deletion, 1, 0), part(5, PartKind::Held, 2, 3)];
        CommitHead { commit: CommitNumber(77), epoch: Epoch(5), origin, parts }
    }

    #[test]
    fn a_commit_comes_back_and_every_cut_of_it_is_refused() {
        for origin in [None, Some(Origin { producer: ProducerId(u128::MAX - 1), number: 8 })] {
            let (bytes, body) = (encode_head(&head(origin)), Bytes::from_static(b"abcde"));
            let (read, bodies) = decode(&bytes, &body).unwrap();
            assert_eq!(read, head(origin));
            assert_eq!(bodies, [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")]);
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut], &body).is_err(), "head cut at {cut}");
            }
            for cut in 0..body.len() {
                assert!(decode(&bytes, &body.slice(..cut)).is_err(), "body cut at {cut}");
            }
        }
    }

    #[test]
    fn a_deletion_comes_back_and_every_cut_of_it_is_refused() {
        let range = TimeRange { first: Timestamp::MIN, last: Timestamp(7) };
        for deletion in [
            Deletion::Range { tags: TagSelection::All, range },
            Deletion::Range { tags: TagSelection::of(vec![TagId(9), TagId(2)]), range },
            Deletion::Points(vec![(TagId(4), Timestamp(-1)), (TagId(0), Timestamp::MAX)]),
        ] {
            let bytes = encode_deletion(&deletion);
            assert_eq!(decode_deletion(&bytes), Ok(deletion));
            for cut in 0..bytes.len() {
                assert!(decode_deletion(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
        let absurd = [&[2_u8][..], &u64::MAX.to_le_bytes()].concat();
        assert!(decode_deletion(&absurd).is_err());
    }
}
