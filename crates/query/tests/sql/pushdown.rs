//! What is handed down to the kernel gives the same answers as plain execution.

use crate::fixture::House;
use arrow::array::{Int64Array, StringArray};
use query::ScalarValue;

/// Random samples of tags t0 to t9 (some integers, some states), from a seed.
async fn random_house() -> House {
    let house = House::empty();
    let mut rows = Vec::new();
    let mut state = 99_u64;
    let mut dice = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for tag in 0..10 {
        let kind = ["f64", "i64", "f32", "bool"][tag % 4];
        let unit = ["kV", "MW", "A"][tag % 3];
        house
            .tag(&format!(
                "INSERT INTO tags (name, kind, unit, labels) VALUES ('t{tag}', '{kind}', '{unit}', '{{\"site\":\"s{}\"}}')",
                tag % 2
            ))
            .await;
        for _ in 0..dice(60) {
            let us = 1_700_000_000_000_000_i64 + dice(4_000_000) as i64 * 7_919
                - if dice(10) == 0 { 1_800_000_000_000_000 } else { 0 };
            let value = if kind == "bool" { dice(2) as i64 } else { dice(1000) as i64 - 500 };
            let quality = [192, 192, 192, 0, 64, 216][dice(6) as usize];
            rows.push(format!("('t{tag}', to_timestamp_micros({us}), {value}, {quality})"));
        }
    }
    house.tag(&format!("INSERT INTO samples VALUES {}", rows.join(", "))).await;
    house
}

