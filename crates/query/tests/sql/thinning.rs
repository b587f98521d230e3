//! Compression of tags over SQL: how it is said, what it leaves out, and what the node tells of it.

use crate::fixture::House;

async fn check(house: &House, sql: &str, expect: &[&str]) {
    assert_eq!(house.rows(sql).await, expect, "{sql}");
}

/// Writes a tag's values second by second, one statement each.
async fn write(house: &House, tag: &str, from: usize, values: &[f64]) {
    for (second, value) in (from..).zip(values) {
        let sql = format!("INSERT INTO samples VALUES ('{tag}', '2026-01-01 00:00:{second:02}', {value})");
        assert_eq!(house.tag(&sql).await, "INSERT 0 1", "rows taken are told, kept or not");
    }
}

/// Checks which of a tag's samples are there, by second.
async fn kept(house: &House, tag: &str, wanted: &[(u32, f64)]) {
    let wanted: Vec<String> = wanted.iter().map(|(at, value)| format!("2026-01-01T00:00:{at:02}Z|{value:?}")).collect();
    assert_eq!(house.rows(&format!("SELECT time, value FROM samples WHERE tag = '{tag}' ORDER BY time")).await, wanted, "{tag}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thinned_tags_keep_what_tells_the_rest() {
    let house = House::empty();
    house
        .tag(
            "INSERT INTO tags (name, kind, compression, deviation) VALUES
             ('band', 'f64', 'deadband', 0.5), ('door', 'f64', 'swinging_door', 0.25), ('all', 'f64', 'lossless', NULL)",
        )
        .await;
    let steps = [1.0, 1.5, 0.5, 1.6, 1.2, 1.5];
    let ramp = [0.0, 1.0, 2.1, 3.0, 4.0, 4.0, 4.1, 4.0];
    for tag in ["band", "all"] {
        write(&house, tag, 0, &steps).await;
    }
    write(&house, "door", 0, &ramp).await;
    for flushed in [false, true] {
        kept(&house, "band", &[(0, 1.0), (3, 1.6), (5, 1.5)]).await;
        kept(&house, "door", &[(0, 0.0), (4, 4.0), (7, 4.0)]).await;
        check(&house, "SELECT count(*) FROM samples WHERE tag = 'all'", &["6"]).await;
        check(&house, "SELECT tag, value FROM latest ORDER BY tag", &["all|1.5", "band|1.5", "door|4.0"]).await;
        check(
            &house,
            "SELECT tag, count(*), max(value) FROM samples GROUP BY tag ORDER BY tag",
            &["all|6|1.6", "band|3|1.6", "door|3|4.0"],
        )
        .await;
        check(&house, "SELECT rows_written, rows_thinned FROM meridian.node", &["20|8"]).await;
        check(&house, "SELECT sum(held_samples) FROM meridian.slices", &["2"]).await;
        if !flushed {
            house.rows("SELECT meridian_flush()").await;
        }
    }
    // Near still: the held samples go, though they were there when the buffer was flushed.
    write(&house, "door", 8, &[4.1]).await;
    kept(&house, "door", &[(0, 0.0), (4, 4.0), (8, 4.1)]).await;
    write(&house, "band", 6, &[5.0]).await;
    kept(&house, "band", &[(0, 1.0), (3, 1.6), (6, 5.0)]).await;
    // What comes late, or again, is kept.
    write(&house, "door", 2, &[2.0]).await;
    write(&house, "band", 6, &[5.1]).await;
    kept(&house, "door", &[(0, 0.0), (2, 2.0), (4, 4.0), (8, 4.1)]).await;
    kept(&house, "band", &[(0, 1.0), (3, 1.6), (6, 5.1)]).await;
    house.tag("DELETE FROM samples WHERE tag = 'door' AND time > '2026-01-01 00:00:04'").await;
    kept(&house, "door", &[(0, 0.0), (2, 2.0), (4, 4.0)]).await;
    check(&house, "SELECT value FROM latest WHERE tag = 'door'", &["4.0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_compression_holds_from_then_on() {
    let house = House::empty();
    house.tag("INSERT INTO tags (name) VALUES ('a')").await;
    write(&house, "a", 0, &[1.0, 1.0, 1.0]).await;
    assert_eq!(house.tag("UPDATE tags SET compression = 'deadband', deviation = 0.1 WHERE name = 'a'").await, "UPDATE 1");
    write(&house, "a", 3, &[1.0, 1.05, 1.2]).await;
    check(&house, "SELECT count(*), max(value) FROM samples", &["4|1.2"]).await;
    check(&house, "SELECT value FROM latest", &["1.2"]).await;
    assert_eq!(house.tag("UPDATE tags SET compression = 'lossless' WHERE name = 'a'").await, "UPDATE 1");
    write(&house, "a", 6, &[1.2, 1.2]).await;
    check(&house, "SELECT count(*) FROM samples", &["6"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_shown_as_it_was_said() {
    let house = House::empty();
    let said = "SELECT name, compression, deviation, span FROM tags ORDER BY name";
    house.tag("INSERT INTO tags (name, compression, deviation) VALUES ('a', 'Deadband', 0.5)").await;
    house
        .tag("INSERT INTO tags (name, kind, compression, deviation, span) VALUES ('b', 'i64', 'swinging door', 2, '1 hour')")
        .await;
    house.tag("INSERT INTO tags (name, kind, compression, span) VALUES ('c', 'bool', 'deadband', NULL)").await;
    house.tag("INSERT INTO tags (name) VALUES ('d')").await;
    let shown = ["a|deadband|0.5|10 mins", "b|swinging_door|2.0|1 hours", "c|deadband|0.0|NULL", "d|lossless|NULL|NULL"];
    check(&house, said, &shown).await;
    // One column changes, the others stay.
    house.tag("UPDATE tags SET deviation = 0.25 WHERE name = 'a'").await;
    house.tag("UPDATE tags SET span = '0 s' WHERE name = 'b'").await;
    house.tag("UPDATE tags SET compression = 'lossless' WHERE name = 'c'").await;
    house.tag("UPDATE tags SET compression = 'deadband' WHERE name = 'd'").await;
    let shown = ["a|deadband|0.25|10 mins", "b|swinging_door|2.0|NULL", "c|lossless|NULL|NULL", "d|deadband|0.0|10 mins"];
    check(&house, said, &shown).await;
    for (sql, state, text) in [
        ("UPDATE tags SET deviation = -1 WHERE name = 'a'", "23514", "at least 0"),
        ("UPDATE tags SET deviation = 'NaN' WHERE name = 'a'", "23514", "finite"),
        ("UPDATE tags SET span = '-1 s' WHERE name = 'a'", "23514", "longest gap"),
        ("UPDATE tags SET deviation = 1 WHERE name = 'c'", "22023", "a lossless tag is not"),
        ("UPDATE tags SET span = '1 month' WHERE name = 'a'", "22023", "months"),
        ("UPDATE tags SET compression = 'zip' WHERE name = 'a'", "22P02", "unknown compression"),
        ("INSERT INTO tags (name, kind, compression) VALUES ('t', 'text', 'deadband')", "23514", "kind text"),
        ("INSERT INTO tags (name, kind, compression) VALUES ('t', 'bool', 'swinging_door')", "23514", "kind bool"),
        ("INSERT INTO tags (name, kind, compression, deviation) VALUES ('t', 'state', 'deadband', 1)", "23514", "must be 0"),
    ] {
        let error = house.error(sql).await;
        assert_eq!(error.sqlstate(), state, "{sql}: {error}");
        assert!(error.to_string().contains(text), "{sql}: {error}");
    }
}
