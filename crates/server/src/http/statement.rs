//! Statements of a request: prepared, run and written on the query runtime, handed to the connection piece by piece.
//!
//! Several statements are run one after the other, as by the simple protocol, and the last one's answer is the answer, as
//! with PostgreSQL's `PQexec`; the first error ends them.
//! Promises: nothing is answered before the first rows are there, so that what goes wrong earlier has its own status; a
//! request that is given up is cancelled.

use super::accept::Format;
use super::body::{Body, Flushes, PIECES_WAITING, Piece, Rows as RowsBody};
use super::encoder::{Encoder, notices_json};
use super::question::Question;
use super::reply::{self, Answer, Fault};
use crate::counters::add;
use crate::pg::error::Report;
use crate::pg::report_of;
use crate::shared::Shared;
use futures::StreamExt;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use query::{
    Block, Completion, Notice, Outcome, Prepared, Rows, ScalarValue, Session, SessionSettings, StatementClass, StatementText,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How an answer begins.
enum Begun {
    Rows,
    Command(Completion, Vec<Notice>),
}

/// Why work ends early.
enum Stopped {
    Failed(Report),
    /// Nobody listens any more.
    Unheard,
}

impl From<Report> for Stopped {
    fn from(report: Report) -> Self {
        Stopped::Failed(report)
    }
}

impl From<query::Error> for Stopped {
    fn from(error: query::Error) -> Self {
        Stopped::Failed(report_of(&error))
    }
}

struct Work {
    shared: Arc<Shared>,
    session: Arc<Session>,
    format: Format,
    /// Whether nothing may be changed.
    read_only: bool,
    begun: Option<oneshot::Sender<Result<Begun, Report>>>,
    pieces: mpsc::Sender<Piece>,
}

/// Opens the session of a request, or one that several share.
pub(crate) fn session(shared: &Shared, settings: SessionSettings) -> Arc<Session> {
    shared.engine.session(settings)
}

/// Answers a question.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    user: String,
    client: String,
    question: Question,
    flushes: Arc<Flushes>,
) -> Result<Answer, Fault> {
    let (begun, beginning) = oneshot::channel();
    let (pieces, received) = mpsc::channel(PIECES_WAITING);
    let format = question.format;
    let of = Arc::clone(shared);
    let task = shared.query_runtime.spawn(traces::carried(async move {
        let (application_name, read_only) = (question.application_name.clone(), question.read_only);
        let settings = SessionSettings { user, application_name, client, read_only, ..SessionSettings::default() };
        let session = session(&of, settings);
        let registered = of.register_request(Arc::clone(&session));
        let mut work = Work { shared: of, session, format, read_only: question.read_only, begun: Some(begun), pieces };
        if let Err(Stopped::Failed(report)) = work.run(question).await {
            work.fail(report);
        }
        drop(registered);
    }));
    // From here on a request that is given up takes its statement along.
    let rows = RowsBody::new(received, task.abort_handle(), flushes);
    match beginning.await {
        Ok(Ok(Begun::Rows)) => {
            let mut answer = Response::new(Body::Rows(rows));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
            Ok(answer)
        }
        Ok(Ok(Begun::Command(done, notices))) => Ok(done_answer(format, &done, &notices)),
        Ok(Err(report)) => Err(report.into()),
        Err(_) => Err(Report::error("XX000", "internal error: the statement ended without an answer")
            .hinted("the server's log says more")
            .into()),
    }
}

fn done_answer(format: Format, done: &Completion, notices: &[Notice]) -> Answer {
    let answer = match format {
        Format::Json | Format::JsonLines => {
            let mut body = json!({ "command": done.tag });
            if let Some(rows) = done.rows {
                body["row_count"] = rows.into();
            }
            if !notices.is_empty() {
                body["notices"] = notices_json(notices);
            }
            reply::json_answer(StatusCode::OK, &body)
        }
        Format::Csv | Format::Arrow => reply::empty(StatusCode::NO_CONTENT),
    };
    reply::with_header(answer, "meridian-command", &done.tag)
}

