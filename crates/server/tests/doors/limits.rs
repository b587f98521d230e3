//! A role's rows a second at every door: whoever writes or reads beyond them waits, can be told to stop, and loses nothing.

use crate::node::{Node, samples, samples_schema};
use crate::web::Web;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use server::flight::client::{Client, Options};
use std::time::{Duration, Instant};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use types::Kind;

/// What 3,000 rows take at 1,000 a second, of which the first second's come at once.
const LEAST: Duration = Duration::from_secs(2);
const ROWS: i64 = 3_000;

async fn connect(node: &Node, user: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&node.config(user), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A node with a tag, and a role of its own for each door, so that each has its own share.
async fn limited(roles: &[&str], limit: &str) -> (Node, tokio_postgres::Client) {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let boss = node.client().await;
    for role in roles {
        let sql = format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT ON samples TO {role}; GRANT SELECT, INSERT ON tags TO {role}; ALTER ROLE {role} SET {limit}"
        );
        boss.batch_execute(&sql).await.unwrap();
    }
    (node, boss)
}

fn rows(base: i64) -> Vec<(u64, i64, f64)> {
    (0..ROWS).map(|row| (0, base + row, 1.0)).collect()
}

async fn count(boss: &tokio_postgres::Client) -> i64 {
    boss.query_one("SELECT count(*) FROM samples", &[]).await.unwrap().get(0)
}

