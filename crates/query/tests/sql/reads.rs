//! Questions over files read what they need and no more: statistics answer aggregates, a limit ends reading, the newest
//! rows are found from their end. Counted in bytes, by EXPLAIN ANALYZE.

use crate::fixture::House;

const TAGS: u64 = 40;
const ROWS: u64 = 20_000;

/// Tags of 20,000 samples each over two days, in files; noise, so that they don't compress to nothing.
async fn filed() -> House {
    let house = House::empty();
    let tags: Vec<String> = (0..TAGS).map(|tag| format!("('t{tag}', 'f64')")).collect();
    house.tag(&format!("INSERT INTO tags (name, kind) VALUES {}", tags.join(", "))).await;
    house
        .tag(&format!(
            "INSERT INTO samples (tag, time, value) SELECT 't' || CAST(t AS text), to_timestamp(1767225600 + n * 8), (n * 7919 + t * 104729) % 1000003 / 7.0 FROM generate_series(0, {}) AS a(t), generate_series(0, {}) AS b(n)",
            TAGS - 1,
            ROWS - 1
        ))
        .await;
    assert_eq!(house.rows("SELECT meridian_flush()").await, ["true"]);
    assert_eq!(house.rows("SELECT meridian_merge()").await, ["true"]);
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn little_is_read() {
    let house = filed().await;
    let all = house.count("bytes_read", "SELECT sum(value + 1) FROM samples").await;
    assert!(all > 100_000, "{all} bytes for everything");
    // Pages hold some hundred rows: a page or two is what one question about few rows of a tag may cost.
    let page = 1_024;
    let questions = [
        ("SELECT count(*), min(value), max(value), sum(value), avg(value) FROM samples", 0),
        ("SELECT tag, first(value, time), last(value, time) FROM samples GROUP BY tag", 0),
        ("SELECT max(time) FROM samples WHERE tag LIKE 't1%'", 0),
        ("SELECT tag, date_bin('1 day', time), avg(value) FROM samples GROUP BY 1, 2", 0),
        ("SELECT date_bin('1 day', time), count(*) FROM samples WHERE time < '2026-01-02' GROUP BY 1", 0),
        ("SELECT count(*) FROM samples WHERE quality >= 192", 0),
        ("SELECT * FROM samples WHERE tag = 't3' AND time = '2026-01-01 12:00:00'", 2 * page),
        ("SELECT value FROM samples WHERE tag = 't3' ORDER BY time DESC LIMIT 3", 2 * page),
        ("SELECT value FROM samples WHERE tag = 't3' AND time < '2026-01-02 03:00' ORDER BY time DESC LIMIT 3", 2 * page),
        ("SELECT tag, value FROM samples LIMIT 5", 4 * page),
        // All tags end at one time: after the first no other can have a newer row.
        ("SELECT tag, time FROM samples ORDER BY time DESC LIMIT 1", 2 * page),
        ("SELECT tag, value FROM samples WHERE time >= '2026-01-02 20:00' ORDER BY time LIMIT 1", 2 * page),
    ];
    for (sql, most) in questions {
        let read = house.count("bytes_read", sql).await;
        assert!(read <= most, "{sql}: {read} bytes, more than {most}");
    }
    let newest = house.rows("SELECT time FROM samples ORDER BY time DESC, tag LIMIT 41").await;
    assert_eq!(newest.iter().filter(|time| **time == newest[0]).count() as u64, TAGS);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_what_is_left_out() {
    let house = filed().await;
    let plan = async |sql: &str| house.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    let has = |shown: &str, parts: &[&str]| parts.iter().for_each(|part| assert!(shown.contains(part), "{part} in\n{shown}"));
    has(&plan("SELECT sum(value + 1) FROM samples").await, &["slices=64 of 64", "file_groups=2 of 2", "files=2 of 2"]);
    let one = plan("SELECT value + 1 FROM samples WHERE tag = 't3' AND time < '2026-01-01 06:00'").await;
    has(&one, &["tags=1 of 40", "slices=1 of 64", "file_groups=1 of 2", "files=1 of 2"]);
    let chunks = |shown: &str| -> (u64, u64) {
        let text = shown.split("chunks=").nth(1).unwrap().split([',', '\n']).next().unwrap().to_owned();
        let (kept, all) = text.split_once(" of ").unwrap();
        (kept.trim().parse().unwrap(), all.trim().parse().unwrap())
    };
    let whole = chunks(&plan("SELECT sum(value + 1) FROM samples").await);
    assert!(whole.0 == whole.1 && whole.0 >= 2 * TAGS, "{whole:?}");
    let (kept, all) = chunks(&one);
    assert!(kept >= 1 && kept < all && all < whole.1 / TAGS, "{kept} of {all}, {whole:?}");
    assert_eq!(chunks(&plan("SELECT value + 1 FROM samples WHERE tag = 'nowhere'").await), (0, 0));
    assert_eq!(chunks(&plan("SELECT value + 1 FROM samples WHERE time > '2030-01-01'").await), (0, 0));
}
