//! What a statement tells of itself to a trace: that it ran, for whom, how it ended, and its parts.
//!
//! ```text
//!   statement ── parse, plan (where it is prepared) ── execute ── optimize, log commit, requests to nodes
//! ```
//! A statement that is prepared and run once is one span; what is prepared once and run often is one each time.
//! Promises: of what is not recorded nothing is made; a statement's text is told as the register of statements shows it, without
//! passwords, and never its parameters. May not know where spans go.

use crate::error::Error;
use crate::session::Session;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use traces::{Context, Kind, Span, TraceId};

/// As much of a statement as is told.
const TEXT_BYTES_MAX: usize = 1_000;

/// A statement that runs. Its parts end before it.
#[derive(Default)]
pub(crate) struct Traced {
    execution: Option<Span>,
    statement: Option<Span>,
    /// Where its parts are; there is one too where nothing is recorded.
    pub(crate) context: Option<Context>,
}

/// What a prepared statement keeps: the span that its first run goes on with, and the trace that the last one was of.
#[derive(Default)]
pub(crate) struct Kept {
    first: Mutex<Option<Span>>,
    /// Whether there may be a first one.
    waits: AtomicBool,
    last: Mutex<Option<TraceId>>,
    /// The plan of the last run, where it took long.
    slow: Mutex<Option<String>>,
}

/// Beginning a statement's span, where it is recorded.
pub(crate) fn begin(session: &Session, parent: Option<Context>, sql: &str) -> Option<Span> {
    let mut span = traces::begin(parent, "statement", Kind::Server)?;
    span.set("db.system.name", "meridian");
    span.set("db.query.text", &sql[..sql.floor_char_boundary(TEXT_BYTES_MAX)]);
    span.set("user.name", session.settings.user.as_str());
    span.set("meridian.session", i64::from(session.id));
    Some(span)
}

/// How it failed, for its span.
pub(crate) fn failure(error: &Error) -> String {
    format!("{}: {}", error.sqlstate(), error.message())
}

impl Kept {
    pub(crate) fn of(first: Option<Span>) -> Arc<Kept> {
        Arc::new(Kept {
            waits: AtomicBool::new(first.is_some()),
            first: Mutex::new(first),
            last: Mutex::default(),
            slow: Mutex::default(),
        })
    }

    /// Keeps the plan of a run that took long.
    pub(crate) fn keep_slow(&self, plan: Option<String>) {
        *self.slow.lock() = plan;
    }

    /// The plan of the last run, where it took long; once.
    pub(crate) fn take_slow(&self) -> Option<String> {
        self.slow.lock().take()
    }

    /// The trace of the last run.
    pub(crate) fn last(&self) -> Option<TraceId> {
        *self.last.lock()
    }

    /// The span of a run on the point path, of which nothing is kept: mostly none, for the price of two comparisons.
    pub(crate) fn point(&self, session: &Session, parent: Option<Context>, sql: &str) -> Option<Span> {
        if self.waits.load(Ordering::Relaxed)
            && let Some(mut first) = self.first.lock().take()
        {
            self.waits.store(false, Ordering::Relaxed);
            first.wake();
            return Some(first);
        }
        begin(session, parent, sql)
    }

    /// The span of a run, and where its parts are.
    pub(crate) fn run(&self, session: &Session, parent: Option<Context>, sql: &str) -> (Option<Span>, Option<Context>) {
        let statement = self.point(session, parent, sql);
        let context = statement.as_ref().map(Span::context).or(parent);
        *self.last.lock() = context.map(|context| context.trace);
        (statement, context)
    }
}

impl Traced {
    /// A run begins.
    pub(crate) fn begin((statement, context): (Option<Span>, Option<Context>)) -> Traced {
        let execution = traces::under(context, "execute", Kind::Internal);
        let context = execution.as_ref().map(Span::context).or(context);
        Traced { execution, statement, context }
    }

    /// It has failed.
    pub(crate) fn fail(&mut self, error: &Error) {
        for span in [&mut self.execution, &mut self.statement].into_iter().flatten() {
            span.fail(failure(error));
        }
    }
}
