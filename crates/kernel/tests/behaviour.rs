//! What a kernel promises beyond the model: who may open a directory, retention, rebuilding of snapshot values, damage
//! that is named and never served, and commits that are seen whole while threads write.

mod fixture;
#[path = "fixture/removal.rs"]
mod removal;

use fixture::{Numbers, open, rows, settings, settle, write};
use kernel::{AggregateRequest, Deletion, Error, Kernel, Settings, TagSelection};
use removal::remove;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use types::{DistributionRule, SliceId, TagId, TimeRange, Timestamp};
use world::{SeededRandom, Simulation, ThreadCounts, Threads, World};

const DAY_US: i64 = 86_400_000_000;

#[test]
fn a_directory_is_refused_where_it_is_not_ours_or_in_use() {
    let simulation = Simulation::new(1);
    let world = simulation.world();
    world.disk.make_dir(Path::new("/store")).expect("a working disk");
    world.disk.create(Path::new("/store/letters.txt")).expect("a working disk");
    let fault = open(&simulation, settings()).err().expect("it is someone else's");
    assert!(fault.to_string().contains("not a Meridian store") && fault.to_string().contains("letters.txt"), "{fault}");
    assert_eq!(world.disk.list(Path::new("/store")).expect("a working disk").len(), 1, "nothing was put beside it");
    world.disk.remove(Path::new("/store/letters.txt")).expect("a working disk");
    let first = open(&simulation, settings()).expect("an empty directory");
    let fault = open(&simulation, settings()).err().expect("it is in use");
    assert!(fault.to_string().contains("in use"), "{fault}");
    drop(first);
}

#[test]
fn the_rule_is_set_before_the_first_write_and_survives() {
    let simulation = Simulation::new(2);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    let rule = DistributionRule { b1: 7, buckets: 9, ..DistributionRule::default() };
    kernel.set_rule(rule).expect("nothing was written");
    assert!(kernel.set_rule(DistributionRule { b1: 0, ..rule }).is_err());
    let mut ticket = write(&kernel, &[(8, 5, 1)]);
    simulation.runner.run_until_idle();
    assert!(matches!(ticket.try_take(), Some(Ok(Ok(_)))));
    assert_eq!(kernel.set_rule(settings().rule), Err(Error::RuleIsSet));
    drop(kernel);
    simulation.crash();
    let kernel = open(&simulation, settings()).expect("a store");
    assert_eq!(kernel.rule(), rule);
    assert_eq!(kernel.set_rule(settings().rule), Err(Error::RuleIsSet));
    assert_eq!(rows(&kernel.snapshot()).expect("readable"), [(8, 5, 1)]);
}

#[test]
fn the_rule_is_not_set_under_a_write_that_waits() {
    for deletes in [false, true] {
        let simulation = Simulation::new(9);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        let others = kernel.budget().share("others", u64::MAX);
        let held = others.try_take(kernel.budget().bytes_max() - kernel.budget().bytes()).expect("all that is left");
        // Cut for slice 3 of four; of the new rule there are only two.
        let mut ticket = if deletes {
            kernel.delete(Deletion::Range { tags: TagSelection::of(vec![TagId(3)]), range: TimeRange::ALL })
        } else {
            write(&kernel, &[(3, 5, 1)])
        };
        simulation.runner.run_until_idle();
        assert!(ticket.try_take().is_none(), "it waits for room");
        let rule = DistributionRule { buckets: 2, ..settings().rule };
        assert_eq!(kernel.set_rule(rule), Err(Error::RuleIsSet));
        drop(held);
        simulation.runner.run_until_idle();
        assert!(matches!(ticket.try_take(), Some(Ok(Ok(_)))), "it went on as it was cut");
        assert_eq!(kernel.set_rule(rule), Err(Error::RuleIsSet));
        assert_eq!(kernel.rule(), settings().rule);
        assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), usize::from(!deletes));
    }
}

