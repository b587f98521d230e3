//! Thinning: which samples of thinned tags are left out of a commit, decided before it is logged.
//!
//! ```text
//!   a commit's sections -> rows of thinned tags, by tag and time -> each tag's door (`door`)
//!     -> what is kept, with the rows of other tags: a section of samples
//!     -> the newest sample of each thinned tag: a section of held samples
//! ```
//! A held sample takes the place of the one held before; one that is to be kept is written again, as a sample.
//! So the log says all that was decided, and whoever applies it comes to the same content, whenever it flushes.
//!
//! Shared state: `Doors`, of slices that are numbered here, under one lock that is taken before `order` and held until the
//! commit has its place in the log: decisions are made in the order of commits, on what was ordered before, durable or not.
//! Of a led slice whoever leads it decides, record by record (`led::deciding`), with the same `SliceDoors`.
//! States of a tag: not there or unsure (what is there is not known: everything is kept) -> known. A tag is
//! known once all that was ordered up to `since` is visible, so that snapshot values and held samples
//! tell the rest. `since` rises, and tags become unsure, when a commit is refused after it was ordered, when
//! something is deleted, and when a tag's compression is changed. After opening all are unsure.
//! Promises: nothing is left out on account of a sample that is not logged before, in an earlier or the same
//! record; so what is answered is as durable as what it was left out for. The newest sample is always there.
//! May not know: tickets, and of the log only how often it refused.

mod door;
mod rows;

use crate::commit::{Body, Part};
use crate::core::Ground;
use crate::slice::Slice;
use crate::{Datum, Deletion, Reading, TagSelection};
use door::{Door, Fate, Rule, Sample, Stretch};
use hashbrown::HashMap;
use log::Refusals;
use rows::{Row, Sorted, section_of};
use rustc_hash::FxBuildHasher;
use series::Section;
use types::{CommitNumber, Compression, DistributionRule, Kind, Kinds, TagId, TimeRange, Timestamp};

/// What thinning may add for a row: the one that was held of its tag, as a sample, its own as a held one, and what
/// all rows of a section grow by where one of them is far off in time (they have 16 to 25 bytes).
pub(crate) const THINNED_ROW_BYTES: u64 = 2 * 25 + 9;
/// What it may add for a slice: a section of held samples.
pub(crate) const THINNED_PART_BYTES: u64 = 512;

/// What the order of writes knows of thinned tags, in slices that are numbered here.
#[derive(Default)]
pub(crate) struct Doors {
    /// By slice.
    slices: Vec<SliceDoors>,
    /// What was ordered up to here may have changed what is there without a door's knowing.
    since: CommitNumber,
    /// What the log told of the first commit that was decided on since all was forgotten: where it refused
    /// anything since then, what is known may rest on that.
    told: Option<Refusals>,
    /// `Kinds::compressions` as of the tags that are known.
    compressions: Option<u64>,
}

/// What the order of a slice's writes knows of its thinned tags.
#[derive(Default)]
pub(crate) struct SliceDoors {
    tags: HashMap<TagId, Tag, FxBuildHasher>,
}

/// A thinned tag in a slice.
struct Tag {
    kind: Kind,
    compression: Compression,
    state: State,
}

enum State {
    /// Everything is kept.
    Unsure(Unsure),
    Known(Door),
}

/// What came of a tag while it was unsure.
#[derive(Default)]
struct Unsure {
    /// The newest sample that came.
    newest: Option<Sample>,
    /// When the samples lie that came before it was known which one is held: as many as were on their way then.
    times: Vec<Timestamp>,
    /// The sample that is held, if any, once that is known.
    held: Option<Option<Sample>>,
}

/// What lies in a slice, as far as it is visible, and how its tags are thinned.
pub(crate) struct There<'a> {
    pub(crate) slice: &'a Slice,
    pub(crate) kinds: &'a dyn Kinds,
    pub(crate) rule: DistributionRule,
    /// Whether all is visible that doors do not know of.
    pub(crate) settled: bool,
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
        self.told = None;
    }

    /// Takes note of `Kinds::compressions`; whether they are others than those of the tags that are known.
    pub(crate) fn heed(&mut self, compressions: u64) -> bool {
        self.compressions.replace(compressions) != Some(compressions)
    }

    /// What the log must not have refused since for anything that is decided now to stand.
    pub(crate) fn told(&self) -> Option<Refusals> {
        self.told
    }

    /// What was decided last is ordered: the log told this of it.
    pub(crate) fn ordered(&mut self, told: Refusals) {
        self.told.get_or_insert(told);
    }

    /// A deletion was ordered as this commit.
    pub(crate) fn deleted(&mut self, since: CommitNumber) {
        self.since = self.since.max(since);
    }

    /// Decides on the rows of a commit that is ordered next: gives its parts as they are to be logged, and how many
    /// samples are left out.
    pub(crate) fn decide(
        &mut self,
        ground: &Ground,
        kinds: &dyn Kinds,
        visible: CommitNumber,
        parts: Vec<Part>,
    ) -> (Vec<Part>, u64) {
        let (mut decided, mut left_out) = (Vec::with_capacity(parts.len()), 0);
        self.slices.resize_with(ground.slices.len(), SliceDoors::default);
        let settled = visible >= self.since;
        for Part { slice, body } in parts {
            let there = There { slice: ground.slice(slice), kinds, rule: ground.rule, settled };
            let mut bodies = Vec::with_capacity(2);
            left_out += self.slices[slice.0 as usize].decide(&there, body, &mut bodies);
            decided.extend(bodies.into_iter().map(|body| Part { slice, body }));
        }
        (decided, left_out)
    }
}

