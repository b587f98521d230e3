//! Archiving a store that is changed at random, with failures, crashes and gaps: a store restored to any moment is what the model was then.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod store;

use backup::{
    Archive, Directory, Error, Over, Place, Range, Shipped, Shipper, Until, keep_newest, ranges, recover, take, verify_parcels,
    way,
};
use kernel::{Deletion, TagSelection, Write};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use store::faulty::Faulty;
use store::{Rows, Store, go, settings};
use types::{Kind, Samples, TagDefinition, TagId, TimeRange, Timestamp};
use world::{Random, SeededRandom, Simulation};

const REPOSITORY: &str = "/repository";

/// What a store holds: its samples, its tags, and the users beside them.
type Content = (Rows, Vec<(u64, String)>);

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

    /// A new one, with some tags.
    fn made(simulation: &Arc<Simulation>) -> Node {
        let mut node = Node::open(simulation, "/store", Vec::new());
        let made = (0..5).map(|n| TagDefinition::new(format!("first.{n}"), Kind::I64)).collect();
        node.store.done(node.store.catalog.create(made)).unwrap();
        node.note();
        node
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
        // What comes next is of a later moment by the clock, too.
        self.simulation.clock.advance(Duration::from_millis(1));
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

/// Stores that go on from each other, and what is seen of them.
struct Round<'a> {
    seed: u64,
    dice: SeededRandom,
    simulation: Arc<Simulation>,
    nodes: Vec<Node>,
    dirs: u64,
    seen: &'a mut Seen,
}

impl Round<'_> {
    fn dir(&mut self) -> String {
        self.dirs += 1;
        format!("/restored-{}", self.dirs)
    }

    fn step(&mut self) {
        let (dice, place) = (&self.dice, repository(&self.simulation));
        let chosen = dice.between(0, self.nodes.len() as u64 - 1) as usize;
        let node = &mut self.nodes[chosen];
        match dice.between(0, 19) {
            0..=8 => (0..dice.between(1, 4)).for_each(|_| node.change(dice)),
            9..=12 => drop(node.ship(&place).unwrap()),
            13 | 14 => node.back_up(),
            15 => {
                let puts = AtomicI64::new(dice.between(0, 4) as i64);
                let (answers_lost, tears) = (dice.one_in(2), dice.one_in(2));
                let faulty = Faulty { inner: place, puts, answers_lost, tears };
                // Fails, or is through before.
                self.seen.adopted += u64::from(node.ship(&faulty).is_err() && faulty.answers_lost);
            }
            16 => self.end_all(),
            17 if dice.one_in(4) => {
                node.shipper.let_go().unwrap();
                node.is_reached = false;
            }
            18 if self.nodes.len() < 4 => self.fork(chosen),
            19 if dice.one_in(3) => {
                // Of the lines that lose their backups nothing more is asked.
                keep_newest(&place, dice.between(1, 3) as usize).unwrap();
                self.nodes.iter_mut().for_each(|node| node.is_reached = false);
            }
            _ => {}
        }
    }

    /// All that runs is killed, or loses its power, and is opened again.
    fn end_all(&mut self) {
        type Left = (String, Vec<(u64, Content)>, bool, bool);
        let left = |node: Node| (node.dir.clone(), node.history.clone(), node.is_reached, node.is_known);
        let old: Vec<Left> = self.nodes.drain(..).map(left).collect();
        if self.dice.one_in(2) {
            self.simulation.crash()
        } else {
            self.simulation.kill()
        }
        for (dir, history, was_reached, was_known) in old {
            let mut node = Node::open(&self.simulation, &dir, history);
            node.is_reached &= was_reached;
            node.is_known = was_known;
            self.nodes.push(node);
        }
    }

    /// Another store goes on from an earlier moment of one, beside it.
    fn fork(&mut self, of: usize) {
        let dir = self.dir();
        let node = &self.nodes[of];
        let moment = self.dice.between(node.history[0].0, node.now() - 1);
        let line = node.shipper.line().to_owned();
        let Ok(_) = restored(&self.simulation, &line, Until::Moment(moment), &dir) else { return };
        let history = node.history.iter().filter(|(time, _)| *time <= moment).cloned().collect();
        let fork = Node::open(&self.simulation, &dir, history);
        assert!(fork.shipper.line() != line, "a line of its own");
        assert_eq!(content(&fork.store), node.at(moment), "seed {}: a fork at {moment}", self.seed);
        self.seen.forks += 1;
        self.nodes.push(fork);
    }

    /// Restores a node to some moment: exactly where that is told, else it is refused.
    fn check_moment(&mut self, told: &[Range], of: usize) {
        let dir = self.dir();
        let (node, seed) = (&self.nodes[of], self.seed);
        let line = node.shipper.line();
        let moment = self.dice.between(node.history[0].0.saturating_sub(1_000), node.now() + 1_000);
        let within = told.iter().any(|range| range.line == line && (range.from_us..=range.to_us).contains(&moment));
        match restored(&self.simulation, line, Until::Moment(moment), &dir) {
            Ok(_) => {
                assert!(within, "seed {seed}: {moment} is not told: {told:?}");
                assert!(content(&opened(&self.simulation, &dir).0) == node.at(moment), "seed {seed}, {line}: at {moment}");
                self.seen.exact += 1;
            }
            Err(fault @ Error::Unreachable { .. }) => {
                assert!(!within, "seed {seed}: {fault}; {told:?}");
                self.seen.refused += 1;
            }
            Err(fault) => panic!("seed {seed}: {fault}"),
        }
    }

    /// The latest moment has at least what was archived.
    fn check_latest(&mut self, of: usize) {
        let dir = self.dir();
        let (node, seed) = (&self.nodes[of], self.seed);
        if !node.is_reached || !node.is_known {
            return;
        }
        let reached = restored(&self.simulation, node.shipper.line(), Until::Latest, &dir).unwrap();
        let archived = node.archived;
        assert!(reached >= archived, "seed {seed}: {reached}, and {archived} is archived");
        let found = content(&opened(&self.simulation, &dir).0);
        let first = node.history.iter().rposition(|(time, _)| *time <= archived).unwrap_or(0);
        let exact = node.history.iter().enumerate().rfind(|(_, (_, content))| *content == found).map(|(number, _)| number);
        assert!(
            exact.is_some_and(|number| number >= first),
            "seed {seed}: {archived} is archived, {reached} reached, and it is as at {exact:?}, not {first} of {:?}",
            node.history.iter().map(|(time, _)| *time).collect::<Vec<_>>()
        );
    }
}

fn round(seed: u64, seen: &mut Seen) {
    let (dice, simulation) = (SeededRandom::new(seed ^ 0xA2C), Arc::new(Simulation::new(seed)));
    simulation.clock.advance(Duration::from_secs(1_000));
    let nodes = vec![Node::made(&simulation)];
    let mut round = Round { seed, dice, simulation, nodes, dirs: 0, seen };
    for _ in 0..round.dice.between(15, 60) {
        round.step();
    }
    let place = repository(&round.simulation);
    let (parcels, wrong) = verify_parcels(&place, &go).unwrap();
    assert!(wrong.is_empty(), "seed {seed}: of {parcels} parcels {wrong:?}");
    let told = ranges(&place).unwrap();
    for of in 0..round.nodes.len() {
        (0..6).for_each(|_| round.check_moment(&told, of));
        round.check_latest(of);
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
    let mut node = Node::made(&simulation);
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
