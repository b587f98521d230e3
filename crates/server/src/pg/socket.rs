//! A client's connection: plain TCP or TLS over it, and the bytes on their way in and out.
//!
//! Promises: reading takes memory only as bytes come; input that waits is bounded by one message
//! and what one read brings; nothing is written before `flush`.

use super::error::Report;
use super::frame::{self, Frame};
use super::output::Output;
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Bytes made ready for one read, and for one that follows a read that was filled.
const READ_BYTES: usize = 16 << 10;
const READ_MORE_BYTES: usize = 256 << 10;
/// Input that is taken in while a statement runs, to see whether the client is still there.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// Output beyond this is written before more is made.
pub(crate) const FLUSH_BYTES: usize = 64 << 10;
/// Buffers larger than this are given back once they are empty.
const KEEP_BYTES: usize = 1 << 20;
/// How long a client is waited for to take its last words.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// How long the rest of a message that was refused for its length is read and thrown away.
const REFUSED_MAX: Duration = Duration::from_secs(10);

/// Plain or TLS.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// A connection that was accepted, after a TLS handshake where there is a certificate; None where none came about in time.
    pub(crate) async fn greeted(stream: TcpStream, acceptor: Option<TlsAcceptor>, limit: Duration) -> Option<Socket> {
        let Some(acceptor) = acceptor else { return Some(Socket::Plain(stream)) };
        let peer = stream.peer_addr().ok().map(tracing::field::display);
        match tokio::time::timeout(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => return Some(Socket::Tls(Box::new(stream))),
            Ok(Err(cause)) => tracing::debug!(peer, %cause, "no TLS came about"),
            Err(_) => tracing::debug!(peer, "a TLS handshake took too long"),
        }
        None
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Plain($stream) => $call,
            Socket::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client closed it, or it broke.
    Gone,
    /// The client said goodbye.
    Terminated,
    /// The client is told why, then it is closed.
    Fatal(Report),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        // A broken connection needs no more words: the client is not there to hear them.
        End::Gone
    }
}

impl From<frame::FrameError> for End {
    fn from(error: frame::FrameError) -> Self {
        End::Fatal(error.into())
    }
}

/// A socket with its buffers.
pub(crate) struct Wire {
    socket: Socket,
    pub(crate) input: BytesMut,
    pub(crate) output: Output,
    message_bytes_max: usize,
    ended: bool,
    /// Whether the last read brought all that there was room for.
    filled: bool,
    /// Bytes that a client is still sending of a message that was refused for its length.
    refused: u64,
}

impl Wire {
    pub(crate) fn new(socket: Socket, message_bytes_max: usize) -> Wire {
        Wire {
            socket,
            input: BytesMut::new(),
            output: Output::default(),
            message_bytes_max,
            ended: false,
            filled: false,
            refused: 0,
        }
    }

    /// The socket alone, for a handshake that begins with nothing in the buffers.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// The whole message at the front of the input, if it is there.
    #[inline]
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, frame::FrameError> {
        let next = frame::next(&self.input, self.message_bytes_max);
        if let Err(frame::FrameError::TooLong { bytes, .. }) = next {
            self.refused = (bytes + 1).saturating_sub(self.input.len() as u64);
        }
        next
    }

    /// Reads what the client sent next.
    pub(crate) async fn fill(&mut self) -> Result<(), End> {
        if self.ended {
            return Err(End::Gone);
        }
        self.input.reserve(if self.filled { READ_MORE_BYTES } else { READ_BYTES });
        let room = self.input.capacity() - self.input.len();
        let read = self.socket.read_buf(&mut self.input).await?;
        self.filled = read == room;
        if read == 0 {
            self.ended = true;
            return Err(End::Gone);
        }
        Ok(())
    }

    /// Resolves (with an error) when the client goes away while a statement runs; takes in what it
    /// sends meanwhile, up to a bound. Safe to drop at any time.
    pub(crate) async fn watch(&mut self) -> End {
        while self.input.len() < AHEAD_BYTES_MAX {
            if let Err(end) = self.fill().await {
                return end;
            }
        }
        std::future::pending().await
    }

    /// Writes out all output.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.output.bytes.is_empty() {
            return Ok(());
        }
        self.socket.write_all(&self.output.bytes).await?;
        if matches!(self.socket, Socket::Tls(_)) {
            self.socket.flush().await?;
        }
        self.output.bytes.clear();
        if self.output.bytes.capacity() > KEEP_BYTES {
            self.output.bytes = Vec::new();
        }
        Ok(())
    }

    /// Takes the front message away, once it was read.
    #[inline]
    pub(crate) fn consume(&mut self, frame: &Frame) {
        bytes::Buf::advance(&mut self.input, frame.body.end);
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES {
            self.input = BytesMut::new();
        }
    }

    /// Closes the connection after what is to be said was said.
    pub(crate) async fn close(&mut self) {
        // The client may be gone already, or not read: there is nobody left to tell.
        let _ = tokio::time::timeout(FAREWELL_MAX, self.flush()).await;
        if self.refused > 0 {
            // A socket that is closed with bytes unread is reset, and the client would never hear why.
            let _ = tokio::time::timeout(REFUSED_MAX, self.throw_away()).await;
        }
        let _ = tokio::time::timeout(FAREWELL_MAX, self.socket.shutdown()).await;
    }

    async fn throw_away(&mut self) {
        self.input.clear();
        while self.refused > 0 && self.fill().await.is_ok() {
            self.refused = self.refused.saturating_sub(self.input.len() as u64);
            self.input.clear();
        }
    }
}
