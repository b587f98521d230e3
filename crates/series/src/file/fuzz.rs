//! Hostile and damaged files: never a panic, never a row that was not written.

#[path = "../../tests/rows/mod.rs"]
mod rows;

use super::walk::walk;
use super::{Error, NoCache, SeriesFile, check, repair};
use crate::{Projection, SeriesColumns};
use rows::{Noise, Tag};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::block::{self, Seal};
use types::{TagId, TimeRange, Timestamp};
use world::{Access, Disk, SimulatedDisk};

/// Rows by tag and time: bits, text, quality.
type Rows = BTreeMap<(TagId, Timestamp), (u64, Vec<u8>, u8)>;

struct Sample {
    tags: Vec<Tag>,
    bytes: Vec<u8>,
    identity: u64,
    /// Every block: where it begins and how long it is.
    blocks: Vec<(usize, usize)>,
}

fn sample(seed: u64, count: u64) -> Sample {
    let mut noise = Noise(seed);
    let tags: Vec<Tag> = (0..count).map(|id| noise.tag(id * 3)).collect();
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
    let path = Path::new("/sample");
    rows::write(&disk, path, &tags);
    let file = SeriesFile::open(disk.as_ref(), path, Arc::new(NoCache)).unwrap();
    let found = walk(disk.as_ref(), path).unwrap();
    let mut blocks = Vec::new();
    for chunk in &found.chunks {
        blocks.push((chunk.offset as usize, chunk.header_bytes as usize));
        let mut framed = vec![0; chunk.header_bytes as usize];
        found.file.read_at(chunk.offset, &mut framed).unwrap();
        let header = super::chunk_read::ChunkHeader::parse(&framed[4..], framed.len(), chunk.bytes as usize).unwrap();
        blocks.extend(header.pages.iter().map(|page| (chunk.offset as usize + page.offset, page.bytes)));
    }
    blocks.extend(file.top().unwrap().top().iter().map(|block| (block.offset as usize, block.bytes as usize)));
    let top_end = file.index.offset as usize + file.top().unwrap().top().iter().map(|block| block.bytes as usize).sum::<usize>();
    blocks.push((top_end, file.index.top_bytes as usize));
    let mut bytes = vec![0; file.summary().bytes as usize];
    found.file.read_at(0, &mut bytes).unwrap();
    let footer = top_end + file.index.top_bytes as usize;
    blocks.push((footer, bytes.len() - 8 - footer));
    Sample { tags, bytes, identity: file.identity, blocks }
}

fn put(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) {
    disk.create(path).unwrap().write_at(0, &[bytes]).unwrap();
}

/// Reads all that a file gives, whatever it says of itself; rows of entries that could be read.
fn read_all(disk: &dyn Disk, path: &Path) -> Result<Rows, Error> {
    let mut all = BTreeMap::new();
    let file = SeriesFile::open(disk, path, Arc::new(NoCache))?;
    let mut entries = file.entries(TagId(0))?;
    // A block that can't be read is passed over by the next call: each call moves on.
    for _ in 0..100_000 {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_damage() && error.to_string().contains(path.to_str().unwrap()), "{error}");
                continue;
            }
        };
        let mut out = SeriesColumns::default();
        let read = file.read(&entry, TimeRange::ALL, Projection::ALL, &mut out);
        let middle = Timestamp(entry.first_time.0 / 2 + entry.last_time.0 / 2);
        let _ = file.newest_until(&entry, middle);
        match read {
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_damage() && error.to_string().contains(path.to_str().unwrap()), "{error}");
                assert!(out.times.is_empty() && out.bits.is_empty() && out.texts.is_empty());
            }
        }
        for (row, time) in out.times.iter().enumerate() {
            let bits = out.bits.get(row).copied().unwrap_or_default();
            let text = if out.bits.is_empty() { out.texts.get(row).to_vec() } else { Vec::new() };
            all.insert((entry.tag, *time), (bits, text, out.qualities.as_ref().map_or(192, |qualities| qualities[row])));
        }
    }
    Ok(all)
}

