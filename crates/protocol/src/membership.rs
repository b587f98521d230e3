//! The manager's machine: which nodes are there, and what must be done to the slices of those that are not (paper 4.1).
//!
//! ```text
//!   reports of nodes ──> heard ──┐
//!   meta (cached): nodes, slices, targets ──> tend(now) ──> swaps wanted, orders to primaries
//! ```
//! A node's state follows from its reports (`nodes`); a slice's replicas on a store that was wiped are replaced, and what a
//! target says is carried out, step by step (`slices`); slices of nodes that are drained, or gone for long, get targets from
//! the move planner (`targets`). Failover needs no manager: members succeed a primary by themselves, where they don't hear it.
//!
//! Promises: any manager may run it, several at once too: it keeps nothing that is not told again, each swap compares what
//! it was decided on, and asking twice does no harm. A copy is given up only when all that are to stay are members. A
//! manager that just began takes nobody for silent. It may not know the network, nor how meta is reached.

mod nodes;
mod slices;
mod targets;
mod words;

pub use words::{Busyness, ManagerSettings, NodeEntry, NodeReport, NodeState, Order, Seen, View, Wanted, Weights};

use crate::Moment;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use types::{NodeId, Revision, SliceId, StoreId};

/// What a manager heard of a node's store.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Moment,
    busyness: u32,
}

/// What a swap is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Node(NodeId),
    Slice(SliceId),
    Target(SliceId),
    Order(SliceId),
}

/// A manager.
#[derive(Debug)]
pub struct Manager {
    settings: ManagerSettings,
    started: Moment,
    /// By store too: whoever lost its number to another process may still report, and must not pass for its new owner.
    heard: BTreeMap<(NodeId, StoreId), Heard>,
    /// What slices take, as their primaries last said.
    sizes: BTreeMap<SliceId, u64>,
    /// What was asked for on which revision, and when it may be asked for again.
    asked: BTreeMap<Key, (Revision, Moment)>,
    /// When to ask the planner again.
    plans_at: Moment,
}

