//! The copies of slices, compared: each replica's history with its primary's, then the versions of its file groups.
//!
//! Promises: nothing is changed, and no state is kept: it can be asked at any time, by many, and given up. Replicas are looked at one
//! after another while writes go on: what looks like a difference is looked at again before it is told. What is behind, or differs,
//! is brought in step by its primary without being told, as a node that returns is. May not know in which words operators ask.

use super::admin::{Admin, slice_of};
use super::standing::Standing;
use super::words::AdminError;
use crate::data::{NodeLook, ReplicaLook, looking};
use futures::future::join_all;
use kernel::SetAside;
use protocol::SliceEntry;
use std::collections::BTreeMap;
use types::{NodeId, SliceId, Version};

/// How often a difference is looked at before it is told.
const LOOKS: usize = 4;

/// How a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// It leads.
    Primary,
    /// It has what counts.
    InStep,
    /// It is catching up.
    Behind,
    /// It holds what its primary does not.
    Differs,
    /// Its node has no copy yet.
    Missing,
    /// Its node does not answer.
    Silent,
    /// There is no primary to compare with.
    Unknown,
}

/// A copy, compared with its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The slice.
    pub slice: SliceId,
    /// Where it is.
    pub node: NodeId,
    /// How it stands.
    pub state: CopyState,
    /// The last write of its log.
    pub version: Option<Version>,
    /// Writes of the primary's log that it lacks.
    pub lag_records: Option<u64>,
    /// What differs.
    pub differs: Option<String>,
}

type Looks = BTreeMap<NodeId, Option<NodeLook>>;

impl Admin {
    /// Compares the copies of a slice, or of all.
    ///
    /// # Errors
    /// Of meta; `AdminError::Invalid` where there is no such slice.
    pub async fn check(&self, slice: Option<SliceId>) -> Result<Vec<Checked>, AdminError> {
        let mut found = BTreeMap::new();
        let mut again: Option<Vec<SliceId>> = None;
        for look in 0..LOOKS {
            let standing = self.standing().await?;
            let slices: Vec<SliceId> = match (again.take(), slice) {
                (Some(slices), _) => slices,
                (None, Some(slice)) => slice_of(&standing, slice).map(|_| vec![slice])?,
                (None, None) => standing.view.slices.keys().copied().collect(),
            };
            let looks = self.look_at_copies(&standing, &slices).await;
            for slice in &slices {
                let Some(seen) = standing.view.slices.get(slice) else { continue };
                found.insert(*slice, compare(*slice, &seen.value, &looks));
            }
            let differs = |slice: &SliceId| found[slice].iter().any(|copy| copy.state == CopyState::Differs);
            let open: Vec<SliceId> = slices.into_iter().filter(|slice| found.contains_key(slice) && differs(slice)).collect();
            if open.is_empty() || look + 1 == LOOKS {
                break;
            }
            again = Some(open);
        }
        Ok(found.into_values().flatten().collect())
    }

    async fn look_at_copies(&self, standing: &Standing, slices: &[SliceId]) -> Looks {
        let mut asked: BTreeMap<NodeId, Vec<SliceId>> = BTreeMap::new();
        for slice in slices {
            let entry = standing.view.slices.get(slice).map(|seen| &seen.value);
            for id in entry.into_iter().flat_map(SliceEntry::everyone) {
                asked.entry(id.node).or_default().push(*slice);
            }
        }
        let asks = asked.into_iter().map(|(node, slices)| async move {
            let looked = looking::ask(&self.lines, node, &slices, false).await;
            (node, looked.inspect_err(|status| tracing::info!(%node, %status, "a node does not say where it stands")).ok())
        });
        join_all(asks).await.into_iter().collect()
    }

    /// What data nodes set aside: nodes that do not answer are left out.
    ///
    /// # Errors
    /// Of meta.
    pub async fn set_aside(&self) -> Result<Vec<(NodeId, SetAside)>, AdminError> {
        let standing = self.standing().await?;
        let asks = standing.view.nodes.keys().map(|node| async move {
            let looked = looking::ask(&self.lines, *node, &[], true).await;
            looked.unwrap_or_default().aside.into_iter().map(|aside| (*node, aside)).collect::<Vec<_>>()
        });
        Ok(join_all(asks).await.into_iter().flatten().collect())
    }
}

fn of(looks: &Looks, node: NodeId, slice: SliceId) -> Option<&ReplicaLook> {
    looks.get(&node)?.as_ref()?.replicas.iter().find(|replica| replica.slice == slice)
}

