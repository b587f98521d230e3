//! Sessions: cancelling, time limits, memory, what clients ask about the server, and SQL that must work.

use crate::fixture::House;
use futures::StreamExt;
use query::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_query_is_seen_and_cancelled() {
    let house = House::furnished().await;
    let Ok(Outcome::Rows(mut rows)) =
        house.run("SELECT a.value FROM generate_series(1, 100000000) AS a(value)", Vec::new()).await
    else {
        panic!("no rows")
    };
    assert!(rows.batches.next().await.unwrap().is_ok());
    let other = house.engine.session(query::SessionSettings::default());
    let seen = other.prepare("SELECT count(*) FROM meridian.queries WHERE query LIKE '%generate_series%'", &[]).await.unwrap();
    let Ok(Outcome::Rows(seen)) = seen.execute(Vec::new()).await else { panic!("no rows") };
    let seen: Vec<_> = seen.batches.collect().await;
    assert_eq!(crate::fixture::texts(seen[0].as_ref().unwrap()), ["2"]);
    assert!(house.engine.cancel(house.session.id()));
    let mut last = None;
    while let Some(batch) = rows.batches.next().await {
        last = Some(batch.map_err(|error| error.sqlstate()));
    }
    assert!(matches!(last, Some(Err("57014"))));
    house.tag("SET statement_timeout = '20ms'").await;
    assert_eq!(house.error("SELECT count(*) FROM generate_series(1, 10000000000)").await.sqlstate(), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn short_memory_is_an_error_and_not_the_end() {
    let house = House::with(|settings| settings.memory_bytes = 1 << 20);
    let sql = "SELECT length(string_agg(v::text, ',')) FROM generate_series(1, 3000000) AS g(v)";
    assert_eq!(house.error(sql).await.sqlstate(), "53200");
    assert_eq!(house.rows("SELECT 1 + 1").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_their_way() {
    let house = House::furnished().await;
    let tables =
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname <> 'pg_catalog' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1, 2";
    assert_eq!(house.rows(tables).await, ["public|events", "public|integers", "public|latest", "public|samples", "public|tags"]);
    assert_eq!(house.rows("SELECT current_database(), current_schema(), current_user").await, ["meridian|public|meridian"]);
    assert!(house.rows("SELECT version()").await[0].starts_with("PostgreSQL"));
    assert_eq!(
        house.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'events'").await,
        ["tag", "time", "text", "quality"]
    );
    assert_eq!(house.rows("SELECT count(*) FROM meridian.node").await, ["1"]);
    assert_eq!(house.rows("SHOW server_encoding").await, ["UTF8"]);
    // Whatever integer type the number has, and whether or not it can be that of a session.
    for number in ["417", "417::int", "417::smallint", "9999999999"] {
        assert_eq!(house.rows(&format!("SELECT pg_cancel_backend({number})")).await, ["false"], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_works_on_these_tables() {
    let house = House::furnished().await;
    let rows = [
        ("SELECT DISTINCT ON (tag) tag, value FROM samples ORDER BY tag, time DESC", "a|-3.0 b|20.0 i|-7.0 s|1.0"),
        (
            "SELECT tag, value FROM samples WHERE tag = 'a' QUALIFY row_number() OVER (PARTITION BY tag ORDER BY time) = 2",
            "a|2.5",
        ),
        (
            "SELECT sum(value) OVER (ORDER BY time RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW) FROM samples WHERE tag = 'a' ORDER BY time",
            "1.5 4.0 -0.5",
        ),
        ("WITH n AS (SELECT tag, count(*) AS c FROM samples GROUP BY tag) SELECT max(c) FROM n", "3"),
        ("SELECT last(value, time), first(value, time) FROM samples WHERE tag = 'a'", "-3.0|1.5"),
        ("SELECT quality_name(quality), quality('bad') FROM samples WHERE tag = 'b' AND quality = 'uncertain'", "uncertain|0"),
        ("SELECT count(*) FROM samples WHERE time > now()", "0"),
        ("SELECT tag FROM events UNION SELECT tag FROM integers ORDER BY tag", "i s t"),
    ];
    for (sql, expect) in rows {
        assert_eq!(house.rows(sql).await.join(" "), expect, "{sql}");
    }
    let prepared = house.session.prepare("SELECT count(*), max(value) + 1, tag FROM samples GROUP BY tag", &[]).await.unwrap();
    let names: Vec<String> = prepared.schema().unwrap().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["count", "?column?", "tag"]);
}

/// As PostgreSQL: a client that asks for types before it sends values (asyncpg) is told those of the casts.
#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_is_cast_is_of_that_type() {
    let house = House::furnished().await;
    for (name, kind) in [
        ("bool", "Boolean"),
        ("int2", "Int16"),
        ("integer", "Int32"),
        ("pg_catalog.int8", "Int64"),
        ("real", "Float32"),
        ("float8", "Float64"),
        ("varchar(3)", "Utf8"),
        ("bytea", "Binary"),
        ("date", "Date32"),
        ("time", "Time64(µs)"),
        ("timestamp", "Timestamp(µs)"),
        ("timestamptz", "Timestamp(µs, \"UTC\")"),
        ("interval", "Interval(MonthDayNano)"),
        ("numeric", "Decimal128(38, 10)"),
        ("text::int", "Utf8"),
    ] {
        let sql = format!("SELECT $1::{name} WHERE $1::{name} IS NULL");
        let prepared = house.session.prepare(&sql, &[]).await.unwrap();
        assert_eq!(prepared.parameters()[0].to_string(), kind, "{sql}");
        let rows = house.try_rows(&sql, vec![query::ScalarValue::Utf8(None)]).await;
        assert_eq!(rows.unwrap(), ["NULL"], "{sql}");
    }
    let days = query::ScalarValue::Utf8(Some("3".to_owned()));
    assert_eq!(house.try_rows("SELECT date '2024-01-01' + $1::int", vec![days]).await.unwrap(), ["2024-01-04"]);
}
