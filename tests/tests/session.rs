//! What clients' sessions use beside plain queries, by real clients: cursors, named statements, binary COPY, transactions, pools.

use tests::{Directory, Server, psql, python};

fn with_script(name: &str, script: &str) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), &[]);
    python(&server, script, &[]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn psycopg_has_cursors_binary_copy_and_transactions() {
    with_script("session-psycopg", "session_psycopg.py");
}

#[test]
fn asyncpg_has_cursors_records_and_a_pool() {
    with_script("session-asyncpg", "session_asyncpg.py");
}

#[test]
fn sqlalchemy_streams_and_pools() {
    with_script("session-sqlalchemy", "session_sqlalchemy.py");
}

#[test]
fn psql_fetches_in_portions() {
    let directory = Directory::new("session-psql");
    let server = Server::start(directory.path(), &[]);
    let script = "\\pset tuples_only on
\\set FETCH_COUNT 100
SELECT n FROM generate_series(1, 1234) AS g(n);
SELECT 'and ' || 'after';
PREPARE p AS SELECT $1 * 2;
EXECUTE p(21);
BEGIN;
DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 3) AS g(n);
FETCH ALL FROM c;
MOVE c;
COMMIT;
SELECT count(*) FROM pg_cursors WHERE name = 'c';
SELECT n FROM generate_series(1, 1000) AS g(n) WHERE 1 / (n - 500) >= 0 OR true;
SELECT 'goes on';
";
    let output = psql(&server, script);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = out.lines().collect();
    let numbers: Vec<String> = (1..=1234).map(|n| n.to_string()).collect();
    assert_eq!(lines[..1234], numbers, "{err}");
    assert_eq!(lines[1234..1240], ["and after", "42", "1", "2", "3", "0"], "{err}");
    assert_eq!(lines.last(), Some(&"goes on"), "{out}{err}");
    assert!(err.lines().filter(|line| line.contains("ERROR")).all(|line| line.contains("22012")), "{err}");
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}
