//! A data node: its replicas, and what it knows of slices.
//!
//! Shared state: `replicas` (a task's inputs by slice) under one mutex, held for a moment. Only the task that follows meta and
//! `start` put replicas there; a replica that ends takes itself out.
//! Promises: a replica exists for each slice whose entry names this store, from when meta said so until its data are deleted;
//! what brings samples is delivered once their tags' kinds are known here. May not know what replicas say.

use super::copying::Throttle;
use super::messages::Parcel;
use super::refused::Refused;
use super::reign::Reign;
use super::replica::{Actor, Ended};
use super::retention;
use crate::calls::Tls;
use crate::fleet::entries;
use crate::fleet::following::{Following, Listener};
use crate::fleet::{Member, Roster};
use crate::kinds::Keeper;
use crate::links::Links;
use kernel::{Draft, Kernel, LedNews, LedSlice, Snapshot};
use meta::{Entry, Error, Meta, Range, Revision};
use parking_lot::Mutex;
use protocol::{Consistency, Event, Message, Moment, ReplicaId, Run, SliceEntry};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Epoch, Origin, SliceId, Version};
use world::World;

/// The most that waits for a replica from outside.
const INPUTS_MAX: usize = 16_384;
/// How long slices are given to change hands before they are asked again.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(50);
/// How long a message between replicas waits for kinds.
const KINDS_WAIT: Duration = Duration::from_millis(400);

/// What a node is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// What it is in the fleet, as it joined.
    pub member: Member,
    /// Its certificate, and whose certificates it accepts.
    pub tls: Tls,
    /// The protocols' numbers.
    pub protocol: protocol::Settings,
    /// How fast files may be copied to this node, in bytes a second over all its slices.
    pub copy_bytes_per_s: u64,
    /// How often it is looked for samples that are older than the kernel's retention, where it has one.
    pub retention_looks_every: Duration,
}

/// What is asked of a replica from outside.
pub enum Asked {
    /// A batch.
    Write {
        /// Whose, where somebody numbers it.
        origin: Option<Origin>,
        /// What the record is to bring; decided on when it has its place.
        draft: Draft,
        /// Answered once it is as durable as the slice's mode says.
        answer: oneshot::Sender<Result<Version, Refused>>,
    },
    /// A state to read from.
    Read {
        /// How fresh.
        consistency: Consistency,
        /// The newest write in it, and it.
        answer: oneshot::Sender<Result<(Version, Snapshot), Refused>>,
    },
    /// A planned switch-over.
    HandOver {
        /// To whom.
        to: ReplicaId,
    },
    /// Where it stands.
    Look {
        /// Whether it leads, the entry as it knows it, and the last write of its log.
        answer: oneshot::Sender<(bool, Option<SliceEntry>, Version)>,
    },
}

/// What goes into a replica's task.
pub(super) enum Input {
    Event(Event),
    Message(ReplicaId, Message),
    Entry { entry: SliceEntry, revision: Revision, seen: Option<Epoch> },
    Asked(Asked),
    Failed(String),
}

/// A replica's inputs.
struct Inputs {
    led: LedSlice,
    own: mpsc::UnboundedSender<Input>,
    outside: mpsc::Sender<Input>,
    reign: Arc<Reign>,
}

/// What all tasks of a node share.
pub(super) struct Shared {
    pub settings: Settings,
    pub me: ReplicaId,
    pub run: Run,
    pub kernel: Arc<Kernel>,
    pub meta: Arc<dyn Meta>,
    pub links: Links<Parcel>,
    pub keeper: Arc<Keeper>,
    pub runtime: Handle,
    pub throttle: Throttle,
    world: World,
    replicas: Mutex<HashMap<SliceId, Inputs>>,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn now(&self) -> Moment {
        Moment(self.world.clock.monotonic_us())
    }

    /// The slices that are led here.
    pub(super) fn leads(&self) -> Vec<LedSlice> {
        let replicas = self.replicas.lock();
        replicas.values().filter(|inputs| inputs.reign.leads()).map(|inputs| inputs.led.clone()).collect()
    }

    pub(super) fn ask(&self, slice: SliceId, asked: Asked) -> Result<(), Refused> {
        let replicas = self.replicas.lock();
        let inputs = replicas.get(&slice).ok_or(Refused::NotPrimary { leader: None })?;
        inputs.outside.try_send(Input::Asked(asked)).map_err(|_| Refused::Busy)
    }

