//! What clients ask PostgreSQL's own catalogue: the forms that psql and others write.

use crate::fixture::House;

/// Runs each statement; its rows, joined by a space, must be the expected ones.
async fn check(rows: &[(&str, &str)]) {
    let house = House::furnished().await;
    for (sql, expect) in rows {
        let found = house.try_rows(sql, Vec::new()).await;
        assert_eq!(found.map(|rows| rows.join(" ")).map_err(|error| error.to_string()), Ok((*expect).to_owned()), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_described_as_psql_asks() {
    check(&[
        (
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname OPERATOR(pg_catalog.~) '^(samples)$' COLLATE pg_catalog.default
             AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1, 2",
            "public|samples",
        ),
        (
            "SELECT c.relkind, c.relispartition, '',
             pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', '),
             CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, am.amname
             FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
             LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid) WHERE c.oid = 'tags'::regclass",
            "r|false||||NULL",
        ),
        (
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
             (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
              WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
             (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
              WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation
             FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = 'public.samples'::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            "tag|text|NULL|NULL time|timestamp with time zone|NULL|NULL value|double precision|NULL|NULL quality|smallint|NULL|NULL",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_there_is_not_planned() {
    check(&[
        ("SELECT pol.polname, pol.nothing FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '1' ORDER BY pol.nothing", ""),
        ("SELECT pubname, NULL, NULL FROM pg_catalog.pg_publication p UNION SELECT 'a', NULL, NULL ORDER BY 1", "a|NULL|NULL"),
        ("SELECT x.proname FROM (SELECT p.proname FROM pg_proc p) x", ""),
        // Over no rows an aggregate still has a row, and an outer join those of its other side.
        ("SELECT count(*) FROM pg_catalog.pg_proc", "0"),
        (
            "SELECT d.datname, p.oid FROM pg_catalog.pg_database d LEFT JOIN pg_catalog.pg_proc p ON p.oid = d.oid",
            "meridian|NULL",
        ),
        ("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index), NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index)", "false|true"),
        (
            "SELECT r.rolname, ARRAY(SELECT b.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b
             ON (m.roleid = b.oid) WHERE m.member = r.oid) AS memberof FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1",
            "meridian|[] meridian_operator|[]",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_have_their_schema_or_not() {
    check(&[
        ("SELECT '7'::pg_catalog.int4 + 1, 'x'::pg_catalog.text, pg_catalog.lower('A')", "8|x|a"),
        ("SELECT count(*) FROM pg_catalog.generate_series(1, 3)", "3"),
        ("SELECT relname FROM pg_class WHERE oid = 'events'::regclass", "events"),
        ("SELECT t.typname, (SELECT n.nspname FROM pg_namespace n WHERE n.oid = t.typnamespace) FROM pg_type t WHERE t.oid = 701", "float8|pg_catalog"),
    ])
    .await;
}
