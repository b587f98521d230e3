//! The catalog against a plain model, from seeds: calls good and bad, checkpoints, crashes, faults.
//!
//! What must hold at every opening: the table is what the model says after some prefix of the calls
//! that reaches at least to the last one answered; and it answers every question as the model does.

mod oracle;

use catalog::{Catalog, Error, Samples, Settings, check, repair};
use oracle::{Dice, Model, Step};
use std::path::Path;
use std::sync::Arc;
use types::TagId;
use world::{Faults, Simulation, Ticket};

const SETTINGS: Settings = Settings { segment_bytes: 64 << 10, checkpoint_bytes: 8 << 10 };
const DIR: &str = "/catalog";

enum Answer {
    Created(Ticket<Result<std::ops::Range<u64>, Error>>),
    Done(Ticket<Result<(), Error>>),
}

/// What an answer says of a step that was asked.
#[derive(Debug, PartialEq)]
enum Outcome {
    Open,
    Made,
    /// Refused by the rules: the model says the same.
    Refused(Error),
    /// Refused by the world; the catalog goes on.
    Full,
    /// Not known, and nothing more is taken.
    Poisoned,
}

fn ask(catalog: &Catalog, step: &Step) -> Answer {
    match step {
        Step::Create(definitions) => Answer::Created(catalog.create(definitions.clone())),
        Step::Change(changes) => Answer::Done(catalog.change(changes.clone())),
        Step::Delete(tags) => Answer::Done(catalog.delete(tags.clone())),
    }
}

fn look(answer: &mut Answer) -> Outcome {
    let result = match answer {
        Answer::Created(ticket) => ticket.try_take().map(|answer| answer.expect("not abandoned while it runs").map(|_| ())),
        Answer::Done(ticket) => ticket.try_take().map(|answer| answer.expect("not abandoned while it runs")),
    };
    match result {
        None => Outcome::Open,
        Some(Ok(())) => Outcome::Made,
        Some(Err(Error::DiskFull(_))) => Outcome::Full,
        Some(Err(Error::Poisoned(_))) => Outcome::Poisoned,
        Some(Err(error)) => Outcome::Refused(error),
    }
}

fn open(simulation: &Simulation) -> Arc<Catalog> {
    Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens on a whole disk")
}

/// One life of a catalog from opening to crash or kill. Returns the models that may stand afterwards,
/// and the one before the last call that was made.
fn live(simulation: &Simulation, dice: &mut Dice, mut possible: Vec<Model>, faults: Faults) -> (Vec<Model>, Model) {
    simulation.disk.set_faults(Faults::NONE);
    let catalog = open(simulation);
    let mut model = oracle::matching(&catalog, possible).expect("the table is one that the calls can have made");
    model.compare(&catalog, dice);
    let mut before = model.clone();
    simulation.disk.set_faults(faults);
    possible = vec![model.clone()];
    for _ in 0..dice.below(24) {
        let step = model.step(dice);
        let expect = model.verdict(&step);
        let mut answer = ask(&catalog, &step);
        // Sometimes the crash comes before the answer.
        for _ in 0..if dice.below(16) == 0 { dice.below(4) } else { 10_000 } {
            if !simulation.runner.step() {
                break;
            }
        }
        let after = model.after(&step, simulation);
        match look(&mut answer) {
            Outcome::Made => {
                assert!(expect.is_ok(), "made, but {expect:?}");
                before = std::mem::replace(&mut model, after);
                possible = vec![model.clone()];
                model.compare(&catalog, dice);
            }
            Outcome::Refused(error) => {
                // Of several errors of a call the catalog may tell another; it is an error in both.
                let told = expect.expect_err("the model allows it");
                assert!(matches!(step, Step::Change(_) | Step::Delete(_)) || error == told, "{error:?}, not {told:?}");
                model.compare(&catalog, dice);
            }
            Outcome::Full => model.compare(&catalog, dice),
            Outcome::Open | Outcome::Poisoned => {
                // Readers never see what is not durable.
                model.compare(&catalog, dice);
                if expect.is_ok() {
                    possible.push(after);
                }
                break;
            }
        }
    }
    if dice.below(2) == 0 || simulation.disk.is_off() {
        simulation.crash()
    } else {
        simulation.kill()
    }
    (possible, before)
}

