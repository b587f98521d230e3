//! Kinds of value, values, and the 64-bit form in which numeric values travel and lie.
//!
//! Promises: `Value::to_bits` and `Value::from_bits` are exact inverses for every numeric value
//! (NaN payloads, infinities, -0.0 and all of i64 included). Text has no 64-bit form.

use crate::{Compression, TagId};
use thiserror::Error;

/// What a tag's values are. Fixed when the tag is created. The discriminants are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// true or false; bits 0 or 1.
    Bool = 0,
    /// 32-bit signed; bits are the sign-extended 64-bit integer.
    I32 = 1,
    /// 64-bit signed; bits are the integer.
    I64 = 2,
    /// IEEE single; bits are the 32 bits, zero-extended.
    F32 = 3,
    /// IEEE double; bits are the 64 bits.
    F64 = 4,
    /// Digital state: an index into the tag's named states, zero-extended u32.
    State = 5,
    /// UTF-8 text, up to `Kind::TEXT_BYTES_MAX`. No bits.
    Text = 6,
}

/// Tells the kind of a tag, and how it is thinned. The kernel is handed one at opening; the catalog is the real one.
pub trait Kinds: Send + Sync {
    /// The kind of a tag, or None where no such tag was ever created. A dropped tag keeps its kind.
    fn kind(&self, tag: TagId) -> Option<Kind>;

    /// The first row whose tag is unknown or whose bits its kind can't have; both columns have the
    /// same length. Asked once a batch on the ingest path: override it where kinds can be found
    /// without a lock a row.
    fn first_misfit(&self, tags: &[TagId], bits: &[u64]) -> Option<usize> {
        tags.iter().zip(bits).position(|(tag, bits)| !self.kind(*tag).is_some_and(|kind| kind.is_valid(*bits)))
    }

    /// The first row whose tag is unknown or does not hold text.
    fn first_not_text(&self, tags: &[TagId]) -> Option<usize> {
        tags.iter().position(|tag| self.kind(*tag) != Some(Kind::Text))
    }

    /// How a tag's samples are thinned. Asked once a tag, and again when `compressions` has grown.
    fn compression(&self, _tag: TagId) -> Compression {
        Compression::Lossless
    }

    /// Whether samples of a tag are thinned: whether its compression does so with its kind.
    fn is_thinned(&self, _tag: TagId) -> bool {
        false
    }

    /// Whether any of these tags is thinned. Asked once a batch on the ingest path, as `first_misfit`.
    fn any_is_thinned(&self, tags: &[TagId]) -> bool {
        tags.iter().any(|tag| self.is_thinned(*tag))
    }

    /// Grows whenever the compression of a tag that was there is changed, after `is_thinned` tells so.
    fn compressions(&self) -> u64 {
        0
    }
}

/// What is wrong with a value for a kind.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum KindError {
    /// The value can't be held by the kind without loss.
    #[error("value {value} does not fit kind {kind}")]
    DoesNotFit {
        /// The value as text.
        value: String,
        /// The kind's name.
        kind: &'static str,
    },
    /// There is no kind of that name.
    #[error("unknown kind \"{0}\"; kinds are bool, i32, i64, f32, f64, state, text")]
    UnknownName(String),
}

impl Kind {
    /// The longest text value, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1 << 20;

    /// Every kind, in the order of its number.
    pub const ALL: [Kind; 7] = [Kind::Bool, Kind::I32, Kind::I64, Kind::F32, Kind::F64, Kind::State, Kind::Text];

