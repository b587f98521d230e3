//! How somebody is written to: bodies made before the clock starts, poured over several connections.
//!
//! Promises: a turn's clock stops when the last body is acknowledged. What an acknowledgement means is the side's own.

use crate::failed;
use crate::measure::Spent;
use crate::peer::server::{agent, post};
use arrow::array::RecordBatch;
use meridian::Session;
use meridian::bench::ingest::join;
use meridian::bench::latencies::Latencies;
use meridian::flight::{Stream, runtime};
use meridian::progress::now;
use meridian::{Error, interrupt};
use std::time::Duration;
use ureq::Agent;

/// Some rows in the form of a door.
pub enum Body {
    /// Arrow Flight.
    Batch(RecordBatch),
    /// HTTP.
    Bytes(Vec<u8>),
    /// COPY.
    Text(String),
}

/// A connection to a door.
pub enum Connection {
    /// Arrow Flight: address and the start of producers' names.
    Flight(String, String),
    /// HTTP: URL and headers.
    Http(Agent, String, &'static [(&'static str, &'static str)]),
    /// PostgreSQL: session and statement.
    Copy(Box<Session>, &'static str),
}

/// Headers of Prometheus' remote write.
pub const REMOTE_WRITE: &[(&str, &str)] = &[("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];

impl Connection {
    /// To an HTTP door.
    pub fn http(url: String, headers: &'static [(&'static str, &'static str)]) -> Connection {
        Connection::Http(agent(), url, headers)
    }

    fn pour(&self, round: u64, bodies: &[Body]) -> Result<Latencies, Error> {
        let mut latencies = Latencies::default();
        if let Connection::Flight(address, producer) = self {
            let heard = runtime()?.block_on(async {
                let mut stream = Stream::samples(address, &format!("{producer}-{round}")).await?;
                for body in bodies {
                    interrupt::check()?;
                    let Body::Batch(batch) = body else { return Err(mismatch()) };
                    stream.send(batch).await?;
                }
                stream.finish().await
            })?;
            heard.latencies.into_iter().for_each(|took| latencies.add(took));
            return Ok(latencies);
        }
        for body in bodies {
            interrupt::check()?;
            let sent = now();
            match (self, body) {
                (Connection::Http(agent, url, headers), Body::Bytes(bytes)) => post(agent, url, headers, bytes)?,
                (Connection::Copy(session, sql), Body::Text(text)) => drop(session.copy(sql, text.clone())?),
                _ => return Err(mismatch()),
            }
            latencies.add(sent.elapsed());
        }
        Ok(latencies)
    }
}

fn mismatch() -> Error {
    failed("writing", "a body in the form of another door")
}

/// What was written in one turn.
pub struct Turn {
    /// Points acknowledged.
    pub points: u64,
    /// From the first body to the last acknowledgement.
    pub elapsed: Duration,
    /// What the server took meanwhile.
    pub spent: Spent,
    /// Of each body.
    pub latencies: Latencies,
}

/// Pours each connection's bodies, all side by side.
///
/// # Errors
/// The first that a connection failed with.
pub fn turn(connections: &[Connection], bodies: &[Vec<Body>], points: u64, process: u32, round: u64) -> Result<Turn, Error> {
    let before = Spent::of(process);
    let started = now();
    let poured = std::thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter()
            .zip(bodies)
            .map(|(connection, bodies)| scope.spawn(move || connection.pour(round, bodies)))
            .collect();
        threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
    })?;
    let elapsed = started.elapsed();
    let mut latencies = Latencies::default();
    poured.into_iter().for_each(|more| latencies.join(more));
    Ok(Turn { points, elapsed, spent: Spent::of(process).since(before), latencies })
}
