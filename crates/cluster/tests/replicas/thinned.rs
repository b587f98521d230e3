//! Thinned tags through a scheduler's router: whoever leads decides, across kills, repetitions and copies of files.

use crate::PATIENCE;
use crate::fleet::{Doubles, Fleet, SLICES};
use cluster::data::Refused;
use cluster::router::{Freshness, RouteError, Router};
use kernel::Write;
use std::ops::Range;
use std::sync::Arc;
use types::{Compression, Origin, ProducerId, Samples, TagId, Timestamp};

const DEVIATION: f64 = 2.0;
const DEADBAND: Doubles = Doubles(Compression::Deadband { deviation: DEVIATION, span_us: 0 });

/// It moves slowly, and now and then it leaps.
fn value(number: u64, tag: u64) -> f64 {
    (number % 3) as f64 / 2.0 + (number / 10 + tag) as f64 * 1.5
}

fn tags() -> Vec<TagId> {
    (0..SLICES.into()).map(TagId).collect()
}

/// Writes batches of a sample a slice, each at the time of its number; each third one is sent again.
fn write(fleet: &Fleet, router: &Arc<Router>, numbers: Range<u64>) {
    let tags = tags();
    for number in numbers {
        let times = vec![Timestamp(number as i64); tags.len()];
        let bits: Vec<u64> = tags.iter().map(|tag| value(number, tag.0).to_bits()).collect();
        let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
        let origin = Some(Origin { producer: ProducerId(5), number });
        for _ in 0..if number.is_multiple_of(3) { 2 } else { 1 } {
            let written = router.write(&Write { samples: &samples, texts: &[], origin }, &DEADBAND);
            assert_eq!(fleet.runtime().block_on(written).expect("a batch").rows, u64::from(SLICES));
        }
    }
}

/// Every sample is told within the deviation by the one kept before it, and the newest is there as it was; how many are there.
fn check(fleet: &Fleet, router: &Arc<Router>, last: u64) -> usize {
    let questions: Vec<_> =
        (1..=last).flat_map(|number| tags().into_iter().map(move |tag| (tag, Timestamp(number as i64)))).collect();
    let found =
        fleet.runtime().block_on(router.values_at(questions.clone(), &Freshness::Primary)).expect("the slices are there").values;
    let mut kept = 0;
    for (row, (tag, time)) in questions.iter().enumerate() {
        let off = (f64::from_bits(found.bits[row]) - value(time.0 as u64, tag.0)).abs();
        assert!(found.found[row] && off <= DEVIATION, "tag {tag} at {time}: off by {off}");
        kept += usize::from(found.times[row] == *time);
    }
    let newest = fleet.runtime().block_on(router.latest(tags(), &Freshness::Primary)).expect("the slices are there").values;
    for tag in 0..SLICES as usize {
        let found = (newest.times[tag], f64::from_bits(newest.bits[tag]));
        assert_eq!(found, (Timestamp(last as i64), value(last, tag as u64)), "the newest sample of tag {tag}");
    }
    kept
}

#[test]
fn whoever_leads_decides_and_all_replicas_have_what_it_decided() {
    let mut fleet = Fleet::start_with("thinned", 3, true, None);
    let router = fleet.router(PATIENCE);
    write(&fleet, &router, 1..60);
    let thinned = |fleet: &Fleet| fleet.statuses().iter().map(|status| status.node.rows_thinned).sum::<u64>();
    let (kept, left_out) = (check(&fleet, &router, 59), thinned(&fleet));
    assert_eq!(
        (kept + left_out as usize, left_out > 100),
        (59 * SLICES as usize, true),
        "{left_out}: each is kept or left out, once"
    );
    // What thinning may add to a record counts before it is decided on.
    let (tag, times): (Vec<TagId>, Vec<Timestamp>) = (60..260).map(|number| (TagId(0), Timestamp(number))).unzip();
    let samples = [Samples::new(&tag, &times, &[0; 200], None).expect("columns of one length")];
    let written = router.write(&Write { samples: &samples, ..Write::default() }, &DEADBAND);
    let refused = fleet.runtime().block_on(written).expect_err("its record has 12 KiB at most");
    assert!(matches!(&refused, RouteError::Written { cause: Refused::TooLarge(_), .. }), "{refused}");
    for node in 0..3 {
        fleet.kill(node);
        let from = 60 + node as u64 * 30;
        write(&fleet, &router, from..from + 20);
        fleet.restart(node);
        fleet.wait_for_members(3, PATIENCE);
        write(&fleet, &router, from + 20..from + 30);
        check(&fleet, &router, from + 29);
    }
    // What a node missed is not in the log any more: it copies files, and what is held beside them.
    fleet.kill(2);
    write(&fleet, &router, 150..550);
    fleet.restart(2);
    fleet.wait_for_members(3, PATIENCE);
    let before = check(&fleet, &router, 549);
    fleet.kill(0);
    fleet.kill(1);
    assert_eq!(check(&fleet, &router, 549), before, "each replica has what was decided");
    write(&fleet, &router, 550..580);
    check(&fleet, &router, 579);
    let (status, copied) = fleet.end(2);
    assert!(status.success() && copied > 0, "{copied} bytes of files were copied");
}
