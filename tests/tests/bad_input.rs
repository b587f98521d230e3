//! Bad input: each with the error expected, the connection or at least the server usable, the store unharmed.

use bytes::Bytes;
use futures::SinkExt;
use std::io::{Read, Write};
use std::net::TcpStream;
use tests::{Directory, Server};
use tokio_postgres::{Client, Error};

const SAMPLES: &str = "samples(tag, time, value, quality)";

async fn prepare(server: &Server) -> Client {
    let client = server.connect().await.expect("the server answers");
    let tags = "INSERT INTO tags(name, kind, states) VALUES ('b.f64', 'f64', NULL), ('b.f32', 'f32', NULL), ('b.i32', 'i32', NULL), ('b.i64', 'i64', NULL), ('b.bool', 'bool', NULL), ('b.state', 'state', ARRAY['off', 'on']), ('b.text', 'text', NULL)";
    client.simple_query(tags).await.expect("tags can be made");
    client
}

/// How many tags `prepare` makes.
const TAGS: i64 = 7;

fn state(error: &Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| format!("no SQLSTATE: {error:?}"))
}

async fn number(client: &Client, question: &str) -> i64 {
    client.query_one(question, &[]).await.expect("the count is answered").get(0)
}

async fn count(client: &Client) -> i64 {
    number(client, "SELECT count(*) FROM samples").await
}

/// Checks that nothing was kept of what was refused.
async fn nothing_kept(client: &Client, what: &str) {
    for (question, expected) in
        [("SELECT count(*) FROM samples", 0), ("SELECT count(*) FROM events", 0), ("SELECT count(*) FROM tags", TAGS)]
    {
        assert_eq!(number(client, question).await, expected, "{what}: {question}");
    }
}

async fn copy(client: &Client, into: &str, data: impl Into<Bytes>) -> Result<u64, Error> {
    let sink = client.copy_in(&format!("COPY {into}")).await?;
    futures::pin_mut!(sink);
    // As clients do it: in pieces. Where the server has refused already, its answer comes from `finish`.
    let mut data: Bytes = data.into();
    while !data.is_empty() {
        sink.send(data.split_to(data.len().min(256 << 10))).await?;
    }
    sink.finish().await
}

fn with_server(name: &str, test: impl AsyncFnOnce(&Server, Client)) {
    let directory = Directory::new(name);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let server = Server::start(directory.path(), &[]);
        let client = prepare(&server).await;
        test(&server, client).await;
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
}

/// What is said of an error beside its code.
fn told(error: &Error) -> String {
    let db = error.as_db_error();
    db.map(|e| format!("{} {} {}", e.message(), e.detail().unwrap_or_default(), e.where_().unwrap_or_default()))
        .unwrap_or_default()
}

