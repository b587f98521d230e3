//! How a write becomes durable and visible. One direction; no step goes back.
//!
//! ```text
//!   caller's thread:  check, gather into sections -> admit: producer's number
//!                     -> room (a memory ticket where it is short)
//!                     -> order: a producer's in turn, what thinning leaves out, commit number, versions,
//!                        append to the log (`ordering`)
//!   Lane::Log:        durable, in log order -> snapshot values -> buffers -> visible -> promise kept
//! ```
//! States of a write: admitted (its producer's number is in flight) -> waiting for room -> waiting for its
//! producer's lower numbers -> ordered -> logged -> applied, or refused at any step before. Once ordered it is
//! settled on Lane::Log only.

use crate::core::{Core, Underway, split_deletion};
use crate::origins::{Admission, Outcome};
use crate::record::{self, CommitHead, PartKind};
use crate::thinning::{THINNED_PART_BYTES, THINNED_ROW_BYTES};
use crate::{Committed, Deletion, Error, Write};
use bytes::Bytes;
use log::Body as LogBody;
use memory::Grant;
use series::Section;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, Origin, Period, SliceId};
use world::{Promise, Ticket};

/// What a slice keeps of a record that is not in files yet, besides its rows.
pub(crate) const RECORD_BYTES: u64 = 64;
/// What a slice gets of a commit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Samples, and the periods that they touch.
    Samples { section: Section, periods: Vec<Period> },
    /// Held samples, one a tag, and the periods in which they lie.
    Held { section: Section, periods: Vec<Period> },
    /// A deletion.
    Deletion { deletion: Arc<Deletion>, bytes: Bytes },
}

/// A slice's part of a commit that is not ordered yet.
pub(crate) struct Part {
    pub(crate) slice: SliceId,
    pub(crate) body: Body,
}

impl Body {
    /// What it takes of the write buffers' share.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match self {
            Body::Samples { section, .. } | Body::Held { section, .. } => section.memory_bytes() as u64 + RECORD_BYTES,
            Body::Deletion { bytes, .. } => 3 * bytes.len() as u64 + 256,
        }
    }

    /// What of it stays until the slice is flushed: held samples are copied where they are held.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        match self {
            Body::Held { .. } => RECORD_BYTES,
            Body::Samples { .. } | Body::Deletion { .. } => self.memory_bytes(),
        }
    }

    pub(crate) fn log_bytes(&self) -> Bytes {
        match self {
            Body::Samples { section, .. } | Body::Held { section, .. } => section.bytes(),
            Body::Deletion { bytes, .. } => bytes.clone(),
        }
    }

    pub(crate) fn kind(&self) -> PartKind {
        match self {
            Body::Samples { .. } => PartKind::Samples,
            Body::Held { .. } => PartKind::Held,
            Body::Deletion { .. } => PartKind::Deletion,
        }
    }
}

impl Part {
    pub(crate) fn deletion(slice: SliceId, deletion: Deletion) -> Part {
        let bytes = record::encode_deletion(&deletion).into();
        Part { slice, body: Body::Deletion { deletion: Arc::new(deletion), bytes } }
    }
}

/// The parts' bytes, end to end, with their checksum.
pub(crate) fn body_of(parts: &[Part]) -> LogBody {
    LogBody::new(parts.iter().map(|part| part.body.log_bytes()).collect())
}

/// A write on its way.
pub(crate) struct Pending {
    pub(crate) parts: Vec<Part>,
    /// The parts' bytes; made when thinning has decided, where it has to.
    pub(crate) body: Option<LogBody>,
    pub(crate) origin: Option<Origin>,
    pub(crate) rows: u64,
    /// `Kinds::compressions` as they were when it was found out whether it has rows of thinned tags.
    pub(crate) compressions: u64,
    pub(crate) underway: Underway,
    pub(crate) promise: Promise<Outcome>,
    /// When it came, by the monotonic clock.
    pub(crate) begun_us: u64,
}

/// A write that has its room.
pub(crate) type WithRoom = (Pending, Grant);

/// An ordered write: what Lane::Log applies.
pub(crate) struct Ordered {
    pub(crate) head: CommitHead,
    pub(crate) bodies: Vec<Body>,
    pub(crate) rows: u64,
    /// Rows that thinning left out.
    pub(crate) left_out: u64,
    /// When the write came, by the monotonic clock.
    pub(crate) begun_us: u64,
}

