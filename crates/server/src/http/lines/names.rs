//! The name and the labels of a series' field.
//!
//! ```text
//! measurement,key=value,key=value field
//! ```
//! Keys are in order; a comma, space or equals sign within a part has a backslash before it, as in a line. So a series has one
//! name, in whatever order a line has its tags, and no two series have the same: an unescaped space stands only before the
//! field.

use std::borrow::Cow;

/// The label that holds the measurement, and the one that holds the field.
pub(crate) const MEASUREMENT: &str = "_measurement";
pub(crate) const FIELD: &str = "_field";

type Fault = Cow<'static, str>;

/// A name, and labels in order of key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
}

impl Named {
    /// The name of a field of a series, both as a line writes them.
    pub(crate) fn of(key: &[u8], field: &[u8]) -> Result<Named, Fault> {
        let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| Fault::from("names are not valid UTF-8 (22021)"));
        let (key, field) = (utf8(key)?, utf8(field)?);
        let mut parts = split(key, b',');
        let measurement = unescaped(parts.next().unwrap_or_default(), false);
        if measurement.is_empty() {
            return Err("missing measurement".into());
        }
        let mut labels = Vec::new();
        for part in parts {
            let mut sides = split(part, b'=');
            let (key, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
            if key.is_empty() {
                return Err("missing tag key".into());
            }
            if value.is_empty() {
                return Err("missing tag value".into());
            }
            if sides.next().is_some() {
                return Err("invalid tag format".into());
            }
            let key = unescaped(key, true);
            if [MEASUREMENT, FIELD].contains(&key.as_str()) {
                return Err(format!("tag key {key} is reserved").into());
            }
            labels.push((key, unescaped(value, true)));
        }
        labels.sort_unstable();
        if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("duplicate tag {}", pair[0].0).into());
        }
        let field = unescaped(field, true);
        let mut name = String::with_capacity(key.len() + field.len() + 1);
        escape(&mut name, &measurement, false);
        for (key, value) in &labels {
            name.push(',');
            escape(&mut name, key, true);
            name.push('=');
            escape(&mut name, value, true);
        }
        name.push(' ');
        escape(&mut name, &field, true);
        let place = |labels: &[(String, String)], key: &str| labels.partition_point(|(other, _)| other.as_str() < key);
        labels.insert(place(&labels, FIELD), (FIELD.to_owned(), field));
        labels.insert(place(&labels, MEASUREMENT), (MEASUREMENT.to_owned(), measurement));
        Ok(Named { name, labels })
    }
}

/// The parts between unescaped separators.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let end = (0..bytes.len()).find(|at| bytes[*at] == separator && (*at == 0 || bytes[at - 1] != b'\\'));
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Whether a character has a backslash before it within a part; a measurement may hold equals signs.
fn is_special(byte: char, equals: bool) -> bool {
    matches!(byte, ',' | ' ') || (equals && byte == '=')
}

fn unescaped(text: &str, equals: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek() {
            Some(next) if c == '\\' && is_special(*next, equals) => {}
            _ => out.push(c),
        }
    }
    out
}

fn escape(out: &mut String, text: &str, equals: bool) {
    for c in text.chars() {
        if is_special(c, equals) {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_one_name() {
        let check = |key: &str, field: &str, expected: &str| {
            let named = Named::of(key.as_bytes(), field.as_bytes());
            assert_eq!(named.map(|named| named.name).as_deref(), Ok(expected), "{key} {field}");
        };
        check("cpu", "usage", "cpu usage");
        check("cpu,b=2,a=1", "usage", "cpu,a=1,b=2 usage");
        check("cpu,a=1,b=2", "usage", "cpu,a=1,b=2 usage");
        check(r"my\ cpu,a\,b=c\=d\ e", r"f\ g", r"my\ cpu,a\,b=c\=d\ e f\ g");
        check(r"a=b\,c,k=v\w", "f.g", r"a=b\,c,k=v\w f.g");
        check("温度,站=北", "值", "温度,站=北 值");
        let named = Named::of(b"cpu,z=9,Host=a\\ b", b"usage").unwrap();
        let labels: Vec<(&str, &str)> = named.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("Host", "a b"), ("_field", "usage"), ("_measurement", "cpu"), ("z", "9")]);
    }

    #[test]
    fn what_is_no_series_is_refused() {
        for (key, expected) in [
            (",a=1", "missing measurement"),
            ("m,", "missing tag key"),
            ("m,=1", "missing tag key"),
            ("m,a", "missing tag value"),
            ("m,a=", "missing tag value"),
            ("m,a=1=2", "invalid tag format"),
            ("m,a=1,a=2", "duplicate tag a"),
            ("m,_field=x", "tag key _field is reserved"),
        ] {
            assert_eq!(Named::of(key.as_bytes(), b"f"), Err(Fault::from(expected)), "{key}");
        }
        assert!(Named::of(b"m\xff", b"f").is_err());
    }
}
