//! Expressions mean what they mean in PostgreSQL: its answers (release 15) to the same words, where DataFusion
//! by itself would give others.

use crate::fixture::House;

pub async fn check(house: &House, rows: &[(&str, &str)]) {
    for (sql, expect) in rows {
        assert_eq!(house.rows(&format!("SELECT {sql}")).await.join(" "), *expect, "{sql}");
    }
}

pub async fn refused(house: &House, rows: &[(&str, &str)]) {
    for (sql, state) in rows {
        assert_eq!(house.error(&format!("SELECT {sql}")).await.sqlstate(), *state, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("CAST(2.5::float8 AS int), CAST(3.5::float8 AS int), CAST(-2.5::float8 AS int)", "2|4|-2"),
            ("CAST(2.5::numeric AS int), CAST(-2.5::numeric AS bigint)", "3|-3"),
            ("sum(x) FROM (VALUES (9223372036854775807), (1)) AS v(x)", "9223372036854775808"),
            ("sum(x) OVER () FROM (VALUES (9223372036854775807), (1)) AS v(x) LIMIT 1", "9223372036854775808"),
            ("max(x), min(x) FROM (VALUES ('-inf'::float8)) AS v(x)", "-inf|-inf"),
            ("k, max(x), min(x) FROM (VALUES (1, '-inf'::float8), (1, '-inf'::float8)) AS v(k, x) GROUP BY k", "1|-inf|-inf"),
            ("k, max(x), min(x) FROM (VALUES (1, 'NaN'::float8), (1, 2), (1, 'inf'::float8)) AS v(k, x) GROUP BY k", "1|NaN|2.0"),
            ("-('NaN'::float8) = 'NaN'::float8, 'inf'::float8 - 'inf'::float8 = 'NaN'::float8", "true|true"),
            ("x FROM (VALUES (-('NaN'::float8)), (1), ('inf'::float8)) AS v(x) ORDER BY x", "1.0 inf NaN"),
            ("'-0'::float8 = 0, '-0'::float8 < 0", "true|false"),
            ("1e30::float8 > 1::numeric, 1e-20::float8 > 0::numeric, 0.30000000000000004::float8 > 0.3::numeric", "true|true|true"),
            ("x > 1.5::numeric, x BETWEEN 1::numeric AND 2::numeric FROM (VALUES ('NaN'::float8), ('inf'::float8), (1.75)) AS v(x)", "true|false true|false true|true"),
            ("'NaN'::float8 > 'inf'::float8", "true"),
            ("sign(-2.5::float8), sign(0), sign('NaN'::float8)", "-1.0|0.0|0.0"),
            ("'-0'::float8 IN (0, 1), nullif('-0'::float8, 0), CASE '-0'::float8 WHEN 0 THEN 1 END", "true|NULL|1"),
            ("x FROM (VALUES (1, '-0'::float8), (0, 0)) AS v(n, x) ORDER BY x, n", "0.0 -0.0"),
            ("rank() OVER (ORDER BY x) FROM (VALUES ('-0'::float8), (0)) AS v(x)", "1 1"),
            ("x NOT IN ('-0'::float8, 1) FROM (VALUES ('-0'::float8)) AS v(x)", "false"),
            ("count(DISTINCT x), count(*) FROM (VALUES ('-0'::float8), (0), (1)) AS v(x)", "2|3"),
            ("count(*) FROM samples WHERE value > (SELECT avg(x) FROM (VALUES ('inf'::float8), ('-inf'::float8)) AS v(x))", "0"),
            ("sum(DISTINCT q), sum(q), (SELECT sum(quality) FROM samples) FROM (VALUES (192::smallint), (192::smallint)) AS v(q)", "192|384|1216"),
            ("count(*) FROM samples WHERE tag IN ('a', 'b') AND tag NOT IN ('b', NULL)", "0"),
            ("x FROM (VALUES (-3), (2), (-1)) AS v(x) ORDER BY abs(x % 4), x", "-1 2 -3"),
            ("1 IS DISTINCT FROM 2 AND 2 IS NOT DISTINCT FROM 2 OR false, mod(7, 3), variance(x) FROM (VALUES (1), (3)) AS v(x)", "true|1|2.0"),
            ("count(x), count(x::int), sum(x), sum(x::int) FROM (VALUES (1.5), (2.5)) AS v(x)", "2|2|4.0|4"),
            (
                "sum(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 'NaN'::float8), (2, 1), (3, 2), (4, 'inf'::float8), (5, 3), (6, 4)) AS v(n, x)",
                "NaN NaN 3.0 inf inf 7.0",
            ),
            ("avg(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 1e300::float8), (2, 1), (3, 2)) AS v(n, x)", "1e300 5e299 1.5"),
        ],
    )
    .await;
    refused(
        &house,
        &[
            ("9223372036854775807 + 1", "22003"),
            ("9223372036854775807 * 2", "22003"),
            ("-9223372036854775807 - 2", "22003"),
            ("-x FROM (VALUES ((-9223372036854775807) - 1)) AS v(x)", "22003"),
            ("CAST(1e10::float8 AS int)", "22003"),
            ("CAST('NaN'::float8 AS int)", "22003"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("'abcdef'::varchar(3), CAST('abc' AS char)", "abc|a"),
            ("1e20::float8::text, 1::float8::text, 1e-7::float8::text, 'inf'::float8::text", "1e+20|1|1e-07|Infinity"),
            ("'x' || 1.5::float8", "x1.5"),
            (
                "(TIMESTAMPTZ '2024-01-02 03:04:05.5+00')::text, 'x' || TIMESTAMP '2024-01-02 03:04:05'",
                "2024-01-02 03:04:05.5+00|x2024-01-02 03:04:05",
            ),
            ("(INTERVAL '1 day 2 hours')::text", "1 day 02:00:00"),
            ("to_char(TIMESTAMPTZ '2024-03-05 14:05:06+00', 'YYYY-MM-DD HH24:MI:SS')", "2024-03-05 14:05:06"),
            ("to_date('05 Dec 2000', 'DD Mon YYYY')::text, to_date(NULL, 'YYYY') IS NULL", "2000-12-05|true"),
            ("to_timestamp('05 Dec 2000 11:30 PM', 'DD Mon YYYY HH12:MI PM')::text", "2000-12-05 23:30:00+00"),
            ("count(*), COUNT(*), count( * ) FROM samples WHERE tag = 'a'", "3|3|3"),
            ("1+1, 1 + 1, mod(5, 3), 5 % 3, substr('abc', 2), substring('abc' FROM 2), position('b' IN 'ab'), strpos('ab', 'b')", "2|2|2|2|bc|bc|2|2"),
            ("count(*) FROM (SELECT 1 FROM unnest(ARRAY[1, 2]) AS u WHERE u > 1) AS q", "1"),
            ("x.*, 1+1 FROM (SELECT 1+1, 1 + 1, -1) x", "2|2|-1|2"),
            ("\"?column?\" + 1 FROM (SELECT 1 + 1) x", "3"),
            ("x.*, 2 * 3 FROM (SELECT DISTINCT 2 * 3, i + 1 FROM generate_series(1, 2) AS g(i) ORDER BY i + 1 DESC LIMIT 1) x", "6|3|6"),
            ("x.* FROM (SELECT DISTINCT i + 1 FROM generate_series(1, 2) AS g(i) ORDER BY i + 1 DESC LIMIT 1) x", "3"),
            ("ARRAY(SELECT name FROM tags WHERE kind = 'f64' ORDER BY name DESC)", "[c, b, a]"),
            ("ARRAY(SELECT name FROM tags WHERE name = 'nowhere')", "[]"),
            ("cardinality(ARRAY(SELECT DISTINCT tag FROM samples ORDER BY tag LIMIT 2))", "2"),
            ("quality, quality, tag AS quality FROM samples WHERE tag = 'a' ORDER BY time LIMIT 1", "192|192|a"),
        ],
    )
    .await;
    refused(
        &house,
        &[
            ("'abc'::char(5)", "0A000"),
            ("'abc' SIMILAR TO 'a' || '%'", "0A000"),
            ("to_char(125, '999')", "42883"),
            ("to_date('05 Dek 2000', 'DD Mon YYYY')", "22007"),
            ("to_date('31 Feb 2000', 'DD Mon YYYY')", "22008"),
            ("to_date('2000-01', 'IYYY-IW')", "0A000"),
            ("to_date('2000-01-01')", "42883"),
            ("CAST(now() AS timestamp(0))", "0A000"),
        ],
    )
    .await;
    for (sql, expect) in [
        ("SELECT *, value, value FROM samples", "tag time value quality value value"),
        ("SELECT * FROM unnest(ARRAY[1, 2]) AS u", "u"),
        ("SELECT x.*, 1+1 FROM (SELECT 1+1, 1 + 1) x", "?column? ?column? ?column?"),
        ("WITH w AS (SELECT -value, tag || 'x' FROM samples) SELECT * FROM w", "?column? ?column?"),
        ("SELECT * FROM unnest(ARRAY[1, 2])", "unnest"),
        ("SELECT * FROM unnest(ARRAY[1, 2]) AS u(x)", "x"),
        ("SELECT u.u, mod(5, 3), 5 % 3 FROM unnest(ARRAY[1, 2]) AS u", "u mod ?column?"),
    ] {
        let prepared = house.session.prepare(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let names: Vec<String> = prepared.schema().unwrap().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names.join(" "), expect, "{sql}");
    }
    assert!(!house.rows("EXPLAIN SELECT count(*), COUNT(*) FROM samples").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn times_by_the_sessions_clocks() {
    let house = House::furnished().await;
    house.tag("SET TimeZone = 'America/New_York'").await;
    check(
        &house,
        &[
            ("'2024-11-03 01:30'::timestamptz::text, '2024-03-10 02:30'::timestamptz::text", "2024-11-03 01:30:00-05|2024-03-10 03:30:00-04"),
            ("(TIMESTAMPTZ '2024-03-09 12:00' + INTERVAL '1 day')::text", "2024-03-10 12:00:00-04"),
            ("(TIMESTAMPTZ '2024-03-09 12:00' + INTERVAL '24 hours')::text", "2024-03-10 13:00:00-04"),
            ("date_trunc('day', TIMESTAMPTZ '2024-03-10 12:00')::text", "2024-03-10 00:00:00-05"),
            ("date_trunc('day', TIMESTAMPTZ '2024-05-09 23:34:56+00', 'Asia/Shanghai')::text", "2024-05-09 12:00:00-04"),
            ("extract(hour FROM TIMESTAMPTZ '2024-03-10 12:00+00'), (TIMESTAMPTZ '2024-03-10 12:00+00')::date", "8.0|2024-03-10"),
            ("(TIMESTAMPTZ '2024-01-01 00:00+00' AT TIME ZONE 'Asia/Shanghai')::text", "2024-01-01 08:00:00"),
            ("(TIMESTAMP '2024-01-01' AT TIME ZONE 'Asia/Shanghai')::text", "2023-12-31 11:00:00-05"),
            ("TIMESTAMP '2024-01-01' = TIMESTAMPTZ '2024-01-01 05:00+00', DATE '2024-01-01' = TIMESTAMPTZ '2024-01-01 05:00+00'", "true|true"),
            ("count(*) FROM samples WHERE time = TIMESTAMP '2025-12-31 19:00:01'", "1"),
            ("count(*) FROM samples WHERE tag = 'a' AND time >= DATE '2025-12-31' + INTERVAL '19 hours'", "3"),
            ("to_char(TIMESTAMPTZ '2024-07-01 12:00+00', 'HH24 OF')", "08 -04"),
        ],
    )
    .await;
    house.tag("SET TimeZone = 'UTC'").await;
    check(
        &house,
        &[
            ("TIMESTAMPTZ '2024-03-11 12:00' - TIMESTAMPTZ '2024-03-09 13:00'", "1 days 23 hours"),
            ("INTERVAL '1 day' / 2, 1.5 * INTERVAL '1 month', INTERVAL '1 hour' * 3", "12 hours|1 mons 15 days|3 hours"),
            (
                "(-INTERVAL '1 day 2 hours')::text, (- d)::text FROM (VALUES (INTERVAL '1 mon 1 day')) AS v(d)",
                "-1 days -02:00:00|-1 mons -1 days",
            ),
            (
                "(TIMESTAMP '2024-03-31 02:30')::text, (TIMESTAMP '2024-03-31 02:30:01+02')::text",
                "2024-03-31 02:30:00|2024-03-31 02:30:01",
            ),
            ("INTERVAL '1 day 02:30' = INTERVAL '1590 minutes', '-01:00:00.5'::interval::text", "true|-01:00:00.5"),
            ("(DATE '2024-01-31' + INTERVAL '1 month 1 hour')::text, DATE '2024-01-31' + 1", "2024-02-29 01:00:00|2024-02-01"),
            ("DATE '0044-03-15 BC'::text, (TIMESTAMP '0044-03-15 12:00 BC')::text", "0044-03-15 BC|0044-03-15 12:00:00 BC"),
            ("to_timestamp(1.5)::text, to_timestamp(10000000000)::text", "1970-01-01 00:00:01.5+00|2286-11-20 17:46:40+00"),
            ("INTERVAL '26 hours' > INTERVAL '1 day', INTERVAL '1 month' = INTERVAL '30 days'", "true|true"),
            ("TIMESTAMPTZ '2024-03-11 12:00' - TIMESTAMPTZ '2024-03-10' > INTERVAL '1 day'", "true"),
            ("extract(second FROM TIMESTAMP '2024-01-01 00:00:01.5'), extract(epoch FROM INTERVAL '1 day')", "1.5|86400.0"),
            ("date_trunc('century', TIMESTAMPTZ '0001-05-05')::text", "0001-01-01 00:00:00+00"),
            ("date_trunc('quarter', TIMESTAMPTZ '9999-05-05 12:00')::text", "9999-04-01 00:00:00+00"),
            ("count(*) FROM samples WHERE time < 'infinity' AND time > '-infinity'", "8"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_rows() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("x FROM (VALUES (1), (1), (1), (2)) AS v(x) EXCEPT ALL SELECT 1 ORDER BY 1", "1 1 2"),
            ("x FROM (VALUES (1), (1), (1), (2)) AS v(x) INTERSECT ALL SELECT y FROM (VALUES (1), (1), (3)) AS w(y)", "1 1"),
            ("tag, value FROM samples WHERE tag = 'a' INTERSECT SELECT tag, 2.5 FROM samples", "a|2.5"),
            ("lower(tag), tag FROM samples EXCEPT SELECT tag, lower(tag) FROM samples", ""),
            ("DISTINCT (upper(tag) LIKE '%A%') IS NOT FALSE FROM samples ORDER BY 1", "false true"),
            ("quality FROM samples WHERE tag = 'nowhere' UNION SELECT 9007199254740993", "9007199254740993"),
            ("quality - quality FROM samples UNION SELECT quality FROM samples ORDER BY 1", "0 64 192"),
        ],
    )
    .await;
    refused(&house, &[("* FROM samples EXCEPT ALL SELECT * FROM samples", "0A000"), ("INTERVAL '1 day' / 0", "22012")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_and_last() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("last(v, t), first(v, t) FROM (VALUES (1, NULL), (2, TIMESTAMP '2024-01-01'), (3, TIMESTAMP '2024-01-02')) AS x(v, t)", "3|2"),
            ("last(v, t) FROM (VALUES (1, TIMESTAMP '2024-01-01'), (NULL, TIMESTAMP '2024-01-02')) AS x(v, t)", "NULL"),
            ("DISTINCT tag, last(value, time) OVER (PARTITION BY tag) FROM samples WHERE tag IN ('a', 'b') ORDER BY tag", "a|-3.0 b|20.0"),
            ("last(value, time) FILTER (WHERE value > 0) FROM samples WHERE tag = 'a'", "2.5"),
        ],
    )
    .await;
    refused(&house, &[("last(value, time) OVER (ORDER BY value) FROM samples", "0A000")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_anywhere() {
    let house = House::furnished().await;
    let texts = |all: &[&str]| {
        let values: Vec<_> = all.iter().map(|text| query::ScalarValue::Utf8(Some((*text).to_owned()))).collect();
        query::ScalarValue::List(query::ScalarValue::new_list_nullable(&values, &arrow::datatypes::DataType::Utf8))
    };
    let times = |all: &[&str]| {
        let at = |text: &&str| query::parse_time(text, query::Zone::Utc).unwrap();
        let values: Vec<_> =
            all.iter().map(|text| query::ScalarValue::TimestampMicrosecond(Some(at(text)), Some("UTC".into()))).collect();
        let kind = arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        query::ScalarValue::List(query::ScalarValue::new_list_nullable(&values, &kind))
    };
    let pairs = || vec![texts(&["a", "b", "nowhere"]), times(&["2026-01-01 00:00:01", "2026-01-03", "2026-01-01"])];
    for (sql, expect) in [
        ("SELECT unit, value FROM values_at($1, $2) AS v JOIN tags ON tags.name = v.tag ORDER BY unit", "MW|20.0 kV|2.5"),
        ("WITH v AS (SELECT * FROM values_at($1, $2)) SELECT count(*), sum(value) FROM v", "3|22.5"),
        ("SELECT tag FROM values_at($1::text[], $2::timestamptz[]) WHERE value IS NULL", "nowhere"),
    ] {
        let prepared = house.session.prepare(sql, &[]).await.unwrap();
        assert_eq!(house.try_rows(sql, pairs()).await.unwrap().join(" "), expect, "{sql}");
        drop(prepared);
    }
    // A prepared statement sees what was written since it was prepared.
    let sql = "SELECT value FROM values_at(ARRAY['a'], ARRAY[now()]) AS v, tags WHERE tags.name = v.tag";
    let prepared = house.session.prepare(sql, &[]).await.unwrap();
    house.tag("INSERT INTO samples VALUES ('a', now() - INTERVAL '1 second', 77)").await;
    let Ok(query::Outcome::Rows(rows)) = prepared.execute(Vec::new()).await else { panic!("no rows") };
    let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
    assert_eq!(crate::fixture::texts(batches[0].as_ref().unwrap()), ["77.0"]);
    // Times are read as anywhere else, by the session's clocks too.
    house.tag("SET timezone = 'Asia/Shanghai'").await;
    for times in [
        "ARRAY['2026-01-01 00:00:01Z'::timestamptz, '2026-01-03 00:00Z'::timestamptz]",
        "ARRAY['2026-01-01 00:00:01Z', '2026-01-03 08:00']",
        "ARRAY[timestamptz '2026-01-01 08:00:01', CAST('2026-01-03 08:00' AS timestamp with time zone)]",
        "ARRAY['2026-01-01 00:00:01Z', to_timestamp(1767398400)]",
        "ARRAY['2026-01-01 00:00:01Z', '2026-01-03 00:00Z']::timestamptz[]",
        "'{2026-01-01 00:00:01Z,2026-01-03 08:00}'::timestamptz[]",
    ] {
        assert_eq!(house.rows(&format!("SELECT sum(value) FROM values_at(ARRAY['a', 'b'], {times})")).await, ["22.5"], "{times}");
    }
    let error = house.error("SELECT * FROM values_at(ARRAY['a'], ARRAY['soon'::timestamptz])").await;
    assert!(error.sqlstate() == "22007" && error.hint().is_some(), "{error:?}");
    assert_eq!(
        house.error("SELECT * FROM tags, LATERAL values_at(ARRAY[tags.name], ARRAY[now()]) AS v").await.sqlstate(),
        "42703"
    );
}
