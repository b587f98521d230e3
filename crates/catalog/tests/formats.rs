//! The catalog's format: directories written before are read, that of a process alone and that of a fleet's scheduler.
//!
//! `MERIDIAN_WRITE_GOLDEN=1` writes `tests/golden/format-2` and `led-1` anew; never do so once a release wrote that format.
//! `format-1` is of a release whose log told no times.

use bytes::Bytes;
use catalog::{Catalog, Error, Settings, change_body, creation_body, deletion_body};
use protocol::tags::{Batch, Change, Point};
use std::ops::Range;
use std::path::{Path, PathBuf};
use types::{Compression, Epoch, Kind, Limits, Origin, ProducerId, TagDefinition, TagId, Timestamp};
use world::{Access, Disk, RealDisk, Simulation, Ticket};

const SEGMENT_BYTES: u64 = 16 << 10;
const SETTINGS: Settings = Settings { segment_bytes: SEGMENT_BYTES, checkpoint_bytes: 2 << 10 };
const DIR: &str = "/catalog";

fn golden_dir(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
        .join("tests/golden")
        .join(name)
}

/// A tag that touches its part of the format. Never changed: the golden files hold them.
fn definition(i: u64) -> TagDefinition {
    let kind = Kind::ALL[(i % 7) as usize];
    let limit = |bit: u64| (i >> bit & 1 == 1).then_some(bit as f64 * 10.0);
    let label = |key: &str, value: String| (key.to_owned(), value);
    TagDefinition {
        description: if i.is_multiple_of(3) { "电压".repeat((i % 5) as usize) } else { "feeder".to_owned() },
        unit: ["kV", "MW", ""][(i % 3) as usize].to_owned(),
        states: if kind == Kind::State { vec!["off".to_owned(), format!("on {i}")] } else { Vec::new() },
        labels: if i.is_multiple_of(4) {
            Vec::new()
        } else {
            vec![label("area", format!("a{}", i / 8)), label("site", String::new())]
        },
        limits: Limits { low_low: limit(0), low: limit(1), high: limit(2), high_high: limit(3) },
        cadence_us: (i % 2) as i64 * 1_000_000,
        compression: match i % 3 {
            0 => Compression::Lossless,
            1 => Compression::Deadband { deviation: 0.5, span_us: 60_000_000 },
            _ => Compression::SwingingDoor { deviation: 0.0, span_us: 0 },
        },
        ..TagDefinition::new(format!("plant.unit{}.tag{i:03}", i / 10), kind)
    }
}

/// As `definition`, but not thinned: not all of those keep today's rules.
fn kept_whole(i: u64) -> TagDefinition {
    TagDefinition { compression: Compression::Lossless, ..definition(i) }
}

/// What a golden directory holds, made of such definitions: ordinals and names in the end.
fn expected(definition: fn(u64) -> TagDefinition) -> Vec<Option<TagDefinition>> {
    let mut tags: Vec<Option<TagDefinition>> = (0..60).map(|i| Some(definition(i))).collect();
    tags[7] = Some(TagDefinition { name: "renamed".to_owned(), ..definition(7) });
    tags[8] = None;
    tags[55] = None;
    tags[21] = Some(TagDefinition { description: "changed behind the checkpoint".to_owned(), ..definition(21) });
    tags
}

fn wait<T: Send + 'static>(simulation: &Simulation, ticket: Ticket<T>) -> T {
    simulation.runner.run_until_idle();
    ticket.wait().expect("it is answered")
}

/// Writes the golden directory: some of it in a checkpoint, some in the log behind.
fn write_golden() {
    let simulation = Simulation::new(1);
    // So that there is one checkpoint, and a log behind it.
    let settings = Settings { checkpoint_bytes: 1536, ..SETTINGS };
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), settings).expect("it opens");
    let expected = expected(kept_whole);
    let tags: Vec<TagDefinition> = (0..60).map(kept_whole).collect();
    wait(&simulation, catalog.create(tags[..40].to_vec())).expect("made");
    wait(&simulation, catalog.change(vec![(TagId(7), expected[7].clone().expect("it stays"))])).expect("changed");
    wait(&simulation, catalog.delete(vec![TagId(8)])).expect("deleted");
    simulation.clock.advance(std::time::Duration::from_secs(5));
    wait(&simulation, catalog.create(tags[40..].to_vec())).expect("made");
    wait(&simulation, catalog.delete(vec![TagId(55)])).expect("deleted");
    wait(&simulation, catalog.change(vec![(TagId(21), expected[21].clone().expect("it stays"))])).expect("changed");
    wait(&simulation, catalog.close()).expect("closed");
    keep(&simulation, "format-2");
}

