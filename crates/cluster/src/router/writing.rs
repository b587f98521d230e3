//! Writes on their way: who numbers a part, and how it is sent until its slice's primary answers.
//!
//! ```text
//!   with a client's number    (producer, slice): one part after the other, in the order of the calls; none passes one that failed
//!   without                   a lane of the slice: a producer of this router's own, with one part under way at a time
//! ```
//! Shared state: `lanes` and `queues`, each under a mutex that is held for a moment; turns are given when a write is called,
//! so their order is the calls'.
//! Promises: a producer has one part under way to a slice; a lane whose last part is in doubt is not used again. May not know
//! what a part holds.

use super::split::{self, Parts};
use super::{RouteError, Router, Written};
use crate::data::{Batch, Refused};
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{Deletion, Write};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;
use types::{Kinds, NodeId, Origin, ProducerId, SliceId, Version};
use world::Random;

/// Parts without a client's number that are under way to a slice; more wait.
const LANES_MAX: usize = 8;
/// How long one try waits for its answer.
const TRY: Duration = Duration::from_secs(3);
/// How long is waited between tries: doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often in a row a refusal's word on who leads is followed at once.
const HINTS_MAX: u32 = 2;
/// Producers whose failed numbers are remembered.
const FAILED_MAX: usize = 65_536;

/// A producer of this router's own, for one slice.
#[derive(Clone, Copy)]
struct Lane {
    producer: ProducerId,
    next: u64,
}

struct Lanes {
    room: Arc<Semaphore>,
    free: Vec<Lane>,
}

/// The parts of a client's producer to one slice.
#[derive(Default)]
struct Queue {
    /// Ends when the part before does.
    tail: Option<oneshot::Receiver<()>>,
    waiting: usize,
    failed: Option<u64>,
}

type Queues = Arc<Mutex<HashMap<(ProducerId, SliceId), Queue>>>;

/// Who numbers parts.
pub(super) struct Producers {
    random: Arc<dyn Random>,
    lanes: Mutex<HashMap<SliceId, Lanes>>,
    queues: Queues,
}

/// A part's turn.
enum Turn {
    Own,
    Clients { origin: Origin, before: Option<oneshot::Receiver<()>>, _end: oneshot::Sender<()> },
}

/// What a part is sent under, and what it holds meanwhile.
enum Begun {
    Own(Lane, OwnedSemaphorePermit),
    Clients(Origin, oneshot::Sender<()>),
}

/// Why a part failed.
enum Failed {
    Refused(Refused),
    Behind { number: u64, failed: u64 },
}

impl Producers {
    pub(super) fn new(random: Arc<dyn Random>) -> Producers {
        Producers { random, lanes: Mutex::default(), queues: Queues::default() }
    }

    fn turn(&self, slice: SliceId, origin: Option<Origin>) -> Turn {
        let Some(origin) = origin else { return Turn::Own };
        let (end, ended) = oneshot::channel();
        let mut queues = self.queues.lock();
        let queue = queues.entry((origin.producer, slice)).or_default();
        queue.waiting += 1;
        Turn::Clients { origin, before: queue.tail.replace(ended), _end: end }
    }

    async fn begin(&self, slice: SliceId, turn: Turn) -> Result<Begun, Failed> {
        match turn {
            Turn::Own => {
                let room = {
                    let mut lanes = self.lanes.lock();
                    let new = || Lanes { room: Arc::new(Semaphore::new(LANES_MAX)), free: Vec::new() };
                    Arc::clone(&lanes.entry(slice).or_insert_with(new).room)
                };
                let closed = |_| Failed::Refused(Refused::Unavailable("the process is stopping".to_owned()));
                let permit = room.acquire_owned().await.map_err(closed)?;
                let free = self.lanes.lock().get_mut(&slice).and_then(|lanes| lanes.free.pop());
                let word = || u128::from(self.random.next_u64());
                let lane = free.unwrap_or_else(|| Lane { producer: ProducerId(word() << 64 | word()), next: 1 });
                Ok(Begun::Own(lane, permit))
            }
            Turn::Clients { origin, before, _end } => {
                if let Some(before) = before {
                    // Its sender is dropped when it ends, however it does.
                    drop(before.await);
                }
                let failed = self.queues.lock().get(&(origin.producer, slice)).and_then(|queue| queue.failed);
                match failed.filter(|failed| *failed < origin.number) {
                    Some(failed) => {
                        self.leave(slice, origin, None);
                        Err(Failed::Behind { number: origin.number, failed })
                    }
                    None => Ok(Begun::Clients(origin, _end)),
                }
            }
        }
    }

