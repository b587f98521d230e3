//! Formats for programs: CSV, JSON, and Markdown for documents.
//!
//! Promises: what is written parses back to the same values. In CSV NULL is empty and an empty text is `""`, as COPY has
//! it. In JSON numbers keep every digit, what JSON has no number for (NaN, Infinity) is a text, arrays are arrays, JSON
//! stays JSON, and columns of one name get numbers (`a`, `a_2`).

use super::{Kind, Look, Print, clean, kind};
use crate::client::{Column, Row};
use std::collections::HashSet;
use std::io::{self, Write};

/// Comma-separated values.
pub struct Csv {
    head: Option<Row>,
}

impl Csv {
    pub fn new(look: &Look, columns: &[Column]) -> Csv {
        let head = columns.iter().map(|column| Some(column.name.clone())).collect();
        Csv { head: (!look.bare).then_some(head) }
    }

    fn line(row: &Row, out: &mut dyn Write) -> io::Result<()> {
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            match cell.as_deref() {
                None => {}
                // The last is what ends the data of a COPY.
                Some(cell) if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) || cell == "\\." => {
                    write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
                }
                Some(cell) => out.write_all(cell.as_bytes())?,
            }
        }
        out.write_all(b"\n")
    }
}

impl Print for Csv {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            Csv::line(&head, out)?;
        }
        Csv::line(row, out)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.head.take().map_or(Ok(()), |head| Csv::line(&head, out))
    }
}

/// An array of objects.
pub struct Json {
    names: Vec<String>,
    kinds: Vec<Kind>,
    begun: bool,
}

impl Json {
    pub fn new(columns: &[Column]) -> Json {
        let mut used = HashSet::new();
        let unused = |column: &Column| {
            let numbered = (2..).map(|n| format!("{}_{n}", column.name));
            let name = std::iter::once(column.name.clone()).chain(numbered).find(|name| !used.contains(name));
            let name = name.unwrap_or_default();
            used.insert(name.clone());
            text(&name)
        };
        let names = columns.iter().map(unused).collect();
        Json { names, kinds: columns.iter().map(|column| kind(column.oid)).collect(), begun: false }
    }
}

impl Print for Json {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.begun { b",\n {" } else { b"[\n {" })?;
        self.begun = true;
        for (i, cell) in row.iter().enumerate() {
            let value = cell.as_deref().map_or_else(|| "null".to_owned(), |cell| value(self.kinds[i], cell));
            write!(out, "{}{}: {value}", if i > 0 { ", " } else { "" }, self.names[i])?;
        }
        out.write_all(b"}")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.begun { b"\n]\n" } else { b"[]\n" })
    }
}

/// A value in JSON.
fn value(kind: Kind, cell: &str) -> String {
    match kind {
        Kind::Number if serde_json::from_str::<serde_json::Number>(cell).is_ok() => cell.to_owned(),
        Kind::Bool if cell == "t" => "true".to_owned(),
        Kind::Bool if cell == "f" => "false".to_owned(),
        Kind::Json if serde_json::from_str::<serde::de::IgnoredAny>(cell).is_ok() => cell.to_owned(),
        Kind::Array(of) => array(*of, cell).unwrap_or_else(|| text(cell)),
        _ => text(cell),
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `{1,NULL,"a b",{..}}` in JSON; None for what is no array.
fn array(of: Kind, cell: &str) -> Option<String> {
    // Bounds other than 1 stand before the braces.
    let braces = if cell.starts_with('[') { cell.find('=')? + 1 } else { 0 };
    let mut rest = cell.get(braces..)?;
    let out = elements(of, &mut rest)?;
    rest.is_empty().then_some(out)
}

fn elements(of: Kind, rest: &mut &str) -> Option<String> {
    *rest = rest.strip_prefix('{')?;
    let mut out = String::from("[");
    if let Some(behind) = rest.strip_prefix('}') {
        *rest = behind;
        return Some("[]".to_owned());
    }
    loop {
        match rest.chars().next()? {
            '{' => out.push_str(&elements(of, rest)?),
            '"' => {
                let mut element = String::new();
                let mut chars = rest.char_indices().skip(1);
                let end = loop {
                    match chars.next()? {
                        (_, '\\') => element.push(chars.next()?.1),
                        (at, '"') => break at + 1,
                        (_, c) => element.push(c),
                    }
                };
                *rest = &rest[end..];
                out.push_str(&value(of, &element));
            }
            _ => {
                let end = rest.find([',', '}'])?;
                let element = &rest[..end];
                *rest = &rest[end..];
                out.push_str(&if element.eq_ignore_ascii_case("null") { "null".to_owned() } else { value(of, element) });
            }
        }
        let more = rest.starts_with(',');
        *rest = rest.strip_prefix([',', '}'])?;
        out.push(if more { ',' } else { ']' });
        if !more {
            return Some(out);
        }
    }
}

/// A table in Markdown.
pub struct Markdown {
    look: Look,
    columns: Vec<Column>,
    begun: bool,
}

impl Markdown {
    pub fn new(look: &Look, columns: &[Column]) -> Markdown {
        Markdown { look: look.clone(), columns: columns.to_vec(), begun: false }
    }

    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.begun || self.look.bare {
            return Ok(());
        }
        self.begun = true;
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let rule = |column: &Column| if kind(column.oid) == Kind::Number { "---:" } else { "---" }.to_owned();
        writeln!(out, "{}", line(self.columns.iter().map(|column| escaped(&column.name)).collect()))?;
        writeln!(out, "{}", line(self.columns.iter().map(rule).collect()))
    }
}

/// Text in a cell of Markdown: what would end the cell, begin a tag or be obeyed is escaped.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '[' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

impl Print for Markdown {
    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        self.begin(out)?;
        let cells: Vec<String> = row.iter().map(|cell| cell.as_deref().map_or_else(|| self.look.null.clone(), escaped)).collect();
        writeln!(out, "| {} |", cells.join(" | "))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.begin(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_json_keep_what_they_are() {
        for (kind, cell, expected) in [
            (Kind::Number, "12345678901234567890.5", "12345678901234567890.5"),
            (Kind::Number, "1e+25", "1e+25"),
            (Kind::Number, "NaN", "\"NaN\""),
            (Kind::Bool, "t", "true"),
            (Kind::Text, "007", "\"007\""),
            (Kind::Text, "a\"\n\u{1}", "\"a\\\"\\n\\u0001\""),
            (Kind::Json, "{\"a\": [1]}", "{\"a\": [1]}"),
            (Kind::Array(&Kind::Number), "{1,NULL,{2,3},{}}", "[1,null,[2,3],[]]"),
            (Kind::Array(&Kind::Text), "{a,\"b \\\"c\\\\\",\"NULL\"}", "[\"a\",\"b \\\"c\\\\\",\"NULL\"]"),
            (Kind::Array(&Kind::Number), "[0:1]={1,2}", "[1,2]"),
            (Kind::Array(&Kind::Number), "no array", "\"no array\""),
        ] {
            assert_eq!(value(kind, cell), expected);
        }
        let twice = [("a", 25), ("a", 25), ("a_2", 25)].map(|(name, oid)| Column { name: name.to_owned(), oid });
        assert_eq!(Json::new(&twice).names, ["\"a\"", "\"a_2\"", "\"a_2_2\""]);
    }
}
