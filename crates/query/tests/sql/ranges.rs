//! Ranges and totals of some tags are answered without a plan, and give what a plan gives: rows, names and types of columns,
//! types of parameters, and errors.

use crate::fixture::{House, texts};
use arrow::array::{ArrayRef, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use futures::StreamExt;
use query::{Outcome, Prepared, ScalarValue};
use std::sync::Arc;
use types::DistributionRule;

/// 2023-11-14 22:13:20 UTC.
const START_S: i64 = 1_700_000_000;
const SPAN_S: u64 = 7_200;
const NAMES: [&str; 13] = ["t9", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "Tag", "é", "words", "nowhere"];

struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Tags of all kinds, with samples in files and in buffers, some written twice and some deleted.
async fn furnish(house: &House, dice: &mut Dice) {
    let kinds = ["f64", "i64", "f32", "bool", "state"];
    for (at, name) in NAMES[..11].iter().enumerate() {
        let kind = kinds[at % kinds.len()];
        let states = if kind == "state" { "'{off,on,broken}'" } else { "NULL" };
        house.tag(&format!("INSERT INTO tags (name, kind, states) VALUES ('{name}', '{kind}', {states})")).await;
    }
    house.tag("INSERT INTO tags (name, kind) VALUES ('words', 'text')").await;
    for round in 0..4 {
        let mut rows = Vec::new();
        for (at, name) in NAMES[..10].iter().enumerate() {
            for _ in 0..dice.below(60) {
                let us = START_S * 1_000_000 + dice.below(SPAN_S as usize * 4) as i64 * 250_000;
                let whole = dice.below(1000) as i64 - 500;
                let value = match kinds[at % kinds.len()] {
                    "f64" => dice.of(&["'NaN'".to_owned(), "'Infinity'".to_owned(), format!("{whole}.25"), format!("{whole}.5")]),
                    "f32" if dice.one_in(9) => "'NaN'".to_owned(),
                    "bool" | "state" => dice.below(2).to_string(),
                    _ => whole.to_string(),
                };
                rows.push(format!("('{name}', to_timestamp_micros({us}), {value}, {})", dice.of(&[192, 0, 64])));
            }
        }
        house.tag(&format!("INSERT INTO samples VALUES {}", rows.join(", "))).await;
        house.tag(&format!("INSERT INTO events VALUES ('words', to_timestamp({}), 'w{round}')", START_S + round)).await;
        if round == 1 {
            house.rows("SELECT meridian_flush()").await;
        }
        let from = START_S + dice.below(SPAN_S as usize) as i64;
        house
            .tag(&format!(
                "DELETE FROM samples WHERE tag IN ('t1', 't2', 't9') AND time >= to_timestamp({from}) AND time < to_timestamp({})",
                from + 300
            ))
            .await;
    }
}

/// A statement of the family, its parameters, and what is known of the order of its rows.
struct Asked {
    sql: String,
    params: Vec<ScalarValue>,
    /// The columns by which rows are ordered.
    keys: Vec<usize>,
    /// Whether only some of the rows are asked for, and which ones is left open.
    open: bool,
    /// Whether it may be long and needs sorting: that is a plan's.
    sorts: bool,
}

fn list(names: Vec<Option<&str>>) -> ScalarValue {
    let items: ArrayRef = Arc::new(StringArray::from(names));
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    ScalarValue::List(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([items.len()]), items, None)))
}

fn moment(us: Option<i64>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(us, Some("UTC".into()))
}

