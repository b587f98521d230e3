//! What a led catalog keeps beside the table, and how it reaches the log.
//!
//! Shared state, in lock order, all before the core's own (`core`) but `line`, which is held for a moment only:
//! - `appending`: held over a change of `state` and the appends that go with it.
//! - `gate`: held while the table changes, a batch at a time, or while parts are taken: who holds it sees table, point and
//!   producers of one moment.
//! - `state`: the point, the epoch, the batches behind the point. Point and producers change only under the gate.
//! - `line`: what waits to be done to the table; one job works it off.

use super::batch;
use super::outcome::Producers;
use crate::core::Core;
use crate::{Error, record};
use log::{Body, Position};
use parking_lot::Mutex;
use protocol::tags::{Batch, ChainHash, Point, Recovered};
use std::collections::VecDeque;
use std::sync::Arc;
use storage::wire::{Reader, put_varint};
use types::{Epoch, Sequence};
use world::Lane;

/// What a manifest holds of it.
///
/// ```text
///   epoch varint | whole u8 (0, 1) | with 1: sequence varint, hash u128 LE | producers (`outcome`)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub epoch: Epoch,
    /// The table's point; none where it is torn.
    pub point: Option<Point>,
    /// The next ordinal: the count of rows, but for a torn table.
    pub next: u64,
    pub producers: Producers,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { epoch: Epoch(0), point: Some(Point::default()), next: 0, producers: Producers::default() }
    }
}

impl Kept {
    /// Appends its bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch.0);
        out.push(u8::from(self.point.is_some()));
        if let Some(point) = self.point {
            put_varint(out, point.sequence.0);
            out.extend_from_slice(&point.hash.0.to_le_bytes());
        }
        self.producers.put(self.next, out);
    }

    /// Reads it.
    pub fn read(reader: &mut Reader<'_>) -> Option<Kept> {
        let epoch = Epoch(reader.varint()?);
        let point = match reader.u8()? {
            0 => None,
            1 => Some(Point { sequence: Sequence(reader.varint()?), hash: ChainHash(reader.u128()?) }),
            _ => return None,
        };
        let (next, producers) = Producers::read(reader)?;
        Some(Kept { epoch, point, next, producers })
    }
}

/// A batch of the log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub batch: Batch,
    /// Where its last record begins, once it is durable.
    pub at: Option<u64>,
}

/// Something that is done to the table.
type Work = Box<dyn FnOnce(&Arc<Core>) + Send>;

/// A led catalog's own state.
pub struct Led {
    pub appending: Mutex<()>,
    pub gate: Mutex<()>,
    pub state: Mutex<State>,
    pub producers: Mutex<Producers>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    works: VecDeque<Work>,
    running: bool,
}

/// Point, epoch and batches.
pub struct State {
    epoch: Epoch,
    pub point: Option<Point>,
    /// The next ordinal that the table is to have once it is whole again.
    pub next: u64,
    pub batches: VecDeque<Logged>,
}

impl State {
    pub fn keep_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    pub fn log(&mut self, batches: Vec<Batch>) {
        self.batches.extend(batches.into_iter().map(|batch| Logged { batch, at: None }));
    }

    pub fn cut(&mut self, to: Sequence) {
        self.batches.retain(|logged| logged.batch.point.sequence <= to);
    }

    /// Forgets all batches; the number of the table's point.
    pub fn empty(&mut self) -> Sequence {
        self.batches.clear();
        self.point.map_or(Sequence(0), |point| point.sequence)
    }
}

impl Led {
    pub fn new(kept: Kept, batches: Vec<Logged>) -> Led {
        let Kept { epoch, point, next, producers } = kept;
        Led {
            appending: Mutex::default(),
            gate: Mutex::default(),
            state: Mutex::new(State { epoch, point, next, batches: batches.into() }),
            producers: Mutex::new(producers),
            line: Mutex::default(),
        }
    }

    pub fn point(&self) -> Option<Point> {
        self.state.lock().point
    }

    pub fn tail(&self) -> Point {
        let state = self.state.lock();
        state.batches.back().map(|logged| logged.batch.point).or(state.point).unwrap_or_default()
    }

    pub fn recovered(&self) -> Recovered {
        let State { epoch, point, batches, .. } = &*self.state.lock();
        Recovered { epoch: *epoch, table: *point, batches: batches.iter().map(|logged| logged.batch.clone()).collect() }
    }

