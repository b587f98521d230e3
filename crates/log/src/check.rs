//! Looking at a log at rest, and mending it so that everything that is whole can be read again.
//!
//! What it promises: `check` changes nothing and reads everything; `repair` changes only places that
//! `check` names, keeps every whole record at its position, and leaves a log that opens. Damaged bytes
//! become the body of a SKIP record where whole records follow, so they are still there to be looked at.
//! Neither may run while the log is open.
//!
//! What can't be mended: a log whose segments all have broken headers and whose id (without which no record can be told
//! from garbage) nobody keeps beside it, and segments of another log.

use crate::format::{
    END_BYTES, KIND_END, KIND_MARK, KIND_SKIP, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::format::{body_checksum, payload_checksum};
use crate::scan::{Cursor, Step, scan};
use crate::segment::{Opened, Segment, base_of, last_byte_set, path};
use crate::{Error, Known, Position};
use std::path::{Path, PathBuf};
use world::{Access, Disk, DiskError};

/// A segment's file, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentCheck {
    /// The file.
    pub file: PathBuf,
    /// Its base position.
    pub base: Position,
    /// Behind its last whole record.
    pub end: Position,
    /// Whole records, the log's own included.
    pub records: u64,
    /// Whether its last record is END.
    pub ended: bool,
}

/// Something that opening or reading would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes can't be read as records; 0 where that can't be told.
    pub bytes: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCheck {
    /// The log's id; None where no segment and nobody else tells it.
    pub id: Option<u64>,
    /// The segments in order.
    pub segments: Vec<SegmentCheck>,
    /// What is damaged, in order.
    pub damages: Vec<Damage>,
    /// Bytes behind the end that were never synced: no damage, the next opening cuts them off.
    pub torn_bytes: u64,
    /// Behind the last of a caller's records, as `Replay::reached` after a whole replay.
    pub reached: Position,
}

impl LogCheck {
    /// Where it begins, as `Log::first`; None where there is no log.
    #[must_use]
    pub fn first(&self) -> Option<Position> {
        self.segments.first().map(|segment| Position(segment.base.0 + SEGMENT_HEADER_BYTES))
    }

    /// Whether what was found in a directory is the log that is known, from its beginning on. (Whether a damaged header
    /// hides it is told among the damages.)
    ///
    /// # Errors
    /// `Error::Lost`, `Error::Foreign`, `Error::Headless`, as at opening.
    pub fn is_known(&self, dir: &Path, known: Known) -> Result<(), Error> {
        let oldest = self.id.zip(self.segments.first().map(|segment| segment.base.0));
        if oldest.is_none() && !self.damages.is_empty() { Ok(()) } else { known.check(dir, oldest) }
    }
}

/// Reads a whole log without changing it. `kept` is its id where somebody keeps that beside the log: it counts only
/// where no segment has a whole header, so that another log is still told from this one.
///
/// # Errors
/// `Error::Open` and `Error::Read` where the disk fails, `Error::UnknownFormat`.
pub fn check(disk: &dyn Disk, dir: &Path, kept: Option<u64>) -> Result<LogCheck, Error> {
    Work { disk, dir, kept, mend: false, out: LogCheck::default() }.run()
}

/// Mends what `check` names, and returns what there was to mend. The log opens afterwards, without
/// the records that were damaged. `kept` is as for `check`.
///
/// # Errors
/// As `check`; and `Error::Damaged` where something can't be mended: then what comes before it was.
pub fn repair(disk: &dyn Disk, dir: &Path, kept: Option<u64>) -> Result<LogCheck, Error> {
    Work { disk, dir, kept, mend: true, out: LogCheck::default() }.run()
}

struct Work<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    kept: Option<u64>,
    mend: bool,
    out: LogCheck,
}

