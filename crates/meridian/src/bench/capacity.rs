//! `meridian bench capacity`: how many tags a node holds: its memory, its opening, its answers.
//!
//! Promises: the node is a process of its own, and its memory is what the system says that the process
//! holds (VmHWM, VmRSS), all of it; after kill -9 and after a stop every tag's snapshot value is there,
//! and answers drawn at random are those that were written.

use super::asking::{self, Asking};
use super::fleet::Fleet;
use super::report::{Figure, Report};
use super::resident::{forget_peak, resident};
use super::setup::Setup;
use crate::client::Session;
use crate::config::units::{round_size, round_span};
use crate::flight::{Stream, runtime, sample_batch, sample_schema};
use crate::node::{Node, Scratch, disk_bytes};
use crate::progress::{Progress, now};
use crate::table::rounded;
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  meridian bench capacity                                  ten million tags; some minutes, 4 GiB of memory
  meridian bench capacity --tags 100000                    a quick look
  meridian bench capacity --json capacity.json --dir /data/bench --memory-bytes 3GiB";

/// Tags, or samples, of one commit.
const TAGS_A_COMMIT: u64 = 50_000;
const SAMPLES_A_COMMIT: u64 = 100_000;
/// What a node of ten million tags must do with.
const MEMORY_GOAL: f64 = (4_u64 << 30) as f64;
const OPENING_GOAL_S: f64 = 30.0;

/// Tags of one node
#[derive(Debug, clap::Args)]
#[command(about = "How many tags one node holds: memory, opening, answers", after_help = EXAMPLES)]
pub struct Arguments {
    /// Tags
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub tags: u64,
    /// Samples of each tag, a minute apart
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub samples: u64,
    /// The node's memory budget
    #[arg(long, default_value = "4GiB", value_name = "SIZE")]
    pub memory_bytes: String,
    /// Seconds for which each question is asked again and again
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// The seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub setup: Setup,
}

/// Runs the benchmark.
///
/// # Errors
/// Whatever ends it early, and a wrong answer.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let scratch = arguments.setup.begin("")?;
    let mut run = Run::start(arguments, scratch)?;
    run.make_tags()?;
    run.write_samples()?;
    run.node()?.kill()?;
    run.open("after kill -9", "memory, opening after kill -9")?;
    run.hold_answers()?;
    run.flush()?;
    run.stop()?;
    run.open("after a stop", "memory, opening after a stop")?;
    run.hold_answers()?;
    run.ask()?;
    run.stop()?;
    arguments.setup.end(&run.report)?;
    Ok(ExitCode::SUCCESS)
}

/// A run under way.
struct Run<'a> {
    arguments: &'a Arguments,
    fleet: Fleet,
    report: Report,
    /// What the node held before the first tag.
    empty: u64,
    node: Option<Node>,
    // Last, so that the node is gone before its directory is.
    scratch: Scratch,
}

