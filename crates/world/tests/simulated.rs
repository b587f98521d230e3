//! The simulated world keeps to the promises of the traits, and to nothing more.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use world::{Access, Clock, Disk, Faults, File, Lane, Runner, SeededRandom, SimulatedDisk, Simulation};

fn read(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn open(disk: &SimulatedDisk, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), Access::Write).unwrap()
}

/// Random operations against a plain vector, with syncs and power cuts: what was synced and not
/// touched since is there, everything else is old, new or torn; and the bytes in use add up.
fn check_file(seed: u64) {
    let random = SeededRandom::new(seed);
    let disk = SimulatedDisk::new(random.next());
    let path = Path::new("file");
    let mut file = disk.create(path).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    // Per byte: what is read now, and what else a crash may leave. Beyond the length: zeros.
    let (mut now, mut synced): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut maybe: Vec<BTreeSet<u8>> = vec![BTreeSet::new(); 40_000];
    for _ in 0..random.between(1, 40) {
        match random.between(0, 9) {
            0..=4 => {
                let offset = random.between(0, 20_000) as usize;
                let bytes: Vec<u8> = (0..random.between(1, 9_000)).map(|_| random.next() as u8).collect();
                let cut = random.between(0, bytes.len() as u64 - 1) as usize;
                file.write_at(offset as u64, &[&bytes[..cut], &bytes[cut..]]).unwrap();
                now.resize(now.len().max(offset + bytes.len()), 0);
                now[offset..offset + bytes.len()].copy_from_slice(&bytes);
                for (i, byte) in bytes.iter().enumerate() {
                    maybe[offset + i].insert(*byte);
                }
            }
            5 => {
                let len = random.between(0, 25_000) as usize;
                file.truncate(len as u64).unwrap();
                now.resize(len, 0);
                for set in maybe.iter_mut().skip(len) {
                    set.insert(0);
                }
            }
            6 => {
                let len = random.between(0, 30_000) as usize;
                file.reserve(len as u64).unwrap();
                now.resize(now.len().max(len), 0);
            }
            7 => {
                file.sync().unwrap();
                synced.clone_from(&now);
                maybe.iter_mut().for_each(BTreeSet::clear);
            }
            8 => {
                disk.crash();
                file = open(&disk, "file");
                let after = read(&*file);
                assert!(after.len() == now.len() || after.len() == synced.len(), "seed {seed}");
                for (i, byte) in after.iter().enumerate() {
                    let old = synced.get(i).copied().unwrap_or(0);
                    assert!(*byte == old || maybe[i].contains(byte), "seed {seed}: byte {i} is {byte}");
                }
                (now, synced) = (after.clone(), after);
                maybe.iter_mut().for_each(BTreeSet::clear);
            }
            _ => {
                disk.kill();
                assert!(file.len().is_err());
                file = open(&disk, "file");
            }
        }
        assert!(read(&*file) == now, "seed {seed}");
    }
    assert!(disk.used_bytes() <= 40 << 10, "seed {seed}: {} bytes", disk.used_bytes());
    disk.remove(path).unwrap();
    assert_eq!(disk.used_bytes(), 0, "seed {seed}");
}

#[test]
fn a_file_keeps_what_was_synced() {
    (0..300).for_each(check_file);
}

#[test]
fn unsynced_sectors_are_kept_lost_and_torn() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create(Path::new("f")).unwrap();
        file.write_at(0, &[&[1; 5120]]).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.write_at(0, &[&[2; 5120]]).unwrap();
        disk.crash();
        for sector in read(&*open(&disk, "f")).chunks(512) {
            match (sector[0], sector[511]) {
                (2, 2) => kept += 1,
                (1, 1) => lost += 1,
                _ => torn += 1,
            }
        }
    }
    assert!(kept > 100 && lost > 100 && torn > 100, "{kept} {lost} {torn}");
}

