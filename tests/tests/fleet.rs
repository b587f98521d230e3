//! Fleets of real processes, through any door: one database, whoever dies, and wherever slices move.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::{Directory, Etcd, Fleet, Server};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

/// What a client sees of an answer: its rows as texts, or the SQLSTATE.
async fn answer(client: &Client, sql: &str) -> Vec<String> {
    match client.simple_query(sql).await {
        Ok(messages) => messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
                }
                SimpleQueryMessage::CommandComplete(rows) => Some(format!("={rows}")),
                _ => None,
            })
            .collect(),
        Err(error) => vec![format!("error {}", error.code().map_or("?", |code| code.code()))],
    }
}

/// What changes a store; each is answered the same by a fleet as by a lone node.
const CHANGES: [&str; 23] = [
    "INSERT INTO tags (name, kind, unit, labels) SELECT 'f.' || i, 'f64', 'bar', '{\"row\": \"a\"}' FROM generate_series(0, 39) AS g(i)",
    "INSERT INTO tags (name, kind) VALUES ('i.1', 'i64'), ('i.2', 'i32'), ('b.1', 'bool'), ('t.1', 'text'), ('t.2', 'text')",
    "INSERT INTO tags (name, kind) VALUES ('f.1', 'f64')",
    "INSERT INTO samples (tag, time, value) SELECT 'f.' || (i % 40), TIMESTAMPTZ '2024-01-01' + i * INTERVAL '7 minutes', i * 0.5 FROM generate_series(0, 3999) AS g(i)",
    "INSERT INTO samples (tag, time, value, quality) VALUES ('f.3', '2024-01-01 00:21:00+00', 777, 0), ('f.3', '1999-01-01', -1, 192)",
    "INSERT INTO integers (tag, time, value) VALUES ('i.1', '2024-01-01', 9223372036854775807), ('i.2', '2024-01-01', -5), ('b.1', '2024-01-01', 1)",
    "INSERT INTO events (tag, time, text) VALUES ('t.1', '2024-01-01', 'opened'), ('t.2', '2024-01-02', ''), ('t.1', '2024-01-03', '闭合')",
    "INSERT INTO samples (tag, time, value) VALUES ('nobody', '2024-01-01', 1)",
    "DELETE FROM samples WHERE tag = 'f.7' AND time < '2024-01-05'",
    "DELETE FROM samples WHERE value > 1900 AND tag LIKE 'f.1%'",
    "UPDATE tags SET unit = 'kPa', name = 'f.renamed' WHERE name = 'f.5'",
    "DELETE FROM tags WHERE name = 'f.9'",
    "INSERT INTO tags (name, kind, compression, deviation) VALUES ('h.1', 'f64', 'deadband', 0.4), ('h.2', 'i64', 'deadband', 2), ('h.3', 'bool', 'deadband', 0), ('h.4', 'f64', 'swinging_door', 0.05), ('h.5', 'f32', 'swinging_door', 0.3), ('h.6', 'f64', 'lossless', NULL)",
    "INSERT INTO samples (tag, time, value) SELECT 'h.' || k, TIMESTAMPTZ '2024-02-01' + i * INTERVAL '1 second', round(64 * sin(i / 40.0 + k)) / 64.0 FROM generate_series(0, 999) AS g(i), (VALUES (1), (4), (5), (6)) AS t(k) ORDER BY i, k",
    "INSERT INTO integers (tag, time, value) SELECT 'h.' || k, TIMESTAMPTZ '2024-02-01' + i * INTERVAL '1 second', CASE WHEN k = 2 THEN i / 3 ELSE i / 100 % 2 END FROM generate_series(0, 999) AS g(i), (VALUES (2), (3)) AS t(k) ORDER BY i, k",
    "INSERT INTO samples (tag, time, value) SELECT 'h.4', TIMESTAMPTZ '2024-02-01' + i * INTERVAL '1 second', i * 0.25 FROM generate_series(1000, 1099) AS g(i) ORDER BY i",
    "INSERT INTO samples (tag, time, value, quality) VALUES ('h.1', '2024-02-01 00:17:00+00', 0.5, 0), ('h.1', '2024-02-01 00:17:01+00', 0.5, 0), ('h.4', '2024-02-01 00:10:00.5+00', 9, 192)",
    "INSERT INTO samples (tag, time, value) VALUES ('h.4', '2024-02-01 00:18:19+00', -7)",
    "DELETE FROM samples WHERE tag = 'h.5' AND time >= '2024-02-01 00:16:00+00'",
    "INSERT INTO samples (tag, time, value) SELECT 'h.5', TIMESTAMPTZ '2024-02-01' + i * INTERVAL '1 second', 3 FROM generate_series(1000, 1049) AS g(i) ORDER BY i",
    "INSERT INTO tags (name, kind, compression) VALUES ('h.7', 'text', 'deadband')",
    "UPDATE tags SET compression = 'lossless', deviation = NULL WHERE name = 'h.1'",
    "INSERT INTO samples (tag, time, value) SELECT 'h.1', TIMESTAMPTZ '2024-02-02' + i * INTERVAL '1 second', 1 FROM generate_series(0, 9) AS g(i) ORDER BY i",
];

