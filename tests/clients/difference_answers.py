"""Answers in one form, and whether two of them are the same: floats to 1e-9, times as moments."""
import datetime, decimal, math

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def value(x):
    if x is None or isinstance(x, (str, bytes)):
        return x
    if isinstance(x, bool):
        return int(x)
    if isinstance(x, (int, decimal.Decimal)):
        return int(x) if x == x and x == int(x) else float(x)
    if isinstance(x, float):
        return float("nan") if math.isnan(x) else x + 0.0
    if isinstance(x, datetime.datetime):
        at = x if x.tzinfo else x.replace(tzinfo=datetime.timezone.utc)
        return f"@{(at - EPOCH) // datetime.timedelta(microseconds=1)}"
    if isinstance(x, datetime.timedelta):
        return f"~{x // datetime.timedelta(microseconds=1)}"
    if isinstance(x, (list, tuple)):
        return tuple(value(y) for y in x)
    return str(x)


def canonical(rows):
    return [tuple(value(x) for x in row) for row in rows]


def key(row):
    """A key by which rows that are nearly the same lie side by side."""
    def one(x):
        if x is None:
            return (0, "")
        if isinstance(x, (int, float)):
            if x != x:
                return (3, "")
            if math.isinf(x):
                return (2, x)
            return (1, float(f"{float(x):.6g}"))
        if isinstance(x, tuple):
            return (5, repr(x))
        return (4, x)
    return tuple(one(x) for x in row)


def same(a, b):
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if a != a or b != b:
            return a != a and b != b
        return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-7)
    return a == b


def differs(ours, theirs, ordered):
    """None, or what is different."""
    if len(ours) != len(theirs):
        more = [row for row in ours if row not in theirs][:3], [row for row in theirs if row not in ours][:3]
        return f"{len(ours)} rows, DuckDB {len(theirs)}; only ours {more[0]}, only DuckDB's {more[1]}"
    if not ordered:
        ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    for number, (a, b) in enumerate(zip(ours, theirs)):
        if not same(a, b):
            # Rounding may have put two rows the other way round.
            if not ordered and any(same(a, other) for other in theirs[max(0, number - 8):number + 9]):
                continue
            return f"row {number}: {a}, DuckDB {b}"
    return None
