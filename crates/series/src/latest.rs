//! Snapshot values: the newest sample of every tag of a slice, always in memory.
//!
//! What it is: pages of 1,024 tags by their dense place in the slice, columns within a page; a file of
//! them (`file`).
//! Shared state: the list of pages (read-write lock; written only to add pages) and each page's
//! columns (its own read-write lock). Readers may come at any time; those who change values are one
//! at a time, which the caller sees to, so that a deletion and a recomputation have an order.
//! Promises: an older time never replaces a newer one; at the same time the later write stands; a
//! reader sees a whole sample.
//! What it may not know: deletions' versions, files of samples, what a commit is.

mod file;
#[cfg(test)]
mod tests;

pub use file::FORMAT as LATEST_FORMAT;

use crate::{Datum, Deletion, Placement, Reading, Section, TagSelection};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};
use types::{Quality, SliceId, TagId, TimeRange, Timestamp};

/// Tags of a page.
const PAGE_TAGS: usize = 1024;

/// What a place of a page holds.
const NONE: u8 = 0;
const BITS: u8 = 1;
const TEXT: u8 = 2;

/// Snapshot values of some neighbouring tags.
struct Page {
    states: Box<[u8; PAGE_TAGS]>,
    times: Box<[i64; PAGE_TAGS]>,
    bits: Box<[u64; PAGE_TAGS]>,
    qualities: Box<[u8; PAGE_TAGS]>,
    texts: FxHashMap<u16, Arc<[u8]>>,
}

impl Page {
    fn new() -> Page {
        Page {
            states: Box::new([NONE; PAGE_TAGS]),
            times: Box::new([0; PAGE_TAGS]),
            bits: Box::new([0; PAGE_TAGS]),
            qualities: Box::new([0; PAGE_TAGS]),
            texts: FxHashMap::default(),
        }
    }

    /// Whether a sample of this time is to stand at the place: the newer one, or the later write.
    #[inline]
    fn takes(&self, place: usize, time: Timestamp) -> bool {
        self.states[place] == NONE || self.times[place] <= time.0
    }

    #[inline]
    fn put_bits(&mut self, place: usize, time: Timestamp, bits: u64, quality: Quality) {
        if self.states[place] == TEXT {
            self.texts.remove(&(place as u16));
        }
        self.states[place] = BITS;
        self.times[place] = time.0;
        self.bits[place] = bits;
        self.qualities[place] = quality.0;
    }

    fn put_text(&mut self, place: usize, time: Timestamp, text: Arc<[u8]>, quality: Quality) {
        self.states[place] = TEXT;
        self.times[place] = time.0;
        self.bits[place] = 0;
        self.qualities[place] = quality.0;
        self.texts.insert(place as u16, text);
    }

    fn clear(&mut self, place: usize) {
        self.states[place] = NONE;
        self.texts.remove(&(place as u16));
    }

    fn get(&self, place: usize) -> Option<Reading> {
        let value = match self.states[place] {
            NONE => return None,
            TEXT => Datum::Text(Arc::clone(&self.texts[&(place as u16)])),
            _ => Datum::Bits(self.bits[place]),
        };
        Some(Reading { time: Timestamp(self.times[place]), value, quality: Quality(self.qualities[place]) })
    }

    fn is_in(&self, place: usize, range: TimeRange) -> bool {
        self.states[place] != NONE && range.contains(Timestamp(self.times[place]))
    }
}

type PageLock = Arc<RwLock<Page>>;

/// Pages by number. Where tags are sparse in a slice (a rule that looks at time) most are not there.
struct Pages {
    /// Which page a tag is in; another one only while there are no pages.
    placement: Placement,
    /// Which block of each round the slice's tags lie in; worked out when it is first needed.
    round_part: OnceLock<u64>,
    pages: Vec<Option<PageLock>>,
    /// Pages beyond the dense ones: ordinals of any size must not cost memory.
    far: FxHashMap<u64, PageLock>,
}

/// The most pages kept in an array: 2^32 tags.
const NEAR_PAGES: u64 = 1 << 22;

/// Where a tag's value stands: its page, and the place within.
#[inline]
fn place(placement: &Placement, tag: TagId) -> (u64, usize) {
    let dense = placement.dense(tag);
    (dense / PAGE_TAGS as u64, (dense % PAGE_TAGS as u64) as usize)
}

impl Pages {
    fn new(placement: Placement) -> Pages {
        Pages { placement, round_part: OnceLock::new(), pages: Vec::new(), far: FxHashMap::default() }
    }

    fn find(&self, number: u64) -> Option<&PageLock> {
        if number < NEAR_PAGES { self.pages.get(number as usize).and_then(Option::as_ref) } else { self.far.get(&number) }
    }

    fn add(&mut self, number: u64) -> PageLock {
        let page = || Arc::new(RwLock::new(Page::new()));
        if number >= NEAR_PAGES {
            return Arc::clone(self.far.entry(number).or_insert_with(page));
        }
        let number = number as usize;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        Arc::clone(self.pages[number].get_or_insert_with(page))
    }

    /// All pages with their numbers, rising.
    fn all(&self) -> Vec<(u64, PageLock)> {
        let near = self.pages.iter().enumerate();
        let mut all: Vec<_> = near.filter_map(|(number, page)| Some((number as u64, Arc::clone(page.as_ref()?)))).collect();
        all.extend(self.far.iter().map(|(number, page)| (*number, Arc::clone(page))));
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }
}

