//! A client of the columnar door, for `bench`, `import`, tests and whoever embeds it.
//!
//! ```text
//! connect -> put(path, schema) -> Putter: send(number, batch) ..   ack() ..   finish()
//!         -> query(sql) -> Answer: next() ..
//! ```
//!
//! Promises: batches go out in the order sent, acknowledgements come back in that order; `send` waits
//! when the server takes no more, so memory stays bounded. Answers are decoded as they are read.

use super::put::Ack;
use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, StreamWriter};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightData, FlightDescriptor, PutResult};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};

/// Encoded batches that wait to be sent.
const BATCHES_WAITING: usize = 4;
const WINDOW_BYTES: u32 = 16 << 20;
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// User and password, where the server asks for them.
    pub login: Option<(String, String)>,
    /// Certificates (PEM) that vouch for the server's, for `https://`.
    pub authority_pem: Option<Vec<u8>>,
}

/// A connection to the door. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: FlightServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

fn unavailable(cause: impl std::error::Error) -> Status {
    let mut message = cause.to_string();
    let mut source = cause.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    Status::unavailable(message)
}

fn invalid(cause: impl std::fmt::Display) -> Status {
    Status::invalid_argument(cause.to_string())
}

impl Client {
    /// Connects to `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// `Unavailable` where nobody answers, `InvalidArgument` for an address that is none.
    pub async fn connect(url: &str, options: &Options) -> Result<Client, Status> {
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(unavailable)?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        if url.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            if let Some(pem) = &options.authority_pem {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(unavailable)?;
        }
        let channel = endpoint.connect().await.map_err(unavailable)?;
        let inner = FlightServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let authorization = match &options.login {
            Some((user, password)) => {
                let header = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                Some(header.parse().map_err(invalid)?)
            }
            None => None,
        };
        Ok(Client { inner, authorization })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    /// Opens a stream of batches to a path: `["samples"]`, `["samples", producer]` or `["tags"]`.
    ///
    /// # Errors
    /// Whatever the server refuses it for.
    pub async fn put(&self, path: &[&str], schema: SchemaRef) -> Result<Putter, Status> {
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        let options = IpcWriteOptions::default();
        let mut putter = Putter::idle(sender, options);
        // The tracker numbers the schema's dictionaries; batches are encoded with these numbers.
        let encoded = putter.generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut putter.tracker, &putter.options);
        let mut first: FlightData = encoded.into();
        first.flight_descriptor = Some(FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect()));
        putter.give(first).await?;
        let answers = self.inner.clone().do_put(self.request(ReceiverStream::new(receiver))).await?;
        putter.answers = Some(answers.into_inner());
        Ok(putter)
    }

    /// The ordinals of tags by name, row by row; None where there is no such tag.
    ///
    /// # Errors
    /// Whatever the server refuses it for.
    pub async fn resolve(&self, names: &[&str]) -> Result<Vec<Option<u64>>, Status> {
        let schema = Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, false)]));
        let column = Arc::new(StringArray::from_iter_values(names));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).map_err(invalid)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(invalid)?;
        writer.write(&batch).map_err(invalid)?;
        let body = writer.into_inner().map_err(invalid)?.into();
        let action = Action { r#type: "resolve".to_owned(), body };
        let mut answers = self.inner.clone().do_action(self.request(action)).await?.into_inner();
        let answer = answers.message().await?.ok_or_else(|| Status::internal("the action gave no answer"))?;
        let mut ordinals = Vec::new();
        for batch in StreamReader::try_new(&answer.body[..], None).map_err(invalid)? {
            let batch = batch.map_err(invalid)?;
            ordinals.extend(batch.column(0).as_primitive::<UInt64Type>().iter());
        }
        Ok(ordinals)
    }

    /// Asks a query of Flight SQL: planned by one call, its rows read by another.
    ///
    /// # Errors
    /// Whatever the server refuses it for; `InvalidArgument` for a statement that gives no rows.
    pub async fn query(&self, sql: &str) -> Result<Answer, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = self.inner.clone().get_flight_info(self.request(descriptor)).await?.into_inner();
        let ticket = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(|| Status::invalid_argument("the statement gives no rows"))?;
        let messages = self.inner.clone().do_get(self.request(ticket)).await?.into_inner();
        Ok(Answer { batches: FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from)) })
    }
}

