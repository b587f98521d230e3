//! A manager: it hears reports, follows meta, and, while it is the one, has done what its machine wants.
//!
//! Shared state: `machines` under one mutex, fed by reports and asked by the one task that tends; `heard` likewise, asked by
//! operators; what stands in meta (`standing`). Lock order: `standing`, then `machines`. Promises: swaps compare what they were decided on; an order
//! goes to the primary that it was meant for. Swaps and orders may be lost: the machine wants them again. May not know how
//! meta is reached.

use super::service::Report;
use super::standing::Followed;
use crate::data::messages::Nothing;
use crate::data::{HAND_OVER, HandingOver};
use crate::fleet::entries::{node_key, node_value, slice_key, slice_value, target_key, target_value};
use crate::fleet::tenure::Tenure;
use crate::fleet::{Lines, NodeRecord, TargetRecord};
use meta::{Error, Is, Meta, Swap};
use parking_lot::Mutex;
use protocol::Moment;
use protocol::membership::{Busyness, Manager, ManagerSettings, NodeReport, Order, Wanted};
use protocol::quotas::Ledger;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::Status;
use types::{NodeId, SliceId, StoreId, Version};
use world::{Clock, World};

/// How often the fleet is tended.
const PAUSE: Duration = Duration::from_millis(200);
/// Where the manager stands that tends the fleet.
const TENDING: &str = "tending";
/// How long an order waits for its answer.
const ORDER: Duration = Duration::from_millis(1_000);

/// Numbers of a manager.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its machine's.
    pub machine: ManagerSettings,
    /// The most slices that move at once.
    pub moves_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { machine: ManagerSettings::default(), moves_max: 64 }
    }
}

struct Machines {
    /// Of data nodes and slices.
    data: Manager,
    /// Of processes that hold none: of them only the states matter.
    others: Manager,
}

/// What was last heard of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub at: Moment,
    pub store: StoreId,
    pub busyness: Busyness,
}

/// All that was heard.
#[derive(Default)]
pub(super) struct Hearsay {
    pub nodes: BTreeMap<NodeId, Heard>,
    /// What slices take at their primaries.
    pub sizes: BTreeMap<SliceId, u64>,
    /// What other copies of them take.
    pub copies: BTreeMap<(SliceId, NodeId), u64>,
    /// The newest write that readers saw of each replica, and when that was heard.
    pub versions: BTreeMap<(SliceId, NodeId), (Version, Moment)>,
}

pub(super) struct Shared {
    pub run: u64,
    meta: Arc<dyn Meta>,
    lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
    pub settings: Settings,
    standing: Followed,
    machines: Mutex<Machines>,
    pub heard: Mutex<Hearsay>,
    /// What servers of clients may use of limits that they share.
    pub ledger: Mutex<Ledger>,
    tends: AtomicBool,
}

/// A manager. Dropping it ends it.
pub struct ManagerNode {
    shared: Arc<Shared>,
    _alive: watch::Sender<()>,
}

