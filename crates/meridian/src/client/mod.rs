//! A PostgreSQL client for the commands that talk to a node: queries as text, COPY in, without
//! async at the caller's side.
//!
//! Promises: a COPY is sent whole or not at all; what the node says of an error is handed on in
//! its own words; where and how it connects is read as psql reads it (`target`, `passfile`, `tls`).

mod passfile;
mod reading;
mod socket;
mod target;
mod tls;
mod wire;

pub use socket::Refused;
pub use target::{Defaults, Target};
pub use wire::{Column, Event, Report, Row, Wire};

use crate::Error;
use crate::error::told;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::pin::pin;
use std::time::Duration;
use tls::Tls;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

/// A connection, with the runtime that drives it.
pub struct Session {
    runtime: Runtime,
    client: std::sync::Arc<Client>,
    tls: Tls,
}

/// An answer as text: heads, and rows of cells (None = NULL).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns' names.
    pub heads: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<String>>>,
}

/// How long connecting may take, logging in included, where nothing else is said.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes of a COPY that go into one message.
const MESSAGE_BYTES: usize = 256 << 10;

impl Session {
    /// Connects by a connection string or URL. `name` is shown in the node's list of connections.
    ///
    /// # Errors
    /// `Error::Usage`, `Error::Node`; `Error::File` and `Error::Input` where the roots can't be used.
    pub fn connect(to: &str, name: &str) -> Result<Session, Error> {
        Session::connect_to(Target::read(to, &|variable| std::env::var(variable).ok())?, name)
    }

    /// The same, to a place that was read already.
    ///
    /// # Errors
    /// As `connect`.
    pub fn connect_to(target: Target, name: &str) -> Result<Session, Error> {
        let Target { mut config, trust } = target;
        let tls = Tls::new(&trust)?;
        config.application_name(name);
        let limit = *config.get_connect_timeout().unwrap_or(&CONNECT_MAX);
        config.connect_timeout(limit);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Error::system("starting the network thread"))?;
        let place = place(&config);
        let failed = |problem: String| Error::Node { doing: "connecting", problem: format!("{place}: {problem}") };
        let client = runtime.block_on(async {
            // The whole of it: something else may listen there, take the connection and say nothing.
            let connected = tokio::time::timeout(limit, config.connect(tls.clone())).await;
            let silent = |_| failed(format!("no answer within {} s; is it a PostgreSQL door?", limit.as_secs_f64()));
            let (client, connection) = connected.map_err(silent)?.map_err(|error| failed(told(&error)))?;
            // Ends by itself when the client is dropped; its error reaches whoever waits for an answer.
            tokio::spawn(connection);
            Ok::<_, Error>(client)
        })?;
        Ok(Session { runtime, client: std::sync::Arc::new(client), tls })
    }

    /// Runs one statement (or several) and gives the last one's rows as text.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn query(&self, sql: &str) -> Result<Answer, Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql)).map_err(Error::postgres("running a statement"))?;
        let mut answer = Answer::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer = Answer { heads: columns.iter().map(|column| column.name().to_owned()).collect(), rows: Vec::new() };
                }
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
                }
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Runs one statement and counts its rows, of which none is kept.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn count(&self, sql: &str) -> Result<u64, Error> {
        let counted = async {
            let mut messages = pin!(self.client.simple_query_raw(sql).await?);
            let mut rows = 0;
            while let Some(message) = messages.next().await {
                rows += u64::from(matches!(message?, SimpleQueryMessage::Row(_)));
            }
            Ok::<u64, tokio_postgres::Error>(rows)
        };
        self.runtime.block_on(counted).map_err(Error::postgres("running a statement"))
    }

    /// Lets time pass.
    pub fn rest(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// The one number that a statement answers.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn number(&self, sql: &str) -> Result<i64, Error> {
        let answer = self.query(sql)?;
        let cell = answer.rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_deref());
        cell.and_then(|cell| cell.parse().ok()).ok_or_else(|| Error::Node {
            doing: "running a statement",
            problem: format!("{sql} answered {answer:?}, not a number"),
        })
    }

    /// Runs `COPY ... FROM STDIN` with this text; the answer is the number of rows.
    ///
    /// # Errors
    /// `Error::Node`; nothing was kept then, unless the connection broke while the answer was due.
    pub fn copy(&self, sql: &str, text: String) -> Result<u64, Error> {
        self.runtime.block_on(copy(&self.client, sql, text))
    }

    /// The same in the background.
    pub fn start_copy(&self, sql: &'static str, text: String) -> Pending {
        let client = std::sync::Arc::clone(&self.client);
        Pending { task: self.runtime.spawn(async move { copy(&client, sql, text).await }) }
    }

    /// Waits for a COPY in the background.
    ///
    /// # Errors
    /// As `copy`.
    pub fn finish(&self, pending: Pending) -> Result<u64, Error> {
        match self.runtime.block_on(pending.task) {
            Ok(answer) => answer,
            Err(error) => Err(Error::Node { doing: "COPY", problem: error.to_string() }),
        }
    }
}

/// Where a connection goes, for messages.
pub fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host} port {}", config.get_ports().first().copied().unwrap_or(5432))
}

/// A COPY that runs in the background.
pub struct Pending {
    task: JoinHandle<Result<u64, Error>>,
}

async fn copy(client: &Client, sql: &str, text: String) -> Result<u64, Error> {
    let sink = client.copy_in::<_, Bytes>(sql).await.map_err(Error::postgres("starting COPY"))?;
    let mut sink = pin!(sink);
    let mut rest = Bytes::from(text);
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(MESSAGE_BYTES));
        sink.send(part).await.map_err(Error::postgres("sending COPY data"))?;
    }
    sink.as_mut().finish().await.map_err(Error::postgres("COPY"))
}

/// A text as a SQL literal.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
