//! `meridian bench table1`: the five measurements of the paper's Table 1, on the grid data set.
//!
//! Promises: client and server are two processes over loopback; what was acknowledged is counted
//! again after a restart; queries run with caches a tenth of the data.

use super::bounds::{self, Machine, Usage};
use super::contest::{self, Contest};
use super::costs;
use super::ingest::{Written, create_tags, out_of_order, paced, pause, sequential, shuffled};
use super::postgres::Installation;
use super::queries::{self, Found, OURS, Target};
use super::report::{Figure, Report};
use super::resident::resident;
use super::setup::Setup;
use super::subject;
use crate::client::Session;
use crate::config::units::{round_size, round_span};
use crate::fleet::local::{FleetKeeper, Shape as FleetShape};
use crate::grid::{Columns, Part, Shape};
use crate::node::{Node, Scratch, disk_bytes};
use crate::progress::now;
use crate::table::{rounded, thousands};
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  meridian bench table1                                   defaults: two cores, some five minutes
  meridian bench table1 --points 10000000 --random-points 2000000 --create-tags 100000   a quick look
  meridian bench table1 --json table1.json --dir /data/bench --serve --memory-bytes=8GiB
  meridian bench table1 --fleet 3x5                       a fleet on this machine, and what it costs beside one node
  meridian bench table1 --peer postgres                   and PostgreSQL's figures beside ours, as ratios";

/// A month, in microseconds.
const MONTH_US: i64 = 30 * 86_400_000_000;
const START_US: i64 = 1_704_067_200_000_000; // 2024-01-01 00:00:00 UTC

/// The paper's Table 1, one node at a time
#[derive(Clone, Debug, clap::Args)]
#[command(about = "The paper's five measurements on the grid data set", after_help = EXAMPLES)]
pub struct Arguments {
    /// Tags of the data set, each a sample a second
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub tags: u64,
    /// Samples written in order of time
    #[arg(long, default_value_t = 100_000_000)]
    pub points: u64,
    /// Samples written out of order over a month
    #[arg(long, default_value_t = 20_000_000)]
    pub random_points: u64,
    /// Tags made by the first measurement
    #[arg(long, default_value_t = 1_000_000)]
    pub create_tags: u64,
    /// Percent of voltages, powers, constants and states
    #[arg(long, value_delimiter = ',', default_values_t = Shape::MIX)]
    pub mix: Vec<u8>,
    /// The seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Streams that write side by side
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub streams: u64,
    /// Samples a batch, which is a commit
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub batch: u64,
    /// Connections of single queries
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=512))]
    pub connections: u64,
    /// Connections of bulk queries
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub bulk_connections: u64,
    /// Questions of a bulk statement
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub pairs: u64,
    /// Seconds of each query measurement
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Measure a fleet on this machine: 3x5 = three managers and schedulers, five data nodes, every slice with one backup; then one
    /// node, for what distribution costs beside it
    #[arg(long, value_name = "DOORSxDATA")]
    pub fleet: Option<FleetShape>,
    /// Let a peer do the same in turns with ours, at the end
    #[arg(long, value_name = "PEER")]
    pub peer: Option<Peer>,
    /// Samples that the peer holds, the first ones of the data set
    #[arg(long, default_value_t = 4_000_000, value_name = "POINTS")]
    pub peer_points: u64,
    #[command(flatten)]
    pub setup: Setup,
}

/// Who can stand beside ours.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Peer {
    /// A PostgreSQL server of this machine, with its own defaults
    Postgres,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever ends it early, and a wrong answer.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let mix =
        <[u8; 4]>::try_from(arguments.mix.clone()).ok().filter(|mix| mix.iter().map(|part| u32::from(*part)).sum::<u32>() == 100);
    let mix = mix.ok_or_else(|| Error::Usage("--mix needs four numbers that are 100 together: 40,40,10,10".to_owned()))?;
    // What is missing is said before minutes are spent.
    let peer = arguments.peer.map(|Peer::Postgres| Installation::find()).transpose()?;
    let mut report = measure(arguments, mix, arguments.setup.begin("")?, peer)?;
    if arguments.fleet.is_some() {
        say("the same on one node, for what a fleet costs beside it");
        let alone = Arguments { fleet: None, ..arguments.clone() };
        let alone = measure(&alone, mix, arguments.setup.begin("alone")?, None)?;
        report.figures.extend(costs::beside_one_node(&report, &alone));
    }
    arguments.setup.end(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments, mix: [u8; 4], scratch: Scratch, peer: Option<Installation>) -> Result<Report, Error> {
    let mut run = Run::start(arguments, mix, scratch)?;
    run.create()?;
    run.write_in_order()?;
    run.storage()?;
    run.write_out_of_order()?;
    run.while_merging()?;
    run.queries()?;
    if let Some(peer) = peer {
        run.meet(&peer)?;
    }
    run.node.take().map_or(Ok(()), Node::stop)?;
    Ok(std::mem::replace(&mut run.report, Report::new("table1")))
}

