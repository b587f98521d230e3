//! Damaged logs: flipped bits, garbage, missing and cut files. What is read back was written, at its
//! place; what was synced and can't be read is an error that names a file, never a silent end.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use bytes::Bytes;
use log::{Body, Error, Log, Options, Position, Record};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, Random, SeededRandom, Simulation};

const DIR: &str = "/log";

fn options() -> Options {
    Options { segment_bytes: 4096, record_bytes_max: 1000, group_bytes_max: 2000, ..Options::default() }
}

fn body(number: u64, bytes: u64) -> Bytes {
    let random = SeededRandom::new(number);
    (0..bytes).map(|_| random.next() as u8).collect::<Vec<u8>>().into()
}

/// A log of some records; each one is durable when the next is appended.
fn write(simulation: &Simulation, random: &SeededRandom, closed: bool) -> Vec<Record> {
    let (log, mut replay) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
    assert!(replay.next().is_none());
    let out: Arc<Mutex<Vec<Record>>> = Arc::default();
    for number in 0..random.between(1, 40) {
        let bytes = if random.one_in(4) { random.between(0, 900) } else { random.between(0, 60) };
        let (head, body) = (Bytes::copy_from_slice(&number.to_le_bytes()), body(number, bytes));
        let record = Record { position: Position(0), end: Position(0), kind: 3, head: head.clone(), body: body.clone() };
        let (out, end) = (Arc::clone(&out), 48 + (8 + bytes).next_multiple_of(8));
        log.append(3, head, Body::new(vec![body]), move |answer| {
            let position = answer.unwrap();
            out.lock().push(Record { position, end: Position(position.0 + end), ..record });
        });
        simulation.runner.run_until_idle();
    }
    if closed {
        log.close(|answer| assert!(answer.is_ok()));
        simulation.runner.run_until_idle();
    }
    simulation.kill();
    Arc::try_unwrap(out).unwrap().into_inner()
}

/// Opens and reads all: the records up to the first error, and that error.
fn read(simulation: &Simulation) -> (Vec<Record>, Option<Error>) {
    let replay = match Log::open(&simulation.world(), Path::new(DIR), options()) {
        Ok((_, replay)) => replay,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut records = Vec::new();
    for record in replay {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

fn files(simulation: &Simulation) -> Vec<(PathBuf, u64)> {
    simulation.disk.files()
}

#[test]
fn a_flipped_bit_is_named_or_harmless() {
    let (mut named, mut harmless) = (0, 0);
    for seed in 0..1500 {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed));
        let closed = random.one_in(2);
        let expect = write(&simulation, &random, closed);
        let files = files(&simulation);
        let (path, len) = &files[random.below(files.len() as u64) as usize];
        let offset = random.below(*len);
        assert!(simulation.disk.damage(path, offset, 1 << random.below(8)));
        let (records, error) = read(&simulation);
        assert!(expect.starts_with(&records), "seed {seed}");
        let Some(error) = error else {
            harmless += 1;
            // What was synced last has no witness behind it, unless the log was closed.
            let least = expect.len() - usize::from(!closed);
            assert!(records.len() >= least, "seed {seed}: {} of {} records, at {offset}", records.len(), expect.len());
            continue;
        };
        named += 1;
        let Error::Damaged { file, offset: at, .. } = &error else { panic!("seed {seed}: {error}") };
        // The record that is named begins before the bit; a missing END makes the next file stand alone.
        assert!(file == path && *at <= offset, "seed {seed}: byte {offset} of {} was hit: {error}", path.display());
    }
    assert!(named > 400 && harmless > 400, "{named} {harmless}");
}

#[test]
fn a_missing_or_shortened_segment_is_noticed() {
    for seed in 0..300 {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed));
        let expect = write(&simulation, &random, true);
        let files = files(&simulation);
        let chosen = random.below(files.len() as u64) as usize;
        let path = &files[chosen].0;
        if random.one_in(2) {
            simulation.disk.remove(path).unwrap();
            let (records, error) = read(&simulation);
            // Without the oldest the log begins later, which its reader knows; without the only one it is another log.
            let expect = if chosen == 0 { &expect[expect.len() - records.len()..] } else { &expect[..0] };
            assert_eq!(records, expect, "seed {seed}");
            assert_eq!(error.is_some(), chosen > 0, "seed {seed}: {error:?}");
        } else {
            let file = simulation.disk.open(path, Access::Write).unwrap();
            file.truncate(random.below(files[chosen].1)).unwrap();
            let (records, error) = read(&simulation);
            assert!(expect.starts_with(&records), "seed {seed}");
            // The newest file has no witness but its own last records.
            assert!(error.is_some() || records == expect || chosen + 1 == files.len(), "seed {seed}");
        }
    }
}

