//! The side that answers: what needs no waiting where it was read, the rest beside it.
//!
//! Promises: as many questions as `WAITING_MAX` of a connection are under way, more are not read; a connection ends with the door.
//! It lives on a runtime whose threads may wait for the disk. May not know who asks.

use super::READS;
use super::frames::{Frames, HEAD_BYTES};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::data::asking::{Answered, Reading, Told};
use crate::data::node::DataNode;
use crate::data::refused::Refused;
use crate::data::serving::{read, read_now};
use crate::door::{Lifeline, Taking};
use prost::Message;
use rustls::ServerConfig;
use rustls::server::Accepted;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// The most questions of a connection that are under way.
const WAITING_MAX: usize = 1_024;
/// A question of more values than this is answered beside the connection, so that short ones behind it need not wait.
const SHORT: usize = 64;
/// A connection that asks nothing for so long may be of somebody who vanished without a word: it ends. Another is soon made.
const IDLE: Duration = Duration::from_secs(600);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Answers questions about values for a node: to be added to the door of its process.
#[derive(Clone)]
pub struct Reads {
    node: Arc<DataNode>,
    lifeline: Lifeline,
    readers: Handle,
}

impl Reads {
    /// Answers for a node, on the threads of `readers`, which may wait for the disk.
    #[must_use]
    pub fn new(node: Arc<DataNode>, lifeline: Lifeline, readers: Handle) -> Reads {
        Reads { node, lifeline, readers }
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
        let (mut waiting, mut idle) = (0, false);
        let mut looks = tokio::time::interval(IDLE);
        loop {
            tokio::select! {
                turned = frames.turn_with_room() => turned?,
                _ = looks.tick() => {
                    if idle && waiting == 0 {
                        return Ok(());
                    }
                    idle = true;
                }
                Some((number, told)) = answers.recv() => {
                    waiting -= 1;
                    frames.put(number, &fitting(told));
                }
            }
            while waiting < WAITING_MAX && frames.has_room() {
                let Some((number, message)) = frames.next()? else { break };
                idle = false;
                let reading = Reading::decode(message).map_err(|fault| Error::new(ErrorKind::InvalidData, fault))?;
                let at_once = if reading.tags.len() <= SHORT { read_now(&self.node, &reading) } else { None };
                match at_once {
                    Some(answered) => frames.put(number, &told(answered)),
                    None => {
                        waiting += 1;
                        let (node, done) = (Arc::clone(&self.node), done.clone());
                        // The connection may have ended meanwhile.
                        tokio::spawn(async move { drop(done.send((number, told(read(&node, reading).await))).await) });
                    }
                }
            }
        }
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

impl Taking for Reads {
    fn protocol(&self) -> &'static [u8] {
        READS
    }

    fn take(&self, handshake: StartHandshake<TcpStream>, config: Arc<ServerConfig>) {
        let StartHandshake { accepted, io, .. } = handshake;
        // One that can't leave its runtime was lost already.
        let Ok(stream) = io.into_std() else { return };
        let reads = self.clone();
        self.readers.spawn(async move {
            if let Err(fault) = reads.serve(accepted, stream, config).await {
                tracing::debug!(%fault, "a connection for reads ended");
            }
        });
    }
}
