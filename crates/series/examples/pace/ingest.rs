//! Ingest: gathering, buffering, sorting, snapshot values.

use crate::{Dice, measure};
use series::{Buffer, Direction, Placement, Projection, ScanRequest, SliceFiles, SliceView, TagSelection, gather};
use std::sync::Arc;
use types::{
    CommitNumber, DistributionRule, Epoch, Kind, Kinds, Samples, Sequence, SliceId, TagId, TimeRange, Timestamp, Version,
};

/// Every tag is a double; the check of values is measured where the catalog is.
pub struct Doubles;

impl Kinds for Doubles {
    fn kind(&self, _: TagId) -> Option<Kind> {
        Some(Kind::F64)
    }
}

/// Columns of a batch.
pub struct Batch {
    tags: Vec<TagId>,
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    qualities: Vec<u8>,
}

impl Batch {
    pub fn samples(&self) -> Samples<'_> {
        Samples::new(&self.tags, &self.times, &self.bits, Some(&self.qualities)).expect("columns of one length")
    }
}

/// 20,000 tags in order at one second.
pub fn time_major(second: i64, tags: u64) -> Batch {
    let dice = &mut Dice(second as u64);
    let jitter = |dice: &mut Dice| if dice.below(10) == 0 { dice.below(50) as i64 * 1_000 } else { 0 };
    Batch {
        tags: (0..tags).map(TagId).collect(),
        times: (0..tags).map(|_| Timestamp(1_700_000_000_000_000 + second * 1_000_000 + jitter(dice))).collect(),
        bits: (0..tags).map(|_| (220.0 + (dice.below(1_000) as f64) / 100.0).to_bits()).collect(),
        qualities: (0..tags).map(|_| if dice.below(1_000) == 0 { 0 } else { 192 }).collect(),
    }
}

/// Rows of random tags at random milliseconds of a month.
pub fn random_month(seed: u64, rows: u64, tags: u64) -> Batch {
    let dice = &mut Dice(seed);
    Batch {
        tags: (0..rows).map(|_| TagId(dice.below(tags))).collect(),
        times: (0..rows).map(|_| Timestamp(1_700_000_000_000_000 + dice.below(2_592_000_000) as i64 * 1_000)).collect(),
        bits: (0..rows).map(|_| (220.0 + (dice.below(1_000) as f64) / 100.0).to_bits()).collect(),
        qualities: (0..rows).map(|_| if dice.below(1_000) == 0 { 0 } else { 192 }).collect(),
    }
}

pub fn measure_all() {
    let placement = Placement::new(&DistributionRule::default());
    let (run, scattered) = (time_major(7, 20_000), random_month(7, 20_000, 20_000));
    measure("gather, 20,000 rows in order of tag", 20_000, 200, || gather(&placement, &Doubles, &[run.samples()], &[]));
    measure("gather, 20,000 rows scattered", 20_000, 200, || gather(&placement, &Doubles, &[scattered.samples()], &[]));
}

/// The sections of slice 0 of these batches, in a buffer.
fn buffer_of(batches: &[Batch]) -> Buffer {
    let placement = Placement::new(&DistributionRule::default());
    let mut buffer = Buffer::new();
    for (number, batch) in batches.iter().enumerate() {
        let sections = gather(&placement, &Doubles, &[batch.samples()], &[]).expect("doubles take any bits");
        for (_, section) in sections.into_iter().filter(|(slice, _)| *slice == SliceId(0)) {
            let version = Version { epoch: Epoch(1), sequence: Sequence(number as u64 + 1) };
            buffer.push(version, CommitNumber(number as u64), section);
        }
    }
    buffer
}

fn sort_all(mut buffer: Buffer) -> (Buffer, usize) {
    let mut sorted = 0;
    while let Some(work) = buffer.sort_work() {
        sorted += work.rows();
        buffer.install(work.run());
    }
    (buffer, sorted)
}

/// Pushes section by section and sorts whenever it is due, as the kernel does.
fn push_and_sort(batches: &[Batch]) -> (Buffer, usize) {
    let placement = Placement::new(&DistributionRule::default());
    let (mut buffer, mut sorted) = (Buffer::new(), 0);
    for (number, batch) in batches.iter().enumerate() {
        let sections = gather(&placement, &Doubles, &[batch.samples()], &[]).expect("doubles take any bits");
        for (_, section) in sections.into_iter().filter(|(slice, _)| *slice == SliceId(0)) {
            let version = Version { epoch: Epoch(1), sequence: Sequence(number as u64 + 1) };
            buffer.push(version, CommitNumber(number as u64), section);
            while let Some(work) = buffer.sort_work() {
                sorted += work.rows();
                buffer.install(work.run());
            }
        }
    }
    (buffer, sorted)
}

pub fn measure_buffers() {
    for (name, batches) in [
        ("time-major", (0..1_280).map(|second| time_major(second, 1_024)).collect::<Vec<_>>()),
        ("random month", (0..1_280).map(|seed| random_month(seed, 1_024, 1_024)).collect()),
    ] {
        let rows = buffer_of(&batches).rows();
        measure(&format!("sort, {name}, one go of {rows} rows"), rows, 5, || sort_all(buffer_of(&batches)).1);
        measure(&format!("  of which gather and push, {name}"), rows, 5, || buffer_of(&batches).rows());
        measure(&format!("push and sort as it is due, {name}"), rows, 3, || push_and_sort(&batches).1);
        let (mut buffer, sorted) = push_and_sort(&batches);
        println!(
            "  each row was sorted or merged {:.2} times; {:.1} bytes a row",
            sorted as f64 / rows as f64,
            buffer.bytes() as f64 / rows as f64
        );
        let view = buffer.view();
        let files = SliceFiles::new(Vec::new(), Vec::new());
        let slice = SliceView::new(view, files, Arc::new(Doubles));
        let dice = &mut Dice(5);
        measure(&format!("point read in a buffer of {rows} rows, {name}"), 10_000, 3, || {
            for _ in 0..10_000 {
                let time = Timestamp(1_700_000_000_000_000 + dice.below(1_280_000_000) as i64);
                std::hint::black_box(slice.newest_until(TagId(dice.below(1_024)), time, false).expect("no file is read"));
            }
        });
        let request = ScanRequest {
            tags: TagSelection::All,
            texts: false,
            range: TimeRange::ALL,
            projection: Projection::ALL,
            direction: Direction::Ascending,
            rows_per_tag_max: None,
            batch_rows: 8_192,
        };
        measure(&format!("scan of a buffer, {name}"), rows, 3, || {
            let mut scan = slice.scan(&request, (TagId(0), TagId(u64::MAX)));
            let mut found = 0;
            while let Some(batch) = scan.next_batch().expect("no file is read") {
                found += batch.rows();
            }
            found
        });
    }
}
