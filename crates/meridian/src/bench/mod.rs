//! `meridian bench`: measurements against a node of our own, as two processes over loopback.
//!
//! Promises: a figure is measured, never staged; answers are held against what was written, and a
//! wrong one fails the run.

mod bounds;
mod ingest;
pub mod latencies;
mod lean;
pub mod queries;
mod report;
mod table1;

use crate::Error;
use clap::{ArgMatches, Args, Command};
use std::process::ExitCode;

const BENCHES: &str = "\
Benchmarks:
  table1   the paper's five measurements: tag creation, ingest in order and out of order, storage,
           random queries; with latencies, also while a merge runs, and the machine's own bounds

Build with --release: other builds measure the compiler.";

/// The command and its benchmarks.
pub fn command() -> Command {
    Command::new("bench")
        .about("Measure this machine")
        .after_help(BENCHES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(table1::Arguments::augment_args(Command::new("table1")))
}

/// Runs a benchmark.
///
/// # Errors
/// Whatever ends it early, and a wrong answer.
pub fn run(matches: &ArgMatches) -> Result<ExitCode, Error> {
    match matches.subcommand() {
        Some(("table1", matches)) => table1::run(&crate::cli::arguments::<table1::Arguments>(matches)?),
        _ => unreachable!("clap lets no other benchmark through"),
    }
}
