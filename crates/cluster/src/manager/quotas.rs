//! Limits of roles that a whole fleet shares: what servers of clients ask managers, and what each of them may use.
//!
//! ```text
//!   doors ── rate, counts, seat ──> Quotas ── Manager1/Share (twice a second, and when a session waits) ──> all managers: Ledger
//! ```
//! Promises: nobody who writes or reads waits for a manager; a session waits for one only where its server has no seat left. Managers that
//! don't tend hear what is held, so that any of them can go on. Without managers each server goes on with an even part.
//! May not know: names of roles, what is read or written.
//!
//! Shared state: `held` under one mutex, touched at each batch of rows of a limited role, when sessions come and go, and by the task that asks;
//! one question at a time is under way (`asking`).

use super::node::Shared;
use super::service::{ManagerService, SHARE};
use crate::door::Answer;
use crate::fleet::entries::wide;
use crate::fleet::{Lines, Member, Roles};
use parking_lot::Mutex;
use prost::Message as Wire;
use protocol::Moment;
use protocol::quotas::{LEASE_US, LimitId, Limited, Need, Quota};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};
use types::{NodeId, StoreId};
use world::Clock;

/// How often managers are asked.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a manager has to answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long a session waits for a seat that another server may just have given back; and how often it is asked again.
const SEAT_US: u64 = 1_200_000;
const SEAT_PAUSE: Duration = Duration::from_millis(100);
/// A rate that nobody has used for so long is no longer asked for.
const IDLE_US: u64 = 60_000_000;

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Sharing {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(bytes = "vec", tag = "2")]
    store: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    needs: Vec<Needed>,
}

#[derive(Clone, Copy, PartialEq, Wire)]
struct Needed {
    #[prost(uint32, tag = "1")]
    role: u32,
    #[prost(uint32, tag = "2")]
    what: u32,
    #[prost(uint64, tag = "3")]
    limit: u64,
    #[prost(uint64, tag = "4")]
    held: u64,
    #[prost(uint64, tag = "5")]
    wants: u64,
    #[prost(uint32, tag = "6")]
    weight: u32,
}

/// In the order of the question; nothing where this manager does not tend, or is too new to know.
#[derive(Clone, PartialEq, Wire)]
pub(super) struct Shares {
    #[prost(uint64, repeated, tag = "1")]
    granted: Vec<u64>,
}

fn number(what: Limited) -> u32 {
    match what {
        Limited::Written => 1,
        Limited::Read => 2,
        Limited::Sessions => 3,
    }
}

impl Needed {
    fn id(&self) -> Option<LimitId> {
        let all = [Limited::Written, Limited::Read, Limited::Sessions];
        let what = all.into_iter().find(|what| number(*what) == self.what)?;
        Some(LimitId { role: self.role, what })
    }

    fn need(&self) -> Need {
        Need { limit: self.limit, held: self.held, wants: self.wants, weight: self.weight }
    }
}

impl UnaryService<Sharing> for ManagerService {
    type Response = Shares;
    type Future = Answer<Shares>;

    fn call(&mut self, request: Request<Sharing>) -> Self::Future {
        let shared = Arc::clone(self.shared());
        Box::pin(async move { shared.share(&request.into_inner()).map(Response::new) })
    }
}

impl Shared {
    fn share(&self, sharing: &Sharing) -> Result<Shares, Status> {
        let store = wide(&sharing.store).map(StoreId).ok_or_else(|| Status::invalid_argument("a store has 16 bytes"))?;
        let (node, roster) = (NodeId(sharing.node), self.lines().roster());
        if !roster.names(node, store) {
            return Err(Status::failed_precondition("meta names another store under this number, or none"));
        }
        let (now, servers) = (self.now(), roster.alive(Roles::SCHEDULER));
        let mut ledger = self.ledger.lock();
        ledger.tidy(now);
        let mut granted = Vec::with_capacity(sharing.needs.len());
        for needed in &sharing.needs {
            let id = needed.id().ok_or_else(|| Status::invalid_argument("there is no such limit"))?;
            if self.is_tending() {
                granted.extend(ledger.ask(now, node, servers, id, needed.need()));
            } else {
                ledger.hear(now, node, id, needed.need());
            }
        }
        Ok(Shares { granted })
    }
}

