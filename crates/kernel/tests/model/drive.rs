//! A kernel in a simulated world, driven at random from a seed, beside the oracle.
//!
//! What is certain: a change answered with success is there (after a power cut: where the durability
//! setting says so); one answered as refused is not. What is not answered, or answered as poisoned, may be
//! there or not; but the log has an order, so what is there is a prefix of what was sent.

use crate::check::{TAGS, check_points, check_snapshot, content, differences, expected, kind};
use crate::clients::{Client, Seen};
use crate::oracle::{Change, Oracle, Origins, Row, holds};
use kernel::{Committed, Datum, Deletion, Durability, Error, Kernel, Settings, Snapshot, TagSelection, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{
    CommitNumber, DistributionRule, Kind, Kinds, Origin, Quality, Samples, TagId, TextColumn, TextSamples, TimeRange, Timestamp,
};
use world::{Faults, SeededRandom, Simulation, Ticket};

/// Where the store lies.
pub const DIR: &str = "/data/store";

/// The kinds of the test's tags.
pub struct TestKinds;

impl Kinds for TestKinds {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        (tag.0 < TAGS).then(|| kind(tag))
    }
}

enum Outcome {
    Waits(Ticket<Result<Committed, Error>>),
    Done(CommitNumber),
    Duplicate,
    Refused,
    Unknown,
}

struct Sent {
    change: Change,
    outcome: Outcome,
}

/// The driven store.
pub struct Drive {
    pub simulation: Simulation,
    pub dice: SeededRandom,
    settings: Settings,
    kernel: Option<Arc<Kernel>>,
    /// What was there when the store was opened. Where it could be told in several ways, all that may have been applied.
    base: Oracle,
    /// The numbers that surely were applied then.
    surely: Origins,
    sent: Vec<Sent>,
    snapshots: Vec<Snapshot>,
    tickets: Vec<Ticket<Result<(), Error>>>,
    /// Origins that were answered with success, and survive.
    certain: Vec<Origin>,
    clients: Vec<Client>,
    faulty: bool,
}

fn settings(dice: &SeededRandom) -> Settings {
    let pick = |choices: &[u64]| choices[dice.between(0, choices.len() as u64 - 1) as usize];
    let by_time = dice.one_in(4);
    let rule = DistributionRule {
        w1: 1,
        b1: pick(&[1, 2, 5]),
        w2: u32::from(by_time),
        b2: 1,
        buckets: pick(&[1, 2, 3, 5]) as u32,
        day_us: 50,
    };
    Settings {
        rule,
        period_us: pick(&[30, 100, 1_000]) as i64,
        durability: if dice.one_in(4) { Durability::Interval(Duration::from_millis(50)) } else { Durability::Commit },
        memory_bytes: 8 << 20,
        buffer_bytes_max: pick(&[24 << 10, 64 << 10, 1 << 20]),
        cache_bytes_max: pick(&[16 << 10, 1 << 20]),
        log_bytes_max: pick(&[128 << 10, 1 << 20]),
        segment_bytes: pick(&[16 << 10, 64 << 10]),
        deletion_age_max: Duration::from_secs(pick(&[1, 3_600])),
        ..Settings::default()
    }
}

impl Drive {
    pub fn new(seed: u64, faulty: bool) -> Drive {
        let dice = SeededRandom::new(seed ^ 0xD1CE);
        let mut drive = Drive {
            simulation: Simulation::new(seed),
            settings: settings(&dice),
            dice,
            kernel: None,
            base: Oracle::default(),
            surely: Origins::new(),
            sent: Vec::new(),
            snapshots: Vec::new(),
            tickets: Vec::new(),
            certain: Vec::new(),
            clients: (0..3).map(Client::new).collect(),
            faulty,
        };
        drive.reopen();
        drive
    }

    fn kernel(&self) -> Arc<Kernel> {
        Arc::clone(self.kernel.as_ref().expect("the store is open"))
    }

