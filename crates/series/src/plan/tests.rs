//! The plan against a model that knows what is in each file: order, amplification, and an end.

use super::*;
use std::collections::BTreeMap;
use types::{Epoch, Sequence, TimeRange, Timestamp};

const PERIOD_US: i64 = 1000;

/// A store of files whose contents are known: (period, sequence) of each row.
#[derive(Default)]
struct Model {
    files: Vec<FileMeta>,
    rows: BTreeMap<FileNumber, Vec<(i64, u64)>>,
    number: u64,
    sequence: u64,
    written: u64,
    flushed: u64,
}

fn version(sequence: u64) -> Version {
    Version { epoch: Epoch(1), sequence: Sequence(sequence) }
}

impl Model {
    fn add(&mut self, place: FilePlace, level: u32, versions: (Version, Version), rows: Vec<(i64, u64)>) {
        if rows.is_empty() {
            return;
        }
        self.number += 1;
        let number = FileNumber(self.number);
        let periods = || rows.iter().map(|(period, _)| *period);
        let range = TimeRange {
            first: Timestamp(periods().min().expect("rows") * PERIOD_US),
            last: Timestamp(periods().max().expect("rows") * PERIOD_US + PERIOD_US - 1),
        };
        let bytes = rows.len() as u64 * 100;
        self.written += rows.len() as u64;
        self.files.push(FileMeta {
            number,
            place,
            periods: periods().collect::<BTreeSet<_>>().into_iter().map(|period| (Period(period), Period(period))).collect(),
            level,
            bytes,
            rows: rows.len() as u64,
            tags: 1,
            tag_range: (TagId(0), TagId(0)),
            range,
            versions,
            checksum: 0,
        });
        self.rows.insert(number, rows);
    }

    /// A flush: the current period's file and one mixed file for the rest.
    fn flush(&mut self, current: i64, periods: &[i64]) {
        let first = self.sequence + 1;
        self.sequence += periods.len() as u64;
        let versions = (version(first), version(self.sequence));
        let rows: Vec<_> = periods.iter().enumerate().map(|(i, period)| (*period, first + i as u64)).collect();
        self.flushed += rows.len() as u64;
        let (own, other): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(period, _)| *period == current);
        self.add(FilePlace::Period(Period(current)), 0, versions, own);
        self.add(FilePlace::Mixed, 0, versions, other);
    }

    fn merge(&mut self, work: &MergeWork) {
        let mut rows = Vec::new();
        for number in &work.files {
            let at = self.files.iter().position(|file| file.number == *number).expect("the plan names files that are there");
            self.files.remove(at);
            rows.extend(self.rows.remove(number).expect("rows of the file"));
        }
        match work.target {
            MergeTarget::Mixed => self.add(FilePlace::Mixed, work.level, work.versions, rows),
            MergeTarget::Periods => {
                let mut by_period: BTreeMap<i64, Vec<(i64, u64)>> = BTreeMap::new();
                rows.into_iter().for_each(|row| by_period.entry(row.0).or_default().push(row));
                for (period, rows) in by_period {
                    self.add(FilePlace::Period(Period(period)), work.level, work.versions, rows);
                }
            }
        }
    }

    /// Of two files that hold rows of the same period, one is wholly newer.
    fn check_order(&self) {
        for (i, a) in self.files.iter().enumerate() {
            for b in &self.files[i + 1..] {
                let periods = |file: &FileMeta| self.rows[&file.number].iter().map(|row| row.0).collect::<BTreeSet<_>>();
                if periods(a).is_disjoint(&periods(b)) {
                    continue;
                }
                assert!(a.versions.1 < b.versions.0 || b.versions.1 < a.versions.0, "{a:?}\n{b:?}");
                let (old, new) = if a.versions.1 < b.versions.0 { (a, b) } else { (b, a) };
                let newest = self.rows[&old.number].iter().map(|row| row.1).max();
                let oldest = self.rows[&new.number].iter().map(|row| row.1).min();
                assert!(newest < oldest, "rows of {old:?} are newer than some of {new:?}");
            }
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0 >> 11 << 11) * u128::from(bound)) >> 64) as u64
    }
}

#[test]
fn order_survives_and_everything_ends_at_one_file_a_period() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let options =
            MergeOptions { fan: 2 + dice.below(4) as usize, split_bytes_min: dice.below(2_000), ..MergeOptions::default() };
        let (spread, late) = (1 + dice.below(30) as i64, dice.below(100));
        for round in 0..40_i64 {
            let current = 100 + round / 8;
            let periods: Vec<i64> = (0..1 + dice.below(40))
                .map(|_| if dice.below(100) < late { current + 3 - dice.below(spread as u64) as i64 } else { current })
                .collect();
            model.flush(current, &periods);
            while dice.below(3) > 0 {
                let Some(work) = next_merge(&model.files, &BTreeSet::new(), &options, MergeGoal::Background) else { break };
                model.merge(&work);
                model.check_order();
            }
        }
        let mut steps = 0;
        while let Some(work) = next_merge(&model.files, &BTreeSet::new(), &options, MergeGoal::Everything) {
            model.merge(&work);
            model.check_order();
            steps += 1;
            assert!(steps < 1_000, "seed {seed}: merging everything has no end");
        }
        let periods: BTreeSet<i64> = model.rows.values().flatten().map(|row| row.0).collect();
        assert_eq!(model.files.len(), periods.len(), "seed {seed}: one file a period");
    }
}

#[test]
fn background_merging_writes_a_row_a_bounded_number_of_times() {
    for (late, spread) in [(0, 1), (1, 400), (50, 30), (100, 30), (100, 365)] {
        let mut dice = Dice(late + spread);
        let mut model = Model::default();
        let options = MergeOptions { split_bytes_min: 1_000, ..MergeOptions::default() };
        for round in 0..512_i64 {
            let current = 1_000 + round / 128;
            let periods: Vec<i64> =
                (0..200).map(|_| if dice.below(100) < late { current - dice.below(spread) as i64 } else { current }).collect();
            model.flush(current, &periods);
            while let Some(work) = next_merge(&model.files, &BTreeSet::new(), &options, MergeGoal::Background) {
                model.merge(&work);
            }
        }
        // 512 flushes of one level each: log8(512) = 3 levels of a period, up to 3 of mixed files, one for the flush
        // itself, one for closure, and tidying of closed periods by twos.
        let amplification = model.written as f64 / model.flushed as f64;
        assert!(amplification < 11.0, "{late} % late over {spread} periods: each row is written {amplification:.1} times");
    }
}

#[test]
fn files_with_deleted_rows_are_rewritten_when_nothing_else_pays() {
    let mut model = Model::default();
    model.flush(5, &[5, 5, 5]);
    let options = MergeOptions::default();
    assert_eq!(next_merge(&model.files, &BTreeSet::new(), &options, MergeGoal::Background), None);
    let number = model.files[0].number;
    let work = next_merge(&model.files, &BTreeSet::from([number]), &options, MergeGoal::Background).expect("work");
    assert_eq!((work.files, work.level, work.versions), (vec![number], 0, model.files[0].versions));
}
