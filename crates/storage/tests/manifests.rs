//! Manifests under faults: whatever fails, and however the process ends, the next opening finds the
//! manifest that was last put in force, or the one that was being put in force then.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use std::path::Path;
use std::sync::Arc;
use storage::{Manifest, SliceDirectory, StoreId};
use types::{CommitNumber, SliceId};
use world::{Disk, Faults, Random, SeededRandom, Simulation};

fn faults(random: &SeededRandom) -> Faults {
    let rate = |most| if random.one_in(2) { random.between(1, most) } else { 0 };
    Faults {
        write_error_one_in: rate(10),
        sync_error_one_in: rate(10),
        full_one_in: rate(5),
        power_cut_after: random.one_in(2).then(|| random.below(40)),
        ..Faults::NONE
    }
}

fn check(seed: u64) {
    let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed ^ 0x5A));
    let disk: Arc<dyn Disk> = Arc::<world::SimulatedDisk>::clone(&simulation.disk);
    let open = || SliceDirectory::open_or_create(&disk, Path::new("/slices/0007"), StoreId(9), SliceId(7));
    // What is in force for sure, and the newest that may be.
    let (mut sure, mut tried) = (0, 0);
    for _ in 0..random.between(1, 6) {
        if random.one_in(2) {
            simulation.disk.set_faults(faults(&random));
        }
        if let Ok(directory) = open() {
            let found = directory.manifest().commit.0;
            assert!((sure..=tried).contains(&found), "seed {seed}: {found} of {sure} to {tried}");
            (sure, tried) = (found, found);
            for _ in 0..random.between(0, 5) {
                tried += 1;
                let manifest = Manifest { commit: CommitNumber(tried), ..Manifest::clone(&directory.manifest()) };
                match directory.publish(manifest) {
                    Ok(_) => sure = tried,
                    Err(error) if error.is_full() => assert_eq!(directory.manifest().commit.0, sure, "seed {seed}"),
                    Err(_) => break,
                }
            }
        }
        if random.one_in(2) || simulation.disk.is_off() {
            simulation.crash()
        } else {
            simulation.kill()
        }
        simulation.disk.set_faults(Faults::NONE);
        // Without faults it always opens, and what it found stays found, also when the power goes right after.
        for _ in 0..2 {
            let found = open().unwrap_or_else(|error| panic!("seed {seed}: {error}")).manifest().commit.0;
            assert!((sure..=tried).contains(&found), "seed {seed}: {found} of {sure} to {tried}");
            (sure, tried) = (found, found);
            simulation.crash();
        }
    }
    open().unwrap();
}

#[test]
fn a_manifest_once_in_force_stays() {
    (0..3000).for_each(check);
}
