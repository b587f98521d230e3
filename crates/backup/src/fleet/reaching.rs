//! Which moments a fleet's repository leads back to, and how: from a backup, along the marks that go on from it.
//!
//! ```text
//!   backup ──> mark ──> mark ──> mark        each goes on from the one before, by name
//!         a moment between two marks is reached by the later one, whose writes end before the first of each slice that is later
//! ```
//! A mark that was begun before the backup, and goes on behind it, has what the backup has already: that is passed over.
//! Promises: a way has no gap. May not know what lies in a mark's objects.

use super::mark::{self, Mark, MarkName, version};
use super::marking::backup_names;
use crate::head::{Head, find, list};
use crate::place::Place;
use crate::reaching::{Range, Until, told};
use crate::{Error, moments};
use std::collections::BTreeSet;

/// A way to a moment.
pub struct FleetWay {
    /// The backup that it begins with.
    pub(super) head: Head,
    /// The marks, in order.
    pub(super) marks: Vec<Mark>,
    /// Of the last one only writes up to this moment count; all of them where there is none.
    pub(super) cut: Option<u64>,
    beyond: Option<String>,
}

impl FleetWay {
    /// To a backup, and no further.
    #[must_use]
    pub fn to(head: Head) -> FleetWay {
        FleetWay { head, marks: Vec::new(), cut: None, beyond: None }
    }

    /// The backup that it begins with.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many marks it takes.
    #[must_use]
    pub fn marks(&self) -> usize {
        self.marks.len()
    }

    /// The moment that it leads to, microseconds since 1970.
    #[must_use]
    pub fn reached(&self) -> u64 {
        let last = self.marks.last().map(|mark| mark.to_us);
        self.cut.or(last).unwrap_or_else(|| moment(&self.head))
    }

    /// Why it goes no further, where more is archived.
    #[must_use]
    pub fn beyond(&self) -> Option<&str> {
        self.beyond.as_deref()
    }

    /// Bytes that are read for it, at most.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.head.bytes + self.marks.iter().flat_map(|mark| &mark.files).map(|file| file.bytes).sum::<u64>()
    }
}

fn moment(head: &Head) -> u64 {
    u64::try_from(head.moment_us).unwrap_or(0)
}

/// What a repository of a fleet holds.
struct Known {
    /// Oldest first.
    heads: Vec<Head>,
    /// In order of their moments.
    names: Vec<MarkName>,
}

impl Known {
    fn of(place: &dyn Place) -> Result<Known, Error> {
        let mut heads: Vec<Head> = list(place)?.into_iter().filter(|head| head.fleet.is_some()).collect();
        heads.reverse();
        let mut names = match heads.first() {
            Some(head) => mark::names(place, &head.store)?,
            None => Vec::new(),
        };
        names.sort_by_key(|name| (name.to_us, name.number));
        Ok(Known { heads, names })
    }

    /// The moments that can be restored, as names tell it.
    fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for head in &self.heads {
            let from_us = moment(head);
            // What an earlier backup leads to, and by, is reached from this one too.
            if ranges.last().is_some_and(|range| from_us <= range.to_us) {
                continue;
            }
            let mut ends = BTreeSet::from([from_us]);
            // Marks lie in order of where they end, so whatever goes on from one stands behind it.
            for name in self.names.iter().filter(|name| name.to_us > from_us) {
                if name.from_us <= from_us || ends.contains(&name.from_us) {
                    ends.insert(name.to_us);
                }
            }
            let to_us = ends.last().copied().unwrap_or(from_us);
            ranges.push(Range { line: head.store.clone(), from_us, to_us });
        }
        ranges
    }

    /// The marks from a backup to the first of some that it leads to; in the error, why it leads to none of them. And why it does not
    /// to the ones before.
    fn walk<'a>(
        &self,
        place: &dyn Place,
        head: &Head,
        to: impl Iterator<Item = &'a MarkName>,
    ) -> Result<(Option<Vec<Mark>>, Option<String>), Error> {
        let mut gap = None;
        // Each mark is read once: what goes on from one that no way leads to is passed over.
        let mut lost = BTreeSet::new();
        for name in to {
            let (mut marks, mut key, mut from_us) = (Vec::new(), name.key(), name.to_us);
            // One that goes on from a backup of before or behind this one ends there.
            while from_us > moment(head) && MarkName::of(&key).is_some() && !lost.contains(&key) {
                let Some(mark) = mark::read(place, &key)? else { break };
                lost.insert(std::mem::replace(&mut key, mark.after.clone()));
                from_us = mark.from_us;
                marks.push(mark);
            }
            if from_us <= moment(head) {
                marks.reverse();
                return Ok((Some(marks), gap));
            }
            lost.insert(key);
            gap.get_or_insert_with(|| format!("nothing is archived of a time before {}", moments::words(from_us)));
        }
        Ok((None, gap))
    }
}

