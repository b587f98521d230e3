//! Bytes that no client would send: they end their own connection, and harm nobody else.

use crate::node::{Node, settings};
use crate::noise::{Noise, rounds};
use crate::watch::Watch;
use crate::wire::{Raw, field, message, sqlstate};
use std::io::{Read, Write};
use std::time::Duration;

/// Conversations that are sent damaged.
fn conversations() -> Vec<Vec<u8>> {
    let startup = b"\0\0\0\x1a\0\x03\0\0user\0meridian\0\0\0\0\0".to_vec();
    let extended = [
        message(b'P', b"s\0SELECT $1::bigint, $2\0\0\x02\0\0\0\x14\0\0\0\x19"),
        message(b'D', b"Ss\0"),
        message(b'B', b"p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x2a\0\0\0\x02ab\0\x01\0\x01"),
        message(b'D', b"Pp\0"),
        message(b'E', b"p\0\0\0\0\x01"),
        message(b'C', b"Pp\0"),
        message(b'S', b""),
    ]
    .concat();
    let arrays = [
        message(b'P', b"\0SELECT * FROM values_at($1, $2)\0\0\0"),
        message(b'B', b"\0\0\0\0\0\x02\0\0\0\x07{t0,t1}\0\0\0\x16{2020-01-01,2020-01-02}\0\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ]
    .concat();
    let copy =
        [message(b'Q', b"COPY samples FROM STDIN\0"), message(b'd', b"t0\t2020-01-01\t1\tgood\n"), message(b'c', b"")].concat();
    let after = |rest: &[u8]| [&startup[..], rest].concat();
    vec![
        startup.clone(),
        after(&message(b'Q', b"SELECT 1; SELECT 'x'\0")),
        after(&extended),
        after(&arrays),
        after(&copy),
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        Vec::new(),
    ]
}

#[test]
fn damaged_conversations_harm_nobody() {
    let node = Node::start(server::Settings { login_max: Duration::from_secs(5), message_bytes_max: 1 << 20, ..settings() });
    let conversations = conversations();
    let (mut noise, watch) = (Noise::seeded(7), Watch::begin());
    for round in 0..rounds(600) {
        let mut bytes = conversations[round % conversations.len()].clone();
        if round >= conversations.len() {
            noise.damage(&mut bytes);
        }
        let mut raw = Raw::connect(node.pg());
        // The server may close in the middle of it.
        let _ = raw.stream.write_all(&bytes);
        let _ = raw.stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = raw.stream.read_to_end(&mut answer);
    }
    // Each of them has ended, and others are served as ever.
    let mut raw = Raw::log_in(node.pg());
    raw.query("SELECT 1");
    assert_eq!(sqlstate(&raw.until(b'Z')), None);
    watch.check(256);
}

#[test]
fn a_message_beyond_the_limit_is_refused_before_it_is_read() {
    let node = Node::plain();
    for (kind, length) in [(b'Q', 100_u32 << 20), (b'B', 0x7fff_ffff), (b'd', 65 << 20)] {
        let mut raw = Raw::log_in(node.pg());
        // Only the head is sent: an answer shows that the body is not waited for.
        let mut head = vec![kind];
        head.extend_from_slice(&length.to_be_bytes());
        raw.send(&head);
        let (answer, body) = raw.next().unwrap();
        assert_eq!((answer, field(&body, b'C').as_deref()), (b'E', Some("54000")));
        assert_eq!(field(&body, b'S').as_deref(), Some("FATAL"));
        assert!(raw.next().is_none());
    }
}

#[test]
fn connections_cut_anywhere_leave_nothing_open() {
    let node = Node::plain();
    let conversations = conversations();
    for conversation in &conversations {
        for cut in (0..conversation.len()).step_by(7) {
            let mut raw = Raw::connect(node.pg());
            let _ = raw.stream.write_all(&conversation[..cut]);
        }
    }
    let mut raw = Raw::log_in(node.pg());
    raw.query("SELECT 1");
    assert_eq!(sqlstate(&raw.until(b'Z')), None);
    drop(raw);
    while node.server().counts().pg_connections > 0 {
        std::thread::yield_now();
    }
}
