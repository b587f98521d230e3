//! `bench ingest`: writing, ours beside VictoriaMetrics, InfluxDB and PostgreSQL.
//!
//! Promises: all sides get the same rows in turns, in bodies made before the clock starts, over as many connections; counts are held
//! against what was acknowledged; then each is killed right after its last acknowledgement, and what it lost is counted.

use crate::contest::Side;
use crate::encode::{copy_by_name, copy_by_number, lines, remote_write};
use crate::grid::{self, batches, parts};
use crate::measure::{self, Spent};
use crate::peer::{Server, influx, victoria};
use crate::report::{Beside, Report};
use crate::side::{Body, Connection, REMOTE_WRITE, turn};
use crate::{Setup, failed};
use meridian::Error;
use meridian::Session;
use meridian::bench::postgres::{COPY, Installation, Postgres, TABLE, free_port};
use meridian::flight::{sample_batch, sample_schema};
use meridian::grid::{Columns, Part};
use meridian::node::{Node, Scratch, disk_bytes};
use meridian::table::{Table, rounded};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Turns of each side.
const ROUNDS: u64 = 5;
/// Bytes of a sample as it is: tag 4, time 8, value 8, quality 1.
const RAW_BYTES: f64 = 21.0;

/// Writing, beside VictoriaMetrics, InfluxDB and PostgreSQL
#[derive(clap::Args)]
pub struct Arguments {
    /// Tags, each a sample a second
    #[arg(long, default_value_t = 20_000)]
    tags: u64,
    /// Points each side takes by each protocol
    #[arg(long, default_value_t = 20_000_000)]
    points: u64,
    /// Points each side takes by COPY
    #[arg(long, default_value_t = 4_000_000)]
    copy_points: u64,
    /// Points a body, which ours makes a commit
    #[arg(long, default_value_t = 100_000)]
    batch: u64,
    /// Connections of each side
    #[arg(long, default_value_t = 2)]
    connections: u64,
    #[command(flatten)]
    setup: Setup,
}

/// Who is there.
struct Field {
    node: Node,
    victoria: Option<Server>,
    influx: Option<Server>,
    postgres: Option<Postgres>,
    /// The ordinal of the first tag that Flight writes.
    ordinal: u64,
}

/// A protocol of the contest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fastest,
    Lines,
    Copy,
}

/// One side in one protocol: how it is reached, and how bodies are made for it.
struct Entrant {
    side: Side,
    process: u32,
    connections: Vec<Connection>,
    encode: fn(&Columns, u64) -> Result<Body, Error>,
}

/// Runs it.
///
/// # Errors
/// Whatever ends it early, and a wrong count.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let scratch = Scratch::new("bench-ingest", arguments.setup.dir.as_deref())?;
    let field = Field::start(arguments, &scratch)?;
    let mut report = Report::new(format!(
        "Ingest: {} tags, batches of {}, {} connections; {} points a protocol, in {ROUNDS} turns",
        arguments.tags,
        arguments.batch,
        arguments.connections,
        rounded(arguments.points as f64)
    ));
    let mut made = BTreeMap::new();
    for (mode, points) in
        [(Mode::Fastest, arguments.points), (Mode::Lines, arguments.points), (Mode::Copy, arguments.copy_points)]
    {
        made.insert(mode as u8, field.contest(arguments, mode, points, &mut report)?);
    }
    field.rest(arguments, &made, &mut report)?;
    field.killed(arguments, made, &mut report)?;
    report.end(arguments.setup.json.as_deref())
}

impl Field {
    fn start(arguments: &Arguments, scratch: &Scratch) -> Result<Field, Error> {
        let http = free_port()?;
        let flags: Vec<String> = [format!("--http=127.0.0.1:{http}")].into_iter().chain(arguments.setup.serve.clone()).collect();
        let node = Node::start(&scratch.dir.join("node"), &flags)?;
        let setup = &arguments.setup;
        let victoria = setup.wants("victoria").then(|| victoria::start(&scratch.dir.join("victoria"))).transpose()?;
        let influx = setup.wants("influx").then(|| influx::start(&scratch.dir.join("influx"))).transpose()?;
        let postgres = setup.wants("postgres").then(|| Installation::find()?.start(&scratch.dir.join("postgres"))).transpose()?;
        let session = Session::connect(&node.url(), "bench")?;
        let shape = grid::shape(arguments.setup.seed, 1_000_000);
        let ordinal = grid::make_tags(&session, shape, arguments.tags, "fast.")?;
        grid::make_tags(&session, shape, arguments.tags, "copy.")?;
        if let Some(postgres) = &postgres {
            Session::connect(&postgres.url("meridian"), "bench")?.query(TABLE)?;
        }
        Ok(Field { node, victoria, influx, postgres, ordinal })
    }