impl SliceDoors {
    /// All tags are unsure.
    pub(crate) fn forget_all(&mut self) {
        self.tags.clear();
    }

    /// Makes unsure what a deletion touches.
    pub(crate) fn forget(&mut self, deletion: &Deletion) {
        let tags = &mut self.tags;
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

    /// Makes tags unsure whose rows are not thinned as those before were; whether there was one.
    pub(crate) fn forget_changed(&mut self, rows: &Section, kinds: &dyn Kinds) -> bool {
        let (mut last, mut changed) = (None, false);
        for row in 0..if self.tags.is_empty() { 0 } else { rows.rows() } {
            let tag = rows.tag(row);
            if last.replace(tag) != Some(tag) && self.tags.get(&tag).is_some_and(|of| of.compression != kinds.compression(tag)) {
                self.tags.remove(&tag);
                changed = true;
            }
        }
        changed
    }

    /// Decides on a part of the write that is ordered next: adds what of it is to be logged, and tells how many samples are
    /// left out.
    pub(crate) fn decide(&mut self, there: &There<'_>, body: Body, decided: &mut Vec<Body>) -> u64 {
        let (section, periods) = match body {
            Body::Samples { section, periods } => (section, periods),
            Body::Deletion { deletion, bytes } => {
                self.forget(&deletion);
                decided.push(Body::Deletion { deletion, bytes });
                return 0;
            }
            held @ Body::Held { .. } => {
                decided.push(held);
                return 0;
            }
        };
        let Some(sorted) = rows::sort(&section, |tag| there.kinds.is_thinned(tag)) else {
            decided.push(Body::Samples { section, periods });
            return 0;
        };
        let fates = self.decide_rows(there, &sorted);
        let mut samples = sorted.others;
        samples.extend(fates.kept);
        if section.is_ordered() {
            samples.sort_by_key(|row| (row.tag, row.sample.time));
        }
        let periods = |section: &Section| section.periods(there.slice.period_us);
        let body = section_of(&samples).map(|section| Body::Samples { periods: periods(&section), section });
        let held = section_of(&fates.held).map(|section| Body::Held { periods: periods(&section), section });
        decided.extend(body.into_iter().chain(held));
        fates.left_out
    }

    fn decide_rows(&mut self, there: &There<'_>, sorted: &Sorted) -> Fates {
        let stretch = (!there.rule.ignores_time()).then_some(Stretch { day_us: there.rule.day_us, days: there.rule.b2 });
        let mut fates = Fates::default();
        for rows in sorted.thinned.chunk_by(|a, b| a.tag == b.tag) {
            let id = rows[0].tag;
            let tag = self.tags.entry(id).or_insert_with(|| Tag {
                kind: there.kinds.kind(id).unwrap_or(Kind::F64),
                compression: there.kinds.compression(id),
                state: State::Unsure(Unsure::default()),
            });
            let rule = Rule { kind: tag.kind, compression: tag.compression, stretch };
            let before = tag.held();
            rows.iter().for_each(|row| tag.take(&rule, there, *row, &mut fates));
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
        match &mut self.state {
            State::Known(door) => fates.add(row.tag, door.take(rule, row.sample)),
            State::Unsure(unsure) => {
                if let Some(door) = there.door(rule, unsure, row, fates) {
                    self.state = State::Known(door);
                    return;
                }
                unsure.came(row.sample);
                fates.kept.push(row);
            }
        }
    }

    /// Whether a change in a range of time would touch what was decided.
    fn rests_on(&self, range: TimeRange) -> bool {
        match &self.state {
            State::Unsure(_) => true,
            State::Known(door) => TimeRange { first: door.since(), last: door.newest().time }.overlaps(&range),
        }
    }
}

impl Unsure {
    /// A sample came and is kept: it takes the place of one that is held at its time.
    fn came(&mut self, sample: Sample) {
        self.newest = Some(self.newest.filter(|newest| newest.time > sample.time).unwrap_or(sample));
        match &mut self.held {
            None => self.times.push(sample.time),
            Some(held) => *held = held.filter(|held| held.time != sample.time),
        }
    }

    /// All that was ordered before it became unsure is visible, so this is held unless a sample took its place since.
    fn sees_held(&mut self, held: Option<Sample>) {
        if self.held.is_none() {
            let times = std::mem::take(&mut self.times);
            self.held = Some(held.filter(|held| !times.contains(&held.time)));
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
    fn door(&self, rule: &Rule, unsure: &mut Unsure, row: Row, fates: &mut Fates) -> Option<Door> {
        if !self.settled {
            return None;
        }
        unsure.sees_held(self.slice.view().buffer().held().get(row.tag).and_then(sample_of));
        let visible = self.slice.known_latest(row.tag)?.and_then(sample_of);
        let newest = unsure.newest.filter(|came| visible.is_none_or(|visible| came.time >= visible.time)).or(visible);
        let Some(newest) = newest else { return Some(Door::first(row.sample)) };
        if newest.time >= row.sample.time {
            return None;
        }
        // How it came to be held is not known any more.
        fates.kept.extend(unsure.held.flatten().map(|sample| Row { tag: row.tag, sample }));
        let mut door = Door::standing(newest);
        fates.add(row.tag, door.take(rule, row.sample));
        Some(door)
    }
}

fn sample_of(reading: Reading) -> Option<Sample> {
    let Reading { time, value: Datum::Bits(bits), quality } = reading else { return None };
    Some(Sample { time, bits, quality })
}
