//! Limits of roles are the fleet's: rows a second and connections, at whichever doors clients are, and whoever dies.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::Fleet;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// Rows a second of the role `collector`.
const RATE: u64 = 3_000;
/// How many are written at a time: what a door's floor brings in little more than a second.
const BATCH: u64 = 100;
/// How long shares may take to follow those who want them: reports, and the lease of one that died.
const SETTLES: Duration = Duration::from_secs(6);

async fn of(fleet: &Fleet, door: usize, role: &str) -> Result<Client, String> {
    let connection = fleet.door(door).connection().replace("user=test", &format!("user={role}"));
    tests::connect(&connection)
        .await
        .map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

/// Clients of one door that write as fast as they may.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    async fn start(fleet: &Fleet, door: usize, clients: usize) -> Writers {
        let (stop, written, mut tasks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Vec::new());
        for number in 0..clients {
            let client = of(fleet, door, "collector").await.expect("a door");
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            tasks.push(tokio::spawn(async move {
                let mut at = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let first = (door as u64 * 10 + number as u64) * 1_000_000_000 + at;
                    let sql = format!(
                        "INSERT INTO samples (tag, time, value) SELECT 'l.0', to_timestamp({first} + i), i FROM generate_series(1, {BATCH}) AS g(i)"
                    );
                    match client.execute(&sql, &[]).await {
                        Ok(_) => drop(written.fetch_add(BATCH, Ordering::Relaxed)),
                        // Its door was killed.
                        Err(error) if error.code().is_none() => return,
                        Err(error) => panic!("{error:?}"),
                    }
                    at += BATCH;
                }
            }));
        }
        Writers { stop, written, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer ends");
        }
    }
}

/// How many rows a second some clients write, once shares have settled.
async fn measured(writers: &[&Writers]) -> [f64; 2] {
    tokio::time::sleep(SETTLES).await;
    let sum = || writers.iter().map(|of| of.written.load(Ordering::Relaxed)).sum::<u64>();
    let (before, begun) = (sum(), Instant::now());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let last = writers.last().map_or(0, |of| of.written.load(Ordering::Relaxed));
    [(sum() - before) as f64 / begun.elapsed().as_secs_f64(), last as f64]
}

