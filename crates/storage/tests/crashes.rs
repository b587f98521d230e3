//! A slice's directory under power cuts at every step, full disks, failing syncs and damage.
#![allow(clippy::unwrap_used, reason = "a test stops at any error")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{
    EpochStart, Error, FileMeta, FileNumber, FilePlace, Manifest, ManifestEdit, Opaque, Producer, SliceDirectory, StoreId,
    check_directory, inspect_manifest,
};
use types::{CommitNumber, Epoch, Period, ProducerId, Sequence, SliceId, TagId, TimeRange, Timestamp, Version};
use world::{Disk, DiskError, Faults, SimulatedDisk};

const STORE: StoreId = StoreId(99);
const SLICE: SliceId = SliceId(7);

fn dir() -> PathBuf {
    PathBuf::from("/store/slices/0007")
}

fn version(sequence: u64) -> Version {
    Version { epoch: Epoch(1), sequence: Sequence(sequence) }
}

/// Writes a file of the slice and says what the manifest needs to know of it.
fn put_file(disk: &dyn Disk, directory: &SliceDirectory, place: FilePlace) -> Result<FileMeta, Error> {
    let number = directory.next_number();
    let path = directory.prepare(&storage::file_path(place, number))?;
    let file = disk.create(&path)?;
    let bytes = number.0.to_le_bytes().repeat(number.0 as usize % 50 + 1);
    file.write_at(0, &[&bytes])?;
    file.sync()?;
    Ok(FileMeta {
        number,
        place,
        periods: vec![(Period(-1), Period(4))],
        level: 0,
        bytes: bytes.len() as u64,
        rows: 5,
        tags: 2,
        tag_range: (TagId(3), TagId(u64::MAX)),
        range: TimeRange { first: Timestamp(i64::MIN), last: Timestamp(9) },
        versions: (version(1), version(2)),
        checksum: 0xDEAD_BEEF,
    })
}

/// Publishes a few manifests: files come, go, snapshot values are replaced. Gives what was
/// acknowledged last, and what was being published when it failed.
fn work(disk: &Arc<dyn Disk>) -> (Vec<Arc<Manifest>>, Option<Manifest>) {
    let mut published = Vec::new();
    let Ok(directory) = SliceDirectory::open_or_create(disk, &dir(), STORE, SLICE) else { return (published, None) };
    published.push(directory.manifest());
    for round in 0..5_u64 {
        let mut next = (*directory.manifest()).clone();
        let places = [FilePlace::Mixed, FilePlace::Period(Period(round as i64 / 2 - 1))];
        let added: Result<Vec<FileMeta>, Error> =
            places.into_iter().map(|place| put_file(disk.as_ref(), &directory, place)).collect();
        let Ok(added) = added else { return (published, None) };
        let removed = if round % 2 == 1 { next.files.iter().map(|file| file.number).collect() } else { Vec::new() };
        next.apply(ManifestEdit { added, removed, groups: BTreeMap::from([(Period(0), version(round + 1))]) });
        let latest = directory.next_number();
        let written = disk.create(&directory.latest_path(latest)).and_then(|file| {
            file.write_at(0, &[b"latest"])?;
            file.sync()
        });
        if written.is_err() {
            return (published, None);
        }
        next.latest = Some(latest);
        next.flushed = version(round + 1);
        next.log_position = round * 1000;
        next.opaque.push(Opaque { kind: 3, bytes: vec![round as u8; round as usize] });
        match directory.publish(next.clone()) {
            Ok(manifest) => published.push(manifest),
            Err(_) => return (published, Some(next)),
        }
    }
    (published, None)
}