/// A condition on tags, and how many there may be.
fn tags(dice: &mut Dice, params: &mut Vec<ScalarValue>) -> (String, usize) {
    let count = 1 + dice.below(4);
    let names: Vec<&str> = (0..count).map(|_| dice.of(&NAMES)).collect();
    let name = |dice: &mut Dice, params: &mut Vec<ScalarValue>, name: &str| {
        if !dice.one_in(3) {
            return format!("'{name}'");
        }
        params.push(ScalarValue::Utf8((!dice.one_in(5)).then(|| name.to_owned())));
        format!("${}", params.len())
    };
    match dice.below(4) {
        0 => (format!("tag = {}", name(dice, params, names[0])), 1),
        1 => {
            params.push(list(names.iter().map(|name| (!dice.one_in(6)).then_some(*name)).collect()));
            (format!("tag = ANY(${})", params.len()), count.max(2))
        }
        kind => {
            let names: Vec<String> = names.iter().map(|known| name(dice, params, known)).collect();
            let names = names.join(", ");
            (if kind == 2 { format!("tag IN ({names})") } else { format!("ANY_OF({names})") }, count)
        }
    }
}

fn time(dice: &mut Dice, params: &mut Vec<ScalarValue>) -> String {
    let second = START_S - 600 + dice.below(SPAN_S as usize + 1200) as i64;
    let clock = format!("2023-11-{:02} {:02}:{:02}:{:02}", 14 + dice.below(2), dice.below(24), dice.below(60), dice.below(60));
    match dice.below(7) {
        0 => format!("'{clock}+00'"),
        1 => format!("TIMESTAMPTZ '{clock}'"),
        2 => format!("'{clock}'::timestamptz"),
        3 | 4 => format!("to_timestamp({second})"),
        5 => dice.of(&["now()", "now() - INTERVAL '2 hours'", "now() - interval '30 minutes'", "current_timestamp"]).to_owned(),
        _ => {
            params.push(moment((!dice.one_in(6)).then_some(second * 1_000_000)));
            format!("${}", params.len())
        }
    }
}

/// Conditions, how many tags there may be, and whether both ends of the range are told.
fn conditions(dice: &mut Dice, params: &mut Vec<ScalarValue>) -> (String, usize, bool) {
    let (tags, count) = tags(dice, params);
    let mut all = vec![tags];
    let kind = dice.below(5);
    match kind {
        0 => {}
        1 => all.push(format!("time BETWEEN {} AND {}", time(dice, params), time(dice, params))),
        2 => all.push(format!("{} <= time", time(dice, params))),
        _ => {
            all.push(format!(
                "time {} to_timestamp({})",
                dice.of(&[">", ">="]),
                START_S + dice.below(SPAN_S as usize / 2) as i64
            ));
            all.push(format!("time {} {}", dice.of(&["<", "<="]), time(dice, params)));
        }
    }
    (all.join(" AND "), count, ![0, 2].contains(&kind))
}

fn limit(dice: &mut Dice, params: &mut Vec<ScalarValue>) -> String {
    match dice.below(4) {
        0 => format!(" LIMIT {}", dice.below(30)),
        1 => {
            params.push(ScalarValue::Int64((!dice.one_in(4)).then(|| dice.below(30) as i64)));
            format!(" LIMIT ${}", params.len())
        }
        _ => String::new(),
    }
}

fn range(dice: &mut Dice) -> Asked {
    let mut params = Vec::new();
    let (conditions, count, bounded) = conditions(dice, &mut params);
    let table = dice.of(&["samples", "samples", "samples", "integers", "public.samples"]);
    // What is ordered by is shown, so that the order can be seen.
    let (shown, keys) = dice.of(&[
        ("tag, time, value, quality", vec![]),
        ("*", vec![]),
        ("value", vec![]),
        ("tag, time, value AS v", vec![("ORDER BY time", 1)]),
        ("time, tag, quality", vec![("ORDER BY time DESC", 0)]),
        ("time AS t, value, tag", vec![("ORDER BY t DESC", 0)]),
        ("tag, time, value", vec![("ORDER BY tag, 2", 0), ("", 1)]),
        ("tag, time, value", vec![("ORDER BY 1, time DESC", 0), ("", 1)]),
    ]);
    let order = keys.first().map_or("", |(order, _)| order);
    let keys: Vec<usize> = keys.iter().map(|(_, column)| *column).collect();
    let limit = limit(dice, &mut params);
    let total = keys.len() == 2 || (keys.len() == 1 && count == 1);
    let open = !limit.is_empty() && !total;
    let sorts = !bounded && limit.is_empty() && !keys.is_empty() && (count > 1 || order.contains("DESC"));
    Asked { sql: format!("SELECT {shown} FROM {table} WHERE {conditions} {order}{limit}"), params, keys, open, sorts }
}

