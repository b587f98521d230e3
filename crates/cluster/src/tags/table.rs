//! The tag table of a scheduler: what its process asks.
//!
//! ```text
//!   change ──> a lane (a producer, one change at a time) ──> whoever leads ── refused, silent, deposed: again, same origin ──┐
//!                                                                ▲◄──────────────────────────────────────────────────────────┘
//! ```
//! Promises: the head of `tags` says them; at most `LANES_MAX` changes are under way, others wait. A lane whose change was
//! not answered is never used again. May not know how anything is agreed on.

use super::actor::{Actor, Input, watch_entry};
use super::refused::{Error, Refused};
use super::registering;
use super::service::TagService;
use super::shared::{Settings, Shared, Standing};
use crate::door::Lifeline;
use crate::fleet::{Lines, Roster};
use crate::links::Links;
use crate::tickets::answered;
use bytes::Bytes;
use catalog::{Catalog, Outcome, change_body, creation_body, deletion_body};
use meta::Meta;
use parking_lot::Mutex;
use protocol::{ReplicaId, Run};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use types::{NodeId, Origin, ProducerId, Sequence, TagDefinition, TagId, Timestamp};
use world::{Abandoned, World};

/// The most that waits for the machine from outside.
const INPUTS_MAX: usize = 16_384;
/// Changes of this process that are under way.
const LANES_MAX: usize = 64;
/// The most bytes of one change: with it a batch still fits into a message.
const CHANGE_BYTES_MAX: usize = 16 << 20;
/// Pauses between tries: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A producer, and the number of its last change.
struct Lane {
    producer: ProducerId,
    number: u64,
}

/// The tag table of a scheduler. Dropping it ends its tasks.
pub struct TagTable {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    free: Mutex<Vec<Lane>>,
    permits: Semaphore,
    alive: watch::Sender<()>,
}

impl TagTable {
    /// Starts a scheduler's table over a catalog, in a process that became a member of the fleet: registers it in meta, and
    /// takes part from then on.
    ///
    /// # Errors
    /// `Error::Outside` where this store can't be one of the schedulers, `Error::Catalog` where the catalog can't be a
    /// fleet's, `Error::Meta` where meta does not answer.
    pub async fn start(
        settings: Settings,
        catalog: Arc<Catalog>,
        roster: &Arc<Roster>,
        meta: Arc<dyn Meta>,
        world: World,
        runtime: Handle,
    ) -> Result<TagTable, Error> {
        settings.protocol.check().map_err(|fault| Error::Outside(fault.to_string()))?;
        let leading = Arc::clone(&catalog);
        // It may write to the disk.
        let led = tokio::task::spawn_blocking(move || leading.lead()).await;
        let led = led.map_err(|fault| Error::Outside(fault.to_string()))??;
        let me = ReplicaId { node: settings.node, store: led.store() };
        let recovered = led.recovered();
        registering::register(&*meta, me, (recovered.epoch, recovered.table)).await?;
        let run = Run(world.random.next_u64());
        let links = Links::new(runtime.clone(), settings.identity.clone(), Arc::clone(roster));
        let lines = Lines::new(Arc::clone(roster), settings.identity.clone());
        let (outside, outside_inputs) = mpsc::channel(INPUTS_MAX);
        let (own, own_inputs) = mpsc::unbounded_channel::<Input>();
        let (standing, failed) = (watch::Sender::new(Standing::default()), watch::Sender::new(None));
        let shared = Arc::new(Shared {
            settings,
            me,
            run,
            led,
            meta,
            world,
            runtime,
            links,
            outside,
            standing,
            readable_until: AtomicU64::new(0),
            parts_taken: AtomicU64::new(0),
            failed,
            lines,
        });
        let (alive, stopping) = watch::channel(());
        let actor = Actor::new(&shared, own.clone());
        shared.runtime.spawn(actor.run(own_inputs, outside_inputs, stopping.clone()));
        shared.runtime.spawn(watch_entry(Arc::clone(&shared), own, stopping));
        let (free, permits) = (Mutex::default(), Semaphore::new(LANES_MAX));
        Ok(TagTable { shared, catalog, free, permits, alive })
    }

