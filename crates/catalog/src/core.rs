//! The catalog's state, and how a write goes through it.
//!
//! Shared state, in lock order (a later lock may be taken while an earlier one is held, not the
//! other way round):
//! - `table` (RwLock): read by anyone, briefly; written only by the one write under way (`busy`).
//!   Rows at or beyond `kinds.visible()` are staged: only that write looks at them.
//! - `commit` (Mutex): the queue, and the last write made (`sequence`, `position`), which changes
//!   only together with the table (its write lock is held then). Never held while anything waits.
//! - `checkpoints` (Mutex): only the checkpoint job, of which at most one runs.
//!
//! A write: a call stands in the queue. Whoever finds no write under way takes the next calls (all of
//! one sort in a row together, see `joining`), checks them against the table, stages what is created,
//! and appends one record. When it is durable (on the log's lane) it is shown and answered, and the
//! next one is begun. A write that fails is taken back: nobody has seen it.

use crate::call::{Call, Creation};
use crate::checkpoint::Checkpoints;
use crate::kind_table::KindTable;
use crate::led::Led;
use crate::record;
use crate::table::Table;
use crate::{Error, Settings};
use bytes::Bytes;
use log::{Body, Log, Position};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use world::{Lane, Promise, World};

/// Rows of creations that go into one write together.
const GROUP_ROWS_MAX: usize = 100_000;
/// Rows up to which the log's lane does work itself, rather than handing it on.
const INLINE_ROWS_MAX: usize = 2_000;
/// Most bytes of one part of a write.
pub const PART_BYTES_MAX: u64 = 16 << 20;

/// The catalog behind its face.
pub struct Core {
    pub world: World,
    pub settings: Settings,
    pub log: Arc<Log>,
    pub kinds: KindTable,
    pub table: RwLock<Table>,
    pub commit: Mutex<Commit>,
    pub checkpoints: Mutex<Checkpoints>,
    /// The time of the last write (`moments`). Held while a write is appended; no other lock is taken meanwhile.
    pub time: Mutex<u64>,
    /// Live tags that are visible.
    pub live: AtomicU64,
    pub version: AtomicU64,
    /// Of a fleet's catalog: what it has beside all this. It has the queue for closing only.
    pub led: OnceLock<Led>,
}

/// The queue, and what was made.
pub struct Commit {
    pub queue: VecDeque<Call>,
    /// Whether a write is under way.
    pub busy: bool,
    pub closed: bool,
    pub poison: Option<Error>,
    /// The last write made, and where the log ends behind it.
    pub sequence: u64,
    pub position: u64,
    /// Where the log is contained in the checkpoint.
    pub checkpoint_position: u64,
    pub checkpointing: bool,
    /// Why the last checkpoint failed, where the disk was full.
    pub checkpoint_full: Option<Error>,
}

/// A write whose record is on its way.
pub struct Flight {
    pub kind: u8,
    /// The bytes of changes or deletions, to be applied.
    pub bytes: Bytes,
    pub rows: usize,
    pub answers: Answers,
    pub sequence: u64,
    /// Parts not answered yet.
    left: usize,
    failed: Option<log::Error>,
}

/// Who is told when a write is durable.
pub enum Answers {
    Created(Vec<(Creation, Range<u64>)>),
    Done(Vec<Promise<Result<(), Error>>>),
}

impl Flight {
    /// A write that is about to be appended.
    pub fn new(kind: u8, bytes: Bytes, rows: usize, answers: Answers, sequence: u64) -> Flight {
        Flight { kind, bytes, rows, answers, sequence, left: 0, failed: None }
    }
}

impl Core {
    /// Takes a call in.
    pub fn submit(self: &Arc<Self>, call: Call) {
        let mut commit = self.commit.lock();
        let mut refusal = if commit.closed { Some(Error::Closed) } else { commit.poison.clone() };
        if self.led.get().is_some() && !matches!(call, Call::Close(_)) {
            refusal.get_or_insert(Error::Led);
        }
        if let Some(error) = refusal {
            drop(commit);
            return call.refuse(error);
        }
        commit.closed |= matches!(call, Call::Close(_));
        commit.queue.push_back(call);
        let free = !std::mem::replace(&mut commit.busy, true);
        drop(commit);
        if free {
            self.advance();
        }
    }

    /// Makes the next writes, until one is under way or none waits. The caller has set `busy`.
    pub fn advance(self: &Arc<Self>) {
        loop {
            let (calls, sequence, refusal) = {
                let mut commit = self.commit.lock();
                let calls = self.next_calls(&mut commit);
                if calls.is_empty() {
                    commit.busy = false;
                    return;
                }
                let full = if self.is_log_long(&commit) { commit.checkpoint_full.clone() } else { None };
                (calls, commit.sequence + 1, commit.poison.clone().or(full))
            };
            if let Some(error) = refusal {
                calls.into_iter().for_each(|call| call.refuse(error.clone()));
                continue;
            }
            if self.start(calls, sequence) {
                return;
            }
        }
    }

