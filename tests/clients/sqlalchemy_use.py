"""SQLAlchemy 2 against a real server, by psycopg, psycopg2 and asyncpg: what it asks at connecting, inspection, ORM and Core."""
import asyncio, datetime
import sqlalchemy as sa
from sqlalchemy import MetaData, Table, func, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

UTC = datetime.timezone.utc
T0 = datetime.datetime(2024, 1, 1, tzinfo=UTC)


class Base(DeclarativeBase):
    pass


class Sample(Base):
    __tablename__ = "samples"
    tag: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    time: Mapped[datetime.datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
    value: Mapped[float]
    quality: Mapped[int] = mapped_column(sa.SmallInteger, server_default=text("192"))


class Tag(Base):
    __tablename__ = "tags"
    name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text)
    unit: Mapped[str] = mapped_column(sa.Text)


def check_inspection(about):
    """`about` is the inspector of a connection."""
    assert about.default_schema_name == "public"
    schemas = about.get_schema_names()
    assert {"public", "meridian", "information_schema"} <= set(schemas), schemas
    assert sorted(about.get_table_names()) == ["events", "integers", "samples", "tags"], about.get_table_names()
    assert about.get_view_names() == ["latest"], about.get_view_names()
    assert {"slices", "files", "settings"} <= set(about.get_view_names(schema="meridian"))
    columns = {column["name"]: column for column in about.get_columns("samples")}
    assert list(columns) == ["tag", "time", "value", "quality"], columns
    assert isinstance(columns["tag"]["type"], sa.Text) and isinstance(columns["value"]["type"], sa.types.Double), columns
    assert columns["time"]["type"].timezone and isinstance(columns["quality"]["type"], sa.SmallInteger), columns
    assert not any(column["nullable"] for column in columns.values()), columns
    assert columns["time"]["default"] == "now()" and columns["quality"]["default"] == "192" and columns["value"]["default"] is None, columns
    assert "OPC" in columns["quality"]["comment"], columns
    states = next(column for column in about.get_columns("tags") if column["name"] == "states")
    assert isinstance(states["type"], sa.types.ARRAY) and states["nullable"], states
    key = about.get_pk_constraint("samples")
    assert key["constrained_columns"] == ["tag", "time"] and key["name"] == "samples_pkey", key
    assert about.get_pk_constraint("tags")["constrained_columns"] == ["name"]
    assert about.get_pk_constraint("latest")["constrained_columns"] == []
    [foreign] = about.get_foreign_keys("samples")
    assert (foreign["constrained_columns"], foreign["referred_table"], foreign["referred_columns"]) == (["tag"], "tags", ["name"]), foreign
    assert foreign["options"] == {"onupdate": "CASCADE", "ondelete": "CASCADE"}, foreign
    assert about.get_foreign_keys("tags") == []
    assert about.get_indexes("samples") == [], about.get_indexes("samples")  # a primary key's index is told as the key
    assert about.get_unique_constraints("samples") == [] and about.get_check_constraints("samples") == []
    assert "samples" in about.get_table_comment("samples")["text"]
    assert about.has_table("samples") and about.has_table("latest") and not about.has_table("nothing")
    assert about.get_enums() == [] and about.get_sequence_names() == [] and about.get_materialized_view_names() == []


def check_reflection(connection):
    meta = MetaData()
    meta.reflect(connection, views=True)
    assert set(meta.tables) == {"samples", "integers", "events", "latest", "tags"}, list(meta.tables)
    samples = meta.tables["samples"]
    assert [column.name for column in samples.primary_key] == ["tag", "time"]
    assert {key.target_fullname for key in samples.foreign_keys} == {"tags.name"}
    reflected = Table("tags", MetaData(), autoload_with=connection)
    assert reflected.c.name.primary_key and not reflected.c.kind.nullable


