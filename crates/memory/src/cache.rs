//! A cache of file blocks, bounded in bytes, that fills what nobody else needs.
//!
//! Shards by key, each under its own mutex, each with its own queues and grant. Room comes from a
//! share, in steps, and only room that nobody waits for; when another share runs short, the cache
//! gives way at once (`Reclaim`). Which entries go is S3-FIFO's choice (see `shard.rs`).

use crate::shard::Shard;
use crate::{Reclaim, Share};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// What a block is known by: a number of its file that no other file ever has, and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey {
    /// The file.
    pub file: u64,
    /// The place.
    pub offset: u64,
}

impl CacheKey {
    /// Two multiplications spread both halves over all 64 bits.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            (wide as u64) ^ ((wide >> 64) as u64)
        };
        fold(fold(self.file ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93) ^ self.offset, 0xA076_1D64_78BD_642F)
    }
}

/// What a cache did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Entries held.
    pub entries: u64,
    /// Bytes of the entries, with what the cache itself needs for them.
    pub bytes: u64,
    /// Bytes taken from the share.
    pub granted_bytes: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries that had to go.
    pub evicted: u64,
}

/// A cache. Values are handed out as clones, so let them be `Arc`s.
pub struct Cache<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    /// Where giving way goes on.
    turn: AtomicUsize,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// A cache that may fill the share. `shards` (rounded up to a power of two, 1 to 1,024) is how
    /// many look-ups can run side by side; no entry may be larger than the share divided by it.
    #[must_use]
    pub fn new(share: Arc<Share>, shards: usize) -> Arc<Cache<V>> {
        let count = shards.clamp(1, 1024).next_power_of_two();
        let bytes_max = share.bytes_max() / count as u64;
        let shards = (0..count).map(|_| Mutex::new(Shard::new(&share, bytes_max))).collect();
        let cache = Arc::new(Cache { shards, turn: AtomicUsize::new(0) });
        let weak: Weak<dyn Reclaim> = Arc::<Cache<V>>::downgrade(&cache);
        share.budget().add_reclaimer(weak);
        cache
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard<V>> {
        // The table in the shard uses the low bits and the highest seven.
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)]
    }

    /// The value of a key, if it is held.
    #[inline]
    #[must_use]
    pub fn get(&self, key: CacheKey) -> Option<V> {
        let hash = key.hash();
        self.shard(hash).lock().get(key, hash)
    }

    /// Holds a value of so many bytes, in place of the one held before; or does not, where there is no room.
    pub fn insert(&self, key: CacheKey, value: V, bytes: u64) {
        let hash = key.hash();
        let mut gone = Vec::new();
        self.shard(hash).lock().insert(key, hash, value, bytes, &mut gone);
        // Values may be large: they are freed without the lock.
        drop(gone);
    }

    /// Forgets everything of a file.
    pub fn remove_file(&self, file: u64) {
        for shard in &self.shards {
            let mut gone = Vec::new();
            shard.lock().remove_file(file, &mut gone);
            drop(gone);
        }
    }

    /// What it did and holds.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        let mut out = CacheStatus::default();
        self.shards.iter().for_each(|shard| shard.lock().add_status(&mut out));
        out
    }
}

impl<V: Clone + Send + Sync + 'static> Reclaim for Cache<V> {
    fn reclaim(&self, bytes: u64) -> u64 {
        // A little of each shard first, then whatever is left.
        let fair = bytes.div_ceil(self.shards.len() as u64).max(64 << 10);
        let mut given = 0;
        for round in 0..2 * self.shards.len() {
            if given >= bytes {
                break;
            }
            let wanted = if round < self.shards.len() { fair } else { u64::MAX }.min(bytes - given);
            let shard = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            let mut gone = Vec::new();
            given += self.shards[shard].lock().give_way(wanted, &mut gone);
            drop(gone);
        }
        given
    }
}
