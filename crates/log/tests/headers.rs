//! A log none of whose headers is whole: it is mended where somebody keeps its id, every record at its place.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use bytes::Bytes;
use log::{Body, Error, Known, Log, Options, Position, Record};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, Simulation};

const DIR: &str = "/log";

fn options() -> Options {
    Options { segment_bytes: 4096, record_bytes_max: 1000, group_bytes_max: 2000, ..Options::default() }
}

fn append(simulation: &Simulation, log: &Log, records: u64) {
    for number in 0..records {
        let (head, body) = (Bytes::copy_from_slice(&number.to_le_bytes()), Body::new(vec![vec![7; 300].into()]));
        log.append(3, head, body, |answer| assert!(answer.is_ok()));
        simulation.runner.run_until_idle();
    }
}

/// A log of so many records, of a node that was killed: its id and records.
fn made(simulation: &Simulation, records: u64) -> (u64, Vec<Record>) {
    let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
    append(simulation, &log, records);
    let id = log.id();
    drop(log);
    simulation.kill();
    let disk: Arc<dyn Disk> = simulation.world().disk;
    (id, log::read(&disk, Path::new(DIR)).unwrap().map(Result::unwrap).collect())
}

fn segments(simulation: &Simulation) -> Vec<PathBuf> {
    simulation.disk.files().into_iter().map(|(path, _)| path).collect()
}

/// It is refused, `check` names all headers, `repair` mends them, and it opens with these records and goes on.
fn assert_mended(simulation: &Simulation, id: u64, records: &[Record], what: &str) {
    let (dir, kept) = (Path::new(DIR), Some(id));
    assert!(matches!(Log::open(&simulation.world(), dir, options()), Err(Error::Damaged { .. })), "{what}");
    let disk: Arc<dyn Disk> = simulation.world().disk;
    assert!(matches!(log::read(&disk, dir), Err(Error::Damaged { .. })), "{what}: it is read as an empty one");
    let found = log::check(&*simulation.disk, dir, kept).unwrap();
    let named: Vec<PathBuf> = found.damages.iter().map(|damage| damage.file.clone()).collect();
    assert_eq!(named, segments(simulation), "{what}: {:?}", found.damages);
    assert_eq!(log::repair(&*simulation.disk, dir, kept).unwrap(), found, "{what}");
    assert_eq!(log::check(&*simulation.disk, dir, kept).unwrap().damages, [], "{what}");
    let known = Known { id, first: Position(64) };
    let (log, replay) = Log::open_known(&simulation.world(), dir, options(), known).unwrap();
    assert_eq!(replay.map(Result::unwrap).collect::<Vec<_>>(), records, "{what}");
    append(simulation, &log, 1);
    drop(log);
    simulation.kill();
    let (_, replay) = Log::open_known(&simulation.world(), dir, options(), known).unwrap();
    assert_eq!(replay.map(Result::unwrap).count(), records.len() + 1, "{what}");
}

#[test]
fn a_broken_header_of_the_only_segment_costs_nothing() {
    for records in [1, 5] {
        for byte in 0..64 {
            let simulation = Simulation::new(byte);
            let (id, records) = made(&simulation, records);
            let segments = segments(&simulation);
            assert!(segments.len() == 1 && simulation.disk.damage(&segments[0], byte, 1 << (byte % 8)));
            assert_mended(&simulation, id, &records, &format!("byte {byte}"));
        }
    }
}

#[test]
fn without_any_header_the_id_that_somebody_keeps_is_taken() {
    for records in [1, 5, 40] {
        let simulation = Simulation::new(records);
        let (id, records) = made(&simulation, records);
        for path in segments(&simulation) {
            let file = simulation.disk.open(&path, Access::Write).unwrap();
            file.write_at(0, &[&[0xA5; 64]]).unwrap();
            file.sync().unwrap();
        }
        let refused = log::repair(&*simulation.disk, Path::new(DIR), None);
        assert!(matches!(refused, Err(Error::Damaged { what: "no segment tells the log's id", .. })), "nobody tells it");
        assert_mended(&simulation, id, &records, "all of the headers");
    }
}

#[test]
fn a_kept_id_makes_no_log_of_another_or_of_none() {
    let simulation = Simulation::new(4);
    let (id, _) = made(&simulation, 5);
    let (dir, known) = (Path::new(DIR), Known { id: id ^ 1, first: Position(64) });
    let found = log::check(&*simulation.disk, dir, Some(known.id)).unwrap();
    assert!(found.id == Some(id) && matches!(found.is_known(dir, known), Err(Error::Foreign { .. })), "{found:?}");
    simulation.disk.remove(&segments(&simulation)[0]).unwrap();
    let found = log::check(&*simulation.disk, dir, Some(id)).unwrap();
    assert!(found.id.is_none() && matches!(found.is_known(dir, known), Err(Error::Lost { .. })), "{found:?}");
}