    /// The kind's name in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::I32 => "i32",
            Kind::I64 => "i64",
            Kind::F32 => "f32",
            Kind::F64 => "f64",
            Kind::State => "state",
            Kind::Text => "text",
        }
    }

    /// The kind with that name (case does not matter; SQL's own names are understood too).
    ///
    /// # Errors
    /// `KindError::UnknownName`.
    pub fn parse(name: &str) -> Result<Kind, KindError> {
        match name.trim().to_ascii_lowercase().as_str() {
            "bool" | "boolean" => Ok(Kind::Bool),
            "i32" | "int" | "int4" | "integer" => Ok(Kind::I32),
            "i64" | "int8" | "bigint" => Ok(Kind::I64),
            "f32" | "float4" | "real" => Ok(Kind::F32),
            "f64" | "float" | "float8" | "double" | "double precision" => Ok(Kind::F64),
            "state" | "digital" => Ok(Kind::State),
            "text" | "string" | "varchar" => Ok(Kind::Text),
            _ => Err(KindError::UnknownName(name.chars().take(64).collect())),
        }
    }

    /// The kind with that number on disk.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number)).copied()
    }

    /// Whether values of this kind are integers (bool and state among them).
    #[must_use]
    pub fn is_integer(self) -> bool {
        matches!(self, Kind::Bool | Kind::I32 | Kind::I64 | Kind::State)
    }

    /// Whether values of this kind are text.
    #[must_use]
    pub fn is_text(self) -> bool {
        self == Kind::Text
    }

    /// The bits as a double, rounded where an i64 beyond 2^53 can't be held. Kind must not be text.
    #[must_use]
    #[inline]
    pub fn bits_to_f64(self, bits: u64) -> f64 {
        match self {
            Kind::F64 => f64::from_bits(bits),
            Kind::F32 => f64::from(f32::from_bits(bits as u32)),
            Kind::Bool | Kind::I32 | Kind::I64 | Kind::State | Kind::Text => bits as i64 as f64,
        }
    }

    /// Whether these bits are ones that the kind can have.
    #[must_use]
    #[inline]
    pub fn is_valid(self, bits: u64) -> bool {
        match self {
            Kind::Bool => bits <= 1,
            Kind::I32 => i32::try_from(bits as i64).is_ok(),
            Kind::F32 | Kind::State => u32::try_from(bits).is_ok(),
            Kind::I64 | Kind::F64 => true,
            Kind::Text => false,
        }
    }

    /// The bits of a double for this kind, where it can be held: integers must be whole and in
    /// range, f32 takes the nearest single (as PostgreSQL's real does) and refuses overflow.
    #[must_use]
    #[inline]
    pub fn bits_from_f64(self, value: f64) -> Option<u64> {
        let whole = |low: f64, high: f64| (value >= low && value <= high && value.fract() == 0.0).then_some(value as i64);
        match self {
            Kind::F64 => Some(value.to_bits()),
            Kind::F32 => {
                let single = value as f32;
                (single.is_finite() || !value.is_finite()).then(|| u64::from(single.to_bits()))
            }
            Kind::Bool => whole(0.0, 1.0).map(|v| v as u64),
            Kind::I32 => whole(f64::from(i32::MIN), f64::from(i32::MAX)).map(|v| v as u64),
            Kind::State => whole(0.0, f64::from(u32::MAX)).map(|v| v as u64),
            // 2^63 itself is not an i64; the next lower double is.
            Kind::I64 => (value < 9_223_372_036_854_775_808.0)
                .then(|| whole(-9_223_372_036_854_775_808.0, value))
                .flatten()
                .map(|v| v as u64),
            Kind::Text => None,
        }
    }

    /// Whether a float of this kind would round what the text says: an integer (digits alone, perhaps after a sign) that
    /// it can't hold. Whoever writes a point or an exponent means the nearest float.
    #[must_use]
    pub fn rounds(self, text: &str) -> bool {
        // Every integer of so many digits is held; nearly all are so short.
        let digits_held = match self {
            Kind::F64 => 15,
            Kind::F32 => 7,
            _ => return false,
        };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start_matches('0');
        if digits.len() <= digits_held || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        let nearest = digits.parse::<f64>().unwrap_or(f64::NAN);
        let nearest = if self == Kind::F32 { f64::from(nearest as f32) } else { nearest };
        // Without a fraction a float is written with all its digits, as it is.
        format!("{nearest:.0}") != digits
    }

    /// The bits of an integer for this kind, where it can be held exactly.
    #[must_use]
    #[inline]
    pub fn bits_from_i64(self, value: i64) -> Option<u64> {
        match self {
            Kind::F64 => (value as f64 as i128 == i128::from(value)).then(|| (value as f64).to_bits()),
            Kind::F32 => (value as f32 as i128 == i128::from(value)).then(|| u64::from((value as f32).to_bits())),
            _ => {
                let bits = value as u64;
                self.is_valid(bits).then_some(bits)
            }
        }
    }
}

/// One value of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Bool.
    Bool(bool),
    /// I32.
    I32(i32),
    /// I64.
    I64(i64),
    /// F32.
    F32(f32),
    /// F64.
    F64(f64),
    /// State, by index.
    State(u32),
    /// Text.
    Text(String),
}

