//! pg_terminate_backend and pg_cancel_backend of clients that never pause: they send without end, or do not read.

use crate::flight_sql;
use crate::node::{Node, settings};
use crate::web::Web;
use crate::wire::{Raw, field, message};
use std::io::Write;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio_postgres::Client;
use types::Kind;

/// A client that was logged in, and the number of its session.
fn log_in(node: &Node) -> (Raw, i32) {
    let mut raw = Raw::log_in(node.pg());
    raw.query("SELECT pg_backend_pid()");
    let row = raw.until(b'Z').into_iter().find(|(kind, _)| *kind == b'D').unwrap().1;
    // A count of columns and a length stand before the text.
    (raw, String::from_utf8_lossy(&row[6..]).parse().unwrap())
}

/// Sends the same again and again, until the connection ends.
fn sends_for_ever(raw: &Raw, piece: Vec<u8>) -> JoinHandle<()> {
    let mut stream = raw.stream.try_clone().unwrap();
    std::thread::spawn(move || while stream.write_all(&piece).is_ok() {})
}

/// Reads all that comes until the connection ends; tells the SQLSTATE of each error, and "" of the first statement that is done
/// after one.
fn reads_for_ever(raw: &Raw) -> mpsc::Receiver<String> {
    let mut raw = Raw { stream: raw.stream.try_clone().unwrap() };
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut failed = false;
        while let Some((kind, body)) = raw.next() {
            let told = match kind {
                b'E' => field(&body, b'C').unwrap(),
                b'C' if failed => String::new(),
                _ => continue,
            };
            failed = kind == b'E';
            if sender.send(told).is_err() {
                break;
            }
        }
    });
    told
}

async fn signal(boss: &Client, how: &str, pid: i32) -> bool {
    boss.query_one(&format!("SELECT {how}({pid})"), &[]).await.unwrap().get(0)
}

