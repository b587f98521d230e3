//! Kinds of tags by ordinal, remembered by a stream: a tag's kind never changes and its ordinal is
//! never given again, so what was learnt once holds.

use catalog::Catalog;
use types::{Kind, Kinds, TagId};

const PAGE: usize = 4096;
const UNKNOWN: u8 = u8::MAX;
/// Pages that one stream may hold: 64 Mi tags.
const PAGES_MAX: usize = 16_384;

/// What a stream knows of kinds.
#[derive(Default)]
pub(crate) struct KindPages {
    pages: Vec<Option<Box<[u8; PAGE]>>>,
}

impl KindPages {
    /// Whether all of these tags hold doubles: the usual batch, which then needs no conversion.
    pub(crate) fn all_f64(&mut self, catalog: &Catalog, tags: &[TagId]) -> bool {
        tags.iter().all(|tag| self.get(catalog, *tag) == Some(Kind::F64))
    }

    /// The kind of a tag.
    #[inline]
    pub(crate) fn get(&mut self, catalog: &Catalog, tag: TagId) -> Option<Kind> {
        let (page, at) = ((tag.0 / PAGE as u64) as usize, (tag.0 % PAGE as u64) as usize);
        if let Some(Some(known)) = self.pages.get(page)
            && known[at] != UNKNOWN
        {
            return Kind::from_u8(known[at]);
        }
        self.learn(catalog, tag, page, at)
    }

    #[cold]
    fn learn(&mut self, catalog: &Catalog, tag: TagId, page: usize, at: usize) -> Option<Kind> {
        let kind = catalog.kind(tag)?;
        if page < PAGES_MAX {
            if self.pages.len() <= page {
                self.pages.resize_with(page + 1, || None);
            }
            let first = page as u64 * PAGE as u64;
            let number_of = |at: usize| catalog.kind(TagId(first + at as u64)).map_or(UNKNOWN, |kind| kind as u8);
            match &mut self.pages[page] {
                Some(known) => known[at] = kind as u8,
                empty => *empty = Some(Box::new(std::array::from_fn(number_of))),
            }
        }
        Some(kind)
    }
}
