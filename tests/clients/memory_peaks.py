"""Hostile queries, and how much memory the node had at its peak during each.

usage: memory_peaks.py PROCESS [ROWS]   (PROCESS: number of a node of this machine, PG*: how to reach it)
Prints, for each, the peak of what the process holds: of its own (anonymous pages), and with the pages of its program, which the
system takes back when it needs them. A query may be refused for want of memory (53200) or be stopped after 40 s: both are said.
"""
import sys, threading
import psycopg

SAMPLES = "INSERT INTO samples (tag, time, value) SELECT 'm' || (i % 64), to_timestamp_seconds(1700000000 + i / 64), (i * 7919) % 1000 FROM generate_series({}, {}) AS g(i)"
QUESTIONS = [
    ("everything, sorted", 1, "SELECT tag, time, value, quality FROM samples ORDER BY value, time"),
    ("join of many with many", 1, "SELECT count(*) FROM samples a JOIN samples b ON a.value = b.value AND a.time < b.time"),
    ("wide join, shown", 1, "SELECT a.*, b.* FROM samples a JOIN samples b ON a.value = b.value AND a.tag = b.tag LIMIT 3000000"),
    ("array_agg of all", 1, "SELECT cardinality(array_agg(value)) FROM samples"),
    ("array_agg of texts by tag", 1, "SELECT tag, cardinality(array_agg(tag || value)) FROM samples GROUP BY tag"),
    ("a group a row", 1, "SELECT count(*) FROM (SELECT tag, time, count(*) FROM samples GROUP BY tag, time)"),
    ("distinct texts, one a row", 1, "SELECT count(DISTINCT tag || time::text) FROM samples"),
    ("everything, 40 connections", 40, "SELECT tag, time, value, quality FROM samples"),
    ("sorted, 20 connections", 20, "SELECT tag, time, value, quality FROM samples ORDER BY value"),
]


def sizes(process):
    with open(f"/proc/{process}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon", "RssFile")}


def ask(sql, said):
    with psycopg.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '40s'")
        try:
            for _ in cursor.stream(sql, size=1000):
                pass
            said.append("done")
        except psycopg.Error as error:
            said.append(str(error.sqlstate))


def main():
    process, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 640_000
    with psycopg.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO tags (name, kind) SELECT 'm' || i, 'f64' FROM generate_series(0, 63) AS g(i) ON CONFLICT DO NOTHING")
        cursor.execute(SAMPLES.format(0, rows - 1))
        cursor.execute("SELECT meridian_flush()")
        cursor.execute("SELECT value FROM meridian.settings WHERE name = 'memory_bytes'")
        print(f"{rows} samples, memory_bytes {cursor.fetchone()[0]}")
    for name, connections, sql in QUESTIONS:
        with open(f"/proc/{process}/clear_refs", "w") as peaks:
            peaks.write("5")
        said = []
        threads = [threading.Thread(target=ask, args=(sql, said)) for _ in range(connections)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        found = sizes(process)
        counts = ", ".join(f"{said.count(word)} {word}" for word in sorted(set(said)))
        own = found["VmHWM"] - found["RssFile"]
        print(f"{name:28} own {own:5.0f} MiB, with its program {found['VmHWM']:5.0f} MiB   {counts}", flush=True)


main()