/// What is asked of both.
const QUESTIONS: [&str; 26] = [
    "SELECT count(*), sum(value), min(time), max(time) FROM samples",
    "SELECT tag, count(*), avg(value), first(value, time), last(value, time) FROM samples GROUP BY tag ORDER BY tag",
    "SELECT date_bin('1 day', time) AS day, count(*), max(value) FROM samples WHERE tag LIKE 'f.%' GROUP BY day ORDER BY day",
    "SELECT time, value, quality FROM samples WHERE tag = 'f.3' ORDER BY time LIMIT 20",
    "SELECT tag, time, value FROM samples ORDER BY time DESC, tag LIMIT 7",
    "SELECT tag, value FROM samples WHERE tag = 'f.2' AND time <= '2024-01-03' ORDER BY time DESC LIMIT 1",
    "SELECT tag, value, time FROM latest ORDER BY tag",
    "SELECT * FROM integers ORDER BY tag, time",
    "SELECT * FROM events ORDER BY tag, time",
    "SELECT tag, at, value FROM values_at(ARRAY['f.1','f.2','nobody','f.39'], ARRAY['2024-01-02','2024-01-03','2024-01-04','2030-01-01']::timestamptz[])",
    "SELECT t.unit, count(*), sum(s.value) FROM samples AS s JOIN tags AS t ON t.name = s.tag GROUP BY t.unit ORDER BY t.unit",
    "SELECT name, unit, kind FROM tags ORDER BY name",
    "SELECT count(*) FROM samples WHERE label(tag, 'row') = 'a' AND quality = 'good'",
    "SELECT tag, value, lag(value) OVER (PARTITION BY tag ORDER BY time) FROM samples WHERE tag IN ('f.1', 'f.22') ORDER BY tag, time LIMIT 30",
    "WITH d AS (SELECT tag, avg(value) AS mean FROM samples GROUP BY tag) SELECT count(*) FROM samples AS s JOIN d ON d.tag = s.tag WHERE s.value > d.mean",
    "SELECT DISTINCT ON (tag) tag, time, value FROM samples WHERE tag ~ '^f.1' ORDER BY tag, time DESC",
    "SELECT a.tag, count(*) FROM samples AS a JOIN samples AS b ON a.time = b.time AND a.tag < b.tag GROUP BY a.tag ORDER BY a.tag",
    "SELECT count(*) FROM samples WHERE tag = 'f.9'",
    "SELECT count(DISTINCT tag), median(value) FROM samples WHERE time >= '2024-01-10'",
    "SELECT tag, sum(value) AS s FROM samples GROUP BY tag HAVING sum(value) > 90000 ORDER BY s DESC, tag LIMIT 5",
    "SELECT value / 0.0 FROM samples WHERE tag = 'f.2' ORDER BY time LIMIT 2",
    "SELECT nothing FROM samples",
    "SELECT tag, count(*), sum(value), first(value, time), last(value, time), max(time) FROM samples WHERE tag LIKE 'h.%' GROUP BY tag ORDER BY tag",
    "SELECT tag, time, value, quality FROM samples WHERE tag IN ('h.1', 'h.4', 'h.5') ORDER BY tag, time",
    "SELECT tag, time, value FROM integers WHERE tag LIKE 'h.%' ORDER BY tag, time DESC",
    "SELECT name, compression, deviation, span FROM tags WHERE name LIKE 'h.%' ORDER BY name",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_answers_as_one_node_does_at_every_door() {
    let fleet = Fleet::start("fleet-answers", "self", 2, 3, &[]);
    let clients = [fleet.door(0).connect().await.expect("a door"), fleet.door(1).connect().await.expect("a door")];
    fleet.until_in_step(&clients[0]).await;
    let directory = Directory::new("fleet-lone");
    let lone = Server::start(directory.path(), &[]);
    let alone = lone.connect().await.expect("a server");
    for (number, change) in CHANGES.iter().enumerate() {
        let (fleets, lones) = (answer(&clients[number % 2], change).await, answer(&alone, change).await);
        assert_eq!(fleets, lones, "{change}");
    }
    for flush in [false, true] {
        if flush {
            for client in [&clients[1], &alone] {
                answer(client, "SELECT meridian_flush()").await;
                answer(client, "SELECT meridian_merge()").await;
            }
        }
        for question in QUESTIONS {
            let expect = answer(&alone, question).await;
            for client in &clients {
                assert_eq!(answer(client, question).await, expect, "{question}");
            }
        }
    }
    // Prepared, with parameters, as applications ask.
    let statement = clients[1]
        .prepare("SELECT value FROM samples WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1")
        .await
        .expect("it is prepared");
    let at = std::time::UNIX_EPOCH + Duration::from_secs(1_704_240_000);
    let row = clients[1].query_one(&statement, &[&"f.2", &at]).await.expect("a row");
    assert!(row.get::<_, f64>(0) > 0.0);
    let thinned = answer(&clients[0], "SELECT count(*) < 300 FROM samples WHERE tag = 'h.4'").await;
    assert_eq!(thinned, ["t", "=1"], "a swinging door leaves out most of a curve");
    let explained = answer(&clients[0], "EXPLAIN SELECT sum(value) FROM samples WHERE tag = 'f.2'").await.join("\n");
    assert!(explained.contains("node"), "it says who is asked: {explained}");
    assert_eq!(answer(&clients[0], "SELECT count(*) FROM meridian.slice_map").await, ["8", "=1"]);
    assert!(lone.stop().success());
}

/// Writes batch after batch at a door, each over all slices, and remembers what was acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<i64>>>,
    task: JoinHandle<()>,
}

