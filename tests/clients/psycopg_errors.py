"""What an error says of itself: severity, SQLSTATE, message, detail, hint, and at which character of which text."""
import psycopg

# Each: the text, the word that the error is about (its first place is meant unless a number says which), the SQLSTATE.
ROWS = [
    ("SELEC 1", "SELEC", "42601"),
    ("SELECT 1\nFROM samples\nWHERE )", ")", "42601"),
    ("SELECT 1 FROM samples WHERE 'open", "'open", "42601"),
    ("SELECT nothing FROM samples", "nothing", "42703"),
    ("SELECT tag,\n  nothing\nFROM samples", "nothing", "42703"),
    ("SELECT 'nothing', /* nothing */ nothing FROM samples", ("nothing", 3), "42703"),
    ("SELECT '温度', nothing FROM samples", "nothing", "42703"),
    ("SELECT s.nothing FROM samples AS s", "s.nothing", "42703"),
    ("SELECT tag FROM samples WHERE quality = 192 AND\n\n nothing > 1", "nothing", "42703"),
    ("SELECT 'nothing' AS a\nFROM nothing", ("nothing", 2), "42P01"),
    ("SELECT 1 FROM samples JOIN public.nothing AS n ON true", "public.nothing", "42P01"),
    ("SELECT tag, nothing(value) FROM samples", "nothing", "42883"),
    ("SELECT tag FROM samples AS a, samples AS b", "tag", "42702"),
    ("INSERT INTO nothing VALUES (1)", "nothing", "42P01"),
    ("INSERT INTO samples (tag, nothing) VALUES ('a', 1)", "nothing", "42703"),
    ("DELETE FROM samples WHERE nothing = 1", "nothing", "42703"),
    ("CREATE TABLE t (a int)", None, "0A000"),
    ("SELECT 1/0", None, "22012"),
    ("SELECT 'abc'::float8", None, "22P02"),
    ("SELECT 9223372036854775807 + 1", None, "22003"),
    ("SET nothing = 1", None, "42704"),
    ("INSERT INTO samples(tag, time, value) VALUES ('err.none', now(), 1)", None, "23503"),
]


def place(text, word):
    """The character, from 1, at which a word stands."""
    word, number = word if isinstance(word, tuple) else (word, 1)
    at = -1
    for _ in range(number):
        at = text.index(word, at + 1)
    return at + 1


def check(run, text, position, state, where):
    try:
        run(text)
    except psycopg.Error as error:
        diag = error.diag
        assert diag.severity == diag.severity_nonlocalized == "ERROR", (where, text, diag.severity)
        assert diag.sqlstate == error.sqlstate == state, (where, text, diag.sqlstate, str(error))
        assert diag.message_primary, (where, text)
        # Where a place is expected it is exact; where none is, an error of a later step may still tell one.
        if position is not None:
            assert diag.statement_position == str(position), (where, text, diag.statement_position, position, str(error))
        return
    raise SystemExit(f"{where}: {text!r} was answered")


with psycopg.connect(autocommit=True) as connection:
    simple = psycopg.ClientCursor(connection)
    extended = connection.cursor()
    for text, word, state in ROWS:
        position = None if word is None else place(text, word)
        check(simple.execute, text, position, state, "simple")
        check(lambda text: extended.execute(text, prepare=True), text, position, state, "prepared")
        # The third of several statements in one text.
        before = "SELECT 1;\n\nSELECT '温;度' ;  "
        check(simple.execute, before + text, None if position is None else len(before) + position, state, "third")
    # With parameters, whose numbers are longer or shorter than what was written.
    check(lambda text: extended.execute(text, ("a", 1)), "SELECT %s::text, nothing FROM samples WHERE quality > %s", len("SELECT $1::text, ") + 1, "42703", "parameters")
    # Hints and details.
    for text, field, part in [
        ("SELECT vale FROM samples", "message_hint", "value"),
        ("SELECT * FROM sampels", "message_hint", "samples"),
        ("UPDATE samples SET value = 1", "message_hint", "INSERT"),
        ("SELECT 'a' ~ '('", "message_detail", "("),
    ]:
        try:
            connection.execute(text)
            raise SystemExit(f"{text} was answered")
        except psycopg.Error as error:
            assert part in (getattr(error.diag, field) or ""), (text, field, getattr(error.diag, field), str(error))
    # Nothing of it ends the connection, and a block says that it failed.
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.execute("BEGIN")
    check(extended.execute, "SELECT nothing FROM samples", 8, "42703", "block")
    check(extended.execute, "SELECT 1", None, "25P02", "failed block")
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT 1").fetchone() == (1,)
