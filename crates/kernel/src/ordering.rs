//! Ordering: a write that has its room gets its commit number, its versions and its place in the log.
//!
//! A producer's writes are ordered in turn. One that thinning has to see is taken out of `order` for as long as that
//! decides, under `thinning`; writes without thinned tags pass it meanwhile, those of its producer wait.
//! Locks: `order` is held while a record is appended, so that the order of numbers is the order of the
//! log; it is never held together with another lock of the kernel but the log's own and `thinning`, which is
//! taken before it, so that thinning decides in the order of the log.
//! Promises: writes that are refused are told, and their room is given back, where no lock is held.

use crate::commit::{Ordered, Part, Pending, WithRoom, body_of};
use crate::core::{Core, Order};
use crate::led::refused as refused_led;
use crate::origins::Bounds;
use crate::origins::Outcome;
use crate::record::{self, CommitHead, PartHead, PartKind};
use crate::thinning::Doors;
use crate::{Deletion, Error};
use log::Refusals;
use memory::Grant;
use parking_lot::MutexGuard;
use std::sync::Arc;
use types::{CommitNumber, ProducerId, Sequence, SliceId};
use world::Promise;

/// Writes that were refused while `order` was held, and why: told once it is free.
type Refused = Vec<(WithRoom, Vec<Promise<Outcome>>, Error)>;

/// What thinning did to a write that is about to be ordered.
struct Thinning<'a> {
    doors: MutexGuard<'a, Doors>,
    left_out: u64,
    deletes: bool,
}

impl Core {
    /// A write got no room: whatever of its producer waited behind it has its turn.
    pub(crate) fn give_up(self: &Arc<Core>, pending: Pending, fault: Error) {
        let (mut waiting, mut refused) = (Vec::new(), Refused::new());
        if let Some(origin) = pending.origin {
            let mut order = self.order.lock();
            waiting = order.origins.settle(origin, None);
            drop(self.place_in_turn(order, origin.producer, &mut refused));
        }
        waiting.into_iter().for_each(|promise| promise.keep(Err(fault.clone())));
        pending.promise.keep(Err(fault));
        tell(refused);
    }

    /// Gives a write that has its room its number and its place in the log, as soon as its turn comes.
    pub(crate) fn order(self: &Arc<Core>, pending: Pending, grant: Grant) {
        let mut refused = Refused::new();
        let mut order = self.order.lock();
        drop(match pending.origin {
            Some(origin) => {
                order.origins.ready(origin, (pending, grant));
                self.place_in_turn(order, origin.producer, &mut refused)
            }
            None => self.place(order, (pending, grant), &mut refused),
        });
        tell(refused);
    }

