//! The simulated meta: linearizable compare-and-swap of slices' entries, watched, sometimes away.
//!
//! Promises: a swap happens whole or not, and against the law of entries never; being away loses
//! questions, or answers, or both.

use protocol::{EntryError, SliceEntry};
use types::Revision;

/// An entry and its revision.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) entry: SliceEntry,
    pub(crate) revision: Revision,
}

/// Meta.
pub(crate) struct Meta {
    slices: Vec<Kept>,
    revision: u64,
    /// It answers nobody.
    pub(crate) away: u32,
    /// While away it still does what it is asked.
    pub(crate) applies: bool,
    /// The law is not asked (for the planted bug `PromoteNonMember`).
    pub(crate) lawless: bool,
}

impl Meta {
    pub(crate) fn new(entries: Vec<SliceEntry>) -> Meta {
        let slices = entries.into_iter().map(|entry| Kept { entry, revision: Revision(1) }).collect();
        Meta { slices, revision: 1, away: 0, applies: false, lawless: false }
    }

    pub(crate) fn get(&self, slice: usize) -> &Kept {
        &self.slices[slice]
    }

    /// Swaps; false where something else stands there.
    ///
    /// # Errors
    /// What breaks the law: then whoever asked is broken.
    pub(crate) fn swap(&mut self, slice: usize, expect: Revision, next: SliceEntry) -> Result<bool, EntryError> {
        let kept = &mut self.slices[slice];
        if kept.revision != expect {
            return Ok(false);
        }
        if !self.lawless {
            kept.entry.check_next(&next)?;
        }
        self.revision += 1;
        *kept = Kept { entry: next, revision: Revision(self.revision) };
        Ok(true)
    }
}
