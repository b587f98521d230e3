//! Joins with USING, names of columns within statements, and lists as parameters: PostgreSQL's answers (release 15).

use crate::fixture::House;
use arrow::datatypes::DataType;
use query::ScalarValue;

async fn check(house: &House, rows: &[(&str, &[&str])]) {
    for (sql, expect) in rows {
        assert_eq!(house.rows(sql).await, *expect, "{sql}");
    }
}

/// Two tags side by side, as `A` and `B`.
fn sides(sql: &str) -> String {
    sql.replace("A J", "(SELECT time, value FROM samples WHERE tag = 'a') a J")
        .replace("B ", "(SELECT time, value FROM samples WHERE tag = 'b') b ")
        .replace(" J ", " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_using_merges_is_one_column() {
    let house = House::furnished().await;
    let [first, second, third, last] = ["01T00:00:00Z", "01T00:00:01Z", "01T00:00:02Z", "02T00:00:00Z"];
    let row = |day: &str, rest: &str| format!("2026-01-{day}|{rest}");
    let full = vec![row(first, "1.5|10.0"), row(second, "2.5|NULL"), row(third, "-3.0|NULL"), row(last, "NULL|20.0")];
    for (sql, expect) in [
        ("SELECT time, a.value, b.value FROM A J FULL JOIN B USING (time) ORDER BY time", full.clone()),
        ("SELECT * FROM A J FULL OUTER JOIN B USING (time) ORDER BY time", full.clone()),
        ("SELECT * FROM A J FULL JOIN B USING (time) WHERE time >= '2026-01-02'", full[3..].to_vec()),
        (
            "SELECT time, a.value, b.value FROM A J RIGHT JOIN B USING (time) ORDER BY time",
            vec![full[0].clone(), full[3].clone()],
        ),
        ("SELECT * FROM A J LEFT JOIN B USING (time) ORDER BY time DESC, b.value", full[..3].iter().rev().cloned().collect()),
        ("SELECT time, a.value, b.value FROM A J JOIN B USING (time) WHERE time > '2025-01-01'", full[..1].to_vec()),
        (
            "SELECT time, count(*) FROM A J FULL JOIN B USING (time) GROUP BY time HAVING time > '2026-01-01 00:00:01' ORDER BY time",
            vec![row(third, "1"), row(last, "1")],
        ),
        (
            "SELECT date_trunc('day', time) AS day, count(*) FROM A J FULL JOIN B USING (time) GROUP BY date_trunc('day', time) ORDER BY day",
            vec![row(first, "3"), row(last, "1")],
        ),
        (
            "SELECT time, a.value, b.value, i.value FROM A J FULL JOIN B USING (time) FULL JOIN (SELECT * FROM integers WHERE tag = 'i') i USING (time) ORDER BY time",
            vec![row(first, "1.5|10.0|5"), row(second, "2.5|NULL|NULL"), row(third, "-3.0|NULL|NULL"), row(last, "NULL|20.0|-7")],
        ),
        (
            "SELECT a.value, (SELECT count(*) FROM samples WHERE time >= '2026-01-02') FROM A J JOIN B USING (time)",
            vec!["1.5|2".to_owned()],
        ),
    ] {
        assert_eq!(house.rows(&sides(sql)).await, expect, "{sql}");
    }
    for sql in [
        "SELECT * FROM A J NATURAL FULL JOIN B ",
        "SELECT * FROM A J RIGHT JOIN (SELECT time FROM samples) USING (time)",
        "SELECT * FROM A J CROSS JOIN tags t FULL JOIN B USING (time)",
    ] {
        assert_eq!(house.error(&sides(sql)).await.sqlstate(), "0A000", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_a_name_is_called_as_it_is_shown() {
    let house = House::furnished().await;
    check(
        &house,
        &[
            ("SELECT tag, count(*) FROM samples GROUP BY tag ORDER BY count DESC, tag", &["a|3", "b|2", "i|2", "s|1"]),
            (
                "WITH w AS (SELECT tag, max(value) FROM samples WHERE tag IN ('a', 'b') GROUP BY tag) SELECT tag, max FROM w ORDER BY tag",
                &["a|2.5", "b|20.0"],
            ),
            ("SELECT count FROM (SELECT count(*) FROM samples) x", &["8"]),
            (
                "SELECT date_trunc('day', time), count(*) FROM samples GROUP BY date_trunc ORDER BY date_trunc",
                &["2026-01-01T00:00:00Z|6", "2026-01-02T00:00:00Z|2"],
            ),
            ("SELECT * FROM (SELECT value, value FROM samples WHERE tag = 'b') q ORDER BY 1", &["10.0|10.0", "20.0|20.0"]),
            ("SELECT * FROM (SELECT position('a' in tag), strpos(tag, 'a') FROM samples WHERE tag = 'a' LIMIT 1) q", &["1|1"]),
            ("SELECT q.max FROM (SELECT max(value), max(time) FROM samples WHERE tag = 'b') q(max, t)", &["20.0"]),
            ("SELECT max(value) FROM samples WHERE tag = 'a' HAVING max(value) > 2", &["2.5"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_need_no_type() {
    let house = House::furnished().await;
    let list = |values: Vec<ScalarValue>, kind: &DataType| ScalarValue::List(ScalarValue::new_list_nullable(&values, kind));
    let texts =
        |all: &[&str]| list(all.iter().map(|text| ScalarValue::Utf8(Some((*text).to_owned()))).collect(), &DataType::Utf8);
    let doubles = |all: &[f64]| list(all.iter().map(|value| ScalarValue::Float64(Some(*value))).collect(), &DataType::Float64);
    let longs = |all: &[i64]| list(all.iter().map(|value| ScalarValue::Int64(Some(*value))).collect(), &DataType::Int64);
    for (sql, parameter, expect) in [
        ("SELECT count(*) FROM samples WHERE tag = ANY ($1)", texts(&["a", "s"]), "4"),
        ("SELECT count(*) FROM samples WHERE tag = ANY ($1::text[])", texts(&["a", "s"]), "4"),
        ("SELECT count(*) FROM samples WHERE tag <> ALL ($1)", texts(&["a", "s"]), "4"),
        ("SELECT tag FROM latest WHERE tag = ANY ($1) ORDER BY tag DESC LIMIT 1", texts(&["a", "b"]), "b"),
        ("SELECT count(*) FROM samples WHERE value = ANY ($1)", doubles(&[1.5, 20.0]), "2"),
        ("SELECT sum(x) FROM unnest($1::int8[]) AS u(x)", longs(&[1, 2, 3]), "6"),
        ("SELECT $1::text[]", texts(&["a", "b"]), "[a, b]"),
    ] {
        let prepared = house.session.prepare(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(prepared.parameters(), [parameter.data_type()], "{sql}");
        assert_eq!(house.try_rows(sql, vec![parameter]).await.unwrap(), [expect], "{sql}");
    }
    check(
        &house,
        &[
            ("SELECT count(*) FROM samples WHERE tag = ANY ('{a,s}')", &["4"]),
            ("SELECT count(*) FROM samples WHERE value = ANY ('{1.5,20}')", &["2"]),
        ],
    )
    .await;
    assert_eq!(house.error("SELECT count(*) FROM samples WHERE tag = ANY ('a')").await.sqlstate(), "22P02");
}
