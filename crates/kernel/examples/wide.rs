//! A store that is wide: many tags of few samples, or a few tags over many days. How long one number over all of it
//! takes, by tag and merged, from the buffer and from files; and what a merge takes for each day.
//!
//! `cargo run --release -p kernel --example wide -- [DIR] [tags] [samples a tag] [days]`

mod doubles;

use doubles::Doubles;
use kernel::{AggregateRequest, Kernel, Settings, TagSelection, Write};
use std::path::Path;
use std::sync::Arc;
use types::{Samples, TagId, TimeRange, Timestamp};
use world::{Clock, Random, RealClock, RealRandom, ThreadCounts, Threads, World};

const START_US: i64 = 1_600_000_000_000_000 / 86_400_000_000 * 86_400_000_000;
const DAY_US: i64 = 86_400_000_000;
const ROWS_A_COMMIT: usize = 100_000;

fn fill(kernel: &Kernel, tags: u64, samples: u64, days: i64) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    let write = |(tags, times, bits): &mut (Vec<TagId>, Vec<Timestamp>, Vec<u64>)| {
        let batch = [Samples::new(tags, times, bits, None).expect("equal lengths")];
        kernel.write(Write { samples: &batch, ..Write::default() }).wait().expect("the store is open").expect("the disk works");
        tags.clear();
        times.clear();
        bits.clear();
    };
    for sample in 0..samples {
        for tag in 0..tags {
            let within = (sample as i64 * 7_919 + tag as i64 % 3_600) * 1_000_000;
            columns.0.push(TagId(tag));
            columns.1.push(Timestamp(START_US + within % DAY_US + sample as i64 % days * DAY_US));
            columns.2.push(((tag % 1_000) as f64 + sample as f64 / 8.0).to_bits());
            if columns.0.len() == ROWS_A_COMMIT {
                write(&mut columns);
            }
        }
    }
    if !columns.0.is_empty() {
        write(&mut columns);
    }
}

/// One number over all, on one thread.
fn ask(kernel: &Kernel, clock: &RealClock, what: &str) {
    let request = AggregateRequest { tags: TagSelection::All, range: TimeRange::ALL, bins: None, good_only: false };
    for merged in [false, true] {
        let (from, mut rows, mut count) = (clock.monotonic_us(), 0, 0);
        for mut part in kernel.snapshot().aggregate(&request, 1) {
            let mut next = || {
                if merged { part.next_merged(|batch, kept| kept.resize(batch.tags.len(), true)) } else { part.next_batch() }
            };
            while let Some(batch) = next().expect("readable") {
                rows += batch.tags.len();
                count += batch.counts.iter().sum::<u64>();
            }
        }
        let took = (clock.monotonic_us() - from) as f64 / 1e6;
        let how = if merged { "merged" } else { "by tag" };
        println!("{what}, {how}: {took:.3} s, {rows} rows of {count} samples");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(standard);
    let dir = arguments.first().cloned().unwrap_or_else(|| std::env::temp_dir().join("meridian-wide").display().to_string());
    let (tags, samples, days) = (number(1, 1_000_000), number(2, 3), number(3, 1).max(1));
    let clock = RealClock::start();
    let runner = Threads::start(ThreadCounts::default());
    let dir = Path::new(&dir).join(format!("wide-{}", RealRandom.next_u64()));
    let kernel = Kernel::open(World::real(&runner), &dir, Settings::default(), Arc::new(Doubles)).expect("a fresh directory");
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let from = clock.monotonic_us();
        work();
        let took = (clock.monotonic_us() - from) as f64 / 1e6;
        let groups = kernel.file_groups().len();
        println!(
            "{what}: {took:.3} s; {groups} file groups, {} files, {:.2} ms a group",
            kernel.files().len(),
            took * 1e3 / groups as f64
        );
    };
    timed("write", &mut || fill(&kernel, tags, samples, days as i64));
    ask(&kernel, &clock, "buffer");
    timed("flush", &mut || kernel.flush().wait().expect("the store is open").expect("the disk works"));
    ask(&kernel, &clock, "flushed");
    timed("merge", &mut || kernel.merge().wait().expect("the store is open").expect("the disk works"));
    ask(&kernel, &clock, "merged");
    kernel.close().wait().expect("the store is open").expect("the disk works");
    drop(kernel);
    runner.stop();
}
