"""An engine that runs within a Python process: DuckDB, or ClickHouse as chdb.

A line of JSON in, a line of JSON out: {"sql": .., "rows": bool} is answered by {"seconds": .., "rows": [[..], ..]}, with the seconds from
the statement's text to all of its rows in Python's memory; {"error": ..} where it failed.
"""

import json
import os
import sys
import time


class DuckDB:
    def __init__(self, path):
        import duckdb

        self.version = duckdb.__version__
        self.connection = duckdb.connect(path + "/duck.db")
        self.connection.execute("SET enable_progress_bar = false")

    def run(self, sql):
        result = self.connection.execute(sql)
        return result.fetchall() if result.description else []


class ClickHouse:
    def __init__(self, path):
        from chdb import session

        self.session = session.Session(path + "/chdb")
        self.version = self.session.query("SELECT version()", "CSV").data().strip().strip('"')

    def run(self, sql):
        data = self.session.query(sql, "JSONCompactEachRow").bytes()
        return [json.loads(line) for line in data.splitlines()]


def main():
    # What an engine prints by itself, in whatever language, must not stand between our answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = {"duckdb": DuckDB, "chdb": ClickHouse}[sys.argv[1]](sys.argv[2])
    print(json.dumps({"version": engine.version}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            started = time.perf_counter()
            rows = engine.run(asked["sql"])
            seconds = time.perf_counter() - started
            answer = {"seconds": seconds, "rows": rows if asked.get("rows") else []}
        except Exception as error:  # whatever an engine raises is its answer
            answer = {"error": str(error)}
        print(json.dumps(answer, default=str), file=answers, flush=True)


main()
