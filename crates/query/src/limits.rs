//! What a role may use of this server: memory of its statements, rows a second that it writes, and that it is sent.
//!
//! A role's limits are settings of it (`ALTER ROLE .. SET memory_limit`), which hold for all its sessions together, as they stand in the
//! roles at this moment. A session may have stricter ones of its own, which hold for it beside them. Superusers have only those of
//! their sessions.
//!
//! In a fleet a role's rates are shared with other servers (`quotas`), and what is in force here changes while somebody waits. Memory is
//! of each server alone.
//!
//! Promises: whoever is beyond a rate waits, and is no error; who came first waits least; who gives up waiting has used nothing. Memory
//! beyond a limit is refused (53200), after operators that can spill have spilled.
//!
//! Shared state: a map of what roles use, under one mutex, touched when a session's limits are looked up anew; buckets and pools have
//! their own. A session's view of its limits is replaced as a whole.

use crate::access::{Access, Identity, Roles};
use crate::activity::Activity;
use crate::bucket::Bucket;
use crate::engine::Engine;
use crate::error::Error;
use crate::pool::{Nested, QueryPool};
use crate::quotas::{Quotas, RateInForce, Rated, Seat};
use crate::session::Session;
use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use world::Clock;

/// The settings that are limits.
pub(crate) const MEMORY: &str = "memory_limit";
pub(crate) const WRITTEN: &str = "rows_per_second";
pub(crate) const READ: &str = "rows_read_per_second";
pub(crate) const NAMES: [&str; 3] = [MEMORY, WRITTEN, READ];

/// How often in a second rows for a client that reads at its limit come.
const PORTIONS: u64 = 10;
/// How long somebody waits at most before the rate is looked at again.
const LOOK_US: u64 = 100_000;
/// Rates are counted in thousandths of a row, so that parts of small ones are rates too.
const PARTS: u64 = 1_000;

/// Limits as numbers; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub memory: u64,
    pub written: u64,
    pub read: u64,
}

impl Bounds {
    /// Those among settings.
    pub(crate) fn of<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Bounds {
        let number = |name: &str| setting(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Bounds { memory: number(MEMORY), written: number(WRITTEN), read: number(READ) }
    }
}

/// What is used of limits: by all sessions of a role, or by one session.
pub(crate) struct Used {
    memory: Arc<QueryPool>,
    written: Bucket,
    read: Bucket,
}

impl Used {
    pub(crate) fn new(whose: String) -> Arc<Used> {
        Arc::new(Used { memory: Arc::new(QueryPool::named(whose, 0)), written: Bucket::default(), read: Bucket::default() })
    }
}

/// What roles use at this server.
#[derive(Default)]
pub(crate) struct Limits(Mutex<HashMap<u32, Arc<Used>>>);

impl Limits {
    /// What somebody's role has, and what all its sessions use of it; None of those whom nothing bounds.
    pub(crate) fn of_role(&self, roles: &Roles, who: &Identity) -> Option<RoleLimits> {
        let roster = roles.roster();
        let role = roster.role(who.id()?)?;
        let bounds = Bounds::of(|name| role.settings.get(name).map(String::as_str));
        if role.superuser || bounds == Bounds::default() {
            return None;
        }
        let mut all = self.0.lock();
        let used = all.get(&role.id).map(Arc::clone).unwrap_or_else(|| {
            // Of roles that are gone nothing is kept.
            all.retain(|id, _| roster.role(*id).is_some());
            let used = Used::new(format!("memory_limit of role \"{}\"", role.name));
            all.insert(role.id, Arc::clone(&used));
            used
        });
        used.memory.set_limit(bounds.memory);
        Some(RoleLimits { id: role.id, bounds, used })
    }
}

/// A role's limits, and what is used of them.
#[derive(Clone)]
pub(crate) struct RoleLimits {
    id: u32,
    pub bounds: Bounds,
    used: Arc<Used>,
}

impl RoleLimits {
    /// What a rate is here, now; None where it has none.
    fn rate(&self, rated: Rated, quotas: Option<&Arc<dyn Quotas>>) -> Option<u64> {
        let limit = match rated {
            Rated::Written => self.bounds.written,
            Rated::Read => self.bounds.read,
        };
        let limit = Some(limit.saturating_mul(PARTS)).filter(|limit| *limit > 0)?;
        Some(quotas.map_or(limit, |quotas| quotas.rate(self.id, rated, limit)))
    }

