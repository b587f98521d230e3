//! Under a distribution rule that looks at time a tag lies in many slices: the same statements give the same answers
//! as under the usual rule, in buffers, in files and merged.

use crate::fixture::House;
use query::ScalarValue;
use types::DistributionRule;

const QUESTIONS: [&str; 16] = [
    "SELECT tag, time, value, quality FROM samples ORDER BY tag, time",
    "SELECT tag, time, text FROM events ORDER BY tag, time",
    "SELECT tag, time, value, text FROM latest ORDER BY tag",
    "SELECT tag, count(*), sum(value), min(value), max(value), first(value, time), last(value, time) FROM samples GROUP BY tag ORDER BY tag",
    "SELECT tag, date_bin('36 hours', time) AS b, count(*), sum(value), first(value, time) FROM samples GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT count(*), min(time), max(time) FROM samples WHERE time >= '2026-01-02' AND time < '2026-01-05' AND quality >= 192",
    "SELECT tag, time FROM samples ORDER BY time DESC, tag LIMIT 7",
    "SELECT tag, time FROM samples WHERE tag <> 'a' ORDER BY time, tag LIMIT 7",
    "SELECT time, value FROM samples WHERE tag = 'b' AND time <= '2026-01-04 12:00' ORDER BY time DESC LIMIT 1",
    "SELECT time, value FROM samples WHERE tag = 'b' AND time >= '2026-01-02' AND time < '2026-01-09' ORDER BY time",
    "SELECT time, value FROM samples WHERE tag = 'b' AND time >= '2026-01-02' AND time < '2026-01-09' ORDER BY time DESC LIMIT 4",
    "SELECT time, value FROM latest WHERE tag = 'c'",
    "SELECT tag, time, value FROM latest WHERE tag = ANY(ARRAY['a', 'c', 'nowhere'])",
    "SELECT tag, at, time, value, text FROM values_at(ARRAY['a', 'b', 't', 'a'], ARRAY['2026-01-03', '2026-01-05 07:00:00', '2026-01-04', '2025-01-01']::timestamptz[])",
    "SELECT DISTINCT ON (tag) tag, time, value FROM samples ORDER BY tag, time DESC",
    "SELECT count(*) FROM samples AS x JOIN samples AS y ON x.tag = y.tag AND x.time = y.time",
];

async fn compare(houses: &[House; 2], after: &str) {
    for sql in QUESTIONS {
        let (plain, by_day) = (houses[0].rows(sql).await, houses[1].rows(sql).await);
        assert_eq!(by_day, plain, "after {after}: {sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same() {
    let rule = DistributionRule { w2: 1, b2: 1, b1: 2, buckets: 5, ..DistributionRule::default() };
    let houses = [House::empty(), House::made(None, kernel::Settings { rule, ..kernel::Settings::default() }, |_| {})];
    let rows = |step: u32, value: u32| {
        format!(
            "INSERT INTO samples (tag, time, value, quality) SELECT substr('abc', 1 + CAST(t AS int), 1), to_timestamp(1767225600 + n * {step} * 60 + t), n * {value} + t, CASE WHEN n % 7 = 0 THEN 0 ELSE 192 END FROM generate_series(0, 2) AS a(t), generate_series(0, 40) AS b(n)"
        )
    };
    let steps = [
        "INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('b', 'f64'), ('c', 'i64'), ('t', 'text')".to_owned(),
        rows(431, 3),
        "INSERT INTO events VALUES ('t', '2026-01-01 05:00', 'one'), ('t', '2026-01-03 05:00', 'two'), ('t', '2026-01-08 05:00', 'three')".to_owned(),
        "SELECT meridian_flush()".to_owned(),
        rows(617, 5),
        "DELETE FROM samples WHERE tag = 'b' AND time >= '2026-01-04' AND time < '2026-01-06'".to_owned(),
        // The newest sample goes: the snapshot value falls back to another slice's.
        "DELETE FROM samples WHERE tag = 'c' AND time > '2026-01-10'".to_owned(),
        "SELECT meridian_flush()".to_owned(),
        "DELETE FROM samples WHERE value > 100 AND value < 120".to_owned(),
        "DELETE FROM events WHERE text = 'three'".to_owned(),
        "SELECT meridian_merge()".to_owned(),
        rows(431, 3),
        "DELETE FROM samples WHERE tag = 'a'".to_owned(),
        "INSERT INTO samples VALUES ('a', '2026-01-02 10:00', 5)".to_owned(),
        "DELETE FROM tags WHERE name = 'b'".to_owned(),
    ];
    for step in steps {
        for house in &houses {
            if step.starts_with("SELECT") {
                house.rows(&step).await;
            } else {
                house.tag(&step).await;
            }
        }
        compare(&houses, &step).await;
    }
    let prepared = houses[1].session.prepare("SELECT value FROM latest WHERE tag = $1", &[]).await.unwrap();
    assert!(prepared.point().is_some());
    let one = |tag: &str| vec![ScalarValue::Utf8(Some(tag.to_owned()))];
    assert_eq!(houses[1].try_rows("SELECT value FROM latest WHERE tag = $1", one("a")).await.unwrap(), ["5.0"]);
    let plan = houses[1]
        .rows("EXPLAIN SELECT value + 1 FROM samples WHERE tag = 'c' AND time >= '2026-01-03' AND time < '2026-01-04'")
        .await
        .join("\n");
    assert!(plan.contains("slices=1 of 5") || plan.contains("slices=2 of 5"), "{plan}");
}