fn keep(simulation: &Simulation, name: &str) {
    let (from, to) = (simulation.world().disk, RealDisk);
    to.make_dir(&golden_dir(name).join("log")).expect("a directory");
    for (path, len) in simulation.disk.files() {
        let mut bytes = vec![0; len as usize];
        from.open(&path, Access::Read).and_then(|file| file.read_at(0, &mut bytes)).expect("it is read");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let target = golden_dir(name).join(path.strip_prefix(DIR).expect("it lies in the directory"));
        to.create(&target).and_then(|file| file.write_at(0, &[&bytes[..used]])).expect("it is written");
    }
}

/// The golden directory on a disk of its own. Zeros at the end of a log's segment were left out.
fn restored(name: &str) -> Simulation {
    let simulation = Simulation::new(2);
    let (from, to) = (RealDisk, simulation.world().disk);
    for part in ["", "log"] {
        to.make_dir(&Path::new(DIR).join(part)).expect("a directory");
        for entry in from.list(&golden_dir(name).join(part)).expect("it is there").into_iter().filter(|entry| !entry.directory) {
            let file = from.open(&golden_dir(name).join(part).join(&entry.name), Access::Read).expect("it opens");
            let mut bytes = vec![0; file.len().expect("it has a length") as usize];
            file.read_at(0, &mut bytes).expect("it is read");
            bytes.resize(if part == "log" { SEGMENT_BYTES as usize } else { bytes.len() }, 0);
            to.create(&Path::new(DIR).join(part).join(&entry.name))
                .and_then(|file| file.write_at(0, &[&bytes]))
                .expect("written");
        }
    }
    simulation
}

#[test]
fn a_directory_of_format_1_is_read() {
    is_read("format-1", definition);
}

#[test]
fn a_directory_of_format_2_is_read() {
    if std::env::var_os("MERIDIAN_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    is_read("format-2", kept_whole);
}

/// Opens a directory that `write_golden` wrote, now or long ago.
fn is_read(name: &str, definition: fn(u64) -> TagDefinition) {
    let simulation = restored(name);
    let found = catalog::check(&simulation.world().disk, Path::new(DIR)).expect("it is read");
    assert!(found.damages.is_empty() && found.tags >= 40 && found.tags < 60, "both a checkpoint and a log: {found:?}");
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
    assert_eq!((catalog.ordinals(), catalog.len()), (60, 58));
    for (i, expect) in expected(definition).into_iter().enumerate() {
        let tag = catalog.get(TagId(i as u64));
        assert_eq!(tag.as_ref().map(|tag| &tag.definition), expect.as_ref(), "tag {i}");
        let late = tag.map(|tag| (tag.created > Timestamp(0), tag.changed >= tag.created));
        assert!(late.is_none_or(|late| late == (true, true)));
    }
    assert_eq!(catalog.find("renamed"), Some(TagId(7)));
    assert_eq!(catalog.find("plant.unit0.tag007"), None);
}

/// The manifests of a simulated directory: their paths, and the format in their heads.
fn manifests(simulation: &Simulation) -> Vec<(PathBuf, u32)> {
    let paths = simulation.disk.files().into_iter().map(|(path, _)| path);
    let paths = paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("manifest-")));
    let read = paths.map(|path| {
        let mut format = [0; 4];
        simulation.world().disk.open(&path, Access::Read).and_then(|file| file.read_at(12, &mut format)).expect("it is read");
        (path, u32::from_le_bytes(format))
    });
    read.collect()
}

#[test]
fn a_manifest_tells_that_the_log_tells_times_before_it_does() {
    for (name, formats) in [("format-1", (1, 2)), ("format-2", (2, 2)), ("led-1", (1, 1))] {
        let simulation = restored(name);
        let format = || manifests(&simulation).into_iter().map(|(_, format)| format).collect::<Vec<_>>();
        assert_eq!(format(), [formats.0], "{name} as it was written");
        let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
        assert_eq!(format(), [formats.1], "{name} once it is open, before anything is logged");
        let tags = catalog.ordinals();
        if name != "led-1" {
            wait(&simulation, catalog.create(vec![TagDefinition::new("one more", Kind::F64)])).expect("made");
        }
        wait(&simulation, catalog.close()).expect("closed");
        drop(catalog);
        let again = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens again");
        assert_eq!((again.ordinals(), format()), (tags + u64::from(name != "led-1"), vec![formats.1]), "{name} again");
    }
    // A store that was never opened before tells it from its first manifest on.
    let simulation = Simulation::new(3);
    drop(Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens"));
    assert!(matches!(&manifests(&simulation)[..], [(_, 2)]));
}

#[test]
fn a_manifest_of_a_newer_release_is_refused_as_such() {
    let simulation = restored("format-2");
    let (path, _) = manifests(&simulation).pop().expect("it has one");
    let file = simulation.world().disk.open(&path, Access::Write).expect("it opens");
    let mut head = [0; 36];
    file.read_at(0, &mut head).expect("it is read");
    head[12..16].copy_from_slice(&3_u32.to_le_bytes());
    let crc = storage::block::crc32c(&head[..32]);
    head[32..].copy_from_slice(&crc.to_le_bytes());
    file.write_at(0, &[&head]).expect("it is written");
    let refusal = |refused: Result<(), Error>| match refused.expect_err("it is refused") {
        Error::Open(text) => {
            assert!(text.contains("has format 3; this release reads up to 2: open it with a newer release"), "{text}")
        }
        other => panic!("{other}"),
    };
    let before = simulation.disk.files();
    refusal(Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).map(drop));
    refusal(catalog::check(&simulation.world().disk, Path::new(DIR)).map(drop));
    assert_eq!(simulation.disk.files(), before, "nothing was changed");
}

