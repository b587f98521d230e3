//! Slices that are led from outside, and a repository of theirs: on a disk in memory.
#![allow(dead_code, reason = "each test uses its part")]

use crate::store::{Rows, Store, go, settings};
use backup::{
    Base, Directory, Error, FleetSource, FleetWay, Head, HeldSlice, Place, Target, begin_fleet, lay_fleet, put_slices, take_fleet,
};
use catalog::Catalog;
use kernel::{Deletion, LedSlice, TagSelection, Write};
use protocol::{Record, ReplicaId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{
    Epoch, Kind, NodeId, Origin, ProducerId, Samples, Sequence, SliceId, StoreId, TagDefinition, TagId, TimeRange, Timestamp,
    Version,
};
use world::{Random, SeededRandom, Simulation, ThreadCounts, Threads, World};

pub const SLICES: u32 = 3;
pub const FLEET: u128 = 77 << 64;
const BACKUP: ReplicaId = ReplicaId { node: NodeId(u64::MAX), store: StoreId(9) };

/// A node that leads all slices.
pub struct Node {
    pub store: Store,
    pub dir: PathBuf,
    pub slices: Vec<LedSlice>,
    pub number: u64,
}

impl Node {
    pub fn new(simulation: &Arc<Simulation>, dir: &str, number: u64) -> Node {
        let store = Store::open(simulation, dir, settings());
        let slices = (0..SLICES).map(|slice| store.kernel.lead(SliceId(slice)).unwrap()).collect();
        Node { store, dir: PathBuf::from(dir), slices, number }
    }

    /// With the tags of another.
    pub fn over(simulation: &Arc<Simulation>, dir: &str, number: u64, other: &Node) -> Node {
        let store = Store::over(simulation, dir, settings(), &other.store.catalog);
        let slices = (0..SLICES).map(|slice| store.kernel.lead(SliceId(slice)).unwrap()).collect();
        Node { store, dir: PathBuf::from(dir), slices, number }
    }

    /// Logs a record in each slice that something lies in, publishes it, and lets some of it be stable.
    pub fn write(&self, rows: &[(u64, i64, i64)], deletion: Option<Deletion>, epoch: u64, origin: Option<Origin>) {
        let tags: Vec<TagId> = rows.iter().map(|row| TagId(row.0)).collect();
        let times: Vec<Timestamp> = rows.iter().map(|row| Timestamp(row.1)).collect();
        let bits: Vec<u64> = rows.iter().map(|row| row.2 as u64).collect();
        let samples = [Samples::new(&tags, &times, &bits, None).unwrap()];
        let write = Write { samples: &samples, ..Write::default() };
        let deletions: Vec<Deletion> = deletion.into_iter().collect();
        for (slice, draft) in self.store.kernel.led_drafts(write, &deletions, &[]).unwrap() {
            let led = &self.slices[slice.0 as usize];
            let prev = led.recovered().history.last();
            let version = Version { epoch: Epoch(epoch), sequence: Sequence(prev.sequence.0 + 1) };
            let record = Record { version, prev, origin, digest: version.sequence.0, body: draft.whole() };
            self.store.done(led.log(vec![record])).unwrap();
            led.publish(version).unwrap();
        }
    }

    pub fn stable(&self) {
        for led in &self.slices {
            led.stable(led.published()).unwrap();
        }
    }

    /// Takes all that another node has, as its copy would.
    pub fn follow(&self, other: &Node) {
        for (led, theirs) in self.slices.iter().zip(&other.slices) {
            let have = led.recovered().history.last();
            let records = theirs.read_log(have, usize::MAX, u64::MAX).unwrap();
            let Some(last) = records.last().map(|record| record.version) else { continue };
            self.store.done(led.log(records)).unwrap();
            led.publish(last).unwrap();
        }
    }

    /// Its slices as they are now.
    pub fn hold(&self) -> Vec<HeldSlice> {
        let hold = |led: &LedSlice| {
            self.store.done(led.pin(BACKUP)).unwrap();
            let files = led.pinned_slice(BACKUP).unwrap().unwrap();
            let version = led.published();
            let records = led.read_log(files.manifest.flushed, usize::MAX, u64::MAX).unwrap();
            led.unpin(BACKUP);
            HeldSlice { slice: led.id(), base: Base::Files(files), records, version }
        };
        self.slices.iter().map(hold).collect()
    }

    pub fn back_up(&self, place: &dyn Place, moment_us: i64) -> Result<Head, Error> {
        let held = self.hold();
        let tags = self.store.catalog.whole().unwrap();
        let (id, earlier) = begin_fleet(place, FLEET, moment_us, moment_us as u64)?;
        let (disk, home) = (self.store.simulation.world().disk, self.dir.clone());
        let put = put_slices(place, (&id, self.number), &earlier, (&disk, home), (self.store.kernel.store(), held), &go);
        put?;
        let source = FleetSource {
            id,
            fleet: FLEET,
            rule: settings().rule,
            period_us: settings().period_us,
            tags,
            beside: vec![("users-00000001".to_owned(), b"somebody".to_vec())],
            nodes: vec![self.number],
            moment_us,
            release: "test".to_owned(),
        };
        take_fleet(place, source, &go)
    }
}

/// A world with a simulated disk whose jobs run by themselves: whoever lays waits for them.
pub fn running(simulation: &Simulation, threads: &Arc<Threads>) -> World {
    World { runner: World::real(threads).runner, ..simulation.world() }
}

pub struct Repository {
    pub simulation: Arc<Simulation>,
    pub place: Directory,
    pub threads: Arc<Threads>,
}

impl Repository {
    pub fn new(seed: u64) -> Repository {
        let simulation = Arc::new(Simulation::new(seed));
        let place = Directory::new(simulation.world().disk, Path::new("/repository"));
        Repository { simulation, place, threads: Threads::start(ThreadCounts::default()) }
    }

    pub fn lay(&self, head: &Head, dir: &str, target: Target) -> Result<(), Error> {
        self.lay_at(&FleetWay::to(head.clone()), dir, target)
    }

    pub fn lay_at(&self, way: &FleetWay, dir: &str, target: Target) -> Result<(), Error> {
        let world = running(&self.simulation, &self.threads);
        lay_fleet(&self.place, way, (&world, Path::new(dir)), (target, settings(), &|_, _| Ok(())), &go)?;
        // The last job lets go of the directory a moment after it has answered.
        let lock = Path::new(dir).join("lock");
        while world.disk.lock(&lock).is_err() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// A store that was laid, and what it holds.
    pub fn laid(&self, dir: &str) -> (Store, Rows) {
        let store = Store::open(&self.simulation, dir, settings());
        let rows = store.rows();
        (store, rows)
    }

    /// The rows of a data node's directory, which has no tag table.
    pub fn node_rows(&self, dir: &str, catalog: &Arc<Catalog>) -> Rows {
        let store = Store::over(&self.simulation, dir, settings(), catalog);
        assert!(store.kernel.led_slices().iter().all(|led| led.recovered().history.last() == led.published()));
        store.rows()
    }
}

pub fn change(node: &Node, dice: &SeededRandom, epoch: u64) {
    let tags = node.store.catalog.ordinals();
    match dice.between(0, 9) {
        0 => {
            let made = (0..dice.between(1, 30)).map(|_| TagDefinition::new(format!("tag.{}", dice.next_u64()), Kind::I64));
            node.store.done(node.store.catalog.create(made.collect())).unwrap();
        }
        1 => {
            let from = dice.between(0, 900) as i64;
            let range = TimeRange { first: Timestamp(from), last: Timestamp(from + 150) };
            let tags = TagSelection::of(vec![TagId(dice.between(0, tags - 1))]);
            node.write(&[], Some(Deletion::Range { tags, range }), epoch, None);
        }
        2 | 3 => {
            node.stable();
            node.store.done(node.store.kernel.flush()).unwrap();
        }
        4 => node.store.done(node.store.kernel.merge()).unwrap(),
        5 => node.stable(),
        _ => {
            let rows: Vec<_> = (0..dice.between(1, 60))
                .map(|_| (dice.between(0, tags - 1), dice.between(0, 999) as i64, dice.next_u64() as i64))
                .collect();
            let origin = Some(Origin { producer: ProducerId(5), number: dice.between(1, 1 << 40) });
            node.write(&rows, None, epoch, origin.filter(|_| dice.between(0, 1) == 0));
        }
    }
}
