//! Aligned columns.
//!
//! Promises: widths are found from the first rows; on a terminal the columns of text are narrowed until the table fits,
//! numbers and times never; where that is not enough, rows are written as records. A cell of several lines is written
//! on several lines.

use super::record::Record;
use super::{Expand, Kind, Look, Print, clean, cut, kind, padded, width};
use crate::client::{Column, Row};
use crate::terminal::Ink;
use std::borrow::Cow;
use std::io::{self, Write};

/// Rows that are held to find the widths.
const HELD_ROWS: usize = 1000;
/// Bytes of them.
const HELD_BYTES: usize = 4 << 20;
/// No column of text is made narrower to make the table fit.
const NARROWEST: usize = 12;

/// A table.
pub struct Aligned {
    look: Look,
    columns: Vec<Column>,
    right: Vec<bool>,
    held: Vec<Row>,
    held_bytes: usize,
    form: Form,
}

enum Form {
    /// Not known yet.
    Open,
    /// The widths; whether what is wider is cut.
    Table(Vec<usize>, bool),
    Records(Record),
}

/// What lines are drawn with.
struct Strokes {
    across: &'static str,
    cross: &'static str,
    down: &'static str,
    /// Behind a line of a cell that goes on.
    more: &'static str,
    /// Where something was cut.
    mark: &'static str,
}

fn strokes(look: &Look) -> Strokes {
    if look.unicode {
        Strokes { across: "─", cross: "┼", down: "│", more: "↵", mark: "…" }
    } else {
        Strokes { across: "-", cross: "+", down: "|", more: "+", mark: "..." }
    }
}

impl Aligned {
    pub fn new(look: &Look, columns: &[Column]) -> Aligned {
        let right = columns.iter().map(|column| kind(column.oid) == Kind::Number).collect();
        Aligned { look: look.clone(), columns: columns.to_vec(), right, held: Vec::new(), held_bytes: 0, form: Form::Open }
    }

    /// Finds the widths, and writes the head and what was held.
    fn settle(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let lines = |text: &str| clean(text).split('\n').map(width).max().unwrap_or(0);
        let mut widths: Vec<usize> = self.columns.iter().map(|column| lines(&column.name)).collect();
        for row in &self.held {
            for (i, cell) in row.iter().enumerate() {
                widths[i] = widths[i].max(cell.as_deref().map_or(width(&self.look.null), lines));
            }
        }
        let fits = self.fit(&mut widths);
        if !fits && self.look.expand == Expand::Auto {
            self.form = Form::Records(Record::new(&self.look, &self.columns));
        } else {
            self.head(&widths, out)?;
            self.form = Form::Table(widths, fits && self.look.across.is_some());
        }
        for row in std::mem::take(&mut self.held) {
            self.write(&row, out)?;
        }
        Ok(())
    }

    /// Narrows columns of text until the table fits; whether it does. What does not fit stays as it was.
    fn fit(&self, widths: &mut [usize]) -> bool {
        let Some(across) = self.look.across else { return true };
        let frame = (3 * widths.len()).saturating_sub(1);
        let wanted: usize = widths.iter().sum::<usize>() + frame;
        if wanted <= across {
            return true;
        }
        let is_text = |i: usize| matches!(kind(self.columns[i].oid), Kind::Text | Kind::Json | Kind::Array(_));
        let with_cap = |widths: &[usize], cap: usize| -> usize {
            widths.iter().enumerate().map(|(i, wide)| if is_text(i) { (*wide).min(cap) } else { *wide }).sum::<usize>() + frame
        };
        // The widest cap that fits: the longest columns give way first.
        let Some(cap) = (NARROWEST..across).rev().find(|cap| with_cap(widths, *cap) <= across) else { return false };
        for (i, wide) in widths.iter_mut().enumerate() {
            if is_text(i) {
                *wide = (*wide).min(cap);
            }
        }
        true
    }

