//! What a file's columns mean: wide (every column but the time is a tag) or long (a column of tags
//! and one of values), and how a row becomes samples.
//!
//! Promises: a row gives all its samples or, where anything in it is wrong, none and the reason.

use super::source::Row;
use super::time::TimeReader;
use super::{Arguments, Table};
use std::collections::HashMap;
use types::{Quality, TagDefinition, Timestamp};

/// A sample as it stands in the file: its tag by number, its value still as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSample {
    /// The tag's number in `Names`.
    pub tag: u32,
    /// When.
    pub time: Timestamp,
    /// Where its value stands in the batch's text.
    pub text: (u32, u32),
    /// Its quality.
    pub quality: Quality,
}

/// Tag names of the file, numbered as they are met.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    /// The number of a name.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("a file holds fewer than 2^32 names: each takes a line");
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The names by number.
    pub fn all(&self) -> &[String] {
        &self.names
    }
}

/// How columns become samples.
#[derive(Debug)]
pub struct Shape {
    time: usize,
    quality: Option<usize>,
    columns: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// (column, tag number).
    Wide(Vec<(usize, u32)>),
    Long {
        tag: usize,
        value: usize,
        prefix: String,
        map: HashMap<String, String>,
        empty: Empty,
    },
}

/// What a long row with an empty value says.
#[derive(Clone, Copy, Debug)]
enum Empty {
    /// Nothing: CSV can't tell it from NULL.
    Nothing,
    /// An empty text: a table's column of texts has no NULL.
    Text,
    /// Nothing that a table's column of numbers has.
    Refused,
}

impl Shape {
    /// The shape that the arguments ask for, given the file's heads.
    ///
    /// # Errors
    /// What is wrong with either, for a person.
    pub fn of(arguments: &Arguments, heads: &[String], names: &mut Names) -> Result<Shape, String> {
        if heads.iter().all(String::is_empty) {
            return Err("it is empty: a first line must name the columns".to_owned());
        }
        let find = |name: &str, what: &str| {
            let at = heads
                .iter()
                .position(|head| head == name)
                .or_else(|| heads.iter().position(|head| head.eq_ignore_ascii_case(name)));
            at.ok_or_else(|| format!("there is no column \"{name}\" ({what}); the columns are {}", list(heads)))
        };
        let time = find(arguments.time.as_deref().unwrap_or("time"), "--time")?;
        let quality = arguments.quality.as_deref().map(|name| find(name, "--quality")).transpose()?;
        let map = read_map(&arguments.map)?;
        let body = match (&arguments.tag, &arguments.value) {
            (Some(tag), Some(value)) => {
                if !arguments.columns.is_empty() {
                    return Err("--columns is for wide files; with --tag and --value it has no meaning".to_owned());
                }
                let (tag, value) = (find(tag, "--tag")?, find(value, "--value")?);
                let empty = match arguments.table {
                    None | Some(Table::Tags) => Empty::Nothing,
                    Some(Table::Events) => Empty::Text,
                    Some(Table::Samples | Table::Integers) => Empty::Refused,
                };
                Body::Long { tag, value, prefix: arguments.prefix.clone(), map, empty }
            }
            (None, None) => Body::Wide(wide(arguments, heads, names, &map, &[Some(time), quality])?),
            _ => return Err("a long file needs both --tag and --value".to_owned()),
        };
        Ok(Shape { time, quality, columns: heads.len(), body })
    }

    /// Adds the row's samples to `samples`, their texts to `texts`.
    ///
    /// # Errors
    /// Why the row is refused; nothing of it is added then.
    pub fn take(
        &self,
        row: &Row,
        times: &TimeReader,
        names: &mut Names,
        samples: &mut Vec<RawSample>,
        texts: &mut String,
    ) -> Result<(), String> {
        let (kept, kept_texts) = (samples.len(), texts.len());
        let taken = self.take_cells(row, times, names, samples, texts);
        if taken.is_err() {
            samples.truncate(kept);
            texts.truncate(kept_texts);
        }
        taken
    }

