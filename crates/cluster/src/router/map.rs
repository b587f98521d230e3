//! The slice map as a scheduler knows it, and who is asked for what.
//!
//! Shared state: `slices`, written by the one task that follows meta, read by all; `changed` tells that it was written. `load`
//! counts what is under way to each node: it follows a node that slows down at once. `busy` is what nodes last reported
//! (processor, network, disk, memory, weighed), and may be seconds old; it weighs what is under way, so that of two nodes with as
//! much, the less busy one is asked, and of two as busy, the one with less.
//! Promises: of one slice the map never goes back. It may be old: whoever is asked says so. May not know what is asked.

use super::{Freshness, RouteError};
use crate::fleet::entries::{self, slice_entry};
use crate::fleet::following::{Following, Listener};
use meta::{Entry, Error, Key, Meta, Range};
use parking_lot::{Mutex, RwLock};
use protocol::SliceEntry;
use protocol::membership::Seen;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{Epoch, NodeId, Revision, SliceId};

#[derive(Default)]
struct Known {
    slices: RwLock<BTreeMap<SliceId, Seen<SliceEntry>>>,
    changed: watch::Sender<()>,
}

impl Listener for Known {
    fn stands(&self, entry: &Entry) {
        let Some(slice) = entries::number(&entry.key, entries::SLICES).and_then(|number| u32::try_from(number).ok()) else {
            return;
        };
        match slice_entry(&entry.value) {
            Some(value) => {
                let mut slices = self.slices.write();
                // Who follows and who refreshes may read side by side.
                if slices.get(&SliceId(slice)).is_none_or(|known| known.revision <= entry.modified) {
                    slices.insert(SliceId(slice), Seen { value, revision: entry.modified });
                }
            }
            None => tracing::error!(key = %entry.key, "a slice's entry can't be read: is it of another release?"),
        }
        self.changed.send_replace(());
    }

    fn is_gone(&self, key: &Key) {
        let slice = entries::number(key, entries::SLICES).and_then(|number| u32::try_from(number).ok());
        if let Some(slice) = slice {
            self.slices.write().remove(&SliceId(slice));
            self.changed.send_replace(());
        }
    }
}

/// The slice map. Dropping it ends the watch.
pub struct SliceMap {
    meta: Arc<dyn Meta>,
    known: Arc<Known>,
    load: Mutex<HashMap<NodeId, Arc<AtomicUsize>>>,
    busy: RwLock<BTreeMap<NodeId, u32>>,
    _alive: watch::Sender<()>,
}

/// Who is to be asked for slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The newest revision of the entries that it was made from.
    pub revision: Revision,
    /// The nodes, each with its slices, rising.
    pub nodes: BTreeMap<NodeId, Vec<Chosen>>,
}

/// A slice, and the epoch that the map shows.
pub type Chosen = (SliceId, Epoch);

