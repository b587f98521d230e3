//! How the demo looks: sections, SQL, results, plots.

use crate::client::Answer;
use crate::config::units::round_span;
use crate::plot::Plot;
use crate::table::Table;
use crate::terminal::{Ink, Terminal};
use std::time::Duration;

/// Rows of a result that are shown.
const ROWS_SHOWN: usize = 10;
const PLOT_LINES: usize = 8;

/// Where it is shown.
pub struct Show {
    /// The terminal.
    pub terminal: Terminal,
    sections: usize,
}

impl Show {
    /// On standard output.
    pub fn new() -> Show {
        Show { terminal: Terminal::stdout(), sections: 0 }
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) {
        self.sections += 1;
        let head = format!("── {}. {title} ", self.sections);
        let rest = self.terminal.width.min(100).saturating_sub(head.chars().count());
        println!("\n{}", self.terminal.ink(Ink::Bold, &(head + &"─".repeat(rest))));
    }

    /// A line.
    pub fn line(&self, text: &str) {
        println!("  {text}");
    }

    /// A line that matters less.
    pub fn aside(&self, text: &str) {
        println!("  {}", self.terminal.ink(Ink::Dim, text));
    }

    /// A line that says that something is well.
    pub fn well(&self, text: &str) {
        println!("  {} {text}", self.terminal.ink(Ink::Green, "✓"));
    }

    /// A line that says that something is wrong.
    pub fn wrong(&self, text: &str) {
        println!("  {} {text}", self.terminal.ink(Ink::Red, "✗"));
    }

    /// A question, before it is asked.
    pub fn question(&self, title: &str, sql: &str) {
        println!("\n  {}", self.terminal.ink(Ink::Bold, title));
        for line in sql.lines() {
            println!("    {}", self.terminal.ink(Ink::Cyan, line));
        }
    }

    /// Its answer and how long it took, for whoever asked over the network.
    pub fn answer(&self, answer: &Answer, took: Duration) {
        let mut table = Table::new(answer.heads.clone());
        for row in answer.rows.iter().take(ROWS_SHOWN) {
            table.row(row.iter().map(|cell| cell.clone().unwrap_or_default()));
        }
        println!();
        print!("{}", table.show(&self.terminal, 4));
        let more = answer.rows.len().saturating_sub(table.len());
        let more = if more > 0 { format!("... and {more} more; ") } else { String::new() };
        let rows = answer.rows.len();
        self.aside(&format!("  {more}{rows} {} in {}", if rows == 1 { "row" } else { "rows" }, round_span(took)));
    }

    /// The texts of the last column, line by line: a plan.
    pub fn lines(&self, answer: &Answer) {
        println!();
        for line in
            answer.rows.iter().filter_map(|row| row.last().cloned().flatten()).flat_map(|text| cut(&text, self.terminal.width))
        {
            println!("    {line}");
        }
    }

    /// A plot of two columns of an answer: times or numbers across, numbers up.
    pub fn plot(&self, answer: &Answer, across: usize, up: usize) {
        let cell = |row: &[Option<String>], at: usize| row.get(at).and_then(Clone::clone).unwrap_or_default();
        let points: Vec<(f64, f64)> = answer
            .rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let text = cell(row, across);
                // Times come in even steps, so their place in the answer will do.
                (text.parse().unwrap_or(i as f64), cell(row, up).parse().unwrap_or(f64::NAN))
            })
            .collect();
        let ends = |row: Option<&Vec<Option<String>>>| row.map(|row| cell(row, across)).unwrap_or_default();
        let short = |text: String| {
            let text = text.strip_suffix("+00").map_or(text.clone(), str::to_owned);
            text.strip_suffix(" 00:00:00").map_or(text.clone(), str::to_owned)
        };
        let (first, last) = (short(ends(answer.rows.first())), short(ends(answer.rows.last())));
        let plot = Plot { width: self.terminal.width.saturating_sub(4).min(96), height: PLOT_LINES };
        println!();
        for line in plot.draw(&points, (&first, &last)).lines() {
            println!("  {line}");
        }
    }
}

fn cut(text: &str, width: usize) -> Vec<String> {
    let room = width.saturating_sub(6).max(20);
    let line = |line: &str| {
        if line.chars().count() <= room { line.to_owned() } else { line.chars().take(room - 1).chain(['…']).collect() }
    };
    text.lines().map(line).collect()
}
