//! One DoPut stream: batches in, acknowledgements out, in order.
//!
//! Two tasks a stream: one reads, converts and hands batches to the kernel; one waits for their
//! tickets in order and answers. Between them at most `flight_waiting_bytes_max` of batches wait.
//!
//! After the first batch that fails nothing more of the stream is read: what was handed over before
//! it is still acknowledged, then the error ends the stream. Nothing of the failed batch is kept.

use super::message::{Decoder, Message, malformed};
use super::samples::{Check, Columns, Converter, Shape, row_of};
use super::tags;
use crate::counters::add;
use crate::shared::{Shared, Stage};
use arrow::array::RecordBatch;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use bytes::Bytes;
use catalog::Catalog;
use kernel::{Committed, Write};
use query::Access;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Status, Streaming};
use types::{Origin, ProducerId, Samples, TagId, TextSamples};
use world::Ticket;

/// Length of an acknowledgement's metadata.
pub const ACK_BYTES: usize = 25;
/// Acknowledgements that wait for a client to read them.
const ACKS_WAITING: usize = 1024;
const KIB: usize = 1024;

/// The answer to one batch, once it is durable: what a `PutResult`'s metadata holds.
///
/// ```text
/// number u64, commit u64, rows u64, duplicate u8      (little-endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The batch's number.
    pub number: u64,
    /// The commit that holds it (0 for tags).
    pub commit: u64,
    /// Rows written; 0 where it was a duplicate.
    pub rows: u64,
    /// Whether the producer's number had been seen before, so that nothing was written.
    pub duplicate: bool,
}

impl Ack {
    /// The metadata's bytes.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        let mut bytes = Vec::with_capacity(ACK_BYTES);
        for word in [self.number, self.commit, self.rows] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.push(u8::from(self.duplicate));
        bytes.into()
    }

    /// Reads the metadata's bytes; None where they are not an acknowledgement.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Ack> {
        let word = |index: usize| bytes.get(index * 8..index * 8 + 8)?.try_into().ok().map(u64::from_le_bytes);
        if bytes.len() != ACK_BYTES || bytes[24] > 1 {
            return None;
        }
        Some(Ack { number: word(0)?, commit: word(1)?, rows: word(2)?, duplicate: bytes[24] == 1 })
    }
}

/// Where a stream's rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Samples(Option<ProducerId>),
    Tags,
}

impl Target {
    fn of(descriptor: Option<&FlightDescriptor>) -> Result<Target, Status> {
        let path: Vec<&str> =
            descriptor.map(|descriptor| descriptor.path.iter().map(String::as_str).collect()).unwrap_or_default();
        match path[..] {
            ["samples" | "events"] => Ok(Target::Samples(None)),
            ["samples" | "events", producer] if !producer.is_empty() => Ok(Target::Samples(Some(producer_id(producer)))),
            ["tags"] => Ok(Target::Tags),
            _ => Err(Status::invalid_argument(
                "the descriptor's path must be [\"samples\"], [\"samples\", producer] or [\"tags\"]",
            )),
        }
    }
}

/// A producer's id from its text: 32 hexadecimal digits are the id itself, anything else is hashed.
#[must_use]
pub(crate) fn producer_id(text: &str) -> ProducerId {
    if text.len() == 32
        && let Ok(id) = u128::from_str_radix(text, 16)
    {
        return ProducerId(id);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_ref()[..16]);
    ProducerId(u128::from_be_bytes(half))
}

pub(crate) type Answers = mpsc::Sender<Result<PutResult, Status>>;

/// What is to be answered, in order.
enum Pending {
    Batch { number: u64, answer: oneshot::Receiver<Result<Ack, Status>>, room: OwnedSemaphorePermit },
    Failed(Status),
}

/// Counts a stream, or another call that a stop waits for, for as long as it is open.
pub(crate) struct Open(Arc<Shared>);

