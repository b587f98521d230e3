//! Removing what policies and the setting `retention` let go: by whoever leads the tag table, once a minute or so, and what a policy
//! does by `meridian_retention` anywhere.
//!
//! ```text
//!   which tags, up to when (due) ──> how many rows of each are there ──> the policy's record takes note ──> the range is deleted
//! ```
//! The record is replaced only while no policy was made, changed or dropped since the run began, asked where policies are kept: so a
//! change that was answered before is heeded, also one that this scheduler has not heard of yet. A crash between the note and the
//! deletion leaves rows that the next run finds again; they are then counted twice, and none is left behind.
//! Promises: one run at a time in a process; two in two processes remove the same. A run that fails is tried again.

use super::Keep;
use super::due::{BySetting, Due, by_setting, due};
use super::policy::{Done, Policy, Rule};
use crate::access::condition::TagCondition;
use crate::access::{Roles, Roster};
use crate::audit::AUDIT;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::functions::MIN;
use crate::query::stream;
use crate::scan::Sort;
use crate::schema::time_type;
use crate::session::{Session, SessionSettings};
use crate::tables::series::SeriesTable;
use crate::time::{Zone, format};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit};
use futures::StreamExt;
use kernel::{Deletion, TagSelection};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use types::{Kinds, TagId, TimeRange, Timestamp};

/// Tags that are asked about, and deleted of, at once.
const TAGS_AT_ONCE: usize = 50_000;
/// Runs that take long are followed by so many times as long without one.
const PAUSE_PER_RUN: u32 = 50;
/// The name of a policy that is only tried: no other has it.
const TRIED: &str = "";

/// What a process keeps of its runs.
#[derive(Default)]
pub(crate) struct Runner {
    alone: tokio::sync::Mutex<()>,
    /// The period of file groups; 0 = not known yet.
    period_us: AtomicI64,
}

/// What a policy removed, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub tags: u64,
    pub rows: u64,
    pub oldest_us: Option<i64>,
    /// All of it is older than this.
    pub before_us: i64,
}

fn moment(us: i64) -> String {
    let mut out = String::new();
    format(us, Zone::Utc, &mut out);
    out
}

impl Removed {
    /// In words: what was done with it.
    pub(crate) fn told(&self, done: &str) -> String {
        let before = moment(self.before_us);
        match self.oldest_us.map(moment) {
            None => format!("nothing is there from before {before}"),
            Some(oldest) => {
                format!("{} rows of {} tags {done}, the oldest of {oldest}, all from before {before}", self.rows, self.tags)
            }
        }
    }
}

/// Runs policies from time to time, for as long as it is polled.
pub async fn keep_retention(engine: Arc<Engine>, every: Duration) {
    let (mut pause, mut before) = (every, Duration::ZERO);
    loop {
        tokio::time::sleep(pause).await;
        pause = every;
        if engine.tags.leads() {
            let (took, done) = run_all(&engine).await;
            if let Err(error) = done {
                tracing::warn!(%error, state = error.sqlstate(), detail = error.report().detail, "retention policies are run again later");
            }
            // Of two in a row the quicker one tells how much work it is: one may have waited until slices are led.
            pause = every.max(took.min(before).saturating_mul(PAUSE_PER_RUN));
            before = took;
        }
    }
}

/// Runs all policies now; one that fails keeps no other from being run.
///
/// # Errors
/// Why something may be left that is to go; `Error::Stale` where policies were changed meanwhile.
pub async fn run_retention(engine: &Arc<Engine>) -> Result<(), Error> {
    run_all(engine).await.1
}

/// The same, and how long it was at work: without the time that data nodes took to tell of themselves, which may just be starting.
async fn run_all(engine: &Arc<Engine>) -> (Duration, Result<(), Error>) {
    let run = match Run::begin(engine).await {
        Ok(run) => run,
        Err(error) => return (Duration::ZERO, Err(error)),
    };
    let begun_us = engine.settings.clock.monotonic_us();
    let done = run.all().await;
    (Duration::from_micros(engine.settings.clock.monotonic_us().saturating_sub(begun_us)), done)
}

/// Runs the policy of that name, or only says what it would remove.
pub(crate) async fn run_one(engine: &Arc<Engine>, name: &str, dry: bool) -> Result<Removed, Error> {
    let run = Run::begin(engine).await?;
    let due = run.due(run.roster.policies()).await?;
    match due.iter().find(|due| &*due.policy == name) {
        Some(due) => run.remove(due, dry).await,
        None => Err(super::statement::no_policy(name)),
    }
}

/// What a policy would remove if it were made now, beside those that there are.
pub(crate) async fn preview(engine: &Arc<Engine>, tags: &str, keep: Keep) -> Result<Removed, Error> {
    let condition = Arc::new(TagCondition::parse(tags)?);
    let rule = Rule { tags: tags.into(), condition, rows: None, keep, created_us: 0, creator: 0, done: Done::default() };
    let run = Run::begin(engine).await?;
    let mut policies = run.roster.policies().clone();
    policies.insert(TRIED.into(), Arc::new(Policy { name: TRIED.into(), rule: Some(rule), kept: None }));
    let due = run.due(&policies).await?;
    match due.iter().find(|due| &*due.policy == TRIED) {
        Some(due) => run.remove(due, true).await,
        None => Ok(Removed::default()),
    }
}

