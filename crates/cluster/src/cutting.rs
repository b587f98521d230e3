//! Connections that can be cut from within, whatever those at their other ends do.
//!
//! A door that closes lets answers end by themselves, and one whose asker takes nothing for now does not: it is not even looked at
//! before there is room for more of it. Promises: once the word is given, the connection fails, and all that it carries is dropped.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tonic::transport::server::Connected;

/// A connection, and the word that cuts it.
pub(crate) struct Cutting<S> {
    stream: S,
    /// None once it was given.
    word: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Cutting<S> {
    /// A connection that is cut once that is true.
    pub(crate) fn new(stream: S, mut cut: watch::Receiver<bool>) -> Cutting<S> {
        let word = async move {
            // A door that is gone without a word ends its connections by itself.
            if cut.wait_for(|cut| *cut).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Cutting { stream, word: Some(Box::pin(word)) }
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if let Some(word) = &mut self.word
            && word.as_mut().poll(context).is_pending()
        {
            return Ok(());
        }
        self.word = None;
        Err(Error::new(ErrorKind::ConnectionAborted, "the process is stopping"))
    }
}

/// Nobody asks.
impl<S> Connected for Cutting<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Cutting<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Error>> {
        // Looked at first, so that the word wakes whoever waits for the other end.
        self.is_cut(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cutting<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_word_cuts_a_connection_whose_other_end_says_nothing() {
        let (cut, word) = watch::channel(false);
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Cutting::new(near, word);
        far.write_all(b"said").await.expect("there is room");
        let mut said = [0; 4];
        near.read_exact(&mut said).await.expect("it is not cut yet");
        let waits = tokio::spawn(async move { near.read_u8().await.map_err(|error| error.kind()) });
        tokio::task::yield_now().await;
        cut.send_replace(true);
        assert_eq!(waits.await.expect("it ends"), Err(ErrorKind::ConnectionAborted));
    }
}
