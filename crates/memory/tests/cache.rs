//! The cache: what it finds, what it holds, what it keeps, and how it gives way.

use memory::{Budget, Cache, CacheKey};
use std::collections::HashMap;
use std::sync::Arc;
use world::SeededRandom;

fn key(file: u64, offset: u64) -> CacheKey {
    CacheKey { file, offset }
}

/// Against a map that forgets nothing: a hit is never wrong, and the books balance.
fn check(seed: u64) {
    let random = SeededRandom::new(seed);
    let budget = Budget::new(random.between(100_000, 3_000_000));
    let share = budget.share("cache", random.between(50_000, 4_000_000));
    let others = budget.share("others", u64::MAX);
    let cache: Arc<Cache<u64>> = Cache::new(Arc::clone(&share), 1 << random.between(0, 3));
    let mut all: HashMap<(u64, u64), u64> = HashMap::new();
    let mut held = Vec::new();
    for step in 0..2000 {
        let (file, offset) = (random.between(1, 4), random.between(0, 300));
        match random.between(0, 99) {
            0 => {
                cache.remove_file(file);
                all.retain(|(of, _), _| *of != file);
            }
            1..=4 => held.extend(others.try_take(random.between(0, budget.bytes_max() / 3))),
            5..=8 => drop(held.pop()),
            9..=40 => {
                cache.insert(key(file, offset), step, random.between(0, 20_000));
                all.insert((file, offset), step);
            }
            _ => {
                if let Some(value) = cache.get(key(file, offset)) {
                    assert_eq!(all.get(&(file, offset)), Some(&value), "seed {seed}");
                }
            }
        }
        let status = cache.status();
        assert!(status.bytes <= status.granted_bytes, "seed {seed}");
        assert_eq!(status.granted_bytes, share.status().bytes, "seed {seed}");
        assert!(budget.bytes() <= budget.bytes_max() && status.granted_bytes <= share.bytes_max());
    }
    assert!(cache.status().hits > 0, "seed {seed}");
    drop((cache, held));
    assert_eq!(budget.bytes(), 0, "seed {seed}");
}

#[test]
fn what_is_found_is_what_was_put() {
    (0..200).for_each(check);
}

#[test]
fn what_is_wanted_survives_a_scan() {
    let budget = Budget::new(4 << 20);
    let cache: Arc<Cache<u64>> = Cache::new(budget.share("cache", 4 << 20), 1);
    let look = |file, offset| {
        let found = cache.get(key(file, offset)).is_some();
        if !found {
            cache.insert(key(file, offset), offset, 4096 - 128);
        }
        u64::from(found)
    };
    // 512 hot blocks in room for 1,024, asked for a few times; then 100,000 blocks once each, hot ones between.
    let warm: u64 = (0..4 * 512).map(|i| look(1, i % 512)).sum();
    assert_eq!(warm, 3 * 512);
    let mut hits = 0;
    for i in 0..100_000 {
        look(2, i);
        hits += look(1, i % 512);
    }
    assert!(hits > 95_000, "{hits} of 100000 hot look-ups hit");
}

#[test]
fn it_gives_way_to_tickets_and_takes_room_again() {
    let budget = Budget::new(1 << 20);
    let cache: Arc<Cache<u64>> = Cache::new(budget.share("cache", 1 << 20), 2);
    let buffers = budget.share("buffers", 1 << 20);
    let fill = || (0..1000).for_each(|i| cache.insert(key(1, i), i, 4000));
    fill();
    assert!(cache.status().granted_bytes > 900 << 10);
    let mut grant = buffers.take(1 << 20).unwrap().wait().unwrap();
    assert_eq!((cache.status().entries, cache.status().granted_bytes), (0, 0));
    fill();
    assert_eq!(cache.status().entries, 0);
    // A ticket that its own share holds back lets the cache grow, and gets that room when its turn comes.
    let waits = buffers.take(800 << 10).unwrap();
    let (half, _rest) = (grant.split(512 << 10), grant);
    drop(half);
    fill();
    assert!(cache.status().entries > 50);
    drop(_rest);
    assert_eq!(waits.wait().unwrap().bytes(), 800 << 10);
    assert!(budget.bytes() <= 1 << 20);
}

#[test]
fn an_entry_larger_than_its_part_is_not_held() {
    let budget = Budget::new(1 << 20);
    let cache: Arc<Cache<u64>> = Cache::new(budget.share("cache", 1 << 20), 4);
    cache.insert(key(1, 1), 1, 300 << 10);
    assert_eq!(cache.get(key(1, 1)), None);
    cache.insert(key(1, 1), 1, 200 << 10);
    cache.insert(key(1, 1), 2, 100 << 10);
    assert_eq!(cache.get(key(1, 1)), Some(2));
    assert_eq!(cache.status().entries, 1);
    (0..100_000).for_each(|i| cache.insert(key(1, 1), i, 10));
    assert_eq!((cache.get(key(1, 1)), cache.status().entries), (Some(99_999), 1));
}

#[test]
fn threads_share_it() {
    let budget = Budget::new(1 << 20);
    let cache: Arc<Cache<u64>> = Cache::new(budget.share("cache", 1 << 20), 8);
    let others = budget.share("others", 1 << 20);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (cache, others) = (&cache, &others);
            scope.spawn(move || {
                let random = SeededRandom::new(worker);
                for _ in 0..20_000 {
                    let offset = random.between(0, 999);
                    match random.between(0, 99) {
                        0 => drop(others.take(random.between(0, 1 << 20)).unwrap().wait().unwrap()),
                        1 => cache.remove_file(worker),
                        2..=30 => cache.insert(key(offset % 4, offset), offset, 3000),
                        _ => assert!(cache.get(key(offset % 4, offset)).is_none_or(|value| value == offset)),
                    }
                }
            });
        }
    });
    let status = cache.status();
    assert!(status.hits > 0 && status.granted_bytes == budget.bytes());
}
