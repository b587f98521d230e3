"""Random samples, events and tags, in Meridian and in DuckDB."""
import csv, datetime, io, os, tempfile
import duckdb

BASE = datetime.datetime(2024, 3, 9, 18, tzinfo=datetime.timezone.utc)
SPECIAL = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0]


class Data:
    """Tags of all kinds; a few hundred rows, some of them written twice, some deleted."""

    def __init__(self, rng, seed):
        self.rng, self.seed = rng, seed
        self.big = rng.random() < 0.15
        self.prefix = f"d{seed}."
        self.duck = duckdb.connect()
        self.duck.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        kinds = ["f64", "f64", "f32", "i32", "i64", "bool", "state", "text", "text", "f64"]
        self.tags = [(f"{self.prefix}{'abcdefgh'[i % 8]}{i}", kind) for i, kind in enumerate(kinds)]
        self.times = [self.moment() for _ in range(rng.choice([5, 40, 160]))]
        self.rows = {}
        self.empty = rng.random() < 0.05

    def moment(self):
        rng = self.rng
        span = rng.choice([60, 86_400, 40 * 86_400])
        us = rng.choice([0, 0, rng.randrange(1_000_000)])
        time = BASE + datetime.timedelta(seconds=rng.randrange(span), microseconds=us)
        if rng.random() < 0.08:
            time = time.replace(year=rng.choice([5, 1969, 1970, 2000, 2263, 9000]))
        return time

    def sample(self, kind):
        rng = self.rng
        if kind == "f64":
            if rng.random() < 0.12:
                return rng.choice(SPECIAL)
            return rng.choice([rng.gauss(0, 1e3), float(rng.randrange(-4, 5)), rng.random()])
        if kind == "f32":
            return rng.choice([0.5, -0.25, float(rng.randrange(-9, 9)), 1024.125])
        if kind == "i64" and self.big:
            return rng.choice([2**53 + 1, -(2**53) - 1, 2**60 + 7, 2**63 - 1, -(2**63), rng.randrange(-9, 9)])
        return {"i32": rng.randrange(-99, 99), "i64": rng.randrange(-(2**40), 2**40), "bool": rng.randrange(2), "state": rng.randrange(3)}[kind]

    def batch(self, cursor, count):
        rng = self.rng
        tables = {"samples": {}, "events": {}}
        for _ in range(count):
            tag, kind = rng.choice(self.tags[:-1])
            time, quality = rng.choice(self.times), rng.choice([192, 192, 192, 192, 0, 64, 216])
            text = rng.choice(["", "on", "off", "trip", "Grün 3", "a%b_c", "it's"])
            what = text if kind == "text" else self.sample(kind)
            tables["events" if kind == "text" else "samples"][(tag, time)] = (kind, what, quality)
        for table, rows in tables.items():
            self.rows.update(rows)
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for (tag, time), (_, what, quality) in rows.items():
                    copy.write_row((tag, time, what if isinstance(what, str) else repr(what).replace("inf", "Infinity"), quality))

    def load(self, cursor, state):
        rng = self.rng
        cursor.execute("SET TimeZone = 'UTC'")
        units = [rng.choice(["kV", "MW", "A", ""]) for _ in self.tags]
        lows = [rng.choice([None, -10.0, 0.0, 0.5]) for _ in self.tags]
        sites = [rng.choice(["north", "south", None]) for _ in self.tags]
        for (tag, kind), unit, low, site in zip(self.tags, units, lows, sites):
            labels = "{}" if site is None else f'{{"site":"{site}"}}'
            states = "{off,on,tripped}" if kind == "state" else None
            cursor.execute("INSERT INTO tags(name, kind, unit, low, labels, states) VALUES (%s, %s, %s, %s, %s, %s)", (tag, kind, unit, low, labels, states))
        if not self.empty:
            for part in range(3):
                self.batch(cursor, rng.choice([20, 120, 400]))
                if part < 2 and state != "buffer":
                    cursor.execute("SELECT meridian_flush()")
                if part == 1 and rng.random() < 0.5:
                    self.delete(cursor)
            if state == "merge":
                cursor.execute("SELECT meridian_flush()")
                cursor.execute("SELECT meridian_merge()")
        self.load_duck(units, lows, sites)

    def delete(self, cursor):
        tag, _ = self.rng.choice(self.tags)
        first, last = sorted([self.rng.choice(self.times), self.rng.choice(self.times)])
        for table in ("samples", "events"):
            cursor.execute(f"DELETE FROM {table} WHERE tag = %s AND time BETWEEN %s AND %s", (tag, first, last))
        self.rows = {key: row for key, row in self.rows.items() if not (key[0] == tag and first <= key[1] <= last)}

    def load_duck(self, units, lows, sites):
        duck = self.duck
        duck.execute("SET TimeZone = 'UTC'")
        duck.execute("CREATE TABLE samples(tag VARCHAR, time TIMESTAMPTZ, value DOUBLE, quality SMALLINT)")
        duck.execute("CREATE TABLE integers(tag VARCHAR, time TIMESTAMPTZ, value BIGINT, quality SMALLINT)")
        duck.execute('CREATE TABLE events(tag VARCHAR, time TIMESTAMPTZ, "text" VARCHAR, quality SMALLINT)')
        duck.execute("CREATE TABLE tags(name VARCHAR, kind VARCHAR, unit VARCHAR, low DOUBLE, site VARCHAR)")
        for (tag, kind), unit, low, site in zip(self.tags, units, lows, sites):
            duck.execute("INSERT INTO tags VALUES (?, ?, ?, ?, ?)", (tag, kind, unit, low, site))
        texts = {"samples": io.StringIO(), "integers": io.StringIO(), "events": io.StringIO()}
        for (tag, time), (kind, what, quality) in self.rows.items():
            row = (tag, time.isoformat(), what if kind == "text" else repr(what), quality)
            if kind == "text":
                csv.writer(texts["events"], quoting=csv.QUOTE_ALL).writerow(row)
                continue
            csv.writer(texts["samples"]).writerow(row)
            if kind in ("i32", "i64", "bool", "state"):
                csv.writer(texts["integers"]).writerow(row)
        for table, text in texts.items():
            with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as file:
                file.write(text.getvalue())
            if text.getvalue():
                duck.execute(f"COPY {table} FROM '{file.name}' (FORMAT csv, HEADER false, NULLSTR '\\N')")
            os.unlink(file.name)
        duck.execute("""CREATE VIEW latest AS SELECT DISTINCT ON (tag) tag, time, value, "text", quality FROM (
            SELECT tag, time, value, NULL AS "text", quality FROM samples
            UNION ALL SELECT tag, time, NULL, "text", quality FROM events) ORDER BY tag, time DESC""")
        duck.execute("CREATE MACRO label(t, k) AS (SELECT min(site) FROM tags WHERE name = t AND k = 'site')")

    def drop(self, cursor):
        cursor.execute("DELETE FROM tags WHERE name LIKE %s", (self.prefix + "%",))
        self.duck.close()
