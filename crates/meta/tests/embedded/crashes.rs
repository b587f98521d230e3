//! The embedded meta on a simulated disk that fails, fills and loses power: after every opening it
//! holds what the oracle holds after a prefix of the calls, with all answered ones in it.
//!
//! One seed is one run: sessions of random calls, several under way at a time, each session ended by
//! closing, kill -9 or a power cut. `MERIDIAN_SEEDS` and `MERIDIAN_FIRST_SEED` choose others.

use crate::conformance::{Dice, Oracle, random_swap};
use meta::embedded::Embedded;
use meta::{Answer, Error, Lease, LeaseId, Meta, MetaId, Range, Revision, Swap, Swapped, Witness};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use world::{DiskCounters, Faults, Simulation};

/// A call that was made, and what is expected of it.
enum Made {
    Swap(Answer<Swapped>, Result<Swapped, Error>),
    Revoke(Answer<()>, Result<(), Error>),
    /// A lease that ended by itself: nobody is answered.
    Ended,
}

struct Run {
    seed: u64,
    simulation: Simulation,
    dice: Dice,
    meta: Option<Embedded>,
    id: Option<MetaId>,
    /// `states[i]`: after `i` of the calls since it was opened.
    states: Vec<Oracle>,
    calls: Vec<Made>,
    /// Calls that were answered: they are in the store.
    answered: usize,
    /// Calls from here on were refused: they are not in the store.
    refused: usize,
    failed: bool,
    /// Every lease that was ever granted, and how long it lasts, in microseconds.
    granted: BTreeMap<LeaseId, u64>,
    /// When those end that have not.
    deadlines: BTreeMap<LeaseId, u64>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let simulation = Simulation::new(seed);
        Run {
            seed,
            simulation,
            dice: Dice::new(seed ^ 0xD1CE),
            meta: None,
            id: None,
            states: vec![Oracle::at(Revision(1))],
            calls: Vec::new(),
            answered: 0,
            refused: usize::MAX,
            failed: false,
            granted: BTreeMap::new(),
            deadlines: BTreeMap::new(),
        }
    }

    fn latest(&self) -> &Oracle {
        &self.states[self.states.len() - 1]
    }

    fn faults(&self) -> Faults {
        match self.dice.below(7) {
            0 | 1 => Faults { power_cut_after: Some(self.dice.below(120)), ..Faults::NONE },
            2 => Faults { write_error_one_in: 60, ..Faults::NONE },
            3 => Faults { sync_error_one_in: 20, ..Faults::NONE },
            4 => Faults { full_one_in: 40, ..Faults::NONE },
            _ => Faults::NONE,
        }
    }

    /// Opens it and finds out which calls it holds. Whether it opened: with faults it need not.
    fn open(&mut self, faults: Faults) -> bool {
        self.simulation.disk.set_faults(faults);
        let known = self.id.map(|id| Witness { id, revision: self.states[self.answered].revision });
        let meta = match Embedded::open(&self.simulation.world(), Path::new("/meta"), known) {
            Ok(meta) => meta,
            Err(Error::Open(_)) if faults != Faults::NONE => return false,
            Err(error) => panic!("seed {}: {error}", self.seed),
        };
        self.id = Some(meta.witness().id);
        let page = meta
            .range(&Range::prefix("r/").expect("an answer that is no fault"), 100)
            .wait()
            .expect("an answer that is no fault")
            .expect("an answer that is no fault");
        let held = |state: &Oracle| page.revision == state.revision && page.entries.iter().eq(state.entries.values());
        let last = self.refused.min(self.calls.len());
        let found = (self.answered..=last).find(|calls| held(&self.states[*calls]));
        let Some(found) = found else {
            panic!("seed {}: {page:?} is none of {:?}", self.seed, &self.states[self.answered..=last]);
        };
        // A lease whose end was in doubt and that has no keys: nobody can tell whether it is there.
        let mut state = self.states[found].clone();
        for later in &self.states[found..=last] {
            let used = |lease: &LeaseId| state.entries.values().any(|entry| entry.lease == Some(*lease));
            let leases = state.leases.iter().filter(|lease| later.leases.contains(lease) || used(lease)).copied().collect();
            state.leases = leases;
        }
        let now = self.simulation.world().clock.monotonic_us();
        self.deadlines = state.leases.iter().map(|lease| (*lease, now + self.granted[lease])).collect();
        self.states = vec![state];
        self.calls.clear();
        (self.answered, self.refused, self.failed) = (0, usize::MAX, false);
        self.meta = Some(meta);
        true
    }

    /// Looks at the answers that have come.
    fn settle(&mut self) {
        let seed = self.seed;
        for (i, call) in self.calls.iter_mut().enumerate() {
            let outcome = match call {
                Made::Swap(ticket, expect) => {
                    ticket.try_take().map(|answer| same(seed, answer.expect("an answer that is no fault"), expect))
                }
                Made::Revoke(ticket, expect) => {
                    ticket.try_take().map(|answer| same(seed, answer.expect("an answer that is no fault"), expect))
                }
                Made::Ended => None,
            };
            match outcome {
                Some(Ok(())) => {
                    assert!(!self.failed, "seed {seed}: answered well after a failure");
                    self.answered = self.answered.max(i + 1);
                }
                Some(Err(error)) => {
                    self.failed = true;
                    if matches!(error, Error::Poisoned(_)) {
                        self.refused = self.refused.min(i);
                    }
                }
                None => {}
            }
        }
    }

    fn idle(&mut self) {
        self.simulation.runner.run_until_idle();
        self.settle();
    }

    /// One call, of any sort.
    fn step(&mut self) {
        let Some(meta) = &self.meta else { return };
        let mut next = self.latest().clone();
        match self.dice.below(20) {
            0 => self.grant(),
            1 | 2 => self.pass(),
            3 => {
                let Some(lease) = next.leases.iter().nth(self.dice.below(2) as usize).copied() else { return };
                let expect = if next.end_lease(lease) { Ok(()) } else { Err(Error::LeaseGone(lease)) };
                self.calls.push(Made::Revoke(meta.revoke(lease), expect));
                self.states.push(next);
                self.deadlines.remove(&lease);
            }
            4 => self.renew(),
            5 => self.read(),
            _ => {
                let swap: Swap = random_swap(&self.dice, &next);
                let expect = next.swap(&swap);
                self.calls.push(Made::Swap(meta.swap(swap), expect));
                self.states.push(next);
            }
        }
        for _ in 0..self.dice.below(3) {
            self.simulation.runner.step();
        }
    }

    fn grant(&mut self) {
        self.idle();
        let Some(meta) = self.meta.as_ref().filter(|_| !self.failed) else { return };
        let ms = 100 + self.dice.below(3_000);
        let mut ticket: Answer<Lease> = meta.grant(Duration::from_millis(ms));
        self.idle();
        match ticket.try_take().expect("all has run").expect("an answer that is no fault") {
            Ok(lease) => {
                let now = self.simulation.world().clock.monotonic_us();
                assert_eq!(lease.lasts, Duration::from_millis(ms));
                let last = self.states.len() - 1;
                self.states[last].leases.insert(lease.id);
                self.granted.insert(lease.id, ms * 1_000);
                self.deadlines.insert(lease.id, now + ms * 1_000);
            }
            Err(_) => self.failed = true,
        }
    }

    fn renew(&mut self) {
        let Some(meta) = &self.meta else { return };
        let Some((lease, due)) = self.deadlines.iter_mut().nth(self.dice.below(3) as usize) else { return };
        match meta.keep_alive(*lease).wait().expect("an answer that is no fault") {
            Ok(_) => *due = self.simulation.world().clock.monotonic_us() + self.granted[lease],
            Err(error) => assert!(matches!(error, Error::Poisoned(_)), "seed {}: {error}", self.seed),
        }
    }

    /// Time passes, and leases with it.
    fn pass(&mut self) {
        self.idle();
        let time = Duration::from_millis(self.dice.below(1_500));
        let end = self.simulation.world().clock.monotonic_us() + time.as_micros() as u64;
        let mut due: Vec<(u64, LeaseId)> =
            self.deadlines.iter().filter(|(_, due)| **due <= end).map(|(lease, due)| (*due, *lease)).collect();
        due.sort_unstable();
        for (_, lease) in due {
            let mut next = self.latest().clone();
            assert!(next.end_lease(lease));
            self.deadlines.remove(&lease);
            self.calls.push(Made::Ended);
            self.states.push(next);
        }
        self.simulation.runner.pass(time);
    }

    /// What is read now is the store after some of the calls, all answered ones among them.
    fn read(&mut self) {
        self.settle();
        let Some(meta) = &self.meta else { return };
        match meta
            .range(&Range::prefix("r/").expect("an answer that is no fault"), 100)
            .wait()
            .expect("an answer that is no fault")
        {
            Ok(page) => {
                let same = |state: &Oracle| page.revision == state.revision && page.entries.iter().eq(state.entries.values());
                assert!(self.states[self.answered..].iter().any(same), "seed {}: {page:?}", self.seed);
            }
            Err(error) => {
                let disk = &self.simulation.disk;
                let expected = matches!(error, Error::Poisoned(_)) && (disk.is_off() || disk.faults() != Faults::NONE);
                assert!(expected, "seed {}: {error}", self.seed);
                // The change that failed may have been the end of a lease, of which nobody is told.
                self.failed = true;
            }
        }
    }

    /// Closing, kill -9 or a power cut.
    fn end(&mut self) {
        let off = self.simulation.disk.is_off();
        match self.dice.below(3) {
            0 if !off => {
                self.idle();
                self.meta = None;
                // Closing writes too, so that the power may have gone with it.
                if self.simulation.disk.is_off() { self.simulation.crash() } else { self.simulation.kill() }
            }
            1 if !off => {
                self.settle();
                self.simulation.kill();
                self.meta = None;
            }
            _ => {
                self.settle();
                self.simulation.crash();
                self.meta = None;
            }
        }
    }
}

