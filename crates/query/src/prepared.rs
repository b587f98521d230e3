//! A prepared statement: what it is, what it needs, and running it.
//!
//! Promises: everything that can be refused without its parameters is refused when it is prepared;
//! `execute` may be called many times and from several tasks; what is dropped is cancelled.

use crate::error::{Error, raise};
use crate::ingest::wait;
use crate::outcome::{Completion, Outcome, Rows, StatementClass};
use crate::planning::Size;
use crate::point::{PointAnswer, PointPlan, RowSink};
use crate::query::{QueryPlan, converted};
use crate::running::{Ongoing, cancelled, timed_out};
use crate::session::Session;
use crate::utility::Command;
use crate::write::WritePlan;
use crate::{access, copy_in, copy_out, guard, point, statements, utility, write};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use futures::stream::{AbortRegistration, Abortable};
use futures::{FutureExt, StreamExt};
use std::sync::Arc;

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
    /// CHECKPOINT: buffers go to files.
    Checkpoint,
    /// Roles, GRANT and REVOKE.
    Roles(Arc<access::parse::Statement>),
}

/// A prepared statement. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    session: Arc<Session>,
    sql: Arc<str>,
    work: Work,
    parameters: Arc<[DataType]>,
}

pub(crate) async fn prepare(session: &Arc<Session>, sql: &Arc<str>, types: &[Option<DataType>]) -> Result<Prepared, Error> {
    let made = |work, parameters: Vec<DataType>| Prepared {
        session: Arc::clone(session),
        sql: Arc::clone(sql),
        work,
        parameters: parameters.into(),
    };
    if statements::is_checkpoint(sql) {
        session.admit()?;
        return Ok(made(Work::Checkpoint, Vec::new()));
    }
    let Some(tree) = statements::parse(sql)? else { return Ok(made(Work::Empty, Vec::new())) };
    if let Some(command) = utility::recognise(&tree)? {
        return Ok(made(Work::Session(Arc::new(command)), Vec::new()));
    }
    session.admit()?;
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

/// A statement about roles; None where it is of another sort. It is looked for before anything else is done with a text: one of
/// these may hold a password, so no register or log may see it but as it is shown here.
pub(crate) fn of_roles(session: &Arc<Session>, sql: &str) -> Result<Option<Prepared>, Error> {
    let Some((statement, shown)) = access::parse::recognise(sql)? else { return Ok(None) };
    session.admit()?;
    let work = Work::Roles(Arc::new(statement));
    Ok(Some(Prepared { session: Arc::clone(session), sql: shown.into(), work, parameters: Arc::new([]) }))
}

impl Prepared {
    /// Its text.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What kind of statement it is.
    #[must_use]
    pub fn class(&self) -> StatementClass {
        match &self.work {
            Work::Empty => StatementClass::Empty,
            Work::Point(..) | Work::Query(_) => StatementClass::Read,
            Work::Write(_) | Work::Checkpoint => StatementClass::Write,
            Work::Roles(statement) if statement.is_of_session() => StatementClass::Session,
            Work::Roles(_) => StatementClass::Write,
            Work::CopyIn(_) => StatementClass::CopyIn,
            Work::CopyOut(_) => StatementClass::CopyOut,
            Work::Session(_) => StatementClass::Session,
        }
    }

    /// The types of its parameters, from $1 on.
    #[must_use]
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// The columns of its rows; None where it gives none.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        match &self.work {
            Work::Point(plan, _) => Some(Arc::clone(plan.schema())),
            Work::Query(plan) => Some(Arc::clone(&plan.schema)),
            Work::Session(command) => command.schema(),
            Work::Empty | Work::Write(_) | Work::CopyIn(_) | Work::CopyOut(_) | Work::Checkpoint | Work::Roles(_) => None,
        }
    }

    /// Its point plan, where it is one: run that instead of `execute` and nothing is waited for. In a fleet there is
    /// always somebody to wait for.
    #[must_use]
    pub fn point(&self) -> Option<&PointPlan> {
        match &self.work {
            Work::Point(plan, _) if self.session.engine.local.is_some() => Some(plan),
            _ => None,
        }
    }

    /// Whether it is a point question whose answer lies at other nodes: `answer` puts its rows straight into a sink.
    #[must_use]
    pub fn asks_far(&self) -> bool {
        matches!(self.work, Work::Point(..)) && self.session.engine.local.is_none()
    }

    /// Answers a point question whose answer lies at other nodes (`asks_far`); `params` are of the types of `parameters()`.
    /// `PointAnswer::TooLong`: nothing went to the sink, run `execute`.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn answer(&self, params: &[ScalarValue], sink: &mut (impl RowSink + Send)) -> Result<PointAnswer, Error> {
        let Work::Point(plan, _) = &self.work else { return Ok(PointAnswer::TooLong) };
        let work = async {
            self.session.admit()?;
            self.session.engine.readable().await?;
            plan.answer_far(params, &self.session.asker(), sink).await
        };
        self.session.supervised(&self.sql, work).await.map(|(answer, ..)| answer)
    }

    /// Runs it. `params` are in order of $1, and of the types of `parameters()`, or NULL, or text
    /// (which is then read as the type).
    ///
    /// # Errors
    /// Whatever went wrong; the transaction block, if any, has then failed. Errors of a row stream
    /// come out of the stream.
    pub async fn execute(&self, params: Vec<ScalarValue>) -> Result<Outcome, Error> {
        let (outcome, ongoing, limit_ms) = self.session.supervised(&self.sql, self.run(params)).await?;
        Ok(self.watched(outcome, ongoing, limit_ms))
    }

    async fn run(&self, params: Vec<ScalarValue>) -> Result<Outcome, Error> {
        if !matches!(self.work, Work::Session(_)) {
            self.session.admit()?;
        }
        if params.len() != self.parameters.len() {
            let (given, wanted) = (params.len(), self.parameters.len());
            return Err(raise(Error::ParameterCount, format!("{given} parameters were given, but the statement has {wanted}")));
        }
        if !matches!(self.work, Work::Roles(_)) {
            self.session.engine.readable().await?;
        }
        match &self.work {
            Work::Empty => Ok(Outcome::Command(Completion::plain(""))),
            Work::Point(plan, tree) => self.run_point(plan, tree, params).await.map(Outcome::Rows),
            Work::Query(plan) => plan.run(&self.session, params, &self.parameters, &self.sql).await.map(Outcome::Rows),
            Work::Write(plan) => write::run(&self.session, plan, params, &self.parameters, &self.sql).await.map(Outcome::Command),
            Work::CopyIn(request) => request.begin(&self.session).map(|copy| Outcome::CopyIn(Box::new(copy))),
            Work::CopyOut(request) => request.begin(&self.session, &self.sql).await.map(|copy| Outcome::CopyOut(Box::new(copy))),
            Work::Session(command) => command.run(&self.session),
            Work::Roles(statement) => access::run(&self.session, statement).await,
            Work::Checkpoint => {
                let rights = self.session.access.rights();
                if !rights.checkpoints {
                    rights.alive().and_then(|()| rights.admit_acting("CHECKPOINT"))?;
                }
                wait(self.session.engine.store.flush()).await?;
                Ok(Outcome::Command(Completion::plain("CHECKPOINT")))
            }
        }
    }

    /// A point question asked as a query: at one go where it is short, else through a plan.
    async fn run_point(&self, plan: &PointPlan, tree: &Tree, params: Vec<ScalarValue>) -> Result<Rows, Error> {
        let params = converted(params, &self.parameters)?;
        let rows = if self.session.engine.local.is_some() {
            plan.collect(&params)?
        } else {
            plan.collect_far(&params, &self.session.asker()).await?
        };
        if let Some(rows) = rows {
            return Ok(rows);
        }
        let types: Vec<_> = self.parameters.iter().cloned().map(Some).collect();
        let (session, sql, tree) = (Arc::clone(&self.session), Arc::clone(&self.sql), tree.clone());
        let plan = async move { QueryPlan::of(&session, tree, &types, &sql).await };
        let (query, _) = self.session.engine.planners.run(Size::of(&self.sql), plan.boxed()).await?;
        query.run(&self.session, params, &self.parameters, &self.sql).await
    }

    /// Keeps the statement in the register, and open to cancelling, until its stream ends.
    fn watched(&self, outcome: Outcome, ongoing: Ongoing, limit_ms: u64) -> Outcome {
        match outcome {
            Outcome::Rows(mut rows) => {
                rows.batches = self.guarded(rows.batches, ongoing, limit_ms).boxed();
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
        futures::stream::unfold(state, |(running, ongoing, session, mut deadline)| async move {
            let mut stream = running?;
            let item = match &mut deadline {
                None => stream.next().await,
                Some(deadline) => tokio::select! {
                    biased;
                    () = deadline => Some(Err(timed_out())),
                    item = stream.next() => item,
                },
            };
            let item = match item {
                None if ongoing.is_cancelled() => Err(cancelled()),
                None => return None,
                Some(item) => item,
            };
            if item.is_err() {
                session.fail();
            }
            // What failed holds nothing any longer, however long its end is not asked for.
            let running = item.is_ok().then_some(stream);
            Some((item, (running, ongoing, session, deadline)))
        })
    }
}
