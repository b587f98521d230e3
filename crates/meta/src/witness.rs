//! Which meta this is, and how far it had come: what a node keeps so that it recognises a wiped or an
//! old one.
//!
//! Promises: a witness only grows. May not know where a node keeps it.

use crate::{Error, Revision};
use std::fmt;

/// Which meta this is: drawn at random when it is made, kept under a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetaId(pub u128);

impl fmt::Display for MetaId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Which meta a process belongs to, and the highest revision that it saw of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Which one.
    pub id: MetaId,
    /// How far it had come.
    pub revision: Revision,
}

impl Witness {
    /// Its bytes: the id, then the revision, little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..16].copy_from_slice(&self.id.0.to_le_bytes());
        out[16..].copy_from_slice(&self.revision.0.to_le_bytes());
        out
    }

    /// A witness from its bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; 24]) -> Witness {
        let (id, revision) = bytes.split_at(16);
        let id = MetaId(u128::from_le_bytes(id.try_into().expect("sixteen of twenty-four bytes")));
        let revision = Revision(u64::from_le_bytes(revision.try_into().expect("the other eight")));
        Witness { id, revision }
    }

    /// Whether an answer comes from this meta, and not from a time before.
    ///
    /// # Errors
    /// `Error::Foreign`, `Error::Older`.
    pub fn check(&self, id: Option<MetaId>, revision: Revision) -> Result<(), Error> {
        if id != Some(self.id) {
            return Err(Error::Foreign { expected: self.id, found: id });
        }
        if revision < self.revision {
            return Err(Error::Older { seen: self.revision, found: revision });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_or_old_meta_is_recognised() {
        let witness = Witness { id: MetaId(7 << 100), revision: Revision(40) };
        assert_eq!(Witness::decode(&witness.encode()), witness);
        assert_eq!(witness.check(Some(witness.id), Revision(40)), Ok(()));
        assert!(matches!(witness.check(Some(witness.id), Revision(39)), Err(Error::Older { .. })));
        assert!(matches!(witness.check(Some(MetaId(1)), Revision(99)), Err(Error::Foreign { found: Some(_), .. })));
        assert!(matches!(witness.check(None, Revision(99)), Err(Error::Foreign { found: None, .. })));
    }
}
