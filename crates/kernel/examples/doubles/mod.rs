//! Tags of examples that measure: all of them are doubles, however many there are.

use types::{Kind, Kinds, TagId};

/// Every ordinal is a tag of kind f64.
pub struct Doubles;

impl Kinds for Doubles {
    fn kind(&self, _tag: TagId) -> Option<Kind> {
        Some(Kind::F64)
    }

    fn first_misfit(&self, _tags: &[TagId], _bits: &[u64]) -> Option<usize> {
        None
    }
}
