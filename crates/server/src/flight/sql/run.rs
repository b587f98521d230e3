//! Statements of Flight SQL: prepared, run on the query runtime, their rows handed to the client as it reads them.
//!
//! Promises: what answers with rows runs when its ticket is read, anything else at once, before the call is answered;
//! at most `MESSAGES_WAITING` messages wait for a slow client; a call or a stream that its client gives up cancels what
//! it ran; a fault of ours ends a stream with an error, never as if it were complete.

use super::encode::{self, Encoder};
use super::error;
use super::parameters::Bound;
use super::session::{Held, Reading};
use crate::counters::add;
use crate::flight::put::Open;
use crate::shared::Shared;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use futures::stream::{BoxStream, StreamExt};
use query::{Outcome, Prepared, ScalarValue, Session, StatementClass};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tonic::Status;

/// Messages that wait for the client.
const MESSAGES_WAITING: usize = 2;

/// A task that ends when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn faulty(_: JoinError) -> Status {
    error::new("XX000", "internal error: the statement ended without an answer; hint: the server's log says more")
}

/// Does work on the query runtime; it is given up together with the answer.
pub(crate) async fn aside<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let mut task = Task(shared.query_runtime.spawn(traces::carried(work)));
    (&mut task.0).await.unwrap_or_else(|cause| Err(faulty(cause)))
}

/// Prepares a statement.
pub(crate) async fn prepare(shared: &Arc<Shared>, held: &Held, sql: String) -> Result<Prepared, Status> {
    if let Some(prepared) = held.session.prepare_point(&sql) {
        return Ok(prepared);
    }
    let (session, inner) = (Arc::clone(&held.session), Arc::clone(shared));
    aside(shared, async move {
        let prepared = session.prepare(&sql, &[]).await.map_err(|cause| failed(&inner, &session, &cause))?;
        match prepared.class() {
            StatementClass::CopyIn => {
                Err(error::new("0A000", "COPY FROM is not done by Flight SQL; hint: use bulk ingestion (adbc_ingest)"))
            }
            StatementClass::CopyOut => Err(error::new("0A000", "COPY TO is not done by Flight SQL; hint: send its query")),
            _ => Ok(prepared),
        }
    })
    .await
}

/// Runs a statement once, or once for each row of its parameters, and answers how many rows it changed: 0 where it counts none.
/// Rows that it gives are read to their end and not kept.
pub(crate) async fn update(
    shared: &Arc<Shared>,
    held: &Arc<Held>,
    prepared: Prepared,
    bound: Option<Arc<Bound>>,
) -> Result<u64, Status> {
    let (inner, held) = (Arc::clone(shared), Arc::clone(held));
    aside(shared, async move {
        let _open = Open::new(&inner);
        let mut runs = Runs::new(bound);
        let mut rows = 0;
        while let Some(values) = runs.next(&prepared, &held.session)? {
            let done = once(&inner, &held, &prepared, values).await;
            rows += done.map_err(|status| runs.told(status, rows))?;
        }
        Ok(rows)
    })
    .await
}

async fn once(shared: &Shared, held: &Held, prepared: &Prepared, values: Vec<ScalarValue>) -> Result<u64, Status> {
    let session = &held.session;
    let timer = begin(shared, held, prepared);
    let done = async {
        match prepared.execute(values).await? {
            Outcome::Command(completion) => Ok(completion.rows.unwrap_or(0)),
            Outcome::Rows(mut rows) => {
                while let Some(batch) = rows.batches.next().await {
                    batch?;
                }
                Ok(0)
            }
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => Err(query::Error::unsupported("COPY is not done by Flight SQL")),
        }
    };
    let done = done.await.map_err(|cause| failed(shared, session, &cause));
    end(shared, session, prepared, timer);
    done
}

/// Runs what a ticket stands for; its rows as they come.
pub(crate) fn stream(
    shared: &Arc<Shared>,
    reading: Reading,
    schema: SchemaRef,
) -> BoxStream<'static, Result<FlightData, Status>> {
    let (sender, receiver) = mpsc::channel(MESSAGES_WAITING);
    let inner = Arc::clone(shared);
    let task = shared.query_runtime.spawn(traces::carried(async move {
        let _open = Open::new(&inner);
        let cancelled = reading.cancelled();
        let done = tokio::select! {
            biased;
            () = cancelled => Err(Stopped::Failed(error::new("57014", "canceling statement due to user request"))),
            done = send(&inner, &reading, schema, &sender) => done,
        };
        if let Err(Stopped::Failed(status)) = done {
            // Nobody listens any more: the client is gone, and so is the statement.
            let _ = sender.send(Err(status)).await;
        }
    }));
    relay(receiver, Task(task))
}

/// What a task sends, to its end; a task that panicked is an error.
fn relay(receiver: mpsc::Receiver<Result<FlightData, Status>>, task: Task<()>) -> BoxStream<'static, Result<FlightData, Status>> {
    let state = Some((receiver, task));
    futures::stream::unfold(state, |state| async move {
        let (mut receiver, mut task) = state?;
        if let Some(message) = receiver.recv().await {
            return Some((message, Some((receiver, task))));
        }
        let ended = (&mut task.0).await;
        ended.err().map(|cause| (Err(faulty(cause)), None))
    })
    .boxed()
}

