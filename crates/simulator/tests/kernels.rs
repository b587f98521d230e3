//! Fleets whose nodes keep their slices in kernels, on simulated disks, keep what was promised.
//!
//! `MERIDIAN_SEEDS` says how many seeds each of the three parts runs, `MERIDIAN_FIRST_SEED` where the first begins. A
//! failure names its seed; `cargo xtask simulate --kernels --first-seed SEED --seeds 1` shows it again, made small.

use protocol::Mutation;
use simulator::{Counts, Plan, Scenario, WholePlan, minimise, run};

/// Seeds of one part: three of them run side by side. A kernel takes some ten times as long as a small store.
const SEEDS: u64 = 150;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn hold<S: Scenario>(part: u64, plan_of: fn(u64) -> S, slices: fn(&S::Counts) -> Counts) {
    let seeds = number("MERIDIAN_SEEDS").unwrap_or(SEEDS);
    let first = number("MERIDIAN_FIRST_SEED").unwrap_or(1) + part * seeds;
    let mut counts = S::Counts::default();
    for seed in first..first + seeds {
        let plan = plan_of(seed);
        let outcome = run(&plan, None);
        if let Some(complaint) = outcome.complaint {
            let (small, smaller) = minimise(&plan, None);
            panic!("seed {seed}: {complaint}\nmade smaller: {smaller}\n{small}");
        }
        S::add(&mut counts, &outcome.counts);
    }
    let Counts { writes, reads, successions, files_taken, .. } = slices(&counts);
    assert!(writes > seeds && reads > seeds && successions > 0 && files_taken > 0, "{counts:?}");
}

#[test]
fn fleets_of_kernels_hold_part_1() {
    hold(0, Plan::of_kernels, |counts| *counts);
}

#[test]
fn fleets_of_kernels_hold_part_2() {
    hold(1, Plan::of_kernels, |counts| *counts);
}

#[test]
fn whole_fleets_of_kernels_hold() {
    hold(0, WholePlan::of_kernels, |counts| counts.slices);
}

#[test]
fn a_seed_of_kernels_replays_exactly() {
    for seed in 1..6 {
        let plan = Plan::of_kernels(seed);
        let (once, again) = (run(&plan, None), run(&plan, None));
        assert_eq!((once.counts, once.complaint), (again.counts, again.complaint), "seed {seed}");
    }
}

/// What the checker finds where a small store is below it must be found above kernels too.
#[test]
fn a_planted_bug_is_found_above_kernels() {
    let bug = Mutation::AcknowledgeBeforeLastMember;
    let found = (1..400).map(Plan::of_kernels).find(|plan| run(plan, Some(bug)).complaint.is_some());
    let plan = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
    assert_eq!(run(&plan, None).complaint, None, "{bug:?} alone is at fault in seed {}", plan.seed);
}
