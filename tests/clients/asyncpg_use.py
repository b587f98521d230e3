"""asyncpg against a real server: its types, statement cache, batches, cursors and pools, all in the binary format."""
import asyncio, datetime, decimal, uuid
import asyncpg

UTC = datetime.timezone.utc
T0 = datetime.datetime(2024, 1, 1, tzinfo=UTC)


async def types(connection):
    await connection.execute("INSERT INTO tags(name, kind, unit, labels) VALUES ('as.u', 'f64', 'kV', '{\"site\": \"north\"}'), ('as.i', 'i64', '', '{}'), ('as.t', 'text', '', '{}')")
    # A batch: one statement, many rows.
    await connection.executemany("INSERT INTO samples(tag, time, value) VALUES ($1, $2, $3)", [("as.u", T0 + datetime.timedelta(minutes=i), i / 2) for i in range(100)])
    assert await connection.fetchval("SELECT count(*) FROM samples WHERE tag = $1", "as.u") == 100
    row = await connection.fetchrow("SELECT tag, time, value, quality FROM samples WHERE tag = $1 AND time >= $2 ORDER BY time", "as.u", T0 + datetime.timedelta(minutes=3))
    assert tuple(row) == ("as.u", T0 + datetime.timedelta(minutes=3), 1.5, 192) and list(row.keys()) == ["tag", "time", "value", "quality"], row
    assert row["time"].tzinfo is not None
    # Arrays, whose type nobody says.
    assert await connection.fetchval("SELECT count(*) FROM samples WHERE tag = ANY($1)", ["as.u", "as.i"]) == 100
    assert await connection.execute("INSERT INTO samples(tag, time, value) SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[])", ["as.u", "as.i"], [T0 - datetime.timedelta(1)] * 2, [7.0, 8.0]) == "INSERT 0 2"
    values = [
        ("bool", True), ("int2", -7), ("int4", 2**31 - 1), ("int8", -(2**63)), ("float8", 0.1), ("text", "温度"), ("bytea", b"\0\xff"),
        ("date", datetime.date(1850, 2, 3)), ("timestamp", datetime.datetime(2024, 1, 2, 3, 4, 5, 6)), ("timestamptz", T0),
        ("interval", datetime.timedelta(days=3, hours=4, microseconds=5)), ("text[]", ["a", None, 'q"'] ), ("float8[]", [1.5, 2.5]), ("timestamptz[]", [T0]),
        ("time", datetime.time(1, 2, 3)),
    ]
    for name, value in values:
        got = await connection.fetchval(f"SELECT $1::{name}", value)
        assert got == value, (name, value, got)
        assert await connection.fetchval(f"SELECT $1::{name}", None) is None, name
    assert await connection.fetchval("SELECT 1.25::numeric(10, 2)") == decimal.Decimal("1.25")
    assert (await connection.fetchrow("SELECT labels->>'site' AS site FROM tags WHERE name = $1", "as.u"))["site"] == "north"
    latest = await connection.fetchrow("SELECT value, age FROM latest WHERE tag = $1", "as.u")
    assert latest["value"] == 49.5 and latest["age"] > datetime.timedelta(days=300), latest
    got = await connection.fetch("SELECT tag, value FROM values_at($1, $2)", ["as.u", "unknown"], [T0, T0])
    assert [tuple(row) for row in got] == [("as.u", 0.0), ("unknown", None)], got


async def statements(connection):
    prepared = await connection.prepare("SELECT tag, time, value, quality FROM samples WHERE tag = $1 ORDER BY time")
    assert [kind.name for kind in prepared.get_parameters()] == ["text"]
    assert [(column.name, column.type.name) for column in prepared.get_attributes()] == [("tag", "text"), ("time", "timestamptz"), ("value", "float8"), ("quality", "int2")]
    assert len(await prepared.fetch("as.u")) == 101 and prepared.get_statusmsg() == "SELECT 101"
    # A portal, read in portions.
    async with connection.transaction(readonly=True):
        rows = [row["i"] async for row in connection.cursor("SELECT i FROM generate_series(1, 500) AS t(i)", prefetch=7)]
    assert rows == list(range(1, 501))
    async with connection.transaction(isolation="repeatable_read"):
        assert await connection.fetchval("SELECT 1") == 1
    # Codecs are made by the type's row in the catalogue; asyncpg knows its sort by the catalogue's "char".
    for name in ("json", "jsonb", "text"):
        await connection.set_type_codec(name, encoder=str, decoder=str, schema="pg_catalog", format="text")
    await connection.reset_type_codec("text", schema="pg_catalog")
    rows = await connection.fetch("SELECT oid, typname, typtype FROM pg_type WHERE typname = ANY($1) ORDER BY oid", ["bool", "float8", "timestamptz"])
    assert [tuple(row) for row in rows] == [(16, "bool", b"b"), (701, "float8", b"b"), (1184, "timestamptz", b"b")], rows
    out = await connection.copy_from_query("SELECT tag, value FROM samples WHERE tag = $1 AND time = $2", "as.u", T0, output=open("/dev/null", "wb"), format="csv")
    assert out == "COPY 1", out
    try:
        await connection.fetch("SELECT nothing FROM samples WHERE tag = $1", "as.u")
        raise SystemExit("a column that is not there was found")
    except asyncpg.UndefinedColumnError as error:
        assert error.position == "8" and "nothing" in error.message, error.as_dict()
    try:
        await connection.execute("INSERT INTO samples(tag, time, value) VALUES ('as.none', now(), 1)")
        raise SystemExit("a tag that is not there was written to")
    except asyncpg.ForeignKeyViolationError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    await connection.reload_schema_state()
    await connection.reset()


async def main():
    connection = await asyncpg.connect()
    settings = connection.get_settings()
    assert settings.client_encoding == "UTF8" and settings.TimeZone and connection.get_server_version().major >= 16
    await types(connection)
    await statements(connection)
    await connection.close()
    async with asyncpg.create_pool(min_size=2, max_size=8) as pool:
        got = await asyncio.gather(*(pool.fetchval("SELECT $1::int8 * 2", i) for i in range(100)))
        assert got == [2 * i for i in range(100)]
        try:
            await pool.fetchval("SELECT pg_sleep(60)", timeout=0.3)
            raise SystemExit("a timeout passed unseen")
        except asyncio.TimeoutError:
            pass
        assert await pool.fetchval("SELECT 1") == 1


asyncio.run(main())
