//! SQL over HTTP: forms of answers, parameters, settings, errors before and after the first row, many requests on one
//! connection.

use crate::node::{Node, samples, samples_schema, settings};
use crate::web::Web;
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use types::Kind;

const CSV: (&str, &str) = ("Accept", "text/csv");
const LINES: (&str, &str) = ("Accept", "application/x-ndjson");
const ARROW: (&str, &str) = ("Accept", "application/vnd.apache.arrow.stream");

fn ask(node: &Node, sql: &str, headers: &[(&str, &str)]) -> crate::web::Answer {
    Web::connect(node.http()).ask("POST", "/query", headers, sql.as_bytes())
}

#[test]
fn an_answer_comes_in_the_form_that_was_asked_for() {
    let node = Node::plain();
    let sql = "SELECT * FROM (VALUES (9007199254740993::bigint, 'a,\"b\"', true, 'NaN'::float8, '2026-01-02 03:04:05.000006Z'::timestamptz),
               (NULL, '', NULL, 0.1, NULL)) AS t(n, s, b, f, at)";
    let answer = ask(&node, sql, &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert!(answer.text().contains("9007199254740993"), "all digits: {}", answer.text());
    let found = answer.json();
    assert_eq!(found["columns"][0], json!({"name": "n", "type": "bigint"}));
    assert_eq!(found["columns"][4], json!({"name": "at", "type": "timestamptz"}));
    assert_eq!(found["rows"][0], json!([9_007_199_254_740_993_i64, "a,\"b\"", true, "NaN", "2026-01-02T03:04:05.000006Z"]));
    assert_eq!(found["rows"][1], json!([null, "", null, 0.1, null]));
    assert_eq!((&found["row_count"], &found["command"]), (&json!(2), &json!("SELECT 2")));

    let answer = ask(&node, sql, &[LINES]);
    let lines: Vec<serde_json::Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1], json!({"n": null, "s": "", "b": null, "f": 0.1, "at": null}));
    assert_eq!(lines.len(), 2);

    let answer = ask(&node, sql, &[CSV]);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        answer.text(),
        "n,s,b,f,at\r\n9007199254740993,\"a,\"\"b\"\"\",true,NaN,2026-01-02T03:04:05.000006Z\r\n,\"\",,0.1,\r\n"
    );

    let answer = ask(&node, sql, &[ARROW]);
    let reader = arrow::ipc::reader::StreamReader::try_new(&answer.body[..], None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batches[0].column(0));
    assert_eq!(numbers.value(0), 9_007_199_254_740_993);

    let answer = ask(&node, "SELECT 1 AS a, 2 AS a", &[LINES]);
    assert_eq!((answer.status, answer.sqlstate().as_str()), (400, "42701"));
    let answer = ask(&node, "SELECT 1", &[("Accept", "text/html")]);
    assert_eq!(answer.status, 406);
}

