//! A prepared statement: what it is, what it needs, and running it.
//!
//! Promises: everything that can be refused without its parameters is refused when it is prepared;
//! `execute` may be called many times and from several tasks; what is dropped is cancelled.

use crate::cursors::{Declare, Fetch};
use crate::error::{Error, raise};
use crate::limits::paced;
use crate::maintaining::Maintenance;
use crate::named::{self, Execute};
use crate::outcome::{Completion, Outcome, Rows, StatementClass};
use crate::planning::Size;
use crate::point::{PointAnswer, PointPlan, RowSink};
use crate::query::{QueryPlan, converted};
use crate::running::{Ongoing, Slow, cancelled, timed_out};
use crate::session::Session;
use crate::slow::{self, Ran};
use crate::spoken::{self, Spoken};
use crate::traced::{self, Kept, Traced, failure};
use crate::utility::Command;
use crate::write::WritePlan;
use crate::{access, copy_in, copy_out, guard, point, statements, utility, write};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use futures::stream::{AbortRegistration, Abortable};
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use traces::{Context, Kind, Span, TraceId};

/// What a statement was found to be.
#[derive(Clone)]
pub(crate) enum Work {
    Empty,
    Point(PointPlan, Arc<Tree>),
    Query(Arc<QueryPlan>),
    Write(Arc<WritePlan>),
    CopyIn(Arc<copy_in::Request>),
    CopyOut(Arc<copy_out::Request>),
    Session(Arc<Command>),
    Declare(Arc<Declare>),
    Fetch(Arc<Fetch>),
    Execute(Arc<Execute>),
    /// CHECKPOINT and its like.
    Maintain(Maintenance),
    /// Roles, GRANT and REVOKE.
    Roles(Arc<access::parse::Statement>),
}

/// What was planned of a statement. It knows no session, so that a session may keep it.
pub(crate) struct Planned {
    pub sql: Arc<str>,
    pub work: Work,
    pub parameters: Arc<[DataType]>,
    /// The trace that a comment of its text names.
    pub trace: Option<Context>,
}

/// A prepared statement. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    session: Arc<Session>,
    planned: Arc<Planned>,
    kept: Arc<Kept>,
}

pub(crate) async fn plan(session: &Arc<Session>, sql: &Arc<str>, types: &[Option<DataType>]) -> Result<Planned, Error> {
    let trace = Context::in_comment(sql);
    let made = |work, parameters: Vec<DataType>| Planned { sql: Arc::clone(sql), work, parameters: parameters.into(), trace };
    let parsing = traces::child("parse", Kind::Internal);
    if let Some(spoken) = spoken::recognise(sql)? {
        drop(parsing);
        session.admit()?;
        let (work, parameters) = Box::pin(of_spoken(session, spoken, types)).await?;
        return Ok(made(work, parameters));
    }
    let Some(mut tree) = statements::parse(sql)? else { return Ok(made(Work::Empty, Vec::new())) };
    if let Some(command) = utility::recognise(&tree)? {
        return Ok(made(Work::Session(Arc::new(command)), Vec::new()));
    }
    drop(parsing);
    let _planning = traces::child("plan", Kind::Internal);
    session.admit()?;
    named::spelled_out(session, &mut tree)?;
    guard::check(&tree, sql)?;
    if let Some((plan, parameters)) = point::recognise(session, &tree, types) {
        return Ok(made(Work::Point(plan, Arc::new(tree)), parameters));
    }
    match &tree {
        Tree::Insert(_) | Tree::Update(_) | Tree::Delete(_) => {
            let (plan, parameters) = write::plan(session, tree, types, sql).await?;
            Ok(made(Work::Write(Arc::new(plan)), parameters))
        }
        Tree::Copy { to: false, .. } => Ok(made(Work::CopyIn(Arc::new(copy_in::Request::of(&tree, sql)?)), Vec::new())),
        Tree::Copy { .. } => {
            let request = copy_out::Request::of(session, &tree, sql).await?;
            Ok(made(Work::CopyOut(Arc::new(request)), Vec::new()))
        }
        _ => {
            let (plan, parameters) = QueryPlan::of(session, tree, types, sql).await?;
            Ok(made(Work::Query(Arc::new(plan)), parameters))
        }
    }
}

