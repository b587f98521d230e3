//! The bytes of a log, format 1. The full specification: `docs/formats/log.md`. Change both.
//!
//! ```text
//! segment file, named by its base position (20 decimal digits, ".log"); all numbers little endian
//!   0  8  magic "MERIDLOG"        40 16  zeros
//!   8  4  format                  56  8  CRC-64/NVME of bytes 0..56
//!  12  4  zeros                   64  .. records, one after the other, the last one END;
//!  16  8  id of the log                  in the newest segment zeros follow, up to the capacity
//!  24  8  base position
//!  32  8  capacity: the next segment's base = base + capacity
//!
//! record, at a multiple of 8
//!   0  4  magic "MLR1"            24  4  length of the head
//!   4  4  CRC-32/ISCSI of (id of  28  4  length of the body
//!         the log, bytes 8..48)   32  8  CRC-64/NVME of (head, CRC-64/NVME of the body as 8 bytes)
//!   8  8  position                40  1  kind
//!  16  8  synced: all below was   41  7  zeros
//!         on disk before this     48  .. head, body, zeros up to a multiple of 8
//! ```
//!
//! Assumed of the medium: a 512-byte sector is written as the old, the new, or old and new bytes
//! mixed, never as something else; so rewriting the sector in which synced bytes end does not
//! endanger them.

use std::fmt;

/// The layout that this release writes.
pub const FORMAT: u32 = 1;
/// The largest kind of record that callers may use.
pub const KIND_MAX: u8 = 239;
/// Reserved for later work: a transaction's part is prepared.
pub const KIND_PREPARE: u8 = 200;
/// Reserved for later work: a prepared transaction is decided.
pub const KIND_DECIDE: u8 = 201;
/// The log's own: bytes that a repair gave up, kept as its body. Readers pass over it.
pub(crate) const KIND_SKIP: u8 = 253;
/// The log's own: nothing but a witness of what was synced before it.
pub(crate) const KIND_MARK: u8 = 254;
/// The log's own: the segment's last record.
pub(crate) const KIND_END: u8 = 255;

pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
pub(crate) const RECORD_HEADER_BYTES: u64 = 48;
/// A record without head and body.
pub(crate) const END_BYTES: u64 = RECORD_HEADER_BYTES;
pub(crate) const ALIGNMENT: u64 = 8;
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"MLR1";
const SEGMENT_MAGIC: [u8; 8] = *b"MERIDLOG";

/// A place in the endless log, in bytes. Segments are spans of it; between a segment's END and the
/// next segment's first record there are positions that name nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Bytes that a record takes in the log, header and padding included.
pub(crate) fn record_bytes(payload: u64) -> u64 {
    RECORD_HEADER_BYTES + payload.next_multiple_of(ALIGNMENT)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub id: u64,
    pub base: u64,
    pub capacity: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub position: u64,
    pub synced: u64,
    pub head_len: u32,
    pub body_len: u32,
    pub checksum: u64,
    pub kind: u8,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

/// What a segment's first bytes say.
pub(crate) enum HeaderRead {
    Known(SegmentHeader),
    Unknown { format: u32 },
    Broken,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut out = [0; SEGMENT_HEADER_BYTES as usize];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.id.to_le_bytes());
        out[24..32].copy_from_slice(&self.base.to_le_bytes());
        out[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        let checksum = crc_fast::crc64_nvme(&out[..56]);
        out[56..64].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> HeaderRead {
        // Magic, format and checksum stay where they are in every format to come.
        if bytes[..8] != SEGMENT_MAGIC || u64_at(bytes, 56) != crc_fast::crc64_nvme(&bytes[..56]) {
            return HeaderRead::Broken;
        }
        match u32_at(bytes, 8) {
            FORMAT => {
                HeaderRead::Known(SegmentHeader { id: u64_at(bytes, 16), base: u64_at(bytes, 24), capacity: u64_at(bytes, 32) })
            }
            format => HeaderRead::Unknown { format },
        }
    }
}

impl RecordHeader {
    pub(crate) fn encode(&self, id: u64) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut out = [0; RECORD_HEADER_BYTES as usize];
        out[0..4].copy_from_slice(&RECORD_MAGIC);
        out[8..16].copy_from_slice(&self.position.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        out[24..28].copy_from_slice(&self.head_len.to_le_bytes());
        out[28..32].copy_from_slice(&self.body_len.to_le_bytes());
        out[32..40].copy_from_slice(&self.checksum.to_le_bytes());
        out[40] = self.kind;
        let checksum = header_checksum(id, &out);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The header that stands at `position`; None where there is none.
    pub(crate) fn decode(bytes: &[u8], id: u64, position: u64) -> Option<RecordHeader> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES as usize)?;
        if bytes[..4] != RECORD_MAGIC || u64_at(bytes, 8) != position || u32_at(bytes, 4) != header_checksum(id, bytes) {
            return None;
        }
        Some(RecordHeader {
            position,
            synced: u64_at(bytes, 16),
            head_len: u32_at(bytes, 24),
            body_len: u32_at(bytes, 28),
            checksum: u64_at(bytes, 32),
            kind: bytes[40],
        })
    }

    /// Bytes of head and body.
    pub(crate) fn payload(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.body_len)
    }
}

/// The checksum knows the log's id and the position, so that stale or foreign bytes, or a record
/// that a user stored as a value, are never taken for a record of this place.
fn header_checksum(id: u64, header: &[u8]) -> u32 {
    let mut bytes = [0; RECORD_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..].copy_from_slice(&header[8..RECORD_HEADER_BYTES as usize]);
    crc_fast::crc32_iscsi(&bytes)
}

/// The checksum of a record's payload, from its head and the checksum of its body.
pub(crate) fn payload_checksum(head: &[u8], body_checksum: u64) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    digest.update(head);
    digest.update(&body_checksum.to_le_bytes());
    digest.finalize()
}

/// The checksum of a body, in parts.
pub(crate) fn body_checksum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    parts.for_each(|part| digest.update(part));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_no_bit_of_them_is_free() {
        let header = RecordHeader { position: 640, synced: 64, head_len: 3, body_len: 90, checksum: 7, kind: 9 };
        let bytes = header.encode(5);
        assert_eq!(RecordHeader::decode(&bytes, 5, 640), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, 6, 640), None);
        assert_eq!(RecordHeader::decode(&bytes, 5, 648), None);
        assert_eq!(RecordHeader::decode(&bytes[..47], 5, 640), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, 5, 640), None, "bit {bit}");
        }
        let segment = SegmentHeader { id: 1, base: 2, capacity: 3 };
        let bytes = segment.encode();
        assert!(matches!(SegmentHeader::decode(&bytes), HeaderRead::Known(read) if read == segment));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(SegmentHeader::decode(&bad), HeaderRead::Broken), "bit {bit}");
        }
    }

    #[test]
    fn these_bytes_never_change() {
        // CRC-64/NVME and CRC-32/ISCSI of "123456789" by their catalogue.
        assert_eq!(crc_fast::crc64_nvme(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xe306_9283);
        let record = RecordHeader { position: 64, synced: 64, head_len: 1, body_len: 2, checksum: 3, kind: 4 };
        let hex: String = record.encode(0x0102_0304_0506_0708).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&hex[..8], "4d4c5231");
        assert_eq!(&hex[16..], "40000000000000004000000000000000010000000200000003000000000000000400000000000000");
    }
}