#[test]
fn bad_rows_of_copy_are_named_and_nothing_is_kept() {
    with_server("bad-copy", async |_, client| {
        let good = "b.f64\t2024-01-01 00:00:00+00\t1\t192\n";
        let rows: &[(&[u8], &str)] = &[
            (b"b.f64\t2024-01-01 00:00:00+00\tabc\t192", "22P02"),
            (b"b.f64\t2024-01-01 00:00:00+00\t\t192", "22P02"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1e999\t192", "22003"),
            (b"b.f32\t2024-01-01 00:00:00+00\t1e39\t192", "22003"),
            (b"b.f64\t2024-01-01 00:00:00+00\t\\N\t192", "23502"),
            (b"b.f64\tyesterday-ish\t1\t192", "22007"),
            (b"b.f64\t\t1\t192", "22007"),
            (b"b.f64\t2024-13-45 00:00:00+00\t1\t192", "22008"),
            (b"b.f64\t2024-02-30 00:00:00+00\t1\t192", "22008"),
            (b"b.f64\t999999999-01-01 00:00:00+00\t1\t192", "22007"),
            (b"b.f64\t294248-01-01 00:00:00+00\t1\t192", "22008"),
            (b"b.f64\t290310-01-01 00:00:00+00 BC\t1\t192", "22008"),
            (b"b.f64\t\\N\t1\t192", "23502"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1", "22P04"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\t192\textra", "22P04"),
            (b"b.f64", "22P04"),
            (b"", "22P04"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\t256", "22003"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\t-1", "22003"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\tsplendid", "22P02"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\t\\N", "23502"),
            (b"b.i32\t2024-01-01 00:00:00+00\t2147483648\t192", "22003"),
            (b"b.i32\t2024-01-01 00:00:00+00\t1.5\t192", "22003"),
            (b"b.i64\t2024-01-01 00:00:00+00\t9223372036854775808\t192", "22003"),
            (b"b.i64\t2024-01-01 00:00:00+00\tNaN\t192", "22003"),
            (b"b.bool\t2024-01-01 00:00:00+00\t2\t192", "22P02"),
            (b"b.state\t2024-01-01 00:00:00+00\tajar\t192", "22P02"),
            (b"b.state\t2024-01-01 00:00:00+00\t-1\t192", "22003"),
            (b"b.text\t2024-01-01 00:00:00+00\t1\t192", "42804"),
            (b"unknown\t2024-01-01 00:00:00+00\t1\t192", "23503"),
            (b"\t2024-01-01 00:00:00+00\t1\t192", "23503"),
            (b"\\N\t2024-01-01 00:00:00+00\t1\t192", "23502"),
            (b"b.f64\xff\t2024-01-01 00:00:00+00\t1\t192", "22021"),
            (b"b.f64\\000\t2024-01-01 00:00:00+00\t1\t192", "22021"),
            (b"b.f64\t2024-01-01 00:00:00+00\t1\t192\\", "22P04"),
        ];
        for (row, expected) in rows {
            let data = [good.as_bytes(), row, b"\n", good.as_bytes()].concat();
            let shown = row.escape_ascii().to_string();
            let error = copy(&client, &format!("{SAMPLES} FROM STDIN"), data).await.expect_err(&shown);
            assert_eq!(state(&error), *expected, "{shown}: {error:?}");
            assert!(told(&error).contains("line 2"), "{shown}: the error names no line: {}", told(&error));
            assert_eq!(count(&client).await, 0, "{shown}: a failed COPY left rows");
        }
        assert_eq!(copy(&client, &format!("{SAMPLES} FROM STDIN"), good).await.expect("a good row is taken"), 1);
        assert_eq!(count(&client).await, 1);
    });
}

#[test]
fn bad_copies_of_other_tables_and_forms_are_refused() {
    with_server("bad-copies", async |_, client| {
        let long = "x".repeat(2_000);
        let text = "x".repeat((1 << 20) + 1);
        let copies: &[(&str, String, &str)] = &[
            ("nothing FROM STDIN", String::new(), "42P01"),
            ("samples(tag, tine) FROM STDIN", String::new(), "42703"),
            ("samples(tag, tag) FROM STDIN", String::new(), "42702"),
            ("latest FROM STDIN", String::new(), "0A000"),
            ("meridian.files FROM STDIN", String::new(), "42501"),
            ("samples FROM '/etc/passwd'", String::new(), "0A000"),
            ("samples FROM STDIN (FORMAT binary)", String::new(), "22P04"),
            ("samples FROM STDIN (FORMAT csv, DELIMITER 'ab')", String::new(), "42601"),
            ("samples FROM STDIN (FORMAT csv, DELIMITER '\"')", String::new(), "22023"),
            ("samples(tag, time, value) FROM STDIN (FORMAT csv)", "b.f64,2024-01-01,\"1".to_owned(), "22P04"),
            ("samples(tag, time, value) FROM STDIN (FORMAT csv)", "b.f64,2024-01-01,\"1\"2\n".to_owned(), "22P04"),
            ("samples(tag, time, value) FROM STDIN (FORMAT csv)", "b.f64,2024-01-01,1\"2\n".to_owned(), "22P04"),
            ("samples(time, value) FROM STDIN", "2024-01-01\t1\n".to_owned(), "23502"),
            ("integers(tag, time, value) FROM STDIN", "b.f64\t2024-01-01\t1\n".to_owned(), "42804"),
            ("integers(tag, time, value) FROM STDIN", "b.i64\t2024-01-01\t1e30\n".to_owned(), "22003"),
            ("events(tag, time, text) FROM STDIN", "b.f64\t2024-01-01\tx\n".to_owned(), "42804"),
            ("events(tag, time, text) FROM STDIN", format!("b.text\t2024-01-01\t{text}\n"), "22003"),
            ("events(tag, time, text) FROM STDIN", "b.text\t2024-01-01\t\\N\n".to_owned(), "23502"),
            ("tags(name, kind) FROM STDIN", "n\tf65\n".to_owned(), "22P02"),
            ("tags(name, kind) FROM STDIN", "b.f64\tf64\n".to_owned(), "23505"),
            ("tags(name, kind) FROM STDIN", "n\tf64\nn\tf64\n".to_owned(), "23505"),
            ("tags(name, kind) FROM STDIN", "\tf64\n".to_owned(), "23514"),
            ("tags(name, kind) FROM STDIN", format!("{long}\tf64\n"), "23514"),
            ("tags(name, kind) FROM STDIN", "a\\nb\tf64\n".to_owned(), "23514"),
            ("tags(kind) FROM STDIN", "f64\n".to_owned(), "23502"),
            ("tags(name, ordinal) FROM STDIN", "n\t7\n".to_owned(), "0A000"),
            ("tags(name, labels) FROM STDIN", "n\t{\n".to_owned(), "22P02"),
            ("tags(name, labels) FROM STDIN", "n\t{\"a\": []}\n".to_owned(), "22P02"),
            ("tags(name, states) FROM STDIN", "n\t{on}\n".to_owned(), "23514"),
            ("tags(name, kind, states) FROM STDIN", "n\tstate\t{on,on}\n".to_owned(), "23514"),
            ("tags(name, low) FROM STDIN", "n\tlow\n".to_owned(), "22P02"),
            ("tags(name, low, high) FROM STDIN", "n\t2\t1\n".to_owned(), "23514"),
            ("tags(name, cadence) FROM STDIN", "n\tsoon\n".to_owned(), "22007"),
            ("tags(name, cadence) FROM STDIN", "n\t1 month\n".to_owned(), "22023"),
            ("tags(name, compression) FROM STDIN", "n\tzip\n".to_owned(), "22P02"),
        ];
        for (into, data, expected) in copies {
            let error = copy(&client, into, data.clone()).await.expect_err(into);
            assert_eq!(state(&error), *expected, "{into} {data:.80?}: {error:?}");
            nothing_kept(&client, into).await;
        }
    });
}

/// A hundred MiB of one letter.
fn huge() -> String {
    "x".repeat(100 << 20)
}

#[test]
fn huge_names_and_statements_are_refused_without_harm() {
    with_server("bad-huge", async |server, client| {
        // A row of COPY comes in pieces: it is refused as soon as it is too long.
        for (into, row) in [
            ("tags(name, kind) FROM STDIN", format!("{}\tf64\n", huge())),
            ("samples(tag, time, value) FROM STDIN", format!("{}\t2024-01-01\t1\n", huge())),
            ("events(tag, time, text) FROM STDIN (FORMAT csv)", format!("b.text,2024-01-01,\"{}\n", huge())),
        ] {
            let error = copy(&client, into, row).await.expect_err(into);
            assert_eq!(state(&error), "22P04", "{into}: {error:?}");
            nothing_kept(&client, into).await;
        }
        // A message that is too long ends its connection, once the client has heard why.
        let insert = format!("INSERT INTO tags(name, kind) VALUES ('{}', 'f64')", huge());
        let second = server.connect().await.expect("the server answers");
        let error = second.simple_query(&insert).await.expect_err("a statement of 100 MB is taken");
        assert_eq!(state(&error), "54000", "{error:?}");
        let third = server.connect().await.expect("the server answers");
        let statement = third.prepare("INSERT INTO tags(name, kind) VALUES ($1, 'f64')").await.expect("it can be prepared");
        let error = third.execute(&statement, &[&huge()]).await.expect_err("a parameter of 100 MB is taken");
        assert_eq!(state(&error), "54000", "{error:?}");
        // What fits into a message is refused for what it is.
        let error = client.simple_query(&statement_text("x".repeat(40 << 20))).await.expect_err("a name of 40 MB is taken");
        assert!(["23514", "54001"].contains(&state(&error).as_str()), "{error:?}");
        let fourth = server.connect().await.expect("the server answers");
        let statement = fourth.prepare("INSERT INTO tags(name, kind) VALUES ($1, 'f64')").await.expect("it can be prepared");
        let error = fourth.execute(&statement, &[&"x".repeat(40 << 20)]).await.expect_err("a name of 40 MB is taken");
        assert_eq!(state(&error), "23514", "{error:?}");
        nothing_kept(&fourth, "names of 40 MB").await;
    });
}

fn statement_text(name: String) -> String {
    format!("INSERT INTO tags(name, kind) VALUES ('{name}', 'f64')")
}

#[test]
fn garbage_on_the_socket_harms_nobody() {
    with_server("bad-garbage", async |server, client| {
        let parts: &[&[u8]] = &[
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 64],
            &[0xFF; 64],
            // A startup message that says it is 2 GiB long.
            &[0x7F, 0xFF, 0xFF, 0xFF, 0, 3, 0, 0],
            // A startup message that ends early.
            &[0, 0, 0, 100, 0, 3, 0, 0, b'u'],
        ];
        for part in parts {
            let mut socket = TcpStream::connect(&server.pg).expect("the server listens");
            socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("a timeout can be set");
            drop(socket.write_all(part));
            drop(socket.shutdown(std::net::Shutdown::Write));
            let mut answer = Vec::new();
            drop(socket.read_to_end(&mut answer));
            let mut socket = TcpStream::connect(&server.flight).expect("the Flight door listens");
            drop(socket.write_all(part));
        }
        assert_eq!(count(&client).await, 0);
    });
}

