//! `cargo xtask test`: everything that must hold before a change lands, in the order in which it fails fastest.
//!
//! It promises to print each step with its time, and to keep build results in the user's cache
//! directory, so that a fresh clone builds only what changed.

use crate::needs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Runs all checks; words given go to the test runner as filters, and only the tests are run.
pub fn run(filters: &[String]) -> Result<(), String> {
    let start = Instant::now();
    let python = needs::install()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| needs::cache().join("target"), Into::into);
    let nextest = needs::found("cargo-nextest");
    let cargo = |words: &[&str]| cargo(words, &target, &python);

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

fn cargo(words: &[&str], target: &Path, python: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(crate::root());
    command.env("CARGO_TARGET_DIR", target).env("MERIDIAN_TEST_PYTHON", python);
    command.env("MERIDIAN_BINARY", target.join("debug/meridian"));
    command
}

fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("xtask: {name}");
    work()?;
    println!("xtask: {name} took {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