    /// Places the writes of a producer whose turn has come.
    fn place_in_turn<'a>(
        self: &'a Arc<Core>,
        mut order: MutexGuard<'a, Order>,
        producer: ProducerId,
        refused: &mut Refused,
    ) -> MutexGuard<'a, Order> {
        while let Some(write) = order.origins.next_in_turn(producer) {
            order = self.place(order, write, refused);
        }
        order
    }

    /// Gives a write its number and its place in the log, or refuses it.
    fn place<'a>(
        self: &'a Arc<Core>,
        mut order: MutexGuard<'a, Order>,
        (mut pending, grant): WithRoom,
        refused: &mut Refused,
    ) -> MutexGuard<'a, Order> {
        let mut thinning = None;
        if order.must_thin(&pending, self.kinds.compressions()) {
            drop(order);
            thinning = Some(self.thin(&mut pending));
            order = self.order.lock();
        }
        let bounds = pending.origin.map(|origin| order.origins.bounds(origin)).unwrap_or_default();
        if let Some(refusal) = self.refusal_of(&order, &pending, &bounds) {
            if let Some(mut thinning) = thinning {
                // What was decided counts on this write.
                thinning.doors.forget_all(order.commit);
            }
            let waiting = pending.origin.map(|origin| order.origins.settle(origin, None)).unwrap_or_default();
            refused.push(((pending, grant), waiting, refusal));
            return order;
        }
        let origin = pending.origin;
        let (since, left_out) = match &thinning {
            // The lower of two is the older one.
            Some(thinning) => (bounds.since.into_iter().chain(thinning.doors.told()).min(), thinning.left_out),
            None => (bounds.since, 0),
        };
        let told = self.append(&mut order, (pending, grant), left_out, since);
        if let Some(origin) = origin {
            order.origins.ordered(origin, told);
        }
        if let Some(mut thinning) = thinning {
            thinning.doors.ordered(told);
            if thinning.deletes {
                thinning.doors.deleted(order.commit);
            }
        }
        order
    }

    /// Lets thinning decide on a write that is ordered next of those that it sees.
    fn thin(&self, pending: &mut Pending) -> Thinning<'_> {
        let mut doors = self.thinning.lock();
        let compressions = self.kinds.compressions();
        if doors.heed(compressions) {
            let mut order = self.order.lock();
            order.thins = true;
            doors.forget_all(order.commit);
        }
        let deletes = pending.parts.iter().any(|part| part.body.kind() == PartKind::Deletion);
        let first = pending.parts.first().map_or(SliceId(0), |part| part.slice);
        let parts = std::mem::take(&mut pending.parts);
        let left_out;
        (pending.parts, left_out) = doors.decide(&self.ground(), &*self.kinds, self.visible(), parts);
        if pending.parts.is_empty() {
            // All of it came late and is left out: its record follows what it was left out for into the log.
            pending.parts.push(Part::deletion(first, Deletion::Points(Vec::new())));
        }
        pending.body = Some(body_of(&pending.parts));
        Thinning { doors, left_out, deletes }
    }

    /// Why a write whose turn has come is not ordered, if so.
    fn refusal_of(&self, order: &Order, pending: &Pending, bounds: &Bounds) -> Option<Error> {
        if order.closed {
            return Some(Error::Closed);
        }
        let behind = || {
            let number = pending.origin?.number;
            bounds.behind.map(|refused| Error::Behind { number, refused })
        };
        // Only where a compression was changed since room was taken for the write.
        let too_large = || {
            let bytes: u64 = pending.parts.iter().map(|part| part.body.memory_bytes()).sum();
            let limit = self.write_bytes_max();
            (bytes > limit).then_some(Error::TooLarge { bytes, limit })
        };
        let led = || {
            if !order.leads {
                return None;
            }
            let slice = pending.parts.iter().map(|part| part.slice).find(|slice| self.is_led(*slice))?;
            Some(refused_led(slice, "it takes records by `LedSlice::log` only".to_owned()))
        };
        self.poison().or_else(behind).or_else(too_large).or_else(led)
    }

    /// Numbers a write and appends it to the log.
    fn append(
        self: &Arc<Core>,
        order: &mut Order,
        (pending, grant): WithRoom,
        left_out: u64,
        since: Option<Refusals>,
    ) -> Refusals {
        // `_underway` goes once the number is given: from then on that shows that something was written.
        let Pending { parts, body, origin, rows, promise, begun_us, compressions: _, underway: _underway } = pending;
        let body = body.unwrap_or_else(|| body_of(&parts));
        let commit = CommitNumber(self.now_us().max(order.commit.0 + 1).max(order.over.0 + 1));
        order.commit = commit;
        order.in_flight += 1;
        let mut heads = Vec::with_capacity(parts.len());
        for part in &parts {
            let sequence = &mut order.sequences[part.slice.0 as usize];
            *sequence += 1;
            let bytes =
                u32::try_from(part.body.log_bytes().len()).expect("a write is below write_bytes_max, which is below 4 GiB");
            heads.push(PartHead { slice: part.slice, kind: part.body.kind(), sequence: Sequence(*sequence), bytes });
        }
        let head = CommitHead { commit, epoch: self.epoch, origin, parts: heads };
        let head_bytes = record::encode_head(&head);
        let bodies = parts.into_iter().map(|part| part.body).collect();
        let ordered = Ordered { head, bodies, rows, left_out, begun_us };
        let core = Arc::clone(self);
        let done = Box::new(move |outcome: Result<log::Position, log::Error>| match outcome {
            Ok(position) => core.logged(ordered, position, grant, promise),
            Err(fault) => core.refused(&ordered, &fault, promise),
        });
        self.log.append_since(since, record::RECORD_COMMIT, head_bytes, body, done)
    }

    /// On Lane::Log: a commit was refused that thinning may have counted on. The log refuses whatever was ordered
    /// since on its account (`Doors::told`), so nothing stands that should not.
    pub(crate) fn distrust_doors(&self) {
        if !self.order.lock().thins {
            return;
        }
        let mut doors = self.thinning.lock();
        let ordered = self.order.lock().commit;
        doors.forget_all(ordered);
    }
}

impl Order {
    /// Whether thinning has to see a write: it has rows of thinned tags, or may have since a compression was changed,
    /// or deletes what thinning may count on.
    fn must_thin(&self, pending: &Pending, compressions: u64) -> bool {
        let deletes = || pending.parts.iter().any(|part: &Part| part.body.kind() == PartKind::Deletion);
        pending.body.is_none() || pending.compressions != compressions || (self.thins && deletes())
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
