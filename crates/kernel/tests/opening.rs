//! What opening promises: a store whose log was lost, exchanged or cut short is refused by name and left as it lies;
//! an opening that failed can be tried again; and what an opening believes is on disk.

mod fixture;

use fixture::{open, rows, settings, settle, write};
use kernel::{Deletion, Error, Kernel, Neighbour, Write};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{Kind, Kinds, TagId, TextColumn, TextSamples, Timestamp};
use world::{Access, Disk, Faults, SeededRandom, Simulation};

type Files = Vec<(PathBuf, Vec<u8>)>;

/// The files below a directory.
fn files(simulation: &Simulation, dir: &str) -> Files {
    let read = |(path, len): (PathBuf, u64)| {
        let mut bytes = vec![0; len as usize];
        simulation.disk.open(&path, Access::Read).expect("it is listed").read_at(0, &mut bytes).expect("it is that long");
        (path, bytes)
    };
    simulation.disk.files().into_iter().filter(|(path, _)| path.starts_with(dir)).map(read).collect()
}

/// Puts these files in the place of all that lie below a directory.
fn replace(simulation: &Simulation, dir: &str, by: &Files) {
    for (path, _) in files(simulation, dir) {
        simulation.disk.remove(&path).expect("it is listed");
    }
    simulation.disk.make_dir(Path::new(dir)).expect("a working disk");
    for (path, bytes) in by {
        simulation.disk.make_dir(path.parent().expect("files lie in directories")).expect("a working disk");
        let file = simulation.disk.create(path).expect("it was removed");
        file.write_at(0, &[bytes]).expect("a working disk");
        file.sync().expect("a working disk");
    }
    simulation.disk.sync_dir(Path::new(dir)).expect("a working disk");
}

/// Removes a directory in which no files are.
fn remove_dirs(simulation: &Simulation, dir: &Path) {
    for entry in simulation.disk.list(dir).expect("it is there") {
        remove_dirs(simulation, &dir.join(entry.name));
    }
    simulation.disk.remove_dir(dir).expect("it is empty");
}

const LOG: &str = "/store/log";

/// Writes a row of each of the numbers, each durable when it returns.
fn write_rows(simulation: &Simulation, kernel: &Kernel, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let mut answer = write(kernel, &[(number as u64 % 9, number, number)]);
        simulation.runner.run_until_idle();
        assert!(matches!(answer.try_take(), Some(Ok(Ok(_)))));
    }
}

fn stop(simulation: &Simulation, kernel: Arc<Kernel>) {
    drop(kernel);
    simulation.kill();
}

/// The store must refuse to open, name the log, say what to do, and change nothing, however often it is tried.
fn assert_refused(simulation: &Simulation, why: &str) {
    let before = files(simulation, "/store");
    for _ in 0..2 {
        match open(simulation, settings()) {
            Err(Error::Damaged(what)) => assert!(what.contains(LOG) && what.contains("put the store's own log"), "{why}: {what}"),
            Err(other) => panic!("{why}: {other}"),
            Ok(_) => panic!("{why}: the store opened"),
        }
        assert!(
            files(simulation, LOG) == before.iter().filter(|(path, _)| path.starts_with(LOG)).cloned().collect::<Files>(),
            "{why}"
        );
    }
}

#[test]
fn a_lost_or_foreign_log_is_refused_whether_or_not_anything_was_flushed() {
    let other = Simulation::new(100);
    let kernel = open(&other, settings()).expect("an empty directory");
    write_rows(&other, &kernel, 0..50);
    stop(&other, kernel);
    for flushed in [0, 1, 10] {
        let simulation = Simulation::new(flushed);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        for round in 0..10 {
            write_rows(&simulation, &kernel, round * 10..round * 10 + 10);
            if round < flushed as i64 {
                settle(&simulation, kernel.flush());
            }
        }
        let expected = rows(&kernel.snapshot()).expect("readable");
        assert_eq!(expected.len(), 100);
        stop(&simulation, kernel);
        let log = files(&simulation, LOG);
        replace(&simulation, LOG, &Files::new());
        assert_refused(&simulation, "the log was wiped");
        simulation.disk.remove_dir(Path::new(LOG)).expect("it is empty");
        assert_refused(&simulation, "the log's directory was removed");
        replace(&simulation, LOG, &files(&other, LOG));
        assert_refused(&simulation, "the log is another store's");
        replace(&simulation, LOG, &log);
        let kernel = open(&simulation, settings()).expect("the log is back");
        assert_eq!(rows(&kernel.snapshot()), Ok(expected));
    }
}