    fn tell(&self, slice: SliceId, input: Input) {
        if let Some(inputs) = self.replicas.lock().get(&slice) {
            drop(inputs.own.send(input));
        }
    }

    /// Begins with a replica, unless it is there.
    fn begin(self: &Arc<Self>, led: LedSlice, mut stopping: watch::Receiver<()>) {
        let (slice, mut replicas) = (led.id(), self.replicas.lock());
        if replicas.contains_key(&slice) {
            return;
        }
        let (own, own_inputs) = mpsc::unbounded_channel();
        let (outside, outside_inputs) = mpsc::channel(INPUTS_MAX);
        let reign = Arc::default();
        let actor = Actor::new(self, led.clone(), own.clone(), Arc::clone(&reign));
        replicas.insert(slice, Inputs { led, own, outside, reign });
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let ended = actor.run(own_inputs, outside_inputs, &mut stopping).await;
            shared.replicas.lock().remove(&slice);
            if let Some(Ended::Failed(fault)) = ended {
                shared.failed.send_replace(Some(format!("slice {slice}: {fault}")));
            }
        });
    }
}

/// What meta says of slices, told to the replicas here.
struct Placed {
    shared: Arc<Shared>,
    /// For the replicas that begin; it never saw that the node ends, so they all do.
    stopping: watch::Receiver<()>,
}

impl Placed {
    /// A slice's entry, as meta has it.
    fn learn(&self, slice: SliceId, entry: SliceEntry, revision: Revision) {
        let shared = &self.shared;
        let here = shared.replicas.lock().contains_key(&slice);
        if !here && entry.has(shared.me) {
            match shared.kernel.lead(slice) {
                Ok(led) => shared.begin(led, self.stopping.clone()),
                Err(fault) => {
                    tracing::error!(%slice, %fault, "a slice that the fleet placed here can't be led");
                    return;
                }
            }
        }
        shared.tell(slice, Input::Entry { entry, revision, seen: None });
    }
}

impl Listener for Placed {
    fn stands(&self, entry: &Entry) {
        match (entries::slice_of(&entry.key, entries::SLICES), entries::slice_entry(&entry.value)) {
            (Some(slice), Some(found)) => self.learn(slice, found, entry.modified),
            _ => tracing::error!(key = %entry.key, "a slice's entry can't be read: is it of another release?"),
        }
    }
}

/// A data node. Dropping it ends its replicas.
pub struct DataNode {
    shared: Arc<Shared>,
    alive: watch::Sender<()>,
}

impl DataNode {
    /// Starts a node over a kernel, as the member of the fleet that it became (`Member::join`, with the kernel's store): opens
    /// the replicas that the kernel has, and from then on those that meta places here.
    ///
    /// # Errors
    /// `Error::Invalid` where the kernel's store is not the member's.
    pub fn start(
        settings: Settings,
        kernel: Arc<Kernel>,
        keeper: Arc<Keeper>,
        roster: &Arc<Roster>,
        meta: Arc<dyn Meta>,
        world: World,
        runtime: Handle,
    ) -> Result<DataNode, Error> {
        let me = ReplicaId { node: settings.member.node, store: kernel.store() };
        if me.store != settings.member.store {
            return Err(Error::Invalid("a data node joins the fleet with its kernel's store".to_owned()));
        }
        let links = Links::new(runtime.clone(), settings.tls.clone(), Arc::clone(roster));
        let run = Run(world.random.next_u64());
        let (replicas, failed) = (Mutex::default(), watch::Sender::new(None));
        let throttle = Throttle::new(settings.copy_bytes_per_s);
        let shared =
            Arc::new(Shared { settings, me, run, kernel, meta, links, keeper, runtime, throttle, world, replicas, failed });
        let of = Arc::downgrade(&shared);
        shared.kernel.listen_to_led(Box::new(move |slice, news| {
            let event = match news {
                LedNews::Flushed { flushed, log_after } => Event::Flushed { flushed, log_after },
                LedNews::PinLost { peer } => Event::PinLost { peer },
            };
            if let Some(shared) = of.upgrade() {
                shared.tell(slice, Input::Event(event));
            }
        }));
        let (alive, stopping) = watch::channel(());
        for led in shared.kernel.led_slices() {
            shared.begin(led, stopping.clone());
        }
        let slices = Range::prefix(entries::SLICES)?;
        let placed = Placed { shared: Arc::clone(&shared), stopping: stopping.clone() };
        let following = Following::new(Arc::clone(&shared.meta), slices, Arc::new(placed));
        if shared.kernel.settings().retention.is_some() {
            shared.runtime.spawn(retention::watch(Arc::clone(&shared), stopping.clone()));
        }
        shared.runtime.spawn(following.run(stopping));
        Ok(DataNode { shared, alive })
    }