/// Longer texts, or with more brackets, may take a while and a deep stack to parse.
const AT_ONCE_BYTES: usize = 512;
const AT_ONCE_BRACKETS: usize = 16;

/// A point statement without parameters, prepared here and now. None where it is anything else, or wrong: `Session::prepare` says so.
pub(crate) fn point_at_once(session: &Arc<Session>, sql: &str) -> Option<Prepared> {
    let brackets = || sql.bytes().filter(|byte| *byte == b'(').count();
    // Whatever is written otherwise takes the usual way, and is not parsed twice.
    let may_be = sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")) && sql.contains("tag");
    if !may_be || sql.len() > AT_ONCE_BYTES || brackets() > AT_ONCE_BRACKETS {
        return None;
    }
    let tree = statements::parse(sql).ok()??;
    session.admit().ok()?;
    guard::check(&tree, sql).ok()?;
    let (plan, parameters) = point::recognise(session, &tree, &[])?;
    let (trace, work) = (Context::in_comment(sql), Work::Point(plan, Arc::new(tree)));
    let mut span = traced::begin(session, trace.or_else(|| session.trace()), sql);
    span.iter_mut().for_each(Span::rest);
    let planned = Planned { sql: sql.into(), work, parameters: parameters.into(), trace };
    Some(Prepared::of(session, &Arc::new(planned), span))
}

/// What is planned of a cursor or a named statement. The places of errors inside are those in the whole text.
async fn of_spoken(session: &Arc<Session>, spoken: Spoken, types: &[Option<DataType>]) -> Result<(Work, Vec<DataType>), Error> {
    let command = |command| (Work::Session(Arc::new(command)), Vec::new());
    Ok(match spoken {
        Spoken::Declare { name, binary, scroll, hold, query } => {
            let planned = plan(session, &query.text.into(), types).await.map_err(|error| error.shifted(query.position))?;
            if !planned.is_query() {
                return Err(raise(Error::Syntax, "a cursor is declared for a query").at(Some(query.position + 1)));
            }
            let parameters = planned.parameters.to_vec();
            (Work::Declare(Arc::new(Declare { name, binary, scroll, hold, query: Arc::new(planned) })), parameters)
        }
        Spoken::Fetch { name, step, moves } => (Work::Fetch(Arc::new(Fetch { name, step, moves })), Vec::new()),
        Spoken::Close(name) => command(Command::Close(name)),
        Spoken::Deallocate(name) => command(Command::Deallocate(name)),
        Spoken::Prepare { name, types, statement } => {
            let types = named::types_of(session, types).await?;
            let planned =
                plan(session, &statement.text.into(), &types).await.map_err(|error| error.shifted(statement.position))?;
            if !planned.is_query() && !matches!(planned.work, Work::Write(_)) {
                return Err(raise(Error::Syntax, "only a query, INSERT, UPDATE or DELETE can be prepared")
                    .at(Some(statement.position + 1)));
            }
            command(Command::Prepare(name, Arc::new(planned)))
        }
        Spoken::Maintain(maintenance) => (Work::Maintain(maintenance), Vec::new()),
        Spoken::Execute { name, arguments } => (Work::Execute(Arc::new(Execute::of(name, arguments)?)), Vec::new()),
    })
}

impl Planned {
    fn is_query(&self) -> bool {
        match &self.work {
            Work::Point(..) => true,
            Work::Query(plan) => plan.command == "SELECT",
            _ => false,
        }
    }

    /// The columns of its rows, where they are its own.
    pub(crate) fn columns(&self) -> Option<SchemaRef> {
        match &self.work {
            Work::Point(plan, _) => Some(Arc::clone(plan.schema())),
            Work::Query(plan) => Some(Arc::clone(&plan.schema)),
            Work::Session(command) => command.schema(),
            _ => None,
        }
    }

    pub(crate) fn is_execute(&self) -> bool {
        matches!(self.work, Work::Execute(_))
    }

