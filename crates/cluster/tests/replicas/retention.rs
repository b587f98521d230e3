//! Retention in real processes: whoever leads drops what is too old, also after a failover, and every replica drops the same.

use crate::PATIENCE;
use crate::fleet::{Doubles, Fleet, SLICES};
use cluster::router::{Freshness, Router};
use kernel::Write;
use std::sync::Arc;
use std::time::SystemTime;
use types::{Compression, Samples, TagId, Timestamp};

const DAY_S: u64 = 86_400;

/// So many days ago.
fn ago(days: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs();
    Timestamp((now - days * DAY_S) as i64 * 1_000_000)
}

fn tags() -> Vec<TagId> {
    (0..SLICES.into()).map(TagId).collect()
}

fn write(fleet: &Fleet, router: &Arc<Router>, time: Timestamp) {
    let (tags, times, bits) = (tags(), vec![time; SLICES as usize], vec![1.5_f64.to_bits(); SLICES as usize]);
    let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
    let write = Write { samples: &samples, ..Write::default() };
    fleet.runtime().block_on(router.write(&write, &Doubles(Compression::Lossless))).expect("a batch");
}

/// Of how many tags there is a sample at that time.
fn there(fleet: &Fleet, router: &Arc<Router>, time: Timestamp) -> usize {
    let questions = tags().into_iter().map(|tag| (tag, time)).collect();
    let found = fleet.runtime().block_on(router.values_at(questions, &Freshness::Primary)).expect("the slices are there").values;
    found.found.iter().zip(&found.times).filter(|(found, at)| **found && **at == time).count()
}

#[test]
fn what_is_too_old_is_dropped_by_whoever_leads() {
    let mut fleet = Fleet::start_with("retention", 3, false, Some(5 * DAY_S));
    let router = fleet.router(PATIENCE);
    let (old, young) = (ago(9), ago(2));
    write(&fleet, &router, young);
    write(&fleet, &router, old);
    fleet.until("the old samples are dropped", PATIENCE, || there(&fleet, &router, old) == 0);
    // Each slice is led by another node from time to time: the next leader goes on.
    for node in 0..3 {
        fleet.kill(node);
        write(&fleet, &router, old);
        fleet.until("the next leader drops them", PATIENCE, || there(&fleet, &router, old) == 0);
        fleet.restart(node);
        fleet.wait_for_members(3, PATIENCE);
    }
    assert_eq!(there(&fleet, &router, young), SLICES as usize, "nothing younger goes");
    // What the others decided holds on each replica.
    fleet.kill(1);
    fleet.kill(2);
    assert_eq!((there(&fleet, &router, old), there(&fleet, &router, young)), (0, SLICES as usize));
}
