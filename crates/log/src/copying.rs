//! Copying a log elsewhere while it goes on: what a copier still needs is not cut, and its bytes are read as they lie.
//!
//! Promises: a `Hold` keeps every segment from its position on; what it reads is on disk, whole records only, and the same
//! bytes for ever; `Layer` makes of such stretches a log that opens as the one they are of, up to the position where they end.
//! What it may not know: where copies go.

use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::Log;
use crate::segment;
use crate::{Error, Known, Position};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, DiskError, File};

/// Bytes of one segment's file, as they lie there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The log's id.
    pub log: u64,
    /// The segment's base, which names its file.
    pub base: u64,
    /// The segment's capacity: the next one's base lies so far behind this one's.
    pub capacity: u64,
    /// Where in the file the bytes begin.
    pub offset: u64,
    /// The bytes; never none.
    pub bytes: Bytes,
    /// Where the next stretch begins.
    pub next: Position,
}

impl Stretch {
    /// Where its bytes begin.
    #[must_use]
    pub fn begin(&self) -> Position {
        Position(self.base + self.offset)
    }

    /// What of it lies at or behind `from` and before `to`, both places where records begin or end; None where that is nothing.
    #[must_use]
    pub fn within(mut self, from: Position, to: Position) -> Option<Stretch> {
        let (begin, len) = (self.begin().0, self.bytes.len() as u64);
        let skipped = from.0.saturating_sub(begin).min(len);
        let end = to.0.saturating_sub(begin).min(len);
        if skipped >= end {
            return None;
        }
        // Behind an END there are positions that name nothing: only what ends before it ends where it was told to.
        self.next = if end < len { to } else { self.next };
        self.bytes = self.bytes.slice(skipped as usize..end as usize);
        self.offset += skipped;
        Some(self)
    }
}

/// Keeps segments from being cut off while it lives.
pub struct Hold {
    log: Arc<Log>,
    number: u64,
}

impl Hold {
    pub(crate) fn new(log: Arc<Log>, number: u64) -> Hold {
        Hold { log, number }
    }

    /// Lets go of what lies before a position.
    pub fn advance(&self, to: Position) {
        self.log.move_hold(self.number, Some(to));
    }

    /// Where the oldest segment begins that is there.
    #[must_use]
    pub fn begin(&self) -> Position {
        Position(self.log.spans().first().map_or(0, |(base, _)| *base))
    }

    /// Where the next record will begin.
    #[must_use]
    pub fn end(&self) -> Position {
        self.log.end()
    }

    /// The log's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.log.id()
    }

    /// Where the segment begins that a position lies in, header and all: a copy that is to be laid begins there.
    #[must_use]
    pub fn segment_of(&self, position: Position) -> Position {
        let spans = self.log.spans();
        let base = spans.iter().rev().map(|(base, _)| *base).find(|base| *base <= position.0);
        Position(base.unwrap_or_else(|| spans.first().map_or(0, |(base, _)| *base)))
    }

    /// What tells a copy that begins with the segment at a position from other logs.
    #[must_use]
    pub fn known_from(&self, segment: Position) -> Known {
        Known { id: self.log.id(), first: Position(segment.0 + SEGMENT_HEADER_BYTES) }
    }

    /// Reads from a position on, at most so many bytes and within one segment; None where nothing that is on disk is left.
    ///
    /// # Errors
    /// `Error::Read`; `Error::Damaged` where the segment is not there: it was not held.
    pub fn read(&self, from: Position, bytes_max: usize) -> Result<Option<Stretch>, Error> {
        let (synced, mut at) = (self.log.synced(), from.0);
        for (base, limit) in self.log.spans() {
            if at >= limit || synced.0 <= at {
                continue;
            }
            let path = segment::path(self.log.dir(), base);
            if at < base {
                return Err(Error::Damaged { file: path, offset: 0, what: "what was to be copied before it is gone" });
            }
            let file = self.log.disk().open(&path, Access::Read).map_err(Error::read)?;
            let is_last = synced.0 < limit;
            // An older segment's file ends behind its END.
            let end = if is_last { synced.0 - base } else { file.len().map_err(Error::read)? };
            if at - base >= end {
                at = limit;
                continue;
            }
            let count = usize::try_from(end - (at - base)).unwrap_or(usize::MAX).min(bytes_max);
            let mut bytes = vec![0; count];
            file.read_at(at - base, &mut bytes).map_err(Error::read)?;
            let reached = at - base + count as u64;
            let next = if !is_last && reached == end { limit } else { base + reached };
            let (log, capacity, offset) = (self.log.id(), limit - base, at - base);
            return Ok(Some(Stretch { log, base, capacity, offset, bytes: bytes.into(), next: Position(next) }));
        }
        Ok(None)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.log.move_hold(self.number, None);
    }
}

/// Who still needs what of a log.
#[derive(Default)]
pub(crate) struct Holds {
    given: u64,
    from: BTreeMap<u64, Position>,
}

impl Holds {
    /// Another one who needs the log from there on; its number.
    pub(crate) fn add(&mut self, from: Position) -> u64 {
        self.given += 1;
        self.from.insert(self.given, from);
        self.given
    }

    /// That one needs less by now, or nothing.
    pub(crate) fn put(&mut self, number: u64, to: Option<Position>) {
        match (to, self.from.get_mut(&number)) {
            (Some(to), Some(from)) => *from = to.max(*from),
            (None, Some(_)) => drop(self.from.remove(&number)),
            (_, None) => {}
        }
    }

    /// A cut below this takes nothing from anybody.
    pub(crate) fn bound(&self, before: Position) -> Position {
        self.from.values().copied().fold(before, Position::min)
    }
}

