//! The real world against its traits: files, directories, locks and threads of this machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use world::{Access, Disk, Entry, Lane, Random, ReadRange, RealDisk, RealRandom, Runner, ThreadCounts, Threads, Ticket};

/// A directory of its own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let place = std::env::temp_dir().join(format!("world-{:016x}", RealRandom.next_u64()));
        RealDisk.make_dir(&place.join("a/b")).expect("a directory for the test");
        Place(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("the test closed its files");
    }
}

#[test]
fn files_come_back_as_written() {
    let place = Place::new();
    let path = place.0.join("a/b/file");
    let file = RealDisk.create(&path).unwrap();
    assert_eq!(RealDisk.create(&path).err().unwrap().cause.kind(), ErrorKind::AlreadyExists);
    // More parts than one system call takes, empty ones among them.
    let parts: Vec<Vec<u8>> = (0..5000_usize).map(|i| vec![i as u8; i % 7]).collect();
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let whole = parts.concat();
    file.write_at(3, &slices).unwrap();
    file.write_at(0, &[b"abc"]).unwrap();
    file.write_at(0, &[]).unwrap();
    file.sync().unwrap();
    RealDisk.sync_dir(&place.0.join("a/b")).unwrap();
    assert_eq!(file.len().unwrap(), 3 + whole.len() as u64);

    let file = RealDisk.open(&path, Access::Read).unwrap();
    let (mut a, mut b, mut c) = (vec![0; 3], vec![0; 1000], vec![0; 5]);
    file.read_ranges(&mut [
        ReadRange { offset: 0, into: &mut a },
        ReadRange { offset: 3, into: &mut b },
        ReadRange { offset: 2003, into: &mut c },
    ])
    .unwrap();
    assert_eq!((&a[..], &b[..], &c[..]), (&b"abc"[..], &whole[..1000], &whole[2000..2005]));
    let mut pieces = vec![[0_u8; 2]; 3000];
    let mut ranges: Vec<ReadRange<'_>> =
        pieces.iter_mut().enumerate().map(|(i, into)| ReadRange { offset: 3 + 2 * i as u64, into }).collect();
    file.read_ranges(&mut ranges).unwrap();
    assert_eq!(pieces.concat(), whole[..6000]);
    assert_eq!(file.read_at(whole.len() as u64, &mut [0; 4]).unwrap_err().cause.kind(), ErrorKind::UnexpectedEof);
    assert!(file.write_at(0, &[b"x"]).is_err());
}

#[test]
fn room_is_reserved_and_lengths_are_set() {
    let place = Place::new();
    let file = RealDisk.create(&place.0.join("file")).unwrap();
    file.write_at(0, &[b"kept"]).unwrap();
    file.reserve(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    let mut bytes = vec![1; 100_000];
    file.read_at(0, &mut bytes).unwrap();
    assert!(bytes.starts_with(b"kept") && bytes[4..].iter().all(|b| *b == 0));
    file.reserve(10).unwrap();
    file.truncate(4).unwrap();
    file.truncate(6).unwrap();
    let mut bytes = [1; 6];
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept\0\0");
    assert!(RealDisk.size_bytes(&place.0).unwrap() > 0);
    let error = file.reserve(1 << 60).unwrap_err();
    assert!(error.is_full() || error.cause.kind() == ErrorKind::FileTooLarge, "{error}");
}

#[test]
fn names_come_and_go() {
    let place = Place::new();
    RealDisk.make_dir(&place.0.join("a/b")).unwrap();
    for name in ["c", "B", "a1"] {
        RealDisk.create(&place.0.join("a").join(name)).unwrap();
    }
    let entry = |name: &str, directory| Entry { name: name.to_owned(), directory };
    let names = RealDisk.list(&place.0.join("a")).unwrap();
    assert_eq!(names, [entry("B", false), entry("a1", false), entry("b", true), entry("c", false)]);
    let kept = RealDisk.open(&place.0.join("a/c"), Access::Write).unwrap();
    RealDisk.remove(&place.0.join("a/c")).unwrap();
    kept.write_at(0, &[b"still there"]).unwrap();
    assert!(RealDisk.open(&place.0.join("a/c"), Access::Read).err().unwrap().is_missing());
    assert!(RealDisk.list(Path::new("/no/such/place")).unwrap_err().is_missing());
    assert!(RealDisk.remove_dir(&place.0.join("a")).is_err());
    RealDisk.remove_dir(&place.0.join("a/b")).unwrap();
}

#[test]
fn a_lock_is_held_by_one() {
    let place = Place::new();
    let path = place.0.join("lock");
    let held = RealDisk.lock(&path).unwrap();
    assert_eq!(RealDisk.lock(&path).err().unwrap().cause.kind(), ErrorKind::WouldBlock);
    drop(held);
    RealDisk.lock(&path).unwrap();
}

#[test]
fn the_log_lane_keeps_order_and_delays_pass() {
    let threads = Threads::start(ThreadCounts::default());
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (promise, ticket) = Ticket::pair();
    for i in 0..1000 {
        let seen = Arc::clone(&seen);
        threads.submit(Lane::Log, Box::new(move || seen.lock().push(i)));
    }
    let runner = Arc::clone(&threads);
    threads.submit_after(
        Duration::from_millis(2),
        Lane::Merge,
        Box::new(move || runner.submit_after(Duration::ZERO, Lane::Log, Box::new(move || promise.keep(())))),
    );
    ticket.wait().unwrap();
    assert_eq!(*seen.lock(), (0..1000).collect::<Vec<_>>());
    threads.stop();
}

#[test]
fn stopping_ends_what_runs_and_drops_what_waits() {
    let threads = Threads::start(ThreadCounts { flush: 1, merge: 1, read: 1 });
    let (started, running) = Ticket::pair();
    let (go, gate) = Ticket::pair();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    threads.submit(
        Lane::Flush,
        Box::new(move || {
            started.keep(());
            gate.wait().unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }),
    );
    running.wait().unwrap();
    let (never, dropped) = Ticket::<()>::pair();
    // Held by a job that waits behind the running one: dropped, which abandons its ticket.
    threads.submit(Lane::Flush, Box::new(move || never.keep(())));
    // Stops from a job, without waiting for itself; the gate opens once the queue was dropped.
    let stopper = Arc::clone(&threads);
    dropped.on_done(move |answer| {
        assert!(answer.is_err());
        go.keep(());
    });
    threads.submit(Lane::Merge, Box::new(move || stopper.stop()));
    threads.stop();
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    let (late, answer) = Ticket::<()>::pair();
    threads.submit(Lane::Read, Box::new(move || late.keep(())));
    assert!(answer.wait().is_err());
}

/// Runs as a process of its own: see the test below.
#[test]
fn a_job_panics_where_told_to() {
    if std::env::var_os("WORLD_TEST_PANIC").is_some() {
        let threads = Threads::start(ThreadCounts::default());
        let (promise, ticket) = Ticket::<()>::pair();
        threads.submit(
            Lane::Merge,
            Box::new(move || {
                let _unkept = promise;
                panic!("an invariant is broken");
            }),
        );
        // The promise is dropped while the panic unwinds; the process ends all the same.
        assert!(ticket.wait().is_err());
        threads.stop();
    }
}

#[test]
fn a_job_that_panics_ends_the_process() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_job_panics_where_told_to", "--nocapture"]).env("WORLD_TEST_PANIC", "1");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("an invariant is broken") && said.contains("the process stops"), "{said}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6));
}
