//! Queries beyond their share of memory spill to disk, give the right answers and leave nothing behind; what can't
//! spill ends with an error that says so.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod fixture;

use fixture::House;

const ROWS: u64 = 400_000;

fn house(memory_bytes: u64, spill_bytes_max: u64) -> House {
    House::with(|settings| {
        settings.memory_bytes = memory_bytes;
        settings.spill_bytes_max = spill_bytes_max;
    })
}

/// Rows of about 100 bytes in no order, about 40 MB of them.
fn source() -> String {
    format!(
        "(SELECT v * 7919 % {ROWS} AS k, lpad(CAST(v AS text), 64, 'x') AS t FROM generate_series(0, {}) AS g(v)) AS s",
        ROWS - 1
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_grouping_and_distinct_spill() {
    let house = house(16 << 20, 4 << 30);
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
    assert_eq!(house.spilled(), 0, "what was spilled is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_that_spilling_may_use_is_bounded() {
    let house = house(16 << 20, 2 << 20);
    let error = house.error(&format!("SELECT k, t FROM {} ORDER BY k", source())).await;
    assert_eq!(error.sqlstate(), "53400", "{error:?}");
    assert_eq!(house.spilled(), 0);
    assert_eq!(house.rows("SELECT 1 + 1").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_spill_is_an_error() {
    let house = house(16 << 20, 4 << 30);
    let source = source();
    let questions = [
        // A window over everything, a join's table, a set of distinct texts.
        format!("SELECT count(m) FROM (SELECT max(t) OVER () AS m, t FROM {source}) AS w"),
        format!("SELECT count(*) FROM {source} CROSS JOIN (SELECT t AS u FROM {source}) AS b WHERE t || u = ''"),
        format!("SELECT length(string_agg(t, ',')) FROM {source}"),
    ];
    for sql in questions {
        let error = house.error(&sql).await;
        assert_eq!(error.sqlstate(), "53200", "{sql}: {error:?}");
        assert!(error.report().hint.is_some(), "{error:?}");
    }
    assert_eq!(house.spilled(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_query_leaves_nothing() {
    use futures::StreamExt;
    let house = house(16 << 20, 4 << 30);
    let Ok(query::Outcome::Rows(mut rows)) = house.run(&format!("SELECT k, t FROM {} ORDER BY k", source()), Vec::new()).await
    else {
        panic!("no rows")
    };
    assert!(rows.batches.next().await.unwrap().is_ok());
    assert!(house.spilled() > 0, "the sort has spilled when its first row comes");
    drop(rows);
    // Its tasks end on their own threads.
    while house.spilled() > 0 {
        tokio::task::yield_now().await;
    }
}