    fn class(&self, session: &Session) -> StatementClass {
        match &self.work {
            Work::Empty => StatementClass::Empty,
            Work::Point(..) | Work::Query(_) => StatementClass::Read,
            Work::Fetch(fetch) if !fetch.moves => StatementClass::Read,
            Work::Write(_) | Work::Maintain(_) => StatementClass::Write,
            Work::Roles(statement) if statement.is_of_session() => StatementClass::Session,
            Work::Roles(_) => StatementClass::Write,
            Work::CopyIn(_) => StatementClass::CopyIn,
            Work::CopyOut(_) => StatementClass::CopyOut,
            Work::Session(_) | Work::Declare(_) | Work::Fetch(_) => StatementClass::Session,
            Work::Execute(execute) => execute.find(session).map_or(StatementClass::Session, |inner| inner.class(session)),
        }
    }

    /// The columns of its rows; of FETCH and EXECUTE as things stand now.
    pub(crate) fn schema(&self, session: &Session) -> Option<SchemaRef> {
        match &self.work {
            Work::Fetch(fetch) => fetch.schema(session),
            Work::Execute(execute) => execute.find(session).ok()?.schema(session),
            _ => self.columns(),
        }
    }
}

/// A statement about roles; None where it is of another sort. It is looked for before anything else is done with a text: one of
/// these may hold a password, so no register or log may see it but as it is shown here.
pub(crate) fn of_roles(session: &Arc<Session>, sql: &str) -> Result<Option<Prepared>, Error> {
    let Some((statement, shown)) = access::parse::recognise(sql)? else { return Ok(None) };
    session.admit()?;
    let planned = Planned { sql: shown.into(), work: Work::Roles(Arc::new(statement)), parameters: Arc::new([]), trace: None };
    Ok(Some(Prepared::of(session, &Arc::new(planned), None)))
}

impl Prepared {
    /// `first` is the span of its preparation, which its first run goes on with.
    pub(crate) fn of(session: &Arc<Session>, planned: &Arc<Planned>, first: Option<Span>) -> Prepared {
        Prepared { session: Arc::clone(session), planned: Arc::clone(planned), kept: Kept::of(first) }
    }