    /// The calls of the next write; none where none waits, or the log is too long until a checkpoint is done.
    fn next_calls(&self, commit: &mut Commit) -> Vec<Call> {
        let mut calls = Vec::new();
        if self.is_log_long(commit) && commit.checkpointing {
            return calls;
        }
        let mut rows = 0;
        while let Some(call) = commit.queue.front() {
            rows += call.rows();
            let joins = calls.first().is_none_or(|first| call.joins(first));
            if !joins || (!calls.is_empty() && rows > GROUP_ROWS_MAX) {
                break;
            }
            calls.extend(commit.queue.pop_front());
        }
        calls
    }

    fn is_log_long(&self, commit: &Commit) -> bool {
        commit.position.saturating_sub(commit.checkpoint_position) > self.settings.checkpoint_bytes.saturating_mul(4)
    }

    /// Appends a write to the log, in as many parts as its size needs.
    pub fn append(self: &Arc<Self>, mut flight: Flight, pieces: Vec<Bytes>) {
        let part_bytes = PART_BYTES_MAX.min(self.settings.segment_bytes / 4) as usize;
        let parts = record::parts(pieces, part_bytes);
        let (count, kind, sequence, mark) = (parts.len(), flight.kind, flight.sequence, self.world.random.next_u64());
        flight.left = count;
        let flight = Arc::new(Mutex::new(Some(flight)));
        let mut last = self.time.lock();
        let time = u64::try_from(self.world.clock.wall_us()).unwrap_or(0).max(*last + 1);
        *last = time;
        for (index, part) in parts.into_iter().enumerate() {
            let head = record::head(sequence, mark, index as u32, count as u32, time);
            let (core, flight) = (Arc::clone(self), Arc::clone(&flight));
            self.log.append(kind, head, Body::new(part), move |answer| core.part_answered(&flight, answer));
        }
    }

    fn part_answered(self: &Arc<Self>, flight: &Mutex<Option<Flight>>, answer: Result<Position, log::Error>) {
        let mut slot = flight.lock();
        let Some(open) = slot.as_mut() else { return };
        open.left -= 1;
        if let Err(error) = answer {
            open.failed.get_or_insert(error);
        }
        if open.left == 0
            && let Some(done) = slot.take()
        {
            drop(slot);
            self.land(done);
        }
    }

    /// The write's record was answered: shows it or takes it back, answers, and goes on. On the log's lane.
    fn land(self: &Arc<Self>, flight: Flight) {
        let end = self.log.end().0;
        if flight.rows <= INLINE_ROWS_MAX || flight.kind == record::KIND_CREATE {
            self.conclude(flight, end);
            let rows: usize = self.commit.lock().queue.iter().map(Call::rows).sum();
            if rows <= INLINE_ROWS_MAX {
                return self.advance();
            }
            let core = Arc::clone(self);
            return self.world.runner.submit(Lane::Flush, Box::new(move || core.advance()));
        }
        let core = Arc::clone(self);
        self.world.runner.submit(
            Lane::Flush,
            Box::new(move || {
                core.conclude(flight, end);
                core.advance();
            }),
        );
    }

    fn conclude(self: &Arc<Self>, flight: Flight, end: u64) {
        let result = match &flight.failed {
            Some(error) => Err(self.fail(error)),
            None => Ok(()),
        };
        {
            let mut table = self.table.write();
            match (&result, flight.kind) {
                (Err(_), _) => table.take_back(self.kinds.visible()),
                (Ok(()), record::KIND_CREATE) => self.kinds.show(table.rows()),
                (Ok(()), record::KIND_CHANGE) => {
                    record::apply_change(&flight.bytes, &mut table, &self.kinds, flight.sequence)
                        .expect("it was checked against this table");
                }
                (Ok(()), _) => {
                    record::apply_delete(&flight.bytes, &mut table, flight.sequence).expect("it was checked against this table");
                }
            }
            if result.is_ok() {
                self.live.store(table.live(), Ordering::Release);
                self.version.fetch_add(1, Ordering::AcqRel);
                let mut commit = self.commit.lock();
                commit.sequence = flight.sequence;
                commit.position = end;
            }
        }
        self.checkpoint_if_due();
        match flight.answers {
            Answers::Created(calls) => {
                for (creation, range) in calls {
                    creation.promise.keep(result.clone().map(|()| range));
                }
            }
            Answers::Done(promises) => promises.into_iter().for_each(|promise| promise.keep(result.clone())),
        }
    }

    /// What to tell of a log's failure; all but a full disk ends changes.
    fn fail(&self, error: &log::Error) -> Error {
        match error {
            log::Error::Full(disk) => Error::DiskFull(format!("the log could not grow: {disk}")),
            log::Error::Closed => Error::Closed,
            _ => self.poison(error),
        }
    }

    /// Refuses changes from now on.
    pub fn poison(&self, error: &impl std::fmt::Display) -> Error {
        let error = Error::Poisoned(error.to_string());
        self.commit.lock().poison.get_or_insert(error).clone()
    }
}
