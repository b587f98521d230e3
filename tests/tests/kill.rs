//! kill -9 of a loaded server, a hundred times, and of one that is coming up: what was acknowledged is there, and
//! nothing else is.
//!
//! Writers number their statements. A writer that was answered for statement n and was killed while it
//! waited for n + 1 must find exactly its rows 1 to n, or 1 to n + 1, each as it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::{Directory, Server};
use tokio_postgres::{Client, Error};

const WRITERS: usize = 4;
/// Rows of one statement of the writers that send many.
const ROWS: u64 = 100;

/// What writer `writer` sends as statement `n`: even writers one row, odd writers many, in one commit.
fn statement(writer: usize, n: u64) -> String {
    let rows = if writer.is_multiple_of(2) { 1 } else { ROWS };
    let row = |i: u64| {
        format!("('kill.{writer}', TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL '{} seconds', {})", n * ROWS + i, n * ROWS + i)
    };
    format!("INSERT INTO samples(tag, time, value) VALUES {}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

async fn write(server: &Server, acknowledged: &Arc<Vec<AtomicU64>>) -> Result<Vec<tokio::task::JoinHandle<Error>>, Error> {
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let client = server.connect().await?;
        let acknowledged = Arc::clone(acknowledged);
        tasks.push(tokio::spawn(async move {
            loop {
                let n = acknowledged[writer].load(Ordering::Relaxed) + 1;
                match client.simple_query(&statement(writer, n)).await {
                    Ok(_) => acknowledged[writer].store(n, Ordering::Relaxed),
                    Err(error) => return error,
                }
            }
        }));
    }
    Ok(tasks)
}

/// Flushes, and in some rounds merges, again and again until the server is gone.
async fn tidy(server: &Server, round: usize) -> Result<tokio::task::JoinHandle<Error>, Error> {
    let client = server.connect().await?;
    let statement =
        if round.is_multiple_of(3) { "SELECT meridian_flush(); SELECT meridian_merge()" } else { "SELECT meridian_flush()" };
    Ok(tokio::spawn(async move {
        loop {
            if let Err(error) = client.simple_query(statement).await {
                return error;
            }
        }
    }))
}

/// Checks every writer's rows, and takes what was found beyond the acknowledged as sent.
async fn check(client: &Client, acknowledged: &[AtomicU64], round: usize) {
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let sent = acknowledged.load(Ordering::Relaxed);
        let rows = if writer.is_multiple_of(2) { 1 } else { ROWS };
        let question =
            format!("SELECT count(*), coalesce(sum(value), 0), coalesce(max(value), 0) FROM samples WHERE tag = 'kill.{writer}'");
        let row = client.query_one(&question, &[]).await.expect("the count is answered");
        let (count, sum, max): (i64, f64, f64) = (row.get(0), row.get(1), row.get(2));
        let found = count as u64 / rows;
        assert!((count as u64).is_multiple_of(rows), "round {round}: writer {writer} finds {count} rows: a commit was torn");
        assert!(
            found == sent || found == sent + 1,
            "round {round}: writer {writer} was answered for {sent} statements and finds {found}"
        );
        let expected: u64 = (1..=found).map(|n| (0..rows).map(|i| n * ROWS + i).sum::<u64>()).sum();
        assert!(sum == expected as f64, "round {round}: writer {writer} finds a sum of {sum}, sent {expected}");
        let last = if found == 0 { 0 } else { found * ROWS + rows - 1 };
        assert!(max == last as f64, "round {round}: writer {writer} finds a maximum of {max}, sent {last}");
        let latest = client
            .query_opt(&format!("SELECT value FROM latest WHERE tag = 'kill.{writer}'"), &[])
            .await
            .expect("latest is answered");
        let latest = latest.map_or(0.0, |row| row.get::<_, Option<f64>>(0).unwrap_or(0.0));
        assert!(latest == last as f64, "round {round}: writer {writer} has the snapshot value {latest}, sent {last}");
        acknowledged.store(found, Ordering::Relaxed);
    }
}

/// Small limits; flushes and merges are asked for below, so that kills hit them and log cuts too.
const FLAGS: [&str; 4] = ["--buffer-bytes-max", "16MiB", "--segment-bytes", "1MiB"];

