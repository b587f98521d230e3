//! The HTTP door: SQL by `/query`, InfluxDB's line protocol by `/write`, health and metrics. `docs/http.md` is the user's side.
//!
//! Promises: the same users, sessions and errors as at the other doors; an answer is streamed, and memory that a slow client
//! holds is bounded; an answer that was cut is never taken for a whole one; lines are durable once they are answered.
//! Web pages of other sites can't use it through a browser: a request whose `Origin` is another host is refused, GET changes
//! nothing, and where whoever comes is trusted the `Host` must be an address or localhost.
//!
//! ```text
//! listener -> socket (TLS, hyper) -> route: who, what
//!   /query   -> question -> statement, on the query runtime -> encoder -> body
//!   /write   -> lines: reader (bytes to columns, no allocation a line) -> session.submit
//!   /health /ready /metrics
//! ```

mod accept;
mod body;
mod cells;
mod encoder;
mod influx;
mod lines;
mod metrics;
mod question;
mod ready;
mod reply;
mod request;
mod route;
mod socket;
mod statement;
mod who;

use crate::Error;
use crate::shared::Shared;
use crate::tls::Tls;
pub(crate) use lines::Series;
use parking_lot::Mutex;
use query::Session;
use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What all connections of the door share.
pub(crate) struct Door {
    shared: Arc<Shared>,
    /// Whether whoever comes is believed.
    trusted: bool,
    /// Sessions in which lines are written, by user.
    writers: Mutex<HashMap<String, Arc<Session>>>,
}

/// Sessions that are kept for that.
const WRITERS_MAX: usize = 256;

/// Starts the door on a bound listener.
pub(crate) fn start(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    listener: TcpListener,
    trusted: bool,
    tls: Option<Arc<Tls>>,
) -> Result<(), Error> {
    // A listener belongs to the runtime that it is made in.
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| Error::Http(cause.to_string()))?;
    let door = Arc::new(Door { shared: Arc::clone(shared), trusted, writers: Mutex::default() });
    runtime.spawn(socket::accept(door, listener, tls));
    Ok(())
}
