//! Archiving a store that is changed at random, with failures, crashes and gaps: a store restored to any moment is what the model was then.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod store;

use backup::{
    Archive, Directory, Error, Over, Place, Shipped, Shipper, Until, keep_newest, ranges, recover, take, verify_parcels, way,
};
use kernel::{Deletion, Settings, TagSelection, Write};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use store::{Rows, Store, go};
use types::{DistributionRule, Kind, Samples, TagDefinition, TagId, TimeRange, Timestamp};
use world::{Random, SeededRandom, Simulation};

const REPOSITORY: &str = "/repository";

/// What a store holds: its samples, its tags, and the users beside them.
type Content = (Rows, Vec<(u64, String)>);

fn settings() -> Settings {
    Settings {
        rule: DistributionRule { b1: 1, buckets: 3, ..DistributionRule::default() },
        period_us: 100,
        memory_bytes: 16 << 20,
        buffer_bytes_max: 1 << 20,
        cache_bytes_max: 1 << 20,
        segment_bytes: 16 << 10,
        log_bytes_max: 128 << 10,
        ..Settings::default()
    }
}

/// A repository that fails: after so many puts each put does; an answer may be lost, and what failed can't be removed then.
struct Faulty {
    inner: Directory,
    puts: AtomicI64,
    answers_lost: bool,
}

impl Place for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn put(&self, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
        let fault = || Err(Error::Place { place: self.name(), what: "it is gone".to_owned() });
        if self.puts.fetch_sub(1, Ordering::Relaxed) > 0 {
            return self.inner.put(key, bytes, from);
        }
        if self.answers_lost {
            self.inner.put(key, bytes, from)?;
        }
        fault()
    }

    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, Error> {
        self.inner.get(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.list(prefix)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        if self.answers_lost {
            return Err(Error::Place { place: self.name(), what: "it is gone".to_owned() });
        }
        self.inner.remove(key)
    }
}

/// A store whose log is archived, and what it was after each change.
struct Node {
    simulation: Arc<Simulation>,
    dir: String,
    store: Store,
    shipper: Shipper,
    history: Vec<(u64, Content)>,
    /// All up to here is archived; and a backup was taken since archiving began without a gap.
    archived: u64,
    is_reached: bool,
    /// Anything of its line lies in the repository.
    is_known: bool,
}

fn repository(simulation: &Simulation) -> Directory {
    Directory::new(simulation.world().disk, Path::new(REPOSITORY))
}

fn opened(simulation: &Arc<Simulation>, dir: &str) -> (Store, Shipper) {
    let (store, log, tags) = Store::open_held(simulation, dir, settings());
    let world = simulation.world();
    if let Some(moment) = backup::moment(&*world.disk, Path::new(dir)).unwrap() {
        store.kernel.later_than(types::CommitNumber(moment));
        store.catalog.later_than(moment);
    }
    let home = (Arc::clone(&world.disk), Path::new(dir).to_path_buf());
    let archive = Archive { home, store: store.kernel.store(), release: "test".to_owned(), random: world.random, log, tags };
    (store, Shipper::new(archive).unwrap())
}

impl Node {
    fn open(simulation: &Arc<Simulation>, dir: &str, history: Vec<(u64, Content)>) -> Node {
        let (store, shipper) = opened(simulation, dir);
        let archived = shipper.moment().unwrap_or(0);
        let is_reached = shipper.moment().is_some();
        let (simulation, dir, is_known) = (Arc::clone(simulation), dir.to_owned(), false);
        Node { simulation, dir, store, shipper, history, archived, is_reached, is_known }
    }

    fn now(&self) -> u64 {
        self.simulation.world().clock.wall_us() as u64
    }

    /// A change is over: what the store is then.
    fn note(&mut self) {
        let content = content(&self.store);
        self.history.push((self.now(), content));
        self.simulation.clock.advance(Duration::from_millis(1));
    }

