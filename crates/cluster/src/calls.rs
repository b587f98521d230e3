//! gRPC calls to whichever of some endpoints answers, and what it means when none does.
//!
//! Promises:
//! - one connection at a time, made before a call is sent on it, so that "no connection" is known to
//!   mean "not made"; after any failure of the connection it is given up, and the next endpoint tried;
//! - a call has `attempts_max` tries of `request` each; one that changes something is sent again only
//!   where its answer said that it was not made, and is else in doubt;
//! - at most `calls_max` calls are under way.
//!
//! May not know what is called.

use crate::connecting::Target;
use crate::identity::Identity;
use meta::{Answer, Error};
use parking_lot::RwLock;
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use world::Ticket;

/// The largest answer: a page of the widest entries.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// How long, how often, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one try of a call may take. 2 s by default.
    pub request: Duration,
    /// How long one connection may take to be made. 1 s by default.
    pub connect: Duration,
    /// How often a call is tried. 3 by default.
    pub attempts_max: u32,
    /// How many calls may be under way; one more is refused as `Error::Unavailable`. 1,024 by default.
    pub calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { request: Duration::from_secs(2), connect: Duration::from_secs(1), attempts_max: 3, calls_max: 1_024 }
    }
}

/// Certificates for a connection, each PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whom the other side's certificate must come from.
    pub authority: Vec<u8>,
    /// This side's certificate and key, where the other side asks for them.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the other side's certificate must bear; the endpoint's host where none.
    pub name: Option<String>,
}

/// What an answer that is no good means.
pub(crate) enum Judged {
    /// Nothing was changed, and asking again won't help.
    Final(Error),
    /// Nothing was changed; ask again.
    NotMade(String),
    /// Nothing was changed, since the token is not valid (any more): get another, ask again.
    Token,
    /// It is not known what happened; the connection is of no use.
    Open(String),
}

/// Whether a call that was not answered leaves anything in doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it can be sent again.
    Read,
    /// A change.
    Change,
}

/// How a method takes its question.
#[derive(Clone, Copy)]
enum Shape {
    Unary,
    Streams,
}

/// How a token is got, and where it is carried.
pub(crate) struct Login {
    pub path: &'static str,
    pub name: String,
    pub password: String,
}

/// Calls to one service.
pub(crate) struct Calls {
    endpoints: Vec<Target>,
    limits: Limits,
    judge: fn(&Status) -> Judged,
    login: Option<Login>,
    token: RwLock<Option<AsciiMetadataValue>>,
    connection: Mutex<Connection>,
}

/// The connection in use. `number` counts those that were made, so that a failure gives up its own.
struct Connection {
    channel: Option<Channel>,
    number: u64,
    next: usize,
}

/// A channel, and which one it is.
#[derive(Clone)]
pub(crate) struct Line {
    pub channel: Channel,
    number: u64,
}

impl Calls {
    pub fn new(
        addresses: &[String],
        identity: Option<&Identity>,
        limits: Limits,
        judge: fn(&Status) -> Judged,
        login: Option<Login>,
    ) -> Result<Calls, Error> {
        let endpoint = |address: &String| {
            let target = Target::new(address, identity, |endpoint| {
                endpoint
                    .connect_timeout(limits.connect)
                    .tcp_nodelay(true)
                    // Not below 5 s: etcd takes more frequent pings for an attack.
                    .http2_keep_alive_interval(Duration::from_secs(10))
                    .keep_alive_timeout(Duration::from_secs(3))
                    .keep_alive_while_idle(true)
            });
            target.map_err(|cause| Error::Open(format!("\"{address}\" is no address to connect to: {cause}")))
        };
        let endpoints = addresses.iter().map(endpoint).collect::<Result<Vec<_>, Error>>()?;
        if endpoints.is_empty() {
            return Err(Error::Open("no address to connect to is given".to_owned()));
        }
        let connection = Mutex::new(Connection { channel: None, number: 0, next: 0 });
        Ok(Calls { endpoints, limits, judge, login, token: RwLock::new(None), connection })
    }