/// Garbage of many kinds, over many bytes. Nothing panics, nothing wrong is read.
#[test]
fn no_garbage_is_taken_for_a_record() {
    let (mut whole, mut errors) = (0, 0);
    for seed in 0..1500 {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed ^ 77));
        let expect = write(&simulation, &random, random.one_in(2));
        for _ in 0..random.between(1, 4) {
            mutate(&simulation, &random);
        }
        let (records, error) = read(&simulation);
        for record in &records {
            let same = expect.iter().find(|other| other.position == record.position);
            assert_eq!(same, Some(record), "seed {seed}");
        }
        assert!(records.windows(2).all(|pair| pair[0].position < pair[1].position), "seed {seed}");
        whole += usize::from(records == expect);
        errors += usize::from(error.is_some());
        // What was opened goes on as a log.
        if error.is_none() {
            let (log, replay) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
            assert_eq!(replay.count(), records.len(), "seed {seed}");
            log.append(9, Bytes::new(), Body::new(Vec::new()), |answer| assert!(answer.is_ok()));
            simulation.runner.run_until_idle();
            drop(log);
            simulation.crash();
            let (again, error) = read(&simulation);
            assert!(error.is_none() && again.len() == records.len() + 1 && again[records.len()].kind == 9, "seed {seed}");
        }
    }
    assert!(whole > 100 && errors > 300, "{whole} {errors}");
}

fn mutate(simulation: &Simulation, random: &SeededRandom) {
    let files = files(simulation);
    let any = || &files[random.below(files.len() as u64) as usize];
    let ((path, len), (other, other_len)) = (any(), any());
    let file = simulation.disk.open(path, Access::Write).unwrap();
    let from = simulation.disk.open(other, Access::Read).unwrap();
    let (len, other_len) = (*len, *other_len);
    let bytes = random.between(1, 600).min(len).min(other_len);
    let mut block = vec![0; bytes as usize];
    let aligned = random.one_in(2);
    let place = |limit: u64| {
        let at = random.between(0, limit - bytes);
        if aligned { at & !7 } else { at }
    };
    match random.between(0, 4) {
        0 => block.iter_mut().for_each(|byte| *byte = random.next() as u8),
        1 => {}
        2 => {
            // A piece of the log where it does not belong.
            from.read_at(place(other_len), &mut block).unwrap();
        }
        3 => {
            file.truncate(random.between(0, len)).unwrap();
            return;
        }
        _ => {
            let at = random.below(len);
            simulation.disk.damage(path, at, random.between(1, 255) as u8);
            return;
        }
    }
    file.write_at(place(len), &[&block]).unwrap();
}

/// The bytes of all files.
fn copy(simulation: &Simulation) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |(path, len): (PathBuf, u64)| {
        let mut bytes = vec![0; len as usize];
        simulation.disk.open(&path, Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
        (path, bytes)
    };
    files(simulation).into_iter().map(read).collect()
}

