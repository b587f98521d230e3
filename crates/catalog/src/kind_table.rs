//! The kind of every ordinal, whether it is thinned, and how many ordinals are visible, read without a lock: the
//! kernel asks for millions a second.
//!
//! Shared state: `visible` rises when created tags become durable (one writer, Release), readers load
//! it (Acquire) before they look at a page. Bytes at or beyond `visible` belong to the one writer. Below it
//! the writer only changes whether a tag is thinned; when it has, `compressions` grows (Release).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use types::{Kind, TagId};

const PAGE_BITS: u32 = 20;
const PAGE_TAGS: usize = 1 << PAGE_BITS;
const PAGES: usize = 1 << (32 - PAGE_BITS);
/// Set in the byte of a thinned tag, beside its kind.
const THINNED: u8 = 0x80;

type Page = Box<[AtomicU8]>;

/// The kinds by ordinal.
pub struct KindTable {
    pages: Box<[OnceLock<Page>]>,
    visible: AtomicU64,
    compressions: AtomicU64,
    /// Whether any tag ever was thinned.
    thins: AtomicBool,
}

impl KindTable {
    /// Ordinals that a catalog can give.
    pub const TAGS_MAX: u64 = u32::MAX as u64;

    /// An empty one.
    pub fn new() -> KindTable {
        KindTable {
            pages: (0..PAGES).map(|_| OnceLock::new()).collect(),
            visible: AtomicU64::new(0),
            compressions: AtomicU64::new(0),
            thins: AtomicBool::new(false),
        }
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

    /// Sets the kind of an ordinal that is not visible yet, or whether a visible one is thinned.
    pub fn set(&self, ordinal: u64, kind: Kind, thinned: bool) {
        let page = self.pages[(ordinal >> PAGE_BITS) as usize].get_or_init(|| (0..PAGE_TAGS).map(|_| AtomicU8::new(0)).collect());
        if thinned {
            self.thins.store(true, Ordering::Relaxed);
        }
        page[ordinal as usize & (PAGE_TAGS - 1)].store(kind as u8 | if thinned { THINNED } else { 0 }, Ordering::Relaxed);
    }

    /// How often compressions of visible tags were changed.
    #[inline]
    pub fn compressions(&self) -> u64 {
        self.compressions.load(Ordering::Acquire)
    }

    /// Compressions of visible tags were changed, and `set`.
    pub fn compressions_changed(&self) {
        self.compressions.fetch_add(1, Ordering::Release);
    }

    /// The kind of a visible ordinal.
    #[inline]
    pub fn get(&self, tag: TagId) -> Option<Kind> {
        if tag.0 < self.visible() { self.staged(tag.0) } else { None }
    }

    /// The kind of an ordinal, visible or not, that was set.
    #[inline]
    pub fn staged(&self, ordinal: u64) -> Option<Kind> {
        Kind::from_u8(self.byte(ordinal)? & !THINNED)
    }

    #[inline]
    fn byte(&self, ordinal: u64) -> Option<u8> {
        let page = self.pages[(ordinal >> PAGE_BITS) as usize].get()?;
        Some(page[ordinal as usize & (PAGE_TAGS - 1)].load(Ordering::Relaxed))
    }

    /// Whether a visible ordinal is thinned.
    #[inline]
    pub fn is_thinned(&self, tag: TagId) -> bool {
        tag.0 < self.visible() && self.byte(tag.0).is_some_and(|byte| byte & THINNED != 0)
    }

    /// Whether any of these tags is thinned. Where no tag is, they are not looked at.
    pub fn any_is_thinned(&self, tags: &[TagId]) -> bool {
        let visible = self.visible();
        self.thins.load(Ordering::Relaxed)
            && tags.iter().any(|tag| tag.0 < visible && self.byte(tag.0).is_some_and(|byte| byte & THINNED != 0))
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
            let kind = page
                .1
                .get(tag.0 as usize & (PAGE_TAGS - 1))
                .and_then(|kind| Kind::from_u8(kind.load(Ordering::Relaxed) & !THINNED));
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
