//! Roles on the ways that wait: cursors, named statements, what a block holds, COPY in binary; and statements about roles in blocks.

use super::model::{ROLES, RoleModel, TAGS};
use super::writes::{copied, expected};
use super::{a_fleet, ask, furnish, names, session};
use crate::copy::binary;
use crate::fixture::House;
use query::Session;
use std::sync::Arc;

const REFUSED: &str = "42501";

/// Every way of reading what a query gives, but at once: what is done before, and what gives the rows.
fn reads(query: &str) -> [(Vec<String>, String); 5] {
    let fetch = || "FETCH ALL FROM c".to_owned();
    [
        (vec!["BEGIN".to_owned(), format!("DECLARE c CURSOR FOR {query}")], fetch()),
        (
            vec![
                format!("DECLARE c SCROLL CURSOR WITH HOLD FOR {query}"),
                "MOVE 3 IN c".to_owned(),
                "MOVE ABSOLUTE 0 IN c".to_owned(),
            ],
            fetch(),
        ),
        (vec![format!("PREPARE p AS {query}")], "EXECUTE p".to_owned()),
        (vec!["BEGIN".to_owned(), "SAVEPOINT s".to_owned()], format!("COPY ({query}) TO STDOUT (FORMAT binary)")),
        (Vec::new(), format!("COPY ({query}) TO STDOUT WITH BINARY")),
    ]
}

async fn reads_are_as_the_model_says(house: &House, role: &RoleModel) {
    for table in ["samples", "integers", "events", "latest", "tags"] {
        let seen = role.sees(table).ok_or_else(|| REFUSED.to_owned());
        let name = if table == "tags" { "name" } else { "tag" };
        for query in [
            format!("SELECT {name} FROM {table}"),
            format!("SELECT {name}, count(*) FROM {table} GROUP BY {name} ORDER BY {name}"),
        ] {
            for (before, rows) in reads(&query) {
                let own = session(house, role.name);
                let mut failed = Ok(());
                for sql in &before {
                    if failed.is_ok() {
                        failed = ask(&own, sql, Vec::new()).await.map(drop);
                    }
                }
                let found = match failed {
                    Ok(()) => names(ask(&own, &rows, Vec::new()).await),
                    Err(state) => Err(state),
                };
                assert_eq!(found, seen, "{}: {before:?} {rows}", role.name);
            }
        }
    }
}

