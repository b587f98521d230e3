//! A span: something that took its time, as a part of a trace.
//!
//! Promises: a span is told of when it is dropped, however that comes; a statement that fails, or is cancelled, is told of too.

use crate::context::{Context, TraceId};
use crate::tracer::Tracer;
use std::sync::Arc;

/// Which side of a call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither.
    Internal,
    /// It answers.
    Server,
    /// It asks.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its trace.
    pub trace: TraceId,
    /// Its number in it.
    pub span: u64,
    /// Of which span it is a part; 0 of none.
    pub parent: u64,
    /// What was done.
    pub name: &'static str,
    /// Which side.
    pub kind: Kind,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// More about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// A span that goes on, until it is dropped.
pub struct Span {
    tracer: Arc<Tracer>,
    /// By the monotonic clock.
    begun_us: u64,
    /// Where it rests: the moment since when it does.
    resting_us: Option<u64>,
    told: Option<Finished>,
    context: Context,
}

impl Span {
    pub(crate) fn begin(tracer: Arc<Tracer>, trace: TraceId, parent: u64, name: &'static str, kind: Kind) -> Span {
        let span = tracer.number();
        let (started_us, begun_us) = tracer.now();
        let told = Finished { trace, span, parent, name, kind, started_us, took_us: 0, attributes: Vec::new(), error: None };
        Span { tracer, begun_us, resting_us: None, told: Some(told), context: Context { trace, span, sampled: true } }
    }

    /// Where in the trace its parts are.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// Says more about it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(told) = &mut self.told {
            told.attributes.push((name, value.into()));
        }
    }

    /// Says that it failed.
    pub fn fail(&mut self, why: impl Into<String>) {
        if let Some(told) = &mut self.told {
            told.error = Some(why.into());
        }
    }

    /// It was none: it is not told of.
    pub fn forget(mut self) {
        self.told = None;
    }

    /// It may be that nothing more is done: dropped now it has ended here.
    pub fn rest(&mut self) {
        self.resting_us = Some(self.tracer.now().1);
    }

    /// It goes on after all.
    pub fn wake(&mut self) {
        self.resting_us = None;
    }

    /// It began so many microseconds earlier.
    pub(crate) fn began_earlier(&mut self, us: u64) {
        self.begun_us = self.begun_us.saturating_sub(us);
        if let Some(told) = &mut self.told {
            told.started_us = told.started_us.saturating_sub_unsigned(us);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let ended_us = self.resting_us.unwrap_or_else(|| self.tracer.now().1);
        if let Some(mut told) = self.told.take() {
            told.took_us = ended_us.saturating_sub(self.begun_us);
            self.tracer.put(told);
        }
    }
}
