//! Series files give back the rows that went in, bit for bit, whatever the kinds, cadences and sizes.
#![allow(clippy::unwrap_used, reason = "a test stops at any error")]

mod rows;

use rows::{Model, Noise, Tag, write};
use series::Projection;
use series::file::{NoCache, SeriesFile, check as check_file};
use std::path::Path;
use std::sync::Arc;
use types::{Kind, TagId, TimeRange, Timestamp};
use world::{Disk, SimulatedDisk};

fn open(disk: &Arc<dyn Disk>, path: &Path) -> Arc<SeriesFile> {
    SeriesFile::open(disk.as_ref(), path, Arc::new(NoCache)).unwrap()
}

/// Writes the tags, reads everything in every way, and compares. Gives bytes a row.
fn check(tags: &[Tag], seed: u64) -> f64 {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
    let path = Path::new("/file.series");
    let summary = write(&disk, path, tags);
    let file = open(&disk, path);
    assert_eq!(file.summary(), &summary);
    assert!(check_file(disk.as_ref(), path).unwrap().is_whole());
    let inspection = series::file::inspect(disk.as_ref(), path, 5).unwrap();
    assert!(inspection.facts.contains(&("rows", summary.rows.to_string())) && inspection.tables[0].rows.len() <= 5);
    let model = Model::new(tags);
    model.check_all(&file);
    let mut noise = Noise(seed);
    for _ in 0..200 {
        let tag = &tags[noise.below(tags.len())];
        model.check_range(&file, tag, noise.range(tag), Projection::ALL);
        model.check_newest(&file, tag, noise.time(tag));
    }
    summary.bytes as f64 / summary.rows.max(1) as f64
}

#[test]
fn an_empty_file_has_nothing() {
    check(&[Tag::numbers(0, Kind::I64, vec![5], vec![1])], 1);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
    let summary = write(&disk, Path::new("/empty"), &[]);
    assert_eq!((summary.rows, summary.range.is_empty()), (0, true));
    let file = open(&disk, Path::new("/empty"));
    assert!(file.entries(TagId(0)).unwrap().next().unwrap().is_none());
    let mut found = Vec::new();
    file.find(TagId(0), &mut found).unwrap();
    assert!(found.is_empty());
}

#[test]
fn every_kind_cadence_and_length_comes_back() {
    for seed in 0..30 {
        let mut noise = Noise(seed * 77 + 1);
        let count = 1 + noise.below(60);
        let mut id = 0;
        let tags: Vec<Tag> = (0..count)
            .map(|_| {
                id += 1 + noise.below(5) as u64;
                noise.tag(id)
            })
            .collect();
        check(&tags, seed);
    }
}

#[test]
fn tags_that_are_asked_for_one_by_one_have_the_entries_that_a_walk_over_all_has() {
    for seed in 0..12 {
        let mut noise = Noise(seed * 131 + 7);
        let tags: Vec<Tag> = (0..700).map(|id| noise.tag(id * 2)).collect();
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
        write(&disk, Path::new("/f"), &tags);
        // Long tags have several entries, which may lie in two blocks.
        let file = open(&disk, Path::new("/f"));
        let (mut entries, mut all) = (file.entries(TagId(0)).unwrap(), Vec::new());
        while let Some(entry) = entries.next().unwrap() {
            all.push(entry);
        }
        assert!(all.len() > 700 && all.iter().any(|entry| entry.statistics.is_some_and(|known| known.good != Some(known.all))));
        for one_in in [1, 2, 9, 60, 400] {
            let wanted: Vec<TagId> = (0..1_410).filter(|_| noise.below(one_in) == 0).map(TagId).collect();
            let first = wanted.first().copied().unwrap_or(TagId(0));
            for statistics in [true, false] {
                let mut entries = file.entries(first).unwrap();
                for tag in &wanted {
                    let mut found = Vec::new();
                    entries.of(*tag, statistics, &mut found).unwrap();
                    let mut expected: Vec<_> = all.iter().filter(|entry| entry.tag == *tag).copied().collect();
                    if !statistics {
                        found.iter_mut().chain(&mut expected).for_each(|entry| entry.statistics = None);
                    }
                    assert_eq!(found, expected, "seed {seed}, one in {one_in}");
                }
            }
        }
    }
}

