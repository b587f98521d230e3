//! `cargo xtask test`: everything that must hold before a change lands, in the order in which it fails fastest.
//!
//! It promises to print each step with its time, and to keep build results in the user's cache
//! directory, so that a fresh clone builds only what changed; of clones that are gone nothing large stays there for long.

use crate::needs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Programs of the target directory that nobody has built again for so long are of clones that are gone, or soon linked again.
const KEPT: Duration = Duration::from_secs(86_400);

/// Runs all checks; words given go to the test runner as filters, and only the tests are run.
pub fn run(filters: &[String]) -> Result<(), String> {
    let start = Instant::now();
    let clients = needs::install()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| needs::cache().join("target"), Into::into);
    let nextest = needs::found("cargo-nextest");
    let cargo = |words: &[&str]| cargo(words, &target, &clients);

    forget_old(&target.join("debug"));
    step("build", || needs::run(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"])))?;
    step("tests", || {
        let mut command =
            if nextest { cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]) } else { plain(&cargo) };
        needs::run(command.args(filters))
    })?;
    if filters.is_empty() {
        step("doc tests", || needs::run(&mut cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"])))?;
        step("clippy", || {
            needs::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
        })?;
        step("format", || needs::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    }
    println!("xtask: all of it holds, in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Without cargo-nextest: the same tests by cargo's own runner.
fn plain(cargo: &impl Fn(&[&str]) -> Command) -> Command {
    println!("xtask: cargo-nextest is not installed; cargo test runs the tests instead");
    cargo(&["test", "--workspace", "--locked", "--lib", "--bins", "--tests", "--no-fail-fast"])
}

fn cargo(words: &[&str], target: &Path, clients: &needs::Clients) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(crate::root());
    command.env("CARGO_TARGET_DIR", target).env("MERIDIAN_TEST_PYTHON", &clients.python);
    command.env("MERIDIAN_TEST_NODE", &clients.node);
    // What it keeps is of one clone: of no use to the next, and 20 GB after ten of them.
    command.env("CARGO_INCREMENTAL", "0");
    command.env("MERIDIAN_BINARY", target.join("debug/meridian"));
    command
}

/// Removes programs that are old: each has half a gigabyte, and each clone links its own. Libraries stay, they are shared.
/// What can't be looked at or removed stays.
fn forget_old(built: &Path) {
    let old = |path: &Path| {
        let changed = path.metadata().and_then(|found| found.modified()).ok();
        changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > KEPT)
    };
    let within = |dir: &str| std::fs::read_dir(built.join(dir)).into_iter().flatten().flatten().map(|entry| entry.path());
    within("deps").filter(|path| path.extension().is_none() && path.is_file() && old(path)).for_each(|path| {
        drop(std::fs::remove_file(path));
    });
    within("incremental").filter(|path| old(path)).for_each(|path| drop(std::fs::remove_dir_all(path)));
}

fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("xtask: {name}");
    work()?;
    println!("xtask: {name} took {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
