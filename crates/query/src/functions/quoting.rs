//! `format`, `quote_ident`, `quote_literal` and `quote_nullable`: text put together as SQL and messages want it.

use super::typed::{Typed, as_given};
use crate::copy::print::write_value;
use crate::error::{Error, raise};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Words that PostgreSQL does not take for names everywhere (`pg_get_keywords()`, release 15).
const KEYWORDS: &str = "\
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
    cast char character check coalesce collate collation column concurrently constraint create cross current_catalog \
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default \
    deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full grant \
    greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join \
    lateral leading least left like limit localtime localtimestamp national natural nchar none normalize not notnull \
    null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real \
    references returning right row select session_user setof similar smallint some substring symmetric table \
    tablesample then time timestamp to trailing treat trim true union unique user using values varchar variadic \
    verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse \
    xmlpi xmlroot xmlserialize xmltable";

/// A name that is read back as itself.
fn ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let keyword = KEYWORDS.split(' ').any(|word| word == name);
    if plain && !keyword { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text constant that is read back as this text.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A value's text; None for NULL.
fn text(values: &ArrayRef, row: usize, zone: Zone) -> Result<Option<String>> {
    if values.is_null(row) {
        return Ok(None);
    }
    let mut out = Vec::new();
    write_value(values, row, zone, &mut out)?;
    Ok(Some(String::from_utf8(out).map_err(|error| raise(Error::Internal, error.to_string()))?))
}

/// A place in a format: `%[n$][-][width]s`.
struct Place {
    argument: Option<usize>,
    left: bool,
    width: usize,
    kind: char,
}

fn invalid(why: &str) -> Error {
    raise(Error::InvalidParameter, why)
}

/// Reads what stands behind a `%`, and how many bytes it is.
fn place(rest: &str) -> std::result::Result<(Place, usize), Error> {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let number = |from: usize, to: usize| rest[from..to].parse::<usize>().map_err(|_| invalid("number is out of range"));
    let (mut at, mut argument) = (0, None);
    let first = digits(0);
    if first > 0 && rest[first..].starts_with('$') {
        argument = Some(number(0, first)?);
        at = first + 1;
    }
    let left = rest[at..].starts_with('-');
    at += usize::from(left);
    let end = at + digits(at);
    let width = if end > at { number(at, end)? } else { 0 };
    let kind = rest[end..].chars().next().ok_or_else(|| invalid("unterminated format() type specifier"))?;
    Ok((Place { argument, left, width: width.min(1 << 20), kind }, end + kind.len_utf8()))
}

fn formatted(args: &[ArrayRef], row: usize, zone: Zone) -> Result<Option<String>> {
    let Some(format) = text(&args[0], row, zone)? else { return Ok(None) };
    let (mut out, mut rest, mut next) = (String::new(), format.as_str(), 1);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            out.push('%');
            rest = tail;
            continue;
        }
        let (place, length) = place(rest)?;
        rest = &rest[length..];
        let number = place.argument.unwrap_or(next);
        next = number + 1;
        let values = if number == 0 { None } else { args.get(number) };
        let value = text(values.ok_or_else(|| invalid("too few arguments for format()"))?, row, zone)?;
        let shown = match (place.kind, value) {
            ('s', value) => value.unwrap_or_default(),
            ('I', Some(name)) => ident(&name),
            ('I', None) => return Err(raise(Error::NullValue, "null values cannot be formatted as an SQL identifier").into()),
            ('L', value) => value.map_or_else(|| "NULL".to_owned(), |text| literal(&text)),
            (other, _) => return Err(invalid(&format!("unrecognized format() type specifier \"{other}\"")).into()),
        };
        let fill = " ".repeat(place.width.saturating_sub(shown.chars().count()));
        out.push_str(&if place.left { shown + &fill } else { fill + &shown });
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn each(args: &[ArrayRef], one: impl Fn(usize) -> Result<Option<String>>) -> Result<ArrayRef> {
    let rows = args.first().map_or(0, |arg| arg.len());
    Ok(Arc::new((0..rows).map(one).collect::<Result<StringArray>>()?))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let one_text = |given: &[DataType]| (given.len() == 1).then(|| vec![DataType::Utf8]);
    let any = |given: &[DataType]| {
        let mut takes = as_given(given);
        *takes.first_mut()? = DataType::Utf8;
        Some(takes)
    };
    let one_any = |given: &[DataType]| (given.len() == 1).then(|| as_given(given));
    let quoted = |name, takes, body| Typed { name, aliases: &[], takes, gives: |_| DataType::Utf8, body };
    let all = [
        quoted("format", any, |args, zone| each(args, |row| formatted(args, row, zone))),
        quoted("quote_ident", one_text, |args, zone| each(args, |row| Ok(text(&args[0], row, zone)?.map(|text| ident(&text))))),
        quoted("quote_literal", one_any, |args, zone| {
            each(args, |row| Ok(text(&args[0], row, zone)?.map(|text| literal(&text))))
        }),
        quoted("quote_nullable", one_any, |args, zone| {
            each(args, |row| Ok(Some(text(&args[0], row, zone)?.map_or_else(|| "NULL".to_owned(), |text| literal(&text)))))
        }),
    ];
    all.into_iter().map(|function| function.udf().as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of PostgreSQL 15.
    #[test]
    fn formats() {
        let texts = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let args = [texts(""), texts("a"), texts("b c"), texts("d'e")];
        let row = |format: &str| {
            let mut args = args.clone();
            args[0] = texts(format);
            formatted(&args, 0, Zone::Utc).map(Option::unwrap)
        };
        assert_eq!(row("%s %I %L %%").unwrap(), "a \"b c\" 'd''e' %");
        assert_eq!(row("%3$s|%1$5s|%1$-5s|%s").unwrap(), "d'e|    a|a    |b c");
        assert!(row("%s %s %s %s").is_err() && row("%d").is_err() && row("%").is_err());
        assert_eq!(ident("select"), "\"select\"");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }
}
