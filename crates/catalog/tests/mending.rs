//! Damage of a catalog at rest: it is named, and a repair keeps everything that is whole.

use catalog::{Catalog, Error, Samples, Settings, check, inspect, repair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{Kind, TagDefinition, TagId};
use world::{Access, Disk, Simulation, Ticket};

const SETTINGS: Settings = Settings { segment_bytes: 128 << 10, checkpoint_bytes: 64 << 10 };
const DIR: &str = "/catalog";
const UNKNOWN: Samples<'_> = Samples { end: 0, kind_of: &|_| None };

fn open(simulation: &Simulation) -> Result<Arc<Catalog>, Error> {
    Catalog::open(simulation.world(), Path::new(DIR), SETTINGS)
}

fn wait<T: Send + 'static>(simulation: &Simulation, ticket: Ticket<T>) -> T {
    simulation.runner.run_until_idle();
    ticket.wait().expect("it is answered")
}

fn tags(prefix: &str, count: u64) -> Vec<TagDefinition> {
    // Descriptions make the log long enough for a checkpoint.
    let tag = |i| TagDefinition {
        description: format!("tag {i} of them all"),
        ..TagDefinition::new(format!("{prefix}{i}"), Kind::F64)
    };
    (0..count).map(tag).collect()
}

fn disk(simulation: &Simulation) -> Arc<dyn Disk> {
    simulation.world().disk
}

fn files(simulation: &Simulation, ending: &str) -> Vec<PathBuf> {
    let of_ending = |(path, _): (PathBuf, u64)| path.to_string_lossy().ends_with(ending).then_some(path);
    simulation.disk.files().into_iter().filter_map(of_ending).collect()
}

fn read(simulation: &Simulation, path: &Path) -> Vec<u8> {
    let file = disk(simulation).open(path, Access::Read).expect("it is there");
    let mut bytes = vec![0; file.len().expect("it has a length") as usize];
    file.read_at(0, &mut bytes).expect("it is read");
    bytes
}

/// A store of 10,000 tags in a checkpoint, and five in the log behind it.
fn made() -> Simulation {
    let simulation = Simulation::new(1);
    let catalog = open(&simulation).expect("it opens");
    assert_eq!(wait(&simulation, catalog.create(tags("t", 10_000))), Ok(0..10_000));
    assert_eq!(wait(&simulation, catalog.create(tags("late", 5))), Ok(10_000..10_005));
    drop(catalog);
    simulation.kill();
    simulation
}

#[test]
fn a_damaged_block_is_named_and_costs_its_tags_their_definitions_alone() {
    let simulation = made();
    let file = files(&simulation, ".tags").pop().expect("a checkpoint was made");
    let (shown, damages) = inspect(&*disk(&simulation), &file, 10).expect("it is read").expect("it is a catalog's");
    assert_eq!((damages.len(), shown.tables[0].rows.len()), (0, 3));
    assert_eq!(shown.tables[0].rows[1][2..], ["4096", "0", "t4096", "t8191"]);
    let whole = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert_eq!((whole.tags, whole.tags_lost, whole.leftovers), (10_000, 0, 0));
    assert!(whole.damages.is_empty() && whole.files.len() == 2, "{whole:?}");
    let offset: u64 = shown.tables[0].rows[1][0].parse().expect("an offset");
    assert!(simulation.disk.damage(&file, offset + 100, 4));
    let damaged = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert_eq!((damaged.tags, damaged.tags_lost, damaged.damages.len()), (10_000, 4096, 1));
    for part in [file.to_str().unwrap_or_default(), &format!("at byte {offset}"), "ordinals 4096 to 8191"] {
        assert!(damaged.damages[0].contains(part), "{part}: {}", damaged.damages[0]);
    }
    let (_, damages) = inspect(&*disk(&simulation), &file, 10).expect("it is read").expect("it is a catalog's");
    assert_eq!(damages.len(), 1);
    assert!(matches!(open(&simulation), Err(Error::Damaged(_))));
    let kind_of = |tag: TagId| Some(if tag.0 == 5000 { Kind::Text } else { Kind::I32 });
    let mended = repair(simulation.world(), Path::new(DIR), SETTINGS, &Samples { end: 0, kind_of: &kind_of });
    let mended = mended.expect("it is mended");
    assert_eq!((mended.tags, mended.lost, mended.renamed), (10_005, 4096, 0));
    assert!(check(&disk(&simulation), Path::new(DIR)).expect("it is read").damages.is_empty());
    let catalog = open(&simulation).expect("it opens again");
    assert_eq!(
        (catalog.find("t4095"), catalog.find("t5000"), catalog.find("t8192")),
        (Some(TagId(4095)), None, Some(TagId(8192)))
    );
    assert_eq!((catalog.find("late4"), catalog.find("lost.5000")), (Some(TagId(10_004)), Some(TagId(5000))));
    let lost = catalog.get(TagId(5000)).expect("it keeps its ordinal").definition;
    assert_eq!((lost.kind, lost.description.contains("was lost")), (Kind::Text, true));
    assert_eq!(wait(&simulation, catalog.create(tags("new", 1))), Ok(10_005..10_006));
    // A tag that was lost can be given its name again.
    let again = TagDefinition::new("t5000", Kind::Text);
    assert_eq!(wait(&simulation, catalog.change(vec![(TagId(5000), again)])), Ok(()));
}

