//! The budget under random requests: its ceilings, its order, and what comes back.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use memory::{Budget, Grant, Share, TooLarge};
use std::sync::Arc;
use world::{SeededRandom, Ticket};

struct Waiting {
    share: usize,
    bytes: u64,
    number: u64,
    ticket: Ticket<Grant>,
}

/// Random takes, growths, splits, merges and drops over three shares; after each the sums hold, and
/// nobody waits who could be served.
fn check(seed: u64) {
    let random = SeededRandom::new(seed);
    let budget = Budget::new(random.between(500, 2000));
    let bounds = [random.between(1, 1500), random.between(1, 1500), u64::MAX];
    let shares: Vec<Arc<Share>> = ["a", "b", "c"].into_iter().zip(bounds).map(|(name, max)| budget.share(name, max)).collect();
    let (mut held, mut waiting, mut numbers): (Vec<(usize, Grant)>, Vec<Waiting>, u64) = (Vec::new(), Vec::new(), 0);
    for _ in 0..random.between(10, 200) {
        let (share, bytes) = (random.between(0, 2) as usize, random.between(0, 600));
        match random.between(0, 9) {
            0 | 1 => held.extend(shares[share].try_take(bytes).map(|grant| (share, grant))),
            2 | 3 => match shares[share].take(bytes) {
                Err(TooLarge { bytes_max, .. }) => assert!(bytes > bytes_max),
                Ok(ticket) => {
                    numbers += 1;
                    waiting.push(Waiting { share, bytes, number: numbers, ticket });
                }
            },
            4 if !waiting.is_empty() => {
                let chosen = random.between(0, waiting.len() as u64 - 1) as usize;
                drop(waiting.swap_remove(chosen));
            }
            _ if held.is_empty() => {}
            5..=7 => {
                let chosen = random.between(0, held.len() as u64 - 1) as usize;
                drop(held.swap_remove(chosen));
            }
            8 => {
                let (share, grant) = held.last_mut().unwrap();
                let share = *share;
                let before = grant.bytes();
                let grown = grant.try_grow(bytes);
                assert_eq!(grant.bytes(), before + if grown { bytes } else { 0 });
                let cut = grant.split(random.between(0, grant.bytes()));
                held.push((share, cut));
            }
            _ => {
                let (share, mut grant) = held.pop().unwrap();
                match held.iter().position(|(other, _)| *other == share) {
                    Some(other) => held[other].1.merge(grant),
                    None => grant.shrink(grant.bytes() / 2),
                }
            }
        }
        waiting.sort_by_key(|waiter| waiter.number);
        let mut still: Vec<Waiting> = Vec::new();
        for mut waiter in std::mem::take(&mut waiting) {
            match waiter.ticket.try_take() {
                None => still.push(waiter),
                Some(grant) => {
                    let before: Vec<u64> = still.iter().filter(|w| w.share == waiter.share).map(|w| w.number).collect();
                    assert!(before.is_empty(), "seed {seed}: {} was served before {before:?}", waiter.number);
                    assert_eq!(grant.as_ref().unwrap().bytes(), waiter.bytes);
                    held.push((waiter.share, grant.unwrap()));
                }
            }
        }
        waiting = still;
        verify(seed, &budget, &held, &waiting);
    }
    drop((held, waiting));
    assert_eq!(budget.bytes(), 0, "seed {seed}");
}

fn verify(seed: u64, budget: &Budget, held: &[(usize, Grant)], waiting: &[Waiting]) {
    assert!(budget.bytes() <= budget.bytes_max(), "seed {seed}");
    let status = budget.shares();
    assert_eq!(budget.bytes(), status.iter().map(|share| share.bytes).sum::<u64>());
    for (i, share) in status.iter().enumerate() {
        assert_eq!(share.bytes, held.iter().filter(|(of, _)| *of == i).map(|(_, g)| g.bytes()).sum::<u64>(), "seed {seed}");
        assert!(share.bytes <= share.bytes_max && share.bytes_peak >= share.bytes);
    }
    // The first who waits in its share fits neither there nor in the budget, unless someone before it waits for the budget.
    for (i, waiter) in waiting.iter().enumerate() {
        let first = !waiting[..i].iter().any(|other| other.share == waiter.share);
        let share = &status[waiter.share];
        if first && share.bytes + waiter.bytes <= share.bytes_max {
            assert!(budget.bytes() + waiter.bytes > budget.bytes_max(), "seed {seed}: {} could be served", waiter.number);
            break;
        }
    }
}

#[test]
fn shares_stay_within_their_bounds_and_order() {
    (0..3000).for_each(check);
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let budget = Budget::new(100);
    let (large, small) = (budget.share("large", 100), budget.share("small", 100));
    let held = small.try_take(50).unwrap();
    let mut waits = large.take(80).unwrap();
    assert!(small.try_take(10).is_none() && waits.try_take().is_none());
    let mut behind = small.take(10).unwrap();
    drop(held);
    assert_eq!(waits.try_take().unwrap().unwrap().bytes(), 80);
    assert_eq!(behind.try_take().unwrap().unwrap().bytes(), 10);
}

#[test]
fn a_share_at_its_bound_holds_back_only_itself() {
    let budget = Budget::new(100);
    let (tight, free) = (budget.share("tight", 10), budget.share("free", 100));
    let held = tight.try_take(10).unwrap();
    let mut waits = tight.take(5).unwrap();
    assert!(free.try_take(50).is_some());
    assert!(tight.try_take(0).is_none());
    drop(held);
    assert!(waits.try_take().is_some());
}

#[test]
fn a_closed_share_abandons_who_waits_and_holds_nobody_back() {
    let budget = Budget::new(100);
    let (shut, open) = (budget.share("shut", 100), budget.share("open", 100));
    let held = open.try_take(60).unwrap();
    let waits = shut.take(80).unwrap();
    let mut behind = open.take(40).unwrap();
    assert!(behind.try_take().is_none());
    shut.close();
    assert!(waits.wait().is_err() && shut.take(1).unwrap().wait().is_err() && shut.try_take(1).is_none());
    assert!(behind.try_take().unwrap().is_ok());
    drop(held);
    assert_eq!((budget.bytes(), shut.status().bytes_waiting), (0, 0));
}

#[test]
fn threads_get_everything_in_the_end() {
    let budget = Budget::new(1000);
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let share = budget.share("worker", 700);
            let budget = &budget;
            scope.spawn(move || {
                let random = SeededRandom::new(worker);
                for _ in 0..2000 {
                    let grant = share.take(random.between(1, 700)).unwrap().wait().unwrap();
                    let bytes = budget.bytes();
                    assert!(bytes >= grant.bytes() && bytes <= 1000);
                }
            });
        }
    });
    assert_eq!(budget.bytes(), 0);
}
