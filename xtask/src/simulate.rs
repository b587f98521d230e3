//! `cargo xtask simulate`: whole fleets of one seed each, in the simulator, on all cores.
//!
//! It promises that a seed that it names fails again when it is given back with --first-seed. What a fleet is and what
//! is checked stands in `crates/simulator`.

use crate::needs;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Instant;

/// Seeds where nobody says how many.
const SEEDS: u64 = 10_000;

/// Runs the seeds, a share of them on each core; fails when any of them does.
pub fn run(words: &[String]) -> Result<(), String> {
    let (mut seeds, mut first, mut rest) = (SEEDS, 1_u64, Vec::new());
    let mut at = words.iter();
    while let Some(word) = at.next() {
        let mut value = || at.next().cloned().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => seeds = value()?.parse().map_err(|_| "--seeds needs a number")?,
            "--first-seed" => first = value()?.parse().map_err(|_| "--first-seed needs a number")?,
            "--trace" | "--kernels" => rest.push(word.clone()),
            "--plant" | "--only" => rest.extend([word.clone(), value()?]),
            other => {
                return Err(format!(
                    "simulate knows --seeds N, --first-seed S, --kernels, --only slices|tags|members|whole, --trace and --plant BUG, not \"{other}\""
                ));
            }
        }
    }
    let start = Instant::now();
    let program = build()?;
    let built = Instant::now();
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64).min(seeds.max(1));
    let shares = (0..cores).map(|core| (first + seeds * core / cores, first + seeds * (core + 1) / cores));
    let children: Vec<_> = shares
        .map(|(from, to)| {
            let mut command = Command::new(&program);
            command.args(["--first-seed", &from.to_string(), "--seeds", &(to - from).to_string()]).args(&rest);
            command.spawn().map_err(|error| format!("{}: {error}", program.display()))
        })
        .collect::<Result<_, String>>()?;
    let ends: Vec<_> = children.into_iter().map(|mut child| child.wait()).collect();
    if !ends.iter().all(|end| end.as_ref().is_ok_and(|status| status.success())) {
        return Err("a seed failed, or a bug that was planted was found: see above".to_owned());
    }
    let took = built.elapsed().as_secs_f64();
    println!(
        "xtask: {seeds} seeds held, {:.0} a minute on {cores} cores (built in {:.0} s)",
        seeds as f64 / took * 60.0,
        (built - start).as_secs_f64()
    );
    Ok(())
}

/// The simulator's program.
fn build() -> Result<std::path::PathBuf, String> {
    let target = needs::cache().join("target");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--package", "simulator", "--locked", "--quiet"]).current_dir(crate::root());
    needs::run(command.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/simulator"))
}