async fn sorted(house: &House, sql: &str) -> Vec<String> {
    let mut rows = house.rows(sql).await;
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_equal_plain_execution() {
    let house = random_house().await;
    let plain = |table: &str| format!("(SELECT * FROM {table} LIMIT 1000000000)");
    let aggregates = "count(*), count(value), sum(value), min(value), max(value), avg(value), first(value, time), last(value, time), min(time), max(time)";
    let groups = [
        ("tag", "tag"),
        ("date_bin('1 hour', time)", "date_bin('1 hour', time)"),
        ("tag, time_bucket('30 minutes', time)", "tag, time_bucket('30 minutes', time)"),
        (
            "date_bin('90 seconds', time, TIMESTAMPTZ '2001-01-01 00:00:01')",
            "date_bin('90 seconds', time, TIMESTAMPTZ '2001-01-01 00:00:01')",
        ),
        ("upper(tag)", "upper(tag)"),
        ("tag, extract(hour FROM date_bin('1 hour', time))", "tag, extract(hour FROM date_bin('1 hour', time))"),
    ];
    let filters = [
        "true",
        "tag IN ('t0', 't3', 't5')",
        "tag LIKE 't%' AND time >= '2023-11-14' AND quality >= 192",
        "tag ~ '[1-4]$' AND time < '2023-11-14 23:00:00'",
    ];
    for table in ["samples", "integers"] {
        for filter in filters {
            for (shown, keys) in groups {
                let sql =
                    |source: &str| format!("SELECT {shown}, {aggregates} FROM {source} AS s WHERE {filter} GROUP BY {keys}");
                // Several tags may have the newest sample of a bin: compare the rest of those rows.
                let (pushed, expect) = (sorted(&house, &sql(table)).await, sorted(&house, &sql(&plain(table))).await);
                if keys.contains("tag") {
                    assert_eq!(pushed, expect, "{}", sql(table));
                } else {
                    let cut = |rows: Vec<String>| {
                        rows.iter().map(|row| row.split('|').take(7).collect::<Vec<_>>().join("|")).collect::<Vec<_>>()
                    };
                    assert_eq!(cut(pushed), cut(expect), "{}", sql(table));
                }
            }
            let sql = |source: &str| {
                format!("SELECT count(*), sum(value), min(value), max(value), avg(value) FROM {source} AS s WHERE {filter}")
            };
            assert_eq!(house.rows(&sql(table)).await, house.rows(&sql(&plain(table))).await);
        }
    }
    let nothing = "SELECT count(*), sum(value), max(value) FROM samples WHERE tag = 'nowhere'";
    assert_eq!(house.rows(nothing).await, ["0|NULL|NULL"]);
}

/// A wide row of a narrow table: what a condition on the tag FILTERs is handed down too, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn filtered_aggregates_equal_plain_execution() {
    let house = random_house().await;
    let plain = "(SELECT * FROM samples LIMIT 1000000000)";
    for (aggregates, handed_down) in [
        ("count(*) FILTER (WHERE tag = 't1'), max(value) FILTER (WHERE label(tag, 'site') = 's1'), min(time)", true),
        (
            "avg(value) FILTER (WHERE tag LIKE '%3'), sum(value) FILTER (WHERE tag = 'nowhere'), max(value) FILTER (WHERE false)",
            true,
        ),
        ("count(*) FILTER (WHERE value > 0), max(value) FILTER (WHERE tag = 't1')", false),
        ("sum(value) FILTER (WHERE tag < 't5' AND time < '2023-11-15')", false),
    ] {
        for (groups, by) in [
            ("", ""),
            ("tag, ", " GROUP BY 1"),
            ("date_bin('1 hour', time), ", " GROUP BY 1"),
            ("label(tag, 'site'), extract(epoch FROM date_bin('2 hours', time)), ", " GROUP BY 1, 2"),
        ] {
            let sql = |source: &str| format!("SELECT {groups}{aggregates} FROM {source} AS s{by}");
            assert_eq!(sorted(&house, &sql("samples")).await, sorted(&house, &sql(plain)).await, "{}", sql("samples"));
            let shown = house.rows(&format!("EXPLAIN {}", sql("samples"))).await.join("\n");
            assert_eq!(shown.contains("__part0"), handed_down, "{}: {shown}", sql("samples"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_with_tags_equal_plain_execution() {
    let house = random_house().await;
    let plain = "(SELECT * FROM samples LIMIT 1000000000)";
    let queries = [
        "SELECT unit, count(*), sum(value), max(time) FROM {s} AS s JOIN tags ON s.tag = tags.name GROUP BY unit",
        "SELECT g.unit, date_bin('1 hour', s.time), count(*) FROM {s} AS s JOIN tags AS g ON g.name = s.tag WHERE g.unit <> 'A' AND s.time > '2023-01-01' GROUP BY 1, 2",
        "SELECT count(*), sum(value) FROM {s} AS s WHERE tag IN (SELECT name FROM tags WHERE unit = 'kV')",
        "SELECT tag, avg(value) FROM {s} AS s WHERE tag NOT IN (SELECT name FROM tags WHERE unit = 'kV') GROUP BY tag",
        "SELECT labels->>'site', min(value) FROM {s} AS s, tags WHERE s.tag = tags.name AND tags.kind = 'f64' GROUP BY 1",
        "SELECT count(*) FROM {s} AS s LEFT JOIN tags ON s.tag = tags.name AND tags.unit = 'A' WHERE tags.name IS NULL",
        "SELECT count(*) FROM {s} AS a JOIN {s} AS b ON a.tag = b.tag AND a.time = b.time",
        "SELECT name, count(value) FROM tags LEFT JOIN {s} AS s ON s.tag = tags.name GROUP BY name",
    ];
    for query in queries {
        let (pushed, expect) = (query.replace("{s}", "samples"), query.replace("{s}", plain));
        assert_eq!(sorted(&house, &pushed).await, sorted(&house, &expect).await, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_one_where_nobody_asks_for_them() {
    let house = random_house().await;
    let plan = async |sql: &str| house.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    for (sql, as_one) in [
        ("SELECT count(*), avg(value) FROM samples", true),
        ("SELECT date_bin('1 hour', time), max(value) FROM samples GROUP BY 1", true),
        ("SELECT tag, avg(value) FROM samples GROUP BY tag", false),
        ("SELECT unit, count(*) FROM samples JOIN tags ON samples.tag = tags.name GROUP BY unit", false),
    ] {
        let shown = plan(sql).await;
        assert_eq!(shown.contains("all tags as one"), as_one, "{sql}: {shown}");
    }
    // Samples of a tag that goes are deleted after it: until then they are there, and not seen.
    let sql = "SELECT count(*), sum(value), min(time), max(value) FROM samples";
    let without = house.rows(&format!("{sql} WHERE tag <> 't2'")).await;
    assert_ne!(house.rows(sql).await, without);
    let tag = house.engine.catalog().find("t2").unwrap();
    house.engine.catalog().delete(vec![tag]).wait().unwrap().unwrap();
    assert_eq!(house.rows(sql).await, without);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_show_what_is_handed_down() {
    let house = random_house().await;
    let plan = async |sql: &str| house.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    let shown = plan("SELECT tag, date_bin('1 hour', time), avg(value) FROM samples WHERE tag LIKE 't%' GROUP BY 1, 2").await;
    assert!(shown.contains("PartialScan") && shown.contains("bins of 3600000000 us"), "{shown}");
    let shown =
        plan("SELECT unit, count(*) FROM samples JOIN tags ON samples.tag = tags.name WHERE unit = 'kV' GROUP BY unit").await;
    assert!(shown.contains("PartialScan") && shown.contains("tags=4 of 10"), "{shown}");
    let shown = plan("SELECT * FROM samples WHERE tag = 't1' AND time > '2024-01-01' ORDER BY time DESC LIMIT 3").await;
    assert!(shown.contains("tags=1 of 10") && shown.contains("newest=3") && shown.contains("slices=1 of 64"), "{shown}");
    let shown = plan("SELECT count(*) FROM samples WHERE value > 3").await;
    assert!(shown.contains("SeriesScan"), "{shown}");
    let analyzed = house.rows("EXPLAIN ANALYZE SELECT sum(value + 1) FROM samples").await.join("\n");
    assert!(analyzed.contains("bytes_read"), "{analyzed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_labels_are_answered_by_the_catalog() {
    let house = random_house().await;
    house.tag("INSERT INTO tags (name, labels) VALUES ('bare', '{}'), ('other', '{\"area\": \"s1\"}')").await;
    house.tag("INSERT INTO samples VALUES ('bare', '2024-01-01', 1), ('other', '2024-01-01', 2)").await;
    let conditions = [
        ("= 's1'", 5),
        ("IN ('s0', 's1', 'nowhere')", 10),
        ("NOT IN ('s0')", 5),
        ("<> 's1'", 5),
        ("IS NULL", 2),
        ("IS NOT NULL", 10),
        ("= 'nowhere'", 0),
    ];
    for (condition, tags) in conditions {
        let shown = house.rows(&format!("EXPLAIN SELECT name FROM tags WHERE labels ->> 'site' {condition}")).await.join("\n");
        assert!(shown.contains(&format!("TagScan: tags={tags} of 12")), "{condition}: {shown}");
        let of_tags = format!("SELECT name FROM tags WHERE labels ->> 'site' {condition} ORDER BY name");
        let of_all =
            format!("SELECT name FROM (SELECT * FROM tags LIMIT 1000) WHERE labels ->> 'site' {condition} ORDER BY name");
        assert_eq!(house.rows(&of_tags).await, house.rows(&of_all).await, "{condition}");
        let of_latest = format!("SELECT tag FROM latest WHERE label(tag, 'site') {condition} ORDER BY tag");
        let of_all =
            format!("SELECT tag FROM (SELECT * FROM latest LIMIT 1000) WHERE label(tag, 'site') {condition} ORDER BY tag");
        assert_eq!(house.rows(&of_latest).await, house.rows(&of_all).await, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_rows_are_the_newest() {
    let house = random_house().await;
    for (order, rows) in [("DESC", 1), ("DESC", 7), ("ASC", 5), ("DESC", 1000)] {
        for filter in ["true", "tag IN ('t1', 't2')", "quality = 'good'", "quality >= 192"] {
            let pushed = format!("SELECT time FROM samples WHERE {filter} ORDER BY time {order} LIMIT {rows}");
            let plain = format!(
                "SELECT time FROM (SELECT * FROM samples LIMIT 1000000000) WHERE {filter} ORDER BY time {order} LIMIT {rows}"
            );
            assert_eq!(house.rows(&pushed).await, house.rows(&plain).await, "{pushed}");
        }
    }
    assert_eq!(house.rows("SELECT tag FROM samples LIMIT 5").await.len(), 5);
    assert_eq!(house.rows("SELECT * FROM samples LIMIT 0").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_point_path_gives_what_a_plan_gives() {
    let house = random_house().await;
    let time = |text: &str| {
        ScalarValue::TimestampMicrosecond(Some(query::parse_time(text, query::Zone::Utc).unwrap()), Some("UTC".into()))
    };
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    for tag in ["t0", "t1", "t3", "nowhere"] {
        let points = [
            (
                "SELECT * FROM samples WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1",
                vec![text(tag), time("2023-11-14 23:00:00")],
            ),
            (
                "SELECT time, value AS v FROM samples AS s WHERE s.tag = $1 AND s.time >= $2 AND $3 > s.time ORDER BY time",
                vec![text(tag), time("2023-11-14"), time("2023-11-15")],
            ),
            (
                "SELECT quality, value FROM integers WHERE tag = $1 AND time BETWEEN $2 AND $3 ORDER BY time DESC LIMIT 4",
                vec![text(tag), time("1960-01-01"), time("2023-11-15")],
            ),
        ];
        for (sql, params) in points {
            let prepared = house.session.prepare(sql, &[]).await.unwrap();
            assert!(prepared.point().is_some(), "{sql}");
            // The same question in a form that is not recognised.
            let planned = sql.replacen(" WHERE ", " WHERE 1 = 1 AND ", 1);
            assert!(house.session.prepare(&planned, &[]).await.unwrap().point().is_none());
            assert_eq!(
                house.try_rows(sql, params.clone()).await.unwrap(),
                house.try_rows(&planned, params).await.unwrap(),
                "{sql} {tag}"
            );
        }
        let latest = format!("SELECT tag, time, value, text, quality FROM latest WHERE tag = '{tag}'");
        assert!(house.session.prepare(&latest, &[]).await.unwrap().point().is_some());
        assert_eq!(house.rows(&latest).await, house.rows(&latest.replace("WHERE", "WHERE true AND")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_are_answered_in_bulk() {
    let house = House::furnished().await;
    let list = |array: arrow::array::ArrayRef| {
        ScalarValue::List(std::sync::Arc::new(arrow::array::ListArray::new(
            std::sync::Arc::new(arrow::datatypes::Field::new("item", array.data_type().clone(), true)),
            arrow::buffer::OffsetBuffer::from_lengths([array.len()]),
            array,
            None,
        )))
    };
    let tags = list(std::sync::Arc::new(StringArray::from(vec!["a", "nowhere", "t", "a"])));
    let start = query::parse_time("2026-01-01", query::Zone::Utc).unwrap();
    let times = arrow::compute::cast(
        &Int64Array::from(vec![start + 1_500_000, start, start + 5, start - 1]),
        &arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())),
    )
    .unwrap();
    let rows = house
        .try_rows(
            "SELECT tag, value, text, quality FROM values_at($1::text[], $2::timestamptz[])",
            vec![tags.clone(), list(times)],
        )
        .await;
    assert_eq!(rows.unwrap(), ["a|2.5|NULL|0", "nowhere|NULL|NULL|NULL", "t|NULL|started|192", "a|NULL|NULL|NULL"]);
    let rows = house.try_rows("SELECT tag, value FROM latest WHERE tag = ANY($1)", vec![tags]).await;
    assert_eq!(rows.unwrap(), ["a|-3.0", "t|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_a_list_is_not_left_out() {
    let house = House::furnished().await;
    for table in ["samples", "latest"] {
        assert_eq!(house.rows(&format!("SELECT tag FROM {table} WHERE tag NOT IN ('b', NULL)")).await, [""; 0], "{table}");
        assert_eq!(house.rows(&format!("SELECT count(*) FROM {table} WHERE tag NOT IN ('b', NULL)")).await, ["0"], "{table}");
        assert_eq!(house.rows(&format!("SELECT DISTINCT tag FROM {table} WHERE tag IN ('b', NULL)")).await, ["b"], "{table}");
    }
    assert_eq!(house.tag("DELETE FROM samples WHERE tag NOT IN ('b', NULL)").await, "DELETE 0");
    assert_eq!(house.tag("DELETE FROM samples WHERE tag IN ('b', NULL) AND NULL").await, "DELETE 0");
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["8"]);
}
