//! `meridian bench`: measurements against a node of our own, as two processes over loopback.
//!
//! Promises: a figure is measured, never staged; answers are held against what was written, and a
//! wrong one fails the run.

mod asking;
pub mod bounds;
mod capacity;
mod contest;
mod costs;
mod failover;
mod fleet;
pub mod ingest;
pub mod latencies;
mod lean;
pub mod postgres;
pub mod queries;
mod recovery;
mod report;
pub mod resident;
mod setup;
mod steady;
mod subject;
mod table1;

use crate::Error;
use clap::{ArgMatches, Args, Command};
use std::process::ExitCode;

const BENCHES: &str = "\
Benchmarks:
  table1   the paper's five measurements: tag creation, ingest in order and out of order, storage,
           random queries; with latencies, also while a merge runs, and the machine's own bounds;
           with --peer postgres, PostgreSQL does the same in turns with ours
  capacity ten million tags on one node: memory at its peaks and at rest, opening after kill -9 and
           after a stop, queries over all tags
  failover data nodes of a fleet are killed under load: how long until writes are acknowledged again, and
           how many are while a node recovers
  recovery a data node of a fleet misses one point in a hundred: what it copies when it comes back, and
           what that costs whoever writes meanwhile

Build with --release: other builds measure the compiler.";

/// The command and its benchmarks.
pub fn command() -> Command {
    Command::new("bench")
        .about("Measure this machine")
        .after_help(BENCHES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(table1::Arguments::augment_args(Command::new("table1")))
        .subcommand(capacity::Arguments::augment_args(Command::new("capacity")))
        .subcommand(failover::Arguments::augment_args(Command::new("failover")))
        .subcommand(recovery::Arguments::augment_args(Command::new("recovery")))
}

/// Runs a benchmark.
///
/// # Errors
/// Whatever ends it early, and a wrong answer.
pub fn run(matches: &ArgMatches) -> Result<ExitCode, Error> {
    match matches.subcommand() {
        Some(("table1", matches)) => table1::run(&crate::cli::arguments::<table1::Arguments>(matches)?),
        Some(("capacity", matches)) => capacity::run(&crate::cli::arguments::<capacity::Arguments>(matches)?),
        Some(("failover", matches)) => failover::run(&crate::cli::arguments::<failover::Arguments>(matches)?),
        Some(("recovery", matches)) => recovery::run(&crate::cli::arguments::<recovery::Arguments>(matches)?),
        _ => unreachable!("clap lets no other benchmark through"),
    }
}