#[test]
fn parameters_and_settings_are_those_of_a_session() {
    let node = Node::plain();
    let json = [("Content-Type", "application/json")];
    let body = r#"{"sql": "SELECT $1::bigint + 1, $2::text, $3::timestamptz, $4::bigint[], $5::float8", "params": ["41", "a'b", "2026-01-01", [1, null], null]}"#;
    let mut web = Web::connect(node.http());
    let answer = web.ask("POST", "/query?timezone=Asia/Shanghai", &json, body.as_bytes());
    assert_eq!(answer.json()["rows"][0], json!([42, "a'b", "2026-01-01T00:00:00.000000+08:00", [1, null], null]));
    // A setting holds for its request alone, on the same connection too.
    let answer = web.ask("POST", "/query", &[], b"SHOW timezone");
    assert_eq!(answer.json()["rows"], json!([["UTC"]]));
    let answer = web.ask("POST", "/query", &[("Meridian-Read-Consistency", "any")], b"SHOW read_consistency");
    assert_eq!(answer.json()["rows"], json!([["any"]]));
    let answer = web.ask("POST", "/query?timezone=Mars/X", &[], b"SELECT 1");
    assert_eq!((answer.status, answer.sqlstate().as_str()), (400, "22023"));
    for (body, state) in [
        (r#"{"sql": "SELECT $1::bigint", "params": ["x"]}"#, "22P02"),
        (r#"{"sql": "SELECT $1::bigint", "params": []}"#, "08P01"),
        (r#"{"sql": "SELECT 1; SELECT $1::bigint", "params": [1]}"#, "42601"),
        (r#"{"sql": "SELECT $1::bigint", "params": [1e300]}"#, "22003"),
        (r#"{"sql": 5}"#, "22P02"),
        ("{", "22P02"),
    ] {
        let answer = web.ask("POST", "/query", &json, body.as_bytes());
        assert_eq!((answer.status, answer.sqlstate().as_str()), (400, state), "{body}: {}", answer.text());
    }
}

#[test]
fn statements_run_in_order_and_the_last_one_answers() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    let text = "INSERT INTO tags (name, kind) VALUES ('a', 'f64'); INSERT INTO samples VALUES ('a', '2026-01-01', 1.5); SELECT value FROM samples";
    let answer = web.ask("POST", "/query", &[], text.as_bytes());
    assert_eq!(answer.json()["rows"], json!([[1.5]]), "{}", answer.text());
    let answer = web.ask("POST", "/query", &[], b"DELETE FROM samples WHERE tag = 'a'");
    assert_eq!(answer.status, 200);
    assert!(answer.json()["command"].as_str().unwrap().starts_with("DELETE"), "{}", answer.text());
    let answer = web.ask("POST", "/query", &[CSV], b"INSERT INTO samples VALUES ('a', '2026-01-01', 1.5)");
    assert_eq!((answer.status, answer.header("meridian-command")), (204, Some("INSERT 0 1")));
    // The first error ends them, and its place is told in the whole text.
    let answer = web.ask("POST", "/query", &[], b"SELECT 1; SELECT nothing; INSERT INTO samples VALUES ('a', '2026-01-02', 1)");
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, &error["sqlstate"], &error["position"]), (400, &json!("42703"), &json!(18)));
    let answer = web.ask("POST", "/query", &[], b"SELECT count(*) FROM samples");
    assert_eq!(answer.json()["rows"], json!([[1]]));
    for (text, state) in [
        ("", "42601"),
        (";", "42601"),
        ("COPY samples TO STDOUT", "0A000"),
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
    ] {
        let answer = web.ask("POST", "/query", &[], text.as_bytes());
        assert_eq!((answer.status, answer.sqlstate().as_str()), (400, state), "{text}");
    }
}

#[test]
fn a_block_begins_and_ends_within_one_request() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    let mut ask = |text: &str| web.ask("POST", "/query", &[], text.as_bytes());
    ask("INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    let (insert, count) = ("INSERT INTO samples VALUES ('a', '2026-01-01', 1.5)", "SELECT count(*) FROM samples");
    for left in [
        "BEGIN".to_owned(),
        format!("BEGIN; {insert}"),
        format!("BEGIN; {insert}; SELECT 1"),
        format!("BEGIN; DECLARE c CURSOR FOR {count}"),
        format!("BEGIN; {insert}; COMMIT AND CHAIN; {insert}"),
    ] {
        let answer = ask(&left);
        assert_eq!((answer.status, answer.sqlstate().as_str()), (400, "25001"), "{left}");
        let rows = i32::from(left.contains("CHAIN"));
        assert_eq!(ask(count).json()["rows"], json!([[rows]]), "{left}");
    }
    ask("DELETE FROM samples WHERE tag = 'a'");
    assert_eq!(ask(&format!("BEGIN; {insert}; ROLLBACK")).json()["command"], json!("ROLLBACK"));
    assert_eq!(ask(count).json()["rows"], json!([[0]]));
    assert_eq!(ask(&format!("BEGIN; {insert}; COMMIT")).json()["command"], json!("COMMIT"));
    assert_eq!(ask(count).json()["rows"], json!([[1]]));
    let answer = ask("DECLARE c CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 9) AS g(n); MOVE 2 IN c; FETCH 3 FROM c");
    assert_eq!(answer.json()["rows"], json!([[3], [4], [5]]), "{}", answer.text());
    assert_eq!(ask("FETCH c").sqlstate(), "34000", "it ended with its request");
    let get = web.ask("GET", "/query?q=PREPARE+p+AS+DELETE+FROM+samples;EXECUTE+p", &[], b"");
    assert_eq!(get.sqlstate(), "25006", "{}", get.text());
}

#[test]
fn what_is_asked_by_get_changes_nothing() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    let answer = web.ask("GET", "/query?q=SELECT%201%2B1%20AS%20two&format=csv", &[], b"");
    assert_eq!(answer.text(), "two\r\n2\r\n");
    let answer = web.ask("GET", "/query?q=INSERT+INTO+tags+(name,+kind)+VALUES+('a',+'f64')", &[], b"");
    assert_eq!((answer.status, answer.sqlstate().as_str()), (400, "25006"));
    let lifted = "/query?q=SET+default_transaction_read_only=off;DELETE+FROM+samples+WHERE+tag='a'";
    assert_eq!(web.ask("GET", lifted, &[], b"").sqlstate(), "25006");
    // Functions that act, also where the text lifts what it is told, and where another session is meant.
    for acts in [
        "meridian_flush()",
        "meridian_merge()",
        "meridian_set_rule(1,1,0,1,8)",
        "meridian_retention('x')",
        "pg_terminate_backend(1)",
    ] {
        let target = format!("/query?q=SET+default_transaction_read_only=off;SELECT+{acts}");
        assert_eq!(web.ask("GET", &target, &[], b"").sqlstate(), "25006", "{acts}");
    }
    assert_eq!(web.ask("GET", "/query?q=SELECT+meridian_retention_preview('true',+'1+day')", &[], b"").status, 200);
    // What SQL and InfluxDB both have is SQL's, but for what only InfluxDB writes so.
    let policy = b"CREATE RETENTION POLICY p ON TAGS WHERE name LIKE 'x%' KEEP '1 day'";
    assert_eq!(web.ask("POST", "/query", &[], policy).json()["command"], json!("CREATE RETENTION POLICY"));
    assert_eq!(web.ask("POST", "/query", &[], b"SELECT name FROM meridian.retention").json()["rows"], json!([["p"]]));
    assert_eq!(web.ask("POST", "/query", &[], b"ALTER RETENTION POLICY nobody KEEP '2 days'").sqlstate(), "42704");
    assert_eq!(web.ask("POST", "/query", &[], b"CREATE RETENTION POLICY a ON db DURATION 1h REPLICATION 1").status, 200);
    // Bytes that are no text, in the query string as in a body; clients that say gzip of no body at all.
    assert_eq!(web.ask("GET", "/query?q=SELECT+'%ff'", &[], b"").sqlstate(), "22021");
    assert_eq!(web.ask("GET", "/query?q=SELECT+'%e6%b8%a9+%2B'&format=csv", &[], b"").status, 200);
    assert_eq!(web.ask("POST", "/query?q=CREATE+DATABASE+x", &[("Content-Encoding", "gzip")], b"").status, 200);
    let nothing = web.ask("POST", "/query?format=csv", &[], b"SELECT FROM (VALUES (1), (2)) AS v (n)");
    assert_eq!(nothing.status, 200, "{}", nothing.text());
    let arrow = web.ask("POST", "/query?format=arrow", &[], b"SELECT FROM (VALUES (1), (2)) AS v (n)");
    assert_eq!(arrow.status, 200, "{}", arrow.text());
    // What curl -d says of any text, and what InfluxDB's clients send.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(web.ask("POST", "/query", &form, b"SELECT 1 + 1").json()["rows"], json!([[2]]));
    assert_eq!(web.ask("POST", "/query", &form, b"q=SELECT+1%2B1&db=x").json()["rows"], json!([[2]]));
    for (method, target, status) in
        [("DELETE", "/query", 405), ("GET", "/write", 405), ("POST", "/metrics", 405), ("GET", "/nowhere", 404)]
    {
        let answer = web.ask(method, target, &[], b"");
        assert_eq!(answer.status, status, "{method} {target}");
    }
    let answer = web.ask("POST", "/query", &[("Content-Type", "image/png")], b"SELECT 1");
    assert_eq!(answer.status, 415);
}

#[test]
fn pages_of_other_sites_are_refused() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    let answer = web.ask("POST", "/query", &[("Origin", "https://evil.example")], b"SELECT 1");
    assert_eq!(answer.status, 403);
    let answer = web.ask("POST", "/query", &[("Origin", "http://127.0.0.1")], b"SELECT 1");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    let mut web = Web::connect(node.http());
    web.stream.write_all(b"POST /query HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 8\r\n\r\nSELECT 1").unwrap();
    assert_eq!(web.answer().unwrap().status, 403);
}

