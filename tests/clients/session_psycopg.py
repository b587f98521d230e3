"""psycopg 3: named cursors, DEALLOCATE, binary COPY, transactions that it opens by itself, savepoints, a pool's reset."""
import datetime
import psycopg

UTC = datetime.timezone.utc
T0 = datetime.datetime(2026, 1, 1, tzinfo=UTC)
SECOND = datetime.timedelta(seconds=1)


def refused(state, run):
    try:
        run()
    except psycopg.Error as error:
        assert error.sqlstate == state, (error.sqlstate, error)
        return error
    raise SystemExit(f"nothing was refused, but {state} was due")


with psycopg.connect() as connection:
    # No autocommit: BEGIN is implicit, and `with` commits.
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO tags (name, kind) VALUES (%s, %s)", [("s.d", "f64"), ("s.i", "i64"), ("s.t", "text")])

with psycopg.connect() as connection:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO samples (tag, time, value) VALUES (%s, %s, %s)", [("s.d", T0 + n * SECOND, n / 2) for n in range(3000)])
        cursor.execute("INSERT INTO integers VALUES (%s, %s, %s)", ("s.i", T0, 2**62 + 1))
        with psycopg.connect(autocommit=True) as other:
            assert other.execute("SELECT count(*) FROM samples").fetchone() == (0,), "nothing is there before COMMIT"

with psycopg.connect(autocommit=True) as connection:
    assert connection.execute("SELECT count(*) FROM samples").fetchone() == (3001,)
    assert connection.execute("SELECT value FROM integers").fetchone() == (2**62 + 1,)

# Tags, their samples and a look at them in one transaction that psycopg opened.
with psycopg.connect() as connection:
    connection.execute("INSERT INTO tags (name, kind) VALUES ('s.one', 'f64'), ('s.d', 'f64') ON CONFLICT DO NOTHING")
    connection.execute("INSERT INTO samples VALUES ('s.one', %s, 1.5)", (T0,))
    with connection.cursor().copy("COPY samples (tag, time, value) FROM STDIN") as copy:
        copy.write_row(("s.one", T0 + SECOND, 2.5))
    assert connection.execute("SELECT sum(value) FROM samples WHERE tag = 's.one'").fetchone() == (4,)
    assert connection.execute("SELECT kind FROM tags WHERE name = 's.one'").fetchone() == ("f64",)
    with psycopg.connect(autocommit=True) as other:
        assert other.execute("SELECT count(*) FROM tags WHERE name = 's.one'").fetchone() == (0,)
with psycopg.connect(autocommit=True) as connection:
    assert connection.execute("SELECT avg(value), count(*) FROM samples WHERE tag = 's.one'").fetchone() == (2, 2)
    connection.execute("DELETE FROM tags WHERE name = 's.one'")

# Rolled back: by an exception, by rollback(), by a savepoint of a nested transaction.
class Enough(Exception):
    pass

with psycopg.connect(autocommit=True) as connection:
    try:
        with connection.transaction():
            connection.execute("INSERT INTO samples VALUES ('s.d', '2027-01-01', 1)")
            raise Enough
    except Enough:
        pass
    with connection.transaction():
        connection.execute("INSERT INTO samples VALUES ('s.d', '2027-01-01', 2)")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO samples VALUES ('s.d', '2027-01-02', 3)")
                connection.execute("SELECT nothing")
        except psycopg.errors.UndefinedColumn:
            pass
        connection.execute("INSERT INTO samples VALUES ('s.d', '2027-01-03', 4)")
        # What it wrote is seen, prepared or not, by a named cursor and by COPY.
        asked = "SELECT time, value FROM samples WHERE tag = %s AND time >= %s ORDER BY time"
        for prepare in (False, True):
            rows = connection.execute(asked, ("s.d", datetime.datetime(2027, 1, 1, tzinfo=UTC)), prepare=prepare).fetchall()
            assert [value for _, value in rows] == [2, 4], rows
        assert connection.execute("SELECT value FROM latest WHERE tag = 's.d'").fetchone() == (4,)
        with connection.cursor("own") as cursor:
            cursor.execute("SELECT count(*), max(value) FROM samples WHERE time >= '2027-01-01'")
            assert cursor.fetchone() == (2, 4)
        with connection.cursor().copy("COPY (SELECT value FROM samples WHERE time >= '2027-01-01' ORDER BY 1) TO STDOUT") as copy:
            assert b"".join(copy) == b"2\n4\n"
        try:
            with connection.transaction():
                connection.execute("SELECT * FROM values_at(ARRAY['s.d'], ARRAY[now()])")
        except psycopg.errors.FeatureNotSupported as error:
            assert "COMMIT" in error.diag.message_hint, error
        raise psycopg.Rollback()
    assert connection.execute("SELECT count(*) FROM samples WHERE time >= '2027-01-01'").fetchone() == (0,)
    with connection.transaction():
        connection.execute("DELETE FROM samples WHERE tag = 's.d' AND time >= %s", (T0 + 2990 * SECOND,))
    assert connection.execute("SELECT count(*) FROM samples WHERE tag = 's.d'").fetchone() == (2990,)
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.read_only = True
    connection.deferrable = True
    with connection.transaction():
        refused("25006", lambda: connection.execute("DELETE FROM samples"))
        raise psycopg.Rollback()

