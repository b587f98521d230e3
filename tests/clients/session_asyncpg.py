"""asyncpg: cursors by portals, copy_records_to_table, transactions and savepoints, a pool that resets what it takes back."""
import asyncio, datetime
import asyncpg

UTC = datetime.timezone.utc
T0 = datetime.datetime(2026, 1, 1, tzinfo=UTC)
SECOND = datetime.timedelta(seconds=1)


async def main():
    connection = await asyncpg.connect()
    await connection.execute("INSERT INTO tags (name, kind) VALUES ('a.d', 'f64'), ('a.i', 'i64'), ('a.t', 'text')")
    rows = [("a.d", T0 + n * SECOND, n / 8, 192) for n in range(5000)]
    assert await connection.copy_records_to_table("samples", records=rows) == "COPY 5000"
    assert await connection.copy_records_to_table("integers", records=[("a.i", T0, 2**62 + 1)], columns=["tag", "time", "value"]) == "COPY 1"
    assert await connection.copy_records_to_table("events", records=[("a.t", T0, "温度", 64)], schema_name="public") == "COPY 1"
    got = await connection.fetch("SELECT tag, time, value, quality FROM samples WHERE tag = $1 ORDER BY time", "a.d")
    assert [tuple(row) for row in got] == rows
    assert await connection.fetchval("SELECT value FROM integers") == 2**62 + 1

    # Cursors: portals with row limits, inside a transaction.
    async with connection.transaction():
        seen = []
        async for row in connection.cursor("SELECT value FROM samples WHERE tag = $1 ORDER BY time", "a.d", prefetch=77):
            seen.append(row[0])
        assert seen == [row[2] for row in rows]
        cursor = await connection.cursor("SELECT value FROM samples WHERE tag = $1 ORDER BY time", "a.d")
        assert [row[0] for row in await cursor.fetch(3)] == [0.0, 0.125, 0.25]
        assert (await cursor.fetch(10))[-1][0] == 12 / 8
        assert (await cursor.fetchrow())[0] == 13 / 8
        # Rows are passed over, from the first on and from within what has come.
        assert await cursor.forward(10) == 10
        assert (await cursor.fetchrow())[0] == 24 / 8
        fresh = await connection.cursor("SELECT value FROM samples WHERE tag = $1 ORDER BY time", "a.d")
        assert await fresh.forward(5) == 5
        assert (await fresh.fetchrow())[0] == 5 / 8
        assert await fresh.forward(1_000_000) == len(rows) - 6
        assert await fresh.fetchrow() is None
    try:
        await connection.cursor("SELECT 1")
        raise SystemExit("a cursor outside a transaction")
    except asyncpg.NoActiveSQLTransactionError:
        pass

    # executemany is one implicit transaction of asyncpg's; an explicit one is a single commit; savepoints nest.
    await connection.executemany("INSERT INTO samples VALUES ($1, $2, $3)", [("a.d", T0 - n * SECOND, float(n)) for n in range(1, 101)])
    assert await connection.fetchval("SELECT count(*) FROM samples WHERE time < $1", T0) == 100
    other = await asyncpg.connect()
    count = "SELECT count(*) FROM samples WHERE time >= '2030-01-01'"
    async with connection.transaction():
        await connection.executemany("INSERT INTO samples VALUES ('a.d', $1, 1)", [(T0.replace(year=2030) + n * SECOND,) for n in range(10)])
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO samples VALUES ('a.d', '2031-01-01', 1)")
                await connection.execute("INSERT INTO samples VALUES ('nobody', '2031-01-01', 1)")
        except asyncpg.ForeignKeyViolationError:
            pass
        await connection.execute("INSERT INTO samples VALUES ('a.d', '2032-01-01', 1)")
        assert await other.fetchval(count) == 0
    assert await other.fetchval(count) == 11
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM samples WHERE time >= '2030-01-01'")
            raise KeyError
    except KeyError:
        pass
    assert await other.fetchval(count) == 11
    await other.close()

    # A prepared statement that the server was told to forget is one that asyncpg prepares anew.
    statement = await connection.prepare("SELECT value FROM latest WHERE tag = $1")
    assert await statement.fetchval("a.d") == 1.0
    assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT value FROM latest%'") == 1
    await connection.close()

    # A pool takes a connection back with RESET ALL and its like, also out of a transaction that is left open.
    pool = await asyncpg.create_pool(min_size=1, max_size=1)
    async with pool.acquire() as pooled:
        await pooled.execute("SET timezone = 'Asia/Shanghai'")
        await pooled.execute("BEGIN")
        await pooled.execute("DECLARE c CURSOR WITH HOLD FOR SELECT 1")
    async with pool.acquire() as pooled:
        assert await pooled.fetchval("SHOW timezone") == "UTC"
        assert await pooled.fetchval("SELECT count(*) FROM pg_cursors") == 0
    await pool.close()


asyncio.run(main())
