//! Random tags for tests of series files, and the comparison of what a file gives with what went in.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "each test file uses its part and stops at any error")]

use series::file::{Entry, FileOrigin, FileSummary, SeriesFile, SeriesFileWriter, Summary};
use series::{Datum, Projection, SeriesColumns};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::{FileNumber, StoreId};
use types::{Epoch, Kind, Quality, Sequence, SliceId, TagId, TimeRange, Timestamp, Version};
use world::Disk;

/// A tag and its rows.
pub struct Tag {
    pub id: TagId,
    pub kind: Kind,
    pub columns: SeriesColumns,
}

impl Tag {
    pub fn numbers(id: u64, kind: Kind, times: Vec<i64>, bits: Vec<u64>) -> Tag {
        let times = times.into_iter().map(Timestamp).collect();
        Tag { id: TagId(id), kind, columns: SeriesColumns { times, bits, ..SeriesColumns::default() } }
    }
}

pub fn origin() -> FileOrigin {
    let version = |sequence| Version { epoch: Epoch(3), sequence: Sequence(sequence) };
    FileOrigin { store: StoreId(0xABCD), slice: SliceId(7), number: FileNumber(12), versions: (version(5), version(9)), level: 1 }
}

pub fn writer(disk: &Arc<dyn Disk>, path: &Path) -> SeriesFileWriter {
    SeriesFileWriter::create(disk, path, origin()).unwrap()
}

pub fn write(disk: &Arc<dyn Disk>, path: &Path, tags: &[Tag]) -> FileSummary {
    let mut writer = writer(disk, path);
    for (index, tag) in tags.iter().enumerate() {
        let rows = tag.columns.rows(tag.kind);
        if index % 2 == 0 {
            writer.append(tag.id, tag.kind, rows).unwrap();
        } else {
            writer.append_whole(tag.id, tag.kind, rows).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// A small generator of random numbers.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn length(&mut self) -> usize {
        let most = [1, 3, 8, 24, 100, 600, 3_000, 9_000][self.below(8)];
        1 + self.below(most)
    }

    fn times(&mut self, rows: usize) -> Vec<i64> {
        let start = 1_700_000_000_000_000 - self.below(1_000_000_000) as i64;
        let step = [1, 1_000, 1_000_000, 3_600_000_000][self.below(4)];
        match self.below(5) {
            0 | 1 => (0..rows as i64).map(|row| start + row * step).collect(),
            2 => (0..rows as i64).map(|row| start + row * 1_000_000 + self.below(101) as i64 * 1_000).collect(),
            3 => {
                let mut time = start;
                let mut next = || {
                    time += 1 + self.below(100_000_000) as i64;
                    time
                };
                (0..rows).map(|_| next()).collect()
            }
            _ => (0..rows as i64).map(|row| start + (row + row / 100 * 17) * step).collect(),
        }
    }

    fn value(&mut self, kind: Kind, style: usize, row: usize) -> u64 {
        let walk = self.below(100) as f64 / 100.0 + row as f64 / 10.0;
        match (kind, style) {
            (Kind::Bool, _) => u64::from((row / 40).is_multiple_of(2)),
            (Kind::State, _) => self.below(5) as u64,
            (Kind::I32, _) => (self.next() as i32 >> self.below(31)) as i64 as u64,
            (Kind::I64, 0) => self.next(),
            (Kind::I64, _) => (row as i64 * 1_000 + self.below(3) as i64 * 50) as u64,
            (Kind::F64, 0) => ((walk * 100.0).round() / 100.0).to_bits(),
            (Kind::F64, 1) => walk.sqrt().to_bits(),
            (Kind::F64, 2) if self.below(50) == 0 => self.odd(),
            (Kind::F64, 2) => ((walk * 10.0).round() / 10.0).to_bits(),
            (Kind::F64, _) => self.next(),
            (Kind::F32, 0) => u64::from((((walk * 100.0).round() / 100.0) as f32).to_bits()),
            (Kind::F32, 1) => u64::from((walk as f32).sin().to_bits()),
            (Kind::F32, _) => u64::from(self.next() as u32),
            (Kind::Text, _) => 0,
        }
    }

    fn odd(&mut self) -> u64 {
        let odd = [f64::NAN.to_bits(), (-0.0_f64).to_bits(), f64::INFINITY.to_bits(), 0xFFF0_0000_0000_0123, 1, 1 << 63];
        odd[self.below(6)]
    }

    pub fn tag(&mut self, id: u64) -> Tag {
        let kind = Kind::ALL[self.below(7)];
        let rows = self.length();
        let times = self.times(rows).into_iter().map(Timestamp).collect();
        let mut columns = SeriesColumns { times, ..SeriesColumns::default() };
        let style = self.below(4);
        for row in 0..rows {
            if kind.is_text() {
                let text = format!("{}-{}", "pump ".repeat(self.below(4)), self.below(1_000));
                columns.texts.push(text.as_bytes());
            } else {
                columns.bits.push(self.value(kind, style, row));
            }
        }
        columns.qualities = match self.below(4) {
            0 => Some((0..rows).map(|_| if self.below(20) == 0 { self.next() as u8 } else { 192 }).collect()),
            1 => Some((0..rows).map(|row| if row / 10 % 3 == 0 { 0 } else { 192 }).collect()),
            2 => Some(vec![0; rows]),
            _ => None,
        };
        Tag { id: TagId(id), kind, columns }
    }

    pub fn time(&mut self, tag: &Tag) -> Timestamp {
        let times = &tag.columns.times;
        let near = times[self.below(times.len())].0;
        Timestamp(near.saturating_add(self.below(3) as i64 - 1))
    }

    pub fn range(&mut self, tag: &Tag) -> TimeRange {
        let (a, b) = (self.time(tag), self.time(tag));
        match self.below(6) {
            0 => TimeRange::at(a),
            1 => TimeRange { first: Timestamp::MIN, last: a },
            2 => TimeRange { first: b, last: Timestamp::MAX },
            _ => TimeRange { first: a.min(b), last: a.max(b) },
        }
    }
}

/// What a file should hold.
pub struct Model<'a> {
    tags: BTreeMap<TagId, &'a Tag>,
}

