//! The gRPC service: Handshake, DoPut, DoAction, ListActions. All else is not here yet, and says so.

use super::{actions, put};
use crate::counters::add;
use crate::shared::Shared;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

type Answers<T> = BoxStream<'static, Result<T, Status>>;

pub(crate) struct Service {
    shared: Arc<Shared>,
    trusted: bool,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, trusted: bool) -> Self {
        Service { shared, trusted }
    }

    async fn user(&self, metadata: &MetadataMap) -> Result<String, Status> {
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let user = self.shared.authenticator.user(header, self.trusted).await;
        user.map_err(|refused| {
            add(&self.shared.counters.logins_refused, 1);
            tracing::warn!(message = %refused, "Flight call refused");
            Status::unauthenticated(refused.to_string())
        })
    }
}

fn absent<T>(what: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{what} is not supported; samples and tags are written by DoPut, and read by SQL")))
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Self::HandshakeStream>, Status> {
        let user = self.user(request.metadata()).await?;
        let token = self.shared.authenticator.token(&user);
        let header = token.parse().map_err(|_| Status::internal("a token is plain ASCII"))?;
        let payload = token.into_bytes().into();
        let answer = HandshakeResponse { protocol_version: 0, payload };
        let mut response: Response<Self::HandshakeStream> = Response::new(stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        self.user(request.metadata()).await?;
        let answers = put::serve(Arc::clone(&self.shared), request.into_inner());
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.user(request.metadata()).await?;
        let Action { r#type, body } = request.into_inner();
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || actions::run(shared.engine.catalog(), &r#type, &body)).await;
        let body = done.map_err(|cause| Status::internal(cause.to_string()))??;
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.user(request.metadata()).await?;
        Ok(Response::new(stream::iter(actions::list().into_iter().map(Ok)).boxed()))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        absent("ListFlights")
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        absent("GetFlightInfo")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        absent("PollFlightInfo")
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        absent("GetSchema")
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        absent("DoGet")
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        absent("DoExchange")
    }
}
