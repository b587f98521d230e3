//! Thinning: which samples of thinned tags are left out of a commit, decided before it is logged.
//!
//! ```text
//!   a commit's sections -> rows of thinned tags, by tag and time -> each tag's door (`door`)
//!     -> what is kept, with the rows of other tags: a section of samples
//!     -> the newest sample of each tag with a swinging door: a section of held samples
//! ```
//! A held sample takes the place of the one held before; one that is to be kept is written again, as a sample.
//! So the log says all that was decided, and whoever applies it comes to the same content, whenever it flushes.
//!
//! Shared state: `Doors`, under one lock that is taken before `order` and held until the commit has its place
//! in the log: decisions are made in the order of commits, on what was ordered before, durable or not.
//! States of a tag: not there or unsure (what is there is not known: everything is kept) -> known. A tag is
//! known once all that was ordered up to `since` is visible, so that snapshot values and held samples
//! tell the rest. `since` rises, and tags become unsure, when a commit is refused after it was ordered, when
//! something is deleted, and when a tag's compression is changed. After opening all are unsure.
//! Promises: nothing is left out on account of a sample that is not logged before, in an earlier or the same
//! record; so what is answered is as durable as what it was left out for. A row that is not understood is kept.
//! May not know: the log, tickets.

mod door;
mod rows;

use crate::commit::{Body, Part};
use crate::core::Ground;
use crate::slice::Slice;
use crate::{Datum, Deletion, Reading, TagSelection};
use door::{Door, Fate, Rule, Sample, Stretch};
use hashbrown::HashMap;
use rows::{Row, Sorted, section_of};
use rustc_hash::FxBuildHasher;
use std::sync::Arc;
use types::{CommitNumber, Compression, Kind, Kinds, TagId, TimeRange};

/// What the order of writes knows of thinned tags.
#[derive(Default)]
pub(crate) struct Doors {
    /// By slice.
    slices: Vec<HashMap<TagId, Tag, FxBuildHasher>>,
    /// What was ordered up to here may have changed what is there without a door's knowing.
    since: CommitNumber,
}

/// A thinned tag in a slice.
struct Tag {
    kind: Kind,
    compression: Compression,
    state: State,
}

enum State {
    /// Everything is kept; with the newest sample that came meanwhile.
    Unsure(Option<Sample>),
    Known(Door),
}

/// What thinning made of a commit.
pub(crate) struct Thinned {
    pub(crate) parts: Vec<Part>,
    /// Samples left out.
    pub(crate) left_out: u64,
}

/// What lies in a slice, as far as it is visible.
struct There<'a> {
    slice: &'a Slice,
    /// Whether all that was ordered up to `since` is.
    settled: bool,
}

/// What becomes of a section's rows.
#[derive(Default)]
struct Fates {
    kept: Vec<Row>,
    held: Vec<Row>,
    left_out: u64,
}

impl Doors {
    /// Whatever was ordered up to a commit is not to be relied on until it is visible: all tags are unsure.
    pub(crate) fn forget_all(&mut self, since: CommitNumber) {
        self.slices.clear();
        self.since = self.since.max(since);
    }

    /// A deletion was ordered as this commit.
    pub(crate) fn deleted(&mut self, since: CommitNumber) {
        self.since = self.since.max(since);
    }

    /// Decides on the rows of a commit that is ordered next.
    pub(crate) fn decide(&mut self, ground: &Ground, kinds: &dyn Kinds, visible: CommitNumber, parts: Vec<Part>) -> Thinned {
        let mut thinned = Thinned { parts: Vec::with_capacity(parts.len()), left_out: 0 };
        self.slices.resize_with(ground.slices.len(), HashMap::default);
        for part in parts {
            let slice = part.slice;
            match part.body {
                Body::Samples { section, periods } => {
                    let Some(sorted) = rows::sort(&section, |tag| kinds.is_thinned(tag)) else {
                        thinned.parts.push(Part { slice, body: Body::Samples { section, periods } });
                        continue;
                    };
                    let fates = self.decide_rows(ground, kinds, visible, ground.slice(slice), &sorted);
                    thinned.left_out += fates.left_out;
                    let mut samples = sorted.others;
                    samples.extend(fates.kept);
                    if section.is_ordered() {
                        samples.sort_by_key(|row| (row.tag, row.sample.time));
                    }
                    let body = |section: series::Section, held| {
                        let periods = section.periods(ground.period_us);
                        if held { Body::Held { section, periods } } else { Body::Samples { section, periods } }
                    };
                    thinned.parts.extend(section_of(&samples).map(|section| Part { slice, body: body(section, false) }));
                    thinned.parts.extend(section_of(&fates.held).map(|section| Part { slice, body: body(section, true) }));
                }
                Body::Deletion { deletion, bytes } => {
                    forget(&mut self.slices[slice.0 as usize], &deletion);
                    thinned.parts.push(Part { slice, body: Body::Deletion { deletion, bytes } });
                }
                held @ Body::Held { .. } => thinned.parts.push(Part { slice, body: held }),
            }
        }
        thinned
    }

