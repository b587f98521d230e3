//! Flushes and planned merges against an ordered map: whatever is written, deleted, flushed and
//! merged in whatever order, the slice shows the same rows; and in the end nothing deleted is left.

use super::*;
use crate::buffer::tests::{self as buffer_tests, ByNumber, Model, Write, model, write};
use crate::dice::Dice;
use crate::file::NoCache;
use crate::view::tests::{check_aggregate, check_points, check_scan};
use crate::{Buffer, MergeGoal, MergeOptions, SliceFiles, SliceView, Tombstone, next_merge};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use storage::FilePlace;
use types::{Epoch, Period, Sequence, SliceId, TagId, Timestamp, Version};

const PERIOD_US: i64 = 150;

struct Slice {
    disk: Arc<dyn Disk>,
    directory: SliceDirectory,
    buffer: Buffer,
    files: Vec<Arc<ViewFile>>,
    tombstones: Vec<Tombstone>,
    merges: u64,
}

impl Slice {
    fn new(seed: u64) -> Slice {
        let disk = world::Simulation::new(seed).world().disk;
        let directory = SliceDirectory::open_or_create(&disk, &PathBuf::from("/slices/0000"), StoreId(7), SliceId(0)).unwrap();
        Slice { disk, directory, buffer: Buffer::new(), files: Vec::new(), tombstones: Vec::new(), merges: 0 }
    }

    fn plan(&self) -> FlushPlan<'_> {
        FlushPlan {
            disk: &self.disk,
            directory: &self.directory,
            store: StoreId(7),
            period_us: PERIOD_US,
            kinds: &ByNumber,
            cache: Arc::new(NoCache),
        }
    }

    fn apply(&mut self, sequence: i64, next: &Write) {
        let version = Version { epoch: Epoch(1), sequence: Sequence(sequence as u64) };
        buffer_tests::apply(&mut self.buffer, version, next);
    }

    fn flush(&mut self) {
        let Some(sealed) = self.buffer.seal() else { return };
        let files = flush(&sealed, &self.plan()).unwrap();
        self.check_places(&files);
        self.files.extend(files);
        self.tombstones.extend(sealed.tombstones().iter().cloned());
        self.buffer.release(sealed.last().sequence);
    }

    /// Does the next piece of work, if any.
    fn merge(&mut self, goal: MergeGoal) -> bool {
        let metas: Vec<_> = self.files.iter().map(|file| file.meta.clone()).collect();
        let options = MergeOptions { fan: 3, ..MergeOptions::default() };
        let Some(work) = next_merge(&metas, &BTreeSet::new(), &options, goal) else { return false };
        let find = |number| self.files.iter().find(|file| file.meta.number == number).unwrap();
        let inputs: Vec<_> = work.files.iter().map(|number| Arc::clone(find(*number))).collect();
        // Stopped at any tag it leaves nothing behind, and can be done again.
        let (before, asked) = (self.names(), Cell::new(0));
        let stop = || asked.replace(asked.get() + 1) >= self.merges % 9;
        let merged = match merge(&inputs, &self.tombstones, &work, &self.plan(), &stop) {
            Ok(merged) => merged,
            Err(crate::Error::Stopped) => {
                assert_eq!(self.names(), before);
                merge(&inputs, &self.tombstones, &work, &self.plan(), &|| false).unwrap()
            }
            Err(other) => panic!("{other}"),
        };
        self.check_places(&merged);
        self.files.retain(|file| !work.files.contains(&file.meta.number));
        self.files.extend(merged);
        self.merges += 1;
        true
    }

    /// The names of all files.
    fn names(&self) -> Vec<PathBuf> {
        let dir = self.directory.dir();
        let below = |name: String| self.disk.list(&dir.join(&name)).map(|entries| (name, entries));
        let all = self.disk.list(dir).unwrap().into_iter().filter_map(|entry| below(entry.name).ok());
        all.flat_map(|(name, entries)| entries.into_iter().map(move |entry| Path::new(&name).join(entry.name))).collect()
    }

    fn check_places(&self, files: &[Arc<ViewFile>]) {
        for file in files {
            let mut entries = file.file.entries(TagId(0)).unwrap();
            while let Some(entry) = entries.next().unwrap() {
                let held = |time| Period::of(time, PERIOD_US);
                if let FilePlace::Period(period) = file.meta.place
                    && entry.times_exact
                {
                    assert_eq!((held(entry.first_time), held(entry.last_time)), (period, period));
                }
            }
        }
    }

    fn view(&mut self) -> SliceView {
        SliceView::new(self.buffer.view(), SliceFiles::new(self.files.clone(), self.tombstones.clone()), Arc::new(ByNumber))
    }
}

