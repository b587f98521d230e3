//! The tag table of a fleet in real processes: three schedulers on real disks, a lone manager's meta, real kill -9, and
//! doors that know what was answered to them.
#![expect(clippy::disallowed_methods, reason = "these tests are the outside world: processes, files, real time")]

mod fleet;
#[path = "../identity/mod.rs"]
mod identity;
mod process;
mod registering;

use fleet::Fleet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Tags are made at all doors at once while the leader is killed, and killed again: what was answered is everywhere.
#[test]
fn kill_9_of_the_leader_loses_no_tag_that_was_answered() {
    let mut fleet = Fleet::start("kill", 3);
    fleet.wait_for_normal(3, PATIENCE);
    fleet.load(PATIENCE);
    fleet.wait_for_answers(20, PATIENCE);
    for _ in 0..2 {
        let leader = fleet.leader(PATIENCE);
        fleet.kill(leader);
        let took = fleet.wait_for_answers(20, PATIENCE);
        eprintln!("scheduler {leader} killed: the other doors had 20 more answers each within {took:?}");
        fleet.restart(leader);
        fleet.wait_for_normal(3, PATIENCE);
        fleet.load(PATIENCE);
    }
    fleet.wait_for_answers(5, PATIENCE);
    fleet.end_load(PATIENCE);
    fleet.check(PATIENCE);
}

/// Who was away comes back by batches; where they are not kept any more, by parts of the table.
#[test]
fn who_was_away_returns_by_batches_or_by_parts() {
    let mut fleet = Fleet::start("away", 3);
    fleet.wait_for_normal(3, PATIENCE);
    fleet.ask(0, "create early 5000 5000", PATIENCE);
    let away = (fleet.leader(PATIENCE) + 1) % 3;
    let door = (away + 1) % 3;
    fleet.kill(away);
    fleet.ask(door, "create few 60 20", PATIENCE);
    fleet.restart(away);
    fleet.wait_for_normal(3, PATIENCE);
    fleet.check(PATIENCE);
    fleet.kill(away);
    // Many more batches than are kept.
    fleet.ask(door, "create many 600 20", PATIENCE);
    fleet.ask(door, "change early.17 renamed", PATIENCE);
    fleet.ask(door, "delete early.4500", PATIENCE);
    fleet.ask(door, "create early.17 1 1", PATIENCE);
    fleet.restart(away);
    fleet.wait_for_normal(3, PATIENCE);
    assert!(fleet.parts_taken(away, PATIENCE) > 0, "the batches that it missed are not kept any more");
    fleet.ask(away, "create late 60 20", PATIENCE);
    fleet.check(PATIENCE);
}

/// A leader that stood still does not answer from its old table, nor for long keep others from theirs.
#[test]
fn a_leader_that_stood_still_shows_what_was_answered_meanwhile() {
    let mut fleet = Fleet::start("stop", 3);
    fleet.wait_for_normal(3, PATIENCE);
    fleet.ask(0, "create before 1 1", PATIENCE);
    for round in 0..3 {
        let leader = fleet.leader(PATIENCE);
        let (door, other) = ((leader + 1) % 3, (leader + 2) % 3);
        fleet.signal(leader, libc::SIGSTOP);
        fleet.ask(door, &format!("create after.{round} 1 1"), PATIENCE);
        fleet.ask(other, &format!("see after.{round}"), PATIENCE);
        fleet.signal(leader, libc::SIGCONT);
        fleet.ask(leader, &format!("see after.{round}"), PATIENCE);
        fleet.wait_for_normal(3, PATIENCE);
    }
    fleet.check(PATIENCE);
}

/// A scheduler ends in order when it is told to. The other tests start their schedulers as this test.
#[test]
fn a_scheduler_ends_when_its_input_does() {
    if process::is_node() {
        return process::run();
    }
    let mut fleet = Fleet::start("end", 1);
    fleet.ask(0, "create alone 10 5", PATIENCE);
    assert!(fleet.end(0).success());
}
