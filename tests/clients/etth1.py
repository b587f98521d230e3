"""ETTh1 in Meridian and in DuckDB: the same aggregate questions must have the same answers.

Loads the file by COPY over psycopg, asks both, compares row by row (floats to 1e-12 relative).
"""
import csv, datetime, math, os, random, sys
import duckdb, psycopg

path = sys.argv[1]
rows = []
with open(path) as file:
    reader = csv.reader(file)
    names = next(reader)[1:]
    for line in reader:
        time = datetime.datetime.fromisoformat(line[0]).replace(tzinfo=datetime.timezone.utc)
        rows += [(f"etth1.{name}", time, float(value)) for name, value in zip(names, line[1:])]

duck = duckdb.connect()
duck.execute("SET TimeZone = 'UTC'")
duck.execute("CREATE TABLE samples(tag VARCHAR, time TIMESTAMPTZ, value DOUBLE, quality SMALLINT)")

seed = int(os.environ.get("SEED", "7"))
rng = random.Random(seed)
base = datetime.datetime(2024, 2, 28, tzinfo=datetime.timezone.utc)
rand = {}
for _ in range(20_000):
    tag = f"random.{rng.randrange(12)}"
    time = base + datetime.timedelta(microseconds=rng.randrange(40 * 86_400) * 1_000_003)
    rand[(tag, time)] = (rng.choice([rng.gauss(0, 1e3), float(rng.randrange(-5, 5)), rng.random() * 1e-9]), rng.choice([192, 192, 192, 0, 64]))
random_rows = [(tag, time, value, quality) for (tag, time), (value, quality) in rand.items()]
rng.shuffle(random_rows)

import io
text = io.StringIO()
writer = csv.writer(text)
writer.writerows((t, x.isoformat(), repr(v), 192) for t, x, v in rows)
writer.writerows((t, x.isoformat(), repr(v), q) for t, x, v, q in random_rows)
with open(sys.argv[2], "w") as file:
    file.write(text.getvalue())
duck.execute(f"COPY samples FROM '{sys.argv[2]}' (FORMAT csv, HEADER false)")

