//! Fleets with managers in real processes: a lone manager's meta and real etcd (Debian's `etcd-server`), nodes drained, wiped,
//! killed while slices move, managers killed; and clients that know what was acknowledged.
#![expect(clippy::disallowed_methods, reason = "these tests are the outside world: processes, files, real time")]

#[path = "../metas/directory.rs"]
mod directory;
mod fleet;
#[path = "../identity/mod.rs"]
mod identity;
mod joining;
#[path = "../metas/members.rs"]
#[expect(dead_code, reason = "etcd's own tests do more with them")]
mod members;
mod process;
mod writers;

use cluster::manager::{AdminError, Operation, Placement};
use fleet::{COPIES, Fleet, RULE, record};
use protocol::membership::NodeState;
use std::time::Duration;
use types::{DistributionRule, NodeId, SliceId};

const PATIENCE: Duration = Duration::from_secs(60);

/// The manager is killed while a node is drained: another run of it goes on. All is asked twice.
#[test]
fn a_node_is_drained_and_removed_though_its_manager_dies() {
    let mut fleet = Fleet::lone(3);
    fleet.admin(|admin| async move { admin.place(&Placement::Modulus).await }).expect_err("there is no rule yet");
    fleet.admin(|admin| async move { admin.init(record(RULE)).await }).expect("the rule is set");
    fleet.admin(|admin| async move { admin.init(record(RULE)).await }).expect("to the same");
    let other = record(DistributionRule { buckets: 7, ..RULE });
    assert_eq!(fleet.admin(move |admin| async move { admin.init(other).await }), Err(AdminError::IsSet));
    fleet.wait_for_state(&[1, 2, 3], NodeState::Normal);
    let place = |fleet: &Fleet| fleet.admin(|admin| async move { admin.place(&Placement::Modulus).await });
    assert_eq!(place(&fleet), Ok(u64::from(RULE.buckets)));
    assert_eq!(place(&fleet), Ok(0), "what is placed stays");
    fleet.wait_for_members(COPIES as usize);
    let writers = fleet.write();
    writers.wait_for(20, PATIENCE);

    let drain = |fleet: &Fleet| fleet.admin(|admin| async move { admin.drain(NodeId(2)).await });
    assert_eq!((drain(&fleet), drain(&fleet)), (Ok(()), Ok(())));
    let remove = |fleet: &Fleet| fleet.admin(|admin| async move { admin.remove(NodeId(2)).await });
    assert!(matches!(remove(&fleet), Err(AdminError::State(_))), "it still holds slices");
    let operations = fleet.admin(|admin| async move { admin.operations().await }).expect("meta answers");
    let drains = operations.iter().any(|operation| matches!(operation, Operation::Drain { node: NodeId(2), left } if *left > 0));
    assert!(drains, "{operations:?}");
    fleet.kill(0);
    writers.wait_for(20, PATIENCE);
    fleet.restart(0);
    fleet.wait_until_empty(2);
    writers.wait_for(20, PATIENCE);
    assert_eq!((remove(&fleet), remove(&fleet)), (Ok(true), Ok(false)));
    assert_eq!(fleet.admin(|admin| async move { admin.operations().await }), Ok(vec![]));
    // Its number is free: it must not stand in the way of whoever gets it.
    fleet.wait_until_ended(2);
    fleet.wipe(2);
    fleet.restart(2);
    fleet.wait_for_state(&[2], NodeState::Normal);
    fleet.check(writers.stop());
}

/// A node stands still for so long that its number is given to another process. When it goes on, it ends.
#[test]
fn a_node_that_stood_still_gives_way_to_whoever_has_its_number() {
    let mut fleet = Fleet::lone(3);
    fleet.begin();
    let writers = fleet.write();
    writers.wait_for(10, PATIENCE);
    let before = fleet.store(2);
    fleet.signal(2, libc::SIGSTOP);
    fleet.wait_for_silence(&[NodeId(2)]);
    fleet.replace(2);
    assert_ne!(fleet.store(2), before);
    fleet.wait_until_former_end();
    fleet.wait_for_state(&[1, 2, 3], NodeState::Normal);
    fleet.wait_for_members(COPIES as usize);
    writers.wait_for(10, PATIENCE);
    fleet.check(writers.stop());
}