# Named cursors: text and binary, sizes, holding, scrolling, parameters.
with psycopg.connect() as connection:
    for binary in (False, True):
        with connection.cursor("named", binary=binary) as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT time, value FROM samples WHERE tag = %s AND value >= %s ORDER BY time", ("s.d", 5))
            assert [column.name for column in cursor.description] == ["time", "value"], cursor.description
            rows = cursor.fetchmany(7)
            assert rows == [(T0 + n * SECOND, n / 2) for n in range(10, 17)], rows
            assert cursor.fetchone() == (T0 + 17 * SECOND, 8.5)
            assert sum(1 for _ in cursor) == 2990 - 18
            assert cursor.fetchone() is None
    cursor = connection.cursor("scrolls", scrollable=True)
    cursor.execute("SELECT value FROM samples WHERE tag = 's.d' ORDER BY time")
    cursor.scroll(100)
    assert cursor.fetchone() == (50.0,)
    cursor.scroll(0, mode="absolute")
    assert cursor.fetchone() == (0.0,)
    cursor.close()
    cursor = connection.cursor("forward", scrollable=False)
    cursor.execute("SELECT value FROM samples WHERE tag = 's.d' ORDER BY time")
    cursor.fetchmany(10)
    refused("55000", lambda: cursor.scroll(-5))
    connection.rollback()
    cursor = connection.cursor("held", withhold=True)
    cursor.execute("SELECT value FROM samples WHERE tag = 's.d' ORDER BY time")
    cursor.fetchmany(3)
    connection.commit()
    assert cursor.fetchone() == (1.5,)
    assert connection.execute("SELECT name, is_holdable FROM pg_cursors").fetchall() == [("held", True)]
    cursor.close()
    connection.rollback()

# Prepared statements: psycopg forgets them by DEALLOCATE or Close.
with psycopg.connect(autocommit=True, prepare_threshold=0) as connection:
    connection.prepared_max = 3
    for n in range(10):
        assert connection.execute(f"SELECT %s::bigint + {n}", (1,)).fetchone() == (1 + n,)
    assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0] <= 4
    connection.execute("DEALLOCATE ALL")
    connection.execute("PREPARE p AS SELECT value FROM latest WHERE tag = $1")
    assert connection.execute("EXECUTE p('s.d')").fetchone() == (2989 / 2,)

# Binary COPY, both ways.
with psycopg.connect() as connection:
    rows = [("s.d", T0 + n * SECOND, -n / 4, 192 if n % 2 else 64) for n in range(500)]
    with connection.cursor() as cursor:
        with cursor.copy("COPY samples (tag, time, value, quality) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "timestamptz", "float8", "int2"])
            for row in rows:
                copy.write_row(row)
        with cursor.copy("COPY events (tag, time, text) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "timestamptz", "text"])
            copy.write_row(("s.t", T0, "温度"))
    connection.commit()
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT tag, time, value, quality FROM samples WHERE tag = 's.d' ORDER BY time LIMIT 500) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["text", "timestamptz", "float8", "int2"])
            assert list(copy.rows()) == rows
        with cursor.copy("COPY events TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["text", "timestamptz", "text", "int2"])
            assert list(copy.rows()) == [("s.t", T0, "温度", 192)]
        with cursor.copy("COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT BINARY)") as copy:
            assert list(copy.rows()) == []
        # Tags come back as they went.
        with cursor.copy("COPY tags TO STDOUT (FORMAT BINARY)") as copy:
            data = b"".join(copy)
    connection.rollback()
    connection.execute("DELETE FROM tags")
    connection.commit()
    with connection.cursor() as cursor:
        with cursor.copy("COPY tags FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(data)
    connection.commit()
    assert connection.execute("SELECT name, kind FROM tags ORDER BY name").fetchall() == [("s.d", "f64"), ("s.i", "i64"), ("s.t", "text")]
    connection.rollback()

    def short():
        with connection.cursor().copy("COPY samples (tag, time, value) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "timestamptz", "float4"])
            copy.write_row(("s.d", T0, 1.0))

    error = refused("22P04", short)
    assert "line 1" in error.diag.message_detail and "value" in error.diag.message_detail, error.diag.message_detail
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM samples").fetchone() == (0,)
    connection.rollback()
