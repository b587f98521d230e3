//! Statements and their answers: tables, writing, errors with their SQLSTATE and place.

use crate::fixture::House;
use query::Outcome;

async fn check(house: &House, sql: &str, expect: &[&str]) {
    assert_eq!(house.rows(sql).await, expect, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_show_what_was_written() {
    let house = House::furnished().await;
    check(
        &house,
        "SELECT * FROM samples WHERE tag = 'a' ORDER BY time",
        &["a|2026-01-01T00:00:00Z|1.5|192", "a|2026-01-01T00:00:01Z|2.5|0", "a|2026-01-01T00:00:02Z|-3.0|192"],
    )
    .await;
    check(&house, "SELECT count(*), sum(value) FROM samples", &["8|30.0"]).await;
    check(&house, "SELECT tag, value FROM integers ORDER BY tag, time", &["i|5", "i|-7", "s|1"]).await;
    check(&house, "SELECT text FROM events WHERE quality = 'uncertain'", &["stopped"]).await;
    check(
        &house,
        "SELECT tag, value, text, quality FROM latest ORDER BY tag",
        &["a|-3.0|NULL|192", "b|20.0|NULL|64", "i|-7.0|NULL|192", "s|1.0|NULL|192", "t|NULL|stopped|64"],
    )
    .await;
    check(
        &house,
        "SELECT name, kind, unit, labels, states FROM tags WHERE name IN ('a', 's') ORDER BY name",
        &["a|f64|kV|{\"site\":\"north\"}|NULL", "s|state||{}|[off, on]"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_on_tag_and_time_keep_what_they_say() {
    let house = House::furnished().await;
    let count = async |filter: &str, expect: &str| {
        check(&house, &format!("SELECT count(*) FROM samples WHERE {filter}"), &[expect]).await;
        check(&house, &format!("SELECT count(tag || 'x') FROM samples WHERE {filter}"), &[expect]).await;
    };
    count("tag IN ('a', 's', 'nowhere')", "4").await;
    count("tag LIKE 'a%'", "3").await;
    count("tag ~ '^[ab]$'", "5").await;
    count("tag > 'a' AND tag <> 'i'", "3").await;
    count("tag = 'a' AND time > '2026-01-01' AND time <= '2026-01-01 00:00:02'", "2").await;
    count("time BETWEEN '2026-01-01 00:00:01' AND '2026-01-01 12:00:00'", "2").await;
    count("time = '2026-01-02' OR time < '2026-01-01 00:00:01'", "6").await;
    count("tag = 'a' AND value > 0", "2").await;
    count("quality = 'good'", "6").await;
    count("quality >= 192 AND tag = 'a'", "2").await;
    count("tag IN (SELECT name FROM tags WHERE unit = 'kV')", "3").await;
    count("false", "0").await;
    count("tag = NULL", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_is_exact_and_replaces() {
    let house = House::furnished().await;
    assert_eq!(
        house
            .tag("INSERT INTO samples (value, time, tag) VALUES (9007199254740993, '2026-03-01', 'i'), (1.5, '2026-03-01', 'a')")
            .await,
        "INSERT 0 2"
    );
    check(&house, "SELECT value FROM integers WHERE time = '2026-03-01'", &["9007199254740993"]).await;
    let error = house.error("SELECT value FROM samples WHERE tag = 'i' AND time >= '2026-03-01' AND time < '2026-04-01'").await;
    assert_eq!((error.sqlstate(), error.hint().is_some()), ("22003", true));
    let error = house.error("SELECT value + 1 FROM samples WHERE tag = 'i'").await;
    assert_eq!(error.sqlstate(), "22003");
    house.tag("INSERT INTO samples SELECT tag, time + INTERVAL '1 year', value * 2, quality FROM samples WHERE tag = 'b'").await;
    check(
        &house,
        "SELECT time, value, quality FROM samples WHERE tag = 'b' ORDER BY time DESC LIMIT 2",
        &["2027-01-02T00:00:00Z|40.0|64", "2027-01-01T00:00:00Z|20.0|192"],
    )
    .await;
    house.tag("INSERT INTO samples VALUES ('b', '2027-01-01', 7 + 1)").await;
    house
        .tag("INSERT INTO samples VALUES ('b', '2027-02-01', 1), ('b', TIMESTAMPTZ '2027-02-01' + INTERVAL '1 hour', 2.5)")
        .await;
    house.tag("SET TimeZone = 'Asia/Shanghai'").await;
    house
        .tag(
            "INSERT INTO samples VALUES ('b', '2027-03-01 08:00', 3), ('b', '2027-03-01 08:00'::timestamptz + INTERVAL '1 h', 4)",
        )
        .await;
    house.tag("SET TimeZone = 'UTC'").await;
    let mixed = house.rows("SELECT time, value FROM samples WHERE tag = 'b' AND time >= '2027-02-01' ORDER BY time").await;
    let expected =
        ["2027-02-01T00:00:00Z|1.0", "2027-02-01T01:00:00Z|2.5", "2027-03-01T00:00:00Z|3.0", "2027-03-01T01:00:00Z|4.0"];
    assert_eq!(mixed, expected, "texts beside expressions are times, in the session's zone");
    check(&house, "SELECT value FROM samples WHERE tag = 'b' AND time = '2027-01-01'", &["8.0"]).await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-01-01', 'NaN'), ('c', '2026-01-02', '-Infinity'), ('c', '290000-01-01', -0.0)").await;
    check(&house, "SELECT value FROM samples WHERE tag = 'c' ORDER BY time", &["NaN", "-inf", "-0.0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_that_a_double_would_round_is_refused() {
    let house = House::furnished().await;
    house.tag("INSERT INTO tags (name, kind) VALUES ('single', 'f32')").await;
    for (tag, value) in [
        ("b", "9007199254740993"),
        ("b", "-9007199254740993"),
        ("b", "' 9007199254740993 '"),
        ("b", "9223372036854775807"),
        ("b", "99999999999999999999"),
        ("single", "16777217"),
    ] {
        let error = house.error(&format!("INSERT INTO samples VALUES ('{tag}', '2028-01-01', {value})")).await;
        assert_eq!(error.sqlstate(), "22003", "{value}: {error:?}");
        assert!(error.message().contains("does not fit a tag of kind f"), "{error:?}");
    }
    // Those that are held, and those that say themselves that the nearest double is meant.
    for (day, value) in
        ["9007199254740994", "'9223372036854775808'", "9007199254740993.0", "9007199254740993::float8"].iter().enumerate()
    {
        house.tag(&format!("INSERT INTO samples VALUES ('b', '2028-01-0{}', {value})", day + 1)).await;
    }
    check(
        &house,
        "SELECT value FROM samples WHERE tag = 'b' AND time >= '2028-01-01' ORDER BY time",
        &["9007199254740994.0", "9.223372036854776e18", "9007199254740992.0", "9007199254740992.0"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_hit_exactly_what_they_name() {
    let house = House::furnished().await;
    assert_eq!(house.tag("DELETE FROM samples WHERE false").await, "DELETE 0");
    assert_eq!(house.tag("DELETE FROM samples WHERE tag = 'a' AND time < '2026-01-01 00:00:01'").await, "DELETE 1");
    assert_eq!(house.tag("DELETE FROM samples WHERE value = 10").await, "DELETE 1");
    assert_eq!(house.tag("DELETE FROM samples WHERE tag IN (SELECT name FROM tags WHERE unit = 'MW')").await, "DELETE 1");
    check(&house, "SELECT tag, value FROM samples ORDER BY tag, time", &["a|2.5", "a|-3.0", "i|5.0", "i|-7.0", "s|1.0"]).await;
    assert_eq!(house.tag("DELETE FROM samples").await, "DELETE 5");
    check(&house, "SELECT count(*) FROM samples", &["0"]).await;
    check(&house, "SELECT count(*) FROM events", &["2"]).await;
    assert_eq!(house.tag("DELETE FROM events AS e WHERE e.text LIKE 'st%ed' AND e.time >= '2026-01-02'").await, "DELETE 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_a_table() {
    let house = House::furnished().await;
    assert_eq!(
        house.tag("UPDATE tags SET unit = unit || '!', low = 3, cadence = '100 ms' WHERE kind = 'f64' AND unit <> 'MW'").await,
        "UPDATE 2"
    );
    check(&house, "SELECT unit, low, cadence FROM tags WHERE name = 'c'", &["kV!|3.0|0.100000000 secs"]).await;
    assert_eq!(house.tag("INSERT INTO tags (name) VALUES ('a'), ('new') ON CONFLICT DO NOTHING").await, "INSERT 0 1");
    let error = house.error("INSERT INTO tags (name) VALUES ('newer'), ('a')").await;
    assert_eq!(error.sqlstate(), "23505");
    check(&house, "SELECT count(*) FROM tags", &["7"]).await;
    assert_eq!(house.tag("UPDATE tags SET name = 'alpha' WHERE name = 'a'").await, "UPDATE 1");
    check(&house, "SELECT count(*) FROM samples WHERE tag = 'alpha'", &["3"]).await;
    assert_eq!(house.tag("DELETE FROM tags WHERE name = 'alpha'").await, "DELETE 1");
    check(&house, "SELECT DISTINCT tag FROM samples ORDER BY tag", &["b", "i", "s"]).await;
    check(&house, "SELECT name FROM tags WHERE labels->>'site' = 'south'", &["b"]).await;
    check(&house, "SELECT count(*) FROM samples WHERE label(tag, 'site') = 'south'", &["2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoint_writes_buffers_to_files() {
    let house = House::furnished().await;
    let buffered = "SELECT sum(buffered_rows) > 0, (SELECT count(*) > 0 FROM meridian.files) FROM meridian.slices";
    check(&house, buffered, &["true|false"]).await;
    assert_eq!(house.tag("-- all of it\nCheckpoint;").await, "CHECKPOINT");
    check(&house, buffered, &["false|true"]).await;
    assert_eq!(house.error("CHECKPOINT now").await.sqlstate(), "42601");
    assert_eq!(house.error("\"checkpoint\"").await.sqlstate(), "42601");
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_merges_and_analyze_finds_all_done() {
    let house = House::furnished().await;
    for value in 0..3 {
        house.tag(&format!("INSERT INTO samples (tag, time, value) VALUES ('b', '2026-03-0{}', {value})", value + 1)).await;
        house.tag("CHECKPOINT").await;
    }
    house.tag("DELETE FROM samples WHERE tag = 'b' AND time < '2026-03-02'").await;
    for sql in [
        "VACUUM",
        "vacuum full verbose analyze samples;",
        "VACUUM (FULL, ANALYZE true, PARALLEL 2) public.samples (tag, time), tags",
    ] {
        assert_eq!(house.tag(sql).await, "VACUUM", "{sql}");
    }
    check(&house, "SELECT sum(buffered_rows) FROM meridian.slices", &["0"]).await;
    check(&house, "SELECT count(*) FROM samples WHERE tag = 'b' AND time >= '2026-03-01'", &["2"]).await;
    for sql in ["ANALYZE", "ANALYSE VERBOSE", "analyze (verbose off) meridian.slices, samples", "/* x */ ANALYZE events;"] {
        assert_eq!(house.tag(sql).await, "ANALYZE", "{sql}");
    }
    for (sql, state) in [
        ("VACUUM nothing", "42P01"),
        ("ANALYZE public.nothing", "42P01"),
        ("VACUUM (quickly) samples", "42601"),
        ("VACUUM samples,", "42601"),
        ("VACUUM samples tags", "42601"),
        ("ANALYZE full", "42P01"),
        ("VACUUM a.b.c.d", "42601"),
    ] {
        assert_eq!(house.error(sql).await.sqlstate(), state, "{sql}");
    }
    house.tag("BEGIN").await;
    assert_eq!(house.error("VACUUM").await.sqlstate(), "25001");
    house.tag("ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_state_and_place() {
    let house = House::furnished().await;
    let rows = [
        ("SELEC 1", "42601", Some(1)),
        ("SELECT 1 FROM", "42601", None),
        ("SELECT * FROM sample", "42P01", Some(15)),
        ("SELECT valu FROM samples", "42703", Some(8)),
        ("SELECT nosuch(1)", "42883", None),
        ("SELECT * FROM samples WHERE time > 'yesterday-ish'", "22007", None),
        ("SELECT 'x'::int", "22P02", None),
        ("SELECT 'update'::int", "22P02", None),
        ("SELECT '99999999999'::int", "22003", None),
        ("SELECT '-9223372036854775809'::bigint", "22003", None),
        ("SELECT 'x'::boolean", "22P02", None),
        ("SELECT 'parse date'::float8", "22P02", None),
        ("SELECT INTERVAL 'abc'", "22007", None),
        ("SELECT tag FROM samples ORDER BY 9", "42P10", None),
        ("SELECT tag FROM samples ORDER BY 0", "42P10", None),
        ("SELECT tag FROM samples WHERE tag LIKE 'a!_b' ESCAPE '!!'", "22025", None),
        ("SELECT tag FROM samples WHERE tag ~ '['", "2201B", None),
        ("SELECT 1/0", "22012", None),
        ("SELECT * FROM samples FOR UPDATE", "0A000", Some(23)),
        ("SELECT * FROM samples TABLESAMPLE BERNOULLI (10)", "0A000", Some(23)),
        ("SELECT * FROM samples FOR SYSTEM_TIME AS OF '2026-01-01'", "0A000", Some(23)),
        ("CREATE TABLE x (a int)", "0A000", None),
        ("INSERT INTO samples VALUES ('nowhere', now(), 1)", "23503", None),
        ("INSERT INTO samples VALUES ('a', 'never', 1)", "22007", None),
        ("INSERT INTO samples VALUES ('a', '300000-01-01', 1)", "22008", None),
        ("INSERT INTO samples VALUES ('a', now(), NULL)", "23502", None),
        ("INSERT INTO samples VALUES ('a', now(), 'abc')", "22P02", None),
        ("INSERT INTO samples VALUES ('a', now(), 1, 'fine')", "22P02", None),
        ("INSERT INTO samples VALUES ('a', now(), 1, 256)", "22003", None),
        ("INSERT INTO samples VALUES ('i', now(), 1.5)", "22003", None),
        ("INSERT INTO samples VALUES ('i', now(), 9223372036854775808)", "22003", None),
        ("INSERT INTO samples VALUES ('t', now(), 1)", "42804", None),
        ("INSERT INTO samples (tag, valu) VALUES ('a', 1)", "42703", Some(27)),
        ("INSERT INTO samples VALUES ('a', now(), 1, 192, 5)", "42601", None),
        ("INSERT INTO latest VALUES ('a', now(), 1)", "0A000", None),
        ("INSERT INTO tags (name, kind) VALUES ('x', 'float128')", "22P02", None),
        ("UPDATE samples SET value = 1", "0A000", None),
        ("SELECT tag, max(value) FROM samples", "42803", None),
        ("SHOW nothing_like_it", "42704", None),
        ("SELECT (SELECT value FROM samples)", "21000", None),
    ];
    for (sql, state, position) in rows {
        let error = house.error(sql).await;
        assert_eq!(error.sqlstate(), state, "{sql}: {error:?}");
        if position.is_some() {
            assert_eq!(error.position(), position, "{sql}: {error:?}");
        }
        assert!(!error.message().is_empty());
    }
    let error = house.error("INSERT INTO samples VALUES ('a', '2026-05-01', 1), ('a', '2026-05-02', 'x')").await;
    assert_eq!(error.detail(), Some("row 2"));
    check(&house, "SELECT count(*) FROM samples WHERE time >= '2026-05-01'", &["0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_nothing_and_of_literals_of_one_text() {
    let house = House::furnished().await;
    check(&house, "SELECT DATE '2026-01-01', TIMESTAMP '2026-01-01' = DATE '2026-01-01'", &["2026-01-01|true"]).await;
    check(&house, "SELECT TIMESTAMP '2026-01-01', TIMESTAMPTZ '2026-01-01', DATE '2026-01-01' FROM tags LIMIT 0", &[]).await;
    check(&house, "SELECT count(*) FROM (SELECT TIMESTAMP '2026-01-01', TIMESTAMPTZ '2026-01-01') AS x", &["1"]).await;
    for none in
        ["SELECT FROM samples WHERE tag = 'a' LIMIT 2", "SELECT FROM (VALUES (1), (2)) AS v (n)", "SELECT FROM tags LIMIT 2"]
    {
        let Outcome::Rows(rows) = house.run(none, Vec::new()).await.unwrap() else { panic!("{none}") };
        assert!(rows.schema.fields().is_empty());
        let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
        assert_eq!(batches.into_iter().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_may_be_read_only() {
    let house = House::furnished().await;
    house.tag("BEGIN READ ONLY").await;
    assert_eq!(house.error("DELETE FROM samples").await.sqlstate(), "25006");
    assert_eq!(house.error("SELECT 1").await.sqlstate(), "25P02");
    assert_eq!(house.tag("COMMIT").await, "ROLLBACK");
    // Functions that act as well.
    for acts in ["meridian_flush()", "meridian_set_rule(1, 1, 0, 1, 8)", "meridian_retention('x')"] {
        house.tag("BEGIN READ ONLY").await;
        assert_eq!(house.error(&format!("SELECT {acts}")).await.sqlstate(), "25006", "{acts}");
        house.tag("ROLLBACK").await;
    }
    house.tag("SET TIME ZONE 'Asia/Shanghai'").await;
    check(&house, "SHOW timezone", &["Asia/Shanghai"]).await;
    check(&house, "SELECT count(*) FROM samples WHERE tag = 'a' AND time = '2026-01-01 08:00:00'", &["1"]).await;
    check(&house, "SELECT count(*) FROM samples WHERE tag = 'a' AND time < TIMESTAMPTZ '2026-01-01 08:00:01'", &["1"]).await;
    check(&house, "SELECT value FROM samples WHERE tag = 'a' AND time = '2026-01-01 08:00:00'", &["1.5"]).await;
}