    fn ignores_time(&self) -> bool {
        self.settings.rule.ignores_time()
    }

    /// Does so many random things, and checks at the end.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            match self.dice.between(0, 99) {
                0..=44 => self.write(),
                45..=54 => self.delete(),
                55..=69 => (0..self.dice.between(1, 9)).for_each(|_| {
                    self.simulation.runner.step();
                }),
                70..=74 => self.simulation.runner.pass(Duration::from_millis(self.dice.between(1, 2_000))),
                75..=79 => self.tickets.push(self.kernel().flush()),
                80..=83 => self.tickets.push(self.kernel().merge()),
                84..=87 => self.snapshots.push(self.kernel().snapshot()),
                88..=93 => self.check(),
                94 => self.fault(),
                95 | 96 => self.crash(true),
                97 => self.crash(false),
                _ => self.close(),
            }
        }
        self.simulation.disk.set_faults(Faults::NONE);
        self.check();
        self.crash(true);
        self.produce_all();
        self.check();
        self.look();
        assert!(self.clients.iter().all(Client::is_done), "all that producers sent again is acknowledged");
    }

    fn row(&self) -> Row {
        random_row(&self.dice)
    }

    fn rows(&self) -> Vec<Row> {
        let many = if self.dice.one_in(10) { 120 } else { 12 };
        (0..self.dice.between(0, many)).map(|_| self.row()).collect()
    }

    fn write(&mut self) {
        if self.dice.one_in(3) {
            if self.dice.one_in(2) {
                self.look();
            }
            let client = self.dice.between(0, self.clients.len() as u64 - 1) as usize;
            if self.dice.one_in(20) {
                self.clients[client].reconnect();
            }
            return self.produce(client);
        }
        let rows = self.rows();
        let ticket = send(&self.kernel(), &rows, None);
        self.sent.push(Sent { change: Change::Write { rows, origin: None }, outcome: Outcome::Waits(ticket) });
    }

    /// A client sends its next batch.
    fn produce(&mut self, client: usize) {
        let rows = self.rows();
        let (origin, rows) = self.clients[client].send(self.sent.len(), rows, &self.dice);
        let ticket = send(&self.kernel(), &rows, Some(origin));
        self.sent.push(Sent { change: Change::Write { rows, origin: Some(origin) }, outcome: Outcome::Waits(ticket) });
    }

    /// All clients send again what they have to.
    fn produce_all(&mut self) {
        while let Some(behind) = self.clients.iter().position(Client::is_behind) {
            self.produce(behind);
        }
    }

    /// All clients look at their answers.
    fn look(&mut self) {
        self.settle();
        let seen = |sent: usize| match self.sent[sent].outcome {
            Outcome::Done(_) | Outcome::Duplicate => Seen::Acknowledged,
            Outcome::Waits(_) => Seen::Nothing,
            Outcome::Refused | Outcome::Unknown => Seen::Failed,
        };
        self.clients.iter_mut().for_each(|client| client.look(seen));
    }

    fn delete(&mut self) {
        let deletion = if self.dice.one_in(3) {
            Deletion::Points((0..self.dice.between(0, 8)).map(|_| (random_tag(&self.dice), random_time(&self.dice))).collect())
        } else {
            let tags = (0..self.dice.between(1, 4)).map(|_| random_tag(&self.dice)).collect();
            let tags = if self.dice.one_in(4) { TagSelection::All } else { TagSelection::of(tags) };
            let (a, b) = (random_time(&self.dice), random_time(&self.dice));
            let range = if self.dice.one_in(6) { TimeRange::ALL } else { TimeRange { first: a.min(b), last: a.max(b) } };
            Deletion::Range { tags, range }
        };
        let ticket = self.kernel().delete(deletion.clone());
        self.sent.push(Sent { change: Change::Delete(deletion), outcome: Outcome::Waits(ticket) });
    }

    fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        let rate = |dice: &SeededRandom| if dice.one_in(3) { dice.between(2, 60) } else { 0 };
        let faults = Faults {
            write_error_one_in: rate(&self.dice) * 4,
            read_error_one_in: rate(&self.dice),
            sync_error_one_in: rate(&self.dice) * 4,
            full_one_in: rate(&self.dice),
            power_cut_after: self.dice.one_in(3).then(|| self.dice.between(1, 60)),
            ..Faults::NONE
        };
        self.simulation.disk.set_faults(faults);
    }

    /// Takes in what was answered by now.
    fn settle(&mut self) {
        for at in 0..self.sent.len() {
            let sent = &mut self.sent[at];
            let Outcome::Waits(ticket) = &mut sent.outcome else { continue };
            let origin = sent.change.origin();
            sent.outcome = match ticket.try_take() {
                None => continue,
                Some(Ok(Ok(committed))) if committed.duplicate => Outcome::Duplicate,
                // A commit of nothing has no place in the order.
                Some(Ok(Ok(_))) if sent.change.is_nothing() => Outcome::Refused,
                Some(Ok(Ok(committed))) => Outcome::Done(committed.commit),
                Some(Ok(Err(Error::DiskFull(_) | Error::Behind { .. }))) => Outcome::Refused,
                Some(Ok(Err(Error::Poisoned(_) | Error::Closed)) | Err(_)) => Outcome::Unknown,
                Some(Ok(Err(other))) => panic!("a write was answered: {other}"),
            };
            if let Some(origin) = origin {
                self.check_once(at, origin);
            }
        }
    }

    /// Each number is applied once, and answered as a duplicate only where it was.
    fn check_once(&mut self, at: usize, origin: Origin) {
        let others = self.sent.iter().enumerate().filter(|(other, sent)| *other != at && sent.change.origin() == Some(origin));
        let mut others = others.map(|(_, sent)| &sent.outcome);
        match self.sent[at].outcome {
            Outcome::Done(_) => {
                let before = holds(&self.surely, origin) || others.any(|other| matches!(other, Outcome::Done(_)));
                assert!(!before, "{origin:?} was applied twice");
                // It can't have been there, then, when the store was opened.
                self.base.origins.entry(origin.producer).or_default().remove(&origin.number);
                self.certain.push(origin);
            }
            Outcome::Duplicate => {
                let applied = others.any(|other| matches!(other, Outcome::Done(_) | Outcome::Waits(_)));
                assert!(applied || holds(&self.base.origins, origin), "{origin:?} is no duplicate: it was never applied");
            }
            Outcome::Waits(_) | Outcome::Refused | Outcome::Unknown => {}
        }
    }

    /// What is there once everything certain up to a commit is applied.
    fn oracle(&self, until: CommitNumber) -> Oracle {
        let mut oracle = self.base.clone();
        let mut last = CommitNumber(0);
        for sent in &self.sent {
            match sent.outcome {
                Outcome::Done(commit) if commit <= until => {
                    assert!(commit >= last, "commits are numbered in the order of sending");
                    last = commit;
                    oracle.force(&sent.change);
                }
                _ => {}
            }
        }
        oracle
    }

    /// Lets everything come to rest and holds the store against the oracle.
    pub fn check(&mut self) {
        self.simulation.runner.run_until_idle();
        self.settle();
        let waiting = self.sent.iter().any(|sent| matches!(sent.outcome, Outcome::Waits(_)));
        assert!(self.faulty || !waiting, "writes wait though nothing is left to be done");
        if self.simulation.disk.is_off() || waiting {
            // Only what lies in memory can answer now.
            return self.crash(true);
        }
        for mut ticket in std::mem::take(&mut self.tickets) {
            match ticket.try_take() {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(fault))) => assert!(self.faulty, "a flush or merge failed: {fault}"),
                Some(Err(_)) | None => assert!(self.faulty, "a flush or merge was not answered"),
            }
        }
        let kernel = self.kernel();
        let versions = || kernel.slices().iter().map(|slice| slice.version).collect::<Vec<_>>();
        let before = versions();
        let snapshots = std::mem::take(&mut self.snapshots);
        for snapshot in &snapshots {
            let oracle = self.oracle(snapshot.commit());
            self.pass(check_snapshot(snapshot, &oracle, self.ignores_time(), &self.dice));
        }
        let oracle = self.oracle(CommitNumber(u64::MAX));
        self.pass(check_snapshot(&kernel.snapshot(), &oracle, self.ignores_time(), &self.dice));
        self.pass(check_points(&kernel, &oracle, &self.dice));
        assert_eq!(versions(), before, "no read raises a version");
        self.check_files();
    }

    fn check_files(&self) {
        let kernel = self.kernel();
        let (files, groups) = (kernel.files(), kernel.file_groups());
        for file in &files {
            assert!(file.rows > 0 && file.bytes > 0 && !file.range.is_empty(), "{file:?}");
        }
        let slices = kernel.slices();
        assert_eq!(slices.iter().map(|slice| slice.files).sum::<u64>(), files.len() as u64);
        for group in groups {
            assert!(group.version <= slices[group.slice.0 as usize].version, "{group:?}");
        }
    }

    /// A read that failed is all right where the disk is made to fail.
    fn pass(&self, checked: Result<(), Error>) {
        match checked {
            Ok(()) => {}
            Err(Error::Read(_)) if self.faulty => {}
            Err(fault) => panic!("a read failed: {fault}"),
        }
    }

    /// A power cut, or kill -9, and opening again.
    fn crash(&mut self, power_cut: bool) {
        self.settle();
        self.kernel = None;
        self.snapshots.clear();
        self.tickets.clear();
        if power_cut || self.simulation.disk.is_off() {
            self.simulation.crash()
        } else {
            self.simulation.kill()
        }
        self.reopen();
    }

    /// A clean end, and opening again.
    fn close(&mut self) {
        let mut ticket = self.kernel().close();
        self.simulation.runner.run_until_idle();
        self.settle();
        match ticket.try_take() {
            Some(Ok(Ok(()))) => {}
            other => assert!(self.faulty, "closing: {other:?}"),
        }
        self.crash(false);
    }

    fn reopen(&mut self) {
        self.simulation.disk.set_faults(Faults { ..Faults::NONE });
        let opened = Kernel::open(self.simulation.world(), Path::new(DIR), self.settings.clone(), Arc::new(TestKinds));
        let kernel = opened.unwrap_or_else(|fault| panic!("opening: {fault}"));
        let found = content(&kernel.snapshot()).unwrap_or_else(|fault| panic!("reading: {fault}"));
        (self.base, self.surely) = self.recovered(&found);
        self.sent.clear();
        self.clients.iter_mut().for_each(Client::reconnect);
        if self.settings.durability == Durability::Commit {
            for origin in self.certain.iter().rev().take(3) {
                let mut ticket = send(&kernel, &[self.row()], Some(*origin));
                let answer = ticket.try_take();
                assert!(matches!(answer, Some(Ok(Ok(Committed { duplicate: true, .. })))), "{origin:?} again: {answer:?}");
            }
        }
        self.kernel = Some(kernel);
        if self.base.origins != self.surely {
            // Whether some numbers were applied can't be told from the content: their producers ask.
            self.produce_all();
            self.simulation.runner.run_until_idle();
            self.settle();
        }
    }

    /// The state that the store came back with: all that is certain, and a prefix of the rest. Prefixes of one content
    /// may differ in the numbers that they hold: then the most, and those of the least.
    fn recovered(&self, found: &[Row]) -> (Oracle, Origins) {
        let mut oracle = self.base.clone();
        let mut fits = Vec::new();
        for (at, sent) in self.sent.iter().enumerate() {
            let certain = self.settings.durability == Durability::Commit;
            let owed = |sent: &Sent| certain && matches!(sent.outcome, Outcome::Done(_));
            if !self.sent[at..].iter().any(owed) && expected(&oracle) == found {
                fits.push(oracle.clone());
            }
            match sent.outcome {
                Outcome::Refused | Outcome::Duplicate => {}
                Outcome::Done(_) => oracle.force(&sent.change),
                Outcome::Unknown | Outcome::Waits(_) => oracle.apply(&sent.change),
            }
        }
        if expected(&oracle) == found {
            fits.push(oracle.clone());
        }
        let least = fits.first().map(|least| least.origins.clone());
        fits.pop().zip(least).unwrap_or_else(|| {
            panic!(
                "the store came back with no prefix of what was sent; all of it differs by {:#?}",
                differences(found, &expected(&oracle))
            )
        })
    }
}

