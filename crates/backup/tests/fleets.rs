//! Backups of slices that are led from outside, written, merged and copied at random by one node and then by another: each restores
//! to what the slices were at its moment, as a store that goes on alone, and as the nodes of a new fleet.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod store;

use backup::{
    Directory, Error, FleetSource, Head, HeldSlice, Place, Roles, Target, begin_fleet, is_cut_short, keep_newest, lay_fleet,
    list, put_slices, restored, take_fleet, verify,
};
use catalog::Catalog;
use kernel::{Deletion, LedSlice, TagSelection, Write};
use protocol::{Record, ReplicaId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Rows, Store, go, settings};
use types::{
    Epoch, Kind, NodeId, Origin, ProducerId, Samples, Sequence, SliceId, StoreId, TagDefinition, TagId, TimeRange, Timestamp,
    Version,
};
use world::{Random, SeededRandom, Simulation, ThreadCounts, Threads, World};

const SLICES: u32 = 3;
const FLEET: u128 = 77 << 64;
const BACKUP: ReplicaId = ReplicaId { node: NodeId(u64::MAX), store: StoreId(9) };

/// A node that leads all slices.
struct Node {
    store: Store,
    dir: PathBuf,
    slices: Vec<LedSlice>,
    number: u64,
}

impl Node {
    fn new(simulation: &Arc<Simulation>, dir: &str, number: u64) -> Node {
        let store = Store::open(simulation, dir, settings());
        let slices = (0..SLICES).map(|slice| store.kernel.lead(SliceId(slice)).unwrap()).collect();
        Node { store, dir: PathBuf::from(dir), slices, number }
    }

    /// With the tags of another.
    fn over(simulation: &Arc<Simulation>, dir: &str, number: u64, other: &Node) -> Node {
        let store = Store::over(simulation, dir, settings(), &other.store.catalog);
        let slices = (0..SLICES).map(|slice| store.kernel.lead(SliceId(slice)).unwrap()).collect();
        Node { store, dir: PathBuf::from(dir), slices, number }
    }

