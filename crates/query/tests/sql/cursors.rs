//! Cursors and named prepared statements.

use crate::fixture::House;
use query::ScalarValue;

const SERIES: &str = "SELECT n FROM generate_series(1, 20000) AS g(n)";

async fn state(house: &House, sql: &str) -> &'static str {
    house.error(sql).await.sqlstate()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_where_it_was() {
    let house = House::furnished().await;
    assert_eq!(state(&house, &format!("DECLARE c CURSOR FOR {SERIES}")).await, "25P01");
    house.tag("BEGIN").await;
    assert_eq!(house.tag(&format!("DECLARE c NO SCROLL CURSOR FOR {SERIES}")).await, "DECLARE CURSOR");
    assert_eq!(house.rows("FETCH c").await, ["1"]);
    assert_eq!(house.rows("FETCH FORWARD 3 FROM c").await, ["2", "3", "4"]);
    assert_eq!(house.tag("MOVE 9990 IN c").await, "MOVE 9990");
    assert_eq!(house.rows("FETCH RELATIVE 2 FROM c").await, ["9996"]);
    assert_eq!(house.rows("FETCH 0 c").await, ["9996"]);
    let rest = house.rows("FETCH ALL FROM c").await;
    assert_eq!((rest.len(), rest[0].as_str()), (10_004, "9997"));
    assert_eq!(house.rows("FETCH c").await, [""; 0]);
    assert_eq!(house.tag("CLOSE c").await, "CLOSE CURSOR");
    assert_eq!(state(&house, "FETCH c").await, "34000");
    assert_eq!(state(&house, "SELECT 1").await, "25P02");
    house.tag("ROLLBACK").await;
    for (sql, expect) in [
        ("FETCH BACKWARD 1 FROM c", "55000"),
        ("FETCH PRIOR FROM c", "55000"),
        ("FETCH LAST FROM c", "55000"),
        ("DECLARE c CURSOR FOR SELECT 1", "42P03"),
        ("CLOSE d", "34000"),
        ("DECLARE d CURSOR FOR DELETE FROM samples", "42601"),
        ("DECLARE d CURSOR FOR SELECT nothing", "42703"),
        ("DECLARE d CURSOR FOR SELECT 1 FROM samples FOR UPDATE", "0A000"),
    ] {
        house.tag("BEGIN").await;
        house.tag(&format!("DECLARE c CURSOR FOR {SERIES}")).await;
        assert_eq!(state(&house, sql).await, expect, "{sql}");
        house.tag("ROLLBACK").await;
    }
    // Where the error is, is counted in the whole text.
    assert_eq!(house.error("DECLARE c CURSOR WITH HOLD FOR SELECT nothing").await.position(), Some(39));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scroll_cursor_goes_back() {
    let house = House::furnished().await;
    house.tag("BEGIN").await;
    house.tag("DECLARE c SCROLL CURSOR FOR SELECT time, value FROM samples WHERE tag = 'a' ORDER BY time").await;
    let (first, last) = ("2026-01-01T00:00:00Z|1.5", "2026-01-01T00:00:02Z|-3.0");
    assert_eq!(house.rows("FETCH LAST FROM c").await, [last]);
    assert_eq!(house.rows("FETCH PRIOR FROM c").await, ["2026-01-01T00:00:01Z|2.5"]);
    assert_eq!(house.rows("FETCH ABSOLUTE 1 FROM c").await, [first]);
    assert_eq!(house.tag("MOVE FORWARD ALL IN c").await, "MOVE 2");
    assert_eq!(house.rows("FETCH BACKWARD ALL IN c").await.len(), 3);
    assert_eq!(house.rows("SELECT name, is_scrollable, is_holdable FROM pg_cursors").await, ["c|true|false"]);
    house.tag("COMMIT").await;
    let house = House::with(|settings| settings.memory_bytes = 1 << 20);
    house.tag("DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) AS g(n)").await;
    assert_eq!(house.error("MOVE ALL IN c").await.sqlstate(), "53200", "what can be gone back to is bounded");
    assert_eq!(state(&house, "FETCH c").await, "55000");
    house.tag("CLOSE c").await;
    house.tag("DECLARE c CURSOR WITH HOLD FOR SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) AS g(n)").await;
    assert_eq!(house.tag("MOVE ALL IN c").await, "MOVE 1000000", "forward only, nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_end_with_their_block_or_stay() {
    let house = House::furnished().await;
    let names = "SELECT name FROM pg_catalog.pg_cursors ORDER BY name";
    house.tag("BEGIN").await;
    house.tag("DECLARE a CURSOR FOR SELECT 1").await;
    house.tag(&format!("DECLARE b CURSOR WITH HOLD FOR {SERIES}")).await;
    assert_eq!(house.rows("FETCH 2 b").await, ["1", "2"]);
    assert_eq!(house.rows(names).await, ["a", "b"]);
    house.tag("COMMIT").await;
    assert_eq!(house.rows(names).await, ["b"]);
    assert_eq!(house.rows("FETCH 2 b").await, ["3", "4"]);
    house.tag("BEGIN").await;
    house.tag("DECLARE c CURSOR WITH HOLD FOR SELECT 1").await;
    house.tag("SAVEPOINT s").await;
    house.tag("DECLARE d CURSOR FOR SELECT 1").await;
    house.tag("ROLLBACK TO SAVEPOINT s").await;
    assert_eq!(house.rows(names).await, ["b", "c"]);
    house.tag("ROLLBACK").await;
    assert_eq!(house.rows(names).await, ["b"]);
    assert_eq!(house.rows("FETCH b").await, ["5"]);
    assert_eq!(house.tag("CLOSE ALL").await, "CLOSE CURSOR ALL");
    assert_eq!(house.rows(names).await, [""; 0]);
    house.tag("DECLARE e CURSOR WITH HOLD FOR SELECT 1").await;
    house.tag("DISCARD ALL").await;
    assert_eq!(house.rows(names).await, [""; 0]);
    // A cursor sees what was there when it was declared.
    house.tag("DECLARE f CURSOR WITH HOLD FOR SELECT count(*) FROM samples").await;
    house.tag("INSERT INTO samples VALUES ('c', '2026-01-01', 1)").await;
    assert_eq!(house.rows("FETCH f").await, ["8"]);
    house.session.end();
    assert_eq!(house.rows(names).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_takes_parameters_and_fails_for_itself() {
    let house = House::furnished().await;
    house.tag("BEGIN").await;
    let sql = "DECLARE c CURSOR FOR SELECT value FROM samples WHERE tag = $1 AND time >= $2 AND time < $3 ORDER BY time";
    let prepared = house.session.prepare(sql, &[]).await.unwrap();
    assert_eq!(prepared.parameters().len(), 3);
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    prepared.execute(vec![text("a"), text("2026-01-01"), text("2026-02-01")]).await.unwrap();
    let fetch = house.session.prepare("FETCH 2 FROM c", &[]).await.unwrap();
    assert_eq!(fetch.schema().unwrap().field(0).name(), "value");
    assert_eq!(house.rows("FETCH 2 FROM c").await, ["1.5", "2.5"]);
    house.tag("CLOSE c").await;
    assert!(fetch.schema().is_none());
    house.tag("DECLARE c CURSOR FOR SELECT 1 / (3 - n) FROM generate_series(1, 5) AS g(n)").await;
    assert_eq!(state(&house, "FETCH ALL c").await, "22012");
    house.tag("ROLLBACK").await;
    // One that ended with an error while it was held says so from then on.
    house.tag("DECLARE c CURSOR WITH HOLD FOR SELECT 1 / (3 - n) FROM generate_series(1, 5) AS g(n)").await;
    assert_eq!(state(&house, "FETCH ALL c").await, "22012");
    assert_eq!(state(&house, "FETCH c").await, "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn named_statements_are_prepared_and_executed() {
    let house = House::furnished().await;
    assert_eq!(house.tag("PREPARE p AS SELECT value FROM latest WHERE tag = $1").await, "PREPARE");
    assert_eq!(house.rows("EXECUTE p('a')").await, ["-3.0"]);
    assert_eq!(house.rows("EXECUTE p(lower('B'))").await, ["20.0"]);
    house.tag("PREPARE q (bigint, timestamptz, float8) AS SELECT $1 + 1, $2, $3").await;
    assert_eq!(house.rows("EXECUTE q(1 + 1, '2026-01-01', -1.5)").await, ["3|2026-01-01T00:00:00Z|-1.5"]);
    assert_eq!(house.rows("EXECUTE q(NULL, NULL, NULL)").await, ["NULL|NULL|NULL"]);
    house.tag("PREPARE w (text, float8) AS INSERT INTO samples VALUES ($1, '2026-03-01', $2)").await;
    assert_eq!(house.tag("EXECUTE w('c', 7)").await, "INSERT 0 1");
    assert_eq!(house.rows("EXECUTE p('c')").await, ["7.0"]);
    assert_eq!(
        house.rows("SELECT name, parameter_types, result_types, from_sql FROM pg_prepared_statements ORDER BY name").await,
        [
            "p|[text]|[double precision]|true",
            "q|[bigint, timestamp with time zone, double precision]|[bigint, timestamp with time zone, double precision]|true",
            "w|[text, double precision]|NULL|true"
        ]
    );
    assert!(house.rows("EXPLAIN EXECUTE q(1, '2026-01-01', 2)").await.join("\n").contains("Projection"));
    for (sql, expect) in [
        ("PREPARE p AS SELECT 1", "42P05"),
        ("EXECUTE nobody", "26000"),
        ("DEALLOCATE nobody", "26000"),
        ("EXECUTE p", "42601"),
        ("EXECUTE p('a', 'b')", "42601"),
        ("EXECUTE p($1)", "42P02"),
        ("EXECUTE q('x', NULL, NULL)", "22P02"),
        ("PREPARE r AS BEGIN", "42601"),
        ("PREPARE r AS SELECT nothing", "42703"),
        ("PREPARE r (nonsense) AS SELECT $1", "0A000"),
    ] {
        let found = house.error(sql).await;
        assert_eq!(found.sqlstate(), expect, "{sql}: {found:?}");
    }
    assert_eq!(house.tag("DEALLOCATE p").await, "DEALLOCATE");
    assert_eq!(state(&house, "EXECUTE p('a')").await, "26000");
    assert_eq!(house.tag("DEALLOCATE PREPARE ALL").await, "DEALLOCATE ALL");
    assert_eq!(house.rows("SELECT name FROM pg_prepared_statements").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_can_be_cancelled_and_has_its_own_time() {
    let house = House::furnished().await;
    let slow = "SELECT n, pg_sleep(CASE WHEN n < 3 THEN 0 ELSE 3600 END) FROM generate_series(1, 3) AS g(n) ORDER BY n";
    for fetch in ["FETCH ALL FROM c", "MOVE ALL IN c"] {
        // DECLARE has all the time that it needs: it was at work before there was a limit.
        house.tag(&format!("DECLARE c CURSOR WITH HOLD FOR {slow}")).await;
        house.tag("SET statement_timeout = '50ms'").await;
        assert_eq!(state(&house, fetch).await, "57014", "{fetch}");
        // These are done the first time that they are asked, so no limit ends them, however slow the machine is.
        house.tag("SET statement_timeout = 0").await;
        house.tag("CLOSE c").await;
        house.tag(&format!("DECLARE c CURSOR WITH HOLD FOR {slow}")).await;
        let cancelled = async {
            // Until it runs there is nothing to be cancelled.
            while !house.session.cancel() {
                tokio::task::yield_now().await;
            }
        };
        let (error, ()) = futures::join!(house.error(fetch), cancelled);
        assert_eq!(error.sqlstate(), "57014", "{fetch}");
        house.tag("CLOSE c").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_bounded_as_statements_are() {
    let house = House::furnished().await;
    house.tag("PREPARE p (bool) AS SELECT $1").await;
    let chain = |count: usize| format!("EXECUTE p({})", vec!["1 = 1"; count].join(" AND "));
    assert_eq!(house.rows(&chain(4_000)).await, ["true"]);
    assert_eq!(state(&house, &chain(10_001)).await, "54001");
    assert_eq!(state(&house, &format!("EXECUTE p({}true{})", "(".repeat(1_000), ")".repeat(1_000))).await, "54001");
}