/// A time, mostly one of few.
pub fn random_time(dice: &SeededRandom) -> Timestamp {
    if dice.one_in(200) {
        return [Timestamp::MIN, Timestamp::MAX, Timestamp(1 << 50)][dice.between(0, 2) as usize];
    }
    Timestamp(dice.between(0, 200) as i64 - 100)
}

/// One of the tags.
pub fn random_tag(dice: &SeededRandom) -> TagId {
    TagId(dice.between(0, TAGS - 1))
}

/// A row of one of the tags.
pub fn random_row(dice: &SeededRandom) -> Row {
    let tag = random_tag(dice);
    let value = match kind(tag) {
        Kind::Text => Datum::Text(format!("text {}", dice.between(0, 30)).as_bytes().into()),
        Kind::Bool => Datum::Bits(dice.between(0, 1)),
        Kind::I32 => Datum::Bits((dice.between(0, 2_000) as i64 - 1_000) as u64),
        Kind::I64 => Datum::Bits(if dice.one_in(20) { dice.next() } else { dice.between(0, 50) }),
        Kind::State => Datum::Bits(dice.between(0, 5)),
        Kind::F32 => Datum::Bits(u64::from((dice.between(0, 100) as f32 / 4.0).to_bits())),
        Kind::F64 if dice.one_in(40) => Datum::Bits([f64::NAN, -0.0, f64::INFINITY][dice.between(0, 2) as usize].to_bits()),
        Kind::F64 => Datum::Bits((dice.between(0, 1_000) as f64 / 8.0).to_bits()),
    };
    let quality = if dice.one_in(8) { Quality(dice.between(0, 255) as u8) } else { Quality::GOOD };
    Row { tag, time: random_time(dice), value, quality }
}

