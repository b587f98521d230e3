//! A transaction block's own queries see what it wrote, and give what they give after COMMIT; nobody else sees it before.

use crate::access::session;
use crate::fixture::House;
use crate::fleet::nodes;
use crate::fleet::questions;
use query::{Outcome, SessionSettings};
use types::DistributionRule;

const RULE: DistributionRule = DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: 8, day_us: 86_400_000_000 };

/// What blocks write: new tags and their samples beside others, some of which replace what is there or one another; or one deletion;
/// or changes of tags, alone and beside all these.
const BLOCKS: &[&[&str]] = &[
    &[
        "INSERT INTO samples VALUES ('a', '2026-01-03 00:00:00.101', 4), ('a', '2026-01-03 00:00:00.101', 5), ('b', '1980-01-01', 6), ('s', '2026-01-04 00:00:00.019', 'on')",
        "INSERT INTO samples (tag, time, value, quality) SELECT tag, time, value * 2, 192 FROM samples WHERE tag = 'f' AND time < '2026-01-02'",
        "INSERT INTO tags (name, kind, unit, labels, states) VALUES ('aa', 'f64', 'kV', '{\"site\":\"north\"}', NULL),
         ('new', 'state', 'MW', '{}', '{shut,open}'), ('note', 'text', 'log', '{\"site\":\"south\"}', NULL)",
        "INSERT INTO samples VALUES ('aa', '2026-01-02 00:00:00.102', 12), ('new', '2026-01-03 00:00:00.103', 'open'), ('aa', '2026-01-02 00:00:00.102', 13)",
        "INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('aa', 'f64'), ('whole', 'i64') ON CONFLICT DO NOTHING",
        "INSERT INTO integers VALUES ('whole', '2026-01-03 00:00:00.104', 900719925474099), ('c', '2026-01-21', 8)",
        "INSERT INTO events VALUES ('note', '2026-01-03', 'first'), ('u', '2026-01-03', 'again'), ('t', '2030-01-01', 'event 7', 'bad')",
        "INSERT INTO samples SELECT 'aa', time + INTERVAL '1 day', value FROM samples WHERE tag = 'aa'",
    ],
    &["DELETE FROM samples WHERE tag IN ('a', 'b', 'c') AND time >= '2026-01-02' AND time < '2026-01-04'"],
    &["DELETE FROM samples WHERE value > 100 AND value < 300"],
    &["DELETE FROM events WHERE tag = 't'"],
    &["DELETE FROM tags WHERE name IN ('gone', 'b', 'u')"],
    &["UPDATE tags SET unit = 'kV', description = name || ' is changed' WHERE unit = 'MW'"],
    &["UPDATE tags SET name = 'renamed', labels = '{\"site\":\"south\"}' WHERE name = 'a'"],
    &["UPDATE tags SET unit = 'kV' WHERE name = 'a'", "UPDATE tags SET description = unit || '!', unit = 'MW' WHERE unit = 'kV'"],
    &[
        "UPDATE tags SET unit = 'kV' WHERE name IN ('a', 'b')",
        "INSERT INTO tags (name, kind, unit) VALUES ('aa', 'f64', 'MW'), ('ab', 'i64', 'kV')",
        "UPDATE tags SET unit = 'A', labels = '{\"site\":\"south\"}' WHERE name IN ('aa', 'ab')",
        "INSERT INTO samples VALUES ('aa', '2026-01-02 00:00:00.102', 12), ('a', '2026-01-03 00:00:00.101', 4)",
        "UPDATE tags SET description = description || ' of ' || unit WHERE unit IN ('A', 'kV')",
        "INSERT INTO integers VALUES ('ab', '2026-01-03 00:00:00.104', 900719925474099)",
        "UPDATE tags SET unit = 'MW' WHERE name = 'ab'",
    ],
];

const TAGS: &str = "SELECT name, description, unit, kind, labels, states FROM tags ORDER BY name";

fn houses(fleet: bool) -> [House; 2] {
    let make = || {
        if fleet {
            House::fleet(|world, dir, catalog| nodes::fleet(world, dir, catalog, RULE, 3).0)
        } else {
            House::made(None, kernel::Settings { rule: RULE, ..kernel::Settings::default() }, |_| {})
        }
    };
    [make(), make()]
}

/// Rows in their order where the question says one, or the error.
async fn answer(house: &House, sql: &str) -> Result<Vec<String>, (&'static str, String)> {
    let rows = house.try_rows(sql, Vec::new()).await;
    let mut rows = rows.map_err(|error| (error.sqlstate(), error.message().to_owned()))?;
    if !crate::fleet::says_order(sql) {
        rows.sort();
    }
    Ok(rows)
}

