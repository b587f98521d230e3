//! What sessions do, as `pg_stat_activity` tells it.

use crate::access::{ask, session};
use crate::fixture::House;
use query::{Session, SessionSettings};
use std::sync::Arc;

/// What a session's row says of some columns.
async fn row(asker: &Arc<Session>, of: &Session, columns: &str) -> String {
    let sql = format!("SELECT {columns} FROM pg_stat_activity WHERE pid = {}", of.id());
    ask(asker, &sql, Vec::new()).await.unwrap().join(";")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_listed_with_what_it_does() {
    let house = House::furnished().await;
    let client = house.engine.session(SessionSettings {
        application_name: "plotter".to_owned(),
        client: "10.1.2.3:4567".to_owned(),
        ..SessionSettings::default()
    });
    let all = "SELECT count(*) FROM pg_stat_activity";
    assert_eq!(house.rows(all).await, ["2"]);
    let who = "usename, datname, usesysid, application_name, client_addr, client_port, backend_type, wait_event";
    assert_eq!(row(&house.session, &client, who).await, "meridian|meridian|10|plotter|10.1.2.3|4567|client backend|NULL");
    // The one that asks is at work on its question.
    let own =
        "state, query LIKE 'SELECT state%', xact_start = query_start, query_start = state_change, backend_start <= query_start";
    assert_eq!(row(&house.session, &house.session, own).await, "active|true|true|true|true");
    let state = "state, query, query_start IS NULL, xact_start IS NULL";
    assert_eq!(row(&house.session, &client, state).await, "idle||true|true", "nothing was asked yet");
    ask(&client, "SELECT 1", Vec::new()).await.unwrap();
    assert_eq!(row(&house.session, &client, state).await, "idle|SELECT 1|false|true");
    assert_eq!(row(&house.session, &client, "state_change >= query_start").await, "true");
    ask(&client, "BEGIN", Vec::new()).await.unwrap();
    ask(&client, "SET application_name = 'other'", Vec::new()).await.unwrap();
    assert_eq!(
        row(&house.session, &client, "state, query, xact_start < query_start, application_name").await,
        "idle in transaction|SET application_name = 'other'|true|other"
    );
    ask(&client, "SELECT nothing", Vec::new()).await.unwrap_err();
    assert_eq!(row(&house.session, &client, "state, query").await, "idle in transaction (aborted)|SELECT nothing");
    ask(&client, "ROLLBACK AND CHAIN", Vec::new()).await.unwrap();
    assert_eq!(row(&house.session, &client, "state, xact_start IS NULL").await, "idle in transaction|false");
    ask(&client, "ROLLBACK", Vec::new()).await.unwrap();
    assert_eq!(row(&house.session, &client, state).await, "idle|ROLLBACK|false|true");
    // Passwords are not among what is shown, of texts no more than some.
    ask(&client, "CREATE ROLE r PASSWORD 'SCRAM-SHA-256$secret'", Vec::new()).await.unwrap();
    assert!(row(&house.session, &client, "query").await.contains("***"));
    ask(&client, &format!("SELECT 1 --{}", "x".repeat(10_000)), Vec::new()).await.unwrap();
    assert_eq!(row(&house.session, &client, "length(query)").await, "4096");
    // A point question that was answered without a plan.
    let point = client.prepare("SELECT value FROM latest WHERE tag = 'a'", &[]).await.unwrap();
    point.note_point();
    assert_eq!(row(&house.session, &client, "state, query").await, "idle|SELECT value FROM latest WHERE tag = 'a'");
    drop((point, client));
    assert_eq!(house.rows(all).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_is_told_to_those_who_may_know() {
    let house = House::furnished().await;
    for sql in [
        "CREATE ROLE team",
        "CREATE ROLE member LOGIN IN ROLE team",
        "CREATE ROLE stranger LOGIN",
        "CREATE ROLE eye LOGIN",
        "GRANT pg_monitor TO eye",
    ] {
        house.tag(sql).await;
    }
    let busy = session(&house, "team");
    ask(&busy, "SELECT 'secret'", Vec::new()).await.unwrap();
    let told = "state, query, backend_start IS NULL, usename, usesysid > 10";
    for (role, expected) in [
        ("member", "idle|SELECT 'secret'|false|team|true"),
        ("team", "idle|SELECT 'secret'|false|team|true"),
        ("eye", "idle|SELECT 'secret'|false|team|true"),
        ("meridian", "idle|SELECT 'secret'|false|team|true"),
        ("stranger", "NULL|<insufficient privilege>|true|team|true"),
    ] {
        assert_eq!(row(&session(&house, role), &busy, told).await, expected, "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_several_requests_share_is_listed_while_it_works() {
    let house = House::furnished().await;
    let shared = house.engine.session(SessionSettings { connected: false, ..SessionSettings::default() });
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let at_work = shared.attended("POST /write", async {
        begin.send(()).unwrap();
        std::future::pending::<Result<(), query::Error>>().await
    });
    let seen = async {
        begun.await.unwrap();
        let seen = row(&house.session, &shared, "state, query").await;
        assert!(house.engine.cancel(shared.id()));
        seen
    };
    let (done, seen) = tokio::join!(at_work, seen);
    assert_eq!((seen.as_str(), done.unwrap_err().sqlstate()), ("active|POST /write", "57014"));
    assert_eq!(row(&house.session, &shared, "state").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_with_their_units() {
    let house = House::empty();
    for (set, shown) in [("90000", "90s"), ("2h", "2h"), ("'60 s'", "1min"), ("1500", "1500ms"), ("0", "0")] {
        house.tag(&format!("SET statement_timeout = {set}").replace("= 2h", "= '2h'")).await;
        assert_eq!(house.rows("SHOW statement_timeout").await, [shown]);
        assert_eq!(house.rows("SELECT current_setting('statement_timeout')").await, [shown]);
    }
    house.tag("SET memory_limit = '3072kB'").await;
    let kept = "SELECT setting, unit, vartype FROM pg_settings WHERE name IN ('memory_limit', 'lock_timeout') ORDER BY name";
    assert_eq!(house.rows(kept).await, ["0|ms|integer", "3145728|B|integer"]);
    for (set, shown) in [("3072kB", "3MB"), ("2GiB", "2GB"), ("1001", "1001B"), ("0", "0")] {
        house.tag(&format!("SET memory_limit = '{set}'")).await;
        assert_eq!(house.rows("SHOW memory_limit").await, [shown]);
    }
    assert_eq!(house.error("SET memory_limit = 'much'").await.sqlstate(), "22023");
}
