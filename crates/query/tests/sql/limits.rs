//! What roles may use: who may set it, memory that is refused or spilled, rows that wait.

use crate::access::{ask, session};
use crate::fixture::House;
use query::{Outcome, Session, SessionSettings};
use std::sync::Arc;
use std::time::Duration;

async fn state(session: &Arc<Session>, sql: &str) -> String {
    ask(session, sql, Vec::new()).await.map_or_else(|state| state, |rows| rows.join(";"))
}

#[tokio::test(flavor = "multi_thread")]
async fn superusers_set_limits_and_sessions_lower_them() {
    let house = House::empty();
    for sql in [
        "CREATE ROLE analyst LOGIN",
        "CREATE ROLE maker LOGIN CREATEROLE",
        "GRANT analyst TO maker WITH ADMIN OPTION",
        "ALTER ROLE analyst SET memory_limit = '64MB'",
        "ALTER ROLE analyst SET rows_per_second = 1000",
        "ALTER ROLE analyst SET statement_timeout = '1h'",
    ] {
        house.tag(sql).await;
    }
    let (analyst, maker) = (session(&house, "analyst"), session(&house, "maker"));
    for (who, sql, expected) in [
        (&analyst, "SHOW memory_limit", "64MB"),
        (&analyst, "SET memory_limit = '65MB'", "42501"),
        (&analyst, "SET memory_limit = 0", "42501"),
        (&analyst, "SELECT set_config('rows_per_second', '1001', false)", "42501"),
        (&analyst, "ALTER ROLE analyst SET rows_per_second = 10", "42501"),
        (&analyst, "ALTER ROLE analyst RESET rows_per_second", "42501"),
        (&maker, "ALTER ROLE analyst SET memory_limit = '1MB'", "42501"),
        (&analyst, "SET memory_limit = '32MB'", "SET"),
        (&analyst, "SHOW memory_limit", "32MB"),
        (&analyst, "SET memory_limit = '64MB'", "SET"),
        (&analyst, "RESET memory_limit", "RESET"),
        // What has no limit may be given one, and lose it again.
        (&analyst, "SET rows_read_per_second = 5", "SET"),
        (&analyst, "SET rows_read_per_second = 0", "SET"),
        // RESET ALL goes over limits.
        (&analyst, "ALTER ROLE analyst RESET ALL", "ALTER ROLE"),
        (&analyst, "SHOW memory_limit", "64MB"),
    ] {
        assert_eq!(state(who, sql).await, expected, "{sql}");
    }
    assert_eq!(
        house.rows("SELECT rolconfig FROM pg_roles WHERE rolname = 'analyst'").await,
        ["[memory_limit=67108864, rows_per_second=1000]"]
    );
    // What changes holds in sessions that are open: what they follow, and what would be above it.
    assert_eq!(state(&analyst, "SET rows_per_second = 900").await, "SET");
    house.tag("ALTER ROLE analyst SET rows_per_second = 2000").await;
    assert_eq!(state(&analyst, "SHOW rows_per_second").await, "900");
    house.tag("ALTER ROLE analyst SET rows_per_second = 100").await;
    assert_eq!(state(&analyst, "SHOW rows_per_second").await, "100");
    house.tag("ALTER ROLE analyst SET memory_limit = '128MB'").await;
    assert_eq!(state(&analyst, "SHOW memory_limit").await, "128MB");
    // A block goes back to what it found, but not above what the role has now.
    assert_eq!(state(&analyst, "BEGIN").await, "BEGIN");
    assert_eq!(state(&analyst, "SET memory_limit = '1MB'").await, "SET");
    house.tag("ALTER ROLE analyst SET memory_limit = '16MB'").await;
    assert_eq!(state(&analyst, "ROLLBACK").await, "ROLLBACK");
    assert_eq!(state(&analyst, "SHOW memory_limit").await, "16MB");
    assert_eq!(state(&analyst, "SET memory_limit = '17MB'").await, "42501");
    // A superuser's session begins with what the role has, and may do without.
    house.tag("ALTER ROLE meridian SET rows_read_per_second = 7").await;
    let boss = house.engine.session(SessionSettings::default());
    assert_eq!(state(&boss, "SHOW rows_read_per_second").await, "7");
    assert_eq!(state(&boss, "SET rows_read_per_second = 0").await, "SET");
    house.tag("ALTER ROLE analyst RESET ALL").await;
    assert_eq!(state(&analyst, "SHOW memory_limit").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_a_limit_is_refused_and_what_can_spill_spills() {
    let house = House::empty();
    for sql in ["CREATE ROLE analyst LOGIN", "ALTER ROLE analyst SET memory_limit = '6MB'", "CREATE ROLE other LOGIN"] {
        house.tag(sql).await;
    }
    let (analyst, other) = (session(&house, "analyst"), session(&house, "other"));
    // Its functions are those of everybody: ours, where DataFusion has another one of that name.
    for (sql, expected) in [
        ("SELECT to_char(timestamp '2026-01-02 03:04:05', 'DD.MM.YYYY HH24:MI')", "02.01.2026 03:04"),
        ("SELECT to_char(t, 'YYYY-MM-DD') FROM (VALUES (timestamp '2026-01-02')) AS s(t)", "2026-01-02"),
        ("SELECT to_date('02.01.2026', 'DD.MM.YYYY')", "2026-01-02"),
        ("SELECT date_part('year', d) FROM (SELECT date '2026-01-02' AS d) AS s", "2026.0"),
    ] {
        assert_eq!(state(&analyst, sql).await, expected, "{sql}");
        assert_eq!(state(&other, sql).await, expected, "{sql}");
    }
    let greedy = "SELECT length(string_agg(v::text, ',')) FROM generate_series(1, 3000000) AS g(v)";
    let prepared = analyst.prepare(greedy, &[]).await.unwrap();
    let Ok(Outcome::Rows(mut rows)) = prepared.execute(Vec::new()).await else { panic!("no rows") };
    let error = loop {
        use futures::StreamExt;
        match rows.batches.next().await {
            Some(Err(error)) => break error,
            Some(Ok(_)) => {}
            None => panic!("it worked"),
        }
    };
    assert_eq!(error.sqlstate(), "53200");
    assert!(error.message().contains("memory_limit") && error.hint().is_some(), "{error:?}");
    assert!(error.detail().is_some_and(|detail| detail.contains("of role \"analyst\"")), "{error:?}");
    drop(rows);
    assert_eq!(state(&other, greedy).await, "22888895");
    // A sort of more than that.
    let source =
        "(SELECT v * 7919 % 100000 AS k, lpad(CAST(v AS text), 64, 'x') AS t FROM generate_series(0, 99999) AS g(v)) AS s";
    let rows = ask(&analyst, &format!("SELECT k FROM {source} ORDER BY k, t"), Vec::new()).await.unwrap();
    assert!(rows.len() == 100_000 && rows.iter().enumerate().all(|(at, row)| *row == at.to_string()));
    let shown =
        ask(&analyst, &format!("EXPLAIN ANALYZE SELECT k, t FROM {source} ORDER BY k"), Vec::new()).await.unwrap().join(";");
    let spilled = |text: &str| text.split(',').next().is_some_and(|count| count.trim() != "0");
    assert!(shown.split("spill_count=").skip(1).any(spilled), "{shown}");
    // The session's own lies within it, and goes again.
    assert_eq!(state(&other, "SET memory_limit = '4MB'").await, "SET");
    assert_eq!(state(&other, greedy).await, "53200");
    assert_eq!(state(&other, "RESET memory_limit").await, "RESET");
    assert_eq!(state(&other, greedy).await, "22888895");
    house.tag("ALTER ROLE analyst RESET memory_limit").await;
    assert_eq!(state(&analyst, greedy).await, "22888895");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_to_be_written_count_too() {
    let house = House::furnished().await;
    for sql in [
        "CREATE ROLE c LOGIN",
        "GRANT INSERT ON samples TO c",
        "GRANT SELECT ON samples TO c",
        "ALTER ROLE c SET memory_limit = '1MB'",
    ] {
        house.tag(sql).await;
    }
    let collector = session(&house, "c");
    let insert = |rows: usize| {
        format!(
            "INSERT INTO samples (tag, time, value) SELECT 'a', TIMESTAMPTZ '2026-02-01' + v * INTERVAL '1 second', v FROM generate_series(1, {rows}) AS g(v)"
        )
    };
    assert_eq!(state(&collector, &insert(100_000)).await, "53200");
    assert_eq!(state(&collector, &insert(10_000)).await, "INSERT 0 10000");
    // What a block holds is held until it ends.
    assert_eq!(state(&collector, "BEGIN").await, "BEGIN");
    assert_eq!(state(&collector, &insert(20_000)).await, "INSERT 0 20000");
    assert_eq!(state(&collector, &insert(30_000)).await, "53200");
    assert_eq!(state(&collector, "ROLLBACK").await, "ROLLBACK");
    assert_eq!(state(&collector, &insert(30_000)).await, "INSERT 0 30000");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_or_reads_faster_than_its_role_may_waits() {
    let house = House::furnished().await;
    for sql in [
        "CREATE ROLE c LOGIN",
        "GRANT SELECT, INSERT ON samples TO c",
        "ALTER ROLE c SET rows_per_second = 1000",
        "ALTER ROLE c SET rows_read_per_second = 1000",
    ] {
        house.tag(sql).await;
    }
    let (first, second) = (session(&house, "c"), session(&house, "c"));
    let now = || Duration::from_micros(house.engine.settings().clock.monotonic_us());
    let insert = "INSERT INTO samples (tag, time, value) SELECT 'b', TIMESTAMPTZ '2026-03-01' + v * INTERVAL '1 second', v FROM generate_series(1, 1500) AS g(v)";
    let began = now();
    // Two sessions share what the role has: of 3,000 rows 1,000 come at once.
    let (one, other) = tokio::join!(state(&first, insert), state(&second, insert));
    assert_eq!((one.as_str(), other.as_str()), ("INSERT 0 1500", "INSERT 0 1500"));
    assert!(now() - began >= Duration::from_secs(2), "{:?}", now() - began);
    let began = now();
    let rows = ask(&first, "SELECT v FROM generate_series(1, 2000) AS g(v)", Vec::new()).await.unwrap();
    assert_eq!((rows.len(), rows[1999].as_str()), (2000, "2000"));
    assert!(now() - began >= Duration::from_secs(1), "{:?}", now() - began);
    // Others don't wait, and a wait ends when it is cancelled or takes too long; nothing was used by it.
    assert_eq!(state(&first, "SET statement_timeout = '50ms'").await, "SET");
    assert_eq!(state(&first, "INSERT INTO samples (tag, time, value) SELECT 'b', TIMESTAMPTZ '2026-04-01' + v * INTERVAL '1 second', v FROM generate_series(1, 100000) AS g(v)").await, "57014");
    assert_eq!(state(&first, "RESET statement_timeout").await, "RESET");
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time >= '2026-04-01'").await, ["0"]);
    assert_eq!(house.tag("INSERT INTO samples (tag, time, value) SELECT 'b', TIMESTAMPTZ '2026-05-01' + v * INTERVAL '1 second', v FROM generate_series(1, 50000) AS g(v)").await, "INSERT 0 50000");
    let (busy, id) = (Arc::clone(&second), second.id());
    let waiting = tokio::spawn(async move { state(&busy, "SELECT v FROM generate_series(1, 1000000) AS g(v)").await });
    let waits = format!("SELECT wait_event FROM pg_stat_activity WHERE pid = {id}");
    while house.rows(&waits).await != ["RowsPerSecond"] {
        tokio::task::yield_now().await;
    }
    assert!(house.engine.cancel(id));
    assert_eq!(waiting.await.unwrap(), "57014");
    assert_eq!(house.rows(&waits).await, ["NULL"]);
    // A point question is not answered past it either.
    let point =
        second.prepare("SELECT value FROM samples WHERE tag = 'b' AND time >= '2026-05-01' LIMIT 1500", &[]).await.unwrap();
    assert!(point.point().is_some() && second.reads_freely().is_none() && house.session.reads_freely().is_some());
    let began = now();
    let Ok(Outcome::Rows(rows)) = point.execute(Vec::new()).await else { panic!("no rows") };
    let batches: Vec<_> = futures::StreamExt::collect(rows.batches).await;
    assert_eq!(batches.iter().map(|batch| batch.as_ref().unwrap().num_rows()).sum::<usize>(), 1500);
    assert!(now() - began >= Duration::from_millis(500), "{:?}", now() - began);
}
