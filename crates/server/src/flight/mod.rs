//! The columnar door: Arrow Flight `DoPut` of samples, events and tags, a few actions, and Flight SQL.
//! `docs/flight.md` is the user's side: schemas, numbers, acknowledgements, statements.
//!
//! Promises: a batch is acknowledged when it is durable, in order; it is kept whole or not at all; a
//! retry under the same producer and number doubles nothing; what a stream may have in flight is
//! bounded in bytes; no bytes of a client make it panic.
//!
//! ```text
//!   FlightData -> message (checked, decoded) -> samples (columns of the kernel) -> kernel.write
//!                                            -> tags -> catalog.create           | tickets, in order
//!   PutResult <------------------------------------------------------------------+
//!   commands of Flight SQL -> sql -> sessions of the engine
//! ```

mod actions;
pub mod client;
mod kinds;
mod listen;
mod message;
mod peer;
mod put;
mod samples;
mod service;
mod sql;
mod tags;

pub use message::is_reading;
pub(crate) use peer::Peer;
pub use put::{ACK_BYTES, Ack};

use crate::Error;
use crate::shared::{Shared, Stage};
use crate::tls::Tls;
use arrow_flight::flight_service_server::FlightServiceServer;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::transport::Server;

/// Bytes a client may send ahead of what was read, a stream and a connection.
const WINDOW_BYTES: u32 = 16 << 20;
/// How often a silent client is asked whether it is still there, and how long it may take to answer: a session of one that
/// is gone without a word would stay for ever.
const ASK_EVERY: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The largest HTTP/2 frame.
const FRAME_BYTES: u32 = 1 << 20;

/// Starts the door on a bound listener.
pub(crate) fn start(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    listener: TcpListener,
    trusted: bool,
    tls: Option<Arc<Tls>>,
) -> Result<(), Error> {
    let failed = |cause: &dyn std::fmt::Display| Error::Flight(cause.to_string());
    // A listener and a server belong to the runtime that they are made in.
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| failed(&cause))?;
    let incoming = listen::incoming(listener, tls, shared.settings.login_max);
    let limit = shared.settings.flight_message_bytes_max;
    let service = FlightServiceServer::new(service::Service::new(Arc::clone(shared), trusted))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let mut server = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(256)
        .http2_keepalive_interval(Some(ASK_EVERY))
        .http2_keepalive_timeout(Some(ANSWER_MAX));
    let mut stop = shared.stop.subscribe();
    let stopped = async move {
        // An error means that the server itself is gone.
        let _ = stop.wait_for(|stage| *stage != Stage::Running).await;
    };
    let serving = server.add_service(service).serve_with_incoming_shutdown(incoming, stopped);
    runtime.spawn(async move {
        if let Err(cause) = serving.await {
            tracing::error!(%cause, "the Flight door failed");
        }
    });
    Ok(())
}