    fn end(&self, slice: SliceId, begun: Begun, done: bool) {
        match begun {
            // What may yet be logged under a number must not be passed by the next.
            Begun::Own(lane, permit) => {
                if done && let Some(lanes) = self.lanes.lock().get_mut(&slice) {
                    lanes.free.push(Lane { next: lane.next + 1, ..lane });
                }
                drop(permit);
            }
            Begun::Clients(origin, end) => {
                self.leave(slice, origin, Some(done));
                drop(end);
            }
        }
    }

    /// A client's part ended; `done` says how, where it was sent at all.
    fn leave(&self, slice: SliceId, origin: Origin, done: Option<bool>) {
        let mut queues = self.queues.lock();
        let full = queues.len() > FAILED_MAX;
        let key = (origin.producer, slice);
        let Some(queue) = queues.get_mut(&key) else { return };
        queue.waiting -= 1;
        match done {
            Some(true) if queue.failed.is_some_and(|failed| failed <= origin.number) => queue.failed = None,
            Some(false) => queue.failed = Some(queue.failed.map_or(origin.number, |failed| failed.min(origin.number))),
            Some(true) | None => {}
        }
        if queue.waiting == 0 && (queue.failed.is_none() || full) {
            queues.remove(&key);
        }
    }
}

impl Begun {
    fn origin(&self) -> Origin {
        match self {
            Begun::Own(lane, _) => Origin { producer: lane.producer, number: lane.next },
            Begun::Clients(origin, _) => *origin,
        }
    }
}

impl Router {
    /// Writes samples: each slice's part at once, as durable as its mode says when this is answered. The batches are copied
    /// before this returns; what is sent goes on when nobody waits for the answer any more. `kinds` says how their tags are
    /// thinned, which goes along: whoever leads a slice decides by it.
    ///
    /// # Errors
    /// `RouteError::Refused`, `RouteError::Written`, `RouteError::Behind`, `RouteError::Unsettled`.
    pub fn write(
        self: &Arc<Self>,
        write: &Write<'_>,
        kinds: &dyn Kinds,
    ) -> impl Future<Output = Result<Written, RouteError>> + Send + use<> {
        // A rule that is final stays so: what is cut by it here lies where all look for it.
        let rule = &self.settings.rule;
        let cut = rule.is_final().then(|| split::write(&rule.rule(), write, kinds));
        let sent = cut.map(|cut| cut.map(|parts| self.send(parts, write.origin)));
        async move {
            match sent {
                Some(sent) => sent?.await,
                None => Err(RouteError::Unsettled),
            }
        }
    }

    /// Deletes samples, with the same promise.
    ///
    /// # Errors
    /// As `write`.
    pub fn delete(
        self: &Arc<Self>,
        deletion: &Deletion,
        kinds: &dyn Kinds,
    ) -> impl Future<Output = Result<Written, RouteError>> + Send + use<> {
        let rule = &self.settings.rule;
        let cut = rule.is_final().then(|| split::deletion(&rule.rule(), deletion, kinds));
        let sent = cut.map(|cut| cut.map(|parts| self.send(parts, None)));
        async move {
            match sent {
                Some(sent) => sent?.await,
                // Nobody here knew of a tag when the statement began: there is nothing to delete.
                None => Ok(Written::default()),
            }
        }
    }

    fn send(
        self: &Arc<Self>,
        parts: Parts,
        origin: Option<Origin>,
    ) -> impl Future<Output = Result<Written, RouteError>> + Send + use<> {
        let Parts { batches, rows, bytes, end } = parts;
        let turns: Vec<_> =
            batches.into_iter().map(|(slice, batch)| (slice, batch, self.producers.turn(slice, origin))).collect();
        let router = Arc::clone(self);
        let task = self.runtime.spawn(traces::carried(async move {
            // Whoever numbers batches bounds them, too; room that later ones hold while they wait for this one would never
            // come free.
            let _room = match origin {
                Some(_) => None,
                None => Some(router.room_for(bytes).await),
            };
            router.send_parts(turns, rows, end).await
        }));
        async move { task.await.unwrap_or(Err(RouteError::Stopping)) }
    }

