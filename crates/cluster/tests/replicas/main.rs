//! Replicas in real processes: three data nodes on real disks, a lone manager's meta, real kill -9 and SIGSTOP, and
//! clients that know what was acknowledged.
#![expect(clippy::disallowed_methods, reason = "these tests are the outside world: processes, files, real time")]

mod fleet;
mod garbage;
#[path = "../identity/mod.rs"]
mod identity;
mod process;
mod retention;
mod routed;
mod thinned;

use fleet::{Fleet, SLICES};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every node is killed once under load: what was acknowledged is there, and every node becomes a member again.
#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut fleet = Fleet::start("kill", 3);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    for node in 0..3 {
        fleet.kill(node);
        let took = fleet.wait_for_writes(&writers, 50, PATIENCE);
        eprintln!("node {node} killed: each of {SLICES} slices took 50 more writes within {took:?}");
        fleet.restart(node);
        fleet.wait_for_members(3, PATIENCE);
    }
    let acknowledged = fleet.stop(writers);
    assert!(acknowledged.iter().all(|numbers| numbers.len() >= 200), "each slice went on after each kill");
    fleet.check(&acknowledged);
}

/// A primary that stands still is replaced; when it goes on it serves nothing that it should not.
#[test]
fn a_primary_that_stood_still_is_deposed() {
    let fleet = Fleet::start("stop", 3);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    for node in 0..3 {
        fleet.signal(node, libc::SIGSTOP);
        fleet.wait_for_writes(&writers, 50, PATIENCE);
        fleet.signal(node, libc::SIGCONT);
        fleet.wait_for_members(3, PATIENCE);
    }
    let acknowledged = fleet.stop(writers);
    fleet.check(&acknowledged);
}

/// All nodes die at once: with `sync`, each of them has all that was acknowledged.
#[test]
fn all_nodes_killed_at_once() {
    let mut fleet = Fleet::start("all", 3);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    (0..3).for_each(|node| fleet.kill(node));
    (0..3).for_each(|node| fleet.restart(node));
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    let acknowledged = fleet.stop(writers);
    fleet.check(&acknowledged);
}

/// With meta alone away, nothing that is served fails; what needs it waits until it is back.
#[test]
fn meta_away() {
    let mut fleet = Fleet::start("meta", 3);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    fleet.stop_meta();
    fleet.wait_for_writes(&writers, 500, PATIENCE);
    fleet.check(&writers.acknowledged());
    fleet.kill(2);
    fleet.start_meta();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    fleet.restart(2);
    fleet.wait_for_members(3, PATIENCE);
    let acknowledged = fleet.stop(writers);
    fleet.check(&acknowledged);
}

/// What a node missed is not in the log any more: it copies files, and is as good as the others.
#[test]
fn a_node_that_missed_much_copies_files() {
    let mut fleet = Fleet::start_with("files", 3, true, None);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 50, PATIENCE);
    fleet.kill(2);
    fleet.wait_for_writes(&writers, 400, PATIENCE);
    fleet.restart(2);
    fleet.wait_for_members(3, PATIENCE);
    let acknowledged = fleet.stop(writers);
    fleet.kill(0);
    fleet.kill(1);
    fleet.check(&acknowledged);
    let (status, copied) = fleet.end(2);
    assert!(status.success() && copied > 0, "{copied} bytes of files were copied");
}

/// A node ends in order when it is told to. The other tests start their nodes as this test, in processes of their own.
#[test]
fn a_node_ends_when_its_input_does() {
    if process::is_node() {
        return process::run();
    }
    let mut fleet = Fleet::start("end", 1);
    assert!(fleet.end(0).0.success());
}
