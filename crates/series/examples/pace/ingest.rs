//! Ingest: gathering, buffering, sorting, snapshot values.

use crate::{Dice, measure};
use series::{Placement, gather};
use types::{DistributionRule, Kind, Kinds, Samples, TagId, Timestamp};

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
