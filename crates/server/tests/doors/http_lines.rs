//! The line protocol from outside: what is kept, what is refused, under which names, and who may.

use crate::node::{Node, settings};
use crate::web::{Answer, Web};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;

fn write(node: &Node, target: &str, body: &str) -> Answer {
    Web::connect(node.http()).ask("POST", target, &[], body.as_bytes())
}

fn rows(node: &Node, sql: &str) -> Value {
    let answer = Web::connect(node.http()).ask("POST", "/query", &[], sql.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["rows"].clone()
}

const SAMPLES: &str = "SELECT tag, time, value FROM samples ORDER BY tag, time";

#[test]
fn lines_are_samples_and_events_of_tags_made_for_them() {
    let node = Node::plain();
    let body = "cpu,host=b,zone=x usage=0.5,n=3i,up=t 1700000000123456789\ncpu,zone=x,host=b usage=1.5 1700000001000000000\nlog,host=b msg=\"a \\\"b\\\"\nc\" 1700000000000000000\n";
    let answer = write(&node, "/write?db=x&precision=ns", body);
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.text());
    assert_eq!(
        rows(&node, SAMPLES),
        json!([
            ["cpu,host=b,zone=x n", "2023-11-14T22:13:20.123456Z", 3],
            ["cpu,host=b,zone=x up", "2023-11-14T22:13:20.123456Z", 1],
            ["cpu,host=b,zone=x usage", "2023-11-14T22:13:20.123456Z", 0.5],
            ["cpu,host=b,zone=x usage", "2023-11-14T22:13:21.000000Z", 1.5],
        ])
    );
    assert_eq!(rows(&node, "SELECT tag, text FROM events"), json!([["log,host=b msg", "a \"b\"\nc"]]));
    assert_eq!(
        rows(&node, "SELECT name, kind FROM tags ORDER BY name"),
        json!([
            ["cpu,host=b,zone=x n", "i64"],
            ["cpu,host=b,zone=x up", "bool"],
            ["cpu,host=b,zone=x usage", "f64"],
            ["log,host=b msg", "text"],
        ])
    );
    assert_eq!(
        rows(
            &node,
            "SELECT label(name, '_measurement'), label(name, '_field'), label(name, 'zone') FROM tags WHERE name LIKE '%usage'"
        ),
        json!([["cpu", "usage", "x"]])
    );
    // Known by now: found, not made again.
    for precision in ["u", "ms", "s", "m", "h"] {
        assert_eq!(write(&node, &format!("/write?precision={precision}"), "cpu,host=b,zone=x usage=9 1").status, 204);
    }
    assert_eq!(rows(&node, "SELECT count(*) FROM samples WHERE value = 9"), json!([[5]]));
    let counts = node.server().counts();
    assert_eq!((counts.http_tags_created, counts.http_lines, counts.http_rows), (4, 8, 10));
    assert!(counts.http_series_hits >= 5, "{counts:?}");
}

#[test]
fn valid_lines_are_kept_and_the_others_are_named() {
    let node = Node::plain();
    let answer = write(&node, "/write?db=x", "m f=1 1000\nm f=\n\nm f=2i 3000\nm f=18446744073709551615u 4000\nm f=5 5000\n");
    assert_eq!(answer.status, 400);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("partial write:") && error.ends_with("dropped=3"), "{error}");
    for named in ["line 2: missing field value", "line 4: field type conflict", "line 5: integer out of range (22003)"] {
        assert!(error.contains(named), "{named}: {error}");
    }
    assert_eq!(answer.header("x-influxdb-error"), Some(error.as_str()));
    assert_eq!(
        rows(&node, "SELECT time, value FROM samples ORDER BY time"),
        json!([["1970-01-01T00:00:00.000001Z", 1], ["1970-01-01T00:00:00.000005Z", 5]])
    );
    let answer = write(&node, "/api/v2/write?org=o&bucket=b&precision=s", "m f=\"x\" 1");
    let found = answer.json();
    assert_eq!((answer.status, &found["code"]), (400, &json!("invalid")));
    assert!(found["message"].as_str().unwrap().contains("line 1: field type conflict"), "{found}");
    assert_eq!(write(&node, "/write?precision=d", "m f=1").status, 400);
    // A line that is dropped makes no tag: the next one says what it holds.
    assert_eq!(write(&node, "/write", "m f=1i,g=1\nm g=\"text\"\n").status, 400);
    assert_eq!(rows(&node, "SELECT kind FROM tags WHERE name = 'm g'"), json!([["text"]]));
}