    fn take_cells(
        &self,
        row: &Row,
        times: &TimeReader,
        names: &mut Names,
        samples: &mut Vec<RawSample>,
        texts: &mut String,
    ) -> Result<(), String> {
        if let Some(why) = &row.broken {
            return Err(why.clone());
        }
        if row.cells.len() != self.columns {
            return Err(format!("has {} columns where the head has {}", row.cells.len(), self.columns));
        }
        let cell = |at: usize| std::str::from_utf8(&row.cells[at]).map_err(|_| format!("column {} is not UTF-8", at + 1));
        let time = match row.time {
            Some(micros) => Timestamp(micros),
            None => match cell(self.time)? {
                "" => return Err("has no time".to_owned()),
                text => times.read(text)?,
            },
        };
        let quality = match self.quality.map(cell).transpose()? {
            None | Some("") => Quality::GOOD,
            Some(text) => {
                Quality::parse(text).ok_or_else(|| format!("quality \"{}\" is neither a name nor 0 to 255", short(text)))?
            }
        };
        let mut add = |tag: u32, text: &str| {
            let start = texts.len() as u32;
            texts.push_str(text);
            samples.push(RawSample { tag, time, text: (start, texts.len() as u32), quality });
        };
        match &self.body {
            Body::Wide(columns) => {
                for (at, tag) in columns {
                    match cell(*at)? {
                        "" => {}
                        text => add(*tag, text),
                    }
                }
            }
            Body::Long { tag, value, prefix, map, empty } => {
                let text = cell(*value)?;
                match empty {
                    _ if !text.is_empty() => {}
                    Empty::Nothing => return Ok(()),
                    Empty::Text if !row.nulls.contains(value) => {}
                    Empty::Text | Empty::Refused => return Err("has no value".to_owned()),
                }
                let name = cell(*tag)?;
                if name.is_empty() {
                    return Err("has no tag".to_owned());
                }
                let name = map.get(name).cloned().unwrap_or_else(|| format!("{prefix}{name}"));
                check_name(&name)?;
                add(names.number(&name), text);
            }
        }
        Ok(())
    }
}

fn wide(
    arguments: &Arguments,
    heads: &[String],
    names: &mut Names,
    map: &HashMap<String, String>,
    taken: &[Option<usize>],
) -> Result<Vec<(usize, u32)>, String> {
    for wanted in arguments.columns.iter().chain(map.keys()) {
        if !heads.contains(wanted) {
            return Err(format!("there is no column \"{wanted}\"; the columns are {}", list(heads)));
        }
    }
    let mut columns = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        let wanted = arguments.columns.is_empty() || arguments.columns.contains(head);
        if taken.contains(&Some(at)) || !wanted {
            continue;
        }
        let name = map.get(head).cloned().unwrap_or_else(|| format!("{}{head}", arguments.prefix));
        check_name(&name).map_err(|problem| format!("column {}: {problem}; --map COLUMN=TAG gives it another name", at + 1))?;
        let known = names.all().len();
        if (names.number(&name) as usize) < known {
            return Err(format!("two columns would be the tag \"{name}\"; --map COLUMN=TAG gives one another name"));
        }
        columns.push((at, known as u32));
    }
    if columns.is_empty() {
        return Err("there is no column left for values".to_owned());
    }
    Ok(columns)
}

fn read_map(pairs: &[String]) -> Result<HashMap<String, String>, String> {
    pairs
        .iter()
        .map(|pair| pair.split_once('=').ok_or_else(|| format!("--map \"{pair}\": write COLUMN=TAG")))
        .map(|pair| pair.map(|(from, to)| (from.to_owned(), to.to_owned())))
        .collect()
}

fn check_name(name: &str) -> Result<(), String> {
    match name.len() {
        _ if name.chars().any(char::is_control) => Err("a tag's name can't hold control characters".to_owned()),
        1..=TagDefinition::NAME_BYTES_MAX => Ok(()),
        0 => Err("a tag's name can't be empty".to_owned()),
        long => Err(format!("a tag's name has {long} bytes; at most {} are allowed", TagDefinition::NAME_BYTES_MAX)),
    }
}

fn list(heads: &[String]) -> String {
    let more = if heads.len() > 20 { ", ..." } else { "" };
    heads.iter().take(20).map(|head| format!("\"{head}\"")).collect::<Vec<_>>().join(", ") + more
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
