//! How nodes are reached: handed in, and watched. What fails on the way is told with the node that was lost.

use super::openings::{Openings, part_within};
use super::told;
use crate::context::StatementContext;
use crate::error::{Error, from_datafusion, raise};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse, MaybeEncoded,
    SetPlanRequest, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::HeaderMap;
use std::sync::Arc;
use tonic::Status;
use tonic::transport::Channel;
use traces::{Kind, Span};
use url::Url;

/// Connections to nodes of the fleet, kept and shared.
pub trait Channels: Send + Sync {
    /// A connection to `Owner::url`, within a bounded time. It notices a peer that does not answer.
    fn channel(&self, url: &str) -> BoxFuture<'static, std::result::Result<Channel, Error>>;
}

/// Gives datafusion-distributed its connections.
pub(crate) struct Watched(Arc<dyn Channels>);

impl Watched {
    pub(crate) fn new(channels: &Arc<dyn Channels>) -> Self {
        Watched(Arc::clone(channels))
    }
}

#[async_trait]
impl ChannelResolver for Watched {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        // A URL ends with a slash where a node's address has none.
        let url: Arc<str> = url.as_str().trim_end_matches('/').into();
        Ok(Box::new(WatchedChannel { channels: Arc::clone(&self.0), url }))
    }
}

/// A node that was lost.
fn lost(url: &str, cause: &str) -> DataFusionError {
    let error = raise(Error::Unreachable, format!("the node at {url} was lost in the middle of the statement"));
    error.with_detail(cause).at_node(url).into()
}

/// What was not told by the node itself is told of the way to it.
fn of_way(url: &str, error: DataFusionError) -> DataFusionError {
    let mut root = &error;
    loop {
        root = match root {
            DataFusionError::Shared(inner) => inner.as_ref(),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => inner.as_ref(),
            DataFusionError::External(inner) => {
                let refused = inner.downcast_ref::<Status>().and_then(|status| told::read(status.message()));
                return refused.map_or_else(|| lost(url, &with_causes(inner.as_ref())), DataFusionError::from);
            }
            _ => return error,
        }
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// The header that names a trace (W3C Trace Context). Nodes of before pass it over.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The request as a span, where its statement is recorded, and the headers that name it to the node.
fn traced(headers: &mut HeaderMap, context: &TaskContext, url: &str) -> Option<Span> {
    let trace = context.session_config().get_extension::<StatementContext>()?.trace?;
    let span = traces::under(Some(trace), "request to a node", Kind::Client).map(|mut span| {
        span.set("url.full", url);
        span
    });
    let told = span.as_ref().map_or(trace, Span::context);
    headers.insert(TRACEPARENT, told.to_string().parse().ok()?);
    span
}

/// The way to a node. It is looked for when something is sent, so that whoever sends tells of it where there is none.
struct WatchedChannel {
    channels: Arc<dyn Channels>,
    url: Arc<str>,
}

impl WatchedChannel {
    async fn client(&self) -> Result<Box<dyn WorkerChannel>> {
        let channel = self.channels.channel(&self.url).await.map_err(|cause| lost(&self.url, cause.message()))?;
        Ok(create_worker_client(BoxCloneSyncChannel::new(channel)))
    }

    /// Sends a part of a plan: answered once the node has opened what it is to read.
    async fn send(
        &self,
        headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let mut client = self.client().await?;
        let answer = client.coordinator_channel(headers, request, messages, metrics, context).await;
        answer.map_err(|error| of_way(&self.url, error))
    }

    fn watched<T: Send + 'static>(&self, stream: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        let url = Arc::clone(&self.url);
        stream.map(move |item| item.map_err(|error| of_way(&url, error))).boxed()
    }
}

#[async_trait]
impl WorkerChannel for WatchedChannel {
    async fn coordinator_channel(
        &mut self,
        mut headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let mut span = traced(&mut headers, context, &self.url);
        let part = match &request.plan {
            MaybeEncoded::Decoded(plan) => part_within(plan)?,
            MaybeEncoded::Encoded(_) => None,
        };
        let answer = self.send(headers, request, messages, metrics, context).await.inspect_err(|error| {
            span.iter_mut().for_each(|span| span.fail(error.to_string()));
        });
        if let (Some(part), Some(openings)) = (part, Openings::of(context)) {
            openings.said(&part, answer.as_ref().err().map(|error| from_datafusion(error, "")));
        }
        // The node says that it is done by ending the stream.
        let held = |stream: BoxStream<'static, _>| {
            stream
                .map(move |said| {
                    let _goes_on = &span;
                    said
                })
                .boxed()
        };
        answer.map(|stream| held(self.watched(stream)))
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let answer = self.client().await?.execute_task(headers, request, metrics, context).await;
        let watched = |streams: Vec<_>| streams.into_iter().map(|stream| self.watched(stream)).collect();
        answer.map(watched).map_err(|error| of_way(&self.url, error))
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.client().await?.get_worker_info(request).await.map_err(|error| of_way(&self.url, error))
    }
}
