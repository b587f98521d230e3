//! The embedded meta before the conformance suite, in the simulated world and in the real one, and
//! what only it does: limits of its own, opening, wiped and old stores.

#[path = "../conformance/mod.rs"]
mod conformance;
mod crashes;

use conformance::{Bench, key};
use meta::embedded::{Embedded, QUEUE_CALLS_MAX, WATCHES_MAX};
use meta::{Error, Is, Meta, MetaId, Range, Revision, Swap, Witness};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use world::{Abandoned, Simulation, ThreadCounts, Threads, Ticket, World};

struct Simulated {
    simulation: Simulation,
    meta: Arc<Embedded>,
}

impl Simulated {
    fn new(seed: u64) -> Simulated {
        let simulation = Simulation::new(seed);
        let meta = Arc::new(Embedded::open(&simulation.world(), dir(), None).expect("an answer that is no fault"));
        Simulated { simulation, meta }
    }
}

fn dir() -> &'static Path {
    Path::new("/meta")
}

impl Bench for Simulated {
    fn meta(&self) -> Arc<dyn Meta> {
        Arc::<Embedded>::clone(&self.meta)
    }

    fn answer<T: Send + 'static>(&self, mut ticket: Ticket<T>) -> Result<T, Abandoned> {
        self.simulation.runner.run_until_idle();
        ticket.try_take().expect("all that could run has run")
    }

    fn pass(&self, time: Duration) {
        self.simulation.runner.pass(time);
    }
}

#[test]
fn the_simulated_one_conforms() {
    (0..20).for_each(|seed| conformance::all(&Simulated::new(seed)));
}

struct Real {
    meta: Arc<Embedded>,
    _dir: Directory,
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Bench for Real {
    fn meta(&self) -> Arc<dyn Meta> {
        Arc::<Embedded>::clone(&self.meta)
    }

    fn answer<T: Send + 'static>(&self, ticket: Ticket<T>) -> Result<T, Abandoned> {
        ticket.wait()
    }

    #[expect(clippy::disallowed_methods, reason = "the real clock goes on by itself; asking again at once only burns it")]
    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[test]
fn the_real_one_conforms() {
    let directory = Directory(std::env::temp_dir().join(format!("meridian-meta-{}", std::process::id())));
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let meta = Arc::new(Embedded::open(&world, &directory.0, None).expect("an answer that is no fault"));
    conformance::all(&Real { meta, _dir: directory });
}

#[test]
fn it_is_the_same_after_opening_again_and_locked_while_open() {
    let bench = Simulated::new(3);
    let a = key("a");
    bench.good(bench.meta.swap(Swap::new().when(&a, Is::Absent).put(&a, "1")));
    let witness = bench.meta.witness();
    assert_eq!(bench.good(bench.meta.get(&[])).revision, witness.revision);
    let world = bench.simulation.world();
    assert!(matches!(Embedded::open(&world, dir(), None), Err(Error::Open(_))));
    drop(bench.meta);
    let meta = Embedded::open(&world, dir(), Some(witness)).expect("an answer that is no fault");
    let found = meta.get(&[a]).wait().expect("an answer that is no fault").expect("an answer that is no fault");
    assert_eq!(meta.witness(), witness);
    assert_eq!(
        (found.revision, &found.entries[0].as_ref().expect("an answer that is no fault").value[..]),
        (witness.revision, &b"1"[..])
    );
    drop(meta);
    let foreign = Witness { id: MetaId(5), ..witness };
    assert!(matches!(Embedded::open(&world, dir(), Some(foreign)), Err(Error::Foreign { found: Some(_), .. })));
    let later = Witness { revision: Revision(witness.revision.0 + 1), ..witness };
    assert!(matches!(Embedded::open(&world, dir(), Some(later)), Err(Error::Older { .. })));
    let elsewhere = Embedded::open(&world, Path::new("/elsewhere"), Some(witness));
    assert!(matches!(elsewhere, Err(Error::Foreign { found: None, .. })));
}

#[test]
fn a_store_that_was_made_is_never_replaced_by_an_empty_one() {
    let bench = Simulated::new(4);
    let (world, path) = (bench.simulation.world(), dir().join("meta.redb"));
    let Simulated { simulation, meta } = bench;
    drop(meta);
    let len = simulation.disk.files().iter().find(|(file, _)| *file == path).expect("an answer that is no fault").1;
    // One bit in every part of the file that redb may not have used: found, or without effect.
    let mut found = 0;
    for offset in (0..len).step_by(509) {
        assert!(simulation.disk.damage(&path, offset, 1));
        match Embedded::open(&world, dir(), None) {
            Ok(meta) => assert_eq!(
                meta.get(&[]).wait().expect("an answer that is no fault").expect("an answer that is no fault").revision,
                Revision(1)
            ),
            Err(Error::Damaged(text)) => found += usize::from(text.contains("meta.redb")),
            Err(error) => panic!("byte {offset}: {error}"),
        }
        assert!(simulation.disk.damage(&path, offset, 1));
    }
    assert!(found > 0);
    world.disk.remove(&path).expect("an answer that is no fault");
    assert!(matches!(Embedded::open(&world, dir(), None), Err(Error::Damaged(_))));
}

#[test]
fn its_queue_and_watches_have_limits() {
    let bench = Simulated::new(5);
    let tickets: Vec<_> = (0..=QUEUE_CALLS_MAX).map(|_| bench.meta.swap(Swap::new().put(&key("a"), "1"))).collect();
    let refused = tickets
        .into_iter()
        .map(|ticket| bench.answer(ticket).expect("an answer that is no fault"))
        .filter(|answer| answer.is_err());
    assert_eq!(refused.map(|answer| matches!(answer, Err(Error::Unavailable(_)))).collect::<Vec<_>>(), [true]);
    let range = Range::prefix("a").expect("an answer that is no fault");
    let watches: Vec<_> =
        (0..WATCHES_MAX).map(|_| bench.meta.watch(&range, Revision(0)).expect("an answer that is no fault")).collect();
    assert!(matches!(bench.meta.watch(&range, Revision(0)), Err(Error::Unavailable(_))));
    drop(watches);
    assert!(bench.meta.watch(&range, Revision(0)).is_ok());
}
