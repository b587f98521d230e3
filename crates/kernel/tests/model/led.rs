//! Led slices, driven at random as whoever leads them would, beside a list of records.
//!
//! What is certain of a slice: its log is what some beginning of what was asked led to, with all in it that was answered;
//! readers see the records up to the one that was published last, after a crash those that files hold; and no file
//! holds what was not told to be stable. What is set aside is found below `set-aside`, and nowhere else.

use crate::check::{check_points, check_snapshot, content, expected};
use crate::drive::{DIR, TestKinds, as_write, random_row, random_tag, random_time};
use crate::oracle::{Change, Oracle, Row};
use kernel::{Deletion, Error, Kernel, LedSlice, Settings, TagSelection, read_set_aside};
use protocol::{History, ProducerRow, Producers, Record};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use types::{DistributionRule, Epoch, Origin, ProducerId, Sequence, SliceId, TimeRange, Timestamp, Version};
use world::{Disk, Faults, SeededRandom, Simulation, Ticket};

/// As many as the settings say; few, so that some are forgotten.
const PRODUCERS_MAX: usize = 3;

struct Item {
    record: Record,
    changes: Vec<Change>,
}

type Chain = Vec<Rc<Item>>;

/// Something that was asked, and what the log holds once it is done.
struct Asked {
    answer: Answer,
    chain: Chain,
    epoch: Epoch,
}

enum Answer {
    Log(Ticket<Result<Version, Error>>),
    End(Ticket<Result<(Version, Vec<ProducerRow>), Error>>, Vec<Version>),
    Epoch(Ticket<Result<Epoch, Error>>),
    Delete(Ticket<Result<(), Error>>, Vec<Version>),
    Done,
}

/// A slice as it should be.
struct Model {
    led: LedSlice,
    /// The first is what the store was opened with.
    asked: Vec<Asked>,
    published: usize,
    stable: usize,
    /// The highest epoch that is kept for certain.
    promised: Epoch,
    /// What was set aside for certain.
    aside: BTreeSet<Version>,
}

/// A store of led slices that is driven.
pub struct LedDrive {
    simulation: Simulation,
    dice: SeededRandom,
    settings: Settings,
    kernel: Option<Arc<Kernel>>,
    slices: Vec<Model>,
    faulty: bool,
    /// A step failed: the store is opened again.
    broken: bool,
    /// How many records were set aside, and how many of them had been applied.
    pub set_aside: (u64, u64),
}

fn versions(chain: &[Rc<Item>]) -> Vec<Version> {
    chain.iter().map(|item| item.record.version).collect()
}

fn last(chain: &[Rc<Item>]) -> Version {
    chain.last().map_or(Version::default(), |item| item.record.version)
}

fn producers(chain: &[Rc<Item>]) -> Vec<ProducerRow> {
    let mut producers = Producers::new(&[], PRODUCERS_MAX);
    chain.iter().for_each(|item| producers.note_record(&item.record));
    producers.rows()
}

fn history(chain: &[Rc<Item>]) -> History {
    let mut history = History::default();
    chain.iter().for_each(|item| history.push(item.record.version));
    history
}

impl Model {
    fn current(&self) -> &Asked {
        self.asked.last().expect("there is what it was opened with")
    }

    /// How many records are in the log for certain, and are to stay there.
    fn settled(&self) -> usize {
        let done = self.asked.iter().rev().find(|asked| matches!(asked.answer, Answer::Done));
        let done = &done.expect("there is what it was opened with").chain;
        done.iter().zip(&self.current().chain).take_while(|(a, b)| Rc::ptr_eq(a, b)).count()
    }

    fn oracle(&self, records: usize) -> Oracle {
        let mut oracle = Oracle::default();
        let changes = self.current().chain[..records].iter().flat_map(|item| &item.changes);
        changes.for_each(|change| oracle.force(change));
        oracle
    }
}