    fn head(&self, widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        if self.look.bare {
            return Ok(());
        }
        let strokes = strokes(&self.look);
        let paint = |ink: Ink, text: &str| self.look.terminal.ink(ink, text);
        let mut heads = String::new();
        let mut rule = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            let name = clean(&column.name).replace('\n', " ");
            let name = cut(&name, widths[i], strokes.mark);
            // Heads stand in the middle, as psql has them.
            let before = widths[i].saturating_sub(width(&name)) / 2;
            let name = padded(&format!("{:before$}{name}", ""), widths[i], false);
            if i > 0 {
                heads.push_str(&paint(Ink::Dim, strokes.down));
                rule.push_str(strokes.cross);
            }
            heads.push_str(&format!(" {} ", paint(Ink::Bold, &name)));
            rule.push_str(&strokes.across.repeat(widths[i] + 2));
        }
        writeln!(out, "{heads}")?;
        writeln!(out, "{}", paint(Ink::Dim, &rule))
    }

    fn write(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        let (widths, cuts) = match &mut self.form {
            Form::Records(record) => return record.row(row, out),
            Form::Table(widths, cuts) => (&*widths, *cuts),
            Form::Open => return Ok(()),
        };
        let strokes = strokes(&self.look);
        let null = self.look.null.as_str();
        let cells: Vec<Cow<'_, str>> = row.iter().map(|cell| cell.as_deref().map_or(Cow::Borrowed(null), clean)).collect();
        let cells: Vec<Vec<&str>> = cells.iter().map(|cell| cell.split('\n').collect()).collect();
        let high = cells.iter().map(Vec::len).max().unwrap_or(1);
        let mut text = String::new();
        for level in 0..high {
            text.clear();
            for (i, lines) in cells.iter().enumerate() {
                if i > 0 {
                    text.push_str(&self.look.terminal.ink(Ink::Dim, strokes.down));
                }
                let line = lines.get(level).copied().unwrap_or_default();
                let line = if cuts { cut(line, widths[i], strokes.mark) } else { Cow::Borrowed(line) };
                let line = padded(&line, widths[i], self.right[i] && row[i].is_some());
                let line = if row[i].is_none() { self.look.terminal.ink(Ink::Dim, &line) } else { line };
                let more = if level + 1 < lines.len() { strokes.more } else { " " };
                text.push_str(&format!(" {line}{more}"));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl Print for Aligned {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        if !matches!(self.form, Form::Open) {
            return self.write(row, out);
        }
        self.held_bytes += row.iter().flatten().map(String::len).sum::<usize>();
        self.held.push(row.clone());
        if self.held.len() >= HELD_ROWS || self.held_bytes >= HELD_BYTES { self.settle(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if matches!(self.form, Form::Open) {
            self.settle(out)?;
        }
        match &mut self.form {
            Form::Records(record) => record.end(out),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, printer};
    use super::*;
    use crate::terminal::Terminal;

    fn shown(columns: &[(&str, u32)], rows: &[&[Option<&str>]], across: Option<usize>) -> String {
        let look = Look {
            format: Format::Table,
            expand: Expand::Auto,
            null: "NULL".to_owned(),
            bare: false,
            unicode: true,
            terminal: Terminal::plain(),
            across,
        };
        let columns: Vec<Column> = columns.iter().map(|(name, oid)| Column { name: (*name).to_owned(), oid: *oid }).collect();
        let mut printer = printer(&look, &columns);
        let mut out = Vec::new();
        for row in rows {
            printer.row(&row.iter().map(|cell| cell.map(str::to_owned)).collect(), &mut out).unwrap();
        }
        printer.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_text_left_and_wide_characters_count_two() {
        let rows: [&[Option<&str>]; 3] = [&[Some("温度"), Some("7")], &[Some("abc"), Some("1234")], &[None, None]];
        let expected = " tag  │  n   \n──────┼──────\n 温度 │    7\n abc  │ 1234\n NULL │ NULL\n";
        assert_eq!(shown(&[("tag", 25), ("n", 23)], &rows, None), expected);
    }

    #[test]
    fn a_table_that_is_too_wide_is_narrowed_and_then_written_as_records() {
        let long = "x".repeat(100);
        let row: &[Option<&str>] = &[Some(&long), Some("123456")];
        let narrowed = shown(&[("a", 25), ("n", 23)], &[row], Some(40));
        assert!(
            narrowed.lines().all(|line| width(line) <= 40) && narrowed.contains("x…") && narrowed.contains("123456"),
            "{narrowed}"
        );
        let whole = shown(&[("a", 25), ("n", 23)], &[row], None);
        assert!(whole.contains(&long));
        let columns: Vec<(String, u32)> = (0..9).map(|i| (format!("column{i}"), 25)).collect();
        let columns: Vec<(&str, u32)> = columns.iter().map(|(name, oid)| (name.as_str(), *oid)).collect();
        let cells: Vec<Option<&str>> = vec![Some(&long); 9];
        let records = shown(&columns, &[&cells], Some(40));
        assert!(records.contains("RECORD 1") && records.contains(&long), "{records}");
    }

    #[test]
    fn a_cell_of_several_lines_takes_several() {
        let row: &[Option<&str>] = &[Some("a\nb"), Some("1")];
        assert!(shown(&[("t", 25), ("n", 23)], &[row], None).ends_with(" a↵│ 1\n b │\n"));
    }
}
