//! Fleets of data nodes: the replication of a few slices.

use super::{hold, is_found, replays};
use protocol::Mutation;
use simulator::{Counts, Plan};

/// Seeds of one part: four of them run side by side.
const SEEDS: u64 = 2_500;

/// What a fleet is there for must really have happened.
fn has_seen_much(counts: &Counts) {
    let Counts { writes, reads, successions, set_aside, files_taken, lost, forced, modes, .. } = *counts;
    for (what, count) in [("writes", writes), ("reads", reads), ("successions", successions), ("set aside", set_aside)] {
        assert!(count > 0, "no {what} in all seeds");
    }
    assert!(files_taken > 0 && lost > 0 && forced > 0 && modes > 0, "{counts:?}");
}

#[test]
fn fleets_hold_part_1() {
    has_seen_much(&hold::<Plan>(0, SEEDS));
}

#[test]
fn fleets_hold_part_2() {
    has_seen_much(&hold::<Plan>(1, SEEDS));
}

#[test]
fn fleets_hold_part_3() {
    has_seen_much(&hold::<Plan>(2, SEEDS));
}

#[test]
fn fleets_hold_part_4() {
    has_seen_much(&hold::<Plan>(3, SEEDS));
}

#[test]
fn a_seed_replays_exactly() {
    replays::<Plan>();
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

fn look_for(bug: Mutation) {
    is_found::<Plan>(bug, hint(bug));
}

/// All that are looked for here.
pub const BUGS: [&[Mutation]; 4] = [ACKNOWLEDGING, EPOCHS_AND_LEASES, LOGS, FILES];

const ACKNOWLEDGING: &[Mutation] =
    &[Mutation::AcknowledgeBeforeLastMember, Mutation::AcknowledgeInDoubt, Mutation::DeduplicationNotShipped];
const EPOCHS_AND_LEASES: &[Mutation] =
    &[Mutation::PromoteNonMember, Mutation::EpochNotPersisted, Mutation::LeaseOnWallClock, Mutation::LeaseBeforeSnapshot];
const LOGS: &[Mutation] =
    &[Mutation::AcceptGap, Mutation::CompareSequencesOnly, Mutation::FlushUnstable, Mutation::NewerVersionWins];
const FILES: &[Mutation] = &[Mutation::RetentionLocal, Mutation::MergeDeletesPinned, Mutation::SourceDeletedEarly];

#[test]
fn planted_bugs_of_acknowledging_are_found() {
    ACKNOWLEDGING.iter().copied().for_each(look_for);
}

#[test]
fn planted_bugs_of_epochs_and_leases_are_found() {
    EPOCHS_AND_LEASES.iter().copied().for_each(look_for);
}

#[test]
fn planted_bugs_of_logs_are_found() {
    LOGS.iter().copied().for_each(look_for);
}

#[test]
fn planted_bugs_of_files_are_found() {
    FILES.iter().copied().for_each(look_for);
}
