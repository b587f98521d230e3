//! Held samples: of a tag that is thinned the newest sample, as long as no newer one says whether it is kept.
//!
//! What it is: at most one sample a tag, beside the rows of the write buffer and never part of a file of
//! samples; pages of 128 tags that views share and changes copy.
//! What it promises: a held sample that is put in takes the place of its tag's former one, whatever its
//! time; a row that is written at the time of a held sample takes its place and is held no more; a
//! deletion that names it removes it. So what is held follows from the order of writes alone, not from
//! when a buffer was flushed. A clone never changes.
//! What it may not know: why a sample is held; files.

use crate::{Datum, Deletion, Reading, Section, SeriesColumns, TagSelection};
use std::sync::Arc;
use types::{Quality, Samples, TagId, TimeRange, Timestamp};

/// Tags of a page: as many as a `u128` has bits.
const PAGE_TAGS: u64 = 128;
/// No range: what a page without samples has.
const NOWHERE: TimeRange = TimeRange { first: Timestamp::MAX, last: Timestamp::MIN };

/// Held samples of some neighbouring tags.
#[derive(Clone, Debug)]
struct Page {
    number: u64,
    /// Bit n: the tag at place n has a sample.
    filled: u128,
    times: [i64; PAGE_TAGS as usize],
    bits: [u64; PAGE_TAGS as usize],
    qualities: [u8; PAGE_TAGS as usize],
    range: TimeRange,
}

/// The held samples of a slice. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Rising by number; None of them is empty.
    pages: Arc<Vec<Arc<Page>>>,
}

fn place(tag: TagId) -> (u64, usize) {
    (tag.0 / PAGE_TAGS, (tag.0 % PAGE_TAGS) as usize)
}

impl Page {
    fn new(number: u64) -> Page {
        const TAGS: usize = PAGE_TAGS as usize;
        Page { number, filled: 0, times: [0; TAGS], bits: [0; TAGS], qualities: [0; TAGS], range: NOWHERE }
    }

    fn has(&self, place: usize) -> bool {
        self.filled & 1 << place != 0
    }

    fn time(&self, place: usize) -> Option<Timestamp> {
        self.has(place).then(|| Timestamp(self.times[place]))
    }

    fn tag(&self, place: usize) -> TagId {
        TagId(self.number * PAGE_TAGS + place as u64)
    }

    /// The places that have samples, rising.
    fn places(&self) -> impl Iterator<Item = usize> {
        let mut left = self.filled;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(place)
        })
    }

    fn put(&mut self, place: usize, time: Timestamp, bits: u64, quality: Quality) {
        self.filled |= 1 << place;
        (self.times[place], self.bits[place], self.qualities[place]) = (time.0, bits, quality.0);
    }

    /// After changes: where its samples lie.
    fn settle(&mut self) {
        self.range = self.places().fold(NOWHERE, |range, place| {
            let time = Timestamp(self.times[place]);
            TimeRange { first: range.first.min(time), last: range.last.max(time) }
        });
    }
}

