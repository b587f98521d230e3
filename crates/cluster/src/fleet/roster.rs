//! The fleet's processes, as meta has them: who there is, what each does, where it is reached.
//!
//! Shared state: `records`, written by the one task that follows meta, read by all; `changed` tells that it was written.
//! Promises: what is known of one process never goes back. It may be old. May not know who is alive.

use super::entries::{self, NodeRecord, Roles, node_record};
use super::following::{Following, Listener};
use meta::{Entry, Error, Key, Meta, Range};
use parking_lot::RwLock;
use protocol::membership::{NodeState, Seen};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{NodeId, StoreId};

#[derive(Default)]
struct Known {
    records: RwLock<BTreeMap<NodeId, Seen<NodeRecord>>>,
    changed: watch::Sender<()>,
}

/// The fleet's processes. Dropping it ends the watch.
pub struct Roster {
    known: Arc<Known>,
    _alive: watch::Sender<()>,
}

impl Listener for Known {
    fn stands(&self, entry: &Entry) {
        let Some(node) = entries::number(&entry.key, entries::NODES) else { return };
        match node_record(&entry.value) {
            Some(value) => drop(self.records.write().insert(NodeId(node), Seen { value, revision: entry.modified })),
            None => tracing::error!(key = %entry.key, "a node's entry can't be read: is it of another release?"),
        }
        self.changed.send_replace(());
    }

    fn is_gone(&self, key: &Key) {
        if let Some(node) = entries::number(key, entries::NODES) {
            self.records.write().remove(&NodeId(node));
            self.changed.send_replace(());
        }
    }
}

impl Roster {
    /// Reads who is there, and follows it from then on.
    ///
    /// # Errors
    /// Of meta, where it can't be read at first.
    pub async fn follow(meta: Arc<dyn Meta>, runtime: &Handle) -> Result<Arc<Roster>, Error> {
        let known = Arc::new(Known::default());
        let mut following = Following::new(meta, Range::prefix(entries::NODES)?, Arc::clone(&known));
        following.read().await?;
        let (alive, stopping) = watch::channel(());
        runtime.spawn(following.run(stopping));
        Ok(Arc::new(Roster { known, _alive: alive }))
    }

    /// Where a process is reached.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Option<String> {
        let records = self.known.records.read();
        records.get(&node).map(|seen| seen.value.address.clone()).filter(|address| !address.is_empty())
    }

    /// Whether a number is of this store.
    #[must_use]
    pub fn names(&self, node: NodeId, store: StoreId) -> bool {
        self.known.records.read().get(&node).is_some_and(|seen| seen.value.entry.store == store)
    }

    /// Everybody, and the revision of each.
    #[must_use]
    pub fn all(&self) -> BTreeMap<NodeId, Seen<NodeRecord>> {
        self.known.records.read().clone()
    }

    /// Those that play all of these roles.
    #[must_use]
    pub fn with(&self, roles: Roles) -> Vec<NodeId> {
        let records = self.known.records.read();
        records.iter().filter(|(_, seen)| seen.value.roles.has(roles)).map(|(node, _)| *node).collect()
    }

    /// How many play all of these roles and are not known to be down.
    #[must_use]
    pub fn alive(&self, roles: Roles) -> usize {
        let records = self.known.records.read();
        let is_down = |record: &NodeRecord| record.entry.state == NodeState::Down;
        records.values().filter(|seen| seen.value.roles.has(roles) && !is_down(&seen.value)).count()
    }

    /// Tells of changes: what it holds is of no meaning.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.known.changed.subscribe()
    }
}