/// All questions, in the block as after COMMIT; how many could not be answered in it.
async fn the_same(open: &House, done: &House, all: &[String]) -> usize {
    let mut unseen = 0;
    for sql in all {
        open.tag("SAVEPOINT asked").await;
        let own = answer(open, sql).await;
        open.tag("ROLLBACK TO asked").await;
        open.tag("RELEASE asked").await;
        if own.as_ref().is_err_and(|(state, message)| *state == "0A000" && message.contains("before COMMIT")) {
            unseen += 1;
            continue;
        }
        // Which row an error is of may differ.
        let state = |error: (&'static str, String)| error.0;
        assert_eq!(own.map_err(state), answer(done, sql).await.map_err(state), "{sql}");
    }
    unseen
}

async fn blocks_see_themselves(fleet: bool, step: usize) {
    let mut all: Vec<String> = questions::all().into_iter().step_by(step).collect();
    all.push(TAGS.to_owned());
    let values_at = all.iter().filter(|sql| sql.contains("values_at")).count();
    for (number, block) in BLOCKS.iter().enumerate() {
        let [open, done] = houses(fleet);
        for sql in questions::FURNITURE {
            assert_eq!(open.tag(sql).await, done.tag(sql).await);
        }
        let before = answer(&open, TAGS).await;
        open.tag("BEGIN").await;
        for sql in *block {
            assert_eq!(open.tag(sql).await, done.tag(sql).await, "{sql}");
        }
        let unseen = the_same(&open, &done, &all).await;
        match number {
            // Only what is asked of values at times, or of tags alone.
            0 | 5 | 7 | 8 => assert!(unseen <= values_at, "{number}: {unseen}"),
            // Samples are found by names.
            6 => assert!(unseen > all.len() / 2, "{number}: {unseen}"),
            _ => assert!(unseen < all.len() / 10, "{number}: {unseen}"),
        }
        if number % 2 == 1 {
            open.tag("ROLLBACK").await;
            assert_eq!(answer(&open, TAGS).await, before);
            continue;
        }
        open.tag("COMMIT").await;
        for sql in &all {
            assert_eq!(answer(&open, sql).await, answer(&done, sql).await, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_see_what_they_wrote() {
    blocks_see_themselves(false, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_see_what_they_wrote_in_a_fleet() {
    blocks_see_themselves(true, 11).await;
}

async fn refused(house: &House, sql: &str, state: &str) {
    let error = house.error(sql).await;
    assert_eq!(error.sqlstate(), state, "{sql}: {error:?}");
}

/// What another session sees.
async fn elsewhere(house: &House, sql: &str) -> Vec<String> {
    let other = house.engine.session(SessionSettings::default());
    let Ok(Outcome::Rows(rows)) = other.prepare(sql, &[]).await.unwrap().execute(Vec::new()).await else { panic!("{sql}") };
    let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
    batches.into_iter().flat_map(|batch| crate::fixture::texts(&batch.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tags_and_their_samples_are_there_together() {
    let house = House::furnished().await;
    house.tag("BEGIN").await;
    refused(&house, "INSERT INTO samples VALUES ('x', '2026-05-01', 1)", "23503").await;
    house.tag("ROLLBACK").await;
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name, kind) VALUES ('x', 'f64'), ('y', 'text')").await;
    house.tag("SAVEPOINT s").await;
    house.tag("INSERT INTO tags (name) VALUES ('z')").await;
    house.tag("INSERT INTO samples VALUES ('x', '2026-05-01', 1), ('z', '2026-05-01', 2), ('a', '2026-05-01', 3)").await;
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time = '2026-05-01'").await, ["3"]);
    house.tag("ROLLBACK TO s").await;
    refused(&house, "INSERT INTO samples VALUES ('z', '2026-05-01', 2)", "23503").await;
    house.tag("ROLLBACK TO s").await;
    refused(&house, "INSERT INTO samples VALUES ('y', '2026-05-01', 2)", "42804").await;
    house.tag("ROLLBACK TO s").await;
    refused(&house, "INSERT INTO tags (name) VALUES ('x')", "23505").await;
    house.tag("ROLLBACK TO s").await;
    house.tag("INSERT INTO samples VALUES ('x', '2026-05-01', 1), ('a', '2026-05-01', 3)").await;
    house.tag("INSERT INTO events VALUES ('y', '2026-05-01', 'kept')").await;
    let asked = "SELECT tag, value FROM samples WHERE time = '2026-05-01' ORDER BY tag";
    assert_eq!(house.rows(asked).await, ["a|3.0", "x|1.0"]);
    assert!(elsewhere(&house, asked).await.is_empty());
    assert_eq!(elsewhere(&house, "SELECT count(*) FROM tags WHERE name IN ('x', 'y', 'z')").await, ["0"]);
    house.tag("COMMIT").await;
    assert_eq!(elsewhere(&house, asked).await, ["a|3.0", "x|1.0"]);
    assert_eq!(elsewhere(&house, "SELECT text FROM events WHERE tag = 'y'").await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_double_holds_is_an_error_of_those_who_read_it() {
    let house = House::furnished().await;
    house.tag("BEGIN").await;
    house.tag("INSERT INTO integers VALUES ('i', '2026-05-01', 9007199254740993)").await;
    house.tag("SAVEPOINT s").await;
    for (sql, rows) in [
        ("SELECT value FROM integers WHERE time = '2026-05-01'", "9007199254740993"),
        ("SELECT count(*) FROM samples WHERE tag = 'i'", "3"),
        ("SELECT value FROM samples WHERE tag = 'i' AND time < '2026-01-02'", "5.0"),
        ("SELECT time FROM latest WHERE tag = 'i'", "2026-05-01T00:00:00Z"),
        ("SELECT value FROM latest WHERE tag = 'a'", "-3.0"),
    ] {
        assert_eq!(house.rows(sql).await, [rows], "{sql}");
    }
    for sql in ["SELECT max(value) FROM samples WHERE tag = 'i'", "SELECT value FROM latest WHERE tag = 'i'"] {
        refused(&house, sql, "22003").await;
        house.tag("ROLLBACK TO s").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_may_make_the_same_tags_meanwhile() {
    let house = House::furnished().await;
    let other = house.engine.session(SessionSettings::default());
    let make = async |sql: &str| drop(other.prepare(sql, &[]).await.unwrap().execute(Vec::new()).await.unwrap());
    // Whose they are is settled at COMMIT.
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('p'), ('q') ON CONFLICT DO NOTHING").await;
    house.tag("INSERT INTO samples VALUES ('p', '2026-05-01', 1), ('q', '2026-05-01', 2)").await;
    make("INSERT INTO tags (name) VALUES ('p')").await;
    make("INSERT INTO samples VALUES ('p', '2026-05-01', 9), ('p', '2026-05-02', 10)").await;
    house.tag("COMMIT").await;
    let asked = "SELECT tag, value FROM samples WHERE time >= '2026-05-01' ORDER BY time, tag";
    assert_eq!(house.rows(asked).await, ["p|1.0", "q|2.0", "p|10.0"]);
    for (made, meanwhile, state) in [
        ("INSERT INTO tags (name) VALUES ('r')", "INSERT INTO tags (name) VALUES ('r')", "23505"),
        (
            "INSERT INTO tags (name) VALUES ('t2') ON CONFLICT DO NOTHING",
            "INSERT INTO tags (name, kind) VALUES ('t2', 'i32')",
            "40001",
        ),
    ] {
        let name = if made.contains("'r'") { "r" } else { "t2" };
        house.tag("BEGIN").await;
        house.tag(made).await;
        house.tag(&format!("INSERT INTO samples VALUES ('{name}', '2026-06-01', 1), ('a', '2026-06-01', 1)")).await;
        make(meanwhile).await;
        refused(&house, "COMMIT", state).await;
        assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time = '2026-06-01'").await, ["0"], "{made}");
    }
    // A tag that goes takes the block with it, and the new tags too.
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('late')").await;
    house.tag("INSERT INTO samples VALUES ('late', '2026-06-01', 1), ('q', '2026-06-01', 1)").await;
    make("DELETE FROM tags WHERE name = 'q'").await;
    refused(&house, "COMMIT", "23503").await;
    assert_eq!(house.rows("SELECT count(*) FROM tags WHERE name = 'late'").await, ["0"]);
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time = '2026-06-01'").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_not_seen_in_ones_own_block() {
    let house = House::furnished().await;
    for sql in [
        "CREATE ROLE w LOGIN",
        "GRANT INSERT ON samples TO w",
        "GRANT INSERT ON tags TO w",
        "GRANT SELECT ON TAGS WHERE labels['site'] = 'north' TO w",
    ] {
        house.tag(sql).await;
    }
    let writer = session(&house, "w");
    let ask = async |sql: &str| crate::access::ask(&writer, sql, Vec::new()).await;
    ask("BEGIN").await.unwrap();
    ask("INSERT INTO tags (name, labels) VALUES ('seen', '{\"site\":\"north\"}'), ('unseen', '{\"site\":\"south\"}')")
        .await
        .unwrap();
    ask("INSERT INTO samples VALUES ('a', '2026-05-01', 1), ('b', '2026-05-01', 2), ('seen', '2026-05-01', 3), ('unseen', '2026-05-01', 4)")
        .await
        .unwrap();
    assert_eq!(
        ask("SELECT tag, value FROM samples WHERE time = '2026-05-01' ORDER BY tag").await.unwrap(),
        ["a|1.0", "seen|3.0"]
    );
    assert_eq!(ask("SELECT tag, value FROM latest ORDER BY tag").await.unwrap(), ["a|1.0", "seen|3.0"]);
    assert_eq!(ask("SELECT name FROM tags ORDER BY name").await.unwrap(), ["a", "seen"]);
    assert_eq!(ask("SELECT label('seen', 'site'), label('unseen', 'site')").await.unwrap(), ["north|NULL"]);
    ask("COMMIT").await.unwrap();
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time = '2026-05-01'").await, ["4"]);
}
