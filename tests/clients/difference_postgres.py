"""PostgreSQL as the arbiter of a difference: the same data, and Meridian's own functions written in its words.

It is asked only by hand, with POSTGRES set to a connection string of a database that may be filled; the tests need
none. What it can't say (QUALIFY, binning by months) it refuses, and then a reader decides.
"""
import psycopg
from difference_answers import canonical

FUNCTIONS = """
DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE FUNCTION date_bin(interval, timestamptz) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS
  $$ SELECT CASE WHEN extract(month FROM $1) + extract(year FROM $1) = 0 THEN date_bin($1, $2, '1970-01-01 00:00:00+00')
       ELSE make_timestamptz(1970, 1, 1, 0, 0, 0, 'UTC') END $$;
CREATE FUNCTION time_bucket(interval, timestamptz) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$ SELECT date_bin($1, $2) $$;
CREATE FUNCTION median_of(double precision[]) RETURNS double precision IMMUTABLE LANGUAGE sql AS
  $$ SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest($1) AS x $$;
CREATE AGGREGATE median(double precision) (SFUNC = array_append, STYPE = double precision[], FINALFUNC = median_of);
CREATE TABLE samples(tag text, time timestamptz, value double precision, quality smallint);
CREATE TABLE integers(tag text, time timestamptz, value bigint, quality smallint);
CREATE TABLE events(tag text, time timestamptz, text text, quality smallint);
CREATE TABLE tags(name text, kind text, unit text, low double precision, site text);
CREATE VIEW latest AS SELECT DISTINCT ON (tag) * FROM (SELECT tag, time, value, NULL AS text, quality FROM samples
  UNION ALL SELECT tag, time, NULL, text, quality FROM events) AS s ORDER BY tag, time DESC;
CREATE FUNCTION label(text, text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT min(site) FROM tags WHERE name = $1 AND $2 = 'site' $$;
"""

# first and last keep a value that is NULL, and skip times that are.
EDGE = """
CREATE TYPE {name}_{type} AS (at timestamptz, what {sql});
CREATE FUNCTION {name}_step(s {name}_{type}, what {sql}, at timestamptz) RETURNS {name}_{type} IMMUTABLE LANGUAGE sql AS
  $$ SELECT CASE WHEN at IS NULL OR (s).at {op} at THEN s ELSE ROW(at, what)::{name}_{type} END $$;
CREATE FUNCTION {name}_end(s {name}_{type}) RETURNS {sql} IMMUTABLE LANGUAGE sql AS $$ SELECT (s).what $$;
CREATE AGGREGATE {name}({sql}, timestamptz) (SFUNC = {name}_step, STYPE = {name}_{type}, FINALFUNC = {name}_end);
"""


class Postgres:
    def __init__(self, where, data, zone):
        self.connection = psycopg.connect(where, autocommit=True)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET client_min_messages = warning; SET statement_timeout = '20s'")
        self.cursor.execute(FUNCTIONS)
        for name, op in (("first", "<="), ("last", ">=")):
            for type, sql in (("num", "double precision"), ("int", "bigint"), ("small", "smallint"), ("text", "text")):
                self.cursor.execute(EDGE.format(name=name, op=op, type=type, sql=sql))
        for table, sql in data.duck.execute("SELECT table_name, 'SELECT * FROM ' || table_name FROM duckdb_tables()").fetchall():
            rows = data.duck.execute(sql).fetchall()
            with self.cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        self.cursor.execute("ANALYZE")
        self.cursor.execute(f"SET TimeZone = '{zone}'")

    def ask(self, sql):
        """The answer, or the error."""
        try:
            self.cursor.execute(sql)
            return canonical(self.cursor.fetchall()), None
        except psycopg.Error as error:
            return None, f"{error.sqlstate}: {str(error).splitlines()[0]}"

    def close(self):
        self.connection.close()
