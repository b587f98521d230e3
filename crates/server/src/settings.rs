//! What can be set of a server. Names, defaults and ranges of the user's side are declared in `meridian`.

use crate::tls::TlsPaths;
use std::net::SocketAddr;
use std::time::Duration;

/// What can be set of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the PostgreSQL door listens; port 0 takes a free one; None = closed.
    pub pg_address: Option<SocketAddr>,
    /// Where the Arrow Flight door listens; port 0 takes a free one; None = closed.
    pub flight_address: Option<SocketAddr>,
    /// Where the HTTP door listens; port 0 takes a free one; None = closed.
    pub http_address: Option<SocketAddr>,
    /// Whether lines of the line protocol may make the tags that they name.
    pub http_create_tags: bool,
    /// Certificate and key; None = plaintext.
    pub tls: Option<TlsPaths>,
    /// Whether a listener that other machines reach may go without TLS.
    pub plaintext_allowed: bool,
    /// Whether whoever reaches a loopback-only listener is believed without a password.
    pub loopback_trusted: bool,
    /// Password of the user `meridian`, set at the start where given.
    pub password: Option<String>,
    /// Threads that serve PostgreSQL connections and point queries, each with its share of the
    /// connections; at least 1.
    pub pg_threads: usize,
    /// Threads that plan and run all other statements; at least 1.
    pub query_threads: usize,
    /// Threads that serve the Flight door; at least 1.
    pub flight_threads: usize,
    /// Threads that serve the HTTP door; at least 1.
    pub http_threads: usize,
    /// Connections of the PostgreSQL door at one time, more are refused with 53300; and of the HTTP door, where more are
    /// answered 503.
    pub connections_max: usize,
    /// The longest message taken from a client, in bytes; longer ones are refused before any of it is kept.
    pub message_bytes_max: usize,
    /// Prepared statements and portals of one connection.
    pub statements_max: usize,
    /// How long a connection may be idle; None = for ever.
    pub idle_max: Option<Duration>,
    /// How long a statement may run unless the session says otherwise; None = for ever.
    pub statement_max: Option<Duration>,
    /// How long logging in may take.
    pub login_max: Duration,
    /// Statements that take longer are logged; None = none.
    pub slow_statement: Option<Duration>,
    /// Bytes of batches of one Flight stream that wait for their commit; the stream is not read on beyond that.
    pub flight_waiting_bytes_max: usize,
    /// The longest Flight message, in bytes.
    pub flight_message_bytes_max: usize,
    /// How often retention policies are run.
    pub retention_every: Duration,
    /// How long running statements may go on after a stop was asked for; then they are cancelled, and
    /// buffers are flushed for as long again.
    pub stop_max: Duration,
}

impl Settings {
    /// The doors that are to be opened: the setting and the address.
    pub(crate) fn doors(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let doors = [("pg", self.pg_address), ("flight", self.flight_address), ("http", self.http_address)];
        doors.into_iter().filter_map(|(setting, address)| Some((setting, address?)))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            pg_address: Some(SocketAddr::from(([127, 0, 0, 1], 5432))),
            flight_address: None,
            http_address: None,
            http_create_tags: true,
            tls: None,
            plaintext_allowed: false,
            loopback_trusted: true,
            password: None,
            pg_threads: 2,
            query_threads: 2,
            flight_threads: 2,
            http_threads: 2,
            connections_max: 1000,
            message_bytes_max: 64 << 20,
            statements_max: 10_000,
            idle_max: None,
            statement_max: None,
            login_max: Duration::from_secs(60),
            slow_statement: Some(Duration::from_secs(1)),
            flight_waiting_bytes_max: 64 << 20,
            flight_message_bytes_max: 64 << 20,
            retention_every: Duration::from_secs(60),
            stop_max: Duration::from_secs(10),
        }
    }
}