    async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let most = self.settings.waiting_bytes_max.clamp(1, u32::MAX as usize);
        Arc::clone(&self.room).acquire_many_owned(bytes.clamp(1, most) as u32).await.ok()
    }

    async fn send_parts(&self, turns: Vec<(SliceId, Batch, Turn)>, rows: u64, end: u64) -> Result<Written, RouteError> {
        let of = turns.len();
        let mut under_way: FuturesUnordered<_> =
            turns.into_iter().map(|(slice, batch, turn)| self.part(slice, batch, turn, end)).collect();
        let (mut versions, mut first) = (Vec::with_capacity(of), None);
        while let Some((slice, outcome)) = under_way.next().await {
            match outcome {
                Ok(version) => versions.push((slice, version)),
                Err(failed) => drop(first.get_or_insert((slice, failed))),
            }
        }
        versions.sort_unstable_by_key(|(slice, _)| *slice);
        match first {
            None => Ok(Written { rows, versions }),
            Some((_, Failed::Behind { number, failed })) => Err(RouteError::Behind { number, failed }),
            Some((slice, Failed::Refused(cause))) => {
                Err(RouteError::Written { slice, cause, done: versions.into_iter().map(|(slice, _)| slice).collect(), of })
            }
        }
    }

    async fn part(&self, slice: SliceId, batch: Batch, turn: Turn, end: u64) -> (SliceId, Result<Version, Failed>) {
        let begun = match self.producers.begin(slice, turn).await {
            Ok(begun) => begun,
            Err(failed) => return (slice, Err(failed)),
        };
        let outcome = self.push(slice, begun.origin(), end, &batch).await;
        self.producers.end(slice, begun, outcome.is_ok());
        (slice, outcome.map_err(Failed::Refused))
    }

    /// Sends a part to whoever leads its slice until it is answered, or patience ends.
    async fn push(&self, slice: SliceId, origin: Origin, end: u64, batch: &Batch) -> Result<Version, Refused> {
        let deadline = Instant::now() + self.settings.patience;
        let mut changes = self.map.changes();
        let (mut hint, mut hints, mut pause) = (None, 0, PAUSE_MIN);
        loop {
            let node = hint.take().or_else(|| self.map.primary(slice));
            let refused = match node {
                None => Refused::Unavailable("nobody is known to lead it".to_owned()),
                Some(node) => match self.push_to(node, (slice, origin, end), batch, &mut changes).await {
                    Ok(version) => return Ok(version),
                    Err(refused) => refused,
                },
            };
            if !refused.can_retry() || Instant::now() >= deadline {
                return Err(refused);
            }
            if let Refused::NotPrimary { leader } = refused
                && leader != node
                && leader.is_some()
                && hints < HINTS_MAX
            {
                (hint, hints) = (leader, hints + 1);
                continue;
            }
            hints = 0;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changes.changed() => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn push_to(
        &self,
        node: NodeId,
        (slice, origin, end): (SliceId, Origin, u64),
        batch: &Batch,
        changes: &mut watch::Receiver<()>,
    ) -> Result<Version, Refused> {
        let _under_way = self.map.under_way(node);
        let (client, slices) = (self.client(node, TRY)?, [slice]);
        tokio::select! {
            outcome = client.write(slice, origin, end, batch.clone()) => outcome,
            // A node that stands still would be waited for although another one leads by now.
            () = self.succeeded(&slices, node, changes) => Err(Refused::NotPrimary { leader: None }),
        }
    }

    /// Waits until a node that led one of these slices does not any more, as far as is known here.
    pub(super) async fn succeeded(&self, slices: &[SliceId], node: NodeId, changes: &mut watch::Receiver<()>) {
        let leads = |slice: &SliceId| self.map.primary(*slice) == Some(node);
        let led: Vec<SliceId> = slices.iter().copied().filter(leads).collect();
        loop {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            if !led.iter().all(leads) {
                return;
            }
        }
    }
}