fn run(seed: u64, faults: impl Fn(&mut Dice) -> Faults) {
    let simulation = Simulation::new(seed);
    let mut dice = Dice::new(seed);
    let mut possible = vec![Model::default()];
    for _ in 0..=dice.below(4) {
        let faults = faults(&mut dice);
        possible = live(&simulation, &mut dice, possible, faults).0;
    }
    simulation.disk.set_faults(Faults::NONE);
    let catalog = open(&simulation);
    let model = oracle::matching(&catalog, possible).expect("the table is one that the calls can have made");
    model.compare(&catalog, &mut dice);
}

fn run_all(seeds: u64, faults: fn(&mut Dice) -> Faults) {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| run(seed, faults));
        assert!(outcome.is_ok(), "seed {seed} failed (SEED={seed} runs it alone)");
    }
}

#[test]
fn it_is_the_model_through_crashes() {
    run_all(600, |_| Faults::NONE);
}

/// Rounds of calls that wait side by side: each is answered as if they had come one after the other.
fn run_side_by_side(seed: u64) {
    let simulation = Simulation::new(seed);
    let mut dice = Dice::new(seed);
    let catalog = open(&simulation);
    let mut model = Model::default();
    for _ in 0..12 {
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(12) {
            let step = model.step(&mut dice);
            expected.push(model.verdict(&step).is_ok());
            model = model.after(&step, &simulation);
            asked.push(ask(&catalog, &step));
        }
        simulation.runner.run_until_idle();
        for (answer, expected) in asked.iter_mut().zip(expected) {
            match look(answer) {
                Outcome::Made => assert!(expected, "made, and the model does not allow it"),
                Outcome::Refused(error) => assert!(!expected, "{error}, and the model allows it"),
                other => panic!("{other:?}"),
            }
        }
        model.compare(&catalog, &mut dice);
    }
    drop(catalog);
    simulation.crash();
    let model = oracle::matching(&open(&simulation), vec![model]).expect("the table is one that the calls made");
    model.compare(&open(&simulation), &mut dice);
}

