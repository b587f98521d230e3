//! `bench questions`: small questions, ours beside PostgreSQL, VictoriaMetrics and InfluxDB.
//!
//! Promises: all hold the same points, flushed, merged or vacuumed as suits each; single points are drawn from a seed and each answer
//! is held against the data set; of the others rows are counted, once they were decoded. Sides are asked in turns, ours at three
//! doors: as text, which PostgreSQL is asked by too, and in columns by Flight SQL and over HTTP, each of which is told beside the other
//! peers.

mod asking;

use crate::Setup;
use crate::contest::Side;
use crate::encode::{copy_by_number, lines, remote_write};
use crate::grid::{self, batches};
use crate::measure::Spent;
use crate::peer::{Server, influx, victoria};
use crate::report::Report;
use crate::side::{Body, Connection, REMOTE_WRITE, Turn, turn};
use asking::{Asking, Door, Who};
use meridian::Session;
use meridian::bench::postgres::{COPY, Installation, Postgres, TABLE};
use meridian::bench::queries::{self, OURS, PEER, Target};
use meridian::flight::{Asker, sample_batch, sample_schema};
use meridian::grid::{Columns, Part};
use meridian::node::{Node, Scratch};
use meridian::progress::Progress;
use meridian::{Error, interrupt};
use std::time::Duration;

/// Turns of each side.
const ROUNDS: u64 = 5;
/// Doors at which ours is asked.
const OURS_AT: usize = 3;
const STEPS_AT_ONCE: u64 = 40;
const BATCH: u64 = 100_000;
const CONNECTIONS: u64 = 2;
const DAY_S: u64 = 86_400;

/// Small questions, beside PostgreSQL, VictoriaMetrics and InfluxDB
#[derive(clap::Args)]
pub struct Arguments {
    /// Tags
    #[arg(long, default_value_t = 10_000)]
    tags: u64,
    /// Days of data, a month for the last question
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u64).range(2..))]
    days: u64,
    /// Seconds from one sample of a tag to the next
    #[arg(long, default_value_t = 600)]
    cadence: u64,
    /// Seconds of each question on each side
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that ask for single points
    #[arg(long, default_value_t = 8)]
    connections: usize,
    #[command(flatten)]
    setup: Setup,
}

/// Who is there, and what all of them hold.
struct Field {
    node: Node,
    postgres: Option<Postgres>,
    victoria: Option<Server>,
    influx: Option<Server>,
    parts: Vec<Part>,
    names: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// Whatever ends it early, and a wrong answer.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let scratch = Scratch::new("bench-questions", arguments.setup.dir.as_deref())?;
    let field = Field::start(arguments, &scratch)?;
    let points: u64 = field.parts.iter().map(|part| part.steps() * part.tags()).sum();
    let mut report = Report::new(format!(
        "Small questions: {} tags over {} days, a sample each {} s ({points} points); in {ROUNDS} turns",
        arguments.tags, arguments.days, arguments.cadence
    ));
    field.points(arguments, &mut report)?;
    for question in [Asking::Last, Asking::Day, Asking::Month] {
        field.asked(arguments, question, &mut report)?;
    }
    report.end(arguments.setup.json.as_deref())
}

impl Field {
    fn start(arguments: &Arguments, scratch: &Scratch) -> Result<Field, Error> {
        let setup = &arguments.setup;
        let http = ["--http", "127.0.0.1:0"].map(str::to_owned);
        let node = Node::start(&scratch.dir.join("node"), &[&http, &setup.serve[..]].concat())?;
        let postgres = setup.wants("postgres").then(|| Installation::find()?.start(&scratch.dir.join("postgres"))).transpose()?;
        let victoria = setup.wants("victoria").then(|| victoria::start(&scratch.dir.join("victoria"))).transpose()?;
        let influx = setup.wants("influx").then(|| influx::start(&scratch.dir.join("influx"))).transpose()?;
        let shape = grid::shape(setup.seed, arguments.cadence as i64 * 1_000_000);
        let parts = grid::parts(shape, arguments.tags, CONNECTIONS);
        let names = (0..arguments.tags).map(grid::name).collect();
        let mut field = Field { node, postgres, victoria, influx, parts, names };
        field.load(arguments)?;
        Ok(field)
    }

