//! A kernel in a simulated world, driven at random from a seed, beside the oracle.
//!
//! What is certain: a change answered with success is there (after a power cut: where the durability
//! setting says so); one answered as refused is not. What is not answered, or answered as poisoned, may be
//! there or not; but the log has an order, so what is there is a prefix of what was sent.

use crate::check::{TAGS, check_points, check_snapshot, content, differences, expected, kind};
use crate::oracle::{Change, Oracle, Row};
use kernel::{Committed, Datum, Deletion, Durability, Error, Kernel, Settings, Snapshot, TagSelection, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{
    CommitNumber, DistributionRule, Kind, Kinds, Origin, ProducerId, Quality, Samples, TagId, TextColumn, TextSamples, TimeRange,
    Timestamp,
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
    /// What was there when the store was opened.
    base: Oracle,
    sent: Vec<Sent>,
    snapshots: Vec<Snapshot>,
    tickets: Vec<Ticket<Result<(), Error>>>,
    /// Origins that were answered with success, and survive.
    certain: Vec<Origin>,
    incarnation: u64,
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
        segment_bytes: 64 << 10,
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
            sent: Vec::new(),
            snapshots: Vec::new(),
            tickets: Vec::new(),
            certain: Vec::new(),
            incarnation: 0,
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
        self.check();
    }

    fn time(&self) -> Timestamp {
        if self.dice.one_in(200) {
            return [Timestamp::MIN, Timestamp::MAX, Timestamp(1 << 50)][self.dice.between(0, 2) as usize];
        }
        Timestamp(self.dice.between(0, 200) as i64 - 100)
    }

    fn tag(&self) -> TagId {
        TagId(self.dice.between(0, TAGS - 1))
    }

    fn row(&self) -> Row {
        let (tag, dice) = (self.tag(), &self.dice);
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
        Row { tag, time: self.time(), value, quality }
    }

    fn write(&mut self) {
        let many = if self.dice.one_in(10) { 120 } else { 12 };
        let rows: Vec<Row> = (0..self.dice.between(0, many)).map(|_| self.row()).collect();
        let number =
            1 + self.sent.iter().filter(|sent| matches!(sent.change, Change::Write { origin: Some(_), .. })).count() as u64;
        // Now and then a number that was there already.
        let number = if self.dice.one_in(4) { number.saturating_sub(self.dice.between(0, 2)).max(1) } else { number };
        let producer = ProducerId(u128::from(self.incarnation * 10 + self.dice.between(0, 1)));
        let origin = self.dice.one_in(3).then_some(Origin { producer, number });
        let ticket = send(&self.kernel(), &rows, origin);
        self.sent.push(Sent { change: Change::Write { rows, origin }, outcome: Outcome::Waits(ticket) });
    }

    fn delete(&mut self) {
        let deletion = if self.dice.one_in(3) {
            Deletion::Points((0..self.dice.between(0, 8)).map(|_| (self.tag(), self.time())).collect())
        } else {
            let tags = (0..self.dice.between(1, 4)).map(|_| self.tag()).collect();
            let tags = if self.dice.one_in(4) { TagSelection::All } else { TagSelection::of(tags) };
            let (a, b) = (self.time(), self.time());
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
        for sent in &mut self.sent {
            let Outcome::Waits(ticket) = &mut sent.outcome else { continue };
            sent.outcome = match ticket.try_take() {
                None => continue,
                Some(Ok(Ok(committed))) if committed.duplicate => Outcome::Duplicate,
                // A commit of nothing has no place in the order.
                Some(Ok(Ok(_))) if sent.change.is_nothing() => Outcome::Refused,
                Some(Ok(Ok(committed))) => {
                    if let Change::Write { origin: Some(origin), .. } = &sent.change {
                        self.certain.push(*origin);
                    }
                    Outcome::Done(committed.commit)
                }
                Some(Ok(Err(Error::DiskFull(_)))) => Outcome::Refused,
                Some(Ok(Err(Error::Poisoned(_) | Error::Closed)) | Err(_)) => Outcome::Unknown,
                Some(Ok(Err(other))) => panic!("a write was answered: {other}"),
            };
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
                    assert!(self.faulty || !oracle.is_duplicate(&sent.change), "a duplicate was applied");
                    oracle.force(&sent.change);
                }
                Outcome::Duplicate => {
                    assert!(self.faulty || oracle.is_duplicate(&sent.change) || commit_above(&self.sent, until))
                }
                Outcome::Done(_) | Outcome::Waits(_) | Outcome::Refused | Outcome::Unknown => {}
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
        self.pass(check_points(&kernel, &oracle, self.simulation.disk.faults().read_error_one_in == 0, &self.dice));
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
        self.base = self.recovered(&found);
        self.sent.clear();
        self.incarnation += 1;
        if self.settings.durability == Durability::Commit && !self.faulty {
            for origin in self.certain.iter().rev().take(3) {
                let mut ticket = send(&kernel, &[self.row()], Some(*origin));
                let answer = ticket.try_take();
                assert!(matches!(answer, Some(Ok(Ok(Committed { duplicate: true, .. })))), "{origin:?} again: {answer:?}");
            }
        }
        self.kernel = Some(kernel);
    }

    /// The state that the store came back with: all that is certain, and a prefix of the rest.
    fn recovered(&self, found: &[Row]) -> Oracle {
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
        fits.pop().unwrap_or_else(|| {
            panic!(
                "the store came back with no prefix of what was sent; all of it differs by {:#?}",
                differences(found, &expected(&oracle))
            )
        })
    }
}

fn commit_above(sent: &[Sent], until: CommitNumber) -> bool {
    sent.iter().any(|sent| matches!(sent.outcome, Outcome::Done(commit) if commit > until))
}

/// Sends rows as a kernel takes them.
pub fn send(kernel: &Kernel, rows: &[Row], origin: Option<Origin>) -> Ticket<Result<Committed, Error>> {
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
    kernel.write(Write { samples: &samples, texts: &text_samples, origin })
}
