//! Managers' processes, what operators ask of them, and what must hold of a fleet under them once it is at rest.
//!
//! Promises: what a manager knew is gone with its process; what it sees of meta may be old. It may not know what carries its
//! wishes.

use crate::clock::Clock;
use crate::dice::Dice;
use crate::meta::Meta;
use protocol::membership::{Manager, ManagerSettings, NodeReport, NodeState, View, Wanted};
use protocol::moves::{Host, Placed, Wish, plan};
use protocol::{Moment, Planted, ReplicaId};
use std::rc::Rc;
use types::{NodeId, SliceId};

/// Counts of rare things, so that a run can prove that they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberCounts {
    /// Swaps of nodes' states that happened.
    pub states: u64,
    /// Swaps that came too late.
    pub conflicts: u64,
    /// Copies that managers added.
    pub added: u64,
    /// Copies that managers removed.
    pub removed: u64,
    /// Planned switch-overs.
    pub handed_over: u64,
    /// Targets given up.
    pub given_up: u64,
    /// Events of the simulation.
    pub events: u64,
}

impl MemberCounts {
    /// Adds another run's.
    pub fn add(&mut self, other: &MemberCounts) {
        self.states += other.states;
        self.conflicts += other.conflicts;
        self.added += other.added;
        self.removed += other.removed;
        self.handed_over += other.handed_over;
        self.given_up += other.given_up;
        self.events += other.events;
    }
}

/// A manager's place: a process that may be there.
pub(crate) struct Tender {
    machine: Option<Manager>,
    pub(crate) run: u64,
    view: Option<Rc<View>>,
    clock: Clock,
}

impl Tender {
    pub(crate) fn new(dice: &mut Dice) -> Tender {
        Tender { machine: None, run: 0, view: None, clock: Clock::new(dice) }
    }

    /// A process begins, where there is none; it knows nothing.
    pub(crate) fn start(&mut self, now: u64, dice: &mut Dice, planted: Planted) -> bool {
        if self.machine.is_some() {
            return false;
        }
        let settings = ManagerSettings {
            suspect_us: 500_000,
            down_us: 1_000_000,
            gone_us: 2_000_000,
            retry_us: 300_000,
            plan_us: 200_000,
            targets_max: 3,
            planted,
            ..ManagerSettings::default()
        };
        self.run += 1;
        self.view = None;
        self.clock.start(now, dice);
        self.machine = Some(Manager::new(settings, Moment(self.clock.monotonic(now))));
        true
    }

    pub(crate) fn kill(&mut self) {
        self.machine = None;
        self.run += 1;
    }

    pub(crate) fn hears(&mut self, now: u64, report: &NodeReport) {
        if let Some(machine) = &mut self.machine {
            machine.report(Moment(self.clock.monotonic(now)), report);
        }
    }

    pub(crate) fn sees(&mut self, view: Rc<View>) {
        self.view = self.machine.is_some().then_some(view);
    }

    pub(crate) fn tend(&mut self, now: u64) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        if let (Some(machine), Some(view)) = (&mut self.machine, &self.view) {
            machine.tend(Moment(self.clock.monotonic(now)), view, &mut wanted);
        }
        wanted
    }
}

/// What a copy of a slice takes, as its primary says.
pub(crate) fn bytes_of(slice: SliceId) -> u64 {
    100 + u64::from(slice.0) * 7
}

