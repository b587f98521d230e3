-- What DBeaver asks of the catalogue, in words of our own: databases, schemas, tables, columns, keys, indexes, types, functions, settings.
-- Each statement: a line `--> ROWS [WORDS ..]`, the least number of rows (or `=N`) and words that its answer must hold.

--> 1 meridian UTF8
SELECT db.oid, db.*, pg_catalog.pg_encoding_to_char(db.encoding) AS encoding_name, pg_catalog.pg_database_size(db.oid) AS size
FROM pg_catalog.pg_database db WHERE db.datallowconn AND NOT db.datistemplate OR db.datname = 'meridian' ORDER BY db.datname;

--> 3 public meridian
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
ORDER BY nspname;

--> 5 samples latest tags
SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr,
 pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
FROM pg_catalog.pg_class c
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relnamespace = 2200 AND c.relkind NOT IN ('i', 'I', 'c');

--> =4 tag time value quality now() 192
SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
FROM pg_catalog.pg_attribute a
INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum AND dep.classid = dep.refclassid
WHERE NOT a.attisdropped AND c.relkind NOT IN ('i', 'I', 'c') AND c.oid = 'samples'::regclass
ORDER BY a.attnum;

--> =2 samples_pkey samples_tag_fkey
SELECT c.oid, c.*, t.relname AS tabrelname, rt.relnamespace AS refnamespace, d.description, NULL AS consrc_copy,
 pg_catalog.pg_get_constraintdef(c.oid) AS definition
FROM pg_catalog.pg_constraint c
INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid = c.confrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_constraint'::regclass
WHERE c.conrelid = 'samples'::regclass ORDER BY c.oid;

--> =1 samples_pkey samples
SELECT i.*, i.indkey AS keys, c.relname, c.relnamespace, c.relam, c.reltablespace, tc.relname AS tabrelname, dsc.description,
 pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS pred_expr, pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) AS expr,
 pg_catalog.pg_relation_size(i.indexrelid) AS index_rel_size, pg_catalog.pg_stat_get_numscans(i.indexrelid) AS index_num_scans
FROM pg_catalog.pg_index i
INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
INNER JOIN pg_catalog.pg_class tc ON tc.oid = i.indrelid
LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid = dsc.objoid
WHERE i.indrelid = 'public.samples'::regclass ORDER BY tabrelname, c.relname;

--> 60 timestamptz _text
SELECT t.oid, t.*, c.relkind, format_type(NULLIF(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description
FROM pg_catalog.pg_type t
LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem
LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid
WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C');

--> 2 values_at
SELECT p.oid AS poid, p.*, pg_catalog.pg_get_expr(p.proargdefaults, 0) AS arg_defaults, d.description
FROM pg_catalog.pg_proc p
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.objsubid = 0
WHERE p.pronamespace = 2200 ORDER BY p.proname;

--> =0
SELECT x.oid, x.*, p.pronamespace AS func_schema_id, d.description FROM pg_catalog.pg_trigger x
INNER JOIN pg_catalog.pg_class c ON c.oid = x.tgrelid
LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid = x.tgfoid
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = x.oid AND d.objsubid = 0
WHERE x.tgrelid = 16384 AND NOT x.tgisinternal;

--> =0
SELECT r.oid, r.*, pg_get_ruledef(r.oid) AS definition FROM pg_catalog.pg_rewrite r WHERE r.ev_class = 16384;

--> =0
SELECT i.*, c.relnamespace, i.inhseqno FROM pg_catalog.pg_inherits i, pg_catalog.pg_class c WHERE i.inhrelid = 16384 AND c.oid = i.inhparent ORDER BY i.inhseqno;

--> =0
SELECT e.oid, e.*, n.nspname AS schema_name FROM pg_catalog.pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid;

--> 1
SELECT a.oid, a.*, pg_catalog.shobj_description(a.oid, 'pg_authid') AS description FROM pg_catalog.pg_roles a ORDER BY a.rolname;

--> 10 search_path TimeZone
SELECT s.name, s.setting, s.unit, s.short_desc FROM pg_catalog.pg_settings s ORDER BY s.name;

--> 1 pg_default
SELECT t.oid, t.spcname, t.spcowner, t.*, pg_catalog.pg_tablespace_location(t.oid) AS loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid;

--> 1 btree
SELECT am.oid, am.* FROM pg_catalog.pg_am am ORDER BY am.oid;

--> 1 public
SELECT current_schema(), session_user, current_database();

--> 1 public
SHOW search_path;

--> =1
SELECT version();

--> =1 meridian
SELECT pg_catalog.current_database() AS db, pg_catalog.has_database_privilege(current_database(), 'CONNECT') AS may;

--> =1 samples 16384
SELECT x.relname, x.oid, x.relkind FROM pg_catalog.pg_class x WHERE x.relkind IN ('r', 'v', 'm', 'f', 'p') AND x.relname ILIKE 'samples' AND x.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = 'public') ORDER BY x.relname LIMIT 100;

--> =1 PRIMARY
SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.conname = 'tags_pkey' AND c.contype = 'p';

--> =1 0
SELECT pg_catalog.pg_relation_size(c.oid) IS NULL AS unknown, coalesce(pg_total_relation_size('samples'), 0) AS size FROM pg_class c WHERE c.relname = 'samples';

--> =0
SELECT pa.aggfnoid, pa.* FROM pg_catalog.pg_aggregate pa;

--> =0
SELECT t.oid, t.*, pg_catalog.pg_get_expr(t.polqual, t.polrelid) FROM pg_catalog.pg_policy t WHERE t.polrelid = 16384;

--> =0
SELECT dep.deptype, dep.classid, dep.objid, cl.relkind, attr.attname FROM pg_depend dep
LEFT JOIN pg_class cl ON dep.objid = cl.oid
LEFT JOIN pg_attribute attr ON attr.attrelid = dep.objid AND attr.attnum = dep.objsubid
WHERE dep.refobjid = 16384 ORDER BY dep.classid;