    /// Ends its replicas, and waits until they have: their store may be closed then. What they were doing to it is done.
    pub async fn stop(&self) {
        self.alive.send_replace(());
        self.alive.closed().await;
    }

    /// The replica that this node's store is.
    #[must_use]
    pub fn me(&self) -> ReplicaId {
        self.shared.me
    }

    /// Its database.
    #[must_use]
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.shared.kernel
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.shared.keeper
    }

    /// Bytes of files that were copied to this node since it was started.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.shared.throttle.copied()
    }

    /// The store of a replica here.
    pub(super) fn led(&self, slice: SliceId) -> Option<LedSlice> {
        self.shared.replicas.lock().get(&slice).map(|inputs| inputs.led.clone())
    }

    /// How a replica here stands, and its store.
    pub(super) fn reign(&self, slice: SliceId) -> Option<(Arc<Reign>, LedSlice)> {
        self.shared.replicas.lock().get(&slice).map(|inputs| (Arc::clone(&inputs.reign), inputs.led.clone()))
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.now()
    }

    /// What its replicas take on disk and in memory: (slice, whether it is led here, bytes).
    #[must_use]
    pub fn sizes(&self) -> Vec<(SliceId, bool, u64)> {
        let leads: HashMap<SliceId, bool> =
            self.shared.replicas.lock().iter().map(|(slice, inputs)| (*slice, inputs.reign.leads())).collect();
        let size = |status: kernel::SliceStatus| {
            leads.get(&status.slice).map(|leads| (status.slice, *leads, status.file_bytes + status.buffered_bytes))
        };
        self.shared.kernel.slices().into_iter().filter_map(size).collect()
    }

    /// Hands the slices that are led here to other members, before the process ends in order; how many are still led here when
    /// all are gone, or the time is up. Those are taken over when the lease ends.
    pub async fn hand_over(&self, limit: Duration) -> usize {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let led: Vec<SliceId> = self.sizes().into_iter().filter(|(_, leads, _)| *leads).map(|(slice, ..)| slice).collect();
            let mut left = 0;
            for slice in led {
                let (answer, told) = oneshot::channel();
                let asked = self.ask(slice, Asked::Look { answer });
                let Some((true, Some(entry), _)) = (if asked.is_ok() { told.await.ok() } else { None }) else { continue };
                // Without another member in step there is nobody to take it.
                if let Some(to) = entry.members.iter().copied().find(|member| *member != self.me()) {
                    left += 1;
                    // Lost where it finds no room: it is asked again.
                    drop(self.ask(slice, Asked::HandOver { to }));
                }
            }
            if left == 0 || tokio::time::Instant::now() >= deadline {
                return left;
            }
            tokio::time::sleep(HAND_OVER_PAUSE).await;
        }
    }

    /// Asks a slice's replica here.
    ///
    /// # Errors
    /// `Refused::NotPrimary` where there is none, `Refused::Busy` where too much waits for it.
    pub fn ask(&self, slice: SliceId, asked: Asked) -> Result<(), Refused> {
        self.shared.ask(slice, asked)
    }

    /// Waits until a replica's store has failed, and says how: then the process must open its store again.
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

    /// A message of another node's replica. What is meant for another store, finds no room, or needs kinds that can't be had,
    /// is dropped.
    pub(super) async fn deliver(&self, parcel: &Parcel) {
        let (Some(from), Some(message)) = (parcel.from.replica(), parcel.message()) else {
            return tracing::debug!("a message between replicas that can't be read is dropped");
        };
        if parcel.to.replica() != Some(self.shared.me) {
            return;
        }
        if parcel.brings_samples()
            && let Err(fault) = self.shared.keeper.reach(parcel.kinds_end, Some(from.node), KINDS_WAIT).await
        {
            return tracing::warn!(slice = parcel.slice, %fault, "a message between replicas is dropped");
        }
        if let Some(inputs) = self.shared.replicas.lock().get(&SliceId(parcel.slice)) {
            drop(inputs.outside.try_send(Input::Message(from, message)));
        }
    }
}
