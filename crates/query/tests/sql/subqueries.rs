//! Correlated subqueries of every form, and series: PostgreSQL's answers (release 15) to the same words.

use crate::fixture::House;

async fn check(house: &House, rows: &[(&str, &str)]) {
    for (sql, expect) in rows {
        assert_eq!(house.rows(&format!("SELECT {sql}")).await.join(" "), *expect, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lateral() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            // The newest of each, and of those that have none; another order; an offset; a window; a name of its own.
            (
                "t.name, s.value FROM tags t, LATERAL (SELECT value FROM samples WHERE tag = t.name ORDER BY time DESC LIMIT 1) s
                 WHERE t.kind = 'f64' ORDER BY 1",
                "a|-3.0 b|20.0",
            ),
            (
                "t.name, s.value FROM tags t LEFT JOIN LATERAL (SELECT value FROM samples WHERE tag = t.name ORDER BY time LIMIT 2) s
                 ON true WHERE t.kind = 'f64' ORDER BY 1, 2",
                "a|1.5 a|2.5 b|10.0 b|20.0 c|NULL",
            ),
            (
                "t.name, s.value FROM tags t LEFT JOIN LATERAL (SELECT value FROM samples WHERE tag = t.name ORDER BY time) s
                 ON s.value > 2 WHERE t.unit = 'kV' ORDER BY 1",
                "a|2.5 c|NULL",
            ),
            (
                "t.name, s.value FROM tags t, LATERAL (SELECT value FROM samples WHERE tag = t.name ORDER BY value OFFSET 1 LIMIT 1) s
                 ORDER BY 1",
                "a|1.5 b|20.0 i|5.0",
            ),
            (
                "t.name, s.n FROM tags t, LATERAL (SELECT row_number() OVER (ORDER BY value) AS n, value FROM samples
                 WHERE tag = t.name) s WHERE s.value > 2 ORDER BY 1, 2",
                "a|3 b|1 b|2 i|2",
            ),
            (
                "t.name, s.n, s.m FROM tags t, LATERAL (SELECT count(*) AS n, max(value) AS m FROM samples
                 WHERE tag >= t.name AND value < 11) s WHERE t.kind = 'f64' ORDER BY 1",
                "a|7|10.0 b|4|10.0 c|3|5.0",
            ),
            (
                "t.name, s.u FROM tags t, LATERAL (SELECT DISTINCT quality + length(t.name) AS u FROM samples WHERE tag = t.name) s
                 WHERE t.name < 'c' ORDER BY 1, 2",
                "a|1 a|193 b|65 b|193",
            ),
            (
                "v.n, g.t FROM (VALUES (1), (2)) AS v(n), LATERAL (SELECT tag AS t FROM samples WHERE value > v.n
                 GROUP BY tag ORDER BY max(value) DESC LIMIT 1) AS g ORDER BY 1",
                "1|b 2|b",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_other_rows() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            (
                "name, (SELECT value FROM samples WHERE tag = tags.name ORDER BY time DESC LIMIT 1) FROM tags WHERE kind = 'f64' ORDER BY 1",
                "a|-3.0 b|20.0 c|NULL",
            ),
            (
                "t, (SELECT count(*) FROM samples WHERE time >= t AND time < t + INTERVAL '1 second') FROM
                 generate_series(TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01 00:00:03', INTERVAL '1 second') AS t ORDER BY t",
                "2026-01-01T00:00:00Z|4 2026-01-01T00:00:01Z|1 2026-01-01T00:00:02Z|1 2026-01-01T00:00:03Z|0",
            ),
            (
                "name, ARRAY(SELECT value FROM samples WHERE tag = tags.name ORDER BY time DESC) FROM tags WHERE unit = 'kV' ORDER BY 1",
                "a|[-3.0, 2.5, 1.5] c|[]",
            ),
            ("EXISTS (SELECT 1 FROM samples WHERE value > 100), NOT EXISTS (SELECT 1 FROM samples WHERE tag = 'a')", "false|false"),
            ("name, EXISTS (SELECT 1 FROM samples WHERE tag = name) FROM tags WHERE unit = 'kV' ORDER BY 1", "a|true c|false"),
            ("tag FROM samples WHERE tag < 'b' ORDER BY time FETCH FIRST ROW ONLY", "a"),
            (
                "name FROM tags WHERE 2 < (SELECT value FROM samples WHERE tag = tags.name ORDER BY time DESC LIMIT 1) ORDER BY 1",
                "b",
            ),
            (
                "a.value - (SELECT value FROM samples b WHERE b.tag = a.tag AND b.time < a.time ORDER BY b.time DESC LIMIT 1)
                 FROM samples a WHERE a.tag = 'a' ORDER BY a.time",
                "NULL 1.0 -5.5",
            ),
        ],
    )
    .await;
    // To PostgreSQL it is an error only where there are two rows; here it is refused.
    assert_eq!(house.error("SELECT name, (SELECT value FROM samples WHERE tag = tags.name) FROM tags").await.sqlstate(), "22023");
}

#[tokio::test(flavor = "multi_thread")]
async fn series() {
    let house = House::furnished().await;
    house.tag("SET TimeZone = 'Europe/Berlin'").await;
    check(
        &house,
        &[
            ("* FROM generate_series(5, 1, -2)", "5 3 1"),
            ("generate_series FROM generate_series(1, 2)", "1 2"),
            ("i + g.i FROM generate_series(1, 2) AS g(i)", "2 4"),
            ("sum(g) FROM generate_series(1, 100000) g", "5000050000"),
            ("count(*) FROM generate_series(1, NULL)", "0"),
            ("* FROM generate_series(0.5, 1.5, 0.5)", "0.5 1.0 1.5"),
            (
                "d::text FROM generate_series(TIMESTAMPTZ '2024-03-30 12:00', '2024-04-01'::timestamptz, INTERVAL '1 day') d",
                "2024-03-30 12:00:00+01 2024-03-31 12:00:00+02",
            ),
            ("d::date FROM generate_series(DATE '2024-02-28', DATE '2024-03-01', INTERVAL '1 day') d", "2024-02-28 2024-02-29 2024-03-01"),
            (
                "count(*) FROM generate_series((SELECT min(time) FROM samples), (SELECT max(time) FROM samples), INTERVAL '6 hours')",
                "5",
            ),
            ("to_timestamp(0) + i * INTERVAL '1 second' FROM generate_series(0, 1) AS g(i)", "1970-01-01T00:00:00Z 1970-01-01T00:00:01Z"),
        ],
    )
    .await;
    for (sql, state) in [
        ("SELECT * FROM generate_series(1, 2, 0)", "22023"),
        ("SELECT generate_series(1, 2)", "0A000"),
        ("SELECT unnest(ARRAY[2, 1]) AS v ORDER BY v", "0A000"),
        ("SELECT * FROM generate_series(now(), now())", "42883"),
        ("SELECT * FROM tags, LATERAL generate_series(1, ordinal) AS g", "0A000"),
    ] {
        assert_eq!(house.error(sql).await.sqlstate(), state, "{sql}");
    }
    // What a prepared statement names by now() is now when it runs.
    let sql =
        "SELECT count(*) FROM generate_series(now(), now() + INTERVAL '1 hour', INTERVAL '1 hour') AS g(t) WHERE t >= now()";
    let prepared = house.session.prepare(sql, &[]).await.unwrap();
    let Ok(query::Outcome::Rows(rows)) = prepared.execute(Vec::new()).await else { panic!("no rows") };
    let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
    assert_eq!(crate::fixture::texts(batches[0].as_ref().unwrap()), ["2"]);
}
