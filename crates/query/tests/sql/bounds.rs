//! Functions that make much of little are refused before they do, and nothing that they are asked panics.

use crate::fixture::House;
use crate::meaning::{check, refused};

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_too_long_is_refused() {
    let house = House::furnished().await;
    refused(
        &house,
        &[
            ("repeat('x', 1000000000)", "54000"),
            ("length(repeat('x', 2000000000))", "54000"),
            ("length(repeat('x', 9223372036854775807))", "54000"),
            ("sum(length(repeat(x::text, 1000000))) FROM generate_series(1, 10000) AS g(x)", "54000"),
            ("sum(length(repeat(tag, 100000000))) FROM samples", "54000"),
            ("length(lpad('x', 2147483647))", "54000"),
            ("length(rpad('x', 1000000000, 'ab'))", "54000"),
            ("length(replace(repeat('a', 1000000), 'a', repeat('b', 1000000)))", "54000"),
            ("length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g'))", "54000"),
            ("length(repeat(repeat(repeat(repeat('a', 1000), 1000), 1000), 1000))", "54000"),
            ("length(concat(repeat('a', 40000000), repeat('a', 40000000)))", "54000"),
            ("length(concat_ws(repeat('a', 30000000), 'a', 'b', 'c'))", "54000"),
            ("length(repeat('a', 40000000) || repeat('a', 40000000))", "54000"),
            ("length(x || x) FROM (SELECT x || x AS x FROM (SELECT repeat('a', 20000000) AS x) AS s) AS t", "54000"),
            ("length(string_agg(repeat('x', 1000000), ',')) FROM generate_series(1, 3000)", "54000"),
            ("x, repeat('x', 1000000) FROM generate_series(1, 3000) AS g(x)", "54000"),
            ("count(CASE WHEN x > 1 THEN repeat('x', 1000000) END) FROM generate_series(1, 3000) AS g(x)", "54000"),
            ("array_length(array_repeat(1, 1000000000), 1)", "54000"),
            ("array_length(range(0, 9223372036854775807), 1)", "54000"),
            ("length(array_to_string(range(0, 1000), repeat('x', 1000000)))", "54000"),
        ],
    )
    .await;
    let error = house.error("SELECT repeat('x', 1000000000)").await;
    assert!(error.message().contains("repeat") && error.message().contains("67108864"), "{error:?}");
    check(
        &house,
        &[
            (
                "length(repeat('xxxxxxxxxx', 6000000)), repeat('x', -1), repeat('x', 0), repeat(NULL, 1000000000)",
                "60000000|||NULL",
            ),
            ("lpad('abc', 2), lpad('x', -1), rpad('ä', 3, 'ö'), lpad(NULL, 1000000000)", "ab||äöö|NULL"),
            ("length(replace(repeat('a', 100000), 'b', repeat('b', 1000000)))", "100000"),
            ("length(regexp_replace(repeat('a', 100000), 'b', repeat('b', 10000), 'g'))", "100000"),
            ("'a' || 'b' || 1, 'a' || NULL, tag || '.x' FROM samples WHERE tag = 'b' LIMIT 1", "ab1|NULL|b.x"),
            ("sum(length(y)), count(DISTINCT y) FROM (SELECT x, repeat('x', 1000000) AS y FROM generate_series(1, 30) AS g(x)) AS s", "30000000|1"),
            ("length(string_agg(repeat('x', 10000), ',')) FROM generate_series(1, 100)", "1000099"),
            ("range(1, 4), array_repeat('x', 2), array_repeat(1, -1)", "[1, 2, 3]|[x, x]|[]"),
            ("count(*) FROM (SELECT * FROM generate_series(1, 10000000000) LIMIT 5) AS s", "5"),
        ],
    )
    .await;
}
