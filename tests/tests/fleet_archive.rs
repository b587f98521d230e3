//! A fleet is archived while it is written to through two doors, nodes die and the scheduler that archives is killed; it is restored
//! to moments that no backup was taken at: as a store that goes on alone, and as a new fleet.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

#[expect(dead_code, clippy::unwrap_used, reason = "others need more of it")]
#[path = "../../crates/backup/tests/swift/mod.rs"]
mod swift;

use std::path::Path;
use swift::Swift;
use tests::{Directory, Fleet, Network, Server, meridian, meridian_with};
use tokio_postgres::Client;

fn well(words: &[&str]) -> String {
    well_with(words, &[])
}

fn well_with(words: &[&str], variables: &[(&'static str, String)]) -> String {
    let output = meridian_with(words, variables);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}")).get(0)
}

async fn connect(fleet: &Fleet, door: usize) -> Client {
    fleet.door(door).connect().await.expect("the door lets in")
}

/// The moment, as the machine's clock tells it: that of all processes.
async fn now(client: &Client) -> String {
    text(client, "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::text").await
}

/// Until all up to a moment is archived, as a door tells it.
async fn archived(fleet: &Fleet, client: &Client, moment: &str) {
    let sql = format!("SELECT count(*) = 1 FROM meridian.archive WHERE archived_until >= '{moment}+00' AND state = 'archiving'");
    fleet.until(client, &sql).await;
}

/// What there is: rows and tags, in one line each.
async fn digest(client: &Client) -> Vec<String> {
    let rows = "SELECT tag || ' ' || count(*) || ' ' || sum(value) || ' ' || max(time) FROM samples GROUP BY tag ORDER BY tag";
    let tags = "SELECT 'tag ' || name || ' ' || coalesce(unit, '') FROM tags ORDER BY name";
    let mut out = Vec::new();
    for sql in [rows, tags] {
        out.extend(client.query(sql, &[]).await.expect("rows").iter().map(|row| row.get::<_, String>(0)));
    }
    out
}

async fn fill(client: &Client, from: u32, rows: u32) {
    let sql = format!(
        "INSERT INTO samples (tag, time, value) SELECT 'a.' || i % 30, to_timestamp(i * 60), i FROM generate_series({from}, {}) AS g(i)",
        from + rows - 1
    );
    client.batch_execute(&sql).await.expect("rows");
}

/// A moment, and what there was.
struct Known {
    moment: String,
    digest: Vec<String>,
}

async fn known(fleet: &Fleet, client: &Client) -> Known {
    // What comes next is of a later microsecond.
    let (moment, digest) = (now(client).await, digest(client).await);
    fleet.until(client, &format!("SELECT clock_timestamp() AT TIME ZONE 'UTC' > '{moment}'")).await;
    Known { moment, digest }
}

async fn alone(place: &str, known: &Known, directory: &Path) {
    let store = directory.join("store");
    std::fs::create_dir_all(directory).expect("a directory");
    let said = well(&["restore", "--from", place, "--dir", store.to_str().expect("a path"), "--until", &known.moment]);
    assert!(
        said.contains("the store is whole") && said.contains(&format!("it is as it was at {}", &known.moment[..19])),
        "{said}"
    );
    let copy = Server::start(directory, &["--memory-bytes=256MiB"]);
    assert_eq!(digest(&copy.connect().await.expect("a server")).await, known.digest, "{}", known.moment);
    assert!(copy.stop().success());
}

/// A new fleet of two data nodes begins at a moment.
async fn new_fleet(place: &str, known: &Known) {
    let mut fleet = Fleet::new("fleet-restored-at", Network::loopback(), "self", 1, &["--copies=2"]);
    let lay = |name: &str, words: &[&str]| {
        let path = fleet.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        let dir = path.join("store");
        let dir = dir.to_str().expect("a path");
        well(&[&["restore", "--from", place, "--dir", dir, "--until", &known.moment][..], words].concat())
    };
    lay("door-0", &["--role", "manager,scheduler"]);
    for (name, part) in [("data-0", "1/2"), ("data-1", "2/2")] {
        lay(name, &["--role", "data", "--part", part]);
    }
    fleet.start_door(0);
    fleet.start_data(0);
    fleet.start_data(1);
    let client = connect(&fleet, 0).await;
    fleet.until_in_step(&client).await;
    assert_eq!(digest(&client).await, known.digest);
    client.batch_execute("INSERT INTO tags (name, kind) VALUES ('later', 'f64')").await.expect("a tag");
    client.batch_execute("INSERT INTO samples (tag, time, value) VALUES ('later', '2030-01-01', 5)").await.expect("rows");
    assert_eq!(text(&client, "SELECT count(*)::text FROM samples WHERE tag = 'later'").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_restored_to_any_moment() {
    let scratch = Directory::new("fleet-archive");
    let repository = scratch.path().join("repository");
    let place = repository.to_str().expect("a path");
    let mut fleet = Fleet::new("fleet-archive", Network::loopback(), "self", 3, &["--copies=2"]);
    let archives = [&*format!("--archive-to={place}"), "--archive-every=1s"];
    // The first keeps what is agreed, so it is another one that archives, and is killed.
    fleet.start_door(0);
    fleet.start_door_with(1, &archives);
    fleet.start_door_with(2, &archives);
    (0..3).for_each(|number| fleet.start_data(number));
    let client = connect(&fleet, 0).await;
    fleet.until_in_step(&client).await;
    let made = "INSERT INTO tags (name, kind, unit) SELECT 'a.' || n, 'f64', 'V' FROM generate_series(0, 29) AS g(n)";
    client.batch_execute(made).await.expect("tags");
    client.batch_execute("INSERT INTO tags (name, kind) VALUES ('spare', 'f64')").await.expect("a tag");
    client.batch_execute("INSERT INTO samples (tag, time, value) VALUES ('spare', '2030-01-01', 7)").await.expect("a row");
    fill(&client, 0, 5_000).await;
    let url = format!("postgres://meridian@127.0.0.1:{}/meridian", fleet.door(0).port());
    well(&["backup", "--from", &url, "--to", place]);
    let mut moments = Vec::new();
    fill(&client, 5_000, 700).await;
    moments.push(known(&fleet, &client).await);
    // The mistake that it is for.
    client
        .batch_execute("DELETE FROM samples WHERE tag LIKE 'a.1%'; DELETE FROM tags WHERE name = 'spare'")
        .await
        .expect("they go");
    client.batch_execute("INSERT INTO tags (name, kind) VALUES ('made', 'f64')").await.expect("a tag");
    client.batch_execute("INSERT INTO samples (tag, time, value) VALUES ('made', '2030-01-01', 5)").await.expect("rows");
    archived(&fleet, &client, &now(&client).await).await;
    moments.push(known(&fleet, &client).await);
    client.batch_execute("CHECKPOINT").await.expect("it is flushed");
    // A leader dies.
    fleet.kill_data(1);
    fill(&client, 9_000, 400).await;
    client.batch_execute("UPDATE tags SET unit = 'kV' WHERE name = 'a.3'").await.expect("a change");
    moments.push(known(&fleet, &client).await);
    fill(&client, 12_000, 300).await;
    archived(&fleet, &client, &now(&client).await).await;
    // The scheduler that archives is killed, and another one goes on.
    fleet.start_data(1);
    fleet.kill_door(1);
    fill(&client, 15_000, 300).await;
    moments.push(known(&fleet, &client).await);
    fill(&client, 16_000, 300).await;
    archived(&fleet, &client, &now(&client).await).await;
    let ranges = well(&["backups", place, "--verify"]);
    assert!(ranges.contains("any moment from"), "{ranges}");
    for (number, known) in moments.iter().enumerate() {
        alone(place, known, &scratch.path().join(format!("copy-{number}"))).await;
    }
    new_fleet(place, &moments[0]).await;
    let lined = meridian(&["restore", "--from", place, "--dir", "/nonexistent/x", "--until", "latest", "--line", "0a"]);
    assert!(!lined.status.success() && String::from_utf8_lossy(&lined.stderr).contains("leave it out"), "{lined:?}");
    let late = meridian(&["restore", "--from", place, "--dir", "/nonexistent/x", "--until", "2200-01-01"]);
    let told = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(!late.status.success() && told.contains("nothing was archived that late"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_holds_backups_and_archive() {
    let place = "s3://plant/fleet";
    let swift = Swift::start("fleet");
    let mut fleet = Fleet::new("fleet-archive-s3", Network::loopback(), "self", 2, &["--copies=2"]);
    // Whoever asks for a backup needs no key: the processes have it.
    fleet.variables = swift.variables();
    fleet.start_door_with(0, &["--archive-to=s3://plant/fleet", "--archive-every=1s"]);
    (0..2).for_each(|number| fleet.start_data(number));
    let client = connect(&fleet, 0).await;
    fleet.until_in_step(&client).await;
    let made = "INSERT INTO tags (name, kind) SELECT 'a.' || n, 'f64' FROM generate_series(0, 29) AS g(n)";
    client.batch_execute(made).await.expect("tags");
    fill(&client, 0, 3_000).await;
    let url = format!("postgres://meridian@127.0.0.1:{}/meridian", fleet.door(0).port());
    for _ in 0..2 {
        assert!(well(&["backup", "--from", &url, "--to", place]).contains("lies in"));
        fill(&client, 4_000, 300).await;
    }
    let wanted = known(&fleet, &client).await;
    client.batch_execute("DELETE FROM samples WHERE tag LIKE 'a.1%'").await.expect("they go");
    archived(&fleet, &client, &now(&client).await).await;
    let run = |words: &[&str]| well_with(words, &swift.variables());
    assert!(run(&["backups", place, "--verify"]).contains("any moment from"));
    let scratch = Directory::new("fleet-archive-s3-alone");
    let store = scratch.path().join("store");
    run(&["restore", "--from", place, "--dir", store.to_str().expect("a path"), "--until", &wanted.moment]);
    let copy = Server::start(scratch.path(), &["--memory-bytes=256MiB"]);
    assert_eq!(digest(&copy.connect().await.expect("a server")).await, wanted.digest);
    assert!(copy.stop().success());
}
