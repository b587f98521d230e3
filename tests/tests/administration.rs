//! A fleet of real processes, administered by SQL while it works: each wish is asked twice, and takes effect without a restart.

use tests::{Directory, Fleet, Server};
use tokio_postgres::Client;

/// The SQLSTATE of what is refused.
async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.simple_query(sql).await.expect_err(sql);
    error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
}

/// The one text that a statement answers.
async fn said(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// Whether a statement answers `t`.
async fn holds(client: &Client, sql: &str) -> bool {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

const MADE: &str = "INSERT INTO tags (name, kind) SELECT 'r.' || i, 'f64' FROM generate_series(0, 99) AS g(i)";
const WRITTEN: &str = "INSERT INTO samples (tag, time, value) \
     SELECT 'r.' || (i % 100), TIMESTAMPTZ '2024-01-01' + i * INTERVAL '1 hour', i FROM generate_series(0, 1999) AS g(i)";
const SUMS: &str =
    "SELECT string_agg(tag || '=' || s, ',' ORDER BY tag) FROM (SELECT tag, sum(value) AS s FROM samples GROUP BY tag) AS t";

/// The rule is set while slices lie on nodes, before the first tag; a lone node takes the same one. A node that was away follows.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_is_set_before_the_first_tag() {
    let mut fleet = Fleet::start("fleet-rule", "self", 2, 3, &[]);
    let doors = [fleet.door(0).connect().await.expect("a door"), fleet.door(1).connect().await.expect("a door")];
    fleet.until_in_step(&doors[0]).await;
    let directory = Directory::new("fleet-rule-lone");
    let lone = Server::start(directory.path(), &[]);
    let alone = lone.connect().await.expect("a server");
    // By time, too: every slice may hold any tag.
    let set = "SELECT meridian_set_rule(1, 2, 3, 1, 24, INTERVAL '8 hours')";
    for client in [&doors[0], &doors[1], &alone] {
        assert!(holds(client, set).await && holds(client, set).await, "asked twice, it does no harm");
        assert_eq!(refusal(client, "SELECT meridian_set_rule(0, 1, 0, 1, 24)").await, "22023");
    }
    assert_eq!(refusal(&doors[0], "SELECT meridian_set_rule(1, 2, 0, 1, 7)").await, "55P02", "eight slices are placed");
    let placed = "SELECT count(*) = 24 FROM meridian.slice_map WHERE array_length(members) = array_length(backups) + 1";
    fleet.until(&doors[1], placed).await;
    fleet.kill_data(1);
    fleet.start_data(1);
    for client in [&doors[1], &alone] {
        client.simple_query(MADE).await.expect("tags are made");
        client.simple_query(WRITTEN).await.expect("samples are written");
    }
    let expected = said(&alone, SUMS).await;
    for client in &doors {
        assert_eq!(said(client, SUMS).await, expected);
        assert!(holds(client, "SELECT count(*) = 100 AND sum(value) = 194950 FROM latest").await);
        assert_eq!(refusal(client, "SELECT meridian_set_rule(1, 2, 0, 1, 24)").await, "55P02", "there are tags");
        assert!(holds(client, set).await, "to what it is");
    }
    assert_eq!(refusal(&alone, "SELECT meridian_set_rule(1, 2, 0, 1, 24)").await, "55P02");
    let slices = "SELECT count(DISTINCT slice) > 8 AND max(slice) = 23 FROM meridian.slices";
    assert!(holds(&doors[0], slices).await, "samples lie by the new rule");
    fleet.kill_data(2);
    fleet.start_data(2);
    // Its slices may be changing hands yet.
    fleet.until(&doors[0], &format!("SELECT ({SUMS}) = '{expected}'")).await;
    assert!(lone.stop().success());
}

/// Mode and copies change under load: nothing fails, nothing that was acknowledged is lost, and each wish is carried out.
#[tokio::test(flavor = "multi_thread")]
async fn replication_changes_while_the_fleet_works() {
    let mut fleet = Fleet::start("fleet-replication", "self", 1, 3, &[]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    client.simple_query(MADE).await.expect("tags are made");
    let wishes = [
        ("SELECT meridian_set_replication('64')", "mode = 'async' AND lag_records_max = 64", 2),
        ("SELECT meridian_set_replication('64', 3)", "mode = 'async' AND array_length(members) = 3", 3),
        ("SELECT meridian_set_replication('sync', 3, 2)", "mode = 'sync' AND min_in_sync = 2", 3),
        ("SELECT meridian_set_replication('sync', 2, 1)", "mode = 'sync' AND min_in_sync = 1", 2),
    ];
    let mut written = 0;
    for (sql, what, copies) in wishes {
        for _ in 0..2 {
            said(&client, sql).await;
            let step = format!(
                "INSERT INTO samples (tag, time, value) SELECT 'r.' || i, TIMESTAMPTZ '2024-01-01' + {written} * INTERVAL '1 second', 1 FROM generate_series(0, 99) AS g(i)"
            );
            client.simple_query(&step).await.expect("no statement fails");
            written += 1;
        }
        let done = format!(
            "SELECT count(*) = 8 FROM meridian.slice_map WHERE {what} AND array_length(members) = {copies} AND array_length(backups) = {copies} - 1"
        );
        fleet.until(&client, &done).await;
        fleet.until(&client, "SELECT count(*) = 0 FROM meridian.operations").await;
    }
    assert!(holds(&client, &format!("SELECT count(*) = 100 * {written} FROM samples")).await);
    // All copies are compared: asked twice, of one slice, of all.
    for sql in ["SELECT meridian_check(NULL)", "SELECT meridian_check(NULL)", "SELECT meridian_check(7)"] {
        let told = said(&client, sql).await;
        let copies = if sql.contains('7') { 2 } else { 16 };
        assert!(told.starts_with(&format!("{copies} of {copies} copies have what counts")), "{told}");
    }
    assert_eq!(refusal(&client, "SELECT meridian_check(8)").await, "22023");
    let well = "SELECT count(*) = 16 AND count(differs) = 0 AND sum(CASE state WHEN 'primary' THEN 1 ELSE 0 END) = 8 FROM meridian.replicas";
    assert!(holds(&client, well).await);
    for (wrong, state) in [("'sync', 4", "55P02"), ("'sync', 0", "22023"), ("'sync', 2, 3", "22023"), ("'quick'", "22023")] {
        assert_eq!(refusal(&client, &format!("SELECT meridian_set_replication({wrong})")).await, state, "{wrong}");
    }
    // Fewer copies, while a node that has some is away: the wish is told until that one has given up its own.
    said(&client, "SELECT meridian_set_replication('sync', 3, 1)").await;
    fleet.until(&client, "SELECT count(*) = 8 FROM meridian.slice_map WHERE array_length(members) = 3").await;
    fleet.kill_data(2);
    fleet.until(&client, "SELECT state <> 'Normal' FROM meridian.nodes WHERE node = 102").await;
    said(&client, "SELECT meridian_set_replication('sync', 2, 1)").await;
    fleet.until(&client, "SELECT state = 'Down' FROM meridian.nodes WHERE node = 102").await;
    let waits = "SELECT count(*) = 1 AND bool_and(done < total) FROM meridian.operations WHERE operation = 'replication'";
    fleet.until(&client, waits).await;
    fleet.start_data(2);
    fleet.until(&client, "SELECT count(*) = 0 FROM meridian.operations").await;
    assert!(holds(&client, "SELECT count(*) = 8 FROM meridian.slice_map WHERE array_length(backups) = 1").await);
}

/// Waits until a node reported twice to a manager: the second time it said how far its slices are now.
async fn two_reports(client: &Client, node: i64) {
    let (mut last, mut heard) = (i64::MAX, 0);
    while heard < 3 {
        let sql = format!("SELECT silent_ms FROM meridian.nodes WHERE node = {node}");
        let silent: i64 = client.query_one(&sql, &[]).await.expect("a row").get(0);
        heard += i32::from(silent < last);
        last = silent;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A slice whose only copy in sync is gone: what a force would lose is told before it is done; what only the other had is set aside
/// when that is back, and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_force_tells_what_it_loses() {
    let mut fleet = Fleet::start("fleet-force", "self", 1, 2, &[]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    assert_eq!(refusal(&client, "SELECT meridian_force(0, 100, false)").await, "55P02", "it is well");
    client.simple_query(MADE).await.expect("tags are made");
    client.simple_query(WRITTEN).await.expect("samples are written");
    let primary: i64 =
        client.query_one("SELECT \"primary\" FROM meridian.slice_map WHERE slice = 0", &[]).await.expect("a row").get(0);
    let (led, other) = (primary as usize - 100, 201 - primary);
    // Tags r.0 to r.3 lie in slice 0.
    let write = |value: i64| {
        format!(
            "INSERT INTO samples (tag, time, value) VALUES ('r.0', TIMESTAMPTZ '2030-01-01' + {value} * INTERVAL '1 s', {value})"
        )
    };
    fleet.kill_data(other as usize - 100);
    fleet.until(&client, "SELECT array_length(members) = 1 FROM meridian.slice_map WHERE slice = 0").await;
    for value in 0..5 {
        client.simple_query(&write(value)).await.expect("one copy in sync is enough");
    }
    two_reports(&client, primary).await;
    fleet.kill_data(led);
    fleet.start_data(other as usize - 100);
    let silent = format!("SELECT state NOT IN ('Normal', 'Recovering') FROM meridian.nodes WHERE node = {primary}");
    fleet.until(&client, &silent).await;
    let there = format!("SELECT state IN ('Normal', 'Recovering') FROM meridian.nodes WHERE node = {other}");
    fleet.until(&client, &there).await;
    let told = said(&client, &format!("SELECT meridian_force(0, {other}, false)")).await;
    assert!(told.contains("it lacks 5 writes") && told.contains("nothing is changed"), "{told}");
    assert!(holds(&client, &format!("SELECT \"primary\" = {primary} FROM meridian.slice_map WHERE slice = 0")).await);
    let told = said(&client, &format!("SELECT meridian_force(0, {other})")).await;
    assert!(told.contains("it lacks 5 writes") && told.contains("begins epoch"), "{told}");
    fleet.until(&client, &format!("SELECT \"primary\" = {other} FROM meridian.slice_map WHERE slice = 0")).await;
    fleet.start_data(led);
    fleet.until_in_step(&client).await;
    let aside = format!("SELECT sum(records) = 5 FROM meridian.set_aside WHERE slice = 0 AND node = {primary}");
    fleet.until(&client, &aside).await;
    assert!(holds(&client, "SELECT count(*) = 0 FROM samples WHERE tag = 'r.0' AND time >= '2030-01-01'").await);
}

/// A password that is given at one door holds at every other one, also at one that is started later; an own one is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn users_hold_at_every_door() {
    let mut fleet = Fleet::start("fleet-users", "self", 2, 1, &["--copies=1", "--loopback-trusted=false"]);
    fleet.kill_door(1);
    fleet.start_door_with(1, &["--password=geheim"]);
    for door in [0, 1] {
        let client = with_password(&fleet, door, "geheim").await.expect("it is the fleet's password");
        assert_eq!(said(&client, "SELECT current_user").await, "meridian");
        let error = with_password(&fleet, door, "falsch").await.expect_err("it is not");
        assert_eq!(error.code().map(|code| code.code()), Some("28P01"));
    }
    // Another password: the other door hears of it while it runs.
    fleet.kill_door(1);
    fleet.start_door_with(1, &["--password=anders"]);
    assert!(with_password(&fleet, 1, "anders").await.is_ok());
    let mut tries = 0;
    while with_password(&fleet, 0, "anders").await.is_err() {
        tries += 1;
        assert!(tries < 600, "the other door never hears of it");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(with_password(&fleet, 0, "geheim").await.is_err(), "the old one is over");
}

async fn with_password(fleet: &Fleet, door: usize, password: &str) -> Result<Client, tokio_postgres::Error> {
    let text = format!("host=127.0.0.1 port={} user=meridian dbname=meridian password={password}", fleet.door(door).port());
    let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
