//! A scheduler's simulated disk: an epoch, a table as of some point, and batches behind it.
//!
//! Promises: tasks are carried out in the order in which they were handed in; what was reported as done survives a crash,
//! and of the rest a beginning may. It may not know the protocol.

use super::table::Table;
use protocol::tags::{Batch, Event, Part, Point, Recovered};
use protocol::{Moment, Mutation, Planted, ReplicaId};
use std::collections::VecDeque;
use types::{Epoch, Sequence, StoreId};

/// The most parts of a message.
const PARTS_MAX: usize = 2;

/// Something to be done by the disk.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Epoch(Epoch),
    Log(Vec<Batch>),
    Cut(Point),
    Hash,
    Read { to: ReplicaId, asked: Moment, hashes: Vec<u128> },
    Take { at: Point, parts: Vec<Part>, complete: bool },
    Checkpoint { at: Point, table: Table },
}

/// What a disk holds.
#[derive(Clone, Debug, Default)]
struct Kept {
    epoch: Epoch,
    /// The table's point; none where it is of no one point.
    at: Option<Point>,
    table: Table,
    batches: Vec<Batch>,
}

/// A store.
pub(super) struct Store {
    pub(super) id: StoreId,
    planted: Planted,
    kept: Kept,
    tasks: VecDeque<Task>,
    /// What readers see.
    pub(super) live: Table,
    pub(super) shown: Point,
    log: Vec<Batch>,
}

impl Store {
    pub(super) fn new(id: StoreId, planted: Planted) -> Store {
        let kept = Kept { at: Some(Point::default()), ..Kept::default() };
        let (live, shown, log) = (Table::default(), Point::default(), Vec::new());
        Store { id, planted, kept, tasks: VecDeque::new(), live, shown, log }
    }

    pub(super) fn open(&mut self) -> Recovered {
        if self.planted.has(Mutation::OrdinalReused) {
            self.kept.table.forget_next();
        }
        let Kept { epoch, at, table, batches } = self.kept.clone();
        (self.live, self.shown, self.log) = (table, at.unwrap_or_default(), batches.clone());
        Recovered { epoch, table: at, batches }
    }

    pub(super) fn submit(&mut self, task: Task) {
        match &task {
            Task::Log(batches) => self.log.extend(batches.iter().cloned()),
            Task::Cut(to) => self.log.retain(|batch| batch.point.sequence <= to.sequence),
            _ => {}
        }
        self.tasks.push_back(task);
    }

    pub(super) fn has_work(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Applies logged batches; says with which ones.
    pub(super) fn apply(&mut self, up_to: Sequence) -> Vec<Batch> {
        let new = |batch: &&Batch| batch.point.sequence > self.shown.sequence && batch.point.sequence <= up_to;
        let batches: Vec<Batch> = self.log.iter().filter(new).cloned().collect();
        for batch in &batches {
            batch.changes.iter().for_each(|change| self.live.apply(change));
            self.shown = batch.point;
        }
        batches
    }

    /// The table with all that is in the log.
    pub(super) fn prepared(&self) -> Table {
        let mut table = self.live.clone();
        let beyond = self.log.iter().filter(|batch| batch.point.sequence > self.shown.sequence);
        beyond.flat_map(|batch| &batch.changes).for_each(|change| table.apply(change));
        table
    }

    /// Carries out the next task.
    pub(super) fn work(&mut self) -> Option<Event> {
        let task = self.tasks.pop_front()?;
        Some(match task {
            Task::Epoch(epoch) => {
                self.kept.epoch = self.kept.epoch.max(epoch);
                Event::EpochPersisted(epoch)
            }
            Task::Log(batches) => {
                self.kept.batches.extend(batches);
                Event::Logged(self.kept.batches.last().map_or(Point::default(), |batch| batch.point))
            }
            Task::Cut(to) => {
                self.kept.batches.retain(|batch| batch.point.sequence <= to.sequence);
                Event::Cut { at: to }
            }
            Task::Hash => Event::PartsHashed(self.live.hashes()),
            Task::Read { to, asked, hashes } => {
                let (parts, complete) = self.live.differing(&hashes, PARTS_MAX);
                Event::PartsRead { to, asked, at: self.shown, parts, complete }
            }
            Task::Take { at, parts, complete } => {
                // What was applied and not checkpointed is part of what was hashed.
                self.kept.table = self.live.clone();
                parts.iter().for_each(|part| self.kept.table.put(part));
                if complete && self.planted.has(Mutation::OrdinalReused) {
                    self.kept.table.forget_next();
                }
                self.kept.at = complete.then_some(at);
                self.kept.batches.clear();
                (self.live, self.log) = (self.kept.table.clone(), Vec::new());
                self.shown = if complete { at } else { self.shown };
                Event::PartsTaken { at: self.kept.at }
            }
            Task::Checkpoint { at, table } => {
                (self.kept.at, self.kept.table) = (Some(at), table);
                self.kept.batches.retain(|batch| batch.point.sequence > at.sequence);
                return None;
            }
        })
    }

    /// A crash: of what was under way so many tasks were carried out.
    pub(super) fn crash(&mut self, keep: &mut dyn FnMut(usize) -> usize) {
        for _ in 0..keep(self.tasks.len()) {
            self.work();
        }
        self.tasks.clear();
    }

    /// Whether a point is in the log or the table, durably.
    pub(super) fn holds(&self, point: Point) -> bool {
        let behind = self.kept.at.is_some_and(|at| at.sequence > point.sequence);
        self.kept.at == Some(point) || behind || self.kept.batches.iter().any(|batch| batch.point == point)
    }
}
