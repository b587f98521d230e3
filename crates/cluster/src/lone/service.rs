//! The side that answers.
//!
//! Promises: only who shows a certificate of the authority gets as far as a question; at most
//! `STREAMS_MAX` questions and watches are open on a connection; once it is to stop, or its future is dropped,
//! every open question is refused and every watch ends, on connections that stand, too. May not know who they are.

use super::messages::{Answered, Asked, Failed, Granted, Hinted, Nothing, Question, Told, Watching, id, id_bytes};
use super::{ASK, SERVICE, WATCH};
use crate::calls::{MESSAGE_BYTES_MAX, chain};
use crate::tickets::answered;
use meta::{Changed, Error, Key, LeaseId, Meta, Range, Revision, Swap};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Most questions and watches that are open on one connection.
pub const STREAMS_MAX: u32 = 1_024;

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

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

/// Answers on a listener until `stop` ends; a change that is under way then is in doubt. When it returns, nothing
/// holds the meta on its behalf.
///
/// # Errors
/// `Error::Open` where the certificates can't be used, or the listener fails.
pub async fn serve(
    meta: Arc<dyn Meta>,
    listener: TcpListener,
    own: OwnCertificate,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let failed = |cause: tonic::transport::Error| Error::Open(chain(&cause));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(own.certificate, own.key))
        .client_ca_root(Certificate::from_pem(own.authority))
        .timeout(Duration::from_secs(5));
    let (alive, stopping) = watch::channel(());
    let (held, mut free) = mpsc::channel::<Infallible>(1);
    let stop = async move {
        stop.await;
        drop(alive);
    };
    let serving = Server::builder()
        .tls_config(tls)
        .map_err(failed)?
        .max_concurrent_streams(STREAMS_MAX)
        // Whoever vanished without a word is noticed.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_service(Door { meta, stopping, held })
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop);
    let served = serving.await.map_err(failed);
    while free.recv().await.is_some() {}
    served
}

/// The service, as tonic calls it.
#[derive(Clone)]
struct Door {
    meta: Arc<dyn Meta>,
    /// Its other end is dropped when all is to end.
    stopping: watch::Receiver<()>,
    /// Its other end sees when nobody holds the meta any more: so it is dropped after the meta, here and below.
    held: mpsc::Sender<Infallible>,
}

async fn stopped(mut stopping: watch::Receiver<()>) {
    while stopping.changed().await.is_ok() {}
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
                ASK => {
                    let codec = ProstCodec::<Told, Question>::default();
                    Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(door, request).await
                }
                WATCH => Grpc::new(ProstCodec::<Hinted, Watching>::default()).server_streaming(door, request).await,
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

impl UnaryService<Question> for Door {
    type Response = Told;
    type Future = Boxed<Response<Told>, Status>;

    fn call(&mut self, request: Request<Question>) -> Self::Future {
        let Door { meta, stopping, held } = self.clone();
        Box::pin(async move {
            let (_held, meta) = (held, meta);
            let witness = meta.witness();
            let answer = tokio::select! {
                biased;
                () = stopped(stopping) => return Err(Status::unavailable("the manager is stopping")),
                answer = answer(&*meta, request.into_inner()) => answer,
            };
            let (answered, revision) = match answer {
                Ok((answered, revision)) => (answered, revision.unwrap_or(witness.revision)),
                Err(error) => (Answered::Failed(Failed::from_error(&error)), witness.revision),
            };
            let told = Told { meta: id_bytes(witness.id), revision: revision.0, answered: Some(answered) };
            Ok(Response::new(told))
        })
    }
}

/// Asks the meta: the answer, and the revision that it speaks of.
async fn answer(meta: &dyn Meta, question: Question) -> Result<(Answered, Option<Revision>), Error> {
    let own = meta.witness().id;
    if !question.meta.is_empty() && id(&question.meta) != Some(own) {
        return Err(Error::Foreign { expected: own, found: id(&question.meta) });
    }
    // A store that stops before it answers leaves a change in doubt, and a read merely unanswered.
    let doubt = |_| Error::InDoubt("the manager is stopping".to_owned());
    let stopping = |_| Error::Unavailable("the manager is stopping".to_owned());
    match question.asked.ok_or_else(|| Error::Invalid("the question is not of this release".to_owned()))? {
        Asked::Identify(_) => Ok((Answered::Done(Nothing {}), None)),
        Asked::Get(asked) => {
            let keys = asked.keys.iter().map(|key| Key::new(key)).collect::<Result<Vec<_>, _>>()?;
            let found = answered(meta.get(&keys)).await.map_err(stopping)??;
            Ok((found.clone().into(), Some(found.revision)))
        }
        Asked::Range(asked) => {
            let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
            let page = answered(meta.range(&asked.range(), limit)).await.map_err(stopping)??;
            let revision = page.revision;
            Ok((page.into(), Some(revision)))
        }
        Asked::Swap(asked) => {
            let swapped = answered(meta.swap(Swap::try_from(asked)?)).await.map_err(doubt)??;
            let revision = match &swapped {
                meta::Swapped::Done { revision } | meta::Swapped::Conflict { revision, .. } => *revision,
            };
            Ok((swapped.into(), Some(revision)))
        }
        Asked::GrantMs(ms) => {
            let lease = answered(meta.grant(Duration::from_millis(ms))).await.map_err(doubt)??;
            Ok((lease.into(), None))
        }
        Asked::KeepAlive(lease) => {
            let lasts = answered(meta.keep_alive(LeaseId(lease))).await.map_err(stopping)??;
            Ok((Answered::Lease(Granted { lease, ms: lasts.as_millis() as u64 }), None))
        }
        Asked::Revoke(lease) => {
            answered(meta.revoke(LeaseId(lease))).await.map_err(doubt)??;
            Ok((Answered::Done(Nothing {}), None))
        }
    }
}

impl ServerStreamingService<Watching> for Door {
    type Response = Hinted;
    type ResponseStream = ReceiverStream<Result<Hinted, Status>>;
    type Future = Boxed<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Watching>) -> Self::Future {
        let Door { meta, stopping, held } = self.clone();
        Box::pin(async move {
            let (held, meta) = (held, meta);
            let watching = request.into_inner();
            if id(&watching.meta) != Some(meta.witness().id) {
                return Err(Status::failed_precondition("this is another meta"));
            }
            let range = Range::between(&watching.from, &watching.to);
            let watch = meta.watch(&range, Revision(watching.after));
            let watch = watch.map_err(|error| Status::resource_exhausted(error.to_string()))?;
            // One hint at a time: while it is not taken, the watch itself merges those that come.
            let (give, take) = mpsc::channel(1);
            tokio::spawn(async move {
                let (_held, mut watch) = (held, watch);
                let mut stopped = pin!(stopped(stopping));
                loop {
                    let hint = tokio::select! {
                        hint = answered(watch.hint()) => hint,
                        () = give.closed() => return,
                        () = &mut stopped => return,
                    };
                    let Ok(hint) = hint else { return };
                    let (anything, keys) = match hint.changed {
                        Changed::Anything => (true, Vec::new()),
                        Changed::Keys(keys) => (false, keys.iter().map(|key| key.text().to_owned()).collect()),
                    };
                    if give.send(Ok(Hinted { revision: hint.revision.0, anything, keys })).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Response::new(ReceiverStream::new(take)))
        })
    }
}
