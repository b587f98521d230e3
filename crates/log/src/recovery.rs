//! Opening: which segments there are, where the log ends, and making that end durable.
//!
//! Crash reasoning. A segment is made (room, header, name: all synced) before END is written into
//! its predecessor, and END is synced before the first record is written behind it. So:
//! - only the newest segment can have an unmade header, and only while its predecessor has no END;
//! - a torn tail can only lie in the newest segment that has records, or (END itself torn) in its
//!   predecessor while the newest has none.
//!
//! Each record tells up to where the log was synced when its group was written. A bad record below
//! what any record behind it tells was synced once: that is damage, and refused. Otherwise it was
//! never synced, so never answered: a torn tail, cut off.
//!
//! What is kept beyond the last known sync is written again before it is synced: after a failed
//! fsync the system holds such pages as clean, so that syncing alone would prove nothing. What is
//! cut off is overwritten with zeros, so that no record of the torn tail can ever follow a new one.

use crate::format::{END_BYTES, KIND_MARK, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::group::Pending;
use crate::scan::{Scan, scan};
use crate::segment::{Opened, Segment, base_of, path};
use crate::{Error, Known, Options, Position};
use std::path::Path;
use std::sync::Arc;
use world::{Access, Disk, DiskError, World};

const CHUNK_BYTES: u64 = 1 << 20;

/// A log as it was found and mended.
pub(crate) struct Recovered {
    /// Base and limit of each segment, oldest first; the last one is `current`.
    pub spans: Vec<(u64, u64)>,
    pub current: Segment,
    pub end: u64,
}

/// Opens the log that is known, or else whatever log there is, making one where there is none.
pub(crate) fn recover(world: &World, dir: &Path, options: &Options, known: Option<Known>) -> Result<Recovered, Error> {
    let disk = &*world.disk;
    let opening = |cause: DiskError| Error::Open { dir: dir.to_path_buf(), cause: Arc::new(cause) };
    if known.is_none() {
        disk.make_dir(dir).map_err(opening)?;
    }
    let mut segments = segments(disk, dir, known)?;
    if segments.is_empty() {
        let header = SegmentHeader { id: world.random.next_u64(), base: 0, capacity: options.segment_bytes };
        let made = Segment::create(disk, dir, header);
        let full = |error: DiskError| if error.is_full() { Error::Full(Arc::new(error)) } else { opening(error) };
        segments.push(made.map_err(full)?);
    }
    let found = find_tail(disk, dir, &mut segments)?;
    let current = segments.pop().expect("there was one, or one was made; the tail lies in one that is kept");
    let spans = segments.iter().chain([&current]).map(|segment| (segment.header.base, segment.limit())).collect();
    let end = mend(&current, &found).map_err(opening)?;
    disk.sync_dir(dir).map_err(opening)?;
    Ok(Recovered { spans, current, end })
}

/// The segments in order, with whole headers, without gaps, of the log that is known where one is.
/// Removes a newest one that was never made whole, once the others are what they should be.
fn segments(disk: &dyn Disk, dir: &Path, known: Option<Known>) -> Result<Vec<Segment>, Error> {
    let opening = |cause: DiskError| Error::Open { dir: dir.to_path_buf(), cause: Arc::new(cause) };
    let names = match disk.list(dir) {
        Err(error) if error.is_missing() => Vec::new(),
        names => names.map_err(opening)?,
    };
    let mut bases: Vec<u64> = names.iter().filter(|entry| !entry.directory).filter_map(|entry| base_of(&entry.name)).collect();
    bases.sort_unstable();
    let mut out: Vec<Segment> = Vec::with_capacity(bases.len());
    let mut unmade = None;
    for (i, base) in bases.iter().enumerate() {
        match Segment::open(disk, dir, *base, Access::Write)? {
            Opened::Whole(segment) => out.push(segment),
            Opened::Unmade if i + 1 == bases.len() => unmade = Some(path(dir, *base)),
            Opened::Unmade => {
                return Err(Error::Damaged { file: path(dir, *base), offset: 0, what: "its header is broken" });
            }
        }
    }
    for pair in out.windows(2) {
        if pair[0].header.id != pair[1].header.id {
            return Err(pair[1].damaged(pair[1].header.base, "it belongs to another log"));
        }
        if pair[0].limit() != pair[1].header.base {
            return Err(Error::Damaged { file: path(dir, pair[0].limit()), offset: 0, what: "the segment is missing" });
        }
    }
    known.map_or(Ok(()), |known| known.check(dir, out.first().map(|first| (first.header.id, first.header.base))))?;
    if let Some(unmade) = unmade {
        disk.remove(&unmade).map_err(opening)?;
        disk.sync_dir(dir).map_err(opening)?;
    }
    Ok(out)
}

impl Known {
    /// Whether it can be the log in a directory whose oldest segment has this id and base.
    ///
    /// # Errors
    /// `Error::Lost`, `Error::Foreign`, `Error::Headless`.
    pub(crate) fn check(self, dir: &Path, oldest: Option<(u64, u64)>) -> Result<(), Error> {
        let (dir, Known { id, first }) = (dir.to_path_buf(), self);
        let Some((found_id, base)) = oldest else { return Err(Error::Lost { dir, id }) };
        let found = Position(base + SEGMENT_HEADER_BYTES);
        if found_id != id {
            return Err(Error::Foreign { dir, id, found: found_id });
        }
        if base > 0 && found > first { Err(Error::Headless { dir, first, found }) } else { Ok(()) }
    }
}

/// Finds where the log ends, and leaves in `segments` only those that are kept: the last one is
/// where appending goes on.
fn find_tail(disk: &dyn Disk, dir: &Path, segments: &mut Vec<Segment>) -> Result<Scan, Error> {
    let last = segments.last().expect("the caller made one where there was none");
    let found = examine(last)?;
    if found.ended {
        return Err(Error::Damaged { file: path(dir, last.limit()), offset: 0, what: "the segment is missing" });
    }
    if found.records > 0 || segments.len() == 1 {
        return Ok(found);
    }
    let before = &segments[segments.len() - 2];
    let found_before = examine(before)?;
    if found_before.ended {
        // END may be written and not synced, where no record behind it tells.
        settle(before, &found_before).map_err(|cause| Error::Open { dir: dir.to_path_buf(), cause: Arc::new(cause) })?;
        return Ok(found);
    }
    if found.dirty_end > found.end {
        return Err(before.damaged(found_before.end, found_before.why));
    }
    // END was never synced: the newest segment was made in vain.
    let opening = |cause: DiskError| Error::Open { dir: dir.to_path_buf(), cause: Arc::new(cause) };
    disk.remove(&last.path).map_err(opening)?;
    disk.sync_dir(dir).map_err(opening)?;
    segments.pop();
    Ok(found_before)
}

/// Reads a segment; an error where it ends below what was synced.
fn examine(segment: &Segment) -> Result<Scan, Error> {
    let found = scan(segment)?;
    if found.synced_beyond > found.end {
        return Err(segment.damaged(found.end, found.why));
    }
    Ok(found)
}

/// Makes what was kept durable, what was cut off zeros, and marks the end. Returns the new end. The header is
/// among what is written again: of a log whose making failed at its sync only the system's memory may hold it.
fn mend(segment: &Segment, found: &Scan) -> Result<u64, DiskError> {
    match segment.file.reserve(segment.header.capacity) {
        // It was reserved when it was made; a copy of it may not be. Without room appends fail later.
        Err(error) if !error.is_full() => return Err(error),
        _ => {}
    }
    segment.file.write_at(0, &[&segment.header.encode()])?;
    settle(segment, found)?;
    let room = segment.limit() - found.end;
    if found.records == 0 || found.marked || room < 2 * END_BYTES {
        return Ok(found.end);
    }
    let mark = Pending::empty(KIND_MARK, Box::new(|_| ())).header(found.end, found.end).encode(segment.header.id);
    segment.file.write_at(found.end - segment.header.base, &[&mark])?;
    segment.file.sync()?;
    Ok(found.end + END_BYTES)
}

fn settle(segment: &Segment, found: &Scan) -> Result<(), DiskError> {
    let base = segment.header.base;
    let from = found.synced.max(base + SEGMENT_HEADER_BYTES).min(found.end);
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    for start in (from..found.end).step_by(chunk.len()) {
        let into = &mut chunk[..(found.end - start).min(CHUNK_BYTES) as usize];
        segment.file.read_at(start - base, into)?;
        segment.file.write_at(start - base, &[into])?;
    }
    chunk.fill(0);
    for start in (found.end..found.dirty_end).step_by(chunk.len()) {
        let zeros = &chunk[..(found.dirty_end - start).min(CHUNK_BYTES) as usize];
        segment.file.write_at(start - base, &[zeros])?;
    }
    segment.file.sync()
}
