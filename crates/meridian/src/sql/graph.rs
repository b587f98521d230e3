//! A result as a drawing: which column is the time, which are lines.
//!
//! Promises: the first column of times is the x axis; each column of numbers is a line, or one for each text (a tag)
//! where there is a column of texts; a NULL is a gap. What can't be drawn is said, with what is missing.

use super::chart::{Chart, Line};
use super::print::{Kind, Look, kind};
use super::shell::Kept;
use crate::client::Column;
use crate::terminal::Terminal;
use chrono::{NaiveDate, NaiveDateTime};
use std::collections::HashMap;

/// Lines that are drawn; more can't be told apart.
const LINES_MAX: usize = 12;

/// Columns that say something about a number beside them, and are no measurement.
const ABOUT: [&str; 2] = ["quality", "ordinal"];

/// The drawing of a result.
///
/// # Errors
/// Why there is none, in words.
pub fn drawn(kept: &Kept, look: &Look, terminal: Terminal) -> Result<String, String> {
    if kept.columns.is_empty() {
        return Err("there is no result to draw yet: \\plot SELECT time, value FROM ..".to_owned());
    }
    let of = |wanted: fn(Kind) -> bool| {
        let numbered = kept.columns.iter().enumerate();
        numbered.filter(|(_, column)| wanted(kind(column.oid))).map(|(i, _)| i).collect::<Vec<usize>>()
    };
    let Some(time) = of(|kind| kind == Kind::Time).first().copied() else {
        return Err(format!(
            "there is no column of times among {}: a drawing needs one, and one or more of numbers",
            names(&kept.columns)
        ));
    };
    let mut values = of(|kind| matches!(kind, Kind::Number | Kind::Bool));
    let measured: Vec<usize> = values.iter().copied().filter(|i| !ABOUT.contains(&kept.columns[*i].name.as_str())).collect();
    if !measured.is_empty() {
        values = measured;
    }
    if values.is_empty() {
        return Err(format!("there is no column of numbers among {}", names(&kept.columns)));
    }
    // A text that is the same everywhere tells nothing apart.
    let texts: Vec<usize> =
        of(|kind| kind == Kind::Text).into_iter().filter(|i| kept.rows.iter().any(|row| row[*i] != kept.rows[0][*i])).collect();
    let (mut lines, offset) = lines(kept, time, &values, &texts);
    if lines.iter().all(|line| line.points.iter().all(|(_, y)| !y.is_finite())) {
        return Err("there are no points to draw: the result has no row with a time and a number".to_owned());
    }
    let left_out = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    let width = look.across.unwrap_or(terminal.width);
    let height = (terminal.height.saturating_sub(6 + lines.len().min(4))).clamp(6, 24);
    let mut out = Chart { width, height, unicode: look.unicode, offset }.draw(&lines, &look.terminal);
    if left_out > 0 {
        out.push_str(&format!("  and {left_out} more that are not drawn\n"));
    }
    if kept.cut {
        out.push_str(&format!("  of the first {} rows alone: there were more\n", kept.rows.len()));
    }
    Ok(out)
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The lines, and the offset of the times from UTC, in seconds.
fn lines(kept: &Kept, time: usize, values: &[usize], texts: &[usize]) -> (Vec<Line>, i64) {
    let mut lines: Vec<Line> = Vec::new();
    let mut known: HashMap<(Vec<&str>, usize), usize> = HashMap::new();
    let mut offset = 0;
    for row in &kept.rows {
        let Some((at, from_utc)) = row[time].as_deref().and_then(moment) else { continue };
        offset = from_utc;
        let key: Vec<&str> = texts.iter().map(|i| row[*i].as_deref().unwrap_or("NULL")).collect();
        for value in values {
            let line = *known.entry((key.clone(), *value)).or_insert_with(|| {
                let own = kept.columns[*value].name.as_str();
                let mut parts = key.clone();
                if key.is_empty() || values.len() > 1 {
                    parts.push(own);
                }
                lines.push(Line { name: parts.join(" "), points: Vec::new() });
                lines.len() - 1
            });
            let number = match row[*value].as_deref() {
                Some("t") => 1.0,
                Some("f") => 0.0,
                Some(text) => text.parse().unwrap_or(f64::NAN),
                None => f64::NAN,
            };
            lines[line].points.push((at, number));
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    (lines, offset)
}

/// A time as PostgreSQL writes it: seconds since 1970 UTC, and its offset from there.
fn moment(text: &str) -> Option<(f64, i64)> {
    if text.len() <= 10 {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
        return Some((day.and_utc().timestamp() as f64, 0));
    }
    // The offset stands behind the time: +00, -03:30, +05:45:10.
    let zone = text[10..].find(['+', '-']).map(|at| at + 10);
    let (local, zone) = zone.map_or((text, ""), |at| text.split_at(at));
    let parsed = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc();
    let seconds = parsed.timestamp() as f64 + f64::from(parsed.timestamp_subsec_micros()) * 1e-6;
    let mut offset = 0;
    let mut unit = 3600;
    for part in zone.trim_start_matches(['+', '-']).split(':').filter(|part| !part.is_empty()) {
        offset += part.parse::<i64>().ok()? * unit;
        unit /= 60;
    }
    let offset = if zone.starts_with('-') { -offset } else { offset };
    Some((seconds - offset as f64, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offsets() {
        assert_eq!(moment("1970-01-01 00:00:01.5+00"), Some((1.5, 0)));
        assert_eq!(moment("1970-01-01 08:00:00+08"), Some((0.0, 28_800)));
        assert_eq!(moment("1969-12-31 20:30:00-03:30"), Some((0.0, -12_600)));
        assert_eq!(moment("1970-01-02"), Some((86_400.0, 0)));
        assert_eq!(moment("1970-01-01 00:00:01"), Some((1.0, 0)));
        assert_eq!(moment("infinity"), None);
        assert_eq!(moment("0044-03-15 00:00:00+00 BC"), None);
    }

    #[test]
    fn wide_and_long_results_become_lines() {
        let column = |name: &str, oid| Column { name: name.to_owned(), oid };
        let mut kept = Kept::of(&[column("tag", 25), column("time", 1184), column("value", 701), column("quality", 21)]);
        for (tag, at, value) in [("a", 1, Some("1")), ("b", 1, Some("2")), ("a", 2, None), ("b", 2, Some("3"))] {
            let time = format!("1970-01-01 00:00:0{at}+00");
            kept.row(vec![Some(tag.to_owned()), Some(time), value.map(str::to_owned), Some("192".to_owned())]);
        }
        let (found, _) = lines(&kept, 1, &[2], &[0]);
        assert_eq!(found.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(found[0].points[1].1.is_nan() && found[1].points[1] == (2.0, 3.0));
    }
}
