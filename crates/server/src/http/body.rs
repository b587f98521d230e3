//! Bodies of answers: whole ones, and rows that come piece by piece from a statement that runs.
//!
//! Promises: no more than `PIECES_WAITING` pieces wait for a slow client; a body that is dropped cancels its statement; a
//! statement that fails after its first row ends its body without the chunk that says "whole", so that no client takes a
//! cut answer for a whole one, but not before the words that say why have left.

use bytes::Bytes;
use futures::task::AtomicWaker;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Pieces that wait for the client.
pub(crate) const PIECES_WAITING: usize = 2;

/// A piece of an answer.
pub(crate) enum Piece {
    /// More is to come.
    Data(Bytes),
    /// The last: the answer is whole.
    Last(Bytes),
    /// The last: the statement failed.
    Broken(Bytes),
}

/// Counts how often all that was written to a connection has left this process.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    count: AtomicU64,
    waker: AtomicWaker,
}

impl Flushes {
    pub(crate) fn note(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}

/// The body of an answer.
pub(crate) enum Body {
    /// At hand.
    Whole(Bytes),
    /// Rows as they come.
    Rows(Rows),
}

/// Rows as they come.
pub(crate) struct Rows {
    pub(crate) pieces: mpsc::Receiver<Piece>,
    pub(crate) work: AbortHandle,
    pub(crate) flushes: Arc<Flushes>,
    state: State,
}

enum State {
    Running,
    Ended,
    /// It failed; the count of flushes before the last words.
    Failing(u64),
}

impl Rows {
    pub(crate) fn new(pieces: mpsc::Receiver<Piece>, work: AbortHandle, flushes: Arc<Flushes>) -> Rows {
        Rows { pieces, work, flushes, state: State::Running }
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        match self.state {
            State::Ended => Poll::Ready(None),
            State::Failing(before) => {
                self.flushes.waker.register(context.waker());
                if self.flushes.count() == before {
                    return Poll::Pending;
                }
                self.state = State::Ended;
                Poll::Ready(Some(Err(io::Error::other("the statement failed after its first row"))))
            }
            State::Running => {
                let Poll::Ready(piece) = self.pieces.poll_recv(context) else { return Poll::Pending };
                let bytes = match piece {
                    Some(Piece::Data(bytes)) => bytes,
                    Some(Piece::Last(bytes)) => {
                        self.state = State::Ended;
                        bytes
                    }
                    Some(Piece::Broken(bytes)) => {
                        self.state = State::Failing(self.flushes.count());
                        bytes
                    }
                    None => {
                        self.state = State::Ended;
                        return Poll::Ready(Some(Err(io::Error::other("the statement ended without an answer"))));
                    }
                };
                Poll::Ready(Some(Ok(bytes)))
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Whole(bytes)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Rows(rows) => rows.next(context).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_empty(),
            Body::Rows(rows) => matches!(rows.state, State::Ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Rows(_) => SizeHint::default(),
        }
    }
}
