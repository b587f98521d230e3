//! A fleet's catalog against a plain model, from seeds: batches logged, cut, applied and missed, parts taken, crashes, a
//! faulty disk.
//!
//! What must hold at every opening: what was answered as logged is there, in its chain; the table is what the model says
//! after the batches up to its point, or torn where parts were being taken; and in the end it equals, by the hashes of its
//! parts, a table that missed nothing.

mod oracle;

use catalog::{Catalog, Error, LedCatalog, Outcome, Samples, Settings, change_body, creation_body, deletion_body, repair};
use oracle::{Dice, Model, Step};
use protocol::tags::{Batch, Change, Point, Recovered};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use types::{Epoch, Kind, Origin, ProducerId, TagDefinition, TagId, Timestamp};
use world::{Clock, Faults, Simulation, Ticket};

const SETTINGS: Settings = Settings { segment_bytes: 64 << 10, checkpoint_bytes: 8 << 10 };
const DIR: &str = "/catalog";

fn open(simulation: &Simulation) -> (Arc<Catalog>, LedCatalog) {
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens on a whole disk");
    let led = catalog.lead().expect("it was never filled by a process alone");
    (catalog, led)
}

/// The answer, where it comes within so many jobs.
fn within<T: Send + 'static>(
    simulation: &Simulation,
    mut ticket: Ticket<Result<T, Error>>,
    jobs: u64,
) -> Option<Result<T, Error>> {
    for _ in 0..jobs {
        if let Some(answer) = ticket.try_take() {
            return answer.ok();
        }
        if !simulation.runner.step() {
            break;
        }
    }
    ticket.try_take().and_then(Result::ok)
}

fn at_last<T: Send + 'static>(simulation: &Simulation, ticket: Ticket<Result<T, Error>>) -> T {
    within(simulation, ticket, u64::MAX).expect("it is answered").expect("nothing is wrong with the disk")
}

/// The first ordinal of a creation, or the error where only one can be told.
type Expected = Result<Option<u64>, Option<Error>>;

/// What the fleet agreed on: a chain, the table after each batch, and a catalog that missed nothing.
struct Truth {
    simulation: Simulation,
    catalog: Arc<Catalog>,
    led: LedCatalog,
    batches: Vec<Batch>,
    models: Vec<Model>,
    numbers: [u64; 3],
    /// What must have come of the newest change of each producer.
    outcomes: BTreeMap<u64, (Origin, Expected)>,
}

impl Truth {
    fn new(seed: u64) -> Truth {
        let simulation = Simulation::new(seed ^ 0xF1EE7);
        let (catalog, led) = open(&simulation);
        let models = vec![Model::default()];
        Truth { simulation, catalog, led, batches: Vec::new(), models, numbers: [0; 3], outcomes: BTreeMap::new() }
    }

    fn point(&self, sequence: u64) -> Point {
        sequence.checked_sub(1).map_or(Point::default(), |before| self.batches[before as usize].point)
    }

    fn tail(&self) -> Point {
        self.point(self.batches.len() as u64)
    }

    fn body(&self, step: &Step) -> bytes::Bytes {
        let now = Timestamp(self.simulation.clock.wall_us());
        match step {
            Step::Create(definitions) => creation_body(definitions, now).expect("the dice keep the rules"),
            Step::Change(changes) => change_body(changes, now).expect("the dice keep the rules"),
            Step::Delete(tags) => deletion_body(tags),
        }
    }

    fn changes(&mut self, dice: &mut Dice) -> (Vec<Change>, Model) {
        let mut model = self.models[self.models.len() - 1].clone();
        let changes = (0..dice.below(4)).map(|_| {
            let step = model.step(dice);
            let body = self.body(&step);
            let producer = dice.below(3);
            let origin = |number| Origin { producer: ProducerId(u128::from(producer)), number };
            if self.numbers[producer as usize] > 0 && dice.below(5) == 0 {
                // Applied before: it changes nothing, whatever it says.
                return Change { origin: origin(1 + dice.below(self.numbers[producer as usize])), body };
            }
            self.numbers[producer as usize] += 1;
            let origin = origin(self.numbers[producer as usize]);
            let expect = match (&step, model.verdict(&step)) {
                (Step::Create(_), Ok(())) => Ok(Some(model.ordinals())),
                (_, Ok(())) => Ok(None),
                (Step::Create(_), Err(error)) => Err(Some(error)),
                (_, Err(_)) => Err(None),
            };
            model = model.after(&step, &self.simulation);
            self.outcomes.insert(producer, (origin, expect));
            Change { origin, body }
        });
        (changes.collect(), model)
    }

