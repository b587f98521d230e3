//! Reading a log back after opening, from the first record kept to the end found.

use crate::format::{KIND_END, KIND_MARK, KIND_SKIP};
use crate::scan::{Cursor, Step};
use crate::segment::{Opened, Segment};
use crate::{Damage, Error, Position};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk};

/// A record read back. Head and body share memory with their neighbours: copy what is kept long and small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub position: Position,
    /// Where it ends; the next record begins here or in the next segment.
    pub end: Position,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's head.
    pub head: Bytes,
    /// The caller's body, in one piece.
    pub body: Bytes,
}

/// The records of a log in order, read from disk as it goes. Ends after the first error.
pub struct Replay {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Segments not begun yet.
    bases: VecDeque<u64>,
    cursor: Option<Cursor>,
    end: Position,
    reached: Position,
    failed: bool,
}

impl Replay {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, bases: VecDeque<u64>, end: Position) -> Replay {
        Replay { disk, dir, bases, cursor: None, end, reached: Position(0), failed: false }
    }

    /// Where it ends: what is appended from now on is not part of it.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Behind the last of a caller's records that was passed so far, whether it was whole or given up by a repair;
    /// marks of the log's own don't count. 0 before the first.
    #[must_use]
    pub fn reached(&self) -> Position {
        self.reached
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        loop {
            let Some(cursor) = &mut self.cursor else {
                let Some(base) = self.bases.pop_front() else { return Ok(None) };
                self.cursor = Some(Cursor::new(self.segment(base)?)?);
                continue;
            };
            let position = cursor.position();
            if position >= self.end.0 {
                return Ok(None);
            }
            match cursor.next()? {
                Step::Bad(what) => return Err(cursor.segment().damaged(position, what)),
                Step::Record(raw) => match raw.header.kind {
                    KIND_END => self.cursor = None,
                    KIND_MARK => {}
                    KIND_SKIP => self.reached = Position(raw.end),
                    kind => {
                        let (position, end) = (Position(position), Position(raw.end));
                        self.reached = end;
                        return Ok(Some(Record { position, end, kind, head: raw.head, body: raw.body }));
                    }
                },
            }
        }
    }

    fn segment(&self, base: u64) -> Result<Segment, Error> {
        match Segment::open(&*self.disk, &self.dir, base, Access::Read)? {
            Opened::Whole(segment) => Ok(segment),
            Opened::Unmade => {
                Err(Error::Damaged { file: crate::segment::path(&self.dir, base), offset: 0, what: "its header is broken" })
            }
        }
    }
}

/// Reads the records of a log at rest without changing it. What `check` would name as damaged ends it with an error.
///
/// # Errors
/// As `check`, and `Error::Damaged` where a segment is missing or can't be told to be of this log.
pub fn read(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Replay, Error> {
    let check = crate::check(disk.as_ref(), dir, None)?;
    // What lies in a segment that is not read, or not there, would else be passed over in silence.
    let is_read = |damage: &&Damage| check.segments.iter().any(|segment| segment.file == damage.file);
    if let Some(Damage { file, offset, what, .. }) = check.damages.iter().find(|damage| !is_read(damage)) {
        return Err(Error::Damaged { file: file.clone(), offset: *offset, what });
    }
    let bases = check.segments.iter().map(|segment| segment.base.0).collect();
    let end = check.segments.last().map_or(Position(0), |segment| segment.end);
    Ok(Replay::new(Arc::clone(disk), dir.to_path_buf(), bases, end))
}

impl Iterator for Replay {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
