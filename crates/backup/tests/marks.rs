//! Marks of slices that are led from outside: written, merged, flushed and archived at random, some of it as files. Each moment along
//! them restores to what the slices were, also one between two marks; what was lost or changed since is told.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod led;
mod store;

use backup::{
    Base, Before, Error, FleetWay, HeldSlice, MarkSource, Place, Roles, TablePoint, Target, Until, before, fleet_way, is_new,
    keep_newest, list, put_steps, ranges, take_mark, verify_parcels,
};
use catalog::WholeTable;
use kernel::{Deletion, TagSelection};
use led::{FLEET, Node, Repository};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use store::{Rows, go, settings};
use types::{Kind, TagDefinition, TagId, TimeRange, Timestamp};
use world::{Random, SeededRandom};

/// What the store was at a moment: rows, and names of tags.
type State = (Rows, Vec<String>);

/// A node that is archived.
struct Archived<'a> {
    repository: &'a Repository,
    node: Node,
    dice: SeededRandom,
    last: Option<Before>,
    table: Option<WholeTable>,
    changes: u64,
    /// The state from each moment on.
    states: BTreeMap<u64, State>,
    /// Moments that only marks lead to.
    blind: Vec<(u64, u64)>,
    /// What was copied in this run of the process.
    files: BTreeMap<String, backup::FileEntry>,
    marks: u64,
}

