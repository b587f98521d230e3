//! How fast a kernel alone takes samples on the real disk: the grid data in commits, in order of time
//! and strewn over a month, then bytes a point after merging, and values at random times.
//!
//! `cargo run --release -p kernel --example ingest -- [DIR] [million points] [rows a commit] [threads] [deviation]`
//!
//! With a deviation all tags have a swinging door.

use kernel::{Kernel, Settings, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{Compression, Kind, Kinds, Samples, TagId, Timestamp};
use world::{Clock, Random, RealClock, RealRandom, ThreadCounts, Threads, World};

const TAGS: u64 = 20_000;
const START_US: i64 = 1_795_000_000_000_000 / 86_400_000_000 * 86_400_000_000;
const MONTH_US: u64 = 30 * 86_400 * 1_000_000;

struct Grid {
    compression: Compression,
}

impl Kinds for Grid {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        (tag.0 < TAGS).then_some(Kind::F64)
    }

    fn first_misfit(&self, tags: &[TagId], _bits: &[u64]) -> Option<usize> {
        tags.iter().position(|tag| tag.0 >= TAGS)
    }

    fn compression(&self, _tag: TagId) -> Compression {
        self.compression
    }

    fn is_thinned(&self, _tag: TagId) -> bool {
        self.compression.thins(Kind::F64)
    }
}

/// The state of each tag's walk.
struct Walk {
    seed: u64,
    values: Vec<f64>,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        Walk { seed, values: (0..TAGS).map(|tag| if tag % 10 < 4 { 220.0 } else { 5.0 + (tag % 495) as f64 }).collect() }
    }

    fn next(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn value(&mut self, tag: u64) -> u64 {
        let random = self.next();
        let noise = (random & 0xFFFF) as f64 / 32_768.0 - 1.0;
        let value = &mut self.values[tag as usize];
        let (scale, out) = match tag % 10 {
            0..=3 => {
                *value = 220.0 + (*value - 220.0) * 0.995 + noise * 0.14;
                (100.0, *value)
            }
            4..=7 => {
                *value += noise * 0.007 * (5.0 + (tag % 495) as f64);
                (1000.0, *value)
            }
            8 => (10.0, *value),
            _ => {
                if random >> 20 & 0x1FF == 0 {
                    *value = if *value > 0.5 { 0.0 } else { 1.0 };
                }
                (1.0, *value)
            }
        };
        ((out * scale).round() / scale).to_bits()
    }
}

/// Batches made ahead, so that making them is not measured.
struct Batch {
    tags: Vec<TagId>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    qualities: Vec<u8>,
}

fn batches(points: u64, rows: usize, random: bool, seed: u64) -> Vec<Batch> {
    let mut walk = Walk::new(seed);
    let mut out = Vec::new();
    let mut batch = Batch { tags: vec![], times: vec![], bits: vec![], qualities: vec![] };
    for point in 0..points {
        let (tag, second) = (point % TAGS, point / TAGS);
        let jitter = if tag % 10 == 1 { (walk.next() % 101) as i64 * 1_000 - 50_000 } else { 0 };
        let time = if random {
            START_US - (walk.next() % (MONTH_US / 1_000_000)) as i64 * 1_000_000
        } else {
            START_US + second as i64 * 1_000_000 + jitter
        };
        batch.tags.push(TagId(tag));
        batch.times.push(Timestamp(time));
        batch.bits.push(walk.value(tag));
        batch.qualities.push(if walk.next().is_multiple_of(1_000) { 0 } else { 192 });
        if batch.tags.len() == rows || point + 1 == points {
            out.push(std::mem::replace(&mut batch, Batch { tags: vec![], times: vec![], bits: vec![], qualities: vec![] }));
        }
    }
    out
}