#[test]
fn a_snapshot_of_some_slices_shows_theirs_alone() {
    for rule in [settings().rule, DistributionRule { w2: 1, day_us: 10, ..settings().rule }] {
        let simulation = Simulation::new(3);
        let kernel = open(&simulation, Settings { rule, ..settings() }).expect("an empty directory");
        let written: Vec<(u64, i64, i64)> = (0..12).flat_map(|tag| [(tag, 5, 1), (tag, 25, 2)]).collect();
        let mut ticket = write(&kernel, &written);
        simulation.runner.run_until_idle();
        assert!(matches!(ticket.try_take(), Some(Ok(Ok(_)))));
        let whole = kernel.snapshot();
        for chosen in [vec![], vec![1], vec![3, 0, 3]] {
            let slices: Vec<SliceId> = chosen.into_iter().map(SliceId).collect();
            let part = whole.only(slices.clone());
            let lies = |tag, time| slices.contains(&rule.slice(TagId(tag), Timestamp(time)));
            let expect: Vec<_> = written.iter().copied().filter(|(tag, time, _)| lies(*tag, *time)).collect();
            let mut found = rows(&part).expect("readable");
            found.sort_unstable();
            assert_eq!(found, expect);
            let of = |tags| AggregateRequest { tags, range: TimeRange::ALL, bins: None, good_only: false };
            for tags in [TagSelection::All, TagSelection::of((0..12).map(TagId).collect())] {
                let mut rows = 0;
                for mut share in part.aggregate(&of(tags), 3) {
                    while let Some(batch) = share.next_batch().expect("readable") {
                        rows += batch.counts.iter().sum::<u64>();
                    }
                }
                assert_eq!(rows, expect.len() as u64);
            }
            let asked: Vec<_> = (0..12).map(|tag| (TagId(tag), Timestamp(30))).collect();
            let values = part.values_at(&asked).expect("readable");
            for tag in 0..12_u64 {
                let newest = expect.iter().filter(|(of, ..)| *of == tag).map(|(_, time, _)| *time).max();
                assert_eq!(values.found[tag as usize].then_some(values.times[tag as usize].0), newest);
            }
            assert!(part.only(vec![SliceId(2)]).values_at(&asked).expect("readable").found.iter().all(|found| !found));
        }
    }
}

#[test]
fn a_write_that_came_to_nothing_leaves_the_rule_free() {
    let simulation = Simulation::new(10);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    let mut refused = write(&kernel, &[(5_000, 5, 1)]);
    assert!(matches!(refused.try_take(), Some(Ok(Err(Error::UnknownTag(_))))));
    let rule = DistributionRule { buckets: 2, ..settings().rule };
    assert_eq!(kernel.set_rule(rule), Ok(()));
    assert_eq!(kernel.rule(), rule);
}

#[test]
fn a_write_raises_the_versions_that_it_touches_and_a_read_none() {
    let simulation = Simulation::new(6);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    let dice = SeededRandom::new(6);
    let versions = |kernel: &Kernel| {
        let slices: Vec<_> = kernel.slices().iter().map(|slice| slice.version).collect();
        let groups: std::collections::BTreeMap<_, _> =
            kernel.file_groups().iter().map(|group| ((group.slice.0, group.period.0), group.version)).collect();
        (slices, groups)
    };
    for round in 0..200 {
        let before = versions(&kernel);
        let (tag, day) = (dice.between(0, 9), dice.between(0, 5) as i64);
        drop(write(&kernel, &[(tag, day * DAY_US, round)]));
        simulation.runner.run_until_idle();
        let after = versions(&kernel);
        let slice = kernel.rule().slice(TagId(tag), Timestamp(0));
        for (place, (old, new)) in before.0.iter().zip(&after.0).enumerate() {
            assert_eq!(new > old, place == slice.0 as usize, "only the slice that was written is raised");
        }
        for (group, new) in &after.1 {
            let raised = before.1.get(group).is_none_or(|old| new > old);
            assert_eq!(raised, *group == (slice.0, day), "only the file group that was written is raised");
        }
        rows(&kernel.snapshot()).expect("readable");
        kernel.value_at(TagId(tag), Timestamp::MAX).expect("readable");
        if dice.one_in(9) {
            settle(&simulation, kernel.flush());
            settle(&simulation, kernel.merge());
        }
        assert_eq!(versions(&kernel), after, "neither reads, flushes nor merges raise a version");
    }
}

