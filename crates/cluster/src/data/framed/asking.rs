//! The side that asks: a connection for each runtime that does, to each node.
//!
//! Promises: a question is answered, or given up within its limit; one that is too long for a message is not sent; nothing waits here for a node that takes nothing. A connection
//! is made when something is asked, and anew after a failure. May not know what is asked.

use super::Asked;
use super::frames::{Frames, HEAD_BYTES};
use crate::calls::{MESSAGE_BYTES_MAX, chain};
use crate::connecting::connect;
use crate::data::asking::{Reading, Told, Writing};
use crate::data::refused::Refused;
use crate::identity::Identity;
use parking_lot::Mutex;
use prost::Message;
use std::collections::HashMap;
use std::io::Error;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;

/// The most questions that wait for one connection.
const WAITING_MAX: usize = 1_024;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(1_000);
/// How much longer than its limit the answer to a write is waited for.
const GRACE: Duration = Duration::from_millis(500);

struct Question<Q> {
    asked: Q,
    answer: oneshot::Sender<Result<Told, Refused>>,
}

/// Where questions go that are for one connection.
type Line<Q> = mpsc::Sender<Question<Q>>;

/// Connections to data nodes, for questions about values and for writes.
pub struct Askers {
    reads: Connections<Reading>,
    writes: Connections<Writing>,
}

/// Connections for one sort of question.
struct Connections<Q> {
    identity: Identity,
    open: Mutex<HashMap<(Id, String), Line<Q>>>,
}

fn unavailable(why: impl ToString) -> Refused {
    Refused::Unavailable(why.to_string())
}

impl Askers {
    /// No connection yet. Questions are asked with these certificates.
    #[must_use]
    pub fn new(identity: &Identity) -> Askers {
        Askers { reads: Connections::new(identity), writes: Connections::new(identity) }
    }

    /// Asks whoever is at an address (`https://HOST:PORT`).
    pub(in crate::data) async fn read(&self, address: &str, reading: Reading, limit: Duration) -> Result<Told, Refused> {
        self.reads.ask(address, reading, limit).await
    }

    /// Has whoever is at an address write. The node says by itself that the limit is over: a connection is given up only
    /// where it does not.
    pub(in crate::data) async fn write(&self, address: &str, writing: Writing, limit: Duration) -> Result<Told, Refused> {
        self.writes.ask(address, writing, limit + GRACE).await
    }
}

impl<Q: Asked> Connections<Q> {
    fn new(identity: &Identity) -> Connections<Q> {
        Connections { identity: identity.clone(), open: Mutex::default() }
    }

    async fn ask(&self, address: &str, asked: Q, limit: Duration) -> Result<Told, Refused> {
        // The other side would end the connection for it, and with it all that others have asked there.
        let bytes = HEAD_BYTES + asked.encoded_len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Refused::TooLarge(format!("a message of {bytes} bytes to one node; {MESSAGE_BYTES_MAX} may be")));
        }
        let (answer, told) = oneshot::channel();
        let line = self.line(address);
        line.try_send(Question { asked, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => unavailable("the connection was lost"),
        })?;
        match tokio::time::timeout(limit, told).await {
            Ok(told) => told.unwrap_or_else(|_| Err(unavailable("the connection was lost"))),
            Err(_) => {
                // A node that vanished without a word says so by this alone: the next question gets another connection.
                self.give_up(address, &line);
                Err(unavailable(format!("no answer within {} ms", limit.as_millis())))
            }
        }
    }

    /// The connection of this runtime.
    fn line(&self, address: &str) -> Line<Q> {
        let runtime = Handle::current();
        let mut open = self.open.lock();
        let key = (runtime.id(), address.to_owned());
        if let Some(line) = open.get(&key).filter(|line| !line.is_closed()) {
            return line.clone();
        }
        // Those of runtimes that ended, and of nodes that went.
        open.retain(|_, line| !line.is_closed());
        let (line, questions) = mpsc::channel(WAITING_MAX);
        runtime.spawn(serve(address.to_owned(), self.identity.clone(), questions));
        open.insert(key, line.clone());
        line
    }

    fn give_up(&self, address: &str, line: &Line<Q>) {
        let key = (Handle::current().id(), address.to_owned());
        let mut open = self.open.lock();
        if open.get(&key).is_some_and(|open| open.same_channel(line)) {
            open.remove(&key);
        }
    }
}

/// A connection, until it fails or nobody can ask any more. What waits then for an answer hears that it was lost.
async fn serve<Q: Asked>(address: String, identity: Identity, mut questions: mpsc::Receiver<Question<Q>>) {
    let made = tokio::time::timeout(CONNECT, reach(&address, &identity, Q::PROTOCOL)).await;
    let made = made.unwrap_or_else(|_| Err(format!("no connection within {} ms", CONNECT.as_millis())));
    match made {
        Ok(stream) => {
            if let Err(fault) = pump(Frames::new(stream), &mut questions).await {
                tracing::debug!(address, %fault, "a connection to a data node ended");
            }
        }
        Err(why) => {
            questions.close();
            while let Some(Question { answer, .. }) = questions.recv().await {
                // Whoever asked may have gone.
                drop(answer.send(Err(unavailable(&why))));
            }
        }
    }
}

async fn reach(address: &str, identity: &Identity, protocol: &[u8]) -> Result<TlsStream<TcpStream>, String> {
    let uri: Uri = address.parse().map_err(|fault| format!("\"{address}\" is no address: {fault}"))?;
    connect(&uri, &identity.current(), protocol).await.map_err(|fault| chain(&fault))
}

async fn pump<Q: Asked>(
    mut frames: Frames<TlsStream<TcpStream>>,
    questions: &mut mpsc::Receiver<Question<Q>>,
) -> Result<(), Error> {
    let mut asked: HashMap<u64, oneshot::Sender<Result<Told, Refused>>> = HashMap::new();
    let mut numbers = 0..;
    loop {
        tokio::select! {
            turned = frames.turn(true) => {
                turned?;
                while let Some((number, message)) = frames.next()? {
                    if let Some(answer) = asked.remove(&number) {
                        let told = Told::decode(message).map_err(|fault| unavailable(format!("the answer is of another release: {fault}")));
                        // Whoever asked may have gone.
                        drop(answer.send(told));
                    }
                }
            }
            question = questions.recv(), if frames.has_room() => {
                let Some(Question { asked: one, answer }) = question else { return Ok(()) };
                let number = numbers.next().unwrap_or_default();
                frames.put(number, &one);
                asked.insert(number, answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Tls;

    #[tokio::test]
    async fn what_no_message_holds_is_refused_before_it_is_sent() {
        let askers = Askers::new(&Tls { authority: Vec::new(), own: None, name: None }.into());
        let writing = |bytes: usize| Writing { body: vec![0; bytes].into(), ..Writing::default() };
        let write = |bytes| askers.write("https://127.0.0.1:1", writing(bytes), Duration::from_secs(5));
        assert!(matches!(write(MESSAGE_BYTES_MAX).await, Err(Refused::TooLarge(_))));
        // The certificate is none: this one would have been sent.
        assert!(matches!(write(MESSAGE_BYTES_MAX - 64).await, Err(Refused::Unavailable(_))));
    }
}
