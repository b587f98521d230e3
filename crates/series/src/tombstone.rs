//! Tombstones: deletions that still have to be held against older rows.
//!
//! The rule, everywhere: a tombstone of version v hides the rows of whatever is wholly older than v
//! (a section, a run, a file); what covers v in its interval of versions had it applied when it was
//! made. So no row carries a version of its own.

use crate::{Deletion, TagSelection};
use std::sync::Arc;
use types::{TagId, TimeRange, Timestamp, Version};

/// A deletion and when it was made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tombstone {
    version: Version,
    deletion: Arc<Deletion>,
}

/// What a tombstone hides of one tag.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hidden<'a> {
    /// A range of time.
    Range(TimeRange),
    /// These times, rising.
    Points(&'a [(TagId, Timestamp)]),
}

impl Tombstone {
    /// The tombstone of a deletion.
    #[must_use]
    pub fn new(version: Version, mut deletion: Deletion) -> Self {
        if let Deletion::Points(points) = &mut deletion {
            points.sort_unstable();
            points.dedup();
        }
        Tombstone { version, deletion: Arc::new(deletion) }
    }

    /// When the deletion was made.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What is deleted (points in order, each once).
    #[must_use]
    pub fn deletion(&self) -> &Deletion {
        &self.deletion
    }

    /// Whether it hides the sample of a tag at a time.
    #[must_use]
    pub fn hides(&self, tag: TagId, time: Timestamp) -> bool {
        match &*self.deletion {
            Deletion::Range { tags, range } => range.contains(time) && tags.contains(tag),
            Deletion::Points(points) => points.binary_search(&(tag, time)).is_ok(),
        }
    }

    /// From the earliest to the latest time that it concerns; empty where it concerns none.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        match &*self.deletion {
            Deletion::Range { range, .. } => *range,
            Deletion::Points(points) => {
                points.iter().fold(TimeRange { first: Timestamp::MAX, last: Timestamp::MIN }, |range, (_, time)| TimeRange {
                    first: range.first.min(*time),
                    last: range.last.max(*time),
                })
            }
        }
    }

    /// Bytes of memory that it holds on to.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let held = match &*self.deletion {
            Deletion::Range { tags: TagSelection::List(tags), .. } => tags.len() * 8,
            Deletion::Range { .. } => 0,
            Deletion::Points(points) => points.len() * 16,
        };
        held + std::mem::size_of::<Deletion>() + std::mem::size_of::<Tombstone>()
    }

    /// What it hides of a tag, if anything.
    pub(crate) fn of_tag(&self, tag: TagId) -> Option<Hidden<'_>> {
        match &*self.deletion {
            Deletion::Range { tags, range } => (!range.is_empty() && tags.contains(tag)).then_some(Hidden::Range(*range)),
            Deletion::Points(points) => {
                let from = points.partition_point(|(other, _)| *other < tag);
                let to = from + points[from..].partition_point(|(other, _)| *other == tag);
                (from < to).then(|| Hidden::Points(&points[from..to]))
            }
        }
    }
}

impl Hidden<'_> {
    pub fn contains(&self, time: Timestamp) -> bool {
        match self {
            Hidden::Range(range) => range.contains(time),
            Hidden::Points(points) => points.binary_search_by_key(&time, |(_, at)| *at).is_ok(),
        }
    }

    /// Whether it hides everything within a range.
    pub fn covers(&self, range: &TimeRange) -> bool {
        matches!(self, Hidden::Range(hidden) if hidden.covers(range))
    }

    /// Whether it hides anything within a range.
    pub fn touches(&self, range: &TimeRange) -> bool {
        match self {
            Hidden::Range(hidden) => hidden.overlaps(range),
            Hidden::Points(points) => {
                let from = points.partition_point(|(_, at)| *at < range.first);
                points.get(from).is_some_and(|(_, at)| *at <= range.last)
            }
        }
    }
}