#[test]
fn tags_that_are_there_are_written_whatever_made_them() {
    let node = Node::plain();
    rows(&node, "INSERT INTO tags (name, kind) VALUES ('m f', 'f32'), ('m i', 'i32'); SELECT 1");
    assert_eq!(write(&node, "/write", "m f=0.1,i=7i 1000").status, 204);
    let answer = write(&node, "/write", "m i=3000000000i\nm f=1e300");
    assert!(
        answer.text().contains("line 1: value out of range") && answer.text().contains("line 2: value out of range"),
        "{}",
        answer.text()
    );
    // A tag that goes and comes again under its name is another one, also for whoever knew the old one.
    rows(&node, "DELETE FROM tags WHERE name = 'm f'; SELECT 1");
    assert_eq!(write(&node, "/write", "m f=5 2000").status, 204);
    assert_eq!(rows(&node, "SELECT kind FROM tags WHERE name = 'm f'"), json!([["f64"]]));
    assert_eq!(rows(&node, "SELECT value FROM samples WHERE tag = 'm f'"), json!([[5]]));
    // Renamed, the old name leads nowhere.
    rows(&node, "UPDATE tags SET name = 'other' WHERE name = 'm f'; SELECT 1");
    assert_eq!(write(&node, "/write", "m f=6 3000").status, 204);
    assert_eq!(
        rows(&node, "SELECT tag, value FROM samples WHERE value IN (5, 6) ORDER BY value"),
        json!([["other", 5], ["m f", 6]])
    );
}

#[test]
fn where_tags_are_not_made_unknown_ones_are_named() {
    let node = Node::start(server::Settings { http_create_tags: false, ..settings() });
    rows(&node, "INSERT INTO tags (name, kind) VALUES ('m,a=1 f', 'f64'); SELECT 1");
    let answer = write(&node, "/write", "m,a=1 f=1\nm,a=2 f=1\n");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("line 2: tag \\\"m,a=2 f\\\" does not exist"), "{}", answer.text());
    assert_eq!(rows(&node, "SELECT count(*) FROM samples"), json!([[1]]));
}