impl<'a> Model<'a> {
    pub fn new(tags: &'a [Tag]) -> Self {
        Model { tags: tags.iter().map(|tag| (tag.id, tag)).collect() }
    }

    /// Reads all of a file through its cursor and compares rows and statistics.
    pub fn check_all(&self, file: &Arc<SeriesFile>) {
        let mut read: BTreeMap<TagId, SeriesColumns> = BTreeMap::new();
        let mut entries = file.entries(TagId(0)).unwrap();
        let mut last = None;
        while let Some(entry) = entries.next().unwrap() {
            assert!(last < Some((entry.tag, entry.first_time)), "entries in order of tag and time");
            last = Some((entry.tag, entry.first_time));
            let mut part = SeriesColumns::default();
            file.read(&entry, TimeRange::ALL, Projection::ALL, &mut part).unwrap();
            assert_eq!(part.times.len(), entry.rows as usize);
            check_entry(&entry, &part);
            let mut of_tag = Vec::new();
            file.find(entry.tag, &mut of_tag).unwrap();
            assert!(of_tag.contains(&Entry { statistics: None, ..entry }), "{entry:?} is not among those found by its tag");
            append(read.entry(entry.tag).or_default(), &part, entry.kind);
        }
        assert_eq!(read.len(), self.tags.len());
        for (tag, columns) in &read {
            assert_eq!(columns, &full(self.tags[tag]), "tag {tag}");
        }
    }

    /// Reads a range of a tag and compares.
    pub fn check_range(&self, file: &SeriesFile, tag: &Tag, range: TimeRange, projection: Projection) {
        let mut found = Vec::new();
        file.find(tag.id, &mut found).unwrap();
        let mut out = SeriesColumns::default();
        for entry in &found {
            file.read(entry, range, projection, &mut out).unwrap();
        }
        let wanted = full(tag);
        let from = wanted.times.partition_point(|time| *time < range.first);
        let to = wanted.times.partition_point(|time| *time <= range.last);
        assert_eq!(out.times, wanted.times[from..to]);
        if !tag.kind.is_text() {
            assert_eq!(out.bits, wanted.bits[from..to]);
        }
        let qualities = out.qualities.unwrap_or(vec![192; to - from]);
        assert_eq!(qualities, wanted.qualities.unwrap()[from..to]);
    }

