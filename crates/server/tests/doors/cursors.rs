//! Cursors, named statements, binary COPY and transaction blocks over the PostgreSQL door, message by message.

use crate::node::Node;
use crate::wire::{Raw, kinds, message, sqlstate};
use types::Kind;

type Messages = Vec<(u8, Vec<u8>)>;

/// Asks a text and takes its whole answer.
fn ask(raw: &mut Raw, sql: &str) -> Messages {
    raw.query(sql);
    raw.until(b'Z')
}

/// The first column of the rows, as text.
fn firsts(messages: &[(u8, Vec<u8>)]) -> Vec<String> {
    let rows = messages.iter().filter(|(kind, _)| *kind == b'D');
    rows.map(|(_, body)| {
        let length = i32::from_be_bytes(body[2..6].try_into().unwrap()) as usize;
        String::from_utf8_lossy(&body[6..6 + length]).into_owned()
    })
    .collect()
}

/// The command tags.
fn tags(messages: &[(u8, Vec<u8>)]) -> Vec<String> {
    let ends = messages.iter().filter(|(kind, _)| *kind == b'C');
    ends.map(|(_, body)| String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()).collect()
}

fn status(messages: &[(u8, Vec<u8>)]) -> char {
    messages.last().map_or('?', |(_, body)| body[0] as char)
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Bind without parameters; `format` is that of all columns of the answer.
fn bind(portal: &str, statement: &str, format: u8) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\x01\0{}", format as char).as_bytes())
}

fn execute(portal: &str, rows: u8) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0{}", rows as char).as_bytes())
}

fn exchange(raw: &mut Raw, messages: &[Vec<u8>]) -> Messages {
    raw.send(&[messages.concat(), message(b'S', b"")].concat());
    raw.until(b'Z')
}

const ROWS: &str = "SELECT n FROM generate_series(1, 7) AS g(n)";

