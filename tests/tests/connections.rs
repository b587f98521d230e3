//! Many connections and slow ones: everybody is answered, and the server's memory stays within bounds.

#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::time::{Duration, Instant};
use tests::{Directory, RawClient, Server};
use tokio::task::JoinSet;
use tokio_postgres::Client;

/// What a connection that only waits may take of the server's memory, in KiB. `docs/PERFORMANCE.md` says what it takes.
const IDLE_KIB_MAX: u64 = 256;
/// What a result that nobody reads may take, in KiB: pieces on their way, not the result.
const UNREAD_KIB_MAX: u64 = 64 << 10;

/// The resident memory of the server, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process has a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it tells its memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB")
}

fn with_server(name: &str, flags: &[&str], test: impl AsyncFnOnce(&Server)) {
    let directory = Directory::new(name);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let server = Server::start(directory.path(), flags);
        test(&server).await;
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
}

async fn connect_all(server: &Server, count: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let some = (0..50.min(count - clients.len())).map(|_| server.connect());
        for client in futures::future::join_all(some).await {
            clients.push(client.expect("there is room for this connection"));
        }
    }
    clients
}

async fn furnish(server: &Server) {
    let client = server.connect().await.expect("the server answers");
    for statement in [
        "INSERT INTO tags(name) SELECT 'c.' || i FROM generate_series(0, 99) AS t(i)",
        "INSERT INTO samples(tag, time, value) SELECT 'c.' || (i % 100), TIMESTAMPTZ '2024-01-01' + i * INTERVAL '1 second', i FROM generate_series(0, 9999) AS t(i)",
    ] {
        client.simple_query(statement).await.expect(statement);
    }
}

/// What a busy client does: points, a plan, a write; each answer is checked.
async fn work(client: Client, number: usize) {
    let tag = format!("c.{}", number % 100);
    let newest = client.prepare("SELECT value FROM latest WHERE tag = $1").await.expect("a point statement is prepared");
    let sum = "SELECT count(*), sum(value) FROM samples WHERE tag = $1 AND time < '2024-01-02'";
    for round in 0..5 {
        for _ in 0..20 {
            let row = client.query_one(&newest, &[&tag]).await.expect("the newest value is answered");
            assert!(row.get::<_, f64>(0) >= 9900.0, "{tag}");
        }
        let row = client.query_one(sum, &[&tag]).await.expect("a sum is answered");
        let expected: f64 = (0..100).map(|i| f64::from(i * 100) + (number % 100) as f64).sum();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, f64>(1)), (100, expected), "{tag}");
        let time = format!("2025-01-01 {:02}:{:02}:{:02}+00", round, number / 60, number % 60);
        let write = format!("INSERT INTO samples(tag, time, value) VALUES ('{tag}', '{time}', {})", 10_000 + number);
        assert_eq!(client.execute(&write, &[]).await.expect("a row is written"), 1);
    }
}

#[test]
fn a_thousand_wait_and_two_hundred_work() {
    with_server("connections", &["--connections-max", "1210"], async |server| {
        furnish(server).await;
        // The first ones bring what all share.
        drop(connect_all(server, 20).await);
        let before = resident_kib(server);
        let idle = connect_all(server, 1000).await;
        let each = resident_kib(server).saturating_sub(before) / 1000;
        eprintln!("a connection that waits takes {each} KiB");
        assert!(each <= IDLE_KIB_MAX, "{each} KiB for a connection that waits");

        let mut busy = JoinSet::new();
        for (number, client) in connect_all(server, 200).await.into_iter().enumerate() {
            busy.spawn(work(client, number));
        }
        while let Some(done) = busy.join_next().await {
            done.expect("every client is answered");
        }
        for client in &idle {
            let row = client.query_one("SELECT 1::int8", &[]).await.expect("one that waited is answered");
            assert_eq!(row.get::<_, i64>(0), 1);
        }
        let count = idle[0].query_one("SELECT count(*) FROM samples WHERE time >= '2025-01-01'", &[]).await.expect("answered");
        assert_eq!(count.get::<_, i64>(0), 1000, "each wrote its rows, of which none replaced another");

        // Up to the limit there is room, and not beyond; whoever leaves makes room.
        let mut more = Vec::new();
        let refused = loop {
            assert!(more.len() <= 210, "connections_max is 1210, and there are more");
            match server.connect().await {
                Ok(client) => more.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.code().map(|code| code.code()), Some("53300"), "{refused}");
        drop(more);
        let start = Instant::now();
        while server.connect().await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "nobody makes room");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_result_that_nobody_reads_takes_little_memory() {
    with_server("unread", &[], async |server| {
        furnish(server).await;
        let other = server.connect().await.expect("the server answers");
        // 2 GB of rows, by each protocol.
        let rows = 10_000_000_usize;
        let sql = format!("SELECT i, repeat('x', 190) FROM generate_series(1, {rows}) AS t(i)");
        let mut slow = RawClient::connect(server).await;
        let before = resident_kib(server);
        slow.say(b'Q', &[sql.as_bytes(), b"\0"].concat()).await;
        // It has begun: its first rows are here. Nothing more is read from now on.
        slow.until(b'D').await;
        let mut most = 0;
        // The server has room for a while; what it holds is looked at while others are answered.
        for _ in 0..200 {
            let row = other.query_one("SELECT count(*) FROM samples", &[]).await.expect("another client is answered");
            assert_eq!(row.get::<_, i64>(0), 10_000);
            most = most.max(resident_kib(server).saturating_sub(before));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        eprintln!("a result that is not read takes {most} KiB");
        assert!(most <= UNREAD_KIB_MAX, "{most} KiB are held for a client that does not read");
        // It still runs, and gives what it promised: then it is cancelled by another client.
        let mut read = 1;
        while read < 100_000 {
            assert_eq!(slow.until(b'D').await, None, "row {read}");
            read += 1;
        }
        let running = "SELECT pid FROM meridian.queries WHERE query LIKE 'SELECT i, repeat%'";
        let pid: i32 = other.query_one(running, &[]).await.expect("it runs").get(0);
        let row = other.query_one(&format!("SELECT pg_cancel_backend({pid})"), &[]).await.expect("it can be cancelled");
        assert!(row.get::<_, bool>(0));
        assert_eq!(slow.until(b'Z').await.as_deref(), Some("57014"), "it ends as cancelled");
    });
}