/// Sends rows as a kernel takes them.
pub fn send(kernel: &Kernel, rows: &[Row], origin: Option<Origin>) -> Ticket<Result<Committed, Error>> {
    as_write(rows, origin, |write| kernel.write(write))
}

/// Rows as a kernel takes them.
pub fn as_write<T>(rows: &[Row], origin: Option<Origin>, take: impl FnOnce(Write<'_>) -> T) -> T {
    let (mut tags, mut times, mut bits, mut qualities) = (vec![], vec![], vec![], vec![]);
    let (mut text_tags, mut text_times, mut texts, mut text_qualities) = (vec![], vec![], TextColumn::new(), vec![]);
    for row in rows {
        match &row.value {
            Datum::Bits(value) => {
                tags.push(row.tag);
                times.push(row.time);
                bits.push(*value);
                qualities.push(row.quality.0);
            }
            Datum::Text(text) => {
                text_tags.push(row.tag);
                text_times.push(row.time);
                texts.push(text);
                text_qualities.push(row.quality.0);
            }
        }
    }
    let samples = [Samples::new(&tags, &times, &bits, Some(&qualities)).expect("columns of one length")];
    let text_samples = [TextSamples::new(&text_tags, &text_times, &texts, Some(&text_qualities)).expect("columns of one length")];
    take(Write { samples: &samples, texts: &text_samples, origin })
}
