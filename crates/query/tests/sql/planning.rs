//! Statements of many parts: they mean what short ones do, or are refused; what nobody waits for any longer ends.

use crate::fixture::House;
use query::ScalarValue;

fn joined(count: usize, between: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(between)
}

/// A statement that takes long to plan: each table of WITH is planned for both of its uses.
fn endless(first: &str) -> String {
    doubled(first, 10)
}

fn doubled(first: &str, times: usize) -> String {
    let tables = joined(times, ", ", |at| format!("c{} AS (SELECT x.a FROM c{at} x, c{at} y)", at + 1));
    format!("WITH c0 AS ({first}), {tables} SELECT count(*) FROM c{times}")
}

#[tokio::test]
async fn long_sums_are_sums() {
    let house = House::furnished().await;
    let first = |expr: &str, table: &str| format!("SELECT {expr} FROM {table} WHERE time = '2026-01-01' ORDER BY tag");
    let sum = |count: usize| joined(count, " + ", |_| "value".to_owned());
    assert_eq!(house.rows(&first(&sum(1_000), "samples")).await, ["1500.0", "10000.0", "5000.0", "1000.0"]);
    assert_eq!(house.rows(&first(&format!("{} - {}", sum(30), sum(3)), "samples")).await[0], "46.5");
    assert_eq!(house.rows(&first(&sum(400), "integers")).await, ["2000", "400"]);
    // From the left, with the types of each step: 7 / 2 is 3 as long as nothing but integers came.
    let mixed = format!("{} - 30 * value + 7 / 2 + 0.5", joined(30, " + ", |_| "value".to_owned()));
    assert_eq!(house.rows(&first(&mixed, "integers")).await, ["3.5", "3.5"]);
    let product = joined(40, " * ", |at| if at % 2 == 0 { "value".to_owned() } else { "2 / value".to_owned() });
    assert_eq!(house.rows(&first(&product, "samples")).await[0], (2.0_f64.powi(20)).to_string() + ".0");
    assert_eq!(house.rows(&format!("SELECT {}", joined(500, " + ", |at| at.to_string()))).await, ["124750"]);
    let real = joined(30, " + ", |_| "1.5::real".to_owned());
    assert_eq!(house.rows(&format!("SELECT {real}")).await, ["45.0"]);
    let exact = joined(30, " + ", |_| "1.10::numeric(10, 2)".to_owned());
    assert_eq!(house.rows(&format!("SELECT {exact}")).await, ["33.00"]);
    let small = joined(30, " + ", |_| "2000000000::int".to_owned());
    assert_eq!(house.error(&format!("SELECT {small}")).await.sqlstate(), "22003");
    assert_eq!(house.error(&format!("SELECT {} / 0", joined(30, " * ", |_| "1".to_owned()))).await.sqlstate(), "22012");
    assert_eq!(house.rows(&format!("SELECT {} + NULL", joined(30, " + ", |_| "1".to_owned()))).await, ["NULL"]);
    let not_a_number = format!("SELECT {} - 'Infinity'::float8 = 'NaN'", joined(30, " + ", |_| "'Infinity'::float8".to_owned()));
    assert_eq!(house.rows(&not_a_number).await, ["true"]);
}

#[tokio::test]
async fn long_sums_stand_everywhere() {
    let house = House::furnished().await;
    let sum = joined(100, " + ", |_| "value".to_owned());
    assert_eq!(house.rows(&format!("SELECT tag FROM samples WHERE {sum} > 1500 ORDER BY time, tag")).await, ["b"]);
    assert_eq!(house.rows(&format!("SELECT max({sum}) FROM samples")).await, ["2000.0"]);
    let grouped = format!("SELECT {sum}, count(*) FROM samples WHERE tag = 'b' GROUP BY {sum} ORDER BY {sum} DESC");
    assert_eq!(house.rows(&grouped).await, ["2000.0|1", "1000.0|1"]);
    let sums = joined(50, " + ", |_| "sum(value)".to_owned());
    assert_eq!(house.rows(&format!("SELECT tag, {sums} FROM samples GROUP BY tag ORDER BY tag LIMIT 1")).await, ["a|50.0"]);
    let windows = joined(30, " + ", |_| "count(*) OVER ()".to_owned());
    assert_eq!(house.rows(&format!("SELECT DISTINCT {windows} FROM samples")).await, ["240"]);
    let given = format!("SELECT {} FROM samples WHERE tag = 'b' ORDER BY time", joined(60, " + ", |_| "value * $1".to_owned()));
    let rows = house.try_rows(&given, vec![ScalarValue::from(2.0)]).await.unwrap();
    assert_eq!(rows, ["1200.0", "2400.0"]);
}

#[tokio::test]
async fn long_texts_are_joined() {
    let house = House::furnished().await;
    let text = joined(400, " || ", |at| if at % 100 == 0 { "tag".to_owned() } else { "'-'".to_owned() });
    let rows = house.rows(&format!("SELECT {text} FROM samples WHERE time = '2026-01-01' ORDER BY tag LIMIT 1")).await;
    assert_eq!(rows[0], format!("a{0}a{0}a{0}a{0}", "-".repeat(99)));
    let null = joined(40, " || ", |at| if at == 20 { "NULL::text".to_owned() } else { "'x'".to_owned() });
    assert_eq!(house.rows(&format!("SELECT {null} IS NULL")).await, ["true"]);
}

