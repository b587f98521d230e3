//! What thinning does beyond the model: held samples in the manifest and the log, and threads that write at once.

#[path = "fixture/removal.rs"]
mod removal;

use kernel::{
    AggregateRequest, Datum, Direction, Error, Kernel, Projection, Reading, ScanRequest, Settings, TagSelection, Write,
};
use removal::remove;
use std::path::Path;
use std::sync::Arc;
use types::{Compression, DistributionRule, Kind, Kinds, Quality, Samples, TagId, TimeRange, Timestamp};
use world::{Simulation, ThreadCounts, Threads, Ticket, World};

const DEVIATION: f64 = 0.5;
/// Rows of a tag where threads write.
const ROUNDS: i64 = 400;

/// Every tag has a swinging door.
struct Doors;

impl Kinds for Doors {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        (tag.0 < 1_000).then_some(Kind::F64)
    }

    fn compression(&self, _tag: TagId) -> Compression {
        Compression::SwingingDoor { deviation: DEVIATION, span_us: 0 }
    }

    fn is_thinned(&self, _tag: TagId) -> bool {
        true
    }
}

fn settings() -> Settings {
    Settings {
        rule: DistributionRule { b1: 8, buckets: 2, ..DistributionRule::default() },
        memory_bytes: 16 << 20,
        buffer_bytes_max: 4 << 20,
        cache_bytes_max: 1 << 20,
        segment_bytes: 64 << 10,
        ..Settings::default()
    }
}

fn open(world: World) -> Result<Arc<Kernel>, Error> {
    Kernel::open(world, Path::new("/store"), settings(), Arc::new(Doors))
}

fn write(kernel: &Kernel, rows: &[(u64, i64, f64)]) -> Ticket<Result<kernel::Committed, Error>> {
    let tags: Vec<TagId> = rows.iter().map(|row| TagId(row.0)).collect();
    let times: Vec<Timestamp> = rows.iter().map(|row| Timestamp(row.1)).collect();
    let bits: Vec<u64> = rows.iter().map(|row| row.2.to_bits()).collect();
    let samples = [Samples::new(&tags, &times, &bits, None).expect("columns of one length")];
    kernel.write(Write { samples: &samples, ..Write::default() })
}

fn rows(kernel: &Kernel) -> Vec<(u64, i64, f64)> {
    let request = ScanRequest {
        tags: TagSelection::All,
        texts: false,
        range: TimeRange::ALL,
        projection: Projection::ALL,
        direction: Direction::Ascending,
        rows_per_tag_max: None,
        batch_rows: 1_000,
    };
    let mut out = Vec::new();
    for mut part in kernel.snapshot().scan(&request, 1) {
        while let Some(batch) = part.next_batch().expect("readable") {
            let tags = batch.runs.iter().flat_map(|run| std::iter::repeat_n(run.tag.0, run.rows as usize));
            out.extend(tags.zip(&batch.times).zip(&batch.bits).map(|((tag, time), bits)| (tag, time.0, f64::from_bits(*bits))));
        }
    }
    out.sort_by_key(|row| (row.0, row.1));
    out
}

fn settle(simulation: &Simulation, mut ticket: Ticket<Result<(), Error>>) {
    simulation.runner.run_until_idle();
    assert_eq!(ticket.try_take(), Some(Ok(Ok(()))));
}

#[test]
fn the_log_of_held_samples_is_cut_and_files_hold_what_is_kept_only() {
    let simulation = Simulation::new(1);
    let kernel = open(simulation.world()).expect("an empty directory");
    let tags = 0..20_u64;
    for time in 0..3_000_i64 {
        let line: Vec<_> = tags.clone().map(|tag| (tag, time, time as f64)).collect();
        drop(write(&kernel, &line));
        if time % 500 == 499 {
            simulation.runner.run_until_idle();
            settle(&simulation, kernel.flush());
        }
    }
    simulation.runner.run_until_idle();
    let status = kernel.status();
    assert_eq!((status.rows_written, status.rows_thinned), (60_000, 60_000 - 40), "first and newest of each tag are left");
    assert!(status.log_bytes <= 3 * (64 << 10), "{} bytes of log", status.log_bytes);
    assert_eq!(kernel.files().iter().map(|file| file.rows).sum::<u64>(), 20, "the newest are in no file");
    assert_eq!(kernel.slices().iter().map(|slice| (slice.held_samples, slice.tombstones)).collect::<Vec<_>>(), [(12, 0), (8, 0)]);
    let wanted: Vec<_> = tags.flat_map(|tag| [(tag, 0, 0.0), (tag, 2_999, 2_999.0)]).collect();
    assert_eq!(rows(&kernel), wanted);
    let request = AggregateRequest { tags: TagSelection::All, range: TimeRange::ALL, bins: None, good_only: false };
    let mut count = 0;
    for mut part in kernel.snapshot().aggregate(&request, 1) {
        while let Some(batch) = part.next_batch().expect("readable") {
            count += batch.counts.iter().sum::<u64>();
        }
    }
    assert_eq!(count, 40);
    drop(kernel);
    simulation.kill();
    let kernel = open(simulation.world()).expect("a store");
    assert_eq!(rows(&kernel), wanted);
}

