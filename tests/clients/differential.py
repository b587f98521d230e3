"""Random questions, asked of Meridian and of DuckDB over the same random data: the answers must be the same.

usage: differential.py STATE FIRST_SEED SEEDS   (STATE: buffer, flush, merge)
A seed makes data, a session's time zone and questions. A question that DuckDB refuses is skipped; one that
Meridian refuses must be refused with a SQLSTATE of the list below, and not too many may be.

PostgreSQL is right. Where DuckDB means something else, its side of a question says PostgreSQL's meaning in DuckDB's
words, each place with its reason: `spread` (deviations of infinities), `signum` (its type), `bin` (its origin and zone),
LIKE (its escape), `first` and `last` (NULL values), the order of NULLs (a setting). What no two of them promise is not
asked: upper('ß') (the collation's), years BC (DuckDB's client can't show them), casts of constants that fail under CASE.
With POSTGRES set to a connection string, PostgreSQL is asked about each difference (`difference_postgres.py`).
"""
import os, random, sys
import psycopg
from difference_answers import canonical, differs
from difference_data import Data
from difference_postgres import Postgres
from difference_questions import Questions

REFUSALS = {"0A000"}
QUESTIONS = int(os.environ.get("QUESTIONS", "60"))


def ask(cursor, sql):
    try:
        cursor.execute(sql)
        return canonical(cursor.fetchall()), None
    except psycopg.Error as error:
        return None, error


def verdict(answer, ours, theirs, ordered):
    rows, error = answer
    if error is not None:
        return f"refuses, {error}"
    if ours is not None and differs(ours, rows, ordered) is None:
        return "as Meridian"
    if differs(theirs, rows, ordered) is None:
        return "as DuckDB"
    return "as neither: " + str(differs(ours, rows, ordered) if ours is not None else rows[:3])


def main():
    state, first, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    counts = {"same": 0, "skipped": 0, "refused": 0}
    wrong = []
    with psycopg.connect(autocommit=True) as connection, connection.cursor() as cursor:
        for seed in range(first, first + seeds):
            rng = random.Random(seed)
            data = Data(rng, seed)
            data.load(cursor, state)
            zone = rng.choice(["UTC", "UTC", "Asia/Shanghai", "America/New_York", "Europe/London"])
            cursor.execute(f"SET TimeZone = '{zone}'")
            data.duck.execute(f"SET TimeZone = '{zone}'")
            third = Postgres(os.environ["POSTGRES"], data, zone) if "POSTGRES" in os.environ else None
            questions = Questions(rng, data)
            for number in range(QUESTIONS):
                ours_sql, theirs_sql = questions.next()
                ordered = " /* ordered */" in ours_sql
                try:
                    theirs = canonical(data.duck.execute(theirs_sql).fetchall())
                except Exception as error:
                    counts["skipped"] += 1
                    if os.environ.get("SHOW_SKIPPED"):
                        print(f"skipped {theirs_sql}\n   {str(error).splitlines()[0]}")
                    continue
                ours, error = ask(cursor, ours_sql)
                if error is not None:
                    if error.sqlstate in REFUSALS:
                        counts["refused"] += 1
                        if os.environ.get("SHOW_REFUSED"):
                            print(f"refused {ours_sql}\n   {error}")
                        continue
                    difference = f"{error.sqlstate}: {error}"
                else:
                    difference = differs(ours, theirs, ordered)
                if difference is None:
                    counts["same"] += 1
                else:
                    wrong.append(number)
                    print(f"seed {seed}, question {number}, zone {zone}, {state}:\n  {ours_sql}\n  {theirs_sql}\n  {difference}")
                    if third is not None:
                        print(f"  PostgreSQL: {verdict(third.ask(ours_sql), ours, theirs, ordered)}")
            if third is not None:
                third.close()
            data.drop(cursor)
    print(counts, f"{len(wrong)} differ")
    asked = sum(counts.values()) + len(wrong)
    assert counts["same"] > asked // 2, f"too few questions had an answer: {counts}"
    sys.exit(1 if wrong else 0)


main()