/// A run under way.
struct Run<'a> {
    arguments: &'a Arguments,
    shape: Shape,
    parts: Vec<Part>,
    names: Vec<String>,
    /// Ordinal of the data set's first tag, and of the first one of the tags written out of order.
    ordinals: (u64, u64),
    machine: Machine,
    report: Report,
    node: Option<Node>,
    keeper: Option<FleetKeeper>,
    // Last, so that the node is gone before its directory is.
    scratch: Scratch,
}

impl<'a> Run<'a> {
    fn start(arguments: &'a Arguments, mix: [u8; 4], scratch: Scratch) -> Result<Run<'a>, Error> {
        let machine = bounds::measure(&scratch.dir)?;
        say(&format!(
            "this machine: {} cores; disk {}/s synced, a sync {}; memory {}/s",
            machine.cores,
            round_size(machine.disk_write as u64),
            round_span(machine.disk_sync),
            round_size(machine.memory_copy as u64),
        ));
        let shape = Shape { seed: arguments.seed, mix, start_us: START_US, step_us: 1_000_000 };
        let (node, keeper) = subject::start(arguments, &scratch, &[])?;
        let share = arguments.tags.div_ceil(arguments.streams);
        let parts = (0..arguments.tags)
            .step_by(share as usize)
            .map(|first| Part::new(shape, first, share.min(arguments.tags - first)))
            .collect();
        let mut report = Report::new("table1");
        for (name, value) in [
            ("cores", machine.cores as f64),
            ("disk_write_bytes_per_s", machine.disk_write.round()),
            ("disk_sync_us", machine.disk_sync.as_micros() as f64),
            ("memory_copy_bytes_per_s", machine.memory_copy.round()),
        ] {
            report.machine.insert(name.to_owned(), serde_json::json!(value));
        }
        report.machine.insert("release_build".to_owned(), (!cfg!(debug_assertions)).into());
        let names = (0..arguments.tags).map(|tag| shape.name("grid.", tag)).collect();
        Ok(Run { arguments, shape, parts, names, ordinals: (0, 0), machine, report, node: Some(node), keeper, scratch })
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("the node only changes hands within restart")
    }

    fn session(&self) -> Result<Session, Error> {
        interrupt::check()?;
        Session::connect(&self.node().url(), "meridian bench")
    }

    /// Stops the node and starts it again with further flags.
    fn restart(&mut self, flags: &[String]) -> Result<(), Error> {
        if let Some(node) = self.node.take() {
            node.stop()?;
        }
        drop(self.keeper.take());
        let (node, keeper) = subject::start(self.arguments, &self.scratch, flags)?;
        (self.node, self.keeper) = (Some(node), keeper);
        Ok(())
    }

    /// A figure beside the paper's, of one node or of a fleet.
    fn held(&self, figure: Figure, goals: subject::Goals) -> Figure {
        let (paper, goal) = if self.arguments.fleet.is_some() { goals.fleet } else { goals.alone };
        figure.against(paper, goal)
    }

    /// The nearest bound of a rate: the disk, given the bytes that a unit of it took, or core time.
    fn bounded(&self, figure: Figure, units: u64, usage: Usage) -> Figure {
        let bytes = usage.server_written as f64 / units.max(1) as f64;
        let cpu = usage.cpu().as_secs_f64() / units.max(1) as f64;
        let by_disk = if bytes > 0.0 { self.machine.disk_write / bytes } else { f64::INFINITY };
        let by_cores = if cpu > 0.0 { self.machine.cores as f64 / cpu } else { f64::INFINITY };
        let server = usage.server_cpu.as_secs_f64() / units.max(1) as f64;
        let figure = figure
            .with("disk_bytes_per_unit", (bytes * 100.0).round() / 100.0)
            .with("core_ns_per_unit", (cpu * 1e9).round())
            .with("server_core_ns_per_unit", (server * 1e9).round());
        match by_disk < by_cores {
            true => figure.bounded(format!("disk write, {bytes:.1} B each"), by_disk),
            false if by_cores.is_finite() => {
                figure.bounded(format!("core time, {} each", round_span(Duration::from_secs_f64(cpu))), by_cores)
            }
            false => figure,
        }
    }

    fn wrote(&mut self, figure: Figure, mut written: Written, latency: &str) {
        say(&format!(
            "{}: {}/s ({} in {})",
            figure.name,
            rounded(written.rate()),
            thousands(written.rows),
            round_span(written.elapsed)
        ));
        let figure = self.bounded(figure, written.rows, written.usage).with("seconds", written.elapsed.as_secs_f64());
        self.report.figures.push(figure);
        self.report.latency(latency, written.latencies.percentiles());
    }

    fn create(&mut self) -> Result<(), Error> {
        let count = self.arguments.create_tags;
        let written = create_tags(self.node(), &self.shape, "made.", count)?;
        if count > 0 {
            let figure = self.held(Figure::new("tag creation", written.rate(), "tags/s"), subject::TAGS);
            self.wrote(figure.with("tags", count).with("door", "Arrow Flight"), written, "making 50,000 tags (commit)");
        }
        let mut first = Vec::new();
        for prefix in ["grid.", "late."] {
            create_tags(self.node(), &self.shape, prefix, self.arguments.tags)?;
            let name = self.shape.name(prefix, 0);
            let ordinal = self.session()?.number(&format!("SELECT ordinal FROM tags WHERE name = '{name}'"))?;
            first.push(u64::try_from(ordinal).unwrap_or(0));
        }
        self.ordinals = (first[0], first[1]);
        Ok(())
    }

    fn write_in_order(&mut self) -> Result<(), Error> {
        let steps = (self.arguments.points / self.arguments.tags).max(1);
        let making = self.cost_of_making();
        let ordinal = self.ordinals.0;
        let mut parts = std::mem::take(&mut self.parts);
        let written = sequential(self.node(), &mut parts, ordinal, steps, self.arguments.batch as usize);
        self.parts = parts;
        let written = written?;
        let memory = resident(self.node().pid()).peak;
        let figure = self.held(Figure::new("ingest in order, durable", written.rate(), "points/s"), subject::IN_ORDER);
        let figure = figure
            .with("points", written.rows)
            .with("tags", self.arguments.tags)
            .with("streams", self.arguments.streams)
            .with("batch", self.arguments.batch)
            .with("mix", self.shape.mix.to_vec())
            .with("seed", self.shape.seed)
            .with("made_while_the_clock_ran_ns_per_point", making)
            .with("server_memory_peak_bytes", memory);
        self.wrote(figure, written, "write in order, full load (batch)");
        Ok(())
    }

    /// What it costs the client to make one sample, in nanoseconds.
    fn cost_of_making(&self) -> f64 {
        let mut part = Part::new(self.shape, 0, self.arguments.tags);
        let mut columns = Columns::with_room(self.arguments.tags as usize * 50);
        let started = now();
        (0..50).for_each(|_| part.next_step(&mut columns));
        (started.elapsed().as_nanos() as f64 / columns.len() as f64 * 10.0).round() / 10.0
    }

    fn storage(&mut self) -> Result<(), Error> {
        let points = self.count("grid.")?;
        let session = self.session()?;
        let started = now();
        session.query("SELECT meridian_flush()")?;
        let flushed = started.elapsed();
        session.query("SELECT meridian_merge()")?;
        let merged = started.elapsed() - flushed;
        let dir = self.node().dir.clone();
        let bytes = self.node().file_bytes(".series")?;
        let value = bytes as f64 / points.max(1) as f64;
        say(&format!(
            "storage: {value:.3} bytes a point ({}; flush {}, merge {})",
            round_size(bytes),
            round_span(flushed),
            round_span(merged)
        ));
        let mut figure = Figure::new("storage after merging", value, "bytes/point");
        figure = self.held(figure, subject::storage(self.arguments.fleet));
        figure.less_is_better = true;
        let figure = figure
            .bounded("entropy of the data", bounds::entropy(&self.shape))
            .with("points", points)
            .with("raw_bytes", subject::RAW_BYTES)
            .with("part_of_raw", value / subject::RAW_BYTES)
            .with("directory_bytes", disk_bytes(&dir)?)
            .with("flush_seconds", flushed.as_secs_f64())
            .with("merge_seconds", merged.as_secs_f64());
        self.report.figures.push(figure);
        Ok(())
    }

    /// The samples of the tags with that prefix, as the node counts them, held against what was acknowledged.
    fn count(&self, prefix: &str) -> Result<u64, Error> {
        let counted = self.session()?.number(&format!("SELECT count(*) FROM samples WHERE tag LIKE '{prefix}%'"))?;
        let expected: u64 = self.parts.iter().map(|part| part.tags() * part.steps()).sum();
        if prefix == "grid." && counted != i64::try_from(expected).unwrap_or(i64::MAX) {
            return Err(Error::Wrong(format!("{expected} samples of {prefix} were acknowledged, {counted} are counted")));
        }
        Ok(u64::try_from(counted).unwrap_or(0))
    }

    fn write_out_of_order(&mut self) -> Result<(), Error> {
        let steps = self.arguments.random_points / self.arguments.tags;
        if steps == 0 {
            return Ok(());
        }
        let shape = Shape { step_us: MONTH_US / steps as i64, ..self.shape };
        let mut part = Part::new(shape, 0, self.arguments.tags);
        let all = shuffled(&mut part, self.ordinals.1, steps, self.arguments.seed);
        let written = out_of_order(self.node(), &all, self.arguments.streams as usize, self.arguments.batch as usize)?;
        drop(all);
        let counted = self.count("late.")?;
        if counted != written.rows {
            return Err(Error::Wrong(format!("{} samples were acknowledged out of order, {counted} are counted", written.rows)));
        }
        let in_order =
            self.report.figures.iter().find(|figure| figure.name.starts_with("ingest in order")).map(|figure| figure.value);
        let alone = in_order.unwrap_or(0.0) * 0.75;
        let figure = Figure::new("ingest out of order, durable", written.rate(), "points/s");
        let figure = self.held(figure, subject::out_of_order(alone));
        let figure = figure
            .with("points", written.rows)
            .with("over_days", 30)
            .with("made_while_the_clock_ran_ns_per_point", 0)
            .with("part_of_in_order", written.rate() / in_order.unwrap_or(f64::NAN));
        self.wrote(figure, written, "write out of order, full load (batch)");
        let names: Vec<String> = (0..self.arguments.tags).map(|tag| self.shape.name("late.", tag)).collect();
        let parts = [part];
        let target = Target {
            address: &self.node().pg,
            door: OURS,
            parts: &parts,
            names: &names,
            first_us: START_US - 1_000_000,
            last_us: START_US + MONTH_US,
        };
        // Not measured: what was written out of order is read back and compared.
        queries::bulk(&target, 1, 1000, self.arguments.seed ^ 0x5EED, Duration::from_millis(500))?;
        Ok(())
    }

    fn target(&self) -> Target<'_> {
        let steps = self.parts.first().map_or(0, Part::steps) as i64;
        Target {
            address: &self.node().pg,
            door: OURS,
            parts: &self.parts,
            names: &self.names,
            first_us: START_US,
            last_us: START_US + steps * 1_000_000,
        }
    }

