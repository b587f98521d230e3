//! A mark, by the scheduler that has nodes copy for it: what it goes on from, the tag table where it changed, and the head.
//!
//! Promises: what a mark goes on from was read whole; a head is written once all that it names is there. Whatever fails leaves the
//! repository with the marks that it had.

use super::TablePoint;
use super::mark::{self, Mark, MarkName};
use super::steps::MarkPart;
use super::taking::{put_part, words};
use crate::copying::{Meter, put_own};
use crate::head::{FORMAT, FileEntry, Head, key};
use crate::parcel::ARCHIVE;
use crate::place::Place;
use crate::pruning::forget_parcel;
use crate::sealed::{put_sealed, read_sealed};
use crate::{Error, Report};
use protocol::tags::Part;
use std::collections::BTreeMap;
use types::{DistributionRule, Version};

/// What a mark goes on from.
#[derive(Clone, Debug)]
pub struct Before {
    /// The key of its head.
    pub key: String,
    /// Its moment, microseconds since 1970.
    pub moment_us: u64,
    /// Its number; 0 of a backup.
    pub number: u64,
    /// Of which point its tag table is.
    pub point: TablePoint,
    /// The last write of each slice.
    pub ends: BTreeMap<u32, Version>,
}

impl Before {
    fn of_mark(mark: &Mark, key: String) -> Before {
        let ends = mark.ends.iter().map(|(slice, epoch, sequence)| (*slice, mark::version((*epoch, *sequence)))).collect();
        Before { key, moment_us: mark.to_us, number: mark.number, point: mark.point.clone(), ends }
    }

    fn of_backup(head: &Head) -> Option<Before> {
        let fleet = head.fleet.as_ref()?;
        let ends = fleet.slices.iter().map(|slice| (slice.slice, slice.version())).collect();
        let moment_us = u64::try_from(head.moment_us).ok()?;
        Some(Before { key: key(&head.id), moment_us, number: 0, point: fleet.point.clone(), ends })
    }

    /// By the key of a mark's head or a backup's; none where that is gone. Nor where it was changed: what is gone on from is another
    /// one then, and restoring names it.
    fn read(place: &dyn Place, key: &str) -> Result<Option<Before>, Error> {
        let read = match MarkName::of(key) {
            Some(_) => mark::read(place, key).map(|mark| mark.map(|mark| Before::of_mark(&mark, key.to_owned()))),
            None => read_sealed(place, key).map(|head| head.as_ref().and_then(Before::of_backup)),
        };
        match read {
            Err(Error::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    /// What the next mark is called.
    #[must_use]
    pub fn next(&self, fleet: u128, moment_us: u64, random: u64) -> MarkName {
        MarkName::new(&words(fleet), self.number + 1, (self.moment_us, moment_us), random)
    }
}

/// The names of the backups that are there, newest first. Only the listing is read.
///
/// # Errors
/// `Error::Place`.
pub fn backup_names(place: &dyn Place) -> Result<Vec<String>, Error> {
    let keys = place.list("backups/")?;
    let name = |key: &String| Some(key.strip_prefix("backups/")?.strip_suffix("/head")?.to_owned());
    let mut names: Vec<String> = keys.iter().filter_map(name).filter(|name| !name.contains('/')).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// What the next mark of a fleet goes on from: what the last try did, or came to, whose key may be known; else the last mark, or the
/// newest backup. None where there is none.
///
/// # Errors
/// `Error::Foreign` where another store's backups are there; `Error::Place`, `Error::Format`.
pub fn before(place: &dyn Place, fleet: u128, known: Option<&str>) -> Result<Option<Before>, Error> {
    if let Some(last) = known.map(|key| Before::read(place, key)).transpose()?.flatten() {
        return Ok(Some(last));
    }
    let heads = crate::head::list(place)?;
    if let Some(other) = heads.iter().find(|head| head.store != words(fleet)) {
        return Err(Error::Foreign { place: place.name(), found: other.store.clone() });
    }
    let last = mark::names(place, &words(fleet))?.into_iter().max_by_key(|name| (name.to_us, name.number));
    let last = last.map(|name| Before::read(place, &name.key())).transpose()?.flatten();
    Ok(last.or_else(|| heads.first().and_then(Before::of_backup)))
}

/// What is told of a mark besides its slices.
pub struct MarkSource {
    /// Its name.
    pub name: MarkName,
    /// What it goes on from.
    pub before: Before,
    /// The fleet's rule.
    pub rule: DistributionRule,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// Of which point the tag table is.
    pub point: TablePoint,
    /// The parts of it that changed, with the hash of what they say.
    pub tags: Vec<(u128, Part)>,
    /// Files beside it, where they changed: path, and bytes.
    pub beside: Vec<(String, Vec<u8>)>,
    /// The nodes that copied something.
    pub nodes: Vec<u64>,
    /// The release that writes it.
    pub release: String,
}

/// Ends a mark: it counts then. Where it fails, what was written stays until it is forgotten (`forget_mark`).
///
/// # Errors
/// `Error::Place`, `Error::Store` where a node's part can't be read here, `Error::Cancelled`.
pub fn take_mark(place: &dyn Place, source: MarkSource, report: Report<'_>) -> Result<Before, Error> {
    let (name, nodes) = (source.name.clone(), source.nodes.clone());
    let mark = whole(place, source, report)?;
    put_sealed(place, &name.key(), &mark)?;
    // The head says it.
    nodes.iter().for_each(|node| MarkPart::forget(place, &name, *node));
    Ok(Before::of_mark(&mark, name.key()))
}

/// Takes away what a mark that failed has written, or nodes for it.
pub fn forget_mark(place: &dyn Place, name: &MarkName) {
    forget_parcel(place, name);
}

fn whole(place: &dyn Place, source: MarkSource, report: Report<'_>) -> Result<Mark, Error> {
    let MarkSource { name, before, rule, period_us, point, tags, beside, nodes, release } = source;
    let (mut files, mut steps, mut ends) = (Vec::new(), Vec::new(), before.ends);
    for node in nodes {
        let part = MarkPart::read(place, &name, node)?.ok_or_else(|| super::taking::not_here(place, node))?;
        files.extend(part.files);
        steps.extend(part.steps);
        ends.extend(part.ends.into_iter().map(|(slice, epoch, sequence)| (slice, mark::version((epoch, sequence)))));
    }
    steps.sort_unstable_by_key(|step| step.slice);
    let (own, meter) = (name.own(), Meter::new(0, report));
    for (hash, part) in tags {
        files.push(put_part(place, &own, (hash, part), &meter)?);
    }
    for (path, bytes) in beside {
        files.push(put_own(place, &own, &path, &bytes, &meter)?);
    }
    files.sort_unstable_by(|a: &FileEntry, b| a.path.cmp(&b.path));
    let new_bytes = files.iter().filter(|file| file.key.starts_with(&own)).map(|file| file.bytes).sum();
    Ok(Mark {
        format: FORMAT,
        store: name.line.clone(),
        release,
        number: name.number,
        from_us: name.from_us,
        to_us: name.to_us,
        after: before.key,
        rule: rule.into(),
        period_us,
        point,
        ends: ends.into_iter().map(|(slice, end)| (slice, end.epoch.0, end.sequence.0)).collect(),
        steps,
        files,
        new_bytes,
    })
}

/// Which mark an object belongs to that is named beyond it; none where it is no mark's.
pub fn mark_of(key: &str) -> Option<MarkName> {
    key.starts_with(ARCHIVE).then(|| MarkName::of(key)).flatten().map(|(name, _)| name)
}
