//! A line a column, a block a row.
//!
//! Promises: values are written whole; a value of several lines goes on beneath its first.

use super::{Look, Print, clean, padded, width};
use crate::client::{Column, Row};
use crate::terminal::Ink;
use std::io::{self, Write};

/// Rows as records.
pub struct Record {
    look: Look,
    names: Vec<String>,
    wide: usize,
    count: u64,
}

impl Record {
    pub fn new(look: &Look, columns: &[Column]) -> Record {
        let names: Vec<String> = columns.iter().map(|column| clean(&column.name).replace('\n', " ")).collect();
        let wide = names.iter().map(|name| width(name)).max().unwrap_or(0);
        Record { look: look.clone(), names, wide, count: 0 }
    }
}

impl Print for Record {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        self.count += 1;
        let (across, cross, down) = if self.look.unicode { ("─", "┬", "│") } else { ("-", "+", "|") };
        let paint = |ink: Ink, text: &str| self.look.terminal.ink(ink, text);
        let values: Vec<_> = row.iter().map(|cell| cell.as_deref().map(clean)).collect();
        let longest = values.iter().flatten().flat_map(|value| value.split('\n')).map(width).max().unwrap_or(0);
        let room = self.look.across.map_or(longest, |across| longest.min(across.saturating_sub(self.wide + 3)));
        if !self.look.bare {
            // As psql draws it: the record's number lies over the line.
            let title = format!("{across}[ RECORD {} ]", self.count);
            let names = (self.wide + 1).saturating_sub(width(&title));
            let crossed = if width(&title) <= self.wide + 1 { cross } else { "" };
            let behind = (room + 1 + self.wide + 2).saturating_sub(width(&title) + names + width(crossed));
            let rule = format!("{title}{}{crossed}{}", across.repeat(names), across.repeat(behind));
            writeln!(out, "{}", paint(Ink::Dim, &rule))?;
        } else if self.count > 1 {
            writeln!(out)?;
        }
        for (name, value) in self.names.iter().zip(&values) {
            let null = paint(Ink::Dim, &self.look.null);
            let value = value.as_deref().unwrap_or(&null);
            for (i, line) in value.split('\n').enumerate() {
                let name = padded(if i == 0 { name } else { "" }, self.wide, false);
                let line = format!("{} {} {line}", paint(Ink::Bold, &name), paint(Ink::Dim, down));
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