impl LedDrive {
    pub fn new(seed: u64, faulty: bool) -> LedDrive {
        let dice = SeededRandom::new(seed ^ 0x1ED5);
        let pick = |choices: &[u64]| choices[dice.between(0, choices.len() as u64 - 1) as usize];
        let rule = DistributionRule { b1: pick(&[1, 2, 5]), buckets: pick(&[1, 2, 3]) as u32, ..DistributionRule::default() };
        let settings = Settings {
            rule,
            period_us: pick(&[30, 100, 1_000]) as i64,
            memory_bytes: 8 << 20,
            buffer_bytes_max: pick(&[24 << 10, 64 << 10, 1 << 20]),
            cache_bytes_max: pick(&[16 << 10, 1 << 20]),
            log_bytes_max: pick(&[64 << 10, 1 << 20]),
            segment_bytes: pick(&[16 << 10, 64 << 10]),
            deletion_age_max: Duration::from_secs(pick(&[1, 3_600])),
            producers_max: PRODUCERS_MAX,
            led_tail_bytes_max: pick(&[0, 2_000, 1 << 20]),
            ..Settings::default()
        };
        let simulation = Simulation::new(seed);
        let (kernel, slices, broken, set_aside) = (None, Vec::new(), false, (0, 0));
        let mut drive = LedDrive { simulation, dice, settings, kernel, slices, faulty, broken, set_aside };
        drive.open();
        let kernel = drive.kernel();
        for slice in (0..drive.settings.rule.buckets).map(SliceId) {
            let led = kernel.lead(slice).expect("nothing was written");
            let asked = vec![Asked { answer: Answer::Done, chain: Vec::new(), epoch: Epoch(1) }];
            drive.slices.push(Model { led, asked, published: 0, stable: 0, promised: Epoch(0), aside: BTreeSet::new() });
        }
        drive
    }

    fn kernel(&self) -> Arc<Kernel> {
        Arc::clone(self.kernel.as_ref().expect("the store is open"))
    }

