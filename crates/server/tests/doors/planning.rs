//! Statements that take long to plan, or nest deeply, over the PostgreSQL door: they end when they are told to, hold up nobody,
//! and never end the server.

use crate::node::Node;
use crate::wire::{Raw, field, message, sqlstate};
use std::time::{Duration, SystemTime};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use types::Kind;

fn joined(count: usize, between: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(between)
}

/// A statement that takes long to plan: each table of WITH is planned for both of its uses. With a UNION that is when it
/// is prepared, else when it is executed. The text is long, so that it is one of few that are planned at once.
fn endless(first: &str) -> String {
    let tables = joined(10, ", ", |at| format!("c{} AS (SELECT x.a FROM c{at} x, c{at} y)", at + 1));
    format!("WITH c0 AS ({first}), {tables} SELECT count(*) FROM c10 /*{}*/", "-".repeat(5_000))
}

const AT_PARSE: &str = "SELECT 1 AS a UNION ALL SELECT 2";
const AT_EXECUTE: &str = "SELECT 1 AS a";

/// Waits until so many of those statements run.
async fn running(client: &tokio_postgres::Client, count: i64) {
    loop {
        let seen = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH c0%'";
        let row = client.query_one(seen, &[]).await.unwrap();
        if row.get::<_, i64>(0) == count {
            return;
        }
    }
}

