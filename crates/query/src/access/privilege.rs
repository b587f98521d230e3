//! What can be allowed: reading, inserting, updating, deleting; and the letters by which PostgreSQL's catalogue shows it.

use crate::error::{Error, raise};
use std::fmt;

/// A set of things that a role may do with an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges(u8);

/// Each one: its name, its letter, and itself.
const EACH: [(&str, char, Privileges); 4] = [
    ("INSERT", 'a', Privileges::INSERT),
    ("SELECT", 'r', Privileges::SELECT),
    ("UPDATE", 'w', Privileges::UPDATE),
    ("DELETE", 'd', Privileges::DELETE),
];

impl Privileges {
    /// Nothing.
    pub const NONE: Privileges = Privileges(0);
    /// Reading rows.
    pub const SELECT: Privileges = Privileges(1);
    /// Making rows.
    pub const INSERT: Privileges = Privileges(2);
    /// Changing rows.
    pub const UPDATE: Privileges = Privileges(4);
    /// Deleting rows.
    pub const DELETE: Privileges = Privileges(8);
    /// All of them.
    pub const ALL: Privileges = Privileges(15);

    /// Whether all of these are among them.
    #[must_use]
    pub fn has(self, wanted: Privileges) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, more: Privileges) -> Privileges {
        Privileges(self.0 | more.0)
    }

    /// Those that are not among the others.
    #[must_use]
    pub fn without(self, less: Privileges) -> Privileges {
        Privileges(self.0 & !less.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn common(self, other: Privileges) -> Privileges {
        Privileges(self.0 & other.0)
    }

    /// As a number that no other set has.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Each by itself.
    pub(crate) fn each(self) -> impl Iterator<Item = Privileges> {
        EACH.into_iter().map(|(_, _, one)| one).filter(move |one| self.has(*one))
    }

    /// The one of that name, in any case of letters.
    pub(crate) fn named(name: &str) -> Option<Privileges> {
        EACH.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)).map(|(.., one)| *one)
    }

    /// Their letters in PostgreSQL's order; those that may be granted on have a star.
    pub(crate) fn letters(self, grantable: Privileges) -> String {
        let mut out = String::new();
        for (_, letter, one) in EACH.iter().filter(|(.., one)| self.has(*one)) {
            out.push(*letter);
            if grantable.has(*one) {
                out.push('*');
            }
        }
        out
    }

    /// Those of these letters.
    pub(crate) fn of_letters(text: &str) -> Option<Privileges> {
        text.chars().try_fold(Privileges::NONE, |all, letter| {
            EACH.iter().find(|(_, known, _)| *known == letter).map(|(.., one)| all.with(*one))
        })
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = EACH.iter().filter(|(.., one)| self.has(*one)).map(|(name, ..)| *name).collect();
        out.write_str(&names.join(", "))
    }
}

/// What a privilege is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A table: `public.samples`, `meridian.slices`.
    Table(String),
    /// The tags that a condition names, in its one way of being written.
    Tags(String),
}

/// The tables of `public` that a group of tags opens for a privilege: their rows of these tags.
pub(crate) fn opened_by_groups(privilege: Privileges) -> &'static [&'static str] {
    match privilege {
        Privileges::SELECT => &["public.samples", "public.integers", "public.events", "public.latest", "public.tags"],
        Privileges::INSERT => &["public.samples", "public.integers", "public.events", "public.tags"],
        Privileges::DELETE => &["public.samples", "public.integers", "public.events"],
        Privileges::UPDATE => &["public.tags"],
        _ => &[],
    }
}

/// What a role is told that may not do what it wants with a table.
pub(crate) fn denied(table: &str, privilege: Privileges) -> Error {
    let bare = table.strip_prefix("public.").unwrap_or(table);
    let error = raise(Error::Forbidden, format!("permission denied for table {bare}"));
    match table.split_once('.') {
        Some(("meridian", _)) => error.with_hint("members of pg_monitor may read what the server says of itself"),
        _ => error.with_detail(format!("{privilege} is needed on it, or on tags: GRANT {privilege} ON TAGS WHERE ..")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_postgresqls() {
        let all = Privileges::ALL;
        assert_eq!(all.letters(Privileges::NONE), "arwd");
        assert_eq!(all.without(Privileges::UPDATE).letters(Privileges::SELECT), "ar*d");
        assert_eq!(Privileges::of_letters("arwd"), Some(all));
        assert_eq!(Privileges::of_letters("x"), None);
        assert_eq!(Privileges::SELECT.with(Privileges::DELETE).to_string(), "SELECT, DELETE");
        assert_eq!(all.each().count(), 4);
    }
}