fn totals(dice: &mut Dice) -> Asked {
    let mut params = Vec::new();
    let (conditions, count, _) = conditions(dice, &mut params);
    let bin = dice.of(&[
        "date_bin('1 minute', time)",
        "date_bin(INTERVAL '15 minutes', time)",
        "time_bucket('1 hour', time)",
        "date_bin('90 seconds', time, TIMESTAMPTZ '2001-01-01 00:00:01')",
    ]);
    let (groups, tail, keys) = dice.of(&[
        ("", "", vec![]),
        ("BIN AS at, ", "GROUP BY 1", vec![]),
        ("BIN AS at, ", "GROUP BY at ORDER BY at", vec![0]),
        ("BIN, tag, ", "GROUP BY BIN, tag ORDER BY 1 DESC, tag", vec![0, 1]),
        ("tag AS name, BIN AS b, ", "GROUP BY 1, 2 ORDER BY name, b DESC", vec![0, 1]),
        ("tag, ", "GROUP BY tag ORDER BY tag", vec![0]),
        ("", "GROUP BY BIN", vec![]),
    ]);
    let mut all = vec![
        "count(*)",
        "sum(value) AS total",
        "avg(value)",
        "min(value)",
        "max(value)",
        "min(time)",
        "max(time)",
        "count(quality)",
    ];
    // Of several tags more than one may have the newest sample.
    if count == 1 || groups.contains("tag") {
        all.extend(["first(value, time)", "last(value, time) AS newest"]);
    }
    let items: Vec<&str> = (0..1 + dice.below(5)).map(|_| dice.of(&all)).collect();
    // A plan has no two columns of one expression and alias.
    let mut items = items;
    items.sort_unstable();
    items.dedup();
    let limit = if keys.is_empty() { String::new() } else { limit(dice, &mut params) };
    let sql = format!("SELECT {groups}{} FROM samples AS s WHERE {conditions} {tail}{limit}", items.join(", "));
    Asked { sql: sql.replace("BIN", bin), params, keys, open: false, sorts: false }
}

type Answer = Result<Vec<String>, String>;

async fn ask(prepared: &Prepared, params: Vec<ScalarValue>) -> Answer {
    let state = |error: query::Error| error.sqlstate().to_owned();
    let Outcome::Rows(mut rows) = prepared.execute(params).await.map_err(state)? else { panic!("no rows") };
    let mut out = Vec::new();
    while let Some(batch) = rows.batches.next().await {
        let batch = batch.map_err(state)?;
        assert_eq!(batch.schema(), rows.schema);
        out.extend(texts(&batch));
    }
    Ok(out)
}

fn only(rows: &[String], keys: &[usize]) -> Vec<String> {
    let cut = |row: &String| {
        let cells: Vec<&str> = row.split('|').collect();
        keys.iter().map(|key| cells[*key]).collect::<Vec<_>>().join("|")
    };
    rows.iter().map(cut).collect()
}