impl Open {
    pub(crate) fn new(shared: &Arc<Shared>) -> Open {
        shared.flight_open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.flight_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the answers of a stream go, and come out.
pub(crate) fn answers() -> (Answers, mpsc::Receiver<Result<PutResult, Status>>) {
    mpsc::channel(ACKS_WAITING)
}

/// The first message of a stream; None where it has none.
pub(crate) async fn first(shared: &Shared, stream: &mut Streaming<FlightData>) -> Result<Option<FlightData>, Status> {
    let mut stop = shared.stop.subscribe();
    tokio::select! {
        biased;
        _ = stop.wait_for(|stage| *stage != Stage::Running) => Err(Status::unavailable("the server is shutting down")),
        first = stream.message() => first,
    }
}

/// Serves a stream whose first message was read already.
pub(crate) fn serve(
    shared: Arc<Shared>,
    access: Arc<Access>,
    first: FlightData,
    stream: Streaming<FlightData>,
    answers: Answers,
) {
    add(&shared.counters.flight_streams, 1);
    let open = Open::new(&shared);
    let (pending_sender, pending) = mpsc::unbounded_channel();
    let heard = answers.downgrade();
    tokio::spawn(traces::carried(answer(Arc::clone(&shared), pending, answers, open)));
    tokio::spawn(traces::carried(async move {
        let waiting_kib =
            (shared.settings.flight_waiting_bytes_max / KIB).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let mut put = Put {
            shared,
            decoder: Decoder::default(),
            converter: Converter::default(),
            shape: None,
            target: None,
            last: 0,
            waiting_kib,
            room: Arc::new(Semaphore::new(waiting_kib)),
            pending: pending_sender,
            asker: query::Asker::new(&access.session_user()),
            access,
            answers: heard,
        };
        let done = match put.take(&first).await {
            Ok(()) => put.read(stream).await,
            failed => failed,
        };
        if let Err(status) = done {
            // Nobody listens where the client has gone.
            let _ = put.pending.send(Pending::Failed(status));
        }
    }));
}

async fn answer(shared: Arc<Shared>, mut pending: mpsc::UnboundedReceiver<Pending>, answers: Answers, open: Open) {
    while let Some(next) = pending.recv().await {
        let answer = match next {
            Pending::Failed(status) => Err(status),
            Pending::Batch { number, answer, room } => {
                // Until it is durable, as its acknowledgement comes.
                let _span = traces::child("batch commit", traces::Kind::Server);
                let answer = answer.await.unwrap_or_else(|_| Err(Status::unavailable("the store is shutting down")));
                drop(room);
                answer.map_err(|status| Status::new(status.code(), format!("batch {number}: {}", status.message())))
            }
        };
        if let Ok(ack) = &answer {
            add(&shared.counters.flight_batches, 1);
            add(&shared.counters.flight_rows, ack.rows);
        }
        let failed = answer.is_err();
        let result = answer.map(|ack| PutResult { app_metadata: ack.to_bytes() });
        // A client that has gone does not stop what was handed to the kernel.
        if answers.send(result).await.is_err() || failed {
            break;
        }
    }
    drop(open);
}

struct Put {
    shared: Arc<Shared>,
    decoder: Decoder,
    converter: Converter,
    shape: Option<Shape>,
    target: Option<Target>,
    /// The highest number of this stream.
    last: u64,
    waiting_kib: usize,
    room: Arc<Semaphore>,
    pending: mpsc::UnboundedSender<Pending>,
    asker: query::Asker,
    access: Arc<Access>,
    /// Where the stream's answers go: closed when the client has gone.
    answers: mpsc::WeakSender<Result<PutResult, Status>>,
}

impl Put {
    async fn read(&mut self, mut stream: Streaming<FlightData>) -> Result<(), Status> {
        let mut stop = self.shared.stop.subscribe();
        loop {
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stage| *stage != Stage::Running) => return Err(Status::unavailable("the server is shutting down")),
                next = stream.message() => next?,
            };
            let Some(data) = next else { return Ok(()) };
            self.take(&data).await?;
        }
    }

    async fn take(&mut self, data: &FlightData) -> Result<(), Status> {
        if self.target.is_none() {
            self.target = Some(Target::of(data.flight_descriptor.as_ref())?);
        }
        match self.decoder.decode(data)? {
            Message::Schema(schema) => {
                self.shape = match self.target {
                    Some(Target::Samples(_)) => Some(Shape::of(&schema)?),
                    _ => {
                        tags::check(&schema)?;
                        None
                    }
                };
                Ok(())
            }
            Message::Dictionary | Message::Nothing => Ok(()),
            Message::Batch(batch) => {
                let number = self.number(&data.app_metadata)?;
                self.shared.engine.readable().await.map_err(|error| far_status(&error, &[]))?;
                let bytes_kib = (data.data_body.len() / KIB + 1).min(self.waiting_kib) as u32;
                let room = Arc::clone(&self.room).acquire_many_owned(bytes_kib).await;
                let room = room.map_err(|_| Status::internal("the stream's room was closed"))?;
                self.pace(batch.num_rows() as u64).await?;
                let answer = self
                    .write(number, &batch)
                    .map_err(|status| Status::new(status.code(), format!("batch {number}: {}", status.message())))?;
                // The other task ends first only when the client has gone.
                self.pending.send(Pending::Batch { number, answer, room }).map_err(|_| Status::cancelled("the client has gone"))
            }
        }
    }