    fn change(&mut self, dice: &SeededRandom) {
        let (store, tags) = (&self.store, self.store.catalog.ordinals());
        let live = store.catalog.page(TagId(0), usize::MAX);
        match dice.between(0, 11) {
            0 => {
                let made = (0..dice.between(1, 20)).map(|_| TagDefinition::new(format!("tag.{}", dice.next_u64()), Kind::I64));
                store.done(store.catalog.create(made.collect())).unwrap();
            }
            1 => {
                let tag = &live[dice.between(0, live.len() as u64 - 1) as usize];
                let named = TagDefinition { name: format!("renamed.{}", dice.next_u64()), ..tag.definition.clone() };
                store.done(store.catalog.change(vec![(tag.id, named)])).unwrap();
            }
            2 if live.len() > 3 => {
                let tag = &live[dice.between(0, live.len() as u64 - 1) as usize];
                store.done(store.catalog.delete(vec![tag.id])).unwrap();
            }
            3 => {
                let from = dice.between(0, 900) as i64;
                let range = TimeRange { first: Timestamp(from), last: Timestamp(from + 150) };
                let tags = TagSelection::of(vec![TagId(dice.between(0, tags - 1))]);
                store.done(store.kernel.delete(Deletion::Range { tags, range })).unwrap();
            }
            4 | 5 => store.done(store.kernel.flush()).unwrap(),
            6 => store.done(store.kernel.merge()).unwrap(),
            _ => {
                for _ in 0..dice.between(1, 3) {
                    let rows: Vec<(u64, i64, i64)> = (0..dice.between(1, 60))
                        .map(|_| (dice.between(0, tags - 1), dice.between(0, 999) as i64, dice.next_u64() as i64))
                        .collect();
                    let tags: Vec<TagId> = rows.iter().map(|row| TagId(row.0)).collect();
                    let times: Vec<Timestamp> = rows.iter().map(|row| Timestamp(row.1)).collect();
                    let bits: Vec<u64> = rows.iter().map(|row| row.2 as u64).collect();
                    let samples = [Samples::new(&tags, &times, &bits, None).unwrap()];
                    store.done(store.kernel.write(Write { samples: &samples, ..Write::default() })).unwrap();
                }
            }
        }
        self.note();
    }

    fn over(&self) -> Over {
        let closed = self.store.done(self.store.kernel.close_moment()).unwrap();
        let tags_to = self.store.done(self.store.catalog.close_moment(closed.moment.0)).unwrap();
        let beside = vec![("users-00000001".to_owned(), b"somebody".to_vec())];
        Over { moment: closed.moment.0, log_to: closed.log_to, tags_to, beside }
    }

    fn ship(&mut self, place: &dyn Place) -> Result<Shipped, Error> {
        let over = self.over();
        let shipped = self.shipper.ship(place, &over, &go)?;
        match shipped {
            Shipped::Begun => (self.archived, self.is_reached) = (over.moment, false),
            Shipped::Parcel(_) => (self.archived, self.is_known) = (over.moment, true),
            Shipped::Nothing => {}
        }
        Ok(shipped)
    }

    fn back_up(&mut self) {
        let source = self.store.source(self.now() as i64);
        let taken = take(&repository(&self.simulation), source, &go).unwrap();
        taken.noted.unwrap();
        self.is_reached |= self.shipper.moment().is_some();
        self.is_known = true;
        self.simulation.clock.advance(Duration::from_millis(1));
    }

    /// What it was at a moment.
    fn at(&self, moment: u64) -> Content {
        let entry = self.history.iter().rev().find(|(time, _)| *time <= moment);
        entry.map(|(_, content)| content.clone()).unwrap_or_default()
    }
}

fn content(store: &Store) -> Content {
    let tags = store.catalog.page(TagId(0), usize::MAX).into_iter().map(|tag| (tag.id.0, tag.definition.name)).collect();
    (store.rows(), tags)
}

/// Restores to a moment, or says why not.
fn restored(simulation: &Arc<Simulation>, line: &str, until: Until, dir: &str) -> Result<u64, Error> {
    let place = repository(simulation);
    let way = way(&place, until, Some(line))?;
    recover(&place, &way, &simulation.world().disk, Path::new(dir), &go)?;
    Ok(way.reached())
}

#[derive(Default)]
struct Seen {
    exact: u64,
    refused: u64,
    forks: u64,
    adopted: u64,
}