#[test]
fn an_older_copy_of_the_log_is_refused() {
    for flushed_since in [true, false] {
        let simulation = Simulation::new(7);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        write_rows(&simulation, &kernel, 0..20);
        let copy = files(&simulation, LOG);
        // The very next record is the last that lies in files: the copy ends where that one begins.
        write_rows(&simulation, &kernel, 20..21);
        if flushed_since {
            settle(&simulation, kernel.flush());
        }
        write_rows(&simulation, &kernel, 21..30);
        stop(&simulation, kernel);
        replace(&simulation, LOG, &copy);
        if flushed_since {
            // Opening marks the end that it found before it can know what is missing.
            let refused = open(&simulation, settings()).err().expect("records are missing");
            assert!(matches!(&refused, Error::Damaged(what) if what.contains(LOG) && what.contains("cut short")), "{refused}");
            assert_refused(&simulation, "the log is an older copy");
        } else {
            let kernel = open(&simulation, settings()).expect("a consistent copy of an earlier moment");
            assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), 20);
        }
    }
}

#[test]
fn a_log_without_its_oldest_segment_is_refused_and_a_cut_one_is_not() {
    for cut in [false, true] {
        let simulation = Simulation::new(11);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        let mut number = 0;
        let mut grow = |segments: usize| {
            while files(&simulation, LOG).len() < segments {
                write_rows(&simulation, &kernel, number..number + 100);
                number += 100;
            }
        };
        grow(3);
        if cut {
            settle(&simulation, kernel.flush());
            assert!(files(&simulation, LOG).len() < 3, "the log was cut");
            grow(3);
        }
        let expected = rows(&kernel.snapshot()).expect("readable");
        stop(&simulation, kernel);
        let log = files(&simulation, LOG);
        replace(&simulation, LOG, &log[1..].to_vec());
        assert_refused(&simulation, "the oldest segment is missing");
        replace(&simulation, LOG, &log);
        let kernel = open(&simulation, settings()).expect("nothing is missing");
        assert_eq!(rows(&kernel.snapshot()), Ok(expected));
    }
}

/// Syncs fail or the power goes at any step of the first openings and writes: what was answered is there.
#[test]
fn an_opening_that_failed_can_be_tried_again() {
    let dice = SeededRandom::new(3);
    let (mut failed, mut answered) = (0, 0);
    for seed in 0..1_500 {
        let simulation = Simulation::new(seed);
        let mut expected = Vec::new();
        for _ in 0..dice.between(1, 3) {
            let power_cut_after = dice.one_in(2).then(|| dice.between(0, 40));
            let sync_error_one_in = if power_cut_after.is_none() { dice.between(1, 12) } else { 0 };
            simulation.disk.set_faults(Faults { power_cut_after, sync_error_one_in, ..Faults::NONE });
            if let Ok(kernel) = open(&simulation, settings()) {
                let row = (dice.between(0, 8), i64::from(dice.next() as u32), 1);
                let mut answer = write(&kernel, &[row]);
                simulation.runner.run_until_idle();
                if let Some(Ok(Ok(_))) = answer.try_take() {
                    expected.push(row);
                }
            } else {
                failed += 1;
            }
            if simulation.disk.is_off() || dice.one_in(3) { simulation.crash() } else { simulation.kill() }
        }
        simulation.disk.set_faults(Faults::NONE);
        let kernel = open(&simulation, settings()).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        write_rows(&simulation, &kernel, -5..0);
        drop(kernel);
        simulation.crash();
        let kernel = open(&simulation, settings()).unwrap_or_else(|fault| panic!("seed {seed}, after a power cut: {fault}"));
        let found = rows(&kernel.snapshot()).expect("readable");
        assert!(expected.iter().all(|row| found.contains(row)), "seed {seed}: {expected:?} in {found:?}");
        assert_eq!(found.iter().filter(|row| row.1 < 0).count(), 5, "seed {seed}");
        answered += expected.len();
    }
    assert!(failed > 500 && answered > 500, "{failed} {answered}");
}

#[test]
fn a_lost_slice_is_refused() {
    let simulation = Simulation::new(3);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    write_rows(&simulation, &kernel, 0..30);
    settle(&simulation, kernel.flush());
    // What only the log holds is no reason to make the slice anew.
    write_rows(&simulation, &kernel, 30..60);
    let expected = rows(&kernel.snapshot()).expect("readable");
    stop(&simulation, kernel);
    // A store of an earlier release does not tell which slices it has: it learns it at its first opening.
    simulation.disk.open(Path::new("/store/node"), Access::Write).expect("it is there").truncate(1024).expect("a working disk");
    stop(&simulation, open(&simulation, settings()).expect("nothing is missing"));
    for slice in ["/store/slices/0000", "/store/slices/0003", "/store/slices"] {
        let kept = files(&simulation, slice);
        let before = files(&simulation, "/store");
        for emptied in [true, false] {
            replace(&simulation, slice, &Files::new());
            if !emptied {
                remove_dirs(&simulation, Path::new(slice));
            }
            for _ in 0..2 {
                match open(&simulation, settings()) {
                    Err(Error::Damaged(what)) => assert!(what.contains("/store/slices/000"), "{slice}: {what}"),
                    Err(other) => panic!("{slice}: {other}"),
                    Ok(_) => panic!("{slice}: the store opened without it"),
                }
            }
            replace(&simulation, slice, &kept);
            assert!(files(&simulation, "/store").len() == before.len(), "{slice}: files were made or removed");
        }
    }
    let kernel = open(&simulation, settings()).expect("everything is back");
    assert_eq!(rows(&kernel.snapshot()), Ok(expected));
}