/// Many rows whose sum of squares ends in an error after some of them.
const FAILS_LATE: &str = "SELECT 1 / (600000 - n) AS x, repeat('x', 100) AS y FROM (SELECT value::bigint AS n FROM samples) AS s";

fn filled(rows: usize) -> Node {
    filled_with(rows, settings())
}

fn filled_with(rows: usize, settings: server::Settings) -> Node {
    let node = Node::start(settings);
    node.tags(&[Kind::F64]);
    let url = node.flight_url();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let client = server::flight::client::Client::connect(&url, &server::flight::client::Options::default()).await.unwrap();
        let mut putter = client.put(&["samples"], samples_schema()).await.unwrap();
        let all: Vec<(u64, i64, f64)> = (0..rows).map(|row| (0, row as i64 * 1_000_000, row as f64)).collect();
        for (number, part) in all.chunks(100_000).enumerate() {
            putter.send(number as u64 + 1, &samples(part)).await.unwrap();
        }
        putter.finish().await.unwrap();
    });
    node
}

#[test]
fn an_answer_that_fails_after_its_first_row_is_cut_and_says_why() {
    let node = filled(700_000);
    for (format, mark) in
        [(None, "\n],\"error\":{"), (Some(LINES), "\n{\"error\":{"), (Some(CSV), "\n#error {"), (Some(ARROW), "")]
    {
        let headers: Vec<(&str, &str)> = format.into_iter().collect();
        let answer = ask(&node, FAILS_LATE, &headers);
        assert_eq!(answer.status, 200);
        assert!(!answer.whole, "{format:?}: it passed for whole");
        assert!(answer.body.len() > 1 << 20, "{format:?}: rows came first");
        let end = String::from_utf8_lossy(&answer.body[answer.body.len() - 300..]).into_owned();
        assert!(end.contains(mark) && (mark.is_empty() || end.contains("22012")), "{format:?}: {end}");
    }
    // Others on the same node are served as ever, and an error in the first rows has its own status.
    let answer = ask(&node, "SELECT 1 / 0", &[]);
    assert_eq!((answer.status, answer.sqlstate().as_str()), (400, "22012"));
}

