//! Random calls: every answer must be the oracle's, revisions included.

use super::{Bench, Oracle, key};
use meta::{Error, Is, Key, LeaseId, Range, Revision, Swap};
use std::collections::BTreeSet;
use std::time::Duration;
use world::SeededRandom;

/// Few keys, so that swaps meet; some that are prefixes of others.
const KEYS: u64 = 12;

/// Random numbers with a shape.
pub struct Dice(SeededRandom);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(SeededRandom::new(seed))
    }

    /// A number below.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.between(0, bound.max(1) - 1)
    }

    /// A key.
    pub fn key(&self) -> Key {
        let number = self.below(KEYS);
        key(&format!("r/{}{}", number / 3, "/x".repeat((number % 3) as usize)))
    }
}

/// A swap that often holds: conditions mostly of what the oracle knows.
pub fn random_swap(dice: &Dice, oracle: &Oracle) -> Swap {
    let mut swap = Swap::new();
    for _ in 0..dice.below(3) {
        let key = dice.key();
        let is = match (dice.below(8), oracle.entries.get(&key)) {
            (0, _) => Is::Absent,
            (1, _) => Is::Modified(Revision(dice.below(oracle.revision.0 + 2))),
            (2, _) => Is::Value(dice.below(4).to_string().into()),
            (_, None) => Is::Absent,
            (3..=5, Some(entry)) => Is::Modified(entry.modified),
            (_, Some(entry)) => Is::Value(entry.value.clone()),
        };
        swap = swap.when(&key, is);
    }
    let keys: BTreeSet<Key> = (0..dice.below(4)).map(|_| dice.key()).collect();
    for key in &keys {
        let lease = oracle.leases.iter().nth(dice.below(3) as usize).copied();
        swap = match (dice.below(5), lease) {
            (0, _) => swap.delete(key),
            (1, Some(lease)) => swap.put_leased(key, dice.below(4).to_string(), lease),
            (1, None) if dice.below(4) == 0 => swap.put_leased(key, "x", LeaseId(77)),
            _ => swap.put(key, dice.below(4).to_string()),
        };
    }
    swap
}

pub fn random_calls_answer_as_the_oracle(bench: &impl Bench, seed: u64, calls: usize) {
    let (dice, meta) = (Dice::new(seed), bench.meta());
    let all = Range::prefix("r/").expect("an answer that is no fault");
    let mut oracle = Oracle::at(bench.good(meta.get(&[])).revision);
    for call in 0..calls {
        match dice.below(10) {
            0 => {
                let lease = bench.good(meta.grant(Duration::from_secs(600)));
                oracle.leases.insert(lease.id);
            }
            1 => {
                let lease = oracle.leases.iter().nth(dice.below(5) as usize).copied().unwrap_or(LeaseId(77));
                let expect = if oracle.end_lease(lease) { Ok(()) } else { Err(Error::LeaseGone(lease)) };
                assert_eq!(
                    bench.answer(meta.revoke(lease)).expect("an answer that is no fault"),
                    expect,
                    "seed {seed}, call {call}"
                );
            }
            2 => {
                let page = bench.good(meta.range(&all, 100));
                let read = (page.revision, page.entries, page.more);
                assert_eq!(read, (oracle.revision, oracle.range(&all), false), "seed {seed}, call {call}");
            }
            3 => {
                let keys: Vec<Key> = (0..dice.below(5)).map(|_| dice.key()).collect();
                let found = bench.good(meta.get(&keys));
                let expect: Vec<_> = keys.iter().map(|key| oracle.entries.get(key).cloned()).collect();
                assert_eq!((found.revision, found.entries), (oracle.revision, expect), "seed {seed}, call {call}");
            }
            _ => {
                let swap = random_swap(&dice, &oracle);
                let answer = bench.answer(meta.swap(swap.clone())).expect("an answer that is no fault");
                assert_eq!(answer, oracle.swap(&swap), "seed {seed}, call {call}: {swap:?}");
            }
        }
    }
}
