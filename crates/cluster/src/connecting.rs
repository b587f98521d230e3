//! How gRPC reaches another process: over TLS made with what is in use at that moment, or over plain TCP.
//!
//! Promises: a channel that connects again does so with the certificates of then, not with those it was made with. tonic keeps the
//! certificates of an endpoint for as long as the channel lives: hence a connector of our own. May not know what is asked.

use crate::calls::Tls;
use crate::identity::Identity;
use crate::tls;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Channel, Endpoint};

/// The port where an address names none.
const PORT: u16 = 443;

/// Where connections are made to.
#[derive(Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    connector: Option<Connector>,
}

/// Makes TLS connections to one place.
#[derive(Clone)]
struct Connector {
    identity: Identity,
    address: Uri,
}

impl Target {
    /// A place by its address, and how the channel is to be; without an identity it is spoken to in plain TCP.
    pub(crate) fn new(
        address: &str,
        identity: Option<&Identity>,
        shaped: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Target, String> {
        let told = |fault: &dyn std::error::Error| fault.source().map_or_else(|| fault.to_string(), ToString::to_string);
        let uri: Uri = address.parse().map_err(|fault| told(&fault))?;
        let Some(identity) = identity.filter(|_| uri.scheme() == Some(&Scheme::HTTPS)) else {
            return Ok(Target { endpoint: shaped(Endpoint::from(uri)), connector: None });
        };
        let host = uri.host().ok_or_else(|| "it names no host".to_owned())?;
        // What can't be used at all is said now.
        tls::asking(&identity.current(), host, tls::GRPC)?;
        // tonic would make TLS of its own of an address that asks for it; what is asked goes under the address itself.
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let plain = Uri::from_parts(parts).map_err(|fault| told(&fault))?;
        let connector = Connector { identity: identity.clone(), address: uri.clone() };
        Ok(Target { endpoint: shaped(Endpoint::from(plain)).origin(uri), connector: Some(connector) })
    }

    /// The address.
    pub(crate) fn address(&self) -> &Uri {
        self.connector.as_ref().map_or(self.endpoint.uri(), |connector| &connector.address)
    }

    /// A channel whose connection is made.
    pub(crate) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match &self.connector {
            Some(connector) => self.endpoint.connect_with_connector(connector.clone()).await,
            None => self.endpoint.connect().await,
        }
    }

    /// A channel whose connection is made when something is asked.
    pub(crate) fn channel(&self) -> Channel {
        match &self.connector {
            Some(connector) => self.endpoint.connect_with_connector_lazy(connector.clone()),
            None => self.endpoint.connect_lazy(),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Connector { identity, address } = self.clone();
        Box::pin(async move { connect(&address, &identity.current(), tls::GRPC).await.map(TokioIo::new) })
    }
}

/// A connection to whoever is at an address and speaks a protocol.
pub(crate) async fn connect(address: &Uri, tls: &Tls, protocol: &[u8]) -> Result<TlsStream<TcpStream>, Error> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidInput, what);
    let host = address.host().ok_or_else(|| wrong(format!("\"{address}\" names no host")))?;
    let (config, name) = tls::asking(tls, host, protocol).map_err(wrong)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, address.port_u16().unwrap_or(PORT))).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(agreed) if agreed == protocol => Ok(stream),
        _ => Err(Error::other("the process there does not speak this protocol, or is of another release")),
    }
}
