//! What meta says of slices and of the rule, carried out by a data node: replicas begin, the kernel follows the rule.
//!
//! Shared state: `waiting` under one mutex: entries of slices that the kernel's rule has not yet. Promises: a replica begins for each
//! slice whose entry names this store; the kernel has the fleet's rule before the first sample comes in. May not know what
//! replicas say.

use super::node::{Input, Shared};
use crate::fleet::entries;
use crate::fleet::following::{Following, Listener};
use meta::{Entry, Error, Range, Revision};
use parking_lot::Mutex;
use protocol::SliceEntry;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use types::SliceId;

/// What meta says of slices, told to the replicas here.
pub(super) struct Placed {
    shared: Arc<Shared>,
    waiting: Mutex<BTreeMap<SliceId, (SliceEntry, Revision)>>,
    /// For the replicas that begin; it never saw that the node ends, so they all do.
    stopping: watch::Receiver<()>,
}

impl Placed {
    /// Follows meta until the node ends.
    pub(super) fn follow(shared: &Arc<Shared>, stopping: watch::Receiver<()>) -> Result<(), Error> {
        let (waiting, slices) = (Mutex::default(), Range::prefix(entries::SLICES)?);
        let placed = Arc::new(Placed { shared: Arc::clone(shared), waiting, stopping: stopping.clone() });
        let following = Following::new(Arc::clone(&shared.meta), slices, Arc::clone(&placed));
        shared.runtime.spawn(following.run(stopping.clone()));
        shared.runtime.spawn(placed.follow_rule(stopping));
        Ok(())
    }

    async fn follow_rule(self: Arc<Self>, mut stopping: watch::Receiver<()>) {
        let mut changes = self.shared.settings.rule.changes();
        loop {
            if let Err(fault) = take_rule(&self.shared).await {
                return self.shared.fail(fault);
            }
            let waiting = std::mem::take(&mut *self.waiting.lock());
            for (slice, (entry, revision)) in waiting {
                self.learn(slice, entry, revision);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = stopping.changed() => return,
            }
        }
    }

    /// A slice's entry, as meta has it.
    fn learn(&self, slice: SliceId, entry: SliceEntry, revision: Revision) {
        let shared = &self.shared;
        if !shared.is_here(slice) && entry.has(shared.me) {
            let mut waiting = self.waiting.lock();
            // Looked at under the lock: whoever changes the rule takes what waits afterwards.
            if slice.0 >= shared.kernel.rule().buckets {
                waiting.insert(slice, (entry, revision));
                return;
            }
            drop(waiting);
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

/// Has the kernel follow the rule as it is known now.
async fn take_rule(shared: &Arc<Shared>) -> Result<(), String> {
    let shared = Arc::clone(shared);
    if shared.kernel.rule() == shared.settings.rule.rule() {
        return Ok(());
    }
    let set = tokio::task::spawn_blocking(move || {
        // Of two who set it, none sets an older one last.
        let _one_at_a_time = shared.ruling.lock();
        shared.kernel.set_rule(shared.settings.rule.rule())
    });
    let set = set.await.map_err(|fault| fault.to_string())?;
    set.map_err(|fault| format!("the kernel can't follow the fleet's distribution rule: {fault}"))
}

/// Makes the rule final and has the kernel follow it, for whoever brings samples: so a tag was made.
pub(super) async fn settle_rule(shared: &Arc<Shared>) -> Result<(), String> {
    let rule = &shared.settings.rule;
    if rule.is_final() && shared.kernel.rule() == rule.rule() {
        return Ok(());
    }
    rule.settle().await.map_err(|fault| format!("the fleet's distribution rule can't be read: {fault}"))?;
    take_rule(shared).await
}
