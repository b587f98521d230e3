//! Backups of slices that are led from outside, written, merged and copied at random by one node and then by another: each restores
//! to what the slices were at its moment, as a store that goes on alone, and as the nodes of a new fleet.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

mod led;
mod store;

use backup::{Error, Head, Roles, Target, begin_fleet, is_cut_short, keep_newest, list, restored, verify};
use kernel::Write;
use led::{FLEET, Node, Repository, change};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use store::{Rows, go, settings};
use types::{Kind, Samples, TagDefinition, TagId, Timestamp};
use world::SeededRandom;

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
