//! Keys, their ranges, and what stands under a key.
//!
//! Promises: a `Key` is text of 1 to 256 bytes without control characters; a `Range` is half open and holds any keys between its
//! ends. May not know which keys there are.

use crate::Error;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use types::Revision;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Longest value in bytes: a page of values stays far below what one message may hold.
pub const VALUE_BYTES_MAX: usize = 16 << 10;

/// A lease; never 0, below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// A key. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this text.
    ///
    /// # Errors
    /// `Error::Invalid` where it is empty, longer than `KEY_BYTES_MAX`, or has control characters
    /// (implementations keep their own things under such names).
    pub fn new(text: &str) -> Result<Key, Error> {
        if text.is_empty() || text.len() > KEY_BYTES_MAX {
            return Err(Error::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", text.len())));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::Invalid(format!("the key {text:?} has control characters")));
        }
        Ok(Key(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Keys from `from` on and before `to`, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    from: Arc<str>,
    to: Arc<str>,
}

impl Range {
    /// All keys that begin so.
    ///
    /// # Errors
    /// `Error::Invalid` where the prefix does not end in a printable ASCII character (its successor
    /// is the range's end) or is longer than a key.
    pub fn prefix(prefix: &str) -> Result<Range, Error> {
        match prefix.as_bytes().split_last() {
            Some((last, rest)) if last.is_ascii_graphic() && prefix.len() <= KEY_BYTES_MAX => {
                // The character before the last byte is whole, since the last one is ASCII.
                let to = format!("{}{}", &prefix[..rest.len()], char::from(last + 1));
                Ok(Range { from: prefix.into(), to: to.into() })
            }
            _ => Err(Error::Invalid(format!("\"{prefix}\" is no prefix: it must end in a printable ASCII character"))),
        }
    }

    /// One key.
    #[must_use]
    pub fn key(key: &Key) -> Range {
        Range { from: Arc::clone(&key.0), to: format!("{}\0", key.0).into() }
    }

    /// What is left of the range behind a key, for the next page.
    #[must_use]
    pub fn after(&self, key: &Key) -> Range {
        Range { from: format!("{}\0", key.0).into(), to: Arc::clone(&self.to) }
    }

    /// A range from its two ends, as a message carried them.
    #[must_use]
    pub fn between(from: &str, to: &str) -> Range {
        Range { from: from.into(), to: to.into() }
    }

    /// The first key that may be in it.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The first key behind it.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Whether a key lies in it.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        *self.from <= *key.0 && *key.0 < *self.to
    }
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// The revision that wrote it last.
    pub modified: Revision,
    /// The lease with which it ends.
    pub lease: Option<LeaseId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_begins_so_and_nothing_else() {
        let key = |text: &str| Key::new(text).unwrap();
        let range = Range::prefix("slice/").unwrap();
        for (text, inside) in [("slice/", true), ("slice/9", true), ("slice/é", true), ("slice", false), ("slice0", false)] {
            assert_eq!(range.contains(&key(text)), inside, "{text}");
        }
        assert_eq!(range.after(&key("slice/5")), Range::between("slice/5\0", "slice0"));
        assert!(range.after(&key("slice/5")).contains(&key("slice/50")));
        assert!(Range::key(&key("a")).contains(&key("a")) && !Range::key(&key("a")).contains(&key("aa")));
        assert!(Range::prefix("é/").unwrap().contains(&key("é/x")));
        for bad in ["", "é", "a\0", "tab\t"] {
            assert!(Range::prefix(bad).is_err(), "{bad:?}");
        }
        assert!(
            Key::new("").is_err()
                && Key::new("a\0").is_err()
                && Key::new(&"k".repeat(257)).is_err()
                && Key::new(&"k".repeat(256)).is_ok()
        );
    }
}