fn check(rate: f64, what: &str) {
    // A batch at a time, and one second's rows of whoever was quiet before.
    assert!(rate <= RATE as f64 * 1.2, "{what}: {rate} rows a second of {RATE}");
    assert!(rate >= RATE as f64 * 0.7, "{what}: only {rate} rows a second of {RATE}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_a_second_are_the_fleets() {
    let mut fleet = Fleet::start("limits-rates", "self", 3, 1, &["--copies=1"]);
    let boss = fleet.door(0).connect().await.expect("a door");
    fleet.until(&boss, "SELECT count(*) = 8 FROM meridian.slice_map").await;
    boss.batch_execute(&format!(
        "INSERT INTO tags (name, kind) VALUES ('l.0', 'f64'); CREATE ROLE collector LOGIN; GRANT INSERT ON samples TO collector; \
         ALTER ROLE collector SET rows_per_second = {RATE}"
    ))
    .await
    .expect("a role");
    let boss = of(&fleet, 0, "meridian").await.expect("the superuser");
    for door in 1..3 {
        let other = of(&fleet, door, "meridian").await.expect("the superuser");
        fleet.until(&other, "SELECT count(*) = 1 FROM pg_roles WHERE rolname = 'collector' AND rolconfig IS NOT NULL").await;
    }
    // At one door alone: all but the others' floors are its.
    let one = Writers::start(&fleet, 1, 2).await;
    let [rate, _] = measured(&[&one]).await;
    check(rate, "one door");
    let client = of(&fleet, 1, "meridian").await.expect("the superuser");
    fleet
        .until(
            &client,
            "SELECT value > 0.9 * 3000 AND value < 3000 FROM meridian.metrics WHERE name = 'meridian_role_rows_per_second_here' AND labels LIKE '%collector%' AND labels LIKE '%written%'",
        )
        .await;
    // At all of them: the same in all.
    let (zero, two) = (Writers::start(&fleet, 0, 1).await, Writers::start(&fleet, 2, 3).await);
    let [rate, _] = measured(&[&zero, &one, &two]).await;
    check(rate, "three doors");
    // A door dies: its share comes back.
    fleet.kill_door(2);
    let [rate, _] = measured(&[&zero, &one]).await;
    check(rate, "two of three doors");
    two.end().await;
    // Whoever asks for more than one second's rows at a door that had a floor gets them as its share grows.
    one.end().await;
    zero.end().await;
    let begun = Instant::now();
    let late = of(&fleet, 1, "collector").await.expect("a door");
    late.execute(
        "INSERT INTO samples (tag, time, value) SELECT 'l.0', to_timestamp(i), i FROM generate_series(1, 12000) AS g(i)",
        &[],
    )
    .await
    .expect("rows");
    assert!(begun.elapsed() > Duration::from_millis(2_500) && begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(boss.query_one("SELECT count(*) > 0 FROM samples", &[]).await.expect("an answer").get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_the_fleets() {
    let mut fleet = Fleet::start("limits-connections", "self", 3, 1, &["--copies=1"]);
    let boss = fleet.door(0).connect().await.expect("a door");
    boss.batch_execute("CREATE ROLE few LOGIN CONNECTION LIMIT 4").await.expect("a role");
    for door in 1..3 {
        let other = of(&fleet, door, "meridian").await.expect("the superuser");
        fleet.until(&other, "SELECT count(*) = 1 FROM pg_roles WHERE rolname = 'few'").await;
    }
    // Many at once, at all doors.
    let all = (0..12).map(|number| of(&fleet, number % 3, "few"));
    let answers = futures::future::join_all(all).await;
    let refused: Vec<&String> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(refused.iter().all(|state| *state == "53300"), "{refused:?}");
    assert_eq!(refused.len(), 8, "four come in");
    // All of them may be at one door; whoever leaves makes room anywhere at once.
    drop(answers);
    let mut open = Vec::new();
    for number in 0..4 {
        open.push(of(&fleet, 1, "few").await.unwrap_or_else(|state| panic!("connection {number}: {state}")));
    }
    assert_eq!(of(&fleet, 2, "few").await.err().as_deref(), Some("53300"));
    assert_eq!(of(&fleet, 1, "few").await.err().as_deref(), Some("53300"));
    open.pop();
    open.push(of(&fleet, 2, "few").await.expect("the place of the one that left"));
    assert_eq!(of(&fleet, 0, "few").await.err().as_deref(), Some("53300"));
    // Three of them die with their door, and come back after its lease.
    fleet.kill_door(1);
    let begun = Instant::now();
    let mut others = Vec::new();
    while others.len() < 3 {
        match of(&fleet, 0, "few").await {
            Ok(client) => others.push(client),
            Err(state) => assert_eq!(state, "53300"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of 3 came in", others.len());
    }
    assert_eq!(of(&fleet, 2, "few").await.err().as_deref(), Some("53300"));
    // Without managers each door has an even part of four, at least one; how many doors are left is what was last known.
    fleet.kill_door(0);
    let refused = loop {
        match of(&fleet, 2, "few").await {
            Ok(client) => open.push(client),
            Err(state) => break state,
        }
        assert!(open.iter().filter(|client| !client.is_closed()).count() <= 2, "more than an even part");
    };
    assert_eq!(refused, "53300");
    // And who leaves makes room.
    open.clear();
    let begun = Instant::now();
    while let Err(state) = of(&fleet, 2, "few").await {
        assert_eq!(state, "53300");
        assert!(begun.elapsed() < Duration::from_secs(30), "without managers nobody comes in");
    }
}
