//! `meridian bench failover`: data nodes of a fleet are killed under load, one after the other, and come back.
//!
//! Promises: a kill is kill -9 of the process that leads slices; a failover is over when a statement that was begun after the process
//! was gone, and writes to every slice, is acknowledged; what was acknowledged is counted again at the end. Statements are sent
//! once each: one that fails is counted as failed.

use super::latencies::Latencies;
use super::report::{Figure, Report};
use super::setup::Setup;
use super::steady::{self, Load, Rate};
use crate::config::units::round_span;
use crate::fleet::local::{LocalFleet, Shape};
use crate::progress::now;
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  meridian bench failover                       a hundred kills, some ten minutes
  meridian bench failover --kills 5 --fleet 1x4";

/// How long writes run undisturbed before each kill: what is compared with.
const CALM: Duration = Duration::from_millis(1_500);

/// Kills of data nodes under load
#[derive(Debug, clap::Args)]
#[command(about = "Kill data nodes under load: how long until writes are acknowledged again", after_help = EXAMPLES)]
pub struct Arguments {
    /// How many kills
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub kills: u32,
    /// The fleet: managers and schedulers, and data nodes; every slice with one backup
    #[arg(long, value_name = "DOORSxDATA", default_value = "1x3")]
    pub fleet: Shape,
    /// Connections that write, each a sample to every slice a statement
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    #[command(flatten)]
    pub setup: Setup,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever ends it early, and samples that are missing.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let scratch = arguments.setup.begin("")?;
    let mut fleet = LocalFleet::start(&scratch, arguments.fleet, &steady::flags(&arguments.setup.serve))?;
    let session = fleet.session()?;
    steady::create_tags(&session)?;
    let url = fleet.doors[0].url();
    let (mut report, failed) =
        steady::beside(&session, &url, arguments.connections, |load| kill_all(arguments, &mut fleet, load))?;
    report.figures.push(failed);
    arguments.setup.end(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn kill_all(arguments: &Arguments, fleet: &mut LocalFleet, load: &Load) -> Result<Report, Error> {
    let mut report = Report::new("failover");
    let (mut failovers, mut recoveries) = (Latencies::default(), Latencies::default());
    let (mut worst, mut calm, mut recovering) = (Duration::ZERO, Rate::default(), Rate::default());
    for kill in 0..arguments.kills {
        interrupt::check()?;
        calm.join(load.over(CALM));
        let victim = kill as usize % fleet.data.len();
        let node = fleet.data[victim].take().ok_or_else(|| Error::Child("a data node is gone".to_owned()))?;
        let killed = now();
        node.kill()?;
        let took = load.first_after(now())? - killed;
        failovers.add(took);
        worst = worst.max(took);
        let (begun, mark) = (now(), load.mark());
        fleet.data[victim] = Some(fleet.start_data(u32::try_from(victim).unwrap_or_default())?);
        fleet.wait_in_step()?;
        recovering.join(load.since(&mark));
        recoveries.add(begun.elapsed());
        println!(
            "kill {} of {}: acknowledged again after {}, in step {} after its start",
            kill + 1,
            arguments.kills,
            round_span(took),
            round_span(begun.elapsed())
        );
    }
    let found = failovers.percentiles();
    report.latency("kill -9 until a statement over all slices is acknowledged", found);
    report.latency("start until every copy is in step", recoveries.percentiles());
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    let figure = Figure::new("failover, p99", ms(found.p99), "ms").at_most(1_000.0);
    report
        .figures
        .push(figure.with("kills", arguments.kills).with("worst_ms", ms(worst)).with("connections", arguments.connections));
    let part = recovering.of_a_second() / calm.of_a_second() * 100.0;
    let figure = Figure::new("throughput while a node recovers", part, "% of calm");
    report.figures.push(figure.at_least(70.0).with("calm_statements_per_s", calm.of_a_second().round()));
    Ok(report)
}
