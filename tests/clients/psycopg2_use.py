"""psycopg2 against a real server: client-side parameters, COPY, execute_values, notices, cancel, two cursors, errors."""
import datetime, io
import psycopg2, psycopg2.errors, psycopg2.extensions, psycopg2.extras

T0 = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)

connection = psycopg2.connect("")
assert connection.server_version == 160000 and connection.encoding == "UTF8"
assert connection.get_parameter_status("standard_conforming_strings") == "on"
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("INSERT INTO tags(name, kind, description) VALUES (%s, %s, %s), ('p2.t', 'text', '')", ("p2.u", "f64", "it's a \\ test"))
cursor.execute("SELECT description FROM tags WHERE name = %s", ("p2.u",))
assert cursor.fetchone() == ("it's a \\ test",)
psycopg2.extras.execute_values(cursor, "INSERT INTO samples(tag, time, value) VALUES %s", [("p2.u", T0 + datetime.timedelta(seconds=i), float(i)) for i in range(1000)], page_size=200)
psycopg2.extras.execute_batch(cursor, "INSERT INTO samples(tag, time, value) VALUES (%s, %s, %s)", [("p2.u", T0 + datetime.timedelta(days=i), 1.0) for i in range(1, 21)])
cursor.executemany("INSERT INTO events(tag, time, text) VALUES (%s, %s, %s)", [("p2.t", T0 + datetime.timedelta(seconds=i), f"event {i}\n\t'") for i in range(5)])
cursor.execute("SELECT count(*), min(time), max(value) FROM samples WHERE tag = ANY(%s)", (["p2.u", "none"],))
assert cursor.fetchone() == (1020, T0, 999.0)
assert [column.name for column in cursor.description] == ["count", "min", "max"] and [column.type_code for column in cursor.description] == [20, 1184, 701]
cursor.execute("SELECT tag, time FROM samples WHERE tag IN %s AND time >= %s ORDER BY time DESC LIMIT 2", (("p2.u", "x"), T0))
assert cursor.fetchall() == [("p2.u", T0 + datetime.timedelta(days=20)), ("p2.u", T0 + datetime.timedelta(days=19))]
cursor.copy_expert("COPY samples(tag, time, value) FROM STDIN WITH (FORMAT csv)", io.StringIO("p2.u,2030-01-01T00:00:00Z,1\np2.u,2030-01-02T00:00:00Z,2\n"))
assert cursor.rowcount == 2
out = io.StringIO()
cursor.copy_expert("COPY (SELECT tag, value FROM samples WHERE time >= '2030-01-01' ORDER BY time) TO STDOUT", out)
assert out.getvalue() == "p2.u\t1\np2.u\t2\n", out.getvalue()
cursor.copy_from(io.StringIO("p2.u\t2031-01-01 00:00:00+00\t3\n"), "samples", columns=("tag", "time", "value"))
with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as rows:
    rows.execute("SELECT name, kind FROM tags WHERE name LIKE 'p2.%' ORDER BY name")
    assert [dict(row) for row in rows] == [{"name": "p2.t", "kind": "text"}, {"name": "p2.u", "kind": "f64"}]
try:
    cursor.execute("SELECT 1;\nSELECT *\nFROM nothing")
    raise SystemExit("a table that is not there was read")
except psycopg2.errors.UndefinedTable as error:
    assert error.pgcode == "42P01" and error.diag.statement_position == "25" and error.diag.severity == "ERROR", (error.diag.statement_position, error)

# Not in autocommit: a block that fails is ended by ROLLBACK, and the connection goes on.
connection.autocommit = False
connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
cursor.execute("SELECT 1")
assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
try:
    cursor.execute("INSERT INTO samples(tag, time, value) VALUES ('p2.u', now(), 1)")
    raise SystemExit("a read-only transaction wrote")
except psycopg2.errors.ReadOnlySqlTransaction:
    assert connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INERROR
connection.rollback()
cursor.execute("SELECT 2")
assert cursor.fetchone() == (2,)
connection.commit()
connection.close()
