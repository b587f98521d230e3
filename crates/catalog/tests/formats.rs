//! The catalog's format: a directory written before is read.
//!
//! `MERIDIAN_WRITE_GOLDEN=1` writes `tests/golden/format-1` anew; never do so once a release wrote that format.

use catalog::{Catalog, Settings};
use std::path::{Path, PathBuf};
use types::{Compression, Kind, Limits, TagDefinition, TagId, Timestamp};
use world::{Access, Disk, RealDisk, Simulation, Ticket};

const SEGMENT_BYTES: u64 = 16 << 10;
const SETTINGS: Settings = Settings { segment_bytes: SEGMENT_BYTES, checkpoint_bytes: 2 << 10 };
const DIR: &str = "/catalog";

fn golden_dir() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("tests/golden/format-1")
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

/// What the golden directory holds: ordinals and names in the end.
fn expected() -> Vec<Option<TagDefinition>> {
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
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
    let tags: Vec<TagDefinition> = expected().into_iter().enumerate().map(|(i, _)| definition(i as u64)).collect();
    wait(&simulation, catalog.create(tags[..40].to_vec())).expect("made");
    wait(&simulation, catalog.change(vec![(TagId(7), expected()[7].clone().expect("it stays"))])).expect("changed");
    wait(&simulation, catalog.delete(vec![TagId(8)])).expect("deleted");
    simulation.clock.advance(std::time::Duration::from_secs(5));
    wait(&simulation, catalog.create(tags[40..].to_vec())).expect("made");
    wait(&simulation, catalog.delete(vec![TagId(55)])).expect("deleted");
    wait(&simulation, catalog.change(vec![(TagId(21), expected()[21].clone().expect("it stays"))])).expect("changed");
    wait(&simulation, catalog.close()).expect("closed");
    let (from, to) = (simulation.world().disk, RealDisk);
    to.make_dir(&golden_dir().join("log")).expect("a directory");
    for (path, len) in simulation.disk.files() {
        let mut bytes = vec![0; len as usize];
        from.open(&path, Access::Read).and_then(|file| file.read_at(0, &mut bytes)).expect("it is read");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let target = golden_dir().join(path.strip_prefix(DIR).expect("it lies in the directory"));
        to.create(&target).and_then(|file| file.write_at(0, &[&bytes[..used]])).expect("it is written");
    }
}

/// The golden directory on a disk of its own. Zeros at the end of a log's segment were left out.
fn restored() -> Simulation {
    let simulation = Simulation::new(2);
    let (from, to) = (RealDisk, simulation.world().disk);
    for part in ["", "log"] {
        to.make_dir(&Path::new(DIR).join(part)).expect("a directory");
        for entry in from.list(&golden_dir().join(part)).expect("it is there").into_iter().filter(|entry| !entry.directory) {
            let file = from.open(&golden_dir().join(part).join(&entry.name), Access::Read).expect("it opens");
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
    if std::env::var_os("MERIDIAN_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    let simulation = restored();
    let found = catalog::check(&simulation.world().disk, Path::new(DIR)).expect("it is read");
    assert!(found.damages.is_empty() && found.tags >= 40 && found.tags < 60, "both a checkpoint and a log: {found:?}");
    let catalog = Catalog::open(simulation.world(), Path::new(DIR), SETTINGS).expect("it opens");
    assert_eq!((catalog.ordinals(), catalog.len()), (60, 58));
    for (i, expect) in expected().into_iter().enumerate() {
        let tag = catalog.get(TagId(i as u64));
        assert_eq!(tag.as_ref().map(|tag| &tag.definition), expect.as_ref(), "tag {i}");
        let late = tag.map(|tag| (tag.created > Timestamp(0), tag.changed >= tag.created));
        assert!(late.is_none_or(|late| late == (true, true)));
    }
    assert_eq!(catalog.find("renamed"), Some(TagId(7)));
    assert_eq!(catalog.find("plant.unit0.tag007"), None);
}
