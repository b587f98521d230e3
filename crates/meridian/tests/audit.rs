//! The audit log from outside: what it is told, by which door, and what never stands in it.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "others need more of it")]
mod node;

use futures::SinkExt;
use node::{Dir, Node};
use serde_json::Value;
use server::flight::client::{Client, Options};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

async fn connect(node: &Node, user: &str, password: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (address, port) = node.pg.rsplit_once(':').unwrap();
    let config = format!("host={address} port={port} user={user} password='{password}' dbname=meridian");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"))).collect()
}

/// The first event of that sort that fits; a logout is told a moment after its client has gone.
fn event(path: &Path, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        if let Some(found) = events(path).into_iter().find(|event| event["event"] == name && fits(event)) {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no {name} in {:#?}", events(path));
        std::thread::yield_now();
    }
}

/// A guess and the right password at the Flight door.
async fn ask_over_flight(node: &Node) {
    for (password, right) in [("flight's guess", false), ("first secret", true)] {
        let login = Some(("meridian".to_owned(), password.to_owned()));
        let client = Client::connect(&format!("http://{}", node.flight), &Options { login, authority_pem: None }).await;
        let answer = client.unwrap().resolve(&["nothing"]).await;
        assert_eq!(answer.is_ok(), right, "{password}: {answer:?}");
    }
}

/// A guess and another one's right password at the HTTP door.
fn ask_over_http(http: &str) {
    for (credentials, status) in [("u=meridian&p=x", "401"), ("u=reader&p=second%20secret", "200")] {
        let mut web = std::net::TcpStream::connect(http).unwrap();
        let request = format!("GET /query?{credentials}&q=SELECT%201 HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
        web.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        web.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
    write_over_http(http);
}

/// A row of a tag that its writer may not write, who may write others: only its data tell so.
async fn copy_is_refused(boss: &tokio_postgres::Client, reader: &tokio_postgres::Client) {
    boss.simple_query("GRANT INSERT ON TAGS WHERE name LIKE 'own.%' TO reader").await.unwrap();
    let copy = reader.copy_in::<_, bytes::Bytes>("COPY samples (tag, time, value) FROM STDIN").await.unwrap();
    let mut copy = std::pin::pin!(copy);
    copy.send("a\t2026-01-01\t1\n".into()).await.unwrap();
    assert!(copy.as_mut().finish().await.is_err());
    boss.simple_query("REVOKE INSERT ON TAGS WHERE name LIKE 'own.%' FROM reader").await.unwrap();
}

/// Lines that their writer may not write.
fn write_over_http(http: &str) {
    let mut web = std::net::TcpStream::connect(http).unwrap();
    let head = format!("POST /write?u=reader&p=second%20secret HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n");
    web.write_all(format!("{head}Content-Length: 9\r\n\r\nm f=1 10\n").as_bytes()).unwrap();
    let mut answer = String::new();
    web.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.split(' ').nth(1), Some("403"), "{answer}");
}

/// Each door's logins, and those that it refused, are told of with its name.
fn are_told_apart(log: &Path) {
    // What was proved at one of Flight and HTTP is not told of again at the other, so there it is somebody else.
    for (door, user) in [("postgresql", "meridian"), ("flight", "meridian"), ("http", "reader")] {
        let refused = event(log, "login refused", |event| event["door"] == door);
        assert_eq!((&refused["user"], &refused["client"]), (&"meridian".into(), &"127.0.0.1".into()), "{refused}");
        event(log, "login", |event| event["door"] == door && event["user"] == user && event["proof"] == "password");
    }
    // Lines are no statement, and are refused as one.
    event(log, "statement refused", |event| event["statement"] == "POST /write" && event["session_user"] == "reader");
}

#[test]
fn it_is_told_who_came_and_what_was_changed_and_no_password() {
    let dir = Dir::new("audit");
    let log = dir.join("audit.log");
    let flags = ["--audit-log", log.to_str().unwrap(), "--loopback-trusted", "false", "--password", "first secret"];
    // A port that was free just now.
    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let node = Node::start(&dir.join("store"), &[&flags[..], &["--http", &http]].concat());
    let backups = dir.join("backups");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(connect(&node, "meridian", "wrong secret").await.is_err());
        let boss = connect(&node, "meridian", "first secret").await.unwrap();
        for sql in [
            "CREATE USER reader PASSWORD 'second secret'",
            "GRANT SELECT ON tags TO reader",
            &format!("SELECT meridian_backup('{}')", backups.display()),
        ] {
            boss.simple_query(sql).await.unwrap();
        }
        assert!(boss.simple_query("GRANT SELECT ON tags TO nobody").await.is_err());
        ask_over_flight(&node).await;
        let reader = connect(&node, "reader", "second secret").await.unwrap();
        assert!(reader.simple_query("SELECT * FROM samples").await.is_err());
        assert!(reader.simple_query("ALTER USER reader SUPERUSER PASSWORD 'third secret'").await.is_err());
        assert!(reader.simple_query("SELECT nonsense").await.is_err());
        copy_is_refused(&boss, &reader).await;
    });
    drop(runtime);
    ask_over_http(&http);
    are_told_apart(&log);
    let login = event(&log, "login", |event| event["user"] == "reader");
    assert_eq!((&login["proof"], &login["encrypted"]), (&"password".into(), &false.into()), "{login}");
    event(&log, "logout", |event| event["session"] == login["session"]);
    let made = event(&log, "role statement", |event| event["statement"].as_str().unwrap().starts_with("CREATE USER reader"));
    assert_eq!((&made["session_user"], &made["sqlstate"]), (&"meridian".into(), &"00000".into()), "{made}");
    event(&log, "role statement", |event| event["statement"] == "GRANT SELECT ON tags TO reader" && event["sqlstate"] == "00000");
    event(&log, "role statement", |event| event["statement"] == "GRANT SELECT ON tags TO nobody" && event["sqlstate"] == "42704");
    let backup = event(&log, "operation", |event| event["sqlstate"] == "00000");
    assert!(backup["call"].as_str().unwrap().starts_with("meridian_backup("), "{backup}");
    for begin in ["SELECT * FROM samples", "ALTER USER reader", "COPY samples"] {
        let refused = event(&log, "statement refused", |event| event["statement"].as_str().unwrap().starts_with(begin));
        let expect = ("42501".into(), "reader".into(), login["session"].clone());
        assert_eq!(
            (refused["sqlstate"].clone(), refused["session_user"].clone(), refused["session"].clone()),
            expect,
            "{refused}"
        );
        let told = events(&log).iter().filter(|event| event["statement"].as_str().unwrap_or_default().starts_with(begin)).count();
        assert_eq!(told, 1, "{begin} is told of once");
    }
    assert!(events(&log).iter().all(|event| !event["statement"].as_str().unwrap_or_default().contains("nonsense")));
    assert!(!std::fs::read_to_string(&log).unwrap().contains("secret"), "a password stands there");

    // Moved away and opened anew: what comes later stands in another file, and nothing is lost.
    let old = dir.join("audit.log.1");
    let before = events(&log).len();
    std::fs::rename(&log, &old).unwrap();
    node.signal(libc::SIGHUP);
    let started = Instant::now();
    while !log.exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "it is not opened anew");
        std::thread::yield_now();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { connect(&node, "reader", "second secret").await.unwrap() });
    assert_eq!(event(&log, "login", |_| true)["user"], "reader");
    assert!(events(&old).len() >= before);
    node.stop();
    assert!(!std::fs::read_to_string(dir.join("store.log")).unwrap().contains("login refused\",\"door"), "they are told apart");
}

#[test]
fn a_file_that_can_not_be_opened_is_named() {
    let dir = Dir::new("audit-refused");
    let said = Node::try_start(&dir.join("store"), &["--audit-log", "/nonexistent/audit.log"]).err().unwrap();
    assert!(said.contains("/nonexistent/audit.log"), "{said}");
}
