//! Statements with long answers while the slices that they read change hands: what has begun is read to its end as of when it
//! began, by whoever held it then, and what begins meanwhile begins where the slices are.

use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::Fleet;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Rows, so many that most of them are still on the data nodes when the first has come: buffers on the way hold a few MB.
const ROWS: i64 = 1_600_000;
/// Rows of one INSERT.
const BATCH: i64 = 200_000;
const TAGS: i64 = 32;

/// All of them.
const ALL: &str = "SELECT tag, time, value FROM samples WHERE tag LIKE 'm.%'";

async fn filled(fleet: &Fleet, rows: i64) -> Client {
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    let tags = format!("INSERT INTO tags (name, kind) SELECT 'm.' || i, 'f64' FROM generate_series(0, {}) AS g(i)", TAGS - 1);
    client.simple_query(&tags).await.expect("tags are made");
    for first in (0..rows).step_by(BATCH as usize) {
        let last = (first + BATCH).min(rows) - 1;
        let sql = format!(
            "INSERT INTO samples (tag, time, value) SELECT 'm.' || (i % {TAGS}), TIMESTAMPTZ '2024-01-01' + i * INTERVAL '1 second', i FROM generate_series({first}, {last}) AS g(i)"
        );
        client.simple_query(&sql).await.expect("rows are written");
    }
    client
}

/// What was read, and whether it is all, each row once.
#[derive(Debug, Default, PartialEq)]
struct Read {
    rows: i64,
    sum: i64,
}

impl Read {
    fn whole(rows: i64) -> Read {
        Read { rows, sum: rows * (rows - 1) / 2 }
    }

    fn add(&mut self, value: f64) {
        self.rows += 1;
        self.sum += value as i64;
    }
}

/// Each slice is led by another of its copies, one after the other.
async fn switch_all(fleet: &Fleet, client: &Client) {
    for slice in 0..8 {
        let sql = format!("SELECT CAST(backups[1] AS BIGINT) FROM meridian.slice_map WHERE slice = {slice}");
        let to: i64 = client.query_one(&sql, &[]).await.expect("a backup").get(0);
        let switched = format!("SELECT \"primary\" = {to} FROM meridian.slice_map WHERE slice = {slice}");
        // A copy that has fallen behind under load is refused: it is asked for again once all are in step.
        loop {
            fleet.until_in_step(client).await;
            match client.simple_query(&format!("SELECT meridian_switch({slice}, {to})")).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.code().map(|code| code.code()), Some("55P02"), "{error:?}"),
            }
        }
        fleet.until(client, &switched).await;
    }
    fleet.until_in_step(client).await;
}

/// Simple, by a cursor, and by a portal that is read in parts: each has begun and then waits, while all slices are switched and one
/// node's are all moved away.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_is_read_to_its_end() {
    let fleet = Fleet::start("moves-begun", "self", 1, 3, &[]);
    let client = filled(&fleet, ROWS).await;
    client.simple_query("SELECT meridian_flush()").await.expect("there are files");

    let simple = fleet.door(0).connect().await.expect("a door");
    let mut simple = std::pin::pin!(simple.simple_query_raw(ALL).await.expect("it begins"));
    let mut of_simple = Read::default();
    while of_simple.rows == 0 {
        let message = simple.try_next().await.expect("it goes on").expect("rows");
        add_simple(&mut of_simple, &message);
    }
    let extended = fleet.door(0).connect().await.expect("a door");
    let mut extended = std::pin::pin!(extended.query_raw(ALL, Vec::<i64>::new()).await.expect("it begins"));
    let mut of_extended = Read::default();
    of_extended.add(extended.try_next().await.expect("it goes on").expect("a row").get(2));

    let cursor = fleet.door(0).connect().await.expect("a door");
    cursor.simple_query(&format!("BEGIN; DECLARE c CURSOR FOR {ALL}")).await.expect("it is declared");
    let mut of_cursor = Read::default();
    fetch(&cursor, 1_000, &mut of_cursor).await;
    let mut session = fleet.door(0).connect().await.expect("a door");
    let transaction = session.transaction().await.expect("a block");
    let portal = transaction.bind(ALL, &[]).await.expect("a portal");
    let mut of_portal = Read::default();
    portal_rows(&transaction, &portal, &mut of_portal).await;

    switch_all(&fleet, &client).await;
    client.simple_query("SELECT meridian_drain(100)").await.expect("it is drained");
    fleet.until(&client, "SELECT primaries + backups = 0 FROM meridian.nodes WHERE node = 100").await;
    fleet.until_in_step(&client).await;
    client.simple_query("DELETE FROM samples WHERE tag LIKE 'm.%'").await.expect("what is deleted by now is read all the same");
    client.simple_query("SELECT meridian_flush()").await.expect("all is in files");
    client.simple_query("SELECT meridian_merge()").await.expect("and merged");

    while let Some(message) = simple.try_next().await.expect("it goes on") {
        add_simple(&mut of_simple, &message);
    }
    while let Some(row) = extended.try_next().await.expect("it goes on") {
        of_extended.add(row.get(2));
    }
    while fetch(&cursor, 100_000, &mut of_cursor).await {}
    while portal_rows(&transaction, &portal, &mut of_portal).await {}
    for (read, how) in [(of_simple, "simple"), (of_extended, "extended"), (of_cursor, "cursor"), (of_portal, "portal")] {
        assert_eq!(read, Read::whole(ROWS), "{how}");
    }
}