#[test]
fn a_missing_file_is_named_and_its_tags_keep_their_ordinals() {
    let simulation = made();
    let file = files(&simulation, ".tags").pop().expect("a checkpoint was made");
    disk(&simulation).remove(&file).expect("it is removed");
    let damaged = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert_eq!((damaged.tags_lost, damaged.damages.len()), (10_000, 3));
    let mended = repair(simulation.world(), Path::new(DIR), SETTINGS, &UNKNOWN).expect("it is mended");
    assert_eq!((mended.tags, mended.lost), (10_005, 10_000));
    let catalog = open(&simulation).expect("it opens again");
    assert_eq!((catalog.len(), catalog.find("late0")), (10_005, Some(TagId(10_000))));
}

#[test]
fn without_a_whole_manifest_nothing_is_guessed() {
    let simulation = made();
    let manifest = simulation.disk.files().into_iter().find(|(path, _)| path.to_string_lossy().contains("manifest-"));
    let (manifest, _) = manifest.expect("a checkpoint was made");
    assert!(simulation.disk.damage(&manifest, 60, 1));
    let damaged = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert!(damaged.damages.len() == 1 && damaged.damages[0].contains("manifest-"), "{damaged:?}");
    let mended = repair(simulation.world(), Path::new(DIR), SETTINGS, &UNKNOWN);
    let Err(Error::Damaged(_)) = mended else { panic!("{damaged:?} {mended:?}") };
}

#[test]
fn a_lost_log_is_named_and_costs_what_came_after_the_checkpoint() {
    let simulation = made();
    for log in files(&simulation, ".log") {
        disk(&simulation).remove(&log).expect("it is removed");
    }
    let damaged = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert!(damaged.damages.len() == 1 && damaged.damages[0].contains("the log is missing"), "{damaged:?}");
    assert!(matches!(open(&simulation), Err(Error::Damaged(_))));
    let samples = Samples { end: 10_003, kind_of: &|_| Some(Kind::Bool) };
    let mended = repair(simulation.world(), Path::new(DIR), SETTINGS, &samples).expect("it is mended");
    assert_eq!((mended.tags, mended.lost, mended.renamed), (10_003, 3, 0));
    assert!(check(&disk(&simulation), Path::new(DIR)).expect("it is read").damages.is_empty());
    let catalog = open(&simulation).expect("it opens again");
    assert_eq!((catalog.find("t9999"), catalog.find("lost.10002")), (Some(TagId(9999)), Some(TagId(10_002))));
    assert_eq!(wait(&simulation, catalog.create(tags("new", 1))), Ok(10_003..10_004));
}

#[test]
fn another_log_is_named_and_neither_it_nor_the_table_is_touched() {
    let (simulation, other) = (made(), Simulation::new(9));
    wait(&other, open(&other).expect("it opens").create(tags("other", 3))).expect("they are made");
    other.kill();
    for log in files(&simulation, ".log") {
        disk(&simulation).remove(&log).expect("it is removed");
    }
    for log in files(&other, ".log") {
        let file = disk(&simulation).create(&log).expect("a working disk");
        file.write_at(0, &[&read(&other, &log)]).expect("a working disk");
    }
    let before: Vec<(PathBuf, u64)> = simulation.disk.files();
    let damaged = check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert!(damaged.damages.len() == 1 && damaged.damages[0].contains("is another one"), "{damaged:?}");
    let Err(Error::Damaged(why)) = repair(simulation.world(), Path::new(DIR), SETTINGS, &UNKNOWN) else { panic!("mended") };
    assert!(why.contains("put the catalog's own log files back"), "{why}");
    assert_eq!(simulation.disk.files(), before);
}