#[test]
fn retention_drops_whole_file_groups_and_nothing_younger() {
    let simulation = Simulation::new(3);
    let kept = Duration::from_secs(10 * 86_400);
    let kernel = open(&simulation, Settings { retention: Some(kept), ..settings() }).expect("an empty directory");
    let now = simulation.world().clock.wall_us();
    let today = now / DAY_US * DAY_US;
    let mut expected = Vec::new();
    for day in [0, 5, 10, 11, 12, 40] {
        for tag in 0..8 {
            // Tag 7 has old samples only.
            if tag == 7 && day < 12 {
                continue;
            }
            let row = (tag, today - day * DAY_US + 1, day);
            drop(write(&kernel, &[row]));
            if day <= 10 {
                expected.push(row);
            }
        }
        settle(&simulation, kernel.flush());
    }
    simulation.runner.pass(Duration::from_secs(61));
    simulation.runner.run_until_idle();
    settle(&simulation, kernel.merge());
    expected.sort_unstable();
    assert_eq!(rows(&kernel.snapshot()).expect("readable"), expected);
    assert_eq!(kernel.latest(TagId(7)), Ok(None), "its newest sample went");
    assert!(kernel.files().iter().all(|file| file.range.first.0 >= today - 10 * DAY_US), "{:?}", kernel.files());
    assert_eq!(kernel.slices().iter().map(|slice| slice.tombstones).sum::<u64>(), 0, "no file needs the deletion any more");
}

#[test]
fn a_retention_that_is_only_told_drops_nothing() {
    let simulation = Simulation::new(4);
    let kept = Some(Duration::from_secs(86_400));
    let kernel =
        open(&simulation, Settings { retention: kept, retention_told_only: true, ..settings() }).expect("an empty directory");
    let row = (0, simulation.world().clock.wall_us() - 40 * DAY_US, 1);
    drop(write(&kernel, &[row]));
    settle(&simulation, kernel.flush());
    simulation.runner.pass(Duration::from_secs(200));
    simulation.runner.run_until_idle();
    settle(&simulation, kernel.merge());
    assert_eq!((rows(&kernel.snapshot()).expect("readable"), kernel.settings().retention), (vec![row], kept));
}

#[test]
fn a_lone_deletion_is_gone_from_the_files_in_bounded_time() {
    let simulation = Simulation::new(8);
    let limit = Duration::from_secs(500);
    let settings = Settings { deletion_age_max: limit, ..settings() };
    let kernel = open(&simulation, settings.clone()).expect("an empty directory");
    let waiting = |kernel: &Kernel| kernel.slices().iter().map(|slice| slice.tombstones).sum::<u64>();
    let held = |kernel: &Kernel| kernel.files().iter().map(|file| file.rows).sum::<u64>();
    drop(write(&kernel, &(0..400).map(|row| (row % 40, row as i64, 1)).collect::<Vec<_>>()));
    settle(&simulation, kernel.flush());
    let tags = TagSelection::of((0..10).map(TagId).collect());
    drop(kernel.delete(Deletion::Range { tags, range: TimeRange::ALL }));
    simulation.runner.run_until_idle();
    settle(&simulation, kernel.flush());
    assert_eq!((waiting(&kernel), held(&kernel)), (4, 400), "hidden, and still there");
    simulation.runner.pass(limit / 2);
    assert_eq!(held(&kernel), 400, "not worth the rewriting at once");
    simulation.runner.pass(limit / 2 + Duration::from_secs(1));
    simulation.runner.run_until_idle();
    assert_eq!((waiting(&kernel), held(&kernel)), (0, 300));

    // A restart begins to count anew.
    drop(kernel.delete(Deletion::Points(vec![(TagId(20), Timestamp(20))])));
    settle(&simulation, kernel.close());
    drop(kernel);
    simulation.kill();
    let kernel = open(&simulation, settings).expect("a store");
    settle(&simulation, kernel.flush());
    simulation.runner.pass(limit + Duration::from_secs(1));
    assert_eq!((waiting(&kernel), held(&kernel)), (0, 299));
}

#[test]
fn a_damaged_file_of_snapshot_values_is_made_anew() {
    let simulation = Simulation::new(4);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    drop(write(&kernel, &(0..40).map(|tag| (tag, tag as i64, tag as i64)).collect::<Vec<_>>()));
    settle(&simulation, kernel.flush());
    drop(write(&kernel, &[(3, 100, 1_000)]));
    settle(&simulation, kernel.close());
    drop(kernel);
    simulation.kill();
    let files = simulation.disk.files();
    let latest = files.iter().filter(|(path, _)| path.to_string_lossy().contains("/latest-"));
    for (path, bytes) in latest {
        assert!(simulation.disk.damage(path, bytes / 2, 0x10));
    }
    let kernel = open(&simulation, settings()).expect("its samples are whole");
    for tag in 0..40 {
        let value = if tag == 3 { 1_000 } else { tag };
        let latest = kernel.latest(TagId(tag)).expect("readable");
        assert_eq!(latest.map(|reading| reading.value), Some(kernel::Datum::Bits(value)), "tag {tag}");
    }
}

