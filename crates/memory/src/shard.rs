//! A shard of the cache: a table over slots, and S3-FIFO (Yang and others, SOSP 2023) over them.
//!
//! New entries stand in `small` (a tenth of the bytes); those asked for again before they reach its
//! end move to `main`, the others go and leave their hash in `ghost`; who is in `ghost` when it comes
//! again goes to `main` at once. `main` is a second-chance queue with up to three chances. So one scan
//! over many blocks drives out a tenth at most.
//!
//! Slots are reused; queue items carry the slot's generation, and those of an entry that has gone
//! are passed over. Removed values are handed out, to be freed without the lock.

use crate::cache::{CacheKey, CacheStatus};
use crate::{Grant, Share};
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::sync::Arc;

/// What an entry costs beside its value: slot, table, queue, ghost.
const ENTRY_BYTES: u64 = 128;
/// How much room is taken at once, where there is so much.
const STEP_BYTES: u64 = 256 << 10;
/// Most times that a hit counts.
const CHANCES_MAX: u8 = 3;

struct Slot<V> {
    key: CacheKey,
    hash: u64,
    value: Option<V>,
    bytes: u64,
    generation: u32,
    chances: u8,
    main: bool,
}

type Item = (u32, u32);

pub(crate) struct Shard<V> {
    table: HashTable<u32>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    small: VecDeque<Item>,
    main: VecDeque<Item>,
    ghost: Ghost,
    bytes: u64,
    small_bytes: u64,
    bytes_max: u64,
    grant: Option<Grant>,
    share: Arc<Share>,
    hits: u64,
    misses: u64,
    evicted: u64,
}

impl<V: Clone> Shard<V> {
    pub(crate) fn new(share: &Arc<Share>, bytes_max: u64) -> Shard<V> {
        Shard {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: Ghost::default(),
            bytes: 0,
            small_bytes: 0,
            bytes_max,
            grant: None,
            share: Arc::clone(share),
            hits: 0,
            misses: 0,
            evicted: 0,
        }
    }

    fn find(&self, key: CacheKey, hash: u64) -> Option<usize> {
        let slots = &self.slots;
        self.table.find(hash, |slot| slots[*slot as usize].key == key).map(|slot| *slot as usize)
    }

    #[inline]
    pub(crate) fn get(&mut self, key: CacheKey, hash: u64) -> Option<V> {
        let Some(slot) = self.find(key, hash) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        let slot = &mut self.slots[slot];
        slot.chances = (slot.chances + 1).min(CHANCES_MAX);
        slot.value.clone()
    }

    pub(crate) fn insert(&mut self, key: CacheKey, hash: u64, value: V, bytes: u64, gone: &mut Vec<V>) {
        let known = self.find(key, hash);
        if let Some(slot) = known {
            self.remove(slot, gone);
            if self.small.len() + self.main.len() > 2 * self.table.len() + 64 {
                self.forget_stale_items();
            }
        }
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        if !self.make_room(bytes, gone) {
            return;
        }
        // Asked for by name a second time: it has shown that it is wanted.
        let main = self.ghost.take(hash) || known.is_some();
        let slot = self.slot(Slot { key, hash, value: Some(value), bytes, generation: 0, chances: 0, main });
        let item = (slot, self.slots[slot as usize].generation);
        if main {
            self.main.push_back(item);
        } else {
            self.small.push_back(item);
            self.small_bytes += bytes;
        }
        self.bytes += bytes;
        let slots = &self.slots;
        self.table.insert_unique(hash, slot, |slot| slots[*slot as usize].hash);
    }