    fn bucket(&self, rated: Rated) -> &Bucket {
        match rated {
            Rated::Written => &self.used.written,
            Rated::Read => &self.used.read,
        }
    }
}

/// A session's view of its limits.
pub(crate) struct Seen {
    /// The version of the roles at which it was looked up, plus one; 0: never.
    at: AtomicU64,
    role: Mutex<Option<RoleLimits>>,
    own: Arc<Used>,
}

impl Seen {
    pub(crate) fn new() -> Seen {
        let own = Used::new("the session's memory_limit".to_owned());
        Seen { at: AtomicU64::new(0), role: Mutex::new(None), own }
    }
}

/// Rows that were taken of a bucket, given back unless they are used.
struct Taken<'a>(&'a Bucket, u64);

impl Taken<'_> {
    /// They count.
    fn used(mut self) {
        self.1 = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.give_back(self.1);
    }
}

/// Whoever waits is seen to: in the session, and by those that share a role's limit out.
struct Waits<'a> {
    activity: Option<&'a Activity>,
    quota: Option<(&'a Arc<dyn Quotas>, u32, Rated)>,
}

impl Waits<'_> {
    fn tell(&self, begins: bool) {
        if let Some(activity) = self.activity {
            activity.waits(begins);
        }
        if let Some((quotas, role, rated)) = self.quota {
            quotas.waits(role, rated, begins);
        }
    }

    fn begin(self) -> Self {
        self.tell(true);
        self
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// Waits until rows may count in a bucket, whose rate may change meanwhile.
async fn pace<'a>(bucket: &Bucket, rate: impl Fn() -> u64, rows: u64, clock: &dyn Clock, waits: impl Fn() -> Waits<'a>) {
    let mut waiting = None;
    let _turn = match bucket.turn.try_lock() {
        Ok(turn) => turn,
        Err(_) => {
            waiting = Some(waits());
            bucket.turn.lock().await
        }
    };
    let mut wait_us = bucket.take(rows, rate(), clock.monotonic_us());
    let taken = Taken(bucket, rows);
    while wait_us > 0 {
        waiting = waiting.or_else(|| Some(waits()));
        tokio::time::sleep(Duration::from_micros(wait_us.min(LOOK_US))).await;
        wait_us = bucket.take(0, rate(), clock.monotonic_us());
    }
    taken.used();
    drop(waiting);
}

impl Engine {
    fn quotas(&self) -> Option<&Arc<dyn Quotas>> {
        self.settings.quotas.as_ref()
    }

    /// A seat for one more session of somebody's role: None where all that it may have are taken. On a lone node whoever opens
    /// doors counts them itself, and any number is given.
    pub async fn seat(&self, access: &Access) -> Option<Seat> {
        let who = access.session();
        match (self.quotas(), who.id()) {
            (Some(quotas), Some(role)) => quotas.seat(role, access.roles().connections_max(&access.session_user())).await,
            _ => Some(Box::new(())),
        }
    }

    /// The rates of roles that were met here, as they are in force.
    #[must_use]
    pub fn rates_in_force(&self) -> Vec<RateInForce> {
        let roster = self.roles().roster();
        let all: Vec<(u32, Arc<Used>)> = self.limits.0.lock().iter().map(|(id, used)| (*id, Arc::clone(used))).collect();
        let mut rates = Vec::new();
        for (id, used) in all {
            let Some(role) = roster.role(id).filter(|role| !role.superuser) else { continue };
            let limits = RoleLimits { id, bounds: Bounds::of(|name| role.settings.get(name).map(String::as_str)), used };
            for (rated, limit) in [(Rated::Written, limits.bounds.written), (Rated::Read, limits.bounds.read)] {
                let here = limits.rate(rated, self.quotas());
                rates.extend(here.map(|here| RateInForce {
                    role: role.name.to_string(),
                    rated,
                    limit,
                    here: here as f64 / PARTS as f64,
                }));
            }
        }
        rates.sort_by(|one, other| one.role.cmp(&other.role));
        rates
    }

