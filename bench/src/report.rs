//! What a benchmark found: ours beside each peer as ratios with the goals, and what each side took.

use crate::contest::Side;
use meridian::Error;
use meridian::table::{Table, rounded};
use meridian::terminal::Terminal;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A figure of ours beside a peer's.
pub struct Beside {
    /// What was measured.
    pub what: String,
    /// Of what.
    pub unit: &'static str,
    /// Ours.
    pub ours: f64,
    /// Who the peer is.
    pub peer: String,
    /// The peer's.
    pub theirs: f64,
    /// The goal of the ratio, ours to theirs.
    pub goal: Option<f64>,
    /// Whether more is better.
    pub more: bool,
    /// The ratio turn by turn.
    pub turns: Vec<f64>,
}

/// All that a benchmark found.
#[derive(Default)]
pub struct Report {
    title: String,
    beside: Vec<Beside>,
    facts: Vec<(String, Table, Value)>,
}

impl Report {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Report {
        Report { title: title.into(), ..Report::default() }
    }

    /// Adds a rate of ours beside a peer's.
    pub fn rates(&mut self, what: &str, unit: &'static str, ours: &Side, theirs: &Side, goal: Option<f64>) {
        let turns = ours.ratios(theirs);
        let (what, peer) = (what.to_owned(), theirs.name.clone());
        self.add(Beside { what, unit, ours: ours.rate(), peer, theirs: theirs.rate(), goal, more: true, turns });
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Beside) {
        let ratio = figure.ours / figure.theirs;
        eprintln!("{}: ours {} beside {} {}, {ratio:.2}", figure.what, rounded(figure.ours), figure.peer, rounded(figure.theirs));
        self.beside.push(figure);
    }

    /// Adds a table of facts of each side; the values are for the file.
    pub fn fact(&mut self, title: &str, table: Table, values: Value) {
        self.facts.push((title.to_owned(), table, values));
    }

    /// Prints all of it, and writes it to a file.
    ///
    /// # Errors
    /// `Error::File`.
    pub fn end(&self, json: Option<&Path>) -> Result<(), Error> {
        let terminal = Terminal::stdout();
        let mut table = Table::new(["measurement", "ours", "peer", "peer's", "ratio", "goal", "", "turns"]);
        for figure in &self.beside {
            let ratio = figure.ours / figure.theirs;
            let (bound, reached) = match figure.goal {
                None => (String::new(), ""),
                Some(goal) if figure.more => (format!("≥ {goal}"), if ratio >= goal { "reached" } else { "missed" }),
                Some(goal) => (format!("≤ {goal}"), if ratio <= goal { "reached" } else { "missed" }),
            };
            let turns: Vec<String> = figure.turns.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let show = |number| format!("{} {}", rounded(number), figure.unit);
            table.row([
                figure.what.clone(),
                show(figure.ours),
                figure.peer.clone(),
                show(figure.theirs),
                format!("{ratio:.2}"),
                bound,
                reached.to_owned(),
                turns.join(" "),
            ]);
        }
        println!("{}\n\n{}", self.title, table.show(&terminal, 0));
        for (title, table, _) in &self.facts {
            println!("{title}\n\n{}", table.show(&terminal, 0));
        }
        let Some(path) = json else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.value()).unwrap_or_default();
        std::fs::write(path, text).map_err(|cause| Error::File { path: path.to_path_buf(), cause })
    }

    fn value(&self) -> Value {
        let figure = |figure: &Beside| {
            json!({
                "what": figure.what, "unit": figure.unit, "ours": figure.ours, "peer": figure.peer, "theirs": figure.theirs,
                "ratio": figure.ours / figure.theirs, "goal": figure.goal, "more_is_better": figure.more, "turns": figure.turns,
            })
        };
        let facts: Map<String, Value> = self.facts.iter().map(|(title, _, value)| (title.clone(), value.clone())).collect();
        json!({"title": self.title, "beside": self.beside.iter().map(figure).collect::<Vec<_>>(), "facts": facts})
    }
}