#[test]
fn names_are_durable_once_their_directory_was_synced() {
    let (mut kept, mut back) = (0, 0);
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        disk.make_dir(Path::new("/a/b")).unwrap();
        let names = |disk: &SimulatedDisk| disk.list(Path::new("/a/b")).unwrap().len();
        for name in ["1", "2"] {
            disk.create(&Path::new("/a/b").join(name)).unwrap().sync().unwrap();
        }
        disk.sync_dir(Path::new("/a")).unwrap();
        disk.crash();
        kept += names(&disk);
        drop(disk.create(Path::new("/a/b/3")));
        disk.sync_dir(Path::new("/a/b")).unwrap();
        disk.crash();
        assert!(disk.open(Path::new("/a/b/3"), Access::Read).is_ok());
        disk.remove(Path::new("/a/b/3")).unwrap();
        disk.crash();
        back += usize::from(disk.open(Path::new("/a/b/3"), Access::Read).is_ok());
        drop(disk.remove(Path::new("/a/b/3")));
        disk.sync_dir(Path::new("/a/b")).unwrap();
        disk.crash();
        assert!(disk.open(Path::new("/a/b/3"), Access::Read).err().unwrap().is_missing());
        assert!(disk.remove_dir(Path::new("/a")).is_err());
    }
    assert!(kept > 50 && kept < 150 && back > 25 && back < 75, "{kept} {back}");
}

#[test]
fn a_failed_sync_leaves_what_no_later_sync_saves() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create(Path::new("f")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.reserve(4096).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[&[7; 4096]]).unwrap();
        disk.set_faults(Faults { sync_error_one_in: 1, ..Faults::NONE });
        assert_eq!(file.sync().unwrap_err().cause.raw_os_error(), Some(5));
        disk.set_faults(Faults::NONE);
        assert_eq!(read(&*file), [7; 4096]);
        file.sync().unwrap();
        disk.crash();
        let after = read(&*open(&disk, "f"));
        lost += after.chunks(512).filter(|sector| sector[0] == 0).count();
        // Written again, it is saved.
        let file = open(&disk, "f");
        file.write_at(0, &[&[7; 4096]]).unwrap();
        file.sync().unwrap();
        disk.crash();
        assert_eq!(read(&*open(&disk, "f")), [7; 4096]);
    }
    assert!(lost > 200 && lost < 600, "{lost} of 800 sectors");
}

#[test]
fn a_full_disk_writes_what_fits_and_reserved_room_is_there() {
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        disk.set_faults(Faults { capacity_bytes: 16 << 10, ..Faults::NONE });
        let reserved = disk.create(Path::new("r")).unwrap();
        reserved.reserve(8 << 10).unwrap();
        assert!(reserved.reserve(20 << 10).unwrap_err().is_full());
        let file = disk.create(Path::new("f")).unwrap();
        assert!(file.write_at(0, &[&[1; 9 << 10]]).unwrap_err().is_full());
        assert!(file.len().unwrap() <= 8 << 10);
        file.write_at(0, &[&[1; 8 << 10]]).unwrap();
        assert_eq!(disk.size_bytes(Path::new("")).unwrap(), disk.used_bytes());
        reserved.write_at(0, &[&[1; 8 << 10]]).unwrap();
        disk.remove(Path::new("f")).unwrap();
        reserved.reserve(16 << 10).unwrap();
        reserved.truncate(1).unwrap();
        reserved.sync().unwrap();
        assert_eq!(disk.used_bytes(), 4096);
    }
}

#[test]
fn faults_come_at_their_rates_and_the_same_seed_gives_the_same() {
    let run = |seed| {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create(Path::new("f")).unwrap();
        file.write_at(0, &[&[1; 100]]).unwrap();
        disk.set_faults(Faults {
            write_error_one_in: 10,
            read_error_one_in: 10,
            sync_error_one_in: 10,
            full_one_in: 2,
            ..Faults::NONE
        });
        let mut failed = [0; 4];
        for i in 0..1000_u64 {
            failed[0] += usize::from(file.write_at(0, &[&[2; 100]]).is_err());
            failed[1] += usize::from(file.read_at(0, &mut [0; 100]).is_err());
            failed[2] += usize::from(file.sync().is_err());
            failed[3] += usize::from(file.reserve((i + 1) * 8192).is_err());
        }
        (failed, disk.counters())
    };
    let (failed, counters) = run(3);
    assert_eq!(run(3), (failed, counters));
    assert!(failed[..3].iter().all(|n| (50..150).contains(n)) && (400..600).contains(&failed[3]), "{failed:?}");
    assert_eq!(counters.faults, failed.iter().sum::<usize>() as u64);
}

