//! A fleet is backed up while it is written to through two doors and a primary dies; what is restored is what it was at one moment:
//! as a store that goes on alone, and as a new fleet.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::{Directory, Fleet, Network, Server, meridian};
use tokio_postgres::Client;

const PATIENCE: Duration = Duration::from_secs(60);
/// Tags of each writer: in several slices, so that one write rests on another's slice.
const TAGS: u64 = 40;
const WRITERS: u64 = 2;
/// What is written to what was restored.
const LATER: &str = "INSERT INTO samples (tag, time, value) VALUES ('later', '2030-01-01', 5), ('large', '2030-01-01', 6)";

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn well(words: &[&str]) -> String {
    let output = meridian(words);
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    text(&output)
}

fn url(server: &Server) -> String {
    format!("postgres://meridian@127.0.0.1:{}/meridian", server.port())
}

/// What is known of a writer: the last number that was acknowledged.
struct Writer {
    acknowledged: AtomicU64,
}

/// Writes 1, 2, 3 .. each once the one before is acknowledged: through one door and the other in turn, to one tag after another.
async fn write(writer: Arc<Writer>, number: u64, doors: Vec<Client>, stop: Arc<AtomicBool>) {
    let mut next = 1;
    while !stop.load(Ordering::SeqCst) {
        let (tag, door) = (next % TAGS, &doors[(next % doors.len() as u64) as usize]);
        let insert = format!("INSERT INTO samples (tag, time, value) VALUES ('w.{number}.{tag}', to_timestamp({next}), {next})");
        // A failover is waited for by the door; what it can't wait for is sent again.
        if door.simple_query(&insert).await.is_ok() {
            writer.acknowledged.store(next, Ordering::SeqCst);
            next += 1;
        }
    }
}

async fn one(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|fault| panic!("{sql}: {fault}")).get(0)
}

/// How many numbers of a writer there are: all from 1 on, none missing.
async fn prefix(client: &Client, number: u64) -> u64 {
    let of = format!("FROM samples WHERE tag LIKE 'w.{number}.%'");
    let (count, last) = (
        one(client, &format!("SELECT count(*) {of}")).await,
        one(client, &format!("SELECT coalesce(max(value), 0)::bigint {of}")).await,
    );
    assert_eq!(count, last, "writer {number}: numbers are missing before {last}");
    count as u64
}

async fn digest(client: &Client) -> Vec<String> {
    let sql = "SELECT tag || ' ' || count(*) || ' ' || sum(value) || ' ' || max(time) FROM samples GROUP BY tag ORDER BY tag";
    let rows = client.query(sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.get::<_, String>(0)).collect()
}

fn names(place: &str) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_str(&well(&["backups", place, "--json"])).expect("JSON");
    let backups = told["backups"].as_array().expect("a list");
    backups.iter().rev().map(|one| one["backup"].as_str().expect("a name").to_owned()).collect()
}

