"""The dashboards of docs/grafana against a real server: each question of each panel, its macros expanded as Grafana does.

Words: the directory of the dashboards, then the names of those to try."""
import datetime, json, pathlib, re, sys
import psycopg

UTC = datetime.timezone.utc
START, END = datetime.datetime(2024, 1, 1, tzinfo=UTC), datetime.datetime(2024, 1, 1, 6, tzinfo=UTC)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONE = "fleet" not in sys.argv[2:]


def moment(time):
    return time.strftime("'%Y-%m-%dT%H:%M:%SZ'")


def macro(match):
    name, args = match[1], [arg.strip() for arg in match[2].split(",")]
    if name == "__timeFilter":
        return f"{args[0]} BETWEEN {moment(START)} AND {moment(END)}"
    if name == "__timeFrom":
        return moment(START)
    if name == "__timeTo":
        return moment(END)
    if name in ("__timeGroup", "__timeGroupAlias"):
        number, unit = re.fullmatch(r"'?(\d+)([smhd])'?", args[1]).groups()
        width = int(number) * SECONDS[unit]
        if timescale:
            group = f"time_bucket('{width:.3f}s',{args[0]})"
        else:
            group = f"floor(extract(epoch from {args[0]})/{width})*{width}"
        return group + (' AS "time"' if name.endswith("Alias") else "")
    raise SystemExit(f"a macro that is not known here: {match[0]}")


def expanded(sql, variables):
    sql = sql.replace("$__interval", "5m")
    for name, values in variables.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace("${" + name + ":sqlstring}", quoted)
    sql = re.sub(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)", macro, sql)
    assert "$" not in sql, sql
    return sql


def ask(cursor, sql, where):
    try:
        cursor.execute(sql)
    except psycopg.Error as error:
        raise SystemExit(f"{where}: {error.sqlstate} {error}\n{sql}")
    return cursor.fetchall()


def time_series(cursor, rows, where):
    """Grafana wants a column `time`, perhaps a text `metric`, and numbers."""
    names = [column.name for column in cursor.description]
    assert "time" in names, (where, names)
    at = names.index("time")
    for row in rows:
        assert isinstance(row[at], (datetime.datetime, float, int)), (where, row)
        for name, value in zip(names, row):
            assert name == "time" or value is None or isinstance(value, (int, float) if name != "metric" else str), (where, name, value)
    assert rows == sorted(rows, key=lambda row: row[at]), f"{where}: not in order of time"


def check(path, cursor):
    dashboard = json.loads(path.read_text())
    variables = {}
    for variable in dashboard["templating"]["list"]:
        rows = ask(cursor, expanded(variable["query"], variables), f"{path.name}, variable {variable['name']}")
        variables[variable["name"]] = [row[0] for row in rows]
        assert rows, f"{path.name}: variable {variable['name']} has no values"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) and ids, path.name
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            where = f"{path.name}, {panel['title']}"
            rows = ask(cursor, expanded(target["rawSql"], variables), where)
            assert [column.name for column in cursor.description], where
            if target["format"] == "time_series":
                time_series(cursor, rows, where)
            if panel["title"] in FULL:
                assert rows, f"{where}: no rows"
                FULL.discard(panel["title"])


# Panels that have something to show, whatever the server does beside.
FULL = {"Trends", "Newest values", "Range", "Beyond limits", "Events", "Qualities", "Silent tags", "Rows written", "Memory", "Samples by time", "Settings in force", "Statements that run"}
if not LONE:
    FULL = {"Processes", "Slices by primary", "Schedulers"}
PROVISIONED = pathlib.Path(sys.argv[1])
assert "timescaledb: true" in (PROVISIONED / "datasource.yaml").read_text()

with psycopg.connect(autocommit=True) as connection:
    if LONE:
        connection.execute("INSERT INTO tags(name, unit, high, kind) VALUES ('g.a', 'bar', 50, 'f64'), ('g.b', 'bar', NULL, 'f64'), ('g''c', '', NULL, 'f64'), ('g.t', '', NULL, 'text')")
        connection.execute("INSERT INTO samples(tag, time, value, quality) SELECT t, TIMESTAMPTZ '2024-01-01' + i * INTERVAL '10 seconds', i / 10.0, CASE WHEN i % 100 = 7 THEN 0 ELSE 192 END FROM generate_series(0, 2159) AS g(i), unnest(ARRAY['g.a', 'g.b', 'g''c']) AS n(t)")
        connection.execute("INSERT INTO events(tag, time, text) VALUES ('g.t', '2024-01-01 01:00+00', 'opened'), ('g.t', '2024-01-01 02:00+00', 'closed')")
    # Grafana's driver sends what has no parameters by the simple protocol.
    cursor = psycopg.ClientCursor(connection)
    for timescale in (True, False):
        left = set(FULL)
        for name in sys.argv[2:]:
            check(PROVISIONED / f"{name}.json", cursor)
        assert not FULL, f"no such panels, or empty ones: {FULL}"
        FULL = left
    if LONE:
        sql = expanded("SELECT $__timeGroup(time, '$__interval') AS time, avg(value) AS value, count(*) FROM samples WHERE tag = 'g.a' AND $__timeFilter(time) GROUP BY 1 ORDER BY 1", {})
        timescale = True
        again = expanded("SELECT $__timeGroup(time, '$__interval') AS time, avg(value) AS value, count(*) FROM samples WHERE tag = 'g.a' AND $__timeFilter(time) GROUP BY 1 ORDER BY 1", {})
        plain, bucketed = cursor.execute(sql).fetchall(), cursor.execute(again).fetchall()
        assert len(plain) == len(bucketed) == 72, (len(plain), len(bucketed))
        for (seconds, mean, count), (time, other, number) in zip(plain, bucketed):
            assert (seconds, mean, count) == (time.timestamp(), other, number), (seconds, time)
