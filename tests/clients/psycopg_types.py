"""psycopg 3 against a real server: text and binary, parameters, COPY, server-side errors, cancel."""
import datetime, decimal, math, threading, time
import psycopg

UTC = datetime.timezone.utc
T0 = datetime.datetime(2024, 1, 1, tzinfo=UTC)

with psycopg.connect(autocommit=True) as connection:
    for name, kind in [("p.f64", "f64"), ("p.f32", "f32"), ("p.i64", "i64"), ("p.i32", "i32"), ("p.bool", "bool"), ("p.text", "text")]:
        connection.execute("INSERT INTO tags(name, kind) VALUES (%s, %s)", (name, kind))
    values = [1.5, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308]
    for i, value in enumerate(values):
        connection.execute("INSERT INTO samples(tag, time, value) VALUES (%s, %s, %s)", ("p.f64", T0 + datetime.timedelta(seconds=i), value))
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        rows = cursor.execute("SELECT tag, time, value, quality FROM samples WHERE tag = %s ORDER BY time", ("p.f64",)).fetchall()
        assert [row[1] for row in rows] == [T0 + datetime.timedelta(seconds=i) for i in range(len(values))], rows
        for row, value in zip(rows, values):
            got = row[2]
            assert (math.isnan(got) and math.isnan(value)) or (got == value and math.copysign(1, got) == math.copysign(1, value)), (got, value)
            assert row[3] == 192, row
        for extreme in (2**63 - 1, -(2**63), 2**53 + 1):
            connection.execute("INSERT INTO integers(tag, time, value) VALUES (%s, %s, %s)", ("p.i64", T0, extreme))
            got = cursor.execute("SELECT value FROM integers WHERE tag = 'p.i64' AND time = %s", (T0,)).fetchone()[0]
            assert got == extreme, (got, extreme)
    # An integer that a double can't hold is never rounded: it is refused, with a way out.
    try:
        print(connection.execute("SELECT value FROM samples WHERE tag = 'p.i64'").fetchall())
        raise SystemExit("2^53 + 1 came back through a double")
    except psycopg.Error as error:
        assert error.sqlstate == "22003" and "integers" in (error.diag.message_hint or "") + str(error), error
    # The point path, prepared: the same statement many times.
    for _ in range(20):
        row = connection.execute("SELECT value FROM latest WHERE tag = %s", ("p.f64",), prepare=True).fetchone()
        assert row == (values[-1],), row
        row = connection.execute("SELECT time, value FROM samples WHERE tag = %s AND time <= %s ORDER BY time DESC LIMIT 1", ("p.f64", T0 + datetime.timedelta(milliseconds=1500)), prepare=True).fetchone()
        assert row[0] == T0 + datetime.timedelta(seconds=1), row
    tags, times = ["p.f64", "p.text", "unknown"], [T0, T0, T0]
    rows = connection.execute("SELECT tag, value FROM values_at(%s::text[], %s::timestamptz[])", (tags, times)).fetchall()
    assert ("p.f64", 1.5) in rows, rows
    # Errors leave the connection usable, and carry their SQLSTATE.
    for statement, state in [("SELECT * FROM nothing", "42P01"), ("SELECT 'abc'::float8", "22P02")]:
        try:
            connection.execute(statement)
            raise SystemExit(f"{statement} was answered")
        except psycopg.Error as error:
            assert error.sqlstate == state, (statement, error.sqlstate, str(error))
    assert connection.execute("SELECT 1 + 1").fetchone() == (2,)
    # Cancel.
    began = threading.Event()
    def cancel():
        began.wait()
        while not finished.is_set():
            connection.cancel()
            finished.wait(0.05)
    finished = threading.Event()
    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        began.set()
        connection.execute("SELECT count(*) FROM generate_series(1, 100000000) a(x), generate_series(1, 100000) b(y) WHERE x * y = -1")
        raise SystemExit("the endless query ended")
    except psycopg.errors.QueryCanceled:
        pass
    finally:
        finished.set()
        thread.join()
    assert connection.execute("SELECT 1").fetchone() == (1,)

