//! Statements that take a while: planned, run and written as DataRows on the query runtime, handed
//! to their connection piece by piece through a bounded channel.
//!
//! Promises: at most `EVENTS_WAITING` pieces wait for a slow client; dropping a `Job` cancels what
//! it runs. A connection's own thread never runs a plan.

use super::encode;
use super::error::Report;
use super::report_of;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use futures::StreamExt;
use query::{CopyIn, CopyLines, CopyOut, CopyPiece, Outcome, Prepared, Rows, Zone};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Pieces that wait for the client.
const EVENTS_WAITING: usize = 2;
/// Rows are handed over in pieces of about this many.
const ROWS_PER_PIECE: usize = 2048;

/// What a job has to say.
pub(crate) enum Event {
    /// Rows are to come, of these columns.
    Columns(SchemaRef),
    /// DataRow messages, and where each ends.
    Rows { bytes: Vec<u8>, ends: Vec<usize> },
    /// The client is to send data.
    CopyIn(Box<CopyIn>),
    /// Data for the client is to come, in so many columns; whether in binary.
    CopyOut(usize, bool),
    /// A piece of it.
    Data(CopyLines),
    /// The end: its command tag; None where it counts rows.
    Done(Option<String>),
    /// The end: it failed.
    Failed(Report),
}

/// A statement that runs elsewhere.
pub(crate) struct Job {
    pub(crate) events: mpsc::Receiver<Event>,
    abort: AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Job {
    /// Starts a prepared statement. `formats` are those of the result's columns.
    pub(crate) fn start(runtime: &Handle, prepared: Prepared, parameters: Vec<ScalarValue>, formats: Vec<u8>, zone: Zone) -> Job {
        let (sender, events) = mpsc::channel(EVENTS_WAITING);
        let task = runtime.spawn(async move {
            let last = match run(prepared, parameters, &formats, zone, &sender).await {
                Ok(last) => last,
                Err(Stopped::Failed(report)) => Event::Failed(report),
                Err(Stopped::Unheard) => return,
            };
            // Nobody listens any more: the connection is gone, and so is the statement.
            let _ = sender.send(last).await;
        });
        Job { events, abort: task.abort_handle() }
    }

    /// The next thing it says. A job that ends without a word has panicked: the fault is ours.
    pub(crate) async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or_else(|| Event::Failed(internal()))
    }
}

/// What a client is told where the fault is ours.
pub(crate) fn internal() -> Report {
    Report::error("XX000", "internal error: the statement ended without an answer").hinted("the server's log says more")
}

enum Stopped {
    Failed(Report),
    Unheard,
}

impl From<Report> for Stopped {
    fn from(report: Report) -> Self {
        Stopped::Failed(report)
    }
}

async fn run(
    prepared: Prepared,
    parameters: Vec<ScalarValue>,
    formats: &[u8],
    zone: Zone,
    sender: &mpsc::Sender<Event>,
) -> Result<Event, Stopped> {
    match prepared.execute(parameters).await.map_err(|error| report_of(&error))? {
        Outcome::Rows(rows) => send_rows(rows, formats, zone, sender).await,
        Outcome::Command(completion) => Ok(Event::Done(Some(completion.tag))),
        Outcome::CopyIn(copy) => Ok(Event::CopyIn(copy)),
        Outcome::CopyOut(copy) => send_copy(*copy, zone, sender).await,
    }
}

/// Data of a COPY TO STDOUT. In binary the head comes with the first row, and without any with the end: so PostgreSQL cuts its
/// messages, and clients count on it.
async fn send_copy(mut copy: CopyOut, zone: Zone, sender: &mpsc::Sender<Event>) -> Result<Event, Stopped> {
    say(sender, Event::CopyOut(copy.columns, copy.binary)).await?;
    let mut head = if copy.binary { encode::COPY_HEAD } else { &b""[..] };
    while let Some(piece) = copy.chunks.next().await {
        match piece.map_err(|error| report_of(&error))? {
            CopyPiece::Lines(lines) => say(sender, Event::Data(lines)).await?,
            CopyPiece::Batch(batch) => {
                let mut start = 0;
                while start < batch.num_rows() {
                    let part = batch.slice(start, ROWS_PER_PIECE.min(batch.num_rows() - start));
                    start += part.num_rows();
                    let mut lines = CopyLines { bytes: std::mem::take(&mut head).to_vec(), ends: Vec::new() };
                    encode::write_copy_rows(&part, zone, &mut lines)?;
                    say(sender, Event::Data(lines)).await?;
                }
            }
        }
    }
    if copy.binary {
        let bytes = [head, encode::COPY_END].concat();
        let ends = vec![bytes.len()];
        say(sender, Event::Data(CopyLines { bytes, ends })).await?;
    }
    Ok(Event::Done(Some(copy.completion().tag)))
}

async fn send_rows(mut rows: Rows, formats: &[u8], zone: Zone, sender: &mpsc::Sender<Event>) -> Result<Event, Stopped> {
    say(sender, Event::Columns(rows.schema.clone())).await?;
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch.map_err(|error| report_of(&error))?;
        count += batch.num_rows() as u64;
        let (mut start, mut length) = (0, 0);
        while start < batch.num_rows() {
            let piece = batch.slice(start, ROWS_PER_PIECE.min(batch.num_rows() - start));
            start += piece.num_rows();
            let (mut bytes, mut ends) = (Vec::with_capacity(length), Vec::with_capacity(piece.num_rows()));
            encode::write_rows(&piece, formats, zone, &mut bytes, &mut ends)?;
            // The next piece is likely as long.
            length = if start < batch.num_rows() { bytes.len() + bytes.len() / 16 } else { 0 };
            say(sender, Event::Rows { bytes, ends }).await?;
        }
    }
    Ok(Event::Done((rows.command != "SELECT").then(|| rows.tag(count))))
}

async fn say(sender: &mpsc::Sender<Event>, event: Event) -> Result<(), Stopped> {
    sender.send(event).await.map_err(|_| Stopped::Unheard)
}