impl<'a> Archived<'a> {
    fn new(repository: &'a Repository, seed: u64) -> Archived<'a> {
        let node = Node::new(&repository.simulation, "/first", 4);
        let (last, table, states, blind, files) = (None, None, BTreeMap::new(), Vec::new(), BTreeMap::new());
        let dice = SeededRandom::new(seed);
        let mut archived = Archived { repository, node, dice, last, table, changes: 0, states, blind, files, marks: 0 };
        archived.make_tags(9);
        archived
    }

    fn now(&self) -> u64 {
        self.repository.simulation.world().clock.wall_us() as u64
    }

    fn pass(&self) {
        self.repository.simulation.clock.advance(std::time::Duration::from_micros(self.dice.between(50, 5_000)));
    }

    fn make_tags(&mut self, count: u64) {
        let made = (0..count).map(|_| TagDefinition::new(format!("tag.{}", self.dice.next_u64()), Kind::I64));
        self.node.store.done(self.node.store.catalog.create(made.collect())).unwrap();
        self.changes += 1;
    }

    fn names(&self) -> Vec<String> {
        names(&self.node.store.catalog)
    }

    /// Something happens, and is over.
    fn change(&mut self) {
        self.pass();
        let tags = self.node.store.catalog.ordinals();
        match self.dice.between(0, 11) {
            0 => self.make_tags(self.dice.between(1, 5)),
            1 => {
                let from = self.dice.between(0, 900) as i64;
                let range = TimeRange { first: Timestamp(from), last: Timestamp(from + 150) };
                let tags = TagSelection::of(vec![TagId(self.dice.between(0, tags - 1))]);
                self.node.write(&[], Some(Deletion::Range { tags, range }), 1, None);
            }
            2 => {
                self.node.stable();
                self.node.store.done(self.node.store.kernel.flush()).unwrap();
            }
            3 => self.node.store.done(self.node.store.kernel.merge()).unwrap(),
            4 => self.node.stable(),
            _ => {
                let rows: Vec<_> = (0..self.dice.between(1, 40))
                    .map(|_| (self.dice.between(0, tags - 1), self.dice.between(0, 999) as i64, self.dice.next_u64() as i64))
                    .collect();
                self.node.write(&rows, None, 1, None);
            }
        }
        let state = (self.node.store.rows(), self.names());
        self.states.insert(self.now(), state);
    }

    fn back_up(&mut self) {
        self.pass();
        let moment = self.now();
        self.node.back_up(&self.repository.place, moment as i64).unwrap();
        self.states.insert(moment, (self.node.store.rows(), self.names()));
    }

    /// A mark, if there is something new; of some slices by files.
    fn mark(&mut self, by_files: bool) {
        self.pass();
        let place = &self.repository.place;
        let known = self.last.as_ref().map(|last| last.key.clone());
        let from = before(place, FLEET, known.as_deref()).unwrap().unwrap();
        let held: Vec<HeldSlice> = self.node.hold().into_iter().map(|held| self.held(held, &from, by_files)).collect();
        let table = self.node.store.catalog.whole().unwrap();
        let numbers = match &self.table {
            Some(earlier) => table.changed_since(earlier),
            None => (0..table.parts()).collect(),
        };
        if !held.iter().any(is_new) && numbers.is_empty() {
            return;
        }
        if held.iter().any(|held| matches!(held.base, Base::Files(_))) {
            self.blind.push((from.moment_us, self.now()));
        }
        let name = from.next(FLEET, self.now(), self.dice.next_u64());
        let store = self.node.store.kernel.store();
        let earlier = |path: &str| self.files.get(path).cloned();
        let part = put_steps(place, (&name, self.node.number), &earlier, (store, held), &go).unwrap();
        self.files.extend(part.files.into_iter().map(|file| (file.path.clone(), file)));
        let source = MarkSource {
            name,
            before: from,
            rule: settings().rule,
            period_us: settings().period_us,
            point: TablePoint { sequence: self.changes, hash: "0".to_owned() },
            tags: numbers.into_iter().map(|number| table.part(number)).collect(),
            beside: Vec::new(),
            nodes: vec![self.node.number],
            release: "test".to_owned(),
        };
        self.last = Some(take_mark(place, source, &go).unwrap());
        self.table = Some(table);
        self.marks += 1;
        self.states.insert(self.now(), (self.node.store.rows(), self.names()));
    }

    fn held(&self, held: HeldSlice, from: &Before, by_files: bool) -> HeldSlice {
        let after = from.ends[&held.slice.0];
        let records = self.node.slices[held.slice.0 as usize].read_log(after, usize::MAX, u64::MAX);
        match records {
            Some(records) if !by_files || self.dice.between(0, 2) > 0 => HeldSlice { base: Base::After(after), records, ..held },
            _ => held,
        }
    }

    /// The state at a moment.
    fn at(&self, moment: u64) -> &State {
        self.states.range(..=moment).next_back().unwrap().1
    }

    fn lay(&self, way: &FleetWay, dir: &str, what: &str) {
        self.repository.lay_at(way, dir, Target::Alone).unwrap();
        let (store, rows) = self.repository.laid(dir);
        let (expected, tags) = self.at(way.reached());
        assert_eq!(&rows, expected, "{what}");
        assert_eq!(&names(&store.catalog), tags, "{what}");
    }

    /// A moment restores to what was, or is one that only marks lead to.
    fn check(&self, moment: u64, what: &str) {
        let way = fleet_way(&self.repository.place, Until::Moment(moment));
        if self.blind.iter().any(|(from, to)| *from < moment && moment < *to) {
            let told = way.err().unwrap_or_else(|| panic!("{what}: it is led to"));
            assert!(matches!(&told, Error::Unreachable { why, .. } if why.contains("only these two moments")), "{what}: {told}");
            return;
        }
        let way = way.unwrap();
        assert_eq!(way.reached(), moment, "{what}");
        self.lay(&way, &format!("/at-{moment}"), what);
        let mut joined = Rows::new();
        for nth in 0..2 {
            let dir = format!("/part-{moment}-{nth}");
            self.repository.lay_at(&way, &dir, Target::Fleet(Roles { tags: false, data: Some((nth, 2)) })).unwrap();
            joined.extend(self.repository.node_rows(&dir, &self.node.store.catalog));
        }
        assert_eq!(&joined, &self.at(moment).0, "{what}");
    }
}

fn names(catalog: &Arc<catalog::Catalog>) -> Vec<String> {
    let ids: Vec<TagId> = (0..catalog.ordinals()).map(TagId).collect();
    let mut names = Vec::new();
    catalog.names(&ids, |name| names.extend(name.map(str::to_owned)));
    names
}

fn seeded(seed: u64) {
    let repository = Repository::new(seed);
    let mut archived = Archived::new(&repository, seed);
    archived.back_up();
    let begins = archived.now();
    for round in 0..8 {
        for _ in 0..archived.dice.between(1, 12) {
            archived.change();
        }
        archived.mark(seed.is_multiple_of(3) && round % 3 == 1);
        if round == 4 {
            archived.back_up();
        }
        if round == 5 && seed.is_multiple_of(2) {
            // Another process goes on: it knows of no mark, and nothing of the tag table.
            (archived.last, archived.table) = (None, None);
            archived.files.clear();
        }
    }
    let ends = archived.last.as_ref().unwrap().moment_us;
    let range = ranges(&repository.place).unwrap();
    assert_eq!(range.iter().map(|range| (range.from_us, range.to_us)).collect::<Vec<_>>(), [(begins, ends)], "seed {seed}");
    assert_eq!(verify_parcels(&repository.place, &go).unwrap().0 as u64, archived.marks);
    let moments: Vec<u64> = (0..6).map(|_| archived.dice.between(begins, ends)).chain([begins, ends]).collect();
    for moment in moments {
        archived.check(moment, &format!("seed {seed}, {moment}"));
    }
    let latest = fleet_way(&repository.place, Until::Latest).unwrap();
    assert_eq!((latest.reached(), latest.beyond()), (ends, None));
    archived.lay(&latest, "/latest", "latest");
    for (moment, why) in [(begins - 1, "no backup was taken by then"), (ends + 1, "nothing was archived that late")] {
        let told = fleet_way(&repository.place, Until::Moment(moment)).err().unwrap().to_string();
        assert!(told.contains(why) && told.contains("it can be restored from"), "{told}");
    }
    repository.threads.stop();
}

#[test]
fn every_moment_restores_to_what_was() {
    for seed in 0..40 {
        seeded(seed);
    }
}

#[test]
fn what_a_mark_may_name_stays_while_old_backups_go() {
    let repository = Repository::new(5);
    let mut archived = Archived::new(&repository, 5);
    for _ in 0..4 {
        archived.back_up();
        for round in 0..3 {
            (0..6).for_each(|_| archived.change());
            archived.mark(round > 0);
        }
    }
    let marks = |place: &dyn Place| place.list("archive/").unwrap().iter().filter(|key| key.ends_with("/head")).count();
    let place = &repository.place;
    let (before, moments) = (marks(place), list(place).unwrap().iter().map(|head| head.moment_us as u64).collect::<Vec<_>>());
    let pruned = keep_newest(place, 1).unwrap();
    assert_eq!(pruned.backups.len(), 3);
    assert!(marks(place) < before && pruned.parcels > 0, "{pruned:?}");
    // From the backup that stays on, all is whole: files that marks name, too.
    assert_eq!(verify_parcels(place, &go).unwrap().1.len(), 0);
    let latest = fleet_way(place, Until::Latest).unwrap();
    assert_eq!(latest.head().moment_us as u64, moments[0]);
    archived.lay(&latest, "/latest", "pruned");
    // And once more without a backup between: what only the ones that went had goes.
    keep_newest(place, 1).unwrap();
    assert_eq!(verify_parcels(place, &go).unwrap().1.len(), 0);
    archived.mark(true);
    let latest = fleet_way(place, Until::Latest).unwrap();
    archived.lay(&latest, "/later", "pruned twice");
    repository.threads.stop();
}

#[test]
fn what_was_lost_or_changed_is_told() {
    let repository = Repository::new(8);
    let mut archived = Archived::new(&repository, 8);
    archived.back_up();
    for _ in 0..3 {
        (0..8).for_each(|_| archived.change());
        archived.mark(false);
    }
    let (place, disk) = (&repository.place, repository.simulation.world().disk);
    let ends = archived.last.as_ref().unwrap().moment_us;
    let keys: Vec<String> = place.list("archive/").unwrap();
    let object = keys.iter().find(|key| key.contains("/records/")).unwrap();
    let file = disk.open(&Path::new("/repository").join(object), world::Access::Write).unwrap();
    let mut byte = [0];
    file.read_at(3, &mut byte).unwrap();
    file.write_at(3, &[&[byte[0] ^ 1]]).unwrap();
    let way = fleet_way(place, Until::Latest).unwrap();
    let told = repository.lay_at(&way, "/damaged", Target::Alone).unwrap_err();
    assert!(matches!(&told, Error::Damaged { key, .. } if key == object), "{told}");
    assert_eq!(verify_parcels(place, &go).unwrap().1.len(), 1);
    file.write_at(3, &[&byte]).unwrap();
    // The head of a mark between is gone: what is behind it can't be reached, and that is said.
    let heads: Vec<&String> = keys.iter().filter(|key| key.ends_with("/head")).collect();
    place.remove(heads[1]).unwrap();
    let told = fleet_way(place, Until::Moment(ends)).err().unwrap().to_string();
    assert!(told.contains("nothing is archived of a time before"), "{told}");
    let latest = fleet_way(place, Until::Latest).unwrap();
    assert!(latest.beyond().is_some() && latest.marks() == 1, "{:?}", latest.beyond());
    archived.lay(&latest, "/latest", "up to the gap");
    repository.threads.stop();
}
