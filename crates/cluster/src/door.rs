//! The door of a process: one listener for all that the processes of a fleet ask each other, under mutual TLS.
//!
//! Promises: only who shows a certificate of the fleet's authority gets as far as a question; at most `STREAMS_MAX`
//! questions and streams are open on a connection; once the door is to close, or its future is dropped, every
//! `Lifeline` ends, on connections that stand too, and `serve` returns when nobody holds one any more. May not know what is
//! asked.

use crate::calls::chain;
use meta::Error;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// Most questions and streams that are open on one connection.
pub const STREAMS_MAX: u32 = 1_024;

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
    own: OwnCertificate,
    routes: RoutesBuilder,
    alive: watch::Sender<()>,
    lifeline: Lifeline,
    free: mpsc::Receiver<Infallible>,
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

impl Door {
    /// A door without services.
    #[must_use]
    pub fn new(own: OwnCertificate) -> Door {
        let (alive, stopping) = watch::channel(());
        let (held, free) = mpsc::channel(1);
        Door { own, routes: RoutesBuilder::default(), alive, lifeline: Lifeline { stopping, _held: held }, free }
    }

    /// A door to which services were added elsewhere.
    #[must_use]
    pub fn over(own: OwnCertificate, routes: Routes) -> Door {
        Door { routes: routes.into(), ..Door::new(own) }
    }

    /// For a service whose answers may last: streams, and what holds something that must be free when the door is closed.
    #[must_use]
    pub fn lifeline(&self) -> Lifeline {
        self.lifeline.clone()
    }

    /// Adds a service; it answers what is asked under its name.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Door
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Answers on a listener until `stop` ends.
    ///
    /// # Errors
    /// `Error::Open` where the certificates can't be used, or the listener fails.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let Door { own, routes, alive, lifeline, mut free } = self;
        let stop = async move {
            stop.await;
            drop(alive);
        };
        let served = answer(routes.routes(), own, listener, stop).await;
        drop(lifeline);
        while free.recv().await.is_some() {}
        served
    }
}

async fn answer(routes: Routes, own: OwnCertificate, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let failed = |cause: tonic::transport::Error| Error::Open(chain(&cause));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(own.certificate, own.key))
        .client_ca_root(Certificate::from_pem(own.authority))
        .timeout(Duration::from_secs(5));
    Server::builder()
        .tls_config(tls)
        .map_err(failed)?
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Whoever vanished without a word is noticed.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop)
        .await
        .map_err(failed)
}
