"""Random questions: a SELECT in Meridian's words and the same in DuckDB's."""
from difference_expressions import Both, Expressions, both, joined

TABLES = {
    "samples": [("tag", "tag"), ("tag", "text"), ("time", "time"), ("value", "num"), ("quality", "int")],
    "integers": [("tag", "tag"), ("tag", "text"), ("time", "time"), ("value", "int"), ("quality", "int")],
    "events": [("tag", "tag"), ("tag", "text"), ("time", "time"), ("text", "text"), ("quality", "int")],
    "latest": [("tag", "tag"), ("tag", "text"), ("time", "time"), ("value", "num"), ("text", "text"), ("quality", "int")],
    "tags": [("name", "text"), ("kind", "text"), ("unit", "text"), ("low", "num")],
}
ORDERED = " /* ordered */"


class Relation:
    """A FROM item: its text, its columns and the columns that are unique together."""

    def __init__(self, source, columns, key):
        self.source, self.columns, self.key = source, columns, key


class Questions:
    def __init__(self, rng, data):
        self.rng, self.data, self.names = rng, data, 0
        self.make = Expressions(rng, data)

    def name(self, prefix="t"):
        self.names += 1
        return f"{prefix}{self.names}"

    def next(self):
        forms = [self.plain, self.plain, self.aggregate, self.aggregate, self.aggregate, self.window, self.distinct, self.distinct_on, self.set_operation, self.join, self.join, self.subquery, self.subquery, self.grouping_sets, self.common, self.newest, self.top_of_group, self.recursive]
        self.names = 0
        question = self.rng.choice(forms)()
        return question.ours, question.theirs

    # Relations

    def table(self, *names):
        some = names or ("samples", "samples", "samples", "integers", "events", "latest", "tags")
        if self.data.big:
            some = tuple(n for n in some if n not in ("samples", "latest")) or ("integers",)
        name = self.rng.choice(some)
        alias = self.name()
        quote = lambda c: '"text"' if c == "text" else c
        columns = [(Both(f"{alias}.{quote(c)}"), kind) for c, kind in TABLES[name]]
        key = {"tags": ["name"], "latest": ["tag"]}.get(name, ["tag", "time"])
        return Relation(Both(f"{name} AS {alias}"), columns, [Both(f"{alias}.{c}") for c in key])

    def derived(self):
        """A subquery as a table."""
        inner = self.table()
        alias = self.name("d")
        items, columns = [], []
        for number in range(self.rng.randrange(1, 4)):
            kind = self.rng.choice(["num", "int", "text", "time"])
            items.append(both("{} AS c{}", self.make.any(kind, inner.columns), number))
            columns.append((Both(f"{alias}.c{number}"), kind))
        for number, key in enumerate(inner.key):
            items.append(both("{} AS k{}", key, number))
        keys = [Both(f"{alias}.k{number}") for number in range(len(inner.key))]
        columns += [(keys[0], "text"), (keys[0], "tag")] + [(key, "time") for key in keys[1:]]
        text = both("(SELECT {} FROM {}{}) AS {}", joined(", ", items), inner.source, self.where(inner.columns), alias)
        return Relation(text, columns, keys)

    def relation(self):
        return self.derived() if self.rng.random() < 0.2 else self.table()

    def where(self, columns, chance=0.75):
        if self.rng.random() > chance:
            return Both("")
        conditions = [self.make.pushable(columns) if self.rng.random() < 0.6 else self.make.bool(columns) for _ in range(self.rng.randrange(1, 4))]
        return both(" WHERE {}", joined(" AND ", conditions))

    def items(self, columns, count=3):
        kinds = [self.rng.choice(["num", "int", "text", "time", "bool"]) for _ in range(count)]
        return [self.make.any(kind, columns) for kind in kinds]

    def order(self, key):
        way = lambda: self.rng.choice(["", "", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST"])
        return both(" ORDER BY {}", joined(", ", [both("{}{}", k, way()) for k in key]))

    def limit(self):
        form = self.rng.random()
        if form < 0.4:
            return ""
        return f" LIMIT {self.rng.choice([0, 1, 3, 10, 1000])}" + (f" OFFSET {self.rng.choice([0, 1, 5])}" if form > 0.7 else "")

    # Questions

    def plain(self):
        relation = self.relation()
        items = joined(", ", self.items(relation.columns) + relation.key)
        if self.rng.random() < 0.5:
            return both("SELECT {} FROM {}{}", items, relation.source, self.where(relation.columns))
        # What is sorted by an expression first still has the key behind it.
        first = [self.make.any(self.rng.choice(["num", "int", "text", "time"]), relation.columns)] if self.rng.random() < 0.4 else []
        return both("SELECT {} FROM {}{}{}{}{}", items, relation.source, self.where(relation.columns), self.order(first + relation.key), self.limit(), ORDERED)

    def newest(self):
        relation = self.table("samples", "integers", "events")
        way = self.rng.choice(["DESC", "ASC"])
        return both("SELECT {time}, {tag} FROM {source}{where} ORDER BY {time} {way}, {tag} LIMIT {rows}{ordered}",
                    time=relation.key[1], tag=relation.key[0], source=relation.source, where=self.where(relation.columns),
                    way=way, rows=self.rng.choice([1, 2, 7, 50]), ordered=ORDERED)

    def call(self, columns, time):
        """An aggregate."""
        rng, make = self.rng, self.make
        num, kind = make.any("num", columns, 1), rng.choice(["num", "int"])
        a = make.any(kind, columns, 1) if rng.random() < 0.4 else make.column(kind, columns) or make.literal(kind)
        forms = ["count(*)", "count(DISTINCT {a})", "count({a})", "sum({a})", "avg({a})", "min({a})", "max({a})", "min({text})", "max({time})", "bool_and({bool})", "bool_or({bool})", "first", "last", "median", "stddev", "string", "min({time})", "sum(DISTINCT {a})", "array"]
        form = rng.choice(forms)
        if form in ("first", "last"):
            if time is None:
                form = "count(*)"
            else:
                what = make.column(rng.choice(["num", "int", "text"]), columns) or num
                return Both(f"{form}({what.ours}, {time.ours})", f"{'arg_min' if form == 'first' else 'arg_max'}_null({what.theirs}, {time.theirs})"), True
        if form == "median":
            return both("median({})", make.column("num", columns) or num), False
        if form == "stddev":
            return self.spread(make.column("num", columns) or num), False
        if form == "string":
            return both("string_agg({0}, ',' ORDER BY {0})", make.column("text", columns) or make.literal("text")), False
        if form == "array":
            return both("array_agg({0} ORDER BY {0})", make.column("int", columns) or make.column("num", columns) or make.column("text", columns)), False
        call = both(form, a=a, text=make.any("text", columns, 1), time=make.any("time", columns, 1), bool=make.bool(columns))
        if rng.random() < 0.25:
            call = both("{} FILTER (WHERE {})", call, make.bool(columns))
        return call, False

    def spread(self, num):
        """DuckDB fails at infinities and NaN, or says 0 where a group has nothing else; to PostgreSQL they spread by NaN."""
        name, fewest = self.rng.choice([("stddev", 2), ("var_samp", 2), ("var_pop", 1), ("stddev_pop", 1)])
        theirs = "CASE WHEN count(*) FILTER (WHERE NOT isfinite({0})) = 0 THEN {1}({0}) FILTER (WHERE isfinite({0})) WHEN count({0}) >= {2} THEN CAST('NaN' AS double) END"
        return Both(f"{name}({num.ours})", theirs.format(num.theirs, name, fewest))

    def calls(self, columns, key, count=3):
        """Aggregates; first and last only where a group has one row for each time."""
        time = key[1] if len(key) > 1 else None
        return [self.call(columns, time)[0] for _ in range(self.rng.randrange(1, count + 1))]

    def group_keys(self, relation):
        make, rng = self.make, self.rng
        keys = []
        for _ in range(rng.choice([0, 1, 1, 2])):
            time = make.column("time", relation.columns)
            form = rng.choice(["tag", "tag", "bin", "any", "quality"])
            if form == "bin" and time is not None:
                keys.append(make.bin(time))
            elif form == "any":
                keys.append(make.any(rng.choice(["int", "text", "num", "bool"]), relation.columns, 1))
            elif form == "quality" and make.column("int", relation.columns) is not None:
                keys.append(make.column("int", relation.columns))
            else:
                keys.append(relation.key[0])
        return keys

    def aggregate(self):
        relation = self.relation()
        keys = self.group_keys(relation)
        by_tag = any(key.ours == relation.key[0].ours for key in keys)
        calls = self.calls(relation.columns, relation.key if by_tag else relation.key[:1])
        text = both("SELECT {} FROM {}{}", joined(", ", keys + calls), relation.source, self.where(relation.columns))
        if keys:
            text = both("{} GROUP BY {}", text, ", ".join(str(i + 1) for i in range(len(keys))))
            if self.rng.random() < 0.25:
                text = both("{} HAVING count(*) > {}", text, self.rng.choice([0, 1, 3]))
        return text

    def grouping_sets(self):
        relation = self.table("samples", "integers", "events")
        a, b = relation.key[0], self.make.bin(relation.key[1])
        inner = both("SELECT {} AS a, {} AS b, {} AS q, {} AS v FROM {}{}", a, b, self.make.column("int", relation.columns), self.make.any("num", relation.columns, 1), relation.source, self.where(relation.columns))
        sets = self.rng.choice(["ROLLUP(a, b)", "CUBE(a, q)", "GROUPING SETS ((a), (b), ())", "GROUPING SETS ((a, b), (q))"])
        names = [name for name in "abq" if name in sets.split("(", 1)[1].lower()]
        return both("SELECT {}, grouping({}), count(*), min(v), max(v) FROM ({}) AS s GROUP BY {}", ", ".join(names), names[0], inner, sets)

    def frame(self, time):
        rng = self.rng
        if time and rng.random() < 0.5:
            end = rng.choice(["CURRENT ROW", "INTERVAL '1 hour' FOLLOWING", "UNBOUNDED FOLLOWING"])
            return f"RANGE BETWEEN {rng.choice(['UNBOUNDED PRECEDING', chr(73) + 'NTERVAL ' + chr(39) + '1 hour' + chr(39) + ' PRECEDING', 'CURRENT ROW'])} AND {end}"
        return rng.choice(["", "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING", "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"])

    def over(self, relation):
        """A window function whose answer does not depend on the order of equal rows."""
        rng, make = self.rng, self.make
        partition, order = relation.key[0], relation.key[-1]
        by_time = len(relation.key) > 1
        a = make.column("num", relation.columns) or make.column("int", relation.columns) or relation.key[0]
        numeric = make.column("num", relation.columns) or make.column("int", relation.columns)
        forms = ["row_number()", "rank()", "dense_rank()", "lag({a})", "lead({a}, 2)", "first_value({a})", "last_value({a})", "count({a})", "min({a})", "max({a})", "ntile(3)", "lag({a}, 1, {a})", "nth_value({a}, 2)", "percent_rank()", "cume_dist()"]
        if numeric is not None:
            forms += ["sum({n})", "avg({n})"]
        form = rng.choice(forms)
        framed = form.split("(")[0] in ("first_value", "last_value", "count", "min", "max", "sum", "avg", "nth_value")
        call = both(form, a=a, n=numeric or a)
        way = rng.choice(["", " DESC"])
        return both("{} OVER (PARTITION BY {} ORDER BY {}{} {})", call, partition, order, way, self.frame(by_time and not way) if framed else "")

    def window(self):
        relation = self.table("samples", "integers", "events", "tags", "latest")
        items = joined(", ", relation.key + [self.over(relation) for _ in range(self.rng.randrange(1, 3))])
        text = both("SELECT {} FROM {}{}", items, relation.source, self.where(relation.columns))
        if self.rng.random() < 0.3:
            text = both("{} QUALIFY row_number() OVER (PARTITION BY {} ORDER BY {} DESC) <= {}", text, relation.key[0], relation.key[-1], self.rng.choice([1, 2]))
        return text

    def distinct(self):
        relation = self.relation()
        return both("SELECT DISTINCT {} FROM {}{}", joined(", ", self.items(relation.columns, self.rng.choice([1, 2]))), relation.source, self.where(relation.columns))

    def distinct_on(self):
        relation = self.table("samples", "integers", "events")
        way = self.rng.choice(["", " DESC"])
        items = joined(", ", relation.key + self.items(relation.columns, 1))
        return both("SELECT DISTINCT ON ({tag}) {items} FROM {source}{where} ORDER BY {tag}, {time}{way}{ordered}", tag=relation.key[0], items=items,
                    source=relation.source, where=self.where(relation.columns), time=relation.key[1], way=way, ordered=ORDERED)

    def set_operation(self):
        op = self.rng.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "UNION", "INTERSECT ALL", "EXCEPT ALL"])
        if op in ("INTERSECT ALL", "EXCEPT ALL"):
            return self.counted(op)
        kinds = [self.rng.choice(["num", "int", "text", "time"]) for _ in range(self.rng.choice([1, 2]))]
        sides = []
        for _ in range(2):
            relation = self.relation()
            items = joined(", ", [self.make.any(kind, relation.columns, 1) for kind in kinds])
            sides.append(both("SELECT {} FROM {}{}", items, relation.source, self.where(relation.columns)))
        return both("{} {} {}", sides[0], op, sides[1])

    def counted(self, op):
        """Rows that are counted, of a column: DataFusion can't plan the numbering of rows by constants, so Meridian refuses it."""
        kind = "text" if self.data.big else self.rng.choice(["text", "num"])
        sides = []
        for _ in range(2):
            relation = self.table(*(["samples", "latest", "tags"] if kind == "num" else []))
            sides.append(both("SELECT {} FROM {}{}", self.make.column(kind, relation.columns), relation.source, self.where(relation.columns)))
        return both("{} {} {}", sides[0], op, sides[1])

    def join(self):
        left, right = self.relation(), self.relation()
        columns = left.columns + right.columns
        on = [both("{} = {}", left.key[0], right.key[0])]
        if len(left.key) > 1 and len(right.key) > 1 and self.rng.random() < 0.6:
            on.append(both("{} = {}", left.key[1], right.key[1]))
        if self.rng.random() < 0.3:
            on.append(self.make.bool(columns))
        how = self.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN", "CROSS JOIN"])
        source = both("{} {} {}{}", left.source, how, right.source, both(" ON {}", joined(" AND ", on)) if how != "CROSS JOIN" else "")
        both_sides = Relation(source, columns, left.key + right.key)
        if self.rng.random() < 0.5:
            keys = self.group_keys(both_sides)
            calls = self.calls(columns, left.key[:1])
            text = both("SELECT {} FROM {}{}", joined(", ", keys + calls), source, self.where(columns))
            return both("{} GROUP BY {}", text, ", ".join(str(i + 1) for i in range(len(keys)))) if keys else text
        return both("SELECT {} FROM {}{}", joined(", ", both_sides.key + self.items(columns, 2)), source, self.where(columns))

    def subquery(self):
        outer, inner = self.table(), self.table()
        same = both("{} = {}", outer.key[0], inner.key[0])
        where = self.where(inner.columns, 1)
        items = joined(", ", outer.key)
        form = self.rng.choice(["exists", "in", "scalar", "scalar_all", "compared", "lateral", "any"])
        no = self.rng.choice(["", "NOT "])
        if form == "exists":
            return both("SELECT {} FROM {} WHERE {}EXISTS (SELECT 1 FROM {}{} AND {})", items, outer.source, no, inner.source, where, same)
        if form == "in":
            return both("SELECT {} FROM {} WHERE {} {}IN (SELECT {} FROM {}{})", items, outer.source, outer.key[0], no, inner.key[0], inner.source, where)
        if form == "any":
            return both("SELECT {} FROM {} WHERE {} = ANY (SELECT {} FROM {}{})", items, outer.source, outer.key[0], inner.key[0], inner.source, where)
        call = self.call(inner.columns, None)[0]
        if form == "scalar":
            return both("SELECT {}, (SELECT {} FROM {}{} AND {}) FROM {}", items, call, inner.source, where, same, outer.source)
        if form == "scalar_all":
            return both("SELECT {}, (SELECT {} FROM {}{}) FROM {}", items, call, inner.source, where, outer.source)
        if form == "compared":
            num = self.make.column("num", inner.columns) or self.make.column("int", inner.columns) or Both("1")
            own = self.make.column("num", outer.columns) or self.make.column("int", outer.columns) or Both("2")
            return both("SELECT {} FROM {} WHERE {} > (SELECT avg({}) FROM {}{})", items, outer.source, own, num, inner.source, where)
        return both("SELECT {}, l.n FROM {}, LATERAL (SELECT count(*) AS n FROM {}{} AND {}) AS l", items, outer.source, inner.source, where, same)

    def common(self):
        relation = self.table("samples", "integers", "events")
        body = both("SELECT {} AS k, {} AS b, count(*) AS n, min({}) AS c FROM {}{} GROUP BY 1, 2", relation.key[0], self.make.bin(relation.key[1]), self.make.column("int", relation.columns), relation.source, self.where(relation.columns))
        outer = self.rng.choice([
            "SELECT k, sum(n), max(c) FROM w GROUP BY k",
            "SELECT x.k, x.b, y.n FROM w AS x JOIN w AS y ON x.k = y.k AND x.b = y.b WHERE x.n > 1",
            "SELECT k, b, n, sum(n) OVER (PARTITION BY k ORDER BY b) FROM w",
            "SELECT count(*), sum(n), min(b) FROM w WHERE n = (SELECT max(n) FROM w)",
            "SELECT k, n FROM w WHERE k IN (SELECT name FROM tags WHERE unit = 'kV')",
        ])
        return both("WITH w AS ({}) {}", body, outer)

    def top_of_group(self):
        """The newest rows of each tag, by a window in a subquery."""
        relation = self.table("samples", "integers", "events")
        inner = both("SELECT {} AS k, {} AS t, row_number() OVER (PARTITION BY {} ORDER BY {} DESC) AS n FROM {}{}", relation.key[0], relation.key[1], relation.key[0], relation.key[1], relation.source, self.where(relation.columns))
        return both("SELECT k, t FROM ({}) AS s WHERE n <= {}", inner, self.rng.choice([1, 3]))

    def recursive(self):
        relation = self.table("samples", "integers", "events")
        step = self.rng.choice(["1 day", "1 hour"])
        return both("WITH RECURSIVE w(n, t) AS (SELECT 0, TIMESTAMPTZ '2024-03-09 18:00:00+00' UNION ALL SELECT n + 1, t + INTERVAL '{step}' FROM w WHERE n < 12) SELECT w.n, count({time}) FROM w LEFT JOIN {source} ON {time} >= w.t AND {time} < w.t + INTERVAL '{step}' GROUP BY w.n",
                    step=step, source=relation.source, time=relation.key[1])
