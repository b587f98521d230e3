//! Backups of a store that is written, merged and pruned at random: each that stays restores to what the store was at its moment.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod store;

use backup::{Directory, Error, Head, Place, Progress, Taken, keep_newest, lay, list, take, verify};
use kernel::{Deletion, TagSelection, Write};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use store::{Rows, Store, go, settings};
use types::{Kind, Samples, TagDefinition, TagId, TimeRange, Timestamp};
use world::{Access, Random, SeededRandom, Simulation};

const REPOSITORY: &str = "/repository";

impl Store {
    fn new(seed: u64) -> Store {
        Store::open(&Arc::new(Simulation::new(seed)), "/store", settings())
    }

    fn tags(&self, count: usize, dice: &SeededRandom) {
        let made = (0..count).map(|_| TagDefinition::new(format!("tag.{}", dice.next_u64()), Kind::I64)).collect();
        self.done(self.catalog.create(made)).unwrap();
    }

    fn write(&self, rows: &[(u64, i64, i64)]) {
        let tags: Vec<TagId> = rows.iter().map(|row| TagId(row.0)).collect();
        let times: Vec<Timestamp> = rows.iter().map(|row| Timestamp(row.1)).collect();
        let bits: Vec<u64> = rows.iter().map(|row| row.2 as u64).collect();
        let samples = [Samples::new(&tags, &times, &bits, None).unwrap()];
        self.done(self.kernel.write(Write { samples: &samples, ..Write::default() })).unwrap();
    }

    fn back_up(&self, moment_us: i64) -> Result<Taken, Error> {
        take(&self.repository(), self.source(moment_us), &go)
    }

    fn repository(&self) -> Directory {
        Directory::new(self.simulation.world().disk, Path::new(REPOSITORY))
    }

    /// Lays a backup in a directory, and opens it.
    fn laid(&self, head: &Head, dir: &str) -> Store {
        lay(&self.repository(), head, &self.simulation.world().disk, Path::new(dir), &go).unwrap();
        Store::open(&self.simulation, dir, settings())
    }

    /// What it holds: the samples, and how many tags.
    fn content(&self) -> (Rows, usize) {
        (self.rows(), self.catalog.page(TagId(0), usize::MAX).len())
    }
}

fn change(store: &Store, dice: &SeededRandom) {
    let tags = store.catalog.ordinals();
    match dice.between(0, 9) {
        0 => store.tags(dice.between(1, 30) as usize, dice),
        1 => {
            let from = dice.between(0, 900) as i64;
            let range = TimeRange { first: Timestamp(from), last: Timestamp(from + 150) };
            let tags = TagSelection::of(vec![TagId(dice.between(0, tags - 1))]);
            store.done(store.kernel.delete(Deletion::Range { tags, range })).unwrap();
        }
        2 | 3 => store.done(store.kernel.flush()).unwrap(),
        4 => store.done(store.kernel.merge()).unwrap(),
        _ => {
            // Most writes are of the newest days: older groups stay as they are.
            let base = if dice.one_in(4) { 0 } else { 800 };
            let row = |_| (dice.between(0, tags - 1), base + dice.between(0, 199) as i64, dice.next_u64() as i64);
            store.write(&(0..dice.between(1, 80)).map(row).collect::<Vec<_>>());
        }
    }
}

