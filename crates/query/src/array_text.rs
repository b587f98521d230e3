//! Arrays as PostgreSQL writes them as text: `{1,NULL,"a b"}`, and of several dimensions `{{1,2},{3,4}}`.
//!
//! Promises: what is no array is 22P02; one whose parts have different lengths too, as there; nesting beyond six
//! dimensions is refused.

use crate::error::{Error, raise};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use std::iter::Peekable;
use std::str::Chars;

/// As in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

/// An item of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// NULL.
    Null,
    /// What stands for a value.
    Text(String),
    /// An array of the next dimension.
    Array(Vec<Item>),
}

/// The items that a text says.
///
/// # Errors
/// `Error::InvalidText`.
pub fn items(text: &str) -> Result<Vec<Item>, Error> {
    let malformed = || {
        let shown: String = text.chars().take(64).collect();
        raise(Error::InvalidText, format!("malformed array literal: \"{shown}\"")).with_hint("write it as '{1,2,NULL}'")
    };
    let mut rest = text.trim().chars().peekable();
    let items = read(&mut rest, 1).ok_or_else(malformed)?;
    let ends = rest.next().is_none() && shape(&items).is_some();
    if ends { Ok(items) } else { Err(malformed()) }
}

fn spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

fn read(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Vec<Item>> {
    rest.next_if_eq(&'{')?;
    let mut out = Vec::new();
    spaces(rest);
    if rest.next_if_eq(&'}').is_some() {
        return Some(out);
    }
    loop {
        spaces(rest);
        out.push(match rest.peek()? {
            '{' if depth < DIMENSIONS_MAX => Item::Array(read(rest, depth + 1)?),
            '"' => Item::Text(quoted(rest)?),
            _ => plain(rest)?,
        });
        spaces(rest);
        match rest.next()? {
            ',' => {}
            '}' => return Some(out),
            _ => return None,
        }
    }
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut out = String::new();
    rest.next_if_eq(&'"')?;
    loop {
        match rest.next()? {
            '"' => return Some(out),
            '\\' => out.push(rest.next()?),
            other => out.push(other),
        }
    }
}

fn plain(rest: &mut Peekable<Chars<'_>>) -> Option<Item> {
    let mut out = String::new();
    // What is escaped is no space to be cut off.
    let mut held = 0;
    while let Some(c) = rest.next_if(|c| !matches!(c, ',' | '}')) {
        match c {
            '{' | '"' => return None,
            '\\' => {
                out.push(rest.next()?);
                held = out.len();
            }
            other => out.push(other),
        }
    }
    out.truncate(out.trim_end().len().max(held));
    Some(match out.as_str() {
        "" => return None,
        word if held == 0 && word.eq_ignore_ascii_case("null") => Item::Null,
        _ => Item::Text(out),
    })
}

/// The lengths of all dimensions, the outermost first; None where parts differ. An array without any item has none.
pub(crate) fn shape(items: &[Item]) -> Option<Vec<usize>> {
    let mut inner: Option<Option<Vec<usize>>> = None;
    for item in items {
        let here = match item {
            Item::Array(items) if items.is_empty() => return None,
            Item::Array(items) => Some(shape(items)?),
            Item::Null | Item::Text(_) => None,
        };
        if inner.get_or_insert_with(|| here.clone()) != &here {
            return None;
        }
    }
    let mut out = if items.is_empty() { Vec::new() } else { vec![items.len()] };
    out.extend(inner.flatten().into_iter().flatten());
    Some(out)
}

/// The items as a list of this type; `value` makes what is no array.
///
/// # Errors
/// Of `value`; `Error::Unsupported` where the items have other dimensions than the type.
pub fn list(
    items: &[Item],
    kind: &DataType,
    value: &mut dyn FnMut(&DataType, &str) -> Result<ScalarValue, Error>,
) -> Result<ScalarValue, Error> {
    let wrong = || {
        raise(Error::Unsupported, "an array of other dimensions than its type")
            .with_hint("say its dimensions where it stands: $1::int[][]")
    };
    let DataType::List(item) = kind else { return Err(wrong()) };
    let element = item.data_type();
    let nested = matches!(element, DataType::List(_));
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        values.push(match item {
            Item::Array(items) if nested => list(items, element, value)?,
            Item::Text(text) if !nested => value(element, text)?,
            Item::Null if !nested => ScalarValue::try_from(element)?,
            _ => return Err(wrong()),
        });
    }
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, element)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Item {
        Item::Text(text.to_owned())
    }

    #[test]
    fn arrays_are_read() {
        let read = |given: &str| items(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(read(r#" {a, "b,\"c" ,NULL,"NULL"} "#), [text("a"), text("b,\"c"), Item::Null, text("NULL")]);
        assert_eq!(read(r"{a\ ,b c,\n}"), [text("a "), text("b c"), text("n")]);
        assert_eq!(read("{}"), []);
        assert_eq!(read("{{1,2}, {3,NULL}}")[1], Item::Array(vec![text("3"), Item::Null]));
        assert_eq!(shape(&read("{{{1},{2}}}")), Some(vec![1, 2, 1]));
        for wrong in ["", "{", "a", "{a,}", "{,a}", "{\"a}", "{\"a\"b}", "{a}}", "{{1},2}", "{{1},{2,3}}", "{{}}", "{{1},{}}"] {
            assert_eq!(items(wrong).map_err(|error| error.sqlstate()), Err("22P02"), "{wrong}");
        }
        assert!(items(&format!("{}1{}", "{".repeat(7), "}".repeat(7))).is_err());
        assert!(items(&"{".repeat(1_000_000)).is_err());
    }
}
