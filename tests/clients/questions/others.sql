-- What other clients ask, in words of our own: Npgsql (Power BI) at connecting, Metabase and Tableau by JDBC and ODBC, pgAdmin, Prisma, Django, Rails, Hasura.
-- Each statement: a line `--> ROWS [WORDS ..]`, the least number of rows (or `=N`) and words that its answer must hold.

-- Npgsql: every type with its element; arrays are known by what receives them.
--> 40 timestamptz _float8
SELECT n.nspname, a.number, a.name, a.sort, a.strict, a.element
FROM (
  SELECT b.number, b.namespace, b.name, b.sort, b.strict, b.kind, e.oid AS element, e.typname AS element_name, ec.relkind AS element_kind,
    CASE WHEN ep.proname = 'array_recv' THEN 'a' ELSE e.typtype END AS element_sort
  FROM (
    SELECT t.oid AS number, t.typnamespace AS namespace, t.typname AS name, t.typnotnull AS strict, c.relkind AS kind,
      CASE WHEN p.proname = 'array_recv' THEN 'a' ELSE t.typtype END AS sort,
      CASE WHEN p.proname = 'array_recv' THEN t.typelem WHEN t.typtype = 'r' THEN r.rngsubtype
        WHEN t.typtype = 'm' THEN (SELECT m.rngtypid FROM pg_range m WHERE m.rngmultitypid = t.oid)
        WHEN t.typtype = 'd' THEN t.typbasetype END AS of
    FROM pg_type AS t LEFT JOIN pg_class AS c ON (c.oid = t.typrelid) LEFT JOIN pg_proc AS p ON p.oid = t.typreceive
    LEFT JOIN pg_range AS r ON (r.rngtypid = t.oid)
  ) AS b
  LEFT JOIN pg_type AS e ON e.oid = b.of LEFT JOIN pg_class AS ec ON (ec.oid = e.typrelid) LEFT JOIN pg_proc AS ep ON ep.oid = e.typreceive
) AS a JOIN pg_namespace AS n ON (n.oid = a.namespace)
WHERE a.sort IN ('b', 'r', 'm', 'e', 'd') OR (a.sort = 'c' AND a.kind = 'c') OR (a.sort = 'p' AND a.name IN ('record', 'void'))
  OR (a.sort = 'a' AND (a.element_sort IN ('b', 'r', 'm', 'e', 'd') OR (a.element_sort = 'p' AND a.element_name IN ('record', 'void')) OR (a.element_sort = 'c' AND a.element_kind = 'c')))
ORDER BY CASE WHEN a.sort IN ('b', 'e', 'p') THEN 0 WHEN a.sort = 'r' THEN 1 WHEN a.sort = 'a' THEN 5 WHEN a.sort = 'd' AND a.element_sort <> 'a' THEN 4 END;

--> =0
SELECT t.oid, a.attname, a.atttypid FROM pg_type AS t JOIN pg_class AS c ON (c.oid = t.typrelid) JOIN pg_attribute AS a ON (a.attrelid = t.typrelid)
WHERE (t.typtype = 'c' AND c.relkind = 'c') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY t.oid, a.attnum;

--> =0
SELECT t.oid, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid ORDER BY t.oid, e.enumsortorder;

-- Power BI: tables and columns by the standard's views, keys and what refers to what.
--> 5 samples VIEW latest
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.tables WHERE TABLE_SCHEMA NOT IN ('information_schema', 'pg_catalog') ORDER BY TABLE_SCHEMA, TABLE_NAME;

--> =4 tag time value quality
SELECT COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'public' AND TABLE_NAME = 'samples' ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION;

--> =1 tags name tag
SELECT pkcol.COLUMN_NAME AS PK_COLUMN_NAME, fkcol.TABLE_SCHEMA AS FK_TABLE_SCHEMA, fkcol.TABLE_NAME AS FK_TABLE_NAME, fkcol.COLUMN_NAME AS FK_COLUMN_NAME,
  fkcol.ORDINAL_POSITION AS ORDINAL, fkcon.CONSTRAINT_SCHEMA || '_' || fkcol.TABLE_NAME || '_tags_' || fkcon.CONSTRAINT_NAME AS FK_NAME
