//! One fault at a time on a fleet of real processes, while clients of all kinds work: nothing they were answered turns out wrong,
//! and what is well goes on.
#![expect(clippy::disallowed_methods, reason = "faults last for a time")]

use std::time::{Duration, Instant};
use tests::workload::{Workload, make_tags};
use tests::{Directory, Etcd, Fleet, Network, Place};
use tokio_postgres::Client;

/// No slice is led by data node 0.
const LED_BY_NONE_OF_100: &str = "SELECT count(*) = 0 FROM meridian.slice_map WHERE \"primary\" = 100";
/// Some slice is led by it.
const LED_BY_100: &str = "SELECT count(*) > 0 FROM meridian.slice_map WHERE \"primary\" = 100";

/// Rows of one statement that is to fill a log.
const BULK: usize = 20_000;

async fn client(fleet: &Fleet, door: usize) -> Client {
    let client = fleet.door(door).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    client
}

fn work(fleet: &Fleet, clients: usize) -> Workload {
    Workload::start(fleet.connections(), fleet.path().to_owned(), clients, 1)
}

/// A primary is stopped for far longer than its lease, succeeded, and goes on as if nothing had been: nothing that it says then
/// counts, and it is a copy again.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_sleeps_is_succeeded_and_wakes_as_a_copy() {
    let mut fleet = Fleet::new("fault-sleep", Network::loopback(), "self", 3, &[]);
    fleet.start_all(2, 3);
    let client = client(&fleet, 0).await;
    make_tags(&client).await;
    let workload = work(&fleet, 6);
    workload.more(20).await;
    for _ in 0..2 {
        fleet.until(&client, LED_BY_100).await;
        fleet.node(0).signal("STOP");
        fleet.until(&client, LED_BY_NONE_OF_100).await;
        workload.more(20).await;
        fleet.node(0).signal("CONT");
        workload.more(20).await;
        fleet.until_in_step(&client).await;
        let back = "SELECT slice FROM meridian.slice_map WHERE array_position(backups, 100) IS NOT NULL ORDER BY slice LIMIT 1";
        let slice: i64 = client.query_one(back, &[]).await.expect("it has a copy").get(0);
        client.simple_query(&format!("SELECT meridian_switch({slice}, 100)")).await.expect("it leads again");
    }
    workload.more(20).await;
    workload.end(&client).await;
}

/// A fleet on a network of its own, over an etcd of three members there; `None` where the machine allows no such network.
fn apart(name: &str, doors: usize, data: usize) -> Option<(Fleet, Etcd, Directory)> {
    let mut network = Network::new();
    if !network.can_cut() {
        return None;
    }
    let directory = Directory::new(&format!("{name}-etcd"));
    let places: Vec<_> = (0..3).map(|number| network.place(&format!("etcd-{number}"))).collect();
    let etcd = Etcd::start_at(directory.path(), &places);
    let mut fleet = Fleet::new(name, network, &etcd.join(), data, &[]);
    fleet.start_all(doors, data);
    Some((fleet, etcd, directory))
}

/// What it does to a network.
type Shape = fn(&mut Network);

/// A node alone, then one that is heard by some and not by others, then a part with half of everything, then a slow line: clients
/// that come to a door of the larger side go on, and after each all copies come in step again.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_all_shapes_break_no_promise() {
    let Some((mut fleet, _etcd, _directory)) = apart("fault-partition", 3, 3) else { return };
    let client = client(&fleet, 1).await;
    make_tags(&client).await;
    let workload = work(&fleet, 6);
    workload.more(10).await;
    let shapes: [(&str, Shape); 7] = [
        ("a node alone", |network| network.isolate("data-0")),
        ("a node that is not heard by another", |network| network.cut("data-1", "data-2")),
        ("a node that hears no etcd", |network| {
            ["etcd-0", "etcd-1", "etcd-2"].iter().for_each(|from| network.cut(from, "data-1"));
        }),
        ("a node that hears none but data nodes", |network| {
            let others = ["door-0", "door-1", "door-2", "etcd-0", "etcd-1", "etcd-2"];
            others.iter().for_each(|from| network.cut(from, "data-1"));
        }),
        ("a node that is heard by no etcd, and a door that one node does not hear", |network| {
            ["etcd-0", "etcd-1", "etcd-2"].iter().for_each(|to| network.cut("data-2", to));
            network.cut("door-0", "data-0");
        }),
        ("two sides", |network| {
            network
                .part(&["data-0", "door-0", "etcd-0"], &["data-1", "data-2", "door-1", "door-2", "etcd-1", "etcd-2", "client"]);
        }),
        ("a slow node", |network| network.slow("data-0")),
    ];
    for (what, shape) in shapes {
        eprintln!("{what}");
        shape(&mut fleet.network);
        workload.more(15).await;
        fleet.network.heal();
        fleet.until_in_step(&client).await;
        workload.more(5).await;
    }
    workload.end(&client).await;
}

