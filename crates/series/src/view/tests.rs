//! Views of buffer and files against an ordered map: random writes, deletions, flushes; point
//! reads, scans and aggregates of every shape.

use super::*;
use crate::buffer::tests::{ByNumber, Model, Write, apply, model, time, write};
use crate::dice::Dice;
use crate::file::{FileOrigin, NoCache, SeriesFileWriter};
use crate::rows::Order;
use crate::{
    AggregateBatch, AggregateRequest, Bins, Buffer, Datum, Direction, Projection, Reading, ReadingColumns, ScanRequest,
    ScanStatistics, SeriesColumns,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use storage::{FileNumber, FilePlace, StoreId};
use types::{Epoch, Quality, Sequence, SliceId, Timestamp, Version};
use world::Disk;

struct Slice {
    disk: Arc<dyn Disk>,
    buffer: Buffer,
    files: Vec<Arc<ViewFile>>,
    tombstones: Vec<Tombstone>,
    next: u64,
}

impl Slice {
    fn new(seed: u64) -> Slice {
        let disk = world::Simulation::new(seed).world().disk;
        disk.make_dir(&PathBuf::from("/s")).unwrap();
        Slice { disk, buffer: Buffer::new(), files: Vec::new(), tombstones: Vec::new(), next: 1 }
    }

    fn view(&mut self) -> SliceView {
        let files = SliceFiles::new(self.files.clone(), self.tombstones.clone());
        SliceView::new(self.buffer.view(), files, Arc::new(ByNumber))
    }

    /// Writes everything into two files, cut at a time, as a flush does by period.
    fn flush(&mut self, cut: Timestamp) {
        let cut = Timestamp(cut.0.min(i64::MAX - 1));
        let Some(sealed) = self.buffer.seal().map(|sealed| sealed.without_held()) else { return };
        let versions = (sealed.first().unwrap(), sealed.last());
        for range in
            [TimeRange { first: Timestamp::MIN, last: cut }, TimeRange { first: Timestamp(cut.0 + 1), last: Timestamp::MAX }]
        {
            let number = FileNumber(self.next);
            self.next += 1;
            let origin = FileOrigin { store: StoreId(1), slice: SliceId(0), number, versions, level: 0 };
            let path = PathBuf::from(format!("/s/{}", number.0));
            let mut writer = SeriesFileWriter::create(&self.disk, &path, origin).unwrap();
            let mut tags: Vec<(TagId, bool)> = sealed.tags(false).iter().map(|tag| (*tag, false)).collect();
            tags.extend(sealed.tags(true).iter().map(|tag| (*tag, true)));
            tags.sort_unstable();
            let mut rows = SeriesColumns::default();
            for (tag, text) in tags {
                sealed.tag_rows(tag, &range, text, &mut Order::default(), &mut rows);
                let kind = ByNumber.kind(tag).unwrap();
                writer.append(tag, kind, rows.rows(kind)).unwrap();
            }
            let meta = writer.finish().unwrap().meta(number, FilePlace::Mixed, Vec::new());
            let file = SeriesFile::open(&*self.disk, &path, Arc::new(NoCache)).unwrap();
            self.files.push(Arc::new(ViewFile::new(meta, file)));
        }
        self.tombstones.extend(sealed.tombstones().iter().cloned());
        self.buffer.release(sealed.last().sequence);
    }

    /// Merges the files of some flushes that follow each other into one.
    fn merge(&mut self, dice: &mut Dice) {
        self.files.sort_by_key(|file| (file.meta.versions.1, file.meta.number));
        let from = 2 * dice.below(self.files.len() as u64 / 2) as usize;
        let count = (2 * (1 + dice.below(4)) as usize).min(self.files.len() - from);
        let inputs: Vec<_> = self.files.drain(from..from + count).collect();
        let versions = (inputs[0].meta.versions.0, inputs[count - 1].meta.versions.1);
        let number = FileNumber(self.next);
        self.next += 1;
        let path = PathBuf::from(format!("/s/{}", number.0));
        let origin = FileOrigin { store: StoreId(1), slice: SliceId(0), number, versions, level: 1 };
        // Files stand in pairs here; the second of this pair is empty.
        for (range, number) in
            [(TimeRange::ALL, number), (TimeRange { first: Timestamp(1), last: Timestamp(0) }, FileNumber(self.next))]
        {
            let path = path.with_extension(number.0.to_string());
            let mut writer = SeriesFileWriter::create(&self.disk, &path, FileOrigin { number, ..origin }).unwrap();
            let mut merged = Merged::new(&inputs, &self.tombstones, range);
            let mut rows = SeriesColumns::default();
            while let Some((tag, kind)) = merged.next_tag().unwrap() {
                rows.clear();
                while merged.next_rows(&mut rows).unwrap() {
                    writer.append(tag, kind, rows.rows(kind)).unwrap();
                    rows.clear();
                }
            }
            let meta = writer.finish().unwrap().meta(number, FilePlace::Mixed, Vec::new());
            let file = SeriesFile::open(&*self.disk, &path, Arc::new(NoCache)).unwrap();
            self.files.push(Arc::new(ViewFile::new(meta, file)));
        }
        self.next += 1;
    }
}

fn selection(dice: &mut Dice) -> TagSelection {
    match dice.below(3) {
        0 => TagSelection::All,
        1 => TagSelection::of(vec![TagId(dice.below(12) + 100 * dice.below(2))]),
        _ => TagSelection::of((0..dice.below(12)).map(|_| TagId(dice.below(12) + 100 * dice.below(2))).collect()),
    }
}

fn range(dice: &mut Dice, at: i64) -> TimeRange {
    if dice.one_in(3) {
        return TimeRange::ALL;
    }
    TimeRange { first: time(dice, at), last: time(dice, at + 300) }
}

type Shown = (TagId, Timestamp, Option<Datum>, u8);

pub(crate) fn check_scan(view: &SliceView, expected: &Model, dice: &mut Dice, context: &str) {
    let request = ScanRequest {
        tags: selection(dice),
        texts: dice.one_in(2),
        range: range(dice, 100),
        projection: Projection { values: !dice.one_in(4), qualities: !dice.one_in(4) },
        direction: if dice.one_in(2) { Direction::Ascending } else { Direction::Descending },
        rows_per_tag_max: dice.one_in(2).then(|| dice.below(5)),
        batch_rows: 1 + dice.below(30) as usize,
    };
    let span = if dice.one_in(2) { (TagId(0), TagId(u64::MAX)) } else { (TagId(dice.below(12)), TagId(dice.below(120))) };
    let mut scan = view.scan(&request, span);
    let mut found: Vec<Shown> = Vec::new();
    while let Some(batch) = scan.next_batch().unwrap() {
        assert!(batch.rows() > 0 && batch.rows() <= request.batch_rows, "{context}");
        assert_eq!(batch.runs.iter().map(|run| run.rows as usize).sum::<usize>(), batch.rows(), "{context}");
        assert!(request.projection.qualities || batch.qualities.is_none(), "{context}");
        let mut row = 0;
        for run in &batch.runs {
            assert_eq!(Some(run.kind), ByNumber.kind(run.tag));
            for _ in 0..run.rows {
                let value = request
                    .projection
                    .values
                    .then(|| if request.texts { Datum::Text(batch.texts.get(row).into()) } else { Datum::Bits(batch.bits[row]) });
                found.push((run.tag, batch.times[row], value, batch.qualities.as_ref().map_or(192, |column| column[row])));
                row += 1;
            }
        }
    }
    let mut by_tag: BTreeMap<TagId, Vec<Shown>> = BTreeMap::new();
    for ((tag, time), (value, quality)) in expected {
        let wanted = request.tags.contains(*tag) && request.range.contains(*time) && *tag >= span.0 && *tag <= span.1;
        if wanted && matches!(value, Datum::Text(_)) == request.texts {
            let value = request.projection.values.then(|| value.clone());
            let quality = if request.projection.qualities { quality.0 } else { 192 };
            by_tag.entry(*tag).or_default().push((*tag, *time, value, quality));
        }
    }
    let wanted: Vec<Shown> = by_tag
        .into_values()
        .flat_map(|mut rows| {
            if request.direction == Direction::Descending {
                rows.reverse();
            }
            rows.truncate(request.rows_per_tag_max.map_or(usize::MAX, |most| most as usize));
            rows
        })
        .collect();
    assert_eq!(found, wanted, "{context}: {request:?} {span:?}");
}

pub(crate) fn check_points(view: &SliceView, expected: &Model, dice: &mut Dice, context: &str) {
    let questions: Vec<_> = (0..8).map(|row| (row, TagId(dice.below(12) + 100 * dice.below(2)), time(dice, 200))).collect();
    let mut out = ReadingColumns {
        found: vec![false; 8],
        times: vec![Timestamp(0); 8],
        bits: vec![0; 8],
        qualities: vec![0; 8],
        texts: Vec::new(),
    };
    view.newest_until_many(&questions, &mut out).unwrap();
    for (row, tag, at) in questions {
        let wanted = expected.range((tag, Timestamp::MIN)..=(tag, at)).next_back();
        let wanted = wanted.map(|((_, time), (value, quality))| Reading { time: *time, value: value.clone(), quality: *quality });
        let found = view.newest_until(tag, at, tag.0 >= 100).unwrap();
        assert_eq!(found, wanted, "{context}: newest of {tag} until {at}");
        let row = row as usize;
        assert_eq!(out.found[row], wanted.is_some(), "{context}");
        if let Some(wanted) = wanted {
            assert_eq!((out.times[row], out.qualities[row]), (wanted.time, wanted.quality.0), "{context}");
            match wanted.value {
                Datum::Bits(bits) => assert_eq!(out.bits[row], bits, "{context}"),
                Datum::Text(text) => assert!(out.texts.contains(&(row as u32, text)), "{context}"),
            }
        }
    }
    let selected = selection(dice);
    let asked = range(dice, 100);
    let ranges = view.time_ranges(&selected, asked);
    assert!(ranges.windows(2).all(|pair| pair[1].last < pair[0].first), "{context}: newest first and apart");
    for (tag, time) in expected.keys().filter(|(tag, time)| selected.contains(*tag) && asked.contains(*time)) {
        assert!(ranges.iter().any(|held| held.contains(*time)), "{context}: {tag} at {time} in {ranges:?}");
    }
}

pub(crate) fn check_aggregate(view: &SliceView, expected: &Model, dice: &mut Dice, context: &str) -> ScanStatistics {
    let bins = dice.one_in(2).then(|| Bins { origin: time(dice, 0), width_us: 1 + dice.below(400) as i64 });
    let request = AggregateRequest { tags: selection(dice), range: range(dice, 100), bins, good_only: dice.one_in(2) };
    let mut aggregation = view.aggregate(&request, (TagId(0), TagId(u64::MAX)));
    let mut found = AggregateBatch::default();
    while let Some(mut batch) = aggregation.next_batch().unwrap() {
        found.tags.append(&mut batch.tags);
        found.bins.append(&mut batch.bins);
        found.counts.append(&mut batch.counts);
        found.sums.append(&mut batch.sums);
        found.mins.append(&mut batch.mins);
        found.maxs.append(&mut batch.maxs);
        found.first_times.append(&mut batch.first_times);
        found.firsts.append(&mut batch.firsts);
        found.last_times.append(&mut batch.last_times);
        found.lasts.append(&mut batch.lasts);
    }
    let mut groups: BTreeMap<(TagId, Timestamp), Vec<(Timestamp, u64)>> = BTreeMap::new();
    for ((tag, time), (value, quality)) in expected {
        let Datum::Bits(bits) = value else { continue };
        if request.tags.contains(*tag) && request.range.contains(*time) && (!request.good_only || quality.is_good()) {
            let bin = bins.map_or(Timestamp::MIN, |bins| super::bins::bin(Some(bins), *time).first);
            groups.entry((*tag, bin)).or_default().push((*time, *bits));
        }
    }
    let keys: Vec<_> = found.tags.iter().copied().zip(found.bins.iter().copied()).collect();
    assert_eq!(keys, groups.keys().copied().collect::<Vec<_>>(), "{context}: {request:?}");
    for (row, (key, rows)) in groups.iter().enumerate() {
        let value = |bits: &u64| f64::from_bits(*bits);
        // Every NaN is one and the same, and stands above all others.
        let any_nan = |bits: &u64| if value(bits).is_nan() { f64::NAN.copysign(1.0) } else { value(bits) };
        let order = |a: &u64, b: &u64| any_nan(a).total_cmp(&any_nan(b));
        let same = |a: &u64, b: &u64| order(a, b).is_eq();
        let all: Vec<u64> = rows.iter().map(|row| row.1).collect();
        assert_eq!(found.counts[row], rows.len() as u64, "{context}: {key:?} {request:?}");
        let (min, max) = (all.iter().min_by(|a, b| order(a, b)), all.iter().max_by(|a, b| order(a, b)));
        assert!(same(&found.mins[row], min.unwrap()), "{context}: {key:?} {request:?}");
        assert!(same(&found.maxs[row], max.unwrap()), "{context}: {key:?} {request:?}");
        assert_eq!((found.first_times[row], found.firsts[row]), rows[0], "{context}: {key:?}");
        assert_eq!((found.last_times[row], found.lasts[row]), rows[rows.len() - 1], "{context}: {key:?}");
        let sum: f64 = all.iter().map(value).sum();
        let scale: f64 = all.iter().map(|bits| value(bits).abs()).sum();
        let near = (found.sums[row] - sum).abs() <= scale * 1e-9 || (!sum.is_finite() && !found.sums[row].is_finite());
        assert!(near, "{context}: {key:?} sums to {sum}, found {}", found.sums[row]);
    }
    aggregation.statistics()
}

#[test]
fn a_slice_is_an_ordered_map_wherever_its_rows_lie() {
    let (mut flushes, mut merges) = (0, 0);
    for seed in 0..1_000 {
        let dice = &mut Dice(seed);
        let mut slice = Slice::new(seed);
        let mut writes = Vec::new();
        for at in 1..50_i64 {
            let next = write(dice, at, false);
            apply(&mut slice.buffer, Version { epoch: Epoch(1), sequence: Sequence(at as u64) }, &next);
            writes.push(next);
            if dice.one_in(10) {
                slice.flush(time(dice, at * 10));
                flushes += 1;
            }
            if dice.one_in(12) && !slice.files.is_empty() {
                slice.merge(dice);
                merges += 1;
            }
            if dice.one_in(6) {
                let context = format!("seed {seed} at {at}");
                let (view, expected) = (slice.view(), model(&writes, 0));
                check_points(&view, &expected, dice, &context);
                check_scan(&view, &expected, dice, &context);
                check_aggregate(&view, &expected, dice, &context);
            }
        }
    }
    assert!(flushes > 2_000 && merges > 1_000, "{flushes} flushes, {merges} merges");
}

#[test]
fn long_tags_are_read_in_parts_and_from_statistics() {
    let mut known = ScanStatistics::default();
    for seed in 0..12 {
        let dice = &mut Dice(seed);
        let mut slice = Slice::new(seed);
        let mut writes = Vec::new();
        for at in 0..6_i64 {
            let start = if dice.one_in(2) { at * 9_000 } else { dice.below(50_000) as i64 };
            let rows = (0..9_000_i64)
                .map(|row| {
                    let value = (dice.below(1_000) as f64 / 10.0).to_bits();
                    (TagId(3), Timestamp(start + row), Datum::Bits(value), Quality(if dice.one_in(900) { 0 } else { 192 }))
                })
                .collect();
            let mut next = Write::Rows(rows);
            if at == 4 && dice.one_in(2) {
                next = write(dice, 4, false);
            }
            apply(&mut slice.buffer, Version { epoch: Epoch(1), sequence: Sequence(at as u64 + 1) }, &next);
            writes.push(next);
            if at < 5 {
                slice.flush(Timestamp::MAX);
            }
            if dice.one_in(4) && !slice.files.is_empty() {
                slice.merge(dice);
            }
        }
        let (view, expected) = (slice.view(), model(&writes, 0));
        for part in 0..8 {
            let context = format!("seed {seed} part {part}");
            check_scan(&view, &expected, dice, &context);
            check_points(&view, &expected, dice, &context);
            known.add(&check_aggregate(&view, &expected, dice, &context));
        }
    }
    assert!(known.chunks_from_statistics > 20 && known.rows_decoded > 100_000, "{known:?}");
}

/// What a deletion hides as a whole, as retention does, is not read for being left out.
#[test]
fn chunks_that_are_hidden_as_a_whole_are_not_read() {
    let dice = &mut Dice(7);
    let mut slice = Slice::new(7);
    let rows = |tag: u64, first: i64| {
        (0..9_000).map(move |row| (TagId(tag), Timestamp(first + row), Datum::Bits(row as u64), Quality(192))).collect()
    };
    let mut writes = Vec::new();
    for (at, next) in [Write::Rows(rows(3, 0)), Write::Rows(rows(4, 0)), Write::Rows(rows(3, 20_000))].into_iter().enumerate() {
        apply(&mut slice.buffer, Version { epoch: Epoch(1), sequence: Sequence(at as u64 + 1) }, &next);
        writes.push(next);
        slice.flush(Timestamp::MAX);
    }
    let range = TimeRange { first: Timestamp::MIN, last: Timestamp(19_999) };
    let gone = crate::Deletion::Range { tags: TagSelection::of(vec![TagId(3)]), range };
    slice.tombstones.push(Tombstone::new(Version { epoch: Epoch(1), sequence: Sequence(4) }, gone));
    let mut expected = model(&writes, 0);
    expected.retain(|(tag, time), _| *tag == TagId(4) || time.0 >= 20_000);
    let view = slice.view();
    let bins = Some(Bins { origin: Timestamp(0), width_us: 1_000 });
    let request = AggregateRequest { tags: TagSelection::of(vec![TagId(3)]), range, bins, good_only: false };
    let mut aggregation = view.aggregate(&request, (TagId(0), TagId(u64::MAX)));
    while let Some(batch) = aggregation.next_batch().unwrap() {
        assert_eq!(batch.counts, [0_u64; 0]);
    }
    assert_eq!(aggregation.statistics().rows_decoded, 0);
    for part in 0..8 {
        check_scan(&view, &expected, dice, &format!("part {part}"));
        check_aggregate(&view, &expected, dice, &format!("part {part}"));
    }
}
