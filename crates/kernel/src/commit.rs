//! How a write becomes durable and visible. One direction; no step goes back.
//!
//! ```text
//!   caller's thread:  check, gather into sections -> admit: producer's number
//!                     -> room (a memory ticket where it is short)
//!                     -> order: a producer's in turn, commit number, versions, append to the log
//!   Lane::Log:        durable, in log order -> snapshot values -> buffers -> visible -> promise kept
//! ```
//! States of a write: admitted (its producer's number is in flight) -> waiting for room -> waiting for its
//! producer's lower numbers -> ordered -> logged -> applied, or refused at any step before. Once ordered it is
//! settled on Lane::Log only.
//! Locks: `order` is held while a record is appended, so that the order of numbers is the order of the
//! log; it is never held together with another lock of the kernel but the log's own.

use crate::core::{Core, Order};
use crate::origins::{Admission, Outcome};
use crate::record::{self, CommitHead, PartHead, PartKind};
use crate::{Committed, Deletion, Error, Write};
use bytes::Bytes;
use log::{Body as LogBody, Refusals};
use memory::Grant;
use series::Section;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{CommitNumber, Origin, Period, Sequence, SliceId};
use world::{Promise, Ticket};

/// What a slice gets of a commit.
pub(crate) enum Body {
    /// Samples, and the periods that they touch.
    Samples { section: Section, periods: Vec<Period> },
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
            Body::Samples { section, .. } => section.memory_bytes() as u64 + 64,
            Body::Deletion { bytes, .. } => 3 * bytes.len() as u64 + 256,
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
            Body::Samples { section, .. } => section.bytes(),
            Body::Deletion { bytes, .. } => bytes.clone(),
        }
    }

    fn kind(&self) -> PartKind {
        match &self.body {
            Body::Samples { .. } => PartKind::Samples,
            Body::Deletion { .. } => PartKind::Deletion,
        }
    }
}

/// A write on its way.
pub(crate) struct Pending {
    pub(crate) parts: Vec<Part>,
    pub(crate) body: LogBody,
    pub(crate) origin: Option<Origin>,
    pub(crate) rows: u64,
    pub(crate) promise: Promise<Outcome>,
}

/// A write that has its room.
pub(crate) type WithRoom = (Pending, Grant);

/// Writes that were refused while `order` was held, and why: told once it is free.
type Refused = Vec<(WithRoom, Vec<Promise<Outcome>>, Error)>;

/// An ordered write: what Lane::Log applies.
pub(crate) struct Ordered {
    pub(crate) head: CommitHead,
    pub(crate) bodies: Vec<Body>,
    pub(crate) rows: u64,
}

impl Core {
    /// Takes a write of samples. Returns before it is durable.
    pub(crate) fn write(self: &Arc<Core>, write: Write<'_>) -> Ticket<Outcome> {
        let ground = self.ground();
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
        self.take(parts, rows, write.origin)
    }

    /// Takes a deletion. Returns before it is durable.
    pub(crate) fn delete(self: &Arc<Core>, deletion: Deletion) -> Ticket<Outcome> {
        let parts = self.ground().split_deletion(deletion);
        if parts.is_empty() {
            return Ticket::ready(Ok(self.nothing()));
        }
        self.take(parts.into_iter().map(|(slice, deletion)| Part::deletion(slice, deletion)).collect(), 0, None)
    }

