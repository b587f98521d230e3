//! Bad input: each with the error expected, the connection or at least the server usable, the store unharmed.

use bytes::Bytes;
use futures::SinkExt;
use std::io::{Read, Write};
use std::net::TcpStream;
use tests::{Directory, Server};
use tokio_postgres::{Client, Error};

const COPY: &str = "COPY samples(tag, time, value, quality) FROM STDIN";

async fn prepare(server: &Server) -> Client {
    let client = server.connect().await.expect("the server answers");
    let tags = "INSERT INTO tags(name, kind) VALUES ('b.f64', 'f64'), ('b.i32', 'i32'), ('b.bool', 'bool'), ('b.text', 'text')";
    client.simple_query(tags).await.expect("tags can be made");
    client
}

fn state(error: &Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| format!("no SQLSTATE: {error:?}"))
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM samples", &[]).await.expect("the count is answered").get(0)
}

async fn copy(client: &Client, text: &str) -> Result<u64, Error> {
    let sink = client.copy_in(COPY).await?;
    futures::pin_mut!(sink);
    sink.send(Bytes::from(text.to_owned())).await?;
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

#[test]
fn bad_rows_of_copy_are_named_and_nothing_is_kept() {
    with_server("bad-copy", async |_, client| {
        let good = "b.f64\t2024-01-01 00:00:00+00\t1\t192\n";
        let rows: &[(&str, &str)] = &[
            ("b.f64\t2024-01-01 00:00:00+00\tabc\t192", "22P02"),
            ("b.f64\tyesterday-ish\t1\t192", "22007"),
            ("b.f64\t2024-13-45 00:00:00+00\t1\t192", "22"),
            ("b.f64\t999999999-01-01 00:00:00+00\t1\t192", "22"),
            ("b.f64\t2024-01-01 00:00:00+00\t1", "22P04"),
            ("b.f64\t2024-01-01 00:00:00+00\t1\t192\textra", "22P04"),
            ("b.f64\t2024-01-01 00:00:00+00\t1\t256", "22"),
            ("b.f64\t2024-01-01 00:00:00+00\t1\tsplendid", "22"),
            ("b.i32\t2024-01-01 00:00:00+00\t2147483648\t192", "22003"),
            ("b.i32\t2024-01-01 00:00:00+00\t1.5\t192", "22"),
            ("b.bool\t2024-01-01 00:00:00+00\t2\t192", "22"),
            ("b.text\t2024-01-01 00:00:00+00\t1\t192", "42804"),
            ("unknown\t2024-01-01 00:00:00+00\t1\t192", "23503"),
            ("\\N\t2024-01-01 00:00:00+00\t1\t192", "23502"),
            ("b.f64\t\\N\t1\t192", "23502"),
        ];
        for (row, expected) in rows {
            let error = copy(&client, &format!("{good}{row}\n{good}")).await.expect_err(row);
            assert!(state(&error).starts_with(expected), "{row:?}: expected {expected}, got {}: {error:?}", state(&error));
            let text = error
                .as_db_error()
                .map(|e| format!("{} {} {}", e.message(), e.detail().unwrap_or_default(), e.where_().unwrap_or_default()))
                .unwrap_or_default();
            assert!(text.contains("line 2"), "{row:?}: the error names no line: {text}");
            assert_eq!(count(&client).await, 0, "{row:?}: a failed COPY left rows");
        }
        assert_eq!(copy(&client, good).await.expect("a good row is taken"), 1);
        assert_eq!(count(&client).await, 1);
    });
}

#[test]
fn a_connection_cut_in_the_middle_of_copy_leaves_nothing() {
    with_server("bad-cut", async |server, client| {
        for rows in [1, 1_000, 100_000] {
            let second = server.connect().await.expect("the server answers");
            let sink = second.copy_in::<_, Bytes>(COPY).await.expect("COPY begins");
            let mut sink = Box::pin(sink);
            for block in 0..rows / 1_000 + 1 {
                let text: String = (0..rows.min(1_000))
                    .map(|i| format!("b.f64\t2024-01-01 00:00:00+00\t{}\t192\n", block * 1_000 + i))
                    .collect();
                sink.send(Bytes::from(text)).await.expect("rows are taken");
            }
            // Dropping the sink sends CopyFail; dropping the client closes the connection.
            drop(sink);
            drop(second);
            assert_eq!(count(&client).await, 0, "{rows} rows of an unfinished COPY were kept");
        }
    });
}

#[test]
fn huge_names_and_statements_are_refused_without_harm() {
    with_server("bad-huge", async |server, client| {
        let long = "x".repeat(2_000);
        let error = client
            .simple_query(&format!("INSERT INTO tags(name, kind) VALUES ('{long}', 'f64')"))
            .await
            .expect_err("a name of 2,000 bytes is taken");
        assert_eq!(state(&error), "23514", "{error:?}");
        let huge = "x".repeat(100 << 20);
        let second = server.connect().await.expect("the server answers");
        second
            .simple_query(&format!("INSERT INTO tags(name, kind) VALUES ('{huge}', 'f64')"))
            .await
            .expect_err("a name of 100 MB is taken");
        assert_eq!(client.query_one("SELECT count(*) FROM tags", &[]).await.expect("tags are counted").get::<_, i64>(0), 4);
    });
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
            ("INSERT INTO samples(tag, time, value) VALUES ('b.bool', now(), 0.5)", "22"),
            ("INSERT INTO samples(tag, time, value, quality) VALUES ('b.f64', now(), 1, 300)", "22"),
            ("INSERT INTO samples(tag, time, value) VALUES (NULL, now(), 1)", "23502"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', NULL, 1)", "23502"),
            ("INSERT INTO samples(tag, time, value) VALUES ('b.f64', now(), NULL)", "23502"),
            ("INSERT INTO events(tag, time, text) VALUES ('b.f64', now(), 'x')", "42804"),
            ("INSERT INTO tags(name) VALUES ('')", "23514"),
            ("INSERT INTO tags(name, kind) VALUES ('n', 'f64'), ('n', 'f64')", "23505"),
            ("UPDATE tags SET kind = 'i64' WHERE name = 'b.f64'", "23514"),
            ("UPDATE tags SET name = 'b.i32' WHERE name = 'b.f64'", "23505"),
        ];
        for (statement, expected) in rows {
            let error = client.simple_query(statement).await.expect_err(statement);
            assert!(state(&error).starts_with(expected), "{statement}: expected {expected}, got {}: {error:?}", state(&error));
        }
        assert_eq!(count(&client).await, 0);
    });
}
