//! A session's connection: reads frames, runs what they ask, writes the answers.
//!
//! Shared state: none; a connection is one task. What others do to it (cancel, stop) comes through
//! `Registered` and the stop channel.
//!
//! Promises: answers go out in one write when the client has sent nothing more that is whole, or
//! when `FLUSH_BYTES` have gathered; an error in the extended protocol skips everything up to Sync;
//! no frame of a client ends anything but its own connection.

use super::error::Report;
use super::extended::{Portal, Statement};
use super::frame::{Fields, Frame};
use super::job::{Event, Job};
use super::output::TransactionState;
use super::socket::{End, FLUSH_BYTES, Wire};
use super::{notice_of, report_of};
use crate::counters::add;
use crate::shared::{Registered, Shared, Stage};
use query::{Block, Session, StatementText};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longer texts are cut into statements on another thread than the connection's.
const SPLIT_HERE_BYTES: usize = 16 << 10;

/// A connection with a session.
pub(crate) struct Connection {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<Session>,
    pub(super) registered: Registered,
    pub(super) stop: watch::Receiver<Stage>,
    /// Whether somebody has ended the session. Looked at before anything that a client sends: one that never pauses is heard too.
    pub(super) ended: watch::Receiver<bool>,
    pub(super) statements: HashMap<Box<[u8]>, Arc<Statement>>,
    pub(super) portals: HashMap<Box<[u8]>, Portal>,
    /// Whether an error makes it skip messages up to Sync.
    pub(super) skipping: bool,
    /// Parameters of the point statement at hand: kept for their memory.
    pub(super) values: Vec<query::ScalarValue>,
    /// Rows that are being written; kept for their memory.
    pub(super) rows: Vec<u8>,
}

/// What a frame asks for beyond what was done while it was read.
pub(super) enum Ask {
    Nothing,
    Query(Vec<u8>),
    Parse { name: Box<[u8]>, sql: Vec<u8>, types: Vec<u32> },
    Execute { portal: Box<[u8]>, rows_max: usize },
    Sync,
    Flush,
    Terminate,
}

