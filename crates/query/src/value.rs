//! Values between the kernel's 64-bit form, SQL's types and text, never rounding an integer.

use crate::error::{Error, raise};
use types::Kind;

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

fn beyond_float(text: &str, name: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    raise(Error::OutOfRange, format!("\"{shown}\" is out of range for type {name}"))
}

fn no_float(text: &str, name: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    raise(Error::InvalidText, format!("invalid input syntax for type {name}: \"{shown}\""))
}

/// Whether a number's text says another number than zero: what became zero all the same was too small.
fn says_more_than_zero(text: &str) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or(text);
    digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

/// Whether a text says an infinity by its name.
fn says_infinity(text: &str) -> bool {
    text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'))
}

/// A text as a double: digits, or infinity and NaN by their names in any case.
///
/// # Errors
/// `Error::InvalidText`; `Error::OutOfRange` for a number that a double can't hold, or that would be zero as one.
pub fn parse_double(text: &str) -> Result<f64, Error> {
    let (text, name) = (text.trim(), "double precision");
    let value: f64 = text.parse().map_err(|_| no_float(text, name))?;
    let lost = (value.is_infinite() && !says_infinity(text)) || (value == 0.0 && says_more_than_zero(text));
    if lost { Err(beyond_float(text, name)) } else { Ok(value) }
}

/// The same for a float of four bytes.
///
/// # Errors
/// As `parse_double`.
pub fn parse_real(text: &str) -> Result<f32, Error> {
    let (text, name) = (text.trim(), "real");
    let value: f32 = text.parse().map_err(|_| no_float(text, name))?;
    let lost = (value.is_infinite() && !says_infinity(text)) || (value == 0.0 && says_more_than_zero(text));
    if lost { Err(beyond_float(text, name)) } else { Ok(value) }
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
pub(crate) fn bits_of_text(states: &dyn Fn() -> Vec<String>, kind: Kind, text: &str) -> Result<u64, Error> {
    let text = text.trim();
    match kind {
        Kind::F64 | Kind::F32 => {
            let value: f64 = text.parse().map_err(|_| malformed(text, kind))?;
            let zero = value == 0.0 || (kind == Kind::F32 && value as f32 == 0.0);
            let lost = (value.is_infinite() && !says_infinity(text)) || (zero && says_more_than_zero(text));
            if lost || kind.rounds(text) {
                return Err(misfit(text, kind));
            }
            bits_of_double(kind, value).map_err(|_| misfit(text, kind))
        }
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "y" | "1" => Ok(1),
            "f" | "false" | "off" | "no" | "n" | "0" => Ok(0),
            _ => Err(malformed(text, kind)),
        },
        Kind::State => integer_of(kind, text)
            .or_else(|error| states().iter().position(|state| state == text).map(|index| index as u64).ok_or(error)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_float_cannot_hold_is_refused() {
        let state = |text: &str| parse_double(text).map_err(|error| error.sqlstate());
        for text in ["1e400", "-1e400", "1e-400", "0.1e-330", "1e309"] {
            assert_eq!(state(text), Err("22003"), "{text}");
        }
        for text in ["", "x", "1e", "1.5x", "1_000", "infinit"] {
            assert_eq!(state(text), Err("22P02"), "{text}");
        }
        for (text, value) in [("inf", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY), (" 0e500 ", 0.0), ("5e-324", 5e-324)] {
            assert_eq!(state(text), Ok(value), "{text}");
        }
        assert!(parse_double("NaN").unwrap().is_nan());
        assert_eq!(parse_real("1e39").unwrap_err().sqlstate(), "22003");
        assert_eq!(parse_real("1e-50").unwrap_err().sqlstate(), "22003");
        assert_eq!(parse_real("3.5"), Ok(3.5));
    }
}
