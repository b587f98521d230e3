//! The series file's format: files written before are read.
#![allow(clippy::unwrap_used, reason = "a test stops at any error")]

mod rows;

use rows::{Model, Tag, write};
use series::SeriesColumns;
use series::file::{NoCache, SeriesFile, check};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{Kind, TagId, Timestamp};
use world::{Disk, RealDisk, SimulatedDisk};

/// Tags that touch every method of the format. Never changed: the golden file holds them.
fn golden() -> Vec<Tag> {
    let second = 1_000_000_i64;
    let start = 1_700_000_000 * second;
    let regular = |rows: i64| (0..rows).map(|row| start + row * second).collect::<Vec<_>>();
    let jitter: Vec<i64> = (0..700).map(|row| start + row * second + row * 7_919 % 101 * 1_000).collect();
    let plain: Vec<i64> = (0..600).map(|row| start + row * row * 1_003 + row).collect();
    let mut odd: Vec<u64> = (0..600).map(|row| (f64::from(row) / 10.0).to_bits()).collect();
    (odd[7], odd[400], odd[401]) = (0x7FF8_0000_0000_0BAD, (-0.0_f64).to_bits(), f64::NEG_INFINITY.to_bits());
    let mut tags = vec![
        Tag::numbers(
            0,
            Kind::F64,
            regular(2_100),
            (0..2_100).map(|row| (f64::from(22_000 + row * row % 97) / 100.0).to_bits()).collect(),
        ),
        Tag::numbers(1, Kind::F64, jitter, (0..700).map(|row| f64::from(row).sqrt().to_bits()).collect()),
        Tag::numbers(5, Kind::F64, plain, odd),
        Tag::numbers(6, Kind::F32, regular(50), (0..50).map(|row| u64::from((1.0 / (row as f32 + 0.5)).to_bits())).collect()),
        Tag::numbers(7, Kind::I64, vec![i64::MIN, -1, 0, i64::MAX], vec![0, u64::MAX, 1 << 63, i64::MAX as u64]),
        Tag::numbers(8, Kind::I32, regular(24), (0..24_i64).map(|row| (row * 1_000 - 12_000) as u64).collect()),
        Tag::numbers(9, Kind::Bool, regular(300), (0..300).map(|row| u64::from(row > 170)).collect()),
        Tag::numbers(200, Kind::State, regular(20), vec![3; 20]),
    ];
    let mut texts = SeriesColumns { times: regular(40).into_iter().map(Timestamp).collect(), ..SeriesColumns::default() };
    (0..40).for_each(|row| texts.texts.push(format!("valve {row} 阀门").as_bytes()));
    tags.push(Tag { id: TagId(u64::MAX), kind: Kind::Text, columns: texts });
    tags[0].columns.qualities = Some((0..2_100).map(|row| if row % 500 == 3 { 0 } else { 192 }).collect());
    tags[5].columns.qualities = Some(vec![64; 24]);
    tags
}

#[test]
fn files_of_format_1_are_read() {
    let path = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
        .join("tests/golden/format-1.series");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    if std::env::var_os("MERIDIAN_WRITE_GOLDEN").is_some() {
        write(&disk, &path, &golden());
    }
    assert!(check(disk.as_ref(), &path).unwrap().is_whole());
    let file = SeriesFile::open(disk.as_ref(), &path, Arc::new(NoCache)).unwrap();
    Model::new(&golden()).check_all(&file);
    // And what is written today reads the same.
    let simulated: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
    write(&simulated, Path::new("/today"), &golden());
    let today = SeriesFile::open(simulated.as_ref(), Path::new("/today"), Arc::new(NoCache)).unwrap();
    Model::new(&golden()).check_all(&today);
}
