//! `bench table1 --peer postgres`: ours and a peer do the same in turns, with one client.
//!
//! Promises: turns are short and alternate, so that both meet the machine in the same mood and their ratio means
//! something where the figures alone don't; both are sent the same rows in batches of the same size over as many
//! connections, each acknowledged only when durable; both are asked the same sort of question by the same code, and
//! every answer is held against the data set.
//!
//! What differs is told in docs/PERFORMANCE.md: the peer holds a few million rows and nothing else, ours these and all
//! others of the run, with caches of a tenth, and is asked both of all and of these; the peer is asked by the tag's
//! number, ours by its name.

use super::ingest::{Written, create_tags, join, pause, sequential};
use super::latencies::Latencies;
use super::postgres::{COPY, Postgres, TABLE};
use super::queries::{self, Found, PEER, Target};
use super::report::{Beside, Report};
use super::table1::Arguments;
use crate::client::Session;
use crate::grid::{Columns, Part, Shape};
use crate::import::write_time;
use crate::node::Node;
use crate::progress::now;
use crate::table::{rounded, thousands};
use crate::{Error, interrupt};
use std::fmt::Write;
use std::time::Duration;
use types::Timestamp;

/// Turns of each side in each measurement.
const ROUNDS: u64 = 5;

/// Who meets whom, and over what.
pub struct Contest<'a> {
    /// What the benchmark was told.
    pub arguments: &'a Arguments,
    /// Our node.
    pub node: &'a Node,
    /// The peer.
    pub peer: &'a Postgres,
    /// What ours is asked.
    pub target: Target<'a>,
    /// The data set.
    pub shape: Shape,
}

/// What one side did in all its turns.
#[derive(Default)]
struct Side {
    count: u64,
    spent: Duration,
    rates: Vec<f64>,
    latencies: Latencies,
}

impl Side {
    fn add(&mut self, count: u64, spent: Duration, latencies: Latencies) {
        self.count += count;
        self.spent += spent;
        self.rates.push(count as f64 / spent.as_secs_f64().max(1e-9));
        self.latencies.join(latencies);
    }

    fn wrote(&mut self, written: Written) {
        self.add(written.rows, written.elapsed, written.latencies);
    }

    fn answered(&mut self, found: Found) {
        self.add(found.answers, found.elapsed, found.latencies);
    }
}

/// Runs all measurements.
///
/// # Errors
/// Whatever ends one early, and a wrong answer of either side.
pub fn run(contest: &Contest<'_>, report: &mut Report) -> Result<(), Error> {
    report.peer = format!("PostgreSQL {}", contest.peer.version);
    let (parts, names) = contest.write(report)?;
    contest.ask(&parts, &names, report)
}

