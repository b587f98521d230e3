//! Queries beyond their share of memory spill to disk, give the right answers and leave nothing behind; what can't
//! spill ends with an error that says so.

use crate::fixture::House;
use futures::StreamExt;

const ROWS: u64 = 100_000;
const SHARE: u64 = 6 << 20;

fn house(memory_bytes: u64, spill_bytes_max: u64) -> House {
    House::with(|settings| {
        settings.memory_bytes = memory_bytes;
        settings.spill_bytes_max = spill_bytes_max;
    })
}

/// Rows of about 100 bytes in no order, about 10 MB of them.
fn source() -> String {
    format!(
        "(SELECT v * 7919 % {ROWS} AS k, lpad(CAST(v AS text), 64, 'x') AS t FROM generate_series(0, {}) AS g(v)) AS s",
        ROWS - 1
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_grouping_and_distinct_spill() {
    let house = house(SHARE, 4 << 30);
    let source = source();
    let sorted = format!("SELECT k, t FROM {source} ORDER BY k");
    let rows = house.rows(&sorted).await;
    assert_eq!(rows.len() as u64, ROWS);
    for (number, row) in rows.iter().enumerate() {
        assert!(row.starts_with(&format!("{number}|")), "row {number}: {row}");
    }
    let whole = (ROWS * (ROWS - 1) / 2).to_string();
    let questions = [
        format!("SELECT count(*), sum(k) FROM (SELECT t, min(k) AS k FROM {source} GROUP BY t) AS g"),
        format!("SELECT count(*), sum(k) FROM (SELECT DISTINCT t, k FROM {source}) AS g"),
    ];
    for sql in questions {
        assert_eq!(house.rows(&sql).await, [format!("{ROWS}|{whole}")], "{sql}");
    }
    for sql in [sorted, format!("SELECT t, min(k) FROM {source} GROUP BY t"), format!("SELECT DISTINCT t, k FROM {source}")] {
        assert!(house.count("spill_count", &sql).await > 0, "{sql}");
    }
    nothing_is_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_that_spilling_may_use_is_bounded() {
    let house = house(SHARE, 2 << 20);
    let error = house.error(&format!("SELECT k, t FROM {} ORDER BY k", source())).await;
    assert_eq!(error.sqlstate(), "53400", "{error:?}");
    nothing_is_left(&house).await;
    assert_eq!(house.rows("SELECT 1 + 1").await, ["2"]);
}

/// Both sides are larger than queries' share.
#[tokio::test(flavor = "multi_thread")]
async fn joins_spill() {
    const PAIRS: u64 = 200_000;
    let house = house(16 << 20, 4 << 30);
    let source = format!(
        "(SELECT v * 7919 % {PAIRS} AS k, lpad(CAST(v AS text), 64, 'x') AS t FROM generate_series(0, {}) AS g(v))",
        PAIRS - 1
    );
    let cases = [("JOIN", "a.t = b.t AND a.k <= b.k", PAIRS), ("FULL JOIN", "a.t = b.t AND a.k < b.k", 2 * PAIRS)];
    for (how, on, rows) in cases {
        let sql = format!("SELECT count(*) FROM {source} AS a {how} {source} AS b ON {on}");
        assert_eq!(house.rows(&sql).await, [rows.to_string()], "{sql}");
    }
    // No equality: the side that is held is run again from its start, repartitioned and all.
    let sql = format!(
        "SELECT count(*) FROM (SELECT t FROM {source} AS s GROUP BY t) AS a JOIN generate_series(1, 3) AS g(n) ON length(a.t) > g.n"
    );
    assert_eq!(house.rows(&sql).await, [(3 * PAIRS).to_string()]);
    nothing_is_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_sorted_beyond_the_share() {
    let house = house(SHARE, 4 << 30);
    house
        .tag(
            "INSERT INTO tags (name, kind) SELECT 'a.rather.long.name.of.a.tag.' || v, 'f64' FROM generate_series(1, 40) AS g(v)",
        )
        .await;
    let rows = format!(
        "INSERT INTO samples SELECT 'a.rather.long.name.of.a.tag.' || (v % 40 + 1), to_timestamp(v / 40), v * 7919 % {ROWS}
         FROM generate_series(0, {}) AS g(v)",
        ROWS - 1
    );
    house.tag(&rows).await;
    let sql = "SELECT tag, time, value FROM samples ORDER BY value, tag, time";
    let found = house
        .rows("SELECT count(*), sum(n * value) FROM (SELECT value, row_number() OVER (ORDER BY value, tag, time) - 1 AS n FROM samples) AS s")
        .await;
    let squares: u64 = (0..ROWS).map(|n| n * n).sum();
    let sum = found[0].split('|').nth(1).unwrap().parse::<f64>().unwrap();
    assert!((sum - squares as f64).abs() < squares as f64 * 1e-12, "{found:?}");
    assert!(house.count("spill_count", sql).await > 0);
    nothing_is_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_spill_is_an_error() {
    let house = house(SHARE, 4 << 30);
    let source = source();
    let questions = [
        // A window over everything, one text of everything, a set of which any row may be NULL.
        format!("SELECT count(m) FROM (SELECT max(t) OVER () AS m, t FROM {source}) AS w"),
        format!("SELECT length(string_agg(t, ',')) FROM {source}"),
        format!("SELECT count(*) FROM {source} WHERE t NOT IN (SELECT t FROM {source})"),
    ];
    for sql in questions {
        let error = house.error(&sql).await;
        assert_eq!(error.sqlstate(), "53200", "{sql}: {error:?}");
        assert!(error.report().hint.as_ref().is_some_and(|hint| hint.contains("query_bytes_max")), "{error:?}");
    }
    nothing_is_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_side_by_side_share() {
    let house = house(2 * SHARE, 4 << 30);
    let sql = format!("SELECT count(*) FROM (SELECT t, k FROM {} ORDER BY k, t OFFSET 1) AS s", source());
    let sql = sql.as_str();
    let run = || async { house.rows(sql).await };
    let answers = futures::future::join_all((0..3).map(|_| run())).await;
    assert_eq!(answers, vec![vec![(ROWS - 1).to_string()]; 3]);
    nothing_is_left(&house).await;
}

/// A query that has begun to give its rows, in order; what it sorted lies in files.
async fn begun(house: &House) -> query::Rows {
    let sql = format!("SELECT k, t FROM {} ORDER BY k", source());
    let Ok(query::Outcome::Rows(mut rows)) = house.run(&sql, Vec::new()).await else { panic!("no rows") };
    assert!(rows.batches.next().await.unwrap().is_ok());
    assert!(house.spilled() > 0, "the sort has spilled when its first row comes");
    rows
}

/// Waits until no file is left: tasks that were ended go on their own threads.
async fn nothing_is_left(house: &House) {
    let gone = async {
        while house.spilled() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("what was spilled is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_query_leaves_nothing() {
    let house = house(SHARE, 4 << 30);
    drop(begun(&house).await);
    nothing_is_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_leaves_nothing() {
    let house = house(SHARE, 4 << 30);
    let mut rows = begun(&house).await;
    assert!(house.session.cancel());
    let error = loop {
        match rows.batches.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ran to its end"),
        }
    };
    assert_eq!(error.sqlstate(), "57014");
    nothing_is_left(&house).await;
}