enum Stopped {
    Failed(Status),
    Unheard,
}

impl From<Status> for Stopped {
    fn from(status: Status) -> Self {
        Stopped::Failed(status)
    }
}

async fn send(
    shared: &Shared,
    reading: &Reading,
    schema: SchemaRef,
    sender: &mpsc::Sender<Result<FlightData, Status>>,
) -> Result<(), Stopped> {
    let (session, prepared) = (&reading.held().session, &reading.ticket.prepared);
    let mut encoder = Encoder::new(Arc::clone(&schema));
    // A client that does not read makes it wait; the session may be cancelled or ended meanwhile.
    let say = async |message| {
        let (mut cancels, mut ended) = (session.cancels(), session.ended());
        tokio::select! {
            biased;
            sent = sender.send(Ok(message)) => sent.map_err(|_| Stopped::Unheard),
            _ = ended.wait_for(|ended| *ended) => {
                Err(error::new("57P01", "terminating connection due to administrator command").into())
            }
            _ = cancels.changed() => Err(error::new("57014", "canceling statement due to user request").into()),
        }
    };
    say(encoder.head()).await?;
    let mut runs = Runs::new(reading.ticket.bound.clone());
    while let Some(values) = runs.next(prepared, session)? {
        let timer = begin(shared, reading.held(), prepared);
        let wrong = |cause: query::Error| failed(shared, session, &cause);
        let Outcome::Rows(mut rows) = prepared.execute(values).await.map_err(wrong)? else {
            return Err(error::new("XX000", "internal error: a query gave no rows").into());
        };
        if encode::schema(&rows.schema) != schema {
            // FETCH: another cursor has the name by now.
            return Err(error::new("0A000", "the columns are no longer those that were told; hint: ask again").into());
        }
        while let Some(batch) = rows.batches.next().await {
            let batch = batch.map_err(wrong)?;
            for piece in encode::pieces(&batch) {
                for message in encoder.encode(&piece)? {
                    say(message).await?;
                }
            }
        }
        end(shared, session, prepared, timer);
    }
    Ok(())
}

/// The values of each run of a statement.
struct Runs {
    bound: Option<Arc<Bound>>,
    /// The next run.
    at: usize,
}

impl Runs {
    fn new(bound: Option<Arc<Bound>>) -> Runs {
        Runs { bound, at: 0 }
    }

    /// The next values; none where all runs were made. What takes no parameters runs once.
    fn next(&mut self, prepared: &Prepared, session: &Session) -> Result<Option<Vec<ScalarValue>>, Status> {
        let at = self.at;
        self.at += 1;
        match &self.bound {
            Some(bound) if !prepared.parameters().is_empty() => bound.values(at, prepared.parameters(), session),
            _ => Ok((at == 0).then(Vec::new)),
        }
    }

    /// Where in several runs one failed, and what stays of those before.
    fn told(&self, status: Status, rows: u64) -> Status {
        if self.bound.as_ref().is_none_or(|bound| bound.rows() < 2) {
            return status;
        }
        let done = self.at - 1;
        let message = format!("parameters {}: {}; the {done} before are done and changed {rows} rows", self.at, status.message());
        let mut told = Status::new(status.code(), message);
        *told.metadata_mut() = status.metadata().clone();
        told
    }
}

fn begin(shared: &Shared, held: &Held, prepared: &Prepared) -> Instant {
    add(&shared.counters.other_statements, 1);
    if prepared.class() == StatementClass::Session {
        held.note_change();
    }
    Instant::now()
}

fn end(shared: &Shared, session: &Session, prepared: &Prepared, timer: Instant) {
    // There is nobody to tell them to.
    let _untold = (session.take_notices(), session.take_changes());
    let took = timer.elapsed();
    if shared.settings.slow_statement.is_some_and(|limit: Duration| took >= limit) {
        let plan = prepared.slow_plan();
        let text: String = prepared.sql().chars().take(500).collect();
        let trace_id = prepared.trace_id().map(tracing::field::display);
        tracing::warn!(session = session.id(), ms = took.as_millis() as u64, statement = %text, plan, trace_id, "slow statement");
    }
}

/// A failed statement, as its client is told.
pub(crate) fn failed(shared: &Shared, session: &Session, cause: &query::Error) -> Status {
    add(&shared.counters.failed_statements, 1);
    // The client's own mistakes are told to the client alone.
    if ["53", "58", "XX"].iter().any(|class| cause.sqlstate().starts_with(class)) {
        let trace_id = cause.report().trace.map(tracing::field::display);
        tracing::error!(
            session = session.id(),
            sqlstate = cause.sqlstate(),
            message = cause.message(),
            trace_id,
            "statement failed"
        );
    }
    error::of(cause)
}
