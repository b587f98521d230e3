//! The tags that an import writes to: found on the node, or made there.
//!
//! Promises: each name is asked for once; a tag that is made gets the kind given, or the one
//! guessed from the values at hand.

use super::kinds;
use crate::Error;
use crate::client::{Session, quote};
use types::Kind;

/// Names asked for in one statement.
const NAMES_MAX: usize = 500;

/// What is known of the file's tags, by their number in `Names`.
#[derive(Debug, Default)]
pub struct Tags {
    kinds: Vec<Option<Kind>>,
    created: u64,
}

/// What to do about tags that are not there.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// Whether to make them.
    pub create: bool,
    /// Of which kind; None = guess.
    pub kind: Option<Kind>,
}

impl Tags {
    /// How many were made.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// How many names were looked up.
    pub fn known(&self) -> usize {
        self.kinds.len()
    }

    /// The kind of a tag; None where there is no such tag and none was to be made.
    pub fn kind(&self, tag: u32) -> Option<Kind> {
        self.kinds.get(tag as usize).copied().flatten()
    }

    /// Finds or makes the tags whose names are new; `values` gives the values at hand of a tag.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn resolve<'a, V, I>(&mut self, session: &Session, names: &[String], making: Making, values: V) -> Result<(), Error>
    where
        V: Fn(u32) -> I,
        I: Iterator<Item = &'a str>,
    {
        let first = self.kinds.len();
        self.kinds.resize(names.len(), None);
        for (i, part) in names[first..].chunks(NAMES_MAX).enumerate() {
            let list = part.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
            let found = session.query(&format!("SELECT name, kind FROM tags WHERE name IN ({list})"))?;
            let found: std::collections::HashMap<String, Kind> = found
                .rows
                .into_iter()
                .filter_map(|row| {
                    let [name, kind] = <[Option<String>; 2]>::try_from(row).ok()?;
                    Some((name?, Kind::parse(&kind?).ok()?))
                })
                .collect();
            let mut missing = String::new();
            for (j, name) in part.iter().enumerate() {
                let tag = first + i * NAMES_MAX + j;
                let mut kind = found.get(name).copied();
                if kind.is_none() && making.create {
                    let made = making.kind.unwrap_or_else(|| kinds::guess(values(tag as u32)));
                    kinds::escape(&mut missing, name);
                    missing.push('\t');
                    missing.push_str(made.name());
                    missing.push('\n');
                    kind = Some(made);
                    self.created += 1;
                }
                self.kinds[tag] = kind;
            }
            if !missing.is_empty() {
                session.copy("COPY tags (name, kind) FROM STDIN", missing)?;
            }
        }
        Ok(())
    }
}
