//! What a client wants its answer to be: by `?format=`, else by the `Accept` header.

use super::reply::Fault;
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap};

/// A form of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object: columns, rows as arrays.
    Json,
    /// An object a row, one a line.
    JsonLines,
    /// RFC 4180, with a line of names.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// Forms, their short names and media types; the first media type of each is what an answer says.
const FORMATS: [(Format, &str, &[&str]); 4] = [
    (Format::Json, "json", &["application/json"]),
    (Format::JsonLines, "ndjson", &["application/x-ndjson", "application/jsonlines", "application/jsonl"]),
    (Format::Csv, "csv", &["text/csv"]),
    (Format::Arrow, "arrow", &["application/vnd.apache.arrow.stream"]),
];

impl Format {
    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::JsonLines => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// What a request asks for.
    pub(crate) fn of(named: Option<&str>, headers: &HeaderMap) -> Result<Format, Fault> {
        if let Some(named) = named {
            let found = FORMATS.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(named));
            return found.map(|(format, ..)| *format).ok_or_else(|| {
                let shown: String = named.chars().take(32).collect();
                Fault::new(
                    StatusCode::BAD_REQUEST,
                    "22023",
                    format!("there is no format \"{shown}\"; formats are json, ndjson, csv, arrow"),
                )
            });
        }
        let mut ranges: Vec<(u32, &str)> = Vec::new();
        for header in headers.get_all(ACCEPT) {
            let text = header.to_str().unwrap_or_default();
            ranges.extend(text.split(',').map(str::trim).filter(|range| !range.is_empty()).map(weighed));
        }
        if ranges.is_empty() {
            return Ok(Format::Json);
        }
        // Stable: of two that weigh the same the first stands.
        ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let found = ranges.iter().filter(|(weight, _)| *weight > 0).find_map(|(_, range)| by_range(range));
        found.ok_or_else(|| {
            let known: Vec<&str> = FORMATS.iter().map(|(_, _, types)| types[0]).collect();
            Fault::new(StatusCode::NOT_ACCEPTABLE, "22023", format!("answers are {}", known.join(", ")))
        })
    }
}

/// A media range and its weight in thousandths.
fn weighed(range: &str) -> (u32, &str) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.and_then(|weight| weight.parse::<f64>().ok()).unwrap_or(1.0);
    ((weight.clamp(0.0, 1.0) * 1000.0) as u32, name)
}

fn by_range(range: &str) -> Option<Format> {
    let range = range.to_ascii_lowercase();
    let covers = |media_type: &str| match range.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => media_type.split_once('/').is_some_and(|(whole, _)| whole == kind),
        _ => media_type == range,
    };
    FORMATS.iter().find(|(_, _, types)| types.iter().any(|media_type| covers(media_type))).map(|(format, ..)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_range_stands() {
        for (accept, expected) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::JsonLines)),
            ("text/html, application/vnd.apache.arrow.stream;q=0.9, */*;q=0.1", Some(Format::Arrow)),
            ("application/json;q=0.2, text/csv;q=0.8", Some(Format::Csv)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Format::of(None, &headers).ok(), expected, "{accept}");
        }
        assert_eq!(Format::of(Some("CSV"), &HeaderMap::new()).ok(), Some(Format::Csv));
        assert!(Format::of(Some("xml"), &HeaderMap::new()).is_err());
    }
}
