//! A fleet that answers before its copies have it (`replication = N`): a primary that dies loses at most N records of a slice,
//! always the newest, says so once when it is back, and keeps what it had alone.
//!
//! A copy is killed, writers go on for less than its primary's lease, and the primary is killed: what it answered in between
//! nobody else has. The copy comes back first. Each writer writes one slice, a record a statement, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::workload::make_tags;
use tests::{Fleet, Network, connect};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

const SLICES: usize = 8;
/// The most records that may be lost a slice.
const LAG_MAX: usize = 10;
/// Rounds at most: a primary on a busy machine may count a dead copy out before it is killed itself, and then nothing is lost.
const ROUNDS_MAX: usize = 12;
/// What a store says of records that it had alone.
const SAID: &str = "records that only this replica had";

/// What a writer sent: acknowledged, or not answered.
#[derive(Default)]
struct Written {
    acknowledged: BTreeSet<u64>,
    unknown: Option<u64>,
}

/// Writes to a slice from `first` on until it is told to stop or is not answered, by two sessions in turn, and gives back the one
/// that was answered last: the other's statement may be taken by the next primary.
fn write(connection: String, slice: usize, first: u64, stop: Arc<AtomicBool>) -> JoinHandle<(Written, Client)> {
    tokio::spawn(async move {
        let mut client = connect(&connection).await.expect("a door");
        let mut other = connect(&connection).await.expect("a door");
        let mut written = Written::default();
        for number in first.. {
            let sql = format!(
                "INSERT INTO samples (tag, time, value) VALUES ('w.{}', TIMESTAMPTZ '2024-01-01 00:00:00+00' + {number} * INTERVAL '1 second', {number})",
                slice * 4
            );
            // While one statement is under way its primary may die: the scheduler then tries the next.
            let stopped = stop.load(Ordering::Acquire);
            let answered = client.simple_query(&sql).await.is_ok();
            if stopped || !answered || stop.load(Ordering::Acquire) {
                written.unknown = Some(number);
                return (written, other);
            }
            written.acknowledged.insert(number);
            std::mem::swap(&mut client, &mut other);
        }
        (written, client)
    })
}

/// What is there of a slice.
async fn there(client: &Client, slice: usize) -> BTreeSet<u64> {
    let sql = format!("SELECT value FROM samples WHERE tag = 'w.{}'", slice * 4);
    let rows = client.query(&sql, &[]).await.expect("a primary can be read when all is well");
    rows.iter().map(|row| row.get::<_, f64>(0) as u64).collect()
}

/// How many records each slice was said to have lost, in all lines of a node's log so far, in order.
fn said(fleet: &Fleet, node: usize) -> Vec<(usize, usize)> {
    let log = std::fs::read_to_string(fleet.path().join(format!("data-{node}/server.err"))).expect("a node has a log");
    let field = |line: &str, name: &str| -> usize {
        let (_, rest) = line.split_once(&format!("\"{name}\":")).expect("the line has the field");
        let digits: String = rest.trim_start_matches('"').chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("it is a number")
    };
    log.lines().filter(|line| line.contains(SAID)).map(|line| (field(line, "slice"), field(line, "records"))).collect()
}

/// Which slices a node leads.
async fn led(client: &Client, node: usize) -> BTreeSet<usize> {
    let sql = format!("SELECT slice FROM meridian.slice_map WHERE \"primary\" = {}", 100 + node);
    let rows = client.query(&sql, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get::<_, i64>(0) as usize).collect()
}

/// What was acknowledged in a round and is lost, by slice; it is the end of what was written, and not more than is allowed.
async fn lost(fleet: &Fleet, client: &Client, round: &BTreeMap<usize, Written>) -> BTreeMap<usize, usize> {
    let mut lost = BTreeMap::new();
    for (slice, written) in round {
        let there = there(client, *slice).await;
        let gone: Vec<u64> = written.acknowledged.difference(&there).copied().collect();
        if let Some(first) = gone.first() {
            let kept = written.acknowledged.range(first..).find(|number| there.contains(number));
            assert_eq!(kept, None, "slice {slice}: {gone:?} are lost and a later one is not; {}", fleet.path().display());
            assert!(gone.len() <= LAG_MAX, "slice {slice}: {gone:?} are lost; {}", fleet.path().display());
            lost.insert(*slice, gone.len());
        }
    }
    lost
}