impl Core {
    /// Takes a write of samples. Returns before it is durable.
    pub(crate) fn write(self: &Arc<Core>, write: Write<'_>) -> Ticket<Outcome> {
        let (ground, underway) = self.ground_of_write();
        let compressions = self.kinds.compressions();
        let thins = write.samples.iter().any(|batch| self.kinds.any_is_thinned(batch.tags()));
        let gathered = series::gather(&ground.placement, &*self.kinds, write.samples, write.texts);
        let sections = match gathered {
            Ok(sections) => sections,
            Err(fault) => return Ticket::ready(Err(fault.into())),
        };
        let rows = sections.iter().map(|(_, section)| section.rows() as u64).sum();
        let part = |(slice, section): (SliceId, Section)| {
            let periods = section.periods(ground.period_us);
            Part { slice, body: Body::Samples { section, periods } }
        };
        let mut parts: Vec<Part> = sections.into_iter().map(part).collect();
        if parts.is_empty() {
            let Some(origin) = write.origin else { return Ticket::ready(Ok(self.nothing())) };
            // Its number is remembered all the same, by a slice: a deletion of nothing carries it.
            let slice = SliceId((origin.producer.0 % u128::from(ground.rule.buckets)) as u32);
            parts.push(Part::deletion(slice, Deletion::Points(Vec::new())));
        }
        self.take(parts, rows, write.origin, (compressions, thins), underway)
    }

    /// Takes a deletion. Returns before it is durable.
    pub(crate) fn delete(self: &Arc<Core>, deletion: Deletion) -> Ticket<Outcome> {
        let (ground, underway) = self.ground_of_write();
        self.delete_parts(split_deletion(&ground.rule, deletion), underway)
    }

    /// As `delete`, but leaves led slices alone.
    pub(crate) fn delete_own(self: &Arc<Core>, deletion: Deletion) -> Ticket<Outcome> {
        let (ground, underway) = self.ground_of_write();
        let mut parts = split_deletion(&ground.rule, deletion);
        parts.retain(|(slice, _)| !self.is_led(*slice));
        self.delete_parts(parts, underway)
    }

    fn delete_parts(self: &Arc<Core>, parts: Vec<(SliceId, Deletion)>, underway: Underway) -> Ticket<Outcome> {
        if parts.is_empty() {
            return Ticket::ready(Ok(self.nothing()));
        }
        let parts = parts.into_iter().map(|(slice, deletion)| Part::deletion(slice, deletion)).collect();
        self.take(parts, 0, None, (self.kinds.compressions(), false), underway)
    }

    /// Gets room for a write, waiting in line where it is short, and then orders it. `thins`: whether it has rows of
    /// thinned tags, found out when `Kinds::compressions` were these.
    fn take(
        self: &Arc<Core>,
        parts: Vec<Part>,
        rows: u64,
        origin: Option<Origin>,
        (compressions, thins): (u64, bool),
        underway: Underway,
    ) -> Ticket<Outcome> {
        let as_they_are: u64 = parts.iter().map(|part| part.body.memory_bytes()).sum();
        let added = if thins { rows * THINNED_ROW_BYTES + parts.len() as u64 * THINNED_PART_BYTES } else { 0 };
        let bytes = as_they_are + added;
        let limit = self.write_bytes_max();
        if bytes > limit {
            return Ticket::ready(Err(Error::TooLarge { bytes, limit }));
        }
        let (promise, ticket) = Ticket::pair();
        let Some(promise) = self.admit(origin, promise) else { return ticket };
        let body = (!thins).then(|| body_of(&parts));
        let begun_us = self.world.clock.monotonic_us();
        let pending = Pending { parts, body, origin, rows, compressions, underway, promise, begun_us };
        if let Some(grant) = self.shares.buffers.try_take(bytes) {
            self.order(pending, grant);
            return ticket;
        }
        if let Some(full) = self.disk_full() {
            self.give_up(pending, full);
            return ticket;
        }
        let Ok(room) = self.shares.buffers.take(bytes) else {
            self.give_up(pending, Error::TooLarge { bytes, limit });
            return ticket;
        };
        let core = Arc::clone(self);
        room.on_done(move |grant| match grant {
            // Whoever gave up was told that it was cancelled. A numbered write may be waited for by its retry.
            Ok(grant) if pending.origin.is_none() && !pending.promise.is_awaited() => {
                drop(grant);
                core.give_up(pending, Error::Closed);
            }
            Ok(grant) => core.order(pending, grant),
            Err(_) => core.give_up(pending, core.refusal()),
        });
        self.relieve();
        ticket
    }

