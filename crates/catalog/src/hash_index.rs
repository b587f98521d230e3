//! A hash table from hashed bytes to 32-bit numbers, which keeps neither the bytes nor pointers.
//!
//! What it promises: twelve bytes or so an entry; growing never reads the bytes again (an entry keeps
//! 32 bits of its hash) and stalls for a 64th of the table only; a probe reads one or two cache lines.
//! What it may not know: what the numbers stand for: callers compare.
//!
//! ```text
//!   hash   [ shard: 6 bits | place: 32 bits | 26 bits unused ]
//!   entry  [ place u32 | number u32 ]     u64::MAX = free
//!   slot   place * slots / 2^32, then linearly; at most 3/4 of the slots are taken
//! ```

use rustc_hash::FxHasher;
use std::hash::Hasher;

const SHARDS_BITS: u32 = 6;
const FREE: u64 = u64::MAX;

/// The table.
pub struct HashIndex {
    shards: Vec<Shard>,
    seed: u64,
}

#[derive(Default)]
struct Shard {
    slots: Vec<u64>,
    taken: usize,
}

impl HashIndex {
    /// A table with room for about `entries` entries. The seed keeps users from choosing colliding names.
    pub fn new(seed: u64, entries: usize) -> HashIndex {
        let shards = 1 << SHARDS_BITS;
        let slots = entries / shards * 3 / 2;
        let shard = |_| Shard { slots: vec![FREE; slots], taken: 0 };
        HashIndex { shards: (0..shards).map(shard).collect(), seed }
    }

    /// The hash of some bytes in this table.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FxHasher::with_seed(self.seed as usize);
        hasher.write(bytes);
        let mut hash = hasher.finish();
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^ (hash >> 29)
    }

    /// The number under this hash for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let shard = &self.shards[shard_of(hash)];
        let place = place_of(hash);
        let mut slot = shard.home(place)?;
        loop {
            let entry = shard.slots[slot];
            if entry == FREE {
                return None;
            }
            if (entry >> 32) as u32 == place && is_it(entry as u32) {
                return Some(entry as u32);
            }
            slot = shard.after(slot);
        }
    }

    /// Adds a number that is not there yet. `u32::MAX` can't be added.
    pub fn insert(&mut self, hash: u64, number: u32) {
        assert!(number != u32::MAX, "the last number stands for a free slot");
        self.shards[shard_of(hash)].insert(u64::from(place_of(hash)) << 32 | u64::from(number));
    }

    /// Adds many numbers, shard by shard, so that the slots of one shard stay in the core's cache meanwhile:
    /// several times as fast as one by one where the table is large. `same` says whether two numbers of one hash
    /// stand for the same bytes; then the second is refused and given back, and others may be in or not.
    pub fn insert_many(&mut self, entries: &[(u64, u32)], mut same: impl FnMut(u32, u32) -> bool) -> Result<(), u32> {
        let mut by_shard: Vec<Vec<u64>> = vec![Vec::new(); self.shards.len()];
        for (hash, number) in entries {
            assert!(*number != u32::MAX, "the last number stands for a free slot");
            by_shard[shard_of(*hash)].push(u64::from(place_of(*hash)) << 32 | u64::from(*number));
        }
        for (shard, entries) in self.shards.iter_mut().zip(by_shard) {
            for entry in entries {
                if shard.holds(entry, |number| same(number, entry as u32)) {
                    return Err(entry as u32);
                }
                shard.insert(entry);
            }
        }
        Ok(())
    }

    /// Takes a number out that is there.
    pub fn remove(&mut self, hash: u64, number: u32) {
        let entry = u64::from(place_of(hash)) << 32 | u64::from(number);
        self.shards[shard_of(hash)].remove(entry);
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.slots.capacity() as u64 * 8).sum()
    }
}

#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARDS_BITS)) as usize
}

#[inline]
fn place_of(hash: u64) -> u32 {
    (hash >> (32 - SHARDS_BITS)) as u32
}