    fn load(&mut self, arguments: &Arguments) -> Result<(), Error> {
        let session = Session::connect(&self.node.url(), "bench")?;
        let shape = grid::shape(arguments.setup.seed, arguments.cadence as i64 * 1_000_000);
        let ordinal = grid::make_tags(&session, shape, arguments.tags, "")?;
        let each = |make: &dyn Fn(u64) -> Result<Connection, Error>| (0..CONNECTIONS).map(make).collect::<Result<Vec<_>, _>>();
        type Encode = Box<dyn Fn(&Columns) -> Result<Body, Error>>;
        let mut sides: Vec<(u32, Vec<Connection>, Encode)> = vec![(
            self.node.pid(),
            each(&|i| Ok(Connection::Flight(self.node.flight.clone(), format!("bench-{i}"))))?,
            Box::new(move |columns| Ok(Body::Batch(sample_batch(&sample_schema(), columns.clone(), ordinal)))),
        )];
        if let Some(peer) = &self.postgres {
            let url = peer.url("meridian");
            Session::connect(&url, "bench")?.query(TABLE)?;
            let connections = each(&|_| Ok(Connection::Copy(Box::new(Session::connect(&url, "bench")?), COPY)))?;
            sides.push((peer.process(), connections, Box::new(|columns| Ok(Body::Text(copy_by_number(columns))))));
        }
        if let Some(peer) = &self.victoria {
            let connections = each(&|_| Ok(Connection::http(format!("{}/api/v1/write", peer.url), REMOTE_WRITE)))?;
            sides.push((peer.process(), connections, Box::new(|columns| Ok(Body::Bytes(remote_write(columns, "grid_value")?)))));
        }
        if let Some(peer) = &self.influx {
            let connections = each(&|_| Ok(Connection::http(format!("{}/write?db=meridian", peer.url), &[])))?;
            sides.push((peer.process(), connections, Box::new(|columns| Ok(Body::Bytes(lines(columns, "grid"))))));
        }
        let steps = arguments.days * DAY_S / arguments.cadence;
        let mut progress = Progress::start("loading all sides", "points", Some(steps * arguments.tags));
        let mut done = 0;
        while done < steps {
            interrupt::check()?;
            let more = STEPS_AT_ONCE.min(steps - done);
            let rows = batches(&mut self.parts, more, BATCH);
            for (process, connections, encode) in &sides {
                let of_connection = |batches: &Vec<Columns>| batches.iter().map(encode).collect();
                let bodies = rows.iter().map(of_connection).collect::<Result<Vec<Vec<Body>>, Error>>()?;
                turn(connections, &bodies, 0, *process, done)?;
            }
            done += more;
            progress.at(done * arguments.tags, "");
        }
        drop(sides);
        // Each at its best for what follows.
        session.query("SELECT meridian_flush()")?;
        session.query("SELECT meridian_merge()")?;
        if let Some(peer) = &self.postgres {
            let session = Session::connect(&peer.url("meridian"), "bench")?;
            session.query("VACUUM (ANALYZE) samples")?;
            session.query("CHECKPOINT")?;
        }
        self.victoria.as_ref().map_or(Ok(()), victoria::settle)
    }