/// The error of a statement that is told to end once it has begun, until it does: a request that comes between two parts of it
/// meets nothing.
async fn cancelled<T>(
    client: &tokio_postgres::Client,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    begun: impl Future<Output = ()>,
) -> tokio_postgres::Error {
    let requests = async {
        begun.await;
        loop {
            client.cancel_token().cancel_query(NoTls).await.unwrap();
        }
    };
    tokio::select! {
        done = statement => done.err().unwrap(),
        () = requests => unreachable!("they do not end"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_can_be_cancelled() {
    let node = Node::plain();
    let (client, watcher) = (node.client().await, node.client().await);
    for first in [AT_PARSE, AT_EXECUTE] {
        for extended in [false, true] {
            let sql = endless(first);
            let planned = async {
                if extended { client.query(&sql, &[]).await.map(|_| ()) } else { client.simple_query(&sql).await.map(|_| ()) }
            };
            let begun = running(&watcher, 1);
            let error = cancelled(&client, planned, begun).await;
            assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{first}, {extended}: {error:?}");
            assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to user request");
        }
    }
    // The last request may come so late that it meets this one.
    let answer = loop {
        match client.query_one("SELECT 7::bigint", &[]).await {
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(answer.get::<_, i64>(0), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_ends_with_its_time_and_with_its_connection() {
    let node = Node::plain();
    let client = node.client().await;
    for first in [AT_PARSE, AT_EXECUTE] {
        client.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
        let error = client.simple_query(&endless(first)).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to statement timeout");
        let error = client.query(&endless(first), &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}");
        client.batch_execute("SET statement_timeout = 0").await.unwrap();
        let mut raw = Raw::log_in(node.pg());
        raw.query(&endless(first));
        running(&client, 1).await;
        drop(raw);
        running(&client, 0).await;
    }
}

/// More of them at once than there are threads for queries, and than are planned at once.
#[tokio::test(flavor = "multi_thread")]
async fn planning_holds_up_nobody() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let client = node.client().await;
    client.simple_query("INSERT INTO samples VALUES ('t0', '2026-01-01', 1.5)").await.unwrap();
    let newest = client.prepare("SELECT value FROM latest WHERE tag = $1").await.unwrap();
    let mut busy: Vec<Raw> = (0..6).map(|_| Raw::log_in(node.pg())).collect();
    busy.iter_mut().for_each(|raw| raw.query(&endless(AT_EXECUTE)));
    running(&client, 6).await;
    for round in 0..3_i64 {
        // A point question, a planned one, a login, a health check of a balancer, and a cancel request.
        assert_eq!(client.query_one(&newest, &[&"t0"]).await.unwrap().get::<_, f64>(0), 1.5);
        let sql = format!("SELECT count(*) + {round} FROM samples JOIN tags ON tags.name = samples.tag");
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), 1 + round);
        let other = node.client().await;
        assert_eq!(other.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1);
        let error = cancelled(&other, other.simple_query("SELECT pg_sleep(1000)"), std::future::ready(())).await;
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    }
    // None of the long ones has ended meanwhile; all of them do when their clients go.
    running(&client, 6).await;
    drop(busy);
    running(&client, 0).await;
}

/// Numbers from a seed: the same statements for the same seed.
struct Seed(u64);

impl Seed {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most
    }

    /// A length: mostly a few, now and then very many.
    fn length(&mut self) -> usize {
        [3, 20, 90, 400, 3_000, 30_000][self.below(6)]
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return ["value", "1", "2.5", "quality", "-3"][self.below(5)].to_owned();
        }
        let inner = self.expression(depth - 1);
        let long = self.length();
        match self.below(14) {
            0 => format!("{}{inner}{}", "(".repeat(long), ")".repeat(long)),
            1 => joined(long, " + ", |_| "value".to_owned()) + &format!(" - ({inner})"),
            2 => format!("CASE {} ELSE {inner} END", joined(long, " ", |at| format!("WHEN value = {at} THEN {at}"))),
            3 => format!("{}{inner}{}", "abs(".repeat(long), ")".repeat(long)),
            4 => format!("CASE WHEN {} THEN {inner} END", joined(long, " OR ", |at| format!("value = {at}"))),
            5 => format!("CASE WHEN value NOT IN ({}) THEN {inner} END", joined(long, ", ", |at| at.to_string())),
            6 => format!("({inner}){}", "::text::float8".repeat(long)),
            7 => format!("CASE WHEN {}true THEN {inner} END", "NOT ".repeat(long)),
            8 => format!("{}({inner})", "- ".repeat(long)),
            9 => format!("length({}) + ({inner})", joined(long, " || ", |_| "tag".to_owned())),
            10 => format!("({}{inner}{})", "(SELECT ".repeat(long), ")".repeat(long)),
            11 => format!("coalesce({}, {inner})", joined(long, ", ", |_| "NULL".to_owned())),
            12 => format!("{}{inner}{}", "CASE WHEN value > 1 THEN 1 ELSE ".repeat(long), " END".repeat(long)),
            _ => format!("({inner}) * {}", joined(long, " * ", |_| "value".to_owned())),
        }
    }

    fn statement(&mut self) -> String {
        let depth = 1 + self.below(3);
        let expression = self.expression(depth);
        let long = self.length().min(3_000);
        match self.below(7) {
            0 => format!("SELECT count(*) FROM samples WHERE {expression} > 1"),
            1 => format!(
                "SELECT tag FROM samples WHERE {} AND {expression} = 0",
                joined(long, " AND ", |at| format!("value <> {at}"))
            ),
            2 => joined(long, " UNION ALL ", |_| "SELECT 1".to_owned()) + &format!(" UNION ALL SELECT {expression} FROM samples"),
            3 => format!("{}SELECT {expression} AS a FROM samples{}", "SELECT * FROM (".repeat(long), ") x".repeat(long)),
            4 => format!("SELECT {}, {expression} FROM samples", joined(long, ", ", |at| format!("value + {at}"))),
            5 => format!("SELECT sum({expression}) FROM samples GROUP BY {expression} ORDER BY {expression}"),
            _ => format!("SELECT {expression} FROM samples"),
        }
    }
}

/// Whatever is asked is answered or refused, and the server goes on.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_ends_the_server() {
    let seed = match std::env::var("MERIDIAN_PLANNING_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed,
        None => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
    };
    println!("MERIDIAN_PLANNING_SEED={seed}");
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let client = node.client().await;
    client.simple_query("INSERT INTO samples VALUES ('t0', '2026-01-01', 1.5)").await.unwrap();
    let mut raw = Raw::log_in(node.pg());
    raw.query("SET statement_timeout = '2s'");
    raw.until(b'Z');
    let (mut seed, began) = (Seed(seed), SystemTime::now());
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 60 && began.elapsed().unwrap() < Duration::from_secs(60) {
        let sql = seed.statement();
        let shown: String = sql.chars().take(200).collect();
        let parse = [&message(b'P', format!("\0{sql}\0\0\0").as_bytes())[..], &message(b'S', b"")].concat();
        for prepared in [true, false] {
            if prepared {
                raw.send(&parse)
            } else {
                raw.query(&sql)
            }
            let messages = raw.until(b'Z');
            assert_eq!(messages.last().map(|last| last.0), Some(b'Z'), "the server goes on after {shown}");
            match sqlstate(&messages).as_deref() {
                None => answered += 1,
                // Not what it means is wrong, but what it takes; or what it computes. (The parser tells a table in parentheses that
                // nests too deeply as one that is none: 42601.)
                Some(
                    "54001" | "42601" | "57014" | "22003" | "22012" | "42883" | "42804" | "0A000" | "21000" | "42703" | "42803"
                    | "22P02",
                ) => refused += 1,
                Some(other) => {
                    let told = messages.iter().find(|(kind, _)| *kind == b'E').and_then(|(_, body)| field(body, b'M'));
                    panic!("{other} {told:?}: {shown}");
                }
            }
        }
    }
    println!("{answered} answered, {refused} refused");
    assert_eq!(client.query_one("SELECT 7::bigint", &[]).await.unwrap().get::<_, i64>(0), 7);
}