    /// Ends its tasks, and waits until they have: the catalog may be closed then.
    pub async fn stop(&self) {
        self.alive.send_replace(());
        self.alive.closed().await;
    }

    /// The scheduler that this store is.
    #[must_use]
    pub fn me(&self) -> ReplicaId {
        self.shared.me
    }

    /// The table itself: see `readable`.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The service by which other schedulers reach this one, for the process's door.
    #[must_use]
    pub fn service(&self, lifeline: Lifeline) -> TagService {
        TagService { shared: Arc::clone(&self.shared), lifeline }
    }

    /// How the schedulers stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.standing.borrow().clone()
    }

    /// The hashes of the table's parts: equal ones mean equal tables.
    ///
    /// # Errors
    /// `Error::Catalog`.
    pub async fn part_hashes(&self) -> Result<Vec<u128>, Error> {
        match answered(self.shared.led.hash_parts()).await {
            Ok(hashes) => Ok(hashes?),
            Err(Abandoned) => Err(catalog::Error::Closed.into()),
        }
    }

    /// How many parts of the table came from other schedulers, since this process began.
    #[must_use]
    pub fn parts_taken(&self) -> u64 {
        self.shared.parts_taken.load(Ordering::Relaxed)
    }

    /// Waits until the store has failed, and says how: then the process must open it again.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        loop {
            if let Some(fault) = &*failed.borrow_and_update() {
                return fault.clone();
            }
            // The sender lives as long as `self`.
            drop(failed.changed().await);
        }
    }

    /// Makes tags; all or none. The answer is the range of their ordinals, in order.
    ///
    /// # Errors
    /// `Error`; but for `InDoubt` nothing was made.
    pub async fn create(&self, definitions: Vec<TagDefinition>) -> Result<Range<u64>, Error> {
        if definitions.is_empty() {
            let end = self.catalog.ordinals();
            return Ok(end..end);
        }
        let now = self.wall();
        let body = blocking(definitions.len(), move || creation_body(&definitions, now)).await?;
        self.change_as(body).await
    }

    /// Changes tags (renaming among them); all or none. The kind can't be changed.
    ///
    /// # Errors
    /// As `create`.
    pub async fn change(&self, changes: Vec<(TagId, TagDefinition)>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = self.wall();
        let body = blocking(changes.len(), move || change_body(&changes, now)).await?;
        self.change_as(body).await.map(drop)
    }

    /// Deletes tags; all or none. Their ordinals are never given again.
    ///
    /// # Errors
    /// As `create`.
    pub async fn delete(&self, tags: Vec<TagId>) -> Result<(), Error> {
        if tags.is_empty() {
            return Ok(());
        }
        self.change_as(deletion_body(&tags)).await.map(drop)
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.shared.world.clock.wall_us())
    }

    fn lane(&self) -> Lane {
        let random = &self.shared.world.random;
        let draw = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        self.free.lock().pop().unwrap_or_else(|| Lane { producer: ProducerId(draw()), number: 0 })
    }

    async fn change_as(&self, body: Bytes) -> Result<Range<u64>, Error> {
        if body.len() > CHANGE_BYTES_MAX {
            return Err(Error::TooLarge { bytes: body.len(), bytes_max: CHANGE_BYTES_MAX });
        }
        // Never closed.
        let _permit = self.permits.acquire().await;
        let mut lane = self.lane();
        lane.number += 1;
        let origin = Origin { producer: lane.producer, number: lane.number };
        // Whoever drops this future leaves the lane behind: what it asked for may still happen.
        let outcome = self.until_answered(origin, body).await?;
        self.free.lock().push(lane);
        Ok(outcome?)
    }

    async fn until_answered(&self, origin: Origin, body: Bytes) -> Result<Outcome, Error> {
        let (begun, patience) = (self.shared.now(), self.shared.settings.change_patience);
        let (mut pause, mut hint, mut sent) = (PAUSE_MIN, None, false);
        loop {
            let leader = self.leader(&mut hint);
            let asked = self.try_change(leader, origin, body.clone()).await;
            let refused = match asked {
                Ok(outcome) => return Ok(outcome),
                Err(refused) => refused,
            };
            if let Refused::NotLeader { leader: told } = &refused {
                hint = told.filter(|told| Some(*told) != leader);
            }
            sent |= refused != Refused::Busy;
            let waited = Duration::from_micros(self.shared.now().since(begun));
            if waited >= patience {
                let last = refused;
                return Err(if sent { Error::InDoubt { waited, last } } else { Error::Unavailable { waited, last } });
            }
            self.rest(&mut pause, leader).await;
        }
    }

    /// Whom to ask: who was named last, else who leads as meta says; none means this process.
    fn leader(&self, hint: &mut Option<NodeId>) -> Option<NodeId> {
        let me = self.shared.me.node;
        let known = || self.shared.standing.borrow().leader.map(|id| id.node);
        hint.take().or_else(known).filter(|node| *node != me)
    }

    async fn try_change(&self, leader: Option<NodeId>, origin: Origin, body: Bytes) -> Result<Outcome, Refused> {
        let Some(node) = leader else { return self.shared.change_here(origin, body).await };
        tokio::select! {
            told = self.shared.change_at(node, origin, body) => told,
            () = self.deposed(node) => Err(Refused::Unavailable(format!("node {node} leads no more"))),
        }
    }

    /// Waits until meta names another leader than this one, which it named.
    async fn deposed(&self, node: NodeId) {
        let mut standing = self.shared.standing.subscribe();
        let leads = |standing: &Standing| standing.leader.is_some_and(|leader| leader.node == node);
        if standing.wait_for(leads).await.is_ok() {
            drop(standing.wait_for(|standing| !leads(standing)).await);
        }
    }

    /// A pause before the next try; a new leader ends it.
    async fn rest(&self, pause: &mut Duration, leader: Option<NodeId>) {
        let me = self.shared.me.node;
        let mut standing = self.shared.standing.subscribe();
        let other = standing.wait_for(|standing| standing.leader.is_some_and(|now| now.node != leader.unwrap_or(me)));
        drop(tokio::time::timeout(*pause, other).await);
        // A leader may be named before it has begun.
        tokio::time::sleep(PAUSE_MIN).await;
        *pause = (*pause * 2).min(PAUSE_MAX);
    }

    /// Waits until the table here may be read: it shows then all changes that were answered before. Under a lease it asks
    /// nobody. What is read must be read soon after.
    ///
    /// # Errors
    /// `Error::Unavailable` where nobody leads, or this scheduler can't catch up in time.
    pub async fn readable(&self) -> Result<(), Error> {
        if self.shared.may_read() {
            return Ok(());
        }
        let (begun, patience) = (self.shared.now(), self.shared.settings.read_patience);
        let (mut pause, mut hint) = (PAUSE_MIN, None);
        loop {
            let leader = self.leader(&mut hint);
            let asked = match leader {
                Some(node) => self.shared.read_at(node).await,
                None => self.shared.read_here().await,
            };
            let waited = Duration::from_micros(self.shared.now().since(begun));
            let refused = match asked {
                Ok(sequence) => match self.caught_up(sequence, patience.saturating_sub(waited)).await {
                    true => return Ok(()),
                    false => Refused::Unavailable(format!("this scheduler has not come up to batch {sequence} yet")),
                },
                Err(refused) => refused,
            };
            if self.shared.may_read() {
                return Ok(());
            }
            if let Refused::NotLeader { leader: told } = &refused {
                hint = told.filter(|told| Some(*told) != leader);
            }
            if waited >= patience {
                return Err(Error::Unavailable { waited, last: refused });
            }
            self.rest(&mut pause, leader).await;
        }
    }

    /// Waits until the table shows a batch; a torn one shows none.
    async fn caught_up(&self, sequence: Sequence, patience: Duration) -> bool {
        let mut standing = self.shared.standing.subscribe();
        let shown = standing.wait_for(|standing| standing.shown >= sequence);
        let shown = tokio::time::timeout(patience, shown).await.is_ok_and(|shown| shown.is_ok());
        shown && self.shared.led.point().is_some()
    }
}

/// Work that may take long, off the runtime's threads.
async fn blocking(
    tags: usize,
    work: impl FnOnce() -> Result<Bytes, catalog::Error> + Send + 'static,
) -> Result<Bytes, catalog::Error> {
    if tags < 1_000 {
        return work();
    }
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|fault| Err(catalog::Error::Unreadable(fault.to_string())))
}
