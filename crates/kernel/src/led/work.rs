//! What is asked of a led slice: keep an epoch, log, publish, allow flushes; and the order of these.
//!
//! States of an append: decoded -> (waits behind what changes the log's end) -> in the log's queue -> logged, or the slice is
//! broken. Promises: appends reach the log in the order of asking, each the successor of the one before; a record is
//! applied once, after it is synced, in the order of versions.

use super::format::{self, Note};
use super::records::Kept;
use super::{Led, refused};
use crate::Error;
use crate::commit::Body;
use crate::core::Core;
use crate::record::{RECORD_LED, RECORD_LED_NOTE};
use crate::slice::Slice;
use crate::state::Applied;
use bytes::Bytes;
use log::{Body as LogBody, Position};
use protocol::Record;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{Epoch, SliceId, Version};
use world::{Lane, Promise, Ticket};

type Answer<T> = Promise<Result<T, Error>>;
/// What is told, or given back, once no lock is held.
type After = Box<dyn FnOnce() + Send>;

/// What changes the slice's log for good, or is told that it can't.
pub(super) type Barrier = Box<dyn FnOnce(Result<(Arc<Core>, Arc<Slice>), Error>) + Send>;

/// A record on its way to the log.
pub(super) struct Entry {
    kept: Kept,
    head: Bytes,
    body: LogBody,
}

/// Something that was asked of a led slice.
pub(super) enum Op {
    Log(Vec<Entry>, Answer<Version>),
    Epoch(Epoch, Answer<Epoch>),
    /// Runs as the slice's one job, when all that was asked before is synced, and ends with `led_over`; or is told why not.
    Barrier(Barrier),
}

impl Core {
    /// The slice, where the rule has one of that number.
    pub(super) fn led_slice(&self, id: SliceId) -> Result<Arc<Slice>, Error> {
        let slice = self.ground().slices.get(id.0 as usize).cloned();
        slice.ok_or_else(|| refused(id, "the distribution rule has no such slice".to_owned()))
    }

    pub(super) fn led_keep_epoch(self: &Arc<Core>, slice: &Arc<Slice>, epoch: Epoch) -> Ticket<Result<Epoch, Error>> {
        let (promise, ticket) = Ticket::pair();
        self.led_submit(slice, Op::Epoch(epoch, promise));
        ticket
    }

