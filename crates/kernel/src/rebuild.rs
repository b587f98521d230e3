//! A slice's manifest made anew where none is whole: from the slice's files and from what the log still holds.
//!
//! What files tell: whose they are, their rows, their interval of versions; so also the periods that they have rows
//! of, and which of two files with one (tag, time) is newer. What only the manifest knew:
//! - Which files count. A file is left out where a later one took in its versions, periods and tags (a merge whose
//!   sources were not yet removed). Whatever else is there counts; its rows were all written by somebody.
//! - The last write in files. The log is replayed for the slice from its first record on where it reaches beyond
//!   the files without a gap: then the last write of every key in it is written again last, which changes nothing.
//!   Otherwise the newest version of any file is taken.
//! - Deletions that merges had not applied yet: rows that they hid are seen again, unless the log still has them.
//! - Numbers of producers that wrote to this slice alone: a retry of theirs may be taken as new.
//! - Samples that a deadband or a swinging door still held back: the newest of such a tag, unless the log still has it.
//! - Snapshot values: they are read from the files when the slice is opened.
//!
//! Promises: reads only; every file that it names is whole at head and footer. A file without a version of its own
//! (a repair gives it none where its footer was lost) is named only where no other file may hold one of its rows.

use crate::Error;
use crate::led;
use crate::node;
use crate::record::{self, RECORD_COMMIT, RECORD_LED, RECORD_LED_NOTE};
use crate::recovery::{log_error, slice_dir};
use series::file::{NoCache, SeriesFile};
use series::{Projection, SeriesColumns};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{EpochStart, FileMeta, FileNumber, FilePlace, Manifest};
use types::{CommitNumber, Epoch, Period, Sequence, SliceId, TagId, TimeRange, Version};
use world::Disk;

/// A manifest that was made anew, not yet in force.
#[derive(Debug)]
pub struct Rebuilt {
    /// It.
    pub manifest: Manifest,
    /// Files that it does not name, and why.
    pub left_out: Vec<(PathBuf, &'static str)>,
    /// What may be lost, or come back, and why; for the operator.
    pub doubts: Vec<String>,
}

/// The slice's records in the log.
#[derive(Default)]
struct Logged {
    first: Option<Version>,
    last: Version,
    gap: bool,
    commit: CommitNumber,
}

/// Makes the manifest of a slice of the store in `dir`, which no process uses.
///
/// # Errors
/// `Error::Open` where the node file or a file can't be read, `Error::Damaged` where a file or the log is not whole.
pub fn rebuild(disk: &Arc<dyn Disk>, dir: &Path, slice: SliceId) -> Result<Rebuilt, Error> {
    let node = node::read(&**disk, dir)?;
    let node = node.ok_or_else(|| Error::Damaged(format!("{}: no copy of what the store is can be read", dir.display())))?;
    let place = slice_dir(dir, slice);
    let mut manifest = Manifest::new(node.store, slice);
    let mut left_out = Vec::new();
    let mut files = Vec::new();
    let found = storage::files_in(&**disk, &place).map_err(|fault| Error::Open(fault.to_string()))?;
    for (at, number) in &found {
        manifest.next_file = manifest.next_file.max(FileNumber(number.0 + 1));
        let Some(at) = at else { continue };
        let path = place.join(storage::file_path(*at, *number));
        let file = SeriesFile::open(&**disk, &path, Arc::new(NoCache)).map_err(Error::opening_file)?;
        let head = file.head();
        if (head.store, head.slice, head.number) == (node.store, slice, number.0) {
            let periods = periods(&file, *at, node.period_us).map_err(Error::opening_file)?;
            files.push(file.summary().meta(*number, *at, periods));
        } else {
            left_out.push((path, "it is another file under this name"));
        }
    }
    let all = files.clone();
    files.retain(|file| {
        let why = if is_superseded(file, &all) {
            "a merge took in its rows"
        } else if file.versions.1 == Version::default()
            && all.iter().any(|other| other.number != file.number && meet(file, other))
        {
            "its versions are lost with its footer, and other files may hold newer rows in the place of its own"
        } else {
            return true;
        };
        left_out.push((place.join(file.path()), why));
        false
    });
    let logged = read_log(disk, dir, slice)?;
    let newest = files.iter().map(|file| file.versions.1).max().unwrap_or_default();
    let mut doubts = Vec::new();
    manifest.flushed = flushed(newest, &logged, &mut doubts);
    manifest.commit = logged.commit;
    if newest.epoch > Epoch(0) {
        manifest.epochs.push(EpochStart { epoch: newest.epoch, after: Sequence(0) });
    }
    manifest.groups = groups(&files);
    manifest.files = files;
    if manifest.files.is_empty() {
        doubts.push("no file of it is left: of what was written to it only what the log still holds is kept".to_owned());
    }
    doubts.push("deletions that merges had not applied yet are forgotten: samples deleted since may be seen again".to_owned());
    doubts.push("the newest sample of a tag with deadband or swinging door may be lost, where it was still held back".to_owned());
    doubts.push("batches of producers that wrote to this slice alone may be taken twice when they are sent again".to_owned());
    Ok(Rebuilt { manifest, left_out, doubts })
}

/// The periods that a file has rows of, as ranges: never too few.
fn periods(file: &Arc<SeriesFile>, place: FilePlace, period_us: i64) -> Result<Vec<(Period, Period)>, series::file::Error> {
    if let FilePlace::Period(period) = place {
        return Ok(vec![(period, period)]);
    }
    let mut held = std::collections::BTreeSet::new();
    let mut entries = file.entries(TagId(0))?;
    let mut rows = SeriesColumns::default();
    while let Some(entry) = entries.next()? {
        let range = entry.range();
        let (first, last) = (Period::of(range.first, period_us), Period::of(range.last, period_us));
        if first == last {
            held.insert(first);
            continue;
        }
        rows.clear();
        file.read(&entry, TimeRange::ALL, Projection::ALL, &mut rows)?;
        held.extend(rows.times.iter().map(|time| Period::of(*time, period_us)));
    }
    let mut ranges: Vec<(Period, Period)> = Vec::new();
    for period in held {
        match ranges.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(period.0) => *last = period,
            _ => ranges.push((period, period)),
        }
    }
    Ok(ranges)
}

