//! Several-key compare-and-swap: all conditions hold and all writes happen, or nothing does.
//!
//! Promises: a swap that passes `check` fits into every implementation (etcd allows 128 operations
//! and 1.5 MiB). May not know who asks.

use crate::{Entry, Error, Key, LeaseId, Revision, VALUE_BYTES_MAX};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Most keys of one swap, compared and written ones together.
pub const SWAP_KEYS_MAX: usize = 100;

/// Most bytes of a swap's keys and values together.
pub const SWAP_BYTES_MAX: usize = 1 << 20;

/// What a swap asks of a key before it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// Nothing stands there.
    Absent,
    /// It was last written by this revision.
    Modified(Revision),
    /// It has this value. Two writes of one value are told apart only by `Modified`.
    Value(Bytes),
}

impl Is {
    /// Whether it holds for what was found.
    #[must_use]
    pub fn holds(&self, found: Option<(&[u8], Revision)>) -> bool {
        match (self, found) {
            (Is::Absent, found) => found.is_none(),
            (Is::Modified(revision), Some((_, modified))) => *revision == modified,
            (Is::Value(value), Some((found, _))) => *value == found,
            (Is::Modified(_) | Is::Value(_), None) => false,
        }
    }
}

/// What a swap does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value there; with a lease, the key is deleted when the lease ends. Without one, a
    /// lease that it had lets go of it.
    Put(Bytes, Option<LeaseId>),
    /// Deletes it, if it is there.
    Delete,
}

/// Conditions and writes.
///
/// A swap that was not answered is in doubt: it may have happened, may not have, or may *still
/// happen* while it lies in some queue. A read that shows the compared keys changed settles it; one
/// that shows them unchanged does not. So let every swap write a key that it compares by `Modified`
/// or `Absent`: then it can happen only once, and sending it again until it is answered settles it
/// (`Done`: now; `Conflict`: it happened before, or never will, and `found` tells which).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swap {
    /// What must hold, of which key.
    pub conditions: Vec<(Key, Is)>,
    /// What is written then, each key once.
    pub writes: Vec<(Key, Write)>,
}

impl Swap {
    /// A swap that asks nothing and does nothing.
    #[must_use]
    pub fn new() -> Swap {
        Swap::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, key: &Key, is: Is) -> Swap {
        self.conditions.push((key.clone(), is));
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn put(mut self, key: &Key, value: impl Into<Bytes>) -> Swap {
        self.writes.push((key.clone(), Write::Put(value.into(), None)));
        self
    }

    /// Adds a value that ends with a lease.
    #[must_use]
    pub fn put_leased(mut self, key: &Key, value: impl Into<Bytes>, lease: LeaseId) -> Swap {
        self.writes.push((key.clone(), Write::Put(value.into(), Some(lease))));
        self
    }

    /// Adds a deletion.
    #[must_use]
    pub fn delete(mut self, key: &Key) -> Swap {
        self.writes.push((key.clone(), Write::Delete));
        self
    }

    /// Whether sending it again until it is answered settles it: it writes a key that it compares by
    /// `Modified` or `Absent`.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        let compared = |key: &Key| self.conditions.iter().any(|(of, is)| of == key && !matches!(is, Is::Value(_)));
        self.writes.iter().any(|(key, _)| compared(key))
    }

    /// Whether it keeps the limits.
    ///
    /// # Errors
    /// `Error::Invalid` says which one it breaks.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(text));
        let written: BTreeSet<&Key> = self.writes.iter().map(|(key, _)| key).collect();
        if written.len() < self.writes.len() {
            return invalid("a swap writes a key once".to_owned());
        }
        let keys: BTreeSet<&Key> = self.conditions.iter().map(|(key, _)| key).chain(written).collect();
        if keys.len() > SWAP_KEYS_MAX || self.conditions.len() > SWAP_KEYS_MAX {
            return invalid(format!("a swap concerns {} keys, at most {SWAP_KEYS_MAX} are allowed", keys.len()));
        }
        let values = self.writes.iter().filter_map(|(_, write)| match write {
            Write::Put(value, _) => Some(value.len()),
            Write::Delete => None,
        });
        let longest = values.clone().max().unwrap_or(0);
        if longest > VALUE_BYTES_MAX {
            return invalid(format!("a value has {longest} bytes, at most {VALUE_BYTES_MAX} are allowed"));
        }
        let compared =
            self.conditions.iter().map(|(key, is)| key.text().len() + if let Is::Value(value) = is { value.len() } else { 8 });
        let bytes = values.chain(compared).chain(self.writes.iter().map(|(key, _)| key.text().len())).sum::<usize>();
        if bytes > SWAP_BYTES_MAX {
            return invalid(format!("a swap has {bytes} bytes, at most {SWAP_BYTES_MAX} are allowed"));
        }
        Ok(())
    }
}

/// How a swap ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// All conditions held and all writes happened.
    Done {
        /// The revision that they are; the store's, where nothing changed.
        revision: Revision,
    },
    /// A condition did not hold and nothing was written.
    Conflict {
        /// The store's revision.
        revision: Revision,
        /// What stands under the compared keys, in the conditions' order.
        found: Vec<Option<Entry>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        let key = |i: usize| Key::new(&format!("k{i:03}")).unwrap();
        let many = |count| (0..count).fold(Swap::new(), |swap, i| swap.put(&key(i), "v"));
        assert_eq!(many(SWAP_KEYS_MAX).check(), Ok(()));
        assert!(many(SWAP_KEYS_MAX + 1).check().is_err());
        assert!(many(SWAP_KEYS_MAX).when(&key(500), Is::Absent).check().is_err());
        assert!(many(2).put(&key(1), "again").check().is_err());
        assert!(Swap::new().put(&key(1), vec![0; VALUE_BYTES_MAX]).check().is_ok());
        assert!(Swap::new().put(&key(1), vec![0; VALUE_BYTES_MAX + 1]).check().is_err());
        let wide = (0..70).fold(Swap::new(), |swap, i| swap.put(&key(i), vec![0; VALUE_BYTES_MAX]));
        assert!(wide.check().is_err());
    }

    #[test]
    fn a_swap_that_writes_what_it_compares_can_be_repeated() {
        let (a, b) = (Key::new("a").unwrap(), Key::new("b").unwrap());
        assert!(Swap::new().when(&a, Is::Absent).put(&a, "1").is_repeatable());
        assert!(Swap::new().when(&b, Is::Modified(Revision(7))).delete(&b).put(&a, "1").is_repeatable());
        assert!(!Swap::new().when(&a, Is::Absent).put(&b, "1").is_repeatable());
        assert!(!Swap::new().when(&a, Is::Value("1".into())).put(&a, "1").is_repeatable());
    }
}
