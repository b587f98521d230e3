//! A kernel with thinned tags in a simulated world, driven at random from a seed, beside the ledger.
//!
//! Promises looked at: what was taken is there or told by its neighbours, whatever is flushed, crashes, is
//! refused, comes late, is written again or deleted, and however compressions change; opening again changes
//! nothing; a store made from the log alone, which never flushed, holds the same as one that did; every face of
//! reading says the same; what a snapshot shows does not change.

use crate::check::{TAGS, check_points, check_snapshot, content, kind};
use crate::drive::{DIR, send};
use crate::ledger::{Ended, Ledger};
use crate::oracle::{Change, Oracle, Row};
use kernel::{Committed, Datum, Deletion, Durability, Error, Kernel, Settings, Snapshot, TagSelection};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::{Compression, DistributionRule, Kind, Kinds, Origin, ProducerId, Quality, TagId, TimeRange, Timestamp};
use world::{Faults, SeededRandom, Simulation, Ticket};

/// Kinds as elsewhere, and compressions that change.
struct Thinned {
    compressions: Mutex<Vec<Compression>>,
    changes: AtomicU64,
}

impl Kinds for Thinned {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        (tag.0 < TAGS).then(|| kind(tag))
    }

    fn compression(&self, tag: TagId) -> Compression {
        self.compressions.lock()[tag.0 as usize]
    }

    fn is_thinned(&self, tag: TagId) -> bool {
        tag.0 < TAGS && self.compression(tag).thins(kind(tag))
    }

    fn compressions(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

struct Sent {
    change: Change,
    compressions: Vec<Compression>,
    ticket: Option<Ticket<Result<Committed, Error>>>,
    ended: Option<Ended>,
}

/// The driven store.
pub struct ThinnedDrive {
    simulation: Simulation,
    dice: SeededRandom,
    settings: Settings,
    kinds: Arc<Thinned>,
    kernel: Option<Arc<Kernel>>,
    ledger: Ledger,
    sent: Vec<Sent>,
    snapshots: Vec<(Snapshot, Vec<Row>)>,
    walks: Walks,
    /// The numbered batches' producer: another one after each refusal, for nothing may pass a refused number.
    producer: u128,
    number: u64,
    faulty: bool,
    /// Rows left out so far.
    pub left_out: u64,
    /// Stores made from the log alone so far.
    pub replicas: u64,
}

pub fn some_compression(dice: &SeededRandom) -> Compression {
    let deviation = [0.0, 0.75, 4.0][dice.between(0, 2) as usize];
    let span_us = [0, 9, 60][dice.between(0, 2) as usize];
    match dice.between(0, 4) {
        0 => Compression::Lossless,
        1 => Compression::Deadband { deviation, span_us },
        _ => Compression::SwingingDoor { deviation, span_us },
    }
}

/// How each tag's samples go on: its time and value.
pub struct Walks(Vec<(i64, i64)>);

impl Walks {
    pub fn new() -> Walks {
        Walks(vec![(0, 100); TAGS as usize])
    }

    /// The newest time of a tag.
    pub fn newest(&self, tag: TagId) -> i64 {
        self.0[tag.0 as usize].0
    }

    /// The next sample of a tag; now and then a late one, or the newest again.
    pub fn row(&mut self, dice: &SeededRandom, tag: TagId) -> Row {
        let walk = &mut self.0[tag.0 as usize];
        let time = match dice.between(0, 29) {
            // Late, and the newest again.
            0 => walk.0 - dice.between(0, 30) as i64,
            1 => walk.0,
            _ => {
                walk.0 += if dice.one_in(20) { 70 } else { dice.between(1, 3) as i64 };
                walk.0
            }
        };
        if !dice.one_in(3) {
            walk.1 += if dice.one_in(15) { dice.between(0, 40) as i64 - 20 } else { dice.between(0, 2) as i64 - 1 };
        }
        let value = walk.1;
        let bits = match kind(tag) {
            Kind::Text => {
                return Row { tag, time: Timestamp(time), value: Datum::Text([b'x'][..].into()), quality: Quality::GOOD };
            }
            Kind::F64 if dice.one_in(40) => [f64::NAN, f64::INFINITY, f64::MAX][dice.between(0, 2) as usize].to_bits(),
            Kind::F64 => (value as f64 + dice.between(0, 4) as f64 / 8.0).to_bits(),
            Kind::F32 => u64::from((value as f32 / 2.0).to_bits()),
            Kind::I64 if dice.one_in(40) => [u64::MAX, 0, 1 << 63, i64::MAX as u64][dice.between(0, 3) as usize],
            // Beyond what doubles tell apart.
            Kind::I64 => ((1_i64 << 60) + value) as u64,
            Kind::I32 => value as u64,
            Kind::Bool => u64::from(value % 5 == 0),
            Kind::State => (value.unsigned_abs() / 4) % 5,
        };
        let quality = if dice.one_in(25) { Quality::BAD } else { Quality::GOOD };
        Row { tag, time: Timestamp(time), value: Datum::Bits(bits), quality }
    }
}

impl ThinnedDrive {
    pub fn new(seed: u64, faulty: bool) -> ThinnedDrive {
        let dice = SeededRandom::new(seed ^ 0x7417);
        let by_time = dice.one_in(4);
        let settings = Settings {
            rule: DistributionRule {
                w1: 1,
                b1: 1 + dice.between(0, 3),
                w2: u32::from(by_time),
                b2: 1 + dice.between(0, 1),
                buckets: 1 + dice.between(0, 2) as u32,
                day_us: 50,
            },
            period_us: [30, 1_000][dice.between(0, 1) as usize],
            durability: if dice.one_in(4) { Durability::Interval(Duration::from_millis(50)) } else { Durability::Commit },
            memory_bytes: 8 << 20,
            buffer_bytes_max: [48 << 10, 1 << 20][dice.between(0, 1) as usize],
            cache_bytes_max: 1 << 20,
            segment_bytes: 256 << 10,
            ..Settings::default()
        };
        let compressions = (0..TAGS).map(|_| some_compression(&dice)).collect();
        let mut drive = ThinnedDrive {
            simulation: Simulation::new(seed),
            settings,
            kinds: Arc::new(Thinned { compressions: Mutex::new(compressions), changes: AtomicU64::new(0) }),
            kernel: None,
            ledger: Ledger::default(),
            sent: Vec::new(),
            snapshots: Vec::new(),
            walks: Walks::new(),
            dice,
            producer: 1,
            number: 0,
            faulty,
            left_out: 0,
            replicas: 0,
        };
        drive.reopen(None);
        drive
    }

    fn kernel(&self) -> &Arc<Kernel> {
        self.kernel.as_ref().expect("the store is open")
    }

    /// Does so many random things, and checks at the end.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            match self.dice.between(0, 99) {
                0..=54 => self.write(),
                55..=57 => self.delete(),
                58..=75 => (0..self.dice.between(1, 9)).for_each(|_| {
                    self.simulation.runner.step();
                }),
                76..=81 => drop(self.kernel().flush()),
                82 => drop(self.kernel().merge()),
                83 => self.change_compression(),
                84..=86 => self.take_snapshot(),
                87..=91 => self.check(),
                92 | 93 if self.faulty => self.fault(),
                94 => self.crash(true),
                95 => self.crash(false),
                _ => self.simulation.runner.pass(Duration::from_millis(self.dice.between(1, 200))),
            }
        }
        self.simulation.disk.set_faults(Faults::NONE);
        self.check();
        self.crash(false);
        self.check();
        self.replica();
    }

    fn write(&mut self) {
        let mut rows = Vec::new();
        for _ in 0..self.dice.between(0, 8) {
            let tag = TagId(self.dice.between(0, TAGS - 1));
            for _ in 0..self.dice.between(1, 6) {
                rows.push(self.walks.row(&self.dice, tag));
            }
        }
        self.number += 1;
        let origin = self.dice.one_in(3).then_some(Origin { producer: ProducerId(self.producer), number: self.number });
        let ticket = send(self.kernel(), &rows, origin);
        self.note(Change::Write { rows: rows.clone(), origin }, ticket);
        if origin.is_some() && self.dice.one_in(3) {
            // A retry is recognised and thins nothing.
            drop(send(self.kernel(), &rows, origin));
        }
    }

    fn delete(&mut self) {
        let tag = TagId(self.dice.between(0, TAGS - 1));
        let at = self.walks.newest(tag) - self.dice.between(0, 20) as i64;
        let range = TimeRange { first: Timestamp(at), last: Timestamp(at + self.dice.between(0, 20) as i64) };
        let deletion = match self.dice.between(0, 3) {
            0 => Deletion::Range { tags: TagSelection::All, range: TimeRange { first: Timestamp::MIN, ..range } },
            1 => Deletion::Points((at..at + 4).map(|time| (tag, Timestamp(time))).collect()),
            _ => Deletion::Range { tags: TagSelection::of(vec![tag]), range },
        };
        let ticket = self.kernel().delete(deletion.clone());
        self.note(Change::Delete(deletion), ticket);
    }

    fn note(&mut self, change: Change, ticket: Ticket<Result<Committed, Error>>) {
        let compressions = self.kinds.compressions.lock().clone();
        self.sent.push(Sent { change, compressions, ticket: Some(ticket), ended: None });
    }

    fn change_compression(&mut self) {
        if self.settings.buffer_bytes_max < 1 << 20 {
            // Writes that wait for room are ordered later, and none knows what holds then.
            self.simulation.runner.run_until_idle();
            if !self.settle() {
                return;
            }
        }
        let tag = self.dice.between(0, TAGS - 1) as usize;
        self.kinds.compressions.lock()[tag] = some_compression(&self.dice);
        self.kinds.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn take_snapshot(&mut self) {
        let snapshot = self.kernel().snapshot();
        if let Some(rows) = self.pass(content(&snapshot)) {
            self.snapshots.push((snapshot, rows));
        }
    }

    fn fault(&mut self) {
        let faults = Faults {
            full_one_in: self.dice.between(0, 3) * 3,
            write_error_one_in: if self.dice.one_in(4) { 60 } else { 0 },
            power_cut_after: self.dice.one_in(4).then(|| self.dice.between(1, 60)),
            ..Faults::NONE
        };
        self.simulation.disk.set_faults(faults);
    }

    /// A read that failed is all right where the disk is made to fail.
    fn pass<T>(&self, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(Error::Read(_)) if self.faulty => None,
            Err(fault) => panic!("a read failed: {fault}"),
        }
    }

    /// Takes in what was answered by now; whether all was.
    fn settle(&mut self) -> bool {
        for sent in &mut self.sent {
            let Some(ticket) = &mut sent.ticket else { continue };
            sent.ended = match ticket.try_take() {
                None => continue,
                Some(Ok(Ok(committed))) => {
                    assert!(!committed.duplicate, "each number was sent once before");
                    if let Change::Write { rows, .. } = &sent.change {
                        assert_eq!(committed.rows, rows.len() as u64, "all rows were taken");
                    }
                    Some(Ended::Done)
                }
                Some(Ok(Err(Error::DiskFull(_) | Error::Behind { .. }))) => {
                    self.producer += 1;
                    None
                }
                Some(Ok(Err(Error::Poisoned(_) | Error::Closed)) | Err(_)) => Some(Ended::Unknown),
                Some(Ok(Err(other))) => panic!("a write was answered: {other}"),
            };
            sent.ticket = None;
        }
        self.sent.iter().all(|sent| sent.ticket.is_none())
    }

    /// The ledger with all that was sent since the store was opened.
    fn now(&self) -> Ledger {
        let mut ledger = self.ledger.clone();
        for sent in &self.sent {
            if let Some(ended) = sent.ended {
                ledger.take(&sent.change, ended, &sent.compressions);
            }
        }
        ledger
    }

    /// Lets everything come to rest and holds the store against the ledger.
    fn check(&mut self) {
        self.simulation.runner.run_until_idle();
        let settled = self.settle();
        assert!(self.faulty || settled, "writes wait though nothing is left to be done");
        if self.simulation.disk.is_off() || !settled {
            return self.crash(true);
        }
        for (snapshot, rows) in std::mem::take(&mut self.snapshots) {
            if let Some(found) = self.pass(content(&snapshot)) {
                assert_eq!(found, rows, "a snapshot shows what it showed");
            }
        }
        let snapshot = self.kernel().snapshot();
        let Some(rows) = self.pass(content(&snapshot)) else { return };
        self.now().check(&rows);
        let map = rows.into_iter().map(|row| ((row.tag, row.time), (row.value, row.quality))).collect();
        let oracle = Oracle { rows: map, ..Oracle::default() };
        self.pass(check_snapshot(&snapshot, &oracle, self.settings.rule.ignores_time(), &self.dice));
        self.pass(check_points(self.kernel(), &oracle, &self.dice));
    }

    /// A power cut, or kill -9, and opening again.
    fn crash(&mut self, power_cut: bool) {
        let settled = self.settle();
        let power_cut = power_cut || self.simulation.disk.is_off();
        let lasting = self.settings.durability == Durability::Commit || !power_cut;
        let certain = settled && lasting && !self.faulty;
        let before = certain.then(|| self.pass(content(&self.kernel().snapshot()))).flatten();
        for sent in &mut self.sent {
            if sent.ticket.take().is_some() || (!lasting && sent.ended.is_some()) {
                sent.ended = Some(Ended::Unknown);
            }
        }
        self.left_out += self.kernel().status().rows_thinned;
        self.snapshots.clear();
        self.kernel = None;
        if power_cut {
            self.simulation.crash()
        } else {
            self.simulation.kill()
        }
        self.reopen(before);
    }

    fn reopen(&mut self, before: Option<Vec<Row>>) {
        self.simulation.disk.set_faults(Faults::NONE);
        let kernel = self.open(Path::new(DIR));
        let found = content(&kernel.snapshot()).unwrap_or_else(|fault| panic!("reading: {fault}"));
        if let Some(before) = before {
            assert_eq!(found, before, "opening changes nothing");
        }
        let mut ledger = self.now();
        ledger.check(&found);
        ledger.resolve(&found);
        (self.ledger, self.kernel) = (ledger, Some(kernel));
        self.sent.clear();
    }

    /// Makes a store of the log alone, where it was never cut: what a replica would come to.
    fn replica(&mut self) {
        if self.faulty {
            return;
        }
        let before = self.pass(content(&self.kernel().snapshot()));
        self.close();
        let files = self.simulation.disk.files();
        if !files.iter().any(|(path, _)| path.ends_with(format!("log/{:020}.log", 0))) {
            return;
        }
        let replica = Path::new("/data/replica");
        self.kernel = Some(self.open(replica));
        self.close();
        let (_, records) = self.open_log(Path::new(DIR));
        let (log, _) = self.open_log(replica);
        for record in records.map(|record| record.expect("it is whole")) {
            log.append(record.kind, record.head, log::Body::new(vec![record.body]), |_| ());
        }
        log.close(|closed| assert!(closed.is_ok()));
        self.simulation.runner.run_until_idle();
        drop(log);
        self.simulation.kill();
        assert_eq!(self.pass(content(&self.open(replica).snapshot())), before, "the log tells all");
        self.replicas += 1;
    }

    fn open(&self, dir: &Path) -> Arc<Kernel> {
        let kinds = Arc::clone(&self.kinds);
        let opened = Kernel::open(self.simulation.world(), dir, self.settings.clone(), kinds);
        opened.unwrap_or_else(|fault| panic!("opening: {fault}"))
    }

    fn close(&mut self) {
        drop(self.kernel().close());
        self.simulation.runner.run_until_idle();
        self.kernel = None;
        self.simulation.kill();
    }

    fn open_log(&self, dir: &Path) -> (Arc<log::Log>, log::Replay) {
        let (segment_bytes, record_bytes_max) = (self.settings.segment_bytes, self.settings.segment_bytes - (4 << 10));
        let options = log::Options { segment_bytes, record_bytes_max, ..log::Options::default() };
        log::Log::open(&self.simulation.world(), &dir.join("log"), options).expect("it was closed")
    }
}