    /// Gets room for a write, waiting in line where it is short, and then orders it.
    fn take(self: &Arc<Core>, parts: Vec<Part>, rows: u64, origin: Option<Origin>) -> Ticket<Outcome> {
        let bytes: u64 = parts.iter().map(|part| part.body.memory_bytes()).sum();
        let limit = self.write_bytes_max();
        if bytes > limit {
            return Ticket::ready(Err(Error::TooLarge { bytes, limit }));
        }
        let (promise, ticket) = Ticket::pair();
        let Some(promise) = self.admit(origin, promise) else { return ticket };
        let body = LogBody::new(parts.iter().map(Part::log_bytes).collect());
        let pending = Pending { parts, body, origin, rows, promise };
        if let Some(grant) = self.shares.buffers.try_take(bytes) {
            self.order(pending, grant);
            return ticket;
        }
        let Ok(room) = self.shares.buffers.take(bytes) else {
            self.give_up(pending, Error::TooLarge { bytes, limit });
            return ticket;
        };
        let core = Arc::clone(self);
        room.on_done(move |grant| match grant {
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

    /// A write got no room: whatever of its producer waited behind it has its turn.
    fn give_up(self: &Arc<Core>, pending: Pending, fault: Error) {
        let (mut waiting, mut refused) = (Vec::new(), Refused::new());
        if let Some(origin) = pending.origin {
            let mut order = self.order.lock();
            waiting = order.origins.settle(origin, None);
            self.place_in_turn(&mut order, origin, &mut refused);
        }
        waiting.into_iter().for_each(|promise| promise.keep(Err(fault.clone())));
        pending.promise.keep(Err(fault));
        tell(refused);
    }

    /// Gives a write that has its room its number and its place in the log, as soon as its turn comes.
    fn order(self: &Arc<Core>, pending: Pending, grant: Grant) {
        let mut refused = Refused::new();
        let mut order = self.order.lock();
        match pending.origin {
            Some(origin) => {
                order.origins.ready(origin, (pending, grant));
                self.place_in_turn(&mut order, origin, &mut refused);
            }
            None => match self.refuses(&order) {
                Some(refusal) => refused.push(((pending, grant), Vec::new(), refusal)),
                None => drop(self.place(&mut order, (pending, grant), None)),
            },
        }
        drop(order);
        tell(refused);
    }

    /// Why nothing is ordered any more, if so.
    fn refuses(&self, order: &Order) -> Option<Error> {
        if order.closed { Some(Error::Closed) } else { self.poison() }
    }

    /// Places the writes of a producer whose turn has come.
    fn place_in_turn(self: &Arc<Core>, order: &mut Order, of: Origin, refused: &mut Refused) {
        while let Some(turn) = order.origins.next_in_turn(of.producer) {
            let origin = turn.origin;
            let behind = turn.behind.map(|refused| Error::Behind { number: origin.number, refused });
            match self.refuses(order).or(behind) {
                Some(refusal) => refused.push((turn.write, order.origins.settle(origin, None), refusal)),
                None => {
                    let told = self.place(order, turn.write, turn.since);
                    order.origins.ordered(origin, told);
                }
            }
        }
    }

    /// Gives a write its number and its place in the log.
    fn place(self: &Arc<Core>, order: &mut Order, (pending, grant): WithRoom, since: Option<Refusals>) -> Refusals {
        let Pending { parts, body, origin, rows, promise } = pending;
        let commit = CommitNumber(self.now_us().max(order.commit.0 + 1));
        order.commit = commit;
        order.in_flight += 1;
        let mut heads = Vec::with_capacity(parts.len());
        for part in &parts {
            let sequence = &mut order.sequences[part.slice.0 as usize];
            *sequence += 1;
            let bytes = u32::try_from(part.log_bytes().len()).expect("a write is below write_bytes_max, which is below 4 GiB");
            heads.push(PartHead { slice: part.slice, kind: part.kind(), sequence: Sequence(*sequence), bytes });
        }
        let head = CommitHead { commit, epoch: self.epoch, origin, parts: heads };
        let head_bytes = record::encode_head(&head);
        let ordered = Ordered { head, bodies: parts.into_iter().map(|part| part.body).collect(), rows };
        let core = Arc::clone(self);
        let done = Box::new(move |outcome: Result<log::Position, log::Error>| match outcome {
            Ok(position) => core.logged(ordered, position, grant, promise),
            Err(fault) => core.refused(&ordered, &fault, promise),
        });
        self.log.append_since(since, record::RECORD_COMMIT, head_bytes, body, done)
    }

    /// On Lane::Log: the record is durable.
    fn logged(self: &Arc<Core>, ordered: Ordered, position: log::Position, grant: Grant, promise: Promise<Outcome>) {
        let Ordered { head, bodies, rows } = ordered;
        self.jobs.log_full.store(false, Ordering::Release);
        let (commit, origin) = (head.commit, head.origin);
        let deleted = self.apply(&head, bodies, position, Some(grant));
        self.sort_where_wanted(head.parts.iter().map(|part| part.slice));
        self.watch_quiet();
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.rows_written.fetch_add(rows, Ordering::Relaxed);
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
            log::Error::Full(disk) => {
                // What the log itself holds is the first that can make room.
                self.jobs.log_full.store(true, Ordering::Release);
                Error::DiskFull(format!("the log could not grow: {disk}"))
            }
            log::Error::Closed => Error::Closed,
            other => self.poison_with(other.to_string()),
        };
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

/// Answers writes that were refused. Their room is given back here, where no lock is held.
fn tell(refused: Refused) {
    for ((pending, grant), waiting, refusal) in refused {
        waiting.into_iter().for_each(|promise| promise.keep(Err(refusal.clone())));
        pending.promise.keep(Err(refusal));
        drop(grant);
    }
}
