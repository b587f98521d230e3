//! The simulated meta of data nodes and managers: linearizable compare-and-swap of nodes, slices and targets; watched,
//! sometimes away.
//!
//! Promises: a swap happens whole or not, and against the law never; being away loses questions, or answers, or both. It
//! may not know who asks.

use protocol::membership::{NodeEntry, Seen, View};
use protocol::{EntryError, SliceEntry};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use types::{NodeId, Revision, SliceId};

/// Whether meta is away; fleets that are parts of one have one.
#[derive(Clone, Default)]
pub(crate) struct Away(Rc<Cell<(u32, bool)>>);

impl Away {
    /// It answers nobody from now on; where it `applies`, it still does what it is asked.
    pub(crate) fn begin(&self, applies: bool) {
        self.0.set((self.0.get().0 + 1, applies));
    }

    pub(crate) fn end(&self) {
        let (times, applies) = self.0.get();
        self.0.set((times.saturating_sub(1), applies));
    }

    pub(crate) fn clear(&self) {
        self.0.set((0, false));
    }

    pub(crate) fn answers(&self) -> bool {
        self.0.get().0 == 0
    }

    /// Whether it does what it is asked.
    pub(crate) fn acts(&self) -> bool {
        self.answers() || self.0.get().1
    }
}

/// Meta.
pub(crate) struct Meta {
    pub(crate) view: View,
    revision: u64,
    pub(crate) away: Away,
    /// The law is not asked (for the planted bug `PromoteNonMember`).
    pub(crate) lawless: bool,
}

impl Meta {
    pub(crate) fn new(nodes: Vec<NodeEntry>, slices: Vec<SliceEntry>, copies: u32, away: Away) -> Meta {
        let nodes = (0..).map(NodeId).zip(nodes.into_iter().map(|value| Seen { value, revision: Revision(1) })).collect();
        let slices = (0..).map(SliceId).zip(slices.into_iter().map(|value| Seen { value, revision: Revision(1) })).collect();
        let view = View { nodes, slices, targets: BTreeMap::new(), copies, policy: None };
        Meta { view, revision: 1, away, lawless: false }
    }

    pub(crate) fn get(&self, slice: usize) -> &Seen<SliceEntry> {
        &self.view.slices[&SliceId(slice as u32)]
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }

    /// Swaps a slice's entry; false where something else stands there.
    ///
    /// # Errors
    /// What breaks the law: then whoever asked is broken.
    pub(crate) fn swap(&mut self, slice: SliceId, expect: Revision, next: SliceEntry) -> Result<bool, EntryError> {
        let kept = &self.view.slices[&slice];
        if kept.revision != expect {
            return Ok(false);
        }
        if !self.lawless {
            kept.value.check_next(&next)?;
        }
        let revision = self.next_revision();
        self.view.slices.insert(slice, Seen { value: next, revision });
        Ok(true)
    }

    /// Changes a node's entry: what stands there now is what is compared with.
    ///
    /// # Errors
    /// States that do not follow one another.
    pub(crate) fn change_node(&mut self, node: NodeId, next: NodeEntry) -> Result<(), String> {
        let before = self.view.nodes[&node].value.state;
        let after = next.state;
        let revision = self.next_revision();
        self.view.nodes.insert(node, Seen { value: next, revision });
        let follows = before == after || before.may_become(after);
        if follows { Ok(()) } else { Err(format!("node {node} was {before:?} and became {after:?}")) }
    }

    /// Sets a target, or takes it away, where this stands there; says what stood there.
    pub(crate) fn aim(&mut self, slice: SliceId, expect: Option<Revision>, next: Option<Vec<NodeId>>) -> Option<Vec<NodeId>> {
        if self.view.targets.get(&slice).map(|seen| seen.revision) != expect {
            return None;
        }
        let before = match next {
            Some(value) => {
                let revision = self.next_revision();
                self.view.targets.insert(slice, Seen { value, revision })
            }
            None => self.view.targets.remove(&slice),
        };
        Some(before.map(|seen| seen.value).unwrap_or_default())
    }
}
