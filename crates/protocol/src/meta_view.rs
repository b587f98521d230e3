//! What a machine knows of its entry in meta, and its one swap that is under way.
//!
//! Promises of who uses it: an entry never gives way to an older revision. A swap that was not answered is sent again,
//! unchanged, until it is answered or the entry has moved past the revision that it compares with: only then is it out of
//! doubt. At most one is under way. May not know how meta is reached, nor what an entry says.

use crate::{Moment, ReplicaId, SliceEntry};
use types::Revision;

/// The entry as last known.
#[derive(Debug)]
pub(crate) struct Known<E> {
    pub(crate) entry: E,
    pub(crate) revision: Revision,
}

/// A swap in doubt.
#[derive(Debug)]
pub(crate) struct Pending<E> {
    pub(crate) expect: Revision,
    pub(crate) next: E,
    pub(crate) again_at: Moment,
}

/// Meta, from here.
#[derive(Debug)]
pub(crate) struct MetaView<E> {
    pub(crate) known: Option<Known<E>>,
    pub(crate) pending: Option<Pending<E>>,
    /// When to read the entry next.
    pub(crate) read_at: Moment,
    /// Before which not even an urgent read is made.
    pub(crate) pause_until: Moment,
    /// Whether the wish of a swap still stands (a backup that hears its primary again lets it lie).
    pub(crate) paused: bool,
}

impl<E> Default for MetaView<E> {
    fn default() -> Self {
        let (read_at, pause_until) = (Moment::default(), Moment::default());
        MetaView { known: None, pending: None, read_at, pause_until, paused: false }
    }
}

impl<E> MetaView<E> {
    /// Wants news of the entry.
    pub(crate) fn ask_soon(&mut self, now: Moment) {
        self.read_at = self.read_at.min(now.max(self.pause_until));
    }

    /// Whether a swap is under way and still wanted.
    pub(crate) fn is_asking(&self) -> bool {
        self.pending.is_some() && !self.paused
    }

    pub(crate) fn wakes_at(&self) -> Moment {
        let again = self.pending.as_ref().filter(|_| !self.paused).map_or(Moment::NEVER, |pending| pending.again_at);
        self.read_at.min(again)
    }
}

impl MetaView<SliceEntry> {
    /// The members as last known.
    pub(crate) fn members(&self) -> &[ReplicaId] {
        self.known.as_ref().map_or(&[], |known| &known.entry.members)
    }
}
