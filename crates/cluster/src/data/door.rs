//! The side of a data node that answers: other nodes' replicas, and whoever writes and reads rows.
//!
//! Promises: only who shows a certificate of the fleet's authority gets as far as a question; parcels for another store are
//! dropped; nothing waits for a replica that has no room. May not know what parcels say.

use super::messages::{Nothing, Parcel};
use super::node::{Asked, DataNode};
use super::rows::{Answered, Found, Reading, Refused, Rows, Told, Writing};
use crate::calls::{MESSAGE_BYTES_MAX, chain};
use crate::lone::OwnCertificate;
use kernel::{Snapshot, Write};
use meta::Error;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{ClientStreamingService, Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use types::{Samples, SliceId, TagId, Timestamp};

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Data1";
pub(super) const DELIVER: &str = "/meridian.Data1/Deliver";
pub(super) const WRITE: &str = "/meridian.Data1/Write";
pub(super) const READ: &str = "/meridian.Data1/Read";

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Answers on a listener until `stop` ends.
///
/// # Errors
/// `Error::Open` where the certificates can't be used, or the listener fails.
pub async fn serve(
    node: Arc<DataNode>,
    listener: TcpListener,
    own: OwnCertificate,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let failed = |cause: tonic::transport::Error| Error::Open(chain(&cause));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(own.certificate, own.key))
        .client_ca_root(Certificate::from_pem(own.authority))
        .timeout(Duration::from_secs(5));
    Server::builder()
        .tls_config(tls)
        .map_err(failed)?
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(Door { node })
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop)
        .await
        .map_err(failed)
}

#[derive(Clone)]
struct Door {
    node: Arc<DataNode>,
}

impl NamedService for Door {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                DELIVER => {
                    let codec = ProstCodec::<Nothing, Parcel>::default();
                    Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).client_streaming(door, request).await
                }
                WRITE => {
                    let codec = ProstCodec::<Told, Writing>::default();
                    Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).unary(door, request).await
                }
                READ => {
                    let codec = ProstCodec::<Told, Reading>::default();
                    Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(door, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

impl ClientStreamingService<Parcel> for Door {
    type Response = Nothing;
    type Future = Boxed<Response<Nothing>, Status>;

    fn call(&mut self, request: Request<Streaming<Parcel>>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            let mut parcels = request.into_inner();
            while let Some(parcel) = parcels.message().await? {
                node.deliver(&parcel);
            }
            Ok(Response::new(Nothing {}))
        })
    }
}

fn told(answer: Result<Answered, Refused>) -> Response<Told> {
    let answered = answer.unwrap_or_else(|refused| Answered::Refused(refused.into()));
    Response::new(Told { answered: Some(answered) })
}

/// A replica that stopped answers nobody.
async fn answered<T>(answer: oneshot::Receiver<Result<T, Refused>>) -> Result<T, Refused> {
    answer.await.unwrap_or_else(|_| Err(Refused::Unavailable("the replica stopped".to_owned())))
}

impl UnaryService<Writing> for Door {
    type Response = Told;
    type Future = Boxed<Response<Told>, Status>;

    fn call(&mut self, request: Request<Writing>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(told(write(&node, request.into_inner()).await)) })
    }
}

async fn write(node: &DataNode, writing: Writing) -> Result<Answered, Refused> {
    let invalid = |text: String| Refused::Invalid(text);
    let origin = writing.origin().ok_or_else(|| invalid("a producer has 16 bytes".to_owned()))?;
    let slice = SliceId(writing.slice);
    let Rows { tags, times, bits, qualities } = writing.rows;
    let tags: Vec<TagId> = tags.into_iter().map(TagId).collect();
    let times: Vec<Timestamp> = times.into_iter().map(Timestamp).collect();
    let qualities = (!qualities.is_empty()).then_some(&*qualities);
    let samples = Samples::new(&tags, &times, &bits, qualities).map_err(|fault| invalid(fault.to_string()))?;
    let write = Write { samples: &[samples], texts: &[], origin: Some(origin) };
    let mut bodies = node.kernel().led_bodies(write, &[]).map_err(|fault| invalid(fault.to_string()))?;
    let (of, body) = match (bodies.pop(), bodies.is_empty()) {
        (Some(only), true) => only,
        _ => return Err(invalid("a write has rows, and all of them are of one slice".to_owned())),
    };
    if of != slice {
        return Err(invalid(format!("the rows are of slice {of}, not {slice}")));
    }
    let (answer, written) = oneshot::channel();
    node.ask(slice, Asked::Write { origin, body, answer })?;
    Ok(Answered::Written(answered(written).await?.into()))
}

impl UnaryService<Reading> for Door {
    type Response = Told;
    type Future = Boxed<Response<Told>, Status>;

    fn call(&mut self, request: Request<Reading>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move { Ok(told(read(&node, request.into_inner()).await)) })
    }
}

async fn read(node: &DataNode, reading: Reading) -> Result<Answered, Refused> {
    let Some(how) = reading.how.filter(|_| reading.tags.len() == reading.times.len()) else {
        return Err(Refused::Invalid("a read has a time for each tag, and says how fresh it wants its answer".to_owned()));
    };
    let questions: Vec<(TagId, Timestamp)> =
        reading.tags.iter().zip(&reading.times).map(|(tag, time)| (TagId(*tag), Timestamp(*time))).collect();
    let (answer, readable) = oneshot::channel();
    node.ask(SliceId(reading.slice), Asked::Read { consistency: how.into(), answer })?;
    let (at, snapshot) = answered(readable).await?;
    // Reading may wait for the disk.
    let found = tokio::task::spawn_blocking(move || values(&snapshot, &questions)).await;
    let (found, rows) = found.map_err(|fault| Refused::Unavailable(fault.to_string()))??;
    Ok(Answered::Read(Found { at: at.into(), found, rows }))
}

fn values(snapshot: &Snapshot, questions: &[(TagId, Timestamp)]) -> Result<(Vec<bool>, Rows), Refused> {
    let columns = snapshot.values_at(questions).map_err(|fault| Refused::Unavailable(fault.to_string()))?;
    let rows = Rows {
        tags: Vec::new(),
        times: columns.times.iter().map(|time| time.0).collect(),
        bits: columns.bits,
        qualities: columns.qualities.into(),
    };
    Ok((columns.found, rows))
}
