//! How a write becomes durable and visible. One direction; no step goes back.
//!
//! ```text
//!   caller's thread:  check, gather into sections -> room (a memory ticket where it is short)
//!                     -> order: producer's number, what thinning leaves out, commit number, versions,
//!                        append to the log
//!   Lane::Log:        durable, in log order -> snapshot values -> buffers -> visible -> promise kept
//! ```
//! States of a write: waiting for room -> ordered (its producer's number is in flight) -> logged ->
//! applied, or refused at any step before. Once ordered it is settled on Lane::Log only.
//! Locks: `order` is held while a record is appended, so that the order of numbers is the order of the
//! log; it is never held together with another lock of the kernel but the log's own and `thinning`, which is
//! taken before it where tags are thinned.

use crate::core::{Core, Order};
use crate::origins::{Admission, Outcome};
use crate::record::{self, CommitHead, PartHead, PartKind};
use crate::thinning::{Doors, Thinned};
use crate::{Committed, Deletion, Error, Write};
use bytes::Bytes;
use log::Body as LogBody;
use memory::Grant;
use parking_lot::MutexGuard;
use series::Section;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, Origin, Period, Sequence, SliceId};
use world::{Promise, Ticket};

/// What a slice keeps of a record that is not in files yet, besides its rows.
const RECORD_BYTES: u64 = 64;

/// What a slice gets of a commit.
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
}

impl Part {
    fn deletion(slice: SliceId, deletion: Deletion) -> Part {
        let bytes = record::encode_deletion(&deletion).into();
        Part { slice, body: Body::Deletion { deletion: Arc::new(deletion), bytes } }
    }

    fn log_bytes(&self) -> Bytes {
        match &self.body {
            Body::Samples { section, .. } | Body::Held { section, .. } => section.bytes(),
            Body::Deletion { bytes, .. } => bytes.clone(),
        }
    }

    fn kind(&self) -> PartKind {
        match &self.body {
            Body::Samples { .. } => PartKind::Samples,
            Body::Held { .. } => PartKind::Held,
            Body::Deletion { .. } => PartKind::Deletion,
        }
    }
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
    pub(crate) promise: Promise<Outcome>,
}

/// An ordered write: what Lane::Log applies.
pub(crate) struct Ordered {
    pub(crate) head: CommitHead,
    pub(crate) bodies: Vec<Body>,
    pub(crate) rows: u64,
    pub(crate) left_out: u64,
}

/// What thinning may add for a row: the one that was held of its tag, as a sample, its own as a held one, and what
/// all rows of a section grow by where one of them is far off in time (they have 16 to 25 bytes).
const THINNED_ROW_BYTES: u64 = 2 * 25 + 9;
/// What it may add for a slice: a section of held samples.
const THINNED_PART_BYTES: u64 = 512;

impl Core {
    /// Takes a write of samples. Returns before it is durable.
    pub(crate) fn write(self: &Arc<Core>, write: Write<'_>) -> Ticket<Outcome> {
        let ground = self.ground();
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
        self.take(parts, rows, write.origin, compressions, thins)
    }

    /// Takes a deletion. Returns before it is durable.
    pub(crate) fn delete(self: &Arc<Core>, deletion: Deletion) -> Ticket<Outcome> {
        let parts = self.ground().split_deletion(deletion);
        if parts.is_empty() {
            return Ticket::ready(Ok(self.nothing()));
        }
        let parts = parts.into_iter().map(|(slice, deletion)| Part::deletion(slice, deletion)).collect();
        self.take(parts, 0, None, self.kinds.compressions(), false)
    }