impl Work<'_> {
    fn failed(&self) -> impl FnOnce(DiskError) -> Error + use<> {
        let dir = self.dir.to_path_buf();
        move |cause| Error::Open { dir, cause: cause.into() }
    }

    fn run(mut self) -> Result<LogCheck, Error> {
        let names = self.disk.list(self.dir).map_err(self.failed())?;
        let mut bases: Vec<u64> = names.iter().filter_map(|entry| base_of(&entry.name)).collect();
        bases.sort_unstable();
        if self.made_in_vain(&bases)? {
            bases.pop();
        }
        let id = self.find_id(&bases)?;
        let mut before: Option<Segment> = None;
        for (i, base) in bases.iter().enumerate() {
            if let Some(limit) = before.as_ref().map(Segment::limit).filter(|limit| limit != base) {
                self.missing(id, limit, *base)?;
            }
            let next = bases.get(i + 1).copied();
            let Some(segment) = self.segment(id, *base, next)? else { continue };
            self.records(&segment, next.is_none())?;
            before = Some(segment);
        }
        let ended = self.out.segments.last().is_some_and(|segment| segment.ended);
        if let Some(last) = before.filter(|_| ended) {
            self.missing(id, last.limit(), last.limit() + last.header.capacity)?;
        }
        if self.mend {
            self.disk.sync_dir(self.dir).map_err(self.failed())?;
        }
        // An id that was handed in is of no log where none lies here.
        self.out.id = id.filter(|_| !self.out.segments.is_empty());
        Ok(self.out)
    }

    /// Whether the newest segment was made, and a crash came before the one before it was ended: then
    /// it holds nothing, and opening removes it.
    fn made_in_vain(&self, bases: &[u64]) -> Result<bool, Error> {
        let [.., before, last] = bases else { return Ok(false) };
        let open = |base| match Segment::open(self.disk, self.dir, base, Access::Read) {
            Ok(opened) => Ok(Some(opened)),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let empty = match open(*last)? {
            Some(Opened::Unmade) => true,
            Some(Opened::Whole(segment)) => {
                let len = segment.file.len().map_err(Error::read)?;
                last_byte_set(&*segment.file, SEGMENT_HEADER_BYTES, len).map_err(Error::read)?.is_none()
            }
            None => false,
        };
        match open(*before)? {
            Some(Opened::Whole(segment)) if empty => Ok(!scan(&segment)?.ended),
            _ => Ok(false),
        }
    }

    /// The log's id, by the first whole header, or else by whoever keeps it.
    fn find_id(&self, bases: &[u64]) -> Result<Option<u64>, Error> {
        for base in bases {
            match Segment::open(self.disk, self.dir, *base, Access::Read) {
                Ok(Opened::Whole(segment)) => return Ok(Some(segment.header.id)),
                Ok(Opened::Unmade) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.kept)
    }

    fn note(&mut self, file: PathBuf, offset: u64, bytes: u64, what: &'static str) {
        self.out.damages.push(Damage { file, offset, bytes, what });
    }

    fn hopeless(&self, base: u64, what: &'static str) -> Error {
        Error::Damaged { file: path(self.dir, base), offset: 0, what }
    }

    /// A segment that should be there: mended by one without records.
    fn missing(&mut self, id: Option<u64>, base: u64, limit: u64) -> Result<(), Error> {
        self.note(path(self.dir, base), 0, limit.saturating_sub(base), "the segment is missing");
        let (Some(id), true) = (id, self.mend) else { return Ok(()) };
        if limit < base + SEGMENT_HEADER_BYTES + END_BYTES {
            return Err(self.hopeless(base, "segments overlap"));
        }
        let header = SegmentHeader { id, base, capacity: limit - base };
        let made = Segment::create(self.disk, self.dir, header).map_err(self.failed())?;
        let position = base + SEGMENT_HEADER_BYTES;
        if limit_is_there(self.disk, self.dir, limit) {
            self.end(&made, position)?;
        }
        Ok(())
    }

    /// Opens a segment, its header mended where it is broken. None where it was never made whole.
    fn segment(&mut self, id: Option<u64>, base: u64, next: Option<u64>) -> Result<Option<Segment>, Error> {
        let access = if self.mend { Access::Write } else { Access::Read };
        let (offset, what) = match Segment::open(self.disk, self.dir, base, access) {
            Ok(Opened::Whole(segment)) if Some(segment.header.id) == id => return Ok(Some(segment)),
            Ok(Opened::Whole(_)) => {
                self.note(path(self.dir, base), 0, 0, "it belongs to another log");
                return if self.mend { Err(self.hopeless(base, "it belongs to another log")) } else { Ok(None) };
            }
            Ok(Opened::Unmade) if next.is_none() && !self.out.segments.last().is_some_and(|last| last.ended) => return Ok(None),
            Ok(Opened::Unmade) => (0, "its header is broken"),
            Err(Error::Damaged { offset, what, .. }) => (offset, what),
            Err(error) => return Err(error),
        };
        self.note(path(self.dir, base), offset, SEGMENT_HEADER_BYTES, what);
        let Some(id) = id else {
            return if self.mend { Err(self.hopeless(base, "no segment tells the log's id")) } else { Ok(None) };
        };
        let file = self.disk.open(&path(self.dir, base), access).map_err(Error::read)?;
        let len = file.len().map_err(Error::read)?.next_multiple_of(8).max(SEGMENT_HEADER_BYTES + 2 * END_BYTES);
        let header = SegmentHeader { id, base, capacity: next.map_or(len, |next| next - base) };
        let segment = Segment { file, path: path(self.dir, base), header };
        if self.mend {
            let write = || segment.file.write_at(0, &[&header.encode()]).and_then(|()| segment.file.sync());
            write().map_err(self.failed())?;
        }
        Ok(Some(segment))
    }

    /// Reads the records of a segment, stepping over what is damaged.
    fn records(&mut self, segment: &Segment, newest: bool) -> Result<(), Error> {
        let mut cursor = Cursor::new(segment.clone())?;
        let (base, mut records, mut ended) = (segment.header.base, 0, false);
        while !ended {
            let position = cursor.position();
            let what = match cursor.next()? {
                Step::Record(raw) => {
                    records += 1;
                    ended = raw.header.kind == KIND_END;
                    if !ended && raw.header.kind != KIND_MARK {
                        self.out.reached = Position(raw.end);
                    }
                    continue;
                }
                Step::Bad(what) => what,
            };
            if newest && self.only_zeros(segment, position - base)? {
                break;
            }
            let mut ahead = Cursor::new(segment.clone())?;
            ahead.move_to(position);
            if ahead.seek_whole()? && (!newest || self.was_synced(segment, position)?) {
                self.note(segment.path.clone(), position - base, ahead.position() - position, what);
                self.skip(segment, position, ahead.position())?;
                cursor.move_to(ahead.position());
                continue;
            }
            self.tail(segment, position, newest, what)?;
            ended = !newest;
            cursor.move_to(position);
            break;
        }
        let end = Position(cursor.position());
        self.out.segments.push(SegmentCheck { file: segment.path.clone(), base: Position(base), end, records, ended });
        Ok(())
    }

    /// Whether nothing was written from an offset on: the room that a segment has reserved.
    fn only_zeros(&self, segment: &Segment, offset: u64) -> Result<bool, Error> {
        let len = segment.file.len().map_err(Error::read)?;
        Ok(last_byte_set(&*segment.file, offset.min(len), len).map_err(Error::read)?.is_none())
    }

    /// Whether a header behind the place tells that the place was on disk.
    fn was_synced(&self, segment: &Segment, position: u64) -> Result<bool, Error> {
        let mut cursor = Cursor::new(segment.clone())?;
        cursor.move_to(position);
        Ok(cursor.highest_synced_beyond()? > position)
    }

    /// No whole record that counts follows: END is missing, or this is the log's end.
    fn tail(&mut self, segment: &Segment, position: u64, newest: bool, what: &'static str) -> Result<(), Error> {
        let (offset, len) = (position - segment.header.base, segment.file.len().map_err(Error::read)?);
        let last = last_byte_set(&*segment.file, offset.min(len), len).map_err(Error::read)?;
        let bytes = last.map_or(0, |last| last + 1 - offset);
        if newest && !self.was_synced(segment, position)? {
            self.out.torn_bytes = bytes;
            return Ok(());
        }
        self.note(segment.path.clone(), offset, bytes, what);
        if self.mend && newest {
            // Nothing whole follows: the log ends here. Zeros, as a torn tail gets them.
            let zeros = vec![0; bytes as usize];
            let write = || segment.file.write_at(offset, &[&zeros]).and_then(|()| segment.file.sync());
            write().map_err(self.failed())?;
        }
        if newest { Ok(()) } else { self.end(segment, position) }
    }

    fn end(&self, segment: &Segment, position: u64) -> Result<(), Error> {
        if !self.mend {
            return Ok(());
        }
        let offset = position - segment.header.base;
        self.header(
            segment,
            RecordHeader {
                position,
                synced: position,
                head_len: 0,
                body_len: 0,
                checksum: payload_checksum(&[], body_checksum(std::iter::empty())),
                kind: KIND_END,
            },
        )?;
        let cut = || segment.file.truncate(offset + END_BYTES).and_then(|()| segment.file.sync());
        cut().map_err(self.failed())
    }

    /// Makes the bytes from `from` to `to` the body of a record that readers pass over.
    fn skip(&self, segment: &Segment, from: u64, to: u64) -> Result<(), Error> {
        if !self.mend {
            return Ok(());
        }
        // A record is 48 bytes at least, and `from` is where one began.
        assert!(to - from >= RECORD_HEADER_BYTES, "whole records do not overlap");
        let mut body = vec![0; (to - from - RECORD_HEADER_BYTES) as usize];
        segment.file.read_at(from + RECORD_HEADER_BYTES - segment.header.base, &mut body).map_err(Error::read)?;
        self.header(
            segment,
            RecordHeader {
                position: from,
                synced: from,
                head_len: 0,
                body_len: body.len() as u32,
                checksum: payload_checksum(&[], body_checksum(std::iter::once(&body[..]))),
                kind: KIND_SKIP,
            },
        )
    }

    fn header(&self, segment: &Segment, header: RecordHeader) -> Result<(), Error> {
        let offset = header.position - segment.header.base;
        let bytes = header.encode(segment.header.id);
        let write = || segment.file.write_at(offset, &[&bytes]).and_then(|()| segment.file.sync());
        write().map_err(self.failed())
    }
}

fn limit_is_there(disk: &dyn Disk, dir: &Path, base: u64) -> bool {
    disk.open(&path(dir, base), Access::Read).is_ok()
}
