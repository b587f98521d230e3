//! What a manager costs that keeps 1,000 nodes with 100,000 slices: core time for a second of the fleet's time.
//!
//! `cargo run --release --package protocol --example keep_nodes`. Every node reports every 300 ms and the manager tends four
//! times a second; all swaps succeed, and replicas are members a second after they were added. It prints, and asserts
//! nothing.

use protocol::membership::{Busyness, Manager, ManagerSettings, NodeEntry, NodeReport, NodeState, Order, Seen, View, Wanted};
use protocol::moves::{Host, by_modulus};
use protocol::{Mode, Moment, Policy, ReplicaId, SliceEntry};
use std::collections::BTreeMap;
use std::time::Instant;
use types::{Epoch, NodeId, Revision, SliceId, StoreId};

const NODES: u64 = 1_000;
const SLICES: u32 = 100_000;
const STEP_US: u64 = 50_000;

fn main() {
    let mut view = fleet();
    let mut manager = Manager::new(ManagerSettings { gone_us: 20_000_000, ..ManagerSettings::default() }, Moment(0));
    let mut revision = 1;
    let mut step = 0;
    let mut run = |what: &str, seconds: u64, dead: &[u64], view: &mut View| {
        let (mut took, mut longest, mut swaps) = (0.0, 0.0_f64, 0);
        for _ in 0..seconds * 1_000_000 / STEP_US {
            step += 1;
            let now = Moment(step * STEP_US);
            let reports: Vec<NodeReport> =
                (0..NODES).filter(|node| node % 6 == step % 6 && !dead.contains(node)).map(report).collect();
            let mut wanted = Vec::new();
            let spent = measured(|| {
                reports.iter().for_each(|report| manager.report(now, report));
                if step % 5 == 0 {
                    manager.tend(now, view, &mut wanted);
                }
            });
            took += spent;
            longest = longest.max(spent);
            swaps += wanted.len();
            wanted.into_iter().for_each(|wanted| carry_out(view, &mut revision, wanted));
            if step % 20 == 0 {
                join(view, &mut revision);
            }
        }
        let percent = took / seconds as f64 * 100.0;
        println!("{what}: {percent:.1} % of a core over {seconds} s, longest step {:.0} ms, {swaps} swaps", longest * 1_000.0);
    };
    run("all nodes begin", 10, &[], &mut view);
    run("all are well", 30, &[], &mut view);
    let dead: Vec<u64> = (0..10).map(|n| n * 97).collect();
    run("ten nodes die, and are taken for gone after 20 s", 60, &dead, &mut view);
    for node in (0..10).map(|n| NodeId(n * 89 + 5)) {
        if let Some(seen) = view.nodes.get_mut(&node) {
            (seen.value.drains, seen.revision) = (true, Revision(u64::MAX - node.0));
        }
    }
    run("ten more are drained", 60, &dead, &mut view);
    let left = view.slices.values().filter(|seen| seen.value.everyone().any(|id| dead.contains(&id.node.0))).count();
    println!("{left} slices are left on nodes that died");
}

#[expect(clippy::disallowed_methods, reason = "a measurement is the outside world")]
fn measured(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn id(node: u64) -> ReplicaId {
    ReplicaId { node: NodeId(node), store: StoreId(u128::from(node)) }
}

fn report(node: u64) -> NodeReport {
    NodeReport { node: NodeId(node), store: id(node).store, busyness: Busyness::default(), sizes: Vec::new() }
}

const POLICY: Policy = Policy { mode: Mode::Sync, min_in_sync: 1 };

fn fleet() -> View {
    let seen = |node: u64| {
        let (region, rack) = (format!("region {}", node % 3), format!("rack {}", node / 3 % 20));
        let value = NodeEntry { store: id(node).store, state: NodeState::Joining, drains: false, weight: 1, region, rack };
        Seen { value, revision: Revision(1) }
    };
    let nodes: BTreeMap<NodeId, Seen<NodeEntry>> = (0..NODES).map(|node| (NodeId(node), seen(node))).collect();
    let host = |(node, seen): (&NodeId, &Seen<NodeEntry>)| {
        let (region, rack) = (seen.value.region.clone(), seen.value.rack.clone());
        Host { id: *node, weight: 1, region, rack, leaves: false }
    };
    let hosts: Vec<Host> = nodes.iter().map(host).collect();
    let slice = |(slice, holders): (u32, Vec<NodeId>)| {
        let members: Vec<ReplicaId> = holders.iter().map(|node| id(node.0)).collect();
        let (primary, backups) = (members[0], members[1..].to_vec());
        let value = SliceEntry { epoch: Epoch(1), primary, backups, members, policy: POLICY, forced: Epoch(0) };
        (SliceId(slice), Seen { value, revision: Revision(1) })
    };
    let placed = by_modulus(&hosts, SLICES, 2).expect("there are hosts");
    View { nodes, slices: (0..).zip(placed).map(slice).collect(), targets: BTreeMap::new(), copies: 2, policy: Some(POLICY) }
}

fn carry_out(view: &mut View, revision: &mut u64, wanted: Wanted) {
    *revision += 1;
    let revision = Revision(*revision);
    match wanted {
        Wanted::Node { node, next, .. } => drop(view.nodes.insert(node, Seen { value: next, revision })),
        Wanted::Slice { slice, next, .. } => drop(view.slices.insert(slice, Seen { value: next, revision })),
        Wanted::Target { slice, next: Some(next), .. } => drop(view.targets.insert(slice, Seen { value: next, revision })),
        Wanted::Target { slice, .. } => drop(view.targets.remove(&slice)),
        Wanted::Order { order: Order::HandOver { slice, to, .. }, .. } => {
            if let Some(seen) = view.slices.get_mut(&slice) {
                *seen = Seen { value: seen.value.under(to), revision };
            }
        }
    }
}

/// Replicas that were added are members now, those that were removed are not; dead primaries are succeeded.
fn join(view: &mut View, revision: &mut u64) {
    let down = |id: ReplicaId| view.nodes.get(&id.node).is_none_or(|seen| seen.value.state == NodeState::Down);
    for seen in view.slices.values_mut() {
        let entry = &seen.value;
        let mut next = entry.clone();
        if down(entry.primary)
            && let Some(to) = entry.members.iter().find(|id| !down(**id))
        {
            next = entry.succeeded_by(*to);
        }
        next.members = next.everyone().filter(|id| next.keeps(*id) && !down(*id)).collect();
        if next != *entry && next.is_member(next.primary) {
            *revision += 1;
            *seen = Seen { value: next, revision: Revision(*revision) };
        }
    }
}