    /// Logs a record in each slice that something lies in, publishes it, and lets some of it be stable.
    fn write(&self, rows: &[(u64, i64, i64)], deletion: Option<Deletion>, epoch: u64, origin: Option<Origin>) {
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

    fn stable(&self) {
        for led in &self.slices {
            led.stable(led.published()).unwrap();
        }
    }

    /// Takes all that another node has, as its copy would.
    fn follow(&self, other: &Node) {
        for (led, theirs) in self.slices.iter().zip(&other.slices) {
            let have = led.recovered().history.last();
            let records = theirs.read_log(have, usize::MAX, u64::MAX).unwrap();
            let Some(last) = records.last().map(|record| record.version) else { continue };
            self.store.done(led.log(records)).unwrap();
            led.publish(last).unwrap();
        }
    }

    /// Its slices as they are now.
    fn hold(&self) -> Vec<HeldSlice> {
        let hold = |led: &LedSlice| {
            self.store.done(led.pin(BACKUP)).unwrap();
            let files = led.pinned_slice(BACKUP).unwrap().unwrap();
            let version = led.published();
            let records = led.read_log(files.manifest.flushed, usize::MAX, u64::MAX).unwrap();
            led.unpin(BACKUP);
            HeldSlice { files, records, version }
        };
        self.slices.iter().map(hold).collect()
    }

    fn back_up(&self, place: &dyn Place, moment_us: i64) -> Result<Head, Error> {
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
fn running(simulation: &Simulation, threads: &Arc<Threads>) -> World {
    World { runner: World::real(threads).runner, ..simulation.world() }
}

struct Repository {
    simulation: Arc<Simulation>,
    place: Directory,
    threads: Arc<Threads>,
}

impl Repository {
    fn new(seed: u64) -> Repository {
        let simulation = Arc::new(Simulation::new(seed));
        let place = Directory::new(simulation.world().disk, Path::new("/repository"));
        Repository { simulation, place, threads: Threads::start(ThreadCounts::default()) }
    }

    fn lay(&self, head: &Head, dir: &str, target: Target) -> Result<(), Error> {
        let world = running(&self.simulation, &self.threads);
        lay_fleet(&self.place, head, (&world, Path::new(dir)), (target, settings(), &|_, _| Ok(())), &go)?;
        // The last job lets go of the directory a moment after it has answered.
        let lock = Path::new(dir).join("lock");
        while world.disk.lock(&lock).is_err() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// A store that was laid, and what it holds.
    fn laid(&self, dir: &str) -> (Store, Rows) {
        let store = Store::open(&self.simulation, dir, settings());
        let rows = store.rows();
        (store, rows)
    }

    /// The rows of a data node's directory, which has no tag table.
    fn node_rows(&self, dir: &str, catalog: &Arc<Catalog>) -> Rows {
        let store = Store::over(&self.simulation, dir, settings(), catalog);
        assert!(store.kernel.led_slices().iter().all(|led| led.recovered().history.last() == led.published()));
        store.rows()
    }
}

fn change(node: &Node, dice: &SeededRandom, epoch: u64) {
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

fn seeded(seed: u64) {
    let repository = Repository::new(seed);
    let dice = SeededRandom::new(seed);
    let node = Node::new(&repository.simulation, "/first", 4);
    let made = (0..9).map(|n| TagDefinition::new(format!("tag.{n}"), Kind::I64)).collect();
    node.store.done(node.store.catalog.create(made)).unwrap();
    let mut expected: BTreeMap<String, (Rows, u64, u64)> = BTreeMap::new();
    for round in 0..6 {
        for _ in 0..dice.between(1, 25) {
            change(&node, &dice, 1 + round / 2);
        }
        let head = node.back_up(&repository.place, 1_000_000_000 * (round as i64 + 1)).unwrap();
        assert_eq!(verify(&repository.place, &head, &go).unwrap().len(), 0);
        expected.insert(head.id.clone(), (node.store.rows(), node.store.catalog.ordinals(), node.store.catalog.len()));
    }
    let pruned = keep_newest(&repository.place, 4).unwrap();
    assert_eq!(pruned.backups.len(), 2);
    for (number, head) in list(&repository.place).unwrap().iter().enumerate() {
        let (rows, ordinals, tags) = &expected[&head.id];
        let dir = format!("/alone-{number}");
        repository.lay(head, &dir, Target::Alone).unwrap();
        let (store, found) = repository.laid(&dir);
        assert_eq!(&found, rows, "seed {seed}, {}", head.id);
        assert_eq!((store.catalog.ordinals(), store.catalog.len()), (*ordinals, *tags));
        // It goes on by itself, and comes back.
        let samples = [Samples::new(&[TagId(0)], &[Timestamp(5)], &[55], None).unwrap()];
        let write = Write { samples: &samples, ..Write::default() };
        store.done(store.kernel.write(write)).unwrap();
        drop(store);
        repository.simulation.crash();
        let mut rows = rows.clone();
        rows.insert((0, 5), 55);
        assert_eq!(repository.laid(&dir).1, rows, "seed {seed}, {}", head.id);
        let (catalog, mut joined) = (Arc::clone(&node.store.catalog), Rows::new());
        for nth in 0..2 {
            let dir = format!("/node-{number}-{nth}");
            repository.lay(head, &dir, Target::Fleet(Roles { tags: false, data: Some((nth, 2)) })).unwrap();
            joined.extend(repository.node_rows(&dir, &catalog));
            let mark = restored(&*repository.simulation.world().disk, Path::new(&dir)).unwrap().unwrap();
            assert_eq!((&mark.backup, mark.rule), (&head.id, settings().rule.into()));
        }
        assert_eq!(joined, expected[&head.id].0, "seed {seed}, {}", head.id);
    }
    repository.threads.stop();
}

#[test]
fn what_was_led_restores_to_what_it_was() {
    for seed in 0..60 {
        seeded(seed);
    }
}

#[test]
fn files_are_shared_with_the_backups_of_the_same_store_only() {
    let repository = Repository::new(1);
    let first = Node::new(&repository.simulation, "/first", 1);
    let made = (0..9).map(|n| TagDefinition::new(format!("tag.{n}"), Kind::I64)).collect();
    first.store.done(first.store.catalog.create(made)).unwrap();
    let rows: Vec<(u64, i64, i64)> = (0..900).map(|n| (n as u64 % 9, n / 9, n)).collect();
    first.write(&rows, None, 1, None);
    let second = Node::over(&repository.simulation, "/second", 2, &first);
    second.follow(&first);
    for node in [&first, &second] {
        node.stable();
        node.store.done(node.store.kernel.flush()).unwrap();
    }
    let whole = first.back_up(&repository.place, 1_000_000).unwrap();
    assert_eq!(whole.new_bytes, whole.bytes);
    let again = first.back_up(&repository.place, 2_000_000).unwrap();
    let series = |head: &Head| head.files.iter().filter(|file| file.path.ends_with(".series")).cloned().collect::<Vec<_>>();
    assert!(!series(&whole).is_empty() && series(&whole) == series(&again));
    assert!(again.new_bytes < again.bytes, "{again:?}");
    // Another store's files have numbers of their own.
    let other = second.back_up(&repository.place, 3_000_000).unwrap();
    assert!(series(&other).iter().all(|file| series(&whole).iter().all(|known| known.key != file.key)), "{other:?}");
    let tags = |head: &Head| head.files.iter().filter(|file| file.path.starts_with("tags/")).cloned().collect::<Vec<_>>();
    assert_eq!(tags(&whole), tags(&other));
    repository.lay(&other, "/alone", Target::Alone).unwrap();
    assert_eq!(repository.laid("/alone").1, first.store.rows());
    let full = repository.lay(&other, "/alone", Target::Alone).unwrap_err();
    assert!(matches!(full, Error::NotEmpty(_)), "{full}");
    repository.threads.stop();
}

#[test]
fn what_was_changed_or_lost_is_named_and_leaves_no_store() {
    let repository = Repository::new(2);
    let node = Node::new(&repository.simulation, "/first", 1);
    let made = (0..9).map(|n| TagDefinition::new(format!("tag.{n}"), Kind::I64)).collect();
    node.store.done(node.store.catalog.create(made)).unwrap();
    node.write(&[(1, 5, 50), (2, 6, 60)], None, 1, None);
    node.stable();
    node.store.done(node.store.kernel.flush()).unwrap();
    node.write(&[(1, 7, 70), (3, 8, 80)], None, 1, None);
    let head = node.back_up(&repository.place, 1_000_000).unwrap();
    let disk = repository.simulation.world().disk;
    for (number, file) in head.files.iter().filter(|file| file.bytes > 0).enumerate() {
        let object = disk.open(&Path::new("/repository").join(&file.key), world::Access::Write).unwrap();
        let mut byte = [0];
        object.read_at(file.bytes / 2, &mut byte).unwrap();
        object.write_at(file.bytes / 2, &[&[byte[0] ^ 1]]).unwrap();
        let dir = format!("/damaged-{number}");
        let told = repository.lay(&head, &dir, Target::Alone).unwrap_err();
        assert!(matches!(&told, Error::Damaged { key, .. } if *key == file.key), "{}: {told}", file.key);
        assert!(is_cut_short(&*disk, Path::new(&dir)).unwrap());
        assert_eq!(verify(&repository.place, &head, &go).unwrap().len(), 1);
        object.write_at(file.bytes / 2, &[&byte]).unwrap();
    }
    repository.lay(&head, "/whole", Target::Alone).unwrap();
    assert!(!is_cut_short(&*disk, Path::new("/whole")).unwrap());
    assert_eq!(repository.laid("/whole").1, node.store.rows());
    let other = begin_fleet(&repository.place, FLEET + 1, 1, 1).unwrap_err();
    assert!(matches!(other, Error::Foreign { .. }), "{other}");
    repository.threads.stop();
}
