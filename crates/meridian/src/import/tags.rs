//! The tags that an import writes to: found on the node, or made there.
//!
//! Promises: each name is asked for once; a tag that is made gets the kind given, or the one
//! guessed from the values at hand.

use super::kinds;
use crate::Error;
use crate::client::{Session, quote};
use std::collections::HashMap;
use types::Kind;

/// Names asked for in one statement.
const NAMES_MAX: usize = 500;

/// What is known of the file's tags, by their number in `Names`.
#[derive(Debug, Default)]
pub struct Tags {
    all: Vec<Option<Known>>,
    created: u64,
}

/// A tag that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What its values are.
    pub kind: Kind,
    /// The names of its digital states; none for other kinds.
    pub states: Box<[String]>,
}

/// What to do about tags that are not there.
#[derive(Clone, Debug)]
pub struct Making {
    /// Whether to make them.
    pub create: bool,
    /// Of which kind; None = guess.
    pub kind: Option<Kind>,
    /// The names of their states, where they are of kind state.
    pub states: Vec<String>,
}

impl Tags {
    /// How many were made.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// How many names were looked up.
    pub fn known(&self) -> usize {
        self.all.len()
    }

    /// A tag; None where there is none of that name and none was to be made.
    pub fn get(&self, tag: u32) -> Option<&Known> {
        self.all.get(tag as usize)?.as_ref()
    }

    /// Finds or makes the tags whose names are new; `values` gives the values at hand of a tag.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn resolve<'a, V, I>(&mut self, session: &Session, names: &[String], making: &Making, values: V) -> Result<(), Error>
    where
        V: Fn(u32) -> I,
        I: Iterator<Item = &'a str>,
    {
        let first = self.all.len();
        for (i, part) in names[first..].chunks(NAMES_MAX).enumerate() {
            let mut found = find(session, part)?;
            let mut missing = String::new();
            for (j, name) in part.iter().enumerate() {
                let tag = first + i * NAMES_MAX + j;
                let mut known = found.remove(name);
                if known.is_none() && making.create {
                    let kind = making.kind.unwrap_or_else(|| kinds::guess(values(tag as u32)));
                    let states = if kind == Kind::State { making.states.clone() } else { Vec::new() };
                    write_definition(&mut missing, name, kind, &states);
                    known = Some(Known { kind, states: states.into() });
                    self.created += 1;
                }
                self.all.push(known);
            }
            if !missing.is_empty() {
                session.copy("COPY tags (name, kind, states) FROM STDIN", missing)?;
            }
        }
        Ok(())
    }
}

/// Those of the names that the node has.
fn find(session: &Session, names: &[String]) -> Result<HashMap<String, Known>, Error> {
    let list = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let answer = session.query(&format!("SELECT name, kind, states FROM tags WHERE name IN ({list})"))?;
    let odd = |row: &[Option<String>]| Error::Node { doing: "looking for tags", problem: format!("it answered {row:?}") };
    let read = |row: &[Option<String>]| {
        let [Some(name), Some(kind), states] = row else { return None };
        let states = states.as_deref().map_or_else(|| Some(Vec::new()), query::array_items)?;
        Some((name.clone(), Known { kind: Kind::parse(kind).ok()?, states: states.into() }))
    };
    answer.rows.iter().map(|row| read(row).ok_or_else(|| odd(row))).collect()
}

/// A line of COPY tags.
fn write_definition(out: &mut String, name: &str, kind: Kind, states: &[String]) {
    kinds::escape(out, name);
    out.push('\t');
    out.push_str(kind.name());
    out.push('\t');
    if states.is_empty() {
        out.push_str("\\N");
    } else {
        let quoted = |state: &String| format!("\"{}\"", state.replace('\\', "\\\\").replace('"', "\\\""));
        kinds::escape(out, &format!("{{{}}}", states.iter().map(quoted).collect::<Vec<_>>().join(",")));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_from_the_line_that_makes_the_tag() {
        let states = ["off", "a\\b", "say \"on\"", "x,y{}", " "].map(str::to_owned);
        let mut line = String::new();
        write_definition(&mut line, "t\\1", Kind::State, &states);
        let cells: Vec<&str> = line.trim_end().split('\t').collect();
        assert_eq!(cells[..2], ["t\\\\1", "state"]);
        // COPY takes one backslash of each pair away.
        assert_eq!(query::array_items(&cells[2].replace("\\\\", "\\")).unwrap(), states);
    }
}