    /// Gets room for a write, waiting in line where it is short, and then orders it.
    fn take(
        self: &Arc<Core>,
        parts: Vec<Part>,
        rows: u64,
        origin: Option<Origin>,
        compressions: u64,
        thins: bool,
    ) -> Ticket<Outcome> {
        let as_they_are: u64 = parts.iter().map(|part| part.body.memory_bytes()).sum();
        let added = if thins { rows * THINNED_ROW_BYTES + parts.len() as u64 * THINNED_PART_BYTES } else { 0 };
        let bytes = as_they_are + added;
        let limit = self.write_bytes_max();
        if bytes > limit {
            return Ticket::ready(Err(Error::TooLarge { bytes, limit }));
        }
        let (promise, ticket) = Ticket::pair();
        let body = (!thins).then(|| body_of(&parts));
        let pending = Pending { parts, body, origin, rows, compressions, promise };
        if let Some(grant) = self.shares.buffers.try_take(bytes) {
            self.order(pending, grant);
            return ticket;
        }
        let Ok(room) = self.shares.buffers.take(bytes) else {
            return Ticket::ready(Err(Error::TooLarge { bytes, limit }));
        };
        let core = Arc::clone(self);
        room.on_done(move |grant| match grant {
            Ok(grant) => core.order(pending, grant),
            Err(_) => pending.promise.keep(Err(core.refusal())),
        });
        self.relieve();
        ticket
    }

    /// Gives a write its number and its place in the log.
    fn order(self: &Arc<Core>, pending: Pending, grant: Grant) {
        let mut order = self.order.lock();
        let mut doors = None;
        if order.must_thin(&pending, self.kinds.compressions()) {
            drop(order);
            doors = Some(self.thinning.lock());
            order = self.order.lock();
        }
        let refusal = if order.closed { Some(Error::Closed) } else { self.poison() };
        if let Some(refusal) = refusal {
            drop((order, doors));
            return pending.promise.keep(Err(refusal));
        }
        match pending.origin.map(|origin| order.origins.admit(origin)) {
            None | Some(Admission::New) => {}
            Some(Admission::Duplicate) => {
                drop((order, doors));
                return pending.promise.keep(Ok(self.duplicate()));
            }
            Some(Admission::Waits(ticket)) => {
                drop((order, doors));
                let core = Arc::clone(self);
                return ticket.on_done(move |outcome| {
                    pending.promise.keep(outcome.unwrap_or(Err(Error::Closed)).map(|_| core.duplicate()));
                });
            }
        }
        order.in_flight += 1;
        match doors {
            Some(doors) => self.order_thinned(order, doors, pending, grant),
            None => drop(self.append(order, pending, 0, grant)),
        }
    }

    /// Orders a write that thinning has to see. It is in flight already, so the log stays open for it.
    fn order_thinned(
        self: &Arc<Core>,
        mut order: MutexGuard<'_, Order>,
        mut doors: MutexGuard<'_, Doors>,
        mut pending: Pending,
        grant: Grant,
    ) {
        let compressions = self.kinds.compressions();
        if order.compressions != compressions || !order.thins {
            (order.compressions, order.thins) = (compressions, true);
            doors.forget_all(order.commit);
        }
        drop(order);
        let first = pending.parts.first().map_or(SliceId(0), |part| part.slice);
        let deletes = pending.parts.iter().any(|part| part.kind() == PartKind::Deletion);
        let parts = std::mem::take(&mut pending.parts);
        let Thinned { parts, left_out } = doors.decide(&self.ground(), &*self.kinds, self.visible(), parts);
        pending.parts = parts;
        if pending.parts.is_empty() {
            let mut order = self.order.lock();
            // What the rows were left out for is durable and visible where nothing else is in flight.
            if pending.origin.is_none() && order.in_flight == 1 {
                order.in_flight = 0;
                let idle = std::mem::take(&mut order.waiting_idle);
                drop((order, doors));
                self.count(pending.rows, left_out);
                idle.into_iter().for_each(|promise| promise.keep(()));
                return pending.promise.keep(Ok(Committed { rows: pending.rows, ..self.nothing() }));
            }
            drop(order);
            pending.parts.push(Part::deletion(first, Deletion::Points(Vec::new())));
        }
        // Only where a compression was changed since room was taken for the write.
        let bytes: u64 = pending.parts.iter().map(|part| part.body.memory_bytes()).sum();
        let limit = self.write_bytes_max();
        if bytes > limit {
            doors.forget_all(self.order.lock().commit);
            drop(doors);
            return self.give_up(pending.origin, &Error::TooLarge { bytes, limit }, pending.promise);
        }
        pending.body = Some(body_of(&pending.parts));
        let commit = self.append(self.order.lock(), pending, left_out, grant);
        if deletes {
            doors.deleted(commit);
        }
    }