/// A session whose write was lost hears of it as soon as somebody wrote to the slice again: no wait brings the write back.
async fn tells_its_session(client: &Client, session: &Client, slice: usize) {
    let tag = format!("w.{}", slice * 4);
    let again = format!("INSERT INTO samples (tag, time, value) VALUES ('{tag}', '2023-01-01 00:00:00+00', 0)");
    client.simple_query(&again).await.expect("it is written");
    session.simple_query("SET read_consistency = session").await.expect("it is set");
    // What a plan saw counts as seen from then on, so it comes last.
    let point = format!("SELECT value FROM latest WHERE tag = '{tag}'");
    let plan = format!("SELECT sum(value + 1) FROM samples WHERE tag = '{tag}'");
    for sql in [point, plan] {
        let told = session.simple_query(&sql).await.expect_err("what it wrote is lost");
        let state = told.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(state, Some("55000"), "{sql}: {told:?}");
    }
    session.simple_query("SET read_consistency = 'primary'").await.expect("it is set");
    let rows =
        session.query(&format!("SELECT value FROM samples WHERE tag = '{tag}'"), &[]).await.expect("it reads what is there");
    assert!(!rows.is_empty());
    // One that writes again itself is told, too, and once: what it wrote since is there.
    let own = format!("INSERT INTO samples (tag, time, value) VALUES ('{tag}', '2023-01-02 00:00:00+00', 0)");
    session.simple_query(&own).await.expect("it is written");
    session.simple_query("SET read_consistency = session").await.expect("it is set");
    let plain = format!("SELECT value FROM samples WHERE tag = '{tag}'");
    let told = session.simple_query(&plain).await.expect_err("what it wrote first is lost");
    assert_eq!(told.code().map(tokio_postgres::error::SqlState::code), Some("55000"), "{told:?}");
    assert!(!session.query(&plain, &[]).await.expect("it was told").is_empty());
    session.simple_query("SET read_consistency = 'primary'").await.expect("it is set");
}

/// Waits until a node leads all slices that it can lead alone: where the other one counted it out, it has to wait for that one.
async fn leads(fleet: &Fleet, client: &Client, node: usize) {
    let (node, other) = (100 + node, 101 - node);
    let member = format!("array_position(members, {node}) IS NOT NULL");
    let sql = format!("SELECT count(*) = 0 FROM meridian.slice_map WHERE \"primary\" = {other} AND {member}");
    fleet.until(client, &sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_loses_at_most_its_lag_and_says_so_once() {
    let mut fleet = Fleet::new("fault-loss", Network::loopback(), "self", 2, &[&format!("--replication={LAG_MAX}")]);
    fleet.start_all(2, 2);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    make_tags(&client).await;
    let (mut next, mut lost_ever) = (1, 0);
    for round in 0..ROUNDS_MAX {
        let (dies, copy) = (round % 2, (round + 1) % 2);
        for slice in 0..SLICES / 2 {
            client.simple_query(&format!("SELECT meridian_switch({slice}, {})", 100 + dies)).await.expect("it is switched");
        }
        fleet.until(&client, &format!("SELECT count(*) >= 4 FROM meridian.slice_map WHERE \"primary\" = {}", 100 + dies)).await;
        let slices = led(&client, dies).await;
        let stop = Arc::new(AtomicBool::new(false));
        let connection = |slice: usize| fleet.door(slice % 2).connection();
        let writers: Vec<_> =
            slices.iter().map(|slice| (*slice, write(connection(*slice), *slice, next, Arc::clone(&stop)))).collect();
        let first = format!("SELECT count(DISTINCT tag) >= {} FROM samples WHERE value > {}", slices.len(), next + 2);
        fleet.until(&client, &first).await;
        let before = said(&fleet, dies);
        fleet.kill_data(copy);
        // Half a lease: this is the fault, not a condition that is waited for.
        tokio::time::sleep(Duration::from_millis(150)).await;
        fleet.kill_data(dies);
        stop.store(true, Ordering::Release);
        fleet.start_data(copy);
        leads(&fleet, &client, copy).await;
        fleet.start_data(dies);
        fleet.until_in_step(&client).await;
        let (mut written, mut sessions) = (BTreeMap::new(), BTreeMap::new());
        for (slice, writer) in writers {
            let (wrote, session) = writer.await.expect("a writer does not panic");
            written.insert(slice, wrote);
            sessions.insert(slice, session);
        }
        next =
            1 + written.values().flat_map(|of| of.acknowledged.last().into_iter().chain(&of.unknown)).max().copied().unwrap_or(0);
        let lost = lost(&fleet, &client, &written).await;
        eprintln!("round {round}: {lost:?} were lost");
        for slice in lost.keys() {
            tells_its_session(&client, &sessions[slice], *slice).await;
        }
        let says = said(&fleet, dies).split_off(before.len());
        let slices: BTreeSet<usize> = says.iter().map(|(slice, _)| *slice).collect();
        assert_eq!(slices.len(), says.len(), "each slice is said once: {says:?}; {}", fleet.path().display());
        for (slice, count) in &lost {
            // The statement under way was logged, too, or not.
            let fits = says.iter().any(|(of, records)| of == slice && (*count..=count + 1).contains(records));
            assert!(fits, "slice {slice} lost {count}, and {says:?} is said; {}", fleet.path().display());
        }
        let aside = fleet.path().join(format!("data-{dies}/store/set-aside"));
        let kept = std::fs::read_dir(aside).map_or(0, Iterator::count);
        assert!(kept >= says.len(), "{kept} are set aside for {says:?}; {}", fleet.path().display());
        lost_ever += lost.values().sum::<usize>();
        if lost_ever > 0 && round >= 1 {
            return;
        }
    }
    panic!("in {ROUNDS_MAX} rounds nothing was ever lost: the fault does not strike");
}
