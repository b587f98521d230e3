//! Division and means of numerics, and texts as floats: what PostgreSQL 15 answers, as far as a column of one type can.

use crate::fixture::House;
use crate::meaning::{check, refused};
use query::ScalarValue;

#[tokio::test(flavor = "multi_thread")]
async fn division() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("10::numeric / 3, -20::numeric / 3, 20 / 3::numeric", "3.33333333333333333333|-6.66666666666666666667|6.66666666666666666667"),
            ("sum(x) / 3 FROM (VALUES (10), (10)) AS v(x)", "6.66666666666666666667"),
            ("sum(value) / count(*) FROM integers", "-0.33333333333333333333"),
            ("k, sum(x) / count(x) FROM (VALUES (1, 1), (1, 1), (1, 3), (2, 5)) AS v(k, x) GROUP BY k ORDER BY k", "1|1.66666666666666666667 2|5.00000000000000000000"),
            ("s / 7 FROM (SELECT sum(x) AS s FROM (VALUES (9223372036854775807), (9223372036854775807)) AS v(x)) AS t", "2635249153387078802.00000000000000000000"),
            ("round(10::numeric / 3, 2), round(sum(x) / 3, 4) FROM (VALUES (10)) AS v(x)", "3.33|3.3333"),
            ("(10::numeric / 3)::float8, sqrt(10::numeric / 3), (20::numeric / 3)::int, (20::numeric / 3)::bigint, (20::numeric / 3)::numeric(10, 2)", "3.3333333333333335|1.8257418583505538|7|7|6.67"),
            ("(20::numeric / 3)::text, 10::numeric / 3 > 3.3333, 10::numeric / 4 = 2.5, 10::numeric / 4 = 2.5::numeric", "6.66666666666666666667|true|true|true"),
            ("10::numeric / 3 > 3, 3 < 10::numeric / 3, 10::numeric / 5 = 2, 10::numeric / 5 IN (2, 3), 10::numeric / 3 BETWEEN 3 AND 4", "true|true|true|true|true"),
            ("10::numeric / '4', NULL / 3::numeric, 3::numeric / NULL", "2.50000000000000000000|NULL|NULL"),
            ("10::numeric / 4::float8, 1::float8 / 4::numeric", "2.5|0.25"),
            ("sum(q), min(q), max(q), count(DISTINCT q) FROM (SELECT x::numeric / 3 AS q FROM (VALUES (1), (2), (3)) AS v(x)) AS t",
                "2.00000000000000000000|0.33333333333333333333|1.00000000000000000000|3"),
            ("round(avg(q), 5), round(stddev(q)::numeric, 5) FROM (SELECT x::numeric / 3 AS q FROM (VALUES (1), (2), (3)) AS v(x)) AS t", "0.66667|0.33333"),
            ("avg(x::numeric), avg(DISTINCT x::numeric) FROM (VALUES (1), (2), (2), (NULL)) AS v(x)", "1.66666666666666666667|1.50000000000000000000"),
            ("k, avg(x::numeric) FROM (VALUES (1, 1), (1, 2), (1, 2), (2, NULL)) AS v(k, x) GROUP BY k ORDER BY k", "1|1.66666666666666666667 2|NULL"),
            ("avg(x::numeric) OVER (ORDER BY x ROWS 1 PRECEDING) FROM (VALUES (1), (2), (4)) AS v(x)",
                "1.00000000000000000000 1.50000000000000000000 3.00000000000000000000"),
            ("sum(x) / 3 + 1, sum(x) / 3 * 3, -(sum(x) / 3), abs(sum(x) / -3) FROM (VALUES (10)) AS v(x)",
                "4.33333333333333333333|9.99999999999999999999|-3.33333333333333333333|3.33333333333333333333"),
            ("10.5::numeric % 3, -10.5::numeric % 3, sum(x) % 3, mod(sum(x), 4) FROM (VALUES (10)) AS v(x)", "1.5000000000|-1.5000000000|1|2"),
            ("coalesce(10::numeric / 4, 0), CASE WHEN true THEN 10::numeric / 4 ELSE 1 END", "2.50000000000000000000|2.50000000000000000000"),
            ("x / 3 FROM (SELECT 1::numeric AS x UNION ALL SELECT 2::numeric) AS t ORDER BY x", "0.33333333333333333333 0.66666666666666666667"),
            ("10::numeric / 3 / 3 / 3 / 3 / 3", "0.04115226337448559671"),
        ],
    )
    .await;
    refused(
        &house,
        &[
            ("1::numeric / 0", "22012"),
            ("sum(x) / 0 FROM (VALUES (1)) AS v(x)", "22012"),
            ("1::numeric % 0", "22012"),
            ("x / (x - 1) FROM (VALUES (1::numeric)) AS v(x)", "22012"),
            ("99999999999999999999999999::numeric / 0.0000000001::numeric / 0.0000000001::numeric / 0.0000000001::numeric / 0.0000000001::numeric", "22003"),
        ],
    )
    .await;
    let rows = house.try_rows("SELECT sum(value) / $1 FROM integers", vec![ScalarValue::Utf8(Some("2.5".to_owned()))]).await;
    assert_eq!(rows.unwrap(), ["-0.40000000000000000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_that_are_none() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("'inf'::float8, '-Infinity'::float8, 'nan'::float8, ' 1.5 '::float8, '.5'::float8", "inf|-inf|NaN|1.5|0.5"),
            ("'0e500'::float8, '4.9e-324'::float8, '1e5'::float4", "0.0|5e-324|100000.0"),
            ("x::float8 FROM (VALUES ('1'), (NULL), ('2.5')) AS v(x)", "1.0 NULL 2.5"),
            ("count(*) FROM samples WHERE value < '1e300'", "8"),
        ],
    )
    .await;
    refused(
        &house,
        &[
            ("'1e400'::float8", "22003"),
            ("'-1e400'::float8", "22003"),
            ("'1e-400'::float8", "22003"),
            ("CAST('1e39' AS real)", "22003"),
            ("'1e-50'::float4", "22003"),
            ("1e300::float8::float4", "22003"),
            ("1e-300::float8::float4", "22003"),
            ("1e400", "22003"),
            ("1e-400", "22003"),
            ("x::float8 FROM (VALUES ('1'), ('1e400')) AS v(x)", "22003"),
            ("count(*) FROM samples WHERE value < '1e400'", "22003"),
            ("'abc'::float8", "22P02"),
            ("''::float8", "22P02"),
            ("'1.5x'::float8", "22P02"),
        ],
    )
    .await;
    for sql in [
        "INSERT INTO samples VALUES ('a', now(), '1e400')",
        "INSERT INTO samples VALUES ('a', now(), 1e400)",
        "INSERT INTO samples VALUES ('a', now(), '1e-400')",
        "INSERT INTO samples VALUES ('a', now() + INTERVAL '1 s', '1e400')",
        "INSERT INTO samples SELECT 'a', now(), '-1e400'",
    ] {
        assert_eq!(house.error(sql).await.sqlstate(), "22003", "{sql}");
    }
    let text = |text: &str| vec![ScalarValue::Utf8(Some(text.to_owned()))];
    let sql = "INSERT INTO samples VALUES ('a', now(), $1::float8)";
    assert_eq!(house.run(sql, text("1e400")).await.unwrap_err().sqlstate(), "22003");
    house.tag("INSERT INTO tags (name, kind) VALUES ('single', 'f32')").await;
    for value in ["1e39", "1e-50"] {
        let sql = format!("INSERT INTO samples VALUES ('single', now(), '{value}')");
        assert_eq!(house.error(&sql).await.sqlstate(), "22003", "{sql}");
    }
    house
        .tag(
            "INSERT INTO samples VALUES ('a', '2027-01-01', 'inf'), ('a', '2027-01-02', '-Infinity'), ('a', '2027-01-03', 'NaN')",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_are_not_defined_for() {
    let house = House::empty();
    refused(
        &house,
        &[
            ("ln(0)", "2201E"),
            ("ln(-1)", "2201E"),
            ("log(x) FROM (VALUES (1), (-1)) AS v(x)", "2201E"),
            ("log(1, 5)", "22012"),
            ("sqrt(-1)", "2201F"),
            ("power(0::float8, -1)", "2201F"),
            ("power(-1::float8, 0.5)", "2201F"),
            ("power(10::float8, 400)", "22003"),
            ("exp(1000::float8)", "22003"),
            ("acos(2)", "22003"),
            ("asin(-2)", "22003"),
            ("acosh(0.5)", "22003"),
            ("atanh(2)", "22003"),
            ("substring('abc', 1, -1)", "22011"),
            ("overlay('abcdef' placing 'x' from 0)", "22011"),
            ("chr(0)", "54000"),
            ("chr(1114112)", "54000"),
            ("chr(-1)", "22023"),
            ("date '2024-01-01' + 2147483647", "22008"),
            ("make_date(2024, 2, 30)", "22008"),
            ("make_date(2024, 13, 1)", "22008"),
            ("make_date(0, 1, 1)", "22008"),
            ("123456::numeric(5, 2)", "22003"),
            ("ntile(0) OVER () FROM generate_series(1, 3)", "22014"),
            ("sum(x) OVER (ORDER BY x ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM generate_series(1, 3) AS g(x)", "22013"),
            ("percentile_cont(2) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 3) AS g(x)", "22003"),
            ("x FROM generate_series(1, 3) AS g(x) OFFSET -1", "2201X"),
        ],
    )
    .await;
    check(
        &house,
        &[
            (
                "ln('NaN'::float8), exp('inf'::float8), sqrt('inf'::float8), acos(NULL), power(-8::float8, 3)",
                "NaN|inf|inf|NULL|-512.0",
            ),
            (
                "(ARRAY[1, 2, 3])[-1], (ARRAY[1, 2, 3])[0], (ARRAY[1, 2, 3])[3], (ARRAY[1, 2, 3])[x] FROM (VALUES (-1)) AS v(x)",
                "NULL|NULL|3|NULL",
            ),
            (r"regexp_replace('abc', 'b', '<\&$1>'), regexp_replace('abc', '(b)(c)', '\2\1')", "a<b$1>c|acb"),
            ("CASE WHEN x > 0 THEN ln(x) ELSE 0 END FROM (VALUES (0), (1)) AS v(x)", "0.0 0.0"),
        ],
    )
    .await;
}
