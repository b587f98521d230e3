//! Texts without a type take that of the values beside them, as in PostgreSQL.

use crate::fixture::House;
use crate::meaning::{check, refused};

#[tokio::test(flavor = "multi_thread")]
async fn texts_take_the_type_beside_them() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("extract(year FROM t) < 3000 FROM (VALUES ('2024-01-01'), (now())) AS v(t)", "true true"),
            ("t + INTERVAL '1 day' FROM (VALUES (TIMESTAMPTZ '2024-02-01 00:00Z'), ('2024-01-01')) AS v(t)", "2024-02-02T00:00:00Z 2024-01-02T00:00:00Z"),
            ("x + 1 FROM (VALUES (1), ('2'), (NULL)) AS v(x)", "2 3 NULL"),
            ("x * 2 FROM (VALUES ('1'), (1.5)) AS v(x)", "2.0 3.0"),
            ("x FROM (VALUES ('t'), (true), ('off')) AS v(x)", "true true false"),
            ("CASE WHEN true THEN '1' ELSE 2 END + 1, coalesce(NULL, '3', 4) + 1, greatest('10', 9), least('10', 9), nullif('1', 1)", "2|4|10|9|NULL"),
            ("(CASE WHEN true THEN '2024-01-01' ELSE now() END)::text", "2024-01-01 00:00:00+00"),
            ("CASE WHEN x > 1 THEN 'a' ELSE 'b' END FROM (VALUES (1), ('2')) AS v(x)", "b a"),
            ("CASE tag WHEN 'a' THEN 'first' ELSE tag END FROM samples WHERE tag IN ('a', 'b') AND value IN (1.5, 10) ORDER BY tag", "first b"),
            ("ARRAY['1', 2, 3], ARRAY[1.5, '2'], ARRAY[NULL, 1, '2'], ARRAY[ARRAY[1], NULL]", "[1, 2, 3]|[1.5, 2.0]|[NULL, 1, 2]|[[1], NULL]"),
            ("cardinality(ARRAY['ab'::bytea, NULL]), cardinality(ARRAY[NULL, 'x'])", "2|2"),
            ("1 IN ('1', '2'), value IN ('1.5') FROM samples WHERE tag = 'a' ORDER BY time LIMIT 1", "true|true"),
            ("sum(x) FROM (SELECT '1' AS x UNION ALL SELECT 2) AS t", "3"),
            ("x FROM (SELECT 2 AS x UNION SELECT '1') AS t ORDER BY x", "1 2"),
            ("'7' AS x UNION ALL SELECT value FROM integers WHERE value > 1 ORDER BY x", "5 7"),
            ("count(*) FROM (SELECT '2024-01-01' AS t UNION ALL SELECT now() UNION ALL SELECT '2024-01-02') AS t WHERE t < now() + INTERVAL '1 day'", "3"),
            ("coalesce(text, 'none') FROM latest WHERE tag = 'a'", "none"),
        ],
    )
    .await;
    refused(
        &house,
        &[
            ("x FROM (VALUES (1), ('x')) AS v(x)", "22P02"),
            ("CASE WHEN true THEN 'x' ELSE 2 END", "22P02"),
            ("coalesce('x', 2)", "22P02"),
            ("ARRAY['x', 2]", "22P02"),
            ("x FROM (VALUES (now()), ('x')) AS v(x)", "22007"),
            ("'x' AS x UNION ALL SELECT 2", "22P02"),
        ],
    )
    .await;
    house.tag("SET TimeZone = 'Asia/Shanghai'").await;
    check(&house, &[("min(t) FROM (VALUES ('2024-01-01'), (now())) AS v(t)", "2023-12-31T16:00:00Z")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qualities_of_several_sorts_are_inserted() {
    let house = House::furnished().await;
    house
        .tag(
            "INSERT INTO samples VALUES ('a', now() - INTERVAL '3 s', 1, 'good'), ('a', now() - INTERVAL '2 s', 2, 64),
             ('a', now() - INTERVAL '1 s', 3, 'bad'), ('a', now(), 4, '192'), ('a', '2030-01-01', 5, 190 + 2)",
        )
        .await;
    let rows = house.rows("SELECT value, quality FROM samples WHERE tag = 'a' AND time > '2026-06-01' ORDER BY time").await;
    assert_eq!(rows, ["1.0|192", "2.0|64", "3.0|0", "4.0|192", "5.0|192"]);
    let error = house.error("INSERT INTO samples VALUES ('a', now() + INTERVAL '1 s', 1, 'nonsense'), ('a', now(), 2, 64)").await;
    assert_eq!(error.sqlstate(), "22P02");
}
