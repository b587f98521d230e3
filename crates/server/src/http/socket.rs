//! The listener of the HTTP door: accepts connections, speaks TLS with them, and has hyper serve each.
//!
//! Promises: a connection that hangs before its request is closed after `login_max`; connections beyond `connections_max`
//! are told 503 and closed; a stop lets requests that run finish, and closes idle connections at once.

use super::Door;
use super::body::Flushes;
use super::route;
use crate::counters::add;
use crate::pg::socket::Socket;
use crate::shared::Stage;
use crate::tls::Tls;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The longest head of a request: its line and headers.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What hyper reads ahead and holds to be written, each.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// Connections beyond the limit that are told so at one time; more are closed without a word.
const REFUSALS_MAX: u64 = 64;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 118\r\n\r\n{\"error\":{\"sqlstate\":\"53300\",\"message\":\"sorry, too many clients already\",\"hint\":\"raise the setting connections_max\"}}\n";

/// A socket that counts its flushes.
struct Watched {
    socket: Socket,
    flushes: Arc<Flushes>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        let flushed = Pin::new(&mut watched.socket).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            watched.flushes.note();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

/// Accepts connections until the server stops.
pub(crate) async fn accept(door: Arc<Door>, listener: TcpListener, tls: Option<Arc<Tls>>) {
    let mut stop = door.shared.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stage| *stage != Stage::Running) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.current().http)));
                drop(tokio::spawn(connect(Arc::clone(&door), socket, peer, acceptor)));
            }
            Err(cause) => {
                // Out of file descriptors, say: others must close before it is worth trying again.
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// Counts a connection for as long as it is held.
struct Counted(Arc<Door>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.counters.http_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection from its first byte to its last.
async fn connect(door: Arc<Door>, socket: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>) {
    let counters = &door.shared.counters;
    add(&counters.http_accepted, 1);
    let others = counters.http_connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(&door));
    let limit = door.shared.settings.connections_max as u64;
    if others >= limit {
        add(&counters.http_refused, 1);
        let refusing = others < limit + REFUSALS_MAX && acceptor.is_none();
        return if refusing {
            refuse(socket).await
        };
    }
    // Answers are written whole: waiting for more of them gains nothing.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let Some(socket) = Socket::greeted(socket, acceptor, door.shared.settings.login_max).await else { return };
    serve(&door, socket, peer).await;
    drop(counted);
}

async fn refuse(mut socket: TcpStream) {
    // Whoever does not listen need not be told.
    let _ = socket.write_all(REFUSAL).await;
    let _ = socket.shutdown().await;
}

async fn serve(door: &Arc<Door>, socket: Socket, peer: SocketAddr) {
    let flushes = Arc::new(Flushes::default());
    let io = TokioIo::new(Watched { socket, flushes: Arc::clone(&flushes) });
    let service = service_fn(|request: Request<Incoming>| {
        let (door, flushes) = (Arc::clone(door), Arc::clone(&flushes));
        async move { Ok::<_, Infallible>(route::answer(door, request, peer, flushes).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.shared.settings.login_max)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let mut stop = door.shared.stop.subscribe();
    let mut stage = Stage::Running;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(cause) = ended {
                    tracing::debug!(%peer, %cause, "an HTTP connection ended");
                }
                return;
            }
            changed = stop.wait_for(|now| *now > stage) => {
                stage = changed.map_or(Stage::Closed, |now| *now);
                match stage {
                    Stage::Closed => return,
                    _ => connection.as_mut().graceful_shutdown(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