fn round(seed: u64, seen: &mut Seen) {
    let dice = SeededRandom::new(seed ^ 0xA2C);
    let simulation = Arc::new(Simulation::new(seed));
    simulation.clock.advance(Duration::from_secs(1_000));
    let mut nodes = vec![Node::open(&simulation, "/store", Vec::new())];
    let made = (0..5).map(|n| TagDefinition::new(format!("first.{n}"), Kind::I64)).collect();
    nodes[0].store.done(nodes[0].store.catalog.create(made)).unwrap();
    nodes[0].note();
    let mut dirs = 0;
    for _ in 0..dice.between(15, 60) {
        let chosen = dice.between(0, nodes.len() as u64 - 1) as usize;
        let (count, node) = (nodes.len(), &mut nodes[chosen]);
        match dice.between(0, 19) {
            0..=8 => (0..dice.between(1, 4)).for_each(|_| node.change(&dice)),
            9..=12 => drop(node.ship(&repository(&simulation)).unwrap()),
            13 | 14 => node.back_up(),
            15 => {
                let inner = repository(&simulation);
                let puts = AtomicI64::new(dice.between(0, 4) as i64);
                let faulty = Faulty { inner, puts, answers_lost: dice.one_in(2) };
                // Fails, or is through before.
                seen.adopted += u64::from(node.ship(&faulty).is_err() && faulty.answers_lost);
            }
            16 => {
                // All that runs is killed, or loses its power.
                type Left = (String, Vec<(u64, Content)>, bool, bool);
                let left = |node: Node| (node.dir.clone(), node.history.clone(), node.is_reached, node.is_known);
                let old: Vec<Left> = nodes.drain(..).map(left).collect();
                if dice.one_in(2) {
                    simulation.crash()
                } else {
                    simulation.kill()
                }
                for (dir, history, was_reached, was_known) in old {
                    let mut node = Node::open(&simulation, &dir, history);
                    node.is_reached &= was_reached;
                    node.is_known = was_known;
                    nodes.push(node);
                }
            }
            17 if dice.one_in(4) => {
                node.shipper.let_go().unwrap();
                node.is_reached = false;
            }
            18 if count < 4 => {
                // Another store goes on from an earlier moment of this one, beside it.
                let Some((first, _)) = node.history.first() else { continue };
                let moment = dice.between(*first, node.now());
                let (line, dir) = (node.shipper.line().to_owned(), format!("/fork-{dirs}"));
                dirs += 1;
                let Ok(_) = restored(&simulation, &line, Until::Moment(moment), &dir) else { continue };
                let history = node.history.iter().filter(|(time, _)| *time <= moment).cloned().collect();
                let fork = Node::open(&simulation, &dir, history);
                assert!(fork.shipper.line() != line, "a line of its own");
                assert_eq!(content(&fork.store), node.at(moment), "seed {seed}: a fork at {moment}");
                seen.forks += 1;
                nodes.push(fork);
            }
            19 if dice.one_in(3) => {
                // Of the lines that lose their backups nothing more is asked.
                keep_newest(&repository(&simulation), dice.between(1, 3) as usize).unwrap();
                nodes.iter_mut().for_each(|node| node.is_reached = false);
            }
            _ => {}
        }
    }
    let (parcels, wrong) = verify_parcels(&repository(&simulation), &go).unwrap();
    assert!(wrong.is_empty(), "seed {seed}: of {parcels} parcels {wrong:?}");
    let told = ranges(&repository(&simulation)).unwrap();
    for node in &nodes {
        let line = node.shipper.line();
        let last = node.now() + 1_000;
        for number in 0..6 {
            let moment = dice.between(node.history[0].0.saturating_sub(1_000), last);
            let within = told.iter().any(|range| range.line == line && (range.from_us..=range.to_us).contains(&moment));
            let dir = format!("/restored-{dirs}");
            dirs += 1;
            match restored(&simulation, line, Until::Moment(moment), &dir) {
                Ok(_) => {
                    assert!(within, "seed {seed}: {moment} is not told: {told:?}");
                    let found = content(&opened(&simulation, &dir).0);
                    assert!(found == node.at(moment), "seed {seed}, {line}, number {number}: at {moment}");
                    seen.exact += 1;
                }
                Err(fault @ Error::Unreachable { .. }) => {
                    assert!(!within, "seed {seed}: {fault}; {told:?}");
                    seen.refused += 1;
                }
                Err(fault) => panic!("seed {seed}: {fault}"),
            }
        }
        if node.is_reached && node.is_known {
            let dir = format!("/latest-{dirs}");
            dirs += 1;
            let reached = restored(&simulation, line, Until::Latest, &dir).unwrap();
            assert!(reached >= node.archived, "seed {seed}: {reached}, and {} is archived", node.archived);
            let found = content(&opened(&simulation, &dir).0);
            let first = node.history.iter().rposition(|(time, _)| *time <= node.archived).unwrap_or(0);
            let exact: Vec<u64> = node.history.iter().filter(|(_, content)| *content == found).map(|(time, _)| *time).collect();
            let since = node.history[first].0;
            let archived = node.archived;
            assert!(
                exact.iter().any(|time| *time >= since),
                "seed {seed}: {archived} archived, {reached} reached, as at {exact:?}"
            );
        }
    }
}

