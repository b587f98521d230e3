//! What a benchmark found: a table for a person, JSON for machines.
//!
//! Promises: every figure stands beside the paper's, their ratio, and the physical bound nearest
//! to it, with everything that is needed to measure it again.

use super::latencies::Percentiles;
use crate::Error;
use crate::config::units::round_span;
use crate::table::{Table, rounded};
use crate::terminal::{Ink, Terminal};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The physical bound nearest to a figure.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What bounds it: "disk write", "core time", ...
    pub name: String,
    /// Where it lies, in the figure's unit.
    pub value: f64,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The paper's figure for one node, in the same unit.
    pub paper: Option<f64>,
    /// What we want to reach.
    pub goal: Option<f64>,
    /// Whether less is better.
    pub less_is_better: bool,
    /// What bounds it.
    pub bound: Option<Bound>,
    /// What it was measured with.
    pub parameters: Map<String, Value>,
}

impl Figure {
    /// A figure, where more is better.
    pub fn new(name: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure { name, value, unit, paper: None, goal: None, less_is_better: false, bound: None, parameters: Map::new() }
    }

    /// With the paper's figure and our goal.
    #[must_use]
    pub fn against(mut self, paper: f64, goal: f64) -> Figure {
        (self.paper, self.goal) = (Some(paper), Some(goal));
        self
    }

    /// With our goal, where the paper has no figure.
    #[must_use]
    pub fn at_least(mut self, goal: f64) -> Figure {
        self.goal = Some(goal);
        self
    }

    /// Where the less the better, with our goal.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Figure {
        (self.goal, self.less_is_better) = (Some(goal), true);
        self
    }

    /// With a bound.
    #[must_use]
    pub fn bounded(mut self, name: impl Into<String>, value: f64) -> Figure {
        self.bound = Some(Bound { name: name.into(), value });
        self
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Figure {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// How many times better than the paper's.
    pub fn ratio(&self) -> Option<f64> {
        self.paper.map(|paper| if self.less_is_better { paper / self.value } else { self.value / paper })
    }

    fn reaches_goal(&self) -> Option<bool> {
        self.goal.map(|goal| if self.less_is_better { self.value <= goal } else { self.value >= goal })
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "paper": self.paper,
            "ratio": self.ratio(),
            "goal": self.goal,
            "bound": self.bound.as_ref().map(|bound| json!({ "name": bound.name, "value": bound.value })),
            "parameters": self.parameters,
        })
    }
}

/// Latencies of one sort of operation under one load.
#[derive(Clone, Debug)]
pub struct LatencyRow {
    /// Of what.
    pub name: String,
    /// The percentiles.
    pub found: Percentiles,
}

/// A figure of ours beside a peer's, measured in turns.
#[derive(Clone, Debug)]
pub struct Beside {
    /// What was measured; the more the better.
    pub name: &'static str,
    /// The unit of both.
    pub unit: &'static str,
    /// Ours, over all turns.
    pub ours: f64,
    /// The peer's, over all turns.
    pub peer: f64,
    /// Ours by the peer's, of each pair of turns.
    pub ratios: Vec<f64>,
}

/// All that a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The benchmark's name.
    pub benchmark: &'static str,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The latencies.
    pub latencies: Vec<LatencyRow>,
    /// Figures beside a peer's, and the peer's name.
    pub beside: Vec<Beside>,
    pub peer: String,
    /// What the machine can do, and what else belongs to every figure.
    pub machine: Map<String, Value>,
}

impl Beside {
    fn json(&self, peer: &str) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": peer,
            "ratio": self.ours / self.peer,
            "ratios": self.ratios,
        })
    }
}

impl Report {
    /// A report without figures.
    pub fn new(benchmark: &'static str) -> Report {
        let (figures, latencies, beside) = (Vec::new(), Vec::new(), Vec::new());
        Report { benchmark, figures, latencies, beside, peer: String::new(), machine: Map::new() }
    }

    /// Adds latencies, where some were measured.
    pub fn latency(&mut self, name: impl Into<String>, found: Percentiles) {
        if found.count > 0 {
            self.latencies.push(LatencyRow { name: name.into(), found });
        }
    }