#[tokio::test]
async fn long_conditions_hold() {
    let house = House::furnished().await;
    for (between, holds) in [(" OR ", "value = 2.5 AND quality < 1000"), (" AND ", "value <> 10 OR quality > 1000")] {
        let condition = joined(2_000, between, |at| match at {
            1_999 => format!("({holds})"),
            at if between == " OR " => format!("value = {}", at + 100),
            at => format!("value <> {}", at + 100),
        });
        let shown = house.rows(&format!("SELECT tag, value FROM samples WHERE {condition} ORDER BY value")).await;
        let expected: &[&str] =
            if between == " OR " { &["a|2.5"] } else { &["i|-7.0", "a|-3.0", "s|1.0", "a|1.5", "a|2.5", "i|5.0", "b|20.0"] };
        assert_eq!(shown, expected, "{between}");
    }
    // Three values of truth, in a list too.
    let listed = |between: &str, last: &str| {
        format!("SELECT {} {between} {last}", joined(100, between, |at| format!("{at} = {at}::float8")))
    };
    assert_eq!(house.rows(&listed(" AND ", "NULL")).await, ["NULL"]);
    assert_eq!(house.rows(&listed(" OR ", "NULL")).await, ["true"]);
    let many = joined(10_000, ", ", |at| format!("'tag{at}'"));
    assert_eq!(house.rows(&format!("SELECT count(*) FROM samples WHERE tag IN ({many}, 'b')")).await, ["2"]);
    let many = joined(10_000, ", ", |at| (at + 10).to_string());
    assert_eq!(house.rows(&format!("SELECT count(*) FROM samples WHERE value NOT IN ({many})")).await, ["6"]);
}

#[tokio::test]
async fn what_nests_too_deeply_is_refused() {
    let house = House::furnished().await;
    for sql in [
        format!("SELECT {} FROM samples", joined(10_000, " + ", |_| "value".to_owned())),
        format!("SELECT {} FROM samples", joined(10_000, " || ", |_| "tag".to_owned())),
        format!("SELECT tag FROM samples WHERE {}", joined(20_000, " OR ", |at| format!("value = {at}"))),
        format!("SELECT time {} FROM samples", "+ interval '1 s' ".repeat(250)),
        format!("SELECT value{} FROM samples", "::text::float8".repeat(1_000)),
        format!("SELECT {}true", "NOT ".repeat(1_000)),
        format!("SELECT {}1", "- ".repeat(1_000)),
        format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}1{}", "abs(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(1_000), "]".repeat(1_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(1_000), " END".repeat(1_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(1_000), ") x".repeat(1_000)),
        format!("SELECT 1 FROM {}", joined(1_000, ", ", |at| format!("tags t{at}"))),
        joined(2_000, " UNION ", |_| "SELECT 1".to_owned()),
        doubled("SELECT 1 AS a", 40),
    ] {
        let error = house.error(&sql).await;
        assert_eq!(error.sqlstate(), "54001", "{}: {error:?}", &sql[..60]);
    }
}

#[tokio::test]
async fn planning_ends_with_its_time() {
    let house = House::empty();
    house.tag("SET statement_timeout = '50ms'").await;
    // The one is planned when it is prepared, the other when it runs.
    for first in ["SELECT 1 AS a UNION ALL SELECT 2", "SELECT 1 AS a"] {
        let error = house.error(&endless(first)).await;
        assert_eq!((error.sqlstate(), error.message()), ("57014", "canceling statement due to statement timeout"));
    }
}

#[tokio::test]
async fn planning_is_listed_and_can_be_cancelled() {
    let house = House::empty();
    let watcher = house.engine.session(query::SessionSettings::default());
    for (first, prepares) in [("SELECT 1 AS a UNION ALL SELECT 2", true), ("SELECT 1 AS a", false)] {
        let (session, sql) = (std::sync::Arc::clone(&house.session), endless(first));
        let prepared = if prepares { None } else { Some(session.prepare(&sql, &[]).await.unwrap()) };
        let planning = tokio::spawn(async move {
            match prepared {
                None => session.prepare(&sql, &[]).await.map(|_| ()),
                Some(prepared) => prepared.execute(Vec::new()).await.map(|_| ()),
            }
        });
        let listed =
            format!("SELECT count(*) FROM meridian.queries WHERE pid = {} AND query LIKE 'WITH c0%'", house.session.id());
        let listed = watcher.prepare(&listed, &[]).await.unwrap();
        loop {
            let query::Outcome::Rows(rows) = listed.execute(Vec::new()).await.unwrap() else { panic!("no rows") };
            let rows: Vec<_> = futures::TryStreamExt::try_collect(rows.batches).await.unwrap();
            if crate::fixture::texts(&rows[0]) == ["1"] {
                break;
            }
        }
        assert!(house.session.cancel());
        let error = planning.await.unwrap().unwrap_err();
        assert_eq!((error.sqlstate(), error.message()), ("57014", "canceling statement due to user request"));
    }
}
