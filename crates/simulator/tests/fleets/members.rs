//! Fleets of nodes under several managers.

use super::{hold, replays};
use protocol::Mutation;
use simulator::{MemberCounts, MemberPlan, Scenario, run};

/// Seeds of the one part.
const SEEDS: u64 = 5_000;

#[test]
fn managers_hold() {
    let MemberCounts { states, conflicts, added, removed, handed_over, given_up, .. } = hold::<MemberPlan>(0, SEEDS);
    let counts = [states, conflicts, added, removed, handed_over, given_up];
    assert!(counts.iter().all(|count| *count > 0), "states, conflicts, added, removed, handed over, given up: {counts:?}");
}

#[test]
fn a_seed_replays_exactly() {
    replays::<MemberPlan>();
}

/// The one planted bug that is a manager's too.
#[test]
fn a_source_that_a_manager_removes_early_is_found() {
    let bug = Mutation::SourceDeletedEarly;
    let found = (1..200).map(MemberPlan::of_seed).find(|plan| run(plan, Some(bug)).complaint.is_some());
    let plan = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
    assert_eq!(run(&plan, None).complaint, None, "{bug:?} alone is at fault in\n{plan}");
}
