//! The register of running statements: what `meridian.queries` shows and what cancelling goes through.
//!
//! Shared state: one mutex around a map by number. An entry is made when a statement begins to be
//! executed and goes with its `Ongoing`, which its stream or its future owns: when the last row was
//! sent, when it failed, or when the client stopped asking. Its session is told of both (`Activity`).

use crate::activity::Activity;
use crate::error::{Error, raise};
use crate::slow::Ran;
use crate::traced::{Kept, Traced};
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use kernel::Histogram;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use traces::{Context, TraceId};
use world::Clock;

/// A running statement, as the table shows it.
#[derive(Clone, Debug)]
pub(crate) struct RunningStatement {
    /// Its number.
    pub id: u64,
    /// Its session.
    pub session: i32,
    /// Whose it is.
    pub user: String,
    /// Its text.
    pub sql: Arc<str>,
    /// When it began, by the wall clock.
    pub started_us: i64,
    /// The trace that it is a part of.
    pub trace: Option<TraceId>,
}

struct Entry {
    statement: RunningStatement,
    abort: AbortHandle,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct State {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

/// The register.
pub(crate) struct Running {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    /// How long statements were in the register.
    pub(crate) times: Histogram,
}

/// A statement that runs; leaves the register when dropped.
pub(crate) struct Ongoing {
    register: Arc<Running>,
    id: u64,
    abort: AbortHandle,
    begun_us: u64,
    counts: bool,
    activity: Arc<Activity>,
    trace: Option<Context>,
    traced: Traced,
    slow: Option<Slow>,
}

/// What is told of a statement that takes longer than so many microseconds, and to whom.
pub(crate) struct Slow {
    pub after_us: u64,
    pub ran: Ran,
    pub kept: Arc<Kept>,
}

impl Running {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Running { state: Mutex::default(), clock, times: Histogram::default() }
    }

    /// Enters a statement.
    pub(crate) fn begin(
        self: &Arc<Self>,
        session: i32,
        user: &str,
        sql: &Arc<str>,
        activity: &Arc<Activity>,
        trace: Option<Context>,
    ) -> (Ongoing, AbortRegistration) {
        let (abort, registration) = AbortHandle::new_pair();
        let started_us = self.clock.wall_us();
        activity.begin(sql, started_us);
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        let (user, sql, shown) = (user.to_owned(), Arc::clone(sql), trace.map(|context| context.trace));
        let statement = RunningStatement { id, session, user, sql, started_us, trace: shown };
        state.entries.insert(id, Entry { statement, abort: abort.clone(), activity: Arc::clone(activity) });
        let begun_us = self.clock.monotonic_us();
        let (register, activity, traced) = (Arc::clone(self), Arc::clone(activity), Traced::default());
        (Ongoing { register, id, abort, begun_us, counts: true, activity, trace, traced, slow: None }, registration)
    }

    /// Cancels everything a session runs.
    pub(crate) fn cancel_session(&self, session: i32) -> bool {
        let state = self.state.lock();
        let mine: Vec<_> = state.entries.values().filter(|entry| entry.statement.session == session).collect();
        mine.iter().for_each(|entry| entry.abort.abort());
        // Told too where nothing runs but a client is waited for.
        if let Some(entry) = mine.first() {
            entry.activity.cancel();
        }
        !mine.is_empty()
    }

    /// How many run now.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// What runs now, oldest first.
    pub(crate) fn list(&self) -> Vec<RunningStatement> {
        self.state.lock().entries.values().map(|entry| entry.statement.clone()).collect()
    }
}

impl Ongoing {
    /// Hands cancelling over to the statement's stream: a new registration under the same number.
    /// What was cancelled already stays cancelled.
    pub(crate) fn renew(&mut self) -> AbortRegistration {
        let (abort, registration) = AbortHandle::new_pair();
        // Held over both: a request that comes between them would be heard by neither.
        let mut state = self.register.state.lock();
        if self.abort.is_aborted() {
            abort.abort();
        }
        self.abort = abort.clone();
        if let Some(entry) = state.entries.get_mut(&self.id) {
            entry.abort = abort;
        }
        registration
    }

    /// It is prepared here, or is no statement at all: its time is not among those of statements.
    pub(crate) fn uncounted(mut self) -> Self {
        self.counts = false;
        self
    }

    /// Its spans end with it.
    pub(crate) fn hold(&mut self, traced: Traced) {
        self.traced = traced;
    }

    /// What it ran is told where it takes long.
    pub(crate) fn tell(&mut self, slow: Option<Slow>) {
        self.slow = slow;
    }

    /// The trace that it is a part of.
    pub(crate) fn trace(&self) -> Option<Context> {
        self.trace
    }

    /// It has failed, and so have its spans.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        self.traced.fail(&error);
        error.traced(self.trace)
    }

    /// Whether it was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.abort.is_aborted()
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let took_us = self.register.clock.monotonic_us().saturating_sub(self.begun_us);
        if self.counts {
            self.register.times.note_us(took_us);
        }
        if let Some(Slow { ran, kept, .. }) = self.slow.take().filter(|slow| took_us >= slow.after_us) {
            kept.keep_slow(ran.told());
        }
        self.register.state.lock().entries.remove(&self.id);
        self.activity.end(self.register.clock.wall_us());
    }
}

/// The error of a cancelled statement.
pub(crate) fn cancelled() -> Error {
    raise(Error::Cancelled, "canceling statement due to user request")
}

/// The error of a statement that took longer than its session allows.
pub(crate) fn timed_out() -> Error {
    raise(Error::Cancelled, "canceling statement due to statement timeout")
}

/// Runs a future that ends early, with 57014, when its statement is cancelled.
pub(crate) async fn unless_cancelled<T>(
    work: impl Future<Output = Result<T, Error>>,
    registration: AbortRegistration,
) -> Result<T, Error> {
    Abortable::new(work, registration).await.unwrap_or_else(|_| Err(cancelled()))
}