    /// One more batch is agreed on.
    fn grow(&mut self, dice: &mut Dice) {
        let (changes, model) = self.changes(dice);
        let batch = Batch::after(self.tail(), Epoch(1), changes);
        at_last(&self.simulation, self.led.log(vec![batch.clone()]));
        at_last(&self.simulation, self.led.apply(batch.point.sequence));
        self.batches.push(batch);
        self.models.push(model);
        for (origin, expect) in self.outcomes.values() {
            let outcome: Outcome = self.led.outcome(*origin).expect("it was applied, and none later");
            match (outcome, expect) {
                (Ok(range), Ok(Some(first))) => assert_eq!(range.start, *first),
                (Err(told), Err(Some(error))) => assert_eq!(told, *error),
                (outcome, expect) => assert_eq!(outcome.is_ok(), expect.is_ok(), "{outcome:?}"),
            }
        }
    }
}

/// A scheduler's store under test, as its scheduler remembers it.
#[derive(Default)]
struct Kept {
    epoch: Epoch,
    /// All that was ever to be logged, and the last that was answered as durable.
    asked: BTreeMap<Point, Batch>,
    durable: Point,
    /// Whether parts may be half taken.
    torn: bool,
}

fn check_opened(led: &LedCatalog, catalog: &Catalog, truth: &Truth, kept: &Kept, dice: &mut Dice) -> Recovered {
    let recovered = led.recovered();
    assert!(recovered.epoch >= kept.epoch, "the epoch was answered as durable");
    match recovered.table {
        None => {
            assert!(kept.torn && recovered.batches.is_empty(), "it is torn only while parts are taken");
        }
        Some(point) => {
            assert_eq!(point, truth.point(point.sequence.0), "only what is agreed on is applied");
            let model = &truth.models[point.sequence.0 as usize];
            oracle::matching(catalog, vec![model.clone()]).expect("the table is that of its point");
            model.compare(catalog, dice);
            let mut tail = point;
            for batch in &recovered.batches {
                assert_eq!((batch.prev, kept.asked.get(&batch.point)), (tail, Some(batch)));
                tail = batch.point;
            }
            let found =
                kept.durable.sequence <= point.sequence || recovered.batches.iter().any(|batch| batch.point == kept.durable);
            assert!(found, "{:?} was answered as durable, but the log ends at {tail:?}", kept.durable);
        }
    }
    recovered
}

/// Takes parts once; the table's point afterwards, or none where that was not answered.
fn take(
    simulation: &Simulation,
    led: &LedCatalog,
    truth: &Truth,
    kept: &mut Kept,
    dice: &mut Dice,
    jobs: u64,
) -> Option<Option<Point>> {
    let hashes = within(simulation, led.hash_parts(), jobs)?.ok()?;
    let bytes_max = if dice.below(2) == 0 { 1 } else { 1 << 20 };
    let found = at_last(&truth.simulation, truth.led.read_parts(hashes, bytes_max));
    (kept.torn, kept.durable) = (true, Point::default());
    let at = within(simulation, led.take_parts(found.at, found.parts, found.complete), jobs)?.ok()?;
    assert_eq!(at, found.complete.then_some(truth.tail()));
    (kept.torn, kept.durable) = (at.is_none(), at.unwrap_or_default());
    Some(at)
}