def check_sync(url, prefix, **words):
    engine = sa.create_engine(url, **words)
    with engine.connect() as connection:
        check_inspection(inspect(connection))
        check_reflection(connection)
    # Tables that are there are not made again.
    Base.metadata.create_all(engine)
    tag = f"{prefix}.u"
    with Session(engine) as session:
        session.add(Tag(name=tag, kind="f64", unit="kV"))
        session.commit()
        session.add_all([Sample(tag=tag, time=T0 + datetime.timedelta(hours=h), value=h / 2, quality=192) for h in range(48)])
        session.commit()
        assert session.get(Sample, (tag, T0 + datetime.timedelta(hours=3))).value == 1.5
        found = session.scalars(select(Sample).where(Sample.tag == tag, Sample.time >= T0 + datetime.timedelta(hours=40)).order_by(Sample.time)).all()
        assert [sample.value for sample in found] == [h / 2 for h in range(40, 48)], found
        joined = session.execute(select(Tag.unit, func.count()).join(Sample, Sample.tag == Tag.name).where(Tag.name == tag).group_by(Tag.unit)).all()
        assert [tuple(row) for row in joined] == [("kV", 48)], joined
        session.execute(sa.delete(Sample).where(Sample.tag == tag, Sample.time >= T0 + datetime.timedelta(hours=47)))
        session.commit()
    # One unit of work: a tag, its samples, and what it reads back of them before it commits.
    with Session(engine) as session:
        session.add(Tag(name=f"{prefix}.own", kind="f64", unit="A"))
        session.flush()
        session.add_all([Sample(tag=f"{prefix}.own", time=T0 + datetime.timedelta(hours=h), value=h, quality=192) for h in range(5)])
        # The query flushes first.
        assert session.scalar(select(func.sum(Sample.value)).where(Sample.tag == f"{prefix}.own")) == 10
        mine = session.execute(select(Tag.unit, func.max(Sample.value)).join(Sample, Sample.tag == Tag.name).where(Tag.name == f"{prefix}.own").group_by(Tag.unit)).all()
        assert [tuple(row) for row in mine] == [("A", 4)], mine
        session.commit()
        # Objects that are there and one that is new are changed in one unit of work, each by a statement of its own.
        for name in (tag, f"{prefix}.own"):
            session.get(Tag, name).unit = f"unit of {name}"
        session.add(Tag(name=f"{prefix}.later", kind="f64", unit="?"))
        session.flush()
        session.get(Tag, f"{prefix}.later").unit = "!"
        session.add(Sample(tag=f"{prefix}.later", time=T0, value=0, quality=192))
        session.commit()
        units = session.scalars(select(Tag.unit).where(Tag.name.in_([tag, f"{prefix}.own", f"{prefix}.later"])).order_by(Tag.name)).all()
        assert sorted(units) == sorted([f"unit of {tag}", f"unit of {prefix}.own", "!"]), units
        assert session.scalar(select(Sample.value).where(Sample.tag == f"{prefix}.later")) == 0
        assert session.get(Sample, (f"{prefix}.own", T0 + datetime.timedelta(hours=4))).value == 4
    with engine.begin() as connection:
        connection.execute(sa.insert(Sample), [{"tag": tag, "time": T0 + datetime.timedelta(days=d), "value": 1.0, "quality": 192} for d in range(10, 60)])
    # What a block writes is read by the next one.
    with engine.begin() as connection:
        day = func.date_trunc("day", Sample.time)
        days = connection.execute(select(day, func.avg(Sample.value), func.count()).where(Sample.tag == tag).group_by(day).order_by(day)).all()
        assert len(days) == 52 and days[0][0] == T0 and days[0][2] == 24, days[:3]
        assert connection.execute(select(func.count()).where(Sample.tag.in_([tag, "other"]))).scalar_one() == 97
        assert connection.execute(select(Sample.value).where(Sample.tag.startswith(prefix, autoescape=True)).limit(1)).scalar_one() == 0.0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.execute(text("SELECT :a + 1"), {"a": 41}).scalar_one() == 42
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT nothing FROM samples"))
        raise SystemExit("a column that is not there was found")
    except sa.exc.ProgrammingError as error:
        assert "nothing" in str(error.orig)
    engine.dispose()


async def check_async():
    engine = create_async_engine("postgresql+asyncpg://")
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: check_inspection(inspect(sync)))
        await connection.run_sync(check_reflection)
    async with engine.begin() as connection:
        await connection.execute(sa.insert(Tag), [{"name": "sa3.u", "kind": "f64", "unit": ""}])
    async with engine.begin() as connection:
        rows = [{"tag": "sa3.u", "time": T0 + datetime.timedelta(seconds=s), "value": float(s), "quality": 192} for s in range(300)]
        await connection.execute(sa.insert(Sample), rows)
    async with engine.connect() as connection:
        got = (await connection.execute(select(func.count(), func.max(Sample.value)).where(Sample.tag == "sa3.u"))).one()
        assert tuple(got) == (300, 299.0), got
    await engine.dispose()


# The addresses are in PGHOST and its like.
check_sync("postgresql+psycopg2://", "sa1")
# Its look for the type hstore at connecting needs a savepoint.
check_sync("postgresql+psycopg://", "sa2", use_native_hstore=False)
asyncio.run(check_async())