async fn writes_are_as_the_model_says(house: &House, role: &RoleModel) {
    let moment = 900_000_000_000_000_i64.to_be_bytes();
    let quality = 192_i16.to_be_bytes();
    for table in ["samples", "integers", "events"] {
        let (sql, value) = match table {
            "samples" => ("8", 8_f64.to_be_bytes().to_vec()),
            "integers" => ("8", 8_i64.to_be_bytes().to_vec()),
            _ => ("'y'", b"y".to_vec()),
        };
        for tag in &TAGS {
            let expect = expected(role, table, tag);
            // It is asked when it is written, not at COMMIT.
            let own = session(house, role.name);
            ask(&own, "BEGIN", Vec::new()).await.unwrap();
            let insert = format!("INSERT INTO {table} VALUES ('{}', '2027-01-01 00:00Z', {sql})", tag.name);
            assert_eq!(ask(&own, &insert, Vec::new()).await.map(drop), expect, "{}: {insert}", role.name);
            let end = if expect.is_ok() { "COMMIT" } else { "ROLLBACK" };
            assert_eq!(ask(&own, "COMMIT", Vec::new()).await, Ok(vec![end.to_owned()]), "{}: {insert}", role.name);
            let prepare = format!("PREPARE w (text) AS INSERT INTO {table} VALUES ($1, '2027-01-02 00:00Z', {sql})");
            ask(&own, &prepare, Vec::new()).await.unwrap();
            let execute = format!("EXECUTE w('{}')", tag.name);
            assert_eq!(ask(&own, &execute, Vec::new()).await.map(drop), expect, "{}: {execute}", role.name);
            let data = binary(&[&[Some(tag.name.as_bytes()), Some(&moment), Some(&value), Some(&quality)]]);
            let copy = format!("COPY {table} FROM STDIN (FORMAT binary)");
            assert_eq!(copied(&own, &copy, &data).await, expect, "{}: {copy} of {}", role.name, tag.name);
            let written =
                house.rows(&format!("SELECT count(*) FROM {table} WHERE tag = '{}' AND time >= '2027-01-01'", tag.name)).await;
            assert_eq!(written, [if expect.is_ok() { "3" } else { "0" }], "{}: {table} of {}", role.name, tag.name);
        }
        house.tag(&format!("DELETE FROM {table} WHERE time >= '2027-01-01'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_held_to_the_same_rights() {
    let house = House::empty();
    furnish(&house).await;
    for role in &ROLES {
        reads_are_as_the_model_says(&house, role).await;
        writes_are_as_the_model_says(&house, role).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_fleet_is_held_to_the_same_rights() {
    let house = a_fleet();
    furnish(&house).await;
    for role in &ROLES {
        reads_are_as_the_model_says(&house, role).await;
        writes_are_as_the_model_says(&house, role).await;
    }
}

async fn all(session: &Arc<Session>, sql: &str) -> String {
    ask(session, sql, Vec::new()).await.map_or_else(|state| state, |rows| rows.join(" "))
}

/// Statements of one session, and what each gives: its tag or rows, or its SQLSTATE.
async fn check(session: &Arc<Session>, rows: &[(&str, &str)]) {
    for (sql, expect) in rows {
        assert_eq!(all(session, sql).await, *expect, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_keeps_its_rights_and_a_named_statement_asks_again() {
    let house = House::empty();
    furnish(&house).await;
    let (reader, named, writer) = (session(&house, "plant"), session(&house, "plant"), session(&house, "plant"));
    let labelled = "SELECT tag, label(tag, 'site') FROM samples WHERE time = '2026-01-01 00:00:01Z' ORDER BY tag";
    let valued = "SELECT tag, value FROM values_at(ARRAY['plant.a', 'secret'], ARRAY['2026-01-02 00:00Z'::timestamptz, '2026-01-02 00:00Z']) WHERE 1 = 1";
    check(
        &reader,
        &[
            ("BEGIN", "BEGIN"),
            (&format!("DECLARE c CURSOR FOR {labelled}"), "DECLARE CURSOR"),
            (&format!("DECLARE v CURSOR FOR {valued}"), "DECLARE CURSOR"),
            ("FETCH c", "plant.a|north"),
        ],
    )
    .await;
    check(&named, &[(&format!("PREPARE p AS {labelled}"), "PREPARE"), ("EXECUTE p", "plant.a|north plant.b|south")]).await;
    check(&named, &[("PREPARE w AS INSERT INTO samples VALUES ('plant.a', '2026-07-01', 1)", "PREPARE")]).await;
    check(&writer, &[("BEGIN", "BEGIN"), ("INSERT INTO samples VALUES ('plant.a', '2026-06-01', 1)", "INSERT 0 1")]).await;
    house.tag("REVOKE ALL ON TAGS WHERE name LIKE 'plant.%' FROM plant").await;
    check(&reader, &[("FETCH ALL FROM c", "plant.b|south"), ("FETCH ALL FROM v", "plant.a|7.0 secret|NULL")]).await;
    check(&named, &[("EXECUTE p", REFUSED), ("EXECUTE w", REFUSED), ("EXPLAIN EXECUTE p", REFUSED)]).await;
    check(&writer, &[("INSERT INTO samples VALUES ('plant.a', '2026-06-02', 1)", REFUSED), ("COMMIT", "ROLLBACK")]).await;
    house.tag("GRANT ALL ON TAGS WHERE name LIKE 'plant.%' TO plant").await;
    check(&writer, &[("BEGIN", "BEGIN"), ("INSERT INTO samples VALUES ('plant.a', '2026-06-03', 1)", "INSERT 0 1")]).await;
    house.tag("REVOKE ALL ON TAGS WHERE name LIKE 'plant.%' FROM plant").await;
    check(&writer, &[("COMMIT", "COMMIT")]).await;
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time >= '2026-06-01'").await, ["1"]);
    // The role that executes is who counts, and the one that declared.
    let own = &house.session;
    let every = "other.a other.i plant.a plant.b plants secret";
    let query = "SELECT tag FROM samples WHERE time = '2026-01-01 00:00:01Z' ORDER BY tag";
    check(
        own,
        &[
            (&format!("PREPARE p AS {query}"), "PREPARE"),
            ("PREPARE q AS SELECT value FROM latest WHERE tag = 'secret'", "PREPARE"),
            (&format!("DECLARE c CURSOR WITH HOLD FOR {query}"), "DECLARE CURSOR"),
            ("SET ROLE north", "SET"),
            (&format!("DECLARE d CURSOR WITH HOLD FOR {query}"), "DECLARE CURSOR"),
            ("EXECUTE p", "other.a plant.a"),
            ("EXECUTE q", ""),
            ("FETCH ALL FROM c", every),
            ("RESET ROLE", "RESET"),
            ("FETCH ALL FROM d", "other.a plant.a"),
            ("EXECUTE p", every),
            ("EXECUTE q", "7.0"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_taken_on_in_a_block_goes_back_with_it() {
    let house = House::empty();
    furnish(&house).await;
    let count = "SELECT count(*) FROM samples";
    check(
        &house.session,
        &[
            ("BEGIN", "BEGIN"),
            ("SET timezone = 'Asia/Tokyo'", "SET"),
            ("SET ROLE nobody", "SET"),
            (count, REFUSED),
            ("ROLLBACK", "ROLLBACK"),
            ("SHOW role", "none"),
            ("SHOW is_superuser", "on"),
            (count, "12"),
            ("BEGIN", "BEGIN"),
            ("SET SESSION AUTHORIZATION plant", "SET"),
            ("SAVEPOINT s", "SAVEPOINT"),
            ("RESET SESSION AUTHORIZATION", "RESET"),
            (count, "12"),
            ("ROLLBACK TO s", "ROLLBACK"),
            ("SELECT current_user", "plant"),
            (count, "4"),
            ("COMMIT", "COMMIT"),
            (count, "4"),
            ("SHOW session_authorization", "plant"),
            ("DISCARD ALL", "DISCARD ALL"),
            (count, "12"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_about_roles_in_a_block_are_one_change() {
    let house = House::empty();
    furnish(&house).await;
    let roles = "SELECT rolname FROM pg_roles WHERE rolname IN ('a', 'b', 'c') ORDER BY rolname";
    let reads = "SELECT has_table_privilege('c', 'samples', 'SELECT')";
    check(
        &house.session,
        &[
            ("BEGIN", "BEGIN"),
            ("CREATE ROLE a LOGIN", "CREATE ROLE"),
            ("GRANT SELECT ON samples TO a", "GRANT"),
            ("ROLLBACK", "ROLLBACK"),
            (roles, ""),
            ("BEGIN", "BEGIN"),
            ("CREATE ROLE a", "CREATE ROLE"),
            ("CREATE ROLE b LOGIN IN ROLE a", "CREATE ROLE"),
            ("SAVEPOINT s", "SAVEPOINT"),
            ("DROP ROLE a", "DROP ROLE"),
            ("CREATE ROLE b", "42710"),
            ("ROLLBACK TO s", "ROLLBACK"),
            ("GRANT SELECT ON samples TO a", "GRANT"),
            ("ALTER ROLE b RENAME TO c", "ALTER ROLE"),
        ],
    )
    .await;
    let other = session(&house, "meridian");
    assert_eq!(all(&other, roles).await, "", "nobody sees it before COMMIT");
    check(&house.session, &[("COMMIT", "COMMIT"), (roles, "a c"), (reads, "true")]).await;
    for refused in [roles, "SELECT count(*) FROM samples", "INSERT INTO samples VALUES ('plants', '2026-06-01', 1)"] {
        check(&house.session, &[("BEGIN", "BEGIN"), ("DROP ROLE c", "DROP ROLE"), (refused, "0A000"), ("COMMIT", "ROLLBACK")])
            .await;
    }
    // What others did meanwhile may be in its way: then nothing of it is done.
    check(&house.session, &[("BEGIN", "BEGIN"), ("CREATE ROLE d", "CREATE ROLE"), ("ALTER ROLE c NOLOGIN", "ALTER ROLE")]).await;
    assert_eq!(all(&other, "DROP ROLE c").await, "DROP ROLE");
    check(&house.session, &[("COMMIT", "42704"), ("SELECT count(*) FROM pg_roles WHERE rolname = 'd'", "0")]).await;
    let own = session(&house, "plant");
    check(&own, &[("BEGIN", "BEGIN"), ("CREATE ROLE x", REFUSED), ("ROLLBACK", "ROLLBACK")]).await;
}
