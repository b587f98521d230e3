//! A data node: its replicas, and what it knows of slices and nodes.
//!
//! Shared state: `replicas` (a task's inputs by slice) under one mutex, held for a moment. Only the roster's task and
//! `start` put replicas there; a replica that ends takes itself out.
//! Promises: a replica exists for each slice whose entry names this store, from when meta said so until its data are deleted;
//! the node's address stands in meta before its first replica speaks. May not know what replicas say.

use super::entries;
use super::links::{Addresses, Links};
use super::messages::Parcel;
use super::replica::{Actor, Ended};
use super::rows::Refused;
use crate::calls::Tls;
use crate::tickets::answered;
use bytes::Bytes;
use kernel::{Kernel, LedNews, LedSlice, Snapshot};
use meta::{Changed, Error, Hint, Key, Meta, PAGE_ENTRIES_MAX, Range, Revision, SWAP_KEYS_MAX, Swap};
use parking_lot::Mutex;
use protocol::{Consistency, Event, Message, Moment, ReplicaId, Run, SliceEntry};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Epoch, NodeId, Origin, SliceId, Version};
use world::{Abandoned, World};

/// The most that waits for a replica from outside.
const INPUTS_MAX: usize = 16_384;
/// How long a roster that could not be read is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// What a node is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// Its number in the fleet.
    pub node: NodeId,
    /// Where other nodes reach it: `https://HOST:PORT`.
    pub address: String,
    /// Its certificate, and whose certificates it accepts.
    pub tls: Tls,
    /// The protocols' numbers.
    pub protocol: protocol::Settings,
}

/// What is asked of a replica from outside.
pub enum Asked {
    /// A batch.
    Write {
        /// Whose.
        origin: Origin,
        /// The record's body.
        body: Bytes,
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
    own: mpsc::UnboundedSender<Input>,
    outside: mpsc::Sender<Input>,
}

/// What all tasks of a node share.
pub(super) struct Shared {
    pub settings: Settings,
    pub me: ReplicaId,
    pub run: Run,
    pub kernel: Arc<Kernel>,
    pub meta: Arc<dyn Meta>,
    pub links: Links,
    pub runtime: Handle,
    world: World,
    addresses: Arc<Addresses>,
    replicas: Mutex<HashMap<SliceId, Inputs>>,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn now(&self) -> Moment {
        Moment(self.world.clock.monotonic_us())
    }

    fn tell(&self, slice: SliceId, input: Input) {
        if let Some(inputs) = self.replicas.lock().get(&slice) {
            drop(inputs.own.send(input));
        }
    }

    /// Begins with a replica, unless it is there.
    fn begin(self: &Arc<Self>, led: LedSlice) {
        let (slice, mut replicas) = (led.id(), self.replicas.lock());
        if replicas.contains_key(&slice) {
            return;
        }
        let (own, own_inputs) = mpsc::unbounded_channel();
        let (outside, outside_inputs) = mpsc::channel(INPUTS_MAX);
        let actor = Actor::new(self, led, own.clone());
        replicas.insert(slice, Inputs { own, outside });
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let ended = actor.run(own_inputs, outside_inputs).await;
            shared.replicas.lock().remove(&slice);
            if let Some(Ended::Failed(fault)) = ended {
                shared.failed.send_replace(Some(format!("slice {slice}: {fault}")));
            }
        });
    }

    /// A slice's entry, as meta has it.
    fn learn(self: &Arc<Self>, slice: SliceId, entry: SliceEntry, revision: Revision) {
        let here = self.replicas.lock().contains_key(&slice);
        if !here && entry.has(self.me) {
            match self.kernel.lead(slice) {
                Ok(led) => self.begin(led),
                Err(fault) => {
                    tracing::error!(%slice, %fault, "a slice that the fleet placed here can't be led");
                    return;
                }
            }
        }
        self.tell(slice, Input::Entry { entry, revision, seen: None });
    }

    /// What stands under a key of the roster.
    fn note(self: &Arc<Self>, entry: &meta::Entry) {
        if let Some(slice) = entries::number(&entry.key, entries::SLICES) {
            match (u32::try_from(slice), entries::slice_entry(&entry.value)) {
                (Ok(slice), Some(found)) => self.learn(SliceId(slice), found, entry.modified),
                _ => tracing::error!(key = %entry.key, "a slice's entry can't be read: is it of another release?"),
            }
        } else if let Some(node) = entries::number(&entry.key, entries::NODES)
            && let Some((address, _)) = entries::node_address(&entry.value)
        {
            self.addresses.write().insert(NodeId(node), address);
        }
    }

    /// Reads all of a range; answers the revision of its first page.
    async fn read(self: &Arc<Self>, range: &Range) -> Result<Revision, Error> {
        let (mut rest, mut first) = (range.clone(), None);
        loop {
            let page = answered(self.meta.range(&rest, PAGE_ENTRIES_MAX)).await.map_err(gone)??;
            page.entries.iter().for_each(|entry| self.note(entry));
            let revision = *first.get_or_insert(page.revision);
            match page.entries.last().filter(|_| page.more) {
                Some(last) => rest = rest.after(&last.key),
                None => return Ok(revision),
            }
        }
    }

    async fn read_keys(self: &Arc<Self>, keys: &[Key]) -> Result<(), Error> {
        for keys in keys.chunks(SWAP_KEYS_MAX) {
            let found = answered(self.meta.get(keys)).await.map_err(gone)??;
            found.entries.iter().flatten().for_each(|entry| self.note(entry));
        }
        Ok(())
    }

    /// Follows a range of meta until it fails.
    async fn follow(self: &Arc<Self>, range: &Range) -> Result<(), Error> {
        let mut watch = self.meta.watch(range, self.read(range).await?)?;
        loop {
            let Hint { changed, .. } = answered(watch.hint()).await.map_err(gone)?;
            match changed {
                Changed::Anything => drop(self.read(range).await?),
                Changed::Keys(keys) => self.read_keys(&keys.into_iter().collect::<Vec<_>>()).await?,
            }
        }
    }
}