with psycopg.connect(autocommit=True) as connection, connection.cursor() as cursor:
    tags = sorted({row[0] for row in rows} | {row[0] for row in random_rows})
    cursor.executemany("INSERT INTO tags(name, kind) VALUES (%s, 'f64')", [(tag,) for tag in tags])
    with cursor.copy("COPY samples(tag, time, value, quality) FROM STDIN") as copy:
        for tag, time, value in rows:
            copy.write_row((tag, time, value, 192))
    # The random part in two halves, the first of them overlapping the second with values that are replaced.
    with cursor.copy("COPY samples(tag, time, value, quality) FROM STDIN") as copy:
        for tag, time, value, quality in random_rows[: len(random_rows) // 2]:
            copy.write_row((tag, time, value + 1, 0))
    if "flush" in sys.argv[3:]:
        cursor.execute("SELECT meridian_flush()")
    with cursor.copy("COPY samples(tag, time, value, quality) FROM STDIN") as copy:
        for row in random_rows:
            copy.write_row(row)
    if "merge" in sys.argv[3:]:
        cursor.execute("SELECT meridian_flush()")
        cursor.execute("SELECT meridian_merge()")

    bin_day = {"meridian": "date_bin(INTERVAL '1 day', time)", "duckdb": "time_bucket(INTERVAL '1 day', time, TIMESTAMPTZ '1970-01-01 00:00:00+00')"}
    bin_odd = {"meridian": "date_bin(INTERVAL '7 minutes', time, TIMESTAMPTZ '2016-07-01 00:03:00+00')", "duckdb": "time_bucket(INTERVAL '7 minutes', time, TIMESTAMPTZ '2016-07-01 00:03:00+00')"}
    first = {"meridian": "first(value, time)", "duckdb": "arg_min(value, time)"}
    last = {"meridian": "last(value, time)", "duckdb": "arg_max(value, time)"}
    questions = [
        "SELECT count(*) FROM samples",
        "SELECT count(value), sum(value), avg(value), min(value), max(value) FROM samples",
        "SELECT tag, count(*), min(value), max(value), avg(value), sum(value), {first}, {last} FROM samples GROUP BY tag ORDER BY tag",
        "SELECT tag, {day} AS d, count(*), min(value), max(value), avg(value), {first}, {last} FROM samples GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT {day} AS d, count(*), avg(value) FROM samples WHERE tag LIKE 'etth1.%' GROUP BY 1 ORDER BY 1",
        "SELECT {odd} AS d, sum(value) FROM samples WHERE tag = 'etth1.OT' AND time < TIMESTAMPTZ '2016-09-01 00:00:00+00' GROUP BY 1 ORDER BY 1",
        "SELECT tag, avg(value) FROM samples WHERE quality >= 192 GROUP BY tag ORDER BY tag",
        "SELECT tag, avg(value) FROM samples WHERE quality < 192 AND value > 0 GROUP BY tag ORDER BY tag",
        "SELECT tag, max(value) FROM samples WHERE time >= TIMESTAMPTZ '2017-01-01 00:00:00+00' AND time < TIMESTAMPTZ '2017-01-01 13:30:00+00' GROUP BY tag HAVING max(value) > 0 ORDER BY tag",
        "SELECT tag, time, value, quality FROM samples WHERE tag IN ('etth1.OT', 'random.3') AND time BETWEEN TIMESTAMPTZ '2017-03-01 00:00:00+00' AND TIMESTAMPTZ '2024-03-05 00:00:00+00' ORDER BY tag, time",
        "SELECT tag, time, value FROM samples ORDER BY time DESC, tag LIMIT 25",
        "SELECT time, value, avg(value) OVER (ORDER BY time RANGE BETWEEN INTERVAL '6 hours' PRECEDING AND CURRENT ROW) FROM samples WHERE tag = 'etth1.HUFL' AND time < TIMESTAMPTZ '2016-07-15 00:00:00+00' ORDER BY time",
        "WITH d AS (SELECT tag, {day} AS d, max(value) - min(value) AS swing FROM samples GROUP BY 1, 2) SELECT tag, max(swing), count(*) FROM d GROUP BY tag ORDER BY tag",
        "SELECT DISTINCT ON (tag) tag, time, value FROM samples ORDER BY tag, time DESC",
        "SELECT tag, time, value FROM samples WHERE tag LIKE 'etth1.%' QUALIFY row_number() OVER (PARTITION BY tag ORDER BY value DESC, time) <= 3 ORDER BY tag, value DESC, time",
        "SELECT count(*) FROM samples a JOIN samples b ON a.time = b.time WHERE a.tag = 'etth1.OT' AND b.tag = 'etth1.HUFL' AND a.value > b.value",
        "SELECT stddev(value), median(value) FROM samples WHERE tag = 'etth1.OT'",
        "SELECT extract(hour FROM time) AS h, avg(value) FROM samples WHERE tag = 'etth1.MUFL' GROUP BY 1 ORDER BY 1",
    ]

    def same(a, b):
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        if isinstance(a, datetime.datetime) and isinstance(b, datetime.datetime):
            return a.astimezone(datetime.timezone.utc) == b.astimezone(datetime.timezone.utc)
        try:
            return a == b or math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-9)
        except (TypeError, ValueError):
            return False

    wrong = 0
    for question in questions:
        ask = lambda who: question.format(day=bin_day[who], odd=bin_odd[who], first=first[who], last=last[who])
        try:
            ours = cursor.execute(ask("meridian")).fetchall()
        except psycopg.Error as error:
            print(f"ERROR  {ask('meridian')}\n       {error.sqlstate}: {error}")
            wrong += 1
            continue
        theirs = duck.execute(ask("duckdb")).fetchall()
        bad = len(ours) != len(theirs) or not ours
        detail = f"{len(ours)} rows, DuckDB {len(theirs)}"
        if not bad:
            for row, (a, b) in enumerate(zip(ours, theirs)):
                if len(a) != len(b) or not all(map(same, a, b)):
                    bad, detail = True, f"row {row}: {a}, DuckDB {b}"
                    break
        if bad:
            wrong += 1
            print(f"WRONG  {ask('meridian')}\n       {detail}")
    assert wrong == 0, f"{wrong} of {len(questions)} answers differ"
