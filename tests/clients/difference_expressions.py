"""Random expressions, each in the words of both. A `Both` formats as two texts at once."""


class Both:
    """The same thing in Meridian's words and in DuckDB's."""

    def __init__(self, ours, theirs=None):
        self.ours, self.theirs = ours, ours if theirs is None else theirs

    def __str__(self):
        raise TypeError("format it with both()")


def both(text, /, *parts, **named):
    """Formats a text with parts, once for each."""
    def side(name):
        get = lambda part: getattr(part, name) if isinstance(part, Both) else part
        return text.format(*map(get, parts), **{key: get(part) for key, part in named.items()})
    return Both(side("ours"), side("theirs"))


def joined(separator, parts):
    return Both(separator.join(p.ours for p in parts), separator.join(p.theirs for p in parts))


class Expressions:
    """Expressions over columns [(Both, type)], types num, int, text, time and bool."""

    def __init__(self, rng, data):
        self.rng, self.data = rng, data

    def pick(self, *options):
        return self.rng.choice(options)

    def column(self, kind, columns):
        found = [name for name, of in columns if of == kind]
        return self.rng.choice(found) if found else None

    def literal(self, kind):
        rng = self.rng
        if rng.random() < 0.04:
            return Both({"num": "CAST(NULL AS double precision)", "int": "CAST(NULL AS bigint)", "text": "CAST(NULL AS text)", "time": "CAST(NULL AS timestamptz)", "bool": "CAST(NULL AS boolean)"}[kind])
        if kind == "num":
            special = Both(self.pick("CAST('NaN' AS double precision)", "CAST('Infinity' AS double precision)", "CAST('-Infinity' AS double precision)", "CAST('-0.0' AS double precision)"))
            plain = Both(f"CAST({rng.choice([0, 1, -3, 0.5, 1000.25, -77.125])} AS double precision)")
            return special if rng.random() < 0.2 else plain
        if kind == "int":
            return Both(str(rng.choice([0, 1, 2, 64, 192, 7, 100])))
        if kind == "text":
            return Both(rng.choice(["'on'", "''", "'trip'", "'Grün 3'", "'it''s'", f"'{rng.choice(self.data.tags)[0]}'"]))
        if kind == "bool":
            return Both(rng.choice(["true", "false"]))
        return self.time_literal()

    def time_literal(self):
        rng = self.rng
        time = rng.choice(self.data.times) if rng.random() < 0.7 else self.data.moment()
        text = time.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
        form = rng.random()
        if form < 0.6:
            return Both(f"TIMESTAMPTZ '{text}+00'")
        if form < 0.75:
            return Both(f"CAST('{text}' AS timestamptz)")
        if form < 0.85:
            return Both(f"CAST(TIMESTAMP '{text}' AS timestamptz)")
        return Both(f"(TIMESTAMPTZ '{text}+00' {self.pick('+', '-')} INTERVAL '{self.pick('1 hour', '90 minutes', '36 hours', '1 second')}')")

    def any(self, kind, columns, depth=2):
        if depth > 0 and self.rng.random() < 0.55:
            return getattr(self, kind)(columns, depth - 1)
        column = self.column(kind, columns)
        return column if column is not None and self.rng.random() < 0.85 else self.literal(kind)

    def case(self, kind, columns, depth):
        return both("CASE WHEN {} THEN {} ELSE {} END", self.bool(columns, depth), self.any(kind, columns, depth), self.any(kind, columns, depth))

    def shared(self, kind, columns, depth):
        a, b = self.any(kind, columns, depth), self.any(kind, columns, depth)
        form = self.pick("coalesce({}, {})", "nullif({}, {})", "greatest({}, {})", "least({}, {})", "case")
        return self.case(kind, columns, depth) if form == "case" else both(form, a, b)

    def num(self, columns, depth):
        a, b = self.any("num", columns, depth), self.any("num", columns, depth)
        form = self.pick("({} + {})", "({} - {})", "({} * {})", "abs({})", "(- {})", "floor({})", "ceil({})", "int", "shared", "signum")
        if form == "int":
            return both("CAST({} AS double precision)", self.any("int", columns, depth))
        if form == "signum":
            return Both(f"sign({a.ours})", f"CAST(sign({a.theirs}) AS double)")
        return self.shared("num", columns, depth) if form == "shared" else both(form, a, b)

    def int(self, columns, depth):
        a, b = self.any("int", columns, depth), self.any("int", columns, depth)
        # What may overflow may be computed or not: in data with the largest integers that depends on the plan.
        forms = [] if self.data.big else ["({} + {})", "({} - {})", "({} * 3)", "abs({})"]
        form = self.pick("({} % 7)", "length", "extract", "shared", "round", *forms)
        if form == "length":
            return both("CAST(length({}) AS bigint)", self.any("text", columns, depth))
        if form == "extract":
            field = self.pick("hour", "minute", "day", "month", "year", "dow", "doy", "quarter", "week", "isodow")
            return both("CAST(extract({} FROM {}) AS bigint)", field, self.any("time", columns, depth))
        if form == "round":
            return self.whole(self.column("num", columns) or Both("CAST(7.5 AS double precision)"))
        return self.shared("int", columns, depth) if form == "shared" else both(form, a, b)

    def whole(self, num):
        """A column as an integer, where it is one that fits. Not a constant: CASE does not keep it from being computed,
        and failing, while the statement is planned, as PostgreSQL's manual says of itself too."""
        return both("CASE WHEN {0} BETWEEN -1e15 AND 1e15 THEN CAST({0} AS bigint) END", num)

    def text(self, columns, depth):
        a, b = self.any("text", columns, depth), self.any("text", columns, depth)
        form = self.pick("upper({})", "lower({})", "({} || {})", "substr({}, 2, 3)", "replace({}, 'o', '0')", "left({}, 2)", "right({}, 2)", "int", "shared", "concat({}, {})", "reverse({})", "strpos")
        if form == "int":
            return both("CAST({} AS text)", self.any("int", columns, depth))
        if form == "strpos":
            return both("CAST(strpos({}, 'o') AS text)", a)
        return self.shared("text", columns, depth) if form == "shared" else both(form, a, b)

    def time(self, columns, depth):
        a = self.any("time", columns, depth)
        form = self.pick("plus", "trunc", "bin", "months", "shared", "zone")
        if form == "plus":
            return both("({} {} INTERVAL '{}')", a, self.pick("+", "-"), self.pick("1 hour", "1 day", "1 month", "10 seconds", "1 year", "1 week"))
        if form == "trunc":
            return both("date_trunc('{}', {})", self.pick("second", "minute", "hour", "day", "week", "month", "quarter", "year"), a)
        if form == "bin":
            return self.bin(a)
        if form == "months":
            return self.bin(a, self.pick("1 month", "3 months", "1 year"))
        if form == "zone":
            zone = self.pick("Asia/Shanghai", "America/New_York", "UTC")
            return both("(({} AT TIME ZONE '{}') AT TIME ZONE '{}')", a, zone, zone)
        return self.shared("time", columns, depth)

    def bin(self, time, width=None):
        width = width or self.pick("1 hour", "15 minutes", "1 day", "7 seconds", "1 week", "90 minutes")
        if self.rng.random() < 0.3 and "month" not in width and "year" not in width:
            return Both(f"date_bin(INTERVAL '{width}', {time.ours}, TIMESTAMPTZ '2001-02-01 00:00:05+00')",
                        f"(time_bucket(INTERVAL '{width}', ({time.theirs}) AT TIME ZONE 'UTC', TIMESTAMP '2001-02-01 00:00:05') AT TIME ZONE 'UTC')")
        name = self.pick("date_bin", "time_bucket")
        return Both(f"{name}(INTERVAL '{width}', {time.ours})",
                    f"(time_bucket(INTERVAL '{width}', ({time.theirs}) AT TIME ZONE 'UTC', TIMESTAMP '1970-01-01') AT TIME ZONE 'UTC')")

    def compared(self, columns, depth):
        kind = self.pick("num", "num", "int", "text", "time", "time")
        a, b = self.any(kind, columns, depth), self.any(kind, columns, depth)
        op = self.pick("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
        return both("({} {} {})", a, op, b)

    def bool(self, columns, depth=1):
        rng, form = self.rng, self.rng.random()
        if depth > 0 and form < 0.3:
            return self.logic(self.bool(columns, depth - 1), self.bool(columns, depth - 1))
        if form < 0.6:
            return self.pushable(columns)
        if form < 0.85:
            return self.compared(columns, depth)
        kind = self.pick("num", "int", "text", "time")
        a = self.any(kind, columns, depth)
        form = self.pick("({} IS NULL)", "({} IS NOT NULL)", "in", "between")
        if form == "in":
            items = joined(", ", [self.literal(kind) for _ in range(rng.choice([1, 2, 5, 60]))])
            return both("({} {}IN ({}))", a, self.pick("", "NOT "), items)
        if form == "between":
            return both("({} {}BETWEEN {} AND {})", a, self.pick("", "NOT "), self.any(kind, columns, 0), self.any(kind, columns, 0))
        return both(form, a)

    def logic(self, a, b):
        form = self.pick("({} AND {})", "({} OR {})", "(NOT {})", "({} AND NOT {})", "({} IS TRUE)", "({} IS NOT TRUE)", "({} IS FALSE)", "({} IS NOT FALSE)", "({} OR NOT {})")
        return both(form, a, b)

    def pushable(self, columns):
        """Conditions of the forms that reach the chunk index."""
        rng = self.rng
        tag, time = self.column("tag", columns), self.column("time", columns)
        names = [f"'{name}'" for name, _ in self.data.tags]
        forms = ["time"] if time is not None else []
        if tag is not None:
            forms += ["tag", "in", "like", "regex", "label", "prefix", "odd"]
        if not forms:
            return self.compared(columns, 0)
        form = rng.choice(forms)
        if form == "tag":
            return both("({} {} {})", tag, self.pick("=", "=", "<>", "<", ">="), rng.choice(names + ["NULL", "'nowhere'"]))
        if form == "in":
            some = rng.sample(names, rng.randrange(1, 6)) + rng.choice([[], [], ["NULL"], [f"'x{i}'" for i in range(3000)]])
            return both("({} {}IN ({}))", tag, self.pick("", "", "NOT "), ", ".join(some))
        if form == "like":
            pattern = self.pick(f"{self.data.prefix}%", "%a%", "%0", "_%d_", f"{self.data.prefix}_1", "%.c%", f"{self.data.prefix}\\_%")
            op = self.pick("LIKE", "NOT LIKE", "ILIKE")
            return Both(f"({tag.ours} {op} '{pattern}')", f"({tag.theirs} {op} '{pattern}' ESCAPE '\\')")
        if form == "regex":
            pattern = self.pick("[a-d][0-9]$", "^d", "e|f", "[0-4]$", "[.]b")
            no = self.pick("", "!")
            return Both(f"({tag.ours} {no}~ '{pattern}')", f"({'NOT ' if no else ''}regexp_matches({tag.theirs}, '{pattern}'))")
        if form == "label":
            return both("(label({}, 'site') {} '{}')", tag, self.pick("=", "<>"), self.pick("north", "south", "east"))
        if form == "prefix":
            return both("starts_with({}, '{}')", tag, self.pick(self.data.prefix + "a", self.data.prefix, "nowhere"))
        if form == "odd":
            return both(self.pick("(length({0}) % 2 = 0)", "(upper({0}) LIKE '%A%')", "({0} || 'x' > '{1}')", "({0} = '{1}a0' OR {0} = '{1}b1')"), tag, self.data.prefix)
        a, b = self.time_literal(), self.time_literal()
        return both(self.pick("({0} >= {1} AND {0} < {2})", "({0} > {1})", "({0} <= {1})", "({0} BETWEEN {1} AND {2})", "({0} = {1})", "({0} IN ({1}, {2}))", "({1} < {0})", "({0} < {1} OR {0} > {2})", "({0} < now() - INTERVAL '1 hour')", "({0} <> {1})", "({0} + INTERVAL '1 hour' > {1})"), time, a, b)
