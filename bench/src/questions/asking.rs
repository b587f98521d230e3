//! The questions in the words of each door, and how often they are answered.

use crate::measure::Spent;
use crate::peer::server::{agent, escaped, get};
use crate::peer::{Server, influx, victoria};
use crate::side::Turn;
use crate::{failed, grid};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use meridian::Session;
use meridian::bench::ingest::join;
use meridian::bench::latencies::Latencies;
use meridian::bench::queries::Dice;
use meridian::flight::Asker;
use meridian::grid::Part;
use meridian::progress::now;
use meridian::{Error, interrupt};
use serde_json::Value;
use std::time::Duration;
use ureq::{Agent, BodyReader};

const DAY_S: u64 = 86_400;
const MONTH_TAGS: u64 = 10;

/// A peer that is asked over HTTP.
#[derive(Clone, Copy)]
pub enum Who {
    /// VictoriaMetrics.
    Victoria,
    /// InfluxDB.
    Influx,
}

impl Who {
    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Who::Victoria => victoria::NAME,
            Who::Influx => influx::NAME,
        }
    }
}

/// Single points, of a peer that is asked over HTTP.
pub struct Points<'a> {
    /// Who.
    pub who: Who,
    /// Where.
    pub peer: &'a Server,
    /// The data set.
    pub parts: &'a [Part],
    /// Seconds from one sample of a tag to the next.
    pub cadence_s: u64,
    /// Questions are of times from here
    pub first_us: i64,
    /// to here.
    pub last_us: i64,
}

impl Points<'_> {
    /// Asks over so many connections for so long.
    ///
    /// # Errors
    /// `Error::Node`, `Error::Wrong`.
    pub fn ask(&self, connections: usize, seed: u64, lasting: Duration) -> Result<Turn, Error> {
        let started = now();
        let asked = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..connections as u64)
                .map(|i| scope.spawn(move || self.one(seed.wrapping_mul(31).wrapping_add(i), started, lasting)))
                .collect();
            threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
        })?;
        let elapsed = started.elapsed();
        let (mut points, mut latencies) = (0, Latencies::default());
        for (count, more) in asked {
            points += count;
            latencies.join(more);
        }
        Ok(Turn { points, elapsed, spent: Spent::default(), latencies })
    }

    fn one(&self, seed: u64, started: std::time::Instant, lasting: Duration) -> Result<(u64, Latencies), Error> {
        let (agent, mut dice) = (agent(), Dice::new(seed));
        let tags: u64 = self.parts.iter().map(Part::tags).sum();
        let (mut count, mut latencies) = (0, Latencies::default());
        while started.elapsed() < lasting {
            interrupt::check()?;
            let tag = dice.below(tags);
            // Whole milliseconds: no finer moment can be asked for at all of them.
            let at = (self.first_us + dice.below((self.last_us - self.first_us) as u64) as i64) / 1000 * 1000;
            let sent = now();
            let answer = get(&agent, &format!("{}{}", self.peer.url, self.path(tag, at)))?;
            latencies.add(sent.elapsed());
            count += 1;
            let answer: Value = serde_json::from_str(&answer).map_err(|error| failed("reading an answer", error))?;
            let value = match self.who {
                Who::Victoria => answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok()),
                Who::Influx => answer["results"][0]["series"][0]["values"][0][1].as_f64(),
            };
            let part = self.parts.iter().find(|part| (part.first()..part.first() + part.tags()).contains(&tag));
            let written = part.and_then(|part| part.expected(tag, at)).map(|sample| sample.value);
            if written != value {
                let who = self.who.name();
                return Err(Error::Wrong(format!("{who}: tag {tag} at {at} µs: written was {written:?}, read was {value:?}")));
            }
        }
        Ok((count, latencies))
    }

    fn path(&self, tag: u64, at: i64) -> String {
        let (name, back) = (grid::name(tag), self.cadence_s + 1);
        match self.who {
            Who::Victoria => {
                let query = escaped(&format!("last_over_time(grid_value{{tag=\"{name}\"}}[{back}s])"));
                format!("/api/v1/query?query={query}&time={}.{:03}", at / 1_000_000, at / 1000 % 1000)
            }
            Who::Influx => {
                let from = at - back as i64 * 1_000_000;
                influx::path(&format!(
                    "SELECT last(value) FROM grid WHERE \"tag\" = '{name}' AND time > {from}000 AND time <= {at}000"
                ))
            }
        }
    }
}