    /// Waits until somebody may write so many rows more: for doors at which a writer has no session.
    pub async fn pace_writer(&self, access: &Access, rows: u64) {
        let limits = self.limits.of_role(access.roles(), &access.session());
        self.pace_role(limits.as_ref(), Rated::Written, rows, None).await;
    }

    /// Waits until a role may use so many rows more.
    async fn pace_role(&self, limits: Option<&RoleLimits>, rated: Rated, rows: u64, activity: Option<&Activity>) {
        let Some(limits) = limits.filter(|limits| rows > 0 && limits.rate(rated, None).is_some()) else { return };
        let quotas = self.quotas();
        let rate = || limits.rate(rated, quotas).unwrap_or(u64::MAX);
        let waits = || Waits { activity, quota: quotas.map(|quotas| (quotas, limits.id, rated)) }.begin();
        pace(limits.bucket(rated), rate, rows, &*self.settings.clock, waits).await;
        if let Some(quotas) = quotas {
            quotas.counts(limits.id, rated, rows);
        }
    }
}

impl Session {
    /// Looks its limits up anew, where roles have changed since.
    pub(crate) fn heed_limits(&self) {
        if self.limits.at.load(Ordering::Acquire) != self.access.roles().version() + 1 {
            self.look_up_limits();
        }
    }

    /// Looks its limits up anew: its settings follow those of its role, and none is above them.
    pub(crate) fn look_up_limits(&self) {
        let roles = self.access.roles();
        // Read before the roles: what is changed meanwhile is looked up again.
        let version = roles.version();
        let who = self.access.session();
        let role = self.engine.limits.of_role(roles, &who);
        let roster = roles.roster();
        let known = who.id().and_then(|id| roster.role(id));
        let none = BTreeMap::new();
        let settings = known.map_or(&none, |role| &role.settings);
        let mut state = self.state.lock();
        state.variables.bound_by(settings, known.is_some_and(|role| !role.superuser));
        *self.limits.role.lock() = role;
        self.limits.at.store(version + 1, Ordering::Release);
    }

    /// Its role's limits, and its own where they are other ones.
    fn limits(&self) -> (Option<RoleLimits>, Bounds) {
        self.heed_limits();
        let set = {
            let state = self.state.lock();
            Bounds::of(|name| state.variables.get(name))
        };
        let role = self.limits.role.lock().clone();
        let of_role = role.as_ref().map(|role| role.bounds).unwrap_or_default();
        let other = |set: u64, of_role: u64| if set == of_role { 0 } else { set };
        let own = Bounds {
            memory: other(set.memory, of_role.memory),
            written: other(set.written, of_role.written),
            read: other(set.read, of_role.read),
        };
        (role, own)
    }

    /// Waits until it may write so many rows more.
    pub async fn pace_written(&self, rows: u64) {
        let (role, own) = self.limits();
        self.pace_own(&self.limits.own.written, own.written, rows).await;
        self.engine.pace_role(role.as_ref(), Rated::Written, rows, Some(&self.activity)).await;
    }

    /// Waits until it may be sent so many rows more.
    pub(crate) async fn pace_read(&self, rows: u64) {
        let (role, own) = self.limits();
        self.pace_own(&self.limits.own.read, own.read, rows).await;
        self.engine.pace_role(role.as_ref(), Rated::Read, rows, Some(&self.activity)).await;
    }

    /// Waits for its own limit, before its role's: nobody else waits behind it.
    async fn pace_own(&self, bucket: &Bucket, limit: u64, rows: u64) {
        if limit > 0 && rows > 0 {
            let waits = || Waits { activity: Some(&*self.activity), quota: None }.begin();
            pace(bucket, || limit.saturating_mul(PARTS), rows, &*self.engine.settings.clock, waits).await;
        }
    }

