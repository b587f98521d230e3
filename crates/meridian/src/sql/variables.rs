//! Variables of the shell: `\set name value`, and where they stand in statements and commands.
//!
//! Promises: names are psql's (letters, digits, underscores); `:'name'` is a literal and `:"name"` an identifier,
//! whatever the value holds.

use super::scan::is_word;
use std::collections::BTreeMap;

/// The variables.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Takes one away.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether one says yes.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "y"))
    }

    /// All of them, in order of their names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What stands for the variable that `rest` begins with (at its colon), and how long its mention is. None where it
    /// is none: a cast, a slice of an array, a name that is not set.
    pub fn replacement(&self, rest: &str, behind_colon: bool) -> Option<(usize, String)> {
        let name = rest.strip_prefix(':').filter(|_| !behind_colon)?;
        let quoted = |quote: char| {
            let name = &name[1..];
            let end = name.find(quote)?;
            let value = self.get(&name[..end]).filter(|_| name[..end].chars().all(is_word))?;
            let doubled = format!("{quote}{quote}");
            let value = format!("{quote}{}{quote}", value.replace(quote, &doubled));
            // As psql has it: a literal with backslashes is one with escapes.
            let escaped = quote == '\'' && value.contains('\\');
            Some((end + 3, if escaped { format!(" E{}", value.replace('\\', "\\\\")) } else { value }))
        };
        match name.chars().next()? {
            quote @ ('\'' | '"') => quoted(quote),
            '{' => {
                let end = name.find('}')?;
                let asked = name[..end].strip_prefix("{?").filter(|asked| !asked.is_empty() && asked.chars().all(is_word))?;
                let word = if self.0.contains_key(asked) { "TRUE" } else { "FALSE" };
                Some((end + 2, word.to_owned()))
            }
            _ => {
                let end = name.find(|c| !is_word(c)).unwrap_or(name.len());
                let value = self.get(&name[..end])?;
                Some((end + 1, value.to_owned()))
            }
        }
    }
}

/// Whether a variable may have this name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_word)
}