/// Whether a repository is a fleet's, as its newest backup says. Only the head of that one is read.
///
/// # Errors
/// `Error::Place`, `Error::Format`.
pub fn is_of_fleet(place: &dyn Place) -> Result<bool, Error> {
    for id in backup_names(place)? {
        match find(place, &id) {
            // One that was cut short never counted.
            Err(Error::Damaged { .. }) => {}
            head => return Ok(head?.fleet.is_some()),
        }
    }
    Ok(false)
}

/// From when to when a fleet's repository can be restored.
///
/// # Errors
/// `Error::Place`, `Error::Format`.
pub(crate) fn ranges(place: &dyn Place) -> Result<Vec<Range>, Error> {
    Ok(Known::of(place)?.ranges())
}

/// The way to a moment of a fleet.
///
/// # Errors
/// `Error::Unreachable`, which says from when to when; `Error::Damaged`, `Error::Place`, `Error::Format`.
pub fn fleet_way(place: &dyn Place, until: Until) -> Result<FleetWay, Error> {
    let known = Known::of(place)?;
    let unreachable =
        |why: String| Error::Unreachable { place: place.name(), moment: until.words(), why, ranges: told(&known.ranges()) };
    let head = known.heads.iter().rev().find(|head| moment(head) <= until.bound());
    let head = head.ok_or_else(|| unreachable("no backup was taken by then".to_owned()))?;
    let from = moment(head);
    let later = || known.names.iter().filter(|name| name.to_us > from);
    let bound = match until {
        Until::Moment(bound) if bound == from => return Ok(FleetWay::to(head.clone())),
        Until::Moment(bound) => bound,
        Until::Latest => {
            let (marks, beyond) = known.walk(place, head, later().rev())?;
            return Ok(FleetWay { head: head.clone(), marks: marks.unwrap_or_default(), cut: None, beyond });
        }
    };
    let (marks, gap) = known.walk(place, head, later().filter(|name| name.to_us >= bound))?;
    let nothing = || "nothing was archived that late".to_owned();
    let marks = marks.ok_or_else(|| unreachable(gap.unwrap_or_else(nothing)))?;
    let cut = marks.last().is_some_and(|last| last.to_us > bound).then_some(bound);
    if let Some(whole) = cut.and_then(|_| uncut(head, &marks)) {
        return Err(unreachable(whole));
    }
    Ok(FleetWay { head: head.clone(), marks, cut, beyond: None })
}

/// Why the last mark of a way can't end before its moment.
fn uncut(head: &Head, marks: &[Mark]) -> Option<String> {
    let last = marks.last()?;
    let slice = last.steps.iter().find(|step| step.after.is_none())?.slice;
    let begins = match marks {
        [.., before, _] => before.to_us,
        _ => moment(head),
    };
    Some(format!(
        "between {} and {} slice {slice} was copied as files, and not write by write; only these two moments can be reached there",
        moments::words(begins),
        moments::words(last.to_us)
    ))
}

/// Whether a slice has writes by the end of a way.
pub(super) fn is_written(way: &FleetWay, slice: u32, is_in_time: impl Fn(&Mark) -> Result<bool, Error>) -> Result<bool, Error> {
    let fleet = way.head.fleet.as_ref();
    let base = fleet.and_then(|fleet| fleet.slices.iter().find(|one| one.slice == slice)).map_or(0, |one| one.sequence);
    let Some((last, before)) = way.marks.split_last() else { return Ok(base > 0) };
    if way.cut.is_none() {
        return Ok(last.end(slice).sequence.0 > 0);
    }
    let by_then = before.last().map_or(base, |mark| mark.end(slice).sequence.0);
    let begins = last.step(slice).and_then(|step| step.after).map_or(0, |after| version(after).sequence.0);
    Ok(by_then.max(begins) > 0 || is_in_time(last)?)
}
