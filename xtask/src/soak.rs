//! `cargo xtask soak`: the kernel's model tests, garbage at every door, or fleets of real processes under faults, over seeds that the
//! test command has no time for.
//!
//! It promises that the seeds it prints, given back with --first-seed, replay what failed.

use crate::needs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// How many seeds one round of the model tests takes.
const SEEDS_A_ROUND: u64 = 5_000;

/// How many times the rounds of the test command a seed of garbage takes.
const FUZZ_TIMES: u64 = 20;

/// How long one fleet is under faults.
const FLEET_SECONDS: u64 = 120;

/// Runs rounds of seeds until the time is up or one fails.
pub fn run(words: &[String]) -> Result<(), String> {
    let (mut minutes, mut seed) =
        (60_u64, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs() << 20));
    let (what, words) = match words.split_first() {
        Some((first, rest)) if ["--fleets", "--doors"].contains(&first.as_str()) => (first.as_str(), rest),
        _ => ("", words),
    };
    for pair in words.chunks(2) {
        let number = || pair.get(1).and_then(|word| word.parse::<u64>().ok()).ok_or(format!("{} needs a number", pair[0]));
        match pair[0].as_str() {
            "--minutes" => minutes = number()?,
            "--first-seed" => seed = number()?,
            other => {
                return Err(format!("soak knows --fleets or --doors (first), --minutes N and --first-seed S, not \"{other}\""));
            }
        }
    }
    if what == "--fleets" {
        needs::install()?;
    }
    let (seeds, commands): (u64, fn(u64) -> Vec<Command>) = match what {
        "--fleets" => (1, fleet),
        "--doors" => (1, doors),
        _ => (SEEDS_A_ROUND, model),
    };
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(minutes * 60) {
        println!("xtask: seeds {seed} to {} ({done} done in {:.0} s)", seed + seeds - 1, start.elapsed().as_secs_f64());
        let again = format!("replay with: cargo xtask soak {what} --first-seed {seed}");
        for mut command in commands(seed) {
            needs::run(&mut command).map_err(|error| format!("{error}\n{again}"))?;
        }
        seed += seeds;
        done += seeds;
    }
    println!("xtask: {done} seeds held");
    Ok(())
}

/// The kernel's model tests over the seeds of a round.
fn model(seed: u64) -> Vec<Command> {
    let mut command = cargo(&["test", "--release", "--package", "kernel", "--test", "model", "--locked"]);
    command.env("MERIDIAN_FIRST_SEED", seed.to_string()).env("MERIDIAN_SEEDS", SEEDS_A_ROUND.to_string());
    vec![command]
}

/// Garbage at the doors for clients, and at the door between the processes of a fleet, from one seed.
fn doors(seed: u64) -> Vec<Command> {
    let test = |package: &str, test: &str, names: &[&str]| {
        let mut command = cargo(&["test", "--package", package, "--test", test, "--locked", "--"]);
        command.args(names).arg("--nocapture");
        command.env("MERIDIAN_FUZZ_SEED", seed.to_string()).env("MERIDIAN_FUZZ_TIMES", FUZZ_TIMES.to_string());
        command
    };
    vec![test("server", "doors", &["garbage", "wire", "damaged"]), test("cluster", "replicas", &["garbage"])]
}

/// A fleet under the faults of one seed.
fn fleet(seed: u64) -> Vec<Command> {
    let mut test = cargo(&["test", "--package", "tests", "--test", "nemesis", "--locked", "--", "--nocapture"]);
    test.env("MERIDIAN_BINARY", needs::cache().join("target/release/meridian"));
    test.env("MERIDIAN_NEMESIS_SEED", seed.to_string()).env("MERIDIAN_NEMESIS_SECONDS", FLEET_SECONDS.to_string());
    vec![cargo(&["build", "--release", "--package", "meridian", "--locked"]), test]
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(words).current_dir(crate::root()).env("CARGO_TARGET_DIR", needs::cache().join("target"));
    command
}
