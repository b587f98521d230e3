"""psycopg 3 in the middle of a COPY: sends rows, says so, and waits to be killed."""
import sys, threading
import psycopg

table, columns, line = sys.argv[1:4]
connection = psycopg.connect(autocommit=True)
with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
    for i in range(20_000):
        copy.write(line.format(i=i) + "\n")
    print("sent", flush=True)
    threading.Event().wait()