impl Connection {
    pub(crate) fn new(wire: Wire, shared: &Arc<Shared>, session: Arc<Session>, registered: Registered) -> Connection {
        Connection {
            wire,
            ended: session.ended(),
            session,
            registered,
            stop: shared.stop.subscribe(),
            shared: Arc::clone(shared),
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            values: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The number of its session.
    pub(crate) fn session_id(&self) -> i32 {
        self.session.id()
    }

    /// Tells a client that has logged in what it needs to know, then serves it to the end.
    pub(crate) async fn serve(mut self) {
        for (name, value) in self.session.reported() {
            self.wire.output.parameter(&name, &value);
        }
        let process = self.session.id() as u32;
        self.wire.output.backend_key(process, self.registered.connected.secret());
        self.ready();
        let end = self.run().await;
        // Portals run jobs: they stop before the client is told of the end.
        self.portals.clear();
        self.session.end();
        if let Err(End::Fatal(report)) = end {
            self.wire.output.error(&report);
        }
        self.wire.close().await;
    }

    async fn run(&mut self) -> Result<(), End> {
        loop {
            while let Some(frame) = self.wire.buffered()? {
                let ask = self.read(&frame)?;
                self.wire.consume(&frame);
                match ask {
                    Ask::Nothing => {}
                    Ask::Terminate => return Err(End::Terminated),
                    ask => self.answer(ask).await?,
                }
                if self.wire.output.bytes.len() >= FLUSH_BYTES {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            self.wait().await?;
        }
    }

    /// Writes out all output. A client that does not read holds it up for as long as it likes: then it is not told of the end of its
    /// session, since that would have to wait too, and stand in the middle of another message.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        let ended = tokio::select! {
            biased;
            flushed = self.wire.flush() => return flushed,
            _ = self.ended.wait_for(|ended| *ended) => End::Gone,
        };
        self.wire.output.bytes.clear();
        Err(ended)
    }

    /// Waits for more input, between statements.
    async fn wait(&mut self) -> Result<(), End> {
        if self.shared.stage() != Stage::Running && self.session.block() == Block::Idle {
            return Err(End::Fatal(Report::stopping()));
        }
        let in_block = self.session.block() != Block::Idle;
        let limit_ms = |name| self.session.variable(name).and_then(|ms| ms.parse::<u64>().ok()).filter(|ms| *ms > 0);
        let of_block = if in_block { limit_ms("idle_in_transaction_session_timeout") } else { None };
        let (limit, sqlstate, what) = match (of_block.map(Duration::from_millis), self.shared.settings.idle_max) {
            (Some(limit), of_all) if of_all.is_none_or(|all| limit <= all) => {
                (Some(limit), "25P03", "idle-in-transaction timeout")
            }
            (_, of_all) => (of_all, "57P05", "idle-session timeout"),
        };
        let idle = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.ended.wait_for(|ended| *ended) => Err(End::Fatal(Report::terminated())),
            filled = self.wire.fill() => filled,
            _ = self.stop.changed() => Err(End::Fatal(Report::stopping())),
            () = idle => Err(End::Fatal(Report::fatal(sqlstate, format!("terminating connection due to {what}")))),
        }
    }

    /// Reads a frame; what can be answered at once is answered.
    fn read(&mut self, frame: &Frame) -> Result<Ask, End> {
        if self.skipping && !matches!(frame.kind, b'S' | b'X') {
            return Ok(Ask::Nothing);
        }
        let body = &self.wire.input[frame.body.clone()];
        let mut fields = Fields::new(body);
        match frame.kind {
            b'B' => self.bind(frame).map(|()| Ask::Nothing),
            b'E' => self.execute_inline(frame),
            b'S' => Ok(Ask::Sync),
            b'D' => self.describe(frame).map(|()| Ask::Nothing),
            b'C' => self.close(frame).map(|()| Ask::Nothing),
            b'H' => Ok(Ask::Flush),
            b'X' => Ok(Ask::Terminate),
            b'Q' => Ok(Ask::Query(fields.text()?.to_vec())),
            b'P' => {
                let name = fields.text()?.into();
                let sql = fields.text()?.to_vec();
                let count = fields.u16()?;
                let types = (0..count).map(|_| fields.i32().map(|oid| oid as u32)).collect::<Result<_, _>>()?;
                Ok(Ask::Parse { name, sql, types })
            }
            // What is left of a COPY that failed.
            b'd' | b'c' | b'f' => Ok(Ask::Nothing),
            b'F' => {
                self.fail(&Report::error("0A000", "function calls by the fast path are not supported"));
                self.ready();
                Ok(Ask::Nothing)
            }
            other => {
                let shown = std::ascii::escape_default(other);
                Err(End::Fatal(Report::fatal("08P01", format!("invalid frontend message type '{shown}'"))))
            }
        }
    }

    async fn answer(&mut self, ask: Ask) -> Result<(), End> {
        match ask {
            Ask::Query(sql) => self.query(sql).await,
            Ask::Parse { name, sql, types } => self.parse(name, sql, &types).await,
            Ask::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Ask::Sync => {
                self.skipping = false;
                self.forget_portals();
                self.ready();
                Ok(())
            }
            Ask::Flush => self.flush().await,
            Ask::Nothing | Ask::Terminate => Ok(()),
        }
    }

    /// Says that the next statement may come, and what state the transaction is in.
    pub(super) fn ready(&mut self) {
        let state = match self.session.block() {
            Block::Idle => TransactionState::Idle,
            Block::Open => TransactionState::Active,
            Block::Failed => TransactionState::Failed,
        };
        self.wire.output.ready(state);
    }

    /// Tells the client that its statement failed.
    pub(super) fn fail(&mut self, report: &Report) {
        add(&self.shared.counters.failed_statements, 1);
        // The client's own mistakes are told to the client alone.
        if report.concerns_the_operator() {
            let (session, trace_id) = (self.session.id(), report.trace.as_deref().map(tracing::field::display));
            tracing::error!(session, sqlstate = %report.sqlstate, message = %report.message, trace_id, "statement failed");
        }
        self.session.fail();
        self.tell_notices();
        self.wire.output.error(report);
    }

    /// The same in the extended protocol: what follows is skipped up to Sync.
    pub(super) fn fail_extended(&mut self, report: &Report) {
        self.fail(report);
        self.skipping = true;
    }

    /// Sends notices and changed settings that have gathered.
    pub(super) fn tell_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.wire.output.notice(&notice_of(&notice));
        }
        for (name, value) in self.session.take_changes() {
            self.wire.output.parameter(&name, &value);
        }
    }

    /// Prepares a statement on the query runtime. A client that goes away ends it.
    pub(super) async fn prepare(
        &mut self,
        sql: String,
        types: Vec<Option<arrow::datatypes::DataType>>,
    ) -> Result<Result<query::Prepared, Report>, End> {
        let session = Arc::clone(&self.session);
        let mut tasks = JoinSet::new();
        tasks.spawn_on(async move { session.prepare(&sql, &types).await }, &self.shared.query_runtime);
        Ok(match self.answered(tasks.join_next()).await? {
            Some(Ok(prepared)) => prepared.map_err(|error| report_of(&error)),
            _ => Err(super::job::internal()),
        })
    }

    /// Cuts a text into its statements: here where it is short, so that a long one holds up no other connection.
    pub(super) async fn split(&mut self, sql: String) -> Result<Result<Vec<StatementText>, Report>, End> {
        if sql.len() <= SPLIT_HERE_BYTES {
            return Ok(query::split(&sql).map_err(|error| report_of(&error)));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn_blocking_on(move || query::split(&sql), &self.shared.query_runtime);
        Ok(match self.answered(tasks.join_next()).await? {
            Some(Ok(statements)) => statements.map_err(|error| report_of(&error)),
            _ => Err(super::job::internal()),
        })
    }

    /// The next thing a job says.
    pub(super) async fn next_event(&mut self, job: &mut Job) -> Result<Event, End> {
        self.answered(job.next()).await
    }

    /// Waits for what a statement answers. Ends the connection when the client goes away meanwhile, and cancels the statement when
    /// the server's patience with a stop is over.
    pub(super) async fn answered<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, End> {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                biased;
                // Before the answer: whoever ends itself is told so, not that its statement was cancelled.
                _ = self.ended.wait_for(|ended| *ended) => return Err(End::Fatal(Report::terminated())),
                answered = &mut answer => return Ok(answered),
                end = self.wire.watch() => return Err(end),
                changed = self.stop.changed() => {
                    if changed.is_err() || *self.stop.borrow() >= Stage::Cancelling {
                        self.session.cancel();
                    }
                }
            }
        }
    }

    /// Starts a statement as a job.
    pub(super) fn start(
        &self,
        prepared: query::Prepared,
        parameters: Vec<datafusion::common::ScalarValue>,
        formats: Vec<u8>,
    ) -> Job {
        add(&self.shared.counters.other_statements, 1);
        Job::start(&self.shared.query_runtime, prepared, parameters, formats, self.session.time_zone())
    }
}