/// What a server has of one limit.
struct Held {
    quota: Quota,
    /// What all may use together. Of sessions: `u64::MAX` where there is no limit.
    limit: u64,
    /// What was used, and how many waited, since managers were last asked.
    used: u64,
    waiting: u32,
    waited: u32,
    wants: u64,
    asked: Moment,
    used_last: Moment,
    /// Sessions that are in, and that wait for a seat.
    open: u64,
    knocking: u64,
    /// What a manager knows of that.
    told: u64,
}

impl Held {
    fn new(now: Moment, id: LimitId, limit: u64) -> Held {
        let quota = Quota::new(now, id.what);
        let (used, wants, waiting, waited, open, knocking, told) = (0, 0, 0, 0, 0, 0, 0);
        Held { quota, limit, used, waiting, waited, wants, asked: now, used_last: now, open, knocking, told }
    }

    /// What is said of it now; what was counted begins anew.
    fn need(&mut self, now: Moment, id: LimitId, servers: usize) -> Need {
        if id.what == Limited::Sessions {
            let wants = self.open + self.knocking;
            self.quota.give_back(wants);
            let held = self.quota.in_force(now, self.limit, servers).max(self.open);
            return Need { limit: self.limit, held, wants, weight: 1 };
        }
        let us = now.since(self.asked).max(1);
        let rate = u64::try_from(u128::from(self.used) * 1_000_000_000 / u128::from(us)).unwrap_or(u64::MAX);
        let waits = self.waiting > 0 || self.waited > 0;
        // Half as much again as it uses; and what comes in bursts is not forgotten at once.
        let wants = if waits { self.limit } else { rate.saturating_add(rate / 2).max(self.wants / 4 * 3) };
        let weight = self.waited.max(self.waiting).max(1);
        (self.used, self.waited, self.wants, self.asked) = (0, self.waiting, wants, now);
        Need { limit: self.limit, held: self.quota.in_force(now, self.limit, servers), wants, weight }
    }
}

/// What this server may use of the limits that it shares with others.
pub struct Quotas {
    member: Member,
    lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<LimitId, Held>>,
    asking: tokio::sync::Mutex<()>,
}

/// A session's seat, given back when it is dropped.
pub struct Seat {
    quotas: Arc<Quotas>,
    role: u32,
    is_in: bool,
}