#[test]
fn the_power_fails_at_the_operation_told() {
    for after in 0..4 {
        let disk = SimulatedDisk::new(after);
        disk.set_faults(Faults { power_cut_after: Some(after), ..Faults::NONE });
        let work = || {
            let file = disk.create(Path::new("f"))?;
            file.write_at(0, &[b"whole"])?;
            file.sync()?;
            disk.sync_dir(Path::new(""))
        };
        assert!(work().is_err() && disk.is_off());
        assert!(disk.create(Path::new("g")).is_err() && disk.list(Path::new("")).is_err());
        disk.crash();
        assert!(!disk.is_off());
        if let Err(error) = work() {
            assert_eq!(error.cause.kind(), ErrorKind::AlreadyExists);
        }
    }
}

#[test]
fn locks_end_with_their_process() {
    let disk = SimulatedDisk::new(1);
    let held = disk.lock(Path::new("lock")).unwrap();
    assert_eq!(disk.lock(Path::new("lock")).err().unwrap().cause.kind(), ErrorKind::WouldBlock);
    disk.kill();
    let second = disk.lock(Path::new("lock")).unwrap();
    drop(held);
    assert!(disk.lock(Path::new("lock")).is_err());
    drop(second);
    assert!(disk.lock(Path::new("lock")).is_ok());
}

#[test]
fn stored_bits_can_be_flipped() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create(Path::new("f")).unwrap();
    file.write_at(0, &[&[0; 10]]).unwrap();
    assert!(disk.damage(Path::new("f"), 3, 0x10) && !disk.damage(Path::new("f"), 10, 1));
    assert_eq!(read(&*file)[3], 0x10);
    assert_eq!(disk.files(), [(Path::new("f").to_path_buf(), 10)]);
}

#[test]
fn the_seed_orders_jobs_and_the_log_lane_keeps_its_order() {
    let run = |seed| {
        let simulation = Simulation::new(seed);
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        for i in 0..20 {
            let lane = if i % 2 == 0 { Lane::Log } else { Lane::Merge };
            let (seen, runner) = (Arc::clone(&seen), Arc::clone(&simulation.runner));
            let job = move || {
                seen.lock().push(i);
                let seen = Arc::clone(&seen);
                let delay = Duration::from_secs(100 - i);
                runner.submit_after(delay, lane, Box::new(move || seen.lock().push(100 + i)));
            };
            simulation.runner.submit(lane, Box::new(job));
        }
        assert_eq!(simulation.runner.run_until_idle(), 20);
        assert_eq!(simulation.runner.waiting(), 20);
        simulation.runner.pass(Duration::from_secs(90));
        assert_eq!(simulation.clock.monotonic_us(), 90_000_000);
        assert_eq!(simulation.runner.waiting(), 10);
        simulation.runner.clear();
        assert!(!simulation.runner.step());
        Arc::try_unwrap(seen).unwrap().into_inner()
    };
    let orders: BTreeSet<Vec<u64>> = (0..50).map(run).collect();
    assert!(orders.len() > 40);
    assert_eq!(run(5), run(5));
    for order in orders {
        let log: Vec<u64> = order.iter().copied().filter(|i| *i < 100 && i % 2 == 0).collect();
        assert!(log.is_sorted());
        assert_eq!(order[20..], [119, 118, 117, 116, 115, 114, 113, 112, 111, 110]);
    }
}

#[test]
fn clocks_step_and_jump() {
    let simulation = Simulation::new(1);
    let before = simulation.clock.wall_us();
    simulation.clock.advance(Duration::from_secs(1));
    simulation.clock.jump_wall(-5_000_000);
    assert_eq!(simulation.clock.wall_us(), before - 4_000_000);
    assert_eq!(simulation.clock.monotonic_us(), 1_000_000);
}