fn add_simple(read: &mut Read, message: &SimpleQueryMessage) {
    if let SimpleQueryMessage::Row(row) = message {
        read.add(row.get(2).expect("a value").parse().expect("a number"));
    }
}

/// More rows of the cursor; false at its end.
async fn fetch(client: &Client, rows: usize, read: &mut Read) -> bool {
    let before = read.rows;
    let found = client.simple_query(&format!("FETCH {rows} FROM c")).await.expect("the cursor goes on");
    found.iter().for_each(|message| add_simple(read, message));
    read.rows > before
}

async fn portal_rows(transaction: &tokio_postgres::Transaction<'_>, portal: &tokio_postgres::Portal, read: &mut Read) -> bool {
    let rows = transaction.query_portal(portal, 100_000).await.expect("the portal goes on");
    rows.iter().for_each(|row| read.add(row.get(2)));
    !rows.is_empty()
}

/// Statements that begin at any moment of a switch-over or a move find each slice where it is by then, or wait until it is led.
#[tokio::test(flavor = "multi_thread")]
async fn what_begins_in_a_switch_over_does_not_fail() {
    let rows = 200_000;
    let fleet = Arc::new(Fleet::start("moves-begins", "self", 1, 3, &[]));
    let client = filled(&fleet, rows).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (fleet, done) = (Arc::clone(&fleet), Arc::clone(&done));
            tokio::spawn(async move {
                let client = fleet.door(0).connect().await.expect("a door");
                let mut statements = 0;
                while !done.load(Ordering::Acquire) {
                    let mut found = std::pin::pin!(client.query_raw(ALL, Vec::<i64>::new()).await.expect("it begins"));
                    let mut read = Read::default();
                    while let Some(row) = found.next().await {
                        read.add(row.unwrap_or_else(|error| panic!("statement {statements}: {error:?}")).get(2));
                    }
                    assert_eq!(read, Read::whole(rows));
                    statements += 1;
                }
                statements
            })
        })
        .collect();
    for _ in 0..3 {
        switch_all(&fleet, &client).await;
    }
    for from in [100, 101] {
        client.simple_query(&format!("SELECT meridian_drain({from})")).await.expect("it is drained");
        fleet.until(&client, &format!("SELECT primaries + backups = 0 FROM meridian.nodes WHERE node = {from}")).await;
        client.simple_query(&format!("SELECT meridian_undrain({from})")).await.expect("it may have slices again");
        client.simple_query("SELECT meridian_even(true)").await.expect("a plan");
        fleet.until(&client, "SELECT count(*) = 0 FROM meridian.operations").await;
        fleet.until_in_step(&client).await;
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        let statements = tokio::time::timeout(Duration::from_secs(90), reader).await.expect("it ends").expect("none failed");
        assert!(statements > 0, "there was time for one");
    }
}

/// A node that stops in order lets what reads from it go on for `stop_max`; what is still not at its end then, and what a node that is
/// killed was giving, breaks off and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_breaks_off_what_reads_from_it_and_says_so() {
    let mut fleet = Fleet::start("moves-ends", "self", 1, 3, &["--stop-max=3s"]);
    let client = filled(&fleet, ROWS).await;
    let session = fleet.door(0).connect().await.expect("a door");
    for how in ["stopped", "killed"] {
        let mut paused = std::pin::pin!(session.query_raw(ALL, Vec::<i64>::new()).await.expect("it begins"));
        assert!(paused.try_next().await.expect("it goes on").is_some());
        if how == "stopped" {
            // It is over although nobody takes the rest.
            fleet.stop_data(0);
        } else {
            fleet.kill_data(1);
        }
        let error = loop {
            match paused.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("{how}: an answer that lacks rows ended as if it were whole"),
            }
        };
        let error = error.as_db_error().expect("the server says it");
        assert_eq!(error.code().code(), "08006", "{how}: {error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("some of its rows were sent")), "{how}: {error:?}");
        fleet.start_data(if how == "stopped" { 0 } else { 1 });
        fleet.until_in_step(&client).await;
    }
    let count: i64 = client.query_one("SELECT count(*) FROM samples", &[]).await.expect("it is asked again").get(0);
    assert_eq!(count, ROWS);
}
