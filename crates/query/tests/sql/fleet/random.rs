//! Statements put together at random, with one answer each: rows are compared without their order, and whoever takes some of them takes
//! them of an order of all columns, or counts them.

/// A die.
pub struct Dice(pub u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn of(&mut self, all: &[&str]) -> String {
        all[self.below(all.len())].to_owned()
    }

    fn number(&mut self) -> String {
        (self.below(900) as i64 - 300).to_string()
    }

    fn moment(&mut self) -> String {
        format!("'2026-01-0{} {:02}:00'", 1 + self.below(6), self.below(24))
    }
}

/// What gives rows of tag, time and value.
fn source(dice: &mut Dice, depth: usize) -> String {
    match dice.below(if depth == 0 { 8 } else { 11 }) {
        0..=3 => "samples".to_owned(),
        4 => "integers".to_owned(),
        5 => "(SELECT tag, time, length(text)::float8 AS value, quality FROM events)".to_owned(),
        6 => "latest".to_owned(),
        7 => "(SELECT name AS tag, TIMESTAMPTZ '2026-01-03' AS time, length(unit)::float8 AS value FROM tags)".to_owned(),
        _ => format!("({})", rows(dice, depth - 1)),
    }
}

/// A condition on a source; those with subqueries where `deep`.
fn condition(dice: &mut Dice, of: &str, deep: usize) -> String {
    match dice.below(if deep == 0 { 11 } else { 18 }) {
        0 => format!("{of}.tag = {}", dice.of(&["'a'", "'b'", "'c'", "'g'", "'s'", "'t'", "'nowhere'"])),
        1 => format!("{of}.tag IN ('a', 'c', 'd', 'nowhere')"),
        2 => format!("label({of}.tag, 'site') {}", dice.of(&["= 'north'", "<> 'north'", "IS NULL", "> 'o'"])),
        3 => format!("{of}.value {} {}", dice.of(&[">", "<=", "<>", "="]), dice.number()),
        4 => format!("{of}.value BETWEEN {} AND {}", dice.number(), dice.number()),
        5 => format!("{of}.time >= {}", dice.moment()),
        6 => format!("{of}.time < {}", dice.moment()),
        7 => format!("upper({of}.tag) < {}", dice.of(&["'C'", "'F'", "'H'"])),
        8 => format!("{of}.tag || {of}.value::text > {}", dice.of(&["'b'", "'c1'", "'f-'"])),
        9 => format!("extract(hour FROM {of}.time) {} 12", dice.of(&["<", ">="])),
        10 => format!("({of}.tag LIKE '{}%' OR {of}.value > {})", dice.of(&["a", "c", "e"]), dice.number()),
        11 => format!("{of}.value > (SELECT {}(value) FROM samples WHERE tag = 'g')", dice.of(&["avg", "min", "count"])),
        12 => format!("EXISTS (SELECT 1 FROM tags AS t WHERE t.name = {of}.tag AND t.unit = {})", dice.of(&["'kV'", "'MW'"])),
        13 => format!("{of}.tag {}IN (SELECT name FROM tags WHERE labels ->> 'site' = 'south')", dice.of(&["", "NOT "])),
        14 => format!("{of}.value IN (SELECT value FROM samples WHERE {})", condition(dice, "samples", 0)),
        15 => format!("NOT ({})", condition(dice, of, deep - 1)),
        16 => format!("({} OR {})", condition(dice, of, deep - 1), condition(dice, of, deep - 1)),
        _ => format!("{of}.time > (SELECT max(time) FROM events) - INTERVAL '{} hours'", dice.below(60)),
    }
}

fn conditions(dice: &mut Dice, of: &str) -> String {
    let all: Vec<String> = (0..dice.below(3)).map(|_| condition(dice, of, 2)).collect();
    if all.is_empty() { "true".to_owned() } else { all.join(" AND ") }
}

/// A query for tag, time and value.
fn rows(dice: &mut Dice, depth: usize) -> String {
    let from = source(dice, depth);
    let filter = conditions(dice, "x");
    match dice.below(if depth == 0 { 4 } else { 11 }) {
        0 | 1 => format!("SELECT x.tag, x.time, x.value FROM {from} AS x WHERE {filter}"),
        2 => {
            let having = dice.of(&["", " HAVING count(*) > 20", " HAVING max(x.value) < 500"]);
            let what = dice.of(&["count(*)", "sum(x.value)", "max(x.value)", "count(DISTINCT x.value)"]);
            format!(
                "SELECT x.tag, max(x.time) AS time, {what}::float8 AS value FROM {from} AS x WHERE {filter} GROUP BY x.tag{having}"
            )
        }
        3 => format!("SELECT DISTINCT x.tag, date_bin('1 day', x.time) AS time, 1.0 AS value FROM {from} AS x WHERE {filter}"),
        4 | 5 => {
            let (kind, other) = (dice.of(&["", "LEFT ", "RIGHT ", "FULL "]), source(dice, depth - 1));
            let on = dice.of(&["x.tag = y.tag AND x.time = y.time", "x.time = y.time", "x.value = y.value AND x.tag <> y.tag"]);
            format!(
                "SELECT coalesce(x.tag, y.tag) AS tag, y.time, x.value FROM {from} AS x {kind}JOIN {other} AS y ON {on} WHERE {filter}"
            )
        }
        6 => {
            let set = dice.of(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            format!("{} {set} {}", rows(dice, 0), rows(dice, 0))
        }
        7 => format!(
            "SELECT x.tag, x.time, row_number() OVER (PARTITION BY x.tag ORDER BY x.time, x.value)::float8 AS value FROM {from} AS x WHERE {filter}"
        ),
        8 => format!(
            "SELECT DISTINCT ON (x.tag) x.tag, x.time, x.value FROM {from} AS x WHERE {filter} ORDER BY x.tag, x.time DESC, x.value"
        ),
        _ => {
            let (way, other) = (dice.of(&["", " DESC"]), dice.of(&["", " DESC"]));
            let order = dice.of(&["x.tag{}, x.time, x.value{}", "x.time{}, x.tag, x.value{}", "x.value{}, x.time{}, x.tag"]);
            let order = order.replacen("{}", &way, 1).replacen("{}", &other, 1);
            let (most, skipped) = (1 + dice.below(60), dice.of(&["", " OFFSET 3"]));
            format!("SELECT x.tag, x.time, x.value FROM {from} AS x WHERE {filter} ORDER BY {order} LIMIT {most}{skipped}")
        }
    }
}

/// A statement.
pub fn statement(dice: &mut Dice) -> String {
    let inner = rows(dice, 2);
    match dice.below(4) {
        0 => format!(
            "SELECT count(*) FROM (SELECT q.value FROM ({inner}) AS q WHERE {} LIMIT {}) AS l",
            condition(dice, "q", 1),
            1 + dice.below(90)
        ),
        1 => format!("SELECT count(*), count(value), min(tag), max(time), sum(value) FROM ({inner}) AS q"),
        _ => inner,
    }
}
