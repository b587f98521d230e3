"""psql in a terminal: what the Tab key completes, and commands that need one (\\watch, \\timing, \\copy, \\crosstabview, \\gdesc)."""
import os, pty, select, sys, time
import psycopg

LIMIT = 60.0


class Terminal:
    def __init__(self):
        # psql's own session and terminal, so that Ctrl-C reaches it.
        self.child, self.main = pty.fork()
        if self.child == 0:
            environment = {**os.environ, "TERM": "xterm", "PAGER": "cat", "INPUTRC": "/dev/null", "PSQL_HISTORY": "/dev/null", "LC_ALL": "C.UTF-8"}
            # One wide line, so that nothing is wrapped.
            os.system("stty cols 400")
            os.execvpe("psql", ["psql", "-X", "-v", "PROMPT1=ready> ", "-v", "PROMPT2=more> "], environment)
        self.seen = b""
        self.until(b"ready> ")

    def send(self, text):
        os.write(self.main, text.encode())

    def until(self, word, since=0):
        end = time.monotonic() + LIMIT
        while word not in self.seen[since:]:
            ready, _, _ = select.select([self.main], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise SystemExit(f"psql did not show {word!r}:\n{self.seen[since:].decode(errors='replace')}")
            try:
                piece = os.read(self.main, 65536)
            except OSError:
                piece = b""
            if not piece:
                raise SystemExit(f"psql ended before it showed {word!r}:\n{self.seen.decode(errors='replace')}")
            self.seen += piece
        return self.seen[since:]

    def run(self, line, words, complete=None):
        """Types a line, after which each word must be shown; where it ends in a Tab, `complete` is what that becomes."""
        since = len(self.seen)
        self.send(line)
        if complete is not None:
            self.until(complete.encode(), since)
            # The line is thrown away.
            self.send("\x15\x0b\\echo thrown\n")
            self.until(b"thrown\r\n", since)
        else:
            for word in words:
                self.until(word.encode(), since)
        self.until(b"ready> ", since + 1)


terminal = Terminal()
terminal.run("INSERT INTO tags(name, kind) VALUES ('tab.a', 'f64'), ('tab.b', 'f64');\n", ["INSERT 0 2"])
terminal.run("INSERT INTO samples(tag, time, value) VALUES ('tab.a', '2024-01-01 00:00+00', 1), ('tab.b', '2024-01-01 00:00+00', 2), ('tab.a', '2024-01-02 00:00+00', 3);\n", ["INSERT 0 3"])
for typed, whole in [
    ("SELECT * FROM samp\t", "samples "),
    ("SELECT * FROM meridian.sli\t", "meridian.slices "),
    ("SELECT * FROM samples WHERE qual\t", "quality "),
    ("INSERT INTO even\t", "events "),
    ("INSERT INTO integers (qua\t", "quality"),
    ("UPDATE tags SET descr\t", "description "),
    ("DELETE FROM samp\t", "samples "),
    ("COPY integ\t", "integers "),
    ("\\d late\t", "latest "),
    ("\\dv mer\t", "meridian."),
    ("\\dn pub\t", "public "),
    ("\\df values\t", "values_at "),
    ("\\l mer\t", "meridian "),
    ("SET statement_t\t", "statement_timeout "),
    ("SHOW server_version_\t", "server_version_num "),
]:
    terminal.run(typed, [], complete=whole)

terminal.run("\\timing on\n", ["Timing is on."])
terminal.run("SELECT 40 + 2 AS answer;\n", ["answer", "42", "Time: "])
terminal.run("\\timing off\n", ["Timing is off."])
terminal.run("\\conninfo\n", ['database "meridian"', 'user "test"'])
terminal.run("\\encoding\n", ["UTF8"])
terminal.run("SELECT tag, time, value, quality FROM samples \\gdesc\n", ["text", "timestamp with time zone", "double precision", "smallint"])
terminal.run("SELECT oid, relname, relkind FROM pg_class \\gdesc\n", ["oid", "name", '"char"'])
terminal.run("SELECT time::date AS day, tag, value FROM samples ORDER BY 1, 2 \\crosstabview day tag value\n", ["tab.a", "tab.b", "2024-01-02"])
path = os.path.join(sys.argv[1], "copied.csv")
terminal.run(f"\\copy (SELECT tag, time, value FROM samples ORDER BY tag, time) TO '{path}' CSV HEADER\n", ["COPY 3"])
terminal.run("DELETE FROM samples WHERE tag LIKE 'tab.%';\n", ["DELETE 3"])
terminal.run(f"\\copy samples(tag, time, value) FROM '{path}' CSV HEADER\n", ["COPY 3"])
terminal.run("SELECT count(*) AS n FROM samples \\gset\n", [])
terminal.run("\\echo there are :n samples\n", ["there are 3 samples"])
terminal.run("SELECT 'SELECT 6 * 7 AS made' \\gexec\n", ["made", "42"])
# \watch runs until it is interrupted; the server is told to cancel, and the session goes on.
since = len(terminal.seen)
terminal.send("SELECT count(*) AS watched FROM samples \\watch 0.1\n")
while terminal.seen[since:].count(b"watched") < 3:
    terminal.until(b"watched", len(terminal.seen))
terminal.send("\x03")
terminal.until(b"ready> ", since)
since = len(terminal.seen)
terminal.send("SELECT pg_sleep(600);\n")
# The interrupt is to come while it sleeps; were it earlier, psql would only throw its line away.
with psycopg.connect(autocommit=True) as other:
    while other.execute("SELECT count(*) FROM meridian.queries WHERE query LIKE 'SELECT pg_sleep(600)%'").fetchone() == (0,):
        pass
terminal.send("\x03")
terminal.until(b"canceling statement due to user request", since)
terminal.run("SELECT 'still ' || 'here' AS answer;\n", ["still here"])
terminal.send("\\q\n")
_, status = os.waitpid(terminal.child, 0)
if status != 0:
    raise SystemExit(f"psql ended with {status}")
