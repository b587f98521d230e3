//! What must hold when all faults are over and the fleet has come to rest.

use super::{Checker, SliceCheck};
use crate::data::State;
use protocol::{Mode, Replica, ReplicaId};
use std::collections::BTreeMap;
use types::{Epoch, SliceId, Version};

/// A slice at the end: its replicas and all stores that may keep something of it.
pub(crate) struct Ending<'a> {
    pub(crate) slice: SliceId,
    pub(crate) primary: ReplicaId,
    pub(crate) replicas: Vec<(ReplicaId, &'a Replica, &'a State)>,
    /// Whether some store still has a record, in a log or set aside.
    pub(crate) kept: &'a dyn Fn(Version) -> bool,
}

impl Checker {
    /// Checks a slice at the end.
    pub(crate) fn end(&mut self, ending: &Ending<'_>) {
        let slice = ending.slice;
        let Some((_, primary, model)) = ending.replicas.iter().find(|(id, ..)| *id == ending.primary) else {
            return self.complain(format!("slice {slice} has no primary at the end"));
        };
        let last = primary.history().last();
        for (id, replica, state) in &ending.replicas {
            if replica.history() != primary.history() {
                return self.complain(format!("slice {slice}: {id} ends with another history than the primary"));
            }
            if state.at != last || state.groups != model.groups || state.latest != model.latest {
                return self
                    .complain(format!("slice {slice}: {id} shows another state at {} than the primary at {last}", state.at));
            }
            if state.producers.rows() != model.producers.rows() {
                return self.complain(format!("slice {slice}: {id} has other producers' numbers than the primary"));
            }
            self.groups(slice, *id, state);
        }
        let check = self.slice(slice);
        let wrong = model.groups.values().flat_map(|group| group.rows.iter());
        let wrong =
            wrong.map(|(key, (_, value))| (*key, *value)).find(|(key, value)| check.tree.value(last, *key) != Some(*value));
        if let Some((key, value)) = wrong {
            return self.complain(format!("slice {slice}: at the end {key:?} is {value}, the model says otherwise"));
        }
        if let Some((origin, first, second)) = check.tree.twice(last) {
            return self.complain(format!("slice {slice}: {origin:?} was applied as {first} and as {second}"));
        }
        match check.losses(last, ending.kept) {
            Ok(lost) => self.counts.lost += lost,
            Err(what) => self.complain(format!("slice {slice}: {what}")),
        }
    }
}

impl SliceCheck {
    /// How many acknowledged writes are not in the final history.
    fn losses(&self, last: Version, kept: &dyn Fn(Version) -> bool) -> Result<u64, String> {
        let mut lost: BTreeMap<Epoch, u64> = BTreeMap::new();
        for (version, by) in self.acknowledged.iter().filter(|(version, _)| !self.tree.leads_to(**version, last)) {
            if self.is_sync(*by) && !self.forced {
                return Err(format!("the acknowledged write {version} is lost, the history ends with {last}"));
            }
            if !kept(*version) && !self.destroyed.contains(version) {
                return Err(format!("the acknowledged write {version} is lost without a trace"));
            }
            *lost.entry(*by).or_default() += 1;
        }
        let most = |epoch: Epoch| match self.mode(epoch) {
            Mode::Sync => 0,
            Mode::Async { lag_records_max } => lag_records_max,
        };
        if !self.forced
            && let Some((epoch, count)) = lost.iter().find(|(epoch, count)| **count > most(**epoch))
        {
            return Err(format!("{count} writes acknowledged in epoch {epoch} are lost, {} may be", most(*epoch)));
        }
        if let Some((version, _)) =
            self.seen.iter().find(|(version, may)| !**may && !self.forced && !self.tree.leads_to(**version, last))
        {
            return Err(format!("{version} was read and vanished, the history ends with {last}"));
        }
        Ok(lost.values().sum())
    }
}