#[test]
fn held_samples_survive_the_loss_of_the_snapshot_values() {
    let simulation = Simulation::new(2);
    let kernel = open(simulation.world()).expect("an empty directory");
    for time in 0..10 {
        drop(write(&kernel, &[(1, time, 5.0), (9, time, time as f64)]));
    }
    settle(&simulation, kernel.flush());
    settle(&simulation, kernel.close());
    drop(kernel);
    simulation.kill();
    for (path, bytes) in simulation.disk.files() {
        let text = path.to_string_lossy().into_owned();
        if text.contains("/latest-") {
            assert!(simulation.disk.damage(&path, bytes / 2, 0x10));
        }
    }
    let kernel = open(simulation.world()).expect("its samples are whole");
    let reading = |value: f64| Reading { time: Timestamp(9), value: Datum::Bits(value.to_bits()), quality: Quality::GOOD };
    assert_eq!(kernel.latest(TagId(1)), Ok(Some(reading(5.0))));
    assert_eq!(kernel.latest(TagId(9)), Ok(Some(reading(9.0))));
    assert_eq!(rows(&kernel), [(1, 0, 5.0), (1, 9, 5.0), (9, 0, 0.0), (9, 9, 9.0)]);
}

#[test]
fn what_replaces_a_held_sample_after_a_restart_stands() {
    let simulation = Simulation::new(3);
    let kernel = open(simulation.world()).expect("an empty directory");
    for time in 0..10 {
        drop(write(&kernel, &[(1, time, 5.0)]));
    }
    settle(&simulation, kernel.close());
    drop(kernel);
    simulation.kill();
    let kernel = open(simulation.world()).expect("a store");
    // Neither is visible when the next one is decided on: what is held is known from before the restart.
    drop(write(&kernel, &[(1, 9, 77.0)]));
    drop(write(&kernel, &[(1, 10, 6.0)]));
    drop(write(&kernel, &[(1, 11, 7.0)]));
    settle(&simulation, kernel.flush());
    assert_eq!(rows(&kernel), [(1, 0, 5.0), (1, 9, 77.0), (1, 10, 6.0), (1, 11, 7.0)]);
}

#[test]
fn threads_that_write_at_once_leave_out_what_is_told() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let dir = std::env::temp_dir().join(format!("meridian-thinning-{}-{}", std::process::id(), world.random.next_u64()));
    let kernel = Kernel::open(world.clone(), &dir, settings(), Arc::new(Doors)).expect("an empty directory");
    // Two tags of its own each, and one that all write to.
    let value =
        |writer: u64, time: i64| if writer == 0 { time as f64 } else { ((time / 50) * 10) as f64 + (time % 3) as f64 / 4.0 };
    std::thread::scope(|scope| {
        for writer in 0..3_u64 {
            let (kernel, value) = (&kernel, &value);
            scope.spawn(move || {
                let mut tickets = Vec::new();
                for time in 0..ROUNDS {
                    let row = |tag: u64| (tag, time, value(writer, time));
                    tickets.push(write(kernel, &[row(writer), row(100 + writer), (500, time * 3 + writer as i64, 1.0)]));
                    if time % 90 == 7 {
                        tickets.drain(..).for_each(|ticket| assert!(matches!(ticket.wait(), Ok(Ok(_)))));
                        assert_eq!(kernel.flush().wait(), Ok(Ok(())));
                    }
                }
                tickets.into_iter().for_each(|ticket| assert!(matches!(ticket.wait(), Ok(Ok(_)))));
            });
        }
    });
    let all = rows(&kernel);
    for writer in 0..3 {
        for tag in [writer, 100 + writer] {
            let kept: Vec<_> = all.iter().filter(|row| row.0 == tag).collect();
            assert!(kept.len() < 60, "{} of {ROUNDS} rows of tag {tag} are kept", kept.len());
            for time in 0..ROUNDS {
                let after = kept.partition_point(|row| row.1 < time);
                let (next, wanted) = (kept[after], value(writer, time));
                if next.1 == time {
                    assert_eq!(next.2, wanted);
                    continue;
                }
                let before = kept[after - 1];
                let told = before.2 + (next.2 - before.2) * (time - before.1) as f64 / (next.1 - before.1) as f64;
                assert!((told - wanted).abs() <= DEVIATION + 1e-9, "tag {tag} at {time}: {told} instead of {wanted}");
            }
        }
    }
    kernel.close().wait().expect("open").expect("it works");
    drop(kernel);
    threads.stop();
    remove(&world, &dir);
}