/// A server with the writers' tags.
async fn begin(directory: &Directory) -> Server {
    let server = Server::start(directory.path(), &FLAGS);
    let client = server.connect().await.expect("the server answers");
    for writer in 0..WRITERS {
        let text = format!("INSERT INTO tags(name, kind) VALUES ('kill.{writer}', 'f64')");
        client.simple_query(&text).await.expect("a tag can be made");
    }
    server
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made")
}

fn rounds(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn nothing_acknowledged() -> Arc<Vec<AtomicU64>> {
    Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect())
}

#[test]
fn a_hundred_kills_lose_nothing_acknowledged() {
    let rounds = rounds("MERIDIAN_KILLS", 100);
    let directory = Directory::new("kill");
    let acknowledged = nothing_acknowledged();
    runtime().block_on(async {
        let mut server = begin(&directory).await;
        for round in 0..rounds {
            let mut tasks = write(&server, &acknowledged).await.expect("the server answers");
            tasks.push(tidy(&server, round).await.expect("the server answers"));
            // Another moment each round, from 1 to 200 ms after the writers began: this is the fault, not a condition.
            tokio::time::sleep(Duration::from_micros(1_000 + (round as u64 * 7_919_431) % 200_000)).await;
            server.kill();
            for task in tasks {
                let error = task.await.expect("a writer does not panic");
                assert!(error.as_db_error().is_none(), "round {round}: a writer was refused before the kill: {error:?}");
            }
            server = Server::start(directory.path(), &FLAGS);
            let client = server.connect().await.expect("the server answers after a kill");
            check(&client, &acknowledged, round).await;
        }
        let total: u64 = acknowledged.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        assert!(total > rounds as u64, "the server was loaded when it was killed: {total} statements");
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
}

/// Lets every writer write so many statements, which no file holds yet.
async fn load(server: &Server, acknowledged: &[AtomicU64], statements: u64) {
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let client = server.connect().await.expect("the server answers");
        for _ in 0..statements {
            let n = acknowledged.load(Ordering::Relaxed) + 1;
            client.simple_query(&statement(writer, n)).await.expect("a statement is answered");
            acknowledged.store(n, Ordering::Relaxed);
        }
    }
}

/// Kills while the server comes up (the catalog is read, slices are opened, the log is mended and replayed), several in
/// a row and ever later, and kills while what was replayed is flushed for the first time.
#[test]
#[expect(clippy::disallowed_methods, reason = "kills are spread over the time that an opening takes")]
fn kills_of_a_server_that_comes_up_lose_nothing_acknowledged() {
    let rounds = rounds("MERIDIAN_RECOVERY_KILLS", 6);
    let directory = Directory::new("kill-recovery");
    let acknowledged = nothing_acknowledged();
    let mut before_ready = 0;
    runtime().block_on(async {
        let mut server = begin(&directory).await;
        let mut opening = Duration::from_millis(500);
        for round in 0..rounds {
            load(&server, &acknowledged, 30).await;
            server.kill();
            for part in 1..=3_u32 {
                // At other places of the opening in each round.
                let after = opening * (part * 6 + round as u32 % 6) / 24;
                before_ready += usize::from(!Server::start_and_kill(directory.path(), &FLAGS, after));
            }
            let started = Instant::now();
            server = Server::start(directory.path(), &FLAGS);
            opening = started.elapsed();
            let client = server.connect().await.expect("the server answers after kills");
            check(&client, &acknowledged, round).await;
            // In every third round the log grows instead: the next replay is longer.
            if round % 3 != 2 {
                let flushing = tidy(&server, round).await.expect("the server answers");
                tokio::time::sleep(Duration::from_micros(300 + (round as u64 * 7_919_431) % 40_000)).await;
                server.kill();
                let error = flushing.await.expect("it does not panic");
                assert!(error.as_db_error().is_none(), "round {round}: a flush was refused before the kill: {error:?}");
                server = Server::start(directory.path(), &FLAGS);
                let client = server.connect().await.expect("the server answers after a kill");
                check(&client, &acknowledged, round).await;
            }
        }
        assert!(before_ready > 0, "no kill came before the server was ready");
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
}
