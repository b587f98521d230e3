//! What the write buffers' share counts: all that buffers hold on to.

mod fixture;

use fixture::{open, rows, settings, settle, write};
use kernel::{Committed, Error, Kernel, Settings};
use std::sync::Arc;
use std::time::Duration;
use types::DistributionRule;
use world::{Faults, Simulation, Ticket};

#[test]
fn runs_that_are_larger_than_their_sections_are_counted() {
    let simulation = Simulation::new(11);
    let rule = DistributionRule { b1: 1, buckets: 1, ..DistributionRule::default() };
    let settings = Settings { rule, buffer_bytes_max: 4 << 20, ..settings() };
    let kernel = open(&simulation, settings).expect("an empty directory");
    let held = || kernel.slices().iter().map(|slice| slice.buffered_bytes).sum::<u64>();
    let mut sections = 0;
    for round in 0..25 {
        // Out of order, so that they are sorted, and few of each tag, so that a run's directory weighs.
        let strewn: Vec<_> = (0..999).rev().map(|tag| (tag, round, 7)).collect();
        drop(write(&kernel, &strewn));
        simulation.runner.run_until_idle();
        if round == 0 {
            sections = held();
        }
        let counted = kernel.status().buffered_bytes;
        assert!(counted >= held(), "round {round}: {counted} bytes are counted, {} are held", held());
    }
    assert!(held() > 25 * sections, "{} bytes are held, 25 sections take {}", held(), 25 * sections);
    settle(&simulation, kernel.flush());
    assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), 25 * 999);
    assert_eq!((kernel.status().buffered_bytes, held()), (0, 0));
}

type Answer = Ticket<Result<Committed, Error>>;

/// A store whose disk has room for its log and for no flush, and whose buffers are taken to the last: what waits for its log, and one
/// that waits for room. Each has a time of its own, 900 rows, and nothing was run.
fn full(simulation: &Simulation) -> (Arc<Kernel>, Vec<Answer>, Answer) {
    let rule = DistributionRule { b1: 1, buckets: 1, ..DistributionRule::default() };
    // One segment holds all of it.
    let settings = Settings { rule, buffer_bytes_max: 1 << 20, segment_bytes: 8 << 20, ..settings() };
    let kernel = open(simulation, settings).expect("an empty directory");
    let first = write(&kernel, &[(1, -1, 0)]);
    simulation.runner.run_until_idle();
    assert!(answered(first).is_ok());
    simulation.disk.set_faults(Faults { capacity_bytes: simulation.disk.used_bytes() + 1024, ..Faults::NONE });
    let mut under_way = Vec::new();
    loop {
        let strewn: Vec<_> = (0..900).map(|tag| (tag, under_way.len() as i64, 7)).collect();
        let ticket = write(&kernel, &strewn);
        if kernel.metrics().shares.iter().any(|share| share.bytes_waiting > 0) {
            return (kernel, under_way, ticket);
        }
        under_way.push(ticket);
    }
}

fn answered(mut ticket: Answer) -> Result<Committed, Error> {
    ticket.try_take().expect("it is answered").expect("it is not abandoned")
}

#[test]
fn writers_are_refused_while_the_disk_has_no_room_for_a_flush() {
    let simulation = Simulation::new(3);
    let (kernel, under_way, waiting) = full(&simulation);
    let seen = under_way.len() * 900 + 1;
    simulation.runner.run_until_idle();
    assert!(under_way.into_iter().all(|ticket| answered(ticket).is_ok()), "the log had room");
    let strewn: Vec<_> = (0..900).map(|tag| (tag, 1_000, 7)).collect();
    for refused in [answered(waiting), answered(write(&kernel, &strewn))] {
        assert!(matches!(&refused, Err(Error::DiskFull(why)) if why.contains("flush")), "{refused:?}");
    }
    assert!(kernel.metrics().refuses_writes.is_some());
    assert_eq!(rows(&kernel.snapshot()).expect("reads go on").len(), seen);
    // Room is found without being asked for.
    simulation.disk.set_faults(Faults::NONE);
    simulation.runner.pass(Duration::from_secs(2));
    assert_eq!(kernel.metrics().refuses_writes, None);
    let more = write(&kernel, &strewn);
    simulation.runner.run_until_idle();
    assert!(answered(more).is_ok());
    assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), seen + 900);
}

#[test]
fn a_write_that_nobody_waits_for_any_more_is_not_done_when_there_is_room() {
    let simulation = Simulation::new(4);
    let (kernel, under_way, waiting) = full(&simulation);
    let kept = write(&kernel, &[(1, 7_000, 1)]);
    drop(waiting);
    simulation.disk.set_faults(Faults::NONE);
    simulation.runner.run_until_idle();
    assert!(answered(kept).is_ok());
    let found = rows(&kernel.snapshot()).expect("readable");
    assert_eq!(found.len(), under_way.len() * 900 + 2);
    assert!(found.contains(&(1, 7_000, 1)) && !found.iter().any(|row| row.1 == under_way.len() as i64));
}
