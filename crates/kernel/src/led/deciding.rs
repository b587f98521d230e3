//! What a record brings: decided on once its place in the slice's order of writes is known.
//!
//! ```text
//!   a draft (`composing`): its parts, and how its tags are thinned
//!         ──> whoever leads gives it a place ──> `decide`: what deadbands and swinging doors leave out ──> the record's body
//! ```
//! A body says the outcome, so backups and replay obey it. Deciding comes last: a write that is a repetition, or refused, is
//! never decided on, and the doors (`thinning`) learn of what is logged alone.
//!
//! Shared state: `LedDoors`, a slice's, under a lock that is taken before its `led`, `values` and `view`.
//! Promises: what doors know rests on a chain of records that they saw, each the successor of the one before. Where the next
//! one does not follow the last they saw (another replica led meanwhile, records were set aside, files were taken, the data
//! were deleted, the process is a new one) they know nothing, and keep all samples until what was logged before is visible.
//! May not know: who leads, and whether a record that was decided on is logged. Where it is not, the chain is broken.

use super::{LedSlice, format};
use crate::Deletion;
use crate::commit::Body;
use crate::core::Core;
use crate::record::{PartKind, encode_deletion};
use crate::thinning::{SliceDoors, There};
use bytes::Bytes;
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, Compression, Kind, Kinds, Sequence, TagId, Version};

/// What a slice gets of a batch, before its place among the slice's writes is known.
#[derive(Clone, Debug)]
pub struct Draft {
    commit: CommitNumber,
    /// Deletions first: they hide what earlier records brought, never the samples beside them.
    bodies: Vec<Body>,
    rows: u64,
    /// How its tags are thinned, those that are.
    thinned: Arc<HashMap<TagId, Compression>>,
    /// The record's body, where nothing is to be decided.
    whole: Bytes,
}

/// What the order of a led slice's writes knows of thinned tags, as far as this replica decided on them.
#[derive(Default)]
pub(crate) struct LedDoors {
    doors: SliceDoors,
    /// The last record that they saw.
    last: Version,
    /// What was logged up to here may have changed what is there without a door's knowing.
    since: Sequence,
}

/// Kinds as the kernel knows them; of compressions, what a batch says.
struct Told<'a> {
    kinds: &'a dyn Kinds,
    thinned: &'a HashMap<TagId, Compression>,
}

impl Kinds for Told<'_> {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        self.kinds.kind(tag)
    }

    fn compression(&self, tag: TagId) -> Compression {
        self.thinned.get(&tag).copied().unwrap_or_default()
    }

    fn is_thinned(&self, tag: TagId) -> bool {
        self.thinned.contains_key(&tag)
    }
}

impl Draft {
    /// `whole` is the body of all parts.
    pub(super) fn new(
        commit: CommitNumber,
        bodies: Vec<Body>,
        rows: u64,
        thinned: Arc<HashMap<TagId, Compression>>,
        whole: Bytes,
    ) -> Draft {
        Draft { commit, bodies, rows, thinned, whole }
    }

    /// Its body as it was handed in, for whoever thins nothing.
    #[must_use]
    pub fn whole(self) -> Bytes {
        self.whole
    }
}

fn encode(commit: CommitNumber, bodies: &[Body]) -> Bytes {
    let parts: Vec<(PartKind, Bytes)> = bodies.iter().map(|body| (body.kind(), body.log_bytes())).collect();
    format::encode_body(commit, &parts)
}

pub(super) fn deleting(deletion: Deletion) -> Body {
    let bytes = encode_deletion(&deletion).into();
    Body::Deletion { deletion: Arc::new(deletion), bytes }
}

impl Core {
    pub(super) fn next_commit(&self) -> CommitNumber {
        let mut order = self.order.lock();
        order.commit = CommitNumber(self.now_us().max(order.commit.0 + 1));
        order.commit
    }
}

impl LedSlice {
    /// A draft that deletes something in this slice; of no points, it changes nothing, and its producer's number counts.
    #[must_use]
    pub fn deletion(&self, deletion: Deletion) -> Draft {
        let (commit, bodies) = (self.core.next_commit(), vec![deleting(deletion)]);
        let whole = encode(commit, &bodies);
        Draft::new(commit, bodies, 0, Arc::default(), whole)
    }

    /// Another run leads from now on: what this one knew of thinned tags takes no memory any more.
    pub(super) fn forget_doors(&self) {
        *self.slice.doors.lock() = LedDoors::default();
    }

    /// Decides what the record of a draft brings, and gives its body. It is asked by whoever leads, of each record in turn:
    /// `version` is the record's, `after` that of the one that it follows.
    #[must_use]
    pub fn decide(&self, draft: Draft, after: Version, version: Version) -> Bytes {
        let mut guard = self.slice.doors.lock();
        let LedDoors { doors, last, since } = &mut *guard;
        if std::mem::replace(last, version) != after {
            doors.forget_all();
            *since = after.sequence;
        }
        let told = Told { kinds: &*self.core.kinds, thinned: &draft.thinned };
        for body in &draft.bodies {
            let changes = match body {
                Body::Samples { section, .. } => doors.forget_changed(section, &told),
                Body::Deletion { deletion, .. } => {
                    doors.forget(deletion);
                    true
                }
                Body::Held { .. } => false,
            };
            if changes {
                *since = version.sequence;
            }
        }
        self.core.counters.rows_written.fetch_add(draft.rows, Ordering::Relaxed);
        if draft.thinned.is_empty() {
            return draft.whole;
        }
        let settled = self.published().sequence >= *since;
        let there = There { slice: &self.slice, kinds: &told, rule: self.core.ground().rule, settled };
        let (mut decided, mut left_out) = (Vec::with_capacity(draft.bodies.len() + 1), 0);
        for body in draft.bodies {
            left_out += doors.decide(&there, body, &mut decided);
        }
        if decided.is_empty() {
            // All of it came late and is left out: its producer's number counts.
            decided.push(deleting(Deletion::Points(Vec::new())));
        }
        self.core.counters.rows_thinned.fetch_add(left_out, Ordering::Relaxed);
        encode(draft.commit, &decided)
    }
}
