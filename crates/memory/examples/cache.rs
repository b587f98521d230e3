//! Measures budget and cache on this machine: `cargo run --release -p memory --example cache`.
//!
//! Not part of the tests: timings are nobody's promise.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use memory::{Budget, Cache, CacheKey};
use std::sync::Arc;
use std::time::Instant;

const LOOKUPS: u64 = 5_000_000;

fn mix(i: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

fn main() {
    let budget = Budget::new(1 << 30);
    let cache: Arc<Cache<Arc<[u8]>>> = Cache::new(budget.share("cache", 1 << 30), 64);
    let block: Arc<[u8]> = vec![0; 64].into();
    for (name, entries) in [("1,000 entries", 1_000), ("100,000 entries", 100_000)] {
        (0..entries).for_each(|i| cache.insert(CacheKey { file: 1, offset: i }, Arc::clone(&block), 4096));
        for threads in [1, 2] {
            let before = Instant::now();
            std::thread::scope(|scope| {
                for worker in 0..threads {
                    let cache = &cache;
                    scope.spawn(move || {
                        let found = (0..LOOKUPS).filter(|i| {
                            let key = CacheKey { file: 1, offset: mix(i + worker) % entries };
                            cache.get(key).is_some()
                        });
                        assert_eq!(found.count() as u64, LOOKUPS);
                    });
                }
            });
            println!("hit, {name}, {threads} threads: {:.0} ns", before.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64);
        }
    }
    let before = Instant::now();
    (0..LOOKUPS).for_each(|i| cache.insert(CacheKey { file: 2, offset: i }, Arc::clone(&block), 4096));
    println!("insert under pressure: {:.0} ns", before.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64);
    let share = budget.share("others", 1 << 30);
    let before = Instant::now();
    for _ in 0..LOOKUPS {
        drop(share.try_take(1));
    }
    println!("take and give back: {:.0} ns", before.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64);
}