fn is_true(tags: &[Tag], all: &Rows) {
    for ((tag, time), (bits, text, quality)) in all {
        let tag = tags.iter().find(|known| known.id == *tag).expect("a tag that was written");
        let row = tag.columns.times.binary_search(time).expect("a time that was written");
        let wanted = tag.columns.qualities.as_ref().map_or(192, |qualities| qualities[row]);
        assert_eq!(*quality, wanted);
        if tag.kind.is_text() {
            assert_eq!(text, tag.columns.texts.get(row));
        } else {
            assert_eq!(*bits, tag.columns.bits[row]);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_seen_and_named_and_gives_no_wrong_row() {
    for seed in 0..2 {
        let sample = sample(seed, 8);
        let total: usize = sample.tags.iter().map(|tag| tag.columns.times.len()).sum();
        let mut noise = Noise(seed);
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
        let mut offsets: Vec<usize> = (0..48).chain(sample.bytes.len() - 60..sample.bytes.len()).collect();
        offsets.extend((0..120).map(|_| noise.below(sample.bytes.len())));
        for offset in offsets {
            let mut bytes = sample.bytes.clone();
            bytes[offset] ^= 1 << noise.below(8);
            let path = PathBuf::from(format!("/flipped-{offset}"));
            put(&disk, &path, &bytes);
            match read_all(disk.as_ref(), &path) {
                Ok(all) => is_true(&sample.tags, &all),
                Err(error) => assert!(error.is_damage(), "{error}"),
            }
            match check(disk.as_ref(), &path) {
                Ok(found) => assert!(!found.is_whole() && found.rows <= total as u64, "byte {offset}"),
                Err(error) => assert!(error.is_damage(), "{error}"),
            }
            disk.remove(&path).unwrap();
        }
    }
}

#[test]
fn repair_keeps_everything_that_is_whole() {
    for seed in 0..12 {
        let sample = sample(seed + 50, 12);
        let total: u64 = sample.tags.iter().map(|tag| tag.columns.times.len() as u64).sum();
        let mut noise = Noise(seed);
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
        let mut bytes = sample.bytes.clone();
        let hurt = noise.below(4);
        for _ in 0..hurt {
            let (start, length) = sample.blocks[noise.below(sample.blocks.len())];
            bytes[start + noise.below(length)] ^= 0x40;
        }
        put(&disk, Path::new("/hurt"), &bytes);
        let before = check(disk.as_ref(), Path::new("/hurt")).unwrap();
        assert!(before.is_whole() || hurt > 0);
        let (summary, report) = repair(&disk, Path::new("/hurt"), Path::new("/mended"), rows::origin()).unwrap();
        let after = check(disk.as_ref(), Path::new("/mended")).unwrap();
        assert!(after.is_whole(), "{after:?}");
        assert_eq!((after.rows, summary.rows), (report.rows, report.rows));
        assert_eq!(report.rows, before.rows);
        let kept = read_all(disk.as_ref(), Path::new("/mended")).unwrap();
        assert_eq!(kept.len() as u64, report.rows);
        is_true(&sample.tags, &kept);
        if report
            .damages
            .iter()
            .all(|damage| matches!(damage, Error::Damaged { block: "page" | "top" | "footer" | "index block", .. }))
        {
            assert_eq!(report.rows + report.rows_lost, total, "{report:?}");
        }
    }
}

#[test]
fn blocks_with_right_checksums_and_wrong_content_never_panic() {
    for seed in 0..4 {
        let sample = sample(seed + 100, 10);
        let mut noise = Noise(seed);
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
        for round in 0..150 {
            let mut bytes = sample.bytes.clone();
            for _ in 0..=noise.below(2) {
                let (start, length) = sample.blocks[noise.below(sample.blocks.len())];
                for _ in 0..=noise.below(3) {
                    let at = start + 4 + noise.below(length - 4);
                    bytes[at] = if noise.below(2) == 0 { noise.next() as u8 } else { bytes[at] ^ 1 << noise.below(8) };
                }
                block::end(&mut bytes[..start + length], start, Seal { file: sample.identity, offset: start as u64 });
            }
            let path = PathBuf::from(format!("/crafted-{round}"));
            put(&disk, &path, &bytes);
            let _ = read_all(disk.as_ref(), &path);
            let _ = check(disk.as_ref(), &path);
            let _ = super::inspect(disk.as_ref(), &path, 100);
            let _ = repair(&disk, &path, &path.with_extension("mended"), rows::origin());
            for made in [path.clone(), path.with_extension("mended")] {
                let _ = disk.remove(&made);
            }
        }
    }
}

#[test]
fn files_cut_short_or_of_random_bytes_are_refused() {
    let sample = sample(200, 6);
    let mut noise = Noise(7);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(7));
    for round in 0..150 {
        let mut bytes = sample.bytes[..noise.below(sample.bytes.len())].to_vec();
        if round % 3 == 0 {
            bytes = (0..noise.below(500)).map(|_| noise.next() as u8).collect();
        }
        let path = PathBuf::from(format!("/short-{round}"));
        put(&disk, &path, &bytes);
        let error = read_all(disk.as_ref(), &path).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("/short-"), "{error}");
        let open = disk.open(&path, Access::Read).unwrap();
        assert_eq!(open.len().unwrap(), bytes.len() as u64);
        if let Ok(found) = check(disk.as_ref(), &path) {
            assert!(!found.is_whole());
        }
    }
}
