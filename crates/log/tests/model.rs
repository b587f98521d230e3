//! The log against a plain list, on the simulated disk: random appends, syncs, cuts, faults, crashes
//! at any disk operation (those of opening too), kills, closings; after each opening what comes back
//! is a gapless stretch of what was appended, with everything that was answered.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use bytes::Bytes;
use log::{Body, Durability, Error, KIND_MAX, Log, Options, Position};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use world::{Faults, Random, SeededRandom, Simulation};

const DIR: &str = "/store/log";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Not answered: it may be kept or lost.
    Open,
    /// Answered, at this place; on disk or not.
    Kept { position: Position, durable: bool },
    /// Surely not kept.
    Refused,
    /// Answered by an error that leaves it open.
    InDoubt,
}

struct Entry {
    kind: u8,
    head: Vec<u8>,
    body: Vec<u8>,
    fate: Fate,
}

/// What the model knows: every record that may be in the log, in order.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    /// The next answer's number: answers come in order.
    answered: usize,
}

struct Run {
    simulation: Simulation,
    random: SeededRandom,
    options: Options,
    model: Arc<Mutex<Model>>,
    log: Option<Arc<Log>>,
    id: Option<u64>,
    cut: Position,
    /// Whether the process only died since: then what was written is there, synced or not.
    written_stays: bool,
    seed: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let random = SeededRandom::new(seed ^ 0xA5A5);
        let record_bytes_max = random.between(1, 3000);
        let interval = Durability::Interval(Duration::from_micros(random.between(0, 5000)));
        let options = Options {
            segment_bytes: (record_bytes_max + 200 + random.between(0, 8000)).next_multiple_of(8),
            record_bytes_max,
            group_bytes_max: random.between(1, 8000),
            durability: if random.one_in(3) { interval } else { Durability::Commit },
        };
        let model = Arc::default();
        Run {
            simulation: Simulation::new(seed),
            random,
            options,
            model,
            log: None,
            id: None,
            cut: Position(0),
            written_stays: false,
            seed,
        }
    }

    /// Opens, and holds what comes back against the model. Whether that worked.
    fn open(&mut self) -> Result<(), Error> {
        let (log, replay) = Log::open(&self.simulation.world(), Path::new(DIR), self.options)?;
        assert_eq!(*self.id.get_or_insert(log.id()), log.id(), "seed {}", self.seed);
        let (first, end) = (log.first(), replay.end());
        let records = replay.collect::<Result<Vec<_>, Error>>()?;
        let seed = self.seed;
        let mut model = self.model.lock();
        // What was cut may be gone; nothing else.
        assert!(first <= self.cut.max(Position(64)), "seed {seed}: it begins at {first}, cut at {}", self.cut);
        let mut entries = std::mem::take(&mut model.entries).into_iter().filter(|entry| entry.fate != Fate::Refused);
        let mut kept = Vec::new();
        for record in &records {
            let entry = entries
                .find(|entry| !matches!(entry.fate, Fate::Kept { position, .. } if position < first))
                .unwrap_or_else(|| panic!("seed {seed}: {record:?} was never appended"));
            let same = (record.kind, &record.head[..], &record.body[..]) == (entry.kind, &entry.head[..], &entry.body[..]);
            assert!(same, "seed {seed}: another record stands at {}", record.position);
            if let Fate::Kept { position, .. } = entry.fate {
                assert_eq!(position, record.position, "seed {seed}");
            }
            assert!(record.end > record.position && record.end <= end, "seed {seed}");
            kept.push(Entry { fate: Fate::Kept { position: record.position, durable: true }, ..entry });
        }
        let written_stays = self.written_stays && self.simulation.disk.counters().faults == 0;
        let lost = entries
            .find(|e| matches!(e.fate, Fate::Kept { position, durable } if position >= first && (durable || written_stays)));
        assert!(lost.is_none(), "seed {seed}: {:?} was answered and is lost", lost.map(|entry| entry.fate));
        *model = Model { answered: kept.len(), entries: kept };
        self.log = Some(log);
        Ok(())
    }

    fn log(&self) -> &Arc<Log> {
        self.log.as_ref().unwrap()
    }

    fn append(&self) {
        let random = &self.random;
        let head: Vec<u8> = (0..random.below(20)).map(|_| random.next() as u8).collect();
        let too_large = u64::from(random.one_in(50));
        let bytes = match random.between(0, 3) {
            0 => random.between(0, self.options.record_bytes_max),
            _ => random.between(0, 100),
        };
        let bytes = bytes.min(self.options.record_bytes_max.saturating_sub(head.len() as u64));
        let bytes = bytes + too_large * (self.options.record_bytes_max + 1);
        let body: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
        let cut = random.between(0, bytes) as usize;
        let parts = vec![Bytes::copy_from_slice(&body[..cut]), Bytes::copy_from_slice(&body[cut..])];
        let kind = random.between(0, u64::from(KIND_MAX)) as u8;
        let number = {
            let mut model = self.model.lock();
            model.entries.push(Entry { kind, head: head.clone(), body, fate: Fate::Open });
            model.entries.len() - 1
        };
        let (model, durable, seed) = (Arc::clone(&self.model), self.options.durability == Durability::Commit, self.seed);
        let limit = self.options.record_bytes_max;
        self.log().append(kind, Bytes::from(head), Body::new(parts), move |answer| {
            let mut model = model.lock();
            assert_eq!(model.answered, number, "seed {seed}: answers come in order");
            model.answered += 1;
            let entry = &mut model.entries[number];
            entry.fate = match answer {
                Ok(position) => Fate::Kept { position, durable },
                Err(Error::Full(_) | Error::Closed) => Fate::Refused,
                Err(Error::TooLarge { .. }) => {
                    assert!((entry.head.len() + entry.body.len()) as u64 > limit);
                    Fate::Refused
                }
                Err(Error::Poisoned(_)) => Fate::InDoubt,
                Err(error) => panic!("seed {seed}: {error}"),
            };
        });
    }

    fn sync(&self) {
        let (model, seed) = (Arc::clone(&self.model), self.seed);
        let before = model.lock().entries.len();
        self.log().sync(move |answer| {
            let Ok(end) = answer else { return };
            let mut model = model.lock();
            for entry in &mut model.entries[..before] {
                assert_ne!(entry.fate, Fate::Open, "seed {seed}: a sync is answered in its turn");
                if let Fate::Kept { position, durable } = &mut entry.fate {
                    assert!(*position < end, "seed {seed}");
                    *durable = true;
                }
            }
        });
    }

    fn cut(&mut self) {
        let model = self.model.lock();
        let known: Vec<Position> = model
            .entries
            .iter()
            .filter_map(|e| if let Fate::Kept { position, .. } = e.fate { Some(position) } else { None })
            .collect();
        drop(model);
        if known.is_empty() {
            return;
        }
        let before = known[self.random.below(known.len() as u64) as usize];
        self.cut = self.cut.max(before);
        let log = self.log();
        let bytes = log.bytes();
        match log.cut(before) {
            Ok(gone) => assert!(log.bytes() + gone <= bytes && log.first() <= self.cut.max(Position(64))),
            Err(error) => assert!(matches!(error, Error::Cut(_)), "seed {}: {error}", self.seed),
        }
    }

    /// The process ends, in one way or another.
    fn stop(&mut self) {
        let chosen = self.random.one_in(2);
        if let Some(log) = self.log.take() {
            if self.random.one_in(3) {
                log.close(|_| ());
                self.simulation.runner.run_until_idle();
            }
            drop(log);
        }
        let power = chosen || self.simulation.disk.is_off();
        self.written_stays = !power;
        if power { self.simulation.crash() } else { self.simulation.kill() }
    }

    fn faults(&self) -> Faults {
        let random = &self.random;
        let rate = |most| if random.one_in(3) { random.between(1, most) } else { 0 };
        Faults {
            write_error_one_in: rate(60),
            read_error_one_in: rate(60),
            sync_error_one_in: rate(60),
            full_one_in: rate(4),
            capacity_bytes: if random.one_in(3) {
                self.simulation.disk.used_bytes() + random.between(0, 30_000)
            } else {
                u64::MAX
            },
            power_cut_after: random.one_in(2).then(|| random.between(0, 60)),
        }
    }

    fn play(&mut self) {
        for _ in 0..self.random.between(1, 5) {
            if self.random.one_in(3) {
                self.simulation.disk.set_faults(self.faults());
            }
            while let Err(error) = self.open() {
                let fault = !matches!(error, Error::Damaged { .. } | Error::UnknownFormat { .. });
                let disk = &self.simulation.disk;
                assert!(fault && (disk.is_off() || disk.faults() != Faults::NONE), "seed {}: {error}", self.seed);
                self.stop();
                let again = if self.random.one_in(2) { self.faults() } else { Faults::NONE };
                self.simulation.disk.set_faults(again);
            }
            for _ in 0..self.random.between(0, 120) {
                match self.random.between(0, 19) {
                    0..=9 => self.append(),
                    10..=15 => drop(self.simulation.runner.step()),
                    16 => self.simulation.runner.pass(Duration::from_micros(self.random.between(0, 3000))),
                    17 => self.sync(),
                    18 => self.cut(),
                    _ if self.random.one_in(10) => self.simulation.disk.set_faults(self.faults()),
                    _ => {}
                }
            }
            if self.random.one_in(2) {
                self.simulation.runner.run_until_idle();
                assert_eq!(self.log().queued_bytes(), 0, "seed {}", self.seed);
            }
            self.stop();
            self.simulation.disk.set_faults(Faults::NONE);
        }
        self.open().unwrap();
    }
}

