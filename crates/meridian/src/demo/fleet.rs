//! `meridian demo --fleet`: manager, scheduler and data nodes as processes of their own; a node that leads slices is killed, comes
//! back, and another one is added, while samples pour in.
//!
//! Promises: nothing is staged; what is said to be acknowledged is what this client heard, and all of it is counted again.

use super::live;
use super::show::Show;
use crate::client::Session;
use crate::config::units::round_span;
use crate::fleet::local::{LocalFleet, Shape as FleetShape};
use crate::flight::{Stream, runtime, sample_batch, sample_schema};
use crate::grid::{Columns, Part, Shape};
use crate::node::Scratch;
use crate::plot::Plot;
use crate::progress::now;
use crate::table::thousands;
use crate::{Error, interrupt};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHAPE: FleetShape = FleetShape { doors: 1, data: 3, apart: true };
/// Tags of the grid.
const TAGS: u64 = 4_000;
/// How long samples pour in before something happens, and after.
const CALM: Duration = Duration::from_secs(6);
/// How long a fleet may take to be in step again, or to be even.
const PATIENCE: Duration = Duration::from_secs(120);
/// Batches under way.
const UNDER_WAY: usize = 4;
/// Width of a bar of the plot of throughput.
const BIN: Duration = Duration::from_millis(250);

/// What was heard of the pouring: when, and how many samples by then.
type Heard = Vec<(Instant, u64)>;

/// Something that happened while samples poured in.
struct Mark {
    at: Instant,
    what: String,
}

/// Runs it.
///
/// # Errors
/// Whatever ends it early.
pub fn run(scratch: &Scratch) -> Result<ExitCode, Error> {
    let mut show = Show::new();
    show.section("A fleet: manager, scheduler and three data nodes, each a process");
    let started = now();
    let mut fleet = LocalFleet::start(scratch, SHAPE, &["--rule-buckets=24", "--rule-b1=64"].map(str::to_owned))?;
    show.well(&format!("all slices placed, every one with a copy in step, after {}", round_span(started.elapsed())));
    nodes(&show, &fleet.session()?)?;

    show.section("Samples pour in");
    let shape = Shape { seed: 7, mix: Shape::MIX, start_us: 1_704_067_200_000_000, step_us: 1_000_000 };
    let made = live::create(&fleet.doors[0], &shape, TAGS)?;
    show.well(&format!("{} tags made in {}, on every scheduler", thousands(TAGS), round_span(made)));
    let ordinal = fleet.session()?.number(&format!("SELECT ordinal FROM tags WHERE name = '{}'", shape.name("live.", 0)))?;
    let ordinal = u64::try_from(ordinal).map_err(|_| Error::Wrong(format!("a tag has ordinal {ordinal}")))?;
    let mut part = Part::new(shape, 0, TAGS);
    let (stop, address, begun) = (AtomicBool::new(false), fleet.doors[0].flight.clone(), now());
    let (heard, marks) = std::thread::scope(|scope| {
        let pouring = scope.spawn(|| pour(&address, &mut part, ordinal, &stop));
        let marks = happen(&mut show, &mut fleet);
        stop.store(true, Ordering::Release);
        (pouring.join().unwrap_or_else(|_| Err(Error::Child("the writer panicked".to_owned()))), marks)
    });
    let (heard, marks) = (heard?, marks?);

    show.section("Throughput through it all");
    plot(&show, begun, &heard, &marks);

    show.section("Nothing acknowledged was lost");
    let acknowledged = heard.last().map_or(0, |(_, rows)| *rows);
    let session = fleet.session()?;
    let found = session.number("SELECT count(*) FROM samples WHERE tag LIKE 'live.%'")?;
    let wrong = u64::try_from(found) != Ok(acknowledged);
    if wrong {
        show.wrong(&format!("{} acknowledged, {found} found", thousands(acknowledged)));
    } else {
        show.well(&format!("{} samples acknowledged, {} found", thousands(acknowledged), thousands(found as u64)));
    }
    tour(&show, &session)?;
    show.section("Your turn");
    let door = &fleet.doors[0];
    let (host, port) = door.pg.rsplit_once(':').unwrap_or((&door.pg, "5432"));
    show.line(&format!("connect:   psql -h {host} -p {port} -U meridian"));
    show.line("try:       SELECT * FROM meridian.nodes;   SELECT meridian_drain(101);   SELECT * FROM meridian.operations;");
    if show.terminal.interactive {
        show.aside("it stays up until Ctrl-C");
        while !interrupt::asked() {
            wait(Duration::from_millis(50));
        }
    }
    let (door, keeper) = fleet.into_node();
    door.stop()?;
    drop(keeper);
    Ok(ExitCode::from(u8::from(wrong)))
}