#[test]
fn a_repair_keeps_every_record_that_is_whole() {
    let (mut repaired, mut kept, mut lone_headers) = (0, 0, 0);
    let dir = Path::new(DIR);
    for seed in 0..1500 {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed ^ 5));
        let expect = write(&simulation, &random, true);
        let before = copy(&simulation);
        let whole = log::check(&*simulation.disk, dir, None).unwrap();
        assert_eq!(whole.damages, [], "seed {seed}");
        let (path, bytes) = &before[random.below(before.len() as u64) as usize];
        let missing = before.len() > 1 && random.one_in(10);
        let offset = random.below(bytes.len() as u64);
        if missing {
            simulation.disk.remove(path).unwrap();
        } else {
            simulation.disk.damage(path, offset, 1 << random.below(8));
        }
        let after = copy(&simulation);
        // Half of the logs are those of somebody who keeps their ids.
        let id = whole.id.filter(|_| seed % 2 == 0);
        let found = log::check(&*simulation.disk, dir, id).unwrap();
        assert!(copy(&simulation) == after, "seed {seed}: a check changed something");
        if before.len() == 1 && offset < 64 {
            lone_headers += 1;
            if id.is_none() {
                assert!(!found.damages.is_empty() && log::repair(&*simulation.disk, dir, None).is_err(), "seed {seed}");
                continue;
            }
        }
        assert_eq!(log::repair(&*simulation.disk, dir, id).unwrap(), found, "seed {seed}");
        let (records, error) = read(&simulation);
        assert!(error.is_none(), "seed {seed}: {error:?} after {:?}", found.damages);
        repaired += usize::from(!found.damages.is_empty());
        for record in &expect {
            let (file, base) = before
                .iter()
                .filter_map(|(file, _)| Some((file, file.file_stem()?.to_str()?.parse::<u64>().ok()?)))
                .rfind(|(_, base)| *base <= record.position.0)
                .unwrap();
            let (from, to) = (record.position.0 - base, record.end.0 - base);
            let hit = file == path && (missing || (from..to).contains(&offset));
            kept += usize::from(!hit);
            assert!(hit || records.contains(record), "seed {seed}: {} is gone, hit at {offset}", record.position);
        }
        assert_eq!(log::check(&*simulation.disk, dir, None).unwrap().damages, [], "seed {seed}");
    }
    assert!(repaired > 600 && kept > 10_000 && lone_headers > 5, "{repaired} {kept} {lone_headers}");
}

/// Whatever the garbage, check and repair never panic, and what is repaired opens without wrong records.
#[test]
fn a_repair_of_any_garbage_ends_well_or_says_why_not() {
    let dir = Path::new(DIR);
    let mut opened = 0;
    for seed in 0..1000 {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed ^ 99));
        let expect = write(&simulation, &random, random.one_in(2));
        for _ in 0..random.between(1, 4) {
            mutate(&simulation, &random);
        }
        let named = !log::check(&*simulation.disk, dir, None).unwrap().damages.is_empty();
        if let Err(error) = log::repair(&*simulation.disk, dir, None) {
            assert!(named && matches!(error, Error::Damaged { .. }), "seed {seed}: {error}");
            continue;
        }
        let (records, error) = read(&simulation);
        assert!(error.is_none(), "seed {seed}: {error:?}");
        assert!(records.iter().all(|record| expect.contains(record)), "seed {seed}");
        opened += 1;
    }
    assert!(opened > 800, "{opened}");
}

#[test]
fn a_foreign_segment_and_a_newer_format_are_refused() {
    let mut logs = (0..).filter_map(|seed| {
        let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed));
        write(&simulation, &random, true);
        (files(&simulation).len() > 1).then_some(simulation)
    });
    let (simulation, other) = (logs.next().unwrap(), logs.next().unwrap());
    let files = files(&simulation);
    let path = &files[1].0;
    let mut bytes = vec![0; files[1].1 as usize];
    other.disk.open(path, Access::Read).unwrap().read_at(0, &mut bytes[..64]).unwrap();
    let file = simulation.disk.open(path, Access::Write).unwrap();
    let mut own = vec![0; 64];
    file.read_at(0, &mut own).unwrap();
    file.write_at(0, &[&bytes[..64]]).unwrap();
    assert!(matches!(read(&simulation).1, Some(Error::Damaged { what: "it belongs to another log", .. })));

    own[8] = 2;
    let checksum = crc_fast::crc64_nvme(&own[..56]);
    own[56..].copy_from_slice(&checksum.to_le_bytes());
    file.write_at(0, &[&own]).unwrap();
    assert!(matches!(read(&simulation).1, Some(Error::UnknownFormat { format: 2, .. })));
}