/// Whether an answer is the expected one; else it must be one that leaves the change open, or refuses it.
fn same<T: PartialEq + std::fmt::Debug>(seed: u64, answer: Result<T, Error>, expect: &Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(error @ (Error::InDoubt(_) | Error::Poisoned(_))) => Err(error),
        answer => {
            assert_eq!(&answer, expect, "seed {seed}");
            Ok(())
        }
    }
}

/// What came of a seed: what the disk did, and the number of sessions that ended in a failure.
fn run(seed: u64) -> (DiskCounters, usize) {
    let mut run = Run::new(seed);
    let mut failures = 0;
    for _ in 0..8 {
        let faults = run.faults();
        if !run.open(faults) {
            run.simulation.crash();
            failures += 1;
            continue;
        }
        for _ in 0..run.dice.below(60) {
            run.step();
        }
        run.settle();
        failures += usize::from(run.failed);
        run.end();
    }
    assert!(run.open(Faults::NONE), "seed {seed}");
    drop(run.meta.take());
    (run.simulation.disk.counters(), failures)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_answered_survives_and_nothing_else_appears() {
    let (first, seeds) = (number("MERIDIAN_FIRST_SEED", 1), number("MERIDIAN_SEEDS", 300));
    let failures: usize = (first..first + seeds).map(|seed| run(seed).1).sum();
    assert!(failures as u64 > seeds / 3, "the faults must strike for this test to say anything: {failures}");
}

#[test]
fn a_seed_always_comes_out_the_same() {
    for seed in 1..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
