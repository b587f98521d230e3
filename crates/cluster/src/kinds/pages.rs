//! Kinds in memory: a byte an ordinal, in pages, read without a lock.
//!
//! Shared state: `end` rises when kinds became durable (one writer, Release); readers load it (Acquire) before they look
//! at a page. Bytes at or beyond `end` belong to the one writer; those below never change. It may not know files.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use types::{Kind, TagId};

const PAGE_BITS: u32 = 18;
const PAGE_TAGS: usize = 1 << PAGE_BITS;
const PAGES: usize = 1 << (32 - PAGE_BITS);

/// Ordinals that there can be, as in the tag table.
pub(super) const TAGS_MAX: u64 = u32::MAX as u64;

type Page = Box<[AtomicU8]>;

pub(super) struct Pages {
    pages: Box<[OnceLock<Page>]>,
    end: AtomicU64,
}

fn place(ordinal: u64) -> (usize, usize) {
    ((ordinal >> PAGE_BITS) as usize, ordinal as usize & (PAGE_TAGS - 1))
}

impl Pages {
    pub(super) fn new() -> Pages {
        Pages { pages: (0..PAGES).map(|_| OnceLock::new()).collect(), end: AtomicU64::new(0) }
    }

    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Writes kinds beyond the end. One writer at a time.
    pub(super) fn put(&self, first: u64, kinds: &[u8]) {
        for (ordinal, kind) in (first..).zip(kinds) {
            let (page, at) = place(ordinal);
            let page = self.pages[page].get_or_init(|| (0..PAGE_TAGS).map(|_| AtomicU8::new(0)).collect());
            page[at].store(*kind, Ordering::Relaxed);
        }
    }

    pub(super) fn show(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    #[inline]
    pub(super) fn byte(&self, ordinal: u64) -> Option<u8> {
        if ordinal >= self.end() {
            return None;
        }
        let (page, at) = place(ordinal);
        Some(self.pages[page].get()?[at].load(Ordering::Relaxed))
    }

    pub(super) fn read(&self, first: u64, most: usize) -> Vec<u8> {
        let end = self.end().min(first.saturating_add(most as u64));
        (first..end).map_while(|ordinal| self.byte(ordinal)).collect()
    }

    /// The first row whose tag is unknown or whose bits its kind can't have.
    pub(super) fn first_misfit(&self, tags: &[TagId], bits: &[u64]) -> Option<usize> {
        let end = self.end();
        let mut page: (u64, &[AtomicU8]) = (u64::MAX, &[]);
        for (row, (tag, bits)) in tags.iter().zip(bits).enumerate() {
            if tag.0 >= end {
                return Some(row);
            }
            // Mostly the page of the row before.
            if tag.0 >> PAGE_BITS != page.0 {
                page = (tag.0 >> PAGE_BITS, self.pages[place(tag.0).0].get().map_or(&[], |page| &page[..]));
            }
            let kind = page.1.get(place(tag.0).1).and_then(|kind| Kind::from_u8(kind.load(Ordering::Relaxed)));
            if !kind.is_some_and(|kind| kind.is_valid(*bits)) {
                return Some(row);
            }
        }
        None
    }
}
