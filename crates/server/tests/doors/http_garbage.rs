//! Bytes that no HTTP client would send: they end their own connection, and harm nobody else.

use crate::node::{Node, settings};
use crate::noise::{Noise, rounds};
use crate::watch::Watch;
use crate::web::Web;
use std::io::{Read, Write};
use std::time::Duration;

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{head}\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn conversations() -> Vec<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"m,a=1 f=1,s=\"x\" 1\n").unwrap();
    let gzip = gzip.finish().unwrap();
    vec![
        request("POST /query HTTP/1.1", b"SELECT 1; SELECT 'x'"),
        request("POST /query HTTP/1.1\r\nContent-Type: application/json", br#"{"sql":"SELECT $1::bigint, $2::text[]","params":[1,["a",null]]}"#),
        request("POST /query?format=arrow HTTP/1.1", b"SELECT 1.5, 'x'"),
        request("POST /write?precision=ms HTTP/1.1", b"m,a=1 f=1.5,i=2i,b=t,s=\"q\\\"\" 1700000000000\n# c\nm f=2\n"),
        request("POST /write HTTP/1.1\r\nContent-Encoding: gzip", &gzip),
        b"POST /write HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nm f=1\r\n2\r\n 1\r\n0\r\n\r\n".to_vec(),
        b"GET /query?q=SELECT%201&timezone=Asia%2FShanghai HTTP/1.1\r\nHost: localhost\r\nAccept: text/csv;q=0.5, */*\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic YTpi\r\n\r\nGET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\0\0\0\x1a\0\x03\0\0user\0meridian\0\0".to_vec(),
        Vec::new(),
    ]
}

#[test]
fn damaged_requests_harm_nobody() {
    let node = Node::start(server::Settings { login_max: Duration::from_secs(5), message_bytes_max: 1 << 20, ..settings() });
    let conversations = conversations();
    let (mut noise, watch) = (Noise::seeded(11), Watch::begin());
    for round in 0..rounds(700) {
        let mut bytes = conversations[round % conversations.len()].clone();
        if round >= conversations.len() {
            noise.damage(&mut bytes);
        }
        let mut web = Web::connect(node.http());
        // The server may close in the middle of it.
        let _ = web.stream.write_all(&bytes);
        let _ = web.stream.shutdown(std::net::Shutdown::Write);
        let _ = web.stream.read_to_end(&mut Vec::new());
    }
    let answer = Web::connect(node.http()).ask("POST", "/query?format=csv", &[], b"SELECT 1 AS n");
    assert_eq!(answer.text(), "n\r\n1\r\n");
    watch.check(256);
}

#[test]
fn requests_cut_anywhere_leave_nothing_open() {
    let node = Node::plain();
    for conversation in &conversations() {
        for cut in (0..conversation.len()).step_by(5) {
            let mut web = Web::connect(node.http());
            let _ = web.stream.write_all(&conversation[..cut]);
        }
    }
    assert_eq!(Web::connect(node.http()).ask("GET", "/health", &[], b"").status, 200);
    while node.server().counts().http_connections > 0 || node.engine.statements_running() > 0 {
        std::thread::yield_now();
    }
}
