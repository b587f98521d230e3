//! `cargo xtask soak`: the kernel's model tests over seeds that the test command has no time for.
//!
//! It promises that the seeds it prints, given back with --first-seed, replay what failed.

use crate::needs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// How many seeds one round of the model tests takes.
const SEEDS_A_ROUND: u64 = 5_000;

/// Runs rounds of seeds until the time is up or one fails.
pub fn run(words: &[String]) -> Result<(), String> {
    let (mut minutes, mut seed) =
        (60_u64, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs() << 20));
    for pair in words.chunks(2) {
        let number = || pair.get(1).and_then(|word| word.parse::<u64>().ok()).ok_or(format!("{} needs a number", pair[0]));
        match pair[0].as_str() {
            "--minutes" => minutes = number()?,
            "--first-seed" => seed = number()?,
            other => return Err(format!("soak knows --minutes N and --first-seed S, not \"{other}\"")),
        }
    }
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < Duration::from_secs(minutes * 60) {
        println!("xtask: seeds {seed} to {} ({done} done in {:.0} s)", seed + SEEDS_A_ROUND - 1, start.elapsed().as_secs_f64());
        let mut command = Command::new("cargo");
        command.args(["test", "--release", "--package", "kernel", "--test", "model", "--locked"]).current_dir(crate::root());
        command.env("CARGO_TARGET_DIR", needs::cache().join("target"));
        command.env("MERIDIAN_FIRST_SEED", seed.to_string()).env("MERIDIAN_SEEDS", SEEDS_A_ROUND.to_string());
        needs::run(&mut command).map_err(|error| format!("{error}\nreplay with: cargo xtask soak --first-seed {seed}"))?;
        seed += SEEDS_A_ROUND;
        done += SEEDS_A_ROUND;
    }
    println!("xtask: {done} seeds held");
    Ok(())
}
