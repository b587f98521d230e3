//! `meridian bench recovery`: a data node of a fleet misses a part of the data, and comes back under load.
//!
//! Promises: the data lie in files before anything is missed, but for what the load writes; what the node takes in is counted by
//! the node itself, from its start until every copy is in step; the load's rate is held against its rate while the node was whole.

use super::ingest::{create_tags, sequential};
use super::report::{Figure, Report};
use super::setup::Setup;
use super::steady::{self, Load, SLICES};
use crate::client::Session;
use crate::config::units::{round_size, round_span};
use crate::fleet::local::{self, LocalFleet};
use crate::grid::{Part, Shape};
use crate::progress::now;
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  meridian bench recovery                       forty million points, 1 % of them missed: the log still reaches them
  meridian bench recovery --points 200000000    so many are missed that files are copied";

/// How long the load runs before the kill: what is compared with.
const CALM: Duration = Duration::from_secs(3);
/// Rows sent at once.
const BATCH_ROWS: usize = 100_000;
/// Days that the data are of.
const DAYS: u64 = 100;
const START_US: i64 = 1_767_225_600_000_000; // 2026-01-01 00:00:00 UTC

/// A node that missed a part
#[derive(Debug, clap::Args)]
#[command(about = "Bring back a data node that missed a part: what it copies, and what that costs others", after_help = EXAMPLES)]
pub struct Arguments {
    /// Points that the fleet holds; one in a hundred is missed
    #[arg(long, default_value_t = 40_000_000, value_parser = clap::value_parser!(u64).range(100_000..=10_000_000_000))]
    pub points: u64,
    /// Tags that they are of
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub tags: u64,
    /// The fleet: managers and schedulers, and data nodes; every slice with one backup
    #[arg(long, value_name = "DOORSxDATA", default_value = "1x3")]
    pub fleet: local::Shape,
    /// Connections that write meanwhile, each a sample to every slice a statement
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    #[command(flatten)]
    pub setup: Setup,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever ends it early.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let steps_a_day = arguments.points / arguments.tags / DAYS;
    if steps_a_day == 0 {
        return Err(Error::Usage(format!("--points must be {DAYS} times --tags at least: a sample a tag and day")));
    }
    let scratch = arguments.setup.begin("")?;
    let mut fleet = LocalFleet::start(&scratch, arguments.fleet, &steady::flags(&arguments.setup.serve))?;
    let session = fleet.session()?;
    let url = fleet.doors[0].url();
    let step_us = 86_400_000_000 / steps_a_day as i64;
    let shape = Shape { seed: 1, mix: Shape::MIX, start_us: START_US, step_us };
    steady::create_tags(&session)?;
    create_tags(&fleet.doors[0], &shape, "grid.", arguments.tags)?;
    let mut parts = vec![Part::new(shape, 0, arguments.tags)];
    sequential(&fleet.doors[0], &mut parts, SLICES, steps_a_day * DAYS, BATCH_ROWS)?;
    in_files(&session)?;
    let (mut report, failed) = steady::beside(&session, &url, arguments.connections, |load| {
        recover(&mut fleet, &session, load, |fleet| {
            sequential(&fleet.doors[0], &mut parts, SLICES, steps_a_day, BATCH_ROWS)?;
            // It is refused for the node that is away; the others flush.
            drop(session.query("SELECT meridian_flush()"));
            Ok(())
        })
    })?;
    report.figures.push(failed);
    for (name, value) in [("points", arguments.points), ("tags", arguments.tags), ("days", DAYS)] {
        report.machine.insert(name.to_owned(), value.into());
    }
    arguments.setup.end(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn in_files(session: &Session) -> Result<(), Error> {
    session.query("SELECT meridian_flush()")?;
    session.query("SELECT meridian_merge()").map(drop)
}

fn recover(
    fleet: &mut LocalFleet,
    session: &Session,
    load: &Load,
    meanwhile: impl FnOnce(&LocalFleet) -> Result<(), Error>,
) -> Result<Report, Error> {
    interrupt::check()?;
    let of_node = |column: &str| session.number(&format!("SELECT sum({column}) FROM meridian.slices WHERE node = '100'"));
    let whole = of_node("file_bytes")? as f64;
    let calm = load.over(CALM).of_a_second();
    let node = fleet.data[0].take().ok_or_else(|| Error::Child("a data node is gone".to_owned()))?;
    node.kill()?;
    meanwhile(fleet)?;
    let alone = load.over(CALM).of_a_second();
    let (begun, mark) = (now(), load.mark());
    fleet.data[0] = Some(fleet.start_data(0)?);
    fleet.wait_in_step()?;
    let (took, recovering) = (begun.elapsed(), load.since(&mark).of_a_second());
    let (copied, recorded) = (of_node("copied_bytes")? as f64, of_node("recorded_bytes")? as f64);
    let mut report = Report::new("recovery");
    println!(
        "in step {} after its start: {} of files copied, {} of records logged, where its files had {}",
        round_span(took),
        round_size(copied as u64),
        round_size(recorded as u64),
        round_size(whole as u64)
    );
    let part = |name, bytes: f64| Figure::new(name, bytes / whole * 100.0, "% of the node's files").with("bytes", bytes);
    report.figures.push(part("files copied", copied).at_most(2.0).with("file_bytes", whole));
    report.figures.push(part("records logged meanwhile", recorded));
    report
        .figures
        .push(Figure { less_is_better: true, ..Figure::new("start until every copy is in step", took.as_secs_f64(), "s") });
    let figure = Figure::new("load while it recovers", recovering / calm * 100.0, "% of calm");
    let figure = figure.with("calm_statements_per_s", calm.round()).with("without_it_per_s", alone.round());
    report.figures.push(figure.at_least(70.0));
    Ok(report)
}