#[test]
fn a_lost_write_of_the_log_costs_its_own_tags_alone() {
    let simulation = Simulation::new(3);
    let catalog = open(&simulation).expect("it opens");
    let named = |name: &str| TagDefinition::new(name, Kind::I64);
    for names in [["a", "b", "c"], ["broken0", "broken1", "broken2"], ["d", "e", "f"]] {
        wait(&simulation, catalog.create(names.map(named).to_vec())).expect("they are made");
    }
    wait(&simulation, catalog.change(vec![(TagId(3), named("found again")), (TagId(0), named("broken1.old"))])).expect("changed");
    wait(&simulation, catalog.change(vec![(TagId(4), named("a"))])).expect("its name is free");
    wait(&simulation, catalog.delete(vec![TagId(8)])).expect("deleted");
    drop(catalog);
    simulation.kill();
    let log = files(&simulation, ".log").remove(0);
    let place = read(&simulation, &log).windows(6).position(|bytes| bytes == b"broken").expect("it is in the log");
    assert!(simulation.disk.damage(&log, place as u64, 2));
    log::repair(&*disk(&simulation), &Path::new(DIR).join("log"), None).expect("the log is mended");
    let Err(Error::Damaged(why)) = open(&simulation) else { panic!("a write is missing") };
    assert!(why.contains("does not follow") || why.contains("writes are missing"), "{why}");
    let samples = Samples { end: 12, kind_of: &|_| Some(Kind::I64) };
    let mended = repair(simulation.world(), Path::new(DIR), SETTINGS, &samples).expect("it is mended");
    // 3 and 4 were changed afterwards, which says all of them; 9 to 11 have samples, and no write tells of them.
    assert_eq!((mended.tags, mended.lost, mended.renamed), (12, 4, 0));
    let catalog = open(&simulation).expect("it opens again");
    let names: Vec<Option<String>> = (0..13).map(|tag| catalog.get(TagId(tag)).map(|tag| tag.definition.name)).collect();
    let expect = ["broken1.old", "b", "c", "found again", "a", "lost.5", "d", "e", "", "lost.9", "lost.10", "lost.11", ""];
    assert_eq!(names, expect.map(|name| (!name.is_empty()).then(|| name.to_owned())));
}

#[test]
fn a_check_tells_how_many_tags_the_checkpoint_and_the_log_made() {
    let simulation = made();
    let look = || check(&disk(&simulation), Path::new(DIR)).expect("it is read");
    assert_eq!((look().tags, look().ordinals), (10_000, Some(10_005)));
    let catalog = open(&simulation).expect("it opens");
    let named = |names: [&str; 2]| names.map(|name| TagDefinition::new(name, Kind::F64)).to_vec();
    wait(&simulation, catalog.create(named(["x", "y"]))).expect("they are made");
    wait(&simulation, catalog.delete(vec![TagId(10_006)])).expect("deleted");
    wait(&simulation, catalog.create(named(["torn0", "torn1"]))).expect("they are made");
    drop(catalog);
    simulation.kill();
    assert_eq!(look().ordinals, Some(10_009), "a deleted tag keeps its ordinal");
    // Of a node that was killed a damaged last record looks like a torn end.
    let log = files(&simulation, ".log").pop().expect("the log's newest file");
    let place = read(&simulation, &log).windows(5).position(|part| part == b"torn0").expect("it is in the log");
    assert!(simulation.disk.damage(&log, place as u64, 2));
    let found = look();
    assert!(found.damages.is_empty() && found.ordinals == Some(10_007), "{found:?}");
    assert_eq!(open(&simulation).expect("it opens").ordinals(), 10_007);
}

#[test]
fn a_log_without_a_header_is_mended_by_the_id_that_the_manifest_keeps() {
    // One that never made a checkpoint of its tags, and one that did.
    let young = Simulation::new(2);
    wait(&young, open(&young).expect("it opens").create(tags("t", 5))).expect("they are made");
    young.kill();
    for (simulation, ordinals) in [(young, 5), (made(), 10_005)] {
        let (disk, dir) = (disk(&simulation), Path::new(DIR));
        let id = check(&disk, dir).expect("it is read").log.expect("the manifest keeps it");
        for log in files(&simulation, ".log") {
            let file = disk.open(&log, Access::Write).expect("it is there");
            file.write_at(0, &[&[0xA5; 64]]).and_then(|()| file.sync()).expect("a working disk");
        }
        assert!(matches!(open(&simulation), Err(Error::Damaged(_))));
        let found = check(&disk, dir).expect("it is read");
        assert!(found.damages.is_empty() && found.ordinals.is_none(), "the log's check names it: {found:?}");
        log::repair(&*disk, &dir.join("log"), Some(id)).expect("the log is mended");
        assert_eq!(check(&disk, dir).expect("it is read").ordinals, Some(ordinals));
        assert_eq!(open(&simulation).expect("it opens again").ordinals(), ordinals);
    }
}
