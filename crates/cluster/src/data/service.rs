//! The side of a data node that answers other nodes' replicas and managers.
//!
//! Promises: parcels for another store are dropped; nothing waits for a replica that has no room; streams end when the
//! door closes. May not know what parcels say.

use super::asking::HandingOver;
use super::copying::{self, Part, Pieces, Wanting};
use super::looking::{self, LOOK, Looking, Seen};
use super::messages::{Nothing, Parcel};
use super::node::{Asked, DataNode};
use super::status::{self, Asking};
use crate::calls::MESSAGE_BYTES_MAX;
use crate::door::{Answer, Answering, Lifeline};
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{ClientStreamingService, Grpc, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use types::SliceId;

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Data2";
pub(super) const DELIVER: &str = "/meridian.Data2/Deliver";
pub(super) const PIECES: &str = "/meridian.Data2/Pieces";
pub(super) const PIECE: &str = "/meridian.Data2/Piece";
pub(super) const STATUS: &str = "/meridian.Data2/Status";
pub(super) const MAINTAIN: &str = "/meridian.Data2/Maintain";
pub(crate) const HAND_OVER: &str = "/meridian.Data2/HandOver";

/// A data node's service: to be added to the door of its process.
#[derive(Clone)]
pub struct DataService {
    node: Arc<DataNode>,
    lifeline: Lifeline,
}

impl DataService {
    /// Answers for a node.
    #[must_use]
    pub fn new(node: Arc<DataNode>, lifeline: Lifeline) -> DataService {
        DataService { node, lifeline }
    }
}

impl Answering for DataService {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            DELIVER => {
                let codec = ProstCodec::<Nothing, Parcel>::default();
                Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).client_streaming(self, request).await
            }
            HAND_OVER => Grpc::new(ProstCodec::<Nothing, HandingOver>::default()).unary(self, request).await,
            PIECES => Grpc::new(ProstCodec::<Pieces, Wanting>::default()).unary(ForPieces(self), request).await,
            PIECE => Grpc::new(ProstCodec::<Part, Wanting>::default()).unary(ForPart(self), request).await,
            STATUS | MAINTAIN => {
                let codec = ProstCodec::<status::Told, Asking>::default();
                Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            LOOK => {
                let codec = ProstCodec::<Seen, Looking>::default();
                Grpc::new(codec).max_encoding_message_size(MESSAGE_BYTES_MAX).unary(self, request).await
            }
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

impl ClientStreamingService<Parcel> for DataService {
    type Response = Nothing;
    type Future = Answer<Nothing>;

    fn call(&mut self, request: Request<Streaming<Parcel>>) -> Self::Future {
        let DataService { node, lifeline } = self.clone();
        Box::pin(async move {
            let mut parcels = request.into_inner();
            loop {
                let next = tokio::select! {
                    next = parcels.message() => next?,
                    () = lifeline.ended() => return Err(Status::unavailable("the node is stopping")),
                };
                match next {
                    Some(parcel) => node.deliver(&parcel).await,
                    None => return Ok(Response::new(Nothing {})),
                }
            }
        })
    }
}

/// The service, for the two questions of who copies files.
struct ForPieces(DataService);
struct ForPart(DataService);

impl UnaryService<Wanting> for ForPieces {
    type Response = Pieces;
    type Future = Answer<Pieces>;

    fn call(&mut self, request: Request<Wanting>) -> Self::Future {
        let node = Arc::clone(&self.0.node);
        Box::pin(async move { copying::pieces(&node, request.get_ref()).map(Response::new) })
    }
}

impl UnaryService<Wanting> for ForPart {
    type Response = Part;
    type Future = Answer<Part>;

    fn call(&mut self, request: Request<Wanting>) -> Self::Future {
        let node = Arc::clone(&self.0.node);
        let read = tokio::task::spawn_blocking(move || copying::part(&node, request.get_ref()));
        Box::pin(async move { read.await.map_err(|fault| Status::internal(fault.to_string()))?.map(Response::new) })
    }
}

impl UnaryService<Asking> for DataService {
    type Response = status::Told;
    type Future = Answer<status::Told>;

    fn call(&mut self, request: Request<Asking>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            Ok(Response::new(match request.into_inner() {
                Asking { what: 0 } => status::status(&node),
                asking => status::maintain(&node, asking).await,
            }))
        })
    }
}

impl UnaryService<Looking> for DataService {
    type Response = Seen;
    type Future = Answer<Seen>;

    fn call(&mut self, request: Request<Looking>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move { looking::look(&node, request.into_inner()).await.map(Response::new) })
    }
}

impl UnaryService<HandingOver> for DataService {
    type Response = Nothing;
    type Future = Answer<Nothing>;

    fn call(&mut self, request: Request<HandingOver>) -> Self::Future {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            let HandingOver { slice, primary, to } = request.into_inner();
            let to = to.replica().ok_or_else(|| Status::invalid_argument("a store has 16 bytes"))?;
            if primary.replica() != Some(node.me()) {
                return Err(Status::failed_precondition("the order is for another store"));
            }
            // An order may be lost: it is given again.
            node.ask(SliceId(slice), Asked::HandOver { to }).map_err(|refused| Status::unavailable(refused.to_string()))?;
            Ok(Response::new(Nothing {}))
        })
    }
}