/// One run: what it was decided by.
struct Run<'a> {
    engine: &'a Arc<Engine>,
    _alone: tokio::sync::MutexGuard<'a, ()>,
    roles: Arc<Roles>,
    roster: Arc<Roster>,
    session: Arc<Session>,
    now_us: i64,
    period_us: i64,
    /// How long samples are kept of which no policy says it; None: for ever.
    setting: Option<Duration>,
}

impl<'a> Run<'a> {
    async fn begin(engine: &'a Arc<Engine>) -> Result<Run<'a>, Error> {
        let alone = engine.retention.alone.lock().await;
        engine.readable().await?;
        let (period_us, setting) = told(engine).await?;
        let roles = engine.roles();
        // Before tags are looked at: what is changed meanwhile ends the run.
        let roster = roles.roster();
        let session = engine.session(SessionSettings { application_name: "retention".to_owned(), ..SessionSettings::default() });
        let now_us = engine.settings.clock.wall_us();
        Ok(Run { engine, _alone: alone, roles, roster, session, now_us, period_us, setting })
    }

    async fn due(&self, policies: &std::collections::BTreeMap<Arc<str>, Arc<Policy>>) -> Result<Vec<Due>, Error> {
        let (catalog, policies) = (Arc::clone(&self.engine.catalog), policies.clone());
        let (now_us, period_us) = (self.now_us, self.period_us);
        apart(move || due(&policies, &catalog, now_us, period_us)).await
    }

    /// Runs all policies, and the setting.
    async fn all(&self) -> Result<(), Error> {
        if self.roster.policies().is_empty() && self.setting.is_none() {
            return Ok(());
        }
        let mut failed = Ok(());
        let policies = self.due(self.roster.policies()).await?;
        for due in &policies {
            match self.remove(due, false).await {
                Ok(_) => {}
                // What was decided no longer holds.
                Err(error @ Error::Stale(_)) => return Err(error),
                Err(error) => failed = Err(error),
            }
        }
        // Behind the policies, so that they count what is theirs.
        match self.setting {
            Some(kept) => self.remove_by_setting(policies, kept).await.and(failed),
            None => failed,
        }
    }

    /// Removes what a policy lets go of, where there is something.
    async fn remove(&self, due: &Due, dry: bool) -> Result<Removed, Error> {
        let before_us = due.last.0.saturating_add(1);
        let mut all = Removed { before_us, ..Removed::default() };
        for tags in due.tags.chunks(TAGS_AT_ONCE) {
            let found = self.found(tags, due.last).await?;
            if found.is_empty() {
                continue;
            }
            let rows: u64 = found.iter().map(|(_, rows, _)| rows).sum();
            if !dry {
                self.note(&due.policy, rows, before_us).await?;
                let tags = TagSelection::of(found.iter().map(|(tag, ..)| *tag).collect());
                let range = TimeRange { first: Timestamp::MIN, last: due.last };
                self.engine.delete(Deletion::Range { tags, range }, &self.session.asker()).wait().await?;
                self.tell(due, rows, found.len());
            }
            all.rows += rows;
            all.tags += found.len() as u64;
            all.oldest_us = found.iter().map(|(.., oldest)| *oldest).chain(all.oldest_us).min();
        }
        Ok(all)
    }

    /// Removes what the setting lets go of, where there is something.
    async fn remove_by_setting(&self, policies: Vec<Due>, kept: Duration) -> Result<(), Error> {
        let (catalog, now_us, period_us) = (Arc::clone(&self.engine.catalog), self.now_us, self.period_us);
        let BySetting { all, rest } = apart(move || Ok(by_setting(&policies, &catalog, kept, now_us, period_us))).await?;
        let mut rows = 0;
        for sort in [Sort::Doubles, Sort::Texts] {
            rows += self.found_of(sort, None, all).await?.iter().map(|(_, rows, _)| rows).sum::<u64>();
        }
        if rows > 0 {
            self.remove_unkept(TagSelection::All, all, rows).await?;
            // In files, it lets whole ones go.
            drop(self.engine.store.flush());
        }
        let Some((tags, last)) = rest else { return Ok(()) };
        for tags in tags.chunks(TAGS_AT_ONCE) {
            let found = self.found(tags, last).await?;
            let rows: u64 = found.iter().map(|(_, rows, _)| rows).sum();
            if rows > 0 {
                let tags = TagSelection::of(found.iter().map(|(tag, ..)| *tag).collect());
                self.remove_unkept(tags, last, rows).await?;
            }
        }
        Ok(())
    }

    /// Removes what no policy keeps, while those stand by which that was found.
    async fn remove_unkept(&self, tags: TagSelection, last: Timestamp, rows: u64) -> Result<(), Error> {
        let (roles, seen) = (Arc::clone(&self.roles), self.roster.head().clone());
        if !apart(move || roles.policies_stand(&seen)).await? {
            return Err(changed());
        }
        let range = TimeRange { first: Timestamp::MIN, last };
        self.engine.delete(Deletion::Range { tags, range }, &self.session.asker()).wait().await?;
        let before = moment(last.0.saturating_add(1));
        tracing::info!(target: AUDIT, event = "retention", setting = true, rows, before);
        tracing::info!(rows, before, "samples that the setting retention does not keep are removed");
        Ok(())
    }

    fn tell(&self, due: &Due, rows: u64, tags: usize) {
        let before = moment(due.last.0.saturating_add(1));
        tracing::info!(target: AUDIT, event = "retention", policy = &*due.policy, rows, tags, before);
        tracing::info!(policy = &*due.policy, rows, tags, before, "samples that a retention policy does not keep are removed");
    }

    /// Which of these tags have rows up to a moment: how many, and of when the oldest is.
    async fn found(&self, tags: &[TagId], last: Timestamp) -> Result<Vec<(TagId, u64, i64)>, Error> {
        let mut found = Vec::new();
        for sort in [Sort::Doubles, Sort::Texts] {
            let holds = |tag: &&TagId| self.engine.catalog.kind(**tag).is_some_and(|kind| sort.holds(kind));
            let of_sort: Arc<[TagId]> = tags.iter().filter(holds).copied().collect();
            if !of_sort.is_empty() {
                found.extend(self.found_of(sort, Some(&of_sort), last).await?);
            }
        }
        Ok(found)
    }

    /// Of all tags of a sort, where none are named.
    async fn found_of(&self, sort: Sort, tags: Option<&Arc<[TagId]>>, last: Timestamp) -> Result<Vec<(TagId, u64, i64)>, Error> {
        let table = SeriesTable { within: tags.map(Arc::clone), ..SeriesTable::new(self.engine, sort) };
        let limit = ScalarValue::Int64(Some(last.0)).cast_to(&time_type())?;
        let plan = LogicalPlanBuilder::scan(sort.name(), provider_as_source(Arc::new(table)), None)?
            .filter(col("time").lt_eq(Expr::Literal(limit, None)))?
            .aggregate(vec![col("tag")], vec![count(lit(1_i64)), MIN.call(vec![col("time")])])?
            .build()?;
        let mut found = Vec::new();
        let mut batches = stream(&self.session, &plan, Vec::new(), &[], "").await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let names = cast(batch.column(0), &DataType::Utf8View)?;
            let names: Vec<&str> = names.as_string_view().iter().flatten().collect();
            let rows = batch.column(1).as_primitive::<Int64Type>();
            let oldest = batch.column(2).as_primitive::<TimestampMicrosecondType>();
            // A tag that was renamed meanwhile is found the next time; one that got the name is taken only where it is due too.
            for (row, tag) in self.engine.catalog.find_many(&names).into_iter().enumerate() {
                found.extend(
                    tag.filter(|tag| tags.is_none_or(|tags| tags.binary_search(tag).is_ok()))
                        .map(|tag| (tag, rows.value(row).unsigned_abs(), oldest.value(row))),
                );
            }
        }
        Ok(found)
    }

