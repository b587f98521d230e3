//! The case `cpu-only` of DevOps: hosts, each with ten figures of its processors.

use super::{Measurement, Model};
use crate::asked::Question;
use crate::grid::START_US;
use crate::peer::server::escaped;
use meridian::grid::hash;

const FIELDS: &[&str] = &[
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];
const KEYS: &[&str] =
    &["hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "service_version", "service_environment"];
const MEASUREMENTS: &[Measurement] = &[Measurement { name: "cpu", fields: FIELDS }];
const REGIONS: &[&str] =
    &["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1", "sa-east-1"];

/// The hosts.
pub fn model(scale: u64, seed: u64) -> Model {
    let of = |host: u64, key: u64, many: u64| hash(seed ^ 0x00DE_7095, host, key) % many;
    let labels = (0..scale).map(|host| {
        let region = REGIONS[of(host, 1, REGIONS.len() as u64) as usize];
        vec![
            format!("host_{host}"),
            region.to_owned(),
            format!("{region}{}", ["a", "b", "c"][of(host, 2, 3) as usize]),
            of(host, 3, 100).to_string(),
            ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"][of(host, 4, 3) as usize].to_owned(),
            ["x64", "x86"][of(host, 5, 2) as usize].to_owned(),
            ["SF", "NYC", "LON", "CHI"][of(host, 6, 4) as usize].to_owned(),
            of(host, 7, 20).to_string(),
            of(host, 8, 2).to_string(),
            ["production", "staging", "test"][of(host, 9, 3) as usize].to_owned(),
        ]
    });
    Model { keys: KEYS, labels: labels.collect(), measurements: MEASUREMENTS }
}

/// A stretch of time, in seconds since 1970.
#[derive(Clone, Copy)]
struct Window {
    from: i64,
    to: i64,
}

impl Window {
    fn ours(self) -> String {
        format!("time >= to_timestamp({}) AND time < to_timestamp({})", self.from, self.to)
    }

    fn duck(self) -> String {
        format!("time >= make_timestamp({}000000) AND time < make_timestamp({}000000)", self.from, self.to)
    }

    fn click(self) -> String {
        format!("time >= toDateTime64({}, 6, 'UTC') AND time < toDateTime64({}, 6, 'UTC')", self.from, self.to)
    }
}

/// What is the same in several questions.
struct Maker {
    hosts: u64,
    hours: u64,
    seed: u64,
}

impl Maker {
    /// So many hours somewhere in the data, on a whole minute.
    fn window(&self, hours: u64, salt: u64) -> Window {
        let room = (self.hours - hours) * 60 + 1;
        let from = START_US / 1_000_000 + (hash(self.seed ^ 0x0073_1470, salt, hours) % room) as i64 * 60;
        Window { from, to: from + hours as i64 * 3600 }
    }

    fn hosts(&self, count: u64, salt: u64) -> Vec<String> {
        let first = hash(self.seed ^ 0x0040_5701, salt, count) % self.hosts;
        (0..count).map(|i| format!("host_{}", (first + i * 7) % self.hosts)).collect()
    }

    /// The greatest of some figures of some hosts, by a stretch of time.
    fn max_by(&self, what: String, fields: &[&str], hosts: &[String], window: Window, (unit, seconds): (&str, u64)) -> Question {
        let listed = list(hosts);
        let start_of = if seconds == 60 { "toStartOfMinute" } else { "toStartOfHour" };
        let pattern = hosts.join("|");
        let query = format!(
            "max(max_over_time({{__name__=~\"cpu_({})\",hostname=~\"{pattern}\"}}[{seconds}s])) by (__name__)",
            fields.join("|")
        );
        Question {
            what,
            ours: format!(
                "SELECT date_bin('1 {unit}', time) AS at, {} FROM samples WHERE {} AND \
                 label(tag, 'hostname') IN ({listed}) AND {} GROUP BY 1 ORDER BY 1",
                ours_of("max", fields),
                ours_fields(fields),
                window.ours()
            ),
            duck: format!(
                "SELECT time_bucket(INTERVAL '1 {unit}', time) AS at, {} FROM cpu WHERE hostname IN ({listed}) AND {} \
                 GROUP BY 1 ORDER BY 1",
                of("max", fields),
                window.duck()
            ),
            click: format!(
                "SELECT {start_of}(time) AS at, {} FROM cpu WHERE hostname IN ({listed}) AND {} GROUP BY 1 ORDER BY 1",
                of("max", fields),
                window.click()
            ),
            victoria: Some(range(&query, window, seconds)),
        }
    }

    /// Means of some figures by host and hour.
    fn double_group_by(&self, fields: &[&str], salt: u64) -> Question {
        let window = self.window(12, salt);
        let called = if fields.len() == FIELDS.len() { "all".to_owned() } else { fields.len().to_string() };
        let query = format!("avg(avg_over_time({{__name__=~\"cpu_({})\"}}[1h])) by (__name__, hostname)", fields.join("|"));
        Question {
            what: format!("double-groupby-{called}"),
            ours: format!(
                "SELECT date_bin('1 hour', time) AS at, label(tag, 'hostname') AS host, {} FROM samples \
                 WHERE {} AND {} GROUP BY 1, 2 ORDER BY 1, 2",
                ours_of("avg", fields),
                ours_fields(fields),
                window.ours()
            ),
            duck: format!(
                "SELECT time_bucket(INTERVAL '1 hour', time) AS at, hostname, {} FROM cpu WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
                of("avg", fields),
                window.duck()
            ),
            click: format!(
                "SELECT toStartOfHour(time) AS at, hostname, {} FROM cpu WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
                of("avg", fields),
                window.click()
            ),
            victoria: Some(range(&query, window, 3600)),
        }
    }

    /// All rows of some hosts while they were busy.
    fn high_cpu(&self, hosts: Option<Vec<String>>, salt: u64) -> Question {
        let window = self.window(12, salt);
        let called = hosts.as_ref().map_or("all", |_| "1");
        let (ours, theirs) = hosts.map_or((String::new(), String::new()), |hosts| {
            let listed = list(&hosts);
            (format!(" AND label(tag, 'hostname') IN ({listed})"), format!(" AND hostname IN ({listed})"))
        });
        let columns = FIELDS.join(", ");
        Question {
            what: format!("high-cpu-{called}"),
            ours: format!(
                "SELECT time AS at, label(tag, 'hostname') AS host, {} FROM samples WHERE \
                 label(tag, '_measurement') = 'cpu' AND {}{ours} GROUP BY 1, 2 \
                 HAVING max(value) FILTER (WHERE label(tag, '_field') = 'usage_user') > 90 ORDER BY 1, 2",
                ours_of("max", FIELDS),
                window.ours()
            ),
            duck: format!(
                "SELECT time AS at, hostname, {columns} FROM cpu WHERE usage_user > 90 AND {}{theirs} ORDER BY 1, 2",
                window.duck()
            ),
            click: format!(
                "SELECT time AS at, hostname, {columns} FROM cpu WHERE usage_user > 90 AND {}{theirs} ORDER BY 1, 2",
                window.click()
            ),
            victoria: None,
        }
    }
}

/// The suite's questions.
pub fn questions(scale: u64, hours: u64, seed: u64) -> Vec<Question> {
    let maker = Maker { hosts: scale, hours, seed };
    let mut questions = Vec::new();
    for (salt, (fields, hosts, length)) in
        [(1, 1, 1), (1, 1, 12), (1, 8, 1), (5, 1, 1), (5, 1, 12), (5, 8, 1)].into_iter().enumerate()
    {
        let what = format!("single-groupby-{fields}-{hosts}-{length}");
        let window = maker.window(length, salt as u64);
        questions.push(maker.max_by(what, &FIELDS[..fields], &maker.hosts(hosts, salt as u64), window, ("minute", 60)));
    }
    for hosts in [1, 8] {
        let window = maker.window(8, 100 + hosts);
        questions.push(maker.max_by(format!("cpu-max-all-{hosts}"), FIELDS, &maker.hosts(hosts, hosts), window, ("hour", 3600)));
    }
    for fields in [1, 5, FIELDS.len()] {
        questions.push(maker.double_group_by(&FIELDS[..fields], 200 + fields as u64));
    }
    questions.push(maker.high_cpu(Some(maker.hosts(1, 300)), 300));
    questions.push(maker.high_cpu(None, 301));
    questions.push(last_point());
    questions.push(order_by_limit(maker.window(1, 400)));
    questions
}

fn last_point() -> Question {
    let newest = |function: &str| FIELDS.iter().map(|field| format!("{function}({field}, time)")).collect::<Vec<_>>().join(", ");
    Question {
        what: "lastpoint".to_owned(),
        ours: format!(
            "SELECT label(tag, 'hostname') AS host, {} FROM latest WHERE label(tag, '_measurement') = 'cpu' GROUP BY 1 ORDER BY 1",
            ours_of("max", FIELDS)
        ),
        duck: format!("SELECT hostname, {} FROM cpu GROUP BY 1 ORDER BY 1", newest("arg_max")),
        click: format!("SELECT hostname, {} FROM cpu GROUP BY 1 ORDER BY 1", newest("argMax")),
        victoria: None,
    }
}

fn order_by_limit(window: Window) -> Question {
    let to = window.to;
    Question {
        what: "groupby-orderby-limit".to_owned(),
        ours: format!(
            "SELECT date_bin('1 minute', time) AS at, max(value) FROM samples WHERE \
             label(tag, '_field') = 'usage_user' AND time < to_timestamp({to}) GROUP BY 1 ORDER BY 1 DESC LIMIT 5"
        ),
        duck: format!(
            "SELECT time_bucket(INTERVAL '1 minute', time) AS at, max(usage_user) FROM cpu WHERE \
             time < make_timestamp({to}000000) GROUP BY 1 ORDER BY 1 DESC LIMIT 5"
        ),
        click: format!(
            "SELECT toStartOfMinute(time) AS at, max(usage_user) FROM cpu WHERE time < toDateTime64({to}, 6, 'UTC') \
             GROUP BY 1 ORDER BY 1 DESC LIMIT 5"
        ),
        victoria: None,
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn of(function: &str, fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{function}({field})")).collect::<Vec<_>>().join(", ")
}

fn ours_of(function: &str, fields: &[&str]) -> String {
    match fields {
        [_] => format!("{function}(value)"),
        _ => {
            let one = |field: &&str| format!("{function}(value) FILTER (WHERE label(tag, '_field') = '{field}')");
            fields.iter().map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

fn ours_fields(fields: &[&str]) -> String {
    match fields {
        _ if fields.len() == FIELDS.len() => "label(tag, '_measurement') = 'cpu'".to_owned(),
        [field] => format!("label(tag, '_field') = '{field}'"),
        _ => format!("label(tag, '_field') IN ({})", list(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>())),
    }
}

/// PromQL looks back from each moment, SQL's groups look ahead.
fn range(query: &str, window: Window, step: u64) -> String {
    let (start, end) = (window.from + step as i64, window.to);
    format!("/api/v1/query_range?query={}&start={start}&end={end}&step={step}", escaped(query))
}