impl Value {
    /// The value's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Value::Bool(_) => Kind::Bool,
            Value::I32(_) => Kind::I32,
            Value::I64(_) => Kind::I64,
            Value::F32(_) => Kind::F32,
            Value::F64(_) => Kind::F64,
            Value::State(_) => Kind::State,
            Value::Text(_) => Kind::Text,
        }
    }

    /// The 64-bit form; None for text.
    #[must_use]
    pub fn to_bits(&self) -> Option<u64> {
        match self {
            Value::Bool(v) => Some(u64::from(*v)),
            Value::I32(v) => Some(i64::from(*v) as u64),
            Value::I64(v) => Some(*v as u64),
            Value::F32(v) => Some(u64::from(v.to_bits())),
            Value::F64(v) => Some(v.to_bits()),
            Value::State(v) => Some(u64::from(*v)),
            Value::Text(_) => None,
        }
    }

    /// The value of these bits; None for text and for bits that the kind can't have.
    #[must_use]
    pub fn from_bits(kind: Kind, bits: u64) -> Option<Value> {
        kind.is_valid(bits).then_some(())?;
        Some(match kind {
            Kind::Bool => Value::Bool(bits == 1),
            Kind::I32 => Value::I32(bits as i64 as i32),
            Kind::I64 => Value::I64(bits as i64),
            Kind::F32 => Value::F32(f32::from_bits(bits as u32)),
            Kind::F64 => Value::F64(f64::from_bits(bits)),
            Kind::State => Value::State(bits as u32),
            Kind::Text => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_exact() {
        let values = [
            Value::Bool(true),
            Value::I32(i32::MIN),
            Value::I64(i64::MIN),
            Value::I64(i64::MAX),
            Value::F32(-0.0),
            Value::F32(f32::from_bits(0x7F80_0001)),
            Value::F64(f64::NEG_INFINITY),
            Value::F64(f64::from_bits(0xFFF8_0000_0000_1234)),
            Value::State(u32::MAX),
        ];
        for value in values {
            let bits = value.to_bits().expect("numeric");
            let back = Value::from_bits(value.kind(), bits).expect("valid bits");
            assert_eq!(back.to_bits(), Some(bits), "{value:?}");
        }
    }

    #[test]
    fn doubles_become_integers_only_without_loss() {
        let check = |kind: Kind, value: f64, expect: Option<u64>| {
            assert_eq!(kind.bits_from_f64(value), expect, "{value} as {}", kind.name())
        };
        check(Kind::I64, 9_223_372_036_854_775_808.0, None);
        check(Kind::I64, -9_223_372_036_854_775_808.0, Some(i64::MIN as u64));
        check(Kind::I64, 1.5, None);
        check(Kind::I64, f64::NAN, None);
        check(Kind::I32, -1.0, Some(u64::MAX));
        check(Kind::Bool, 2.0, None);
        check(Kind::State, -1.0, None);
        check(Kind::F32, 1e300, None);
        check(Kind::F32, f64::INFINITY, Some(u64::from(f32::INFINITY.to_bits())));
    }

    #[test]
    fn texts_of_integers_are_held_or_rounded() {
        let rows = [
            (Kind::F64, "9007199254740992", false),
            (Kind::F64, "9007199254740993", true),
            (Kind::F64, "-9007199254740993", true),
            (Kind::F64, "+0009007199254740993", true),
            (Kind::F64, "9007199254740994", false),
            (Kind::F64, "9223372036854775807", true),
            (Kind::F64, "9223372036854775808", false),
            (Kind::F64, "10000000000000000000000", false),
            (Kind::F64, "100000000000000000000000", true),
            (Kind::F64, "000000000000000000000000", false),
            (Kind::F64, "9007199254740993.0", false),
            (Kind::F64, "9007199254740993e0", false),
            (Kind::F64, "nine hundred and more", false),
            (Kind::F32, "16777216", false),
            (Kind::F32, "16777217", true),
            (Kind::F32, "-16777218", false),
            (Kind::F32, "16777217.0", false),
            (Kind::I64, "9007199254740993", false),
        ];
        for (kind, text, rounded) in rows {
            assert_eq!(kind.rounds(text), rounded, "{text} as {}", kind.name());
        }
        assert!(Kind::F64.rounds(&"9".repeat(400)), "what is beyond every double");
    }

    #[test]
    fn integers_become_doubles_only_without_loss() {
        assert_eq!(Kind::F64.bits_from_i64((1 << 53) + 1), None);
        assert_eq!(Kind::F64.bits_from_i64(1 << 53), Some((9_007_199_254_740_992.0_f64).to_bits()));
        assert_eq!(Kind::F64.bits_from_i64(i64::MAX), None);
        assert_eq!(Kind::I32.bits_from_i64(1 << 31), None);
    }
}