/// Changes and backs up a store, and goes on now and then from an earlier backup of it, with the old one or without.
fn round(seed: u64) -> (u64, u64) {
    let dice = SeededRandom::new(seed ^ 0xBA);
    let mut stores = vec![Store::new(seed)];
    stores[0].tags(5, &dice);
    let repository = stores[0].repository();
    let mut moments: BTreeMap<String, (Rows, usize)> = BTreeMap::new();
    let (mut written, mut named) = (0, 0);
    for moment in 0..dice.between(1, 7) {
        let store = &stores[dice.between(0, stores.len() as u64 - 1) as usize];
        (0..dice.between(0, 25)).for_each(|_| change(store, &dice));
        let taken = store.back_up(moment as i64 * 1_000_000).unwrap();
        taken.noted.unwrap();
        (written, named) = (written + taken.head.new_bytes, named + taken.head.bytes);
        moments.insert(taken.head.id, store.content());
        if dice.one_in(4) {
            let pruned = keep_newest(&repository, dice.between(0, 3) as usize).unwrap();
            pruned.backups.iter().for_each(|id| drop(moments.remove(id)));
        }
        if dice.one_in(3) {
            let heads = list(&repository).unwrap();
            let head = &heads[dice.between(0, heads.len() as u64 - 1) as usize];
            let other = stores[0].laid(head, &format!("/other-{moment}"));
            stores.truncate(dice.between(0, 1) as usize);
            stores.push(other);
        }
    }
    let heads = list(&repository).unwrap();
    assert_eq!(heads.len(), moments.len());
    for (number, head) in heads.iter().enumerate() {
        assert!(verify(&repository, head, &go).unwrap().is_empty());
        let found = stores[0].laid(head, &format!("/restored-{number}")).content();
        assert!(found == moments[&head.id], "seed {seed}: backup {}", head.id);
    }
    (written, named)
}

#[test]
fn each_backup_restores_to_its_moment() {
    let (written, named) = (0..120).map(round).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(written < named, "{written} bytes were written for {named}");
}

#[test]
fn a_group_that_was_only_merged_is_not_copied_again() {
    let dice = SeededRandom::new(1);
    let store = Store::new(1);
    store.tags(6, &dice);
    let names = |head: &Head| -> Vec<String> {
        head.files.iter().map(|file| file.key.clone()).filter(|key| key.contains(".series")).collect()
    };
    let numbers = || -> Vec<String> { store.kernel.files().iter().map(|file| file.path.clone()).collect() };
    // Until there is something to be merged that the store does not merge by itself.
    for moment in 0..30 {
        let base = 40 * (moment % 7);
        store.write(&(0..90).map(|n| (n % 6, (base + n) as i64, dice.next_u64() as i64)).collect::<Vec<_>>());
        store.done(store.kernel.flush()).unwrap();
        let first = store.back_up(moment as i64 * 2_000_000).unwrap();
        let before = numbers();
        store.done(store.kernel.merge()).unwrap();
        if numbers() == before {
            continue;
        }
        let second = store.back_up(moment as i64 * 2_000_000 + 1_000_000).unwrap();
        assert_eq!(second.earlier.as_deref(), Some(first.head.id.as_str()));
        assert_eq!(names(&second.head), names(&first.head), "the same files, though they were merged meanwhile");
        assert_eq!(store.laid(&second.head, "/second").rows(), store.rows());
        return;
    }
    panic!("nothing was ever merged");
}

#[test]
fn what_was_changed_or_lost_is_named_and_not_laid() {
    let dice = SeededRandom::new(2);
    let store = Store::new(2);
    store.tags(4, &dice);
    store.write(&(0..500).map(|n| (n % 4, n as i64, n as i64)).collect::<Vec<_>>());
    store.done(store.kernel.flush()).unwrap();
    store.write(&[(1, 5_000, 1)]);
    let head = store.back_up(1).unwrap().head;
    let disk = store.simulation.world().disk;
    let keys: Vec<String> = head
        .files
        .iter()
        .map(|file| file.key.clone())
        .chain(head.logs.iter().flat_map(|log| &log.pieces).map(|piece| piece.key.clone()))
        .collect();
    assert!(keys.len() > 6, "{keys:?}");
    for (number, key) in keys.iter().enumerate() {
        let path = Path::new(REPOSITORY).join(key);
        let file = disk.open(&path, Access::Write).unwrap();
        let at = dice.between(0, file.len().unwrap() - 1);
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[&[byte[0] ^ 4]]).unwrap();
        let wrong = verify(&store.repository(), &head, &go).unwrap();
        assert!(matches!(&wrong[..], [Error::Damaged { key: named, .. }] if named == key), "{key}: {wrong:?}");
        let dir = format!("/laid-{number}");
        let refused = lay(&store.repository(), &head, &disk, Path::new(&dir), &go).unwrap_err();
        assert!(matches!(&refused, Error::Damaged { key: named, .. } if named == key), "{key}: {refused}");
        file.write_at(at, &[&byte]).unwrap();
    }
    // A head that was changed counts no more.
    let path = Path::new(REPOSITORY).join(format!("backups/{}/head", head.id));
    disk.open(&path, Access::Write).unwrap().write_at(20, &[b"x"]).unwrap();
    assert!(list(&store.repository()).unwrap().is_empty());
    assert!(matches!(backup::find(&store.repository(), &head.id), Err(Error::Damaged { .. })));
    assert!(matches!(backup::find(&store.repository(), "other"), Err(Error::Unknown { .. })));
}