/// One member of three dies: nothing is seen of it. All of them are away: what is well goes on, what needs them waits, and
/// completes when they are back.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_loses_members_then_all_of_them() {
    // For a minute by MERIDIAN_ETCD_AWAY_SECONDS=60; usually as long as leases in etcd live, and some more.
    let away = std::env::var("MERIDIAN_ETCD_AWAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let directory = Directory::new("fault-etcd-members");
    let mut etcd = Etcd::start_at(directory.path(), &[Place::loopback(), Place::loopback(), Place::loopback()]);
    let mut fleet = Fleet::new("fault-etcd", Network::loopback(), &etcd.join(), 2, &[]);
    fleet.start_all(2, 2);
    let client = client(&fleet, 0).await;
    make_tags(&client).await;
    let workload = work(&fleet, 6);
    for member in 0..3 {
        etcd.kill_member(member);
        workload.more(5).await;
        let tag = format!("INSERT INTO tags (name, kind) VALUES ('without.{member}', 'f64')");
        client.simple_query(&tag).await.expect("two members of three are enough to make tags");
        etcd.restart();
    }
    etcd.kill();
    let begun = Instant::now();
    let other = fleet.door(1).connect().await.expect("a door");
    let waits = tokio::spawn(async move {
        loop {
            // A statement waits for its patience; a client that was refused asks again.
            match other.simple_query("INSERT INTO tags (name, kind) VALUES ('late', 'f64')").await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.code().map_or("", |code| code.code()), "57P03", "{error:?}"),
            }
        }
    });
    while begun.elapsed() < Duration::from_secs(away) {
        workload.more(5).await;
    }
    assert!(!waits.is_finished(), "no tag is made without an etcd");
    etcd.restart();
    waits.await.expect("what waited is done when the etcd is back");
    fleet.until(&client, "SELECT count(*) = 1 FROM tags WHERE name = 'late'").await;
    fleet.until_in_step(&client).await;
    workload.more(5).await;
    workload.end(&client).await;
}

/// A disk gets full: whoever lies on it leads no more, the others go on; with room again, and started again where it ended, it
/// is a copy like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_nothing_acknowledged() {
    let mut fleet = Fleet::new("fault-disk", Network::loopback(), "self", 3, &["--segment-bytes=1MiB"]);
    if fleet.small_disk("data-0", 256).is_none() {
        return;
    }
    fleet.start_all(2, 3);
    let client = client(&fleet, 0).await;
    make_tags(&client).await;
    let workload = work(&fleet, 6);
    workload.more(10).await;
    fleet.until(&client, LED_BY_100).await;
    fleet.disk("data-0").expect("it is mounted").fill();
    let refused = client.simple_query("SELECT meridian_flush()").await.expect_err("nothing can be flushed there");
    assert!(refused.as_db_error().is_some_and(|error| error.message().contains("the disk is full")), "{refused:?}");
    // Its log goes on in the room that it has reserved; then it can't. What was refused is sent again.
    let (begun, mut written) = (Instant::now(), 0);
    while !client.query_one(LED_BY_NONE_OF_100, &[]).await.is_ok_and(|row| row.get(0)) {
        assert!(begun.elapsed() < Duration::from_secs(90), "it leads on; {}", fleet.path().display());
        written += usize::from(client.simple_query(&bulk(written)).await.is_ok());
    }
    workload.more(20).await;
    fleet.disk("data-0").expect("it is mounted").clear();
    if let Some(status) = fleet.ended_data(0) {
        assert_eq!(status.code(), Some(75), "a store that failed asks to be opened again");
        fleet.start_data(0);
    }
    fleet.until_in_step(&client).await;
    let tags = (0..8).map(|slice| format!("'w.{}'", slice * 4 + 2)).collect::<Vec<_>>().join(", ");
    let all = format!("SELECT count(*) >= {written} * {BULK} FROM samples WHERE tag IN ({tags})");
    assert!(client.query_one(&all, &[]).await.expect("an answer").get::<_, bool>(0), "{written} statements were acknowledged");
    workload.more(10).await;
    workload.end(&client).await;
}

/// Wall clocks jump on both kinds of nodes, by seconds, by days, back and forth: nobody is succeeded for it, no promise breaks.
#[tokio::test(flavor = "multi_thread")]
async fn wall_clocks_that_jump_break_no_promise() {
    let mut fleet = Fleet::new("fault-clock", Network::loopback(), "self", 2, &[]);
    if !["data-0", "data-1", "door-0"].iter().all(|name| fleet.own_clock(name)) {
        return;
    }
    fleet.start_all(2, 2);
    let client = client(&fleet, 0).await;
    make_tags(&client).await;
    let workload = work(&fleet, 6);
    workload.more(5).await;
    let epochs = "SELECT string_agg(slice || '/' || epoch, ' ' ORDER BY slice) FROM meridian.slice_map";
    let before: String = client.query_one(epochs, &[]).await.expect("an answer").get(0);
    for (name, seconds) in
        [("data-0", 3_600), ("data-1", -3_600), ("door-0", 86_400), ("data-0", -90_000), ("data-1", 5), ("door-0", -5)]
    {
        fleet.move_clock(name, seconds);
        let now = "SELECT abs(extract(epoch FROM clock_timestamp()))::float8";
        if name == "door-0" {
            let moved = |seen: f64| (seen - wall_seconds() - seconds as f64).abs() < 3.0;
            while !moved(client.query_one(now, &[]).await.expect("an answer").get(0)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        workload.more(10).await;
    }
    let after: String = client.query_one(epochs, &[]).await.expect("an answer").get(0);
    assert_eq!(before, after, "nobody was succeeded");
    workload.end(&client).await;
}

/// Many rows for each slice, in one statement.
fn bulk(number: usize) -> String {
    format!(
        "INSERT INTO samples (tag, time, value) SELECT 'w.' || (i % 8 * 4 + 2), TIMESTAMPTZ '2024-01-01 00:00:00+00' + ({number} * {BULK} + i) * INTERVAL '1 second', i FROM generate_series(0, {BULK} - 1) AS g(i)"
    )
}

fn wall_seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}