    /// Waits until so many rows more may be written: meanwhile no more of the stream is read.
    async fn pace(&self, rows: u64) -> Result<(), Status> {
        let mut stop = self.shared.stop.subscribe();
        // An answer that waits for this one must not be kept from its end.
        let Some(answers) = self.answers.upgrade() else { return Err(Status::cancelled("the client has gone")) };
        tokio::select! {
            biased;
            () = answers.closed() => Err(Status::cancelled("the client has gone")),
            _ = stop.wait_for(|stage| *stage != Stage::Running) => Err(Status::unavailable("the server is shutting down")),
            () = self.shared.engine.pace_writer(&self.access, rows) => Ok(()),
        }
    }

    /// The number of a batch.
    fn number(&mut self, metadata: &[u8]) -> Result<u64, Status> {
        let number = if metadata.is_empty() && !matches!(self.target, Some(Target::Samples(Some(_)))) {
            self.last + 1
        } else {
            let bytes = metadata
                .try_into()
                .map_err(|_| malformed("a batch's app_metadata must be its number: 8 bytes, little-endian"))?;
            u64::from_le_bytes(bytes)
        };
        if number <= self.last {
            let message = format!("batch numbers start at 1 and rise: {number} came after {}", self.last);
            return Err(Status::invalid_argument(message));
        }
        self.last = number;
        Ok(number)
    }

    /// Hands a batch to the kernel or the catalog.
    fn write(&mut self, number: u64, batch: &RecordBatch) -> Result<oneshot::Receiver<Result<Ack, Status>>, Status> {
        let (sender, answer) = oneshot::channel();
        let catalog = self.shared.engine.catalog();
        let Some(shape) = &self.shape else {
            let definitions = tags::definitions(batch)?;
            let rights = self.access.rights();
            if !rights.is_unbound() {
                let refused = |(row, error): (usize, query::Error)| tags::status_of(&error.with_detail(format!("row {row}")));
                rights.may_make(&definitions).map_err(refused)?;
            }
            let rows = definitions.len() as u64;
            self.shared.engine.tags().create(definitions).on_done(move |done| {
                let ack = Ack { number, commit: 0, rows, duplicate: false };
                let answer = done
                    .map_err(|cause| Status::unavailable(cause.to_string()))
                    .and_then(|done| done.map(|_| ack).map_err(|error| tags::status_of(&error)));
                // The stream may have ended; the tags stand.
                let _ = sender.send(answer);
            });
            return Ok(answer);
        };
        let rights = (&*self.access, query::Rights::table_of(shape.texts));
        let columns = columns_of(&mut self.converter, catalog, rights, shape, batch, None)?;
        let producer = match self.target {
            Some(Target::Samples(producer)) => producer,
            _ => None,
        };
        let origin = producer.map(|producer| Origin { producer, number });
        let wrong = |cause: types::BatchError| Status::invalid_argument(cause.to_string());
        let texts = shape
            .texts
            .then(|| TextSamples::new(columns.tags(), columns.times(), &columns.texts, columns.qualities()))
            .transpose()
            .map_err(wrong)?;
        let samples = (!shape.texts)
            .then(|| Samples::new(columns.tags(), columns.times(), &columns.bits, columns.qualities()))
            .transpose()
            .map_err(wrong)?;
        let write = Write { samples: samples.as_slice(), texts: texts.as_slice(), origin };
        let engine = &self.shared.engine;
        match engine.local() {
            Some(kernel) => hand_on(kernel.write(write), number, columns.tags(), status_of, sender)?,
            None => hand_on(engine.store().write(write, &self.asker), number, &[], far_status, sender)?,
        }
        Ok(answer)
    }
}

/// What is told of a tag that may not be written to, whether or not it is there.
fn refused(row: Option<usize>) -> Status {
    let place = row.map_or_else(String::new, |row| format!("row {row}: "));
    Status::permission_denied(format!("{place}permission denied for the tag, or there is none"))
}

