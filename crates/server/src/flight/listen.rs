//! The listener of the Flight door: accepts connections and speaks TLS with them before gRPC sees them. Tonic's own TLS knows one
//! certificate for good.
//!
//! Promises: a handshake that hangs or fails ends alone, after `login_max` at most, and holds up no other.

use super::peer::Socket;
use crate::pg::socket;
use crate::tls::Tls;
use futures::{Stream, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::TcpIncoming;

/// Handshakes at one time; beyond that connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 1_024;

/// The connections that come to a listener.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    login_max: Duration,
) -> impl Stream<Item = io::Result<Socket>> {
    let greeted = TcpIncoming::from(listener).with_nodelay(Some(true)).map(move |accepted| {
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.current().flight)));
        async move {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(cause) => return Some(Err(cause)),
            };
            let address = stream.peer_addr().ok();
            let stream = socket::Socket::greeted(stream, acceptor, login_max).await?;
            Some(Ok(Socket::new(stream, address)))
        }
    });
    greeted.buffer_unordered(HANDSHAKES_MAX).filter_map(std::future::ready)
}
