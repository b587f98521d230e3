//! Functions and forms that DataFusion has not, or has otherwise: PostgreSQL's answers (release 15) to the same words.

use crate::fixture::House;

async fn check(rows: &[(&str, &str)]) {
    let house = House::furnished().await;
    for (sql, expect) in rows {
        assert_eq!(house.rows(&format!("SELECT {sql}")).await.join(" "), *expect, "{sql}");
    }
}

async fn refused(rows: &[(&str, &str)]) {
    let house = House::furnished().await;
    for (sql, state) in rows {
        assert_eq!(house.error(&format!("SELECT {sql}")).await.sqlstate(), *state, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_and_times() {
    check(&[
        ("(age(timestamp '2024-03-01', timestamp '2023-01-31'))::text", "1 year 1 mon 1 day"),
        ("(age(timestamptz '2024-03-01 10:00', timestamptz '2025-01-31'))::text", "-10 mons -29 days -14:00:00"),
        ("(age('2001-04-10'::timestamp, '1957-06-13'::timestamp))::text", "43 years 9 mons 27 days"),
        ("(age(current_date::timestamptz) = interval '0')::text", "true"),
        ("(justify_days(interval '35 days'))::text", "1 mon 5 days"),
        ("(interval '90 s' > '1 minute' AND '2 h' >= interval '120 min' AND now() - now() = '0')::text", "true"),
        ("quality_name(192) || quality_name(0::smallint) || is_good(192)::text || is_good(64)::text", "goodbadtruefalse"),
        ("(justify_hours(interval '27 hours'))::text", "1 day 03:00:00"),
        ("(justify_interval(interval '1 mon -1 hour'))::text", "29 days 23:00:00"),
        ("(make_interval(days => 10, hours => 2))::text", "10 days 02:00:00"),
        ("(make_interval(1,2,3,4,5,6,7.5))::text", "1 year 2 mons 25 days 05:06:07.5"),
        ("(make_interval(secs => 0.000001))::text", "00:00:00.000001"),
        ("(make_timestamp(2024,1,2,3,4,5.5))::text", "2024-01-02 03:04:05.5"),
        ("(make_timestamp(-44,3,15,0,0,0))::text", "0044-03-15 00:00:00 BC"),
        ("(make_timestamptz(2024,1,2,3,4,5.5,'Asia/Shanghai') = timestamptz '2024-01-01 19:04:05.5+00')::text", "true"),
        ("(isfinite(timestamptz '2024-01-01') AND isfinite(interval '1 day') AND isfinite(date '2024-01-01'))::text", "true"),
        ("(date_trunc('hour', interval '2 days 3 hours 40 minutes'))::text", "2 days 03:00:00"),
        ("(date_trunc('year', interval '25 months 3 days'))::text", "2 years"),
        ("(date_bin('15 minutes', timestamp '2024-01-01 00:17', timestamp '2024-01-01'))::text", "2024-01-01 00:15:00"),
        ("(clock_timestamp() >= now())::text", "true"),
        ("(localtimestamp = now()::timestamp)::text", "true"),
        ("(avg(d))::text FROM (VALUES (interval '1 hour'), (interval '3 hours')) AS v(d)", "02:00:00"),
        ("(sum(d))::text FROM (VALUES (interval '1 month 1 hour'), (interval '-3 hours')) AS v(d)", "1 mon -02:00:00"),
        ("(avg(d))::text FROM (VALUES (interval '1 month'), (interval '2 days')) AS v(d)", "16 days"),
        ("(avg(d))::text FROM (VALUES (NULL::interval)) AS v(d)", "NULL"),
        ("(sum(d) OVER (ORDER BY n ROWS 1 PRECEDING))::text FROM (VALUES (1, interval '1 day'), (2, interval '2 days'), (3, interval '4 days')) AS v(n, d) ORDER BY n", "1 day 3 days 6 days"),
        ("(k)::text, (avg(d))::text FROM (VALUES (1, interval '1 day'), (1, interval '2 days'), (2, interval '4 days')) AS v(k, d) GROUP BY k ORDER BY k", "1|1 day 12:00:00 2|4 days"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_sets() {
    check(&[
        ("(percentile_disc(0.5) WITHIN GROUP (ORDER BY x))::text FROM (VALUES (1), (2), (3), (10)) AS v(x)", "2"),
        ("(percentile_disc(0.75) WITHIN GROUP (ORDER BY x DESC))::text FROM (VALUES (1), (2), (3), (10)) AS v(x)", "2"),
        ("(percentile_disc(0) WITHIN GROUP (ORDER BY x))::text FROM (VALUES ('b'), ('a'), (NULL)) AS v(x)", "a"),
        ("(percentile_disc(0.5) WITHIN GROUP (ORDER BY x))::text FROM (VALUES (NULL::int)) AS v(x)", "NULL"),
        ("(array_to_string(percentile_cont(ARRAY[0.25, 0.5]) WITHIN GROUP (ORDER BY x), ' '))::text FROM (VALUES (1.0::float8), (2), (3)) AS v(x)", "1.5 2"),
        ("(array_to_string(percentile_disc(ARRAY[0.25, 1]) WITHIN GROUP (ORDER BY x), ' '))::text FROM (VALUES (1), (2), (3)) AS v(x)", "1 3"),
        ("(mode() WITHIN GROUP (ORDER BY x))::text FROM (VALUES ('a'), ('b'), ('b'), ('c')) AS v(x)", "b"),
        ("(mode() WITHIN GROUP (ORDER BY x DESC))::text FROM (VALUES (1), (2)) AS v(x)", "2"),
        ("(k)::text, (mode() WITHIN GROUP (ORDER BY x))::text FROM (VALUES (1, 5), (1, 5), (1, 4), (2, NULL)) AS v(k, x) GROUP BY k ORDER BY k", "1|5 2|NULL"),
        ("(var_samp(x))::text, (variance(x))::text, (every(x > 0))::text, (bool_and(x > 0))::text, (stddev(x))::text, (stddev_samp(x))::text FROM (VALUES (1.0::float8), (3)) AS v(x)", "2|2|true|true|1.4142135623730951|1.4142135623730951"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_operators() {
    check(&[
        ("(count(*))::text FROM (VALUES ('a', 1), ('b', 2), ('c', NULL)) AS v(x, y) WHERE (x, y) IN (('a', 1), ('b', 3), ('c', 1))", "1"),
        ("(count(*))::text FROM (VALUES ('a', 1), ('b', 2), ('c', NULL)) AS v(x, y) WHERE (x, y) NOT IN (('a', 1), ('b', 3))", "2"),
        ("(((1, NULL::int) IN ((1, 2)))::text IS NULL)::text, (((2, NULL::int) IN ((1, 2))))::text", "true|false"),
        ("((1, 2) < (1, 3))::text, ((1, 2) >= (1, 3))::text, (ROW(1, 2) = ROW(1, 2))::text, ((1, 2) <> (1, 2))::text, ((2, 1) > (1, 9))::text", "true|false|true|false|true"),
        ("((1, NULL::int) < (2, 3))::text, (((1, NULL::int) < (1, 3)) IS NULL)::text", "true|true"),
        ("(|/ 25.0::float8)::text, (round(||/ 27.0::float8))::text, (@ -5)::text, (~5)::text", "5|3|5|-6"),
        ("('abc' SIMILAR TO 'a%')::text, ('abc' SIMILAR TO 'b%')::text, ('abc' SIMILAR TO '(a|x)_c')::text, ('abc' NOT SIMILAR TO 'abd')::text, ('a.c' SIMILAR TO 'a.c')::text, ('abc' SIMILAR TO 'a.c')::text", "true|false|true|true|true|false"),
        ("('a' COLLATE \"C\" < 'B')::text, (U&'\\0041')::text", "false|A"),
        ("(substring('foobar' FROM 'o(.)b'))::text, (substring('foobar' FROM 'o.b'))::text, (substring('foobar' FROM 'x'))::text", "o|oob|NULL"),
        ("('{1,NULL,3}'::int[] = ARRAY[1, NULL, 3])::text, (2 = ANY('{1,2}'::int[]))::text, (cardinality('{}'::text[]))::text, (('{\"a b\",c}'::text[])[1])::text", "true|true|0|a b"),
        ("(array_to_string(array_remove(ARRAY[1,2,1], 1), ','))::text, (array_to_string(array_replace(ARRAY[1,2,1], 1, 9), ','))::text", "2|9,2,9"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_settings() {
    check(&[
        ("(format('%s %I %L %%', 'a', 'b c', 'd''e'))::text, (format('%2$s|%1$5s|%1$-5s|', 'x', 'y'))::text, (format('%s', NULL))::text, (format('%L', NULL))::text, (format(NULL) IS NULL)::text", "a \"b c\" 'd''e' %|y|    x|x    |||NULL|true"),
        ("(quote_ident('a b'))::text, (quote_ident('plain'))::text, (quote_literal('a''b'))::text, (quote_literal('a\\b'))::text, (quote_nullable(NULL))::text, (quote_literal(1.5))::text", "\"a b\"|plain|'a''b'|E'a\\\\b'|NULL|'1.5'"),
        ("(array_to_string(regexp_split_to_array('a b  c', '\\s+'), '|'))::text, (array_to_string(regexp_split_to_array('aXbxc', 'x', 'i'), '|'))::text", "a|b|c|a|b|c"),
        ("(regexp_substr('abc', 'b.'))::text, (regexp_substr('abc', 'x') IS NULL)::text", "bc|true"),
        ("(width_bucket(5.35, 0.024, 10.06, 5))::text, (width_bucket(-1, 0, 10, 5))::text, (width_bucket(3.0, 10, 0, 5))::text", "3|0|4"),
        ("(num_nonnulls(1, NULL, 'a'))::text, (num_nulls(1, NULL))::text, (num_nulls(NULL))::text", "2|1|1"),
        ("(ceiling(1.2::float8))::text, (encode('abc'::bytea, 'base64'))::text, (encode(sha256('abc'::bytea), 'base64'))::text", "2|YWJj|ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        ("(pg_typeof(1.5::float8))::text, (pg_typeof('x'::text))::text, (pg_typeof(now()))::text, (pg_typeof(now()::timestamp))::text, (pg_typeof(ARRAY['a']))::text, (pg_typeof(interval '1 s'))::text, (pg_typeof(true))::text, (pg_typeof(1::smallint))::text", "double precision|text|timestamp with time zone|timestamp without time zone|text[]|interval|boolean|smallint"),
        ("(pg_size_pretty(1048576::bigint))::text, (pg_size_pretty(1::bigint))::text, (pg_size_pretty(123456789::bigint))::text", "1024 kB|1 bytes|118 MB"),
        ("(current_setting('timezone') IS NOT NULL)::text, (current_setting('no.such', true) IS NULL)::text", "true|true"),
        ("(pg_is_in_recovery())::text, (pg_postmaster_start_time() <= now())::text, (txid_current() >= 0)::text, (length(gen_random_uuid()::text))::text", "false|true|true|36"),
        ("(pg_sleep(0.001) IS NOT NULL)::text", "true"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    refused(&[
        ("make_timestamp(2023, 2, 29, 0, 0, 0)", "22008"),
        ("make_timestamp(0, 1, 1, 0, 0, 0)", "22008"),
        ("make_interval(weeks => 2147483647)", "22008"),
        ("make_interval(fortnights => 1)", "42883"),
        ("date_trunc('week', interval '1 day')", "0A000"),
        ("percentile_disc(1.5) WITHIN GROUP (ORDER BY x) FROM (VALUES (1)) AS v(x)", "22003"),
        ("(1, 2) = (1, 2, 3)", "42601"),
        ("'{1,x}'::int[]", "22P02"),
        ("'1,2'::int[]", "22P02"),
        ("format('%d', 1)", "22023"),
        ("format('%s %s', 1)", "22023"),
        ("regexp_substr('a', '(')", "2201B"),
        ("regexp_match('a', '[')", "2201B"),
        ("regexp_replace('a', '[', 'b')", "2201B"),
        ("x ~ x FROM (VALUES ('['), ('a')) AS v(x)", "2201B"),
        ("width_bucket(1, 1, 1, 3)", "2201G"),
        ("current_setting('no.such')", "42704"),
    ])
    .await;
}
