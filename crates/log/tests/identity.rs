//! Which log it is: a log whose id is kept is opened only as itself; what it refuses together stays together;
//! and a log whose making failed is made durable before it is believed.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use bytes::Bytes;
use log::{Body, Error, Known, Log, Options, Position, Record};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Access, Disk, DiskError, Entry, Faults, File, Operation, Simulation, World};

const DIR: &str = "/store/log";

fn options() -> Options {
    Options { segment_bytes: 4096, record_bytes_max: 1000, group_bytes_max: 2000, ..Options::default() }
}

fn append(simulation: &Simulation, log: &Log, bytes: usize) {
    log.append(3, Bytes::new(), Body::new(vec![vec![7; bytes].into()]), |answer| assert!(answer.is_ok()));
    simulation.runner.run_until_idle();
}

fn content(simulation: &Simulation) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf, len: u64| {
        let mut bytes = vec![0; len as usize];
        simulation.disk.open(&path, Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
        (path, bytes)
    };
    simulation.disk.files().into_iter().map(|(path, len)| read(path, len)).collect()
}

#[test]
fn a_log_is_opened_only_as_itself() {
    let simulation = Simulation::new(1);
    let open = |id| {
        let known = Known { id, first: Position::default() };
        Log::open_known(&simulation.world(), Path::new(DIR), options(), known).map(|(log, replay)| (log, replay.count()))
    };
    assert!(matches!(open(1), Err(Error::Lost { id: 1, .. })), "there is not even a directory");
    assert_eq!(content(&simulation), [], "and none is made");
    let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
    let id = log.id();
    append(&simulation, &log, 100);
    drop(log);
    assert_eq!(open(id).unwrap().1, 1);
    let before = content(&simulation);
    let Err(fault) = open(id ^ 1) else { panic!("it is another log") };
    assert!(matches!(fault, Error::Foreign { found, .. } if found == id), "{fault}");
    assert!(fault.to_string().contains(DIR), "{fault}");
    assert_eq!(content(&simulation), before, "a log of somebody else is left as it lies");

    // A file that was never made whole is no log.
    let path = before[0].0.clone();
    simulation.disk.remove(&path).unwrap();
    assert!(matches!(open(id), Err(Error::Lost { .. })), "the directory was wiped");
    simulation.disk.create(&path).unwrap();
    assert!(matches!(open(id), Err(Error::Lost { .. })));
    assert_eq!(content(&simulation), [(path, Vec::new())]);
}

#[test]
fn a_cut_ends_where_it_was_said_to() {
    for seed in 0..50 {
        let simulation = Simulation::new(seed);
        let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
        let mut targets = 0;
        for round in 0..60 {
            append(&simulation, &log, 50 * (round % 19) + 1);
            let before = Position(log.first().0 + (log.end().0 - log.first().0) * (seed % 5) / 4);
            let (first, target) = (log.first(), log.cut_target(before));
            let gone = log.cut(before).unwrap();
            assert_eq!(log.first(), target.unwrap_or(first));
            assert_eq!(gone > 0, target.is_some());
            targets += u64::from(target.is_some());
        }
        assert!(targets > 0 || seed % 5 == 0, "seed {seed}");
        // What was cut is told from what is missing.
        let (known, files) = (Known { id: log.id(), first: log.first() }, content(&simulation));
        drop(log);
        if files.len() > 1 {
            simulation.disk.remove(&files[0].0).unwrap();
            let fault = Log::open_known(&simulation.world(), Path::new(DIR), options(), known).err();
            assert!(matches!(fault, Some(Error::Headless { first, .. }) if first == known.first), "{fault:?}");
            assert_eq!(content(&simulation), files[1..]);
            simulation.disk.create(&files[0].0).unwrap().write_at(0, &[&files[0].1]).unwrap();
        }
        assert!(Log::open_known(&simulation.world(), Path::new(DIR), options(), known).is_ok());
    }
}

#[test]
fn what_must_not_stand_alone_is_refused_with_what_came_before_it() {
    let simulation = Simulation::new(3);
    let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
    let answers: Arc<Mutex<Vec<(u8, bool)>>> = Arc::default();
    let give = |kind: u8, since, bytes: usize| {
        let answers = Arc::clone(&answers);
        log.append_since(since, kind, Bytes::new(), Body::new(vec![vec![kind; bytes].into()]), move |answer| {
            assert!(matches!(answer, Ok(_) | Err(Error::Full(_))), "{answer:?}");
            answers.lock().push((kind, answer.is_ok()));
        })
    };
    let before = give(0, None, 10);
    simulation.runner.run_until_idle();
    while answers.lock().iter().all(|(_, kept)| *kept) {
        let left = Faults { capacity_bytes: simulation.disk.used_bytes(), ..Faults::NONE };
        simulation.disk.set_faults(left);
        give(1, Some(before), 900);
        simulation.runner.run_until_idle();
    }
    simulation.disk.set_faults(Faults::NONE);
    answers.lock().clear();
    // There is room again: what leans on nothing, or on what came since, is kept.
    give(2, Some(before), 10);
    let since = give(3, None, 10);
    give(4, Some(since), 10);
    simulation.runner.run_until_idle();
    assert_eq!(*answers.lock(), [(2, false), (3, true), (4, true)], "in order, as always");
}

/// A disk on which nothing can be removed, as where the process is killed first.
struct Keeping(Arc<dyn Disk>);

impl Disk for Keeping {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, DiskError> {
        self.0.create(path)
    }
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn File>, DiskError> {
        self.0.open(path, access)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let cause = std::io::Error::other("it stays");
        Err(DiskError { operation: Operation::Remove, path: path.to_path_buf(), cause })
    }
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_dir(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        self.0.list(path)
    }
    fn make_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.make_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, DiskError> {
        self.0.lock(path)
    }
    fn size_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.0.size_bytes(path)
    }
}

#[test]
fn a_log_whose_first_sync_failed_is_made_durable_before_it_is_used() {
    let mut lost = 0;
    for seed in 0..200 {
        let simulation = Simulation::new(seed);
        simulation.disk.set_faults(Faults { sync_error_one_in: 1, ..Faults::NONE });
        let world = World { disk: Arc::new(Keeping(simulation.world().disk)), ..simulation.world() };
        assert!(Log::open(&world, Path::new(DIR), options()).is_err());
        simulation.disk.set_faults(Faults::NONE);
        lost += u64::from(!simulation.disk.files().is_empty());
        let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
        append(&simulation, &log, 100);
        drop(log);
        simulation.crash();
        let (_, replay) = Log::open(&simulation.world(), Path::new(DIR), options()).unwrap();
        let records: Vec<Record> = replay.map(Result::unwrap).collect();
        assert_eq!(records.len(), 1, "seed {seed}: it was answered");
    }
    assert!(lost > 100, "the file of the failed making is there in most runs: {lost}");
}
