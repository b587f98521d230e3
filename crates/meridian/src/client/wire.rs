//! A client of PostgreSQL's protocol for the shell: statements as text, answers as they come.
//!
//! Promises: what the server sends is handed on message by message, with the columns' types, notices and all fields of
//! an error; no more is read than is asked for, so that rows wait at the server, not in memory; `next` may be dropped
//! while it waits. tokio-postgres, which `Session` uses, hides the types of text rows, the state of the block, and COPY
//! in the middle of a script.

use super::place;
use super::socket::{Address, Io, Refused, failed, log_in, read_message};
use super::target::Target;
use crate::Error;
use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message, RowDescriptionBody};
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long connecting may take, logging in included, where nothing else is said.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a request to cancel may take.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type's number.
    pub oid: u32,
}

/// A row: text, or None for NULL.
pub type Row = Vec<Option<String>>;

/// An error or a notice of the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub context: Option<String>,
    /// In characters, from 1, in the statement that was sent.
    pub position: Option<usize>,
}

impl Report {
    pub fn read(fields: &mut ErrorFields<'_>) -> io::Result<Report> {
        let mut report = Report::default();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' => report.severity = value,
                b'C' => report.code = value,
                b'M' => report.message = value,
                b'D' => report.detail = Some(value),
                b'H' => report.hint = Some(value),
                b'W' => report.context = Some(value),
                b'P' => report.position = value.parse().ok(),
                _ => {}
            }
        }
        Ok(report)
    }

    /// For messages that have one line.
    pub fn in_a_line(&self) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!("; hint: {hint}"));
        format!("{} [{}]{detail}{hint}", self.message, self.code)
    }
}

/// What comes back from the server.
#[derive(Debug)]
pub enum Event {
    /// A result begins.
    Columns(Vec<Column>),
    /// One row of it.
    Row(Row),
    /// The statement is done: its tag.
    Complete(String),
    /// There was no statement.
    Empty,
    /// The server waits for the data of a COPY.
    CopyIn,
    /// Data of a COPY come.
    CopyOut,
    /// Some of them.
    CopyData(Bytes),
    /// They are complete.
    CopyDone,
    /// A statement failed.
    Failed(Report),
    /// The server has something to say.
    Notice(Report),
    /// A notification: its channel and what it says.
    Notified(String, String),
    /// All was answered.
    Ready,
}

