//! Fleets of many seeds keep what was promised, and the checkers find every bug that is planted on purpose.
//!
//! `MERIDIAN_SEEDS` says how many seeds each part runs, `MERIDIAN_FIRST_SEED` where the first begins. A failure names its
//! seed; `cargo xtask simulate --first-seed SEED --seeds 1` shows it again, made small.

mod members;
mod slices;
mod tags;
mod whole;

use protocol::Mutation;
use simulator::{Scenario, minimise, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs a part's seeds; gives what happened in them. Parts run side by side.
fn hold<S: Scenario>(part: u64, seeds: u64) -> S::Counts {
    let seeds = number("MERIDIAN_SEEDS").unwrap_or(seeds);
    let first = number("MERIDIAN_FIRST_SEED").unwrap_or(1) + part * seeds;
    let mut counts = S::Counts::default();
    for seed in first..first + seeds {
        let plan = S::of_seed(seed);
        let outcome = run(&plan, None);
        if let Some(complaint) = outcome.complaint {
            let (small, smaller) = minimise(&plan, None);
            panic!("seed {seed}: {complaint}\nmade smaller: {smaller}\n{small}");
        }
        S::add(&mut counts, &outcome.counts);
    }
    counts
}

fn replays<S: Scenario>() {
    for seed in 1..40 {
        let plan = S::of_seed(seed);
        let (once, again) = (run(&plan, None), run(&plan, None));
        assert_eq!((once.counts, once.complaint), (again.counts, again.complaint), "seed {seed}");
    }
}

/// How many seeds a search takes at most.
const SEARCH: u64 = 8_000;

/// Looks for a bug, from a seed on: a hint, so that the search is short.
fn is_found<S: Scenario>(bug: Mutation, first: u64) {
    let found = (first..first + SEARCH).map(S::of_seed).find(|plan| run(plan, Some(bug)).complaint.is_some());
    let plan = found.unwrap_or_else(|| panic!("{bug:?} was not found in {SEARCH} seeds from {first}"));
    let (small, complaint) = minimise(&plan, Some(bug));
    assert!(small.faults() <= plan.faults() && !complaint.is_empty());
    assert_eq!(run(&small, Some(bug)).complaint.as_deref(), Some(complaint.as_str()), "a smaller plan replays too");
    assert_eq!(run(&plan, None).complaint, None, "{bug:?} alone is at fault in\n{plan}");
}

#[test]
fn every_planted_bug_is_looked_for_once() {
    let looked_for: Vec<Mutation> =
        slices::BUGS.iter().copied().flatten().chain(tags::BUGS).chain(whole::BUGS).copied().collect();
    for bug in Mutation::ALL {
        assert_eq!(looked_for.iter().filter(|other| **other == bug).count(), 1, "{bug:?}");
    }
}
