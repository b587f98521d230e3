//! Fleets of schedulers: the changes of a tag table.

use super::{hold, is_found, replays};
use protocol::Mutation;
use simulator::{TagCounts, TagPlan};

/// Seeds of one part: two of them run side by side.
const SEEDS: u64 = 2_000;

/// All that are looked for here.
pub const BUGS: &[Mutation] =
    &[Mutation::UndoOnTimeout, Mutation::LeaderFromOutside, Mutation::CommitWithoutChainHash, Mutation::OrdinalReused];

/// What a fleet is there for must really have happened.
fn has_seen_much(counts: &TagCounts) {
    let TagCounts { changes, reads, batches, successions, cut, parts_taken, removed, .. } = *counts;
    assert!(changes > 0 && reads > 0 && batches > 0, "{counts:?}");
    assert!(successions > 0 && cut > 0 && parts_taken > 0 && removed > 0, "{counts:?}");
}

#[test]
fn schedulers_hold_part_1() {
    has_seen_much(&hold::<TagPlan>(0, SEEDS));
}

#[test]
fn schedulers_hold_part_2() {
    has_seen_much(&hold::<TagPlan>(1, SEEDS));
}

#[test]
fn a_seed_replays_exactly() {
    replays::<TagPlan>();
}

#[test]
fn planted_bugs_of_tag_changes_are_found() {
    BUGS.iter().for_each(|bug| is_found::<TagPlan>(*bug, 1));
}