FROM (SELECT DISTINCT constraint_catalog, constraint_schema, unique_constraint_schema, constraint_name, unique_constraint_name FROM INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS) fkcon
INNER JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE fkcol ON fkcon.CONSTRAINT_SCHEMA = fkcol.CONSTRAINT_SCHEMA AND fkcon.CONSTRAINT_NAME = fkcol.CONSTRAINT_NAME
INNER JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE pkcol ON fkcon.UNIQUE_CONSTRAINT_SCHEMA = pkcol.CONSTRAINT_SCHEMA AND fkcon.UNIQUE_CONSTRAINT_NAME = pkcol.CONSTRAINT_NAME
WHERE pkcol.TABLE_NAME = 'tags' AND fkcol.TABLE_NAME = 'samples' AND pkcol.ORDINAL_POSITION = fkcol.ORDINAL_POSITION ORDER BY FK_NAME, fkcol.ORDINAL_POSITION;

--> =2 samples_pkey tag time
SELECT i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME AS INDEX_NAME, ii.COLUMN_NAME, ii.ORDINAL_POSITION,
  CASE WHEN i.CONSTRAINT_TYPE = 'PRIMARY KEY' THEN 'Y' ELSE 'N' END AS PRIMARY_KEY
FROM INFORMATION_SCHEMA.table_constraints i INNER JOIN INFORMATION_SCHEMA.key_column_usage ii ON i.CONSTRAINT_SCHEMA = ii.CONSTRAINT_SCHEMA AND i.CONSTRAINT_NAME = ii.CONSTRAINT_NAME
  AND i.TABLE_SCHEMA = ii.TABLE_SCHEMA AND i.TABLE_NAME = ii.TABLE_NAME
WHERE i.TABLE_SCHEMA = 'public' AND i.TABLE_NAME = 'samples' AND i.CONSTRAINT_TYPE IN ('PRIMARY KEY', 'UNIQUE') ORDER BY 1, 3;

-- Metabase: what there is, with estimates and comments; what may be read.
--> 5 samples events
SELECT n.nspname AS "schema", c.relname AS "name", CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS "type",
  d.description AS "description", NULLIF(stat.n_live_tup, 0) AS "estimated_row_count"
FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
LEFT JOIN pg_stat_user_tables AS stat ON n.nspname = stat.schemaname AND c.relname = stat.relname
WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname IN ('public') ORDER BY "type" ASC, "schema" ASC, "name" ASC;

--> 4 quality int2
SELECT c.column_name AS name, c.udt_name AS "database-type", c.ordinal_position - 1 AS "database-position", c.table_schema AS "table-schema", c.table_name AS "table-name",
  pk.column_name IS NOT NULL AS "pk?", col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) AS "field-comment",
  ((column_default IS NULL) OR (LOWER(column_default) = 'null')) AND (is_nullable = 'NO') AND NOT (is_identity = 'YES') AS "database-required"
FROM information_schema.columns AS c
LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc
  INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
  WHERE tc.constraint_type = 'PRIMARY KEY') AS pk ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema IN ('public') AND c.table_name IN ('samples') ORDER BY "table-schema", "table-name", "database-position";

--> =1 samples tag tags name
SELECT fk_ns.nspname AS "fk-table-schema", fk_table.relname AS "fk-table-name", fk_column.attname AS "fk-column-name", pk_ns.nspname AS "pk-table-schema", pk_table.relname AS "pk-table-name", pk_column.attname AS "pk-column-name"
FROM pg_constraint AS c
INNER JOIN pg_class AS fk_table ON c.conrelid = fk_table.oid INNER JOIN pg_namespace AS fk_ns ON c.connamespace = fk_ns.oid
INNER JOIN pg_attribute AS fk_column ON c.conrelid = fk_column.attrelid
INNER JOIN pg_class AS pk_table ON c.confrelid = pk_table.oid INNER JOIN pg_namespace AS pk_ns ON pk_table.relnamespace = pk_ns.oid
INNER JOIN pg_attribute AS pk_column ON c.confrelid = pk_column.attrelid
WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND c.contype = 'f' AND fk_column.attnum = ANY (c.conkey) AND pk_column.attnum = ANY (c.confkey) AND fk_table.relname = 'samples';

