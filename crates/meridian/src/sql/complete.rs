//! Completion: what may stand where the cursor is.
//!
//! Promises: names come from the server, are asked for once a session and again after a change, and within a time; tags
//! are asked for with what is typed of them, a few at a time, for there may be millions. Where the server does not
//! answer, words alone are offered.

use super::keywords::KEYWORDS;
use super::link::{Answer, Link};
use super::scan::is_word;
use crate::client::quote;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tags that are offered at once.
const TAGS_MAX: usize = 100;
/// Names that are offered at once.
const FOUND_MAX: usize = 500;

/// Something to offer: what is put in, and what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub text: String,
    pub shown: String,
}

impl Found {
    fn plain(text: impl Into<String>) -> Found {
        let text = text.into();
        Found { shown: text.clone(), text }
    }
}

/// What the server knows.
#[derive(Debug, Default)]
struct Names {
    /// Schema, table, columns.
    tables: Vec<(String, String, Vec<String>)>,
    functions: Vec<String>,
    settings: Vec<String>,
}

/// The completion of a session.
pub struct Completer {
    link: Rc<RefCell<Link>>,
    names: RefCell<Option<Rc<Names>>>,
}

/// Commands that are offered.
pub const COMMANDS: &[&str] = &[
    "\\!",
    "\\?",
    "\\c",
    "\\cd",
    "\\conninfo",
    "\\copy",
    "\\d",
    "\\df",
    "\\dn",
    "\\dt",
    "\\du",
    "\\dv",
    "\\e",
    "\\echo",
    "\\format",
    "\\g",
    "\\gset",
    "\\gx",
    "\\h",
    "\\i",
    "\\l",
    "\\o",
    "\\p",
    "\\plot",
    "\\pset",
    "\\q",
    "\\r",
    "\\s",
    "\\set",
    "\\t",
    "\\tags",
    "\\timing",
    "\\unset",
    "\\watch",
    "\\x",
];

impl Completer {
    pub fn new(link: Rc<RefCell<Link>>) -> Completer {
        Completer { link, names: RefCell::new(None) }
    }

    /// Names may have changed.
    pub fn forget(&mut self) {
        self.names.replace(None);
    }

    /// What may stand at the end of `line`, which follows `before`; from which byte of the line on.
    pub fn complete(&self, before: &str, line: &str) -> (usize, Vec<Found>) {
        if line.starts_with('\\') && before.is_empty() && !line.starts_with("\\plot ") && !line.starts_with("\\copy (") {
            return self.command(line);
        }
        let text = format!("{before}{line}");
        if let Some(literal) = open_literal(&text) {
            let typed = text[literal..].replace("''", "'");
            // A literal that began on an earlier line is left alone.
            let Some(start) = literal.checked_sub(before.len()) else { return (line.len(), Vec::new()) };
            return if is_of_tag(&text[..literal - 1]) { (start, self.tags(&typed)) } else { (line.len(), Vec::new()) };
        }
        let start =
            line.rfind(|c| !is_word(c) && c != '.').map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
        (start, self.names_at(&text[..before.len() + start], &line[start..]))
    }

    fn command(&self, line: &str) -> (usize, Vec<Found>) {
        let Some(space) = line.find(' ') else {
            return (0, starting(COMMANDS.iter().copied(), line).map(Found::plain).collect());
        };
        let start = line.rfind(' ').map_or(0, |at| at + 1);
        let typed = &line[start..];
        let fixed = |words: &[&str]| starting(words.iter().copied(), typed).map(Found::plain).collect();
        let found = match line[1..space].trim_end_matches('+') {
            "d" | "dt" | "dv" => self.tables(typed),
            "df" => starting(self.names().functions.iter().map(String::as_str), typed).map(Found::plain).collect(),
            "tags" => {
                self.tags(typed).into_iter().map(|found| Found::plain(found.text.trim_end_matches('\'').to_owned())).collect()
            }
            "i" | "o" | "e" | "g" | "gx" => files(typed),
            "copy" if line[space..].trim_start().contains(' ') => files(typed),
            "copy" => self.tables(typed),
            "format" => fixed(&super::print::FORMATS.map(|(name, _)| name)),
            "x" => fixed(&["auto", "off", "on"]),
            "timing" | "t" => fixed(&["off", "on"]),
            "pset" => fixed(&["expanded", "format", "null", "pager", "tuples_only"]),
            "h" => {
                let upper = typed.to_ascii_uppercase();
                super::help::statements().filter(|name| name.starts_with(&upper)).map(Found::plain).collect()
            }
            _ => Vec::new(),
        };
        (start, found)
    }