/// A fleet's batches: three of them in the checkpoint, then one that was cut, one that was applied, and one that was not.
fn batches() -> Vec<Batch> {
    let tags: Vec<TagDefinition> = (0..60).map(kept_whole).collect();
    let create = |range: Range<usize>| creation_body(&tags[range], Timestamp(1_000)).expect("it keeps the rules");
    let renamed = TagDefinition { name: "renamed".to_owned(), ..kept_whole(7) };
    let change = change_body(&[(TagId(7), renamed)], Timestamp(2_000)).expect("it keeps the rules");
    let bodies = [
        vec![create(0..40)],
        vec![change, deletion_body(&[TagId(8)]), create(3..5)],
        vec![create(40..50), deletion_body(&[TagId(900)])],
        vec![Bytes::from_static(&[77]), create(50..55)],
        vec![create(55..60)],
    ];
    let mut number = 0;
    let mut last = Point::default();
    let batches = bodies.into_iter().map(|bodies| {
        let changes = bodies.into_iter().map(|body| {
            number += 1;
            Change { origin: Origin { producer: ProducerId(u128::from(number % 3) << 70), number }, body }
        });
        let batch = Batch::after(last, Epoch(2), changes.collect());
        last = batch.point;
        batch
    });
    batches.collect()
}

fn write_golden_led() {
    let simulation = Simulation::new(1);
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
    let (led, batches) = (catalog.lead().expect("it is empty"), batches());
    let last = batches[2].point;
    wait(&simulation, led.keep_epoch(Epoch(2))).expect("kept");
    for batch in &batches[..3] {
        wait(&simulation, led.log(vec![batch.clone()])).expect("logged");
        wait(&simulation, led.apply(batch.point.sequence)).expect("applied");
    }
    wait(&simulation, led.log(vec![Batch::after(last, Epoch(2), Vec::new())])).expect("logged");
    wait(&simulation, led.cut(last)).expect("cut");
    wait(&simulation, led.keep_epoch(Epoch(3))).expect("kept");
    wait(&simulation, led.log(batches[3..].to_vec())).expect("logged");
    wait(&simulation, led.apply(batches[3].point.sequence)).expect("applied");
    wait(&simulation, catalog.close()).expect("closed");
    keep(&simulation, "led-1");
}

#[test]
fn a_directory_of_a_fleets_scheduler_is_read() {
    if std::env::var_os("MERIDIAN_WRITE_GOLDEN").is_some() {
        write_golden_led();
    }
    let simulation = restored("led-1");
    let found = catalog::check(&simulation.world().disk, Path::new(DIR)).expect("it is read");
    assert!(found.damages.is_empty() && found.tags == 50, "both a checkpoint and a log: {found:?}");
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
    let (led, batches) = (catalog.lead().expect("it is a fleet's"), batches());
    let recovered = led.recovered();
    assert_eq!((recovered.epoch, recovered.table), (Epoch(3), Some(batches[3].point)));
    assert_eq!(recovered.batches, batches[4..]);
    assert_eq!((catalog.ordinals(), catalog.find("renamed"), catalog.get(TagId(8))), (55, Some(TagId(7)), None));
    let tag = catalog.get(TagId(41)).expect("it was made");
    assert_eq!((tag.definition, tag.created), (kept_whole(41), Timestamp(1_000)));
    let outcome = |number: u64| led.outcome(Origin { producer: ProducerId(u128::from(number % 3) << 70), number });
    assert_eq!((outcome(5), outcome(8)), (None, Some(Ok(50..55))));
    assert_eq!(outcome(6), Some(Err(Error::Unknown(TagId(900)))));
    assert_eq!(outcome(7), Some(Err(Error::Unreadable("a change of kind 77".to_owned()))));
    // What the parts hash to is agreed on between releases too.
    let hashes = wait(&simulation, led.hash_parts()).expect("hashed");
    assert_eq!(
        hashes.iter().map(|hash| format!("{hash:032x}")).collect::<Vec<_>>(),
        ["0a69c24fc77e87ce3073bdfdfd04b192", "e8ab142b637a39497f9f36b0a29e4ba4"]
    );
}