/// Something that is under way to a node.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SliceMap {
    pub(super) async fn follow(meta: Arc<dyn Meta>, runtime: &Handle) -> Result<Arc<SliceMap>, Error> {
        let known = Arc::new(Known::default());
        let mut following = Following::new(Arc::clone(&meta), Range::prefix(entries::SLICES)?, Arc::clone(&known));
        following.read().await?;
        let (alive, stopping) = watch::channel(());
        runtime.spawn(following.run(stopping));
        Ok(Arc::new(SliceMap { meta, known, load: Mutex::default(), busy: RwLock::default(), _alive: alive }))
    }

    /// Reads the map anew: after that it is as new as meta was when this was called.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let mut once = Following::new(Arc::clone(&self.meta), Range::prefix(entries::SLICES)?, Arc::clone(&self.known));
        once.read().await.map(drop)
    }

    /// The entry of a slice.
    #[must_use]
    pub fn entry(&self, slice: SliceId) -> Option<SliceEntry> {
        self.known.slices.read().get(&slice).map(|seen| seen.value.clone())
    }

    /// Who leads a slice.
    #[must_use]
    pub fn primary(&self, slice: SliceId) -> Option<NodeId> {
        self.known.slices.read().get(&slice).map(|seen| seen.value.primary.node)
    }

    /// All entries, with the revision of each.
    #[must_use]
    pub fn all(&self) -> BTreeMap<SliceId, Seen<SliceEntry>> {
        self.known.slices.read().clone()
    }

    /// Tells of changes: what it holds is of no meaning.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.known.changed.subscribe()
    }

    fn counter(&self, node: NodeId) -> Arc<AtomicUsize> {
        Arc::clone(self.load.lock().entry(node).or_default())
    }

    /// Notes how busy nodes are, in thousandths; those that are left out have not said so lately, and count as half busy.
    pub fn note_busyness(&self, busy: BTreeMap<NodeId, u32>) {
        *self.busy.write() = busy;
    }

    /// Counts something as under way to a node, until the answer is dropped.
    pub(super) fn under_way(&self, node: NodeId) -> UnderWay {
        let counter = self.counter(node);
        counter.fetch_add(1, Ordering::Relaxed);
        UnderWay(counter)
    }

    /// Chooses one node a slice: its primary, or, where the freshness lets it, the member with the least to do. Nobody of
    /// `avoided` is chosen where there is another.
    ///
    /// # Errors
    /// `RouteError::Unplaced`.
    pub fn choose(&self, slices: &[SliceId], freshness: &Freshness, avoided: &[NodeId]) -> Result<Choice, RouteError> {
        let (known, busy) = (self.known.slices.read(), self.busy.read());
        let mut choice = Choice::default();
        for slice in slices {
            let seen = known.get(slice).ok_or(RouteError::Unplaced { slice: *slice })?;
            let node = self.one_of(&seen.value, freshness, (avoided, &busy), &choice);
            choice.revision = choice.revision.max(seen.revision);
            choice.nodes.entry(node).or_default().push((*slice, seen.value.epoch));
        }
        Ok(choice)
    }

    /// The node that is to be asked for one slice.
    pub(super) fn choose_one(&self, slice: SliceId, freshness: &Freshness) -> Result<NodeId, RouteError> {
        let (known, busy) = (self.known.slices.read(), self.busy.read());
        let seen = known.get(&slice).ok_or(RouteError::Unplaced { slice })?;
        Ok(self.one_of(&seen.value, freshness, (&[], &busy), &Choice::default()))
    }

    fn one_of(
        &self,
        entry: &SliceEntry,
        freshness: &Freshness,
        (avoided, busy): (&[NodeId], &BTreeMap<NodeId, u32>),
        choice: &Choice,
    ) -> NodeId {
        let primary = entry.primary.node;
        let copies = entry.members.iter().map(|member| member.node).filter(|node| !avoided.contains(node));
        // What this very choice gives a node counts, too: else one node would get it all.
        let load = |node: &NodeId| {
            let given = choice.nodes.get(node).map_or(0, Vec::len);
            let under_way = self.counter(*node).load(Ordering::Relaxed);
            (weighed(under_way, given, busy.get(node).copied()), *node != primary)
        };
        match freshness {
            Freshness::Primary if !avoided.contains(&primary) => primary,
            // Only the primary may answer, unless it can't: a member may lead by now.
            _ => copies.min_by_key(load).unwrap_or(primary),
        }
    }
}

/// What a node has to do, to be compared with others': what is under way and what it is given now, weighed by how busy it says it is.
/// A node that stands still weighs three times an idle one.
fn weighed(under_way: usize, given: usize, busy_permille: Option<u32>) -> usize {
    let busy = busy_permille.map_or(500, |busy| busy.min(1_000) as usize);
    // Nodes that have nothing to do differ by what they say, too.
    (under_way * 16 + given + 8) * (500 + busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_what_nodes_say_and_what_is_under_way_weigh() {
        // (under way, given, busy) of the one that is chosen, and of the other.
        let rows = [
            ((0, 0, Some(100)), (0, 0, Some(900))),
            ((1, 0, Some(100)), (1, 0, Some(900))),
            ((0, 0, Some(900)), (2, 0, Some(100))),
            ((0, 0, None), (0, 0, Some(900))),
            ((0, 0, Some(300)), (0, 0, None)),
            ((0, 1, Some(500)), (0, 2, Some(500))),
            ((3, 0, Some(4_000)), (3, 1, Some(1_000))),
        ];
        for (chosen, other) in rows {
            let [chosen_weighs, other_weighs] = [chosen, other].map(|(under_way, given, busy)| weighed(under_way, given, busy));
            assert!(chosen_weighs < other_weighs, "{chosen:?} before {other:?}");
        }
    }
}