    /// The line in use, or a new one: each endpoint is tried once.
    pub async fn line(&self) -> Result<Line, Error> {
        let mut connection = self.connection.lock().await;
        if let Some(channel) = &connection.channel {
            return Ok(Line { channel: channel.clone(), number: connection.number });
        }
        let mut said = Vec::new();
        for _ in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[connection.next];
            // The limit on connecting is TCP's; a process that is stopped accepts and says nothing.
            let made = tokio::time::timeout(self.limits.connect, endpoint.connect()).await;
            match made.map_err(|_| "no answer".to_owned()).and_then(|made| made.map_err(|cause| chain(&cause))) {
                Ok(channel) => {
                    connection.number += 1;
                    connection.channel = Some(channel.clone());
                    return Ok(Line { channel, number: connection.number });
                }
                Err(cause) => said.push(format!("{}: {cause}", endpoint.address())),
            }
            connection.next = (connection.next + 1) % self.endpoints.len();
        }
        Err(Error::Unavailable(said.join("; ")))
    }

    /// Gives a line up, if it is still the one in use.
    pub async fn give_up(&self, line: &Line) {
        let mut connection = self.connection.lock().await;
        if connection.number == line.number && connection.channel.take().is_some() {
            connection.next = (connection.next + 1) % self.endpoints.len();
        }
    }

    /// Asks, and asks again where that is safe.
    pub async fn unary<Q, A>(&self, kind: Kind, path: &'static str, question: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.ask(kind, Shape::Unary, path, question).await
    }

    /// As `unary`, of a method whose questions and answers are streams: one of each.
    pub async fn one_of_stream<Q, A>(&self, kind: Kind, path: &'static str, question: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.ask(kind, Shape::Streams, path, question).await
    }

    async fn ask<Q, A>(&self, kind: Kind, shape: Shape, path: &'static str, question: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut said = String::new();
        for attempt in 0..self.limits.attempts_max {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(50 << attempt.min(5))).await;
            }
            let line = self.line().await?;
            let asked = async {
                let mut grpc = grpc(&line.channel);
                grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
                let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
                match shape {
                    Shape::Unary => {
                        let request = self.with_token(Request::new(question.clone()));
                        grpc.unary(request, path, codec).await.map(Response::into_inner)
                    }
                    Shape::Streams => {
                        let request = self.with_token(Request::new(tokio_stream::once(question.clone())));
                        let mut answers = grpc.streaming(request, path, codec).await?.into_inner();
                        answers.message().await?.ok_or_else(|| Status::unavailable("the stream ended without an answer"))
                    }
                }
            };
            let judged = match tokio::time::timeout(self.limits.request, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => (self.judge)(&status),
                Err(_) => Judged::Open(format!("no answer within {} ms", self.limits.request.as_millis())),
            };
            said = self.consider(kind, judged, &line).await?;
        }
        Err(Error::Unavailable(said))
    }

    /// What a bad answer comes to: the end, or another try.
    pub async fn consider(&self, kind: Kind, judged: Judged, line: &Line) -> Result<String, Error> {
        match judged {
            Judged::Final(error) => Err(error),
            Judged::NotMade(text) => Ok(text),
            Judged::Token => match &self.login {
                Some(login) => self.log_in(login, line).await.map(|()| "the token was not valid".to_owned()),
                None => Err(Error::Denied("it asks for a name and a password".to_owned())),
            },
            Judged::Open(text) => {
                self.give_up(line).await;
                if kind == Kind::Change { Err(Error::InDoubt(text)) } else { Ok(text) }
            }
        }
    }

    /// Gets a token, before the first call and whenever one has run out.
    pub async fn log_in_first(&self) -> Result<(), Error> {
        match &self.login {
            Some(login) => self.log_in(login, &self.line().await?).await,
            None => Ok(()),
        }
    }

    async fn log_in(&self, login: &Login, line: &Line) -> Result<(), Error> {
        let question = Question { name: login.name.clone(), password: login.password.clone() };
        let asked = async {
            let mut grpc = grpc(&line.channel);
            grpc.ready().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
            let codec = ProstCodec::<Question, Token>::default();
            grpc.unary(Request::new(question), PathAndQuery::from_static(login.path), codec).await
        };
        let answer = match tokio::time::timeout(self.limits.request, asked).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                return Err(match (self.judge)(&status) {
                    Judged::Final(error) => error,
                    Judged::NotMade(text) | Judged::Open(text) => Error::Unavailable(text),
                    Judged::Token => Error::Denied(status.message().to_owned()),
                });
            }
            Err(_) => return Err(Error::Unavailable("no answer to the name and password".to_owned())),
        };
        let token = answer.token.parse().map_err(|_| Error::Denied("the token is not text".to_owned()))?;
        *self.token.write() = Some(token);
        Ok(())
    }

    pub fn with_token<T>(&self, mut request: Request<T>) -> Request<T> {
        if let Some(token) = &*self.token.read() {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    password: String,
}

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(string, tag = "2")]
    token: String,
}

/// A client of a line, with our limits.
pub(crate) fn grpc(channel: &Channel) -> Grpc<Channel> {
    Grpc::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// An error with its causes: the transport's own text only says that it failed.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        out = format!("{out}: {next}");
        cause = next.source();
    }
    out
}

/// Calls as tickets: each is a task of the runtime, and so many may be under way.
pub(crate) struct Asking {
    pub runtime: Handle,
    permits: Arc<Semaphore>,
    calls_max: usize,
}

impl Asking {
    pub fn new(runtime: Handle, limits: &Limits) -> Asking {
        Asking { runtime, permits: Arc::new(Semaphore::new(limits.calls_max)), calls_max: limits.calls_max }
    }

    pub fn ask<T: Send + 'static>(&self, call: impl Future<Output = Result<T, Error>> + Send + 'static) -> Answer<T> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Ticket::ready(Err(Error::Unavailable(format!("{} calls are under way already", self.calls_max))));
        };
        let (promise, ticket) = Ticket::pair();
        self.runtime.spawn(async move {
            let answer = call.await;
            // First the room, then the answer: who hears it may ask again.
            drop(permit);
            promise.keep(answer);
        });
        ticket
    }
}
