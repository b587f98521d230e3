//! Spans by gRPC: one call of a collector's service, from a thread that may wait for it.
//!
//! Promises: the connection is made when something is told, and made again when it was lost; a call ends within `TRY`. May not know
//! what is told.

use super::messages::{Answer, Request};
use super::{CONNECT, TRY, roots};
use crate::Error;
use rustls::RootCertStore;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_prost::ProstCodec;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Whoever calls. Its connection lives in a runtime of its own, so that it is looked after between calls.
pub struct Caller {
    runtime: Runtime,
    channel: Channel,
}

impl Caller {
    /// A caller of a collector at `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// `Error::Usage` where that is no such place, or the system has no certificates for https; `Error::System`.
    pub fn new(endpoint: &str) -> Result<Caller, Error> {
        let wrong = |why: String| Error::Usage(format!("setting otlp_endpoint: \"{endpoint}\": {why}"));
        let made = Endpoint::from_shared(endpoint.to_owned()).map_err(|fault| wrong(fault.to_string()))?;
        if !matches!(made.uri().path(), "" | "/") {
            return Err(wrong(
                "a collector has no path by gRPC: write http://HOST:PORT, or set otlp_protocol to http/protobuf".to_owned(),
            ));
        }
        let agent = concat!("meridian/", env!("CARGO_PKG_VERSION"));
        let mut made = made.connect_timeout(CONNECT).user_agent(agent).map_err(|fault| wrong(fault.to_string()))?;
        if endpoint.starts_with("https:") {
            let mut trusted = RootCertStore::empty();
            trusted.add_parsable_certificates(roots()?);
            let tls = ClientTlsConfig::new().trust_anchors(trusted.roots);
            made = made.tls_config(tls).map_err(|fault| wrong(fault.to_string()))?;
        }
        let builder = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("otlp-grpc").enable_all().build();
        let runtime = builder.map_err(Error::system("starting the thread of a collector's connection"))?;
        let channel = {
            let _inside = runtime.enter();
            made.connect_lazy()
        };
        Ok(Caller { runtime, channel })
    }

    /// Tells it of spans.
    pub fn send(&self, request: Request) -> Result<Answer, String> {
        let mut grpc = Grpc::new(self.channel.clone());
        let call = async move {
            grpc.ready().await.map_err(|fault| fault.to_string())?;
            let codec = ProstCodec::<Request, Answer>::default();
            let answer = grpc.unary(tonic::Request::new(request), PathAndQuery::from_static(EXPORT), codec).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| format!("it answers {:?}: {}", status.code(), status.message()))
        };
        let limited = async { tokio::time::timeout(TRY, call).await };
        self.runtime.block_on(limited).unwrap_or_else(|_| Err(format!("no answer within {} s", TRY.as_secs())))
    }
}
