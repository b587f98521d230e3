//! The side that answers.
//!
//! Promises, beside those of the door: once that closes, every open question is refused and every watch ends, on
//! connections that stand, too. May not know who they are.

use super::messages::{Answered, Asked, Failed, Granted, Hinted, Nothing, Question, Told, Watching, id, id_bytes};
use super::{ASK, SERVICE, WATCH};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::door::{Answer, Answering, Door, Lifeline, OwnCertificate};
use crate::tickets::answered;
use meta::{Changed, Error, Key, LeaseId, Meta, Range, Revision, Swap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Answers on a listener of its own until `stop` ends; a change that is under way then is in doubt. When it returns, nothing
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
    let door = Door::new(own);
    let service = MetaService::new(meta, door.lifeline());
    door.with(service).serve(listener, stop).await
}

/// The service, as tonic calls it: to be added to a process's door.
#[derive(Clone)]
pub struct MetaService {
    meta: Arc<dyn Meta>,
    /// Dropped after the meta, here and below: so nobody holds the meta when the door is closed.
    lifeline: Lifeline,
}

impl MetaService {
    /// Offers a meta.
    #[must_use]
    pub fn new(meta: Arc<dyn Meta>, lifeline: Lifeline) -> MetaService {
        MetaService { meta, lifeline }
    }
}

impl Answering for MetaService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            ASK => {
                let codec = ProstCodec::<Told, Question>::default();
                Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            WATCH => Grpc::new(ProstCodec::<Hinted, Watching>::default()).server_streaming(self, request).await,
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

impl UnaryService<Question> for MetaService {
    type Response = Told;
    type Future = Answer<Told>;

    fn call(&mut self, request: Request<Question>) -> Self::Future {
        let MetaService { meta, lifeline } = self.clone();
        Box::pin(async move {
            let (lifeline, meta) = (lifeline, meta);
            let witness = meta.witness();
            let answer = tokio::select! {
                biased;
                () = lifeline.ended() => return Err(Status::unavailable("the manager is stopping")),
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

impl ServerStreamingService<Watching> for MetaService {
    type Response = Hinted;
    type ResponseStream = ReceiverStream<Result<Hinted, Status>>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Watching>) -> Self::Future {
        let MetaService { meta, lifeline } = self.clone();
        Box::pin(async move {
            let (lifeline, meta) = (lifeline, meta);
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
                let (lifeline, mut watch) = (lifeline, watch);
                let mut stopped = pin!(lifeline.ended());
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