#[test]
fn a_slow_reader_costs_little_and_one_that_goes_away_cancels() {
    let node = filled(1_000_000);
    let sql = "SELECT tag, time, value, repeat('x', 1000) AS pad FROM samples";
    let mut web = Web::connect(node.http());
    web.send("POST", "/query", &[CSV], sql.as_bytes());
    assert_eq!(web.head().unwrap().0, 200);
    assert!(!web.chunk().unwrap().is_empty());
    // A gigabyte is to come, and nobody reads it: the statement waits.
    assert_eq!(node.engine.statements_running(), 1);
    drop(web);
    while node.engine.statements_running() > 0 || node.server().counts().http_connections > 0 {
        std::thread::yield_now();
    }
    // The same before the first row.
    let mut web = Web::connect(node.http());
    web.send("POST", "/query", &[], b"SELECT pg_sleep(3600)");
    while node.engine.statements_running() == 0 {
        std::thread::yield_now();
    }
    drop(web);
    while node.engine.statements_running() > 0 {
        std::thread::yield_now();
    }
    let answer = Web::connect(node.http()).ask("POST", "/query?statement_timeout=50ms", &[], b"SELECT pg_sleep(3600)");
    assert_eq!((answer.status, answer.sqlstate().as_str()), (504, "57014"));
}

