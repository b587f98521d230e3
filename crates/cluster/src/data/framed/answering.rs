//! The side that answers: what needs no waiting where it was read, the rest beside it.
//!
//! Promises: as many questions as `WAITING_MAX` of a connection are under way, and as many bytes as `WAITING_BYTES_MAX` and one more
//! question; more are not read; a connection ends with the door. May not know who asks.

use super::Asked;
use super::frames::{Frames, HEAD_BYTES};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::data::asking::{Answered, Reading, Told, Writing};
use crate::data::node::DataNode;
use crate::data::refused::Refused;
use crate::data::serving::{read, read_now, read_span, write};
use crate::door::{Lifeline, Taking};
use bytes::Bytes;
use prost::Message;
use rustls::ServerConfig;
use rustls::server::Accepted;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// The most questions of a connection that are under way.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// A question of more values than this is answered beside the connection, so that short ones behind it need not wait.
const SHORT: usize = 64;
/// A connection that asks nothing for so long may be of somebody who vanished without a word: it ends. Another is soon made.
const IDLE: Duration = Duration::from_secs(600);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Answers one sort of question for a node: to be added to the door of its process.
#[derive(Clone)]
pub struct Answers {
    node: Arc<DataNode>,
    lifeline: Lifeline,
    runtime: Handle,
    writes: bool,
}

/// How a question is answered.
enum Answer {
    AtOnce(Result<Answered, Refused>),
    Later(Pin<Box<dyn Future<Output = Result<Answered, Refused>> + Send>>),
}

impl Answers {
    /// Answers questions about values, on a runtime whose threads may wait for the disk.
    #[must_use]
    pub fn reads(node: Arc<DataNode>, lifeline: Lifeline, runtime: Handle) -> Answers {
        Answers { node, lifeline, runtime, writes: false }
    }

    /// Takes writes, on a runtime.
    #[must_use]
    pub fn writes(node: Arc<DataNode>, lifeline: Lifeline, runtime: Handle) -> Answers {
        Answers { node, lifeline, runtime, writes: true }
    }

    /// Shakes hands and answers, until the other side goes or the door closes.
    async fn serve(self, accepted: Accepted, stream: std::net::TcpStream, config: Arc<ServerConfig>) -> Result<(), Error> {
        let stream = TcpStream::from_std(stream)?;
        let shaken = tokio::time::timeout(HANDSHAKE, StartHandshake::from_parts(accepted, stream).into_stream(config)).await;
        let frames = Frames::new(shaken.map_err(|_| ErrorKind::TimedOut)??);
        tokio::select! {
            ended = self.pump(frames) => ended,
            () = self.lifeline.ended() => Ok(()),
        }
    }

    async fn pump(&self, mut frames: Frames<TlsStream<TcpStream>>) -> Result<(), Error> {
        let (done, mut answers) = mpsc::channel(WAITING_MAX);
        let (mut waiting, mut bytes, mut idle) = (0, 0, false);
        let mut looks = tokio::time::interval(IDLE);
        loop {
            let takes = |waiting, bytes, has_room| waiting < WAITING_MAX && bytes < WAITING_BYTES_MAX && has_room;
            tokio::select! {
                turned = frames.turn(takes(waiting, bytes, frames.has_room())) => turned?,
                _ = looks.tick() => {
                    if idle && waiting == 0 {
                        return Ok(());
                    }
                    idle = true;
                }
                Some((number, of, told)) = answers.recv() => {
                    (waiting, bytes) = (waiting - 1, bytes - of);
                    frames.put(number, &fitting(told));
                }
            }
            while takes(waiting, bytes, frames.has_room()) {
                let Some((number, message)) = frames.next()? else { break };
                idle = false;
                let of = message.len();
                match self.answer(message)? {
                    Answer::AtOnce(answered) => frames.put(number, &told(answered)),
                    Answer::Later(answering) => {
                        (waiting, bytes) = (waiting + 1, bytes + of);
                        let done = done.clone();
                        // The connection may have ended meanwhile.
                        tokio::spawn(async move { drop(done.send((number, of, told(answering.await))).await) });
                    }
                }
            }
        }
    }

    /// Answers at once where nothing has to be waited for.
    fn answer(&self, message: Bytes) -> Result<Answer, Error> {
        let strange = |fault| Error::new(ErrorKind::InvalidData, fault);
        let node = Arc::clone(&self.node);
        if self.writes {
            let writing = Writing::decode(message).map_err(strange)?;
            return Ok(Answer::Later(Box::pin(async move { write(&node, writing).await })));
        }
        let reading = Reading::decode(message).map_err(strange)?;
        let at_once = if reading.tags.len() <= SHORT {
            let span = read_span(&reading);
            let at_once = read_now(&node, &reading);
            // One that has to wait has a span of its own.
            if let (Some(span), None) = (span, &at_once) {
                span.forget();
            }
            at_once
        } else {
            None
        };
        Ok(at_once.map_or_else(|| Answer::Later(Box::pin(async move { read(&node, reading).await })), Answer::AtOnce))
    }
}

fn told(answer: Result<Answered, Refused>) -> Told {
    Told { answered: Some(answer.unwrap_or_else(|refused| Answered::Refused(refused.into()))) }
}

/// The answer, or that it is longer than a message may be.
fn fitting(answer: Told) -> Told {
    let bytes = answer.encoded_len();
    if bytes + HEAD_BYTES <= MESSAGE_BYTES_MAX {
        return answer;
    }
    told(Err(Refused::Invalid(format!(
        "the answer has {bytes} bytes, {MESSAGE_BYTES_MAX} may be; ask for fewer values at a time"
    ))))
}

impl Taking for Answers {
    fn protocol(&self) -> &'static [u8] {
        if self.writes { Writing::PROTOCOL } else { Reading::PROTOCOL }
    }

    fn take(&self, handshake: StartHandshake<TcpStream>, config: Arc<ServerConfig>) {
        let StartHandshake { accepted, io, .. } = handshake;
        // One that can't leave its runtime was lost already.
        let Ok(stream) = io.into_std() else { return };
        let answers = self.clone();
        self.runtime.spawn(async move {
            if let Err(fault) = answers.serve(accepted, stream, config).await {
                tracing::debug!(%fault, "a scheduler's connection ended");
            }
        });
    }
}
