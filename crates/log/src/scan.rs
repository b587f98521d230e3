//! Reading records out of a segment, and finding where they end and why.

use crate::Error;
use crate::format::{ALIGNMENT, KIND_END, KIND_MARK, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::format::{body_checksum, payload_checksum, record_bytes};
use crate::segment::{Segment, last_byte_set};
use bytes::Bytes;

/// How much is read at once; records share the memory of their read.
const CHUNK_BYTES: u64 = 4 << 20;

/// A record as it lies in a segment.
pub(crate) struct Raw {
    pub header: RecordHeader,
    pub end: u64,
    pub head: Bytes,
    pub body: Bytes,
}

/// What stands at a place.
pub(crate) enum Step {
    Record(Raw),
    /// No whole record.
    Bad(&'static str),
}

/// Reads records one after the other.
pub(crate) struct Cursor {
    segment: Segment,
    /// Length of the file, not more than the capacity.
    len: u64,
    chunk: Bytes,
    /// Where in the file the chunk begins.
    chunk_at: u64,
    offset: u64,
}

impl Cursor {
    pub(crate) fn new(segment: Segment) -> Result<Cursor, Error> {
        let len = segment.file.len().map_err(Error::read)?.min(segment.header.capacity);
        Ok(Cursor { segment, len, chunk: Bytes::new(), chunk_at: 0, offset: SEGMENT_HEADER_BYTES })
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The position of what comes next.
    pub(crate) fn position(&self) -> u64 {
        self.segment.header.base + self.offset
    }

    /// Goes on at a position of this segment.
    pub(crate) fn move_to(&mut self, position: u64) {
        self.offset = position - self.segment.header.base;
    }

    /// Bytes of the file from an offset on, `bytes` of them; None beyond its end.
    fn bytes(&mut self, offset: u64, bytes: u64) -> Result<Option<Bytes>, Error> {
        let Some(end) = offset.checked_add(bytes).filter(|end| *end <= self.len) else { return Ok(None) };
        if offset < self.chunk_at || end > self.chunk_at + self.chunk.len() as u64 {
            let mut chunk = vec![0; bytes.max(CHUNK_BYTES).min(self.len - offset) as usize];
            self.segment.file.read_at(offset, &mut chunk).map_err(Error::read)?;
            self.chunk = Bytes::from(chunk);
            self.chunk_at = offset;
        }
        let at = (offset - self.chunk_at) as usize;
        Ok(Some(self.chunk.slice(at..at + bytes as usize)))
    }

    /// The record at the current place, checked whole; moves behind it.
    pub(crate) fn next(&mut self) -> Result<Step, Error> {
        let position = self.position();
        let Some(bytes) = self.bytes(self.offset, RECORD_HEADER_BYTES)? else {
            return Ok(Step::Bad("the file ends before the segment does"));
        };
        let Some(header) = RecordHeader::decode(&bytes, self.segment.header.id, position) else {
            return Ok(Step::Bad("there is no whole record header"));
        };
        let Some(payload) = self.bytes(self.offset + RECORD_HEADER_BYTES, header.payload())? else {
            return Ok(Step::Bad("the record is longer than its segment"));
        };
        let head = payload.slice(..header.head_len as usize);
        let body = payload.slice(header.head_len as usize..);
        if payload_checksum(&head, body_checksum(std::iter::once(&body[..]))) != header.checksum {
            return Ok(Step::Bad("the record's checksum does not fit its bytes"));
        }
        self.offset += record_bytes(header.payload());
        Ok(Step::Record(Raw { header, end: self.position(), head, body }))
    }

    /// Moves to the next place behind the current one where a whole record stands. Whether there is one.
    pub(crate) fn seek_whole(&mut self) -> Result<bool, Error> {
        let mut offset = self.offset + ALIGNMENT;
        while let Some(bytes) = self.bytes(offset, RECORD_HEADER_BYTES)? {
            if bytes[..4] == RECORD_MAGIC {
                self.offset = offset;
                if matches!(self.next()?, Step::Record(_)) {
                    self.offset = offset;
                    return Ok(true);
                }
            }
            offset += ALIGNMENT;
        }
        Ok(false)
    }

    /// The highest `synced` that any record header from the current place on tells, whatever stands
    /// between: only headers that know their place and this log count.
    pub(crate) fn highest_synced_beyond(&mut self) -> Result<u64, Error> {
        let mut highest = 0;
        let mut offset = self.offset;
        while let Some(left) = self.len.checked_sub(offset).filter(|left| *left >= RECORD_HEADER_BYTES) {
            let Some(bytes) = self.bytes(offset, left.min(CHUNK_BYTES))? else { break };
            let mut at = 0;
            while at + RECORD_HEADER_BYTES as usize <= bytes.len() {
                if bytes[at..at + 4] == RECORD_MAGIC {
                    let position = self.segment.header.base + offset + at as u64;
                    let header = RecordHeader::decode(&bytes[at..], self.segment.header.id, position);
                    highest = highest.max(header.map_or(0, |header| header.synced));
                }
                at += ALIGNMENT as usize;
            }
            // The last header of a chunk may be cut: the next chunk begins at the first not looked at.
            offset += at as u64;
        }
        Ok(highest)
    }
}

/// Where a segment's records end, and what lies beyond.
pub(crate) struct Scan {
    /// Behind the last whole record.
    pub end: u64,
    pub records: u64,
    /// The highest `synced` that a whole record tells; the first record's position where none does.
    pub synced: u64,
    /// Whether the last record is END.
    pub ended: bool,
    /// Whether the last record is a mark that says all before it was synced.
    pub marked: bool,
    /// Why the record behind the last whole one is none.
    pub why: &'static str,
    /// The highest `synced` told beyond the end.
    pub synced_beyond: u64,
    /// Behind the last byte that is not zero; `end` where there is none.
    pub dirty_end: u64,
}

/// Reads a whole segment.
pub(crate) fn scan(segment: &Segment) -> Result<Scan, Error> {
    let mut cursor = Cursor::new(segment.clone())?;
    let start = cursor.position();
    let mut out =
        Scan { end: start, records: 0, synced: start, ended: false, marked: false, why: "", synced_beyond: 0, dirty_end: start };
    while !out.ended {
        match cursor.next()? {
            Step::Bad(why) => {
                out.why = why;
                break;
            }
            Step::Record(raw) => {
                out.end = raw.end;
                out.records += 1;
                out.synced = out.synced.max(raw.header.synced);
                out.ended = raw.header.kind == KIND_END;
                out.marked = raw.header.kind == KIND_MARK && raw.header.synced == raw.header.position;
            }
        }
    }
    out.dirty_end = out.end;
    if !out.ended {
        let base = segment.header.base;
        let last = last_byte_set(&*segment.file, out.end - base, cursor.len).map_err(Error::read)?;
        if let Some(last) = last {
            out.dirty_end = base + last + 1;
            out.synced_beyond = cursor.highest_synced_beyond()?;
        }
    }
    Ok(out)
}
