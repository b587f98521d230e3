//! Laying a store: its directory, made of what a backup's head names and of the parcels on a way from there; and checking both where
//! they lie.
//!
//! Promises: everything is compared with its digest as it passes; where a moment is wanted, the logs end before the first record
//! beyond it; the store is a line of its own from there on; the node file comes last, so that a directory in which laying was cut
//! short does not open.

use crate::copying::{Meter, get, get_piece, lay_file};
use crate::fleet::{is_of_fleet, mark};
use crate::head::{FileEntry, Head, LogEntry};
use crate::line::{self, Archived, Line, Note};
use crate::parcel::{self, ARCHIVE, Parcel};
use crate::place::Place;
use crate::reaching::{Until, Way};
use crate::{Error, Report, lineage};
use log::{Layer, Position};
use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;
use types::CommitNumber;
use world::Disk;

/// Makes the store of a backup in a new or empty directory.
///
/// # Errors
/// As `recover`.
pub fn lay(place: &dyn Place, head: &Head, disk: &Arc<dyn Disk>, dir: &Path, report: Report<'_>) -> Result<(), Error> {
    recover(place, &Way::to(head.clone()), disk, dir, report)
}

/// Makes the store at the end of a way in a new or empty directory.
///
/// # Errors
/// `Error::NotEmpty`, `Error::Damaged`, `Error::Place`, `Error::Disk`, `Error::Cancelled`: remove what is there then.
pub fn recover(place: &dyn Place, way: &Way, disk: &Arc<dyn Disk>, dir: &Path, report: Report<'_>) -> Result<(), Error> {
    disk.make_dir(dir)?;
    if disk.list(dir)?.iter().any(|entry| entry.name != "lost+found") {
        return Err(Error::NotEmpty(dir.display().to_string()));
    }
    let (head, meter) = (&way.head, Meter::new(way.bytes(), report));
    let beside = beside(way);
    let is_beside = |file: &&FileEntry| file.path != "node" && !file.path.contains('/');
    let (node, others): (Vec<&FileEntry>, Vec<&FileEntry>) = head.files.iter().partition(|file| file.path == "node");
    let others = others.into_iter().filter(|file| beside.is_none() || !is_beside(file)).chain(beside.into_iter().flatten());
    for file in others {
        check_path(head, &file.path)?;
        lay_file(place, file, &**disk, dir, &meter)?;
    }
    for number in 0..head.logs.len() {
        check_path(head, &head.logs[number].path)?;
        lay_log(place, (way, number), disk, dir, &meter)?;
    }
    let note = ended(way, disk, dir)?;
    line::keep(&**disk, dir, &note)?;
    lineage::note(&**disk, dir, &head.id)?;
    for file in node {
        lay_file(place, file, &**disk, dir, &meter)?;
    }
    disk.sync_dir(dir)?;
    Ok(())
}

/// The files beside the logs as they were archived last by the moment; none where those of the backup are the newest.
fn beside(way: &Way) -> Option<&Vec<FileEntry>> {
    let until = way.until.bound();
    let newer = way.parcels.iter().rev().map(|(parcel, _)| parcel);
    let newer = newer.filter(|parcel| way.head.closed < parcel.to_us && parcel.to_us <= until);
    newer.filter_map(|parcel| parcel.files.as_ref()).next()
}

/// Lays one of the two logs as far as the way has it.
fn lay_log(
    place: &dyn Place,
    (way, number): (&Way, usize),
    disk: &Arc<dyn Disk>,
    dir: &Path,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    let entry = &way.head.logs[number];
    // Of a line that was left, what lies behind the fork is another future.
    let bound = |on: usize| {
        let fork = way.legs.get(on).and_then(|leg| leg.fork.as_ref());
        fork.map_or(u64::MAX, |fork| if number == 0 { fork.log } else { fork.tags })
    };
    let ends = way.parcels.iter().filter_map(|(parcel, on)| Some(parcel.logs.get(number)?.to.min(bound(*on))));
    let to = ends.fold(entry.to, u64::max);
    let mut layer = Layer::new(disk, &dir.join(&entry.path), Position(to))?;
    let mut push = |log: &LogEntry, end: u64| -> Result<(), Error> {
        if log.id != entry.id {
            let what = format!("it is of log {}, not {}", log.id, entry.id);
            return Err(Error::Damaged { key: log.path.clone(), what });
        }
        for piece in &log.pieces {
            let Some(stretch) = get_piece(place, log, piece, meter)?.within(Position(0), Position(end.min(log.to))) else {
                continue;
            };
            layer.push(&stretch).map_err(|fault| Error::Damaged { key: piece.key.clone(), what: fault.to_string() })?;
        }
        Ok(())
    };
    push(entry, entry.to)?;
    for (parcel, on) in &way.parcels {
        if let Some(log) = parcel.logs.get(number) {
            push(log, bound(*on))?;
        }
    }
    layer.finish().map_err(|fault| Error::Damaged { key: entry.path.clone(), what: fault.to_string() })?;
    Ok(())
}

