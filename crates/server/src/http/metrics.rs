//! What the process counts, in Prometheus' text format 0.0.4.

use super::Door;
use super::reply::{self, Answer};
use crate::metrics;
use hyper::StatusCode;

/// Answers `/metrics`.
pub(crate) async fn answer(door: &Door) -> Answer {
    let page = metrics::collect(&door.shared).await;
    reply::answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.into_text())
}
