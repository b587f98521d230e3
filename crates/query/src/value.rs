//! Values between the kernel's 64-bit form, SQL's types and text, never rounding an integer.

use crate::error::{Error, raise};
use catalog::Catalog;
use types::{Kind, TagId};

/// The largest magnitude up to which every integer is a double.
pub(crate) const EXACT_MAX: i64 = 1 << 53;

/// The bits as a double.
///
/// # Errors
/// `Error::OutOfRange` for an integer that a double can't hold.
#[inline]
pub(crate) fn double(kind: Kind, bits: u64) -> Result<f64, Error> {
    if kind == Kind::I64 && !(-EXACT_MAX..=EXACT_MAX).contains(&(bits as i64)) {
        return Err(beyond(bits as i64));
    }
    Ok(kind.bits_to_f64(bits))
}

#[cold]
fn beyond(value: i64) -> Error {
    raise(Error::OutOfRange, format!("integer {value} is beyond 2^53: as a double it would be rounded"))
        .with_hint("read it from table integers (tag, time, value bigint, quality), which is exact")
}

#[cold]
fn misfit(value: &str, kind: Kind) -> Error {
    let shown: String = value.chars().take(64).collect();
    raise(Error::OutOfRange, format!("value {shown} does not fit a tag of kind {}", kind.name()))
}

#[cold]
fn malformed(text: &str, kind: Kind) -> Error {
    let shown: String = text.chars().take(64).collect();
    raise(Error::InvalidText, format!("invalid value for a tag of kind {}: \"{shown}\"", kind.name()))
}

/// The bits of an integer.
///
/// # Errors
/// `Error::OutOfRange` where the kind can't hold it exactly.
pub(crate) fn bits_of_integer(kind: Kind, value: i64) -> Result<u64, Error> {
    kind.bits_from_i64(value).ok_or_else(|| misfit(&value.to_string(), kind))
}

/// The bits of a double.
///
/// # Errors
/// `Error::OutOfRange` where the kind can't hold it.
pub(crate) fn bits_of_double(kind: Kind, value: f64) -> Result<u64, Error> {
    kind.bits_from_f64(value).ok_or_else(|| misfit(&value.to_string(), kind))
}

/// The bits of a text: a number, true or false, or the name of a state.
///
/// # Errors
/// `Error::InvalidText`, `Error::OutOfRange`.
pub(crate) fn bits_of_text(catalog: &Catalog, tag: TagId, kind: Kind, text: &str) -> Result<u64, Error> {
    let text = text.trim();
    match kind {
        Kind::F64 | Kind::F32 => {
            let value: f64 = text.parse().map_err(|_| malformed(text, kind))?;
            let overflows = value.is_infinite() && !text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'));
            if overflows || kind.rounds(text) {
                return Err(misfit(text, kind));
            }
            bits_of_double(kind, value).map_err(|_| misfit(text, kind))
        }
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "y" | "1" => Ok(1),
            "f" | "false" | "off" | "no" | "n" | "0" => Ok(0),
            _ => Err(malformed(text, kind)),
        },
        Kind::State => integer_of(kind, text).or_else(|error| {
            let states = catalog.get(tag).map(|tag| tag.definition.states).unwrap_or_default();
            states.iter().position(|state| state == text).map(|index| index as u64).ok_or(error)
        }),
        Kind::I32 | Kind::I64 => integer_of(kind, text),
        Kind::Text => Err(malformed(text, kind)),
    }
}

fn integer_of(kind: Kind, text: &str) -> Result<u64, Error> {
    if let Ok(value) = text.parse::<i64>() {
        return bits_of_integer(kind, value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(misfit(text, kind));
    }
    // 12.0 and 1.2e1 are whole numbers too, as long as a double holds them exactly.
    let value: f64 = text.parse().map_err(|_| malformed(text, kind))?;
    if value.abs() > EXACT_MAX as f64 {
        return Err(misfit(text, kind));
    }
    bits_of_double(kind, value).map_err(|_| misfit(text, kind))
}
