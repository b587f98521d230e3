//! `meridian demo`: a node of our own, real readings, a live grid, a tour of queries, kill -9 in the
//! middle of writing, and the proof that nothing acknowledged was lost.
//!
//! Promises: nothing is staged; every figure is measured as it runs, and whatever does not do what
//! it should is said and makes the exit status 1. On a terminal it stays up until Ctrl-C.

mod fleet;
mod live;
mod show;
mod tour;

use crate::bench::queries::{self, OURS, Target};
use crate::client::Session;
use crate::config::units::{round_size, round_span};
use crate::grid::{Part, Shape};
use crate::node::{Node, Scratch, disk_bytes};
use crate::progress::now;
use crate::table::thousands;
use crate::terminal::Ink;
use crate::{Error, import, interrupt};
use show::Show;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Two years of hourly readings, as they were published.
static READINGS: &[u8] = include_bytes!("../../../../data/ETTh1.csv");
const ATTRIBUTION: &str =
    "ETTh1 of the ETT data set, by Haoyi Zhou and others (https://github.com/zhouhaoyi/ETDataset), CC BY-ND 4.0, unmodified";
/// Rows and samples of that file.
const READING_ROWS: u64 = 17_420;
const READING_TAGS: u64 = 7;
/// How long the burst lasts before the node is killed.
const BURST: Duration = Duration::from_millis(1500);

/// See it work
#[derive(Debug, clap::Args)]
#[command(about = "See it work: real readings, a live grid, a tour of queries, kill -9")]
pub struct Arguments {
    /// Where the store is made (kept then); a temporary directory where not given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Tags of the simulated grid
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub tags: u64,
    /// Show a fleet instead: roles apart, a primary killed, a node added
    #[arg(long)]
    pub fleet: bool,
    /// Seconds that the grid runs live
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// Runs the demo.
///
/// # Errors
/// Whatever ends it early.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    interrupt::listen();
    let mut show = Show::new();
    let scratch = Scratch::new("demo", arguments.dir.as_deref())?;
    if arguments.fleet {
        return fleet::run(&scratch);
    }
    println!(
        "{}",
        show.terminal.ink(Ink::Bold, &format!("Meridian {}: a real-time database, at work", env!("CARGO_PKG_VERSION")))
    );

    show.section("A node");
    let mut node = Node::start(&scratch.dir.join("node"), &[])?;
    told(&show, &node, "started");

    show.section("Real readings");
    load(&show, &node, &scratch)?;

    show.section("A live grid");
    let start_us = wall_us();
    let shape = Shape { seed: 7, mix: Shape::MIX, start_us, step_us: live::TICK.as_micros() as i64 };
    let ordinal = grid(&show, &node, arguments, shape)?;

    show.section("A tour of queries");
    let wrong = tour::walk(&show, &Session::connect(&node.url(), "meridian demo")?)?;

    show.section("kill -9 in the middle of writing");
    node = crash(&show, node, arguments, shape, ordinal)?;