/// The rows of a query.
pub struct Answer {
    batches: FlightRecordBatchStream,
}

impl Answer {
    /// The next batch; None at the end.
    ///
    /// # Errors
    /// What the statement failed with; `InvalidArgument` where a message can't be decoded.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        self.batches.try_next().await.map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            other => invalid(other),
        })
    }
}

/// A stream of batches to the server.
pub struct Putter {
    sender: Option<mpsc::Sender<FlightData>>,
    answers: Option<Streaming<PutResult>>,
    generator: IpcDataGenerator,
    tracker: DictionaryTracker,
    context: IpcWriteContext,
    options: IpcWriteOptions,
}

impl Putter {
    fn idle(sender: mpsc::Sender<FlightData>, options: IpcWriteOptions) -> Putter {
        Putter {
            sender: Some(sender),
            answers: None,
            generator: IpcDataGenerator::default(),
            tracker: DictionaryTracker::new(false),
            context: IpcWriteContext::default(),
            options,
        }
    }

    async fn give(&mut self, data: FlightData) -> Result<(), Status> {
        let sender = self.sender.as_ref().ok_or_else(|| Status::failed_precondition("the stream was finished"))?;
        sender.send(data).await.map_err(|_| Status::cancelled("the server ended the stream; ask for its acknowledgements"))
    }

    /// Sends a batch under a number, higher than those before. Waits while the server takes no more.
    /// A dictionary is sent when it is first seen, and when it has changed.
    ///
    /// # Errors
    /// `Cancelled` where the server has ended the stream: `ack` then tells why.
    pub async fn send(&mut self, number: u64, batch: &RecordBatch) -> Result<(), Status> {
        let (dictionaries, data) =
            self.generator.encode(batch, &mut self.tracker, &self.options, &mut self.context).map_err(invalid)?;
        for dictionary in dictionaries {
            self.give(dictionary.into()).await?;
        }
        let mut data: FlightData = data.into();
        data.app_metadata = number.to_le_bytes().to_vec().into();
        self.give(data).await
    }

    /// Waits for the next acknowledgement; None at the end of the stream.
    ///
    /// # Errors
    /// Why the server ended the stream. What was not acknowledged may be sent again.
    pub async fn ack(&mut self) -> Result<Option<Ack>, Status> {
        let answers = self.answers.as_mut().ok_or_else(|| Status::failed_precondition("the stream was not opened"))?;
        match answers.next().await {
            None => Ok(None),
            Some(answer) => {
                let ack = Ack::from_bytes(&answer?.app_metadata);
                ack.map(Some).ok_or_else(|| Status::internal("the server's acknowledgement is not one"))
            }
        }
    }

    /// Says that no more batches come; acknowledgements may still be waited for.
    pub fn end(&mut self) {
        self.sender = None;
    }

    /// Ends the stream and waits for all acknowledgements that are left.
    ///
    /// # Errors
    /// As `ack`.
    pub async fn finish(mut self) -> Result<Vec<Ack>, Status> {
        self.end();
        let mut acks = Vec::new();
        while let Some(ack) = self.ack().await? {
            acks.push(ack);
        }
        Ok(acks)
    }

    /// Splits the stream, so that one task sends while another waits for acknowledgements.
    #[must_use]
    pub fn split(mut self) -> (Putter, Acks) {
        let answers = self.answers.take();
        (self, Acks { answers })
    }
}

/// The acknowledgements of a stream that was split.
pub struct Acks {
    answers: Option<Streaming<PutResult>>,
}

impl Acks {
    /// As `Putter::ack`.
    ///
    /// # Errors
    /// As `Putter::ack`.
    pub async fn next(&mut self) -> Result<Option<Ack>, Status> {
        let answers = self.answers.as_mut().ok_or_else(|| Status::failed_precondition("the stream was not opened"))?;
        match answers.next().await {
            None => Ok(None),
            Some(answer) => {
                let ack = Ack::from_bytes(&answer?.app_metadata);
                ack.map(Some).ok_or_else(|| Status::internal("the server's acknowledgement is not one"))
            }
        }
    }
}
