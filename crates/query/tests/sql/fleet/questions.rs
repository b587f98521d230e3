//! Data of every kind, and some hundred questions of every form about them.

/// Statements that make tags and samples: eight numeric tags of several kinds over six days, and texts.
pub const FURNITURE: &[&str] = &[
    "INSERT INTO tags (name, kind, unit, labels, states) VALUES
     ('a', 'f64', 'kV', '{\"site\":\"north\"}', NULL), ('b', 'f64', 'MW', '{\"site\":\"south\"}', NULL),
     ('c', 'i64', 'kV', '{\"site\":\"north\"}', NULL), ('d', 'f32', 'A', '{}', NULL), ('e', 'bool', '', '{}', NULL),
     ('f', 'f64', 'kV', '{\"site\":\"south\"}', NULL), ('g', 'i32', 'A', '{}', NULL), ('h', 'f64', 'MW', '{}', NULL),
     ('gone', 'f64', 'MW', '{}', NULL), ('s', 'state', '', '{}', '{off,on}'), ('t', 'text', '', '{}', NULL),
     ('u', 'text', 'log', '{\"site\":\"north\"}', NULL), ('empty', 'f64', '', '{}', NULL)",
    "INSERT INTO samples (tag, time, value, quality) SELECT substr('abcdfgh', 1 + CAST(t AS int), 1),
     to_timestamp(1767225600 + n * 431 * 6 + t), (n * 7919 + t * 104729) % 1009 - 300,
     CASE WHEN n % 7 = 0 THEN 0 WHEN n % 11 = 0 THEN 64 ELSE 192 END
     FROM generate_series(0, 6) AS a(t), generate_series(0, 199) AS b(n)",
    "INSERT INTO samples (tag, time, value) SELECT 'e', to_timestamp(1767225600 + n * 3600) + INTERVAL '17 milliseconds', n % 2 FROM generate_series(0, 99) AS b(n)",
    "INSERT INTO samples (tag, time, value) SELECT 'gone', to_timestamp(1767225600 + n * 3600) + INTERVAL '18 milliseconds', n FROM generate_series(0, 50) AS b(n)",
    "INSERT INTO samples VALUES ('s', '2026-01-01 00:00:00.019', 'on'), ('s', '2026-01-04 00:00:00.019', 'off'), ('a', '2026-01-09', 'NaN'), ('b', '1990-01-01', '-Infinity')",
    "INSERT INTO integers VALUES ('c', '2026-01-20', 9007199254740993)",
    "INSERT INTO events SELECT 't', to_timestamp(1767225600 + n * 9000), 'event ' || CAST(n AS text) FROM generate_series(0, 60) AS b(n)",
    "INSERT INTO events VALUES ('u', '2026-01-03', 'started'), ('u', '2026-01-05', 'stopped', 'uncertain')",
    "DELETE FROM integers WHERE tag = 'c' AND time = '2026-01-20'",
];

const FILTERS: [&str; 12] = [
    "true",
    "tag = 'a'",
    "tag IN ('a', 'c', 'nowhere')",
    "tag LIKE 'g%'",
    "tag ~ '[b-f]' AND time < '2026-01-04'",
    "label(tag, 'site') = 'north'",
    "time >= '2026-01-02' AND time < '2026-01-05 12:00'",
    "quality >= 192",
    "quality = 'good' AND value > 100",
    "abs(value) < 250 AND extract(hour FROM time) < 12",
    "tag = 'nowhere'",
    "upper(tag) = 'B' OR value BETWEEN 10 AND 40",
];

const AGGREGATES: [&str; 7] = [
    "count(*), count(value), min(value), max(value), min(time), max(time)",
    "sum(value), avg(value), first(value, time), last(value, time)",
    "count(DISTINCT value), bool_or(quality = 0), max(tag)",
    "round(CAST(stddev(value) FILTER (WHERE abs(value) < 1e6) AS numeric), 6), round(CAST(var_pop(value) FILTER (WHERE abs(value) < 1e6) AS numeric), 6)",
    "count(*) FILTER (WHERE value > 0), sum(quality)",
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY value)",
    "median(value), array_agg(quality ORDER BY time, tag, value)",
];