#[test]
fn a_backup_that_fails_leaves_those_before_it() {
    let dice = SeededRandom::new(3);
    let store = Store::new(3);
    store.tags(4, &dice);
    store.write(&(0..500).map(|n| (n % 4, n as i64, n as i64)).collect::<Vec<_>>());
    store.done(store.kernel.flush()).unwrap();
    let before = store.rows();
    let first = store.back_up(1).unwrap().head;
    let objects = store.repository().list("").unwrap();
    for gives_up in 0..8 {
        store.write(&(0..300).map(|n| (n % 4, n as i64 + 1_000 * (gives_up + 1), n as i64)).collect::<Vec<_>>());
        store.done(store.kernel.flush()).unwrap();
        let told = std::sync::atomic::AtomicI64::new(0);
        let stop = |_: Progress| {
            let told = told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if told >= gives_up { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let failed = take(&store.repository(), store.source(2 + gives_up), &stop).unwrap_err();
        assert!(matches!(failed, Error::Cancelled), "{failed}");
        assert_eq!(list(&store.repository()).unwrap(), std::slice::from_ref(&first));
        assert_eq!(store.repository().list("").unwrap(), objects, "nothing of it stays");
    }
    assert_eq!(store.laid(&first, "/again").rows(), before);
    let last = store.back_up(100).unwrap().head;
    assert_eq!(store.laid(&last, "/last").rows(), store.rows());
    let other = Store::new(4);
    other.tags(1, &dice);
    let foreign = take(&store.repository(), other.source(200), &go).unwrap_err();
    assert!(matches!(foreign, Error::Foreign { .. }), "{foreign}");
    let into = lay(&store.repository(), &last, &store.simulation.world().disk, Path::new("/last"), &go).unwrap_err();
    assert!(matches!(into, Error::NotEmpty(_)), "{into}");
}

/// A place that keeps a head and says that it did not, and then removes one object and no more.
struct Lying {
    inner: Directory,
    removed: std::sync::atomic::AtomicBool,
}

impl Place for Lying {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn put(&self, key: &str, bytes: u64, from: &mut dyn std::io::Read) -> Result<(), Error> {
        self.inner.put(key, bytes, from)?;
        if key.ends_with("/head") {
            return Err(Error::Place { place: self.name(), what: "the answer was lost".to_owned() });
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Box<dyn std::io::Read + Send>>, Error> {
        self.inner.get(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.list(prefix)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        if self.removed.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Place { place: self.name(), what: "it is gone".to_owned() });
        }
        self.inner.remove(key)
    }
}

#[test]
fn a_head_whose_answer_was_lost_counts_no_more() {
    let dice = SeededRandom::new(5);
    let store = Store::new(5);
    store.tags(2, &dice);
    store.write(&(0..50).map(|n| (n % 2, n as i64, n as i64)).collect::<Vec<_>>());
    let place = Lying { inner: store.repository(), removed: false.into() };
    let failed = take(&place, store.source(1), &go).unwrap_err();
    assert!(failed.to_string().contains("the answer was lost"), "{failed}");
    assert!(!place.list("").unwrap().is_empty(), "nothing else could be removed");
    assert!(list(&place).unwrap().is_empty());
    let next = store.back_up(2).unwrap().head;
    assert_eq!(store.laid(&next, "/next").rows(), store.rows());
}