    fn open(&mut self) {
        let opened = Kernel::open(self.simulation.world(), Path::new(DIR), self.settings.clone(), Arc::new(TestKinds));
        self.kernel = Some(opened.unwrap_or_else(|fault| panic!("opening: {fault}")));
    }

    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if self.broken {
                self.crash(true);
            }
            let slice = self.dice.between(0, self.slices.len() as u64 - 1) as usize;
            match self.dice.between(0, 99) {
                0..=34 => self.log(),
                35..=54 => (0..self.dice.between(1, 9)).for_each(|_| {
                    self.simulation.runner.step();
                }),
                55..=57 => self.simulation.runner.pass(Duration::from_millis(self.dice.between(1, 900_000))),
                58..=69 => self.publish(slice),
                70..=77 => self.stable(slice),
                78..=82 => drop(self.slices[slice].led.flush()),
                83 => drop(self.kernel().merge()),
                84..=87 => self.epoch(slice),
                88..=90 => self.end(slice),
                91 => self.delete(slice),
                92..=95 => self.check(),
                96 => self.fault(),
                97 | 98 => self.crash(true),
                _ => self.crash(false),
            }
        }
        self.simulation.disk.set_faults(Faults::NONE);
        self.check();
        self.crash(true);
        self.check();
        self.check_aside();
    }

    fn epoch(&mut self, slice: usize) {
        let model = &mut self.slices[slice];
        let epoch = Epoch(model.current().epoch.0 + self.dice.between(1, 2));
        let (answer, chain) = (Answer::Epoch(model.led.keep_epoch(epoch)), model.current().chain.clone());
        model.asked.push(Asked { answer, chain, epoch });
    }

    fn log(&mut self) {
        let rows: Vec<Row> = (0..self.dice.between(0, 12)).map(|_| random_row(&self.dice)).collect();
        let deletions: Vec<Deletion> = (0..self.dice.between(0, 8) / 7).map(|_| self.deletion()).collect();
        let kernel = self.kernel();
        let drafts = as_write(&rows, None, |write| kernel.led_drafts(write, &deletions, &[])).expect("known tags");
        for (slice, draft) in drafts {
            let mut changes: Vec<Change> = deletions.iter().cloned().map(Change::Delete).collect();
            let own = rows.iter().filter(|row| self.settings.rule.slice(row.tag, Timestamp(0)) == slice).cloned().collect();
            changes.push(Change::Write { rows: own, origin: None });
            let origin = |dice: &SeededRandom| Origin {
                producer: ProducerId(u128::from(dice.between(1, 5))),
                number: dice.between(1, 40),
            };
            let origin = self.dice.one_in(2).then(|| origin(&self.dice));
            let empty = self.dice.one_in(10);
            let model = &mut self.slices[slice.0 as usize];
            let mut chain = model.current().chain.clone();
            let (prev, epoch) = (last(&chain), model.current().epoch);
            let version = Version { epoch: epoch.max(prev.epoch), sequence: Sequence(prev.sequence.0 + 1) };
            let record = Record { version, prev, origin, digest: version.sequence.0, body: draft.whole() };
            let mut records = vec![record.clone()];
            chain.push(Rc::new(Item { record, changes }));
            if empty {
                let next = Version { sequence: Sequence(version.sequence.0 + 1), ..version };
                let record = Record {
                    version: next,
                    prev: version,
                    origin,
                    digest: 0,
                    body: model.led.deletion(Deletion::Points(Vec::new())).whole(),
                };
                records.push(record.clone());
                chain.push(Rc::new(Item { record, changes: Vec::new() }));
            }
            let answer = Answer::Log(model.led.log(records));
            model.asked.push(Asked { answer, chain, epoch });
        }
    }

    fn deletion(&self) -> Deletion {
        let dice = &self.dice;
        if dice.one_in(3) {
            return Deletion::Points((0..dice.between(0, 8)).map(|_| (random_tag(dice), random_time(dice))).collect());
        }
        let tags = TagSelection::of((0..dice.between(1, 4)).map(|_| random_tag(dice)).collect());
        let (a, b) = (random_time(dice), random_time(dice));
        let range = if dice.one_in(6) { TimeRange::ALL } else { TimeRange { first: a.min(b), last: a.max(b) } };
        Deletion::Range { tags: if dice.one_in(4) { TagSelection::All } else { tags }, range }
    }

    fn publish(&mut self, slice: usize) {
        let model = &mut self.slices[slice];
        let settled = model.settled();
        if settled > model.published {
            let records = self.dice.between(model.published as u64 + 1, settled as u64) as usize;
            match model.led.publish(last(&model.current().chain[..records])) {
                Ok(()) => model.published = records,
                Err(fault) => self.failed(&fault),
            }
        }
    }

    fn stable(&mut self, slice: usize) {
        let model = &mut self.slices[slice];
        let settled = model.settled();
        if settled > model.stable {
            let records = self.dice.between(model.stable as u64 + 1, settled as u64) as usize;
            match model.led.stable(last(&model.current().chain[..records])) {
                Ok(()) => model.stable = records,
                Err(fault) => self.failed(&fault),
            }
        }
    }

    /// Sets aside what stands behind a record that is no older than what is stable.
    fn end(&mut self, slice: usize) {
        let model = &mut self.slices[slice];
        let mut chain = model.current().chain.clone();
        let gone = chain.split_off(self.dice.between(model.stable as u64, chain.len() as u64) as usize);
        self.set_aside.0 += gone.len() as u64;
        self.set_aside.1 += model.published.saturating_sub(chain.len()) as u64;
        model.published = model.published.min(chain.len());
        let answer = Answer::End(model.led.set_aside(last(&chain)), versions(&gone));
        let epoch = Epoch(model.current().epoch.0 + 1);
        model.asked.push(Asked { answer, chain: chain.clone(), epoch });
        let answer = Answer::Epoch(model.led.keep_epoch(epoch));
        model.asked.push(Asked { answer, chain, epoch });
    }

    /// Deletes a slice's data, and leads it again once that is done.
    fn delete(&mut self, slice: usize) {
        let model = &mut self.slices[slice];
        let forced = if self.dice.one_in(3) { Epoch(u64::MAX) } else { Epoch(0) };
        let gone = if forced > Epoch(0) { Vec::new() } else { versions(&model.current().chain[model.stable..]) };
        let answer = Answer::Delete(model.led.delete(forced), gone);
        let epoch = Epoch(model.current().epoch.0 + 1);
        model.asked.push(Asked { answer, chain: Chain::new(), epoch });
        (model.published, model.stable) = (0, 0);
        self.check();
    }

    fn failed(&mut self, fault: &Error) {
        assert!(self.faulty, "{fault}");
        self.broken = true;
    }

    fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        let rate = |dice: &SeededRandom| if dice.one_in(3) { dice.between(2, 60) } else { 0 };
        self.simulation.disk.set_faults(Faults {
            write_error_one_in: rate(&self.dice) * 4,
            read_error_one_in: rate(&self.dice),
            sync_error_one_in: rate(&self.dice) * 4,
            full_one_in: rate(&self.dice),
            capacity_bytes: u64::MAX,
            power_cut_after: self.dice.one_in(3).then(|| self.dice.between(0, 60)),
        });
    }

    /// Looks at the answers that came.
    fn settle(&mut self) {
        let mut faults = Vec::new();
        let mut again = Vec::new();
        for (id, Model { asked, promised, aside, .. }) in self.slices.iter_mut().enumerate() {
            for Asked { answer, chain, epoch } in asked {
                let came = match answer {
                    Answer::Done => continue,
                    Answer::Log(ticket) => told(ticket).map(|told| told.map(|at| assert_eq!(at, last(chain)))),
                    Answer::Epoch(ticket) => told(ticket).map(|told| told.map(|kept| *promised = kept.max(*promised))),
                    Answer::Delete(ticket, gone) => told(ticket).map(|told| {
                        told.map(|()| {
                            aside.append(&mut gone.drain(..).collect());
                            again.push(id);
                        })
                    }),
                    Answer::End(ticket, gone) => told(ticket).map(|told| {
                        told.map(|(at, rows)| {
                            assert_eq!((at, rows), (last(chain), producers(chain)), "in epoch {epoch}");
                            aside.append(&mut gone.drain(..).collect());
                        })
                    }),
                };
                match came {
                    Some(Ok(())) => *answer = Answer::Done,
                    Some(Err(fault)) => faults.push(fault),
                    None => {}
                }
            }
        }
        faults.iter().for_each(|fault| self.failed(fault));
        for id in again {
            let led = self.kernel().lead(SliceId(id as u32)).expect("its data are gone");
            let epoch = led.recovered().epoch;
            assert!(epoch >= self.slices[id].promised, "{epoch} is left of {}", self.slices[id].promised);
            self.slices[id].led = led;
        }
    }

    /// Lets all come to rest, and holds what is read against the records.
    fn check(&mut self) {
        self.simulation.runner.run_until_idle();
        self.settle();
        if self.broken || self.simulation.disk.is_off() {
            return self.crash(true);
        }
        let mut oracle = Oracle::default();
        for model in &self.slices {
            let waiting = model.asked.iter().any(|asked| !matches!(asked.answer, Answer::Done));
            assert!(!waiting || self.faulty, "something waits though nothing is left to be done");
            oracle.rows.extend(model.oracle(model.published).rows);
            assert_eq!(model.led.published(), last(&model.current().chain[..model.published]));
            self.check_tail(model);
        }
        let kernel = self.kernel();
        let read = check_snapshot(&kernel.snapshot(), &oracle, true, &self.dice)
            .and_then(|()| check_points(&kernel, &oracle, &self.dice));
        match read {
            Ok(()) => {}
            Err(Error::Read(_)) if self.faulty => {}
            Err(fault) => panic!("a read failed: {fault}"),
        }
    }

    fn check_tail(&self, model: &Model) {
        let recovered = model.led.recovered();
        let (begin, chain) = (recovered.log_after.0 as usize, &model.current().chain);
        assert!(recovered.flushed.sequence.0 as usize <= model.stable.min(model.published), "files hold what is not stable");
        if recovered.flushed == model.led.published() {
            let status = self.kernel().slices().swap_remove(model.led.id().0 as usize);
            assert_eq!(status.buffered_rows, 0, "what files hold is in the buffer no more");
        }
        assert_eq!(recovered.history, history(chain));
        let after = self.dice.between(0, chain.len() as u64) as usize;
        let found = model.led.read_log(last(&chain[..after]), 4, 2_000);
        if after < begin {
            return assert_eq!(found, None, "the log begins behind {begin}");
        }
        let found = found.expect("it is at hand");
        assert!(found.len() == 4.min(chain.len() - after) || found.iter().map(Record::bytes).sum::<u64>() > 1_000);
        assert!(found.iter().zip(&chain[after..]).all(|(found, item)| *found == item.record));
    }

    /// A power cut, or kill -9; then what the slices came back with.
    fn crash(&mut self, power_cut: bool) {
        self.settle();
        self.kernel = None;
        if power_cut || self.simulation.disk.is_off() {
            self.simulation.crash()
        } else {
            self.simulation.kill()
        }
        self.simulation.disk.set_faults(Faults::NONE);
        self.broken = false;
        let before = std::mem::take(&mut self.slices);
        self.open();
        let kernel = self.kernel();
        let mut oracle = Oracle::default();
        for (id, model) in before.into_iter().enumerate() {
            let led = kernel.led_slices().into_iter().find(|led| led.id().0 as usize == id);
            // Nothing of it was durable yet: then it is not known that it is led.
            let led = led.unwrap_or_else(|| kernel.lead(SliceId(id as u32)).expect("nothing was written"));
            let model = recovered(led, model);
            oracle.rows.extend(model.oracle(model.published).rows);
            self.slices.push(model);
        }
        let found = content(&kernel.snapshot()).unwrap_or_else(|fault| panic!("reading: {fault}"));
        assert_eq!(found, expected(&oracle), "after opening readers see what files hold");
    }

    /// What was set aside and is not in the log is found below `set-aside`.
    fn check_aside(&self) {
        let disk: Arc<dyn Disk> = Arc::<world::SimulatedDisk>::clone(&self.simulation.disk);
        let place = Path::new(DIR).join("set-aside");
        let mut found: Vec<BTreeSet<Version>> = vec![BTreeSet::new(); self.slices.len()];
        for entry in disk.list(&place).unwrap_or_default() {
            for (slice, record) in read_set_aside(&disk, &place.join(&entry.name)).unwrap_or_default() {
                found[slice.0 as usize].insert(record.version);
            }
        }
        for (model, found) in self.slices.iter().zip(&found) {
            let there = history(&model.current().chain);
            let lost: Vec<_> =
                model.aside.iter().filter(|version| !there.contains(**version) && !found.contains(*version)).collect();
            assert!(lost.is_empty(), "set aside, and nowhere: {lost:?}");
        }
    }
}