/// The columns of a batch, as far as a role may write to its tags in a table: asked of each batch anew.
pub(crate) fn columns_of(
    converter: &mut Converter,
    catalog: &Catalog,
    (access, table): (&Access, &str),
    shape: &Shape,
    batch: &RecordBatch,
    check: Option<Check<'_>>,
) -> Result<Columns, Status> {
    if access.is_unbound() {
        return converter.columns(catalog, shape, batch, |_| Ok(()), check);
    }
    let rights = access.rights();
    rights.may_write(table).map_err(|error| Status::permission_denied(error.to_string()))?;
    let admit = |tags: &[TagId]| match rights.first_refused(catalog, table, tags) {
        Ok(None) => Ok(()),
        Ok(row) => Err(refused(row)),
        Err(error) => Err(Status::permission_denied(error.to_string())),
    };
    let whole = rights.writes_all(table);
    // Of tags that are not there it hears what it would hear of those that it may not write to.
    converter.columns(catalog, shape, batch, admit, check).map_err(|status| match status.code() {
        tonic::Code::NotFound if !whole => refused(None),
        _ => status,
    })
}

/// Hands the answer to a commit on once it is there.
fn hand_on<E: Send + 'static>(
    mut ticket: Ticket<Result<Committed, E>>,
    number: u64,
    tags: &[TagId],
    status: fn(&E, &[TagId]) -> Status,
    sender: oneshot::Sender<Result<Ack, Status>>,
) -> Result<(), Status> {
    let acked = move |done: Committed| Ack { number, commit: done.commit.0, rows: done.rows, duplicate: done.duplicate };
    let closed = |cause: world::Abandoned| Status::unavailable(cause.to_string());
    // What is wrong with the batch itself is known at once, while its rows are still here.
    match ticket.try_take() {
        Some(done) => {
            let done = done.map_err(closed)?.map_err(|error| status(&error, tags))?;
            // The receiver is right here.
            let _ = sender.send(Ok(acked(done)));
        }
        // Called on the lane that writes the log: it only hands the answer on.
        None => ticket.on_done(move |done| {
            let answer = done.map_err(closed).and_then(|done| done.map_err(|error| status(&error, &[])));
            // The stream may have ended; the commit stands.
            let _ = sender.send(answer.map(acked));
        }),
    }
    Ok(())
}

/// A fleet's error as gRPC knows it.
fn far_status(error: &query::Error, _: &[TagId]) -> Status {
    use query::Error as E;
    let message = error.to_string();
    match error {
        E::UnknownTag(_) => Status::not_found(message),
        E::Type(_) | E::TooLarge(_) => Status::invalid_argument(message),
        E::DiskFull(_) => Status::resource_exhausted(message),
        E::Unavailable(_) | E::Unreachable(_) | E::Stale(_) | E::ShuttingDown(_) | E::Io(_) => Status::unavailable(message),
        _ => Status::internal(message),
    }
}

/// A kernel's error as gRPC knows it, with the row where it names a tag.
fn status_of(error: &kernel::Error, tags: &[TagId]) -> Status {
    use kernel::Error as E;
    let at_row = |tag: &TagId| row_of(tags).get(tag).map_or_else(|| error.to_string(), |row| format!("row {row}: {error}"));
    match error {
        E::UnknownTag(tag) => Status::not_found(at_row(tag)),
        E::WrongKind { tag, .. } => Status::invalid_argument(at_row(tag)),
        E::TooLarge { .. } => Status::invalid_argument(error.to_string()),
        E::DiskFull(_) => Status::resource_exhausted(error.to_string()),
        E::Behind { .. } => Status::aborted(error.to_string()),
        E::Closed | E::Poisoned(_) => Status::unavailable(error.to_string()),
        _ => Status::internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_comes_back_from_its_bytes() {
        let ack = Ack { number: 7, commit: u64::MAX, rows: 65_536, duplicate: true };
        assert_eq!(ack.to_bytes().len(), ACK_BYTES);
        assert_eq!(Ack::from_bytes(&ack.to_bytes()), Some(ack));
        assert_eq!(Ack::from_bytes(&[0; 24]), None);
        assert_eq!(Ack::from_bytes(&[2; 25]), None);
    }

    #[test]
    fn producers_are_ids_or_names() {
        assert_eq!(producer_id("0000000000000000000000000000002a"), ProducerId(42));
        assert_eq!(producer_id("plant 7"), producer_id("plant 7"));
        assert_ne!(producer_id("plant 7"), producer_id("plant 8"));
        let path = |parts: &[&str]| FlightDescriptor::new_path(parts.iter().map(|part| (*part).to_owned()).collect());
        assert_eq!(Target::of(Some(&path(&["tags"]))).unwrap(), Target::Tags);
        assert_eq!(Target::of(Some(&path(&["samples"]))).unwrap(), Target::Samples(None));
        for wrong in [&[][..], &["sample"], &["samples", ""], &["samples", "a", "b"]] {
            assert!(Target::of(Some(&path(wrong))).is_err());
        }
        assert!(Target::of(None).is_err());
    }
}
