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
            "tag|text|NULL|NULL time|timestamp with time zone|now()|NULL value|double precision|NULL|NULL quality|smallint|192|NULL",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_there_is_not_planned() {
    check(&[
        ("SELECT pol.polname, pol.nothing FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '1' ORDER BY pol.nothing", ""),
        ("SELECT pubname, NULL, NULL FROM pg_catalog.pg_publication p UNION SELECT 'a', NULL, NULL ORDER BY 1", "a|NULL|NULL"),
        ("SELECT x.tgname FROM (SELECT t.tgname FROM pg_trigger t) x", ""),
        // Over no rows an aggregate still has a row, and an outer join those of its other side.
        ("SELECT count(*) FROM pg_catalog.pg_trigger", "0"),
        (
            "SELECT d.datname, p.oid FROM pg_catalog.pg_database d LEFT JOIN pg_catalog.pg_trigger p ON p.oid = d.oid",
            "meridian|NULL",
        ),
        ("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_enum), NOT EXISTS (SELECT 1 FROM pg_catalog.pg_enum)", "false|true"),
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

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_numbers_and_names() {
    check(&[
        ("SELECT 'samples'::regclass, 'public.samples'::regclass::oid, '\"samples\"'::regclass::text", "samples|16384|samples"),
        ("SELECT c.oid::regclass, 'is ' || c.oid::regclass FROM pg_class c WHERE c.oid = 'meridian.slices'::regclass", "meridian.slices|is meridian.slices"),
        ("SELECT a.attname, a.atttypid::regtype FROM pg_attribute a WHERE a.attrelid = 'events'::regclass AND a.atttypid = 'text'::regtype ORDER BY a.attnum", "tag|text text|text"),
        ("SELECT 'int4'::regtype, 'int'::regtype::oid, 'timestamp with time zone'::regtype::oid, 'text[]'::regtype", "integer|23|1184|text[]"),
        ("SELECT conname, conrelid::regclass, confrelid::regclass FROM pg_constraint WHERE conrelid IN ('samples'::regclass, 'tags'::regclass) ORDER BY 1", "samples_pkey|samples|- samples_tag_fkey|samples|tags tags_pkey|tags|-"),
        ("SELECT to_regclass('nothing'), to_regclass('tags'), 0::regclass, 7::regclass", "NULL|tags|-|7"),
        ("SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND relkind = 'r'", "4"),
        ("SELECT typname FROM pg_type WHERE typinput = 'array_in'::regproc AND typelem = 701", "_float8"),
        ("SELECT r.rolname::regrole FROM pg_roles r WHERE oid = 10", "meridian"),
    ])
    .await;
    let house = House::furnished().await;
    for (sql, state) in [
        ("SELECT 'nothing'::regclass", "42P01"),
        ("SELECT 'nothing'::regtype", "42704"),
        ("SELECT 'nothing'::regproc", "42883"),
        ("SELECT 1 FROM pg_class WHERE oid = 'nothing'::regclass", "42P01"),
    ] {
        let error = house.try_rows(sql, Vec::new()).await.unwrap_err();
        assert_eq!(error.sqlstate(), state, "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_and_taken_apart() {
    check(&[
        ("SELECT pg_get_indexdef(indexrelid), pg_get_indexdef(indexrelid, 2, true) FROM pg_index WHERE indrelid = 'samples'::regclass",
         "CREATE UNIQUE INDEX samples_pkey ON public.samples USING btree (tag, \"time\")|\"time\""),
        ("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'events'::regclass ORDER BY conname DESC",
         "FOREIGN KEY (tag) REFERENCES tags(name) ON UPDATE CASCADE ON DELETE CASCADE PRIMARY KEY (tag, \"time\")"),
        ("SELECT a.attname FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) AS at FROM pg_index WHERE indrelid = 'samples'::regclass) i
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.at] ORDER BY i.at", "tag time"),
        ("SELECT (k).n, (k).x FROM (SELECT information_schema._pg_expandarray(indkey) AS k FROM pg_index WHERE indrelid = 'samples'::regclass) s ORDER BY 1", "1|1 2|2"),
        ("SELECT indkey::text, indkey[0] FROM pg_index WHERE indrelid = 'samples'::regclass", "1 2|1"),
        ("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = 'tags'::regclass", "name"),
        ("SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_name = 'samples' ORDER BY ordinal_position",
         "tag|text|NO|NULL time|timestamp with time zone|NO|now() value|double precision|NO|NULL quality|smallint|NO|192"),
        ("SELECT k.column_name FROM information_schema.key_column_usage k JOIN information_schema.table_constraints t USING (constraint_schema, constraint_name)
          WHERE t.table_name = 'samples' AND t.constraint_type = 'PRIMARY KEY' ORDER BY k.ordinal_position", "tag time"),
        ("SELECT obj_description('tags'::regclass, 'pg_class'), col_description('tags'::regclass, 3)", "the tags: a row is a measuring point|the unit of its values"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_clients_write() {
    check(&[
        ("SELECT relname FROM pg_class WHERE relname LIKE 'sampl!_%' ESCAPE '!'", ""),
        ("SELECT relname FROM pg_class WHERE relname LIKE 'samples!_p%' ESCAPE '!'", "samples_pkey"),
        ("SELECT 'a\\b' LIKE 'a\\b' ESCAPE '', 'a%' NOT LIKE 'a/%' ESCAPE '/', 'A_' ILIKE 'a#_' ESCAPE '#'", "true|false|true"),
        ("SELECT n.nspname, n.nspname IN (SELECT table_schema FROM information_schema.tables WHERE table_name = 'samples') AS has FROM pg_namespace n ORDER BY 1",
         "information_schema|false meridian|false pg_catalog|false public|true"),
        ("SELECT 1 IN (SELECT NULL::int), NULL IN (SELECT 1), 2 NOT IN (SELECT 1), 3 IN (SELECT 1 WHERE false)", "NULL|NULL|true|false"),
        ("SELECT s[1], array_upper(s, 1), array_lower(s, 1), array_upper(s, 2) FROM string_to_array('a,b', ',') AS s", "a|2|1|NULL"),
        ("SELECT parse_ident('Public.\"Samples\"'), current_schemas(false), trim(TRAILING FROM 'a  ') || '|'", "[public, Samples]|[public]|a|"),
        ("SELECT count(*) > 400, bool_or(word = 'select') FROM pg_get_keywords()", "true|true"),
        ("SELECT CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE b AS (SELECT t.oid UNION ALL SELECT b.oid FROM b) SELECT oid FROM b) ELSE 7 END FROM pg_type t WHERE oid = 16", "7"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_a_table_is_asked_as_psql_asks() {
    check(&[
        (
            "SELECT conname, conrelid::pg_catalog.regclass AS ontable, pg_catalog.pg_get_constraintdef(oid, true) AS condef FROM pg_catalog.pg_constraint c
             WHERE confrelid IN (SELECT pg_catalog.pg_partition_ancestors('16388') UNION ALL VALUES ('tags'::pg_catalog.regclass))
             AND contype = 'f' AND conparentid = 0 ORDER BY conname LIMIT 1",
            "events_tag_fkey|events|FOREIGN KEY (tag) REFERENCES tags(name) ON UPDATE CASCADE ON DELETE CASCADE",
        ),
        ("SELECT relname FROM pg_class WHERE oid IN (VALUES ('samples'::regclass), ('tags'::regclass)) ORDER BY 1", "samples tags"),
        ("SELECT c.tableoid, l.tableoid FROM pg_class c JOIN pg_language l ON l.lanname = 'sql' WHERE c.oid = 'samples'::regclass", "1259|2612"),
        ("SELECT lanname FROM pg_language l LEFT JOIN pg_description d ON d.classoid = l.tableoid AND d.objoid = l.oid WHERE lanname = 'c'", "c"),
        ("SELECT relname FROM pg_class WHERE relhastriggers AND relkind = 'r' ORDER BY 1", "events integers samples tags"),
        ("SELECT i.indkey[0], i.indkey[1] FROM pg_index i WHERE i.indrelid = 'samples'::regclass AND i.indisprimary = 't'", "1|2"),
        ("SELECT (SELECT n.nspname AS named FROM pg_namespace n WHERE n.oid = c.relnamespace) FROM pg_class c WHERE c.oid = 'tags'::regclass", "public"),
        ("SELECT length('\\x00ff'::bytea), octet_length('\\x00ff'::bytea), length('温度'), octet_length('温度'), length(NULL)", "2|2|2|6|NULL"),
        ("SELECT length('\\x00ff'::bytea), c.*, c.relname AS own FROM (SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 2200) c ORDER BY own", "2|latest|latest"),
    ])
    .await;
}
