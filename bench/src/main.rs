//! Floor 10: `bench`, ours beside its peers.
//!
//! What it is: each benchmark starts peers as they are packaged (Debian, PyPI) and a node of ours, gives all of them the same data with
//! the durability that each has to offer, asks the same, and prints ratios.
//! What it promises: a figure is measured, never staged; who is asked the same gives the same answer, or the run fails; turns
//! alternate where machines' moods would tell otherwise; what a peer can't do, or loses, is said beside its figure.
//! What it may not know: how data lie in ours: it reaches a node through its doors alone. The tests build it, but no peer.
#![expect(clippy::disallowed_methods, reason = "bench drives the outside world: files, processes, clocks")]

mod aggregates;
mod asked;
mod contest;
mod encode;
mod grid;
mod ingest;
mod measure;
mod peer;
mod questions;
mod report;
mod side;
mod tsbs;

use clap::{Args, Parser, Subcommand};
use meridian::{Error, interrupt};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench ingest                       all writes, beside VictoriaMetrics, InfluxDB, PostgreSQL
  cargo xtask bench questions --days 7           points, last values, a day, a month
  cargo xtask bench aggregates --peers duckdb    100 M points, beside one peer
  cargo xtask bench tsbs devops --late 20        the suite's questions, a fifth of the rows late
  cargo xtask bench ingest --points 2000000      a quick look

`cargo xtask bench` installs the peers that are missing, builds for release and runs this program.";

/// Ours beside its peers, in one run
#[derive(Parser)]
#[command(name = "bench", after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Writing: each by its fastest protocol, all by line protocol, COPY; bytes on disk; what kill -9 loses
    Ingest(ingest::Arguments),
    /// Small questions: single points, last values, a tag's day, ten tags' month
    Questions(questions::Arguments),
    /// Aggregation over many points, beside DuckDB and ClickHouse
    Aggregates(aggregates::Arguments),
    /// The questions of the Time Series Benchmark Suite, beside DuckDB, ClickHouse, VictoriaMetrics
    Tsbs(tsbs::Arguments),
}

/// What all benchmarks are told.
#[derive(Args, Clone)]
pub struct Setup {
    /// Where data lie while it runs; kept then (default: a temporary directory)
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Only these peers
    #[arg(long, value_delimiter = ',')]
    pub peers: Option<Vec<String>>,
    /// Everything random comes from it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write all figures there too
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// A further flag of our node: --serve=--memory-bytes=4GiB
    #[arg(long, allow_hyphen_values = true)]
    pub serve: Vec<String>,
}

impl Setup {
    /// Whether a peer takes part.
    pub fn wants(&self, peer: &str) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.iter().any(|wanted| wanted == peer))
    }
}

fn main() -> ExitCode {
    interrupt::listen();
    let done = match Line::parse().benchmark {
        Benchmark::Ingest(arguments) => ingest::run(&arguments),
        Benchmark::Questions(arguments) => questions::run(&arguments),
        Benchmark::Aggregates(arguments) => aggregates::run(&arguments),
        Benchmark::Tsbs(arguments) => tsbs::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

/// A failure of a peer, or of the way to it.
pub fn failed(doing: &'static str, problem: impl std::fmt::Display) -> Error {
    Error::Node { doing, problem: problem.to_string() }
}
