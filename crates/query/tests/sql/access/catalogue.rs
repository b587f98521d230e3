//! What the catalogue tells of roles and grants, and to whom: `pg_catalog` everybody of all, `information_schema` each of its own.

use super::commands::check;
use super::{ask, session};
use crate::fixture::House;

async fn house() -> House {
    let house = House::empty();
    for sql in [
        "CREATE ROLE reader LOGIN CONNECTION LIMIT 3 VALID UNTIL '2030-01-01 00:00Z'",
        "CREATE ROLE \"Big Writer\" LOGIN",
        "CREATE ROLE staff",
        "GRANT staff TO reader WITH ADMIN OPTION",
        "GRANT SELECT ON samples TO reader",
        "GRANT INSERT ON samples TO \"Big Writer\" WITH GRANT OPTION",
        "GRANT SELECT ON meridian.node TO staff",
        "GRANT SELECT ON latest TO PUBLIC",
    ] {
        house.tag(sql).await;
    }
    house
}

const MINE: &str = "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('public', 'meridian') ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_of_what_it_may() {
    let rows = [
        ("reader", MINE, "grants latest node samples"),
        ("Big Writer", MINE, "grants latest samples"),
        ("reader", "SELECT count(*) FROM pg_class WHERE relname IN ('samples', 'tags', 'slices', 'samples_pkey')", "4"),
        ("reader", "SELECT count(*) > 50 FROM information_schema.tables WHERE table_schema = 'pg_catalog'", "true"),
        (
            "reader",
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1",
            "latest samples",
        ),
        ("reader", "SELECT table_name FROM information_schema.views WHERE table_schema = 'meridian' ORDER BY 1", "grants node"),
        // What rows must meet is told to those that may write some; what hangs on a table, to its owner.
        ("reader", "SELECT constraint_name FROM information_schema.table_constraints", ""),
        (
            "Big Writer",
            "SELECT constraint_name FROM information_schema.table_constraints ORDER BY 1",
            "samples_pkey samples_tag_fkey",
        ),
        ("Big Writer", "SELECT count(*) FROM information_schema.referential_constraints", "1"),
        ("Big Writer", "SELECT count(*) FROM information_schema.constraint_column_usage", "0"),
        ("reader", "SELECT DISTINCT table_name FROM information_schema.key_column_usage", "samples"),
        ("meridian", "SELECT count(*) > 3 FROM information_schema.constraint_column_usage", "true"),
        ("reader", "SELECT count(*) FROM information_schema.routines WHERE routine_name LIKE 'meridian\\_%'", "0"),
        ("reader", "SELECT count(*) FROM information_schema.routines WHERE routine_name = 'time_bucket'", "1"),
        ("meridian", "SELECT count(*) > 0 FROM information_schema.routines WHERE routine_name LIKE 'meridian\\_%'", "true"),
        ("reader", "SELECT role_name FROM information_schema.enabled_roles ORDER BY 1", "reader staff"),
        ("reader", "SELECT * FROM information_schema.applicable_roles", "reader|staff|YES"),
        ("Big Writer", "SELECT * FROM information_schema.administrable_role_authorizations", ""),
        (
            "reader",
            "SELECT schema_name, schema_owner FROM information_schema.schemata WHERE schema_name = 'public'",
            "public|meridian",
        ),
    ];
    check(&house().await, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_told_as_postgresql_tells_them() {
    let granted = "SELECT grantor, grantee, table_name, privilege_type, is_grantable, with_hierarchy FROM information_schema.table_privileges
        WHERE table_schema = 'public' ORDER BY 2, 3, 4";
    let of_roles = "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND table_name IN ('latest', 'samples') ORDER BY 2, 1, 3";
    let rows = [
        ("reader", granted, "meridian|PUBLIC|latest|SELECT|NO|YES meridian|reader|samples|SELECT|NO|YES"),
        ("Big Writer", of_roles, "Big Writer|samples|INSERT"),
        (
            "meridian",
            of_roles,
            "PUBLIC|latest|SELECT meridian|latest|DELETE meridian|latest|INSERT meridian|latest|SELECT meridian|latest|UPDATE \
             Big Writer|samples|INSERT meridian|samples|DELETE meridian|samples|INSERT meridian|samples|SELECT \
             meridian|samples|UPDATE reader|samples|SELECT",
        ),
        (
            "reader",
            "SELECT column_name FROM information_schema.role_column_grants WHERE table_name = 'samples' AND privilege_type = 'SELECT' ORDER BY 1",
            "quality tag time value",
        ),
        (
            "reader",
            "SELECT array_to_string(relacl, ' ') FROM pg_class WHERE relname = 'samples'",
            "meridian=arwd/meridian \"Big Writer\"=a*/meridian reader=r/meridian",
        ),
        ("reader", "SELECT relacl IS NULL FROM pg_class WHERE relname IN ('tags', 'samples_pkey')", "true true"),
        ("reader", "SELECT array_to_string(relacl, ' ') FROM pg_class WHERE relname = 'pg_am'", "meridian=arwd/meridian =r/meridian"),
        (
            "reader",
            "SELECT has_table_privilege('samples'::regclass, 'SELECT'), has_table_privilege('\"Big Writer\"'::regrole::oid, 'samples', 'SELECT'),
             has_table_privilege('tags', 'SELECT'), has_table_privilege('pg_class', 'SELECT'), has_table_privilege('public', 'latest', 'SELECT'),
             has_table_privilege(7, 'SELECT'), has_table_privilege('meridian.grants', 'SELECT'), has_table_privilege('samples', 'INSERT')",
            "true|false|false|true|true|NULL|true|false",
        ),
        ("reader", "SELECT has_table_privilege('nothing', 'SELECT')", "42P01"),
        ("reader", "SELECT has_table_privilege('samples', 'LOVE')", "22023"),
    ];
    check(&house().await, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_told_as_postgresql_tells_them() {
    let rows = [
        (
            "reader",
            "SELECT rolname, rolcanlogin, rolsuper, rolconnlimit, rolpassword, rolvaliduntil FROM pg_roles WHERE oid > 16383 OR oid = 10 ORDER BY 1",
            "Big Writer|true|false|-1|********|NULL meridian|true|true|-1|********|NULL \
             reader|true|false|3|********|2030-01-01T00:00:00Z staff|false|false|-1|********|NULL",
        ),
        ("reader", "SELECT usename, usesuper FROM pg_user ORDER BY 1", "Big Writer|false meridian|true reader|false"),
        ("reader", "SELECT count(*) FROM pg_group g JOIN pg_roles r ON r.oid = ANY (g.grolist) WHERE groname = 'staff'", "1"),
        (
            "reader",
            "SELECT r.rolname, m.rolname, g.rolname, admin_option FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid
             JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.grantor",
            "staff|reader|meridian|true",
        ),
        (
            "reader",
            "SELECT 'staff'::regrole, 10::regrole, to_regrole('nobody'), pg_get_userbyid(10)",
            "staff|meridian|NULL|meridian",
        ),
        ("reader", "SELECT oid::regrole FROM pg_roles WHERE rolname = 'Big Writer'", "\"Big Writer\""),
        ("reader", "SELECT 'nobody'::regrole", "42704"),
        ("reader", "SELECT tableowner FROM pg_tables WHERE tablename = 'tags'", "meridian"),
    ];
    check(&house().await, &rows).await;
}

/// What was prepared is told of what is so when it is run.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_changes_with_the_rights() {
    let house = house().await;
    let own = session(&house, "reader");
    let prepared = own.prepare(MINE, &[]).await.unwrap();
    for (change, expect) in [
        ("SELECT 1", "grants latest node samples"),
        ("REVOKE SELECT ON samples FROM reader", "grants latest node"),
        ("GRANT UPDATE ON TAGS WHERE name = 'a' TO reader", "grants latest node tags"),
        ("REVOKE staff FROM reader", "grants latest tags"),
    ] {
        drop(ask(&house.session, change, Vec::new()).await.unwrap_or_else(|state| panic!("{change}: {state}")));
        let query::Outcome::Rows(rows) = prepared.execute(Vec::new()).await.unwrap() else { panic!("no rows") };
        use futures::StreamExt;
        let batches: Vec<_> = rows.batches.collect().await;
        let found: Vec<String> = batches.iter().flat_map(|batch| crate::fixture::texts(batch.as_ref().unwrap())).collect();
        assert_eq!(found.join(" "), expect, "after {change}");
        assert_eq!(ask(&own, MINE, Vec::new()).await.unwrap().join(" "), expect, "after {change}");
    }
}
