//! Which moments a repository leads back to, and how: from a backup, along the parcels of its line and of those that left it.
//!
//! ```text
//!   line A   backup ==parcel==parcel==parcel==          restored to a moment within: the rest is another future
//!   line B                    `--parcel==parcel==       its past is A up to the fork
//! ```
//! A way follows one line from the beginning of its past to its end; parcels of a line that was left count up to the fork only.
//! Promises: a way has no gap: each parcel begins at or before the place where the one before ends. What listings tell is enough to
//! know ranges; the heads of a way are read before it is gone. May not know what lies in a log.

use crate::fleet::is_of_fleet;
use crate::head::{Head, list};
use crate::line::{Fork, Line};
use crate::parcel::{self, ARCHIVE, Parcel, ParcelName};
use crate::place::Place;
use crate::{Error, moments};

/// The moment that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Microseconds since 1970.
    Moment(u64),
    /// As far as it goes.
    Latest,
}

impl Until {
    /// The last moment that counts.
    pub(crate) fn bound(self) -> u64 {
        match self {
            Until::Moment(moment) => moment,
            Until::Latest => u64::MAX,
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Until::Moment(moment) => moments::words(moment),
            Until::Latest => "the latest moment".to_owned(),
        }
    }
}

/// Moments that can be restored: all from one to another, along one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The line's name; empty where the backup tells none.
    pub line: String,
    /// The first, microseconds since 1970.
    pub from_us: u64,
    /// The last.
    pub to_us: u64,
}

/// What a repository holds, as its listings tell.
pub(crate) struct Known {
    /// Newest first.
    heads: Vec<Head>,
    /// By line, then in order.
    names: Vec<ParcelName>,
}

/// A line's part of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) line: String,
    /// Where the line was left; none of the last one.
    pub(crate) fork: Option<Fork>,
}

/// A way to a moment.
pub struct Way {
    /// The backup that it begins with.
    pub(crate) head: Head,
    pub(crate) until: Until,
    /// Parcels, in order, and the leg of each.
    pub(crate) parcels: Vec<(Parcel, usize)>,
    pub(crate) legs: Vec<Leg>,
    /// The leg on which it ends.
    pub(crate) ends_on: usize,
    /// All that was committed up to this moment is on it.
    reached: u64,
    /// Why it goes no further, where more is archived behind a gap.
    beyond: Option<String>,
}

impl Way {
    /// To a backup, and no further.
    #[must_use]
    pub fn to(head: Head) -> Way {
        let legs = head.line.as_ref().map(legs_of).unwrap_or_default();
        let (ends_on, reached) = (legs.len().saturating_sub(1), head.last);
        Way { head, until: Until::Latest, parcels: Vec::new(), legs, ends_on, reached, beyond: None }
    }

    /// The backup that it begins with.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// All that was committed up to this moment is on it, microseconds since 1970.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// Why it goes no further, where more is archived.
    #[must_use]
    pub fn beyond(&self) -> Option<&str> {
        self.beyond.as_deref()
    }

    /// How many parcels it takes.
    #[must_use]
    pub fn parcels(&self) -> usize {
        self.parcels.len()
    }

    /// Bytes that are read for it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.head.bytes + self.parcels.iter().map(|(parcel, _)| parcel.bytes()).sum::<u64>()
    }
}

fn legs_of(line: &Line) -> Vec<Leg> {
    let past = line.past.iter().map(|fork| Leg { line: fork.line.clone(), fork: Some(fork.clone()) });
    past.chain(std::iter::once(Leg { line: line.id.clone(), fork: None })).collect()
}

/// How far the parcels of a way go, by their names.
struct Reach {
    /// Those that are needed, and the leg of each.
    names: Vec<(ParcelName, usize)>,
    /// All up to this moment is there.
    to_us: u64,
    /// The leg on which it ends.
    ends_on: usize,
    /// Why it ends there, where there is more behind.
    gap: Option<String>,
}

impl Known {
    pub(crate) fn of(place: &dyn Place) -> Result<Known, Error> {
        Ok(Known { heads: list(place)?, names: parcel::names(place, ARCHIVE)? })
    }

    /// The line that is asked for, with its past; else that of what was written last.
    fn line(&self, place: &dyn Place, asked: Option<&str>) -> Result<Option<Line>, Error> {
        let is_asked = |id: &str| asked.is_none_or(|asked| id == asked);
        let head = self.heads.iter().find(|head| head.line.as_ref().is_some_and(|line| is_asked(&line.id)));
        let name = self.names.iter().filter(|name| is_asked(&name.line)).max_by_key(|name| name.to_us);
        let head_is_newer = |name: &ParcelName| head.is_some_and(|head| head.closed >= name.to_us);
        match name {
            Some(name) if !head_is_newer(name) => Ok(Some(parcel::read(place, name)?.line)),
            _ => Ok(head.and_then(|head| head.line.clone())),
        }
    }

