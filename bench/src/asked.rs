//! Questions that are put to several in turns: ours in SQL over its door, engines in their own SQL, VictoriaMetrics in PromQL.
//!
//! Promises: answers of those who speak SQL are compared cell by cell; the first turn is not counted; a figure is the median.

use crate::measure::{self, Spent};
use crate::peer::Server;
use crate::peer::engine::{Engine, Kind};
use crate::peer::victoria;
use crate::report::{Beside, Report};
use meridian::Session;
use meridian::node::{Node, disk_bytes};
use meridian::progress::now;
use meridian::table::Table;
use meridian::{Error, interrupt};
use serde_json::{Value, json};
use std::time::Duration;

/// Turns of each question that are counted.
pub const ROUNDS: usize = 5;

/// A question in the words of each.
pub struct Question {
    /// What it is called.
    pub what: String,
    /// Ours.
    pub ours: String,
    /// DuckDB's.
    pub duck: String,
    /// ClickHouse's.
    pub click: String,
    /// A path of VictoriaMetrics', where PromQL can say it.
    pub victoria: Option<String>,
}

/// Who is asked.
pub struct Asked<'a> {
    /// Ours.
    pub session: &'a Session,
    /// DuckDB and ClickHouse, who take part.
    pub engines: &'a mut [Engine],
    /// VictoriaMetrics, if it does.
    pub victoria: Option<&'a Server>,
    /// What ours may take of a peer's time, where that was asked for.
    pub goal: Option<f64>,
}

impl Asked<'_> {
    /// What each side holds of so many points, and took of the machine.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn held(&self, node: &Node, points: u64, report: &mut Report) -> Result<(), Error> {
        let mut table = Table::new(["side", "bytes a point on disk", "core time in all", "memory, peak"]);
        let mut values = serde_json::Map::new();
        let of_server = |peer: &Server| (format!("{} {}", victoria::NAME, victoria::version()), peer.dir.clone(), peer.process());
        let of_engine =
            |engine: &Engine| (format!("{} {}", engine.kind.name(), engine.version), engine.dir.clone(), engine.process());
        let sides = std::iter::once(("Meridian".to_owned(), node.dir.clone(), node.pid()))
            .chain(self.engines.iter().map(of_engine))
            .chain(self.victoria.map(of_server));
        for (name, dir, process) in sides {
            let (bytes, memory) = (disk_bytes(&dir)? as f64 / points as f64, measure::peak(process));
            let cpu = Spent::of(process).cpu.as_secs_f64();
            table.row([name.clone(), format!("{bytes:.2}"), format!("{cpu:.1} s"), format!("{} MiB", memory >> 20)]);
            values.insert(name, json!({"bytes_a_point": bytes, "memory_peak": memory, "cpu_s": cpu}));
        }
        report.fact("What each holds and took, loading included", table, values.into());
        Ok(())
    }

    /// Asks all in turns, compares answers, and notes the medians.
    ///
    /// # Errors
    /// What a side failed with; `Error::Wrong` where answers differ.
    pub fn ask(&mut self, question: &Question, report: &mut Report) -> Result<(), Error> {
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); self.engines.len()];
        let mut of_victoria = Vec::new();
        for round in 0..=ROUNDS {
            interrupt::check()?;
            let started = now();
            let answer = self.session.query(&question.ours)?;
            ours.push(started.elapsed());
            for (engine, times) in self.engines.iter_mut().zip(&mut theirs) {
                let sql = if engine.kind == Kind::Duck { &question.duck } else { &question.click };
                let told = engine.run(sql, round == 0)?;
                times.push(told.took);
                if round == 0 {
                    compare(&question.what, engine.kind.name(), &answer.rows, &told.rows)?;
                }
            }
            if let (Some(peer), Some(path)) = (self.victoria, &question.victoria) {
                let started = now();
                peer.get(path)?;
                of_victoria.push(started.elapsed());
            }
        }
        let goal = self.goal;
        let mut beside = |peer: &str, times: &[Duration]| {
            let turns = times[1..].iter().zip(&ours[1..]).map(|(their, our)| our.as_secs_f64() / their.as_secs_f64()).collect();
            let (what, peer) = (question.what.clone(), peer.to_owned());
            let (ours, theirs) = (median(&ours) * 1e3, median(times) * 1e3);
            report.add(Beside { what, unit: "ms", ours, peer, theirs, goal, more: false, turns });
        };
        for (engine, times) in self.engines.iter().zip(&theirs) {
            beside(engine.kind.name(), times);
        }
        if !of_victoria.is_empty() {
            beside(victoria::NAME, &of_victoria);
        }
        if theirs.is_empty() && of_victoria.is_empty() {
            eprintln!("{}: {:.1} ms", question.what, median(&ours) * 1e3);
        }
        Ok(())
    }
}

/// Of all but the first.
fn median(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times[1..].iter().map(Duration::as_secs_f64).collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A moment in UTC as all write it to the second; anything else as it is.
fn moment(text: &str) -> &str {
    let digits = |range: std::ops::Range<usize>| text.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let is_moment = digits(0..4) && digits(11..13) && text.get(4..5) == Some("-") && text.get(13..14) == Some(":");
    text.get(..19).filter(|_| is_moment).unwrap_or(text)
}

/// Cell by cell: numbers may differ in how their sums were rounded.
fn compare(what: &str, who: &str, ours: &[Vec<Option<String>>], theirs: &[Vec<Value>]) -> Result<(), Error> {
    let differ = |why: String| Err(Error::Wrong(format!("{what}: ours and {who}: {why}")));
    if ours.len() != theirs.len() {
        return differ(format!("{} rows and {}", ours.len(), theirs.len()));
    }
    for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (our, their) in ours.iter().zip(theirs) {
            let number = |text: &str| text.parse::<f64>().ok();
            let their_text = their.as_str().map_or_else(|| their.to_string(), str::to_owned);
            let our = our.as_deref().unwrap_or("null");
            let near = |(a, b): (f64, f64)| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
            if moment(our) != moment(&their_text) && !number(our).zip(number(&their_text)).is_some_and(near) {
                return differ(format!("row {row}: {our} and {their_text}"));
            }
        }
    }
    Ok(())
}