/// What happens to the fleet meanwhile; when.
fn happen(show: &mut Show, fleet: &mut LocalFleet) -> Result<Vec<Mark>, Error> {
    let mut marks = Vec::new();
    wait(CALM);
    show.section("kill -9 of a data node that leads slices");
    let session = fleet.session()?;
    let led = session.number("SELECT count(*) FROM meridian.slice_map WHERE \"primary\" = 100")?;
    let victim = fleet.data[0].take().ok_or_else(|| Error::Child("the first data node is gone".to_owned()))?;
    let (pid, at) = (victim.pid(), now());
    victim.kill()?;
    marks.push(Mark { at, what: "node 100 killed".to_owned() });
    show.well(&format!("process {pid}, node 100, is gone; it led {led} of 24 slices"));
    until(|| Ok(session.number("SELECT count(*) FROM meridian.slice_map WHERE \"primary\" = 100")? == 0))?;
    show.well(&format!("all of them are led by members after {}; no manager was asked", round_span(at.elapsed())));
    wait(CALM);

    show.section("It comes back");
    let at = now();
    fleet.data[0] = Some(fleet.start_data(0)?);
    marks.push(Mark { at, what: "node 100 back".to_owned() });
    fleet.wait_in_step()?;
    show.well(&format!("every copy is in step again {} after its start", round_span(at.elapsed())));
    wait(CALM / 2);

    show.section("A fourth node is added");
    let at = now();
    let added = fleet.start_data(3)?;
    fleet.data.push(Some(added));
    marks.push(Mark { at, what: "node 103 added".to_owned() });
    until(|| Ok(session.number("SELECT count(*) FROM meridian.nodes WHERE node = 103 AND state = 'Normal'")? == 1))?;
    let told = session.query("SELECT meridian_even(true)")?;
    show.lines(&told);
    until(|| Ok(session.number("SELECT count(*) FROM meridian.operations")? == 0))?;
    fleet.wait_in_step()?;
    show.well(&format!("the data lie evenly on four nodes after {}", round_span(at.elapsed())));
    marks.push(Mark { at: now(), what: "even".to_owned() });
    wait(CALM / 2);
    nodes(show, &session)?;
    Ok(marks)
}

fn nodes(show: &Show, session: &Session) -> Result<(), Error> {
    let sql = "SELECT node, roles, state, primaries, backups, busy_permille FROM meridian.nodes ORDER BY node";
    show.question("Who there is", sql);
    let started = now();
    let answer = session.query(sql)?;
    show.answer(&answer, started.elapsed());
    Ok(())
}

fn tour(show: &Show, session: &Session) -> Result<(), Error> {
    for (title, sql) in [
        (
            "An aggregate, computed where the data lie",
            "SELECT count(*), round(avg(value)) AS mean, max(time) FROM samples WHERE tag LIKE 'live.%'",
        ),
        ("Who is asked, and what for", "EXPLAIN SELECT count(*) FROM samples WHERE tag LIKE 'live.%'"),
        ("The newest values", "SELECT tag, value, time FROM latest WHERE tag LIKE 'live.%' ORDER BY tag LIMIT 3"),
    ] {
        show.question(title, sql);
        let started = now();
        let answer = session.query(sql)?;
        if sql.starts_with("EXPLAIN") { show.lines(&answer) } else { show.answer(&answer, started.elapsed()) }
    }
    Ok(())
}

/// Pours samples in as fast as they are taken, until it is told to stop; what was heard when.
fn pour(address: &str, part: &mut Part, ordinal: u64, stop: &AtomicBool) -> Result<Heard, Error> {
    let (schema, mut heard) = (sample_schema(), Heard::new());
    runtime()?.block_on(async {
        let mut stream = Stream::samples(address, "demo-fleet").await?;
        while !stop.load(Ordering::Acquire) && !interrupt::asked() {
            let mut columns = Columns::with_room(part.tags() as usize);
            part.next_step(&mut columns);
            stream.send(&sample_batch(&schema, columns, ordinal)).await?;
            while stream.under_way() >= UNDER_WAY {
                stream.hear().await?;
                heard.push((now(), stream.heard.rows));
            }
        }
        while stream.under_way() > 0 {
            stream.hear().await?;
            heard.push((now(), stream.heard.rows));
        }
        stream.finish().await.map(drop)
    })?;
    Ok(heard)
}

fn plot(show: &Show, begun: Instant, heard: &Heard, marks: &[Mark]) {
    let end = heard.last().map_or(begun, |(at, _)| *at);
    let bins = ((end - begun).as_secs_f64() / BIN.as_secs_f64()).ceil().max(1.0) as usize;
    let mut rates = vec![0_u64; bins];
    let mut before = 0;
    for (at, rows) in heard {
        let bin = ((*at - begun).as_secs_f64() / BIN.as_secs_f64()) as usize;
        rates[bin.min(bins - 1)] += rows - before;
        before = *rows;
    }
    let points: Vec<(f64, f64)> =
        rates.iter().enumerate().map(|(bin, rows)| (bin as f64 * BIN.as_secs_f64(), *rows as f64 / BIN.as_secs_f64())).collect();
    let drawn = Plot { width: show.terminal.width.saturating_sub(4).min(96), height: 10 };
    let last = format!("{:.0} s", (end - begun).as_secs_f64());
    show.line("acknowledged samples a second");
    for line in drawn.draw(&points, ("0 s", &last)).lines() {
        println!("  {line}");
    }
    for mark in marks {
        show.aside(&format!("{:5.1} s  {}", (mark.at - begun).as_secs_f64(), mark.what));
    }
    let gap = heard.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
    show.well(&format!("the longest time without an acknowledgement was {}", round_span(gap)));
}

fn until(done: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    let begun = now();
    while !done()? {
        interrupt::check()?;
        if begun.elapsed() > PATIENCE {
            return Err(Error::Fleet(format!("what was waited for did not come within {} s", PATIENCE.as_secs())));
        }
        wait(Duration::from_millis(50));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "what is shown takes its time")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}
