//! A client's connection as calls see it: who is at its other end, and that it is still there.
//!
//! Promises: every call of a connection sees the same number, no other connection ever has it, and whoever waits for its
//! end hears of it once the socket is closed, whichever side closed it.
//!
//! Shared state: one watch a connection, whose only sender lies beside the socket.

use std::io::{IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::Extensions;
use tonic::transport::server::{Connected, TlsConnectInfo};

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A connection, as its calls know it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its number.
    pub(crate) number: u64,
    /// Who is at the other end.
    pub(crate) address: Option<SocketAddr>,
    open: watch::Receiver<()>,
}

impl Peer {
    /// The connection that a call came by.
    pub(crate) fn of(extensions: &Extensions) -> Option<Peer> {
        let plain = extensions.get::<Peer>();
        plain.or_else(|| extensions.get::<TlsConnectInfo<Peer>>().map(TlsConnectInfo::get_ref)).cloned()
    }

    /// Resolves when the connection is closed.
    pub(crate) async fn closed(mut self) {
        // Nothing is ever sent: it fails once the sender is gone.
        while self.open.changed().await.is_ok() {}
    }
}

/// A client's socket.
pub(crate) struct Socket {
    stream: TcpStream,
    peer: Peer,
    _open: watch::Sender<()>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        let (sender, open) = watch::channel(());
        let peer = Peer { number: NUMBERS.fetch_add(1, Ordering::Relaxed), address: stream.peer_addr().ok(), open };
        Socket { stream, peer, _open: sender }
    }
}

impl Connected for Socket {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