    /// Takes a write's number, in the order of the calls; where it is not new, the promise is kept otherwise.
    fn admit(self: &Arc<Core>, origin: Option<Origin>, promise: Promise<Outcome>) -> Option<Promise<Outcome>> {
        let Some(origin) = origin else { return Some(promise) };
        let admission = {
            let mut order = self.order.lock();
            let now = order.commit;
            order.origins.admit(origin, now)
        };
        match admission {
            Admission::New => return Some(promise),
            Admission::Duplicate => promise.keep(Ok(self.duplicate())),
            Admission::Behind(refused) => promise.keep(Err(Error::Behind { number: origin.number, refused })),
            Admission::Waits(ticket) => {
                let core = Arc::clone(self);
                ticket.on_done(move |outcome| {
                    promise.keep(outcome.unwrap_or(Err(Error::Closed)).map(|_| core.duplicate()));
                });
            }
        }
        None
    }

    /// On Lane::Log: the record is durable.
    pub(crate) fn logged(self: &Arc<Core>, ordered: Ordered, position: log::Position, grant: Grant, promise: Promise<Outcome>) {
        let Ordered { head, bodies, rows, left_out, begun_us } = ordered;
        self.jobs.log_full.store(false, Ordering::Release);
        let (commit, origin) = (head.commit, head.origin);
        let deleted = self.apply(&head, bodies, position, Some(grant));
        self.sort_where_wanted(head.parts.iter().map(|part| part.slice));
        self.watch_quiet();
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.rows_written.fetch_add(rows, Ordering::Relaxed);
        self.counters.rows_thinned.fetch_add(left_out, Ordering::Relaxed);
        let took_us = self.world.clock.monotonic_us().saturating_sub(begun_us);
        self.counters.commit_times.note_us(took_us);
        let outcome = Ok(Committed { commit, rows, duplicate: false });
        let waiting = self.settle(origin, Some(commit));
        waiting.into_iter().for_each(|promise| promise.keep(outcome.clone()));
        if deleted.is_empty() {
            promise.keep(outcome);
            self.departed();
        } else {
            self.recompute_then(deleted, move |core| {
                promise.keep(outcome);
                core.departed();
            });
        }
        self.relieve();
    }

    /// On Lane::Log: the record is not in the log, or nothing is known of it.
    pub(crate) fn refused(self: &Arc<Core>, ordered: &Ordered, fault: &log::Error, promise: Promise<Outcome>) {
        let fault = match fault {
            log::Error::Full(disk) => {
                // What the log itself holds is the first that can make room.
                self.jobs.log_full.store(true, Ordering::Release);
                Error::DiskFull(format!("the log could not grow: {disk}"))
            }
            log::Error::Closed => Error::Closed,
            other => self.poison_with(other.to_string()),
        };
        self.distrust_doors();
        let waiting = self.settle(ordered.head.origin, None);
        waiting.into_iter().for_each(|promise| promise.keep(Err(fault.clone())));
        promise.keep(Err(fault));
        self.departed();
        self.relieve();
    }

    fn settle(&self, origin: Option<Origin>, applied: Option<CommitNumber>) -> Vec<Promise<Outcome>> {
        origin.map(|origin| self.order.lock().origins.settle(origin, applied)).unwrap_or_default()
    }

    /// The answer to a commit of nothing.
    fn nothing(&self) -> Committed {
        Committed { commit: self.visible(), rows: 0, duplicate: false }
    }

    fn duplicate(&self) -> Committed {
        Committed { commit: self.visible(), rows: 0, duplicate: true }
    }

    /// A write that was ordered is answered: who waits for the last one is told.
    fn departed(&self) {
        let mut order = self.order.lock();
        order.in_flight -= 1;
        let idle = if order.in_flight == 0 { std::mem::take(&mut order.waiting_idle) } else { Vec::new() };
        drop(order);
        idle.into_iter().for_each(|promise| promise.keep(()));
    }
}