    /// Single points: the newest sample of a tag at or before a moment.
    fn points(&self, arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
        let first_us = grid::START_US + 1_000_000;
        let last_us = grid::START_US + (arguments.days * DAY_S) as i64 * 1_000_000;
        let ours = Target { address: &self.node.pg, door: OURS, parts: &self.parts, names: &self.names, first_us, last_us };
        let lasting = Duration::from_secs(arguments.seconds) / ROUNDS as u32;
        let mut sides = vec![Side::new("Meridian")];
        sides.extend(self.postgres.as_ref().map(|_| Side::new("PostgreSQL")));
        sides.extend(self.http_peers().into_iter().map(|(who, _)| Side::new(who.name())));
        for round in 0..ROUNDS {
            let seed = arguments.setup.seed ^ (0x0005_1261 + round);
            let mut at = 0;
            let mut add = |turn| {
                sides[at].add(turn);
                at += 1;
            };
            let found = queries::singles(&ours, arguments.connections, seed, &|elapsed| elapsed < lasting)?;
            add(of_found(found));
            if let Some(peer) = &self.postgres {
                let theirs = Target { address: &peer.address, door: PEER, ..ours };
                add(of_found(queries::singles(&theirs, arguments.connections, seed, &|elapsed| elapsed < lasting)?));
            }
            for (who, peer) in self.http_peers() {
                let target = asking::Points { who, peer, parts: &self.parts, cadence_s: arguments.cadence, first_us, last_us };
                add(target.ask(arguments.connections, seed, lasting)?);
            }
        }
        let (ours, peers) = sides.split_at(1);
        for peer in peers {
            let goal = if peer.name == "PostgreSQL" { 1.0 } else { 4.0 };
            let goal = (peer.name != influx::NAME).then_some(goal);
            report.rates("single points", "/s", &ours[0], peer, goal);
        }
        Ok(())
    }

    fn http_peers(&self) -> Vec<(Who, &Server)> {
        let victoria = self.victoria.as_ref().map(|peer| (Who::Victoria, peer));
        victoria.into_iter().chain(self.influx.as_ref().map(|peer| (Who::Influx, peer))).collect()
    }

    /// A question over one connection, again and again.
    fn asked(&self, arguments: &Arguments, question: Asking, report: &mut Report) -> Result<(), Error> {
        let lasting = Duration::from_secs(arguments.seconds) / ROUNDS as u32;
        let (text, columns) = (Session::connect(&self.node.url(), "bench")?, Asker::connect(&self.node.flight)?);
        let url = self.node.door("http=").map(|address| format!("http://{address}/query")).unwrap_or_default();
        let theirs = self.postgres.as_ref().map(|peer| Session::connect(&peer.url("meridian"), "bench")).transpose()?;
        let extent = asking::Extent { tags: arguments.tags, days: arguments.days, cadence_s: arguments.cadence };
        let mut sides = vec![
            (Side::new("as text"), Door::Sql(&text, true)),
            (Side::new("by Flight SQL"), Door::Flight(&columns)),
            (Side::new("over HTTP, in columns"), Door::Columns(&url)),
        ];
        sides.extend(theirs.as_ref().map(|session| (Side::new("PostgreSQL"), Door::Sql(session, false))));
        sides.extend(self.http_peers().into_iter().map(|(who, peer)| (Side::new(who.name()), Door::Http(who, peer))));
        for round in 0..ROUNDS {
            for (side, door) in &mut sides {
                side.add(question.again(door, extent, arguments.setup.seed ^ round, lasting)?);
            }
        }
        let (ours, peers) = sides.split_at(OURS_AT);
        let fastest = (0..OURS_AT).max_by(|a, b| ours[*a].0.rate().total_cmp(&ours[*b].0.rate())).unwrap_or(0);
        for (peer, door) in peers {
            // PostgreSQL at the door that it has too; the others beside all of ours, the goal at the fastest.
            let beside = if matches!(door, Door::Sql(..)) { 0..1 } else { 0..OURS_AT };
            let goal_at = if matches!(door, Door::Sql(..)) { 0 } else { fastest };
            for at in beside {
                let what = format!("{}, {}", question.what(), ours[at].0.name);
                report.rates(&what, "/s", &ours[at].0, peer, (at == goal_at).then_some(1.0));
            }
        }
        Ok(())
    }
}

fn of_found(found: queries::Found) -> Turn {
    Turn { points: found.answers, elapsed: found.elapsed, spent: Spent::default(), latencies: found.latencies }
}
