//! Statements over the PostgreSQL door: simple, extended, portals, errors, cancelling, stopping.

use crate::node::{Node, samples, samples_schema, settings};
use crate::wire::{Raw, field, kinds, message, sqlstate};
use futures::TryStreamExt;
use std::time::{Duration, SystemTime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use types::Kind;

/// A query that does not end by itself within the patience of a test.
const ENDLESS: &str =
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 1000000000) SELECT count(*) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_statements_answers_each() {
    let node = Node::plain();
    let client = node.client().await;
    let messages = client.simple_query("SELECT 1 AS a, NULL AS b; SELECT 'x;y' AS c;;").await.unwrap();
    let rows: Vec<(Option<String>, usize)> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0).map(str::to_owned), row.len())),
            _ => None,
        })
        .collect();
    assert_eq!(rows, [(Some("1".to_owned()), 2), (Some("x;y".to_owned()), 1)]);
    assert!(client.simple_query("  -- nothing\n").await.unwrap().len() <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_sqlstate_and_place() {
    let node = Node::plain();
    let client = node.client().await;
    for (sql, state) in [
        ("SELEC 1", SqlState::SYNTAX_ERROR),
        ("SELECT nothing", SqlState::UNDEFINED_COLUMN),
        ("SELECT * FROM nowhere", SqlState::UNDEFINED_TABLE),
        ("SELECT 1 FROM samples FOR SYSTEM_TIME AS OF now()", SqlState::FEATURE_NOT_SUPPORTED),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&state), "{sql}: {error:?}");
        let error = client.prepare(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&state), "prepared {sql}: {error:?}");
    }
    // The place is counted in the whole text, in characters.
    let error = client.simple_query("SELECT '温度'; SELECT )").await.unwrap_err();
    let position = error.as_db_error().unwrap().position().cloned();
    assert_eq!(position, Some(tokio_postgres::error::ErrorPosition::Original(21)), "{error:?}");
    // And the connection goes on.
    assert_eq!(client.query_one("SELECT 7::bigint", &[]).await.unwrap().get::<_, i64>(0), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_columns_have_their_types() {
    let node = Node::plain();
    let client = node.client().await;
    let statement = client
        .prepare_typed(
            "SELECT $1 AS a, $2 AS b, length($3) AS c, $4 AS d",
            &[
                tokio_postgres::types::Type::INT8,
                tokio_postgres::types::Type::FLOAT8,
                tokio_postgres::types::Type::TEXT,
                tokio_postgres::types::Type::BOOL,
            ],
        )
        .await
        .unwrap();
    let types: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!(types, ["int8", "float8", "int4", "bool"]);
    let row = client.query_one(&statement, &[&i64::MIN, &f64::NAN, &"温度", &true]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), i64::MIN);
    assert!(row.get::<_, f64>(1).is_nan());
    assert_eq!((row.get::<_, i32>(2), row.get::<_, bool>(3)), (2, true));
    let row = client.query_one(&statement, &[&None::<i64>, &None::<f64>, &None::<&str>, &None::<bool>]).await.unwrap();
    assert_eq!(row.get::<_, Option<i64>>(0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn point_statements_read_what_flight_wrote() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::I32]);
    let flight = node.flight().await;
    let mut putter = flight.put(&["samples"], samples_schema()).await.unwrap();
    putter.send(1, &samples(&[(0, 1_000_000, 1.5), (0, 2_000_000, -0.0), (1, 1_000_000, 7.0)])).await.unwrap();
    assert_eq!(putter.finish().await.unwrap().len(), 1);
    let client = node.client().await;
    let at = client
        .prepare("SELECT time, value, quality FROM samples WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1")
        .await
        .unwrap();
    let types: Vec<&str> = at.params().iter().map(tokio_postgres::types::Type::name).collect();
    assert_eq!(types, ["text", "timestamptz"]);
    let moment = |us: u64| SystemTime::UNIX_EPOCH + Duration::from_micros(us);
    for _ in 0..3 {
        let row = client.query_one(&at, &[&"t0", &moment(1_500_000)]).await.unwrap();
        assert_eq!((row.get::<_, SystemTime>(0), row.get::<_, f64>(1), row.get::<_, i16>(2)), (moment(1_000_000), 1.5, 192));
        let row = client.query_one(&at, &[&"t0", &moment(9_000_000)]).await.unwrap();
        assert!(row.get::<_, f64>(1) == 0.0 && row.get::<_, f64>(1).is_sign_negative());
        assert!(client.query_opt(&at, &[&"t0", &moment(1)]).await.unwrap().is_none());
        assert!(client.query_opt(&at, &[&"nobody", &moment(9_000_000)]).await.unwrap().is_none());
    }
    let latest = client.prepare("SELECT value FROM latest WHERE tag = $1").await.unwrap();
    assert_eq!(client.query_one(&latest, &[&"t1"]).await.unwrap().get::<_, f64>(0), 7.0);
    assert!(node.server().counts().point_statements >= 13);
    // The same as text, in the session's time zone.
    client.batch_execute("SET timezone = 'Asia/Shanghai'").await.unwrap();
    let mut raw = Raw::log_in(node.pg());
    let parse =
        message(b'P', b"\0SELECT time, value FROM samples WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1\0\0\0");
    let bind = message(b'B', b"\0\0\0\0\0\x02\0\0\0\x02t0\0\0\0\x191970-01-01 08:00:01.25+08\0\0");
    let execute = message(b'E', b"\0\0\0\0\0");
    raw.send(&[parse, bind, execute, message(b'S', b"")].concat());
    let messages = raw.until(b'Z');
    assert_eq!(kinds(&messages), "12DCZ", "{:?}", sqlstate(&messages));
    assert_eq!(messages[2].1, b"\0\x02\0\0\0\x161970-01-01 00:00:01+00\0\0\0\x031.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_portions() {
    let node = Node::plain();
    let mut client = node.client().await;
    let transaction = client.transaction().await.unwrap();
    let rows = "SELECT n FROM (VALUES (1), (2), (3), (4), (5), (6), (7)) AS t(n) ORDER BY n";
    let portal = transaction.bind(rows, &[]).await.unwrap();
    let mut portions = Vec::new();
    for _ in 0..4 {
        let part = transaction.query_portal(&portal, 3).await.unwrap();
        portions.push(part.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>());
    }
    assert_eq!(portions, [vec![1, 2, 3], vec![4, 5, 6], vec![7], vec![]]);
    // A portal left in the middle goes with its transaction.
    let _half = transaction.query_portal(&transaction.bind(rows, &[]).await.unwrap(), 1).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_together_are_answered_in_order() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    let one = [message(b'P', b"s\0SELECT $1::int8\0\0\0"), message(b'S', b"")].concat();
    let run = [
        message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x0242\0\0"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ]
    .concat();
    let broken = [message(b'B', b"\0nobody\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    raw.send(&[&one[..], &run, &broken, &run].concat());
    let mut seen = String::new();
    for _ in 0..4 {
        let messages = raw.until(b'Z');
        seen.push_str(&kinds(&messages));
        seen.push(' ');
    }
    assert_eq!(seen, "1Z 2TDCZ EZ 2TDCZ ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_takes_nothing_but_its_end() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    let state = |messages: &[(u8, Vec<u8>)]| messages.last().map(|(_, body)| body.clone());
    for (sql, error, block) in [
        ("BEGIN", None, b"T"),
        ("SELECT 1", None, b"T"),
        ("SELECT nothing", Some("42703"), b"E"),
        ("SELECT 1", Some("25P02"), b"E"),
        ("ROLLBACK", None, b"I"),
        ("SELECT 1", None, b"I"),
    ] {
        raw.query(sql);
        let messages = raw.until(b'Z');
        assert_eq!(sqlstate(&messages).as_deref(), error, "{sql}");
        assert_eq!(state(&messages).as_deref(), Some(&block[..]), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_clients_watch_are_told() {
    let node = Node::plain();
    let mut raw = Raw::connect(node.pg());
    raw.startup(&[
        ("user", "x"),
        ("application_name", "tester"),
        ("options", "-c statement_timeout=1234"),
        ("TimeZone", "Asia/Shanghai"),
    ]);
    let messages = raw.until(b'Z');
    let told: Vec<String> = messages
        .iter()
        .filter(|(kind, _)| *kind == b'S')
        .map(|(_, body)| String::from_utf8_lossy(body).trim_end_matches('\0').replace('\0', "="))
        .collect();
    for expected in ["client_encoding=UTF8", "integer_datetimes=on", "application_name=tester", "TimeZone=Asia/Shanghai"] {
        assert!(told.iter().any(|told| told == expected), "{expected} is not among {told:?}");
    }
    raw.query("SHOW statement_timeout");
    let messages = raw.until(b'Z');
    assert_eq!(kinds(&messages), "TDCZ");
    assert_eq!(messages[1].1, b"\0\x01\0\0\0\x061234ms");
    raw.query("SET application_name = 'other'");
    assert_eq!(kinds(&raw.until(b'Z')), "SCZ");
    let mut raw = Raw::connect(node.pg());
    raw.startup(&[("user", "x"), ("no_such_setting", "1")]);
    assert_eq!(sqlstate(&raw.until(b'E')).as_deref(), Some("42704"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_ends_a_statement_at_once() {
    let node = Node::plain();
    let client = node.client().await;
    let token = client.cancel_token();
    // The session's first plan takes a while in a debug build: as many requests would be on their way when the next one runs.
    client.simple_query("SELECT 1").await.unwrap();
    let running = tokio::spawn(async move {
        let error = client.simple_query(ENDLESS).await.unwrap_err();
        (client, error)
    });
    // Asked again until it is heard: the statement may not have begun yet.
    while !running.is_finished() {
        token.cancel_query(NoTls).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (client, error) = running.await.unwrap();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    // A cancel that comes between statements ends nothing, and the session; some may come late.
    token.cancel_query(NoTls).await.unwrap();
    let answered = loop {
        match client.query_one("SELECT 1::bigint", &[]).await {
            Ok(row) => break row.get::<_, i64>(0),
            Err(late) => assert_eq!(late.code(), Some(&SqlState::QUERY_CANCELED), "{late:?}"),
        }
    };
    assert_eq!(answered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_not_run_for_longer_than_its_timeout() {
    let node = Node::plain();
    let client = node.client().await;
    client.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
    let error = client.simple_query(ENDLESS).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert!(error.as_db_error().unwrap().message().contains("timeout"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_stream_and_a_client_that_goes_away_ends_them() {
    let node = Node::plain();
    // Some 10^8 rows: far more than anybody would hold.
    let ten = "(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9))";
    let tens = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| format!("{ten} AS {name}(n)")).join(", ");
    let mut raw = Raw::log_in(node.pg());
    raw.query(&format!("SELECT a.n FROM {tens}"));
    assert_eq!(raw.next().unwrap().0, b'T');
    for _ in 0..10_000 {
        assert_eq!(raw.next().unwrap().0, b'D');
    }
    drop(raw);
    // The node notices and the statement's connection goes.
    while node.server().counts().pg_connections > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_work_side_by_side() {
    let node = Node::plain();
    let tasks = (0..20_i64).map(|number| {
        let config = node.config("meridian");
        tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
            tokio::spawn(connection);
            let statement = client.prepare_typed("SELECT $1 + 1", &[tokio_postgres::types::Type::INT8]).await.unwrap();
            for round in 0..20_i64 {
                let row = client.query_one(&statement, &[&(number * 1000 + round)]).await.unwrap();
                assert_eq!(row.get::<_, i64>(0), number * 1000 + round + 1);
            }
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    assert_eq!(node.server().counts().pg_accepted, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_so() {
    let node = Node::start(server::Settings { connections_max: 2, ..settings() });
    let (_one, _two) = (node.client().await, node.client().await);
    let error = tokio_postgres::connect(&node.config("meridian"), NoTls).await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{error:?}");
    assert_eq!(node.server().counts().pg_refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_where_that_is_wanted() {
    let node = Node::start(server::Settings { idle_max: Some(Duration::from_millis(20)), ..settings() });
    let mut raw = Raw::log_in(node.pg());
    let (kind, body) = raw.next().unwrap();
    assert_eq!((kind, field(&body, b'C').as_deref()), (b'E', Some("57P05")));
    assert!(raw.next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_its_transaction_idle_is_ended_where_that_is_wanted() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    raw.query("SET idle_in_transaction_session_timeout = '20ms'");
    raw.until(b'Z');
    // Outside of a block it may wait: this is answered however long the one before took to be.
    raw.query("SELECT pg_sleep(0.05)");
    raw.until(b'Z');
    raw.query("BEGIN");
    raw.until(b'Z');
    let (kind, body) = raw.next().unwrap();
    assert_eq!((kind, field(&body, b'C').as_deref()), (b'E', Some("25P03")));
    assert!(raw.next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_tells_idle_clients_and_cancels_what_will_not_end() {
    let mut node = Node::plain();
    let mut idle = Raw::log_in(node.pg());
    let mut busy = Raw::log_in(node.pg());
    busy.query(ENDLESS);
    let server = node.server.take().unwrap();
    while server.counts().other_statements == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::spawn_blocking(move || server.stop()).await.unwrap().unwrap();
    assert_eq!(sqlstate(&idle.until(b'E')).as_deref(), Some("57P01"));
    assert_eq!(sqlstate(&busy.until(b'E')).as_deref(), Some("57014"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_have_their_limit_and_names() {
    let node = Node::start(server::Settings { statements_max: 3, ..settings() });
    let client = node.client().await;
    let mut kept = Vec::new();
    for number in 0..3 {
        kept.push(client.prepare(&format!("SELECT {number}")).await.unwrap());
    }
    let error = client.prepare("SELECT 99").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CONFIGURATION_LIMIT_EXCEEDED));
    kept.clear();
    let rows: Vec<_> = client.query_raw("SELECT 5::bigint", [0_i64; 0]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 1);
    let mut raw = Raw::log_in(node.pg());
    let parse = message(b'P', b"a\0SELECT 1\0\0\0");
    raw.send(&[&parse[..], &parse, &message(b'S', b"")].concat());
    assert_eq!(sqlstate(&raw.until(b'Z')).as_deref(), Some("42P05"));
    raw.send(&[message(b'C', b"Sa\0"), message(b'D', b"Sa\0"), message(b'S', b"")].concat());
    let messages = raw.until(b'Z');
    assert_eq!((kinds(&messages).as_str(), sqlstate(&messages).as_deref()), ("3EZ", Some("26000")));
}