impl ManagerNode {
    /// Starts a manager, under its number in the fleet.
    ///
    /// # Errors
    /// Of meta, where it can't be read at first.
    pub async fn start(
        settings: Settings,
        me: NodeId,
        meta: Arc<dyn Meta>,
        lines: Arc<Lines>,
        world: &World,
        runtime: &Handle,
    ) -> Result<ManagerNode, Error> {
        let standing = Followed::follow(&meta, runtime).await?;
        let now = Moment(world.clock.monotonic_us());
        let machine = || Manager::new(settings.machine.clone(), now);
        let machines = Mutex::new(Machines { data: machine(), others: machine() });
        let clock = Arc::clone(&world.clock);
        let lease = Tenure::new(TENDING, Arc::clone(&meta), Arc::clone(&clock), me);
        let (run, heard, tends) = (world.random.next_u64(), Mutex::default(), AtomicBool::new(false));
        let ledger = Mutex::new(Ledger::new(now));
        let shared = Arc::new(Shared { run, meta, lines, clock, settings, standing, machines, heard, ledger, tends });
        let (alive, stopping) = watch::channel(());
        runtime.spawn(tend(Arc::clone(&shared), lease, stopping));
        Ok(ManagerNode { shared, _alive: alive })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether this is the manager that tends the fleet now.
    #[must_use]
    pub fn tends(&self) -> bool {
        self.shared.is_tending()
    }

    /// How busy a node is, in thousandths, as last heard: for readers that may choose among copies.
    #[must_use]
    pub fn busyness(&self, node: NodeId) -> Option<u32> {
        self.shared.machines.lock().data.busyness(node)
    }
}

async fn tend(shared: Arc<Shared>, mut lease: Tenure, mut stopping: watch::Receiver<()>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            // Only ever ends by its sender's going.
            _ = stopping.changed() => return lease.give_up().await,
        }
        let tends = lease.is_held().await;
        shared.tends.store(tends, Ordering::Relaxed);
        if tends {
            shared.tend();
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> Moment {
        Moment(self.clock.monotonic_us())
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Whether this is the manager that tends the fleet now.
    pub(super) fn is_tending(&self) -> bool {
        self.tends.load(Ordering::Relaxed)
    }

    /// A process reports. False where its store is not the one that meta names under its number, as far as is known here: it
    /// lost the number to another process, or this manager has not heard of it yet. That counts for nothing.
    pub(super) fn hear(&self, report: Report) -> bool {
        let now = self.now();
        let Report { node, store, busyness, sizes: replicas } = report;
        if !self.lines.roster().names(node, store) {
            return false;
        }
        let led = || replicas.iter().filter(|size| size.leads);
        let sizes: Vec<(SliceId, u64)> = led().map(|size| (size.slice, size.bytes)).collect();
        {
            let mut heard = self.heard.lock();
            heard.nodes.insert(node, Heard { at: now, store, busyness });
            heard.copies.retain(|(slice, of), _| *of != node || !led().any(|size| size.slice == *slice));
            heard.sizes.extend(sizes.iter().copied());
            let copies = replicas.iter().filter(|size| !size.leads);
            heard.copies.extend(copies.map(|size| ((size.slice, node), size.bytes)));
            heard.versions.extend(replicas.iter().map(|size| ((size.slice, node), (size.version, now))));
        }
        let mut machines = self.machines.lock();
        let report = NodeReport { node, store, busyness, sizes };
        machines.others.report(now, &report);
        machines.data.report(now, &report);
        true
    }

    fn tend(self: &Arc<Self>) {
        let (now, mut wanted) = (self.now(), Vec::new());
        let mut swaps = Vec::new();
        {
            let mut standing = self.standing.lock();
            standing.choose(self.settings.moves_max);
            let mut machines = self.machines.lock();
            machines.data.tend(now, &standing.view, &mut wanted);
            machines.others.tend(now, &standing.others, &mut wanted);
            for wanted in wanted {
                tracing::debug!(?wanted, "the manager wants");
                match wanted {
                    Wanted::Order { order, .. } => self.order(order),
                    Wanted::Slice { slice, expect, next } => {
                        let key = slice_key(slice);
                        swaps.push(Swap::new().when(&key, Is::Modified(expect)).put(&key, slice_value(&next)));
                    }
                    Wanted::Node { node, expect, next } => {
                        let key = node_key(node);
                        // The rest of the record is of the same revision, or the swap compares in vain.
                        if let Some(seen) = standing.records.get(&node) {
                            let record = NodeRecord { entry: next, ..seen.value.clone() };
                            swaps.push(Swap::new().when(&key, Is::Modified(expect)).put(&key, node_value(&record)));
                        }
                    }
                    Wanted::Target { slice, expect, next } => {
                        let key = target_key(slice);
                        let swap = Swap::new().when(&key, expect.map_or(Is::Absent, Is::Modified));
                        let entry = standing.view.slices.get(&slice).map(|seen| &seen.value);
                        let before = entry.map(|entry| entry.everyone().map(|id| id.node).collect()).unwrap_or_default();
                        let (why, since_us) = ("mend".to_owned(), self.clock.wall_us());
                        swaps.push(match next {
                            Some(nodes) => swap.put(&key, target_value(&TargetRecord { nodes, before, why, since_us })),
                            None => swap.delete(&key),
                        });
                    }
                }
            }
        }
        for swap in swaps {
            let key = swap.conditions.first().map(|(key, _)| key.clone());
            // Whatever comes of it is seen in meta; what was lost is wanted again.
            self.meta.swap(swap).on_done(move |done| tracing::debug!(?key, ?done, "a manager's swap ended"));
        }
    }

    fn order(self: &Arc<Self>, order: Order) {
        let Order::HandOver { slice, primary, to } = order;
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let order = HandingOver { slice: slice.0, primary: primary.into(), to: to.into() };
            let told: Result<Nothing, Status> = shared.lines.ask(primary.node, HAND_OVER, order, ORDER).await;
            if let Err(status) = told {
                tracing::debug!(%slice, %primary, %status, "an order to hand a slice over was not taken");
            }
        });
    }
}