# Numerics wider than 38 digits, and arrays of several dimensions, in both forms.
with psycopg.connect(autocommit=True) as connection:
    D = decimal.Decimal
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        row = cursor.execute("SELECT sum(x) / 3, -10::numeric / 3, avg(x::numeric), sum(x) % 4 FROM (VALUES (9223372036854775807), (9223372036854775803)) v(x)").fetchone()
        assert row == (D("6148914691236517203.33333333333333333333"), D("-3.33333333333333333333"), D("9223372036854775805.00000000000000000000"), D("2")), row
        for sql, value in [
            ("ARRAY[ARRAY[1,2],ARRAY[3,4]]", [[1, 2], [3, 4]]),
            ("ARRAY[ARRAY[ARRAY['a\"b\\', 'NULL'], ARRAY['', NULL]]]", [[['a"b\\', "NULL"], ["", None]]]),
            ("ARRAY[ARRAY[timestamptz '2024-01-01 00:00Z'], ARRAY[NULL]]", [[T0], [None]]),
            ("ARRAY[ARRAY[1.50::numeric(5,2)], ARRAY[NULL]]", [[D("1.50")], [None]]),
            ("ARRAY[true, NULL, false]", [True, None, False]),
            ("ARRAY['ab'::bytea, NULL]", [b"ab", None]),
            ("ARRAY[]::int[]", []),
            ("ARRAY['x y', '{', ',', 'null']", ["x y", "{", ",", "null"]),
        ]:
            got = cursor.execute(f"SELECT {sql}").fetchone()[0]
            assert got == value, (sql, binary, got)
        for given, kind in [([[1, 2], [3, None]], "int[][]"), ([[["a", "b c"]], [[None, ""]]], "text[][][]"), ([[1.5]], "float8[][]")]:
            for how in ("%s", "%t", "%b"):
                got = cursor.execute(f"SELECT {how}::{kind}", (given,)).fetchone()[0]
                assert got == given, (given, kind, how, got)
    for sql, state in [("ARRAY[ARRAY[1], ARRAY[2, 3]]", "2202E"), ("'{{1},{2,3}}'::int[]", "22P02"), ("repeat('x', 1000000000)", "54000")]:
        try:
            connection.execute(f"SELECT {sql}")
            raise SystemExit(f"{sql} was answered")
        except psycopg.Error as error:
            assert error.sqlstate == state, (sql, error.sqlstate, str(error))
    for text in ("1e400", "-1e400", "1e-400"):
        try:
            connection.execute("SELECT %t::float8", (text,))
            raise SystemExit(f"{text} is a double")
        except psycopg.Error as error:
            assert error.sqlstate == "22003", (text, str(error))

# COPY: many rows, out again; and a failed one leaves nothing.
with psycopg.connect(autocommit=True) as connection, connection.cursor() as cursor:
    cursor.execute("INSERT INTO tags(name, kind) VALUES ('p.copy', 'f64')")
    with cursor.copy("COPY samples(tag, time, value) FROM STDIN") as copy:
        for i in range(20_000):
            copy.write_row(("p.copy", T0 + datetime.timedelta(seconds=i), i / 4))
    assert cursor.execute("SELECT count(*), sum(value) FROM samples WHERE tag = 'p.copy'").fetchone() == (20_000, sum(i / 4 for i in range(20_000)))
    rows = 0
    with cursor.copy("COPY (SELECT tag, time, value FROM samples WHERE tag = 'p.copy') TO STDOUT") as copy:
        for row in copy.rows():
            rows += 1
    assert rows == 20_000, rows
    try:
        with cursor.copy("COPY samples(tag, time, value) FROM STDIN") as copy:
            copy.write("p.copy\t2030-01-01 00:00:00+00\t1\np.copy\t2030-01-01 00:00:01+00\tabc\n")
        raise SystemExit("a bad row was taken")
    except psycopg.Error as error:
        assert error.sqlstate == "22P02" and "line 2" in (error.diag.context or "") + (error.diag.message_detail or "") + str(error), (error.sqlstate, str(error), error.diag.context)
    assert cursor.execute("SELECT count(*) FROM samples WHERE tag = 'p.copy' AND time >= '2030-01-01'").fetchone() == (0,)

# A server-side cursor in a transaction reads piece by piece; pipelines answer in order.
with psycopg.connect() as connection:
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int8", (i,)) for i in range(50)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50))