impl Held {
    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many samples are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages.iter().map(|page| page.filled.count_ones() as usize).sum()
    }

    fn page(&self, number: u64) -> Option<&Page> {
        let found = self.pages.binary_search_by_key(&number, |page| page.number).ok()?;
        Some(&self.pages[found])
    }

    /// The held sample of a tag.
    #[must_use]
    pub fn get(&self, tag: TagId) -> Option<Reading> {
        let (number, place) = place(tag);
        let page = self.page(number).filter(|page| page.has(place))?;
        let (time, quality) = (Timestamp(page.times[place]), Quality(page.qualities[place]));
        Some(Reading { time, value: Datum::Bits(page.bits[place]), quality })
    }

    /// From the earliest to the latest held sample; None where there is none.
    #[must_use]
    pub fn range(&self) -> Option<TimeRange> {
        let ranges = self.pages.iter().map(|page| page.range);
        ranges.reduce(|a, b| TimeRange { first: a.first.min(b.first), last: a.last.max(b.last) })
    }

    /// The tags that have a held sample, rising.
    pub fn tags(&self) -> impl Iterator<Item = TagId> {
        self.pages.iter().flat_map(|page| page.places().map(|place| page.tag(place)))
    }

    /// The highest of them.
    pub(crate) fn last_tag(&self) -> Option<TagId> {
        let page = self.pages.last()?;
        Some(page.tag(127 - page.filled.leading_zeros() as usize))
    }

    /// Everything that is held, as a section; None where that is nothing.
    #[must_use]
    pub fn section(&self) -> Option<Section> {
        let mut columns = SeriesColumns { qualities: Some(Vec::new()), ..SeriesColumns::default() };
        let tags: Vec<TagId> = self.tags().collect();
        for page in self.pages.iter() {
            for place in page.places() {
                columns.times.push(Timestamp(page.times[place]));
                columns.bits.push(page.bits[place]);
                columns.qualities.get_or_insert_default().push(page.qualities[place]);
            }
        }
        let samples = Samples::new(&tags, &columns.times, &columns.bits, columns.qualities.as_deref());
        Section::of_samples(&samples.expect("a place in each column for each sample"))
    }

    /// What a section of `section` held; None where its rows are not one a tag.
    #[must_use]
    pub fn of(section: &Section) -> Option<Held> {
        let once = (1..section.rows()).all(|row| section.tag(row - 1) < section.tag(row));
        (once && !section.is_text()).then(|| {
            let mut held = Held::default();
            held.put(section, |_| ());
            held
        })
    }

    /// Those that lie where `inside` says so.
    #[must_use]
    pub fn within(&self, inside: impl Fn(Timestamp) -> bool) -> Held {
        let mut held = self.clone();
        for page in self.pages.iter() {
            let outside = page.places().filter(|place| !inside(Timestamp(page.times[*place])));
            let gone = outside.fold(0_u128, |gone, place| gone | 1 << place);
            if gone != 0 {
                held.change(page.number, |page| page.filled &= !gone);
            }
        }
        held
    }

    /// Takes in what another one holds; of a tag of both that one's stands.
    pub fn join(&mut self, other: &Held) {
        if let Some(section) = other.section() {
            self.put(&section, |_| ());
        }
    }

    /// Changes a page, which is there afterwards if it has samples.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Page)) {
        let pages = Arc::make_mut(&mut self.pages);
        let at = match pages.binary_search_by_key(&number, |page| page.number) {
            Ok(at) => at,
            Err(at) => {
                pages.insert(at, Arc::new(Page::new(number)));
                at
            }
        };
        let page = Arc::make_mut(&mut pages[at]);
        change(page);
        page.settle();
        if page.filled == 0 {
            pages.remove(at);
        }
    }

    /// Puts in the rows of a numeric section; `replaced` is told where the former samples of their tags lay.
    pub(crate) fn put(&mut self, section: &Section, mut replaced: impl FnMut(Timestamp)) {
        let mut row = 0;
        while row < section.rows() {
            let (number, _) = place(section.tag(row));
            self.change(number, |page| {
                while row < section.rows()
                    && let (in_page, place) = place(section.tag(row))
                    && in_page == number
                {
                    if let Some(former) = page.time(place) {
                        replaced(former);
                    }
                    page.put(place, section.time(row), section.bits()[row], section.quality(row));
                    row += 1;
                }
            });
        }
    }

    /// Lets go of the samples in whose place a section puts rows.
    pub(crate) fn give_way(&mut self, section: &Section) {
        let (first, last) = section.tags();
        let tags = (first.0 / PAGE_TAGS, last.0 / PAGE_TAGS);
        let touched = |page: &Arc<Page>| (tags.0..=tags.1).contains(&page.number) && page.range.overlaps(&section.range());
        if section.is_text() || !self.pages.iter().any(touched) {
            return;
        }
        let mut row = 0;
        while row < section.rows() {
            let (number, _) = place(section.tag(row));
            let (page, mut gone) = (self.page(number), 0_u128);
            while row < section.rows()
                && let (in_page, place) = place(section.tag(row))
                && in_page == number
            {
                if page.and_then(|page| page.time(place)) == Some(section.time(row)) {
                    gone |= 1 << place;
                }
                row += 1;
            }
            if gone != 0 {
                self.change(number, |page| page.filled &= !gone);
            }
        }
    }

    /// Removes what a deletion names.
    pub(crate) fn delete(&mut self, deletion: &Deletion) {
        if self.is_empty() {
            return;
        }
        let mut hit: Vec<TagId> = Vec::new();
        let held = |tag: TagId| self.get(tag).map(|reading| reading.time);
        match deletion {
            Deletion::Range { tags: TagSelection::All, range } => {
                for page in self.pages.iter().filter(|page| page.range.overlaps(range)) {
                    let inside = page.places().filter(|place| range.contains(Timestamp(page.times[*place])));
                    hit.extend(inside.map(|place| page.tag(place)));
                }
            }
            Deletion::Range { tags: TagSelection::List(tags), range } => {
                hit.extend(tags.iter().filter(|tag| held(**tag).is_some_and(|time| range.contains(time))));
            }
            Deletion::Points(points) => {
                hit.extend(points.iter().filter(|(tag, time)| held(*tag) == Some(*time)).map(|(tag, _)| *tag));
            }
        }
        for tag in hit {
            let (number, place) = place(tag);
            self.change(number, |page| page.filled &= !(1 << place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use std::collections::BTreeMap;

    type Model = BTreeMap<TagId, (Timestamp, u64, u8)>;

    fn section(rows: &[(TagId, Timestamp, u64, u8)]) -> Section {
        let tags: Vec<TagId> = rows.iter().map(|row| row.0).collect();
        let times: Vec<Timestamp> = rows.iter().map(|row| row.1).collect();
        let bits: Vec<u64> = rows.iter().map(|row| row.2).collect();
        let qualities: Vec<u8> = rows.iter().map(|row| row.3).collect();
        Section::of_samples(&Samples::new(&tags, &times, &bits, Some(&qualities)).unwrap()).unwrap()
    }

    fn tag(dice: &mut Dice) -> TagId {
        TagId([0, 126, 255, 1 << 40, u64::MAX - 3][dice.below(5) as usize] + dice.below(4))
    }

    #[test]
    fn what_is_held_is_a_map_by_tag_and_clones_stay_as_they_are() {
        for seed in 0..500 {
            let dice = &mut Dice(seed);
            let (mut held, mut model) = (Held::default(), Model::new());
            for _ in 0..40 {
                let (before, model_before) = (held.clone(), model.clone());
                let time = Timestamp(dice.below(9) as i64);
                match dice.below(5) {
                    0 => {
                        let points: Vec<_> = (0..3).map(|_| (tag(dice), Timestamp(dice.below(9) as i64))).collect();
                        held.delete(&Deletion::Points(points.clone()));
                        model.retain(|tag, (time, ..)| !points.contains(&(*tag, *time)));
                    }
                    1 => {
                        let range = TimeRange { first: time, last: Timestamp(time.0 + 2) };
                        let tags = if dice.one_in(2) {
                            TagSelection::All
                        } else {
                            TagSelection::of(vec![tag(dice), tag(dice), tag(dice)])
                        };
                        held.delete(&Deletion::Range { tags: tags.clone(), range });
                        model.retain(|tag, (time, ..)| !(tags.contains(*tag) && range.contains(*time)));
                    }
                    2 => {
                        let rows: Vec<_> = (0..6).map(|_| (tag(dice), Timestamp(dice.below(9) as i64), 7, 192)).collect();
                        held.give_way(&section(&rows));
                        model.retain(|tag, (time, ..)| !rows.iter().any(|row| (row.0, row.1) == (*tag, *time)));
                    }
                    _ => {
                        let rows: BTreeMap<TagId, _> = (0..5)
                            .map(|_| (tag(dice), (Timestamp(dice.below(9) as i64), dice.next(), dice.next() as u8)))
                            .collect();
                        let rows: Vec<_> =
                            rows.into_iter().map(|(tag, (time, bits, quality))| (tag, time, bits, quality)).collect();
                        let wanted: Vec<Timestamp> = rows.iter().filter_map(|row| Some(model.get(&row.0)?.0)).collect();
                        let mut replaced = Vec::new();
                        held.put(&section(&rows), |time| replaced.push(time));
                        assert_eq!(replaced, wanted);
                        model.extend(rows.into_iter().map(|(tag, time, bits, quality)| (tag, (time, bits, quality))));
                    }
                }
                check(&before, &model_before);
                check(&held, &model);
            }
            let (mut joined, late) = (held.within(|time| time.0 < 4), held.within(|time| time.0 >= 4));
            assert!(joined.tags().all(|tag| model[&tag].0.0 < 4) && late.tags().all(|tag| model[&tag].0.0 >= 4));
            joined.join(&late);
            check(&joined, &model);
            let again = held.section().map(|section| Held::of(&Section::parse(section.bytes()).unwrap()).unwrap());
            check(&again.unwrap_or_default(), &model);
        }
    }

    fn check(held: &Held, model: &Model) {
        assert!(held.tags().eq(model.keys().copied()));
        assert_eq!((held.len(), held.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(held.last_tag(), model.keys().next_back().copied());
        for (tag, (time, bits, quality)) in model {
            let wanted = Reading { time: *time, value: Datum::Bits(*bits), quality: Quality(*quality) };
            assert_eq!(held.get(*tag), Some(wanted));
        }
        let times = || model.values().map(|sample| sample.0);
        let wanted = times().min().zip(times().max()).map(|(first, last)| TimeRange { first, last });
        assert_eq!(held.range(), wanted);
        assert_eq!(held.get(TagId(64)), None);
    }
}