/// Ends a session, and waits until it is gone.
async fn terminate(boss: &Client, pid: i32, what: &str) {
    assert!(signal(boss, "pg_terminate_backend", pid).await, "{what}");
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    while boss.query_one(&sessions, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
}

fn prepared(sql: &str) -> Vec<u8> {
    message(b'P', format!("p\0{sql}\0\0\0").as_bytes())
}

fn executed() -> Vec<u8> {
    let bind = message(b'B', b"\0p\0\0\0\0\0\0\0");
    [bind, message(b'E', b"\0\0\0\0\0")].concat()
}

fn a_node() -> Node {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    node
}

const COPY: &str = "COPY samples (tag, time, value) FROM STDIN";

/// Begins a COPY that commits as it goes, so that it could go on for ever.
fn copies(raw: &mut Raw) {
    raw.query("SET meridian.copy_batch_rows = 10000");
    raw.until(b'Z');
    raw.query(COPY);
    raw.until(b'G');
}

fn copied() -> Vec<u8> {
    message(b'd', "t0\t2026-01-01\t1\n".repeat(1_000).as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_without_end_is_ended() {
    let node = a_node();
    let boss = node.client().await;
    let simple = message(b'Q', b"SELECT count(*) FROM tags\0");
    let sync = message(b'S', b"");
    let point = "SELECT value FROM latest WHERE tag = 't0'";
    for (what, first, again) in [
        ("simple queries", Vec::new(), simple.repeat(100)),
        ("point statements", prepared(point), [executed(), sync.clone()].concat().repeat(100)),
        ("point statements without Sync", prepared(point), executed().repeat(100)),
        ("statements", prepared("SELECT count(*) FROM tags"), [executed(), sync].concat().repeat(100)),
        // An error, and nothing that would end what is skipped.
        ("what is skipped", message(b'E', b"nothing\0\0\0\0\0"), executed().repeat(100)),
    ] {
        let (mut raw, pid) = log_in(&node);
        raw.send(&first);
        let told = reads_for_ever(&raw);
        let sending = sends_for_ever(&raw, again);
        terminate(&boss, pid, what).await;
        sending.join().unwrap();
        // The word may be lost, since the server does not read all that was sent.
        let told: Vec<String> = told.iter().filter(|state| state != "34000").collect();
        assert!(told.is_empty() || told == ["57P01"], "{what}: {told:?}");
    }
    let (mut raw, pid) = log_in(&node);
    copies(&mut raw);
    let told = reads_for_ever(&raw);
    let sending = sends_for_ever(&raw, copied());
    terminate(&boss, pid, "COPY").await;
    sending.join().unwrap();
    let told: Vec<String> = told.iter().collect();
    assert!(told.is_empty() || told == ["57P01"], "COPY: {told:?}");
    assert_eq!(boss.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_ended() {
    let node = a_node();
    let boss = node.client().await;
    let large = "SELECT i, repeat('x', 190) FROM generate_series(1, 100000000) AS g(i)";
    let extended = [prepared(large), executed(), message(b'S', b"")].concat();
    let lines = message(b'Q', format!("COPY ({large}) TO STDOUT\0").as_bytes());
    for (what, request, row) in [
        ("a query", message(b'Q', format!("{large}\0").as_bytes()), b'D'),
        ("a portal", extended, b'D'),
        ("COPY TO", lines, b'd'),
    ] {
        let (mut raw, pid) = log_in(&node);
        raw.send(&request);
        // It has begun, and nothing more is read: no socket has room for 20 GB.
        raw.until(row);
        let mut room = vec![0; 1 << 20];
        while raw.stream.peek(&mut room).unwrap() < 1 << 16 {}
        terminate(&boss, pid, what).await;
        // What was on its way comes, and then the end.
        while raw.next().is_some() {}
    }
    // One that is cancelled is told so when it reads on, and is served again.
    let (mut raw, pid) = log_in(&node);
    raw.query(large);
    raw.until(b'D');
    assert!(signal(&boss, "pg_cancel_backend", pid).await);
    loop {
        match raw.next().unwrap() {
            (b'D', _) => {}
            (b'E', body) => break assert_eq!(field(&body, b'C').as_deref(), Some("57014")),
            (kind, _) => panic!("{}", kind as char),
        }
    }
    assert_eq!(raw.next().unwrap().0, b'Z');
    raw.query("SELECT 1");
    assert_eq!(crate::wire::kinds(&raw.until(b'Z')), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_without_end_is_cancelled() {
    let node = a_node();
    let boss = node.client().await;
    let slow = "SELECT count(*) FROM generate_series(1, 100000)";
    let simple = message(b'Q', format!("{slow}\0").as_bytes());
    let portal = [executed(), message(b'S', b"")].concat();
    for (what, first, again) in [("simple queries", Vec::new(), simple), ("statements", prepared(slow), portal)] {
        let (mut raw, pid) = log_in(&node);
        raw.send(&first);
        let told = reads_for_ever(&raw);
        let sending = sends_for_ever(&raw, again.repeat(10));
        // What is asked for may just have ended: the next one is asked for then.
        let state = loop {
            signal(&boss, "pg_cancel_backend", pid).await;
            if let Ok(state) = told.try_recv() {
                break state;
            }
        };
        assert_eq!(state, "57014", "{what}");
        // The next one may have been cancelled too; then they go on.
        while told.recv().unwrap() == "57014" {}
        terminate(&boss, pid, what).await;
        sending.join().unwrap();
    }
    // A COPY whose client sends for ever, and one whose client waits in the middle of it.
    for sends in [true, false] {
        let (mut raw, pid) = log_in(&node);
        copies(&mut raw);
        raw.send(&copied());
        let told = reads_for_ever(&raw);
        let sending = sends.then(|| sends_for_ever(&raw, copied()));
        assert!(signal(&boss, "pg_cancel_backend", pid).await);
        assert_eq!(told.recv().unwrap(), "57014");
        if sends {
            // What it still sends of the COPY is passed over.
            terminate(&boss, pid, "COPY").await;
        } else {
            raw.query("SELECT 1");
            assert_eq!(told.recv().unwrap(), "", "it is served again");
            terminate(&boss, pid, "COPY").await;
        }
        sending.into_iter().for_each(|sending| sending.join().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_that_does_not_read_is_cancelled_and_ended() {
    let node = a_node();
    let boss = node.client().await;
    let large = "SELECT i, repeat('x', 190) FROM generate_series(1, 100000000) AS g(i)";
    let running =
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()";
    for how in ["pg_cancel_backend", "pg_terminate_backend"] {
        let mut web = Web::connect(node.http());
        web.send("POST", "/query?format=csv", &[], large.as_bytes());
        assert_eq!(web.head().unwrap().0, 200);
        // As much as its socket takes: more waits at the node.
        let mut room = vec![0; 1 << 20];
        while web.stream.peek(&mut room).unwrap() < 1 << 16 {}
        let pid: i32 = boss.query_one(running, &[]).await.unwrap().get(0);
        assert!(signal(&boss, how, pid).await);
        while !boss.query(running, &[]).await.unwrap().is_empty() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_flight_sql_end_when_they_are_ended_and_with_their_connections() {
    let node = Node::start(server::Settings { login_max: std::time::Duration::from_secs(2), ..settings() });
    let boss = node.client().await;
    let sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'flight sql'";
    let pid = "SELECT pg_backend_pid()::bigint";
    let mut client = flight_sql::client(&node).await;
    let first = flight_sql::number(&mut client, pid).await;
    terminate(&boss, i32::try_from(first).unwrap(), "Flight SQL").await;
    // The next call is another session's.
    assert_ne!(flight_sql::number(&mut client, pid).await, first);
    drop(client);
    while !boss.query(sessions, &[]).await.unwrap().is_empty() {}
    // One that a token names outlives a connection for as long as its client may take to come again.
    let mut client = flight_sql::client(&node).await;
    client.handshake("meridian", "").await.unwrap();
    let first = flight_sql::number(&mut client, pid).await;
    let token = client.token().unwrap().clone();
    drop(client);
    let mut again = flight_sql::client(&node).await;
    again.set_token(token);
    assert_eq!(flight_sql::number(&mut again, pid).await, first);
    drop(again);
    while !boss.query(sessions, &[]).await.unwrap().is_empty() {}
}