    fn http(&self) -> String {
        self.node.door("http=").map_or_else(String::new, |address| format!("http://{address}"))
    }

    /// Who takes part in a protocol, ours first.
    fn entrants(&self, arguments: &Arguments, mode: Mode) -> Result<Vec<Entrant>, Error> {
        let connections = |make: &dyn Fn(u64) -> Result<Connection, Error>| (0..arguments.connections).map(make).collect();
        let mut entrants: Vec<Entrant> = Vec::new();
        let mut add = |name: &str, process, connections: Result<Vec<Connection>, Error>, encode| {
            entrants.push(Entrant { side: Side::new(name), process, connections: connections?, encode });
            Ok::<_, Error>(())
        };
        let copy = |url: &str| connections(&|_| Ok(Connection::Copy(Box::new(Session::connect(url, "bench")?), COPY)));
        let pid = self.node.pid();
        match mode {
            Mode::Fastest => {
                add(
                    "Meridian, Flight",
                    pid,
                    connections(&|i| Ok(Connection::Flight(self.node.flight.clone(), format!("bench-{i}")))),
                    |columns, ordinal| Ok(Body::Batch(sample_batch(&sample_schema(), columns.clone(), ordinal))),
                )?;
                if let Some(peer) = &self.victoria {
                    let url = format!("{}/api/v1/write", peer.url);
                    let made = connections(&|_| Ok(Connection::http(url.clone(), REMOTE_WRITE)));
                    add(victoria::NAME, peer.process(), made, |columns, _| {
                        Ok(Body::Bytes(remote_write(columns, "fast_value")?))
                    })?;
                }
                if let Some(peer) = &self.influx {
                    let url = format!("{}/write?db=meridian", peer.url);
                    let made = connections(&|_| Ok(Connection::http(url.clone(), &[])));
                    add(influx::NAME, peer.process(), made, |columns, _| Ok(Body::Bytes(lines(columns, "fast"))))?;
                }
            }
            Mode::Lines => {
                let doors = [
                    Some(("Meridian, lines", pid, format!("{}/write", self.http()))),
                    self.victoria.as_ref().map(|peer| (victoria::NAME, peer.process(), format!("{}/write", peer.url))),
                    self.influx.as_ref().map(|peer| (influx::NAME, peer.process(), format!("{}/write?db=meridian", peer.url))),
                ];
                for (name, process, url) in doors.into_iter().flatten() {
                    let made = connections(&|_| Ok(Connection::http(url.clone(), &[])));
                    add(name, process, made, |columns, _| Ok(Body::Bytes(lines(columns, "line"))))?;
                }
            }
            Mode::Copy => {
                let ours: fn(&Columns, u64) -> Result<Body, Error> = |columns, _| Ok(Body::Text(copy_by_name(columns, "copy.")));
                add("Meridian, COPY", pid, copy(&self.node.url()), ours)?;
                if let Some(peer) = &self.postgres {
                    add("PostgreSQL", peer.process(), copy(&peer.url("meridian")), |columns, _| {
                        Ok(Body::Text(copy_by_number(columns)))
                    })?;
                }
            }
        }
        Ok(entrants)
    }

    /// All sides of a protocol in turns; gives the parts that made the rows.
    fn contest(&self, arguments: &Arguments, mode: Mode, points: u64, report: &mut Report) -> Result<Vec<Part>, Error> {
        let mut parts = parts(grid::shape(arguments.setup.seed, 1_000_000), arguments.tags, arguments.connections);
        let mut entrants = self.entrants(arguments, mode)?;
        let steps = (points / arguments.tags / ROUNDS).max(1);
        for round in 0..ROUNDS {
            let rows = batches(&mut parts, steps, arguments.batch);
            for entrant in &mut entrants {
                entrant.turn(&rows, self.ordinal, round)?;
            }
        }
        let (ours, peers) = entrants.split_first().ok_or_else(|| failed("writing", "nobody takes part"))?;
        for peer in peers {
            let (what, goal) = match (mode, peer.side.name.as_str()) {
                (Mode::Fastest, victoria::NAME) => ("ingest, each by its fastest protocol", Some(2.0)),
                (Mode::Fastest, _) => ("ingest, each by its fastest protocol", Some(6.0)),
                (Mode::Lines, _) => ("ingest by line protocol", Some(1.2)),
                (Mode::Copy, _) => ("COPY of samples", Some(3.0)),
            };
            report.rates(what, "/s", &ours.side, &peer.side, goal);
        }
        let mut table = Table::new(["side", "core time, a million points", "latency p50", "p99"]);
        let mut values = serde_json::Map::new();
        for entrant in &mut entrants {
            let cpu = entrant.side.spent.cpu.as_secs_f64() / entrant.side.done as f64 * 1e6;
            let latency = entrant.side.latencies.percentiles();
            table.row([
                entrant.side.name.clone(),
                format!("{cpu:.3} s"),
                format!("{:.0?}", latency.p50),
                format!("{:.0?}", latency.p99),
            ]);
            values.insert(entrant.side.name.clone(), json!({"cpu_s_a_million": cpu, "rate": entrant.side.rate()}));
        }
        let called = ["Servers while they took it, by the fastest protocol", "By line protocol", "By COPY"][mode as usize];
        report.fact(called, table, values.into());
        Ok(parts)
    }