    fn decide_rows(
        &mut self,
        ground: &Ground,
        kinds: &dyn Kinds,
        visible: CommitNumber,
        slice: &Arc<Slice>,
        sorted: &Sorted,
    ) -> Fates {
        let stretch = (!ground.rule.ignores_time()).then_some(Stretch { day_us: ground.rule.day_us, days: ground.rule.b2 });
        let there = There { slice, settled: visible >= self.since };
        let tags = &mut self.slices[slice.id.0 as usize];
        let mut fates = Fates::default();
        for rows in sorted.thinned.chunk_by(|a, b| a.tag == b.tag) {
            let id = rows[0].tag;
            let tag = tags.entry(id).or_insert_with(|| Tag {
                kind: kinds.kind(id).unwrap_or(Kind::F64),
                compression: kinds.compression(id),
                state: State::Unsure(None),
            });
            let rule = Rule { kind: tag.kind, compression: tag.compression, stretch };
            let before = tag.held();
            rows.iter().for_each(|row| tag.take(&rule, &there, *row, &mut fates));
            if let Some(sample) = tag.held()
                && before != Some(sample)
            {
                fates.held.push(Row { tag: id, sample });
            }
        }
        fates
    }
}

impl Tag {
    fn held(&self) -> Option<Sample> {
        match &self.state {
            State::Unsure(_) => None,
            State::Known(door) => door.held(),
        }
    }

    fn take(&mut self, rule: &Rule, there: &There<'_>, row: Row, fates: &mut Fates) {
        let sample = row.sample;
        if let State::Unsure(newest) = &mut self.state {
            match there.door(rule, row, *newest, fates) {
                Some(door) => self.state = State::Known(door),
                None => {
                    let older = newest.filter(|newest| newest.time > sample.time);
                    *newest = Some(older.unwrap_or(sample));
                    fates.kept.push(row);
                }
            }
            return;
        }
        let State::Known(door) = &mut self.state else { return };
        fates.add(row.tag, door.take(rule, sample));
    }

    /// Whether a change in a range of time would touch what was decided.
    fn rests_on(&self, range: TimeRange) -> bool {
        match &self.state {
            State::Unsure(_) => true,
            State::Known(door) => TimeRange { first: door.since(), last: door.newest().time }.overlaps(&range),
        }
    }
}

impl Fates {
    fn add(&mut self, tag: TagId, fate: Fate) {
        match fate {
            Fate::Kept(sample) => self.kept.push(Row { tag, sample }),
            Fate::LeftOut => self.left_out += 1,
            Fate::Open => {}
        }
    }
}

impl There<'_> {
    /// The door of a tag that was unsure, when a row is newer than all that is there. None where that is not so, or
    /// not known.
    fn door(&self, rule: &Rule, row: Row, came: Option<Sample>, fates: &mut Fates) -> Option<Door> {
        if !self.settled {
            return None;
        }
        let visible = self.slice.known_latest(row.tag)?.and_then(sample_of);
        let newest = came.filter(|came| visible.is_none_or(|visible| came.time >= visible.time)).or(visible);
        if newest.is_some_and(|newest| newest.time >= row.sample.time) {
            return None;
        }
        if rule.holds()
            && let Some(sample) = self.slice.view().buffer().held().get(row.tag).and_then(sample_of)
        {
            // How it came to be held is not known any more.
            fates.kept.push(Row { tag: row.tag, sample });
        }
        let Some(newest) = newest else {
            if rule.holds() {
                return Some(Door::first(row.sample));
            }
            fates.kept.push(row);
            return Some(Door::standing(row.sample));
        };
        let mut door = Door::standing(newest);
        fates.add(row.tag, door.take(rule, row.sample));
        Some(door)
    }
}

fn sample_of(reading: Reading) -> Option<Sample> {
    let Reading { time, value: Datum::Bits(bits), quality } = reading else { return None };
    Some(Sample { time, bits, quality })
}

/// Makes unsure what a deletion touches.
fn forget(tags: &mut HashMap<TagId, Tag, FxBuildHasher>, deletion: &Deletion) {
    match deletion {
        Deletion::Range { tags: TagSelection::All, range } => tags.retain(|_, tag| !tag.rests_on(*range)),
        Deletion::Range { tags: TagSelection::List(list), range } => {
            for id in list.iter() {
                if tags.get(id).is_some_and(|tag| tag.rests_on(*range)) {
                    tags.remove(id);
                }
            }
        }
        Deletion::Points(points) => {
            for (id, time) in points {
                if tags.get(id).is_some_and(|tag| tag.rests_on(TimeRange::at(*time))) {
                    tags.remove(id);
                }
            }
        }
    }
}
