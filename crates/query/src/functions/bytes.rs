//! Texts as bytes, in PostgreSQL's two forms: `\x00ff`, and characters with `\\` and `\377` for those that are none.

use super::typed::{Typed, call};
use crate::error::{Error, raise};
use crate::time::Zone;
use arrow::array::{ArrayRef, AsArray, BinaryBuilder, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

static READ: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| vec![DataType::Utf8]);
    Typed { name: "read_bytes", aliases: &[], takes, gives: |_| DataType::Binary, body: read_all }.udf()
});

fn read_all(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let texts = cast(&args[0], &DataType::Utf8)?;
    let mut out = BinaryBuilder::new();
    for text in texts.as_string::<i32>() {
        match text {
            Some(text) => out.append_value(parse_bytes(text)?),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// What is measured: bytes as they are, anything else as text.
fn measured(given: &[DataType]) -> Option<Vec<DataType>> {
    let is_bytes = matches!(given, [DataType::Binary | DataType::LargeBinary | DataType::BinaryView]);
    (given.len() == 1).then(|| vec![if is_bytes { DataType::Binary } else { DataType::Utf8 }])
}

/// The count of each value's bytes, or of its characters where it is a text and they are meant.
fn counts(array: &ArrayRef, characters: bool) -> ArrayRef {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let of_text = |text: &str| if characters { text.chars().count() } else { text.len() };
    Arc::new(match array.as_binary_opt::<i32>() {
        Some(bytes) => bytes.iter().map(|bytes| bytes.map(|bytes| count(bytes.len()))).collect::<Int32Array>(),
        None => array.as_string::<i32>().iter().map(|text| text.map(|text| count(of_text(text)))).collect(),
    })
}

/// `length` and `octet_length`, which to DataFusion are of texts only: of bytes it would count the digits that show them.
pub(super) fn all() -> Vec<ScalarUDF> {
    type Body = fn(&[ArrayRef], Zone) -> Result<ArrayRef>;
    let both: [(&'static str, Body); 2] =
        [("length", |args, _| Ok(counts(&args[0], true))), ("octet_length", |args, _| Ok(counts(&args[0], false)))];
    let one =
        |(name, body)| Typed { name, aliases: &[], takes: measured, gives: |_| DataType::Int32, body }.udf().as_ref().clone();
    both.map(one).to_vec()
}

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 1] {
    [Arc::clone(&READ)]
}

/// A text as bytes.
pub(crate) fn read_bytes(text: Expr) -> Expr {
    call(&READ, vec![text])
}

fn hexadecimal(digits: &str) -> std::result::Result<Vec<u8>, Error> {
    let wrong = |why: String| raise(Error::InvalidParameter, why);
    let mut halves = Vec::with_capacity(digits.len());
    for c in digits.chars().filter(|c| !c.is_ascii_whitespace()) {
        let value = c.to_digit(16).ok_or_else(|| wrong(format!("invalid hexadecimal digit: \"{c}\"")))?;
        halves.push(value as u8);
    }
    if halves.len() % 2 != 0 {
        return Err(wrong("invalid hexadecimal data: odd number of digits".to_owned()));
    }
    Ok(halves.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

/// The bytes that a text says.
///
/// # Errors
/// `Error::InvalidParameter` for digits that are none, `Error::InvalidText` for a backslash that says nothing.
pub(crate) fn parse_bytes(text: &str) -> std::result::Result<Vec<u8>, Error> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hexadecimal(digits);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            [b'\\', ..] => return Err(raise(Error::InvalidText, "invalid input syntax for type bytea")),
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let read = |text: &str| parse_bytes(text).map_err(|error| error.sqlstate());
        assert_eq!(read(r"\x00 fF"), Ok(vec![0, 255]));
        assert_eq!(read(r"a\\b\377"), Ok(b"a\\b\xff".to_vec()));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!((read(r"\xzz"), read(r"\x1"), read(r"a\9")), (Err("22023"), Err("22023"), Err("22P02")));
    }
}