    /// Reads and writes under a light load while everything written out of order is merged.
    fn while_merging(&mut self) -> Result<(), Error> {
        let session = self.session()?;
        let merging = AtomicBool::new(true);
        // Writes go to the same tags, a year later, so that they disturb no answer.
        let later = Shape { start_us: START_US + 12 * MONTH_US, ..self.shape };
        let mut part = Part::new(later, 0, self.arguments.tags);
        let ordinal = self.ordinals.0;
        let (merged, read, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                paced(self.node(), &mut part, ordinal, Duration::from_millis(100), &|| merging.load(Ordering::Relaxed))
            });
            let merger = scope.spawn(|| {
                let started = now();
                let done = session.query("SELECT meridian_flush()").and_then(|_| session.query("SELECT meridian_merge()"));
                merging.store(false, Ordering::Relaxed);
                done.map(|_| started.elapsed())
            });
            let go_on = |elapsed: Duration| merging.load(Ordering::Relaxed) || elapsed < Duration::from_secs(1);
            let read = queries::singles(&self.target(), 1, self.arguments.seed ^ 0x3E46, &go_on);
            (joined(merger), read, joined(writer))
        });
        let (merged, mut read, mut written) = (merged?, read?, written?);
        say(&format!("merging what came out of order took {}", round_span(merged)));
        self.report.machine.insert("merge_out_of_order_seconds".to_owned(), merged.as_secs_f64().into());
        self.report.latency("read while merging, 1 connection", read.latencies.percentiles());
        self.report.latency("write while merging (a second of all tags)", written.percentiles());
        Ok(())
    }

    fn queries(&mut self) -> Result<(), Error> {
        let cache = (self.node().file_bytes(".series")? / 10).max(1 << 20);
        self.restart(&[format!("--cache-bytes-max={cache}B")])?;
        say(&format!("opened again in {}, with caches of {}", round_span(self.node().opened_in), round_size(cache)));
        // Each row written while merging is there too, so the count of the data set is by time.
        let last = self.target().last_us;
        let session = self.session()?;
        let sql =
            format!("SELECT count(*) FROM samples WHERE tag LIKE 'grid.%' AND time < to_timestamp({})", last / 1_000_000 + 1);
        let (counted, expected) = (session.number(&sql)?, self.parts.iter().map(|part| part.tags() * part.steps()).sum::<u64>());
        if u64::try_from(counted).ok() != Some(expected) {
            return Err(Error::Wrong(format!("{expected} samples were acknowledged, {counted} are there after the restart")));
        }
        let lasting = Duration::from_secs(self.arguments.seconds);
        let pairs = self.arguments.pairs as usize;
        let before = Usage::now(self.node());
        let found = queries::bulk(&self.target(), self.arguments.bulk_connections as usize, pairs, self.arguments.seed, lasting)?;
        let usage = Usage::now(self.node()).since(before);
        let figure = self.held(Figure::new("random queries, in bulk", 0.0, "values/s"), subject::BULK);
        let figure = figure.with("pairs", self.arguments.pairs).with("connections", self.arguments.bulk_connections);
        self.asked(figure, found, usage, cache, &format!("read in bulk, {pairs} values"));
        let before = Usage::now(self.node());
        let connections = self.arguments.connections as usize;
        let found = queries::singles(&self.target(), connections, self.arguments.seed, &|elapsed| elapsed < lasting)?;
        let usage = Usage::now(self.node()).since(before);
        let figure = self.held(Figure::new("random queries, single prepared", 0.0, "values/s"), subject::SINGLE);
        let figure = figure.with("connections", self.arguments.connections);
        self.asked(figure, found, usage, cache, &format!("read single, {connections} connections at full load"));
        Ok(())
    }

    /// The peer's turns beside ours: of all that this run wrote, with the caches that its queries had.
    fn meet(&mut self, installation: &Installation) -> Result<(), Error> {
        let peer = installation.start(&self.scratch.dir.join("postgres"))?;
        let mut report = std::mem::replace(&mut self.report, Report::new("table1"));
        let contest =
            Contest { arguments: self.arguments, node: self.node(), peer: &peer, target: self.target(), shape: self.shape };
        let met = contest::run(&contest, &mut report);
        self.report = report;
        met
    }

    fn asked(&mut self, mut figure: Figure, mut found: Found, usage: Usage, cache: u64, latency: &str) {
        figure.value = found.answers as f64 / found.elapsed.as_secs_f64().max(1e-9);
        say(&format!("{}: {}/s, all {} answers right", figure.name, rounded(figure.value), thousands(found.answers)));
        // Queries write nothing; what the disk took meanwhile is the node's background.
        let usage = Usage { server_written: 0, ..usage };
        let figure = self.bounded(figure, found.answers, usage).with("cache_bytes", cache).with("verified", found.answers);
        self.report.figures.push(figure);
        self.report.latency(latency, found.latencies.percentiles());
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, Error>>) -> Result<T, Error> {
    while !thread.is_finished() {
        pause();
    }
    thread.join().unwrap_or_else(|_| Err(Error::Child("a thread of the client panicked".to_owned())))
}

fn say(line: &str) {
    eprintln!("{line}");
}