    /// Tags whose names begin so.
    fn tags(&self, typed: &str) -> Vec<Found> {
        let pattern = typed.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let like = quote(&format!("{pattern}%"));
        let sql = format!("SELECT name FROM tags WHERE name LIKE {like} ORDER BY name LIMIT {TAGS_MAX}");
        let names: Vec<String> = self.ask(&sql).rows.into_iter().flatten().flatten().collect();
        let only = names.len() == 1;
        let found = |name: String| {
            let end = if only { "'" } else { "" };
            Found { text: format!("{}{end}", name.replace('\'', "''")), shown: name }
        };
        names.into_iter().map(found).collect()
    }

    fn tables(&self, typed: &str) -> Vec<Found> {
        let names = self.names();
        let all = names.tables.iter().map(|(schema, table, _)| {
            if matches!(schema.as_str(), "public" | "pg_catalog") && !typed.starts_with(schema.as_str()) {
                name(table)
            } else {
                format!("{}.{}", name(schema), name(table))
            }
        });
        let all: BTreeSet<String> = all.collect();
        starting(all.iter().map(String::as_str), typed).map(Found::plain).collect()
    }

    /// Names at a place in a statement.
    fn names_at(&self, before: &str, typed: &str) -> Vec<Found> {
        let words: Vec<String> =
            before.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_ascii_uppercase).collect();
        let last = words.last().map_or("", String::as_str);
        let behind_comma = before.trim_end().ends_with(',');
        let names = self.names();
        if matches!(last, "SET" | "SHOW" | "RESET") && words.len() <= 2 {
            return starting(names.settings.iter().map(String::as_str).chain(["ALL"]), typed).map(Found::plain).collect();
        }
        if matches!(last, "FROM" | "JOIN" | "INTO" | "UPDATE" | "COPY" | "TABLE") && !behind_comma {
            return self.tables(typed);
        }
        if let Some((of, _)) = typed.rsplit_once('.') {
            let columns = self.columns_of(before, Some(of));
            let found: Vec<Found> = starting(columns.iter().map(String::as_str), &typed[of.len() + 1..])
                .map(|column| Found { text: format!("{of}.{column}"), shown: column.to_owned() })
                .collect();
            return if found.is_empty() { self.tables(typed) } else { found };
        }
        if typed.is_empty() && words.is_empty() {
            return Vec::new();
        }
        let lower = typed.chars().any(char::is_lowercase);
        let mut out: BTreeSet<String> =
            self.columns_of(before, None).into_iter().filter(|column| begins(column, typed)).collect();
        if !typed.is_empty() {
            let functions =
                names.functions.iter().filter(|function| begins(function, typed)).map(|function| format!("{function}("));
            let keywords = KEYWORDS.iter().filter(|word| begins(word, typed));
            out.extend(functions);
            out.extend(keywords.map(|word| if lower { word.to_ascii_lowercase() } else { (*word).to_owned() }));
            out.extend(self.tables(typed).into_iter().map(|found| found.text));
        }
        out.into_iter().take(FOUND_MAX).map(Found::plain).collect()
    }

    /// Columns of the tables that a statement names, or of all; or of that table or alias.
    fn columns_of(&self, statement: &str, of: Option<&str>) -> BTreeSet<String> {
        let names = self.names();
        let words: Vec<String> = statement.split(|c: char| !is_word(c)).map(str::to_ascii_lowercase).collect();
        // `samples s` and `samples AS s`: a table is also what follows it.
        let stands_for = |table: &str, alias: &str| {
            table == alias
                || words.iter().enumerate().any(|(i, word)| {
                    let next = words[i + 1..].iter().filter(|word| !word.is_empty() && *word != "as").map(String::as_str).next();
                    word == table && next == Some(alias)
                })
        };
        let of = of.map(|of| of.rsplit('.').next().unwrap_or(of).to_ascii_lowercase());
        let named = |table: &str| match &of {
            Some(of) => stands_for(table, of),
            None => words.iter().any(|word| word == table),
        };
        let ours = || names.tables.iter().filter(|(schema, ..)| schema != "pg_catalog" && schema != "information_schema");
        let mut out: BTreeSet<String> =
            ours().filter(|(_, table, _)| named(table)).flat_map(|(.., columns)| columns).map(|c| name(c)).collect();
        if out.is_empty() && of.is_none() {
            out.extend(ours().filter(|(schema, ..)| schema == "public").flat_map(|(.., columns)| columns).map(|c| name(c)));
        }
        out
    }

    fn ask(&self, sql: &str) -> Answer {
        match self.link.try_borrow_mut() {
            Ok(mut link) if link.wire.is_some() => link.ask(sql, Some(PATIENCE)).unwrap_or_default(),
            _ => Answer::default(),
        }
    }

    fn names(&self) -> Rc<Names> {
        if let Some(names) = self.names.borrow().as_ref() {
            return Rc::clone(names);
        }
        let names = Rc::new(self.load());
        // A transaction that failed answers nothing now, but will.
        if !names.tables.is_empty() {
            self.names.replace(Some(Rc::clone(&names)));
        }
        names
    }

    fn load(&self) -> Names {
        let columns = "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute AS a \
            JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
            WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'pg_toast' \
            ORDER BY 1, 2, a.attnum";
        let mut out = Names::default();
        for row in self.ask(columns).rows {
            let [Some(schema), Some(table), Some(column)] = row.as_slice() else { continue };
            match out.tables.last_mut() {
                Some((last_schema, last_table, columns)) if last_schema == schema && last_table == table => {
                    columns.push(column.clone())
                }
                _ => out.tables.push((schema.clone(), table.clone(), vec![column.clone()])),
            }
        }
        let first =
            |answer: Answer| answer.rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect::<Vec<String>>();
        out.functions = first(self.ask("SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1"));
        out.functions.extend(first(self.ask("SELECT DISTINCT proname FROM pg_catalog.pg_proc ORDER BY 1")));
        out.settings = first(self.ask("SELECT name FROM pg_catalog.pg_settings ORDER BY 1"));
        out
    }
}