impl<'a> Run<'a> {
    fn start(arguments: &'a Arguments, scratch: Scratch) -> Result<Run<'a>, Error> {
        let mut report = Report::new("capacity");
        report.machine.insert("cores".to_owned(), crate::config::cores().into());
        report.machine.insert("release_build".to_owned(), (!cfg!(debug_assertions)).into());
        report.machine.insert("tags".to_owned(), arguments.tags.into());
        report.machine.insert("samples_a_tag".to_owned(), arguments.samples.into());
        report.machine.insert("memory_bytes".to_owned(), arguments.memory_bytes.clone().into());
        let fleet = Fleet { seed: arguments.seed };
        let mut run = Run { arguments, fleet, report, empty: 0, node: None, scratch };
        run.node = Some(run.start_node()?);
        run.empty = resident(run.pid()).now;
        Ok(run)
    }

    fn start_node(&self) -> Result<Node, Error> {
        let budget = format!("--memory-bytes={}", self.arguments.memory_bytes);
        let flags: Vec<String> = std::iter::once(budget).chain(self.arguments.setup.serve.iter().cloned()).collect();
        Node::start(&self.scratch.dir.join("node"), &flags)
    }

    /// The node, to be ended.
    fn node(&mut self) -> Result<Node, Error> {
        self.node.take().ok_or_else(|| Error::Child("it was ended before".to_owned()))
    }

    fn running(&self) -> &Node {
        self.node.as_ref().expect("the node is ended only where the next one is started")
    }

    fn pid(&self) -> u32 {
        self.running().pid()
    }

    fn session(&self) -> Result<Session, Error> {
        Session::connect(&self.running().url(), "meridian bench")
    }

    /// Notes the memory of a piece of work that is over, and lets the peak begin anew.
    fn note_memory(&mut self, name: &'static str) {
        let held = resident(self.pid());
        say(&format!("{name}: at most {}, now {}", round_size(held.peak), round_size(held.now)));
        let figure = Figure::new(name, gib(held.peak), "GiB").at_most(gib_of(MEMORY_GOAL));
        self.report.figures.push(figure.with("bytes", held.peak).with("bytes_afterwards", held.now));
        forget_peak(self.pid());
    }

    fn make_tags(&mut self) -> Result<(), Error> {
        let (fleet, count) = (self.fleet, self.arguments.tags);
        let address = self.running().flight.clone();
        let schema = Fleet::tag_schema();
        let mut progress = Progress::start("tags", "tags", Some(count));
        let started = now();
        let heard = runtime()?.block_on(async {
            let mut stream = Stream::tags(&address, std::sync::Arc::clone(&schema)).await?;
            for first in (0..count).step_by(TAGS_A_COMMIT as usize) {
                interrupt::check()?;
                stream.send(&fleet.tag_batch(&schema, first..(first + TAGS_A_COMMIT).min(count))).await?;
                progress.at(first, "");
            }
            stream.finish().await
        })?;
        progress.end();
        acknowledged("tags", count, heard.rows)?;
        self.rate("tag creation, client included", "tags/s", count, started.elapsed());
        self.note_memory("memory, making tags");
        Ok(())
    }

    fn write_samples(&mut self) -> Result<(), Error> {
        let (fleet, tags, steps) = (self.fleet, self.arguments.tags, self.arguments.samples);
        let address = self.running().flight.clone();
        let schema = sample_schema();
        let mut progress = Progress::start("samples", "samples", Some(tags * steps));
        let started = now();
        let heard = runtime()?.block_on(async {
            let mut stream = Stream::samples(&address, "bench-capacity").await?;
            for step in 0..steps {
                for first in (0..tags).step_by(SAMPLES_A_COMMIT as usize) {
                    interrupt::check()?;
                    let columns = fleet.columns(first..(first + SAMPLES_A_COMMIT).min(tags), step);
                    stream.send(&sample_batch(&schema, columns, 0)).await?;
                    progress.at(step * tags + first, "");
                }
            }
            stream.finish().await
        })?;
        progress.end();
        acknowledged("samples", tags * steps, heard.rows)?;
        self.rate("samples, one a tag and commit of 100,000", "samples/s", tags * steps, started.elapsed());
        self.note_memory("memory, writing samples");
        Ok(())
    }

    fn rate(&mut self, name: &'static str, unit: &'static str, count: u64, elapsed: Duration) {
        let figure = Figure::new(name, count as f64 / elapsed.as_secs_f64().max(1e-9), unit);
        say(&format!("{name}: {} {unit} ({})", rounded(figure.value), round_span(elapsed)));
        self.report.figures.push(figure.with("count", count).with("seconds", elapsed.as_secs_f64()));
    }

    fn flush(&mut self) -> Result<(), Error> {
        let session = self.session()?;
        let started = now();
        session.query("SELECT meridian_flush()")?;
        let flushed = started.elapsed();
        session.query("SELECT meridian_merge()")?;
        say(&format!("flush {}, merge {}", round_span(flushed), round_span(started.elapsed() - flushed)));
        self.note_memory("memory, flush and merge");
        let bytes = disk_bytes(&self.running().dir)?;
        let figure = Figure::new("disk, a tag with its samples", bytes as f64 / self.arguments.tags as f64, "bytes");
        self.report.figures.push(figure.with("bytes", bytes));
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        let started = now();
        self.node()?.stop()?;
        say(&format!("stopped in {}", round_span(started.elapsed())));
        Ok(())
    }

    /// Starts the node again: how long until it answers.
    fn open(&mut self, after: &str, name: &'static str) -> Result<(), Error> {
        interrupt::check()?;
        let started = now();
        self.node = Some(self.start_node()?);
        let session = self.session()?;
        session.number("SELECT 1")?;
        let first = started.elapsed();
        let tag = self.arguments.tags / 2;
        asking::hold(&self.asking(&session), &[tag])?;
        let point = started.elapsed();
        let cpu = self.running().cpu().unwrap_or_default();
        say(&format!(
            "opened {after}: SELECT 1 answered after {}, a snapshot value after {}; {} of a core",
            round_span(first),
            round_span(point),
            round_span(cpu)
        ));
        let title = if after == "after a stop" { "opening after a stop" } else { "opening after kill -9" };
        let figure = Figure::new(title, point.as_secs_f64(), "s").at_most(OPENING_GOAL_S);
        let figure = figure.with("select_1_seconds", first.as_secs_f64()).with("core_seconds", cpu.as_secs_f64());
        self.report.figures.push(figure.with("ready_seconds", self.running().opened_in.as_secs_f64()));
        self.note_memory(name);
        Ok(())
    }

    fn asking<'s>(&'s self, session: &'s Session) -> Asking<'s> {
        let last_step = self.arguments.samples - 1;
        Asking { session, address: &self.running().pg, fleet: self.fleet, tags: self.arguments.tags, last_step }
    }

    /// Counts, and spot checks against what was written.
    fn hold_answers(&mut self) -> Result<(), Error> {
        let session = self.session()?;
        asking::hold_all(&self.asking(&session), self.arguments.samples)?;
        self.note_memory("memory, counting all tags and samples");
        Ok(())
    }

    /// The node at rest, then the usual questions.
    fn ask(&mut self) -> Result<(), Error> {
        let held = resident(self.pid()).now;
        let a_tag = held.saturating_sub(self.empty) as f64 / self.arguments.tags as f64;
        say(&format!("at rest: {}, {a_tag:.0} bytes a tag above an empty node", round_size(held)));
        self.report.figures.push(Figure::new("memory at rest", gib(held), "GiB").at_most(gib_of(MEMORY_GOAL)));
        self.report.figures.push(Figure::new("memory at rest, a tag", a_tag, "bytes").with("empty_bytes", self.empty));
        let session = self.session()?;
        for (name, mut latencies) in asking::measure(&self.asking(&session), Duration::from_secs(self.arguments.seconds))? {
            self.report.latency(name, latencies.percentiles());
        }
        self.note_memory("memory, queries");
        Ok(())
    }
}

fn gib(bytes: u64) -> f64 {
    gib_of(bytes as f64)
}

fn gib_of(bytes: f64) -> f64 {
    (bytes / f64::from(1 << 30) * 1000.0).round() / 1000.0
}

fn acknowledged(what: &str, sent: u64, heard: u64) -> Result<(), Error> {
    if sent == heard { Ok(()) } else { Err(Error::Wrong(format!("{sent} {what} were sent, {heard} were acknowledged"))) }
}

fn say(line: &str) {
    eprintln!("{line}");
}