    pub(super) fn led_log(self: &Arc<Core>, slice: &Arc<Slice>, records: Vec<Record>) -> Ticket<Result<Version, Error>> {
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            match self.led_entry(slice, record) {
                Ok(entry) => entries.push(entry),
                Err(fault) => return Ticket::ready(Err(fault)),
            }
        }
        // Commits that this node numbers later stand above those that it is told of.
        let commit = entries.iter().map(|entry| entry.kept.commit).max().unwrap_or_default();
        {
            let mut order = self.order.lock();
            order.commit = order.commit.max(commit);
        }
        let (promise, ticket) = Ticket::pair();
        self.led_submit(slice, Op::Log(entries, promise));
        ticket
    }

    fn led_entry(&self, slice: &Slice, record: Record) -> Result<Entry, Error> {
        let (commit, bodies) = format::decode_body(&record.body, slice.period_us)
            .map_err(|what| refused(slice.id, format!("record {} can't be read: {what}", record.version)))?;
        let head = format::encode_write(slice.id, &record);
        let body = LogBody::new(vec![record.body.clone()]);
        let (bytes, limit) = (record.bytes(), crate::recovery::record_bytes_max(&self.settings));
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        // Logging never waits for room: whoever leads bounds what is under way. Where there is none the buffers go
        // beyond their share until a flush.
        let room = bytes + bodies.iter().map(Body::memory_bytes).sum::<u64>();
        let grant = self.shares.buffers.try_take(room);
        Ok(Entry { kept: Kept { record, commit, bodies, position: None, grant }, head, body })
    }

    /// Hands something in: now, or behind what blocks the slice.
    pub(super) fn led_submit(self: &Arc<Core>, slice: &Arc<Slice>, op: Op) {
        let after = {
            let mut guard = slice.led.lock();
            match guard.as_mut() {
                None => Some(refuse(op, refused(slice.id, "it is not led".to_owned()))),
                Some(led) if led.blocked => {
                    led.waiting.push_back(op);
                    None
                }
                Some(led) => self.led_start(slice, led, op),
            }
        };
        if let Some(after) = after {
            after();
        }
    }

    fn led_start(self: &Arc<Core>, slice: &Arc<Slice>, led: &mut Led, op: Op) -> Option<After> {
        if let Some(fault) = led.refusal(slice.id).or_else(|| self.poison()) {
            return Some(refuse(op, fault));
        }
        match op {
            Op::Log(entries, promise) => self.led_append(slice, led, entries, promise),
            Op::Epoch(epoch, promise) => {
                led.epoch = led.epoch.max(epoch);
                let kept = led.epoch;
                let note = move |led: &mut Led, position| {
                    if kept >= led.epoch_kept {
                        (led.epoch_kept, led.epoch_note) = (kept, Some(position));
                    }
                };
                // Also where it is durable already: the answer comes in its turn.
                let entry = (RECORD_LED_NOTE, format::encode_note(slice.id, Note::Epoch(kept)), LogBody::new(Vec::new()));
                self.led_put(slice, led, entry, note, move |_, outcome| promise.keep(outcome.map(|()| epoch)));
                None
            }
            Op::Barrier(job) => {
                led.blocked = true;
                let (core, slice) = (Arc::clone(self), Arc::clone(slice));
                self.log.sync(move |outcome| {
                    let outcome = outcome.map(drop).map_err(|fault| core.led_fault(&fault));
                    let job = move |core: Arc<Core>, slice: Arc<Slice>| match outcome {
                        Ok(()) => job(Ok((core, slice))),
                        Err(fault) => {
                            job(Err(fault));
                            core.led_over(&slice);
                        }
                    };
                    core.enqueue(&slice, Lane::Flush, Box::new(job));
                });
                None
            }
        }
    }

    fn led_append(
        self: &Arc<Core>,
        slice: &Arc<Slice>,
        led: &mut Led,
        entries: Vec<Entry>,
        promise: Answer<Version>,
    ) -> Option<After> {
        let mut last = led.records.last();
        for Entry { kept, .. } in &entries {
            let (version, prev) = (kept.version(), kept.record.prev);
            if prev != last || version.sequence.0 != last.sequence.0 + 1 || version.epoch < last.epoch.max(Epoch(1)) {
                let what = format!("record {version} says that it follows {prev}, but the log ends with {last}");
                return Some(refuse(Op::Log(entries, promise), refused(slice.id, what)));
            }
            last = version;
        }
        let Some(final_version) = entries.last().map(|entry| entry.kept.version()) else {
            let logged = led.logged;
            return Some(Box::new(move || promise.keep(Ok(logged))));
        };
        let mut promise = Some(promise);
        for Entry { kept, head, body } in entries {
            let version = kept.version();
            slice.recorded_bytes.fetch_add(kept.record.bytes(), Ordering::Relaxed);
            led.history.push(version);
            led.records.push(kept);
            let promise = if version == final_version { promise.take() } else { None };
            let note = move |led: &mut Led, position| {
                led.logged = version;
                if let Some(kept) = led.records.get_mut(version) {
                    kept.position = Some(position);
                }
            };
            self.led_put(slice, led, (RECORD_LED, head, body), note, move |core, outcome| {
                if let Some(promise) = promise {
                    promise.keep(outcome.map(|()| version));
                }
                core.watch_quiet();
                core.relieve();
            });
        }
        None
    }

    /// Appends something of a led slice to the log, and goes on when it is there or refused. Where the log refused anything
    /// since the oldest that is on its way, this is refused too: nothing may stand without what came before it.
    pub(super) fn led_put(
        self: &Arc<Core>,
        slice: &Arc<Slice>,
        led: &mut Led,
        (kind, head, body): (u8, Bytes, LogBody),
        note: impl FnOnce(&mut Led, Position) + Send + 'static,
        then: impl FnOnce(&Arc<Core>, Result<(), Error>) + Send + 'static,
    ) {
        led.in_flight += 1;
        let (core, slice) = (Arc::clone(self), Arc::clone(slice));
        let told = self.log.append_since(led.told, kind, head, body, move |outcome| {
            let outcome = core.led_noted(&slice, outcome, note);
            then(&core, outcome);
        });
        led.told.get_or_insert(told);
    }

    /// On Lane::Log: something of a led slice is in the log, or nothing is known of it.
    fn led_noted(
        self: &Arc<Core>,
        slice: &Arc<Slice>,
        outcome: Result<Position, log::Error>,
        note: impl FnOnce(&mut Led, Position),
    ) -> Result<(), Error> {
        let outcome = outcome.map_err(|fault| self.led_fault(&fault));
        let mut guard = slice.led.lock();
        let Some(led) = guard.as_mut() else { return Ok(()) };
        led.in_flight -= 1;
        match outcome {
            Ok(position) => {
                if led.in_flight == 0 {
                    led.told = None;
                }
                note(led, position);
                drop(guard);
                // Behind the note: who cuts the log reads this first.
                self.applied.fetch_max(position.0, Ordering::AcqRel);
                Ok(())
            }
            Err(fault) => Err(led.broken.get_or_insert(fault).clone()),
        }
    }

    pub(super) fn led_fault(&self, fault: &log::Error) -> Error {
        match fault {
            log::Error::Full(disk) => Error::DiskFull(format!("the log could not grow: {disk}")),
            log::Error::Closed => Error::Closed,
            other => self.poison_with(other.to_string()),
        }
    }

    /// What blocked a slice is over: what waited goes on, up to the next that blocks.
    pub(super) fn led_over(self: &Arc<Core>, slice: &Arc<Slice>) {
        self.led_goes_on(slice);
        self.finished(slice);
    }

    /// As `led_over`, where the slice's job ends by itself.
    pub(super) fn led_goes_on(self: &Arc<Core>, slice: &Arc<Slice>) {
        let mut afters = Vec::new();
        if let Some(led) = slice.led.lock().as_mut() {
            led.blocked = false;
            while !led.blocked
                && let Some(op) = led.waiting.pop_front()
            {
                afters.extend(self.led_start(slice, led, op));
            }
        }
        afters.into_iter().for_each(|after| after());
    }

    /// Applies records up to a version, and shows them.
    pub(super) fn led_publish(self: &Arc<Core>, slice: &Arc<Slice>, up_to: Version) -> Result<(), Error> {
        let mut guard = slice.led.lock();
        let led = guard.as_mut().ok_or_else(|| refused(slice.id, "it is not led".to_owned()))?;
        if let Some(fault) = led.refusal(slice.id) {
            return Err(fault);
        }
        if up_to.sequence <= led.published.sequence {
            return Ok(());
        }
        if led.records.get(up_to).is_none() || up_to.sequence > led.logged.sequence {
            return Err(refused(slice.id, format!("{up_to} can't be published: {} is the last that is synced", led.logged)));
        }
        let from = std::mem::replace(&mut led.published, up_to);
        let mut deleted = false;
        for kept in led.records.between(from.sequence, up_to.sequence) {
            deleted |= self.led_apply(slice, kept);
        }
        drop(guard);
        if deleted {
            self.recompute_then(vec![Arc::clone(slice)], |_| {});
        }
        self.sort_where_wanted(std::iter::once(slice.id));
        self.watch_quiet();
        self.relieve();
        Ok(())
    }

    /// Applies a record; whether a deletion took snapshot values. The caller holds the slice's `led`.
    fn led_apply(&self, slice: &Slice, kept: &mut Kept) -> bool {
        {
            let _alone = slice.values.lock();
            for body in &kept.bodies {
                if let Body::Samples { section, .. } | Body::Held { section, .. } = body {
                    slice.latest.update(section);
                }
            }
        }
        let grant = kept.grant.take();
        {
            let _all = self.visibility.write();
            let mut state = slice.state.lock();
            state.apply(&self.led_applied(kept), kept.bodies.iter().cloned(), grant, slice.period_us);
            slice.show(&mut state);
            self.visible_led.fetch_max(kept.commit.0, Ordering::AcqRel);
        }
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        // It takes the values of the record's own samples along, which are recomputed: it hides earlier ones only.
        let deletions = kept.bodies.iter().filter_map(|body| match body {
            Body::Deletion { deletion, .. } => Some(deletion),
            Body::Samples { .. } | Body::Held { .. } => None,
        });
        let mut fallen = false;
        for deletion in deletions {
            fallen |= slice.forget(deletion);
        }
        fallen
    }

    pub(super) fn led_applied(&self, kept: &Kept) -> Applied {
        Applied {
            version: kept.version(),
            commit: kept.commit,
            origin: None,
            position: kept.position.expect("what is applied is in the log"),
            now_us: self.world.clock.monotonic_us(),
        }
    }

    /// Allows flushes up to a version.
    pub(super) fn led_stable(self: &Arc<Core>, slice: &Arc<Slice>, up_to: Version) -> Result<(), Error> {
        {
            let mut guard = slice.led.lock();
            let led = guard.as_mut().ok_or_else(|| refused(slice.id, "it is not led".to_owned()))?;
            if let Some(fault) = led.refusal(slice.id) {
                return Err(fault);
            }
            if up_to.sequence <= led.stable.sequence {
                return Ok(());
            }
            if !led.history.contains(up_to) {
                return Err(refused(slice.id, format!("{up_to} can't be stable: the log ends with {}", led.records.last())));
            }
            led.stable = up_to;
        }
        self.relieve();
        Ok(())
    }
}

fn refuse(op: Op, fault: Error) -> After {
    match op {
        Op::Log(entries, promise) => Box::new(move || {
            promise.keep(Err(fault));
            drop(entries);
        }),
        Op::Epoch(_, promise) => Box::new(move || promise.keep(Err(fault))),
        Op::Barrier(job) => Box::new(move || job(Err(fault))),
    }
}