/// Whether later files, written of all its versions, hold its rows: for each of its periods there is one.
fn is_superseded(file: &FileMeta, all: &[FileMeta]) -> bool {
    let covers = |other: &&FileMeta| {
        other.number > file.number
            && other.level >= file.level
            && other.versions.0 <= file.versions.0
            && file.versions.1 <= other.versions.1
            && tags_meet(file, other)
    };
    let later: Vec<&FileMeta> = all.iter().filter(covers).collect();
    let inside = |first: Period, last: Period| {
        later.iter().flat_map(|other| &other.periods).any(|(from, to)| *from <= first && last <= *to)
    };
    // A range of periods may be shared out to a file each.
    let each = |first: Period, last: Period| {
        last.0.checked_sub(first.0).is_some_and(|span| span < 100_000)
            && (first.0..=last.0).all(|one| inside(Period(one), Period(one)))
    };
    !file.periods.is_empty() && file.periods.iter().all(|(first, last)| inside(*first, *last) || each(*first, *last))
}

fn tags_meet(a: &FileMeta, b: &FileMeta) -> bool {
    a.tag_range.0 <= b.tag_range.1 && b.tag_range.0 <= a.tag_range.1
}

/// Whether two files may hold rows of one (tag, time).
fn meet(a: &FileMeta, b: &FileMeta) -> bool {
    tags_meet(a, b) && a.range.overlaps(&b.range)
}

fn groups(files: &[FileMeta]) -> BTreeMap<Period, Version> {
    let mut groups: BTreeMap<Period, Version> = BTreeMap::new();
    for file in files {
        for (first, last) in &file.periods {
            for period in first.0..=last.0 {
                let group = groups.entry(Period(period)).or_default();
                *group = (*group).max(file.versions.1);
            }
        }
    }
    groups
}

/// What the log holds of a slice.
fn read_log(disk: &Arc<dyn Disk>, dir: &Path, slice: SliceId) -> Result<Logged, Error> {
    let dir = dir.join("log");
    let mut logged = Logged::default();
    if disk.list(&dir).is_err_and(|fault| fault.is_missing()) {
        return Ok(logged);
    }
    for record in log::read(disk, &dir).map_err(log_error)? {
        let record = record.map_err(log_error)?;
        let damaged = |what: String| Error::Damaged(format!("log record at position {}: {what}", record.position));
        if let RECORD_LED | RECORD_LED_NOTE = record.kind
            && led::slice_of(&record).map_err(damaged)? == slice
        {
            return Err(damaged(format!("slice {slice} is led from outside: let it be copied anew from another replica")));
        }
        if record.kind != RECORD_COMMIT {
            continue;
        }
        let (head, _) = record::decode(&record.head, &record.body).map_err(damaged)?;
        logged.commit = logged.commit.max(head.commit);
        for part in head.parts.iter().filter(|part| part.slice == slice) {
            let version = Version { epoch: head.epoch, sequence: part.sequence };
            logged.gap |= logged.first.is_some() && part.sequence.0 > logged.last.sequence.0 + 1;
            logged.first.get_or_insert(version);
            logged.last = version;
        }
    }
    Ok(logged)
}

/// The last write that is taken as lying in files.
fn flushed(newest: Version, logged: &Logged, doubts: &mut Vec<String>) -> Version {
    let Some(first) = logged.first else { return newest };
    if first.sequence.0 > newest.sequence.0 + 1 {
        let (from, to) = (newest.sequence.0 + 1, first.sequence.0 - 1);
        doubts.push(format!("writes {from} to {to} are neither in a whole file nor in the log"));
        return newest;
    }
    if first.sequence > newest.sequence {
        return newest;
    }
    if logged.gap || logged.last < newest {
        doubts.push("the log has gaps: of a flush that was cut short, rows that only the log holds are not read".to_owned());
        return newest;
    }
    Version { epoch: first.epoch, sequence: Sequence(first.sequence.0 - 1) }
}
