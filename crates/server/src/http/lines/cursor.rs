//! The syntax of lines, byte by byte, as InfluxDB 1.x reads it.
//!
//! ```text
//! measurement[,tag=value..] field=value[,field=value..] [time]\n
//! ```
//! A comma, space or equals sign after a backslash belongs to its name; a backslash before anything else is one. Strings are in
//! double quotes, may hold line ends, and know `\"` and `\\`. Lines that begin with `#` are comments.
//! Promises: it never goes beyond the bytes that are there: what they may be the beginning of is `Stop::Incomplete`.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Why a line is not read on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its end is not there yet.
    Incomplete,
    /// It is not a line.
    Fault(Cow<'static, str>),
}

fn fault<T>(what: &'static str) -> Result<T, Stop> {
    Err(Stop::Fault(what.into()))
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A number without a suffix.
    Float(f64),
    /// One with `i`, or with `u`.
    Integer(i64),
    Bool(bool),
    /// What stands between the quotes, escapes as they are.
    Text(&'a [u8]),
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
];
/// Numbers of so many digits are held exactly by a double, and of so many by 64 bits.
const DIGITS_EXACT: usize = 15;
const DIGITS_OF_I64: usize = 18;

/// A place in the bytes of a body.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The number of the line at `at`, from 1.
    line: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], line: u64) -> Cursor<'a> {
        Cursor { bytes, at: 0, line }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    #[inline]
    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Incomplete)
    }

    /// Goes to the beginning of the next line that says something; false where none does, up to the end of the bytes.
    #[inline]
    pub(crate) fn next_line(&mut self) -> bool {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | 0 => {}
                b'#' => match memchr(b'\n', &self.bytes[self.at..]) {
                    Some(length) => {
                        self.at += length;
                        continue;
                    }
                    None => return false,
                },
                _ => return true,
            }
            self.at += 1;
        }
        false
    }

    /// Leaves out the rest of a line that is at fault; false where its end is not there yet.
    pub(crate) fn skip_line(&mut self) -> bool {
        match memchr(b'\n', &self.bytes[self.at..]) {
            Some(length) => {
                self.at += length + 1;
                self.line += 1;
                true
            }
            None => false,
        }
    }

    /// Measurement and tags, as they are written; then stands before the first field.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at;
        loop {
            let Some(length) = memchr2(b' ', b'\n', &self.bytes[self.at..]) else { return Err(Stop::Incomplete) };
            let end = self.at + length;
            if self.bytes[end] == b'\n' {
                self.at = end;
                return fault("missing fields");
            }
            self.at = end + 1;
            if end > start && self.bytes[end - 1] != b'\\' {
                while self.peek()? == b' ' {
                    self.at += 1;
                }
                return Ok(&self.bytes[start..end]);
            }
        }
    }

    /// Whether this key comes next, as `key` gave it; then stands before the first field.
    #[inline]
    pub(crate) fn takes_key(&mut self, key: &[u8]) -> bool {
        let rest = &self.bytes[self.at..];
        // Its last byte is no backslash, so the space behind it ends it.
        let found = rest.len() > key.len() + 1 && rest[key.len()] == b' ' && rest[key.len() + 1] != b' ' && rest.starts_with(key);
        if found {
            self.at += key.len() + 1;
        }
        found
    }

    /// Whether this field comes next; then stands before its value.
    #[inline]
    pub(crate) fn takes_name(&mut self, name: &[u8]) -> bool {
        let rest = &self.bytes[self.at..];
        let found = rest.len() > name.len() && rest[name.len()] == b'=' && rest.starts_with(name);
        if found {
            self.at += name.len() + 1;
        }
        found
    }

    /// A field's name, as it is written; then stands before its value.
    pub(crate) fn name(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at;
        loop {
            let byte = self.peek()?;
            let escaped = self.at > start && self.bytes[self.at - 1] == b'\\';
            match byte {
                b'\n' => return fault("missing field value"),
                b'=' if !escaped && self.at == start => return fault("missing field key"),
                b'=' if !escaped => {
                    self.at += 1;
                    return Ok(&self.bytes[start..self.at - 1]);
                }
                b',' | b' ' if !escaped && self.at == start => return fault("missing fields"),
                b',' | b' ' if !escaped => return fault("missing field value"),
                _ => self.at += 1,
            }
        }
    }

    /// A field's value.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Stop> {
        match self.peek()? {
            b'"' => self.text(),
            b't' | b'T' | b'f' | b'F' => self.truth(),
            b',' | b' ' | b'\n' | b'\r' => fault("missing field value"),
            _ => self.number(),
        }
    }

    fn text(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match memchr2(b'"', b'\\', &self.bytes[at..]) {
                None => return Err(Stop::Incomplete),
                Some(length) if self.bytes[at + length] == b'\\' => {
                    // Whatever comes next, a quote too, is part of the text.
                    at += length + 2;
                    if at > self.bytes.len() {
                        return Err(Stop::Incomplete);
                    }
                }
                Some(length) => {
                    let text = &self.bytes[start..at + length];
                    self.at = at + length + 1;
                    self.line += memchr::memchr_iter(b'\n', text).count() as u64;
                    return Ok(Value::Text(text));
                }
            }
        }
    }

    fn truth(&mut self) -> Result<Value<'a>, Stop> {
        match self.word()? {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Value::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Value::Bool(false)),
            _ => fault("invalid boolean"),
        }
    }

    /// What stands up to the end of the field.
    fn word(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at;
        while !matches!(self.peek()?, b',' | b' ' | b'\n' | b'\r') {
            self.at += 1;
        }
        Ok(&self.bytes[start..self.at])
    }

    #[inline]
    fn number(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.at;
        let negative = self.bytes[start] == b'-';
        let mut at = start + usize::from(negative);
        let (mut mantissa, mut digits, mut fraction, mut point) = (0_u64, 0, 0, false);
        let end = loop {
            match self.bytes.get(at).copied().ok_or(Stop::Incomplete)? {
                byte @ b'0'..=b'9' => {
                    mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                    digits += 1;
                    fraction += usize::from(point);
                }
                b'.' if !point => point = true,
                byte => break byte,
            }
            at += 1;
        };
        match end {
            b',' | b' ' | b'\n' | b'\r' if (1..=DIGITS_EXACT).contains(&digits) => {
                self.at = at;
                // Both are exact, so the quotient is the nearest double.
                let value = mantissa as f64 / POWERS[fraction];
                Ok(Value::Float(if negative { -value } else { value }))
            }
            b'i' if !point && (1..=DIGITS_OF_I64).contains(&digits) => {
                self.at = at + 1;
                let value = mantissa as i64;
                self.ends(Value::Integer(if negative { -value } else { value }))
            }
            _ => self.rare_number(),
        }
    }

    /// After a value with a suffix its field must end.
    fn ends(&self, value: Value<'a>) -> Result<Value<'a>, Stop> {
        if matches!(self.peek()?, b',' | b' ' | b'\n' | b'\r') { Ok(value) } else { fault("invalid number") }
    }

    /// Long numbers, exponents, unsigned ones.
    #[cold]
    fn rare_number(&mut self) -> Result<Value<'a>, Stop> {
        let word = self.word()?;
        let (kind, digits) = match word.split_last() {
            Some((suffix @ (b'i' | b'u'), digits)) => (*suffix, digits),
            _ => (b'f', word),
        };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        if kind != b'f' {
            let unsigned = text.strip_prefix('-').filter(|_| kind == b'i').unwrap_or(text);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return fault("invalid number");
            }
            return match text.parse() {
                Ok(value) => Ok(Value::Integer(value)),
                Err(_) => fault("integer out of range (22003): a tag holds -9223372036854775808 to 9223372036854775807"),
            };
        }
        // What Rust reads and InfluxDB does not: a plus sign, infinities, NaN.
        let first = text.strip_prefix('-').unwrap_or(text).bytes().next();
        let plain = first.is_some_and(|first| first.is_ascii_digit() || first == b'.');
        if !plain || !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')) {
            return fault("invalid number");
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            Ok(_) => fault("number out of range (22003)"),
            Err(_) => fault("invalid number"),
        }
    }

    /// After a value: whether another field follows.
    #[inline]
    pub(crate) fn has_more(&mut self) -> Result<bool, Stop> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            b' ' | b'\n' | b'\r' => Ok(false),
            _ => fault("unexpected characters after a field's value"),
        }
    }

    /// The time, if one is there, and the line's end; then stands behind it.
    #[inline]
    pub(crate) fn time(&mut self) -> Result<Option<i64>, Stop> {
        self.skip_blanks()?;
        let negative = self.peek()? == b'-';
        let start = self.at + usize::from(negative);
        let mut at = start;
        let mut value = 0_u64;
        let end = loop {
            match self.bytes.get(at).copied().ok_or(Stop::Incomplete)? {
                byte @ b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
                byte => break byte,
            }
            at += 1;
        };
        if at == start && !negative && matches!(end, b'\n') {
            self.end_line(at);
            return Ok(None);
        }
        self.at = at;
        if at == start || !matches!(end, b' ' | b'\n' | b'\r' | b'\t') {
            return fault("invalid timestamp");
        }
        let value = if at - start <= DIGITS_OF_I64 {
            value as i64
        } else {
            let digits = std::str::from_utf8(&self.bytes[start..at]).unwrap_or_default();
            let Ok(value) = digits.parse() else { return fault("timestamp out of range (22008)") };
            value
        };
        self.skip_blanks()?;
        if self.peek()? != b'\n' {
            return fault("unexpected characters after the timestamp");
        }
        self.end_line(self.at);
        Ok(Some(if negative { -value } else { value }))
    }

    fn end_line(&mut self, at: usize) {
        self.at = at + 1;
        self.line += 1;
    }

    #[inline]
    fn skip_blanks(&mut self) -> Result<(), Stop> {
        while matches!(self.peek()?, b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
        Ok(())
    }
}

/// The text that stands between quotes: `\"` and `\\` stand for the second character.
pub(crate) fn unescaped_text(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return raw.into();
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        match rest {
            [b'\\', second @ (b'"' | b'\\'), others @ ..] => {
                out.push(*second);
                rest = others;
            }
            [first, others @ ..] => {
                out.push(*first);
                rest = others;
            }
            [] => return out.into(),
        }
    }
}