/// One life of the store; whether all was answered. Whatever is not ends it.
fn live(simulation: &Simulation, truth: &mut Truth, kept: &mut Kept, dice: &mut Dice, faults: Faults) -> bool {
    simulation.disk.set_faults(Faults::NONE);
    let (catalog, led) = open(simulation);
    let recovered = check_opened(&led, &catalog, truth, kept, dice);
    simulation.disk.set_faults(faults);
    let mut whole = recovered.table.is_some();
    kept.torn = !whole;
    let mut log: Vec<Point> = recovered.table.into_iter().chain(recovered.batches.iter().map(|batch| batch.point)).collect();
    let mut applied = recovered.table.unwrap_or_default().sequence;
    // What was there when it was opened was synced by opening.
    kept.durable = log.last().copied().unwrap_or_default();
    for _ in 0..dice.below(24) {
        let jobs = if dice.below(16) == 0 { dice.below(4) } else { 10_000 };
        let agreed = |point: &Point| point.sequence.0 as usize <= truth.batches.len() && *point == truth.point(point.sequence.0);
        match dice.below(12) {
            0..=2 => truth.grow(dice),
            3..=5 if whole => {
                let tail = log[log.len() - 1];
                let mut batches: Vec<Batch> = Vec::new();
                if agreed(&tail) {
                    batches.extend(truth.batches[tail.sequence.0 as usize..].iter().take(1 + dice.below(3) as usize).cloned());
                }
                if dice.below(3) == 0 || (!agreed(&tail) && dice.below(2) == 0) {
                    // Of a leader that is deposed before it commits this.
                    let prev = batches.last().map_or(tail, |batch| batch.point);
                    let origin = Origin { producer: ProducerId(9), number: 1 };
                    let change = Change { origin, body: deletion_body(&[TagId(dice.below(50))]) };
                    batches.push(Batch::after(prev, Epoch(2 + dice.below(1_000_000)), vec![change]));
                }
                let Some(last) = batches.last().map(|batch| batch.point) else { continue };
                log.extend(batches.iter().map(|batch| batch.point));
                kept.asked.extend(batches.iter().map(|batch| (batch.point, batch.clone())));
                let Some(Ok(point)) = within(simulation, led.log(batches), jobs) else { return false };
                assert_eq!(point, last);
                kept.durable = point;
            }
            6..=7 if whole => {
                let Some(to) = log.iter().rfind(|point| agreed(point)).copied() else { continue };
                kept.durable = kept.durable.min(to);
                log.retain(|point| point.sequence <= to.sequence);
                let Some(Ok(_)) = within(simulation, led.cut(to), jobs) else { return false };
            }
            8..=9 if whole => {
                let Some(to) = log.iter().rfind(|point| agreed(point)).copied() else { continue };
                if to.sequence <= applied {
                    continue;
                }
                applied = to.sequence;
                let Some(Ok(_)) = within(simulation, led.apply(to.sequence), jobs) else { return false };
                truth.models[to.sequence.0 as usize].compare(&catalog, dice);
                assert_eq!(led.point(), Some(to));
            }
            10 => {
                let epoch = Epoch(kept.epoch.0 + dice.below(3));
                let Some(Ok(epoch)) = within(simulation, led.keep_epoch(epoch), jobs) else { return false };
                kept.epoch = kept.epoch.max(epoch);
            }
            _ => {
                let Some(at) = take(simulation, &led, truth, kept, dice, jobs) else { return false };
                whole = at.is_some();
                log = at.into_iter().collect();
                applied = at.unwrap_or_default().sequence;
                if whole {
                    truth.models[applied.0 as usize].compare(&catalog, dice);
                }
            }
        }
    }
    true
}

fn run(seed: u64, faults: impl Fn(&mut Dice) -> Faults) {
    let (simulation, mut dice) = (Simulation::new(seed), Dice::new(seed));
    let (mut truth, mut kept) = (Truth::new(seed), Kept::default());
    for _ in 0..=dice.below(5) {
        let faults = faults(&mut dice);
        let well = live(&simulation, &mut truth, &mut kept, &mut dice, faults);
        if !well || dice.below(2) == 0 || simulation.disk.is_off() {
            simulation.crash();
        } else {
            simulation.kill();
        }
    }
    simulation.disk.set_faults(Faults::NONE);
    let (catalog, led) = open(&simulation);
    check_opened(&led, &catalog, &truth, &kept, &mut dice);
    loop {
        let hashes = at_last(&simulation, led.hash_parts());
        let found = at_last(&truth.simulation, truth.led.read_parts(hashes, 5_000));
        let done = at_last(&simulation, led.take_parts(found.at, found.parts, found.complete));
        if done == Some(truth.tail()) {
            break;
        }
    }
    assert_eq!(at_last(&simulation, led.hash_parts()), at_last(&truth.simulation, truth.led.hash_parts()), "seed {seed}");
    truth.models[truth.batches.len()].compare(&catalog, &mut dice);
    truth.models[truth.batches.len()].compare(&truth.catalog, &mut dice);
    for (origin, _) in truth.outcomes.values() {
        assert_eq!(led.outcome(*origin), truth.led.outcome(*origin));
    }
    // And it goes on from there.
    truth.grow(&mut dice);
    let next = truth.batches[truth.batches.len() - 1].clone();
    at_last(&simulation, led.log(vec![next]));
    at_last(&simulation, led.apply(truth.tail().sequence));
    assert_eq!(at_last(&simulation, led.hash_parts()), at_last(&truth.simulation, truth.led.hash_parts()), "seed {seed}");
}