impl Shard {
    #[inline]
    fn home(&self, place: u32) -> Option<usize> {
        (!self.slots.is_empty()).then(|| ((u64::from(place) * self.slots.len() as u64) >> 32) as usize)
    }

    #[inline]
    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn insert(&mut self, entry: u64) {
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.put(entry);
        self.taken += 1;
    }

    /// Whether there is an entry of the same place for which `is_it` holds.
    fn holds(&self, entry: u64, mut is_it: impl FnMut(u32) -> bool) -> bool {
        let place = (entry >> 32) as u32;
        let Some(mut slot) = self.home(place) else { return false };
        while self.slots[slot] != FREE {
            let other = self.slots[slot];
            if (other >> 32) as u32 == place && is_it(other as u32) {
                return true;
            }
            slot = self.after(slot);
        }
        false
    }

    fn put(&mut self, entry: u64) {
        let mut slot = self.home((entry >> 32) as u32).expect("it grew before");
        while self.slots[slot] != FREE {
            slot = self.after(slot);
        }
        self.slots[slot] = entry;
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 3 / 2).max(8);
        let old = std::mem::replace(&mut self.slots, vec![FREE; slots]);
        old.into_iter().filter(|entry| *entry != FREE).for_each(|entry| self.put(entry));
    }

    fn remove(&mut self, entry: u64) {
        let mut hole = self.home((entry >> 32) as u32).expect("what is removed is there");
        while self.slots[hole] != entry {
            assert!(self.slots[hole] != FREE, "what is removed is there");
            hole = self.after(hole);
        }
        self.taken -= 1;
        // Entries behind the hole move up, unless that would put them before their home.
        let mut slot = hole;
        loop {
            slot = self.after(slot);
            let entry = self.slots[slot];
            if entry == FREE {
                break;
            }
            let home = self.home((entry >> 32) as u32).expect("the table has slots");
            let stays = if hole < slot { home > hole && home <= slot } else { home > hole || home <= slot };
            if !stays {
                self.slots[hole] = entry;
                hole = slot;
            }
        }
        self.slots[hole] = FREE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_finds_what_a_map_finds() {
        let mut random = 7_u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let mut index = HashIndex::new(3, 0);
        let mut map: HashMap<u64, u32> = HashMap::new();
        for number in 0..200_000_u32 {
            // Few different hashes, so that runs of equal ones and wrapped runs are met.
            let key = next() % 5_000;
            let hash = index.hash(&key.to_le_bytes()) & !(0x3FF << 30);
            if let Some(old) = map.remove(&key) {
                index.remove(hash, old);
            } else {
                index.insert(hash, number);
                map.insert(key, number);
            }
            let probe = next() % 5_000;
            let expect = map.get(&probe).copied();
            let found = index.find(index.hash(&probe.to_le_bytes()) & !(0x3FF << 30), |number| expect == Some(number));
            assert_eq!(found, expect);
        }
        assert!(map.len() > 1_000);
        // The same by bulk: equal keys are refused, equal hashes of other keys are not.
        let hash = |key: &u64| index.hash(&key.to_le_bytes()) & !(0x3FF << 30);
        let keys: Vec<u64> = map.keys().copied().collect();
        let entries: Vec<(u64, u32)> = keys.iter().map(|key| (hash(key), map[key])).collect();
        let mut bulk = HashIndex::new(3, 0);
        let never = |_: u32, _: u32| false;
        assert_eq!(bulk.insert_many(&entries, never), Ok(()));
        for (hash, number) in &entries {
            assert_eq!(bulk.find(*hash, |other| other == *number), Some(*number));
        }
        let again = entries[7];
        assert_eq!(bulk.insert_many(&[(again.0, u32::MAX - 1)], |other, _| other == again.1), Err(u32::MAX - 1));
        assert_eq!(index.shards.iter().map(|shard| shard.taken).sum::<usize>(), map.len());
    }
}