#[test]
fn a_connection_takes_many_requests_also_ahead_of_their_answers() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    for number in 0..20 {
        web.send("POST", "/query", &[CSV], format!("SELECT {number} AS n").as_bytes());
    }
    for number in 0..20 {
        assert_eq!(web.answer().unwrap().text(), format!("n\r\n{number}\r\n"));
    }
    assert_eq!(node.server().counts().http_accepted, 1);
    // A body in chunks, and one that is announced first.
    web.stream.write_all(b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nSELECT \r\n6\r\n7 AS n\r\n0\r\n\r\n").unwrap();
    assert_eq!(web.answer().unwrap().text(), "n\r\n7\r\n");
    web.stream
        .write_all(
            b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/csv\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n",
        )
        .unwrap();
    assert_eq!(web.head().unwrap().0, 100);
    web.stream.write_all(b"SELECT 8 AS n").unwrap();
    assert_eq!(web.answer().unwrap().text(), "n\r\n8\r\n");
    // HTTP/1.0 could not tell a cut answer.
    web.stream.write_all(b"GET /query?q=SELECT+1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    assert_eq!(web.answer().unwrap().status, 505);
}

#[test]
fn bodies_heads_and_connections_have_limits() {
    let node = Node::start(server::Settings {
        message_bytes_max: 64 << 10,
        connections_max: 4,
        login_max: Duration::from_secs(2),
        ..settings()
    });
    let long = format!("SELECT '{}'", "x".repeat(100 << 10));
    let answer = ask(&node, &long, &[]);
    assert_eq!((answer.status, answer.sqlstate().as_str()), (413, "54000"));
    // It may be closed before all of it was sent, and the answer be lost by that.
    let mut web = Web::connect(node.http());
    let _ = web
        .stream
        .write_all(format!("GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {}\r\n\r\n", "x".repeat(66 << 10)).as_bytes());
    assert!(web.answer().is_none_or(|answer| answer.status == 431));
    drop(web);
    // A body that stalls, and a head that does.
    let mut web = Web::connect(node.http());
    web.stream.write_all(b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 13\r\n\r\nSELECT").unwrap();
    assert_eq!(web.answer().unwrap().status, 408);
    let mut web = Web::connect(node.http());
    web.stream.write_all(b"POST /query HT").unwrap();
    assert!(web.answer().is_none_or(|answer| answer.status == 408));
    while node.server().counts().http_connections > 0 {
        std::thread::yield_now();
    }
    let mut open: Vec<Web> = (0..4).map(|_| Web::connect(node.http())).collect();
    for web in &mut open {
        assert_eq!(web.ask("GET", "/ping", &[], b"").status, 204);
    }
    let answer = Web::connect(node.http()).answer().unwrap();
    assert_eq!((answer.status, answer.sqlstate().as_str()), (503, "53300"));
    assert_eq!(node.server().counts().http_refused, 1);
}

#[test]
fn health_readiness_and_metrics_are_told() {
    let node = filled(1000);
    let mut web = Web::connect(node.http());
    assert_eq!(web.ask("GET", "/health", &[], b"").json()["status"], json!("pass"));
    let answer = web.ask("GET", "/ready", &[], b"");
    assert_eq!((answer.status, &answer.json()["reasons"]), (200, &json!([])));
    let answer = web.ask("HEAD", "/ping", &[], b"");
    assert_eq!((answer.status, answer.header("x-influxdb-version")), (204, Some("1.8.10")));
    web.ask("POST", "/query", &[], b"SELECT count(*) FROM samples");
    let answer = web.ask("GET", "/metrics", &[], b"");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let wanted = [
        "meridian_rows_written_total 1000",
        "meridian_flight_rows_total 1000",
        "meridian_tags 1",
        "meridian_commit_seconds_count 1",
        "meridian_statement_seconds_count 1",
        "meridian_store_writable 1",
    ];
    // A statement leaves the register a moment after its last row.
    let text = loop {
        let text = web.ask("GET", "/metrics", &[], b"").text();
        if wanted.iter().all(|line| text.lines().any(|found| found == *line)) {
            break text;
        }
        assert!(text.contains("meridian_statement_seconds_count 0"), "a line of {wanted:?} is not in\n{text}");
    };
    check_format(&text);
    // Once there are roles a name must be one's; whoever could say any is not asked for one, as little as for health.
    web.ask("POST", "/query", &[], b"CREATE ROLE reader LOGIN");
    assert_eq!(web.ask("POST", "/query", &[], b"SELECT 1").status, 401);
    assert_eq!(web.ask("GET", "/metrics", &[], b"").status, 200);
    assert_eq!(web.ask("GET", "/metrics?u=reader", &[], b"").status, 200);
    assert_eq!(web.ask("GET", "/metrics?u=nobody", &[], b"").status, 401);
}

/// Each family once, its values behind its HELP and TYPE; histograms rise to their count.
fn check_format(text: &str) {
    let (mut family, mut seen, mut last) = (String::new(), std::collections::HashSet::new(), 0.0);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(family.starts_with("meridian_") && seen.insert(family.clone()), "{line}");
            last = 0.0;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            let bare = name.split('{').next().unwrap();
            assert!(bare.starts_with(&family), "{line} stands under {family}");
            if bare.ends_with("_bucket") {
                assert!(value >= last, "{line}");
                last = value;
            } else if bare.ends_with("_seconds_count") {
                assert!((value - last).abs() < 0.5, "{line}");
            }
        }
    }
    assert!(seen.len() > 40);
}

#[test]
fn a_stop_lets_a_request_finish_and_closes_idle_connections() {
    let mut node = filled_with(200_000, server::Settings { stop_max: Duration::from_secs(60), ..settings() });
    let mut idle = Web::connect(node.http());
    assert_eq!(idle.ask("GET", "/ping", &[], b"").status, 204);
    let mut web = Web::connect(node.http());
    web.send("POST", "/query", &[CSV], b"SELECT time, value FROM samples");
    assert_eq!(web.head().unwrap().0, 200);
    let server = node.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    let mut rows = 0;
    while let Some(chunk) = web.chunk().filter(|chunk| !chunk.is_empty()) {
        rows += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(rows, 200_001);
    assert!(idle.answer().is_none());
    stopping.join().unwrap().unwrap();
}
