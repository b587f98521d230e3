//! Fleets of many seeds keep what was promised, and the checker finds every bug that is planted on purpose.
//!
//! `MERIDIAN_SEEDS` says how many seeds each of the four parts runs, `MERIDIAN_FIRST_SEED` where the first begins. A
//! failure names its seed; `cargo xtask simulate --first-seed SEED --seeds 1` shows it again, made small.

use protocol::Mutation;
use simulator::{Counts, Plan, minimise, run};

/// Seeds of one part: four of them run side by side.
const SEEDS: u64 = 2_500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs a part's seeds; gives what happened in them.
fn hold(part: u64) -> Counts {
    let seeds = number("MERIDIAN_SEEDS").unwrap_or(SEEDS);
    let first = number("MERIDIAN_FIRST_SEED").unwrap_or(1) + part * seeds;
    let mut counts = Counts::default();
    for seed in first..first + seeds {
        let plan = Plan::of(seed);
        let outcome = run(&plan, None);
        if let Some(complaint) = outcome.complaint {
            let (small, smaller) = minimise(&plan, None);
            panic!("seed {seed}: {complaint}\nmade smaller: {smaller}\n{small}");
        }
        counts.add(&outcome.counts);
    }
    counts
}

/// What a fleet is there for must really have happened.
fn has_seen_much(counts: &Counts) {
    let Counts { writes, reads, successions, set_aside, files_taken, lost, forced, .. } = *counts;
    for (what, count) in [("writes", writes), ("reads", reads), ("successions", successions), ("set aside", set_aside)] {
        assert!(count > 0, "no {what} in all seeds");
    }
    assert!(files_taken > 0 && lost > 0 && forced > 0, "{counts:?}");
}

#[test]
fn fleets_hold_part_1() {
    has_seen_much(&hold(0));
}

#[test]
fn fleets_hold_part_2() {
    has_seen_much(&hold(1));
}

#[test]
fn fleets_hold_part_3() {
    has_seen_much(&hold(2));
}

#[test]
fn fleets_hold_part_4() {
    has_seen_much(&hold(3));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..40 {
        let plan = Plan::of(seed);
        let (once, again) = (run(&plan, None), run(&plan, None));
        assert_eq!((once.counts, once.complaint), (again.counts, again.complaint), "seed {seed}");
    }
}

/// From which seed on a bug is looked for: a hint, so that the search is short.
fn hint(bug: Mutation) -> u64 {
    match bug {
        Mutation::CompareSequencesOnly => 4_800,
        Mutation::FlushUnstable => 800,
        Mutation::NewerVersionWins => 2_150,
        Mutation::LeaseOnWallClock => 2_250,
        Mutation::LeaseBeforeSnapshot | Mutation::AcknowledgeInDoubt => 500,
        Mutation::MergeDeletesPinned => 340,
        _ => 1,
    }
}

/// How many seeds a search takes at most.
const SEARCH: u64 = 8_000;

fn is_found(bug: Mutation) {
    let first = hint(bug);
    let found = (first..first + SEARCH).map(Plan::of).find(|plan| run(plan, Some(bug)).complaint.is_some());
    let plan = found.unwrap_or_else(|| panic!("{bug:?} was not found in {SEARCH} seeds from {first}"));
    let (small, complaint) = minimise(&plan, Some(bug));
    assert!(small.faults.len() <= plan.faults.len() && !complaint.is_empty());
    assert_eq!(run(&small, Some(bug)).complaint.as_deref(), Some(complaint.as_str()), "a smaller plan replays too");
    assert_eq!(run(&plan, None).complaint, None, "{bug:?} alone is at fault in seed {}", plan.seed);
}

const ACKNOWLEDGING: &[Mutation] =
    &[Mutation::AcknowledgeBeforeLastMember, Mutation::AcknowledgeInDoubt, Mutation::DeduplicationNotShipped];
const EPOCHS_AND_LEASES: &[Mutation] =
    &[Mutation::PromoteNonMember, Mutation::EpochNotPersisted, Mutation::LeaseOnWallClock, Mutation::LeaseBeforeSnapshot];
const LOGS: &[Mutation] =
    &[Mutation::AcceptGap, Mutation::CompareSequencesOnly, Mutation::FlushUnstable, Mutation::NewerVersionWins];
const FILES: &[Mutation] = &[Mutation::RetentionLocal, Mutation::MergeDeletesPinned, Mutation::SourceDeletedEarly];

#[test]
fn planted_bugs_of_acknowledging_are_found() {
    ACKNOWLEDGING.iter().copied().for_each(is_found);
}

#[test]
fn planted_bugs_of_epochs_and_leases_are_found() {
    EPOCHS_AND_LEASES.iter().copied().for_each(is_found);
}

#[test]
fn planted_bugs_of_logs_are_found() {
    LOGS.iter().copied().for_each(is_found);
}

#[test]
fn planted_bugs_of_files_are_found() {
    FILES.iter().copied().for_each(is_found);
}

#[test]
fn every_planted_bug_is_looked_for_once() {
    let looked_for = [ACKNOWLEDGING, EPOCHS_AND_LEASES, LOGS, FILES].concat();
    for bug in Mutation::ALL {
        assert_eq!(looked_for.iter().filter(|other| **other == bug).count(), 1, "{bug:?}");
    }
}
