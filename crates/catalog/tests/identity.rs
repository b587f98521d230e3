//! A catalog whose log was lost or exchanged is told from a new one, with or without a checkpoint.

use catalog::{Catalog, Error, Settings};
use std::path::{Path, PathBuf};
use types::{Kind, TagDefinition};
use world::{Access, Disk, Simulation};

const LOG: &str = "/c/log";

fn open(simulation: &Simulation, checkpoint_bytes: u64) -> Result<std::sync::Arc<Catalog>, Error> {
    Catalog::open(simulation.world(), Path::new("/c"), Settings { segment_bytes: 64 << 10, checkpoint_bytes })
}

/// A catalog of so many tags, at rest.
fn filled(seed: u64, tags: usize, checkpoint_bytes: u64) -> Simulation {
    let simulation = Simulation::new(seed);
    let catalog = open(&simulation, checkpoint_bytes).expect("an empty directory");
    for tag in 0..tags {
        let made = catalog.create(vec![TagDefinition::new(format!("tag {tag}"), Kind::F64)]);
        simulation.runner.run_until_idle();
        assert!(matches!(made.wait(), Ok(Ok(_))));
    }
    drop(catalog);
    simulation.kill();
    simulation
}

fn log_files(simulation: &Simulation) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |(path, len): (PathBuf, u64)| {
        let mut bytes = vec![0; len as usize];
        simulation.disk.open(&path, Access::Read).expect("it is listed").read_at(0, &mut bytes).expect("it is that long");
        (path, bytes)
    };
    simulation.disk.files().into_iter().filter(|(path, _)| path.starts_with(LOG)).map(read).collect()
}

fn replace_log(simulation: &Simulation, by: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in log_files(simulation) {
        simulation.disk.remove(&path).expect("it is listed");
    }
    for (path, bytes) in by {
        simulation.disk.create(path).expect("it was removed").write_at(0, &[bytes]).expect("a working disk");
    }
}

#[test]
fn a_lost_or_foreign_log_is_refused() {
    let other = filled(9, 3, 1 << 20);
    for checkpoint_bytes in [1 << 20, 1_000] {
        for tags in [0, 1, 200] {
            let simulation = filled(1, tags, checkpoint_bytes);
            let own = log_files(&simulation);
            for (wrong, what) in [(Vec::new(), "the log is missing"), (log_files(&other), "another one")] {
                replace_log(&simulation, &wrong);
                let before = log_files(&simulation);
                for _ in 0..2 {
                    let fault = open(&simulation, checkpoint_bytes).err().unwrap_or_else(|| panic!("{tags} tags: {what}"));
                    let Error::Damaged(text) = &fault else { panic!("{fault}") };
                    assert!(text.contains(LOG) && text.contains(what) && text.contains("put the catalog's own log"), "{text}");
                    assert_eq!(log_files(&simulation), before, "nothing is made or changed");
                }
            }
            replace_log(&simulation, &own);
            assert_eq!(open(&simulation, checkpoint_bytes).expect("the log is back").ordinals(), tags as u64);
        }
    }
}