#[test]
fn what_was_answered_is_there_again() {
    (0..4000).for_each(|seed| Run::new(seed).play());
}

/// The same play, the power cut at each of its disk operations in turn, and once more while opening.
#[test]
fn no_point_of_a_crash_is_special() {
    for seed in 0..4 {
        let play = |run: &mut Run| {
            for _ in 0..40 {
                run.append();
                if run.random.one_in(3) {
                    run.simulation.runner.run_until_idle();
                }
            }
            run.cut();
            run.sync();
            run.simulation.runner.run_until_idle();
        };
        for after in 0.. {
            let mut run = Run::new(seed);
            run.simulation.disk.set_faults(Faults { power_cut_after: Some(after), ..Faults::NONE });
            if run.open().is_ok() {
                play(&mut run);
            }
            let hit = run.simulation.disk.is_off();
            run.log = None;
            run.simulation.crash();
            run.simulation.disk.set_faults(Faults { power_cut_after: Some(after % 7), ..Faults::NONE });
            drop(run.open());
            run.log = None;
            run.simulation.crash();
            run.open().unwrap();
            run.append();
            run.simulation.runner.run_until_idle();
            assert!(run.model.lock().entries.last().unwrap().fate != Fate::Open);
            if !hit {
                assert!(after > 30, "the play is long enough");
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_the_log_goes_on() {
    let mut refused = 0;
    for seed in 0..200 {
        let mut run = Run::new(seed);
        run.open().unwrap();
        let room = run.simulation.disk.used_bytes() + run.random.between(0, 3 * run.options.segment_bytes);
        for round in 0..4 {
            run.simulation.disk.set_faults(Faults { capacity_bytes: room + round * 20_000, ..Faults::NONE });
            for _ in 0..60 {
                run.append();
                if run.random.one_in(4) {
                    run.simulation.runner.run_until_idle();
                }
            }
            run.sync();
            run.simulation.runner.run_until_idle();
            let model = run.model.lock();
            assert!(model.entries.iter().all(|entry| !matches!(entry.fate, Fate::InDoubt | Fate::Open)), "seed {seed}");
            refused += model.entries.iter().filter(|entry| entry.fate == Fate::Refused).count();
        }
        // With room again, whatever fits a segment is taken.
        run.simulation.disk.set_faults(Faults::NONE);
        for _ in 0..20 {
            run.append();
            run.simulation.runner.run_until_idle();
            let model = run.model.lock();
            let last = model.entries.last().unwrap();
            let fits = (last.head.len() + last.body.len()) as u64 <= run.options.record_bytes_max;
            assert!(!fits || matches!(last.fate, Fate::Kept { .. }), "seed {seed}: {:?}", last.fate);
        }
        run.stop();
        run.open().unwrap();
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn what_is_appended_before_a_refusal_is_told_is_refused_with_it() {
    let simulation = Simulation::new(3);
    let options = Options { segment_bytes: 4096, record_bytes_max: 2000, ..Options::default() };
    let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options).unwrap();
    let answers: Arc<Mutex<Vec<(&str, bool)>>> = Arc::default();
    let append = |name: &'static str, then: Box<dyn FnOnce() + Send>| {
        let answers = Arc::clone(&answers);
        let body = Body::new(vec![Bytes::from(vec![7; 1900])]);
        log.append(1, Bytes::new(), body, move |answer: Result<Position, Error>| {
            assert!(matches!(answer, Ok(_) | Err(Error::Full(_))), "{answer:?}");
            then();
            answers.lock().push((name, answer.is_ok()));
        });
    };
    append("first", Box::new(|| ()));
    append("second", Box::new(|| ()));
    simulation.runner.run_until_idle();
    simulation.disk.set_faults(Faults { capacity_bytes: simulation.disk.used_bytes(), ..Faults::NONE });
    // There is room again before the refusal is told; what comes then may count on what was refused.
    let (disk, late) = (simulation.disk.clone(), Arc::clone(&log));
    let told = Arc::clone(&answers);
    append(
        "refused",
        Box::new(move || {
            disk.set_faults(Faults::NONE);
            let body = Body::new(vec![Bytes::from_static(b"late")]);
            late.append(1, Bytes::new(), body, move |answer| told.lock().push(("late", answer.is_ok())));
        }),
    );
    simulation.runner.run_until_idle();
    append("afterwards", Box::new(|| ()));
    simulation.runner.run_until_idle();
    let wanted = [("first", true), ("second", true), ("refused", false), ("late", false), ("afterwards", true)];
    assert_eq!(answers.lock()[..], wanted);
}

#[test]
fn the_first_failure_poisons_for_good() {
    for seed in 0..200 {
        let mut run = Run::new(seed);
        run.options.durability = Durability::Commit;
        run.open().unwrap();
        run.append();
        run.simulation.runner.run_until_idle();
        let sync = seed % 2 == 0;
        let faults = Faults { sync_error_one_in: u64::from(sync), write_error_one_in: u64::from(!sync), ..Faults::NONE };
        run.simulation.disk.set_faults(faults);
        run.options.record_bytes_max = 20;
        let before = run.model.lock().entries.len();
        run.append();
        run.simulation.runner.run_until_idle();
        run.simulation.disk.set_faults(Faults::NONE);
        run.append();
        run.simulation.runner.run_until_idle();
        for entry in &run.model.lock().entries[before..] {
            let fits = entry.head.len() + entry.body.len() <= 20;
            assert!(!fits || entry.fate == Fate::InDoubt, "seed {seed}: {:?}", entry.fate);
        }
        run.stop();
        run.open().unwrap();
    }
}
