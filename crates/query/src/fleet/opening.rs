//! A node opens what it is to read before it says that it has a part of a plan.
//!
//! ```text
//!   part of a plan ──> decoded: its leaves' snapshots are wanted ──> taken ──> "I have it"
//!                                                               └──> refused: why, and nothing was read
//! ```
//! Promises: once a node has said so its part is read to its end as of then: a slice may be led elsewhere by then, be moved, or its
//! data be deleted here, and the snapshot still holds them, for as long as the statement runs.
//! The rows don't wait for it: they are asked for side by side with this answer.

use super::part::Part;
use super::told;
use crate::error::Error;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

tokio::task_local! {
    /// The parts that a request brought: they are decoded within its task.
    static BROUGHT: Arc<Mutex<Vec<Part>>>;
}

/// A part was decoded.
pub(super) fn brought(part: &Part) {
    // Where nobody waits for it it is opened by whoever reads it.
    let _ = BROUGHT.try_with(|parts| parts.lock().push(part.clone()));
}

async fn opened(parts: &Mutex<Vec<Part>>) -> Result<(), Error> {
    let parts = std::mem::take(&mut *parts.lock());
    for part in parts {
        part.snapshot().await?;
    }
    Ok(())
}

/// A worker's service that answers a part of a plan once it has opened it.
#[derive(Clone)]
pub(super) struct Opening<S>(pub S);

impl<S: NamedService> NamedService for Opening<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Opening<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let parts = Arc::default();
        let answered = BROUGHT.scope(Arc::clone(&parts), self.0.call(request));
        Box::pin(async move {
            let answer = answered.await?;
            match opened(&parts).await {
                Ok(()) => Ok(answer),
                Err(error) => Ok(Status::unavailable(told::text(&error)).into_http()),
            }
        })
    }
}