    /// Numbers a write that is admitted, and appends it to the log.
    fn append(self: &Arc<Core>, mut order: MutexGuard<'_, Order>, pending: Pending, left_out: u64, grant: Grant) -> CommitNumber {
        let Pending { parts, body, origin, rows, promise, .. } = pending;
        let body = body.unwrap_or_else(|| body_of(&parts));
        let commit = CommitNumber(self.now_us().max(order.commit.0 + 1));
        order.commit = commit;
        let mut heads = Vec::with_capacity(parts.len());
        for part in &parts {
            let sequence = &mut order.sequences[part.slice.0 as usize];
            *sequence += 1;
            let bytes = u32::try_from(part.log_bytes().len()).expect("a write is below write_bytes_max, which is below 4 GiB");
            heads.push(PartHead { slice: part.slice, kind: part.kind(), sequence: Sequence(*sequence), bytes });
        }
        let head = CommitHead { commit, epoch: self.epoch, origin, parts: heads };
        let head_bytes = record::encode_head(&head);
        let ordered = Ordered { head, bodies: parts.into_iter().map(|part| part.body).collect(), rows, left_out };
        let core = Arc::clone(self);
        let done = Box::new(move |outcome: Result<log::Position, log::Error>| match outcome {
            Ok(position) => core.logged(ordered, position, grant, promise),
            Err(fault) => core.refused(&ordered, &fault, promise),
        });
        self.log.append(record::RECORD_COMMIT, head_bytes, body, done);
        commit
    }

    fn count(&self, rows: u64, left_out: u64) {
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.rows_written.fetch_add(rows, Ordering::Relaxed);
        self.counters.rows_thinned.fetch_add(left_out, Ordering::Relaxed);
    }

    /// On Lane::Log: the record is durable.
    fn logged(self: &Arc<Core>, ordered: Ordered, position: log::Position, grant: Grant, promise: Promise<Outcome>) {
        let Ordered { head, bodies, rows, left_out } = ordered;
        let (commit, origin) = (head.commit, head.origin);
        let deleted = self.apply(&head, bodies, position, Some(grant));
        self.sort_where_wanted(head.parts.iter().map(|part| part.slice));
        self.watch_quiet();
        self.count(rows, left_out);
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
    fn refused(self: &Arc<Core>, ordered: &Ordered, fault: &log::Error, promise: Promise<Outcome>) {
        let fault = match fault {
            log::Error::Full(_) => Error::DiskFull(fault.to_string()),
            log::Error::Closed => Error::Closed,
            other => self.poison_with(other.to_string()),
        };
        self.distrust_doors();
        self.give_up(ordered.head.origin, &fault, promise);
    }

    /// An admitted write is refused.
    fn give_up(&self, origin: Option<Origin>, fault: &Error, promise: Promise<Outcome>) {
        let waiting = self.settle(origin, None);
        waiting.into_iter().for_each(|promise| promise.keep(Err(fault.clone())));
        promise.keep(Err(fault.clone()));
        self.departed();
    }

    /// A commit that thinning may have counted on was refused. The log refuses with it whatever was appended
    /// before this returns, so nothing stands that was decided on its account.
    fn distrust_doors(&self) {
        if !self.order.lock().thins {
            return;
        }
        let mut doors = self.thinning.lock();
        let ordered = self.order.lock().commit;
        doors.forget_all(ordered);
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

/// The parts' bytes, end to end, with their checksum.
fn body_of(parts: &[Part]) -> LogBody {
    LogBody::new(parts.iter().map(Part::log_bytes).collect())
}

impl Order {
    /// Whether thinning has to see a write: it has rows of thinned tags, or may have since a compression was changed,
    /// or deletes what thinning may count on.
    fn must_thin(&self, pending: &Pending, compressions: u64) -> bool {
        let deletes = || pending.parts.iter().any(|part| matches!(part.body, Body::Deletion { .. }));
        pending.body.is_none()
            || self.compressions != compressions
            || pending.compressions != compressions
            || (self.thins && deletes())
    }
}