    /// The leg of a backup, where it lies on a way along these.
    fn leg_of(head: &Head, legs: &[Leg]) -> Option<usize> {
        let (line, (log, tags)) = (head.line.as_ref()?, head.ends()?);
        let at = legs.iter().position(|leg| leg.line == line.id)?;
        legs[at].fork.as_ref().is_none_or(|fork| log <= fork.log && tags <= fork.tags).then_some(at)
    }

    /// All up to this moment is in a backup. Of a line that was left at the same place it tells only up to the fork: the line that
    /// goes on from there has another future.
    fn closed(head: &Head, legs: &[Leg]) -> u64 {
        let fork = Known::leg_of(head, legs).and_then(|on| legs[on].fork.as_ref());
        fork.map_or(head.closed, |fork| head.closed.min(fork.moment))
    }

    /// Walks from a backup on, as far as a moment asks for.
    fn walk(&self, place: &dyn Place, head: &Head, legs: &[Leg], until: u64) -> Result<Reach, Error> {
        let begins_on = Known::leg_of(head, legs).unwrap_or(0);
        let mut reach = Reach { names: Vec::new(), to_us: Known::closed(head, legs), ends_on: begins_on, gap: None };
        let Some(mut at) = head.ends() else { return Ok(reach) };
        for (on, leg) in legs.iter().enumerate().skip(begins_on) {
            if reach.to_us >= until {
                break;
            }
            reach.ends_on = on;
            let closed = if on == begins_on { head.closed } else { 0 };
            if leg.fork.as_ref().is_none_or(|fork| at.0 < fork.log || at.1 < fork.tags) {
                self.follow(place, (on, leg), (closed, until), &mut at, &mut reach)?;
            }
            let Some(fork) = leg.fork.as_ref().filter(|_| reach.gap.is_none() && reach.to_us < until) else { break };
            if at.0 < fork.log || at.1 < fork.tags {
                reach.gap = Some(format!("line {} was left later than it is archived", leg.line));
                break;
            }
            at = (fork.log, fork.tags);
            // What the line was left with is all that there was by then, in the line that left it.
            reach.to_us = reach.to_us.max(fork.moment);
        }
        Ok(reach)
    }

    /// Follows the parcels of one line from where the logs end. What was closed long before `closed` is left out.
    fn follow(
        &self,
        place: &dyn Place,
        (on, leg): (usize, &Leg),
        (closed, until): (u64, u64),
        at: &mut (u64, u64),
        reach: &mut Reach,
    ) -> Result<(), Error> {
        let bound = leg.fork.as_ref().map_or(u64::MAX, |fork| fork.moment);
        let names: Vec<&ParcelName> = self.names.iter().filter(|name| name.line == leg.line).collect();
        let first = names.iter().rposition(|name| name.to_us <= closed).unwrap_or(0).saturating_sub(1);
        let mut last: Option<&ParcelName> = None;
        let ends = |name: &ParcelName, at: &mut (u64, u64)| -> Result<(), Error> {
            let (log, tags) = parcel::read(place, name)?.ends().unwrap_or_default();
            *at = (at.0.max(log), at.1.max(tags));
            Ok(())
        };
        for name in &names[first..] {
            // One that goes beyond the fork is the last that can lead there.
            if reach.to_us >= until || last.is_some_and(|last| last.to_us > bound) {
                break;
            }
            // A name tells that nothing is missing before it; else its head has to.
            if last.is_none_or(|last| last.to_us != name.from_us) {
                last.take().map_or(Ok(()), |last| ends(last, at))?;
                let parcel = parcel::read(place, name)?;
                if parcel.log_from > at.0 || parcel.tags_from > at.1 {
                    let (from, to) = (moments::words(reach.to_us), moments::words(name.from_us));
                    reach.gap = Some(format!("nothing is archived of the time between {from} and {to}"));
                    return Ok(());
                }
            }
            reach.names.push(((*name).clone(), on));
            reach.to_us = reach.to_us.max(name.to_us.min(bound));
            last = Some(name);
        }
        if leg.fork.is_some() {
            last.map_or(Ok(()), |last| ends(last, at))?;
        }
        Ok(())
    }

