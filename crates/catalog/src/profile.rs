//! The parts of a definition that many tags share, as bytes: the profile (kind, unit, states, cadence,
//! compression) and labels. The same bytes lie in memory, in the log and in checkpoints.
//!
//! ```text
//!   profile  kind u8 | compression u8 (0, 1, 2) [deviation f64 LE, span varint] | cadence varint
//!            | unit text | count varint, states text..
//!   label    key text | value (the rest)
//!   labels   (length varint | label)..   in rising order of key
//!   text     length varint | UTF-8
//! ```
//! Promises: one value has one form; what does not parse, or breaks a rule, is `None`, never a panic.

use crate::rules;
use storage::wire::{Reader, put_varint};
use types::{Compression, Kind, TagDefinition};

/// A profile read back.
pub struct Profile {
    pub kind: Kind,
    pub compression: Compression,
    pub cadence_us: i64,
    pub unit: String,
    pub states: Vec<String>,
}

/// Appends a text.
#[inline]
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a text of at most that many bytes.
#[inline]
pub fn read_text<'a>(reader: &mut Reader<'a>, bytes_max: usize) -> Option<&'a str> {
    let len = reader.count(bytes_max)?;
    std::str::from_utf8(reader.bytes(len)?).ok()
}

/// Appends the profile of a definition that keeps the rules.
pub fn put_profile(out: &mut Vec<u8>, definition: &TagDefinition) {
    out.push(definition.kind as u8);
    match definition.compression {
        Compression::Lossless => out.push(0),
        Compression::Deadband { deviation, span_us } => put_compression(out, 1, deviation, span_us),
        Compression::SwingingDoor { deviation, span_us } => put_compression(out, 2, deviation, span_us),
    }
    put_varint(out, definition.cadence_us as u64);
    put_text(out, &definition.unit);
    put_varint(out, definition.states.len() as u64);
    definition.states.iter().for_each(|state| put_text(out, state));
}

fn put_compression(out: &mut Vec<u8>, number: u8, deviation: f64, span_us: i64) {
    out.push(number);
    out.extend_from_slice(&deviation.to_le_bytes());
    put_varint(out, span_us as u64);
}

/// Kind and compression, with which a profile begins.
fn read_compression(reader: &mut Reader<'_>) -> Option<(Kind, Compression)> {
    let kind = Kind::from_u8(reader.u8()?)?;
    let compression = match reader.u8()? {
        0 => Compression::Lossless,
        number @ (1 | 2) => {
            let deviation = f64::from_le_bytes(reader.array()?);
            let span_us = i64::try_from(reader.varint()?).ok()?;
            (deviation.is_finite() && deviation >= 0.0).then_some(())?;
            if number == 1 {
                Compression::Deadband { deviation, span_us }
            } else {
                Compression::SwingingDoor { deviation, span_us }
            }
        }
        _ => return None,
    };
    Some((kind, compression))
}

/// Kind and compression in a profile's bytes.
pub fn profile_compression(bytes: &[u8]) -> Option<(Kind, Compression)> {
    read_compression(&mut Reader::new(bytes))
}

/// The profile of these bytes.
pub fn read_profile(bytes: &[u8]) -> Option<Profile> {
    let mut reader = Reader::new(bytes);
    let (kind, compression) = read_compression(&mut reader)?;
    let cadence_us = i64::try_from(reader.varint()?).ok()?;
    let unit = read_text(&mut reader, rules::UNIT_BYTES_MAX)?.to_owned();
    let count = reader.count(rules::STATES_MAX)?;
    let mut states = Vec::new();
    for _ in 0..count {
        states.push(read_text(&mut reader, rules::STATE_BYTES_MAX)?.to_owned());
    }
    reader.is_empty().then_some(Profile { kind, compression, cadence_us, unit, states })
}

/// The kind in a profile's bytes.
pub fn profile_kind(bytes: &[u8]) -> Option<Kind> {
    bytes.first().and_then(|number| Kind::from_u8(*number))
}

/// Appends a definition's labels, in order of key. `scratch` holds the order.
pub fn put_labels(out: &mut Vec<u8>, labels: &[(String, String)]) {
    if labels.is_sorted() {
        labels.iter().for_each(|(key, value)| put_label(out, key, value));
    } else {
        let mut sorted: Vec<_> = labels.iter().collect();
        sorted.sort_unstable();
        sorted.into_iter().for_each(|(key, value)| put_label(out, key, value));
    }
}

fn put_label(out: &mut Vec<u8>, key: &str, value: &str) {
    // One byte of length for keys below 128 bytes, two above.
    let key_bytes = key.len() + if key.len() < 0x80 { 1 } else { 2 };
    put_varint(out, (key_bytes + value.len()) as u64);
    put_text(out, key);
    out.extend_from_slice(value.as_bytes());
}

/// The bytes of one label, without its length.
pub fn label_bytes(key: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + value.len() + 2);
    put_text(&mut out, key);
    out.extend_from_slice(value.as_bytes());
    out
}

/// The next label's bytes of some labels.
#[inline]
pub fn next_label<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = reader.count(rules::LABEL_KEY_BYTES_MAX + rules::LABEL_VALUE_BYTES_MAX + 2)?;
    reader.bytes(len)
}

/// Key and value of a label.
pub fn read_label(bytes: &[u8]) -> Option<(&str, &str)> {
    let mut reader = Reader::new(bytes);
    let key = read_text(&mut reader, rules::LABEL_KEY_BYTES_MAX).filter(|key| !key.is_empty())?;
    let value = std::str::from_utf8(reader.rest()).ok()?;
    (value.len() <= rules::LABEL_VALUE_BYTES_MAX).then_some((key, value))
}
