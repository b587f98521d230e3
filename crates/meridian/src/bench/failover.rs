//! `meridian bench failover`: data nodes of a fleet are killed under load, one after the other, and come back.
//!
//! Promises: a kill is kill -9 of the process that leads slices; a failover is over when a statement that was begun after the process
//! was gone, and writes to every slice, is acknowledged; what was acknowledged is counted again at the end. Statements are sent
//! once each: one that fails is counted as failed.

use super::latencies::Latencies;
use super::report::{Figure, Report};
use super::setup::Setup;
use crate::client::Session;
use crate::config::units::round_span;
use crate::fleet::local::{LocalFleet, Shape};
use crate::progress::now;
use crate::table::thousands;
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  meridian bench failover                       a hundred kills, some ten minutes
  meridian bench failover --kills 5 --fleet 1x4";

/// Slices of the fleet; a tag lies in each.
const SLICES: u64 = 24;
/// How long writes run undisturbed before each kill: what is compared with.
const CALM: Duration = Duration::from_millis(1_500);
/// How long a failover may take before the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A statement that was acknowledged.
struct Heard {
    begun: Instant,
    at: Instant,
}

/// What all writers share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Numbers statements: their samples' times.
    next: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever ends it early, and samples that are missing.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let scratch = arguments.setup.begin()?;
    let own = [format!("--rule-buckets={SLICES}"), "--rule-b1=1".to_owned()];
    let flags: Vec<String> = own.into_iter().chain(arguments.setup.serve.iter().cloned()).collect();
    let mut fleet = LocalFleet::start(&scratch, arguments.fleet, &flags)?;
    let session = fleet.session()?;
    session.query(&format!("INSERT INTO tags (name, kind) SELECT 'k.' || i, 'f64' FROM generate_series(1, {SLICES}) AS g(i)"))?;
    let (shared, (tell, heard)) = (Shared::default(), mpsc::channel());
    let url = fleet.doors[0].url();
    let outcome = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..arguments.connections)
            .map(|_| {
                let (tell, shared, url) = (tell.clone(), &shared, &url);
                scope.spawn(move || write(url, shared, &tell))
            })
            .collect();
        let outcome = kill_all(arguments, &mut fleet, &shared, &heard);
        shared.stop.store(true, Ordering::Release);
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(Error::Child("a writer panicked".to_owned())))?;
        }
        outcome
    });
    let mut report = outcome?;
    let (acknowledged, failed) = (shared.acknowledged.load(Ordering::Relaxed), shared.failed.load(Ordering::Relaxed));
    let found = session.number("SELECT count(*) FROM samples WHERE tag LIKE 'k.%'")?;
    let least = acknowledged * SLICES;
    if u64::try_from(found).unwrap_or(0) < least {
        return Err(Error::Wrong(format!("{} samples were acknowledged, {found} are there", thousands(least))));
    }
    report
        .figures
        .push(Figure::new("failed statements", failed as f64, "statements").at_most(0.0).with("acknowledged", acknowledged));
    arguments.setup.end(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes statement after statement until it is told to stop.
fn write(url: &str, shared: &Shared, tell: &mpsc::Sender<Heard>) -> Result<(), Error> {
    let session = Session::connect(url, "meridian bench")?;
    while !shared.stop.load(Ordering::Acquire) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let begun = now();
        let written = session.query(&format!(
            "INSERT INTO samples (tag, time, value) SELECT 'k.' || i, TIMESTAMPTZ '2024-01-01' + {number} * INTERVAL '1 second', i FROM generate_series(1, {SLICES}) AS g(i)"
        ));
        match written {
            Ok(_) => {
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                // Whoever listens may have ended.
                drop(tell.send(Heard { begun, at: now() }));
            }
            Err(fault) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("meridian: a statement failed: {fault}");
            }
        }
    }
    Ok(())
}

fn kill_all(
    arguments: &Arguments,
    fleet: &mut LocalFleet,
    shared: &Shared,
    heard: &mpsc::Receiver<Heard>,
) -> Result<Report, Error> {
    let mut report = Report::new("failover");
    let (mut failovers, mut recoveries) = (Latencies::default(), Latencies::default());
    let (mut worst, mut calm, mut recovering) = (Duration::ZERO, Rate::default(), Rate::default());
    for kill in 0..arguments.kills {
        interrupt::check()?;
        let (begun, before) = (now(), shared.acknowledged.load(Ordering::Relaxed));
        pause(CALM);
        calm.add(shared.acknowledged.load(Ordering::Relaxed) - before, begun.elapsed());
        let victim = kill as usize % fleet.data.len();
        let node = fleet.data[victim].take().ok_or_else(|| Error::Child("a data node is gone".to_owned()))?;
        let killed = now();
        node.kill()?;
        let took = first_after(heard, now())? - killed;
        failovers.add(took);
        worst = worst.max(took);
        let (begun, before) = (now(), shared.acknowledged.load(Ordering::Relaxed));
        fleet.data[victim] = Some(fleet.start_data(u32::try_from(victim).unwrap_or_default())?);
        fleet.wait_in_step()?;
        recovering.add(shared.acknowledged.load(Ordering::Relaxed) - before, begun.elapsed());
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
    report.figures.push(Figure { goal: Some(70.0), ..figure }.with("calm_statements_per_s", calm.of_a_second().round()));
    Ok(report)
}

/// When the first statement that was begun after a moment was acknowledged.
fn first_after(heard: &mpsc::Receiver<Heard>, gone: Instant) -> Result<Instant, Error> {
    loop {
        let next = heard.recv_timeout(PATIENCE);
        let Heard { begun, at } =
            next.map_err(|_| Error::Fleet(format!("nothing was acknowledged for {} s", PATIENCE.as_secs())))?;
        if begun >= gone {
            return Ok(at);
        }
    }
}

/// How much was done in how long.
#[derive(Default)]
struct Rate {
    done: u64,
    took: Duration,
}

impl Rate {
    fn add(&mut self, done: u64, took: Duration) {
        self.done += done;
        self.took += took;
    }

    fn of_a_second(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

#[expect(clippy::disallowed_methods, reason = "the load runs undisturbed for a while: that is what is measured")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