#[test]
fn calls_side_by_side_are_answered_as_if_one_after_the_other() {
    for seed in 0..150 {
        let outcome = std::panic::catch_unwind(|| run_side_by_side(seed));
        assert!(outcome.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn changes_and_deletions_that_wait_share_a_sync() {
    let simulation = Simulation::new(6);
    let catalog = open(&simulation);
    let mut dice = Dice::new(6);
    let tags: Vec<_> = (0..80).map(|i| dice.definition(format!("t{i}"))).collect();
    catalog.create(tags.clone());
    simulation.runner.run_until_idle();
    let syncs = simulation.disk.counters().syncs;
    let change = |i: usize| vec![(TagId(i as u64), types::TagDefinition { unit: "m".to_owned(), ..tags[i].clone() })];
    let changes: Vec<_> = (0..40).map(|i| catalog.change(change(i))).collect();
    let deletions: Vec<_> = (40..80).map(|i| catalog.delete(vec![TagId(i)])).collect();
    simulation.runner.run_until_idle();
    let syncs = simulation.disk.counters().syncs - syncs;
    assert!(syncs <= 6, "{syncs} syncs for 40 changes and 40 deletions");
    assert!(changes.into_iter().chain(deletions).all(|call| call.wait() == Ok(Ok(()))));
    assert_eq!(catalog.len(), 40);
}

#[test]
fn it_is_the_model_when_the_power_goes_at_any_write() {
    run_all(600, |dice| Faults { power_cut_after: Some(dice.below(60)), ..Faults::NONE });
}

#[test]
fn it_is_the_model_on_a_disk_that_fails() {
    run_all(300, |dice| Faults {
        write_error_one_in: if dice.below(2) == 0 { 60 } else { 0 },
        sync_error_one_in: if dice.below(2) == 0 { 60 } else { 0 },
        ..Faults::NONE
    });
}

#[test]
fn it_is_the_model_on_a_full_disk() {
    run_all(300, |dice| Faults { full_one_in: 1 + dice.below(20), ..Faults::NONE });
}

#[test]
fn a_flipped_bit_is_named_or_of_no_consequence() {
    let (mut named, mut mended) = (0, 0);
    for seed in 0..300 {
        let simulation = Simulation::new(seed);
        let mut dice = Dice::new(seed);
        let mut possible = vec![Model::default()];
        let mut before = Model::default();
        for _ in 0..3 {
            (possible, before) = live(&simulation, &mut dice, possible, Faults::NONE);
        }
        let files = simulation.disk.files();
        let (path, len) = &files[dice.below(files.len() as u64) as usize];
        let offset = dice.below((*len).max(1));
        simulation.disk.damage(path, offset, 1 << dice.below(8));
        match Catalog::open(simulation.world(), Path::new(DIR), SETTINGS) {
            Ok(catalog) => {
                // Reserved zeros, or a file that nothing names. The log's last group can't be told from a
                // torn one where the process was killed; `close` marks the end so that it can.
                if path.extension().is_some_and(|extension| extension == "log") {
                    possible.push(before);
                }
                let model = oracle::matching(&catalog, possible);
                let Some(model) = model else { panic!("seed {seed}: {} at {offset} was not noticed", path.display()) };
                model.compare(&catalog, &mut dice);
            }
            Err(Error::Damaged(text) | Error::Open(text)) => {
                assert!(text.contains(DIR), "{text}");
                named += 1;
                mended += u32::from(mend(&simulation, &before));
            }
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    assert!(named > 50 && mended > 10, "damage was named {named} times and mended {mended} times");
}

/// Repairs a damaged catalog where that is possible: then it opens, and gives no ordinal again that has samples.
fn mend(simulation: &Simulation, before: &Model) -> bool {
    let (disk, dir) = (simulation.world().disk, Path::new(DIR));
    let samples = Samples { end: before.ordinals(), kind_of: &|_| None };
    if log::repair(&*disk, &dir.join("log"), None).is_err() || repair(simulation.world(), dir, SETTINGS, &samples).is_err() {
        return false;
    }
    assert!(check(&disk, dir).expect("it is read").damages.is_empty());
    let catalog = open(simulation);
    assert!(catalog.ordinals() >= before.ordinals());
    let count = catalog.len() as usize;
    assert_eq!(
        catalog.page(TagId(0), usize::MAX).iter().filter(|tag| catalog.find(&tag.definition.name) == Some(tag.id)).count(),
        count
    );
    true
}

#[test]
fn calls_that_wait_go_together_and_close_ends_them() {
    let simulation = Simulation::new(5);
    let catalog = open(&simulation);
    let mut dice = Dice::new(5);
    let calls: Vec<_> = (0..50).map(|i| catalog.create(vec![dice.definition(format!("t{i}"))])).collect();
    let twice = catalog.create(vec![dice.definition("t7".to_owned())]);
    let closed = catalog.close();
    let late = catalog.delete(vec![TagId(0)]);
    assert_eq!(catalog.len(), 0);
    let syncs = simulation.disk.counters().syncs;
    simulation.runner.run_until_idle();
    assert!(simulation.disk.counters().syncs - syncs < 10, "a sync a call");
    for (i, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), Ok(i as u64..i as u64 + 1));
    }
    assert_eq!(twice.wait().unwrap(), Err(Error::Exists("t7".to_owned())));
    assert_eq!(closed.wait().unwrap(), Ok(()));
    assert_eq!(late.wait().unwrap(), Err(Error::Closed));
    simulation.crash();
    assert_eq!(open(&simulation).len(), 50);
}