    /// Counts, and what lies on disk once all is merged.
    fn rest(&self, arguments: &Arguments, made: &BTreeMap<u8, Vec<Part>>, report: &mut Report) -> Result<(), Error> {
        let session = Session::connect(&self.node.url(), "bench")?;
        let of = |mode: Mode| made.get(&(mode as u8)).map_or(0, |parts| points_of(parts));
        let (fast, line, copied) = (of(Mode::Fastest), of(Mode::Lines), of(Mode::Copy));
        for (prefix, points) in [("fast.", fast), ("line,", line), ("copy.", copied)] {
            let counted = session.number(&format!("SELECT count(*) FROM samples WHERE tag LIKE '{prefix}%'"))?;
            same(&format!("Meridian, {prefix}"), points, u64::try_from(counted).unwrap_or(0))?;
        }
        session.query("SELECT meridian_flush()")?;
        session.query("SELECT meridian_merge()")?;
        let mut held = Held::new();
        let slices = disk_bytes(&self.node.dir.join("slices"))?;
        let ours = held.row("Meridian", (fast + line + copied, slices), &self.node.dir, self.node.pid())?;
        let (_, last_us) = stretch(made, arguments);
        if let Some(peer) = &self.victoria {
            victoria::settle(peer)?;
            let counted = victoria::count(peer, "fast_value", grid::START_US - 1_000_000, last_us)?;
            same("VictoriaMetrics, remote write", fast, counted)?;
            let called = format!("{} {}", victoria::NAME, victoria::version());
            let data = disk_bytes(&peer.dir.join("data"))?;
            let theirs = held.row(&called, (fast + line, data), &peer.dir, peer.process())?;
            let what = "bytes a point on disk, merged".to_owned();
            let peer = victoria::NAME.to_owned();
            report.add(Beside { what, unit: "B", ours, peer, theirs, goal: Some(0.8), more: false, turns: Vec::new() });
        }
        if let Some(peer) = &self.influx {
            same("InfluxDB", fast, influx::count(peer, "fast")?)?;
            let called = format!("{} {}", influx::NAME, influx::version());
            held.row(&called, (fast + line, disk_bytes(&peer.dir.join("data"))?), &peer.dir, peer.process())?;
        }
        let title =
            "All of it, merged where that can be asked for; quality is kept by ours alone. Beside the data: logs, tags, indexes";
        report.fact(title, held.table, held.values.into());
        Ok(())
    }