-- Tableau and ODBC: columns with their types' names, keys by the places of an index.
--> 4 quality int2
select n.nspname, c.relname, a.attname, a.atttypid, t.typname, a.attnum, a.attlen, a.atttypmod, a.attnotnull, c.relhasrules, c.relkind, c.oid, pg_get_expr(d.adbin, d.adrelid), case t.typtype when 'd' then t.typbasetype else 0 end, t.typtypmod, 0, attidentity
from (((pg_catalog.pg_class c inner join pg_catalog.pg_namespace n on n.oid = c.relnamespace and c.oid = 'samples'::regclass)
inner join pg_catalog.pg_attribute a on (not a.attisdropped) and a.attnum > 0 and a.attrelid = c.oid)
inner join pg_catalog.pg_type t on t.oid = a.atttypid) left outer join pg_attrdef d on a.atthasdef and d.adrelid = a.attrelid and d.adnum = a.attnum order by n.nspname, c.relname, attnum;

--> =2 tag time samples_pkey
select ta.attname, ia.attnum, ic.relname, n.nspname, tc.relname from pg_catalog.pg_attribute ta, pg_catalog.pg_attribute ia, pg_catalog.pg_class tc, pg_catalog.pg_index i, pg_catalog.pg_namespace n, pg_catalog.pg_class ic
where tc.relname = 'samples' AND n.nspname = 'public' AND tc.oid = i.indrelid AND n.oid = tc.relnamespace AND i.indisprimary = 't' AND ia.attrelid = i.indexrelid AND ta.attrelid = i.indrelid AND ta.attnum = i.indkey[ia.attnum-1] AND (NOT ta.attisdropped) AND (NOT ia.attisdropped) AND ic.oid = i.indexrelid order by ia.attnum;

-- pgAdmin: the tree of a schema, columns and their keys.
--> =4 events integers samples tags
SELECT rel.oid, rel.relname AS name, (SELECT count(*) FROM pg_trigger WHERE tgrelid=rel.oid AND tgisinternal = FALSE) AS triggercount,
  (SELECT count(1) FROM pg_inherits WHERE inhrelid=rel.oid LIMIT 1) AS is_inherits, pg_catalog.pg_get_userbyid(rel.relowner) AS owner
FROM pg_class rel WHERE rel.relkind IN ('r','s','t','p') AND rel.relnamespace = 2200 AND NOT rel.relispartition ORDER BY rel.relname;

--> =4 time timestamp
SELECT att.attname AS name, att.atttypid, att.attlen, att.attnum, att.attndims, att.atttypmod, att.attnotnull, att.atthasdef, des.description, pg_catalog.format_type(ty.oid, att.atttypmod) AS cltype,
  pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS defval, EXISTS (SELECT 1 FROM pg_constraint con WHERE con.conrelid = att.attrelid AND con.contype = 'p' AND att.attnum = ANY (con.conkey)) AS is_pk
FROM pg_attribute att JOIN pg_type ty ON ty.oid = atttypid LEFT OUTER JOIN pg_attrdef def ON adrelid = att.attrelid AND adnum = att.attnum
LEFT OUTER JOIN pg_description des ON (des.objoid = att.attrelid AND des.objsubid = att.attnum AND des.classoid = 'pg_class'::regclass)
WHERE att.attrelid = 'samples'::regclass::oid AND att.attnum > 0 AND att.attisdropped IS FALSE ORDER BY att.attnum;