    /// The report for a person.
    pub fn show(&self, terminal: &Terminal) -> String {
        let mut table =
            Table::new(["measurement", "paper", "ours", "unit", "times better", "goal", "bound", "bound by", "of bound"]);
        for figure in &self.figures {
            let of = |value: Option<f64>| value.map_or_else(String::new, rounded);
            let goal = match figure.reaches_goal() {
                None => String::new(),
                Some(reached) => format!("{} {}", of(figure.goal), if reached { "reached" } else { "MISSED" }),
            };
            let part = figure.bound.as_ref().map(|bound| {
                let part = if figure.less_is_better { bound.value / figure.value } else { figure.value / bound.value };
                format!("{:.0} %", part * 100.0)
            });
            let (bound, by) =
                figure.bound.as_ref().map_or_else(Default::default, |bound| (rounded(bound.value), bound.name.clone()));
            table.row([
                figure.name.to_owned(),
                of(figure.paper),
                rounded(figure.value),
                figure.unit.to_owned(),
                figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.1}")),
                goal,
                bound,
                by,
                part.unwrap_or_default(),
            ]);
        }
        let mut latencies = Table::new(["latency of", "p50", "p99", "p99.9", "measured"]);
        for row in &self.latencies {
            let found = &row.found;
            latencies.row([
                row.name.clone(),
                round_span(found.p50),
                round_span(found.p99),
                round_span(found.p999),
                found.count.to_string(),
            ]);
        }
        let beside = if self.beside.is_empty() { String::new() } else { format!("\n{}", self.show_beside(terminal)) };
        let machine = self.machine.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect::<Vec<_>>().join("; ");
        let (table, latencies) = (table.show(terminal, 0), latencies.show(terminal, 0));
        format!("{table}\n{latencies}{beside}\n{}\n", terminal.ink(Ink::Dim, &machine))
    }

    fn show_beside(&self, terminal: &Terminal) -> String {
        let mut table =
            Table::new(["in turns with the peer", "ours", self.peer.as_str(), "unit", "ratio", "ratios of single turns"]);
        for beside in &self.beside {
            let ratios: Vec<String> = beside.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            table.row([
                beside.name.to_owned(),
                rounded(beside.ours),
                rounded(beside.peer),
                beside.unit.to_owned(),
                format!("{:.2}", beside.ours / beside.peer),
                ratios.join(" "),
            ]);
        }
        table.show(terminal, 0)
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// `Error::File`.
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    pub fn write_json(&self, path: &Path) -> Result<(), Error> {
        let text = format!("{:#}\n", self.json());
        std::fs::write(path, text).map_err(|cause| Error::File { path: path.to_path_buf(), cause })
    }

    fn json(&self) -> Value {
        let micros = |span: std::time::Duration| span.as_micros() as u64;
        let latencies: Vec<Value> = self
            .latencies
            .iter()
            .map(|row| {
                let found = &row.found;
                json!({
                    "name": row.name,
                    "unit": "us",
                    "p50": micros(found.p50),
                    "p99": micros(found.p99),
                    "p99.9": micros(found.p999),
                    "count": found.count,
                })
            })
            .collect();
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        let beside: Vec<Value> = self.beside.iter().map(|beside| beside.json(&self.peer)).collect();
        json!({
            "benchmark": self.benchmark,
            "machine": self.machine,
            "figures": figures,
            "latencies": latencies,
            "beside": beside,
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_the_papers_and_its_bound() {
        let mut report = Report::new("table1");
        report
            .figures
            .push(Figure::new("ingest", 6e6, "points/s").against(1.2e6, 5e6).bounded("disk write", 12e6).with("tags", 20_000));
        let mut storage = Figure::new("storage", 1.2, "bytes/point").against(12.18, 1.1).bounded("entropy", 0.9);
        storage.less_is_better = true;
        report.figures.push(storage);
        let ratios = vec![0.5, 2.5];
        report.peer = "PostgreSQL 15".to_owned();
        report.beside.push(Beside { name: "queries", unit: "values/s", ours: 90_000.0, peer: 60_000.0, ratios });
        let shown = report.show(&Terminal::plain());
        assert!(shown.contains("5.00 M reached") && shown.contains("1.10 MISSED"), "{shown}");
        assert!(shown.contains("50 %") && shown.contains("75 %"), "{shown}");
        let json = report.json();
        assert_eq!(json["figures"][0]["ratio"], 5.0);
        assert_eq!(json["figures"][0]["parameters"]["tags"], 20_000);
        assert_eq!(json["figures"][1]["bound"]["name"], "entropy");
        assert_eq!((&json["beside"][0]["ratio"], &json["beside"][0]["peer_name"]), (&1.5.into(), &"PostgreSQL 15".into()));
        assert!(shown.contains("PostgreSQL 15") && shown.contains("1.50               0.50 2.50"), "{shown}");
    }
}