fn check(slice: &mut Slice, expected: &Model, dice: &mut Dice, context: &str) {
    let view = slice.view();
    check_points(&view, expected, dice, context);
    check_scan(&view, expected, dice, context);
    check_aggregate(&view, expected, dice, context);
}

/// Times far beyond what 64 periods reach are rare; they make the walks of a merge many.
fn tamed(next: Write, dice: &mut Dice) -> Write {
    let wild = dice.one_in(40);
    match next {
        Write::Rows(mut rows) if !wild => {
            rows.iter_mut().for_each(|row| row.1 = Timestamp(row.1.0.clamp(-500, 3_000)));
            Write::Rows(rows)
        }
        Write::Hold(mut rows) if !wild => {
            rows.iter_mut().for_each(|row| row.1 = Timestamp(row.1.0.clamp(-500, 3_000)));
            Write::Hold(rows)
        }
        other => other,
    }
}

#[test]
fn flushing_and_merging_change_nothing_that_is_seen() {
    let mut merges = 0;
    for seed in 0..150 {
        let dice = &mut Dice(seed);
        let mut slice = Slice::new(seed);
        let mut writes = Vec::new();
        for at in 1..90_i64 {
            let next = write(dice, at, false);
            let next = tamed(next, dice);
            slice.apply(at, &next);
            writes.push(next);
            if dice.one_in(5) {
                slice.flush();
            }
            if dice.one_in(4) {
                slice.merge(MergeGoal::Background);
            }
            if dice.one_in(8) {
                let expected = model(&writes, 0);
                check(&mut slice, &expected, dice, &format!("seed {seed} at {at}"));
            }
        }
        slice.flush();
        while slice.merge(MergeGoal::Everything) {}
        let expected = model(&writes, 0);
        for part in 0..5 {
            check(&mut slice, &expected, dice, &format!("seed {seed} in the end, {part}"));
        }
        let places: BTreeSet<_> = slice.files.iter().map(|file| file.meta.place).collect();
        assert_eq!(places.len(), slice.files.len(), "seed {seed}: one file a period");
        merges += slice.merges;
    }
    assert!(merges > 700, "{merges}");
}

#[test]
fn deleted_rows_are_gone_after_a_merge() {
    let mut slice = Slice::new(1);
    let dice = &mut Dice(1);
    let rows = |at: i64| {
        (0..40).map(move |row| (TagId(row % 4), Timestamp(at * 10 + row as i64), crate::Datum::Bits(row), types::Quality::GOOD))
    };
    let mut writes: Vec<Write> = (1..4).map(|at| Write::Rows(rows(at).collect())).collect();
    for (at, next) in (1..).zip(&writes) {
        slice.apply(at, next);
        slice.flush();
    }
    let version = Version { epoch: Epoch(1), sequence: Sequence(9) };
    let deletion = crate::Deletion::Range { tags: crate::TagSelection::of(vec![TagId(1)]), range: types::TimeRange::ALL };
    writes.push(Write::Delete(Tombstone::new(version, deletion)));
    slice.apply(9, &writes[3]);
    slice.flush();
    while slice.merge(MergeGoal::Everything) {}
    let expected = model(&writes, 0);
    let rows: u64 = slice.files.iter().map(|file| file.meta.rows).sum();
    assert_eq!(rows, expected.len() as u64, "files hold what is seen, and nothing else");
    check(&mut slice, &expected, dice, "after the merge");
}
