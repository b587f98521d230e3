//! What stands in meta of the whole fleet: rule, processes, slice map, targets.
//!
//! Shared state: `held` under one mutex; tasks that follow meta write it, whoever tends or asks reads it. Promises: of one key
//! it never goes back; keys are of no common moment. May not know what follows from it.

use crate::fleet::entries::{self, FleetRecord, NodeRecord, Roles, TargetRecord};
use crate::fleet::following::{Following, Listener};
use meta::{Entry, Error, Key, Meta, Range};
use parking_lot::{Mutex, MutexGuard};
use protocol::membership::{Seen, View};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{NodeId, SliceId};

/// What stands in meta.
#[derive(Debug, Default)]
pub struct Standing {
    /// What holds for the whole fleet, once it was set.
    pub fleet: Option<Seen<FleetRecord>>,
    /// All processes.
    pub records: BTreeMap<NodeId, Seen<NodeRecord>>,
    /// All targets.
    pub targets: BTreeMap<SliceId, Seen<TargetRecord>>,
    /// Data nodes and slices, as the manager's machine wants them. Its targets are those under way.
    pub view: View,
    /// The other processes.
    pub others: View,
}

#[derive(Default)]
struct Held(Mutex<Standing>);

/// What stands in meta, followed.
pub(super) struct Followed {
    held: Arc<Held>,
    _alive: watch::Sender<()>,
}

fn ranges() -> Result<[Range; 4], Error> {
    let prefix = Range::prefix;
    Ok([Range::key(&entries::fleet_key()), prefix(entries::NODES)?, prefix(entries::SLICES)?, prefix(entries::TARGETS)?])
}

impl Standing {
    /// Reads all of it.
    pub(super) async fn read(meta: &Arc<dyn Meta>) -> Result<Standing, Error> {
        let held = Arc::new(Held::default());
        for range in ranges()? {
            Following::new(Arc::clone(meta), range, Arc::clone(&held)).read().await?;
        }
        let mut standing = held.0.lock();
        standing.choose(usize::MAX);
        Ok(std::mem::take(&mut *standing))
    }

    fn stands(&mut self, entry: &Entry) -> Option<()> {
        let (key, revision) = (&entry.key, entry.modified);
        if let Some(node) = entries::number(key, entries::NODES) {
            let (node, value) = (NodeId(node), entries::node_record(&entry.value)?);
            let (view, other) = if value.roles.has(Roles::DATA) {
                (&mut self.view, &mut self.others)
            } else {
                (&mut self.others, &mut self.view)
            };
            other.nodes.remove(&node);
            view.nodes.insert(node, Seen { value: value.entry.clone(), revision });
            self.records.insert(node, Seen { value, revision });
        } else if let Some(slice) = entries::slice_of(key, entries::SLICES) {
            let value = entries::slice_entry(&entry.value)?;
            self.view.slices.insert(slice, Seen { value, revision });
        } else if let Some(slice) = entries::slice_of(key, entries::TARGETS) {
            let value = entries::target_record(&entry.value)?;
            self.targets.insert(slice, Seen { value, revision });
        } else if *key == entries::fleet_key() {
            let value = entries::fleet_record(&entry.value)?;
            (self.view.copies, self.view.policy) = (value.copies, Some(value.policy));
            self.fleet = Some(Seen { value, revision });
        }
        Some(())
    }

    fn is_gone(&mut self, key: &Key) {
        if let Some(node) = entries::number(key, entries::NODES).map(NodeId) {
            self.records.remove(&node);
            self.view.nodes.remove(&node);
            self.others.nodes.remove(&node);
        } else if let Some(slice) = entries::slice_of(key, entries::SLICES) {
            self.view.slices.remove(&slice);
        } else if let Some(slice) = entries::slice_of(key, entries::TARGETS) {
            self.targets.remove(&slice);
            self.view.targets.remove(&slice);
        }
    }

    /// Chooses which targets are under way: so many, the oldest first, those of slices that can't move now last.
    pub(super) fn choose(&mut self, most: usize) {
        let Standing { targets, view, .. } = self;
        let stands = |slice: &SliceId| {
            let primary = view.slices.get(slice).map(|seen| seen.value.primary);
            primary.and_then(|id| view.nodes.get(&id.node)).is_some_and(|node| node.value.state.is_there())
        };
        let mut order: Vec<(&SliceId, &Seen<TargetRecord>)> = targets.iter().collect();
        if order.len() > most {
            order.sort_by_key(|(slice, seen)| (!stands(slice), seen.value.since_us, **slice));
            order.truncate(most);
        }
        let chosen = |(slice, seen): (&SliceId, &Seen<TargetRecord>)| {
            (*slice, Seen { value: seen.value.nodes.clone(), revision: seen.revision })
        };
        view.targets = order.into_iter().map(chosen).collect();
    }
}

impl Listener for Held {
    fn stands(&self, entry: &Entry) {
        if self.0.lock().stands(entry).is_none() {
            tracing::error!(key = %entry.key, "what stands in meta can't be read: is it of another release?");
        }
    }

    fn is_gone(&self, key: &Key) {
        self.0.lock().is_gone(key);
    }
}

impl Followed {
    /// Reads all of it, and follows it from then on.
    pub(super) async fn follow(meta: &Arc<dyn Meta>, runtime: &Handle) -> Result<Followed, Error> {
        let held = Arc::new(Held::default());
        let (alive, stopping) = watch::channel(());
        for range in ranges()? {
            let mut following = Following::new(Arc::clone(meta), range, Arc::clone(&held));
            following.read().await?;
            runtime.spawn(following.run(stopping.clone()));
        }
        Ok(Followed { held, _alive: alive })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        self.held.0.lock()
    }
}
