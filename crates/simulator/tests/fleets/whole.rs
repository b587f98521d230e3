//! Whole fleets: managers, schedulers and data nodes together.

use super::{hold, is_found, replays};
use protocol::Mutation;
use simulator::{Scenario, WholeCounts, WholePlan, run};

/// Seeds of one part: four of them run side by side.
const SEEDS: u64 = 2_500;

/// All that only a whole fleet can show.
pub const BUGS: &[Mutation] = &[Mutation::SampleBeforeCommit];

/// What needs states that whole fleets seldom come to: looked for in fleets of slices alone.
const OF_SLICES_ALONE: [Mutation; 4] =
    [Mutation::CompareSequencesOnly, Mutation::FlushUnstable, Mutation::NewerVersionWins, Mutation::LeaseOnWallClock];

/// What a fleet is there for must really have happened.
fn has_seen_much(counts: &WholeCounts) {
    let WholeCounts { slices, members, tags } = counts;
    let of_slices = [slices.writes, slices.reads, slices.successions, slices.handed_over, slices.set_aside, slices.files_taken];
    let of_members = [members.states, members.conflicts, members.added, members.removed, members.given_up];
    let of_tags = [tags.changes, tags.reads, tags.successions, tags.cut, tags.parts_taken, tags.removed];
    assert!(of_slices.iter().chain(&of_members).chain(&of_tags).all(|count| *count > 0), "{counts:?}");
    assert!(slices.lost > 0 && slices.forced > 0, "{counts:?}");
}

#[test]
fn whole_fleets_hold_part_1() {
    has_seen_much(&hold::<WholePlan>(0, SEEDS));
}

#[test]
fn whole_fleets_hold_part_2() {
    has_seen_much(&hold::<WholePlan>(1, SEEDS));
}

#[test]
fn whole_fleets_hold_part_3() {
    has_seen_much(&hold::<WholePlan>(2, SEEDS));
}

#[test]
fn whole_fleets_hold_part_4() {
    has_seen_much(&hold::<WholePlan>(3, SEEDS));
}

/// Seeds that failed once: a new primary took the tail of a replica that had been swapped out, and gave up what was stable; a
/// target named a node twice; a scheduler that began anew was never let in again; a scheduler had no way to a slice that
/// nobody had asked it for.
#[test]
fn seeds_that_failed_hold() {
    for plan in [1_370, 40_718, 43_581, 700_108].map(WholePlan::of_seed) {
        assert_eq!(run(&plan, None).complaint, None, "{plan}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    replays::<WholePlan>();
}

#[test]
fn planted_bugs_of_statements_are_found() {
    BUGS.iter().for_each(|bug| is_found::<WholePlan>(*bug, 1));
}

/// Bugs of each part are found where all parts run together.
#[test]
fn planted_bugs_of_the_parts_are_found() {
    for bug in Mutation::ALL.into_iter().filter(|bug| !BUGS.contains(bug) && !OF_SLICES_ALONE.contains(bug)) {
        let found = (1..2_000).map(WholePlan::of_seed).find(|plan| run(plan, Some(bug)).complaint.is_some());
        let plan = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        assert_eq!(run(&plan, None).complaint, None, "{bug:?} alone is at fault in\n{plan}");
    }
}