fn gone(_: Abandoned) -> Error {
    Error::Unavailable("meta was closed".to_owned())
}

/// Keeps the roster of a range up to date until the node is dropped.
async fn keep(shared: Arc<Shared>, range: Range, mut stopping: watch::Receiver<()>) {
    loop {
        let followed = tokio::select! {
            followed = shared.follow(&range) => followed,
            // Only ever ends by its sender's going.
            _ = stopping.changed() => return shared.replicas.lock().clear(),
        };
        if let Err(fault) = followed {
            tracing::debug!(%fault, "the roster is read anew");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A data node. Dropping it ends its replicas.
pub struct DataNode {
    shared: Arc<Shared>,
    _alive: watch::Sender<()>,
}

impl DataNode {
    /// Starts a node over a kernel: tells meta where it is reached, opens the replicas that the kernel has, and from then on
    /// those that meta places here.
    ///
    /// # Errors
    /// `Error` of meta, where the node's address can't be written there.
    pub async fn start(
        settings: Settings,
        kernel: Arc<Kernel>,
        meta: Arc<dyn Meta>,
        world: World,
        runtime: Handle,
    ) -> Result<DataNode, Error> {
        let me = ReplicaId { node: settings.node, store: kernel.store() };
        let told = Swap::new().put(&entries::node_key(settings.node), entries::node_value(&settings.address, me.store));
        answered(meta.swap(told)).await.map_err(gone)??;
        let addresses = Arc::new(Addresses::default());
        let links = Links::new(runtime.clone(), settings.tls.clone(), Arc::clone(&addresses));
        let run = Run(world.random.next_u64());
        let (replicas, failed) = (Mutex::default(), watch::Sender::new(None));
        let shared = Arc::new(Shared { settings, me, run, kernel, meta, links, runtime, world, addresses, replicas, failed });
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
        for led in shared.kernel.led_slices() {
            shared.begin(led);
        }
        let (alive, stopping) = watch::channel(());
        for prefix in [entries::NODES, entries::SLICES] {
            shared.runtime.spawn(keep(Arc::clone(&shared), Range::prefix(prefix)?, stopping.clone()));
        }
        Ok(DataNode { shared, _alive: alive })
    }

    /// The replica that this node's store is.
    #[must_use]
    pub fn me(&self) -> ReplicaId {
        self.shared.me
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.shared.kernel
    }

    /// Asks a slice's replica here.
    ///
    /// # Errors
    /// `Refused::NotPrimary` where there is none, `Refused::Busy` where too much waits for it.
    pub fn ask(&self, slice: SliceId, asked: Asked) -> Result<(), Refused> {
        let replicas = self.shared.replicas.lock();
        let inputs = replicas.get(&slice).ok_or(Refused::NotPrimary { leader: None })?;
        inputs.outside.try_send(Input::Asked(asked)).map_err(|_| Refused::Busy)
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

    /// A message of another node's replica. What is meant for another store, or finds no room, is dropped.
    pub(super) fn deliver(&self, parcel: &Parcel) {
        let (Some(from), Some(message)) = (parcel.from.replica(), parcel.message()) else {
            return tracing::debug!("a message between replicas that can't be read is dropped");
        };
        if parcel.to.replica() != Some(self.shared.me) {
            return;
        }
        if let Some(inputs) = self.shared.replicas.lock().get(&SliceId(parcel.slice)) {
            drop(inputs.outside.try_send(Input::Message(from, message)));
        }
    }
}