fn run_all(seeds: u64, faults: fn(&mut Dice) -> Faults) {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| run(seed, faults));
        assert!(outcome.is_ok(), "seed {seed} failed (SEED={seed} runs it alone)");
    }
}

#[test]
fn a_led_table_is_that_of_its_point_through_crashes() {
    run_all(300, |_| Faults::NONE);
}

#[test]
fn a_led_table_on_a_faulty_disk() {
    run_all(300, |dice| match dice.below(3) {
        0 => Faults { power_cut_after: Some(dice.below(60)), ..Faults::NONE },
        1 => Faults { write_error_one_in: 40, sync_error_one_in: 40, ..Faults::NONE },
        _ => Faults { full_one_in: 30, ..Faults::NONE },
    });
}

/// A checkpoint cuts the log only up to what is applied: what is logged and unseen stays, over many segments.
#[test]
fn what_nobody_applied_outlives_a_checkpoint() {
    let simulation = Simulation::new(3);
    let (_catalog, led) = open(&simulation);
    let mut batches: Vec<Batch> = Vec::new();
    for number in 0..40 {
        let tag = |i| TagDefinition {
            description: format!("{number} {i} ").repeat(30),
            ..TagDefinition::new(format!("tag.{number}.{i}"), Kind::F64)
        };
        let body = creation_body(&(0..50).map(tag).collect::<Vec<_>>(), Timestamp(number)).expect("it keeps the rules");
        let change = Change { origin: Origin { producer: ProducerId(1), number: number as u64 + 1 }, body };
        batches.push(Batch::after(batches.last().map_or(Point::default(), |batch| batch.point), Epoch(1), vec![change]));
    }
    at_last(&simulation, led.log(batches.clone()));
    let segment_count = |simulation: &Simulation| {
        simulation.disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|name| name == "log")).count()
    };
    let segments = segment_count(&simulation);
    at_last(&simulation, led.apply(batches[19].point.sequence));
    simulation.runner.run_until_idle();
    assert!(segments > 4 && segment_count(&simulation) < segments, "the log was cut");
    simulation.crash();
    let (catalog, led) = open(&simulation);
    let recovered = led.recovered();
    assert_eq!((recovered.table, recovered.batches.len()), (Some(batches[19].point), 20));
    assert_eq!(recovered.batches, batches[20..]);
    assert_eq!(catalog.len(), 1_000);
    at_last(&simulation, led.apply(batches[39].point.sequence));
    assert_eq!(catalog.len(), 2_000);
}

/// A repaired table is of no point: it keeps its epoch and its store, and becomes whole by another one's parts.
#[test]
fn a_repaired_table_takes_what_differs_from_another() {
    let (mut dice, mut truth) = (Dice::new(9), Truth::new(9));
    let simulation = Simulation::new(9);
    let store = {
        let (_catalog, led) = open(&simulation);
        for _ in 0..60 {
            truth.grow(&mut dice);
        }
        at_last(&simulation, led.keep_epoch(Epoch(7)));
        at_last(&simulation, led.log(truth.batches.clone()));
        at_last(&simulation, led.apply(truth.tail().sequence));
        simulation.runner.run_until_idle();
        led.store()
    };
    simulation.kill();
    let files = simulation.disk.files();
    let (path, len) = files.iter().find(|(path, _)| path.extension().is_some_and(|name| name == "tags")).expect("a checkpoint");
    simulation.disk.damage(path, len / 2, 1);
    let opened = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS);
    assert!(matches!(opened.err(), Some(Error::Damaged(_))), "the block is damaged");
    let samples = Samples { end: 0, kind_of: &|_| None };
    repair(simulation.world(), Path::new(DIR), SETTINGS, &samples).expect("the rest is whole");
    let (catalog, led) = open(&simulation);
    let recovered = led.recovered();
    assert_eq!((led.store(), recovered.epoch, recovered.table), (store, Epoch(7), None));
    while led.point().is_none() {
        let hashes = at_last(&simulation, led.hash_parts());
        let found = at_last(&truth.simulation, truth.led.read_parts(hashes, 1));
        at_last(&simulation, led.take_parts(found.at, found.parts, found.complete));
    }
    truth.models[truth.batches.len()].compare(&catalog, &mut dice);
    assert_eq!(at_last(&simulation, led.hash_parts()), at_last(&truth.simulation, truth.led.hash_parts()));
}