    fn slot(&mut self, mut slot: Slot<V>) -> u32 {
        if let Some(place) = self.free.pop() {
            slot.generation = self.slots[place as usize].generation.wrapping_add(1);
            self.slots[place as usize] = slot;
            return place;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    /// Takes or frees room for so many bytes. Whether it could.
    fn make_room(&mut self, bytes: u64, gone: &mut Vec<V>) -> bool {
        if bytes > self.bytes_max {
            return false;
        }
        loop {
            let granted = self.granted();
            let missing = (self.bytes + bytes).saturating_sub(granted);
            if missing == 0 {
                return true;
            }
            let left = self.bytes_max.saturating_sub(granted);
            if missing <= left && (self.grow(missing.max(STEP_BYTES).min(left)) || self.grow(missing)) {
                continue;
            }
            if !self.evict(gone) {
                return false;
            }
        }
    }

    fn granted(&self) -> u64 {
        self.grant.as_ref().map_or(0, Grant::bytes)
    }

    fn grow(&mut self, bytes: u64) -> bool {
        match &mut self.grant {
            Some(grant) => grant.try_grow_spare(bytes),
            None => {
                self.grant = self.share.try_take_spare(bytes);
                self.grant.is_some()
            }
        }
    }

    /// Gives back up to `bytes` of room: unused room first, then entries. Returns what it gave back.
    pub(crate) fn give_way(&mut self, bytes: u64, gone: &mut Vec<V>) -> u64 {
        let Some(grant) = &self.grant else { return 0 };
        let granted = grant.bytes();
        let bytes = bytes.min(granted);
        while granted - self.bytes < bytes && self.evict(gone) {}
        let given = bytes.min(granted - self.bytes);
        if let Some(grant) = &mut self.grant {
            grant.shrink_quietly(given);
        }
        given
    }

    /// Drives out one entry. Whether there was one.
    fn evict(&mut self, gone: &mut Vec<V>) -> bool {
        loop {
            let from_small = self.small_bytes * 10 > self.bytes || self.main.is_empty();
            let item = if from_small { self.small.pop_front() } else { self.main.pop_front() };
            let Some((place, generation)) = item else {
                if self.small.is_empty() && self.main.is_empty() {
                    return false;
                }
                continue;
            };
            let slot = &mut self.slots[place as usize];
            if slot.generation != generation || slot.value.is_none() {
                continue;
            }
            if slot.chances == 0 {
                let hash = slot.hash;
                if from_small {
                    self.ghost.add(hash, self.table.len());
                }
                self.remove(place as usize, gone);
                self.evicted += 1;
                return true;
            }
            slot.chances = if from_small { 0 } else { slot.chances - 1 };
            if from_small {
                slot.main = true;
                self.small_bytes -= slot.bytes;
            }
            self.main.push_back((place, generation));
        }
    }

    fn remove(&mut self, place: usize, gone: &mut Vec<V>) {
        let slot = &mut self.slots[place];
        gone.extend(slot.value.take());
        self.bytes -= slot.bytes;
        self.small_bytes -= if slot.main { 0 } else { slot.bytes };
        let hash = slot.hash;
        if let Ok(entry) = self.table.find_entry(hash, |other| *other as usize == place) {
            entry.remove();
        }
        self.free.push(place as u32);
    }

    pub(crate) fn remove_file(&mut self, file: u64, gone: &mut Vec<V>) {
        for place in 0..self.slots.len() {
            if self.slots[place].key.file == file && self.slots[place].value.is_some() {
                self.remove(place, gone);
            }
        }
        self.forget_stale_items();
    }

    /// Drops queue items of entries that have gone; they would otherwise wait for pressure that may
    /// never come.
    fn forget_stale_items(&mut self) {
        let slots = &self.slots;
        let alive = |(place, generation): &Item| {
            let slot = &slots[*place as usize];
            slot.value.is_some() && slot.generation == *generation
        };
        self.small.retain(alive);
        self.main.retain(alive);
    }

    pub(crate) fn add_status(&self, out: &mut CacheStatus) {
        out.entries += self.table.len() as u64;
        out.bytes += self.bytes;
        out.granted_bytes += self.granted();
        out.hits += self.hits;
        out.misses += self.misses;
        out.evicted += self.evicted;
    }
}

/// Hashes of entries that went from `small`, as many as there are entries.
#[derive(Default)]
struct Ghost {
    known: HashTable<u64>,
    order: VecDeque<u64>,
}

impl Ghost {
    fn add(&mut self, hash: u64, entries: usize) {
        if self.known.find(hash, |known| *known == hash).is_none() {
            self.known.insert_unique(hash, hash, |known| *known);
            self.order.push_back(hash);
        }
        while self.order.len() > entries.max(16) {
            if let Some(oldest) = self.order.pop_front() {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, hash: u64) -> bool {
        self.known.find_entry(hash, |known| *known == hash).map(|entry| entry.remove()).is_ok()
    }

    /// Whether the hash was known; it is not any more. Its place in the order stays until its turn.
    fn take(&mut self, hash: u64) -> bool {
        self.forget(hash)
    }
}
