//! The model test: a kernel in a simulated world against an ordered map, from seeds.
//!
//! `MERIDIAN_SEEDS` says how many seeds are run, `MERIDIAN_FIRST_SEED` where they begin. A failure
//! names its seed: run that one alone with `MERIDIAN_SEEDS=1 MERIDIAN_FIRST_SEED=<seed>`.

mod check;
mod clients;
mod drive;
mod led;
mod ledger;
mod oracle;
mod replicated;
mod thinned;

use drive::Drive;
use led::LedDrive;
use replicated::ReplicatedDrive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use thinned::ThinnedDrive;

fn seeds(standard: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("MERIDIAN_FIRST_SEED").unwrap_or(0);
    first..first + number("MERIDIAN_SEEDS").unwrap_or(standard)
}

fn each_seed(name: &str, standard: u64, mut run: impl FnMut(u64)) {
    for seed in seeds(standard) {
        if let Err(fault) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("{name} failed at seed {seed}");
            std::panic::resume_unwind(fault);
        }
    }
}

#[test]
fn a_working_disk() {
    each_seed("a_working_disk", 1_000, |seed| Drive::new(seed, false).run(60));
}

#[test]
fn seeds_that_once_failed() {
    // 8396: room was short while every slice was merging, and no flush was begun afterwards.
    Drive::new(8396, false).run(60);
    // 213: files of a manifest that was on disk already were removed. 6065: a snapshot value while reads fail.
    // 7002856: the same where the rule looks at time: another slice's older value passed for the newest.
    for seed in [213, 6065, 7_002_856] {
        Drive::new(seed, true).run(60);
    }
    // A write whose answer was lost passed, in the ledger, for one after which nothing had come between its neighbours.
    ThinnedDrive::new(9_001_331, false).run(80);
    ThinnedDrive::new(9_002_148, true).run(80);
    // More was asked of a deletion that was not answered than it sets aside.
    LedDrive::new(9_001_782, true).run(80);
}

#[test]
fn a_faulty_disk() {
    each_seed("a_faulty_disk", 1_000, |seed| Drive::new(seed, true).run(60));
}

#[test]
fn led_slices() {
    let (mut set_aside, mut applied) = (0, 0);
    each_seed("led_slices", 1_000, |seed| {
        let mut drive = LedDrive::new(seed, false);
        drive.run(80);
        (set_aside, applied) = (set_aside + drive.set_aside.0, applied + drive.set_aside.1);
    });
    let seeds = seeds(1_000).count() as u64;
    assert!(set_aside > seeds && applied > seeds / 10, "{set_aside} records set aside, {applied} of them applied");
}

#[test]
fn led_slices_on_a_faulty_disk() {
    each_seed("led_slices_on_a_faulty_disk", 1_000, |seed| LedDrive::new(seed, true).run(80));
}

#[test]
fn thinned_tags() {
    let (mut left_out, mut replicas) = (0, 0);
    each_seed("thinned_tags", 600, |seed| {
        let mut drive = ThinnedDrive::new(seed, false);
        drive.run(80);
        (left_out, replicas) = (left_out + drive.left_out, replicas + drive.replicas);
    });
    let seeds = seeds(600).count() as u64;
    assert!(left_out > 30 * seeds && replicas > seeds / 4, "{left_out} rows left out, {replicas} replicas");
}

#[test]
fn thinned_tags_on_a_faulty_disk() {
    each_seed("thinned_tags_on_a_faulty_disk", 600, |seed| ThinnedDrive::new(seed, true).run(80));
}

#[test]
fn thinned_tags_of_a_led_slice() {
    let (mut left_out, mut copies, mut spared, mut drops, mut changes) = (0, 0, 0, 0, 0);
    each_seed("thinned_tags_of_a_led_slice", 600, |seed| {
        let mut drive = ReplicatedDrive::new(seed);
        drive.run(120);
        (left_out, copies, spared) = (left_out + drive.left_out, copies + drive.copies, spared + drive.spared);
        (drops, changes) = (drops + drive.drops, changes + drive.changes);
    });
    let seeds = seeds(600).count() as u64;
    let many = left_out > 20 * seeds && copies > seeds / 4 && drops > seeds / 4 && changes > seeds;
    assert!(spared > 0, "files taken {copies} times, and every time all of them");
    assert!(many, "{left_out} rows left out, files taken {copies} times, dropped by age {drops} times, {changes} changes");
}