/// An identifier as it must be written.
fn name(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_lowercase() || c.is_ascii_digit() || c == '_' || (!c.is_ascii() && c.is_alphabetic()))
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn begins(name: &str, typed: &str) -> bool {
    name.get(..typed.len()).is_some_and(|front| front.eq_ignore_ascii_case(typed))
}

fn starting<'a>(names: impl Iterator<Item = &'a str>, typed: &str) -> impl Iterator<Item = &'a str> {
    let typed = typed.to_owned();
    names.filter(move |name| begins(name, &typed)).take(FOUND_MAX)
}

/// Where the text of a literal begins that is open at the end; None where there is none.
fn open_literal(text: &str) -> Option<usize> {
    let mut open = None;
    let mut inside = None;
    for (at, c) in text.char_indices() {
        match (c, inside) {
            ('\'' | '"', None) => {
                inside = Some(c);
                open = Some(at + 1);
            }
            (c, Some(mark)) if c == mark => inside = None,
            _ => {}
        }
    }
    open.filter(|_| inside == Some('\''))
}

/// Whether a literal that begins behind this text is compared with a tag: `tag = `, `s.tag IN ('a', `, `name LIKE `.
fn is_of_tag(before: &str) -> bool {
    let mut rest = before.trim_end();
    loop {
        let shorter = rest.trim_end_matches(|c: char| c.is_whitespace() || "(,=<>!~[".contains(c));
        let shorter = match shorter.strip_suffix('\'') {
            Some(literal) => &literal[..literal.rfind('\'').unwrap_or(0)],
            None => shorter,
        };
        if shorter.len() == rest.len() {
            break;
        }
        rest = shorter;
    }
    let word = |text: &str| {
        text[text.rfind(|c| !is_word(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8))..]
            .to_ascii_lowercase()
    };
    let mut last = word(rest);
    while matches!(last.as_str(), "in" | "like" | "ilike" | "not" | "any" | "array" | "all") {
        rest = rest[..rest.len() - last.len()].trim_end_matches(|c: char| c.is_whitespace() || "(=<>[".contains(c));
        last = word(rest);
    }
    matches!(last.as_str(), "tag" | "name" | "values_at")
}

/// Files whose names begin so.
fn files(typed: &str) -> Vec<Found> {
    let (dir, typed_name) = typed.rsplit_once('/').map_or(("", typed), |(dir, name)| (dir, name));
    let place = match (dir, typed.starts_with('/')) {
        ("", true) => "/".to_owned(),
        ("", false) => ".".to_owned(),
        (dir, _) => super::copy::home(&format!("{dir}/")),
    };
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut out: Vec<Found> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let shown = name.starts_with(typed_name) && (!name.starts_with('.') || typed_name.starts_with('.'));
            let end = if entry.path().is_dir() { "/" } else { "" };
            let front = &typed[..typed.len() - typed_name.len()];
            shown.then(|| Found { text: format!("{front}{name}{end}"), shown: format!("{name}{end}") })
        })
        .collect();
    out.sort_by(|a, b| a.text.cmp(&b.text));
    out.truncate(FOUND_MAX);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_where_a_tag_stands() {
        for before in [
            "WHERE tag = ",
            "WHERE s.tag IN (",
            "WHERE tag IN ('a', 'b', ",
            "WHERE name LIKE ",
            "tag = ANY(ARRAY['x', ",
            "tag NOT LIKE ",
        ] {
            assert!(is_of_tag(before), "{before}");
        }
        for before in ["WHERE unit = ", "SELECT ", "time > "] {
            assert!(!is_of_tag(before), "{before}");
        }
        assert_eq!(open_literal("SELECT 'a' || 'b"), Some(15));
        assert_eq!(open_literal("SELECT 'it''s"), Some(12));
        assert_eq!(open_literal("SELECT \"a'b\""), None);
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!((name("low_low").as_str(), name("A b").as_str(), name("温度").as_str()), ("low_low", "\"A b\"", "温度"));
    }
}