#[test]
fn extreme_tags_and_times_come_back() {
    let times = vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let bits = vec![0, u64::MAX, 1 << 63, i64::MAX as u64, 7, 8, 9];
    let many: Vec<i64> = (0..9_000).map(|i| i64::MIN.wrapping_add_unsigned(i * (u64::MAX / 9_000))).collect();
    let odd: Vec<u64> = (0..9_000_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    check(
        &[
            Tag::numbers(0, Kind::I64, times.clone(), bits.clone()),
            Tag::numbers(1 << 40, Kind::F64, times, bits),
            Tag::numbers(u64::MAX - 1, Kind::I64, many.clone(), odd.clone()),
            Tag::numbers(u64::MAX, Kind::F64, many, odd),
        ],
        3,
    );
}

#[test]
fn a_tag_may_come_in_parts_and_be_longer_than_a_chunk() {
    let times: Vec<i64> = (0..50_000).map(|i| i * 1_000_000).collect();
    let bits: Vec<u64> = (0..50_000).map(|i| (f64::from(i % 977) / 10.0).to_bits()).collect();
    let whole = Tag::numbers(4, Kind::F64, times, bits);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(9));
    let mut writer = rows::writer(&disk, Path::new("/parts"));
    let mut first = 0;
    for part in [1, 10, 700, 16_000, 16_001, 3, 17_285] {
        writer.append(whole.id, whole.kind, whole.columns.rows(whole.kind).part(first, first + part)).unwrap();
        first += part;
    }
    let summary = writer.finish().unwrap();
    assert_eq!((summary.rows, summary.tags), (50_000, 1));
    let file = open(&disk, Path::new("/parts"));
    let tags = [whole];
    Model::new(&tags).check_all(&file);
    let mut found = Vec::new();
    file.find(TagId(4), &mut found).unwrap();
    assert!(found.len() >= 6 && found.iter().all(|entry| entry.rows >= 4_000 && entry.rows <= 8_000), "{}", found.len());
}

#[test]
fn one_point_reads_little_of_a_long_tag() {
    let times: Vec<i64> = (0..8_000).map(|i| i * 1_000_000 + i % 7 * 1_000).collect();
    let bits: Vec<u64> = (0..8_000_i64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64)) as u64).collect();
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(2));
    let tags = [Tag::numbers(1, Kind::I64, times, bits)];
    write(&disk, Path::new("/f"), &tags);
    let file = open(&disk, Path::new("/f"));
    let mut found = Vec::new();
    file.find(TagId(1), &mut found).unwrap();
    let mut out = series::SeriesColumns::default();
    let range = TimeRange::at(Timestamp(4_000_000_000 + 4_000 % 7 * 1_000));
    let cost = file.read(&found[0], range, Projection::ALL, &mut out).unwrap();
    assert_eq!((out.times.len(), cost.rows <= 512, cost.bytes < 12_000), (1, true, true), "{cost:?}");
}

#[test]
fn sizes_are_what_the_format_is_for() {
    let regular = |id: u64, rows: i64| {
        let times = (0..rows).map(|i| 1_700_000_000_000_000 + i * 1_000_000).collect();
        let bits = (0..rows).map(|i| ((22_000 + (i * 7 % 11) + i / 50) as f64 / 100.0).to_bits()).collect();
        Tag::numbers(id, Kind::F64, times, bits)
    };
    let constant = |id: u64, rows: i64| {
        let times = (0..rows).map(|i| 1_700_000_000_000_000 + i * 1_000_000).collect();
        Tag::numbers(id, Kind::F64, times, vec![41.5_f64.to_bits(); rows as usize])
    };
    let long: Vec<Tag> = (0..100).map(|id| regular(id, 5_000)).collect();
    let at_most = |tags: &[Tag], most: f64| {
        let bytes = check(tags, 1);
        assert!(bytes < most, "{bytes} bytes a row, at most {most} are expected");
    };
    at_most(&long, 0.6);
    let still: Vec<Tag> = (0..100).map(|id| constant(id, 5_000)).collect();
    at_most(&still, 0.05);
    let hourly: Vec<Tag> = (0..2_000).map(|id| constant(id, 24)).collect();
    at_most(&hourly, 0.2);
}