    /// The trace that its last run was a part of.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        self.kept.last()
    }

    /// A run of it on the point path, until it is dropped, where that is recorded. `given` is what its session or its call names.
    #[must_use]
    pub fn trace_point(&self, given: Option<Context>) -> Option<Span> {
        self.kept.point(&self.session, self.planned.trace.or(given), &self.planned.sql)
    }

    /// The plan of its last run, where that took longer than `EngineSettings::slow_statement`: told once, in one line. None where it
    /// had none.
    #[must_use]
    pub fn slow_plan(&self) -> Option<String> {
        self.kept.take_slow()
    }

    fn begun(&self, given: Option<Context>) -> (Option<Span>, Option<Context>) {
        self.kept.run(&self.session, self.planned.trace.or(given), &self.planned.sql)
    }

    pub(crate) fn planned(&self) -> &Arc<Planned> {
        &self.planned
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.planned.sql
    }

    /// What kind of statement it is.
    #[must_use]
    pub fn class(&self) -> StatementClass {
        self.planned.class(&self.session)
    }

    /// The types of its parameters, from $1 on.
    #[must_use]
    pub fn parameters(&self) -> &[DataType] {
        &self.planned.parameters
    }

    /// The columns of its rows; None where it gives none.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.planned.schema(&self.session)
    }

    /// Whether `schema` is that of something else that has a name, and may be another one the next time.
    #[must_use]
    pub fn stands_for_another(&self) -> bool {
        matches!(self.planned.work, Work::Fetch(_) | Work::Execute(_))
    }

    /// Whether its rows are sent in binary where the protocol says nothing: FETCH from a cursor that was declared BINARY.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        matches!(&self.planned.work, Work::Fetch(fetch) if fetch.is_binary(&self.session))
    }

    /// Of which cursor or portal, and how many rows, where it is a MOVE that goes on: over a portal of the wire that is its door's to do.
    #[must_use]
    pub fn moves_on(&self) -> Option<(&str, u64)> {
        if let Work::Fetch(fetch) = &self.planned.work { fetch.moves_on() } else { None }
    }

    /// Its point plan, where it is one that may be answered at once: run that instead of `execute` and nothing is waited for. In a
    /// fleet there is always somebody to wait for.
    #[must_use]
    pub fn point(&self) -> Option<&PointPlan> {
        match &self.planned.work {
            Work::Point(plan, _) if self.session.engine.local.is_some() && plan.is_at_once() => Some(plan),
            _ => None,
        }
    }

    /// Whether it is answered without a plan, as far as that depends on its text.
    #[must_use]
    pub fn needs_no_plan(&self) -> bool {
        matches!(self.planned.work, Work::Point(..))
    }

    /// Says that it was answered by its point plan, for whoever looks at what the session does.
    pub fn note_point(&self) {
        self.session.activity.note(&self.planned.sql, self.session.engine.settings.clock.wall_us());
    }

    /// Whether it is a point question whose answer lies at other nodes: `answer` puts its rows straight into a sink.
    #[must_use]
    pub fn asks_far(&self) -> bool {
        matches!(self.planned.work, Work::Point(..)) && self.session.engine.local.is_none()
    }

    /// Answers a point question whose answer lies at other nodes (`asks_far`); `params` are of the types of `parameters()`.
    /// `PointAnswer::TooLong` (also where its block has to be seen): nothing went to the sink, run `execute`.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn answer(&self, params: &[ScalarValue], sink: &mut (impl RowSink + Send)) -> Result<PointAnswer, Error> {
        let Work::Point(plan, _) = &self.planned.work else { return Ok(PointAnswer::TooLong) };
        let work = async {
            self.session.admit()?;
            if !self.session.holds_nothing() {
                return Ok(PointAnswer::TooLong);
            }
            self.session.engine.readable().await?;
            let answer = plan.answer_far(params, &self.session.asker(), sink).await?;
            if let PointAnswer::Done(rows) = answer {
                self.session.pace_read(rows).await;
            }
            Ok(answer)
        };
        let (mut span, trace) = self.begun(self.session.trace());
        let answered = self.session.supervised(&self.planned.sql, trace, traces::within(trace, work)).await;
        if let (Some(span), Err(error)) = (&mut span, &answered) {
            span.fail(failure(error));
        }
        answered.map(|(answer, ..)| answer)
    }

    /// Runs it. `params` are in order of $1, and of the types of `parameters()`, or NULL, or text
    /// (which is then read as the type).
    ///
    /// # Errors
    /// Whatever went wrong; the transaction block, if any, has then failed. Errors of a row stream
    /// come out of the stream.
    pub async fn execute(&self, params: Vec<ScalarValue>) -> Result<Outcome, Error> {
        let mut traced = Traced::begin(self.begun(self.session.trace()));
        let ran = Ran::default();
        let work = slow::noting(&ran, traces::within(traced.context, Box::pin(self.run(params))));
        match self.session.supervised(&self.planned.sql, traced.context, work).await {
            Ok((outcome, mut ongoing, limit_ms)) => {
                ongoing.hold(traced);
                let after = self.session.engine.settings.slow_statement;
                let after_us = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
                ongoing.tell(after_us.map(|after_us| Slow { after_us, ran, kept: Arc::clone(&self.kept) }));
                Ok(self.watched(outcome, ongoing, limit_ms))
            }
            Err(error) => {
                traced.fail(&error);
                Err(error)
            }
        }
    }

    pub(crate) async fn run(&self, params: Vec<ScalarValue>) -> Result<Outcome, Error> {
        if params.len() != self.planned.parameters.len() {
            let (given, wanted) = (params.len(), self.planned.parameters.len());
            return Err(raise(Error::ParameterCount, format!("{given} parameters were given, but the statement has {wanted}")));
        }
        let (types, sql, work) = (&self.planned.parameters, &self.planned.sql, &self.planned.work);
        // Statements of the session ask by themselves.
        if !matches!(work, Work::Session(_)) {
            self.session.admit()?;
        }
        if !matches!(work, Work::Session(_) | Work::Roles(_)) {
            self.session.engine.readable().await?;
        }
        match work {
            Work::Empty => Ok(Outcome::Command(Completion::plain(""))),
            Work::Point(plan, tree) => self.run_point(plan, tree, params).await.map(Outcome::Rows),
            Work::Query(plan) => plan.run(&self.session, params, types, sql).await.map(Outcome::Rows),
            Work::Write(plan) => write::run(&self.session, plan, params, types, sql).await.map(Outcome::Command),
            Work::CopyIn(request) => request.begin(&self.session).map(|copy| Outcome::CopyIn(Box::new(copy))),
            Work::CopyOut(request) => request.begin(&self.session, sql).await.map(|copy| Outcome::CopyOut(Box::new(copy))),
            Work::Session(command) => command.run(&self.session, sql).await,
            Work::Roles(statement) => access::run(&self.session, statement, sql).await,
            Work::Declare(declare) => declare.run(&self.session, params, sql).await,
            Work::Fetch(fetch) => fetch.run(&self.session).await,
            Work::Execute(execute) => execute.run(&self.session, sql).await,
            Work::Maintain(maintenance) => maintenance.run(&self.session).await,
        }
    }

    /// A point question asked as a query: at one go where it is short, else, or where its block has to be seen, through a plan.
    async fn run_point(&self, plan: &PointPlan, tree: &Tree, params: Vec<ScalarValue>) -> Result<Rows, Error> {
        let params = converted(params, &self.planned.parameters)?;
        let rows = if !self.session.holds_nothing() {
            None
        } else if self.session.engine.local.is_some() {
            match plan.collect(&params)? {
                None => plan.stream(&self.session, &params, &self.planned.sql)?,
                rows => rows,
            }
        } else {
            plan.collect_far(&params, &self.session.asker()).await?
        };
        if let Some(rows) = rows {
            return Ok(rows);
        }
        let types: Vec<_> = self.planned.parameters.iter().cloned().map(Some).collect();
        let (session, sql, tree) = (Arc::clone(&self.session), Arc::clone(&self.planned.sql), tree.clone());
        let plan = async move { QueryPlan::of(&session, tree, &types, &sql).await };
        let sql = &self.planned.sql;
        let (query, _) = self.session.engine.planners.run(Size::of(sql), plan.boxed()).await?;
        query.run(&self.session, params, &self.planned.parameters, sql).await
    }

    /// Keeps the statement in the register, and open to cancelling, until its stream ends.
    fn watched(&self, outcome: Outcome, ongoing: Ongoing, limit_ms: u64) -> Outcome {
        match outcome {
            Outcome::Rows(mut rows) => {
                rows.batches = self.guarded(paced(&self.session, rows.batches), ongoing, limit_ms).boxed();
                Outcome::Rows(rows)
            }
            Outcome::CopyOut(mut copy) => {
                let empty = futures::stream::empty().boxed();
                let chunks = std::mem::replace(&mut copy.chunks, empty);
                copy.chunks = self.guarded(chunks, ongoing, limit_ms).boxed();
                Outcome::CopyOut(copy)
            }
            Outcome::CopyIn(mut copy) => {
                copy.ongoing = Some(ongoing);
                Outcome::CopyIn(copy)
            }
            Outcome::Command(_) => outcome,
        }
    }

    /// A stream that ends with 57014 when its statement is cancelled or takes too long.
    fn guarded<T: Send + 'static>(
        &self,
        stream: futures::stream::BoxStream<'static, Result<T, Error>>,
        mut ongoing: Ongoing,
        limit_ms: u64,
    ) -> impl futures::Stream<Item = Result<T, Error>> + Send + 'static {
        let session = Arc::clone(&self.session);
        let registration: AbortRegistration = ongoing.renew();
        let deadline = (limit_ms > 0).then(|| Box::pin(tokio::time::sleep(std::time::Duration::from_millis(limit_ms))));
        let state = (Some(Abortable::new(stream, registration)), ongoing, session, deadline);
        futures::stream::unfold(state, |(running, mut ongoing, session, mut deadline)| async move {
            let mut stream = running?;
            let next = traces::within(ongoing.trace(), stream.next());
            let item = match &mut deadline {
                None => next.await,
                Some(deadline) => tokio::select! {
                    biased;
                    () = deadline => Some(Err(timed_out())),
                    item = next => item,
                },
            };
            let item = match item {
                None if ongoing.is_cancelled() => Err(cancelled()),
                None => return None,
                Some(item) => item,
            };
            let item = item.map_err(|error| ongoing.failed(error));
            if item.is_err() {
                session.fail();
            }
            // What failed holds nothing any longer, however long its end is not asked for.
            let running = item.is_ok().then_some(stream);
            Some((item, (running, ongoing, session, deadline)))
        })
    }
}