    /// How many rows it is sent at a time, where they are limited: as many as come in a part of a second.
    pub(crate) fn read_portion(&self) -> Option<usize> {
        let (role, own) = self.limits();
        let of_role = role.and_then(|role| role.rate(Rated::Read, self.engine.quotas())).map_or(0, |rate| (rate / PARTS).max(1));
        let rates = [own.read, of_role];
        let rate = rates.into_iter().filter(|rate| *rate > 0).min()?;
        Some(usize::try_from((rate / PORTIONS).max(1)).unwrap_or(usize::MAX))
    }

    /// The memory that its statements may use, by its limits alone: the role's, within which lies its own. None: it has no such limit.
    fn bounded_memory(&self, beneath: Option<&Arc<dyn MemoryPool>>) -> Option<(Arc<dyn MemoryPool>, u64)> {
        let (role, own) = self.limits();
        let mut pools = Vec::new();
        pools.extend(role.filter(|role| role.bounds.memory > 0).map(|role| (Arc::clone(&role.used.memory), role.bounds.memory)));
        if own.memory > 0 {
            self.limits.own.memory.set_limit(own.memory);
            pools.push((Arc::clone(&self.limits.own.memory), own.memory));
        }
        let least = pools.iter().map(|(_, limit)| *limit).min()?;
        let mut under = beneath.map(Arc::clone);
        for (pool, _) in pools {
            let bounded: Arc<dyn MemoryPool> = match under {
                Some(under) => Arc::new(Nested::new(pool, under)),
                None => pool,
            };
            under = Some(bounded);
        }
        under.map(|pool| (pool, least))
    }

    /// The memory that its statements share.
    pub(crate) fn memory(&self) -> Arc<dyn MemoryPool> {
        let whole = &self.engine.runtime.memory_pool;
        self.bounded_memory(Some(whole)).map_or_else(|| Arc::clone(whole), |(pool, _)| pool)
    }

    /// What its statements run in where its memory is limited, and by how many bytes.
    pub(crate) fn bounded_runtime(&self) -> Option<(Arc<RuntimeEnv>, u64)> {
        let (memory_pool, limit) = self.bounded_memory(Some(&self.engine.runtime.memory_pool))?;
        Some((Arc::new(RuntimeEnv { memory_pool, ..RuntimeEnv::clone(&self.engine.runtime) }), limit))
    }

    /// What a node that is no plan's is run in: the memory that a plan would have, and none of its functions.
    pub(crate) fn task_context(&self) -> Arc<TaskContext> {
        let runtime = self.bounded_runtime().map_or_else(|| Arc::clone(&self.engine.runtime), |(runtime, _)| runtime);
        let config = crate::context::config(&self.engine);
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Arc::new(TaskContext::new(None, String::new(), config, none.0, none.1, none.2, none.3, runtime))
    }

    /// Room for rows that wait to be written: within its limits, beside the memory of queries. None: it has no such limit.
    pub(crate) fn room_of_rows(&self) -> Option<MemoryReservation> {
        let (pool, _) = self.bounded_memory(None)?;
        Some(MemoryConsumer::new("rows to be written").register(&pool))
    }
}

type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

/// Rows on their way to a client, in portions and no faster than its limits allow.
pub(crate) fn paced(session: &Arc<Session>, batches: Batches) -> Batches {
    if session.read_portion().is_none() {
        return batches;
    }
    let (cutting, pacing) = (Arc::clone(session), Arc::clone(session));
    let portions = batches.flat_map(move |batch| {
        let cut = batch.map(|batch| {
            let most = cutting.read_portion().unwrap_or(usize::MAX).min(batch.num_rows().max(1));
            let starts = (0..batch.num_rows().max(1)).step_by(most);
            starts.map(|at| batch.slice(at, most.min(batch.num_rows() - at))).collect::<Vec<_>>()
        });
        match cut {
            Ok(portions) => stream::iter(portions.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        }
    });
    let one = move |portion: Result<RecordBatch, Error>| {
        let session = Arc::clone(&pacing);
        async move {
            if let Ok(portion) = &portion {
                session.pace_read(portion.num_rows() as u64).await;
            }
            portion
        }
    };
    portions.then(one).boxed()
}
