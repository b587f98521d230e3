//! `cargo xtask bench`: the peers of the benchmarks are installed where they are missing, then `bench` runs, built for release.
//!
//! It promises to say what it installs. It may not know what is measured.

use crate::needs;
use std::process::Command;

/// Peers by the Debian package that brings them.
const PROGRAMS: &[(&str, &str)] =
    &[("cc", "build-essential"), ("victoria-metrics", "victoria-metrics"), ("influxd", "influxdb"), ("python3", "python3")];
/// The server, which is not on the path.
const FILES: &[(&str, &str)] = &[("/usr/lib/postgresql/15/bin/postgres", "postgresql-15")];

/// Runs a benchmark.
pub fn run(words: &[String]) -> Result<(), String> {
    needs::install_missing(PROGRAMS, FILES)?;
    let python = needs::peers()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| needs::cache().join("target"), Into::into);
    let cargo = |words: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(crate::root()).env("CARGO_TARGET_DIR", &target);
        command
    };
    needs::run(&mut cargo(&["build", "--release", "--locked", "-p", "meridian", "-p", "bench", "--bins"]))?;
    let mut program = Command::new(target.join("release/bench"));
    needs::run(program.args(words).env("MERIDIAN_TEST_PYTHON", python))
}