#[test]
fn long_bodies_compressed_ones_and_chunked_ones_are_written_as_they_come() {
    let node = Node::plain();
    let mut body = String::new();
    for line in 0..60_000 {
        body.push_str(&format!("grid,unit=u{} p={}.25,s=\"on {line}\" {}000\n", line % 500, line, line));
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let mut web = Web::connect(node.http());
    let answer = web.ask("POST", "/api/v2/write?bucket=b", &[("Content-Encoding", "gzip")], &packed);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(rows(&node, "SELECT count(*), sum(value) FROM samples"), json!([[60_000, 1_799_985_000_i64]]));
    assert_eq!(rows(&node, "SELECT count(*) FROM events"), json!([[60_000]]));
    assert_eq!(node.server().counts().http_tags_created, 1000);
    // In chunks that cut lines anywhere.
    let mut chunked = b"POST /write HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in body.as_bytes()[..200_000].chunks(977) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    web.stream.write_all(&chunked).unwrap();
    let status = web.answer().unwrap().status;
    assert!(status == 204 || status == 400, "the cut of the last line may make it none: {status}");
    // Cut gzip, and what is none.
    for (encoding, body) in [("gzip", &packed[..packed.len() / 2]), ("gzip", &b"m f=1"[..])] {
        let answer = web.ask("POST", "/write", &[("Content-Encoding", encoding)], body);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(web.ask("POST", "/write", &[("Content-Encoding", "br")], b"x").status, 415);
    // A string without an end is named, and what stood before it is kept.
    let answer = web.ask("POST", "/write", &[], b"m f=1 1\nm f=2,s=\"no end\nm f=3 3\n");
    assert!(answer.text().contains("line 2: a string has no end"), "{}", answer.text());
    let endless = format!("m s=\"{}", "x".repeat(5 << 20));
    assert_eq!(web.ask("POST", "/write", &[], endless.as_bytes()).status, 413);
}

#[test]
fn many_writers_make_the_same_tags_once() {
    let node = Node::plain();
    let address = node.http();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            std::thread::spawn(move || {
                let mut web = Web::connect(address);
                for round in 0..5 {
                    let lines: String = (0..400)
                        .map(|n| format!("m,n={} f={writer} {}000\n", (n * 7 + round) % 400, writer * 10 + round))
                        .collect();
                    let answer = web.ask("POST", "/write", &[], lines.as_bytes());
                    assert_eq!(answer.status, 204, "{}", answer.text());
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(rows(&node, "SELECT count(*) FROM tags"), json!([[400]]));
    assert_eq!(rows(&node, "SELECT count(*) FROM samples"), json!([[400 * 40]]));
}

#[test]
fn the_same_password_is_asked_for_in_every_way_that_clients_give_it() {
    let node =
        Node::start(server::Settings { loopback_trusted: false, password: Some("pencil 铅笔".to_owned()), ..settings() });
    let basic = |pair: &str| format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair));
    let mut web = Web::connect(node.http());
    for target in ["/query", "/write", "/api/v2/write", "/api/v2/query", "/token"] {
        let answer = web.ask("POST", target, &[], b"SELECT 1");
        assert_eq!(answer.status, 401, "{target}");
        assert!(answer.header("www-authenticate").is_some(), "{target}");
        assert_eq!(web.ask("POST", target, &[("Authorization", &basic("meridian:wrong"))], b"SELECT 1").status, 401);
    }
    assert_eq!(web.ask("GET", "/metrics", &[], b"").status, 401);
    for open in ["/ping", "/health", "/ready"] {
        assert!(web.ask("GET", open, &[], b"").status < 300, "{open}");
    }
    let right = basic("meridian:pencil 铅笔");
    let answer = web.ask("POST", "/query", &[("Authorization", &right)], b"SELECT current_user");
    assert_eq!(answer.json()["rows"], json!([["meridian"]]));
    let token = web.ask("POST", "/token", &[("Authorization", &right)], b"").json()["token"].as_str().unwrap().to_owned();
    for header in [format!("Bearer {token}"), format!("Token {token}"), "Token meridian:pencil 铅笔".to_owned()] {
        assert_eq!(web.ask("POST", "/api/v2/write?bucket=b", &[("Authorization", &header)], b"m f=1").status, 204, "{header}");
    }
    assert_eq!(web.ask("POST", "/write?u=meridian&p=pencil%20%E9%93%85%E7%AC%94", &[], b"m f=1").status, 204);
    assert_eq!(web.ask("POST", "/write?u=meridian&p=x", &[], b"m f=1").status, 401);
}

#[test]
fn influxdb_clients_find_what_they_look_for() {
    let node = Node::plain();
    let mut web = Web::connect(node.http());
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = web.ask("POST", "/query", &form, b"q=CREATE+DATABASE+%22telegraf%22");
    assert_eq!((answer.status, answer.json()), (200, json!({"results": [{"statement_id": 0}]})));
    // Clients of 1.x would rather have MessagePack, and take JSON.
    let answer = web.ask("GET", "/query?q=SHOW+DATABASES&db=x", &[("Accept", "application/x-msgpack")], b"");
    assert_eq!(answer.json()["results"][0]["series"][0]["values"], json!([["meridian"]]));
    let answer = web.ask("POST", "/api/v2/query?org=o", &[("Content-Type", "application/vnd.flux")], b"buckets()");
    assert!(answer.text().contains(",meridian,"), "{}", answer.text());
    assert_eq!(web.ask("POST", "/api/v2/query?org=o", &[], b"from(bucket: \"b\")").status, 400);
}

#[test]
fn what_was_answered_is_there_after_the_process_ends() {
    // The same promise as COPY's: the commit is synced before the answer.
    let node = Node::plain();
    let syncs = node.engine.local().unwrap().status().log_syncs;
    assert_eq!(write(&node, "/write", "m f=1").status, 204);
    assert!(node.engine.local().unwrap().status().log_syncs > syncs);
    let _: SocketAddr = node.http();
}