#[test]
fn values_that_no_kind_holds_are_refused() {
    with_server("bad-values", async |_, client| {
        let rows: &[(&str, &str)] = &[
            ("INSERT INTO samples(tag, time, value) VALUES ('b.i32', now(), 2147483648)", "22003"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.bool', now(), 0.5)", "22P02"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', now(), 'abc')", "22P02"),
            ("INSERT INTO samples(tag, time, value, quality) VALUES ('b.f64', now(), 1, 300)", "22003"),
            ("INSERT INTO samples(tag, time, value) VALUES (NULL, now(), 1)", "23502"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', NULL, 1)", "23502"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', now(), NULL)", "23502"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', '2024-13-01', 1)", "22008"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', 'soon', 1)", "22007"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', 7, 1)", "22007"),
            ("INSERT INTO samples(tag, time, value) VALUES ('nobody', now(), 1)", "23503"),
            ("INSERT INTO events(tag, time, text) VALUES ('b.f64', now(), 'x')", "42804"),
            ("INSERT INTO tags(name) VALUES ('')", "23514"),
            ("INSERT INTO tags(name, kind) VALUES ('n', 'f64'), ('n', 'f64')", "23505"),
            ("UPDATE tags SET kind = 'i64' WHERE name = 'b.f64'", "23514"),
            ("UPDATE tags SET name = 'b.i32' WHERE name = 'b.f64'", "23505"),
        ];
        for (statement, expected) in rows {
            let error = client.simple_query(statement).await.expect_err(statement);
            assert_eq!(state(&error), *expected, "{statement}: {error:?}");
        }
        nothing_kept(&client, "refused statements").await;
    });
}
