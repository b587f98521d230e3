//! The kind of every ordinal, and how many ordinals are visible, read without a lock: the kernel asks
//! for millions a second.
//!
//! Shared state: `visible` rises when created tags become durable (one writer, Release), readers load
//! it (Acquire) before they look at a page. Bytes at or beyond `visible` belong to the one writer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use types::{Kind, TagId};

const PAGE_BITS: u32 = 20;
const PAGE_TAGS: usize = 1 << PAGE_BITS;
const PAGES: usize = 1 << (32 - PAGE_BITS);

type Page = Box<[AtomicU8]>;

/// The kinds by ordinal.
pub struct KindTable {
    pages: Box<[OnceLock<Page>]>,
    visible: AtomicU64,
}

impl KindTable {
    /// Ordinals that a catalog can give.
    pub const TAGS_MAX: u64 = u32::MAX as u64;

    /// An empty one.
    pub fn new() -> KindTable {
        KindTable { pages: (0..PAGES).map(|_| OnceLock::new()).collect(), visible: AtomicU64::new(0) }
    }

    /// Ordinals below are visible.
    #[inline]
    pub fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Makes ordinals visible, up to this one.
    pub fn show(&self, visible: u64) {
        self.visible.store(visible, Ordering::Release);
    }

    /// Sets the kind of an ordinal that is not visible yet.
    pub fn set(&self, ordinal: u64, kind: Kind) {
        let page = self.pages[(ordinal >> PAGE_BITS) as usize].get_or_init(|| (0..PAGE_TAGS).map(|_| AtomicU8::new(0)).collect());
        page[ordinal as usize & (PAGE_TAGS - 1)].store(kind as u8, Ordering::Relaxed);
    }

    /// The kind of a visible ordinal.
    #[inline]
    pub fn get(&self, tag: TagId) -> Option<Kind> {
        if tag.0 < self.visible() { self.staged(tag.0) } else { None }
    }

    /// The kind of an ordinal, visible or not, that was set.
    #[inline]
    pub fn staged(&self, ordinal: u64) -> Option<Kind> {
        let page = self.pages[(ordinal >> PAGE_BITS) as usize].get()?;
        Kind::from_u8(page[ordinal as usize & (PAGE_TAGS - 1)].load(Ordering::Relaxed))
    }

    /// The first row whose tag is unknown or whose bits its kind can't have.
    pub fn first_misfit(&self, tags: &[TagId], bits: &[u64]) -> Option<usize> {
        let visible = self.visible();
        let mut page: (u64, &[AtomicU8]) = (u64::MAX, &[]);
        for (row, (tag, bits)) in tags.iter().zip(bits).enumerate() {
            if tag.0 >= visible {
                return Some(row);
            }
            // Mostly the page of the row before.
            if tag.0 >> PAGE_BITS != page.0 {
                let number = tag.0 >> PAGE_BITS;
                page = (number, self.pages[number as usize].get().map_or(&[], |page| &page[..]));
            }
            let kind = page.1.get(tag.0 as usize & (PAGE_TAGS - 1)).and_then(|kind| Kind::from_u8(kind.load(Ordering::Relaxed)));
            if !kind.is_some_and(|kind| kind.is_valid(*bits)) {
                return Some(row);
            }
        }
        None
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        let pages = self.pages.iter().filter(|page| page.get().is_some()).count();
        (pages * PAGE_TAGS + PAGES * size_of::<OnceLock<Page>>()) as u64
    }
}
