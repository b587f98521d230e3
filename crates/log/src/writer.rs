//! The writing end: the newest segment, gather writes, syncs, rolling to the next segment.
//!
//! Only jobs of `Lane::Log` touch it. Its first failed write or sync poisons it for good.

use crate::format::{ALIGNMENT, END_BYTES, KIND_END, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::group::{Item, Pending};
use crate::segment::Segment;
use crate::{Error, Position};
use std::path::PathBuf;
use std::sync::Arc;
use world::{Disk, DiskError};

pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    segment: Segment,
    /// Where the next record begins.
    end: u64,
    /// All below is on disk.
    synced: u64,
    poison: Option<Arc<DiskError>>,
}

impl Writer {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, segment_bytes: u64, segment: Segment, end: u64) -> Writer {
        Writer { disk, dir, segment_bytes, segment, end, synced: end, poison: None }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Base and limit of the newest segment.
    pub(crate) fn span(&self) -> (u64, u64) {
        (self.segment.header.base, self.segment.limit())
    }

    /// Why nothing is written any more.
    pub(crate) fn poison(&self) -> Option<Error> {
        self.poison.clone().map(Error::Poisoned)
    }

    fn poisoned(&mut self, error: DiskError) -> Error {
        let error = Arc::new(error);
        self.poison = Some(Arc::clone(&error));
        Error::Poisoned(error)
    }

    /// Bytes of records that the newest segment can still take, besides its END.
    pub(crate) fn room(&self) -> u64 {
        self.segment.limit().saturating_sub(self.end + END_BYTES)
    }

    /// Writes the records of a group, which fits, in one go. Returns where each item begins.
    pub(crate) fn write(&mut self, items: &[Item]) -> Result<Vec<Position>, Error> {
        let (mut headers, mut positions, mut at) = (Vec::new(), Vec::with_capacity(items.len()), self.end);
        for item in items {
            positions.push(Position(at));
            if let Item::Record(record) = item {
                headers.push(record.header(at, self.synced).encode(self.segment.header.id));
                at += record.bytes();
            }
        }
        assert!(at <= self.end + self.room(), "a group is cut to fit its segment");
        let records = items.iter().filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None });
        let parts = gather(records, &headers);
        if at > self.end {
            let offset = self.end - self.segment.header.base;
            self.segment.file.write_at(offset, &parts).map_err(|error| self.poisoned(error))?;
            self.end = at;
        }
        Ok(positions)
    }

    /// Makes all that was written durable. Whether there was anything to do.
    pub(crate) fn sync(&mut self) -> Result<bool, Error> {
        if let Some(error) = self.poison() {
            return Err(error);
        }
        if self.synced == self.end {
            return Ok(false);
        }
        self.segment.file.sync().map_err(|error| self.poisoned(error))?;
        self.synced = self.end;
        Ok(true)
    }

    /// Ends the newest segment and begins the next.
    ///
    /// # Errors
    /// `Error::Full` where there is no room: nothing has changed then.
    pub(crate) fn roll(&mut self) -> Result<(), Error> {
        let header = SegmentHeader { id: self.segment.header.id, base: self.segment.limit(), capacity: self.segment_bytes };
        let next = match Segment::create(&*self.disk, &self.dir, header) {
            Ok(next) => next,
            Err(error) if error.is_full() => return Err(Error::Full(Arc::new(error))),
            Err(error) => return Err(self.poisoned(error)),
        };
        let end = Pending::empty(KIND_END, Box::new(|_| ())).header(self.end, self.synced).encode(header.id);
        let offset = self.end - self.segment.header.base;
        let finish = || {
            self.segment.file.write_at(offset, &[&end])?;
            // What is left of the room goes back to the disk.
            self.segment.file.truncate(offset + END_BYTES)?;
            self.segment.file.sync()
        };
        finish().map_err(|error| self.poisoned(error))?;
        self.end = header.base + SEGMENT_HEADER_BYTES;
        self.synced = self.end;
        self.segment = next;
        Ok(())
    }
}

/// The parts of records as they lie in the log: header, head, body, padding.
fn gather<'a>(records: impl Iterator<Item = &'a Pending>, headers: &'a [[u8; RECORD_HEADER_BYTES as usize]]) -> Vec<&'a [u8]> {
    const ZEROS: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];
    let mut parts: Vec<&[u8]> = Vec::with_capacity(4 * headers.len());
    for (record, header) in records.zip(headers) {
        parts.push(header);
        parts.extend(record.parts().filter(|part| !part.is_empty()));
        let padding = record.bytes() - RECORD_HEADER_BYTES - record.payload();
        parts.push(&ZEROS[..padding as usize]);
    }
    parts
}
