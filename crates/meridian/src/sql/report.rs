//! Errors and notices as the shell shows them: what, where in the statement, what to do.
//!
//! Promises: the line of the statement that an error points to is shown with a caret under the place, by the widths of
//! the characters, tabs and wide ones included; a line that is too long is cut around the place.

use super::print::{clean, width};
use crate::client::Report;
use crate::terminal::{Ink, Terminal};

/// The report as lines, each ended by a line feed. `before` stands in front of the first.
pub fn shown(report: &Report, sql: &str, before: &str, terminal: &Terminal) -> String {
    let ink = if matches!(report.code.get(..2), Some("00" | "01" | "02")) { Ink::Yellow } else { Ink::Red };
    let severity = terminal.ink(ink, &format!("{}:", report.severity));
    let mut out = format!("{before}{severity}  {}: {}\n", report.code, clean(&report.message));
    if let Some(place) = report.position.and_then(|position| place(sql, position, terminal.width)) {
        let head = format!("LINE {}: ", place.line);
        let caret = terminal.ink(ink, "^");
        let indent = head.len() + place.column;
        out.push_str(&format!("{}{}\n{:indent$}{caret}\n", terminal.ink(Ink::Dim, &head), place.text, ""));
    }
    for (name, text) in [("DETAIL", &report.detail), ("HINT", &report.hint), ("CONTEXT", &report.context)] {
        if let Some(text) = text {
            out.push_str(&format!("{}  {}\n", terminal.ink(Ink::Bold, &format!("{name}:")), clean(text)));
        }
    }
    out
}

/// A line of a statement and where in it something is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    text: String,
    column: usize,
}

/// Room for "LINE n: ".
const HEAD: usize = 10;

/// The line that holds the character of that number (from 1), within so many columns.
fn place(sql: &str, position: usize, across: usize) -> Option<Place> {
    let at = sql.char_indices().nth(position.checked_sub(1)?).map_or(sql.len(), |(at, _)| at);
    // What is missing at the end is shown behind the last word, not on an empty line.
    let at = if at >= sql.trim_end().len() { sql.trim_end().len() } else { at };
    let start = sql[..at].rfind('\n').map_or(0, |feed| feed + 1);
    let end = sql[at..].find('\n').map_or(sql.len(), |feed| at + feed);
    let line = sql[..start].matches('\n').count() + 1;
    let text = clean(sql[start..end].trim_end()).into_owned();
    let before = clean(&sql[start..at]).into_owned();
    let (column, room) = (width(&before), across.saturating_sub(HEAD).max(20));
    if width(&text) <= room {
        return Some(Place { line, text: text.trim_end().to_owned(), column });
    }
    // Two thirds of the room lie before the place, where there is so much.
    let skip = column.saturating_sub(room * 2 / 3);
    let (mut out, mut used, mut seen) = (String::new(), 0, 0);
    let mut shift = 0;
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if seen < skip {
            seen += wide;
            shift = seen;
            continue;
        }
        if used + wide > room - 6 {
            out.push_str("...");
            break;
        }
        used += wide;
        out.push(c);
    }
    let mark = if shift > 0 { "..." } else { "" };
    Some(Place { line, text: format!("{mark}{out}"), column: column - shift + mark.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands above the caret.
    fn pointed(sql: &str, position: usize) -> String {
        let report = Report {
            severity: "ERROR".into(),
            code: "42601".into(),
            message: "m".into(),
            position: Some(position),
            ..Report::default()
        };
        let shown = shown(&report, sql, "", &Terminal::plain());
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].find('^').unwrap();
        let mut column = 0;
        for (at, c) in lines[1].char_indices() {
            if column == caret {
                return format!(
                    "{}{}",
                    &lines[1][..lines[1].find(':').unwrap()],
                    &lines[1][at..].chars().take(4).collect::<String>()
                );
            }
            column += width(c.encode_utf8(&mut [0; 4]));
        }
        format!("{}$", &lines[1][..lines[1].find(':').unwrap()])
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let number = |sql: &str, word: &str| sql[..sql.find(word).unwrap()].chars().count() + 1;
        let long = format!("SELECT {}, nope, {}", "a".repeat(300), "b".repeat(300));
        let wide = format!("SELECT '{}', nope", "温度".repeat(100));
        for (sql, line) in [
            ("SELECT nope", "LINE 1"),
            ("SELECT '温度',\tnope FROM x", "LINE 1"),
            ("SELECT 1,\n\t2,\n '气压', nope\nFROM x;", "LINE 3"),
            (&long, "LINE 1"),
            (&wide, "LINE 1"),
        ] {
            assert_eq!(pointed(sql, number(sql, "nope")), format!("{line}nope"), "{sql}");
        }
        assert_eq!(pointed("SELECT (1", 10), "LINE 1$");
        assert_eq!(pointed("SELECT (1\n", 11), "LINE 1$");
    }
}
