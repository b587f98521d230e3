//! The door of a process: one listener for all that the processes of a fleet ask each other, under mutual TLS.
//!
//! Promises: only who shows a certificate of the fleet's authority gets as far as a question; at most `STREAMS_MAX`
//! questions and streams are open on a connection; once the door is to close, or its future is dropped, every
//! `Lifeline` ends, on connections that stand too, and `serve` returns when nobody holds one any more; what is answered then goes
//! on, for a bounded time where one was given (`lingering`). May not know what is asked.

use crate::calls::Tls;
use crate::calls::chain;
use crate::cutting::Cutting;
use crate::data::Answers;
use crate::identity::Identity;
use crate::tls;
use meta::Error;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::{Response, Status};

/// Most questions and streams that are open on one connection.
pub const STREAMS_MAX: u32 = 1_024;

/// How long whoever connects may take to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The most that say so at a time; others wait.
const HANDSHAKES_MAX: usize = 256;
/// How long is waited when no connection could be taken: files may have run out.
const PAUSE: Duration = Duration::from_millis(50);

/// How much of one question, and of all of a connection, may be on its way unread, in bytes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// This side's certificate, and whose certificates it accepts; each PEM.
#[derive(Clone)]
pub struct OwnCertificate {
    /// The authority's certificate.
    pub authority: Vec<u8>,
    /// This process's certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

/// A door that is being built: services are added, then it serves them all.
pub struct Door {
    identity: Identity,
    routes: RoutesBuilder,
    taking: Vec<Arc<dyn Taking>>,
    alive: watch::Sender<()>,
    lifeline: Lifeline,
    free: mpsc::Receiver<Infallible>,
    linger: Option<Duration>,
}

/// What a service holds while it answers: it tells when the door closes, and the door waits until all are dropped.
#[derive(Clone)]
pub struct Lifeline {
    /// Its other end is dropped when all is to end.
    stopping: watch::Receiver<()>,
    /// Its other end sees when nobody holds one any more.
    _held: mpsc::Sender<Infallible>,
}

impl Lifeline {
    /// Waits until the door closes.
    pub async fn ended(&self) {
        let mut stopping = self.stopping.clone();
        // Only ever ends by its sender's going.
        while stopping.changed().await.is_ok() {}
    }
}

/// What answers behind a door: all that is asked under one name.
pub trait Answering: Clone + Send + Sync + 'static {
    /// The name; a number at its end is the layout's.
    const NAME: &'static str;

    /// Answers one question, by its path.
    fn answer(self, request: http::Request<Body>) -> impl Future<Output = http::Response<Body>> + Send;
}

/// What takes connections of a protocol of its own, past gRPC.
pub(crate) trait Taking: Send + Sync + 'static {
    /// Its name in the handshake (ALPN).
    fn protocol(&self) -> &'static [u8];

    /// Takes a connection that asked for it; the handshake is to be ended with this configuration.
    fn take(&self, handshake: StartHandshake<TcpStream>, config: Arc<ServerConfig>);
}

/// An answer to one question, or to one stream, that is on its way.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// A connection whose hands are shaken.
type Ready = Result<Cutting<TlsStream<TcpStream>>, std::io::Error>;

/// What whoever connects is greeted with.
struct Greeting {
    identity: Identity,
    protocols: Vec<&'static [u8]>,
    /// What is in use, and what was made of it.
    made: (Arc<Tls>, Arc<ServerConfig>),
}

impl Greeting {
    fn new(identity: Identity, protocols: Vec<&'static [u8]>) -> Result<Greeting, String> {
        let current = identity.current();
        let config = tls::answering(&current, &protocols)?;
        Ok(Greeting { identity, protocols, made: (current, config) })
    }

    fn current(&mut self) -> Arc<ServerConfig> {
        let current = self.identity.current();
        if !Arc::ptr_eq(&current, &self.made.0) {
            // What was tried before it came into use can be used. Sessions of before are not resumed: their certificates
            // may be of an authority that is not believed any more.
            match tls::answering(&current, &self.protocols) {
                Ok(config) => self.made = (current, config),
                Err(fault) => tracing::error!(fault, "the certificate of before is shown"),
            }
        }
        Arc::clone(&self.made.1)
    }
}

/// What answers, as the routes of a door want it.
#[derive(Clone)]
struct Route<A>(A);

impl<A: Answering> NamedService for Route<A> {
    const NAME: &'static str = A::NAME;
}

impl<A: Answering> Service<http::Request<Body>> for Route<A> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Route(answering) = self.clone();
        Box::pin(async move { Ok(answering.answer(request).await) })
    }
}

