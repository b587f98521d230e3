//! The line of a store: what tells its log from that of another store that went on from the same past. And how far its log is archived.
//!
//! A store that was restored goes on from an earlier place of the log: positions are given again, to other records. So each store has
//! a line of its own, and knows of which lines, up to which places, its past is made. A restored store has no name for its line until
//! it is first backed up or archived: a copy of its directory then takes another one.
//!
//! ```text
//!   line/NNNNNNNNNN   in the store's directory: sealed JSON; the highest number that is whole counts, and the others go
//! ```
//! Promises: a note is durable once `keep` answered, and a crash meanwhile leaves the one before it.

use crate::Error;
use crate::head::{FORMAT_LONE, FileEntry};
use crate::sealed::{sealed, unsealed};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use world::{Access, Disk, DiskError};

const DIRECTORY: &str = "line";

/// A line that was left, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The line that was left.
    pub line: String,
    /// Up to this position of the samples' log it is this store's past.
    pub log: u64,
    /// The same of the tag table's log.
    pub tags: u64,
    /// No commit and no change in it is later than this moment, microseconds since 1970.
    pub moment: u64,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its name, 32 random hexadecimal digits; empty until it is used.
    pub id: String,
    /// The lines that it goes on from, oldest first.
    pub past: Vec<Fork>,
}

impl Line {
    /// The line that leaves this one at a place; it has no name yet.
    pub(crate) fn left_at(&self, log: u64, tags: u64, moment: u64) -> Line {
        // What was left behind that place is no past of the new line.
        let mut past: Vec<Fork> = self.past.iter().filter(|fork| fork.log <= log && fork.tags <= tags).cloned().collect();
        past.push(Fork { line: self.id.clone(), log, tags, moment });
        Line { id: String::new(), past }
    }
}

/// How far a line is archived without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archived {
    /// The ids of the two logs, 16 hexadecimal digits each.
    pub(crate) log_id: String,
    pub(crate) tags_id: String,
    /// Where they are archived up to.
    pub(crate) log: u64,
    pub(crate) tags: u64,
    /// All that was committed and changed up to this moment lies before that.
    pub(crate) moment: u64,
    /// The files beside the logs as they were archived last.
    pub(crate) files: Vec<FileEntry>,
}

/// What is noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    format: u32,
    pub(crate) line: Line,
    /// The number of the line's last parcel; 0 before the first. It goes on behind a gap.
    pub(crate) number: u64,
    pub(crate) archived: Option<Archived>,
}

impl Note {
    pub(crate) fn new(line: Line, archived: Option<Archived>) -> Note {
        Note { format: FORMAT_LONE, line, number: 0, archived }
    }

    /// What comes next does not go on from what was archived. The next number may have been given to a parcel of before whose
    /// answer was lost.
    pub(crate) fn leave_gap(&mut self) {
        self.archived = None;
        self.number += 1;
    }
}

fn numbers(disk: &dyn Disk, directory: &Path) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let entries = match disk.list(directory) {
        Err(fault) if fault.is_missing() => return Ok(Vec::new()),
        entries => entries?,
    };
    let number = |name: &str| name.parse().ok().map(|number| (number, directory.join(name)));
    let mut numbers: Vec<(u64, PathBuf)> = entries.iter().filter_map(|entry| number(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The note of the store in a directory; none where nothing was noted yet.
pub(crate) fn noted(disk: &dyn Disk, dir: &Path) -> Result<Option<Note>, Error> {
    for (_, path) in numbers(disk, &dir.join(DIRECTORY))?.into_iter().rev() {
        let file = disk.open(&path, Access::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_at(0, &mut bytes)?;
        match unsealed::<Note>(&path.display().to_string(), &bytes) {
            Err(Error::Damaged { .. }) => {}
            note => return note.map(Some),
        }
    }
    Ok(None)
}

/// Keeps a note in the place of the one before.
pub(crate) fn keep(disk: &dyn Disk, dir: &Path, note: &Note) -> Result<(), Error> {
    let directory = dir.join(DIRECTORY);
    disk.make_dir(&directory)?;
    let before = numbers(disk, &directory)?;
    let number = before.last().map_or(0, |(number, _)| *number) + 1;
    let file = disk.create(&directory.join(format!("{number:010}")))?;
    file.write_at(0, &[&sealed(note)?])?;
    file.sync()?;
    disk.sync_dir(&directory)?;
    disk.sync_dir(dir)?;
    for (_, path) in before {
        disk.remove(&path)?;
    }
    Ok(disk.sync_dir(&directory)?)
}

/// The note of a store that is about to be backed up or archived: its line has a name now.
pub(crate) fn named(disk: &dyn Disk, dir: &Path, random: u128) -> Result<Note, Error> {
    let mut note = noted(disk, dir)?.unwrap_or_else(|| Note::new(Line::default(), None));
    if note.line.id.is_empty() {
        note.line.id = format!("{random:032x}");
        keep(disk, dir, &note)?;
    }
    Ok(note)
}

/// The moment that was over when the store in a directory was last restored or archived: whatever it commits is later.
///
/// # Errors
/// `Error::Disk`, `Error::Format`.
pub fn moment(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, Error> {
    Ok(noted(disk, dir)?.and_then(|note| note.archived).map(|archived| archived.moment))
}