/// A session.
pub struct Wire {
    stream: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
    address: Address,
    key: (i32, i32),
    /// What the server said of itself and of the session.
    pub parameters: BTreeMap<String, String>,
    /// `I` outside a block of a transaction, `T` inside, `E` inside one that failed.
    pub block: u8,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Wire {
    /// Connects and logs in.
    ///
    /// # Errors
    /// `Refused`.
    pub async fn connect(target: &Target, name: &str) -> Result<Wire, Refused> {
        let limit = *target.config.get_connect_timeout().unwrap_or(&CONNECT_MAX);
        let said = |problem: String| failed(format!("{}: {problem}", place(&target.config)));
        let mut last = failed("no host is named".to_owned());
        for address in Address::all(&target.config) {
            match tokio::time::timeout(limit, Wire::open(&address, target, name)).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(Refused::Password)) => return Err(Refused::Password),
                Ok(Err(Refused::Other(Error::Node { problem, .. }))) => last = said(problem),
                Ok(Err(Refused::Other(error))) => last = error,
                Err(_) => last = said(format!("no answer within {} s; is it a PostgreSQL door?", limit.as_secs_f64())),
            }
        }
        Err(Refused::Other(last))
    }

    async fn open(address: &Address, target: &Target, name: &str) -> Result<Wire, Refused> {
        let (mut stream, encrypted) = address.open(target).await?;
        let mut input = BytesMut::new();
        log_in(&mut *stream, &mut input, target, name).await?;
        let mut wire = Wire {
            stream,
            input,
            output: BytesMut::new(),
            address: address.clone(),
            key: (0, 0),
            parameters: BTreeMap::new(),
            block: b'I',
            encrypted,
        };
        loop {
            match read_message(&mut *wire.stream, &mut wire.input).await? {
                Message::BackendKeyData(body) => wire.key = (body.process_id(), body.secret_key()),
                Message::ErrorResponse(body) => {
                    return Err(Refused::Other(failed(Report::read(&mut body.fields())?.in_a_line())));
                }
                message => {
                    if let Some(Event::Ready) = wire.event(message)? {
                        return Ok(wire);
                    }
                }
            }
        }
    }

    /// The process that serves this session, as the server numbers it.
    pub fn process(&self) -> i32 {
        self.key.0
    }

    /// Sends statements.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn ask(&mut self, sql: &str) -> io::Result<()> {
        frontend::query(sql, &mut self.output)?;
        self.flush().await
    }

    /// Sends data of a COPY that the server waits for.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn send_copy(&mut self, data: &[u8]) -> io::Result<()> {
        frontend::CopyData::new(data)?.write(&mut self.output);
        self.flush().await
    }

    /// The data are complete, or given up for that reason.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn end_copy(&mut self, given_up: Option<&str>) -> io::Result<()> {
        match given_up {
            None => frontend::copy_done(&mut self.output),
            Some(reason) => frontend::copy_fail(reason, &mut self.output)?,
        }
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.output.has_remaining() {
            self.stream.write_buf(&mut self.output).await?;
        }
        self.stream.flush().await
    }

    /// What has come already and was not handed out yet.
    ///
    /// # Errors
    /// Where the server does not keep to the protocol.
    pub fn at_hand(&mut self) -> io::Result<Option<Event>> {
        while let Some(message) = Message::parse(&mut self.input)? {
            if let Some(event) = self.event(message)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// What comes next. May be dropped while it waits.
    ///
    /// # Errors
    /// Those of the network, and the end of the connection.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.at_hand()? {
                return Ok(event);
            }
            self.input.reserve(64 << 10);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
        }
    }

    fn event(&mut self, message: Message) -> io::Result<Option<Event>> {
        Ok(Some(match message {
            Message::RowDescription(body) => Event::Columns(columns(&body)?),
            Message::DataRow(body) => Event::Row(row(&body)?),
            Message::CommandComplete(body) => Event::Complete(body.tag()?.to_owned()),
            Message::EmptyQueryResponse => Event::Empty,
            Message::CopyInResponse(_) => Event::CopyIn,
            Message::CopyOutResponse(_) => Event::CopyOut,
            Message::CopyData(body) => Event::CopyData(body.into_bytes()),
            Message::CopyDone => Event::CopyDone,
            Message::ErrorResponse(body) => Event::Failed(Report::read(&mut body.fields())?),
            Message::NoticeResponse(body) => Event::Notice(Report::read(&mut body.fields())?),
            Message::NotificationResponse(body) => Event::Notified(body.channel()?.to_owned(), body.message()?.to_owned()),
            Message::ReadyForQuery(body) => {
                self.block = body.status();
                Event::Ready
            }
            Message::ParameterStatus(body) => {
                self.parameters.insert(body.name()?.to_owned(), body.value()?.to_owned());
                return Ok(None);
            }
            _ => return Ok(None),
        }))
    }

    /// What cancels this session's statements, from beside it.
    pub fn canceller(&self, target: &Target) -> Canceller {
        Canceller { address: self.address.clone(), target: target.clone(), key: self.key }
    }

    /// Says good-bye.
    pub async fn end(&mut self) {
        frontend::terminate(&mut self.output);
        // A server that is gone needs no good-bye.
        let _ = self.flush().await;
    }
}

/// Cancels what a session runs.
#[derive(Clone)]
pub struct Canceller {
    address: Address,
    target: Target,
    key: (i32, i32),
}

impl Canceller {
    /// Asks the server to end the statement that runs; its answer comes over the session itself.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn cancel(&self) -> io::Result<()> {
        let asked = async {
            let (mut stream, _) = self.address.open(&self.target).await?;
            let mut output = BytesMut::new();
            frontend::cancel_request(self.key.0, self.key.1, &mut output);
            stream.write_all(&output).await?;
            stream.flush().await?;
            // The server closes once it has passed the request on.
            stream.read(&mut [0]).await.map(drop)
        };
        tokio::time::timeout(CANCEL_MAX, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn columns(body: &RowDescriptionBody) -> io::Result<Vec<Column>> {
    body.fields().map(|field| Ok(Column { name: field.name().to_owned(), oid: field.type_oid() })).collect()
}

fn row(body: &DataRowBody) -> io::Result<Row> {
    let cell = |range: Option<std::ops::Range<usize>>| {
        Ok(range.map(|range| String::from_utf8_lossy(&body.buffer()[range]).into_owned()))
    };
    body.ranges().map(cell).collect()
}