async fn compare(house: &House, asked: &Asked) {
    let Asked { sql, params, keys, open, sorts } = asked;
    // ANY over a list in brackets is the same as IN.
    let sql = match sql.split_once("ANY_OF(") {
        None => sql.clone(),
        Some((head, tail)) => {
            let (names, tail) = tail.split_once(')').unwrap();
            format!("{head}tag = ANY(ARRAY[{names}]){tail}")
        }
    };
    // A plan of aggregates does not infer that LIMIT is a bigint.
    let types: Vec<_> =
        if sql.contains("LIMIT $") { params.iter().map(|value| Some(value.data_type())).collect() } else { Vec::new() };
    let planned_sql = sql.replacen(" WHERE ", " WHERE 1 = 1 AND ", 1);
    let planned = house.session.prepare(&planned_sql, &types).await.unwrap_or_else(|error| panic!("{planned_sql}: {error}"));
    let direct = house.session.prepare(&sql, &types).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(direct.needs_no_plan(), !sorts, "{sql}");
    assert!(!planned.needs_no_plan(), "{planned_sql}");
    assert_eq!(direct.schema(), planned.schema(), "{sql}");
    assert_eq!(direct.parameters(), planned.parameters(), "{sql}");
    let (found, expect) = (ask(&direct, params.clone()).await, ask(&planned, params.clone()).await);
    let (Ok(found), Ok(expect)) = (&found, &expect) else {
        assert_eq!(found, expect, "{sql} {params:?}");
        return;
    };
    assert_eq!(only(found, keys), only(expect, keys), "{sql} {params:?}");
    assert_eq!(found.len(), expect.len(), "{sql} {params:?}");
    if !open {
        let sorted = |rows: &[String]| {
            let mut rows = rows.to_vec();
            rows.sort();
            rows
        };
        assert_eq!(sorted(found), sorted(expect), "{sql} {params:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_ranges_and_totals_give_what_a_plan_gives() {
    let by_day = DistributionRule { w2: 1, b2: 1, b1: 2, buckets: 5, ..DistributionRule::default() };
    for (seed, rule) in [(1, DistributionRule::default()), (2, by_day)] {
        let mut dice = Dice(seed);
        let house = House::made(None, kernel::Settings { rule, ..kernel::Settings::default() }, |_| {});
        furnish(&house, &mut dice).await;
        for round in 0..400 {
            if round % 100 == 50 {
                house.tag(&format!("SET timezone = '{}'", dice.of(&["UTC", "Europe/Berlin", "Asia/Shanghai"]))).await;
            }
            let asked = if dice.one_in(2) { range(&mut dice) } else { totals(&mut dice) };
            compare(&house, &asked).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_double_can_not_hold_is_refused_either_way() {
    let house = House::furnished().await;
    house.tag("INSERT INTO integers VALUES ('i', '2026-01-03', 9007199254740993)").await;
    for sql in [
        "SELECT value FROM samples WHERE tag IN ('i', 'a')",
        "SELECT max(value) FROM samples WHERE tag = 'i'",
        "SELECT date_bin('1 day', time), last(value, time) FROM samples WHERE tag = 'i' GROUP BY 1",
    ] {
        compare(&house, &Asked { sql: sql.to_owned(), params: Vec::new(), keys: Vec::new(), open: false, sorts: false }).await;
        assert_eq!(house.error(sql).await.sqlstate(), "22003", "{sql}");
    }
    // Where no value is shown nothing is refused.
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE tag = 'i'").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_range_is_a_stream_without_a_plan() {
    let house = House::empty();
    house.tag("INSERT INTO tags (name, kind) VALUES ('b', 'f64'), ('a', 'i64')").await;
    for tag in ["a", "b"] {
        let rows = "SELECT '{}', to_timestamp(1700000000 + n), n FROM generate_series(1, 30000) AS g(n)";
        house.tag(&format!("INSERT INTO samples (tag, time, value) {}", rows.replace("{}", tag))).await;
    }
    let all = "time >= to_timestamp(0) AND time < to_timestamp(1800000000)";
    for sql in [
        "SELECT * FROM samples WHERE tag IN ('a', 'b')".to_owned(),
        format!("SELECT time, tag, value FROM samples WHERE tag IN ('a', 'b', 'c') AND {all}"),
        format!("SELECT value FROM samples WHERE tag = 'b' AND {all} ORDER BY time"),
        format!("SELECT time, value FROM samples WHERE tag = 'b' AND {all} ORDER BY time DESC"),
        format!("SELECT tag, time FROM samples WHERE tag IN ('a', 'b') AND {all} ORDER BY time, 1"),
        format!("SELECT date_bin('1 second', time), count(*) FROM samples WHERE tag = 'b' AND {all} GROUP BY 1"),
        "SELECT date_bin('1 second', time), count(*) FROM samples WHERE tag = 'b' GROUP BY 1".to_owned(),
        format!(
            "SELECT date_bin('1 minute', time), tag, avg(value) FROM samples WHERE tag IN ('a', 'b') AND {all} GROUP BY 1, 2"
        ),
    ] {
        let planned = sql.replacen(" WHERE ", " WHERE 1 = 1 AND ", 1);
        let (mut found, mut expect) = (house.rows(&sql).await, house.rows(&planned).await);
        if !sql.contains("ORDER BY") {
            found.sort();
            expect.sort();
        }
        assert!(found == expect, "{sql}: {} rows, {} by a plan", found.len(), expect.len());
        assert!(found.len() > 900, "{sql}");
    }
    // It is cancelled like any other, and shown while it runs.
    let prepared = house.session.prepare("SELECT * FROM samples WHERE tag IN ('a', 'b')", &[]).await.unwrap();
    assert!(prepared.needs_no_plan());
    let Outcome::Rows(mut rows) = prepared.execute(Vec::new()).await.unwrap() else { panic!("no rows") };
    assert!(rows.batches.next().await.unwrap().is_ok());
    let running = "SELECT query FROM meridian.queries WHERE query LIKE 'SELECT * FROM samples%'";
    assert_eq!(house.rows(running).await.len(), 1);
    assert!(house.session.cancel());
    let mut last = None;
    while let Some(batch) = rows.batches.next().await {
        last = Some(batch.map(|batch| batch.num_rows()));
    }
    assert_eq!(last.unwrap().unwrap_err().sqlstate(), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_alike_goes_through_a_plan() {
    let house = House::furnished().await;
    for sql in [
        "SELECT value AS time FROM samples WHERE tag = 'a' ORDER BY time",
        "SELECT date_bin('1 minute', time) AS time FROM samples WHERE tag = 'a' GROUP BY time",
        "SELECT date_bin('1 month', time), count(*) FROM samples WHERE tag = 'a' GROUP BY 1",
        "SELECT count(DISTINCT value) FROM samples WHERE tag = 'a'",
        "SELECT count(*) FILTER (WHERE value > 1) FROM samples WHERE tag = 'a'",
        "SELECT count(*) FROM samples WHERE tag = 'a' HAVING count(*) > 5",
        "SELECT sum(value) OVER () FROM samples WHERE tag = 'a'",
        "SELECT count(*) FROM samples WHERE tag = 'a' AND value > 1",
        "SELECT value FROM samples WHERE tag IN ('a', NULL)",
        "SELECT value FROM samples WHERE tag NOT IN ('a')",
        "SELECT tag, time FROM samples WHERE tag IN ('a', 'b') ORDER BY tag DESC",
        "SELECT sum(value) FROM integers WHERE tag = 'i'",
        "SELECT avg(value) FROM samples WHERE tag = 'a' GROUP BY tag ORDER BY avg(value)",
        "SELECT value FROM samples WHERE tag = 'a' LIMIT 1 OFFSET 1",
    ] {
        let prepared = house.session.prepare(sql, &[]).await;
        assert!(prepared.is_ok_and(|prepared| !prepared.needs_no_plan()), "{sql}");
    }
    for sql in [
        "SELECT tag, count(*) FROM samples WHERE tag = 'a' GROUP BY date_bin('1 day', time)",
        "SELECT time, count(*) FROM samples WHERE tag = 'a'",
    ] {
        assert_eq!(house.error(sql).await.sqlstate(), "42803", "{sql}");
    }
}
