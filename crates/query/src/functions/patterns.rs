//! `regexp_split_to_array`, `regexp_substr` and `substring(text from pattern)`: texts taken apart by regular expressions,
//! in the language of the `regex` crate, as everywhere here.

use super::typed::Typed;
use crate::error::{Error, raise};
use crate::schema::texts_type;
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

fn compiled(pattern: &str, flags: &str) -> std::result::Result<Regex, Error> {
    let mut builder = RegexBuilder::new(pattern);
    // In PostgreSQL a dot stands for a line's end too, unless a flag says otherwise.
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'c' | 'g' => &mut builder,
            other => return Err(raise(Error::InvalidParameter, format!("invalid regular expression option: \"{other}\""))),
        };
    }
    builder.build().map_err(|error| raise(Error::InvalidRegex, format!("invalid regular expression: {error}")))
}

/// Goes through the rows; a pattern is compiled when it is another one than in the row before.
fn each(args: &[ArrayRef], mut take: impl FnMut(Option<(&Regex, &str)>)) -> Result<()> {
    let (texts, patterns) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let flags = args.get(2).map(|flags| flags.as_string::<i32>());
    let mut known: Option<(&str, &str, Regex)> = None;
    for row in 0..texts.len() {
        if args.iter().any(|arg| arg.is_null(row)) {
            take(None);
            continue;
        }
        let (pattern, flag) = (patterns.value(row), flags.map_or("", |flags| flags.value(row)));
        let regex = match known.take() {
            Some((last, last_flag, regex)) if last == pattern && last_flag == flag => regex,
            _ => compiled(pattern, flag)?,
        };
        take(Some((&regex, texts.value(row))));
        known = Some((pattern, flag, regex));
    }
    Ok(())
}

fn split(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    each(args, |row| {
        if let Some((regex, text)) = row {
            let mut last = 0;
            // An empty match parts two characters; at the ends there is nothing to part.
            for found in
                regex.find_iter(text).filter(|found| !found.is_empty() || (found.start() > 0 && found.end() < text.len()))
            {
                out.values().append_value(&text[last..found.start()]);
                last = found.end();
            }
            out.values().append_value(&text[last..]);
        }
        out.append(row.is_some());
    })?;
    Ok(Arc::new(out.finish()))
}

fn whole(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    each(args, |row| out.append_option(row.and_then(|(regex, text)| Some(regex.find(text)?.as_str()))))?;
    Ok(Arc::new(out.finish()))
}

/// What the first group matched, or all of it where there is no group.
fn first_group(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let mut out: Vec<Option<String>> = Vec::with_capacity(args[0].len());
    each(args, |row| {
        let found = row.and_then(|(regex, text)| {
            let groups = regex.captures(text)?;
            groups.get(usize::from(groups.len() > 1)).map(|group| group.as_str().to_owned())
        });
        out.push(found);
    })?;
    Ok(Arc::new(StringArray::from(out)))
}

/// What `substring(text from pattern)` is planned as.
pub(crate) const SUBSTRING_BY: &str = "substring_by";

pub(super) fn all() -> Vec<ScalarUDF> {
    let takes = |given: &[DataType]| (2..=3).contains(&given.len()).then(|| vec![DataType::Utf8; given.len()]);
    let text = |name, body| Typed { name, aliases: &[], takes, gives: |_| DataType::Utf8, body };
    let all = [
        Typed { name: "regexp_split_to_array", aliases: &[], takes, gives: |_| texts_type(), body: split },
        text("regexp_substr", whole),
        text(SUBSTRING_BY, first_group),
    ];
    all.into_iter().map(|function| function.udf().as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of PostgreSQL 15.
    #[test]
    fn texts_are_split() {
        let rows = [("a b  c", r"\s+", "a|b|c"), ("abc", "", "a|b|c"), ("abc", "x", "abc"), (",a,", ",", "|a|"), ("", ",", "")];
        for (text, pattern, expect) in rows {
            let args = [text, pattern].map(|text| Arc::new(StringArray::from(vec![text])) as ArrayRef);
            let out = split(&args, Zone::Utc).unwrap();
            let items: Vec<String> =
                out.as_list::<i32>().value(0).as_string::<i32>().iter().map(|item| item.unwrap().to_owned()).collect();
            assert_eq!(items.join("|"), expect, "{text} {pattern}");
        }
    }
}
