//! What the write buffers' share counts: all that buffers hold on to.

mod fixture;

use fixture::{open, rows, settings, settle, write};
use kernel::Settings;
use types::DistributionRule;
use world::Simulation;

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