const GROUPS: [&str; 6] =
    ["", "tag", "date_bin('1 day', time)", "tag, date_bin('36 hours', time)", "quality", "upper(tag), value > 0"];

const OTHERS: &[&str] = &[
    "SELECT 1 + 1",
    "SELECT tag, time, value::numeric / 7, value::numeric % 7 FROM integers ORDER BY tag, time LIMIT 50",
    "SELECT tag, sum(value) / 7, avg(value::numeric), avg(DISTINCT value::numeric) FROM integers GROUP BY tag ORDER BY tag",
    "SELECT count(*) FROM integers WHERE value::numeric / 3 > 33.3333::numeric",
    "SELECT tag, sum(value::numeric / 7) FROM integers GROUP BY tag HAVING sum(value::numeric / 7) > 0 ORDER BY tag",
    "SELECT sum(value::numeric / 0) FROM integers",
    "SELECT count(*) FROM samples WHERE value < ('1' || quality)::float8 + ('-1e' || quality)::float8",
    "SELECT count(*) FROM samples WHERE value < ('1e400' || left(tag, 0))::float8",
    "SELECT text || '!', repeat(text, 3), text::text || quality FROM events ORDER BY time, tag",
    "SELECT repeat('xy', 100000000 + quality) FROM events WHERE tag = 't'",
    "SELECT ln(value - 1000000) FROM samples WHERE tag = 'g'",
    "SELECT CASE WHEN quality = 192 THEN '1' ELSE value END FROM samples ORDER BY time, tag LIMIT 20",
    "SELECT count(*) FROM tags",
    "SELECT name, unit FROM tags WHERE labels ->> 'site' = 'north' ORDER BY name",
    "SELECT * FROM samples",
    "SELECT * FROM integers",
    "SELECT * FROM events",
    "SELECT tag, value FROM samples ORDER BY value, tag, time LIMIT 20",
    "SELECT tag, value, time FROM samples ORDER BY value DESC, time, tag LIMIT 7 OFFSET 5",
    "SELECT tag, time FROM samples ORDER BY time DESC, tag LIMIT 9",
    "SELECT tag, time FROM samples WHERE quality >= 192 ORDER BY time DESC, tag LIMIT 9",
    "SELECT time FROM samples ORDER BY time DESC LIMIT 5",
    "SELECT time FROM samples ORDER BY time LIMIT 5",
    "SELECT time, value FROM samples WHERE tag = 'b' ORDER BY time DESC LIMIT 3",
    "SELECT time, value FROM samples WHERE tag = 'b' AND time <= '2026-01-04' ORDER BY time DESC LIMIT 1",
    "SELECT time, value FROM samples WHERE tag = 'b' AND time >= '2026-01-02' AND time < '2026-01-09' ORDER BY time",
    "SELECT time, text FROM events WHERE tag = 't' AND time >= '2026-01-02' ORDER BY time LIMIT 4",
    "SELECT tag, text FROM events WHERE text LIKE '%7' ORDER BY time",
    "SELECT count(*) FROM (SELECT * FROM samples LIMIT 100) AS x",
    "SELECT count(*) FROM (SELECT tag FROM samples WHERE value > 0 LIMIT 33) AS x",
    "SELECT tag, time, value, text FROM latest ORDER BY tag",
    "SELECT tag, value FROM latest WHERE tag = 'c'",
    "SELECT tag, value FROM latest WHERE tag = ANY(ARRAY['a', 'c', 'a', 'nowhere']) ORDER BY tag",
    "SELECT l.tag, l.value, t.unit FROM latest AS l JOIN tags AS t ON t.name = l.tag WHERE t.unit <> '' ORDER BY 1",
    "SELECT tag, at, time, value, text FROM values_at(ARRAY['a', 'b', 't', 'a', 'nowhere'], ARRAY['2026-01-03', '2026-01-05 07:00', '2026-01-04', '1980-01-01', '2026-01-01']::timestamptz[])",
    "SELECT v.tag, v.value, t.unit FROM values_at(ARRAY['a', 'b'], ARRAY['2026-01-03', '2026-01-05']::timestamptz[]) AS v JOIN tags AS t ON t.name = v.tag ORDER BY 1",
    "SELECT unit, count(*), sum(value) FROM samples JOIN tags ON samples.tag = tags.name GROUP BY unit ORDER BY 1",
    "SELECT t.unit, s.tag, count(*) FROM samples AS s JOIN tags AS t ON s.tag = t.name WHERE t.labels ->> 'site' = 'south' AND s.value > 5 GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT count(*) FROM samples WHERE tag IN (SELECT name FROM tags WHERE unit = 'kV')",
    "SELECT count(*) FROM samples WHERE tag NOT IN (SELECT name FROM tags WHERE unit = 'kV')",
    "SELECT count(*) FROM samples AS x JOIN samples AS y ON x.tag = y.tag AND x.time = y.time",
    "SELECT x.tag, count(*) FROM samples AS x JOIN samples AS y ON x.time = y.time AND x.tag < y.tag GROUP BY 1 ORDER BY 1",
    "SELECT x.tag, y.tag FROM latest AS x, latest AS y WHERE x.value < y.value ORDER BY 1, 2",
    "SELECT t.name, s.n FROM tags AS t LEFT JOIN (SELECT tag, count(*) AS n FROM samples GROUP BY tag) AS s ON s.tag = t.name ORDER BY 1",
    "SELECT t.name, s.value FROM tags t, LATERAL (SELECT value FROM samples WHERE tag = t.name ORDER BY time DESC LIMIT 2) s ORDER BY 1, 2",
    "SELECT name, (SELECT max(value) FROM samples WHERE tag = name) AS m FROM tags ORDER BY 1",
    "SELECT tag, value FROM samples WHERE value = (SELECT max(value) FROM samples WHERE tag <> 'a') ORDER BY tag, time",
    "SELECT tag FROM samples WHERE value = (SELECT value FROM samples WHERE tag = 'b')",
    "SELECT DISTINCT tag FROM samples ORDER BY tag",
    "SELECT DISTINCT quality FROM samples ORDER BY 1",
    "SELECT DISTINCT ON (tag) tag, time, value FROM samples ORDER BY tag, time DESC",
    "SELECT tag, time, lag(value) OVER (PARTITION BY tag ORDER BY time) FROM samples ORDER BY tag, time LIMIT 50",
    "SELECT tag, time, avg(value) OVER (PARTITION BY tag ORDER BY time RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) FROM samples WHERE tag < 'c' ORDER BY tag, time",
    "SELECT tag, value FROM samples QUALIFY row_number() OVER (PARTITION BY tag ORDER BY time DESC) = 1 ORDER BY tag",
    "SELECT tag FROM samples UNION SELECT tag FROM events ORDER BY 1",
    "SELECT tag, count(*) FROM samples GROUP BY tag UNION ALL SELECT tag, count(*) FROM events GROUP BY tag ORDER BY 1",
    "SELECT tag FROM samples EXCEPT SELECT name FROM tags WHERE unit = 'kV' ORDER BY 1",
    "WITH days AS (SELECT tag, date_bin('1 day', time) AS day, avg(value) AS mean FROM samples GROUP BY 1, 2) SELECT day, max(mean) FROM days GROUP BY day ORDER BY day",
    "SELECT tag, quality, count(*) FROM samples GROUP BY GROUPING SETS ((tag), (quality), ()) ORDER BY 1, 2, 3",
    "SELECT tag, date_trunc('day', time), sum(value) FROM samples GROUP BY ROLLUP (1, 2) ORDER BY 1, 2, 3",
    "SELECT tag, count(*) FROM samples GROUP BY tag HAVING count(*) > 100 ORDER BY tag",
    "SELECT tag, max(value) FROM samples GROUP BY tag ORDER BY 2 DESC, 1 LIMIT 3",
    "SELECT count(*) FROM samples WHERE time > now() - INTERVAL '100 years'",
    "SELECT tag || ':' || CAST(count(*) AS text) FROM samples GROUP BY tag ORDER BY 1",
    "SELECT length(tag), count(*) FROM samples GROUP BY 1 ORDER BY 1",
    "SELECT CASE WHEN value > 0 THEN 'up' ELSE 'down' END AS way, count(*) FROM samples GROUP BY 1 ORDER BY 1",
    "SELECT to_char(time, 'YYYY-MM-DD'), count(*) FROM samples GROUP BY 1 ORDER BY 1",
    "SELECT sum(value) FROM integers WHERE tag = 'c'",
    "SELECT value FROM integers WHERE value % 2 = 0 ORDER BY value LIMIT 10",
    "SELECT value / (quality - quality) FROM integers",
    "SELECT value FROM samples WHERE 1 / (quality - 192) > 0",
    "SELECT max(value), min(value) FROM samples WHERE tag = 'empty'",
    "SELECT count(*) FROM events WHERE quality < 192",
    "SELECT max(text), min(time) FROM events",
    "SELECT n, (SELECT count(*) FROM samples WHERE value > n) FROM generate_series(0, 3) AS g(n) ORDER BY n",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT count(*) FROM events WHERE tag = 'u') + 3) SELECT * FROM r ORDER BY n",
    // What is done here of a few rows must not be of the first few of each node.
    "SELECT count(*) FROM (SELECT value FROM samples WHERE tag = 'a' AND to_char(time, 'SS') > '30' LIMIT 40) AS x",
    "SELECT count(*) FROM (SELECT value FROM samples WHERE tag = 'b' AND extract(minute FROM time::text::timestamp) > 30 LIMIT 15) AS x",
    "SELECT count(*) FROM (SELECT value FROM samples WHERE tag = 'a' AND value > (SELECT avg(value) FROM samples WHERE tag = 'g') LIMIT 40) AS x",
    "SELECT time::text::timestamp, time::text::date, value::text::float8 FROM samples WHERE tag = 'g' ORDER BY 1 LIMIT 3",
    "SELECT text::timestamp FROM events WHERE text = 'event 3'",
    "SELECT count(*) FROM (SELECT s.value FROM samples AS s JOIN generate_series(1, 5) AS g(n) ON s.value = n LIMIT 8) AS x",
    "SELECT value, time FROM samples ORDER BY to_char(time, 'MI:SS'), value, time LIMIT 6",
    "SELECT DISTINCT to_char(time, 'SS') AS s FROM samples WHERE to_char(time, 'SS') > '57' ORDER BY s LIMIT 2",
    "SELECT count(*) FROM (SELECT DISTINCT value FROM samples WHERE tag = 'a' AND to_char(time, 'SS') > '30' LIMIT 40) AS x",
    "SELECT count(*) FROM samples AS x, samples AS y WHERE x.value + y.value > 1200 AND x.tag = 'a' AND y.tag = 'b'",
];