/// Fewer tags than were written.
struct NoTags;

impl Kinds for NoTags {
    fn kind(&self, _: TagId) -> Option<Kind> {
        None
    }
}

#[test]
fn samples_of_tags_that_nobody_knows_are_refused() {
    for flushed in [true, false] {
        let simulation = Simulation::new(5);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        write_rows(&simulation, &kernel, 0..3);
        if flushed {
            settle(&simulation, kernel.flush());
        }
        stop(&simulation, kernel);
        let opened = Kernel::open(simulation.world(), Path::new("/store"), settings(), Arc::new(NoTags));
        let fault = opened.err().expect("a new tag table would give the samples to other tags");
        assert!(fault.to_string().contains("tag table") && matches!(fault, Error::Damaged(_)), "{fault}");
        assert_eq!(rows(&open(&simulation, settings()).expect("the table is back").snapshot()).expect("readable").len(), 3);
    }
}

#[test]
fn what_must_lie_beside_the_data_is_known_until_it_is_given_up() {
    let simulation = Simulation::new(12);
    let known = || {
        let identity = kernel::identify(&*simulation.disk, Path::new("/store")).expect("a store");
        (identity.has_catalog, identity.has_passwords)
    };
    let kernel = open(&simulation, settings()).expect("an empty directory");
    assert_eq!(known(), (false, false));
    kernel.note_neighbour(Neighbour::Passwords).expect("a working disk");
    kernel.note_neighbour(Neighbour::Passwords).expect("a working disk");
    assert_eq!(known(), (false, true));
    kernel.note_neighbour(Neighbour::Catalog).expect("a working disk");
    // Other changes of the same file keep it.
    kernel.set_rule(settings().rule).expect("nothing was written");
    write_rows(&simulation, &kernel, 0..5);
    drop(kernel);
    simulation.crash();
    stop(&simulation, open(&simulation, settings()).expect("a store"));
    assert_eq!(known(), (true, true));
    kernel::forget_neighbour(&*simulation.disk, Path::new("/store"), Neighbour::Passwords).expect("a working disk");
    let kernel = open(&simulation, settings()).expect("a store");
    assert_eq!(known(), (true, false));
    assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), 5);
}

/// Texts of tag 2, and whole numbers.
struct TextInTwo;

impl Kinds for TextInTwo {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        Some(if tag == TagId(2) { Kind::Text } else { Kind::I64 })
    }
}

#[test]
fn the_log_tells_its_tags_and_what_their_values_look_like() {
    let simulation = Simulation::new(6);
    let dir = Path::new("/store");
    let disk = simulation.world().disk;
    assert_eq!(kernel::logged_tags(&disk, dir), Ok(BTreeMap::new()), "there is no log");
    let kernel = Kernel::open(simulation.world(), dir, settings(), Arc::new(TextInTwo)).expect("an empty directory");
    let double = |value: f64| value.to_bits() as i64;
    let rows = [
        (3, 1, 7),
        (3, 2, -7),
        (5, 1, double(1.5)),
        (6, 1, double(-20.0)),
        (6, 2, 0),
        (8, 1, 0),
        (9, 1, 4),
        (9, 2, double(0.25)),
    ];
    for row in rows {
        let mut answer = write(&kernel, &[row]);
        simulation.runner.run_until_idle();
        assert!(matches!(answer.try_take(), Some(Ok(Ok(_)))));
    }
    let (mut texts, tags, times) = (TextColumn::new(), [TagId(2)], [Timestamp(1)]);
    texts.push(b"open");
    let texts = [TextSamples::new(&tags, &times, &texts, None).expect("columns of one length")];
    let mut answer = kernel.write(Write { texts: &texts, ..Write::default() });
    simulation.runner.run_until_idle();
    assert!(matches!(answer.try_take(), Some(Ok(Ok(_)))));
    // What lies in files too is told all the same.
    settle(&simulation, kernel.flush());
    drop(kernel.delete(Deletion::Points(vec![(TagId(700), Timestamp(1))])));
    simulation.runner.run_until_idle();
    stop(&simulation, kernel);
    let kinds = [(2, Kind::Text), (3, Kind::I64), (5, Kind::F64), (6, Kind::F64), (8, Kind::F64), (9, Kind::F64)];
    let expected = kinds.map(|(tag, kind)| (TagId(tag), kind)).into();
    assert_eq!(kernel::logged_tags(&disk, dir), Ok(expected), "a deletion holds no samples");
    let log = files(&simulation, LOG).remove(0).0;
    assert!(simulation.disk.damage(&log, 100, 1));
    assert!(matches!(kernel::logged_tags(&disk, dir), Err(Error::Damaged(_))));
}
