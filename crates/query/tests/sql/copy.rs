//! COPY in both directions.

use crate::fixture::House;
use futures::StreamExt;
use query::{Error, Outcome};

async fn copy_in(house: &House, sql: &str, data: &str, cut: usize) -> Result<String, Error> {
    let Outcome::CopyIn(mut copy) = house.run(sql, Vec::new()).await? else { panic!("{sql}: no COPY") };
    for piece in data.as_bytes().chunks(cut) {
        copy.push(piece).await?;
    }
    copy.finish().await.map(|completion| completion.tag)
}

pub async fn copy_out(house: &House, sql: &str) -> (String, String) {
    let Ok(Outcome::CopyOut(mut copy)) = house.run(sql, Vec::new()).await else { panic!("{sql}: no COPY") };
    let mut out = Vec::new();
    while let Some(chunk) = copy.chunks.next().await {
        out.extend(chunk.unwrap().bytes);
    }
    (String::from_utf8(out).unwrap(), copy.completion().tag)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_out_can_be_copied_in() {
    let (from, to) = (House::furnished().await, House::empty());
    for (table, options) in [
        ("tags", ""),
        ("samples", ""),
        ("integers", " WITH (FORMAT csv, HEADER)"),
        ("events", " WITH (FORMAT csv, DELIMITER ';')"),
    ] {
        let (data, tag) = copy_out(&from, &format!("COPY {table} TO STDOUT{options}")).await;
        assert_eq!(copy_in(&to, &format!("COPY {table} FROM STDIN{options}"), &data, 5).await.unwrap(), tag, "{data}");
    }
    for query in [
        "SELECT * FROM samples ORDER BY tag, time",
        "SELECT * FROM events ORDER BY time",
        "SELECT name, kind, unit, states, labels FROM tags ORDER BY name",
    ] {
        assert_eq!(to.rows(query).await, from.rows(query).await, "{query}");
    }
    let (data, tag) = copy_out(&from, "COPY (SELECT tag, max(value) AS top FROM samples WHERE tag < 'c' GROUP BY tag ORDER BY tag) TO STDOUT (FORMAT csv, HEADER)").await;
    assert_eq!((data.as_str(), tag.as_str()), ("tag,top\na,2.5\nb,20\n", "COPY 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_keeps_nothing() {
    let house = House::furnished().await;
    let before = house.rows("SELECT count(*) FROM samples").await;
    let rows = [
        ("a\t2026-05-01\t1\t192\na\t2026-05-02\tx\t192\n", "22P02", 2),
        ("a\t2026-05-01\t1\t192\nnowhere\t2026-05-02\t1\t192\n", "23503", 2),
        ("a\t2026-05-01\t1\n", "22P04", 1),
        ("a\t2026-05-01\t1\t192\t7\n", "22P04", 1),
        ("a\t\\N\t1\t192\n", "23502", 1),
        ("a\t2026-13-01\t1\t192\n", "22008", 1),
        ("a\tsoon\t1\t192\n", "22007", 1),
        ("a\t2026-05-01\t1e999\t192\n", "22003", 1),
        ("a\t2026-05-01\t9007199254740993\t192\n", "22003", 1),
        ("t\t2026-05-01\t1\t192\n", "42804", 1),
        ("a\t2026-05-01\t1\t300\n", "22003", 1),
    ];
    for (data, state, line) in rows {
        let error = copy_in(&house, "COPY samples FROM STDIN", data, 3).await.unwrap_err();
        assert_eq!(error.sqlstate(), state, "{data}: {error:?}");
        assert!(error.detail().unwrap().contains(&format!("line {line}")), "{error:?}");
    }
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, before);
    for (sql, state) in [
        ("COPY nowhere FROM STDIN", "42P01"),
        ("COPY samples (tag, nothing) FROM STDIN", "42703"),
        ("COPY samples FROM '/etc/passwd'", "0A000"),
        ("COPY latest FROM STDIN", "0A000"),
        ("COPY samples FROM STDIN (FORMAT binary)", "0A000"),
    ] {
        assert_eq!(house.error(sql).await.sqlstate(), state, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_may_be_left_out_and_limits_hold() {
    let house = House::with(|settings| settings.copy_bytes_max = 2_000);
    house.tag("INSERT INTO tags (name) VALUES ('a')").await;
    assert_eq!(
        copy_in(&house, "COPY samples (value, time, tag) FROM STDIN (FORMAT csv)", "1,2026-01-01,a\n2,2026-01-02,a", 4)
            .await
            .unwrap(),
        "COPY 2"
    );
    let many: String = (0..200).map(|n| format!("a\t2026-01-01 00:00:{:02}.{n:06}\t{n}\t192\n", n % 60)).collect();
    assert_eq!(copy_in(&house, "COPY samples FROM STDIN", &many, 4096).await.unwrap_err().sqlstate(), "54000");
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["2"]);
    house.tag("SET meridian.copy_batch_rows = 10").await;
    assert_eq!(copy_in(&house, "COPY samples FROM STDIN", &many, 100).await.unwrap(), "COPY 200");
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["201"]);
}