/// An answer that came.
fn told<T: Send + 'static>(ticket: &mut Ticket<Result<T, Error>>) -> Option<Result<T, Error>> {
    ticket.try_take().and_then(Result::ok)
}

/// What a slice came back with must be what some beginning of what was asked led to.
fn recovered(led: LedSlice, mut model: Model) -> Model {
    let recovered = led.recovered();
    let certain = model.asked.iter().rposition(|asked| matches!(asked.answer, Answer::Done)).expect("the first is");
    let found = |at: usize| beginning(&model.asked, certain, at, &recovered.history).map(|chain| (at, chain));
    let Some((at, chain)) = (certain..model.asked.len()).find_map(found) else {
        let could: Vec<_> = model.asked[certain..].iter().map(|asked| versions(&asked.chain)).collect();
        panic!("it came back with {:?}, which is no beginning of {could:?}", recovered.history)
    };
    let highest = model.current().epoch;
    assert!(recovered.epoch >= model.promised && recovered.epoch <= highest, "{} was promised", model.promised);
    let flushed = recovered.flushed.sequence.0 as usize;
    let deleting = model.asked[certain..].iter().any(|asked| matches!(asked.answer, Answer::Delete(..)));
    assert!(deleting || flushed <= model.stable.min(model.published), "a file holds what is not stable");
    assert_eq!(recovered.flushed, last(&chain[..flushed]));
    assert_eq!(recovered.producers, producers(&chain));
    let found = led.read_log(last(&chain[..flushed]), usize::MAX, u64::MAX).expect("what files lack is at hand");
    assert!(found.iter().eq(chain[flushed..].iter().map(|item| &item.record)), "the records are those that were logged");
    // What was certain and is not there was set aside, answered or not; but for what a deletion leaves to other replicas,
    // or in the copies of files.
    let deletions = (certain + 1..=at).filter_map(|at| match &model.asked[at].answer {
        Answer::Delete(_, aside) => Some((versions(&model.asked[at - 1].chain), aside)),
        _ => None,
    });
    let left: BTreeSet<Version> =
        deletions.flat_map(|(all, aside)| all.into_iter().filter(|version| !aside.contains(version))).collect();
    let lost = versions(&model.asked[certain].chain).into_iter();
    let lost: Vec<Version> = lost.filter(|version| !recovered.history.contains(*version) && !left.contains(version)).collect();
    model.aside.extend(lost);
    let asked = vec![Asked { answer: Answer::Done, chain, epoch: highest }];
    Model { led, asked, published: flushed, stable: flushed, ..model }
}

/// What the log holds with that history, where it is what led from one thing asked to the next.
fn beginning(asked: &[Asked], certain: usize, at: usize, history: &History) -> Option<Chain> {
    let (chain, records) = (&asked[at].chain, history.last().sequence.0 as usize);
    let partly = at > certain && matches!(asked[at].answer, Answer::Log(_)) && records >= asked[at - 1].chain.len();
    if records > chain.len() || (records < chain.len() && !partly) {
        return None;
    }
    let chain = chain[..records].to_vec();
    (self::history(&chain) == *history).then_some(chain)
}
