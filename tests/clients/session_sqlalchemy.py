"""SQLAlchemy over psycopg: stream_results, transactions it opens by itself, nested ones, its pool's reset, pandas-like inserts."""
import datetime
import sqlalchemy
from sqlalchemy import text

UTC = datetime.timezone.utc
T0 = datetime.datetime(2026, 1, 1, tzinfo=UTC)
engine = sqlalchemy.create_engine("postgresql+psycopg://", pool_size=1, max_overflow=0)

with engine.begin() as connection:
    connection.execute(text("INSERT INTO tags (name) VALUES ('q')"))
rows = [{"at": T0 + datetime.timedelta(seconds=n), "value": float(n)} for n in range(2500)]
with engine.begin() as connection:
    connection.execute(text("INSERT INTO samples (tag, time, value) VALUES ('q', :at, :value)"), rows)
with engine.connect() as connection:
    connection.execute(text("INSERT INTO samples (tag, time, value) VALUES ('q', now(), 1)"))
    # Left without a commit: the pool rolls back.
with engine.connect() as connection:
    streamed = connection.execution_options(stream_results=True, yield_per=100).execute(text("SELECT time, value FROM samples ORDER BY time"))
    got = [row.value for part in streamed.partitions() for row in part]
    assert got == [row["value"] for row in rows], len(got)
with engine.begin() as connection:
    connection.execute(text("INSERT INTO samples (tag, time, value) VALUES ('q', '2027-01-01', 1)"))
    nested = connection.begin_nested()
    connection.execute(text("INSERT INTO samples (tag, time, value) VALUES ('q', '2027-01-02', 1)"))
    nested.rollback()
with engine.connect() as connection:
    assert connection.execute(text("SELECT count(*) FROM samples WHERE time >= '2027-01-01'")).scalar() == 1
    assert connection.get_isolation_level() == "READ COMMITTED"
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    connection.execute(text("DELETE FROM samples WHERE tag = 'q'"))
    assert connection.execute(text("SELECT count(*) FROM samples")).scalar() == 0
engine.dispose()
