//! The gRPC service: who calls, and which room answers: the columnar door's own, or Flight SQL's.

use super::sql::{self, Sql};
use super::{actions, put};
use crate::auth::{Caller, Refused};
use crate::counters::add;
use crate::shared::Shared;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use query::Access;
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use traces::Context;

type Answers<T> = BoxStream<'static, Result<T, Status>>;

pub(crate) struct Service {
    shared: Arc<Shared>,
    trusted: bool,
    sql: Arc<Sql>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, trusted: bool) -> Self {
        let sql = Arc::new(Sql::new(Arc::clone(&shared)));
        Service { shared, trusted, sql }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let header = authorization(request.metadata());
        self.noted(self.shared.authenticator.caller(header, self.trusted, request.extensions()).await)
    }

    /// What a caller may do.
    fn access(&self, caller: &Caller) -> Arc<Access> {
        Access::of(&self.shared.engine.roles(), &caller.user)
    }

    fn noted<T>(&self, who: Result<T, Refused>) -> Result<T, Status> {
        who.map_err(|refused| {
            add(&self.shared.counters.logins_refused, 1);
            tracing::warn!(message = %refused, "Flight call refused");
            sql::error::named(Status::unauthenticated(refused.to_string()))
        })
    }
}

/// The trace that a call is a part of.
fn trace<T>(request: &Request<T>) -> Option<Context> {
    request.metadata().get("traceparent")?.to_str().ok()?.parse().ok()
}

fn authorization(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("authorization").and_then(|value| value.to_str().ok())
}

fn absent<T>(what: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{what} is not supported; samples and tags are written by DoPut, and read by Flight SQL")))
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
        let Caller { user, .. } = self.caller(&request).await?;
        let token = self.shared.authenticator.token(&user, self.trusted);
        let header = token.parse().map_err(|_| Status::internal("a token is plain ASCII"))?;
        let payload = token.into_bytes().into();
        let answer = HandshakeResponse { protocol_version: 0, payload };
        let mut response: Response<Self::HandshakeStream> = Response::new(stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.caller(&request).await?;
        let (access, trace) = (self.access(&caller), trace(&request));
        let (shared, sql) = (Arc::clone(&self.shared), Arc::clone(&self.sql));
        let mut stream = request.into_inner();
        let (answers, results) = put::answers();
        // Clients may wait for this answer before they send anything.
        tokio::spawn(traces::within(trace, async move {
            let first = match put::first(&shared, &mut stream).await {
                Ok(Some(first)) => first,
                Ok(None) => return,
                // Nobody listens where the client has gone.
                Err(status) => return drop(answers.send(Err(status)).await),
            };
            if !sql::is_command(first.flight_descriptor.as_ref()) {
                return put::serve(shared, access, first, stream, answers);
            }
            // What a client no longer waits for is given up.
            tokio::select! {
                done = sql.put(&caller, first, stream) => {
                    drop(answers.send(done.map(|app_metadata| PutResult { app_metadata })).await);
                }
                () = answers.closed() => {}
            }
        }));
        Ok(Response::new(ReceiverStream::new(results).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.caller(&request).await?;
        let (access, trace) = (self.access(&caller), trace(&request));
        let Action { r#type, body } = request.into_inner();
        if let Some(bodies) = traces::within(trace, self.sql.action(&caller, &r#type, &body)).await? {
            let results = bodies.into_iter().map(|body| Ok(arrow_flight::Result { body }));
            return Ok(Response::new(stream::iter(results.collect::<Vec<_>>()).boxed()));
        }
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || actions::run(shared.engine.catalog(), &access, &r#type, &body)).await;
        let body = done.map_err(|cause| Status::internal(cause.to_string()))??;
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.caller(&request).await?;
        Ok(Response::new(stream::iter(actions::list().into_iter().chain(sql::actions()).map(Ok).collect::<Vec<_>>()).boxed()))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        absent("ListFlights")
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (caller, trace) = (self.caller(&request).await?, trace(&request));
        let descriptor = request.into_inner();
        if !sql::is_command(Some(&descriptor)) {
            return absent("GetFlightInfo of a path");
        }
        traces::within(trace, self.sql.flight_info(&caller, descriptor)).await.map(Response::new)
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        // A query is ready to be read once it is planned: there is nothing to poll for.
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let caller = self.caller(&request).await?;
        let descriptor = request.into_inner();
        if !sql::is_command(Some(&descriptor)) {
            return absent("GetSchema of a path");
        }
        let schema = self.sql.schema(&caller, &descriptor).await?;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (caller, trace) = (self.caller(&request).await?, trace(&request));
        let rows = traces::within(trace, self.sql.get(&caller, &request.into_inner().ticket)).await?;
        Ok(Response::new(rows))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        absent("DoExchange")
    }
}
