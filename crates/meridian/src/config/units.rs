//! Sizes and durations as people write them: "1GiB", "200ms", "30d".
//!
//! Promises: what `show_*` writes, `parse_*` reads back to the same number; a number without a
//! unit is bytes for a size and refused for a duration (nobody guesses seconds or milliseconds
//! right). Binary units only: KB, MB and GB are read as KiB, MiB and GiB, like PostgreSQL's.

use std::time::Duration;

const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Microseconds of each unit, the longest first.
const SPANS: [(&str, u64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Splits "1.5GiB" into 1.5 and "GiB".
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse::<f64>().ok()?;
    Some((number, text[end..].trim()))
}

/// A number times a unit, where it is a whole number below 2^63.
fn scale(number: f64, unit: u64) -> Option<u64> {
    let product = number * unit as f64;
    (0.0..9_223_372_036_854_775_808.0).contains(&product).then_some(product.round() as u64)
}

/// Bytes of a size: "1GiB", "512 MB", "1.5G", "4096".
///
/// # Errors
/// What was wrong and what is understood, for a person.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size; write a number and a unit: 512MiB, 1GiB, 4096 (bytes)");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let lower = unit.to_ascii_lowercase();
    let unit = match lower.as_str() {
        "" => "B",
        "k" | "kb" => "KiB",
        "m" | "mb" => "MiB",
        "g" | "gb" => "GiB",
        "t" | "tb" => "TiB",
        other => other,
    };
    let (_, bytes) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
    scale(number, *bytes).ok_or_else(wrong)
}

/// A size with the largest unit that leaves a whole number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let (name, unit) = SIZES.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A size for reading, rounded to three digits: "1.23 GiB".
#[must_use]
pub fn round_size(bytes: u64) -> String {
    let (name, unit) = SIZES.iter().find(|(_, unit)| bytes >= *unit).unwrap_or(&("B", 1));
    let number = bytes as f64 / *unit as f64;
    let digits = if *unit == 1 || number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.digits$} {name}")
}

/// A duration: "200ms", "30 s", "1.5h", "1d".
///
/// # Errors
/// What was wrong and what is understood, for a person.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration; write a number and a unit of us, ms, s, min, h, d, w: 200ms, 30s, 1d");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let lower = unit.to_ascii_lowercase();
    let unit = match lower.as_str() {
        "µs" | "μs" => "us",
        "sec" | "second" | "seconds" => "s",
        "m" | "minute" | "minutes" => "min",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        other => other,
    };
    let (_, us) = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    scale(number, *us).map(Duration::from_micros).ok_or_else(wrong)
}

/// A duration with the largest unit that leaves a whole number.
#[must_use]
pub fn show_span(span: Duration) -> String {
    let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    if us == 0 {
        return "0s".to_owned();
    }
    let (name, unit) = SPANS.iter().find(|(_, unit)| us >= *unit && us.is_multiple_of(*unit)).unwrap_or(&("us", 1));
    format!("{}{name}", us / unit)
}

/// A duration for reading, three digits: "1.23 s", "45.6 ms".
#[must_use]
pub fn round_span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (number, unit) = match seconds {
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let rows: &[(&str, Option<u64>)] = &[
            ("1GiB", Some(1 << 30)),
            ("1 gb", Some(1 << 30)),
            ("1.5G", Some(3 << 29)),
            ("512MiB", Some(512 << 20)),
            ("4_096", Some(4096)),
            ("0", Some(0)),
            ("10B", Some(10)),
            ("", None),
            ("GiB", None),
            ("1.2.3G", None),
            ("-1G", None),
            ("1 parsec", None),
            ("99999999999TiB", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_size(text).ok(), *expected, "{text:?}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let rows: &[(&str, Option<u64>)] = &[
            ("200ms", Some(200_000)),
            ("30 s", Some(30_000_000)),
            ("1.5h", Some(5_400_000_000)),
            ("1d", Some(86_400_000_000)),
            ("2w", Some(1_209_600_000_000)),
            ("10us", Some(10)),
            ("10µs", Some(10)),
            ("200", None),
            ("", None),
            ("ms", None),
            ("-5s", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_span(text).ok(), expected.map(Duration::from_micros), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 1 << 20, (1 << 30) + 1, 5 << 40] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for us in [0, 1, 1500, 1_000_000, 90_000_000, 86_400_000_000, 604_800_000_000] {
            let span = Duration::from_micros(us);
            assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
        assert_eq!(round_size(1_288_490_189), "1.20 GiB");
        assert_eq!(round_span(Duration::from_micros(45_600)), "45.6 ms");
    }
}