    /// One more turn each, kill -9 right after its last acknowledgement, and what is there after a start.
    fn killed(self, arguments: &Arguments, mut made: BTreeMap<u8, Vec<Part>>, report: &mut Report) -> Result<(), Error> {
        let mut entrants = self.entrants(arguments, Mode::Fastest)?;
        let before = made.get(&(Mode::Fastest as u8)).map_or(0, |parts| points_of(parts));
        let mut parts = made.remove(&(Mode::Fastest as u8)).unwrap_or_default();
        let rows = batches(&mut parts, (arguments.points / arguments.tags / ROUNDS).max(1), arguments.batch);
        let sent: u64 = rows.iter().flatten().map(|columns| columns.len() as u64).sum();
        let last_us = grid::START_US + points_of(&parts) as i64 / arguments.tags as i64 * 1_000_000;
        let mut table = Table::new(["side", "acknowledged", "lost by kill -9 right after", ""]);
        let mut values = serde_json::Map::new();
        let Field { node, victoria, influx, ordinal, .. } = self;
        let (mut node, mut victoria, mut influx) = (Some(node), victoria, influx);
        for entrant in &mut entrants {
            entrant.turn(&rows, ordinal, ROUNDS)?;
            let name = entrant.side.name.clone();
            let counted = match name.as_str() {
                victoria::NAME => {
                    let Some(peer) = victoria.take() else { continue };
                    let dir = peer.dir.clone();
                    peer.kill()?;
                    victoria::count(&victoria::start(&dir)?, "fast_value", grid::START_US - 1_000_000, last_us)?
                }
                influx::NAME => {
                    let Some(peer) = influx.take() else { continue };
                    let dir = peer.dir.clone();
                    peer.kill()?;
                    influx::count(&influx::start(&dir)?, "fast")?
                }
                _ => {
                    let Some(ours) = node.take() else { continue };
                    let dir = ours.dir.clone();
                    ours.kill()?;
                    let again = Node::start(&dir, &arguments.setup.serve)?;
                    let session = Session::connect(&again.url(), "bench")?;
                    let counted = session.number("SELECT count(*) FROM samples WHERE tag LIKE 'fast.%'")?;
                    u64::try_from(counted).unwrap_or(0)
                }
            };
            let lost = (before + sent).saturating_sub(counted);
            let part = lost as f64 / sent as f64 * 100.0;
            table.row([name.clone(), rounded(sent as f64), rounded(lost as f64), format!("{part:.1} %")]);
            values.insert(name.clone(), json!({"sent": sent, "lost": lost}));
            if !name.contains("Meridian") {
                continue;
            }
            same("Meridian after kill -9", before + sent, counted)?;
        }
        report.fact("Killed right after the last acknowledgement of one more turn", table, values.into());
        Ok(())
    }
}

impl Entrant {
    fn turn(&mut self, rows: &[Vec<Columns>], ordinal: u64, round: u64) -> Result<(), Error> {
        let encode = self.encode;
        let of_connection = |batches: &Vec<Columns>| batches.iter().map(|columns| encode(columns, ordinal)).collect();
        let bodies = rows.iter().map(of_connection).collect::<Result<Vec<Vec<Body>>, Error>>()?;
        let points = rows.iter().flatten().map(|columns| columns.len() as u64).sum();
        self.side.add(turn(&self.connections, &bodies, points, self.process, round)?);
        Ok(())
    }
}

/// What each holds and took, a row a side.
struct Held {
    table: Table,
    values: serde_json::Map<String, serde_json::Value>,
}

impl Held {
    fn new() -> Held {
        let heads = [
            "side",
            "points",
            "bytes a point",
            "beside",
            "written a byte of input",
            "core time, a million points",
            "memory, peak",
        ];
        Held { table: Table::new(heads), values: serde_json::Map::new() }
    }

    /// Adds a side; gives its bytes a point.
    fn row(&mut self, name: &str, (points, bytes): (u64, u64), dir: &Path, process: u32) -> Result<f64, Error> {
        let (spent, memory) = (Spent::of(process), measure::peak(process));
        let (a_point, written) = (bytes as f64 / points as f64, spent.written as f64 / (points as f64 * RAW_BYTES));
        let (cpu, beside) = (spent.cpu.as_secs_f64() / points as f64 * 1e6, disk_bytes(dir)?.saturating_sub(bytes));
        self.table.row([
            name.to_owned(),
            rounded(points as f64),
            format!("{a_point:.2}"),
            format!("{} MiB", beside >> 20),
            format!("{written:.2}"),
            format!("{cpu:.3} s"),
            format!("{} MiB", memory >> 20),
        ]);
        let value = json!({
            "points": points, "bytes_a_point": a_point, "bytes_beside": beside, "written_a_byte": written,
            "cpu_s_a_million": cpu, "memory_peak": memory,
        });
        self.values.insert(name.to_owned(), value);
        Ok(a_point)
    }
}

fn points_of(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.steps() * part.tags()).sum()
}

/// From the first to the last moment of the longest.
fn stretch(made: &BTreeMap<u8, Vec<Part>>, arguments: &Arguments) -> (i64, i64) {
    let steps = made.values().map(|parts| points_of(parts) / arguments.tags).max().unwrap_or(0);
    (grid::START_US, grid::START_US + steps as i64 * 1_000_000)
}

fn same(who: &str, acknowledged: u64, counted: u64) -> Result<(), Error> {
    if acknowledged == counted {
        return Ok(());
    }
    Err(Error::Wrong(format!("{who}: {acknowledged} points were acknowledged, {counted} are counted")))
}