impl Manager {
    /// A manager that has heard nobody yet.
    #[must_use]
    pub fn new(settings: ManagerSettings, now: Moment) -> Manager {
        let (heard, sizes, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Manager { settings, started: now, heard, sizes, asked, plans_at: now }
    }

    /// A node reports.
    pub fn report(&mut self, now: Moment, report: &NodeReport) {
        let busyness = report.busyness.weighed(&self.settings.weights);
        self.heard.insert((report.node, report.store), Heard { at: now, busyness });
        // What is gone says no more than what was never heard of: so only stores that report are kept.
        let is_gone = |heard: &Heard| now.since(heard.at) >= self.settings.gone_us;
        let gone = self.heard.range(stores_of(report.node)).filter(|(_, heard)| is_gone(heard)).map(|(store, _)| *store);
        for store in gone.collect::<Vec<_>>() {
            self.heard.remove(&store);
        }
        self.sizes.extend(report.sizes.iter().copied());
    }

    /// What should be done now. To be asked a few times a second; nothing is lost between two calls.
    pub fn tend(&mut self, now: Moment, view: &View, out: &mut Vec<Wanted>) {
        self.asked.retain(|_, (_, again_at)| *again_at > now);
        let from = out.len();
        self.tend_nodes(now, view, out);
        self.tend_slices(view, out);
        self.tend_targets(now, view, out);
        let again_at = now.after(self.settings.retry_us);
        let asked = &mut self.asked;
        // What was asked for already is on its way, until what it compares with changes or some time has passed.
        let mut place = 0;
        out.retain(|wanted| {
            place += 1;
            let (key, revision) = key_of(wanted);
            place <= from
                || asked.get(&key).is_none_or(|(last, _)| *last != revision) && {
                    asked.insert(key, (revision, again_at));
                    true
                }
        });
    }

    /// How busy a node is, in thousandths, as last heard: for readers that may choose among copies.
    #[must_use]
    pub fn busyness(&self, node: NodeId) -> Option<u32> {
        self.heard.range(stores_of(node)).map(|(_, heard)| heard).max_by_key(|heard| heard.at).map(|heard| heard.busyness)
    }

    /// What was heard of a node with the store that meta names. Another store says nothing: an older one is over, a newer
    /// one is registered in meta by its node before it counts.
    fn heard_of(&self, node: NodeId, store: StoreId) -> Option<Moment> {
        self.heard.get(&(node, store)).map(|heard| heard.at)
    }

    /// How long a node has been silent, in microseconds.
    fn silence(&self, now: Moment, node: NodeId, store: StoreId) -> u64 {
        now.since(self.heard_of(node, store).unwrap_or(self.started))
    }
}

/// Whatever store a node may have.
fn stores_of(node: NodeId) -> RangeInclusive<(NodeId, StoreId)> {
    (node, StoreId(0))..=(node, StoreId(u128::MAX))
}

fn key_of(wanted: &Wanted) -> (Key, Revision) {
    match wanted {
        Wanted::Node { node, expect, .. } => (Key::Node(*node), *expect),
        Wanted::Slice { slice, expect, .. } => (Key::Slice(*slice), *expect),
        Wanted::Target { slice, expect, .. } => (Key::Target(*slice), expect.unwrap_or_default()),
        Wanted::Order { order: Order::HandOver { slice, .. }, decided_on } => (Key::Order(*slice), *decided_on),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Policy, ReplicaId, SliceEntry};
    use types::Epoch;

    const SECOND: u64 = 1_000_000;

    fn id(node: u64) -> ReplicaId {
        ReplicaId { node: NodeId(node), store: StoreId(1) }
    }

    /// Three well nodes, and a slice on the first two.
    fn view() -> View {
        let entry = NodeEntry {
            store: StoreId(1),
            state: NodeState::Normal,
            drains: false,
            weight: 1,
            region: String::new(),
            rack: String::new(),
        };
        let slice = SliceEntry {
            epoch: Epoch(1),
            primary: id(0),
            backups: vec![id(1)],
            members: vec![id(0), id(1)],
            policy: Policy { mode: Mode::Sync, min_in_sync: 1 },
            forced: Epoch(0),
        };
        View {
            nodes: (0..3).map(|node| (NodeId(node), Seen { value: entry.clone(), revision: Revision(1) })).collect(),
            slices: [(SliceId(7), Seen { value: slice, revision: Revision(1) })].into(),
            targets: BTreeMap::new(),
            copies: 2,
            policy: None,
        }
    }

    fn hear(manager: &mut Manager, now: Moment, nodes: &[u64]) {
        for node in nodes.iter().map(|node| NodeId(*node)) {
            manager.report(now, &NodeReport { node, store: StoreId(1), busyness: Busyness::default(), sizes: Vec::new() });
        }
    }

    fn tend(manager: &mut Manager, now: Moment, view: &View) -> Vec<Wanted> {
        let mut out = Vec::new();
        manager.tend(now, view, &mut out);
        out
    }

    #[test]
    fn a_manager_that_just_began_takes_nobody_for_silent() {
        let (began, view) = (Moment(900 * SECOND), view());
        let mut manager = Manager::new(ManagerSettings::default(), began);
        assert_eq!(tend(&mut manager, began.after(SECOND - 1), &view), []);
        hear(&mut manager, began.after(SECOND - 1), &[0, 2]);
        let wanted = tend(&mut manager, began.after(SECOND), &view);
        let suspects =
            |wanted: &Wanted| matches!(wanted, Wanted::Node { node: NodeId(1), next, .. } if next.state == NodeState::Suspect);
        assert!(wanted.len() == 1 && suspects(&wanted[0]), "{wanted:?}");
        assert_eq!(tend(&mut manager, began.after(SECOND + 1), &view), [], "what was asked for is on its way");
    }

    #[test]
    fn a_silent_nodes_slices_get_a_target_only_when_it_is_gone() {
        let mut view = view();
        view.nodes.get_mut(&NodeId(1)).unwrap().value.state = NodeState::Down;
        let settings = ManagerSettings { gone_us: 60 * SECOND, ..ManagerSettings::default() };
        let mut manager = Manager::new(settings, Moment(0));
        for seconds in 1..60 {
            let now = Moment(seconds * SECOND);
            hear(&mut manager, now, &[0, 2]);
            assert_eq!(tend(&mut manager, now, &view), [], "after {seconds} s");
        }
        hear(&mut manager, Moment(60 * SECOND), &[0, 2]);
        let target = Wanted::Target { slice: SliceId(7), expect: None, next: Some(vec![NodeId(0), NodeId(2)]) };
        assert_eq!(tend(&mut manager, Moment(60 * SECOND), &view), [target]);
    }

    #[test]
    fn a_primary_that_no_manager_hears_is_succeeded_by_a_member_that_is_there() {
        let down = |nodes: &[u64]| {
            let mut view = view();
            for node in nodes {
                view.nodes.get_mut(&NodeId(*node)).unwrap().value.state = NodeState::Down;
            }
            let mut manager = Manager::new(ManagerSettings::default(), Moment(0));
            let slices = |wanted: &Wanted| match wanted {
                Wanted::Slice { next, .. } => Some((next.epoch, next.primary, next.members.clone())),
                _ => None,
            };
            tend(&mut manager, Moment(SECOND / 2), &view).iter().filter_map(slices).collect::<Vec<_>>()
        };
        assert_eq!(down(&[0]), [(Epoch(2), id(1), vec![id(0), id(1)])]);
        assert_eq!(down(&[1]), [], "the primary is there");
        assert_eq!(down(&[0, 1]), [], "no member is there: the slice waits");
    }

    #[test]
    fn reports_of_another_store_are_not_the_nodes() {
        let mut view = view();
        view.nodes.get_mut(&NodeId(1)).unwrap().value.store = StoreId(2);
        let mut manager = Manager::new(ManagerSettings::default(), Moment(0));
        hear(&mut manager, Moment(SECOND), &[0, 1, 2]);
        let wanted = tend(&mut manager, Moment(SECOND), &view);
        let silent = wanted.iter().filter(|wanted| matches!(wanted, Wanted::Node { node: NodeId(1), .. })).count();
        let replaced =
            wanted.iter().any(|wanted| matches!(wanted, Wanted::Slice { next, .. } if next.backups[0].store == StoreId(2)));
        assert!(silent == 1 && replaced, "{wanted:?}");
        assert_eq!(view.stuck().count(), 0);
        view.nodes.get_mut(&NodeId(0)).unwrap().value.store = StoreId(2);
        assert_eq!(view.stuck().collect::<Vec<_>>(), [SliceId(7)]);
    }

    #[test]
    fn a_slice_whose_members_are_all_down_waits_for_an_operator() {
        let mut view = view();
        view.slices.get_mut(&SliceId(7)).unwrap().value.members = vec![id(0)];
        let states = [NodeState::Joining, NodeState::Normal, NodeState::Suspect, NodeState::Recovering, NodeState::Draining];
        for state in states {
            view.nodes.get_mut(&NodeId(0)).unwrap().value.state = state;
            assert_eq!(view.stuck().count(), 0, "{state:?}");
        }
        view.nodes.get_mut(&NodeId(0)).unwrap().value.state = NodeState::Down;
        assert_eq!(view.stuck().collect::<Vec<_>>(), [SliceId(7)], "node 1 is there, and lacks writes");
        let mut manager = Manager::new(ManagerSettings::default(), Moment(0));
        assert_eq!(tend(&mut manager, Moment(1), &view), [], "nothing is done by itself");
        view.slices.get_mut(&SliceId(7)).unwrap().value.members.push(id(1));
        assert_eq!(view.stuck().count(), 0, "node 1 may lead");
        view.nodes.get_mut(&NodeId(1)).unwrap().value.state = NodeState::Down;
        assert_eq!(view.stuck().collect::<Vec<_>>(), [SliceId(7)]);
    }

    #[test]
    fn a_store_that_lost_its_number_does_not_silence_the_new_owner() {
        let settings = ManagerSettings { gone_us: 60 * SECOND, ..ManagerSettings::default() };
        let (view, mut manager) = (view(), Manager::new(settings, Moment(0)));
        let foreign = |store| NodeReport { node: NodeId(1), store, busyness: Busyness::default(), sizes: Vec::new() };
        for seconds in 1..100 {
            let now = Moment(seconds * SECOND);
            hear(&mut manager, now, &[0, 1, 2]);
            manager.report(now, &foreign(StoreId(9)));
            manager.report(now, &foreign(StoreId(100 + u128::from(seconds))));
            assert_eq!(tend(&mut manager, now, &view), [], "after {seconds} s");
        }
        assert!(manager.heard.len() <= 3 + 1 + 60, "stores that are gone are forgotten: {}", manager.heard.len());
    }

    #[test]
    fn a_target_that_names_a_node_twice_is_given_up() {
        let mut view = view();
        let target = vec![NodeId(0), NodeId(2), NodeId(2)];
        view.targets.insert(SliceId(7), Seen { value: target, revision: Revision(5) });
        let mut manager = Manager::new(ManagerSettings::default(), Moment(0));
        let wanted = tend(&mut manager, Moment(1), &view);
        assert_eq!(wanted, [Wanted::Target { slice: SliceId(7), expect: Some(Revision(5)), next: None }]);
    }

    #[test]
    fn slices_follow_the_fleets_policy_where_their_primaries_are_there() {
        let (mut view, mut manager) = (view(), Manager::new(ManagerSettings::default(), Moment(0)));
        let policy = Policy { mode: Mode::Async { lag_records_max: 9 }, min_in_sync: 1 };
        view.policy = Some(policy);
        hear(&mut manager, Moment(1), &[0, 1, 2]);
        let next = view.slices[&SliceId(7)].value.with_policy(policy);
        let wanted = Wanted::Slice { slice: SliceId(7), expect: Revision(1), next: next.clone() };
        assert_eq!(tend(&mut manager, Moment(1), &view), [wanted]);
        view.slices.get_mut(&SliceId(7)).unwrap().value = next;
        assert_eq!(tend(&mut manager, Moment(2), &view), [], "it is in step");
        view.policy = Some(Policy { mode: Mode::Sync, min_in_sync: 1 });
        view.nodes.get_mut(&NodeId(0)).unwrap().value.state = NodeState::Suspect;
        let swaps = |wanted: &Wanted| matches!(wanted, Wanted::Slice { .. });
        assert!(!tend(&mut manager, Moment(3), &view).iter().any(swaps), "a new epoch would hold its successor up");
    }

    #[test]
    fn busyness_is_a_weighed_mean() {
        let parts = Busyness { cpu: 1_000, network: 0, disk: 500, memory: 100 };
        assert_eq!(parts.weighed(&Weights { cpu: 1, network: 1, disk: 2, memory: 0 }), 500);
        assert_eq!(parts.weighed(&Weights { cpu: 0, network: 0, disk: 0, memory: 0 }), 0);
    }
}
