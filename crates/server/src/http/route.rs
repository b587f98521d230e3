//! Which request goes where.
//!
//! Promises: every request is answered; what is not here says so. Only health, readiness and ping are told to whoever asks, and
//! metrics where any name would be believed; all else is a user's.

use super::body::Flushes;
use super::question::{Asked, Question};
use super::reply::{self, Answer, Fault};
use super::request::{Parameters, Upload, header, text};
use super::{Door, influx, lines, metrics, ready, statement, who};
use crate::counters::add;
use crate::pg::error::Report;
use crate::shared::Stage;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

const PATHS: &str = "POST or GET /query: SQL\nPOST /write, /api/v2/write: line protocol\nPOST /token: a bearer token\nGET /health, /ready, /metrics, /ping\n";

/// Answers a request.
pub(crate) async fn answer(door: Arc<Door>, request: Request<Incoming>, peer: SocketAddr, flushes: Arc<Flushes>) -> Answer {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(body, &parts.headers, door.shared.settings.login_max);
    let trace = header(&parts.headers, "traceparent").and_then(|text| text.parse().ok());
    let routed = traces::within(trace, route(&door, &parts, &mut upload, peer, flushes)).await;
    let answer = routed.unwrap_or_else(|fault| fault.of_trace(trace).answer());
    upload.drain().await;
    let counters = &door.shared.counters;
    add(&counters.http_requests, 1);
    if answer.status().as_u16() >= 400 {
        add(&counters.http_failed_requests, 1);
    }
    answer
}

async fn route(
    door: &Arc<Door>,
    parts: &Parts,
    upload: &mut Upload,
    peer: SocketAddr,
    flushes: Arc<Flushes>,
) -> Result<Answer, Fault> {
    who::check_site(&parts.headers, &parts.uri, door.trusted)?;
    let (get, post) = (parts.method == Method::GET, parts.method == Method::POST);
    let asks = get || parts.method == Method::HEAD;
    match parts.uri.path() {
        "/ping" if asks || post => return Ok(influx::ping()),
        "/health" if asks => return Ok(ready::health(door)),
        "/ready" if asks => return Ok(ready::ready(door).await),
        "/ping" | "/health" | "/ready" | "/metrics" if !asks => return Ok(reply::wrong_method("GET, HEAD")),
        "/write" | "/api/v2/write" | "/api/v2/query" | "/token" if !post => return Ok(reply::wrong_method("POST")),
        "/query" if !get && !post => return Ok(reply::wrong_method("GET, POST")),
        _ => {}
    }
    let mut parameters = Parameters::of(parts.uri.query());
    let path = parts.uri.path();
    if path == "/metrics" && who::may_be_anybody(door, &parts.headers, &parameters) {
        return Ok(metrics::answer(door).await);
    }
    let user = match who::user(door, &parts.headers, &parameters, peer).await {
        Ok(user) => user,
        Err(fault) if path == "/write" || path.starts_with("/api/v2/") => return Ok(influx::refusal(&fault)),
        Err(fault) => return Err(fault),
    };
    if door.shared.stage() != Stage::Running {
        return Err(Report::error("57P01", "the server is shutting down").into());
    }
    let bytes_max = door.shared.settings.message_bytes_max;
    match path {
        "/query" => {
            let body = if get { Vec::new() } else { upload.whole(bytes_max).await? };
            let asked = Asked::of(&parts.headers, &mut parameters, body)?;
            parameters.check()?;
            if let Some(answer) = influx::asked(&asked.sql) {
                return Ok(answer);
            }
            let question = Question::of(asked, &parts.headers, &parameters, get)?;
            if parts.version < Version::HTTP_11 {
                let message = "HTTP/1.1 is needed: an answer that was cut could not be told from a whole one";
                return Err(Fault::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "0A000", message));
            }
            statement::answer(&door.shared, user, peer.to_string(), question, flushes).await
        }
        "/write" | "/api/v2/write" => Ok(lines::answer(door, user, peer, path, &parameters, upload).await),
        "/api/v2/query" => {
            let body = text(upload.whole(bytes_max).await?)?;
            Ok(influx::flux(&body))
        }
        "/token" => {
            let header = door.shared.authenticator.token(&user, door.trusted);
            let token = header.strip_prefix("Bearer ").unwrap_or(&header);
            Ok(reply::json_answer(StatusCode::OK, &json!({ "token": token, "user": user })))
        }
        "/metrics" => Ok(metrics::answer(door).await),
        "/" if get => Ok(reply::answer(StatusCode::OK, "text/plain; charset=utf-8", PATHS)),
        other => {
            let shown: String = other.chars().take(100).collect();
            Err(Fault::new(StatusCode::NOT_FOUND, "42704", format!("there is nothing at {shown}"))
                .hinted("GET / says what there is"))
        }
    }
}
