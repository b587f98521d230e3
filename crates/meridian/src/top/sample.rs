//! What a node says of itself at one moment.
//!
//! Promises: tables that the node does not have (those of a fleet) are left out; what can't be asked for want of a right is told with
//! what to grant.

use crate::Error;
use crate::client::Session;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long what replicas say is taken for new: it costs a question to every data node.
const REPLICAS_OLD: Duration = Duration::from_secs(5);

/// A session of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    pub pid: i64,
    pub user: String,
    pub client: String,
    pub application: String,
    /// `active`, `idle`, ..; empty where it may not be known.
    pub state: String,
    /// What it waits for.
    pub waits: String,
    /// How long it has been so, in seconds.
    pub seconds: f64,
    pub query: String,
}

/// Something long that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    pub name: String,
    pub step: String,
    pub done: Option<f64>,
    pub total: Option<f64>,
}

/// A process of a fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub number: String,
    pub state: String,
    pub roles: String,
    pub address: String,
    pub primaries: String,
    pub backups: String,
    /// Parts of a thousand, where they are known.
    pub busy: [Option<f64>; 4],
    pub silent_ms: Option<f64>,
}

/// How replicas stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replicas {
    pub lag_records: f64,
    pub differing: f64,
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    /// The node's wall clock, in seconds since 1970.
    pub now: f64,
    /// Figures by their names and labels, as `name{"label":"value"}`.
    pub figures: BTreeMap<String, f64>,
    pub connections: Vec<Connection>,
    pub operations: Vec<Operation>,
    /// None on a lone node.
    pub nodes: Option<Vec<Node>>,
    pub replicas: Option<Replicas>,
}

impl Sample {
    /// A figure without labels, or the sum of those of a name.
    pub fn sum(&self, name: &str) -> f64 {
        self.parts(name).map(|(_, value)| value).sum()
    }

    /// The figures of a name, each with its labels as JSON.
    pub fn parts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let from = self.figures.range(name.to_owned()..);
        let all = from.take_while(move |(key, _)| key.starts_with(name));
        let whole = all.filter(move |(key, _)| key[name.len()..].starts_with('{'));
        whole.map(move |(key, value)| (&key[name.len()..], *value))
    }

    /// Whether it tells that at all.
    pub fn has(&self, name: &str) -> bool {
        self.parts(name).next().is_some()
    }
}

/// Whoever asks.
pub struct Reader {
    session: Session,
    has_operations: bool,
    is_fleet: bool,
    replicas: Option<(Instant, Replicas)>,
}

const CONNECTIONS: &str = "SELECT pid, usename, client_addr, application_name, state, wait_event,
    extract(epoch FROM now()) - extract(epoch FROM CASE WHEN state = 'active' THEN query_start ELSE state_change END), query
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY pid";
const NODES: &str = "SELECT node, state, roles, address, primaries, backups,
    cpu_permille, memory_permille, disk_permille, network_permille, silent_ms FROM meridian.nodes ORDER BY node";

fn number(cell: Option<&Option<String>>) -> Option<f64> {
    cell.and_then(Option::as_ref).and_then(|text| text.parse().ok())
}

fn text(cell: Option<&Option<String>>) -> String {
    cell.cloned().flatten().unwrap_or_default()
}

impl Reader {
    /// Over a connection.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn new(session: Session) -> Result<Reader, Error> {
        let there = session.query(
            "SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'meridian')",
        )?;
        let has = |name: &str| there.rows.iter().any(|row| row.first().is_some_and(|cell| cell.as_deref() == Some(name)));
        let (has_operations, is_fleet) = (has("operations"), has("nodes"));
        Ok(Reader { session, has_operations, is_fleet, replicas: None })
    }

    /// How it stands now.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn read(&mut self) -> Result<Sample, Error> {
        let metrics = self.session.query("SELECT name, labels, value FROM meridian.metrics")?;
        let at = crate::progress::now();
        let figure = |row: &Vec<Option<String>>| {
            let (name, labels) = (text(row.first()), text(row.get(1)));
            Some((name + if labels.is_empty() { "{}" } else { &labels }, number(row.get(2))?))
        };
        let figures = metrics.rows.iter().filter_map(figure).collect();
        let now = self.session.query("SELECT extract(epoch FROM now())")?;
        let now = now.rows.first().and_then(|row| number(row.first())).unwrap_or(0.0);
        let connections = self.session.query(CONNECTIONS)?.rows.iter().map(|row| connection(row)).collect();
        let operations = if self.has_operations { self.operations()? } else { Vec::new() };
        let nodes = if self.is_fleet { Some(self.nodes()?) } else { None };
        if self.is_fleet && self.replicas.as_ref().is_none_or(|(asked, _)| at.duration_since(*asked) >= REPLICAS_OLD) {
            let answer = self.session.query("SELECT max(lag_records), count(differs) FROM meridian.replicas")?;
            let row = answer.rows.first();
            let of = |place: usize| row.and_then(|row| number(row.get(place))).unwrap_or(0.0);
            self.replicas = Some((at, Replicas { lag_records: of(0), differing: of(1) }));
        }
        let replicas = self.replicas.as_ref().map(|(_, replicas)| replicas.clone());
        Ok(Sample { at, now, figures, connections, operations, nodes, replicas })
    }

    fn operations(&self) -> Result<Vec<Operation>, Error> {
        let answer = self.session.query("SELECT operation, step, done, total FROM meridian.operations")?;
        let one = |row: &Vec<Option<String>>| Operation {
            name: text(row.first()),
            step: text(row.get(1)),
            done: number(row.get(2)),
            total: number(row.get(3)),
        };
        Ok(answer.rows.iter().map(one).collect())
    }

    fn nodes(&self) -> Result<Vec<Node>, Error> {
        let answer = self.session.query(NODES)?;
        let one = |row: &Vec<Option<String>>| Node {
            number: text(row.first()),
            state: text(row.get(1)),
            roles: text(row.get(2)),
            address: text(row.get(3)).trim_start_matches("https://").to_owned(),
            primaries: text(row.get(4)),
            backups: text(row.get(5)),
            busy: [6, 7, 8, 9].map(|place| number(row.get(place))),
            silent_ms: number(row.get(10)),
        };
        Ok(answer.rows.iter().map(one).collect())
    }

    /// Cancels what a session runs, or ends the session; what came of it.
    pub fn signal(&self, pid: i64, ends: bool) -> String {
        let (function, done) = if ends { ("pg_terminate_backend", "ended") } else { ("pg_cancel_backend", "cancelled") };
        match self.session.query(&format!("SELECT {function}({pid})")) {
            Ok(answer) => match answer.rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_deref()) {
                Some("t" | "true") => format!("session {pid}: {done}"),
                _ => format!("session {pid} runs nothing any more"),
            },
            Err(error) => error.to_string(),
        }
    }

    /// Lets time pass, without a thread that spins.
    pub fn rest(&self, time: Duration) {
        self.session.rest(time);
    }
}

fn connection(row: &[Option<String>]) -> Connection {
    Connection {
        pid: number(row.first()).unwrap_or(0.0) as i64,
        user: text(row.get(1)),
        client: text(row.get(2)),
        application: text(row.get(3)),
        state: text(row.get(4)),
        waits: text(row.get(5)),
        seconds: number(row.get(6)).unwrap_or(0.0).max(0.0),
        query: text(row.get(7)),
    }
}
