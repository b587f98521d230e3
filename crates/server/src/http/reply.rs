//! Answers: a status, headers, a body; and what went wrong, as a status and JSON.
//!
//! Promises: an error carries SQLSTATE and says what was wrong, where and what to do, as at the PostgreSQL door; the status
//! tells a client whose fault it is, and whether trying again can help (503, 507).

use super::body::Body;
use crate::pg::error::Report;
use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

/// An answer.
pub(crate) type Answer = Response<Body>;

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) report: Box<Report>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, sqlstate: &'static str, message: impl Into<String>) -> Fault {
        Fault { status, report: Box::new(Report::error(sqlstate, message)) }
    }

    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Fault {
        self.report.hint = Some(hint.into());
        self
    }

    /// The same of a request that is part of a trace.
    pub(crate) fn of_trace(mut self, trace: Option<traces::Context>) -> Fault {
        self.report.trace = self.report.trace.or(trace.map(|context| Box::new(context.trace)));
        self
    }

    /// As JSON.
    pub(crate) fn answer(&self) -> Answer {
        let mut answer = json_answer(self.status, &json!({ "error": error_json(&self.report) }));
        if self.status == StatusCode::UNAUTHORIZED {
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"meridian\", charset=\"UTF-8\""));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

impl From<Report> for Fault {
    fn from(report: Report) -> Fault {
        Fault { status: status_of(&report.sqlstate), report: Box::new(report) }
    }
}

impl From<query::Error> for Fault {
    fn from(error: query::Error) -> Fault {
        crate::pg::report_of(&error).into()
    }
}

/// The status of a statement that failed in this way.
pub(crate) fn status_of(sqlstate: &str) -> StatusCode {
    match sqlstate {
        "23505" | "55000" => StatusCode::CONFLICT,
        "42501" => StatusCode::FORBIDDEN,
        "53100" => StatusCode::INSUFFICIENT_STORAGE,
        "54000" => StatusCode::PAYLOAD_TOO_LARGE,
        "57014" => StatusCode::GATEWAY_TIMEOUT,
        "53200" | "53300" | "57P01" | "57P03" | "08006" | "40001" => StatusCode::SERVICE_UNAVAILABLE,
        state if state.starts_with("28") => StatusCode::UNAUTHORIZED,
        state if state.starts_with("58") || state.starts_with("XX") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// What a client is told of an error.
pub(crate) fn error_json(report: &Report) -> Value {
    let mut error = Map::new();
    error.insert("sqlstate".to_owned(), Value::from(&*report.sqlstate));
    error.insert("message".to_owned(), report.message.as_str().into());
    let rest = [("detail", &report.detail), ("hint", &report.hint)];
    for (name, text) in rest {
        if let Some(text) = text {
            error.insert(name.to_owned(), text.as_str().into());
        }
    }
    if let Some(position) = report.position {
        error.insert("position".to_owned(), position.into());
    }
    if let Some(trace) = &report.trace {
        error.insert("trace_id".to_owned(), trace.to_string().into());
    }
    Value::Object(error)
}

/// An answer with a body of that type.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer of JSON.
pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut text = body.to_string();
    text.push('\n');
    answer(status, "application/json", text)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::Whole(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// There is no such method at this path.
pub(crate) fn wrong_method(allowed: &'static str) -> Answer {
    let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "0A000", format!("this path takes {allowed}"));
    let mut answer = fault.answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Adds a header whose value may hold anything; what no header can hold is left out.
pub(crate) fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1024).collect();
    if let Ok(value) = HeaderValue::from_bytes(clean.as_bytes()) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}
