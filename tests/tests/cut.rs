//! Connections cut in the middle of COPY, in every way in which a client can go: nothing of the COPY stays, the
//! server serves on, and the store is whole.

use std::io::{BufRead, BufReader, Write};
use tests::{Directory, RawClient, Server, meridian, start_psql, start_python};
use tokio_postgres::Client;

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It closes its side, as when its process ends well.
    Close,
    /// Its system resets the connection, as a firewall would.
    Reset,
    /// It closes within a message.
    CloseWithin,
    /// It says goodbye instead of ending the COPY.
    Terminate,
    /// It gives the COPY up, as it should.
    Fail,
    /// It says something that has no place in a COPY.
    Nonsense,
}

const CUTS: [Cut; 6] = [Cut::Close, Cut::Reset, Cut::CloseWithin, Cut::Terminate, Cut::Fail, Cut::Nonsense];

/// A table, its columns, and a row of it, as Python would format it with its number.
const TABLES: [(&str, &str, &str); 4] = [
    ("samples", "tag, time, value", "c.f64\t2024-01-01 00:00:00.{i:06}+00\t1.5"),
    ("integers", "tag, time, value", "c.i64\t2024-01-01 00:00:00.{i:06}+00\t{i}"),
    ("events", "tag, time, text", "c.text\t2024-01-01 00:00:00.{i:06}+00\tevent {i}"),
    ("tags", "name, kind", "c.new.{i}\tf64"),
];

fn rows(line: &str, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|i| line.replace("{i:06}", &format!("{i:06}")).replace("{i}", &i.to_string()) + "\n").collect()
}

fn with_server(name: &str, test: impl AsyncFnOnce(&Server, &Client)) {
    let directory = Directory::new(name);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let server = Server::start(directory.path(), &[]);
        let client = server.connect().await.expect("the server answers");
        let tags = "INSERT INTO tags(name, kind) VALUES ('c.f64', 'f64'), ('c.i64', 'i64'), ('c.text', 'text')";
        client.simple_query(tags).await.expect("tags can be made");
        test(&server, &client).await;
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
    let store = directory.path().join("store");
    let checked = meridian(&["check", store.to_str().expect("a temporary path is UTF-8")]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// Waits until no COPY runs any more.
async fn quiet(client: &Client) {
    let question = "SELECT count(*) FROM meridian.queries WHERE query LIKE 'COPY %'";
    while client.query_one(question, &[]).await.expect("the queries are listed").get::<_, i64>(0) > 0 {}
}

/// Checks that there is nothing but the tags made above, and `samples` samples.
async fn nothing_else(client: &Client, samples: i64, what: &str) {
    quiet(client).await;
    for (table, expected) in [("samples", samples), ("events", 0), ("tags", 3)] {
        let found: i64 =
            client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("the count is answered").get(0);
        assert_eq!(found, expected, "{what}: rows of {table}");
    }
}

/// Sends what is left of a COPY that is cut; the SQLSTATE that the client hears, if it still listens.
async fn cut(mut raw: RawClient, how: Cut) -> Option<String> {
    match how {
        Cut::Close => {}
        Cut::Reset => raw.reset(),
        Cut::CloseWithin => raw.send(b"d\0\0\x10\0c.f64\t2024").await,
        Cut::Terminate => raw.say(b'X', b"").await,
        Cut::Fail => {
            raw.say(b'f', b"changed my mind\0").await;
            return raw.until(b'Z').await;
        }
        Cut::Nonsense => {
            raw.say(b'Q', b"SELECT 1\0").await;
            return raw.until(b'Z').await;
        }
    }
    None
}

#[test]
fn a_copy_that_is_cut_leaves_nothing() {
    with_server("cut-raw", async |server, client| {
        for (table, columns, line) in TABLES {
            for how in CUTS {
                for count in [0, 1, 20_000] {
                    let what = format!("{how:?} after {count} rows of {table}");
                    let mut raw = RawClient::connect(server).await;
                    raw.begin_copy(&format!("COPY {table} ({columns}) FROM STDIN")).await;
                    for block in (0..count).step_by(1_000) {
                        raw.copy_data(rows(line, block..(block + 1_000).min(count)).as_bytes()).await;
                    }
                    let state = cut(raw, how).await;
                    let expected = match how {
                        Cut::Fail => Some("57014"),
                        Cut::Nonsense => Some("08P01"),
                        _ => None,
                    };
                    assert_eq!(state.as_deref(), expected, "{what}");
                    nothing_else(client, 0, &what).await;
                }
            }
        }
    });
}

#[test]
fn a_copy_in_batches_that_is_cut_leaves_whole_batches() {
    with_server("cut-batches", async |server, client| {
        let (table, columns, line) = TABLES[1];
        for how in CUTS {
            client.simple_query("DELETE FROM integers").await.expect("rows can be deleted");
            let mut raw = RawClient::connect(server).await;
            raw.say(b'Q', b"SET meridian.copy_batch_rows = 1000\0").await;
            assert_eq!(raw.until(b'Z').await, None, "the setting is taken");
            raw.begin_copy(&format!("COPY {table} ({columns}) FROM STDIN")).await;
            raw.copy_data(rows(line, 0..20_500).as_bytes()).await;
            cut(raw, how).await;
            quiet(client).await;
            let row = client.query_one("SELECT count(*), max(value) FROM integers", &[]).await.expect("the count is answered");
            let (found, highest): (i64, Option<i64>) = (row.get(0), row.get(1));
            // Rows are committed in their order: those that stay are the first ones.
            assert!(
                found <= 20_500 && highest.map_or(0, |highest| highest + 1) == found,
                "{how:?}: {found} rows up to {highest:?}"
            );
        }
    });
}

#[test]
fn clients_that_are_killed_leave_nothing() {
    with_server("cut-killed", async |server, client| {
        for (table, columns, line) in TABLES {
            let copy = format!("COPY {table} ({columns}) FROM STDIN");
            let mut psql = start_psql(server, &["-c", &copy]);
            let mut input = psql.stdin.take().expect("its input is piped");
            input.write_all(rows(line, 0..20_000).as_bytes()).expect("psql reads");
            let question = format!("SELECT count(*) FROM meridian.queries WHERE query = '{copy}'");
            while client.query_one(&question, &[]).await.expect("the queries are listed").get::<_, i64>(0) == 0 {}
            psql.kill().expect("psql can be killed");
            psql.wait().expect("a killed child ends");
            drop(input);
            nothing_else(client, 0, &format!("psql killed in a COPY of {table}")).await;

            let mut python = start_python(server, "copy_until_killed.py", &[table, columns, line]);
            let mut said = String::new();
            BufReader::new(python.stdout.take().expect("its output is piped")).read_line(&mut said).expect("python speaks");
            assert_eq!(said, "sent\n");
            python.kill().expect("python can be killed");
            python.wait().expect("a killed child ends");
            nothing_else(client, 0, &format!("psycopg killed in a COPY of {table}")).await;
        }
        // And a COPY that is not cut is taken.
        let (table, columns, line) = TABLES[0];
        let mut raw = RawClient::connect(server).await;
        raw.begin_copy(&format!("COPY {table} ({columns}) FROM STDIN")).await;
        raw.copy_data(rows(line, 0..1_000).as_bytes()).await;
        raw.say(b'c', b"").await;
        assert_eq!(raw.until(b'Z').await, None);
        nothing_else(client, 1_000, "a whole COPY").await;
    });
}
