//! Pouring samples and tags through a node's Flight door, and hearing what it acknowledged; asking it by Flight SQL.
//!
//! Promises: batches are numbered from 1 for a producer, so that sending one again doubles nothing;
//! what is counted as acknowledged was durable when the node said so.

use crate::Error;
use crate::grid::Columns;
use crate::progress::now;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use server::flight::Ack;
use server::flight::client::{Acks, Client, Options, Putter};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

fn failed(doing: &'static str) -> impl Fn(tonic::Status) -> Error {
    move |status| Error::Node { doing, problem: format!("{} ({:?})", status.message(), status.code()) }
}

/// The columns of a batch of samples.
#[must_use]
pub fn sample_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tag", DataType::UInt64, false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
        Field::new("quality", DataType::UInt8, false),
    ]))
}

/// A batch of these samples, without a copy; `ordinal` is that of the data set's tag 0.
#[must_use]
pub fn sample_batch(schema: &SchemaRef, columns: Columns, ordinal: u64) -> RecordBatch {
    let mut tags = columns.tags;
    if ordinal != 0 {
        tags.iter_mut().for_each(|tag| *tag += ordinal);
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from(tags)),
        Arc::new(Int64Array::from(columns.times)),
        Arc::new(Float64Array::from(columns.values)),
        Arc::new(UInt8Array::from(columns.qualities)),
    ];
    RecordBatch::try_new(Arc::clone(schema), arrays).expect("the columns are those of the schema, and equally long")
}

/// A batch of tags to be made: (name, kind, unit).
#[must_use]
pub fn tag_batch<'a>(tags: impl Iterator<Item = (String, &'a str, &'a str)>) -> RecordBatch {
    let (mut names, mut kinds, mut units) = (Vec::new(), Vec::new(), Vec::new());
    for (name, kind, unit) in tags {
        names.push(name);
        kinds.push(kind);
        units.push(unit);
    }
    let field = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![field("name"), field("kind"), field("unit")]));
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(names)), Arc::new(StringArray::from(kinds)), Arc::new(StringArray::from(units))];
    RecordBatch::try_new(schema, arrays).expect("the columns are those of the schema, and equally long")
}

/// What was heard of what was sent.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Batches acknowledged.
    pub batches: u64,
    /// Rows acknowledged.
    pub rows: u64,
    /// From the sending of each batch to its acknowledgement.
    pub latencies: Vec<Duration>,
}

/// One stream into a node.
pub struct Stream {
    putter: Putter,
    acks: Acks,
    number: u64,
    under_way: VecDeque<Instant>,
    /// What was heard so far.
    pub heard: Heard,
}

/// A runtime of one thread, for one stream or a few.
///
/// # Errors
/// `Error::System`.
pub fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::system("starting the network thread"))
}

impl Stream {
    /// Opens a stream of samples for a producer.
    ///
    /// # Errors
    /// `Error::Node`.
    pub async fn samples(address: &str, producer: &str) -> Result<Stream, Error> {
        Stream::open(address, &["samples", producer], sample_schema()).await
    }

    /// Opens a stream of tags.
    ///
    /// # Errors
    /// `Error::Node`.
    pub async fn tags(address: &str, schema: SchemaRef) -> Result<Stream, Error> {
        Stream::open(address, &["tags"], schema).await
    }

    async fn open(address: &str, path: &[&str], schema: SchemaRef) -> Result<Stream, Error> {
        let options = Options::default();
        let client =
            Client::connect(&format!("http://{address}"), &options).await.map_err(failed("connecting to the Flight door"))?;
        let putter = client.put(path, schema).await.map_err(failed("opening a stream"))?;
        let (putter, acks) = putter.split();
        Ok(Stream { putter, acks, number: 0, under_way: VecDeque::new(), heard: Heard::default() })
    }

    /// Sends a batch; waits only where too much is under way. Hears what has come meanwhile.
    ///
    /// # Errors
    /// `Error::Node`.
    pub async fn send(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.number += 1;
        self.under_way.push_back(now());
        if let Err(status) = self.putter.send(self.number, batch).await {
            // Why the node ended the stream is told by the acknowledgements, after those that were due.
            while !self.under_way.is_empty() {
                self.hear().await?;
            }
            return Err(failed("sending a batch")(status));
        }
        // Lets the connection's own task run, then takes what is there without waiting for more.
        tokio::task::yield_now().await;
        while !self.under_way.is_empty() {
            match futures::FutureExt::now_or_never(self.acks.next()) {
                Some(answer) => self.note(answer.map_err(failed("hearing an acknowledgement"))?)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Batches sent and not yet acknowledged.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Waits for the next acknowledgement.
    ///
    /// # Errors
    /// `Error::Node`.
    pub async fn hear(&mut self) -> Result<(), Error> {
        let answer = self.acks.next().await.map_err(failed("hearing an acknowledgement"))?;
        self.note(answer)
    }

    fn note(&mut self, ack: Option<Ack>) -> Result<(), Error> {
        let ended = || Error::Node { doing: "hearing an acknowledgement", problem: "the node ended the stream".to_owned() };
        let ack = ack.ok_or_else(ended)?;
        let sent = self.under_way.pop_front().ok_or_else(ended)?;
        self.heard.batches += 1;
        self.heard.rows += ack.rows;
        self.heard.latencies.push(sent.elapsed());
        Ok(())
    }

    /// Waits for all that is under way, and ends the stream.
    ///
    /// # Errors
    /// `Error::Node`.
    pub async fn finish(mut self) -> Result<Heard, Error> {
        while !self.under_way.is_empty() {
            self.hear().await?;
        }
        self.putter.end();
        while let Some(ack) = self.acks.next().await.map_err(failed("ending the stream"))? {
            self.note(Some(ack))?;
        }
        Ok(self.heard)
    }
}

/// One connection that asks by Flight SQL.
pub struct Asker {
    runtime: Runtime,
    client: Client,
}

impl Asker {
    /// Connects.
    ///
    /// # Errors
    /// `Error::Node`, `Error::System`.
    pub fn connect(address: &str) -> Result<Asker, Error> {
        let (runtime, options) = (runtime()?, Options::default());
        let url = format!("http://{address}");
        let connected = runtime.block_on(Client::connect(&url, &options));
        let client = connected.map_err(failed("connecting to the Flight door"))?;
        Ok(Asker { runtime, client })
    }

    /// Asks a query, and hands on its batches as they are decoded.
    ///
    /// # Errors
    /// `Error::Node`; what the taker says.
    pub fn ask(&self, sql: &str, mut take: impl FnMut(&RecordBatch) -> Result<(), Error>) -> Result<(), Error> {
        self.runtime.block_on(async {
            let mut answer = self.client.query(sql).await.map_err(failed("asking by Flight SQL"))?;
            while let Some(batch) = answer.next().await.map_err(failed("reading an answer"))? {
                take(&batch)?;
            }
            Ok(())
        })
    }
}