fn ingest(kernel: &Kernel, all: &[Batch], threads: usize) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tickets = std::collections::VecDeque::new();
                while let Some(batch) = all.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let samples =
                        [Samples::new(&batch.tags, &batch.times, &batch.bits, Some(&batch.qualities)).expect("equal lengths")];
                    tickets.push_back(kernel.write(Write { samples: &samples, ..Write::default() }));
                    if tickets.len() > 4 {
                        let answer = tickets.pop_front().map(world::Ticket::wait);
                        answer.expect("there are more than four").expect("the store is open").expect("the disk works");
                    }
                }
                for ticket in tickets {
                    ticket.wait().expect("the store is open").expect("the disk works");
                }
            });
        }
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, standard: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(standard);
    let dir = arguments.first().cloned().unwrap_or_else(|| std::env::temp_dir().join("meridian-ingest").display().to_string());
    let (points, rows, threads) = (number(1, 20) * 1_000_000, number(2, 100_000) as usize, number(3, 2) as usize);
    let deviation: Option<f64> = arguments.get(4).and_then(|text| text.parse().ok());
    let door = |deviation| Compression::SwingingDoor { deviation, span_us: Compression::SPAN_US };
    let kinds: Arc<dyn Kinds> = Arc::new(Grid { compression: deviation.map_or(Compression::Lossless, door) });
    let clock = RealClock::start();
    for (name, random) in [("sequential", false), ("random", true)] {
        let runner = Threads::start(ThreadCounts::default());
        let world = World::real(&runner);
        let dir = Path::new(&dir).join(format!("{name}-{}", RealRandom.next_u64()));
        let kernel = Kernel::open(world, &dir, Settings::default(), Arc::clone(&kinds)).expect("a fresh directory");
        let all = batches(points, rows, random, 7);
        let from = clock.monotonic_us();
        ingest(&kernel, &all, threads);
        let wrote = (clock.monotonic_us() - from) as f64 / 1e6;
        drop(all);
        kernel.flush().wait().expect("the store is open").expect("the disk works");
        let flushed = (clock.monotonic_us() - from) as f64 / 1e6;
        kernel.merge().wait().expect("the store is open").expect("the disk works");
        let merged = (clock.monotonic_us() - from) as f64 / 1e6;
        let bytes: u64 = kernel.files().iter().map(|file| file.bytes).sum();
        let status = kernel.status();
        println!(
            "{name}: {:.2} M points/s durable ({:.2} with flush, {:.2} with merge); {:.3} bytes a point in {} files, {} left out; {} flushes, {} merges, {} syncs",
            points as f64 / wrote / 1e6,
            points as f64 / flushed / 1e6,
            points as f64 / merged / 1e6,
            bytes as f64 / points as f64,
            kernel.files().len(),
            status.rows_thinned,
            status.flushes,
            status.merges,
            status.log_syncs,
        );
        lookups(&kernel, &clock, points / TAGS, random);
        kernel.close().wait().expect("the store is open").expect("the disk works");
        drop(kernel);
        let from = clock.monotonic_us();
        let again = Kernel::open(World::real(&runner), &dir, Settings::default(), Arc::clone(&kinds)).expect("a whole store");
        println!("{name}: opened again in {:.3} s", (clock.monotonic_us() - from) as f64 / 1e6);
        drop(again);
        runner.stop();
    }
}

fn lookups(kernel: &Kernel, clock: &RealClock, seconds: u64, random: bool) {
    let mut walk = Walk::new(99);
    let questions: Vec<(TagId, Timestamp)> = (0..200_000)
        .map(|_| {
            let within = if random { -((walk.next() % (MONTH_US / 1_000_000)) as i64) } else { (walk.next() % seconds) as i64 };
            (TagId(walk.next() % TAGS), Timestamp(START_US + within * 1_000_000))
        })
        .collect();
    let from = clock.monotonic_us();
    let mut found = 0;
    for (tag, time) in &questions {
        found += u64::from(kernel.value_at(*tag, *time).expect("readable").is_some());
    }
    let one = questions.len() as f64 / ((clock.monotonic_us() - from) as f64 / 1e6);
    let from = clock.monotonic_us();
    for part in questions.chunks(1_000) {
        kernel.values_at(part).expect("readable");
    }
    let bulk = questions.len() as f64 / ((clock.monotonic_us() - from) as f64 / 1e6);
    println!("  values at a time: {one:.0} /s one by one, {bulk:.0} /s in thousands, {found} found");
}
