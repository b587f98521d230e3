//! COPY in both directions.

use crate::fixture::House;
use futures::StreamExt;
use query::{CopyPiece, Error, Outcome};

async fn copy_in(house: &House, sql: &str, data: impl AsRef<[u8]>, cut: usize) -> Result<String, Error> {
    let Outcome::CopyIn(mut copy) = house.run(sql, Vec::new()).await? else { panic!("{sql}: no COPY") };
    for piece in data.as_ref().chunks(cut) {
        copy.push(piece).await?;
    }
    copy.finish().await.map(|completion| completion.tag)
}

pub async fn copy_out(house: &House, sql: &str) -> (String, String) {
    let Ok(Outcome::CopyOut(mut copy)) = house.run(sql, Vec::new()).await else { panic!("{sql}: no COPY") };
    let mut out = Vec::new();
    while let Some(chunk) = copy.chunks.next().await {
        let CopyPiece::Lines(lines) = chunk.unwrap() else { panic!("{sql}: not text") };
        out.extend(lines.bytes);
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
        ("COPY samples FROM STDIN (FORMAT parquet)", "0A000"),
        ("COPY samples FROM STDIN (FORMAT binary, DELIMITER ',')", "42601"),
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

/// Rows in COPY's binary format.
pub fn binary(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        out.extend_from_slice(&(row.len() as i16).to_be_bytes());
        for field in *row {
            out.extend_from_slice(&field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            out.extend_from_slice(field.unwrap_or_default());
        }
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_rows_are_written_or_none_is() {
    let house = House::furnished().await;
    let (zero, one) = (0_i64.to_be_bytes(), 1_000_000_i64.to_be_bytes());
    let (half, bad) = (0.5_f64.to_be_bytes(), 64_i16.to_be_bytes());
    let data = binary(&[
        &[Some(b"c"), Some(&zero), Some(&half), Some(&bad)],
        &[Some(b"c"), Some(&one), Some(&half), Some(&192_i16.to_be_bytes())],
    ]);
    for cut in [1, 7, 4096] {
        assert_eq!(copy_in(&house, "COPY samples FROM STDIN (FORMAT binary)", &data, cut).await.unwrap(), "COPY 2");
        assert_eq!(
            house.rows("SELECT time, value, quality FROM samples WHERE tag = 'c' ORDER BY time").await,
            ["2000-01-01T00:00:00Z|0.5|64", "2000-01-01T00:00:01Z|0.5|192"]
        );
    }
    let exact = binary(&[&[Some(&i64::MAX.to_be_bytes()), Some(b"i"), Some(&zero)]]);
    copy_in(&house, "COPY integers (value, tag, time) FROM STDIN WITH BINARY", &exact, 5).await.unwrap();
    assert_eq!(house.rows("SELECT value FROM integers WHERE time = '2000-01-01'").await, [i64::MAX.to_string()]);
    let text = binary(&[&[Some(b"t"), Some(&zero), Some("温".as_bytes())]]);
    copy_in(&house, "COPY events (tag, time, text) FROM STDIN (FORMAT binary)", &text, 5).await.unwrap();
    assert_eq!(house.rows("SELECT text FROM events WHERE time = '2000-01-01'").await, ["温"]);
    let span = [&90_000_000_i64.to_be_bytes()[..], &[0; 8]].concat();
    let states = b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x01a\0\0\0\x01b";
    let tags = binary(&[&[Some(b"new"), Some(b"state"), Some(states), Some(&half), Some(&span)]]);
    copy_in(&house, "COPY tags (name, kind, states, low, cadence) FROM STDIN (FORMAT binary)", &tags, 9).await.unwrap();
    assert_eq!(
        house.rows("SELECT states, low, cadence FROM tags WHERE name = 'new'").await,
        ["[a, b]|0.5|1 mins 30.000000000 secs"]
    );

    let before = house.rows("SELECT tag, time, quality FROM samples").await;
    let good: &[Option<&[u8]>] = &[Some(b"c"), Some(&one), Some(&half), Some(&bad)];
    type Row<'a> = &'a [Option<&'a [u8]>];
    let rows: [(Row<'_>, &str, &str); 6] = [
        (&[Some(b"c"), Some(&one), Some(&half[..4]), Some(&bad)], "22P04", "line 2: column value"),
        (&[Some(b"c"), Some(&one[..7]), Some(&half), Some(&bad)], "22P04", "line 2: column time"),
        (&[Some(b"c"), Some(&one), Some(&half), Some(&one)], "22P04", "line 2: column quality"),
        (&[Some(b"\xff"), Some(&one), Some(&half), Some(&bad)], "22021", "line 2: column tag"),
        (&[Some(b"c"), Some(&one), Some(&half)], "22P04", "line 2"),
        (&[Some(b"nobody"), Some(&one), Some(&half), Some(&bad)], "23503", "line 2"),
    ];
    for (row, state, place) in rows {
        let error = copy_in(&house, "COPY samples FROM STDIN (FORMAT binary)", binary(&[good, row]), 11).await.unwrap_err();
        assert_eq!(error.sqlstate(), state, "{error:?}");
        assert!(error.detail().unwrap().contains(place), "{error:?}");
    }
    let cut = binary(&[good]);
    let error = copy_in(&house, "COPY samples FROM STDIN (FORMAT binary)", &cut[..cut.len() - 5], 11).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P04");
    assert_eq!(house.rows("SELECT tag, time, quality FROM samples").await, before);
}
