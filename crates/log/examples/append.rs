//! Measures the log on this machine: `cargo run --release -p meridian-log --example append [DIR]`.
//!
//! Prints, for several record sizes and writers, records and bytes a second, records a sync, and
//! how long an append waits for its answer. Not part of the tests: timings are nobody's promise.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use bytes::Bytes;
use log::{Body, Durability, Log, Options};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::{Random, RealRandom, ThreadCounts, Threads, Ticket, World};

/// Appends kept in flight by each writer.
const WINDOW: usize = 8;

struct Measured {
    records: u64,
    seconds: f64,
    syncs: u64,
    waits: Vec<Duration>,
}

fn write(log: &Log, writers: usize, bytes: usize, total: usize, window: usize) -> Measured {
    let (before, syncs) = (Instant::now(), log.syncs());
    let each = (total / bytes / writers).clamp(200, 20_000);
    let mut waits: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..writers)
            .map(|worker| {
                scope.spawn(move || {
                    let payload = Bytes::from(vec![worker as u8; bytes]);
                    let mut flight = std::collections::VecDeque::new();
                    let mut waits = Vec::with_capacity(each);
                    for _ in 0..each {
                        let (promise, ticket) = Ticket::pair();
                        let began = Instant::now();
                        let body = Body::new(vec![payload.clone()]);
                        log.append(1, Bytes::new(), body, move |answer| promise.keep((answer, began.elapsed())));
                        flight.push_back(ticket);
                        if flight.len() >= window {
                            waits.extend(flight.pop_front().map(answer));
                        }
                    }
                    waits.extend(flight.into_iter().map(answer));
                    waits
                })
            })
            .collect();
        waits.extend(workers.into_iter().flat_map(|worker| worker.join().expect("the writer ended")));
    });
    waits.sort_unstable();
    let records = (each * writers) as u64;
    Measured { records, seconds: before.elapsed().as_secs_f64(), syncs: log.syncs() - syncs, waits }
}

fn answer(ticket: Ticket<(Result<log::Position, log::Error>, Duration)>) -> Duration {
    let (answer, wait) = ticket.wait().expect("the log runs");
    answer.expect("the disk works");
    wait
}

fn measure(world: &World, dir: &Path, durability: Durability) {
    println!("{durability:?}");
    println!("  bytes  writers  window     records/s        MB/s  records/sync  p50 us  p99 us  p99.9 us");
    for (bytes, writers, window) in [
        (100, 1, 1),
        (100, 4, WINDOW),
        (100, 1, 1000),
        (4 << 10, 4, WINDOW),
        (64 << 10, 4, WINDOW),
        (512 << 10, 1, 1),
        (512 << 10, 4, WINDOW),
        (4 << 20, 2, WINDOW),
    ] {
        let place = dir.join(format!("{:016x}", world.random.next_u64()));
        let (log, replay) = Log::open(world, &place, Options { durability, ..Options::default() }).expect("a new log");
        drop(replay);
        let m = write(&log, writers, bytes, 1 << 30, window);
        let at = |share: f64| m.waits[((m.waits.len() - 1) as f64 * share) as usize].as_micros();
        println!(
            "{bytes:7} {writers:8} {window:7} {:13.0} {:11.1} {:13.1} {:7} {:7} {:9}",
            m.records as f64 / m.seconds,
            (m.records * bytes as u64) as f64 / m.seconds / 1e6,
            m.records as f64 / m.syncs.max(1) as f64,
            at(0.5),
            at(0.99),
            at(0.999)
        );
        let read = Instant::now();
        let end = log.end();
        drop(log);
        if bytes == 512 << 10 && window > 1 {
            let (log, replay) = Log::open(world, &place, Options::default()).expect("it opens");
            let opened = read.elapsed();
            let count = replay.filter(|record| record.as_ref().expect("whole").position < end).count();
            let rate = end.0 as f64 / (read.elapsed() - opened).as_secs_f64() / 1e6;
            println!("  opened in {} ms, {count} records read back at {rate:.0} MB/s", opened.as_millis());
            drop(log);
        }
        std::fs::remove_dir_all(&place).expect("the log is closed");
    }
}

fn checksums() {
    let payload = Bytes::from(vec![7_u8; 1 << 20]);
    let before = Instant::now();
    for _ in 0..2000 {
        std::hint::black_box(Body::new(vec![payload.clone()]));
    }
    println!("checksum of 1 MiB bodies: {:.1} GB/s", 2000.0 * (1 << 20) as f64 / before.elapsed().as_secs_f64() / 1e9);
    let small = payload.slice(..100);
    let before = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(Body::new(vec![small.clone()]));
    }
    println!("body of 100 bytes: {:.0} ns", before.elapsed().as_secs_f64() * 1e3);
}

fn main() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("log-{:016x}", RealRandom.next_u64()));
    checksums();
    for durability in [Durability::Commit, Durability::Interval(Duration::from_millis(100))] {
        measure(&world, &dir, durability);
    }
    threads.stop();
    drop(Arc::clone(&threads));
    std::fs::remove_dir_all(&dir).expect("all logs are closed");
}
