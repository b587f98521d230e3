"""ADBC's Flight SQL driver for Python against a real server: queries, parameters, executemany, bulk ingestion, the catalogue,
session options, cancel, errors. Argument: the password of the user meridian, where one is asked for."""
import datetime, os, sys, threading, warnings
import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager as manager
import pyarrow

UTC = datetime.timezone.utc
T0 = datetime.datetime(2024, 1, 1, tzinfo=UTC)
URI = "grpc://" + os.environ["FLIGHT"]
SECRET = sys.argv[1] if len(sys.argv) > 1 else None
LOGIN = {"username": "meridian", "password": SECRET} if SECRET else {}

def connect(**more):
    return flight_sql.connect(URI, db_kwargs={**LOGIN, **more}, autocommit=True)

def refused(work, sqlstate, *kinds):
    try:
        work()
    except (manager.Error, *kinds) as error:
        assert sqlstate in str(error), (sqlstate, str(error))
        return error
    raise SystemExit(f"expected {sqlstate}, but it was done")

def second(n):
    return T0 + datetime.timedelta(seconds=n)

with connect() as connection:
    cursor = connection.cursor()
    # Statements without rows are done when execute returns, and counted.
    cursor.execute("INSERT INTO tags (name, kind) VALUES ('a.f64', 'f64'), ('a.i64', 'i64'), ('a.text', 'text'), ('a.f32', 'f32')")
    assert cursor.rowcount == 4, cursor.rowcount
    # Types.
    cursor.execute("SELECT 1::smallint AS a, 2::int AS b, 3::bigint AS c, 1.5::real AS d, 2.5 AS e, 'x' AS f, true AS g, NULL AS h, "
                   "'2024-01-01'::timestamptz AS i, '2024-01-01'::timestamp AS j, date '2024-01-02' AS k, 1.25::numeric(10,2) AS l, "
                   "ARRAY['p', 'q'] AS m, decode('0102', 'hex') AS n")
    table = cursor.fetch_arrow_table()
    types = {field.name: str(field.type) for field in table.schema}
    assert types["i"] == "timestamp[us, tz=UTC]" and types["j"].startswith("timestamp[") and "tz" not in types["j"], types
    assert not any("view" in name or "dictionary" in name for name in types.values()), types
    row = table.to_pylist()[0]
    assert (row["a"], row["b"], row["c"], row["f"], row["g"], row["h"], row["i"], row["m"], row["n"]) == (1, 2, 3, "x", True, None, T0, ["p", "q"], b"\x01\x02"), row
    # Parameters, one row and many.
    cursor.execute("INSERT INTO samples (tag, time, value) VALUES ($1, $2, $3)", ("a.f64", T0, 1.5))
    assert cursor.rowcount == 1, cursor.rowcount
    cursor.executemany("INSERT INTO samples (tag, time, value) VALUES ($1, $2, $3)", [("a.f64", second(n), n / 2) for n in range(1, 50)])
    assert cursor.rowcount == 49, cursor.rowcount
    cursor.execute("SELECT tag, time, value, quality FROM samples WHERE tag = $1 AND time >= $2 ORDER BY time LIMIT 3", ("a.f64", second(10)))
    assert cursor.fetchall() == [("a.f64", second(n), n / 2, 192) for n in (10, 11, 12)]
    cursor.execute("SELECT value FROM samples WHERE tag = $1 AND time = $2", ("a.f64", "2024-01-01 00:00:07+00"))
    assert cursor.fetchone() == (3.5,)
    cursor.execute("SELECT count(*) FROM samples WHERE tag = ANY ($1)", (["a.f64", "a.i64"],))
    assert cursor.fetchone() == (50,)
    cursor.execute("SELECT $1::text IS NULL", (None,))
    assert cursor.fetchone() == (True,)
    # An integer stays exact or is refused.
    for extreme in (2**63 - 1, -(2**63), 2**53 + 1):
        cursor.execute("INSERT INTO integers (tag, time, value) VALUES ($1, $2, $3)", ("a.i64", T0, extreme))
        cursor.execute("SELECT value FROM integers WHERE tag = 'a.i64' AND time = $1", (T0,))
        assert cursor.fetchone() == (extreme,)
    refused(lambda: cursor.execute("INSERT INTO samples (tag, time, value) VALUES ('a.f64', $1, $2)", (T0, 2**53 + 1)), "22003")
    # Of several rows of parameters those before the wrong one are kept, and the error says so.
    error = refused(lambda: cursor.executemany("INSERT INTO samples (tag, time, value) VALUES ($1, $2, $3)",
                                               [("a.f64", second(100), 1.0), ("a.nothing", second(101), 1.0)]), "23503")
    assert "parameters 2" in str(error) and "changed 1 rows" in str(error), error
    cursor.execute("SELECT value FROM samples WHERE tag = 'a.f64' AND time = $1", (second(100),))
    assert cursor.fetchone() == (1.0,)

    # A statement is described before it runs.
    assert connection.adbc_get_table_schema("samples", db_schema_filter="public").names == ["tag", "time", "value", "quality"]
    with connection.cursor() as prepared:
        told = prepared.adbc_prepare("SELECT tag FROM samples WHERE time > $1 AND value > $2")
        assert [str(field.type) for field in told] == ["timestamp[us, tz=UTC]", "double"], told
        assert prepared.adbc_execute_schema("SELECT time FROM samples").field(0).type == pyarrow.timestamp("us", "UTC")

    # Bulk ingestion: 100,000 samples of 1,000 tags, in batches of any size, read back whole.
    cursor.execute("INSERT INTO tags (name, kind) SELECT 'b.' || n, 'f64' FROM generate_series(0, 999) AS g(n)")
    assert cursor.rowcount == 1000, cursor.rowcount
    rows = 100_000
    whole = pyarrow.table({
        "tag": pyarrow.array([f"b.{n % 1000}" for n in range(rows)]),
        "time": pyarrow.array([second(n // 1000) for n in range(rows)], pyarrow.timestamp("us", "UTC")),
        "value": pyarrow.array([n * 0.25 for n in range(rows)]),
        "quality": pyarrow.array([0 if n % 7 == 0 else 192 for n in range(rows)], pyarrow.int16()),
    })
    taken = cursor.adbc_ingest("samples", whole.to_reader(max_chunksize=3_333), mode="append")
    assert taken == rows, taken
    cursor.execute("SELECT count(*), sum(value), count(*) FILTER (WHERE quality = 0) FROM samples WHERE tag LIKE 'b.%'")
    assert cursor.fetchone() == (rows, sum(n * 0.25 for n in range(rows)), len(range(0, rows, 7)))
    cursor.execute("SELECT tag, time, value, quality FROM samples WHERE tag LIKE 'b.%'")
    back = cursor.fetch_arrow_table()
    assert back.num_rows == rows and set(back.schema.types) == set(whole.schema.types), back.schema
    # What was read can be written again as it is.
    assert cursor.adbc_ingest("samples", back, mode="append", db_schema_name="public") == rows
    cursor.execute("SELECT count(*) FROM samples WHERE tag LIKE 'b.%'")
    assert cursor.fetchone() == (rows,)
    # Other tables and types.
    assert cursor.adbc_ingest("integers", pyarrow.table({"tag": ["a.i64"], "time": [second(1)], "value": [2**62 + 1]}), mode="append") == 1
    events = pyarrow.table({"tag": pyarrow.array(["a.text"] * 2).dictionary_encode(), "time": [second(1), second(2)],
                            "text": pyarrow.array(["one", "two 铅笔"], pyarrow.string_view())})
    assert cursor.adbc_ingest("events", events, mode="append") == 2
    tags = pyarrow.table({"name": ["c.1", "c.2"], "kind": ["f64", "text"], "unit": ["V", None], "labels": ['{"site": "x"}', None]})
    assert cursor.adbc_ingest("tags", tags, mode="append") == 2
    cursor.execute("SELECT text FROM events ORDER BY time")
    assert cursor.fetchall() == [("one",), ("two 铅笔",)]
    # Loads that are refused, and keep nothing.
    one = lambda **columns: pyarrow.table({"tag": ["a.f64"], "time": [second(5)], "value": [9.0], **columns})
    for table, data, mode, sqlstate in [
        ("samples", one(), "create", "0A000"), ("samples", one(), "replace", "0A000"), ("nothing", one(), "append", "42P01"),
        ("nothing", one(), "create_append", "42P01"), ("latest", one(), "append", "0A000"), ("samples", one(colour=["red"]), "append", "42703"),
        ("samples", one(tag=["a.nothing"]), "append", "23503"), ("samples", one(tag=["a.text"]), "append", "42804"),
        ("samples", one(value=["x"]), "append", "42804"), ("samples", one(quality=[300]), "append", "22023"),
        ("samples", one(value=pyarrow.array([None], pyarrow.float64())), "append", "null"), ("integers", one(), "append", "42804"),
        ("samples", one().drop(["time"]), "append", "23502"), ("tags", pyarrow.table({"name": ["a.f64"], "kind": ["f64"]}), "append", "23505"),
    ]:
        refused(lambda: cursor.adbc_ingest(table, data, mode=mode), sqlstate)
    cursor.execute("SELECT value FROM samples WHERE tag = 'a.f64' AND time = $1", (second(5),))
    assert cursor.fetchone() == (2.5,)
    late = pyarrow.table({"tag": ["b.1"] * 70_000 + ["b.nothing"], "time": [second(900)] * 70_001, "value": [1.0] * 70_001})
    error = refused(lambda: cursor.adbc_ingest("samples", late.to_reader(max_chunksize=10_000), mode="append"), "23503")
    assert "row 70000" in str(error), error

    # The catalogue.
    objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert [catalog["catalog_name"] for catalog in objects] == ["meridian"], objects
    schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in objects[0]["catalog_db_schemas"]}
    tables = {table["table_name"]: table for table in schemas["public"]}
    assert {"samples", "integers", "events", "latest", "tags"} <= set(tables), tables.keys()
    columns = {column["column_name"]: column for column in tables["samples"]["table_columns"]}
    assert columns["time"]["xdbc_type_name"] == "timestamp with time zone" and columns["tag"]["ordinal_position"] == 1, columns
    assert "meridian" in schemas, schemas.keys()
    some = connection.adbc_get_objects(depth="tables", db_schema_filter="pub%", table_name_filter="t_gs").read_all().to_pylist()
    named = [table["table_name"] for catalog in some for schema in catalog["catalog_db_schemas"] for table in schema["db_schema_tables"]]
    assert named == ["tags"], named
    assert sorted(connection.adbc_get_table_types()) == ["TABLE", "VIEW"]
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Meridian" and info["vendor_arrow_version"].startswith("59"), info

    # The session: settings hold from one statement to the next.
    cursor.execute("SET timezone = 'Asia/Shanghai'")
    cursor.execute("SELECT '2024-01-01 08:00'::timestamptz")
    assert cursor.fetchone()[0] == T0
    cursor.execute("SELECT $1::timestamptz", (datetime.datetime(2024, 1, 1, 8),))
    assert cursor.fetchone()[0] == T0
    assert connection.adbc_current_db_schema == "public" and connection.adbc_current_catalog == "meridian"
    low = connection.adbc_connection
    assert low.get_option("adbc.flight.sql.session.option.timezone") == "Asia/Shanghai"
    low.set_options(**{"adbc.flight.sql.session.option.timezone": "UTC", "adbc.flight.sql.session.option.read_consistency": "any"})
    cursor.execute("SHOW read_consistency")
    assert cursor.fetchone() == ("any",)
    for name, value in [("timezone", "Mars/X"), ("nothing", "1"), ("schema", "meridian"), ("a'; b", "1")]:
        refused(lambda: low.set_options(**{"adbc.flight.sql.session.option." + name: value}), "nvalid")
    # No transactions.
    refused(lambda: low.set_autocommit(False), "")
    refused(lambda: cursor.execute("BEGIN"), "0A000")
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)

    # Errors leave the connection usable. (A cursor that has loaded holds on to what was loaded: the driver's own way.)
    cursor.close()
    cursor = connection.cursor()
    for statement, sqlstate, kind in [
        ("SELECT * FROM nothing", "42P01", manager.ProgrammingError), ("SELEC 1", "42601", manager.ProgrammingError),
        ("SELECT 'abc'::float8", "22P02", manager.ProgrammingError), ("SELECT 1; SELECT 2", "42601", manager.ProgrammingError),
        ("COPY samples FROM STDIN", "0A000", manager.NotSupportedError), ("SELECT $1 + $2", "", manager.Error),
        ("INSERT INTO tags (name, kind) VALUES ('a.f64', 'f64')", "23505", manager.Error),
    ]:
        error = refused(lambda: (cursor.execute(statement), cursor.fetchall()), sqlstate)
        assert isinstance(error, kind), (statement, type(error))
        assert sqlstate == "" or (b"sqlstate", sqlstate.encode()) in error.details, error.details
    refused(lambda: cursor.execute("SELECT $1::int", (1, 2)), "08P01")
    cursor.execute("SELECT 1 / $1::int", (0,))
    refused(cursor.fetchall, "22012")

    # statement_timeout, cancel, and rows that nobody reads to their end.
    cursor.execute("SET statement_timeout = '200ms'")
    cursor.execute("SELECT pg_sleep(60)")
    refused(cursor.fetchall, "57014")
    cursor.execute("SET statement_timeout = 0")
    cursor.execute("SELECT pg_sleep(60)")
    other = connect()
    watcher = other.cursor()
    def running():
        watcher.execute("SELECT count(*) FROM meridian.queries WHERE query = 'SELECT pg_sleep(60)'")
        return watcher.fetchone()[0]
    while running() == 0:
        pass
    thread = threading.Timer(0.0, cursor.adbc_cancel)
    thread.start()
    refused(cursor.fetchall, "ancel")
    thread.join()
    while running() > 0:
        pass
    cursor.execute("SELECT a.n FROM generate_series(1, 100000) a(n), generate_series(1, 100000) b(n)")
    reader = cursor.fetch_record_batch()
    assert reader.read_next_batch().num_rows > 0
    reader.close()
    cursor.close()
    watcher.close()
    other.close()

# Another connection is another session. One that asks for transactions is told that there are none, and goes on without.
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    with flight_sql.connect(URI, db_kwargs=LOGIN) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW read_consistency")
        assert cursor.fetchone() == ("primary",)
        # What one connection asks, another of the same user may read, once.
        partitions, told_schema = cursor.adbc_execute_partitions("SELECT tag, value FROM samples WHERE tag = 'a.f64' ORDER BY time")
        with connect() as other, other.cursor() as reader:
            reader.adbc_read_partition(partitions[0])
            table = reader.fetch_arrow_table()
            assert len(partitions) == 1 and table.num_rows == 51 and table.schema.names == told_schema.names, (partitions, table)
            refused(lambda: (reader.adbc_read_partition(partitions[0]), reader.fetchall()), "08P01")
        cursor.executemany("INSERT INTO tags (name, kind, unit, low) VALUES ($1, $2, $3, $4)", [("e.1", "f64", None, 1), ("e.2", "f64", "V", None)])
        cursor.execute("SELECT name, unit, low FROM tags WHERE name LIKE 'e.%' ORDER BY 1")
        assert cursor.fetchall() == [("e.1", "", 1.0), ("e.2", "V", None)]
assert any("autocommit" in str(warning.message) for warning in told), told

if SECRET:
    for login in ({"username": "meridian", "password": "wrong"}, {"username": "nobody", "password": SECRET}):
        refused(lambda: flight_sql.connect(URI, db_kwargs=login, autocommit=True).cursor().execute("SELECT 1"), "28P01")
    refused(lambda: flight_sql.connect(URI, autocommit=True).cursor().execute("SELECT 1"), "28000")