#[test]
fn a_flipped_bit_is_named_or_harmless_and_never_served() {
    let dice = SeededRandom::new(5);
    for seed in 0..150 {
        let simulation = Simulation::new(seed);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        let mut expected = std::collections::BTreeMap::new();
        for round in 0..6 {
            let batch: Vec<_> =
                (0..60).map(|row| (dice.between(0, 9), dice.between(0, 50) as i64 * DAY_US / 8, row + round * 100)).collect();
            drop(write(&kernel, &batch));
            expected.extend(batch.iter().map(|row| ((row.0, row.1), row.2)));
            if dice.one_in(2) {
                settle(&simulation, kernel.flush());
            }
        }
        if dice.one_in(2) {
            settle(&simulation, kernel.merge());
        }
        settle(&simulation, kernel.close());
        drop(kernel);
        simulation.kill();
        let files: Vec<(PathBuf, u64)> = simulation.disk.files().into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        let (path, bytes) = &files[dice.between(0, files.len() as u64 - 1) as usize];
        // Log segments are mostly reserved room: hit where something lies.
        let bytes = if path.to_string_lossy().contains("/log/") { (*bytes).min(6_000) } else { *bytes };
        simulation.disk.damage(path, dice.between(0, bytes - 1), 1 << dice.between(0, 7));
        let expected: Vec<_> = expected.into_iter().map(|((tag, time), value)| (tag, time, value)).collect();
        match open(&simulation, settings()).and_then(|kernel| rows(&kernel.snapshot())) {
            Ok(found) => assert_eq!(found, expected, "seed {seed}: a flipped bit in {}", path.display()),
            Err(Error::Damaged(what) | Error::Open(what)) => {
                assert!(what.contains("store"), "seed {seed}: {what} names no file");
            }
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
}

#[test]
fn a_commit_is_seen_whole_while_threads_write_flush_and_merge() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let dir = std::env::temp_dir().join(format!("meridian-whole-{}-{}", std::process::id(), world.random.next_u64()));
    let kernel = Kernel::open(world.clone(), &dir, settings(), Arc::new(Numbers)).expect("an empty directory");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let kernel = &kernel;
                scope.spawn(move || {
                    for round in 0..150_i64 {
                        // Each commit writes the same value to all of the writer's tags, in all slices.
                        let batch: Vec<_> = (0..20).map(|tag| (writer * 20 + tag, round % 10, round)).collect();
                        let answer = write(kernel, &batch).wait();
                        assert!(matches!(answer, Ok(Ok(_))), "{answer:?}");
                        if round % 40 == 7 {
                            assert_eq!(kernel.flush().wait(), Ok(Ok(())));
                        }
                        if round % 60 == 9 {
                            assert_eq!(kernel.merge().wait(), Ok(Ok(())));
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut looked = 0;
            while !done.load(Ordering::Acquire) || looked == 0 {
                let mut by_time = std::collections::BTreeMap::new();
                for (tag, time, value) in rows(&kernel.snapshot()).expect("readable") {
                    let (held, count) = by_time.entry((tag / 20, time)).or_insert((value, 0));
                    assert_eq!(*held, value, "half of a commit was seen");
                    *count += 1;
                }
                assert!(by_time.values().all(|(_, count)| *count == 20), "a part of a commit was seen");
                looked += 1;
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("no writer failed"));
        done.store(true, Ordering::Release);
        reader.join().expect("the reader found no half commit");
    });
    kernel.delete(Deletion::Range { tags: TagSelection::All, range: TimeRange::ALL }).wait().expect("open").expect("it works");
    assert_eq!(rows(&kernel.snapshot()).expect("readable"), []);
    kernel.close().wait().expect("open").expect("it works");
    drop(kernel);
    threads.stop();
    remove(&world, &dir);
}