#[test]
fn any_moment_is_restored_exactly() {
    let mut seen = Seen::default();
    (0..150).for_each(|seed| round(seed, &mut seen));
    let Seen { exact, refused, forks, adopted } = seen;
    assert!(exact > 200 && refused > 100 && forks > 30 && adopted > 20, "{exact} {refused} {forks} {adopted}");
}

/// A node with a backup, and a few changes that are archived, each at a moment of its own.
fn archived(seed: u64) -> (Arc<Simulation>, Node, SeededRandom) {
    let (simulation, dice) = (Arc::new(Simulation::new(seed)), SeededRandom::new(seed));
    simulation.clock.advance(Duration::from_secs(1_000));
    let mut node = Node::open(&simulation, "/store", Vec::new());
    let made = (0..5).map(|n| TagDefinition::new(format!("first.{n}"), Kind::I64)).collect();
    node.store.done(node.store.catalog.create(made)).unwrap();
    node.note();
    assert_eq!(node.ship(&repository(&simulation)).unwrap(), Shipped::Begun);
    node.back_up();
    for _ in 0..5 {
        (0..3).for_each(|_| node.change(&dice));
        node.ship(&repository(&simulation)).unwrap();
    }
    (simulation, node, dice)
}

#[test]
fn what_cant_be_reached_is_said_with_what_can() {
    let (simulation, node, _) = archived(1);
    let (place, line) = (repository(&simulation), node.shipper.line().to_owned());
    let range = &ranges(&place).unwrap()[0];
    assert!(range.line == line && range.to_us == node.archived);
    for (moment, why) in [(range.from_us - 1, "no backup was taken by then"), (range.to_us + 1, "nothing was archived that late")]
    {
        let fault = restored(&simulation, &line, Until::Moment(moment), "/none").unwrap_err().to_string();
        let told = format!("it can be restored from {} to {}", backup::words(range.from_us), backup::words(range.to_us));
        assert!(fault.contains(why) && fault.contains(&told), "{fault}");
    }
    let none = restored(&simulation, "nowhere", Until::Latest, "/none").unwrap_err().to_string();
    assert!(none.contains("it has no line nowhere"), "{none}");
    // Every object that is lost or changed is named; nothing is laid over it.
    let keys: Vec<String> = place.list("archive/").unwrap();
    let mut named = 0;
    for (number, key) in keys.iter().enumerate() {
        let mut bytes = Vec::new();
        place.get(key).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        place.put(key, bytes.len() as u64, &mut &bytes[..]).unwrap();
        let refused = restored(&simulation, &line, Until::Latest, &format!("/damaged-{number}"));
        let (_, wrong) = verify_parcels(&place, &go).unwrap();
        assert!(matches!(&wrong[..], [Error::Damaged { key: named, .. }] if named == key), "{key}: {wrong:?}");
        if let Err(fault) = refused {
            assert!(fault.to_string().contains(key.as_str()), "{key}: {fault}");
            named += 1;
        }
        bytes[middle] ^= 4;
        place.put(key, bytes.len() as u64, &mut &bytes[..]).unwrap();
    }
    // Only what no way to the latest moment takes is not missed.
    assert!(named >= keys.len() - 2, "{named} of {}", keys.len());
    // A parcel that is missing is a gap.
    let gone = keys.iter().filter(|key| key.ends_with("/head")).nth(2).unwrap();
    place.remove(gone).unwrap();
    let fault = restored(&simulation, &line, Until::Moment(node.archived), "/gap").unwrap_err().to_string();
    assert!(fault.contains("nothing is archived of the time between"), "{fault}");
}