    /// What a manifest of this moment holds; the caller holds the gate. `rows` are the table's.
    pub fn kept(&self, rows: u64) -> Kept {
        let State { epoch, point, next, .. } = &*self.state.lock();
        let next = if point.is_some() { rows } else { *next };
        Kept { epoch: *epoch, point: *point, next, producers: self.producers.lock().clone() }
    }

    /// A batch is durable: its last record begins there.
    fn durable(&self, point: Point, at: u64) {
        let mut state = self.state.lock();
        if let Some(logged) = state.batches.iter_mut().rev().find(|logged| logged.batch.point == point) {
            logged.at = Some(at);
        }
    }
}

/// Records that belong together.
pub struct Step {
    kind: u8,
    sequence: u64,
    parts: Vec<Body>,
    batch: Option<Point>,
}

impl Step {
    /// A record that says only a number.
    pub fn note(kind: u8, number: u64) -> Step {
        Step { kind, sequence: number, parts: vec![Body::new(Vec::new())], batch: None }
    }

    /// A batch, in as many parts as its size needs.
    pub fn batch(batch: &Batch, part_bytes: usize) -> Step {
        let parts = record::parts(batch::put(batch), part_bytes).into_iter().map(Body::new).collect();
        Step { kind: record::KIND_BATCH, sequence: batch.point.sequence.0, parts, batch: Some(batch.point) }
    }
}

/// Steps that are answered together.
struct Flight<F> {
    left: usize,
    failed: Option<Error>,
    done: Option<F>,
}

impl Core {
    /// Appends steps in order; `done` hears where the last record begins once all are durable. The caller holds
    /// `appending`.
    pub fn append_steps(self: &Arc<Self>, steps: Vec<Step>, done: impl FnOnce(Result<u64, Error>) + Send + 'static) {
        let left = steps.iter().map(|step| step.parts.len()).sum();
        let flight = Arc::new(Mutex::new(Flight { left, failed: None, done: Some(done) }));
        for step in steps {
            let (count, mark) = (step.parts.len(), self.world.random.next_u64());
            for (index, body) in step.parts.into_iter().enumerate() {
                let head = record::head(step.sequence, mark, index as u32, count as u32, 0);
                let (core, flight) = (Arc::clone(self), Arc::clone(&flight));
                let batch = step.batch.filter(|_| index + 1 == count);
                self.log.append(step.kind, head, body, move |answer| {
                    core.step_answered(&mut flight.lock(), batch, answer);
                });
            }
        }
    }

    fn step_answered<F>(&self, flight: &mut Flight<F>, batch: Option<Point>, answer: Result<Position, log::Error>)
    where
        F: FnOnce(Result<u64, Error>),
    {
        flight.left -= 1;
        let position = match answer {
            Ok(position) => position.0,
            Err(error) => {
                flight.failed.get_or_insert_with(|| self.log_failed(&error));
                0
            }
        };
        if let (Some(point), None, Some(led)) = (batch, &flight.failed, self.led.get()) {
            led.durable(point, position);
        }
        if flight.left == 0
            && let Some(done) = flight.done.take()
        {
            done(flight.failed.take().map_or(Ok(position), Err));
        }
    }

    /// A hole in the chain can't be mended while it runs: after any failure of the log all is refused.
    fn log_failed(&self, error: &log::Error) -> Error {
        match error {
            log::Error::Closed => Error::Closed,
            _ => self.poison(error),
        }
    }

    /// Appends a note that nobody waits for.
    pub fn append_note(self: &Arc<Self>, kind: u8, number: u64) {
        let appending = self.led.get().map(|led| led.appending.lock());
        self.append_steps(vec![Step::note(kind, number)], |_| ());
        drop(appending);
    }

    /// Most bytes of one part of a write.
    pub fn part_bytes(&self) -> usize {
        crate::core::PART_BYTES_MAX.min(self.settings.segment_bytes / 4) as usize
    }

    /// Has something done to the table, after all that waits.
    pub fn stand_in_line(self: &Arc<Self>, work: Work) {
        let Some(led) = self.led.get() else { return };
        let mut line = led.line.lock();
        line.works.push_back(work);
        if !std::mem::replace(&mut line.running, true) {
            drop(line);
            let core = Arc::clone(self);
            self.world.runner.submit(Lane::Flush, Box::new(move || core.work_off()));
        }
    }

    fn work_off(self: &Arc<Self>) {
        let Some(led) = self.led.get() else { return };
        loop {
            let next = {
                let mut line = led.line.lock();
                let next = line.works.pop_front();
                line.running = next.is_some();
                next
            };
            let Some(work) = next else { return };
            work(self);
        }
    }
}
