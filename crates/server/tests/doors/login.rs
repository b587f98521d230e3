//! Who may come in: passwords, TLS, and what a server refuses to be started with.

use crate::flight_sql;
use crate::node::{Node, directory, samples, samples_schema, settings};
use crate::wire::{Raw, field, message, sqlstate};
use base64::Engine as _;
use server::flight::client::{Client, Options};
use server::{Error, Server, Settings, TlsPaths, Users};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tonic::transport::Endpoint;
use types::Kind;
use world::{ThreadCounts, Threads, World};

fn data(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("tests/data").join(name)
}

fn tls() -> Option<TlsPaths> {
    Some(TlsPaths { certificate: data("test-certificate.pem"), key: data("test-key.pem") })
}

fn guarded() -> Settings {
    Settings { loopback_trusted: false, password: Some("pencil 铅笔".to_owned()), ..settings() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_checked() {
    let node = Node::start(guarded());
    let config = |user: &str, password: &str| format!("{} password='{password}'", node.config(user));
    let (client, connection) = tokio_postgres::connect(&config("meridian", "pencil 铅笔"), NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(client.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1);
    for (user, password) in [("meridian", "pencil"), ("meridian", "x"), ("nobody", "pencil 铅笔")] {
        let error = tokio_postgres::connect(&config(user, password), NoTls).await.err().unwrap();
        assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD), "{user}: {error:?}");
    }
    assert_eq!(node.server().counts().logins_refused, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_zone_that_is_none_ends_the_login() {
    let node = Node::plain();
    for named in [("TimeZone", "Mars/X"), ("options", "-c timezone=Mars/X")] {
        let mut raw = Raw::connect(node.pg());
        raw.startup(&[("user", "meridian"), named]);
        let messages = raw.until(b'Z');
        assert!(messages.iter().all(|(kind, _)| *kind != b'Z'), "{named:?}: it was let in");
        let (_, body) = messages.iter().find(|(kind, _)| *kind == b'E').unwrap();
        let told = [b'S', b'C', b'M'].map(|name| field(body, name).unwrap());
        assert_eq!(told, ["FATAL", "22023", "invalid value for parameter \"TimeZone\": \"Mars/X\""], "{named:?}");
    }
    let mut raw = Raw::connect(node.pg());
    raw.startup(&[("user", "meridian"), ("TimeZone", "Asia/Shanghai")]);
    assert_eq!(sqlstate(&raw.until(b'Z')), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_logins_end_alone() {
    let node = Node::start(guarded());
    let first = |data: &[u8]| {
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend_from_slice(&(data.len() as u32).to_be_bytes());
        body.extend_from_slice(data);
        message(b'p', &body)
    };
    for answer in [
        message(b'p', b""),
        message(b'p', b"MD5\0\0\0\0\0"),
        message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        message(b'Q', b"SELECT 1\0"),
        first(b"n,,n=,r="),
        first(b"p=tls-unique,,n=,r=abc"),
        first(b"y,,n=,r=abcdef,\xff"),
        first(&[b'n'; 5000]),
        vec![b'p', 0x7f, 0xff, 0xff, 0xff],
    ] {
        let mut raw = Raw::connect(node.pg());
        raw.startup(&[("user", "meridian")]);
        assert_eq!(raw.next().unwrap().0, b'R');
        raw.send(&answer);
        // Whatever it is told, it is not let in.
        raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(raw.until(b'Z').iter().all(|(kind, _)| *kind != b'Z'), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flight_door_asks_for_the_same_password() {
    let node = Node::start(guarded());
    node.tags(&[Kind::F64]);
    for (login, allowed) in [
        (None, false),
        (Some(("meridian", "wrong")), false),
        (Some(("nobody", "pencil 铅笔")), false),
        (Some(("meridian", "pencil 铅笔")), true),
    ] {
        let login = login.map(|(user, password): (&str, &str)| (user.to_owned(), password.to_owned()));
        let client = Client::connect(&node.flight_url(), &Options { login: login.clone(), authority_pem: None }).await.unwrap();
        match client.put(&["samples"], samples_schema()).await {
            Ok(mut putter) => {
                assert!(allowed, "{login:?}");
                putter.send(1, &samples(&[(0, 1, 1.0)])).await.unwrap();
                assert_eq!(putter.finish().await.unwrap().len(), 1);
            }
            Err(status) => {
                assert!(!allowed, "{login:?}");
                assert_eq!(status.code(), tonic::Code::Unauthenticated);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_doors_speak_tls() {
    let node = Node::start(Settings { tls: tls(), ..guarded() });
    let url = node.flight_url().replace("http://127.0.0.1", "https://localhost");
    let pem = std::fs::read(data("test-certificate.pem")).unwrap();
    let login = Some(("meridian".to_owned(), "pencil 铅笔".to_owned()));
    let client = Client::connect(&url, &Options { login, authority_pem: Some(pem) }).await.unwrap();
    assert_eq!(client.resolve(&["t0"]).await.unwrap(), [None]);
    flight_sql_over_tls(&url).await;
    let mut raw = Raw::connect(node.pg());
    raw.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
    let mut answer = [0];
    std::io::Read::read_exact(&mut raw.stream, &mut answer).unwrap();
    assert_eq!(answer, *b"S");
    // Garbage instead of a handshake ends the connection, and nothing else.
    raw.send(b"this is no handshake at all, and long enough for a record");
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut raw.stream, &mut rest);
    assert!(Raw::connect(node.pg()).stream.peer_addr().is_ok());
}

/// Who gives a password with each call has a session all the same: the connection's.
async fn flight_sql_over_tls(url: &str) {
    let pem = std::fs::read(data("test-certificate.pem")).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(pem));
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap();
    let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("meridian:pencil 铅笔"));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = flight_sql::Sql::new(channel.connect().await.unwrap());
        client.set_header("authorization", login.clone());
        clients.push(client);
    }
    clients[0].execute("SET timezone = 'Asia/Shanghai'".to_owned(), None).await.unwrap();
    assert_eq!(flight_sql::text(&mut clients[0], "SHOW timezone").await, "Asia/Shanghai");
    assert_eq!(flight_sql::text(&mut clients[1], "SHOW timezone").await, "UTC");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_door_speaks_tls_alone() {
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let node = Node::start(Settings { tls: tls(), ..guarded() });
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(data("test-certificate.pem")).unwrap();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let socket = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let credentials = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "meridian:pencil 铅笔");
    let request = format!(
        "POST /query?format=csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\nContent-Length: 13\r\n\r\nSELECT 1 AS n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("n\r\n1\r\n"), "{answer}");
    // Plain words are no handshake.
    let mut plain = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_client_that_asks_for_it_is_told_no() {
    let node = Node::plain();
    let mut raw = Raw::connect(node.pg());
    for request in [[0, 0, 0, 8, 4, 210, 22, 48], [0, 0, 0, 8, 4, 210, 22, 47]] {
        raw.send(&request);
        let mut answer = [0];
        std::io::Read::read_exact(&mut raw.stream, &mut answer).unwrap();
        assert_eq!(answer, *b"N");
    }
    raw.startup(&[("user", "x")]);
    assert_eq!(sqlstate(&raw.until(b'Z')), None);
}

#[test]
fn a_server_that_others_could_reach_unprotected_does_not_start() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let node = Node::plain();
    let everywhere = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let try_start = |settings: Settings| {
        let users = Users::in_memory(world.clone());
        Server::start(settings, node.engine.clone(), users, &world).map(|server| server.pg_address())
    };
    let password = Some("secret".to_owned());
    let open = Settings { pg_address: everywhere, flight_address: None, ..settings() };
    assert!(matches!(try_start(open.clone()), Err(Error::NoPassword(_))));
    assert!(matches!(try_start(Settings { password: password.clone(), ..open.clone() }), Err(Error::Plaintext(_))));
    let flight = Settings { pg_address: None, flight_address: everywhere, password: password.clone(), ..settings() };
    assert!(matches!(try_start(flight), Err(Error::Plaintext(_))));
    let http =
        Settings { pg_address: None, flight_address: None, http_address: everywhere, password: password.clone(), ..settings() };
    assert!(matches!(try_start(http.clone()), Err(Error::Plaintext(_))));
    assert!(matches!(try_start(Settings { password: None, ..http }), Err(Error::NoPassword(_))));
    let wrong = TlsPaths { certificate: data("test-key.pem"), key: data("test-key.pem") };
    assert!(matches!(
        try_start(Settings { password: password.clone(), tls: Some(wrong), ..open.clone() }),
        Err(Error::Tls { .. })
    ));
    assert!(matches!(try_start(Settings { password: Some(String::new()), ..open }), Err(Error::User { .. })));
    let taken = Settings { pg_address: Some(node.pg()), flight_address: None, ..settings() };
    assert!(matches!(try_start(taken), Err(Error::Listen { .. })));
    threads.stop();
}

#[test]
fn users_are_there_after_a_restart_and_damage_is_named() {
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    let dir = directory();
    world.disk.make_dir(&dir).unwrap();
    let users = Users::open(world.clone(), &dir).unwrap();
    assert!(users.is_empty());
    users.set_password("meridian", "one").unwrap();
    users.set_password("reader", "two").unwrap();
    users.set_password("meridian", "three").unwrap();
    assert!(matches!(users.set_password("a\tb", "x"), Err(Error::User { .. })));
    let users = Users::open(world.clone(), &dir).unwrap();
    assert!(users.verifier("meridian").accepts("three") && users.verifier("reader").accepts("two"));
    assert!(!users.verifier("meridian").accepts("one") && !users.verifier("nobody").accepts(""));
    let names: Vec<String> = world.disk.list(&dir).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["users-00000003"]);
    // A newer file that a crash cut off does not count; the older one does.
    let whole = std::fs::read(dir.join("users-00000003")).unwrap();
    std::fs::write(dir.join("users-00000004"), &whole[..whole.len() - 9]).unwrap();
    let users = Users::open(world.clone(), &dir).unwrap();
    assert!(users.verifier("meridian").accepts("three"));
    users.set_password("reader", "four").unwrap();
    assert!(Users::open(world.clone(), &dir).unwrap().verifier("reader").accepts("four"));
    // Damage with nothing older to go back to is named.
    std::fs::write(dir.join("users-00000005"), &whole[1..]).unwrap();
    assert!(matches!(Users::open(world, &dir), Err(Error::Users { .. })));
    std::fs::remove_dir_all(dir).unwrap();
    threads.stop();
}

#[test]
fn users_that_were_read_once_are_there_after_a_power_cut() {
    let mut newer = 0;
    for seed in 0..60 {
        let simulation = world::Simulation::new(seed);
        let dir = std::path::Path::new("/store");
        simulation.world().disk.make_dir(dir).unwrap();
        let open = || Users::open(simulation.world(), dir).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let users = open();
        users.set_password("reader", "one").unwrap();
        simulation.disk.set_faults(world::Faults { sync_error_one_in: 1, ..world::Faults::NONE });
        // The file is whole in the system's memory, and not on the disk.
        assert!(users.set_password("reader", "two").is_err());
        simulation.disk.set_faults(world::Faults::NONE);
        let users = open();
        let in_force = if users.verifier("reader").accepts("two") { "two" } else { "one" };
        newer += u32::from(in_force == "two");
        simulation.crash();
        assert!(open().verifier("reader").accepts(in_force), "seed {seed}");
    }
    assert!(newer > 0, "the file whose sync failed was read in some runs");
}