/// All of them.
pub fn all() -> Vec<String> {
    let mut all: Vec<String> = OTHERS.iter().map(|sql| (*sql).to_owned()).collect();
    for filter in FILTERS {
        all.push(format!("SELECT tag, time, value, quality FROM samples WHERE {filter}"));
        all.push(format!("SELECT value + 1, quality FROM samples WHERE {filter}"));
        all.push(format!("SELECT tag, time FROM samples WHERE {filter} ORDER BY time DESC, tag LIMIT 6"));
        all.push(format!("SELECT count(*) FROM (SELECT value FROM samples WHERE {filter} LIMIT 25) AS x"));
        all.push(format!("SELECT time, value FROM integers WHERE {filter} ORDER BY time, value"));
        for aggregates in AGGREGATES {
            let group = GROUPS[(all.len() * 5 + filter.len()) % GROUPS.len()];
            for group in ["", group] {
                all.push(if group.is_empty() {
                    format!("SELECT {aggregates} FROM samples WHERE {filter}")
                } else {
                    format!("SELECT {group}, {aggregates} FROM samples WHERE {filter} GROUP BY {group}")
                });
            }
        }
    }
    for group in GROUPS.iter().filter(|group| !group.is_empty()) {
        for aggregates in AGGREGATES {
            all.push(format!("SELECT {group}, {aggregates} FROM samples GROUP BY {group}"));
        }
    }
    all
}