    /// Reads one point and compares.
    pub fn check_newest(&self, file: &SeriesFile, tag: &Tag, time: Timestamp) {
        let mut found = Vec::new();
        file.find(tag.id, &mut found).unwrap();
        let reading = found.iter().rev().find_map(|entry| file.newest_until(entry, time).unwrap());
        let wanted = full(tag);
        let until = wanted.times.partition_point(|at| *at <= time);
        assert_eq!(reading.is_some(), until > 0);
        let Some(reading) = reading else { return };
        let row = until - 1;
        let value = if tag.kind.is_text() { Datum::Text(wanted.texts.get(row).into()) } else { Datum::Bits(wanted.bits[row]) };
        assert_eq!((reading.time, reading.value), (wanted.times[row], value));
        assert_eq!(reading.quality.0, wanted.qualities.unwrap()[row]);
    }
}

fn full(tag: &Tag) -> SeriesColumns {
    let mut columns = tag.columns.clone();
    columns.qualities.get_or_insert(vec![192; columns.times.len()]);
    columns
}

fn append(all: &mut SeriesColumns, part: &SeriesColumns, kind: Kind) {
    all.times.extend_from_slice(&part.times);
    all.bits.extend_from_slice(&part.bits);
    (0..part.texts.len()).for_each(|row| all.texts.push(part.texts.get(row)));
    assert_eq!(kind.is_text(), part.bits.is_empty());
    let qualities = part.qualities.clone().unwrap_or(vec![192; part.times.len()]);
    all.qualities.get_or_insert_default().extend(qualities);
}

fn check_entry(entry: &Entry, rows: &SeriesColumns) {
    let (first, last) = (rows.times[0], rows.times[rows.times.len() - 1]);
    assert!(entry.first_time <= first && last <= entry.last_time);
    if entry.times_exact {
        assert_eq!((entry.first_time, entry.last_time), (first, last));
    }
    let is_nan = |bits: &u64| matches!(entry.kind, Kind::F32 | Kind::F64) && entry.kind.bits_to_f64(*bits).is_nan();
    let has_nan = rows.bits.iter().any(is_nan);
    assert_eq!(entry.statistics.is_some(), !entry.kind.is_text() && !has_nan && entry.rows >= 16, "{entry:?}");
    let Some(statistics) = entry.statistics else { return };
    assert!(entry.times_exact);
    let all: Vec<usize> = (0..rows.times.len()).collect();
    check_summary(entry.kind, &statistics.all, rows, &all);
    let quality = |row: &usize| Quality(rows.qualities.as_ref().map_or(192, |qualities| qualities[*row]));
    let good: Vec<usize> = all.into_iter().filter(|row| quality(row).is_good()).collect();
    assert_eq!(statistics.good.is_some(), !good.is_empty());
    if let Some(summary) = statistics.good {
        check_summary(entry.kind, &summary, rows, &good);
    }
}

fn check_summary(kind: Kind, summary: &Summary, rows: &SeriesColumns, which: &[usize]) {
    let (first, last) = (which[0], which[which.len() - 1]);
    assert_eq!(summary.count, which.len() as u64);
    assert_eq!((summary.first_time, summary.first), (rows.times[first], rows.bits[first]));
    assert_eq!((summary.last_time, summary.last), (rows.times[last], rows.bits[last]));
    let bits = which.iter().map(|row| rows.bits[*row]);
    if kind.is_integer() {
        let sum: i128 = bits.clone().map(|bits| i128::from(bits as i64)).sum();
        assert_eq!(summary.integer_sum, sum);
        assert_eq!(summary.min as i64, bits.clone().map(|bits| bits as i64).min().unwrap());
        assert_eq!(summary.max as i64, bits.map(|bits| bits as i64).max().unwrap());
    } else {
        let values: Vec<f64> = bits.map(|bits| kind.bits_to_f64(bits)).collect();
        let sum: f64 = values.iter().sum();
        let scale: f64 = values.iter().map(|value| value.abs()).sum::<f64>().max(1e-300);
        let near = sum.to_bits() == summary.sum.to_bits() || !sum.is_finite() || (sum - summary.sum).abs() <= scale * 1e-12;
        assert!(near, "{sum} {}", summary.sum);
        let min = values.iter().copied().min_by(f64::total_cmp).unwrap();
        let max = values.iter().copied().max_by(f64::total_cmp).unwrap();
        assert_eq!(kind.bits_to_f64(summary.min).to_bits(), min.to_bits());
        assert_eq!(kind.bits_to_f64(summary.max).to_bits(), max.to_bits());
    }
}
