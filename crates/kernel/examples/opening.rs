//! How long a store takes to open whose log holds many small records: what whoever waits for a killed node waits for.
//!
//! `cargo run --release -p kernel --example opening -- DIR 1000000` makes such a store in DIR and leaves it as a kill would;
//! without the number it opens the store that is there.

mod doubles;

use doubles::Doubles;
use kernel::{Kernel, Settings, Write};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use types::{Samples, TagId, Timestamp};
use world::{Clock, RealClock, ThreadCounts, Threads, World};

const SLICES: u64 = 24;
/// Commits that wait for the disk side by side.
const UNDER_WAY: usize = 1_000;

/// Commits of one sample each, all slices in turn.
fn fill(kernel: &Kernel, records: u64) {
    let mut under_way = VecDeque::new();
    for number in 0..records {
        let (tags, times, bits) = ([TagId(number % SLICES)], [Timestamp((number / SLICES) as i64 * 1_000_000)], [number]);
        let batch = [Samples::new(&tags, &times, &bits, None).expect("equal lengths")];
        under_way.push_back(kernel.write(Write { samples: &batch, ..Write::default() }));
        if under_way.len() == UNDER_WAY
            && let Some(first) = under_way.pop_front()
        {
            first.wait().expect("the store is open").expect("the disk works");
        }
    }
    for ticket in under_way {
        ticket.wait().expect("the store is open").expect("the disk works");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dir = arguments.first().cloned().unwrap_or_else(|| std::env::temp_dir().join("meridian-opening").display().to_string());
    let records = arguments.get(1).and_then(|text| text.parse().ok());
    let (clock, runner) = (RealClock::start(), Threads::start(ThreadCounts::default()));
    let mut settings = Settings::default();
    (settings.rule.b1, settings.rule.buckets) = (1, SLICES as u32);
    let kernel = Kernel::open(World::real(&runner), Path::new(&dir), settings, Arc::new(Doubles)).expect("a store that opens");
    let took = |from: u64| (clock.monotonic_us() - from) as f64 / 1e6;
    if let Some(records) = records {
        let from = clock.monotonic_us();
        fill(&kernel, records);
        println!("{records} commits in {:.2} s", took(from));
        // As a kill would: what is in memory is gone.
        std::process::exit(0);
    }
    let rows: u64 = kernel.slices().iter().map(|slice| slice.buffered_rows).sum();
    println!("open after {:.2} s, {rows} rows in buffers", took(0));
}