impl Quotas {
    /// Asks managers from now on, as long as somebody has it.
    #[must_use]
    pub fn start(member: Member, lines: Arc<Lines>, clock: Arc<dyn Clock>, runtime: &Handle) -> Arc<Quotas> {
        let quotas = Arc::new(Quotas { member, lines, clock, held: Mutex::default(), asking: tokio::sync::Mutex::default() });
        let asks = Arc::downgrade(&quotas);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(PERIOD).await;
                let Some(quotas) = asks.upgrade() else { return };
                quotas.ask().await;
            }
        });
        quotas
    }

    fn now(&self) -> Moment {
        Moment(self.clock.monotonic_us())
    }

    fn servers(&self) -> usize {
        self.lines.roster().alive(Roles::SCHEDULER)
    }

    fn with<T>(&self, id: LimitId, limit: u64, look: impl FnOnce(&mut Held, Moment) -> T) -> T {
        let now = self.now();
        let mut all = self.held.lock();
        let held = all.entry(id).or_insert_with(|| Held::new(now, id, limit));
        held.limit = limit;
        look(held, now)
    }

    /// Where it is known.
    fn note(&self, id: LimitId, note: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.lock().get_mut(&id) {
            note(held);
        }
    }

    /// What may be used here of a rate, in thousandths, as `limit` is.
    #[must_use]
    pub fn rate(&self, id: LimitId, limit: u64) -> u64 {
        let servers = self.servers();
        self.with(id, limit, |held, now| held.quota.in_force(now, limit, servers))
    }

    /// So much of a rate was used.
    pub fn counts(&self, id: LimitId, rows: u64) {
        let now = self.now();
        self.note(id, |held| (held.used, held.used_last) = (held.used.saturating_add(rows), now));
    }

    /// Somebody begins, or ceases, to wait for a rate.
    pub fn waits(&self, id: LimitId, begins: bool) {
        self.note(id, |held| {
            held.waiting = if begins { held.waiting + 1 } else { held.waiting.saturating_sub(1) };
            held.waited = held.waited.max(held.waiting);
        });
    }

    /// A seat for a session of a role. None: all that the limit allows in the fleet are taken, or, where no manager answers, this server's part.
    pub async fn seat(self: &Arc<Self>, role: u32, limit: Option<u32>) -> Option<Seat> {
        let id = LimitId { role, what: Limited::Sessions };
        let limit = limit.map_or(u64::MAX, u64::from);
        self.with(id, limit, |held, _| held.knocking += 1);
        let mut seat = Seat { quotas: Arc::clone(self), role, is_in: false };
        let began = self.now();
        loop {
            if seat.taken(limit) {
                return Some(seat);
            }
            let is_answered = self.ask().await;
            if seat.taken(limit) {
                return Some(seat);
            }
            // While no manager says no, grants of those before run out, and even parts are in force.
            let patience = if is_answered { SEAT_US } else { LEASE_US + SEAT_US };
            if limit == 0 || self.now().since(began) >= patience {
                return None;
            }
            tokio::time::sleep(SEAT_PAUSE).await;
        }
    }

    /// Asks all managers, and takes what the one that tends grants. Whether one did.
    async fn ask(&self) -> bool {
        let _one = self.asking.lock().await;
        let (sent, servers) = (self.now(), self.servers());
        let (ids, needs): (Vec<(LimitId, u64)>, Vec<Needed>) = {
            let mut all = self.held.lock();
            all.retain(|id, held| match id.what {
                Limited::Sessions => held.open + held.knocking + held.told > 0,
                Limited::Written | Limited::Read => held.waiting > 0 || sent.since(held.used_last) < IDLE_US,
            });
            let said = all.iter_mut().map(|(id, held)| {
                let Need { limit, held, wants, weight } = held.need(sent, *id, servers);
                ((*id, wants), Needed { role: id.role, what: number(id.what), limit, held, wants, weight })
            });
            said.unzip()
        };
        if ids.is_empty() {
            return false;
        }
        let sharing = Sharing { node: self.member.node.0, store: self.member.store.0.to_le_bytes().to_vec(), needs };
        let managers = self.lines.roster().with(Roles::MANAGER);
        let asked = managers.into_iter().map(|manager| {
            let sharing = sharing.clone();
            async move {
                let told: Result<Shares, Status> = self.lines.ask(manager, SHARE, sharing, PATIENCE).await;
                told.inspect_err(|status| tracing::debug!(%manager, %status, "a manager was not asked for shares of limits")).ok()
            }
        });
        let mut is_answered = false;
        for Shares { granted } in futures::future::join_all(asked).await.into_iter().flatten() {
            if granted.len() != ids.len() {
                continue;
            }
            is_answered = true;
            let mut all = self.held.lock();
            for ((id, wants), granted) in ids.iter().zip(granted) {
                if let Some(held) = all.get_mut(id) {
                    held.quota.grant(sent, granted);
                    held.told = *wants;
                }
            }
        }
        is_answered
    }
}

impl Seat {
    /// Takes it, where one is free.
    fn taken(&mut self, limit: u64) -> bool {
        let servers = self.quotas.servers();
        let id = LimitId { role: self.role, what: Limited::Sessions };
        self.is_in = self.quotas.with(id, limit, |held, now| {
            let has_room = limit == u64::MAX || held.open < held.quota.in_force(now, limit, servers);
            if has_room {
                held.open += 1;
                held.knocking = held.knocking.saturating_sub(1);
            }
            has_room
        });
        self.is_in
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let id = LimitId { role: self.role, what: Limited::Sessions };
        self.quotas.note(id, |held| {
            let count = if self.is_in { &mut held.open } else { &mut held.knocking };
            *count = count.saturating_sub(1);
        });
    }
}