/// What there is.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Tags.
    pub tags: u64,
    /// Days.
    pub days: u64,
    /// Seconds from one sample of a tag to the next.
    pub cadence_s: u64,
}

/// A door that is asked.
pub enum Door<'a> {
    /// PostgreSQL's: ours (tags by name), or PostgreSQL itself (by number).
    Sql(&'a Session, bool),
    /// Ours for Flight SQL.
    Flight(&'a Asker),
    /// Ours for HTTP, in columns: the address of `/query`.
    Columns(&'a str),
    /// HTTP.
    Http(Who, &'a Server),
}

/// A question with more than one row for an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// The newest value of every tag.
    Last,
    /// All samples of one tag's day.
    Day,
    /// All samples of ten tags' month.
    Month,
}

impl Asking {
    /// What it is called.
    pub fn what(self) -> &'static str {
        match self {
            Asking::Last => "last value of all tags",
            Asking::Day => "one tag's day",
            Asking::Month => "ten tags' month",
        }
    }

    /// Asks over one connection for so long, at least once.
    ///
    /// # Errors
    /// `Error::Node`, `Error::Wrong` where other than the due number of rows come.
    pub fn again(self, door: &mut Door<'_>, extent: Extent, seed: u64, lasting: Duration) -> Result<Turn, Error> {
        let (mut dice, agent) = (Dice::new(seed ^ self as u64), agent());
        let (mut points, mut latencies) = (0, Latencies::default());
        let started = now();
        while points == 0 || started.elapsed() < lasting {
            interrupt::check()?;
            let tags: Vec<u64> = match self {
                Asking::Month => {
                    let first = dice.below(extent.tags);
                    (0..MONTH_TAGS).map(|i| (first + i * 997) % extent.tags).collect()
                }
                _ => vec![dice.below(extent.tags)],
            };
            let first_day = if self == Asking::Day { dice.below(extent.days) } else { 0 };
            let days = if self == Asking::Day { 1 } else { extent.days };
            // A second early: times of some tags jitter, and none crosses that.
            let from_s = grid::START_US / 1_000_000 + (first_day * DAY_S) as i64 - 1;
            let to_s = from_s + (days * DAY_S) as i64;
            let sent = now();
            let rows = match door {
                Door::Sql(session, ours) => session.count(&self.sql(*ours, extent, &tags, (from_s, to_s)))?,
                Door::Flight(asker) => {
                    let mut rows = 0;
                    asker.ask(&self.sql(true, extent, &tags, (from_s, to_s)), |batch| {
                        rows += decoded(batch)?;
                        Ok(())
                    })?;
                    rows
                }
                Door::Columns(url) => {
                    let sql = self.sql(true, extent, &tags, (from_s, to_s));
                    in_columns(&agent, url, &sql)?.map(|batch| decoded(&batch.map_err(unread)?)).sum::<Result<u64, Error>>()?
                }
                Door::Http(who, peer) => {
                    let answer = get(&agent, &format!("{}{}", peer.url, self.path(*who, &tags, (from_s, to_s))))?;
                    counted(*who, self, &answer)?
                }
            };
            latencies.add(sent.elapsed());
            points += 1;
            let due = match self {
                Asking::Last => extent.tags,
                _ => tags.len() as u64 * days * DAY_S / extent.cadence_s,
            };
            if rows != due {
                return Err(Error::Wrong(format!("{}: {rows} rows came, {due} were due", self.what())));
            }
        }
        Ok(Turn { points, elapsed: started.elapsed(), spent: Spent::default(), latencies })
    }

    fn sql(self, ours: bool, extent: Extent, tags: &[u64], (from, to): (i64, i64)) -> String {
        let called: Vec<String> =
            tags.iter().map(|tag| if ours { format!("'{}'", grid::name(*tag)) } else { tag.to_string() }).collect();
        let called = called.join(", ");
        match self {
            Asking::Last if ours => "SELECT tag, time, value FROM latest".to_owned(),
            // The best that its key can do: a search for each tag.
            Asking::Last => format!(
                "SELECT t.tag, s.time, s.value FROM generate_series(0, {}) AS t (tag), LATERAL \
                 (SELECT time, value FROM samples WHERE tag = t.tag ORDER BY time DESC LIMIT 1) AS s",
                extent.tags - 1
            ),
            Asking::Day | Asking::Month => format!(
                "SELECT tag, time, value FROM samples WHERE tag IN ({called}) AND time >= to_timestamp({from}) AND time < \
                 to_timestamp({to})"
            ),
        }
    }

    fn path(self, who: Who, tags: &[u64], (from, to): (i64, i64)) -> String {
        let names: Vec<String> = tags.iter().map(|tag| grid::name(*tag)).collect();
        match (who, self) {
            (Who::Victoria, Asking::Last) => {
                format!("/api/v1/query?query={}&time={}", escaped(&format!("last_over_time(grid_value[{}s])", to - from)), to + 2)
            }
            (Who::Victoria, _) => {
                let series = escaped(&format!("grid_value{{tag=~\"{}\"}}", names.join("|")));
                format!("/api/v1/export?match[]={series}&start={from}&end={}.999", to - 1)
            }
            (Who::Influx, Asking::Last) => influx::path("SELECT last(value) FROM grid GROUP BY \"tag\""),
            (Who::Influx, _) => {
                let wanted: Vec<String> = names.iter().map(|name| format!("\"tag\" = '{name}'")).collect();
                influx::path(&format!(
                    "SELECT value FROM grid WHERE ({}) AND time >= {from}s AND time < {to}s GROUP BY \"tag\"",
                    wanted.join(" OR ")
                ))
            }
        }
    }
}

fn unread(error: ArrowError) -> Error {
    failed("reading an answer", error)
}

/// A statement's answer over HTTP, as a stream of Arrow's; one that is cut ends with an error.
fn in_columns(agent: &Agent, url: &str, sql: &str) -> Result<StreamReader<BodyReader<'static>>, Error> {
    let asked = |problem: String| failed("asking over HTTP", problem);
    let request = agent.post(url).header("Accept", "application/vnd.apache.arrow.stream").content_type("application/sql");
    let answer = request.send(sql).map_err(|error| asked(error.to_string()))?;
    let status = answer.status();
    let mut body = answer.into_body();
    if !status.is_success() {
        return Err(asked(format!("{status}: {}", body.read_to_string().unwrap_or_default())));
    }
    StreamReader::try_new(body.into_with_config().limit(u64::MAX).reader(), None).map_err(unread)
}