fn write(fleet: &Fleet, door: usize) -> Writer {
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let (port, stopping, known) = (fleet.door(door).port(), Arc::clone(&stop), Arc::clone(&acknowledged));
    let task = tokio::spawn(async move {
        let text = format!("host=127.0.0.1 port={port} user=test dbname=meridian");
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await.expect("a door");
        tokio::spawn(connection);
        for number in 1.. {
            let sql = format!(
                "INSERT INTO samples (tag, time, value) SELECT 'w.' || i, TIMESTAMPTZ '2024-01-01' + {number} * INTERVAL '1 second', {number} FROM generate_series(0, 31) AS g(i)"
            );
            // A client that repeats once: what was taken of the first try counts once.
            let mut done = client.simple_query(&sql).await;
            if done.is_err() {
                done = client.simple_query(&sql).await;
            }
            done.unwrap_or_else(|error| panic!("batch {number}: {error:?}"));
            known.lock().await.insert(number);
            if stopping.load(Ordering::Acquire) {
                return;
            }
        }
    });
    Writer { stop, acknowledged, task }
}

impl Writer {
    async fn more(&self, batches: usize) {
        let from = self.acknowledged.lock().await.len();
        while self.acknowledged.lock().await.len() < from + batches {
            assert!(!self.task.is_finished(), "the writer goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Release);
        self.task.await.expect("no statement failed twice");
        let acknowledged = self.acknowledged.lock().await;
        *acknowledged.last().expect("something was written")
    }
}

async fn made(client: &Client) {
    let made = "INSERT INTO tags (name, kind) SELECT 'w.' || i, 'f64' FROM generate_series(0, 31) AS g(i)";
    client.simple_query(made).await.expect("tags are made");
}

/// All batches up to the last acknowledged are there, whole.
async fn check(client: &Client, last: i64) {
    let sql = format!(
        "SELECT count(*) = 32 * {last} AND count(DISTINCT value) = {last} FROM samples WHERE tag LIKE 'w.%' AND value <= {last}"
    );
    let row = client.query_one(&sql, &[]).await.expect("an answer");
    assert!(row.get::<_, bool>(0), "{last} batches were acknowledged, and not all of them are there");
    let latest = client.query_one("SELECT min(value) FROM latest WHERE tag LIKE 'w.%'", &[]).await.expect("an answer");
    assert!(latest.get::<_, f64>(0) >= last as f64, "snapshot values are the newest");
}

/// Each data node is killed under load and comes back: no statement fails twice, nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn data_nodes_die_and_come_back_under_load() {
    let mut fleet = Fleet::start("fleet-kill", "self", 1, 3, &[]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    made(&client).await;
    let writer = write(&fleet, 0);
    writer.more(10).await;
    for number in 0..3 {
        fleet.kill_data(number);
        writer.more(10).await;
        fleet.start_data(number);
        fleet.until_in_step(&client).await;
    }
    let last = writer.end().await;
    check(&client, last).await;
    assert!(fleet.stop_data(0) > 0, "who ends in order flushes what it has in memory");
    check(&client, last).await;
}

/// A node is added and gets its share; another is drained and leaves; a slice is moved and its primary switched, all under load.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_while_the_fleet_works() {
    let mut fleet = Fleet::start("fleet-moves", "self", 1, 2, &[]);
    let client = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    made(&client).await;
    let writer = write(&fleet, 0);
    writer.more(20).await;
    fleet.start_data(2);
    fleet.until(&client, "SELECT count(*) = 1 FROM meridian.nodes WHERE node = 102 AND state = 'Normal'").await;
    client.simple_query("SELECT meridian_even(true)").await.expect("a plan");
    fleet.until(&client, "SELECT count(*) = 0 FROM meridian.operations").await;
    fleet.until(&client, "SELECT primaries + backups > 0 FROM meridian.nodes WHERE node = 102").await;
    client.simple_query("SELECT meridian_drain(100)").await.expect("it is drained");
    client.simple_query("SELECT meridian_drain(100)").await.expect("asked twice, it does no harm");
    fleet.until(&client, "SELECT primaries + backups = 0 FROM meridian.nodes WHERE node = 100").await;
    fleet.until_in_step(&client).await;
    assert!(fleet.data[0].take().expect("it runs").stop().success(), "an empty node stops in order");
    client.simple_query("SELECT meridian_remove(100)").await.expect("it is gone");
    let led = "SELECT \"primary\" FROM meridian.slice_map WHERE slice = 3";
    let before: i64 = client.query_one(led, &[]).await.expect("an answer").get(0);
    let other = if before == 101 { 102 } else { 101 };
    client.simple_query(&format!("SELECT meridian_switch(3, {other})")).await.expect("it is switched");
    fleet.until(&client, &format!("SELECT \"primary\" = {other} FROM meridian.slice_map WHERE slice = 3")).await;
    let refused = answer(&client, "SELECT meridian_move(3, '999')").await;
    assert!(refused[0].starts_with("error "), "{refused:?}");
    let last = writer.end().await;
    check(&client, last).await;
}

/// With a real etcd: a door dies and the other serves; etcd is gone for a while, and what is well goes on; then all is well.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_and_a_door_may_be_away() {
    let directory = Directory::new("fleet-etcd");
    let mut etcd = Etcd::start(directory.path());
    let mut fleet = Fleet::start("fleet-doors", &etcd.join(), 3, 2, &[]);
    let client = fleet.door(1).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    made(&client).await;
    let writer = write(&fleet, 1);
    writer.more(10).await;
    fleet.kill_door(0);
    // Until another scheduler leads the tags, what is written rests on the lease of the one that died.
    client.simple_query("INSERT INTO tags (name, kind) VALUES ('between', 'f64')").await.expect("tags are made");
    writer.more(10).await;
    etcd.kill();
    writer.more(20).await;
    check(&client, 20).await;
    etcd.restart();
    fleet.start_door(0);
    // A change of tags needs more than half of the schedulers, and meta.
    let again = fleet.door(0).connect().await.expect("a door");
    let late = "INSERT INTO tags (name, kind) VALUES ('late', 'f64')";
    again.simple_query(late).await.expect("tags are made again");
    fleet.until(&client, "SELECT count(*) = 1 FROM tags WHERE name = 'late'").await;
    let last = writer.end().await;
    check(&again, last).await;
}
