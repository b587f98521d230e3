//! Tables for a person: aligned columns under a rule.
//!
//! Promises: every row has as many cells as there are heads; numbers stand right, text left; a
//! cell that is too long is cut with an ellipsis, never a line broken.

use crate::terminal::{Ink, Terminal};
use std::fmt::Write;

/// The longest cell, in characters.
const CELL_CHARS_MAX: usize = 60;

/// A table that grows row by row.
#[derive(Debug, Default)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these heads.
    #[must_use]
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Table {
        Table { heads: heads.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| cut(&cell.into())).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, indented by `indent` spaces, each ended by a newline.
    #[must_use]
    pub fn show(&self, terminal: &Terminal, indent: usize) -> String {
        let columns = self.heads.len();
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.chars().count()).collect();
        let mut numbers = vec![!self.rows.is_empty(); columns];
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate() {
                widths[i] = widths[i].max(cell.chars().count());
                numbers[i] &= cell.is_empty() || looks_like_number(cell);
            }
        }
        let mut out = String::new();
        let line = |out: &mut String, cells: &[String], ink: Option<Ink>| {
            let mut text = String::new();
            for (i, cell) in cells.iter().enumerate() {
                let pad = widths[i] - cell.chars().count();
                let (before, after) = if numbers[i] { (pad, 0) } else { (0, pad) };
                let gap = if i == 0 { "" } else { "  " };
                let _ = write!(text, "{gap}{:before$}{cell}{:after$}", "", "");
            }
            let text = text.trim_end();
            let text = ink.map_or_else(|| text.to_owned(), |ink| terminal.ink(ink, text));
            let _ = writeln!(out, "{:indent$}{text}", "");
        };
        line(&mut out, &self.heads, Some(Ink::Bold));
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        line(&mut out, &rules, Some(Ink::Dim));
        for row in &self.rows {
            line(&mut out, row, None);
        }
        out
    }
}

fn cut(cell: &str) -> String {
    let cell = cell.replace(['\n', '\r', '\t'], " ");
    if cell.chars().count() <= CELL_CHARS_MAX {
        return cell;
    }
    cell.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

fn looks_like_number(cell: &str) -> bool {
    let first = cell.trim_start_matches(['-', '+', '≥', '<', '>', ' ']);
    first.starts_with(|c: char| c.is_ascii_digit()) && !first.contains('-') && !first.contains(':')
}

/// A whole number with a comma after each third digit from the right: 1,234,567.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate or another large number for reading: "6.12 M", "93,800", "1.10".
#[must_use]
pub fn rounded(number: f64) -> String {
    match number.abs() {
        n if !n.is_finite() => "n/a".to_owned(),
        n if n >= 1e9 => format!("{:.2} G", number / 1e9),
        n if n >= 1e6 => format!("{:.2} M", number / 1e6),
        n if n >= 1000.0 => thousands(number.round().max(0.0) as u64),
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let mut table = Table::new(["tag", "count"]);
        table.row(["a", "7"]);
        table.row(["long name", "1,234"]);
        assert_eq!(table.len(), 2);
        let expected = "tag        count\n─────────  ─────\na              7\nlong name  1,234\n";
        assert_eq!(table.show(&Terminal::plain(), 0), expected);
    }

    #[test]
    fn long_cells_are_cut_and_missing_ones_empty() {
        let mut table = Table::new(["a", "b"]);
        table.row(["x".repeat(100)]);
        let shown = table.show(&Terminal::plain(), 2);
        assert!(shown.contains('…') && shown.lines().all(|line| line.chars().count() < 70), "{shown}");
    }

    #[test]
    fn large_numbers_are_rounded_for_reading() {
        for (number, expected) in [(6_123_456.0, "6.12 M"), (93_800.0, "93,800"), (1.104, "1.10"), (0.0, "0.00"), (17.26, "17.3")]
        {
            assert_eq!(rounded(number), expected);
        }
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
