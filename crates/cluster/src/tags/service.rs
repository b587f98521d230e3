//! The side of a scheduler that answers other schedulers: one of the services of its process.
//!
//! Promises: parcels for another store are dropped; nothing waits for a machine that has no room; streams and questions end
//! when the door closes. Who may ask is the door's
//! matter. May not know what parcels say.

use super::messages::{Answered, Changing, Parcel, Reading, Told};
use super::refused::Refused;
use super::shared::Shared;
use crate::calls::MESSAGE_BYTES_MAX;
use crate::data::messages::Nothing;
use crate::door::{Answer, Answering, Lifeline};
use catalog::outcome_bytes;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{ClientStreamingService, Grpc, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Tags1";
pub(super) const DELIVER: &str = "/meridian.Tags1/Deliver";
pub(super) const CHANGE: &str = "/meridian.Tags1/Change";
pub(super) const READ: &str = "/meridian.Tags1/Read";

/// The largest message between schedulers: a batch ends with the change that fills it, and a block of 4,096 tags with the
/// longest texts is one part.
const PARCEL_BYTES_MAX: usize = 384 << 20;

/// The service, to be added to the door of a process.
#[derive(Clone)]
pub struct TagService {
    pub(super) shared: Arc<Shared>,
    pub(super) lifeline: Lifeline,
}

impl Answering for TagService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            DELIVER => {
                let codec = ProstCodec::<Nothing, Parcel>::default();
                Grpc::new(codec).max_decoding_message_size(PARCEL_BYTES_MAX).client_streaming(self, request).await
            }
            CHANGE => {
                let codec = ProstCodec::<Told, Changing>::default();
                Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            READ => Grpc::new(ProstCodec::<Told, Reading>::default()).unary(self, request).await,
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

impl ClientStreamingService<Parcel> for TagService {
    type Response = Nothing;
    type Future = Answer<Nothing>;

    fn call(&mut self, request: Request<Streaming<Parcel>>) -> Self::Future {
        let TagService { shared, lifeline } = self.clone();
        Box::pin(async move {
            let mut parcels = request.into_inner();
            loop {
                let next = tokio::select! {
                    next = parcels.message() => next?,
                    () = lifeline.ended() => return Err(Status::unavailable("the scheduler is stopping")),
                };
                match next {
                    Some(parcel) => shared.deliver(&parcel),
                    None => return Ok(Response::new(Nothing {})),
                }
            }
        })
    }
}

fn told(answer: Result<Answered, Refused>) -> Response<Told> {
    let answered = answer.unwrap_or_else(|refused| Answered::Refused(refused.into()));
    Response::new(Told { answered: Some(answered) })
}

impl UnaryService<Changing> for TagService {
    type Response = Told;
    type Future = Answer<Told>;

    fn call(&mut self, request: Request<Changing>) -> Self::Future {
        let TagService { shared, lifeline } = self.clone();
        Box::pin(async move {
            let changing = request.into_inner();
            let origin = changing.origin().ok_or_else(|| Status::invalid_argument("a producer has 16 bytes"))?;
            let outcome = tokio::select! {
                outcome = shared.change_here(origin, changing.body) => outcome,
                () = lifeline.ended() => Err(Refused::Unavailable("the scheduler is stopping".to_owned())),
            };
            Ok(told(outcome.map(|outcome| Answered::Changed(outcome_bytes(&outcome)))))
        })
    }
}

impl UnaryService<Reading> for TagService {
    type Response = Told;
    type Future = Answer<Told>;

    fn call(&mut self, _: Request<Reading>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(told(shared.read_here().await.map(|sequence| Answered::Readable(sequence.0)))) })
    }
}
