//! A copy of a frozen tag table opens as the table was at that moment, whatever was changed before and afterwards.

use catalog::{Catalog, Frozen, Settings};
use log::Layer;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, Tag, TagDefinition, TagId};
use world::{Random, SeededRandom, Simulation};

const SETTINGS: Settings = Settings { segment_bytes: 64 << 10, checkpoint_bytes: 8 << 10 };

fn definition(dice: &SeededRandom) -> TagDefinition {
    let name = format!("tag.{}", dice.next_u64());
    TagDefinition { description: "x".repeat(dice.between(0, 200) as usize), ..TagDefinition::new(name, Kind::F64) }
}

fn lay(simulation: &Simulation, frozen: &Frozen, dir: &Path) {
    let disk = simulation.world().disk;
    let mut layer = Layer::new(&disk, &dir.join("log"), frozen.log_to).expect("a working disk");
    let mut at = frozen.log_from;
    while at < frozen.log_to
        && let Some(stretch) = frozen.log.read(at, 3_000).expect("a working disk")
    {
        at = stretch.next;
        layer.push(&stretch).expect("it follows");
    }
    layer.finish().expect("it is whole");
    for (path, bytes, file) in &frozen.files {
        let mut content = vec![0; *bytes as usize];
        file.read_at(0, &mut content).expect("a working disk");
        let copy = disk.create(&dir.join(path)).expect("a working disk");
        copy.write_at(0, &[&content]).expect("a working disk");
        copy.sync().expect("a working disk");
    }
    disk.sync_dir(dir).expect("a working disk");
}

fn table(catalog: &Catalog) -> Vec<Tag> {
    catalog.page(TagId(0), usize::MAX)
}

fn round(seed: u64) {
    let (simulation, dice) = (Simulation::new(seed), SeededRandom::new(seed ^ 0xCA));
    let catalog: Arc<Catalog> = Catalog::open(simulation.world(), Path::new("/catalog"), SETTINGS).expect("an empty directory");
    let (freezes_at, steps) = (dice.between(0, 30), 60);
    let mut states = vec![table(&catalog)];
    let mut frozen = None;
    let mut surely = 0;
    for step in 0..steps {
        if step == freezes_at {
            (surely, frozen) = (states.len() - 1, Some((states.len(), catalog.freeze())));
        }
        // The change right after it is asked while the freeze is under way.
        let known = table(&catalog);
        match dice.between(0, 5) {
            0 if !known.is_empty() => {
                let tag = &known[dice.between(0, known.len() as u64 - 1) as usize];
                drop(catalog.delete(vec![tag.id]));
            }
            1 if !known.is_empty() => {
                let tag = &known[dice.between(0, known.len() as u64 - 1) as usize];
                drop(catalog.change(vec![(tag.id, TagDefinition { ..definition(&dice) })]));
            }
            _ => drop(catalog.create((0..dice.between(1, 40)).map(|_| definition(&dice)).collect())),
        }
        simulation.runner.run_until_idle();
        states.push(table(&catalog));
    }
    let (at_most, mut ticket) = frozen.expect("it was frozen");
    let frozen = ticket.try_take().expect("it is answered").expect("it is kept").expect("a working disk");
    lay(&simulation, &frozen, Path::new("/copy"));
    drop(frozen);
    let copy = Catalog::open(simulation.world(), Path::new("/copy"), SETTINGS).expect("a copy");
    assert!(states[surely..=at_most].contains(&table(&copy)), "seed {seed}");
    let mut made = copy.create(vec![definition(&dice)]);
    simulation.runner.run_until_idle();
    assert!(matches!(made.try_take(), Some(Ok(Ok(_)))), "it goes on");
}

#[test]
fn a_copy_is_the_table_at_a_moment() {
    (0..200).for_each(round);
}