impl Door {
    /// A door without services.
    #[must_use]
    pub fn new(identity: impl Into<Identity>) -> Door {
        let (alive, stopping) = watch::channel(());
        let (held, free) = mpsc::channel(1);
        Door {
            identity: identity.into(),
            routes: RoutesBuilder::default(),
            taking: Vec::new(),
            alive,
            lifeline: Lifeline { stopping, _held: held },
            free,
            linger: None,
        }
    }

    /// A door to which services were added elsewhere.
    #[must_use]
    pub fn over(identity: impl Into<Identity>, routes: Routes) -> Door {
        Door { routes: routes.into(), ..Door::new(identity) }
    }

    /// For a service whose answers may last: streams, and what holds something that must be free when the door is closed.
    #[must_use]
    pub fn lifeline(&self) -> Lifeline {
        self.lifeline.clone()
    }

    /// Adds what answers under its name.
    #[must_use]
    pub fn with(mut self, answering: impl Answering) -> Door {
        self.routes.add_service(Route(answering));
        self
    }

    /// Adds what takes connections of its own protocol.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Door {
        self.taking.push(Arc::new(answers));
        self
    }

    /// What is being answered when the door is to close is given up after this time: else it is waited for as long as it lasts.
    #[must_use]
    pub fn lingering(mut self, limit: Duration) -> Door {
        self.linger = Some(limit);
        self
    }

    /// Answers on a listener until `stop` ends.
    ///
    /// # Errors
    /// `Error::Open` where the certificates can't be used, or the listener fails.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let Door { identity, routes, taking, alive, lifeline, mut free, linger } = self;
        let (cut, word) = watch::channel(false);
        let closing = lifeline.clone();
        let stop = async move {
            stop.await;
            drop(alive);
        };
        let given_up = async move {
            closing.ended().await;
            match linger {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
            tracing::warn!("what others still read here is given up: the process stops");
            cut.send_replace(true);
            std::future::pending::<()>().await;
        };
        let served = tokio::select! {
            served = answer(routes.routes(), identity, (taking, listener, word), stop) => served,
            () = given_up => Ok(()),
        };
        drop(lifeline);
        while free.recv().await.is_some() {}
        served
    }
}

async fn answer(
    routes: Routes,
    identity: Identity,
    (taking, listener, cut): (Vec<Arc<dyn Taking>>, TcpListener, watch::Receiver<bool>),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let protocols = std::iter::once(tls::GRPC).chain(taking.iter().map(|taking| taking.protocol())).collect();
    let greeting = Greeting::new(identity, protocols).map_err(Error::Open)?;
    let (ready, incoming) = mpsc::channel(HANDSHAKES_MAX);
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Whoever vanished without a word is noticed.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop);
    tokio::select! {
        served = served => served.map_err(|cause| Error::Open(chain(&cause))),
        () = accept(listener, taking.into(), greeting, (ready, cut)) => Ok(()),
    }
}

/// Takes connections for ever, and hands each to whom it asks for once its hands are shaken.
async fn accept(
    listener: TcpListener,
    taking: Arc<[Arc<dyn Taking>]>,
    mut greeting: Greeting,
    (ready, cut): (mpsc::Sender<Ready>, watch::Receiver<bool>),
) {
    let shaking = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&shaking).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(fault) => {
                tracing::warn!(%fault, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (taking, config, ready, cut) = (Arc::clone(&taking), greeting.current(), ready.clone(), cut.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, shake(stream, &taking, config)).await;
            drop(permit);
            match shaken.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                // The door may have closed.
                Ok(Some(stream)) => drop(ready.send(Ok(Cutting::new(stream, cut))).await),
                Ok(None) => {}
                Err(fault) => tracing::debug!(%fault, "a connection was not made"),
            }
        });
    }
}

/// The connection, unless it was taken.
async fn shake(
    stream: TcpStream,
    taking: &[Arc<dyn Taking>],
    config: Arc<ServerConfig>,
) -> Result<Option<TlsStream<TcpStream>>, std::io::Error> {
    stream.set_nodelay(true)?;
    let handshake = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let asks_for =
        |protocol: &[u8]| handshake.client_hello().alpn().is_some_and(|mut given| given.any(|given| given == protocol));
    if let Some(taking) = taking.iter().find(|taking| asks_for(taking.protocol())) {
        taking.take(handshake, config);
        return Ok(None);
    }
    handshake.into_stream(config).await.map(Some)
}
