//! A data node: its replicas, and what it knows of slices.
//!
//! Shared state: `replicas` (a task's inputs by slice) under one mutex, held for a moment. Only who follows meta (`placed`) and
//! `start` put replicas there; a replica that ends takes itself out.
//! Promises: a replica exists for each slice whose entry names this store, from when meta said so until its data are deleted;
//! what brings samples is delivered once their tags' kinds are known here. May not know what replicas say.

use super::copying::Throttle;
use super::gate::Gate;
use super::messages::Parcel;
use super::placed::{self, Placed};
use super::refused::Refused;
use super::reign::Reign;
use super::replica::{Actor, Ended};
use super::retention;
use crate::fleet::{FleetRule, Member, Roster};
use crate::identity::Identity;
use crate::kinds::Keeper;
use crate::links::Links;
use kernel::{Draft, Kernel, LedNews, LedSlice, Snapshot};
use meta::{Error, Meta, Revision};
use parking_lot::Mutex;
use protocol::{Consistency, Event, History, Message, Moment, ReplicaId, Run, SliceEntry};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Epoch, NodeId, Origin, SliceId, Version};
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
    /// Which slice a sample lies in: its kernel follows.
    pub rule: Arc<FleetRule>,
    /// Its certificate, and whose certificates it accepts.
    pub identity: Identity,
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
        /// Answered with what it sees now.
        answer: oneshot::Sender<Looked>,
    },
}

/// What a replica takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// Of which slice.
    pub slice: SliceId,
    /// Whether it is led here.
    pub leads: bool,
    /// Bytes on disk and in memory.
    pub bytes: u64,
    /// The newest write that readers see of it.
    pub version: Version,
}

/// Where a replica stands.
pub struct Looked {
    /// Whether it leads.
    pub leads: bool,
    /// How few members must remain, where it leads and hears fewer: then it vouches for nothing.
    pub lacks_members: Option<u32>,
    /// The entry as it knows it.
    pub entry: Option<SliceEntry>,
    /// The writes of its log.
    pub history: History,
    /// The newest write that readers see here.
    pub published: Version,
}

/// What goes into a replica's task.
pub(super) enum Input {
    Event(Event),
    Message(ReplicaId, Message),
    Entry {
        entry: SliceEntry,
        revision: Revision,
        seen: Option<Epoch>,
    },
    Asked(Asked),
    Failed(String),
    /// The gate was opened: what waited before it goes on.
    Opened,
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
    /// Before the places of writes.
    pub gate: Gate,
    /// Held by whoever has the kernel follow the rule.
    pub ruling: Mutex<()>,
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

    pub(super) fn tell(&self, slice: SliceId, input: Input) {
        if let Some(inputs) = self.replicas.lock().get(&slice) {
            drop(inputs.own.send(input));
        }
    }

    /// Tells all replicas.
    pub(super) fn tell_all(&self, input: impl Fn() -> Input) {
        self.replicas.lock().values().for_each(|inputs| drop(inputs.own.send(input())));
    }

    /// Whether there is a replica of a slice.
    pub(super) fn is_here(&self, slice: SliceId) -> bool {
        self.replicas.lock().contains_key(&slice)
    }

    /// The store can't go on: the process must open it again.
    pub(super) fn fail(&self, fault: String) {
        self.failed.send_replace(Some(fault));
    }

    /// Begins with a replica, unless it is there.
    pub(super) fn begin(self: &Arc<Self>, led: LedSlice, mut stopping: watch::Receiver<()>) {
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
                shared.fail(format!("slice {slice}: {fault}"));
            }
        });
    }
}

/// A data node. Dropping it ends its replicas.
pub struct DataNode {
    pub(super) shared: Arc<Shared>,
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
        let links = Links::new(runtime.clone(), settings.identity.clone(), Arc::clone(roster));
        let run = Run(world.random.next_u64());
        let (ruling, replicas, failed) = (Mutex::default(), Mutex::default(), watch::Sender::new(None));
        let gate = Gate::default();
        let throttle = Throttle::new(settings.copy_bytes_per_s);
        let shared =
            Shared { settings, me, run, kernel, meta, links, keeper, runtime, throttle, gate, ruling, world, replicas, failed };
        let shared = Arc::new(shared);
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
        Placed::follow(&shared, stopping.clone())?;
        if shared.kernel.settings().retention.is_some() && !shared.kernel.settings().retention_told_only {
            shared.runtime.spawn(retention::watch(Arc::clone(&shared), stopping));
        }
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

    /// Waits until samples may come in: their kinds are known, and by which rule they lie. Whoever sends some knows of a tag.
    ///
    /// # Errors
    /// `Refused::UnknownTags`, `Refused::Unavailable`: it may be tried again.
    pub(super) async fn ready_for(&self, kinds_end: u64, from: Option<NodeId>, limit: Duration) -> Result<(), Refused> {
        let reached = self.shared.keeper.reach(kinds_end, from, limit).await;
        reached.map_err(|fault| Refused::UnknownTags(fault.to_string()))?;
        placed::settle_rule(&self.shared).await.map_err(Refused::Unavailable)
    }

    /// The store of a replica here.
    pub(super) fn led(&self, slice: SliceId) -> Option<LedSlice> {
        self.shared.replicas.lock().get(&slice).map(|inputs| inputs.led.clone())
    }

    /// The store of a slice that is led here.
    pub(crate) fn led_here(&self, slice: SliceId) -> Option<LedSlice> {
        self.reign(slice).filter(|(reign, _)| reign.leads()).map(|(_, led)| led)
    }

    /// How a replica here stands, and its store.
    pub(super) fn reign(&self, slice: SliceId) -> Option<(Arc<Reign>, LedSlice)> {
        self.shared.replicas.lock().get(&slice).map(|inputs| (Arc::clone(&inputs.reign), inputs.led.clone()))
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.now()
    }

    /// What its replicas take on disk and in memory, and what readers see of them.
    #[must_use]
    pub fn sizes(&self) -> Vec<ReplicaSize> {
        let leads: HashMap<SliceId, bool> =
            self.shared.replicas.lock().iter().map(|(slice, inputs)| (*slice, inputs.reign.leads())).collect();
        let size = |status: kernel::SliceStatus| {
            let (slice, bytes, version) = (status.slice, status.file_bytes + status.buffered_bytes, status.version);
            leads.get(&slice).map(|leads| ReplicaSize { slice, leads: *leads, bytes, version })
        };
        self.shared.kernel.slices().into_iter().filter_map(size).collect()
    }

    /// Hands the slices that are led here to other members, before the process ends in order; how many are still led here when
    /// all are gone, or the time is up. Those are taken over when the lease ends.
    pub async fn hand_over(&self, limit: Duration) -> usize {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let led: Vec<SliceId> = self.sizes().into_iter().filter(|size| size.leads).map(|size| size.slice).collect();
            let mut left = 0;
            for slice in led {
                let (answer, told) = oneshot::channel();
                let asked = self.ask(slice, Asked::Look { answer });
                let looked = if asked.is_ok() { told.await.ok() } else { None };
                let Some(Looked { leads: true, entry: Some(entry), .. }) = looked else { continue };
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
            && let Err(fault) = self.ready_for(parcel.kinds_end, Some(from.node), KINDS_WAIT).await
        {
            return tracing::warn!(slice = parcel.slice, %fault, "a message between replicas is dropped");
        }
        if let Some(inputs) = self.shared.replicas.lock().get(&SliceId(parcel.slice)) {
            drop(inputs.outside.try_send(Input::Message(from, message)));
        }
    }
}