/// Makes a log of stretches, in a directory where there is none.
pub struct Layer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    up_to: Position,
    open: Option<(SegmentHeader, Arc<dyn File>, u64)>,
    first: Option<(u64, u64)>,
    next: Option<Position>,
}

impl Layer {
    /// Begins a log that is to end at a position where a record ends.
    ///
    /// # Errors
    /// `DiskError` where the directory can't be made.
    pub fn new(disk: &Arc<dyn Disk>, dir: &Path, up_to: Position) -> Result<Layer, DiskError> {
        disk.make_dir(dir)?;
        Ok(Layer { disk: Arc::clone(disk), dir: dir.to_path_buf(), up_to, open: None, first: None, next: None })
    }

    /// Adds the next stretch; what lies at or behind the end is left out. It may begin within what was added before: there it
    /// must be the same.
    ///
    /// # Errors
    /// `Error::Damaged` where it does not follow the one before, or the first does not begin with a segment's header;
    /// `Error::Open` where the disk fails.
    pub fn push(&mut self, stretch: &Stretch) -> Result<(), Error> {
        if let Some(next) = self.next.filter(|next| *next > stretch.begin()) {
            self.must_be_same(stretch, next)?;
            return match stretch.clone().within(next, Position(u64::MAX)) {
                Some(rest) => self.add(&rest),
                None => {
                    self.next = Some(next.max(stretch.next));
                    Ok(())
                }
            };
        }
        self.add(stretch)
    }

    /// What of a stretch lies before `next` was added before.
    fn must_be_same(&self, stretch: &Stretch, next: Position) -> Result<(), Error> {
        // Older segments are whole and closed; one stretch reaches back into the newest only.
        let open = self.open.as_ref().filter(|(header, ..)| header.base == stretch.base);
        let Some((header, _, written)) = open else { return Ok(()) };
        let path = segment::path(&self.dir, stretch.base);
        // What lies beyond the end was not written.
        let twice = written.min(&(next.0 - stretch.base)).saturating_sub(stretch.offset).min(stretch.bytes.len() as u64);
        if twice == 0 {
            return Ok(());
        }
        let mut laid = vec![0; usize::try_from(twice).unwrap_or(usize::MAX)];
        let file = self.disk.open(&path, Access::Read).map_err(Error::read)?;
        file.read_at(stretch.offset, &mut laid).map_err(Error::read)?;
        if header.id == stretch.log && header.capacity == stretch.capacity && laid[..] == stretch.bytes[..laid.len()] {
            return Ok(());
        }
        Err(Error::Damaged {
            file: path,
            offset: stretch.offset,
            what: "the copy differs from the one before: it is another store's",
        })
    }

    fn add(&mut self, stretch: &Stretch) -> Result<(), Error> {
        let path = segment::path(&self.dir, stretch.base);
        let damaged = |what| Error::Damaged { file: path.clone(), offset: stretch.offset, what };
        if self.next.is_some_and(|next| next.0 != stretch.base + stretch.offset) {
            return Err(damaged("the copy of it does not follow the one before"));
        }
        let begin = stretch.base + stretch.offset;
        if begin >= self.up_to.0 {
            self.next = Some(stretch.next);
            return Ok(());
        }
        let disk = Arc::clone(&self.disk);
        let failed = |cause: DiskError| Error::Open { dir: self.dir.clone(), cause: Arc::new(cause) };
        if stretch.offset == 0 {
            let header = SegmentHeader { id: stretch.log, base: stretch.base, capacity: stretch.capacity };
            if stretch.bytes.len() < SEGMENT_HEADER_BYTES as usize || stretch.bytes[..64] != header.encode() {
                return Err(damaged("the copy of it does not begin with its header"));
            }
            self.open.take().map_or(Ok(()), |open| finish(open, false)).map_err(failed)?;
            let file = disk.create(&path).map_err(failed)?;
            self.first.get_or_insert((stretch.log, stretch.base));
            self.open = Some((header, file, 0));
        }
        let left = usize::try_from(self.up_to.0 - begin).unwrap_or(usize::MAX);
        let bytes = &stretch.bytes[..stretch.bytes.len().min(left)];
        let Some((header, file, len)) = self.open.as_mut().filter(|(header, ..)| header.base == stretch.base) else {
            return Err(damaged("the copy lacks its beginning"));
        };
        if header.id != stretch.log {
            return Err(damaged("the copy is of another log"));
        }
        file.write_at(stretch.offset, &[bytes]).map_err(failed)?;
        *len = stretch.offset + bytes.len() as u64;
        self.next = Some(stretch.next);
        Ok(())
    }

    /// Makes the log durable. Gives its id and where it begins.
    ///
    /// # Errors
    /// `Error::Damaged` where the stretches end before the end that was asked for, `Error::Open` where the disk fails.
    pub fn finish(mut self) -> Result<(u64, Position), Error> {
        let failed = |cause: DiskError| Error::Open { dir: self.dir.clone(), cause: Arc::new(cause) };
        let short = |dir: &Path| Error::Damaged { file: dir.to_path_buf(), offset: 0, what: "the copy ends before its end" };
        let Some((log, base)) = self.first else { return Err(short(&self.dir)) };
        if self.next.is_none_or(|next| next < self.up_to) {
            return Err(short(&self.dir));
        }
        self.open.take().map_or(Ok(()), |open| finish(open, true)).map_err(failed)?;
        self.disk.sync_dir(&self.dir).map_err(failed)?;
        Ok((log, Position(base + SEGMENT_HEADER_BYTES)))
    }
}

/// The newest segment has its room reserved, as if it had been written here.
fn finish((header, file, len): (SegmentHeader, Arc<dyn File>, u64), newest: bool) -> Result<(), DiskError> {
    if newest {
        file.reserve(header.capacity)?;
    } else {
        file.truncate(len)?;
    }
    file.sync()
}
