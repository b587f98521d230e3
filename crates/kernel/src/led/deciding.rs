//! What a record brings: composed from a batch, and decided on once its place in the slice's order of writes is known.
//!
//! ```text
//!   batch ──> a draft for each slice: its parts, and how its tags are thinned
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
use crate::commit::Body;
use crate::core::Core;
use crate::record::{PartKind, encode_deletion};
use crate::thinning::{SliceDoors, THINNED_PART_BYTES, THINNED_ROW_BYTES, There};
use crate::{Deletion, Error, Kernel, Write};
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, Compression, Kind, Kinds, Sequence, SliceId, TagId, Version};

/// The most that a record has in the log besides its body.
const RECORD_HEAD_BYTES: u64 = 128;

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
    whole: Option<Bytes>,
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
    fn new(commit: CommitNumber, bodies: Vec<Body>, rows: u64, thinned: Arc<HashMap<TagId, Compression>>) -> Draft {
        let whole = thinned.is_empty().then(|| encode(commit, &bodies));
        Draft { commit, bodies, rows, thinned, whole }
    }

    /// Its body as it was handed in, for whoever thins nothing.
    #[must_use]
    pub fn whole(self) -> Bytes {
        self.whole.unwrap_or_else(|| encode(self.commit, &self.bodies))
    }
}

fn encode(commit: CommitNumber, bodies: &[Body]) -> Bytes {
    let parts: Vec<(PartKind, Bytes)> = bodies.iter().map(|body| (body.kind(), body.log_bytes())).collect();
    format::encode_body(commit, &parts)
}

fn deleting(deletion: Deletion) -> Body {
    let bytes = encode_deletion(&deletion).into();
    Body::Deletion { deletion: Arc::new(deletion), bytes }
}

impl Kernel {
    /// Makes drafts of a batch: one a slice that it concerns, in order of slice, all with one commit number. Deletions hide
    /// what earlier records brought, never the samples of their own. `thinned` says how tags of the batch are thinned, those
    /// that are. `Write::origin` is the record's.
    ///
    /// # Errors
    /// As `write`.
    pub fn led_drafts(
        &self,
        write: Write<'_>,
        deletions: &[Deletion],
        thinned: &[(TagId, Compression)],
    ) -> Result<Vec<(SliceId, Draft)>, Error> {
        self.core.led_drafts(write, deletions, thinned)
    }
}

impl Core {
    fn next_commit(&self) -> CommitNumber {
        let mut order = self.order.lock();
        order.commit = CommitNumber(self.now_us().max(order.commit.0 + 1));
        order.commit
    }

    fn led_drafts(
        &self,
        write: Write<'_>,
        deletions: &[Deletion],
        thinned: &[(TagId, Compression)],
    ) -> Result<Vec<(SliceId, Draft)>, Error> {
        let ground = self.ground();
        let sections = series::gather(&ground.placement, &*self.kinds, write.samples, write.texts)?;
        let thins = |(tag, how): &&(TagId, Compression)| self.kinds.kind(*tag).is_some_and(|kind| how.thins(kind));
        let thinned: Arc<HashMap<_, _>> = Arc::new(thinned.iter().filter(thins).copied().collect());
        let mut parts: BTreeMap<SliceId, (Vec<Body>, u64)> = BTreeMap::new();
        for (slice, deletion) in deletions.iter().flat_map(|deletion| ground.split_deletion(deletion.clone())) {
            parts.entry(slice).or_default().0.push(deleting(deletion));
        }
        for (slice, section) in sections {
            let (bodies, rows) = parts.entry(slice).or_default();
            *rows += section.rows() as u64;
            bodies.push(Body::Samples { periods: section.periods(ground.period_us), section });
        }
        let commit = self.next_commit();
        let draft = |(slice, (bodies, rows)): (SliceId, (Vec<Body>, u64))| {
            self.check_size(&bodies, rows, !thinned.is_empty())?;
            Ok((slice, Draft::new(commit, bodies, rows, Arc::clone(&thinned))))
        };
        parts.into_iter().map(draft).collect()
    }

    /// Whatever is decided of it fits a record.
    fn check_size(&self, bodies: &[Body], rows: u64, thins: bool) -> Result<(), Error> {
        let parts = format::body_bytes(bodies.iter().map(|body| body.log_bytes().len() as u64));
        let added = if thins { rows * THINNED_ROW_BYTES + bodies.len() as u64 * THINNED_PART_BYTES } else { 0 };
        // The record's head goes along with it.
        let (bytes, limit) = (parts + added, self.write_bytes_max().saturating_sub(RECORD_HEAD_BYTES));
        if bytes > limit { Err(Error::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

impl LedSlice {
    /// A draft that deletes something in this slice; of no points, it changes nothing, and its producer's number counts.
    #[must_use]
    pub fn deletion(&self, deletion: Deletion) -> Draft {
        Draft::new(self.core.next_commit(), vec![deleting(deletion)], 0, Arc::default())
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
        if let Some(whole) = draft.whole {
            return whole;
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