/// What a store says that meta does not name counts for nothing; whoever is heard is not taken off the list, whatever its state.
#[test]
fn a_foreign_store_does_not_silence_a_node_and_who_is_heard_stays() {
    let fleet = Fleet::lone(1);
    fleet.wait_for_state(&[1], NodeState::Normal);
    let foreign = fleet.report_as(1);
    let mut looks = 0;
    fleet.until("it was looked at often, over several reports of each", || {
        let nodes = fleet.nodes();
        let node = nodes.iter().find(|status| status.node == NodeId(1)).expect("it is there");
        assert!(node.silence_ms.is_some(), "{node:?}");
        looks += 1;
        looks == 60
    });
    drop(foreign);
    for state in [NodeState::Joining, NodeState::Normal, NodeState::Joining] {
        fleet.set_state(1, state);
        let removed = fleet.admin(|admin| async move { admin.remove(NodeId(1)).await });
        assert!(matches!(&removed, Err(AdminError::State(text)) if text.contains("stop its process")), "{removed:?}");
    }
}

/// With etcd and two managers: a disk is wiped, and the manager that tends dies; the node is a backup again.
#[test]
fn a_wiped_node_is_restored_though_a_manager_dies() {
    let mut fleet = Fleet::with_etcd(2, 3);
    fleet.begin();
    let writers = fleet.write();
    writers.wait_for(20, PATIENCE);
    let before = fleet.store(2);
    fleet.kill(2);
    fleet.wipe(2);
    fleet.kill(0);
    fleet.restart(2);
    assert_ne!(fleet.store(2), before, "a wiped disk is another store");
    writers.wait_for(20, PATIENCE);
    fleet.wait_for_members(COPIES as usize);
    // Either manager can be the one: whoever tended, the other sees who is silent.
    fleet.restart(0);
    fleet.wait_for_state(&[2, 3, 4], NodeState::Normal);
    fleet.kill(1);
    let acknowledged = writers.stop();
    // What only the restored node and one other had is there without the other.
    fleet.kill(3);
    fleet.wait_for_silence(&[NodeId(3)]);
    fleet.check(acknowledged);
}

/// A slice moves while its source and its target die, each once; what was acknowledged is there, where it was to be.
#[test]
fn a_move_outlives_its_source_and_its_target() {
    let mut fleet = Fleet::with_etcd(1, 3);
    fleet.begin();
    let writers = fleet.write();
    writers.wait_for(20, PATIENCE);
    let slice = SliceId(0);
    let map = fleet.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
    let (source, stays) = (map[&slice].primary.node, map[&slice].backups[0].node);
    let target = (1..=3).map(NodeId).find(|node| *node != source && *node != stays).expect("of three nodes two hold it");
    let nodes = [target, stays];
    let move_it = |fleet: &Fleet| fleet.admin(move |admin| async move { admin.move_slice(slice, &nodes).await });
    assert_eq!(move_it(&fleet), Ok(()));
    let twice = fleet.admin(move |admin| async move { admin.move_slice(slice, &[target, target]).await });
    assert!(matches!(twice, Err(AdminError::Invalid(_))), "{twice:?}");
    fleet.kill(target.0 as usize);
    fleet.kill(0);
    fleet.restart(0);
    fleet.restart(target.0 as usize);
    fleet.kill(source.0 as usize);
    fleet.restart(source.0 as usize);
    // Given up while a node of it was down, it is asked for again.
    fleet.until("the slice lies where it was to", || {
        let _ = move_it(&fleet);
        fleet.lies_on(slice, &nodes)
    });
    writers.wait_for(20, PATIENCE);
    fleet.wait_for_members(COPIES as usize);
    fleet.check(writers.stop());
}