#[tokio::test(flavor = "multi_thread")]
async fn cursors_answer_as_postgresql_does() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    assert_eq!(tags(&ask(&mut raw, &format!("BEGIN; DECLARE \"c\" CURSOR FOR {ROWS}"))), ["BEGIN", "DECLARE CURSOR"]);
    let fetched = ask(&mut raw, "FETCH FORWARD 3 FROM c; MOVE c; FETCH ALL c; FETCH c; CLOSE c");
    assert_eq!(tags(&fetched), ["FETCH 3", "MOVE 1", "FETCH 3", "FETCH 0", "CLOSE CURSOR"]);
    assert_eq!(firsts(&fetched), ["1", "2", "3", "5", "6", "7"]);
    assert_eq!(kinds(&fetched), "TDDDCCTDDDCTCCZ");
    // BINARY: the simple protocol's only way to binary rows.
    ask(&mut raw, &format!("DECLARE b BINARY CURSOR FOR {ROWS}"));
    let fetched = ask(&mut raw, "FETCH b");
    assert_eq!(fetched[0].1[fetched[0].1.len() - 2..], [0, 1], "the description says binary");
    assert_eq!(fetched[1].1, [&[0, 1, 0, 0, 0, 8][..], &1_i64.to_be_bytes()].concat());
    // The extended protocol: parameters in DECLARE, descriptions of the cursor and of FETCH, formats of the answer.
    let declare = parse("", &format!("DECLARE e CURSOR FOR {ROWS} WHERE n > $1::bigint"));
    let two = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x012\0\0");
    let done = exchange(&mut raw, &[declare, two, execute("", 0), message(b'D', b"Pe\0")]);
    assert_eq!((kinds(&done).as_str(), tags(&done)), ("12CTZ", vec!["DECLARE CURSOR".to_owned()]));
    let fetched = exchange(
        &mut raw,
        &[parse("f", "FETCH 2 FROM e"), message(b'D', b"Sf\0"), bind("", "f", 1), message(b'D', b"P\0"), execute("", 0)],
    );
    assert_eq!((kinds(&fetched).as_str(), tags(&fetched)), ("1tT2TDDCZ", vec!["FETCH 2".to_owned()]));
    assert_eq!(fetched[5].1[6..], 3_i64.to_be_bytes());
    // A FETCH that was parsed is good for the cursor of that name, whatever its columns are by then.
    ask(&mut raw, "CLOSE e; DECLARE e CURSOR FOR SELECT 'x' AS a, 'y' AS b");
    let fetched = exchange(&mut raw, &[bind("", "f", 0), message(b'D', b"P\0"), execute("", 0)]);
    assert_eq!((kinds(&fetched).as_str(), fetched[1].1[..2].to_vec()), ("2TDCZ", vec![0, 2]));
    // Close of the portal closes a cursor, as DECLARE makes a portal.
    exchange(&mut raw, &[message(b'C', b"Pe\0")]);
    let failed = ask(&mut raw, "FETCH e");
    assert_eq!((sqlstate(&failed).as_deref(), status(&failed)), (Some("34000"), 'E'));
    assert_eq!(status(&ask(&mut raw, "ROLLBACK")), 'I');
    for (sql, state) in [
        (format!("DECLARE c CURSOR FOR {ROWS}"), "25P01"),
        ("CLOSE c".to_owned(), "34000"),
        ("FETCH c".to_owned(), "34000"),
        ("FETCH 1 FROM".to_owned(), "42601"),
    ] {
        assert_eq!(sqlstate(&ask(&mut raw, &sql)).as_deref(), Some(state), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn named_portals_are_cursors_in_the_list() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    ask(&mut raw, "BEGIN");
    let first = exchange(&mut raw, &[parse("s", ROWS), bind("p", "s", 0), execute("p", 3)]);
    assert_eq!(kinds(&first), "12DDDsZ");
    assert_eq!(firsts(&ask(&mut raw, "SELECT name FROM pg_cursors WHERE statement LIKE '%generate_series%'")), ["p"]);
    let more = exchange(&mut raw, &[execute("p", 0)]);
    assert_eq!(firsts(&more), ["4", "5", "6", "7"]);
    assert_eq!(sqlstate(&ask(&mut raw, &format!("DECLARE p CURSOR FOR {ROWS}"))).as_deref(), Some("42P03"));
    ask(&mut raw, "ROLLBACK");
    ask(&mut raw, "BEGIN");
    ask(&mut raw, &format!("DECLARE c CURSOR FOR {ROWS}"));
    assert_eq!(sqlstate(&exchange(&mut raw, &[bind("c", "s", 0)])).as_deref(), Some("42P03"));
    ask(&mut raw, "ROLLBACK");
    ask(&mut raw, "BEGIN");
    exchange(&mut raw, &[bind("q", "s", 0), execute("q", 1)]);
    assert_eq!(tags(&ask(&mut raw, "CLOSE q")), ["CLOSE CURSOR"]);
    assert_eq!(sqlstate(&exchange(&mut raw, &[execute("q", 1)])).as_deref(), Some("34000"));
    ask(&mut raw, "ROLLBACK");
    assert_eq!(firsts(&ask(&mut raw, "SELECT name FROM pg_cursors")), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_have_one_list_of_names() {
    let node = Node::plain();
    let mut raw = Raw::log_in(node.pg());
    exchange(&mut raw, &[parse("wire", "SELECT $1::bigint + 1")]);
    assert_eq!(firsts(&ask(&mut raw, "EXECUTE wire(41)")), ["42"]);
    assert_eq!(sqlstate(&ask(&mut raw, "PREPARE wire AS SELECT 1")).as_deref(), Some("42P05"));
    assert_eq!(tags(&ask(&mut raw, "PREPARE sql AS SELECT 'of sql' AS a")), ["PREPARE"]);
    let ran = exchange(&mut raw, &[message(b'D', b"Ssql\0"), bind("", "sql", 0), execute("", 0)]);
    assert_eq!((kinds(&ran).as_str(), firsts(&ran)), ("tT2DCZ", vec!["of sql".to_owned()]));
    assert_eq!(sqlstate(&exchange(&mut raw, &[parse("sql", "SELECT 1")])).as_deref(), Some("42P05"));
    let list = "SELECT name || CASE WHEN from_sql THEN ' by sql' ELSE ' by wire' END FROM pg_prepared_statements ORDER BY name";
    assert_eq!(firsts(&ask(&mut raw, list)), ["sql by sql", "wire by wire"]);
    assert_eq!(tags(&ask(&mut raw, "DEALLOCATE wire")), ["DEALLOCATE"]);
    assert_eq!(sqlstate(&exchange(&mut raw, &[message(b'B', b"\0wire\0\0\0\0\x01\0\0\0\x011\0\0")])).as_deref(), Some("26000"));
    assert_eq!(kinds(&exchange(&mut raw, &[parse("wire", "SELECT 2"), bind("", "wire", 0), execute("", 0)])), "12DCZ");
    // EXECUTE by the extended protocol has the columns of what it executes.
    let ran = exchange(&mut raw, &[parse("", "EXECUTE sql"), message(b'D', b"S\0"), bind("", "", 0), execute("", 0)]);
    assert_eq!((kinds(&ran).as_str(), tags(&ran)), ("1tT2DCZ", vec!["SELECT 1".to_owned()]));
    exchange(&mut raw, &[message(b'C', b"Ssql\0")]);
    assert_eq!(sqlstate(&ask(&mut raw, "EXECUTE sql")).as_deref(), Some("26000"));
    assert_eq!(tags(&ask(&mut raw, "DEALLOCATE ALL")), ["DEALLOCATE ALL"]);
    assert_eq!(firsts(&ask(&mut raw, list)), [""; 0]);
    // What is prepared and forgotten over and over leaves nothing behind.
    let node = Node::start(server::Settings { statements_max: 3, ..crate::node::settings() });
    let mut raw = Raw::log_in(node.pg());
    for number in 0..20 {
        let name = format!("s{number}");
        assert_eq!(kinds(&exchange(&mut raw, &[parse(&name, "SELECT 1")])), "1Z", "{number}");
        ask(&mut raw, &format!("DEALLOCATE {name}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_copy_is_cut_into_messages_as_postgresql_cuts_it() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut raw = Raw::log_in(node.pg());
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let out = ask(&mut raw, "COPY (SELECT n FROM generate_series(1, 2) AS g(n)) TO STDOUT (FORMAT binary)");
    assert_eq!(kinds(&out), "HdddcCZ");
    assert_eq!(out[0].1, [1, 0, 1, 0, 1]);
    let row = |n: i64| [&b"\0\x01\0\0\0\x08"[..], &n.to_be_bytes()].concat();
    assert_eq!(out[1].1, [&head[..], &row(1)].concat(), "the head comes with the first row");
    assert_eq!((out[2].1.clone(), out[3].1.clone()), (row(2), vec![0xff, 0xff]));
    let out = ask(&mut raw, "COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT binary)");
    assert_eq!((kinds(&out).as_str(), out[1].1.clone()), ("HdcCZ", [&head[..], b"\xff\xff"].concat()));
    let written =
        [&head[..], b"\0\x03\0\0\0\x02t0\0\0\0\x08", &[0; 8], b"\0\0\0\x08", &2.5_f64.to_be_bytes(), b"\xff\xff"].concat();
    raw.query("COPY samples (tag, time, value) FROM STDIN (FORMAT binary)");
    assert_eq!(raw.next().unwrap(), (b'G', vec![1, 0, 3, 0, 1, 0, 1, 0, 1]));
    raw.send(&[message(b'd', &written[..30]), message(b'd', &written[30..]), message(b'c', b"")].concat());
    assert_eq!(tags(&raw.until(b'Z')), ["COPY 1"]);
    assert_eq!(firsts(&ask(&mut raw, "SELECT value FROM samples")), ["2.5"]);
    raw.query("COPY samples (tag, time, value) FROM STDIN (FORMAT binary)");
    raw.send(&[message(b'd', b"t0\t2000-01-01\t1\n"), message(b'c', b"")].concat());
    assert_eq!(sqlstate(&raw.until(b'Z')).as_deref(), Some("22P04"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_commit_or_roll_back_whole() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut raw = Raw::log_in(node.pg());
    let count = |raw: &mut Raw| firsts(&ask(raw, "SELECT count(*) FROM samples")).join("");
    let insert = "INSERT INTO samples VALUES ('t0', '2026-01-01', 1)";
    for (sql, error, block) in [
        ("BEGIN", None, 'T'),
        (insert, None, 'T'),
        ("SAVEPOINT a", None, 'T'),
        ("INSERT INTO samples VALUES ('nobody', '2026-01-01', 1)", Some("23503"), 'E'),
        ("SAVEPOINT b", Some("25P02"), 'E'),
        ("ROLLBACK TO SAVEPOINT nobody", Some("3B001"), 'E'),
        ("ROLLBACK TO SAVEPOINT a", None, 'T'),
        ("SELECT count(*) FROM samples", None, 'T'),
        ("SELECT * FROM values_at(ARRAY['t0'], ARRAY[now()])", Some("0A000"), 'E'),
        ("ROLLBACK TO a", None, 'T'),
        ("COMMIT", None, 'I'),
    ] {
        let answer = ask(&mut raw, sql);
        assert_eq!((sqlstate(&answer).as_deref(), status(&answer)), (error, block), "{sql}");
    }
    assert_eq!(count(&mut raw), "1");
    // What the point path can't see is asked through a plan, or refused.
    let latest = [parse("l", "SELECT value FROM latest WHERE tag = 't0'"), bind("", "l", 0), execute("", 0)];
    assert_eq!(firsts(&exchange(&mut raw, &latest)), ["1"]);
    ask(&mut raw, "BEGIN");
    assert_eq!(kinds(&exchange(&mut raw, &latest[1..])), "2DCZ");
    ask(&mut raw, "INSERT INTO samples VALUES ('t0', '2026-01-02', 7)");
    assert_eq!(firsts(&exchange(&mut raw, &latest[1..])), ["7"]);
    ask(&mut raw, "ROLLBACK");
    ask(&mut raw, "BEGIN");
    ask(&mut raw, "DELETE FROM samples");
    assert_eq!(sqlstate(&exchange(&mut raw, &latest[1..])).as_deref(), Some("0A000"));
    ask(&mut raw, "ROLLBACK");
    assert_eq!(count(&mut raw), "1");
    // A connection that goes leaves nothing of its block.
    ask(&mut raw, "BEGIN");
    ask(&mut raw, "DELETE FROM samples");
    drop(raw);
    let mut raw = Raw::log_in(node.pg());
    assert_eq!(count(&mut raw), "1");
    // COMMIT that fails has ended the block.
    ask(&mut raw, "BEGIN");
    ask(&mut raw, "INSERT INTO samples VALUES ('t0', '2026-01-02', 1)");
    let mut other = Raw::log_in(node.pg());
    assert_eq!(tags(&ask(&mut other, "DELETE FROM tags")), ["DELETE 1"]);
    let failed = ask(&mut raw, "COMMIT");
    assert_eq!((sqlstate(&failed).as_deref(), status(&failed)), (Some("23503"), 'I'));
    // What asyncpg's pool says when it takes a connection back.
    let reset = ask(&mut raw, "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;");
    assert_eq!((sqlstate(&reset), tags(&reset).len()), (None, 4));
}
