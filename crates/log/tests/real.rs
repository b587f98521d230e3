//! The log on this machine's disk and threads.

use bytes::Bytes;
use log::{Body, Durability, Error, Log, Options, Position, Record};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use world::{Random, RealRandom, ThreadCounts, Threads, Ticket, World};

const SMALL: Options =
    Options { segment_bytes: 64 << 10, record_bytes_max: 16 << 10, group_bytes_max: 32 << 10, durability: Durability::Commit };

struct Place {
    world: World,
    threads: Arc<Threads>,
    dir: PathBuf,
}

impl Place {
    fn new() -> Place {
        let threads = Threads::start(ThreadCounts::default());
        let dir = std::env::temp_dir().join(format!("log-{:016x}", RealRandom.next_u64()));
        Place { world: World::real(&threads), threads, dir }
    }

    fn open(&self, options: Options) -> (Arc<Log>, Vec<Record>) {
        let (log, replay) = Log::open(&self.world, &self.dir, options).expect("the log opens");
        (log, replay.map(|record| record.expect("the log is whole")).collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.threads.stop();
        std::fs::remove_dir_all(&self.dir).expect("the test closed its files");
    }
}

fn append(log: &Log, kind: u8, head: &[u8], parts: &[&[u8]]) -> Ticket<Result<Position, Error>> {
    let (promise, ticket) = Ticket::pair();
    let body = Body::new(parts.iter().map(|part| Bytes::copy_from_slice(part)).collect());
    log.append(kind, Bytes::copy_from_slice(head), body, move |answer| promise.keep(answer));
    ticket
}

#[test]
fn what_many_threads_append_is_there_again() {
    let place = Place::new();
    let (log, before) = place.open(SMALL);
    assert!(before.is_empty());
    let mut expect: Vec<(Position, u8, Vec<u8>, Vec<u8>)> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u8)
            .map(|kind| {
                let log = &log;
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    for i in 0..200_usize {
                        let (head, body) = (vec![kind; i % 9], vec![i as u8; i * 7]);
                        let answer = append(log, kind, &head, &[&body[..i], &[], &body[i..]]).wait().unwrap();
                        seen.push((answer.unwrap(), kind, head, body));
                    }
                    seen
                })
            })
            .collect();
        expect = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    });
    expect.sort();
    assert!(log.bytes() > 4 * SMALL.segment_bytes && log.queued_bytes() == 0 && log.syncs() > 0);
    assert_eq!(log.end(), log.synced());
    let id = log.id();
    drop(log);

    let check = |records: &[Record], expect: &[(Position, u8, Vec<u8>, Vec<u8>)]| {
        let read: Vec<_> = records.iter().map(|r| (r.position, r.kind, r.head.to_vec(), r.body.to_vec())).collect();
        assert!(read == expect, "{} of {} records came back", read.len(), expect.len());
    };
    let (log, records) = place.open(SMALL);
    check(&records, &expect);
    assert_eq!(log.id(), id);

    let middle = expect[expect.len() / 2].0;
    assert!(log.cut(middle).unwrap() >= SMALL.segment_bytes);
    assert!(log.first() <= middle && log.first() > Position(64));
    assert_eq!(log.cut(middle).unwrap(), 0);
    let kept: Vec<_> = expect.iter().filter(|record| record.0 >= log.first()).cloned().collect();
    let (closed, done) = Ticket::pair();
    log.close(move |answer| closed.keep(answer));
    assert_eq!(done.wait().unwrap().unwrap(), log.end());
    assert!(matches!(append(&log, 0, b"", &[]).wait().unwrap(), Err(Error::Closed)));
    drop(log);
    check(&place.open(SMALL).1, &kept);
}

#[test]
fn by_interval_a_sync_follows() {
    let place = Place::new();
    let options = Options { durability: Durability::Interval(Duration::from_micros(100)), ..SMALL };
    let (log, _) = place.open(options);
    let answer = append(&log, 1, b"head", &[b"body"]).wait().unwrap();
    assert_eq!(answer.unwrap(), Position(64));
    let (promise, ticket) = Ticket::pair();
    log.sync(move |answer| promise.keep(answer));
    assert_eq!(ticket.wait().unwrap().unwrap(), log.end());
    // The next one is synced by the timer alone: the log lane's answer comes when its jobs before have run.
    append(&log, 1, b"", &[]).wait().unwrap().unwrap();
    while log.synced() < log.end() {
        std::thread::yield_now();
    }
    assert_eq!(log.syncs(), 2);
}

#[test]
fn a_record_beyond_the_limit_is_refused_in_its_turn() {
    let place = Place::new();
    let (log, _) = place.open(SMALL);
    let first = append(&log, 0, b"a", &[]);
    let large = append(&log, 0, b"", &[&vec![0; 16 << 10], b"x"]);
    let second = append(&log, 0, b"", &[&vec![0; 16 << 10]]);
    assert!(first.wait().unwrap().is_ok());
    assert!(matches!(large.wait().unwrap(), Err(Error::TooLarge { bytes: 16385, limit: 16384 })));
    assert!(second.wait().unwrap().is_ok());
}
