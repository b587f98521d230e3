-- What Grafana's PostgreSQL data source asks: version, extensions, schemas, tables and columns of its query editor. In words of
-- our own, with the constructs that it uses: functions as tables, an array taken apart by a series, IN a query within a CASE.
-- Each statement: a line `--> ROWS [WORDS ..]`, the least number of rows (or `=N`) and words that its answer must hold.

--> =1 1600
SELECT current_setting('server_version_num')::int / 100 AS release;

--> =0
SELECT e.extversion FROM pg_extension e WHERE e.extname = 'timescaledb';

--> =2 public meridian
SELECT s.schema_name AS "name" FROM information_schema.schemata s WHERE s.schema_name NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1;

--> =5 samples tags latest events integers
SELECT quote_ident(t.table_name) AS "table" FROM information_schema.tables t WHERE quote_ident(t.table_schema) = 'public' ORDER BY 1;

--> 11 samples meridian.slices
SELECT CASE WHEN quote_ident(t.table_schema) IN (
    SELECT CASE WHEN trim(part[at]) = '"$user"' THEN user ELSE trim(part[at]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS at,
      string_to_array(current_setting('search_path'), ',') part)
  THEN quote_ident(t.table_name) ELSE quote_ident(t.table_schema) || '.' || quote_ident(t.table_name) END AS shown
FROM information_schema.tables t WHERE t.table_schema NOT IN ('pg_catalog', 'information_schema')
ORDER BY CASE WHEN quote_ident(t.table_schema) IN (SELECT trim(part) FROM unnest(string_to_array(current_setting('search_path'), ',')) AS p(part)) THEN 0 ELSE 1 END, 1;

--> =4 tag text time value double quality smallint
SELECT quote_ident(c.column_name) AS "column", c.data_type AS kind FROM information_schema.columns c
WHERE CASE WHEN array_length(parse_ident('samples'), 1) = 2
  THEN quote_ident(c.table_schema) = (parse_ident('samples'))[1] AND quote_ident(c.table_name) = (parse_ident('samples'))[2]
  ELSE quote_ident(c.table_name) = 'samples' AND quote_ident(c.table_schema) IN (
    SELECT trim(part[at]) FROM generate_series(1, array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS at,
      string_to_array(current_setting('search_path'), ',') part) END;

--> 5 slice bytes
SELECT quote_ident(c.column_name) AS "column", c.data_type AS kind FROM information_schema.columns c
WHERE quote_ident(c.table_schema) = (parse_ident('meridian.files'))[1] AND quote_ident(c.table_name) = (parse_ident('meridian.files'))[2];

--> =0
SELECT quote_ident(t.table_name) FROM information_schema.tables t WHERE quote_ident(t.table_schema) = 'nothing';

--> =1
SELECT 1;