/// Carries out what a manager wants, where what it compares with stands there; `intact`: a replica's store is there. Says
/// which slice was changed.
///
/// # Errors
/// What a manager may not do: change an epoch or members, or give a copy up before those that stay are members.
pub(crate) fn carry_out(
    meta: &mut Meta,
    wanted: Wanted,
    intact: impl Fn(ReplicaId) -> bool,
    counts: &mut MemberCounts,
) -> Result<Option<SliceId>, String> {
    match wanted {
        Wanted::Node { node, expect, next } if meta.view.nodes[&node].revision == expect => {
            counts.states += 1;
            meta.change_node(node, next).map(|()| None)
        }
        Wanted::Slice { slice, expect, next } if meta.get(slice.0 as usize).revision == expect => {
            let entry = &meta.get(slice.0 as usize).value;
            let same = (next.epoch, next.primary, &next.members) == (entry.epoch, entry.primary, &entry.members);
            let given_up = entry.backups.iter().any(|id| intact(*id) && !next.keeps(*id));
            let well = next.everyone().filter(|id| next.keeps(*id)).all(|id| entry.is_member(id));
            let succession = entry.is_member(next.primary) && next == entry.under(next.primary);
            if !(succession || same && (well || !given_up)) {
                return Err(format!("slice {slice}: a manager turned {entry:?} into {next:?}"));
            }
            counts.added += next.backups.iter().filter(|id| !entry.keeps(**id)).count() as u64;
            counts.removed += entry.backups.iter().filter(|id| !next.keeps(**id)).count() as u64;
            meta.swap(slice, expect, next).map(|_| Some(slice)).map_err(|error| format!("slice {slice}: {error}"))
        }
        Wanted::Target { slice, expect, next } => {
            let taken_away = next.is_none();
            match meta.aim(slice, expect, next) {
                Some(target) if taken_away => {
                    let has = |node: &NodeId| meta.get(slice.0 as usize).value.everyone().any(|id| id.node == *node);
                    counts.given_up += u64::from(!target.iter().all(has));
                }
                Some(_) => {}
                None => counts.conflicts += 1,
            }
            Ok(None)
        }
        _ => {
            counts.conflicts += 1;
            Ok(None)
        }
    }
}

/// An operator evens the data: what the plan says becomes targets.
pub(crate) fn even(meta: &mut Meta) {
    let host = |(node, seen): (&NodeId, &protocol::membership::Seen<protocol::membership::NodeEntry>)| Host {
        id: *node,
        weight: seen.value.weight,
        region: seen.value.region.clone(),
        rack: seen.value.rack.clone(),
        leaves: seen.value.drains || matches!(seen.value.state, NodeState::Down | NodeState::Suspect | NodeState::Joining),
    };
    let hosts: Vec<Host> = meta.view.nodes.iter().map(host).collect();
    let placed = |(slice, seen): (&SliceId, &protocol::membership::Seen<protocol::SliceEntry>)| Placed {
        slice: *slice,
        bytes: bytes_of(*slice),
        holders: seen.value.nodes(),
    };
    let slices: Vec<Placed> = meta.view.slices.iter().map(placed).collect();
    let wish = Wish { copies: meta.view.copies, tolerance_permille: 0 };
    let Ok(plan) = plan(&hosts, &slices, wish) else { return };
    for change in plan.changes {
        meta.aim(change.slice, None, Some(change.after));
    }
}

/// How many nodes are to stay.
pub(crate) fn staying(view: &View, gone: impl Fn(NodeId) -> bool) -> usize {
    view.nodes.iter().filter(|(node, seen)| !gone(**node) && !seen.value.drains).count()
}

/// What is not yet as it must be in the end: every node has its state, nothing lies on drained or gone ones, and every slice
/// has its copies, all of them members.
pub(crate) fn unrest(view: &View, gone: impl Fn(NodeId) -> bool, up: impl Fn(ReplicaId) -> bool) -> String {
    for (node, seen) in &view.nodes {
        let settled = if seen.value.drains { NodeState::Draining } else { NodeState::Normal };
        let expect = if gone(*node) { NodeState::Down } else { settled };
        let never_heard = gone(*node) && seen.value.state == NodeState::Joining;
        if seen.value.state != expect && !never_heard {
            return format!("node {node} is {:?}, not {expect:?}", seen.value.state);
        }
    }
    let stays = |node: NodeId| !gone(node) && !view.nodes[&node].value.drains;
    let copies = staying(view, &gone).min(view.copies as usize);
    for (slice, seen) in &view.slices {
        let entry = &seen.value;
        let kept: Vec<ReplicaId> = entry.everyone().filter(|id| entry.keeps(*id)).collect();
        let well = kept.iter().all(|id| entry.is_member(*id) && up(*id) && stays(id.node));
        if !well || kept.len() != copies || entry.members.len() != copies || view.targets.contains_key(slice) {
            return format!("slice {slice} is {entry:?}, {copies} copies, target {:?}", view.targets.get(slice));
        }
    }
    String::new()
}