#[test]
fn a_copy_that_goes_on_leaves_the_line() {
    let (simulation, node, dice) = archived(2);
    let place = repository(&simulation);
    // The directory as it is now is kept, and put back after the store went on: as a disk that is set back.
    node.store.done(node.store.kernel.close()).unwrap();
    node.store.done(node.store.catalog.close()).unwrap();
    let (line, history, files) = (node.shipper.line().to_owned(), node.history.clone(), simulation.disk.files());
    drop(node);
    let disk = simulation.world().disk;
    let copied = files.into_iter().filter_map(|(path, len)| {
        let to = Path::new("/copy").join(path.strip_prefix("/store").ok()?);
        let mut bytes = vec![0; len as usize];
        disk.open(&path, world::Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
        disk.make_dir(to.parent().unwrap()).unwrap();
        disk.create(&to).unwrap().write_at(0, &[&bytes]).unwrap();
        Some(to)
    });
    assert!(copied.count() > 5);
    let mut node = Node::open(&simulation, "/store", history.clone());
    let mut copy = Node::open(&simulation, "/copy", history);
    assert_eq!(copy.shipper.line(), line);
    for node in [&mut node, &mut copy] {
        (0..8).for_each(|_| node.change(&dice));
        assert!(matches!(node.ship(&place).unwrap(), Shipped::Parcel(_)));
        (0..8).for_each(|_| node.change(&dice));
        assert!(matches!(node.ship(&place).unwrap(), Shipped::Parcel(_)));
    }
    assert_eq!(node.shipper.line(), line);
    assert!(copy.shipper.line() != line, "what the other one archived is not gone on from");
    for (number, node) in [&node, &copy].into_iter().enumerate() {
        for (time, content_then) in node.history.iter().filter(|(time, _)| *time > node.history[6].0 && *time <= node.archived) {
            let dir = format!("/then-{number}-{time}");
            restored(&simulation, node.shipper.line(), Until::Moment(*time + 500), &dir).unwrap();
            assert!(content(&opened(&simulation, &dir).0) == *content_then, "{number} at {time}");
        }
    }
}

#[test]
fn every_sample_has_its_tag_whatever_the_clock_says() {
    let (simulation, mut node, dice) = archived(3);
    // Tags are made by a clock that is ahead, and samples of them come when it was set right.
    simulation.clock.jump_wall(3_600_000_000);
    let made = (0..3).map(|n| TagDefinition::new(format!("ahead.{n}"), Kind::I64)).collect();
    let range = node.store.done(node.store.catalog.create(made)).unwrap();
    simulation.clock.jump_wall(-3_600_000_000);
    let (tags, times, bits) = ([TagId(range.start)], [Timestamp(7)], [1]);
    let samples = [Samples::new(&tags, &times, &bits, None).unwrap()];
    let written = node.store.done(node.store.kernel.write(Write { samples: &samples, ..Write::default() })).unwrap();
    (0..4).for_each(|_| node.change(&dice));
    node.ship(&repository(&simulation)).unwrap();
    restored(&simulation, node.shipper.line(), Until::Moment(written.commit.0), "/then").unwrap();
    let (rows, tags) = content(&opened(&simulation, "/then").0);
    assert!(rows.contains_key(&(range.start, 7)) && tags.iter().any(|(tag, _)| *tag == range.start));
    restored(&simulation, node.shipper.line(), Until::Moment(written.commit.0 - 1), "/before").unwrap();
    let (rows, tags) = content(&opened(&simulation, "/before").0);
    assert!(!rows.contains_key(&(range.start, 7)) && tags.iter().all(|(tag, _)| *tag < range.start));
}

#[test]
fn pruning_keeps_what_the_backups_that_stay_need() {
    let (simulation, mut node, dice) = archived(4);
    let place = repository(&simulation);
    let before = place.list("archive/").unwrap().len();
    node.back_up();
    for _ in 0..4 {
        (0..3).for_each(|_| node.change(&dice));
        node.ship(&place).unwrap();
    }
    let pruned = keep_newest(&place, 1).unwrap();
    assert!(pruned.parcels >= 3 && pruned.backups.len() == 1 && place.list("archive/").unwrap().len() > before / 5, "{pruned:?}");
    let told = ranges(&place).unwrap();
    assert!(told.len() == 1 && told[0].to_us == node.archived, "{told:?}");
    let from = told[0].from_us;
    for (time, content_then) in node.history.iter().filter(|(time, _)| *time >= from && *time <= node.archived) {
        let dir = format!("/then-{time}");
        restored(&simulation, node.shipper.line(), Until::Moment(*time + 500), &dir).unwrap();
        assert!(content(&opened(&simulation, &dir).0) == *content_then, "at {time}");
    }
    assert_eq!(keep_newest(&place, 1).unwrap().objects, 0);
}
