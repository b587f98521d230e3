//! Transaction blocks: what they hold until COMMIT, what they refuse, savepoints and settings.

use crate::fixture::House;
use query::{Outcome, SessionSettings};

const COUNT: &str = "SELECT count(*) FROM samples WHERE time >= '2026-05-01'";

/// The rows of a query of another session.
async fn seen(house: &House, sql: &str) -> String {
    let other = house.engine.session(SessionSettings::default());
    let Ok(Outcome::Rows(rows)) = other.prepare(sql, &[]).await.unwrap().execute(Vec::new()).await else { panic!("{sql}") };
    let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
    batches.into_iter().flat_map(|batch| crate::fixture::texts(&batch.unwrap())).collect::<Vec<_>>().join(" ")
}

/// A statement of another session.
async fn elsewhere(house: &House, sql: &str) {
    let other = house.engine.session(SessionSettings::default());
    other.prepare(sql, &[]).await.unwrap().execute(Vec::new()).await.unwrap();
}

async fn refused(house: &House, sql: &str, state: &str) {
    let error = house.error(sql).await;
    assert_eq!(error.sqlstate(), state, "{sql}: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_writes_is_one_commit() {
    let house = House::furnished().await;
    let commits = seen(&house, "SELECT commits FROM meridian.node").await.parse::<u64>().unwrap();
    house.tag("BEGIN").await;
    for second in 0..20 {
        assert_eq!(
            house.tag(&format!("INSERT INTO samples VALUES ('c', '2026-05-01 00:00:{second:02}', {second})")).await,
            "INSERT 0 1"
        );
    }
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-01 00:00:00', 99)").await;
    house.tag("INSERT INTO integers VALUES ('i', '2026-05-01', 7)").await;
    house.tag("INSERT INTO events VALUES ('t', '2026-05-01', 'one', 'bad'), ('t', '2026-05-02', 'two')").await;
    let Outcome::CopyIn(mut copy) = house.run("COPY samples (tag, time, value) FROM STDIN", Vec::new()).await.unwrap() else {
        panic!()
    };
    copy.push(b"b\t2026-05-03\t1\n").await.unwrap();
    assert_eq!(copy.finish().await.unwrap().tag, "COPY 1");
    assert_eq!(seen(&house, COUNT).await, "0", "nothing is there before COMMIT");
    assert_eq!(house.tag("COMMIT").await, "COMMIT");
    assert_eq!(seen(&house, COUNT).await, "22");
    assert_eq!(
        seen(&house, "SELECT value FROM samples WHERE tag = 'c' AND time = '2026-05-01'").await,
        "99.0",
        "later rows replace"
    );
    assert_eq!(seen(&house, "SELECT text, quality FROM events WHERE time >= '2026-05-01' ORDER BY time").await, "one|0 two|192");
    assert_eq!(seen(&house, "SELECT commits FROM meridian.node").await.parse::<u64>().unwrap(), commits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_was_never_there() {
    let house = House::furnished().await;
    for writes in [
        "INSERT INTO samples VALUES ('c', '2026-05-01', 1)",
        "DELETE FROM samples WHERE tag = 'a'",
        "DELETE FROM samples WHERE value > 0",
        "INSERT INTO tags (name) VALUES ('new'), ('newer')",
        "UPDATE tags SET unit = 'V', name = 'renamed' WHERE name = 'a'",
        "DELETE FROM tags WHERE name = 'renamed'",
    ] {
        let state = "SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM tags), (SELECT max(unit) FROM tags), (SELECT min(name) FROM tags)";
        let before = seen(&house, state).await;
        house.tag("BEGIN").await;
        let tag = house.tag(writes).await;
        assert!(!tag.ends_with(" 0"), "{writes}: {tag}");
        assert_eq!(seen(&house, state).await, before, "{writes}");
        house.tag("ROLLBACK").await;
        assert_eq!(seen(&house, state).await, before, "{writes}");
        house.tag("BEGIN").await;
        assert_eq!(house.tag(writes).await, tag, "{writes}");
        refused(&house, "SELECT nothing", "42703").await;
        assert_eq!(house.tag("COMMIT").await, "ROLLBACK");
        assert_eq!(seen(&house, state).await, before, "a block that failed writes nothing: {writes}");
        house.tag("BEGIN").await;
        assert_eq!(house.tag(writes).await, tag, "{writes}");
        house.tag("END").await;
        assert_ne!(seen(&house, state).await, before, "{writes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_seen_or_joined_is_refused() {
    let house = House::furnished().await;
    let (rows, tags) = ("INSERT INTO samples VALUES ('c', '2026-05-01', 1)", "INSERT INTO tags (name) VALUES ('new')");
    let renaming = "UPDATE tags SET name = 'other' WHERE name = 'a'";
    let (deletion, change) = ("DELETE FROM samples WHERE tag = 'b'", "UPDATE tags SET unit = 'V' WHERE name = 'a'");
    for (first, second) in [
        (rows, "SELECT * FROM values_at(ARRAY['a'], ARRAY[now()])"),
        (rows, deletion),
        (rows, renaming),
        (renaming, rows),
        (renaming, tags),
        (tags, renaming),
        (tags, "UPDATE tags SET name = 'newer' WHERE name = 'new'"),
        (change, deletion),
        (deletion, change),
        (deletion, rows),
        (deletion, deletion),
        (deletion, "SELECT max(time) FROM latest"),
        (tags, deletion),
        (renaming, "SELECT value FROM samples WHERE tag = 'a' AND time <= now() ORDER BY time DESC LIMIT 1"),
    ] {
        house.tag("BEGIN").await;
        house.tag(first).await;
        let error = house.error(second).await;
        assert_eq!(error.sqlstate(), "0A000", "{first}; {second}: {error:?}");
        assert!(error.hint().unwrap().contains("COMMIT"), "{error:?}");
        house.tag("ROLLBACK").await;
    }
    house.tag("BEGIN").await;
    house.tag(rows).await;
    for fine in ["SELECT 1", "SELECT count(*) FROM tags", "SELECT count(*) FROM pg_type", "SHOW timezone"] {
        house.rows(fine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_gather_and_conflicts_come_at_commit() {
    let house = House::furnished().await;
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('n1')").await;
    assert_eq!(house.tag("INSERT INTO tags (name) VALUES ('n1'), ('n2'), ('a') ON CONFLICT DO NOTHING").await, "INSERT 0 1");
    elsewhere(&house, "INSERT INTO tags (name) VALUES ('n2')").await;
    house.tag("COMMIT").await;
    assert_eq!(seen(&house, "SELECT count(*) FROM tags WHERE name LIKE 'n%'").await, "2");
    house.tag("BEGIN").await;
    refused(&house, "INSERT INTO tags (name) VALUES ('m'), ('m')", "23505").await;
    house.tag("ROLLBACK").await;
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('m1'), ('m2')").await;
    elsewhere(&house, "INSERT INTO tags (name) VALUES ('m2')").await;
    refused(&house, "COMMIT", "23505").await;
    assert_eq!(house.session.block(), query::Block::Idle, "the block has ended");
    assert_eq!(seen(&house, "SELECT count(*) FROM tags WHERE name = 'm1'").await, "0");
    house.tag("BEGIN").await;
    house.tag("UPDATE tags SET unit = 'A' WHERE name = 'a'").await;
    elsewhere(&house, "UPDATE tags SET description = 'other' WHERE name = 'a'").await;
    refused(&house, "COMMIT", "40001").await;
    assert_eq!(seen(&house, "SELECT unit, description FROM tags WHERE name = 'a'").await, "kV|other");
    // One change of several that comes too late undoes the block's new tags and rows too.
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('m3')").await;
    house.tag("UPDATE tags SET unit = 'A' WHERE name = 'a'").await;
    house.tag("UPDATE tags SET unit = 'B' WHERE name IN ('m3', 'b')").await;
    house.tag("INSERT INTO samples VALUES ('m3', '2026-05-01', 1), ('b', '2026-05-01', 1)").await;
    elsewhere(&house, "UPDATE tags SET description = 'other' WHERE name = 'b'").await;
    refused(&house, "COMMIT", "40001").await;
    let state = "SELECT string_agg(name || ' ' || unit, ',' ORDER BY name) FROM tags WHERE name IN ('a', 'b', 'm3')";
    let untouched = seen(&house, state).await;
    assert!(!untouched.contains("m3") && !untouched.contains("a A") && !untouched.contains("b B"), "{untouched}");
    assert_eq!(seen(&house, COUNT).await, "0");
    // What was changed goes back where the rows are refused.
    house.tag("BEGIN").await;
    house.tag("UPDATE tags SET unit = 'A' WHERE name = 'a'").await;
    house.tag("UPDATE tags SET unit = unit || '!' WHERE name IN ('a', 'b')").await;
    house.tag("INSERT INTO samples VALUES ('a', '2026-05-01', 1), ('c', '2026-05-01', 1)").await;
    elsewhere(&house, "DELETE FROM tags WHERE name = 'c'").await;
    refused(&house, "COMMIT", "23503").await;
    assert_eq!(seen(&house, state).await, untouched);
    assert_eq!(seen(&house, COUNT).await, "0");
    elsewhere(&house, "INSERT INTO tags (name) VALUES ('c')").await;
    // One that another has made meanwhile is not changed unseen.
    house.tag("BEGIN").await;
    house.tag("INSERT INTO tags (name) VALUES ('m4') ON CONFLICT DO NOTHING").await;
    house.tag("UPDATE tags SET unit = 'A' WHERE name = 'm4'").await;
    elsewhere(&house, "INSERT INTO tags (name, unit) VALUES ('m4', 'mine')").await;
    refused(&house, "COMMIT", "40001").await;
    assert_eq!(seen(&house, "SELECT unit FROM tags WHERE name = 'm4'").await, "mine");
    // A tag that goes before COMMIT takes the whole block with it.
    house.tag("BEGIN").await;
    house.tag("INSERT INTO samples VALUES ('b', '2026-05-01', 1)").await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-01', 1)").await;
    elsewhere(&house, "DELETE FROM tags WHERE name = 'c'").await;
    refused(&house, "COMMIT", "23503").await;
    assert_eq!(seen(&house, COUNT).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_take_a_block_back() {
    let house = House::furnished().await;
    refused(&house, "SAVEPOINT s", "25P01").await;
    house.tag("BEGIN").await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-01', 1)").await;
    house.tag("INSERT INTO events VALUES ('t', '2026-05-01', 'kept')").await;
    assert_eq!(house.tag("SAVEPOINT s").await, "SAVEPOINT");
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-02', 2), ('c', '2026-05-03', 3)").await;
    house.tag("INSERT INTO events VALUES ('t', '2026-05-02', 'dropped'), ('t', '2026-05-03', 'dropped')").await;
    house.tag("SAVEPOINT \"S\"").await;
    refused(&house, "INSERT INTO samples VALUES ('nobody', '2026-05-01', 1)", "23503").await;
    refused(&house, "SELECT 1", "25P02").await;
    refused(&house, "RELEASE SAVEPOINT s", "25P02").await;
    assert_eq!(house.tag("ROLLBACK TO SAVEPOINT s").await, "ROLLBACK");
    refused(&house, "RELEASE SAVEPOINT \"S\"", "3B001").await;
    house.tag("ROLLBACK TO s").await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-04', 4)").await;
    house.tag("INSERT INTO events VALUES ('t', '2026-05-04', 'kept too')").await;
    assert_eq!(house.tag("RELEASE s").await, "RELEASE");
    house.tag("COMMIT").await;
    assert_eq!(seen(&house, "SELECT value FROM samples WHERE time >= '2026-05-01' ORDER BY time").await, "1.0 4.0");
    assert_eq!(seen(&house, "SELECT text FROM events WHERE time >= '2026-05-01' ORDER BY time").await, "kept kept too");
    house.tag("BEGIN").await;
    let units = "SELECT string_agg(unit, ',' ORDER BY name) FROM tags WHERE name IN ('a', 'b', 'made')";
    house.tag("UPDATE tags SET unit = '1' WHERE name IN ('a', 'b')").await;
    house.tag("INSERT INTO tags (name, unit) VALUES ('made', '2')").await;
    house.tag("SAVEPOINT s").await;
    house.tag("UPDATE tags SET unit = unit || '3' WHERE name IN ('a', 'made')").await;
    house.tag("UPDATE tags SET unit = unit || '4' WHERE name IN ('a', 'b')").await;
    assert_eq!(house.rows(units).await, ["134,14,23"]);
    house.tag("ROLLBACK TO s").await;
    assert_eq!(house.rows(units).await, ["1,1,2"]);
    house.tag("UPDATE tags SET unit = unit || '5' WHERE name IN ('b', 'made')").await;
    house.tag("COMMIT").await;
    assert_eq!(seen(&house, units).await, "1,15,25");
    house.tag("BEGIN").await;
    house.tag("SAVEPOINT s").await;
    house.tag("DELETE FROM samples WHERE tag = 'c'").await;
    house.tag("ROLLBACK TO s").await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-05-05', 5)").await;
    house.tag("COMMIT").await;
    assert_eq!(seen(&house, COUNT).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_go_back_with_their_block() {
    let house = House::furnished().await;
    let zone = async || house.rows("SHOW timezone").await.join("");
    house.tag("BEGIN").await;
    house.tag("SET LOCAL timezone = 'Asia/Shanghai'").await;
    assert_eq!(zone().await, "Asia/Shanghai");
    house.tag("COMMIT").await;
    assert_eq!(zone().await, "UTC");
    house.tag("SET LOCAL timezone = 'Asia/Shanghai'").await;
    assert_eq!(house.session.take_notices()[0].sqlstate, "25P01");
    assert_eq!(zone().await, "UTC");
    house.tag("BEGIN").await;
    house.tag("SET timezone = 'Asia/Tokyo'").await;
    house.tag("SAVEPOINT s").await;
    house.tag("SET timezone = 'Asia/Shanghai'").await;
    house.tag("ROLLBACK TO s").await;
    assert_eq!(zone().await, "Asia/Tokyo");
    drop(house.session.take_changes());
    house.tag("ROLLBACK").await;
    assert_eq!(zone().await, "UTC");
    assert_eq!(house.session.take_changes(), [("TimeZone".to_owned(), "UTC".to_owned())], "the client is told");
    house.tag("BEGIN").await;
    house.tag("SET timezone = 'Asia/Tokyo'").await;
    house.tag("COMMIT").await;
    assert_eq!(zone().await, "Asia/Tokyo");
    house.tag("RESET ALL").await;
    assert_eq!(zone().await, "UTC");
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_may_say_what_they_say() {
    let house = House::furnished().await;
    drop(house.session.take_notices());
    for (sql, tag) in [
        ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE", "BEGIN"),
        ("SET TRANSACTION READ ONLY", "SET"),
        ("COMMIT AND CHAIN", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("START TRANSACTION READ ONLY, DEFERRABLE", "START TRANSACTION"),
        ("COMMIT", "COMMIT"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET"),
        ("UNLISTEN *", "UNLISTEN"),
        ("DISCARD PLANS", "DISCARD PLANS"),
        ("DISCARD TEMP", "DISCARD TEMP"),
        ("DISCARD SEQUENCES", "DISCARD SEQUENCES"),
        ("DISCARD ALL", "DISCARD ALL"),
    ] {
        assert_eq!(house.tag(sql).await, tag, "{sql}");
    }
    assert_eq!(house.session.take_notices(), []);
    house.tag("BEGIN ISOLATION LEVEL SERIALIZABLE").await;
    assert_eq!(house.session.take_notices()[0].sqlstate, "01000", "what is not kept is told");
    refused(&house, "DISCARD ALL", "25001").await;
    house.tag("ROLLBACK").await;
    refused(&house, "LISTEN c", "0A000").await;
    refused(&house, "NOTIFY c, 'x'", "0A000").await;
    house.tag("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").await;
    refused(&house, "INSERT INTO samples VALUES ('c', now(), 1)", "25006").await;
    house.tag("BEGIN READ WRITE").await;
    assert_eq!(house.rows("SHOW transaction_read_only").await, ["off"]);
    house.tag("INSERT INTO samples VALUES ('c', now(), 1)").await;
    house.tag("COMMIT").await;
    house.tag("RESET ALL").await;
    house.rows("SELECT pg_advisory_unlock_all()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_holds_is_bounded() {
    let house = House::with(|settings| settings.copy_bytes_max = 2_000);
    house.tag("INSERT INTO tags (name) VALUES ('a')").await;
    house.tag("BEGIN").await;
    let mut held = 0;
    let error = loop {
        let insert = format!("INSERT INTO samples VALUES ('a', '2026-01-01 00:00:{:02}.{held:06}', 1)", held % 60);
        match house.run(&insert, Vec::new()).await {
            Ok(_) => held += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.sqlstate(), held), ("54000", 80));
    house.tag("ROLLBACK").await;
    house.tag("SET meridian.copy_batch_rows = 10").await;
    house.tag("BEGIN").await;
    refused(&house, "COPY samples FROM STDIN", "25001").await;
}