/// Ends the logs at the moment. Gives what is noted of the store: a line that goes on from there.
fn ended(way: &Way, disk: &Arc<dyn Disk>, dir: &Path) -> Result<Note, Error> {
    let (head, until) = (&way.head, way.until.bound());
    let (Some(leg), [samples, tags]) = (way.legs.get(way.ends_on), &head.logs[..]) else {
        return Ok(Note::new(Line::default(), None));
    };
    let (log, tags_at, last);
    if way.parcels.is_empty() && way.until == Until::Latest {
        (log, tags_at, last) = (samples.to, tags.to, head.last);
    } else {
        let wrong = |fault: String| Error::Damaged { key: crate::head::key(&head.id), what: fault };
        let ending = kernel::ending(disk, dir, CommitNumber(until)).map_err(|fault| wrong(fault.to_string()))?;
        let table = dir.join("catalog");
        let table_ending = catalog::ending(disk, &table, until, ending.ordinals).map_err(|fault| wrong(fault.to_string()))?;
        if ending.cuts {
            log::end_at(disk, &dir.join("log"), ending.at).map_err(|fault| wrong(fault.to_string()))?;
        }
        if table_ending.cuts {
            log::end_at(disk, &table.join("log"), table_ending.at).map_err(|fault| wrong(fault.to_string()))?;
        }
        (log, tags_at) = (ending.at.0, table_ending.at.0);
        last = ending.last.0.max(table_ending.last);
    }
    let moment = match way.until {
        Until::Moment(moment) => moment,
        Until::Latest => way.reached().max(last),
    };
    let past = way.legs[..way.ends_on].iter().filter_map(|leg| leg.fork.clone()).collect();
    let line = Line { id: leg.line.clone(), past }.left_at(log, tags_at, moment);
    let (log_id, tags_id) = (samples.id.clone(), tags.id.clone());
    Ok(Note::new(line, Some(Archived { log_id, tags_id, log, tags: tags_at, moment, files: Vec::new() })))
}

/// A path that leads out of the directory is none of ours.
fn check_path(head: &Head, path: &str) -> Result<(), Error> {
    if !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    Err(Error::Damaged { key: crate::head::key(&head.id), what: format!("it names a file outside the store: {path}") })
}

/// Keeps damage, and ends with anything else.
fn note(wrong: &mut Vec<Error>, outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(fault @ Error::Damaged { .. }) => {
            wrong.push(fault);
            Ok(())
        }
        other => other,
    }
}

/// Reads all that a backup names, and compares it with its digests. Gives everything that is wrong.
///
/// # Errors
/// `Error::Place`, `Error::Cancelled`.
pub fn verify(place: &dyn Place, head: &Head, report: Report<'_>) -> Result<Vec<Error>, Error> {
    let (meter, mut wrong) = (Meter::new(head.bytes, report), Vec::new());
    for file in &head.files {
        note(&mut wrong, get(place, file, &mut std::io::sink(), &meter))?;
    }
    for log in &head.logs {
        for piece in &log.pieces {
            note(&mut wrong, get_piece(place, log, piece, &meter).map(drop))?;
        }
    }
    Ok(wrong)
}

/// The same of a fleet's marks.
fn verify_marks(place: &dyn Place, report: Report<'_>) -> Result<(usize, Vec<Error>), Error> {
    let (mut wrong, mut marks, mut files) = (Vec::new(), 0, BTreeMap::new());
    for name in parcel::names(place, ARCHIVE)? {
        let read = mark::read(place, &name.key()).map(|mark| {
            marks += usize::from(mark.is_some());
            let named = mark.into_iter().flat_map(|mark| mark.files);
            files.extend(named.map(|file| (file.key.clone(), file)));
        });
        note(&mut wrong, read)?;
    }
    let meter = Meter::new(files.values().map(|file| file.bytes).sum(), report);
    for file in files.values() {
        note(&mut wrong, get(place, file, &mut std::io::sink(), &meter))?;
    }
    Ok((marks, wrong))
}

/// Reads all parcels, or a fleet's marks, and compares them with their digests. Gives how many there are, and everything that is wrong.
///
/// # Errors
/// `Error::Place`, `Error::Format`, `Error::Cancelled`.
pub fn verify_parcels(place: &dyn Place, report: Report<'_>) -> Result<(usize, Vec<Error>), Error> {
    if is_of_fleet(place)? {
        return verify_marks(place, report);
    }
    let (mut wrong, mut parcels) = (Vec::new(), Vec::<Parcel>::new());
    for name in parcel::names(place, ARCHIVE)? {
        note(&mut wrong, parcel::read(place, &name).map(|parcel| parcels.push(parcel)))?;
    }
    let meter = Meter::new(parcels.iter().map(Parcel::bytes).sum(), report);
    for parcel in &parcels {
        for file in parcel.files.iter().flatten() {
            note(&mut wrong, get(place, file, &mut std::io::sink(), &meter))?;
        }
        for log in &parcel.logs {
            for piece in &log.pieces {
                note(&mut wrong, get_piece(place, log, piece, &meter).map(drop))?;
            }
        }
    }
    Ok((parcels.len(), wrong))
}
