//! Which moments a fleet's repository leads back to, and how: from a backup, along the marks that go on from it.
//!
//! ```text
//!   backup ──> mark ──> mark ──> mark        each goes on from the one before, by name
//!         a moment between two marks is reached by the later one, whose writes end before the first of each slice that is later
//! ```
//! A mark that was begun before the backup, and goes on behind it, has what the backup has already: that is passed over.
//! Promises: a way has no gap. May not know what lies in a mark's objects.

use super::mark::{self, Mark, MarkName, version};
use crate::head::{Head, list};
use crate::place::Place;
use crate::reaching::{Range, Until, told};
use crate::{Error, moments};

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
            let mut to_us = from_us;
            // Marks lie in order of where they end, so whatever goes on from one stands behind it.
            for name in self.names.iter().filter(|name| name.to_us > from_us) {
                let is_first = to_us == from_us && name.from_us <= from_us;
                if is_first || name.from_us == to_us {
                    to_us = name.to_us;
                }
            }
            ranges.push(Range { line: head.store.clone(), from_us, to_us });
        }
        ranges
    }

    /// The marks from a backup to one of them; in the error, why there is no way.
    fn walk(&self, place: &dyn Place, head: &Head, to: &MarkName) -> Result<Result<Vec<Mark>, String>, Error> {
        let from = moment(head);
        let gap = |at: u64| format!("nothing is archived of a time before {}", moments::words(at));
        let mut marks = Vec::new();
        let mut key = to.key();
        loop {
            let Some(mark) = mark::read(place, &key)? else {
                return Ok(Err(gap(marks.last().map_or(to.from_us, |mark: &Mark| mark.from_us))));
            };
            let (after, from_us) = (mark.after.clone(), mark.from_us);
            marks.push(mark);
            if from_us <= from {
                break;
            }
            if MarkName::of(&after).is_none() {
                return Ok(Err(gap(from_us)));
            }
            key = after;
        }
        marks.reverse();
        Ok(Ok(marks))
    }
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
    match until {
        Until::Latest => {
            let mut beyond = None;
            for name in later().rev() {
                match known.walk(place, head, name)? {
                    Ok(marks) => return Ok(FleetWay { head: head.clone(), marks, cut: None, beyond }),
                    Err(gap) => beyond = beyond.or(Some(gap)),
                }
            }
            Ok(FleetWay { beyond, ..FleetWay::to(head.clone()) })
        }
        Until::Moment(bound) if bound == from => Ok(FleetWay::to(head.clone())),
        Until::Moment(bound) => {
            let name = later().find(|name| name.to_us >= bound);
            let name = name.ok_or_else(|| unreachable("nothing was archived that late".to_owned()))?;
            let marks = known.walk(place, head, name)?.map_err(&unreachable)?;
            let cut = (name.to_us > bound).then_some(bound);
            if let Some(whole) = cut.and_then(|_| uncut(head, &marks)) {
                return Err(unreachable(whole));
            }
            Ok(FleetWay { head: head.clone(), marks, cut, beyond: None })
        }
    }
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