    show.section("Your turn");
    let size = disk_bytes(&node.dir)?;
    show.line(&format!("the store: {} ({} on disk)", node.dir.display(), round_size(size)));
    let (host, port) = node.pg.rsplit_once(':').unwrap_or((&node.pg, "5432"));
    show.line(&format!("connect:   {}", show.terminal.ink(Ink::Cyan, &format!("psql -h {host} -p {port} -U meridian"))));
    show.line("try:       SELECT * FROM latest LIMIT 5;   \\d   SELECT * FROM meridian.files;");
    if wrong > 0 {
        show.wrong(&format!("{wrong} of the queries did not do what they should"));
    }
    if show.terminal.interactive {
        show.aside("it stays up until Ctrl-C");
        while !interrupt::asked() {
            wait_a_moment();
        }
    }
    node.stop()?;
    if arguments.dir.is_some() {
        show.aside(&format!("the store stays in {}: meridian serve --dir {0}", scratch.dir.join("node").display()));
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

fn told(show: &Show, node: &Node, what: &str) {
    show.well(&format!("process {} {what} and ready in {}", node.pid(), round_span(node.opened_in)));
    show.aside(&format!("PostgreSQL on {}, Arrow Flight on {}, store in {}", node.pg, node.flight, node.dir.display()));
}

/// Loads the readings through the import path, like anybody's file.
#[expect(clippy::disallowed_methods, reason = "the file to import, beside the store")]
fn load(show: &Show, node: &Node, scratch: &Scratch) -> Result<(), Error> {
    let file = scratch.dir.join("ETTh1.csv");
    std::fs::write(&file, READINGS).map_err(|cause| Error::File { path: file.clone(), cause })?;
    show.aside(ATTRIBUTION);
    let url = node.url();
    let command = format!("meridian import ETTh1.csv --to postgres://meridian@{}/meridian --time date --prefix ett.", node.pg);
    show.line(&show.terminal.ink(Ink::Cyan, &command));
    let words = ["import", &file.display().to_string(), "--to", &url, "--time", "date", "--prefix", "ett."].map(str::to_owned);
    let matches = crate::cli::command()
        .try_get_matches_from(std::iter::once("meridian".to_owned()).chain(words))
        .map_err(|error| Error::Usage(error.to_string()))?;
    let (_, matches) = matches.subcommand().ok_or_else(|| Error::Usage("no command".to_owned()))?;
    let report = import::import(&crate::cli::arguments(matches)?)?;
    if report.interrupted {
        return Err(Error::Interrupted);
    }
    let counted = Session::connect(&url, "meridian demo")?.number("SELECT count(*) FROM samples WHERE tag LIKE 'ett.%'")?;
    let right = (report.rows, report.samples) == (READING_ROWS, READING_ROWS * READING_TAGS)
        && u64::try_from(counted) == Ok(report.samples);
    if !right {
        return Err(Error::Wrong(format!(
            "{} rows and {} samples were imported, {counted} are counted",
            report.rows, report.samples
        )));
    }
    show.well(&format!(
        "{} rows, {} samples of {} tags in {} ({} samples/s), all durable, all counted again",
        thousands(report.rows),
        thousands(report.samples),
        report.tags,
        round_span(report.elapsed),
        thousands((report.samples as f64 / report.elapsed.as_secs_f64().max(1e-9)) as u64),
    ));
    Ok(())
}

/// Makes the grid's tags and lets it run live; gives the ordinal of its first tag.
fn grid(show: &Show, node: &Node, arguments: &Arguments, shape: Shape) -> Result<u64, Error> {
    let created = live::create(node, &shape, arguments.tags)?;
    show.well(&format!("{} tags made in {}, in one commit", thousands(arguments.tags), round_span(created)));
    let name = shape.name("live.", 0);
    let ordinal =
        Session::connect(&node.url(), "meridian demo")?.number(&format!("SELECT ordinal FROM tags WHERE name = '{name}'"))?;
    let ordinal = u64::try_from(ordinal).map_err(|_| Error::Wrong(format!("tag {name} has ordinal {ordinal}")))?;
    // The samples' times are of now, so the clock of the data set starts when the grid does.
    let mut part = Part::new(shape, 0, arguments.tags);
    let started = now();
    let heard = live::run(node, &mut part, ordinal, Duration::from_secs(arguments.seconds))?;
    let (half, most) = live::latencies(&heard);
    show.well(&format!(
        "{} live in {}: a commit of {} samples every {} ms, acknowledged as durable in {} (p50) to {} (p99)",
        live::amount(&heard),
        round_span(started.elapsed()),
        thousands(arguments.tags),
        live::TICK.as_millis(),
        round_span(half),
        round_span(most),
    ));
    Ok(ordinal)
}

/// Writes as fast as it goes, kills the node, starts it again and looks for what was acknowledged.
fn crash(show: &Show, node: Node, arguments: &Arguments, live: Shape, ordinal: u64) -> Result<Node, Error> {
    // Yesterday's readings, a second apart, so that what is looked for afterwards is a range of its own.
    let shape = Shape { start_us: live.start_us - 86_400_000_000, step_us: 1_000_000, seed: live.seed + 1, ..live };
    let mut part = Part::new(shape, 0, arguments.tags);
    let (dir, address) = (node.dir.clone(), node.flight.clone());
    let session = Session::connect(&node.url(), "meridian demo")?;
    let before = session.number("SELECT count(*) FROM samples")?;
    let (burst, killed) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| live::burst(&address, &mut part, ordinal));
        wait(BURST);
        let pid = node.pid();
        let killed = node.kill().map(|status| format!("process {pid}: {status}"));
        (writer.join().unwrap_or_else(|_| Err(Error::Child("the writer panicked".to_owned()))), killed)
    });
    let (burst, killed) = (burst?, killed?);
    show.well(&format!("{killed}, while {} commits were under way", burst.unanswered));
    show.line(&format!("acknowledged before that, as this client heard it: {}", live::amount(&burst.heard)));
    show.aside(&format!("the client saw: {}", burst.end));

    let node = Node::start(&dir, &[])?;
    told(show, &node, "started again");
    let session = Session::connect(&node.url(), "meridian demo")?;
    // Half a step before the first and before the first unacknowledged one: jitter is far less.
    let (first, end) = (shape.start_us - 500_000, shape.start_us + burst.heard.batches as i64 * 1_000_000 - 500_000);
    let sql = format!(
        "SELECT count(*) FROM samples WHERE tag LIKE 'live.%' AND time >= to_timestamp_micros({first}) AND time < to_timestamp_micros({end})"
    );
    let found = session.number(&sql)?;
    if u64::try_from(found) != Ok(burst.heard.rows) {
        return Err(Error::Wrong(format!("{} samples were acknowledged, {found} of them are there", burst.heard.rows)));
    }
    show.well(&format!("{} acknowledged, {} found: none lost", thousands(burst.heard.rows), thousands(found as u64)));
    let all = session.number("SELECT count(*) FROM samples")?;
    if all < before + found {
        return Err(Error::Wrong(format!(
            "there were {before} samples before the burst; {all} are fewer than those and the burst"
        )));
    }
    show.well(&format!("the {} samples of before are all there too", thousands(before as u64)));
    let names: Vec<String> = (0..arguments.tags).map(|tag| shape.name("live.", tag)).collect();
    let parts = [part];
    let target = Target { address: &node.pg, door: OURS, parts: &parts, names: &names, first_us: shape.start_us, last_us: end };
    if burst.heard.batches > 0 {
        let started = now();
        let compared = queries::bulk(&target, 1, 1000, 1, Duration::from_millis(300))?;
        show.well(&format!(
            "{} random ones of them read back and compared, bit for bit, in {}: all equal",
            thousands(compared.answers),
            round_span(started.elapsed())
        ));
    }
    Ok(node)
}

#[expect(clippy::disallowed_methods, reason = "the simulated grid runs by this machine's clock")]
fn wall_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Whole ticks look better in a table.
    since.as_micros() as i64 / 200_000 * 200_000
}

#[expect(clippy::disallowed_methods, reason = "the moment of the kill is a matter of time, not of a condition")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

fn wait_a_moment() {
    wait(Duration::from_millis(50));
}