/// Runs some work, which must take that long at least.
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    assert!(began.elapsed() >= LEAST, "{what}: {:?}", began.elapsed());
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_at_every_door() {
    let (node, boss) = limited(&["insert", "prepared", "copy", "flight", "lines"], "rows_per_second = 1000").await;
    let insert = async {
        let values: Vec<String> = (0..ROWS).map(|row| format!("('t0', to_timestamp_micros({row}), 1)")).collect();
        let sql = format!("INSERT INTO samples (tag, time, value) VALUES {}", values.join(", "));
        connect(&node, "insert").await.batch_execute(&sql).await.unwrap();
    };
    let prepared = async {
        let client = connect(&node, "prepared").await;
        let rows = (10_000..10_000 + ROWS).map(|row| std::time::UNIX_EPOCH + Duration::from_micros(row as u64));
        let statement = client.prepare("INSERT INTO samples (tag, time, value) VALUES ('t0', $1, 1)").await.unwrap();
        for time in rows {
            client.execute(&statement, &[&time]).await.unwrap();
        }
    };
    let copy = async {
        let client = connect(&node, "copy").await;
        let sink = client.copy_in::<_, Bytes>("COPY samples (tag, time, value) FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        for row in 0..ROWS {
            sink.send(Bytes::from(format!("t0\t2026-01-01 00:00:00.{row:06}\t1\n"))).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), ROWS as u64);
    };
    let flight = async {
        let login = Some(("flight".to_owned(), String::new()));
        let client = Client::connect(&node.flight_url(), &Options { login, authority_pem: None }).await.unwrap();
        let mut putter = client.put(&["samples"], samples_schema()).await.unwrap();
        for (number, part) in rows(30_000).chunks(100).enumerate() {
            putter.send(number as u64 + 1, &samples(part)).await.unwrap();
        }
        let acks = putter.finish().await.unwrap();
        assert_eq!(acks.iter().map(|ack| ack.rows).sum::<u64>(), ROWS as u64);
    };
    let address = node.http();
    let lines = async {
        let body: Vec<String> = (0..ROWS).map(|row| format!("m f=1 {row}")).collect();
        let answer = tokio::task::spawn_blocking(move || {
            Web::connect(address).ask("POST", "/write?u=lines&p=&precision=u", &[], body.join("\n").as_bytes())
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    boss.batch_execute("GRANT INSERT ON TAGS WHERE name LIKE 'm%' TO lines").await.unwrap();
    tokio::join!(
        timed("INSERT", insert),
        timed("prepared INSERT", prepared),
        timed("COPY", copy),
        timed("DoPut", flight),
        timed("line protocol", lines),
    );
    assert_eq!(count(&boss).await, 5 * ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_wait_however_they_ask() {
    let (node, boss) = limited(&["simple", "cursor", "copy", "point", "web"], "rows_read_per_second = 1000").await;
    let series = format!(
        "INSERT INTO samples (tag, time, value) SELECT 't0', to_timestamp_micros(v), v FROM generate_series(1, {ROWS}) AS g(v)"
    );
    boss.batch_execute(&series).await.unwrap();
    let simple = async {
        let client = connect(&node, "simple").await;
        let messages = client.simple_query("SELECT tag, time, value FROM samples").await.unwrap();
        messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count()
    };
    let cursor = async {
        let client = connect(&node, "cursor").await;
        client.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT value FROM samples").await.unwrap();
        let mut sum = 0;
        for _ in 0..3 {
            sum += client.query("FETCH 1000 FROM c", &[]).await.unwrap().len();
        }
        sum
    };
    let copy = async {
        let client = connect(&node, "copy").await;
        let out = client.copy_out("COPY samples TO STDOUT").await.unwrap();
        out.map(|row| row.unwrap()).collect::<Vec<_>>().await.len()
    };
    let point = async {
        let client = connect(&node, "point").await;
        let statement = client.prepare("SELECT value FROM samples WHERE tag = $1 AND time >= $2 LIMIT 1000").await.unwrap();
        let mut sum = 0;
        for _ in 0..3 {
            sum += client.query(&statement, &[&"t0", &std::time::UNIX_EPOCH]).await.unwrap().len();
        }
        sum
    };
    let address = node.http();
    let web = async {
        let ask =
            move || Web::connect(address).ask("POST", "/query?u=web&p=", &[("Accept", "text/csv")], b"SELECT value FROM samples");
        let answer = tokio::task::spawn_blocking(ask).await.unwrap();
        assert!(answer.whole && answer.status == 200, "{answer:?}");
        answer.text().lines().count() - 1
    };
    let all = tokio::join!(
        timed("a query", simple),
        timed("a cursor", cursor),
        timed("COPY TO", copy),
        timed("point questions", point),
        timed("HTTP", web),
    );
    assert_eq!(all, (3_000, 3_000, 3_000, 3_000, 3_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_can_be_told_to_stop() {
    let (node, boss) = limited(&["slow"], "rows_per_second = 1").await;
    // A COPY whose sender waits: cancelled, then its session ended, then its client gone.
    let state = "SELECT pid::int FROM pg_stat_activity WHERE usename = 'slow' AND wait_event = 'RowsPerSecond'";
    let waiting = async || loop {
        if let [row] = boss.query(state, &[]).await.unwrap().as_slice() {
            return row.get::<_, i32>(0);
        }
    };
    let body = || Bytes::from("t0\t2026-01-01\t1\n".repeat(100_000));
    for (how, ends) in [("pg_cancel_backend", false), ("pg_terminate_backend", true)] {
        let client = connect(&node, "slow").await;
        let copying = tokio::spawn(async move {
            let sink = client.copy_in::<_, Bytes>("COPY samples (tag, time, value) FROM STDIN").await.unwrap();
            let mut sink = std::pin::pin!(sink);
            let sent = sink.send(body()).await;
            let done = sink.finish().await;
            (sent.is_ok() && done.is_ok(), client)
        });
        let pid = waiting().await;
        assert!(boss.query_one(&format!("SELECT {how}({pid})"), &[]).await.unwrap().get::<_, bool>(0));
        let (done, client) = copying.await.unwrap();
        assert!(!done, "{how}");
        assert_eq!(client.simple_query("SELECT 1").await.is_err(), ends, "{how}");
    }
    let client = connect(&node, "slow").await;
    let insert =
        "INSERT INTO samples (tag, time, value) SELECT 't0', to_timestamp_micros(v), v FROM generate_series(1, 5000) AS g(v)";
    let token = client.cancel_token();
    let inserting = tokio::spawn(async move { client.batch_execute(insert).await });
    waiting().await;
    token.cancel_query(NoTls).await.unwrap();
    let error = inserting.await.unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    // A client that goes: it does so by itself only once its statement has ended.
    let (gone, connection) = tokio_postgres::connect(&node.config("slow"), NoTls).await.unwrap();
    let socket = tokio::spawn(connection);
    let inserting = tokio::spawn(async move { gone.batch_execute(insert).await });
    waiting().await;
    socket.abort();
    assert!(inserting.await.unwrap().is_err());
    while boss.query_one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'slow'", &[]).await.unwrap().get::<_, i64>(0) > 0
    {
    }
    assert_eq!(count(&boss).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_seen_and_ended() {
    let node = Node::plain();
    let (boss, idle) = (node.client().await, node.client().await);
    idle.batch_execute("SET application_name = 'sleeper'; SELECT 1").await.unwrap();
    let sql = "SELECT pid, state, client_addr, client_port, query, backend_start <= state_change
               FROM pg_stat_activity WHERE application_name = 'sleeper'";
    let row = boss.query_one(sql, &[]).await.unwrap();
    let words =
        (row.get::<_, &str>(1), row.get::<_, &str>(2), row.get::<_, i32>(3) > 0, row.get::<_, &str>(4), row.get::<_, bool>(5));
    assert_eq!(words, ("idle", "127.0.0.1", true, "SELECT 1", true));
    let pid: i32 = row.get(0);
    assert!(boss.query_one(&format!("SELECT pg_terminate_backend({pid})"), &[]).await.unwrap().get::<_, bool>(0));
    while !idle.is_closed() {
        tokio::task::yield_now().await;
    }
    while boss.query_opt(sql, &[]).await.unwrap().is_some() {}
    assert_eq!(boss.query_one("SELECT count(*) FROM pg_stat_activity", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_tells_what_the_page_of_metrics_tells() {
    let node = Node::plain();
    let boss = node.client().await;
    boss.batch_execute("CREATE ROLE eye LOGIN; GRANT pg_monitor TO eye; CREATE ROLE blind LOGIN").await.unwrap();
    let eye = connect(&node, "eye").await;
    let rows = eye.query("SELECT name, labels, value FROM meridian.metrics", &[]).await.unwrap();
    let page = Web::connect(node.http()).ask("GET", "/metrics", &[], b"").text();
    let told: std::collections::BTreeSet<String> = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    let shown: std::collections::BTreeSet<String> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next().map(str::to_owned))
        .collect();
    assert_eq!(told, shown);
    let one = "SELECT value FROM meridian.metrics WHERE name = 'meridian_connections' AND labels = '{\"door\":\"pg\"}'";
    assert_eq!(eye.query_one(one, &[]).await.unwrap().get::<_, f64>(0), 2.0);
    let cpu = "SELECT value > 0 FROM meridian.metrics WHERE name = 'meridian_process_cpu_seconds_total'";
    assert!(eye.query_one(cpu, &[]).await.unwrap().get::<_, bool>(0));
    let refused = connect(&node, "blind").await.query("SELECT * FROM meridian.metrics", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code().to_owned()).as_deref(), Some("42501"));
}