/// How much of the newest backup was new, and how much there is of it.
fn sizes(place: &str) -> (u64, u64) {
    let told: serde_json::Value = serde_json::from_str(&well(&["backups", place, "--json"])).expect("JSON");
    let newest = &told["backups"][0];
    (newest["new_bytes"].as_u64().expect("a number"), newest["bytes"].as_u64().expect("a number"))
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connect(fleet: &Fleet, door: usize) -> Client {
    fleet.door(door).connect().await.expect("the door lets in")
}

/// Tags and rows besides those that are written all the time.
async fn make(operator: &Client) {
    let made = format!(
        "INSERT INTO tags (name, kind) SELECT 'w.' || w || '.' || n, 'f64' FROM generate_series(0, {}) AS a(w), generate_series(0, {}) AS b(n)",
        WRITERS - 1,
        TAGS - 1
    );
    operator.batch_execute(&made).await.expect("tags");
    let large = "INSERT INTO tags (name, kind) VALUES ('large', 'f64'), ('gone', 'f64'), ('words', 'text')";
    operator.batch_execute(large).await.expect("tags");
    let rows = "INSERT INTO samples (tag, time, value) SELECT 'large', to_timestamp(i * 977), sin(i) FROM generate_series(0, 49999) AS g(i)";
    operator.batch_execute(rows).await.expect("rows");
    operator.batch_execute("INSERT INTO events (tag, time, text) VALUES ('words', '2024-01-01', 'opened')").await.expect("a row");
    operator.batch_execute("DELETE FROM tags WHERE name = 'gone'").await.expect("it goes");
}

/// A statement that ends before its backup does leaves no object, and holds nothing back.
async fn given_up(fleet: &Fleet) {
    let (client, place) = (connect(fleet, 0).await, fleet.path().join("given-up"));
    let to = place.to_str().expect("a path");
    client.batch_execute("SET statement_timeout = 150").await.expect("it is set");
    let ended = client.batch_execute(&format!("SELECT meridian_backup('{to}')")).await.expect_err("it takes longer");
    assert_eq!(ended.code().map(|code| code.code()), Some("57014"), "{ended}");
    client.batch_execute("SET statement_timeout = 0").await.expect("it is set");
    let runs = "SELECT count(*) FROM meridian.operations WHERE operation = 'backup'";
    until("the backup is over", async || one(&client, runs).await == 0).await;
    let left = |below: &str| std::fs::read_dir(place.join(below)).map_or(0, Iterator::count);
    assert_eq!((left("backups"), left("files")), (0, 0));
    client.batch_execute(&format!("SELECT meridian_backup('{to}')")).await.expect("nothing stands in its way");
    assert_eq!(names(to).len(), 1);
}

/// A backup as a store that goes on alone: it has what was acknowledged before it, and no more than was asked for by its end. Gives its
/// rows.
async fn alone(
    place: &str,
    (number, name): (usize, &str),
    (least, most): &(Vec<u64>, Vec<u64>),
    directory: &Path,
) -> Vec<String> {
    let store = directory.join("store");
    std::fs::create_dir_all(directory).expect("a directory");
    let said = well(&["restore", "--from", place, "--dir", store.to_str().expect("a path"), "--backup", name]);
    assert!(said.contains("the store is whole"), "{said}");
    let copy = Server::start(directory, &["--memory-bytes=256MiB"]);
    let client = copy.connect().await.expect("a server");
    for writer in 0..WRITERS {
        let (found, at) = (prefix(&client, writer).await, writer as usize);
        assert!(
            (least[at]..=most[at] + 1).contains(&found),
            "backup {number}, writer {writer}: {found}, of {least:?} to {most:?}"
        );
    }
    assert_eq!(one(&client, "SELECT count(*) FROM samples WHERE tag = 'large'").await, 50_000);
    assert_eq!(one(&client, "SELECT count(*) FROM events").await, 1);
    assert_eq!(one(&client, "SELECT count(*) FROM tags").await, (WRITERS * TAGS + 2) as i64);
    let roles = one(&client, "SELECT count(*) FROM pg_roles WHERE rolname = 'reader'").await;
    assert_eq!(roles, i64::from(number == 3));
    let rows = digest(&client).await;
    // It goes on, and comes back.
    client.batch_execute("INSERT INTO tags (name, kind) VALUES ('later', 'f64')").await.expect("a tag");
    client.batch_execute(LATER).await.expect("rows");
    copy.kill();
    let copy = Server::start(directory, &["--memory-bytes=256MiB"]);
    let client = copy.connect().await.expect("a server");
    assert_eq!(one(&client, "SELECT count(*) FROM samples WHERE tag IN ('large', 'later')").await, 50_002);
    assert!(copy.stop().success());
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_backed_up_at_one_moment_and_begins_anew() {
    let mut fleet = Fleet::start("fleet-backup", "self", 2, 3, &["--copies=2"]);
    let operator = connect(&fleet, 1).await;
    fleet.until_in_step(&operator).await;
    make(&operator).await;
    given_up(&fleet).await;
    let (writers, stop) = (
        (0..WRITERS).map(|_| Arc::new(Writer { acknowledged: AtomicU64::new(0) })).collect::<Vec<_>>(),
        Arc::new(AtomicBool::new(false)),
    );
    let mut tasks = Vec::new();
    for (number, writer) in writers.iter().enumerate() {
        let doors = vec![connect(&fleet, 0).await, connect(&fleet, 1).await];
        tasks.push(tokio::spawn(write(Arc::clone(writer), number as u64, doors, Arc::clone(&stop))));
    }
    let repository = fleet.path().join("repository");
    let place = repository.to_str().expect("a path");
    let acknowledged = || writers.iter().map(|writer| writer.acknowledged.load(Ordering::SeqCst)).collect::<Vec<u64>>();
    let mut bounds = Vec::new();
    for backup in 0..4 {
        until("writes go on", async || acknowledged().iter().all(|count| *count > 30 * (backup + 1))).await;
        match backup {
            // Leaders die, and their slices go to others, in the middle of it.
            2 => fleet.kill_data(1),
            3 => {
                let roles = "CREATE ROLE test SUPERUSER LOGIN; CREATE ROLE reader LOGIN PASSWORD 'readers'";
                operator.batch_execute(roles).await.expect("roles");
                fleet.start_data(1);
            }
            _ => {}
        }
        let before = acknowledged();
        let door = url(fleet.door(backup as usize % 2));
        let said = tokio::task::spawn_blocking({
            let place = place.to_owned();
            move || well(&["backup", "--from", &door, "--to", &place])
        });
        assert!(said.await.expect("it ends").contains("lies in"));
        bounds.push((before, acknowledged()));
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("writers end");
    }
    let (new, all) = sizes(place);
    assert!(new < all, "{new} of {all} bytes are new: files are shared");
    well(&["backups", place, "--verify"]);
    let scratch = Directory::new("fleet-backup-alone");
    let all = names(place);
    assert_eq!(all.len(), 4);
    let mut last = Vec::new();
    for (number, (name, bounds)) in all.iter().zip(&bounds).enumerate() {
        last = alone(place, (number, name), bounds, &scratch.path().join(format!("copy-{number}"))).await;
    }
    new_fleet(place, &last).await;
}

/// A new fleet of two data nodes begins with the newest backup.
async fn new_fleet(place: &str, expected: &[String]) {
    let mut fleet = Fleet::new("fleet-restored", Network::loopback(), "self", 2, &["--copies=2"]);
    let lay = |path: &Path, words: &[&str]| {
        let dir = path.join("store");
        let dir = dir.to_str().expect("a path");
        well(&[&["restore", "--from", place, "--dir", dir][..], words].concat())
    };
    let made = |name: &str| {
        let path = fleet.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    };
    lay(&made("door-0"), &["--role", "manager,scheduler"]);
    for (name, part) in [("data-0", "1/2"), ("data-1", "2/2")] {
        let said = lay(&made(name), &["--role", "data", "--part", part]);
        assert!(said.contains("the store is whole"), "{said}");
    }
    fleet.start_door(0);
    let client = connect(&fleet, 0).await;
    // Nothing is placed before all of the backup is there.
    fleet.start_data(0);
    until("one node is there", async || one(&client, "SELECT count(*) FROM meridian.nodes WHERE roles = 'data'").await == 1)
        .await;
    fleet.start_data(1);
    fleet.until_in_step(&client).await;
    assert_eq!(digest(&client).await, expected);
    assert_eq!(one(&client, "SELECT count(*) FROM pg_roles WHERE rolname = 'reader'").await, 1);
    client.batch_execute("INSERT INTO tags (name, kind) VALUES ('later', 'f64')").await.expect("a tag");
    client.batch_execute(LATER).await.expect("rows");
    // A second scheduler, which has nothing, gets the tags; what was copied is whole.
    fleet.start_door(1);
    let other = connect(&fleet, 1).await;
    fleet.until_in_step(&other).await;
    fleet.kill_data(0);
    assert_eq!(one(&other, "SELECT count(*) FROM samples WHERE tag IN ('large', 'later')").await, 50_002);
    assert_eq!(one(&other, "SELECT count(*) FROM tags WHERE name IN ('later', 'gone', 'large')").await, 2);
    // It is backed up in turn, into a repository of its own.
    fleet.start_data(0);
    fleet.until_in_step(&other).await;
    let foreign = meridian(&["backup", "--from", &url(fleet.door(1)), "--to", place]);
    assert!(!foreign.status.success() && text(&foreign).contains("another store"), "{}", text(&foreign));
    let own = fleet.path().join("own");
    well(&["backup", "--from", &url(fleet.door(1)), "--to", own.to_str().expect("a path")]);
}
