//! CREATE, ALTER and DROP ROLE, GRANT and REVOKE, SET ROLE: what each does, who may, and when it holds.

use super::{ask, session};
use crate::fixture::House;
use query::SessionSettings;

/// Runs statements of several roles: `role: statement` gives the expected tag or rows, joined by a space, or the SQLSTATE.
pub async fn check(house: &House, rows: &[(&str, &str, &str)]) {
    for (role, sql, expect) in rows {
        let found = ask(&session(house, role), sql, Vec::new()).await;
        let found = found.map_or_else(|state| state, |rows| rows.join(" "));
        assert_eq!(found, *expect, "{role}: {sql}");
    }
}

async fn one_tag() -> House {
    let house = House::empty();
    house.tag("INSERT INTO tags (name) VALUES ('a')").await;
    house.tag("INSERT INTO samples VALUES ('a', now(), 1)").await;
    house
}

const READ: &str = "SELECT value FROM samples WHERE tag = 'a' AND time <= now() ORDER BY time DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn rights_change_in_the_middle_of_a_session() {
    let house = one_tag().await;
    house.tag("CREATE ROLE r LOGIN").await;
    let own = session(&house, "r");
    let statements = [
        "SELECT value FROM samples WHERE tag = $1 AND time <= '2100-01-01' ORDER BY time DESC LIMIT 1",
        "SELECT sum(value) FROM samples WHERE tag = $1",
        "SELECT sum(value) FROM samples WHERE tag = $1 AND 1 = 1",
        "SELECT value FROM samples WHERE tag IN ($1)",
        "SELECT value FROM latest WHERE tag = $1",
    ];
    let mut prepared = Vec::new();
    for sql in statements {
        prepared.push(own.prepare(sql, &[]).await.unwrap());
    }
    let changes = [
        ("SELECT 1", Err("42501")),
        ("GRANT SELECT ON samples, latest TO r", Ok(1)),
        ("REVOKE SELECT ON samples, latest FROM r", Err("42501")),
        ("GRANT SELECT ON TAGS WHERE name = 'a' TO r", Ok(1)),
        ("GRANT SELECT ON TAGS WHERE name = 'b' TO r", Ok(1)),
        ("REVOKE ALL ON TAGS WHERE name = 'a' FROM r", Ok(0)),
        ("REVOKE SELECT ON TAGS WHERE (name = 'b') FROM r", Err("42501")),
        ("GRANT pg_read_all_data TO r", Ok(1)),
        ("ALTER ROLE r RENAME TO s", Ok(1)),
        ("REVOKE pg_read_all_data FROM s", Err("42501")),
        ("ALTER ROLE s SUPERUSER", Ok(1)),
        ("ALTER ROLE s NOSUPERUSER", Err("42501")),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC", Ok(1)),
        ("DROP ROLE s", Err("28000")),
    ];
    for (change, expect) in changes {
        drop(ask(&house.session, change, Vec::new()).await.unwrap_or_else(|state| panic!("{change}: {state}")));
        for (statement, sql) in prepared.iter().zip(statements) {
            let value = query::ScalarValue::Utf8(Some("a".to_owned()));
            let answer = match statement.execute(vec![value.clone()]).await {
                Ok(query::Outcome::Rows(rows)) => {
                    use futures::StreamExt;
                    let batches: Vec<_> = rows.batches.collect().await;
                    let rows = batches.iter().flatten().flat_map(crate::fixture::texts).filter(|row| row != "NULL").count();
                    batches.into_iter().find_map(Result::err).map_or(Ok(rows), |error| Err(error.sqlstate()))
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.sqlstate()),
            };
            assert_eq!(answer, expect, "{sql} after {change}");
            if let Some(point) = statement.point() {
                struct Count(usize);
                impl query::RowSink for Count {
                    fn row(&mut self, _: &[query::Cell<'_>]) -> Result<(), query::Error> {
                        self.0 += 1;
                        Ok(())
                    }
                }
                let mut rows = Count(0);
                let inline = point.execute(&[value], &mut rows).map(|_| rows.0).map_err(|error| error.sqlstate());
                assert_eq!(inline, expect, "the point path of {sql} after {change}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_with_roles() {
    let house = one_tag().await;
    check(
        &house,
        &[
            ("meridian", "CREATE USER admin CREATEROLE", "CREATE ROLE"),
            ("meridian", "CREATE ROLE plain LOGIN", "CREATE ROLE"),
            ("meridian", "CREATE ROLE admin", "42710"),
            ("meridian", "CREATE ROLE pg_x", "42939"),
            ("meridian", "CREATE ROLE meridian_operator", "42939"),
            ("meridian", "CREATE ROLE public", "42939"),
            ("meridian", "CREATE ROLE x LOGIN SUPERUSER SUPERUSER", "42601"),
            ("meridian", "CREATE ROLE x BYPASSRLS", "0A000"),
            ("meridian", "CREATE ROLE x CONNECTION LIMIT -2", "22023"),
            ("meridian", "CREATE ROLE x VALID UNTIL 'soon'", "22007"),
            ("plain", "CREATE ROLE x", "42501"),
            ("admin", "CREATE ROLE x SUPERUSER", "42501"),
            ("admin", "CREATE ROLE helper NOSUPERUSER NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS", "CREATE ROLE"),
            ("admin", "ALTER ROLE helper CONNECTION LIMIT 3 VALID UNTIL 'infinity'", "ALTER ROLE"),
            ("admin", "ALTER ROLE helper SUPERUSER", "42501"),
            // Not of its making, or more than it is.
            ("admin", "ALTER ROLE plain NOLOGIN", "42501"),
            ("admin", "ALTER ROLE meridian PASSWORD NULL", "42501"),
            ("admin", "DROP ROLE plain", "42501"),
            ("admin", "GRANT helper TO plain", "GRANT ROLE"),
            ("admin", "GRANT pg_read_all_data TO plain", "42501"),
            ("admin", "GRANT meridian TO admin", "42501"),
            ("admin", "GRANT SELECT ON samples TO admin", "42501"),
            ("admin", "GRANT SELECT ON TAGS WHERE true TO admin", "42501"),
            ("plain", "ALTER ROLE plain SET statement_timeout = '5s'", "ALTER ROLE"),
            ("plain", "SHOW statement_timeout", "5s"),
            ("plain", "ALTER ROLE plain RESET ALL", "ALTER ROLE"),
            ("plain", "SHOW statement_timeout", "0"),
            ("plain", "ALTER ROLE plain SET nothing = 1", "42704"),
            ("plain", "ALTER ROLE plain SET is_superuser = on", "55P02"),
            ("plain", "ALTER ROLE helper SET statement_timeout = 1", "42501"),
            ("plain", "ALTER ROLE plain CREATEROLE", "42501"),
            ("plain", "ALTER ROLE plain PASSWORD NULL", "ALTER ROLE"),
            ("meridian", "ALTER ROLE meridian NOSUPERUSER", "42501"),
            ("meridian", "ALTER ROLE pg_monitor LOGIN", "42939"),
            ("meridian", "DROP ROLE meridian", "2BP01"),
            ("meridian", "DROP ROLE pg_monitor", "2BP01"),
            ("meridian", "DROP ROLE IF EXISTS none_such", "DROP ROLE"),
            ("meridian", "DROP ROLE none_such", "42704"),
            ("meridian", "GRANT plain TO plain", "0LP01"),
            ("meridian", "GRANT plain TO helper", "0LP01"),
            ("meridian", "GRANT SELECT ON nothing TO plain", "42P01"),
            ("meridian", "GRANT SELECT ON pg_catalog.pg_class TO plain", "3F000"),
            ("meridian", "GRANT SELECT (tag) ON samples TO plain", "0A000"),
            ("meridian", "GRANT TRUNCATE ON samples TO plain", "0A000"),
            ("meridian", "GRANT FLY ON samples TO plain", "42601"),
            ("meridian", "GRANT SELECT ON samples TO none_such", "42704"),
            ("meridian", "GRANT SELECT ON TAGS WHERE unit = 'V' TO plain", "0A000"),
            ("meridian", "GRANT SELECT ON TAGS WHERE name ~ '(' TO plain", "2201B"),
            ("meridian", "GRANT SELECT ON TAGS WHERE name = 'a' TO plain WITH GRANT OPTION", "0A000"),
            ("meridian", "GRANT EXECUTE ON FUNCTION meridian_flush() TO plain", "0A000"),
            ("meridian", "GRANT USAGE ON SCHEMA public TO plain", "GRANT"),
            ("meridian", "REVOKE CONNECT ON DATABASE meridian FROM plain", "0A000"),
            ("meridian", "GRANT SELECT ON samples", "42601"),
            ("meridian", "DROP ROLE plain, helper", "DROP ROLE"),
            ("meridian", "SELECT count(*) FROM pg_auth_members", "0"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_on_goes_with_what_it_came_from() {
    let house = one_tag().await;
    check(
        &house,
        &[
            ("meridian", "CREATE USER a", "CREATE ROLE"),
            ("meridian", "CREATE USER b", "CREATE ROLE"),
            ("meridian", "CREATE USER c", "CREATE ROLE"),
            ("meridian", "GRANT SELECT, INSERT ON samples TO a WITH GRANT OPTION", "GRANT"),
            ("a", "GRANT SELECT ON samples TO b WITH GRANT OPTION", "GRANT"),
            ("b", "GRANT SELECT ON samples TO c", "GRANT"),
            ("c", "GRANT SELECT ON samples TO b", "42501"),
            ("c", "SELECT count(*) FROM samples", "1"),
            ("a", "REVOKE SELECT ON samples FROM c", "REVOKE"),
            ("c", "SELECT count(*) FROM samples", "1"),
            ("a", "REVOKE SELECT ON samples FROM b", "2BP01"),
            ("a", "REVOKE GRANT OPTION FOR SELECT ON samples FROM b CASCADE", "REVOKE"),
            ("c", "SELECT count(*) FROM samples", "42501"),
            ("b", "SELECT count(*) FROM samples", "1"),
            (
                "meridian",
                "SELECT role, \"table\", privileges, grantable, grantor FROM meridian.grants ORDER BY role",
                "a|public.samples|INSERT, SELECT|INSERT, SELECT|meridian b|public.samples|SELECT||a",
            ),
            (
                "meridian",
                "SELECT array_to_string(relacl, ' ') FROM pg_class WHERE relname = 'samples'",
                "meridian=arwd/meridian a=a*r*/meridian b=r/a",
            ),
            ("c", "SELECT count(*) FROM meridian.grants", "0"),
            ("meridian", "DROP ROLE a", "DROP ROLE"),
            ("b", "SELECT count(*) FROM samples", "42501"),
            // The name alone brings nothing back.
            ("meridian", "CREATE USER a", "CREATE ROLE"),
            ("a", "SELECT count(*) FROM samples", "42501"),
            ("b", "SELECT count(*) FROM samples", "42501"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_takes_on_the_role() {
    let house = one_tag().await;
    check(&house, &[
        ("meridian", "CREATE ROLE staff", "CREATE ROLE"),
        ("meridian", "CREATE USER kind NOINHERIT IN ROLE staff", "CREATE ROLE"),
        ("meridian", "CREATE USER heir IN ROLE staff", "CREATE ROLE"),
        ("meridian", "GRANT SELECT ON samples TO staff", "GRANT"),
        ("heir", READ, "1.0"),
        ("kind", READ, "42501"),
        ("kind", "SELECT pg_has_role('staff', 'USAGE'), pg_has_role('staff', 'MEMBER'), pg_has_role('staff', 'SET')", "false|true|true"),
        ("heir", "SELECT pg_has_role('heir', 'staff', 'USAGE')", "true"),
        ("heir", "SET ROLE meridian", "42501"),
        ("heir", "SET SESSION AUTHORIZATION kind", "42501"),
        ("meridian", "GRANT staff TO heir WITH SET FALSE, INHERIT FALSE", "GRANT ROLE"),
        ("heir", READ, "42501"),
        ("heir", "SET ROLE staff", "42501"),
        ("meridian", "REVOKE staff FROM heir", "REVOKE ROLE"),
        ("heir", "SELECT pg_has_role('staff', 'MEMBER')", "false"),
        (
            "meridian",
            "SELECT r.rolname, m.rolname FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member",
            "staff|kind",
        ),
        ("meridian", "SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1", "heir kind meridian"),
        ("heir", "SELECT usename, usesuper, passwd FROM pg_user ORDER BY 1", "heir|false|******** kind|false|******** meridian|true|********"),
    ])
    .await;
    let own = session(&house, "kind");
    for (sql, expect) in [
        ("SET ROLE staff", "SET"),
        (READ, "1.0"),
        ("SELECT current_user, session_user", "staff|kind"),
        ("SHOW role", "staff"),
        ("SHOW is_superuser", "off"),
        ("RESET ROLE", "RESET"),
        (READ, "42501"),
        ("SET SESSION ROLE = 'staff'", "SET"),
        ("SET ROLE NONE", "RESET"),
        ("SELECT current_user", "kind"),
        ("SHOW session_authorization", "kind"),
    ] {
        let found = ask(&own, sql, Vec::new()).await.map_or_else(|state| state, |rows| rows.join(" "));
        assert_eq!(found, expect, "{sql}");
    }
    let boss = session(&house, "meridian");
    for (sql, expect) in [
        ("SET SESSION AUTHORIZATION kind", "SET"),
        ("SELECT session_user, current_user", "kind|kind"),
        (READ, "42501"),
        ("CREATE ROLE x", "42501"),
        ("RESET SESSION AUTHORIZATION", "RESET"),
        (READ, "1.0"),
        ("SET ROLE kind", "SET"),
        (READ, "42501"),
        ("DISCARD ALL", "DISCARD ALL"),
        (READ, "1.0"),
    ] {
        let found = ask(&boss, sql, Vec::new()).await.map_or_else(|state| state, |rows| rows.join(" "));
        assert_eq!(found, expect, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operating_needs_to_be_granted() {
    let house = one_tag().await;
    check(
        &house,
        &[
            ("meridian", "CREATE USER eye IN ROLE pg_monitor", "CREATE ROLE"),
            ("meridian", "CREATE USER hand IN ROLE meridian_operator, pg_signal_backend", "CREATE ROLE"),
            ("meridian", "CREATE USER other", "CREATE ROLE"),
            ("eye", "SELECT count(*) FROM meridian.node", "1"),
            ("eye", "SELECT meridian_flush()", "42501"),
            ("eye", READ, "42501"),
            ("hand", "SELECT meridian_flush()", "true"),
            ("hand", "CHECKPOINT", "CHECKPOINT"),
            ("hand", "SELECT count(*) FROM meridian.node", "42501"),
            ("other", "CHECKPOINT", "42501"),
            ("other", "VACUUM", "42501"),
            ("other", "ANALYZE samples", "ANALYZE"),
            ("other", "SELECT * FROM (SELECT meridian_merge() AS x) y WHERE x", "42501"),
            ("other", "SELECT has_function_privilege('meridian_flush', 'EXECUTE')", "false"),
            ("meridian", "GRANT SELECT ON meridian.node TO other", "GRANT"),
            ("other", "SELECT count(*) FROM meridian.node", "1"),
            ("other", "SELECT count(*) FROM meridian.slices", "42501"),
            (
                "other",
                "SELECT has_table_privilege('meridian.node', 'SELECT'), has_table_privilege('meridian.slices', 'SELECT')",
                "true|false",
            ),
            ("other", "SELECT count(*) FROM pg_class WHERE relname = 'samples'", "1"),
            (
                "other",
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'meridian' ORDER BY 1",
                "grants node",
            ),
        ],
    )
    .await;
    // Statements of others are neither shown nor cancelled.
    let (busy, other) = (session(&house, "eye"), session(&house, "other"));
    let running = busy.prepare("SELECT pg_sleep(60), 'mine'", &[]).await.unwrap();
    let job = tokio::spawn(async move {
        let query::Outcome::Rows(mut rows) = running.execute(Vec::new()).await? else { panic!("no rows") };
        use futures::StreamExt;
        while let Some(batch) = rows.batches.next().await {
            batch?;
        }
        Ok::<(), query::Error>(())
    });
    let seen = "SELECT query FROM pg_stat_activity WHERE usename = 'eye'";
    let active = "SELECT query FROM pg_stat_activity WHERE usename = 'eye' AND state = 'active'";
    while ask(&house.session, active, Vec::new()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&other, seen, Vec::new()).await.unwrap(), ["<insufficient privilege>"]);
    let cancel = format!("SELECT pg_cancel_backend({})", busy.id());
    assert_eq!(ask(&other, &cancel, Vec::new()).await, Err("42501".to_owned()));
    assert_eq!(ask(&session(&house, "hand"), &cancel, Vec::new()).await.unwrap(), ["true"]);
    assert_eq!(job.await.unwrap().unwrap_err().sqlstate(), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_decides_whom_a_name_is_believed() {
    let house = one_tag().await;
    let early = session(&house, "somebody");
    assert_eq!(ask(&early, READ, Vec::new()).await.unwrap(), ["1.0"]);
    assert!(house.engine.roles().believe("anybody").is_ok());
    // Whoever makes the first role can go on.
    ask(&early, "CREATE ROLE late LOGIN CONNECTION LIMIT 2", Vec::new()).await.unwrap();
    ask(&early, "CREATE ROLE asleep", Vec::new()).await.unwrap();
    for (name, state) in [("anybody", Some("28000")), ("asleep", Some("28000")), ("late", None), ("meridian", None)] {
        assert_eq!(house.engine.roles().believe(name).err().map(|error| error.sqlstate()), state, "{name}");
    }
    let nobody = session(&house, "anybody");
    assert_eq!(ask(&nobody, READ, Vec::new()).await, Err("28000".to_owned()));
    assert_eq!(ask(&nobody, "SELECT 1", Vec::new()).await, Err("28000".to_owned()));
    assert_eq!(house.engine.roles().connections_max("late"), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_shown_nowhere() {
    let house = one_tag().await;
    let secret = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let own = house.engine.session(SessionSettings::default());
    let sql = format!("/* a */ ALTER USER \"meridian\" PASSWORD '{secret}' VALID UNTIL 'infinity'");
    let prepared = own.prepare(&sql, &[]).await.unwrap();
    assert_eq!(prepared.sql(), "ALTER USER \"meridian\" PASSWORD '***' VALID UNTIL '***'");
    prepared.execute(Vec::new()).await.unwrap();
    assert!(house.engine.roles().login_verifier("meridian", 0).is_some_and(|kept| &*kept == secret));
    for sql in ["SELECT * FROM pg_authid", "SELECT * FROM pg_shadow", "SELECT * FROM meridian.grants"] {
        assert!(!house.rows(sql).await.join(" ").contains("SCRAM"), "{sql}");
    }
    let wrong = own.prepare("CREATE ROLE x PASSWORD 'geheim' 'twice'", &[]).await.err().unwrap();
    assert!(wrong.sqlstate() == "42601" && !format!("{wrong:?}").contains("twice"), "{wrong:?}");
}
