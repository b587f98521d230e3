//! Retention policies on real servers: after kill -9 in the middle of runs, and in a fleet whose runner dies.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::time::{Duration, Instant};
use tests::{Directory, Etcd, Fleet, Server};
use tokio_postgres::Client;

const PATIENCE: Duration = Duration::from_secs(60);
const TAGS: &str = "INSERT INTO tags (name, kind) SELECT g || i, CASE WHEN i = 9 THEN 'text' ELSE 'f64' END
    FROM (VALUES ('go.'), ('stay.')) AS v(g), generate_series(0, 9) AS s(i)";

/// Old rows of all tags: a day each, from so many days ago.
fn old_rows(days: i32) -> String {
    let at = format!("now() - INTERVAL '{days} days'");
    format!(
        "INSERT INTO samples (tag, time, value) SELECT name, {at}, {days} FROM tags WHERE kind <> 'text';
         INSERT INTO events (tag, time, text) SELECT name, {at}, 'x' FROM tags WHERE kind = 'text'"
    )
}

const OLD: &str = "time < now() - INTERVAL '31 days'";

async fn count(client: &Client, table: &str, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
    client.query_one(&sql, &[]).await.expect("it is counted").get(0)
}

async fn until_gone(client: &Client, what: &str) {
    let begun = Instant::now();
    loop {
        let condition = format!("tag LIKE 'go.%' AND {OLD}");
        let left = count(client, "samples", &condition).await + count(client, "events", &condition).await;
        if left == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {left} old rows are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// kill -9 in the middle of runs: the policy stays, what it does not keep goes in the end, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_and_its_work_survive_kills() {
    let directory = Directory::new("retention-kill");
    let flags = ["--retention-every=1s", "--rule-buckets=4", "--rule-b1=2"];
    let (mut stays, mut removed) = (0, 0);
    for round in 0..5_i32 {
        let server = Server::start(directory.path(), &flags);
        let client = server.connect().await.expect("a server");
        if round == 0 {
            client.batch_execute(TAGS).await.expect("tags");
            let policy = "CREATE RETENTION POLICY p ON TAGS WHERE name LIKE 'go.%' KEEP '30 days'";
            client.batch_execute(policy).await.expect("a policy");
        }
        let policy = "SELECT keep = INTERVAL '30 days', rows_removed FROM meridian.retention WHERE name = 'p'";
        let policy = client.query_one(policy, &[]).await.expect("the policy is there");
        assert!(policy.get::<_, bool>(0) && policy.get::<_, i64>(1) >= removed, "round {round}: what was removed is known");
        removed = policy.get(1);
        // Runs begin a second after the start; the kill comes before, in and after one.
        let end = Instant::now() + Duration::from_millis(700 + 150 * round.unsigned_abs() as u64);
        for days in [40, 41, 42].map(|day| day + 3 * round) {
            client.batch_execute(&old_rows(days)).await.expect("old rows are taken");
            stays += 10;
        }
        client.batch_execute(&old_rows(round)).await.expect("young rows are taken");
        if round % 2 == 1 {
            client.batch_execute("VACUUM").await.expect("files");
        }
        tokio::time::sleep_until(end.into()).await;
        server.kill();
    }
    let server = Server::start(directory.path(), &flags);
    let client = server.connect().await.expect("a server");
    until_gone(&client, "after all kills").await;
    assert_eq!(count(&client, "samples", &format!("tag LIKE 'stay.%' AND {OLD}")).await, stays / 10 * 9, "the others' rows stay");
    assert_eq!(count(&client, "events", &format!("tag LIKE 'stay.%' AND {OLD}")).await, stays / 10);
    assert_eq!(count(&client, "samples", &format!("NOT {OLD}")).await, 5 * 18, "nothing young went");
    client.batch_execute("VACUUM").await.expect("files");
    let rows = client.query_one("SELECT sum(rows)::bigint = $1 FROM meridian.files", &[&(stays + 5 * 20)]).await.expect("files");
    assert!(rows.get::<_, bool>(0), "what is gone lies in no file");
    // Rows that come between the count and the deletion are not counted, and those of a run that a kill ended twice.
    let done = "SELECT rows_removed > 0, last_removal IS NOT NULL FROM meridian.retention";
    let done = client.query_one(done, &[]).await.expect("the policy is there");
    assert!(done.get::<_, bool>(0) && done.get::<_, bool>(1), "what went was counted");
    drop(client);
    assert!(server.stop().success());
    let log = std::fs::read_to_string(directory.path().join("server.err")).expect("the server logs");
    assert!(log.contains("a retention policy does not keep"), "it is told of: {log}");
}

/// The scheduler that leads runs the policies; when it dies, the next one goes on. What one is told holds for whoever runs.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_fleet_the_next_leader_goes_on() {
    let directory = Directory::new("retention-etcd");
    let etcd = Etcd::start(directory.path());
    let mut fleet = Fleet::start("retention-fleet", &etcd.join(), 3, 3, &["--retention-every=1s"]);
    let mut clients = Vec::new();
    for door in 0..3 {
        clients.push(Some(fleet.door(door).connect().await.expect("a door")));
    }
    let of = |clients: &[Option<Client>], door: usize| -> usize {
        (0..3).map(|step| (door + step) % 3).find(|door| clients[*door].is_some()).expect("a door is there")
    };
    fleet.until_in_step(clients[0].as_ref().expect("it is there")).await;
    clients[0].as_ref().expect("it is there").batch_execute(TAGS).await.expect("tags");
    let policy = "CREATE RETENTION POLICY p ON TAGS WHERE name LIKE 'go.%' KEEP '30 days'";
    clients[1].as_ref().expect("it is there").batch_execute(policy).await.expect("a policy");
    for round in 0..2 {
        let at = of(&clients, round);
        let client = clients[at].as_ref().expect("it is there");
        for days in [50, 60] {
            client.batch_execute(&old_rows(days + i32::try_from(round).expect("few"))).await.expect("old rows are taken");
        }
        until_gone(client, &format!("round {round}")).await;
        // Whichever leads is killed.
        if round == 0 {
            let leads = "SELECT here FROM meridian.schedulers WHERE leads";
            let mut leader = None;
            for (door, client) in clients.iter().enumerate() {
                let rows = client.as_ref().expect("all are there").query(leads, &[]).await.expect("schedulers");
                leader = leader.or(rows.iter().any(|row| row.get::<_, bool>(0)).then_some(door));
            }
            let leader = leader.expect("one leads");
            clients[leader] = None;
            fleet.kill_door(leader);
        }
    }
    let client = clients[of(&clients, 0)].as_ref().expect("it is there");
    let stays = count(client, "samples", &format!("tag LIKE 'stay.%' AND {OLD}")).await;
    assert_eq!(stays, 4 * 9, "the others' rows stay");
    // Each door tells what all of them removed, once it has heard of it.
    let told = "SELECT rows_removed > 0 AND creator = 'meridian' FROM meridian.retention";
    fleet.until(client, told).await;
    // Dropped at one door, it removes nothing any more, whoever leads.
    client.batch_execute("DROP RETENTION POLICY p").await.expect("it is dropped");
    client.batch_execute(&old_rows(70)).await.expect("old rows are taken");
    client.batch_execute("CREATE RETENTION POLICY other ON TAGS WHERE name = 'go.9' KEEP '60 days'").await.expect("another one");
    fleet.until(client, &format!("SELECT count(*) = 0 FROM events WHERE tag = 'go.9' AND {OLD}")).await;
    assert_eq!(count(client, "samples", &format!("tag LIKE 'go.%' AND {OLD}")).await, 9);
}

