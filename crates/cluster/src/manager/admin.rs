//! What operators ask of a fleet, from any process of it.
//!
//! Promises: whatever is asked stands in meta when this answers, so it outlives whoever was asked, and any manager goes on
//! with it; asking the same twice is answered as once. What can't be meant is refused, naming what to do. What was heard of nodes
//! comes from whichever manager answers. May not know in which words operators ask.

use super::placing::hosts;
use super::service::{LOOK, Looked, Looking};
use super::standing::Standing;
use super::words::{AdminError, NodeStatus, Operation, Progress, Step};
use crate::fleet::entries::{self, FleetRecord, NodeRecord, Roles, TargetRecord, node_key, target_key};
use crate::fleet::following::gone;
use crate::fleet::{Lines, fleet_key, fleet_value};
use crate::tags;
use crate::tickets::answered;
use meta::{Entry, Is, Key, Meta, SWAP_KEYS_MAX, Swap, Swapped};
use protocol::SliceEntry;
use protocol::membership::Seen;
use protocol::moves::{Placed, Plan, Wish, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Status;
use types::{NodeId, SliceId, StoreId};
use world::Clock;

/// How often, and how far apart, a swap that was not answered is sent again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// How long a manager has to say what it heard.
const LOOKS: Duration = Duration::from_secs(2);

/// What was heard longer ago says nothing of how busy a process is.
const FRESH_MS: u64 = 5_000;
/// Whoever was heard since then is alive, whatever its state: processes report twice a second.
const ALIVE_MS: u64 = 1_000;

/// What operators ask.
pub struct Admin {
    meta: Arc<dyn Meta>,
    pub(super) lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
}

fn state<T>(text: String) -> Result<T, AdminError> {
    Err(AdminError::State(text))
}

impl Admin {
    /// Over a process's meta and its lines to managers.
    #[must_use]
    pub fn new(meta: Arc<dyn Meta>, lines: Arc<Lines>, clock: Arc<dyn Clock>) -> Admin {
        Admin { meta, lines, clock }
    }

    /// What stands under a key, read now.
    pub(super) async fn entry(&self, key: &Key) -> Result<Option<Entry>, AdminError> {
        let found = answered(self.meta.get(std::slice::from_ref(key))).await.map_err(gone)??;
        Ok(found.entries.into_iter().next().flatten())
    }

    /// All that stands in meta, read now.
    pub(super) async fn standing(&self) -> Result<Standing, AdminError> {
        Ok(Standing::read(&self.meta).await?)
    }

    /// Swaps, again and again until it is answered: so every swap writes what it compares. `Conflict` also where an earlier
    /// sending happened: who asks looks at what stands there.
    pub(super) async fn swap(&self, swap: Swap) -> Result<Swapped, AdminError> {
        let mut said = String::new();
        for _ in 0..TRIES {
            match answered(self.meta.swap(swap.clone())).await.map_err(gone)? {
                Err(fault) if fault.can_retry() => said = fault.to_string(),
                outcome => return Ok(outcome?),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(AdminError::Unsettled(said))
    }

    /// Changes something that stands in meta: `next` sees all of it, and says what to swap, or that nothing is to be done.
    pub(super) async fn change(&self, next: impl Fn(&Standing) -> Result<Option<Swap>, AdminError>) -> Result<(), AdminError> {
        for _ in 0..TRIES {
            let Some(swap) = next(&self.standing().await?)? else { return Ok(()) };
            if let Swapped::Done { .. } = self.swap(swap).await? {
                return Ok(());
            }
        }
        Err(AdminError::Unsettled("it is changed by others all the time".to_owned()))
    }

    /// What the managers heard, from the first that answers; nothing where none does.
    async fn look(&self, sizes: bool) -> Looked {
        self.look_at(Looking { sizes, versions_of: 0 }).await
    }

    /// How far each copy of a slice was heard to be.
    pub(super) async fn versions(&self, slice: SliceId) -> Looked {
        self.look_at(Looking { sizes: false, versions_of: slice.0.saturating_add(1) }).await
    }

    async fn look_at(&self, looking: Looking) -> Looked {
        for manager in self.lines.roster().with(Roles::MANAGER) {
            let looked: Result<Looked, Status> = self.lines.ask(manager, LOOK, looking, LOOKS).await;
            match looked {
                Ok(looked) => return looked,
                Err(status) => tracing::debug!(%manager, %status, "a manager does not answer"),
            }
        }
        Looked::default()
    }

    /// Sets what holds for the whole fleet, once.
    ///
    /// # Errors
    /// `AdminError::IsSet` where something else was set before.
    pub async fn init(&self, record: FleetRecord) -> Result<(), AdminError> {
        record.rule.check()?;
        if record.copies == 0 || record.policy.min_in_sync == 0 || record.period_us < 1 {
            let text = "a fleet has one copy of each slice at least, one of them in sync, and periods of a microsecond at least";
            return Err(AdminError::Invalid(text.to_owned()));
        }
        if record.policy.min_in_sync > record.copies {
            let (min, copies) = (record.policy.min_in_sync, record.copies);
            return Err(AdminError::Invalid(format!("{min} copies can't be in sync where there are {copies}")));
        }
        self.change(|standing| match &standing.fleet {
            Some(seen) if seen.value == record => Ok(None),
            Some(_) => Err(AdminError::IsSet),
            None => Ok(Some(Swap::new().when(&fleet_key(), Is::Absent).put(&fleet_key(), fleet_value(&record)))),
        })
        .await
    }

    /// What holds for the whole fleet, once it was set.
    ///
    /// # Errors
    /// Of meta.
    pub async fn fleet(&self) -> Result<Option<FleetRecord>, AdminError> {
        Ok(self.standing().await?.fleet.map(|seen| seen.value))
    }

    /// All processes.
    ///
    /// # Errors
    /// Of meta.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, AdminError> {
        let (standing, looked) = (self.standing().await?, self.look(false).await);
        let heard: BTreeMap<NodeId, _> = looked.nodes().collect();
        let (mut primaries, mut backups) = (BTreeMap::<NodeId, u64>::new(), BTreeMap::<NodeId, u64>::new());
        for seen in standing.view.slices.values() {
            *primaries.entry(seen.value.primary.node).or_default() += 1;
            seen.value.backups.iter().for_each(|id| *backups.entry(id.node).or_default() += 1);
        }
        let status = |(node, seen): (&NodeId, &Seen<NodeRecord>)| {
            let heard = heard.get(node).filter(|heard| heard.store == seen.value.entry.store);
            NodeStatus {
                node: *node,
                record: seen.value.clone(),
                primaries: primaries.get(node).copied().unwrap_or(0),
                backups: backups.get(node).copied().unwrap_or(0),
                busyness: heard.map(|heard| (heard.parts, heard.weighed)),
                silence_ms: heard.map(|heard| heard.silence_ms),
            }
        };
        Ok(standing.records.iter().map(status).collect())
    }

    /// How busy each process is, in thousandths, as the first manager that answers heard within the last seconds: for
    /// readers that may choose among copies. Nothing where no manager answers.
    pub async fn busyness(&self) -> BTreeMap<NodeId, u32> {
        let looked = self.look(false).await;
        looked.nodes().filter(|(_, heard)| heard.silence_ms < FRESH_MS).map(|(node, heard)| (node, heard.weighed)).collect()
    }

    /// The slice map.
    ///
    /// # Errors
    /// Of meta.
    pub async fn slice_map(&self) -> Result<BTreeMap<SliceId, SliceEntry>, AdminError> {
        let slices = self.standing().await?.view.slices;
        Ok(slices.into_iter().map(|(slice, seen)| (slice, seen.value)).collect())
    }

    /// What is under way, or waits for an operator.
    ///
    /// # Errors
    /// Of meta.
    pub async fn operations(&self) -> Result<Vec<Operation>, AdminError> {
        let (standing, looked) = (self.standing().await?, self.look(true).await);
        let (sizes, copies) = (looked.sizes().collect(), looked.copies().collect());
        let moves = standing.targets.iter().map(|(slice, seen)| moving(&standing, *slice, &seen.value, &sizes, &copies));
        let drains = standing.view.nodes.iter().filter(|(_, seen)| seen.value.drains);
        let drains = drains.map(|(node, _)| Operation::Drain { node: *node, left: held(&standing, *node) });
        let stuck = standing.view.stuck().filter_map(|slice| {
            let entry = standing.view.slices.get(&slice)?.value.clone();
            Some(Operation::Stuck { slice, entry })
        });
        let drains = drains.filter(|drain| !matches!(drain, Operation::Drain { left: 0, .. }));
        Ok(moves.chain(drains).chain(stuck).chain(replicating(&standing)).collect())
    }

    /// Has a node end empty. Its slices move by themselves.
    ///
    /// # Errors
    /// `AdminError::State` where it is no data node, or none would remain.
    pub async fn drain(&self, node: NodeId) -> Result<(), AdminError> {
        self.drains(node, true).await
    }

    /// Has a node hold slices again; what left it comes back only where data are evened.
    ///
    /// # Errors
    /// `AdminError::State` where it is no data node.
    pub async fn undrain(&self, node: NodeId) -> Result<(), AdminError> {
        self.drains(node, false).await
    }

    async fn drains(&self, node: NodeId, drains: bool) -> Result<(), AdminError> {
        self.change(|standing| {
            let Some(seen) = standing.records.get(&node).filter(|seen| seen.value.roles.has(Roles::DATA)) else {
                return state(format!("there is no data node {node}"));
            };
            if seen.value.entry.drains == drains {
                return Ok(None);
            }
            let stays = |(other, seen): &(&NodeId, &Seen<protocol::membership::NodeEntry>)| **other != node && !seen.value.drains;
            if drains && !standing.view.nodes.iter().any(|other| stays(&other)) {
                return state(format!("node {node} is the last data node that stays; start another one first"));
            }
            let mut next = seen.value.clone();
            next.entry.drains = drains;
            let key = node_key(node);
            Ok(Some(Swap::new().when(&key, Is::Modified(seen.revision)).put(&key, entries::node_value(&next))))
        })
        .await
    }

    /// Takes a process off the list: an empty, drained data node, or one that is silent and holds nothing. One that still runs
    /// learns it, and ends. As a scheduler it counts no more; nor does one that was taken off the list before. Answers whether
    /// there was one: what is removed leaves no trace, so a number that never was is answered as one that was removed before.
    ///
    /// # Errors
    /// `AdminError::State` where it holds slices, is alive and to stay, or is the only scheduler with all tags.
    pub async fn remove(&self, node: NodeId) -> Result<bool, AdminError> {
        // Told before the swap: one that is not answered is sent again, and finds nothing then.
        let was_there = AtomicBool::new(false);
        // Read before its record: where that is gone, these are gone, and whoever takes the number next is another store.
        let schedulers = tags::registered_of(&*self.meta, node).await?;
        let looked = self.look(false).await;
        let was_heard = |store: StoreId| {
            looked.nodes().any(|(other, heard)| other == node && heard.store == store && heard.silence_ms < ALIVE_MS)
        };
        self.change(|standing| {
            let Some(seen) = standing.records.get(&node) else { return Ok(None) };
            was_there.store(true, Ordering::Relaxed);
            let (left, entry) = (held(standing, node), &seen.value.entry);
            if left > 0 || standing.targets.values().any(|target| target.value.nodes.contains(&node)) {
                return state(format!("node {node} holds or is to hold {left} slices; drain it and wait until it is empty"));
            }
            // One that is joining, or silent for too short a time, may be alive.
            if !entry.drains && (entry.state.is_there() || was_heard(entry.store)) {
                return state(format!("node {node} is alive and to stay; stop its process first, or drain it"));
            }
            Ok(Some(Swap::new().when(&node_key(node), Is::Modified(seen.revision)).delete(&node_key(node))))
        })
        .await?;
        tags::deregister_stores(&*self.meta, &schedulers).await?;
        Ok(was_there.into_inner() || !schedulers.is_empty())
    }

    /// Has a slice move to these nodes, the primary first.
    ///
    /// # Errors
    /// `AdminError::State` where a node can't hold it, or it is on its way elsewhere: cancel that first.
    pub async fn move_slice(&self, slice: SliceId, nodes: &[NodeId]) -> Result<(), AdminError> {
        self.change(|standing| {
            let copies = standing.fleet.as_ref().ok_or(AdminError::NotSet)?.value.copies;
            if nodes.len() != copies as usize || nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
                return Err(AdminError::Invalid(format!("a slice has {copies} copies, each on another node")));
            }
            self.target(standing, slice, nodes, "move")
        })
        .await
    }

    /// Has another copy lead a slice, by a planned switch-over.
    ///
    /// # Errors
    /// `AdminError::State` where the node has no copy that could lead, or the slice is on its way elsewhere.
    pub async fn switch_primary(&self, slice: SliceId, node: NodeId) -> Result<(), AdminError> {
        self.change(|standing| {
            let entry = entry(standing, slice)?;
            if !entry.members.iter().any(|id| id.node == node && entry.keeps(*id)) {
                return state(format!("node {node} has no copy of slice {slice} that is in sync"));
            }
            let others = entry.nodes().into_iter().filter(|other| *other != node);
            let nodes: Vec<NodeId> = [node].into_iter().chain(others).collect();
            self.target(standing, slice, &nodes, "switch")
        })
        .await
    }

    /// The swap that gives a slice a target; none where it is there, or on its way there.
    fn target(&self, standing: &Standing, slice: SliceId, nodes: &[NodeId], why: &str) -> Result<Option<Swap>, AdminError> {
        let entry = entry(standing, slice)?;
        let there = standing.targets.get(&slice);
        if let Some(target) = there.map(|seen| &seen.value) {
            if target.nodes == nodes {
                return Ok(None);
            }
            // One that is there already is not on its way any more, though nobody has cleared its target away yet.
            if !(is_on(entry, &target.nodes) && entry.members.len() == target.nodes.len()) {
                return state(format!("slice {slice} is on its way to other nodes; cancel that first"));
            }
        }
        let before = entry.nodes();
        if is_on(entry, nodes) {
            return Ok(None);
        }
        for node in nodes {
            let known = standing.view.nodes.get(node).map(|seen| &seen.value);
            if !known.is_some_and(|known| known.state.is_there() && !known.drains) {
                return state(format!("node {node} can't hold slice {slice}: it is no data node, not there, or drained"));
            }
        }
        let (key, why) = (target_key(slice), why.to_owned());
        let record = TargetRecord { nodes: nodes.to_vec(), before, why, since_us: self.clock.wall_us() };
        let unchanged = there.map_or(Is::Absent, |seen| Is::Modified(seen.revision));
        Ok(Some(Swap::new().when(&key, unchanged).put(&key, entries::target_value(&record))))
    }

    /// How the data would be evened, and what it would cost. Sizes are as managers heard of them.
    ///
    /// # Errors
    /// `AdminError::NotSet`, `AdminError::Plan`.
    pub async fn plan(&self, tolerance_permille: u32) -> Result<Plan, AdminError> {
        let (standing, looked) = (self.standing().await?, self.look(true).await);
        let copies = standing.fleet.as_ref().ok_or(AdminError::NotSet)?.value.copies;
        let sizes: BTreeMap<SliceId, u64> = looked.sizes().collect();
        let placed = |(slice, seen): (&SliceId, &Seen<SliceEntry>)| {
            let entry = &seen.value;
            // What is on its way counts as there already.
            let holders = standing.targets.get(slice).map_or_else(|| entry.nodes(), |target| target.value.nodes.clone());
            Placed { slice: *slice, bytes: sizes.get(slice).copied().unwrap_or(0), holders }
        };
        let slices: Vec<Placed> = standing.view.slices.iter().map(placed).collect();
        Ok(plan(&hosts(&standing), &slices, Wish { copies, tolerance_permille })?)
    }

    /// Has a plan carried out: each slice that lies as it did then is sent on its way. Answers how many of the plan's changes
    /// are made or under way.
    ///
    /// # Errors
    /// Of meta; what was sent on its way before stays so.
    pub async fn execute(&self, plan: &Plan) -> Result<u64, AdminError> {
        for _ in 0..TRIES {
            let (standing, mut under_way, mut swaps) = (self.standing().await?, 0, Vec::new());
            for change in &plan.changes {
                let (slice, entry) = (change.slice, entry(&standing, change.slice)?);
                let lies = is_on(entry, &change.before) || is_on(entry, &change.after) || standing.targets.contains_key(&slice);
                match self.target(&standing, slice, &change.after, "even") {
                    Ok(swap) if lies => {
                        under_way += 1;
                        swaps.extend(swap);
                    }
                    Err(AdminError::State(_)) | Ok(_) => tracing::info!(%slice, "a change of the plan does not fit any more"),
                    Err(fault) => return Err(fault),
                }
            }
            let mut done = true;
            for swaps in swaps.chunks(SWAP_KEYS_MAX) {
                let mut all = Swap::new();
                for swap in swaps.iter().cloned() {
                    all.conditions.extend(swap.conditions);
                    all.writes.extend(swap.writes);
                }
                done &= matches!(self.swap(all).await?, Swapped::Done { .. });
            }
            if done {
                return Ok(under_way);
            }
        }
        Err(AdminError::Unsettled("slices are sent on their way by others all the time".to_owned()))
    }

    /// Has a slice go no further on its way; one that is not on its way stays. Copies beyond those it is to have are given up again.
    ///
    /// # Errors
    /// `AdminError::Invalid` where there can't be such a slice, `AdminError::NotSet`.
    pub async fn cancel(&self, slice: SliceId) -> Result<(), AdminError> {
        self.change(|standing| {
            let (key, slices) = (target_key(slice), standing.fleet.as_ref().ok_or(AdminError::NotSet)?.value.rule.buckets);
            if slice.0 >= slices {
                return Err(AdminError::Invalid(format!("there is no slice {slice}: the fleet has {slices}, from 0 on")));
            }
            Ok(standing.targets.get(&slice).map(|seen| Swap::new().when(&key, Is::Modified(seen.revision)).delete(&key)))
        })
        .await
    }
}

pub(super) fn slice_of(standing: &Standing, slice: SliceId) -> Result<&Seen<SliceEntry>, AdminError> {
    let missing = || AdminError::Invalid(format!("there is no slice {slice}, or it is not placed yet"));
    standing.view.slices.get(&slice).ok_or_else(missing)
}

pub(super) fn entry(standing: &Standing, slice: SliceId) -> Result<&SliceEntry, AdminError> {
    Ok(&slice_of(standing, slice)?.value)
}

/// Whether a slice lies on just these nodes, led by the first.
fn is_on(entry: &SliceEntry, nodes: &[NodeId]) -> bool {
    let kept = entry.backups.len() + 1;
    let all = entry.everyone().filter(|id| entry.keeps(*id)).all(|id| nodes.contains(&id.node));
    kept == nodes.len() && all && nodes.first() == Some(&entry.primary.node)
}

/// Slices on their way to what the fleet's replication is to be.
fn replicating(standing: &Standing) -> Option<Operation> {
    let fleet = standing.fleet.as_ref()?.value;
    // A copy too many stays where its node is silent; one that moves has more copies meanwhile, and is told as such.
    let has_few =
        |slice: &SliceId, entry: &SliceEntry| entry.backups.len() < fleet.copies as usize || standing.targets.contains_key(slice);
    let in_step =
        |(slice, seen): &(&SliceId, &Seen<SliceEntry>)| seen.value.policy == fleet.policy && has_few(slice, &seen.value);
    let (of, done) = (standing.view.slices.len(), standing.view.slices.iter().filter(in_step).count());
    let progress = Progress { done: done as u64, of: of as u64 };
    (done < of).then_some(Operation::Replicate { policy: fleet.policy, progress })
}

/// Copies that a node holds or is to hold.
fn held(standing: &Standing, node: NodeId) -> u64 {
    let holds = |seen: &&Seen<SliceEntry>| seen.value.everyone().any(|id| id.node == node);
    standing.view.slices.values().filter(holds).count() as u64
}

/// How far a slice is on its way.
fn moving(
    standing: &Standing,
    slice: SliceId,
    target: &TargetRecord,
    sizes: &BTreeMap<SliceId, u64>,
    copies: &BTreeMap<(SliceId, NodeId), u64>,
) -> Operation {
    let after = &target.nodes;
    let (mut step, mut progress) = (Step::Adding, Progress::default());
    if let Some(entry) = standing.view.slices.get(&slice).map(|seen| &seen.value) {
        let bytes = sizes.get(&slice).copied().unwrap_or(0);
        let is_member = |node: &NodeId| entry.members.iter().any(|id| id.node == *node);
        let is_kept = |node: &NodeId| entry.everyone().any(|id| id.node == *node && entry.keeps(id));
        for node in after.iter().filter(|node| !target.before.contains(node)) {
            let copied = copies.get(&(slice, *node)).copied().unwrap_or(0).min(bytes);
            progress.of += bytes;
            progress.done += if is_member(node) { bytes } else { copied };
        }
        step = if !after.iter().all(is_kept) {
            Step::Adding
        } else if !after.iter().all(is_member) {
            Step::Copying
        } else if after.first() != Some(&entry.primary.node) {
            Step::Switching
        } else if !is_on(entry, after) {
            Step::Removing
        } else {
            Step::Ending
        };
    }
    let (why, before, after) = (target.why.clone(), target.before.clone(), after.clone());
    Operation::Move { slice, why, before, after, since_us: target.since_us, step, progress }
}
