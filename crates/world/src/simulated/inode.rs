//! A simulated file's bytes: what is read now, and what would survive a power cut.
//!
//! Pages of 4,096 bytes of eight sectors. A page holds what is read (`now`) and, where it differs,
//! what lies on the disk (`disk`). Each sector is clean, dirty (a sync writes it) or stale: a sync of
//! it failed, so the system holds it as clean while the disk has the old bytes.
//! Bytes beyond the length are always zero in `now`.

use super::SeededRandom;
use crate::Random;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const PAGE_BYTES: u64 = 4096;
const SECTOR_BYTES: usize = 512;
const SECTORS: usize = PAGE_BYTES as usize / SECTOR_BYTES;

struct Page {
    now: [u8; PAGE_BYTES as usize],
    disk: Option<Box<[u8; PAGE_BYTES as usize]>>,
    dirty: u8,
    stale: u8,
}

/// A file's bytes.
#[derive(Default)]
pub(super) struct Inode {
    len: u64,
    synced_len: u64,
    /// Room up to here was reserved, in whole pages.
    reserved: u64,
    pages: BTreeMap<u64, Box<Page>>,
    /// How many pages lie beyond the reserved room.
    pages_beyond: u64,
    /// Pages that have dirty or stale sectors.
    unsynced: BTreeSet<u64>,
    /// Whether a name leads here: only then it takes room.
    pub linked: bool,
}

/// What becomes of unsynced things in a power cut.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    AllLost,
    AllKept,
    Mixed,
}

impl Fate {
    pub(super) fn draw(random: &SeededRandom) -> Fate {
        match random.below(4) {
            0 => Fate::AllLost,
            1 => Fate::AllKept,
            _ => Fate::Mixed,
        }
    }

    /// Whether a thing that is whole or not there is kept.
    pub(super) fn keeps(self, random: &SeededRandom) -> bool {
        match self {
            Fate::AllLost => false,
            Fate::AllKept => true,
            Fate::Mixed => random.one_in(2),
        }
    }
}