fn without_next(manifest: &Manifest) -> Manifest {
    Manifest { next_file: FileNumber(0), ..manifest.clone() }
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new_manifest() {
    let clean = Arc::new(SimulatedDisk::new(1));
    let steps = {
        let disk: Arc<dyn Disk> = clean.clone();
        assert_eq!(work(&disk).0.len(), 6);
        clean.counters().operations
    };
    for step in 0..=steps {
        for seed in 0..4 {
            let simulated = Arc::new(SimulatedDisk::new(seed * 1000 + step));
            simulated.set_faults(Faults { power_cut_after: Some(step), ..Faults::NONE });
            let disk: Arc<dyn Disk> = simulated.clone();
            let (published, trying) = work(&disk);
            simulated.crash();
            simulated.set_faults(Faults::NONE);
            let opened = SliceDirectory::open_or_create(&disk, &dir(), STORE, SLICE);
            let opened = opened.unwrap_or_else(|error| panic!("step {step} seed {seed}: {error}"));
            let found = opened.manifest();
            let old = published.last();
            let is_old = old.is_none_or(|old| without_next(old) == without_next(&found));
            let is_new = trying.as_ref().is_some_and(|new| without_next(new) == without_next(&found));
            assert!(is_old || is_new, "step {step} seed {seed}");
            check_nothing_left(disk.as_ref(), &found);
            // And it goes on from there.
            assert!(work(&disk).0.len() >= 6, "step {step} seed {seed}");
        }
    }
}

/// Every named file is there with its bytes, and nothing else is.
fn check_nothing_left(disk: &dyn Disk, manifest: &Manifest) {
    let check = check_directory(disk, &dir()).unwrap();
    assert!(check.damages.is_empty() && check.torn.is_empty() && check.unnamed.is_empty(), "{check:?}");
    for file in &manifest.files {
        let open = disk.open(&dir().join(file.path()), world::Access::Read).unwrap();
        let mut bytes = vec![0; file.bytes as usize];
        open.read_at(0, &mut bytes).unwrap();
        assert!(bytes.chunks(8).all(|eight| eight == file.number.0.to_le_bytes()));
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_a_failed_sync_for_good() {
    let simulated = Arc::new(SimulatedDisk::new(5));
    let disk: Arc<dyn Disk> = simulated.clone();
    let directory = SliceDirectory::open_or_create(&disk, &dir(), STORE, SLICE).unwrap();
    let before = directory.manifest();
    let mut next = (*before).clone();
    next.commit = CommitNumber(8);
    simulated.set_faults(Faults { full_one_in: 1, ..Faults::NONE });
    assert!(directory.publish(next.clone()).unwrap_err().is_full());
    assert_eq!(directory.manifest(), before);
    simulated.set_faults(Faults::NONE);
    assert_eq!(directory.publish(next.clone()).unwrap().commit, CommitNumber(8));

    simulated.set_faults(Faults { sync_error_one_in: 1, ..Faults::NONE });
    next.commit = CommitNumber(9);
    let failed = directory.publish(next.clone()).unwrap_err();
    assert!(!failed.is_full(), "{failed}");
    simulated.set_faults(Faults::NONE);
    assert!(matches!(directory.publish(next), Err(Error::Poisoned(SLICE))));
    let commit = SliceDirectory::open(&disk, &dir(), STORE, SLICE).unwrap().manifest().commit;
    assert!(commit == CommitNumber(8) || commit == CommitNumber(9));
}

#[test]
fn damage_is_named_and_refused() {
    let simulated = Arc::new(SimulatedDisk::new(6));
    let disk: Arc<dyn Disk> = simulated.clone();
    let (published, _) = work(&disk);
    let manifest = published.last().unwrap();
    let open = || SliceDirectory::open(&disk, &dir(), STORE, SLICE);
    let number = open().unwrap().manifest_number();
    let path = dir().join(format!("manifest-{number:010}"));
    let length = disk.open(&path, world::Access::Read).unwrap().len().unwrap();
    for offset in 0..length {
        assert!(simulated.damage(&path, offset, 0x10));
        let error = open().err().unwrap();
        assert!(error.is_damage() && error.to_string().contains("manifest-"), "{offset}: {error}");
        assert!(simulated.damage(&path, offset, 0x10));
    }
    assert_eq!(*open().unwrap().manifest(), **manifest);
    assert_eq!(inspect_manifest(disk.as_ref(), &path).unwrap().0, **manifest);

    let foreign = SliceDirectory::open(&disk, &dir(), StoreId(1), SLICE).err().unwrap();
    assert!(matches!(foreign, Error::Foreign { .. }), "{foreign}");
    disk.remove(&dir().join(manifest.files[0].path())).unwrap();
    let missing = open().err().unwrap();
    assert!(matches!(missing, Error::FileMissing { .. }) && missing.to_string().contains("missing"), "{missing}");
    assert_eq!(check_directory(disk.as_ref(), &dir()).unwrap().damages.len(), 1);
    let nothing = SliceDirectory::open(&disk, Path::new("/store/slices/0008"), STORE, SliceId(8)).err().unwrap();
    assert!(matches!(nothing, Error::Disk(DiskError { .. })), "{nothing}");
}

#[test]
fn manifests_of_random_bytes_are_refused() {
    let simulated = Arc::new(SimulatedDisk::new(8));
    let disk: Arc<dyn Disk> = simulated.clone();
    work(&disk);
    let directory = SliceDirectory::open(&disk, &dir(), STORE, SLICE).unwrap();
    let mut full = (*directory.manifest()).clone();
    full.epochs.push(EpochStart { epoch: Epoch(2), after: Sequence(77) });
    full.producers.push(Producer { id: ProducerId(u128::MAX), number: 4, last_used: CommitNumber(3) });
    directory.publish(full.clone()).unwrap();
    let path = dir().join(format!("manifest-{:010}", directory.manifest_number()));
    let file = disk.open(&path, world::Access::Read).unwrap();
    let mut whole = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut whole).unwrap();
    let random = world::SeededRandom::new(4);
    for round in 0..3_000_u32 {
        let mut bytes = whole.clone();
        match round % 4 {
            0 => bytes.truncate(random.between(0, bytes.len() as u64 - 1) as usize),
            1 => bytes.extend_from_slice(&[0; 3]),
            _ => {
                let at = random.between(48, bytes.len() as u64 - 1) as usize;
                bytes[at] ^= 1 << random.between(0, 7);
                if round % 4 == 3 {
                    reseal(&mut bytes);
                }
            }
        }
        let path = PathBuf::from(format!("/random/{round}"));
        disk.make_dir(Path::new("/random")).unwrap();
        disk.create(&path).unwrap().write_at(0, &[&bytes]).unwrap();
        match inspect_manifest(disk.as_ref(), &path) {
            Err(error) => assert!(error.is_damage() && error.to_string().contains("/random/"), "{error}"),
            // With a right checksum it is another manifest, but one that can be written again as it is.
            Ok(_) => assert!(round % 4 == 3),
        }
    }
}

/// Gives a changed manifest a right checksum again, so that what lies behind it is tried too.
fn reseal(bytes: &mut [u8]) {
    let file = storage::block::file_identity(STORE.0, SLICE.0, u64::from_le_bytes(*bytes[36..].first_chunk().unwrap()));
    if bytes.len() > 60 {
        storage::block::end(bytes, 56, storage::block::Seal { file, offset: 56 });
    }
}
