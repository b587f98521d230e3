//! A stream that is cut into numbered messages.
//!
//! Promises: a side that reads on while it writes (whoever asks) never stands still, though the other side reads no more than it can
//! answer; dropping a turn loses nothing. A length that is too large ends the stream. May not know what messages say.

use crate::calls::MESSAGE_BYTES_MAX;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Bytes of a frame before its message: the length of what follows, and the number.
pub(super) const HEAD_BYTES: usize = 12;
const NUMBER_BYTES: usize = 8;
/// What is read at a time.
const READ_BYTES: usize = 16 << 10;
/// Once so much waits to be sent, nothing more is taken up.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// A stream of frames.
pub(super) struct Frames<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(super) fn new(stream: S) -> Frames<S> {
        Frames { stream, input: BytesMut::new(), output: BytesMut::new(), unflushed: false }
    }

    /// Whether there is room to send more.
    pub(super) fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_BYTES_MAX
    }

    /// Sends a message, in turns to come.
    pub(super) fn put(&mut self, number: u64, message: &impl Message) {
        let bytes = message.encoded_len();
        self.output.reserve(HEAD_BYTES + bytes);
        self.output.put_u32_le((NUMBER_BYTES + bytes) as u32);
        self.output.put_u64_le(number);
        message.encode_raw(&mut self.output);
    }

    /// The next message that has come whole.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Bytes)>, Error> {
        let Some(mut head) = self.input.get(..HEAD_BYTES) else { return Ok(None) };
        let length = head.get_u32_le() as usize;
        if !(NUMBER_BYTES..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let number = head.get_u64_le();
        let end = HEAD_BYTES - NUMBER_BYTES + length;
        if self.input.len() < end {
            self.input.reserve(end - self.input.len());
            return Ok(None);
        }
        let mut frame = self.input.split_to(end);
        frame.advance(HEAD_BYTES);
        Ok(Some((number, frame.freeze())))
    }

    /// Sends what waits, as far as the other side takes it, and waits until something came; where nothing is to be taken, until
    /// something was sent.
    pub(super) async fn turn(&mut self, takes: bool) -> Result<(), Error> {
        poll_fn(|context| {
            let mut sent = false;
            while !self.output.is_empty() {
                match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(written)) => {
                        self.output.advance(written);
                        (self.unflushed, sent) = (true, true);
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => break,
                }
            }
            if self.unflushed && self.output.is_empty() {
                match Pin::new(&mut self.stream).poll_flush(context) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => {}
                }
            }
            if !takes {
                return if sent { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            self.input.reserve(READ_BYTES);
            let reading = pin!(self.stream.read_buf(&mut self.input));
            match reading.poll(context) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::asking::Reading;

    #[tokio::test]
    async fn both_sides_send_more_than_the_stream_holds() {
        let (here, there) = tokio::io::duplex(1_000);
        let (mut here, mut there) = (Frames::new(here), Frames::new(there));
        let message = Reading { tags: vec![u64::MAX; 7_000], ..Reading::default() };
        for number in 0..40 {
            here.put(number, &message);
            there.put(number, &message);
        }
        let mut taken = [0, 0];
        while taken != [40, 40] {
            tokio::select! {
                turned = here.turn(true) => turned.expect("the other side goes on"),
                turned = there.turn(there.has_room()) => turned.expect("the other side goes on"),
            }
            for (frames, taken) in [&mut here, &mut there].into_iter().zip(&mut taken) {
                while let Some((number, bytes)) = frames.next().expect("what comes is whole") {
                    assert_eq!((number, Reading::decode(bytes).as_ref()), (*taken, Ok(&message)));
                    *taken += 1;
                }
            }
        }
    }

    #[tokio::test]
    async fn garbage_ends_the_stream() {
        let (mut here, there) = tokio::io::duplex(1_000);
        let mut there = Frames::new(there);
        tokio::io::AsyncWriteExt::write_all(&mut here, &[0xFF; 64]).await.expect("there is room");
        there.turn(true).await.expect("something came");
        assert_eq!(there.next().map_err(|fault| fault.kind()), Err(ErrorKind::InvalidData));
    }
}