    /// Writes down what is about to go.
    async fn note(&self, policy: &Arc<str>, rows: u64, before_us: i64) -> Result<(), Error> {
        let (roles, policy, seen, now_us) =
            (Arc::clone(&self.roles), Arc::clone(policy), self.roster.head().clone(), self.now_us);
        apart(move || {
            roles.change(|roster, change| {
                let found = roster.policies().get(&policy).filter(|_| *roster.head() == seen);
                let mut noted = found.map(|found| Policy::clone(found)).ok_or_else(changed)?;
                let rule = noted.rule.as_mut().ok_or_else(changed)?;
                rule.done = Done { rows: rule.done.rows + rows, at_us: now_us, before_us };
                change.policy(roster, &policy, Some(&noted));
                change.while_policies_stand(roster);
                Ok(())
            })
        })
        .await
    }
}

fn changed() -> Error {
    raise(Error::Stale, "retention policies were changed meanwhile: nothing is removed by what they were")
}

/// What data nodes say: the period of file groups, and the setting `retention`. Where they were given different ones the longest counts,
/// since what one of them is to keep lies on others too.
async fn told(engine: &Arc<Engine>) -> Result<(i64, Option<Duration>), Error> {
    let reports = engine.store.reports().await?;
    let known = engine.retention.period_us.load(Ordering::Relaxed);
    let period_us = reports.iter().map(|report| report.period_us).max().or((known > 0).then_some(known));
    let period_us = period_us.ok_or_else(|| raise(Error::Unavailable, "no data node says how long its file groups are"))?;
    engine.retention.period_us.store(period_us, Ordering::Relaxed);
    let settings: Option<Vec<Duration>> = reports.iter().map(|report| report.retention).collect();
    Ok((period_us, settings.and_then(|all| all.into_iter().max())))
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| raise(Error::Internal, error.to_string()))?
}
