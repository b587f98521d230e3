//! Results on paper: tables, records, CSV, JSON, Markdown.
//!
//! Promises: rows are written as they come; a table holds the first of them to find its widths, never all; what is
//! written to a file or a pipe is whole, and only a terminal's table cuts what is too long, with a mark.

mod aligned;
mod cell;
mod data;
mod record;

pub use cell::{clean, cut, padded, width};

use crate::client::{Column, Row};
use crate::terminal::Terminal;
use std::io::{self, Write};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// Comma-separated values with a head.
    Csv,
    /// An array of objects a result.
    Json,
    /// A table in Markdown.
    Markdown,
    /// A line a column.
    Expanded,
}

/// The names of the formats.
pub const FORMATS: [(&str, Format); 5] = [
    ("table", Format::Table),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("markdown", Format::Markdown),
    ("expanded", Format::Expanded),
];

impl Format {
    /// By its name; psql's `aligned` is the table.
    pub fn named(name: &str) -> Option<Format> {
        let name = if name == "aligned" { "table" } else { name };
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// When a line a column is written instead of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expand {
    /// Never.
    Off,
    /// Always.
    On,
    /// Where the table does not fit the terminal.
    Auto,
}

/// How results look.
#[derive(Clone, Debug)]
pub struct Look {
    /// The format.
    pub format: Format,
    /// Lines instead of columns.
    pub expand: Expand,
    /// What stands for NULL, in formats that have no way of their own.
    pub null: String,
    /// Rows alone, without heads and feet.
    pub bare: bool,
    /// Whether lines are drawn with more than ASCII.
    pub unicode: bool,
    /// Inks.
    pub terminal: Terminal,
    /// The columns that a table may take; None: as many as it needs.
    pub across: Option<usize>,
}

/// What kind of values a type has, as far as printing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Number,
    /// true, false.
    Bool,
    /// Dates and times, which say when.
    Time,
    /// JSON.
    Json,
    /// An array of numbers, of booleans, of anything else.
    Array(&'static Kind),
    /// Everything else.
    Text,
}

/// By the type's number (`pg_type.oid`), the same in every PostgreSQL.
pub fn kind(oid: u32) -> Kind {
    match oid {
        20 | 21 | 23 | 26 | 28 | 700 | 701 | 790 | 1700 => Kind::Number,
        16 => Kind::Bool,
        1082 | 1114 | 1184 => Kind::Time,
        114 | 3802 => Kind::Json,
        1005 | 1007 | 1016 | 1021 | 1022 | 1028 | 1231 => Kind::Array(&Kind::Number),
        1000 => Kind::Array(&Kind::Bool),
        199 | 3807 => Kind::Array(&Kind::Json),
        1001 | 1002 | 1003 | 1009 | 1014 | 1015 | 1115 | 1182 | 1183 | 1185 | 1187 | 2951 | 1041 | 651 => {
            Kind::Array(&Kind::Text)
        }
        _ => Kind::Text,
    }
}

/// Writes one result.
pub trait Print {
    /// One row of it.
    ///
    /// # Errors
    /// Those of writing.
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()>;

    /// It is complete.
    ///
    /// # Errors
    /// Those of writing.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// What writes a result of these columns.
pub fn printer(look: &Look, columns: &[Column]) -> Box<dyn Print> {
    match (look.format, look.expand) {
        (Format::Table, Expand::On) | (Format::Expanded, _) => Box::new(record::Record::new(look, columns)),
        (Format::Table, _) => Box::new(aligned::Aligned::new(look, columns)),
        (Format::Csv, _) => Box::new(data::Csv::new(look, columns)),
        (Format::Json, _) => Box::new(data::Json::new(columns)),
        (Format::Markdown, _) => Box::new(data::Markdown::new(look, columns)),
    }
}

/// "1 row", "2 rows".
pub fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}