impl Contest<'_> {
    /// Both take the same rows; gives the parts that made them, and the tags' names in ours.
    fn write(&self, report: &mut Report) -> Result<(Vec<Part>, Vec<String>), Error> {
        let (tags, streams) = (self.arguments.tags, self.arguments.streams);
        let rows = self.arguments.peer_points;
        let steps = (rows / tags / ROUNDS).max(1);
        let batch = self.arguments.batch as usize;
        let [ours, theirs] = [self.node.url(), self.peer.url("meridian")]
            .map(|url| (0..streams).map(|_| Session::connect(&url, "meridian bench")).collect::<Result<Vec<_>, _>>());
        let (ours, theirs) = (ours?, theirs?);
        theirs[0].query(TABLE)?;
        create_tags(self.node, &self.shape, "copy.", tags)?;
        create_tags(self.node, &self.shape, "flight.", tags)?;
        let first = format!("SELECT ordinal FROM tags WHERE name = '{}'", self.shape.name("flight.", 0));
        let ordinal = u64::try_from(ours[0].number(&first)?).unwrap_or(0);
        let names: Vec<String> = (0..tags).map(|tag| self.shape.name("copy.", tag)).collect();
        let (mut parts, mut flight_parts) = (self.parts(), self.parts());
        let (mut by_flight, mut by_copy, mut peer) = (Side::default(), Side::default(), Side::default());
        for _ in 0..ROUNDS {
            by_flight.wrote(sequential(self.node, &mut flight_parts, ordinal, steps, batch)?);
            let (our_texts, their_texts) = texts(&mut parts, &names, steps, batch);
            by_copy.wrote(copy(&ours, our_texts)?);
            peer.wrote(copy(&theirs, their_texts)?);
        }
        for (session, sql) in
            [(&ours[0], "SELECT count(*) FROM samples WHERE tag LIKE 'copy.%'"), (&theirs[0], "SELECT count(*) FROM samples")]
        {
            let counted = session.number(sql)?;
            if u64::try_from(counted) != Ok(peer.count) {
                return Err(Error::Wrong(format!("{} samples were acknowledged by COPY, {counted} are counted", peer.count)));
            }
        }
        // Each at its best for what follows: flushed here, with statistics and no checkpoint due there.
        ours[0].query("SELECT meridian_flush()")?;
        theirs[0].query("VACUUM (ANALYZE) samples")?;
        theirs[0].query("CHECKPOINT")?;
        report.machine.insert("peer_rows".to_owned(), peer.count.into());
        beside(report, "ingest in order, durable, COPY by both", "points/s", &mut by_copy, &mut peer, "batch by COPY");
        beside(report, "the same, ours by Arrow Flight", "points/s", &mut by_flight, &mut peer, "");
        Ok((parts, names))
    }

    fn parts(&self) -> Vec<Part> {
        let (tags, share) = (self.arguments.tags, self.arguments.tags.div_ceil(self.arguments.streams));
        (0..tags).step_by(share as usize).map(|first| Part::new(self.shape, first, share.min(tags - first))).collect()
    }

    fn ask(&self, parts: &[Part], names: &[String], report: &mut Report) -> Result<(), Error> {
        let steps = parts.first().map_or(0, Part::steps) as i64;
        let first_us = self.shape.start_us;
        let last_us = first_us + steps * self.shape.step_us;
        let same = Target { parts, names, first_us, last_us, ..self.target };
        let theirs = Target { address: &self.peer.address, door: PEER, ..same };
        let targets = [&self.target, &same, &theirs];
        let lasting = Duration::from_secs(self.arguments.seconds) / ROUNDS as u32;
        let (connections, pairs) = (self.arguments.bulk_connections as usize, self.arguments.pairs as usize);
        let many = |target: &Target<'_>, seed| queries::bulk(target, connections, pairs, seed, lasting);
        let figures = ["random queries, in bulk, of all rows", "random queries, in bulk, of the same rows"];
        self.in_turns(targets, report, figures, &format!("bulk, {pairs} values"), &many)?;
        let connections = self.arguments.connections as usize;
        let one = |target: &Target<'_>, seed| queries::singles(target, connections, seed, &|elapsed| elapsed < lasting);
        let figures = ["random queries, single, of all rows", "random queries, single, of the same rows"];
        self.in_turns(targets, report, figures, &format!("single, {connections} connections"), &one)
    }

    /// Asks ours of all its rows, ours of the peer's rows, and the peer.
    fn in_turns(
        &self,
        targets: [&Target<'_>; 3],
        report: &mut Report,
        [of_all, of_same]: [&'static str; 2],
        latency: &str,
        ask: &dyn Fn(&Target<'_>, u64) -> Result<Found, Error>,
    ) -> Result<(), Error> {
        let mut sides = [Side::default(), Side::default(), Side::default()];
        for round in 0..ROUNDS {
            let seed = self.arguments.seed ^ (0xC0_17E5 + round);
            for (side, target) in sides.iter_mut().zip(targets) {
                side.answered(ask(target, seed)?);
            }
        }
        let [all, same, peer] = &mut sides;
        beside(report, of_all, "values/s", all, peer, "");
        beside(report, of_same, "values/s", same, peer, latency);
        Ok(())
    }
}

fn beside(report: &mut Report, name: &'static str, unit: &'static str, ours: &mut Side, peer: &mut Side, latency: &str) {
    let rate = |side: &Side| side.count as f64 / side.spent.as_secs_f64().max(1e-9);
    let ratios: Vec<f64> = ours.rates.iter().zip(&peer.rates).map(|(ours, peer)| ours / peer).collect();
    let figure = Beside { name, unit, ours: rate(ours), peer: rate(peer), ratios };
    eprintln!(
        "{name}: {} beside the peer's {} ({} and {} in turns)",
        rounded(figure.ours),
        rounded(figure.peer),
        thousands(ours.count),
        thousands(peer.count)
    );
    report.beside.push(figure);
    if !latency.is_empty() {
        report.latency(format!("{latency}: ours"), ours.latencies.percentiles());
        report.latency(format!("{latency}: the peer"), peer.latencies.percentiles());
    }
}

/// The next steps of each part as COPY texts, a list of batches a part: for ours by name, for the peer by number.
fn texts(parts: &mut [Part], names: &[String], steps: u64, batch: usize) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for part in parts {
        let steps_a_batch = (batch as u64 / part.tags()).max(1);
        let (mut our_batches, mut their_batches) = (Vec::new(), Vec::new());
        let mut left = steps;
        while left > 0 {
            let steps = left.min(steps_a_batch);
            let mut columns = Columns::with_room((steps * part.tags()) as usize);
            (0..steps).for_each(|_| part.next_step(&mut columns));
            let (mut our_text, mut their_text, mut rest) = (String::new(), String::new(), String::new());
            for row in 0..columns.len() {
                rest.clear();
                rest.push('\t');
                write_time(&mut rest, Timestamp(columns.times[row]));
                let _ = writeln!(rest, "\t{}\t{}", columns.values[row], columns.qualities[row]);
                let tag = columns.tags[row];
                our_text.push_str(&names[tag as usize]);
                our_text.push_str(&rest);
                let _ = write!(their_text, "{tag}{rest}");
            }
            our_batches.push(our_text);
            their_batches.push(their_text);
            left -= steps;
        }
        ours.push(our_batches);
        theirs.push(their_batches);
    }
    (ours, theirs)
}

/// Sends each list of batches over a session of its own, each batch a COPY, so a commit.
fn copy(sessions: &[Session], texts: Vec<Vec<String>>) -> Result<Written, Error> {
    let started = now();
    let done = std::thread::scope(|scope| {
        let pour = |session: &Session, batches: Vec<String>| {
            let mut written = Written::default();
            for text in batches {
                interrupt::check()?;
                let sent = now();
                written.rows += session.copy(COPY, text)?;
                written.latencies.add(sent.elapsed());
            }
            Ok(written)
        };
        let threads: Vec<_> =
            sessions.iter().zip(texts).map(|(session, batches)| scope.spawn(move || pour(session, batches))).collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            pause();
        }
        threads.into_iter().map(join).collect::<Result<Vec<Written>, Error>>()
    })?;
    let mut written = Written { elapsed: started.elapsed(), ..Written::default() };
    for part in done {
        written.rows += part.rows;
        written.latencies.join(part.latencies);
    }
    Ok(written)
}
