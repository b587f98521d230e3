//! Snapshot values against an ordered map, and their file against every flipped bit and cut.

use super::*;
use crate::dice::Dice;
use crate::gather;
use std::collections::BTreeMap;
use storage::{FileHead, FileType, StoreId};
use types::{DistributionRule, Kind, Kinds, Samples, TextColumn, TextSamples};
use world::{Access, Disk, RealDisk, Threads, World};

struct Mixed;

impl Kinds for Mixed {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        Some(if tag.0 % 5 == 4 { Kind::Text } else { Kind::F64 })
    }
}

type Held = BTreeMap<TagId, Reading>;

fn rule() -> DistributionRule {
    DistributionRule { b1: 16, buckets: 3, ..DistributionRule::default() }
}

/// Writes a random batch into the values of slice 1 and the map.
fn write(dice: &mut Dice, placement: &Placement, latest: &Latest, held: &mut Held) {
    let rows = 1 + dice.below(60) as usize;
    let mut keys: Vec<(TagId, Timestamp)> = Vec::new();
    let (mut numbers, mut texts) = ((vec![], vec![], vec![]), (vec![], vec![], TextColumn::new()));
    for _ in 0..rows {
        let (tag, time) = (TagId(dice.below(20_000)), Timestamp(dice.below(50) as i64 - 25));
        keys.push((tag, time));
        if tag.0 % 5 == 4 {
            texts.0.push(tag);
            texts.1.push(time);
            texts.2.push(format!("t{}", dice.below(9)).as_bytes());
        } else {
            numbers.0.push(tag);
            numbers.1.push(time);
            numbers.2.push(dice.next());
        }
    }
    let samples = [Samples::new(&numbers.0, &numbers.1, &numbers.2, None).unwrap()];
    let text_samples = [TextSamples::new(&texts.0, &texts.1, &texts.2, None).unwrap()];
    for (slice, section) in gather(placement, &Mixed, &samples, &text_samples).unwrap() {
        if slice != SliceId(1) {
            continue;
        }
        latest.update(&section);
        for row in 0..section.rows() {
            let value = if section.is_text() { Datum::Text(section.text(row).into()) } else { Datum::Bits(section.bits()[row]) };
            let reading = Reading { time: section.time(row), value, quality: section.quality(row) };
            let old = held.entry(section.tag(row)).or_insert_with(|| reading.clone());
            if old.time <= reading.time {
                *old = reading;
            }
        }
    }
}

fn check(latest: &Latest, held: &Held) {
    // Other slices' tags share places with this one's, and are never asked for.
    let ours = (0..20_000).map(TagId).filter(|tag| rule().slice(*tag, Timestamp(0)) == SliceId(1));
    for tag in ours {
        assert_eq!(latest.get(tag).as_ref(), held.get(&tag), "tag {tag}");
    }
}

fn filled(seed: u64) -> (Placement, Latest, Held) {
    let placement = Placement::new(&rule());
    let (latest, mut held, mut dice) = (Latest::new(placement, SliceId(1)), Held::new(), Dice(seed));
    for _ in 0..20 {
        write(&mut dice, &placement, &latest, &mut held);
    }
    (placement, latest, held)
}

#[test]
fn the_newest_stands_and_deletions_take_what_they_hit() {
    for seed in 0..20 {
        let (placement, latest, mut held) = filled(seed);
        check(&latest, &held);
        let range = TimeRange { first: Timestamp(5), last: Timestamp(20) };
        let list: Vec<TagId> = held.keys().copied().filter(|tag| tag.0 % 2 == 0).collect();
        let points = held.iter().take(3).map(|(tag, reading)| (*tag, reading.time)).collect();
        for deletion in [
            Deletion::Points(points),
            Deletion::Range { tags: TagSelection::of(list), range },
            Deletion::Range { tags: TagSelection::All, range },
        ] {
            let hit = |tag: &TagId, reading: &Reading| match &deletion {
                Deletion::Points(points) => points.contains(&(*tag, reading.time)),
                Deletion::Range { tags, range } => tags.contains(*tag) && range.contains(reading.time),
            };
            let mut fallen = latest.forget(&deletion);
            fallen.sort_unstable();
            let expected: Vec<TagId> = held.iter().filter(|(tag, reading)| hit(tag, reading)).map(|(tag, _)| *tag).collect();
            assert_eq!(fallen, expected);
            held.retain(|tag, reading| !hit(tag, reading));
            check(&latest, &held);
        }
        let older = Reading { time: Timestamp(-99), value: Datum::Bits(1), quality: Quality::BAD };
        if let Some(tag) = held.keys().next() {
            latest.set_if_newer(*tag, &older);
        }
        check(&latest, &held);
        write(&mut Dice(seed), &placement, &latest, &mut held);
        check(&latest, &held);
    }
}

fn head(number: u64) -> FileHead {
    FileHead { file_type: FileType::Latest, format: LATEST_FORMAT, store: StoreId(7), slice: SliceId(1), number }
}

#[test]
fn a_file_comes_back_and_no_damage_passes() {
    let threads = Threads::start(world::ThreadCounts::default());
    let world = World::real(&threads);
    let dir = std::env::temp_dir().join(format!("meridian-latest-{}-{}", std::process::id(), world.random.next_u64()));
    world.disk.make_dir(&dir).unwrap();
    let disk = RealDisk;
    let (placement, latest, held) = filled(3);
    let path = dir.join("latest-1");
    let bytes = latest.write(&disk, &path, head(1)).unwrap();
    let file = disk.open(&path, Access::Write).unwrap();
    assert_eq!(file.len().unwrap(), bytes);
    let read = || {
        let back = Latest::new(placement, SliceId(1));
        back.read(&disk, &path, head(1)).map(|()| back)
    };
    check(&read().unwrap(), &held);
    assert!(Latest::new(placement, SliceId(1)).read(&disk, &path, head(2)).is_err());
    let mut whole = vec![0; bytes as usize];
    file.read_at(0, &mut whole).unwrap();
    let mut dice = Dice(9);
    for _ in 0..300 {
        let at = dice.below(bytes);
        let flipped = whole[at as usize] ^ (1 << dice.below(8));
        file.write_at(at, &[&[flipped]]).unwrap();
        assert!(read().is_err(), "a flipped bit in byte {at}");
        file.write_at(at, &[&whole[at as usize..=at as usize]]).unwrap();
        file.truncate(dice.below(bytes)).unwrap();
        assert!(read().is_err());
        file.write_at(0, &[&whole]).unwrap();
    }
    for name in disk.list(&dir).unwrap() {
        disk.remove(&dir.join(name.name)).unwrap();
    }
    disk.remove_dir(&dir).unwrap();
    threads.stop();
}