/// Rows of a batch whose tag, time and value are there; each is looked at.
fn decoded(batch: &RecordBatch) -> Result<u64, Error> {
    let types: Vec<&DataType> = batch.columns().iter().map(|column| column.data_type()).collect();
    let [DataType::Utf8, DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Float64] = types[..] else {
        return Err(Error::Wrong(format!("columns of other types came: {types:?}")));
    };
    let tags = batch.column(0).as_string::<i32>().iter();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().iter();
    let values = batch.column(2).as_primitive::<Float64Type>().iter();
    let there = |((tag, time), value): &((Option<&str>, Option<i64>), Option<f64>)| {
        tag.is_some_and(|tag| !tag.is_empty()) && time.is_some_and(|time| time > 0) && value.is_some_and(f64::is_finite)
    };
    Ok(tags.zip(times).zip(values).filter(there).count() as u64)
}

/// Rows of an answer.
fn counted(who: Who, asking: Asking, answer: &str) -> Result<u64, Error> {
    let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| failed("reading an answer", error));
    let length = |value: &Value| value.as_array().map_or(0, |array| array.len() as u64);
    match (who, asking) {
        (Who::Victoria, Asking::Last) => Ok(length(&read(answer)?["data"]["result"])),
        (Who::Victoria, _) => answer.lines().map(|line| Ok(length(&read(line)?["values"]))).sum(),
        (Who::Influx, _) => {
            let answer = read(answer)?;
            let series = answer["results"][0]["series"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(series.iter().map(|series| length(&series["values"])).sum())
        }
    }
}