/// Waits until there are so many rows of some tags.
async fn until_left(client: &Client, rows: i64, condition: &str) {
    let begun = Instant::now();
    loop {
        let left = count(client, "samples", condition).await + count(client, "events", condition).await;
        if left == rows {
            return;
        }
        // Runs that take long on a busy machine are followed by fifty times as long without one.
        assert!(begun.elapsed() < 3 * PATIENCE, "{condition}: {left} rows, not {rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// With the setting at 20 days: a policy keeps longer, another shorter, and the rest is as the setting says.
async fn the_setting_and_policies(client: &Client, tell: &Client) {
    tell.batch_execute(TAGS).await.expect("tags");
    let policies = "CREATE RETENTION POLICY long ON TAGS WHERE name LIKE 'stay.%' KEEP '90 days';
                    CREATE RETENTION POLICY short ON TAGS WHERE name = 'go.1' KEEP '5 days'";
    tell.batch_execute(policies).await.expect("policies");
    for days in [1, 10, 40, 100] {
        client.batch_execute(&old_rows(days)).await.expect("old rows are taken");
    }
    until_left(client, 2 * 9 + 1, "tag LIKE 'go.%'").await;
    until_left(client, 3 * 10, "tag LIKE 'stay.%'").await;
    // What comes late goes too; without the longer policy its tags are as the others are.
    client.batch_execute(&old_rows(50)).await.expect("old rows are taken");
    until_left(client, 2 * 9 + 1, "tag LIKE 'go.%'").await;
    until_left(client, 4 * 10, "tag LIKE 'stay.%'").await;
    tell.batch_execute("DROP RETENTION POLICY long").await.expect("it is dropped");
    until_left(client, 2 * 10, "tag LIKE 'stay.%'").await;
    until_left(client, 2 * 9 + 1, "tag LIKE 'go.%'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_keeps_longer_than_the_setting() {
    let directory = Directory::new("retention-setting");
    let server = Server::start(directory.path(), &["--retention=20d", "--retention-every=1s", "--rule-buckets=4", "--rule-b1=2"]);
    let client = server.connect().await.expect("a server");
    the_setting_and_policies(&client, &client).await;
    client.batch_execute("VACUUM").await.expect("files");
    let rows = client.query_one("SELECT sum(rows)::bigint FROM meridian.files", &[]).await.expect("files");
    assert_eq!(rows.get::<_, i64>(0), 2 * 10 + 2 * 9 + 1, "what is gone lies in no file");
    drop(client);
    assert!(server.stop().success());
    let log = std::fs::read_to_string(directory.path().join("server.err")).expect("the server logs");
    assert!(log.contains("the setting retention does not keep"), "it is told of: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_fleet_a_policy_keeps_longer_than_the_setting() {
    let directory = Directory::new("retention-setting-etcd");
    let etcd = Etcd::start(directory.path());
    let fleet = Fleet::start("retention-setting-fleet", &etcd.join(), 2, 2, &["--retention-every=1s", "--retention=20d"]);
    let client = fleet.door(0).connect().await.expect("a door");
    let tell = fleet.door(1).connect().await.expect("a door");
    fleet.until_in_step(&client).await;
    the_setting_and_policies(&client, &tell).await;
}