/// A planned switch-over, an even plan after a node came, and a slice that must be forced.
#[test]
fn slices_are_switched_evened_and_forced() {
    let mut fleet = Fleet::lone(2);
    fleet.begin();
    let writers = fleet.write();
    writers.wait_for(10, PATIENCE);
    let slice = SliceId(1);
    let map = fleet.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
    let (first, second) = (map[&slice].primary.node, map[&slice].backups[0].node);
    let switch = |fleet: &Fleet| fleet.admin(move |admin| async move { admin.switch_primary(slice, second).await });
    assert_eq!(switch(&fleet), Ok(()));
    fleet.until("the other leads", || fleet.lies_on(slice, &[second, first]));
    assert_eq!(switch(&fleet), Ok(()), "it leads already");

    fleet.add(3);
    fleet.wait_for_state(&[3], NodeState::Normal);
    // Not before: data that lie in one slice are even wherever it lies.
    let mut found = None;
    fleet.until("data are worth being evened", || {
        let plan = fleet.admin(|admin| async move { admin.plan(0).await }).expect("there is a plan");
        found = plan.changes.iter().any(|change| change.added().any(|node| node == NodeId(3))).then_some(plan);
        found.is_some()
    });
    let plan = found.expect("it was waited for");
    let expect = plan.changes.len() as u64;
    let execute = |fleet: &Fleet| {
        fleet.admin(|admin| {
            let plan = plan.clone();
            async move { admin.execute(&plan).await }
        })
    };
    assert_eq!(execute(&fleet), Ok(expect));
    assert_eq!(execute(&fleet), Ok(expect), "all of it is under way, or made");
    fleet.until("the plan is made", || plan.changes.iter().all(|change| fleet.lies_on(change.slice, &change.after)));
    fleet.wait_for_members(COPIES as usize);
    writers.wait_for(10, PATIENCE);

    // A move that is cancelled leaves as many copies as there are to be, all in sync.
    let map = fleet.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
    let holders: Vec<NodeId> = map[&slice].everyone().map(|id| id.node).collect();
    let other = (1..=3).map(NodeId).find(|node| !holders.contains(node)).expect("of three nodes two hold it");
    let after = [other, holders[0]];
    fleet.admin(move |admin| async move { admin.move_slice(slice, &after).await }).expect("it is on its way");
    let cancel = |fleet: &Fleet| fleet.admin(move |admin| async move { admin.cancel(slice).await });
    assert_eq!((cancel(&fleet), cancel(&fleet)), (Ok(()), Ok(())));
    let none = fleet.admin(|admin| async move { admin.cancel(SliceId(RULE.buckets)).await });
    assert!(matches!(none, Err(AdminError::Invalid(_))), "there is no such slice: {none:?}");
    fleet.wait_for_rest();
    fleet.wait_for_members(COPIES as usize);
    writers.wait_for(10, PATIENCE);
    let acknowledged = writers.stop();
    fleet.reads_of_each_slice_by_itself(&acknowledged);
    fleet.refuses_tags_that_nobody_knows();
    fleet.check(acknowledged);

    let force = |fleet: &Fleet, node| fleet.admin(move |admin| async move { admin.force(slice, node).await });
    let map = fleet.admin(|admin| async move { admin.slice_map().await }).expect("meta answers");
    let holders: Vec<NodeId> = map[&slice].members.iter().map(|id| id.node).collect();
    let other = (1..=3).map(NodeId).find(|node| !holders.contains(node)).expect("of three nodes two hold it");
    assert!(matches!(force(&fleet, other), Err(AdminError::State(_))), "copies in sync are there");
    holders.iter().for_each(|node| fleet.kill(node.0 as usize));
    fleet.wait_for_silence(&holders);
    let epoch = force(&fleet, other).expect("nobody else is there");
    assert_eq!(force(&fleet, other), Ok(epoch), "once");
    fleet.until("the slice is led", || fleet.leads(slice, other));
}

/// The other tests start their processes as this test.
#[test]
fn a_process_ends_when_its_input_does() {
    if process::is_one() {
        return process::run();
    }
    let mut fleet = Fleet::lone(1);
    assert!(fleet.end(1).success());
    assert!(fleet.end(0).success());
}