impl Inode {
    /// A new file, with a name.
    pub(super) fn new() -> Inode {
        Inode { linked: true, ..Inode::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of room it takes.
    pub(super) fn room(&self) -> u64 {
        self.reserved + self.pages_beyond * PAGE_BYTES
    }

    fn count_beyond(&mut self) {
        self.pages_beyond = self.pages.range(self.reserved / PAGE_BYTES..).count() as u64;
    }

    /// Bytes of a write that need no new room.
    pub(super) fn bytes_with_room(&self, offset: u64, bytes: u64) -> u64 {
        let (first, last) = (offset / PAGE_BYTES, (offset + bytes).div_ceil(PAGE_BYTES));
        let missing = (first..last).find(|index| *index >= self.reserved / PAGE_BYTES && !self.pages.contains_key(index));
        missing.map_or(bytes, |index| (index * PAGE_BYTES).saturating_sub(offset))
    }

    /// Bytes of new room that a write would take.
    pub(super) fn room_needed(&self, offset: u64, bytes: u64) -> u64 {
        let (first, last) = (offset / PAGE_BYTES, (offset + bytes).div_ceil(PAGE_BYTES));
        let first = first.max(self.reserved / PAGE_BYTES);
        (last.saturating_sub(first)).saturating_sub(self.pages.range(first..last.max(first)).count() as u64) * PAGE_BYTES
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.len) {
            return false;
        }
        let mut at = 0;
        while at < into.len() {
            let (index, start) = place(offset + at as u64);
            let bytes = (into.len() - at).min(PAGE_BYTES as usize - start);
            match self.pages.get(&index) {
                Some(page) => into[at..at + bytes].copy_from_slice(&page.now[start..start + bytes]),
                None => into[at..at + bytes].fill(0),
            }
            at += bytes;
        }
        true
    }

    pub(super) fn write(&mut self, offset: u64, from: &[u8]) {
        let mut at = 0;
        while at < from.len() {
            let (index, start) = place(offset + at as u64);
            let bytes = (from.len() - at).min(PAGE_BYTES as usize - start);
            self.dirty(index, start, bytes).copy_from_slice(&from[at..at + bytes]);
            at += bytes;
        }
        self.len = self.len.max(offset + from.len() as u64);
    }

    /// The bytes of a page to be changed, their sectors marked.
    fn dirty(&mut self, index: u64, start: usize, bytes: usize) -> &mut [u8] {
        let page = self.pages.entry(index).or_insert_with(|| {
            self.pages_beyond += u64::from(index >= self.reserved / PAGE_BYTES);
            Box::new(Page::zeros())
        });
        page.disk.get_or_insert_with(|| Box::new(page.now));
        for sector in start / SECTOR_BYTES..(start + bytes).div_ceil(SECTOR_BYTES) {
            page.dirty |= 1 << sector;
            page.stale &= !(1 << sector);
        }
        self.unsynced.insert(index);
        &mut page.now[start..start + bytes]
    }

    pub(super) fn truncate(&mut self, len: u64) {
        if len < self.len {
            let (first, start) = place(len);
            let pages: Vec<u64> = self.pages.range(first..).map(|(index, _)| *index).collect();
            for index in pages {
                let from = if index == first { start } else { 0 };
                if from < PAGE_BYTES as usize {
                    self.dirty(index, from, PAGE_BYTES as usize - from).fill(0);
                }
            }
            self.reserved = self.reserved.min(len.next_multiple_of(PAGE_BYTES));
            self.count_beyond();
        }
        self.len = len;
    }

    pub(super) fn reserve(&mut self, len: u64) {
        self.reserved = self.reserved.max(len.next_multiple_of(PAGE_BYTES));
        self.count_beyond();
        self.len = self.len.max(len);
    }

    /// Bytes of new room that a reservation would take.
    pub(super) fn reserve_needs(&self, len: u64) -> u64 {
        let (first, last) = (self.reserved / PAGE_BYTES, len.div_ceil(PAGE_BYTES));
        last.saturating_sub(first).saturating_sub(self.pages.range(first..last.max(first)).count() as u64) * PAGE_BYTES
    }

    pub(super) fn sync(&mut self) {
        self.synced_len = self.len;
        let pages = &mut self.pages;
        self.unsynced.retain(|index| {
            let page = pages.get_mut(index).expect("an unsynced page is there until the file goes");
            page.write_back(page.dirty);
            page.dirty = 0;
            page.stale != 0
        });
        self.forget_zeros();
    }

    /// A sync that fails: some of it reaches the disk, the rest counts as clean and is not there.
    pub(super) fn sync_badly(&mut self, random: &SeededRandom) {
        for index in &self.unsynced {
            let page = self.pages.get_mut(index).expect("an unsynced page is there until the file goes");
            let written = page.dirty & random.next() as u8;
            page.stale |= page.dirty & !written;
            page.write_back(written);
            page.dirty = 0;
        }
        if random.one_in(2) {
            self.synced_len = self.len;
        }
    }

    /// The process ended. Stale sectors may leave the system's memory: then the old bytes are read.
    pub(super) fn kill(&mut self, random: &SeededRandom) {
        for index in &self.unsynced {
            let page = self.pages.get_mut(index).expect("an unsynced page is there until the file goes");
            let gone = page.stale & random.next() as u8;
            page.lose(gone);
        }
    }

    /// The power failed.
    pub(super) fn crash(&mut self, random: &SeededRandom, fate: Fate) {
        for index in std::mem::take(&mut self.unsynced) {
            let page = self.pages.get_mut(&index).expect("an unsynced page is there until the file goes");
            page.lose(page.stale);
            for sector in (0..SECTORS).filter(|sector| page.dirty & (1 << sector) != 0).collect::<Vec<_>>() {
                match fate {
                    Fate::AllKept => page.write_back(1 << sector),
                    Fate::AllLost => page.lose(1 << sector),
                    Fate::Mixed => match random.below(3) {
                        0 => page.write_back(1 << sector),
                        1 => page.lose(1 << sector),
                        _ => page.tear(sector, random),
                    },
                }
            }
            (page.dirty, page.disk) = (0, None);
        }
        if !fate.keeps(random) {
            self.len = self.synced_len;
        }
        self.synced_len = self.len;
        // Beyond the length there is nothing.
        let len = self.len;
        self.truncate(len.saturating_add(1));
        self.truncate(len);
        self.sync();
    }

    /// Changes stored bytes behind everybody's back.
    pub(super) fn damage(&mut self, offset: u64, mask: u8) -> bool {
        let (index, at) = place(offset);
        if offset >= self.len {
            return false;
        }
        let page = self.pages.entry(index).or_insert_with(|| Box::new(Page::zeros()));
        page.now[at] ^= mask;
        if let Some(disk) = &mut page.disk {
            disk[at] ^= mask;
        }
        self.count_beyond();
        true
    }

    /// Gives back pages without content beyond the reserved room and the length.
    fn forget_zeros(&mut self) {
        let end = self.len.div_ceil(PAGE_BYTES);
        let unsynced = &self.unsynced;
        if self.pages.last_key_value().is_some_and(|(index, _)| *index >= end) {
            self.pages.retain(|index, _| *index < end || unsynced.contains(index));
            self.count_beyond();
        }
    }
}

impl Page {
    fn zeros() -> Page {
        Page { now: [0; PAGE_BYTES as usize], disk: None, dirty: 0, stale: 0 }
    }

    fn write_back(&mut self, sectors: u8) {
        if let Some(disk) = &mut self.disk {
            for sector in (0..SECTORS).filter(|sector| sectors & (1 << sector) != 0) {
                let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                disk[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
        if self.stale == 0 && self.dirty & !sectors == 0 {
            self.disk = None;
        }
    }

    fn lose(&mut self, sectors: u8) {
        if let Some(disk) = &self.disk {
            for sector in (0..SECTORS).filter(|sector| sectors & (1 << sector) != 0) {
                let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                self.now[range.clone()].copy_from_slice(&disk[range]);
            }
        }
        self.stale &= !sectors;
    }

    /// New bytes up to some place, old ones behind it, or the other way round.
    fn tear(&mut self, sector: usize, random: &SeededRandom) {
        let cut = sector * SECTOR_BYTES + random.below(SECTOR_BYTES as u64) as usize;
        let range = if random.one_in(2) { sector * SECTOR_BYTES..cut } else { cut..(sector + 1) * SECTOR_BYTES };
        if let Some(disk) = &self.disk {
            self.now[range.clone()].copy_from_slice(&disk[range]);
        }
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE_BYTES, (offset % PAGE_BYTES) as usize)
}