    /// The ranges along a line, or of backups that know none.
    fn ranges(&self, place: &dyn Place, line: &Line) -> Result<Vec<Range>, Error> {
        let legs = legs_of(line);
        let mut heads: Vec<&Head> = self.heads.iter().filter(|head| Known::leg_of(head, &legs).is_some()).collect();
        heads.sort_unstable_by_key(|head| (Known::closed(head, &legs), head.last));
        let mut ranges: Vec<Range> = Vec::new();
        for head in heads {
            // What an earlier backup leads to, and by, is reached from this one too.
            if head.closed == 0 || ranges.last().is_some_and(|range| Known::closed(head, &legs) <= range.to_us) {
                continue;
            }
            let to_us = self.walk(place, head, &legs, u64::MAX)?.to_us;
            match ranges.last_mut() {
                Some(range) if head.last <= range.to_us => range.to_us = range.to_us.max(to_us),
                _ if head.last <= to_us => ranges.push(Range { line: line.id.clone(), from_us: head.last, to_us }),
                _ => {}
            }
        }
        Ok(ranges)
    }

    /// All lines that end here: none of them is only a part of another one's past.
    fn lines(&self, place: &dyn Place) -> Result<Vec<Line>, Error> {
        let mut lines: Vec<Line> = Vec::new();
        for line in self.heads.iter().filter_map(|head| head.line.as_ref()) {
            if lines.iter().all(|known| known.id != line.id) {
                lines.push(line.clone());
            }
        }
        let mut last: Option<&ParcelName> = None;
        for name in &self.names {
            if last.is_none_or(|last| last.line != name.line) && lines.iter().all(|known| known.id != name.line) {
                lines.push(parcel::read(place, name)?.line);
            }
            last = Some(name);
        }
        Ok(lines)
    }
}

/// From when to when each line of a repository can be restored; the line that was written last comes last.
///
/// # Errors
/// `Error::Place`, `Error::Damaged`, `Error::Format`.
pub fn ranges(place: &dyn Place) -> Result<Vec<Range>, Error> {
    if is_of_fleet(place)? {
        return crate::fleet::reaching::ranges(place);
    }
    let known = Known::of(place)?;
    let mut out: Vec<Range> = Vec::new();
    for line in known.lines(place)? {
        out.extend(known.ranges(place, &line)?);
    }
    let newest = |line: &str| out.iter().filter(|range| range.line == line).map(|range| range.to_us).max();
    let mut sorted: Vec<(Option<u64>, Range)> = out.iter().map(|range| (newest(&range.line), range.clone())).collect();
    sorted.sort_by(|(a, x), (b, y)| (a, &x.line, x.from_us).cmp(&(b, &y.line, y.from_us)));
    Ok(sorted.into_iter().map(|(_, range)| range).collect())
}

pub(crate) fn told(ranges: &[Range]) -> String {
    if ranges.is_empty() {
        return "nothing of that line can be restored to a moment: take a backup while its log is archived".to_owned();
    }
    let one = |range: &Range| format!("{} to {}", moments::words(range.from_us), moments::words(range.to_us));
    format!("it can be restored from {}", ranges.iter().map(one).collect::<Vec<_>>().join(", and from "))
}

/// The way to a moment, along a line, or along the one that was written last.
///
/// # Errors
/// `Error::Unreachable`, which says from when to when; `Error::Damaged`, `Error::Place`, `Error::Format`.
pub fn way(place: &dyn Place, until: Until, asked: Option<&str>) -> Result<Way, Error> {
    let known = Known::of(place)?;
    let unreachable = |why: String, ranges: &[Range]| {
        Err(Error::Unreachable { place: place.name(), moment: until.words(), why, ranges: told(ranges) })
    };
    let Some(line) = known.line(place, asked)? else {
        return unreachable(
            asked.map_or("it holds no backup and nothing archived".to_owned(), |asked| format!("it has no line {asked}")),
            &[],
        );
    };
    let legs = legs_of(&line);
    let on_the_way = |head: &&Head| head.closed > 0 && head.last <= until.bound() && Known::leg_of(head, &legs).is_some();
    let ranges = || known.ranges(place, &line);
    let Some(head) = known.heads.iter().filter(on_the_way).max_by_key(|head| (Known::closed(head, &legs), head.last)) else {
        return unreachable("no backup was taken by then".to_owned(), &ranges()?);
    };
    let reach = known.walk(place, head, &legs, until.bound())?;
    if let Until::Moment(moment) = until
        && reach.to_us < moment
    {
        let why = reach.gap.unwrap_or_else(|| "nothing was archived that late".to_owned());
        return unreachable(why, &ranges()?);
    }
    let read = |(name, on): (ParcelName, usize)| Ok((parcel::read(place, &name)?, on));
    let parcels = reach.names.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let (head, ends_on, reached, beyond) = (head.clone(), reach.ends_on, reach.to_us, reach.gap);
    Ok(Way { head, until, parcels, legs, ends_on, reached, beyond })
}
