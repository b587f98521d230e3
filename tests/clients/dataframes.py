"""pandas and polars against a real server: read_sql, to_sql, read_database, write_database."""
import datetime, os
import pandas, polars, sqlalchemy

T0 = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
engine = sqlalchemy.create_engine("postgresql+psycopg2://")

with engine.begin() as connection:
    connection.execute(sqlalchemy.text("INSERT INTO tags(name, kind) VALUES ('df.u', 'f64'), ('df.v', 'f64')"))

# pandas: append, read back with types, by query and by table.
times = pandas.date_range(T0, periods=1000, freq="s")
frame = pandas.DataFrame({"tag": ["df.u"] * 1000, "time": times, "value": [i / 4 for i in range(1000)]})
assert frame.to_sql("samples", engine, if_exists="append", index=False, chunksize=300) == 1000
assert frame.assign(tag="df.v").to_sql("samples", engine, if_exists="append", index=False, method="multi", chunksize=500) == 1000
back = pandas.read_sql("SELECT tag, time, value FROM samples WHERE tag = 'df.u' ORDER BY time", engine)
assert back["value"].tolist() == frame["value"].tolist() and (back["time"] == frame["time"]).all(), back.dtypes
assert str(back["time"].dt.tz) == "UTC"
wide = pandas.read_sql("SELECT time, tag, value FROM samples WHERE tag LIKE 'df.%%'", engine).pivot(index="time", columns="tag", values="value")
assert wide.shape == (1000, 2)
table = pandas.read_sql_table("samples", engine, columns=["tag", "value"])
assert len(table) == 2000 and list(table.columns) == ["tag", "value"]
with engine.connect() as connection:
    parts = list(pandas.read_sql(sqlalchemy.text("SELECT value FROM samples WHERE tag = :tag"), connection, params={"tag": "df.u"}, chunksize=256))
    assert sum(len(part) for part in parts) == 1000
try:
    frame.to_sql("new_table", engine)
    raise SystemExit("a table was made")
except sqlalchemy.exc.DBAPIError as error:
    assert error.orig.pgcode == "0A000", error

# polars, over the same engine.
got = polars.read_database("SELECT tag, avg(value) AS mean, count(*) AS n, max(time) AS last FROM samples GROUP BY tag ORDER BY tag", engine)
assert got["n"].to_list() == [1000, 1000] and got["mean"][0] == sum(i / 4 for i in range(1000)) / 1000, got
more = polars.DataFrame({"tag": ["df.u"], "time": [T0 + datetime.timedelta(days=1)], "value": [1.5]})
assert more.write_database("samples", engine, if_table_exists="append") == 1
assert polars.read_database("SELECT count(*) AS n FROM samples WHERE tag = 'df.u'", engine)["n"][0] == 1001
# connectorx (read_database_uri) reads rows where it is asked to: its default is COPY in binary.
import connectorx
uri = "postgresql://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
got = connectorx.read_sql(uri, "SELECT tag, time, value, quality FROM samples WHERE tag = 'df.v' ORDER BY time", return_type="pandas", protocol="cursor")
assert len(got) == 1000 and got["value"].tolist() == frame["value"].tolist(), got.dtypes