/// Takes in rows from `row` on while they lie in the page; gives the first that does not.
fn update_bits(placement: &Placement, page: &mut Page, number: u64, section: &Section, mut row: usize) -> usize {
    let bits = section.bits();
    let all_good = section.all_good();
    while row < bits.len() {
        let (in_page, place) = place(placement, section.tag(row));
        if in_page != number {
            return row;
        }
        let time = section.time(row);
        if page.takes(place, time) {
            let quality = if all_good { Quality::GOOD } else { section.quality(row) };
            page.put_bits(place, time, bits[row], quality);
        }
        row += 1;
    }
    row
}

fn update_texts(placement: &Placement, page: &mut Page, number: u64, section: &Section, mut row: usize) -> usize {
    while row < section.rows() {
        let (in_page, place) = place(placement, section.tag(row));
        if in_page != number {
            return row;
        }
        if page.takes(place, section.time(row)) {
            page.put_text(place, section.time(row), section.text(row).into(), section.quality(row));
        }
        row += 1;
    }
    row
}

/// The snapshot values of a slice.
pub struct Latest {
    slice: SliceId,
    pages: RwLock<Pages>,
}

impl Latest {
    /// No values yet.
    #[must_use]
    pub fn new(placement: Placement, slice: SliceId) -> Latest {
        Latest { slice, pages: RwLock::new(Pages::new(placement)) }
    }

    /// Lays values out by another rule. There are none yet: whoever sets a rule sees to that.
    pub fn lay_out(&self, placement: Placement) {
        let mut pages = self.pages.write();
        assert!(pages.pages.is_empty() && pages.far.is_empty(), "slice {} has values, which lie by its rule", self.slice);
        *pages = Pages::new(placement);
    }

    /// The tag at a place of a page.
    fn tag_at(&self, number: u64, place: usize) -> TagId {
        let pages = self.pages.read();
        let round_part = *pages.round_part.get_or_init(|| pages.placement.round_part_of(self.slice));
        pages.placement.tag_at(number * PAGE_TAGS as u64 + place as u64, round_part)
    }

    /// The page, added where it is missing.
    fn page(&self, number: u64) -> PageLock {
        if let Some(page) = self.pages.read().find(number) {
            return Arc::clone(page);
        }
        self.pages.write().add(number)
    }

    /// Takes in a section's rows, in their order. One changer at a time.
    pub fn update(&self, section: &Section) {
        let (rows, placement) = (section.rows(), self.pages.read().placement);
        let mut row = 0;
        while row < rows {
            let (number, _) = place(&placement, section.tag(row));
            let page = self.page(number);
            let mut page = page.write();
            row = if section.is_text() {
                update_texts(&placement, &mut page, number, section, row)
            } else {
                update_bits(&placement, &mut page, number, section, row)
            };
        }
    }

    /// The newest sample of a tag.
    #[must_use]
    pub fn get(&self, tag: TagId) -> Option<Reading> {
        let pages = self.pages.read();
        let (number, place) = place(&pages.placement, tag);
        let page = pages.find(number)?;
        page.read().get(place)
    }

    /// Sets the value unless there is one of the same time or newer. One changer at a time.
    pub fn set_if_newer(&self, tag: TagId, reading: &Reading) {
        let (number, place) = place(&self.pages.read().placement, tag);
        let page = self.page(number);
        let mut page = page.write();
        if page.states[place] != NONE && page.times[place] >= reading.time.0 {
            return;
        }
        match &reading.value {
            Datum::Bits(bits) => page.put_bits(place, reading.time, *bits, reading.quality),
            Datum::Text(text) => page.put_text(place, reading.time, Arc::clone(text), reading.quality),
        }
    }

    /// Removes the values that the deletion hits; gives their tags: what stands in their place must
    /// be looked up by who knows the older samples. One changer at a time.
    pub fn forget(&self, deletion: &Deletion) -> Vec<TagId> {
        let mut fallen = Vec::new();
        match deletion {
            Deletion::Range { tags: TagSelection::All, range } => {
                let all = self.pages.read().all();
                for (number, page) in all {
                    let mut page = page.write();
                    for place in 0..PAGE_TAGS {
                        if page.is_in(place, *range) {
                            page.clear(place);
                            fallen.push(self.tag_at(number, place));
                        }
                    }
                }
            }
            Deletion::Range { tags: TagSelection::List(tags), range } => {
                fallen.extend(tags.iter().filter(|tag| self.forget_one(**tag, *range)));
            }
            Deletion::Points(points) => {
                fallen
                    .extend(points.iter().filter(|(tag, time)| self.forget_one(*tag, TimeRange::at(*time))).map(|(tag, _)| *tag));
            }
        }
        fallen
    }

    fn forget_one(&self, tag: TagId, range: TimeRange) -> bool {
        let pages = self.pages.read();
        let (number, place) = place(&pages.placement, tag);
        let Some(page) = pages.find(number).map(Arc::clone) else { return false };
        drop(pages);
        let mut page = page.write();
        let hit = page.is_in(place, range);
        if hit {
            page.clear(place);
        }
        hit
    }

    /// Bytes of memory that the values take, texts left out.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.pages.read().all().len() * PAGE_TAGS * 18
    }
}
