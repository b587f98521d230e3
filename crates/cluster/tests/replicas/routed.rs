//! Batches over all slices, written and read through a scheduler's router while nodes die.

use crate::PATIENCE;
use crate::fleet::{Doubles, Fleet, SLICES};
use cluster::data::Refused;
use cluster::router::{Freshness, RouteError, Router};
use kernel::{Deletion, TagSelection, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::{Compression, Origin, ProducerId, Samples, SliceId, TagId, TimeRange, Timestamp, Version};

/// Batch `number`: a sample a slice, at the time of its number.
fn batch(
    router: &Arc<Router>,
    number: u64,
    origin: Option<Origin>,
) -> impl Future<Output = Result<Vec<(SliceId, Version)>, RouteError>> + use<> {
    let tags: Vec<TagId> = (0..SLICES.into()).map(TagId).collect();
    let times = vec![Timestamp(number as i64); tags.len()];
    let bits: Vec<u64> = tags.iter().map(|tag| ((number * 10 + tag.0) as f64).to_bits()).collect();
    let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
    let written = router.write(&Write { samples: &samples, texts: &[], origin }, &Doubles(Compression::Lossless));
    async move { written.await.map(|written| written.versions) }
}

fn check(fleet: &Fleet, router: &Arc<Router>, acknowledged: &[u64]) {
    let questions: Vec<(TagId, Timestamp)> =
        acknowledged.iter().flat_map(|number| (0..SLICES.into()).map(|tag| (TagId(tag), Timestamp(*number as i64)))).collect();
    let found =
        fleet.runtime().block_on(router.values_at(questions.clone(), &Freshness::Primary)).expect("the slices are there").values;
    for (row, (tag, time)) in questions.iter().enumerate() {
        let value = (time.0 as u64 * 10 + tag.0) as f64;
        assert!(found.found[row] && found.times[row] == *time, "batch {time:?}, tag {tag}: acknowledged and not there");
        assert_eq!(f64::from_bits(found.bits[row]), value);
    }
}

/// Producers' batches go on while each node is killed once; none is lost, none counts twice, each session sees its own.
#[test]
fn batches_over_all_slices_survive_kills() {
    let mut fleet = Fleet::start("routed", 3);
    let router = fleet.router(PATIENCE);
    let mut acknowledged = Vec::new();
    let mut write = |fleet: &Fleet, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let origin = number.is_multiple_of(2).then_some(Origin { producer: ProducerId(5), number });
            let versions = fleet.runtime().block_on(batch(&router, number, origin)).expect("a batch");
            assert_eq!(versions.len(), SLICES as usize);
            acknowledged.push(number);
            let seen: BTreeMap<SliceId, Version> = versions.into_iter().collect();
            let tags: Vec<TagId> = (0..SLICES.into()).map(TagId).collect();
            let own =
                fleet.runtime().block_on(router.latest(tags, &Freshness::Session(Arc::new(seen)))).expect("an answer").values;
            assert!(own.times.iter().all(|time| time.0 as u64 >= number), "a session sees what it wrote");
        }
    };
    write(&fleet, 1..30);
    for node in 0..3 {
        fleet.kill(node);
        let from = 30 + node as u64 * 20;
        write(&fleet, from..from + 20);
        fleet.restart(node);
        fleet.wait_for_members(3, PATIENCE);
    }
    check(&fleet, &router, &acknowledged);
    // A batch that was taken counts once, also when it is sent again.
    let again = batch(&router, 28, Some(Origin { producer: ProducerId(5), number: 28 }));
    fleet.runtime().block_on(again).expect("a repetition");
    let everything = Deletion::Range { tags: TagSelection::All, range: TimeRange::ALL };
    fleet.runtime().block_on(router.delete(&everything, &Doubles(Compression::Lossless))).expect("a deletion");
    let tags: Vec<TagId> = (0..SLICES.into()).map(TagId).collect();
    let left = fleet.runtime().block_on(router.latest(tags, &Freshness::Primary)).expect("an answer").values;
    assert!(!left.found.contains(&true), "what was deleted is gone");
}

/// Where a slice has nobody who can lead it, a write says which slices took their parts; the producer's later ones wait for it.
#[test]
fn a_batch_that_failed_is_not_passed() {
    let mut fleet = Fleet::start("failed", 2);
    let router = fleet.router(Duration::from_secs(1));
    let origin = |number| Some(Origin { producer: ProducerId(9), number });
    fleet.runtime().block_on(batch(&router, 1, origin(1))).expect("a batch");
    fleet.kill(0);
    fleet.kill(1);
    let failed = fleet.runtime().block_on(batch(&router, 2, origin(2)));
    let Err(RouteError::Written { cause, done, of, .. }) = failed else { panic!("nobody is there: {failed:?}") };
    assert!(matches!(cause, Refused::Unavailable(_)) && done.is_empty() && of == SLICES as usize, "{cause}, {done:?}");
    let passing = fleet.runtime().block_on(batch(&router, 3, origin(3)));
    assert_eq!(passing, Err(RouteError::Behind { number: 3, failed: 2 }));
    fleet.restart(0);
    fleet.restart(1);
    let patient = fleet.router(PATIENCE);
    for number in [2, 3] {
        fleet.runtime().block_on(batch(&patient, number, origin(number))).expect("the nodes are back");
    }
    check(&fleet, &patient, &[1, 2, 3]);
}