--> 1 meridian
SELECT db.oid AS did, db.datname AS name, ta.spcname AS spcname, db.datallowconn, pg_catalog.has_database_privilege(db.oid, 'CREATE') AS cancreate, datdba AS owner, descr.description
FROM pg_catalog.pg_database db LEFT OUTER JOIN pg_catalog.pg_tablespace ta ON db.dattablespace = ta.oid
LEFT OUTER JOIN pg_catalog.pg_shdescription descr ON (db.oid = descr.objoid AND descr.classoid = 'pg_database'::regclass) WHERE db.oid > 0 ORDER BY datname;

-- Django, Rails, Prisma, Hasura.
--> =5 samples latest
SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid);

--> =4 tag time
SELECT a.attname AS column_name, NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)) AS is_nullable, pg_get_expr(ad.adbin, ad.adrelid) AS column_default,
  CASE WHEN collname = 'default' THEN NULL ELSE collname END AS collation, a.attidentity != '' AS is_autofield, col_description(a.attrelid, a.attnum) AS column_comment
FROM pg_attribute a LEFT JOIN pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum LEFT JOIN pg_collation co ON a.attcollation = co.oid
JOIN pg_type t ON a.atttypid = t.oid JOIN pg_class c ON a.attrelid = c.oid JOIN pg_namespace n ON c.relnamespace = n.oid
WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND c.relname = 'samples' AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid);

--> =2 samples_pkey samples_tag_fkey {1,2}
SELECT c.conname, array(SELECT ca.attname FROM pg_attribute AS ca WHERE ca.attrelid = c.conrelid AND ca.attnum = ANY (c.conkey)), c.contype, c.conkey, c.confrelid, cl.reloptions
FROM pg_constraint AS c JOIN pg_class AS cl ON c.conrelid = cl.oid WHERE cl.relname = 'samples' AND pg_catalog.pg_table_is_visible(cl.oid) ORDER BY c.conname;

--> =4 tag text time
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated AS attgenerated
FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation
WHERE a.attrelid = '"samples"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

--> =2 tag time
SELECT a.attname FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index WHERE indrelid = '"samples"'::regclass AND indisprimary) i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx] ORDER BY i.idx;

--> 30 int8 timestamptz
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'bool') OR t.typtype = 'b' ORDER BY t.oid;

--> =1 samples
SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = 'public') AS there, version(), current_setting('server_version_num')::integer AS numeric_version, 'samples'::regclass AS shown;

--> 5 samples
SELECT tbl.relname AS table_name, namespace.nspname as namespace, (tbl.relhassubclass and tbl.relkind = 'p') as is_partition, tbl.relrowsecurity as has_row_level_security, reloptions, obj_description(tbl.oid, 'pg_class') as description
FROM pg_class AS tbl INNER JOIN pg_namespace AS namespace ON namespace.oid = tbl.relnamespace
WHERE tbl.relkind IN ('r', 'p', 'v') AND namespace.nspname = ANY (ARRAY['public']::varchar[]) ORDER BY namespace, table_name;

-- By hand, from documents and answers that people copy.
--> =1 samples text 25
SELECT c.oid::regclass::text AS name, 'text'::regtype AS kind, 'text'::regtype::oid AS number, to_regclass('nothing') IS NULL AS none FROM pg_class c WHERE c.oid = 'public.samples'::regclass;

--> =4 timestamp with time zone
SELECT a.attname, a.atttypid::regtype FROM pg_attribute a WHERE a.attrelid = 'samples'::regclass AND a.attnum > 0 ORDER BY a.attnum;

--> =1 events,integers,samples,tags
SELECT string_agg(relname, ',' ORDER BY relname) AS tables, array_agg(relname ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;

--> =3 samples tags
SELECT conrelid::regclass AS table_name, conname, confrelid::regclass AS refers, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY conname;

--> =1 {pg_catalog,public}
SELECT current_schemas(true) AS path, array_upper(current_schemas(false), 1) AS length, txid_current() > 0, pg_backend_pid() > 0, pg_size_pretty(pg_database_size('meridian')) IS NOT NULL;

--> =4 CREATE samples_pkey
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public';

--> =4 tags
SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename;