impl Work {
    async fn run(&mut self, question: Question) -> Result<(), Stopped> {
        // It is no part of what was asked.
        traces::within(None, self.configure(&question)).await?;
        let mut statements = query::split(&question.sql)?;
        let Some(last) = statements.pop() else {
            return Err(Report::error("42601", "there is no statement").hinted("send SQL as the body, or as ?q=").into());
        };
        if !statements.is_empty() && !question.params.is_empty() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Report::error("42601", message).hinted("send one statement where there are params").into());
        }
        for statement in statements {
            self.discard(&statement).await.map_err(|stopped| shifted(stopped, &statement))?;
        }
        self.answer(&last, question.params).await.map_err(|stopped| shifted(stopped, &last))
    }

    /// Makes the settings of the request, as if by SET.
    async fn configure(&self, question: &Question) -> Result<(), Stopped> {
        let limit = self.shared.settings.statement_max.map(|limit| ("statement_timeout", limit.as_millis().to_string()));
        let asked = question.settings.iter().map(|(name, value)| (*name, value.clone()));
        for (name, value) in limit.into_iter().chain(asked) {
            let set = format!("SET {name} = '{}'", value.replace('\'', "''"));
            self.session.prepare(&set, &[]).await?.execute(Vec::new()).await?;
        }
        // What was set is no news to whoever asked for it.
        let _told = (self.session.take_changes(), self.session.take_notices());
        Ok(())
    }

    async fn prepare(&self, statement: &StatementText) -> Result<Prepared, Stopped> {
        add(&self.shared.counters.other_statements, 1);
        let prepared = match self.session.prepare_point(&statement.text) {
            Some(prepared) => prepared,
            None => self.session.prepare(&statement.text, &[]).await?,
        };
        if self.read_only && matches!(prepared.class(), StatementClass::Write | StatementClass::CopyIn) {
            return Err(Report::error("25006", "what is asked by GET changes nothing").hinted("send it by POST").into());
        }
        Ok(prepared)
    }

    /// Runs a statement whose answer is not asked for.
    async fn discard(&self, statement: &StatementText) -> Result<(), Stopped> {
        let prepared = self.prepare(statement).await?;
        match prepared.execute(Vec::new()).await? {
            Outcome::Rows(mut rows) => {
                while let Some(batch) = rows.batches.next().await {
                    batch?;
                }
            }
            Outcome::Command(_) => {}
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => return Err(no_copy().into()),
        }
        Ok(())
    }

    /// Runs the statement whose answer is the request's.
    async fn answer(&mut self, statement: &StatementText, params: Vec<Option<String>>) -> Result<(), Stopped> {
        let started = tokio::time::Instant::now();
        let prepared = self.prepare(statement).await?;
        let values = self.values(&prepared, params)?;
        let outcome = prepared.execute(values).await?;
        // Rows end no block, so it is known before the first of them.
        if self.session.block() != Block::Idle {
            let message = "the request would leave its transaction block open: nothing of the block was done";
            return Err(Report::error("25001", message).hinted("end it with COMMIT in the same body").into());
        }
        match outcome {
            Outcome::Rows(rows) => self.send(rows).await?,
            Outcome::Command(done) => self.begin(Begun::Command(done, self.session.take_notices())),
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => return Err(no_copy().into()),
        }
        let took = started.elapsed();
        if self.shared.settings.slow_statement.is_some_and(|limit: Duration| took >= limit) {
            // As it may be shown: a statement about roles without its passwords.
            let plan = prepared.slow_plan();
            let text: String = prepared.sql().chars().take(500).collect();
            let (session, trace_id) = (self.session.id(), prepared.trace_id().map(tracing::field::display));
            tracing::warn!(session, ms = took.as_millis() as u64, statement = %text, plan, trace_id, "slow statement");
        }
        Ok(())
    }

    /// Parameters as the types that the statement has them in.
    fn values(&self, prepared: &Prepared, params: Vec<Option<String>>) -> Result<Vec<ScalarValue>, Stopped> {
        let types = prepared.parameters();
        if params.len() != types.len() {
            let message = format!("{} params were given, but the statement has {}", params.len(), types.len());
            return Err(Report::error("08P01", message).into());
        }
        let value = |(number, (param, wanted)): (usize, (Option<String>, _))| match param {
            Some(text) => self.session.parse_text(wanted, &text).map_err(|error| {
                let report = report_of(&error);
                Report { detail: report.detail.or_else(|| Some(format!("in parameter ${}", number + 1))), ..report }
            }),
            None => ScalarValue::try_from(wanted).map_err(|cause| Report::error("42P18", cause.to_string())),
        };
        let values: Result<_, Report> = params.into_iter().zip(types).enumerate().map(value).collect();
        Ok(values?)
    }

    async fn send(&mut self, mut rows: Rows) -> Result<(), Stopped> {
        let mut out = Vec::new();
        let mut encoder = Encoder::begin(self.format, &rows.schema, self.session.time_zone(), &mut out)?;
        // The first rows, or why there are none, come before the status.
        let mut next = rows.batches.next().await.transpose()?;
        let first = match &next {
            Some(batch) => {
                encoder.take(batch)?;
                encoder.write(&mut out)?
            }
            None => false,
        };
        self.begin(Begun::Rows);
        let sent = async {
            let mut left = first;
            while next.is_some() {
                while left {
                    self.say(Piece::Data(std::mem::take(&mut out).into())).await?;
                    left = encoder.write(&mut out)?;
                }
                next = rows.batches.next().await.transpose()?;
                if let Some(batch) = &next {
                    if out.len() >= super::encoder::PIECE_BYTES {
                        self.say(Piece::Data(std::mem::take(&mut out).into())).await?;
                    }
                    encoder.take(batch)?;
                    left = encoder.write(&mut out)?;
                }
            }
            encoder.finish(&rows.tag(encoder.rows()), &self.session.take_notices(), &mut out)?;
            Ok::<_, Stopped>(())
        };
        match sent.await {
            Ok(()) => self.say(Piece::Last(out.into())).await,
            Err(Stopped::Unheard) => Err(Stopped::Unheard),
            Err(Stopped::Failed(report)) => {
                // The statement is over, however long its client takes to hear so.
                drop(rows);
                self.count_failure(&report);
                encoder.fail(&report, &mut out);
                self.pieces.send(Piece::Broken(out.into())).await.map_err(|_| Stopped::Unheard)
            }
        }
    }

    /// Hands a piece on. A client that does not read makes it wait; the session may be cancelled or ended meanwhile.
    async fn say(&self, piece: Piece) -> Result<(), Stopped> {
        let (mut cancels, mut ended) = (self.session.cancels(), self.session.ended());
        tokio::select! {
            biased;
            sent = self.pieces.send(piece) => sent.map_err(|_| Stopped::Unheard),
            _ = ended.wait_for(|ended| *ended) => Err(Stopped::Unheard),
            _ = cancels.changed() => Err(Report::error("57014", "canceling statement due to user request").into()),
        }
    }

    fn begin(&mut self, begun: Begun) {
        if let Some(sender) = self.begun.take() {
            // Whoever no longer listens has given up.
            let _ = sender.send(Ok(begun));
        }
    }

    fn fail(&mut self, report: Report) {
        self.count_failure(&report);
        if let Some(sender) = self.begun.take() {
            let _ = sender.send(Err(report));
        }
    }

    fn count_failure(&self, report: &Report) {
        add(&self.shared.counters.failed_statements, 1);
        // The client's own mistakes are told to the client alone.
        if report.concerns_the_operator() {
            let (session, trace_id) = (self.session.id(), report.trace.as_deref().map(tracing::field::display));
            tracing::error!(session, sqlstate = %report.sqlstate, message = %report.message, trace_id, "statement failed");
        }
    }
}

/// An error's place is told in the whole text.
fn shifted(stopped: Stopped, statement: &StatementText) -> Stopped {
    match stopped {
        Stopped::Failed(report) => {
            let position = report.position.map(|position| position + statement.position);
            Stopped::Failed(Report { position, ..report })
        }
        Stopped::Unheard => Stopped::Unheard,
    }
}

fn no_copy() -> Report {
    Report::error("0A000", "COPY is not spoken over HTTP")
        .hinted("ask a query for Accept: text/csv; write by POST /write, by INSERT, or by COPY through the PostgreSQL door")
}