fn compare(slice: SliceId, entry: &SliceEntry, looks: &Looks) -> Vec<Checked> {
    let primary = of(looks, entry.primary.node, slice).filter(|replica| replica.leads);
    let copy = |id: protocol::ReplicaId| {
        let node = id.node;
        let plain = |state| Checked { slice, node, state, version: None, lag_records: None, differs: None };
        if looks.get(&node).is_none_or(Option::is_none) {
            return plain(CopyState::Silent);
        }
        let Some(replica) = of(looks, node, slice) else { return plain(CopyState::Missing) };
        let version = Some(replica.history.last());
        let Some(primary) = primary else { return Checked { version, ..plain(CopyState::Unknown) } };
        if id == entry.primary {
            return Checked { version, lag_records: Some(0), ..plain(CopyState::Primary) };
        }
        let differs = difference(primary, replica);
        let state = match &differs {
            Some(_) => CopyState::Differs,
            None if entry.is_member(id) => CopyState::InStep,
            None => CopyState::Behind,
        };
        let lag = primary.history.last().sequence.0.saturating_sub(replica.history.last().sequence.0);
        Checked { version, lag_records: Some(lag), differs, ..plain(state) }
    };
    entry.everyone().map(copy).collect()
}

/// What a copy holds that its primary does not; none where its log is a beginning of the primary's, or goes on from it: that was
/// looked at a moment before.
fn difference(primary: &ReplicaLook, replica: &ReplicaLook) -> Option<String> {
    let point = primary.history.parting(&replica.history);
    let (first, second) = (primary.history.last(), replica.history.last());
    if point < first && point < second {
        let beyond = second.sequence.0 - point.sequence.0;
        return Some(format!("its log parts from the primary's behind {point}, with {beyond} records of its own"));
    }
    let strange = |version: &Version| *version <= first && !primary.history.contains(*version);
    let (period, version) = replica.groups.iter().find(|(_, version)| strange(version))?;
    Some(format!("its file group of period {} is at {version}, which the primary never had", period.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{History, Mode, Policy, ReplicaId};
    use types::{Epoch, Period, Sequence, StoreId};

    fn at(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    /// A replica whose log has these writes.
    fn replica(leads: bool, writes: &[Version], group: Version) -> ReplicaLook {
        let mut history = History::default();
        writes.iter().for_each(|version| history.push(*version));
        let published = history.last();
        ReplicaLook { slice: SliceId(7), leads, history, published, groups: vec![(Period(3), group)] }
    }

    #[test]
    fn copies_are_compared_with_their_primary() {
        let id = |node| ReplicaId { node: NodeId(node), store: StoreId(1) };
        let primary = replica(true, &[at(1, 1), at(2, 2), at(2, 3)], at(1, 1));
        let rows = [
            (replica(false, &[at(1, 1), at(2, 2), at(2, 3)], at(2, 2)), CopyState::InStep, Some(0)),
            (replica(false, &[at(1, 1)], at(1, 1)), CopyState::InStep, Some(2)),
            (replica(false, &[at(1, 1), at(2, 2), at(2, 3), at(2, 4)], at(1, 1)), CopyState::InStep, Some(0)),
            (replica(false, &[at(1, 1), at(1, 2)], at(1, 1)), CopyState::Differs, Some(1)),
            (replica(false, &[at(1, 1), at(2, 2)], at(1, 2)), CopyState::Differs, Some(1)),
        ];
        for (copy, state, lag) in rows {
            let entry = SliceEntry {
                epoch: Epoch(2),
                primary: id(1),
                backups: vec![id(2), id(3), id(4)],
                members: vec![id(1), id(2)],
                policy: Policy { mode: Mode::Sync, min_in_sync: 1 },
                forced: Epoch(0),
            };
            let look = |replica: ReplicaLook| Some(NodeLook { replicas: vec![replica], aside: Vec::new() });
            let looks: Looks = [
                (NodeId(1), look(primary.clone())),
                (NodeId(2), look(copy.clone())),
                (NodeId(3), Some(NodeLook::default())),
                (NodeId(4), None),
            ]
            .into();
            let checked = compare(SliceId(7), &entry, &looks);
            let states: Vec<CopyState> = checked.iter().map(|copy| copy.state).collect();
            assert_eq!(states, [CopyState::Primary, state, CopyState::Missing, CopyState::Silent], "{copy:?}");
            assert_eq!((checked[1].lag_records, checked[1].differs.is_some()), (lag, state == CopyState::Differs), "{copy:?}");
            let alone = SliceEntry { members: vec![id(1)], ..entry };
            let outside = if state == CopyState::InStep { CopyState::Behind } else { state };
            assert_eq!(compare(SliceId(7), &alone, &looks)[1].state, outside, "{copy:?}");
        }
    }
}
